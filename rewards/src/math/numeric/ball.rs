//! Real numbers known to lie in a ball: a midpoint and a guaranteed bound of its error.
//!
//! A [`Ball`] is `(m ± r)·2^e` with integers `m`, `r`, `e`. Every operation returns a ball that contains the
//! exact result for every choice of points in its arguments ("inclusion", R. E. Moore, *Interval Analysis*, 1966;
//! the midpoint-radius form as in F. Johansson, *Arb*, 2017). Two balls that do not meet are proof that two
//! numbers differ.

use num_bigint::{BigInt, BigUint, Sign};
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Signed, Zero};

/// The radius is kept below 2 to this.
const RADIUS_BITS: u64 = 30;

/// Exponents beyond this are refused: nothing in an answer needs numbers like 2^(2^40).
const MAX_EXPONENT: i64 = 1 << 40;

/// All numbers from `(m − r)·2^e` to `(m + r)·2^e`.
#[derive(Clone, Debug)]
pub(crate) struct Ball {
    m: BigInt,
    r: u64,
    e: i64,
}

/// What a ball says about a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BallSign {
    Negative,
    /// Exactly zero.
    Zero,
    Positive,
    /// The ball has zero inside and is wider than a point.
    Unknown,
}

fn bits_u128(value: u128) -> u64 {
    u64::from(128 - value.leading_zeros())
}

/// `value / 2^shift`, rounded up.
fn shift_up(value: u128, shift: u64) -> u128 {
    if shift == 0 {
        value
    } else if shift >= 128 {
        u128::from(value != 0)
    } else {
        (value >> shift) + u128::from(value & ((1 << shift) - 1) != 0)
    }
}

/// The top 32 bits of `|value|`, rounded up, and how many bits were dropped.
fn head(value: &BigInt) -> (u64, u64) {
    let bits = value.bits();
    let drop = bits.saturating_sub(31);
    let top = (value.magnitude() >> drop)
        .iter_u64_digits()
        .next()
        .unwrap_or(0);
    (top + u64::from(drop > 0), drop)
}

/// A bound from above as `u128` with a shift, for a radius that was computed in full.
fn radius_of(value: &BigUint) -> (u128, u64) {
    let bits = value.bits();
    let drop = bits.saturating_sub(62);
    let top = (value >> drop).iter_u64_digits().next().unwrap_or(0);
    (u128::from(top) + u128::from(drop > 0), drop)
}

impl Ball {
    /// An integer, exactly.
    pub(crate) fn integer(value: &BigInt) -> Self {
        Self {
            m: value.clone(),
            r: 0,
            e: 0,
        }
    }

    /// A small integer, exactly.
    pub(crate) fn small(value: i64) -> Self {
        Self::integer(&BigInt::from(value))
    }

    /// A fraction, rounded to `bits`.
    pub(crate) fn rational(value: &BigRational, bits: u64) -> Self {
        if value.denom().is_one() {
            return Self::normal(value.numer().clone(), 0, 0, bits);
        }
        Self::integer(value.numer())
            .divide(&Self::integer(value.denom()), bits)
            .expect("a denominator is not zero")
    }

    /// Brings `(m ± r)·2^e` to at most `bits` bits and a short radius.
    fn normal(m: BigInt, r: u128, e: i64, bits: u64) -> Self {
        let shift = m
            .bits()
            .saturating_sub(bits)
            .max(bits_u128(r).saturating_sub(RADIUS_BITS));
        if shift == 0 {
            return Self { m, r: r as u64, e };
        }
        // A shift to the right rounds down, by less than one unit of the new exponent.
        let exact = m.trailing_zeros().is_none_or(|zeros| zeros >= shift);
        let r = shift_up(r, shift) + u128::from(!exact);
        Self {
            m: m >> shift,
            r: r as u64,
            e: e + shift as i64,
        }
    }

    /// Whether numbers have grown beyond all use.
    pub(crate) fn is_huge(&self) -> bool {
        self.e.abs() > MAX_EXPONENT
    }

    pub(crate) fn sign(&self) -> BallSign {
        let zero_inside = self.m.magnitude() <= &BigUint::from(self.r);
        match (zero_inside, self.r, self.m.sign()) {
            (true, 0, _) => BallSign::Zero,
            (true, ..) => BallSign::Unknown,
            (false, _, Sign::Minus) => BallSign::Negative,
            (false, ..) => BallSign::Positive,
        }
    }

    /// The binary logarithm of the largest absolute value in the ball, rounded up; very small for zero.
    pub(crate) fn log2_bound(&self) -> i64 {
        if self.m.is_zero() && self.r == 0 {
            return i64::MIN / 4;
        }
        let bits = self.m.bits().max(64 - u64::from(self.r.leading_zeros()));
        bits as i64 + 1 + self.e
    }

    /// The binary logarithm of the radius, rounded up; very small for an exact ball.
    pub(crate) fn log2_radius(&self) -> i64 {
        if self.r == 0 {
            return i64::MIN / 4;
        }
        i64::from(64 - self.r.leading_zeros()) + self.e
    }

    /// The binary logarithm of the midpoint, rounded down; `None` for zero.
    #[cfg(test)]
    fn log2_mid(&self) -> Option<i64> {
        (!self.m.is_zero()).then(|| self.m.bits() as i64 - 1 + self.e)
    }

    /// The midpoint as a float, for choosing an argument reduction; never for a decision.
    pub(crate) fn approximate(&self) -> f64 {
        let drop = self.m.bits().saturating_sub(60);
        let top: i64 = (&self.m >> drop).try_into().unwrap_or(0);
        let exponent = (self.e + drop as i64).clamp(-2000, 2000);
        top as f64 * 2f64.powi(exponent as i32)
    }

    pub(crate) fn negate(&self) -> Self {
        Self {
            m: -&self.m,
            r: self.r,
            e: self.e,
        }
    }

    pub(crate) fn abs(&self) -> Self {
        match self.sign() {
            BallSign::Negative => self.negate(),
            BallSign::Positive | BallSign::Zero => self.clone(),
            BallSign::Unknown => {
                // From 0 to |m| + r.
                let top = self.m.magnitude() + self.r;
                let half = (&top >> 1u32) + 1u32;
                let (r, shift) = radius_of(&half);
                Self::normal(
                    BigInt::from(half) >> shift,
                    r + 2,
                    self.e + shift as i64,
                    u64::MAX,
                )
            }
        }
    }

    /// Times 2^shift.
    pub(crate) fn scale(&self, shift: i64) -> Self {
        Self {
            m: self.m.clone(),
            r: self.r,
            e: if self.m.is_zero() && self.r == 0 {
                0
            } else {
                self.e + shift
            },
        }
    }

    pub(crate) fn add(&self, other: &Self, bits: u64) -> Self {
        if self.m.is_zero() && self.r == 0 {
            return other.clone();
        }
        if other.m.is_zero() && other.r == 0 {
            return self.clone();
        }
        let top = (self.e + self.m.bits() as i64).max(other.e + other.m.bits() as i64);
        let radius_floor = |ball: &Self| match ball.r {
            0 => i64::MIN,
            r => ball.e + i64::from(64 - r.leading_zeros()) - RADIUS_BITS as i64,
        };
        let e = self
            .e
            .min(other.e)
            .max(top - bits as i64 - 4)
            .max(radius_floor(self))
            .max(radius_floor(other));
        let aligned = |ball: &Self| -> (BigInt, u128) {
            if ball.e >= e {
                let shift = (ball.e - e) as u64;
                (&ball.m << shift, u128::from(ball.r) << shift.min(96))
            } else {
                let shift = (e - ball.e) as u64;
                let exact = ball.m.trailing_zeros().is_none_or(|zeros| zeros >= shift);
                (
                    &ball.m >> shift,
                    shift_up(u128::from(ball.r), shift) + u128::from(!exact),
                )
            }
        };
        let (left, left_r) = aligned(self);
        let (right, right_r) = aligned(other);
        Self::normal(left + right, left_r + right_r, e, bits)
    }

    pub(crate) fn subtract(&self, other: &Self, bits: u64) -> Self {
        self.add(&other.negate(), bits)
    }

    pub(crate) fn multiply(&self, other: &Self, bits: u64) -> Self {
        let product = &self.m * &other.m;
        let e = self.e + other.e;
        if self.r == 0 && other.r == 0 {
            return Self::normal(product, 0, e, bits);
        }
        // |ab − m₁m₂| ≤ |m₁|r₂ + |m₂|r₁ + r₁r₂, of which only a few leading bits are kept.
        let share = |m: &BigInt, r: u64| -> (u128, u64) {
            let (top, drop) = head(m);
            (u128::from(top) * u128::from(r), drop)
        };
        let parts = [
            share(&self.m, other.r),
            share(&other.m, self.r),
            (u128::from(self.r) * u128::from(other.r), 0),
        ];
        let size = |(value, drop): &(u128, u64)| {
            if *value == 0 {
                0
            } else {
                bits_u128(*value) + drop
            }
        };
        let shift = parts.iter().map(size).max().unwrap_or(0).saturating_sub(60);
        let mut r = u128::from(shift > 0);
        for (value, drop) in parts {
            r += match drop.checked_sub(shift) {
                Some(left) => value << left,
                None => shift_up(value, shift - drop),
            };
        }
        Self::normal(product >> shift, r, e + shift as i64, bits)
    }

    /// The quotient; `None` if zero is in the divisor.
    pub(crate) fn divide(&self, other: &Self, bits: u64) -> Option<Self> {
        let divisor_low = other.m.magnitude().clone();
        if divisor_low <= BigUint::from(other.r) {
            return None;
        }
        let divisor_low = divisor_low - other.r;
        if self.m.is_zero() && self.r == 0 {
            return Some(Self::small(0));
        }
        let shift = (bits + 2 + other.m.bits()).saturating_sub(self.m.bits());
        let numerator: BigInt = &self.m << shift;
        let (quotient, remainder) = numerator.div_rem(&other.m);
        let e = self.e - other.e - shift as i64;
        if self.r == 0 && other.r == 0 {
            return Some(Self::normal(
                quotient,
                u128::from(!remainder.is_zero()),
                e,
                bits,
            ));
        }
        // |a/b − m₁/m₂| ≤ (r₁ + |m₁/m₂|·r₂) / (|m₂| − r₂), and one more for the rounded quotient.
        let error = (BigUint::from(self.r) << shift) + (quotient.magnitude() + 1u32) * other.r;
        let error = error / divisor_low + 2u32;
        let (r, drop) = radius_of(&error);
        Some(Self::normal(
            quotient >> drop,
            r + u128::from(drop > 0),
            e + drop as i64,
            bits,
        ))
    }

    /// The `degree`-th root of a ball without negative numbers; `None` otherwise.
    pub(crate) fn root(&self, degree: u32, bits: u64) -> Option<Self> {
        match self.sign() {
            BallSign::Zero => return Some(Self::small(0)),
            BallSign::Negative => return None,
            BallSign::Unknown => return None,
            BallSign::Positive => {}
        }
        let degree_64 = u64::from(degree);
        // Enough bits for the root, and an exponent that the degree divides.
        let mut shift = (degree_64 * (bits + 4)).saturating_sub(self.m.bits());
        let odd = (self.e - shift as i64).rem_euclid(i64::from(degree)) as u64;
        shift += odd;
        let e = (self.e - shift as i64) / i64::from(degree);
        let shifted = self.m.magnitude() << shift;
        let root = if degree == 2 {
            shifted.sqrt()
        } else {
            shifted.nth_root(degree)
        };
        if self.r == 0 {
            let exact = root.pow(degree) == shifted;
            return Some(Self::normal(
                BigInt::from(root),
                u128::from(!exact),
                e,
                bits,
            ));
        }
        // x^(1/k) is concave: its change over δ is at most δ·x^(1/k) / (k·(x − δ)).
        let low = self.m.magnitude() - self.r;
        let error = (&root + 1u32) * self.r / (low * degree) + 3u32;
        let (r, drop) = radius_of(&error);
        Some(Self::normal(
            BigInt::from(root) >> drop,
            r + u128::from(drop > 0),
            e + drop as i64,
            bits,
        ))
    }

    /// This ball, wider by 2^log2 on both sides.
    pub(crate) fn widen(&self, log2: i64, bits: u64) -> Self {
        self.add(
            &Self {
                m: BigInt::zero(),
                r: 1,
                e: log2,
            },
            bits,
        )
    }

    /// The integer next to the midpoint.
    pub(crate) fn nearest_integer(&self) -> Option<BigInt> {
        if self.e >= 0 {
            return (self.e < 1 << 16).then(|| &self.m << self.e as u64);
        }
        let shift = (-self.e) as u64;
        if shift > self.m.bits() + 2 {
            return Some(BigInt::zero());
        }
        Some((&self.m + (BigInt::one() << (shift - 1))) >> shift)
    }

    /// The floor, if all numbers of the ball have the same.
    pub(crate) fn floor(&self) -> Option<BigInt> {
        if self.e >= 0 {
            return (self.r == 0 && self.e < 1 << 16).then(|| &self.m << self.e as u64);
        }
        let shift = (-self.e) as u64;
        let low = (&self.m - self.r) >> shift;
        let high = (&self.m + self.r) >> shift;
        (low == high).then_some(low)
    }

    /// Whether the two certainly differ.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        let bits = 64 + self.m.bits().max(other.m.bits());
        matches!(
            self.subtract(other, bits).sign(),
            BallSign::Negative | BallSign::Positive
        )
    }

    /// Whether this ball's error is at most 2^−`bits` of its size, or of 1 if it is smaller than 1.
    #[cfg(test)]
    pub(crate) fn is_precise(&self, bits: u64) -> bool {
        let size = self.log2_mid().unwrap_or(0).max(0);
        self.log2_radius() <= size - bits as i64
    }

    /// Whether every number of the ball is at most `other` in absolute value.
    pub(crate) fn abs_at_most(&self, other: &Self) -> bool {
        matches!(
            other.subtract(&self.abs(), 256).sign(),
            BallSign::Positive | BallSign::Zero
        )
    }

    /// Whether the midpoint is negative, for choosing a branch of a reduction.
    pub(crate) fn leans_negative(&self) -> bool {
        self.m.is_negative()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rational(numerator: i64, denominator: i64) -> BigRational {
        BigRational::new(BigInt::from(numerator), BigInt::from(denominator))
    }

    fn contains(ball: &Ball, value: &BigRational) -> bool {
        let scale = if ball.e >= 0 {
            BigRational::from_integer(BigInt::one() << ball.e as u64)
        } else {
            BigRational::new(BigInt::one(), BigInt::one() << (-ball.e) as u64)
        };
        let low = BigRational::from_integer(&ball.m - ball.r) * &scale;
        let high = BigRational::from_integer(&ball.m + ball.r) * &scale;
        &low <= value && value <= &high
    }

    #[test]
    fn results_contain_the_exact_value() {
        use rand::RngExt;
        let mut rng = dunwu_datasets::rng(11);
        for round in 0..4000 {
            let bits = [8, 24, 60, 130][round % 4];
            let mut draw = || {
                let size = [10i64, 1000, 1 << 40][rng.random_range(0..3)];
                rational(rng.random_range(-size..=size), rng.random_range(1..=size))
            };
            let (a, b, c) = (draw(), draw(), draw());
            let [x, y, z] = [&a, &b, &c].map(|value| Ball::rational(value, bits));
            assert!(contains(&x, &a), "{a} {x:?}");
            assert!(contains(&x.add(&y, bits), &(&a + &b)), "{a} + {b}");
            assert!(contains(&x.subtract(&y, bits), &(&a - &b)), "{a} - {b}");
            assert!(contains(&x.multiply(&y, bits), &(&a * &b)), "{a} * {b}");
            let sum = x.multiply(&y, bits).add(&z, bits);
            assert!(contains(&sum, &(&a * &b + &c)), "{a} * {b} + {c}");
            if let Some(quotient) = sum.divide(&z, bits) {
                assert!(
                    contains(&quotient, &((&a * &b + &c) / &c)),
                    "({a} * {b} + {c}) / {c}"
                );
            }
            assert!(contains(&sum.abs(), &(&a * &b + &c).abs()));
            let square = x.multiply(&x, bits);
            for degree in [2, 3, 5] {
                if let Some(root) = square.root(degree, bits) {
                    let back =
                        (1..degree).fold(root.clone(), |power, _| power.multiply(&root, bits));
                    assert!(contains(&back, &(&a * &a)), "{a} {degree}");
                }
            }
        }
    }

    #[test]
    fn signs_are_certain() {
        let third = Ball::rational(&rational(1, 3), 40);
        assert_eq!(third.sign(), BallSign::Positive);
        assert_eq!(third.negate().sign(), BallSign::Negative);
        assert_eq!(third.subtract(&third, 40).sign(), BallSign::Unknown);
        assert_eq!(Ball::small(0).sign(), BallSign::Zero);
        assert!(third.differs(&Ball::rational(&rational(333, 1000), 40)));
        assert!(!third.differs(&Ball::rational(&rational(1, 3), 90)));
        assert!(
            Ball::small(1)
                .divide(&third.subtract(&third, 40), 40)
                .is_none()
        );
    }
}
