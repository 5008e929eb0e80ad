//! What an answer says, as a tree.

use num_bigint::BigInt;
use num_rational::BigRational;

use super::units::Unit;

/// A constant with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Constant {
    /// π.
    Pi,
    /// Euler's number.
    E,
    /// The imaginary unit.
    I,
    /// ∞.
    Infinity,
}

/// A function with a fixed meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Function {
    /// Sine, and so on.
    Sin,
    /// Cosine.
    Cos,
    /// Tangent.
    Tan,
    /// Cotangent.
    Cot,
    /// Secant.
    Sec,
    /// Cosecant.
    Csc,
    /// Inverse sine.
    Arcsin,
    /// Inverse cosine.
    Arccos,
    /// Inverse tangent.
    Arctan,
    /// Inverse cotangent, in (0, π).
    Arccot,
    /// Inverse secant.
    Arcsec,
    /// Inverse cosecant.
    Arccsc,
    /// Hyperbolic sine.
    Sinh,
    /// Hyperbolic cosine.
    Cosh,
    /// Hyperbolic tangent.
    Tanh,
    /// Inverse hyperbolic sine.
    Arsinh,
    /// Inverse hyperbolic cosine.
    Arcosh,
    /// Inverse hyperbolic tangent.
    Artanh,
    /// Natural logarithm.
    Ln,
    /// Logarithm of the second argument to the base of the first.
    Log,
    /// Exponential function.
    Exp,
    /// Absolute value, of a real or complex number.
    Abs,
    /// Largest integer not above.
    Floor,
    /// Smallest integer not below.
    Ceil,
    /// Factorial.
    Factorial,
    /// Double factorial.
    DoubleFactorial,
    /// Binomial coefficient of two arguments.
    Binomial,
    /// Root: the first argument is the degree.
    Root,
    /// Smallest of the arguments.
    Min,
    /// Largest of the arguments.
    Max,
    /// Greatest common divisor.
    Gcd,
    /// Least common multiple.
    Lcm,
    /// Remainder of the first argument modulo the second.
    Mod,
    /// Residue class: the first argument, known modulo the second.
    Residue,
}

/// How the two sides of a relation stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RelationKind {
    /// `=`
    Equal,
    /// `≠`
    NotEqual,
    /// `<`
    Less,
    /// `≤`
    LessEqual,
    /// `>`
    Greater,
    /// `≥`
    GreaterEqual,
    /// `≈`
    Approximately,
    /// `∈`
    In,
    /// `∼`, `⊥`, `→` and others that are only compared as they stand.
    Other(&'static str),
}

impl RelationKind {
    /// The relation with its sides exchanged.
    pub fn flipped(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessEqual => Self::GreaterEqual,
            Self::Greater => Self::Less,
            Self::GreaterEqual => Self::LessEqual,
            same => same,
        }
    }

    /// Whether this is one of `<`, `≤`, `>`, `≥`.
    pub fn is_order(self) -> bool {
        matches!(
            self,
            Self::Less | Self::LessEqual | Self::Greater | Self::GreaterEqual
        )
    }
}

/// What joins the items of a bare list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Connective {
    /// A comma, a semicolon, or neighbouring boxes.
    Comma,
    /// `and`
    And,
    /// `or`
    Or,
}

/// An operation on sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SetOperation {
    /// ∪
    Union,
    /// ∩
    Intersection,
    /// ∖
    Difference,
}

/// An operator with a bound variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Binder {
    /// Σ
    Sum,
    /// ∏
    Product,
    /// ∫; without bounds, an antiderivative.
    Integral,
    /// lim; the lower bound is the point.
    Limit,
}

/// Which half of the day a time belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Half {
    /// Before noon.
    Am,
    /// After noon.
    Pm,
}

/// An answer, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    /// An exact number: an integer, a fraction of integers, or a decimal.
    Number(BigRational),
    /// A named constant.
    Constant(Constant),
    /// A variable, with its literal subscript and primes: `x`, `x_{12}`, `f'`.
    Symbol(String),
    /// A variable with a subscript that is an expression: `F_{n-1}`.
    Indexed(String, Box<Expression>),
    /// A sum of two or more terms.
    Sum(Vec<Expression>),
    /// A product of two or more factors.
    Product(Vec<Expression>),
    /// A quotient.
    Quotient(Box<Expression>, Box<Expression>),
    /// A power.
    Power(Box<Expression>, Box<Expression>),
    /// A sign in front.
    Negate(Box<Expression>),
    /// `±`: both signs.
    PlusMinus(Box<Expression>),
    /// `∓`: both signs, the other way round.
    MinusPlus(Box<Expression>),
    /// A function of fixed meaning.
    Call(Function, Vec<Expression>),
    /// A function of unknown meaning: `f(x)`.
    Apply(String, Vec<Expression>),
    /// Hundredths.
    Percent(Box<Expression>),
    /// Degrees of angle.
    Degrees(Box<Expression>),
    /// A number with a unit.
    Quantity(Box<Expression>, Unit),
    /// Digits in a base other than ten: `1011_2`.
    Based {
        /// The digits as written.
        digits: String,
        /// The base: 2 to 36.
        base: u32,
    },
    /// `(a, b, …)`; two of them may also be an open interval.
    Tuple(Vec<Expression>),
    /// `{a, b, …}`
    Set(Vec<Expression>),
    /// `a, b and c` without brackets.
    List(Connective, Vec<Expression>),
    /// `[a, b)` and its kin.
    Interval {
        /// Lower end.
        lower: Box<Expression>,
        /// Upper end.
        upper: Box<Expression>,
        /// Whether the lower end belongs to it.
        lower_closed: bool,
        /// Whether the upper end belongs to it.
        upper_closed: bool,
    },
    /// Set operations, from left to right.
    SetOperation(SetOperation, Box<Expression>, Box<Expression>),
    /// A set with a name: ℝ, ℤ, ℕ, ℚ, ℂ.
    NamedSet(char),
    /// Rows of a matrix, all of the same length.
    Matrix(Vec<Vec<Expression>>),
    /// A chain of relations.
    Relation(Box<Expression>, Vec<(RelationKind, Expression)>),
    /// `a : b : c`
    Ratio(Vec<Expression>),
    /// A time of day, in seconds since midnight (or noon, with a half).
    Clock {
        /// Seconds.
        seconds: u32,
        /// am or pm, if said.
        half: Option<Half>,
    },
    /// A sum, product, integral or limit.
    Bound {
        /// Which.
        binder: Binder,
        /// The bound variable.
        variable: String,
        /// Lower bound, or the point of a limit.
        lower: Option<Box<Expression>>,
        /// Upper bound.
        upper: Option<Box<Expression>>,
        /// What is summed.
        body: Box<Expression>,
    },
    /// Words.
    Text(String),
}

impl Expression {
    /// An integer.
    pub fn integer(value: i64) -> Self {
        Self::Number(BigRational::from_integer(BigInt::from(value)))
    }

    /// A word for the kind of answer, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Tuple(_) => "a tuple",
            Self::Set(_) => "a set",
            Self::List(..) => "a list",
            Self::Interval { .. } => "an interval",
            Self::SetOperation(..) | Self::NamedSet(_) => "a set of numbers",
            Self::Matrix(_) => "a matrix",
            Self::Relation(_, rest) => match rest.first() {
                Some((RelationKind::Equal, _)) => "an equation",
                _ => "a relation",
            },
            Self::Ratio(_) => "a ratio",
            Self::Clock { .. } => "a time",
            Self::Text(_) => "a text",
            Self::Quantity(..) => "a quantity",
            _ => "an expression",
        }
    }

    /// Calls `visit` on every direct part.
    pub fn for_each_part(&self, visit: &mut dyn FnMut(&Expression)) {
        match self {
            Self::Number(_)
            | Self::Constant(_)
            | Self::Symbol(_)
            | Self::Based { .. }
            | Self::NamedSet(_)
            | Self::Clock { .. }
            | Self::Text(_) => {}
            Self::Indexed(_, part)
            | Self::Negate(part)
            | Self::PlusMinus(part)
            | Self::MinusPlus(part)
            | Self::Percent(part)
            | Self::Degrees(part)
            | Self::Quantity(part, _) => visit(part),
            Self::Quotient(left, right) | Self::Power(left, right) => {
                visit(left);
                visit(right);
            }
            Self::SetOperation(_, left, right) => {
                visit(left);
                visit(right);
            }
            Self::Interval { lower, upper, .. } => {
                visit(lower);
                visit(upper);
            }
            Self::Sum(parts)
            | Self::Product(parts)
            | Self::Call(_, parts)
            | Self::Apply(_, parts)
            | Self::Tuple(parts)
            | Self::Set(parts)
            | Self::List(_, parts)
            | Self::Ratio(parts) => parts.iter().for_each(visit),
            Self::Matrix(rows) => rows.iter().flatten().for_each(visit),
            Self::Relation(first, rest) => {
                visit(first);
                rest.iter().for_each(|(_, part)| visit(part));
            }
            Self::Bound {
                lower, upper, body, ..
            } => {
                for part in lower.iter().chain(upper) {
                    visit(part);
                }
                visit(body);
            }
        }
    }

    /// The same expression with every direct part replaced.
    pub(crate) fn map_parts(&self, map: &dyn Fn(&Expression) -> Expression) -> Self {
        let boxed = |part: &Expression| Box::new(map(part));
        let all = |parts: &[Expression]| parts.iter().map(map).collect::<Vec<_>>();
        let maybe = |part: &Option<Box<Expression>>| part.as_deref().map(boxed);
        match self {
            Self::Number(_)
            | Self::Constant(_)
            | Self::Symbol(_)
            | Self::Based { .. }
            | Self::NamedSet(_)
            | Self::Clock { .. }
            | Self::Text(_) => self.clone(),
            Self::Indexed(name, part) => Self::Indexed(name.clone(), boxed(part)),
            Self::Negate(part) => Self::Negate(boxed(part)),
            Self::PlusMinus(part) => Self::PlusMinus(boxed(part)),
            Self::MinusPlus(part) => Self::MinusPlus(boxed(part)),
            Self::Percent(part) => Self::Percent(boxed(part)),
            Self::Degrees(part) => Self::Degrees(boxed(part)),
            Self::Quantity(part, unit) => Self::Quantity(boxed(part), unit.clone()),
            Self::Quotient(left, right) => Self::Quotient(boxed(left), boxed(right)),
            Self::Power(left, right) => Self::Power(boxed(left), boxed(right)),
            Self::SetOperation(operation, left, right) => {
                Self::SetOperation(*operation, boxed(left), boxed(right))
            }
            Self::Interval {
                lower,
                upper,
                lower_closed,
                upper_closed,
            } => Self::Interval {
                lower: boxed(lower),
                upper: boxed(upper),
                lower_closed: *lower_closed,
                upper_closed: *upper_closed,
            },
            Self::Sum(parts) => Self::Sum(all(parts)),
            Self::Product(parts) => Self::Product(all(parts)),
            Self::Call(function, parts) => Self::Call(*function, all(parts)),
            Self::Apply(name, parts) => Self::Apply(name.clone(), all(parts)),
            Self::Tuple(parts) => Self::Tuple(all(parts)),
            Self::Set(parts) => Self::Set(all(parts)),
            Self::List(connective, parts) => Self::List(*connective, all(parts)),
            Self::Ratio(parts) => Self::Ratio(all(parts)),
            Self::Matrix(rows) => Self::Matrix(rows.iter().map(|row| all(row)).collect()),
            Self::Relation(first, rest) => {
                let rest = rest.iter().map(|(kind, part)| (*kind, map(part)));
                Self::Relation(boxed(first), rest.collect())
            }
            Self::Bound {
                binder,
                variable,
                lower,
                upper,
                body,
            } => Self::Bound {
                binder: *binder,
                variable: variable.clone(),
                lower: maybe(lower),
                upper: maybe(upper),
                body: boxed(body),
            },
        }
    }

    /// The expression with what `replacement` makes for each free occurrence of the variable `name`.
    pub(crate) fn substitute(&self, name: &str, replacement: &dyn Fn() -> Expression) -> Self {
        match self {
            Self::Symbol(symbol) if symbol == name => replacement(),
            Self::Bound { variable, .. } if variable == name => self.clone(),
            other => other.map_parts(&|part| part.substitute(name, replacement)),
        }
    }

    /// Whether `test` holds for this or any part of it.
    pub fn any(&self, test: &dyn Fn(&Expression) -> bool) -> bool {
        if test(self) {
            return true;
        }
        let mut found = false;
        self.for_each_part(&mut |part| found = found || part.any(test));
        found
    }

    /// The free variables, in order of appearance.
    pub fn symbols(&self) -> Vec<String> {
        fn gather(expression: &Expression, bound: &mut Vec<String>, found: &mut Vec<String>) {
            match expression {
                Expression::Symbol(name) => {
                    if !bound.contains(name) && !found.contains(name) {
                        found.push(name.clone());
                    }
                }
                Expression::Bound {
                    binder,
                    variable,
                    lower,
                    upper,
                    body,
                } => {
                    for part in lower.iter().chain(upper) {
                        gather(part, bound, found);
                    }
                    // An antiderivative is a function of its variable.
                    let closed = *binder != Binder::Integral || lower.is_some();
                    if closed {
                        bound.push(variable.clone());
                    }
                    gather(body, bound, found);
                    if closed {
                        bound.pop();
                    }
                }
                other => other.for_each_part(&mut |part| gather(part, bound, found)),
            }
        }
        let mut found = Vec::new();
        gather(self, &mut Vec::new(), &mut found);
        found
    }

    /// Whether this is one number, known or not: no set, relation, text or list.
    pub fn is_scalar(&self) -> bool {
        match self {
            Self::Number(_)
            | Self::Constant(_)
            | Self::Symbol(_)
            | Self::Based { .. }
            | Self::Indexed(..) => true,
            Self::Sum(_)
            | Self::Product(_)
            | Self::Quotient(..)
            | Self::Power(..)
            | Self::Negate(_)
            | Self::Call(..)
            | Self::Percent(_)
            | Self::Degrees(_)
            | Self::Quantity(..)
            | Self::Bound { .. } => {
                let mut all = true;
                self.for_each_part(&mut |part| all = all && part.is_scalar());
                all
            }
            // What an unknown function is given is not looked into.
            Self::Apply(..) => true,
            _ => false,
        }
    }

    /// A sum, without a wrapper around a single term.
    pub(crate) fn sum(mut terms: Vec<Self>) -> Self {
        match terms.len() {
            1 => terms.remove(0),
            _ => Self::Sum(terms),
        }
    }

    /// A product, without a wrapper around a single factor.
    pub(crate) fn product(mut factors: Vec<Self>) -> Self {
        match factors.len() {
            1 => factors.remove(0),
            _ => Self::Product(factors),
        }
    }

    /// The negative; that of a written number is a number.
    pub(crate) fn negated(self) -> Self {
        match self {
            Self::Number(value) => Self::Number(-value),
            other => Self::Negate(Box::new(other)),
        }
    }
}
