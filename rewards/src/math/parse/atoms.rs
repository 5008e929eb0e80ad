//! Numbers, names, brackets, matrices, and commands with arguments.

use num_rational::BigRational;
use num_traits::{Signed, Zero};

use super::super::expression::{Binder, Constant, Expression, Function};
use super::super::token::Token;
use super::labels::{based_number, function_prefix};
use super::names::{
    DECORATIONS, constant_named, function_named, inverse, is_english, is_letter_name,
};
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

    /// `{…}`: what is inside; a list in it is a set.
    pub(super) fn group(&mut self) -> Parsed {
        self.expect('{')?;
        let bars = std::mem::take(&mut self.bars);
        let bar_stops = std::mem::take(&mut self.bar_stops);
        let mut inner = self.answer()?;
        if let Some(Token::Command(name)) = self.peek()
            && matches!(name.as_str(), "choose" | "over")
        {
            let choose = name == "choose";
            self.at += 1;
            let below = self.answer()?;
            inner = match choose {
                true => Expression::Call(Function::Binomial, vec![inner, below]),
                false => quotient(inner, below),
            };
        }
        self.expect('}')?;
        self.bars = bars;
        self.bar_stops = bar_stops;
        Ok(match inner {
            Expression::List(_, items) => Expression::Set(items),
            other => other,
        })
    }

    /// The items of a bracket that has been opened, up to `close` or another bracket that closes.
    fn items(&mut self, close: char) -> Result<Vec<Expression>, super::ParseError> {
        if self.peek_sign() == Some(close) {
            return Ok(Vec::new());
        }
        self.brackets += 1;
        let bars = std::mem::take(&mut self.bars);
        let answer = self.answer()?;
        self.brackets -= 1;
        self.bars = bars;
        Ok(match answer {
            Expression::List(_, items) => items,
            other => vec![other],
        })
    }

    fn bracket(&mut self, sign: char) -> Parsed {
        match sign {
            '(' | '[' | ']' => self.deeper(|parser| parser.round_or_square(sign)),
            '{' => self.group(),
            '⦃' => self.deeper(Self::set),
            '⟨' => {
                self.at += 1;
                let items = self.items('⟩')?;
                self.expect('⟩')?;
                Ok(Expression::Tuple(items))
            }
            '|' => self.deeper(|parser| {
                parser.at += 1;
                parser.bars += 1;
                let stops = std::mem::take(&mut parser.bar_stops);
                let inner = parser.sum()?;
                parser.bars -= 1;
                parser.bar_stops = stops;
                // `||v||`
                parser.expect('|')?;
                Ok(Expression::Call(Function::Abs, vec![inner]))
            }),
            '⌊' | '⌈' => self.deeper(|parser| {
                parser.at += 1;
                let inner = parser.sum()?;
                let (close, function) = match sign {
                    '⌊' => ('⌋', Function::Floor),
                    _ => ('⌉', Function::Ceil),
                };
                parser.expect(close)?;
                Ok(Expression::Call(function, vec![inner]))
            }),
            '√' => {
                self.at += 1;
                let inner = self.deeper(Self::atom)?;
                Ok(root(Expression::integer(2), inner))
            }
            '∛' | '∜' => {
                self.at += 1;
                let inner = self.deeper(Self::atom)?;
                Ok(root(
                    Expression::integer(if sign == '∛' { 3 } else { 4 }),
                    inner,
                ))
            }
            '∞' => {
                self.at += 1;
                Ok(Expression::Constant(Constant::Infinity))
            }
            '∅' => {
                self.at += 1;
                Ok(Expression::Set(Vec::new()))
            }
            '…' => {
                self.at += 1;
                Ok(Expression::Symbol("…".to_owned()))
            }
            _ => Err(self.unexpected()),
        }
    }

    /// `(…)`, `[…]`, `(…]`, `[…)`, and the French `]…[`.
    fn round_or_square(&mut self, open: char) -> Parsed {
        self.at += 1;
        let items = self.items(if open == '(' { ')' } else { ']' })?;
        let close = match self.peek_sign() {
            Some(close @ (')' | ']')) => close,
            Some('[') if open != '(' => '[',
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        let round = open == '(' && close == ')';
        let mut items = items;
        if items.len() == 2 && !round {
            let upper = Box::new(items.remove(1));
            let lower = Box::new(items.remove(0));
            if open == '[' && close == ']' {
                if let Some(rows) = rows(&lower, &upper) {
                    return Ok(Expression::Matrix(rows));
                }
            }
            return Ok(Expression::Interval {
                lower,
                upper,
                lower_closed: open == '[',
                upper_closed: close == ']',
            });
        }
        let same = round || (open == '[' && close == ']');
        match items.len() {
            _ if !same => Err(self.unexpected()),
            1 => Ok(items.remove(0)),
            _ => Ok(Expression::Tuple(items)),
        }
    }

    /// `\{…\}`, also with a condition: `\{x \mid x > 3\}`.
    fn set(&mut self) -> Parsed {
        self.at += 1;
        if self.accept('⦄') {
            return Ok(Expression::Set(Vec::new()));
        }
        let stops = std::mem::replace(&mut self.bar_stops, true);
        let bars = std::mem::take(&mut self.bars);
        let first = self.answer()?;
        self.bar_stops = stops;
        let result = if self.accept('|') || self.accept(':') {
            let condition = self.answer()?;
            match first {
                Expression::Symbol(_) => condition,
                Expression::Relation(element, rest) => {
                    // `\{x ∈ ℝ : x > 3\}`: reals unless the domain says more.
                    match rest.as_slice() {
                        [(super::RelationKind::In, Expression::NamedSet('R'))]
                            if matches!(*element, Expression::Symbol(_)) =>
                        {
                            condition
                        }
                        _ => return Err(self.unexpected()),
                    }
                }
                _ => return Err(self.unexpected()),
            }
        } else {
            match first {
                Expression::List(_, items) => Expression::Set(items),
                other => Expression::Set(vec![other]),
            }
        };
        self.bars = bars;
        self.expect('⦄')?;
        Ok(result)
    }

    fn matrix(&mut self) -> Parsed {
        self.deeper(|parser| {
            let Some(Token::Begin(name)) = parser.peek() else {
                return Err(parser.unexpected());
            };
            let known = [
                "pmatrix",
                "bmatrix",
                "Bmatrix",
                "matrix",
                "smallmatrix",
                "array",
                "vmatrix",
                "Vmatrix",
            ];
            let (name, determinant) = (name.clone(), name == "vmatrix");
            if !known.contains(&name.as_str()) {
                return Err(parser.unexpected());
            }
            parser.at += 1;
            let mut rows = vec![Vec::new()];
            loop {
                match parser.peek() {
                    Some(Token::End(end)) if *end == name => {
                        parser.at += 1;
                        break;
                    }
                    Some(Token::Break) => {
                        parser.at += 1;
                        rows.push(Vec::new());
                    }
                    Some(Token::Sign('&')) => parser.at += 1,
                    _ => {
                        let cell = parser.relation()?;
                        if let Some(row) = rows.last_mut() {
                            row.push(cell);
                        }
                        if !matches!(
                            parser.peek(),
                            Some(Token::Sign('&') | Token::Break | Token::End(_))
                        ) {
                            return Err(parser.unexpected());
                        }
                    }
                }
                parser.budget.spend(4)?;
            }
            if rows.last().is_some_and(Vec::is_empty) {
                rows.pop();
            }
            let width = rows.first().map_or(0, Vec::len);
            if width == 0 || determinant || rows.iter().any(|row| row.len() != width) {
                return Err(parser.unexpected());
            }
            Ok(Expression::Matrix(rows))
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

    /// A function whose name has just been read.
    fn function(&mut self, function: Function, name: &str) -> Parsed {
        if function == Function::Root {
            return self.root_of(name);
        }
        let mut base = None;
        let mut exponent = None;
        for _ in 0..2 {
            if function == Function::Log && base.is_none() && self.accept('_') {
                base = Some(self.argument_number()?);
            } else if exponent.is_none() && self.accept('^') {
                exponent = Some(self.exponent()?);
            }
        }
        let arguments = self.function_arguments()?;
        let (function, exponent) = match &exponent {
            Some(Expression::Number(value))
                if value.to_integer() == (-1).into() && value.is_integer() =>
            {
                match inverse(function) {
                    Some(inverse) => (inverse, None),
                    None => (function, exponent),
                }
            }
            _ => (function, exponent),
        };
        let call = match (function, arguments.len()) {
            (Function::Min | Function::Max | Function::Gcd | Function::Lcm, 1..) => {
                Expression::Call(function, arguments)
            }
            (Function::Log, 1) => {
                let mut arguments = arguments;
                let base = base.unwrap_or_else(|| Expression::integer(10));
                arguments.insert(0, base);
                Expression::Call(Function::Log, arguments)
            }
            (_, 1) => Expression::Call(function, arguments),
            _ => return Err(self.unexpected()),
        };
        Ok(match exponent {
            Some(exponent) => Expression::Power(Box::new(call), Box::new(exponent)),
            None => call,
        })
    }

    /// The base of a logarithm: braces, or a whole number.
    fn argument_number(&mut self) -> Parsed {
        if let Some(Token::Number { value, .. }) = self.peek() {
            let value = value.clone();
            self.at += 1;
            return Ok(Expression::Number(value));
        }
        self.argument()
    }

    fn function_arguments(&mut self) -> Result<Vec<Expression>, super::ParseError> {
        self.deeper(|parser| match parser.peek_sign() {
            Some('(') => {
                parser.at += 1;
                let items = parser.items(')')?;
                parser.expect(')')?;
                Ok(items)
            }
            Some('[') => {
                parser.at += 1;
                let items = parser.items(']')?;
                parser.expect(']')?;
                Ok(items)
            }
            Some('{') => {
                let inner = parser.group()?;
                Ok(match inner {
                    Expression::Set(items) => items,
                    other => vec![other],
                })
            }
            Some('⦃') => match parser.set()? {
                Expression::Set(items) => Ok(items),
                _ => Err(parser.unexpected()),
            },
            _ => Ok(vec![parser.bare_argument()?]),
        })
    }

    /// `\sqrt[3]{x}`, `sqrt(x)`, `\sqrt 3`, `cbrt(x)`.
    fn root_of(&mut self, name: &str) -> Parsed {
        let mut degree = Expression::integer(if name == "cbrt" { 3 } else { 2 });
        if self.accept('[') {
            self.brackets += 1;
            degree = self.sum()?;
            self.brackets -= 1;
            self.expect(']')?;
        }
        let inner = match self.peek() {
            Some(Token::Sign('{')) => self.deeper(Self::group)?,
            Some(Token::Number { value, .. }) => {
                let value = value.clone();
                self.at += 1;
                Expression::Number(value)
            }
            _ => self.argument()?,
        };
        Ok(root(degree, inner))
    }

    /// `\sum_{k=1}^{n} …` and its kin; the command has been read.
    fn bound(&mut self, name: &str) -> Parsed {
        self.deeper(|parser| {
            let binder = match name {
                "sum" => Binder::Sum,
                "prod" => Binder::Product,
                "int" => Binder::Integral,
                _ => Binder::Limit,
            };
            let mut variable = None;
            let (mut lower, mut upper) = (None, None);
            let outer = parser.bound.len();
            for _ in 0..2 {
                if parser.accept('_') {
                    // The bound variable may be called i or e.
                    let letter = match (parser.peek(), parser.peek_at(1), parser.peek_at(2)) {
                        (
                            Some(Token::Sign('{')),
                            Some(Token::Word(letter)),
                            Some(Token::Sign('=' | '→')),
                        ) => Some(letter.clone()),
                        _ => None,
                    };
                    parser.bound.extend(letter);
                    let below = parser.argument()?;
                    match (binder, below) {
                        (Binder::Integral, below) => lower = Some(Box::new(below)),
                        (_, Expression::Relation(first, rest)) => {
                            if let (Expression::Symbol(letter), [(_, from)]) =
                                (*first, rest.as_slice())
                            {
                                variable = Some(letter);
                                lower = Some(Box::new(from.clone()));
                            }
                        }
                        _ => return Err(parser.unexpected()),
                    }
                } else if parser.accept('^') {
                    upper = Some(Box::new(parser.exponent()?));
                }
            }
            let body = if binder == Binder::Integral {
                parser.sum()?
            } else {
                parser.term()?
            };
            parser.bound.truncate(outer);
            if binder == Binder::Integral {
                return parser.integral(body, lower, upper);
            }
            let Some(variable) = variable else {
                return Err(parser.unexpected());
            };
            Ok(Expression::Bound {
                binder,
                variable,
                lower,
                upper,
                body: Box::new(body),
            })
        })
    }

    /// Takes the `dx` off the end of an integral's body.
    fn integral(
        &self,
        body: Expression,
        lower: Option<Box<Expression>>,
        upper: Option<Box<Expression>>,
    ) -> Parsed {
        let symbol = |expression: &Expression| match expression {
            Expression::Symbol(name) => Some(name.clone()),
            _ => None,
        };
        let take = |mut factors: Vec<Expression>| -> Option<(Expression, String)> {
            let variable = symbol(factors.last()?)?;
            factors.pop();
            (symbol(factors.last()?)? == "d").then_some(())?;
            factors.pop();
            if factors.is_empty() {
                factors.push(Expression::integer(1));
            }
            Some((Expression::product(factors), variable))
        };
        let found = match body {
            Expression::Product(factors) => take(factors),
            Expression::Sum(mut terms) => match terms.pop() {
                Some(Expression::Product(factors)) => take(factors).map(|(last, variable)| {
                    terms.push(last);
                    (Expression::sum(terms), variable)
                }),
                _ => None,
            },
            _ => None,
        };
        let Some((body, variable)) = found else {
            return Err(self.unexpected());
        };
        Ok(Expression::Bound {
            binder: Binder::Integral,
            variable,
            lower,
            upper,
            body: Box::new(body),
        })
    }
}

fn root(degree: Expression, inner: Expression) -> Expression {
    Expression::Call(Function::Root, vec![degree, inner])
}

/// Rows of `[[1, 2], [3, 4]]`, whose rows look like intervals or tuples.
fn rows(first: &Expression, second: &Expression) -> Option<Vec<Vec<Expression>>> {
    let row = |expression: &Expression| match expression {
        Expression::Interval {
            lower,
            upper,
            lower_closed: true,
            upper_closed: true,
        } => Some(vec![(**lower).clone(), (**upper).clone()]),
        Expression::Tuple(items) => Some(items.clone()),
        _ => None,
    };
    let rows = vec![row(first)?, row(second)?];
    (rows[0].len() == rows[1].len()).then_some(rows)
}
