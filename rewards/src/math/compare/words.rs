//! Words that stand for sets, and answers that say more than one kind of thing.

use crate::math::expression::Expression;
use crate::math::text::plain_words;

/// The set that words name: `all real numbers`, `no solution`.
pub(in crate::math) fn set_in_words(text: &str) -> Option<Expression> {
    const LONGEST: usize = 64;
    let formula =
        |byte: u8| byte.is_ascii_digit() || matches!(byte, b'=' | b'^' | b'_' | b'(' | b'[');
    let letters = text
        .bytes()
        .filter(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80);
    if text.len() > LONGEST || text.bytes().any(formula) || letters.count() < 6 {
        return None;
    }
    let words = plain_words(text);
    let words = words.strip_prefix("set of ").unwrap_or(&words);
    let words = words.strip_prefix("there are ").unwrap_or(words);
    let words = words.strip_prefix("there is ").unwrap_or(words);
    Some(match words {
        "all real numbers" | "all reals" | "any real number" | "every real number"
        | "real numbers" | "all real values" | "all real x" | "all x" | "any real" | "全体实数"
        | "所有实数" | "任意实数" => Expression::NamedSet('R'),
        "all integers" | "any integer" | "every integer" | "integers" | "全体整数" | "所有整数" => {
            Expression::NamedSet('Z')
        }
        "all rational numbers" | "rational numbers" => Expression::NamedSet('Q'),
        "all complex numbers" | "complex numbers" => Expression::NamedSet('C'),
        "no solution" | "no solutions" | "no real solution" | "no real solutions" | "empty set"
        | "no such x" | "no real numbers" | "no values" | "无解" | "空集" => {
            Expression::Set(Vec::new())
        }
        _ => return None,
    })
}
