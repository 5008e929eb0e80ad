//! A comparison as a text for people.

use std::fmt::Write;

use super::compare::{Comparison, Difference, Estimate, Figure, Method};
use super::gain::RunCost;

/// The comparison in lines, each thing compared under a letter.
pub fn text(comparison: &Comparison) -> String {
    let Comparison {
        sources,
        config,
        against_first,
    } = comparison;
    let mut out = String::new();
    for (index, source) in sources.iter().enumerate() {
        let _ = writeln!(out, "{}  {}", letter(index), source.name);
        let at = match source.step {
            Some(step) => format!(" after step {step}"),
            None => String::new(),
        };
        let mut line = |what: &str, estimate: &Option<Estimate>, of: String, percent: bool| {
            if let Some(estimate) = estimate {
                let _ = writeln!(out, "     {what:18}{}{of}", shown(estimate, percent));
            }
        };
        let problems = format!(", {} problems{at}", source.problems);
        line("greedy accuracy", &source.greedy, problems.clone(), true);
        line("sampled accuracy", &source.sampled, problems, true);
        let last = format!(", last {} steps", source.reward_steps);
        line("reward", &source.reward, last, false);
        for (index, cost) in source.cost.iter().flat_map(RunCost::lines).enumerate() {
            let what = if index == 0 { "cost" } else { "" };
            let _ = writeln!(out, "     {what:18}{cost}");
        }
        if source.greedy.is_none() && source.reward.is_none() {
            let _ = writeln!(out, "     nothing measured");
        }
    }
    let _ = writeln!(out, "\nIn brackets: 95 % intervals.");
    if !config.is_empty() {
        let _ = writeln!(out, "\nConfigs");
        let width = config.keys().map(String::len).max().unwrap_or(0);
        for (key, values) in config {
            let values: Vec<String> = values
                .iter()
                .enumerate()
                .map(|(index, value)| {
                    let value = value.as_deref().unwrap_or("–");
                    format!("{} {value}", letter(index))
                })
                .collect();
            let _ = writeln!(out, "     {key:width$}   {}", values.join("   "));
        }
    }
    for pair in against_first {
        let _ = writeln!(out, "\n{} against A", letter(pair.source));
        if pair.differences.is_empty() {
            let _ = writeln!(out, "     no figure that both have");
        }
        for difference in &pair.differences {
            let _ = writeln!(out, "     {}", described(difference));
        }
    }
    out
}

/// A, B, …, Z, then numbers.
fn letter(index: usize) -> String {
    match u8::try_from(index) {
        Ok(small @ 0..26) => char::from(b'A' + small).to_string(),
        _ => format!("#{}", index + 1),
    }
}

fn shown(estimate: &Estimate, percent: bool) -> String {
    let Estimate { value, interval } = estimate;
    if percent {
        format!(
            "{:.1} % ({:.1} to {:.1})",
            100.0 * value,
            100.0 * interval.low,
            100.0 * interval.high
        )
    } else {
        format!("{value:.3} ({:.3} to {:.3})", interval.low, interval.high)
    }
}

fn described(difference: &Difference) -> String {
    let Difference {
        figure,
        method,
        difference,
        interval,
        pairs,
        only_first,
        only_second,
        p_value,
        beyond_noise,
    } = difference;
    let (name, scale, unit, digits) = match figure {
        Figure::Greedy => ("greedy accuracy", 100.0, " points", 1),
        Figure::Sampled => ("sampled accuracy", 100.0, " points", 1),
        Figure::Reward => ("reward", 1.0, "", 3),
    };
    let mut text = format!(
        "{name:18}{:+.digits$}{unit} ({:+.digits$} to {:+.digits$}), ",
        scale * difference,
        scale * interval.low,
        scale * interval.high
    );
    text += &match method {
        Method::Paired => format!("the same {} problems", pairs.unwrap_or(0)),
        Method::TwoSample => "problems that are not known to be the same".to_owned(),
        Method::Blocks => "the last tenth of the steps".to_owned(),
    };
    if let (Some(first), Some(second), Some(p)) = (only_first, only_second, p_value) {
        text += &format!(": {first} right in A only, {second} here only, p = {p:.2e}");
    }
    text += if *beyond_noise {
        ": more than noise"
    } else {
        ": may be noise"
    };
    text
}
