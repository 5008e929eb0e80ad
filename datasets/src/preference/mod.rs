//! What people, or judges, like better: pairs of answers, and answers that are good or bad.
//!
//! | file | subject |
//! |---|---|
//! | [`forms`] | in which form a row has them |
//! | [`split`] | where two conversations part, and turns that stand in a text |
//!
//! Two conversations are split on whole messages only: a prompt is never guessed from characters.

mod forms;
mod split;

use std::collections::{HashSet, VecDeque};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::DatasetError;
use crate::message::Message;
use crate::place::Place;
use crate::rows::{DataFiles, Row, Rows};
use crate::task::Prompt;

pub use forms::PreferenceForm;
use forms::{Better, Compared, Found};

/// Rows by which the forms of a data set are told: a later row of another form is an error.
const FIRST: usize = 1000;

/// Two answers to a prompt, and which is better.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Pair {
    /// What was asked.
    pub prompt: Prompt,
    /// The better answer; of a tie, the first. A message of the assistant, also where the prompt is raw text.
    pub chosen: Message,
    /// The other answer.
    pub rejected: Message,
    /// How likely it is that `chosen` is the better one: 1, or ½ for a tie.
    pub label: f64,
    /// By how much it is better, on the scale of the data: a margin, a difference of scores or ranks, a strength.
    pub margin: Option<f64>,
}

impl Pair {
    /// A pair of which `chosen` is better, by an amount that is not known.
    pub fn new(prompt: Prompt, chosen: Message, rejected: Message) -> Self {
        Self {
            prompt,
            chosen,
            rejected,
            label: 1.0,
            margin: None,
        }
    }
}

/// An answer that is good or bad by itself.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Judged {
    /// What was asked.
    pub prompt: Prompt,
    /// The answer.
    pub completion: Message,
    /// Whether it is good.
    pub good: bool,
}

impl Judged {
    /// An answer and what is thought of it.
    pub fn new(prompt: Prompt, completion: Message, good: bool) -> Self {
        Self {
            prompt,
            completion,
            good,
        }
    }
}

/// What a row says.
#[derive(Clone, Debug, PartialEq)]
pub enum Preference {
    /// Which of two is better.
    Pair(Pair),
    /// Whether one is good.
    Judged(Judged),
}

impl Preference {
    /// What was asked.
    pub fn prompt(&self) -> &Prompt {
        match self {
            Self::Pair(pair) => &pair.prompt,
            Self::Judged(judged) => &judged.prompt,
        }
    }

    /// By which the same preference is known again.
    fn key(&self) -> u64 {
        let text = match self {
            Self::Pair(pair) => format!("{:?} {:?} {:?}", pair.prompt, pair.chosen, pair.rejected),
            Self::Judged(judged) => {
                format!(
                    "{:?} {:?} {}",
                    judged.prompt, judged.completion, judged.good
                )
            }
        };
        crate::hash::fnv1a(text.as_bytes())
    }
}

/// What becomes of two answers neither of which is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tie {
    /// They are left out, and counted (InstructGPT, arXiv 2203.02155, §3.4).
    #[default]
    Drop,
    /// Each is the better one with probability ½ (WebGPT, arXiv 2112.09332, §3.2).
    Half,
}

/// What was found in the rows that were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PreferenceReport {
    /// Rows.
    pub rows: usize,
    /// Pairs kept, ties among them.
    pub pairs: usize,
    /// Answers judged by themselves.
    pub judged: usize,
    /// Of these, good ones.
    pub good: usize,
    /// Pairs neither side of which is better, kept or not.
    pub ties: usize,
    /// Left out because both sides are the same.
    pub equal: usize,
    /// Left out because a side says nothing.
    pub empty: usize,
    /// Left out because the sides differ before the last message.
    pub apart: usize,
    /// Preferences that had been there before, word for word. They are kept.
    pub duplicates: usize,
    /// Characters of the better sides, ties apart.
    pub chosen_characters: usize,
    /// Characters of the other sides.
    pub rejected_characters: usize,
    /// Pairs whose better side is the longer one.
    pub longer_chosen: usize,
    /// Pairs whose better side is the shorter one.
    pub shorter_chosen: usize,
}

impl PreferenceReport {
    fn count(&mut self, preference: &Preference) {
        match preference {
            Preference::Judged(judged) => {
                self.judged += 1;
                self.good += usize::from(judged.good);
            }
            Preference::Pair(pair) => {
                self.pairs += 1;
                if pair.label == 1.0 {
                    let length = |side: &Message| side.content.chars().count();
                    let (chosen, rejected) = (length(&pair.chosen), length(&pair.rejected));
                    self.chosen_characters += chosen;
                    self.rejected_characters += rejected;
                    self.longer_chosen += usize::from(chosen > rejected);
                    self.shorter_chosen += usize::from(chosen < rejected);
                }
            }
        }
    }
}

impl fmt::Display for PreferenceReport {
    /// One line: counts, lengths, and what was left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows", self.rows)?;
        if self.judged > 0 {
            write!(f, ", {} answers, {} of them good", self.judged, self.good)?;
        }
        if self.pairs > 0 {
            let decided = self.longer_chosen + self.shorter_chosen;
            let share = 100.0 * self.longer_chosen as f64 / decided.max(1) as f64;
            let mean = |sum: usize| sum as f64 / self.pairs as f64;
            write!(
                f,
                ", {} pairs, chosen {:.0} and rejected {:.0} characters in the mean, the chosen one is the longer in {share:.0} %",
                self.pairs,
                mean(self.chosen_characters),
                mean(self.rejected_characters)
            )?;
        }
        for (count, what) in [
            (self.ties, "ties"),
            (self.equal, "left out with equal sides"),
            (self.empty, "left out with an empty side"),
            (self.apart, "left out that differ before the last message"),
            (self.duplicates, "duplicates"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

/// The preferences of a data set with their places, made of one row after the other. It ends with the first error.
pub struct Preferences {
    rows: Rows,
    tie: Tie,
    forms: Vec<PreferenceForm>,
    report: PreferenceReport,
    seen: HashSet<u64>,
    /// What the last row said that has not been handed out.
    waiting: VecDeque<(Place, Preference)>,
}

impl Preferences {
    /// The preferences of `files`, in their order, before any is read.
    pub fn of(files: &DataFiles, tie: Tie) -> Self {
        Self {
            rows: Rows::of(files),
            tie,
            forms: Vec::new(),
            report: PreferenceReport::default(),
            seen: HashSet::new(),
            waiting: VecDeque::new(),
        }
    }

    /// The forms that have been met, in the order in which they were.
    pub fn forms(&self) -> &[PreferenceForm] {
        &self.forms
    }

    /// What has been found so far.
    pub fn report(&self) -> &PreferenceReport {
        &self.report
    }

    /// Reads what a row says.
    fn read(&mut self, mut row: Row) -> Result<(), DatasetError> {
        let place = row.place.clone();
        let form = self.form(&row)?;
        self.report.rows += 1;
        for found in form.read(&mut row)? {
            let preference = match found {
                Found::Judged(judged) => Some(Preference::Judged(judged)),
                Found::Apart => {
                    self.report.apart += 1;
                    None
                }
                Found::Compared(compared) => self.settle(form, &row, compared)?,
            };
            if let Some(preference) = preference {
                self.report.count(&preference);
                self.report.duplicates += usize::from(!self.seen.insert(preference.key()));
                self.waiting.push_back((place.clone(), preference));
            }
        }
        Ok(())
    }

    /// The form of a row, which has to be one of those of the first rows.
    fn form(&mut self, row: &Row) -> Result<PreferenceForm, DatasetError> {
        let known = |forms: &[PreferenceForm]| {
            let names: Vec<String> = forms.iter().map(ToString::to_string).collect();
            names.join(" or ")
        };
        let changes = |form: String, forms: &[PreferenceForm]| DatasetError::FormChanges {
            place: row.place.clone(),
            form,
            before: known(forms),
            fields: row.names(),
        };
        let Some(form) = PreferenceForm::of(row) else {
            if self.forms.is_empty() {
                return Err(DatasetError::UnknownFields {
                    place: row.place.clone(),
                    what: "what is preferred cannot be told of a row",
                    fields: row.names(),
                    hint: format!(
                        "known are {}; rename the columns",
                        known(PreferenceForm::ALL)
                    ),
                });
            }
            return Err(changes("of no form that is known".to_owned(), &self.forms));
        };
        if !self.forms.contains(&form) {
            if self.report.rows >= FIRST {
                return Err(changes(form.to_string(), &self.forms));
            }
            self.forms.push(form);
        }
        Ok(form)
    }

    /// A comparison as a pair; `None` where it is left out.
    fn settle(
        &mut self,
        form: PreferenceForm,
        row: &Row,
        compared: Compared,
    ) -> Result<Option<Preference>, DatasetError> {
        let Compared {
            prompt,
            first,
            second,
            better,
            margin,
        } = compared;
        let [first_name, second_name] = form.sides();
        for (side, name) in [(&first, first_name), (&second, second_name)] {
            if side.is_blank() {
                if !form.has_dead_rows() {
                    return Err(row.field_error(name, "says nothing"));
                }
                self.report.empty += 1;
                return Ok(None);
            }
        }
        if first == second {
            if !form.has_dead_rows() {
                let reason = format!(
                    "is the same as `{second_name}`, so that nothing can be learnt from the pair; remove the row"
                );
                return Err(row.field_error(first_name, reason));
            }
            self.report.equal += 1;
            return Ok(None);
        }
        let (chosen, rejected) = match better {
            Better::Second => (second, first),
            Better::First | Better::Neither => (first, second),
        };
        let mut pair = Pair {
            margin,
            ..Pair::new(prompt, chosen, rejected)
        };
        if better == Better::Neither {
            self.report.ties += 1;
            if self.tie == Tie::Drop {
                return Ok(None);
            }
            pair.label = 0.5;
        }
        Ok(Some(Preference::Pair(pair)))
    }
}

impl Iterator for Preferences {
    type Item = Result<(Place, Preference), DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.waiting.is_empty() {
            match self.rows.next()?.and_then(|row| self.read(row)) {
                Ok(()) => {}
                Err(error) => return Some(Err(error)),
            }
        }
        self.waiting.pop_front().map(Ok)
    }
}

#[cfg(test)]
mod tests;
