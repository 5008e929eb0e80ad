//! The one table of a model's tensors: their names here and in GGUF files, and their shapes.
//!
//! Each part lists its [modules](super::module) beside its code. Loading, checking, exporting, the names of GGUF files, the
//! targets of adapters and counts of parameters all follow from these lists.

use super::{
    attention, block, feed_forward,
    module::{Entry, Module, Named, last_part},
    names::{EMBEDDING, HEAD, LAST_NORM, layer_prefix},
    plan::{AttentionPlan, FeedForwardPlan, LayerPlan, ModelPlan},
};

/// Every module that a layer of any plan may have.
pub(crate) fn entries() -> Vec<Entry> {
    let norms = block::TABLE.iter().map(Module::entry);
    let attention = attention::grouped::TABLE.iter().map(Module::entry);
    let latent = attention::latent::TABLE.iter().map(Module::entry);
    let attention = attention.chain(latent);
    let feed_forward = feed_forward::gated::TABLE.iter().map(Module::entry);
    norms.chain(attention).chain(feed_forward).collect()
}

/// The linear maps that may get an adapter, by the last part of their names.
pub(crate) fn linear_names() -> Vec<&'static str> {
    let linear = entries().into_iter().filter(|entry| entry.linear);
    let mut names = Vec::new();
    for name in linear.map(|entry| last_part(entry.name)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

impl LayerPlan {
    fn tensors(&self, prefix: &str) -> Vec<Named> {
        let hidden = self.hidden;
        let mut tensors = Vec::new();
        let mut norms = block::TABLE
            .iter()
            .map(|module| module.tensors(prefix, self, hidden));
        let (before_attention, others) = (norms.next(), norms);
        tensors.extend(before_attention.into_iter().flatten());
        match &self.attention {
            AttentionPlan::Grouped(plan) => {
                let modules = attention::grouped::TABLE.iter();
                tensors.extend(modules.flat_map(|module| module.tensors(prefix, plan, hidden)));
            }
            AttentionPlan::Latent(plan) => {
                let modules = attention::latent::TABLE.iter();
                tensors.extend(modules.flat_map(|module| module.tensors(prefix, plan, hidden)));
            }
        }
        tensors.extend(others.flatten());
        match &self.feed_forward {
            FeedForwardPlan::Gated(plan) => {
                let modules = feed_forward::gated::TABLE.iter();
                tensors.extend(modules.flat_map(|module| module.tensors(prefix, plan, hidden)));
            }
            FeedForwardPlan::Experts(plan) => {
                tensors.extend(feed_forward::experts::tensors(prefix, plan, hidden));
            }
        }
        tensors
    }
}

impl ModelPlan {
    /// Every tensor of a checkpoint by its Hugging Face name with its shape, in the order of the
    /// forward pass. A tied head is not listed.
    pub(crate) fn tensors(&self) -> Vec<Named> {
        let mut tensors = vec![(EMBEDDING.to_owned(), vec![self.vocabulary, self.hidden])];
        for (index, layer) in self.layers.iter().enumerate() {
            tensors.extend(layer.tensors(&layer_prefix(index)));
        }
        tensors.push((format!("{LAST_NORM}.weight"), vec![self.hidden]));
        if !self.tied {
            tensors.push((HEAD.to_owned(), vec![self.vocabulary, self.hidden]));
        }
        tensors
    }
}
