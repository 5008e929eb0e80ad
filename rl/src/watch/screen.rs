//! The picture of a run: at 80 × 24 and above, with colours or without.

use ratatui::{
    Frame, Terminal,
    backend::TestBackend,
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span, Text},
    widgets::{Clear, Paragraph, Wrap},
};

use super::{
    chart::{bars, short},
    clean,
    shown::Shown,
    watched::{CURVES, Curve, Watched},
};
use crate::run::{heartbeat::Life, metrics::page};

/// The size of a picture where there is no terminal.
pub const SIZE: (u16, u16) = (80, 24);

/// Rows of a chart, its title and its range included.
const CHART: u16 = 6;

/// What a person looks at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct View {
    /// How many completions before the newest is the one that is open.
    pub back: usize,
    /// Whether its thought is shown.
    pub unfolded: bool,
    /// Lines of it that are scrolled past.
    pub scroll: u16,
    /// Whether the glossary is shown instead.
    pub glossary: bool,
    /// Whether alarms are listed instead of completions.
    pub alarms: bool,
    /// Only completions that hold this text; empty: all.
    pub filter: String,
    /// The filter is being written.
    pub typing: bool,
    /// A line above the keys: what was asked, or what came of it.
    pub message: String,
    /// Whether there are colours.
    pub color: bool,
}

impl View {
    /// The completions that are listed, newest first.
    pub fn listed<'a>(&self, watched: &'a Watched) -> Vec<&'a Shown> {
        let holds = |shown: &&Shown| {
            let mut lines = shown.said.iter().chain(shown.thought.iter().flatten());
            self.filter.is_empty()
                || shown.prompt.contains(&self.filter)
                || lines.any(|line| line.contains(&self.filter))
        };
        watched.completions.iter().rev().filter(holds).collect()
    }

    fn style(&self, color: Color) -> Style {
        if self.color {
            Style::new().fg(color)
        } else {
            Style::new()
        }
    }
}

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// Draws everything.
pub fn draw(frame: &mut Frame, watched: &Watched, view: &View) {
    let area = frame.area();
    let chart = if area.height >= 40 { CHART + 4 } else { CHART };
    let list = (area.height / 5).max(2);
    let rows = [
        Constraint::Length(2),
        Constraint::Length(chart),
        Constraint::Length(1 + list),
        Constraint::Min(3),
        Constraint::Length(1),
    ];
    let [head, charts, listed, open, foot] = Layout::vertical(rows).areas(area);
    self::head(frame, head, watched, view);
    keys(frame, foot, view);
    if view.glossary {
        let rest = Rect {
            height: area.height.saturating_sub(head.height + foot.height),
            y: charts.y,
            ..area
        };
        return glossary(frame, rest, watched, view);
    }
    let columns = Layout::horizontal([Constraint::Fill(1); 4]).spacing(2);
    let columns: [Rect; 4] = columns.areas(charts);
    for (curve, area) in CURVES.into_iter().zip(columns) {
        self::curve(frame, area, watched, curve, view);
    }
    let found = view.listed(watched);
    let at = view.back.min(found.len().saturating_sub(1));
    if view.alarms {
        alarms(frame, listed, watched, view);
    } else {
        completions(frame, listed, &found, at, view);
    }
    match found.get(at) {
        Some(shown) => completion(frame, open, shown, view),
        None => nothing(frame, open, watched, view),
    }
}

/// Name, state, step, time left; then cost, alarms, or what is wrong.
fn head(frame: &mut Frame, area: Rect, watched: &Watched, view: &View) {
    let state = match watched.life {
        Life::Running => view.style(Color::Green),
        Life::Paused | Life::Stopped => view.style(Color::Yellow),
        Life::Finished => view.style(Color::Cyan),
        Life::Failed | Life::Dead => view.style(Color::Red),
    };
    let mut first = vec![
        Span::styled(watched.name.clone(), BOLD),
        Span::raw("  "),
        Span::styled(watched.life.word(), state.patch(BOLD)),
    ];
    let of = watched
        .steps()
        .map_or(String::new(), |steps| format!("/{steps}"));
    first.push(Span::raw(format!("  step {}{of}", watched.step())));
    if let Some(stage) = watched.stages.get(watched.stage()) {
        let steps = stage
            .steps
            .map_or(String::new(), |steps| format!("/{steps}"));
        first.push(Span::raw(format!(
            "  stage {}/{} {} {}{steps}",
            watched.stage() + 1,
            watched.stages.len(),
            stage.kind,
            watched.stage_steps
        )));
    }
    if let Some(seconds) = watched.left_s() {
        first.push(Span::raw(format!(", {} left", duration(seconds))));
    }
    let mut second = Vec::new();
    if let Some(trouble) = &watched.trouble {
        second.push(Span::styled(
            format!("cannot read: {trouble}  "),
            view.style(Color::Red),
        ));
    }
    if watched.rewound > 0 {
        second.push(Span::raw(format!("rewound {} times  ", watched.rewound)));
    }
    if let Some(wh) = watched.energy_wh {
        let cost = watched.cost.map_or(String::new(), |cost| {
            format!(", {cost:.4} {}", watched.currency)
        });
        second.push(Span::raw(format!("{} Wh{cost}  ", short(wh))));
    }
    match watched.alarms.back() {
        Some((step, text)) => second.push(Span::styled(
            format!(
                "alarms: {}, last at step {step}: {text}",
                watched.alarms.len()
            ),
            view.style(Color::Red).patch(BOLD),
        )),
        None => second.push(Span::raw("no alarms")),
    }
    let lines = vec![Line::from(first), Line::from(second)];
    frame.render_widget(Paragraph::new(lines), area);
}

fn curve(frame: &mut Frame, area: Rect, watched: &Watched, curve: Curve, view: &View) {
    let points = &watched.curves[curve as usize];
    let height = area.height.saturating_sub(2) as usize;
    let last = points
        .last()
        .map_or_else(|| "–".to_owned(), |(_, value)| short(*value));
    let mut lines = vec![Line::from(vec![
        Span::styled(curve.title(), BOLD),
        Span::raw(format!(" {last}")),
    ])];
    match bars(points, area.width as usize, height) {
        Some((drawn, low, high)) => {
            let style = view.style(Color::Cyan);
            lines.extend(drawn.into_iter().map(|line| Line::styled(line, style)));
            lines.push(Line::raw(format!("{} to {}", short(low), short(high))));
        }
        None => lines.push(Line::raw("nothing yet")),
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// The completions, a line each; the newest is the first.
fn completions(frame: &mut Frame, area: Rect, found: &[&Shown], at: usize, view: &View) {
    let [title, list] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    let filter = match (view.filter.is_empty(), view.typing) {
        (true, false) => String::new(),
        (_, typing) => format!("  with {:?}{}", view.filter, if typing { "_" } else { "" }),
    };
    let text = format!("completions, newest first{}", clean::line(&filter));
    frame.render_widget(Paragraph::new(Line::styled(text, BOLD)), title);
    let rows = list.height as usize;
    let from = at.saturating_sub(rows.saturating_sub(1));
    let lines: Vec<Line> = found
        .iter()
        .enumerate()
        .skip(from)
        .take(rows)
        .map(|(index, shown)| {
            let line = Line::raw(row(shown, if index == at { '›' } else { ' ' }));
            if index == at {
                line.style(Style::new().add_modifier(Modifier::REVERSED))
            } else {
                line
            }
        })
        .collect();
    frame.render_widget(Paragraph::new(lines), list);
}

/// A completion in a line.
fn row(shown: &Shown, mark: char) -> String {
    let place = shown.place.map_or(String::new(), |(group, sample)| {
        format!("/{group}/{sample}")
    });
    let reward = shown.reward.map_or_else(|| "–".to_owned(), short);
    let place = format!("{}{place}", shown.step);
    format!(
        "{mark}{place:<11}{reward:>7}  {} → {}",
        shown.prompt,
        shown.brief()
    )
}

fn alarms(frame: &mut Frame, area: Rect, watched: &Watched, view: &View) {
    let mut lines = vec![Line::styled("alarms, newest first", BOLD)];
    for (step, text) in watched.alarms.iter().rev() {
        lines.push(Line::styled(
            format!(" step {step}: {text}"),
            view.style(Color::Red),
        ));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// One completion, its thought folded unless a person wants to see it.
fn completion(frame: &mut Frame, area: Rect, shown: &Shown, view: &View) {
    let mut title = format!("step {}", shown.step);
    if let Some((group, sample)) = shown.place {
        title += &format!(" group {group} sample {sample}");
    }
    title += &match shown.reward {
        Some(reward) => format!("  reward {}", short(reward)),
        None => "  no verdict".to_owned(),
    };
    if let Some(advantage) = shown.advantage {
        title += &format!("  advantage {}", short(advantage));
    }
    if let Some(tokens) = shown.tokens {
        title += &format!("  {tokens} tokens");
    }
    if !shown.finish.is_empty() {
        title += &format!(", {}", shown.finish);
    }
    title += &format!("  answer {}", shown.answer);
    let mut text = Text::from(Line::styled(title, BOLD));
    if let Some(error) = &shown.judge_error {
        text.push_line(Line::styled(error.clone(), view.style(Color::Red)));
    }
    let dim = view.style(Color::DarkGray);
    text.push_line(Line::styled(shown.prompt.clone(), dim));
    if let Some(thought) = &shown.thought {
        if view.unfolded {
            for line in thought {
                text.push_line(Line::styled(format!("│ {line}"), dim));
            }
        } else {
            let letters: usize = thought.iter().map(|line| line.chars().count()).sum();
            let folded = format!(
                "▸ thought of {letters} letters, {} lines: t unfolds it",
                thought.len()
            );
            text.push_line(Line::styled(folded, dim));
        }
    }
    for line in &shown.said {
        text.push_line(Line::raw(line.clone()));
    }
    let shown = Paragraph::new(text).wrap(Wrap { trim: false });
    frame.render_widget(shown.scroll((view.scroll, 0)), area);
}

fn nothing(frame: &mut Frame, area: Rect, watched: &Watched, view: &View) {
    let text = match (watched.completions.is_empty(), watched.last.is_empty()) {
        (false, _) => "no completion holds that text",
        (true, true) => "no step yet",
        (true, false) => "no completions: this stage samples none, or log.completions_every = 0",
    };
    frame.render_widget(
        Paragraph::new(Line::styled(text, view.style(Color::DarkGray))),
        area,
    );
}

/// What the keys of the last line mean, those of the curves first.
fn glossary(frame: &mut Frame, area: Rect, watched: &Watched, view: &View) {
    let mut keys: Vec<&str> = CURVES.map(Curve::key).to_vec();
    keys.extend(watched.last.keys().map(String::as_str));
    let mut text = Text::default();
    for (index, key) in keys.iter().enumerate() {
        if keys[..index].contains(key) {
            continue;
        }
        let kinds = [watched.kind(), "grpo", "sft"];
        let Some(metric) = kinds.iter().find_map(|kind| page::explain(kind, key)) else {
            continue;
        };
        let now = watched
            .last
            .get(*key)
            .map_or(String::new(), |value| format!(" = {value}"));
        let unit = if metric.unit.is_empty() {
            String::new()
        } else {
            format!(" ({})", metric.unit)
        };
        text.push_line(Line::styled(
            clean::line(&format!("{key}{now}{unit}")),
            BOLD,
        ));
        text.push_line(Line::raw(format!("  {}", metric.formula)));
        for (what, is) in [("healthy", metric.healthy), ("otherwise", metric.otherwise)] {
            if !is.is_empty() {
                text.push_line(Line::raw(format!("  {what}: {is}")));
            }
        }
    }
    frame.render_widget(Clear, area);
    let shown = Paragraph::new(text).wrap(Wrap { trim: false });
    frame.render_widget(shown.scroll((view.scroll, 0)), area);
}

fn keys(frame: &mut Frame, area: Rect, view: &View) {
    let line = if view.message.is_empty() {
        Line::raw("q leave  ↑↓ choose  t thought  PgUp PgDn scroll  / filter  a alarms  ? glossary")
    } else {
        Line::styled(view.message.clone(), BOLD)
    };
    frame.render_widget(Paragraph::new(line), area);
}

/// Seconds for people.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0).round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) if minutes < 10 => format!("{minutes} min {seconds} s"),
        (0, minutes, _) => format!("{minutes} min"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// The picture as text, its rows without the spaces at their ends.
pub fn picture(watched: &Watched, view: &View, (width, height): (u16, u16)) -> String {
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    let Ok(_) = terminal.draw(|frame| draw(frame, watched, view));
    text(terminal.backend().buffer())
}

fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for row in 0..buffer.area.height {
        let (mut line, mut column) = (String::new(), 0);
        while column < buffer.area.width {
            let symbol = buffer[(column, row)].symbol();
            line.push_str(symbol);
            // A wide character covers the cells behind its own.
            column += (Span::raw(symbol).width() as u16).max(1);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
pub(in crate::watch) mod tests {
    use std::{fmt::Write, fs, path::Path};

    use super::*;

    /// A run of two stages, 40 of 110 steps.
    pub(in crate::watch) fn run() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write(
            "config.toml",
            "name = \"sums\"\n[cost]\ncurrency = \"EUR\"\n[[stages]]\nkind = \"sft\"\nsteps = 10\n[[stages]]\nkind = \"grpo\"\nsteps = 100\n",
        );
        let mut metrics = String::new();
        for step in 1..=10 {
            let _ = writeln!(
                metrics,
                "{{\"step\":{step},\"stage\":0,\"kind\":\"sft\",\"loss\":1.5,\"step_s\":0.5}}"
            );
        }
        for step in 11..=40 {
            let alarm = if step == 30 {
                ",\"alarms\":[\"mismatch: \\u001b[31mred\"]"
            } else {
                ""
            };
            let _ = writeln!(
                metrics,
                "{{\"step\":{step},\"stage\":1,\"energy_wh\":0.5,\"cost\":0.01{alarm},\"kind\":\"grpo\",\"reward_mean\":{},\"length_mean\":{},\"entropy\":0.5,\"step_s\":2.0}}",
                f64::from(step) / 40.0,
                12 + step % 3
            );
        }
        write("metrics.jsonl", &metrics);
        let measured = |step: u32, accuracy: f64| {
            format!(
                "{{\"step\":{step},\"stage\":1,\"report\":{{\"greedy_accuracy\":{accuracy}}}}}\n"
            )
        };
        write(
            "evaluation.jsonl",
            &(measured(10, 0.25) + &measured(40, 0.5)),
        );
        let text = "<think>2 and 2\\nare 4</think>4";
        let hostile = "\\u001b[2J\\u001b]0;pwned\\u0007\\u202eevil\\u009b31m \\u0008\\u0008";
        let completion = |group: u32, sample: u32, text: &str, thinking: &str, reward: &str| {
            format!(
                "{{\"step\":40,\"group\":{group},\"sample\":{sample},\"version\":29,\"prompt\":\"2+2=\",\"completion\":\"{text}\",\"answer\":\"4\",\"tokens\":9,\"truncated\":false,\"finish\":\"eos\",\"thinking\":{thinking},\"reward\":{reward},\"advantage\":0.5}}\n"
            )
        };
        let mut lines = String::from(
            "{\"step\":39,\"prompt\":\"1+1=\",\"completion\":\"2\",\"truncated\":true,\"reward\":1.0}\n",
        );
        lines += &completion(0, 0, hostile, "null", "null");
        lines += &completion(0, 1, "顿悟 🙂", "null", "0.0");
        lines += &completion(1, 0, text, "[7, 20]", "1.0");
        lines += "{\"step\":41,\"cut o";
        write("completions.jsonl", &lines);
        dir
    }

    fn watched(dir: &Path) -> Watched {
        let mut watched = Watched::open(dir).unwrap();
        watched.poll();
        watched.life = Life::Running;
        watched
    }

    fn rows(watched: &Watched, view: &View, size: (u16, u16)) -> Vec<String> {
        let picture = picture(watched, view, size);
        let rows: Vec<String> = picture.lines().map(str::to_owned).collect();
        assert_eq!(rows.len(), size.1 as usize);
        for row in &rows {
            assert!(Span::raw(row.clone()).width() <= size.0 as usize, "{row:?}");
            assert!(!row.chars().any(char::is_control), "{row:?}");
        }
        rows
    }

    /// The picture in `snapshots/`, which `DUNWU_WRITE_SNAPSHOTS=1` writes anew.
    fn is_as_kept(name: &str, rows: &[String]) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/watch/snapshots");
        let path = folder.join(format!("{name}.txt"));
        let text = rows.join("\n") + "\n";
        if std::env::var_os("DUNWU_WRITE_SNAPSHOTS").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            kept,
            "{}: DUNWU_WRITE_SNAPSHOTS=1 writes it anew",
            path.display()
        );
    }

    #[test]
    fn a_run_at_80_by_24() {
        let dir = run();
        let watched = watched(dir.path());
        let rows = rows(&watched, &View::default(), SIZE);
        assert_eq!(
            rows[0],
            "sums  running  step 40/110  stage 2/2 grpo 30/100, 2 min 20 s left"
        );
        assert!(
            rows[1]
                .starts_with("15.0 Wh, 0.3000 EUR  alarms: 1, last at step 30: mismatch: ␛[31mred"),
            "{}",
            rows[1]
        );
        assert!(rows[2].starts_with("reward 1.000"), "{}", rows[2]);
        assert!(rows[2].contains("held-out 0.500") && rows[2].contains("entropy 0.500"));
        assert_eq!(rows[8], "completions, newest first");
        assert_eq!(rows[9], "›40/1/0       1.000  2+2= → 4");
        let whole = rows.join("\n");
        assert!(
            whole.contains("▸ thought of 12 letters, 2 lines"),
            "{whole}"
        );
        is_as_kept("80x24", &rows);
    }

    #[test]
    fn a_thought_is_unfolded_and_hostile_text_is_harmless() {
        let dir = run();
        let watched = watched(dir.path());
        let open = View {
            unfolded: true,
            ..View::default()
        };
        let whole = rows(&watched, &open, SIZE).join("\n");
        assert!(whole.contains("│ 2 and 2\n│ are 4\n"), "{whole}");
        let hostile = View {
            back: 2,
            ..View::default()
        };
        let whole = rows(&watched, &hostile, SIZE).join("\n");
        assert!(
            whole.contains("␛[2J␛]0;pwned␇⇄evil\u{fffd}31m ␈␈"),
            "{whole}"
        );
        assert!(whole.contains("no verdict"), "{whole}");
        is_as_kept("hostile", &rows(&watched, &hostile, SIZE));
    }

    #[test]
    fn every_size_and_view_can_be_drawn() {
        let dir = run();
        let watched = watched(dir.path());
        for size in [(80, 24), (200, 60), (40, 12), (20, 8), (1, 1), (300, 3)] {
            for back in [0, 1, 3, 99] {
                for (glossary, alarms) in [(false, false), (true, false), (false, true)] {
                    let view = View {
                        back,
                        glossary,
                        alarms,
                        color: true,
                        scroll: 2,
                        ..View::default()
                    };
                    rows(&watched, &view, size);
                }
            }
        }
    }

    #[test]
    fn the_glossary_explains_what_is_shown() {
        let dir = run();
        let view = View {
            glossary: true,
            ..View::default()
        };
        let whole = rows(&watched(dir.path()), &view, (80, 60)).join("\n");
        for key in [
            "reward_mean = 1 (reward)",
            "heldout_accuracy (share)",
            "healthy: rises",
        ] {
            assert!(whole.contains(key), "{key} in {whole}");
        }
    }

    #[test]
    fn completions_are_filtered() {
        let dir = run();
        let watched = watched(dir.path());
        let view = View {
            filter: "are 4".to_owned(),
            ..View::default()
        };
        assert_eq!(view.listed(&watched).len(), 1);
        let none = View {
            filter: "\u{1b}".to_owned(),
            ..View::default()
        };
        assert!(
            rows(&watched, &none, SIZE)
                .join("\n")
                .contains("no completion holds that text")
        );
    }

    #[test]
    fn a_run_without_a_step_is_said() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.toml"), "name = \"new\"\n").unwrap();
        let rows = rows(&watched(dir.path()), &View::default(), SIZE);
        assert!(rows.join("\n").contains("no step yet"), "{rows:?}");
    }

    #[test]
    fn seconds_are_for_people() {
        for (seconds, text) in [
            (9.4, "9 s"),
            (140.0, "2 min 20 s"),
            (1200.0, "20 min"),
            (7380.0, "2 h 3 min"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }
}
