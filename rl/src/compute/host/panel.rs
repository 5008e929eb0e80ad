//! The product of a tall weight matrix with few rows of activations, as decoding needs it.
//!
//! A general product packs both matrices first, which at 32 rows costs as much as the arithmetic.
//! Here the activations of up to 32 rows stand side by side in one panel, `[in, 32]`; each weight
//! is read once, where it lies, and multiplied into a whole row of the panel. Nothing of the
//! weights is copied, so they need no packing after an update and no second place in memory.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{
    rows::Rows,
    strided::{Threads, ViewMut},
};

/// Rows of activations in a panel.
pub(crate) const PANEL_ROWS: usize = 32;

/// Inputs that are multiplied before the panel's next part is fetched: 256 KiB of it.
const DEPTH: usize = 2048;

/// Outputs that are summed at the same time, at most.
const TILE: usize = 12;

/// `out (+)= x Wᵀ` for a few rows.
///
/// # Shapes
/// - x: `[rows, in]`, weight: `[out, in]`, out: `[rows, out]`, all row-major
pub(crate) fn few_rows(
    arch: Arch,
    out: &mut [f32],
    x: &[f32],
    weight: &[f32],
    inputs: usize,
    add: bool,
    threads: Threads,
) {
    few_rows_all(arch, [(out, weight)], x, inputs, add, threads);
}

/// [`few_rows`] by several weights.
pub(crate) fn few_rows_all<'a>(
    arch: Arch,
    pairs: impl IntoIterator<Item = (&'a mut [f32], &'a [f32])>,
    x: &[f32],
    inputs: usize,
    add: bool,
    threads: Threads,
) {
    let rows = x.len() / inputs;
    assert_eq!(x.len(), rows * inputs);
    let panels: Vec<Panel> = x
        .chunks(PANEL_ROWS * inputs)
        .enumerate()
        .map(|(i, x)| Panel::new(x, inputs, i * PANEL_ROWS))
        .collect();
    let mut bands = Vec::new();
    for (out, weight) in pairs {
        let outputs = weight.len() / inputs;
        assert_eq!(
            (weight.len(), out.len()),
            (outputs * inputs, rows * outputs)
        );
        let workers = match threads {
            Threads::Pool if outputs * inputs * rows > 1 << 18 => rayon::current_num_threads(),
            _ => 1,
        };
        let width = outputs.div_ceil(workers).next_multiple_of(TILE);
        let parts = ViewMut::new(out, outputs).split_columns(width);
        bands.extend(parts.into_iter().zip(weight.chunks(width * inputs)));
    }
    let run = |(out, weight): (ViewMut, &[f32])| {
        let band = Band {
            out,
            weight,
            panels: &panels,
            inputs,
            add,
        };
        arch.dispatch(band);
    };
    match threads {
        Threads::Pool if bands.len() > 1 => bands.into_par_iter().for_each(run),
        _ => bands.into_iter().for_each(run),
    }
}

/// Up to [`PANEL_ROWS`] rows of activations side by side, filled up with zeros.
struct Panel {
    /// `[inputs, 16 or 32]`.
    data: Rows,
    /// Which rows these are.
    rows: std::ops::Range<usize>,
}

impl Panel {
    fn new(x: &[f32], inputs: usize, first: usize) -> Self {
        let rows = x.len() / inputs;
        let width = if rows <= PANEL_ROWS / 2 {
            16
        } else {
            PANEL_ROWS
        };
        let mut data = Rows::stale(inputs, width);
        for (input, lanes) in data.data_mut().chunks_exact_mut(width).enumerate() {
            let (used, rest) = lanes.split_at_mut(rows);
            for (lane, x) in used.iter_mut().zip(x.iter().skip(input).step_by(inputs)) {
                *lane = *x;
            }
            rest.fill(0.0);
        }
        Self {
            data,
            rows: first..first + rows,
        }
    }
}

/// Some outputs of all rows: `out[r, o] (+)= Σ_i weight[o, i] x[r, i]`.
struct Band<'a> {
    /// `[rows, outputs]`.
    out: ViewMut<'a>,
    /// `[outputs, inputs]`.
    weight: &'a [f32],
    panels: &'a [Panel],
    inputs: usize,
    add: bool,
}

impl WithSimd for Band<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        // Outputs × vectors of a panel's row: as many sums as there are registers for.
        let inputs = self.inputs;
        for start in (0..inputs).step_by(DEPTH) {
            let depth = start..(start + DEPTH).min(inputs);
            let mut first = 0;
            for weight in self.weight.chunks(TILE * inputs) {
                for panel in self.panels {
                    let tile = Tile {
                        out: self.out.again(),
                        weight,
                        panel,
                        inputs,
                        depth: depth.clone(),
                        first,
                        add: self.add || start > 0,
                    };
                    match (S::F32_LANES, panel.data.width()) {
                        (16, 32) => tile.run::<S, 12, 2>(simd),
                        (16, _) => tile.run::<S, 12, 1>(simd),
                        (8, 32) => tile.run::<S, 3, 4>(simd),
                        (8, _) => tile.run::<S, 6, 2>(simd),
                        (4, 32) => tile.run::<S, 3, 8>(simd),
                        (4, _) => tile.run::<S, 6, 4>(simd),
                        (_, 32) => tile.run::<S, 1, 32>(simd),
                        (_, _) => tile.run::<S, 1, 16>(simd),
                    }
                }
                first += TILE;
            }
        }
    }
}

/// At most [`TILE`] outputs of one panel, and some of the inputs.
struct Tile<'a> {
    out: ViewMut<'a>,
    /// `[outputs, inputs]`.
    weight: &'a [f32],
    panel: &'a Panel,
    inputs: usize,
    depth: std::ops::Range<usize>,
    /// The first output in `out`.
    first: usize,
    add: bool,
}

impl Tile<'_> {
    #[inline(always)]
    fn run<S: Simd, const OUTPUTS: usize, const VECTORS: usize>(self, simd: S) {
        let Self {
            mut out,
            weight,
            panel,
            inputs,
            depth,
            mut first,
            add,
        } = self;
        let width = panel.data.width();
        let (x, _) = S::as_simd_f32s(&panel.data.data()[depth.start * width..depth.end * width]);
        let (x, _) = x.as_chunks::<VECTORS>(); // one chunk an input
        let tiles = weight.chunks_exact(OUTPUTS * inputs);
        let rest = tiles.remainder();
        for weight in tiles {
            let rows: [&[f32]; OUTPUTS] =
                std::array::from_fn(|o| &weight[o * inputs..][depth.clone()][..x.len()]);
            let mut sums = [[simd.splat_f32s(0.0); VECTORS]; OUTPUTS];
            for (i, x) in x.iter().enumerate() {
                for (sums, row) in sums.iter_mut().zip(&rows) {
                    let w = simd.splat_f32s(row[i]);
                    for (sum, &x) in sums.iter_mut().zip(x) {
                        *sum = simd.mul_add_f32s(w, x, *sum);
                    }
                }
            }
            store::<S, OUTPUTS, VECTORS>(&mut out, panel.rows.clone(), first, &sums, add);
            first += OUTPUTS;
        }
        for weight in rest.chunks_exact(inputs) {
            let mut sums = [[simd.splat_f32s(0.0); VECTORS]];
            for (&w, x) in weight[depth.clone()].iter().zip(x) {
                let w = simd.splat_f32s(w);
                for (sum, &x) in sums[0].iter_mut().zip(x) {
                    *sum = simd.mul_add_f32s(w, x, *sum);
                }
            }
            store::<S, 1, VECTORS>(&mut out, panel.rows.clone(), first, &sums, add);
            first += 1;
        }
    }
}

/// Writes the sums of outputs `first..first + OUTPUTS`, one row a lane.
#[inline(always)]
fn store<S: Simd, const OUTPUTS: usize, const VECTORS: usize>(
    out: &mut ViewMut,
    rows: std::ops::Range<usize>,
    first: usize,
    sums: &[[S::f32s; VECTORS]; OUTPUTS],
    add: bool,
) {
    // By way of a buffer: sums whose address is taken would not stay in registers.
    let mut buffer = [0.0f32; TILE * PANEL_ROWS];
    let width = VECTORS * S::F32_LANES;
    for (buffer, sums) in buffer.chunks_exact_mut(width).zip(sums) {
        let (buffer, _) = S::as_mut_simd_f32s(buffer);
        for (buffer, sum) in buffer.iter_mut().zip(sums) {
            *buffer = *sum;
        }
    }
    for (lane, row) in rows.enumerate() {
        let out = &mut out.row(row)[first..first + OUTPUTS];
        for (out, sums) in out.iter_mut().zip(buffer.chunks_exact(width)) {
            *out = if add { *out + sums[lane] } else { sums[lane] };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_is_the_plain_product() {
        for (rows, outputs, inputs) in [
            (1, 5, 3),
            (16, 24, 300),
            (17, 25, 256),
            (32, 13, 513),
            (40, 50, 7),
        ] {
            let x: Vec<f32> = (0..rows * inputs)
                .map(|i| (i * 37 % 101) as f32 * 0.01 - 0.5)
                .collect();
            let w: Vec<f32> = (0..outputs * inputs)
                .map(|i| (i * 53 % 97) as f32 * 0.01 - 0.5)
                .collect();
            for add in [false, true] {
                let mut out = vec![1.0; rows * outputs];
                few_rows(Arch::new(), &mut out, &x, &w, inputs, add, Threads::Pool);
                for r in 0..rows {
                    for o in 0..outputs {
                        let pairs = x[r * inputs..][..inputs]
                            .iter()
                            .zip(&w[o * inputs..][..inputs]);
                        let sum: f64 = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                        let expected = sum + f64::from(u8::from(add));
                        let ours = f64::from(out[r * outputs + o]);
                        assert!(
                            (ours - expected).abs() < 1e-4,
                            "{rows}×{outputs}×{inputs}: {ours} {expected}"
                        );
                    }
                }
            }
        }
    }

    /// A row's numbers must not depend on what else is in the batch.
    #[test]
    fn a_row_is_the_same_in_every_panel() {
        let (outputs, inputs) = (30, 70);
        let x: Vec<f32> = (0..40 * inputs).map(|i| (i as f32 * 0.37).sin()).collect();
        let w: Vec<f32> = (0..outputs * inputs)
            .map(|i| (i as f32 * 0.11).cos())
            .collect();
        let run = |x: &[f32]| {
            let mut out = vec![0.0; x.len() / inputs * outputs];
            few_rows(Arch::new(), &mut out, x, &w, inputs, false, Threads::One);
            out
        };
        let all = run(&x);
        for row in [0, 15, 16, 31, 32, 39] {
            assert_eq!(
                run(&x[row * inputs..][..inputs]),
                all[row * outputs..][..outputs]
            );
        }
    }
}
