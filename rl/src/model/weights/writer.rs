//! Exports that transformers loads: a Hugging Face directory, written completely or not at all.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::experts::{Written, written_place};
use super::safetensors::{INDEX_FILE, SINGLE_FILE};
use super::staging::{Staging, io, write_file};
use super::{HostTensor, WeightError};
use crate::model::config::ModelConfig;
use crate::model::config::hf::token_ids_json;
use crate::model::pretrained::TEMPLATE_VARIABLES;
use crate::tokenizer::{ChatTemplate, SpecialTokens, Tokenizer};

/// The size beyond which exports are cut into shards, in bytes.
pub const DEFAULT_SHARD_BYTES: u64 = 5_000_000_000;

/// Bytes of one value; exports are in `f32`.
const VALUE_BYTES: u64 = 4;

/// Everything of an export but the tensors.
#[derive(Debug, Clone, Copy)]
pub struct Export<'a> {
    /// The architecture.
    pub config: &'a ModelConfig,
    /// The tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// The chat template, if the model has one.
    pub template: Option<&'a ChatTemplate>,
    /// Tokens with a role. A missing EOS is filled in from `eos_token_ids`.
    pub special: &'a SpecialTokens,
    /// The ids that end an answer.
    pub eos_token_ids: &'a [u32],
    /// The size beyond which the tensors are cut into shards, in bytes; a larger tensor has a shard of its own.
    pub max_shard_bytes: u64,
}

/// Writes a Hugging Face directory: `config.json`, `generation_config.json`, `tokenizer.json`, `tokenizer_config.json`
/// and the tensors in f32 safetensors.
///
/// `tensors` must yield each of [`ModelConfig::tensors`] once, in any order; each is written as it comes, so the model
/// need not be in host memory as a whole. Everything is written to a directory beside `dir`, flushed to disk and then
/// renamed, so `dir` is either complete or untouched.
///
/// For the model type `qwen2`, `AutoTokenizer` of transformers 5 builds Qwen's own tokenizer from the vocabulary, whatever
/// the files say. That gives the same ids for Qwen's vocabularies; with another tokenizer, load the directory through
/// `PreTrainedTokenizerFast`.
///
/// # Errors
/// [`WeightError::TargetExists`] when `dir` is there and not empty, [`WeightError::WrongExport`] for a missing,
/// repeated, unknown or misshapen tensor, [`WeightError::Io`] with the file for everything else, a full disk included.
/// After an error nothing is left behind.
pub fn save_pretrained(
    dir: impl AsRef<Path>,
    export: &Export<'_>,
    tensors: impl IntoIterator<Item = (String, HostTensor)>,
) -> Result<(), WeightError> {
    let dir = dir.as_ref();
    let staging = Staging::create(dir)?;
    for (name, text) in text_files(dir, export)? {
        write_file(&staging.path().join(name), text.as_bytes())?;
    }
    write_tensors(dir, staging.path(), export, tensors)?;
    staging.publish(dir)
}

/// The files beside the tensors: name and content.
fn text_files(dir: &Path, export: &Export<'_>) -> Result<Vec<(&'static str, String)>, WeightError> {
    let Export {
        config,
        tokenizer,
        template,
        special,
        eos_token_ids,
        max_shard_bytes: _,
    } = *export;
    let wrong = |what: String| WeightError::WrongExport {
        dir: dir.to_path_buf(),
        what,
    };
    let id = |token: &Option<String>| token.as_ref().and_then(|token| tokenizer.token_id(token));
    let bos_token_id = id(&special.bos_token);
    let first_eos = eos_token_ids.first().and_then(|&id| tokenizer.token(id));
    let mut tokenizer_config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": config.max_position_embeddings,
        "clean_up_tokenization_spaces": false,
        "bos_token": special.bos_token,
        "eos_token": special.eos_token.clone().or(first_eos),
        "pad_token": special.pad_token,
        "unk_token": special.unk_token,
    });
    if let Some(template) = template {
        tokenizer_config["chat_template"] = json!(template.source());
        if !template.variables().is_empty() {
            tokenizer_config[TEMPLATE_VARIABLES] = json!(template.variables());
        }
    }
    // Whether a text begins with BOS stands in tokenizer.json; it is said here where it was decided otherwise.
    if !tokenizer.prefix_is_processed() {
        tokenizer_config["add_bos_token"] = json!(!tokenizer.prefix().is_empty());
    }
    let generation = json!({
        "bos_token_id": bos_token_id,
        "eos_token_id": token_ids_json(eos_token_ids),
        "pad_token_id": id(&special.pad_token),
    });
    let pretty = |json: &Value| format!("{json:#}\n");
    Ok(vec![
        (
            "config.json",
            pretty(&config.to_hf_json(bos_token_id, eos_token_ids)),
        ),
        ("generation_config.json", pretty(&without_nulls(generation))),
        (
            "tokenizer.json",
            tokenizer
                .to_json()
                .map_err(|error| wrong(error.to_string()))?,
        ),
        (
            "tokenizer_config.json",
            pretty(&without_nulls(tokenizer_config)),
        ),
    ])
}

fn without_nulls(json: Value) -> Value {
    match json {
        Value::Object(map) => map
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .collect(),
        other => other,
    }
}

/// A tensor's place in the export.
struct Slot {
    shape: Vec<usize>,
    shard: usize,
    /// Byte offset in the data section of the shard.
    start: u64,
    bytes: u64,
}

/// One file of the export.
struct ShardPlan {
    file_name: String,
    tensors: Vec<String>,
    bytes: u64,
}

/// Distributes the tensors over shards, in their order.
fn plan(config: &ModelConfig, max_shard_bytes: u64) -> (Vec<ShardPlan>, HashMap<String, Slot>) {
    let mut shards: Vec<ShardPlan> = Vec::new();
    let mut slots = HashMap::new();
    for (name, shape) in config.stored_tensors() {
        let Written { name, shape, .. } = written_place(config, name, shape);
        if slots.contains_key(&name) {
            continue; // several tensors stand in one
        }
        let bytes = VALUE_BYTES * shape.iter().map(|&size| size as u64).product::<u64>();
        if shards
            .last()
            .is_none_or(|shard| shard.bytes > 0 && shard.bytes + bytes > max_shard_bytes)
        {
            shards.push(ShardPlan {
                file_name: String::new(),
                tensors: Vec::new(),
                bytes: 0,
            });
        }
        let number = shards.len() - 1;
        let shard = &mut shards[number];
        slots.insert(
            name.clone(),
            Slot {
                shape,
                shard: number,
                start: shard.bytes,
                bytes,
            },
        );
        shard.tensors.push(name);
        shard.bytes += bytes;
    }
    let count = shards.len();
    for (number, shard) in shards.iter_mut().enumerate() {
        shard.file_name = match count {
            1 => SINGLE_FILE.to_string(),
            _ => format!("model-{:05}-of-{count:05}.safetensors", number + 1),
        };
    }
    (shards, slots)
}

/// The length and text of a safetensors header, padded so that the data is aligned to 8 bytes.
fn header(shard: &ShardPlan, slots: &HashMap<String, Slot>) -> Vec<u8> {
    let mut header = Map::new();
    header.insert("__metadata__".to_string(), json!({ "format": "pt" }));
    for name in &shard.tensors {
        let Slot {
            shape,
            start,
            bytes,
            ..
        } = &slots[name];
        let entry =
            json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, start + bytes] });
        header.insert(name.clone(), entry);
    }
    let mut text = Value::Object(header).to_string();
    text.push_str(&" ".repeat(text.len().next_multiple_of(8) - text.len()));
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// A shard that is being written.
struct OpenShard {
    path: PathBuf,
    file: File,
    data_start: u64,
}

fn write_tensors(
    target: &Path,
    staging: &Path,
    export: &Export<'_>,
    tensors: impl IntoIterator<Item = (String, HostTensor)>,
) -> Result<(), WeightError> {
    let wrong = |what: String| WeightError::WrongExport {
        dir: target.to_path_buf(),
        what,
    };
    let (shards, slots) = plan(export.config, export.max_shard_bytes);
    if shards.len() > 1 {
        write_file(&staging.join(INDEX_FILE), index(&shards).as_bytes())?;
    }
    let mut open = Vec::new();
    for shard in &shards {
        let path = staging.join(&shard.file_name);
        let header = header(shard, &slots);
        let mut file = File::create(&path).map_err(io("cannot create", &path))?;
        file.write_all(&header).map_err(io("cannot write", &path))?;
        open.push(OpenShard {
            path,
            file,
            data_start: header.len() as u64,
        });
    }
    let mut missing: HashMap<String, Vec<usize>> = export.config.tensors().into_iter().collect();
    for (name, tensor) in tensors {
        let unknown = || {
            wrong(format!(
                "tensor {name} is not part of the model, or came twice"
            ))
        };
        let shape = missing.remove(&name).ok_or_else(unknown)?;
        let count = tensor.values.len();
        if tensor.shape != shape || count != shape.iter().product::<usize>() {
            let found = &tensor.shape;
            return Err(wrong(format!(
                "tensor {name} has {found:?} with {count} values, expected {shape:?}"
            )));
        }
        let stored = export.config.stored(&name, &shape);
        let Written { name, first, .. } =
            written_place(export.config, stored.name.clone(), stored.shape.clone());
        let slot = slots.get(&name).ok_or_else(unknown)?;
        let width: usize = shape[1..].iter().product();
        let start = slot.start + VALUE_BYTES * ((first + stored.first) * width) as u64;
        write_tensor(&mut open[slot.shard], start, &stored.written(tensor))?;
    }
    let mut names = export.config.tensors().into_iter().map(|(name, _)| name);
    if let Some(first) = names.find(|name| missing.contains_key(name)) {
        let written = export.config.tensors().len() - missing.len();
        return Err(wrong(format!(
            "only {written} tensors came; {first} is missing"
        )));
    }
    for shard in open {
        shard
            .file
            .sync_all()
            .map_err(io("cannot flush", &shard.path))?;
    }
    Ok(())
}

fn write_tensor(shard: &mut OpenShard, start: u64, values: &[f32]) -> Result<(), WeightError> {
    /// Values turned into bytes at a time: 256 KiB.
    const CHUNK: usize = 1 << 16;
    let OpenShard {
        path,
        file,
        data_start,
    } = shard;
    file.seek(SeekFrom::Start(*data_start + start))
        .map_err(io("cannot write", path))?;
    let mut bytes = Vec::with_capacity(4 * CHUNK.min(values.len()));
    for chunk in values.chunks(CHUNK) {
        bytes.clear();
        bytes.extend(chunk.iter().flat_map(|value| value.to_le_bytes()));
        file.write_all(&bytes).map_err(io("cannot write", path))?;
    }
    Ok(())
}

fn index(shards: &[ShardPlan]) -> String {
    let total: u64 = shards.iter().map(|shard| shard.bytes).sum();
    let places = shards.iter().flat_map(|shard| {
        shard
            .tensors
            .iter()
            .map(|name| (name.clone(), json!(shard.file_name)))
    });
    let map: Map<String, Value> = places.collect();
    format!(
        "{:#}\n",
        json!({ "metadata": { "total_size": total }, "weight_map": map })
    )
}

#[cfg(test)]
mod tests;
