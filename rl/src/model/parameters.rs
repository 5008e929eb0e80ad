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
#[derive(Debug, Default, Clone)]
pub struct Parameters(BTreeMap<String, Tensor<1>>);

impl Parameters {
    /// Adds `value` to the entry `name`, which starts at zero.
    pub fn add(&mut self, name: &str, value: Tensor<1>) {
        let sum = match self.0.remove(name) {
            Some(sum) => sum + value,
            None => value,
        };
        self.0.insert(name.to_owned(), sum);
    }

    /// Replaces the entry `name` by what `f` makes of it; it starts at zero, with as many values
    /// as `like`, and where that is.
    pub(crate) fn change<const D: usize>(
        &mut self,
        name: &str,
        like: &Tensor<D>,
        f: impl FnOnce(Tensor<1>) -> Tensor<1>,
    ) {
        let old = self.0.remove(name);
        let count = like.dims().iter().product::<usize>();
        let old = old.unwrap_or_else(|| Tensor::zeros([count], &like.device()));
        self.0.insert(name.to_owned(), f(old));
    }

    /// Adds every entry of `other`.
    pub fn merge(&mut self, other: Self) {
        for (name, tensor) in other.0 {
            self.add(&name, tensor);
        }
    }

    /// Sets the entry `name`.
    pub fn insert(&mut self, name: &str, value: Tensor<1>) {
        self.0.insert(name.to_owned(), value);
    }

    /// Takes the entry `name` out.
    pub fn remove(&mut self, name: &str) -> Option<Tensor<1>> {
        self.0.remove(name)
    }

    /// The entry `name`.
    pub fn get(&self, name: &str) -> Option<&Tensor<1>> {
        self.0.get(name)
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All entries, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor<1>)> {
        self.0.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Euclidean norm of all entries taken as one vector.
    pub fn norm(&self) -> f64 {
        let (host, device): (Vec<_>, Vec<_>) = self.0.values().partition(|t| on_host(t));
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
