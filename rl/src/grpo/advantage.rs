//! From the rewards of a group to advantages: plain numbers, no tensors.

use serde::{Deserialize, Serialize};

/// What centred rewards are divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScaleRewards {
    /// The standard deviation within the group (GRPO, arXiv 2402.03300, §4.1.2).
    #[default]
    Group,
    /// Nothing (Dr. GRPO, arXiv 2503.20783: the division favours too easy and too hard questions).
    None,
}

/// Added to the standard deviation, as in TRL.
const STD_EPSILON: f64 = 1e-4;

/// `A_i = (r_i − mean r) / (std r + 1e-4)`, or without the division. The standard deviation is the
/// sample's (n − 1), as in TRL. A reward that is `None` (its judge failed) takes no part and gets
/// `None`; a group with fewer than two rewards, or with equal ones, has nothing to compare, so its
/// advantages are 0: exactly, where rounding of the mean would leave a remainder.
pub fn group_advantages(rewards: &[Option<f64>], scale: ScaleRewards) -> Vec<Option<f64>> {
    let known: Vec<f64> = rewards.iter().flatten().copied().collect();
    let count = known.len() as f64;
    if known.len() < 2 || is_constant(rewards) {
        return rewards.iter().map(|r| r.map(|_| 0.0)).collect();
    }
    let mean = known.iter().sum::<f64>() / count;
    let variance = known.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let divisor = match scale {
        ScaleRewards::Group => variance.sqrt() + STD_EPSILON,
        ScaleRewards::None => 1.0,
    };
    rewards
        .iter()
        .map(|r| r.map(|r| (r - mean) / divisor))
        .collect()
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
        for scale in [ScaleRewards::Group, ScaleRewards::None] {
            let of = |shift: f64| -> Vec<f64> {
                let rewards: Vec<_> = rewards.iter().map(|r| Some(r + shift)).collect();
                group_advantages(&rewards, scale)
                    .into_iter()
                    .flatten()
                    .collect()
            };
            assert!(of(0.0).iter().sum::<f64>().abs() < 1e-12);
            for (a, b) in of(0.0).iter().zip(of(7.0)) {
                assert!((a - b).abs() < 1e-9);
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
    fn constant_groups_are_seen() {
        assert!(is_constant(&[Some(0.5), None, Some(0.5)]));
        assert!(!is_constant(&[Some(0.5), Some(0.4)]));
    }
}
