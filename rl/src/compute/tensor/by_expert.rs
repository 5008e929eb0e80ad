//! Rows that are sorted by what they go through, and put together again.

use burn::tensor::{Device, Tensor};

use super::index;
use crate::compute::buffers::from_host;

/// Numbers as a column.
pub(super) fn column(values: &[f32], device: &Device) -> Tensor<2> {
    from_host(values.to_vec(), [values.len(), 1], device)
}

/// Where each part's rows begin when they stand one part after the other.
fn starts(parts: &[Tensor<2>]) -> Vec<usize> {
    let starts = parts.iter().scan(0, |next, part| {
        let start = *next;
        *next += part.dims()[0];
        Some(start)
    });
    starts.collect()
}

/// See [`Compute::gather`](crate::compute::Compute::gather).
pub(super) fn gather(parts: &[Tensor<2>], places: &[(usize, usize)], device: &Device) -> Tensor<2> {
    let starts = starts(parts);
    let rows = places.iter().map(|&(part, row)| starts[part] + row);
    Tensor::cat(parts.to_vec(), 0).select(0, index(rows, device))
}

/// See [`Compute::add_gathered`](crate::compute::Compute::add_gathered): the first of each row's share, then the
/// second, so that the order of adding is fixed.
pub(super) fn add_gathered(
    sum: Option<Tensor<2>>,
    parts: &[Tensor<2>],
    places: &[(usize, usize)],
    weights: Option<&[f32]>,
    count: usize,
    device: &Device,
) -> Tensor<2> {
    let starts = starts(parts);
    let all = Tensor::cat(parts.to_vec(), 0);
    let share = places.len() / count;
    let mut sum = sum;
    for turn in 0..share {
        let slots = (turn..places.len()).step_by(share);
        let rows = slots.clone().map(|slot| {
            let (part, row) = places[slot];
            starts[part] + row
        });
        let mut more = all.clone().select(0, index(rows, device));
        if let Some(weights) = weights {
            let weights: Vec<f32> = slots.map(|slot| weights[slot]).collect();
            more = more.mul(column(&weights, device));
        }
        sum = Some(match sum {
            Some(sum) => sum + more,
            None => more,
        });
    }
    sum.expect("each row has a share")
}
