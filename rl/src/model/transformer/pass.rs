//! The forward and the backward pass.

use super::Transformer;
use crate::{
    compute::{Compute, Qkv, packing::Packing, tape::Tape},
    model::{
        attention::{Form, Place},
        block::Kept,
        gradients::{Gradients, Trained},
        names::EMBEDDING,
    },
};

/// What is kept of each block for the backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activations {
    /// Everything it needs.
    #[default]
    All,
    /// Only what came in; the rest is computed a second time (gradient checkpointing,
    /// arXiv 1604.06174).
    Inputs,
}

enum Trace<'a, C: Compute> {
    All(Kept<C>),
    Input(C::Rows),
    /// It is elsewhere, and fetched when the backward pass comes to the block.
    Elsewhere(Box<dyn FnOnce() -> Kept<C> + 'a>),
}

/// What the rows of a pass have in common, for each kind of layer.
struct Rotations<C: Compute>(Vec<C::Rotation>);

/// A forward pass, ready for its backward pass.
pub(crate) struct Forward<'a, C: Compute> {
    /// The residual stream after the last block, before the last normalisation: `[rows, hidden]`.
    pub(crate) stream: C::Rows,
    traces: Vec<Trace<'a, C>>,
    rotations: Rotations<C>,
    layouts: Vec<C::Layout>,
}

impl Transformer {
    fn rotations<C: Compute>(&self, c: &C, positions: &[usize]) -> Rotations<C> {
        let all = self.frequencies.iter();
        let rotation = |frequencies| c.rotation(frequencies, positions);
        Rotations(all.map(rotation).collect())
    }

    /// How a layer rotates.
    fn rotation<'a, C: Compute>(
        &self,
        rotations: &'a Rotations<C>,
        layer: usize,
    ) -> Option<&'a C::Rotation> {
        self.kinds[layer].frequencies.map(|kind| &rotations.0[kind])
    }

    fn layouts<C: Compute>(&self, c: &C, packing: &Packing) -> Vec<C::Layout> {
        let all = self.heads.iter();
        all.map(|&heads| c.layout(packing, heads)).collect()
    }

    /// Attention of a layer over packed rows.
    fn attend<C: Compute>(
        &self,
        c: &C,
        layouts: &[C::Layout],
        layer: usize,
        qkv: &Qkv<C::Rows>,
    ) -> (C::Rows, C::Attended) {
        let kind = self.kinds[layer].heads;
        c.attention(qkv, &layouts[kind], self.heads[kind])
    }

    /// The blocks on one row a token: what the embedding gives for `ids`, at `positions`, attending
    /// by `attend` to what a cache holds; `see` gets what a gradient would need. Both are told the block. The residual
    /// stream after the last block.
    pub(crate) fn stream<C: Compute>(
        &self,
        c: &C,
        ids: &C::Ids,
        positions: &[usize],
        attend: impl FnMut(usize, &Qkv<C::Rows>) -> (C::Rows, C::Attended),
        see: impl FnMut(usize, Kept<C>),
    ) -> C::Rows {
        let rotations = self.rotations(c, positions);
        self.blocks_on(c, ids, (&rotations, Form::Cached), None, attend, see)
    }

    /// The experts that are given to the rows of a layer.
    fn given(&self, packing: &Packing, layer: usize) -> Option<Vec<u16>> {
        let (routes, experts) = (packing.routes.as_ref()?, self.kinds[layer].experts?);
        Some(routes.of_layer(experts, packing.len()))
    }

    /// What the embedding gives for some ids.
    fn embed<C: Compute>(&self, c: &C, ids: &C::Ids) -> C::Rows {
        let rows = c.embed(&self.embedding, ids);
        if self.embedding_scale == 1.0 {
            rows
        } else {
            c.scale(rows, self.embedding_scale)
        }
    }

    fn blocks_on<C: Compute>(
        &self,
        c: &C,
        ids: &C::Ids,
        (rotations, form): (&Rotations<C>, Form),
        packing: Option<&Packing>,
        mut attend: impl FnMut(usize, &Qkv<C::Rows>) -> (C::Rows, C::Attended),
        mut keep: impl FnMut(usize, Kept<C>),
    ) -> C::Rows {
        let mut x = self.embed(c, ids);
        for (index, block) in self.blocks.iter().enumerate() {
            let rotation = self.rotation(rotations, index);
            let rotated = (rotation, form);
            let given = packing.and_then(|packing| self.given(packing, index));
            let attend = |qkv: &Qkv<C::Rows>| attend(index, qkv);
            let (out, kept) = block.forward(c, x, rotated, given.as_deref(), attend);
            keep(index, kept);
            x = out;
        }
        x
    }

    /// The residual stream after the last block, of packed tokens; `see` gets what a gradient would
    /// need, block by block.
    pub(crate) fn stream_packed<C: Compute>(
        &self,
        c: &C,
        packing: &Packing,
        see: impl FnMut(usize, Kept<C>),
    ) -> C::Rows {
        let layouts = self.layouts(c, packing);
        let attend = |layer: usize, qkv: &Qkv<C::Rows>| self.attend(c, &layouts, layer, qkv);
        let ids = c.ids(&packing.ids);
        let rotations = self.rotations(c, &packing.positions);
        let rotated = (&rotations, Form::Expanded);
        self.blocks_on(c, &ids, rotated, Some(packing), attend, see)
    }

    /// Runs packed tokens.
    pub(crate) fn forward<C: Compute>(
        &self,
        c: &C,
        packing: &Packing,
        activations: Activations,
    ) -> Forward<'static, C> {
        let rotations = self.rotations(c, &packing.positions);
        let layouts = self.layouts(c, packing);
        let mut traces = Vec::with_capacity(self.blocks.len());
        let attend = |layer: usize, qkv: &Qkv<C::Rows>| self.attend(c, &layouts, layer, qkv);
        let ids = c.ids(&packing.ids);
        let rotated = (&rotations, Form::Expanded);
        let stream = self.blocks_on(c, &ids, rotated, Some(packing), attend, |_, kept| {
            traces.push(match activations {
                Activations::All => Trace::All(kept),
                Activations::Inputs => Trace::Input(kept.into_input()),
            });
        });
        Forward {
            stream,
            traces,
            rotations,
            layouts,
        }
    }

    /// The forward pass of packed tokens that a sampler has computed, each at a place on its tape.
    /// Block `i` is layer `i` there, and the stream after them the layer behind.
    pub(crate) fn recall<'a, C: Compute>(
        &'a self,
        c: &C,
        packing: &Packing,
        tokens: &'a [(&'a C::Tape, usize)],
    ) -> Forward<'a, C> {
        let trace = |layer: usize| {
            let fetch = move || {
                let mut parts = 0..;
                self.blocks[layer].recall(|| {
                    let part = parts.next().expect("it has no end");
                    C::Tape::gather(tokens, layer, part)
                })
            };
            Trace::Elsewhere(Box::new(fetch) as Box<dyn FnOnce() -> Kept<C> + 'a>)
        };
        Forward {
            stream: C::Tape::gather(tokens, self.blocks.len(), 0),
            traces: (0..self.blocks.len()).map(trace).collect(),
            rotations: self.rotations(c, &packing.positions),
            layouts: self.layouts(c, packing),
        }
    }

    /// Adds the gradients of every trained weight below the last normalisation, when `by_stream`
    /// is the gradient by [`Forward::stream`].
    pub(crate) fn backward<C: Compute>(
        &self,
        c: &C,
        packing: &Packing,
        forward: Forward<C>,
        by_stream: C::Rows,
        gradients: &mut Gradients,
    ) {
        let Forward {
            stream: _,
            traces,
            rotations,
            layouts,
        } = forward;
        let mut by_x = by_stream;
        for (index, (block, trace)) in self.blocks.iter().zip(traces).enumerate().rev() {
            let rotation = self.rotation(&rotations, index);
            let kept = match trace {
                Trace::All(kept) => kept,
                Trace::Input(x) => {
                    let attend = |qkv: &Qkv<C::Rows>| self.attend(c, &layouts, index, qkv);
                    let given = self.given(packing, index);
                    let rotated = (rotation, Form::Expanded);
                    block.forward(c, x, rotated, given.as_deref(), attend).1
                }
                Trace::Elsewhere(fetch) => fetch(),
            };
            let place = Place {
                rotation,
                layout: &layouts[self.kinds[index].heads],
                // Below the first block is the embedding, which is frozen when adapters are trained.
                below: index > 0 || gradients.trained == Trained::All,
            };
            match block.backward(c, kept, by_x, &place, gradients) {
                Some(by_input) => by_x = by_input,
                None => return,
            }
        }
        if gradients.trained == Trained::All {
            if self.embedding_scale != 1.0 {
                by_x = c.scale(by_x, self.embedding_scale);
            }
            gradients.sums.change(EMBEDDING, &self.embedding, |sum| {
                c.embed_backward(sum, &packing.ids, &by_x)
            });
        }
    }
}
