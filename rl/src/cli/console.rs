//! Progress for a person, on standard error: a bar with the time left where there is a terminal,
//! and a line a step everywhere.

use std::{error::Error, path::Path};

use dunwu::{
    eval::EvalReport,
    run::{Event, Observer, Showcase, Summary},
    stages::StepMetrics,
    statistics::Interval,
};
use indicatif::{ProgressBar, ProgressStyle};

use super::terminal::{say, tell};

/// Shows a run. What cannot be written is not missed: the run goes on.
#[derive(Default)]
pub(crate) struct Console {
    /// Of the stage under way.
    steps: Option<Bar>,
    /// The name of the stage under way.
    name: &'static str,
    /// Of the measurement under way.
    answers: Option<Bar>,
    /// Whether only alarms are shown.
    quiet: bool,
}

/// The bar of something counted; it goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Bar(ProgressBar);

impl Observer for Console {
    fn observe(&mut self, event: &Event) -> Result<(), Box<dyn Error + Send + Sync>> {
        if self.quiet && !matches!(event, Event::Alarm { .. }) {
            return Ok(());
        }
        match event {
            Event::Note { topic, text } => self.line(&format!("{topic:8} {text}")),
            Event::StageBegan {
                kind, steps, done, ..
            } => {
                self.name = kind.name();
                self.steps = Some(Bar::new(kind.name(), *steps, *done));
            }
            Event::Step {
                metrics,
                done,
                steps,
                ..
            } => self.step(*metrics, *done, *steps),
            Event::MeasurementBegan { label, answers } => {
                self.answers = Some(Bar::new(label, *answers as u64, 0));
            }
            Event::Measuring { done } => {
                if let Some(bar) = &self.answers {
                    bar.set(*done);
                }
            }
            Event::Measured { label, report, .. } => {
                self.answers = None;
                self.line(&format!("{label}: {}", found(report)));
            }
            Event::Alarm { step, alarm } => {
                self.line(&format!("ALARM    step {step}: {alarm}"));
                self.line(&format!("hint: {}", alarm.kind.hint()));
            }
            Event::StageEnded { .. } => self.steps = None,
            Event::Ended { summary, directory } => {
                self.steps = None;
                self.answers = None;
                summarise(summary, directory);
            }
            _ => {}
        }
        Ok(())
    }
}

impl Console {
    /// One that shows everything, or only alarms.
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            quiet,
            ..Self::default()
        }
    }

    /// A line, above the bar if there is one.
    fn line(&self, text: &str) {
        match self.answers.as_ref().or(self.steps.as_ref()) {
            Some(bar) => bar.0.suspend(|| say(text)),
            None => say(text),
        }
    }

    /// A step. Kinds of stages whose steps are short and many show a tenth of them.
    fn step(&mut self, metrics: &dyn StepMetrics, done: u64, steps: u64) {
        let text = metrics.line();
        if let Some(bar) = &self.steps {
            bar.0.set_position(done);
            bar.0.set_message(if metrics.is_brief() {
                text.clone()
            } else {
                String::new()
            });
        }
        let tenth = done.is_multiple_of((steps / 10).max(1)) || done == steps;
        if !metrics.is_brief() || tenth {
            let name = self.name;
            self.line(&format!("{name} {done}/{steps}  {text}"));
        }
        if done == steps {
            self.steps = None;
        }
    }
}

impl Bar {
    /// The bar of something of which `done` of `count` are done.
    pub(crate) fn new(name: &str, count: u64, done: u64) -> Self {
        let style =
            ProgressStyle::with_template("{prefix:18} {wide_bar} {pos}/{len}  {eta} left  {msg}")
                .expect("the template is fixed");
        let bar = ProgressBar::new(count).with_style(style);
        bar.set_prefix(name.to_owned());
        bar.set_position(done);
        bar.reset_eta();
        Self(bar)
    }

    /// So many are done.
    pub(crate) fn set(&self, done: usize) {
        self.0.set_position(done as u64);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// What the run came to.
fn summarise(summary: &Summary, path: &Path) {
    for shown in summary
        .showcase
        .iter()
        .filter(|shown| !shown.after.is_empty())
    {
        show(shown);
    }
    let percent = |accuracy: Option<f64>| match accuracy {
        Some(accuracy) => format!("{:.1} %", 100.0 * accuracy),
        None => "not measured".to_owned(),
    };
    if summary.stages.len() > 1 {
        say("");
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
        tell!(
            "stage {}  {:18}  {:5} steps  {heldout}",
            stage.stage,
            stage.kind.to_string(),
            stage.steps
        );
    }
    say("");
    tell!(
        "{}: {} steps in {:.0} s, held-out accuracy {} before, {} after",
        if summary.finished {
            "finished"
        } else {
            "stopped"
        },
        summary.steps,
        summary.seconds,
        percent(summary.heldout_accuracy_before),
        percent(summary.heldout_accuracy_after),
    );
    let cost = summary.cost.iter().flat_map(|cost| cost.lines());
    for (index, line) in cost.enumerate() {
        tell!("{}{line}", if index == 0 { "cost: " } else { "" });
    }
    tell!("files in {}", path.display());
    if !summary.finished {
        say("hint: the same command with --resume goes on from here");
    }
}

fn show(shown: &Showcase) {
    say("");
    tell!(
        "problem  {}   (answer {})",
        shown.prompt.trim(),
        shown.answer
    );
    tell!("before   {}", shown.before.trim());
    tell!("after    {}", shown.after.trim());
}

/// A measurement in a line.
pub(crate) fn found(report: &EvalReport) -> String {
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
    if !report.unjudged_by.is_empty() {
        let by = report.unjudged_by.iter();
        let by: Vec<String> = by
            .map(|(whose, count)| format!("{whose} {count}"))
            .collect();
        line += &format!(", no verdict by the doing of: {}", by.join(", "));
    }
    line
}
