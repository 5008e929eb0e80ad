//! Whether two numbers, known or with variables in them, are the same.
//!
//! In this order: the same tree; exact rational values; a difference that error bounds prove; the same canonical form;
//! for algebraic numbers a separation bound; for the rest agreement to many bits, or at many points.

use std::cell::Cell;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Pow, Signed, Zero};

use super::budget::{Budget, Doubt};
use super::evaluate::{Evaluator, Missing};
use super::exact::{Scope, exact};
use super::expression::{Constant, Expression, Function};
use super::normal::same_normal_form;
use super::numeric::{Ball, BallSign, Complex, Field};
use super::separation::separation_bits;
use super::{MathOptions, Tolerance, Verdict};

/// Precision of the first look, in bits.
pub(super) const FIRST_BITS: u64 = 128;

/// Precision to which transcendental constants must agree to be called equal, in bits.
const CONSTANT_BITS: u64 = 640;

/// Largest precision, in bits.
const MOST_BITS: u64 = 8192;

/// What comparisons share.
pub(super) struct Context<'a> {
    pub(super) options: &'a MathOptions,
    pub(super) budget: &'a Budget,
    /// How deep comparisons are nested.
    pub(super) depth: Cell<usize>,
}

impl Context<'_> {
    /// Compares two scalars.
    pub(super) fn scalars(&self, left: &Expression, right: &Expression) -> Result<Verdict, Doubt> {
        self.budget.spend(20)?;
        if left == right {
            return Ok(Verdict::Equal);
        }
        if let (Some(left), Some(right)) = (infinite(left), infinite(right)) {
            return Ok(Verdict::of(left == right));
        }
        if infinite(left).is_some() != infinite(right).is_some() {
            return Ok(Verdict::Different);
        }
        let (left_names, right_names) = (left.symbols(), right.symbols());
        let opaque = |expression: &Expression| {
            expression.any(&|part| matches!(part, Expression::Apply(..) | Expression::Indexed(..)))
        };
        let constant =
            left_names.is_empty() && right_names.is_empty() && !opaque(left) && !opaque(right);
        if constant {
            return self.constants(left, right);
        }
        // φ is the golden ratio where the other answer has no variable at all.
        let golden = |names: &[String], others: &[String]| {
            others.is_empty() && matches!(names, [phi] if phi == "phi")
        };
        if golden(&left_names, &right_names) || golden(&right_names, &left_names) {
            return self.constants(&with_golden_ratio(left), &with_golden_ratio(right));
        }
        let mut names = left_names;
        for name in right_names {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        self.functions(left, right, &names)
    }

    /// Whether two exact numbers are the same within the tolerance.
    fn rationals(&self, left: &BigRational, right: &BigRational) -> Verdict {
        if left == right {
            return Verdict::Equal;
        }
        match self.options.tolerance {
            None => Verdict::Different,
            Some(tolerance) => {
                let allowed = allowance(tolerance, left);
                Verdict::of((left - right).abs() <= allowed)
            }
        }
    }

    fn constants(&self, left: &Expression, right: &Expression) -> Result<Verdict, Doubt> {
        let mut scope = Scope::default();
        let exact_left = exact(left, &mut scope, self.budget)?;
        let exact_right = exact(right, &mut scope, self.budget)?;
        if let (Some(left), Some(right)) = (&exact_left, &exact_right) {
            return Ok(self.rationals(left, right));
        }
        let first = match self.pair(left, right, FIRST_BITS)? {
            Some(pair) => Some(pair),
            None => self.pair(left, right, CONSTANT_BITS)?,
        };
        let Some((x, y)) = first else {
            return if same_normal_form(left, right, self.budget)? {
                Ok(Verdict::Equal)
            } else {
                Err(Doubt::NoValue { side: "one" })
            };
        };
        if x.differs(&y) {
            return Ok(self.near(&x, &y));
        }
        if same_normal_form(left, right, self.budget)? {
            return Ok(Verdict::Equal);
        }
        if let Some(needed) = separation_bits(left, right, self.budget)? {
            return self.algebraic(left, right, needed);
        }
        // Neither proof applies: agreement far beyond what numbers of this length can fake.
        let bits = CONSTANT_BITS + 4 * (written_bits(left) + written_bits(right));
        if bits > MOST_BITS {
            return Err(Doubt::TooClose { bits: FIRST_BITS });
        }
        let Some((x, y)) = self.pair(left, right, bits + 64)? else {
            return Err(Doubt::NoValue { side: "one" });
        };
        if x.differs(&y) {
            return Ok(self.near(&x, &y));
        }
        if x.is_precise(bits - 64) && y.is_precise(bits - 64) {
            Ok(Verdict::Equal)
        } else {
            Err(Doubt::TooClose { bits })
        }
    }

    /// Two different values: still equal if the tolerance says so.
    fn near(&self, x: &Complex, y: &Complex) -> Verdict {
        let Some(tolerance) = self.options.tolerance else {
            return Verdict::Different;
        };
        let field = Field::new(FIRST_BITS);
        let allowed = match tolerance {
            Tolerance::Decimals(_) => {
                Ball::rational(&allowance(tolerance, &BigRational::zero()), FIRST_BITS)
            }
            Tolerance::Relative(_) => {
                let one = BigRational::from_integer(1.into());
                let factor = Ball::rational(&allowance(tolerance, &one), FIRST_BITS);
                match x.abs(field) {
                    Some(size) => size.multiply(&factor, FIRST_BITS),
                    None => return Verdict::Different,
                }
            }
        };
        let difference = x.subtract(y, field);
        match difference.abs(field) {
            Some(size) => Verdict::of(size.abs_at_most(&allowed)),
            None => Verdict::Different,
        }
    }

    fn algebraic(
        &self,
        left: &Expression,
        right: &Expression,
        needed: f64,
    ) -> Result<Verdict, Doubt> {
        let bits = needed.ceil();
        if !bits.is_finite() || bits > MOST_BITS as f64 {
            // The bound is out of reach; a difference may still show.
            let Some((x, y)) = self.pair(left, right, CONSTANT_BITS)? else {
                return Err(Doubt::NoValue { side: "one" });
            };
            if x.differs(&y) {
                return Ok(self.near(&x, &y));
            }
            return Err(Doubt::TooClose {
                bits: CONSTANT_BITS,
            });
        }
        let bits = bits as u64 + 64;
        let Some((x, y)) = self.pair(left, right, bits + 64)? else {
            return Err(Doubt::NoValue { side: "one" });
        };
        if x.differs(&y) {
            return Ok(self.near(&x, &y));
        }
        let field = Field::new(bits + 64);
        let difference = x.subtract(&y, field);
        let size = difference.re.log2_bound().max(difference.im.log2_bound());
        if size < -(needed.ceil() as i64) - 1 {
            Ok(Verdict::Equal)
        } else {
            Err(Doubt::TooClose { bits })
        }
    }

    /// Both values in one precision; `None` if one is undefined.
    fn pair(
        &self,
        left: &Expression,
        right: &Expression,
        bits: u64,
    ) -> Result<Option<(Complex, Complex)>, Doubt> {
        let evaluator = Evaluator {
            field: Field::new(bits),
            real: false,
            budget: self.budget,
        };
        let mut scope = Scope::default();
        Ok(match defined(evaluator.value(left, &mut scope))? {
            Some(x) => defined(evaluator.value(right, &mut scope))?.map(|y| (x, y)),
            None => None,
        })
    }

    /// The order of two real constants; `None` if it cannot be told.
    pub(super) fn order(
        &self,
        left: &Expression,
        right: &Expression,
    ) -> Result<Option<std::cmp::Ordering>, Doubt> {
        use std::cmp::Ordering;
        match (infinite(left), infinite(right)) {
            (Some(left), Some(right)) => return Ok(Some(left.cmp(&right))),
            (Some(left), None) => {
                return Ok(Some(if left {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }));
            }
            (None, Some(right)) => {
                return Ok(Some(if right {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }));
            }
            (None, None) => {}
        }
        let mut scope = Scope::default();
        if let (Some(left), Some(right)) = (
            exact(left, &mut scope, self.budget)?,
            exact(right, &mut scope, self.budget)?,
        ) {
            return Ok(Some(left.cmp(&right)));
        }
        if let Some((x, y)) = self.pair(left, right, FIRST_BITS)?
            && x.is_real()
            && y.is_real()
        {
            match x.subtract(&y, Field::new(FIRST_BITS)).re.sign() {
                BallSign::Negative => return Ok(Some(Ordering::Less)),
                BallSign::Positive => return Ok(Some(Ordering::Greater)),
                _ => {}
            }
            if self.constants(left, right)? == Verdict::Equal {
                return Ok(Some(Ordering::Equal));
            }
        }
        Ok(None)
    }
}

pub(super) fn defined(value: Result<Complex, Missing>) -> Result<Option<Complex>, Doubt> {
    match value {
        Ok(value) => Ok(Some(value)),
        Err(Missing::Undefined) => Ok(None),
        Err(Missing::Halt(doubt)) => Err(doubt),
    }
}

/// Largest distance that a tolerance allows around `gold`.
fn allowance(tolerance: Tolerance, gold: &BigRational) -> BigRational {
    match tolerance {
        // Half a unit of the last decimal.
        Tolerance::Decimals(decimals) => BigRational::new(
            1.into(),
            BigInt::from(2) * Pow::pow(BigInt::from(10), decimals.min(400)),
        ),
        Tolerance::Relative(relative) => {
            BigRational::from_float(relative).unwrap_or_else(BigRational::zero) * gold.abs()
        }
    }
}

/// Whether this is ∞ (true) or −∞ (false).
pub(super) fn infinite(expression: &Expression) -> Option<bool> {
    match expression {
        Expression::Constant(Constant::Infinity) => Some(true),
        Expression::Negate(inner) => infinite(inner).map(|positive| !positive),
        _ => None,
    }
}

/// The length of all written numbers together.
fn written_bits(expression: &Expression) -> u64 {
    let mut bits = match expression {
        Expression::Number(value) => value.numer().bits() + value.denom().bits(),
        _ => 0,
    };
    expression.for_each_part(&mut |part| bits += written_bits(part));
    bits
}

/// The expression with (1 + √5)/2 for φ.
fn with_golden_ratio(expression: &Expression) -> Expression {
    expression.substitute("phi", &|| {
        let root = Expression::Call(
            Function::Root,
            vec![Expression::integer(2), Expression::integer(5)],
        );
        let sum = Expression::Sum(vec![Expression::integer(1), root]);
        Expression::Quotient(Box::new(sum), Box::new(Expression::integer(2)))
    })
}
