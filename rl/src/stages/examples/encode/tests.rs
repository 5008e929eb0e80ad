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
    assert!(error.to_string().contains("turns = \"each\""), "{error}");
    let last = encode(&codec_forgets, &example, Turns::Last).unwrap();
    let expected = (true, "Two<|im_end|>".to_owned());
    assert_eq!(pieces(&codec_forgets, &last).pop(), Some(expected));

    // Another text where the model is asked than where its answer is written down.
    let other = "{% for m in messages %}{{ m['role'] + ':' + m['content'] + '<|im_end|>' }}{% endfor %}\
        {% if add_generation_prompt %}{{ 'answer:' }}{% endif %}";
    let other = codec(Some(other));
    let error = encode(&other, &example, Turns::All).unwrap_err();
    assert!(
        matches!(error, EncodeError::Unmarkable { turn: 2 }),
        "{error}"
    );
    // Where one turn is learnt, it is learnt behind the text that the policy would be shown.
    let last = encode(&other, &example, Turns::Last).unwrap();
    let pieces_of = pieces(&other, &last);
    assert!(pieces_of[0].1.ends_with("user:2?<|im_end|>answer:"));
    assert_eq!(pieces_of[1], (true, "Two<|im_end|>".to_owned()));

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
    assert_eq!(text(&ids), "nce<|im_end|>");
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

fn pair(prompt: Vec<Message>, completion: &str) -> Example {
    let json = serde_json::json!({ "prompt": prompt, "completion": completion });
    Example::Completion(serde_json::from_value(json).unwrap())
}

/// The tokens, and which of them are learnt.
fn marked(encoded: &Encoded) -> Vec<(u32, bool)> {
    let prompt = encoded.sequence.prompt.iter().map(|&id| (id, false));
    prompt.chain(encoded.sequence.marked()).collect()
}

#[test]
fn one_chat_has_one_end_however_its_row_is_written() {
    // A model whose end of a document is another token than the end of a turn.
    let mut codec = codec(Some(CHATML));
    codec.special.eos_token = Some("<eos>".to_owned());
    let tokenizer = &codec.encoder.tokenizer;
    let ids = ["<eos>", "<|im_end|>"].map(|token| tokenizer.token_id(token).unwrap());
    for ends in [&ids[..], &ids[..1]] {
        codec.eos = ends.to_vec();
        let messages = two_turns()[..3].to_vec();
        let row = pair(messages[..2].to_vec(), "One");
        let as_pair = encode(&codec, &row, Turns::All).unwrap();
        let as_messages = encode(&codec, &Example::Conversation(messages), Turns::All).unwrap();
        assert_eq!(marked(&as_pair), marked(&as_messages));
        let (_, said) = pieces(&codec, &as_pair).pop().unwrap();
        let end = if ends.len() == 2 {
            "<|im_end|>"
        } else {
            "<|im_end|><eos>"
        };
        assert_eq!(said, format!("One{end}"));
    }
}

/// As DeepSeek's R1 distillations and QwQ: the prompt opens a thought, and thoughts of answers are dropped.
const REASONS: &str = "{% for m in messages %}{% if m['role'] == 'user' %}{{ '[user]' + m['content'] }}{% endif %}\
    {% if m['role'] == 'assistant' %}{{ '[bot]' + m['content'].split('</think>')[-1] + '<|im_end|>' }}{% endif %}{% endfor %}\
    {% if add_generation_prompt %}{{ '[bot]<think>\n' }}{% endif %}";

fn reasoning() -> Codec {
    let mut codec = codec(Some(REASONS));
    let alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789?!.:\n[]/<>";
    let marks = ["<eos>", "<|im_start|>", "<|im_end|>"];
    codec.encoder.tokenizer = Tokenizer::characters(alphabet, &marks).unwrap();
    codec
}

#[test]
fn a_template_that_drops_thoughts_is_learnt_turn_by_turn_with_them() {
    let codec = reasoning();
    let talk = talk(&[
        (Role::User, "1?"),
        (Role::Assistant, "<think>\na\n</think>\n\nOne"),
        (Role::User, "2?"),
        (Role::Assistant, "Two"),
    ]);
    let example = Example::Conversation(talk.clone());
    let error = encode(&codec, &example, Turns::All)
        .unwrap_err()
        .to_string();
    assert!(error.contains("turns = \"each\""), "{error}");
    let each = encode_all(&codec, &example, Turns::Each).unwrap();
    let found: Vec<Vec<(bool, String)>> = each.iter().map(|one| pieces(&codec, one)).collect();
    let expected = [
        ["[user]1?[bot]<think>\n", "a\n</think>\n\nOne<|im_end|>"],
        // An answer without a thought closes the one that the prompt has opened.
        [
            "[user]1?[bot]\n\nOne<|im_end|>[user]2?[bot]<think>\n",
            "\n</think>\n\nTwo<|im_end|>",
        ],
    ];
    let expected =
        expected.map(|[prompt, said]| vec![(false, prompt.to_owned()), (true, said.to_owned())]);
    assert_eq!(found, expected);
    assert_eq!(encode(&codec, &example, Turns::Last).unwrap(), each[1]);
    // A row with a completion is the same turn.
    let row = pair(talk[..1].to_vec(), "<think>\na\n</think>\n\nOne");
    assert_eq!(encode(&codec, &row, Turns::All).unwrap(), each[0]);
    let row = pair(talk[..1].to_vec(), "a\n</think>\n\nOne");
    assert_eq!(encode(&codec, &row, Turns::All).unwrap(), each[0]);
}

#[test]
fn a_template_that_opens_a_thought_is_known_by_its_prompt() {
    assert!(reasoning().encoder.opens_thought());
    assert!(!codec(Some(CHATML)).encoder.opens_thought());
    assert!(!codec(None).encoder.opens_thought());
}

#[test]
fn raw_prompts_begin_with_bos_and_completions_follow_them() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/spm/bpe.model");
    let mut codec = codec(None);
    codec.encoder.tokenizer = Tokenizer::from_sentencepiece(file, None).unwrap();
    codec.special.eos_token = Some("</s>".to_owned());
    let row = serde_json::json!({ "prompt": "2+2=", "completion": "4" });
    let row = Example::Completion(serde_json::from_value(row).unwrap());
    let encoded = encode(&codec, &row, Turns::All).unwrap();
    let tokenizer = &codec.encoder.tokenizer;
    let whole = tokenizer.encode_raw("2+2=4</s>").unwrap();
    let ids: Vec<u32> = marked(&encoded).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, whole);
    assert_eq!(encoded.learnt_tokens(), 2);
    let (_, prompt) = codec
        .encoder
        .encode(&Prompt::Text("2+2=".to_owned()))
        .unwrap();
    assert_eq!(encoded.sequence.prompt[..], prompt);
    assert_eq!(prompt[0], 1);
}
