//! What happens to each row by itself: normalisation, gating, rotation, softmax.
//!
//! Loops are written so that the compiler can turn them into vector instructions of whatever the
//! machine has; [`pulp::Arch::dispatch`] picks them at run time.

/// Independent partial sums: adding in one fixed pattern keeps results the same on every machine
/// with the same vector width, and lets the compiler use vectors at all.
const LANES: usize = 16;

/// Adds `f(a_i, b_i)` to the partial sums of each run of [`LANES`] values.
#[inline(always)]
fn sum2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for (sum, (&a, &b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += f(a, b);
        }
    }
    for (sum, (&a, &b)) in sums.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *sum += f(a, b);
    }
    sums.iter().sum()
}

/// `Σ a_i b_i c_i`.
#[inline(always)]
fn sum3(a: &[f32], b: &[f32], c: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let (c, c_rest) = c.as_chunks::<LANES>();
    for ((a, b), c) in a.iter().zip(b).zip(c) {
        for (sum, ((&a, &b), &c)) in sums.iter_mut().zip(a.iter().zip(b).zip(c)) {
            *sum += a * b * c;
        }
    }
    for (sum, ((&a, &b), &c)) in sums.iter_mut().zip(a_rest.iter().zip(b_rest).zip(c_rest)) {
        *sum += a * b * c;
    }
    sums.iter().sum()
}

/// `Σ a_i b_i`.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    sum2(a, b, |a, b| a * b)
}

/// What [`exp`] gives at most for all that lies so far below 0 that it is as good as nothing: a little
/// above `e^-87.3`.
pub(crate) const NOTHING: f32 = 1.25e-38;

/// `eˣ` to about two units in the last place, between `e^-87.3` and `e^88.3`. What lies below is as if it lay there, and is
/// never 0 (see [`NOTHING`]); what lies above is infinite. Cephes' reduction `x = n ln 2 + r` and a
/// polynomial of degree 6 for `eʳ`.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0; // 1.5 · 2²³: adding it rounds to an integer
    let x = x.clamp(-87.3, 88.7);
    let n = (x * std::f32::consts::LOG2_E + MAGIC) - MAGIC;
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 5.000_000_3e-1;
    let e = p * (r * r) + r + 1.0;
    e * f32::from_bits((((n as i32) + 127) << 23) as u32)
}

/// `1 / sqrt(mean(x²) + ε)`.
#[inline(always)]
fn inverse_rms(x: &[f32], epsilon: f32) -> f32 {
    1.0 / (dot(x, x) / x.len() as f32 + epsilon).sqrt()
}

/// Root-mean-square normalisation of each run of `weight.len()` values.
#[inline(always)]
pub(crate) fn rms_norm(out: &mut [f32], x: &[f32], weight: &[f32], epsilon: f32) {
    for (out, x) in out
        .chunks_exact_mut(weight.len())
        .zip(x.chunks_exact(weight.len()))
    {
        let scale = inverse_rms(x, epsilon);
        for ((out, &x), &w) in out.iter_mut().zip(x).zip(weight) {
            *out = x * scale * w;
        }
    }
}

/// Adds the gradients of [`rms_norm`] to `by_x` and `by_weight`.
///
/// With `s = 1 / rms` and `n = x s`: `∂w += ∂y n`, `∂x += s (w ∂y − n mean(w ∂y n))`.
#[inline(always)]
pub(crate) fn rms_norm_backward(
    by_x: &mut [f32],
    by_weight: &mut [f32],
    x: &[f32],
    weight: &[f32],
    epsilon: f32,
    by_y: &[f32],
) {
    let width = weight.len();
    let rows = by_x.chunks_exact_mut(width).zip(x.chunks_exact(width));
    for ((by_x, x), by_y) in rows.zip(by_y.chunks_exact(width)) {
        let scale = inverse_rms(x, epsilon);
        for ((by_weight, &d), &x) in by_weight.iter_mut().zip(by_y).zip(x) {
            *by_weight += d * x * scale;
        }
        let mean = scale * sum3(by_y, x, weight) / width as f32;
        let rows = by_x.iter_mut().zip(x).zip(by_y).zip(weight);
        for (((by_x, &x), &d), &w) in rows {
            *by_x += scale * (w * d - x * scale * mean);
        }
    }
}

/// `silu(gate) ⊙ up`, with `silu(x) = x / (1 + e⁻ˣ)`.
#[inline(always)]
pub(crate) fn swiglu(out: &mut [f32], gate: &[f32], up: &[f32]) {
    for ((out, &g), &u) in out.iter_mut().zip(gate).zip(up) {
        *out = g / (1.0 + exp(-g)) * u;
    }
}

/// Turns `gate` and `up` into their gradients, and `by_out` into what [`swiglu`] gave.
#[inline(always)]
pub(crate) fn swiglu_backward(gate: &mut [f32], up: &mut [f32], by_out: &mut [f32]) {
    for ((g, u), d) in gate.iter_mut().zip(up).zip(by_out) {
        let sigmoid = 1.0 / (1.0 + exp(-*g));
        let silu = *g * sigmoid;
        let value = silu * *u;
        let by_gate = *d * *u * (sigmoid + silu * (1.0 - sigmoid));
        *u = *d * silu;
        *g = by_gate;
        *d = value;
    }
}

/// `√(2/π)` and the factor of the cube in [`gelu_gate`].
const GELU: (f32, f32) = (0.797_884_6, 0.044_715);

/// `σ(2u)` with `u = √(2/π) (x + 0.044715 x³)`: `gelu(x) = x σ(2u)` is the approximation by tanh
/// (arXiv 1606.08415, section 2), since `1 + tanh u = 2 σ(2u)`.
#[inline(always)]
fn gelu_gate(x: f32) -> f32 {
    let (root, cube) = GELU;
    1.0 / (1.0 + exp(-2.0 * root * (x + cube * x * x * x)))
}

/// `gelu(gate) ⊙ up`.
#[inline(always)]
pub(crate) fn geglu(out: &mut [f32], gate: &[f32], up: &[f32]) {
    for ((out, &g), &u) in out.iter_mut().zip(gate).zip(up) {
        *out = g * gelu_gate(g) * u;
    }
}

/// Turns `gate` and `up` into their gradients, and `by_out` into what [`geglu`] gave.
#[inline(always)]
pub(crate) fn geglu_backward(gate: &mut [f32], up: &mut [f32], by_out: &mut [f32]) {
    let (root, cube) = GELU;
    for ((g, u), d) in gate.iter_mut().zip(up).zip(by_out) {
        let open = gelu_gate(*g);
        let slope = 2.0 * root * (1.0 + 3.0 * cube * *g * *g);
        let gelu = *g * open;
        let value = gelu * *u;
        let by_gate = *d * *u * (open + gelu * (1.0 - open) * slope);
        *u = *d * gelu;
        *g = by_gate;
        *d = value;
    }
}

/// Rotates pairs of every head of a row, from `start` on, by the angles of its position; `direction` is 1, or
/// −1 for the rotation back, which is also the gradient.
#[inline(always)]
pub(crate) fn rotate(
    row: &mut [f32],
    (dim, start): (usize, usize),
    cos: &[f32],
    sin: &[f32],
    direction: f32,
) {
    let half = cos.len();
    for head in row.chunks_exact_mut(dim) {
        let (first, second) = head[start..start + 2 * half].split_at_mut(half);
        let angles = cos.iter().zip(sin);
        for ((a, b), (&cos, &sin)) in first.iter_mut().zip(second).zip(angles) {
            let sin = sin * direction;
            (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
        }
    }
}

/// The largest value.
#[inline(always)]
pub(crate) fn max(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = if x > *lane { x } else { *lane };
        }
    }
    rest.iter()
        .chain(&lanes)
        .copied()
        .fold(f32::NEG_INFINITY, f32::max)
}

/// Replaces each value by `e^(scale · (x − shift))` and returns their sum.
#[inline(always)]
pub(crate) fn exp_sum(x: &mut [f32], shift: f32, scale: f32) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (chunks, rest) = x.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *x = exp((*x - shift) * scale);
            *sum += *x;
        }
    }
    for (sum, x) in sums.iter_mut().zip(rest) {
        *x = exp((*x - shift) * scale);
        *sum += *x;
    }
    sums.iter().sum()
}

/// Replaces each value by `w = e^{scale · (x − shift)}`; returns `Σ w` and `Σ w log w`.
#[inline(always)]
pub(crate) fn exp_moments(x: &mut [f32], shift: f32, scale: f32) -> (f64, f64) {
    let (mut sums, mut logs) = ([0.0f32; LANES], [0.0f32; LANES]);
    let (chunks, rest) = x.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for ((sum, log_sum), x) in sums.iter_mut().zip(&mut logs).zip(chunk) {
            let log = (*x - shift) * scale;
            *x = exp(log);
            *sum += *x;
            *log_sum += *x * log;
        }
    }
    for ((sum, log_sum), x) in sums.iter_mut().zip(&mut logs).zip(rest) {
        let log = (*x - shift) * scale;
        *x = exp(log);
        *sum += *x;
        *log_sum += *x * log;
    }
    let total = |lanes: [f32; LANES]| lanes.iter().map(|&x| f64::from(x)).sum();
    (total(sums), total(logs))
}

/// Log-probabilities of a row of logits, in nats, with their sum in f64.
pub(crate) fn log_softmax(logits: &[f32]) -> Vec<f32> {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&z| f64::from(z - top).exp()).sum();
    let log = sum.ln() as f32;
    logits.iter().map(|z| z - top - log).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_far_below_is_nothing() {
        for x in [f32::NEG_INFINITY, -1e9, -200.0, -87.31, -87.3] {
            assert!(exp(x) > 0.0 && exp(x) < NOTHING, "{x}: {:e}", exp(x));
        }
        assert!(exp(-87.2) > NOTHING);
        assert!(exp(88.3).is_finite() && exp(f32::INFINITY).is_infinite());
    }

    #[test]
    fn exp_is_that_of_the_library() {
        let mut worst = 0.0f64;
        for i in -870_000..880_000 {
            let x = i as f32 * 1e-4;
            let error = (f64::from(exp(x)) / f64::from(x).exp() - 1.0).abs();
            worst = worst.max(error);
        }
        assert!(worst < 3e-7, "{worst:e}");
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(-1e9) < 2e-38 && exp(f32::NEG_INFINITY) < 2e-38);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn sums_and_maxima_of_any_length() {
        for length in [0, 1, 15, 16, 17, 100] {
            let x: Vec<f32> = (0..length).map(|i| (i as f32 * 0.7).sin()).collect();
            let plain: f64 = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            assert!((f64::from(dot(&x, &x)) - plain).abs() < 1e-5);
            let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(max(&x), largest);
        }
    }
}
