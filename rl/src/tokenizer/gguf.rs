//! The tokenizer that a GGUF file describes.
//!
//! A GGUF holds vocabulary and merges, but only a name for the rule that cuts text into words before merging
//! ([`words`](super::words)). That rule changes ids, so an unknown name is an error and never guessed.

mod writer;

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::pieces::{Algorithm, Kind, Piece, Pieces, PrefixSpace, added_token, begins_with};
use super::words::Words;
use super::{Tokenizer, TokenizerError};
use crate::formats::gguf::Metadata;

/// The vocabulary of a file.
struct Vocabulary<'a> {
    tokens: &'a [String],
    /// Empty, or one for each token.
    kinds: Vec<Kind>,
    /// Whether a text begins with BOS, where the file says so.
    adds_bos: Option<bool>,
    bos: Option<usize>,
}

impl<'a> Vocabulary<'a> {
    fn read(metadata: &'a Metadata) -> Result<Self, TokenizerError> {
        let tokens = metadata.required_texts("tokenizer.ggml.tokens")?;
        let kinds = metadata
            .integers("tokenizer.ggml.token_type")?
            .unwrap_or_default();
        if !kinds.is_empty() && kinds.len() != tokens.len() {
            return Err(TokenizerError::Build {
                what: format!("{} token types for {} tokens", kinds.len(), tokens.len()),
            });
        }
        // llama.cpp takes a type that it does not know for none, which is a plain token.
        let kind = |&number: &i64| Kind::from_number(number).unwrap_or(Kind::Normal);
        Ok(Self {
            tokens,
            kinds: kinds.iter().map(kind).collect(),
            adds_bos: metadata.flag("tokenizer.ggml.add_bos_token")?,
            bos: metadata.count("tokenizer.ggml.bos_token_id")?,
        })
    }

    fn kind(&self, id: usize) -> Kind {
        self.kinds.get(id).copied().unwrap_or(Kind::Normal)
    }

    /// What a text begins with; `otherwise` is what the kind of tokenizer does where the file does not say.
    fn prefix(&self, otherwise: bool) -> Option<usize> {
        let adds = self.adds_bos.unwrap_or(otherwise);
        self.bos.filter(|&id| adds && id < self.tokens.len())
    }

    fn map(&self) -> Result<Map<String, Value>, TokenizerError> {
        let mut seen = HashSet::new();
        if let Some(twice) = self
            .tokens
            .iter()
            .find(|token| !seen.insert(token.as_str()))
        {
            return Err(TokenizerError::Build {
                what: format!("token {twice:?} is listed twice"),
            });
        }
        let tokens = self.tokens.iter().enumerate();
        Ok(tokens
            .map(|(id, token)| (token.clone(), json!(id)))
            .collect())
    }

    fn added_tokens(&self) -> Vec<Value> {
        let tokens = self.tokens.iter().enumerate();
        let added =
            tokens.filter(|(id, _)| matches!(self.kind(*id), Kind::Control | Kind::UserDefined));
        added
            .map(|(id, token)| added_token(id, token, self.kind(id) == Kind::Control))
            .collect()
    }
}

impl Tokenizer {
    /// Builds the tokenizer of a GGUF file from its metadata.
    ///
    /// `tokenizer.ggml.model` is `gpt2`, byte-level BPE with one of the known pre-tokenizers, `llama`, which is SentencePiece,
    /// or `gemma4`, SentencePiece with its merges listed. Control tokens become special tokens; user-defined ones are
    /// recognised whole but stay visible. Whether a text begins with BOS follows `add_bos_token`, and where that is
    /// missing what llama.cpp does for the kind.
    ///
    /// # Errors
    /// [`TokenizerError::UnsupportedModel`], [`TokenizerError::UnsupportedPreTokenizer`],
    /// [`TokenizerError::Gguf`] for missing keys, [`TokenizerError::Build`] for a vocabulary that contradicts itself.
    pub fn from_gguf(metadata: &Metadata) -> Result<Self, TokenizerError> {
        match metadata.required_text("tokenizer.ggml.model")? {
            "gpt2" => byte_level(metadata),
            model @ ("llama" | "gemma4") => sentencepiece(metadata, model == "gemma4"),
            model => Err(TokenizerError::UnsupportedModel {
                model: model.to_string(),
            }),
        }
    }
}

/// Byte-level BPE.
fn byte_level(metadata: &Metadata) -> Result<Tokenizer, TokenizerError> {
    // Files from before `pre` existed do not say how to split words, so there is no right default.
    let pre = metadata.text("tokenizer.ggml.pre")?;
    let pre = pre.unwrap_or("(not stated)");
    let words = Words::named(pre).ok_or_else(|| TokenizerError::UnsupportedPreTokenizer {
        pre: pre.to_string(),
        supported: Words::names(),
    })?;
    let vocabulary = Vocabulary::read(metadata)?;
    let merges = metadata.required_texts("tokenizer.ggml.merges")?;
    let bos = vocabulary.prefix(words.adds_bos);
    let file = json!({
        "version": "1.0",
        "added_tokens": vocabulary.added_tokens(),
        "normalizer": words.normalizer(),
        "pre_tokenizer": words.json(),
        "post_processor": bos.map(|id| begins_with(&vocabulary.tokens[id], id)),
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": words.ignores_merges,
            "vocab": vocabulary.map()?,
            "merges": merges,
        },
    });
    let inner = tokenizers::Tokenizer::from_bytes(file.to_string()).map_err(|error| {
        TokenizerError::Build {
            what: error.to_string(),
        }
    })?;
    Tokenizer::new(inner)
}

/// SentencePiece; `listed` says whether the file lists the merges.
fn sentencepiece(metadata: &Metadata, listed: bool) -> Result<Tokenizer, TokenizerError> {
    let vocabulary = Vocabulary::read(metadata)?;
    let tokens = vocabulary.tokens;
    let scores = metadata.numbers("tokenizer.ggml.scores")?;
    let scores = scores.filter(|scores| scores.len() == tokens.len());
    if scores.is_none() && !listed {
        return Err(TokenizerError::Build {
            what: "tokenizer.ggml.scores has not one number for each token, and SentencePiece merges by scores".to_owned(),
        });
    }
    let score = |id: usize| scores.as_ref().map_or(0.0, |scores| scores[id]);
    let pieces = tokens.iter().enumerate();
    let pieces = pieces.map(|(id, token)| Piece {
        text: token.clone(),
        score: score(id),
        kind: vocabulary.kind(id),
    });
    let merges = if listed {
        Some(metadata.required_texts("tokenizer.ggml.merges")?.to_vec())
    } else {
        None
    };
    let prefix_space = metadata.flag("tokenizer.ggml.add_space_prefix")?;
    let tokenizer = Pieces {
        pieces: pieces.collect(),
        algorithm: Algorithm::Merges(merges),
        prefix_space: if prefix_space.unwrap_or(!listed) {
            PrefixSpace::EverySection
        } else {
            PrefixSpace::Never
        },
        normalizers: Vec::new(),
        bos: vocabulary.prefix(true),
        unknown: Some(
            metadata
                .count("tokenizer.ggml.unknown_token_id")?
                .unwrap_or(0),
        ),
    };
    tokenizer.tokenizer()
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
            message("t5", Some("default"))
                .starts_with("GGUF tokenizer model \"t5\" is not supported")
        );
        assert!(
            message("gpt2", Some("kimi-k2"))
                .starts_with("GGUF pre-tokenizer \"kimi-k2\" is not supported")
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

    // Pieces, scores and ids by SentencePiece: tests/golden/make_spm_golden.py.
    #[test]
    fn sentencepiece_gives_the_ids_of_sentencepiece() {
        let golden: Value = serde_json::from_str(&golden("spm/spm.json")).unwrap();
        let bpe = &golden["bpe"];
        let array = |array| MetadataValue::Array(array);
        let list = |field: &str| serde_json::from_value(bpe[field].clone()).unwrap();
        let types: Vec<i64> = serde_json::from_value(bpe["types"].clone()).unwrap();
        let pairs = [
            ("model", MetadataValue::Text("llama".to_owned())),
            ("tokens", array(MetadataArray::Text(texts(&bpe["pieces"])))),
            ("scores", array(MetadataArray::Float(list("scores")))),
            ("token_type", array(MetadataArray::Signed(types))),
            ("bos_token_id", MetadataValue::Unsigned(1)),
        ];
        let with = |more: &[(&str, MetadataValue)]| {
            let pairs = pairs.iter().cloned().chain(more.iter().cloned());
            let pairs = pairs.map(|(key, value)| (format!("tokenizer.ggml.{key}"), value));
            Tokenizer::from_gguf(&Metadata::new(pairs)).unwrap()
        };
        let tokenizer = with(&[]);
        let ids: Vec<Vec<u32>> = serde_json::from_value(bpe["ids"].clone()).unwrap();
        for (text, ids) in texts(&golden["texts"]).iter().zip(ids) {
            assert_eq!(tokenizer.encode(text).unwrap(), ids, "{text:?}");
            let raw = tokenizer.encode_raw(text).unwrap();
            assert_eq!(raw, [&[1], &ids[..]].concat(), "{text:?}");
        }
        let bare = with(&[
            ("add_bos_token", MetadataValue::Bool(false)),
            ("add_space_prefix", MetadataValue::Bool(false)),
        ]);
        assert_eq!(
            bare.encode_raw(" the").unwrap(),
            tokenizer.encode("the").unwrap()
        );
    }

    /// Tokenizers of llama.cpp's own tests (`models/ggml-vocab-*.gguf`): the ids beside them are those of the model's own
    /// tokenizer in Hugging Face's `tokenizers`, as its `convert_hf_to_gguf_update.py` wrote them.
    #[test]
    fn vocabularies_of_llama_cpp_give_the_ids_beside_them() {
        let Ok(dir) = std::env::var("DUNWU_LLAMA_CPP_VOCABS") else {
            eprintln!("skipped: DUNWU_LLAMA_CPP_VOCABS is not set");
            return;
        };
        let mut failures = Vec::new();
        for name in LLAMA_CPP_VOCABS {
            let file = format!("{dir}/ggml-vocab-{name}.gguf");
            let read = |ending: &str| std::fs::read_to_string(format!("{file}.{ending}")).unwrap();
            let (texts, ids) = (read("inp"), read("out"));
            let tokenizer = Tokenizer::from_gguf(GgufFile::open(&file).unwrap().metadata());
            let tokenizer = tokenizer.unwrap_or_else(|error| panic!("{name}: {error}"));
            let texts: Vec<&str> = texts.split("\n__ggml_vocab_test__\n").collect();
            let mut same = 0;
            // Qwen3.5 has four texts more, of characters that its own tokenizer composes and llama.cpp does not.
            for (text, ids) in texts.iter().zip(ids.lines()).take(46) {
                let expected: Vec<u32> = ids
                    .split_whitespace()
                    .map(|id| id.parse().unwrap())
                    .collect();
                let found = tokenizer.encode(text).unwrap();
                if found == expected {
                    same += 1;
                } else {
                    failures.push(format!(
                        "{name}: {text:?}: {found:?}, expected {expected:?}"
                    ));
                }
            }
            eprintln!("{name}: {same} of 46");
        }
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }

    const LLAMA_CPP_VOCABS: [&str; 14] = [
        "command-r",
        "deepseek-coder",
        "deepseek-llm",
        "falcon",
        "gemma-4",
        "gpt-2",
        "llama-bpe",
        "llama-spm",
        "mpt",
        "phi-3",
        "qwen2",
        "qwen35",
        "refact",
        "starcoder",
    ];

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
