//! An objective that is handed in as a function.

use burn::tensor::Device;
use dunwu::{
    learner::{AdamW, HeadConfig, Learner, Scoring},
    stages::grpo::{
        GrpoConfig, GrpoMetrics, StepRollouts, Trainer,
        loss::{CompletionTokens, OwnObjective, TokenLosses, token_losses},
    },
};
use dunwu_datasets::{GeneratorSource, Split, TaskSource};

use crate::fixtures::{collector, judge, sampling, scratch, small_grpo, sums};

/// One step from the same start, with an objective in place of the config's or without, and every weight after it.
fn step(config: &GrpoConfig, own: Option<OwnObjective>) -> (GrpoMetrics, Vec<Vec<f32>>) {
    let bundle = scratch(&Device::flex());
    let judge = judge();
    let sampling = sampling(12);
    let mut source = GeneratorSource::new(sums(), 3, Split::Train);
    let tasks = source.next_batch(config.prompts, 0.0).unwrap();
    let collector = collector(&bundle, &judge);
    let collected = collector.collect(&bundle.model, &sampling, tasks, config.group, 5, |_| {});
    let mut learner = Learner::new(bundle.model.clone(), AdamW::new(config.optimizer), 0);
    let trainer = Trainer {
        config,
        sampling: &sampling,
        judge: &judge,
        reference: None,
        objective: own,
        scoring: Scoring {
            token_budget: 60,
            head: HeadConfig {
                temperature: 1.0,
                // Three tokens: completions are seen in parts where that is allowed.
                chunk_bytes: 4 * 18 * 3,
            },
        },
        workers: 1,
        activations: Default::default(),
    };
    let rollouts = StepRollouts::from(collected.unwrap());
    let (metrics, _) = trainer.learn(&mut learner, &rollouts, 0).unwrap();
    let weights = learner
        .model
        .to_host()
        .into_iter()
        .map(|(_, tensor)| tensor.values);
    (metrics, weights.collect())
}

/// Two updates, so that the second one's ratios are not 1.
fn config() -> GrpoConfig {
    GrpoConfig {
        iterations: 2,
        learning_rate: 1e-2,
        ..small_grpo()
    }
}

#[test]
fn the_tables_function_handed_in_is_the_tables_to_the_bit() {
    let config = config();
    let objective = config.objective();
    let losses = |tokens: &CompletionTokens| token_losses(&objective, tokens);
    let (expected, weights) = step(&config, None);
    assert!(
        expected.grad_norm > 0.0 && expected.ratio_max > 1.0,
        "{expected:?}"
    );
    let own = OwnObjective::new(&losses).by_advantage();
    for own in [own, own.by_token()] {
        let (found, found_weights) = step(&config, Some(own));
        assert_eq!(found_weights, weights);
        assert_eq!(found.trained_tokens, expected.trained_tokens);
        // Sums over parts of completions and over the whole, in another order.
        assert!((found.loss - expected.loss).abs() < 1e-15);
        assert!((found.ratio_mean - expected.ratio_mean).abs() < 1e-12);
    }
}

/// REINFORCE, `−w A log π`: on policy its gradient is that of a clipped ratio, and its value another.
#[test]
fn an_objective_in_five_lines_trains() {
    let config = small_grpo();
    let reinforce = |tokens: &CompletionTokens| {
        let slopes = tokens
            .advantages
            .iter()
            .map(|&a| -tokens.weight * f64::from(a));
        let terms = slopes
            .clone()
            .zip(tokens.logprobs)
            .map(|(slope, &l)| slope * f64::from(l));
        TokenLosses::of_logprobs(terms.sum(), slopes.map(|slope| slope as f32).collect())
    };
    let (clipped, weights) = step(&config, None);
    let own = OwnObjective::new(&reinforce).by_token();
    let (found, found_weights) = step(&config, Some(own.by_advantage()));
    assert_eq!(found_weights, weights);
    assert_eq!(found.grad_norm, clipped.grad_norm);
    assert_ne!(found.loss, clipped.loss);
    // Those with advantage 0 have a gradient of 0 here: training on them changes what is counted, not what is learnt.
    let (all, _) = step(&config, Some(own));
    assert!(all.trained_tokens >= found.trained_tokens);
    assert!((all.grad_norm - found.grad_norm).abs() < 1e-6 * found.grad_norm);
}
