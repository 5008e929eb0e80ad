//! Values in and out of tensors, and Burn tensors of the CPU seen as slices, without a copy.

use std::sync::atomic::{AtomicU64, Ordering};

use burn::tensor::{Device, Tensor, TensorData};

#[cfg(feature = "flex")]
mod flex {
    use burn::{
        backend::{BackendTypes, Flex},
        tensor::{DType, Tensor},
    };
    use half::{bf16, f16, slice::HalfFloatSliceExt};

    type Buffer = <Flex as BackendTypes>::FloatTensorPrimitive;

    /// The values of a tensor on the CPU, shared with it.
    #[derive(Debug)]
    pub(crate) struct Values(Buffer);

    impl Values {
        /// # Panics
        /// When the tensor is on another device or tracked by autodiff.
        pub(crate) fn of<const D: usize>(tensor: &Tensor<D>) -> Self {
            Self(contiguous(tensor))
        }
    }

    fn contiguous<const D: usize>(tensor: &Tensor<D>) -> Buffer {
        let buffer = tensor
            .clone()
            .try_into_primitive::<Flex>()
            .expect("a plain tensor on the CPU");
        if buffer.is_contiguous() {
            buffer
        } else {
            buffer.to_contiguous()
        }
    }

    /// The values of a weight matrix on the CPU in the precision that it is stored in, shared with
    /// it.
    #[derive(Debug)]
    pub(crate) enum Stored {
        F32(Values),
        Bf16(Buffer),
        F16(Buffer),
    }

    impl Stored {
        /// # Panics
        /// When the tensor is on another device or tracked by autodiff.
        pub(crate) fn of(tensor: &Tensor<2>) -> Self {
            match tensor.dtype() {
                DType::BF16 => Self::Bf16(contiguous(tensor)),
                DType::F16 => Self::F16(contiguous(tensor)),
                _ => Self::F32(Values::of(tensor)),
            }
        }

        /// To read, row after row.
        pub(crate) fn weights(&self) -> Weights<'_> {
            let contiguous = "it was made contiguous, in this type";
            match self {
                Self::F32(values) => Weights::F32(values),
                Self::Bf16(buffer) => Weights::Bf16(buffer.as_slice().expect(contiguous)),
                Self::F16(buffer) => Weights::F16(buffer.as_slice().expect(contiguous)),
            }
        }
    }

    /// Some rows of a weight matrix in the precision that it is stored in.
    #[derive(Debug, Clone, Copy)]
    pub(crate) enum Weights<'a> {
        F32(&'a [f32]),
        Bf16(&'a [bf16]),
        F16(&'a [f16]),
    }

    impl<'a> Weights<'a> {
        /// Number of values.
        pub(crate) fn len(&self) -> usize {
            match self {
                Self::F32(values) => values.len(),
                Self::Bf16(values) => values.len(),
                Self::F16(values) => values.len(),
            }
        }

        /// Some of them.
        pub(crate) fn part(&self, range: std::ops::Range<usize>) -> Self {
            match self {
                Self::F32(values) => Self::F32(&values[range]),
                Self::Bf16(values) => Self::Bf16(&values[range]),
                Self::F16(values) => Self::F16(&values[range]),
            }
        }

        /// Runs of `size` values, the last of what is left.
        pub(crate) fn chunks(self, size: usize) -> impl Iterator<Item = Self> {
            let length = self.len();
            let starts = (0..length).step_by(size.max(1));
            starts.map(move |start| self.part(start..(start + size).min(length)))
        }

        /// Writes them in f32.
        ///
        /// # Panics
        /// When `out` has another length.
        #[inline(always)]
        pub(crate) fn widen(&self, out: &mut [f32]) {
            match self {
                Self::F32(values) => out.copy_from_slice(values),
                Self::Bf16(values) => {
                    assert_eq!(values.len(), out.len());
                    for (out, value) in out.iter_mut().zip(*values) {
                        *out = f32::from_bits(u32::from(value.to_bits()) << 16);
                    }
                }
                Self::F16(values) => values.convert_to_f32_slice(out),
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

    /// [`change`] for several at the same time, if they are on the CPU; else what `elsewhere` makes of
    /// them.
    pub(crate) fn change_all<const N: usize>(
        tensors: [Tensor<1>; N],
        f: impl FnOnce([&mut [f32]; N]),
        elsewhere: impl FnOnce([Tensor<1>; N]) -> [Tensor<1>; N],
    ) -> [Tensor<1>; N] {
        if !tensors.iter().all(super::on_host) {
            return elsewhere(tensors);
        }
        let mut buffers = tensors.map(whole);
        f(buffers.each_mut().map(Buffer::storage_mut::<f32>));
        buffers.map(Tensor::from_primitive::<Flex>)
    }

    /// A tensor's buffer when it holds that tensor alone, else a copy of its part.
    fn whole<const D: usize>(tensor: Tensor<D>) -> Buffer {
        let buffer = tensor
            .try_into_primitive::<Flex>()
            .expect("a plain tensor on the CPU");
        let values = buffer.as_slice::<f32>().map(<[f32]>::len);
        if values == Some(buffer.storage::<f32>().len()) {
            buffer
        } else {
            buffer.to_contiguous()
        }
    }
}

#[cfg(feature = "flex")]
pub(crate) use flex::{Stored, Values, Weights, change, change_all};

/// Without the CPU backend no tensor is there.
#[cfg(not(feature = "flex"))]
pub(crate) fn change_all<const N: usize>(
    tensors: [Tensor<1>; N],
    _: impl FnOnce([&mut [f32]; N]),
    elsewhere: impl FnOnce([Tensor<1>; N]) -> [Tensor<1>; N],
) -> [Tensor<1>; N] {
    elsewhere(tensors)
}

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
pub(crate) fn is_host(device: &Device) -> bool {
    *device == Device::flex()
}

/// Without the CPU backend no device is.
#[cfg(not(feature = "flex"))]
pub(crate) fn is_host(_: &Device) -> bool {
    false
}

/// `Σ x²` of a tensor on the CPU, in f64 over runs of fixed length.
#[cfg(feature = "flex")]
pub(crate) fn square_sum(tensor: &Tensor<1>) -> f64 {
    use rayon::prelude::*;

    use super::elementwise::dot;

    let values = Values::of(tensor);
    let arch = pulp::Arch::new();
    let runs = values.par_chunks(1 << 12);
    let parts: Vec<f32> = runs.map(|run| arch.dispatch(|| dot(run, run))).collect();
    parts.iter().map(|&x| f64::from(x)).sum()
}

#[cfg(not(feature = "flex"))]
pub(crate) fn square_sum(_: &Tensor<1>) -> f64 {
    0.0 // no tensor is on the CPU then
}

/// Times that values were waited for, on any device but the CPU.
static READ_BACKS: AtomicU64 = AtomicU64::new(0);

/// How often [`to_host`] has waited for a device by now, in the whole process.
pub(crate) fn read_backs() -> u64 {
    READ_BACKS.load(Ordering::Relaxed)
}

/// The values of a tensor in row-major order.
pub fn to_host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    if !on_host(&tensor) {
        READ_BACKS.fetch_add(1, Ordering::Relaxed);
    }
    tensor
        .try_into_vec_as::<f32>()
        .expect("f32 values can be read from any float tensor")
}

/// A tensor on `device` from values in row-major order.
pub fn from_host<const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &Device,
) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}
