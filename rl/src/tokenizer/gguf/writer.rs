//! A tokenizer as the metadata of a GGUF file.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::super::pieces::{Algorithm, Kind, Piece, Pieces, PrefixSpace};
use super::super::words::Words;
use super::super::{SpecialTokens, Tokenizer, TokenizerError};
use crate::formats::gguf::{MetadataArray, MetadataValue};

/// Tokens by id, with their kinds.
struct Listed {
    tokens: Vec<String>,
    kinds: Vec<Kind>,
}

type Pairs = Vec<(String, MetadataValue)>;

impl Tokenizer {
    /// The metadata of a GGUF file that describe this tokenizer, for a model whose embedding has `rows`.
    ///
    /// Byte-level BPE with one of the known ways to split words, SentencePiece's BPE, and characters of ASCII can be written.
    /// `eos` are the ids that end an answer.
    ///
    /// # Errors
    /// [`TokenizerError::Build`] for any other tokenizer: llama.cpp would read other ids.
    pub fn to_gguf(
        &self,
        rows: usize,
        special: &SpecialTokens,
        eos: &[u32],
    ) -> Result<Pairs, TokenizerError> {
        let json = self.to_json()?;
        let json: Value = serde_json::from_str(&json).map_err(|error| build(error.to_string()))?;
        let mut listed = self.listed(&json, rows);
        let model = &json["model"];
        let kind = model["type"].as_str();
        let mut pairs = if kind == Some("WordLevel") {
            characters(&mut listed)?
        } else if kind != Some("BPE") {
            let kind = kind.unwrap_or("unknown");
            return Err(build(format!(
                "llama.cpp has no tokenizer of the kind {kind}"
            )));
        } else if model["byte_fallback"].as_bool() == Some(true) {
            sentencepiece(&json, &mut listed)?
        } else {
            byte_level(&json)?
        };
        pairs.extend(self.roles(special, eos));
        let kinds = listed.kinds.iter().map(|kind| kind.number()).collect();
        pairs.push(pair(
            "tokens",
            MetadataValue::Array(MetadataArray::Text(listed.tokens)),
        ));
        pairs.push(pair(
            "token_type",
            MetadataValue::Array(MetadataArray::Signed(kinds)),
        ));
        Ok(pairs)
    }

    /// Every token by its id. Rows of the embedding without one get a name, as in llama.cpp's own conversions.
    fn listed(&self, json: &Value, rows: usize) -> Listed {
        let mut kinds = vec![Kind::Normal; rows];
        let unknown = json["model"]["unk_token"].as_str();
        let unknown = unknown.and_then(|token| self.token_id(token));
        for added in json["added_tokens"].as_array().into_iter().flatten() {
            let id = added["id"].as_u64().and_then(|id| usize::try_from(id).ok());
            if let Some(kind) = id.and_then(|id| kinds.get_mut(id)) {
                let special = added["special"].as_bool().unwrap_or(false);
                *kind = if special {
                    Kind::Control
                } else {
                    Kind::UserDefined
                };
            }
        }
        if let Some(kind) = unknown.and_then(|id| kinds.get_mut(id as usize)) {
            *kind = Kind::Unknown;
        }
        let tokens = (0..rows).map(|id| {
            let token = u32::try_from(id).ok().and_then(|id| self.token(id));
            token.unwrap_or_else(|| {
                kinds[id] = Kind::Unused;
                format!("[PAD{id}]")
            })
        });
        Listed {
            tokens: tokens.collect(),
            kinds,
        }
    }

    /// Tokens with a role.
    fn roles(&self, special: &SpecialTokens, eos: &[u32]) -> Pairs {
        let id = |token: &Option<String>| token.as_ref().and_then(|token| self.token_id(token));
        let end = id(&special.eos_token).or(eos.first().copied());
        let prefix = self.prefix().first().copied();
        let other_end = eos.iter().copied().find(|id| Some(*id) != end);
        let roles = [
            ("bos_token_id", prefix.or(id(&special.bos_token))),
            ("eos_token_id", end),
            ("eot_token_id", other_end),
            ("padding_token_id", id(&special.pad_token)),
            ("unknown_token_id", id(&special.unk_token)),
        ];
        let roles = roles.into_iter().filter_map(|(key, id)| {
            let id = u64::from(id?);
            Some(pair(key, MetadataValue::Unsigned(id)))
        });
        let adds = MetadataValue::Bool(prefix.is_some());
        roles.chain([pair("add_bos_token", adds)]).collect()
    }
}

fn build(what: String) -> TokenizerError {
    TokenizerError::Build { what }
}

fn pair(key: &str, value: MetadataValue) -> (String, MetadataValue) {
    (format!("tokenizer.ggml.{key}"), value)
}

fn text(key: &str, text: &str) -> (String, MetadataValue) {
    pair(key, MetadataValue::Text(text.to_owned()))
}

/// The merges of a `tokenizer.json`, each as two pieces.
fn merges(json: &Value) -> Result<Vec<[String; 2]>, TokenizerError> {
    let merges = json["model"]["merges"].as_array().into_iter().flatten();
    let read = |merge: &Value| match merge {
        Value::String(text) => {
            let (left, right) = text.split_once(' ')?;
            Some([left.to_owned(), right.to_owned()])
        }
        Value::Array(parts) => match &parts[..] {
            [Value::String(left), Value::String(right)] => Some([left.clone(), right.clone()]),
            _ => None,
        },
        _ => None,
    };
    let read = merges.map(|merge| read(merge).ok_or_else(|| build(format!("{merge} is no merge"))));
    read.collect()
}

fn joined(merges: &[[String; 2]]) -> MetadataValue {
    let merges = merges.iter().map(|[left, right]| format!("{left} {right}"));
    MetadataValue::Array(MetadataArray::Text(merges.collect()))
}

fn byte_level(json: &Value) -> Result<Pairs, TokenizerError> {
    let words = Words::of_json(json).ok_or_else(|| {
        build("its way to split words has no name in llama.cpp that is known here; hint: convert the exported directory with llama.cpp's convert_hf_to_gguf.py".to_owned())
    })?;
    Ok(vec![
        text("model", "gpt2"),
        text("pre", words),
        pair("merges", joined(&merges(json)?)),
    ])
}

/// SentencePiece's BPE: llama.cpp merges by scores, so the merges must be all that the scores say.
fn sentencepiece(json: &Value, listed: &mut Listed) -> Result<Pairs, TokenizerError> {
    let merges = merges(json)?;
    let mut ranks: HashMap<String, usize> = HashMap::new();
    for (rank, [left, right]) in merges.iter().enumerate() {
        ranks.entry(format!("{left}{right}")).or_insert(rank);
    }
    for (token, kind) in listed.tokens.iter().zip(&mut listed.kinds) {
        let byte = token
            .strip_prefix("<0x")
            .and_then(|rest| rest.strip_suffix('>'));
        if byte.is_some_and(|byte| byte.len() == 2) && *kind == Kind::Normal {
            *kind = Kind::Byte;
        }
    }
    let score = |token: &String| ranks.get(token).map_or(f64::MIN, |rank| -(*rank as f64));
    let scores: Vec<f64> = listed.tokens.iter().map(score).collect();
    let tokens = listed.tokens.iter().zip(&listed.kinds).zip(&scores);
    let pieces = tokens.map(|((text, kind), score)| Piece {
        text: text.clone(),
        score: *score,
        kind: *kind,
    });
    let pieces = Pieces {
        pieces: pieces.collect(),
        algorithm: Algorithm::Merges(None),
        prefix_space: PrefixSpace::Never,
        normalizers: Vec::new(),
        bos: None,
        unknown: None,
    };
    let all: HashSet<[&str; 2]> = pieces.merges().into_iter().collect();
    let listed_merges: HashSet<[&str; 2]> = merges
        .iter()
        .map(|[left, right]| [left.as_str(), right.as_str()])
        .collect();
    if all != listed_merges {
        return Err(build(format!(
            "its {} merges are not the {} that SentencePiece would make, so llama.cpp would read other ids",
            listed_merges.len(),
            all.len()
        )));
    }
    let normalizer = json["normalizer"].to_string();
    let marked = normalizer.contains("\"Prepend\"") || json["pre_tokenizer"]["type"] == "Metaspace";
    let scores = scores.iter().map(|score| score.max(-1e9)).collect();
    Ok(vec![
        text("model", "llama"),
        text("pre", "default"),
        pair("scores", MetadataValue::Array(MetadataArray::Float(scores))),
        pair("add_space_prefix", MetadataValue::Bool(marked)),
    ])
}

/// One token a character: bytes without merges.
fn characters(listed: &mut Listed) -> Result<Pairs, TokenizerError> {
    let tokens = listed.tokens.iter_mut().zip(&listed.kinds);
    for (token, _) in tokens.filter(|(_, kind)| **kind == Kind::Normal) {
        let mut characters = token.chars();
        let one = characters.next().filter(|c| c.is_ascii());
        let (Some(one), None) = (one, characters.next()) else {
            return Err(build(format!(
                "{token:?} is no character of ASCII, and llama.cpp has no tokenizer of whole characters"
            )));
        };
        // The spelling of GPT-2: what cannot be seen moves up by 256.
        if !one.is_ascii_graphic() {
            let shifted = match u32::from(one) {
                127 => 0x121,
                code => 0x100 + code,
            };
            *token = char::from_u32(shifted).into_iter().collect();
        }
    }
    Ok(vec![
        text("model", "gpt2"),
        text("pre", "gpt-2"),
        pair("merges", joined(&[])),
    ])
}
