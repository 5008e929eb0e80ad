//! Mixtures of experts from sampling to an update.

use burn::tensor::Device;
use dunwu::{
    bundle::{Bundle, ModelSection, ScratchExperts, ScratchModel, save::save_model},
    generation::{Generated, Generator, Hooks, Recorded, Request},
    learner::{
        AdamW, AdamWConfig, GradientConfig, HeadConfig, Learner, MicroBatch, Sequence, Upstream,
        batch_gradients, pack, token_logprobs,
    },
    model::{Engine, Parameters, Transformer, lora::Lora, parameters::to_host},
};

use crate::fixtures::{largest_difference, sampling, scratch_section};

/// A dense layer and two of twelve experts in three groups.
fn bundle() -> Bundle {
    let section = ScratchModel {
        layers: 3,
        experts: Some(Box::new(ScratchExperts {
            count: 12,
            active: 3,
            intermediate_size: 10,
            shared: 1,
            dense_layers: 1,
            groups: 3,
            kept_groups: 2,
            scale: 1.5,
        })),
        ..scratch_section()
    };
    Bundle::from_section(&ModelSection::Scratch(section), 7, &Device::flex()).unwrap()
}

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

fn generate(model: &Transformer, batch_rows: usize, recorded_tokens: usize) -> Vec<Vec<Generated>> {
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
    generator.generate(&requests(), Hooks::default())
}

fn sequences(outputs: &[Vec<Generated>]) -> Vec<Sequence> {
    let all = requests().into_iter().zip(outputs);
    all.flat_map(|(request, outputs)| {
        let one = |output: &Generated| Sequence::new(request.prompt.clone(), output.tokens.clone());
        outputs.iter().map(one).collect::<Vec<_>>()
    })
    .collect()
}

#[test]
fn decoding_is_the_same_in_any_batch_and_as_trained() {
    let model = bundle().model;
    let together = generate(&model, 64, 0);
    let alone = generate(&model, 1, 0);
    let other = generate(&model.clone().with_engine(Engine::Tensors), 5, 0);
    let all = together.iter().flatten().zip(alone.iter().flatten());
    for ((a, b), c) in all.zip(other.iter().flatten()) {
        assert_eq!((&a.tokens, &a.logprobs), (&b.tokens, &b.logprobs));
        assert_eq!(a.tokens, c.tokens);
        assert!(largest_difference(&a.logprobs, &c.logprobs) < 1e-5);
    }
    let scores = token_logprobs(&model, &sequences(&together), 4096, HeadConfig::default());
    for (scores, output) in scores.unwrap().iter().zip(together.iter().flatten()) {
        assert!(largest_difference(&scores.logprobs, &output.logprobs) < 1e-5);
    }
}

fn gradients(model: &Transformer, batches: &[MicroBatch]) -> (Parameters, Vec<f32>) {
    let loss = |_: &MicroBatch, _, logprobs: &[f32], _: &[f32]| {
        let value = logprobs.iter().map(|&l| f64::from(l) * f64::from(l)).sum();
        Upstream::of_logprobs(value, logprobs.iter().map(|l| 2.0 * l).collect())
    };
    let zeros = Parameters::default();
    let config = GradientConfig::default();
    let (gradients, outputs) = batch_gradients(model, batches, config, 2, zeros, loss);
    for output in &outputs {
        let loads: Vec<_> = output.routing.iter().collect();
        assert_eq!(loads.len(), 2, "two layers of experts");
        for (_, load) in loads {
            assert_eq!(load.counts.iter().sum::<u64>(), 3 * load.tokens);
        }
    }
    let logprobs = outputs.into_iter().flat_map(|o| o.logprobs).collect();
    (gradients, logprobs)
}

/// The tape has routes too: an on-policy step needs no forward pass of its own.
#[test]
fn gradients_by_recorded_passes_are_those_by_their_own() {
    let plain = bundle().model;
    let mut adapted = plain.clone();
    Lora::default().apply(&mut adapted, 1).unwrap();
    for (model, batch_rows) in [(&plain, 64), (&plain, 3), (&adapted, 64)] {
        let outputs = generate(model, batch_rows, 10_000);
        let recorded: Vec<&Recorded> = outputs
            .iter()
            .flatten()
            .map(|output| output.recorded.as_ref().unwrap())
            .collect();
        let mut batches = pack(&sequences(&outputs), 70).unwrap();
        let (own, own_logprobs) = gradients(model, &batches);
        for batch in &mut batches {
            batch.recall(|member| Some(recorded[member]));
            assert!(batch.recall.is_some());
        }
        let (recalled, logprobs) = gradients(model, &batches);
        assert!(largest_difference(&own_logprobs, &logprobs) < 1e-5);
        assert_eq!(own.iter().count(), recalled.iter().count());
        let mut difference = own.clone();
        for (name, tensor) in recalled.iter() {
            difference.add(name, tensor.clone().neg());
        }
        let difference = difference.norm() / own.norm();
        assert!(difference < 1e-5, "{difference:e}");
        let experts = own.iter().filter(|(name, _)| name.contains(".experts."));
        let routers = own
            .iter()
            .filter(|(name, _)| name.ends_with("mlp.gate.weight"));
        let trained = usize::from(model.lora().is_none());
        assert_eq!(routers.count(), 2 * trained, "routers have no adapters");
        assert_eq!(experts.count() > 0, trained == 1);
    }
}

/// An expert that no token went to stays, whatever it had in the update before: nothing depends on what memory is left
/// of that, so a resumed run goes on as an unbroken one.
#[test]
fn experts_without_tokens_are_not_updated() {
    let model = bundle().model;
    let many = pack(&sequences(&generate(&model, 64, 0)), 4096).unwrap();
    let few = pack(&[Sequence::new([1u32], [2u32])], 4096).unwrap();
    let config = AdamWConfig {
        weight_decay: 0.1,
        ..AdamWConfig::default()
    };
    let mut learner = Learner::new(model, AdamW::new(config), 0);
    let (first, _) = gradients(&learner.model, &many);
    learner.update(first, 1e-2);
    let mut resumed = Learner::new(
        learner.model.clone(),
        learner.optimizer.clone(),
        learner.version,
    );
    let before = learner.model.to_host();
    let mut zeros = learner.zeros();
    let hit = {
        let loss = |_: &MicroBatch, _, logprobs: &[f32], _: &[f32]| {
            Upstream::of_logprobs(0.0, vec![1.0; logprobs.len()])
        };
        let update = |learner: &mut Learner, zeros: Parameters| {
            let config = GradientConfig::default();
            let (gradients, _) = batch_gradients(&learner.model, &few, config, 1, zeros, loss);
            let hit: Vec<String> = gradients.iter().map(|(name, _)| name.to_owned()).collect();
            learner.update(gradients, 1e-2);
            hit
        };
        let hit = update(&mut learner, std::mem::take(&mut zeros));
        assert_eq!(hit, update(&mut resumed, Parameters::default()));
        hit
    };
    assert!(learner.model.to_host() == resumed.model.to_host());
    let moments = |learner: &Learner| -> Vec<(String, Vec<f32>)> {
        let all = learner.optimizer.mean.iter();
        all.map(|(name, mean)| (name.to_owned(), to_host(mean.clone())))
            .collect()
    };
    assert_eq!(moments(&learner), moments(&resumed));
    let (mut idle, mut moved) = (0, 0);
    for ((name, old), (_, new)) in before.iter().zip(learner.model.to_host()) {
        if name.ends_with("correction_bias") {
            assert_eq!(*old, new, "{name}");
        } else if hit.contains(name) {
            assert_ne!(old.values, new.values, "{name}");
            moved += 1;
        } else {
            assert_eq!(*old, new, "{name}");
            idle += 1;
        }
    }
    // One row goes to three of twelve experts in each of two layers.
    assert_eq!(idle, 2 * 9 * 3);
    assert!(moved > 2 * 3 * 3);
}

/// What is written opens again as the same model.
#[test]
fn an_export_is_the_same_model() {
    let bundle = bundle();
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("export");
    save_model(&dir, &bundle.model, &bundle.codec).unwrap();
    let again = Bundle::open(dir.to_str().unwrap(), &Device::flex()).unwrap();
    assert_eq!(again.model.config(), bundle.model.config());
    assert!(again.model.to_host() == bundle.model.to_host());
}

/// Adapters go on what is no expert, and a target that only experts have is refused.
#[test]
fn adapters_of_experts_are_refused_by_name() {
    let section = ScratchModel {
        experts: Some(Box::new(ScratchExperts {
            count: 4,
            active: 2,
            intermediate_size: 10,
            shared: 0,
            dense_layers: 0,
            groups: 1,
            kept_groups: 1,
            scale: 1.0,
        })),
        ..scratch_section()
    };
    let bundle = Bundle::from_section(&ModelSection::Scratch(section), 7, &Device::flex()).unwrap();
    let mut model = bundle.model.clone();
    let message = Lora::default()
        .apply(&mut model, 1)
        .unwrap_err()
        .to_string();
    assert!(message.contains("have a map \"gate_proj\""), "{message}");
    let attention = Lora {
        targets: ["q_proj", "v_proj"].map(str::to_owned).into(),
        ..Lora::default()
    };
    let mut model = bundle.model.clone();
    attention.apply(&mut model, 1).unwrap();
    assert_eq!(model.adapters_to_host().len(), 2 * 2 * 2);
}
