//! Answers within sentences, read as a person reads them: what is claimed, and whether it is claimed at all.

use std::borrow::Cow;

/// Why a sentence claims no single answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hedge {
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
    pub(super) fn why(self) -> &'static str {
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

/// What begins a reason, a remark or a condition after an answer.
#[rustfmt::skip]
const REASONS: &[&str] = &[
    " because", " since ", ", since", ", as ", ", which", ", so ", ", where", " where ", ", not ", " (not ", " rather than ",
    " instead of ", ", and not", ", but not", ", leaving", " whenever ", " provided ", " for all ", " for any ", " for every ",
    " for each ", " for some ", " with equality", "; ", " — ", " – ", " - ", ", hence", ", therefore", ", thus", ". ",
    "，因为", "，不是", "，而不是", "，所以", "，其中", " weil ", ", weil", " parce que", ", car ", " porque", " （", "（",
    ", i.e.", ", that is", ", namely", " as required", " as desired", ", given ", " in total", ", the ", ", it ", ", we ", ", a ",
    " for integer", " for natural", " for positive", " for nonnegative", " for non-negative", " for real", " for arbitrary",
    ", this ", ", there ", ", after ", ", when ", " when ", ", if ", " if ", ", for ", ", by ", ", using ", ", assuming ", ", obtained ",
];

/// What stands before an answer without changing it.
#[rustfmt::skip]
const LEAD_INS: &[&str] = &[
    "i think it is ", "i think ", "i believe it is ", "i believe ", "it is ", "it's ", "that is ", "there are ", "there is ", "they are ",
    "we get ", "we have ", "simply ", "exactly ", "just ", "only ", "equal to ", "equals ", "is ", "are ", "thus ", "so ", "hence ",
    "therefore ", "indeed ", "clearly ", "option ", "choice ", "letter ", "a total of ", "the number ", "the answer is ", "the answer: ",
    "answer: ", "answer is ", "given by ", "then ", "now ", "of ", "the letter ", "the value ", "the final answer is ", "final answer: ",
    "the final answer is: ", "here is ",
];

/// What is said of a text that is more than a formula.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said<'a> {
    /// The words and formulas that are claimed, without reasons and lead-ins.
    pub(super) claim: Cow<'a, str>,
    /// Why nothing is claimed.
    pub(super) hedge: Option<Hedge>,
    /// What a remark in brackets offers in its place: `7` of `6 (or 7)`.
    pub(super) alternative: Option<String>,
}

/// As much of a text is read for reasons, remarks and hedges, in bytes: nobody says an answer at greater length.
const LONGEST_CLAIM: usize = 1200;

/// The claim of a phrase or sentence in which an answer stands.
pub(super) fn said(text: &str) -> Said<'_> {
    let plain = flat(text);
    if plain.len() > LONGEST_CLAIM {
        let end = (0..=LONGEST_CLAIM)
            .rev()
            .find(|end| plain.is_char_boundary(*end))
            .unwrap_or(0);
        return Said {
            hedge: hedged(without_reason(&plain[..end])),
            claim: plain,
            alternative: None,
        };
    }
    if let Some(rest) = after_denial(&plain) {
        let Said { claim, hedge, .. } = said(rest);
        return Said {
            claim: Cow::Owned(claim.into_owned()),
            hedge,
            alternative: None,
        };
    }
    let alternative = alternative(&plain);
    let corrected = corrects(&plain) || offers_a_bound(&plain);
    let head = match &plain {
        Cow::Borrowed(plain) => Cow::Borrowed(without_reason(plain)),
        Cow::Owned(plain) => Cow::Owned(without_reason(plain).to_owned()),
    };
    let hedge = hedged(&head).or_else(|| taken_back(&head));
    let hedge = match (corrected, bare(text).starts_with('~')) {
        (true, _) => Some(Hedge::Several),
        (false, true) => hedge.or(Some(Hedge::Rough)),
        _ => hedge,
    };
    let claim = match head {
        Cow::Borrowed(head) => without_lead_in(head),
        Cow::Owned(head) => Cow::Owned(without_lead_in(&head).into_owned()),
    };
    Said {
        claim,
        hedge,
        alternative,
    }
}

/// Whether a second value takes the place of the first: `12, no wait, 13`.
fn corrects(plain: &str) -> bool {
    #[rustfmt::skip]
    const TURNS: [&str; 10] = [
        "wait", "actually", "i mean", "i meant", "sorry", "correction", "scratch that", "oops", "or rather", "make that",
    ];
    let lower = plain.to_lowercase();
    let digit = |text: &str| text.contains(|c: char| c.is_ascii_digit());
    TURNS.iter().any(|turn| {
        lower.split_once(turn).is_some_and(|(before, after)| {
            digit(before) && digit(after) && !after.starts_with(|c: char| c.is_alphabetic())
        })
    })
}

/// `max 12`, which is no function of one number.
fn offers_a_bound(plain: &str) -> bool {
    ["max ", "min ", "max. ", "min. "].iter().any(|word| {
        plain
            .get(..word.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(word))
            && plain[word.len()..].starts_with(|c: char| c.is_ascii_digit() || c == '$')
    })
}

/// What follows the correction of a denied value: `D` of `not C, it is D`.
fn after_denial(plain: &str) -> Option<&str> {
    let lower = plain.to_ascii_lowercase();
    if !lower.starts_with("not ") {
        return None;
    }
    [
        " but rather ",
        " but ",
        " it is ",
        " it's ",
        " rather ",
        "而是",
    ]
    .iter()
    .filter_map(|turn| lower.find(turn).map(|at| at + turn.len()))
    .min()
    .filter(|at| value_follows(&lower[*at..], 1))
    .map(|at| &plain[at..])
}

/// What a remark in brackets offers instead of the value before it: `7` of `6 (or 7)`.
fn alternative(plain: &str) -> Option<String> {
    let lower = plain.to_lowercase();
    let lower = lower.replace('（', " (");
    let at = lower.find(" (")?;
    let inside = lower[at + 2..]
        .split([')', '）'])
        .next()
        .unwrap_or_default();
    let offered = [
        "or ",
        "oder ",
        "ou ",
        "o ",
        "或者",
        "或",
        "if you prefer, ",
        "maybe ",
        "perhaps ",
        "possibly ",
    ]
    .iter()
    .find_map(|joint| inside.trim_start().strip_prefix(joint))?;
    // The same said otherwise.
    let same = [
        "about",
        "approx",
        "roughly",
        "equivalent",
        "in other",
        "simply",
        "≈",
        "nearly",
        "around",
        "in ",
        "as ",
    ]
    .iter()
    .any(|word| offered.trim_start().starts_with(word));
    let offered = offered.strip_prefix("maybe ").unwrap_or(offered);
    (!same && value_follows(offered, 2)).then(|| offered.trim().to_owned())
}

/// Whether the words after a value take it back: `8 is wrong`, `8以上`.
pub(super) fn taken_back(plain: &str) -> Option<Hedge> {
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
pub(super) fn doubted(before: &str) -> bool {
    let lower = before.to_lowercase();
    DOUBTS.iter().any(|words| lower.contains(words))
}

/// Whether what follows an answer offers another: ` or 18`, `. Or 18`.
pub(super) fn goes_on(after: &str) -> bool {
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

/// A text without what only concerns looks around it: bold type, quotation marks, ticks, full stops.
pub(super) fn bare(text: &str) -> &str {
    let looks = |c: char| {
        c.is_whitespace()
            || matches!(
                c,
                '`' | '"'
                    | '“'
                    | '”'
                    | '。'
                    | '✅'
                    | '✓'
                    | '✔'
                    | '☑'
                    | '🎉'
                    | '\u{fe0f}'
                    | '■'
                    | '□'
                    | '∎'
                    | '👍'
                    | '！'
            )
    };
    let mut text = text;
    loop {
        let before = text.len();
        text = text.trim_matches(looks);
        for mark in ["**", "__"] {
            text = text.strip_prefix(mark).unwrap_or(text);
            text = text.strip_suffix(mark).unwrap_or(text);
        }
        if let Some(rest) = text.strip_suffix('!')
            && rest.ends_with("**")
        {
            text = rest;
        }
        for end in [".**", ".__", "*"] {
            if let Some(rest) = text.strip_suffix(end)
                && !rest.ends_with('*')
            {
                text = rest;
            }
        }
        if text.len() == before {
            return text;
        }
    }
}

/// Words out of `\text{…}`, without dollar signs, bold marks and list bullets: as the sentence would be read aloud.
pub(super) fn flat(text: &str) -> Cow<'_, str> {
    let text = bare(text);
    // Commands, bold marks, ties and line breaks are all there is to take away.
    let needs = text
        .bytes()
        .any(|byte| matches!(byte, b'\\' | b'*' | b'~' | b'\n'));
    if !needs {
        return Cow::Borrowed(text);
    }
    let mut flat = String::with_capacity(text.len());
    let mut rest = text;
    // For every open brace, whether it was one of a command for words and is left out.
    let mut open: Vec<bool> = Vec::new();
    while let Some(character) = rest.chars().next() {
        let command = [
            "\\textbf{",
            "\\textit{",
            "\\textrm{",
            "\\text{",
            "\\mbox{",
            "\\mathrm{",
            "\\mathbf{",
        ]
        .iter()
        .find(|command| rest.starts_with(**command));
        if let Some(command) = command {
            open.push(true);
            rest = &rest[command.len()..];
            continue;
        }
        let skipped = ["\\qquad", "\\quad", "\\ ", "\\,", "\\;", "\\\n", "~"]
            .iter()
            .find(|space| rest.starts_with(**space));
        if let Some(space) = skipped {
            flat.push(' ');
            rest = &rest[space.len()..];
            continue;
        }
        let power = flat.ends_with(|c: char| c.is_alphanumeric() || c == ')')
            && rest
                .strip_prefix("**")
                .is_some_and(|after| after.starts_with(|c: char| c.is_alphanumeric() || c == '('));
        if rest.starts_with("**") && !power {
            rest = &rest[2..];
            continue;
        }
        match character {
            '{' => {
                open.push(false);
                flat.push('{');
            }
            '}' => {
                if open.pop() != Some(true) {
                    flat.push('}');
                }
            }
            '\n' => {
                let next = rest[1..].trim_start();
                let bullet = ["- ", "* ", "• "]
                    .iter()
                    .find(|mark| next.starts_with(**mark));
                match bullet {
                    Some(bullet) => {
                        flat.push_str(", ");
                        rest = &next[bullet.len()..];
                        continue;
                    }
                    None => flat.push(' '),
                }
            }
            other => flat.push(other),
        }
        rest = &rest[character.len_utf8()..];
    }
    let trimmed = bare(&flat);
    let trimmed = ["- ", "* ", "• "]
        .iter()
        .find_map(|mark| trimmed.strip_prefix(mark))
        .filter(|_| text.contains('\n'))
        .unwrap_or(trimmed);
    Cow::Owned(trimmed.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The text up to its first reason, remark or condition, outside of formulas and brackets.
fn without_reason(text: &str) -> &str {
    let bytes = text.as_bytes();
    let (mut depth, mut math) = (0usize, false);
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if matches!(bytes.get(at + 1), Some(b'(' | b'[')) => math = true,
            b'\\' if matches!(bytes.get(at + 1), Some(b')' | b']')) => math = false,
            b'$' => math = !math && text[at + 1..].contains('$'),
            b'(' if depth == 0 && !math && at > 0 && is_remark(text, at) => {
                return text[..at].trim_end();
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b' ' | b',' | b';' | b'.' | 0xef
                if depth == 0 && !math && at > 0 && reason_at(text, at).is_some() =>
            {
                return text[..at].trim_end_matches([' ', ',']);
            }
            _ => {}
        }
        at += 1;
    }
    text
}

/// The reason that begins at `at`.
fn reason_at(text: &str, at: usize) -> Option<&'static str> {
    let rest = &text[at..];
    let found = REASONS.iter().find(|reason| {
        let head = rest.get(..reason.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(reason))
    })?;
    let dash = matches!(*found, " - " | " – " | " — ");
    if dash {
        // `x - 1` is a difference, `D - none of these` is not.
        let after = &rest[found.len()..];
        let first = after.chars().take_while(|c| c.is_alphabetic()).count();
        let words = after
            .split(|c: char| !c.is_alphabetic())
            .filter(|word| word.len() >= 3)
            .count();
        if first == 0 || words == 0 || (first == 1 && words < 2) {
            return None;
        }
    }
    let consequence = matches!(*found, ", so " | ", hence" | ", therefore" | ", thus");
    if consequence && !begins_with_value(&text[..at]) {
        // `It costs $4 and $6, so $10`: the answer comes after it.
        return None;
    }
    if *found == " if "
        && rest[4..]
            .trim_end_matches(['.', '}'])
            .chars()
            .all(|c| c.is_ascii_digit())
    {
        return None;
    }
    if *found == ". " && rest[2..].starts_with(|c: char| !c.is_uppercase()) {
        return None;
    }
    Some(found)
}

/// Whether a text begins with a value, or is little more than one word.
fn begins_with_value(head: &str) -> bool {
    head.split_whitespace().count() <= 2 || leading_value(&without_lead_in(head)).is_some()
}

/// Whether the bracket at `at` holds a remark: words, and no list of values.
fn is_remark(text: &str, at: usize) -> bool {
    let spaced = text[..at].ends_with(' ');
    let inside = text[at + 1..].split(')').next().unwrap_or_default();
    let words = inside
        .split(|c: char| !c.is_alphabetic())
        .filter(|word| word.len() >= 2 && word.is_ascii())
        .count();
    let reason = [
        "since", "because", "from", "see", "note", "i.e", "e.g", "or ",
    ]
    .iter()
    .any(|word| inside.to_ascii_lowercase().starts_with(word));
    spaced && (words >= 2 || reason) && !inside.contains('\\')
}

/// Why `head` claims no single answer: by a word before its first value, or by a further one after it.
fn hedged(head: &str) -> Option<Hedge> {
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

/// Whether a number, a formula or a letter of a choice is among the first `near` words of `rest`.
fn value_follows(rest: &str, near: usize) -> bool {
    rest.split_whitespace().take(near).any(|word| {
        let word = word.trim_start_matches(['(', '"', '-', '−']);
        let letter = word.trim_end_matches([')', '.', ',', '"']);
        word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '$' | '\\'))
            || (letter.len() == 1
                && letter != "a"
                && letter != "i"
                && letter.as_bytes()[0].is_ascii_alphabetic())
            || NUMBER_WORDS.contains(&letter)
    })
}

/// Numbers in words that a hedge may stand before.
const NUMBER_WORDS: [&str; 12] = [
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "zero", "twelve",
];

/// The words that end right before a value, and make it no answer: `7 or`, `not`, `less than the`.
pub(super) fn hedge_before(before: &str) -> Option<Hedge> {
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

/// The claim without `I think it is`, and with `negative` as a sign.
fn without_lead_in(head: &str) -> Cow<'_, str> {
    let mut claim = head.trim();
    loop {
        let lead = LEAD_INS.iter().find(|lead| {
            claim
                .get(..lead.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(lead))
        });
        match lead {
            Some(lead) => claim = claim[lead.len()..].trim_start_matches([' ', ':', '*']),
            None => break,
        }
    }
    let claim = bare(claim);
    for sign in ["negative ", "minus "] {
        if let Some(rest) = claim
            .get(..sign.len())
            .filter(|head| head.eq_ignore_ascii_case(sign))
            .map(|_| &claim[sign.len()..])
            && rest.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '$' | '\\' | '.'))
        {
            let unsigned = rest.trim_start_matches('$');
            return Cow::Owned(format!("-{unsigned}"));
        }
    }
    Cow::Borrowed(claim)
}

/// The value at the beginning of a claim and the words after it: `72` of `72 clips in May`, `$x=5$` of `$x=5$ in all`.
pub(super) fn leading_value(claim: &str) -> Option<(&str, &str)> {
    for (open, close) in [("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")] {
        if let Some(rest) = claim.strip_prefix(open)
            && let Some(end) = rest.find(close)
        {
            let inner = &rest[..end];
            // A dollar sign of money opens no formula.
            let money = open == "$"
                && inner.contains(' ')
                && inner.starts_with(|c: char| c.is_ascii_digit());
            if !money && !inner.trim().is_empty() {
                let end = open.len() + end + close.len();
                return Some((&claim[..end], &claim[end..]));
            }
        }
    }
    let end = number_end(claim)?;
    Some((&claim[..end], &claim[end..]))
}

/// Where the number at the beginning of `claim` ends.
fn number_end(claim: &str) -> Option<usize> {
    let bytes = claim.as_bytes();
    let mut at = claim.len()
        - claim
            .trim_start_matches(['-', '−', '+', '$', '€', '£', '\\'])
            .len();
    let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let begins = digit(at) || bytes.get(at) == Some(&b'.') && digit(at + 1);
    if !begins {
        return None;
    }
    loop {
        while digit(at) {
            at += 1;
        }
        let joined = match bytes.get(at) {
            Some(b'.' | b'/' | b':') => digit(at + 1),
            Some(b',') => digit(at + 1) && digit(at + 2) && digit(at + 3) && !digit(at + 4),
            // `2 1/2`
            Some(b' ') => {
                let digits = bytes[at + 1..]
                    .iter()
                    .take_while(|b| b.is_ascii_digit())
                    .count();
                digits > 0 && bytes.get(at + 1 + digits) == Some(&b'/') && digit(at + 2 + digits)
            }
            _ => false,
        };
        if !joined {
            break;
        }
        at += 1;
    }
    for sign in ["\\%", "%", " %", "^\\circ", "°"] {
        if claim[at..].starts_with(sign) {
            at += sign.len();
            break;
        }
    }
    for scale in [" million", " billion", " trillion", " thousand", " hundred"] {
        if claim[at..].starts_with(scale) {
            at += scale.len();
        }
    }
    Some(at)
}

/// Whether the words after a value put another in its place: `10, which is 7`, `not 10, it's 7`.
pub(super) fn corrected(rest: &str) -> bool {
    let lower = format!(" {}", rest.trim_start_matches([' ', ',']).to_lowercase());
    [" which is ", " it is ", " it's ", " rather "]
        .iter()
        .any(|turn| {
            lower.split_once(turn).is_some_and(|(_, after)| {
                after.starts_with(|c: char| c.is_ascii_digit() || c == '$')
            })
        })
}

/// Whether the words after a value leave it what it is: `clips in May`, and not `to 9`, `squared` or `boys and 3 girls`.
pub(super) fn harmless(rest: &str) -> bool {
    let lower = rest.trim_start_matches([' ', '-', ',']).to_lowercase();
    if rest.trim().is_empty() {
        return true;
    }
    #[rustfmt::skip]
    const CHANGING: &[&str] = &[
        "to", "or", "over", "squared", "cubed", "times", "plus", "minus", "divided", "choose", "factorial", "mod", "modulo", "and", "less",
        "more", "fewer", "out", "through", "until", "point", "th", "st", "nd", "rd", "by", "raised", "percent", "或", "到", "至", "oder", "ou",
    ];
    let first: String = lower.chars().take_while(|c| c.is_alphabetic()).collect();
    let conditional = first == "if" && lower[2..].trim().bytes().all(|b| b.is_ascii_digit());
    // `5 m 6 m`
    let measures = rest.contains(|c: char| c.is_ascii_digit())
        && !rest
            .split(|c: char| !c.is_alphabetic())
            .any(|word| word.chars().count() >= 3);
    // `10C3`
    let glued = rest.starts_with(|c: char| c.is_alphabetic())
        && lower[first.len()..].starts_with(|c: char| c.is_ascii_digit());
    if glued || conditional || measures || first.is_empty() || CHANGING.contains(&first.as_str()) {
        return false;
    }
    // A second value that is joined to the first, or corrects it.
    let joined = [
        " which is ",
        " it is ",
        " it's ",
        " and ",
        " or ",
        " to ",
        " by ",
        " plus ",
        " times ",
        "或",
        " minus ",
    ];
    for joint in joined {
        for (at, _) in lower.match_indices(joint) {
            let after = lower[at + joint.len()..].trim_start();
            let after = after.trim_start_matches("maybe ").trim_start_matches('$');
            if after.starts_with(|c: char| c.is_ascii_digit() || c == '\\') {
                return false;
            }
        }
    }
    !lower.contains(['=', '^', '+', '*', '<', '>'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_read_without_reasons_and_lead_ins() {
        let cases = [
            ("42, not 43", "42", None),
            ("D - none of these", "D", None),
            ("x - 1", "x - 1", None),
            ("I think it is C", "C", None),
            ("12, because 3 times 4 is 12", "12", None),
            ("negative 3", "-3", None),
            ("42 (that is, 6 times 7)", "42", None),
            ("f(x) = 2 (x+1)", "f(x) = 2 (x+1)", None),
            ("12，因为 3×4=12", "12", None),
            (r"\text{The answer is } 42", "42", None),
            ("**42** ✅", "42", None),
            ("x**2", "x**2", None),
            ("- x = 3\n- y = 4", "x = 3, y = 4", None),
            ("not 8", "not 8", Some(Hedge::Denied)),
            ("7 or maybe 8", "7 or maybe 8", Some(Hedge::Several)),
            ("less than 8", "less than 8", Some(Hedge::Bounded)),
            ("about 8", "about 8", Some(Hedge::Rough)),
            ("notably 8", "notably 8", None),
            ("12，不是15", "12", None),
            ("不是15", "不是15", Some(Hedge::Denied)),
        ];
        for (text, claim, hedge) in cases {
            let found = said(text);
            assert_eq!(
                (found.claim.as_ref(), found.hedge),
                (claim, hedge),
                "{text}"
            );
        }
    }

    #[test]
    fn hedges_right_before_a_value() {
        let cases = [
            ("There are 7 or ", Some(Hedge::Several)),
            ("It isn't ", Some(Hedge::Denied)),
            ("less than the ", Some(Hedge::Bounded)),
            ("Not so: it is ", None),
            ("more than enough, so ", None),
            ("from 1 ", None),
        ];
        for (before, expected) in cases {
            assert_eq!(hedge_before(before), expected, "{before}");
        }
    }

    #[test]
    fn values_at_the_beginning() {
        let cases = [
            ("72 clips in May", Some(("72", true))),
            ("5 to 9", Some(("5", false))),
            ("2 boys and 3 girls", Some(("2", false))),
            ("5 squared", Some(("5", false))),
            ("$x=5$ in all", Some(("$x=5$", true))),
            ("$5,000 a year", Some(("$5,000", true))),
            ("2 1/2 hours", Some(("2 1/2", true))),
            ("1:30 in the morning", Some(("1:30", true))),
            ("clips", None),
        ];
        for (claim, expected) in cases {
            let found = leading_value(claim).map(|(value, rest)| (value, harmless(rest)));
            assert_eq!(found, expected, "{claim}");
        }
    }
}
