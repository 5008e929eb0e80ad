//! Words that make a value no answer: before it, and after it.

use super::value::value_follows;

/// Why a sentence claims no single answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::math) enum Hedge {
    /// It denies one: `not 8`.
    Denied,
    /// It names several, or calls one a guess: `7 or maybe 8`.
    Several,
    /// It only bounds one: `less than 8`, `at least 8`.
    Bounded,
    /// It says one roughly: `about 8`.
    Rough,
}

impl Hedge {
    /// For messages.
    pub(in crate::math) fn why(self) -> &'static str {
        match self {
            Self::Denied => "the answer is denied",
            Self::Several => "several answers, or a guess",
            Self::Bounded => "a bound and no answer",
            Self::Rough => "a rough answer",
        }
    }
}

/// Words before a value that make it no answer.
#[rustfmt::skip]
const HEDGES: &[(&str, Hedge)] = &[
    ("not", Hedge::Denied), ("isn't", Hedge::Denied), ("isn’t", Hedge::Denied), ("aren't", Hedge::Denied), ("cannot be", Hedge::Denied),
    ("can't be", Hedge::Denied), ("never", Hedge::Denied), ("neither", Hedge::Denied), ("不是", Hedge::Denied), ("并非", Hedge::Denied),
    ("no es", Hedge::Denied), ("nicht", Hedge::Denied), ("n'est pas", Hedge::Denied), ("anything but", Hedge::Denied),
    ("rules out", Hedge::Denied), ("rule out", Hedge::Denied), ("excludes", Hedge::Denied), ("unlikely", Hedge::Denied),
    ("maybe", Hedge::Several), ("perhaps", Hedge::Several), ("possibly", Hedge::Several), ("probably", Hedge::Several),
    ("could be", Hedge::Several), ("might be", Hedge::Several), ("may be", Hedge::Several), ("can be", Hedge::Several),
    ("either", Hedge::Several), ("可能", Hedge::Several), ("也许", Hedge::Several), ("或许", Hedge::Several), ("vielleicht", Hedge::Several),
    ("peut-être", Hedge::Several), ("quizás", Hedge::Several), ("tal vez", Hedge::Several), ("unsure", Hedge::Several),
    ("less than", Hedge::Bounded), ("more than", Hedge::Bounded), ("greater than", Hedge::Bounded), ("fewer than", Hedge::Bounded),
    ("larger than", Hedge::Bounded), ("smaller than", Hedge::Bounded), ("bigger than", Hedge::Bounded), ("higher than", Hedge::Bounded),
    ("lower than", Hedge::Bounded), ("at least", Hedge::Bounded), ("at most", Hedge::Bounded), ("up to", Hedge::Bounded),
    ("between", Hedge::Bounded), ("below", Hedge::Bounded), ("above", Hedge::Bounded), ("under", Hedge::Bounded),
    ("exceeds", Hedge::Bounded), ("close to", Hedge::Rough), ("小于", Hedge::Bounded), ("大于", Hedge::Bounded), ("至少", Hedge::Bounded),
    ("至多", Hedge::Bounded), ("不超过", Hedge::Bounded), ("不少于", Hedge::Bounded), ("mindestens", Hedge::Bounded),
    ("höchstens", Hedge::Bounded), ("al menos", Hedge::Bounded), ("au moins", Hedge::Bounded),
    ("about", Hedge::Rough), ("approximately", Hedge::Rough), ("around", Hedge::Rough), ("roughly", Hedge::Rough),
    ("different from", Hedge::Denied), ("differs from", Hedge::Denied), ("except", Hedge::Denied), ("everything but", Hedge::Denied),
    ("all but", Hedge::Denied), ("other than", Hedge::Denied), ("far from", Hedge::Denied), ("excluding", Hedge::Denied), ("no longer", Hedge::Denied),
    ("不等于", Hedge::Denied), ("不为", Hedge::Denied), ("não é", Hedge::Denied), ("non è", Hedge::Denied), ("не", Hedge::Denied),
    ("weniger als", Hedge::Bounded), ("mehr als", Hedge::Bounded), ("größer als", Hedge::Bounded), ("kleiner als", Hedge::Bounded),
    ("menor que", Hedge::Bounded), ("mayor que", Hedge::Bounded), ("maior que", Hedge::Bounded), ("menos de", Hedge::Bounded),
    ("más de", Hedge::Bounded), ("mais de", Hedge::Bounded), ("como máximo", Hedge::Bounded), ("no máximo", Hedge::Bounded),
    ("pelo menos", Hedge::Bounded), ("inférieur à", Hedge::Bounded), ("inférieure à", Hedge::Bounded), ("supérieur à", Hedge::Bounded),
    ("supérieure à", Hedge::Bounded), ("moins de", Hedge::Bounded), ("plus de", Hedge::Bounded), ("au plus", Hedge::Bounded),
    ("minore di", Hedge::Bounded), ("maggiore di", Hedge::Bounded), ("meno di", Hedge::Bounded), ("più di", Hedge::Bounded),
    ("almeno", Hedge::Bounded), ("al massimo", Hedge::Bounded), ("меньше", Hedge::Bounded), ("больше", Hedge::Bounded), ("介于", Hedge::Bounded),
    ("不到", Hedge::Bounded), ("超过", Hedge::Bounded), ("少于", Hedge::Bounded), ("多于", Hedge::Bounded),
    ("potrebbe essere", Hedge::Several), ("forse", Hedge::Several), ("talvez", Hedge::Several), ("возможно", Hedge::Several),
    ("approximativement", Hedge::Rough), ("environ", Hedge::Rough), ("ungefähr", Hedge::Rough), ("etwa", Hedge::Rough),
    ("aproximadamente", Hedge::Rough), ("circa", Hedge::Rough), ("примерно", Hedge::Rough),
    ("nearly", Hedge::Rough), ("almost", Hedge::Rough), ("大约", Hedge::Rough), ("大概", Hedge::Rough), ("约为", Hedge::Rough),
];

/// Words after a value that take it back or make it a bound.
#[rustfmt::skip]
const TAKEN_BACK: &[(&str, Hedge)] = &[
    (" is wrong", Hedge::Denied), (" is not right", Hedge::Denied), (" is incorrect", Hedge::Denied), (" is not correct", Hedge::Denied),
    (" is not the", Hedge::Denied), (" isn't the", Hedge::Denied), (" isn’t the", Hedge::Denied), (" is the wrong", Hedge::Denied),
    (" is not it", Hedge::Denied), (" was wrong", Hedge::Denied), (" is impossible", Hedge::Denied), (" cannot be", Hedge::Denied),
    (" would be wrong", Hedge::Denied), (" is too ", Hedge::Denied), (" is not an answer", Hedge::Denied), (" is not a solution", Hedge::Denied),
    (" is the incorrect", Hedge::Denied), (" is ruled out", Hedge::Denied), (" ist falsch", Hedge::Denied), (" ist nicht", Hedge::Denied),
    (" es incorrect", Hedge::Denied), (" no es ", Hedge::Denied), (" est faux", Hedge::Denied), (" est incorrect", Hedge::Denied),
    (" n'est pas", Hedge::Denied), ("ではない", Hedge::Denied), ("ではありません", Hedge::Denied), ("じゃない", Hedge::Denied), ("아니", Hedge::Denied),
    ("不对", Hedge::Denied), ("是错", Hedge::Denied), ("不正确", Hedge::Denied), ("неверн", Hedge::Denied), ("неправильн", Hedge::Denied),
    (" or more", Hedge::Bounded), (" or less", Hedge::Bounded), (" or fewer", Hedge::Bounded), (" or so", Hedge::Rough), ("以上", Hedge::Bounded),
    ("以下", Hedge::Bounded), ("以内", Hedge::Bounded), ("之间", Hedge::Bounded), ("未満", Hedge::Bounded), ("正しくない", Hedge::Denied), ("間違", Hedge::Denied), ("より", Hedge::Bounded), ("左右", Hedge::Rough),
];

/// Words before a marked answer by which the sentence does not claim it.
const DOUBTS: [&str; 26] = [
    "doubt",
    "don't think",
    "do not think",
    "don’t think",
    "don't believe",
    "do not believe",
    "don’t believe",
    "not sure",
    "unsure",
    "unlikely that",
    "if the answer",
    "suppose the answer",
    "assume the answer",
    "assuming the answer",
    "wrong answer",
    "incorrect answer",
    "not true that",
    "false that",
    "not the case",
    "glaube nicht",
    "bezweifle",
    "no creo",
    "dudo",
    "ne pense pas",
    "不认为",
    "怀疑",
];

/// Whether the words after a value take it back: `8 is wrong`, `8以上`.
pub(in crate::math) fn taken_back(plain: &str) -> Option<Hedge> {
    let lower = plain.to_lowercase();
    TAKEN_BACK.iter().find_map(|(words, hedge)| {
        let at = lower.find(words)?;
        let before = lower[..at].trim_end_matches(['$', ')', '}', ' ', '*']);
        // Something short stands before it: a value or a letter.
        let value = before.ends_with(|c: char| c.is_ascii_digit())
            || before.split_whitespace().count() == 1 && before.chars().count() <= 3;
        // What comes after it may be the answer.
        let last = !lower[at + words.len()..].contains(|c: char| c.is_ascii_digit());
        (value && last).then_some(*hedge)
    })
}

/// Whether the words of a sentence before its answer leave open if it is one: `I doubt the answer is`.
pub(in crate::math) fn doubted(before: &str) -> bool {
    let lower = before.to_lowercase();
    DOUBTS.iter().any(|words| lower.contains(words))
}

/// Whether what follows an answer offers another: ` or 18`, `. Or 18`.
pub(in crate::math) fn goes_on(after: &str) -> bool {
    const NEAR: usize = 40;
    let end = (0..=NEAR.min(after.len()))
        .rev()
        .find(|end| after.is_char_boundary(*end))
        .unwrap_or(0);
    let near = after[..end].trim_start_matches(['}', '$', ')', ']', '\\', '.', ',', ' ', '*', '!']);
    let lower = near.to_lowercase();
    let offered = ["or ", "oder ", "或者", "或"]
        .iter()
        .find_map(|joint| lower.strip_prefix(joint));
    offered.is_some_and(|offered| {
        let same = [
            "equivalent",
            "about",
            "approx",
            "roughly",
            "in ",
            "≈",
            "as ",
            "simply",
        ]
        .iter()
        .any(|word| offered.starts_with(word));
        !same && value_follows(offered, 2)
    })
}

/// Why `head` claims no single answer: by a word before its first value, or by a further one after it.
pub(super) fn hedged(head: &str) -> Option<Hedge> {
    hedge_word(&head.to_lowercase())
}

/// The first hedging word that a value follows.
fn hedge_word(lower: &str) -> Option<Hedge> {
    for (word, hedge) in HEDGES {
        let mut from = 0;
        while let Some(found) = lower[from..].find(word) {
            let (start, end) = (from + found, from + found + word.len());
            let boundary = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
            let whole = !word.is_ascii()
                || (boundary(lower[..start].chars().next_back())
                    && boundary(lower[end..].chars().next()));
            let near = match *hedge {
                Hedge::Denied if is_link(&lower[end..]) => 4,
                Hedge::Denied => 2,
                _ => 4,
            };
            let corrected = *hedge == Hedge::Denied
                && [" but ", " it's ", " it is ", "而是"].iter().any(|turn| {
                    lower[end..]
                        .split_once(turn)
                        .is_some_and(|(_, after)| value_follows(after, 2))
                });
            let mut rest = &lower[end..];
            if *hedge == Hedge::Denied
                && let Some(at) = rest.find([':', ';'])
                && !rest[..at].trim().is_empty()
            {
                // `not hard: 6`
                rest = &rest[..at];
            }
            if whole && !corrected && value_follows(rest, near) {
                return Some(*hedge);
            }
            from = end;
        }
    }
    let rough = ["≈", "~", "\\approx"]
        .iter()
        .any(|sign| lower.starts_with(sign));
    rough.then_some(Hedge::Rough)
}

/// Whether only words that keep a denial going stand before the next value: `equal to`, `the number`.
fn is_link(rest: &str) -> bool {
    #[rustfmt::skip]
    const LINKS: [&str; 14] = [
        "equal", "to", "the", "be", "exactly", "number", "value", "answer", "really", "actually", "quite", "simply", "gleich", "igual",
    ];
    rest.split_whitespace()
        .next()
        .is_some_and(|word| LINKS.contains(&word))
}

/// The words that end right before a value, and make it no answer: `7 or`, `not`, `less than the`.
pub(in crate::math) fn hedge_before(before: &str) -> Option<Hedge> {
    const NEAR: usize = 48;
    let start = (before.len().saturating_sub(NEAR)..=before.len())
        .find(|at| before.is_char_boundary(*at))
        .unwrap_or(before.len());
    let before = before[start..].trim_end_matches([' ', '$', '*', '(', '"', '\\']);
    if !before.ends_with(|c: char| c.is_alphabetic()) {
        return None;
    }
    let mut lower: &str = &before.to_lowercase();
    loop {
        let trimmed = lower.trim_end_matches([' ', '$', '*', '(', '"', '\\']);
        let trimmed = trimmed
            .strip_suffix('是')
            .filter(|rest| !rest.ends_with('不'))
            .unwrap_or(trimmed);
        let trimmed = ["the", "exactly", "only", "a", "just", "to", "equal"]
            .iter()
            .find_map(|word| {
                trimmed
                    .strip_suffix(*word)
                    .filter(|rest| rest.is_empty() || rest.ends_with(' '))
            })
            .unwrap_or(trimmed);
        if trimmed.len() == lower.len() {
            break;
        }
        lower = trimmed;
    }
    for (word, hedge) in HEDGES {
        if let Some(rest) = lower.strip_suffix(word)
            && (!word.is_ascii() || !rest.ends_with(|c: char| c.is_alphanumeric()))
        {
            return Some(*hedge);
        }
    }
    if lower.ends_with("n't be") || lower.ends_with("n’t be") || lower.ends_with("not be") {
        return Some(Hedge::Denied);
    }
    for joint in ["or", "或", "oder", "ou", "to"] {
        if let Some(rest) = lower.strip_suffix(joint) {
            let value = rest
                .trim_end()
                .ends_with(|c: char| c.is_ascii_digit() || c == '$');
            if value && rest.ends_with([' ', '$']) {
                return Some(Hedge::Several);
            }
        }
    }
    None
}
