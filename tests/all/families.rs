//! Families whose attention, norms, positions or scales differ from Llama's, against transformers, in both formats.

use burn::tensor::Device;
use dunwu::{
    model::{
        Engine, ModelConfig, Transformer,
        config::ConfigError,
        weights::{
            WeightSource,
            gguf::GgufFile,
            writer::{DEFAULT_SHARD_BYTES, Export, save_pretrained},
        },
    },
    tokenizer::{SpecialTokens, Tokenizer},
};
use serde_json::Value;

use crate::fixtures::{golden, golden_json, largest_difference};

/// The largest difference between float32 and float64 in transformers is 2.5e-5 over these models, as the script that makes them
/// prints; engines add in other orders.
const BOUND: f32 = 5e-5;

fn floats(value: &Value) -> Vec<f32> {
    let all = value.as_array().unwrap().iter();
    all.map(|x| x.as_f64().unwrap() as f32).collect()
}

fn from_directory(name: &str) -> Transformer {
    let json = golden_json(&format!("families/{name}/config.json"));
    let config = ModelConfig::from_hf_json(&json, name).unwrap();
    let source = WeightSource::open_dir(golden(&format!("families/{name}"))).unwrap();
    source.verify(&config.stored_tensors()).unwrap();
    Transformer::load(config, &source, &Device::flex()).unwrap()
}

fn from_gguf(name: &str) -> Option<Transformer> {
    let path = golden(&format!("families/{name}/model.gguf"));
    if !path.is_file() {
        return None;
    }
    let file = GgufFile::open(&path).unwrap();
    let config = ModelConfig::from_gguf(&file).unwrap();
    let source = WeightSource::Gguf(file);
    source.verify(&config.stored_tensors()).unwrap();
    Some(Transformer::load(config, &source, &Device::flex()).unwrap())
}

fn family(name: &str) {
    let expected = golden_json(&format!("families/{name}/logprobs.json"));
    let ids: Vec<u32> = floats(&expected["input_ids"])
        .iter()
        .map(|&id| id as u32)
        .collect();
    let rows: Vec<Vec<f32>> = expected["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(floats)
        .collect();
    let places = floats(&expected["positions"]);
    let directory = from_directory(name);
    let mut formats = vec![("directory", directory.clone())];
    formats.extend(from_gguf(name).map(|model| ("gguf", model)));
    for (format, model) in &formats {
        for engine in [Engine::Host, Engine::Tensors] {
            let ours = model.clone().with_engine(engine).logprobs(&ids);
            let chosen: Vec<f32> = (1..ids.len())
                .map(|i| ours[i - 1][ids[i] as usize])
                .collect();
            let some: Vec<f32> = places
                .iter()
                .flat_map(|&i| ours[i as usize].clone())
                .collect();
            let a = largest_difference(&chosen, &floats(&expected["chosen"]));
            let b = largest_difference(&some, &rows.concat());
            eprintln!("{name}, {format}, {engine:?}: {:.1e}", a.max(b));
            assert!(a.max(b) < BOUND, "{name}, {format}, {engine:?}: {a} {b}");
        }
    }
    // Both formats hold the same values.
    if let [(_, one), (_, other)] = &formats[..] {
        let (one, other) = (one.logprobs(&ids).concat(), other.logprobs(&ids).concat());
        assert!(largest_difference(&one, &other) < 2e-6, "{name}");
    }
}

macro_rules! families {
    ($($test:ident: $name:literal,)*) => {
        $(
            #[test]
            fn $test() {
                family($name);
            }
        )*
    };
}

families! {
    gemma3_is_that_of_transformers: "gemma3",
    olmo2_is_that_of_transformers: "olmo2",
    olmo3_with_windows_and_yarn_is_that_of_transformers: "olmo3",
    smollm3_is_that_of_transformers: "smollm3",
    smollm3_with_windows_and_biases_is_that_of_transformers: "smollm3_windows",
    granite_is_that_of_transformers: "granite",
    phi3_with_part_of_heads_rotated_is_that_of_transformers: "phi3",
    phi3_with_longrope_is_that_of_transformers: "phi3_longrope",
    mistral_with_its_window_is_that_of_transformers: "mistral",
    qwen3_with_yarn_is_that_of_transformers: "qwen3_yarn",
    minicpm3_is_that_of_transformers: "minicpm3",
    youtu_is_that_of_transformers: "youtu",
    youtu_with_halves_and_biases_is_that_of_transformers: "youtu_halves",
    deepseek_v2_with_dense_layers_is_that_of_transformers: "deepseek_v2",
    deepseek_v3_with_dense_layers_is_that_of_transformers: "deepseek_v3",
}

/// Every golden directory is tested.
#[test]
fn every_family_that_is_here_is_compared() {
    let source = include_str!("families.rs");
    for entry in std::fs::read_dir(golden("families")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(source.contains(&format!(": \"{name}\",")), "{name}");
    }
}

#[test]
fn a_config_is_written_as_it_was_read() {
    for entry in std::fs::read_dir(golden("families")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let json = golden_json(&format!("families/{name}/config.json"));
        let config = ModelConfig::from_hf_json(&json, &name).unwrap();
        let written = config.to_hf_json(Some(1), &[2]);
        assert_eq!(ModelConfig::from_hf_json(&written, &name).unwrap(), config);
    }
}

/// The padding token that transformers takes by default is behind a small vocabulary, and it does not open such a model.
#[test]
fn a_small_vocabulary_has_no_padding_token_of_a_large_one() {
    for name in ["phi3", "smollm3"] {
        let json = golden_json(&format!("families/{name}/config.json"));
        let mut config = ModelConfig::from_hf_json(&json, name).unwrap();
        let padding =
            |config: &ModelConfig| config.to_hf_json(None, &[]).get("pad_token_id").cloned();
        assert_eq!(padding(&config), Some(Value::Null), "{name}");
        config.vocab_size = 150_000;
        assert_eq!(padding(&config), None, "{name}");
    }
}

/// The message of a changed `config.json`.
fn refusal(name: &str, change: impl Fn(&mut Value)) -> String {
    let mut json = golden_json(&format!("families/{name}/config.json"));
    change(&mut json);
    let error: ConfigError = ModelConfig::from_hf_json(&json, "config.json").unwrap_err();
    error.to_string()
}

#[test]
fn what_is_not_implemented_is_named() {
    let contains = |message: String, part: &str| assert!(message.contains(part), "{message}");
    let rope = |kind: &'static str| {
        move |json: &mut Value| json["rope_parameters"]["rope_type"] = kind.into()
    };
    contains(
        refusal("granite", rope("dynamic")),
        "rope_parameters.rope_type = \"dynamic\" is not supported: supported kinds of RoPE scaling: default, linear",
    );
    contains(
        refusal("olmo3", |json| json["sliding_window"] = Value::Null),
        "sliding_window, which layer_types ask for, is missing",
    );
    contains(
        refusal("deepseek_v3", |json| {
            json["quantization_config"] = serde_json::json!({"quant_method": "fp8"});
        }),
        "FP8 among them, are not read",
    );
    contains(
        refusal("deepseek_v3", |json| {
            json["first_k_dense_replace"] = 1.into()
        }),
        "n_group = 8 must divide the number of experts, 4",
    );
    contains(
        refusal("deepseek_v2", |json| json["kv_lora_rank"] = Value::Null),
        "kv_lora_rank is missing",
    );
    contains(
        refusal("gemma3", |json| {
            json["final_logit_softcapping"] = 30.0.into()
        }),
        "final_logit_softcapping = 30.0 is not supported",
    );
    contains(
        refusal("gemma3", |json| json["hidden_activation"] = "gelu".into()),
        "only gelu_pytorch_tanh",
    );
    contains(
        refusal("olmo2", |json| json["partial_rotary_factor"] = 0.5.into()),
        "RoPE rotates whole heads in this family",
    );
    contains(
        refusal("minicpm3", |json| {
            json["rope_parameters"]["short_factor"] = serde_json::json!([1.0]);
        }),
        "short_factor = 1 entries must be 4",
    );
}

/// What is exported are the tensors that were read, by the same names, and a configuration that says the same.
#[test]
fn what_is_exported_is_what_was_read() {
    let tokenizer = Tokenizer::characters("abc", &["<eos>"]).unwrap();
    for entry in std::fs::read_dir(golden("families")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let model = from_directory(&name);
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("export");
        let export = Export {
            config: model.config(),
            tokenizer: &tokenizer,
            template: None,
            special: &SpecialTokens::default(),
            eos_token_ids: &[2],
            max_shard_bytes: DEFAULT_SHARD_BYTES,
        };
        save_pretrained(&target, &export, model.host_tensors()).unwrap();
        let read = WeightSource::open_dir(golden(&format!("families/{name}"))).unwrap();
        let written = WeightSource::open_dir(&target).unwrap();
        let mut compared = 0;
        for tensor in read.names() {
            let shape = read.shape(tensor).unwrap();
            assert_eq!(
                read.read(tensor, shape).unwrap(),
                written.read(tensor, shape).unwrap(),
                "{name}: {tensor}"
            );
            compared += 1;
        }
        assert_eq!(compared, written.names().len(), "{name}");
    }
}

/// Files of an older layout call other widths by the names of these.
#[test]
fn a_gguf_without_the_widths_of_latent_attention_is_refused() {
    let mut bytes = std::fs::read(golden("families/youtu/model.gguf")).unwrap();
    let key = b"attention.key_length_mla";
    let place = bytes.windows(key.len()).position(|part| part == key);
    bytes[place.unwrap() + key.len() - 1] = b'x';
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    std::fs::write(&path, bytes).unwrap();
    let error = ModelConfig::from_gguf(&GgufFile::open(&path).unwrap()).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("deepseek2.attention.key_length_mla"),
        "{message}"
    );
}
