//! What is logged of a supervised step.

use std::any::Any;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    alarms::{UpdateVitals, Vitals},
    glossary::metrics,
    stages::{StepMetrics, stage::fields},
};

metrics! {
    /// Figures of a supervised step.
    #[derive(Debug, Clone, Default, Serialize)]
    pub struct SftMetrics {
        "sft" {
            loss: f64 {
                unit: "nats",
                formula: "mean negative log-likelihood of the step's completion tokens",
                healthy: "falls, then levels off",
                otherwise: "rises: lower the learning rate",
            }
            entropy: f64 {
                unit: "nats",
                formula: "mean entropy of the distributions at these tokens",
                healthy: "close to `loss`: the model is as sure as it is right",
                otherwise: "far below `loss`: it is overconfident",
            }
            trained_tokens: usize {
                unit: "tokens",
                formula: "completion tokens of the step, end-of-sequence tokens included",
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
                formula: "mean negative log-likelihood of the held-out examples' tokens after this step; only where it was measured, see `heldout_fraction` and `heldout_file`",
                healthy: "falls with `loss`",
                otherwise: "rises while `loss` falls: the examples are learnt by heart; fewer `epochs`, a lower learning rate, or more examples",
            }
            step_s: f64 {
                unit: "s",
                formula: "the step",
            }
            trained_tokens_per_s: f64 {
                unit: "tokens/s",
                formula: "`trained_tokens / step_s`",
            }
        }
    }
}

impl StepMetrics for SftMetrics {
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
            rollouts: None,
        }
    }

    fn is_brief(&self) -> bool {
        self.heldout_loss.is_none()
    }

    fn line(&self) -> String {
        let mut line = format!(
            "loss {:.4}  grad {:.2}  {:.0} tok/s",
            self.loss, self.grad_norm, self.trained_tokens_per_s
        );
        if let Some(loss) = self.heldout_loss {
            line += &format!("  held-out loss {loss:.4}, perplexity {:.2}", loss.exp());
        }
        line
    }
}
