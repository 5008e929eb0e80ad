//! What a run cost, and what a point of held-out accuracy cost in it.

use serde::Serialize;
use serde_json::{Map, Value};

use super::estimate::Estimate;
use crate::{
    eval::{EvaluationLine, Moment},
    statistics::{Interval, paired_bootstrap, ratio},
};

/// The seed of all draws.
const SEED: u64 = 0;
const FIGURE: u64 = 7;

/// What some steps of a run took. What their lines do not say is `None`, also where only some of them do not.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Spending {
    /// Tokens of completions that were sampled to train on.
    pub sampled_tokens: u64,
    /// Tokens that were trained on.
    pub trained_tokens: u64,
    /// Floating-point operations of the model.
    pub flops: Option<f64>,
    /// Energy, in watt-hours.
    pub energy_wh: Option<f64>,
    /// How that is known, in the words of the lines; several where sessions differed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub energy_source: Vec<String>,
    /// Money, by the prices of `[cost]`.
    pub cost: Option<f64>,
}

/// What held-out accuracy was gained, and at what cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Gain {
    /// Updates made before the first measurement, and before the last.
    pub steps: [u64; 2],
    /// Greedy accuracy gained, in points (percent), with its 95 % interval: a bootstrap over the problems, in pairs.
    pub points: Estimate,
    /// Whether the interval lies above 0. If not, what a point cost is not determined.
    pub determined: bool,
    /// What a point cost, of the steps between the two measurements.
    pub per_point: Option<PerPoint>,
}

/// A point of held-out accuracy.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PerPoint {
    /// Floating-point operations.
    pub flops: Option<Estimate>,
    /// Energy, in watt-hours.
    pub energy_wh: Option<Estimate>,
    /// Money.
    pub cost: Option<Estimate>,
}

impl Spending {
    /// That of the lines of `metrics.jsonl` whose steps `within` holds.
    pub fn of(lines: &[Map<String, Value>], within: impl Fn(u64) -> bool) -> Self {
        let step = |line: &Map<String, Value>| line.get("step").and_then(Value::as_u64);
        let lines: Vec<_> = lines
            .iter()
            .filter(|line| step(line).is_some_and(&within))
            .collect();
        let tokens = |key: &str| {
            let counts = lines.iter().filter_map(|line| line.get(key)?.as_u64());
            counts.sum()
        };
        let sum = |key: &str| -> Option<f64> {
            let values = lines.iter().map(|line| line.get(key)?.as_f64());
            let values: Vec<f64> = values.collect::<Option<_>>()?;
            (!values.is_empty()).then(|| values.iter().sum())
        };
        let mut energy_source: Vec<String> = Vec::new();
        for source in lines
            .iter()
            .filter_map(|line| line.get("energy_source")?.as_str())
        {
            if !energy_source.iter().any(|known| known == source) {
                energy_source.push(source.to_owned());
            }
        }
        Self {
            sampled_tokens: tokens("completion_tokens"),
            trained_tokens: tokens("trained_tokens"),
            flops: sum("flops"),
            energy_wh: sum("energy_wh"),
            energy_source,
            cost: sum("cost"),
        }
    }
}

/// What the run gained from its first measurement to its last, on the same problems; `None` where there are not two.
pub fn gain(lines: &[Map<String, Value>], evaluations: &[EvaluationLine]) -> Option<Gain> {
    let before = evaluations
        .iter()
        .find(|line| line.moment == Moment::Before);
    let before = before.or_else(|| evaluations.iter().min_by_key(|line| line.step))?;
    let after = evaluations.iter().max_by_key(|line| line.step)?;
    if after.step <= before.step || after.problem_set != before.problem_set {
        return None;
    }
    let known = |line: &EvaluationLine, other: &EvaluationLine| {
        let pairs = line.greedy.items().into_iter().zip(other.greedy.items());
        let judged = pairs.filter(|(own, other)| own.1 > 0.0 && other.1 > 0.0);
        judged.map(|(own, _)| own).collect::<Vec<_>>()
    };
    let (first, second) = (known(before, after), known(after, before));
    let value = 100.0 * (ratio(&second)? - ratio(&first)?);
    let Interval { low, high, .. } = paired_bootstrap(&first, &second, SEED, FIGURE)?;
    let points = Estimate {
        value,
        interval: Interval {
            low: 100.0 * low,
            high: 100.0 * high,
        },
    };
    let determined = points.interval.low > 0.0;
    let spent = Spending::of(lines, |step| step > before.step && step <= after.step);
    let each = |spent: Option<f64>| spent.map(|spent| per(spent, &points));
    Some(Gain {
        steps: [before.step, after.step],
        per_point: determined.then(|| PerPoint {
            flops: each(spent.flops),
            energy_wh: each(spent.energy_wh),
            cost: each(spent.cost),
        }),
        points,
        determined,
    })
}

/// What one of so many points cost; the more were gained, the less.
fn per(spent: f64, points: &Estimate) -> Estimate {
    Estimate {
        value: spent / points.value,
        interval: Interval {
            low: spent / points.interval.high,
            high: spent / points.interval.low,
        },
    }
}

/// What a run cost as a whole: in `summary.json`, and what `dunwu compare` shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunCost {
    /// All of its steps.
    #[serde(flatten)]
    pub spent: Spending,
    /// What prices are in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// What it gained for that.
    pub gain: Option<Gain>,
}

impl RunCost {
    /// That of the lines of `metrics.jsonl` and `evaluation.jsonl`.
    pub fn of(
        lines: &[Map<String, Value>],
        evaluations: &[EvaluationLine],
        currency: Option<String>,
    ) -> Self {
        Self {
            spent: Spending::of(lines, |_| true),
            currency,
            gain: gain(lines, evaluations),
        }
    }

    /// In a line or two for people; nothing where nothing is known.
    pub fn lines(&self) -> Vec<String> {
        let Spending {
            flops,
            energy_wh,
            energy_source,
            cost,
            ..
        } = &self.spent;
        let currency = self.currency.as_deref().unwrap_or("");
        let mut parts = Vec::new();
        parts.extend(flops.map(|flops| format!("{flops:.2e} FLOPs")));
        let known = energy_source.join(" and ");
        parts.extend(energy_wh.map(|wh| format!("{wh:.2} Wh ({known})")));
        parts.extend(cost.map(|cost| format!("{cost:.4} {currency}")));
        let mut lines = Vec::new();
        if !parts.is_empty() {
            lines.push(parts.join(", "));
        }
        let Some(gain) = &self.gain else { return lines };
        let Some(each) = &gain.per_point else {
            lines.push(
                "a point of held-out accuracy: not determined, the gain may be noise".to_owned(),
            );
            return lines;
        };
        let shown = |estimate: &Option<Estimate>, unit: &str, form: fn(f64) -> String| {
            let Estimate { value, interval } = estimate.as_ref()?;
            let (low, high) = (form(interval.low), form(interval.high));
            Some(format!("{} {unit} ({low} to {high})", form(*value)))
        };
        let parts: Vec<String> = [
            shown(&each.flops, "FLOPs", |x| format!("{x:.1e}")),
            shown(&each.energy_wh, "Wh", |x| format!("{x:.3}")),
            shown(&each.cost, currency, |x| format!("{x:.5}")),
        ]
        .into_iter()
        .flatten()
        .collect();
        if !parts.is_empty() {
            lines.push(format!(
                "a point of held-out accuracy: {}",
                parts.join(", ")
            ));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::eval::{EvalReport, Verdicts};

    fn measured(step: u64, moment: Moment, right: usize) -> EvaluationLine {
        EvaluationLine {
            step,
            stage: 0,
            moment,
            problem_set: "same".to_owned(),
            greedy: Verdicts((0..50).map(|index| Some(index < right)).collect()),
            sampled: Vec::new(),
            report: EvalReport::default(),
        }
    }

    fn lines() -> Vec<Map<String, Value>> {
        let line = |step: u64| {
            let line = json!({
                "step": step, "flops": 100.0, "energy_wh": 2.0, "energy_source": "assumed", "cost": 0.5,
                "completion_tokens": 7, "trained_tokens": 5
            });
            line.as_object().cloned().unwrap()
        };
        (1..=10).map(line).collect()
    }

    #[test]
    fn a_point_costs_what_the_steps_between_the_measurements_did() {
        let measured = [
            measured(5, Moment::Before, 10),
            measured(10, Moment::After, 35),
        ];
        let cost = RunCost::of(&lines(), &measured, Some("EUR".to_owned()));
        assert_eq!(cost.spent.flops, Some(1000.0));
        assert_eq!(
            (cost.spent.sampled_tokens, cost.spent.trained_tokens),
            (70, 50)
        );
        assert_eq!(cost.spent.energy_source, ["assumed"]);
        let gain = cost.gain.as_ref().unwrap();
        assert!(gain.determined && (gain.points.value - 50.0).abs() < 1e-9);
        let each = gain.per_point.as_ref().unwrap().cost.unwrap();
        assert!((each.value - 2.5 / 50.0).abs() < 1e-12);
        assert!(each.interval.low < each.value && each.value < each.interval.high);
        assert!(cost.lines()[1].contains("EUR"), "{:?}", cost.lines());
    }

    #[test]
    fn where_the_gain_may_be_noise_a_point_has_no_price() {
        let measured = [
            measured(0, Moment::Before, 20),
            measured(10, Moment::After, 21),
        ];
        let cost = RunCost::of(&lines(), &measured, None);
        let gain = cost.gain.as_ref().unwrap();
        assert!(!gain.determined && gain.per_point.is_none());
        assert!(cost.lines()[1].contains("not determined"));
    }

    #[test]
    fn what_one_step_does_not_say_the_run_does_not_know() {
        let mut lines = lines();
        lines[3].remove("energy_wh");
        let spent = Spending::of(&lines, |_| true);
        assert_eq!((spent.energy_wh, spent.flops), (None, Some(1000.0)));
        assert!(RunCost::of(&[], &[], None).lines().is_empty());
    }
}
