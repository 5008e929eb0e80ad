//! Which alarms there are, and what to do about each.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::{AlarmAction, AlarmsSection};

/// What can go bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// The loss or the gradient is NaN or infinite.
    NotFinite,
    /// Rewards do not differ.
    ConstantReward,
    /// Judges fail.
    FailedJudges,
    /// The policy has stopped exploring.
    EntropyCollapse,
    /// Completions only grow.
    RunawayLength,
    /// The reward is lost again.
    RewardCollapse,
    /// The policy is far from its reference.
    KlExplosion,
    /// Sampler and trainer disagree.
    Mismatch,
    /// Experts get no tokens.
    IdleExperts,
    /// Both sides of pairs become less likely.
    LikelihoodDisplacement,
}

impl AlarmKind {
    /// All of them, the gravest first.
    pub const ALL: [Self; 10] = [
        Self::NotFinite,
        Self::ConstantReward,
        Self::FailedJudges,
        Self::EntropyCollapse,
        Self::RunawayLength,
        Self::RewardCollapse,
        Self::KlExplosion,
        Self::Mismatch,
        Self::IdleExperts,
        Self::LikelihoodDisplacement,
    ];

    /// Its name in a config below `[alarms]`, and in the log.
    pub fn key(self) -> &'static str {
        match self {
            Self::NotFinite => "not_finite",
            Self::ConstantReward => "constant_reward",
            Self::FailedJudges => "failed_judges",
            Self::EntropyCollapse => "entropy_collapse",
            Self::RunawayLength => "runaway_length",
            Self::RewardCollapse => "reward_collapse",
            Self::KlExplosion => "kl_explosion",
            Self::Mismatch => "mismatch",
            Self::IdleExperts => "idle_experts",
            Self::LikelihoodDisplacement => "likelihood_displacement",
        }
    }

    /// What the config wants done about it.
    pub fn action(self, config: &AlarmsSection) -> AlarmAction {
        match self {
            Self::NotFinite => config.not_finite.action,
            Self::ConstantReward => config.constant_reward.action,
            Self::FailedJudges => config.failed_judges.action,
            Self::EntropyCollapse => config.entropy_collapse.action,
            Self::RunawayLength => config.runaway_length.action,
            Self::RewardCollapse => config.reward_collapse.action,
            Self::KlExplosion => config.kl_explosion.action,
            Self::Mismatch => config.mismatch.action,
            Self::IdleExperts => config.idle_experts.action,
            Self::LikelihoodDisplacement => config.likelihood_displacement.action,
        }
    }

    /// When it goes off.
    pub fn condition(self) -> &'static str {
        match self {
            Self::NotFinite => {
                "the loss or the gradient norm of a step is NaN or infinite. Nothing is updated by it, so that going on skips its batch; `in_a_row` such steps stop the run whatever `action` says"
            }
            Self::ConstantReward => {
                "`zero_variance_groups` is 1 and `pass_rate` below `alarms.solved`, `steps` in a row: nothing is learnt and time is spent"
            }
            Self::FailedJudges => {
                "judges failed on at least `share` of the completions, `steps` in a row: what is left may not be a fair sample"
            }
            Self::EntropyCollapse => {
                "`entropy` is below `below`, at least `same_groups` of the groups have equal rewards and `pass_rate` is below `alarms.solved`, `steps` in a row: the samples of a group are nearly the same and wrong (DAPO, arXiv 2503.14476, §3.1). Low entropy alone is also what success looks like"
            }
            Self::RunawayLength => {
                "the reward is not above that of the window before, and either more than `truncated` of the completions are cut off, where it was less than half of that at the start of the stage, or they are `growth` times as long as at its start and still grow by a tenth a window"
            }
            Self::RewardCollapse => {
                "the moving average of the reward has lost `lost` of its best, counted from 0 or from the lowest average where that is negative, and the fall is more than three standard errors"
            }
            Self::KlExplosion => "`kl` or `kl_reward` is above `above`, `steps` in a row",
            Self::Mismatch => {
                "`mismatch_mean` is above `above` though `staleness_max` is 0, `steps` in a row"
            }
            Self::IdleExperts => {
                "at least `share` of the experts got no token, `steps` in a row: the routers have forgotten them"
            }
            Self::LikelihoodDisplacement => {
                "both `chosen_log_ratio` and `rejected_log_ratio` are below −`below`, `steps` in a row: the margin grows because rejected answers fall faster, and what rises instead is in no pair (arXiv 2410.08847)"
            }
        }
    }

    /// What to do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::NotFinite => {
                "lower the learning rate, set optimizer.max_grad_norm, look at the last lines of metrics.jsonl"
            }
            Self::ConstantReward => {
                "make the tasks easier or harder, raise sampling.temperature or the group, or look at the rewards in completions.jsonl"
            }
            Self::FailedJudges => {
                "read judge_error in completions.jsonl; mend the reward, or raise reward.deadline_s"
            }
            Self::EntropyCollapse => {
                "go back to an earlier checkpoint; lower the learning rate, raise epsilon_high, beta or sampling.temperature"
            }
            Self::RunawayLength => {
                "add a length component, set mask_truncated, or raise sampling.max_tokens if the thoughts are worth it"
            }
            Self::RewardCollapse => {
                "go back to an earlier checkpoint and lower the learning rate; no harm if a curriculum has just made the tasks harder"
            }
            Self::KlExplosion => "lower the learning rate, or raise the weight of the KL penalty",
            Self::Mismatch => {
                "sampling and training compute different things: compare with --device flex and report it"
            }
            Self::IdleExperts => {
                "balance in a supervised stage (stages.balance.rate), with larger batches; in GRPO set freeze_router"
            }
            Self::LikelihoodDisplacement => {
                "set sft_weight, raise beta, lower the learning rate or the epochs, or use pairs that differ more"
            }
        }
    }

    /// Its settings by default, as TOML.
    fn defaults(self) -> String {
        let all = toml::Table::try_from(AlarmsSection::default()).expect("the section is a table");
        let settings = all[self.key()].as_table().into_iter().flatten();
        let settings: Vec<String> = settings
            .map(|(key, value)| format!("{key} = {value}"))
            .collect();
        settings.join(", ")
    }
}

/// All alarms as a table in Markdown.
pub fn markdown() -> String {
    let mut text =
        "| alarm | goes off when | by default | what to do |\n|---|---|---|---|\n".to_owned();
    for kind in AlarmKind::ALL {
        let _ = writeln!(
            text,
            "| `{}` | {} | `{}` | {} |",
            kind.key(),
            kind.condition(),
            kind.defaults(),
            kind.hint()
        );
    }
    text
}
