//! Adapters that fit, and some that do not.

use burn::tensor::Device;

use super::*;
use crate::model::{
    ModelConfig,
    config::{Family, Variation},
    weights::HostTensor,
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
        ("alpha_pattern", json!({"q_proj": 8}), "another alpha"),
        (
            "rank_pattern",
            json!({"layers.0.self_attn.q_proj": 4}),
            "another rank",
        ),
        ("modules_to_save", json!(["lm_head"]), "replaced"),
        ("layers_to_transform", json!([0]), "only some layers"),
        ("layers_to_transform", json!(0), "only some layers"),
        ("fan_in_fan_out", json!(true), "[in, out]"),
        ("use_rslora", json!(true), "sqrt(rank)"),
        ("use_dora", json!(true), "magnitude"),
        ("bias", json!("all"), "biases"),
        ("lora_bias", json!(true), "biases"),
        ("init_lora_weights", json!("pissa"), "the base"),
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
