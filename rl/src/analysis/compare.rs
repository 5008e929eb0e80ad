//! What differs between runs or measurements, and whether it is more than noise.
//!
//! The first is what the others are compared with. Held-out accuracies over the same problems are compared in pairs: greedy
//! ones by McNemar's exact test, sampled ones by a bootstrap that draws the problems together. Over different problems both
//! are drawn apart. The reward at the end of training is the mean of the last tenth of the steps of GRPO, compared by a
//! block bootstrap, because neighbouring steps resemble each other. See [`crate::statistics`].

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

pub use super::estimate::Estimate;
use super::{
    gain::RunCost,
    source::{Asked, Kind, Measured, Source},
};
use crate::statistics::{
    Interval, Item, block_difference, bootstrap, mcnemar, paired_bootstrap, ratio, series_mean,
    two_sample_bootstrap,
};

/// A difference as rare as this by chance, or rarer, is called more than noise.
pub const SIGNIFICANCE: f64 = 0.05;

/// The seed of all draws: a comparison is the same every time.
const SEED: u64 = 0;

/// The metric that is compared at the end of training.
const CURVE: &str = "reward_mean";

/// Runs or measurements side by side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Each of them, in the order given.
    pub sources: Vec<Summary>,
    /// The keys of the configs that are not the same everywhere, with each run's value; none where a config lacks the key.
    pub config: BTreeMap<String, Vec<Option<String>>>,
    /// Each but the first, compared with the first.
    pub against_first: Vec<Pair>,
}

/// One of the things compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The path as it was given.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Updates made before its last measurement.
    pub step: Option<u64>,
    /// Problems of the measurement.
    pub problems: usize,
    /// Greedy accuracy.
    pub greedy: Option<Estimate>,
    /// Sampled accuracy.
    pub sampled: Option<Estimate>,
    /// Mean reward over the last steps.
    pub reward: Option<Estimate>,
    /// How many steps those are.
    pub reward_steps: usize,
    /// What it cost, where it is a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<RunCost>,
}

/// One of them compared with the first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pair {
    /// Its place in [`Comparison::sources`].
    pub source: usize,
    /// What differs, where both have the figure.
    pub differences: Vec<Difference>,
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Figure {
    /// Held-out accuracy, the likeliest token each time.
    Greedy,
    /// Held-out accuracy by sampling.
    Sampled,
    /// The mean reward over the last tenth of the steps.
    Reward,
}

/// How it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Problem by problem.
    Paired,
    /// As two samples of problems.
    TwoSample,
    /// As two series of steps.
    Blocks,
}

/// A difference from the first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Of what.
    pub figure: Figure,
    /// By which method.
    pub method: Method,
    /// This one's figure minus the first's.
    pub difference: f64,
    /// Its 95 % interval.
    pub interval: Interval,
    /// Problems in pairs; absent for other methods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pairs: Option<usize>,
    /// Problems that only the first answered right; for greedy pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only_first: Option<usize>,
    /// Problems that only this one answered right; for greedy pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only_second: Option<usize>,
    /// McNemar's exact probability; for greedy pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p_value: Option<f64>,
    /// Whether it is more than noise: `p_value` below 0.05 where there is one, else an interval without 0.
    pub beyond_noise: bool,
}

/// Compares `sources` with the first of them.
pub fn compare(sources: &[Source]) -> Comparison {
    let against_first = match sources {
        [first, others @ ..] => others
            .iter()
            .enumerate()
            .map(|(index, other)| Pair {
                source: index + 1,
                differences: differences(first, other),
            })
            .collect(),
        [] => Vec::new(),
    };
    Comparison {
        sources: sources.iter().map(summary).collect(),
        config: config_differences(sources),
        against_first,
    }
}

fn summary(source: &Source) -> Summary {
    let measured = source.measured.as_ref();
    let accuracy = |items: &[Item], figure| {
        let (value, interval) = (ratio(items)?, bootstrap(items, SEED, figure)?);
        Some(Estimate { value, interval })
    };
    let last = last_rewards(source);
    Summary {
        name: source.name.clone(),
        kind: source.kind,
        step: measured.and_then(|measured| measured.step),
        problems: measured.map_or(0, |measured| measured.greedy.len()),
        greedy: measured.and_then(|m| accuracy(&m.greedy, 0)),
        sampled: measured.and_then(|m| accuracy(&m.sampled, 1)),
        reward: series_mean(&last, SEED, 2).map(|(value, interval)| Estimate { value, interval }),
        reward_steps: last.len(),
        cost: (source.kind == Kind::Run).then(|| source.cost()),
    }
}

/// The rewards of the last tenth of the steps of GRPO, rounded up.
fn last_rewards(source: &Source) -> Vec<f64> {
    let all: Vec<f64> = source.series(CURVE).into_iter().map(|(_, r)| r).collect();
    all[all.len() - all.len().div_ceil(10)..].to_vec()
}

fn differences(first: &Source, other: &Source) -> Vec<Difference> {
    let mut found = Vec::new();
    if let (Some(a), Some(b)) = (&first.measured, &other.measured) {
        let same = pairing(a, b);
        for figure in [Figure::Greedy, Figure::Sampled] {
            let answers = |measured: &Measured| match figure {
                Figure::Sampled => measured.sampled.clone(),
                _ => measured.greedy.clone(),
            };
            found.extend(accuracy_difference(
                figure,
                &answers(a),
                &answers(b),
                same.as_deref(),
            ));
        }
    }
    let (a, b) = (last_rewards(first), last_rewards(other));
    if let Some(interval) = block_difference(&a, &b, SEED, 3) {
        let mean = crate::statistics::mean;
        found.push(Difference {
            figure: Figure::Reward,
            method: Method::Blocks,
            difference: mean(&b) - mean(&a),
            interval,
            pairs: None,
            only_first: None,
            only_second: None,
            p_value: None,
            beyond_noise: !interval.contains(0.0),
        });
    }
    found
}

/// Which problem of one is which of the other: positions in both; `None` when they cannot be told to be the same.
fn pairing(a: &Measured, b: &Measured) -> Option<Vec<(usize, usize)>> {
    match (&a.asked, &b.asked) {
        (Asked::Set(one), Asked::Set(other))
            if one == other && a.greedy.len() == b.greedy.len() =>
        {
            Some((0..a.greedy.len()).map(|at| (at, at)).collect())
        }
        (Asked::Problems(one), Asked::Problems(other)) => {
            let places: HashMap<_, usize> = other
                .iter()
                .enumerate()
                .map(|(at, key)| (key, at))
                .collect();
            let pairs: Vec<(usize, usize)> = one
                .iter()
                .enumerate()
                .filter_map(|(at, key)| Some((at, *places.get(key)?)))
                .collect();
            (!pairs.is_empty()).then_some(pairs)
        }
        _ => None,
    }
}

fn accuracy_difference(
    figure: Figure,
    first: &[Item],
    other: &[Item],
    pairs: Option<&[(usize, usize)]>,
) -> Option<Difference> {
    let Some(pairs) = pairs else {
        let interval = two_sample_bootstrap(first, other, SEED, 4 + figure as u64)?;
        return Some(Difference {
            figure,
            method: Method::TwoSample,
            difference: ratio(other)? - ratio(first)?,
            interval,
            pairs: None,
            only_first: None,
            only_second: None,
            p_value: None,
            beyond_noise: !interval.contains(0.0),
        });
    };
    // What only one of them has a verdict on says nothing about the difference.
    let known: Vec<(Item, Item)> = pairs
        .iter()
        .filter_map(|(a, b)| Some((*first.get(*a)?, *other.get(*b)?)))
        .filter(|(a, b)| a.1 > 0.0 && b.1 > 0.0)
        .collect();
    let (first, other): (Vec<Item>, Vec<Item>) = known.iter().copied().unzip();
    let interval = paired_bootstrap(&first, &other, SEED, 4 + figure as u64)?;
    let mut difference = Difference {
        figure,
        method: Method::Paired,
        difference: ratio(&other)? - ratio(&first)?,
        interval,
        pairs: Some(known.len()),
        only_first: None,
        only_second: None,
        p_value: None,
        beyond_noise: !interval.contains(0.0),
    };
    if figure == Figure::Greedy {
        let only = |more: fn(&(Item, Item)) -> bool| known.iter().filter(|pair| more(pair)).count();
        let only_first = only(|(a, b)| a.0 > b.0);
        let only_second = only(|(a, b)| b.0 > a.0);
        let p_value = mcnemar(only_first, only_second);
        difference.only_first = Some(only_first);
        difference.only_second = Some(only_second);
        difference.p_value = Some(p_value);
        difference.beyond_noise = p_value < SIGNIFICANCE;
    }
    Some(difference)
}

/// The keys of which not all configs say the same.
fn config_differences(sources: &[Source]) -> BTreeMap<String, Vec<Option<String>>> {
    let configs: Vec<Option<BTreeMap<String, String>>> = sources
        .iter()
        .map(|source| {
            let mut flat = BTreeMap::new();
            for (key, value) in source.config.as_ref()? {
                flatten(key.clone(), value, &mut flat);
            }
            Some(flat)
        })
        .collect();
    let present: Vec<&BTreeMap<String, String>> = configs.iter().flatten().collect();
    let keys = present.iter().flat_map(|config| config.keys());
    let mut differing = BTreeMap::new();
    for key in keys {
        let first = present[0].get(key);
        if present.iter().any(|config| config.get(key) != first) {
            let values = configs
                .iter()
                .map(|config| config.as_ref()?.get(key).cloned());
            differing.insert(key.clone(), values.collect());
        }
    }
    differing
}

fn flatten(key: String, value: &toml::Value, into: &mut BTreeMap<String, String>) {
    match value {
        toml::Value::Table(table) => {
            for (part, value) in table {
                flatten(format!("{key}.{part}"), value, into);
            }
        }
        toml::Value::Array(list) if list.iter().any(toml::Value::is_table) => {
            for (index, value) in list.iter().enumerate() {
                flatten(format!("{key}.{index}"), value, into);
            }
        }
        value => {
            into.insert(key, value.to_string());
        }
    }
}

#[cfg(test)]
mod tests;
