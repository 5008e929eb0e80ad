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

/// A file of safetensors with one more tensor.
fn with_tensor(dir: &tempfile::TempDir, name: &str, shape: Vec<usize>, values: &[f32]) {
    use safetensors::{Dtype, SafeTensors, tensor::TensorView};
    let path = dir.path().join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let mut tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    let new: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    tensors.push((
        name.to_owned(),
        TensorView::new(Dtype::F32, shape, &new).unwrap(),
    ));
    safetensors::serialize_to_file(tensors, None, &path).unwrap();
}

// transformers 5 (modeling_utils: `_tied_params_are_equal`) ties only what is equal in the file.
#[test]
fn a_head_of_its_own_is_used_whatever_the_config_says() {
    let dir = model("llama");
    let plain = open(&dir).unwrap();
    assert!(plain.config.tie_word_embeddings);
    let shape = [plain.config.vocab_size, plain.config.hidden_size];
    let embedding = plain
        .weights
        .read("model.embed_tokens.weight", &shape)
        .unwrap()
        .values;
    with_tensor(&dir, "lm_head.weight", shape.to_vec(), &embedding);
    assert!(
        open(&dir).unwrap().config.tie_word_embeddings,
        "a copy is no other head"
    );
    let dir = model("llama");
    let other: Vec<f32> = embedding.iter().map(|x| x + 0.5).collect();
    with_tensor(&dir, "lm_head.weight", shape.to_vec(), &other);
    let opened = open(&dir).unwrap();
    assert!(!opened.config.tie_word_embeddings);
    assert_eq!(
        opened
            .weights
            .read("lm_head.weight", &shape)
            .unwrap()
            .values,
        other
    );
}

#[test]
fn a_pointer_of_git_lfs_is_named_as_such() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 269060552\n";
    for file in ["model.safetensors", "tokenizer.json"] {
        let dir = model("llama");
        std::fs::write(dir.path().join(file), pointer).unwrap();
        let message = open(&dir).unwrap_err().to_string();
        assert!(
            message.contains(file) && message.contains("Git-LFS pointer"),
            "{message}"
        );
        assert!(message.contains("git lfs pull"), "{message}");
    }
}

#[test]
fn whether_a_text_begins_with_bos_is_what_the_config_of_the_tokenizer_says() {
    let dir = model("llama");
    let prefix = || open(&dir).unwrap().tokenizer.prefix().to_vec();
    assert!(prefix().is_empty());
    write(
        &dir,
        "tokenizer_config.json",
        &json!({ "bos_token": "<bos>", "add_bos_token": true }),
    );
    assert_eq!(prefix(), [1]);
    write(
        &dir,
        "tokenizer_config.json",
        &json!({ "bos_token": "<bos>", "add_bos_token": false }),
    );
    assert!(prefix().is_empty());
}
