//! What is logged of a step of a reward model.

use std::any::Any;

use serde::Serialize;
use serde_json::{Map, Value};

use super::Measured;
use crate::{
    alarms::{UpdateVitals, Vitals},
    glossary::metrics,
    stages::{StepMetrics, stage::fields},
};

metrics! {
    /// Figures of a step of a reward model.
    #[derive(Debug, Clone, Default, Serialize)]
    pub struct RewardModelMetrics {
        "reward-model" {
            loss: f64 {
                unit: "nats",
                formula: "mean of `−ln σ(s_chosen − s_rejected − margin)`, or `−ln σ(±s)` of judged answers, over the prompts of the step or over its comparisons, see `average`; with `center_rewards_coefficient` times `(s_chosen + s_rejected)²`",
                healthy: "begins at 0.693 and falls",
                otherwise: "rises: lower the learning rate; stays: the data do not agree, or the answers differ in nothing that the model sees",
            }
            accuracy: Option<f64> {
                unit: "share",
                formula: "comparisons of the step whose chosen answer had the larger score, or judged answers on the right side of 0; ties apart",
                healthy: "rises from about ½",
                otherwise: "near 1 in the first steps: look at `accuracy_longer_chosen` and `accuracy_shorter_chosen`",
            }
            margin_mean: Option<f64> {
                formula: "mean of `s_chosen − s_rejected`",
                healthy: "rises",
            }
            accuracy_longer_chosen: Option<f64> {
                unit: "share",
                formula: "`accuracy` where the chosen answer has more tokens",
                healthy: "as `accuracy_shorter_chosen`",
                otherwise: "far above it: length is what the model has learnt; pairs of like length",
            }
            accuracy_shorter_chosen: Option<f64> {
                unit: "share",
                formula: "`accuracy` where the chosen answer has fewer tokens",
                healthy: "as `accuracy_longer_chosen`",
            }
            score_mean: f64 {
                formula: "mean score of the step's answers",
                healthy: "near 0; it means nothing by itself",
                otherwise: "drifts far off: `center_rewards_coefficient = 0.01`",
            }
            score_min: f64 {
                formula: "the smallest score of the step",
            }
            score_max: f64 {
                formula: "the largest score of the step",
            }
            prompts: usize {
                unit: "prompts",
                formula: "prompts of the step, each with all of its comparisons",
                healthy: "`batch`",
            }
            comparisons: usize {
                unit: "comparisons",
                formula: "pairs and judged answers of the step",
            }
            read_tokens: usize {
                unit: "tokens",
                formula: "tokens of prompts, each once, and of answers",
            }
            grad_norm: f64 {
                formula: "global norm of the gradient before clipping",
                healthy: "steady",
                otherwise: "spikes: lower the learning rate; `null`: it was NaN or infinite, and nothing was updated by it",
            }
            learning_rate: f64 {
                formula: "that of the update: the stage's, times warm-up and schedule",
                healthy: "as configured",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            heldout_loss: Option<f64> {
                unit: "nats",
                formula: "`loss` of the held-out comparisons after this step; only where it was measured, see `heldout_fraction`",
                healthy: "falls with `loss`",
                otherwise: "rises while `loss` falls: one epoch is enough, or more data are needed",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            heldout_accuracy_pairs: Option<f64> {
                unit: "share",
                formula: "`accuracy` of the held-out comparisons",
                healthy: "near `accuracy`",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            heldout_accuracy_longer_chosen: Option<f64> {
                unit: "share",
                formula: "`accuracy_longer_chosen` of the held-out comparisons",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            heldout_accuracy_shorter_chosen: Option<f64> {
                unit: "share",
                formula: "`accuracy_shorter_chosen` of the held-out comparisons",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            heldout_calibration_error: Option<f64> {
                formula: "expected calibration error of `σ(|s_chosen − s_rejected|)` on the held-out comparisons: how far, in ten bins of that confidence, its mean is from the share that was right",
                healthy: "below 0.1",
                otherwise: "large: scores are too far apart for what is known; fewer epochs",
            }
            step_s: f64 {
                unit: "s",
                formula: "the step",
            }
            read_tokens_per_s: f64 {
                unit: "tokens/s",
                formula: "`read_tokens / step_s`",
            }
        }
    }
}

impl RewardModelMetrics {
    /// Takes the figures of what is held out.
    pub(super) fn set_heldout(&mut self, loss: f64, measured: &Measured) {
        self.heldout_loss = Some(loss);
        self.heldout_accuracy_pairs = measured.accuracy;
        self.heldout_accuracy_longer_chosen = measured.longer_chosen;
        self.heldout_accuracy_shorter_chosen = measured.shorter_chosen;
        self.heldout_calibration_error = measured.calibration_error;
    }
}

impl StepMetrics for RewardModelMetrics {
    fn figures(&self) -> serde_json::Result<Map<String, Value>> {
        fields(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn vitals(&self) -> Vitals {
        Vitals {
            update: Some(UpdateVitals {
                loss: self.loss,
                grad_norm: self.grad_norm,
            }),
            ..Vitals::default()
        }
    }

    fn is_brief(&self) -> bool {
        self.heldout_loss.is_none()
    }

    fn line(&self) -> String {
        let number = |value: Option<f64>| value.unwrap_or(f64::NAN);
        let mut line = format!(
            "loss {:.4}  accuracy {:.3}  margin {:.3}  grad {:.2}  {:.0} tok/s",
            self.loss,
            number(self.accuracy),
            number(self.margin_mean),
            self.grad_norm,
            self.read_tokens_per_s
        );
        if let Some(loss) = self.heldout_loss {
            line += &format!(
                "  held-out loss {loss:.4}, accuracy {:.3}, calibration error {:.3}",
                number(self.heldout_accuracy_pairs),
                number(self.heldout_calibration_error)
            );
        }
        line
    }
}
