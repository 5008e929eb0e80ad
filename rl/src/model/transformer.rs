//! The decoder-only transformer: one forward pass for sampling, scoring and training, and its
//! backward pass, both written once for every device.

mod build;

use burn::tensor::{DType, Device, Tensor};

use super::{
    block::{Block, Kept, Place},
    config::ModelConfig,
    layers::{Adapter, Gradients, Linear, RmsNorm, Trained},
    lora::Lora,
    parameters::{CollectHost, ParameterVisitor},
    precision::{Precision, PrecisionError},
    weights::HostTensor,
};
use crate::compute::{
    Compute, Engine, Frequencies, Heads, Qkv, elementwise::log_softmax, packing::Packing,
    tape::Tape, with_compute,
};

/// A Llama-style language model. Cloning it shares the weights.
#[derive(Debug, Clone)]
pub struct Transformer {
    config: ModelConfig,
    /// `[vocabulary, hidden]`.
    embedding: Tensor<2>,
    blocks: Vec<Block>,
    norm: RmsNorm,
    /// `[vocabulary, hidden]`; `None` when the embedding serves as head too.
    head: Option<Tensor<2>>,
    frequencies: Frequencies,
    engine: Engine,
    lora: Option<Lora>,
}

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

/// A forward pass, ready for its backward pass.
pub(crate) struct Forward<'a, C: Compute> {
    /// The residual stream after the last block, before the last normalisation: `[rows, hidden]`.
    pub(crate) stream: C::Rows,
    traces: Vec<Trace<'a, C>>,
    rotation: C::Rotation,
    layout: C::Layout,
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
            Some(_) => "lm_head.weight",
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

    pub(crate) fn heads(&self) -> Heads {
        let config = &self.config;
        Heads {
            query: config.num_attention_heads,
            kv: config.num_key_value_heads,
            dim: config.head_dim,
        }
    }

    pub(crate) fn last_norm(&self) -> &RmsNorm {
        &self.norm
    }

    /// The blocks on one row a token: what the embedding gives for `ids`, at `positions`, attending
    /// by `attend`; `see` gets what a gradient would need. Both are told the block. The residual
    /// stream after the last block.
    pub(crate) fn stream<C: Compute>(
        &self,
        c: &C,
        ids: &C::Ids,
        positions: &[usize],
        mut attend: impl FnMut(usize, &Qkv<C::Rows>) -> (C::Rows, C::Attended),
        see: impl FnMut(usize, Kept<C>),
    ) -> C::Rows {
        let rotation = c.rotation(&self.frequencies, positions);
        let embedded = c.embed(&self.embedding, ids);
        self.blocks_on(c, embedded, &rotation, &mut attend, see)
    }

    fn blocks_on<C: Compute>(
        &self,
        c: &C,
        mut x: C::Rows,
        rotation: &C::Rotation,
        attend: &mut impl FnMut(usize, &Qkv<C::Rows>) -> (C::Rows, C::Attended),
        mut keep: impl FnMut(usize, Kept<C>),
    ) -> C::Rows {
        let heads = self.heads();
        for (index, block) in self.blocks.iter().enumerate() {
            let (out, kept) = block.forward(c, x, rotation, heads, |qkv| attend(index, qkv));
            keep(index, kept);
            x = out;
        }
        x
    }

    /// Runs packed tokens.
    pub(crate) fn forward<C: Compute>(
        &self,
        c: &C,
        packing: &Packing,
        activations: Activations,
    ) -> Forward<'static, C> {
        let rotation = c.rotation(&self.frequencies, &packing.positions);
        let layout = c.layout(packing, self.heads());
        let mut traces = Vec::with_capacity(self.blocks.len());
        let embedded = c.embed(&self.embedding, &c.ids(&packing.ids));
        let heads = self.heads();
        let mut attend = |_: usize, qkv: &Qkv<C::Rows>| c.attention(qkv, &layout, heads);
        let stream = self.blocks_on(c, embedded, &rotation, &mut attend, |_, kept| {
            traces.push(match activations {
                Activations::All => Trace::All(kept),
                Activations::Inputs => Trace::Input(kept.into_input()),
            });
        });
        Forward {
            stream,
            traces,
            rotation,
            layout,
        }
    }

    /// The residual stream after the last block, of packed tokens; `see` gets what a gradient would
    /// need, block by block.
    pub(crate) fn stream_packed<C: Compute>(
        &self,
        c: &C,
        packing: &Packing,
        see: impl FnMut(usize, Kept<C>),
    ) -> C::Rows {
        let layout = c.layout(packing, self.heads());
        let heads = self.heads();
        let attend = |_: usize, qkv: &Qkv<C::Rows>| c.attention(qkv, &layout, heads);
        let ids = c.ids(&packing.ids);
        self.stream(c, &ids, &packing.positions, attend, see)
    }

    /// The forward pass of packed tokens that a sampler has computed, each at a place on its tape.
    /// Block `i` is layer `i` there, and the stream after them the layer behind.
    pub(crate) fn recall<'a, C: Compute>(
        &'a self,
        c: &C,
        packing: &Packing,
        tokens: &'a [(&'a C::Tape, usize)],
    ) -> Forward<'a, C> {
        let block = |(layer, block): (usize, &'a Block)| {
            let fetch = move || {
                let mut parts = 0..;
                block.recall(|| {
                    let part = parts.next().expect("it has no end");
                    C::Tape::gather(tokens, layer, part)
                })
            };
            Trace::Elsewhere(Box::new(fetch) as Box<dyn FnOnce() -> Kept<C> + 'a>)
        };
        Forward {
            stream: C::Tape::gather(tokens, self.blocks.len(), 0),
            traces: self.blocks.iter().enumerate().map(block).collect(),
            rotation: c.rotation(&self.frequencies, &packing.positions),
            layout: c.layout(packing, self.heads()),
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
            rotation,
            layout,
        } = forward;
        let heads = self.heads();
        let place = Place {
            rotation: &rotation,
            layout: &layout,
            heads,
        };
        let mut by_x = by_stream;
        for (index, (block, trace)) in self.blocks.iter().zip(traces).enumerate().rev() {
            let kept = match trace {
                Trace::All(kept) => kept,
                Trace::Input(x) => {
                    let attend = |qkv: &Qkv<C::Rows>| c.attention(qkv, &layout, heads);
                    block.forward(c, x, &rotation, heads, attend).1
                }
                Trace::Elsewhere(fetch) => fetch(),
            };
            // Below the first block is the embedding, which is frozen when adapters are trained.
            let below = index > 0 || gradients.trained == Trained::All;
            match block.backward(c, kept, by_x, &place, gradients, below) {
                Some(by_input) => by_x = by_input,
                None => return,
            }
        }
        if gradients.trained == Trained::All {
            gradients.sums.change(EMBEDDING, &self.embedding, |sum| {
                c.embed_backward(sum, &packing.ids, &by_x)
            });
        }
    }

    /// Shows every weight to `f`, in checkpoint order, adapters apart.
    pub fn visit(&mut self, f: &mut impl ParameterVisitor) {
        f.visit(EMBEDDING, &mut self.embedding);
        for block in &mut self.blocks {
            block.visit(f);
        }
        self.norm.visit(f);
        if let Some(head) = &mut self.head {
            f.visit("lm_head.weight", head);
        }
    }

    /// Shows the weights of every adapter to `f`.
    pub fn visit_adapters(&mut self, f: &mut impl ParameterVisitor) {
        for block in &mut self.blocks {
            for (_, linear) in block.linears() {
                linear.visit_adapter(f);
            }
        }
    }

    /// Puts what `adapter` gives on each linear map, by the last part of its name.
    pub(crate) fn adapt<E>(
        &mut self,
        lora: Lora,
        mut adapter: impl FnMut(&'static str, &Linear) -> Result<Option<Adapter>, E>,
    ) -> Result<(), E> {
        for block in &mut self.blocks {
            for (name, linear) in block.linears() {
                linear.adapter = adapter(name, linear)?;
            }
        }
        self.lora = Some(lora);
        Ok(())
    }

    /// The same model with its adapters off: the one they were put on.
    pub fn base(&self) -> Self {
        let mut base = self.clone();
        for block in &mut base.blocks {
            for (_, linear) in block.linears() {
                linear.adapter = None;
            }
        }
        base.lora = None;
        base
    }

    /// The same model with its matrices stored in another precision, adapters apart: they are
    /// trained. Norms and biases are few, and stay.
    ///
    /// # Errors
    /// When the device lacks it.
    pub fn stored_as(mut self, precision: Precision) -> Result<Self, PrecisionError> {
        precision.supported(&self.device())?;
        let dtype = precision.dtype();
        let store = |matrix: &mut Tensor<2>| {
            if matrix.dtype() != dtype {
                matrix.inplace(|matrix| matrix.cast(dtype));
            }
        };
        store(&mut self.embedding);
        if let Some(head) = &mut self.head {
            store(head);
        }
        for block in &mut self.blocks {
            for (_, linear) in block.linears() {
                store(&mut linear.weight);
            }
        }
        Ok(self)
    }

    /// Brings a copy of every weight with its adapter added up to date, and uses it from then on: no
    /// pass pays for adapters, whatever it is for. An update of the adapters ends that until the next
    /// call, which uses the same memory. Weights that are stored in half precision stay without: a
    /// copy of them in f32 would take twice the memory that they save.
    pub fn merge_adapters(&mut self) {
        if self.lora.is_none() || self.embedding.dtype() != DType::F32 {
            return;
        }
        with_compute!(self, |c| {
            for block in &mut self.blocks {
                for (_, linear) in block.linears() {
                    linear.merge(&c);
                }
            }
        });
    }

    /// The same model with its adapters added to its weights.
    pub fn merged(&self) -> Self {
        let mut merged = self.base();
        let mut adapted = self.clone();
        let blocks = merged.blocks.iter_mut().zip(&mut adapted.blocks);
        for (block, adapted) in blocks {
            for ((_, linear), (_, adapted)) in block.linears().into_iter().zip(adapted.linears()) {
                if let Some(weight) = with_compute!(self, |c| adapted.merged(&c)) {
                    linear.weight = weight;
                }
            }
        }
        merged
    }

    /// A copy of every weight on the host, by Hugging Face name, adapters apart; each is made when
    /// it is asked for.
    pub fn host_tensors(&self) -> impl Iterator<Item = (String, HostTensor)> + use<> {
        let mut collect = CollectHost::default();
        self.clone().visit(&mut collect);
        collect.into_tensors()
    }

    /// [`Self::host_tensors`] of the model with its adapters added. Where there is no such copy of
    /// the weights, it is made a block at a time.
    pub fn merged_tensors(&self) -> impl Iterator<Item = (String, HostTensor)> + use<> {
        let model = self.clone();
        let mut first = CollectHost::default();
        first.visit(EMBEDDING, &mut model.embedding.clone());
        let mut last = CollectHost::default();
        model.norm.clone().visit(&mut last);
        if let Some(head) = &model.head {
            last.visit("lm_head.weight", &mut head.clone());
        }
        let blocks = (0..model.blocks.len()).flat_map(move |index| {
            let mut collect = CollectHost::default();
            let mut block = model.blocks[index].clone();
            with_compute!(model, |c| {
                for (_, linear) in block.linears() {
                    if let Some(weight) = linear.merged(&c) {
                        linear.weight = weight;
                    }
                }
            });
            block.visit(&mut collect);
            collect.into_tensors().collect::<Vec<_>>()
        });
        first
            .into_tensors()
            .chain(blocks)
            .chain(last.into_tensors())
    }

    /// All of [`Self::host_tensors`] at once.
    pub fn to_host(&self) -> Vec<(String, HostTensor)> {
        self.host_tensors().collect()
    }

    /// A copy of every adapter's weights on the host, by name.
    pub fn adapters_to_host(&self) -> Vec<(String, HostTensor)> {
        let mut collect = CollectHost::default();
        self.clone().visit_adapters(&mut collect);
        collect.into_tensors().collect()
    }
}

/// The name of the embedding.
const EMBEDDING: &str = "model.embed_tokens.weight";
