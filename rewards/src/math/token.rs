//! LaTeX, unicode and plain text as one list of tokens, in one pass.
//!
//! What only concerns looks (spacing, sizes, fonts, dollar signs around formulas) is gone after this. Numbers are read whole,
//! with their thousands separators.

mod number;
mod tables;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::Zero;

use super::budget::{Budget, Doubt};
use tables::{
    FONTS, GREEK, LOOKS, SIGNS, SKIPPED_ARGUMENT, SPACES, SUBSCRIPTS, SUPERSCRIPTS, TEXTS, VULGAR,
};

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    /// A number; `digits` as written where it is a plain run of digits.
    Number {
        value: BigRational,
        digits: Option<String>,
    },
    /// A run of letters.
    Word(String),
    /// A command with a meaning, without its backslash; greek letters too.
    Command(String),
    /// Words from `\text{…}`.
    Text(String),
    /// A currency sign.
    Currency(&'static str),
    /// One character: an operator, a bracket, a relation.
    Sign(char),
    /// `\begin{…}`
    Begin(String),
    /// `\end{…}`
    End(String),
    /// `\\`
    Break,
}

/// A token and what stands before it.
#[derive(Clone, Debug)]
pub(crate) struct Lexeme {
    pub(crate) token: Token,
    /// Whether there is white space before it.
    pub(crate) spaced: bool,
    /// Where it begins, in bytes.
    pub(crate) at: usize,
}

/// How commas between digits are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commas {
    /// `1,234` is one number, outside of brackets.
    Thousands,
    /// `1,234` are two numbers.
    Separators,
}

/// Splits `text` into tokens.
///
/// # Errors
/// [`Doubt`] if the budget ends or a number is too large to be written out.
pub(crate) fn tokenize(text: &str, commas: Commas, budget: &Budget) -> Result<Vec<Lexeme>, Doubt> {
    let mut lexer = Lexer {
        text,
        bytes: text.as_bytes(),
        at: 0,
        start: 0,
        spaced: false,
        depth: 0,
        matrices: 0,
        commas,
        found: Vec::new(),
        nested: 0,
        budget,
    };
    lexer.run()?;
    Ok(lexer.found)
}

struct Lexer<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    start: usize,
    spaced: bool,
    /// Open brackets, in which a comma separates.
    depth: usize,
    /// Open matrices, in which `\\` is a row's end.
    matrices: usize,
    commas: Commas,
    found: Vec<Lexeme>,
    /// How many texts within texts this is.
    nested: usize,
    budget: &'a Budget,
}

impl<'a> Lexer<'a> {
    fn run(&mut self) -> Result<(), Doubt> {
        while let Some(&byte) = self.bytes.get(self.at) {
            self.budget.spend(4)?;
            self.start = self.at;
            match byte {
                b'0'..=b'9' => self.number()?,
                b'.' if self.peek(1).is_some_and(|next| next.is_ascii_digit()) => self.number()?,
                b'a'..=b'z' | b'A'..=b'Z' => self.word(),
                b' ' | b'\t' | b'\n' | b'\r' | b'$' | b'~' | b'`' => {
                    self.at += 1;
                    self.spaced |= byte != b'$';
                }
                b'\\' => self.backslash()?,
                0x80.. => self.unicode()?,
                _ => self.ascii_sign(byte),
            }
        }
        Ok(())
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    fn push(&mut self, token: Token) {
        match token {
            Token::Sign('(' | '[' | '⦃' | '⟨') => self.depth += 1,
            Token::Sign(')' | ']' | '⦄' | '⟩') => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.found.push(Lexeme {
            token,
            spaced: self.spaced,
            at: self.start,
        });
        self.spaced = false;
    }

    fn ascii_sign(&mut self, byte: u8) {
        let rest = &self.bytes[self.at..];
        let (sign, length) = match byte {
            b'<' if rest.starts_with(b"<=") => ('≤', 2),
            b'>' if rest.starts_with(b">=") => ('≥', 2),
            b'=' if rest.starts_with(b"==") => ('=', 2),
            b'-' if rest.starts_with(b"->") => ('→', 2),
            b'=' if rest.starts_with(b"=>") => ('⇒', 2),
            b'=' if rest.starts_with(b"=<") => ('≤', 2),
            b'!' if rest.starts_with(b"!=") && !self.after_number() => ('≠', 2),
            b'&' if self.matrices == 0 => {
                // A mark of alignment.
                self.at += 1;
                return;
            }
            b'+' if rest.starts_with(b"+/-") => ('±', 3),
            b'+' if rest.starts_with(b"+-") => ('±', 2),
            b'*' if rest.starts_with(b"**") => ('^', 2),
            b'.' if rest.starts_with(b"...") => ('…', 3),
            other => (char::from(other), 1),
        };
        self.at += length;
        self.push(Token::Sign(sign));
    }

    /// Whether the token before is a number that nothing separates from here: `5!=120` is a factorial.
    fn after_number(&self) -> bool {
        !self.spaced
            && matches!(
                self.found.last().map(|lexeme| &lexeme.token),
                Some(Token::Number { .. } | Token::Sign(')'))
            )
    }

    fn word(&mut self) {
        let rest = &self.bytes[self.at..];
        let length = rest
            .iter()
            .take_while(|byte| byte.is_ascii_alphabetic())
            .count();
        let word = &self.text[self.at..self.at + length];
        self.at += length;
        self.push(Token::Word(word.to_owned()));
    }

    fn unicode(&mut self) -> Result<(), Doubt> {
        let Some(character) = self.text[self.at..].chars().next() else {
            return Ok(());
        };
        let length = character.len_utf8();
        if let Some((_, command)) = GREEK.iter().find(|(greek, _)| *greek == character) {
            self.at += length;
            self.push(Token::Command((*command).to_owned()));
            return Ok(());
        }
        if let Some((_, numerator, denominator)) =
            VULGAR.iter().find(|(vulgar, ..)| *vulgar == character)
        {
            self.at += length;
            let value = BigRational::new((*numerator).into(), (*denominator).into());
            self.push(Token::Number {
                value,
                digits: None,
            });
            return Ok(());
        }
        for (digits, sign) in [(SUPERSCRIPTS, '^'), (SUBSCRIPTS, '_')] {
            if digits.contains(character) {
                self.script(digits, sign);
                return Ok(());
            }
        }
        let sign = match character {
            '\u{a0}'
            | '\u{2002}'..='\u{200b}'
            | '\u{202f}'
            | '\u{205f}'
            | '\u{3000}'
            | '\u{feff}' => {
                self.at += length;
                self.spaced = true;
                return Ok(());
            }
            '−' | '–' | '—' | '‐' | '‑' | '－' => '-',
            '×' | '·' | '⋅' | '∙' | '∗' | '✕' | '•' => '*',
            '÷' | '∕' | '⁄' => '/',
            '⩽' => '≤',
            '⩾' => '≥',
            'º' | '˚' => '°',
            '′' | '’' | '‘' => '\'',
            '∣' | '‖' => '|',
            '∊' => '∈',
            '＼' => '∖',
            '，' | '、' => ',',
            '；' => ';',
            '。' => '.',
            '⟶' => '→',
            'ℝ' | 'ℤ' | 'ℕ' | 'ℚ' | 'ℂ' => {
                self.at += length;
                self.push(Token::Command(format!("mathbb{}", blackboard(character))));
                return Ok(());
            }
            '€' | '£' | '¥' | '₹' | '₽' | '¢' => {
                self.at += length;
                self.push(currency(character));
                return Ok(());
            }
            // Full-width forms of ASCII.
            '\u{ff01}'..='\u{ff5e}' => {
                let ascii = char::from_u32(u32::from(character) - 0xfee0).unwrap_or('?');
                if ascii.is_ascii_digit() {
                    self.at += length;
                    let value = BigRational::from_integer(ascii.to_digit(10).unwrap_or(0).into());
                    self.push(Token::Number {
                        value,
                        digits: Some(ascii.to_string()),
                    });
                    return Ok(());
                }
                ascii
            }
            letter if letter.is_alphabetic() => {
                let word: String = self.text[self.at..]
                    .chars()
                    .take_while(|next| {
                        next.is_alphabetic() && !GREEK.iter().any(|(greek, _)| greek == next)
                    })
                    .collect();
                self.at += word.len().max(length);
                self.push(Token::Word(word));
                return Ok(());
            }
            other => other,
        };
        self.at += length;
        self.push(Token::Sign(sign));
        Ok(())
    }

    /// A run of small raised or lowered digits.
    fn script(&mut self, digits: &str, sign: char) {
        let mut written = String::new();
        let mut negative = false;
        for character in self.text[self.at..].chars() {
            match digits.chars().position(|digit| digit == character) {
                Some(value) => written.push(char::from(b'0' + (value % 10) as u8)),
                None if character == '⁻' && written.is_empty() => negative = true,
                None => break,
            }
            self.at += character.len_utf8();
        }
        let value: BigInt = written.parse().unwrap_or_else(|_| BigInt::zero());
        let value = if negative { -value } else { value };
        self.push(Token::Sign(sign));
        self.push(Token::Number {
            value: BigRational::from_integer(value),
            digits: Some(written),
        });
    }

    fn backslash(&mut self) -> Result<(), Doubt> {
        let name_length = |from: usize| {
            self.bytes[from..]
                .iter()
                .take_while(|byte| byte.is_ascii_alphabetic())
                .count()
        };
        let mut length = name_length(self.at + 1);
        if length == 0 {
            if self.peek(1) == Some(b'\\') && self.matrices == 0 {
                // `\\frac`: a backslash that was escaped once too often.
                let doubled = name_length(self.at + 2);
                let name = &self.text[self.at + 2..self.at + 2 + doubled];
                if is_known_command(name) {
                    self.at += 1;
                    length = doubled;
                }
            }
            if length == 0 {
                return self.escaped();
            }
        }
        let name = &self.text[self.at + 1..self.at + 1 + length];
        self.at += 1 + length;
        self.command(name)
    }

    /// A backslash before something that is no letter.
    fn escaped(&mut self) -> Result<(), Doubt> {
        let next = self.peek(1);
        self.at += 1 + usize::from(next.is_some_and(|byte| byte.is_ascii()));
        match next {
            Some(b'\\') => {
                self.push(Token::Break);
                self.spaced = true;
            }
            Some(b'{') => self.push(Token::Sign('⦃')),
            Some(b'}') => self.push(Token::Sign('⦄')),
            Some(b'%') => self.push(Token::Sign('%')),
            Some(b'$') => self.push(Token::Currency("$")),
            Some(b'|') => self.push(Token::Sign('|')),
            Some(b'_') => self.push(Token::Sign('_')),
            Some(b'&') => self.push(Token::Text("&".to_owned())),
            Some(b'!') => {}
            // `\(`, `\)`, `\[`, `\]` delimit formulas; the rest is spacing.
            Some(_) | None => self.spaced = true,
        }
        Ok(())
    }

    fn command(&mut self, name: &'a str) -> Result<(), Doubt> {
        if let Some((_, sign)) = SIGNS.iter().find(|(command, _)| *command == name) {
            let token = match sign {
                '£' => currency('£'),
                sign => Token::Sign(*sign),
            };
            self.push(token);
        } else if LOOKS.contains(&name) {
            let boxed = matches!(name, "boxed" | "fbox");
            if boxed
                && self
                    .found
                    .last()
                    .is_some_and(|last| ends_operand(&last.token))
            {
                // Neighbouring boxes are parts of one answer.
                self.push(Token::Sign(','));
            }
            // `\left.` is an invisible bracket.
            if matches!(name, "left" | "right") && self.peek(0) == Some(b'.') {
                self.at += 1;
            }
        } else if SPACES.contains(&name) {
            self.spaced = true;
        } else if TEXTS.contains(&name) {
            let content = self.group();
            self.words(content)?;
        } else if FONTS.contains(&name) {
            let content = self.group();
            let word = content.trim();
            let letters = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphabetic());
            match letters {
                true if word.len() == 1 => self.push(Token::Word(word.to_owned())),
                true if super::vocabulary::function_named(word).is_some() => {
                    self.push(Token::Command(word.to_owned()));
                }
                _ => self.words(content)?,
            }
        } else if name == "mathbb" || name == "Bbb" {
            let letter = self.group().trim().chars().next().unwrap_or('?');
            self.push(Token::Command(format!("mathbb{letter}")));
        } else if SKIPPED_ARGUMENT.contains(&name) {
            self.group();
        } else if name == "begin" || name == "end" {
            let environment = self.group().trim().trim_end_matches('*').to_owned();
            let frames = [
                "equation",
                "align",
                "aligned",
                "gather",
                "gathered",
                "displaymath",
                "math",
                "center",
                "split",
            ];
            if frames.contains(&environment.as_str()) {
                // It only says where a formula stands.
                self.spaced = true;
            } else if name == "begin" {
                self.matrices += 1;
                if environment == "array" && self.peek(0) == Some(b'{') {
                    self.group();
                }
                self.push(Token::Begin(environment));
            } else {
                self.matrices = self.matrices.saturating_sub(1);
                self.push(Token::End(environment));
            }
        } else {
            self.push(Token::Command(name.to_owned()));
        }
        Ok(())
    }

    /// What `\text{…}` says. With digits in it, it is more of the answer.
    fn words(&mut self, content: &'a str) -> Result<(), Doubt> {
        let trimmed = content.trim();
        let inner_spaced = content.starts_with([' ', '~']);
        self.spaced |= inner_spaced;
        let mathematical = trimmed
            .bytes()
            .any(|byte| byte.is_ascii_digit() || byte == b'\\' || byte == b'$');
        if mathematical && self.nested < 4 && super::units::Unit::parse(trimmed).is_none() {
            let (text, at) = (self.text, self.at);
            let offset = content.as_ptr() as usize - text.as_ptr() as usize;
            (self.text, self.bytes) = (content, content.as_bytes());
            self.at = 0;
            self.nested += 1;
            let before = self.found.len();
            let result = self.run();
            for lexeme in &mut self.found[before..] {
                lexeme.at += offset;
            }
            self.nested -= 1;
            (self.text, self.bytes, self.at) = (text, text.as_bytes(), at);
            result?;
        } else if !trimmed.is_empty() {
            self.push(Token::Text(trimmed.to_owned()));
        }
        if content.ends_with([' ', '~']) {
            self.spaced = true;
        }
        Ok(())
    }

    /// The argument of a command: what the next braces hold, or the next character.
    fn group(&mut self) -> &'a str {
        while matches!(self.peek(0), Some(b' ' | b'\t' | b'\n')) {
            self.at += 1;
        }
        let text: &'a str = self.text;
        if self.peek(0) != Some(b'{') {
            let length = text[self.at..].chars().next().map_or(0, char::len_utf8);
            let single = &text[self.at..self.at + length];
            if matches!(single, "\\" | "}") {
                return "";
            }
            self.at += length;
            return single;
        }
        let start = self.at + 1;
        let mut open = 0usize;
        let mut at = self.at;
        while let Some(&byte) = self.bytes.get(at) {
            match byte {
                b'\\' => at += 1,
                b'{' => open += 1,
                b'}' => {
                    open -= 1;
                    if open == 0 {
                        self.at = at + 1;
                        return &text[start..at];
                    }
                }
                _ => {}
            }
            at += 1;
        }
        self.at = text.len();
        &text[start..]
    }
}

/// Whether something multiplied could follow this token.
fn ends_operand(token: &Token) -> bool {
    match token {
        Token::Number { .. } | Token::Word(_) | Token::Command(_) | Token::End(_) => true,
        Token::Text(text) => !matches!(text.trim(), "and" | "or" | ","),
        Token::Sign(sign) => matches!(sign, ')' | ']' | '}' | '⦄' | '%' | '!' | '°'),
        Token::Currency(_) | Token::Begin(_) | Token::Break => false,
    }
}

fn blackboard(character: char) -> char {
    match character {
        'ℝ' => 'R',
        'ℤ' => 'Z',
        'ℕ' => 'N',
        'ℚ' => 'Q',
        _ => 'C',
    }
}

fn currency(sign: char) -> Token {
    Token::Currency(match sign {
        '€' => "€",
        '£' => "£",
        '¥' => "¥",
        '₹' => "₹",
        '₽' => "₽",
        _ => "¢",
    })
}

fn is_known_command(name: &str) -> bool {
    !name.is_empty()
        && (SIGNS.iter().any(|(command, _)| *command == name)
            || LOOKS.contains(&name)
            || SPACES.contains(&name)
            || TEXTS.contains(&name)
            || FONTS.contains(&name)
            || ["begin", "end", "mathbb"].contains(&name)
            || super::vocabulary::is_known_command(name))
}
