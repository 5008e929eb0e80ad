//! Units and other words after a number.

use num_bigint::BigInt;
use num_rational::BigRational;

use super::super::expression::Expression;
use super::super::token::Token;
use super::super::units::Unit;
use super::super::vocabulary::{constant_named, function_named, is_letter_name};
use super::{ParseError, Parser, connective_word, glued_connective};

/// Most words of one unit or label.
const MAX_WORDS: usize = 8;

impl Parser<'_> {
    /// Reads a unit or a label, and puts it on the product so far. `false` if there is none here.
    pub(super) fn label(&mut self, factors: &mut Vec<Expression>) -> Result<bool, ParseError> {
        let (mut words, mut length) = match self.label_words(factors.last()) {
            Some(found) => found,
            None => return Ok(false),
        };
        self.budget.spend(40 + words.len() as u64)?;
        let lower = words.to_ascii_lowercase();
        if changes_meaning(&lower) {
            return Err(self.unexpected());
        }
        while let Some((more, tokens)) = self.further_unit(length) {
            words.push_str(&more);
            length += tokens;
            self.budget.spend(20)?;
        }
        let lower = words.to_ascii_lowercase();
        let (first, rest) = lower.split_once(' ').unwrap_or((lower.as_str(), ""));
        if matches!(first, "dozen" | "dozens") {
            factors.push(Expression::integer(12));
            self.at += 1;
            return Ok(true);
        }
        if let Some(digits) = power_of_ten(first) {
            // Only this word is used up; a unit may follow.
            factors.push(Expression::Number(BigRational::from_integer(
                BigInt::from(10).pow(digits),
            )));
            self.at += 1;
            if let (Some(Token::Text(_)), false) = (
                self.lexemes.get(self.at - 1).map(|l| &l.token),
                rest.is_empty(),
            ) {
                self.lexemes[self.at - 1].token = Token::Text(rest.to_owned());
                self.at -= 1;
            }
            return Ok(true);
        }
        self.chain()?;
        self.at += length;
        let value = Expression::product(std::mem::take(factors));
        let value = match value {
            // `\$5 dollars` has its unit already.
            Expression::Quantity(inner, unit) if unit.is_known() => {
                factors.push(Expression::Quantity(inner, unit));
                return Ok(true);
            }
            Expression::Quantity(inner, _) => *inner,
            other => other,
        };
        let words = match lower.as_str() {
            "degrees celsius" | "degree celsius" | "degrees centigrade" => "°C".to_owned(),
            "degrees fahrenheit" | "degree fahrenheit" => "°F".to_owned(),
            _ => words,
        };
        factors.push(match lower.as_str() {
            "percent" | "pct" | "per cent" | "percents" | "percentage" => {
                Expression::Percent(Box::new(value))
            }
            "degrees" | "degree" | "deg" => Expression::Degrees(Box::new(value)),
            _ => match based(&lower, &value) {
                Some(based) => based,
                None => {
                    let unit = Unit::parse(&words).unwrap_or_else(|| Unit::label(&words));
                    if !unit.is_known() && self.multiplies() {
                        // `5 to 9`, `2 boys 3 girls`: words between two values are no product.
                        return Err(self.unexpected());
                    }
                    Expression::Quantity(Box::new(value), unit)
                }
            },
        });
        Ok(true)
    }

    /// `/h` or `\cdot m` after a unit, and how many tokens it takes.
    fn further_unit(&self, ahead: usize) -> Option<(String, usize)> {
        let sign = match self.peek_at(ahead)? {
            Token::Sign('/') => " / ",
            Token::Sign('*') => " ",
            _ => return None,
        };
        let (Token::Text(word) | Token::Word(word)) = self.peek_at(ahead + 1)? else {
            return None;
        };
        Unit::parse(word)?;
        let mut more = format!("{sign}{word}");
        let exponent = self.unit_exponent(ahead + 2, &mut more);
        Some((more, 2 + exponent))
    }

    /// The words of a unit or label here, and how many tokens they take.
    fn label_words(&self, operand: Option<&Expression>) -> Option<(String, usize)> {
        let numeric = operand.is_some_and(is_numeric);
        match self.peek()? {
            Token::Currency(sign) => Some(((*sign).to_owned(), 1)),
            Token::Text(text) => {
                let trimmed = text.trim_matches([',', '.', ' ']);
                if connective_word(trimmed).is_some() || trimmed.is_empty() {
                    return None;
                }
                let mut words = text.trim_matches([',', ' ']).to_owned();
                let mut length = 1 + self.unit_exponent(1, &mut words);
                // `\text{kg} \text{ m}`
                while let Some(Token::Text(next)) = self.peek_at(length)
                    && connective_word(next.trim_matches([',', ' '])).is_none()
                    && length < MAX_WORDS
                {
                    words.push(' ');
                    words.push_str(next.trim());
                    length += 1;
                    length += self.unit_exponent(length, &mut words);
                }
                Some((words, length))
            }
            Token::Word(word) if matches!(word.as_str(), "base" | "in") => {
                let skipped = usize::from(word == "in");
                let base =
                    matches!(self.peek_at(skipped), Some(Token::Word(word)) if word == "base");
                let name = match self.peek_at(skipped + 1) {
                    Some(Token::Word(name)) => name.clone(),
                    Some(Token::Number {
                        digits: Some(digits),
                        ..
                    }) => digits.clone(),
                    _ => return None,
                };
                base.then(|| (format!("base {name}"), skipped + 2))
            }
            // `1 h 15 min`: a letter between two numbers, the second of which has a unit of the same kind.
            Token::Word(word) if numeric && self.begins_compound(word) => Some((word.clone(), 1)),
            Token::Word(word) if self.is_label_word(word, numeric) => {
                let (mut words, mut length) = (word.clone(), 1);
                length += self.unit_exponent(length, &mut words);
                while length < MAX_WORDS * 2 {
                    match self.peek_at(length) {
                        Some(Token::Word(next))
                            if connective_word(next).is_none()
                                && (next.len() > 1 || words.ends_with(['/', ' '])) =>
                        {
                            if !words.ends_with('/') {
                                words.push(' ');
                            }
                            words.push_str(next);
                            length += 1;
                        }
                        Some(Token::Sign('/'))
                            if matches!(self.peek_at(length + 1), Some(Token::Word(_))) =>
                        {
                            words.push('/');
                            length += 1;
                        }
                        _ => break,
                    }
                    length += self.unit_exponent(length, &mut words);
                }
                Some((words, length))
            }
            _ => None,
        }
    }

    /// Whether `word` is the letter of a unit after which a number with a smaller unit of the same kind follows.
    fn begins_compound(&self, word: &str) -> bool {
        let (Some(Token::Number { .. }), Some(Token::Word(next) | Token::Text(next))) =
            (self.peek_at(1), self.peek_at(2))
        else {
            return false;
        };
        let next = if word == "h" && next == "m" {
            "min"
        } else {
            next.as_str()
        };
        match (Unit::word(word), Unit::word(next)) {
            (Some(larger), Some(smaller)) if word.chars().count() == 1 => smaller
                .to(&larger)
                .is_some_and(|factor| factor < BigRational::from_integer(1.into())),
            _ => false,
        }
    }

    /// Reads `^2` or `^{2}` of a unit; the number of tokens.
    fn unit_exponent(&self, ahead: usize, words: &mut String) -> usize {
        if self.peek_at(ahead) != Some(&Token::Sign('^')) {
            return 0;
        }
        let braced = self.peek_at(ahead + 1) == Some(&Token::Sign('{'));
        match self.peek_at(ahead + 1 + usize::from(braced)) {
            Some(Token::Number {
                digits: Some(digits),
                ..
            }) if digits.len() == 1 => {
                words.push('^');
                words.push_str(digits);
                if braced { 4 } else { 2 }
            }
            _ => 0,
        }
    }

    /// Whether a word after an operand is a label and not a product of letters.
    fn is_label_word(&self, word: &str, numeric: bool) -> bool {
        if connective_word(word).is_some() || glued_connective(word).is_some() {
            return false;
        }
        // `75 min` measures something, `min(2, 3)` is a function.
        let minutes = word == "min"
            && numeric
            && !matches!(
                self.peek_at(1),
                Some(Token::Sign('(' | '{' | '⦃' | '[' | '_'))
            );
        if minutes {
            return true;
        }
        if function_named(word).is_some() || constant_named(word).is_some() || is_letter_name(word)
        {
            return false;
        }
        let long = word.chars().count();
        if numeric && !word.is_ascii() && word.chars().all(|c| c.is_alphabetic()) {
            // 12个, 12元
            return true;
        }
        if long <= 1 {
            // `1,000.99m²`: a letter glued to a number with decimals could be a variable; it stays one.
            return false;
        }
        if function_prefix(word) {
            return false;
        }
        let known = Unit::word(word).is_some()
            || matches!(word, "pct" | "percent" | "per" | "degrees" | "base");
        if !numeric {
            return long >= 4 && self.spaced();
        }
        known
            || long >= 4
            || (long == 3 && self.spaced())
            || power_of_ten(&word.to_ascii_lowercase()).is_some()
    }
}

/// Whether words after a value make it another value, or begin a condition: `5 squared`, `1 over 2`, `cx for any c`.
fn changes_meaning(words: &str) -> bool {
    #[rustfmt::skip]
    const CHANGING: &[&str] = &[
        "to", "over", "squared", "cubed", "times", "plus", "minus", "divided", "choose", "factorial", "mod", "modulo", "through", "for",
        "where", "with", "when", "if", "whenever", "provided", "because", "since", "until", "not", "is", "or", "and", "maybe", "less", "more",
        "raised", "then", "but", "otherwise", "unless", "at", "到", "至", "或", "且", "和", "however", "so", "which", "as", "half", "hence",
    ];
    let first = words.split([' ', ',', '~']).next().unwrap_or_default();
    CHANGING.contains(&first)
        || [
            " and", " or", " to", " plus", " minus", " times", " over", " squared",
        ]
        .iter()
        .any(|end| words.ends_with(end) && Unit::parse(words).is_none())
}

/// `sinx`: a function and its argument without a space.
pub(super) fn function_prefix(word: &str) -> bool {
    [
        "sin", "cos", "tan", "cot", "sec", "csc", "ln", "log", "sqrt",
    ]
    .iter()
    .any(|name| word.strip_prefix(name).is_some_and(|rest| rest.len() == 1))
}

/// Whether an operand is made of numbers, so that a word after it measures something.
pub(super) fn is_numeric(operand: &Expression) -> bool {
    match operand {
        Expression::Number(_)
        | Expression::Constant(_)
        | Expression::Quantity(..)
        | Expression::Percent(_) => true,
        Expression::Negate(inner) => is_numeric(inner),
        Expression::Quotient(left, right) | Expression::Power(left, right) => {
            is_numeric(left) && is_numeric(right)
        }
        Expression::Product(parts) | Expression::Sum(parts) => parts.iter().all(is_numeric),
        Expression::Call(_, parts) => parts.iter().all(is_numeric),
        _ => false,
    }
}

/// How many zeros a word such as `million` stands for.
fn power_of_ten(word: &str) -> Option<u32> {
    Some(match word {
        "hundred" => 2,
        "thousand" => 3,
        "million" => 6,
        "billion" => 9,
        "trillion" => 12,
        _ => return None,
    })
}

/// `1011 base 2`, `52 in base eight`.
fn based(words: &str, value: &Expression) -> Option<Expression> {
    let name = words
        .strip_prefix("in ")
        .unwrap_or(words)
        .strip_prefix("base ")?;
    let base = match name.trim() {
        "two" => 2,
        "three" => 3,
        "four" => 4,
        "five" => 5,
        "six" => 6,
        "seven" => 7,
        "eight" => 8,
        "nine" => 9,
        "ten" => 10,
        "sixteen" => 16,
        other => other.parse().ok()?,
    };
    let Expression::Number(number) = value else {
        return None;
    };
    based_number(&number.to_string(), base)
}

/// Digits in a base, if they are digits of that base.
pub(super) fn based_number(digits: &str, base: u32) -> Option<Expression> {
    let valid = (2..=36).contains(&base)
        && !digits.is_empty()
        && digits.chars().all(|digit| digit.is_digit(base));
    valid.then(|| Expression::Based {
        digits: digits.to_ascii_uppercase(),
        base,
    })
}
