//! Plain numbers, without building a tree.

use std::cmp::Ordering;

/// A decimal number as its digits, borrowed from the text.
#[derive(Clone, Copy, Debug)]
struct Decimal<'a> {
    negative: bool,
    /// Digits and well placed commas before the point.
    whole: &'a [u8],
    /// Digits after the point, without trailing zeros.
    fraction: &'a [u8],
}

impl<'a> Decimal<'a> {
    /// Reads `-1,234.50`, also with a currency sign in front and a full stop at the end; nothing else.
    fn read(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        let (mut start, mut end) = (0, bytes.len());
        let mut negative = false;
        if end > 0 && bytes[end - 1] == b'.' {
            end -= 1;
        }
        if start < end && bytes[start] == b'$' {
            start += 1;
        }
        if start < end && matches!(bytes[start], b'-' | b'+') {
            negative = bytes[start] == b'-';
            start += 1;
        }
        if start < end && bytes[start] == b'$' {
            start += 1;
        }
        if start + 1 < end && bytes[end - 1] == b'$' {
            end -= 1;
        }
        let number = &bytes[start..end];
        let point = number
            .iter()
            .position(|byte| *byte == b'.')
            .unwrap_or(number.len());
        let (whole, fraction) = (
            &number[..point],
            number.get(point + 1..).unwrap_or_default(),
        );
        if (point < number.len() && fraction.is_empty())
            || (whole.is_empty() && fraction.is_empty())
        {
            return None;
        }
        if !fraction.iter().all(u8::is_ascii_digit) || !well_grouped(whole) {
            return None;
        }
        let kept = fraction
            .iter()
            .rposition(|digit| *digit != b'0')
            .map_or(0, |last| last + 1);
        Some(Self {
            negative,
            whole,
            fraction: &fraction[..kept],
        })
    }

    /// The digits before the point, without commas and leading zeros.
    fn digits(&self) -> impl Iterator<Item = u8> + 'a {
        let digits = self.whole.iter().copied().filter(|byte| *byte != b',');
        digits.skip_while(|digit| *digit == b'0')
    }

    fn is_zero(&self) -> bool {
        self.fraction.is_empty() && self.digits().next().is_none()
    }
}

/// Whether these are digits, with commas only between groups of three. `0,123` is something else.
fn well_grouped(whole: &[u8]) -> bool {
    let mut run = 0;
    let mut commas = false;
    for byte in whole {
        match byte {
            b'0'..=b'9' => run += 1,
            b',' if run > 0 && run <= 3 && (!commas || run == 3) => {
                commas = true;
                run = 0;
            }
            _ => return false,
        }
    }
    !commas || (run == 3 && whole.first() != Some(&b'0'))
}

/// Whether two texts are the same plain number; `None` if one of them is not a plain number.
pub(super) fn same_number(gold: &str, pred: &str) -> Option<bool> {
    let (left, right) = (Decimal::read(gold)?, Decimal::read(pred)?);
    let same = left.fraction == right.fraction
        && left.digits().cmp(right.digits()) == Ordering::Equal
        && (left.negative == right.negative || left.is_zero());
    Some(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_numbers_are_compared_by_value() {
        let cases = [
            ("12", "12", Some(true)),
            ("12", "12.0", Some(true)),
            ("-0", "0.00", Some(true)),
            (".5", "0.50", Some(true)),
            ("$1,234.5", "1234.5", Some(true)),
            ("-$5", "$-5", Some(true)),
            ("007", "7", Some(true)),
            ("12", "13", Some(false)),
            ("12", "-12", Some(false)),
            ("1.25", "12.5", Some(false)),
            ("1,23", "123", None),
            ("0,111", "0.111", None),
            ("12,3456", "123456", None),
            ("1e3", "1000", None),
            ("", "", None),
            ("-", "0", None),
            ("1.2.3", "1.2", None),
            ("5.", "5", Some(true)),
            ("$9$", "9", Some(true)),
        ];
        for (gold, pred, expected) in cases {
            assert_eq!(same_number(gold, pred), expected, "{gold} {pred}");
            assert_eq!(same_number(pred, gold), expected, "{pred} {gold}");
        }
    }
}
