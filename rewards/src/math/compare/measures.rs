//! Scalars with what they are measured in: units, percent, degrees, ratios, times.

use num_rational::BigRational;
use num_traits::{One, Signed};

use super::all_of;
use crate::math::budget::Doubt;
use crate::math::decide::Context;
use crate::math::exact::{Scope, exact, whole};
use crate::math::expression::{Connective, Expression, Function, Half};
use crate::math::units::Unit;
use crate::math::{PercentPolicy, Verdict};

/// Several measures of one kind as one: `2 h 30 min`, `5 feet and 10 inches`; `None` for other expressions.
pub(super) fn combined(expression: &Expression) -> Option<Expression> {
    let parts = match expression {
        Expression::Sum(parts) => parts,
        // `5 m, 3 m` are two answers; `5 m, 30 cm` is one.
        Expression::List(Connective::Comma | Connective::And, parts) => parts,
        _ => return None,
    };
    let unit_of = |part: &Expression| match part {
        Expression::Quantity(_, unit) if unit.is_known() => Some(unit.clone()),
        _ => None,
    };
    let units = parts.iter().map(unit_of).collect::<Option<Vec<_>>>()?;
    let largest = units.first()?;
    let descending = units.windows(2).all(|pair| {
        pair[1]
            .to(&pair[0])
            .is_some_and(|factor| factor < BigRational::one())
    });
    if !descending {
        return None;
    }
    let converted = parts.iter().map(|part| match part {
        Expression::Quantity(value, unit) => {
            let factor = unit.to(largest).unwrap_or_else(BigRational::one);
            Expression::Product(vec![Expression::Number(factor), (**value).clone()])
        }
        other => other.clone(),
    });
    let sum = Expression::Sum(converted.collect());
    Some(Expression::Quantity(Box::new(sum), largest.clone()))
}

/// Whether a ratio of written numbers may be a time of day: `2:30`.
fn looks_like_a_time(parts: &[Expression]) -> bool {
    let within = |part: &Expression, range: std::ops::RangeInclusive<i64>| match part {
        Expression::Number(value) => whole(value).is_some_and(|value| range.contains(&value)),
        _ => false,
    };
    (2..=3).contains(&parts.len())
        && within(&parts[0], 0..=24)
        && parts[1..].iter().all(|part| within(part, 10..=59))
}

impl Context<'_> {
    /// Residue classes: of one modulus, and the same modulo it. `None` if neither is one.
    pub(super) fn residues(
        &self,
        gold: &Expression,
        pred: &Expression,
    ) -> Result<Option<Verdict>, Doubt> {
        let parts = |expression: &Expression| match expression {
            Expression::Call(Function::Residue, parts) => match parts.as_slice() {
                [value, modulus] => Some((value.clone(), modulus.clone())),
                _ => None,
            },
            // `-1 (mod 5)`
            Expression::Negate(inner) => match inner.as_ref() {
                Expression::Call(Function::Residue, parts) => match parts.as_slice() {
                    [value, modulus] => Some((value.clone().negated(), modulus.clone())),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        };
        match (parts(gold), parts(pred)) {
            (Some((left, modulus)), Some((right, other))) => {
                let same = self.answers(&modulus, &other)?;
                if same != Verdict::Equal {
                    return Ok(Some(same));
                }
                let difference = Expression::Sum(vec![left.clone(), right.clone().negated()]);
                let quotient = Expression::Quotient(Box::new(difference), Box::new(modulus));
                let mut scope = Scope::default();
                match exact(&quotient, &mut scope, self.budget)? {
                    Some(quotient) => Ok(Some(Verdict::of(quotient.is_integer()))),
                    None => self.answers(&left, &right).map(Some),
                }
            }
            (Some((value, _)), None) => self.answers(&value, pred).map(Some),
            (None, Some((value, _))) => self.answers(gold, &value).map(Some),
            (None, None) => Ok(None),
        }
    }

    pub(super) fn ratios_and_times(
        &self,
        gold: &Expression,
        pred: &Expression,
    ) -> Result<Verdict, Doubt> {
        let clock = |expression: &Expression| match expression {
            Expression::Clock { seconds, half } => Some((*seconds, *half)),
            Expression::Ratio(parts) => {
                let mut seconds = 0;
                for (part, (unit, limit)) in parts.iter().zip([(3600, 24), (60, 59), (1, 59)]) {
                    let Expression::Number(value) = part else {
                        return None;
                    };
                    let value = crate::math::exact::whole(value)
                        .filter(|value| (0..=limit).contains(value))?;
                    seconds += u32::try_from(value).ok()? * unit;
                }
                (parts.len() <= 3).then_some((seconds, None))
            }
            _ => None,
        };
        match (gold, pred) {
            (Expression::Ratio(left), Expression::Ratio(right)) => {
                if left.len() != right.len() {
                    return Ok(Verdict::Different);
                }
                // a : b = c : d if a·d = b·c.
                let (first, others) = (&left[0], &right[0]);
                let cross = left.iter().zip(right).skip(1).map(|(a, b)| {
                    let product = |x: &Expression, y: &Expression| {
                        Expression::Product(vec![x.clone(), y.clone()])
                    };
                    self.scalars(&product(first, b), &product(a, others))
                });
                let verdict = all_of(cross.collect::<Vec<_>>())?;
                let times = looks_like_a_time(left) && looks_like_a_time(right);
                if verdict == Verdict::Equal && times && left != right {
                    // 2:30 is 1:15 as a ratio, and not as a time.
                    return Err(Doubt::Kinds {
                        left: "a ratio or a time",
                        right: "another",
                    });
                }
                Ok(verdict)
            }
            (Expression::Clock { .. }, _) | (_, Expression::Clock { .. }) => {
                match (clock(gold), clock(pred)) {
                    (Some((left, left_half)), Some((right, right_half))) => {
                        Ok(same_time((left, left_half), (right, right_half)))
                    }
                    _ => Ok(Verdict::Different),
                }
            }
            (Expression::Ratio(parts), value) | (value, Expression::Ratio(parts)) => match parts
                .as_slice()
            {
                [a, b] if value.is_scalar() => {
                    let quotient = Expression::Quotient(Box::new(a.clone()), Box::new(b.clone()));
                    self.scalars(&quotient, value)
                }
                _ => Ok(Verdict::Different),
            },
            _ => Ok(Verdict::Different),
        }
    }

    /// Scalars with what they are measured in.
    pub(super) fn measures(&self, gold: &Expression, pred: &Expression) -> Result<Verdict, Doubt> {
        use Expression::{Degrees, Percent, Quantity};
        match (sign_inside(gold), sign_inside(pred)) {
            (None, None) => {}
            (left, right) => {
                let left = left.as_ref().unwrap_or(gold);
                return self.measures(left, right.as_ref().unwrap_or(pred));
            }
        }
        let percent_of = |expression: &Expression| match expression {
            Percent(inner) => Some((**inner).clone()),
            // `−28\%`
            Expression::Negate(inner) => match inner.as_ref() {
                Percent(inner) => Some((**inner).clone().negated()),
                _ => None,
            },
            _ => None,
        };
        // Two different things are measured: degrees and dollars, percent and metres.
        let measured = |expression: &Expression| matches!(expression, Quantity(_, unit) if unit.is_known() && !unit.is_degrees());
        let otherwise = |expression: &Expression| {
            matches!(expression, Degrees(_) | Expression::Based { .. })
                || percent_of(expression).is_some()
        };
        let based = |expression: &Expression| matches!(expression, Expression::Based { .. });
        let angle = |expression: &Expression| matches!(expression, Degrees(_));
        if (based(gold) && angle(pred)) || (angle(gold) && based(pred)) {
            return Ok(Verdict::Different);
        }
        if (measured(gold) && otherwise(pred)) || (otherwise(gold) && measured(pred)) {
            return Ok(Verdict::Different);
        }
        let plain = |expression: &Expression| !matches!(expression, Quantity(..) | Degrees(_));
        match (percent_of(gold), percent_of(pred)) {
            (Some(left), Some(right)) => return self.measures(&left, &right),
            (Some(inner), None) if plain(pred) => return self.percents(&inner, gold, pred, true),
            (None, Some(inner)) if plain(gold) => return self.percents(&inner, pred, gold, false),
            _ => {}
        }
        // `5 m` is a product until the other side has a unit.
        if let (Quantity(..), Some((value, unit))) = (gold, letter_unit(pred)) {
            return self.measures(gold, &Quantity(Box::new(value), unit));
        }
        if let (Some((value, unit)), Quantity(..)) = (letter_unit(gold), pred) {
            return self.measures(&Quantity(Box::new(value), unit), pred);
        }
        match (gold, pred) {
            (Quantity(_, unit), other) | (other, Quantity(_, unit))
                if self.options.strict && unit.is_known() && plain(other) =>
            {
                Ok(Verdict::Different)
            }
            (Quantity(left, left_unit), Quantity(right, right_unit)) => {
                self.quantities((left, left_unit), (right, right_unit))
            }
            (Degrees(left), Degrees(right)) => self.scalars(left, right),
            (Quantity(left, unit), Degrees(right)) | (Degrees(right), Quantity(left, unit))
                if unit.is_degrees() =>
            {
                self.scalars(left, right)
            }
            // A unit that only one of them names.
            (Quantity(part, unit), other) | (other, Quantity(part, unit))
                if unit.is_subdivision() && other.is_scalar() && plain(other) =>
            {
                let verdict = self.answers(part, other)?;
                let factor = Expression::Number(unit.in_main_unit());
                let whole = Expression::Product(vec![factor, (**part).clone()]);
                if verdict == Verdict::Different && self.scalars(&whole, other)? == Verdict::Equal {
                    // 75 cents may be meant by 0.75.
                    return Err(Doubt::Kinds {
                        left: "a sum of money",
                        right: "a number without a currency",
                    });
                }
                Ok(verdict)
            }
            (Quantity(left, _), right) if !right.is_scalar() || !matches!(right, Degrees(_)) => {
                self.answers(left, right)
            }
            (left, Quantity(right, _)) if !matches!(left, Degrees(_)) => self.answers(left, right),
            (Degrees(inner), other) => self.degrees(inner, gold, other),
            (other, Degrees(inner)) => self.degrees(inner, pred, other),
            _ if gold.is_scalar() && pred.is_scalar() => self.scalars_or_units(gold, pred),
            _ => Ok(Verdict::Different),
        }
    }

    /// A percentage against a plain number.
    fn percents(
        &self,
        inner: &Expression,
        percent: &Expression,
        number: &Expression,
        percent_is_gold: bool,
    ) -> Result<Verdict, Doubt> {
        if !number.is_scalar() {
            return Ok(Verdict::Different);
        }
        let compare = |left: &Expression, right: &Expression| {
            if percent_is_gold {
                self.scalars(left, right)
            } else {
                self.scalars(right, left)
            }
        };
        let hundredths = || compare(percent, number);
        let points = || compare(inner, number);
        // `0.5%` for 0.5 is a percent too many; for 28 it may be what was asked for.
        let below_one = match exact(number, &mut Scope::default(), self.budget)? {
            Some(value) => value.abs() < BigRational::one(),
            None => false,
        };
        match self.options.percent {
            PercentPolicy::Either if below_one && !percent_is_gold => hundredths(),
            PercentPolicy::Hundredths => hundredths(),
            PercentPolicy::Unit => points(),
            PercentPolicy::Either => match hundredths()? {
                Verdict::Equal => Ok(Verdict::Equal),
                _ => points(),
            },
        }
    }

    /// Degrees against a plain number: the number may be in degrees too, or in radians.
    fn degrees(
        &self,
        inner: &Expression,
        degrees: &Expression,
        number: &Expression,
    ) -> Result<Verdict, Doubt> {
        if !number.is_scalar() {
            return Ok(Verdict::Different);
        }
        match self.scalars(inner, number)? {
            Verdict::Equal => Ok(Verdict::Equal),
            _ => self.scalars(degrees, number),
        }
    }

    fn quantities(
        &self,
        gold: (&Expression, &Unit),
        pred: (&Expression, &Unit),
    ) -> Result<Verdict, Doubt> {
        let ((left, left_unit), (right, right_unit)) = (gold, pred);
        if self.options.strict && left_unit.is_known() != right_unit.is_known() {
            return Ok(Verdict::Different);
        }
        if !left_unit.is_known() || !right_unit.is_known() {
            let verdict = self.answers(left, right)?;
            if verdict != Verdict::Equal
                || left_unit.same_label(right_unit)
                || left_unit.is_generic()
                || right_unit.is_generic()
            {
                return Ok(verdict);
            }
            if left_unit.is_temperature() && right_unit.is_temperature() {
                return Ok(Verdict::Different);
            }
            return Err(Doubt::Kinds {
                left: "a quantity",
                right: "one of another unit",
            });
        }
        match right_unit.to(left_unit) {
            Some(factor) => {
                let converted =
                    Expression::Product(vec![Expression::Number(factor), right.clone()]);
                self.scalars(left, &converted)
            }
            None => Ok(Verdict::Different),
        }
    }

    /// `5m` against `5`: a letter that is a unit, where the gold answer has no variable.
    fn scalars_or_units(&self, gold: &Expression, pred: &Expression) -> Result<Verdict, Doubt> {
        let verdict = self.scalars(gold, pred);
        if verdict == Ok(Verdict::Equal) || !gold.symbols().is_empty() {
            return verdict;
        }
        match letter_unit(pred) {
            Some((number, _)) if !self.options.strict => self.scalars(gold, &number),
            _ => verdict,
        }
    }
}

/// `−40°` as −40 in degrees, `−3 cm` as −3 in centimetres.
fn sign_inside(expression: &Expression) -> Option<Expression> {
    let Expression::Negate(inner) = expression else {
        return None;
    };
    match inner.as_ref() {
        Expression::Degrees(value) => {
            Some(Expression::Degrees(Box::new((**value).clone().negated())))
        }
        Expression::Quantity(value, unit) => Some(Expression::Quantity(
            Box::new((**value).clone().negated()),
            unit.clone(),
        )),
        _ => None,
    }
}

/// The number and the unit of `5m`, `5m²` or `5 m/s`, whose unit could be variables.
fn letter_unit(expression: &Expression) -> Option<(Expression, Unit)> {
    let (number, unit) = split_letters(expression)?;
    Some((number, unit?))
}

/// The number in an expression and the unit that its letters make; `None` if a letter is no unit.
fn split_letters(expression: &Expression) -> Option<(Expression, Option<Unit>)> {
    const LETTERS: [&str; 9] = ["m", "g", "s", "h", "L", "l", "N", "J", "W"];
    match expression {
        Expression::Symbol(name) if LETTERS.contains(&name.as_str()) => {
            Some((Expression::integer(1), Some(Unit::word(name)?)))
        }
        Expression::Power(base, exponent) => match (base.as_ref(), exponent.as_ref()) {
            (Expression::Symbol(_), Expression::Number(value)) => {
                let exponent = whole(value).filter(|exponent| (1..=3).contains(exponent))?;
                let (_, unit) = split_letters(base)?;
                Some((Expression::integer(1), Some(unit?.power(exponent as i8))))
            }
            _ if expression.symbols().is_empty() => Some((expression.clone(), None)),
            _ => None,
        },
        Expression::Product(factors) if factors.len() <= 4 => {
            let mut numbers = Vec::new();
            let mut unit: Option<Unit> = None;
            for factor in factors {
                let (number, more) = split_letters(factor)?;
                numbers.push(number);
                unit = match (unit, more) {
                    (Some(unit), Some(more)) => Some(unit.times(&more)),
                    (unit, more) => unit.or(more),
                };
            }
            numbers.retain(|number| *number != Expression::integer(1));
            if numbers.is_empty() {
                numbers.push(Expression::integer(1));
            }
            Some((Expression::product(numbers), unit))
        }
        Expression::Quotient(above, below) if !below.symbols().is_empty() => {
            let (number, unit) = split_letters(above)?;
            match split_letters(below)? {
                (divisor, Some(more)) if divisor == Expression::integer(1) => {
                    Some((number, Some(unit?.times(&more.power(-1)))))
                }
                _ => None,
            }
        }
        other => {
            let plain = other.symbols().is_empty() && !matches!(other, Expression::Quantity(..));
            plain.then(|| (other.clone(), None))
        }
    }
}

/// Times agree if they are the same, and so are the halves of the day where both are given.
fn same_time(left: (u32, Option<Half>), right: (u32, Option<Half>)) -> Verdict {
    let day = |(seconds, half): (u32, Option<Half>)| match half {
        None => seconds,
        Some(Half::Am) => seconds % (12 * 3600),
        Some(Half::Pm) => seconds % (12 * 3600) + 12 * 3600,
    };
    Verdict::of(
        day(left) == day(right) || ((left.1.is_none() || right.1.is_none()) && left.0 == right.0),
    )
}
