//! Canonical forms: quotients of polynomials over "atoms".
//!
//! An atom is a variable, a prime number under a root, π, e, i, or a function whose arguments are in canonical form. Two
//! expressions with the same form are equal wherever both are defined. The other direction does not hold: `sin²x + cos²x`
//! and 1 have different forms.

mod power;

use std::collections::{BTreeMap, HashMap};

use num_bigint::BigInt;
use num_rational::{BigRational, Rational64};
use num_traits::{CheckedAdd, One, Pow, Signed, Zero};

use super::budget::{Budget, Doubt};
use super::exact::{Scope, add, exact, multiply};
use super::expression::{Binder, Constant, Expression, Function};

/// Most terms of a polynomial.
const MAX_TERMS: usize = 160;

/// Largest exponent that a sum is raised to.
const MAX_POWER: i64 = 16;

/// Primes up to this are divided out of a radicand.
const MAX_PRIME: u64 = 2000;

/// Longest coefficient, in bits.
const MAX_COEFFICIENT: u64 = 4096;

/// A sign that is not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// Above zero.
    Positive,
    /// Below zero.
    Negative,
}

/// Whether both have the same canonical form. `false` says nothing.
pub(super) fn same_normal_form(
    left: &Expression,
    right: &Expression,
    budget: &Budget,
) -> Result<bool, Doubt> {
    let mut normalizer = Normalizer::new(budget);
    let Some((left, right)) = normalizer.both(left, right)? else {
        return Ok(false);
    };
    let (Some(a), Some(b)) = (
        normalizer.product(&left.above, &right.below)?,
        normalizer.product(&right.above, &left.below)?,
    ) else {
        return Ok(false);
    };
    Ok(a == b)
}

/// The sign of the rational number `c` with `left = c·right`, if there is one; for `symmetric` relations, which only ask
/// where both are zero, denominators do not count.
pub(super) fn same_up_to_factor(
    left: &Expression,
    right: &Expression,
    symmetric: bool,
    budget: &Budget,
) -> Result<Option<Sign>, Doubt> {
    let mut normalizer = Normalizer::new(budget);
    let Some((left, right)) = normalizer.both(left, right)? else {
        return Ok(None);
    };
    if symmetric && let Some(sign) = factor(&left.above, &right.above) {
        return Ok(Some(sign));
    }
    let (Some(a), Some(b)) = (
        normalizer.product(&left.above, &right.below)?,
        normalizer.product(&right.above, &left.below)?,
    ) else {
        return Ok(None);
    };
    Ok(factor(&a, &b))
}

/// The sign of `c` in `left = c·right`.
fn factor(left: &Polynomial, right: &Polynomial) -> Option<Sign> {
    if left.len() != right.len() {
        return None;
    }
    let mut ratio: Option<BigRational> = None;
    for ((left_monomial, x), (right_monomial, y)) in left.iter().zip(right) {
        if left_monomial != right_monomial {
            return None;
        }
        let next = x / y;
        match &ratio {
            Some(ratio) if *ratio != next => return None,
            _ => ratio = Some(next),
        }
    }
    match ratio {
        Some(ratio) if ratio.is_negative() => Some(Sign::Negative),
        _ => Some(Sign::Positive),
    }
}

/// Exponents of atoms, in the order of the atoms; none is zero.
type Monomial = Vec<(u32, Rational64)>;

/// Coefficients of monomials; none is zero.
type Polynomial = BTreeMap<Monomial, BigRational>;

/// A quotient of polynomials.
#[derive(Clone, Debug)]
struct Fraction {
    above: Polynomial,
    below: Polynomial,
}

/// What is known about an atom.
#[derive(Clone, Debug, PartialEq)]
enum Kind {
    /// A positive integer under a root.
    Radicand(BigInt),
    /// The imaginary unit.
    I,
    /// A positive constant, or a power of one.
    Positive,
    /// Anything else.
    Any,
}

struct Normalizer<'a> {
    atoms: HashMap<String, u32>,
    kinds: Vec<Kind>,
    /// Bound variables that have been renamed.
    renamed: usize,
    budget: &'a Budget,
}

type Maybe<T> = Result<Option<T>, Doubt>;

fn constant(value: BigRational) -> Polynomial {
    let mut polynomial = Polynomial::new();
    if !value.is_zero() {
        polynomial.insert(Monomial::new(), value);
    }
    polynomial
}

fn rational(value: BigRational) -> Fraction {
    Fraction {
        above: constant(value),
        below: constant(BigRational::one()),
    }
}

/// The value of a polynomial without atoms.
fn as_constant(polynomial: &Polynomial) -> Option<BigRational> {
    match polynomial.len() {
        0 => Some(BigRational::zero()),
        1 => {
            let (monomial, value) = polynomial.first_key_value()?;
            monomial.is_empty().then(|| value.clone())
        }
        _ => None,
    }
}

impl Fraction {
    fn as_constant(&self) -> Option<BigRational> {
        let below = as_constant(&self.below)?;
        if below.is_zero() {
            return None;
        }
        Some(as_constant(&self.above)? / below)
    }

    fn inverse(self) -> Option<Self> {
        (!self.above.is_empty()).then_some(Self {
            above: self.below,
            below: self.above,
        })
    }

    /// A text that is the same for the same form.
    fn key(&self) -> String {
        let scale = self
            .below
            .last_key_value()
            .map_or_else(BigRational::one, |(_, value)| value.clone());
        let write = |polynomial: &Polynomial| {
            let mut text = String::new();
            for (monomial, value) in polynomial {
                text.push_str(&(value / &scale).to_string());
                for (atom, exponent) in monomial {
                    text.push_str(&format!("*a{atom}^{exponent}"));
                }
                text.push('+');
            }
            text
        };
        format!("({})/({})", write(&self.above), write(&self.below))
    }
}

impl<'a> Normalizer<'a> {
    fn new(budget: &'a Budget) -> Self {
        Self {
            atoms: HashMap::new(),
            kinds: Vec::new(),
            renamed: 0,
            budget,
        }
    }

    /// Both forms; `None` if one has none, or divides by zero.
    fn both(&mut self, left: &Expression, right: &Expression) -> Maybe<(Fraction, Fraction)> {
        let (Some(left), Some(right)) = (self.fraction(left)?, self.fraction(right)?) else {
            return Ok(None);
        };
        Ok((!left.below.is_empty() && !right.below.is_empty()).then_some((left, right)))
    }

    fn atom(&mut self, key: String, kind: Kind) -> Result<u32, Doubt> {
        self.budget.spend(20 + key.len() as u64 / 4)?;
        let next = self.kinds.len() as u32;
        let kinds = &mut self.kinds;
        Ok(*self.atoms.entry(key).or_insert_with(|| {
            kinds.push(kind);
            next
        }))
    }

    fn atom_power(
        &mut self,
        key: String,
        kind: Kind,
        exponent: Rational64,
    ) -> Result<Fraction, Doubt> {
        let atom = self.atom(key, kind)?;
        let mut above = Polynomial::new();
        let monomial = if exponent.is_zero() {
            Monomial::new()
        } else {
            vec![(atom, exponent)]
        };
        above.insert(monomial, BigRational::one());
        Ok(Fraction {
            above,
            below: constant(BigRational::one()),
        })
    }

    fn opaque(&mut self, key: String) -> Maybe<Fraction> {
        self.atom_power(key, Kind::Any, Rational64::one()).map(Some)
    }

    /// The product of two monomials: what remains of the atoms, and a factor that has become rational.
    fn monomials(&self, left: &Monomial, right: &Monomial) -> Option<(Monomial, BigRational)> {
        let mut result = Monomial::with_capacity(left.len() + right.len());
        let mut factor = BigRational::one();
        let (mut i, mut j) = (0, 0);
        while i < left.len() || j < right.len() {
            let take_left = j >= right.len() || (i < left.len() && left[i].0 <= right[j].0);
            let take_right = i >= left.len() || (j < right.len() && right[j].0 <= left[i].0);
            let (atom, mut exponent) = if take_left && take_right {
                (left[i].0, left[i].1.checked_add(&right[j].1)?)
            } else if take_left {
                left[i]
            } else {
                right[j]
            };
            i += usize::from(take_left);
            j += usize::from(take_right);
            match &self.kinds[atom as usize] {
                Kind::Radicand(base) => {
                    let whole = exponent.floor().to_integer();
                    if whole.unsigned_abs() * base.bits() > MAX_COEFFICIENT {
                        return None;
                    }
                    exponent -= Rational64::from_integer(whole);
                    let power = BigRational::from_integer(base.clone());
                    factor *= Pow::pow(power, i32::try_from(whole).ok()?);
                }
                Kind::I if exponent.is_integer() => {
                    let turns = exponent.to_integer().rem_euclid(4);
                    if turns >= 2 {
                        factor = -factor;
                    }
                    exponent = Rational64::from_integer(turns % 2);
                }
                _ => {}
            }
            if !exponent.is_zero() {
                result.push((atom, exponent));
            }
        }
        Some((result, factor))
    }

    fn sum(&self, left: &Polynomial, right: &Polynomial) -> Maybe<Polynomial> {
        let mut sum = left.clone();
        for (monomial, value) in right {
            self.budget.spend(20 + value.numer().bits() / 64)?;
            let entry = sum
                .entry(monomial.clone())
                .or_insert_with(BigRational::zero);
            *entry = add(entry, value, self.budget)?;
            if entry.is_zero() {
                sum.remove(monomial);
            }
        }
        Ok((sum.len() <= MAX_TERMS).then_some(sum))
    }

    fn product(&self, left: &Polynomial, right: &Polynomial) -> Maybe<Polynomial> {
        if left.len() * right.len() > MAX_TERMS * 8 {
            return Ok(None);
        }
        let mut product = Polynomial::new();
        for (left_monomial, x) in left {
            for (right_monomial, y) in right {
                self.budget
                    .spend(40 + 6 * (left_monomial.len() + right_monomial.len()) as u64)?;
                let Some((monomial, factor)) = self.monomials(left_monomial, right_monomial) else {
                    return Ok(None);
                };
                let size = |value: &BigRational| value.numer().bits() + value.denom().bits();
                self.budget.spend_bits(size(x) + size(&factor), size(y))?;
                let value = multiply(&multiply(x, y, self.budget)?, &factor, self.budget)?;
                if size(&value) > MAX_COEFFICIENT {
                    return Ok(None);
                }
                let entry = product.entry(monomial).or_insert_with(BigRational::zero);
                *entry = add(entry, &value, self.budget)?;
            }
        }
        product.retain(|_, value| !value.is_zero());
        Ok((product.len() <= MAX_TERMS).then_some(product))
    }

    fn add(&self, left: Fraction, right: Fraction) -> Maybe<Fraction> {
        if left.below == right.below {
            return Ok(self.sum(&left.above, &right.above)?.map(|above| Fraction {
                above,
                below: left.below,
            }));
        }
        let (Some(a), Some(b), Some(below)) = (
            self.product(&left.above, &right.below)?,
            self.product(&right.above, &left.below)?,
            self.product(&left.below, &right.below)?,
        ) else {
            return Ok(None);
        };
        Ok(self.sum(&a, &b)?.map(|above| Fraction { above, below }))
    }

    fn multiply(&self, left: &Fraction, right: &Fraction) -> Maybe<Fraction> {
        let (Some(above), Some(below)) = (
            self.product(&left.above, &right.above)?,
            self.product(&left.below, &right.below)?,
        ) else {
            return Ok(None);
        };
        Ok(Some(Fraction { above, below }))
    }

    fn fraction(&mut self, expression: &Expression) -> Maybe<Fraction> {
        self.budget.spend(20)?;
        match expression {
            Expression::Number(value) => {
                let size = value.numer().bits() + value.denom().bits();
                Ok((size <= MAX_COEFFICIENT).then(|| rational(value.clone())))
            }
            Expression::Constant(Constant::I) => self
                .atom_power("i".to_owned(), Kind::I, Rational64::one())
                .map(Some),
            Expression::Constant(Constant::Pi) => self
                .atom_power("pi".to_owned(), Kind::Positive, Rational64::one())
                .map(Some),
            Expression::Constant(Constant::E) => self
                .atom_power("e".to_owned(), Kind::Positive, Rational64::one())
                .map(Some),
            Expression::Symbol(name) => self.opaque(format!("x {name}")),
            Expression::Sum(terms) => {
                let mut sum = rational(BigRational::zero());
                for term in terms {
                    let Some(term) = self.fraction(term)? else {
                        return Ok(None);
                    };
                    sum = match self.add(sum, term)? {
                        Some(sum) => sum,
                        None => return Ok(None),
                    };
                }
                Ok(Some(sum))
            }
            Expression::Product(factors) => {
                let mut product = rational(BigRational::one());
                for factor in factors {
                    let Some(factor) = self.fraction(factor)? else {
                        return Ok(None);
                    };
                    product = match self.multiply(&product, &factor)? {
                        Some(product) => product,
                        None => return Ok(None),
                    };
                }
                Ok(Some(product))
            }
            Expression::Quotient(left, right) => {
                let (Some(left), Some(right)) = (self.fraction(left)?, self.fraction(right)?)
                else {
                    return Ok(None);
                };
                match right.inverse() {
                    Some(inverse) => self.multiply(&left, &inverse),
                    None => Ok(None),
                }
            }
            Expression::Negate(inner) => match self.fraction(inner)? {
                Some(inner) => self.multiply(&rational(-BigRational::one()), &inner),
                None => Ok(None),
            },
            Expression::Percent(inner) => match self.fraction(inner)? {
                Some(inner) => {
                    self.multiply(&rational(BigRational::new(1.into(), 100.into())), &inner)
                }
                None => Ok(None),
            },
            Expression::Degrees(inner) => {
                let pi = Expression::Constant(Constant::Pi);
                let share = Expression::Number(BigRational::new(1.into(), 180.into()));
                self.fraction(&Expression::Product(vec![(**inner).clone(), pi, share]))
            }
            Expression::Quantity(inner, _) => self.fraction(inner),
            Expression::Power(base, exponent) => self.power(base, exponent),
            Expression::Call(function, arguments) => self.call(*function, arguments),
            Expression::Apply(name, arguments) => self.named(&format!("f {name}"), arguments),
            Expression::Indexed(name, index) => {
                self.named(&format!("s {name}"), std::slice::from_ref(index))
            }
            Expression::Bound {
                binder,
                variable,
                lower,
                upper,
                body,
            } => self.bound(*binder, variable, lower.as_deref(), upper.as_deref(), body),
            Expression::Based { .. } => {
                Ok(exact(expression, &mut Scope::default(), self.budget)?.map(rational))
            }
            _ => Ok(None),
        }
    }

    /// An atom made of a name and arguments in canonical form.
    fn named(&mut self, name: &str, arguments: &[Expression]) -> Maybe<Fraction> {
        let mut key = name.to_owned();
        for argument in arguments {
            let Some(argument) = self.fraction(argument)? else {
                return Ok(None);
            };
            key.push('|');
            key.push_str(&argument.key());
            self.budget.spend(20 + key.len() as u64 / 4)?;
        }
        self.opaque(key)
    }

    fn bound(
        &mut self,
        binder: Binder,
        variable: &str,
        lower: Option<&Expression>,
        upper: Option<&Expression>,
        body: &Expression,
    ) -> Maybe<Fraction> {
        self.renamed += 1;
        let fresh = format!("#{}", self.renamed);
        self.budget.spend(100)?;
        let body = body.substitute(variable, &|| Expression::Symbol(fresh.clone()));
        let mut parts: Vec<Expression> = Vec::new();
        parts.extend(lower.cloned());
        parts.extend(upper.cloned());
        let ends = parts.len();
        parts.push(body);
        let result = self.named(&format!("{binder:?} {ends} {}", self.renamed), &parts);
        self.renamed -= 1;
        result
    }

    fn call(&mut self, function: Function, arguments: &[Expression]) -> Maybe<Fraction> {
        let whole = Expression::Call(function, arguments.to_vec());
        if arguments
            .iter()
            .all(|argument| argument.symbols().is_empty())
            && let Some(value) = exact(&whole, &mut Scope::default(), self.budget)?
        {
            return Ok(Some(rational(value)));
        }
        match (function, arguments) {
            (Function::Root, [Expression::Number(degree), inner]) if degree.is_positive() => {
                let Some(inner) = self.fraction(inner)? else {
                    return Ok(None);
                };
                self.constant_power(inner, &degree.recip())
            }
            (Function::Exp, [inner]) => self.power(&Expression::Constant(Constant::E), inner),
            (Function::Ln, [inner]) => self.logarithm(inner),
            (Function::Log, [base, inner]) => {
                let (Some(base), Some(inner)) = (self.logarithm(base)?, self.logarithm(inner)?)
                else {
                    return Ok(None);
                };
                match base.inverse() {
                    Some(inverse) => self.multiply(&inner, &inverse),
                    None => Ok(None),
                }
            }
            (Function::Sec | Function::Csc | Function::Cot, [inner]) => {
                let function = match function {
                    Function::Sec => Function::Cos,
                    Function::Csc => Function::Sin,
                    _ => Function::Tan,
                };
                let named = self.named(&format!("{function:?}"), std::slice::from_ref(inner))?;
                Ok(named.and_then(Fraction::inverse))
            }
            (Function::Residue, [value, _]) => self.fraction(value),
            _ => self.named(&format!("{function:?}"), arguments),
        }
    }
}
