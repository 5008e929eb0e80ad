//! Whole files: valid, unsupported, and damaged in every way that a loop can think of.

use super::*;
use crate::formats::gguf::MetadataValue;
use crate::model::weights::WeightSource;

/// Writes GGUF files, well formed or not.
#[derive(Default)]
struct Builder {
    pairs: Vec<u8>,
    pair_count: u64,
    tensors: Vec<u8>,
    tensor_count: u64,
    data: Vec<u8>,
}

impl Builder {
    fn string(out: &mut Vec<u8>, text: &str) {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    }

    fn pair(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        Self::string(&mut self.pairs, key);
        self.pairs.extend(kind.to_le_bytes());
        self.pairs.extend(value);
        self.pair_count += 1;
        self
    }

    fn text(self, key: &str, text: &str) -> Self {
        let mut value = Vec::new();
        Self::string(&mut value, text);
        self.pair(key, 8, &value)
    }

    fn count(self, key: &str, count: u32) -> Self {
        self.pair(key, 4, &count.to_le_bytes())
    }

    /// `dimensions` in file order, fastest first.
    fn tensor(mut self, name: &str, dimensions: &[u64], type_id: u32, bytes: &[u8]) -> Self {
        Self::string(&mut self.tensors, name);
        self.tensors.extend((dimensions.len() as u32).to_le_bytes());
        self.tensors
            .extend(dimensions.iter().flat_map(|size| size.to_le_bytes()));
        self.tensors.extend(type_id.to_le_bytes());
        self.tensors.extend((self.data.len() as u64).to_le_bytes());
        self.data.extend(bytes);
        self.data.resize(self.data.len().next_multiple_of(32), 0);
        self.tensor_count += 1;
        self
    }

    fn floats(self, name: &str, dimensions: &[u64], values: &[f32]) -> Self {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.tensor(name, dimensions, 0, &bytes)
    }

    fn build(self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3u32.to_le_bytes());
        out.extend(self.tensor_count.to_le_bytes());
        out.extend(self.pair_count.to_le_bytes());
        out.extend(self.pairs);
        out.extend(self.tensors);
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend(self.data);
        out
    }
}

/// One head of width 4, so the permutation is visible.
fn sample(architecture: &str) -> Builder {
    let rows: Vec<f32> = (0..8).map(|value| value as f32).collect();
    Builder::default()
        .text("general.architecture", architecture)
        .count(&format!("{architecture}.attention.head_count"), 1)
        .count(&format!("{architecture}.attention.head_count_kv"), 1)
        .pair(
            &format!("{architecture}.attention.layer_norm_rms_epsilon"),
            6,
            &1e-5f32.to_le_bytes(),
        )
        .pair(
            "a.list",
            9,
            &[
                8u32.to_le_bytes().as_slice(),
                &1u64.to_le_bytes(),
                &2u64.to_le_bytes(),
                b"hi",
            ]
            .concat(),
        )
        .pair("a.negative", 1, &[0xff])
        .pair("a.flag", 7, &[1])
        .floats("token_embd.weight", &[2, 4], &rows)
        .floats("blk.0.attn_q.weight", &[2, 4], &rows)
        .floats("blk.0.attn_k.bias", &[4], &rows[..4])
}

fn written(bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

fn error(bytes: &[u8]) -> String {
    let (_dir, path) = written(bytes);
    let message = GgufFile::open(&path).unwrap_err().to_string();
    let prefix = format!("{}: ", path.display());
    message
        .strip_prefix(&prefix)
        .expect("the file is named")
        .to_string()
}

#[test]
fn metadata_and_tensors_are_read() {
    let (_dir, path) = written(&sample("qwen2").build());
    let file = GgufFile::open(&path).unwrap();
    let metadata = file.metadata();
    assert_eq!(
        metadata
            .number("qwen2.attention.layer_norm_rms_epsilon")
            .unwrap(),
        Some(1e-5)
    );
    assert_eq!(metadata.texts("a.list").unwrap().unwrap(), ["hi"]);
    assert_eq!(metadata.get("a.negative"), Some(&MetadataValue::Signed(-1)));
    assert_eq!(metadata.flag("a.flag").unwrap(), Some(true));
    let names = [
        "model.embed_tokens.weight",
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.0.self_attn.k_proj.bias",
    ];
    assert_eq!(file.names(), names);
    let query = file.read(names[1], &[4, 2]).unwrap();
    assert_eq!(query.values, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    let wrong = metadata.text("a.flag").unwrap_err().to_string();
    assert_eq!(wrong, "metadata key a.flag is a bool, expected a string");
}

#[test]
fn only_llama_queries_and_keys_are_put_back_in_order() {
    let (_dir, path) = written(&sample("llama").build());
    let file = GgufFile::open(&path).unwrap();
    let read = |name: &str, shape: &[usize]| file.read(name, shape).unwrap().values;
    assert_eq!(
        read("model.embed_tokens.weight", &[4, 2]),
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    );
    assert_eq!(
        read("model.layers.0.self_attn.q_proj.weight", &[4, 2]),
        [0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0]
    );
    assert_eq!(
        read("model.layers.0.self_attn.k_proj.bias", &[4]),
        [0.0, 2.0, 1.0, 3.0]
    );
}

#[test]
fn shapes_types_and_names_are_checked() {
    let file = sample("qwen3")
        .tensor("blk.0.ffn_up.weight", &[256, 1], 16, &[0; 66])
        .build();
    let (_dir, path) = written(&file);
    let source = WeightSource::open_gguf(&path).unwrap();
    let message = |name: &str, shape: &[usize]| source.read(name, shape).unwrap_err().to_string();
    assert!(
        message("model.embed_tokens.weight", &[2, 4])
            .ends_with("has the shape [4, 2], expected [2, 4]")
    );
    assert!(message("lm_head.weight", &[4, 2]).ends_with("there is no tensor lm_head.weight"));
    let quantised = message("model.layers.0.mlp.up_proj.weight", &[1, 256]);
    assert!(
        quantised
            .contains("model.layers.0.mlp.up_proj.weight is of type IQ2_XXS; supported: F32, F16"),
        "{quantised}"
    );
    let expected = [("model.embed_tokens.weight".to_string(), vec![4, 2])];
    let unexpected = source.verify(&expected).unwrap_err().to_string();
    assert!(
        unexpected.contains("3 tensors do not belong to this architecture, such as model.layers.0"),
        "{unexpected}"
    );
}

#[test]
fn what_is_not_gguf_is_said() {
    assert_eq!(
        error(b"PK\x03\x04...."),
        "not a GGUF file: it starts with [80, 75, 3, 4]"
    );
    assert_eq!(error(b""), "not a GGUF file: it starts with []");
    let mut old = sample("llama").build();
    old[4] = 1;
    assert_eq!(
        error(&old),
        "GGUF version 1 is not supported; supported: 2 and 3, little-endian"
    );
}

#[test]
fn contradictions_are_said_with_their_offset() {
    let twice = sample("llama")
        .text("general.architecture", "llama")
        .build();
    assert!(error(&twice).contains("metadata key general.architecture appears twice"));
    let twice = sample("llama")
        .floats("token_embd.weight", &[1], &[0.0])
        .build();
    assert!(error(&twice).contains("tensor token_embd.weight is listed twice"));
    let huge = sample("llama")
        .tensor("huge", &[u64::MAX, 4], 0, &[])
        .build();
    assert!(error(&huge).contains("larger than any file"));
    let zero = sample("llama").tensor("zero", &[0], 0, &[]).build();
    assert!(error(&zero).contains("tensor zero has a dimension of 0"));
    let ragged = sample("llama").tensor("ragged", &[33], 8, &[0; 68]).build();
    assert!(error(&ragged).contains("rows of 33 values, not a multiple of 32"));
    let nested = sample("llama").pair("nested", 9, &[9, 0, 0, 0]).build();
    assert!(error(&nested).contains("nested has the unknown type 9"));
    let long = [8u32.to_le_bytes().as_slice(), &(1u64 << 40).to_le_bytes()].concat();
    assert!(
        error(&sample("llama").pair("long", 9, &long).build())
            .contains("long has 1099511627776 elements")
    );
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let whole = sample("llama").build();
    // The last tensor has 16 bytes of data and 16 of padding, which a writer may leave out.
    for length in 0..whole.len() - 16 {
        let message = error(&whole[..length]);
        assert!(
            message.starts_with("cut short at offset") || message.starts_with("not a GGUF"),
            "{length}: {message}"
        );
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let whole = sample("llama").build();
    let header = whole.len() - 128;
    for at in 0..header {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] ^= flip;
            let (_dir, path) = written(&damaged);
            let Ok(file) = GgufFile::open(&path) else {
                continue;
            };
            for name in file.names() {
                let shape = file.shape(name).unwrap().to_vec();
                // A flipped type or name may still read; what counts is that nothing panics.
                let _ = file.read(name, &shape);
            }
        }
    }
}

/// A whole model of one layer with two experts, as llama.cpp keeps them: one tensor a map.
fn experts(architecture: &str) -> Builder {
    let key = |suffix: &str| format!("{architecture}.{suffix}");
    let mut file = Builder::default()
        .text("general.architecture", architecture)
        .pair(
            &key("attention.layer_norm_rms_epsilon"),
            6,
            &1e-5f32.to_le_bytes(),
        );
    for (suffix, count) in [
        ("embedding_length", 4),
        ("block_count", 1),
        ("context_length", 64),
        ("feed_forward_length", 3),
        ("attention.head_count", 1),
        ("attention.head_count_kv", 1),
        ("attention.key_length", 4),
        ("expert_count", 2),
        ("expert_used_count", 1),
        ("expert_feed_forward_length", 3),
        ("expert_shared_feed_forward_length", 2),
    ] {
        file = file.count(&key(suffix), count);
    }
    let mut next = 0.0;
    let mut add = |file: Builder, name: &str, dimensions: &[u64]| {
        let values: Vec<f32> = (0..dimensions.iter().product::<u64>())
            .map(|_| {
                next += 1.0;
                next
            })
            .collect();
        file.floats(name, dimensions, &values)
    };
    for (name, dimensions) in [
        ("token_embd.weight", &[4, 5][..]),
        ("output_norm.weight", &[4]),
        ("blk.0.attn_norm.weight", &[4]),
        ("blk.0.ffn_norm.weight", &[4]),
        ("blk.0.attn_q.weight", &[4, 4]),
        ("blk.0.attn_k.weight", &[4, 4]),
        ("blk.0.attn_v.weight", &[4, 4]),
        ("blk.0.attn_output.weight", &[4, 4]),
        ("blk.0.ffn_gate_inp.weight", &[4, 2]),
        ("blk.0.ffn_gate_exps.weight", &[4, 3, 2]),
        ("blk.0.ffn_up_exps.weight", &[4, 3, 2]),
        ("blk.0.ffn_down_exps.weight", &[3, 4, 2]),
    ] {
        file = add(file, name, dimensions);
    }
    let more: &[(&str, &[u64])] = match architecture {
        "qwen3moe" => &[
            ("blk.0.attn_q_norm.weight", &[4]),
            ("blk.0.attn_k_norm.weight", &[4]),
        ],
        "qwen2moe" => &[
            ("blk.0.attn_q.bias", &[4]),
            ("blk.0.attn_k.bias", &[4]),
            ("blk.0.attn_v.bias", &[4]),
            ("blk.0.ffn_gate_shexp.weight", &[4, 2]),
            ("blk.0.ffn_up_shexp.weight", &[4, 2]),
            ("blk.0.ffn_down_shexp.weight", &[2, 4]),
            // Converters drop sizes of 1.
            ("blk.0.ffn_gate_inp_shexp.weight", &[4]),
        ],
        _ => &[],
    };
    for (name, dimensions) in more {
        file = add(file, name, dimensions);
    }
    file
}

#[test]
fn experts_of_one_tensor_are_read_apart() {
    for (architecture, family, normalized) in [
        ("qwen3moe", "qwen3_moe", true),
        ("qwen2moe", "qwen2_moe", false),
        ("llama", "mixtral", true),
    ] {
        let (_dir, path) = written(&experts(architecture).build());
        let config = crate::model::ModelConfig::from_gguf(&GgufFile::open(&path).unwrap()).unwrap();
        assert_eq!(config.family.model_type(), family);
        let mixture = config.experts.as_ref().unwrap();
        assert_eq!(mixture.router.normalized.is_some(), normalized);
        assert_eq!((mixture.router.experts, mixture.router.chosen), (2, 1));
        let source = WeightSource::open_gguf(&path).unwrap();
        source.verify(&config.tensors()).unwrap();
        for (name, shape) in config.tensors() {
            assert_eq!(source.read(&name, &shape).unwrap().shape, shape, "{name}");
        }
        let whole = source
            .read("model.layers.0.mlp.experts.up_proj.weight", &[2, 3, 4])
            .unwrap();
        for (expert, values) in whole.values.chunks(12).enumerate() {
            let name = format!("model.layers.0.mlp.experts.{expert}.up_proj.weight");
            assert_eq!(source.read(&name, &[3, 4]).unwrap().values, values);
        }
    }
}

/// Rows of blocks of 32: parts of a quantised stack are runs of whole blocks.
#[test]
fn parts_of_a_quantised_stack_are_those_of_the_whole() {
    let block = |scale: u8| [[0, scale].as_slice(), &[3; 32]].concat();
    let bytes: Vec<u8> = (0x38..0x3e).flat_map(block).collect();
    let file = Builder::default()
        .text("general.architecture", "qwen3moe")
        .tensor("blk.0.ffn_up_exps.weight", &[32, 3, 2], 8, &bytes)
        .build();
    let (_dir, path) = written(&file);
    let source = WeightSource::open_gguf(&path).unwrap();
    let whole = source
        .read("model.layers.0.mlp.experts.up_proj.weight", &[2, 3, 32])
        .unwrap();
    for (expert, values) in whole.values.chunks(96).enumerate() {
        let name = format!("model.layers.0.mlp.experts.{expert}.up_proj.weight");
        assert_eq!(source.read(&name, &[3, 32]).unwrap().values, values);
    }
}
