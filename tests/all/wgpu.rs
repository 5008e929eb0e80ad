//! The same on a wgpu adapter. DUNWU_TEST_WGPU says that there is one; `.ci/run` sets it where it
//! has put a software adapter in place.

use dunwu::{
    device::{self, DeviceChoice},
    generation::{Generator, Hooks, Request},
    learner::{HeadConfig, Sequence, token_logprobs},
};

use burn::tensor::Device;

use crate::fixtures::{largest_difference, sampling, scratch, small_grpo, two_grpo_steps, wide};

fn adapter() -> Option<Device> {
    if std::env::var_os("DUNWU_TEST_WGPU").is_none() {
        eprintln!("skipped: DUNWU_TEST_WGPU is not set");
        return None;
    }
    let chosen = device::choose(DeviceChoice::Wgpu).expect("DUNWU_TEST_WGPU promises an adapter");
    eprintln!("{}", chosen.reason);
    Some(chosen.device)
}

#[test]
fn wgpu_scores_as_flex_does() {
    let Some(device) = adapter() else { return };
    let sequences = [
        Sequence::new([1, 2, 3], [4, 5, 6, 7, 8]),
        Sequence::new([9], [10, 11]),
    ];
    let score = |device: &Device| {
        let scores = token_logprobs(
            &scratch(device).model,
            &sequences,
            64,
            HeadConfig::default(),
        )
        .unwrap();
        let all = |field: fn(&dunwu::learner::TokenScores) -> &Vec<f32>| -> Vec<f32> {
            scores.iter().flat_map(|s| field(s).clone()).collect()
        };
        (all(|s| &s.logprobs), all(|s| &s.entropy))
    };
    let (ours, flex) = (score(&device), score(&Device::flex()));
    let difference = largest_difference(&ours.0, &flex.0).max(largest_difference(&ours.1, &flex.1));
    eprintln!("scores, wgpu against flex: {difference:e}");
    assert!(difference < 1e-4, "{difference}");
}

#[test]
fn wgpu_samples_as_flex_does() {
    let Some(device) = adapter() else { return };
    let requests = [
        Request {
            prompt: [1, 2, 3].into(),
            seeds: vec![1, 2],
        },
        Request {
            prompt: [4].into(),
            seeds: vec![3, 4],
        },
    ];
    let sampling = sampling(8);
    let generate = |device: &Device| {
        let bundle = scratch(device);
        let generator = Generator {
            model: &bundle.model,
            sampling: &sampling,
            eos: &bundle.codec.eos,
            drawable: 18,
            batch_rows: 8,
            recorded_tokens: 0,
            record_routes: false,
        };
        generator.generate(&requests, Hooks::default())
    };
    let (ours, flex) = (generate(&device), generate(&Device::flex()));
    for (a, b) in ours.iter().flatten().zip(flex.iter().flatten()) {
        assert_eq!(a.tokens, b.tokens);
        let difference = largest_difference(&a.logprobs, &b.logprobs);
        assert!(difference < 1e-4, "{difference}");
    }
}

/// A vocabulary of many runs of probabilities: the run is looked for first, then the token.
#[test]
fn wgpu_samples_from_a_large_vocabulary_as_flex_does() {
    let Some(device) = adapter() else { return };
    let requests = [Request {
        prompt: [1, 4000, 77].into(),
        seeds: (1..9).collect(),
    }];
    let sampling = sampling(24);
    let generate = |device: &Device| {
        let model = wide(device);
        let generator = Generator {
            model: &model,
            sampling: &sampling,
            eos: &[],
            drawable: 4990,
            batch_rows: 8,
            recorded_tokens: 0,
            record_routes: false,
        };
        generator.generate(&requests, Hooks::default())
    };
    let (ours, flex) = (generate(&device), generate(&Device::flex()));
    for (a, b) in ours.iter().flatten().zip(flex.iter().flatten()) {
        assert_eq!(a.tokens, b.tokens);
        let difference = largest_difference(&a.logprobs, &b.logprobs);
        assert!(difference < 1e-4, "{difference}");
    }
}

#[test]
fn wgpu_takes_the_same_grpo_steps_as_flex() {
    let Some(device) = adapter() else { return };
    let (ours, _) = two_grpo_steps(&device, &small_grpo(), 256);
    let (flex, _) = two_grpo_steps(&Device::flex(), &small_grpo(), 256);
    for (a, b) in ours.iter().zip(&flex) {
        let (loss, norm) = (
            (a.loss - b.loss).abs(),
            (a.grad_norm / b.grad_norm - 1.0).abs(),
        );
        eprintln!("a GRPO step, wgpu against flex: loss {loss:e}, gradient norm {norm:e} relative");
        assert_eq!(a.completion_tokens, b.completion_tokens);
        assert!(loss < 1e-4, "{a:?} {b:?}");
        assert!(norm < 1e-3, "{a:?} {b:?}");
        assert!(a.mismatch_max < 1e-4, "{a:?}");
    }
}

/// In one process the kernels that autotune has chosen stay, so a run repeats to the bit. In another
/// process it may choose others, and sums are then added in another order: what holds between
/// processes is what holds between devices, `wgpu_takes_the_same_grpo_steps_as_flex`.
#[test]
fn wgpu_repeats_to_the_bit_in_one_process() {
    let Some(device) = adapter() else { return };
    // The first pass tunes.
    two_grpo_steps(&device, &small_grpo(), 256);
    let (first, one) = two_grpo_steps(&device, &small_grpo(), 256);
    let (second, two) = two_grpo_steps(&device, &small_grpo(), 256);
    for (a, b) in first.iter().zip(&second) {
        assert_eq!(
            (
                a.loss,
                a.grad_norm,
                a.entropy,
                a.mismatch_mean,
                a.reward_mean
            ),
            (
                b.loss,
                b.grad_norm,
                b.entropy,
                b.mismatch_mean,
                b.reward_mean
            )
        );
    }
    assert!(one.model.to_host() == two.model.to_host(), "weights differ");
}
