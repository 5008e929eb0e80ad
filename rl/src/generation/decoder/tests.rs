//! A cache against the whole sequence at once, for layers that differ in all that a plan may say.

use crate::{
    compute::Engine,
    generation::{Generator, Hooks, Request, SamplingConfig},
    model::plan::tests::made_up,
};

#[test]
fn what_is_drawn_is_scored_alike_through_windows_and_past_blocks() {
    let sampling = SamplingConfig {
        max_tokens: 150,
        ..SamplingConfig::default()
    };
    let prompt = |length: u32| (0..length).map(|i| (i * i + 2) % 17).collect();
    let requests: Vec<Request> = [1, 70, 5]
        .map(|length| Request {
            prompt: prompt(length),
            seeds: vec![1, 2],
        })
        .into();
    for engine in [Engine::Host, Engine::Tensors] {
        let model = made_up().with_engine(engine);
        let generator = Generator {
            model: &model,
            sampling: &sampling,
            eos: &[],
            drawable: 17,
            batch_rows: 4,
            recorded_tokens: 0,
            record_routes: false,
        };
        let drawn = generator.generate(&requests, Hooks::default());
        let mut longest = 0;
        for (request, group) in requests.iter().zip(&drawn) {
            for generated in group {
                let whole = [&request.prompt[..], &generated.tokens].concat();
                let all = model.logprobs(&whole);
                longest = longest.max(generated.tokens.len());
                for (i, &token) in generated.tokens.iter().enumerate() {
                    let expected = all[request.prompt.len() + i - 1][token as usize];
                    let ours = generated.logprobs[i];
                    assert!(
                        (ours - expected).abs() < 1e-4,
                        "{engine:?}: {i}: {ours} for {expected}"
                    );
                }
            }
        }
        assert!(longest > 64, "{longest} tokens fill no block");
    }
}

/// On the CPU a completion is the same to the bit whatever is sampled beside it.
#[test]
fn what_is_drawn_does_not_depend_on_the_batch() {
    let sampling = SamplingConfig {
        max_tokens: 80,
        ..SamplingConfig::default()
    };
    let model = made_up();
    let requests: Vec<Request> = [1u32, 70, 5]
        .map(|length| Request {
            prompt: (0..length).map(|i| (i * i + 2) % 17).collect(),
            seeds: vec![1, 2],
        })
        .into();
    let drawn = |batch_rows| {
        let generator = Generator {
            model: &model,
            sampling: &sampling,
            eos: &[],
            drawable: 17,
            batch_rows,
            recorded_tokens: 0,
            record_routes: false,
        };
        let groups = generator.generate(&requests, Hooks::default());
        let all = groups.into_iter().flatten();
        all.map(|one| (one.tokens, one.logprobs))
            .collect::<Vec<_>>()
    };
    assert_eq!(drawn(1), drawn(6));
}
