//! What a stage learns from: read, divided, and put beside what the reference thinks of it.

use dunwu_datasets::Part;

use super::{
    LossType, PreferenceConfig,
    reference::{Scored, Sums},
    step::Lesson,
};
use crate::{
    learner::Sequence,
    stages::{
        Context, StageError, pair_set,
        pairs_data::{Divided, EncodedJudged, EncodedPair, PreferenceSet, Reading},
    },
};

/// Why there is nothing to learn from, or to measure.
#[derive(Debug, thiserror::Error)]
#[error(
    "stage preference: nothing is left to {what}: there are {pairs} pairs and {judged} answers judged by themselves, {dropped} were left out because a side is longer than {most} tokens{needs}; hint: {hint}"
)]
pub(super) struct Nothing {
    what: &'static str,
    pairs: usize,
    judged: usize,
    dropped: usize,
    most: usize,
    needs: String,
    hint: &'static str,
}

impl Nothing {
    /// Nothing is left of `set` to do `what` with.
    pub(super) fn of(
        config: &PreferenceConfig,
        set: &PreferenceSet,
        most: usize,
        what: &'static str,
    ) -> Self {
        let (pairs, judged) = (set.pairs.all().count(), set.judged.all().count());
        let single = config.loss_type == LossType::Kto;
        let (needs, hint) = if single && pairs > 0 && judged == 0 {
            (
                ", and loss_type = \"kto\" needs answers with a `label`",
                "unpair = true makes a good and a bad answer of each pair; or use a loss of pairs",
            )
        } else if !single && judged > 0 && pairs == 0 {
            (
                ", and the loss needs pairs",
                "loss_type = \"kto\" learns from answers with a `label`",
            )
        } else {
            (
                "",
                "raise max_length and memory.token_budget, change heldout_fraction, or give more data",
            )
        };
        Self {
            what,
            pairs,
            judged,
            dropped: set.dropped,
            most,
            needs: needs.to_owned(),
            hint,
        }
    }
}

impl From<Nothing> for StageError {
    fn from(error: Nothing) -> Self {
        Self::Own(Box::new(error))
    }
}

/// Most tokens of a prompt with an answer.
pub(super) fn limit(config: &PreferenceConfig, context: usize, token_budget: usize) -> usize {
    config.max_length.unwrap_or(token_budget).min(context)
}

/// Reads the preferences of a stage.
pub(super) fn read(
    config: &PreferenceConfig,
    context: &Context,
) -> Result<PreferenceSet, StageError> {
    let longest = context.learner.model.config().context();
    let how = Reading {
        codec: context.codec,
        tie: config.tie,
        most: limit(config, longest, context.memory.token_budget),
        heldout_fraction: config.heldout_fraction,
    };
    let mut set = PreferenceSet::default();
    if let Some(file) = &config.file {
        let part = Part::new(config.subset.clone(), config.split.clone());
        set.read(file, &part, how)?;
    }
    if let Some(stage) = config.from_stage {
        set.read(&pair_set(context.directory, stage), &Part::default(), how)?;
    }
    if config.unpair {
        set.unpair();
    }
    Ok(set)
}

/// What a stage learns from and measures.
pub(super) enum Data {
    Pairs(Divided<EncodedPair>),
    /// With each answer the prompt of it before an answer to another one.
    Judged(Divided<(EncodedJudged, Sequence)>),
}

impl Data {
    /// What the loss of `config` takes of `set`.
    pub(super) fn of(
        config: &PreferenceConfig,
        context: &Context,
        set: PreferenceSet,
    ) -> Result<Self, StageError> {
        let longest = context.learner.model.config().context();
        let most = limit(config, longest, context.memory.token_budget);
        let single = config.loss_type == LossType::Kto;
        let (train, heldout) = if single {
            (set.judged.train.len(), set.judged.heldout.len())
        } else {
            (set.pairs.train.len(), set.pairs.heldout.len())
        };
        if train == 0 {
            return Err(Nothing::of(config, &set, most, "learn from").into());
        }
        if heldout == 0 && config.heldout_fraction > 0.0 {
            return Err(Nothing::of(config, &set, most, "hold out").into());
        }
        if !single {
            return Ok(Self::Pairs(set.pairs));
        }
        let Divided { train, heldout } = set.judged;
        let beside = |judged: Vec<EncodedJudged>| {
            let others: Vec<Sequence> = (0..judged.len())
                .map(|index| mismatched(&judged, index, most))
                .collect::<Result<_, _>>()?;
            Ok::<_, StageError>(judged.into_iter().zip(others).collect())
        };
        Ok(Self::Judged(Divided {
            train: beside(train)?,
            heldout: beside(heldout)?,
        }))
    }

    /// The sequences that the reference is asked about, in the order in which [`Self::lessons`] takes its answers.
    pub(super) fn scored(&self) -> Vec<Scored> {
        match self {
            Self::Pairs(pairs) => pairs
                .all()
                .flat_map(|pair| Scored::pair(&pair.chosen, &pair.rejected))
                .collect(),
            Self::Judged(judged) => judged
                .all()
                .flat_map(|(own, other)| [own.sequence.clone(), other.clone()].map(Scored::whole))
                .collect(),
        }
    }

    /// What is learnt from, and what is measured, if anything is.
    pub(super) fn lessons(self, sums: &[Sums]) -> (Lessons, Option<Lessons>) {
        let mut both = sums.chunks_exact(2).map(|two| [two[0], two[1]]);
        let mut next = || both.next().unwrap_or_default();
        let (train, heldout) = match self {
            Self::Pairs(Divided { train, heldout }) => {
                let mut of = |pairs: Vec<EncodedPair>| {
                    Lesson::Pairs(pairs.into_iter().map(|pair| (pair, next())).collect())
                };
                (of(train), of(heldout))
            }
            Self::Judged(Divided { train, heldout }) => {
                let mut of = |judged: Vec<(EncodedJudged, Sequence)>| {
                    let judged = judged.into_iter();
                    Lesson::Judged(judged.map(|(own, other)| (own, other, next())).collect())
                };
                (of(train), of(heldout))
            }
        };
        let heldout = Lessons(heldout);
        (Lessons(train), (heldout.len() > 0).then_some(heldout))
    }
}

/// Lessons to draw from.
pub(super) struct Lessons(Lesson);

impl Lessons {
    /// Pairs, or answers.
    pub(super) fn len(&self) -> usize {
        match &self.0 {
            Lesson::Pairs(pairs) => pairs.len(),
            Lesson::Judged(judged) => judged.len(),
        }
    }

    /// Those at these places.
    pub(super) fn some(&self, places: &[usize]) -> Lesson {
        match &self.0 {
            Lesson::Pairs(pairs) => {
                Lesson::Pairs(places.iter().map(|&i| pairs[i].clone()).collect())
            }
            Lesson::Judged(judged) => {
                Lesson::Judged(places.iter().map(|&i| judged[i].clone()).collect())
            }
        }
    }

    /// All of them.
    pub(super) fn all(&self) -> Lesson {
        self.0.clone()
    }
}

/// The prompt of an answer before the next answer to another prompt, going round, that fits into `most` tokens.
fn mismatched(judged: &[EncodedJudged], index: usize, most: usize) -> Result<Sequence, StageError> {
    let own = &judged[index].sequence;
    let others = judged[index + 1..].iter().chain(&judged[..index]);
    let mut others = others.map(|other| &other.sequence);
    let other = others
        .find(|other| other.prompt != own.prompt && own.prompt.len() + other.followed() <= most);
    let other = other.ok_or_else(|| {
        StageError::Config(format!(
            "stage preference: loss_type = \"kto\" compares each prompt with an answer to another one, and of {} answers none is to another prompt and fits into {most} tokens with it; hint: give answers to several prompts, or raise max_length",
            judged.len()
        ))
    })?;
    Ok(Sequence::of_segments(
        own.prompt.clone(),
        other.segments.clone(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_compared_with_an_answer_to_another_one() {
        let judged = [(1, 7), (1, 8), (2, 9)]
            .map(|(prompt, said)| EncodedJudged::new(Sequence::new([prompt], [said]), true));
        let other = |index| mismatched(&judged, index, 2).unwrap();
        assert_eq!(other(0), Sequence::new([1], [9]));
        assert_eq!(other(2), Sequence::new([2], [7]));
        let error = mismatched(&judged[..2], 0, 2).unwrap_err().to_string();
        assert!(
            error.contains("of 2 answers none is to another prompt"),
            "{error}"
        );
        assert!(mismatched(&judged, 0, 1).is_err());
    }
}
