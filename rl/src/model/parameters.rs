//! The weights as a set of named tensors: how optimisers, gradients and checkpoints see a model.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use super::weights::HostTensor;
use crate::compute::buffers::{on_host, square_sum};

pub use crate::compute::buffers::{from_host, to_host};

/// Goes over every weight of a model and may change it. Names are Hugging Face's.
pub trait ParameterVisitor {
    /// Sees the tensor named `name`.
    fn visit<const D: usize>(&mut self, name: &str, tensor: &mut Tensor<D>);
}

/// Flat tensors by parameter name: gradients, moments of an optimiser, sums of them.
///
/// An entry may also wait as zeros, memory for the next sum of that name. It counts as none until something is added:
/// an expert that no token went to has no gradient, whatever it had before.
#[derive(Debug, Default, Clone)]
pub struct Parameters {
    entries: BTreeMap<String, Tensor<1>>,
    zeros: BTreeMap<String, Tensor<1>>,
}

impl Parameters {
    /// Adds `value` to the entry `name`, which starts at zero.
    pub fn add(&mut self, name: &str, value: Tensor<1>) {
        let sum = match self.entries.remove(name) {
            Some(sum) => sum + value,
            None => value,
        };
        self.entries.insert(name.to_owned(), sum);
    }

    /// Replaces the entry `name` by what `f` makes of it; it starts at zero, with as many values
    /// as `like`, and where that is.
    pub(crate) fn change<const D: usize>(
        &mut self,
        name: &str,
        like: &Tensor<D>,
        f: impl FnOnce(Tensor<1>) -> Tensor<1>,
    ) {
        let zeros = self.zeros.remove(name);
        let old = self.entries.remove(name).or(zeros);
        let count = like.dims().iter().product::<usize>();
        let old = old.unwrap_or_else(|| Tensor::zeros([count], &like.device()));
        self.entries.insert(name.to_owned(), f(old));
    }

    /// Takes every entry out whose name begins with `prefix`.
    pub(crate) fn take_below(&mut self, prefix: &str) -> Self {
        Self {
            entries: take_below(&mut self.entries, prefix),
            zeros: take_below(&mut self.zeros, prefix),
        }
    }

    /// Puts entries back that were taken out.
    pub(crate) fn put_back(&mut self, taken: Self) {
        self.entries.extend(taken.entries);
        self.zeros.extend(taken.zeros);
    }

    /// Adds every entry of `other`.
    pub fn merge(&mut self, other: Self) {
        for (name, tensor) in other.entries {
            self.zeros.remove(&name);
            self.add(&name, tensor);
        }
        for (name, tensor) in other.zeros {
            if !self.entries.contains_key(&name) {
                self.zeros.insert(name, tensor);
            }
        }
    }

    /// Sets the entry `name`.
    pub fn insert(&mut self, name: &str, value: Tensor<1>) {
        self.entries.insert(name.to_owned(), value);
    }

    /// Keeps zeros as memory for the next sum called `name`.
    pub(crate) fn keep_zeros(&mut self, name: &str, zeros: Tensor<1>) {
        self.zeros.insert(name.to_owned(), zeros);
    }

    /// Keeps the entries of which `keep` says so.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.entries.retain(|name, _| keep(name));
    }

    /// Takes the entry `name` out.
    pub fn remove(&mut self, name: &str) -> Option<Tensor<1>> {
        self.entries.remove(name)
    }

    /// The entry `name`.
    pub fn get(&self, name: &str) -> Option<&Tensor<1>> {
        self.entries.get(name)
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All entries, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor<1>)> {
        self.entries
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Euclidean norm of all entries taken as one vector.
    pub fn norm(&self) -> f64 {
        let (host, device): (Vec<_>, Vec<_>) = self.entries.values().partition(|t| on_host(t));
        // A sum of nothing is -0, and that would be its root.
        let mut sum: f64 = 0.0 + host.into_iter().map(square_sum).sum::<f64>();
        let squares: Vec<Tensor<1>> = device
            .into_iter()
            .map(|t| t.clone().square().sum())
            .collect();
        if !squares.is_empty() {
            let parts = to_host(Tensor::cat(squares, 0));
            sum += parts.iter().map(|&x| f64::from(x)).sum::<f64>();
        }
        sum.sqrt()
    }
}

fn take_below(
    entries: &mut BTreeMap<String, Tensor<1>>,
    prefix: &str,
) -> BTreeMap<String, Tensor<1>> {
    let names = entries
        .range(prefix.to_owned()..)
        .map(|(name, _)| name.clone());
    let names: Vec<String> = names.take_while(|name| name.starts_with(prefix)).collect();
    let take = |name: String| {
        let tensor = entries.remove(&name)?;
        Some((name, tensor))
    };
    names.into_iter().filter_map(take).collect()
}

/// Collects every weight, to be copied to the host.
#[derive(Debug, Default)]
pub(crate) struct CollectHost {
    /// Name, shape and values, in checkpoint order.
    tensors: Vec<(String, Vec<usize>, Tensor<1>)>,
}

impl CollectHost {
    /// Name and values, in checkpoint order, each copied when it is its turn.
    pub(crate) fn into_tensors(self) -> impl Iterator<Item = (String, HostTensor)> {
        self.tensors.into_iter().map(|(name, shape, tensor)| {
            let values = to_host(tensor);
            (name, HostTensor { shape, values })
        })
    }
}

impl ParameterVisitor for CollectHost {
    fn visit<const D: usize>(&mut self, name: &str, tensor: &mut Tensor<D>) {
        let shape = tensor.dims().to_vec();
        let flat = tensor.clone().reshape([shape.iter().product::<usize>()]);
        self.tensors.push((name.to_owned(), shape, flat));
    }
}
