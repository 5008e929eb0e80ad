//! Which implementation of the arithmetic runs a model.

use burn::tensor::Device;

use super::buffers::is_host;

/// Which implementation of the arithmetic runs a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Slices on the CPU.
    #[cfg(feature = "flex")]
    Host,
    /// Tensor operations on any device.
    Tensors,
}

impl Engine {
    /// What runs models on a device.
    pub fn on(device: &Device) -> Self {
        match is_host(device) {
            #[cfg(feature = "flex")]
            true => Self::Host,
            _ => Self::Tensors,
        }
    }
}

/// Calls an expression with the arithmetic that a model's engine stands for, on its device.
macro_rules! with_compute {
    ($model:expr, |$compute:ident| $body:expr) => {
        match $model.engine() {
            #[cfg(feature = "flex")]
            $crate::compute::Engine::Host => {
                let $compute = $crate::compute::host::Host::new();
                $body
            }
            $crate::compute::Engine::Tensors => {
                let $compute = $crate::compute::tensor::Tensors {
                    device: $model.device(),
                };
                $body
            }
        }
    };
}
pub(crate) use with_compute;
