//! The key-value cache: what attention has already computed of the tokens before.

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::config::ModelConfig;

/// Keys and values of one layer, in buffers of fixed capacity that are written in place.
#[derive(Debug)]
pub(crate) struct LayerCache {
    /// `[batch, kv_heads, capacity, head_dim]`.
    key: Tensor<4>,
    /// `[batch, kv_heads, capacity, head_dim]`.
    value: Tensor<4>,
    length: usize,
}

impl LayerCache {
    /// Adds the keys and values of new tokens and returns those of all tokens so far.
    ///
    /// # Shapes
    /// - input: `[batch, kv_heads, tokens, head_dim]`
    /// - output: `[batch, kv_heads, length, head_dim]`
    pub(crate) fn append(&mut self, key: Tensor<4>, value: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let [batch, heads, tokens, dim] = key.dims();
        let (start, end) = (self.length, self.length + tokens);
        let capacity = self.key.dims()[2];
        assert!(
            end <= capacity,
            "key-value cache of {capacity} tokens asked to hold {end}"
        );
        let place = [0..batch, 0..heads, start..end, 0..dim];
        self.key.inplace(|all| all.slice_assign(place.clone(), key));
        self.value.inplace(|all| all.slice_assign(place, value));
        self.length = end;
        (
            self.key.clone().narrow(2, 0, end),
            self.value.clone().narrow(2, 0, end),
        )
    }
}

/// The keys and values of every layer for a batch of sequences that grow together.
///
/// All rows have the same number of columns; a row with a shorter prompt is padded on the left
/// and the padding masked.
#[derive(Debug)]
pub struct KvCache {
    pub(crate) layers: Vec<LayerCache>,
}

impl KvCache {
    /// An empty cache for `batch` rows of at most `capacity` tokens.
    pub fn new(config: &ModelConfig, batch: usize, capacity: usize, device: &Device) -> Self {
        let shape = [batch, config.num_key_value_heads, capacity, config.head_dim];
        let layers = (0..config.num_hidden_layers)
            .map(|_| LayerCache {
                key: Tensor::zeros(shape, device),
                value: Tensor::zeros(shape, device),
                length: 0,
            })
            .collect();
        Self { layers }
    }

    /// Columns filled so far.
    pub fn len(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.length)
    }

    /// Whether no token was stored yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A cache of the given rows, in that order; a row may be taken several times (a prompt
    /// shared by its group) or not at all (a finished completion). `capacity` may differ.
    pub fn select_rows(&self, rows: &[usize], capacity: usize) -> Self {
        let layers = self
            .layers
            .iter()
            .map(|layer| {
                let device = layer.key.device();
                let index = row_index(rows, &device);
                let grow = |all: &Tensor<4>| {
                    let [_, heads, now, dim] = all.dims();
                    if now == capacity {
                        return all.clone().select(0, index.clone());
                    }
                    let length = layer.length;
                    let kept = all.clone().narrow(2, 0, length).select(0, index.clone());
                    Tensor::zeros([rows.len(), heads, capacity, dim], &device)
                        .slice_assign([0..rows.len(), 0..heads, 0..length, 0..dim], kept)
                };
                LayerCache {
                    key: grow(&layer.key),
                    value: grow(&layer.value),
                    length: layer.length,
                }
            })
            .collect();
        Self { layers }
    }
}

fn row_index(rows: &[usize], device: &Device) -> Tensor<1, Int> {
    let rows: Vec<i32> = rows.iter().map(|&row| row as i32).collect();
    let count = rows.len();
    Tensor::from_data(TensorData::new(rows, [count]), device)
}
