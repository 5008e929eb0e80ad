//! Where two conversations part, and turns that stand in a text.

use crate::message::{Message, Role};
use crate::task::Prompt;

/// Two conversations that are the same up to an answer each.
pub(super) struct Answers {
    /// What both begin with.
    pub(super) prompt: Prompt,
    /// The answer of the first.
    pub(super) first: Message,
    /// That of the other.
    pub(super) second: Message,
}

/// Splits two conversations into what is asked and an answer each. Equal ones are split before their last message, so that
/// the answers are equal.
///
/// # Errors
/// The message (from 0) at which they differ, where that is not the last, or is no answer.
pub(super) fn split(mut first: Vec<Message>, mut second: Vec<Message>) -> Result<Answers, usize> {
    let same = first.iter().zip(&second).take_while(|(a, b)| a == b);
    let same = same.count().min(first.len().saturating_sub(1));
    let same = same.min(second.len().saturating_sub(1));
    let answers = first.len() == same + 1 && second.len() == same + 1;
    let (Some(a), Some(b)) = (first.pop(), second.pop()) else {
        return Err(0);
    };
    let spoken = a.role == Role::Assistant && b.role == Role::Assistant;
    let asked = first
        .last()
        .is_some_and(|m| matches!(m.role, Role::User | Role::Tool));
    if !(answers && spoken && asked) {
        return Err(same);
    }
    Ok(Answers {
        prompt: Prompt::Chat(first),
        first: a,
        second: b,
    })
}

/// Marks of a turn in the texts of hh-rlhf.
const HUMAN: &str = "\n\nHuman:";
const ASSISTANT: &str = "\n\nAssistant:";

/// Whether a text is turns in the form of hh-rlhf.
pub(super) fn has_turns(text: &str) -> bool {
    text.starts_with(HUMAN) && text.contains(ASSISTANT)
}

/// The turns of a text in the form of hh-rlhf: each begins with a blank line and the name of who speaks.
pub(super) fn turns(text: &str) -> Vec<Message> {
    let mut turns = Vec::new();
    let mut rest = text;
    while let Some((role, said)) = turn(rest) {
        let end = [HUMAN, ASSISTANT]
            .into_iter()
            .filter_map(|mark| said.find(mark));
        let (said, next) = said.split_at(end.min().unwrap_or(said.len()));
        turns.push(Message::new(role, said.trim()));
        rest = next;
    }
    turns
}

/// Who speaks at the beginning of a text, and what follows.
fn turn(text: &str) -> Option<(Role, &str)> {
    let human = text.strip_prefix(HUMAN).map(|said| (Role::User, said));
    human.or_else(|| Some((Role::Assistant, text.strip_prefix(ASSISTANT)?)))
}
