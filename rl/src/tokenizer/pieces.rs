//! Vocabularies of SentencePiece, from a GGUF file or a `tokenizer.model`, in the form of a `tokenizer.json`.
//!
//! SentencePiece's BPE has no list of merges: of all neighbours whose joint text is a piece, those with the highest score are
//! joined first. That is byte-pair merging in which every way to cut a piece in two pieces is a merge, ranked by the score
//! of the whole, which is how transformers converts such models, too.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::{Tokenizer, TokenizerError};

/// What a space is written as.
pub(super) const MARK: &str = "▁";

/// What a piece is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

impl Kind {
    /// By SentencePiece's number, which llama.cpp took over.
    pub(super) fn from_number(number: i64) -> Option<Self> {
        Some(match number {
            1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => return None,
        })
    }

    /// The same the other way.
    pub(super) fn number(self) -> i64 {
        match self {
            Self::Normal => 1,
            Self::Unknown => 2,
            Self::Control => 3,
            Self::UserDefined => 4,
            Self::Unused => 5,
            Self::Byte => 6,
        }
    }
}

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) score: f64,
    pub(super) kind: Kind,
}

/// How a text is cut into pieces.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Algorithm {
    /// By merging; the merges where the file lists them.
    Merges(Option<Vec<String>>),
    /// The likeliest pieces.
    Unigram,
}

/// Where the first word of a text gets a space before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PrefixSpace {
    Never,
    /// At the beginning of the text.
    First,
    /// There, and behind every special token.
    EverySection,
}

/// A vocabulary with its rules.
#[derive(Debug, Clone)]
pub(super) struct Pieces {
    pub(super) pieces: Vec<Piece>,
    pub(super) algorithm: Algorithm,
    pub(super) prefix_space: PrefixSpace,
    /// Steps before all others, as a `tokenizer.json` has them.
    pub(super) normalizers: Vec<Value>,
    /// What a text begins with, by id.
    pub(super) bos: Option<usize>,
    /// The id of what has no piece.
    pub(super) unknown: Option<usize>,
}

impl Pieces {
    /// The tokenizer.
    ///
    /// # Errors
    /// [`TokenizerError::Build`] for a vocabulary that contradicts itself.
    pub(super) fn tokenizer(&self) -> Result<Tokenizer, TokenizerError> {
        let build = |what: String| TokenizerError::Build { what };
        let inner = tokenizers::Tokenizer::from_bytes(self.json()?.to_string())
            .map_err(|error| build(error.to_string()))?;
        Tokenizer::new(inner)
    }

    fn json(&self) -> Result<Value, TokenizerError> {
        let has_bytes = self.pieces.iter().any(|piece| piece.kind == Kind::Byte);
        let unknown = self.unknown.filter(|&id| id < self.pieces.len());
        let model = match &self.algorithm {
            Algorithm::Merges(listed) => json!({
                "type": "BPE",
                "dropout": null,
                "unk_token": unknown.map(|id| &self.pieces[id].text),
                "continuing_subword_prefix": null,
                "end_of_word_suffix": null,
                "fuse_unk": true,
                "byte_fallback": has_bytes,
                "ignore_merges": false,
                "vocab": self.vocabulary()?,
                "merges": match listed {
                    Some(merges) => json!(merges),
                    None => json!(self.merges()),
                },
            }),
            Algorithm::Unigram => json!({
                "type": "Unigram",
                "unk_id": unknown,
                "vocab": self.pieces.iter().map(|piece| json!([piece.text, piece.score])).collect::<Vec<_>>(),
                "byte_fallback": has_bytes,
            }),
        };
        let (normalizer, pre_tokenizer) = self.spaces();
        let bos = self.bos.filter(|&id| id < self.pieces.len());
        Ok(json!({
            "version": "1.0",
            "added_tokens": self.added_tokens(),
            "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer,
            "post_processor": bos.map(|id| begins_with(&self.pieces[id].text, id)),
            "decoder": self.decoder(),
            "model": model,
        }))
    }

    /// Normaliser and pre-tokenizer: how spaces are written.
    fn spaces(&self) -> (Value, Value) {
        let replace = json!({ "type": "Replace", "pattern": { "String": " " }, "content": MARK });
        let mut steps = self.normalizers.clone();
        let mut pre_tokenizer = Value::Null;
        match self.prefix_space {
            PrefixSpace::Never => steps.push(replace),
            PrefixSpace::EverySection => {
                steps.push(json!({ "type": "Prepend", "prepend": MARK }));
                steps.push(replace);
            }
            PrefixSpace::First => {
                pre_tokenizer = json!({
                    "type": "Metaspace", "replacement": MARK, "prepend_scheme": "first", "split": false,
                });
            }
        }
        let normalizer = if steps.is_empty() {
            Value::Null
        } else {
            json!({ "type": "Sequence", "normalizers": steps })
        };
        (normalizer, pre_tokenizer)
    }

    fn decoder(&self) -> Value {
        let mut steps = vec![
            json!({ "type": "Replace", "pattern": { "String": MARK }, "content": " " }),
            json!({ "type": "ByteFallback" }),
            json!({ "type": "Fuse" }),
        ];
        if self.prefix_space != PrefixSpace::Never {
            steps.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
        }
        json!({ "type": "Sequence", "decoders": steps })
    }

    fn vocabulary(&self) -> Result<Map<String, Value>, TokenizerError> {
        let mut seen = HashSet::new();
        let mut texts = self.pieces.iter().map(|piece| piece.text.as_str());
        if let Some(twice) = texts.find(|text| !seen.insert(*text)) {
            return Err(TokenizerError::Build {
                what: format!("token {twice:?} is listed twice"),
            });
        }
        let pieces = self.pieces.iter().enumerate();
        Ok(pieces
            .map(|(id, piece)| (piece.text.clone(), json!(id)))
            .collect())
    }

    /// Every way to cut a piece in two, the highest score first. Where no score differs, the piece that is listed first.
    pub(super) fn merges(&self) -> Vec<[&str; 2]> {
        struct Merge<'a> {
            whole: usize,
            halves: [usize; 2],
            parts: [&'a str; 2],
            lengths: [usize; 2],
        }
        let pieces = self.pieces.iter().enumerate();
        let normal: HashMap<&str, usize> = pieces
            .filter(|(_, piece)| piece.kind == Kind::Normal)
            .map(|(id, piece)| (piece.text.as_str(), id))
            .collect();
        let mut merges = Vec::new();
        for (&text, &whole) in &normal {
            for (at, _) in text.char_indices().skip(1) {
                let parts = [&text[..at], &text[at..]];
                if let [Some(&left), Some(&right)] = parts.map(|part| normal.get(part)) {
                    merges.push(Merge {
                        whole,
                        halves: [left, right],
                        parts,
                        lengths: parts.map(|part| part.chars().count()),
                    });
                }
            }
        }
        let score = |id: usize| self.pieces[id].score;
        let mut scores = normal.values().map(|&id| score(id));
        let first = scores.next();
        let differ = scores.any(|score| Some(score) != first);
        if differ {
            merges.sort_by(|a, b| {
                let order = score(b.whole).total_cmp(&score(a.whole));
                let key = |merge: &Merge<'_>| (Reverse(merge.lengths), merge.whole, merge.halves);
                order.then_with(|| key(a).cmp(&key(b)))
            });
        } else {
            merges.sort_by_key(|merge| (merge.whole, merge.lengths, merge.halves));
        }
        merges.into_iter().map(|merge| merge.parts).collect()
    }

    fn added_tokens(&self) -> Vec<Value> {
        let pieces = self.pieces.iter().enumerate();
        let added = pieces.filter(|(_, piece)| {
            matches!(
                piece.kind,
                Kind::Control | Kind::UserDefined | Kind::Unknown
            )
        });
        added
            .map(|(id, piece)| added_token(id, &piece.text, piece.kind != Kind::UserDefined))
            .collect()
    }
}

/// A token that is found in a text before all else.
pub(super) fn added_token(id: usize, text: &str, special: bool) -> Value {
    json!({
        "id": id,
        "content": text,
        "single_word": false,
        "lstrip": false,
        "rstrip": false,
        "normalized": false,
        "special": special,
    })
}

/// The post-processor that puts a token before a text.
pub(super) fn begins_with(token: &str, id: usize) -> Value {
    let special = json!({ "SpecialToken": { "id": token, "type_id": 0 } });
    let text = |name: &str| json!({ "Sequence": { "id": name, "type_id": 0 } });
    json!({
        "type": "TemplateProcessing",
        "single": [special, text("A")],
        "pair": [special, text("A"), text("B")],
        "special_tokens": { token: { "id": token, "ids": [id], "tokens": [token] } },
    })
}
