//! A transformer out of named tensors.

use burn::tensor::{Device, Tensor};

use super::{EMBEDDING, Transformer};
use crate::{
    compute::Engine,
    model::{
        block::Block,
        config::ModelConfig,
        layers::{Linear, RmsNorm},
        parameters::from_host,
        position::frequencies,
        weights::{HostTensor, WeightError, WeightSource},
    },
};

impl Transformer {
    /// Reads every weight of `config` from `source`.
    ///
    /// # Errors
    /// A tensor that is missing, of another shape or unreadable.
    pub fn load(
        config: ModelConfig,
        source: &WeightSource,
        device: &Device,
    ) -> Result<Self, WeightError> {
        Self::build(config, device, |name, shape| source.read(name, shape))
    }

    /// A model whose weights are what `tensor` gives for each name and shape.
    ///
    /// # Errors
    /// The first error of `tensor`.
    pub fn build<E>(
        config: ModelConfig,
        device: &Device,
        mut tensor: impl FnMut(&str, &[usize]) -> Result<HostTensor, E>,
    ) -> Result<Self, E> {
        let c = &config;
        let mut matrix = |name: &str, out: usize, inner: usize| {
            tensor(name, &[out, inner]).map(|t| from_host::<2>(t.values, [out, inner], device))
        };
        let embedding = matrix(EMBEDDING, c.vocab_size, c.hidden_size)?;
        let head = match c.tie_word_embeddings {
            true => None,
            false => Some(matrix("lm_head.weight", c.vocab_size, c.hidden_size)?),
        };
        let mut build = Builder {
            config: c,
            device,
            tensor: &mut tensor,
        };
        let blocks = (0..c.num_hidden_layers)
            .map(|index| build.block(index))
            .collect::<Result<Vec<_>, E>>()?;
        let norm = build.norm("model.norm", c.hidden_size)?;
        let frequencies = frequencies(c);
        Ok(Self {
            engine: Engine::on(device),
            embedding,
            blocks,
            norm,
            head,
            frequencies,
            lora: None,
            config,
        })
    }
}

/// Asks for the weights of each block by name and shape.
struct Builder<'a, F> {
    config: &'a ModelConfig,
    device: &'a Device,
    tensor: &'a mut F,
}

impl<E, F: FnMut(&str, &[usize]) -> Result<HostTensor, E>> Builder<'_, F> {
    fn vector(&mut self, name: &str, width: usize) -> Result<Tensor<1>, E> {
        let host = (self.tensor)(name, &[width])?;
        Ok(from_host(host.values, [width], self.device))
    }

    fn norm(&mut self, name: &str, width: usize) -> Result<RmsNorm, E> {
        Ok(RmsNorm {
            name: name.to_owned(),
            weight: self.vector(&format!("{name}.weight"), width)?,
            epsilon: self.config.rms_norm_eps,
        })
    }

    fn linear(&mut self, name: &str, out: usize, inner: usize, bias: bool) -> Result<Linear, E> {
        let host = (self.tensor)(&format!("{name}.weight"), &[out, inner])?;
        let bias = match bias {
            true => Some(self.vector(&format!("{name}.bias"), out)?),
            false => None,
        };
        Ok(Linear {
            name: name.to_owned(),
            weight: from_host(host.values, [out, inner], self.device),
            bias,
            adapter: None,
        })
    }

    fn block(&mut self, index: usize) -> Result<Block, E> {
        let c = self.config;
        let (hidden, inner, dim) = (c.hidden_size, c.intermediate_size, c.head_dim);
        let (heads, kv_heads) = (c.num_attention_heads, c.num_key_value_heads);
        let layer = format!("model.layers.{index}");
        let attention = format!("{layer}.self_attn");
        let mlp = format!("{layer}.mlp");
        let (query_norm, key_norm) = match c.qk_norm {
            true => (
                Some(self.norm(&format!("{attention}.q_norm"), dim)?),
                Some(self.norm(&format!("{attention}.k_norm"), dim)?),
            ),
            false => (None, None),
        };
        let bias = c.attention_bias;
        Ok(Block {
            attention_norm: self.norm(&format!("{layer}.input_layernorm"), hidden)?,
            query: self.linear(&format!("{attention}.q_proj"), heads * dim, hidden, bias)?,
            key: self.linear(&format!("{attention}.k_proj"), kv_heads * dim, hidden, bias)?,
            value: self.linear(&format!("{attention}.v_proj"), kv_heads * dim, hidden, bias)?,
            output: self.linear(&format!("{attention}.o_proj"), hidden, heads * dim, false)?,
            query_norm,
            key_norm,
            feed_forward_norm: self.norm(&format!("{layer}.post_attention_layernorm"), hidden)?,
            gate: self.linear(&format!("{mlp}.gate_proj"), inner, hidden, false)?,
            up: self.linear(&format!("{mlp}.up_proj"), inner, hidden, false)?,
            down: self.linear(&format!("{mlp}.down_proj"), hidden, inner, false)?,
        })
    }
}
