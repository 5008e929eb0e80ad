//! One token per character, for models that start from nothing.

use std::collections::HashMap;

use serde_json::json;

use super::{Tokenizer, TokenizerError};

/// Tokens that structure a sequence and are no part of its text: decoding drops them. Every other special token, such
/// as `<think>`, stays visible.
const CONTROL: [&str; 4] = ["<eos>", "<bos>", "<pad>", "<unk>"];

impl Tokenizer {
    /// A tokenizer with one token for each character of `alphabet` and one for each of `special`.
    ///
    /// The special tokens get the ids from 0 in the given order, the characters follow. [`Tokenizer::decode`] drops
    /// `<eos>`, `<bos>`, `<pad>` and `<unk>` and shows all others, so tags such as `<think>` can be matched in the text.
    ///
    /// # Errors
    /// [`TokenizerError::Build`] for a character or special token that is listed twice, and for an empty one.
    pub fn characters(alphabet: &str, special: &[&str]) -> Result<Self, TokenizerError> {
        let build = |what: String| TokenizerError::Build { what };
        let mut vocab = HashMap::new();
        let tokens = special
            .iter()
            .map(|token| (*token).to_string())
            .chain(alphabet.chars().map(String::from));
        for (id, token) in tokens.enumerate() {
            if token.is_empty() {
                return Err(build("a special token is empty".to_string()));
            }
            if vocab.insert(token.clone(), id).is_some() {
                return Err(build(format!("token {token:?} is listed twice")));
            }
        }
        let added = special.iter().enumerate().map(|(id, token)| {
            json!({
                "id": id,
                "content": token,
                "single_word": false,
                "lstrip": false,
                "rstrip": false,
                "normalized": false,
                "special": CONTROL.contains(token),
            })
        });
        let file = json!({
            "version": "1.0",
            "added_tokens": added.collect::<Vec<_>>(),
            "normalizer": null,
            "pre_tokenizer": {
                "type": "Split",
                "pattern": { "Regex": r"[\s\S]" },
                "behavior": "Isolated",
                "invert": false,
            },
            "post_processor": null,
            "decoder": { "type": "Fuse" },
            "model": { "type": "WordLevel", "vocab": vocab, "unk_token": "<unk>" },
        });
        let inner = tokenizers::Tokenizer::from_bytes(file.to_string())
            .map_err(|error| build(error.to_string()))?;
        Self::new(inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits() -> Tokenizer {
        let special = [
            "<pad>",
            "<eos>",
            "<think>",
            "</think>",
            "<answer>",
            "</answer>",
        ];
        Tokenizer::characters("0123456789+-=, \n", &special).unwrap()
    }

    #[test]
    fn ids_count_special_tokens_first() {
        let tokenizer = digits();
        assert_eq!(tokenizer.vocab_size(), 22);
        assert_eq!(
            tokenizer.encode("<think>1+2\n</think><eos>").unwrap(),
            [2, 7, 16, 8, 21, 3, 1]
        );
        assert_eq!(tokenizer.token_id("<answer>"), Some(4));
        assert_eq!(tokenizer.token_id("7"), Some(13));
    }

    #[test]
    fn decoding_drops_only_control_tokens() {
        let tokenizer = digits();
        let ids = tokenizer.encode("<think>1 +  2</think><eos><pad>").unwrap();
        assert_eq!(tokenizer.decode(&ids).unwrap(), "<think>1 +  2</think>");
        assert_eq!(
            tokenizer.decode_with_special(&ids).unwrap(),
            "<think>1 +  2</think><eos><pad>"
        );
    }

    #[test]
    fn an_unknown_character_is_named() {
        let message = digits().encode("<think>1*2").unwrap_err().to_string();
        assert_eq!(
            message,
            "character '*' (U+002A) is not in the tokenizer's alphabet"
        );
        assert!(matches!(
            digits().encode("1<2").unwrap_err(),
            TokenizerError::UnknownCharacter { character: '<' }
        ));
    }

    #[test]
    fn an_id_outside_of_the_vocabulary_is_an_error() {
        let message = digits().decode(&[7, 22]).unwrap_err().to_string();
        assert_eq!(message, "token id 22 is outside of the vocabulary of 22");
    }

    #[test]
    fn a_character_listed_twice_is_an_error() {
        let message = Tokenizer::characters("010", &[]).unwrap_err().to_string();
        assert_eq!(
            message,
            "cannot build the tokenizer: token \"0\" is listed twice"
        );
    }

    #[test]
    fn the_json_form_reads_back_with_the_same_ids() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tokenizer.json");
        std::fs::write(&file, digits().to_json().unwrap()).unwrap();
        let text = "<think>12+34=46</think>\n<answer>46</answer><eos>";
        let again = Tokenizer::from_file(&file).unwrap();
        assert_eq!(again.encode(text).unwrap(), digits().encode(text).unwrap());
    }
}
