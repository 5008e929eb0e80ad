//! A curve in a few lines of text.

/// Eighths of a cell, from the bottom.
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Draws the points, steps with values in the order of steps, into `width` × `height` cells; the first line is the top. Where
/// there are more points than cells, a cell shows the mean of its own. Returns the lines with the lowest and the highest value
/// shown; `None` of nothing.
pub fn bars(points: &[(u64, f64)], width: usize, height: usize) -> Option<(Vec<String>, f64, f64)> {
    let finite: Vec<(u64, f64)> = points.iter().copied().filter(|p| p.1.is_finite()).collect();
    let (first, last) = (finite.first()?.0, finite.last()?.0);
    if width == 0 || height == 0 {
        return None;
    }
    let mut sums = vec![(0.0, 0usize); width];
    let span = last.saturating_sub(first).max(1) as f64;
    for (step, value) in &finite {
        let share = step.saturating_sub(first) as f64 / span;
        let (sum, count) =
            &mut sums[((share * (width - 1) as f64).round() as usize).min(width - 1)];
        *sum += value;
        *count += 1;
    }
    // Between points that are further apart than a cell the one before holds on.
    let mut values: Vec<Option<f64>> = Vec::with_capacity(width);
    for (sum, count) in sums {
        let own = (count > 0).then(|| sum / count as f64);
        values.push(own.or(values.last().copied().flatten()));
    }
    if first == last {
        values.truncate(1);
    }
    let shown = || values.iter().flatten().copied();
    let (low, high) = shown().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    let levels = (8 * height) as f64;
    let level = |value: f64| {
        if high > low {
            // The lowest value is still to be seen.
            (1.0 + (value - low) / (high - low) * (levels - 1.0)).round() as usize
        } else {
            (levels / 2.0) as usize
        }
    };
    let row = |row: usize| -> String {
        let below = 8 * (height - 1 - row);
        let cell = |value: &Option<f64>| match value {
            Some(value) => BARS[level(*value).saturating_sub(below).min(8)],
            None => ' ',
        };
        values.iter().map(cell).collect()
    };
    Some(((0..height).map(row).collect(), low, high))
}

/// A number in at most seven characters or so.
pub fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if !size.is_finite() => "–".to_owned(),
        size if !(1e-3..1e5).contains(&size) => format!("{value:.1e}"),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_rises_from_cell_to_cell() {
        let points: Vec<(u64, f64)> = (1..=8).map(|step| (step, step as f64)).collect();
        let (lines, low, high) = bars(&points, 8, 1).unwrap();
        assert_eq!(lines, ["▁▂▃▄▅▆▇█"]);
        assert_eq!((low, high), (1.0, 8.0));
        let (lines, ..) = bars(&points, 4, 2).unwrap();
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.chars().count() == 4));
        assert!(
            lines[0].starts_with("  ") && lines[1].ends_with("██"),
            "{lines:?}"
        );
    }

    #[test]
    fn few_points_flat_ones_and_none() {
        assert_eq!(bars(&[], 10, 2), None);
        assert_eq!(bars(&[(1, f64::NAN)], 10, 2), None);
        assert_eq!(bars(&[(1, 1.0)], 0, 2), None);
        let (lines, ..) = bars(&[(5, 0.5)], 10, 1).unwrap();
        assert_eq!(lines, ["▄"]);
        let (lines, ..) = bars(&[(0, 0.5), (9, 0.5), (4, f64::INFINITY)], 4, 1).unwrap();
        assert_eq!(lines, ["▄▄▄▄"]);
        // Of a run that was rewound steps may be out of order for a moment.
        assert!(bars(&[(9, 0.5), (1, 0.5)], 4, 1).is_some());
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.12345, "0.123"),
            (97.5, "97.5"),
            (1234.0, "1234"),
            (-1e7, "-1.0e7"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(short(value), text);
        }
    }
}
