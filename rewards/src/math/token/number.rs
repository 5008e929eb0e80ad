//! Numbers as they are written, with separators, decimals, periods and exponents.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Zero};

use super::{Commas, Lexer, Token};
use crate::math::budget::{Budget, Doubt, MAX_BITS};

impl Lexer<'_> {
    pub(super) fn number(&mut self) -> Result<(), Doubt> {
        let mut digits = self.digits();
        let whole = digits.len();
        let mut plain = true;
        // `0,111` has a decimal comma; `-1,0,1` is a list.
        let decimal_comma = digits == "0"
            && self.commas == Commas::Thousands
            && self.depth == 0
            && self.peek(0) == Some(b',')
            && self.peek(1).is_some_and(|next| next.is_ascii_digit())
            && self.bytes.iter().filter(|byte| **byte == b',').count() == 1;
        if !decimal_comma && (1..=3).contains(&whole) && !digits.starts_with('0') {
            while let Some(length) = self.separator() {
                self.at += length;
                digits.push_str(&self.digits());
                plain = false;
            }
        }
        let mut decimals = 0;
        if decimal_comma
            || (self.peek(0) == Some(b'.')
                && self.peek(1).is_some_and(|next| next.is_ascii_digit()))
        {
            self.at += 1;
            let fraction = self.digits();
            decimals = fraction.len();
            digits.push_str(&fraction);
            plain = false;
        }
        let repeating = match self.repeating(decimals > 0) {
            Some(period) => Some(period),
            None => self.trailing_period(&mut digits, &mut decimals),
        };
        // Reducing takes as many passes over the digits as there are bits.
        let longest = 4 * digits.len() as u64;
        if decimals > 0 {
            self.budget.spend(longest * longest / 400)?;
        }
        let mut value = BigRational::new(
            parse_digits(&digits, self.budget)?,
            power_of_ten(decimals as u64, self.budget)?,
        );
        if let Some(period) = &repeating {
            // The period p of length n after d decimals adds p / ((10^n − 1)·10^d).
            let nines = power_of_ten(period.len() as u64, self.budget)? - BigInt::one();
            let scale = power_of_ten(decimals as u64, self.budget)?;
            value += BigRational::new(parse_digits(period, self.budget)?, nines * scale);
            plain = false;
        }
        if let Some(exponent) = self.exponent() {
            let limit = MAX_BITS / 4;
            if exponent.unsigned_abs() > limit {
                return Err(Doubt::TooLarge {
                    log2_bits: 64 - exponent.unsigned_abs().leading_zeros() as u64,
                    limit: MAX_BITS,
                });
            }
            let scale =
                BigRational::from_integer(power_of_ten(exponent.unsigned_abs(), self.budget)?);
            value = if exponent < 0 {
                value / scale
            } else {
                value * scale
            };
            plain = false;
        }
        let digits = plain.then_some(digits);
        self.push(Token::Number { value, digits });
        Ok(())
    }

    fn digits(&mut self) -> String {
        let length = self.bytes[self.at..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let digits = self.text[self.at..self.at + length].to_owned();
        self.at += length;
        digits
    }

    /// The length of a thousands separator here, if exactly three digits follow it.
    fn separator(&self) -> Option<usize> {
        let rest = &self.text[self.at..];
        let open = self.commas == Commas::Thousands && self.depth == 0;
        let mut length = if ["{,}", ",\\!", ",\\,"]
            .iter()
            .any(|separator| rest.starts_with(separator))
        {
            3
        } else if rest.starts_with("{,\\!}") || rest.starts_with("{\\,}") {
            rest.find('}')? + 1
        } else if rest.starts_with("\\,") || (rest.starts_with("\\ ") && open) {
            2
        } else if open && rest.starts_with([',', ' ']) {
            1
        } else if open && rest.starts_with(['\u{a0}', '\u{202f}', '\u{2009}']) {
            rest.chars().next()?.len_utf8()
        } else {
            return None;
        };
        if rest.as_bytes().get(length) == Some(&b' ') && length > 2 {
            length += 1;
        }
        let after = &rest.as_bytes()[length..];
        let three = after.len() >= 3 && after[..3].iter().all(u8::is_ascii_digit);
        let fourth = after.get(3).is_some_and(u8::is_ascii_digit);
        (three && !fourth).then_some(length)
    }

    /// The period of decimals that go on: `0.3636\ldots`. The digits lose the repetitions; there must be three digits of them.
    fn trailing_period(&mut self, digits: &mut String, decimals: &mut usize) -> Option<String> {
        let rest = &self.text[self.at..];
        let dots = ["\\ldots", "\\dots", "\\cdots", "...", "…"]
            .iter()
            .find(|dots| rest.starts_with(**dots))?;
        let fraction = &digits.as_bytes()[digits.len() - *decimals..];
        for length in 1..=(fraction.len() / 2).min(24) {
            let period = &fraction[fraction.len() - length..];
            let times = fraction
                .rchunks_exact(length)
                .take_while(|chunk| *chunk == period)
                .count();
            let repeated = times * length;
            if times >= 2 && repeated >= 3 {
                let period = String::from_utf8_lossy(period).into_owned();
                digits.truncate(digits.len() - repeated);
                *decimals -= repeated;
                self.at += dots.len();
                return Some(period);
            }
        }
        None
    }

    /// The period of a repeating decimal here: `\overline{3}`, `\bar{3}`, `\dot{3}`, or `(3)` after decimals.
    fn repeating(&mut self, after_decimals: bool) -> Option<String> {
        let rest = &self.text[self.at..];
        let (dot, rest) = match rest.strip_prefix('.') {
            Some(rest) if !after_decimals => (1, rest),
            _ if after_decimals => (0, rest),
            _ => return None,
        };
        // `0.\dot{1}4\dot{2}`: the dots stand over the ends of the period.
        if let Some(after) = rest.strip_prefix("\\dot{")
            && let Some((first, after)) = after.split_once('}')
            && let Some((middle, last)) = after.split_once("\\dot{")
            && let Some((last, tail)) = last.split_once('}')
            && [first, middle, last]
                .iter()
                .all(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
            && first.len() == 1
            && last.len() == 1
            && middle.len() <= 200
        {
            let period = format!("{first}{middle}{last}");
            self.at += dot + rest.len() - tail.len();
            return Some(period);
        }
        let (open, close) = ["\\overline{", "\\bar{", "\\dot{"]
            .iter()
            .find(|open| rest.starts_with(**open))
            .map(|open| (open.len(), '}'))
            .or_else(|| rest.starts_with('(').then_some((1, ')')))?;
        let end = rest[open..].find(close)?;
        let period = &rest[open..open + end];
        if period.is_empty()
            || period.len() > 200
            || !period.bytes().all(|byte| byte.is_ascii_digit())
        {
            return None;
        }
        let period = period.to_owned();
        self.at += dot + open + end + 1;
        Some(period)
    }

    /// The exponent of `1.5e-3`.
    fn exponent(&mut self) -> Option<i64> {
        if !matches!(self.peek(0), Some(b'e' | b'E')) {
            return None;
        }
        let sign = usize::from(matches!(self.peek(1), Some(b'+' | b'-')));
        let rest = &self.bytes[self.at + 1 + sign..];
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let next = rest.get(length);
        if length == 0 || next.is_some_and(|byte| byte.is_ascii_alphabetic()) {
            return None;
        }
        let text = &self.text[self.at + 1..self.at + 1 + sign + length];
        self.at += 1 + sign + length;
        Some(text.parse().unwrap_or(i64::MAX))
    }
}

/// The integer that decimal digits write.
fn parse_digits(digits: &str, budget: &Budget) -> Result<BigInt, Doubt> {
    budget.spend_bits(digits.len() as u64 * 4, digits.len() as u64 * 4)?;
    if digits.len() <= 18 {
        return Ok(BigInt::from(digits.parse::<i64>().unwrap_or(0)));
    }
    Ok(digits.parse().unwrap_or_else(|_| BigInt::zero()))
}

fn power_of_ten(exponent: u64, budget: &Budget) -> Result<BigInt, Doubt> {
    budget.spend_bits(exponent * 4, exponent * 4)?;
    if exponent <= 18 {
        return Ok(BigInt::from(10i64.pow(exponent as u32)));
    }
    Ok(num_traits::Pow::pow(BigInt::from(10), exponent))
}
