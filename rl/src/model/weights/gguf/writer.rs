//! Exports that llama.cpp loads: weights, tokenizer and chat template in one GGUF file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use super::names;
use crate::formats::gguf::{Listed, MetadataValue, Stored, header};
use crate::model::config::{Family, ModelConfig, RopeScaling};
use crate::model::module::RowOrder;
use crate::model::weights::staging::io;
use crate::model::weights::writer::Export;
use crate::model::weights::{HostTensor, WeightError};

/// The families whose files are written; llama.cpp asks each for keys of its own.
const FAMILIES: [Family; 3] = [Family::Llama, Family::Qwen2, Family::Qwen3];
/// The divisors of rotary frequencies, where they are not all 1.
const FREQUENCIES: &str = "rope_freqs.weight";

/// Writes a GGUF file: matrices as `stored`, norms and biases in f32.
///
/// `tensors` must yield each of [`ModelConfig::tensors`] once, in any order; each is written as it comes. The file is written
/// under another name, flushed to disk and then renamed, so `path` is either complete or untouched.
///
/// # Errors
/// [`WeightError::TargetExists`] when `path` is there, [`WeightError::WrongExport`] for a family or a tokenizer that no such
/// file can hold and for a missing, repeated, unknown or misshapen tensor, [`WeightError::Io`] for everything else, a full
/// disk included. After an error nothing is left behind.
pub fn save_gguf(
    path: impl AsRef<Path>,
    export: &Export<'_>,
    stored: Stored,
    tensors: impl IntoIterator<Item = (String, HostTensor)>,
) -> Result<(), WeightError> {
    let path = path.as_ref();
    if path.exists() {
        return Err(WeightError::TargetExists {
            dir: path.to_path_buf(),
        });
    }
    let partial = partial_path(path);
    let written = write(path, &partial, export, stored, tensors);
    let finished = written.and_then(|()| {
        std::fs::rename(&partial, path).map_err(io("cannot rename into place", path))
    });
    if finished.is_err() {
        // The error that led here is being reported; a second one would hide it.
        let _ = std::fs::remove_file(&partial);
    }
    finished
}

fn partial_path(path: &Path) -> std::path::PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.partial-{}", std::process::id()))
}

/// A tensor's place in the file.
struct Slot {
    listed: Listed,
    start: u64,
}

fn write(
    path: &Path,
    partial: &Path,
    export: &Export<'_>,
    stored: Stored,
    tensors: impl IntoIterator<Item = (String, HostTensor)>,
) -> Result<(), WeightError> {
    let wrong = |what: String| WeightError::WrongExport {
        dir: path.to_path_buf(),
        what,
    };
    let config = export.config;
    if !FAMILIES.contains(&config.family) {
        let family = config.family;
        return Err(wrong(format!(
            "models of the family {family} are not written as GGUF; hint: leave out --gguf, and convert the directory with llama.cpp's convert_hf_to_gguf.py"
        )));
    }
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let pairs = metadata(export, stored, &name).map_err(wrong)?;
    let mut names = Vec::new();
    let mut listed = Vec::new();
    for (name, shape) in config.tensors() {
        let gguf = names::to_gguf(&name);
        let gguf = gguf.ok_or_else(|| wrong(format!("tensor {name} has no name in GGUF")))?;
        names.push(name);
        listed.push(Listed {
            name: gguf,
            stored: stored.of(&shape),
            shape,
        });
    }
    let divisors = frequency_divisors(config);
    if let Some(divisors) = &divisors {
        names.push(FREQUENCIES.to_owned());
        listed.push(Listed {
            name: FREQUENCIES.to_owned(),
            shape: vec![divisors.values.len()],
            stored: Stored::F32,
        });
    }
    let (header, starts) = header(&pairs, &listed);
    let slots = listed.into_iter().zip(starts);
    let slots = slots.map(|(listed, start)| Slot { listed, start });
    let mut slots: HashMap<String, Slot> = names.into_iter().zip(slots).collect();
    let mut file = File::create(partial).map_err(io("cannot create", partial))?;
    file.write_all(&header)
        .map_err(io("cannot write", partial))?;
    let divisors = divisors.map(|tensor| (FREQUENCIES.to_owned(), tensor));
    let mut end = header.len() as u64;
    for (name, tensor) in tensors.into_iter().chain(divisors) {
        let slot = slots.remove(&name).ok_or_else(|| {
            wrong(format!(
                "tensor {name} is not part of the model, or came twice"
            ))
        })?;
        let count = tensor.values.len();
        let expected = &slot.listed.shape;
        if tensor.shape != *expected || expected.iter().product::<usize>() != count {
            let found = &tensor.shape;
            return Err(wrong(format!(
                "tensor {name} has {found:?} with {count} values, expected {expected:?}"
            )));
        }
        let values = ordered(config, &name, tensor);
        let bytes = slot.listed.stored.encode(&values);
        file.seek(SeekFrom::Start(slot.start))
            .and_then(|_| file.write_all(&bytes))
            .map_err(io("cannot write", partial))?;
        end = end.max(slot.start + bytes.len() as u64);
    }
    if let Some(missing) = slots.keys().min() {
        return Err(wrong(format!("tensor {missing} is missing")));
    }
    // Readers want the last tensor padded as well.
    file.set_len(end.next_multiple_of(32))
        .and_then(|()| file.sync_all())
        .map_err(io("cannot flush", partial))
}

/// The values of a tensor in the order of the file's rows.
fn ordered(config: &ModelConfig, name: &str, tensor: HostTensor) -> Vec<f32> {
    if config.family != Family::Llama {
        return tensor.values;
    }
    let heads = match names::row_order(name) {
        RowOrder::Plain => return tensor.values,
        RowOrder::Queries => config.num_attention_heads,
        RowOrder::Keys => config.num_key_value_heads,
    };
    let width = tensor.shape.get(1).copied().unwrap_or(1);
    names::permute(&tensor.values, heads, width)
}

/// What frequencies are divided by, one number for each pair of a head, where Llama 3 stretches them.
fn frequency_divisors(config: &ModelConfig) -> Option<HostTensor> {
    let scaling = config.rope_scaling.as_ref()?;
    if !matches!(scaling, RopeScaling::Llama3 { .. }) {
        return None;
    }
    let pairs = config.head_dim / 2;
    let frequency = |pair: usize| {
        let exponent = -2.0 * pair as f64 / config.head_dim as f64;
        config.rope_theta.powf(exponent)
    };
    Some(HostTensor {
        shape: vec![pairs],
        values: (0..pairs)
            .map(|pair| scaling.divisor(frequency(pair)) as f32)
            .collect(),
    })
}

/// The key-value section of a model that readers list as `name`.
fn metadata(
    export: &Export<'_>,
    stored: Stored,
    name: &str,
) -> Result<Vec<(String, MetadataValue)>, String> {
    let Export {
        config,
        tokenizer,
        template,
        special,
        eos_token_ids,
        ..
    } = *export;
    let family = config.family;
    let text = |text: &str| MetadataValue::Text(text.to_owned());
    let count = |count: usize| MetadataValue::Unsigned(count as u64);
    let mut pairs = vec![
        ("general.architecture".to_owned(), text(family.model_type())),
        ("general.type".to_owned(), text("model")),
        ("general.name".to_owned(), text(name)),
        (
            "general.file_type".to_owned(),
            MetadataValue::Unsigned(stored.file_type()),
        ),
        ("general.quantization_version".to_owned(), count(2)),
    ];
    let architecture = [
        ("context_length", count(config.max_position_embeddings)),
        ("embedding_length", count(config.hidden_size)),
        ("block_count", count(config.num_hidden_layers)),
        ("feed_forward_length", count(config.intermediate_size)),
        ("attention.head_count", count(config.num_attention_heads)),
        ("attention.head_count_kv", count(config.num_key_value_heads)),
        ("attention.key_length", count(config.head_dim)),
        ("attention.value_length", count(config.head_dim)),
        (
            "attention.layer_norm_rms_epsilon",
            MetadataValue::Float(config.rms_norm_eps),
        ),
        ("rope.freq_base", MetadataValue::Float(config.rope_theta)),
        ("rope.dimension_count", count(config.head_dim)),
        ("vocab_size", count(config.vocab_size)),
    ];
    let mut own: Vec<(&str, MetadataValue)> = architecture.into();
    match &config.rope_scaling {
        Some(RopeScaling::Linear { factor }) => {
            own.push(("rope.scaling.type", text("linear")));
            own.push(("rope.scaling.factor", MetadataValue::Float(*factor)));
        }
        scaling if scaling.is_none() || frequency_divisors(config).is_some() => {}
        scaling => return Err(format!("RoPE scaling {scaling:?} is not written as GGUF")),
    }
    let own = own.into_iter();
    pairs.extend(own.map(|(key, value)| (format!("{family}.{key}"), value)));
    let tokenizer = tokenizer.to_gguf(config.vocab_size, special, eos_token_ids);
    pairs.extend(tokenizer.map_err(|error| error.to_string())?);
    if let Some(template) = template {
        pairs.push((
            "tokenizer.chat_template".to_owned(),
            text(template.source()),
        ));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests;
