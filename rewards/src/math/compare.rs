//! Whether two answers of any kind are the same.

use super::budget::{Doubt, MAX_DEPTH};
use super::decide::Context;
use super::expression::{Expression, Function, Half, RelationKind};
use super::normal::{Sign, same_up_to_factor};
use super::numeric::BallSign;
use super::realset::speaks_of_sets;
use super::text::same_text;
use super::units::Unit;
use super::{PercentPolicy, Verdict};

/// Most items of a list that are matched without order: every pair may have to be compared.
const MAX_ITEMS: usize = 64;

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

/// The last side of a chain of equations that says what a name is: `x = 5`, `f(x) = x²`, `|AB| = 1`.
fn assigned(expression: &Expression) -> Option<(&Expression, &Expression)> {
    let Expression::Relation(first, rest) = expression else {
        return None;
    };
    let says =
        |kind: &RelationKind| matches!(kind, RelationKind::Equal | RelationKind::Approximately);
    if !rest.iter().all(|(kind, _)| says(kind)) {
        return None;
    }
    let (_, value) = rest.last()?;
    let sides =
        std::iter::once(first.as_ref()).chain(rest[..rest.len() - 1].iter().map(|(_, side)| side));
    let name = sides
        .into_iter()
        .find(|side| is_name(side) && !shares_symbols(side, value))?;
    Some((name, value))
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

    /// One side is an equation or inequality, the other is not.
    fn relation_and_value(
        &self,
        relation: &Expression,
        value: &Expression,
        relation_is_gold: bool,
    ) -> Result<Verdict, Doubt> {
        let compare = |part: &Expression| match relation_is_gold {
            true => self.answers(part, value),
            false => self.answers(value, part),
        };
        if let Some((_, part)) = assigned(relation) {
            return compare(part);
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

    fn relations(&self, gold: &Expression, pred: &Expression) -> Result<Verdict, Doubt> {
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
            let functions = |expression: &Expression| matches!(expression, Expression::Apply(..));
            let labels = |expression: &Expression| matches!(expression, Expression::Text(_));
            let alike = left_name == right_name
                || (functions(left_name) && functions(right_name))
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
            return match k1.flipped() == k2 && k1.is_order() {
                true => all_of([self.answers(l1, r2), self.answers(r1, l2)]),
                false => Ok(Verdict::Different),
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

    fn ratios_and_times(&self, gold: &Expression, pred: &Expression) -> Result<Verdict, Doubt> {
        let clock = |expression: &Expression| match expression {
            Expression::Clock { seconds, half } => Some((*seconds, *half)),
            Expression::Ratio(parts) => {
                let mut seconds = 0;
                for (part, (unit, limit)) in parts.iter().zip([(3600, 24), (60, 59), (1, 59)]) {
                    let Expression::Number(value) = part else {
                        return None;
                    };
                    let value =
                        super::exact::whole(value).filter(|value| (0..=limit).contains(value))?;
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
                all_of(cross.collect::<Vec<_>>())
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

    /// Compares what is neither relation, ratio nor text.
    fn values(&self, gold: &Expression, pred: &Expression) -> Result<Verdict, Doubt> {
        use Expression::{List, Matrix, Set, Tuple};
        if let (Matrix(_), _) | (_, Matrix(_)) = (gold, pred) {
            return self.matrices(gold, pred);
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
                return match others.named && !self.options.strict {
                    true => self.ordered(items, &others.values),
                    false => Ok(Verdict::Different),
                };
            }
            (List(_, others), Tuple(items)) => {
                let others = values(others);
                return match others.named && !self.options.strict {
                    true => self.ordered(&others.values, items),
                    false => Ok(Verdict::Different),
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
            return match left == right {
                true => Ok(Verdict::Equal),
                false => Err(Doubt::Kinds {
                    left: "a long list",
                    right: "another",
                }),
            };
        }
        let mut used = vec![false; right.len()];
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
                        doubt = Some(why);
                    }
                }
            }
            if !found && !open {
                return Ok(Verdict::Different);
            }
            if !found && let Some(doubt) = doubt {
                return Err(doubt);
            }
        }
        match (used.iter().all(|used| *used), doubt) {
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

    /// Scalars with what they are measured in.
    fn measures(&self, gold: &Expression, pred: &Expression) -> Result<Verdict, Doubt> {
        use Expression::{Degrees, Percent, Quantity};
        let percent_of = |expression: &Expression| match expression {
            Percent(inner) => Some((**inner).clone()),
            // `−28\%`
            Expression::Negate(inner) => match inner.as_ref() {
                Percent(inner) => Some((**inner).clone().negated()),
                _ => None,
            },
            _ => None,
        };
        let plain = |expression: &Expression| !matches!(expression, Quantity(..) | Degrees(_));
        match (percent_of(gold), percent_of(pred)) {
            (Some(left), Some(right)) => return self.measures(&left, &right),
            (Some(inner), None) if plain(pred) => return self.percents(&inner, gold, pred, true),
            (None, Some(inner)) if plain(gold) => return self.percents(&inner, pred, gold, false),
            _ => {}
        }
        // `5 m` is a product until the other side has a unit.
        if let (Quantity(..), Some((value, unit))) = (gold, letter_unit(pred)) {
            return self.measures(gold, &Quantity(Box::new(value.clone()), unit));
        }
        if let (Some((value, unit)), Quantity(..)) = (letter_unit(gold), pred) {
            return self.measures(&Quantity(Box::new(value.clone()), unit), pred);
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
        let compare = |left: &Expression, right: &Expression| match percent_is_gold {
            true => self.scalars(left, right),
            false => self.scalars(right, left),
        };
        let hundredths = || compare(percent, number);
        let points = || compare(inner, number);
        match self.options.percent {
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
            return self.answers(left, right);
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
            Some((number, _)) if !self.options.strict => self.scalars(gold, number),
            _ => verdict,
        }
    }
}

/// The number and the unit of `5m` or `5m²`, whose unit could be a variable.
fn letter_unit(expression: &Expression) -> Option<(&Expression, Unit)> {
    let Expression::Product(factors) = expression else {
        return None;
    };
    let [number, unit] = factors.as_slice() else {
        return None;
    };
    let (letter, exponent) = match unit {
        Expression::Power(base, exponent) => match exponent.as_ref() {
            Expression::Number(value) => (
                base.as_ref(),
                super::exact::whole(value).filter(|exponent| (1..=3).contains(exponent))?,
            ),
            _ => return None,
        },
        other => (other, 1),
    };
    match letter {
        Expression::Symbol(name)
            if number.symbols().is_empty()
                && matches!(name.as_str(), "m" | "g" | "s" | "h" | "L" | "l") =>
        {
            Some((number, Unit::word(name)?.power(exponent as i8)))
        }
        _ => None,
    }
}

fn compare_one(
    context: &Context,
    relation: &Expression,
    items: &[Expression],
    relation_is_gold: bool,
) -> Result<Verdict, Doubt> {
    match relation_is_gold {
        true => context.answers(relation, &items[0]),
        false => context.answers(&items[0], relation),
    }
}

fn is_letter(expression: &Expression) -> bool {
    matches!(expression, Expression::Symbol(_))
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
