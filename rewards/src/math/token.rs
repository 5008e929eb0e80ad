//! LaTeX, unicode and plain text as one list of tokens, in one pass.
//!
//! What only concerns looks (spacing, sizes, fonts, dollar signs around formulas) is gone after this. Numbers are read whole,
//! with their thousands separators.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Zero};

use super::budget::{Budget, Doubt, MAX_BITS};

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

/// Commands that are written as one character.
#[rustfmt::skip]
const SIGNS: &[(&str, char)] = &[
    ("cdot", '*'), ("times", '*'), ("ast", '*'), ("star", '*'), ("bullet", '*'), ("div", '/'), ("pm", '±'), ("mp", '∓'),
    ("le", '≤'), ("leq", '≤'), ("leqslant", '≤'), ("leqq", '≤'), ("ge", '≥'), ("geq", '≥'), ("geqslant", '≥'), ("geqq", '≥'),
    ("lt", '<'), ("gt", '>'), ("ne", '≠'), ("neq", '≠'), ("approx", '≈'), ("approxeq", '≈'), ("simeq", '≈'), ("in", '∈'),
    ("cup", '∪'), ("bigcup", '∪'), ("cap", '∩'), ("bigcap", '∩'), ("setminus", '∖'), ("backslash", '∖'), ("smallsetminus", '∖'),
    ("infty", '∞'), ("infin", '∞'), ("emptyset", '∅'), ("varnothing", '∅'), ("ldots", '…'), ("cdots", '…'), ("dots", '…'),
    ("dotsc", '…'), ("dotsb", '…'), ("vdots", '…'), ("ddots", '…'), ("land", '∧'), ("wedge", '∧'), ("lor", '∨'), ("vee", '∨'),
    ("colon", ':'), ("prime", '\''), ("mid", '|'), ("vert", '|'), ("lvert", '|'), ("rvert", '|'), ("Vert", '|'), ("lVert", '|'),
    ("rVert", '|'), ("lfloor", '⌊'), ("rfloor", '⌋'), ("lceil", '⌈'), ("rceil", '⌉'), ("langle", '⟨'), ("rangle", '⟩'),
    ("lbrace", '⦃'), ("rbrace", '⦄'), ("lparen", '('), ("rparen", ')'), ("lbrack", '['), ("rbrack", ']'), ("degree", '°'),
    ("textdegree", '°'), ("circ", '°'), ("to", '→'), ("rightarrow", '→'), ("longrightarrow", '→'), ("sim", '∼'), ("perp", '⊥'),
    ("parallel", '∥'), ("equiv", '≡'), ("cong", '≅'), ("propto", '∝'), ("subset", '⊂'), ("subseteq", '⊆'), ("notin", '∉'),
    ("implies", '⇒'), ("Rightarrow", '⇒'), ("iff", '⇔'), ("Leftrightarrow", '⇔'), ("neg", '¬'), ("lnot", '¬'), ("surd", '√'),
    ("partial", '∂'), ("nabla", '∇'), ("pounds", '£'),
];

/// Commands that only concern looks.
#[rustfmt::skip]
const LOOKS: &[&str] = &[
    "left", "right", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr", "biggl", "biggr", "Biggl", "Biggr", "middle",
    "displaystyle", "textstyle", "scriptstyle", "limits", "nolimits", "rm", "bf", "it", "boxed", "fbox", "mathstrut", "strut",
    "hline", "noindent", "normalsize", "large", "Large", "small", "centering", "allowbreak", "nobreak", "relax", "ensuremath",
];

/// Commands that are white space.
#[rustfmt::skip]
const SPACES: &[&str] = &["quad", "qquad", "enspace", "thinspace", "space", "newline", "nonumber", "medspace", "negthinspace"];

/// Commands whose argument is a word or is set in another font.
#[rustfmt::skip]
const FONTS: &[&str] = &[
    "mathrm", "mathbf", "mathit", "mathsf", "mathtt", "mathcal", "mathscr", "mathfrak", "boldsymbol", "bm", "operatorname", "mathop",
    "pmb", "cal",
];

/// Commands whose argument is text.
#[rustfmt::skip]
const TEXTS: &[&str] = &["text", "textbf", "textit", "textrm", "texttt", "textsf", "textnormal", "mbox", "hbox", "emph", "textup", "textsc"];

/// Commands whose argument says nothing.
#[rustfmt::skip]
const SKIPPED_ARGUMENT: &[&str] = &["hspace", "vspace", "color", "textcolor", "phantom", "hphantom", "vphantom", "label", "tag", "kern"];

/// Greek letters in unicode and their commands.
#[rustfmt::skip]
const GREEK: &[(char, &str)] = &[
    ('π', "pi"), ('α', "alpha"), ('β', "beta"), ('γ', "gamma"), ('δ', "delta"), ('ε', "epsilon"), ('ϵ', "epsilon"), ('ζ', "zeta"),
    ('η', "eta"), ('θ', "theta"), ('ϑ', "theta"), ('ι', "iota"), ('κ', "kappa"), ('λ', "lambda"), ('μ', "mu"), ('µ', "mu"),
    ('ν', "nu"), ('ξ', "xi"), ('ρ', "rho"), ('σ', "sigma"), ('τ', "tau"), ('υ', "upsilon"), ('φ', "phi"), ('ϕ', "phi"),
    ('χ', "chi"), ('ψ', "psi"), ('ω', "omega"), ('Γ', "Gamma"), ('Δ', "Delta"), ('Θ', "Theta"), ('Λ', "Lambda"), ('Ξ', "Xi"),
    ('Π', "Pi"), ('Σ', "Sigma"), ('Φ', "Phi"), ('Ψ', "Psi"), ('Ω', "Omega"), ('ℓ', "ell"), ('∑', "sum"), ('∏', "prod"), ('∫', "int"),
];

/// Fractions that are one character.
#[rustfmt::skip]
const VULGAR: &[(char, i64, i64)] = &[
    ('½', 1, 2), ('⅓', 1, 3), ('⅔', 2, 3), ('¼', 1, 4), ('¾', 3, 4), ('⅕', 1, 5), ('⅖', 2, 5), ('⅗', 3, 5), ('⅘', 4, 5),
    ('⅙', 1, 6), ('⅚', 5, 6), ('⅐', 1, 7), ('⅛', 1, 8), ('⅜', 3, 8), ('⅝', 5, 8), ('⅞', 7, 8), ('⅑', 1, 9), ('⅒', 1, 10),
];

const SUPERSCRIPTS: &str = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const SUBSCRIPTS: &str = "₀₁₂₃₄₅₆₇₈₉";

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
                true if super::parse::function_named(word).is_some() => {
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
            if name == "begin" {
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
            if single == "\\" {
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

    fn number(&mut self) -> Result<(), Doubt> {
        let mut digits = self.digits();
        let whole = digits.len();
        let mut plain = true;
        // `0,111` has a decimal comma.
        let decimal_comma = digits == "0"
            && self.commas == Commas::Thousands
            && self.depth == 0
            && self.peek(0) == Some(b',')
            && self.peek(1).is_some_and(|next| next.is_ascii_digit());
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
        let repeating = self.repeating(decimals > 0);
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
        let mut length = if rest.starts_with("{,}") {
            3
        } else if rest.starts_with(",\\!") || rest.starts_with(",\\,") {
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

    /// The period of a repeating decimal here: `\overline{3}`, `\bar{3}`, `\dot{3}`, or `(3)` after decimals.
    fn repeating(&mut self, after_decimals: bool) -> Option<String> {
        let rest = &self.text[self.at..];
        let (dot, rest) = match rest.strip_prefix('.') {
            Some(rest) if !after_decimals => (1, rest),
            _ if after_decimals => (0, rest),
            _ => return None,
        };
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
            || super::parse::is_known_command(name))
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
