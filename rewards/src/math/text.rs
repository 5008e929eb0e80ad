//! Answers in words: names, yes and no, letters of a choice.

use std::borrow::Cow;

/// Words that are left out of a comparison at the beginning.
const ARTICLES: [&str; 3] = ["the ", "a ", "an "];

/// Words that mean the same as answers.
const SYNONYMS: &[(&str, &str)] = &[
    ("true", "yes"),
    ("false", "no"),
    ("correct", "yes"),
    ("incorrect", "no"),
];

/// The words of an answer, without what only concerns looks: commands, case, punctuation at the ends, articles.
pub(super) fn plain_words(text: &str) -> String {
    let mut words = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let length = character.len_utf8();
        if character == '\\' {
            let name = rest[1..]
                .bytes()
                .take_while(u8::is_ascii_alphabetic)
                .count();
            if name == 0 {
                // `\,` and its kin are spaces; `\%` is a sign.
                let next = rest[1..].chars().next();
                if matches!(next, Some(',' | ';' | ':' | ' ' | '!' | '\\')) {
                    words.push(' ');
                    rest = &rest[2..];
                } else {
                    rest = &rest[1..];
                }
                continue;
            }
            let command = &rest[1..1 + name];
            match command {
                "text" | "textbf" | "textit" | "textrm" | "mathrm" | "mathbf" | "mbox" | "hbox"
                | "boxed" | "fbox" | "left" | "right" | "operatorname" | "emph" => {}
                "quad" | "qquad" | "space" => words.push(' '),
                other => {
                    words.push('\\');
                    words.push_str(other);
                }
            }
            rest = &rest[1 + name..];
            continue;
        }
        match character {
            '$' | '{' | '}' | '*' | '`' | '"' | '“' | '”' => {}
            '_' | '~' => words.push(' '),
            c if c.is_whitespace() => words.push(' '),
            c => words.extend(c.to_lowercase()),
        }
        rest = &rest[length..];
    }
    let mut plain = words.split_whitespace().collect::<Vec<_>>().join(" ");
    loop {
        let trimmed = plain
            .trim_matches(|c: char| matches!(c, '.' | ',' | ';' | ':' | '!' | '?' | '\''))
            .trim();
        if trimmed.len() == plain.len() {
            break;
        }
        plain = trimmed.to_owned();
    }
    for article in ARTICLES {
        if let Some(rest) = plain.strip_prefix(article)
            && is_word(rest.split(' ').next().unwrap_or_default())
        {
            plain = rest.to_owned();
        }
    }
    plain
}

/// Whether this is a word of a language and no variable or function: `a sin x` has no article.
fn is_word(word: &str) -> bool {
    word.chars().filter(|c| c.is_alphabetic()).count() >= 3
        && super::vocabulary::function_named(word).is_none()
}

/// Letters of choices.
const CHOICES: std::ops::RangeInclusive<char> = 'a'..='j';

/// The letter of a multiple choice and whether it is marked as one: `C`, `(C)`, `C.`, `option C`, `(C) 12`.
fn choice(words: &str) -> Option<(char, bool)> {
    let stripped = ["option ", "choice ", "answer ", "letter "]
        .iter()
        .find_map(|prefix| words.strip_prefix(prefix));
    let named = stripped.is_some();
    let words = stripped.unwrap_or(words);
    let inner = words.strip_prefix(['(', '[']).unwrap_or(words);
    let bracketed = inner.len() < words.len();
    let letter = inner
        .chars()
        .next()
        .filter(|letter| letter.is_ascii_alphabetic())?;
    let after = &inner[1..];
    let rest = match after.chars().next() {
        None => return Some((letter, bracketed || named)),
        Some(')' | ']') => &after[1..],
        Some('.' | ':') if after[1..].is_empty() || after[1..].starts_with(' ') => &after[1..],
        _ => return None,
    };
    // `(B) or (C)` chooses nothing.
    let rest = rest.trim_start();
    let goes_on = ["or", "and", "oder", "ou", "o", "y", "und", "et", "或"]
        .iter()
        .any(|joint| {
            rest.strip_prefix(joint)
                .is_some_and(|rest| rest.starts_with([' ', '(']))
        });
    (!goes_on && !rest.starts_with(['/', ',', '(', '&'])).then_some((letter, true))
}

/// The letter of a choice and the value it stands for: `(C) 27`, `\textbf{(C)}\ 27`, `b. 4`.
pub(super) fn lettered(flat: &str) -> Option<(char, &str)> {
    let bracketed = flat.strip_prefix('(');
    let inner = bracketed.unwrap_or(flat);
    let letter = inner.chars().next()?;
    if !CHOICES.contains(&letter.to_ascii_lowercase()) {
        return None;
    }
    let after = &inner[1..];
    let value = match after.chars().next()? {
        ')' if bracketed.is_some() || letter.is_ascii_uppercase() => &after[1..],
        '.' | ':' if bracketed.is_none() && after[1..].starts_with(' ') => &after[1..],
        _ => return None,
    };
    let value = value.trim_start_matches([' ', ':', '$', '.']);
    let value = value.trim_end_matches(['$', ' ']);
    // `(a)(b+c)`, `(a) + 1` and `(B) or (C)` are something else.
    let operator = value.starts_with([
        '(', '[', '+', '-', '−', '*', '/', '=', '^', '<', '>', '!', ',', '_', '\'',
    ]) && !value.starts_with("-")
        || [
            "\\cdot", "\\times", "\\le", "\\ge", "\\in", "or ", "and ", "\\cup",
        ]
        .iter()
        .any(|sign| value.starts_with(sign));
    let minus = value.strip_prefix(['-', '−']);
    let difference = minus.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()));
    let spaced = after[1..].starts_with([' ', ':']);
    (!value.is_empty() && !operator && !difference && (spaced || minus.is_none()))
        .then_some((letter.to_ascii_lowercase(), value))
}

/// The letter of an answer that is a letter of a choice and nothing else: `C`, `(C)`, `C.`.
pub(super) fn single_letter(text: &str) -> Option<char> {
    let plain = plain_words(text);
    let inner = plain.trim_matches(['(', ')', '[', ']', '.', ':']);
    let letter = inner.chars().next()?;
    (inner.len() == 1 && CHOICES.contains(&letter)).then_some(letter)
}

/// Whether two answers in words are the same.
pub(super) fn same_text(gold: &str, pred: &str) -> bool {
    let (gold, pred) = (plain_words(gold), plain_words(pred));
    if gold == pred {
        return !gold.is_empty();
    }
    let meaning = |words: &str| -> String {
        let known = SYNONYMS.iter().find(|(word, _)| *word == words);
        known.map_or(words, |(_, same)| same).to_owned()
    };
    if meaning(&gold) == meaning(&pred) {
        return true;
    }
    if let (Some((left, _)), Some((right, marked))) = (choice(&gold), choice(&pred)) {
        // The gold answer is a letter and nothing else, and no formula follows the predicted one.
        let bare = gold.trim_matches(['(', ')', '.', ' ']).len() == 1 && CHOICES.contains(&left);
        let after = pred.trim_start_matches(|c: char| {
            c.is_ascii_alphabetic() || matches!(c, '(' | ')' | '.' | ':' | ' ')
        });
        let formula = after.starts_with([
            '+', '-', '−', '*', '/', '=', '^', '<', '>', '!', '\\', ',', '%', '±',
        ]);
        return bare && left == right && !formula && (marked || pred.len() <= 3);
    }
    same_but_for_spelling(&gold, &pred)
}

/// Whether words differ only in hyphens, spaces between words, and the `s` of a plural: `twenty-five`, `no solutions`.
fn same_but_for_spelling(gold: &str, pred: &str) -> bool {
    // A hyphen stands between two words; before one, or between letters, it is a minus.
    let words = |text: &str| -> Option<Vec<String>> {
        let parts: Vec<&str> = text.split([' ', '-', '‐', '–']).collect();
        let proper = parts.iter().all(|part| {
            let letters = part.chars().filter(|c| c.is_alphabetic()).count();
            letters >= 2 && !part.bytes().any(|byte| byte.is_ascii_digit())
        });
        let singular = |word: &&str| match word.strip_suffix('s') {
            Some(stem) if stem.len() >= 4 && !stem.ends_with('s') => stem.to_owned(),
            _ => (*word).to_owned(),
        };
        proper.then(|| parts.iter().map(singular).collect())
    };
    match (words(gold), words(pred)) {
        (Some(gold), Some(pred)) => gold == pred || gold.concat() == pred.concat(),
        _ => false,
    }
}

/// Whether an answer is words: letters and no sign of a formula.
pub(super) fn is_wordy(text: &str) -> bool {
    let words = plain_words(text);
    let letters = words.chars().filter(|c| c.is_alphabetic()).count();
    letters >= 2
        && words
            .chars()
            .all(|c| c.is_alphabetic() || matches!(c, ' ' | '-' | '\'' | ',' | '.' | '(' | ')'))
}

/// Whether a wordy answer is one run of letters that could be a product of variables.
pub(super) fn is_letters_only(text: &str) -> bool {
    let words = plain_words(text);
    (2..=3).contains(&words.len()) && words.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// Small numbers written as words.
pub(super) fn number_word(text: &str) -> Option<Cow<'static, str>> {
    #[rustfmt::skip]
    const ONES: [&str; 20] = [
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
        "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
    ];
    #[rustfmt::skip]
    const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    if text.len() > 24
        || !text
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b' ' | b'.'))
    {
        return None;
    }
    let words = plain_words(text);
    if let Some(value) = ONES.iter().position(|word| *word == words) {
        return Some(Cow::Owned(value.to_string()));
    }
    let (tens, ones) = words.split_once(['-', ' ']).unwrap_or((&words, ""));
    let tens = TENS.iter().position(|word| *word == tens)? * 10 + 20;
    let ones = match ones {
        "" => 0,
        ones => ONES[1..10].iter().position(|word| *word == ones)? + 1,
    };
    Some(Cow::Owned((tens + ones).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_compared_without_their_looks() {
        let same = [
            ("Evelyn", r"\text{Evelyn}"),
            (r"\text{(C)}", "C"),
            (r"\textbf{(C)}", "c"),
            ("C", "(C) 12 apples"),
            ("C", "C."),
            ("C", "C: a long story"),
            ("B", "Option B"),
            ("no solutions", "no solution"),
            ("yes", "Yes."),
            ("true", "Yes"),
            ("the red one", "Red one"),
            ("twenty-five", "twenty five"),
            ("even", "*even*"),
        ];
        for (gold, pred) in same {
            assert!(same_text(gold, pred), "{gold} {pred}");
        }
        let different = [
            ("C", "B"),
            ("C", "cat"),
            ("C", "A or C"),
            ("B", "(B) or (C)"),
            ("i", "-i"),
            ("x", "-x"),
            ("a sin x", "sin x"),
            ("x y z", "x-y-z"),
            ("gas", "ga"),
            ("yes", "no"),
            ("Evelyn", "Evelina"),
            ("", ""),
            ("even", "odd"),
            ("(C) 12", "(C) 13"),
        ];
        for (gold, pred) in different {
            assert!(!same_text(gold, pred), "{gold} {pred}");
        }
    }

    #[test]
    fn small_numbers_may_be_words() {
        assert_eq!(number_word("Twelve").as_deref(), Some("12"));
        assert_eq!(number_word("ninety-nine").as_deref(), Some("99"));
        assert_eq!(number_word("twenty").as_deref(), Some("20"));
        assert_eq!(number_word("often"), None);
        assert_eq!(number_word("ten apples"), None);
    }
}
