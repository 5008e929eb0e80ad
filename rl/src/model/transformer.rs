//! The decoder-only transformer: one forward pass for sampling, scoring and training.

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::{
    attention::GroupedQueryAttention,
    cache::KvCache,
    config::ModelConfig,
    feed_forward::SwiGlu,
    layers::{Linear, RmsNorm},
    parameters::{CollectHost, ParameterVisitor, from_host},
    rope::Rope,
    weights::{HostTensor, WeightError, WeightSource},
};

/// Added to the scores of pairs that must not attend to each other. Finite, so that a row of
/// padding, which may attend to nothing, stays free of NaN.
const MASKED: f32 = -1e9;

#[derive(Debug, Clone)]
struct Layer {
    attention_norm: RmsNorm,
    attention: GroupedQueryAttention,
    feed_forward_norm: RmsNorm,
    feed_forward: SwiGlu,
}

/// A rectangle of tokens and where each stands in its sequence.
#[derive(Debug, Clone)]
pub struct TokenGrid {
    /// Token ids, row after row: `batch * tokens` of them.
    pub ids: Vec<u32>,
    /// Position of each token in its sequence, from 0.
    pub positions: Vec<usize>,
    /// Number of rows.
    pub batch: usize,
}

impl TokenGrid {
    /// Rows of equal length that start at position 0.
    pub fn from_start(ids: Vec<u32>, batch: usize) -> Self {
        let tokens = ids.len() / batch.max(1);
        Self {
            positions: (0..batch).flat_map(|_| 0..tokens).collect(),
            ids,
            batch,
        }
    }

    /// Tokens in a row.
    pub fn tokens(&self) -> usize {
        self.ids.len() / self.batch.max(1)
    }
}

/// A Llama-style language model. Cloning it shares the weights.
#[derive(Debug, Clone)]
pub struct Transformer {
    config: ModelConfig,
    /// `[vocabulary, hidden]`.
    embedding: Tensor<2>,
    layers: Vec<Layer>,
    norm: RmsNorm,
    /// `[vocabulary, hidden]`; `None` when the embedding serves as head too.
    head: Option<Tensor<2>>,
    rope: Rope,
}

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
        let embedding = matrix("model.embed_tokens.weight", c.vocab_size, c.hidden_size)?;
        let head = match c.tie_word_embeddings {
            true => None,
            false => Some(matrix("lm_head.weight", c.vocab_size, c.hidden_size)?),
        };
        let mut build = Builder {
            config: c,
            device,
            tensor: &mut tensor,
        };
        let layers = (0..c.num_hidden_layers)
            .map(|index| build.layer(index))
            .collect::<Result<Vec<_>, E>>()?;
        let norm = build.norm("model.norm", c.hidden_size)?;
        let rope = Rope::new(c);
        Ok(Self {
            embedding,
            layers,
            norm,
            head,
            rope,
            config,
        })
    }

    /// The architecture.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Where the weights are.
    pub fn device(&self) -> Device {
        self.embedding.device()
    }

    /// The matrix that turns hidden states into logits: `[vocabulary, hidden]`.
    pub fn head_weight(&self) -> Tensor<2> {
        self.head.as_ref().unwrap_or(&self.embedding).clone()
    }

    /// The name under which the gradient of [`Self::head_weight`] is kept.
    pub fn head_name(&self) -> &'static str {
        match self.head {
            Some(_) => "lm_head.weight",
            None => "model.embed_tokens.weight",
        }
    }

    /// Final hidden states, after the last normalisation; logits are these times
    /// [`Self::head_weight`] transposed.
    ///
    /// # Shapes
    /// - mask: see [`causal_mask`] and [`padding_mask`]
    /// - output: `[batch * tokens, hidden]`
    pub fn hidden(
        &self,
        grid: &TokenGrid,
        mask: Option<&Tensor<4>>,
        mut cache: Option<&mut KvCache>,
    ) -> Tensor<2> {
        let device = self.embedding.device();
        let ids: Vec<i32> = grid.ids.iter().map(|&id| id as i32).collect();
        let count = ids.len();
        let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [count]), &device);
        let rotation = self.rope.rotation(&grid.positions, &device);

        let mut x = self.embedding.clone().select(0, ids); // [batch * tokens, hidden]
        for (index, layer) in self.layers.iter().enumerate() {
            let cache = cache.as_deref_mut().map(|cache| &mut cache.layers[index]);
            let normed = layer.attention_norm.forward(x.clone());
            x = x + layer
                .attention
                .forward(normed, grid.batch, &rotation, mask, cache);
            let normed = layer.feed_forward_norm.forward(x.clone());
            x = x + layer.feed_forward.forward(normed);
        }
        self.norm.forward(x)
    }

    /// Shows every weight to `f`, in checkpoint order.
    pub fn visit(&mut self, f: &mut impl ParameterVisitor) {
        f.visit("model.embed_tokens.weight", &mut self.embedding);
        for (index, layer) in self.layers.iter_mut().enumerate() {
            layer.visit(&format!("model.layers.{index}"), f);
        }
        self.norm.visit("model.norm", f);
        if let Some(head) = &mut self.head {
            f.visit("lm_head.weight", head);
        }
    }

    /// The same model whose weights are leaves of an autodiff graph.
    pub fn tracked(&self) -> Self {
        struct Track;
        impl ParameterVisitor for Track {
            fn visit<const D: usize>(&mut self, _: &str, tensor: &mut Tensor<D>) {
                tensor.inplace(|tensor| tensor.autodiff().require_grad());
            }
        }
        let mut tracked = self.clone();
        tracked.visit(&mut Track);
        tracked
    }

    /// A copy of every weight on the host, by Hugging Face name.
    pub fn to_host(&self) -> Vec<(String, HostTensor)> {
        let mut collect = CollectHost::default();
        self.clone().visit(&mut collect);
        collect.tensors
    }
}

impl Layer {
    fn visit(&mut self, prefix: &str, f: &mut impl ParameterVisitor) {
        self.attention_norm
            .visit(&format!("{prefix}.input_layernorm"), f);
        self.attention.visit(&format!("{prefix}.self_attn"), f);
        self.feed_forward_norm
            .visit(&format!("{prefix}.post_attention_layernorm"), f);
        self.feed_forward.visit(&format!("{prefix}.mlp"), f);
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
            weight: from_host(host.values, [out, inner], self.device),
            bias,
        })
    }

    fn layer(&mut self, index: usize) -> Result<Layer, E> {
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
        Ok(Layer {
            attention_norm: self.norm(&format!("{layer}.input_layernorm"), hidden)?,
            attention: GroupedQueryAttention {
                query: self.linear(&format!("{attention}.q_proj"), heads * dim, hidden, bias)?,
                key: self.linear(&format!("{attention}.k_proj"), kv_heads * dim, hidden, bias)?,
                value: self.linear(&format!("{attention}.v_proj"), kv_heads * dim, hidden, bias)?,
                output: self.linear(&format!("{attention}.o_proj"), hidden, heads * dim, false)?,
                query_norm,
                key_norm,
                kv_heads,
                head_dim: dim,
            },
            feed_forward_norm: self.norm(&format!("{layer}.post_attention_layernorm"), hidden)?,
            feed_forward: SwiGlu {
                gate: self.linear(&format!("{mlp}.gate_proj"), inner, hidden, false)?,
                up: self.linear(&format!("{mlp}.up_proj"), inner, hidden, false)?,
                down: self.linear(&format!("{mlp}.down_proj"), hidden, inner, false)?,
            },
        })
    }
}

/// The mask of `tokens` new tokens a row after nothing, with `padding[row]` tokens of padding on
/// the left: no token sees one to its right, or padding.
///
/// # Shapes
/// - output: `[1 or batch, 1, groups * tokens, tokens]`, 0 or a large negative number; one row
///   for all when no row is padded
pub fn causal_mask(
    config: &ModelConfig,
    tokens: usize,
    padding: &[usize],
    device: &Device,
) -> Tensor<4> {
    let groups = config.num_attention_heads / config.num_key_value_heads;
    let padding = match padding.iter().all(|&p| p == 0) {
        true => &[0][..],
        false => padding,
    };
    let mut values = Vec::with_capacity(padding.len() * groups * tokens * tokens);
    for &pad in padding {
        for query in (0..groups).flat_map(|_| 0..tokens) {
            values.extend((0..tokens).map(|key| match key <= query && key >= pad {
                true => 0.0,
                false => MASKED,
            }));
        }
    }
    from_host(values, [padding.len(), 1, groups * tokens, tokens], device)
}

/// The mask of one new token a row against `capacity` columns of a cache, of which the first
/// `padding[row]` are padding; narrow it to the columns in use. `None` when no row is padded.
///
/// # Shapes
/// - output: `[batch, 1, 1, capacity]`
pub fn padding_mask(padding: &[usize], capacity: usize, device: &Device) -> Option<Tensor<4>> {
    if padding.iter().all(|&p| p == 0) {
        return None;
    }
    let values = padding
        .iter()
        .flat_map(|&pad| (0..capacity).map(move |key| if key < pad { MASKED } else { 0.0 }))
        .collect();
    Some(from_host(values, [padding.len(), 1, 1, capacity], device))
}
