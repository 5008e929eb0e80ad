//! Second looks at answers that differ as they stand: conditions, constants of integration, other names for the same thing.

use super::super::Verdict;
use super::super::budget::Doubt;
use super::super::expression::{Constant, Expression, Function, RelationKind};
use super::Judge;

/// Letters that stand for a constant of integration.
const CONSTANTS: [&str; 8] = ["C", "c", "K", "k", "C_{1}", "C_{0}", "c_{1}", "D"];

/// An answer without the conditions on its parameters, and these conditions.
fn without_conditions(expression: &Expression) -> (Expression, Vec<(String, Expression)>) {
    let Expression::List(connective, items) = expression else {
        return (expression.clone(), Vec::new());
    };
    let condition = |item: &Expression| match item {
        Expression::Relation(first, rest) => match (first.as_ref(), rest.as_slice()) {
            (Expression::Symbol(name), [(RelationKind::In, set @ Expression::NamedSet(_))]) => {
                Some((name.clone(), set.clone()))
            }
            _ => None,
        },
        _ => None,
    };
    let conditions: Vec<_> = items.iter().filter_map(condition).collect();
    let mut kept: Vec<Expression> = items
        .iter()
        .filter(|item| condition(item).is_none())
        .cloned()
        .collect();
    match kept.len() {
        0 => (expression.clone(), Vec::new()),
        1 => (kept.remove(0), conditions),
        _ => (Expression::List(*connective, kept), conditions),
    }
}

/// A letter that is added to the rest, and stands nowhere else.
fn added_constant(expression: &Expression) -> Option<String> {
    let terms = match expression {
        Expression::Sum(terms) => terms,
        Expression::Relation(_, rest) => {
            return rest.last().and_then(|(_, side)| added_constant(side));
        }
        _ => return None,
    };
    let letter = terms.iter().find_map(|term| match term {
        Expression::Symbol(name) if CONSTANTS.contains(&name.as_str()) => Some(name.clone()),
        _ => None,
    })?;
    let alone = terms
        .iter()
        .filter(|term| term.symbols().contains(&letter))
        .count()
        == 1;
    alone.then_some(letter)
}

/// The expression with natural logarithms for those to the base of ten.
fn with_natural_logarithms(expression: &Expression) -> Expression {
    match expression {
        Expression::Call(Function::Log, parts) => match parts.as_slice() {
            [Expression::Number(base), inner]
                if base.is_integer() && base.numer() == &10.into() =>
            {
                Expression::Call(Function::Ln, vec![with_natural_logarithms(inner)])
            }
            _ => expression.map_parts(&with_natural_logarithms),
        },
        other => other.map_parts(&with_natural_logarithms),
    }
}

/// Whether a text has a logarithm whose base is not written.
fn has_bare_logarithm(text: &str) -> bool {
    text.match_indices("log").any(|(at, _)| {
        let rest = text[at + 3..].trim_start_matches([' ', '{']);
        !rest.starts_with(['_', '1', '2', '₁', '₂'])
    })
}

impl Judge<'_> {
    /// Another verdict on two answers that are `first` as they stand.
    pub(super) fn second_look(
        &self,
        left: &Expression,
        right: &Expression,
        pred: &str,
        answers: &dyn Fn(&Expression, &Expression) -> Verdict,
    ) -> Option<(Verdict, &'static str)> {
        if let Some(decided) = families(left, right, answers) {
            return Some(decided);
        }
        if let (Some(to), Some(from)) = (added_constant(left), added_constant(right))
            && to != from
            && !left.symbols().contains(&from)
            && !right.symbols().contains(&to)
        {
            let renamed = right.substitute(&from, &|| Expression::Symbol(to.clone()));
            if answers(left, &renamed) == Verdict::Equal {
                return Some((Verdict::Equal, "the same but for the name of a constant"));
            }
        }
        if differ_by_a_constant(left, right, answers) {
            return Some((Verdict::Equal, "the same but for a constant"));
        }
        // Engineers write j for i.
        let has_i = |expression: &Expression| {
            expression.any(&|part| matches!(part, Expression::Constant(Constant::I)))
        };
        if has_i(left) && !has_i(right) && right.symbols() == ["j"] {
            let renamed = right.substitute("j", &|| Expression::Constant(Constant::I));
            if answers(left, &renamed) == Verdict::Equal {
                return Some((Verdict::Equal, "the same with j for i"));
            }
        }
        if has_bare_logarithm(self.gold) || has_bare_logarithm(pred) {
            let of_gold = if has_bare_logarithm(self.gold) {
                with_natural_logarithms(left)
            } else {
                left.clone()
            };
            let of_pred = if has_bare_logarithm(pred) {
                with_natural_logarithms(right)
            } else {
                right.clone()
            };
            if answers(&of_gold, &of_pred) == Verdict::Equal {
                let why = Doubt::LogarithmBase;
                return Some((Verdict::Undecided { why }, ""));
            }
        }
        let goes_on = |expression: &Expression| match expression {
            Expression::List(_, items) => items
                .iter()
                .any(|item| matches!(item, Expression::Symbol(name) if name == "…")),
            _ => false,
        };
        if goes_on(left) && goes_on(right) {
            let why = Doubt::Kinds {
                left: "a list that goes on",
                right: "another",
            };
            return Some((Verdict::Undecided { why }, ""));
        }
        None
    }
}

/// Whether both are antiderivatives `… + C` of one letter whose difference is the same everywhere.
fn differ_by_a_constant(
    left: &Expression,
    right: &Expression,
    answers: &dyn Fn(&Expression, &Expression) -> Verdict,
) -> bool {
    let without = |expression: &Expression| -> Option<Expression> {
        let constant = added_constant(expression)?;
        let Expression::Sum(terms) = expression else {
            return None;
        };
        let rest = terms
            .iter()
            .filter(|term| !matches!(term, Expression::Symbol(name) if *name == constant));
        Some(Expression::sum(rest.cloned().collect()))
    };
    let (Some(left), Some(right)) = (without(left), without(right)) else {
        return false;
    };
    let [name] = &left.symbols()[..] else {
        return false;
    };
    if right.symbols() != [name.clone()] {
        return false;
    }
    // l(x) − r(x) = l(t) − r(t)
    let elsewhere = |expression: &Expression| {
        expression.substitute(name, &|| Expression::Symbol("\\elsewhere".to_owned()))
    };
    let here = Expression::Sum(vec![left.clone(), elsewhere(&right)]);
    let there = Expression::Sum(vec![elsewhere(&left), right]);
    answers(&here, &there) == Verdict::Equal
}

/// Answers with parameters that run through a set: `x = kπ, k ∈ ℤ`.
fn families(
    left: &Expression,
    right: &Expression,
    answers: &dyn Fn(&Expression, &Expression) -> Verdict,
) -> Option<(Verdict, &'static str)> {
    let (gold, gold_conditions) = without_conditions(left);
    let (pred, pred_conditions) = without_conditions(right);
    if gold_conditions.is_empty() && pred_conditions.is_empty() {
        return None;
    }
    let unknown = || {
        let why = Doubt::Kinds {
            left: "a family of values",
            right: "another",
        };
        Some((Verdict::Undecided { why }, ""))
    };
    let sets = |conditions: &[(String, Expression)]| -> Vec<Expression> {
        conditions.iter().map(|(_, set)| set.clone()).collect()
    };
    let both = !gold_conditions.is_empty() && !pred_conditions.is_empty();
    if both && sets(&gold_conditions) != sets(&pred_conditions) {
        return unknown();
    }
    // The parameter may have another name.
    let mut renamed = pred.clone();
    let (gold_names, pred_names) = (gold.symbols(), pred.symbols());
    if let [(from, _), ..] = pred_conditions.as_slice()
        && !gold_names.contains(from)
    {
        let mut free = gold_names.iter().filter(|name| !pred_names.contains(name));
        if let (Some(to), None) = (free.next(), free.next()) {
            renamed = pred.substitute(from, &|| Expression::Symbol(to.clone()));
        }
    } else if let [(to, _), ..] = gold_conditions.as_slice()
        && !pred_names.contains(to)
    {
        let mut free = pred_names.iter().filter(|name| !gold_names.contains(name));
        if let (Some(from), None) = (free.next(), free.next()) {
            renamed = pred.substitute(from, &|| Expression::Symbol(to.clone()));
        }
    }
    match answers(&gold, &renamed) {
        Verdict::Equal => Some((Verdict::Equal, "the same family of values")),
        // `kπ` and `(k+1)π` are the same family; a single value is none.
        _ if !gold.symbols().is_empty() && !renamed.symbols().is_empty() => unknown(),
        verdict => Some((verdict, "two values")),
    }
}
