//! What routers did with some tokens: how busy each expert was, and how sure the routers were.

use std::collections::BTreeMap;

use super::router::{Router, Routes};

/// Whether a parameter is the matrix of a router.
pub(crate) fn is_router(name: &str) -> bool {
    name.ends_with(".mlp.gate.weight")
}

/// What one router did with some tokens.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Load {
    /// Tokens that it sent on.
    pub tokens: u64,
    /// How many of them each expert got.
    pub counts: Vec<u64>,
    /// Sum of the entropies of the shares that a token's scores have, in nats.
    pub entropy: f64,
    /// Choices of experts that were not the router's to make: a sampler's were replayed.
    pub replayed: u64,
    /// How many of them it would not have made itself.
    pub changed: u64,
}

impl Load {
    /// What a router did with rows of logits.
    pub(crate) fn of(router: &Router, logits: &[f32], routes: &Routes) -> Self {
        let mut counts = vec![0; router.experts];
        for &expert in &routes.experts {
            counts[expert as usize] += 1;
        }
        let mut shares = vec![0.0; router.experts];
        let entropy = |logits: &[f32]| {
            router.shares(logits, &mut shares);
            let nats = |&p: &f32| if p > 0.0 { f64::from(-p * p.ln()) } else { 0.0 };
            shares.iter().map(nats).sum::<f64>()
        };
        Self {
            tokens: (logits.len() / router.experts) as u64,
            counts,
            entropy: logits.chunks_exact(router.experts).map(entropy).sum(),
            replayed: 0,
            changed: 0,
        }
    }

    /// The same of choices that were replayed, of which so many are not the router's own.
    pub(crate) fn replayed(mut self, changed: Option<u64>) -> Self {
        if let Some(changed) = changed {
            self.replayed = self.counts.iter().sum();
            self.changed = changed;
        }
        self
    }

    /// What an expert would get if all got the same.
    pub fn mean(&self) -> f64 {
        self.counts.iter().sum::<u64>() as f64 / self.counts.len().max(1) as f64
    }

    fn add(&mut self, other: &Self) {
        self.tokens += other.tokens;
        self.entropy += other.entropy;
        self.replayed += other.replayed;
        self.changed += other.changed;
        if self.counts.is_empty() {
            self.counts = vec![0; other.counts.len()];
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }
}

/// What the routers of a model did, by the routers' names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Routing(BTreeMap<String, Load>);

impl Routing {
    /// Adds what one router did.
    pub(crate) fn add(&mut self, name: &str, load: &Load) {
        match self.0.get_mut(name) {
            Some(sum) => sum.add(load),
            None => {
                self.0.insert(name.to_owned(), load.clone());
            }
        }
    }

    /// Adds what the routers did with other tokens.
    pub fn merge(&mut self, other: &Self) {
        for (name, load) in &other.0 {
            self.add(name, load);
        }
    }

    /// Whether no router did anything: the model has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What each router did, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Load)> {
        self.0.iter().map(|(name, load)| (name.as_str(), load))
    }

    /// What a router did.
    pub fn get(&self, name: &str) -> Option<&Load> {
        self.0.get(name)
    }

    /// The load of the busiest expert over the mean of its layer, of the layer where that is largest: 1 where all are
    /// as busy. `NaN` without routers.
    pub fn imbalance(&self) -> f64 {
        let of = |load: &Load| {
            let most = load.counts.iter().copied().max().unwrap_or(0);
            most as f64 / load.mean()
        };
        self.0.values().map(of).fold(f64::NAN, f64::max)
    }

    /// Mean entropy of the routers' scores over that of equal ones, from 0 to 1. `NaN` without routers.
    pub fn entropy(&self) -> f64 {
        let (mut sum, mut tokens) = (0.0, 0.0);
        for load in self.0.values() {
            sum += load.entropy / (load.counts.len() as f64).ln().max(f64::MIN_POSITIVE);
            tokens += load.tokens as f64;
        }
        sum / tokens
    }

    /// A figure, if there are routers.
    pub(crate) fn figure(&self, of: impl Fn(&Self) -> f64) -> Option<f64> {
        (!self.is_empty()).then(|| of(self))
    }

    /// Share of the replayed choices of experts that the routers would not have made themselves. `NaN` without any.
    pub fn changed(&self) -> f64 {
        let sum = |of: fn(&Load) -> u64| self.0.values().map(of).sum::<u64>() as f64;
        sum(|load| load.changed) / sum(|load| load.replayed)
    }

    /// Share of all experts that no token went to. `NaN` without routers.
    pub fn idle(&self) -> f64 {
        let counts = || self.0.values().flat_map(|load| &load.counts);
        let idle = counts().filter(|&&count| count == 0).count();
        idle as f64 / counts().count() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(counts: [u64; 4]) -> Load {
        let tokens = counts.iter().sum::<u64>() / 2;
        Load {
            tokens,
            counts: counts.to_vec(),
            entropy: tokens as f64 * 2f64.ln(),
            ..Load::default()
        }
    }

    #[test]
    fn the_worst_layer_is_told() {
        let mut routing = Routing::default();
        assert!(
            routing.imbalance().is_nan() && routing.entropy().is_nan() && routing.idle().is_nan()
        );
        routing.add("a", &load([5, 5, 5, 5]));
        assert_eq!((routing.imbalance(), routing.idle()), (1.0, 0.0));
        routing.add("b", &load([0, 0, 10, 10]));
        assert_eq!((routing.imbalance(), routing.idle()), (2.0, 0.25));
        assert!((routing.entropy() - 0.5).abs() < 1e-12);
        let mut twice = routing.clone();
        twice.merge(&routing);
        assert_eq!(twice.get("b").unwrap().counts, [0, 0, 20, 20]);
        assert_eq!(twice.imbalance(), 2.0);
    }
}
