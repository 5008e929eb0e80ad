//! Keys, and the picture drawn again and again; lines where there is no terminal.

use std::{
    io::{self, Write},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use ratatui::Terminal;
use ratatui_crossterm::{
    CrosstermBackend,
    crossterm::{
        cursor::Show,
        event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
        execute,
        terminal::{
            self, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
        },
    },
};
use serde_json::{Map, Value};

use super::{
    chart::short,
    clean,
    screen::{self, SIZE, View},
    watched::{CURVES, Watched},
};

/// How often the run's files are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// How a run is watched.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Watch {
    /// The run's directory.
    pub run: PathBuf,
    /// Write one picture and end.
    pub once: bool,
    /// Whether there are colours.
    pub color: bool,
}

/// Why a run cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// There is no run.
    #[error("{}: {source}; hint: give the directory that dunwu train printed, such as runs/quickstart", path.display())]
    NoRun {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The terminal does not do what it should.
    #[error("the terminal: {0}")]
    Terminal(#[from] io::Error),
}

/// Whether to go on after a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Draw again.
    Stay,
    /// Leave the viewer; the run goes on.
    Leave,
}

/// The terminal while a picture stands on it. Dropped, also by a panic, it is as it was.
struct Screen;

impl Screen {
    fn enter() -> io::Result<Self> {
        enable_raw_mode()?;
        let screen = Self;
        execute!(io::stdout(), EnterAlternateScreen)?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nobody is left to be told: what cannot be undone is a terminal that has gone.
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

impl Watch {
    /// Watches `run`, with colours where `color` says so.
    pub fn new(run: impl Into<PathBuf>, once: bool, color: bool) -> Self {
        Self {
            run: run.into(),
            once,
            color,
        }
    }

    /// Watches until a person leaves or, where `out` is no terminal, until the run is over.
    ///
    /// # Errors
    /// See [`WatchError`].
    pub fn run(&self, out: &mut impl Write, is_terminal: bool) -> Result<(), WatchError> {
        let mut watched = Watched::open(&self.run).map_err(|source| WatchError::NoRun {
            path: self.run.clone(),
            source,
        })?;
        let new = watched.poll();
        if self.once {
            let size = if is_terminal {
                terminal::size().unwrap_or(SIZE)
            } else {
                SIZE
            };
            let picture = screen::picture(&watched, &View::default(), size);
            out.write_all(picture.as_bytes())?;
            return Ok(());
        }
        if !is_terminal {
            return lines(out, watched, new);
        }
        let screen = Screen::enter()?;
        let mut terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        let shown = self.show(&mut terminal, &mut watched);
        drop(screen);
        shown?;
        if watched.life.is_alive() {
            writeln!(
                out,
                "left {}; the run goes on",
                clean::line(&self.run.display().to_string())
            )?;
        }
        Ok(())
    }

    /// Draws, and does what keys say.
    fn show(
        &self,
        terminal: &mut Terminal<CrosstermBackend<io::Stdout>>,
        watched: &mut Watched,
    ) -> io::Result<()> {
        let mut view = View {
            color: self.color,
            ..View::default()
        };
        loop {
            terminal.draw(|frame| screen::draw(frame, watched, &view))?;
            let until = Instant::now() + LOOK;
            while event::poll(until.saturating_duration_since(Instant::now()))? {
                match event::read()? {
                    Event::Key(key)
                        if key.kind != KeyEventKind::Release
                            && press(&mut view, key) == Then::Leave =>
                    {
                        return Ok(());
                    }
                    _ => {}
                }
                terminal.draw(|frame| screen::draw(frame, watched, &view))?;
            }
            let newest = watched.completions.back().cloned();
            watched.poll();
            // Who reads one goes on reading it when others come.
            if view.back > 0 {
                let after = watched.completions.iter().rev();
                let mut after = after.take_while(|shown| Some(*shown) != newest.as_ref());
                view.back += after.by_ref().count();
            }
        }
    }
}

/// What a key does to the view.
pub fn press(view: &mut View, key: KeyEvent) -> Then {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    if control && matches!(key.code, KeyCode::Char('c' | 'd')) {
        return Then::Leave;
    }
    if view.typing {
        return filter(view, key.code);
    }
    let (back, scroll) = (view.back, view.scroll);
    match key.code {
        KeyCode::Char('q') => return Then::Leave,
        KeyCode::Esc if view.glossary || view.alarms => {
            (view.glossary, view.alarms) = (false, false)
        }
        KeyCode::Esc => view.filter.clear(),
        KeyCode::Down | KeyCode::Char('j') => view.back = back.saturating_add(1),
        KeyCode::Up | KeyCode::Char('k') => view.back = back.saturating_sub(1),
        KeyCode::Home | KeyCode::Char('g') => view.back = 0,
        KeyCode::PageDown => view.scroll = scroll.saturating_add(5),
        KeyCode::PageUp => view.scroll = scroll.saturating_sub(5),
        KeyCode::Char('t' | ' ') | KeyCode::Enter => view.unfolded = !view.unfolded,
        KeyCode::Char('a') => view.alarms = !view.alarms,
        KeyCode::Char('?') => (view.glossary, view.scroll) = (!view.glossary, 0),
        KeyCode::Char('/') => view.typing = true,
        _ => {}
    }
    if view.back != back {
        view.scroll = 0;
    }
    Then::Stay
}

/// A key while the filter is written.
fn filter(view: &mut View, key: KeyCode) -> Then {
    match key {
        KeyCode::Char(c) => view.filter.push(c),
        KeyCode::Backspace => drop(view.filter.pop()),
        KeyCode::Enter => view.typing = false,
        KeyCode::Esc => {
            view.filter.clear();
            view.typing = false;
        }
        _ => {}
    }
    (view.back, view.scroll) = (0, 0);
    Then::Stay
}

/// A line for each step as it comes, and one at the end.
fn lines(
    out: &mut impl Write,
    mut watched: Watched,
    mut new: Vec<Map<String, Value>>,
) -> Result<(), WatchError> {
    loop {
        for line in &new {
            writeln!(out, "{}", step(line))?;
        }
        out.flush()?;
        if !watched.life.is_alive() {
            writeln!(out, "{} after step {}", watched.life.word(), watched.step())?;
            return Ok(());
        }
        thread::sleep(LOOK);
        new = watched.poll();
    }
}

/// A step in a line.
fn step(line: &Map<String, Value>) -> String {
    let part = |key: &str| {
        line.get(key).map_or(String::new(), |value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        })
    };
    let mut text = format!("step {} {}", part("step"), part("kind"));
    let loss = std::iter::once(("loss", "loss"));
    let curves = CURVES.map(|curve| (curve.title(), curve.key()));
    for (title, key) in loss.chain(curves) {
        if let Some(value) = line.get(key).and_then(Value::as_f64) {
            text += &format!("  {title} {}", short(value));
        }
    }
    for alarm in line
        .get("alarms")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        text += &format!("  ALARM {}", alarm.as_str().unwrap_or_default());
    }
    clean::line(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::screen::tests::run;

    fn pressed(view: &mut View, keys: &[KeyCode]) -> Then {
        let mut then = Then::Stay;
        for key in keys {
            then = press(view, KeyEvent::new(*key, KeyModifiers::NONE));
        }
        then
    }

    #[test]
    fn keys_do_what_they_say() {
        let mut view = View::default();
        let down = [KeyCode::Char('j'), KeyCode::Down, KeyCode::PageDown];
        assert_eq!(pressed(&mut view, &down), Then::Stay);
        assert_eq!((view.back, view.scroll), (2, 5));
        pressed(
            &mut view,
            &[KeyCode::Up, KeyCode::Char('t'), KeyCode::Char('a')],
        );
        assert_eq!(
            (view.back, view.scroll, view.unfolded, view.alarms),
            (1, 0, true, true)
        );
        // While a filter is written, letters are letters.
        pressed(
            &mut view,
            &[
                KeyCode::Char('/'),
                KeyCode::Char('q'),
                KeyCode::Char('x'),
                KeyCode::Backspace,
            ],
        );
        assert_eq!(
            (view.filter.as_str(), view.typing, view.back),
            ("q", true, 0)
        );
        pressed(&mut view, &[KeyCode::Enter]);
        assert!(!view.typing);
        assert_eq!(pressed(&mut view, &[KeyCode::Char('q')]), Then::Leave);
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(press(&mut view, control_c), Then::Leave);
    }

    #[test]
    fn without_a_terminal_there_are_lines_and_once_there_is_a_picture() {
        let dir = run();
        let mut out = Vec::new();
        Watch::new(dir.path(), false, true)
            .run(&mut out, false)
            .unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 41);
        assert_eq!(lines[0], "step 1 sft  loss 1.500");
        assert!(
            lines[29].ends_with("ALARM mismatch: ␛[31mred"),
            "{}",
            lines[29]
        );
        assert_eq!(lines[40], "dead after step 40");
        let mut out = Vec::new();
        Watch::new(dir.path(), true, true)
            .run(&mut out, false)
            .unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 24);
        assert!(text.starts_with("sums  dead  step 40/110"), "{text}");
        let error = Watch::new(dir.path().join("no"), true, true).run(&mut Vec::new(), false);
        assert!(error.unwrap_err().to_string().contains("hint:"));
    }
}
