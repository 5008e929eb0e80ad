//! The same thing computed two ways.

use burn::tensor::{Device, Tensor};
use dunwu::{
    generation::{Finish, Generated, Generator, Hooks, Recorded, Request},
    learner::{
        GradientConfig, HeadConfig, MicroBatch, Scoring, Sequence, Upstream, accumulate_gradients,
        batch_gradients, pack, token_logprobs,
    },
    model::{Engine, ParameterVisitor, Parameters, Transformer, lora::Lora},
    stages::grpo::{GrpoConfig, preflight},
};
use dunwu_datasets::{GeneratorSource, Split, TaskSource};

use crate::fixtures::{
    collector, judge, largest_difference, sampling, scratch, small_grpo, sums, two_grpo_steps, wide,
};

/// Ragged prompts, several completions of each.
fn requests() -> Vec<Request> {
    [&[1u32, 2, 3][..], &[4], &[5, 6, 7, 8, 9, 10, 11], &[12, 1]]
        .iter()
        .enumerate()
        .map(|(i, prompt)| Request {
            prompt: (*prompt).into(),
            seeds: (0..3).map(|k| (10 * i + k) as u64).collect(),
        })
        .collect()
}

fn generate(model: &Transformer, requests: &[Request], batch_rows: usize) -> Vec<Vec<Generated>> {
    record(model, requests, batch_rows, 0)
}

/// The same, keeping the activations of so many tokens.
fn record(
    model: &Transformer,
    requests: &[Request],
    batch_rows: usize,
    recorded_tokens: usize,
) -> Vec<Vec<Generated>> {
    let sampling = sampling(20);
    let generator = Generator {
        model,
        sampling: &sampling,
        eos: &[17],
        drawable: 18,
        batch_rows,
        recorded_tokens,
        record_routes: false,
    };
    generator.generate(requests, Hooks::default())
}

/// The sampler's log-probabilities come from the cached pass over a ragged, shrinking batch; those
/// of `token_logprobs` from an uncached one.
#[test]
fn cached_and_uncached_logprobs_agree() {
    let bundle = scratch(&Device::flex());
    let requests = requests();
    let outputs = generate(&bundle.model, &requests, 64);
    let mut worst = 0.0f32;
    for (request, outputs) in requests.iter().zip(&outputs) {
        for output in outputs {
            let sequence = Sequence::new(request.prompt.clone(), output.tokens.clone());
            let scores =
                token_logprobs(&bundle.model, &[sequence], 4096, HeadConfig::default()).unwrap();
            worst = worst.max(largest_difference(&scores[0].logprobs, &output.logprobs));
        }
    }
    eprintln!("cached against uncached: {worst:e}");
    assert!(worst < 1e-5, "{worst}");
}

#[test]
fn a_completion_does_not_depend_on_its_batch() {
    let bundle = scratch(&Device::flex());
    let requests = requests();
    let together = generate(&bundle.model, &requests, 64);
    let alone = generate(&bundle.model, &requests, 1);
    let other_order: Vec<Request> = requests.iter().rev().cloned().collect();
    let mut reversed = generate(&bundle.model, &other_order, 5);
    reversed.reverse();
    for (a, (b, c)) in together.iter().zip(alone.iter().zip(&reversed)) {
        for (a, (b, c)) in a.iter().zip(b.iter().zip(c)) {
            assert_eq!(a.tokens, b.tokens);
            assert_eq!(a.tokens, c.tokens);
        }
    }
}

/// The decoder of the CPU and that of any device, with fewer places than completions, so that new
/// ones take over places and columns that old ones have left.
#[test]
fn both_decoders_draw_the_same() {
    let bundle = scratch(&Device::flex());
    let requests = requests();
    let slices = generate(&bundle.model, &requests, 5);
    let tensors = generate(&bundle.model.with_engine(Engine::Tensors), &requests, 5);
    for (a, b) in slices.iter().flatten().zip(tensors.iter().flatten()) {
        assert_eq!((&a.tokens, a.finish), (&b.tokens, b.finish));
        let difference = largest_difference(&a.logprobs, &b.logprobs);
        assert!(difference < 1e-5, "{difference}");
    }
    let lengths: Vec<usize> = slices.iter().flatten().map(|o| o.tokens.len()).collect();
    assert!(
        lengths.iter().min() < lengths.iter().max(),
        "ragged: {lengths:?}"
    );
}

/// A vocabulary of many runs, whose last ids are never drawn.
#[test]
fn both_decoders_draw_the_same_from_a_large_vocabulary() {
    let device = Device::flex();
    let requests = [Request {
        prompt: [1, 4000, 77].into(),
        seeds: (1..9).collect(),
    }];
    let sampling = sampling(40);
    let draw = |engine: Engine| {
        let model = wide(&device).with_engine(engine);
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
    let (slices, tensors) = (draw(Engine::Host), draw(Engine::Tensors));
    let mut largest = 0;
    for (a, b) in slices.iter().flatten().zip(tensors.iter().flatten()) {
        assert_eq!(a.tokens, b.tokens);
        let difference = largest_difference(&a.logprobs, &b.logprobs);
        assert!(difference < 2e-5, "{difference}");
        largest = largest.max(a.tokens.iter().copied().max().unwrap_or(0));
    }
    assert!(largest > 4000, "{largest}: all from the first runs");
}

/// A completion longer than a block of keys, and a prompt longer than one.
#[test]
fn long_completions_are_scored_as_they_were_drawn() {
    let bundle = scratch(&Device::flex());
    let prompt: Vec<u32> = (0..70).map(|i| i * 5 % 17).collect();
    let requests = [Request {
        prompt: prompt.clone().into(),
        seeds: vec![1, 2],
    }];
    for engine in [Engine::Host, Engine::Tensors] {
        let model = bundle.model.clone().with_engine(engine);
        let sampling = sampling(150);
        let generator = Generator {
            model: &model,
            sampling: &sampling,
            eos: &[],
            drawable: 18,
            batch_rows: 2,
            recorded_tokens: 0,
            record_routes: false,
        };
        for output in &generator.generate(&requests, Hooks::default())[0] {
            assert_eq!(output.tokens.len(), 150);
            let sequence = Sequence::new(prompt.clone(), output.tokens.clone());
            let scores = token_logprobs(&model, &[sequence], 4096, HeadConfig::default()).unwrap();
            let difference = largest_difference(&scores[0].logprobs, &output.logprobs);
            assert!(difference < 2e-5, "{engine:?}: {difference}");
        }
    }
}

#[test]
fn a_cancelled_generation_keeps_what_was_drawn() {
    let bundle = scratch(&Device::flex());
    let sampling = sampling(20);
    let generator = Generator {
        model: &bundle.model,
        sampling: &sampling,
        eos: &[],
        drawable: 18,
        batch_rows: 2,
        recorded_tokens: 0,
        record_routes: false,
    };
    let asked = std::cell::Cell::new(0);
    let cancelled = || {
        asked.set(asked.get() + 1);
        asked.get() > 4
    };
    let hooks = Hooks {
        cancelled: Some(&cancelled),
        ..Hooks::default()
    };
    let outputs = generator.generate(&requests()[..1], hooks);
    let lengths: Vec<usize> = outputs[0].iter().map(|o| o.tokens.len()).collect();
    assert_eq!(lengths, [4, 4, 0]);
}

#[test]
fn completions_end_as_asked() {
    let bundle = scratch(&Device::flex());
    let requests = requests();
    let outputs = generate(&bundle.model, &requests, 64);
    for output in outputs.iter().flatten() {
        match output.finish {
            Finish::Eos => assert_eq!(output.tokens.last(), Some(&17)),
            Finish::Length => assert_eq!(output.tokens.len(), 20),
            Finish::Stop => panic!("there was no stop"),
        }
        assert_eq!(
            output.tokens.iter().filter(|&&t| t == 17).count(),
            usize::from(output.finish == Finish::Eos)
        );
    }
    let sampling = sampling(20);
    let generator = Generator {
        model: &bundle.model,
        sampling: &sampling,
        eos: &[],
        drawable: 18,
        batch_rows: 8,
        recorded_tokens: 0,
        record_routes: false,
    };
    let stop = |tokens: &[u32]| tokens.len() == 4;
    let outputs = generator.generate(
        &requests,
        Hooks {
            stop: Some(&stop),
            ..Hooks::default()
        },
    );
    assert!(
        outputs
            .iter()
            .flatten()
            .all(|o| o.finish == Finish::Stop && o.tokens.len() == 4)
    );
}

/// The sum of the squares of log-probabilities, as a loss.
fn squares(logprobs: &[f32]) -> Upstream {
    let value = logprobs.iter().map(|&l| f64::from(l) * f64::from(l)).sum();
    Upstream::of_logprobs(value, logprobs.iter().map(|l| 2.0 * l).collect())
}

fn gradients(
    model: &Transformer,
    sequences: &[Sequence],
    budget: usize,
    head: HeadConfig,
) -> (f64, Parameters) {
    let config = GradientConfig {
        head,
        ..GradientConfig::default()
    };
    let mut gradients = Parameters::default();
    let mut loss = 0.0;
    for batch in pack(sequences, budget).unwrap() {
        let sum = |_, logprobs: &[f32], _: &[f32]| squares(logprobs);
        loss += accumulate_gradients(model, &batch, config, &mut gradients, sum).loss;
    }
    (loss, gradients)
}

fn sequences() -> Vec<Sequence> {
    (0..8u32)
        .map(|i| {
            let prompt: Vec<u32> = (0..=i % 3).map(|k| (5 * i + k) % 17).collect();
            let completion: Vec<u32> = (0..3 + i % 5).map(|k| (7 * i + 3 * k) % 17).collect();
            Sequence::new(prompt, completion)
        })
        .collect()
}

fn relative_difference(a: &Parameters, b: &Parameters) -> f64 {
    let mut difference = a.clone();
    for (name, tensor) in b.iter() {
        difference.add(name, tensor.clone().neg());
    }
    difference.norm() / a.norm()
}

#[test]
fn small_batches_are_one_large_one() {
    let bundle = scratch(&Device::flex());
    let head = HeadConfig::default();
    let (loss, whole) = gradients(&bundle.model, &sequences(), 10_000, head);
    let longest = sequences().iter().map(Sequence::len).max().unwrap() - 1;
    assert!(pack(&sequences(), longest).unwrap().len() > 4);
    let (sum, parts) = gradients(&bundle.model, &sequences(), longest, head);
    let difference = relative_difference(&whole, &parts);
    eprintln!("small batches against one: {difference:e}");
    assert!((loss - sum).abs() < 1e-5 * loss.abs() && difference < 1e-5);
}

/// Eight micro-batches of one sequence each, added up, and one of all eight.
#[test]
fn eight_batches_of_one_are_one_of_eight() {
    let bundle = scratch(&Device::flex());
    let head = HeadConfig::default();
    assert_eq!(
        (sequences().len(), pack(&sequences(), 10_000).unwrap().len()),
        (8, 1)
    );
    let (loss, whole) = gradients(&bundle.model, &sequences(), 10_000, head);
    let (mut sum, mut parts) = (0.0, Parameters::default());
    for sequence in sequences() {
        let (loss, part) = gradients(&bundle.model, &[sequence], 10_000, head);
        sum += loss;
        parts.merge(part);
    }
    let difference = relative_difference(&whole, &parts);
    eprintln!("8 x 1 against 1 x 8: {difference:e}");
    assert!((loss - sum).abs() < 1e-5 * loss.abs() && difference < 1e-5);
}

/// The backward pass on activations that sampling kept, token by token and in refilled slots, and one
/// after a forward pass of its own.
#[test]
fn gradients_by_recorded_passes_are_those_by_their_own() {
    let bundle = scratch(&Device::flex());
    let mut adapted = bundle.model.clone();
    Lora::default().apply(&mut adapted, 1).unwrap();
    let mut merged = adapted.clone();
    merged.merge_adapters();
    for (model, batch_rows) in [
        (&bundle.model, 64),
        (&bundle.model, 3),
        (&adapted, 64),
        (&merged, 5),
    ] {
        let requests = requests();
        let outputs = record(model, &requests, batch_rows, 10_000);
        let recorded: Vec<&Recorded> = outputs
            .iter()
            .flatten()
            .map(|output| output.recorded.as_ref().unwrap())
            .collect();
        let sequences: Vec<Sequence> = requests
            .iter()
            .zip(&outputs)
            .flat_map(|(request, outputs)| {
                outputs
                    .iter()
                    .map(|output| Sequence::new(request.prompt.clone(), output.tokens.clone()))
            })
            .collect();
        // Some of them, in several micro-batches, as when others are not trained on.
        let members: Vec<usize> = (0..sequences.len())
            .filter(|member| member % 4 != 1)
            .collect();
        let chosen: Vec<Sequence> = members.iter().map(|&m| sequences[m].clone()).collect();
        let mut batches = pack(&chosen, 70).unwrap();
        assert!(batches.len() > 1);
        let gradients = |batches: &[MicroBatch]| {
            let config = GradientConfig::default();
            let loss = |_: &MicroBatch, _, logprobs: &[f32], _: &[f32]| squares(logprobs);
            let (gradients, outputs) =
                batch_gradients(model, batches, config, 2, Parameters::default(), loss);
            let logprobs: Vec<f32> = outputs.into_iter().flat_map(|o| o.logprobs).collect();
            (gradients, logprobs)
        };
        let (own, own_logprobs) = gradients(&batches);
        for batch in &mut batches {
            batch.recall(|member| Some(recorded[members[member]]));
            assert!(batch.recall.is_some());
        }
        let (recalled, logprobs) = gradients(&batches);
        let difference = relative_difference(&own, &recalled);
        let scores = largest_difference(&own_logprobs, &logprobs);
        eprintln!("recorded against own, {batch_rows} rows: {difference:e}, {scores:e}");
        assert!(difference < 1e-5 && scores < 1e-5, "{difference} {scores}");
        assert!(
            difference > 0.0 || scores > 0.0,
            "they are not the same pass"
        );
    }
}

/// Training on recorded passes would not notice that the other pass says something else.
#[test]
fn the_preflight_notices_passes_that_disagree() {
    let bundle = scratch(&Device::flex());
    let judge = judge();
    let collector = collector(&bundle, &judge);
    let tasks = GeneratorSource::new(sums(), 3, Split::Train)
        .next_batch(4, 0.0)
        .unwrap();
    let collected = collector.collect(&bundle.model, &sampling(12), tasks, 2, 1, |_| {});
    let groups = collected.unwrap().groups;
    let scoring = Scoring {
        token_budget: 256,
        head: HeadConfig::default(),
    };
    let same = preflight::mismatch(&bundle.model, &groups, scoring).unwrap();
    assert!(same.unwrap() < 1e-5, "{same:?}");
    let mut other = bundle.model.clone();
    other.visit(&mut Nudge {
        name: "model.norm.weight",
        index: 0,
        by: 1.0,
    });
    let apart = preflight::mismatch(&other, &groups, scoring).unwrap();
    assert!(apart.unwrap() > 0.01, "{apart:?}");
}

#[test]
fn what_there_is_no_room_for_is_not_recorded() {
    let bundle = scratch(&Device::flex());
    let plain = generate(&bundle.model, &requests(), 64);
    // Nine tokens of prompts without their last, and twenty that each of twelve completions may become.
    for (room, expected) in [(8, 0), (28, 0), (29, 1), (48, 1), (120, 5), (10_000, 12)] {
        let mut outputs = record(&bundle.model, &requests(), 64, room);
        let recorded: Vec<&Recorded> = outputs
            .iter()
            .flatten()
            .filter_map(|output| output.recorded.as_ref())
            .collect();
        assert_eq!(recorded.len(), expected, "room for {room}");
        assert!(Recorded::tokens(recorded) <= room);
        outputs
            .iter_mut()
            .flatten()
            .for_each(|output| output.recorded = None);
        assert_eq!(outputs, plain, "what is drawn stays the same");
    }
}

#[test]
fn chunks_of_the_head_change_nothing() {
    let bundle = scratch(&Device::flex());
    let (_, whole) = gradients(&bundle.model, &sequences(), 10_000, HeadConfig::default());
    let small = HeadConfig {
        chunk_bytes: 4 * 18 * 3,
        ..HeadConfig::default()
    };
    let (_, parts) = gradients(&bundle.model, &sequences(), 10_000, small);
    let difference = relative_difference(&whole, &parts);
    eprintln!("chunked head against whole: {difference:e}");
    assert!(difference < 1e-5, "{difference}");
}

/// Moves one weight of a tensor.
struct Nudge<'a> {
    name: &'a str,
    index: usize,
    by: f32,
}

impl ParameterVisitor for Nudge<'_> {
    fn visit<const D: usize>(&mut self, name: &str, tensor: &mut Tensor<D>) {
        if name == self.name {
            let mut data = tensor.to_data().try_into_vec::<f32>().unwrap();
            data[self.index] += self.by;
            let shape = tensor.dims();
            *tensor =
                Tensor::from_data(burn::tensor::TensorData::new(data, shape), &tensor.device());
        }
    }
}

#[test]
fn gradients_are_finite_differences() {
    let bundle = scratch(&Device::flex());
    let head = HeadConfig {
        temperature: 0.7,
        ..HeadConfig::default()
    };
    let (_, analytic) = gradients(&bundle.model, &sequences(), 40, head);
    let loss_at = |name: &str, index: usize, by: f32| {
        let mut model = bundle.model.clone();
        model.visit(&mut Nudge { name, index, by });
        let scores = token_logprobs(&model, &sequences(), 40, head).unwrap();
        let squares = scores
            .iter()
            .flat_map(|s| &s.logprobs)
            .map(|&x| f64::from(x).powi(2));
        squares.sum::<f64>()
    };
    for name in [
        "model.embed_tokens.weight",
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.0.self_attn.k_proj.weight",
        "model.layers.1.self_attn.v_proj.weight",
        "model.layers.1.mlp.gate_proj.weight",
        "model.layers.0.mlp.down_proj.weight",
        "model.layers.1.input_layernorm.weight",
        "model.norm.weight",
    ] {
        let gradient = analytic
            .get(name)
            .unwrap()
            .clone()
            .try_into_vec_as::<f32>()
            .unwrap();
        // The largest entries stand out of the rounding of f32.
        let mut order: Vec<usize> = (0..gradient.len()).collect();
        order.sort_by(|&a, &b| gradient[b].abs().total_cmp(&gradient[a].abs()));
        for &index in &order[..3] {
            let step = 2e-3;
            let numeric = (loss_at(name, index, step) - loss_at(name, index, -step))
                / (2.0 * f64::from(step));
            let error =
                (numeric - f64::from(gradient[index])).abs() / f64::from(gradient[index].abs());
            assert!(
                error < 2e-2,
                "{name}[{index}]: {numeric} against {}",
                gradient[index]
            );
        }
    }
}

/// With one update a batch the policy that samples is the one that is trained: every ratio is 1.
#[test]
fn sampler_and_trainer_agree() {
    let (metrics, _) = two_grpo_steps(&Device::flex(), &small_grpo(), 256);
    for step in &metrics {
        assert!(step.trained_tokens > 0 && step.grad_norm > 0.0, "{step:?}");
        assert!(step.mismatch_max < 1e-5, "{step:?}");
        assert_eq!(step.clip_fraction_low + step.clip_fraction_high, 0.0);
    }
}

#[test]
fn micro_batches_do_not_change_a_step() {
    let config = GrpoConfig {
        beta: 0.1,
        iterations: 2,
        ..small_grpo()
    };
    let (whole, _) = two_grpo_steps(&Device::flex(), &config, 10_000);
    let (parts, _) = two_grpo_steps(&Device::flex(), &config, 40);
    for (a, b) in whole.iter().zip(&parts) {
        assert!((a.loss - b.loss).abs() < 1e-5, "{a:?} {b:?}");
        assert!(
            (a.grad_norm - b.grad_norm).abs() < 1e-4 * a.grad_norm,
            "{a:?} {b:?}"
        );
        assert!((a.kl.unwrap() - b.kl.unwrap()).abs() < 1e-5);
    }
}

#[test]
fn a_step_repeats_to_the_bit() {
    let (a, first) = two_grpo_steps(&Device::flex(), &small_grpo(), 64);
    let (b, second) = two_grpo_steps(&Device::flex(), &small_grpo(), 64);
    for (a, b) in a.iter().zip(&b) {
        assert_eq!(
            (a.loss, a.grad_norm, a.reward_mean),
            (b.loss, b.grad_norm, b.reward_mean)
        );
    }
    assert!(first.model.to_host() == second.model.to_host());
}
