//! Losses and their derivatives, KL estimates, and the weights between sampler and trainer.

use dunwu::stages::grpo::{
    Objective, ObjectiveConfig,
    batch::quantile,
    correction::{CorrectionConfig, CorrectionKind, CorrectionLevel},
    kl::KlEstimator,
    objective::{Normalizer, RatioLevel, Surrogate},
};
use serde_json::Value;

use super::{
    Worst, cases,
    completions::{Counts, Inputs, Outcome},
    flat, golden, number, relative, rows, text,
};

/// Cases in which we do something else than the reference, and why; see `golden/README.md`.
const OTHERWISE: [(&str, &str); 3] = [
    (
        "grpo/sequence/kl times ratio of the completion",
        "the unbiased estimator takes the ratio of the token",
    ),
    (
        "gmpo/top 0.5 by entropy",
        "the geometric mean is over all tokens of the completion",
    ),
    (
        "verl cispo/bounded on both sides, off_policy",
        "CISPO's weight has no lower bound",
    ),
];

/// What the goal for this file says: of the loss, and of the gradient.
const LOSS: f64 = 1e-5;
const GRADIENT: f64 = 1e-4;

#[derive(Default)]
struct Seen {
    compared: usize,
    loss: Worst,
    gradient: Worst,
}

impl Seen {
    /// The loss by `value`, its derivatives by `gradient`: the same but for a straight-through KL.
    fn compare(&mut self, case: &Value, inputs: &Inputs, value: &Outcome, gradient: &Outcome) {
        let name = text(case, "name");
        let loss = relative(&[value.value], &[number(case, "loss").unwrap()]);
        let theirs = flat(&rows(&case["by_logprobs"]), &inputs.live);
        let mut slope = relative(&gradient.by_logprobs, &theirs);
        if case.get("by_logits").is_some() && inputs.softmax.is_some() {
            let by_entropy = flat(&rows(&case["by_entropy"]), &inputs.live);
            slope = slope.max(relative(&gradient.by_entropy, &by_entropy));
            let by_logits: Vec<Vec<Vec<f64>>> = case["by_logits"]
                .as_array()
                .unwrap()
                .iter()
                .map(rows)
                .collect();
            let live = by_logits.iter().flatten().zip(inputs.live.iter().flatten());
            let live: Vec<f64> = live
                .filter(|(_, live)| **live)
                .flat_map(|(z, _)| z.clone())
                .collect();
            slope = slope.max(relative(&inputs.by_logits(gradient), &live));
        }
        if let Some((_, why)) = OTHERWISE.iter().find(|(other, _)| *other == name) {
            let apart = loss > 10.0 * LOSS || slope > 10.0 * GRADIENT;
            assert!(apart, "{name} agrees after all, although {why}");
            return;
        }
        assert!(
            loss <= LOSS,
            "{name}: loss {} differs by {loss:e}",
            value.value
        );
        assert!(slope <= GRADIENT, "{name}: gradient differs by {slope:e}");
        self.loss.see(loss, name);
        self.gradient.see(slope, name);
        self.compared += 1;
    }

    fn report(&self, who: &str, least: usize) {
        let Self {
            compared,
            loss,
            gradient,
        } = self;
        eprintln!("{who}: {compared} losses; worst of the loss {loss}, of the gradient {gradient}");
        assert!(*compared >= least, "{compared}");
    }
}

fn trl_config(case: &Value) -> ObjectiveConfig {
    let loss_type = text(case, "loss_type");
    let or = |key, otherwise| number(case, key).unwrap_or(otherwise);
    ObjectiveConfig {
        surrogate: match loss_type {
            "cispo" => Surrogate::Cispo,
            "sapo" => Surrogate::Sapo,
            "gmpo" => Surrogate::GeometricMean,
            _ => Surrogate::Clip,
        },
        level: match text(case, "level") {
            "token" => RatioLevel::Token,
            "sequence" => RatioLevel::Sequence,
            "sequence_token" => RatioLevel::SequenceToken,
            "completion" => RatioLevel::Completion,
            other => panic!("level {other}"),
        },
        normalizer: match loss_type {
            "grpo" | "sapo" | "gmpo" | "rloo" => Normalizer::Completions,
            "bnpo" => Normalizer::MicroBatchTokens,
            "dr_grpo" => Normalizer::LongestLength,
            "dapo" | "cispo" => Normalizer::Tokens,
            "luspo" => Normalizer::CompletionsByLength,
            other => panic!("loss_type {other}"),
        },
        epsilon: or("epsilon", f64::NAN),
        epsilon_high: or("epsilon_high", f64::NAN),
        delta: number(case, "delta"),
        tau_positive: or("tau_positive", 1.0),
        tau_negative: or("tau_negative", 1.05),
        beta: or("beta", 0.0),
        kl: match case.get("kl_times_ratio").and_then(Value::as_bool) {
            Some(true) => KlEstimator::Unbiased,
            _ => KlEstimator::K3,
        },
        entropy_coefficient: or("entropy_coef", 0.0),
        correction: case.get("correction").map(|correction| {
            let mode = correction["mode"].as_str().unwrap();
            CorrectionConfig {
                kind: if mode.ends_with("_mask") {
                    CorrectionKind::Mask
                } else {
                    CorrectionKind::Truncate
                },
                level: if mode.starts_with("sequence") {
                    CorrectionLevel::Sequence
                } else {
                    CorrectionLevel::Token
                },
                low: number(correction, "low").unwrap_or(0.0),
                high: number(correction, "high").unwrap(),
            }
        }),
    }
}

#[test]
fn losses_and_gradients_are_trls() {
    let golden = golden();
    let mut all = Seen::default();
    for case in cases(&golden, "trl_cases") {
        let inputs = Inputs::new(&golden["batches"][text(case, "batch")]);
        let config = trl_config(case);
        let counts = Counts {
            completions: inputs.completions(true),
            tokens: number(case, "num_items").map_or(inputs.count(), |items| items as usize),
            longest: number(case, "longest").unwrap_or(0.0) as usize,
        };
        let kept = kept(case, &inputs);
        let mut ours = inputs.losses(&config, counts, kept.as_deref());
        if matches!(text(case, "loss_type"), "gmpo" | "rloo") {
            ours.value += inputs.left_out(counts.completions);
        }
        if let Some(weights) = case.get("weights") {
            weights_agree(case, &inputs, &config, weights);
        }
        all.compare(case, &inputs, &ours, &ours);
        let tokens = inputs.count() as f64;
        for (key, sum) in [
            ("clipped_low", ours.seen.clipped_low as f64),
            ("clipped_high", ours.seen.clipped_high as f64),
            ("kl", ours.seen.kl),
        ] {
            let known = OTHERWISE
                .iter()
                .any(|(other, _)| *other == text(case, "name"));
            if let Some(theirs) = number(case, key).filter(|_| !known) {
                let difference = (sum / tokens - theirs).abs();
                assert!(difference < 1e-6, "{}: {key} {sum} {theirs}", case["name"]);
            }
        }
    }
    all.report("TRL", 230);
}

/// The tokens of high entropy, by the production quantile; they have to be TRL's.
fn kept(case: &Value, inputs: &Inputs) -> Option<Vec<Vec<bool>>> {
    let share = number(case, "top_entropy_quantile")?;
    let live = flat(&inputs.entropy, &inputs.live);
    let least = quantile(live.iter().map(|&e| e as f32).collect(), 1.0 - share);
    let above = |row: &Vec<f64>| row.iter().map(|&e| e as f32 >= least).collect();
    let ours: Vec<Vec<bool>> = inputs.entropy.iter().map(above).collect();
    for ((ours, theirs), live) in ours.iter().zip(rows(&case["kept"])).zip(&inputs.live) {
        for ((ours, theirs), live) in ours.iter().zip(theirs).zip(live) {
            assert_eq!(*ours && *live, theirs > 0.0, "{}", case["name"]);
        }
    }
    Some(ours)
}

fn weights_agree(case: &Value, inputs: &Inputs, config: &ObjectiveConfig, weights: &Value) {
    let theirs = flat(&rows(weights), &inputs.live);
    let difference = relative(&inputs.weights(config), &theirs);
    assert!(difference < 1e-6, "{}: weights {difference}", case["name"]);
}

fn verl_config(case: &Value) -> ObjectiveConfig {
    let policy_loss = text(case, "policy_loss");
    let (epsilon, epsilon_high) = (number(case, "epsilon"), number(case, "epsilon_high"));
    let named = ObjectiveConfig::named(Objective::Dapo);
    let normalizer = match text(case, "aggregation") {
        "token-mean" => Normalizer::Tokens,
        "seq-mean-token-mean" => Normalizer::Completions,
        "seq-mean-token-sum" => Normalizer::CompletionsByLength,
        "seq-mean-token-sum-norm" => Normalizer::LongestLength,
        other => panic!("aggregation {other}"),
    };
    let (surrogate, level, normalizer) = match policy_loss {
        "vanilla" => (Surrogate::Clip, RatioLevel::Token, normalizer),
        "gspo" => (Surrogate::Clip, RatioLevel::SequenceToken, normalizer),
        "sapo" => (Surrogate::Sapo, RatioLevel::Token, normalizer),
        "cispo" => (Surrogate::Cispo, RatioLevel::Token, normalizer),
        // It does not look at the aggregation.
        "geo_mean" => (
            Surrogate::GeometricMean,
            RatioLevel::Token,
            Normalizer::Completions,
        ),
        other => panic!("policy_loss {other}"),
    };
    ObjectiveConfig {
        surrogate,
        level,
        normalizer,
        epsilon: epsilon.unwrap(),
        // verl's CISPO caps the weight at 1 + ε.
        epsilon_high: epsilon_high.unwrap() + f64::from(u8::from(policy_loss == "cispo")),
        delta: number(case, "dual_clip"),
        beta: number(case, "beta").unwrap_or(0.0),
        correction: case.get("correction").map(|correction| CorrectionConfig {
            kind: match number(correction, "low") {
                Some(_) => CorrectionKind::Mask,
                None => CorrectionKind::Truncate,
            },
            level: match correction["level"].as_str().unwrap() {
                "sequence" => CorrectionLevel::Sequence,
                _ => CorrectionLevel::Token,
            },
            low: number(correction, "low").unwrap_or(0.0),
            high: number(correction, "high").unwrap(),
        }),
        ..named
    }
}

/// The estimators of verl's name: of the value, and of the gradient, which is k2's after a `+`.
fn estimators(name: &str) -> (KlEstimator, KlEstimator) {
    let value = match name.trim_end_matches('+') {
        "k1" => KlEstimator::K1,
        "k2" => KlEstimator::K2,
        "k3" => KlEstimator::K3,
        other => panic!("estimator {other}"),
    };
    if name.ends_with('+') {
        (value, KlEstimator::K2)
    } else {
        (value, value)
    }
}

#[test]
fn losses_and_gradients_are_verls() {
    let golden = golden();
    let mut all = Seen::default();
    for case in cases(&golden, "verl_cases") {
        let inputs = Inputs::new(&golden["batches"][text(case, "batch")]);
        let config = verl_config(case);
        let (value, gradient) = match case.get("kl_estimator") {
            Some(name) => estimators(name.as_str().unwrap()),
            None => (config.kl, config.kl),
        };
        let counts = Counts {
            // Of completions that were left out only the geometric mean's average counts.
            completions: inputs.completions(text(case, "policy_loss") == "geo_mean"),
            tokens: inputs.count(),
            longest: number(case, "longest").unwrap_or(0.0) as usize,
        };
        let with = |kl| inputs.losses(&ObjectiveConfig { kl, ..config }, counts, None);
        if let Some(weights) = case.get("weights") {
            weights_agree(case, &inputs, &config, weights);
        }
        all.compare(case, &inputs, &with(value), &with(gradient));
    }
    all.report("verl", 50);
}

#[test]
fn kl_estimates_are_verls() {
    let golden = golden();
    let mut worst = Worst::default();
    for case in cases(&golden, "kl_cases") {
        let batch = &golden["batches"][text(case, "batch")];
        let name = text(case, "kl_estimator");
        let (value, gradient) = estimators(name);
        let pairs: Vec<(f64, f64)> = std::iter::zip(
            rows(&batch["logprobs"]).concat(),
            rows(&batch["reference"]).concat(),
        )
        .map(|(logprob, reference)| (f64::from(logprob as f32), f64::from(reference as f32)))
        .collect();
        let at = |kl: KlEstimator| pairs.iter().map(move |&(l, r)| kl.at(l, r, 1.0));
        let values: Vec<f64> = at(value).map(|(value, _)| value).collect();
        let slopes: Vec<f64> = at(gradient).map(|(_, slope)| slope).collect();
        worst.see(relative(&values, &rows(&case["values"]).concat()), name);
        worst.see(
            relative(&slopes, &rows(&case["by_logprobs"]).concat()),
            name,
        );
    }
    eprintln!("verl's KL estimates: {worst}");
    assert!(worst.0 < 1e-8, "{worst}");
}

/// Every objective that has a name is compared with a reference under that name's parts.
#[test]
fn every_named_objective_has_cases() {
    let golden = golden();
    let configs: Vec<ObjectiveConfig> =
        cases(&golden, "trl_cases").iter().map(trl_config).collect();
    for name in Objective::ALL {
        let parts = name.parts();
        let same = |c: &&ObjectiveConfig| {
            c.surrogate == parts.surrogate
                && c.level == parts.level
                && c.normalizer == parts.normalizer
        };
        assert!(configs.iter().filter(same).count() >= 5, "{name:?}");
    }
}
