//! Decoding while tokens arrive.

use super::{Tokenizer, TokenizerError};

/// Turns a stream of token ids into pieces of text, never half of a character.
///
/// A byte-level token may end within a character; its text is held back until the rest has come.
#[derive(Debug, Clone)]
pub struct StreamDecoder {
    tokenizer: Tokenizer,
    /// Ids from the last two boundaries on: some decoders treat the first token of a sequence differently, so text is
    /// found as the difference that new ids make to what is before them.
    ids: Vec<u32>,
    /// How many of `ids` have been emitted.
    emitted: usize,
}

impl StreamDecoder {
    /// A decoder at the start of a text.
    pub fn new(tokenizer: &Tokenizer) -> Self {
        Self {
            tokenizer: tokenizer.clone(),
            ids: Vec::new(),
            emitted: 0,
        }
    }

    /// Takes the next id; returns the text that is now complete, if there is any. Special tokens give none.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn push(&mut self, id: u32) -> Result<Option<String>, TokenizerError> {
        self.ids.push(id);
        let (before, text) = self
            .texts()
            .inspect_err(|_| self.ids.truncate(self.ids.len() - 1))?;
        if text.len() <= before || text.ends_with(char::REPLACEMENT_CHARACTER) {
            return Ok(None);
        }
        let piece = text.get(before..).map(str::to_string);
        self.ids.drain(..self.emitted);
        self.emitted = self.ids.len();
        Ok(piece)
    }

    /// The text that is still held back, incomplete characters as U+FFFD; the decoder starts again.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn finish(&mut self) -> Result<Option<String>, TokenizerError> {
        let (before, text) = self.texts()?;
        self.ids.clear();
        self.emitted = 0;
        Ok(text
            .get(before..)
            .filter(|piece| !piece.is_empty())
            .map(str::to_string))
    }

    /// How long the emitted part of the text of `ids` is in bytes, and all of it.
    fn texts(&self) -> Result<(usize, String), TokenizerError> {
        let before = self.tokenizer.decode(&self.ids[..self.emitted])?;
        Ok((before.len(), self.tokenizer.decode(&self.ids)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_characters_arrive_one_by_one_and_eos_is_silent() {
        let tokenizer = Tokenizer::characters("añ😀 ", &["<eos>", "<think>"]).unwrap();
        let mut stream = StreamDecoder::new(&tokenizer);
        let ids = tokenizer.encode("<think>a ñ😀<eos>").unwrap();
        let pieces: Vec<_> = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
        let expected = [
            Some("<think>"),
            Some("a"),
            Some(" "),
            Some("ñ"),
            Some("😀"),
            None,
        ];
        assert_eq!(pieces, expected.map(|piece| piece.map(str::to_string)));
        assert_eq!(stream.finish().unwrap(), None);
    }
}
