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
    Cached, Compute, Heads, Qkv,
    buffers::from_host,
    cache::{Cache, Extent, Runs},
    draw::Burst,
};

/// Columns are used in multiples of this, so that kernels meet few different shapes.
const BUCKET: usize = 64;

/// Keys and values of a prompt in every layer: `[tokens, kv heads * (query_dim or value_dim)]` each. Where values are
/// the first values of keys, there are keys alone.
#[derive(Debug)]
pub(crate) struct Prefix {
    layers: Vec<(Tensor<2>, Option<Tensor<2>>)>,
    length: usize,
}

/// Keys and values of one layer.
#[derive(Debug)]
struct Layer {
    heads: Heads,
    /// `[slots, kv heads, columns, query_dim]`.
    key: Tensor<4>,
    /// `[slots, kv heads, columns, value_dim]`; without it, values are the first values of keys.
    value: Option<Tensor<4>>,
}

/// Places for completions.
#[derive(Debug)]
pub(crate) struct Ring {
    layers: Vec<Layer>,
    /// Columns for prompts.
    prompt: usize,
    /// Columns of the ring.
    ring: usize,
    /// Steps made.
    steps: usize,
    /// Of each slot: tokens of its prompt, and the step at which it was admitted.
    slots: Vec<(usize, usize)>,
    /// What each slot may see at this step with which window, once a layer has asked for it.
    masks: Vec<(Option<usize>, Tensor<4>)>,
    device: Device,
}

impl Ring {
    /// Columns that hold anything, rounded up.
    fn columns(&self) -> usize {
        self.prompt + (self.steps + 1).next_multiple_of(BUCKET).min(self.ring)
    }

    /// What each slot may see in a layer with such heads once this step's token is stored, made at
    /// most once a step: `[slots, 1, 1, columns]`.
    fn mask(&mut self, heads: Heads) -> Tensor<4> {
        let mut masks = self.masks.iter();
        if let Some((_, mask)) = masks.find(|(window, _)| *window == heads.window) {
            return mask.clone();
        }
        let columns = self.columns();
        let mut mask = vec![MASKED; self.slots.len() * columns];
        for (mask, &(prompt, since)) in mask.chunks_exact_mut(columns).zip(&self.slots) {
            let tokens = (self.steps + 1 - since).min(self.ring);
            // Counted from the first token of the prompt.
            let first = heads.first_seen(prompt + tokens - 1);
            mask[first.min(prompt)..prompt].fill(0.0);
            let hidden = first.saturating_sub(prompt);
            for step in self.steps + 1 - tokens + hidden..=self.steps {
                mask[self.prompt + step % self.ring] = 0.0;
            }
        }
        let shape = [self.slots.len(), 1, 1, columns];
        let mask = from_host::<4>(mask, shape, &self.device);
        self.masks.push((heads.window, mask.clone()));
        mask
    }
}

impl Cache<Tensors> for Ring {
    type Prefix = Prefix;

    fn new(c: &Tensors, extent: Extent) -> Self {
        let Extent {
            slots,
            prompt,
            completion,
            heads,
        } = extent;
        let prompt = prompt.next_multiple_of(BUCKET);
        // A burst may run past the end of a completion.
        let completion = completion + <Tensors as Compute>::Burst::TOKENS;
        let ring = completion.next_multiple_of(BUCKET);
        let zeros =
            |heads: Heads, dim| Tensor::zeros([slots, heads.kv, prompt + ring, dim], &c.device);
        let layer = |heads: Heads| Layer {
            heads,
            key: zeros(heads, heads.query_dim),
            value: (!heads.joined).then(|| zeros(heads, heads.value_dim)),
        };
        Self {
            layers: heads.into_iter().map(layer).collect(),
            prompt,
            ring,
            steps: 0,
            slots: vec![(0, 0); slots],
            masks: Vec::new(),
            device: c.device.clone(),
        }
    }

    fn prefix(tokens: usize) -> Prefix {
        Prefix {
            layers: Vec::new(),
            length: tokens,
        }
    }

    fn extend(prefix: &mut Prefix, cached: Cached<Tensor<2>>, rows: Range<usize>) {
        let part = |x: &Tensor<2>| x.clone().narrow(0, rows.start, rows.len());
        if !rows.is_empty() {
            prefix
                .layers
                .push((part(cached.key), cached.value.map(part)));
        }
    }

    fn admit(&mut self, slot: usize, prefix: &Arc<Prefix>) {
        let tokens = prefix.length;
        for (layer, (key, value)) in self.layers.iter_mut().zip(&prefix.layers) {
            let Heads { kv, .. } = layer.heads;
            let store = |all: &mut Tensor<4>, x: &Tensor<2>, dim: usize| {
                let x = x.clone().reshape([1, tokens, kv, dim]).swap_dims(1, 2);
                let place = [slot..slot + 1, 0..kv, 0..tokens, 0..dim];
                all.inplace(|all| all.slice_assign(place, x));
            };
            store(&mut layer.key, key, layer.heads.query_dim);
            if let (Some(all), Some(value)) = (&mut layer.value, value) {
                store(all, value, layer.heads.value_dim);
            }
        }
        self.slots[slot] = (prefix.length, self.steps);
        self.masks.clear();
    }

    fn leave(&mut self, _: usize) {}

    /// Every slot, so that shapes stay the same.
    fn computed(&self, _: &[usize]) -> Vec<usize> {
        (0..self.slots.len()).collect()
    }

    fn attend(&mut self, layer: usize, _: &[usize], qkv: &Qkv<Tensor<2>>) -> (Tensor<2>, ()) {
        let heads = self.layers[layer].heads;
        let mask = self.mask(heads);
        let slots = self.slots.len();
        let column = self.prompt + self.steps % self.ring;
        let columns = self.columns();
        let layer = &mut self.layers[layer];
        let store = |all: &mut Tensor<4>, x: &Tensor<2>, dim: usize| {
            let x = x.clone().reshape([slots, heads.kv, 1, dim]);
            let place = [0..slots, 0..heads.kv, column..column + 1, 0..dim];
            all.inplace(|all| all.slice_assign(place, x));
        };
        store(&mut layer.key, &qkv.key, heads.query_dim);
        if let (Some(all), Some(value)) = (&mut layer.value, &qkv.value) {
            store(all, value, heads.value_dim);
        }
        let seen = |x: &Tensor<4>| x.clone().narrow(2, 0, columns);
        let query = qkv
            .query
            .clone()
            .reshape([slots, heads.kv, heads.group(), heads.query_dim]);
        let scores = query.matmul(seen(&layer.key).transpose());
        let scores = scores.mul_scalar(heads.scale) + mask;
        let value = match &layer.value {
            Some(value) => seen(value),
            None => seen(&layer.key).narrow(3, 0, heads.value_dim),
        };
        let mixed = softmax(scores, 3).matmul(value);
        (mixed.reshape([slots, heads.query * heads.value_dim]), ())
    }

    fn advance(&mut self, _: &[usize]) {
        self.steps += 1;
        self.masks.clear();
    }

    /// Every slot writes to the same column at the same step: there is none for what comes in between.
    fn runs(&mut self) -> Option<&mut dyn Runs<Tensors>> {
        None
    }
}
