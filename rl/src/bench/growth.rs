//! How the cost of a step grows: a table and a plot.

use std::{fmt::Write, path::Path};

use plotters::prelude::*;
use serde::Serialize;

use super::{Shape, StepReport};

/// What is varied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Axis {
    /// Prompts, with the group as it is.
    Prompts,
    /// Completions a prompt.
    Group,
    /// Tokens of every completion.
    CompletionTokens,
    /// Tokens of every prompt.
    PromptTokens,
}

impl Axis {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Prompts,
        Self::Group,
        Self::CompletionTokens,
        Self::PromptTokens,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::Prompts => "prompts",
            Self::Group => "completions a prompt",
            Self::CompletionTokens => "completion tokens",
            Self::PromptTokens => "prompt tokens",
        }
    }

    /// What of a shape is varied; `prompt` is the number of tokens of its prompts.
    pub fn value(self, shape: &Shape, prompt: usize) -> usize {
        match self {
            Self::Prompts => shape.prompts,
            Self::Group => shape.group,
            Self::CompletionTokens => shape.max_tokens,
            Self::PromptTokens => prompt,
        }
    }

    /// The shapes along the axis, the base shape first: each doubles what is varied.
    pub fn shapes(self, base: &Shape) -> Vec<Shape> {
        let shape = |factor: usize| match self {
            Self::Prompts => Shape {
                prompts: base.prompts * factor,
                ..base.clone()
            },
            Self::Group => Shape {
                group: base.group * factor,
                ..base.clone()
            },
            Self::CompletionTokens => Shape {
                max_tokens: base.max_tokens * factor,
                ..base.clone()
            },
            Self::PromptTokens => Shape {
                padding: 64 * (factor - 1),
                ..base.clone()
            },
        };
        [1, 2, 4].map(shape).into()
    }
}

/// One measured point. The first of each axis is the same step.
#[derive(Debug, Clone, Serialize)]
pub struct Point {
    /// What was varied.
    pub axis: Axis,
    /// Its value.
    pub value: usize,
    /// What it took.
    pub report: StepReport,
    /// Bytes held at most while it was measured.
    pub peak_memory_bytes: u64,
}

/// A Markdown table. The last two columns say how the cost grows: what a step takes and how many rows
/// go through the model, a prompt once for all its completions, both relative to the first line.
pub fn table(points: &[Point]) -> String {
    let mut text = String::from(
        "| varied | value | completion tokens | rows | generation s | training s | tokens/s sampled | tokens/s trained | peak GiB | step, of the first | rows, of the first |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for point in points {
        let first = points
            .iter()
            .find(|p| p.axis == point.axis)
            .unwrap_or(point);
        let (r, f) = (&point.report, &first.report);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {:.2} | {:.2} | {:.0} | {:.0} | {:.2} | {:.2} × | {:.2} × |",
            point.axis.title(),
            point.value,
            r.completion_tokens,
            r.rows,
            r.generation_s,
            r.training_s,
            r.generated_tokens_per_s,
            r.trained_tokens_per_s,
            point.peak_memory_bytes as f64 / (1u64 << 30) as f64,
            r.step_s / f.step_s,
            r.rows as f64 / f.rows as f64,
        );
    }
    text
}

/// Draws tokens per second, seconds of a step and memory along each axis as an SVG file.
///
/// # Errors
/// When the file cannot be written.
pub fn plot(points: &[Point], path: &Path) -> Result<(), String> {
    let fail = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let area = SVGBackend::new(path, (1200, 900)).into_drawing_area();
    area.fill(&WHITE).map_err(|e| fail(&e))?;
    let cells = area.split_evenly((3, Axis::ALL.len()));
    for (column, axis) in Axis::ALL.into_iter().enumerate() {
        let of: Vec<&Point> = points.iter().filter(|p| p.axis == axis).collect();
        let line = |value: fn(&Point) -> f64| -> Vec<(f64, f64)> {
            of.iter().map(|p| (p.value as f64, value(p))).collect()
        };
        let speed = [
            ("sampled", BLUE, line(|p| p.report.generated_tokens_per_s)),
            ("trained", RED, line(|p| p.report.trained_tokens_per_s)),
        ];
        chart(&cells[column], "tokens/s", axis, &speed).map_err(|e| fail(&e))?;
        let time = [
            ("step", BLACK, line(|p| p.report.step_s)),
            ("sampling", BLUE, line(|p| p.report.generation_s)),
            ("training", RED, line(|p| p.report.training_s)),
        ];
        chart(&cells[Axis::ALL.len() + column], "seconds", axis, &time).map_err(|e| fail(&e))?;
        let gib = |p: &Point| p.peak_memory_bytes as f64 / (1u64 << 30) as f64;
        let memory = [("peak", BLACK, line(gib))];
        let below = &cells[2 * Axis::ALL.len() + column];
        chart(below, "GiB", axis, &memory).map_err(|e| fail(&e))?;
    }
    area.present().map_err(|e| fail(&e))
}

type Series = (&'static str, RGBColor, Vec<(f64, f64)>);

fn chart<'a>(
    area: &DrawingArea<SVGBackend<'a>, plotters::coord::Shift>,
    title: &str,
    axis: Axis,
    series: &[Series],
) -> Result<(), Box<dyn std::error::Error + 'a>> {
    let values = || series.iter().flat_map(|(_, _, line)| line);
    let right = values().map(|p| p.0).fold(1.0, f64::max) * 1.08;
    let top = values().map(|p| p.1).fold(f64::MIN_POSITIVE, f64::max) * 1.25;
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .caption(title, ("sans-serif", 18))
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d(0.0..right, 0.0..top)?;
    chart
        .configure_mesh()
        .x_desc(axis.title())
        .x_labels(5)
        .y_labels(6)
        .light_line_style(WHITE)
        .draw()?;
    for (name, color, line) in series {
        let color = *color;
        chart
            .draw_series(LineSeries::new(line.clone(), color.stroke_width(2)).point_size(3))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color));
    }
    if series.len() > 1 {
        chart
            .configure_series_labels()
            .border_style(BLACK.mix(0.3))
            .background_style(WHITE)
            .draw()?;
    }
    Ok(())
}
