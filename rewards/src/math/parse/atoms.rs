//! Numbers, names, and commands with arguments.

use num_rational::BigRational;
use num_traits::{Signed, Zero};

use super::super::expression::{Expression, Function};
use super::super::token::Token;
use super::super::vocabulary::{
    DECORATIONS, constant_named, function_named, is_english, is_letter_name,
};
use super::labels::{based_number, function_prefix};
use super::operators::{is_proper_fraction, quotient};
use super::{Parsed, Parser};

/// Letters that are functions when a bracket follows.
const FUNCTION_LETTERS: &[&str] = &["f", "g", "h", "F", "G", "H"];

/// Longest run of letters that is a product of variables.
const MAX_GLUED_LETTERS: usize = 3;

impl Parser<'_> {
    pub(super) fn atom(&mut self) -> Parsed {
        self.budget.spend(8)?;
        let Some(token) = self.peek() else {
            return Err(self.unexpected());
        };
        match token {
            Token::Number { .. } => self.number(),
            Token::Word(word) => {
                let word = word.clone();
                self.word(&word)
            }
            Token::Command(name) => {
                let name = name.clone();
                self.at += 1;
                self.command(&name)
            }
            Token::Text(text) => {
                let text = text.clone();
                self.at += 1;
                Ok(match self.single_letter(&text) {
                    Some(symbol) => symbol,
                    None => Expression::Text(text),
                })
            }
            Token::Sign(sign) => {
                let sign = *sign;
                self.bracket(sign)
            }
            Token::Begin(_) => self.matrix(),
            Token::Currency(_) => {
                // `5 + \$3`: a term begins here, in the middle of a product.
                self.chain()?;
                self.at += 1;
                self.atom()
            }
            Token::End(_) | Token::Break => Err(self.unexpected()),
        }
    }

    fn single_letter(&mut self, text: &str) -> Option<Expression> {
        let letter = text.len() == 1 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
        letter.then(|| Expression::Symbol(text.to_owned()))
    }

    fn number(&mut self) -> Parsed {
        let Some(Token::Number { value, digits }) = self.peek() else {
            return Err(self.unexpected());
        };
        let (value, digits) = (value.clone(), digits.clone());
        self.at += 1;
        let Some(digits) = digits else {
            return Ok(Expression::Number(value));
        };
        if self.peek_sign() == Some('_')
            && let Some(number) = self.base(&digits)
        {
            return Ok(number);
        }
        if let Some(fraction) = self.mixed() {
            return Ok(Expression::Number(value + fraction));
        }
        Ok(Expression::Number(value))
    }

    /// `_2`, `_{16}` or `_{\text{eight}}` after digits.
    fn base(&mut self, digits: &str) -> Option<Expression> {
        let braced = self.peek_at(1) == Some(&Token::Sign('{'));
        let at = 1 + usize::from(braced);
        let base = match self.peek_at(at)? {
            Token::Number {
                digits: Some(base), ..
            } => base.parse().ok()?,
            Token::Text(word) | Token::Word(word) => match word.as_str() {
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
                _ => return None,
            },
            _ => return None,
        };
        let length = at + 1 + usize::from(braced);
        if braced && self.peek_at(at + 1) != Some(&Token::Sign('}')) {
            return None;
        }
        let number = based_number(digits, base)?;
        self.at += length;
        Some(number)
    }

    /// The fraction of a mixed number such as `1\frac12`, `1½` or `1 1/2`.
    fn mixed(&mut self) -> Option<BigRational> {
        let integer = |token: Option<&Token>| match token {
            Some(Token::Number {
                value,
                digits: Some(_),
            }) => Some(value.clone()),
            _ => None,
        };
        match self.peek()? {
            Token::Number {
                value,
                digits: None,
            } if is_proper_fraction(value) && !value.is_integer() && !self.spaced() => {
                let value = value.clone();
                self.at += 1;
                Some(value)
            }
            Token::Number { .. } if self.spaced() => {
                let over = self.peek_at(1) == Some(&Token::Sign('/'));
                let (numerator, denominator) = (integer(self.peek())?, integer(self.peek_at(2))?);
                if !over || denominator.is_zero() {
                    return None;
                }
                let fraction = numerator / denominator;
                is_proper_fraction(&fraction).then(|| {
                    self.at += 3;
                    fraction
                })
            }
            Token::Command(name)
                if matches!(
                    name.as_str(),
                    "frac" | "dfrac" | "tfrac" | "cfrac" | "sfrac"
                ) =>
            {
                let (fraction, length) = self.literal_fraction()?;
                is_proper_fraction(&fraction).then(|| {
                    self.at += length;
                    fraction
                })
            }
            _ => None,
        }
    }

    /// The value of a fraction of written integers here, and how many tokens it takes; nothing is used up.
    fn literal_fraction(&self) -> Option<(BigRational, usize)> {
        let number = |at: usize| match self.peek_at(at) {
            Some(Token::Number {
                value,
                digits: Some(digits),
            }) => Some((value, digits.as_str())),
            _ => None,
        };
        let part = |at: usize| match self.peek_at(at)? {
            Token::Sign('{') => {
                let (value, _) = number(at + 1)?;
                (self.peek_at(at + 2) == Some(&Token::Sign('}'))).then(|| (value.clone(), 3))
            }
            _ => {
                let (value, digits) = number(at)?;
                (digits.len() == 1).then(|| (value.clone(), 1))
            }
        };
        if let Some((_, digits)) = number(1)
            && digits.len() == 2
        {
            let (numerator, denominator) = digits.split_at(1);
            let digit = |digit: &str| digit.parse::<i64>().ok().filter(|value| *value != 0);
            let fraction = BigRational::new(digit(numerator)?.into(), digit(denominator)?.into());
            return Some((fraction, 2));
        }
        let (numerator, first) = part(1)?;
        let (denominator, second) = part(1 + first)?;
        (!denominator.is_zero()).then(|| (numerator / denominator, 1 + first + second))
    }

    fn word(&mut self, word: &str) -> Parsed {
        if word.chars().count() == 1 {
            self.at += 1;
            return self.letter(word);
        }
        if let Some(function) = function_named(word) {
            self.at += 1;
            return self.function(function, word);
        }
        if let Some(constant) = constant_named(word) {
            self.at += 1;
            return Ok(Expression::Constant(constant));
        }
        if is_letter_name(word) && word != "Re" && word != "Im" {
            self.at += 1;
            return self.subscripted(word.to_owned());
        }
        if function_prefix(word) {
            let split = word.len() - 1;
            self.lexemes[self.at].token = Token::Word(word[split..].to_owned());
            if let Some(function) = function_named(&word[..split]) {
                return self.function(function, &word[..split]);
            }
        }
        if word.len() <= MAX_GLUED_LETTERS && word.is_ascii() && !is_english(word) {
            // A product of letters. All but the last lose their chance of an exponent or a bracket.
            let (first, rest) = word.split_at(1);
            self.lexemes[self.at].token = Token::Word(rest.to_owned());
            self.lexemes[self.at].spaced = false;
            return Ok(self.plain_letter(first));
        }
        Err(self.unexpected())
    }

    fn plain_letter(&self, letter: &str) -> Expression {
        match constant_named(letter) {
            Some(constant) if !self.bound.iter().any(|bound| bound == letter) => {
                Expression::Constant(constant)
            }
            _ => Expression::Symbol(letter.to_owned()),
        }
    }

    /// A single letter, with what belongs to it.
    fn letter(&mut self, letter: &str) -> Parsed {
        if self.peek_sign() == Some('(') && !self.spaced() {
            let named = FUNCTION_LETTERS.contains(&letter);
            // `W(n) = …` defines a function, whatever its letter.
            let defined = matches!(self.peek_at(1), Some(Token::Word(_) | Token::Number { .. }))
                && self.peek_at(2) == Some(&Token::Sign(')'))
                && self.peek_at(3) == Some(&Token::Sign('='))
                && constant_named(letter).is_none();
            if named || defined {
                return self.applied(Expression::Symbol(letter.to_owned()));
            }
        }
        if self.peek_sign() == Some('_') {
            return self.subscripted(letter.to_owned());
        }
        Ok(self.plain_letter(letter))
    }

    /// A name with its subscript.
    fn subscripted(&mut self, name: String) -> Parsed {
        if self.peek_sign() != Some('_') {
            return Ok(match name.as_str() {
                "varepsilon" => Expression::Symbol("epsilon".to_owned()),
                "vartheta" => Expression::Symbol("theta".to_owned()),
                "varphi" => Expression::Symbol("phi".to_owned()),
                _ => Expression::Symbol(name),
            });
        }
        self.at += 1;
        let subscript = match self.peek() {
            Some(Token::Sign('{')) => self.group()?,
            Some(Token::Text(text)) => {
                let text = text.clone();
                self.at += 1;
                Expression::Text(text)
            }
            Some(Token::Word(word)) if word.chars().count() > 1 => {
                // Without braces only the first letter stands below.
                let word = word.clone();
                let (first, rest) = word.split_at(word.chars().next().map_or(1, char::len_utf8));
                self.lexemes[self.at].token = Token::Word(rest.to_owned());
                Expression::Symbol(first.to_owned())
            }
            _ => self.atom()?,
        };
        let literal = match &subscript {
            Expression::Number(value) if value.is_integer() && !value.is_negative() => {
                Some(value.to_string())
            }
            Expression::Symbol(below)
                if !self.bound.contains(below)
                    && !matches!(below.as_str(), "n" | "k" | "i" | "j" | "m") =>
            {
                Some(below.clone())
            }
            Expression::Text(text) => Some(text.clone()),
            _ => None,
        };
        let symbol = match literal {
            Some(literal) => Expression::Symbol(format!("{name}_{{{literal}}}")),
            None => Expression::Indexed(name, Box::new(subscript)),
        };
        match &symbol {
            Expression::Symbol(_) if self.peek_sign() == Some('(') && !self.spaced() => {
                let first = matches!(&symbol, Expression::Symbol(name) if FUNCTION_LETTERS.iter().any(|f| name.starts_with(f)));
                if first {
                    self.applied(symbol)
                } else {
                    Ok(symbol)
                }
            }
            _ => Ok(symbol),
        }
    }

    /// `name(…)`.
    pub(super) fn applied(&mut self, name: Expression) -> Parsed {
        let Expression::Symbol(name) = name else {
            return Ok(name);
        };
        self.expect('(')?;
        let arguments = self.items(')')?;
        self.expect(')')?;
        Ok(Expression::Apply(name, arguments))
    }

    fn command(&mut self, name: &str) -> Parsed {
        match name {
            "frac" | "dfrac" | "tfrac" | "cfrac" | "sfrac" => self.fraction(),
            "binom" | "dbinom" | "tbinom" => {
                let arguments = vec![self.argument()?, self.argument()?];
                Ok(Expression::Call(Function::Binomial, arguments))
            }
            "sum" | "prod" | "int" | "lim" => self.bound(name),
            "mathbbR" | "mathbbZ" | "mathbbN" | "mathbbQ" | "mathbbC" => Ok(Expression::NamedSet(
                name.chars().next_back().unwrap_or('R'),
            )),
            "not" => Err(self.unexpected()),
            _ if DECORATIONS.contains(&name) => self.decorated(name),
            _ => {
                if let Some(function) = function_named(name) {
                    return self.function(function, name);
                }
                if let Some(constant) = constant_named(name) {
                    return Ok(Expression::Constant(constant));
                }
                if is_letter_name(name) {
                    return self.subscripted(name.to_owned());
                }
                if self.peek_sign() != Some('{') && name != "choose" && name != "over" {
                    // An unknown command stands for itself.
                    return Ok(Expression::Symbol(format!("\\{name}")));
                }
                self.at -= 1;
                Err(self.unexpected())
            }
        }
    }

    fn fraction(&mut self) -> Parsed {
        let numerator = self.argument()?;
        let denominator = self.argument()?;
        Ok(quotient(numerator, denominator))
    }

    /// The argument of a command: braces, or one digit, letter or command.
    pub(super) fn argument(&mut self) -> Parsed {
        self.deeper(|parser| {
            match parser.peek() {
                Some(Token::Sign('{')) => return parser.group(),
                Some(Token::Number {
                    digits: Some(digits),
                    ..
                }) if digits.len() > 1 => {
                    // Only the first digit belongs to the command.
                    let (first, rest) = digits.split_at(1);
                    let number = |digits: &str| {
                        BigRational::from_integer(digits.parse().unwrap_or_default())
                    };
                    let (value, rest) = (number(first), rest.to_owned());
                    parser.lexemes[parser.at].token = Token::Number {
                        value: number(&rest),
                        digits: Some(rest),
                    };
                    parser.budget.spend(20)?;
                    return Ok(Expression::Number(value));
                }
                Some(Token::Word(word)) if word.len() > 1 && word.is_ascii() => {
                    let word = word.clone();
                    let (first, rest) = word.split_at(1);
                    parser.lexemes[parser.at].token = Token::Word(rest.to_owned());
                    return Ok(parser.plain_letter(first));
                }
                Some(Token::Sign('-')) => {
                    parser.at += 1;
                    return Ok(parser.argument()?.negated());
                }
                Some(Token::Number { value, .. }) => {
                    let value = value.clone();
                    parser.at += 1;
                    return Ok(Expression::Number(value));
                }
                _ => {}
            }
            parser.atom()
        })
    }

    /// `\overline{AB}`, `\vec v`.
    fn decorated(&mut self, decoration: &str) -> Parsed {
        let mut letters = String::new();
        let braced = self.accept('{');
        loop {
            match self.peek() {
                Some(Token::Word(word)) => letters.push_str(word),
                Some(Token::Number {
                    digits: Some(digits),
                    ..
                }) => letters.push_str(digits),
                _ => break,
            }
            self.at += 1;
            if !braced {
                break;
            }
        }
        if letters.is_empty() || (braced && !self.accept('}')) {
            return Err(self.unexpected());
        }
        Ok(Expression::Symbol(format!("\\{decoration}{{{letters}}}")))
    }
}
