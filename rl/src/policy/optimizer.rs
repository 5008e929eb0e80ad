//! AdamW with decoupled weight decay, clipping by the global norm, learning-rate schedules.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::model::{ParameterVisitor, Parameters, Transformer};

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

/// AdamW (Loshchilov & Hutter, arXiv 1711.05101, algorithm 2), its state by parameter name.
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

    /// Updates `model` by `gradients` and returns the gradients' global norm before clipping. Without
    /// gradients, or with a norm that is no number, model and state stay as they are.
    pub fn step(
        &mut self,
        model: &mut Transformer,
        gradients: Parameters,
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
        norm
    }

    /// One tensor's update, on flat tensors.
    fn update(
        &mut self,
        name: &str,
        weight: Tensor<1>,
        gradient: Tensor<1>,
        learning_rate: f64,
        decayed: bool,
    ) -> Tensor<1> {
        let AdamWConfig {
            beta1,
            beta2,
            epsilon,
            weight_decay,
            max_grad_norm: _,
        } = self.config;
        let moment = |old: Option<Tensor<1>>, beta: f64, value: Tensor<1>| match old {
            Some(old) => old.mul_scalar(beta) + value.mul_scalar(1.0 - beta),
            None => value.mul_scalar(1.0 - beta),
        };
        let mean = moment(self.mean.remove(name), beta1, gradient.clone());
        let square = moment(self.square.remove(name), beta2, gradient.square());
        let steps = self.steps as f64;
        let (correction1, correction2) = (1.0 - beta1.powf(steps), 1.0 - beta2.powf(steps));
        let root = square
            .clone()
            .sqrt()
            .div_scalar(correction2.sqrt())
            .add_scalar(epsilon);
        let change = mean
            .clone()
            .div(root)
            .mul_scalar(learning_rate / correction1);
        self.mean.insert(name, mean);
        self.square.insert(name, square);
        match decayed && weight_decay != 0.0 {
            true => weight.mul_scalar(1.0 - learning_rate * weight_decay) - change,
            false => weight - change,
        }
    }
}

/// The factor that brings a gradient of this norm down to `limit`, as torch's `clip_grad_norm_`.
fn clip_scale(norm: f64, limit: f64) -> f64 {
    match limit > 0.0 && norm > limit {
        true => limit / (norm + 1e-6),
        false => 1.0,
    }
}

struct Update<'a> {
    optimizer: &'a mut AdamW,
    gradients: Parameters,
    scale: f64,
    learning_rate: f64,
}

impl ParameterVisitor for Update<'_> {
    fn visit<const D: usize>(&mut self, name: &str, tensor: &mut Tensor<D>) {
        let Some(gradient) = self.gradients.remove(name) else {
            return;
        };
        let gradient = match self.scale == 1.0 {
            true => gradient,
            false => gradient.mul_scalar(self.scale),
        };
        let shape = tensor.dims();
        let count = shape.iter().product::<usize>();
        tensor.inplace(|weight| {
            let flat = weight.reshape([count]);
            self.optimizer
                .update(name, flat, gradient, self.learning_rate, D > 1)
                .reshape(shape)
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
                    let gradient = gradients.remove(name).unwrap().mul_scalar(scale);
                    let weight = weights.remove(name).unwrap();
                    let weight = optimizer.update(name, weight, gradient, number("lr"), true);
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
