//! AdamW with decoupled weight decay, clipping by the global norm, learning-rate schedules.

use burn::tensor::Tensor;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Head;
use crate::{
    compute::buffers::change_all,
    model::{ParameterVisitor, Parameters, Transformer},
};

/// Settings of [`AdamW`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamWConfig {
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay, per unit of learning rate. Norms and biases are not decayed.
    pub weight_decay: f64,
    /// Gradients are scaled down to this global norm; 0 leaves them.
    pub max_grad_norm: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            max_grad_norm: 1.0,
        }
    }
}

impl AdamWConfig {
    /// # Errors
    /// The first setting that is out of range, with its value.
    pub fn validate(&self) -> Result<(), String> {
        let Self {
            beta1,
            beta2,
            epsilon,
            weight_decay,
            max_grad_norm,
        } = *self;
        for (name, value, good) in [
            ("beta1", beta1, (0.0..1.0).contains(&beta1)),
            ("beta2", beta2, (0.0..1.0).contains(&beta2)),
            ("epsilon", epsilon, epsilon > 0.0),
            ("weight_decay", weight_decay, weight_decay >= 0.0),
            ("max_grad_norm", max_grad_norm, max_grad_norm >= 0.0),
        ] {
            if !good || !value.is_finite() {
                return Err(format!("{name} = {value} is out of range"));
            }
        }
        Ok(())
    }
}

/// AdamW (Loshchilov & Hutter, arXiv 1711.05101, algorithm 2), its state by parameter name.
///
/// What has no gradient in an update, such as an expert that no token went to, stays as it is, moments and decay
/// included; corrections of bias count the updates of all.
#[derive(Debug, Clone)]
pub struct AdamW {
    /// The settings.
    pub config: AdamWConfig,
    /// Updates made so far.
    pub steps: u64,
    /// First moments.
    pub mean: Parameters,
    /// Second moments.
    pub square: Parameters,
}

impl AdamW {
    /// An optimiser that has made no step.
    pub fn new(config: AdamWConfig) -> Self {
        Self {
            config,
            steps: 0,
            mean: Parameters::default(),
            square: Parameters::default(),
        }
    }

    /// Updates `model` and `head` by `gradients`, sets these to zero, and returns their global norm before
    /// clipping. Without gradients, or with a norm that is NaN or infinite, model and state stay as they
    /// are.
    pub fn step(
        &mut self,
        model: &mut Transformer,
        head: &mut Head,
        gradients: &mut Parameters,
        learning_rate: f64,
    ) -> f64 {
        let norm = gradients.norm();
        if gradients.is_empty() || !norm.is_finite() {
            return norm;
        }
        let limit = self.config.max_grad_norm;
        let scale = clip_scale(norm, limit);
        self.steps += 1;
        let mut update = Update {
            optimizer: self,
            gradients,
            scale,
            learning_rate,
        };
        model.visit(&mut update);
        model.visit_adapters(&mut update);
        head.visit(&mut update);
        norm
    }

    /// One tensor's update, on flat tensors; the gradient comes back as zeros.
    fn update(
        &mut self,
        name: &str,
        weight: Tensor<1>,
        gradient: Tensor<1>,
        rates: Rates,
    ) -> (Tensor<1>, Tensor<1>) {
        let zeros = || Tensor::zeros(weight.dims(), &weight.device());
        let mean = self.mean.remove(name).unwrap_or_else(zeros);
        let square = self.square.remove(name).unwrap_or_else(zeros);
        let factors = Factors::new(&self.config, self.steps, rates);
        let all = [weight, mean, square, gradient];
        let [weight, mean, square, gradient] = factors.update(all);
        self.mean.insert(name, mean);
        self.square.insert(name, square);
        (weight, gradient)
    }
}

/// How one tensor is to be updated.
#[derive(Debug, Clone, Copy)]
struct Rates {
    learning_rate: f64,
    /// Multiplies the gradient: clipping.
    scale: f64,
    /// Whether weight decay applies.
    decayed: bool,
}

/// The numbers of one tensor's update.
#[derive(Debug, Clone, Copy)]
struct Factors {
    beta1: f32,
    beta2: f32,
    /// `1 − β₁` and `1 − β₂`, each rounded once: from rounded betas they would be off by up to 2⁻²⁵ of 1,
    /// which is a thousandth of them where `β₂ = 0.99999`.
    fresh1: f32,
    fresh2: f32,
    epsilon: f32,
    scale: f32,
    /// `1 / sqrt(1 − β₂ᵗ)`.
    root: f32,
    /// `lr / (1 − β₁ᵗ)`.
    rate: f32,
    /// `1 − lr λ`.
    kept: f32,
}

impl Factors {
    fn new(config: &AdamWConfig, steps: u64, rates: Rates) -> Self {
        let Rates {
            learning_rate,
            scale,
            decayed,
        } = rates;
        let steps = steps as f64;
        let decay = if decayed { config.weight_decay } else { 0.0 };
        Self {
            beta1: config.beta1 as f32,
            beta2: config.beta2 as f32,
            fresh1: (1.0 - config.beta1) as f32,
            fresh2: (1.0 - config.beta2) as f32,
            epsilon: config.epsilon as f32,
            scale: scale as f32,
            root: (1.0 / (1.0 - config.beta2.powf(steps)).sqrt()) as f32,
            rate: (learning_rate / (1.0 - config.beta1.powf(steps))) as f32,
            kept: (1.0 - learning_rate * decay) as f32,
        }
    }

    fn on_device(self, all: [Tensor<1>; 4]) -> [Tensor<1>; 4] {
        let [weight, mean, square, gradient] = all;
        let zeros = gradient.zeros_like();
        let gradient = gradient.mul_scalar(self.scale);
        let moment = |old: Tensor<1>, beta: f32, value: Tensor<1>, fresh: f32| {
            old.mul_scalar(beta) + value.mul_scalar(fresh)
        };
        let mean = moment(mean, self.beta1, gradient.clone(), self.fresh1);
        let square = moment(square, self.beta2, gradient.square(), self.fresh2);
        let root = square
            .clone()
            .sqrt()
            .mul_scalar(self.root)
            .add_scalar(self.epsilon);
        let change = mean.clone().div(root).mul_scalar(self.rate);
        [weight.mul_scalar(self.kept) - change, mean, square, zeros]
    }

    /// Weight, moments and gradient after the update: in one pass over memory where they are on the CPU.
    fn update(self, all: [Tensor<1>; 4]) -> [Tensor<1>; 4] {
        let arch = pulp::Arch::new();
        let on_host = |[weight, mean, square, gradient]: [&mut [f32]; 4]| {
            let run = 1 << 16;
            let parts = weight.par_chunks_mut(run).zip(mean.par_chunks_mut(run));
            let others = square.par_chunks_mut(run).zip(gradient.par_chunks_mut(run));
            parts
                .zip(others)
                .for_each(|((weight, mean), (square, gradient))| {
                    arch.dispatch(|| self.on_slices(weight, mean, square, gradient));
                });
        };
        change_all(all, on_host, |all| self.on_device(all))
    }

    #[inline(always)]
    fn on_slices(
        self,
        weight: &mut [f32],
        mean: &mut [f32],
        square: &mut [f32],
        gradient: &mut [f32],
    ) {
        for (((w, m), v), g) in weight.iter_mut().zip(mean).zip(square).zip(gradient) {
            let scaled = *g * self.scale;
            *g = 0.0;
            *m = *m * self.beta1 + scaled * self.fresh1;
            *v = *v * self.beta2 + scaled * scaled * self.fresh2;
            *w = *w * self.kept - self.rate * *m / (v.sqrt() * self.root + self.epsilon);
        }
    }
}

/// The factor that brings a gradient of this norm down to `limit`, as torch's `clip_grad_norm_`.
fn clip_scale(norm: f64, limit: f64) -> f64 {
    if limit > 0.0 && norm > limit {
        limit / (norm + 1e-6)
    } else {
        1.0
    }
}

struct Update<'a> {
    optimizer: &'a mut AdamW,
    gradients: &'a mut Parameters,
    scale: f64,
    learning_rate: f64,
}

impl ParameterVisitor for Update<'_> {
    fn visit<const D: usize>(&mut self, name: &str, tensor: &mut Tensor<D>) {
        let Some(gradient) = self.gradients.remove(name) else {
            return;
        };
        let shape = tensor.dims();
        let count = shape.iter().product::<usize>();
        tensor.inplace(|weight| {
            let flat = weight.reshape([count]);
            let rates = Rates {
                learning_rate: self.learning_rate,
                scale: self.scale,
                decayed: D > 1,
            };
            let (flat, gradient) = self.optimizer.update(name, flat, gradient, rates);
            self.gradients.keep_zeros(name, gradient);
            flat.reshape(shape)
        });
    }
}

/// How the learning rate changes over a stage, after a linear warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Stays.
    #[default]
    Constant,
    /// Falls linearly to zero.
    Linear,
    /// Falls to zero along half a cosine.
    Cosine,
}

impl Schedule {
    /// The factor on the learning rate at `step` of `steps`, both counted from 0: a warm-up of
    /// `warmup` steps rises linearly to 1, then the schedule takes over.
    pub fn factor(self, step: u64, steps: u64, warmup: u64) -> f64 {
        if step < warmup {
            return (step + 1) as f64 / warmup as f64;
        }
        let done = (step - warmup) as f64 / steps.saturating_sub(warmup).max(1) as f64;
        match self {
            Self::Constant => 1.0,
            Self::Linear => 1.0 - done,
            Self::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done).cos()),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use serde_json::Value;

    use super::*;
    use crate::model::parameters::{from_host, to_host};

    /// Numbers of torch.optim.AdamW and clip_grad_norm_, see tests/golden/make_adamw_golden.py.
    #[test]
    fn updates_are_those_of_torch() {
        let golden: Value =
            serde_json::from_str(include_str!("../../../tests/golden/adamw.json")).unwrap();
        for case in golden["cases"].as_array().unwrap() {
            let number = |key: &str| case[key].as_f64().unwrap();
            let mut optimizer = AdamW::new(AdamWConfig {
                beta1: case["betas"][0].as_f64().unwrap(),
                beta2: case["betas"][1].as_f64().unwrap(),
                epsilon: number("eps"),
                weight_decay: number("weight_decay"),
                max_grad_norm: case["max_norm"].as_f64().unwrap_or(0.0),
            });
            let mut weights = Parameters::default();
            for name in ["w", "b"] {
                weights.insert(name, tensor(&case["initial"][name]));
            }
            for step in case["steps"].as_array().unwrap() {
                let mut gradients = Parameters::default();
                for name in ["w", "b"] {
                    gradients.insert(name, tensor(&step["grad"][name]));
                }
                let norm = gradients.norm();
                let expected = step["total_norm"].as_f64().unwrap();
                assert!(
                    (norm - expected).abs() <= 1e-6 * expected,
                    "{}: {norm}",
                    case["name"]
                );
                let scale = clip_scale(norm, optimizer.config.max_grad_norm);
                optimizer.steps += 1;
                for name in ["w", "b"] {
                    let gradient = gradients.remove(name).unwrap();
                    let weight = weights.remove(name).unwrap();
                    let rates = Rates {
                        learning_rate: number("lr"),
                        scale,
                        decayed: true,
                    };
                    let (weight, gradient) = optimizer.update(name, weight, gradient, rates);
                    assert!(to_host(gradient).iter().all(|&g| g == 0.0));
                    let ours = to_host(weight.clone());
                    let theirs = to_host(tensor(&step["after"][name]));
                    for (a, b) in ours.iter().zip(theirs) {
                        assert!((a - b).abs() < 1e-6, "{}: {a} {b}", case["name"]);
                    }
                    weights.insert(name, weight);
                }
            }
        }
    }

    /// After one update from nothing the moments are `(1 − β₁) g` and `(1 − β₂) g²`, to rounding, however
    /// near to 1 the betas are.
    #[test]
    fn moments_take_the_share_that_their_decay_leaves() {
        for beta2 in [0.999, 0.9999, 0.99999, 0.999_999] {
            let config = AdamWConfig {
                beta1: 0.95,
                beta2,
                ..AdamWConfig::default()
            };
            let rates = Rates {
                learning_rate: 0.1,
                scale: 1.0,
                decayed: false,
            };
            let factors = Factors::new(&config, 1, rates);
            let single = |value: f32| from_host::<1>(vec![value], [1], &Device::flex());
            let all = || [single(1.0), single(0.0), single(0.0), single(0.5)];
            for [_, mean, square, _] in [factors.on_device(all()), factors.update(all())] {
                let error =
                    |tensor, exact: f64| (f64::from(to_host(tensor)[0]) / exact - 1.0).abs();
                assert!(error(mean, 0.05 * 0.5) < 2e-7, "{beta2}");
                assert!(error(square, (1.0 - beta2) * 0.25) < 2e-7, "{beta2}");
            }
        }
    }

    fn tensor(values: &Value) -> Tensor<1> {
        fn collect(value: &Value, into: &mut Vec<f32>) {
            match value {
                Value::Array(list) => list.iter().for_each(|value| collect(value, into)),
                number => into.push(number.as_f64().unwrap() as f32),
            }
        }
        let mut flat = Vec::new();
        collect(values, &mut flat);
        let count = flat.len();
        from_host(flat, [count], &Device::flex())
    }

    #[test]
    fn schedules_warm_up_and_end() {
        assert_eq!(Schedule::Constant.factor(0, 10, 4), 0.25);
        assert_eq!(Schedule::Constant.factor(3, 10, 4), 1.0);
        assert_eq!(Schedule::Linear.factor(7, 10, 4), 0.5);
        assert!(Schedule::Cosine.factor(9, 10, 0) < 0.03);
    }
}
