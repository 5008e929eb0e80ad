//! Values with error bounds, at a point or of a constant.

use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};

use super::budget::{Budget, Doubt};
use super::exact::{Scope, exact, whole};
use super::expression::{Binder, Constant, Expression, Function};
use super::numeric::{Ball, BallSign, Complex, Field};

/// Largest exponent that is worked off by squaring.
const MAX_POWER: u64 = 1 << 20;

/// Why an expression has no value here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It is not defined, or not known well enough to say.
    Undefined,
    /// A bound was reached.
    Halt(Doubt),
}

impl From<Doubt> for Missing {
    fn from(doubt: Doubt) -> Self {
        Self::Halt(doubt)
    }
}

type Value = Result<Complex, Missing>;

/// Evaluates expressions in one precision.
pub(crate) struct Evaluator<'a> {
    pub(crate) field: Field,
    /// Whether roots and logarithms of negative numbers have no value: so it is at points, where `x` is real.
    pub(crate) real: bool,
    pub(crate) budget: &'a Budget,
}

impl Evaluator<'_> {
    fn pay(&self, operations: u64) -> Result<(), Doubt> {
        let words = self.field.bits / 64 + 1;
        self.budget.spend(operations * (16 + words * words))
    }

    /// The value of `expression`, in a ball or rectangle.
    pub(crate) fn value(&self, expression: &Expression, scope: &mut Scope) -> Value {
        let value = self.unchecked(expression, scope)?;
        if value.is_huge() {
            Err(Missing::Undefined)
        } else {
            Ok(value)
        }
    }

    fn rational(&self, value: &BigRational) -> Complex {
        Complex::real(Ball::rational(value, self.field.bits))
    }

    fn unchecked(&self, expression: &Expression, scope: &mut Scope) -> Value {
        self.pay(1)?;
        let field = self.field;
        Ok(match expression {
            Expression::Number(value) => {
                self.budget
                    .spend_bits(value.numer().bits(), value.denom().bits())?;
                self.rational(value)
            }
            Expression::Constant(constant) => match constant {
                Constant::Pi => Complex::real(field.pi()),
                Constant::E => Complex::real(field.e()),
                Constant::I => Complex::i(),
                Constant::Infinity => return Err(Missing::Undefined),
            },
            Expression::Sum(terms) => {
                let mut sum = Complex::real(Ball::small(0));
                for term in terms {
                    sum = sum.add(&self.value(term, scope)?, field);
                }
                sum
            }
            Expression::Product(factors) => {
                let mut product = Complex::real(Ball::small(1));
                for factor in factors {
                    self.pay(1)?;
                    product = product.multiply(&self.value(factor, scope)?, field);
                }
                product
            }
            Expression::Quotient(left, right) => {
                self.pay(3)?;
                let (left, right) = (self.value(left, scope)?, self.value(right, scope)?);
                left.divide(&right, field).ok_or(Missing::Undefined)?
            }
            Expression::Negate(inner) => self.value(inner, scope)?.negate(),
            Expression::Quantity(inner, _) => self.value(inner, scope)?,
            Expression::Percent(inner) => {
                let hundred = Complex::real(Ball::small(100));
                self.value(inner, scope)?
                    .divide(&hundred, field)
                    .ok_or(Missing::Undefined)?
            }
            Expression::Degrees(inner) => {
                let half_turn = Complex::real(Ball::small(180));
                let value = self
                    .value(inner, scope)?
                    .multiply(&Complex::real(field.pi()), field);
                value.divide(&half_turn, field).ok_or(Missing::Undefined)?
            }
            Expression::Power(base, exponent) => self.power(base, exponent, scope)?,
            Expression::Call(function, arguments) => self.call(*function, arguments, scope)?,
            Expression::Bound {
                binder: binder @ (Binder::Sum | Binder::Product),
                variable,
                lower: Some(lower),
                upper: Some(upper),
                body,
            } => self.bound(*binder, variable, lower, upper, body, scope)?,
            other => match exact(other, scope, self.budget)? {
                Some(value) => self.rational(&value),
                None => return Err(Missing::Undefined),
            },
        })
    }

    fn bound(
        &self,
        binder: Binder,
        variable: &str,
        lower: &Expression,
        upper: &Expression,
        body: &Expression,
        scope: &mut Scope,
    ) -> Value {
        let end = |expression: &Expression, scope: &mut Scope| -> Result<i64, Missing> {
            let value = exact(expression, scope, self.budget)?;
            value.as_ref().and_then(whole).ok_or(Missing::Undefined)
        };
        let (lower, upper) = (end(lower, scope)?, end(upper, scope)?);
        if upper.saturating_sub(lower) > 400 {
            return Err(Missing::Undefined);
        }
        let mut result = Complex::real(Ball::small(i64::from(binder == Binder::Product)));
        for index in lower..=upper {
            scope
                .values
                .push((variable.to_owned(), BigRational::from_integer(index.into())));
            let term = self.value(body, scope);
            scope.values.pop();
            result = match binder {
                Binder::Sum => result.add(&term?, self.field),
                _ => result.multiply(&term?, self.field),
            };
        }
        Ok(result)
    }

    fn power(&self, base: &Expression, exponent: &Expression, scope: &mut Scope) -> Value {
        let exact_exponent = exact(exponent, scope, self.budget)?;
        if matches!(base, Expression::Constant(Constant::E)) && exact_exponent.is_none() {
            self.pay(60)?;
            let exponent = self.value(exponent, scope)?;
            return exponent.exp(self.field).ok_or(Missing::Undefined);
        }
        let base = self.value(base, scope)?;
        match exact_exponent {
            Some(exponent) => self.rational_power(&base, &exponent),
            None => {
                let exponent = self.value(exponent, scope)?;
                self.general_power(&base, &exponent)
            }
        }
    }

    fn general_power(&self, base: &Complex, exponent: &Complex) -> Value {
        let field = self.field;
        if base.is_zero() {
            return match exponent.re.sign() {
                BallSign::Positive => Ok(base.clone()),
                _ => Err(Missing::Undefined),
            };
        }
        if self.real && !(base.is_real() && base.re.sign() == BallSign::Positive) {
            return Err(Missing::Undefined);
        }
        self.pay(140)?;
        let logarithm = base.ln(field).ok_or(Missing::Undefined)?;
        logarithm
            .multiply(exponent, field)
            .exp(field)
            .ok_or(Missing::Undefined)
    }

    /// A rational power. Odd roots of negative numbers are negative, as schools teach.
    fn rational_power(&self, base: &Complex, exponent: &BigRational) -> Value {
        let field = self.field;
        if exponent.is_zero() {
            return Ok(Complex::real(Ball::small(1)));
        }
        let (numerator, denominator) = (exponent.numer().abs(), exponent.denom());
        let (Some(power), Some(degree)) = (
            numerator.to_u64().filter(|power| *power <= MAX_POWER),
            denominator.to_u32(),
        ) else {
            return self.general_power(base, &self.rational(exponent));
        };
        if degree > 64 {
            return self.general_power(base, &self.rational(exponent));
        }
        self.pay(
            2 * u64::from(64 - power.leading_zeros())
                + if degree > 1 { 4 + u64::from(degree) } else { 0 },
        )?;
        let root = if degree == 1 {
            base.clone()
        } else {
            self.root(base, degree)?
        };
        let result = root.power(power, field);
        if exponent.is_negative() {
            let one = Complex::real(Ball::small(1));
            return one.divide(&result, field).ok_or(Missing::Undefined);
        }
        Ok(result)
    }

    fn root(&self, base: &Complex, degree: u32) -> Value {
        let field = self.field;
        self.pay(6 + u64::from(degree))?;
        if base.is_real() {
            match base.re.sign() {
                BallSign::Negative if degree.is_odd() => {
                    let root = base
                        .re
                        .negate()
                        .root(degree, field.bits)
                        .ok_or(Missing::Undefined)?;
                    return Ok(Complex::real(root.negate()));
                }
                BallSign::Negative if self.real => return Err(Missing::Undefined),
                BallSign::Negative => {}
                _ => {
                    let root = base.re.root(degree, field.bits).ok_or(Missing::Undefined)?;
                    return Ok(Complex::real(root));
                }
            }
        }
        if degree == 2 {
            return base.sqrt(field).ok_or(Missing::Undefined);
        }
        let exponent = BigRational::new(BigInt::one(), degree.into());
        self.general_power(base, &self.rational(&exponent))
    }

    fn call(&self, function: Function, arguments: &[Expression], scope: &mut Scope) -> Value {
        let field = self.field;
        let bits = field.bits;
        let missing = || Missing::Undefined;
        // Some functions jump, and want an exact argument.
        let jumps = matches!(
            function,
            Function::Floor
                | Function::Ceil
                | Function::Factorial
                | Function::DoubleFactorial
                | Function::Binomial
                | Function::Gcd
                | Function::Lcm
                | Function::Mod
                | Function::Min
                | Function::Max
        );
        if jumps {
            let whole_call = Expression::Call(function, arguments.to_vec());
            if let Some(value) = exact(&whole_call, scope, self.budget)? {
                return Ok(self.rational(&value));
            }
        }
        match (function, arguments) {
            (Function::Root, [degree, inner]) => {
                let degree = exact(degree, scope, self.budget)?.ok_or_else(missing)?;
                if degree.is_zero() {
                    return Err(Missing::Undefined);
                }
                let inner = self.value(inner, scope)?;
                self.rational_power(&inner, &degree.recip())
            }
            (Function::Log, [base, inner]) => {
                self.pay(140)?;
                let (base, inner) = (self.value(base, scope)?, self.value(inner, scope)?);
                if self.real && inner.re.sign() == BallSign::Negative {
                    return Err(Missing::Undefined);
                }
                let (base, inner) = (
                    base.ln(field).ok_or_else(missing)?,
                    inner.ln(field).ok_or_else(missing)?,
                );
                inner.divide(&base, field).ok_or_else(missing)
            }
            (Function::Min | Function::Max, [_, ..]) => {
                let mut best = self.value(&arguments[0], scope)?;
                for argument in &arguments[1..] {
                    let next = self.value(argument, scope)?;
                    let sign = next.subtract(&best, field).re.sign();
                    let better = match sign {
                        BallSign::Negative => function == Function::Min,
                        BallSign::Positive => function == Function::Max,
                        BallSign::Zero => false,
                        BallSign::Unknown => return Err(Missing::Undefined),
                    };
                    if better {
                        best = next;
                    }
                }
                Ok(best)
            }
            (Function::Residue, [value, _]) => self.value(value, scope),
            (_, [inner]) => {
                let inner = self.value(inner, scope)?;
                match function {
                    Function::Abs => inner.abs(field).map(Complex::real).ok_or_else(missing),
                    Function::Floor | Function::Ceil if inner.is_real() => {
                        let floor = match function {
                            Function::Floor => inner.re.floor(),
                            _ => inner.re.negate().floor().map(|floor| -floor),
                        };
                        Ok(Complex::real(Ball::integer(&floor.ok_or_else(missing)?)))
                    }
                    Function::Exp => {
                        self.pay(60)?;
                        inner.exp(field).ok_or_else(missing)
                    }
                    Function::Ln => {
                        self.pay(60)?;
                        if self.real && inner.re.sign() == BallSign::Negative {
                            return Err(Missing::Undefined);
                        }
                        inner.ln(field).ok_or_else(missing)
                    }
                    Function::Sin
                    | Function::Cos
                    | Function::Tan
                    | Function::Cot
                    | Function::Sec
                    | Function::Csc => self.trigonometric(function, &inner),
                    Function::Sinh | Function::Cosh | Function::Tanh => {
                        self.hyperbolic(function, &inner)
                    }
                    _ if inner.is_real() => {
                        self.inverse(function, &inner.re, bits).map(Complex::real)
                    }
                    _ => Err(Missing::Undefined),
                }
            }
            _ => Err(Missing::Undefined),
        }
    }

    fn trigonometric(&self, function: Function, angle: &Complex) -> Value {
        self.pay(80)?;
        let field = self.field;
        let (sine, cosine) = angle.sin_cos(field).ok_or(Missing::Undefined)?;
        let one = Complex::real(Ball::small(1));
        let quotient =
            |left: &Complex, right: &Complex| left.divide(right, field).ok_or(Missing::Undefined);
        match function {
            Function::Sin => Ok(sine),
            Function::Cos => Ok(cosine),
            Function::Tan => quotient(&sine, &cosine),
            Function::Cot => quotient(&cosine, &sine),
            Function::Sec => quotient(&one, &cosine),
            _ => quotient(&one, &sine),
        }
    }

    fn hyperbolic(&self, function: Function, argument: &Complex) -> Value {
        self.pay(120)?;
        let field = self.field;
        let up = argument.exp(field).ok_or(Missing::Undefined)?;
        let down = argument.negate().exp(field).ok_or(Missing::Undefined)?;
        let half = Complex::real(Ball::small(1).scale(-1));
        let sinh = up.subtract(&down, field).multiply(&half, field);
        let cosh = up.add(&down, field).multiply(&half, field);
        match function {
            Function::Sinh => Ok(sinh),
            Function::Cosh => Ok(cosh),
            _ => sinh.divide(&cosh, field).ok_or(Missing::Undefined),
        }
    }

    fn inverse(&self, function: Function, x: &Ball, bits: u64) -> Result<Ball, Missing> {
        self.pay(120)?;
        let field = self.field;
        let one = Ball::small(1);
        let half_pi = field.pi().scale(-1);
        let square = || x.multiply(x, bits);
        let arcsine = |x: &Ball| -> Option<Ball> {
            let rest = one.subtract(&x.multiply(x, bits), bits).root(2, bits)?;
            field.atan2(x, &rest)
        };
        let value = match function {
            Function::Arcsin => arcsine(x),
            Function::Arccos => arcsine(x).map(|angle| half_pi.subtract(&angle, bits)),
            Function::Arctan => field.atan(x),
            Function::Arccot => field.atan(x).map(|angle| half_pi.subtract(&angle, bits)),
            Function::Arcsec => one
                .divide(x, bits)
                .and_then(|x| arcsine(&x))
                .map(|angle| half_pi.subtract(&angle, bits)),
            Function::Arccsc => one.divide(x, bits).and_then(|x| arcsine(&x)),
            Function::Arsinh => square()
                .add(&one, bits)
                .root(2, bits)
                .and_then(|root| field.ln(&x.add(&root, bits))),
            Function::Arcosh => {
                let root = square().subtract(&one, bits).root(2, bits);
                match x.sign() {
                    BallSign::Positive => root.and_then(|root| field.ln(&x.add(&root, bits))),
                    _ => None,
                }
            }
            Function::Artanh => one
                .add(x, bits)
                .divide(&one.subtract(x, bits), bits)
                .and_then(|quotient| field.ln(&quotient))
                .map(|logarithm| logarithm.scale(-1)),
            _ => None,
        };
        value.ok_or(Missing::Undefined)
    }
}
