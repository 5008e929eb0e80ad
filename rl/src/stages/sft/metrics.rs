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
            #[serde(skip_serializing_if = "Option::is_none")]
            expert_load: Option<f64> {
                formula: "tokens of the busiest expert over the mean of its layer, of the layer where that is largest; only with experts. Each prompt counts once",
                healthy: "below 2, falls towards 1 with `balance`",
                otherwise: "near the number of experts over those that are active: a few experts do all; set `balance`, raise its `rate`",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            router_entropy: Option<f64> {
                unit: "share",
                formula: "mean entropy of the routers' scores, divided by their sum, over that of equal scores; only with experts",
                healthy: "falls slowly",
                otherwise: "near 0: the routers do not hesitate, and other experts are no longer tried",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            idle_experts: Option<f64> {
                unit: "share",
                formula: "experts that no token of the step went to; only with experts",
                healthy: "0",
                otherwise: "they learn nothing: as for `expert_load`",
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
            idle_experts: self.idle_experts,
            ..Vitals::default()
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
