//! Mixtures of experts with every kind of router, by both arithmetics, against a plain reading of the equations in
//! f64 and its differences.

use std::collections::BTreeMap;

use burn::tensor::Device;

use super::*;
use crate::{
    compute::{host::Host, tensor::Tensors},
    model::{
        gradients::Trained,
        plan::SharedPlan,
        router::{Scores, tests::kinds},
    },
};

const HIDDEN: usize = 10;
const INNER: usize = 6;
const ROWS: usize = 7;

type Values = BTreeMap<String, (Vec<usize>, Vec<f64>)>;

/// A part with weights that are all different, and these weights.
fn part(router: &Router, shared: Option<SharedPlan>) -> (Experts, Values) {
    let plan = ExpertsPlan {
        router: router.clone(),
        inner: INNER,
        shared,
    };
    let mut values = Values::new();
    let mut seed = 0.0f32;
    let mut tensor = |name: &str, shape: &[usize]| {
        let draw = (0..shape.iter().product()).map(|_| {
            seed += 1.0;
            0.5 * (seed * 12.9898).sin()
        });
        let host = HostTensor {
            shape: shape.to_vec(),
            values: draw.collect(),
        };
        let wide = host.values.iter().map(|&x| f64::from(x)).collect();
        values.insert(name.to_owned(), (shape.to_vec(), wide));
        Ok::<_, std::convert::Infallible>(host)
    };
    let mut make = Maker {
        prefix: "layer".to_owned(),
        hidden: HIDDEN,
        device: &Device::flex(),
        tensor: &mut tensor,
    };
    let part = Experts::build(&plan, &mut make).unwrap();
    let named: BTreeMap<String, Vec<usize>> = tensors("layer", &plan, HIDDEN).into_iter().collect();
    let built = values
        .iter()
        .map(|(name, (shape, _))| (name.clone(), shape.clone()));
    assert_eq!(named, built.collect());
    (part, values)
}

fn shared(gated: bool) -> Option<SharedPlan> {
    Some(SharedPlan { inner: 5, gated })
}

/// Every kind of router, without and with an expert that all tokens go to.
fn parts() -> Vec<(String, Router, Experts, Values)> {
    let shares = [None, shared(false), shared(true), None, shared(false)];
    let all = kinds().into_iter().zip(shares);
    all.map(|((name, router), shared)| {
        let (part, values) = part(&router, shared);
        (format!("{name}, shared: {shared:?}"), router, part, values)
    })
    .collect()
}

fn wave(count: usize, factor: f32) -> Vec<f32> {
    (0..count)
        .map(|i| (factor * (i + 1) as f32).sin())
        .collect()
}

fn tensors_of() -> Tensors {
    Tensors {
        device: Device::flex(),
    }
}

/// The equations in f64 for one row, whose experts are known.
fn plain(router: &Router, values: &Values, x: &[f64], chosen: &[u32]) -> Vec<f64> {
    let product = |name: &str, x: &[f64]| -> Vec<f64> {
        let (_, weight) = &values[&format!("layer.{name}.weight")];
        let rows = weight.chunks(x.len());
        rows.map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum())
            .collect()
    };
    let gated = |name: &str| {
        let gate = product(&format!("{name}.gate_proj"), x);
        let up = product(&format!("{name}.up_proj"), x);
        let h: Vec<f64> = gate
            .iter()
            .zip(up)
            .map(|(g, u)| g / (1.0 + (-g).exp()) * u)
            .collect();
        product(&format!("{name}.down_proj"), &h)
    };
    let logits = product("mlp.gate", x);
    let all: f64 = logits.iter().map(|z| z.exp()).sum();
    let among: f64 = chosen.iter().map(|&e| logits[e as usize].exp()).sum();
    let score = |e: u32| {
        let z = logits[e as usize];
        match router.scores {
            Scores::Softmax => z.exp() / all,
            Scores::Sigmoid => 1.0 / (1.0 + (-z).exp()),
            Scores::SoftmaxOfChosen => z.exp() / among,
        }
    };
    let sum: f64 = chosen.iter().map(|&e| score(e)).sum();
    let divisor = router.normalized.map_or(1.0, |more| sum + f64::from(more));
    let mut y = vec![0.0; HIDDEN];
    let mut add = |factor: f64, more: Vec<f64>| {
        y.iter_mut()
            .zip(more)
            .for_each(|(y, more)| *y += factor * more);
    };
    if values.contains_key("layer.mlp.shared_experts.up_proj.weight") {
        let factor = if values.contains_key("layer.mlp.shared_expert_gate.weight") {
            1.0 / (1.0 + (-product("mlp.shared_expert_gate", x)[0]).exp())
        } else {
            1.0
        };
        add(factor, gated("mlp.shared_experts"));
    }
    for &e in chosen {
        let weight = score(e) / divisor * f64::from(router.scale);
        add(weight, gated(&format!("mlp.experts.{e}")));
    }
    y
}

/// Output, chosen experts, gradients by weights and by the input.
struct Seen {
    y: Vec<f32>,
    chosen: Vec<u32>,
    sums: Parameters,
    by_x: Vec<f32>,
    routing: crate::model::Routing,
}

/// The input, forward and backward with what was kept put through matrices, as a tape does.
fn run<C: Compute>(c: &C, part: &Experts, x: &[f32]) -> Seen {
    let rows = || c.rows_of(x.to_vec(), HIDDEN);
    let (y, kept) = part.forward(c, rows(), None, || None);
    let chosen = c.values_of(&kept.chosen);
    let mut matrices = Vec::new();
    kept.for_each(&mut |matrix| matrices.push(c.copy(matrix)));
    let mut matrices = matrices.into_iter();
    let kept = ExpertsKept::from_parts(part, &mut || matrices.next().unwrap());
    assert!(matrices.next().is_none());
    let mut sums = Parameters::default();
    let mut gradients = Gradients::new(&mut sums, Trained::All);
    let by_y = c.rows_of(wave(x.len(), 0.37), HIDDEN);
    let by_x = part.backward(c, kept, &by_y, rows, &mut gradients);
    let routing = gradients.routing;
    Seen {
        y: c.values_of(&y),
        chosen: chosen.into_iter().map(|e| e as u32).collect(),
        sums,
        by_x: c.values_of(&by_x),
        routing,
    }
}

#[test]
fn outputs_and_gradients_are_those_of_the_equations() {
    for (name, router, part, mut values) in parts() {
        let x = wave(ROWS * HIDDEN, 7.31);
        let seen = [run(&Host::new(), &part, &x), run(&tensors_of(), &part, &x)];
        assert_eq!(seen[0].chosen, seen[1].chosen, "{name}");
        let chosen = seen[0].chosen.clone();
        let mut wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let all = |values: &Values, wide: &[f64]| -> Vec<f64> {
            let rows = wide.chunks(HIDDEN).zip(chosen.chunks(router.chosen));
            rows.flat_map(|(x, chosen)| plain(&router, values, x, chosen))
                .collect()
        };
        let expected = all(&values, &wide);
        for seen in &seen {
            let pairs = seen.y.iter().zip(&expected);
            let worst = pairs
                .map(|(a, b)| (f64::from(*a) - b).abs())
                .fold(0.0, f64::max);
            assert!(worst < 1e-5, "{name}: {worst:e}");
        }
        let by_y = wave(ROWS * HIDDEN, 0.37);
        let loss = |values: &Values, wide: &[f64]| -> f64 {
            let y = all(values, wide);
            y.iter().zip(&by_y).map(|(y, by)| y * f64::from(*by)).sum()
        };
        for place in 0..wide.len() {
            let value = wide[place];
            let mut at = |shift: f64| {
                wide[place] = value + shift;
                loss(&values, &wide)
            };
            let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
            at(0.0);
            for seen in &seen {
                let error = (f64::from(seen.by_x[place]) - slope).abs();
                assert!(
                    error < 2e-5 * (1.0 + slope.abs()),
                    "{name}: x[{place}]: {error:e}"
                );
            }
        }
        let names: Vec<String> = values.keys().cloned().collect();
        let mut idle = 0;
        for weight in names {
            let gradients = seen
                .each_ref()
                .map(|seen| seen.sums.get(&weight).cloned().map(to_host));
            let [Some(host), Some(tensors)] = gradients else {
                // Of an expert that no row went to, or of what has no gradient.
                let number = weight.split('.').nth(3).and_then(|part| part.parse().ok());
                let hit = number.is_some_and(|number: u32| chosen.contains(&number));
                assert!(!hit, "{name}: {weight}");
                idle += usize::from(number.is_some());
                continue;
            };
            for place in 0..host.len() {
                let value = values[&weight].1[place];
                let mut at = |shift: f64| {
                    values.get_mut(&weight).unwrap().1[place] = value + shift;
                    loss(&values, &wide)
                };
                let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
                at(0.0);
                for ours in [host[place], tensors[place]] {
                    let error = (f64::from(ours) - slope).abs();
                    assert!(
                        error < 2e-5 * (1.0 + slope.abs()),
                        "{name}: {weight}[{place}]: {ours} for {slope}"
                    );
                }
            }
        }
        let idle_experts = (0..8).filter(|e| !chosen.contains(e)).count();
        assert_eq!(idle, 3 * idle_experts, "{name}");
    }
}

/// What a row becomes while it is decoded does not depend on the rows beside it.
#[test]
fn any_batch_is_the_same_to_the_bit() {
    let host = Host::new().decoding();
    for (name, _, part, _) in parts() {
        let x = wave(40 * HIDDEN, 7.31);
        let all = run(&host, &part, &x).y;
        for row in 0..40 {
            let own = row * HIDDEN..(row + 1) * HIDDEN;
            let alone = run(&host, &part, &x[own.clone()]).y;
            assert_eq!(alone, all[own], "{name}, row {row}");
        }
        let some = 5 * HIDDEN..22 * HIDDEN;
        assert_eq!(run(&host, &part, &x[some.clone()]).y, all[some], "{name}");
    }
}

#[test]
fn loads_are_counted() {
    let (_, router, part, _) = parts().swap_remove(0);
    let seen = run(&Host::new(), &part, &wave(ROWS * HIDDEN, 7.31));
    let load = seen.routing.get("layer.mlp.gate").unwrap();
    assert_eq!(load.tokens, ROWS as u64);
    for expert in 0..8u32 {
        let count = seen.chosen.iter().filter(|&&e| e == expert).count();
        assert_eq!(load.counts[expert as usize], count as u64);
    }
    let most = (router.experts as f64).ln() * ROWS as f64;
    assert!(load.entropy > 0.0 && load.entropy < most);
}

/// The loss that spreads tokens, of two sequences, against its equations and their differences.
#[test]
fn the_sequence_wise_loss_has_its_gradient() {
    for (name, router, part, mut values) in parts() {
        let x = wave(ROWS * HIDDEN, 7.31);
        let host = Host::new();
        let sequences = vec![0..3, 3..ROWS];
        let gradient = |balance: Option<SequenceBalance>| {
            let (_, kept) = part.forward(&host, host.rows_of(x.clone(), HIDDEN), None, || None);
            let chosen: Vec<u32> = host
                .values_of(&kept.chosen)
                .iter()
                .map(|&e| e as u32)
                .collect();
            let mut sums = Parameters::default();
            let mut gradients = Gradients::new(&mut sums, Trained::All);
            gradients.balance = balance;
            let by_y = host.rows_of(vec![0.0; x.len()], HIDDEN);
            let normed = || host.rows_of(x.clone(), HIDDEN);
            part.backward(&host, kept, &by_y, normed, &mut gradients);
            (
                to_host(sums.get("layer.mlp.gate.weight").unwrap().clone()),
                chosen,
            )
        };
        let weight = 0.3;
        let (ours, chosen) = gradient(Some(SequenceBalance {
            weight,
            sequences: sequences.clone(),
        }));
        assert!(gradient(None).0.iter().all(|&g| g == 0.0));
        let loss = |values: &Values| -> f64 {
            let (_, matrix) = &values["layer.mlp.gate.weight"];
            let mut loss = 0.0;
            for rows in &sequences {
                let tokens = rows.len() as f64;
                for expert in 0..8usize {
                    let own = &chosen[rows.start * router.chosen..rows.end * router.chosen];
                    let count = own.iter().filter(|&&e| e as usize == expert).count() as f64;
                    let f = count * router.experts as f64 / router.chosen as f64 / tokens;
                    let share = |row: usize| {
                        let x = &x[row * HIDDEN..(row + 1) * HIDDEN];
                        let score = |e: usize| {
                            let w = &matrix[e * HIDDEN..(e + 1) * HIDDEN];
                            let z: f64 = w.iter().zip(x).map(|(w, x)| w * f64::from(*x)).sum();
                            match router.scores {
                                Scores::Sigmoid => 1.0 / (1.0 + (-z).exp()),
                                _ => z.exp(),
                            }
                        };
                        score(expert) / (0..8).map(score).sum::<f64>()
                    };
                    loss += f * rows.clone().map(share).sum::<f64>() / tokens;
                }
            }
            f64::from(weight) * loss
        };
        for (place, ours) in ours.into_iter().enumerate() {
            let value = values["layer.mlp.gate.weight"].1[place];
            let mut at = |shift: f64| {
                values.get_mut("layer.mlp.gate.weight").unwrap().1[place] = value + shift;
                loss(&values)
            };
            let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
            at(0.0);
            let error = (f64::from(ours) - slope).abs();
            assert!(
                error < 2e-5 * (1.0 + slope.abs()),
                "{name}[{place}]: {error:e}"
            );
        }
    }
}
