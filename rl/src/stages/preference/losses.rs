//! The losses of pairs as data: a function of what policy and reference think of both sides, with its derivatives, in
//! closed form and in `f64`.
//!
//! `c` and `r` are log π − log π_ref of the chosen and the rejected answer: sums over their tokens, or means where
//! [`Length::Mean`] says so. `x = β (c − r)`, `σ` is the logistic function, `ε` is `label_smoothing`.

use super::{Length, LossType};

/// What is known of one side of a pair.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct Side {
    /// Log-probability under the policy, in nats: a sum over the answer's tokens.
    pub policy: f64,
    /// The same under the reference; 0 for a loss without one.
    pub reference: f64,
    /// Tokens of the answer, its end among them.
    pub tokens: usize,
}

impl Side {
    /// What policy and reference think of an answer of so many tokens.
    pub fn new(policy: f64, reference: f64, tokens: usize) -> Self {
        Self {
            policy,
            reference,
            tokens,
        }
    }

    /// log π − log π_ref, in nats.
    pub fn log_ratio(&self) -> f64 {
        self.policy - self.reference
    }
}

/// What is known of a pair.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct PairScores {
    /// The better side.
    pub chosen: Side,
    /// The other side.
    pub rejected: Side,
    /// How likely it is that `chosen` is the better one: 1, or ½ for a tie.
    pub label: f64,
}

impl PairScores {
    /// A pair of which the first is better for certain.
    pub fn new(chosen: Side, rejected: Side) -> Self {
        Self {
            chosen,
            rejected,
            label: 1.0,
        }
    }
}

/// The loss of a pair and its derivatives by the sums of both sides.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Derived {
    /// The loss.
    pub value: f64,
    /// Derivative by the log-probability of the chosen answer.
    pub by_chosen: f64,
    /// Derivative by that of the rejected one.
    pub by_rejected: f64,
}

/// A loss with its constants.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct PreferenceLoss {
    /// Which.
    pub loss_type: LossType,
    /// β: how strongly the policy is held to its reference; for losses without one, the scale of log-probabilities.
    pub beta: f64,
    /// ε: how likely it is that a label is wrong.
    pub label_smoothing: f64,
    /// SimPO's γ: by how much the chosen answer should win.
    pub simpo_gamma: f64,
    /// DiscoPOP's τ.
    pub discopop_tau: f64,
    /// Sums or means over the tokens of an answer.
    pub length: Length,
}

impl PreferenceLoss {
    /// The loss with β = 0.1 and the constants of its paper.
    pub fn named(loss_type: LossType) -> Self {
        Self {
            loss_type,
            beta: 0.1,
            label_smoothing: loss_type.label_smoothing(),
            simpo_gamma: 0.5,
            discopop_tau: 0.05,
            length: loss_type.length(),
        }
    }

    /// The mean loss of some pairs is the sum of the values, and each derivative is that of the mean.
    pub fn of_pairs(&self, pairs: &[PairScores]) -> Vec<Derived> {
        let count = pairs.len().max(1) as f64;
        let mut losses = if self.loss_type == LossType::Aot {
            self.sorted(pairs)
        } else {
            pairs.iter().map(|pair| self.of_pair(pair)).collect()
        };
        for loss in &mut losses {
            loss.value /= count;
            loss.by_chosen /= count;
            loss.by_rejected /= count;
        }
        losses
    }

    /// The implicit rewards of both sides, `β c` and `β r`.
    pub fn rewards(&self, pair: &PairScores) -> (f64, f64) {
        let (chosen, rejected) = self.ratios(pair);
        (self.beta * chosen, self.beta * rejected)
    }

    /// `c` and `r`.
    fn ratios(&self, pair: &PairScores) -> (f64, f64) {
        let (chosen, rejected) = (pair.chosen.log_ratio(), pair.rejected.log_ratio());
        (
            chosen / self.divisor(&pair.chosen),
            rejected / self.divisor(&pair.rejected),
        )
    }

    /// What the log-probability of a side is divided by.
    fn divisor(&self, side: &Side) -> f64 {
        match self.length {
            Length::Sum => 1.0,
            Length::Mean => side.tokens.max(1) as f64,
        }
    }

    /// The loss of one pair. A pair that is better one way with probability `p` is `p` pairs that way and `1 − p` the other.
    fn of_pair(&self, pair: &PairScores) -> Derived {
        let (c, r) = self.ratios(pair);
        let p = pair.label;
        let mut loss = self.ordered(c, r);
        if p < 1.0 {
            let turned = self.ordered(r, c);
            loss = Derived {
                value: p * loss.value + (1.0 - p) * turned.value,
                by_chosen: p * loss.by_chosen + (1.0 - p) * turned.by_rejected,
                by_rejected: p * loss.by_rejected + (1.0 - p) * turned.by_chosen,
            };
        }
        loss.by_chosen /= self.divisor(&pair.chosen);
        loss.by_rejected /= self.divisor(&pair.rejected);
        loss
    }

    /// The loss of a pair whose first side is better, with its derivatives by `c` and `r`.
    fn ordered(&self, c: f64, r: f64) -> Derived {
        let Self { beta, .. } = *self;
        let x = beta * (c - r);
        let apart = |value: f64, by_chosen: f64, by_rejected: f64| Derived {
            value,
            by_chosen,
            by_rejected,
        };
        // A function of x alone.
        let of_x = |(value, slope): (f64, f64)| apart(value, beta * slope, -beta * slope);
        match self.loss_type {
            LossType::Sigmoid | LossType::SigmoidNorm | LossType::Cpo | LossType::Aot => {
                of_x(self.smoothed(x))
            }
            LossType::Simpo => of_x(self.smoothed(x - self.simpo_gamma)),
            LossType::Hinge => of_x(if x < 1.0 { (1.0 - x, -1.0) } else { (0.0, 0.0) }),
            LossType::Robust => of_x(self.robust(x)),
            LossType::ExoPair => of_x(self.exo(x)),
            LossType::Discopop => of_x(self.discopop(x)),
            LossType::Ipo => {
                let u = c - r - 0.5 / beta;
                apart(u * u, 2.0 * u, -2.0 * u)
            }
            LossType::SppoHard => {
                let (u, v) = (c - 0.5 / beta, r + 0.5 / beta);
                apart(u * u + v * v, 2.0 * u, 2.0 * v)
            }
            LossType::NcaPair => apart(
                -log_sigmoid(beta * c)
                    - 0.5 * log_sigmoid(-beta * c)
                    - 0.5 * log_sigmoid(-beta * r),
                beta * (0.5 * sigmoid(beta * c) - sigmoid(-beta * c)),
                0.5 * beta * sigmoid(beta * r),
            ),
            LossType::BcoPair => apart(
                -log_sigmoid(beta * c) - log_sigmoid(-beta * r),
                -beta * sigmoid(-beta * c),
                beta * sigmoid(beta * r),
            ),
            LossType::ApoZero => apart(
                sigmoid(-beta * c) + sigmoid(beta * r),
                -beta * bump(beta * c),
                beta * bump(beta * r),
            ),
            LossType::ApoDown => apart(
                sigmoid(beta * c) + sigmoid(-x),
                beta * (bump(beta * c) - bump(x)),
                beta * bump(x),
            ),
            LossType::Orpo => self.odds(c, r),
            // Answers by themselves are no pairs: see `kto`.
            LossType::Kto => apart(f64::NAN, f64::NAN, f64::NAN),
        }
    }

    /// `−(1 − ε) log σ(x) − ε log σ(−x)` and its slope (cDPO).
    fn smoothed(&self, x: f64) -> (f64, f64) {
        let epsilon = self.label_smoothing;
        (
            -(1.0 - epsilon) * log_sigmoid(x) - epsilon * log_sigmoid(-x),
            epsilon * sigmoid(x) - (1.0 - epsilon) * sigmoid(-x),
        )
    }

    /// `(−(1 − ε) log σ(x) + ε log σ(−x)) / (1 − 2ε)`: unbiased where a share ε of the labels is wrong.
    fn robust(&self, x: f64) -> (f64, f64) {
        let epsilon = self.label_smoothing;
        let scale = 1.0 - 2.0 * epsilon;
        (
            (epsilon * log_sigmoid(-x) - (1.0 - epsilon) * log_sigmoid(x)) / scale,
            -((1.0 - epsilon) * sigmoid(-x) + epsilon * sigmoid(x)) / scale,
        )
    }

    /// The KL divergence of `(σ(x), σ(−x))` from `(1 − ε, ε)`.
    fn exo(&self, x: f64) -> (f64, f64) {
        let (log_p, log_q) = ((-self.label_smoothing).ln_1p(), self.label_smoothing.ln());
        let value = sigmoid(x) * (log_sigmoid(x) - log_p) + sigmoid(-x) * (log_sigmoid(-x) - log_q);
        (value, bump(x) * (x - (log_p - log_q)))
    }

    /// `−log σ(x) (1 − m) + e^{−x} m` with `m = σ(x / τ)`.
    fn discopop(&self, x: f64) -> (f64, f64) {
        let tau = self.discopop_tau;
        let (mixed, exponential) = (sigmoid(x / tau), (-x).exp());
        let logistic = -log_sigmoid(x);
        let value = logistic * (1.0 - mixed) + exponential * mixed;
        let slope = -sigmoid(-x) * (1.0 - mixed) - exponential * mixed
            + bump(x / tau) * (exponential - logistic) / tau;
        (value, slope)
    }

    /// `−β log σ(z)`, `z` the logarithm of the ratio of the odds of both sides, of mean log-probabilities `c` and `r`.
    fn odds(&self, c: f64, r: f64) -> Derived {
        // 1 − p, which does not reach 0 though a probability may round to 1.
        let against = |logprob: f64| (-logprob.exp_m1()).max(1e-12);
        let (not_c, not_r) = (against(c), against(r));
        let z = (c - r) - (not_c.ln() - not_r.ln());
        let slope = -self.beta * sigmoid(-z);
        Derived {
            value: -self.beta * log_sigmoid(z),
            by_chosen: slope / not_c,
            by_rejected: -slope / not_r,
        }
    }

    /// The losses of a batch whose margins are compared in order: the largest of the policy with the largest of the
    /// reference (AOT, arXiv 2406.05882). A tie is no evidence of an order, and is left out of it.
    fn sorted(&self, pairs: &[PairScores]) -> Vec<Derived> {
        let divided = |of: fn(&Side) -> f64, side: &Side| of(side) / self.divisor(side);
        let margin = |of: fn(&Side) -> f64, pair: &PairScores| {
            divided(of, &pair.chosen) - divided(of, &pair.rejected)
        };
        let decided = || (0..pairs.len()).filter(|&i| pairs[i].label == 1.0);
        let mut order: Vec<usize> = decided().collect();
        let ours: Vec<f64> = pairs
            .iter()
            .map(|pair| margin(|side| side.policy, pair))
            .collect();
        order.sort_by(|&a, &b| ours[a].total_cmp(&ours[b]));
        let theirs = decided().map(|i| margin(|side| side.reference, &pairs[i]));
        let mut theirs: Vec<f64> = theirs.collect();
        theirs.sort_by(f64::total_cmp);
        let mut losses = vec![Derived::default(); pairs.len()];
        for (index, reference) in order.into_iter().zip(theirs) {
            let (value, slope) = self.smoothed(self.beta * (ours[index] - reference));
            losses[index] = Derived {
                value,
                by_chosen: self.beta * slope / self.divisor(&pairs[index].chosen),
                by_rejected: -self.beta * slope / self.divisor(&pairs[index].rejected),
            };
        }
        losses
    }
}

/// `1 / (1 + e^{−x})`.
pub(super) fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

/// `log σ(x)`, also where `σ(x)` is 0.
fn log_sigmoid(x: f64) -> f64 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}

/// The derivative of `σ`.
pub(super) fn bump(x: f64) -> f64 {
    sigmoid(x) * sigmoid(-x)
}

#[cfg(test)]
mod tests;
