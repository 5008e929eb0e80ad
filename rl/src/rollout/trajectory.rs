//! What a model wrote in the course of a task, and what was said to it in between.

use std::sync::Arc;

use crate::{
    generation::Finish,
    learner::{Segment, Sequence},
    model::RoutedExperts,
};

/// A turn of the model.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledTurn {
    /// Token ids, an end-of-sequence token included.
    pub tokens: Arc<[u32]>,
    /// Log-probability of each token when it was drawn, in nats.
    pub logprobs: Arc<[f32]>,
    /// The text, without the end-of-sequence token.
    pub text: String,
    /// Why it ended.
    pub finish: Finish,
}

/// A turn of whoever answers the model.
#[derive(Debug, Clone, PartialEq)]
pub struct GivenTurn {
    /// Token ids.
    pub tokens: Arc<[u32]>,
    /// The text.
    pub text: String,
}

/// Part of a trajectory.
#[derive(Debug, Clone, PartialEq)]
pub enum Turn {
    /// The model's, which is trained on.
    Sampled(SampledTurn),
    /// Another's, which is only read.
    Given(GivenTurn),
}

/// A prompt and the turns that followed it.
#[derive(Debug, Clone, PartialEq)]
pub struct Trajectory {
    /// The prompt in tokens. The trajectories of a group share it.
    pub prompt: Arc<[u32]>,
    /// What followed: the model's turns, and what was given between them.
    pub turns: Vec<Turn>,
    /// Which experts its tokens went to, if that was recorded.
    pub routed_experts: Option<Arc<RoutedExperts>>,
}

impl Trajectory {
    /// One that has not begun.
    pub fn new(prompt: Arc<[u32]>) -> Self {
        Self {
            prompt,
            turns: Vec::new(),
            routed_experts: None,
        }
    }

    /// The model's turns.
    pub fn sampled(&self) -> impl DoubleEndedIterator<Item = &SampledTurn> {
        self.turns.iter().filter_map(|turn| match turn {
            Turn::Sampled(turn) => Some(turn),
            Turn::Given(_) => None,
        })
    }

    /// The model's last turn.
    pub fn last(&self) -> Option<&SampledTurn> {
        self.sampled().next_back()
    }

    /// Tokens that the model wrote.
    pub fn sampled_tokens(&self) -> usize {
        self.sampled().map(|turn| turn.tokens.len()).sum()
    }

    /// Tokens after the prompt.
    pub fn followed(&self) -> usize {
        let tokens = self.turns.iter().map(|turn| match turn {
            Turn::Sampled(turn) => turn.tokens.len(),
            Turn::Given(turn) => turn.tokens.len(),
        });
        tokens.sum()
    }

    /// Log-probability of each token that the model wrote when it was drawn, in nats.
    pub fn sampling_logprobs(&self) -> Vec<f32> {
        self.sampled()
            .flat_map(|turn| turn.logprobs.iter().copied())
            .collect()
    }

    /// The tokens with a mark at those that the model wrote; they are shared, not copied.
    pub fn sequence(&self) -> Sequence {
        let segments = self.turns.iter().map(|turn| match turn {
            Turn::Sampled(turn) => Segment::sampled(turn.tokens.clone()),
            Turn::Given(turn) => Segment::given(turn.tokens.clone()),
        });
        Sequence::of_segments(self.prompt.clone(), segments.collect())
            .routed(self.routed_experts.clone())
    }

    /// The text of all turns, one after the other.
    pub fn transcript(&self) -> String {
        let texts = self.turns.iter().map(|turn| match turn {
            Turn::Sampled(turn) => turn.text.as_str(),
            Turn::Given(turn) => turn.text.as_str(),
        });
        texts.collect()
    }

    /// Marks the last turn as cut off: there is no room for what would follow.
    pub(super) fn cut_off(&mut self) {
        if let Some(Turn::Sampled(turn)) = self.turns.last_mut() {
            turn.finish = Finish::Length;
        }
    }
}
