//! What is logged of a GRPO step.

use std::{any::Any, collections::BTreeMap};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    alarms::{RolloutVitals, UpdateVitals, Vitals},
    glossary::metrics,
    rollout::RolloutGroup,
    stages::{StepMetrics, stage::fields},
};

metrics! {
    /// Figures of a GRPO step. Means over tokens are over those trained on: with no KL penalty,
    /// completions of groups whose rewards are all the same are not.
    #[derive(Debug, Clone, Default, Serialize)]
    pub struct GrpoMetrics {
        "grpo-rollouts" {
            reward_mean: f64 {
                unit: "reward",
                formula: "mean total reward of the judged completions",
                healthy: "rises, with noise",
                otherwise: "flat: see `zero_variance_groups`, then the learning rate",
            }
            reward_std: f64 {
                unit: "reward",
                formula: "their standard deviation over the whole step (divided by n)",
                healthy: "above 0",
                otherwise: "0: every completion is worth the same",
            }
            components: BTreeMap<String, f64> {
                unit: "score",
                formula: "for each component of the rubric, the mean over the completions it applies to, before any weight",
                healthy: "the one that matters rises",
                otherwise: "only `format` rises: its weight is too large, or the task too hard",
            }
            components_std: BTreeMap<String, f64> {
                unit: "score",
                formula: "the standard deviation over the same completions (divided by n)",
                healthy: "above 0 for the component that matters",
                otherwise: "0: that component says nothing about which completion is better",
            }
            pass_rate: f64 {
                unit: "share",
                formula: "judged completions whose component `evaluation.correct` is above 0.5; sampled, so below greedy accuracy",
                healthy: "rises",
                otherwise: "flat while `reward_mean` rises: the reward pays for something else than being right",
            }
            zero_variance_groups: f64 {
                unit: "share",
                formula: "groups whose rewards are all the same; they teach nothing",
                healthy: "below about 0.5",
                otherwise: "tasks too easy or too hard; a larger `group`, another curriculum, a higher temperature",
            }
            sampled_groups: usize {
                unit: "groups",
                formula: "groups sampled for the step, those of dynamic sampling included",
                healthy: "`prompts`, or not far above",
                otherwise: "several times `prompts`: most tasks are too easy or too hard, and sampling pays for it",
            }
            kept_groups: usize {
                unit: "groups",
                formula: "those that the step uses",
                healthy: "`prompts`",
                otherwise: "below `prompts`: dynamic sampling ran into its bound before it had enough",
            }
            refill_batches: usize {
                unit: "batches",
                formula: "further batches of prompts that dynamic sampling drew",
                healthy: "0 to 2",
                otherwise: "see `sampled_groups`",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            skipped_prompts: Option<usize> {
                unit: "problems",
                formula: "problems that were drawn for the step and skipped because their prompts are too long; only with `data.too_long = \"drop\"`",
                healthy: "0, or few",
                otherwise: "`dunwu check --all` counts them; lower `sampling.max_tokens`, or shorten the prompts",
            }
            truncated: f64 {
                unit: "share",
                formula: "completions cut off at `sampling.max_tokens`",
                healthy: "near 0",
                otherwise: "raise `max_tokens`, add a `length` component, or set `mask_truncated`",
            }
            failed_judgements: usize {
                unit: "completions",
                formula: "completions without a verdict because a judge failed or ran into its deadline; they are left out of training",
                healthy: "0",
                otherwise: "read `judge_error` in `completions.jsonl`; mend the reward or raise `reward.deadline_s`",
            }
            undecided_judgements: usize {
                unit: "completions",
                formula: "completions of which a judge, such as `math`, could tell neither right nor wrong; they are left out of training and are not in `failed_judgements`",
                healthy: "near 0",
                otherwise: "read `judge_error` in `completions.jsonl`; look at the pairs with `dunwu reward math`: a gold answer may be unusable; if the component says `undecided = \"exclude\"`, the model may play for them",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            unjudged_by: Option<BTreeMap<String, usize>> {
                unit: "completions",
                formula: "completions without a verdict, failed or undecided, by whose doing that was: the judge's or its machine's (`host`), the task's (`task`), the completion's (`completion`); only where there are any",
                healthy: "absent",
                otherwise: "`host`: mend the reward or its machine; `task`: gold answers or tests are unusable, `dunwu data check` names them; `completion`: the model may play for it",
            }
            completions: usize {
                unit: "completions",
                formula: "completions that the figures of this table are about: `sampled_groups · group`",
                healthy: "constant",
            }
            completion_tokens: usize {
                unit: "tokens",
                formula: "all their tokens, end-of-sequence tokens included",
            }
            length_mean: f64 {
                unit: "tokens",
                formula: "`completion_tokens / completions`",
                healthy: "grows when thinking pays",
                otherwise: "falls towards 1: thinking does not pay yet, the base is too weak; grows without reward: see `truncated`",
            }
            length_max: usize {
                unit: "tokens",
                formula: "the longest completion",
                healthy: "below `max_tokens`",
                otherwise: "as for `truncated`",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            kl_reward: Option<f64> {
                unit: "nats",
                formula: "mean over the tokens of the KL estimate that is taken off the reward; only with a KL penalty in the reward",
                healthy: "small, grows slowly",
                otherwise: "jumps: lower the learning rate or raise the penalty",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            kl_coef: Option<f64> {
                formula: "weight of the KL penalty in the reward of this step; only with `adaptive_kl`",
                healthy: "settles while `kl_reward` comes near `adaptive_kl.target_kl`",
                otherwise: "grows without end: the reward pulls harder than the penalty can; lower the learning rate, or raise the target",
            }
            staleness_mean: f64 {
                unit: "versions",
                formula: "mean over the completions of `policy_version` at training less that at sampling",
                healthy: "0 when sampling and training take turns; else `min(step, max_staleness) · iterations · mini_batches`, where `step` counts from 0 in the stage: `max_staleness` counts batches, and each of them brings so many versions",
                otherwise: "too much if `ratio_max` or `correction_clipped` say so: lower `max_staleness`, `iterations` or `mini_batches`",
            }
            staleness_max: u64 {
                unit: "versions",
                formula: "its largest value",
                healthy: "the same: all completions of a batch are drawn by one version",
            }
        }
        "grpo-update" {
            loss: f64 {
                formula: "the objective's negative at the first update with the batch, normalised as the stage's `loss` says",
                healthy: "small, either sign",
                otherwise: "it is no measure of progress, see below",
            }
            advantage_std: f64 {
                formula: "standard deviation of the advantages of the judged completions (divided by n), before whitening; with a critic, of those of their tokens",
                healthy: "near 1 with `scale_rewards` other than `none`; else about `reward_std`",
                otherwise: "near 0: the step hardly moves the policy",
            }
            entropy: f64 {
                unit: "nats",
                formula: "mean entropy of the policy's distribution at the trained tokens, at the sampling temperature",
                healthy: "falls slowly",
                otherwise: "falls to near 0 while reward is flat: lower the learning rate, raise `epsilon_high` or `beta`; rises without end: lower the learning rate",
            }
            masked_tokens: f64 {
                unit: "share",
                formula: "tokens of the completions trained on that `top_entropy` leaves out of the loss",
                healthy: "`1 − top_entropy`",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            kl: Option<f64> {
                unit: "nats",
                formula: "mean over the tokens of the estimate that `kl_estimator` names, `exp(d) − d − 1` with `d = log π_ref − log π` for k3; only with a KL penalty in the loss",
                healthy: "small, grows slowly",
                otherwise: "jumps: lower the learning rate or raise `beta`",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            reference_age: Option<u64> {
                unit: "steps",
                formula: "steps since the reference policy was last set; only with a KL penalty",
                healthy: "below the refresh interval, where there is one",
            }
            ratio_mean: f64 {
                formula: "mean of `π / π_old` over the tokens, the last time that the batch is gone through",
                healthy: "close to 1",
                otherwise: "far from 1: lower the learning rate or `iterations`",
            }
            ratio_max: f64 {
                formula: "its largest value",
                healthy: "below about 10",
                otherwise: "very large: as above; see `mismatch_max` too",
            }
            clip_fraction_low: f64 {
                unit: "share",
                formula: "tokens with ratio below `1 − epsilon` and a negative advantage, the last time that the batch is gone through",
                healthy: "a few hundredths at most",
                otherwise: "large: lower the learning rate or `iterations`",
            }
            clip_fraction_high: f64 {
                unit: "share",
                formula: "tokens with ratio above `1 + epsilon_high` and a positive advantage",
                healthy: "the same",
                otherwise: "the same",
            }
            mismatch_mean: f64 {
                unit: "nats",
                formula: "mean of |trainer's − sampler's log-probability| of a token, at the first update; with `staleness_max` above 0 it holds the policy's own movement too, and where training uses what sampling has computed (`memory.recorded_tokens`) it compares the head alone",
                healthy: "below 1e-4 in f32",
                otherwise: "sampling and training disagree: a bug, or a device that computes wrongly",
            }
            mismatch_max: f64 {
                unit: "nats",
                formula: "its largest value",
                healthy: "not far above the mean",
                otherwise: "the same",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            correction_mean: Option<f64> {
                formula: "mean importance weight between sampler and trainer, as applied; only with an off-policy correction",
                healthy: "close to 1",
                otherwise: "far below 1: much of the step is thrown away; lower `max_staleness` or the learning rate",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            correction_clipped: Option<f64> {
                unit: "share",
                formula: "tokens whose importance weight was truncated or masked; only with an off-policy correction",
                healthy: "a few hundredths at most",
                otherwise: "as above",
            }
            trained_tokens: usize {
                unit: "tokens",
                formula: "tokens of completions that moved the policy: judged, not masked, and, without a KL penalty, of an advantage other than 0",
                healthy: "above 0",
                otherwise: "0: `zero_variance_groups` is 1, or every judge failed",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            expert_load: Option<f64> {
                formula: "tokens of the busiest expert over the mean of its layer, of the layer where that is largest; only with experts. Each prompt counts once",
                healthy: "about what it was before the stage",
                otherwise: "near the number of experts over those that are active: a few experts do all; balance in a supervised stage before; here set `freeze_router`",
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
            #[serde(skip_serializing_if = "Option::is_none")]
            routes_changed: Option<f64> {
                unit: "share",
                formula: "choices of an expert that router replay put in the place of another that the router would have made, over all updates with the batch; only with `router_replay = \"r3\"`",
                healthy: "0 while the policy is the one that sampled; below about 0.1 later",
                otherwise: "large: the router has moved far since: lower `max_staleness`, `iterations` or the learning rate, or set `freeze_router`; above 0 on policy: sampler and trainer compute differently",
            }
            grad_norm: f64 {
                formula: "global norm of the gradient before clipping, at the last update with the batch",
                healthy: "steady",
                otherwise: "spikes: lower the learning rate; 0: nothing was trained on; `null`: it was NaN or infinite, and nothing was updated by it",
            }
            learning_rate: f64 {
                formula: "that of the update: the stage's, times warm-up and schedule",
                healthy: "as configured",
            }
            policy_version: u64 {
                unit: "updates",
                formula: "updates made since the start of the run; a GRPO step makes `iterations · mini_batches` of them",
            }
        }
        "grpo-critic" {
            #[serde(skip_serializing_if = "Option::is_none")]
            value_loss: Option<f64> {
                formula: "mean over the tokens of half the squared distance of a value from its target, clipped, the first time that the batch is gone through; only with a critic, as all of this table",
                healthy: "falls, then follows the spread of the returns",
                otherwise: "rises: lower `critic.learning_rate`",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            explained_variance: Option<f64> {
                unit: "share",
                formula: "`1 − Var(return − value) / Var(return)` over the tokens, by the values before the step's updates; null where all returns are the same",
                healthy: "rises above 0, towards 1 at late tokens of verifiable tasks",
                otherwise: "near 0: the critic knows no more than the mean, so give it `critic.warmup_steps`, a higher rate or more `iterations`; far below 0: it misleads, lower its rate",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            value_clip_fraction: Option<f64> {
                unit: "share",
                formula: "tokens whose value had come so near to its target that `cliprange_value` holds it back, the last time that the batch is gone through",
                healthy: "below about 0.2",
                otherwise: "large: raise `critic.cliprange_value`, or lower the critic's rate",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            value_mean: Option<f64> {
                unit: "reward",
                formula: "mean value of the states that the tokens were drawn in, before the step's updates",
                healthy: "follows `return_mean`",
                otherwise: "lags far behind: as for `explained_variance`",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            return_mean: Option<f64> {
                unit: "reward",
                formula: "mean of what the values are drawn towards: advantage and value by `lam_critic`, before whitening",
                healthy: "rises with `reward_mean`",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            critic_grad_norm: Option<f64> {
                formula: "global norm of the critic's gradient before clipping, at its last update with the batch",
                healthy: "steady",
                otherwise: "spikes: lower `critic.learning_rate`; `null`: it was NaN or infinite, and nothing was updated by it",
            }
            #[serde(skip_serializing_if = "Option::is_none")]
            critic_learning_rate: Option<f64> {
                formula: "the critic's, times its schedule",
                healthy: "as configured",
            }
        }
        "grpo-time" {
            generation_s: f64 {
                unit: "s",
                formula: "sampling, and handing completions to the judge",
                otherwise: "raise `memory.batch_rows`; lower `max_tokens`",
            }
            reward_s: f64 {
                unit: "s",
                formula: "waiting for the judge after the last token",
                otherwise: "the judge is slower than sampling",
            }
            training_s: f64 {
                unit: "s",
                formula: "scoring, gradients, update",
                otherwise: "raise `memory.token_budget` as far as memory allows; `memory.workers` for tiny models on the CPU",
            }
            step_s: f64 {
                unit: "s",
                formula: "the whole step; evaluation and checkpoints come on top",
            }
            generated_tokens_per_s: f64 {
                unit: "tokens/s",
                formula: "`completion_tokens / generation_s`",
            }
        }
    }
}

/// The part of [`GrpoMetrics`] that the rollouts alone decide.
#[derive(Debug, Clone, Default)]
pub struct RewardStatistics {
    pub(crate) reward_mean: f64,
    pub(crate) reward_std: f64,
    pub(crate) components: BTreeMap<String, f64>,
    pub(crate) components_std: BTreeMap<String, f64>,
    pub(crate) zero_variance_groups: f64,
    pub(crate) truncated: f64,
    pub(crate) failed_judgements: usize,
    pub(crate) undecided_judgements: usize,
    pub(crate) unjudged_by: Option<BTreeMap<String, usize>>,
    pub(crate) completions: usize,
    pub(crate) completion_tokens: usize,
    pub(crate) length_mean: f64,
    pub(crate) length_max: usize,
}

impl RewardStatistics {
    /// Metrics with these figures set and all others 0.
    pub(crate) fn into_metrics(self) -> GrpoMetrics {
        GrpoMetrics {
            reward_mean: self.reward_mean,
            reward_std: self.reward_std,
            components: self.components,
            components_std: self.components_std,
            zero_variance_groups: self.zero_variance_groups,
            truncated: self.truncated,
            failed_judgements: self.failed_judgements,
            undecided_judgements: self.undecided_judgements,
            unjudged_by: self.unjudged_by,
            completions: self.completions,
            completion_tokens: self.completion_tokens,
            length_mean: self.length_mean,
            length_max: self.length_max,
            ..GrpoMetrics::default()
        }
    }
}

impl StepMetrics for GrpoMetrics {
    fn figures(&self) -> serde_json::Result<Map<String, Value>> {
        fields(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn vitals(&self) -> Vitals {
        let kl = self.kl.into_iter().chain(self.kl_reward);
        Vitals {
            update: Some(UpdateVitals {
                loss: self.loss,
                grad_norm: self.grad_norm,
            }),
            rollouts: Some(RolloutVitals {
                completions: self.completions,
                failed_judgements: self.failed_judgements,
                undecided_judgements: self.undecided_judgements,
                zero_variance_groups: self.zero_variance_groups,
                pass_rate: self.pass_rate,
                reward_mean: self.reward_mean,
                reward_std: self.reward_std,
                length_mean: self.length_mean,
                truncated: self.truncated,
                entropy: self.entropy,
                kl: kl.filter(|kl| kl.is_finite()).reduce(f64::max),
                mismatch_mean: self.mismatch_mean,
                staleness_max: self.staleness_max,
            }),
            idle_experts: self.idle_experts,
            ..Vitals::default()
        }
    }

    fn line(&self) -> String {
        let components: Vec<String> = self
            .components
            .iter()
            .map(|(name, value)| format!("{name} {value:.3}"))
            .collect();
        let mut line = format!(
            "reward {:.3} ({})  length {:.1}  entropy {:.3}  grad {:.2}  same {:.0} %  cut {:.0} %  {:.0} tok/s  {:.1} s",
            self.reward_mean,
            components.join(", "),
            self.length_mean,
            self.entropy,
            self.grad_norm,
            100.0 * self.zero_variance_groups,
            100.0 * self.truncated,
            self.generated_tokens_per_s,
            self.step_s,
        );
        if let Some(explained) = self.explained_variance {
            line += &format!("  explained {explained:.2}");
        }
        if self.failed_judgements > 0 {
            line += &format!("  FAILED JUDGEMENTS {}", self.failed_judgements);
        }
        if self.undecided_judgements > 0 {
            line += &format!("  undecided {}", self.undecided_judgements);
        }
        if let Some(by) = &self.unjudged_by {
            let by: Vec<String> = by.iter().map(|(whose, n)| format!("{whose} {n}")).collect();
            line += &format!(" ({})", by.join(", "));
        }
        line
    }
}

/// The share of judged completions that are right: the component `correct` is above 0.5. A
/// completion that the component does not apply to is not counted; of none it is NaN.
pub fn pass_rate<'g>(groups: impl Iterator<Item = &'g RolloutGroup>, correct: &str) -> f64 {
    let completions = groups.flat_map(|group| &group.completions);
    let scores: Vec<f64> = completions.filter_map(|c| c.component(correct)).collect();
    scores.iter().filter(|&&score| score > 0.5).count() as f64 / scores.len() as f64
}
