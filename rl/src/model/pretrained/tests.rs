//! Checkpoints that open, and some that do not.

use serde_json::json;

use super::*;

fn golden(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden")).join(name)
}

/// A directory with the golden model of that name and a tokenizer.
fn model(name: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(golden("tiny").join(name)).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    let tokenizer =
        Tokenizer::characters("0123456789+=", &["<pad>", "<bos>", "<eos>", "<end>"]).unwrap();
    std::fs::write(
        dir.path().join("tokenizer.json"),
        tokenizer.to_json().unwrap(),
    )
    .unwrap();
    dir
}

fn open(dir: &tempfile::TempDir) -> Result<Pretrained, PretrainedError> {
    Pretrained::open(dir.path().to_str().unwrap())
}

fn write(dir: &tempfile::TempDir, file: &str, json: &Value) {
    std::fs::write(dir.path().join(file), json.to_string()).unwrap();
}

// Made by tests/golden/make_tiny_models.py with transformers: f32, f32 in shards, bf16 and f16.
#[test]
fn checkpoints_of_transformers_open() {
    for name in ["llama", "llama3_rope", "qwen2", "qwen3"] {
        let dir = model(name);
        let model = open(&dir).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (tensor, shape) in model.config.tensors() {
            let read = model.weights.read(&tensor, &shape).unwrap();
            assert!(
                read.values.iter().all(|value| value.is_finite()),
                "{name}: {tensor}"
            );
        }
    }
}

#[test]
fn eos_ids_are_united() {
    let dir = model("llama");
    write(
        &dir,
        "generation_config.json",
        &json!({ "eos_token_id": [3, 2] }),
    );
    write(
        &dir,
        "tokenizer_config.json",
        &json!({ "eos_token": "<pad>" }),
    );
    assert_eq!(open(&dir).unwrap().eos_token_ids, [0, 2, 3]);
    write(
        &dir,
        "generation_config.json",
        &json!({ "eos_token_id": 64 }),
    );
    let message = open(&dir).unwrap_err().to_string();
    assert!(
        message.ends_with("end-of-sequence id 64 is outside of the vocabulary of 64"),
        "{message}"
    );
}

#[test]
fn a_model_without_eos_is_an_error_with_the_way_out() {
    let dir = model("llama");
    let _ = std::fs::remove_file(dir.path().join("generation_config.json"));
    let mut config = read_json(&dir.path().join("config.json")).unwrap();
    config["eos_token_id"] = Value::Null;
    write(&dir, "config.json", &config);
    let message = open(&dir).unwrap_err().to_string();
    assert!(
        message.contains("no end-of-sequence token is named\nhint: set eos_token_id"),
        "{message}"
    );
    assert!(
        message.starts_with(dir.path().to_str().unwrap()),
        "{message}"
    );
}

#[test]
fn a_missing_part_is_named() {
    let dir = model("llama");
    std::fs::remove_file(dir.path().join("tokenizer.json")).unwrap();
    assert!(
        open(&dir)
            .unwrap_err()
            .to_string()
            .contains("tokenizer.json")
    );
    std::fs::remove_file(dir.path().join("config.json")).unwrap();
    assert!(matches!(open(&dir), Err(PretrainedError::NoConfig { .. })));
    let message = Pretrained::open("no/such/model").unwrap_err().to_string();
    assert!(
        message.starts_with("no model \"no/such/model\": there is no such directory or file"),
        "{message}"
    );
}

#[test]
fn a_bias_that_the_model_would_leave_out_is_an_error() {
    let dir = model("qwen2");
    let mut config = read_json(&dir.path().join("config.json")).unwrap();
    config["model_type"] = json!("llama");
    write(&dir, "config.json", &config);
    let message = open(&dir).unwrap_err().to_string();
    assert!(
        message.contains("6 tensors do not belong to this architecture"),
        "{message}"
    );
}

#[test]
fn smollm2_opens() {
    let Ok(file) = std::env::var("DUNWU_SMOLLM2_GGUF") else {
        eprintln!("skipped: DUNWU_SMOLLM2_GGUF is not set");
        return;
    };
    let model = Pretrained::open(&file).unwrap();
    assert_eq!(model.config, crate::model::config::tests::smollm2_135m());
    assert_eq!(model.eos_token_ids, [2]);
    assert_eq!(model.special.eos_token.as_deref(), Some("<|im_end|>"));
    assert!(model.template.is_some());
}
