//! How close to zero an algebraic number can be without being zero.
//!
//! The bound is that of C. Burnikel, S. Funke, K. Mehlhorn, S. Schirra and S. Schmitt, "A separation bound for real
//! algebraic expressions", ESA 2001: an expression from integers, `+ − · /` and roots is given two numbers `u` and `l`,
//! and with `D` the product of the degrees of its roots, its value is zero or at least `1 / (l·u^(D−1))`.
//! The proof is about conjugates and their absolute values, so it holds for complex values of roots too.

use num_rational::BigRational;
use num_traits::{Signed, ToPrimitive, Zero};

use super::budget::{Budget, Doubt};
use super::expression::{Constant, Expression, Function};

/// The logarithms of `u` and `l`, to base 2, rounded up.
#[derive(Clone, Copy, Debug)]
struct Size {
    u: f64,
    l: f64,
}

/// The state of one bound.
struct Bound<'a> {
    /// The product of the degrees of the different roots.
    degree: f64,
    /// Roots that have been counted.
    seen: Vec<Expression>,
    budget: &'a Budget,
}

/// The logarithm of a sum.
fn log_sum(left: f64, right: f64) -> f64 {
    left.max(right) + 1.0
}

/// Bits after the point that tell `left − right` from zero: if |left − right| is below 2^−bits, they are equal. `None` if
/// one of the two is not known to be algebraic.
pub(super) fn separation_bits(
    left: &Expression,
    right: &Expression,
    budget: &Budget,
) -> Result<Option<f64>, Doubt> {
    let mut bound = Bound {
        degree: 1.0,
        seen: Vec::new(),
        budget,
    };
    let Some(left) = bound.size(left)? else {
        return Ok(None);
    };
    let Some(right) = bound.size(right)? else {
        return Ok(None);
    };
    let difference = Size {
        u: log_sum(left.u + right.l, left.l + right.u),
        l: left.l + right.l,
    };
    // u and l are at least 1 by themselves; a little is added for rounding in the logarithms.
    let bits = difference.l.max(0.0) + (bound.degree - 1.0) * difference.u.max(0.0);
    Ok(Some(bits * 1.0001 + 8.0))
}

impl Bound<'_> {
    fn size(&mut self, expression: &Expression) -> Result<Option<Size>, Doubt> {
        self.budget.spend(8)?;
        Ok(Some(match expression {
            Expression::Number(value) => number(value),
            Expression::Based { digits, .. } => Size {
                u: digits.len() as f64 * 5.2,
                l: 0.0,
            },
            Expression::Constant(Constant::I) => {
                self.count(expression, 2);
                Size { u: 0.0, l: 0.0 }
            }
            Expression::Negate(inner) | Expression::Quantity(inner, _) => return self.size(inner),
            Expression::Percent(inner) => match self.size(inner)? {
                Some(inner) => divide(inner, number(&BigRational::from_integer(100.into()))),
                None => return Ok(None),
            },
            Expression::Sum(terms) => {
                let mut sum: Option<Size> = None;
                for term in terms {
                    let Some(term) = self.size(term)? else {
                        return Ok(None);
                    };
                    sum = Some(match sum {
                        None => term,
                        Some(sum) => Size {
                            u: log_sum(sum.u + term.l, sum.l + term.u),
                            l: sum.l + term.l,
                        },
                    });
                }
                match sum {
                    Some(sum) => sum,
                    None => return Ok(None),
                }
            }
            Expression::Product(factors) => {
                let mut product = Size { u: 0.0, l: 0.0 };
                for factor in factors {
                    let Some(factor) = self.size(factor)? else {
                        return Ok(None);
                    };
                    product.u += factor.u;
                    product.l += factor.l;
                }
                product
            }
            Expression::Quotient(left, right) => match (self.size(left)?, self.size(right)?) {
                (Some(left), Some(right)) => divide(left, right),
                _ => return Ok(None),
            },
            Expression::Power(base, exponent) => {
                let exponent = match exponent.as_ref() {
                    Expression::Number(exponent) => exponent.clone(),
                    Expression::Quotient(left, right) => match (left.as_ref(), right.as_ref()) {
                        (Expression::Number(left), Expression::Number(right))
                            if !right.is_zero() =>
                        {
                            left / right
                        }
                        _ => return Ok(None),
                    },
                    _ => return Ok(None),
                };
                let (Some(power), Some(degree)) =
                    (exponent.numer().to_f64(), exponent.denom().to_u32())
                else {
                    return Ok(None);
                };
                let Some(base) = self.size(base)? else {
                    return Ok(None);
                };
                let times = power.abs();
                let raised = Size {
                    u: base.u * times,
                    l: base.l * times,
                };
                let rooted = match degree {
                    1 => raised,
                    _ => self.root(expression, raised, degree),
                };
                if exponent.is_negative() {
                    Size {
                        u: rooted.l,
                        l: rooted.u,
                    }
                } else {
                    rooted
                }
            }
            Expression::Call(Function::Root, parts) => {
                let [Expression::Number(degree), inner] = parts.as_slice() else {
                    return Ok(None);
                };
                let Some(degree) = degree
                    .is_integer()
                    .then(|| degree.numer().to_u32())
                    .flatten()
                    .filter(|degree| *degree > 0)
                else {
                    return Ok(None);
                };
                match self.size(inner)? {
                    Some(inner) => self.root(expression, inner, degree),
                    None => return Ok(None),
                }
            }
            Expression::Call(Function::Abs, parts) => match parts.as_slice() {
                // Only of real numbers: of complex ones it is another root.
                [inner]
                    if !inner.any(&|part| matches!(part, Expression::Constant(Constant::I))) =>
                {
                    return self.size(inner);
                }
                _ => return Ok(None),
            },
            _ => return Ok(None),
        }))
    }

    fn count(&mut self, root: &Expression, degree: u32) {
        if self.seen.iter().any(|seen| seen == root) {
            return;
        }
        if self.seen.len() < 16 {
            self.seen.push(root.clone());
        }
        self.degree *= f64::from(degree);
    }

    fn root(&mut self, root: &Expression, inner: Size, degree: u32) -> Size {
        self.count(root, degree);
        let k = f64::from(degree);
        if inner.u >= inner.l {
            Size {
                u: (inner.u + (k - 1.0) * inner.l) / k,
                l: inner.l,
            }
        } else {
            Size {
                u: inner.u,
                l: ((k - 1.0) * inner.u + inner.l) / k,
            }
        }
    }
}

fn number(value: &BigRational) -> Size {
    Size {
        u: value.numer().bits() as f64,
        l: value.denom().bits() as f64,
    }
}

fn divide(left: Size, right: Size) -> Size {
    Size {
        u: left.u + right.l,
        l: left.l + right.u,
    }
}
