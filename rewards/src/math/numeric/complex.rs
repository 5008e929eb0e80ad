//! Complex numbers known to lie in a rectangle.

use super::ball::{Ball, BallSign};
use super::elementary::Field;

/// `re + i·im`, each part a ball. `im` is exactly zero for real numbers.
#[derive(Clone, Debug)]
pub(crate) struct Complex {
    pub(crate) re: Ball,
    pub(crate) im: Ball,
}

impl Complex {
    pub(crate) fn real(re: Ball) -> Self {
        Self {
            re,
            im: Ball::small(0),
        }
    }

    pub(crate) fn i() -> Self {
        Self {
            re: Ball::small(0),
            im: Ball::small(1),
        }
    }

    pub(crate) fn is_real(&self) -> bool {
        self.im.sign() == BallSign::Zero
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.is_real() && self.re.sign() == BallSign::Zero
    }

    /// Whether some part has grown beyond all use.
    pub(crate) fn is_huge(&self) -> bool {
        self.re.is_huge() || self.im.is_huge()
    }

    pub(crate) fn negate(&self) -> Self {
        Self {
            re: self.re.negate(),
            im: self.im.negate(),
        }
    }

    pub(crate) fn add(&self, other: &Self, field: Field) -> Self {
        Self {
            re: self.re.add(&other.re, field.bits),
            im: self.im.add(&other.im, field.bits),
        }
    }

    pub(crate) fn subtract(&self, other: &Self, field: Field) -> Self {
        self.add(&other.negate(), field)
    }

    pub(crate) fn multiply(&self, other: &Self, field: Field) -> Self {
        let bits = field.bits;
        if self.is_real() && other.is_real() {
            return Self::real(self.re.multiply(&other.re, bits));
        }
        let cross = |a: &Ball, b: &Ball| a.multiply(b, bits);
        Self {
            re: cross(&self.re, &other.re).subtract(&cross(&self.im, &other.im), bits),
            im: cross(&self.re, &other.im).add(&cross(&self.im, &other.re), bits),
        }
    }

    /// The quotient; `None` if zero may be in the divisor.
    pub(crate) fn divide(&self, other: &Self, field: Field) -> Option<Self> {
        let bits = field.bits;
        if other.is_real() {
            let im = if self.is_real() {
                Ball::small(0)
            } else {
                self.im.divide(&other.re, bits)?
            };
            return Some(Self {
                re: self.re.divide(&other.re, bits)?,
                im,
            });
        }
        let norm = other.norm(field);
        let conjugate = Self {
            re: other.re.clone(),
            im: other.im.negate(),
        };
        let product = self.multiply(&conjugate, field);
        Some(Self {
            re: product.re.divide(&norm, bits)?,
            im: product.im.divide(&norm, bits)?,
        })
    }

    /// |z|².
    fn norm(&self, field: Field) -> Ball {
        let square = |part: &Ball| {
            let part = part.abs();
            part.multiply(&part, field.bits)
        };
        square(&self.re).add(&square(&self.im), field.bits)
    }

    /// |z|.
    pub(crate) fn abs(&self, field: Field) -> Option<Ball> {
        if self.is_real() {
            return Some(self.re.abs());
        }
        self.norm(field).root(2, field.bits)
    }

    /// The principal square root.
    pub(crate) fn sqrt(&self, field: Field) -> Option<Self> {
        let bits = field.bits;
        if self.is_real() {
            return match self.re.sign() {
                BallSign::Unknown => None,
                BallSign::Negative => Some(Self {
                    re: Ball::small(0),
                    im: self.re.negate().root(2, bits)?,
                }),
                _ => Some(Self::real(self.re.root(2, bits)?)),
            };
        }
        let size = self.abs(field)?;
        // The half with the safe sum gives one part, the product of both parts the other.
        if !self.re.leans_negative() {
            let re = size.add(&self.re, bits).scale(-1).root(2, bits)?;
            let im = self.im.divide(&re.scale(1), bits)?;
            return Some(Self { re, im });
        }
        let im = size.subtract(&self.re, bits).scale(-1).root(2, bits)?;
        let im = match self.im.sign() {
            BallSign::Negative => im.negate(),
            BallSign::Positive => im,
            _ => return None,
        };
        let re = self.im.divide(&im.scale(1), bits)?;
        Some(Self { re, im })
    }

    /// e^z.
    pub(crate) fn exp(&self, field: Field) -> Option<Self> {
        let size = field.exp(&self.re)?;
        if self.is_real() {
            return Some(Self::real(size));
        }
        let (sine, cosine) = field.sin_cos(&self.im)?;
        Some(Self {
            re: size.multiply(&cosine, field.bits),
            im: size.multiply(&sine, field.bits),
        })
    }

    /// The principal logarithm.
    pub(crate) fn ln(&self, field: Field) -> Option<Self> {
        if self.is_real() && self.re.sign() == BallSign::Positive {
            return Some(Self::real(field.ln(&self.re)?));
        }
        let size = if self.is_real() {
            field.ln(&self.re.abs())?
        } else {
            field.ln(&self.norm(field))?.scale(-1)
        };
        Some(Self {
            re: size,
            im: field.atan2(&self.im, &self.re)?,
        })
    }

    /// z^n for an integer n ≥ 0.
    pub(crate) fn power(&self, mut exponent: u64, field: Field) -> Self {
        let mut result = Self::real(Ball::small(1));
        let mut square = self.clone();
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = result.multiply(&square, field);
            }
            exponent >>= 1;
            if exponent > 0 {
                square = square.multiply(&square, field);
            }
        }
        result
    }

    /// sin z and cos z.
    pub(crate) fn sin_cos(&self, field: Field) -> Option<(Self, Self)> {
        let (sine, cosine) = field.sin_cos(&self.re)?;
        if self.is_real() {
            return Some((Self::real(sine), Self::real(cosine)));
        }
        let bits = field.bits;
        let up = field.exp(&self.im)?;
        let down = field.exp(&self.im.negate())?;
        let cosh = up.add(&down, bits).scale(-1);
        let sinh = up.subtract(&down, bits).scale(-1);
        Some((
            Self {
                re: sine.multiply(&cosh, bits),
                im: cosine.multiply(&sinh, bits),
            },
            Self {
                re: cosine.multiply(&cosh, bits),
                im: sine.multiply(&sinh, bits).negate(),
            },
        ))
    }

    /// Whether the two certainly differ.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        self.re.differs(&other.re) || self.im.differs(&other.im)
    }

    /// Whether both parts are known to so many bits.
    pub(crate) fn is_precise(&self, bits: u64) -> bool {
        let size = self.re.log2_bound().max(self.im.log2_bound()).max(0);
        self.re.log2_radius().max(self.im.log2_radius()) <= size - bits as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_powers_and_logarithms_belong_together() {
        let field = Field::new(128);
        for (re, im) in [
            (3i64, 4i64),
            (-3, 4),
            (-3, -4),
            (0, 1),
            (0, -2),
            (5, 0),
            (-5, 0),
        ] {
            let z = Complex {
                re: Ball::small(re),
                im: Ball::small(im),
            };
            let root = z.sqrt(field).unwrap();
            assert!(!root.power(2, field).differs(&z), "{re} {im}");
            let back = z.ln(field).unwrap().exp(field).unwrap();
            assert!(!back.differs(&z) && back.is_precise(90), "{re} {im}");
            let quotient = z.divide(&root, field).unwrap();
            assert!(!quotient.differs(&root));
            let (sine, cosine) = z.sin_cos(field).unwrap();
            let one = sine.power(2, field).add(&cosine.power(2, field), field);
            assert!(!one.differs(&Complex::real(Ball::small(1))));
        }
    }
}
