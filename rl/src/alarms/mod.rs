//! Alarms: a run that goes bad says so by itself.
//!
//! | file | subject |
//! |---|---|
//! | `kind` | which alarms there are, and what to do about each |
//! | `history` | the last steps, and averages over them |
//! | `section` | `[alarms]` of a config |
//!
//! A [`Monitor`] is shown the [`Vitals`] of every step, whatever kind of stage made it. What it remembers is part of the
//! checkpoint, so that a resumed run raises the same alarms at the same steps.

mod history;
mod kind;
mod section;

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

pub use kind::{AlarmKind, markdown};
pub use section::{AlarmAction, AlarmsSection};

use history::{Figures, History};

/// Lengths that grow by less than this from one window to the next do not run away.
const GROWTH_IN_A_WINDOW: f64 = 1.1;
/// A reward has fallen when it did by so many standard errors.
const STANDARD_ERRORS: f64 = 3.0;

/// What alarms look at of a step; a stage says what it has.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Vitals {
    /// The update, if one was made.
    pub update: Option<UpdateVitals>,
    /// What was sampled, if anything was.
    pub rollouts: Option<RolloutVitals>,
    /// Share of the experts that no token went to, in a model that has any.
    pub idle_experts: Option<f64>,
    /// What has become of the answers of pairs, if there are any.
    pub preference: Option<PreferenceVitals>,
}

/// How far the answers of pairs have moved from the reference: means over pairs, in nats a token.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PreferenceVitals {
    /// log π − log π_ref of the chosen answers.
    pub chosen: f64,
    /// That of the rejected answers.
    pub rejected: f64,
}

/// An update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UpdateVitals {
    /// Its loss.
    pub loss: f64,
    /// Global norm of its gradient before clipping.
    pub grad_norm: f64,
}

/// Completions of a step and what was learnt from them. Means of nothing are NaN.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RolloutVitals {
    /// Completions sampled.
    pub completions: usize,
    /// Those whose judge failed.
    pub failed_judgements: usize,
    /// Those that a judge could tell neither right nor wrong.
    pub undecided_judgements: usize,
    /// Share of the groups whose rewards are all the same.
    pub zero_variance_groups: f64,
    /// Share of the judged completions that are right.
    pub pass_rate: f64,
    /// Mean total reward.
    pub reward_mean: f64,
    /// Its standard deviation.
    pub reward_std: f64,
    /// Mean length, in tokens.
    pub length_mean: f64,
    /// Share of the completions that were cut off.
    pub truncated: f64,
    /// Mean entropy, in nats.
    pub entropy: f64,
    /// Largest KL divergence from the reference that is penalised, in nats a token.
    pub kl: Option<f64>,
    /// Mean difference of log-probabilities between sampler and trainer, in nats.
    pub mismatch_mean: f64,
    /// Updates by which the sampling policy was behind, at most.
    pub staleness_max: u64,
}

/// Something went bad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// What.
    pub kind: AlarmKind,
    /// The figures.
    pub message: String,
    /// Whether the run is to stop.
    pub stops: bool,
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.key(), self.message)
    }
}

/// What alarms remember of the steps of a stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Monitor {
    /// Index of the stage that is watched; each begins anew.
    stage: usize,
    history: History,
    /// Steps in a row for which the condition of an alarm has held.
    streaks: BTreeMap<AlarmKind, u64>,
    /// Steps for which an alarm over a window stays quiet, since it went off just before.
    quiet: BTreeMap<AlarmKind, u64>,
}

impl Monitor {
    /// The alarms that a step raises. One that has gone off starts to count anew, so it comes again
    /// when things stay as bad for as long again.
    pub fn watch(&mut self, config: &AlarmsSection, stage: usize, vitals: &Vitals) -> Vec<Alarm> {
        if self.stage != stage {
            *self = Self {
                stage,
                ..Self::default()
            };
        }
        let mut alarms = Vec::new();
        if let Some(UpdateVitals { loss, grad_norm }) = vitals.update {
            self.finite(config, loss, grad_norm, &mut alarms);
        }
        self.idle(config, vitals.idle_experts, &mut alarms);
        self.displaced(config, vitals.preference, &mut alarms);
        if let Some(rollouts) = &vitals.rollouts {
            self.streaks_of(config, rollouts, &mut alarms);
            if let Some(figures) = Figures::of(rollouts) {
                self.history.push(figures, config.window);
                self.windows(config, &mut alarms);
            }
        }
        alarms.retain(|alarm| alarm.stops || alarm.kind.action(config) != AlarmAction::Off);
        alarms
    }

    /// A loss or gradient that is NaN or infinite; too many in a row stop the run whatever the config says
    /// of one.
    fn finite(
        &mut self,
        config: &AlarmsSection,
        loss: f64,
        grad_norm: f64,
        alarms: &mut Vec<Alarm>,
    ) {
        let kind = AlarmKind::NotFinite;
        let streak = self.streaks.entry(kind).or_default();
        let (what, value) = match (loss.is_finite(), grad_norm.is_finite()) {
            (true, true) => {
                *streak = 0;
                return;
            }
            (false, _) => ("loss", loss),
            (true, false) => ("gradient norm", grad_norm),
        };
        *streak += 1;
        let times = match *streak {
            1 => String::new(),
            times => format!(", {times} steps in a row"),
        };
        alarms.push(Alarm {
            kind,
            message: format!("the {what} is {value}{times}; nothing was updated by it"),
            stops: kind.action(config) == AlarmAction::Stop
                || *streak >= config.not_finite.in_a_row,
        });
        if *streak >= config.not_finite.in_a_row {
            *streak = 0;
        }
    }

    /// Chosen and rejected answers that become less likely together, some steps in a row.
    fn displaced(
        &mut self,
        config: &AlarmsSection,
        vitals: Option<PreferenceVitals>,
        alarms: &mut Vec<Alarm>,
    ) {
        let Some(PreferenceVitals { chosen, rejected }) = vitals else {
            return;
        };
        let (kind, limits) = (
            AlarmKind::LikelihoodDisplacement,
            config.likelihood_displacement,
        );
        let streak = self.streaks.entry(kind).or_default();
        let fell = chosen < -limits.below && rejected < -limits.below;
        *streak = if fell { *streak + 1 } else { 0 };
        if *streak >= limits.steps {
            *streak = 0;
            alarms.push(Alarm {
                kind,
                message: format!(
                    "chosen answers have lost {:.3} and rejected ones {:.3} nats a token against the reference, {} steps in a row",
                    -chosen, -rejected, limits.steps
                ),
                stops: limits.action == AlarmAction::Stop,
            });
        }
    }

    /// Experts that get no tokens for some steps in a row.
    fn idle(&mut self, config: &AlarmsSection, share: Option<f64>, alarms: &mut Vec<Alarm>) {
        let Some(share) = share.filter(|share| share.is_finite()) else {
            return;
        };
        let (kind, limits) = (AlarmKind::IdleExperts, config.idle_experts);
        let streak = self.streaks.entry(kind).or_default();
        *streak = if share >= limits.share {
            *streak + 1
        } else {
            0
        };
        if *streak >= limits.steps {
            *streak = 0;
            alarms.push(Alarm {
                kind,
                message: format!(
                    "{:.0} % of the experts got no token, {} steps in a row",
                    100.0 * share,
                    limits.steps
                ),
                stops: limits.action == AlarmAction::Stop,
            });
        }
    }

    /// Alarms that go off when something holds for some steps in a row.
    fn streaks_of(
        &mut self,
        config: &AlarmsSection,
        metrics: &RolloutVitals,
        alarms: &mut Vec<Alarm>,
    ) {
        let mut raise = |kind, steps: u64, holds: Option<bool>, message: &dyn Fn() -> String| {
            let streak = self.streaks.entry(kind).or_default();
            match holds {
                Some(true) => *streak += 1,
                Some(false) => *streak = 0,
                None => {} // not measured in this step
            }
            if *streak >= steps {
                *streak = 0;
                alarms.push(Alarm {
                    kind,
                    message: format!("{}, {steps} steps in a row", message()),
                    stops: kind.action(config) == AlarmAction::Stop,
                });
            }
        };
        let completions = metrics.completions.max(1);
        let judged = metrics.failed_judgements + metrics.undecided_judgements < completions;
        let same = metrics.zero_variance_groups;
        let right = metrics.pass_rate;
        // Not a number, when nothing says what is right, is not solved.
        let solved = right >= config.solved;

        raise(
            AlarmKind::ConstantReward,
            config.constant_reward.steps,
            judged.then_some(same >= 1.0 && !solved),
            &|| {
                format!(
                    "no group had two different rewards (mean {:.3}, {})",
                    metrics.reward_mean,
                    share_right(right)
                )
            },
        );
        let failed = metrics.failed_judgements as f64 / completions as f64;
        raise(
            AlarmKind::FailedJudges,
            config.failed_judges.steps,
            Some(failed >= config.failed_judges.share),
            &|| {
                format!(
                    "judges failed on {} of {} completions",
                    metrics.failed_judgements, metrics.completions
                )
            },
        );
        let collapse = config.entropy_collapse;
        let entropy = metrics.entropy;
        raise(
            AlarmKind::EntropyCollapse,
            collapse.steps,
            (judged && entropy.is_finite())
                .then_some(entropy < collapse.below && same >= collapse.same_groups && !solved),
            &|| {
                format!(
                    "entropy {entropy:.4} nats with equal rewards in {:.0} % of the groups and only {}",
                    100.0 * same,
                    share_right(right)
                )
            },
        );
        let kl = metrics.kl;
        raise(
            AlarmKind::KlExplosion,
            config.kl_explosion.steps,
            kl.map(|kl| kl > config.kl_explosion.above),
            &|| format!("KL divergence {:.3} nats a token", kl.unwrap_or(f64::NAN)),
        );
        // Stale completions differ by what the policy has learnt since.
        let mismatch = metrics.mismatch_mean;
        raise(
            AlarmKind::Mismatch,
            config.mismatch.steps,
            (mismatch.is_finite() && metrics.staleness_max == 0)
                .then_some(mismatch > config.mismatch.above),
            &|| format!("log-probabilities of sampler and trainer differ by {mismatch:.2e} nats"),
        );
    }

    /// Alarms about averages.
    fn windows(&mut self, config: &AlarmsSection, alarms: &mut Vec<Alarm>) {
        for kind in [AlarmKind::RunawayLength, AlarmKind::RewardCollapse] {
            let quiet = self.quiet.entry(kind).or_default();
            *quiet = quiet.saturating_sub(1);
            if *quiet > 0 {
                continue;
            }
            let message = match kind {
                AlarmKind::RunawayLength => self.history.runaway(config),
                _ => self.history.collapse(config),
            };
            if let Some(message) = message {
                *quiet = config.window as u64;
                alarms.push(Alarm {
                    kind,
                    message,
                    stops: kind.action(config) == AlarmAction::Stop,
                });
            }
        }
    }
}

fn share_right(right: f64) -> String {
    if right.is_finite() {
        format!("{:.1} % right", 100.0 * right)
    } else {
        "none known to be right".to_owned()
    }
}

#[cfg(test)]
mod tests;
