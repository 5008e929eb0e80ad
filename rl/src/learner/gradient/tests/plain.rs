//! The loss of these tests in f64, read off the architecture in the plainest way: a sequence at a time, nothing packed,
//! nothing shared, and no derivative but differences.

use std::collections::BTreeMap;

use super::{sequences, weights};
use crate::{
    learner::pack,
    model::{ModelConfig, Transformer},
};

type Rows = Vec<Vec<f64>>;

/// A model whose values can be moved one by one.
pub(super) struct Plain {
    config: ModelConfig,
    values: BTreeMap<String, Vec<f64>>,
    temperature: f64,
}

impl Plain {
    pub(super) fn new(model: &Transformer, temperature: f32) -> Self {
        let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect();
        let tensors = model.to_host().into_iter();
        Self {
            config: model.config().clone(),
            values: tensors
                .map(|(name, host)| (name, wide(host.values)))
                .collect(),
            temperature: temperature.into(),
        }
    }

    /// The derivative of the loss by one value.
    pub(super) fn slope(&mut self, name: &str, place: usize) -> f64 {
        // The loss is some hundreds: its rounding is 1e-13, so that of the slope 1e-9, and the cubic term is no larger.
        const STEP: f64 = 3e-5;
        let value = self.values[name][place];
        let mut at = |shift: f64| {
            self.values.get_mut(name).unwrap()[place] = value + shift;
            self.loss()
        };
        let slope = (at(STEP) - at(-STEP)) / (2.0 * STEP);
        at(0.0);
        slope
    }

    /// The loss of all sequences.
    pub(super) fn loss(&self) -> f64 {
        let sequences = sequences();
        let order = &pack(&sequences, 1000).unwrap()[0].members;
        let (mut loss, mut token) = (0.0, 0);
        for sequence in order.iter().map(|&member| &sequences[member]) {
            let marked: Vec<(u32, bool)> = sequence.marked().take(sequence.useful()).collect();
            let read = sequence.prompt.iter().copied();
            let ids: Vec<u32> = read.chain(marked.iter().map(|(id, _)| *id)).collect();
            let hidden = self.hidden(&ids[..ids.len() - 1]);
            let sampled = (0..marked.len()).filter(|&place| marked[place].1);
            for place in sampled {
                let row = sequence.prompt.len() + place;
                let logprobs = self.logprobs(&hidden[row - 1]);
                let chosen = logprobs[ids[row] as usize];
                let entropy: f64 = logprobs.iter().map(|l| -l * l.exp()).sum();
                let (squares, entropies) = weights(token);
                loss += f64::from(squares) * chosen * chosen + f64::from(entropies) * entropy;
                token += 1;
            }
        }
        loss
    }

    fn logprobs(&self, hidden: &[f64]) -> Vec<f64> {
        let head = self.values.get("lm_head.weight");
        let head = head.unwrap_or_else(|| &self.values["model.embed_tokens.weight"]);
        let logits: Vec<f64> = head
            .chunks(self.config.hidden_size)
            .map(|row| dot(row, hidden) / self.temperature)
            .collect();
        let sum: f64 = logits.iter().map(|z| z.exp()).sum();
        logits.iter().map(|z| z - sum.ln()).collect()
    }

    /// The normalised hidden states.
    fn hidden(&self, ids: &[u32]) -> Rows {
        let width = self.config.hidden_size;
        let table = &self.values["model.embed_tokens.weight"];
        let row = |&id: &u32| table[id as usize * width..][..width].to_vec();
        let mut x: Rows = ids.iter().map(row).collect();
        for layer in 0..self.config.num_hidden_layers {
            let name = |part: &str| format!("model.layers.{layer}.{part}");
            let y = self.attention(&name("self_attn"), &self.norm(&name("input_layernorm"), &x));
            add(&mut x, &y);
            let y = self.norm(&name("post_attention_layernorm"), &x);
            add(&mut x, &self.feed_forward(&name("mlp"), &y));
        }
        self.norm("model.norm", &x)
    }

    fn norm(&self, name: &str, x: &Rows) -> Rows {
        let weight = &self.values[&format!("{name}.weight")];
        let run = |x: &[f64]| -> Vec<f64> {
            let mean = dot(x, x) / x.len() as f64;
            let rms = (mean + self.config.rms_norm_eps).sqrt();
            x.iter().zip(weight).map(|(x, g)| x / rms * g).collect()
        };
        let runs = |row: &Vec<f64>| row.chunks(weight.len()).flat_map(run).collect();
        x.iter().map(runs).collect()
    }

    fn linear(&self, name: &str, x: &Rows) -> Rows {
        let weight = &self.values[&format!("{name}.weight")];
        let bias = self.values.get(&format!("{name}.bias"));
        let row = |x: &Vec<f64>| -> Vec<f64> {
            let products = weight.chunks(x.len()).map(|row| dot(row, x));
            match bias {
                Some(bias) => products.zip(bias).map(|(y, b)| y + b).collect(),
                None => products.collect(),
            }
        };
        x.iter().map(row).collect()
    }

    fn attention(&self, name: &str, x: &Rows) -> Rows {
        let dim = self.config.head_dim;
        let part = |part: &str| self.linear(&format!("{name}.{part}_proj"), x);
        let turned = |kind: &str| {
            let plain = part(kind);
            self.rotated(if self.config.qk_norm {
                self.norm(&format!("{name}.{kind}_norm"), &plain)
            } else {
                plain
            })
        };
        let (query, key, value) = (turned("q"), turned("k"), part("v"));
        let heads = self.config.num_attention_heads;
        let shared = heads / self.config.num_key_value_heads;
        let mixed = (0..x.len()).map(|i| {
            let mut mixed = vec![0.0; heads * dim];
            for (head, mixed) in mixed.chunks_mut(dim).enumerate() {
                let own = &query[i][head * dim..][..dim];
                let part = head / shared * dim..(head / shared + 1) * dim;
                // The scale is a power of 2 nowhere: it is what f32 has.
                let scale = f64::from(1.0 / (dim as f32).sqrt());
                let weights: Vec<f64> = (0..=i)
                    .map(|j| (scale * dot(own, &key[j][part.clone()])).exp())
                    .collect();
                let total: f64 = weights.iter().sum();
                for (j, weight) in weights.iter().enumerate() {
                    let value = value[j][part.clone()].iter();
                    mixed
                        .iter_mut()
                        .zip(value)
                        .for_each(|(m, v)| *m += weight / total * v);
                }
            }
            mixed
        });
        self.linear(&format!("{name}.o_proj"), &mixed.collect())
    }

    /// Heads turned by the angles that f32 has: what is compared is arithmetic, not the table.
    fn rotated(&self, mut x: Rows) -> Rows {
        let (dim, theta) = (self.config.head_dim, self.config.rope_theta as f32);
        let half = dim / 2;
        for (position, row) in x.iter_mut().enumerate() {
            for head in row.chunks_mut(dim) {
                for pair in 0..half {
                    let frequency = 1.0 / theta.powf((2 * pair) as f32 / dim as f32);
                    let angle = position as f32 * frequency;
                    let (sin, cos) = (f64::from(angle.sin()), f64::from(angle.cos()));
                    let (a, b) = (head[pair], head[pair + half]);
                    head[pair] = a * cos - b * sin;
                    head[pair + half] = b * cos + a * sin;
                }
            }
        }
        x
    }

    fn feed_forward(&self, name: &str, x: &Rows) -> Rows {
        let part = |part: &str, x: &Rows| self.linear(&format!("{name}.{part}_proj"), x);
        let (gate, up) = (part("gate", x), part("up", x));
        let gated = |(gate, up): (&Vec<f64>, &Vec<f64>)| {
            let silu = gate.iter().map(|g| g / (1.0 + (-g).exp()));
            silu.zip(up).map(|(g, u)| g * u).collect()
        };
        part("down", &gate.iter().zip(&up).map(gated).collect())
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(x: &mut Rows, y: &Rows) {
    for (x, y) in x.iter_mut().zip(y) {
        x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
    }
}
