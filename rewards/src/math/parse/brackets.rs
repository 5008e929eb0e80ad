//! Brackets of all kinds: groups, tuples, intervals, sets, absolute values, matrices.

use super::super::expression::{CASES, Connective, Constant, Expression, Function};
use super::super::token::Token;
use super::functions::root;
use super::operators::quotient;
use super::{Parsed, Parser};

impl Parser<'_> {
    /// `{…}`: what is inside; a list in it is a set.
    pub(super) fn group(&mut self) -> Parsed {
        self.expect('{')?;
        let bars = std::mem::take(&mut self.bars);
        let bar_stops = std::mem::take(&mut self.bar_stops);
        let mut inner = self.answer()?;
        if let Some(Token::Command(name)) = self.peek()
            && matches!(name.as_str(), "choose" | "over")
        {
            let choose = name == "choose";
            self.at += 1;
            let below = self.answer()?;
            inner = if choose {
                Expression::Call(Function::Binomial, vec![inner, below])
            } else {
                quotient(inner, below)
            };
        }
        self.expect('}')?;
        self.bars = bars;
        self.bar_stops = bar_stops;
        if let Expression::Symbol(name) = &inner
            && self.peek_sign() == Some('_')
        {
            // `{g}_{k}`
            return self.subscripted(name.clone());
        }
        Ok(match inner {
            Expression::List(_, items) => Expression::Set(items),
            other => other,
        })
    }

    /// The items of a bracket that has been opened, up to `close` or another bracket that closes.
    pub(super) fn items(&mut self, close: char) -> Result<Vec<Expression>, super::ParseError> {
        if self.peek_sign() == Some(close) {
            return Ok(Vec::new());
        }
        self.brackets += 1;
        let bars = std::mem::take(&mut self.bars);
        let answer = self.answer()?;
        self.brackets -= 1;
        self.bars = bars;
        Ok(match answer {
            Expression::List(_, items) => items,
            other => vec![other],
        })
    }

    pub(super) fn bracket(&mut self, sign: char) -> Parsed {
        match sign {
            '(' | '[' | ']' => self.deeper(|parser| parser.round_or_square(sign)),
            '{' => self.group(),
            '⦃' => self.deeper(Self::set),
            '⟨' => {
                self.at += 1;
                let items = self.items('⟩')?;
                self.expect('⟩')?;
                Ok(Expression::Tuple(items))
            }
            '|' => self.deeper(|parser| {
                parser.at += 1;
                parser.bars += 1;
                let stops = std::mem::take(&mut parser.bar_stops);
                let inner = parser.sum()?;
                parser.bars -= 1;
                parser.bar_stops = stops;
                // `||v||`
                parser.expect('|')?;
                Ok(Expression::Call(Function::Abs, vec![inner]))
            }),
            '⌊' | '⌈' => self.deeper(|parser| {
                parser.at += 1;
                let inner = parser.sum()?;
                let (close, function) = match sign {
                    '⌊' => ('⌋', Function::Floor),
                    _ => ('⌉', Function::Ceil),
                };
                parser.expect(close)?;
                Ok(Expression::Call(function, vec![inner]))
            }),
            '√' => {
                self.at += 1;
                let inner = self.deeper(Self::atom)?;
                Ok(root(Expression::integer(2), inner))
            }
            '∛' | '∜' => {
                self.at += 1;
                let inner = self.deeper(Self::atom)?;
                Ok(root(
                    Expression::integer(if sign == '∛' { 3 } else { 4 }),
                    inner,
                ))
            }
            '∞' => {
                self.at += 1;
                Ok(Expression::Constant(Constant::Infinity))
            }
            '∅' => {
                self.at += 1;
                Ok(Expression::Set(Vec::new()))
            }
            '…' => {
                self.at += 1;
                Ok(Expression::Symbol("…".to_owned()))
            }
            _ => Err(self.unexpected()),
        }
    }

    /// `(…)`, `[…]`, `(…]`, `[…)`, and the French `]…[`.
    fn round_or_square(&mut self, open: char) -> Parsed {
        self.at += 1;
        let items = self.items(if open == '(' { ')' } else { ']' })?;
        let close = match self.peek_sign() {
            Some(close @ (')' | ']')) => close,
            Some('[') if open != '(' => '[',
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        let round = open == '(' && close == ')';
        let mut items = items;
        if items.len() == 2 && !round {
            let upper = Box::new(items.remove(1));
            let lower = Box::new(items.remove(0));
            if open == '['
                && close == ']'
                && let Some(rows) = rows(&lower, &upper)
            {
                return Ok(Expression::Matrix(rows));
            }
            return Ok(Expression::Interval {
                lower,
                upper,
                lower_closed: open == '[',
                upper_closed: close == ']',
            });
        }
        let same = round || (open == '[' && close == ']');
        match items.len() {
            _ if !same => Err(self.unexpected()),
            1 => Ok(items.remove(0)),
            _ => Ok(Expression::Tuple(items)),
        }
    }

    /// `\{…\}`, also with a condition: `\{x \mid x > 3\}`.
    pub(super) fn set(&mut self) -> Parsed {
        self.at += 1;
        if self.accept('⦄') {
            return Ok(Expression::Set(Vec::new()));
        }
        let stops = std::mem::replace(&mut self.bar_stops, true);
        let bars = std::mem::take(&mut self.bars);
        let first = self.answer()?;
        self.bar_stops = stops;
        let result = if self.accept('|') || self.accept(':') {
            let condition = self.answer()?;
            match first {
                Expression::Symbol(_) => condition,
                Expression::Relation(element, rest) => {
                    // `\{x ∈ ℝ : x > 3\}`: reals unless the domain says more.
                    match rest.as_slice() {
                        [(super::RelationKind::In, Expression::NamedSet('R'))]
                            if matches!(*element, Expression::Symbol(_)) =>
                        {
                            condition
                        }
                        _ => return Err(self.unexpected()),
                    }
                }
                _ => return Err(self.unexpected()),
            }
        } else {
            match first {
                Expression::List(_, items) => Expression::Set(items),
                other => Expression::Set(vec![other]),
            }
        };
        self.bars = bars;
        self.expect('⦄')?;
        Ok(result)
    }

    pub(super) fn matrix(&mut self) -> Parsed {
        self.deeper(|parser| {
            let Some(Token::Begin(name)) = parser.peek() else {
                return Err(parser.unexpected());
            };
            let known = [
                "pmatrix",
                "bmatrix",
                "Bmatrix",
                "matrix",
                "smallmatrix",
                "array",
                "vmatrix",
                "Vmatrix",
                "cases",
                "dcases",
                "rcases",
            ];
            let (name, determinant) = (name.clone(), name == "vmatrix");
            let by_cases = name.ends_with("cases");
            if !known.contains(&name.as_str()) {
                return Err(parser.unexpected());
            }
            parser.at += 1;
            let mut rows = vec![Vec::new()];
            loop {
                match parser.peek() {
                    Some(Token::End(end)) if *end == name => {
                        parser.at += 1;
                        break;
                    }
                    Some(Token::Break) => {
                        parser.at += 1;
                        rows.push(Vec::new());
                    }
                    Some(Token::Sign('&')) => parser.at += 1,
                    _ => {
                        if by_cases {
                            parser.skip_condition_word();
                        }
                        let cell = parser.relation()?;
                        if by_cases && matches!(parser.peek_sign(), Some(',' | ';' | '.')) {
                            parser.at += 1;
                        }
                        if let Some(row) = rows.last_mut() {
                            row.push(cell);
                        }
                        if !matches!(
                            parser.peek(),
                            Some(Token::Sign('&') | Token::Break | Token::End(_))
                        ) {
                            return Err(parser.unexpected());
                        }
                    }
                }
                parser.budget.spend(4)?;
            }
            if rows.last().is_some_and(Vec::is_empty) {
                rows.pop();
            }
            let width = rows.first().map_or(0, Vec::len);
            if width == 0 || rows.iter().any(|row| row.len() != width) {
                return Err(parser.unexpected());
            }
            if by_cases {
                let cells: Vec<Expression> = rows.into_iter().flatten().collect();
                return match width {
                    // A system of equations.
                    1 => Ok(Expression::List(Connective::And, cells)),
                    2 => Ok(Expression::Apply(CASES.to_owned(), cells)),
                    _ => Err(parser.unexpected()),
                };
            }
            let matrix = Expression::Matrix(rows);
            Ok(if determinant {
                Expression::Call(Function::Abs, vec![matrix])
            } else {
                matrix
            })
        })
    }

    /// Leaves out `if` and its kin before the condition of a case.
    fn skip_condition_word(&mut self) {
        let Some(Token::Text(text) | Token::Word(text)) = self.peek() else {
            return;
        };
        let word = text.trim_matches([',', ' ', ':']);
        if matches!(
            word,
            "if" | "for" | "when" | "where" | "当" | "si" | "falls"
        ) {
            self.at += 1;
        }
    }
}

/// Rows of `[[1, 2], [3, 4]]`, whose rows look like intervals or tuples.
fn rows(first: &Expression, second: &Expression) -> Option<Vec<Vec<Expression>>> {
    let row = |expression: &Expression| match expression {
        Expression::Interval {
            lower,
            upper,
            lower_closed: true,
            upper_closed: true,
        } => Some(vec![(**lower).clone(), (**upper).clone()]),
        Expression::Tuple(items) => Some(items.clone()),
        _ => None,
    };
    let rows = vec![row(first)?, row(second)?];
    (rows[0].len() == rows[1].len()).then_some(rows)
}
