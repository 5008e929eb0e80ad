//! Sets of real numbers as unions of intervals: `x > 5`, `|x| < 5`, `(5, ∞)`, `ℝ ∖ {5}`.

use std::cmp::Ordering;

use num_rational::BigRational;
use num_traits::{One, Signed, Zero};

use super::budget::Doubt;
use super::decide::{Context, infinite};
use super::expression::{Connective, Constant, Expression, Function, RelationKind, SetOperation};

/// Most pieces of one set.
const MAX_PIECES: usize = 32;

/// An interval; both ends closed and equal make a point.
#[derive(Clone, Debug)]
struct Piece {
    lower: Expression,
    lower_closed: bool,
    upper: Expression,
    upper_closed: bool,
}

/// A set of real numbers: pieces in ascending order that do not touch.
#[derive(Clone, Debug)]
pub(super) struct RealSet {
    pieces: Vec<Piece>,
    /// The variable that the set was described with.
    pub(super) variable: Option<String>,
}

fn infinity(positive: bool) -> Expression {
    let infinity = Expression::Constant(Constant::Infinity);
    if positive {
        infinity
    } else {
        infinity.negated()
    }
}

fn is_constant(expression: &Expression) -> bool {
    expression.is_scalar()
        && expression.symbols().is_empty()
        && !expression.any(&|part| {
            matches!(
                part,
                Expression::Apply(..) | Expression::Indexed(..) | Expression::PlusMinus(_)
            )
        })
}

/// The name of what an inequality is about.
fn subject(expression: &Expression) -> Option<String> {
    match expression {
        Expression::Symbol(name) => Some(name.clone()),
        Expression::Apply(name, _) => Some(format!("{name}()")),
        Expression::Call(Function::Abs, parts) => match parts.as_slice() {
            [Expression::Product(factors)]
                if factors
                    .iter()
                    .all(|factor| matches!(factor, Expression::Symbol(_))) =>
            {
                Some(expression.to_string())
            }
            _ => None,
        },
        _ => None,
    }
}

/// The letter, factor and summand of `2x + 1`.
fn linear(expression: &Expression) -> Option<(String, BigRational, BigRational)> {
    let none = || (None, BigRational::zero(), BigRational::zero());
    let parts = |terms: &[Expression]| {
        let mut whole = none();
        for term in terms {
            let (name, scale, shift) = linear_term(term)?;
            match (&whole.0, name) {
                (Some(known), Some(name)) if *known != name => return None,
                (None, Some(name)) => whole.0 = Some(name),
                _ => {}
            }
            whole.1 += scale;
            whole.2 += shift;
        }
        Some(whole)
    };
    let (name, scale, shift) = match expression {
        Expression::Sum(terms) => parts(terms)?,
        other => linear_term(other)?,
    };
    let name = name.filter(|_| !scale.is_zero())?;
    Some((name, scale, shift))
}

/// A term of [`linear`]: a number, a letter, or a number times a letter.
fn linear_term(term: &Expression) -> Option<(Option<String>, BigRational, BigRational)> {
    let (one, zero) = (BigRational::one(), BigRational::zero());
    match term {
        Expression::Number(value) => Some((None, zero, value.clone())),
        Expression::Symbol(name) => Some((Some(name.clone()), one, zero)),
        Expression::Negate(inner) => {
            let (name, scale, shift) = linear_term(inner)?;
            Some((name, -scale, -shift))
        }
        Expression::Product(factors) => match factors.as_slice() {
            [Expression::Number(scale), Expression::Symbol(name)] => {
                Some((Some(name.clone()), scale.clone(), zero))
            }
            _ => None,
        },
        Expression::Quotient(above, below) => match (linear_term(above)?, below.as_ref()) {
            ((name, scale, shift), Expression::Number(value)) if !value.is_zero() => {
                Some((name, scale / value, shift / value))
            }
            _ => None,
        },
        _ => None,
    }
}

/// Whether a kind of answer can be a set of real numbers without being compared to one.
pub(super) fn speaks_of_sets(expression: &Expression) -> bool {
    match expression {
        Expression::Interval { .. } | Expression::SetOperation(..) | Expression::NamedSet(_) => {
            true
        }
        Expression::Relation(_, rest) => rest.iter().any(|(kind, _)| {
            kind.is_order() || matches!(kind, RelationKind::NotEqual | RelationKind::In)
        }),
        Expression::List(_, items) => items
            .iter()
            .any(|item| matches!(item, Expression::Relation(..)) && speaks_of_sets(item)),
        _ => false,
    }
}

type Maybe<T> = Result<Option<T>, Doubt>;

impl Context<'_> {
    /// The set that an answer describes; `None` if it is none, or not one of known numbers.
    pub(super) fn real_set(&self, expression: &Expression) -> Maybe<RealSet> {
        self.budget.spend(20)?;
        Ok(match expression {
            Expression::Interval {
                lower,
                upper,
                lower_closed,
                upper_closed,
            } => self.interval(lower, *lower_closed, upper, *upper_closed)?,
            Expression::Tuple(items) => match items.as_slice() {
                [lower, upper] => self.interval(lower, false, upper, false)?,
                _ => None,
            },
            Expression::Set(items) => {
                if !items.iter().all(is_constant) || items.len() > MAX_PIECES {
                    return Ok(None);
                }
                let point = |item: &Expression| Piece {
                    lower: item.clone(),
                    lower_closed: true,
                    upper: item.clone(),
                    upper_closed: true,
                };
                self.sorted(items.iter().map(point).collect(), None)?
            }
            Expression::NamedSet('R') => Some(Self::everything()),
            Expression::SetOperation(operation, left, right) => {
                let (Some(left), Some(right)) = (self.real_set(left)?, self.real_set(right)?)
                else {
                    return Ok(None);
                };
                match operation {
                    SetOperation::Union => self.union(left, right)?,
                    SetOperation::Intersection => self.intersection(&left, &right)?,
                    SetOperation::Difference => match self.complement(&right)? {
                        Some(outside) => self.intersection(&left, &outside)?,
                        None => None,
                    },
                }
            }
            Expression::Relation(first, rest) => self.relation_set(first, rest)?,
            Expression::List(connective, items) => self.list_set(*connective, items)?,
            _ => None,
        })
    }

    fn everything() -> RealSet {
        RealSet {
            pieces: vec![Piece {
                lower: infinity(false),
                lower_closed: false,
                upper: infinity(true),
                upper_closed: false,
            }],
            variable: None,
        }
    }

    fn interval(
        &self,
        lower: &Expression,
        lower_closed: bool,
        upper: &Expression,
        upper_closed: bool,
    ) -> Maybe<RealSet> {
        if !is_constant(lower) || !is_constant(upper) {
            return Ok(None);
        }
        let piece = Piece {
            lower: lower.clone(),
            lower_closed: lower_closed && infinite(lower).is_none(),
            upper: upper.clone(),
            upper_closed: upper_closed && infinite(upper).is_none(),
        };
        Ok(match self.order(lower, upper)? {
            Some(Ordering::Less) => Some(RealSet {
                pieces: vec![piece],
                variable: None,
            }),
            Some(Ordering::Equal) if lower_closed && upper_closed => Some(RealSet {
                pieces: vec![piece],
                variable: None,
            }),
            _ => None,
        })
    }

    fn relation_set(
        &self,
        first: &Expression,
        rest: &[(RelationKind, Expression)],
    ) -> Maybe<RealSet> {
        if let [(RelationKind::In, set)] = rest {
            let Some(name) = subject(first) else {
                return Ok(None);
            };
            return Ok(self.real_set(set)?.map(|set| RealSet {
                variable: Some(name),
                ..set
            }));
        }
        if let [(kind, right)] = rest
            && let Some(set) = self.distance_set(first, *kind, right)?
        {
            return Ok(Some(set));
        }
        let mut result: Option<RealSet> = None;
        let mut left = first;
        for (kind, right) in rest {
            let (name, kind, bound) =
                if let Some(name) = subject(left).filter(|_| is_constant(right)) {
                    (name, *kind, right)
                } else if let Some(name) = subject(right).filter(|_| is_constant(left)) {
                    (name, kind.flipped(), left)
                } else {
                    return Ok(None);
                };
            let end = bound.clone();
            let piece = |lower, lower_closed, upper, upper_closed| {
                vec![Piece {
                    lower,
                    lower_closed,
                    upper,
                    upper_closed,
                }]
            };
            let closed = matches!(kind, RelationKind::LessEqual | RelationKind::GreaterEqual);
            let pieces = match kind {
                RelationKind::Less | RelationKind::LessEqual => {
                    piece(infinity(false), false, end, closed)
                }
                RelationKind::Greater | RelationKind::GreaterEqual => {
                    piece(end, closed, infinity(true), false)
                }
                RelationKind::Equal => piece(end.clone(), true, end, true),
                RelationKind::NotEqual => {
                    let mut pieces = piece(infinity(false), false, end.clone(), false);
                    pieces.extend(piece(end, false, infinity(true), false));
                    pieces
                }
                _ => return Ok(None),
            };
            if infinite(bound).is_some() {
                return Ok(None);
            }
            let next = RealSet {
                pieces,
                variable: Some(name.clone()),
            };
            result = match result {
                None => Some(next),
                Some(before) if before.variable.as_ref() == Some(&name) => {
                    match self.intersection(&before, &next)? {
                        Some(both) => Some(both),
                        None => return Ok(None),
                    }
                }
                Some(_) => return Ok(None),
            };
            left = right;
        }
        Ok(result)
    }

    /// The set of `|x − a| < r` and its kin, of one letter with rational numbers.
    fn distance_set(
        &self,
        left: &Expression,
        kind: RelationKind,
        right: &Expression,
    ) -> Maybe<RealSet> {
        let distance = |side: &Expression| match side {
            Expression::Call(Function::Abs, parts) => match parts.as_slice() {
                [inner] => linear(inner),
                _ => None,
            },
            _ => None,
        };
        let (name, scale, shift, kind, bound) = if let Some((name, scale, shift)) =
            distance(left).filter(|_| is_constant(right))
        {
            (name, scale, shift, kind, right)
        } else if let Some((name, scale, shift)) = distance(right).filter(|_| is_constant(left)) {
            (name, scale, shift, kind.flipped(), left)
        } else {
            return Ok(None);
        };
        let zero = Expression::integer(0);
        if self.order(bound, &zero)? != Some(Ordering::Greater) {
            return Ok(None);
        }
        // |s·x + t| = r where x = (±r − t) / s.
        let end = |upper: bool| {
            let radius = if upper == scale.is_positive() {
                bound.clone()
            } else {
                bound.clone().negated()
            };
            let sum = Expression::Sum(vec![radius, Expression::Number(-shift.clone())]);
            Expression::Quotient(Box::new(sum), Box::new(Expression::Number(scale.clone())))
        };
        let closed = matches!(kind, RelationKind::LessEqual | RelationKind::GreaterEqual);
        let (lower, upper) = (end(false), end(true));
        let pieces = match kind {
            RelationKind::Less | RelationKind::LessEqual => vec![Piece {
                lower,
                lower_closed: closed,
                upper,
                upper_closed: closed,
            }],
            RelationKind::Greater | RelationKind::GreaterEqual => vec![
                Piece {
                    lower: infinity(false),
                    lower_closed: false,
                    upper: lower,
                    upper_closed: closed,
                },
                Piece {
                    lower: upper,
                    lower_closed: closed,
                    upper: infinity(true),
                    upper_closed: false,
                },
            ],
            _ => return Ok(None),
        };
        Ok(Some(RealSet {
            pieces,
            variable: Some(name),
        }))
    }

    fn list_set(&self, connective: Connective, items: &[Expression]) -> Maybe<RealSet> {
        let mut sets = Vec::new();
        for item in items {
            // Only relations: `(1, 2), (3, 4)` is a list of points.
            if !matches!(item, Expression::Relation(..)) {
                return Ok(None);
            }
            match self.real_set(item)? {
                Some(set) => sets.push(set),
                None => return Ok(None),
            }
        }
        let variable = sets.first().and_then(|set| set.variable.clone());
        if variable.is_none() || sets.iter().any(|set| set.variable != variable) {
            return Ok(None);
        }
        let mut both = Some(sets[0].clone());
        let mut either = Some(sets[0].clone());
        for set in &sets[1..] {
            both = match both {
                Some(before) => self.intersection(&before, set)?,
                None => None,
            };
            either = match either {
                Some(before) => self.union(before, set.clone())?,
                None => None,
            };
        }
        let empty = |set: &Option<RealSet>| set.as_ref().is_none_or(|set| set.pieces.is_empty());
        // `x < 2 and x > 5` can only mean both parts of the line.
        Ok(match connective {
            Connective::Or => either,
            _ if empty(&both) => either,
            _ => both,
        })
    }

    /// Sorts pieces and joins those that touch.
    fn sorted(&self, mut pieces: Vec<Piece>, variable: Option<String>) -> Maybe<RealSet> {
        if pieces.len() > MAX_PIECES {
            return Ok(None);
        }
        // Insertion sort: comparisons can fail.
        for index in 1..pieces.len() {
            let mut at = index;
            while at > 0 {
                let order = match self.order(&pieces[at - 1].lower, &pieces[at].lower)? {
                    Some(order) => order,
                    None => return Ok(None),
                };
                let swap = order == Ordering::Greater
                    || (order == Ordering::Equal
                        && !pieces[at - 1].lower_closed
                        && pieces[at].lower_closed);
                if !swap {
                    break;
                }
                pieces.swap(at - 1, at);
                at -= 1;
            }
        }
        let mut joined: Vec<Piece> = Vec::new();
        for piece in pieces {
            let Some(last) = joined.last_mut() else {
                joined.push(piece);
                continue;
            };
            let Some(order) = self.order(&last.upper, &piece.lower)? else {
                return Ok(None);
            };
            let touches = order == Ordering::Greater
                || (order == Ordering::Equal && (last.upper_closed || piece.lower_closed));
            if !touches {
                joined.push(piece);
                continue;
            }
            match self.order(&last.upper, &piece.upper)? {
                Some(Ordering::Less) => {
                    last.upper = piece.upper;
                    last.upper_closed = piece.upper_closed;
                }
                Some(Ordering::Equal) => last.upper_closed |= piece.upper_closed,
                Some(Ordering::Greater) => {}
                None => return Ok(None),
            }
        }
        Ok(Some(RealSet {
            pieces: joined,
            variable,
        }))
    }

    fn union(&self, left: RealSet, right: RealSet) -> Maybe<RealSet> {
        let variable = left.variable.or(right.variable);
        let mut pieces = left.pieces;
        pieces.extend(right.pieces);
        self.sorted(pieces, variable)
    }

    fn intersection(&self, left: &RealSet, right: &RealSet) -> Maybe<RealSet> {
        let mut pieces = Vec::new();
        for a in &left.pieces {
            for b in &right.pieces {
                let (Some(lower), Some(upper)) = (
                    self.order(&a.lower, &b.lower)?,
                    self.order(&a.upper, &b.upper)?,
                ) else {
                    return Ok(None);
                };
                let (low, low_closed) = match lower {
                    Ordering::Greater => (&a.lower, a.lower_closed),
                    Ordering::Less => (&b.lower, b.lower_closed),
                    Ordering::Equal => (&a.lower, a.lower_closed && b.lower_closed),
                };
                let (high, high_closed) = match upper {
                    Ordering::Less => (&a.upper, a.upper_closed),
                    Ordering::Greater => (&b.upper, b.upper_closed),
                    Ordering::Equal => (&a.upper, a.upper_closed && b.upper_closed),
                };
                let nonempty = match self.order(low, high)? {
                    Some(Ordering::Less) => true,
                    Some(Ordering::Equal) => low_closed && high_closed,
                    Some(Ordering::Greater) => false,
                    None => return Ok(None),
                };
                if nonempty {
                    pieces.push(Piece {
                        lower: low.clone(),
                        lower_closed: low_closed,
                        upper: high.clone(),
                        upper_closed: high_closed,
                    });
                }
            }
        }
        self.sorted(
            pieces,
            left.variable.clone().or_else(|| right.variable.clone()),
        )
    }

    fn complement(&self, set: &RealSet) -> Maybe<RealSet> {
        let mut pieces = Vec::new();
        let (mut lower, mut lower_closed) = (infinity(false), false);
        for piece in &set.pieces {
            if infinite(&piece.lower).is_none() {
                pieces.push(Piece {
                    lower: lower.clone(),
                    lower_closed,
                    upper: piece.lower.clone(),
                    upper_closed: !piece.lower_closed,
                });
            }
            lower = piece.upper.clone();
            lower_closed = !piece.upper_closed;
        }
        if infinite(&lower) != Some(true) {
            pieces.push(Piece {
                lower,
                lower_closed,
                upper: infinity(true),
                upper_closed: false,
            });
        }
        Ok(Some(RealSet {
            pieces,
            variable: set.variable.clone(),
        }))
    }

    /// Whether two sets are the same.
    pub(super) fn same_sets(
        &self,
        left: &RealSet,
        right: &RealSet,
    ) -> Result<super::Verdict, Doubt> {
        use super::Verdict;
        if left.pieces.len() != right.pieces.len() {
            return Ok(Verdict::Different);
        }
        for (a, b) in left.pieces.iter().zip(&right.pieces) {
            if a.lower_closed != b.lower_closed || a.upper_closed != b.upper_closed {
                return Ok(Verdict::Different);
            }
            for (x, y) in [(&a.lower, &b.lower), (&a.upper, &b.upper)] {
                let verdict = self.scalars(x, y)?;
                if verdict != Verdict::Equal {
                    return Ok(verdict);
                }
            }
        }
        Ok(Verdict::Equal)
    }
}
