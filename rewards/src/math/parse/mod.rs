//! From tokens to an [`Expression`]: a recursive descent that looks a few tokens ahead and never goes back.
//!
//! - this file: lists, relations, ratios, sets
//! - `operators`: sums, products, powers, signs after an operand
//! - `atoms`: numbers, names, commands with arguments; `brackets`: groups, tuples, intervals, sets, matrices
//! - `functions`: functions with their arguments, roots, sums and integrals
//! - `labels`: units and other words after a number
//!
//! Which word or command means what stands in `vocabulary`.
//!
//! ```text
//! answer   = relation { ("," | ";" | "and" | "or") relation }
//! relation = ratio { ("=" | "<" | "∈" | …) ratio }
//! ratio    = sets { ":" sets }
//! sets     = sum { ("∪" | "∩" | "∖") sum }
//! sum      = ["+" | "-" | "±"] term { ("+" | "-" | "±" | "∓") term }
//! term     = power { ["*" | "/"] power } [unit]
//! power    = postfix ["^" exponent]
//! postfix  = atom { "!" | "%" | "°" | "'" }
//! ```

mod atoms;
mod brackets;
mod functions;
mod labels;
mod operators;

use super::budget::{Budget, Doubt, MAX_ANSWER_BYTES, MAX_DEPTH};
use super::expression::{Connective, Expression, Half, RelationKind, SetOperation};
use super::token::{Commas, Lexeme, Token, tokenize};

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// There is nothing to read.
    #[error("it is empty")]
    Empty,
    /// Something stands where it has no meaning.
    #[error("{found} at byte {at} has no meaning there")]
    Unexpected {
        /// What stands there.
        found: String,
        /// Where, in bytes.
        at: usize,
    },
    /// The text ends too early.
    #[error("it ends before it is complete")]
    Incomplete,
    /// A bound was reached.
    #[error(transparent)]
    Bound(#[from] Doubt),
}

/// Reads an answer: LaTeX, plain text or a mixture, with or without dollar signs.
///
/// # Errors
/// [`ParseError`] if the text is no mathematics or a bound is reached. Any text gets an answer in a bounded number of
/// steps.
///
/// ```
/// use dunwu_rewards::math::parse;
///
/// assert_eq!(parse(r"\frac12")?, parse("1/2")?);
/// assert!(parse("the red one").is_err());
/// # Ok::<(), dunwu_rewards::math::ParseError>(())
/// ```
pub fn parse(text: &str) -> Result<Expression, ParseError> {
    parse_with(
        text,
        Commas::Thousands,
        &Budget::new(super::budget::DEFAULT_STEPS),
    )
}

/// [`parse`] with a choice of what commas mean, at the expense of `budget`.
pub(super) fn parse_with(
    text: &str,
    commas: Commas,
    budget: &Budget,
) -> Result<Expression, ParseError> {
    if text.len() > MAX_ANSWER_BYTES {
        return Err(Doubt::TooLong {
            side: "given",
            bytes: text.len(),
            limit: MAX_ANSWER_BYTES,
        }
        .into());
    }
    let lexemes = tokenize(text, commas, budget)?;
    let mut parser = Parser {
        lexemes,
        at: 0,
        depth: 0,
        brackets: 0,
        bars: 0,
        bar_stops: false,
        bound: Vec::new(),
        chained: 0,
        budget,
    };
    parser.trim_end();
    parser.name_letter_unit();
    if parser.lexemes.is_empty() {
        return Err(ParseError::Empty);
    }
    let answer = parser.answer()?;
    match parser.peek() {
        None => Ok(answer),
        Some(_) => Err(parser.unexpected()),
    }
}

pub(super) struct Parser<'a> {
    lexemes: Vec<Lexeme>,
    at: usize,
    depth: usize,
    /// Open brackets, in which `[` closes or opens but does not multiply.
    brackets: usize,
    /// Open absolute values, in which `|` closes.
    bars: usize,
    /// Whether `|` ends an expression: before the condition of a set.
    bar_stops: bool,
    /// Variables bound by Σ and its kin.
    bound: Vec<String>,
    /// Levels that grew without brackets, as in `a / b / c`.
    chained: usize,
    budget: &'a Budget,
}

type Parsed = Result<Expression, ParseError>;

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.lexemes.get(self.at).map(|lexeme| &lexeme.token)
    }

    fn peek_at(&self, ahead: usize) -> Option<&Token> {
        self.lexemes
            .get(self.at + ahead)
            .map(|lexeme| &lexeme.token)
    }

    fn peek_sign(&self) -> Option<char> {
        match self.peek() {
            Some(Token::Sign(sign)) => Some(*sign),
            _ => None,
        }
    }

    /// Whether white space stands before the next token.
    fn spaced(&self) -> bool {
        self.lexemes
            .get(self.at)
            .is_some_and(|lexeme| lexeme.spaced)
    }

    fn accept(&mut self, sign: char) -> bool {
        let found = self.peek_sign() == Some(sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: char) -> Result<(), ParseError> {
        if self.accept(sign) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    fn unexpected(&self) -> ParseError {
        match self.lexemes.get(self.at) {
            None => ParseError::Incomplete,
            Some(lexeme) => ParseError::Unexpected {
                found: describe(&lexeme.token),
                at: lexeme.at,
            },
        }
    }

    /// Runs `inner` one level deeper.
    fn deeper<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, ParseError>,
    ) -> Result<T, ParseError> {
        self.budget.spend(4)?;
        if self.depth >= MAX_DEPTH {
            return Err(Doubt::TooDeep { limit: MAX_DEPTH }.into());
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// Counts a level that a loop has added to the tree.
    fn chain(&mut self) -> Result<(), ParseError> {
        self.chained += 1;
        if self.chained > MAX_DEPTH {
            Err(Doubt::TooDeep { limit: MAX_DEPTH }.into())
        } else {
            Ok(())
        }
    }

    /// Takes the letter of `13 g`, where nothing else is written, for a unit.
    fn name_letter_unit(&mut self) {
        const UNITS: [&str; 9] = ["m", "g", "s", "h", "L", "N", "J", "W", "V"];
        let number =
            |lexeme: &Lexeme| matches!(lexeme.token, Token::Number { .. } | Token::Sign('-'));
        if let [before @ .., last] = self.lexemes.as_mut_slice()
            && (1..=2).contains(&before.len())
            && before.iter().all(number)
            && last.spaced
            && let Token::Word(word) = &last.token
            && UNITS.contains(&word.as_str())
        {
            last.token = Token::Text(word.clone());
        }
    }

    /// Leaves out the full stop of a sentence and its kin.
    fn trim_end(&mut self) {
        while let Some(Lexeme { token, .. }) = self.lexemes.last() {
            match token {
                Token::Sign('.' | ',' | ';' | ':' | '?' | '"' | '\'') | Token::Break => {
                    self.lexemes.pop();
                }
                _ => break,
            }
        }
        let is_noise =
            |lexeme: &Lexeme| matches!(lexeme.token, Token::Sign('"' | ':' | ',') | Token::Break);
        let leading = self
            .lexemes
            .iter()
            .take_while(|lexeme| is_noise(lexeme))
            .count();
        self.lexemes.drain(..leading);
    }

    fn answer(&mut self) -> Parsed {
        self.deeper(|parser| {
            let first = parser.relation()?;
            let mut items = vec![first];
            let mut joined = None;
            while let Some(connective) = parser.separator() {
                // `and` says more than the comma before it.
                if joined.is_none_or(|joined| joined == Connective::Comma) {
                    joined = Some(connective);
                }
                items.push(parser.relation()?);
            }
            Ok(match joined {
                None => items.remove(0),
                Some(connective) => Expression::List(connective, items),
            })
        })
    }

    /// What stands between two items: commas, `and`, `or`, or several of them.
    fn separator(&mut self) -> Option<Connective> {
        let mut found = None;
        if self.condition_ahead() {
            return Some(Connective::Comma);
        }
        loop {
            let next = match self.peek()? {
                Token::Text(text) if self.condition_word(text) => Connective::Comma,
                Token::Sign(',' | ';') => Connective::Comma,
                Token::Sign('∧') => Connective::And,
                Token::Sign('∨') => Connective::Or,
                Token::Break => Connective::Comma,
                Token::Text(text) => connective_word(text.trim_matches([',', ' ']))?,
                Token::Word(word) => match connective_word(word) {
                    Some(connective) => connective,
                    None => {
                        // `orW`: the space was forgotten.
                        let (connective, rest) = glued_connective(word)?;
                        let rest = Token::Word(rest.to_owned());
                        self.lexemes[self.at].token = rest;
                        return Some(connective);
                    }
                },
                _ => return found,
            };
            // A comma at the end, as in `(5,)`, separates nothing.
            if matches!(
                self.peek_at(1),
                None | Some(Token::Sign(')' | '⦄' | '}' | ']'))
            ) {
                return found;
            }
            self.at += 1;
            found = match found {
                None | Some(Connective::Comma) => Some(next),
                said => said,
            };
            if !self.at_separator() {
                return found;
            }
        }
    }

    /// Whether a word introduces a condition such as `k ∈ ℤ`: `where`, `for any`.
    fn condition_word(&self, text: &str) -> bool {
        let word = text.trim_matches([',', ' ']);
        matches!(
            word,
            "where"
                | "for"
                | "with"
                | "for all"
                | "for any"
                | "for every"
                | "for each"
                | "for some"
                | "for integer"
                | "当"
        ) && matches!(self.peek_at(1), Some(Token::Word(_) | Token::Command(_)))
            && self.peek_at(2) == Some(&Token::Sign('∈'))
    }

    fn at_separator(&self) -> bool {
        match self.peek() {
            Some(Token::Sign(',' | ';' | '∧' | '∨') | Token::Break) => true,
            Some(Token::Text(text)) => {
                connective_word(text.trim_matches([',', ' '])).is_some()
                    || self.condition_word(text)
            }
            Some(Token::Word(word)) => connective_word(word).is_some(),
            _ => false,
        }
    }

    fn relation(&mut self) -> Parsed {
        self.deeper(|parser| {
            // `= 5`, as a line of a calculation begins.
            if matches!(parser.peek_sign(), Some('=' | '≈')) {
                parser.at += 1;
            }
            let first = parser.ratio()?;
            let mut rest = Vec::new();
            while let Some(kind) = parser.peek_sign().and_then(relation_kind) {
                parser.at += 1;
                // `x = ± 3`, `x > = 3`
                let kind = match (kind, parser.peek_sign()) {
                    (RelationKind::Less, Some('=')) => {
                        parser.at += 1;
                        RelationKind::LessEqual
                    }
                    (RelationKind::Greater, Some('=')) => {
                        parser.at += 1;
                        RelationKind::GreaterEqual
                    }
                    (kind, _) => kind,
                };
                let side = parser.ratio()?;
                rest.push((
                    kind,
                    match (kind, side) {
                        // `x ≡ 3 mod 5` speaks of a residue class.
                        (
                            RelationKind::Other("≡"),
                            Expression::Call(super::expression::Function::Mod, parts),
                        ) => Expression::Call(super::expression::Function::Residue, parts),
                        (_, side) => side,
                    },
                ));
            }
            Ok(if rest.is_empty() {
                first
            } else {
                Expression::Relation(Box::new(first), rest)
            })
        })
    }

    fn ratio(&mut self) -> Parsed {
        let start = self.at;
        let first = self.sets()?;
        if self.peek_sign() != Some(':') || self.bar_stops {
            return Ok(match self.half() {
                Some(half) => self.clock(start, Some(half)).unwrap_or(first),
                None => first,
            });
        }
        let mut parts = vec![first];
        while self.accept(':') {
            parts.push(self.sets()?);
        }
        if let Some(half) = self.half() {
            return self
                .clock(start, Some(half))
                .ok_or_else(|| self.unexpected());
        }
        if self.is_clock(start) {
            return self.clock(start, None).ok_or_else(|| self.unexpected());
        }
        Ok(Expression::Ratio(parts))
    }

    /// Whether what was read from `start` on can only be a time: a part is written with a leading zero, as in `6:00`.
    fn is_clock(&self, start: usize) -> bool {
        let lexemes = &self.lexemes[start..self.at];
        let digits = |lexeme: &Lexeme| match &lexeme.token {
            Token::Number {
                digits: Some(digits),
                ..
            } => Some(digits.clone()),
            _ => None,
        };
        let parts: Vec<String> = lexemes.iter().step_by(2).filter_map(digits).collect();
        let whole = lexemes.len() % 2 == 1 && parts.len() == lexemes.len().div_ceil(2);
        let two = parts.iter().skip(1).all(|part| part.len() == 2);
        let padded = parts.iter().any(|part| part.starts_with('0'));
        whole
            && two
            && padded
            && (2..=3).contains(&parts.len())
            && self.clock(start, None).is_some()
    }

    /// Reads `am` or `p.m.`.
    fn half(&mut self) -> Option<Half> {
        let (half, length) = self.half_ahead()?;
        self.at += length;
        Some(half)
    }

    /// `am` or `p.m.` after a number, and how many tokens it takes.
    fn half_ahead(&self) -> Option<(Half, usize)> {
        let (word, next) = match self.peek()? {
            Token::Word(word) | Token::Text(word) => (word.to_ascii_lowercase(), self.peek_at(1)),
            _ => return None,
        };
        let after_number =
            self.at > 0 && matches!(self.lexemes[self.at - 1].token, Token::Number { .. });
        if !after_number {
            return None;
        }
        let dotted = next == Some(&Token::Sign('.'));
        let second =
            matches!(self.peek_at(2), Some(Token::Word(word)) if word.eq_ignore_ascii_case("m"));
        let (half, length) = match word.as_str() {
            "am" | "a.m." | "a.m" => (Half::Am, 1),
            "pm" | "p.m." | "p.m" => (Half::Pm, 1),
            "a" if dotted && second => (Half::Am, 3),
            "p" if dotted && second => (Half::Pm, 3),
            _ => return None,
        };
        let stop = self.peek_at(length) == Some(&Token::Sign('.'));
        Some((half, length + usize::from(stop)))
    }

    /// The time whose tokens begin at `start`: `4:30`, `4:30:15`, `4`.
    fn clock(&self, start: usize, half: Option<Half>) -> Option<Expression> {
        let mut parts = Vec::new();
        for lexeme in self.lexemes.get(start..)?.iter().take(5) {
            match &lexeme.token {
                Token::Number {
                    digits: Some(digits),
                    ..
                } if digits.len() <= 2 => parts.push(digits.parse::<u32>().ok()?),
                Token::Sign(':') => {}
                _ => break,
            }
        }
        let [hours, rest @ ..] = parts.as_slice() else {
            return None;
        };
        let minutes = rest.first().copied().unwrap_or(0);
        let seconds = rest.get(1).copied().unwrap_or(0);
        if *hours > 24 || minutes > 59 || seconds > 59 {
            return None;
        }
        Some(Expression::Clock {
            seconds: hours * 3600 + minutes * 60 + seconds,
            half,
        })
    }

    fn sets(&mut self) -> Parsed {
        let mut left = self.sum()?;
        loop {
            let operation = match self.peek() {
                Some(Token::Sign('∪')) => SetOperation::Union,
                Some(Token::Sign('∩')) => SetOperation::Intersection,
                Some(Token::Sign('∖')) => SetOperation::Difference,
                Some(Token::Word(word))
                    if is_set(&left) && matches!(word.as_str(), "U" | "u" | "union") =>
                {
                    SetOperation::Union
                }
                Some(Token::Sign('-')) if is_set(&left) => SetOperation::Difference,
                _ => return Ok(left),
            };
            self.chain()?;
            self.at += 1;
            // `{5}` reads as 5, and is a set here.
            let right = match self.sum()? {
                scalar if scalar.is_scalar() && !matches!(scalar, Expression::Symbol(_)) => {
                    Expression::Set(vec![scalar])
                }
                set => set,
            };
            left = Expression::SetOperation(operation, Box::new(left), Box::new(right));
        }
    }
}

/// Whether `∪` may follow without another thought.
pub(super) fn is_set(expression: &Expression) -> bool {
    matches!(
        expression,
        Expression::Tuple(_)
            | Expression::Set(_)
            | Expression::Interval { .. }
            | Expression::SetOperation(..)
            | Expression::NamedSet(_)
    )
}

fn connective_word(word: &str) -> Option<Connective> {
    match word.to_ascii_lowercase().as_str() {
        "and" | "und" | "&" | "et" | "和" | "且" => Some(Connective::And),
        "or" | "oder" | "ou" | "或" | "或者" => Some(Connective::Or),
        "," | ";" => Some(Connective::Comma),
        _ => None,
    }
}

fn glued_connective(word: &str) -> Option<(Connective, &str)> {
    if !word.is_ascii() {
        return glued_foreign(word);
    }
    let (connective, rest) = match word.strip_prefix("or") {
        Some(rest) => (Connective::Or, rest),
        None => (Connective::And, word.strip_prefix("and")?),
    };
    (rest.len() == 1).then_some((connective, rest))
}

/// `或x`: a connective without a space, and the letters after it.
fn glued_foreign(word: &str) -> Option<(Connective, &str)> {
    for (joint, connective) in [
        ("或者", Connective::Or),
        ("或", Connective::Or),
        ("和", Connective::And),
        ("且", Connective::And),
    ] {
        if let Some(rest) = word.strip_prefix(joint)
            && !rest.is_empty()
            && rest.is_ascii()
        {
            return Some((connective, rest));
        }
    }
    None
}

fn relation_kind(sign: char) -> Option<RelationKind> {
    Some(match sign {
        '=' => RelationKind::Equal,
        '≠' => RelationKind::NotEqual,
        '<' => RelationKind::Less,
        '≤' => RelationKind::LessEqual,
        '>' => RelationKind::Greater,
        '≥' => RelationKind::GreaterEqual,
        '≈' => RelationKind::Approximately,
        '∈' => RelationKind::In,
        '≡' => RelationKind::Other("≡"),
        '→' => RelationKind::Other("→"),
        '∼' => RelationKind::Other("∼"),
        '⊥' => RelationKind::Other("⊥"),
        '∥' => RelationKind::Other("∥"),
        '≅' => RelationKind::Other("≅"),
        '∝' => RelationKind::Other("∝"),
        '⊂' => RelationKind::Other("⊂"),
        '⊆' => RelationKind::Other("⊆"),
        '∉' => RelationKind::Other("∉"),
        _ => return None,
    })
}

fn describe(token: &Token) -> String {
    let text = match token {
        Token::Number {
            digits: Some(digits),
            ..
        } => digits.clone(),
        Token::Number { value, .. } => value.to_string(),
        Token::Word(word) => word.clone(),
        Token::Command(name) => format!("\\{name}"),
        Token::Text(text) => format!("\\text{{{text}}}"),
        Token::Currency(sign) => (*sign).to_owned(),
        Token::Sign(sign) => sign.to_string(),
        Token::Begin(name) => format!("\\begin{{{name}}}"),
        Token::End(name) => format!("\\end{{{name}}}"),
        Token::Break => "\\\\".to_owned(),
    };
    match text.char_indices().nth(40) {
        Some((cut, _)) => format!("{:?}", format!("{}…", &text[..cut])),
        None => format!("{text:?}"),
    }
}
