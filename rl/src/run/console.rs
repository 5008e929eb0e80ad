//! Progress for a person, on standard error: a bar with the time left where there is a terminal,
//! and a line a step everywhere.

use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};

use super::summary::{Showcase, Summary};
use crate::{alarms::Alarm, eval::EvalReport, stages::{grpo::GrpoMetrics, rejection::RejectionMetrics, sft::SftMetrics}, statistics::Interval};

/// Writes for a person.
#[derive(Debug, Default)]
pub struct Console;

/// The bar of one stage or measurement.
#[derive(Debug)]
pub struct Bar(ProgressBar);

impl Console {
    /// A console on standard error.
    pub fn new() -> Self {
        Self
    }

    /// One line.
    pub fn line(&self, text: &str) {
        eprintln!("{text}");
    }

    /// The bar of a stage that has made `done` of `steps` steps.
    pub fn stage(&self, name: &str, steps: u64, done: u64) -> Bar {
        let bar = styled(steps, name);
        bar.set_position(done);
        bar.reset_eta();
        Bar(bar)
    }

    /// The bar of something counted.
    pub fn counter(&self, name: &str, count: usize) -> Bar {
        Bar(styled(count as u64, name))
    }

    /// What went bad at a step.
    pub fn alarm(&self, step: u64, alarm: &Alarm) {
        self.line(&format!("ALARM    step {step}: {alarm}"));
        self.line(&format!("hint: {}", alarm.kind.hint()));
    }

    /// What a measurement found.
    pub fn report(&self, label: &str, report: &EvalReport) {
        self.line(&format!("{label}: {}", found(report)));
    }

    /// What the run came to.
    pub fn summary(&self, summary: &Summary, path: &Path) {
        for shown in summary
            .showcase
            .iter()
            .filter(|shown| !shown.after.is_empty())
        {
            self.showcase(shown);
        }
        let percent = |accuracy: Option<f64>| match accuracy {
            Some(accuracy) => format!("{:.1} %", 100.0 * accuracy),
            None => "not measured".to_owned(),
        };
        if summary.stages.len() > 1 {
            self.line("");
        }
        for stage in summary.stages.iter().filter(|_| summary.stages.len() > 1) {
            let heldout = match &stage.heldout {
                Some(report) => format!(
                    "held-out {}, mean length {:.1} tokens",
                    percent(report.greedy_accuracy),
                    report.greedy_length_mean
                ),
                None => "held-out not measured".to_owned(),
            };
            self.line(&format!(
                "stage {}  {:18}  {:5} steps  {heldout}",
                stage.stage,
                stage.kind.to_string(),
                stage.steps
            ));
        }
        self.line("");
        self.line(&format!(
            "{}: {} steps in {:.0} s, held-out accuracy {} before GRPO, {} after",
            if summary.finished {
                "finished"
            } else {
                "stopped"
            },
            summary.steps,
            summary.seconds,
            percent(summary.heldout_accuracy_before),
            percent(summary.heldout_accuracy_after),
        ));
        self.line(&format!("files in {}", path.display()));
        if !summary.finished {
            self.line("hint: the same command with --resume goes on from here");
        }
    }

    fn showcase(&self, shown: &Showcase) {
        self.line("");
        self.line(&format!(
            "problem  {}   (answer {})",
            shown.prompt.trim(),
            shown.answer
        ));
        self.line(&format!("before   {}", shown.before.trim()));
        self.line(&format!("after    {}", shown.after.trim()));
    }
}

impl Bar {
    /// A step of supervised fine-tuning: a line every tenth of the stage, the rest on the bar.
    pub fn sft(&self, step: u64, metrics: &SftMetrics) {
        let steps = self.0.length().unwrap_or(step);
        let mut text = format!(
            "loss {:.4}  grad {:.2}  {:.0} tok/s",
            metrics.loss, metrics.grad_norm, metrics.trained_tokens_per_s
        );
        if let Some(loss) = metrics.heldout_loss {
            text += &format!("  held-out loss {loss:.4}, perplexity {:.2}", loss.exp());
        }
        self.0.set_position(step);
        self.0.set_message(text.clone());
        let tenth = step.is_multiple_of((steps / 10).max(1)) || step == steps;
        if tenth || metrics.heldout_loss.is_some() {
            self.print(&format!("sft {step}/{steps}  {text}"));
        }
        self.finish_at(step);
    }

    /// A chunk of rejection sampling.
    pub fn rejection(&self, step: u64, metrics: &RejectionMetrics) {
        let steps = self.0.length().unwrap_or(step);
        let number = |value: Option<f64>| value.unwrap_or(f64::NAN);
        let mut line = format!(
            "rejection {step}/{steps}  kept {} of {}  pass rate {:.3}  length {:.1}  kept {:.1}  {:.0} tok/s",
            metrics.kept,
            metrics.completions,
            number(metrics.pass_rate),
            number(metrics.length_mean),
            number(metrics.kept_length_mean),
            metrics.generated_tokens_per_s,
        );
        if metrics.failed_judgements > 0 {
            line += &format!("  FAILED JUDGEMENTS {}", metrics.failed_judgements);
        }
        self.0.set_position(step);
        self.print(&line);
        self.finish_at(step);
    }

    /// A step of GRPO.
    pub fn grpo(&self, step: u64, metrics: &GrpoMetrics) {
        let steps = self.0.length().unwrap_or(step);
        let components: Vec<String> = metrics
            .components
            .iter()
            .map(|(name, value)| format!("{name} {value:.3}"))
            .collect();
        let mut line = format!(
            "grpo {step}/{steps}  reward {:.3} ({})  length {:.1}  entropy {:.3}  grad {:.2}  same {:.0} %  cut {:.0} %  {:.0} tok/s  {:.1} s",
            metrics.reward_mean,
            components.join(", "),
            metrics.length_mean,
            metrics.entropy,
            metrics.grad_norm,
            100.0 * metrics.zero_variance_groups,
            100.0 * metrics.truncated,
            metrics.generated_tokens_per_s,
            metrics.step_s,
        );
        if metrics.failed_judgements > 0 {
            line += &format!("  FAILED JUDGEMENTS {}", metrics.failed_judgements);
        }
        if metrics.undecided_judgements > 0 {
            line += &format!("  undecided {}", metrics.undecided_judgements);
        }
        self.0.set_position(step);
        self.print(&line);
        self.finish_at(step);
    }

    /// So many are done.
    pub fn set(&self, done: usize) {
        self.0.set_position(done as u64);
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }

    fn print(&self, line: &str) {
        self.0.suspend(|| eprintln!("{line}"));
    }

    fn finish_at(&self, step: u64) {
        if Some(step) == self.0.length() {
            self.finish();
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// A measurement in a line.
fn found(report: &EvalReport) -> String {
    let within = |interval: Option<Interval>| match interval {
        Some(Interval { low, high }) => format!(" ({:.1} to {:.1})", 100.0 * low, 100.0 * high),
        None => String::new(),
    };
    let greedy = match report.greedy_accuracy {
        Some(accuracy) => format!("{:.1} %", 100.0 * accuracy),
        None => "unknown: no verdict".to_owned(),
    };
    let mut line = format!(
        "greedy {greedy}{} of {} problems",
        within(report.greedy_accuracy_interval),
        report.problems
    );
    if let Some(accuracy) = report.sampled_accuracy {
        let interval = within(report.sampled_accuracy_interval);
        line += &format!(", sampled {:.1} %{interval}", 100.0 * accuracy);
        let largest = [("pass", &report.pass_at), ("cons", &report.cons_at)];
        for (name, values) in largest {
            if let Some((k, value)) = values.last_key_value().filter(|(k, _)| **k > 1) {
                line += &format!(", {name}@{k} {:.1} %", 100.0 * value);
            }
        }
    }
    line += &format!(
        ", mean length {:.1} tokens, {:.1} % cut off",
        report.greedy_length_mean,
        100.0 * report.greedy_truncated
    );
    for (name, count) in [
        ("FAILED JUDGEMENTS", report.failed_judgements),
        ("undecided", report.undecided_judgements),
        ("not applicable", report.not_applicable),
    ] {
        if count > 0 {
            line += &format!(", {name} {count}");
        }
    }
    line
}

fn styled(length: u64, name: &str) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{prefix:18} {wide_bar} {pos}/{len}  {eta} left  {msg}")
            .expect("the template is fixed");
    let bar = ProgressBar::new(length).with_style(style);
    bar.set_prefix(name.to_owned());
    bar
}
