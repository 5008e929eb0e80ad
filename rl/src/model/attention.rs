//! Grouped-query attention with rotary positions.

use burn::tensor::{Tensor, activation::softmax};

use super::{
    cache::LayerCache,
    layers::{Linear, RmsNorm},
    parameters::ParameterVisitor,
    rope::Rotation,
};

/// Grouped-query attention (Ainslie et al., arXiv 2305.13245): `groups` query heads share one
/// key-value head. Keys and values are never expanded: the query heads of a group are stacked
/// as further query rows instead.
#[derive(Debug, Clone)]
pub(crate) struct GroupedQueryAttention {
    pub(crate) query: Linear,
    pub(crate) key: Linear,
    pub(crate) value: Linear,
    pub(crate) output: Linear,
    /// Normalisation of each query head before rotation (Qwen3).
    pub(crate) query_norm: Option<RmsNorm>,
    /// Normalisation of each key head before rotation (Qwen3).
    pub(crate) key_norm: Option<RmsNorm>,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
}

impl GroupedQueryAttention {
    /// `x` holds `batch` rows of equally many tokens, flattened.
    ///
    /// # Shapes
    /// - x and output: `[batch * tokens, hidden]`
    /// - mask: `[1 or batch, 1, 1 or groups * tokens, keys]`, added to the scores
    pub(crate) fn forward(
        &self,
        x: Tensor<2>,
        batch: usize,
        rotation: &Rotation,
        mask: Option<&Tensor<4>>,
        cache: Option<&mut LayerCache>,
    ) -> Tensor<2> {
        let [rows, _] = x.dims();
        let (tokens, head_dim, kv_heads) = (rows / batch, self.head_dim, self.kv_heads);
        let heads = self.query.weight.dims()[0] / head_dim;
        let groups = heads / kv_heads;

        let split = |y: Tensor<2>, heads: usize| y.reshape([rows, heads, head_dim]);
        let mut query = split(self.query.forward(x.clone()), heads);
        let mut key = split(self.key.forward(x.clone()), kv_heads);
        let value = split(self.value.forward(x), kv_heads);
        if let Some(norm) = &self.query_norm {
            query = norm.forward(query);
        }
        if let Some(norm) = &self.key_norm {
            key = norm.forward(key);
        }
        let query = rotation
            .apply(query)
            .mul_scalar(1.0 / (head_dim as f32).sqrt());
        let key = rotation.apply(key);

        // [rows, kv_heads, head_dim] -> [batch, kv_heads, tokens, head_dim]
        let by_head = |y: Tensor<3>| {
            y.reshape([batch, tokens, kv_heads, head_dim])
                .swap_dims(1, 2)
        };
        let (mut key, mut value) = (by_head(key), by_head(value));
        if let Some(cache) = cache {
            (key, value) = cache.append(key, value);
        }
        // [rows, heads, head_dim] -> [batch, kv_heads, groups * tokens, head_dim]
        let query = query
            .reshape([batch, tokens, kv_heads, groups, head_dim])
            .permute([0, 2, 3, 1, 4])
            .reshape([batch, kv_heads, groups * tokens, head_dim]);

        let mut scores = query.matmul(key.transpose());
        if let Some(mask) = mask {
            scores = scores + mask.clone();
        }
        let mixed = softmax(scores, 3)
            .matmul(value)
            .reshape([batch, kv_heads, groups, tokens, head_dim])
            .permute([0, 3, 1, 2, 4])
            .reshape([rows, heads * head_dim]);
        self.output.forward(mixed)
    }

    pub(crate) fn visit(&mut self, prefix: &str, f: &mut impl ParameterVisitor) {
        self.query.visit(&format!("{prefix}.q_proj"), f);
        self.key.visit(&format!("{prefix}.k_proj"), f);
        self.value.visit(&format!("{prefix}.v_proj"), f);
        self.output.visit(&format!("{prefix}.o_proj"), f);
        if let Some(norm) = &mut self.query_norm {
            norm.visit(&format!("{prefix}.q_norm"), f);
        }
        if let Some(norm) = &mut self.key_norm {
            norm.visit(&format!("{prefix}.k_norm"), f);
        }
    }
}
