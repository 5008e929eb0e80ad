//! Weights by the table of a model's tensors.

use burn::tensor::{Device, Tensor};

use super::{
    linear::Linear,
    module::{Form, Map, Module},
    norm::RmsNorm,
    parameters::from_host,
    plan::NormPlan,
    weights::HostTensor,
};

/// Makes the modules of one layer out of named tensors.
pub(crate) struct Maker<'a, F> {
    /// What the names begin with.
    pub(crate) prefix: String,
    /// Width of the residual stream.
    pub(crate) hidden: usize,
    /// Where the weights go.
    pub(crate) device: &'a Device,
    /// Gives the tensor of a name and shape.
    pub(crate) tensor: &'a mut F,
}

impl<E, F: FnMut(&str, &[usize]) -> Result<HostTensor, E>> Maker<'_, F> {
    /// A vector called `name` in all.
    pub(crate) fn vector(&mut self, name: &str, width: usize) -> Result<Tensor<1>, E> {
        let host = (self.tensor)(name, &[width])?;
        Ok(from_host(host.values, [width], self.device))
    }

    /// A norm called `name` in all.
    pub(crate) fn norm_named(
        &mut self,
        name: String,
        plan: NormPlan,
        width: usize,
    ) -> Result<RmsNorm, E> {
        Ok(RmsNorm {
            weight: self.vector(&format!("{name}.weight"), width)?,
            name,
            plan,
        })
    }

    /// The norm of a module, if the plan has one.
    pub(crate) fn norm<P>(&mut self, module: &Module<P>, plan: &P) -> Result<Option<RmsNorm>, E> {
        let name = format!("{}.{}", self.prefix, module.name);
        match &module.form {
            Form::Norm(norm) => norm(plan, self.hidden)
                .map(|(norm, width)| self.norm_named(name, norm, width))
                .transpose(),
            Form::Linear(_) | Form::Optional(_) => Ok(None),
        }
    }

    /// The linear map of a module.
    ///
    /// # Panics
    /// When the plan has none there.
    pub(crate) fn linear<P>(&mut self, module: &Module<P>, plan: &P) -> Result<Linear, E> {
        let map = module.map(plan, self.hidden);
        let map = map.unwrap_or_else(|| panic!("{} is no linear map of this plan", module.name));
        self.mapped(module, map)
    }

    /// The linear map of a module, if the plan has one.
    pub(crate) fn optional<P>(
        &mut self,
        module: &Module<P>,
        plan: &P,
    ) -> Result<Option<Linear>, E> {
        let map = module.map(plan, self.hidden);
        map.map(|map| self.mapped(module, map)).transpose()
    }

    fn mapped<P>(&mut self, module: &Module<P>, map: Map) -> Result<Linear, E> {
        let name = format!("{}.{}", self.prefix, module.name);
        self.linear_named(name, map)
    }

    /// A linear map called `name` in all.
    pub(crate) fn linear_named(&mut self, name: String, map: Map) -> Result<Linear, E> {
        let Map { out, inner, bias } = map;
        let host = (self.tensor)(&format!("{name}.weight"), &[out, inner])?;
        let bias = if bias {
            Some(self.vector(&format!("{name}.bias"), out)?)
        } else {
            None
        };
        Ok(Linear {
            name,
            weight: from_host(host.values, [out, inner], self.device),
            bias,
            adapter: None,
        })
    }
}
