//! A module of a part: its names here and in GGUF files, and what it holds for a plan.

use super::plan::NormPlan;

/// A module of a part that is planned by `P`.
#[derive(Debug)]
pub(crate) struct Module<P: 'static> {
    /// Its name below `model.layers.N`.
    pub(crate) name: &'static str,
    /// Its name below `blk.N` in GGUF files.
    pub(crate) gguf: &'static str,
    /// What it holds.
    pub(crate) form: Form<P>,
    /// How its rows are ordered.
    pub(crate) rows: RowOrder,
}

/// What a module holds for a plan.
#[derive(Debug)]
pub(crate) enum Form<P: 'static> {
    /// A linear map.
    Linear(fn(&P, usize) -> Map),
    /// A linear map, where the plan has one.
    Optional(fn(&P, usize) -> Option<Map>),
    /// A norm and its width, where the plan has one, for the width of the residual stream.
    Norm(fn(&P, usize) -> Option<(NormPlan, usize)>),
}

/// The shape of a linear map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Map {
    /// Values that come out.
    pub(crate) out: usize,
    /// Values that go in.
    pub(crate) inner: usize,
    /// Whether it has a bias.
    pub(crate) bias: bool,
}

/// How the rows of a matrix are ordered, for converters that reorder some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowOrder {
    /// As they come.
    Plain,
    /// By query heads, which are rotated.
    Queries,
    /// By key heads, which are rotated.
    Keys,
}

/// A tensor's name and shape.
pub(crate) type Named = (String, Vec<usize>);

impl<P> Module<P> {
    /// A linear map whose rows come as they come.
    pub(crate) const fn linear(
        name: &'static str,
        gguf: &'static str,
        map: fn(&P, usize) -> Map,
    ) -> Self {
        Self {
            name,
            gguf,
            form: Form::Linear(map),
            rows: RowOrder::Plain,
        }
    }

    /// A linear map that not every plan has.
    pub(crate) const fn optional(
        name: &'static str,
        gguf: &'static str,
        map: fn(&P, usize) -> Option<Map>,
    ) -> Self {
        Self {
            name,
            gguf,
            form: Form::Optional(map),
            rows: RowOrder::Plain,
        }
    }

    /// A norm.
    pub(crate) const fn norm(
        name: &'static str,
        gguf: &'static str,
        norm: fn(&P, usize) -> Option<(NormPlan, usize)>,
    ) -> Self {
        Self {
            name,
            gguf,
            form: Form::Norm(norm),
            rows: RowOrder::Plain,
        }
    }

    /// The same with rows in an order.
    pub(crate) const fn ordered(mut self, rows: RowOrder) -> Self {
        self.rows = rows;
        self
    }

    /// The linear map that it is for a plan, if it is one.
    pub(super) fn map(&self, plan: &P, hidden: usize) -> Option<Map> {
        match self.form {
            Form::Linear(map) => Some(map(plan, hidden)),
            Form::Optional(map) => map(plan, hidden),
            Form::Norm(_) => None,
        }
    }

    /// Its tensors, named below `prefix`, for the width of the residual stream.
    pub(super) fn tensors(&self, prefix: &str, plan: &P, hidden: usize) -> Vec<Named> {
        let named = |parameter: &str, shape: Vec<usize>| {
            (format!("{prefix}.{}.{parameter}", self.name), shape)
        };
        match self.form {
            Form::Linear(_) | Form::Optional(_) => {
                let Some(Map { out, inner, bias }) = self.map(plan, hidden) else {
                    return Vec::new();
                };
                let mut tensors = vec![named("weight", vec![out, inner])];
                tensors.extend(bias.then(|| named("bias", vec![out])));
                tensors
            }
            Form::Norm(norm) => norm(plan, hidden)
                .map(|(_, width)| named("weight", vec![width]))
                .into_iter()
                .collect(),
        }
    }

    pub(super) fn entry(&self) -> Entry {
        Entry {
            name: self.name,
            gguf: self.gguf,
            linear: !matches!(self.form, Form::Norm(_)),
            rows: self.rows,
        }
    }
}

/// A module without its plan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// Its name below `model.layers.N`.
    pub(crate) name: &'static str,
    /// Its name below `blk.N` in GGUF files.
    pub(crate) gguf: &'static str,
    /// Whether it is a linear map.
    pub(crate) linear: bool,
    /// How its rows are ordered.
    pub(crate) rows: RowOrder,
}

/// The last part of a module's name; of a map of one of several experts, what comes after the experts' number, too.
pub(crate) fn last_part(name: &str) -> &str {
    let last = name.rsplit('.').next().unwrap_or(name);
    let before = name
        .strip_suffix(last)
        .and_then(|rest| rest.strip_suffix('.'));
    let number = before.and_then(|before| before.rsplit('.').next());
    match number {
        Some(number) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => {
            &name[name.len() - last.len() - number.len() - 1..]
        }
        _ => last,
    }
}
