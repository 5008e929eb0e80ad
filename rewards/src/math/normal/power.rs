//! Powers, roots and logarithms in canonical form.

use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::{BigRational, Rational64};
use num_traits::{CheckedMul, One, Signed, ToPrimitive, Zero};

use super::{
    Fraction, Kind, MAX_POWER, MAX_PRIME, Maybe, Normalizer, Polynomial, as_constant, rational,
};
use crate::math::budget::Doubt;
use crate::math::expression::{Constant, Expression};

impl Normalizer<'_> {
    pub(super) fn power(&mut self, base: &Expression, exponent: &Expression) -> Maybe<Fraction> {
        let Some(exponent) = self.fraction(exponent)? else {
            return Ok(None);
        };
        if let Some(value) = exponent.as_constant() {
            let Some(base) = self.fraction(base)? else {
                return Ok(None);
            };
            return self.constant_power(base, &value);
        }
        // a^(Σ cᵢ·mᵢ) = Π (a^mᵢ)^cᵢ
        let Some(divisor) = as_constant(&exponent.below) else {
            return self.named("pow", &[base.clone(), Expression::Symbol(exponent.key())]);
        };
        let Some(base) = self.fraction(base)? else {
            return Ok(None);
        };
        let mut result = rational(BigRational::one());
        for (monomial, value) in &exponent.above {
            let value = value / &divisor;
            let part = if monomial.is_empty() {
                self.constant_power(base.clone(), &value)?
            } else {
                let mut single = rational(BigRational::one());
                single.above = Polynomial::new();
                single.above.insert(monomial.clone(), BigRational::one());
                let (Some(numerator), Some(denominator)) =
                    (value.numer().to_i64(), value.denom().to_i64())
                else {
                    return Ok(None);
                };
                let key = format!("pow {} {}", base.key(), single.key());
                Some(self.atom_power(key, Kind::Any, Rational64::new(numerator, denominator))?)
            };
            let Some(part) = part else {
                return Ok(None);
            };
            result = match self.multiply(&result, &part)? {
                Some(result) => result,
                None => return Ok(None),
            };
        }
        Ok(Some(result))
    }

    pub(super) fn constant_power(
        &mut self,
        base: Fraction,
        exponent: &BigRational,
    ) -> Maybe<Fraction> {
        let (Some(numerator), Some(denominator)) =
            (exponent.numer().to_i64(), exponent.denom().to_i64())
        else {
            return Ok(None);
        };
        if exponent.is_negative() {
            let Some(inverse) = base.inverse() else {
                return Ok(None);
            };
            return self.constant_power(inverse, &-exponent);
        }
        if denominator == 1 {
            return self.integer_power(base, numerator);
        }
        let exponent = Rational64::new(numerator, denominator);
        if let Some(value) = base.as_constant() {
            return self.radical(&value, exponent);
        }
        // Only positive atoms, or a single variable, may share the exponent.
        let (Some(above), Some(below)) = (
            self.monomial_power(&base.above, exponent)?,
            self.monomial_power(&base.below, exponent)?,
        ) else {
            let key = format!("root {}", base.key());
            return self.atom_power(key, Kind::Any, exponent).map(Some);
        };
        let Some(inverse) = below.inverse() else {
            return Ok(None);
        };
        self.multiply(&above, &inverse)
    }

    fn integer_power(&self, base: Fraction, exponent: i64) -> Maybe<Fraction> {
        let single = base.above.len() <= 1 && base.below.len() <= 1;
        if exponent > MAX_POWER && !(single && exponent <= 4000) {
            return Ok(None);
        }
        let mut result = rational(BigRational::one());
        let mut square = base;
        let mut rest = exponent;
        while rest > 0 {
            if rest & 1 == 1 {
                result = match self.multiply(&result, &square)? {
                    Some(result) => result,
                    None => return Ok(None),
                };
            }
            rest >>= 1;
            if rest > 0 {
                square = match self.multiply(&square.clone(), &square)? {
                    Some(square) => square,
                    None => return Ok(None),
                };
            }
        }
        Ok(Some(result))
    }

    fn monomial_power(&mut self, polynomial: &Polynomial, exponent: Rational64) -> Maybe<Fraction> {
        let [(monomial, value)] = polynomial.iter().collect::<Vec<_>>()[..] else {
            return Ok(None);
        };
        if !value.is_positive() {
            return Ok(None);
        }
        let positive = monomial.iter().all(|(atom, _)| {
            matches!(
                self.kinds[*atom as usize],
                Kind::Positive | Kind::Radicand(_)
            )
        });
        // x^(1/3) to the 1/2 is x^(1/6), but x² to the 1/2 is |x|.
        let variable = matches!(monomial.as_slice(), [(_, inner)] if *inner.numer() == 1);
        if !positive && !variable {
            return Ok(None);
        }
        let Some(mut result) = self.radical(value, exponent)? else {
            return Ok(None);
        };
        for (atom, inner) in monomial.clone() {
            let Some(power) = inner.checked_mul(&exponent) else {
                return Ok(None);
            };
            let mut single = rational(BigRational::one());
            single.above = Polynomial::new();
            single.above.insert(vec![(atom, power)], BigRational::one());
            result = match self.multiply(&result, &single)? {
                Some(result) => result,
                None => return Ok(None),
            };
        }
        Ok(Some(result))
    }

    /// A rational number to a fractional power above 0, as a product of primes under roots.
    fn radical(&mut self, value: &BigRational, exponent: Rational64) -> Maybe<Fraction> {
        if value.is_zero() {
            return Ok(Some(rational(BigRational::zero())));
        }
        let mut result = rational(BigRational::one());
        if value.is_negative() {
            let sign = if exponent.denom().is_odd() {
                // Odd roots of negative numbers are negative.
                rational(if exponent.numer().is_odd() {
                    -BigRational::one()
                } else {
                    BigRational::one()
                })
            } else if *exponent.denom() == 2 {
                self.atom_power(
                    "i".to_owned(),
                    Kind::I,
                    Rational64::from_integer(exponent.numer() % 4),
                )?
            } else {
                return Ok(None);
            };
            result = match self.multiply(&result, &sign)? {
                Some(result) => result,
                None => return Ok(None),
            };
        }
        for (part, sign) in [(value.numer().abs(), 1), (value.denom().clone(), -1)] {
            for (prime, count) in self.factorize(part)? {
                let power = exponent * Rational64::from_integer(count * sign);
                let atom = self.atom_power(format!("p {prime}"), Kind::Radicand(prime), power)?;
                // Multiplying moves whole powers into the coefficient, negative ones too.
                result = match self.multiply(&result, &atom)? {
                    Some(result) => result,
                    None => return Ok(None),
                };
            }
        }
        Ok(Some(result))
    }

    /// Small primes with their exponents, and what is left after them.
    fn factorize(&self, mut value: BigInt) -> Result<Vec<(BigInt, i64)>, Doubt> {
        let mut factors = Vec::new();
        let mut prime = 2u64;
        while prime <= MAX_PRIME && !value.is_one() {
            self.budget.spend(2 + value.bits() / 64)?;
            if value.bits() <= 63 && (prime * prime) as i128 > value.to_i128().unwrap_or(i128::MAX)
            {
                break;
            }
            let mut count = 0;
            loop {
                let (quotient, remainder) = value.div_rem(&BigInt::from(prime));
                if !remainder.is_zero() {
                    break;
                }
                self.budget.spend(4)?;
                value = quotient;
                count += 1;
            }
            if count > 0 {
                factors.push((BigInt::from(prime), count));
            }
            prime += if prime == 2 { 1 } else { 2 };
        }
        if !value.is_one() {
            factors.push((value, 1));
        }
        Ok(factors)
    }

    /// ln of a positive rational number as a sum over primes; of anything else as an atom.
    pub(super) fn logarithm(&mut self, inner: &Expression) -> Maybe<Fraction> {
        let Some(form) = self.fraction(inner)? else {
            return Ok(None);
        };
        match form.as_constant().filter(BigRational::is_positive) {
            Some(value) => {
                let mut sum = rational(BigRational::zero());
                for (part, sign) in [(value.numer().clone(), 1i64), (value.denom().clone(), -1)] {
                    for (prime, count) in self.factorize(part)? {
                        let logarithm = self.atom_power(
                            format!("ln {prime}"),
                            Kind::Positive,
                            Rational64::one(),
                        )?;
                        let count = rational(BigRational::from_integer((count * sign).into()));
                        let term = self.multiply(&count, &logarithm)?;
                        sum = match term {
                            Some(term) => match self.add(sum, term)? {
                                Some(sum) => sum,
                                None => return Ok(None),
                            },
                            None => return Ok(None),
                        };
                    }
                }
                Ok(Some(sum))
            }
            None if matches!(inner, Expression::Constant(Constant::E)) => {
                Ok(Some(rational(BigRational::one())))
            }
            None => self.named("Ln", std::slice::from_ref(inner)),
        }
    }
}
