//! The weights of a transformer by name, with and without adapters, and in what precision they are stored.

use std::collections::BTreeMap;

use burn::tensor::{DType, Tensor};

use super::Transformer;
use crate::{
    compute::with_compute,
    model::{
        linear::{Adapter, Linear},
        lora::Lora,
        names::{EMBEDDING, HEAD},
        parameters::{CollectHost, ParameterVisitor, from_host, to_host},
        precision::{Precision, PrecisionError},
        routing::Routing,
        weights::HostTensor,
    },
};

/// Puts values in the place of weights.
struct Replace(BTreeMap<String, Vec<f32>>);

impl ParameterVisitor for Replace {
    fn visit<const D: usize>(&mut self, name: &str, tensor: &mut Tensor<D>) {
        if let Some(values) = self.0.remove(name) {
            *tensor = from_host(values, tensor.dims(), &tensor.device());
        }
    }
}

impl Transformer {
    /// Shows every weight to `f`, in checkpoint order, adapters apart.
    pub fn visit(&mut self, f: &mut impl ParameterVisitor) {
        f.visit(EMBEDDING, &mut self.embedding);
        for block in &mut self.blocks {
            block.visit(f);
        }
        self.norm.visit(f);
        if let Some(head) = &mut self.head {
            f.visit(HEAD, head);
        }
    }

    /// Shows the weights of every adapter to `f`.
    pub fn visit_adapters(&mut self, f: &mut impl ParameterVisitor) {
        for block in &mut self.blocks {
            for linear in block.linears() {
                linear.visit_adapter(f);
            }
        }
    }

    /// Puts what `adapter` gives on each linear map, by the last part of its name.
    pub(crate) fn adapt<E>(
        &mut self,
        lora: Lora,
        mut adapter: impl FnMut(&str, &Linear) -> Result<Option<Adapter>, E>,
    ) -> Result<(), E> {
        for block in &mut self.blocks {
            for linear in block.linears() {
                linear.adapter = adapter(linear.last_part(), linear)?;
            }
        }
        self.lora = Some(lora);
        Ok(())
    }

    /// Every linear map by its name, with rank and scale of its adapter if it has one.
    pub(crate) fn adapter_scales(&self) -> Vec<(String, Option<(usize, f32)>)> {
        let mut blocks = self.blocks.clone();
        let linears = blocks.iter_mut().flat_map(|block| block.linears());
        linears
            .map(|linear| {
                let form = linear.adapter.as_ref().map(Adapter::form);
                (linear.name.clone(), form)
            })
            .collect()
    }

    /// Every linear map by its name and the last part of it.
    pub(crate) fn adapter_names(&self) -> Vec<(String, String)> {
        let maps = self.adapter_scales().into_iter();
        maps.map(|(name, _)| {
            let last = name.rsplit('.').next().unwrap_or(&name).to_owned();
            (name, last)
        })
        .collect()
    }

    /// Gives the head a matrix of its own, where it was the embedding.
    pub(crate) fn untie(&mut self) {
        if self.head.is_none() {
            self.head = Some(self.embedding.clone());
            self.config.tie_word_embeddings = false;
        }
    }

    /// Puts values in the place of the weights of these names, and remembers that an adapter brought them.
    pub(crate) fn replace(&mut self, values: BTreeMap<String, Vec<f32>>) {
        let mut replace = Replace(values);
        let names = replace.0.keys().cloned().collect();
        self.visit(&mut replace);
        if let Some(lora) = &mut self.lora {
            lora.replaced = names;
        }
    }

    /// The same model with its adapters off: the one they were put on.
    pub fn base(&self) -> Self {
        let mut base = self.clone();
        for block in &mut base.blocks {
            for linear in block.linears() {
                linear.adapter = None;
            }
        }
        base.lora = None;
        base
    }

    /// The same model with its adapters as they are, and without the copy of the weights that has them added: all that it
    /// holds of its own is the adapters.
    pub fn apart(&self) -> Self {
        let mut apart = self.clone();
        for block in &mut apart.blocks {
            block.linears().for_each(Linear::forget_merged);
        }
        apart
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
            for linear in block.linears() {
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
                for linear in block.linears() {
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
            for (linear, adapted) in block.linears().zip(adapted.linears()) {
                if let Some(weight) = with_compute!(self, |c| adapted.merged(&c)) {
                    linear.weight = weight;
                }
            }
        }
        merged
    }

    /// Moves the correction of each expert by `rate`: down where it got more of the tokens than the mean of its layer, up
    /// where it got fewer (arXiv 2412.19437, eq. 16).
    pub(crate) fn correct_routers(&mut self, routing: &Routing, rate: f32) {
        if rate == 0.0 {
            return;
        }
        let device = self.device();
        for block in &mut self.blocks {
            let Some((router, correction)) = block.correction() else {
                continue;
            };
            let Some(load) = routing.get(router) else {
                continue;
            };
            let mean = load.mean();
            let counts = load.counts.iter().map(|&count| count as f64);
            let moved = to_host(correction.clone()).into_iter().zip(counts);
            let moved: Vec<f32> = moved
                .map(|(value, count)| {
                    let towards = if count > mean {
                        -rate
                    } else if count < mean {
                        rate
                    } else {
                        0.0
                    };
                    value + towards
                })
                .collect();
            let shape = [moved.len()];
            *correction = from_host(moved, shape, &device);
        }
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
            last.visit(HEAD, &mut head.clone());
        }
        let blocks = (0..model.blocks.len()).flat_map(move |index| {
            let mut collect = CollectHost::default();
            let mut block = model.blocks[index].clone();
            with_compute!(model, |c| {
                for linear in block.linears() {
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
