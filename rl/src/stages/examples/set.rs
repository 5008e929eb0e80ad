//! The examples of a stage: read, made to fit, divided, and put in an order.

use std::path::Path;

use dunwu_datasets::{Example, Examples, Part, Split, shuffled};

use super::{
    Encoded, TooLong, Turns,
    encode::{EncodeError, Fitted, encode_all, fit},
};
use crate::{
    bundle::Codec,
    stages::StageError,
    tasks::files::{self, FilesError},
};

/// Why there are no examples to learn from.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ExampleError {
    #[error("{place}: {source}")]
    Encode { place: String, source: EncodeError },
    #[error(
        "{place}: the example has {tokens} tokens, and {limit} hold at most {most}; hint: too_long = \"drop\" leaves such examples out, \"truncate\" cuts them, or raise what limits them"
    )]
    TooLong {
        place: String,
        tokens: usize,
        limit: &'static str,
        most: usize,
    },
    #[error(
        "{place}: of {rows} examples none is left to {what}: {dropped} were too long for {most} tokens{divided}; hint: raise max_length, set too_long = \"truncate\", change heldout_fraction, or give more examples"
    )]
    Nothing {
        place: String,
        what: &'static str,
        rows: usize,
        dropped: usize,
        most: usize,
        divided: String,
    },
}

impl From<FilesError> for StageError {
    fn from(error: FilesError) -> Self {
        Self::Own(Box::new(error))
    }
}

impl From<ExampleError> for StageError {
    fn from(error: ExampleError) -> Self {
        Self::Own(Box::new(error))
    }
}

/// The longest example, and what sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Tokens.
    pub tokens: usize,
    /// What sets it, in words.
    pub by: &'static str,
    /// What is done about longer ones.
    pub too_long: TooLong,
}

impl Limit {
    /// The limit of a stage with this `max_length`, for a model with this context.
    pub fn of(
        max_length: Option<usize>,
        too_long: TooLong,
        context: usize,
        token_budget: usize,
    ) -> Self {
        let (tokens, by) = match max_length {
            Some(longest) if longest <= context => (longest, "max_length"),
            None if token_budget <= context => (token_budget, "memory.token_budget"),
            _ => (context, "the model's context"),
        };
        Self {
            tokens,
            by,
            too_long,
        }
    }
}

/// Examples as token ids, and how many were left out because they were too long.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct ExampleSet {
    /// In the order they were given in.
    pub examples: Vec<Encoded>,
    /// Left out.
    pub dropped: usize,
    /// What the rows of each data set that was read were taken for, in words.
    pub recognised: Vec<String>,
    heldout_fraction: f64,
    /// On which side of the split each is.
    sides: Vec<Split>,
}

impl ExampleSet {
    /// No examples yet; of those to come about this share of the problems is held out.
    pub fn dividing(heldout_fraction: f64) -> Self {
        Self {
            heldout_fraction,
            ..Self::default()
        }
    }

    /// Adds the examples of the data set `name`: a file, a directory of shards, or `owner/name` on the hub.
    ///
    /// # Errors
    /// When it cannot be read, or an example cannot be made into tokens or does not fit.
    pub fn read(
        &mut self,
        name: &Path,
        part: &Part,
        codec: &Codec,
        turns: Turns,
        limit: Limit,
    ) -> Result<(), StageError> {
        let files = files::find(name, part)?;
        let mut examples = Examples::of(&files);
        for example in examples.by_ref() {
            let (place, example) = example?;
            self.push(|| place.to_string(), codec, &example, turns, limit)?;
        }
        let forms: Vec<String> = examples.forms().iter().map(ToString::to_string).collect();
        let line = format!("{}: {}", files.origin(), forms.join(" or "));
        self.recognised.push(line);
        Ok(())
    }

    /// Adds an example; `place` names it in errors.
    ///
    /// # Errors
    /// When it cannot be made into tokens, or does not fit and that is an error.
    pub fn push(
        &mut self,
        place: impl Fn() -> String,
        codec: &Codec,
        example: &Example,
        turns: Turns,
        limit: Limit,
    ) -> Result<(), ExampleError> {
        let encoded = encode_all(codec, example, turns).map_err(|source| ExampleError::Encode {
            place: place(),
            source,
        })?;
        for encoded in encoded {
            match fit(encoded, limit.tokens, limit.too_long) {
                Fitted::Kept(encoded) => {
                    let problem = format!("example of {}", example.problem_text());
                    self.sides
                        .push(Split::of_text(&problem, self.heldout_fraction));
                    self.examples.push(encoded);
                }
                Fitted::Dropped => self.dropped += 1,
                Fitted::TooLong(tokens) => {
                    return Err(ExampleError::TooLong {
                        place: place(),
                        tokens,
                        limit: limit.by,
                        most: limit.tokens,
                    });
                }
            }
        }
        Ok(())
    }

    /// The examples to learn from, and those held out.
    pub fn divided(self) -> (Vec<Encoded>, Vec<Encoded>) {
        let (mut train, mut heldout) = (Vec::new(), Vec::new());
        for (example, side) in self.examples.into_iter().zip(self.sides) {
            match side {
                Split::Train => train.push(example),
                Split::Heldout => heldout.push(example),
            }
        }
        (train, heldout)
    }
}

/// Examples in epochs: each is drawn once an epoch, in an order that is a function of the seed and
/// the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epochs {
    /// Number of examples.
    pub len: usize,
    /// Examples a step.
    pub batch: usize,
    /// Draws the orders.
    pub seed: u64,
}

impl Epochs {
    /// Steps of so many epochs; the last may be a smaller one.
    pub fn steps(&self, epochs: u64) -> u64 {
        (epochs * self.len as u64).div_ceil(self.batch as u64)
    }

    /// The examples of step `step`. A step may reach over the end of an epoch, but not over that of
    /// epoch `epochs`, the last, where that is given.
    pub fn step(&self, step: u64, epochs: Option<u64>) -> Vec<usize> {
        let (len, batch) = (self.len as u64, self.batch as u64);
        let end = match epochs {
            Some(epochs) => ((step + 1) * batch).min(epochs * len),
            None => (step + 1) * batch,
        };
        let mut order: Option<(u64, Vec<usize>)> = None;
        let mut drawn = Vec::with_capacity(self.batch);
        for place in step * batch..end {
            let epoch = place / len;
            if order.as_ref().is_none_or(|(of, _)| *of != epoch) {
                order = Some((epoch, shuffled(self.len, self.seed, epoch)));
            }
            let (_, order) = order.as_ref().expect("just set");
            drawn.push(order[(place % len) as usize]);
        }
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_drawn_once_an_epoch() {
        let epochs = Epochs {
            len: 10,
            batch: 4,
            seed: 3,
        };
        assert_eq!(epochs.steps(2), 5);
        assert_eq!(epochs.steps(1), 3);
        let drawn: Vec<usize> = (0..5).flat_map(|step| epochs.step(step, Some(2))).collect();
        assert_eq!(drawn.len(), 20);
        for epoch in drawn.chunks(10) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        }
        assert_ne!(drawn[..10], drawn[10..], "each epoch has its own order");
        // The last step of one epoch is a smaller one; counted in steps there is no end.
        assert_eq!(epochs.step(2, Some(1)).len(), 2);
        assert_eq!(epochs.step(2, None), epochs.step(2, Some(2)));
        let other = Epochs { seed: 4, ..epochs };
        assert_ne!(other.step(0, None), epochs.step(0, None));
    }

    #[test]
    fn the_limit_is_the_lowest_and_is_named() {
        let limit = |max_length, context, budget| {
            let limit = Limit::of(max_length, TooLong::Error, context, budget);
            (limit.tokens, limit.by)
        };
        assert_eq!(limit(None, 96, 1024), (96, "the model's context"));
        assert_eq!(limit(None, 96, 64), (64, "memory.token_budget"));
        assert_eq!(limit(Some(50), 96, 64), (50, "max_length"));
        assert_eq!(limit(Some(50), 40, 64), (40, "the model's context"));
    }
}
