//! From the rewards of a step to advantages: plain numbers, no tensors.

use serde::{Deserialize, Serialize};

/// What a reward is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Baseline {
    /// The mean of its group (GRPO, arXiv 2402.03300, §4.1.2).
    #[default]
    Group,
    /// The mean of the others of its group (RLOO, arXiv 2402.14740, eq. 7): `n / (n − 1)` times the
    /// difference from the mean.
    LeaveOneOut,
    /// Nothing: whitening compares it with the whole step (REINFORCE++, arXiv 2501.03262).
    None,
}

/// What compared rewards are divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScaleRewards {
    /// The standard deviation of the group's rewards (GRPO, arXiv 2402.03300, §4.1.2).
    #[default]
    Group,
    /// The standard deviation of all rewards of the step (PPO's lite form, arXiv 2508.08221).
    Batch,
    /// Nothing (Dr. GRPO, arXiv 2503.20783: the division favours too easy and too hard questions).
    None,
    /// The mean over all tokens of the step is taken off, and their standard deviation divides
    /// (REINFORCE++, arXiv 2501.03262).
    Whiten,
}

/// Added to a standard deviation, as in TRL.
const STD_EPSILON: f64 = 1e-4;

/// The advantage of each completion of each group; `None` without a verdict.
pub type Advantages = Vec<Vec<Option<f64>>>;

/// The rewards of one group. `None`: its judge failed, or the component does not apply.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GroupRewards {
    /// The total of each completion.
    pub totals: Vec<Option<f64>>,
    /// For each component, its weight and its score of each completion; empty unless components
    /// are normalised one by one.
    pub components: Vec<(f64, Vec<Option<f64>>)>,
}

/// The advantage of each completion, before whitening ([`whiten`]), which needs lengths. A total
/// that is `None` takes no part and gets `None`.
///
/// With components, each is centred and divided by its group's standard deviation first, then their
/// weighted sum takes the place of the total and is centred and scaled over the whole step (GDPO,
/// arXiv 2601.05242, eq. 4 to 6); `baseline` and `scale` are not asked then.
pub fn step_advantages(
    groups: &[GroupRewards],
    baseline: Baseline,
    scale: ScaleRewards,
) -> Advantages {
    if groups.iter().any(|group| !group.components.is_empty()) {
        return by_component(groups);
    }
    let all: Vec<f64> = groups.iter().flat_map(|g| known(&g.totals)).collect();
    let batch_divisor = deviation(&all) + STD_EPSILON;
    groups
        .iter()
        .map(|group| match scale {
            ScaleRewards::Group => compared(&group.totals, baseline, None),
            ScaleRewards::Batch => compared(&group.totals, baseline, Some(batch_divisor)),
            ScaleRewards::None | ScaleRewards::Whiten => {
                compared(&group.totals, baseline, Some(1.0))
            }
        })
        .collect()
}

/// The advantages of one group, scaled by its own deviation where `divisor` is `None`. A group with
/// fewer than two rewards, or with equal ones, has nothing to compare, so its advantages are 0:
/// exactly, where rounding of the mean would leave a remainder.
fn compared(rewards: &[Option<f64>], baseline: Baseline, divisor: Option<f64>) -> Vec<Option<f64>> {
    let known = known(rewards);
    let count = known.len() as f64;
    if baseline != Baseline::None && (known.len() < 2 || is_constant(rewards)) {
        return rewards.iter().map(|r| r.map(|_| 0.0)).collect();
    }
    let mean = match baseline {
        Baseline::None => 0.0,
        _ => known.iter().sum::<f64>() / count,
    };
    let factor = match baseline {
        Baseline::LeaveOneOut => count / (count - 1.0),
        _ => 1.0,
    };
    let divisor = divisor.unwrap_or_else(|| deviation(&known) + STD_EPSILON);
    rewards
        .iter()
        .map(|r| r.map(|r| factor * (r - mean) / divisor))
        .collect()
}

fn by_component(groups: &[GroupRewards]) -> Advantages {
    let mut sums: Vec<Vec<Option<f64>>> = groups
        .iter()
        .map(|group| group.totals.iter().map(|t| t.map(|_| 0.0)).collect())
        .collect();
    for (sums, group) in sums.iter_mut().zip(groups) {
        for (weight, scores) in &group.components {
            let advantages = compared(scores, Baseline::Group, None);
            for (sum, advantage) in sums.iter_mut().zip(advantages) {
                *sum = sum.map(|sum| sum + weight * advantage.unwrap_or(0.0));
            }
        }
    }
    let all: Vec<f64> = sums.iter().flat_map(|sums| known(sums)).collect();
    if all.iter().all(|&sum| sum == 0.0) {
        return sums;
    }
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    let divisor = deviation(&all) + STD_EPSILON;
    let scaled = |sum: Option<f64>| sum.map(|sum| (sum - mean) / divisor);
    sums.into_iter()
        .map(|sums| sums.into_iter().map(scaled).collect())
        .collect()
}

/// The advantages of one group by its own mean, as the log of completions shows them before a step
/// is put together; see [`step_advantages`].
pub fn group_advantages(rewards: &[Option<f64>], scale: ScaleRewards) -> Vec<Option<f64>> {
    let group = GroupRewards {
        totals: rewards.to_vec(),
        components: Vec::new(),
    };
    step_advantages(&[group], Baseline::Group, scale).remove(0)
}

/// What each token of a completion can be blamed for: the advantage less the penalties from that token
/// on (the return of REINFORCE++, arXiv 2501.03262, without discount).
pub fn to_go(advantage: f64, penalties: &[f64]) -> Vec<f64> {
    let mut value = advantage;
    let mut values = vec![0.0; penalties.len()];
    for (to_go, penalty) in values.iter_mut().zip(penalties).rev() {
        value -= penalty;
        *to_go = value;
    }
    values
}

/// Takes the mean over all tokens off and divides by their standard deviation:
/// `(A − mean) / sqrt(var + 1e-8)`, with the variance of a sample, as verl's `masked_whiten`.
pub fn whiten(advantages: &mut [Vec<f32>]) {
    let all: Vec<f64> = advantages.iter().flatten().map(|&a| f64::from(a)).collect();
    let whitened = whitening(&all);
    for advantage in advantages.iter_mut().flatten() {
        *advantage = whitened(f64::from(*advantage)) as f32;
    }
}

/// [`whiten`] of numbers that have not been rounded.
pub fn whiten_exactly(advantages: &mut [Vec<f64>]) {
    let all: Vec<f64> = advantages.iter().flatten().copied().collect();
    let whitened = whitening(&all);
    for advantage in advantages.iter_mut().flatten() {
        *advantage = whitened(*advantage);
    }
}

/// What whitening makes of each of `all`; of fewer than two, 0.
fn whitening(all: &[f64]) -> impl Fn(f64) -> f64 + use<> {
    let enough = all.len() >= 2;
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    let deviation = (deviation(all).powi(2) + 1e-8).sqrt();
    move |advantage| {
        if enough {
            (advantage - mean) / deviation
        } else {
            0.0
        }
    }
}

fn known(rewards: &[Option<f64>]) -> Vec<f64> {
    rewards.iter().flatten().copied().collect()
}

/// The standard deviation of a sample (n − 1), as in TRL; 0 of fewer than two numbers.
fn deviation(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|r| (r - mean).powi(2)).sum();
    (squares / (values.len() as f64 - 1.0)).sqrt()
}

/// Whether all known rewards of a group are the same, so that it teaches nothing.
pub fn is_constant(rewards: &[Option<f64>]) -> bool {
    let mut known = rewards.iter().flatten();
    let first = known.next();
    known.all(|r| Some(r) == first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advantages_sum_to_zero_and_ignore_a_shift() {
        let rewards = [0.1, 1.0, 0.3, 0.0, 1.1];
        for scale in [ScaleRewards::Group, ScaleRewards::Batch, ScaleRewards::None] {
            for baseline in [Baseline::Group, Baseline::LeaveOneOut] {
                let shifted = |shift: f64| -> Vec<f64> {
                    let totals = rewards.iter().map(|r| Some(r + shift)).collect();
                    let group = GroupRewards {
                        totals,
                        ..GroupRewards::default()
                    };
                    let all = step_advantages(&[group], baseline, scale);
                    all.into_iter().flatten().flatten().collect()
                };
                assert!(shifted(0.0).iter().sum::<f64>().abs() < 1e-12);
                for (a, b) in shifted(0.0).iter().zip(shifted(7.0)) {
                    assert!((a - b).abs() < 1e-9);
                }
            }
        }
    }

    #[test]
    fn a_failed_judgement_takes_no_part() {
        let with = group_advantages(&[Some(1.0), None, Some(0.0)], ScaleRewards::Group);
        let without = group_advantages(&[Some(1.0), Some(0.0)], ScaleRewards::Group);
        assert_eq!(with, [without[0], None, without[1]]);
        assert_eq!(
            group_advantages(&[None, Some(1.0)], ScaleRewards::Group),
            [None, Some(0.0)]
        );
    }

    #[test]
    fn equal_rewards_give_exactly_nothing() {
        // The mean of 16 times 1.1 is not 1.1.
        for advantage in group_advantages(&[Some(1.1); 16], ScaleRewards::Group) {
            assert_eq!(advantage, Some(0.0));
        }
    }

    #[test]
    fn leaving_one_out_compares_with_the_others() {
        let group = GroupRewards {
            totals: vec![Some(1.0), Some(0.0), Some(0.5)],
            components: Vec::new(),
        };
        let all = step_advantages(&[group], Baseline::LeaveOneOut, ScaleRewards::None);
        assert_eq!(all[0], [Some(0.75), Some(-0.75), Some(0.0)]);
    }

    /// Two components whose sums tie are told apart once each has its own scale.
    #[test]
    fn components_are_normalised_one_by_one() {
        let group = GroupRewards {
            totals: vec![Some(1.0), Some(1.0), Some(1.0), Some(0.0), Some(0.0)],
            components: vec![
                (
                    1.0,
                    vec![Some(1.0), Some(0.0), Some(1.0), Some(0.0), Some(0.0)],
                ),
                (1.0, vec![Some(0.0), Some(1.0), None, Some(0.0), Some(0.0)]),
            ],
        };
        let all = step_advantages(&[group], Baseline::Group, ScaleRewards::Group);
        let all: Vec<f64> = all[0].iter().map(|a| a.unwrap()).collect();
        assert!(all.iter().sum::<f64>().abs() < 1e-9);
        // The second component is rarer, so being right there counts for more.
        assert!(all[1] > all[0] && all[3] < 0.0, "{all:?}");
        assert_eq!(all[3], all[4]);
    }

    #[test]
    fn whitened_tokens_have_mean_zero_and_deviation_one() {
        let mut tokens = vec![vec![1.0f32; 3], vec![0.0; 5], vec![0.5; 2]];
        whiten(&mut tokens);
        let all: Vec<f64> = tokens.iter().flatten().map(|&a| f64::from(a)).collect();
        assert!(all.iter().sum::<f64>().abs() < 1e-5);
        assert!((deviation(&all) - 1.0).abs() < 1e-5);
    }

    #[test]
    fn constant_groups_are_seen() {
        assert!(is_constant(&[Some(0.5), None, Some(0.5)]));
        assert!(!is_constant(&[Some(0.5), Some(0.4)]));
    }
}
