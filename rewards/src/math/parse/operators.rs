//! Sums, products, powers, and the signs that follow an operand.

use num_rational::BigRational;
use num_traits::{One, Signed, Zero};

use super::super::expression::{Expression, Function};
use super::super::token::Token;
use super::super::units::Unit;
use super::super::vocabulary::function_named;
use super::labels::is_numeric;
use super::{Parsed, Parser, connective_word, glued_connective, is_set};

impl Parser<'_> {
    pub(super) fn sum(&mut self) -> Parsed {
        self.deeper(|parser| {
            let mut terms = Vec::new();
            let mut sign = parser.accept_sign().unwrap_or('+');
            loop {
                // Signs may pile up: `--1`, `+-1`.
                while let Some(next) = parser.peek_sign() {
                    sign = match (sign, next) {
                        (sign, '+') => sign,
                        ('-', '-') => '+',
                        ('+', '-') => '-',
                        ('±', '-') => '∓',
                        ('∓', '-') => '±',
                        ('+', '±') => '±',
                        ('-', '±') => '∓',
                        _ => break,
                    };
                    parser.budget.spend(4)?;
                    parser.at += 1;
                }
                let term = parser.term()?;
                terms.push(match sign {
                    '-' => term.negated(),
                    '±' => Expression::PlusMinus(Box::new(term)),
                    '∓' => Expression::MinusPlus(Box::new(term)),
                    _ => term,
                });
                // `ℝ − {0}` is a matter of sets.
                if terms.len() == 1 && is_set(&terms[0]) {
                    break;
                }
                match parser.accept_sign() {
                    Some(next) => sign = next,
                    None => break,
                }
            }
            Ok(Expression::sum(terms))
        })
    }

    fn accept_sign(&mut self) -> Option<char> {
        let sign = self
            .peek_sign()
            .filter(|sign| matches!(sign, '+' | '-' | '±' | '∓'))?;
        self.at += 1;
        Some(sign)
    }

    pub(super) fn term(&mut self) -> Parsed {
        let mut factors = Vec::new();
        if let Some(Token::Currency(sign)) = self.peek() {
            let sign = *sign;
            self.at += 1;
            let negative = self.accept('-');
            let amount = self.power()?;
            let amount = if negative { amount.negated() } else { amount };
            let unit = Unit::word(sign).unwrap_or_else(|| Unit::label(sign));
            factors.push(Expression::Quantity(Box::new(amount), unit));
        } else {
            let first = self.power()?;
            if is_set(&first) || matches!(first, Expression::Text(_)) {
                return Ok(first);
            }
            factors.push(first);
        }
        loop {
            self.budget.spend(4)?;
            match self.peek() {
                Some(Token::Sign('*')) => {
                    self.at += 1;
                    let factor = self.signed_power()?;
                    push_factor(&mut factors, factor);
                }
                Some(Token::Sign('/')) => {
                    self.chain()?;
                    self.at += 1;
                    let divisor = self.signed_power()?;
                    let dividend = Expression::product(std::mem::take(&mut factors));
                    factors.push(quotient(dividend, divisor));
                }
                Some(Token::Command(name))
                    if matches!(name.as_str(), "pmod" | "mod" | "pod" | "bmod") =>
                {
                    let function = if name == "bmod" {
                        Function::Mod
                    } else {
                        Function::Residue
                    };
                    self.chain()?;
                    self.at += 1;
                    let modulus = self.argument()?;
                    let value = Expression::product(std::mem::take(&mut factors));
                    factors.push(Expression::Call(function, vec![value, modulus]));
                }
                Some(Token::Word(word)) if word == "mod" => {
                    self.chain()?;
                    self.at += 1;
                    let modulus = self.power()?;
                    let value = Expression::product(std::mem::take(&mut factors));
                    factors.push(Expression::Call(Function::Mod, vec![value, modulus]));
                }
                Some(Token::Sign('(')) if self.modulus_ahead() => {
                    self.chain()?;
                    self.at += 2;
                    let modulus = self.sum()?;
                    self.expect(')')?;
                    let value = Expression::product(std::mem::take(&mut factors));
                    factors.push(Expression::Call(Function::Residue, vec![value, modulus]));
                }
                _ if self.half_ahead().is_some() => break,
                _ => {
                    if self.label(&mut factors)? {
                        continue;
                    }
                    // `5 \text{ days } 6 \text{ hours}`
                    let compound = matches!(factors.as_slice(), [Expression::Quantity(_, unit)] if unit.is_known())
                        && matches!(self.peek(), Some(Token::Number { .. }));
                    if compound || !self.multiplies() || self.condition_ahead() {
                        break;
                    }
                    let factor = self.power()?;
                    push_factor(&mut factors, factor);
                }
            }
        }
        let measured = Expression::product(factors);
        if matches!(&measured, Expression::Quantity(_, unit) if unit.is_known())
            && matches!(self.peek(), Some(Token::Number { .. }))
        {
            return self.compound(measured);
        }
        Ok(measured)
    }

    /// `2 h 30 min`, of which the first part has been read.
    fn compound(&mut self, first: Expression) -> Parsed {
        self.deeper(|parser| {
            let next = parser.term()?;
            // From the larger to the smaller: `5 m 6 m` is nothing.
            let smaller = |left: &Unit, right: &Unit| right.to(left).is_some_and(|factor| factor < BigRational::one());
            let same = match (&first, &next) {
                (Expression::Quantity(_, left), Expression::Quantity(_, right)) => {
                    smaller(left, right)
                }
                (Expression::Quantity(_, left), Expression::Sum(parts)) => {
                    matches!(parts.first(), Some(Expression::Quantity(_, right)) if smaller(left, right))
                }
                _ => false,
            };
            if !same {
                return Err(parser.unexpected());
            }
            let mut parts = vec![first];
            match next {
                Expression::Sum(more) => parts.extend(more),
                one => parts.push(one),
            }
            Ok(Expression::Sum(parts))
        })
    }

    /// A power that may have a sign of its own, as after `*` or `^`.
    fn signed_power(&mut self) -> Parsed {
        self.deeper(|parser| {
            if parser.accept('-') {
                return Ok(parser.signed_power()?.negated());
            }
            if parser.accept('±') {
                return Ok(Expression::PlusMinus(Box::new(parser.signed_power()?)));
            }
            parser.accept('+');
            parser.power()
        })
    }

    /// Whether `(mod …)` follows.
    fn modulus_ahead(&self) -> bool {
        match self.peek_at(1) {
            Some(Token::Word(word) | Token::Command(word) | Token::Text(word)) => {
                matches!(word.trim(), "mod" | "bmod")
            }
            _ => false,
        }
    }

    /// Whether a condition in brackets follows, such as `(k ∈ ℤ)`.
    pub(super) fn condition_ahead(&self) -> bool {
        self.peek_sign() == Some('(')
            && matches!(self.peek_at(1), Some(Token::Word(_) | Token::Command(_)))
            && self.peek_at(2) == Some(&Token::Sign('∈'))
    }

    /// Whether what follows is multiplied without a sign.
    pub(super) fn multiplies(&self) -> bool {
        match self.peek() {
            Some(Token::Number { .. }) => {
                // `x2` and `1 2` are no products; `\pi 2` and `(a)2` are.
                self.at > 0
                    && !matches!(
                        self.lexemes[self.at - 1].token,
                        Token::Number { .. } | Token::Word(_)
                    )
            }
            Some(Token::Word(word)) => {
                connective_word(word).is_none() && glued_connective(word).is_none()
            }
            Some(Token::Command(name)) => !matches!(
                name.as_str(),
                "choose" | "over" | "pmod" | "mod" | "pod" | "bmod" | "not"
            ),
            Some(Token::Sign(sign)) => match sign {
                '(' | '{' | '⌊' | '⌈' | '√' | '∞' => true,
                '[' => self.brackets == 0,
                '|' => self.bars == 0 && !self.bar_stops,
                _ => false,
            },
            Some(Token::Begin(_)) => true,
            _ => false,
        }
    }

    pub(super) fn power(&mut self) -> Parsed {
        let base = self.postfix()?;
        if self.peek_sign() != Some('^') {
            return Ok(base);
        }
        self.at += 1;
        self.raise(base)
    }

    /// `base` to the exponent that follows.
    pub(super) fn raise(&mut self, base: Expression) -> Parsed {
        if self.degree_sign() {
            return Ok(self.degrees(base));
        }
        if self.ordinal() {
            return Ok(base);
        }
        let exponent = self.exponent()?;
        if let Some(chosen) = arrangements(&base, &exponent) {
            return self.after_operand(chosen);
        }
        let power = Expression::Power(Box::new(base), Box::new(exponent));
        self.after_operand(power)
    }

    /// What stands above: `{…}`, one atom with its sign, and further powers to the right.
    pub(super) fn exponent(&mut self) -> Parsed {
        self.deeper(|parser| {
            if parser.accept('-') {
                return Ok(parser.exponent()?.negated());
            }
            parser.accept('+');
            let atom = match parser.peek() {
                Some(Token::Sign('{')) => parser.group()?,
                _ => parser.atom()?,
            };
            if parser.accept('^') {
                let exponent = parser.exponent()?;
                return Ok(Expression::Power(Box::new(atom), Box::new(exponent)));
            }
            Ok(atom)
        })
    }

    /// `\circ`, alone or in braces.
    fn degree_sign(&mut self) -> bool {
        let braced = self.peek_sign() == Some('{');
        let sign = self.peek_at(usize::from(braced));
        let degree = match sign {
            Some(Token::Sign('°')) => true,
            Some(Token::Word(word)) => word == "o",
            _ => false,
        };
        if !degree || (braced && self.peek_at(2) != Some(&Token::Sign('}'))) {
            return false;
        }
        self.at += if braced { 3 } else { 1 };
        true
    }

    /// `th` in `5^{th}`.
    fn ordinal(&mut self) -> bool {
        let braced = self.peek_sign() == Some('{');
        let ordinal = match self.peek_at(usize::from(braced)) {
            Some(Token::Text(word) | Token::Word(word)) => {
                matches!(word.as_str(), "th" | "st" | "nd" | "rd")
            }
            _ => false,
        };
        if ordinal {
            self.at += if braced { 3 } else { 1 };
        }
        ordinal
    }

    fn postfix(&mut self) -> Parsed {
        let atom = self.atom()?;
        self.after_operand(atom)
    }

    /// Signs that follow an operand.
    fn after_operand(&mut self, mut operand: Expression) -> Parsed {
        loop {
            self.budget.spend(2)?;
            match self.peek_sign() {
                Some('!') => {
                    self.at += 1;
                    let double = !self.spaced() && self.accept('!');
                    let function = if double {
                        Function::DoubleFactorial
                    } else {
                        Function::Factorial
                    };
                    operand = Expression::Call(function, vec![operand]);
                }
                Some('%') => {
                    self.at += 1;
                    operand = Expression::Percent(Box::new(operand));
                }
                Some('°') => {
                    self.at += 1;
                    operand = self.degrees(operand);
                }
                Some('\'') => match operand {
                    Expression::Symbol(name) => {
                        self.at += 1;
                        operand = Expression::Symbol(format!("{name}'"));
                        if self.peek_sign() == Some('(') {
                            operand = self.applied(operand)?;
                        }
                    }
                    other => return Ok(other),
                },
                _ => return Ok(operand),
            }
            self.chain()?;
        }
    }

    /// Degrees of angle, or of temperature if a `C` or `F` follows.
    fn degrees(&mut self, operand: Expression) -> Expression {
        if let Some(Token::Word(word) | Token::Text(word)) = self.peek()
            && matches!(word.as_str(), "C" | "F")
            && is_numeric(&operand)
        {
            let label = Unit::label(&format!("°{word}"));
            self.at += 1;
            return Expression::Quantity(Box::new(operand), label);
        }
        Expression::Degrees(Box::new(operand))
    }

    /// The argument of a function without brackets: `2x` in `\sin 2x`.
    pub(super) fn bare_argument(&mut self) -> Parsed {
        self.deeper(|parser| {
            let mut factors = vec![parser.signed_power()?];
            loop {
                parser.budget.spend(4)?;
                let goes_on = match parser.peek() {
                    Some(Token::Word(word)) => {
                        function_named(word).is_none() && parser.multiplies() && word.len() == 1
                    }
                    Some(Token::Command(name)) => {
                        function_named(name).is_none() && parser.multiplies()
                    }
                    Some(Token::Sign('{' | '√')) => true,
                    _ => false,
                };
                if !goes_on {
                    break;
                }
                let factor = parser.power()?;
                push_factor(&mut factors, factor);
            }
            if parser.peek_sign() == Some('/') && parser.plain_divisor() {
                parser.at += 1;
                let divisor = parser.power()?;
                return Ok(quotient(Expression::product(factors), divisor));
            }
            Ok(Expression::product(factors))
        })
    }

    /// Whether a number follows the `/`, as in `\sin \pi/6`.
    fn plain_divisor(&self) -> bool {
        matches!(self.peek_at(1), Some(Token::Number { .. }))
    }
}

/// `C_{12}^{3}` and `A_{12}^{3}` of written numbers: combinations and permutations, as they are written in many countries.
fn arrangements(base: &Expression, exponent: &Expression) -> Option<Expression> {
    let (Expression::Symbol(name), Expression::Number(chosen)) = (base, exponent) else {
        return None;
    };
    let (letter, all) = name.strip_suffix('}')?.split_once("_{")?;
    let all: i64 = all.parse().ok().filter(|all| (3..=1000).contains(all))?;
    let all_number = BigRational::from_integer(all.into());
    if !chosen.is_integer() || chosen.is_negative() || *chosen > all_number {
        return None;
    }
    let choose = Expression::Call(
        Function::Binomial,
        vec![Expression::integer(all), exponent.clone()],
    );
    match letter {
        "C" => Some(choose),
        "A" => Some(Expression::Product(vec![
            choose,
            Expression::Call(Function::Factorial, vec![exponent.clone()]),
        ])),
        _ => None,
    }
}

/// Multiplies by `factor`; a product in it keeps its brackets only if it had any, so products are flat.
pub(super) fn push_factor(factors: &mut Vec<Expression>, factor: Expression) {
    factors.push(factor);
}

/// A quotient; that of two written integers is a number.
pub(super) fn quotient(dividend: Expression, divisor: Expression) -> Expression {
    if let (Expression::Number(left), Expression::Number(right)) = (&dividend, &divisor)
        && left.is_integer()
        && right.is_integer()
        && !right.is_zero()
        && left.numer().bits().max(right.numer().bits()) <= FOLDED_BITS
    {
        return Expression::Number(left / right);
    }
    Expression::Quotient(Box::new(dividend), Box::new(divisor))
}

/// Longest integers that make a fraction at once, in bits: reducing longer ones has its price, which is paid later.
const FOLDED_BITS: u64 = 512;

/// Whether a number can be the fraction of a mixed number: above 0 and below 1.
pub(super) fn is_proper_fraction(value: &BigRational) -> bool {
    value.is_positive() && value < &BigRational::one()
}
