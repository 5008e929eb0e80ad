//! What is logged of a step of distillation.

use std::any::Any;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    alarms::{UpdateVitals, Vitals},
    glossary::metrics,
    stages::{StepMetrics, stage::fields},
};

metrics! {
    /// Figures of a step of distillation.
    #[derive(Debug, Clone, Default, Serialize)]
    pub struct DistillMetrics {
        "distill" {
            loss: f64 {
                unit: "nats",
                formula: "mean over the step's tokens of the divergence that `loss` names; of `sampled-token`: of `log student − log teacher` of the sampled token",
                healthy: "falls",
                otherwise: "flat: raise the learning rate, or the student is too small; rises: lower it",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            reverse_kl: Option<f64> {
                unit: "nats",
                formula: "mean over the tokens that the student sampled of `KL(student ‖ teacher)` before the update, over the classes that are known of the teacher; where only the sampled token is, of `log student − log teacher`, which may be below 0; only in steps on policy",
                healthy: "falls",
                otherwise: "see `loss`; far above 1 from the start: another template, another end token, or a student that says what the teacher never would: a short SFT stage on the teacher's text first",
            }
            teacher_logprob: Option<f64> {
                unit: "nats",
                formula: "mean log-probability that the teacher gives the step's tokens",
                healthy: "rises on policy; off policy it is a property of the data",
                otherwise: "far below `student_logprob`: the teacher would not have said this",
            }
            student_logprob: f64 {
                unit: "nats",
                formula: "the same of the student, before the update",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            agreement: Option<f64> {
                unit: "share",
                formula: "tokens at which student and teacher find the same token likeliest; not with `sampled-token`",
                healthy: "rises towards 1",
                otherwise: "as for `reverse_kl`",
            }
            entropy: f64 {
                unit: "nats",
                formula: "mean entropy of the student's distributions at these tokens",
                healthy: "tends to the teacher's",
                otherwise: "falls to near 0 far before `reverse_kl` does: the student clings to one of the teacher's ways; `forward-kl` or `jsd`",
            }
            on_policy: bool {
                formula: "whether the student sampled the step's tokens",
            }
            trained_tokens: usize {
                unit: "tokens",
                formula: "tokens that the loss is a mean of",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            length_mean: Option<f64> {
                unit: "tokens",
                formula: "mean length of the sampled completions; only on policy",
                healthy: "tends to the teacher's",
                otherwise: "at `sampling.max_tokens`: the student does not end its turns; compare end tokens, and begin with a short SFT stage",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            truncated: Option<f64> {
                unit: "share",
                formula: "sampled completions that were cut off at `sampling.max_tokens`; only on policy",
                healthy: "near 0",
                otherwise: "as for `length_mean`",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            reward_mean: Option<f64> {
                unit: "reward",
                formula: "mean total reward of the judged completions, which nothing is trained on; only on policy",
                healthy: "rises towards the teacher's",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            pass_rate: Option<f64> {
                unit: "share",
                formula: "judged completions whose component `evaluation.correct` is above 0.5; only on policy",
                healthy: "rises towards the teacher's",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            failed_judgements: Option<usize> {
                unit: "completions",
                formula: "completions without a verdict because a judge failed; they are learnt from all the same; only on policy",
                healthy: "0",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            teacher_tokens: Option<u64> {
                unit: "tokens",
                formula: "tokens that the stage has sent to the teacher's server so far",
                healthy: "below `server.token_budget`",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            teacher_cost: Option<f64> {
                formula: "`teacher_tokens · server.price_per_million / 10⁶`; only where a price is set",
            }
            grad_norm: f64 {
                formula: "global norm of the gradient before clipping",
                healthy: "steady, falls with `loss`",
                otherwise: "spikes: lower the learning rate; `null`: it was NaN or infinite, and nothing was updated by it",
            }
            learning_rate: f64 {
                formula: "that of the update: the stage's, times warm-up and schedule",
                healthy: "as configured",
            }
            policy_version: u64 {
                unit: "versions",
                formula: "updates of the student since the start of the run",
            }
            generation_s: f64 {
                unit: "s",
                formula: "sampling",
            }
            teacher_s: f64 {
                unit: "s",
                formula: "waiting for the teacher's server; a teacher in the process works within `training_s`",
            }
            training_s: f64 {
                unit: "s",
                formula: "teacher's pass, student's pass, gradient and update",
            }
            step_s: f64 {
                unit: "s",
                formula: "the step",
            }
            generated_tokens_per_s: f64 {
                unit: "tokens/s",
                formula: "tokens sampled / `generation_s`",
            }
        }
    }
}

impl StepMetrics for DistillMetrics {
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

    fn line(&self) -> String {
        let mut line = format!("loss {:.4}", self.loss);
        if let Some(kl) = self.reverse_kl {
            line += &format!("  reverse KL {kl:.4}");
        }
        if let Some(agreement) = self.agreement {
            line += &format!("  agreement {agreement:.3}");
        }
        if let Some(length) = self.length_mean {
            line += &format!("  length {length:.1}");
        }
        if let Some(rate) = self.pass_rate {
            line += &format!("  pass rate {rate:.3}");
        }
        if let Some(cost) = self.teacher_cost {
            line += &format!("  cost {cost:.4}");
        }
        line + &format!("  grad {:.2}  {:.1} s", self.grad_norm, self.step_s)
    }
}
