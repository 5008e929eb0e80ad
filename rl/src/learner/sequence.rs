//! A sequence of tokens that says of each run of them whether a policy wrote it.

use std::sync::Arc;

use crate::model::RoutedExperts;

/// Tokens that follow each other, all written by the policy or all put before it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Segment {
    /// Token ids.
    pub tokens: Arc<[u32]>,
    /// Whether they are the policy's: these are scored and trained on, the others are only read.
    pub sampled: bool,
}

impl Segment {
    /// Tokens that a policy wrote, or is to learn to write.
    pub fn sampled(tokens: impl Into<Arc<[u32]>>) -> Self {
        Self {
            tokens: tokens.into(),
            sampled: true,
        }
    }

    /// Tokens that are only read: what a user said, what a tool replied.
    pub fn given(tokens: impl Into<Arc<[u32]>>) -> Self {
        Self {
            tokens: tokens.into(),
            sampled: false,
        }
    }
}

/// A prompt and what followed it, as token ids. Copies share their tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sequence {
    /// What is read first; at least one token where anything is sampled. Sequences that share it are packed behind one
    /// copy of its rows.
    pub prompt: Arc<[u32]>,
    /// What followed, in turn.
    pub segments: Vec<Segment>,
    /// Which experts its tokens went to while it was sampled. Where it is known, scoring and training send them there again
    /// (router replay).
    pub routed_experts: Option<Arc<RoutedExperts>>,
}

impl Sequence {
    /// A prompt and one completion of it, all of which is scored and trained on.
    pub fn new(prompt: impl Into<Arc<[u32]>>, completion: impl Into<Arc<[u32]>>) -> Self {
        Self::of_segments(prompt, vec![Segment::sampled(completion)])
    }

    /// A prompt and several segments.
    pub fn of_segments(prompt: impl Into<Arc<[u32]>>, segments: Vec<Segment>) -> Self {
        Self {
            prompt: prompt.into(),
            segments,
            routed_experts: None,
        }
    }

    /// The same with the experts that its tokens went to, or without.
    #[must_use]
    pub fn routed(self, routed_experts: Option<Arc<RoutedExperts>>) -> Self {
        Self {
            routed_experts,
            ..self
        }
    }

    /// Tokens in all.
    pub fn len(&self) -> usize {
        self.prompt.len() + self.followed()
    }

    /// Whether there is no token at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tokens after the prompt.
    pub fn followed(&self) -> usize {
        self.segments.iter().map(|s| s.tokens.len()).sum()
    }

    /// Tokens that are scored and trained on.
    pub fn sampled(&self) -> usize {
        let sampled = self.segments.iter().filter(|s| s.sampled);
        sampled.map(|s| s.tokens.len()).sum()
    }

    /// Each token after the prompt, and whether it is sampled.
    pub fn marked(&self) -> impl Iterator<Item = (u32, bool)> {
        let segments = self.segments.iter();
        segments.flat_map(|s| s.tokens.iter().map(|&token| (token, s.sampled)))
    }

    /// The sampled tokens, in order.
    pub fn targets(&self) -> impl Iterator<Item = u32> {
        let sampled = self.segments.iter().filter(|s| s.sampled);
        sampled.flat_map(|s| s.tokens.iter().copied())
    }

    /// Tokens after the prompt up to the last sampled one: what follows that is never asked for.
    pub fn useful(&self) -> usize {
        let mut place = 0;
        let mut useful = 0;
        for segment in &self.segments {
            place += segment.tokens.len();
            if segment.sampled && !segment.tokens.is_empty() {
                useful = place;
            }
        }
        useful
    }

    /// The sequence with at most `most` tokens after its prompt, and none after the last sampled one.
    #[must_use]
    pub fn truncated(&self, most: usize) -> Self {
        let cut = Self::of_segments(self.prompt.clone(), first(&self.segments, most));
        let routed = self.routed_experts.clone();
        Self::of_segments(self.prompt.clone(), first(&cut.segments, cut.useful())).routed(routed)
    }
}

/// The first `most` tokens of some segments.
fn first(segments: &[Segment], most: usize) -> Vec<Segment> {
    let mut left = most;
    let mut cut = Vec::with_capacity(segments.len());
    for segment in segments {
        let count = segment.tokens.len().min(left);
        left -= count;
        if count == segment.tokens.len() {
            cut.push(segment.clone());
        } else if count > 0 {
            cut.push(Segment {
                tokens: segment.tokens[..count].into(),
                sampled: segment.sampled,
            });
        }
    }
    cut.retain(|segment| !segment.tokens.is_empty());
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation() -> Sequence {
        Sequence::of_segments(
            [9, 8],
            vec![
                Segment::sampled([1, 2]),
                Segment::given([3, 4, 5]),
                Segment::sampled([6]),
                Segment::given([7]),
            ],
        )
    }

    #[test]
    fn the_mask_follows_from_the_segments() {
        let sequence = conversation();
        assert_eq!((sequence.len(), sequence.followed()), (9, 7));
        assert_eq!((sequence.sampled(), sequence.useful()), (3, 6));
        assert_eq!(sequence.targets().collect::<Vec<_>>(), [1, 2, 6]);
        let marked: Vec<_> = sequence.marked().filter(|(_, sampled)| !sampled).collect();
        assert_eq!(marked, [3, 4, 5, 7].map(|token| (token, false)));
    }

    #[test]
    fn cut_in_what_is_given_it_ends_with_what_was_sampled() {
        let sequence = conversation();
        let whole = sequence.truncated(100);
        assert_eq!(
            whole.followed(),
            6,
            "nothing is learnt from the last segment"
        );
        assert_eq!(sequence.truncated(6), whole);
        for most in 2..6 {
            assert_eq!(
                sequence.truncated(most).segments,
                [Segment::sampled([1, 2])]
            );
        }
        assert_eq!(sequence.truncated(1).segments, [Segment::sampled([1])]);
        assert!(sequence.truncated(0).segments.is_empty());
    }
}
