//! Whether two answers of any kind are the same.

mod collections;
mod matrix;
mod measures;
mod relations;
mod stated;
mod words;

use super::Verdict;
use super::budget::{Doubt, MAX_DEPTH};
use super::decide::Context;
use super::expression::{CASES, Expression, Function};
use super::realset::speaks_of_sets;
use super::text::same_text;
use stated::assigned;
pub(super) use words::set_in_words;

/// All verdicts together: one difference is enough, and one doubt is a doubt.
fn all_of(verdicts: impl IntoIterator<Item = Result<Verdict, Doubt>>) -> Result<Verdict, Doubt> {
    let mut doubt = None;
    for verdict in verdicts {
        match verdict {
            Ok(Verdict::Equal) => {}
            Ok(Verdict::Different) => return Ok(Verdict::Different),
            Ok(Verdict::Undecided { why }) | Err(why) => {
                let spent = matches!(why, Doubt::Budget { .. });
                doubt = Some(why);
                if spent {
                    break;
                }
            }
        }
    }
    match doubt {
        Some(doubt) => Err(doubt),
        None => Ok(Verdict::Equal),
    }
}

/// Whether a side of an equation is a name and no formula.
fn is_name(side: &Expression) -> bool {
    match side {
        Expression::Symbol(_)
        | Expression::Apply(..)
        | Expression::Text(_)
        | Expression::Indexed(..) => true,
        Expression::Constant(_) => false,
        Expression::Call(Function::Abs, parts) => parts.iter().all(is_name),
        Expression::Degrees(inner) => is_name(inner),
        Expression::Product(parts) | Expression::Ratio(parts) | Expression::Tuple(parts) => {
            !parts.is_empty()
                && parts
                    .iter()
                    .all(|part| is_name(part) || matches!(part, Expression::Constant(_)))
        }
        // `\frac{a}{b} = 2`, `\frac{dy}{dx} = …`
        Expression::Quotient(left, right) => is_name(left) && is_name(right),
        _ => false,
    }
}

/// `\frac{dy}{dx}`, which is a name although it looks like a quotient.
fn is_derivative(side: &Expression) -> bool {
    let differential = |part: &Expression| match part {
        Expression::Product(factors) => {
            matches!(factors.as_slice(), [Expression::Symbol(d), Expression::Symbol(_)] if d == "d")
        }
        _ => false,
    };
    matches!(side, Expression::Quotient(above, below) if differential(above) && differential(below))
}

fn shares_symbols(name: &Expression, value: &Expression) -> bool {
    if matches!(name, Expression::Apply(..) | Expression::Indexed(..)) {
        return false;
    }
    let known = value.symbols();
    name.symbols().iter().any(|symbol| known.contains(symbol))
}

/// Whether something with two signs is in an answer.
fn has_two_signs(expression: &Expression) -> bool {
    expression.any(&|part| matches!(part, Expression::PlusMinus(_) | Expression::MinusPlus(_)))
}

/// The expression with the upper signs (`+` for `±`) or the lower ones.
fn with_signs(expression: &Expression, upper: bool) -> Expression {
    match expression {
        Expression::PlusMinus(part) if upper => with_signs(part, upper),
        Expression::PlusMinus(part) => with_signs(part, upper).negated(),
        Expression::MinusPlus(part) if upper => with_signs(part, upper).negated(),
        Expression::MinusPlus(part) => with_signs(part, upper),
        other => other.map_parts(&|part| with_signs(part, upper)),
    }
}

impl Context<'_> {
    /// Compares two answers.
    pub(super) fn answers(&self, gold: &Expression, pred: &Expression) -> Result<Verdict, Doubt> {
        self.budget.spend(20)?;
        if gold == pred {
            return Ok(Verdict::Equal);
        }
        let depth = self.depth.get();
        if depth > MAX_DEPTH {
            return Err(Doubt::TooDeep { limit: MAX_DEPTH });
        }
        self.depth.set(depth + 1);
        let verdict = self.kinds(gold, pred);
        self.depth.set(depth);
        verdict
    }

    fn kinds(&self, gold: &Expression, pred: &Expression) -> Result<Verdict, Doubt> {
        let has_rows =
            |expression: &Expression| expression.any(&|part| matches!(part, Expression::Matrix(_)));
        // Once, for all parts.
        if self.depth.get() == 1 && (has_rows(gold) || has_rows(pred)) {
            let left = matrix::folded(gold, self.budget)?;
            let right = matrix::folded(pred, self.budget)?;
            if left != *gold || right != *pred {
                return self.answers(&left, &right);
            }
        }
        if let Some(verdict) = self.of_cases(gold, pred)? {
            return Ok(verdict);
        }
        match (measures::combined(gold), measures::combined(pred)) {
            (None, None) => {}
            (left, right) => {
                let left = left.as_ref().unwrap_or(gold);
                return self.answers(left, right.as_ref().unwrap_or(pred));
            }
        }
        if let Some(verdict) = self.texts(gold, pred) {
            return Ok(verdict);
        }
        if let Some(verdict) = self.as_sets(gold, pred)? {
            return Ok(verdict);
        }
        match (gold, pred) {
            (Expression::Relation(..), Expression::Relation(..)) => self.relations(gold, pred),
            (Expression::Relation(..), _) => self.relation_and_value(gold, pred, true),
            (_, Expression::Relation(..)) => self.relation_and_value(pred, gold, false),
            (Expression::Ratio(_) | Expression::Clock { .. }, _)
            | (_, Expression::Ratio(_) | Expression::Clock { .. }) => {
                self.ratios_and_times(gold, pred)
            }
            _ => self.values(gold, pred),
        }
    }

    fn texts(&self, gold: &Expression, pred: &Expression) -> Option<Verdict> {
        let word = |expression: &Expression| match expression {
            Expression::Text(text) => Some(text.clone()),
            Expression::Symbol(name) => Some(name.clone()),
            Expression::Constant(_) => Some(expression.to_string()),
            _ => None,
        };
        match (gold, pred) {
            (Expression::Text(words), other) | (other, Expression::Text(words))
                if !matches!(other, Expression::Text(_)) && set_in_words(words).is_some() =>
            {
                let set = set_in_words(words)?;
                Some(
                    self.answers(&set, other)
                        .unwrap_or_else(|why| Verdict::Undecided { why }),
                )
            }
            (Expression::Text(_), _) | (_, Expression::Text(_)) => {
                Some(match (word(gold), word(pred)) {
                    (Some(gold), Some(pred)) => Verdict::of(same_text(&gold, &pred)),
                    // `x = \text{even}`
                    _ => match (assigned(gold), assigned(pred)) {
                        (Some((_, value)), None) => return self.answers(value, pred).ok(),
                        (None, Some((_, value))) => return self.answers(gold, value).ok(),
                        _ => Verdict::Different,
                    },
                })
            }
            _ => None,
        }
    }

    /// Compares functions that are defined by cases: every case of the gold answer with the one of the same condition.
    fn of_cases(&self, gold: &Expression, pred: &Expression) -> Result<Option<Verdict>, Doubt> {
        let (Expression::Apply(left, gold_rows), Expression::Apply(right, pred_rows)) =
            (gold, pred)
        else {
            return Ok(None);
        };
        if left != CASES || right != CASES {
            return Ok(None);
        }
        let unknown = || {
            Err(Doubt::Kinds {
                left: "cases",
                right: "other cases",
            })
        };
        if gold_rows.len() != pred_rows.len() {
            return unknown();
        }
        let mut verdicts = Vec::new();
        for row in gold_rows.chunks_exact(2) {
            let mut values = None;
            for other in pred_rows.chunks_exact(2) {
                if self.answers(&row[1], &other[1])? == Verdict::Equal {
                    values = Some(&other[0]);
                    break;
                }
            }
            match values {
                Some(value) => verdicts.push(self.answers(&row[0], value)),
                None => return unknown(),
            }
        }
        all_of(verdicts).map(Some)
    }

    /// Compares answers that are sets of real numbers, if both can be read as such.
    fn as_sets(&self, gold: &Expression, pred: &Expression) -> Result<Option<Verdict>, Doubt> {
        let (left, right) = (speaks_of_sets(gold), speaks_of_sets(pred));
        if !left && !right {
            return Ok(None);
        }
        // A list of values or an equation is no set of numbers unless the other side is one.
        let readable = |expression: &Expression, speaks: bool| {
            speaks || matches!(expression, Expression::Tuple(_) | Expression::Set(_))
        };
        if !readable(gold, left) || !readable(pred, right) {
            return Ok(None);
        }
        let (Some(left), Some(right)) = (self.real_set(gold)?, self.real_set(pred)?) else {
            return Ok(None);
        };
        if let (Some(left), Some(right)) = (&left.variable, &right.variable)
            && left != right
        {
            return Ok(Some(Verdict::Different));
        }
        self.same_sets(&left, &right).map(Some)
    }
}
