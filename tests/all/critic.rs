//! A stage with a value function, from judged completions of several turns to updates of policy and critic.

use burn::tensor::Device;
use dunwu::{
    learner::{AdamW, AdamWConfig, Head, HeadConfig, Learner, MemorySection, ScalarHead, Scoring},
    rollout::Completion,
    stages::grpo::{
        Carried, Critic, CriticConfig, GrpoConfig, StepRollouts, Trainer, batch::Batch,
    },
};

use crate::{
    fixtures::{collector, judge, sampling, scratch, small_grpo},
    turns::two_turns,
};

fn config(critic: CriticConfig) -> GrpoConfig {
    GrpoConfig {
        prompts: 3,
        critic: Some(critic),
        ..small_grpo()
    }
}

/// One that says 0 of everything, on the policy's weights.
fn critic(policy: &Learner, rate: f64) -> (Critic, CriticConfig) {
    let head = Head::from(ScalarHead::zeros(&policy.model));
    let optimizer = AdamW::new(AdamWConfig::default());
    let learner = Learner::new(policy.model.clone(), optimizer, 0).with_head(head);
    let memory = MemorySection {
        token_budget: 90,
        ..MemorySection::default()
    };
    let config = CriticConfig {
        learning_rate: rate,
        whiten: false,
        lam: 0.5,
        lam_critic: Some(1.0),
        cliprange_value: 10.0,
        ..CriticConfig::default()
    };
    (Critic::new(learner, memory), config)
}

fn scoring() -> Scoring {
    Scoring {
        token_budget: 90,
        head: HeadConfig::default(),
    }
}

/// Values of 0 leave the score, discounted by λ from the last sampled token back, and what was given between the turns is no
/// step; a KL penalty aside, that is all there is to an advantage.
#[test]
fn a_critic_without_an_opinion_hands_the_score_back_token_by_token() {
    let bundle = scratch(&Device::flex());
    let judge = judge();
    let collected = two_turns(&bundle.model, &collector(&bundle, &judge), 1);
    let policy = Learner::new(bundle.model.clone(), AdamW::new(AdamWConfig::default()), 0);
    let (critic, settings) = critic(&policy, 1e-3);
    let config = config(settings);
    let carried = Carried::new(&config, Some(critic));
    let batch = Batch::new(&config, &collected.groups, &[], None, &carried, scoring()).unwrap();
    let completions: Vec<&Completion> = collected
        .groups
        .iter()
        .flat_map(|group| &group.completions)
        .filter(|completion| completion.reward().is_some())
        .collect();
    assert_eq!(batch.examples.len(), completions.len());
    let mut turns = 0;
    for (example, completion) in batch.examples.iter().zip(completions) {
        let (score, tokens) = (completion.reward().unwrap(), completion.sampled_tokens());
        assert_eq!(example.advantages.len(), tokens);
        for (t, &advantage) in example.advantages.iter().enumerate() {
            let expected = score * 0.5f64.powi((tokens - 1 - t) as i32);
            assert!((f64::from(advantage) - expected).abs() < 1e-6);
        }
        let value = example.value.as_ref().unwrap();
        assert!(value.values.iter().all(|&value| value == 0.0));
        assert!(value.returns.iter().all(|r| (r - score).abs() < 1e-9));
        turns += usize::from(completion.trajectory.turns.len() == 3);
    }
    assert!(turns > 6, "most have something given between two turns");
}

/// Policy and critic learn from the same completions, and the critic comes to know what they are worth.
#[test]
fn policy_and_critic_learn_from_the_same_completions() {
    let bundle = scratch(&Device::flex());
    let judge = judge();
    let mut learner = Learner::new(bundle.model.clone(), AdamW::new(AdamWConfig::default()), 0);
    let (critic, settings) = critic(&learner, 3e-3);
    let config = GrpoConfig {
        learning_rate: 1e-4,
        ..config(settings)
    };
    let sampling = sampling(40);
    let trainer = Trainer {
        scoring: scoring(),
        ..Trainer::new(&config, &sampling, &judge, &MemorySection::default())
    };
    let mut carried = Carried::new(&config, Some(critic));
    let rollouts = || {
        let collected = two_turns(&bundle.model, &collector(&bundle, &judge), 1);
        StepRollouts::from(collected)
    };
    let mut figures = Vec::new();
    for step in 0..12 {
        let (metrics, _) = trainer
            .learn_with(&mut learner, &mut carried, &rollouts(), step)
            .unwrap();
        assert!(metrics.grad_norm > 0.0 && metrics.critic_grad_norm.unwrap() > 0.0);
        figures.push((
            metrics.value_loss.unwrap(),
            metrics.explained_variance.unwrap(),
        ));
    }
    let ((first, none), (last, explained)) = (figures[0], figures[11]);
    assert!(last < 0.5 * first, "{figures:?}");
    assert!(none.abs() < 1e-9 && explained > 0.2, "{figures:?}");

    // Without its critic such a stage cannot be: nothing is compared in its place.
    let error = trainer.learn(&mut learner, &rollouts(), 0).unwrap_err();
    assert!(error.to_string().contains("critic"), "{error}");
}
