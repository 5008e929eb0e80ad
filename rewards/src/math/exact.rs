//! Exact values: everything that is a rational number.

use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Pow, Signed, ToPrimitive, Zero};

use super::budget::{Budget, Doubt, MAX_BITS};
use super::expression::{Binder, Expression, Function};

/// Most terms of a sum or product that are written out.
const MAX_TERMS: i64 = 400;

/// What names stand for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// Variables with their values; later ones hide earlier ones.
    pub(crate) values: Vec<(String, BigRational)>,
    /// Makes functions of unknown meaning into some function, the same for both answers.
    pub(crate) seed: u64,
}

impl Scope {
    pub(crate) fn get(&self, name: &str) -> Option<&BigRational> {
        let found = self.values.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value)
    }

    /// Some value of the unknown function `name` at `arguments`: a fraction between 1 and 5 without any pattern.
    fn opaque(&self, name: &str, arguments: &[BigRational]) -> BigRational {
        let mut path = vec![self.seed];
        path.extend(name.bytes().map(u64::from));
        for argument in arguments {
            path.push(u64::MAX);
            path.extend(argument.numer().iter_u64_digits());
            path.push(u64::from(argument.is_negative()));
            path.extend(argument.denom().iter_u64_digits());
        }
        let hash = dunwu_datasets::derive_seed(self.seed, &path);
        BigRational::new(BigInt::from(1024 + hash % 4096), BigInt::from(1021))
    }
}

type Exact = Result<Option<BigRational>, Doubt>;

fn too_large(bits: f64) -> Doubt {
    Doubt::TooLarge {
        log2_bits: bits.max(1.0).log2().ceil() as u64,
        limit: MAX_BITS,
    }
}

fn bits(value: &BigRational) -> u64 {
    value.numer().bits() + value.denom().bits()
}

/// The exact value of `expression`, `None` if it has none or is not known to be rational.
pub(crate) fn exact(expression: &Expression, scope: &mut Scope, budget: &Budget) -> Exact {
    budget.spend(10)?;
    Ok(match expression {
        Expression::Number(value) => {
            budget.spend(bits(value) / 256)?;
            Some(value.clone())
        }
        Expression::Symbol(name) => scope.get(name).cloned(),
        Expression::Indexed(name, index) => {
            let Some(index) = exact(index, scope, budget)? else {
                return Ok(None);
            };
            opaque(name, &[index], scope, budget)?
        }
        Expression::Apply(name, arguments) => {
            let Some(arguments) = all(arguments, scope, budget)? else {
                return Ok(None);
            };
            opaque(name, &arguments, scope, budget)?
        }
        Expression::Sum(terms) => {
            let mut sum = BigRational::zero();
            for term in terms {
                let Some(term) = exact(term, scope, budget)? else {
                    return Ok(None);
                };
                sum = add(&sum, &term, budget)?;
            }
            Some(sum)
        }
        Expression::Product(factors) => {
            let mut product = BigRational::one();
            for factor in factors {
                let Some(factor) = exact(factor, scope, budget)? else {
                    return Ok(None);
                };
                product = multiply(&product, &factor, budget)?;
            }
            Some(product)
        }
        Expression::Quotient(left, right) => {
            let Some(right) = exact(right, scope, budget)?.filter(|right| !right.is_zero()) else {
                return Ok(None);
            };
            match exact(left, scope, budget)? {
                Some(left) => Some(multiply(&left, &right.recip(), budget)?),
                None => None,
            }
        }
        Expression::Negate(inner) => exact(inner, scope, budget)?.map(|value| -value),
        Expression::Percent(inner) => {
            exact(inner, scope, budget)?.map(|value| value / BigInt::from(100))
        }
        Expression::Quantity(inner, _) => exact(inner, scope, budget)?,
        Expression::Power(base, exponent) => {
            let Some(exponent) = exact(exponent, scope, budget)? else {
                return Ok(None);
            };
            match exact(base, scope, budget)? {
                Some(base) => power(&base, &exponent, budget)?,
                None => None,
            }
        }
        Expression::Based { digits, base } => {
            budget.spend_bits(digits.len() as u64 * 5, digits.len() as u64 * 5)?;
            BigInt::parse_bytes(digits.as_bytes(), *base).map(BigRational::from_integer)
        }
        Expression::Call(function, arguments) => match all(arguments, scope, budget)? {
            Some(values) => call(*function, &values, budget)?,
            None => None,
        },
        Expression::Bound {
            binder: binder @ (Binder::Sum | Binder::Product),
            variable,
            lower: Some(lower),
            upper: Some(upper),
            body,
        } => {
            let ends = (exact(lower, scope, budget)?, exact(upper, scope, budget)?);
            let (Some(lower), Some(upper)) = ends else {
                return Ok(None);
            };
            let ends = (whole(&lower), whole(&upper));
            let (Some(lower), Some(upper)) = ends else {
                return Ok(None);
            };
            if upper.saturating_sub(lower) > MAX_TERMS {
                return Ok(None);
            }
            let mut result = match binder {
                Binder::Sum => BigRational::zero(),
                _ => BigRational::one(),
            };
            for index in lower..=upper {
                let value = BigRational::from_integer(index.into());
                scope.values.push((variable.clone(), value));
                let term = exact(body, scope, budget);
                scope.values.pop();
                let Some(term) = term? else {
                    return Ok(None);
                };
                result = match binder {
                    Binder::Sum => add(&result, &term, budget)?,
                    _ => multiply(&result, &term, budget)?,
                };
            }
            Some(result)
        }
        _ => None,
    })
}

fn opaque(name: &str, arguments: &[BigRational], scope: &Scope, budget: &Budget) -> Exact {
    budget.spend(20 + name.len() as u64 + arguments.iter().map(bits).sum::<u64>() / 16)?;
    Ok(Some(scope.opaque(name, arguments)))
}

fn all(
    parts: &[Expression],
    scope: &mut Scope,
    budget: &Budget,
) -> Result<Option<Vec<BigRational>>, Doubt> {
    let mut values = Vec::with_capacity(parts.len());
    for part in parts {
        match exact(part, scope, budget)? {
            Some(value) => values.push(value),
            None => return Ok(None),
        }
    }
    Ok(Some(values))
}

/// A small integer.
pub(crate) fn whole(value: &BigRational) -> Option<i64> {
    value.is_integer().then(|| value.numer().to_i64())?
}

fn check(left: &BigRational, right: &BigRational, budget: &Budget) -> Result<(), Doubt> {
    let size = bits(left) + bits(right);
    if size > 4 * MAX_BITS {
        return Err(too_large(size as f64));
    }
    budget.spend_bits(bits(left), bits(right))?;
    if !(left.is_integer() && right.is_integer()) {
        // Fractions are reduced, which takes as many passes over the longer number as it has bits.
        let longest = bits(left).max(bits(right));
        budget.spend(20 + longest + longest * longest / 400)?;
    }
    Ok(())
}

pub(crate) fn add(
    left: &BigRational,
    right: &BigRational,
    budget: &Budget,
) -> Result<BigRational, Doubt> {
    check(left, right, budget)?;
    Ok(if left.is_integer() && right.is_integer() {
        BigRational::from_integer(left.numer() + right.numer())
    } else {
        left + right
    })
}

pub(crate) fn multiply(
    left: &BigRational,
    right: &BigRational,
    budget: &Budget,
) -> Result<BigRational, Doubt> {
    check(left, right, budget)?;
    Ok(if left.is_integer() && right.is_integer() {
        BigRational::from_integer(left.numer() * right.numer())
    } else {
        left * right
    })
}

/// `base` to `exponent`, if the result is rational. Even roots of negative numbers are not; odd ones are.
pub(crate) fn power(base: &BigRational, exponent: &BigRational, budget: &Budget) -> Exact {
    if base.is_zero() {
        return Ok(match (exponent.is_positive(), exponent.is_zero()) {
            (true, _) => Some(BigRational::zero()),
            (_, true) => Some(BigRational::one()),
            _ => None,
        });
    }
    if exponent.is_zero() || base.is_one() {
        return Ok(Some(BigRational::one()));
    }
    if exponent.is_integer() && base.is_integer() && base.numer() == &BigInt::from(-1) {
        let odd = exponent.numer().is_odd();
        return Ok(Some(BigRational::from_integer(if odd {
            -BigInt::one()
        } else {
            BigInt::one()
        })));
    }
    let Some(degree) = exponent.denom().to_u32().filter(|degree| *degree <= 64) else {
        return Ok(None);
    };
    let rooted = if degree == 1 {
        base.clone()
    } else {
        match root(base, degree, budget)? {
            Some(root) => root,
            None => return Ok(None),
        }
    };
    let size = bits(&rooted) as f64 * exponent.numer().to_f64().unwrap_or(f64::INFINITY).abs();
    let small = if rooted.is_one() { 0.0 } else { size };
    if small > MAX_BITS as f64 {
        return Err(too_large(small));
    }
    budget.spend_bits(small as u64, small as u64)?;
    let Some(exponent) = exponent.numer().to_i32() else {
        return Ok(rooted.is_one().then(BigRational::one));
    };
    Ok(Some(Pow::pow(&rooted, exponent)))
}

/// The root, if it is rational; of negative numbers only for odd degrees.
pub(crate) fn root(value: &BigRational, degree: u32, budget: &Budget) -> Exact {
    if degree == 0 || degree > 64 || (value.is_negative() && degree.is_even()) {
        return Ok(None);
    }
    budget.spend_bits(bits(value), bits(value) + 256)?;
    budget.spend(u64::from(degree) * 4)?;
    let exact_root = |value: &BigInt| {
        let root = value.nth_root(degree);
        (Pow::pow(&root, degree) == *value).then_some(root)
    };
    Ok(
        match (exact_root(value.numer()), exact_root(value.denom())) {
            (Some(numerator), Some(denominator)) => Some(BigRational::new(numerator, denominator)),
            _ => None,
        },
    )
}

/// n!, or n!! in steps of `step`.
fn factorial(n: i64, step: i64, budget: &Budget) -> Exact {
    if n < 0 {
        return Ok(None);
    }
    let size = n as f64 * (n as f64).max(2.0).log2();
    if size > MAX_BITS as f64 {
        return Err(too_large(size));
    }
    let mut product = BigInt::one();
    let mut factor = n;
    while factor > 1 {
        budget.spend_bits(product.bits(), 64)?;
        product *= factor;
        factor -= step;
    }
    Ok(Some(BigRational::from_integer(product)))
}

fn binomial(n: &BigRational, k: &BigRational, budget: &Budget) -> Exact {
    let Some(k) = whole(k) else {
        return Ok(None);
    };
    let n_small = whole(n);
    let k = match n_small {
        Some(n) if n >= 0 && k > n => return Ok(Some(BigRational::zero())),
        Some(n) if n >= 0 => k.min(n - k),
        _ => k,
    };
    if k < 0 {
        return Ok(Some(BigRational::zero()));
    }
    if k as u64 * (bits(n) + 8) > MAX_BITS {
        return Err(too_large(k as f64 * (bits(n) + 8) as f64));
    }
    let (mut above, mut below) = (BigInt::one(), BigInt::one());
    for index in 0..k {
        budget.spend_bits(above.bits(), bits(n) + 8)?;
        above *= n.numer() - n.denom() * index;
        below *= n.denom() * (index + 1);
        if n.is_integer() {
            // The product of so many neighbours is divisible by the factorial.
            budget.spend_bits(above.bits(), 64)?;
            above /= &below;
            below = BigInt::one();
        }
    }
    if n.is_integer() {
        return Ok(Some(BigRational::from_integer(above)));
    }
    let longest = above.bits();
    budget.spend(longest + longest * longest / 400)?;
    Ok(Some(BigRational::new(above, below)))
}

fn call(function: Function, values: &[BigRational], budget: &Budget) -> Exact {
    let integers = || values.iter().all(BigRational::is_integer);
    Ok(match (function, values) {
        (Function::Abs, [value]) => Some(value.abs()),
        (Function::Floor, [value]) => Some(value.floor()),
        (Function::Ceil, [value]) => Some(value.ceil()),
        (Function::Factorial | Function::DoubleFactorial, [value]) => match whole(value) {
            Some(n) => factorial(
                n,
                if function == Function::Factorial {
                    1
                } else {
                    2
                },
                budget,
            )?,
            None if value.is_integer() && value.is_positive() => {
                return Err(too_large(2f64.powi(64)));
            }
            None => None,
        },
        (Function::Binomial, [n, k]) => binomial(n, k, budget)?,
        (Function::Root, [degree, value]) => match degree
            .is_integer()
            .then(|| degree.numer().to_u32())
            .flatten()
        {
            Some(degree) => root(value, degree, budget)?,
            None => None,
        },
        (Function::Min, [_, ..]) => values.iter().min().cloned(),
        (Function::Max, [_, ..]) => values.iter().max().cloned(),
        (Function::Gcd | Function::Lcm, [_, ..]) if integers() => {
            let mut result = values[0].to_integer().abs();
            for value in &values[1..] {
                let longest = result.bits().max(bits(value));
                budget.spend(20 + longest + longest * longest / 400)?;
                result = match function {
                    Function::Gcd => result.gcd(value.numer()),
                    _ => result.lcm(value.numer()),
                };
            }
            Some(BigRational::from_integer(result))
        }
        (Function::Mod, [value, modulus]) if integers() && modulus.is_positive() => {
            budget.spend_bits(bits(value), bits(modulus))?;
            Some(BigRational::from_integer(
                value.numer().mod_floor(modulus.numer()),
            ))
        }
        (Function::Residue, [value, _]) => Some(value.clone()),
        (Function::Exp, [value]) if value.is_zero() => Some(BigRational::one()),
        (Function::Ln, [value]) if value.is_one() => Some(BigRational::zero()),
        (Function::Log, [base, value]) => logarithm(base, value, budget)?,
        (
            Function::Sin
            | Function::Tan
            | Function::Arcsin
            | Function::Arctan
            | Function::Sinh
            | Function::Tanh,
            [value],
        ) if value.is_zero() => Some(BigRational::zero()),
        (Function::Cos | Function::Sec | Function::Cosh, [value]) if value.is_zero() => {
            Some(BigRational::one())
        }
        _ => None,
    })
}

/// A logarithm that is an integer.
fn logarithm(base: &BigRational, value: &BigRational, budget: &Budget) -> Exact {
    if !base.is_positive() || base.is_one() || !value.is_positive() {
        return Ok(None);
    }
    if value.is_one() {
        return Ok(Some(BigRational::zero()));
    }
    let log2 = |value: &BigRational| value.numer().bits() as f64 - value.denom().bits() as f64;
    let guess = if log2(base).abs() < 1.0 {
        1.0
    } else {
        log2(value) / log2(base)
    };
    let low = guess.floor() as i64 - 2;
    for exponent in low..=low + 5 {
        if exponent.unsigned_abs() * bits(base) > bits(value) + 2 * bits(base) {
            continue;
        }
        let exponent = BigRational::from_integer(exponent.into());
        if power(base, &exponent, budget)?.as_ref() == Some(value) {
            return Ok(Some(exponent));
        }
    }
    Ok(None)
}
