//! Lists, sets, tuples, intervals and matrices.

use super::stated::assigned;
use super::{all_of, has_two_signs, with_signs};
use crate::math::Verdict;
use crate::math::budget::Doubt;
use crate::math::decide::Context;
use crate::math::expression::Expression;

/// Most items of a list that are matched without order: every pair may have to be compared.
const MAX_ITEMS: usize = 64;

/// Items with every `±` written out.
fn spread(items: &[Expression]) -> Vec<Expression> {
    let mut spread = Vec::with_capacity(items.len());
    for item in items {
        if has_two_signs(item) {
            spread.push(with_signs(item, true));
            spread.push(with_signs(item, false));
        } else {
            spread.push(item.clone());
        }
    }
    spread
}

/// What a bare list says about names.
struct Items {
    values: Vec<Expression>,
    /// Whether every value belongs to a name of its own, in the order in which they are given.
    named: bool,
}

/// The values of a list: `x = 1, x = 2` and `x = 1, 2` are two values of x; `x = 1, y = 2` one each of two.
fn values(items: &[Expression]) -> Items {
    let names: Vec<Option<&Expression>> = items
        .iter()
        .map(|item| assigned(item).map(|(name, _)| name))
        .collect();
    let strip =
        |item: &Expression| assigned(item).map_or_else(|| item.clone(), |(_, value)| value.clone());
    let first = names.first().copied().flatten();
    let kin = |name: &Expression, other: &Expression| {
        name == other
            || matches!((name, other), (Expression::Apply(left, _), Expression::Apply(right, _)) if left == right)
    };
    let same = first.is_some_and(|first| {
        names
            .iter()
            .all(|name| name.is_none_or(|name| kin(first, name)))
    });
    if same {
        return Items {
            values: items.iter().map(strip).collect(),
            named: false,
        };
    }
    let distinct = items.len() > 1
        && names
            .iter()
            .enumerate()
            .all(|(index, name)| name.is_some() && !names[..index].contains(name));
    Items {
        values: if distinct {
            items.iter().map(strip).collect()
        } else {
            items.to_vec()
        },
        named: distinct,
    }
}

impl Context<'_> {
    /// Compares what is neither relation, ratio nor text.
    pub(super) fn values(&self, gold: &Expression, pred: &Expression) -> Result<Verdict, Doubt> {
        use Expression::{List, Matrix, Set, Tuple};
        if let (Matrix(_), _) | (_, Matrix(_)) = (gold, pred) {
            return self.matrices(gold, pred);
        }
        if let Some(verdict) = self.residues(gold, pred)? {
            return Ok(verdict);
        }
        if let (Tuple(left), Tuple(right)) = (gold, pred) {
            return self.ordered(left, right);
        }
        if let (Expression::Interval { .. }, _) | (_, Expression::Interval { .. }) = (gold, pred) {
            return self.intervals(gold, pred);
        }
        if let (Expression::SetOperation(a, l1, r1), Expression::SetOperation(b, l2, r2)) =
            (gold, pred)
        {
            if a == b && all_of([self.answers(l1, l2), self.answers(r1, r2)])? == Verdict::Equal {
                return Ok(Verdict::Equal);
            }
            return Err(Doubt::Kinds {
                left: gold.kind(),
                right: pred.kind(),
            });
        }
        if let (Expression::NamedSet(left), Expression::NamedSet(right)) = (gold, pred) {
            return Ok(Verdict::of(left == right));
        }
        // Tuples against lists keep their order; a list of named values is in the order of its names.
        match (gold, pred) {
            (Tuple(items), List(_, others)) => {
                let others = values(others);
                // `x = 1, y = 2` is the point (1, 2); `1, 2` is no point.
                return if others.named && !self.options.strict {
                    self.ordered(items, &others.values)
                } else {
                    Ok(Verdict::Different)
                };
            }
            (List(_, others), Tuple(items)) => {
                let others = values(others);
                return if others.named && !self.options.strict {
                    self.ordered(&others.values, items)
                } else {
                    Ok(Verdict::Different)
                };
            }
            (Tuple(_), Set(_)) | (Set(_), Tuple(_)) => return Ok(Verdict::Different),
            (Tuple(_), _) | (_, Tuple(_)) => return Ok(Verdict::Different),
            _ => {}
        }
        let unordered = |expression: &Expression| match expression {
            Set(items) => Some((spread(items), false, true)),
            List(_, items) => {
                let Items { values, named } = values(items);
                Some((spread(&values), named, false))
            }
            other if has_two_signs(other) => {
                Some((spread(std::slice::from_ref(other)), false, false))
            }
            _ => None,
        };
        match (unordered(gold), unordered(pred)) {
            (Some((_, true, _)), Some((_, true, _))) => {
                let (List(_, left), List(_, right)) = (gold, pred) else {
                    return Ok(Verdict::Different);
                };
                self.matched(left, right, false)
            }
            (Some((left, left_named, left_set)), Some((right, right_named, right_set))) => {
                if left_named || right_named {
                    return self.ordered(&left, &right);
                }
                self.matched(&left, &right, left_set && right_set)
            }
            (Some((items, ..)), None) => match items.as_slice() {
                [only] if only != gold => self.answers(only, pred),
                _ => self.collection_and_one(&items, pred, gold),
            },
            (None, Some((items, ..))) => match items.as_slice() {
                [only] if only != pred => self.answers(gold, only),
                _ => self.collection_and_one(&items, gold, pred),
            },
            (None, None) => self.measures(gold, pred),
        }
    }

    /// Several values against one: the same only if they are all that one.
    fn collection_and_one(
        &self,
        items: &[Expression],
        one: &Expression,
        collection: &Expression,
    ) -> Result<Verdict, Doubt> {
        if has_two_signs(collection) && one.is_scalar() && !items.is_empty() {
            return all_of(
                items
                    .iter()
                    .take(MAX_ITEMS)
                    .map(|item| self.answers(item, one)),
            );
        }
        Ok(Verdict::Different)
    }

    fn ordered(&self, left: &[Expression], right: &[Expression]) -> Result<Verdict, Doubt> {
        if left.len() != right.len() {
            return Ok(Verdict::Different);
        }
        all_of(left.iter().zip(right).map(|(x, y)| self.answers(x, y)))
    }

    /// Whether both hold the same items in any order; as sets, repetitions do not count.
    fn matched(
        &self,
        left: &[Expression],
        right: &[Expression],
        sets: bool,
    ) -> Result<Verdict, Doubt> {
        if !sets && left.len() != right.len() {
            return Ok(Verdict::Different);
        }
        if left.len() > MAX_ITEMS || right.len() > MAX_ITEMS {
            return if left == right {
                Ok(Verdict::Equal)
            } else {
                Err(Doubt::Kinds {
                    left: "a long list",
                    right: "another",
                })
            };
        }
        let mut used = vec![false; right.len()];
        let mut doubted = vec![false; right.len()];
        let mut all_found = true;
        let mut doubt = None;
        for x in left {
            let mut found = false;
            let mut open = false;
            for (index, y) in right.iter().enumerate() {
                if used[index] && !sets {
                    continue;
                }
                match self.answers(x, y) {
                    Ok(Verdict::Equal) => {
                        used[index] = true;
                        found = true;
                        if !sets {
                            break;
                        }
                    }
                    Ok(Verdict::Different) => {}
                    Ok(Verdict::Undecided { why }) | Err(why) => {
                        if matches!(why, Doubt::Budget { .. }) {
                            return Err(why);
                        }
                        open = true;
                        doubted[index] = true;
                        doubt = Some(why);
                    }
                }
            }
            if !found && !open {
                return Ok(Verdict::Different);
            }
            all_found &= found;
        }
        // Whichever side it is on: one item that is surely none of the others settles it.
        let mut others = used.iter().zip(&doubted);
        if others.any(|(used, doubted)| !used && !doubted) {
            return Ok(Verdict::Different);
        }
        match (all_found && used.iter().all(|used| *used), doubt) {
            (true, _) => Ok(Verdict::Equal),
            (false, Some(doubt)) => Err(doubt),
            (false, None) => Ok(Verdict::Different),
        }
    }

    fn matrices(&self, gold: &Expression, pred: &Expression) -> Result<Verdict, Doubt> {
        /// The entries of a row or column.
        fn vector(expression: &Expression) -> Option<Vec<Expression>> {
            match expression {
                Expression::Matrix(rows) if rows.len() == 1 => Some(rows[0].clone()),
                Expression::Matrix(rows) if rows.iter().all(|row| row.len() == 1) => {
                    Some(rows.iter().map(|row| row[0].clone()).collect())
                }
                Expression::Tuple(items) | Expression::List(_, items) => Some(items.clone()),
                Expression::Interval {
                    lower,
                    upper,
                    lower_closed: true,
                    upper_closed: true,
                } => Some(vec![(**lower).clone(), (**upper).clone()]),
                _ => None,
            }
        }
        if let (Expression::Matrix(left), Expression::Matrix(right)) = (gold, pred) {
            let shape = |rows: &[Vec<Expression>]| (rows.len(), rows.first().map_or(0, Vec::len));
            if shape(left) != shape(right) {
                return Ok(Verdict::Different);
            }
            let entries = left.iter().flatten().zip(right.iter().flatten());
            return all_of(entries.map(|(x, y)| self.answers(x, y)));
        }
        match (vector(gold), vector(pred)) {
            (Some(left), Some(right)) => self.ordered(&left, &right),
            _ => Ok(Verdict::Different),
        }
    }

    fn intervals(&self, gold: &Expression, pred: &Expression) -> Result<Verdict, Doubt> {
        let ends = |expression: &Expression| match expression {
            Expression::Interval {
                lower,
                upper,
                lower_closed,
                upper_closed,
            } => Some((
                (**lower).clone(),
                (**upper).clone(),
                *lower_closed,
                *upper_closed,
            )),
            Expression::Tuple(items) => match items.as_slice() {
                [lower, upper] => Some((lower.clone(), upper.clone(), false, false)),
                _ => None,
            },
            _ => None,
        };
        match (ends(gold), ends(pred)) {
            (Some((l1, u1, lc1, uc1)), Some((l2, u2, lc2, uc2))) => {
                if lc1 != lc2 || uc1 != uc2 {
                    return Ok(Verdict::Different);
                }
                all_of([self.answers(&l1, &l2), self.answers(&u1, &u2)])
            }
            _ => Ok(Verdict::Different),
        }
    }
}
