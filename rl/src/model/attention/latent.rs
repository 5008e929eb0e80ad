//! Latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1): keys and values of all heads are made of one
//! latent a token, and positions are in a part of keys that all heads share.
//!
//! With `c = norm(a x)`, a head's key is `[U_h c | rotated k]`, its value `V_h c`. Training and prompts expand these
//! (eq. 9 to 19). Decoding keeps `c` and `k` alone: `q·U_h c = U_hᵀ q·c`, so that queries are turned instead, and the mixed
//! latents after them, by the rows of the same matrix.

use super::{Form, Place, turned};
use crate::{
    compute::{Compute, Direction, Heads, LatentHeads, Qkv},
    model::{
        build::Maker,
        gradients::Gradients,
        kept::kept,
        linear::Linear,
        module::{Map, Module},
        norm::RmsNorm,
        parameters::ParameterVisitor,
        plan::LatentPlan,
        weights::HostTensor,
    },
};

/// Its modules.
pub(crate) const TABLE: [Module<LatentPlan>; 8] = [
    Module::optional("self_attn.q_proj", "attn_q", |plan: &LatentPlan, hidden| {
        plan.query_latent.is_none().then(|| queries(plan, hidden))
    }),
    Module::optional("self_attn.q_a_proj", "attn_q_a", |plan, hidden| {
        plan.query_latent.map(|latent| Map {
            out: latent,
            inner: hidden,
            bias: plan.bias,
        })
    }),
    Module::norm("self_attn.q_a_layernorm", "attn_q_a_norm", |plan, _| {
        plan.query_latent.map(|latent| (plan.norm, latent))
    }),
    Module::optional("self_attn.q_b_proj", "attn_q_b", |plan, _| {
        plan.query_latent.map(|latent| queries(plan, latent))
    }),
    Module::linear(
        "self_attn.kv_a_proj_with_mqa",
        "attn_kv_a_mqa",
        |plan, hidden| Map {
            out: plan.heads.cached(),
            inner: hidden,
            bias: plan.bias,
        },
    ),
    Module::norm("self_attn.kv_a_layernorm", "attn_kv_a_norm", |plan, _| {
        Some((plan.norm, plan.heads.latent))
    }),
    Module::linear("self_attn.kv_b_proj", "attn_kv_b", |plan, _| Map {
        out: plan.heads.count * plan.heads.expanded(),
        inner: plan.heads.latent,
        bias: false,
    }),
    Module::linear("self_attn.o_proj", "attn_output", |plan, hidden| Map {
        out: hidden,
        inner: plan.heads.count * plan.heads.value,
        bias: plan.bias,
    }),
];

fn queries(plan: &LatentPlan, inner: usize) -> Map {
    Map {
        out: plan.heads.count * plan.heads.query(),
        inner,
        bias: false,
    }
}

/// Latent attention.
#[derive(Debug, Clone)]
pub(crate) struct LatentAttention {
    heads: LatentHeads,
    scale: f32,
    /// To the latent of queries, where there is one.
    query_down: Option<Linear>,
    /// Of that latent.
    query_norm: Option<RmsNorm>,
    /// To queries: of their latent, or of what came in.
    query: Linear,
    /// To the latent of keys and values, and the part of keys that is rotated.
    down: Linear,
    latent_norm: RmsNorm,
    /// To plain keys and values.
    up: Linear,
    output: Linear,
}

kept! {
    /// What its backward pass needs. Keys and values are one product away from the latent, and computed again.
    LatentKept of LatentAttention {
        /// Rotated, `[rows, heads * (plain + rotated)]`.
        query: rows,
        /// Before its norm, `[rows, latent]`.
        latent: rows,
        /// The part of keys that heads share, rotated, `[rows, rotated]`.
        key: rows,
        /// What attention gave, `[rows, heads * value]`.
        mixed: rows,
        /// What it kept.
        attended: attended,
        /// The latent of queries before its norm.
        plain_query: maybe(query_norm),
    }
}

impl LatentAttention {
    /// What a plan asks for.
    pub(super) fn build<E>(
        plan: &LatentPlan,
        make: &mut Maker<impl FnMut(&str, &[usize]) -> Result<HostTensor, E>>,
    ) -> Result<Self, E> {
        let [plain, query_down, query_norm, query, down, norm, up, output] = &TABLE;
        let from = if plan.query_latent.is_some() {
            query
        } else {
            plain
        };
        let latent_norm = make.norm(norm, plan)?;
        Ok(Self {
            heads: plan.heads,
            scale: plan.scale,
            query_down: make.optional(query_down, plan)?,
            query_norm: make.norm(query_norm, plan)?,
            query: make.linear(from, plan)?,
            down: make.linear(down, plan)?,
            latent_norm: latent_norm.expect("every plan has this norm"),
            up: make.linear(up, plan)?,
            output: make.linear(output, plan)?,
        })
    }

    /// How its rows are laid out.
    pub(super) fn heads(&self, form: Form) -> Heads {
        let heads = self.heads;
        let (kv, query_dim, value_dim) = match form {
            Form::Expanded => (heads.count, heads.query(), heads.value),
            Form::Cached => (1, heads.cached(), heads.latent),
        };
        Heads {
            query: heads.count,
            kv,
            query_dim,
            value_dim,
            scale: self.scale,
            window: None,
            joined: form == Form::Cached,
        }
    }

    /// What a cache stores: normalised latents, and rotated keys beside them.
    pub(super) fn cached<C: Compute>(&self, c: &C, kept: &LatentKept<C>) -> C::Rows {
        let latent = self.latent_norm.forward(c, &kept.latent);
        c.beside(&latent, &kept.key)
    }

    /// See [`Attention::forward`](super::Attention::forward).
    pub(super) fn forward<C: Compute>(
        &self,
        c: &C,
        normed: C::Rows,
        sum: impl FnOnce() -> Option<C::Rows>,
        (rotation, form): (Option<&C::Rotation>, Form),
        attend: impl FnOnce(&Qkv<C::Rows>) -> (C::Rows, C::Attended),
    ) -> (C::Rows, LatentKept<C>) {
        let heads = self.heads;
        let (query, joint, plain_query) = self.project(c, &normed);
        drop(normed);
        let turn = |x: C::Rows, count| turned(c, x, (rotation, count), Direction::Forward);
        let query = turn(query, heads.count);
        let (latent, key) = c.split(&joint, heads.latent);
        let key = turn(key, 1);
        let normed = self.latent_norm.forward(c, &latent);
        let (query, mixed, attended) = match form {
            Form::Expanded => {
                let (keys, values) = self.expand(c, &normed, &key);
                let qkv = Qkv::apart(query, keys, values);
                let (mixed, attended) = attend(&qkv);
                (qkv.query, mixed, attended)
            }
            Form::Cached => {
                let weight = self.up.whole(c);
                let qkv = Qkv {
                    query: c.absorb(&query, &weight, heads),
                    key: c.beside(&normed, &key),
                    value: None,
                };
                let (mixed, attended) = attend(&qkv);
                (query, c.release(&mixed, &weight, heads), attended)
            }
        };
        let y = self.output.forward_onto(c, sum(), &mixed);
        let kept = LatentKept {
            query,
            latent,
            key,
            mixed,
            attended,
            plain_query,
        };
        (y, kept)
    }

    /// Queries, what latent and key are split of, and the latent of queries before its norm.
    fn project<C: Compute>(&self, c: &C, x: &C::Rows) -> (C::Rows, C::Rows, Option<C::Rows>) {
        match (&self.query_down, &self.query_norm) {
            (Some(down), Some(norm)) => {
                let [plain, joint] = Linear::forward_all(c, [down, &self.down], x);
                let query = self.query.forward_onto(c, None, &norm.forward(c, &plain));
                (query, joint, Some(plain))
            }
            _ => {
                let [query, joint] = Linear::forward_all(c, [&self.query, &self.down], x);
                (query, joint, None)
            }
        }
    }

    /// Keys and values of every head.
    fn expand<C: Compute>(&self, c: &C, normed: &C::Rows, key: &C::Rows) -> (C::Rows, C::Rows) {
        let up = self.up.forward_onto(c, None, normed);
        c.expand(&up, key, self.heads)
    }

    /// See [`Attention::backward`](super::Attention::backward).
    pub(super) fn backward<C: Compute>(
        &self,
        c: &C,
        kept: LatentKept<C>,
        by_y: &C::Rows,
        normed: impl FnOnce() -> C::Rows,
        place: &Place<C>,
        gradients: &mut Gradients,
    ) -> Option<C::Rows> {
        let LatentKept {
            query,
            latent,
            key,
            mixed,
            attended,
            plain_query,
        } = kept;
        let heads = self.heads;
        let by_mixed = self.output.backward(c, &mixed, by_y, gradients);
        let normed_latent = self.latent_norm.forward(c, &latent);
        let (keys, values) = self.expand(c, &normed_latent, &key);
        let qkv = Qkv::apart(query, keys, values);
        let by_qkv = c.attention_backward(
            &qkv,
            &mixed,
            &attended,
            &by_mixed,
            place.layout,
            self.heads(Form::Expanded),
        );
        drop((mixed, by_mixed, qkv));
        let turn = |x: C::Rows, count| turned(c, x, (place.rotation, count), Direction::Backward);
        let by_query = turn(by_qkv.query, heads.count);
        let by_values = by_qkv.value.expect("a gradient for each of the three");
        let (by_up, by_key) = c.expand_backward(&by_qkv.key, &by_values, heads);
        let by_latent = self.up.backward(c, &normed_latent, &by_up, gradients);
        let zeros = c.zeros_like(&latent);
        let by_latent = self
            .latent_norm
            .backward(c, zeros, &latent, &by_latent, gradients);
        let by_joint = c.beside(&by_latent, &turn(by_key, 1));
        let (first, by_first) = match (&self.query_down, &self.query_norm, plain_query) {
            (Some(down), Some(norm), Some(plain)) => {
                let normed = norm.forward(c, &plain);
                let by_normed = self.query.backward(c, &normed, &by_query, gradients);
                let zeros = c.zeros_like(&plain);
                (down, norm.backward(c, zeros, &plain, &by_normed, gradients))
            }
            _ => (&self.query, by_query),
        };
        let maps = [(first, by_first), (&self.down, by_joint)];
        Linear::backward_all(c, maps, &normed(), place.below, gradients)
    }

    /// Every linear map.
    pub(super) fn linears(&mut self) -> Vec<&mut Linear> {
        let maps = self.query_down.iter_mut();
        maps.chain([
            &mut self.query,
            &mut self.down,
            &mut self.up,
            &mut self.output,
        ])
        .collect()
    }

    /// Shows every weight to `f`.
    pub(super) fn visit(&mut self, f: &mut impl ParameterVisitor) {
        for norm in self.query_norm.iter_mut().chain([&mut self.latent_norm]) {
            norm.visit(f);
        }
        for linear in self.linears() {
            linear.visit(f);
        }
    }
}
