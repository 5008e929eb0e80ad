//! In which form a row has preferences: those of TRL, and those of data sets that are well known.

use std::fmt;

use serde_json::Value;

use super::Judged;
use super::split::{Answers, has_turns, split, turns};
use crate::error::DatasetError;
use crate::message::{self, Message, Role};
use crate::rows::{Row, kind};
use crate::task::Prompt;

/// How preferences stand in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PreferenceForm {
    /// `context` and `completions`, each with a `rank`, of which a lower one is better: NeMo.
    Ranked,
    /// `context`, `response1`, `response2`, `overall_preference` from −3 to 3, below 0 for the first: HelpSteer3.
    HelpSteer,
    /// `comparison` with two completions and a `label` A, B or Tie: tinker.
    Comparison,
    /// `prompt`, `completion_a`, `completion_b` and a `label` A, B or Tie.
    Labelled,
    /// `prompt`, `response_a`, `response_b` and `winner_model_a`, `winner_model_b`, `winner_tie`: Chatbot Arena.
    Votes,
    /// `conversation_a`, `conversation_b` and a `winner`: Chatbot Arena, newer.
    Conversations,
    /// `question`, `answer_0`, `answer_1` and a score of each: WebGPT.
    WebGpt,
    /// `instruction`, `chosen_response`, `rejected_response`: argilla.
    Argilla,
    /// `chosen` and `rejected` with `score_chosen` and `score_rejected`: UltraFeedback, binarised.
    Scored,
    /// `prompt`, or `question`, with `chosen` and `rejected`.
    Explicit,
    /// `chosen` and `rejected`, whole conversations that share what is asked.
    Implicit,
    /// `prompt`, `completion` and a `label`, true or false.
    Unpaired,
}

/// Which of two answers is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Better {
    First,
    Second,
    Neither,
}

/// Two answers beside each other.
pub(super) struct Compared {
    pub(super) prompt: Prompt,
    pub(super) first: Message,
    pub(super) second: Message,
    pub(super) better: Better,
    pub(super) margin: Option<f64>,
}

/// What a row has.
pub(super) enum Found {
    Compared(Compared),
    /// Two conversations that differ before their last message.
    Apart,
    Judged(Judged),
}

impl PreferenceForm {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Ranked,
        Self::HelpSteer,
        Self::Comparison,
        Self::Labelled,
        Self::Votes,
        Self::Conversations,
        Self::WebGpt,
        Self::Argilla,
        Self::Scored,
        Self::Explicit,
        Self::Implicit,
        Self::Unpaired,
    ];

    /// The form of a row, if it is one that is known.
    pub(crate) fn of(row: &Row) -> Option<Self> {
        // Empty and null columns count: what is wrong with them is told when they are read.
        let has = |names: &[&str]| names.iter().all(|name| row.fields.contains_key(*name));
        let rules: [(Self, &[&str]); 12] = [
            (Self::Ranked, &["context", "completions"]),
            (
                Self::HelpSteer,
                &["context", "response1", "response2", "overall_preference"],
            ),
            (Self::Comparison, &["comparison", "label"]),
            (
                Self::Labelled,
                &["prompt", "completion_a", "completion_b", "label"],
            ),
            (
                Self::Votes,
                &[
                    "prompt",
                    "response_a",
                    "response_b",
                    "winner_model_a",
                    "winner_model_b",
                ],
            ),
            (
                Self::Conversations,
                &["conversation_a", "conversation_b", "winner"],
            ),
            (
                Self::WebGpt,
                &["question", "answer_0", "answer_1", "score_0", "score_1"],
            ),
            (
                Self::Argilla,
                &["instruction", "chosen_response", "rejected_response"],
            ),
            (
                Self::Scored,
                &["chosen", "rejected", "score_chosen", "score_rejected"],
            ),
            (Self::Explicit, &["prompt", "chosen", "rejected"]),
            (Self::Explicit, &["question", "chosen", "rejected"]),
            (Self::Implicit, &["chosen", "rejected"]),
        ];
        let named = rules.into_iter().find(|(_, names)| has(names));
        let named = named.map(|(form, _)| form);
        let judged = has(&["prompt", "completion", "label"]) && row.fields["label"].is_boolean();
        named.or_else(|| judged.then_some(Self::Unpaired))
    }

    /// The fields of the two sides.
    pub(super) fn sides(self) -> [&'static str; 2] {
        match self {
            Self::HelpSteer => ["response1", "response2"],
            Self::Comparison => ["comparison.completion_A", "comparison.completion_B"],
            Self::Labelled => ["completion_a", "completion_b"],
            Self::Votes => ["response_a", "response_b"],
            Self::Conversations => ["conversation_a", "conversation_b"],
            Self::WebGpt => ["answer_0", "answer_1"],
            Self::Argilla => ["chosen_response", "rejected_response"],
            Self::Ranked | Self::Unpaired => ["completions", "completions"],
            Self::Scored | Self::Explicit | Self::Implicit => ["chosen", "rejected"],
        }
    }

    /// Whether published data in this form are known to have rows of which nothing can be learnt: these are counted and left
    /// out, where elsewhere they are an error.
    pub(super) fn has_dead_rows(self) -> bool {
        !matches!(
            self,
            Self::Explicit | Self::Unpaired | Self::Labelled | Self::Comparison
        )
    }

    /// What a row in this form has.
    pub(super) fn read(self, row: &mut Row) -> Result<Vec<Found>, DatasetError> {
        match self {
            Self::Ranked => ranked(row),
            Self::HelpSteer => helpsteer(row).map(one),
            Self::Comparison => comparison(row).map(one),
            Self::Labelled => labelled(row).map(one),
            Self::Votes => votes(row).map(one),
            Self::Conversations => conversations(row).map(one),
            Self::WebGpt => webgpt(row).map(one),
            Self::Argilla => argilla(row).map(one),
            Self::Scored | Self::Explicit | Self::Implicit => self.chosen(row).map(one),
            Self::Unpaired => unpaired(row).map(one),
        }
    }

    /// Rows with `chosen` and `rejected`.
    fn chosen(self, row: &mut Row) -> Result<Found, DatasetError> {
        let margin = match row.fields.get("margin") {
            None | Some(Value::Null) => None,
            Some(_) => Some(number(row, "margin")?),
        };
        let mut better = Better::First;
        let mut margin = margin;
        if self == Self::Scored {
            let (chosen, rejected) = (number(row, "score_chosen")?, number(row, "score_rejected")?);
            (better, margin) = scored(chosen, rejected);
        }
        let asked = ["prompt", "question"]
            .into_iter()
            .find(|name| row.has(name));
        let prompt = asked.map(|name| row.take(name)).transpose()?;
        let (chosen, rejected) = (row.take("chosen")?, row.take("rejected")?);
        if let (Value::String(chosen), Value::String(rejected)) = (&chosen, &rejected) {
            return texts(
                self,
                row,
                asked.zip(prompt),
                [chosen, rejected],
                (better, margin),
            );
        }
        let sides = [
            read_messages(row, "chosen", chosen)?,
            read_messages(row, "rejected", rejected)?,
        ];
        let [first, second] = match prompt {
            Some(Value::Array(list)) => {
                let prompt = read_messages(row, "prompt", Value::Array(list))?;
                sides.map(|side| behind(&prompt, side))
            }
            // A text says what the first message of each side says already, or stands before both.
            Some(Value::String(text)) if sides.iter().all(|side| side.len() == 1) => {
                let prompt = vec![Message::new(Role::User, text)];
                sides.map(|side| behind(&prompt, side))
            }
            _ => sides,
        };
        parted(self, row, first, second, (better, margin))
    }
}

impl fmt::Display for PreferenceForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ranked => "`context` with ranked `completions`",
            Self::HelpSteer => "`response1` and `response2` with `overall_preference`",
            Self::Comparison => "`comparison` with a `label`",
            Self::Labelled => "`completion_a` and `completion_b` with a `label`",
            Self::Votes => "`response_a` and `response_b` with votes",
            Self::Conversations => "`conversation_a` and `conversation_b` with a `winner`",
            Self::WebGpt => "`answer_0` and `answer_1` with scores",
            Self::Argilla => "`instruction` with `chosen_response` and `rejected_response`",
            Self::Scored => "`chosen` and `rejected` with scores",
            Self::Explicit => "`prompt` with `chosen` and `rejected`",
            Self::Implicit => "`chosen` and `rejected`",
            Self::Unpaired => "`prompt` and `completion` with a `label`",
        })
    }
}

fn one(found: Found) -> Vec<Found> {
    vec![found]
}

/// The better one of two scores, and by how much.
fn scored(first: f64, second: f64) -> (Better, Option<f64>) {
    let better = if first > second {
        Better::First
    } else if second > first {
        Better::Second
    } else {
        Better::Neither
    };
    (better, Some((first - second).abs()))
}

/// Two texts as the sides of a pair.
fn texts(
    form: PreferenceForm,
    row: &Row,
    asked: Option<(&str, Value)>,
    [chosen, rejected]: [&str; 2],
    (better, margin): (Better, Option<f64>),
) -> Result<Found, DatasetError> {
    let Some((field, prompt)) = asked else {
        if has_turns(chosen) && has_turns(rejected) {
            return parted(form, row, turns(chosen), turns(rejected), (better, margin));
        }
        let reason = "is a text without a `prompt` beside it, and where an answer begins in it cannot be told; write the prompt in a column of its own, or conversations as lists of messages";
        return Err(row.field_error("chosen", reason));
    };
    let prompt = match prompt {
        Value::Array(list) => Prompt::Chat(asked_messages(row, field, Value::Array(list))?),
        other => {
            let text = row.text(field, other)?;
            // A question, or one below a system's message, is asked in a conversation; a prompt is raw text.
            let system = row.fields.get("system").and_then(Value::as_str);
            let system = system.filter(|text| !text.trim().is_empty());
            if field == "question" || system.is_some() || form == PreferenceForm::Scored {
                Prompt::user(system, text)
            } else {
                Prompt::Text(text)
            }
        }
    };
    Ok(Found::Compared(Compared {
        prompt,
        first: Message::new(Role::Assistant, chosen),
        second: Message::new(Role::Assistant, rejected),
        better,
        margin,
    }))
}

/// A side behind its prompt, unless it repeats it.
fn behind(prompt: &[Message], side: Vec<Message>) -> Vec<Message> {
    if side.len() > prompt.len() && side.starts_with(prompt) {
        return side;
    }
    [prompt, &side].concat()
}

/// Two conversations as the sides of a pair.
fn parted(
    form: PreferenceForm,
    row: &Row,
    first: Vec<Message>,
    second: Vec<Message>,
    (better, margin): (Better, Option<f64>),
) -> Result<Found, DatasetError> {
    match split(first, second) {
        Ok(Answers {
            prompt,
            first,
            second,
        }) => Ok(Found::Compared(Compared {
            prompt,
            first,
            second,
            better,
            margin,
        })),
        Err(_) if form.has_dead_rows() => Ok(Found::Apart),
        Err(index) => {
            let [first, second] = form.sides();
            let reason = format!(
                "and `{second}` differ from message {index} (from 0) on, expected two conversations that are the same up to one last message of the assistant"
            );
            Err(row.field_error(first, reason))
        }
    }
}

fn read_messages(row: &Row, field: &str, list: Value) -> Result<Vec<Message>, DatasetError> {
    message::messages(list).map_err(|error| row.field_error(field, error))
}

/// Messages that a model can answer.
fn asked_messages(row: &Row, field: &str, list: Value) -> Result<Vec<Message>, DatasetError> {
    let messages = read_messages(row, field, list)?;
    match messages.last().map(|message| message.role) {
        Some(Role::User | Role::Tool) => Ok(messages),
        _ => Err(row.field_error(field, "has to end with a message of the user")),
    }
}

fn number(row: &mut Row, field: &str) -> Result<f64, DatasetError> {
    let value = row.take(field)?;
    let wrong =
        |row: &Row| row.field_error(field, format!("expected a number, got {}", kind(&value)));
    let number = value.as_f64().ok_or_else(|| wrong(row))?;
    if number.is_finite() {
        return Ok(number);
    }
    Err(wrong(row))
}

/// A text that may say nothing: what that means is decided where sides are compared.
fn said(row: &mut Row, field: &str) -> Result<Message, DatasetError> {
    match row.take(field)? {
        Value::String(text) => Ok(Message::new(Role::Assistant, text)),
        Value::Array(list) => answer(row, field, Value::Array(list)),
        other => Err(row.field_error(field, format!("expected a string, got {}", kind(&other)))),
    }
}

/// The one message of the assistant in a list.
fn answer(row: &Row, field: &str, list: Value) -> Result<Message, DatasetError> {
    let mut messages = read_messages(row, field, list)?;
    match (messages.pop(), messages.is_empty()) {
        (Some(message), true) if message.role == Role::Assistant => Ok(message),
        _ => Err(row.field_error(field, "expected one message, of the assistant")),
    }
}

/// What is asked: a text, raw, or a conversation.
fn prompt(row: &mut Row, field: &str) -> Result<Prompt, DatasetError> {
    match row.take(field)? {
        list @ Value::Array(_) => Ok(Prompt::Chat(asked_messages(row, field, list)?)),
        other => row.text(field, other).map(Prompt::Text),
    }
}

/// A prompt that is asked in a conversation, though it may be written as a text.
fn chat(prompt: Prompt) -> Prompt {
    match prompt {
        Prompt::Text(text) => Prompt::user(None, text),
        chat @ Prompt::Chat(_) => chat,
    }
}

fn ranked(row: &mut Row) -> Result<Vec<Found>, DatasetError> {
    let prompt = chat(prompt(row, "context")?);
    let Value::Array(list) = row.take("completions")? else {
        return Err(row.field_error("completions", "expected a list of completions with ranks"));
    };
    let mut all: Vec<(f64, Message)> = Vec::with_capacity(list.len());
    for (index, entry) in list.into_iter().enumerate() {
        let field = format!("completions.{index}");
        let rank = entry.get("rank").and_then(Value::as_f64);
        let rank = rank.ok_or_else(|| row.field_error(&field, "has no `rank` that is a number"))?;
        let said = match entry.get("completion").cloned() {
            Some(Value::String(text)) => Message::new(Role::Assistant, text),
            Some(list @ Value::Array(_)) => answer(row, &field, list)?,
            _ => return Err(row.field_error(&field, "has no `completion`")),
        };
        all.push((rank, said));
    }
    if all.len() < 2 {
        return Err(row.field_error("completions", "has fewer than two to compare"));
    }
    let mut found = Vec::new();
    for (index, (rank, first)) in all.iter().enumerate() {
        for (other, second) in &all[index + 1..] {
            let (better, margin) = scored(*other, *rank); // the lower rank is the better one
            found.push(Found::Compared(Compared {
                prompt: prompt.clone(),
                first: first.clone(),
                second: second.clone(),
                better,
                margin,
            }));
        }
    }
    Ok(found)
}

fn helpsteer(row: &mut Row) -> Result<Found, DatasetError> {
    let strength = number(row, "overall_preference")?;
    let (better, margin) = scored(-strength, 0.0);
    Ok(Found::Compared(Compared {
        prompt: chat(prompt(row, "context")?),
        first: said(row, "response1")?,
        second: said(row, "response2")?,
        better,
        margin,
    }))
}

/// Which is better by a label.
fn label(row: &mut Row, field: &str) -> Result<Better, DatasetError> {
    let text = row.take_text(field)?;
    match text.trim().to_lowercase().as_str() {
        "a" | "model_a" => Ok(Better::First),
        "b" | "model_b" => Ok(Better::Second),
        "tie" | "both_bad" | "tie (bothbad)" | "both_good" => Ok(Better::Neither),
        _ => Err(row.field_error(field, format!("is {text:?}, expected A, B or Tie"))),
    }
}

fn comparison(row: &mut Row) -> Result<Found, DatasetError> {
    let better = label(row, "label")?;
    let asked = row.take("comparison.prompt_conversation")?;
    Ok(Found::Compared(Compared {
        prompt: Prompt::Chat(asked_messages(
            row,
            "comparison.prompt_conversation",
            asked,
        )?),
        first: said(row, "comparison.completion_A")?,
        second: said(row, "comparison.completion_B")?,
        better,
        margin: None,
    }))
}

fn labelled(row: &mut Row) -> Result<Found, DatasetError> {
    Ok(Found::Compared(Compared {
        better: label(row, "label")?,
        prompt: prompt(row, "prompt")?,
        first: said(row, "completion_a")?,
        second: said(row, "completion_b")?,
        margin: None,
    }))
}

/// Turns in a list, which may stand as JSON in a text; what is null says nothing.
fn turn_list(row: &mut Row, field: &str) -> Result<Vec<String>, DatasetError> {
    let list = match row.take(field)? {
        Value::String(text) => serde_json::from_str(&text).unwrap_or_else(|_| vec![Some(text)]),
        list => serde_json::from_value::<Vec<Option<String>>>(list)
            .map_err(|_| row.field_error(field, "expected a list of texts"))?,
    };
    Ok(list.into_iter().map(Option::unwrap_or_default).collect())
}

fn votes(row: &mut Row) -> Result<Found, DatasetError> {
    let (a, b) = (
        number(row, "winner_model_a")?,
        number(row, "winner_model_b")?,
    );
    let (better, _) = scored(a, b);
    let asked = turn_list(row, "prompt")?;
    let mut talk = |field| {
        let said = turn_list(row, field)?;
        let both = asked.iter().zip(said);
        let turns = both.flat_map(|(asked, said)| {
            [
                Message::new(Role::User, asked),
                Message::new(Role::Assistant, said),
            ]
        });
        Ok(turns.collect::<Vec<_>>())
    };
    let (first, second) = (talk("response_a")?, talk("response_b")?);
    parted(PreferenceForm::Votes, row, first, second, (better, None))
}

fn conversations(row: &mut Row) -> Result<Found, DatasetError> {
    let better = label(row, "winner")?;
    let (first, second) = (row.take("conversation_a")?, row.take("conversation_b")?);
    let first = read_messages(row, "conversation_a", first)?;
    let second = read_messages(row, "conversation_b", second)?;
    parted(
        PreferenceForm::Conversations,
        row,
        first,
        second,
        (better, None),
    )
}

fn webgpt(row: &mut Row) -> Result<Found, DatasetError> {
    let (better, margin) = scored(number(row, "score_0")?, number(row, "score_1")?);
    let question = match row.take("question")? {
        Value::Object(mut fields) => fields.shift_remove("full_text").unwrap_or(Value::Null),
        other => other,
    };
    Ok(Found::Compared(Compared {
        prompt: Prompt::user(None, row.text("question", question)?),
        first: said(row, "answer_0")?,
        second: said(row, "answer_1")?,
        better,
        margin,
    }))
}

fn argilla(row: &mut Row) -> Result<Found, DatasetError> {
    Ok(Found::Compared(Compared {
        prompt: Prompt::user(None, row.take_text("instruction")?),
        first: said(row, "chosen_response")?,
        second: said(row, "rejected_response")?,
        better: Better::First,
        margin: None,
    }))
}

fn unpaired(row: &mut Row) -> Result<Found, DatasetError> {
    let good = row.take("label")? == Value::Bool(true);
    let prompt = prompt(row, "prompt")?;
    let completion = said(row, "completion")?;
    if completion.is_blank() {
        return Err(row.field_error("completion", "says nothing"));
    }
    Ok(Found::Judged(Judged::new(prompt, completion, good)))
}
