//! The product of a tall weight matrix with few rows of activations, as decoding needs it.
//!
//! A general product packs both matrices first, which at 32 rows costs as much as the arithmetic.
//! Here the activations of up to 32 rows stand side by side in one panel, `[in, 8 to 32]`; each
//! weight is read once, where it lies, and multiplied into a whole row of the panel. Nothing of the
//! weights is copied, so they need no packing after an update and no second place in memory.
//!
//! Weights come from memory, not from a cache, in a dozen streams that are too short for the
//! processor to foresee: they are asked for two tiles ahead, without which the arithmetic waits half
//! of the time (measured: 154 ms a pass over 135M weights, 79 with it, on one core).

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::{
    rows::Rows,
    strided::{Threads, ViewMut, prefetch},
};
use crate::compute::buffers::Weights;

/// Rows of activations in a panel, at most.
pub(crate) const PANEL_ROWS: usize = 32;

/// Inputs that are multiplied before the panel's next part is fetched: 256 KiB of it.
const DEPTH: usize = 2048;

/// Outputs that are summed at the same time, at most.
const TILE: usize = 12;

/// Weights in a cache line of f32.
const LINE: usize = 16;

/// `out (+)= x Wᵀ` for a few rows.
///
/// # Shapes
/// - x: `[rows, in]`, weight: `[out, in]`, out: `[rows, out]`, all row-major
pub(crate) fn few_rows(
    arch: Arch,
    out: &mut [f32],
    x: &[f32],
    weight: Weights,
    inputs: usize,
    add: bool,
    threads: Threads,
) {
    few_rows_all(arch, [(out, weight)], x, inputs, add, threads);
}

/// [`few_rows`] by several weights.
pub(crate) fn few_rows_all<'a>(
    arch: Arch,
    pairs: impl IntoIterator<Item = (&'a mut [f32], Weights<'a>)>,
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
    let run = |(out, weight): (ViewMut, Weights)| {
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
    /// `[inputs, 8, 16, 24 or 32]`.
    data: Rows,
    /// Which rows these are.
    rows: std::ops::Range<usize>,
}

impl Panel {
    fn new(x: &[f32], inputs: usize, first: usize) -> Self {
        let rows = x.len() / inputs;
        let width = rows.next_multiple_of(8);
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
    weight: Weights<'a>,
    panels: &'a [Panel],
    inputs: usize,
    add: bool,
}

impl WithSimd for Band<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let inputs = self.inputs;
        // Weights stored in half precision are widened a tile at a time.
        let mut wide = match self.weight {
            Weights::F32(_) => None,
            _ => Some(Rows::stale(TILE, inputs)),
        };
        for start in (0..inputs).step_by(DEPTH) {
            let depth = start..(start + DEPTH).min(inputs);
            for (index, tile) in self.weight.chunks(TILE * inputs).enumerate() {
                let weight = match (tile, &mut wide) {
                    (Weights::F32(weight), _) => weight,
                    (half, Some(wide)) => {
                        let wide = &mut wide.data_mut()[..half.len()];
                        half.widen(wide);
                        wide
                    }
                    (_, None) => unreachable!("there is room for what is not stored in f32"),
                };
                for (place, panel) in self.panels.iter().enumerate() {
                    // What the tile after the next will need, while the first panel is multiplied.
                    let ahead = (place == 0).then_some((self.weight, (index + 2) * TILE * inputs));
                    Tile {
                        out: self.out.again(),
                        weight,
                        ahead,
                        panel,
                        inputs,
                        depth: depth.clone(),
                        first: index * TILE,
                        add: self.add || start > 0,
                    }
                    .of_width(simd);
                }
            }
        }
    }
}

/// At most [`TILE`] outputs of one panel, and some of the inputs.
struct Tile<'a> {
    out: ViewMut<'a>,
    /// `[outputs, inputs]`.
    weight: &'a [f32],
    /// What to prefetch, and from where on.
    ahead: Option<(Weights<'a>, usize)>,
    panel: &'a Panel,
    inputs: usize,
    depth: std::ops::Range<usize>,
    /// The first output in `out`.
    first: usize,
    add: bool,
}

impl Tile<'_> {
    /// Outputs × vectors of a panel's row: as many sums as there are registers for.
    #[inline(always)]
    fn of_width<S: Simd>(self, simd: S) {
        match (S::F32_LANES, self.panel.data.width()) {
            (16, 32) => self.run::<S, 12, 2>(simd),
            (16, 16) => self.run::<S, 12, 1>(simd),
            // Half vectors: a lane is added in the same order, so the numbers are the same.
            #[cfg(target_arch = "x86_64")]
            (16, width) => {
                let half = pulp::x86::V3::try_new();
                let half = half.expect("a processor with AVX-512 has AVX2");
                match width {
                    24 => self.run::<_, 6, 3>(half),
                    _ => self.run::<_, 12, 1>(half),
                }
            }
            (8, 32) => self.run::<S, 3, 4>(simd),
            (8, 24) => self.run::<S, 4, 3>(simd),
            (8, 16) => self.run::<S, 6, 2>(simd),
            (8, _) => self.run::<S, 12, 1>(simd),
            (4, 32) => self.run::<S, 3, 8>(simd),
            (4, 24) => self.run::<S, 4, 6>(simd),
            (4, 16) => self.run::<S, 6, 4>(simd),
            (4, _) => self.run::<S, 12, 2>(simd),
            (_, 32) => self.run::<S, 1, 32>(simd),
            (_, 24) => self.run::<S, 1, 24>(simd),
            (_, 16) => self.run::<S, 1, 16>(simd),
            (_, _) => self.run::<S, 1, 8>(simd),
        }
    }

    #[inline(always)]
    fn run<S: Simd, const OUTPUTS: usize, const VECTORS: usize>(self, simd: S) {
        let Self {
            mut out,
            weight,
            ahead,
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
        for (tile, weight) in tiles.enumerate() {
            let rows: [&[f32]; OUTPUTS] =
                std::array::from_fn(|o| &weight[o * inputs..][depth.clone()][..x.len()]);
            let next = tile * OUTPUTS * inputs + depth.start;
            let mut sums = [[simd.splat_f32s(0.0); VECTORS]; OUTPUTS];
            for (i, x) in x.iter().enumerate() {
                if i % LINE == 0
                    && let Some((weights, start)) = ahead
                {
                    for o in 0..OUTPUTS {
                        fetch(weights, start + next + o * inputs + i);
                    }
                }
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

/// Prefetches what stands at `index`, or nothing where that is beyond the end.
#[inline(always)]
fn fetch(weights: Weights, index: usize) {
    match weights {
        Weights::F32(values) => prefetch(values, index),
        Weights::Bf16(values) => prefetch(values, index),
        Weights::F16(values) => prefetch(values, index),
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
            (8, 31, 100),
            (16, 24, 300),
            (17, 25, 256),
            (24, 30, 70),
            (32, 13, 513),
            (40, 50, 7),
            (57, 14, 2100),
        ] {
            let x: Vec<f32> = (0..rows * inputs)
                .map(|i| (i * 37 % 101) as f32 * 0.01 - 0.5)
                .collect();
            let w: Vec<f32> = (0..outputs * inputs)
                .map(|i| (i * 53 % 97) as f32 * 0.01 - 0.5)
                .collect();
            for add in [false, true] {
                let mut out = vec![1.0; rows * outputs];
                let weight = Weights::F32(&w);
                few_rows(
                    Arch::new(),
                    &mut out,
                    &x,
                    weight,
                    inputs,
                    add,
                    Threads::Pool,
                );
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
            let weight = Weights::F32(&w);
            few_rows(
                Arch::new(),
                &mut out,
                x,
                weight,
                inputs,
                false,
                Threads::One,
            );
            out
        };
        let all = run(&x);
        for row in [0, 15, 16, 31, 32, 39] {
            for others in [1, 3, 9, 17, 25, 33] {
                let first = row.min(40 - others);
                let some = run(&x[first * inputs..][..others * inputs]);
                let place = (row - first) * outputs;
                assert_eq!(some[place..][..outputs], all[row * outputs..][..outputs]);
            }
        }
    }

    /// Weights in half precision are those that their values in f32 are.
    #[test]
    fn stored_in_half_precision_is_widened_first() {
        let (rows, outputs, inputs) = (11, 29, 90);
        let x: Vec<f32> = (0..rows * inputs)
            .map(|i| (i as f32 * 0.37).sin())
            .collect();
        let w: Vec<f32> = (0..outputs * inputs)
            .map(|i| (i as f32 * 0.11).cos())
            .collect();
        let run = |weight: Weights| {
            let mut out = vec![0.0; rows * outputs];
            few_rows(
                Arch::new(),
                &mut out,
                &x,
                weight,
                inputs,
                false,
                Threads::One,
            );
            out
        };
        let brain: Vec<half::bf16> = w.iter().map(|&w| half::bf16::from_f32(w)).collect();
        let wide: Vec<f32> = brain.iter().map(|w| w.to_f32()).collect();
        assert_eq!(run(Weights::Bf16(&brain)), run(Weights::F32(&wide)));
        let short: Vec<half::f16> = w.iter().map(|&w| half::f16::from_f32(w)).collect();
        let wide: Vec<f32> = short.iter().map(|w| w.to_f32()).collect();
        assert_eq!(run(Weights::F16(&short)), run(Weights::F32(&wide)));
    }
}
