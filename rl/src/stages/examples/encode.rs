//! From an example to token ids, with a mark at each that is to be learnt.
//!
//! A prompt is encoded as it is when the policy is asked, and what follows it as the policy would
//! say it: a completion and the end-of-sequence token. In a conversation the chat template decides:
//! the text before a turn of the assistant is what the policy would be shown, up to where it speaks,
//! and the turn ends as the template ends it. A completion that answers a conversation is the same
//! turn, and has the same end. A template that writes a turn otherwise than the policy would say it,
//! as those do that drop thoughts or open them, is asked for the prompt and the end only: what is
//! between them is learnt as it is given. What follows a prompt is tokenised behind it.

use std::ops::Range;

use dunwu_datasets::{Demonstration, Example, Message, Prompt, Role};

use super::{TooLong, Turns};
use crate::{
    bundle::{Codec, PromptError},
    learner::{Segment, Sequence},
    tokenizer::{ChatTemplate, TemplateError, TokenizerError},
};

/// An example as token ids: what is learnt is what the policy would have sampled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// What is read first, and what follows, by segment.
    pub sequence: Sequence,
}

impl Encoded {
    /// Tokens that are learnt.
    pub fn learnt_tokens(&self) -> usize {
        self.sequence.sampled()
    }

    /// The example within `limit` tokens; `None` when nothing to learn is left.
    fn truncated(self, limit: usize) -> Option<Self> {
        let most = limit.saturating_sub(self.sequence.prompt.len());
        let sequence = self.sequence.truncated(most);
        (sequence.sampled() > 0).then_some(Self { sequence })
    }
}

/// Why an example cannot be made into tokens.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Its prompt, or the conversation, cannot be rendered or tokenised.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// The template's text does not tell where a turn begins.
    #[error(
        "the chat template does not write turn {turn} (message {turn}, from 0) as it writes it in the whole conversation, so that where it begins cannot be told; hint: turns = \"each\" makes an example of every turn, as the policy would be asked for it, and turns = \"last\" learns the last only"
    )]
    Unmarkable {
        /// Index of the message.
        turn: usize,
    },
    /// The template's text does not tell where a turn ends.
    #[error(
        "the chat template writes no end-of-sequence token ({end}) after message {turn} (from 0), so that where it ends cannot be learnt; hint: turns = \"each\" makes an example of every turn, with an end of its own, and turns = \"last\" learns the last only"
    )]
    NoEnd {
        /// Index of the message.
        turn: usize,
        /// The model's end-of-sequence tokens.
        end: String,
    },
}

impl From<TemplateError> for EncodeError {
    fn from(error: TemplateError) -> Self {
        PromptError::from(error).into()
    }
}

impl From<TokenizerError> for EncodeError {
    fn from(error: TokenizerError) -> Self {
        PromptError::from(error).into()
    }
}

/// The tokens of an example.
///
/// # Errors
/// See [`EncodeError`].
pub fn encode(codec: &Codec, example: &Example, turns: Turns) -> Result<Encoded, EncodeError> {
    match example {
        Example::Completion(demonstration) => completion(codec, demonstration),
        Example::Conversation(messages) => conversation(codec, messages, turns),
        Example::Text(text) => continuation(codec, text),
    }
}

/// Raw text, all of which is learnt but its first token, before which nothing stands.
fn continuation(codec: &Codec, text: &str) -> Result<Encoded, EncodeError> {
    let (_, mut ids) = codec.encoder.encode(&Prompt::Text(text.to_owned()))?;
    if ids.is_empty() {
        return Err(PromptError::Empty.into());
    }
    let mut learnt = ids.split_off(1);
    learnt.extend(codec.end());
    Ok(Encoded {
        sequence: Sequence::new(ids, learnt),
    })
}

/// The tokens of all examples that one becomes: as many as the assistant has turns with [`Turns::Each`], and one otherwise.
///
/// # Errors
/// See [`EncodeError`].
pub fn encode_all(
    codec: &Codec,
    example: &Example,
    turns: Turns,
) -> Result<Vec<Encoded>, EncodeError> {
    match example {
        Example::Conversation(messages) if turns == Turns::Each => {
            let spoken = spoken(messages);
            if spoken.is_empty() {
                return Err(PromptError::Empty.into());
            }
            let through = |&turn: &usize| conversation(codec, &messages[..=turn], Turns::Last);
            spoken.iter().map(through).collect()
        }
        _ => encode(codec, example, turns).map(|encoded| vec![encoded]),
    }
}

/// A completion and its end, behind its prompt.
fn completion(codec: &Codec, demonstration: &Demonstration) -> Result<Encoded, EncodeError> {
    let Demonstration {
        prompt, completion, ..
    } = demonstration;
    if let (Prompt::Chat(messages), Some(template)) = (prompt, &codec.encoder.template) {
        let mut messages = messages.clone();
        messages.push(Message::new(Role::Assistant, completion.as_str()));
        return answer(codec, template, &messages);
    }
    let (prompt, mut completion) = codec.encoder.encode_pair(prompt, completion)?;
    completion.extend(codec.end());
    Ok(Encoded {
        sequence: Sequence::new(prompt, completion),
    })
}

/// The last message as the answer to those before it: as the template writes it where that is nothing but what is said and
/// its end, and as it is given elsewhere.
fn answer(
    codec: &Codec,
    template: &ChatTemplate,
    messages: &[Message],
) -> Result<Encoded, EncodeError> {
    let last = messages.len() - 1;
    let ends = end_texts(codec);
    let whole = template.render(messages, false);
    if let Ok(whole) = &whole
        && let Ok(marked) = mark(template, messages, whole, last, &ends)
    {
        let said = &whole[marked.text.clone()];
        let content = messages[last].content.trim();
        if said.trim_start().starts_with(content) {
            return one_turn(codec, &whole[..marked.text.start], said, marked.ended);
        }
    }
    verbatim(codec, template, messages)
}

/// A prompt and the turn that follows it.
fn one_turn(codec: &Codec, prompt: &str, said: &str, ended: bool) -> Result<Encoded, EncodeError> {
    let mut pieces = codec.encoder.tokenizer.encode_pieces(&[prompt, said])?;
    let mut said = pieces.pop().unwrap_or_default();
    let prompt = pieces.pop().unwrap_or_default();
    if prompt.is_empty() {
        return Err(PromptError::Empty.into());
    }
    if !ended {
        said.extend(codec.end());
    }
    Ok(Encoded {
        sequence: Sequence::new(prompt, said),
    })
}

/// The last message as it is given, between the prompt and the end that the template writes. Where the prompt opens a
/// thought, the message goes on within it: its own opening is left out, and a message without a thought closes it first.
fn verbatim(
    codec: &Codec,
    template: &ChatTemplate,
    messages: &[Message],
) -> Result<Encoded, EncodeError> {
    let (message, before) = messages.split_last().ok_or(PromptError::Empty)?;
    let prompt = template.render(before, true)?;
    let mut said = message.content.clone();
    if prompt.trim_end().ends_with(THOUGHT[0]) {
        if let Some(thought) = said.trim_start().strip_prefix(THOUGHT[0]) {
            said = thought.trim_start_matches('\n').to_owned();
        } else if !said.contains(THOUGHT[1]) {
            said = format!("\n{}\n\n{said}", THOUGHT[1]);
        }
    }
    let (end, ended) = closing(codec, template, before);
    one_turn(codec, &prompt, &(said + &end), ended)
}

/// What reasoning models write around a thought.
const THOUGHT: [&str; 2] = ["<think>", "</think>"];

/// What the template writes behind a turn that answers `before`, up to its end-of-sequence token, and whether there is one.
fn closing(codec: &Codec, template: &ChatTemplate, before: &[Message]) -> (String, bool) {
    const PROBE: &str = "probe-of-the-end";
    let mut messages = before.to_vec();
    messages.push(Message::new(Role::Assistant, PROBE));
    let whole = template.render(&messages, false).unwrap_or_default();
    let Some((_, tail)) = whole.rsplit_once(PROBE) else {
        return (String::new(), false);
    };
    match end_of(tail, &end_texts(codec)) {
        Some(end) => (tail[..end].to_owned(), true),
        None => (tail.trim_end().to_owned(), false),
    }
}

/// Where an end-of-sequence token ends behind which there is nothing but white space.
fn end_of(text: &str, ends: &[String]) -> Option<usize> {
    let places = ends
        .iter()
        .filter_map(|end| Some(text.rfind(end.as_str())? + end.len()));
    places.max().filter(|&end| text[end..].trim().is_empty())
}

/// The messages of the assistant that are learnt, by index.
fn spoken(messages: &[Message]) -> Vec<usize> {
    (0..messages.len())
        .filter(|&index| messages[index].is_learnt())
        .collect()
}

/// What became of an example in the face of a limit.
#[derive(Debug, PartialEq, Eq)]
pub enum Fitted {
    /// It fits, or was made to.
    Kept(Encoded),
    /// It is left out.
    Dropped,
    /// It has so many tokens, and that is an error.
    TooLong(usize),
}

/// Makes an example fit into `limit` tokens, as `too_long` says.
pub fn fit(encoded: Encoded, limit: usize, too_long: TooLong) -> Fitted {
    let tokens = encoded.sequence.len();
    match too_long {
        _ if tokens <= limit => Fitted::Kept(encoded),
        TooLong::Error => Fitted::TooLong(tokens),
        TooLong::Drop => Fitted::Dropped,
        TooLong::Truncate => match encoded.truncated(limit) {
            Some(encoded) => Fitted::Kept(encoded),
            None => Fitted::Dropped,
        },
    }
}

fn conversation(codec: &Codec, messages: &[Message], turns: Turns) -> Result<Encoded, EncodeError> {
    let template = codec.encoder.template.as_ref();
    let template = template.ok_or_else(|| PromptError::NoTemplate {
        model: codec.encoder.origin.clone(),
    })?;
    let spoken: Vec<usize> = (0..messages.len())
        .filter(|&index| messages[index].is_learnt())
        .collect();
    let Some(&last) = spoken.last() else {
        return Err(PromptError::Empty.into());
    };
    let messages = &messages[..=last];
    let whole = template.render(messages, false)?;
    let ends = end_texts(codec);
    if turns != Turns::All || spoken.len() == 1 {
        // Where the template does not write the turn as the policy would be asked for it, it is learnt as it is given.
        return match mark(template, messages, &whole, last, &ends) {
            Ok(Marked { text, ended }) => {
                one_turn(codec, &whole[..text.start], &whole[text], ended)
            }
            Err(_) => verbatim(codec, template, messages),
        };
    }
    let mut pieces = Vec::new();
    let mut read = 0;
    let mut closed = true;
    for turn in spoken {
        let marked = mark(template, messages, &whole, turn, &ends)?;
        if marked.text.start < read {
            return Err(EncodeError::Unmarkable { turn });
        }
        if !marked.ended && turn < last {
            let end = ends.join(", ");
            return Err(EncodeError::NoEnd { turn, end });
        }
        pieces.extend([&whole[read..marked.text.start], &whole[marked.text.clone()]]);
        read = marked.text.end;
        closed = marked.ended;
    }
    let mut ids = codec.encoder.tokenizer.encode_pieces(&pieces)?.into_iter();
    let prompt = ids.next().unwrap_or_default();
    if prompt.is_empty() {
        return Err(PromptError::Empty.into());
    }
    let mut segments = Vec::new();
    while let Some(said) = ids.next() {
        segments.push(said);
        segments.extend(ids.next());
    }
    if !closed && let Some(said) = segments.last_mut() {
        said.extend(codec.end());
    }
    let segments = segments.into_iter().enumerate().filter_map(|(place, ids)| {
        if place % 2 == 0 {
            Some(Segment::sampled(ids))
        } else {
            (!ids.is_empty()).then(|| Segment::given(ids))
        }
    });
    let sequence = Sequence::of_segments(prompt, segments.collect());
    Ok(Encoded { sequence })
}

/// Where a turn stands in the text of a conversation.
struct Marked {
    text: Range<usize>,
    /// Whether an end-of-sequence token stands at the end of it.
    ended: bool,
}

/// Finds message `turn` in `whole`, the text of all messages.
fn mark(
    template: &ChatTemplate,
    messages: &[Message],
    whole: &str,
    turn: usize,
    ends: &[String],
) -> Result<Marked, EncodeError> {
    let unmarkable = EncodeError::Unmarkable { turn };
    // A template may refuse the part of a conversation that it takes as a whole.
    let Ok(before) = template.render(&messages[..turn], true) else {
        return Err(unmarkable);
    };
    let through = if turn + 1 == messages.len() {
        whole.to_owned()
    } else {
        template.render(&messages[..=turn], false)?
    };
    let Some(said) = through.strip_prefix(&before) else {
        return Err(unmarkable);
    };
    if !said.contains(messages[turn].content.trim()) {
        return Err(unmarkable);
    }
    let end = end_of(said, ends);
    let text = before.len()..before.len() + end.unwrap_or(said.trim_end().len());
    if whole.get(..text.end) != Some(&through[..text.end]) {
        return Err(unmarkable);
    }
    Ok(Marked {
        text,
        ended: end.is_some(),
    })
}

/// The texts of the tokens that end a completion.
fn end_texts(codec: &Codec) -> Vec<String> {
    let tokenizer = &codec.encoder.tokenizer;
    let mut texts: Vec<String> = codec
        .eos
        .iter()
        .filter_map(|&id| tokenizer.token(id))
        .collect();
    texts.extend(codec.special.eos_token.clone());
    texts.retain(|text| !text.is_empty());
    texts.sort();
    texts.dedup();
    texts
}

#[cfg(test)]
mod tests;
