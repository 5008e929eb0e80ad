//! Functions with their arguments, roots, sums and integrals.

use super::super::expression::{Binder, Expression, Function};
use super::super::token::Token;
use super::super::vocabulary::inverse;
use super::{Parsed, Parser};

impl Parser<'_> {
    /// A function whose name has just been read.
    pub(super) fn function(&mut self, function: Function, name: &str) -> Parsed {
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
    pub(super) fn bound(&mut self, name: &str) -> Parsed {
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

pub(super) fn root(degree: Expression, inner: Expression) -> Expression {
    Expression::Call(Function::Root, vec![degree, inner])
}
