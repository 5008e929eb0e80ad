//! From an example to token ids, with a mark at each that is to be learnt.
//!
//! A prompt is encoded as it is when the policy is asked, and what follows it as the policy would
//! say it: a completion and the end-of-sequence token. In a conversation the chat template decides:
//! the text before a turn of the assistant is what the policy would be shown, up to where it speaks,
//! and the turn ends with its end-of-sequence token. Pieces are tokenised apart, as they are when
//! the policy is asked, and joined.

use std::ops::Range;

use dunwu_datasets::{Example, Message, Prompt};

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
        "the chat template does not write turn {turn} (message {turn}, from 0) as it writes it in the whole conversation, so that where it begins cannot be told; hint: turns = \"last\" asks for the last turn only, or give {{\"prompt\", \"completion\"}} rows"
    )]
    Unmarkable {
        /// Index of the message.
        turn: usize,
    },
    /// The template's text does not tell where a turn ends.
    #[error(
        "the chat template writes no end-of-sequence token ({end}) after message {turn} (from 0), so that where it ends cannot be learnt; hint: turns = \"last\" asks for the last turn only, or give {{\"prompt\", \"completion\"}} rows"
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
        Example::Completion(demonstration) => {
            let (_, prompt) = codec.encoder.encode(&demonstration.prompt)?;
            let mut completion = codec.encoder.tokenizer.encode(&demonstration.completion)?;
            completion.extend(codec.end());
            Ok(Encoded {
                sequence: Sequence::new(prompt, completion),
            })
        }
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
    let learnt = match turns {
        Turns::All => spoken,
        Turns::Last => vec![last],
    };
    let messages = &messages[..=last];
    let whole = template.render(messages, false)?;
    let ends = end_texts(codec);
    let mut prompt = Vec::new();
    let mut segments = Vec::new();
    let mut read = 0;
    for turn in learnt {
        let marked = mark(template, messages, &whole, turn, &ends)?;
        if marked.text.start < read {
            return Err(EncodeError::Unmarkable { turn });
        }
        let before = codec
            .encoder
            .tokenizer
            .encode(&whole[read..marked.text.start])?;
        let mut said = codec
            .encoder
            .tokenizer
            .encode(&whole[marked.text.clone()])?;
        if !marked.ended {
            if turn < last {
                let end = ends.join(", ");
                return Err(EncodeError::NoEnd { turn, end });
            }
            said.extend(codec.end());
        }
        if read == 0 {
            prompt = before;
        } else if !before.is_empty() {
            segments.push(Segment::given(before));
        }
        segments.push(Segment::sampled(said));
        read = marked.text.end;
    }
    if prompt.is_empty() {
        return Err(PromptError::Empty.into());
    }
    let sequence = Sequence::of_segments(prompt, segments);
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
    let end = ends
        .iter()
        .filter_map(|end| Some(said.rfind(end.as_str())? + end.len()))
        .max()
        .filter(|&end| said[end..].trim().is_empty());
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
