//! `[alarms]`: when a run goes bad, and what is done about it.
//!
//! Stopping is the default where going on cannot be right: a loss that is NaN, rewards that
//! have not differed for many steps, a judge that fails. The others are signs that a person should
//! read, since a curriculum, a hard data set or a short run can look the same: they warn.

use serde::{Deserialize, Serialize};

use crate::checks::{above_zero, positive};

/// What is done about an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlarmAction {
    /// It is shown and logged, the run is saved, and ends with exit code 1.
    Stop,
    /// It is shown and logged.
    Warn,
    /// Disabled.
    Off,
}

/// Declares the settings of one alarm with their defaults.
macro_rules! alarm {
    (
        $(#[$doc:meta])*
        $name:ident: $action:ident {
            $($(#[$field_doc:meta])* $field:ident: $kind:ty = $default:literal,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            /// What is done about it.
            pub action: AlarmAction,
            $($(#[$field_doc])* pub $field: $kind,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { action: AlarmAction::$action, $($field: $default,)* }
            }
        }
    };
}

alarm! {
    /// The loss or the gradient norm is NaN or infinite: the step changes nothing.
    NotFinite: Stop {
        /// So many such steps in a row stop the run whatever `action` says.
        in_a_row: u64 = 5,
    }
}

alarm! {
    /// No group has two different rewards, and the tasks are not solved.
    ConstantReward: Stop {
        /// Steps in a row.
        steps: u64 = 20,
    }
}

alarm! {
    /// Judges fail.
    FailedJudges: Stop {
        /// Share of the completions of a step without a verdict because a judge failed.
        share: f64 = 0.5,
        /// Steps in a row.
        steps: u64 = 5,
    }
}

alarm! {
    /// The policy answers the same each time, and not rightly.
    EntropyCollapse: Warn {
        /// Mean entropy in nats.
        below: f64 = 0.05,
        /// Share of groups with equal rewards.
        same_groups: f64 = 0.8,
        /// Steps in a row.
        steps: u64 = 10,
    }
}

alarm! {
    /// Completions grow longer, and the reward does not.
    RunawayLength: Warn {
        /// Share of completions that are cut off, where it was below half of that at the start.
        truncated: f64 = 0.5,
        /// Mean length, as a multiple of that at the start.
        growth: f64 = 3.0,
    }
}

alarm! {
    /// The reward falls far below its best.
    RewardCollapse: Warn {
        /// Share of the best moving average that is lost.
        lost: f64 = 0.5,
    }
}

alarm! {
    /// The policy is far from the reference.
    KlExplosion: Warn {
        /// Mean KL divergence in nats a token.
        above: f64 = 1.0,
        /// Steps in a row.
        steps: u64 = 5,
    }
}

alarm! {
    /// Sampler and trainer disagree about the same weights.
    Mismatch: Warn {
        /// Mean difference of log-probabilities in nats.
        above: f64 = 0.01,
        /// Steps in a row.
        steps: u64 = 3,
    }
}

alarm! {
    /// Experts get no tokens.
    IdleExperts: Warn {
        /// Share of all experts.
        share: f64 = 0.25,
        /// Steps in a row.
        steps: u64 = 20,
    }
}

alarm! {
    /// Both sides of pairs become less likely.
    LikelihoodDisplacement: Warn {
        /// Mean log-ratio of both sides to the reference, in nats a token, below the negative of which they have fallen.
        below: f64 = 0.2,
        /// Steps in a row.
        steps: u64 = 10,
    }
}

/// When a run goes bad. Averages are over `window` steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AlarmsSection {
    /// Steps that moving averages are taken over.
    pub window: usize,
    /// Share of right completions from which on equal rewards are success, not failure.
    pub solved: f64,
    /// A loss or gradient that is NaN or infinite.
    pub not_finite: NotFinite,
    /// Rewards that do not differ.
    pub constant_reward: ConstantReward,
    /// Judges that fail.
    pub failed_judges: FailedJudges,
    /// A policy that has stopped exploring.
    pub entropy_collapse: EntropyCollapse,
    /// Completions that only grow.
    pub runaway_length: RunawayLength,
    /// A reward that is lost again.
    pub reward_collapse: RewardCollapse,
    /// A policy far from its reference.
    pub kl_explosion: KlExplosion,
    /// A sampler that disagrees with the trainer.
    pub mismatch: Mismatch,
    /// Experts without tokens.
    pub idle_experts: IdleExperts,
    /// Pairs both sides of which become less likely.
    pub likelihood_displacement: LikelihoodDisplacement,
}

impl Default for AlarmsSection {
    fn default() -> Self {
        Self {
            window: 20,
            solved: 0.95,
            not_finite: NotFinite::default(),
            constant_reward: ConstantReward::default(),
            failed_judges: FailedJudges::default(),
            entropy_collapse: EntropyCollapse::default(),
            runaway_length: RunawayLength::default(),
            reward_collapse: RewardCollapse::default(),
            kl_explosion: KlExplosion::default(),
            mismatch: Mismatch::default(),
            idle_experts: IdleExperts::default(),
            likelihood_displacement: LikelihoodDisplacement::default(),
        }
    }
}

impl AlarmsSection {
    /// Checks the thresholds.
    ///
    /// # Errors
    /// When a number is out of its range.
    pub fn validate(&self) -> Result<(), String> {
        positive("alarms.window", self.window)?;
        if self.window > 10_000 {
            return Err(format!(
                "alarms.window = {} must be at most 10000: every checkpoint holds that many steps twice",
                self.window
            ));
        }
        for (name, steps) in [
            ("not_finite.in_a_row", self.not_finite.in_a_row),
            ("constant_reward.steps", self.constant_reward.steps),
            ("failed_judges.steps", self.failed_judges.steps),
            ("entropy_collapse.steps", self.entropy_collapse.steps),
            ("kl_explosion.steps", self.kl_explosion.steps),
            ("mismatch.steps", self.mismatch.steps),
            ("idle_experts.steps", self.idle_experts.steps),
            (
                "likelihood_displacement.steps",
                self.likelihood_displacement.steps,
            ),
        ] {
            positive(&format!("alarms.{name}"), steps as usize)?;
        }
        for (name, share) in [
            ("solved", self.solved),
            ("failed_judges.share", self.failed_judges.share),
            (
                "entropy_collapse.same_groups",
                self.entropy_collapse.same_groups,
            ),
            ("runaway_length.truncated", self.runaway_length.truncated),
            ("reward_collapse.lost", self.reward_collapse.lost),
            ("idle_experts.share", self.idle_experts.share),
        ] {
            if !(share > 0.0 && share <= 1.0) {
                return Err(format!(
                    "alarms.{name} = {share} must be above 0 and at most 1"
                ));
            }
        }
        above_zero("alarms.entropy_collapse.below", self.entropy_collapse.below)?;
        above_zero("alarms.kl_explosion.above", self.kl_explosion.above)?;
        above_zero("alarms.mismatch.above", self.mismatch.above)?;
        above_zero(
            "alarms.likelihood_displacement.below",
            self.likelihood_displacement.below,
        )?;
        if self.runaway_length.growth > 1.0 && self.runaway_length.growth.is_finite() {
            Ok(())
        } else {
            Err(format!(
                "alarms.runaway_length.growth = {} must be above 1",
                self.runaway_length.growth
            ))
        }
    }
}
