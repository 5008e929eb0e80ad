//! One transformer block, forward and backward.

use super::{
    layers::{Gradients, Linear, RmsNorm},
    parameters::ParameterVisitor,
};
use crate::compute::{Attended, Compute, Direction, Heads, Qkv};

/// Attention and feed-forward, each on a normalised copy of the residual stream.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) attention_norm: RmsNorm,
    pub(crate) query: Linear,
    pub(crate) key: Linear,
    pub(crate) value: Linear,
    pub(crate) output: Linear,
    /// Normalisation of each query head before rotation (Qwen3).
    pub(crate) query_norm: Option<RmsNorm>,
    /// Normalisation of each key head before rotation (Qwen3).
    pub(crate) key_norm: Option<RmsNorm>,
    pub(crate) feed_forward_norm: RmsNorm,
    pub(crate) gate: Linear,
    pub(crate) up: Linear,
    pub(crate) down: Linear,
}

/// Where the rows of a pass stand.
pub(crate) struct Place<'a, C: Compute> {
    pub(crate) rotation: &'a C::Rotation,
    pub(crate) layout: &'a C::Layout,
    pub(crate) heads: Heads,
}

/// What a block's backward pass needs of its forward pass. Normalised rows and the gated product
/// are cheap and computed again.
pub(crate) struct Kept<C: Compute> {
    /// What came in, `[rows, hidden]`.
    input: C::Rows,
    /// Queries and keys before their norms, where there are norms.
    plain_query: Option<C::Rows>,
    plain_key: Option<C::Rows>,
    pub(crate) qkv: Qkv<C::Rows>,
    /// What attention gave, `[rows, query heads * dim]`.
    mixed: C::Rows,
    attended: C::Attended,
    /// The residual stream between attention and feed-forward.
    middle: C::Rows,
    gate: C::Rows,
    up: C::Rows,
}

impl<C: Compute> Kept<C> {
    /// The input alone: enough to compute the rest again.
    pub(crate) fn into_input(self) -> C::Rows {
        self.input
    }
}

impl<C: Compute> Kept<C> {
    /// Its matrices.
    pub(crate) fn parts(&self) -> Vec<&C::Rows> {
        let Qkv { query, key, value } = &self.qkv;
        let mut parts = vec![&self.input, query, key, value, &self.mixed];
        parts.extend(self.attended.rows());
        parts.extend([&self.middle, &self.gate, &self.up]);
        parts.extend(self.plain_query.iter().chain(&self.plain_key));
        parts
    }
}

impl Block {
    /// The residual stream after the block, and what its gradient needs.
    ///
    /// # Shapes
    /// - x and output: `[rows, hidden]`
    pub(crate) fn forward<C: Compute>(
        &self,
        c: &C,
        x: C::Rows,
        rotation: &C::Rotation,
        heads: Heads,
        attend: impl FnOnce(&Qkv<C::Rows>) -> (C::Rows, C::Attended),
    ) -> (C::Rows, Kept<C>) {
        let normed = self.attention_norm.forward(c, &x);
        let maps = [&self.query, &self.key, &self.value];
        let [query, key, value] = Linear::forward_all(c, maps, &normed);
        drop(normed);
        let head = |plain: C::Rows, norm: &Option<RmsNorm>, count: usize| {
            let (normed, plain) = match norm {
                Some(norm) => (norm.forward(c, &plain), Some(plain)),
                None => (plain, None),
            };
            (c.rotate(normed, rotation, count, Direction::Forward), plain)
        };
        let (query, plain_query) = head(query, &self.query_norm, heads.query);
        let (key, plain_key) = head(key, &self.key_norm, heads.kv);
        let qkv = Qkv { query, key, value };
        let (mixed, attended) = attend(&qkv);
        let middle = self.output.forward_onto(c, c.copy(&x), &mixed);

        let normed = self.feed_forward_norm.forward(c, &middle);
        let [gate, up] = Linear::forward_all(c, [&self.gate, &self.up], &normed);
        drop(normed);
        let gated = c.swiglu(&gate, &up); // down(silu(gate(x)) ⊙ up(x)): arXiv 2002.05202, eq. 6
        let out = self.down.forward_onto(c, c.copy(&middle), &gated);
        let kept = Kept {
            input: x,
            plain_query,
            plain_key,
            qkv,
            mixed,
            attended,
            middle,
            gate,
            up,
        };
        (out, kept)
    }

    /// Adds the gradients of the weights and returns that by what came in, if anything `below` needs
    /// it. `by_out` is that by the residual stream after the block.
    pub(crate) fn backward<C: Compute>(
        &self,
        c: &C,
        kept: Kept<C>,
        by_out: C::Rows,
        place: &Place<C>,
        gradients: &mut Gradients,
        below: bool,
    ) -> Option<C::Rows> {
        let &Place {
            rotation,
            layout,
            heads,
        } = place;
        let Kept {
            input,
            plain_query,
            plain_key,
            qkv,
            mixed,
            attended,
            middle,
            gate,
            up,
        } = kept;

        let (by_gated, narrow) = self.down.input_gradient(c, &by_out, None);
        let (gated, by_gate, by_up) = c.swiglu_backward(gate, up, by_gated);
        self.down
            .weight_gradient(c, &gated, &by_out, narrow, gradients);
        drop(gated);
        let normed = self.feed_forward_norm.forward(c, &middle);
        let (by_normed, narrow) = self.gate.input_gradient(c, &by_gate, None);
        self.gate
            .weight_gradient(c, &normed, &by_gate, narrow, gradients);
        let (by_normed, narrow) = self.up.input_gradient(c, &by_up, Some(by_normed));
        self.up
            .weight_gradient(c, &normed, &by_up, narrow, gradients);
        drop(normed);
        drop((by_gate, by_up));
        let norm = &self.feed_forward_norm;
        let by_middle = norm.backward(c, by_out, &middle, &by_normed, gradients);
        drop((by_normed, middle));

        let (by_mixed, narrow) = self.output.input_gradient(c, &by_middle, None);
        self.output
            .weight_gradient(c, &mixed, &by_middle, narrow, gradients);
        let by_qkv = c.attention_backward(&qkv, &mixed, &attended, &by_mixed, layout, heads);
        drop((mixed, by_mixed, qkv));
        let mut back = |by: C::Rows, norm: &Option<RmsNorm>, plain: Option<C::Rows>, count| {
            let by = c.rotate(by, rotation, count, Direction::Backward);
            match (norm, plain) {
                (Some(norm), Some(plain)) => {
                    norm.backward(c, c.zeros_like(&plain), &plain, &by, gradients)
                }
                _ => by,
            }
        };
        let by_query = back(by_qkv.query, &self.query_norm, plain_query, heads.query);
        let by_key = back(by_qkv.key, &self.key_norm, plain_key, heads.kv);
        let by_value = by_qkv.value;

        let normed = self.attention_norm.forward(c, &input);
        let mut by_normed = None;
        for (map, by_y) in [
            (&self.query, by_query),
            (&self.key, by_key),
            (&self.value, by_value),
        ] {
            let narrow = match below {
                true => {
                    let (sum, narrow) = map.input_gradient(c, &by_y, by_normed.take());
                    by_normed = Some(sum);
                    narrow
                }
                false => None,
            };
            map.weight_gradient(c, &normed, &by_y, narrow, gradients);
        }
        drop(normed);
        let norm = &self.attention_norm;
        by_normed.map(|by_normed| norm.backward(c, by_middle, &input, &by_normed, gradients))
    }

    /// What was kept of a forward pass, from matrices in the order of [`Kept::parts`].
    pub(crate) fn recall<C: Compute>(&self, mut next: impl FnMut() -> C::Rows) -> Kept<C> {
        Kept {
            input: next(),
            qkv: Qkv {
                query: next(),
                key: next(),
                value: next(),
            },
            mixed: next(),
            attended: C::Attended::from_rows(&mut next),
            middle: next(),
            gate: next(),
            up: next(),
            plain_query: self.query_norm.as_ref().map(|_| next()),
            plain_key: self.key_norm.as_ref().map(|_| next()),
        }
    }

    /// Every linear map, by the last part of its name.
    pub(crate) fn linears(&mut self) -> [(&'static str, &mut Linear); 7] {
        [
            ("q_proj", &mut self.query),
            ("k_proj", &mut self.key),
            ("v_proj", &mut self.value),
            ("o_proj", &mut self.output),
            ("gate_proj", &mut self.gate),
            ("up_proj", &mut self.up),
            ("down_proj", &mut self.down),
        ]
    }

    pub(crate) fn visit(&mut self, f: &mut impl ParameterVisitor) {
        self.attention_norm.visit(f);
        self.query.visit(f);
        self.key.visit(f);
        self.value.visit(f);
        self.output.visit(f);
        if let Some(norm) = &mut self.query_norm {
            norm.visit(f);
        }
        if let Some(norm) = &mut self.key_norm {
            norm.visit(f);
        }
        self.feed_forward_norm.visit(f);
        self.gate.visit(f);
        self.up.visit(f);
        self.down.visit(f);
    }
}
