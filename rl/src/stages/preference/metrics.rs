//! What is logged of a step that learns from preferences.

use std::any::Any;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{JudgedScores, PairScores, PreferenceLoss, reference::Sums};
use crate::{
    alarms::{PreferenceVitals, UpdateVitals, Vitals},
    glossary::metrics,
    stages::{StepMetrics, stage::fields},
};

metrics! {
    /// Figures of a step that learns from preferences.
    #[derive(Debug, Clone, Default, Serialize)]
    pub struct PreferenceMetrics {
        "preference" {
            loss: f64 {
                formula: "mean of `loss_type` over the step's pairs, plus `sft_weight · sft_loss`",
                healthy: "falls; DPO's begins at log 2 = 0.693",
                otherwise: "rises: lower the learning rate",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            sft_loss: Option<f64> {
                unit: "nats",
                formula: "mean negative log-likelihood of the chosen answers' tokens; only with `sft_weight`",
                healthy: "falls, or stays",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            kl: Option<f64> {
                unit: "nats",
                formula: "KTO's reference point: mean log-ratio of answers to other prompts than their own, at least 0",
                healthy: "small against the rewards over `beta`",
            }
            rewards_chosen: Option<f64> {
                formula: "mean `beta · (log π − log π_ref)` of the chosen, or good, answers; of means over tokens where the loss is; without a reference `beta · log π`; `null` without any",
                healthy: "rises, or falls less than `rewards_rejected`",
            }
            rewards_rejected: Option<f64> {
                formula: "the same of the rejected, or bad, answers",
                healthy: "falls",
            }
            accuracies: f64 {
                unit: "share",
                formula: "pairs whose chosen answer has the higher reward; with `kto`, answers whose reward has the right sign. Of ties the first answer is the chosen one",
                healthy: "rises from one half towards 1",
                otherwise: "stays near one half: raise the learning rate, look at the pairs",
            }
            margins: Option<f64> {
                formula: "`rewards_chosen − rewards_rejected`",
                healthy: "grows",
                otherwise: "grows without end: fewer epochs, a larger `beta`, `ipo`",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            chosen_log_ratio: Option<f64> {
                unit: "nats a token",
                formula: "mean over pairs of (log π − log π_ref) / tokens of the chosen answer",
                healthy: "near 0 or above",
                otherwise: "falls with `rejected_log_ratio`: see the alarm `likelihood_displacement`",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            rejected_log_ratio: Option<f64> {
                unit: "nats a token",
                formula: "the same of the rejected answer",
                healthy: "falls slowly",
            }
            logps_chosen: Option<f64> {
                unit: "nats",
                formula: "mean log-probability of the chosen answers, sums over their tokens",
            }
            logps_rejected: Option<f64> {
                unit: "nats",
                formula: "the same of the rejected answers",
            }
            entropy: f64 {
                unit: "nats",
                formula: "mean entropy of the distributions at all tokens of the step's answers",
            }
            trained_tokens: usize {
                unit: "tokens",
                formula: "tokens of all answers of the step, end-of-sequence tokens included",
            }
            grad_norm: f64 {
                formula: "global norm of the gradient before clipping",
                healthy: "steady, then falls as pairs are told apart",
                otherwise: "spikes: lower the learning rate; `null`: it was NaN or infinite, and nothing was updated by it",
            }
            learning_rate: f64 {
                formula: "that of the update: the stage's, times warm-up and schedule",
                healthy: "as configured",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            heldout_loss: Option<f64> {
                formula: "`loss` of the held-out preferences after this step; only where it was measured, see `heldout_fraction`",
                healthy: "falls with `loss`",
                otherwise: "rises while `loss` falls: fewer `epochs`, a larger `beta`, more pairs",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            heldout_accuracies: Option<f64> {
                unit: "share",
                formula: "`accuracies` of the held-out preferences",
                healthy: "near `accuracies`",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            heldout_margins: Option<f64> {
                formula: "`margins` of the held-out preferences",
                healthy: "grows with `margins`",
            }
            step_s: f64 {
                unit: "s",
                formula: "the step: a pass to score, and a pass for the gradient",
            }
            trained_tokens_per_s: f64 {
                unit: "tokens/s",
                formula: "`trained_tokens / step_s`",
            }
        }
    }
}

/// A mean that is added up.
#[derive(Default)]
pub(super) struct Mean {
    sum: f64,
    count: usize,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn get(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// The mean of some numbers; `None` of none.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<f64> {
        let mut mean = Self::default();
        values.into_iter().for_each(|value| mean.add(value));
        mean.get()
    }
}

/// The figures of some pairs. `asked` has the policy's sums, of chosen and rejected in turn.
pub(super) fn pair_metrics(
    loss: &PreferenceLoss,
    scores: &[PairScores],
    asked: &[Sums],
    references: impl Iterator<Item = [Sums; 2]>,
) -> PreferenceMetrics {
    let rewards: Vec<(f64, f64)> = scores.iter().map(|pair| loss.rewards(pair)).collect();
    let share = Mean::of(rewards.iter().map(|(c, r)| f64::from(u8::from(c > r))));
    let [mut chosen, mut rejected] = [Mean::default(), Mean::default()];
    for (i, references) in references.enumerate() {
        let a_token = |place: usize, reference: Sums, tokens: usize| {
            (asked[place].plain - reference.plain) / tokens.max(1) as f64
        };
        chosen.add(a_token(2 * i, references[0], scores[i].chosen.tokens));
        rejected.add(a_token(2 * i + 1, references[1], scores[i].rejected.tokens));
    }
    let has_reference = loss.loss_type.has_reference();
    let sums = |first: usize| Mean::of(asked.iter().skip(first).step_by(2).map(|sums| sums.plain));
    PreferenceMetrics {
        rewards_chosen: Mean::of(rewards.iter().map(|pair| pair.0)),
        rewards_rejected: Mean::of(rewards.iter().map(|pair| pair.1)),
        margins: Mean::of(rewards.iter().map(|(c, r)| c - r)),
        accuracies: share.unwrap_or(f64::NAN),
        chosen_log_ratio: chosen.get().filter(|_| has_reference),
        rejected_log_ratio: rejected.get().filter(|_| has_reference),
        logps_chosen: sums(0),
        logps_rejected: sums(1),
        ..PreferenceMetrics::default()
    }
}

/// The figures of answers by themselves.
pub(super) fn judged_metrics(beta: f64, scores: &[JudgedScores]) -> PreferenceMetrics {
    let of = |good: bool, value: fn(&JudgedScores) -> f64| {
        Mean::of(scores.iter().filter(|s| s.good == good).map(value))
    };
    let ratio = |scores: &JudgedScores| scores.side.log_ratio();
    let a_token = |s: &JudgedScores| s.side.log_ratio() / s.side.tokens.max(1) as f64;
    let (chosen, rejected) = (of(true, ratio), of(false, ratio));
    let right = scores.iter().map(|scores| {
        let ratio = scores.side.log_ratio();
        f64::from(u8::from(if scores.good {
            ratio > 0.0
        } else {
            ratio < 0.0
        }))
    });
    PreferenceMetrics {
        rewards_chosen: chosen.map(|ratio| beta * ratio),
        rewards_rejected: rejected.map(|ratio| beta * ratio),
        margins: chosen.zip(rejected).map(|(c, r)| beta * (c - r)),
        accuracies: Mean::of(right).unwrap_or(f64::NAN),
        chosen_log_ratio: of(true, a_token),
        rejected_log_ratio: of(false, a_token),
        logps_chosen: of(true, |s| s.side.policy),
        logps_rejected: of(false, |s| s.side.policy),
        ..PreferenceMetrics::default()
    }
}

impl StepMetrics for PreferenceMetrics {
    fn figures(&self) -> serde_json::Result<Map<String, Value>> {
        fields(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn vitals(&self) -> Vitals {
        let both = self.chosen_log_ratio.zip(self.rejected_log_ratio);
        Vitals {
            update: Some(UpdateVitals {
                loss: self.loss,
                grad_norm: self.grad_norm,
            }),
            preference: both.map(|(chosen, rejected)| PreferenceVitals { chosen, rejected }),
            ..Vitals::default()
        }
    }

    fn is_brief(&self) -> bool {
        self.heldout_loss.is_none()
    }

    fn line(&self) -> String {
        let number = |value: Option<f64>| value.unwrap_or(f64::NAN);
        let mut line = format!(
            "loss {:.4}  accuracy {:.3}  rewards {:+.3} {:+.3}  grad {:.2}  {:.0} tok/s",
            self.loss,
            self.accuracies,
            number(self.rewards_chosen),
            number(self.rewards_rejected),
            self.grad_norm,
            self.trained_tokens_per_s
        );
        if let (Some(loss), Some(accuracy)) = (self.heldout_loss, self.heldout_accuracies) {
            line += &format!("  held-out loss {loss:.4}, accuracy {accuracy:.3}");
        }
        line
    }
}
