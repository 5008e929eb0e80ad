//! A transformer out of named tensors.

use burn::tensor::Device;

use super::{Kind, Transformer};
use crate::{
    compute::Engine,
    model::{
        attention::Form,
        block::Block,
        build::Maker,
        config::ModelConfig,
        names::{EMBEDDING, HEAD, LAST_NORM, layer_prefix},
        parameters::from_host,
        plan::{AttentionPlan, ModelPlan},
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
        let stored = config.clone();
        Self::build(config, device, |name, shape| {
            stored.stored(name, shape).read(source, shape)
        })
    }

    /// A model whose weights are what `tensor` gives for each name and shape.
    ///
    /// # Errors
    /// The first error of `tensor`.
    pub fn build<E>(
        config: ModelConfig,
        device: &Device,
        tensor: impl FnMut(&str, &[usize]) -> Result<HostTensor, E>,
    ) -> Result<Self, E> {
        let plan = config.plan();
        Self::by_plan(config, &plan, device, tensor)
    }

    /// The same by a plan, whatever `config` says of layers.
    pub(crate) fn by_plan<E>(
        config: ModelConfig,
        plan: &ModelPlan,
        device: &Device,
        mut tensor: impl FnMut(&str, &[usize]) -> Result<HostTensor, E>,
    ) -> Result<Self, E> {
        let mut matrix = |name: &str| {
            let shape = [plan.vocabulary, plan.hidden];
            tensor(name, &shape).map(|t| from_host::<2>(t.values, shape, device))
        };
        let embedding = matrix(EMBEDDING)?;
        let head = if plan.tied { None } else { Some(matrix(HEAD)?) };
        let mut make = Maker {
            prefix: String::new(),
            hidden: plan.hidden,
            device,
            tensor: &mut tensor,
        };
        let mut blocks = Vec::with_capacity(plan.layers.len());
        for (index, layer) in plan.layers.iter().enumerate() {
            make.prefix = layer_prefix(index);
            blocks.push(Block::build(layer, &mut make)?);
        }
        let norm = make.norm_named(LAST_NORM.to_owned(), plan.norm, plan.hidden)?;
        let (mut frequencies, mut heads) = (Vec::new(), Vec::new());
        let kinds = plan.layers.iter().map(|layer| match &layer.attention {
            AttentionPlan::Grouped(plan) => plan.position.as_ref(),
            AttentionPlan::Latent(plan) => Some(&plan.position),
        });
        let mut with_experts = 0..;
        let kinds = kinds.zip(&blocks).map(|(position, block)| Kind {
            experts: block.router().and_then(|_| with_experts.next()),
            frequencies: position.map(|position| place(&mut frequencies, position.frequencies())),
            heads: place(&mut heads, block.heads(Form::Expanded)),
        });
        let kinds = kinds.collect();
        Ok(Self {
            engine: Engine::on(device),
            embedding,
            embedding_scale: plan.embedding_scale,
            blocks,
            norm,
            head,
            frequencies,
            heads,
            kinds,
            lora: None,
            config,
        })
    }
}

/// The place of an entry among `all`, to which it is added if it is new.
fn place<T: PartialEq>(all: &mut Vec<T>, entry: T) -> usize {
    match all.iter().position(|known| *known == entry) {
        Some(place) => place,
        None => {
            all.push(entry);
            all.len() - 1
        }
    }
}
