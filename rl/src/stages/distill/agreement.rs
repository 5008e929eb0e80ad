//! Whether two models mean the same by the same ids: end tokens first, then the vocabulary, what begins a text, how a
//! conversation is written, how long a text may be.

use dunwu_datasets::{Message, Role};

use crate::{
    bundle::Codec,
    stages::{StageError, second::first_difference},
};

/// A teacher as its config names it.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// The key, such as `stages.1.teacher.path`.
    pub key: &'a str,
    /// Its value.
    pub value: &'a str,
}

impl Named<'_> {
    fn refuses(&self, problem: &str, hint: &str) -> StageError {
        let (key, value) = (self.key, self.value);
        StageError::Config(format!("{key} = {value:?}: {problem}; hint: {hint}"))
    }
}

/// Compares a teacher's text side with the student's. `other_template` says that a conversation may be written otherwise.
///
/// # Errors
/// The first difference, with both sides.
pub fn compare(
    named: Named,
    student: &Codec,
    teacher: &Codec,
    other_template: bool,
) -> Result<(), StageError> {
    let (ours, theirs) = (ends(student), ends(teacher));
    if ours != theirs {
        return Err(named.refuses(
            &format!(
                "the teacher ends its turns with {}, the student with {}",
                listed(&theirs),
                listed(&ours)
            ),
            "a student learns to stop where its teacher does, so both need the same end tokens: name them in the student's generation_config.json (eos_token_id), or take a teacher of the same kind, instruct or base",
        ));
    }
    if let Some(difference) = first_difference(student, teacher) {
        return Err(named.refuses(
            &format!("the teacher has another vocabulary than the student: {difference}"),
            "distributions are compared token by token, so both need the same tokenizer; traces of any teacher can be learnt by a stage of kind sft",
        ));
    }
    let prefix = |codec: &Codec| {
        let ids = codec.encoder.tokenizer.prefix().iter();
        ids.map(|&id| shown(codec, id)).collect::<Vec<String>>()
    };
    let (ours, theirs) = (prefix(student), prefix(teacher));
    if ours != theirs {
        return Err(named.refuses(
            &format!(
                "raw texts begin with {} for the teacher and {} for the student",
                listed(&theirs),
                listed(&ours)
            ),
            "model.add_special_tokens = false leaves it out for the student",
        ));
    }
    if other_template {
        return Ok(());
    }
    let (ours, theirs) = (conversation(student), conversation(teacher));
    match (ours, theirs) {
        // Without a template of its own the student is asked raw texts only.
        (Some(ours), Some(theirs)) if ours != theirs => Err(named.refuses(
            &format!(
                "a conversation is written {theirs:?} for the teacher and {ours:?} for the student"
            ),
            "the teacher reads the student's form, which it may never have seen; other_template = true goes on regardless",
        )),
        _ => Ok(()),
    }
}

/// Compares the longest sequence that the student may make, `most` tokens, with the teacher's context.
///
/// # Errors
/// When the teacher's is shorter.
pub fn compare_context(named: Named, most: usize, teacher: usize) -> Result<(), StageError> {
    if most <= teacher {
        return Ok(());
    }
    Err(named.refuses(
        &format!(
            "the teacher reads {teacher} tokens, and the student's sequences have up to {most}"
        ),
        "lower sampling.max_tokens, data.max_prompt_tokens or max_length",
    ))
}

/// The tokens that end a turn, as texts.
fn ends(codec: &Codec) -> Vec<String> {
    let mut ends: Vec<String> = codec.eos.iter().map(|&id| shown(codec, id)).collect();
    ends.sort();
    ends
}

fn shown(codec: &Codec, id: u32) -> String {
    let token = codec.encoder.tokenizer.token(id);
    token.unwrap_or_else(|| format!("id {id}"))
}

fn listed(tokens: &[String]) -> String {
    if tokens.is_empty() {
        return "nothing".to_owned();
    }
    let tokens: Vec<String> = tokens.iter().map(|token| format!("{token:?}")).collect();
    tokens.join(", ")
}

/// How a question is written; `None` without a template, or one that does not take it.
fn conversation(codec: &Codec) -> Option<String> {
    let asked = [Message::new(Role::User, "1+1=?")];
    let template = codec.encoder.template.as_ref()?;
    template.render(&asked, true).ok()
}
