//! Expressions with variables, compared at points.
//!
//! The points are the same in every run: all combinations of signs, magnitudes from 10⁻³ to 10⁶. Different values prove a
//! difference. Equal values at five points are taken for equality where both are made of one piece; where absolute values or
//! even roots of variables occur, every piece that shows has to have been seen; where floors, divisors, remainders or
//! binomials occur, agreement decides nothing.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, ToPrimitive};

use super::Verdict;
use super::budget::Doubt;
use super::decide::{Context, FIRST_BITS, defined};
use super::evaluate::{Evaluator, Missing};
use super::exact::Scope;
use super::expression::{Constant, Expression, Function};
use super::normal::same_normal_form;
use super::numeric::{BallSign, Complex, Field};

/// Agreement at one point counts when it is known to so many bits.
const POINT_BITS: u64 = 60;

/// Points at which expressions with variables have to agree.
const POINTS_NEEDED: usize = 5;

/// Points that are tried.
const POINTS_TRIED: u64 = 26;

/// The first of the points whose coordinates are large or small.
const FAR_FROM: u64 = 12;

/// From so many variables on, a formula is taken for one of quantities, which are mostly positive.
const QUANTITIES: usize = 3;

/// What evaluation at points has shown.
#[derive(Default)]
struct Seen {
    agree: usize,
    /// Points with positive coordinates only at which both agree.
    agree_positive: usize,
    one_sided: usize,
    differ: bool,
    /// They differ at a point with positive coordinates only.
    differ_positive: bool,
    /// For every inner part whose sign decides on a piece, whether agreement was seen where it is positive and negative.
    pieces: Vec<[bool; 2]>,
}

/// What makes an expression one of several pieces.
struct Pieces {
    /// Parts whose sign decides: of `|x − 1|`, `max(x, 2)`.
    signs: Vec<Expression>,
    /// Whether an even root of variables occurs.
    roots: bool,
    /// Floors, divisors and their kin, for which no number of points is enough.
    steps: Option<&'static str>,
    /// Whether numbers are written that are far beyond the points.
    far: bool,
}

impl Pieces {
    fn of(left: &Expression, right: &Expression) -> Self {
        let mut pieces = Self {
            signs: Vec::new(),
            roots: false,
            steps: None,
            far: false,
        };
        pieces.gather(left);
        pieces.gather(right);
        pieces
    }

    fn gather(&mut self, expression: &Expression) {
        const MOST: usize = 16;
        // `\binom{n}{2}` is a polynomial, and at most its degree is zero for small n.
        let few = |part: &Expression| matches!(part, Expression::Number(value) if *value <= BigRational::from_integer(3.into()));
        let variable = |part: &Expression| !part.symbols().is_empty();
        match expression {
            Expression::Call(Function::Abs, parts) if parts.iter().any(variable) => {
                self.signs.extend(parts.iter().take(MOST).cloned());
            }
            Expression::Call(Function::Min | Function::Max, parts)
                if parts.iter().any(variable) =>
            {
                for pair in parts.windows(2).take(MOST) {
                    self.signs.push(Expression::Sum(vec![
                        pair[0].clone(),
                        pair[1].clone().negated(),
                    ]));
                }
            }
            Expression::Call(Function::Root, parts) if parts.iter().any(variable) => {
                let odd = matches!(&parts[0], Expression::Number(degree) if degree.numer().bit(0));
                self.roots |= !odd && parts.last().is_some_and(has_square_factor);
            }
            Expression::Power(base, exponent) if variable(base) => {
                let even = match exponent.as_ref() {
                    Expression::Number(value) => !value.denom().bit(0),
                    Expression::Quotient(..) => true,
                    _ => false,
                };
                self.roots |= even && has_square_factor(base);
            }
            Expression::Call(function, parts) if parts.iter().any(variable) => {
                let steps = match function {
                    Function::Floor | Function::Ceil => "floors",
                    Function::Gcd | Function::Lcm => "divisors",
                    Function::Mod | Function::Residue => "remainders",
                    Function::Binomial if !few(&parts[parts.len() - 1]) => "binomials",
                    _ => "",
                };
                if !steps.is_empty() {
                    self.steps = Some(steps);
                }
            }
            Expression::Number(value) => {
                let size = value.abs().to_f64().unwrap_or(f64::INFINITY);
                self.far |= size > 1e5 || (size > 0.0 && size < 1e-2);
            }
            _ => {}
        }
        self.signs.truncate(MOST);
        expression.for_each_part(&mut |part| self.gather(part));
    }

    fn is_one(&self) -> bool {
        self.signs.is_empty() && !self.roots && self.steps.is_none()
    }

    /// What agreement at points proves.
    fn settle(&self, seen: &Seen) -> Result<Verdict, Doubt> {
        if let Some(what) = self.steps {
            return Err(Doubt::Sampled { what });
        }
        if !self.signs.is_empty() && (self.far || seen.pieces.iter().any(|[up, down]| !up || !down))
        {
            return Err(Doubt::Sampled {
                what: "absolute values",
            });
        }
        if self.roots && self.far {
            return Err(Doubt::Sampled { what: "even roots" });
        }
        Ok(Verdict::Equal)
    }
}

/// Whether what stands under an even root is zero without changing its sign there, so that the root has several pieces:
/// √(x²) has two, √(x² + 1) and √(2 − x) have one.
fn has_square_factor(inner: &Expression) -> bool {
    match inner {
        Expression::Power(base, exponent) if !base.symbols().is_empty() => {
            !matches!(exponent.as_ref(), Expression::Number(value) if value.is_integer() && value.numer().bit(0))
        }
        Expression::Product(factors) => {
            let repeated = factors
                .iter()
                .enumerate()
                .any(|(at, factor)| !factor.symbols().is_empty() && factors[..at].contains(factor));
            repeated || factors.iter().any(has_square_factor)
        }
        Expression::Quotient(above, below) => has_square_factor(above) || has_square_factor(below),
        Expression::Negate(inner) => has_square_factor(inner),
        // `x^2 - 2x + 1` may be a square; two squares, or one and a positive number, vanish in no more than a point.
        Expression::Sum(terms) => {
            let square = |term: &Expression| match term {
                Expression::Power(_, exponent) => {
                    matches!(exponent.as_ref(), Expression::Number(value) if value.is_integer() && !value.numer().bit(0))
                }
                Expression::Number(value) => value.is_positive(),
                _ => false,
            };
            let letters = terms
                .iter()
                .filter(|term| !term.symbols().is_empty())
                .count();
            letters > 1 && !terms.iter().all(square)
        }
        _ => false,
    }
}

impl Context<'_> {
    /// Compares expressions with variables.
    pub(super) fn functions(
        &self,
        left: &Expression,
        right: &Expression,
        names: &[String],
    ) -> Result<Verdict, Doubt> {
        let pieces = Pieces::of(left, right);
        let first = self.at_points(left, right, names, &pieces, 0..2)?;
        if first.differ_positive {
            return Ok(Verdict::Different);
        }
        if same_normal_form(left, right, self.budget)? {
            return Ok(Verdict::Equal);
        }
        let seen = self.at_points(left, right, names, &pieces, 0..POINTS_TRIED)?;
        if seen.differ {
            // `√(2V/B²)` and `√(2V)/B` differ only where B is negative, which a field never is.
            let quantities = names.len() >= QUANTITIES
                && pieces.roots
                && !seen.differ_positive
                && seen.agree_positive >= POINTS_NEEDED;
            return if quantities {
                Err(Doubt::Domain)
            } else {
                Ok(Verdict::Different)
            };
        }
        if seen.agree >= POINTS_NEEDED {
            match seen.one_sided {
                0 => pieces.settle(&seen),
                _ => Err(Doubt::Domain),
            }
        } else if seen.agree > 0 {
            Err(Doubt::TooClose { bits: POINT_BITS })
        } else {
            Err(Doubt::NoValue { side: "one" })
        }
    }

    /// Evaluates both at points chosen by a fixed seed.
    fn at_points(
        &self,
        left: &Expression,
        right: &Expression,
        names: &[String],
        pieces: &Pieces,
        rounds: std::ops::Range<u64>,
    ) -> Result<Seen, Doubt> {
        let has_i = |expression: &Expression| {
            expression.any(&|part| matches!(part, Expression::Constant(Constant::I)))
        };
        let evaluator = Evaluator {
            field: Field::new(FIRST_BITS),
            real: !has_i(left) && !has_i(right),
            budget: self.budget,
        };
        let discrete = wants_integers(left) || wants_integers(right);
        let mut seen = Seen {
            pieces: vec![[false; 2]; pieces.signs.len()],
            ..Seen::default()
        };
        // Signs of three names have eight combinations, of one two.
        let combinations = 1u64 << names.len().min(3);
        for round in rounds {
            let redundant = (2 + combinations..FAR_FROM).contains(&round)
                || round >= FAR_FROM + combinations + 2;
            if redundant && seen.agree >= POINTS_NEEDED {
                continue;
            }
            let mut scope = point(names, round, discrete);
            let positive = scope.values.iter().all(|(_, value)| value.is_positive());
            let x = at_point(evaluator.value(left, &mut scope), round)?;
            let y = at_point(evaluator.value(right, &mut scope), round)?;
            match (x, y) {
                (Some(x), Some(y)) => {
                    if x.differs(&y) {
                        seen.differ = true;
                        seen.differ_positive |= positive;
                        // Enough is known, unless it may be a matter of signs.
                        if positive || names.len() < QUANTITIES || !pieces.roots {
                            return Ok(seen);
                        }
                        continue;
                    }
                    if x.is_precise(POINT_BITS) && y.is_precise(POINT_BITS) {
                        seen.agree += 1;
                        seen.agree_positive += usize::from(positive);
                        for (part, [up, down]) in pieces.signs.iter().zip(&mut seen.pieces) {
                            let value = at_point(evaluator.value(part, &mut scope), round)?;
                            let sign = value.map(|value| value.re.sign());
                            *up |= sign == Some(BallSign::Positive);
                            *down |= sign == Some(BallSign::Negative);
                        }
                    }
                    if seen.agree >= POINTS_NEEDED && pieces.is_one() {
                        return Ok(seen);
                    }
                }
                (None, None) => {}
                _ if round < FAR_FROM => seen.one_sided += 1,
                // Far away one of the two may only be too large to be written out.
                _ => {}
            }
        }
        Ok(seen)
    }

    /// Whether `expression / other` has the same value at all points: the two are equal as equations `… = 0`.
    /// `None` if that cannot be told.
    pub(super) fn proportional(
        &self,
        left: &Expression,
        right: &Expression,
        names: &[String],
    ) -> Result<Option<BallSign>, Doubt> {
        let evaluator = Evaluator {
            field: Field::new(FIRST_BITS),
            real: true,
            budget: self.budget,
        };
        let discrete = wants_integers(left) || wants_integers(right);
        let pieces = Pieces::of(left, right);
        let mut ratio: Option<Complex> = None;
        let mut agree = 0;
        for round in 0..POINTS_TRIED {
            let mut scope = point(names, round, discrete);
            let Some(x) = at_point(evaluator.value(left, &mut scope), round)? else {
                continue;
            };
            let Some(y) = at_point(evaluator.value(right, &mut scope), round)? else {
                continue;
            };
            let Some(next) = x.divide(&y, evaluator.field) else {
                continue;
            };
            if !next.is_precise(POINT_BITS) {
                continue;
            }
            match &ratio {
                Some(ratio) if ratio.differs(&next) => return Ok(Some(BallSign::Zero)),
                Some(_) => agree += 1,
                None => ratio = Some(next),
            }
            if pieces.is_one() && agree + 1 >= 2 * POINTS_NEEDED {
                break;
            }
        }
        if pieces.steps.is_some() || (!pieces.is_one() && pieces.far) {
            return Ok(None);
        }
        Ok(match ratio {
            Some(ratio) if agree + 1 >= POINTS_NEEDED => match ratio.re.sign() {
                // One side vanishes everywhere.
                BallSign::Zero | BallSign::Unknown => None,
                sign => Some(sign),
            },
            _ => None,
        })
    }
}

/// The value at a point; none where it is not defined, or too large to be written out far from the origin.
fn at_point(value: Result<Complex, Missing>, round: u64) -> Result<Option<Complex>, Doubt> {
    match value {
        Err(Missing::Halt(Doubt::TooLarge { .. })) if round >= FAR_FROM => Ok(None),
        value => defined(value),
    }
}

/// Whether only integers make sense for the variables: they count something.
fn wants_integers(expression: &Expression) -> bool {
    expression.any(&|part| match part {
        Expression::Indexed(..) | Expression::Bound { .. } => true,
        Expression::Call(
            Function::Factorial
            | Function::DoubleFactorial
            | Function::Binomial
            | Function::Gcd
            | Function::Lcm
            | Function::Mod,
            _,
        ) => true,
        // (−1)^n
        Expression::Power(base, exponent) => {
            matches!(base.as_ref(), Expression::Number(value) if value.is_negative())
                && !exponent.symbols().is_empty()
        }
        _ => false,
    })
}

/// Values for all names: the same in every run.
fn point(names: &[String], round: u64, discrete: bool) -> Scope {
    let combinations = 1 << names.len().min(3);
    let values = names.iter().enumerate().map(|(index, name)| {
        let draw = dunwu_datasets::derive_seed(0x6d61_7468, &[round, index as u64]);
        let value = if discrete {
            BigRational::from_integer(whole_coordinate(draw, round, index).into())
        } else {
            coordinate(draw, round, index, combinations)
        };
        (name.clone(), value)
    });
    Scope {
        values: values.collect(),
        seed: round,
    }
}

/// An integer from 1 on; up to a million in the last rounds.
fn whole_coordinate(draw: u64, round: u64, index: usize) -> u64 {
    // Different in every round for the first name, so that no two points are one.
    match (round < FAR_FROM, index) {
        (true, 0) => 2 + round,
        (true, _) => 1 + draw % (4 + 2 * round),
        (false, _) => {
            let sizes = [30, 300, 20, 4000, 1_000_000, 50];
            let size = sizes[((round - FAR_FROM) % 6) as usize];
            size / 2 + draw % size
        }
    }
}

/// A fraction: near the origin with all combinations of signs of three names, then far from it and close to it.
fn coordinate(draw: u64, round: u64, index: usize, combinations: u64) -> BigRational {
    let part = BigInt::from(draw % 1009 + 7);
    let (size, pattern) = match round {
        // About 0 to 2, then 0 to 8.
        0 => (BigRational::new(part, 512.into()), 0),
        1 => (BigRational::new(part, 128.into()), 0),
        // All combinations of signs, half of them below 1/2.
        2..6 | 10.. if round < FAR_FROM => (BigRational::new(part, 128.into()), round - 1),
        6..10 => (BigRational::new(part, 2048.into()), round - 1),
        _ => {
            // Every name has another power of ten in every round: 10⁻³ to 10⁶.
            const EXPONENTS: [i32; 14] = [6, 3, -3, 5, 2, -2, 4, 6, 1, -3, 5, 3, 6, 2];
            let at = (round - FAR_FROM) as usize + 5 * index;
            let exponent = EXPONENTS[at % EXPONENTS.len()];
            let scale = num_traits::Pow::pow(&BigRational::from_integer(10.into()), exponent);
            let size = BigRational::new(part, 512.into()) * scale;
            (size, round - FAR_FROM)
        }
    };
    // No value is 0, nor the same for two names.
    let value = size + BigRational::new((1 + index as i64).into(), 10_007.into());
    if ((pattern % combinations) >> (index % 3)) & 1 == 1 {
        -value
    } else {
        value
    }
}
