//! Burn tensors of the CPU seen as slices, without a copy.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
mod flex {
    use burn::{
        backend::{BackendTypes, Flex},
        tensor::Tensor,
    };

    type Buffer = <Flex as BackendTypes>::FloatTensorPrimitive;

    /// The values of a tensor on the CPU, shared with it.
    #[derive(Debug)]
    pub(crate) struct Values(Buffer);

    impl Values {
        /// # Panics
        /// When the tensor is on another device or tracked by autodiff.
        pub(crate) fn of<const D: usize>(tensor: &Tensor<D>) -> Self {
            let buffer = tensor
                .clone()
                .try_into_primitive::<Flex>()
                .expect("a plain tensor on the CPU");
            match buffer.is_contiguous() {
                true => Self(buffer),
                false => Self(buffer.to_contiguous()),
            }
        }
    }

    impl std::ops::Deref for Values {
        type Target = [f32];

        fn deref(&self) -> &[f32] {
            self.0.as_slice().expect("it was made contiguous, in f32")
        }
    }

    /// Changes the values of a tensor in place when nothing else shares them, else of a copy.
    ///
    /// # Panics
    /// When the tensor is on another device or tracked by autodiff.
    pub(crate) fn change<const D: usize, R>(
        tensor: Tensor<D>,
        f: impl FnOnce(&mut [f32]) -> R,
    ) -> (Tensor<D>, R) {
        let mut buffer = whole(tensor);
        let result = f(buffer.storage_mut());
        (Tensor::from_primitive::<Flex>(buffer), result)
    }

    /// [`change`] for several at the same time.
    pub(crate) fn change_all<const N: usize>(
        tensors: [Tensor<1>; N],
        f: impl FnOnce([&mut [f32]; N]),
    ) -> [Tensor<1>; N] {
        let mut buffers = tensors.map(whole);
        f(buffers.each_mut().map(Buffer::storage_mut::<f32>));
        buffers.map(Tensor::from_primitive::<Flex>)
    }

    /// A tensor's buffer when it holds that tensor alone, else a copy of its part.
    fn whole<const D: usize>(tensor: Tensor<D>) -> Buffer {
        let buffer = tensor
            .try_into_primitive::<Flex>()
            .expect("a plain tensor on the CPU");
        match buffer.as_slice::<f32>().map(<[f32]>::len) == Some(buffer.storage::<f32>().len()) {
            true => buffer,
            false => buffer.to_contiguous(),
        }
    }
}

#[cfg(feature = "flex")]
pub(crate) use flex::{Values, change, change_all};

/// Whether a tensor's values are on the CPU, to be had by [`Values::of`].
#[cfg(feature = "flex")]
pub(crate) fn on_host<const D: usize>(tensor: &Tensor<D>) -> bool {
    is_host(&tensor.device())
}

/// Without the CPU backend nothing is.
#[cfg(not(feature = "flex"))]
pub(crate) fn on_host<const D: usize>(_: &Tensor<D>) -> bool {
    false
}

/// Whether a device is the CPU.
#[cfg(feature = "flex")]
pub(crate) fn is_host(device: &burn::tensor::Device) -> bool {
    *device == burn::tensor::Device::flex()
}
