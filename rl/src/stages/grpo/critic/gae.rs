//! Generalised advantage estimation (Schulman et al., arXiv 1506.02438, eq. 16), over the tokens that the policy wrote.
//!
//! All lists have one entry a *sampled* token. Tokens that it was given (replies of tools, turns of others) are no steps:
//! the value of what follows and the running advantage pass over them unchanged, as in verl's
//! `compute_gae_advantage_return`.

/// `δ_t = r_t + γ V_{t+1} − V_t`, `A_t = δ_t + γ λ A_{t+1}`, backwards, with the value `after` the last token: 0 where the
/// answer has ended.
pub fn gae(rewards: &[f64], values: &[f64], after: f64, gamma: f64, lam: f64) -> Vec<f64> {
    let mut advantages = vec![0.0; values.len()];
    let (mut next, mut running) = (after, 0.0);
    for t in (0..values.len()).rev() {
        let delta = rewards[t] + gamma * next - values[t];
        running = delta + gamma * lam * running;
        next = values[t];
        advantages[t] = running;
    }
    advantages
}

/// The reward of each token: the penalty is taken off every one of them, and the score of the whole is that of the last
/// one. Of a completion without tokens there is none.
pub fn token_rewards(score: f64, penalties: Option<&[f64]>, length: usize) -> Vec<f64> {
    let mut rewards: Vec<f64> = match penalties {
        Some(penalties) => penalties.iter().map(|penalty| -penalty).collect(),
        None => vec![0.0; length],
    };
    if let Some(last) = rewards.last_mut() {
        *last += score;
    }
    rewards
}

/// The share of the variance of `returns` that `values` account for: `1 − Var(returns − values) / Var(returns)`. NaN where
/// the returns do not vary.
pub fn explained_variance(values: &[f64], returns: &[f64]) -> f64 {
    let variance = |list: &[f64]| crate::statistics::deviation(list).powi(2);
    let left: Vec<f64> = returns.iter().zip(values).map(|(r, v)| r - v).collect();
    let whole = variance(returns);
    if whole == 0.0 {
        return f64::NAN;
    }
    1.0 - variance(&left) / whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_discount_and_with_lambda_1_it_is_what_is_still_to_come_less_the_value() {
        let advantages = gae(&[0.0, -0.5, 2.0], &[0.3, -0.2, 0.7], 0.0, 1.0, 1.0);
        let expected = [1.5 - 0.3, 1.5 + 0.2, 2.0 - 0.7];
        for (a, b) in advantages.iter().zip(expected) {
            assert!((a - b).abs() < 1e-12, "{advantages:?}");
        }
    }

    #[test]
    fn with_lambda_0_it_is_the_error_of_one_step() {
        let advantages = gae(&[0.0, 1.0], &[0.5, 0.25], 0.0, 0.9, 0.0);
        assert!((advantages[0] - (0.9 * 0.25 - 0.5)).abs() < 1e-12);
        assert!((advantages[1] - 0.75).abs() < 1e-12);
    }

    /// A completion that was cut off may go on: then its end is worth what the critic says of it.
    #[test]
    fn the_value_after_the_end_counts_as_a_reward_of_the_last_token() {
        let ended = gae(&[0.0, 1.0], &[0.5, 0.25], 0.0, 0.9, 0.8);
        let cut = gae(&[0.0, 1.0], &[0.5, 0.25], 2.0, 0.9, 0.8);
        assert!((cut[1] - ended[1] - 0.9 * 2.0).abs() < 1e-12);
        assert!((cut[0] - ended[0] - 0.9 * 0.8 * 0.9 * 2.0).abs() < 1e-12);
    }

    #[test]
    fn the_score_is_the_last_tokens() {
        assert_eq!(token_rewards(1.0, None, 3), [0.0, 0.0, 1.0]);
        assert_eq!(token_rewards(1.0, None, 1), [1.0]);
        assert_eq!(token_rewards(1.0, Some(&[0.5, -0.25]), 2), [-0.5, 1.25]);
        assert!(token_rewards(1.0, None, 0).is_empty());
    }

    #[test]
    fn values_that_are_right_explain_all() {
        assert_eq!(explained_variance(&[1.0, 2.0, 4.0], &[1.0, 2.0, 4.0]), 1.0);
        assert_eq!(explained_variance(&[3.0, 3.0, 3.0], &[1.0, 2.0, 4.0]), 0.0);
        assert!(explained_variance(&[1.0, 2.0], &[1.0, 1.0]).is_nan());
    }
}
