//! Curves of runs as an SVG file: what each key came to, against the step.

use std::path::{Path, PathBuf};

use plotters::prelude::*;

use super::source::Source;

/// Held-out accuracy, as a key.
pub const HELDOUT: &str = "heldout_accuracy";

/// What is drawn unless something else is said.
pub const DEFAULT_KEYS: [&str; 3] = [HELDOUT, "reward_mean", "length_mean"];

/// Colours that people who are blind to some can tell apart (Okabe and Ito).
const COLORS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
];

/// Width and height of a panel, and height of a line of the legend, in pixels.
const PANEL: (u32, u32) = (460, 320);
const LINE: u32 = 22;

/// What to draw.
#[derive(Debug, Clone, Default)]
pub struct PlotOptions {
    /// The metrics, a panel each; [`DEFAULT_KEYS`] when there are none.
    pub keys: Vec<String>,
    /// Steps that a smoothed point is the mean of; a twentieth of the steps unless given. 1: no smoothing.
    pub smooth: Option<usize>,
    /// Above everything.
    pub title: Option<String>,
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// No run has the key.
    #[error("--key {key}: no run has it; there are: {present}")]
    NoSuchKey {
        /// The key.
        key: String,
        /// The keys that runs have.
        present: String,
    },
    /// There is nothing to draw.
    #[error("none of the runs has {keys}; hint: name what they have with --key: {present}")]
    Nothing {
        /// The keys that were looked for.
        keys: String,
        /// The keys that runs have.
        present: String,
    },
    /// The file cannot be written.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// One curve of a panel.
struct Curve {
    color: RGBColor,
    /// Steps and values.
    points: Vec<(f64, f64)>,
    /// The same, smoothed; nothing where that makes no difference.
    smoothed: Vec<(f64, f64)>,
    /// Steps with the ends of intervals.
    intervals: Vec<(f64, f64, f64)>,
}

/// One key, of all runs.
struct Panel {
    key: String,
    curves: Vec<Curve>,
}

/// Draws the runs over each other, a panel for each key.
///
/// # Errors
/// See [`PlotError`].
pub fn plot(sources: &[Source], options: &PlotOptions, path: &Path) -> Result<(), PlotError> {
    let panels = panels(sources, options)?;
    draw(sources, options, &panels, path).map_err(|error| PlotError::File {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

fn panels(sources: &[Source], options: &PlotOptions) -> Result<Vec<Panel>, PlotError> {
    let asked = !options.keys.is_empty();
    let keys: Vec<String> = if asked {
        options.keys.clone()
    } else {
        DEFAULT_KEYS.map(str::to_owned).to_vec()
    };
    let mut panels = Vec::new();
    for key in &keys {
        let curves: Vec<Curve> = sources
            .iter()
            .zip(COLORS.iter().cycle())
            .map(|(source, color)| curve(source, key, *color, options.smooth))
            .filter(|curve| !curve.points.is_empty())
            .collect();
        if !curves.is_empty() {
            panels.push(Panel {
                key: key.clone(),
                curves,
            });
        } else if asked {
            return Err(PlotError::NoSuchKey {
                key: key.clone(),
                present: present(sources),
            });
        }
    }
    if panels.is_empty() {
        Err(PlotError::Nothing {
            keys: keys.join(", "),
            present: present(sources),
        })
    } else {
        Ok(panels)
    }
}

fn present(sources: &[Source]) -> String {
    let mut keys: Vec<String> = sources.iter().flat_map(Source::keys).collect();
    keys.sort();
    keys.dedup();
    keys.join(", ")
}

fn curve(source: &Source, key: &str, color: RGBColor, smooth: Option<usize>) -> Curve {
    let mut intervals = Vec::new();
    let measured: Vec<(f64, f64)> = match key {
        HELDOUT => source
            .evaluations
            .iter()
            .filter_map(|line| {
                let step = line.step as f64;
                let interval = line.report.greedy_accuracy_interval;
                intervals.extend(interval.map(|interval| (step, interval.low, interval.high)));
                Some((step, line.report.greedy_accuracy?))
            })
            .collect(),
        _ => Vec::new(),
    };
    let is_measured = !measured.is_empty();
    let points = if is_measured {
        measured
    } else {
        source
            .series(key)
            .into_iter()
            .map(|(step, value)| (step as f64, value))
            .collect()
    };
    let window = match (is_measured || key == HELDOUT, smooth) {
        (true, _) => 1,
        (false, Some(window)) => window,
        (false, None) => points.len() / 20,
    };
    Curve {
        color,
        smoothed: if window > 1 {
            smoothed(&points, window)
        } else {
            Vec::new()
        },
        points,
        intervals,
    }
}

/// The mean of the `window` values around each, of fewer at the ends.
fn smoothed(points: &[(f64, f64)], window: usize) -> Vec<(f64, f64)> {
    let reach = window / 2;
    (0..points.len())
        .map(|at| {
            let near = &points[at.saturating_sub(reach)..(at + reach + 1).min(points.len())];
            let sum: f64 = near.iter().map(|point| point.1).sum();
            (points[at].0, sum / near.len() as f64)
        })
        .collect()
}

type Drawn<'a> = Result<(), Box<dyn std::error::Error + 'a>>;

fn draw<'a>(
    sources: &[Source],
    options: &PlotOptions,
    panels: &[Panel],
    path: &'a Path,
) -> Drawn<'a> {
    let columns = panels.len().min(3) as u32;
    let rows = (panels.len() as u32).div_ceil(columns);
    let title = u32::from(options.title.is_some());
    let head = 12 + LINE * (sources.len() as u32 + title);
    let size = (PANEL.0 * columns, PANEL.1 * rows + head);
    let area = SVGBackend::new(path, size).into_drawing_area();
    area.fill(&WHITE)?;
    let (top, below) = area.split_vertically(head);
    let mut y = 8;
    if let Some(title) = &options.title {
        top.draw(&Text::new(title.clone(), (14, y), ("sans-serif", 18)))?;
        y += LINE as i32;
    }
    for (source, color) in sources.iter().zip(COLORS.iter().cycle()) {
        let line = vec![(14, y + 8), (38, y + 8)];
        top.draw(&PathElement::new(line, color.stroke_width(3)))?;
        top.draw(&Text::new(source.name.clone(), (46, y), ("sans-serif", 15)))?;
        y += LINE as i32;
    }
    let cells = below.split_evenly((rows as usize, columns as usize));
    for (panel, cell) in panels.iter().zip(&cells) {
        draw_panel(cell, panel)?;
    }
    area.present()?;
    Ok(())
}

fn draw_panel<'a>(
    area: &DrawingArea<SVGBackend<'a>, plotters::coord::Shift>,
    panel: &Panel,
) -> Drawn<'a> {
    let curves = || panel.curves.iter();
    let steps = curves().flat_map(|curve| curve.points.iter().map(|point| point.0));
    let (left, right) = range(steps, 0.02);
    let values = curves().flat_map(|curve| {
        let ends = curve
            .intervals
            .iter()
            .flat_map(|(_, low, high)| [*low, *high]);
        curve.points.iter().map(|point| point.1).chain(ends)
    });
    let (bottom, top) = range(values, 0.06);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .caption(&panel.key, ("sans-serif", 18))
        .x_label_area_size(38)
        .y_label_area_size(56)
        .build_cartesian_2d(left..right, bottom..top)?;
    chart
        .configure_mesh()
        .x_desc("step")
        .x_labels(6)
        .y_labels(7)
        .x_label_formatter(&|step| format!("{step:.0}"))
        .light_line_style(WHITE)
        .draw()?;
    for curve in &panel.curves {
        let Curve {
            color,
            points,
            smoothed,
            intervals,
        } = curve;
        for (step, low, high) in intervals {
            let bar = vec![(*step, *low), (*step, *high)];
            chart.draw_series([PathElement::new(bar, color.mix(0.45).stroke_width(2))])?;
        }
        let (faint, strong) = if smoothed.is_empty() {
            (None, points)
        } else {
            (Some(points), smoothed)
        };
        if let Some(faint) = faint {
            chart.draw_series(LineSeries::new(faint.clone(), color.mix(0.25)))?;
        }
        let mut line = LineSeries::new(strong.clone(), color.stroke_width(2));
        if points.len() <= 40 {
            line = line.point_size(2);
        }
        chart.draw_series(line)?;
    }
    Ok(())
}

/// The lowest and highest of `values` with some room around them.
fn range(values: impl Iterator<Item = f64>, room: f64) -> (f64, f64) {
    let (low, high) = values
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
    let width = high - low;
    if width > 0.0 {
        (low - room * width, high + room * width)
    } else {
        // One value only: some room, or it would have no place.
        (low - 0.5, high + 0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        analysis::source::Kind,
        eval::{EvalReport, EvaluationLine, Moment, Verdicts},
        statistics::Interval,
    };

    fn run(name: &str, steps: u64, values: fn(u64) -> f64) -> Source {
        let line = |step: u64| {
            let value = serde_json::json!({"step": step, "reward_mean": values(step), "components": {"exact": 0.5}});
            value.as_object().cloned().unwrap()
        };
        Source {
            name: name.to_owned(),
            kind: Kind::Run,
            config: None,
            metrics: (1..=steps).map(line).collect(),
            evaluations: vec![EvaluationLine {
                step: steps,
                stage: 0,
                moment: Moment::After,
                problem_set: String::new(),
                greedy: Verdicts::default(),
                sampled: Vec::new(),
                report: EvalReport {
                    greedy_accuracy: Some(0.5),
                    greedy_accuracy_interval: Some(Interval {
                        low: 0.4,
                        high: 0.6,
                    }),
                    ..EvalReport::default()
                },
            }],
            measured: None,
        }
    }

    #[test]
    fn smoothing_is_a_mean_of_neighbours() {
        let points: Vec<(f64, f64)> = [0.0, 3.0, 0.0, 3.0, 6.0]
            .iter()
            .enumerate()
            .map(|(x, y)| (x as f64, *y))
            .collect();
        let values: Vec<f64> = smoothed(&points, 3).iter().map(|point| point.1).collect();
        assert_eq!(values, [1.5, 1.0, 2.0, 3.0, 4.5]);
    }

    #[test]
    fn runs_are_drawn_and_missing_keys_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("curves.svg");
        let runs = [
            run("first & one", 80, |s| s as f64),
            run("second", 1, |_| 2.0),
        ];
        plot(&runs, &PlotOptions::default(), &path).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        for part in [
            "<svg",
            "first &amp; one",
            "second",
            HELDOUT,
            "reward_mean",
            "step",
        ] {
            assert!(svg.contains(part), "{part}");
        }
        assert!(!svg.contains("length_mean") && !svg.contains("NaN"));

        let options = PlotOptions {
            keys: vec!["components.exact".to_owned(), "nonsense".to_owned()],
            ..PlotOptions::default()
        };
        let error = plot(&runs, &options, &path).unwrap_err().to_string();
        assert!(
            error.contains("--key nonsense") && error.contains("components.exact"),
            "{error}"
        );
    }
}
