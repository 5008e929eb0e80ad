use dunwu_datasets::{Demonstration, Role};

use super::*;
use crate::{
    bundle::PromptEncoder,
    tokenizer::{SpecialTokens, Tokenizer},
};

const CHATML: &str = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}\
    {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

fn codec(template: Option<&str>) -> Codec {
    let alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789?!.:\n[]/";
    let marks = ["<eos>", "<|im_start|>", "<|im_end|>"];
    let tokenizer = Tokenizer::characters(alphabet, &marks).unwrap();
    let special = SpecialTokens {
        eos_token: Some("<|im_end|>".to_owned()),
        ..SpecialTokens::default()
    };
    let eos = tokenizer.token_id("<|im_end|>").into_iter().collect();
    Codec {
        encoder: PromptEncoder {
            template: template.map(|source| ChatTemplate::new(source, special.clone()).unwrap()),
            tokenizer,
            origin: "a test".to_owned(),
        },
        eos,
        special,
    }
}

fn talk(turns: &[(Role, &str)]) -> Vec<Message> {
    let turns = turns.iter();
    turns
        .map(|(role, text)| Message::new(*role, *text))
        .collect()
}

fn two_turns() -> Vec<Message> {
    talk(&[
        (Role::System, "Be brief."),
        (Role::User, "1?"),
        (Role::Assistant, "One"),
        (Role::User, "2?"),
        (Role::Assistant, "Two"),
        (Role::User, "bye"),
    ])
}

/// The text of the tokens that are learnt, and that of all others, each piece by itself.
fn pieces(codec: &Codec, encoded: &Encoded) -> Vec<(bool, String)> {
    let prompt = encoded.sequence.prompt.iter().map(|&id| (id, false));
    let all = prompt.chain(encoded.sequence.marked());
    let mut pieces: Vec<(bool, Vec<u32>)> = Vec::new();
    for (id, mark) in all {
        match pieces.last_mut() {
            Some((last, ids)) if *last == mark => ids.push(id),
            _ => pieces.push((mark, vec![id])),
        }
    }
    let text = |ids: Vec<u32>| codec.encoder.tokenizer.decode_with_special(&ids).unwrap();
    pieces
        .into_iter()
        .map(|(mark, ids)| (mark, text(ids)))
        .collect()
}

#[test]
fn every_turn_of_the_assistant_is_learnt_and_nothing_else() {
    let codec = codec(Some(CHATML));
    let example = Example::Conversation(two_turns());
    let encoded = encode(&codec, &example, Turns::All).unwrap();
    let expected = [
        (
            false,
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n1?<|im_end|>\n<|im_start|>assistant\n",
        ),
        (true, "One<|im_end|>"),
        (false, "\n<|im_start|>user\n2?<|im_end|>\n<|im_start|>assistant\n"),
        (true, "Two<|im_end|>"),
    ]
    .map(|(mark, text)| (mark, text.to_owned()));
    assert_eq!(pieces(&codec, &encoded), expected);
    assert_eq!(encoded.learnt_tokens(), 4 + 4);

    // What is read before the first turn is the prompt that the policy would be given.
    let (_, prompt) = codec
        .encoder
        .encode(&Prompt::Chat(two_turns()[..2].to_vec()))
        .unwrap();
    assert_eq!(encoded.sequence.prompt[..], prompt);

    let last = encode(&codec, &example, Turns::Last).unwrap();
    let (_, prompt) = codec
        .encoder
        .encode(&Prompt::Chat(two_turns()[..4].to_vec()))
        .unwrap();
    assert_eq!(last.sequence.prompt[..], prompt);
    assert_eq!(pieces(&codec, &last)[1], (true, "Two<|im_end|>".to_owned()));

    // A prompt with a completion is the same as the conversation of both.
    let pair = Example::Completion(Demonstration {
        prompt: Prompt::Chat(two_turns()[..4].to_vec()),
        completion: "Two".to_owned(),
    });
    assert_eq!(encode(&codec, &pair, Turns::All).unwrap(), last);
}

#[test]
fn a_template_that_cannot_mark_turns_is_told() {
    // Drops what the assistant said before, as reasoning models drop their thoughts.
    let forgets = "{% for m in messages %}{% if m['role'] != 'assistant' or loop.last %}{{ '[' + m['role'] + ']' + m['content'] + '<|im_end|>' }}{% endif %}{% endfor %}\
        {% if add_generation_prompt %}{{ '[assistant]' }}{% endif %}";
    let codec_forgets = codec(Some(forgets));
    let example = Example::Conversation(two_turns());
    let error = encode(&codec_forgets, &example, Turns::All).unwrap_err();
    assert!(
        matches!(error, EncodeError::Unmarkable { turn: 2 }),
        "{error}"
    );
    assert!(error.to_string().contains("turns = \"last\""), "{error}");
    let last = encode(&codec_forgets, &example, Turns::Last).unwrap();
    let expected = (true, "Two<|im_end|>".to_owned());
    assert_eq!(pieces(&codec_forgets, &last).pop(), Some(expected));

    // Another text where the model is asked than where its answer is written down.
    let other = "{% for m in messages %}{{ m['role'] + ':' + m['content'] + '<|im_end|>' }}{% endfor %}\
        {% if add_generation_prompt %}{{ 'answer:' }}{% endif %}";
    let error = encode(&codec(Some(other)), &example, Turns::Last).unwrap_err();
    assert!(
        matches!(error, EncodeError::Unmarkable { turn: 4 }),
        "{error}"
    );

    // No token at the end of a turn: the last gets the model's, an earlier one is an error.
    let endless = "{% for m in messages %}{{ '[' + m['role'] + ']' + m['content'] + '\n' }}{% endfor %}\
        {% if add_generation_prompt %}{{ '[assistant]' }}{% endif %}";
    let endless = codec(Some(endless));
    let error = encode(&endless, &example, Turns::All).unwrap_err();
    assert!(
        matches!(error, EncodeError::NoEnd { turn: 2, .. }),
        "{error}"
    );
    let last = encode(&endless, &example, Turns::Last).unwrap();
    let expected = (true, "Two<|im_end|>".to_owned());
    assert_eq!(pieces(&endless, &last).pop(), Some(expected));

    let error = encode(&codec(None), &example, Turns::All).unwrap_err();
    assert!(error.to_string().contains("no chat template"), "{error}");
}

#[test]
fn what_is_too_long_is_dropped_cut_or_an_error() {
    let codec = codec(Some(CHATML));
    let encoded = encode(&codec, &Example::Conversation(two_turns()), Turns::All).unwrap();
    let whole = encoded.sequence.len();
    let fitted = |limit, too_long| fit(encoded.clone(), limit, too_long);
    for too_long in [TooLong::Error, TooLong::Drop, TooLong::Truncate] {
        assert_eq!(fitted(whole, too_long), Fitted::Kept(encoded.clone()));
    }
    assert_eq!(fitted(whole - 1, TooLong::Error), Fitted::TooLong(whole));
    assert_eq!(fitted(whole - 1, TooLong::Drop), Fitted::Dropped);
    let Fitted::Kept(cut) = fitted(whole - 1, TooLong::Truncate) else {
        panic!("something is left");
    };
    assert_eq!(pieces(&codec, &cut).pop(), Some((true, "Two".to_owned())));
    // Cut in what is only read, the end of the last turn before is the end.
    let Fitted::Kept(cut) = fitted(whole - 6, TooLong::Truncate) else {
        panic!("the first turn is left");
    };
    assert_eq!(
        pieces(&codec, &cut).pop(),
        Some((true, "One<|im_end|>".to_owned()))
    );
    let prompt = encoded.sequence.prompt.len();
    assert_eq!(fitted(prompt, TooLong::Truncate), Fitted::Dropped);
    assert_eq!(fitted(3, TooLong::Truncate), Fitted::Dropped);
}

#[test]
fn raw_text_is_learnt_but_its_first_token() {
    let codec = codec(None);
    let encoded = encode(&codec, &Example::Text("once".to_owned()), Turns::All).unwrap();
    let text = |ids: &[u32]| codec.encoder.tokenizer.decode_with_special(ids).unwrap();
    assert_eq!(text(&encoded.sequence.prompt), "o");
    let followed: Vec<(u32, bool)> = encoded.sequence.marked().collect();
    let ids: Vec<u32> = followed.iter().map(|(id, _)| *id).collect();
    assert_eq!(text(&ids), "nce<eos>");
    assert!(followed.iter().all(|(_, learnt)| *learnt));
}

#[test]
fn turns_without_weight_are_read_and_not_learnt() {
    let codec = codec(Some(CHATML));
    let mut messages = two_turns();
    messages[2].extra.insert("weight".to_owned(), 0.into());
    let encoded = encode(&codec, &Example::Conversation(messages), Turns::All).unwrap();
    let learnt = encoded.sequence.marked().filter(|(_, learnt)| *learnt);
    let ids: Vec<u32> = learnt.map(|(id, _)| id).collect();
    let text = codec.encoder.tokenizer.decode_with_special(&ids).unwrap();
    assert!(
        text.starts_with("Two<|im_end|>") && !text.contains("One"),
        "{text}"
    );
}
