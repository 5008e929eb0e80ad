//! The tokenizer that a GGUF file describes.
//!
//! A GGUF holds vocabulary and merges, but only a name for the rule that cuts text into words before merging. That rule
//! changes ids, so an unknown name is an error and never guessed. The rules below are those of the `tokenizer.json`
//! files from which such GGUFs were made.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::{Tokenizer, TokenizerError};
use crate::model::weights::gguf::Metadata;

/// Values of `tokenizer.ggml.token_type`, from llama.cpp's `llama_token_type`.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// Word splitting of Llama 3 and of the families that took it over.
const LLAMA3_SPLIT: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);
/// Word splitting of Qwen2 to Qwen3: that of Llama 3 with single digits.
const QWEN2_SPLIT: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

/// A rule for cutting text into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PreTokenizer {
    /// The expression of GPT-2, which the byte-level step of the `tokenizers` crate brings along.
    Gpt2,
    /// Every digit alone, then GPT-2.
    SmolLm,
    Llama3,
    Qwen2,
}

impl PreTokenizer {
    /// Names in `tokenizer.ggml.pre`.
    const NAMES: [(&str, Self); 6] = [
        ("gpt-2", Self::Gpt2),
        ("smollm", Self::SmolLm),
        ("llama-bpe", Self::Llama3),
        ("llama3", Self::Llama3),
        ("qwen2", Self::Qwen2),
        ("deepseek-r1-qwen", Self::Qwen2),
    ];

    fn from_name(name: &str) -> Result<Self, TokenizerError> {
        let known = Self::NAMES.iter().find(|(known, _)| *known == name);
        known
            .map(|(_, rule)| *rule)
            .ok_or_else(|| TokenizerError::UnsupportedPreTokenizer {
                pre: name.to_string(),
                supported: Self::NAMES.map(|(known, _)| known).join(", "),
            })
    }

    /// The `pre_tokenizer` of a `tokenizer.json`.
    fn json(self) -> Value {
        let byte_level = |use_regex: bool| json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex });
        let split = |expression: &str| {
            json!({
                "type": "Split",
                "pattern": { "Regex": expression },
                "behavior": "Isolated",
                "invert": false,
            })
        };
        match self {
            Self::Gpt2 => byte_level(true),
            Self::SmolLm => sequence([
                json!({ "type": "Digits", "individual_digits": true }),
                byte_level(true),
            ]),
            Self::Llama3 => sequence([split(LLAMA3_SPLIT), byte_level(false)]),
            Self::Qwen2 => sequence([split(QWEN2_SPLIT), byte_level(false)]),
        }
    }

    /// Qwen's tokenizers compose characters first.
    fn normalizer(self) -> Value {
        match self {
            Self::Qwen2 => json!({ "type": "NFC" }),
            Self::Gpt2 | Self::SmolLm | Self::Llama3 => Value::Null,
        }
    }

    /// Llama 3 takes a word that is a token as it is, even where merging would not reach it.
    fn ignore_merges(self) -> bool {
        self == Self::Llama3
    }
}

fn sequence(steps: [Value; 2]) -> Value {
    json!({ "type": "Sequence", "pretokenizers": steps })
}

impl Tokenizer {
    /// Builds the tokenizer of a GGUF file from its metadata.
    ///
    /// Byte-level BPE (`tokenizer.ggml.model` = `gpt2`) with the pre-tokenizers `gpt-2`, `smollm`, `llama-bpe` and
    /// `qwen2`. Control tokens become special tokens; user-defined ones are recognised whole but stay visible.
    ///
    /// # Errors
    /// [`TokenizerError::UnsupportedModel`], [`TokenizerError::UnsupportedPreTokenizer`],
    /// [`TokenizerError::Gguf`] for missing keys, [`TokenizerError::Build`] for a vocabulary that contradicts itself.
    pub fn from_gguf(metadata: &Metadata) -> Result<Self, TokenizerError> {
        let model = metadata.required_text("tokenizer.ggml.model")?;
        if model != "gpt2" {
            return Err(TokenizerError::UnsupportedModel {
                model: model.to_string(),
            });
        }
        // Files from before `pre` existed do not say how to split words, so there is no right default.
        let pre = PreTokenizer::from_name(
            metadata
                .text("tokenizer.ggml.pre")?
                .unwrap_or("(not stated)"),
        )?;
        let tokens = metadata.required_texts("tokenizer.ggml.tokens")?;
        let merges = metadata.required_texts("tokenizer.ggml.merges")?;
        let kinds = metadata
            .integers("tokenizer.ggml.token_type")?
            .unwrap_or_default();
        let build = |what: String| TokenizerError::Build { what };
        if !kinds.is_empty() && kinds.len() != tokens.len() {
            return Err(build(format!(
                "{} token types for {} tokens",
                kinds.len(),
                tokens.len()
            )));
        }
        let file = json!({
            "version": "1.0",
            "added_tokens": added_tokens(tokens, &kinds),
            "normalizer": pre.normalizer(),
            "pre_tokenizer": pre.json(),
            "post_processor": null,
            "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
            "model": {
                "type": "BPE",
                "dropout": null,
                "unk_token": null,
                "continuing_subword_prefix": null,
                "end_of_word_suffix": null,
                "fuse_unk": false,
                "byte_fallback": false,
                "ignore_merges": pre.ignore_merges(),
                "vocab": vocabulary(tokens)?,
                "merges": merges,
            },
        });
        let inner = tokenizers::Tokenizer::from_bytes(file.to_string())
            .map_err(|error| build(error.to_string()))?;
        Self::new(inner)
    }
}

fn vocabulary(tokens: &[String]) -> Result<Map<String, Value>, TokenizerError> {
    let mut seen = HashSet::new();
    if let Some(twice) = tokens.iter().find(|token| !seen.insert(token.as_str())) {
        return Err(TokenizerError::Build {
            what: format!("token {twice:?} is listed twice"),
        });
    }
    Ok(tokens
        .iter()
        .enumerate()
        .map(|(id, token)| (token.clone(), json!(id)))
        .collect())
}

fn added_tokens(tokens: &[String], kinds: &[i64]) -> Vec<Value> {
    let listed = tokens.iter().zip(kinds).enumerate();
    listed
        .filter(|(_, (_, kind))| matches!(**kind, CONTROL | USER_DEFINED))
        .map(|(id, (token, kind))| {
            json!({
                "id": id,
                "content": token,
                "single_word": false,
                "lstrip": false,
                "rstrip": false,
                "normalized": false,
                "special": *kind == CONTROL,
            })
        })
        .collect()
}
