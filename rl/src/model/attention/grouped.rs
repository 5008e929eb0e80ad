//! Grouped-query attention (arXiv 2305.13245), with norms over heads where a plan has them.

use super::{Place, turned};
use crate::{
    compute::{Compute, Direction, Heads, Qkv},
    model::{
        build::Maker,
        gradients::Gradients,
        kept::kept,
        linear::Linear,
        module::{Map, Module, RowOrder},
        norm::RmsNorm,
        parameters::ParameterVisitor,
        plan::{GroupedPlan, NormPlan, NormSpan},
        weights::HostTensor,
    },
};

/// Its modules.
pub(crate) const TABLE: [Module<GroupedPlan>; 6] = [
    Module::linear(
        "self_attn.q_proj",
        "attn_q",
        |plan: &GroupedPlan, hidden| Map {
            out: plan.heads.query * plan.heads.query_dim,
            inner: hidden,
            bias: plan.bias,
        },
    )
    .ordered(RowOrder::Queries),
    Module::linear(
        "self_attn.k_proj",
        "attn_k",
        |plan: &GroupedPlan, hidden| Map {
            out: plan.heads.kv * plan.heads.query_dim,
            inner: hidden,
            bias: plan.bias,
        },
    )
    .ordered(RowOrder::Keys),
    Module::linear(
        "self_attn.v_proj",
        "attn_v",
        |plan: &GroupedPlan, hidden| Map {
            out: plan.heads.kv * plan.heads.value_dim,
            inner: hidden,
            bias: plan.bias,
        },
    ),
    Module::norm("self_attn.q_norm", "attn_q_norm", |plan, _| {
        head_norm(plan, plan.heads.query)
    }),
    Module::norm("self_attn.k_norm", "attn_k_norm", |plan, _| {
        head_norm(plan, plan.heads.kv)
    }),
    Module::linear(
        "self_attn.o_proj",
        "attn_output",
        |plan: &GroupedPlan, hidden| Map {
            out: hidden,
            inner: plan.heads.query * plan.heads.value_dim,
            bias: plan.output_bias,
        },
    ),
];

/// The norm of so many heads of queries or keys, and its width.
fn head_norm(plan: &GroupedPlan, heads: usize) -> Option<(NormPlan, usize)> {
    let (norm, span) = plan.head_norm?;
    let width = match span {
        NormSpan::Head => plan.heads.query_dim,
        NormSpan::Row => heads * plan.heads.query_dim,
    };
    Some((norm, width))
}

/// Grouped-query attention.
#[derive(Debug, Clone)]
pub(crate) struct GroupedAttention {
    pub(super) heads: Heads,
    query: Linear,
    key: Linear,
    value: Linear,
    /// Normalisation of queries before rotation (Qwen3, OLMo 2).
    query_norm: Option<RmsNorm>,
    /// Normalisation of keys before rotation.
    key_norm: Option<RmsNorm>,
    output: Linear,
}

kept! {
    /// What its backward pass needs. Normalised rows are cheap and computed again.
    GroupedKept of GroupedAttention {
        /// As they were attended by.
        qkv: qkv,
        /// What attention gave, `[rows, query heads * value_dim]`.
        mixed: rows,
        /// What it kept.
        attended: attended,
        /// Queries before their norm.
        plain_query: maybe(query_norm),
        /// Keys before their norm.
        plain_key: maybe(key_norm),
    }
}

impl GroupedAttention {
    /// What a plan asks for.
    pub(super) fn build<E>(
        plan: &GroupedPlan,
        make: &mut Maker<impl FnMut(&str, &[usize]) -> Result<HostTensor, E>>,
    ) -> Result<Self, E> {
        let [query, key, value, query_norm, key_norm, output] = &TABLE;
        Ok(Self {
            heads: plan.heads,
            query: make.linear(query, plan)?,
            key: make.linear(key, plan)?,
            value: make.linear(value, plan)?,
            query_norm: make.norm(query_norm, plan)?,
            key_norm: make.norm(key_norm, plan)?,
            output: make.linear(output, plan)?,
        })
    }

    /// See [`Attention::forward`](super::Attention::forward).
    pub(super) fn forward<C: Compute>(
        &self,
        c: &C,
        normed: C::Rows,
        sum: impl FnOnce() -> Option<C::Rows>,
        rotation: Option<&C::Rotation>,
        attend: impl FnOnce(&Qkv<C::Rows>) -> (C::Rows, C::Attended),
    ) -> (C::Rows, GroupedKept<C>) {
        let maps = [&self.query, &self.key, &self.value];
        let [query, key, value] = Linear::forward_all(c, maps, &normed);
        drop(normed);
        let head = |plain: C::Rows, norm: &Option<RmsNorm>, count: usize| {
            let (normed, plain) = match norm {
                Some(norm) => (norm.forward(c, &plain), Some(plain)),
                None => (plain, None),
            };
            let rotated = turned(c, normed, (rotation, count), Direction::Forward);
            (rotated, plain)
        };
        let (query, plain_query) = head(query, &self.query_norm, self.heads.query);
        let (key, plain_key) = head(key, &self.key_norm, self.heads.kv);
        let qkv = Qkv::apart(query, key, value);
        let (mixed, attended) = attend(&qkv);
        let y = self.output.forward_onto(c, sum(), &mixed);
        let kept = GroupedKept {
            qkv,
            mixed,
            attended,
            plain_query,
            plain_key,
        };
        (y, kept)
    }

    /// See [`Attention::backward`](super::Attention::backward).
    pub(super) fn backward<C: Compute>(
        &self,
        c: &C,
        kept: GroupedKept<C>,
        by_y: &C::Rows,
        normed: impl FnOnce() -> C::Rows,
        place: &Place<C>,
        gradients: &mut Gradients,
    ) -> Option<C::Rows> {
        let GroupedKept {
            qkv,
            mixed,
            attended,
            plain_query,
            plain_key,
        } = kept;
        let heads = self.heads;
        let by_mixed = self.output.backward(c, &mixed, by_y, gradients);
        let by_qkv = c.attention_backward(&qkv, &mixed, &attended, &by_mixed, place.layout, heads);
        drop((mixed, by_mixed, qkv));
        let mut back = |by: C::Rows, norm: &Option<RmsNorm>, plain: Option<C::Rows>, count| {
            let by = turned(c, by, (place.rotation, count), Direction::Backward);
            match (norm, plain) {
                (Some(norm), Some(plain)) => {
                    norm.backward(c, c.zeros_like(&plain), &plain, &by, gradients)
                }
                _ => by,
            }
        };
        let Qkv { query, key, value } = by_qkv;
        let by_query = back(query, &self.query_norm, plain_query, heads.query);
        let by_key = back(key, &self.key_norm, plain_key, heads.kv);
        let by_value = value.expect("a gradient for each of the three");

        let maps = [
            (&self.query, by_query),
            (&self.key, by_key),
            (&self.value, by_value),
        ];
        Linear::backward_all(c, maps, &normed(), place.below, gradients)
    }

    /// Every linear map.
    pub(super) fn linears(&mut self) -> Vec<&mut Linear> {
        let Self {
            query,
            key,
            value,
            output,
            ..
        } = self;
        vec![query, key, value, output]
    }

    /// Shows every weight to `f`.
    pub(super) fn visit(&mut self, f: &mut impl ParameterVisitor) {
        self.query.visit(f);
        self.key.visit(f);
        self.value.visit(f);
        self.output.visit(f);
        for norm in [&mut self.query_norm, &mut self.key_norm] {
            norm.iter_mut().for_each(|norm| norm.visit(f));
        }
    }
}
