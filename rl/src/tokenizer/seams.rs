//! One text in several pieces.
//!
//! A prompt is tokenised alone when the policy is asked, and what follows is what the policy adds. SentencePiece's
//! tokenizers mark the first word of a text as if a space stood before it, so a continuation that is tokenised by itself
//! begins with a mark that the policy would never write. Here it is tokenised behind what stands before it.

use super::{Tokenizer, TokenizerError};

/// Texts to tokenise a continuation behind, where it melts into what stands before it.
const ANCHORS: [&str; 4] = ["\n", "=", "a", "."];

impl Tokenizer {
    /// The ids of a text by its pieces; the first has those that it has alone, without [`Self::prefix`].
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_pieces(&self, pieces: &[&str]) -> Result<Vec<Vec<u32>>, TokenizerError> {
        let Some((&first, rest)) = pieces.split_first() else {
            return Ok(Vec::new());
        };
        let first_ids = self.encode(first)?;
        let whole = pieces.concat();
        if self.marks_words {
            let lengths: Vec<usize> = pieces.iter().map(|piece| piece.len()).collect();
            let split = self.split(&whole, &lengths);
            if let Some(split) = split.filter(|split| split[0] == first_ids) {
                return Ok(split);
            }
        }
        let mut ids = vec![first_ids];
        let mut read = first.len();
        for piece in rest {
            ids.push(if read == 0 {
                self.encode(piece)?
            } else {
                self.encode_after(&whole[..read], piece)?
            });
            read += piece.len();
        }
        Ok(ids)
    }

    /// A raw text and what follows it; [`Self::prefix`] begins the text.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_raw_pair(
        &self,
        text: &str,
        continuation: &str,
    ) -> Result<(Vec<u32>, Vec<u32>), TokenizerError> {
        let mut pieces = self.encode_pieces(&[text, continuation])?;
        let after = pieces.pop().unwrap_or_default();
        let text = pieces.pop().unwrap_or_default();
        Ok((self.with_prefix(text), after))
    }

    /// The ids of `text` where `before` stands before it: without the mark of a space that is not there.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_after(&self, before: &str, text: &str) -> Result<Vec<u32>, TokenizerError> {
        if self.marks_words && !text.is_empty() {
            let before = Some(before).filter(|before| !before.is_empty());
            for before in before.into_iter().chain(ANCHORS) {
                let whole = format!("{before}{text}");
                if let Some(mut split) = self.split(&whole, &[before.len(), text.len()]) {
                    return Ok(split.pop().unwrap_or_default());
                }
            }
        }
        self.encode(text)
    }

    /// The ids of a text by pieces of these lengths in bytes, unless a token belongs to two of them.
    fn split(&self, whole: &str, lengths: &[usize]) -> Option<Vec<Vec<u32>>> {
        let encoding = self.inner.encode(whole, false).ok()?;
        let tokens = encoding.get_ids().iter().zip(encoding.get_offsets());
        let mut tokens = tokens.peekable();
        let mut end = 0;
        let mut pieces = Vec::with_capacity(lengths.len());
        for (index, length) in lengths.iter().enumerate() {
            end += length;
            let last = index + 1 == lengths.len();
            let mut ids = Vec::new();
            while let Some((id, (_, until))) = tokens.next_if(|(_, (from, _))| last || *from < end)
            {
                if *until > end {
                    return None;
                }
                ids.push(*id);
            }
            pieces.push(ids);
        }
        Some(pieces)
    }
}

#[cfg(test)]
mod tests;
