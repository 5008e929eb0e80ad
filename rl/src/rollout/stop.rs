//! Texts that end a turn.

use crate::tokenizer::Tokenizer;

/// Texts that end a turn, as tokens show them.
#[derive(Debug, Clone)]
pub struct StopTexts<'a> {
    tokenizer: &'a Tokenizer,
    /// Special tokens whose text is a stop text: they are found by their ids, for plain text does not show them.
    ids: Vec<u32>,
    /// Stop texts that hold a special token and more: looked for in text that shows these.
    mixed: Vec<String>,
    plain: Vec<String>,
    /// Bytes of the longest stop text.
    longest: usize,
}

impl<'a> StopTexts<'a> {
    /// `stops` as `tokenizer` would write them.
    pub fn new(tokenizer: &'a Tokenizer, stops: &[String]) -> Self {
        let mut found = Self {
            tokenizer,
            ids: Vec::new(),
            mixed: Vec::new(),
            plain: Vec::new(),
            longest: stops.iter().map(String::len).max().unwrap_or(0),
        };
        for stop in stops {
            // A text that cannot be encoded holds a character that no token has: it is never written.
            let tokens = tokenizer.encode(stop).unwrap_or_default();
            let special = tokens.iter().any(|&id| is_special(tokenizer, id));
            match (&tokens[..], special) {
                (&[id], true) => found.ids.push(id),
                (_, true) => found.mixed.push(stop.clone()),
                (_, false) => found.plain.push(stop.clone()),
            }
        }
        found
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.mixed.is_empty() && self.plain.is_empty()
    }

    /// Whether the turn has come to a stop text with the last of its tokens so far.
    pub fn end(&self, tokens: &[u32]) -> bool {
        let ends = |ids: &[u32]| tokens.last().is_some_and(|last| ids.contains(last));
        if ends(&self.ids) {
            return true;
        }
        // A stop text is at most as many tokens long as it has bytes.
        let tail = &tokens[tokens.len().saturating_sub(self.longest + 1)..];
        let shows =
            |stops: &[String], text: &str| stops.iter().any(|stop| text.contains(stop.as_str()));
        let decoded = |special: bool| {
            let text = if special {
                self.tokenizer.decode_with_special(tail)
            } else {
                self.tokenizer.decode(tail)
            };
            text.unwrap_or_default()
        };
        (!self.plain.is_empty() && shows(&self.plain, &decoded(false)))
            || (!self.mixed.is_empty() && shows(&self.mixed, &decoded(true)))
    }
}

/// Whether plain text leaves a token out.
fn is_special(tokenizer: &Tokenizer, id: u32) -> bool {
    let plain = tokenizer.decode(&[id]).unwrap_or_default();
    let shown = tokenizer.decode_with_special(&[id]).unwrap_or_default();
    plain.is_empty() && !shown.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of the tokens of `written` a turn has when it ends; `None` when it goes on.
    fn ended_after(stops: &[&str], written: &str) -> Option<usize> {
        let tokenizer = Tokenizer::characters("abc\n ", &["<eos>", "<|im_start|>"]).unwrap();
        let stops: Vec<String> = stops.iter().map(|stop| (*stop).to_owned()).collect();
        let stops = StopTexts::new(&tokenizer, &stops);
        let tokens = tokenizer.encode(written).unwrap();
        (1..=tokens.len()).find(|&count| stops.end(&tokens[..count]))
    }

    #[test]
    fn a_turn_ends_with_the_token_that_completes_a_stop_text() {
        assert_eq!(ended_after(&["bc"], "abcabc"), Some(3));
        assert_eq!(
            ended_after(&["c", "b"], "aabc"),
            Some(3),
            "whichever comes first"
        );
        assert_eq!(ended_after(&["\n\n"], "a\nb\n\nc"), Some(5));
        assert_eq!(ended_after(&["abcabcabc"], "abcabcabcabc"), Some(9));
        assert_eq!(ended_after(&["cc"], "abcabc"), None);
        assert_eq!(ended_after(&["é"], "abc"), None, "no token writes it");
        assert_eq!(ended_after(&[], "abc"), None);
    }

    /// Text for people does not show special tokens, so looking there never finds them.
    #[test]
    fn a_special_token_is_found_by_its_id() {
        let tokenizer = Tokenizer::characters("abc", &["<eos>", "<|im_start|>"]).unwrap();
        for special in ["<eos>", "<|im_start|>"] {
            let id = tokenizer.token_id(special).unwrap();
            eprintln!("{special} is {id}, plainly {:?}", tokenizer.decode(&[id]));
            assert_eq!(ended_after(&[special], &format!("ab{special}c")), Some(3));
            assert_eq!(
                ended_after(&[&format!("b{special}c")], &format!("ab{special}cc")),
                Some(4)
            );
            assert_eq!(ended_after(&[special], "abc"), None);
        }
    }
}
