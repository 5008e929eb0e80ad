//! Arithmetic of matrices: products, sums, powers, transposes and determinants, entry by entry.

use num_traits::{One, ToPrimitive};

use crate::math::budget::{Budget, Doubt};
use crate::math::expression::{Expression, Function};

type Rows = Vec<Vec<Expression>>;

/// Most rows or columns that are multiplied.
const MOST: usize = 8;

/// Largest determinant that is written out.
const MOST_EXPANDED: usize = 4;

/// Largest power of a matrix that is multiplied out.
const MOST_POWER: u32 = 16;

/// The expression with all arithmetic of matrices carried out; what cannot be stays as it is.
pub(super) fn folded(expression: &Expression, budget: &Budget) -> Result<Expression, Doubt> {
    if !expression.any(&|part| matches!(part, Expression::Matrix(_))) {
        return Ok(match expression {
            Expression::Tuple(items) => nested_rows(items).unwrap_or_else(|| expression.clone()),
            other => other.clone(),
        });
    }
    budget.spend(50)?;
    let failed = std::cell::RefCell::new(None);
    let inner = expression.map_parts(&|part| {
        folded(part, budget).unwrap_or_else(|doubt| {
            *failed.borrow_mut() = Some(doubt);
            part.clone()
        })
    });
    if let Some(doubt) = failed.into_inner() {
        return Err(doubt);
    }
    Ok(match &inner {
        Expression::Product(factors) => product(factors, budget)?,
        Expression::Sum(terms) => sum(terms, budget)?,
        Expression::Negate(part) => match part.as_ref() {
            Expression::Matrix(rows) => Some(scaled(&Expression::integer(-1), rows, budget)?),
            _ => None,
        },
        Expression::Quotient(above, below) => match above.as_ref() {
            Expression::Matrix(rows) if below.is_scalar() => {
                let factor = Expression::Quotient(Box::new(Expression::integer(1)), below.clone());
                Some(scaled(&factor, rows, budget)?)
            }
            _ => None,
        },
        Expression::Power(base, exponent) => match base.as_ref() {
            Expression::Matrix(rows) => power(rows, exponent, budget)?,
            _ => None,
        },
        Expression::Call(Function::Abs, parts) => match parts.as_slice() {
            [Expression::Matrix(rows)] => determinant(rows, budget)?,
            _ => None,
        },
        _ => None,
    }
    .unwrap_or(inner))
}

/// `((1, 2), (3, 4))` as rows, if all are of one length and there are three or more.
fn nested_rows(items: &[Expression]) -> Option<Expression> {
    let row = |item: &Expression| match item {
        Expression::Tuple(entries) => Some(entries.clone()),
        Expression::Interval {
            lower,
            upper,
            lower_closed: true,
            upper_closed: true,
        } => Some(vec![(**lower).clone(), (**upper).clone()]),
        _ => None,
    };
    let rows: Rows = items.iter().map(row).collect::<Option<_>>()?;
    let closed = items
        .iter()
        .any(|item| matches!(item, Expression::Interval { .. }));
    let width = rows.first()?.len();
    let same = rows.iter().all(|row| row.len() == width);
    // Points of a plane are no matrix.
    (same && rows.len() >= 3 && (closed || width >= 3)).then_some(Expression::Matrix(rows))
}

fn scaled(factor: &Expression, rows: &Rows, budget: &Budget) -> Result<Expression, Doubt> {
    budget.spend(20 * rows.len() as u64 * rows[0].len() as u64)?;
    let entry = |entry: &Expression| Expression::Product(vec![factor.clone(), entry.clone()]);
    Ok(Expression::Matrix(
        rows.iter()
            .map(|row| row.iter().map(entry).collect())
            .collect(),
    ))
}

fn multiplied(left: &Rows, right: &Rows, budget: &Budget) -> Result<Option<Rows>, Doubt> {
    let (height, inner, width) = (left.len(), right.len(), right[0].len());
    if left[0].len() != inner || height.max(inner).max(width) > MOST {
        return Ok(None);
    }
    budget.spend(30 * (height * inner * width) as u64)?;
    let entry = |row: usize, column: usize| {
        let terms = (0..inner).map(|index| {
            Expression::Product(vec![left[row][index].clone(), right[index][column].clone()])
        });
        Expression::sum(terms.collect())
    };
    let rows = (0..height)
        .map(|row| (0..width).map(|column| entry(row, column)).collect())
        .collect();
    Ok(Some(rows))
}

fn product(factors: &[Expression], budget: &Budget) -> Result<Option<Expression>, Doubt> {
    if let [Expression::Symbol(name), Expression::Matrix(rows)] = factors
        && name == "\\det"
    {
        return determinant(rows, budget);
    }
    let mut scalars = Vec::new();
    let mut result: Option<Rows> = None;
    for factor in factors {
        match factor {
            Expression::Matrix(rows) => {
                result = Some(match result {
                    None => rows.clone(),
                    Some(before) => match multiplied(&before, rows, budget)? {
                        Some(rows) => rows,
                        None => return Ok(None),
                    },
                });
            }
            scalar if scalar.is_scalar() => scalars.push(scalar.clone()),
            _ => return Ok(None),
        }
    }
    let Some(rows) = result else {
        return Ok(None);
    };
    if scalars.is_empty() {
        return Ok(Some(Expression::Matrix(rows)));
    }
    scaled(&Expression::product(scalars), &rows, budget).map(Some)
}

fn sum(terms: &[Expression], budget: &Budget) -> Result<Option<Expression>, Doubt> {
    let mut result: Option<Rows> = None;
    for term in terms {
        let Expression::Matrix(rows) = term else {
            return Ok(None);
        };
        budget.spend(20 * rows.len() as u64 * rows[0].len() as u64)?;
        result = Some(match result {
            None => rows.clone(),
            Some(before) => {
                if before.len() != rows.len() || before[0].len() != rows[0].len() {
                    return Ok(None);
                }
                let add = |(x, y): (&Expression, &Expression)| {
                    Expression::Sum(vec![x.clone(), y.clone()])
                };
                let added = before
                    .iter()
                    .zip(rows)
                    .map(|(left, right)| left.iter().zip(right).map(add).collect());
                added.collect()
            }
        });
    }
    Ok(result.map(Expression::Matrix))
}

fn transposed(rows: &Rows) -> Rows {
    let width = rows.first().map_or(0, Vec::len);
    (0..width)
        .map(|column| rows.iter().map(|row| row[column].clone()).collect())
        .collect()
}

/// A whole power, the inverse, or the transpose.
fn power(rows: &Rows, exponent: &Expression, budget: &Budget) -> Result<Option<Expression>, Doubt> {
    let transposes = match exponent {
        Expression::Symbol(name) => matches!(name.as_str(), "T" | "t" | "\\top" | "\\intercal"),
        Expression::Text(name) => matches!(name.trim(), "T" | "t"),
        _ => false,
    };
    if transposes {
        return Ok(Some(Expression::Matrix(transposed(rows))));
    }
    let Expression::Number(value) = exponent else {
        return Ok(None);
    };
    if rows.len() != rows[0].len() || !value.is_integer() {
        return Ok(None);
    }
    if (-value).is_one() {
        return inverse(rows, budget);
    }
    let Some(times) = value
        .to_u32()
        .filter(|times| (1..=MOST_POWER).contains(times))
    else {
        return Ok(None);
    };
    let mut result = rows.clone();
    for _ in 1..times {
        match multiplied(&result, rows, budget)? {
            Some(rows) => result = rows,
            None => return Ok(None),
        }
    }
    Ok(Some(Expression::Matrix(result)))
}

fn minor(rows: &Rows, row: usize, column: usize) -> Rows {
    let without = |entries: &Vec<Expression>| {
        let kept = entries.iter().enumerate().filter(|(at, _)| *at != column);
        kept.map(|(_, entry)| entry.clone()).collect()
    };
    let kept = rows.iter().enumerate().filter(|(at, _)| *at != row);
    kept.map(|(_, entries)| without(entries)).collect()
}

/// The determinant, along its first row.
fn determinant(rows: &Rows, budget: &Budget) -> Result<Option<Expression>, Doubt> {
    let size = rows.len();
    if size != rows[0].len() || size > MOST_EXPANDED {
        return Ok(None);
    }
    budget.spend(40 * size as u64)?;
    if size == 1 {
        return Ok(Some(rows[0][0].clone()));
    }
    let mut terms = Vec::with_capacity(size);
    for column in 0..size {
        let Some(rest) = determinant(&minor(rows, 0, column), budget)? else {
            return Ok(None);
        };
        let term = Expression::Product(vec![rows[0][column].clone(), rest]);
        terms.push(if column % 2 == 0 {
            term
        } else {
            term.negated()
        });
    }
    Ok(Some(Expression::Sum(terms)))
}

/// The inverse by cofactors, of up to three rows.
fn inverse(rows: &Rows, budget: &Budget) -> Result<Option<Expression>, Doubt> {
    let size = rows.len();
    if !(2..=3).contains(&size) {
        return Ok(None);
    }
    let Some(whole) = determinant(rows, budget)? else {
        return Ok(None);
    };
    let mut result = Vec::with_capacity(size);
    for row in 0..size {
        let mut entries = Vec::with_capacity(size);
        for column in 0..size {
            let Some(cofactor) = determinant(&minor(rows, column, row), budget)? else {
                return Ok(None);
            };
            let signed = if (row + column) % 2 == 0 {
                cofactor
            } else {
                cofactor.negated()
            };
            entries.push(Expression::Quotient(
                Box::new(signed),
                Box::new(whole.clone()),
            ));
        }
        result.push(entries);
    }
    Ok(Some(Expression::Matrix(result)))
}
