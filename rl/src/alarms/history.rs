//! The last steps of a stage, and averages over them.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{AlarmsSection, GROWTH_IN_A_WINDOW, RolloutVitals, STANDARD_ERRORS};

/// What is remembered of a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Figures {
    reward: f64,
    reward_std: f64,
    completions: f64,
    length: f64,
    truncated: f64,
}

impl Figures {
    /// Nothing, when no completion was judged.
    pub(super) fn of(metrics: &RolloutVitals) -> Option<Self> {
        let known = metrics.reward_mean.is_finite() && metrics.length_mean.is_finite();
        known.then_some(Self {
            reward: metrics.reward_mean,
            reward_std: metrics.reward_std,
            completions: metrics.completions as f64,
            length: metrics.length_mean,
            truncated: metrics.truncated,
        })
    }
}

/// How a stage began.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    length: f64,
    truncated: f64,
}

/// The last steps of a stage, two windows of them at most.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct History {
    recent: VecDeque<Figures>,
    /// Averages over the first window.
    start: Option<Start>,
    /// Highest and lowest moving average of the reward.
    best: Option<f64>,
    worst: Option<f64>,
}

impl History {
    /// Adds a step.
    pub(super) fn push(&mut self, figures: Figures, window: usize) {
        if self.recent.len() >= 2 * window {
            self.recent.pop_front();
        }
        self.recent.push_back(figures);
        let Some(reward) = self.average(window, 0, |f| f.reward) else {
            return;
        };
        if self.start.is_none() {
            let average = |of| self.average(window, 0, of);
            let (length, truncated) = (average(|f| f.length), average(|f| f.truncated));
            self.start = length
                .zip(truncated)
                .map(|(length, truncated)| Start { length, truncated });
        }
        let known = |old: Option<f64>| old.unwrap_or(reward);
        self.best = Some(known(self.best).max(reward));
        self.worst = Some(known(self.worst).min(reward));
    }

    /// The mean over a window that ended `ago` windows ago; `None` when it is not full.
    fn average(&self, window: usize, ago: usize, of: fn(&Figures) -> f64) -> Option<f64> {
        let end = self.recent.len().checked_sub(ago * window)?;
        let begin = end.checked_sub(window)?;
        let values = self.recent.range(begin..end).map(of);
        Some(values.sum::<f64>() / window as f64)
    }

    /// Whether completions grow while the reward does not.
    pub(super) fn runaway(&self, config: &AlarmsSection) -> Option<String> {
        let both = |of: fn(&Figures) -> f64| {
            let now = self.average(config.window, 0, of)?;
            Some((now, self.average(config.window, 1, of)?))
        };
        let (reward, reward_before) = both(|f| f.reward)?;
        let (length, length_before) = both(|f| f.length)?;
        let (truncated, _) = both(|f| f.truncated)?;
        let start = self.start?;
        if reward > reward_before {
            return None;
        }
        let limit = config.runaway_length.truncated;
        let rewards = format!("while the mean reward went from {reward_before:.3} to {reward:.3}");
        if truncated >= limit && start.truncated < limit / 2.0 {
            return Some(format!(
                "{:.0} % of the completions are cut off, {:.0} % were at the start of the stage, {rewards}",
                100.0 * truncated,
                100.0 * start.truncated
            ));
        }
        let grown = length >= config.runaway_length.growth * start.length;
        (grown && length > GROWTH_IN_A_WINDOW * length_before).then(|| {
            format!(
                "mean length {length:.1} tokens, {length_before:.1} a window before, {:.1} at the start of the stage, {rewards}",
                start.length
            )
        })
    }

    /// Whether most of the best reward is lost.
    pub(super) fn collapse(&self, config: &AlarmsSection) -> Option<String> {
        let window = config.window;
        let reward = self.average(window, 0, |f| f.reward)?;
        let (best, worst) = (self.best?, self.worst?);
        let fall = best - reward;
        // The difference of two averages of `window · completions` rewards each.
        let spread = self.average(window, 0, |f| f.reward_std)?;
        let count = window as f64 * self.average(window, 0, |f| f.completions)?;
        let error = spread * (2.0 / count.max(1.0)).sqrt();
        let lost = config.reward_collapse.lost * (best - worst.min(0.0));
        (fall > lost && fall > STANDARD_ERRORS * error).then(|| {
            format!("the mean reward of {window} steps is {reward:.3}, its best was {best:.3}")
        })
    }
}
