//! What a chain of equations states: `m + n = 243 + 31 = 274` states 274, and `1/3 ≈ 0.33` a third.

use super::{is_derivative, is_name, shares_symbols};
use crate::math::Verdict;
use crate::math::budget::Doubt;
use crate::math::decide::Context;
use crate::math::expression::{Expression, Function, RelationKind};

/// What a relation says about a single value.
pub(super) enum Stated<'a> {
    /// Nothing: it is a condition, or an equation to be solved.
    Nothing,
    /// This value.
    Value(&'a Expression),
    /// Two values that differ: `2 + 3 = 6`.
    Contradiction,
}

/// The sides that are joined by `=`, up to the first `≈`; `None` for other relations.
fn exact_sides(expression: &Expression) -> Option<(Vec<&Expression>, Option<&Expression>)> {
    let Expression::Relation(first, rest) = expression else {
        return None;
    };
    let says =
        |kind: &RelationKind| matches!(kind, RelationKind::Equal | RelationKind::Approximately);
    if !rest.iter().all(|(kind, _)| says(kind)) {
        return None;
    }
    let mut sides = vec![first.as_ref()];
    for (kind, side) in rest {
        if *kind == RelationKind::Approximately {
            return Some((sides, rest.last().map(|(_, side)| side)));
        }
        sides.push(side);
    }
    Some((sides, None))
}

/// The name and the value of an equation that says what a name is: `x = 5`, `f(x) = x²`, `|AB| = 1`, `x = 1/3 ≈ 0.33`.
pub(super) fn assigned(expression: &Expression) -> Option<(&Expression, &Expression)> {
    let (sides, rough) = exact_sides(expression)?;
    let value = match (sides.len(), rough) {
        (1, Some(rough)) => rough,
        (1, None) => return None,
        _ => sides.last()?,
    };
    let named = if sides.len() == 1 {
        &sides[..]
    } else {
        &sides[..sides.len() - 1]
    };
    let name = named
        .iter()
        .find(|side| is_derivative(side) || (is_name(side) && !shares_symbols(side, value)))?;
    Some((name, value))
}

fn is_constant(expression: &Expression) -> bool {
    let opaque = expression.any(&|part| {
        matches!(
            part,
            Expression::Apply(..) | Expression::Indexed(..) | Expression::PlusMinus(_)
        )
    });
    let measured = matches!(expression, Expression::Ratio(_) | Expression::Clock { .. });
    (expression.is_scalar() || measured) && expression.symbols().is_empty() && !opaque
}

/// Whether a side of an equation is the quantity that was asked for: letters joined without numbers, as in `m + n` and
/// `a^2 + b^2`, or a function of one, as in `\sin\theta`. `2x = 10` is an equation to be solved, and so is `x^2 = 9`.
fn is_quantity(side: &Expression) -> bool {
    fn letters(part: &Expression) -> bool {
        match part {
            Expression::Symbol(_) | Expression::Apply(..) | Expression::Indexed(..) => true,
            Expression::Negate(inner) => letters(inner),
            Expression::Sum(parts) | Expression::Product(parts) => parts.iter().all(letters),
            Expression::Quotient(left, right) => letters(left) && letters(right),
            Expression::Power(base, exponent) => {
                letters(base) && matches!(exponent.as_ref(), Expression::Number(_))
            }
            Expression::Call(Function::Abs, parts) => parts.iter().all(letters),
            _ => false,
        }
    }
    match side {
        Expression::Sum(parts) | Expression::Product(parts) => parts.len() > 1 && letters(side),
        Expression::Quotient(..) => letters(side),
        Expression::Call(
            Function::Sin
            | Function::Cos
            | Function::Tan
            | Function::Cot
            | Function::Sec
            | Function::Csc
            | Function::Gcd
            | Function::Lcm
            | Function::Binomial,
            _,
        ) => true,
        Expression::Power(base, _) => matches!(
            base.as_ref(),
            Expression::Call(Function::Sin | Function::Cos | Function::Tan, _)
        ),
        _ => false,
    }
}

impl Context<'_> {
    /// The value that a relation states.
    pub(super) fn stated<'a>(&self, relation: &'a Expression) -> Result<Stated<'a>, Doubt> {
        let Some((sides, rough)) = exact_sides(relation) else {
            return Ok(Stated::Nothing);
        };
        if let ([only], Some(rough)) = (sides.as_slice(), rough) {
            return Ok(if is_constant(only) {
                Stated::Value(only)
            } else if is_name(only) || is_quantity(only) {
                Stated::Value(rough)
            } else {
                Stated::Nothing
            });
        }
        let Some((value, before)) = sides.split_last() else {
            return Ok(Stated::Nothing);
        };
        let named = before.iter().any(|side| is_name(side));
        for side in before {
            if !named && is_constant(side) && is_constant(value) {
                match self.answers(side, value) {
                    Ok(Verdict::Different) => return Ok(Stated::Contradiction),
                    Ok(_) => {}
                    Err(doubt) => return Err(doubt),
                }
            }
        }
        let all_constant = before.iter().all(|side| is_constant(side)) && is_constant(value);
        let asked = is_constant(value)
            && before
                .iter()
                .all(|side| is_constant(side) || is_name(side) || is_quantity(side));
        if all_constant || asked || assigned(relation).is_some() {
            return Ok(Stated::Value(value));
        }
        Ok(Stated::Nothing)
    }
}
