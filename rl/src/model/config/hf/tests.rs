use super::*;
use crate::model::{
    config::{ExpertsConfig, RopeScaling, tests::smollm2_135m},
    router::{GroupScore, Groups, Router, Scores},
};

fn read(json: &Value) -> Result<ModelConfig, ConfigError> {
    ModelConfig::from_hf_json(json, "config.json")
}

/// The error after one field of a good configuration was replaced.
fn error_with(model_type: &str, field: &str, value: Value) -> String {
    let mut json = smollm2_135m().to_hf_json(None, &[]);
    json["model_type"] = json!(model_type);
    json[field] = value;
    read(&json).unwrap_err().to_string()
}

#[test]
fn what_is_written_reads_back() {
    let llama3 = RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192,
    };
    let base = smollm2_135m();
    let configs = [
        base.clone(),
        ModelConfig {
            rope_scaling: Some(llama3),
            tie_word_embeddings: false,
            ..base.clone()
        },
        ModelConfig {
            rope_scaling: Some(RopeScaling::Linear { factor: 2.5 }),
            ..base.clone()
        },
        ModelConfig {
            family: Family::Qwen2,
            attention_bias: true,
            ..base.clone()
        },
        ModelConfig {
            family: Family::Qwen3,
            qk_norm: true,
            head_dim: 128,
            ..base
        },
    ];
    for config in configs {
        let mut json = config.to_hf_json(Some(1), &[2, 3]);
        assert_eq!(json["eos_token_id"], json!([2, 3]));
        assert_eq!(read(&json).unwrap(), config);
        // Each spelling of RoPE alone says the same.
        let parameters = json.as_object_mut().unwrap().remove("rope_parameters");
        assert_eq!(read(&json).unwrap(), config);
        json["rope_parameters"] = parameters.unwrap();
        json.as_object_mut()
            .unwrap()
            .retain(|field, _| field != "rope_theta" && field != "rope_scaling");
        assert_eq!(read(&json).unwrap(), config);
    }
}

#[test]
fn head_width_and_kv_heads_have_the_defaults_of_transformers() {
    let mut json = smollm2_135m().to_hf_json(None, &[]);
    json.as_object_mut()
        .unwrap()
        .retain(|field, _| field != "head_dim" && field != "num_key_value_heads");
    let config = read(&json).unwrap();
    assert_eq!((config.head_dim, config.num_key_value_heads), (64, 9));
    json["model_type"] = json!("qwen3");
    assert_eq!(
        read(&json).unwrap_err().to_string(),
        "config.json: head_dim is missing"
    );
}

#[test]
fn what_is_not_implemented_is_an_error() {
    assert_eq!(
        error_with("gemma3", "vocab_size", json!(1)),
        "config.json: architecture \"gemma3\" is not supported; supported: llama, mistral, qwen2, qwen3, gemma3_text, \
         olmo2, olmo3, smollm3, granite, phi3, minicpm3, youtu, deepseek_v2, deepseek_v3, \
          qwen2_moe, qwen3_moe, mixtral, olmoe, granitemoe, glm4_moe"
    );
    let cases = [
        (
            "llama",
            "hidden_act",
            json!("gelu"),
            "hidden_act = \"gelu\" is not supported: only silu",
        ),
        (
            "llama",
            "mlp_bias",
            json!(true),
            "mlp_bias = true is not supported",
        ),
        (
            "llama",
            "attention_bias",
            json!(true),
            "attention_bias = true is not supported",
        ),
        (
            "mistral",
            "sliding_window",
            json!(0),
            "sliding_window = 0 must be at least 1",
        ),
        (
            "qwen2",
            "use_sliding_window",
            json!(true),
            "use_sliding_window = true is not supported",
        ),
        (
            "qwen3",
            "layer_types",
            json!(["full_attention", "sliding_attention"]),
            "layer_types = \"sliding_attention\"",
        ),
        (
            "llama",
            "rope_parameters",
            json!({"rope_type": "dynamic"}),
            "rope_parameters.rope_type = \"dynamic\"",
        ),
        (
            "llama",
            "rope_parameters",
            json!({"rope_type": "yarn"}),
            "rope_parameters.factor is missing",
        ),
        (
            "llama",
            "quantization_config",
            json!({"quant_method": "gptq"}),
            "quantization_config = {",
        ),
        (
            "llama",
            "hidden_size",
            json!("576"),
            "hidden_size = \"576\" is not a whole number",
        ),
        (
            "llama",
            "rope_parameters",
            json!([]),
            "rope_parameters = [] is not an object",
        ),
        (
            "llama",
            "hidden_size",
            Value::Null,
            "hidden_size is missing",
        ),
    ];
    for (model_type, field, value, expected) in cases {
        let message = error_with(model_type, field, value);
        assert!(message.contains(expected), "{message}");
    }
    assert!(
        error_with("llama", "num_hidden_layers", json!(5000))
            .contains("must be between 1 and 4096")
    );
}

/// A mixture of experts of each family that has any.
fn mixtures() -> Vec<ModelConfig> {
    let base = smollm2_135m();
    let router = Router {
        experts: 8,
        chosen: 2,
        scores: Scores::Softmax,
        correction: false,
        groups: None,
        normalized: None,
        scale: 1.0,
    };
    let config = |family, experts| ModelConfig {
        family,
        experts: Some(experts),
        ..base.clone()
    };
    vec![
        ModelConfig {
            qk_norm: true,
            ..config(
                Family::Qwen3Moe,
                ExpertsConfig {
                    dense_layers: vec![1, 4],
                    layer_step: 2,
                    ..ExpertsConfig::new(router.clone(), 20)
                },
            )
        },
        ModelConfig {
            attention_bias: true,
            ..config(
                Family::Qwen2Moe,
                ExpertsConfig {
                    shared_intermediate_size: 30,
                    shared_gate: true,
                    ..ExpertsConfig::new(router.clone(), 20)
                },
            )
        },
        config(
            Family::Mixtral,
            ExpertsConfig::new(
                Router {
                    normalized: Some(0.0),
                    ..router.clone()
                },
                base.intermediate_size,
            ),
        ),
        config(
            Family::Glm4Moe,
            ExpertsConfig {
                shared_intermediate_size: 40,
                first_layer: 1,
                ..ExpertsConfig::new(
                    Router {
                        scores: Scores::Sigmoid,
                        correction: true,
                        groups: Some(Groups {
                            count: 4,
                            kept: 2,
                            score: GroupScore::TwoLargest,
                            excluded: f32::NEG_INFINITY,
                        }),
                        normalized: Some(1e-20),
                        scale: 2.5,
                        ..router
                    },
                    20,
                )
            },
        ),
    ]
}

#[test]
fn mixtures_of_experts_read_back() {
    for config in mixtures() {
        let json = config.to_hf_json(Some(1), &[2]);
        assert_eq!(read(&json).unwrap(), config);
    }
}

#[test]
fn mixtures_that_make_no_sense_are_named() {
    let error = |place: usize, field: &str, value: Value| {
        let mut json = mixtures()[place].to_hf_json(None, &[]);
        json[field] = value;
        read(&json).unwrap_err().to_string()
    };
    let of_deepseek = 3;
    for (place, field, value, expected) in [
        (
            of_deepseek,
            "topk_group",
            json!(5),
            "topk_group = 5 must be between 1 and n_group = 4",
        ),
        (
            of_deepseek,
            "n_group",
            json!(3),
            "n_group = 3 must divide the number of experts, 8",
        ),
        (
            of_deepseek,
            "n_group",
            json!(1),
            "topk_group = 2 must be between 1 and n_group = 1",
        ),
        (
            of_deepseek,
            "topk_method",
            json!("greedy"),
            "topk_method = \"greedy\" is not supported",
        ),
        (
            0,
            "num_experts_per_tok",
            json!(9),
            "experts per token = 9 must be between 1 and the number of experts, 8",
        ),
        (
            0,
            "mlp_only_layers",
            json!("all"),
            "mlp_only_layers = \"all\" is not a list of numbers of layers",
        ),
        (
            0,
            "decoder_sparse_step",
            json!(0),
            "decoder_sparse_step = 0 must be at least 1",
        ),
        (
            1,
            "qkv_bias",
            json!(false),
            "qkv_bias = false is not supported",
        ),
        (
            0,
            "quantization_config",
            json!({ "quant_method": "fp8", "weight_block_size": [128, 128] }),
            "FP8 among them, are not read",
        ),
    ] {
        let message = error(place, field, value);
        assert!(message.contains(expected), "{field}: {message}");
    }
    let mut json = smollm2_135m().to_hf_json(None, &[]);
    json["num_local_experts"] = json!(8);
    let message = read(&json).unwrap_err().to_string();
    assert!(
        message.contains("the model type llama has no experts"),
        "{message}"
    );
}
