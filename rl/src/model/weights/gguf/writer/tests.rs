//! Files that are written and read back.

use super::*;
use crate::model::Pretrained;
use crate::model::weights::WeightSource;
use crate::tokenizer::{ChatTemplate, SpecialTokens, Tokenizer};

/// A golden model with a tokenizer, written as GGUF and opened again.
fn written(
    name: &str,
    stored: Stored,
) -> (Pretrained, Result<Pretrained, String>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let golden = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/tiny")).join(name);
    let model = dir.path().join("model");
    std::fs::create_dir(&model).unwrap();
    for entry in std::fs::read_dir(golden).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, model.join(path.file_name().unwrap())).unwrap();
    }
    // Files hold the frequencies that come of a context, not the context: that of Llama 3.1 is known.
    let config = model.join("config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    let known = text.replace(
        "\"original_max_position_embeddings\": 128",
        "\"original_max_position_embeddings\": 8192",
    );
    assert_eq!(known != text, name == "llama3_rope");
    std::fs::write(config, known).unwrap();
    let special = ["<pad>", "<bos>", "<eos>", "<think>"];
    let tokenizer = Tokenizer::characters("0123456789+= \n", &special).unwrap();
    std::fs::write(model.join("tokenizer.json"), tokenizer.to_json().unwrap()).unwrap();
    let model = Pretrained::open(model.to_str().unwrap()).unwrap();
    let template = "{{ messages[0].content }}=";
    let template = ChatTemplate::new(template, SpecialTokens::default()).unwrap();
    let export = Export {
        config: &model.config,
        tokenizer: &model.tokenizer,
        template: Some(&template),
        special: &model.special,
        eos_token_ids: &model.eos_token_ids,
        max_shard_bytes: 1 << 30,
    };
    let tensors = model.config.tensors().into_iter().map(|(name, shape)| {
        let tensor = model.weights.read(&name, &shape).unwrap();
        (name, tensor)
    });
    let file = dir.path().join("model.gguf");
    let saved = save_gguf(&file, &export, stored, tensors);
    let again = saved
        .map_err(|error| error.to_string())
        .and_then(|()| Pretrained::open(file.to_str().unwrap()).map_err(|error| error.to_string()));
    (model, again, dir)
}

#[test]
fn what_is_written_reads_back_the_same() {
    for name in ["llama", "llama3_rope", "qwen2", "qwen3"] {
        let (model, again, _dir) = written(name, Stored::F32);
        let again = again.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(again.config, model.config, "{name}");
        assert_eq!(again.eos_token_ids, model.eos_token_ids, "{name}");
        assert_eq!(
            again.template.unwrap().source(),
            "{{ messages[0].content }}="
        );
        for (tensor, shape) in model.config.tensors() {
            let read = |source: &WeightSource| source.read(&tensor, &shape).unwrap();
            assert_eq!(
                read(&again.weights),
                read(&model.weights),
                "{name}: {tensor}"
            );
        }
        let WeightSource::Gguf(file) = &again.weights else {
            panic!("{name}: read from something else");
        };
        for (key, value) in [
            ("type", "model"),
            ("name", "model"),
            ("architecture", model.config.family.model_type()),
        ] {
            let key = format!("general.{key}");
            assert_eq!(file.metadata().text(&key).unwrap(), Some(value), "{key}");
        }
        for text in ["1+2=3\n", "<think> 7<eos>", ""] {
            let ids = model.tokenizer.encode(text).unwrap();
            assert_eq!(again.tokenizer.encode(text).unwrap(), ids, "{text:?}");
            assert_eq!(
                again.tokenizer.decode(&ids).unwrap(),
                model.tokenizer.decode(&ids).unwrap()
            );
        }
    }
}

#[test]
fn narrow_types_round_to_what_they_can_hold() {
    // Relative to the largest value of a block: half of the last bit of eleven and of eight, and half of one of 127 steps.
    for (stored, bound) in [
        (Stored::F16, 2f32.powi(-11)),
        (Stored::Bf16, 2f32.powi(-8)),
        (Stored::Q8_0, 0.51 / 127.0),
    ] {
        let (model, again, _dir) = written("qwen3", stored);
        let again = again.unwrap();
        for (tensor, shape) in model.config.tensors() {
            let before = model.weights.read(&tensor, &shape).unwrap().values;
            let after = again.weights.read(&tensor, &shape).unwrap().values;
            if shape.len() == 1 {
                assert_eq!(before, after, "{tensor}");
            }
            for (before, after) in before.chunks(32).zip(after.chunks(32)) {
                let largest = before.iter().fold(0f32, |most, x| most.max(x.abs()));
                for (x, y) in before.iter().zip(after) {
                    // The scale of a block is itself rounded to eleven bits.
                    let bound = bound
                        + if stored == Stored::Q8_0 {
                            2f32.powi(-11)
                        } else {
                            0.0
                        };
                    assert!((x - y).abs() <= bound * largest, "{tensor}: {x} {y}");
                }
            }
        }
    }
}

#[test]
fn nothing_is_left_of_a_file_that_cannot_be_written() {
    let (model, again, dir) = written("llama", Stored::F32);
    again.unwrap();
    let export = Export {
        config: &model.config,
        tokenizer: &model.tokenizer,
        template: None,
        special: &model.special,
        eos_token_ids: &model.eos_token_ids,
        max_shard_bytes: 1 << 30,
    };
    let path = dir.path().join("model.gguf");
    let message = save_gguf(&path, &export, Stored::F16, [])
        .unwrap_err()
        .to_string();
    assert!(message.contains("already exists"), "{message}");
    let path = dir.path().join("other.gguf");
    let message = save_gguf(&path, &export, Stored::F16, [])
        .unwrap_err()
        .to_string();
    assert!(message.contains("is missing"), "{message}");
    let names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}
