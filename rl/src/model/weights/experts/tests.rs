use super::*;
use crate::model::{
    ModelConfig,
    config::{ExpertsConfig, tests::smollm2_135m},
    router::{Router, Scores},
    weights::HostTensor,
};

const LAYER: &str = "model.layers.0";

/// A checkpoint of some tensors, as long as it lives.
struct Staged(tempfile::TempDir);

impl Staged {
    fn new(tensors: &[(String, HostTensor)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bytes: Vec<Vec<u8>> = tensors
            .iter()
            .map(|(_, host)| host.values.iter().flat_map(|x| x.to_le_bytes()).collect())
            .collect();
        let views = tensors.iter().zip(&bytes).map(|((name, host), bytes)| {
            let dtype = safetensors::Dtype::F32;
            let view = safetensors::tensor::TensorView::new(dtype, host.shape.clone(), bytes);
            (name.clone(), view.unwrap())
        });
        let path = dir.path().join("model.safetensors");
        safetensors::serialize_to_file(views, None, &path).unwrap();
        Self(dir)
    }

    fn open(&self) -> WeightSource {
        WeightSource::open_dir(self.0.path()).unwrap()
    }
}

/// One layer of two experts, all small.
pub(crate) fn config(family: Family) -> ModelConfig {
    let router = Router {
        experts: 2,
        chosen: 1,
        scores: Scores::Softmax,
        correction: false,
        groups: None,
        normalized: Some(0.0),
        scale: 1.0,
    };
    ModelConfig {
        family,
        vocab_size: 5,
        hidden_size: 4,
        intermediate_size: 3,
        num_hidden_layers: 1,
        num_attention_heads: 1,
        num_key_value_heads: 1,
        head_dim: 4,
        experts: Some(ExpertsConfig::new(router, 3)),
        ..smollm2_135m()
    }
}

/// A tensor whose values count up from `first`.
fn tensor(shape: &[usize], first: usize) -> HostTensor {
    let count: usize = shape.iter().product();
    HostTensor {
        shape: shape.to_vec(),
        values: (first..first + count).map(|value| value as f32).collect(),
    }
}

/// What a source must give for the maps of both experts, by name.
fn experts() -> Vec<(String, HostTensor)> {
    let maps = [
        ("gate_proj", [3, 4]),
        ("up_proj", [3, 4]),
        ("down_proj", [4, 3]),
    ];
    let mut all = Vec::new();
    for expert in 0..2 {
        for (place, (map, shape)) in maps.into_iter().enumerate() {
            let name = format!("{LAYER}.mlp.experts.{expert}.{map}.weight");
            all.push((name, tensor(&shape, 1000 * place + 100 * expert)));
        }
    }
    all
}

/// Several tensors one after the other, in one of this shape.
fn stacked(maps: &[&str], shape: &[usize]) -> HostTensor {
    let mut values = Vec::new();
    for expert in 0..2 {
        for map in maps {
            let name = format!("{LAYER}.mlp.experts.{expert}.{map}.weight");
            let all = experts();
            let (_, own) = all.into_iter().find(|(own, _)| *own == name).unwrap();
            values.extend(own.values);
        }
    }
    HostTensor {
        shape: shape.to_vec(),
        values,
    }
}

/// The model's other tensors.
fn others(family: Family) -> Vec<(String, HostTensor)> {
    let tensors = config(family).tensors().into_iter();
    let others = tensors.filter(|(name, _)| !name.contains(".mlp.experts."));
    others
        .map(|(name, shape)| (name, tensor(&shape, 7)))
        .collect()
}

fn renamed(tensors: Vec<(String, HostTensor)>, from: &str, to: &str) -> Vec<(String, HostTensor)> {
    let rename = |(name, tensor): (String, HostTensor)| (name.replace(from, to), tensor);
    tensors.into_iter().map(rename).collect()
}

/// Every way in which files keep the same experts.
fn ways() -> Vec<(&'static str, Vec<(String, HostTensor)>)> {
    let plain = others(Family::Qwen3Moe);
    let with = |others: &[(String, HostTensor)], experts: Vec<(String, HostTensor)>| {
        others.iter().cloned().chain(experts).collect::<Vec<_>>()
    };
    let named = |name: &str, tensor: HostTensor| (format!("{LAYER}.{name}"), tensor);
    let both = || stacked(&["gate_proj", "up_proj"], &[2, 6, 4]);
    let down = || stacked(&["down_proj"], &[2, 4, 3]);
    let mixtral = renamed(plain.clone(), "mlp.gate", "block_sparse_moe.gate");
    let granite = renamed(plain.clone(), "mlp.gate", "block_sparse_moe.router.layer");
    let apart = [
        ("gate_proj", "w1"),
        ("up_proj", "w3"),
        ("down_proj", "w2"),
        ("mlp", "block_sparse_moe"),
    ];
    let mut w = experts();
    for (from, to) in apart {
        w = renamed(w, from, to);
    }
    vec![
        ("apart", with(&plain, experts())),
        ("of Mixtral", with(&mixtral, w)),
        (
            "as in memory",
            with(
                &plain,
                vec![
                    named("mlp.experts.gate_up_proj", both()),
                    named("mlp.experts.down_proj", down()),
                ],
            ),
        ),
        (
            "of Granite",
            with(
                &granite,
                vec![
                    named("block_sparse_moe.input_linear.weight", both()),
                    named("block_sparse_moe.output_linear.weight", down()),
                ],
            ),
        ),
        (
            "a map a tensor",
            with(
                &plain,
                vec![
                    named(
                        "mlp.experts.gate_proj.weight",
                        stacked(&["gate_proj"], &[2, 3, 4]),
                    ),
                    named(
                        "mlp.experts.up_proj.weight",
                        stacked(&["up_proj"], &[2, 3, 4]),
                    ),
                    named("mlp.experts.down_proj.weight", down()),
                ],
            ),
        ),
    ]
}

#[test]
fn every_way_of_keeping_experts_gives_the_same() {
    for (way, tensors) in ways() {
        let staged = Staged::new(&tensors);
        let source = staged.open();
        source.verify(&config(Family::Qwen3Moe).tensors()).unwrap();
        for (name, expected) in experts() {
            let read = source.read(&name, &expected.shape).unwrap();
            assert_eq!(read, expected, "{way}: {name}");
        }
    }
}

#[test]
fn another_number_of_experts_is_named() {
    let mut wanted = config(Family::Qwen3Moe);
    if let Some(experts) = &mut wanted.experts {
        experts.router.experts = 3;
    }
    // The router's own matrix is what is looked at first.
    let messages: Vec<String> = ways()
        .into_iter()
        .map(|(_, tensors)| {
            let wide = tensors
                .into_iter()
                .map(|(name, tensor_of)| match &tensor_of.shape[..] {
                    [2, 4] => (name, tensor(&[3, 4], 0)),
                    _ => (name, tensor_of),
                });
            let staged = Staged::new(&wide.collect::<Vec<_>>());
            let found = staged.open().verify(&wanted.tensors());
            found.unwrap_err().to_string()
        })
        .collect();
    assert!(
        messages[0].contains("no tensor model.layers.0.mlp.experts.2.gate_proj.weight"),
        "{messages:?}"
    );
    let stack = "model.layers.0.mlp.experts.down_proj has the shape [2, 4, 3], expected [3, 4, 3]";
    assert!(messages[2].contains(stack), "{messages:?}");
    let router = ways().swap_remove(0).1;
    let staged = Staged::new(&router);
    let message = staged
        .open()
        .verify(&wanted.tensors())
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("mlp.gate.weight has the shape [2, 4], expected [3, 4]"),
        "{message}"
    );
}

#[test]
fn layers_that_predict_further_are_skipped_by_name() {
    let (_, mut tensors) = ways().swap_remove(0);
    let further = |name: &str| (format!("model.layers.1.{name}"), tensor(&[4, 4], 0));
    tensors.push(further("self_attn.q_proj.weight"));
    let verify = |tensors: &[(String, HostTensor)]| {
        let staged = Staged::new(tensors);
        staged.open().verify(&config(Family::Qwen3Moe).tensors())
    };
    let message = verify(&tensors).unwrap_err().to_string();
    assert!(
        message.contains("model.layers.1.self_attn.q_proj.weight"),
        "{message}"
    );
    tensors.push(further("eh_proj.weight"));
    verify(&tensors).unwrap();
}

#[test]
fn what_is_written_is_named_as_the_family_names_it() {
    let written = |family, name: &str| written_name(family, format!("{LAYER}.{name}"));
    for (family, name, expected) in [
        (
            Family::Mixtral,
            "mlp.experts.7.down_proj.weight",
            "block_sparse_moe.experts.7.w2.weight",
        ),
        (
            Family::Mixtral,
            "mlp.gate.weight",
            "block_sparse_moe.gate.weight",
        ),
        (
            Family::Mixtral,
            "self_attn.q_proj.weight",
            "self_attn.q_proj.weight",
        ),
        (
            Family::Qwen2Moe,
            "mlp.shared_experts.up_proj.weight",
            "mlp.shared_expert.up_proj.weight",
        ),
        (
            Family::Qwen2Moe,
            "mlp.shared_expert_gate.weight",
            "mlp.shared_expert_gate.weight",
        ),
        (
            Family::Glm4Moe,
            "mlp.shared_experts.up_proj.weight",
            "mlp.shared_experts.up_proj.weight",
        ),
        (
            Family::Llama,
            "mlp.gate_proj.weight",
            "mlp.gate_proj.weight",
        ),
    ] {
        assert_eq!(written(family, name), format!("{LAYER}.{expected}"));
        // And what is written is found again.
        let places = other_places(&format!("{LAYER}.{name}"));
        let found = places
            .iter()
            .any(|place| place.name == format!("{LAYER}.{expected}"));
        assert!(found || name == expected, "{name}");
    }
}
