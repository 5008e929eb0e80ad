//! What a GRPO stage can be set to.

use serde::{Deserialize, Serialize};

use super::{
    advantage::{Baseline, ScaleRewards},
    correction::CorrectionConfig,
    critic::CriticConfig,
    kl::{AdaptiveKl, KlControl, KlEstimator, KlPlace, RefModel},
    loss::SharedObjective,
    objective::{Objective, ObjectiveConfig, RatioLevel, Surrogate},
};
use crate::{
    checks::{above_zero, positive},
    learner::{AdamWConfig, Schedule},
    stages::{SecondModel, Surroundings},
};

/// Settings of a GRPO stage. What is `None` is as the objective's paper has it ([`Objective::parts`]);
/// [`GrpoConfig::resolved`] spells it out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GrpoConfig {
    /// Steps of the stage.
    pub steps: u64,
    /// Prompts a step.
    pub prompts: usize,
    /// Completions a prompt.
    pub group: usize,
    /// Learning rate at the top of the schedule.
    pub learning_rate: f64,
    /// Course of the learning rate.
    pub schedule: Schedule,
    /// Steps of linear warm-up.
    pub warmup_steps: u64,
    /// Times that each batch is gone through (μ).
    pub iterations: u64,
    /// Updates made in going through a batch once, each with its share of the prompts.
    pub mini_batches: usize,
    /// Whether the routers of a model with experts keep their weights. Corrections for the choice stay in any case.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub freeze_router: bool,
    /// Whether training sends tokens to the experts that they went to while they were sampled.
    #[serde(skip_serializing_if = "RouterReplay::is_off")]
    pub router_replay: RouterReplay,
    /// The objective.
    pub loss: Objective,
    /// What the ratio is taken of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub importance_level: Option<RatioLevel>,
    /// The ratio is clipped below at `1 − epsilon`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// The ratio is clipped above at `1 + epsilon_high`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epsilon_high: Option<f64>,
    /// The largest ratio that counts where the clip does not apply (two-sided clipping, dual clip);
    /// absent: no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta: Option<f64>,
    /// SAPO's temperature where the advantage is positive.
    pub tau_positive: f64,
    /// SAPO's temperature elsewhere.
    pub tau_negative: f64,
    /// Weight of the KL penalty against the reference; 0: none, and no reference.
    pub beta: f64,
    /// How the KL divergence is estimated.
    pub kl_estimator: KlEstimator,
    /// Where the penalty is taken off.
    pub kl_in: KlPlace,
    /// A weight of the KL penalty in the reward that follows the divergence; it begins with `beta`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptive_kl: Option<AdaptiveKl>,
    /// The reference.
    #[serde(skip_serializing_if = "is_default")]
    pub ref_model: RefModel,
    /// Steps after which the policy becomes the reference; 0: the reference stays what it was at the start of the stage.
    pub reference_every: u64,
    /// Weight of an entropy bonus.
    pub entropy_coefficient: f64,
    /// Share of the tokens of a step, those of highest entropy, that the objective is taken of
    /// (0.2 in arXiv 2506.01939, §4); 1: all.
    pub top_entropy: f64,
    /// What rewards are compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// What compared rewards are divided by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_rewards: Option<ScaleRewards>,
    /// Normalise each component of the rubric within its group before they are added up (GDPO, arXiv
    /// 2601.05242).
    pub normalize_components: bool,
    /// Leave completions that were cut off out of the loss (overlong filtering, DAPO §3.4).
    pub mask_truncated: bool,
    /// Whose log-probabilities ratios start from.
    pub old_policy: OldPolicy,
    /// Batches that sampling may be ahead of training, which is `max_staleness` times the updates of a batch in versions of the
    /// policy; 0: they take turns, else sampling goes on while the policy is trained.
    pub max_staleness: u64,
    /// The optimiser.
    pub optimizer: AdamWConfig,
    /// How a difference between sampler and trainer is made up for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correction: Option<CorrectionConfig>,
    /// Sample again for groups that teach nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dynamic_sampling: Option<DynamicSampling>,
    /// A value function, by which each token has an advantage of its own (PPO, arXiv 1707.06347); absent: completions are
    /// compared with each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub critic: Option<CriticConfig>,
    /// An objective of the caller's own in place of `loss`; no config file can have one.
    #[serde(skip)]
    pub own_objective: Option<SharedObjective>,
}

/// Which experts tokens go to in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouterReplay {
    /// Those that the router chooses then.
    #[default]
    Off,
    /// Those that the sampler's router has chosen, whatever the policy has become since (rollout routing replay, arXiv 2510.11370). Their
    /// weights are those of the router as it is, and its gradient goes through them.
    R3,
}

impl RouterReplay {
    fn is_off(&self) -> bool {
        *self == Self::Off
    }
}

/// Whose log-probabilities ratios start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OldPolicy {
    /// The trainer's before the first update with the batch: a difference from the sampler is left
    /// to `correction` (decoupled PPO, arXiv 2110.00641).
    #[default]
    Trainer,
    /// The sampler's: the clip bounds the whole way from there.
    Sampler,
}

/// Groups whose rewards are all the same are replaced by others (DAPO, arXiv 2503.14476, §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DynamicSampling {
    /// Times that a step may sample, the first included. What is missing then is filled up with
    /// groups that teach nothing, so that a step always has its prompts.
    pub max_batches: usize,
}

impl Default for DynamicSampling {
    /// NeMo-RL's bound.
    fn default() -> Self {
        Self { max_batches: 10 }
    }
}

impl Default for GrpoConfig {
    fn default() -> Self {
        Self {
            steps: 100,
            prompts: 8,
            group: 8,
            learning_rate: 1e-6,
            schedule: Schedule::Constant,
            warmup_steps: 0,
            iterations: 1,
            mini_batches: 1,
            freeze_router: false,
            router_replay: RouterReplay::Off,
            loss: Objective::Dapo,
            importance_level: None,
            epsilon: None,
            epsilon_high: None,
            delta: None,
            tau_positive: 1.0,
            tau_negative: 1.05,
            beta: 0.0,
            kl_estimator: KlEstimator::K3,
            kl_in: KlPlace::Loss,
            adaptive_kl: None,
            ref_model: RefModel::StageStart,
            reference_every: 0,
            entropy_coefficient: 0.0,
            top_entropy: 1.0,
            baseline: None,
            scale_rewards: None,
            normalize_components: false,
            mask_truncated: false,
            old_policy: OldPolicy::Trainer,
            max_staleness: 0,
            optimizer: AdamWConfig::default(),
            correction: None,
            dynamic_sampling: None,
            critic: None,
            own_objective: None,
        }
    }
}

impl GrpoConfig {
    /// The same with everything spelled out that the objective decides.
    pub fn resolved(mut self) -> Self {
        let objective = self.objective();
        self.importance_level = Some(objective.level);
        self.epsilon = Some(objective.epsilon);
        self.epsilon_high = Some(objective.epsilon_high);
        if let Some(critic) = &mut self.critic {
            // What it says takes the place of both.
            critic.lam_critic = Some(critic.lam_critic());
            critic.iterations.get_or_insert(self.iterations);
            critic.mini_batches.get_or_insert(self.mini_batches);
        } else {
            self.baseline = Some(self.baseline());
            self.scale_rewards = Some(self.scale_rewards());
        }
        self
    }

    /// The objective with its constants.
    pub fn objective(&self) -> ObjectiveConfig {
        let named = ObjectiveConfig::named(self.loss);
        ObjectiveConfig {
            level: self.importance_level.unwrap_or(named.level),
            epsilon: self.epsilon.unwrap_or(named.epsilon),
            epsilon_high: self.epsilon_high.unwrap_or(named.epsilon_high),
            delta: self.delta,
            tau_positive: self.tau_positive,
            tau_negative: self.tau_negative,
            beta: match self.kl_in {
                KlPlace::Loss => self.beta,
                KlPlace::Reward => 0.0,
            },
            kl: self.kl_estimator,
            entropy_coefficient: self.entropy_coefficient,
            correction: self.correction,
            ..named
        }
    }

    /// What rewards are compared with.
    pub fn baseline(&self) -> Baseline {
        self.baseline.unwrap_or(self.loss.parts().baseline)
    }

    /// What compared rewards are divided by.
    pub fn scale_rewards(&self) -> ScaleRewards {
        self.scale_rewards
            .unwrap_or(self.loss.parts().scale_rewards)
    }

    /// Weight of the KL penalty in the reward.
    pub fn reward_beta(&self) -> f64 {
        match self.kl_in {
            KlPlace::Loss => 0.0,
            KlPlace::Reward => self.beta,
        }
    }

    /// The weight of the KL penalty in the reward, as it is before the first step.
    pub fn kl_control(&self) -> KlControl {
        KlControl::new(self.reward_beta(), self.adaptive_kl)
    }

    /// Whether a batch is sampled and then trained on as a whole, by the policy that sampled it: neither ahead of training
    /// nor in parts.
    pub fn at_once(&self) -> bool {
        self.max_staleness == 0 && self.mini_batches == 1
    }

    /// What it holds of a second model: its reference.
    pub(super) fn second_model(&self, around: &Surroundings) -> SecondModel {
        if self.beta == 0.0 {
            return SecondModel::None;
        }
        match (&self.ref_model, around.lora) {
            (RefModel::Base, _) => SecondModel::None,
            (RefModel::StageStart, Some(_)) => SecondModel::Adapters,
            (RefModel::StageStart, None) | (RefModel::Path(_), _) => SecondModel::Whole,
        }
    }

    /// Updates made with each batch.
    pub fn updates(&self) -> u64 {
        self.iterations * self.mini_batches as u64
    }

    /// Checks the stage, beside the rest of the run.
    ///
    /// # Errors
    /// The first contradiction; it names the keys and their values.
    pub fn validate(&self, around: &Surroundings) -> Result<(), String> {
        self.validate_shape(around)?;
        self.validate_objective()?;
        self.validate_critic(around)?;
        self.validate_policies(around)
    }

    fn validate_shape(&self, around: &Surroundings) -> Result<(), String> {
        positive("steps", self.steps as usize)?;
        positive("prompts", self.prompts)?;
        positive("iterations", self.iterations as usize)?;
        positive("mini_batches", self.mini_batches)?;
        above_zero("learning_rate", self.learning_rate)?;
        if self.group < 2 && self.baseline() != Baseline::None && self.critic.is_none() {
            return Err(format!(
                "group = {} must be at least 2: advantages compare completions of one prompt (loss = \"reinforce++\" and a critic do not)",
                self.group
            ));
        }
        positive("group", self.group)?;
        if !self.prompts.is_multiple_of(self.mini_batches) {
            return Err(format!(
                "prompts = {} must be a multiple of mini_batches = {}",
                self.prompts, self.mini_batches
            ));
        }
        if around.sampling.temperature == 0.0 {
            return Err(
                "sampling.temperature = 0 gives equal completions: set it above 0".to_owned(),
            );
        }
        let (budget, longest) = (around.memory.token_budget, around.sampling.max_tokens);
        if budget < longest {
            return Err(format!(
                "memory.token_budget = {budget} holds no completion of sampling.max_tokens = {longest}: raise the one (to that and the longest prompt) or lower the other"
            ));
        }
        match self.dynamic_sampling {
            Some(DynamicSampling { max_batches }) => {
                positive("dynamic_sampling.max_batches", max_batches)
            }
            None => Ok(()),
        }
    }

    fn validate_objective(&self) -> Result<(), String> {
        let ObjectiveConfig {
            surrogate,
            level,
            epsilon,
            epsilon_high,
            ..
        } = self.objective();
        for (name, value) in [("epsilon", epsilon), ("epsilon_high", epsilon_high)] {
            if !(value > 0.0 && value.is_finite()) || (name == "epsilon" && value > 1.0) {
                return Err(format!(
                    "{name} = {value} must be above 0 (and epsilon at most 1)"
                ));
            }
        }
        above_zero("tau_positive", self.tau_positive)?;
        above_zero("tau_negative", self.tau_negative)?;
        if let Some(delta) = self.delta {
            if surrogate != Surrogate::Clip {
                return Err(format!(
                    "delta = {delta} bounds a clipped ratio, and loss = {} has none",
                    quoted(&self.loss)
                ));
            }
            if !(delta > 1.0 + epsilon_high && delta.is_finite()) {
                return Err(format!(
                    "delta = {delta} must be above 1 + epsilon_high = {}",
                    1.0 + epsilon_high
                ));
            }
        }
        if surrogate == Surrogate::GeometricMean && level != RatioLevel::Token {
            return Err(format!(
                "importance_level = {} contradicts loss = \"gmpo\", which clips each token's ratio before it takes their geometric mean",
                quoted(&level)
            ));
        }
        if surrogate == Surrogate::GeometricMean && self.top_entropy < 1.0 {
            return Err(format!(
                "top_entropy = {} leaves tokens out, and loss = \"gmpo\" takes the mean of all tokens: leave it out",
                self.top_entropy
            ));
        }
        let coupled = self.objective().couples_tokens();
        if coupled && self.scale_rewards() == ScaleRewards::Whiten && self.reward_beta() > 0.0 {
            return Err(format!(
                "kl_in = \"reward\" with scale_rewards = \"whiten\" gives each token an advantage of its own, and importance_level = {} has one ratio for all of them: set importance_level = \"token\", or kl_in = \"loss\"",
                quoted(&level)
            ));
        }
        for (name, value) in [
            ("beta", self.beta),
            ("entropy_coefficient", self.entropy_coefficient),
        ] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(format!("{name} = {value} must be 0 or more"));
            }
        }
        if self.top_entropy > 0.0 && self.top_entropy <= 1.0 {
            Ok(())
        } else {
            Err(format!(
                "top_entropy = {} must be above 0 and at most 1",
                self.top_entropy
            ))
        }
    }

    fn validate_reference(&self, around: &Surroundings) -> Result<(), String> {
        if is_default(&self.ref_model) {
            return Ok(());
        }
        let named = quoted(&self.ref_model);
        if self.beta == 0.0 {
            return Err(format!(
                "ref_model = {named} is what a KL penalty compares with, and beta = 0 takes none: set beta above 0"
            ));
        }
        if self.reference_every > 0 {
            return Err(format!(
                "reference_every = {} makes the policy the reference now and then, and ref_model = {named} stays: leave one of them out",
                self.reference_every
            ));
        }
        if self.ref_model == RefModel::Base && around.lora.is_none() {
            return Err(
                "ref_model = \"base\" is the policy with its adapters off, and there is no [lora]: name the model, ref_model = { path = \"…\" }"
                    .to_owned(),
            );
        }
        Ok(())
    }

    fn validate_critic(&self, around: &Surroundings) -> Result<(), String> {
        let Some(critic) = &self.critic else {
            return Ok(());
        };
        critic.validate(self.steps, self.prompts, around.lora.is_some())?;
        let ObjectiveConfig {
            surrogate, level, ..
        } = self.objective();
        let one_for_all = matches!(level, RatioLevel::Sequence | RatioLevel::Completion);
        if surrogate == Surrogate::GeometricMean || one_for_all {
            return Err(format!(
                "critic gives each token an advantage of its own, and loss = {} with importance_level = {} has one ratio for all tokens of a completion: set importance_level = \"token\" (or \"sequence-token\"), or another loss",
                quoted(&self.loss),
                quoted(&level)
            ));
        }
        let compared = [
            ("baseline", self.baseline.map(|b| quoted(&b))),
            ("scale_rewards", self.scale_rewards.map(|s| quoted(&s))),
            (
                "normalize_components",
                self.normalize_components.then(|| "true".to_owned()),
            ),
        ];
        for (name, value) in compared {
            if let Some(value) = value {
                return Err(format!(
                    "{name} = {value} compares completions with each other, and critic says what they are compared with: leave one of them out"
                ));
            }
        }
        if self.group < 2 && self.dynamic_sampling.is_some() {
            return Err(format!(
                "dynamic_sampling replaces groups whose rewards are all the same, and in a group of {} they always are: leave it out, or raise group",
                self.group
            ));
        }
        Ok(())
    }

    fn validate_adaptive_kl(&self) -> Result<(), String> {
        let Some(adaptive) = &self.adaptive_kl else {
            return Ok(());
        };
        adaptive.validate()?;
        if self.beta == 0.0 || self.kl_in != KlPlace::Reward {
            return Err(format!(
                "adaptive_kl moves the weight of a KL penalty in the reward, and beta = {} with kl_in = {} takes none there: set beta above 0 and kl_in = \"reward\"",
                self.beta,
                quoted(&self.kl_in)
            ));
        }
        Ok(())
    }

    fn validate_policies(&self, around: &Surroundings) -> Result<(), String> {
        self.validate_reference(around)?;
        self.validate_adaptive_kl()?;
        if self.reference_every > 0 && self.beta == 0.0 {
            return Err(format!(
                "reference_every = {} renews a reference that beta = 0 does not use: set beta above 0",
                self.reference_every
            ));
        }
        if self.beta == 0.0 && (self.kl_in, self.kl_estimator) != Default::default() {
            return Err(format!(
                "kl_in = {} and kl_estimator = {} say how a KL penalty is taken, and beta = 0 takes none: set beta above 0",
                quoted(&self.kl_in),
                quoted(&self.kl_estimator)
            ));
        }
        if let Some(correction) = &self.correction {
            correction
                .validate()
                .map_err(|message| format!("correction.{message}"))?;
            if self.old_policy == OldPolicy::Sampler {
                return Err("correction makes up for the way from the sampler to the old policy, and old_policy = \"sampler\" makes them the same: leave one of them out".to_owned());
            }
        }
        let (staleness, most) = (self.max_staleness, 16);
        if staleness > most {
            return Err(format!(
                "max_staleness = {staleness} must be at most {most}"
            ));
        }
        if self.normalize_components && around.reward.rubric.total.is_some() {
            return Err("normalize_components adds the components up by their weights, and reward.rubric.total is a formula: leave one of them out".to_owned());
        }
        if self.normalize_components && self.reward_beta() > 0.0 {
            return Err("normalize_components takes the place of the total reward, and kl_in = \"reward\" takes a penalty off that: set kl_in = \"loss\", or leave one of them out".to_owned());
        }
        if self.normalize_components && (self.baseline, self.scale_rewards) != (None, None) {
            let resolved = (Some(self.baseline()), Some(self.scale_rewards()));
            let own = self.loss.parts();
            if resolved != (Some(own.baseline), Some(own.scale_rewards)) {
                return Err("normalize_components has its own baseline and scale: leave out `baseline` and `scale_rewards`".to_owned());
            }
        }
        Ok(())
    }
}

fn is_default(ref_model: &RefModel) -> bool {
    *ref_model == RefModel::default()
}

/// An enum as it stands in a config.
fn quoted(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
