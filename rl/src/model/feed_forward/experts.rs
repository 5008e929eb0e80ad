//! A mixture of experts: a router sends each token to a few of many gated maps (arXiv 2401.06066, eq. 9 to 11).
//!
//! `y = shared(x) + Σ_chosen w_i E_i(x)`, added up in that order, experts by their index. Rows are sorted by expert;
//! each expert that is hit multiplies its rows at once, and one that is not hit costs nothing, forward or backward.

use super::{
    expert::{self, Expert, Passed},
    shared::{self, Shared, SharedKept},
};
use crate::{
    compute::{Compute, packing::GivenRoutes},
    model::{
        build::Maker,
        gradients::{Gradients, SequenceBalance},
        linear::Linear,
        module::{Map, Named},
        parameters::{ParameterVisitor, Parameters, to_host},
        plan::ExpertsPlan,
        router::{Router, Routes},
        routing::Load,
        weights::HostTensor,
    },
};
use burn::tensor::Tensor;

/// The router's name below a layer.
const ROUTER: &str = "mlp.gate";
/// The name of what is added to scores for the choice, below the router's.
const CORRECTION: &str = "e_score_correction_bias";
/// The experts' name below a layer, before their number.
const EXPERTS: &str = "mlp.experts";

/// A router and what it chooses from.
#[derive(Debug, Clone)]
pub(crate) struct Experts {
    plan: ExpertsPlan,
    router: Linear,
    /// Added to scores for the choice, `[experts]`.
    correction: Option<(String, Tensor<1>)>,
    /// What the experts' names begin with.
    prefix: String,
    experts: Vec<Expert>,
    shared: Option<Shared>,
}

/// What its backward pass needs.
pub(crate) struct ExpertsKept<C: Compute> {
    /// Of the router, `[rows, experts]`.
    logits: C::Rows,
    /// The chosen experts as numbers, `[rows, chosen]`, ascending.
    chosen: C::Rows,
    /// `gate(x)` of each chosen expert, `[rows, chosen * inner]`.
    gate: C::Rows,
    /// `up(x)` of each chosen expert, `[rows, chosen * inner]`.
    up: C::Rows,
    /// Of the expert that all tokens go to.
    shared: Option<SharedKept<C>>,
    /// The chosen experts on the host, as far as this pass chose them: no tape has them.
    routed: Vec<u32>,
    /// How many of them the router would not have chosen; `None` where it was not told.
    changed: Option<u64>,
}

impl<C: Compute> ExpertsKept<C> {
    /// The chosen experts of each row of the pass, `[rows, chosen]`.
    pub(super) fn routed(&self) -> &[u32] {
        &self.routed
    }

    /// Shows every matrix to `f`.
    pub(super) fn for_each<'a>(&'a self, f: &mut impl FnMut(&'a C::Rows)) {
        for rows in [&self.logits, &self.chosen, &self.gate, &self.up] {
            f(rows);
        }
        if let Some(shared) = &self.shared {
            shared.for_each(f);
        }
    }

    /// The same again, from matrices in that order.
    pub(super) fn from_parts(part: &Experts, next: &mut impl FnMut() -> C::Rows) -> Self {
        Self {
            logits: next(),
            chosen: next(),
            gate: next(),
            up: next(),
            shared: part
                .shared
                .as_ref()
                .map(|part| SharedKept::from_parts(part, next)),
            routed: Vec::new(),
            // What a sampler has recorded is its own choice.
            changed: Some(0),
        }
    }
}

/// Rows sorted by expert.
struct Dispatch {
    /// Each expert that is hit, ascending, with the slots `row * chosen + i` that go to it.
    hit: Vec<(usize, Vec<usize>)>,
    /// Of each slot: which of these experts, and which of its rows.
    places: Vec<(usize, usize)>,
}

impl Dispatch {
    fn new(experts: &[u32], count: usize) -> Self {
        let mut slots = vec![Vec::new(); count];
        for (slot, &expert) in experts.iter().enumerate() {
            slots[expert as usize].push(slot);
        }
        let hit: Vec<(usize, Vec<usize>)> = slots
            .into_iter()
            .enumerate()
            .filter(|(_, slots)| !slots.is_empty())
            .collect();
        let mut places = vec![(0, 0); experts.len()];
        for (part, (_, slots)) in hit.iter().enumerate() {
            for (row, &slot) in slots.iter().enumerate() {
                places[slot] = (part, row);
            }
        }
        Self { hit, places }
    }
}

/// The tensors of a plan, named below `prefix`.
pub(crate) fn tensors(prefix: &str, plan: &ExpertsPlan, hidden: usize) -> Vec<Named> {
    let count = plan.router.experts;
    let mut tensors = vec![(format!("{prefix}.{ROUTER}.weight"), vec![count, hidden])];
    if plan.router.correction {
        tensors.push((format!("{prefix}.{ROUTER}.{CORRECTION}"), vec![count]));
    }
    for index in 0..count {
        let name = format!("{prefix}.{EXPERTS}.{index}");
        tensors.extend(expert::tensors(&name, plan.inner, hidden));
    }
    let shared = plan.shared.iter();
    tensors.extend(shared.flat_map(|plan| shared::tensors(prefix, plan, hidden)));
    tensors
}

impl Experts {
    /// What a plan asks for.
    pub(super) fn build<E>(
        plan: &ExpertsPlan,
        make: &mut Maker<impl FnMut(&str, &[usize]) -> Result<HostTensor, E>>,
    ) -> Result<Self, E> {
        let count = plan.router.experts;
        let name = format!("{}.{ROUTER}", make.prefix);
        let map = Map {
            out: count,
            inner: make.hidden,
            bias: false,
        };
        let router = make.linear_named(name.clone(), map)?;
        let correction = if plan.router.correction {
            let name = format!("{name}.{CORRECTION}");
            let values = make.vector(&name, count)?;
            Some((name, values))
        } else {
            None
        };
        let prefix = format!("{}.{EXPERTS}", make.prefix);
        let experts = (0..count)
            .map(|index| Expert::build(&format!("{prefix}.{index}"), plan.inner, make))
            .collect::<Result<_, E>>()?;
        let shared = plan.shared.as_ref();
        Ok(Self {
            plan: plan.clone(),
            router,
            correction,
            prefix,
            experts,
            shared: shared.map(|plan| Shared::build(plan, make)).transpose()?,
        })
    }

    /// How it chooses.
    pub(super) fn router(&self) -> &Router {
        &self.plan.router
    }

    /// Where rows go, and how many of these choices are not the router's own if any was `given`, `[rows, chosen]`.
    fn routes(&self, logits: &[f32], given: Option<&[u16]>) -> (Routes, Option<u64>) {
        let correction = self.correction.as_ref();
        let correction = correction.map(|(_, values)| to_host(values.clone()));
        let own = self
            .router()
            .routes(logits, &correction.unwrap_or_default());
        let Some(given) = given else {
            return (own, None);
        };
        let chosen = self.router().chosen;
        assert_eq!(given.len(), own.experts.len(), "routes of another model");
        let (mut experts, mut changed) = (own.experts, 0);
        let rows = experts.chunks_exact_mut(chosen);
        for (own, given) in rows.zip(given.chunks_exact(chosen)) {
            if given[0] == GivenRoutes::FREE {
                continue;
            }
            let kept = |expert: &&u16| !own.contains(&u32::from(**expert));
            changed += given.iter().filter(kept).count() as u64;
            for (own, &given) in own.iter_mut().zip(given) {
                *own = u32::from(given);
            }
        }
        // Scores are those of now; only the choice is another's.
        (self.router().routes_to(logits, experts), Some(changed))
    }

    /// Multiplications of so many slots in one direction.
    fn work(&self, slots: usize, hidden: usize) -> usize {
        3 * slots * self.plan.inner * hidden
    }

    /// See [`FeedForward::forward`](super::FeedForward::forward).
    pub(super) fn forward<C: Compute>(
        &self,
        c: &C,
        normed: C::Rows,
        given: Option<&[u16]>,
        sum: impl FnOnce() -> Option<C::Rows>,
    ) -> (C::Rows, ExpertsKept<C>) {
        let logits = self.router.forward_onto(c, None, &normed);
        let (routes, changed) = self.routes(&c.values_of(&logits), given);
        let chosen = self.router().chosen;
        let (rows, hidden) = (routes.experts.len() / chosen, self.router.weight.dims()[1]);
        let Dispatch { hit, places } = Dispatch::new(&routes.experts, self.experts.len());

        let (sum, shared) = match &self.shared {
            Some(part) => {
                let (y, kept) = part.forward(c, &normed, sum());
                (Some(y), Some(kept))
            }
            None => (sum(), None),
        };
        let work = self.work(routes.experts.len(), hidden);
        let parts = c.each(hit, work, |(expert, slots)| {
            let rows: Vec<usize> = slots.iter().map(|slot| slot / chosen).collect();
            self.experts[expert].forward(c, &c.select(&normed, &rows), None)
        });
        let (mut gates, mut ups, mut ys) = (Vec::new(), Vec::new(), Vec::new());
        for [gate, up, y] in parts {
            gates.push(gate);
            ups.push(up);
            ys.push(y);
        }
        let y = c.add_gathered(sum, &ys, &places, Some(&routes.weights), rows);
        let inner = self.plan.inner;
        let by_token = |parts: &[C::Rows]| c.fold(c.gather(parts, &places, inner), chosen * inner);
        let numbers = routes.experts.iter().map(|&expert| expert as f32).collect();
        let kept = ExpertsKept {
            logits,
            chosen: c.rows_of(numbers, chosen),
            gate: by_token(&gates),
            up: by_token(&ups),
            shared,
            routed: routes.experts,
            changed,
        };
        (y, kept)
    }

    /// See [`FeedForward::backward`](super::FeedForward::backward).
    pub(super) fn backward<C: Compute>(
        &self,
        c: &C,
        kept: ExpertsKept<C>,
        by_y: &C::Rows,
        normed: impl FnOnce() -> C::Rows,
        gradients: &mut Gradients,
    ) -> C::Rows {
        let ExpertsKept {
            logits,
            chosen: numbers,
            gate,
            up,
            shared,
            routed: _,
            changed,
        } = kept;
        let (logits, numbers) = (c.values_of(&logits), c.values_of(&numbers));
        let experts = numbers.into_iter().map(|number| number as u32).collect();
        let routes = self.router().routes_to(&logits, experts);
        gradients.routing.add(
            &self.router.name,
            &Load::of(self.router(), &logits, &routes).replayed(changed),
        );
        let normed = normed();
        let inner = self.plan.inner;
        let slots = Slots {
            gate: c.fold(gate, inner),
            up: c.fold(up, inner),
            normed: &normed,
            by_y,
        };
        let (by_x, by_weights) = self.through_experts(c, &routes, &slots, gradients);
        drop(slots);
        let by_shares = self.by_shares(&routes, gradients.balance.as_ref());
        let by_logits = self
            .router()
            .backward(&logits, &routes, &by_weights, |row| {
                by_shares.get(row).cloned().flatten()
            });
        let by_logits = c.rows_of(by_logits, self.experts.len());
        self.router
            .weight_gradient(c, &normed, &by_logits, None, gradients);
        let by_x = self.router.input_gradient(c, &by_logits, Some(by_x)).0;
        match (&self.shared, shared) {
            (Some(part), Some(kept)) => part.backward(c, kept, by_y, &normed, by_x, gradients),
            _ => by_x,
        }
    }

    /// Adds the gradients of the chosen experts; those by the rows that came in and by the weights of the routes.
    fn through_experts<C: Compute>(
        &self,
        c: &C,
        routes: &Routes,
        all: &Slots<C>,
        gradients: &mut Gradients,
    ) -> (C::Rows, Vec<f32>) {
        let chosen = self.router().chosen;
        let Dispatch { hit, places } = Dispatch::new(&routes.experts, self.experts.len());
        // Each expert's sums go with it, so that experts need not wait for each other.
        let items: Vec<(usize, Vec<usize>, Parameters)> = hit
            .into_iter()
            .map(|(expert, slots)| {
                let own = gradients
                    .sums
                    .take_below(&format!("{}.{expert}.", self.prefix));
                (expert, slots, own)
            })
            .collect();
        let work = 2 * self.work(routes.experts.len(), self.router.weight.dims()[1]);
        let trained = gradients.trained;
        let parts = c.each(items, work, |(expert, slots, mut sums)| {
            let rows: Vec<usize> = slots.iter().map(|slot| slot / chosen).collect();
            let weights: Vec<f32> = slots.iter().map(|&slot| routes.weights[slot]).collect();
            let x = c.select(all.normed, &rows);
            let passed = Passed {
                gate: c.select(&all.gate, &slots),
                up: c.select(&all.up, &slots),
                x: &x,
                weights: Some(&weights),
            };
            let by_y = c.select(all.by_y, &rows);
            let own = &mut Gradients::new(&mut sums, trained);
            let (by_x, by_weights) = self.experts[expert].backward(c, passed, &by_y, own);
            (by_x, by_weights, sums)
        });
        let (mut by_xs, mut by_weights) = (Vec::new(), Vec::new());
        for (by_x, by_weight, sums) in parts {
            by_xs.push(by_x);
            by_weights.extend(by_weight);
            gradients.sums.put_back(sums);
        }
        let rows = routes.experts.len() / chosen;
        let by_x = c.add_gathered(None, &by_xs, &places, None, rows);
        (by_x, c.values_of(&c.gather(&by_weights, &places, 1)))
    }

    /// The gradient of the loss that spreads tokens, by the shares of each row.
    fn by_shares(
        &self,
        routes: &Routes,
        balance: Option<&SequenceBalance>,
    ) -> Vec<Option<Vec<f32>>> {
        let Some(balance) = balance else {
            return Vec::new();
        };
        let Router {
            experts, chosen, ..
        } = *self.router();
        let mut by_shares = vec![None; routes.experts.len() / chosen];
        for sequence in &balance.sequences {
            let mut counts = vec![0.0f32; experts];
            for &expert in &routes.experts[sequence.start * chosen..sequence.end * chosen] {
                counts[expert as usize] += 1.0;
            }
            let tokens = sequence.len() as f32;
            let even = chosen as f32 * tokens / experts as f32;
            let factor = balance.weight / even / tokens;
            counts.iter_mut().for_each(|count| *count *= factor);
            by_shares[sequence.clone()].fill(Some(counts));
        }
        by_shares
    }

    /// Every linear map that may be adapted or stored in less precision; routers are neither.
    pub(super) fn linears(&mut self) -> Vec<&mut Linear> {
        let experts = self.experts.iter_mut().flat_map(Expert::linears);
        let shared = self.shared.iter_mut().flat_map(Shared::linears);
        experts.chain(shared).collect()
    }

    /// Shows every weight to `f`.
    pub(super) fn visit(&mut self, f: &mut impl ParameterVisitor) {
        self.router.visit(f);
        if let Some((name, values)) = &mut self.correction {
            f.visit(name, values);
        }
        for expert in &mut self.experts {
            expert.visit(f);
        }
        if let Some(shared) = &mut self.shared {
            shared.visit(f);
        }
    }

    /// The router's name, and what is added to its scores for the choice, if anything is.
    pub(crate) fn correction(&mut self) -> Option<(&str, &mut Tensor<1>)> {
        let (_, values) = self.correction.as_mut()?;
        Some((&self.router.name, values))
    }
}

/// What a backward pass of the experts reads.
struct Slots<'a, C: Compute> {
    /// `[rows * chosen, inner]`.
    gate: C::Rows,
    /// `[rows * chosen, inner]`.
    up: C::Rows,
    /// What came in.
    normed: &'a C::Rows,
    /// The gradient by what came out.
    by_y: &'a C::Rows,
}

#[cfg(all(test, feature = "flex"))]
mod tests;
