//! Equations and inequalities.

use super::stated::{Stated, assigned};
use super::{all_of, has_two_signs, is_name};
use crate::math::Verdict;
use crate::math::budget::Doubt;
use crate::math::decide::Context;
use crate::math::expression::{Expression, RelationKind};
use crate::math::normal::{Sign, same_up_to_factor};
use crate::math::numeric::BallSign;

impl Context<'_> {
    /// One side is an equation or inequality, the other is not.
    pub(super) fn relation_and_value(
        &self,
        relation: &Expression,
        value: &Expression,
        relation_is_gold: bool,
    ) -> Result<Verdict, Doubt> {
        let compare = |part: &Expression| {
            if relation_is_gold {
                self.answers(part, value)
            } else {
                self.answers(value, part)
            }
        };
        match self.stated(relation)? {
            Stated::Value(part) => return compare(part),
            Stated::Contradiction => return Ok(Verdict::Different),
            Stated::Nothing => {}
        }
        match relation {
            Expression::Relation(first, rest) => match rest.as_slice() {
                [(RelationKind::In, set)] if is_name(first) => compare(set),
                // `x ≡ 3 (mod 5)`
                [(RelationKind::Other("≡"), part)] if is_name(first) => compare(part),
                _ if has_two_signs(relation) => self.values(relation, value),
                _ => match value {
                    Expression::List(_, items) | Expression::Set(items) if items.len() == 1 => {
                        compare_one(self, relation, items, relation_is_gold)
                    }
                    _ => Ok(Verdict::Different),
                },
            },
            _ => Ok(Verdict::Different),
        }
    }

    pub(super) fn relations(&self, gold: &Expression, pred: &Expression) -> Result<Verdict, Doubt> {
        let (
            Expression::Relation(left_first, left_rest),
            Expression::Relation(right_first, right_rest),
        ) = (gold, pred)
        else {
            return Ok(Verdict::Different);
        };
        if let (Some((left_name, left)), Some((right_name, right))) =
            (assigned(gold), assigned(pred))
        {
            if let (Expression::Apply(f, of), Expression::Apply(g, at)) = (left_name, right_name) {
                return self.named_functions((f, of, left), (g, at, right));
            }
            let functions = |expression: &Expression| matches!(expression, Expression::Apply(..));
            let labels = |expression: &Expression| matches!(expression, Expression::Text(_));
            let alike = left_name == right_name
                || labels(left_name)
                || labels(right_name)
                || (functions(left_name) != functions(right_name)
                    && (is_letter(left_name) || is_letter(right_name)));
            if alike {
                return self.answers(left, right);
            }
        }
        if has_two_signs(gold) || has_two_signs(pred) {
            return self.values(gold, pred);
        }
        if let ([(left_kind, left)], [(right_kind, right)]) =
            (left_rest.as_slice(), right_rest.as_slice())
        {
            let (a, b) = (
                (left_first.as_ref(), *left_kind, left),
                (right_first.as_ref(), *right_kind, right),
            );
            return self.single_relations(a, b);
        }
        self.chains(gold, pred)
    }

    /// `f(x) = …` and `f(t) = …`: a function keeps its name, and values keep their place; the letter of the argument is free.
    fn named_functions(
        &self,
        (f, of, left): (&str, &[Expression], &Expression),
        (g, at, right): (&str, &[Expression], &Expression),
    ) -> Result<Verdict, Doubt> {
        if f != g || of.len() != at.len() {
            return Ok(Verdict::Different);
        }
        let mut renamed = right.clone();
        for (here, there) in of.iter().zip(at) {
            match (here, there) {
                (Expression::Symbol(to), Expression::Symbol(from)) => {
                    if to != from {
                        // `P(A)` and `P(B)`: events and points have names of their own.
                        let name =
                            |symbol: &String| symbol.starts_with(|c: char| c.is_ascii_uppercase());
                        let bound = left.symbols().contains(to) || right.symbols().contains(from);
                        if !bound && (name(to) || name(from)) {
                            return Ok(Verdict::Different);
                        }
                        renamed = renamed.substitute(from, &|| Expression::Symbol(to.clone()));
                    }
                }
                _ => match self.answers(here, there)? {
                    Verdict::Equal => {}
                    verdict => return Ok(verdict),
                },
            }
        }
        self.answers(left, &renamed)
    }

    /// `l₁ ∘ r₁` and `l₂ ∘ r₂`: the same up to a factor, which flips an inequality if it is negative.
    fn single_relations(
        &self,
        gold: (&Expression, RelationKind, &Expression),
        pred: (&Expression, RelationKind, &Expression),
    ) -> Result<Verdict, Doubt> {
        let ((l1, k1, r1), (l2, k2, r2)) = (gold, pred);
        let difference = |left: &Expression, right: &Expression| {
            Expression::Sum(vec![left.clone(), right.clone().negated()])
        };
        let symmetric = matches!(
            k1,
            RelationKind::Equal | RelationKind::NotEqual | RelationKind::Approximately
        );
        let scalar = [l1, r1, l2, r2].iter().all(|side| side.is_scalar());
        if !scalar || !(symmetric || k1.is_order()) {
            // Sides as they stand.
            if k1 == k2 {
                return all_of([self.answers(l1, l2), self.answers(r1, r2)]);
            }
            return if k1.flipped() == k2 && k1.is_order() {
                all_of([self.answers(l1, r2), self.answers(r1, l2)])
            } else {
                Ok(Verdict::Different)
            };
        }
        if symmetric && k1 != k2 {
            return Ok(Verdict::Different);
        }
        if !symmetric && k1 != k2 && k1.flipped() != k2 {
            return Ok(Verdict::Different);
        }
        let (left, right) = (difference(l1, r1), difference(l2, r2));
        let sign = match same_up_to_factor(&left, &right, symmetric, self.budget)? {
            Some(sign) => sign,
            None => {
                let mut names = left.symbols();
                for name in right.symbols() {
                    if !names.contains(&name) {
                        names.push(name);
                    }
                }
                match self.proportional(&left, &right, &names)? {
                    Some(BallSign::Positive) => Sign::Positive,
                    Some(BallSign::Negative) => Sign::Negative,
                    Some(_) => return Ok(Verdict::Different),
                    None => {
                        return Err(Doubt::Kinds {
                            left: "one relation",
                            right: "the other",
                        });
                    }
                }
            }
        };
        Ok(Verdict::of(match sign {
            Sign::Positive => k1 == k2,
            Sign::Negative => k1.flipped() == k2,
        }))
    }

    /// Chains such as `a < b < c`, side by side, in either direction.
    fn chains(&self, gold: &Expression, pred: &Expression) -> Result<Verdict, Doubt> {
        let sides =
            |expression: &Expression, reverse: bool| -> (Vec<Expression>, Vec<RelationKind>) {
                let Expression::Relation(first, rest) = expression else {
                    return (vec![expression.clone()], Vec::new());
                };
                let mut sides = vec![(**first).clone()];
                sides.extend(rest.iter().map(|(_, side)| side.clone()));
                let mut kinds: Vec<_> = rest.iter().map(|(kind, _)| *kind).collect();
                if reverse {
                    sides.reverse();
                    kinds = kinds.into_iter().rev().map(RelationKind::flipped).collect();
                }
                (sides, kinds)
            };
        let (left, left_kinds) = sides(gold, false);
        for reverse in [false, true] {
            let (right, right_kinds) = sides(pred, reverse);
            if left_kinds == right_kinds {
                let verdict = all_of(left.iter().zip(&right).map(|(x, y)| self.answers(x, y)))?;
                if verdict == Verdict::Equal
                    || !reverse && left_kinds.iter().any(|kind| kind.is_order())
                {
                    return Ok(verdict);
                }
            }
        }
        Ok(Verdict::Different)
    }
}

fn compare_one(
    context: &Context,
    relation: &Expression,
    items: &[Expression],
    relation_is_gold: bool,
) -> Result<Verdict, Doubt> {
    if relation_is_gold {
        context.answers(relation, &items[0])
    } else {
        context.answers(&items[0], relation)
    }
}

fn is_letter(expression: &Expression) -> bool {
    matches!(expression, Expression::Symbol(_))
}
