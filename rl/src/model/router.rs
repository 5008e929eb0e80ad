//! Which experts a token goes to, and with what weights: the routers of all families, as data.
//!
//! Everything here is arithmetic on one row of numbers, on the host and in f32, whatever runs the rest of a
//! model: a choice must not depend on the device. What the families have in common:
//!
//! 1. each expert gets a score, from the router's logits ([`Scores`]);
//! 2. a correction may be added to the scores, *for the choice alone* (arXiv 2408.15664, eq. 3);
//! 3. groups of experts may compete first ([`Groups`], arXiv 2405.04434, section 2.2.2, and 2412.19437, section 2.1.2);
//! 4. the best are chosen, the lower index first where two are equal;
//! 5. their weights are their scores, perhaps divided by the sum of those, times a constant.
//!
//! Chosen experts stand in the order of their index, and in that order a token's contributions are added up.

/// What an expert's score is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scores {
    /// The softmax of the logits of all experts.
    Softmax,
    /// The sigmoid of its own logit.
    Sigmoid,
    /// The softmax of the logits of the chosen ones.
    SoftmaxOfChosen,
}

/// What a group of experts is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupScore {
    /// Its largest score.
    Largest,
    /// The sum of its two largest.
    TwoLargest,
}

/// Groups of experts that follow each other, of which only some may be chosen from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Groups {
    /// How many there are.
    pub count: usize,
    /// How many of them stay.
    pub kept: usize,
    /// What they are compared by.
    pub score: GroupScore,
    /// What the scores of experts of other groups become: `-inf`, or 0.
    pub excluded: f32,
}

/// A router as data.
#[derive(Debug, Clone, PartialEq)]
pub struct Router {
    /// Experts to choose from.
    pub experts: usize,
    /// Experts that a token goes to.
    pub chosen: usize,
    /// What their scores are.
    pub scores: Scores,
    /// Whether a correction is added to the scores for the choice.
    pub correction: bool,
    /// Groups that compete first, if there are any.
    pub groups: Option<Groups>,
    /// Added to the sum of the chosen scores that they are divided by; without it they are not divided.
    pub normalized: Option<f32>,
    /// The weights are multiplied by this.
    pub scale: f32,
}

/// Where the tokens of some rows go.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Routes {
    /// `[rows, chosen]`: ascending in each row.
    pub(crate) experts: Vec<u32>,
    /// `[rows, chosen]`: what their outputs are multiplied by.
    pub(crate) weights: Vec<f32>,
}

impl Router {
    /// # Errors
    /// The first number that makes no sense: its name, its value, and the rule that it breaks.
    pub fn validate(&self) -> Result<(), (&'static str, f64, String)> {
        let wrong = |name, value: usize, rule: String| Err((name, value as f64, rule));
        if self.experts == 0 {
            return wrong("experts", 0, "must be at least 1".to_owned());
        }
        if self.chosen == 0 || self.chosen > self.experts {
            let rule = format!(
                "must be between 1 and the number of experts, {}",
                self.experts
            );
            return wrong("experts per token", self.chosen, rule);
        }
        if !(self.scale.is_finite() && self.scale > 0.0) {
            let rule = "must be a positive number".to_owned();
            return Err(("the scale of routed experts", f64::from(self.scale), rule));
        }
        let Some(groups) = self.groups else {
            return Ok(());
        };
        if groups.count == 0 || !self.experts.is_multiple_of(groups.count) {
            let rule = format!("must divide the number of experts, {}", self.experts);
            return wrong("n_group", groups.count, rule);
        }
        if groups.kept == 0 || groups.kept > groups.count {
            let rule = format!("must be between 1 and n_group = {}", groups.count);
            return wrong("topk_group", groups.kept, rule);
        }
        let size = self.experts / groups.count;
        if self.chosen > groups.kept * size {
            let rule = format!(
                "must be at most {}, the experts of topk_group = {} groups",
                groups.kept * size,
                groups.kept
            );
            return wrong("experts per token", self.chosen, rule);
        }
        if groups.score == GroupScore::TwoLargest && size < 2 {
            let rule =
                "must leave at least 2 experts in a group, whose two largest scores are added"
                    .to_owned();
            return wrong("n_group", groups.count, rule);
        }
        Ok(())
    }

    /// Routes for rows of logits; `correction` is added to the scores for the choice.
    ///
    /// # Shapes
    /// - logits: `[rows, experts]`, correction: `[experts]` or nothing
    pub(crate) fn routes(&self, logits: &[f32], correction: &[f32]) -> Routes {
        let rows = logits.len() / self.experts;
        let mut experts = Vec::with_capacity(rows * self.chosen);
        let mut scores = vec![0.0; self.experts];
        for logits in logits.chunks_exact(self.experts) {
            self.scores_of(logits, &mut scores);
            for (score, more) in scores.iter_mut().zip(correction) {
                *score += more;
            }
            self.exclude(&mut scores);
            experts.extend(largest(&scores, self.chosen));
        }
        self.routes_to(logits, experts)
    }

    /// The routes of rows of logits whose experts are known.
    ///
    /// # Shapes
    /// - logits: `[rows, experts]`, experts: `[rows, chosen]`
    pub(crate) fn routes_to(&self, logits: &[f32], experts: Vec<u32>) -> Routes {
        let mut weights = vec![0.0; experts.len()];
        let mut scores = vec![0.0; self.experts];
        let rows = logits.chunks_exact(self.experts);
        let rows = rows.zip(experts.chunks_exact(self.chosen));
        for ((logits, chosen), weights) in rows.zip(weights.chunks_exact_mut(self.chosen)) {
            self.chosen_scores(logits, chosen, &mut scores, weights);
            let divisor = match self.normalized {
                Some(more) => weights.iter().sum::<f32>() + more,
                None => 1.0,
            };
            weights
                .iter_mut()
                .for_each(|w| *w = *w / divisor * self.scale);
        }
        Routes { experts, weights }
    }

    /// The gradient by the logits, `[rows, experts]`, from that by the weights, `[rows, chosen]`. `by_scores` adds the
    /// gradient by the scores of one row as [`Self::shares`] has them, where there is one.
    pub(crate) fn backward(
        &self,
        logits: &[f32],
        routes: &Routes,
        by_weights: &[f32],
        by_shares: impl Fn(usize) -> Option<Vec<f32>>,
    ) -> Vec<f32> {
        let mut by_logits = vec![0.0; logits.len()];
        let mut scores = vec![0.0; self.experts];
        let mut chosen_scores = vec![0.0; self.chosen];
        let rows = logits.chunks_exact(self.experts).enumerate();
        for ((row, logits), by_logits) in rows.zip(by_logits.chunks_exact_mut(self.experts)) {
            let slots = row * self.chosen..(row + 1) * self.chosen;
            let (chosen, by_weights) = (&routes.experts[slots.clone()], &by_weights[slots]);
            self.chosen_scores(logits, chosen, &mut scores, &mut chosen_scores);
            let by_chosen = self.by_chosen_scores(&chosen_scores, by_weights);
            if self.scores == Scores::SoftmaxOfChosen {
                let mean: f32 = dot(&by_chosen, &chosen_scores);
                for ((&expert, by), p) in chosen.iter().zip(&by_chosen).zip(&chosen_scores) {
                    by_logits[expert as usize] = p * (by - mean);
                }
                if let Some(by_shares) = by_shares(row) {
                    softmax(logits, &mut scores);
                    add_softmax_gradient(by_logits, &scores, &by_shares);
                }
                continue;
            }
            let mut by_scores = match by_shares(row) {
                Some(by_shares) => self.by_scores(&scores, &by_shares),
                None => vec![0.0; self.experts],
            };
            for (&expert, by) in chosen.iter().zip(&by_chosen) {
                by_scores[expert as usize] += by;
            }
            match self.scores {
                Scores::Sigmoid => {
                    for ((by_logit, by), s) in by_logits.iter_mut().zip(&by_scores).zip(&scores) {
                        *by_logit = by * s * (1.0 - s);
                    }
                }
                _ => add_softmax_gradient(by_logits, &scores, &by_scores),
            }
        }
        by_logits
    }

    /// What share of one row's attention each expert has: its scores divided by their sum (arXiv 2412.19437, eq. 19).
    pub(crate) fn shares(&self, logits: &[f32], shares: &mut [f32]) {
        match self.scores {
            Scores::SoftmaxOfChosen => softmax(logits, shares),
            _ => {
                self.scores_of(logits, shares);
                let sum: f32 = shares.iter().sum();
                shares.iter_mut().for_each(|s| *s /= sum);
            }
        }
    }

    /// The scores that a choice is made by, before any correction.
    fn scores_of(&self, logits: &[f32], scores: &mut [f32]) {
        match self.scores {
            Scores::Softmax => softmax(logits, scores),
            Scores::Sigmoid => {
                for (score, z) in scores.iter_mut().zip(logits) {
                    *score = 1.0 / (1.0 + (-z).exp());
                }
            }
            Scores::SoftmaxOfChosen => scores.copy_from_slice(logits),
        }
    }

    /// All scores, and those of the chosen experts that weights are made of.
    fn chosen_scores(
        &self,
        logits: &[f32],
        chosen: &[u32],
        scores: &mut [f32],
        chosen_scores: &mut [f32],
    ) {
        self.scores_of(logits, scores);
        for (score, &expert) in chosen_scores.iter_mut().zip(chosen) {
            *score = scores[expert as usize];
        }
        if self.scores == Scores::SoftmaxOfChosen {
            let logits = chosen_scores.to_vec();
            softmax(&logits, chosen_scores);
        }
    }

    /// The gradient by the chosen scores, from that by the weights that they became.
    fn by_chosen_scores(&self, scores: &[f32], by_weights: &[f32]) -> Vec<f32> {
        let Some(more) = self.normalized else {
            return by_weights.iter().map(|by| self.scale * by).collect();
        };
        let sum = scores.iter().sum::<f32>() + more;
        let mean = dot(by_weights, scores) / sum;
        let by_score = |by: &f32| self.scale / sum * (by - mean);
        by_weights.iter().map(by_score).collect()
    }

    /// The gradient by the scores of a row, from that by their shares.
    fn by_scores(&self, scores: &[f32], by_shares: &[f32]) -> Vec<f32> {
        let sum: f32 = scores.iter().sum();
        let mean = dot(scores, by_shares) / sum;
        by_shares.iter().map(|by| (by - mean) / sum).collect()
    }

    /// Takes the experts of all groups but the best out of the choice.
    fn exclude(&self, scores: &mut [f32]) {
        let Some(groups) = self.groups else { return };
        let size = self.experts / groups.count;
        let worth = |group: &[f32]| {
            let best = |group: &[f32], but: usize| {
                let others = group.iter().enumerate().filter(|(i, _)| *i != but);
                others.map(|(_, &s)| s).fold(f32::NEG_INFINITY, f32::max)
            };
            let first = best(group, usize::MAX);
            match groups.score {
                GroupScore::Largest => first,
                GroupScore::TwoLargest => {
                    let place = group.iter().position(|&s| s == first);
                    first + best(group, place.unwrap_or(0))
                }
            }
        };
        let worths: Vec<f32> = scores.chunks_exact(size).map(worth).collect();
        let kept = largest(&worths, groups.kept);
        for (group, scores) in scores.chunks_exact_mut(size).enumerate() {
            if !kept.contains(&(group as u32)) {
                scores.fill(groups.excluded);
            }
        }
    }
}

/// The places of the largest values, ascending; of two that are equal, the lower one is larger.
fn largest(values: &[f32], count: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    let by_value = |a: &u32, b: &u32| {
        let (x, y) = (values[*a as usize], values[*b as usize]);
        y.total_cmp(&x).then(a.cmp(b))
    };
    if count < order.len() {
        order.select_nth_unstable_by(count - 1, by_value);
        order.truncate(count);
    }
    order.sort_unstable();
    order
}

fn softmax(logits: &[f32], out: &mut [f32]) {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for (out, z) in out.iter_mut().zip(logits) {
        *out = (z - top).exp();
        sum += *out;
    }
    out.iter_mut().for_each(|p| *p /= sum);
}

fn add_softmax_gradient(by_logits: &mut [f32], p: &[f32], by_p: &[f32]) {
    let mean = dot(p, by_p);
    for ((by_logit, p), by) in by_logits.iter_mut().zip(p).zip(by_p) {
        *by_logit += p * (by - mean);
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
pub(crate) mod tests;
