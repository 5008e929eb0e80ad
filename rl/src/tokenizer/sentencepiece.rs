//! `tokenizer.model`: a SentencePiece model, a message in Protocol Buffers' wire format.
//!
//! Field numbers are those of `sentencepiece_model.proto` of the SentencePiece project.

use std::path::Path;

use serde_json::{Value, json};

use super::pieces::{Algorithm, Kind, MARK, Piece, Pieces, PrefixSpace};
use super::{LFS_POINTER, Tokenizer, TokenizerError};

/// A field's value in the wire format.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Field<'a> {
    Number(u64),
    Bits32([u8; 4]),
    Bytes(&'a [u8]),
    Bits64,
}

/// The fields of a message, each with its number.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    /// The next field; `Ok(None)` at the end.
    fn next(&mut self) -> Result<Option<(u64, Field<'a>)>, String> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        let at = self.at;
        let mut read = || {
            let tag = self.number()?;
            let field = match tag & 7 {
                0 => Field::Number(self.number()?),
                1 => {
                    self.take(8)?;
                    Field::Bits64
                }
                2 => {
                    let length = usize::try_from(self.number()?).ok()?;
                    Field::Bytes(self.take(length)?)
                }
                5 => Field::Bits32(self.take(4)?.try_into().ok()?),
                _ => return None,
            };
            Some((tag >> 3, field))
        };
        read().map(Some).ok_or_else(|| {
            format!("not a SentencePiece model, or damaged at byte {at} of a message")
        })
    }
}

/// What of a model is needed.
#[derive(Debug)]
struct Model {
    pieces: Vec<Piece>,
    /// 1: unigram, 2: BPE, 3: words, 4: characters.
    model_type: u64,
    unknown: i64,
    bos: i64,
    suffix_spaces: bool,
    charsmap: Vec<u8>,
    dummy_prefix: bool,
    removes_spaces: bool,
    escapes_spaces: bool,
}

impl Model {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut model = Self {
            pieces: Vec::new(),
            model_type: 1,
            unknown: 0,
            bos: 1,
            suffix_spaces: false,
            charsmap: Vec::new(),
            dummy_prefix: true,
            removes_spaces: true,
            escapes_spaces: true,
        };
        let mut fields = Fields::of(bytes);
        while let Some((number, field)) = fields.next()? {
            match (number, field) {
                (1, Field::Bytes(piece)) => {
                    let id = model.pieces.len();
                    model.pieces.push(read_piece(piece, id)?);
                }
                (2, Field::Bytes(spec)) => model.read_trainer(spec)?,
                (3, Field::Bytes(spec)) => model.read_normalizer(spec)?,
                _ => {}
            }
        }
        if model.pieces.is_empty() {
            return Err("not a SentencePiece model: it has no pieces".to_owned());
        }
        Ok(model)
    }

    fn read_trainer(&mut self, spec: &[u8]) -> Result<(), String> {
        // Ids are int32, which the wire format extends to 64 bits.
        let id = |number: u64| number as i64;
        let mut fields = Fields::of(spec);
        while let Some((number, field)) = fields.next()? {
            match (number, field) {
                (3, Field::Number(kind)) => self.model_type = kind,
                (24, Field::Number(flag)) => self.suffix_spaces = flag != 0,
                (40, Field::Number(value)) => self.unknown = id(value),
                (41, Field::Number(value)) => self.bos = id(value),
                _ => {}
            }
        }
        Ok(())
    }

    fn read_normalizer(&mut self, spec: &[u8]) -> Result<(), String> {
        let mut fields = Fields::of(spec);
        while let Some((number, field)) = fields.next()? {
            match (number, field) {
                (2, Field::Bytes(charsmap)) => self.charsmap = charsmap.to_vec(),
                (3, Field::Number(flag)) => self.dummy_prefix = flag != 0,
                (4, Field::Number(flag)) => self.removes_spaces = flag != 0,
                (5, Field::Number(flag)) => self.escapes_spaces = flag != 0,
                _ => {}
            }
        }
        Ok(())
    }

    fn normalizers(&self) -> Vec<Value> {
        let mut steps = Vec::new();
        if !self.charsmap.is_empty() {
            steps.push(
                json!({ "type": "Precompiled", "precompiled_charsmap": base64(&self.charsmap) }),
            );
        }
        if self.removes_spaces {
            // Only spaces, and what spaces are written as: line breaks and tabs stay.
            let mark = json!({ "String": MARK });
            steps.push(json!({ "type": "Replace", "pattern": mark, "content": " " }));
            for (expression, content) in [(r"\A +", ""), (r" +\z", ""), (" {2,}", " ")] {
                let pattern = json!({ "Regex": expression });
                steps.push(json!({ "type": "Replace", "pattern": pattern, "content": content }));
            }
        }
        steps
    }

    fn into_pieces(self, prefix_space: PrefixSpace) -> Result<Pieces, String> {
        let algorithm = match self.model_type {
            1 => Algorithm::Unigram,
            2 => Algorithm::Merges(None),
            3 => return Err("a SentencePiece model of words, which is not read".to_owned()),
            _ => return Err("a SentencePiece model of characters, which is not read".to_owned()),
        };
        if self.suffix_spaces || !self.escapes_spaces {
            return Err("a SentencePiece model that does not mark the beginnings of words, which is not read".to_owned());
        }
        Ok(Pieces {
            normalizers: self.normalizers(),
            algorithm,
            prefix_space: if self.dummy_prefix {
                prefix_space
            } else {
                PrefixSpace::Never
            },
            bos: usize::try_from(self.bos).ok(),
            unknown: usize::try_from(self.unknown).ok(),
            pieces: self.pieces,
        })
    }
}

fn read_piece(message: &[u8], id: usize) -> Result<Piece, String> {
    let mut piece = Piece {
        text: String::new(),
        score: 0.0,
        kind: Kind::Normal,
    };
    let mut fields = Fields::of(message);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Field::Bytes(text)) => {
                let text = str::from_utf8(text);
                let text = text.map_err(|error| format!("piece {id} is not UTF-8: {error}"))?;
                piece.text = text.to_owned();
            }
            (2, Field::Bits32(bits)) => piece.score = f64::from(f32::from_le_bytes(bits)),
            (3, Field::Number(kind)) => {
                let known = i64::try_from(kind).ok().and_then(Kind::from_number);
                piece.kind =
                    known.ok_or_else(|| format!("piece {id} is of the unknown type {kind}"))?;
            }
            _ => {}
        }
    }
    Ok(piece)
}

impl Tokenizer {
    /// Reads a SentencePiece model of merges (BPE) or likeliest pieces (unigram).
    ///
    /// `config` is the `tokenizer_config.json` beside it, if there is one: it may add tokens (`added_tokens_decoder`), and say
    /// with `legacy` = false that a space stands before the first word of a text only, and not behind every special token. A text begins with the model's BOS, as
    /// it does in transformers.
    ///
    /// # Errors
    /// [`TokenizerError::Io`], [`TokenizerError::LfsPointer`], [`TokenizerError::SentencePiece`] for a file that is damaged or of
    /// another kind, [`TokenizerError::Build`] for a vocabulary that contradicts itself.
    pub fn from_sentencepiece(
        path: impl AsRef<Path>,
        config: Option<&Value>,
    ) -> Result<Self, TokenizerError> {
        let file = path.as_ref().display().to_string();
        let bytes = std::fs::read(path.as_ref()).map_err(|source| TokenizerError::Io {
            file: file.clone(),
            source,
        })?;
        if bytes.starts_with(LFS_POINTER) {
            return Err(TokenizerError::LfsPointer { file });
        }
        let wrong = |what: String| TokenizerError::SentencePiece {
            file: file.clone(),
            what,
        };
        let flag = |name: &str| config.and_then(|config| config.get(name)?.as_bool());
        let prefix_space = match (flag("add_prefix_space"), flag("legacy")) {
            (Some(false), _) => PrefixSpace::Never,
            (_, Some(false)) => PrefixSpace::First,
            _ => PrefixSpace::EverySection,
        };
        let model = Model::read(&bytes).map_err(wrong)?;
        let mut pieces = model.into_pieces(prefix_space).map_err(wrong)?;
        if let Some(added) = config.and_then(|config| config.get("added_tokens_decoder")) {
            add(&mut pieces.pieces, added).map_err(wrong)?;
        }
        pieces.tokenizer()
    }
}

/// Adds the tokens of `added_tokens_decoder`: `{"32000": {"content": "<|im_end|>", "special": true}}`.
fn add(pieces: &mut Vec<Piece>, added: &Value) -> Result<(), String> {
    let mut tokens = Vec::new();
    for (id, token) in added.as_object().into_iter().flatten() {
        let content = token.get("content").and_then(Value::as_str);
        let (Ok(id), Some(content)) = (id.parse::<usize>(), content) else {
            return Err(format!("added_tokens_decoder: {id}: {token} is no token"));
        };
        let special = token.get("special").and_then(Value::as_bool);
        tokens.push((id, content, special.unwrap_or(false)));
    }
    tokens.sort_unstable();
    for (id, content, special) in tokens {
        let kind = if special {
            Kind::Control
        } else {
            Kind::UserDefined
        };
        let piece = Piece {
            text: content.to_owned(),
            score: 0.0,
            kind,
        };
        let count = pieces.len();
        match pieces.get_mut(id) {
            Some(known) if known.text == content && known.kind != Kind::Normal => {}
            Some(known) => *known = piece,
            None if id == count => pieces.push(piece),
            None => {
                return Err(format!(
                    "added_tokens_decoder: {content:?} has the id {id}, and {count} has no token"
                ));
            }
        }
    }
    Ok(())
}

/// Base64 with padding (RFC 4648, section 4), as `tokenizer.json` holds bytes.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            if place > chunk.len() {
                out.push('=');
            } else {
                let index = (bits >> (18 - 6 * place)) & 63;
                out.push(char::from(ALPHABET[index as usize]));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests;
