//! What is known of a run, from its files.

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use super::{clean, follow::Follower, shown::Shown};
use crate::run::heartbeat::{self, Heartbeat, Life};

/// The curves that are shown.
pub const CURVES: [Curve; 4] = [Curve::Reward, Curve::HeldOut, Curve::Length, Curve::Entropy];

/// How many completions and alarms are kept.
const KEPT: usize = 500;
/// Steps that the time left is told by.
const RECENT: usize = 20;

/// A curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    /// Mean total reward of a step.
    Reward,
    /// Greedy accuracy on held-out problems.
    HeldOut,
    /// Mean length of completions, in tokens.
    Length,
    /// Mean entropy, in nats.
    Entropy,
}

impl Curve {
    /// Its key in `metrics.jsonl`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Reward => "reward_mean",
            Self::HeldOut => "heldout_accuracy",
            Self::Length => "length_mean",
            Self::Entropy => "entropy",
        }
    }

    /// What it is called above its picture.
    pub fn title(self) -> &'static str {
        match self {
            Self::Reward => "reward",
            Self::HeldOut => "held-out",
            Self::Length => "length",
            Self::Entropy => "entropy",
        }
    }
}

/// A stage of the run's config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// What it does.
    pub kind: String,
    /// Its steps, where the config says.
    pub steps: Option<u64>,
}

/// A run that is watched.
#[derive(Debug)]
pub struct Watched {
    path: PathBuf,
    /// Its name.
    pub name: String,
    /// Its stages.
    pub stages: Vec<Stage>,
    /// Whether it is alive.
    pub life: Life,
    /// What it said last.
    pub beat: Option<Heartbeat>,
    /// The last line of `metrics.jsonl`.
    pub last: Map<String, Value>,
    /// Steps made in the stage of that line.
    pub stage_steps: u64,
    /// Points of each curve, in the order of [`CURVES`].
    pub curves: [Vec<(u64, f64)>; 4],
    /// The newest completions, oldest first.
    pub completions: VecDeque<Shown>,
    /// Alarms with their steps, oldest first.
    pub alarms: VecDeque<(u64, String)>,
    /// What the run took so far, where its lines say.
    pub energy_wh: Option<f64>,
    /// What that cost.
    pub cost: Option<f64>,
    /// What prices are in.
    pub currency: String,
    /// How often its files were rewound while it was watched.
    pub rewound: u64,
    /// What could not be read.
    pub trouble: Option<String>,
    seconds: VecDeque<f64>,
    metrics: Follower,
    evaluations: Follower,
    completed: Follower,
}

impl Watched {
    /// Begins to watch the run in `path`; [`Self::poll`] reads it.
    ///
    /// # Errors
    /// When there is no run.
    pub fn open(path: &Path) -> io::Result<Self> {
        let found = ["config.toml", "metrics.jsonl"].map(|name| path.join(name).is_file());
        if !path.is_dir() || found == [false, false] {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "no run in it: neither config.toml nor metrics.jsonl",
            ));
        }
        let folder = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let folder = folder.file_name().unwrap_or_default().to_string_lossy();
        let mut watched = Self {
            path: path.to_owned(),
            name: clean::line(&folder),
            stages: Vec::new(),
            life: Life::of(path),
            beat: None,
            last: Map::new(),
            stage_steps: 0,
            curves: Default::default(),
            completions: VecDeque::new(),
            alarms: VecDeque::new(),
            energy_wh: None,
            cost: None,
            currency: String::new(),
            rewound: 0,
            trouble: None,
            seconds: VecDeque::new(),
            metrics: Follower::new(&path.join("metrics.jsonl")),
            evaluations: Follower::new(&path.join("evaluation.jsonl")),
            completed: Follower::from_end(&path.join("completions.jsonl")),
        };
        watched.read_config();
        Ok(watched)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what is new in the run's files. What cannot be read is told in [`Self::trouble`], and tried again the next time.
    /// Returns the lines of `metrics.jsonl` that have come.
    pub fn poll(&mut self) -> Vec<Map<String, Value>> {
        self.trouble = None;
        self.life = Life::of(&self.path);
        self.beat = heartbeat::read(&self.path);
        let mut new = Vec::new();
        while let Some((lines, more)) = self.read_metrics() {
            new.extend(lines);
            if !more {
                break;
            }
        }
        self.read_evaluations();
        self.read_completions();
        let unreadable = self.metrics.unreadable() + self.completed.unreadable();
        if unreadable > 0 && self.trouble.is_none() {
            self.trouble = Some(format!("{unreadable} lines that are no JSON objects"));
        }
        new
    }

    /// The step of the run.
    pub fn step(&self) -> u64 {
        let beat = self.beat.as_ref().map_or(0, |beat| beat.step);
        number(&self.last, "step").unwrap_or(0).max(beat)
    }

    /// The stage under way, from 0.
    pub fn stage(&self) -> usize {
        number(&self.last, "stage").unwrap_or(0) as usize
    }

    /// The kind of the last line.
    pub fn kind(&self) -> &str {
        self.last.get("kind").and_then(Value::as_str).unwrap_or("")
    }

    /// Seconds that are left of the stage under way, by its last steps; `None` where nothing tells.
    pub fn left_s(&self) -> Option<f64> {
        let steps = self.stages.get(self.stage())?.steps?;
        let left = steps.checked_sub(self.stage_steps)?;
        let mean = self.seconds.iter().sum::<f64>() / self.seconds.len() as f64;
        (self.life.is_alive() && mean.is_finite()).then_some(left as f64 * mean)
    }

    /// The steps of all stages, where the config says.
    pub fn steps(&self) -> Option<u64> {
        let steps = self.stages.iter().map(|stage| stage.steps);
        steps.sum::<Option<u64>>().filter(|steps| *steps > 0)
    }

    fn read_config(&mut self) {
        let text = fs::read_to_string(self.path.join("config.toml"));
        let Some(config) = text.ok().and_then(|text| text.parse::<toml::Table>().ok()) else {
            return;
        };
        if let Some(name) = config.get("name").and_then(toml::Value::as_str) {
            self.name = clean::line(name);
        }
        let currency = config
            .get("cost")
            .and_then(|cost| cost.get("currency")?.as_str());
        self.currency = currency.map_or(String::new(), clean::line);
        let stages = config.get("stages").and_then(toml::Value::as_array);
        let stage = |table: &toml::Value| Stage {
            kind: clean::line(
                table
                    .get("kind")
                    .and_then(toml::Value::as_str)
                    .unwrap_or(""),
            ),
            steps: table
                .get("steps")
                .and_then(toml::Value::as_integer)
                .and_then(|steps| steps.try_into().ok()),
        };
        self.stages = stages.into_iter().flatten().map(stage).collect();
    }

    /// New lines of `metrics.jsonl`, and whether there are more at once.
    fn read_metrics(&mut self) -> Option<(Vec<Map<String, Value>>, bool)> {
        let news = match self.metrics.poll() {
            Ok(news) => news,
            Err(error) => {
                self.trouble = Some(clean::line(&format!("metrics.jsonl: {error}")));
                return None;
            }
        };
        if news.rewound {
            self.rewound += 1;
            self.last = Map::new();
            self.stage_steps = 0;
            for curve in [Curve::Reward, Curve::Length, Curve::Entropy] {
                self.curves[curve as usize].clear();
            }
            self.alarms.clear();
            self.seconds.clear();
            (self.energy_wh, self.cost) = (None, None);
            // It may be another config.
            self.read_config();
        }
        for line in &news.lines {
            self.add(line);
        }
        Some((news.lines, news.more))
    }

    fn add(&mut self, line: &Map<String, Value>) {
        let step = number(line, "step").unwrap_or(0);
        for curve in [Curve::Reward, Curve::Length, Curve::Entropy] {
            if let Some(value) = line.get(curve.key()).and_then(Value::as_f64) {
                self.curves[curve as usize].push((step, value));
            }
        }
        for alarm in line
            .get("alarms")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let text = alarm
                .as_str()
                .map_or_else(|| alarm.to_string(), str::to_owned);
            push(&mut self.alarms, (step, clean::line(&text)));
        }
        if number(line, "stage") != number(&self.last, "stage") {
            self.stage_steps = 0;
            self.seconds.clear();
        }
        self.stage_steps += 1;
        if let Some(seconds) = line.get("step_s").and_then(Value::as_f64) {
            self.seconds.push_back(seconds);
            if self.seconds.len() > RECENT {
                self.seconds.pop_front();
            }
        }
        for (key, sum) in [("energy_wh", &mut self.energy_wh), ("cost", &mut self.cost)] {
            if let Some(value) = line.get(key).and_then(Value::as_f64) {
                *sum = Some(sum.unwrap_or(0.0) + value);
            }
        }
        self.last = line.clone();
    }

    fn read_evaluations(&mut self) {
        let Ok(news) = self.evaluations.poll() else {
            return;
        };
        let points = &mut self.curves[Curve::HeldOut as usize];
        if news.rewound {
            points.clear();
        }
        for line in &news.lines {
            let accuracy = line
                .get("report")
                .and_then(|report| report.get("greedy_accuracy"));
            if let (Some(step), Some(accuracy)) =
                (number(line, "step"), accuracy.and_then(Value::as_f64))
            {
                points.push((step, accuracy));
            }
        }
    }

    fn read_completions(&mut self) {
        loop {
            let news = match self.completed.poll() {
                Ok(news) => news,
                Err(error) => {
                    self.trouble = Some(clean::line(&format!("completions.jsonl: {error}")));
                    return;
                }
            };
            if news.rewound {
                self.completions.clear();
            }
            // Of many only the last are kept, so only these are made.
            let skipped = news.lines.len().saturating_sub(KEPT);
            for line in &news.lines[skipped..] {
                push(&mut self.completions, Shown::of(line));
            }
            if !news.more {
                return;
            }
        }
    }
}

fn push<T>(kept: &mut VecDeque<T>, new: T) {
    kept.push_back(new);
    if kept.len() > KEPT {
        kept.pop_front();
    }
}

fn number(line: &Map<String, Value>, key: &str) -> Option<u64> {
    line.get(key).and_then(Value::as_u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::screen::tests::run;

    #[test]
    fn a_run_is_known_by_its_files_and_followed() {
        let dir = run();
        let mut watched = Watched::open(dir.path()).unwrap();
        assert_eq!(watched.poll().len(), 40);
        assert_eq!(
            (watched.step(), watched.stage(), watched.kind()),
            (40, 1, "grpo")
        );
        assert_eq!((watched.steps(), watched.stage_steps), (Some(110), 30));
        assert_eq!(
            watched.curves[Curve::HeldOut as usize],
            [(10, 0.25), (40, 0.5)]
        );
        assert_eq!(watched.curves[Curve::Reward as usize].len(), 30);
        assert_eq!(watched.completions.len(), 4);
        assert_eq!(watched.alarms.len(), 1);
        // Nothing is new.
        assert!(watched.poll().is_empty());
        assert_eq!(watched.stage_steps, 30);
    }

    #[test]
    fn a_run_that_is_rewound_is_what_it_is_then() {
        let dir = run();
        let mut watched = Watched::open(dir.path()).unwrap();
        watched.poll();
        let path = dir.path().join("metrics.jsonl");
        let text = fs::read_to_string(&path).unwrap();
        let kept: String = text.split_inclusive('\n').take(20).collect();
        fs::write(&path, &kept[..kept.len() - 9]).unwrap();
        assert_eq!(watched.poll().len(), 19);
        assert_eq!(
            (watched.step(), watched.stage_steps, watched.rewound),
            (19, 9, 1)
        );
        assert_eq!(watched.curves[Curve::Reward as usize].len(), 9);
        assert!(watched.alarms.is_empty());
        fs::write(&path, kept).unwrap();
        assert_eq!(watched.poll().len(), 1);
        assert_eq!(watched.step(), 20);
    }

    #[test]
    fn what_is_no_run_is_said_and_an_older_run_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Watched::open(dir.path()).is_err());
        assert!(Watched::open(&dir.path().join("missing")).is_err());
        // Without a config, an evaluation, completions or a heartbeat.
        fs::write(
            dir.path().join("metrics.jsonl"),
            "{\"step\":1,\"loss\":0.5}\nnonsense\n",
        )
        .unwrap();
        let mut watched = Watched::open(dir.path()).unwrap();
        watched.poll();
        assert_eq!(
            (watched.step(), watched.life, watched.left_s()),
            (1, Life::Dead, None)
        );
        assert!(watched.trouble.is_some());
    }
}
