//! Elementary functions on balls.
//!
//! Every function reduces its argument, sums a Taylor series of balls and adds the series' remainder to the
//! radius, so that errors of rounding and of truncation are both inside the result.

use std::sync::OnceLock;

use num_bigint::BigInt;
use num_traits::One;

use super::ball::{Ball, BallSign};

/// Precisions whose constants are kept for the whole program.
const KEPT_BITS: [u64; 3] = [128, 384, 1280];

/// Arguments of the exponential beyond 2 to this are refused.
const EXP_LIMIT_LOG2: i64 = 36;

/// A working precision, in bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) bits: u64,
}

impl Field {
    /// Calculation with so many bits.
    pub(crate) fn new(bits: u64) -> Self {
        Self { bits }
    }

    fn kept<'a>(
        self,
        slots: &'a [OnceLock<Ball>; 3],
        make: impl Fn(Self) -> Ball,
    ) -> std::borrow::Cow<'a, Ball> {
        match KEPT_BITS.iter().position(|bits| *bits >= self.bits) {
            Some(index) => std::borrow::Cow::Borrowed(
                slots[index].get_or_init(|| make(Self::new(KEPT_BITS[index]))),
            ),
            None => std::borrow::Cow::Owned(make(self)),
        }
    }

    /// π, by J. Machin's formula π/4 = 4·atan(1/5) − atan(1/239).
    pub(crate) fn pi(self) -> Ball {
        static SLOTS: [OnceLock<Ball>; 3] = [const { OnceLock::new() }; 3];
        self.kept(&SLOTS, |field| {
            let bits = field.bits + 16;
            let wide = Self::new(bits);
            let fifth = wide.inverse_series(5, false).scale(4);
            let small = wide.inverse_series(239, false).scale(2);
            fifth.subtract(&small, bits)
        })
        .into_owned()
    }

    /// ln 2 = 2·atanh(1/3).
    pub(crate) fn ln2(self) -> Ball {
        static SLOTS: [OnceLock<Ball>; 3] = [const { OnceLock::new() }; 3];
        self.kept(&SLOTS, |field| {
            Self::new(field.bits + 16).inverse_series(3, true).scale(1)
        })
        .into_owned()
    }

    /// e = exp(1).
    pub(crate) fn e(self) -> Ball {
        static SLOTS: [OnceLock<Ball>; 3] = [const { OnceLock::new() }; 3];
        self.kept(&SLOTS, |field| {
            Self::new(field.bits + 16)
                .exp(&Ball::small(1))
                .expect("1 is small enough")
        })
        .into_owned()
    }

    /// atan(1/n), or atanh(1/n) if `hyperbolic`, in integers: Σ (±1)^k / ((2k+1)·n^(2k+1)).
    fn inverse_series(self, n: u32, hyperbolic: bool) -> Ball {
        let scale = BigInt::one() << self.bits;
        let mut power = &scale / n;
        let mut sum = BigInt::from(0);
        let (mut k, mut terms) = (0u32, 0i64);
        while power != BigInt::from(0) {
            let term = &power / (2 * k + 1);
            if hyperbolic || k.is_multiple_of(2) {
                sum += term;
            } else {
                sum -= term;
            }
            power /= n * n;
            k += 1;
            terms += 1;
        }
        // Each term is off by less than 2 units, and the terms left out by less than 2 in all.
        let log2_error = 64 - i64::from((2 * terms + 2).leading_zeros());
        let bits = self.bits as i64;
        Ball::integer(&sum)
            .scale(-bits)
            .widen(log2_error - bits, self.bits + 8)
    }

    /// e^x; `None` if the argument is beyond all use.
    pub(crate) fn exp(self, x: &Ball) -> Option<Ball> {
        if x.sign() == BallSign::Zero {
            return Some(Ball::small(1));
        }
        if x.log2_bound() > EXP_LIMIT_LOG2 {
            return None;
        }
        let bits = self.bits + 16 + x.log2_bound().max(0) as u64;
        let halvings = 8;
        // x = n·ln 2 + t, and exp(t) = exp(t / 2^8)^(2^8).
        let n = (x.approximate() / std::f64::consts::LN_2).round() as i64;
        let t = x
            .subtract(&Self::new(bits).ln2().multiply(&Ball::small(n), bits), bits)
            .scale(-halvings);
        if t.log2_bound() > -4 {
            // The ball is so wide that its image says nothing.
            return None;
        }
        let mut sum = Ball::small(1);
        let mut term = Ball::small(1);
        let mut k = 1;
        loop {
            term = term.multiply(&t, bits).divide(&Ball::small(k), bits)?;
            sum = sum.add(&term, bits);
            k += 1;
            if term.log2_bound() < -(bits as i64) || k > 4000 {
                break;
            }
        }
        // The rest is a geometric series with a ratio below 1/2.
        sum = sum.widen(term.log2_bound() + 1, bits);
        for _ in 0..halvings {
            sum = sum.multiply(&sum, bits);
        }
        Some(sum.scale(n))
    }

    /// ln x of a positive ball; `None` otherwise.
    pub(crate) fn ln(self, x: &Ball) -> Option<Ball> {
        if x.sign() != BallSign::Positive {
            return None;
        }
        let bits = self.bits + 24;
        // x = 2^n·f with f near 1, f ← f^(1/2^8), ln f = 2·atanh((f − 1)/(f + 1)).
        let n = x.log2_bound() - 1;
        let mut f = x.scale(-n);
        let roots = 8;
        for _ in 0..roots {
            f = f.root(2, bits)?;
        }
        let one = Ball::small(1);
        let z = f.subtract(&one, bits).divide(&f.add(&one, bits), bits)?;
        let series = self.odd_series(&z, bits, true)?;
        let ln2 = Self::new(bits).ln2();
        Some(
            series
                .scale(roots + 1)
                .add(&ln2.multiply(&Ball::small(n), bits), bits),
        )
    }

    /// Σ (±1)^k·z^(2k+1)/(2k+1) for |z| < 1/4: atanh if `hyperbolic`, else atan.
    fn odd_series(self, z: &Ball, bits: u64, hyperbolic: bool) -> Option<Ball> {
        if z.sign() == BallSign::Zero {
            return Some(Ball::small(0));
        }
        if z.log2_bound() > -2 {
            return None;
        }
        let square = z.multiply(z, bits);
        let mut power = z.clone();
        let mut sum = z.clone();
        let mut k = 1;
        loop {
            power = power.multiply(&square, bits);
            let term = power.divide(&Ball::small(2 * k + 1), bits)?;
            sum = if hyperbolic || k % 2 == 0 {
                sum.add(&term, bits)
            } else {
                sum.subtract(&term, bits)
            };
            k += 1;
            if power.log2_bound() < z.log2_bound() - bits as i64 || k > 4000 {
                break;
            }
        }
        Some(sum.widen(power.log2_bound() + 1, bits))
    }

    /// sin x and cos x.
    pub(crate) fn sin_cos(self, x: &Ball) -> Option<(Ball, Ball)> {
        if x.sign() == BallSign::Zero {
            return Some((Ball::small(0), Ball::small(1)));
        }
        let size = x.log2_bound().max(0);
        if size > 4096 || x.log2_radius() > 0 {
            return None;
        }
        let bits = self.bits + 16 + size as u64;
        // x = n·π/2 + t with |t| ≤ about π/4.
        let half_pi = Self::new(bits).pi().scale(-1);
        let n = x.divide(&half_pi, bits)?.nearest_integer()?;
        let t = x.subtract(&half_pi.multiply(&Ball::integer(&n), bits), bits);
        let bits = self.bits + 16;
        let square = t.multiply(&t, bits).negate();
        let (mut sine, mut cosine) = (t.clone(), Ball::small(1));
        let (mut sine_term, mut cosine_term) = (t.clone(), Ball::small(1));
        let mut k = 1i64;
        loop {
            cosine_term = cosine_term
                .multiply(&square, bits)
                .divide(&Ball::small((2 * k - 1) * (2 * k)), bits)?;
            sine_term = sine_term
                .multiply(&square, bits)
                .divide(&Ball::small((2 * k) * (2 * k + 1)), bits)?;
            cosine = cosine.add(&cosine_term, bits);
            sine = sine.add(&sine_term, bits);
            k += 1;
            let size = cosine_term.log2_bound().max(sine_term.log2_bound());
            if size < -(bits as i64) || k > 4000 {
                break;
            }
        }
        // |t| < 1: the terms left out sum to less than the last one.
        sine = sine.widen(sine_term.log2_bound(), bits);
        cosine = cosine.widen(cosine_term.log2_bound(), bits);
        let quarter: i64 = (n & BigInt::from(3)).try_into().ok()?;
        Some(match quarter {
            0 => (sine, cosine),
            1 => (cosine, sine.negate()),
            2 => (sine.negate(), cosine.negate()),
            _ => (cosine.negate(), sine),
        })
    }

    /// atan x, in (−π/2, π/2).
    pub(crate) fn atan(self, x: &Ball) -> Option<Ball> {
        if x.sign() == BallSign::Zero {
            return Some(Ball::small(0));
        }
        let bits = self.bits + 16;
        let one = Ball::small(1);
        if x.log2_bound() > 2 && x.sign() != BallSign::Unknown {
            // atan x = ±π/2 − atan(1/x).
            let half_pi = self.pi().scale(-1);
            let half_pi = if x.leans_negative() {
                half_pi.negate()
            } else {
                half_pi
            };
            let inner = self.atan(&one.divide(x, bits)?)?;
            return Some(half_pi.subtract(&inner, bits));
        }
        if x.log2_bound() > 2 {
            return None;
        }
        // Four times atan x = 2·atan(x / (1 + √(1 + x²))): then |x| < 0.1.
        let mut z = x.clone();
        let halvings = 4;
        for _ in 0..halvings {
            let root = one.add(&z.multiply(&z, bits), bits).root(2, bits)?;
            z = z.divide(&one.add(&root, bits), bits)?;
        }
        Some(self.odd_series(&z, bits, false)?.scale(halvings))
    }

    /// The angle of the point (x, y), in (−π, π]; `None` at the origin and across the negative axis.
    pub(crate) fn atan2(self, y: &Ball, x: &Ball) -> Option<Ball> {
        let bits = self.bits + 8;
        let pi = self.pi();
        match (x.sign(), y.sign()) {
            (BallSign::Positive, _) => self.atan(&y.divide(x, bits)?),
            (BallSign::Negative, BallSign::Zero) => Some(pi),
            (BallSign::Negative, BallSign::Positive) => {
                Some(self.atan(&y.divide(x, bits)?)?.add(&pi, bits))
            }
            (BallSign::Negative, BallSign::Negative) => {
                Some(self.atan(&y.divide(x, bits)?)?.subtract(&pi, bits))
            }
            (_, BallSign::Positive) => {
                let inner = self.atan(&x.divide(y, bits)?)?;
                Some(pi.scale(-1).subtract(&inner, bits))
            }
            (_, BallSign::Negative) => {
                let inner = self.atan(&x.divide(y, bits)?)?;
                Some(pi.scale(-1).negate().subtract(&inner, bits))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(ball: &Ball, value: f64) -> bool {
        (ball.approximate() - value).abs() <= 1e-12 * value.abs().max(1.0) && ball.is_precise(100)
    }

    #[test]
    fn functions_agree_with_floats_and_are_precise() {
        let field = Field::new(128);
        assert!(close(&field.pi(), std::f64::consts::PI));
        assert!(close(&field.ln2(), std::f64::consts::LN_2));
        assert!(close(&field.e(), std::f64::consts::E));
        let thousandth =
            |n: i64| Ball::rational(&num_rational::BigRational::new(n.into(), 1000.into()), 128);
        for n in [
            -70_000, -3141, -1570, -999, -250, -1, 1, 3, 249, 785, 1000, 1571, 4000, 70_001,
        ] {
            let (ball, value) = (thousandth(n), n as f64 / 1000.0);
            assert!(
                close(&field.atan(&ball).unwrap(), value.atan()),
                "atan {value}"
            );
            let (sine, cosine) = field.sin_cos(&ball).unwrap();
            assert!(
                close(&sine, value.sin()) && close(&cosine, value.cos()),
                "sin {value}"
            );
            let exp = field.exp(&ball).unwrap();
            assert!(
                (exp.approximate() / value.exp() - 1.0).abs() < 1e-12,
                "exp {value}"
            );
            if n > 0 {
                assert!(close(&field.ln(&ball).unwrap(), value.ln()), "ln {value}");
            }
        }
    }

    #[test]
    fn more_precision_stays_inside_less() {
        for bits in [40, 128, 200, 500] {
            let (narrow, wide) = (Field::new(bits), Field::new(bits + 300));
            let x = |field: Field| Ball::small(2).root(2, field.bits).unwrap();
            for function in [Field::exp, Field::ln, Field::atan] {
                let (low, high) = (function(narrow, &x(narrow)), function(wide, &x(wide)));
                assert!(!low.unwrap().differs(&high.unwrap()));
            }
            assert!(!narrow.pi().differs(&wide.pi()));
            // exp(ln x) = x, sin² + cos² = 1.
            let back = narrow.exp(&narrow.ln(&x(narrow)).unwrap()).unwrap();
            assert!(!back.differs(&x(wide)) && back.is_precise(bits - 10));
            let (sine, cosine) = narrow.sin_cos(&x(narrow)).unwrap();
            let one = sine
                .multiply(&sine, bits)
                .add(&cosine.multiply(&cosine, bits), bits);
            assert!(!one.differs(&Ball::small(1)) && one.is_precise(bits - 10));
        }
    }

    #[test]
    fn angles_are_in_the_right_quarter() {
        let field = Field::new(128);
        for (y, x) in [
            (1i64, 1i64),
            (1, -1),
            (-1, 1),
            (-1, -1),
            (5, 0),
            (-5, 0),
            (0, -2),
            (0, 2),
        ] {
            let angle = field.atan2(&Ball::small(y), &Ball::small(x)).unwrap();
            assert!(
                (angle.approximate() - (y as f64).atan2(x as f64)).abs() < 1e-12,
                "{y} {x}"
            );
        }
        assert!(field.atan2(&Ball::small(0), &Ball::small(0)).is_none());
    }
}
