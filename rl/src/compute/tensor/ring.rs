//! Keys and values of completions under way, with shapes that do not change from token to token.
//!
//! The columns of the cache are a prompt part, filled when a completion is admitted, and a ring of
//! as many columns as a completion may have tokens. At every step all slots write to the same
//! column of the ring, so storing is one slice assignment, and a new completion can take over a
//! slot at any time: it sees only the columns written since.

use std::{ops::Range, sync::Arc};

use burn::tensor::{Device, Tensor, activation::softmax};

use super::{MASKED, Tensors};
use crate::compute::{
    Compute, Heads, Qkv,
    buffers::from_host,
    cache::{Cache, Extent},
    draw::Burst,
};

/// Columns are used in multiples of this, so that kernels meet few different shapes.
const BUCKET: usize = 64;

/// Keys and values of a prompt in every layer: `[tokens, kv heads * dim]` each.
#[derive(Debug)]
pub(crate) struct Prefix {
    layers: Vec<(Tensor<2>, Tensor<2>)>,
    length: usize,
}

/// Keys and values of one layer, `[slots, kv heads, columns, dim]` each.
#[derive(Debug)]
struct Layer {
    key: Tensor<4>,
    value: Tensor<4>,
}

/// Places for completions.
#[derive(Debug)]
pub(crate) struct Ring {
    layers: Vec<Layer>,
    heads: Heads,
    /// Columns for prompts.
    prompt: usize,
    /// Columns of the ring.
    ring: usize,
    /// Steps made.
    steps: usize,
    /// Of each slot: tokens of its prompt, and the step at which it was admitted.
    slots: Vec<(usize, usize)>,
    /// What each slot may see at this step, once a layer has asked for it.
    mask: Option<Tensor<4>>,
    device: Device,
}

impl Ring {
    /// Columns that hold anything, rounded up.
    fn columns(&self) -> usize {
        self.prompt + (self.steps + 1).next_multiple_of(BUCKET).min(self.ring)
    }

    /// What each slot may see once this step's token is stored: `[slots, 1, 1, columns]`.
    fn mask(&self) -> Tensor<4> {
        let columns = self.columns();
        let mut mask = vec![MASKED; self.slots.len() * columns];
        for (mask, &(prompt, since)) in mask.chunks_exact_mut(columns).zip(&self.slots) {
            mask[..prompt].fill(0.0);
            let tokens = (self.steps + 1 - since).min(self.ring);
            for step in self.steps + 1 - tokens..=self.steps {
                mask[self.prompt + step % self.ring] = 0.0;
            }
        }
        from_host(mask, [self.slots.len(), 1, 1, columns], &self.device)
    }
}

impl Cache<Tensors> for Ring {
    type Prefix = Prefix;

    fn new(c: &Tensors, extent: Extent) -> Self {
        let Extent {
            slots,
            prompt,
            completion,
            layers,
            heads,
        } = extent;
        let prompt = prompt.next_multiple_of(BUCKET);
        // A burst may run past the end of a completion.
        let completion = completion + <Tensors as Compute>::Burst::TOKENS;
        let ring = completion.next_multiple_of(BUCKET);
        let shape = [slots, heads.kv, prompt + ring, heads.dim];
        let layer = |_| Layer {
            key: Tensor::zeros(shape, &c.device),
            value: Tensor::zeros(shape, &c.device),
        };
        Self {
            layers: (0..layers).map(layer).collect(),
            heads,
            prompt,
            ring,
            steps: 0,
            slots: vec![(0, 0); slots],
            mask: None,
            device: c.device.clone(),
        }
    }

    fn prefix(tokens: usize) -> Prefix {
        Prefix {
            layers: Vec::new(),
            length: tokens,
        }
    }

    fn extend(prefix: &mut Prefix, qkv: &Qkv<Tensor<2>>, rows: Range<usize>) {
        let part = |x: &Tensor<2>| x.clone().narrow(0, rows.start, rows.len());
        if !rows.is_empty() {
            prefix.layers.push((part(&qkv.key), part(&qkv.value)));
        }
    }

    fn admit(&mut self, slot: usize, prefix: &Arc<Prefix>) {
        let Heads { kv, dim, .. } = self.heads;
        let place = [slot..slot + 1, 0..kv, 0..prefix.length, 0..dim];
        let by_head = |x: &Tensor<2>| {
            let x = x.clone().reshape([1, prefix.length, kv, dim]);
            x.swap_dims(1, 2)
        };
        for (layer, (key, value)) in self.layers.iter_mut().zip(&prefix.layers) {
            layer
                .key
                .inplace(|all| all.slice_assign(place.clone(), by_head(key)));
            layer
                .value
                .inplace(|all| all.slice_assign(place.clone(), by_head(value)));
        }
        self.slots[slot] = (prefix.length, self.steps);
        self.mask = None;
    }

    fn leave(&mut self, _: usize) {}

    /// Every slot, so that shapes stay the same.
    fn computed(&self, _: &[usize]) -> Vec<usize> {
        (0..self.slots.len()).collect()
    }

    fn attend(&mut self, layer: usize, _: &[usize], qkv: &Qkv<Tensor<2>>) -> (Tensor<2>, ()) {
        let mask = self.mask.take().unwrap_or_else(|| self.mask());
        self.mask = Some(mask.clone());
        let Heads { kv, dim, .. } = self.heads;
        let slots = self.slots.len();
        let column = self.prompt + self.steps % self.ring;
        let place = [0..slots, 0..kv, column..column + 1, 0..dim];
        let columns = self.columns();
        let layer = &mut self.layers[layer];
        let by_head = |x: &Tensor<2>| x.clone().reshape([slots, kv, 1, dim]);
        layer
            .key
            .inplace(|all| all.slice_assign(place.clone(), by_head(&qkv.key)));
        layer
            .value
            .inplace(|all| all.slice_assign(place.clone(), by_head(&qkv.value)));
        let seen = |x: &Tensor<4>| x.clone().narrow(2, 0, columns);
        let query = qkv
            .query
            .clone()
            .reshape([slots, kv, self.heads.group(), dim]);
        let scores = query.matmul(seen(&layer.key).transpose());
        let scores = scores.mul_scalar(self.heads.scale()) + mask;
        let mixed = softmax(scores, 3).matmul(seen(&layer.value));
        (mixed.reshape([slots, self.heads.query * dim]), ())
    }

    fn advance(&mut self, _: &[usize]) {
        self.steps += 1;
        self.mask = None;
    }
}
