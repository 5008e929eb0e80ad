//! Preferences as token ids, for every stage that learns from them.
//!
//! The prompt is encoded as it is when the policy is asked, and a side behind it as the policy would say it, with its end
//! once: what SFT does with a completion. Both sides have the same prompt, token by token.

use std::path::Path;

use dunwu_datasets::{
    Demonstration, Example, Judged, Message, Pair, Part, Preference, Preferences, Prompt, Split,
    Tie,
};
use sha2::{Digest, Sha256};

use super::{
    StageError,
    examples::{EncodeError, Turns, encode},
};
use crate::{bundle::Codec, learner::Sequence, tasks::files};

/// A pair as token ids.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EncodedPair {
    /// The prompt and the better side.
    pub chosen: Sequence,
    /// The prompt and the other side.
    pub rejected: Sequence,
    /// How likely it is that `chosen` is the better one: 1, or ½ for a tie.
    pub label: f64,
    /// By how much it is better, on the scale of the data.
    pub margin: Option<f64>,
}

/// An answer that is good or bad, as token ids.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EncodedJudged {
    /// The prompt and the answer.
    pub sequence: Sequence,
    /// Whether it is good.
    pub good: bool,
}

impl EncodedPair {
    /// A pair of which the first is better for certain.
    pub fn new(chosen: Sequence, rejected: Sequence) -> Self {
        Self {
            chosen,
            rejected,
            label: 1.0,
            margin: None,
        }
    }
}

impl EncodedJudged {
    /// An answer and what is thought of it.
    pub fn new(sequence: Sequence, good: bool) -> Self {
        Self { sequence, good }
    }
}

/// Some to learn from, and some to measure.
#[derive(Debug, Clone, PartialEq)]
pub struct Divided<T> {
    /// To learn from, in the data's order.
    pub train: Vec<T>,
    /// Held out, by a hash of the problem.
    pub heldout: Vec<T>,
}

impl<T> Default for Divided<T> {
    fn default() -> Self {
        Self {
            train: Vec::new(),
            heldout: Vec::new(),
        }
    }
}

impl<T> Divided<T> {
    fn push(&mut self, side: Split, item: T) {
        match side {
            Split::Train => self.train.push(item),
            Split::Heldout => self.heldout.push(item),
        }
    }

    /// All of them: first those to learn from.
    pub fn all(&self) -> impl Iterator<Item = &T> {
        self.train.iter().chain(&self.heldout)
    }
}

/// Why a preference cannot be made into tokens.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum PreferenceError {
    #[error("{place}: {source}")]
    Encode { place: String, source: EncodeError },
    #[error(
        "{place}: the chat template shows the prompt otherwise before the one side than before the other, so that where the answers begin cannot be told"
    )]
    Prompts { place: String },
    #[error(
        "{place}: the two sides are the same tokens, so that nothing can be learnt from the pair; hint: remove the row"
    )]
    Same { place: String },
}

impl From<PreferenceError> for StageError {
    fn from(error: PreferenceError) -> Self {
        Self::Own(Box::new(error))
    }
}

/// How preferences are read.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// Text to its tokens.
    pub codec: &'a Codec,
    /// What becomes of ties.
    pub tie: Tie,
    /// Most tokens of a prompt and an answer; a pair with a longer side is left out and counted.
    pub most: usize,
    /// Share of the problems whose preferences are held out.
    pub heldout_fraction: f64,
}

/// Preferences as token ids.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct PreferenceSet {
    /// Pairs.
    pub pairs: Divided<EncodedPair>,
    /// Answers by themselves.
    pub judged: Divided<EncodedJudged>,
    /// Left out because a side was too long.
    pub dropped: usize,
    /// Left out because both sides, though written otherwise, are the same tokens.
    pub same: usize,
    /// What each data set was taken for and what was found in it, in words.
    pub found: Vec<String>,
}

impl PreferenceSet {
    /// Adds the preferences of the data set `name`: a file, a directory of shards, or `owner/name` on the hub.
    ///
    /// # Errors
    /// When it cannot be read, or a row cannot be made into tokens.
    pub fn read(&mut self, name: &Path, part: &Part, how: Reading) -> Result<(), StageError> {
        let files = files::find(name, part)?;
        let mut all = Preferences::of(&files, how.tie);
        for row in all.by_ref() {
            let (place, preference) = row?;
            self.push(&|| place.to_string(), &preference, how)?;
        }
        let forms: Vec<String> = all.forms().iter().map(ToString::to_string).collect();
        let (origin, forms) = (files.origin(), forms.join(" or "));
        self.found
            .push(format!("{origin}: {forms}: {}", all.report()));
        Ok(())
    }

    /// Adds one; `place` names it in errors.
    ///
    /// # Errors
    /// When it cannot be made into tokens.
    pub fn push(
        &mut self,
        place: &dyn Fn() -> String,
        preference: &Preference,
        how: Reading,
    ) -> Result<(), PreferenceError> {
        let problem = format!("example of {}", preference.prompt().problem_text());
        let side = Split::of(&problem, how.heldout_fraction);
        match preference {
            Preference::Pair(pair) => {
                let encoded = match encode_pair(place, how.codec, pair) {
                    Err(PreferenceError::Same { .. }) => {
                        self.same += 1;
                        return Ok(());
                    }
                    encoded => encoded?,
                };
                if encoded.chosen.len().max(encoded.rejected.len()) > how.most {
                    self.dropped += 1;
                } else {
                    self.pairs.push(side, encoded);
                }
            }
            Preference::Judged(judged) => {
                let encoded = encode_judged(place, how.codec, judged)?;
                if encoded.sequence.len() > how.most {
                    self.dropped += 1;
                } else {
                    self.judged.push(side, encoded);
                }
            }
        }
        Ok(())
    }

    /// Makes two answers of each pair, a good one and a bad one. Ties make none.
    pub fn unpair(&mut self) {
        let pairs = std::mem::take(&mut self.pairs);
        let both = |pairs: Vec<EncodedPair>| {
            let decided = pairs.into_iter().filter(|pair| pair.label == 1.0);
            decided.flat_map(|pair| {
                [(pair.chosen, true), (pair.rejected, false)]
                    .map(|(sequence, good)| EncodedJudged { sequence, good })
            })
        };
        self.judged.train.extend(both(pairs.train));
        self.judged.heldout.extend(both(pairs.heldout));
    }

    /// By which the tokens of all of them are known, in their order (SHA-256).
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        let mut add = |sequence: &Sequence| {
            hash.update((sequence.prompt.len() as u64).to_le_bytes());
            hash.update((sequence.followed() as u64).to_le_bytes());
            let followed = sequence.marked().map(|(token, _)| token);
            for token in sequence.prompt.iter().copied().chain(followed) {
                hash.update(token.to_le_bytes());
            }
        };
        for pair in self.pairs.all() {
            add(&pair.chosen);
            add(&pair.rejected);
        }
        self.judged.all().for_each(|judged| add(&judged.sequence));
        let digest = hash.finalize();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The tokens of a pair; both sides share their prompt's.
///
/// # Errors
/// See [`PreferenceError`].
pub fn encode_pair(
    place: &dyn Fn() -> String,
    codec: &Codec,
    pair: &Pair,
) -> Result<EncodedPair, PreferenceError> {
    let chosen = answer(place, codec, &pair.prompt, &pair.chosen)?;
    let mut rejected = answer(place, codec, &pair.prompt, &pair.rejected)?;
    if chosen.prompt != rejected.prompt {
        return Err(PreferenceError::Prompts { place: place() });
    }
    if chosen == rejected {
        return Err(PreferenceError::Same { place: place() });
    }
    rejected.prompt = chosen.prompt.clone();
    Ok(EncodedPair {
        chosen,
        rejected,
        label: pair.label,
        margin: pair.margin,
    })
}

/// The tokens of an answer and its prompt.
///
/// # Errors
/// See [`PreferenceError`].
pub fn encode_judged(
    place: &dyn Fn() -> String,
    codec: &Codec,
    judged: &Judged,
) -> Result<EncodedJudged, PreferenceError> {
    Ok(EncodedJudged {
        sequence: answer(place, codec, &judged.prompt, &judged.completion)?,
        good: judged.good,
    })
}

/// An answer behind its prompt, with its end. What a message has beside its text is for the chat template to show.
fn answer(
    place: &dyn Fn() -> String,
    codec: &Codec,
    prompt: &Prompt,
    said: &Message,
) -> Result<Sequence, PreferenceError> {
    let example = match prompt {
        Prompt::Chat(messages) if !said.extra.is_empty() => {
            Example::Conversation([messages, std::slice::from_ref(said)].concat())
        }
        _ => Example::Completion(Demonstration {
            prompt: prompt.clone(),
            completion: said.content.clone(),
        }),
    };
    let encoded = encode(codec, &example, Turns::Last);
    let encoded = encoded.map_err(|source| PreferenceError::Encode {
        place: place(),
        source,
    })?;
    Ok(encoded.sequence)
}
