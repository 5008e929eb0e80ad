//! The tokenizer that a GGUF file describes.
//!
//! A GGUF holds vocabulary and merges, but only a name for the rule that cuts text into words before merging. That rule
//! changes ids, so an unknown name is an error and never guessed. The rules below are those of the `tokenizer.json`
//! files from which such GGUFs were made.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::{Tokenizer, TokenizerError};
use crate::formats::gguf::Metadata;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::gguf::{MetadataArray, MetadataValue};
    use crate::model::weights::gguf::GgufFile;

    fn golden(name: &str) -> String {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden");
        std::fs::read_to_string(format!("{dir}/{name}")).unwrap()
    }

    fn texts(json: &Value) -> Vec<String> {
        serde_json::from_value(json.clone()).unwrap()
    }

    fn metadata(model: &str, pre: Option<&str>, golden: &Value) -> Metadata {
        let text = |text: &str| MetadataValue::Text(text.to_string());
        let list = |field: &str| MetadataValue::Array(MetadataArray::Text(texts(&golden[field])));
        let types = serde_json::from_value(golden["token_type"].clone()).unwrap();
        let types = MetadataValue::Array(MetadataArray::Signed(types));
        let mut pairs = vec![
            ("model", text(model)),
            ("tokens", list("tokens")),
            ("merges", list("merges")),
            ("token_type", types),
        ];
        pairs.extend(pre.map(|pre| ("pre", text(pre))));
        Metadata::new(
            pairs
                .into_iter()
                .map(|(key, value)| (format!("tokenizer.ggml.{key}"), value)),
        )
    }

    fn bpe_golden() -> Value {
        serde_json::from_str(&golden("bpe_tokenizers.json")).unwrap()
    }

    #[test]
    fn every_rule_gives_the_ids_of_its_tokenizer_json() {
        let golden = bpe_golden();
        for (rule, ids) in golden["ids"].as_object().unwrap() {
            let tokenizer = Tokenizer::from_gguf(&metadata("gpt2", Some(rule), &golden)).unwrap();
            let ids: Vec<Vec<u32>> = serde_json::from_value(ids.clone()).unwrap();
            for (text, ids) in texts(&golden["texts"]).iter().zip(ids) {
                assert_eq!(tokenizer.encode(text).unwrap(), ids, "{rule}: {text:?}");
            }
        }
    }

    #[test]
    fn control_tokens_are_dropped_and_user_defined_ones_stay_visible() {
        let tokenizer =
            Tokenizer::from_gguf(&metadata("gpt2", Some("smollm"), &bpe_golden())).unwrap();
        let ids = tokenizer.encode("a<|end|>b <think>7</think>").unwrap();
        assert_eq!(tokenizer.decode(&ids).unwrap(), "ab <think>7</think>");
        assert_eq!(
            tokenizer.decode_with_special(&ids).unwrap(),
            "a<|end|>b <think>7</think>"
        );
    }

    #[test]
    fn characters_cut_into_bytes_are_never_streamed_in_halves() {
        let tokenizer =
            Tokenizer::from_gguf(&metadata("gpt2", Some("smollm"), &bpe_golden())).unwrap();
        let mut stream = super::super::StreamDecoder::new(&tokenizer);
        let text = "x 🙂 Привет 本";
        let ids = tokenizer.encode(text).unwrap();
        assert!(
            ids.len() > text.chars().count(),
            "the vocabulary is too good for this test"
        );
        let pieces: Vec<String> = ids
            .iter()
            .filter_map(|&id| stream.push(id).unwrap())
            .collect();
        assert!(
            pieces
                .iter()
                .all(|piece| !piece.contains(char::REPLACEMENT_CHARACTER))
        );
        assert_eq!(pieces.concat(), text);
        // Half of a character at the end comes out when the stream is finished, and only then.
        let first_byte = tokenizer.encode("🙂").unwrap()[0];
        assert_eq!(stream.push(first_byte).unwrap(), None);
        assert_eq!(stream.finish().unwrap().as_deref(), Some("\u{fffd}"));
    }

    #[test]
    fn unknown_kinds_are_named() {
        let golden = bpe_golden();
        let message = |model, pre| {
            Tokenizer::from_gguf(&metadata(model, pre, &golden))
                .unwrap_err()
                .to_string()
        };
        assert!(
            message("llama", Some("default"))
                .starts_with("GGUF tokenizer model \"llama\" is not supported")
        );
        assert!(
            message("gpt2", Some("tekken"))
                .starts_with("GGUF pre-tokenizer \"tekken\" is not supported")
        );
        assert!(message("gpt2", None).starts_with("GGUF pre-tokenizer \"(not stated)\""));
        let empty = Tokenizer::from_gguf(&Metadata::default())
            .unwrap_err()
            .to_string();
        assert_eq!(
            empty,
            "cannot build the tokenizer: metadata key tokenizer.ggml.model is missing"
        );
    }

    // The file of tests/golden/make_score_golden.py: ids by a tokenizer.json with single digits, as SmolLM2's own has
    // it; `transformers_token_ids`, where present, is what transformers' GGUF reader makes of it without that step.
    #[test]
    fn smollm2_ids_are_those_of_its_tokenizer_json() {
        let Ok(file) = std::env::var("DUNWU_SMOLLM2_GGUF") else {
            eprintln!("skipped: DUNWU_SMOLLM2_GGUF is not set");
            return;
        };
        let tokenizer = Tokenizer::from_gguf(GgufFile::open(file).unwrap().metadata()).unwrap();
        assert_eq!(tokenizer.vocab_size(), 49152);
        for line in golden("smollm2_tokens.jsonl").lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            let ids: Vec<u32> = serde_json::from_value(row["token_ids"].clone()).unwrap();
            let text = row["text"].as_str().unwrap();
            assert_eq!(tokenizer.encode(text).unwrap(), ids, "{text:?}");
            assert_eq!(tokenizer.decode_with_special(&ids).unwrap(), text);
        }
    }
}
