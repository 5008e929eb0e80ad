//! A reward model as a judge of completions.
//!
//! Each completion has a forward pass of its own, with nothing beside it: what is said of it depends neither on which others
//! are judged with it nor on which was faster, to the bit.

use std::{path::Path, sync::Arc};

use dunwu_datasets::Prompt;
use dunwu_rewards::{ModelJudge, ModelSeat, Sample, Worth};

use super::{RewardModel, RewardModelError};
use crate::{
    bundle::{Codec, PromptError},
    learner::{Sequence, pack_ends, scalar_values},
};

/// A prompt, what was said to it, and the token `end` behind it.
///
/// # Errors
/// When the prompt cannot be rendered or tokenised.
pub fn encode(
    codec: &Codec,
    prompt: &Prompt,
    said: &str,
    end: u32,
) -> Result<Sequence, PromptError> {
    let (prompt, mut said) = codec.encoder.encode_pair(prompt, said)?;
    said.push(end);
    Ok(Sequence::new(prompt, said))
}

impl RewardModel {
    /// What the head reads off the last token of a sequence; NaN where it says that.
    ///
    /// # Errors
    /// When the sequence is longer than the model's context.
    pub fn score(&self, sequence: &Sequence) -> Result<f64, String> {
        let (tokens, most) = (sequence.len(), self.model.config().context());
        if tokens > most {
            return Err(format!(
                "the prompt and the completion have {tokens} tokens, and the reward model reads at most {most}"
            ));
        }
        let batches = pack_ends(std::slice::from_ref(sequence), tokens);
        let batches = batches.map_err(|error| error.to_string())?;
        let values = batches.iter().flat_map(|batch| {
            let values = scalar_values(&self.model, &self.head, batch);
            values.into_iter().map(f64::from)
        });
        values
            .last()
            .ok_or_else(|| "there is nothing to read".to_owned())
    }

    /// Seats it as a judge.
    ///
    /// # Errors
    /// When it is to be normalised and has no scale.
    pub fn seat(self: &Arc<Self>, seat: &ModelSeat, path: &Path) -> Result<(), RewardModelError> {
        let (count, deviation) = (self.card.count, self.card.deviation);
        let usable = count > 1 && deviation > 0.0 && deviation.is_finite();
        if seat.normalizes() && !usable {
            return Err(RewardModelError::Invalid {
                path: path.to_owned(),
                message: format!(
                    "its scores of {count} answers have a deviation of {deviation}, by which nothing can be divided; hint: normalize = false in the component {}, or train the reward model further",
                    seat.component()
                ),
            });
        }
        seat.fill(Arc::new(Judging {
            model: self.clone(),
            normalize: seat.normalizes(),
        }));
        Ok(())
    }
}

/// A reward model that judges completions.
#[derive(Debug)]
pub struct Judging {
    /// The model.
    pub model: Arc<RewardModel>,
    /// Whether the mean is taken off its scores, and what is left divided by the deviation.
    pub normalize: bool,
}

impl ModelJudge for Judging {
    fn worth(&self, sample: &Sample) -> Result<Worth, String> {
        let RewardModel { codec, card, .. } = self.model.as_ref();
        let (prompt, said) = (&sample.task.prompt, sample.completion);
        let sequence = encode(codec, prompt, said, card.end.id).map_err(|e| e.to_string())?;
        let raw = self.model.score(&sequence)?;
        let value = if self.normalize {
            (raw - card.mean) / card.deviation
        } else {
            raw
        };
        Ok(Worth { value, raw })
    }
}
