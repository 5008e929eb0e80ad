//! Several sources as one, in fixed proportions.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::DatasetError;
use crate::settings::expect_setting;
use crate::source::{Cursor, TaskResult, TaskSource};
use crate::task::Task;

/// The column that says which entry of a mixture a task is from.
pub const MIXTURE_COLUMN: &str = "mixture";

/// What cursors of a [`MixtureSource`] say they are of.
const KIND: &str = "a mixture";

/// Slack for comparisons of positions, which are sums and quotients of a few floating-point numbers.
const SLACK: f64 = 1e-9;

/// One source of a mixture.
pub struct MixtureEntry {
    /// Letters, digits, `-` and `_`. It goes before the ids of its tasks, as `name/id`, and into their column
    /// [`MIXTURE_COLUMN`].
    pub name: String,
    /// Its share of the tasks is its weight over the sum of all weights.
    pub weight: f64,
    /// Where its tasks come from.
    pub source: Box<dyn TaskSource>,
}

/// Tasks of several sources, in the proportions of their weights.
///
/// The proportions are exact rather than drawn: after any number `n` of tasks each entry has posed its share of `n`, give
/// or take less than one task, and so in any window give or take less than two. Which entry is next is settled by the
/// earliest deadline: the `j`-th task of an entry with share `s` may come from place `(j − 1)/s` on and has to come before
/// place `j/s` (Baruah, Cohen, Plaxton and Varvel, "Proportionate progress", Algorithmica 15, 1996). Chance enters
/// through the sources, which have orders of their own.
///
/// Every entry gets its tasks of a batch as one batch, so an entry's curriculum works as it does alone.
pub struct MixtureSource {
    entries: Vec<MixtureEntry>,
    proportions: Proportions,
    /// By entry: tasks that were drawn for a batch that did not come about, because another entry failed. They are the first
    /// of the next one, so nothing has to be drawn twice, nor copied in case that it has.
    undelivered: Vec<VecDeque<Task>>,
}

/// What a mixture keeps in its cursor.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MixtureState {
    /// The places of the entries, by name.
    entries: BTreeMap<String, Cursor>,
    /// Tasks that were drawn and not handed out, by entry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    undelivered: BTreeMap<String, VecDeque<Task>>,
}

/// Whose turn it is.
#[derive(Clone, Debug)]
struct Proportions {
    /// They add up to 1.
    shares: Vec<f64>,
    /// Tasks that each has posed.
    posed: Vec<u64>,
}

impl Proportions {
    fn new(weights: &[f64]) -> Self {
        let total: f64 = weights.iter().sum();
        Self {
            shares: weights.iter().map(|weight| weight / total).collect(),
            posed: vec![0; weights.len()],
        }
    }

    fn count(&self) -> u64 {
        self.posed.iter().sum()
    }

    /// The entry of the next task.
    fn next(&mut self) -> usize {
        let place = self.count() as f64;
        let deadline = |entry: usize| (self.posed[entry] + 1) as f64 / self.shares[entry];
        let owed = |entry: usize| self.shares[entry] * place - self.posed[entry] as f64;
        let entries = 0..self.shares.len();
        // What is owed adds up to 0, so there is one to whom nothing was given in advance.
        let entry = entries
            .filter(|&entry| owed(entry) > -SLACK)
            .min_by(|&a, &b| {
                // Deadlines that are the same but for rounding go by the entries' order.
                if (deadline(a) - deadline(b)).abs() < SLACK * deadline(a) {
                    a.cmp(&b)
                } else {
                    deadline(a).total_cmp(&deadline(b))
                }
            })
            .expect("the shares add up to 1");
        self.posed[entry] += 1;
        entry
    }
}

/// How many of `count` problems each of several weights gets: the proportions that [`MixtureSource`] keeps.
pub fn mixture_shares(weights: &[f64], count: usize) -> Vec<usize> {
    let mut proportions = Proportions::new(weights);
    for _ in 0..count {
        proportions.next();
    }
    proportions
        .posed
        .iter()
        .map(|&posed| posed as usize)
        .collect()
}

/// Checks the names and weights of a mixture's entries.
///
/// # Errors
/// [`DatasetError::InvalidSetting`] naming the entry and the setting, by number.
pub fn check_entries(entries: &[(&str, f64)]) -> Result<(), DatasetError> {
    expect_setting(!entries.is_empty(), "mixture", "[]", "at least one entry")?;
    for (index, (name, weight)) in entries.iter().enumerate() {
        let usable = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        expect_setting(
            !name.is_empty() && name.chars().all(usable),
            &format!("mixture.{index}.name"),
            format_args!("{name:?}"),
            "letters, digits, - and _",
        )?;
        let first = entries.iter().position(|(other, _)| other == name);
        if let Some(first) = first.filter(|&first| first < index) {
            let expected = format!("another name than that of mixture.{first}");
            let setting = format!("mixture.{index}.name");
            expect_setting(false, &setting, format_args!("{name:?}"), &expected)?;
        }
        expect_setting(
            *weight > 0.0 && *weight <= 1e6,
            &format!("mixture.{index}.weight"),
            weight,
            "above 0, at most 1000000",
        )?;
    }
    // An entry that is due once in a million tasks is a mistake, and would cost the accuracy of the places.
    let largest = entries
        .iter()
        .fold(0.0_f64, |most, entry| most.max(entry.1));
    for (index, (_, weight)) in entries.iter().enumerate() {
        expect_setting(
            largest / weight <= 1e6,
            &format!("mixture.{index}.weight"),
            weight,
            &format!("at least a millionth of the largest, {largest}"),
        )?;
    }
    Ok(())
}

/// `task` as a task of the entry `name`.
///
/// # Errors
/// [`DatasetError::ReservedColumn`] if the task has a column [`MIXTURE_COLUMN`] already.
pub fn mixture_task(name: &str, mut task: Task) -> Result<Task, DatasetError> {
    expect_no_label(&task)?;
    let label = Value::from(name);
    task.columns.insert(MIXTURE_COLUMN.to_owned(), label);
    task.id = format!("{name}/{}", task.id);
    Ok(task)
}

/// Refuses a task that has a column of the label's name.
fn expect_no_label(task: &Task) -> Result<(), DatasetError> {
    if !task.columns.contains_key(MIXTURE_COLUMN) {
        return Ok(());
    }
    Err(DatasetError::ReservedColumn {
        task: task.id.clone(),
        column: MIXTURE_COLUMN,
    })
}

impl MixtureSource {
    /// A mixture at its beginning, of sources at theirs.
    ///
    /// # Errors
    /// As for [`check_entries`].
    pub fn new(entries: Vec<MixtureEntry>) -> Result<Self, DatasetError> {
        let named: Vec<(&str, f64)> = entries
            .iter()
            .map(|entry| (entry.name.as_str(), entry.weight))
            .collect();
        check_entries(&named)?;
        let weights: Vec<f64> = named.iter().map(|(_, weight)| *weight).collect();
        Ok(Self {
            undelivered: vec![VecDeque::new(); entries.len()],
            entries,
            proportions: Proportions::new(&weights),
        })
    }

    /// Sees to it that each entry has the tasks of `order` at hand.
    fn draw(&mut self, order: &[usize], progress: f64) -> Result<(), DatasetError> {
        for (number, entry) in self.entries.iter_mut().enumerate() {
            let wanted = order.iter().filter(|&&turn| turn == number).count();
            let at_hand = &mut self.undelivered[number];
            let missing = wanted.saturating_sub(at_hand.len());
            if missing > 0 {
                at_hand.extend(entry.source.next_batch(missing, progress)?);
            }
            for task in at_hand.iter().take(wanted) {
                expect_no_label(task)?;
            }
        }
        Ok(())
    }
}

impl TaskSource for MixtureSource {
    fn next_batch(&mut self, count: usize, progress: f64) -> Result<Vec<Task>, DatasetError> {
        let mut proportions = self.proportions.clone();
        let order: Vec<usize> = (0..count).map(|_| proportions.next()).collect();
        self.draw(&order, progress)?;
        self.proportions = proportions;
        let labelled = order.into_iter().map(|turn| {
            let task = self.undelivered[turn].pop_front();
            let task = task.expect("as many were drawn as are due");
            mixture_task(&self.entries[turn].name, task)
        });
        labelled.collect()
    }

    fn observe(&mut self, results: &[TaskResult]) {
        for MixtureEntry { name, source, .. } in &mut self.entries {
            let own = |id: &str| {
                id.strip_prefix(name.as_str())?
                    .strip_prefix('/')
                    .map(str::to_owned)
            };
            let results: Vec<TaskResult> = results
                .iter()
                .filter_map(|result| {
                    Some(TaskResult {
                        id: own(&result.id)?,
                        ..*result
                    })
                })
                .collect();
            if !results.is_empty() {
                source.observe(&results);
            }
        }
    }

    fn cursor(&self) -> Cursor {
        let names = || self.entries.iter().map(|entry| entry.name.clone());
        let places = self.entries.iter().map(|entry| entry.source.cursor());
        let undelivered = names().zip(self.undelivered.iter().cloned());
        Cursor::at(KIND, 0, self.proportions.count()).with_state(&MixtureState {
            entries: names().zip(places).collect(),
            undelivered: undelivered.filter(|(_, tasks)| !tasks.is_empty()).collect(),
        })
    }

    fn restore(&mut self, cursor: &Cursor) -> Result<(), DatasetError> {
        cursor.expect_source(KIND)?;
        let MixtureState {
            entries: places,
            mut undelivered,
        } = cursor.read_state()?;
        let own: Vec<&str> = self
            .entries
            .iter()
            .map(|entry| entry.name.as_str())
            .collect();
        let saved: Vec<&str> = places.keys().map(String::as_str).collect();
        let same = own.len() == saved.len() && own.iter().all(|name| saved.contains(name));
        if cursor.epoch != 0 || !same {
            return Err(cursor.misfit(format_args!(
                "it is of the entries [{}], and the config has [{}]",
                saved.join(", "),
                own.join(", ")
            )));
        }
        let before: Vec<Cursor> = self.entries.iter().map(|e| e.source.cursor()).collect();
        let mut failure = None;
        for entry in &mut self.entries {
            if let Err(error) = entry.source.restore(&places[&entry.name]) {
                failure = Some(cursor.misfit(format_args!("entry {}: {error}", entry.name)));
                break;
            }
        }
        if let Some(error) = failure {
            for (entry, place) in self.entries.iter_mut().zip(&before) {
                entry.source.restore(place)?;
            }
            return Err(error);
        }
        for (entry, tasks) in self.entries.iter().zip(&mut self.undelivered) {
            *tasks = undelivered.remove(&entry.name).unwrap_or_default();
        }
        // How many tasks each has posed follows from how many there were.
        self.proportions.posed.fill(0);
        for _ in 0..cursor.index {
            self.proportions.next();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
