//! Adapters that fit, and some that do not.

use burn::tensor::Device;
use serde_json::{Map, Value};

use super::*;
use crate::model::{
    ModelConfig,
    config::{Family, Variation},
    weights::{HostTensor, WeightSource},
};

fn model(hidden: usize, layers: usize) -> Transformer {
    let config = ModelConfig {
        family: Family::Llama,
        vocab_size: 11,
        hidden_size: hidden,
        intermediate_size: 12,
        num_hidden_layers: layers,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        head_dim: hidden / 2,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: None,
        max_position_embeddings: 64,
        tie_word_embeddings: true,
        attention_bias: false,
        qk_norm: false,
        experts: None,
        variation: Variation::default(),
    };
    Transformer::build(config, &Device::flex(), |_, shape| {
        Ok::<_, std::convert::Infallible>(HostTensor {
            shape: shape.to_vec(),
            values: vec![0.1; shape.iter().product()],
        })
    })
    .unwrap()
}

#[test]
fn an_adapter_of_another_base_is_refused_by_the_name_of_what_differs() {
    let dir = tempfile::tempdir().unwrap();
    let mut base = model(8, 2);
    Lora::default().apply(&mut base, 1).unwrap();
    save_adapter(dir.path(), &base, "here").unwrap();
    load_adapter(dir.path(), &mut model(8, 2)).unwrap();

    let message = |model: &mut Transformer| {
        let error = load_adapter(dir.path(), model).unwrap_err();
        error.to_string()
    };
    let wider = message(&mut model(16, 2));
    for part in [
        "q_proj.lora_A.weight",
        "[16, 8]",
        "[16, 16]",
        "another base",
    ] {
        assert!(wider.contains(part), "{part} in {wider}");
    }
    let deeper = message(&mut model(8, 3));
    assert!(
        deeper.contains("layers.2") && deeper.contains("another base"),
        "{deeper}"
    );
    let shallower = message(&mut model(8, 1));
    assert!(shallower.contains("layers.1"), "{shallower}");
}

/// A saved adapter whose description has this key besides.
fn refused(key: &str, value: serde_json::Value) -> Option<String> {
    let dir = tempfile::tempdir().unwrap();
    let mut base = model(8, 2);
    Lora::default().apply(&mut base, 1).unwrap();
    save_adapter(dir.path(), &base, "here").unwrap();
    let path = dir.path().join(CONFIG);
    let text = fs::read_to_string(&path).unwrap();
    let mut config: Map<String, Value> = serde_json::from_str(&text).unwrap();
    config.insert(key.to_owned(), value);
    fs::write(&path, serde_json::to_string(&config).unwrap()).unwrap();
    let error = load_adapter(dir.path(), &mut model(8, 2)).err()?;
    assert!(matches!(error, LoraError::Unsupported { .. }), "{error}");
    Some(error.to_string())
}

#[test]
fn a_setting_that_changes_the_result_is_refused_for_what_it_changes() {
    use serde_json::json;
    for (key, value, reason) in [
        ("fan_in_fan_out", json!(true), "[in, out]"),
        ("use_dora", json!(true), "magnitude"),
        ("bias", json!("all"), "biases"),
        ("lora_bias", json!(true), "biases"),
        ("init_lora_weights", json!("pissa"), "the base"),
        ("alora_invocation_tokens", json!([3, 4]), "aLoRA"),
        (
            "target_parameters",
            json!(["mlp.experts.down_proj"]),
            "no linear maps",
        ),
        (
            "trainable_token_indices",
            json!([1]),
            "rows of the embedding",
        ),
        ("a_later_idea", json!(3), "not known here"),
    ] {
        let message = refused(key, value.clone()).unwrap();
        for part in [CONFIG, &std::format!("{key} = {value}"), reason, "hint: "] {
            assert!(message.contains(part), "{part} in {message}");
        }
    }
}

/// What PEFT writes beside the settings of a plain adapter.
#[test]
fn a_setting_that_is_off_is_no_matter() {
    use serde_json::json;
    for (key, value) in [
        ("alpha_pattern", json!({})),
        ("modules_to_save", json!(null)),
        ("layers_to_transform", json!(null)),
        ("fan_in_fan_out", json!(false)),
        ("init_lora_weights", json!(true)),
        ("init_lora_weights", json!(false)),
        ("init_lora_weights", json!("gaussian")),
        ("inference_mode", json!(true)),
        ("lora_dropout", json!(0.05)),
        ("revision", json!("main")),
        ("megatron_core", json!("megatron.core")),
        ("qalora_group_size", json!(16)),
        ("peft_version", json!("0.21.2")),
        ("a_later_idea", json!(false)),
    ] {
        assert_eq!(refused(key, value), None, "{key}");
    }
}

/// Log-probabilities of each next token.
fn next_logprobs(model: &Transformer, ids: &[u32]) -> Vec<f32> {
    let rows = model.logprobs(ids);
    let next = rows.iter().zip(&ids[1..]);
    next.map(|(row, &id)| row[id as usize]).collect()
}

// Made by tests/golden/make_peft_golden.py with peft.
#[test]
fn adapters_of_peft_compute_what_peft_computes() {
    let golden = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden"));
    let text = fs::read_to_string(golden.join("peft/peft.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let ids: Vec<u32> = serde_json::from_value(expected["ids"].clone()).unwrap();
    for (name, case) in expected["cases"].as_object().unwrap() {
        let base = || {
            let dir = golden.join("tiny").join(case["base"].as_str().unwrap());
            let config = fs::read_to_string(dir.join("config.json")).unwrap();
            let config = serde_json::from_str(&config).unwrap();
            let config = ModelConfig::from_hf_json(&config, "config.json").unwrap();
            let weights = WeightSource::open_dir(&dir).unwrap();
            Transformer::load(config, &weights, &Device::flex()).unwrap()
        };
        let logprobs: Vec<f32> = serde_json::from_value(case["logprobs"].clone()).unwrap();
        let close = |model: &Transformer, what: &str| {
            let found = next_logprobs(model, &ids);
            let worst = found.iter().zip(&logprobs).map(|(a, b)| (a - b).abs());
            let worst = worst.fold(0f32, f32::max);
            assert!(worst < 1e-4, "{name}, {what}: {worst} off");
        };
        let mut model = base();
        let plain = next_logprobs(&model, &ids);
        let moved = plain.iter().zip(&logprobs).map(|(a, b)| (a - b).abs());
        assert!(
            moved.fold(0f32, f32::max) > 1e-3,
            "{name}: the adapter changes nothing"
        );
        load_adapter(&golden.join("peft").join(name), &mut model)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        close(&model, "apart");
        close(&model.merged(), "merged");
        // Written and read again it is the same.
        let dir = tempfile::tempdir().unwrap();
        save_adapter(dir.path(), &model, "here").unwrap();
        let mut again = base();
        load_adapter(dir.path(), &mut again).unwrap_or_else(|error| panic!("{name}: {error}"));
        close(&again, "written and read");
    }
}

#[test]
fn an_adapter_of_the_head_is_refused_by_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let mut base = model(8, 2);
    Lora::default().apply(&mut base, 1).unwrap();
    save_adapter(dir.path(), &base, "here").unwrap();
    let path = dir.path().join(WEIGHTS);
    let bytes = fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors = file.tensors();
    let extra = [0u8; 64];
    let view = TensorView::new(Dtype::F32, vec![2, 8], &extra).unwrap();
    let refused = |tensors: &[(String, TensorView<'_>)], parts: [&str; 3]| {
        safetensors::serialize_to_file(tensors.to_vec(), None, &path).unwrap();
        let error = load_adapter(dir.path(), &mut model(8, 2)).unwrap_err();
        let message = error.to_string();
        for part in parts {
            assert!(message.contains(part), "{part} in {message}");
        }
    };
    tensors.push((std::format!("{PREFIX}lm_head.lora_A.weight"), view.clone()));
    refused(&tensors, ["lm_head.lora_A.weight", "the head", "hint: "]);
    // As PEFT 0.21 writes it: the matrix below the adapter is there, too.
    let below = std::format!("{PREFIX}lm_head.base_layer.weight");
    tensors.push((below, view));
    refused(&tensors, ["target_modules", "lm_head", "hint: "]);
}

#[test]
fn an_expression_that_is_not_read_is_named_on_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let mut base = model(8, 2);
    Lora::default().apply(&mut base, 1).unwrap();
    save_adapter(dir.path(), &base, "here").unwrap();
    let path = dir.path().join(CONFIG);
    let text = fs::read_to_string(&path).unwrap();
    let mut config: Map<String, Value> = serde_json::from_str(&text).unwrap();
    config.insert("target_modules".to_owned(), "(?!.*vision).*q_proj".into());
    fs::write(&path, serde_json::to_string(&config).unwrap()).unwrap();
    let error = load_adapter(dir.path(), &mut model(8, 2)).unwrap_err();
    let message = error.to_string();
    for part in ["target_modules", "(?!.*vision)", "look-around", "hint: "] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert_eq!(message.lines().count(), 1, "{message}");
}
