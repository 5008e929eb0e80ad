//! The decoder-only transformer: one forward pass for sampling, scoring and training, and its
//! backward pass, both written once for every device.
//!
//! | file | subject |
//! |---|---|
//! | this one | what it is made of |
//! | `build` | out of named tensors |
//! | `pass` | forward and backward |
//! | `weights` | the weights by name, with and without adapters, in a precision |

mod build;
mod pass;
mod weights;

use burn::tensor::{Device, Tensor};

use super::{
    attention::Form,
    block::{Block, Kept},
    config::ModelConfig,
    gradients::Trained,
    lora::Lora,
    names::{EMBEDDING, HEAD},
    norm::RmsNorm,
    routed_experts::RoutedShape,
};
use crate::compute::{
    Cached, Compute, Engine, Frequencies, Heads, elementwise::log_softmax, packing::Packing,
    with_compute,
};

pub use pass::Activations;
pub(crate) use pass::Forward;

/// A decoder-only language model. Cloning it shares the weights.
#[derive(Debug, Clone)]
pub struct Transformer {
    config: ModelConfig,
    /// `[vocabulary, hidden]`.
    embedding: Tensor<2>,
    /// What its rows are multiplied by where they enter the stream.
    embedding_scale: f32,
    blocks: Vec<Block>,
    norm: RmsNorm,
    /// `[vocabulary, hidden]`; `None` when the embedding serves as head too.
    head: Option<Tensor<2>>,
    /// The different ways in which positions are rotated.
    frequencies: Vec<Frequencies>,
    /// The different ways in which heads are laid out.
    heads: Vec<Heads>,
    /// Which of these each layer has.
    kinds: Vec<Kind>,
    engine: Engine,
    lora: Option<Lora>,
}

/// What a layer has in common with others.
#[derive(Debug, Clone, Copy)]
struct Kind {
    /// Place of its frequencies, if it rotates.
    frequencies: Option<usize>,
    /// Place of its heads.
    heads: usize,
    /// Which of the layers with experts it is, if it has any.
    experts: Option<usize>,
}

impl Transformer {
    /// The architecture.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Where the weights are.
    pub fn device(&self) -> Device {
        self.embedding.device()
    }

    /// Which arithmetic runs it.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The same model under another arithmetic; both give the same results up to rounding.
    pub fn with_engine(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    /// Its low-rank adapters, if it has any.
    pub fn lora(&self) -> Option<&Lora> {
        self.lora.as_ref()
    }

    /// Which of its weights are trained.
    pub fn trained(&self) -> Trained {
        match self.lora {
            Some(_) => Trained::Adapters,
            None => Trained::All,
        }
    }

    /// The matrix that turns hidden states into logits: `[vocabulary, hidden]`.
    pub fn head_weight(&self) -> &Tensor<2> {
        self.head.as_ref().unwrap_or(&self.embedding)
    }

    /// The name under which the gradient of [`Self::head_weight`] is kept.
    pub fn head_name(&self) -> &'static str {
        match self.head {
            Some(_) => HEAD,
            None => EMBEDDING,
        }
    }

    /// Log-probabilities of every token after each token of one sequence, in nats: `tokens` rows of
    /// `vocabulary` values, by the model's own arithmetic.
    pub fn logprobs(&self, ids: &[u32]) -> Vec<Vec<f32>> {
        let packing = Packing::of_prompts([ids]);
        let rows: Vec<usize> = (0..packing.len()).collect();
        with_compute!(self, |c| {
            let stream = self.stream_packed(&c, &packing, |_, _| {});
            let hidden = self.last_norm().forward(&c, &stream);
            let mut logits = c.project(&hidden, self.head_weight());
            c.look(&mut logits, &rows, |_, logits| log_softmax(logits))
        })
    }

    /// What is to be recorded of its routers' choices; `None` without experts.
    pub fn routed_shape(&self) -> Option<RoutedShape> {
        let mut routers = self.blocks.iter().filter_map(Block::router);
        let first = routers.next()?;
        Some(RoutedShape {
            layers: 1 + routers.count(),
            experts: first.experts,
            chosen: first.chosen,
        })
    }

    /// The heads of each layer, as a cache has them.
    pub(crate) fn cached_heads(&self) -> Vec<Heads> {
        let blocks = self.blocks.iter();
        blocks.map(|block| block.heads(Form::Cached)).collect()
    }

    /// Shows what a cache stores of the rows of a pass through a layer to `f`.
    pub(crate) fn cached<C: Compute>(
        &self,
        c: &C,
        layer: usize,
        kept: &Kept<C>,
        f: impl FnMut(Cached<C::Rows>),
    ) {
        self.blocks[layer].cached(c, kept, f);
    }

    pub(crate) fn last_norm(&self) -> &RmsNorm {
        &self.norm
    }
}
