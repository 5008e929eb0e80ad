//! A plan read in the plainest way.

use std::collections::BTreeMap;

use super::{HIDDEN, by_stream, plan};
use crate::model::{
    Transformer,
    plan::{
        Activation, AttentionPlan, FeedForwardPlan, GroupedPlan, LatentPlan, NormPlan, NormsPlan,
    },
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
            x.iter()
                .zip(factors)
                .map(|(x, f)| x / rms * f * plan.scale)
                .collect()
        };
        x.iter()
            .map(|row| row.chunks(weight.len()).flat_map(run).collect())
            .collect()
    }

    fn rotated(plan: Option<&PositionPlan>, dim: usize, x: Matrix) -> Matrix {
        let Some(plan) = plan else {
            return x;
        };
        let half = plan.rotated / 2;
        let start = plan.side.start(dim, plan.rotated);
        let divisors = plan.scaling.as_ref();
        let divisors = divisors.map_or(vec![1.0; half], |s| s.divisors(plan.rotated, plan.theta));
        let magnitude = plan.scaling.as_ref().map_or(1.0, |s| s.magnitude());
        let mut x = x;
        for (position, row) in x.iter_mut().enumerate() {
            for head in row.chunks_mut(dim) {
                for (pair, divisor) in divisors.iter().enumerate() {
                    let plain = plan.theta.powf(-((2 * pair) as f64) / plan.rotated as f64);
                    let (sin, cos) = (position as f64 * plain / divisor).sin_cos();
                    let (sin, cos) = (sin * magnitude, cos * magnitude);
                    let (first, second) = (start + pair, start + pair + half);
                    let (a, b) = (head[first], head[second]);
                    head[first] = a * cos - b * sin;
                    head[second] = b * cos + a * sin;
                }
            }
        }
        x
    }

    fn grouped(&self, layer: &str, plan: &GroupedPlan, x: &Matrix) -> Matrix {
        let name = |part: &str| format!("{layer}.self_attn.{part}");
        let heads = plan.heads;
        let head = |part: &str, norm: &str| {
            let norm_plan = plan.head_norm.map(|(norm, _)| norm);
            let plain = self.norm(&name(norm), norm_plan, &self.linear(&name(part), x));
            Self::rotated(plan.position.as_ref(), heads.query_dim, plain)
        };
        let (query, key) = (head("q_proj", "q_norm"), head("k_proj", "k_norm"));
        let value = self.linear(&name("v_proj"), x);
        let part =
            |x: &Matrix, i: usize, h: usize, width: usize| x[i][h * width..][..width].to_vec();
        let group = heads.query / heads.kv;
        let mixed = attended(
            (x.len(), heads.query, f64::from(heads.scale)),
            heads.window,
            |i, h| part(&query, i, h, heads.query_dim),
            |j, h| part(&key, j, h / group, heads.query_dim),
            |j, h| part(&value, j, h / group, heads.value_dim),
        );
        self.linear(&name("o_proj"), &mixed)
    }

    fn latent(&self, layer: &str, plan: &LatentPlan, x: &Matrix) -> Matrix {
        let name = |part: &str| format!("{layer}.self_attn.{part}");
        let heads = plan.heads;
        let query = if plan.query_latent.is_some() {
            let latent = self.linear(&name("q_a_proj"), x);
            let latent = self.norm(&name("q_a_layernorm"), Some(plan.norm), &latent);
            self.linear(&name("q_b_proj"), &latent)
        } else {
            self.linear(&name("q_proj"), x)
        };
        let query = Self::rotated(Some(&plan.position), heads.query(), query);
        let joint = self.linear(&name("kv_a_proj_with_mqa"), x);
        let columns = |from: usize, to: usize| -> Matrix {
            joint.iter().map(|row| row[from..to].to_vec()).collect()
        };
        let latent = columns(0, heads.latent);
        let latent = self.norm(&name("kv_a_layernorm"), Some(plan.norm), &latent);
        let shared = columns(heads.latent, heads.cached());
        let shared = Self::rotated(Some(&plan.position), heads.rotated, shared);
        let up = self.linear(&name("kv_b_proj"), &latent);
        let (width, plain) = (heads.expanded(), heads.plain);
        let mixed = attended(
            (x.len(), heads.count, f64::from(plan.scale)),
            None,
            |i, h| query[i][h * heads.query()..][..heads.query()].to_vec(),
            |j, h| [&up[j][h * width..][..plain], &shared[j]].concat(),
            |j, h| up[j][h * width + plain..][..heads.value].to_vec(),
        );
        self.linear(&name("o_proj"), &mixed)
    }

    fn feed_forward(&self, layer: &str, plan: &FeedForwardPlan, x: &Matrix) -> Matrix {
        let FeedForwardPlan::Gated(plan) = plan else {
            panic!("experts are read beside their own tests")
        };
        let open = |g: f64| match plan.activation {
            Activation::Silu => g / (1.0 + (-g).exp()),
            Activation::GeluTanh => {
                let root = (2.0 / std::f64::consts::PI).sqrt();
                0.5 * g * (1.0 + (root * (g + 0.044715 * g.powi(3))).tanh())
            }
        };
        let gate = self.linear(&format!("{layer}.mlp.gate_proj"), x);
        let up = self.linear(&format!("{layer}.mlp.up_proj"), x);
        let gated = |(gate, up): (&Vec<f64>, &Vec<f64>)| {
            let opened = gate.iter().map(|&g| open(g));
            opened.zip(up).map(|(g, u)| g * u).collect()
        };
        let gated: Matrix = gate.iter().zip(&up).map(gated).collect();
        self.linear(&format!("{layer}.mlp.down_proj"), &gated)
    }

    /// The residual stream after the last block.
    fn stream(&self, ids: &[u32]) -> Matrix {
        let (_, table) = &self.0["model.embed_tokens.weight"];
        let plan = plan();
        let scale = f64::from(plan.embedding_scale);
        let row = |&id: &u32| -> Vec<f64> {
            let row = &table[id as usize * HIDDEN..][..HIDDEN];
            row.iter().map(|x| x * scale).collect()
        };
        let mut x: Matrix = ids.iter().map(row).collect();
        for (index, plan) in plan.layers.iter().enumerate() {
            let layer = format!("model.layers.{index}");
            let before_second = if plan.attention_norms.after.is_some() {
                "pre_feedforward_layernorm"
            } else {
                "post_attention_layernorm"
            };
            let mut around =
                |before: &str, after: &str, norms: NormsPlan, part: &dyn Fn(&Matrix) -> Matrix| {
                    let normed = self.norm(&format!("{layer}.{before}"), norms.before, &x);
                    let y = part(&normed);
                    let y = self.norm(&format!("{layer}.{after}"), norms.after, &y);
                    for (x, y) in x.iter_mut().zip(y) {
                        let added = x.iter_mut().zip(y);
                        added.for_each(|(x, y)| *x += f64::from(plan.residual_scale) * y);
                    }
                };
            let attention = |normed: &Matrix| match &plan.attention {
                AttentionPlan::Grouped(plan) => self.grouped(&layer, plan, normed),
                AttentionPlan::Latent(plan) => self.latent(&layer, plan, normed),
            };
            let (first, second) = ("input_layernorm", "post_attention_layernorm");
            around(first, second, plan.attention_norms, &attention);
            let feed_forward =
                |normed: &Matrix| self.feed_forward(&layer, &plan.feed_forward, normed);
            let after = "post_feedforward_layernorm";
            around(before_second, after, plan.feed_forward_norms, &feed_forward);
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

/// Softmax attention of so many rows and heads by their queries, keys and values.
fn attended(
    (rows, heads, scale): (usize, usize, f64),
    window: Option<usize>,
    query: impl Fn(usize, usize) -> Vec<f64>,
    key: impl Fn(usize, usize) -> Vec<f64>,
    value: impl Fn(usize, usize) -> Vec<f64>,
) -> Matrix {
    let row = |i: usize| {
        let mut mixed = Vec::new();
        for h in 0..heads {
            let seen = (0..=i).filter(|j| i - j < window.unwrap_or(usize::MAX));
            let seen: Vec<usize> = seen.collect();
            let own = query(i, h);
            let weight = |&j: &usize| {
                let score: f64 = own.iter().zip(key(j, h)).map(|(q, k)| q * k).sum();
                (score * scale).exp()
            };
            let weights: Vec<f64> = seen.iter().map(weight).collect();
            let total: f64 = weights.iter().sum();
            let mut sum = vec![0.0; value(0, h).len()];
            for (&j, weight) in seen.iter().zip(&weights) {
                let parts = sum.iter_mut().zip(value(j, h));
                parts.for_each(|(sum, value)| *sum += weight / total * value);
            }
            mixed.extend(sum);
        }
        mixed
    };
    (0..rows).map(row).collect()
}
