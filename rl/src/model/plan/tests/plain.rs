//! A plan read in the plainest way.

use std::collections::BTreeMap;

use super::{HIDDEN, by_stream, plan};
use crate::model::{
    Transformer,
    plan::{AttentionPlan, GroupedPlan, NormPlan},
    position::PositionPlan,
    weights::HostTensor,
};

/// The plan read in the plainest way, in f64, one sequence at a time.
pub(super) struct Plain(pub(super) BTreeMap<String, (Vec<usize>, Vec<f64>)>);

type Matrix = Vec<Vec<f64>>;

impl Plain {
    pub(super) fn new(model: &Transformer) -> Self {
        let wide = |host: HostTensor| {
            (
                host.shape,
                host.values.iter().map(|&x| f64::from(x)).collect(),
            )
        };
        let tensors = model.to_host().into_iter();
        Self(tensors.map(|(name, host)| (name, wide(host))).collect())
    }

    fn linear(&self, name: &str, x: &Matrix) -> Matrix {
        let (shape, weight) = &self.0[&format!("{name}.weight")];
        let bias = self.0.get(&format!("{name}.bias"));
        let row = |x: &Vec<f64>| {
            let value = |out: usize| {
                let weight = &weight[out * shape[1]..(out + 1) * shape[1]];
                let product: f64 = weight.iter().zip(x).map(|(w, x)| w * x).sum();
                product + bias.map_or(0.0, |(_, bias)| bias[out])
            };
            (0..shape[0]).map(value).collect()
        };
        x.iter().map(row).collect()
    }

    fn norm(&self, name: &str, plan: Option<NormPlan>, x: &Matrix) -> Matrix {
        let Some(plan) = plan else {
            return x.clone();
        };
        let (_, weight) = &self.0[&format!("{name}.weight")];
        let run = |x: &[f64]| -> Vec<f64> {
            let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
            let rms = (mean + plan.epsilon).sqrt();
            let factors = weight.iter().map(|w| w + plan.offset);
            x.iter().zip(factors).map(|(x, f)| x / rms * f).collect()
        };
        x.iter()
            .map(|row| row.chunks(weight.len()).flat_map(run).collect())
            .collect()
    }

    fn rotated(plan: &Option<PositionPlan>, dim: usize, x: Matrix) -> Matrix {
        let Some(plan) = plan else {
            return x;
        };
        let half = plan.rotated / 2;
        let mut x = x;
        for (position, row) in x.iter_mut().enumerate() {
            for head in row.chunks_mut(dim) {
                for pair in 0..half {
                    let plain = plan.theta.powf(-((2 * pair) as f64) / plan.rotated as f64);
                    let divisor = plan.scaling.as_ref().map_or(1.0, |s| s.divisor(plain));
                    let (sin, cos) = (position as f64 * plain / divisor).sin_cos();
                    let (a, b) = (head[pair], head[pair + half]);
                    head[pair] = a * cos - b * sin;
                    head[pair + half] = b * cos + a * sin;
                }
            }
        }
        x
    }

    fn attention(&self, layer: &str, plan: &GroupedPlan, x: &Matrix) -> Matrix {
        let name = |part: &str| format!("{layer}.self_attn.{part}");
        let heads = plan.heads;
        let head = |part: &str, norm: &str| {
            let plain = self.norm(&name(norm), plan.head_norm, &self.linear(&name(part), x));
            Self::rotated(&plan.position, heads.query_dim, plain)
        };
        let (query, key) = (head("q_proj", "q_norm"), head("k_proj", "k_norm"));
        let value = self.linear(&name("v_proj"), x);
        let mut mixed = vec![vec![0.0; heads.query * heads.value_dim]; x.len()];
        for (i, mixed) in mixed.iter_mut().enumerate() {
            let window = heads.window.unwrap_or(usize::MAX);
            let seen: Vec<usize> = (0..=i).filter(|j| i - j < window).collect();
            for h in 0..heads.query {
                let (dim, shared) = (heads.query_dim, h / (heads.query / heads.kv));
                let weight = |&j: &usize| {
                    let query = &query[i][h * dim..(h + 1) * dim];
                    let key = &key[j][shared * dim..(shared + 1) * dim];
                    let score: f64 = query.iter().zip(key).map(|(q, k)| q * k).sum();
                    (score * f64::from(heads.scale)).exp()
                };
                let weights: Vec<f64> = seen.iter().map(weight).collect();
                let total: f64 = weights.iter().sum();
                for (j, weight) in seen.iter().zip(weights) {
                    for d in 0..heads.value_dim {
                        mixed[h * heads.value_dim + d] +=
                            weight / total * value[*j][shared * heads.value_dim + d];
                    }
                }
            }
        }
        self.linear(&name("o_proj"), &mixed)
    }

    fn feed_forward(&self, layer: &str, x: &Matrix) -> Matrix {
        let gate = self.linear(&format!("{layer}.mlp.gate_proj"), x);
        let up = self.linear(&format!("{layer}.mlp.up_proj"), x);
        let gated = |(gate, up): (&Vec<f64>, &Vec<f64>)| {
            let silu = gate.iter().map(|g| g / (1.0 + (-g).exp()));
            silu.zip(up).map(|(g, u)| g * u).collect()
        };
        let gated: Matrix = gate.iter().zip(&up).map(gated).collect();
        self.linear(&format!("{layer}.mlp.down_proj"), &gated)
    }

    /// The residual stream after the last block.
    fn stream(&self, ids: &[u32]) -> Matrix {
        let (_, table) = &self.0["model.embed_tokens.weight"];
        let row = |&id: &u32| table[id as usize * HIDDEN..][..HIDDEN].to_vec();
        let mut x: Matrix = ids.iter().map(row).collect();
        let add = |x: &mut Matrix, y: Matrix| {
            for (x, y) in x.iter_mut().zip(y) {
                x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
            }
        };
        for (index, plan) in plan().layers.iter().enumerate() {
            let layer = format!("model.layers.{index}");
            let AttentionPlan::Grouped(attention) = &plan.attention;
            let (around, inner) = (plan.attention_norms, plan.feed_forward_norms);
            let before_second = if around.after.is_some() {
                "pre_feedforward_layernorm"
            } else {
                "post_attention_layernorm"
            };
            let normed = self.norm(&format!("{layer}.input_layernorm"), around.before, &x);
            let y = self.attention(&layer, attention, &normed);
            let after = format!("{layer}.post_attention_layernorm");
            add(&mut x, self.norm(&after, around.after, &y));
            let normed = self.norm(&format!("{layer}.{before_second}"), inner.before, &x);
            let y = self.feed_forward(&layer, &normed);
            let after = format!("{layer}.post_feedforward_layernorm");
            add(&mut x, self.norm(&after, inner.after, &y));
        }
        x
    }

    /// The stream of a prompt and of each that continues it, in the order of packed rows.
    pub(super) fn packed(&self, sequences: &[Vec<u32>]) -> Vec<f64> {
        let mut rows = self.stream(&sequences[0]);
        for continuation in &sequences[1..] {
            let whole = [&sequences[0][..], continuation].concat();
            rows.extend(self.stream(&whole).split_off(sequences[0].len()));
        }
        rows.concat()
    }

    pub(super) fn loss(&self, sequences: &[Vec<u32>]) -> f64 {
        let stream = self.packed(sequences);
        let factors = by_stream(stream.len() / HIDDEN);
        let products = stream.iter().zip(factors);
        products.map(|(x, factor)| x * f64::from(factor)).sum()
    }
}
