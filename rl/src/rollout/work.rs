//! How many floating-point operations sampling and training need.
//!
//! Only what cannot be left out is counted: a multiplication and an addition for each weight that a token meets and for each pair in
//! attention, a prompt once for all completions of it, and in training the gradients by inputs and weights. What is computed a second
//! time, elementwise work, the softmax and the optimiser count as nothing.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::{Completion, RolloutGroup};
use crate::{
    learner::Sequence,
    model::{ModelConfig, lora::Lora},
};

/// What goes through a model. Counts are whole numbers, kept as floats since pairs grow with the square of the length.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    /// Tokens that meet the weights of the blocks.
    pub rows: f64,
    /// Pairs of a query and a key.
    pub pairs: f64,
    /// Tokens that are predicted.
    pub tokens: f64,
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.pairs += other.pairs;
        self.tokens += other.tokens;
    }
}

impl Amount {
    /// A prompt of so many tokens, read.
    pub fn prompt(length: usize) -> Self {
        let length = length as f64;
        Self {
            rows: length,
            pairs: length * (length + 1.0) / 2.0,
            tokens: 0.0,
        }
    }

    /// `length` tokens after a prompt that has been read; the last of them is only predicted.
    pub fn completion(prompt: usize, length: usize) -> Self {
        let (prompt, length) = (prompt as f64, length as f64);
        Self {
            rows: length - 1.0,
            pairs: (length - 1.0) * prompt + length * (length - 1.0) / 2.0,
            tokens: length,
        }
    }

    /// A sequence that is learnt from.
    pub fn sequence(sequence: &Sequence) -> Self {
        Self {
            tokens: sequence.sampled() as f64,
            ..Self::prompt(sequence.len())
        }
    }

    /// The prompts of some groups, each once, and what was sampled after them. An answer of several turns counts by what the model
    /// wrote of it.
    pub fn sampled<'g>(groups: impl IntoIterator<Item = &'g RolloutGroup>) -> Self {
        let mut amount = Self::default();
        for group in groups {
            amount += Self::of_group(group, |_| true);
        }
        amount
    }

    /// The prompt of a group and those completions of it that count; nothing where none does.
    pub fn of_group(group: &RolloutGroup, mut counts: impl FnMut(usize) -> bool) -> Self {
        let prompt = group.prompt.len();
        let mut amount = Self::default();
        for (index, completion) in group.completions.iter().enumerate() {
            let length = Completion::sampled_tokens(completion);
            if length > 0 && counts(index) {
                amount += Self::completion(prompt, length);
            }
        }
        if amount != Self::default() {
            amount += Self::prompt(prompt);
        }
        amount
    }
}

/// Floating-point operations of a model for what goes through it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// For a token that meets the weights of the blocks.
    body: f64,
    /// For a token that is predicted.
    head: f64,
    /// For a pair of a query and a key.
    pair: f64,
    /// For a token that meets the adapters; `None` where all weights are trained.
    adapters: Option<f64>,
}

impl Rates {
    /// Those of a model of this shape, trained as a whole or by adapters.
    pub fn of(config: &ModelConfig, lora: Option<&Lora>) -> Self {
        let tensors = config.tensors();
        let matrices = tensors
            .iter()
            .filter(|(name, shape)| shape.len() == 2 && name.contains("layers"))
            .map(|(name, shape)| {
                let values = shape.iter().product::<usize>() as f64;
                // Of experts, a token meets those that it is sent to.
                match config
                    .experts
                    .as_ref()
                    .filter(|_| name.contains(".mlp.experts."))
                {
                    Some(experts) => {
                        let router = &experts.router;
                        values * router.chosen as f64 / router.experts as f64
                    }
                    None => values,
                }
            });
        Self {
            body: 2.0 * matrices.sum::<f64>(),
            head: 2.0 * (config.vocab_size * config.hidden_size) as f64,
            // A key and a value.
            pair: 2.0 * (config.attended_values() * config.num_hidden_layers) as f64,
            adapters: lora.map(|lora| 2.0 * lora.parameter_count(&tensors) as f64),
        }
    }

    /// On the way forward; adapters are part of the weights there.
    pub fn forward(&self, amount: Amount) -> f64 {
        amount.rows * self.body + amount.pairs * self.pair + amount.tokens * self.head
    }

    /// On the way back: the gradient by inputs, and by weights where they are trained. The own gradients of adapters take the
    /// narrow rows on both sides, and a product with each.
    pub fn backward(&self, amount: Amount) -> f64 {
        let times = if self.adapters.is_some() { 1.0 } else { 2.0 };
        let adapters = self.adapters.unwrap_or(0.0);
        times * (amount.rows * self.body + amount.tokens * self.head)
            + 2.0 * (amount.pairs * self.pair + amount.rows * adapters)
    }
}

/// What has gone through the policy since it was last asked.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spent {
    forward: Amount,
    backward: Amount,
    measured: Amount,
    /// Whether the stage counts.
    counted: bool,
}

impl Spent {
    /// Something was read, sampled or scored.
    pub fn forward(&mut self, amount: Amount) {
        self.forward += amount;
        self.counted = true;
    }

    /// Something was trained on: forward and back. The forward pass counts also where that of sampling was kept, so that the
    /// figure depends on what was learnt and not on how much memory there was.
    pub fn trained(&mut self, amount: Amount) {
        self.forward(amount);
        self.backward += amount;
    }

    /// Held-out problems were answered.
    pub fn measured(&mut self, amount: Amount) {
        self.measured += amount;
    }

    /// The operations of measurements so far, which are then forgotten.
    pub fn take_measured(&mut self, rates: &Rates) -> f64 {
        rates.forward(std::mem::take(&mut self.measured))
    }

    /// The operations so far, which are then forgotten; `None` where nothing was counted.
    pub fn take(&mut self, rates: &Rates) -> Option<f64> {
        let spent = std::mem::take(self);
        let forward = rates.forward(spent.forward) + rates.forward(spent.measured);
        let operations = forward + rates.backward(spent.backward);
        spent.counted.then_some(operations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: Rates = Rates {
        body: 1000.0,
        head: 100.0,
        pair: 1.0,
        adapters: None,
    };

    #[test]
    fn operations_are_counted_by_hand() {
        // Tokens 0 to 4: three are read, the fifth is only predicted.
        let mut amount = Amount::prompt(3);
        amount += Amount::completion(3, 2);
        assert_eq!((amount.rows, amount.pairs, amount.tokens), (4.0, 10.0, 2.0));
        assert_eq!(RATES.forward(amount), 4000.0 + 10.0 + 200.0);
        assert_eq!(RATES.backward(amount), 2.0 * 4210.0);
        let adapted = Rates {
            adapters: Some(10.0),
            ..RATES
        };
        assert_eq!(adapted.backward(amount), 4200.0 + 2.0 * (10.0 + 40.0));
    }

    #[test]
    fn what_was_spent_is_told_once() {
        let mut spent = Spent::default();
        assert_eq!(spent.take(&RATES), None);
        let amount = Amount::completion(3, 2);
        spent.forward(amount);
        spent.trained(amount);
        let once = RATES.forward(amount);
        assert_eq!(
            spent.take(&RATES),
            Some(2.0 * once + RATES.backward(amount))
        );
        assert_eq!(spent.take(&RATES), None);
        // A measurement alone is not what the stage did.
        spent.measured(amount);
        assert_eq!(spent.take(&RATES), None);
        spent.measured(amount);
        assert_eq!(spent.take_measured(&RATES), once);
        spent.measured(amount);
        spent.forward(amount);
        assert_eq!(spent.take(&RATES), Some(2.0 * once));
    }

    #[test]
    fn a_sequence_is_read_once_and_what_was_given_is_not_predicted() {
        let amount = Amount::sequence(&Sequence::new(vec![1, 2, 3], vec![4, 5]));
        assert_eq!((amount.rows, amount.pairs, amount.tokens), (5.0, 15.0, 2.0));
    }
}
