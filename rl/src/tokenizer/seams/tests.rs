//! A tokenizer.json of Llama 2's form, by the tokenizers package (tests/golden/make_spm_golden.py).

use serde_json::Value;

use super::*;

fn golden() -> Value {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/spm/spm.json");
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    golden["llama"].clone()
}

fn tokenizer(golden: &Value) -> Tokenizer {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tokenizer.json");
    std::fs::write(&file, golden["tokenizer"].to_string()).unwrap();
    Tokenizer::from_file(file).unwrap()
}

fn list<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn raw_texts_begin_as_the_post_processor_has_it() {
    let golden = golden();
    let tokenizer = tokenizer(&golden);
    let texts: Vec<String> = list(&golden["texts"]);
    let whole: Vec<Vec<u32>> = list(&golden["whole"]);
    for (text, ids) in texts.iter().zip(whole) {
        assert_eq!(tokenizer.encode_raw(text).unwrap(), ids, "{text:?}");
        assert_eq!(tokenizer.encode(text).unwrap(), ids[1..], "{text:?}");
    }
    // A text that brings the token along has it once.
    assert_eq!(
        tokenizer.encode_raw("<s>the").unwrap(),
        tokenizer.encode("<s>the").unwrap()
    );
    let without = tokenizer.without_special_tokens();
    assert_eq!(
        without.encode_raw("the").unwrap(),
        without.encode("the").unwrap()
    );
}

#[test]
fn what_follows_a_prompt_has_the_ids_that_it_has_in_the_whole() {
    let golden = golden();
    let tokenizer = tokenizer(&golden);
    for pair in golden["pairs"].as_array().unwrap() {
        let [before, after]: [String; 2] = list(&pair["texts"]);
        let [expected_before, expected_after]: [Vec<u32>; 2] = list(&pair["ids"]);
        let alone = tokenizer.encode(&before).unwrap();
        let (ids, follows) = tokenizer.encode_raw_pair(&before, &after).unwrap();
        assert_eq!(
            ids[1..],
            alone,
            "{before:?}: the prompt is what the policy is asked with"
        );
        // Where the prompt melts into what follows, it keeps its ids and the rest is tokenised behind another text.
        if alone == expected_before {
            assert_eq!(follows, expected_after, "{before:?} {after:?}");
        }
        let marked = tokenizer.encode(&after).unwrap();
        if !after.starts_with(' ') {
            assert_ne!(follows, marked, "{after:?} alone has the mark of a space");
        }
        assert_eq!(
            tokenizer.decode(&[ids, follows].concat()).unwrap(),
            format!("{before}{after}")
        );
    }
}

#[test]
fn several_pieces_make_up_the_whole() {
    let golden = golden();
    let tokenizer = tokenizer(&golden);
    let pieces = ["the answer is", " 42", "\n", "two", "</s>"];
    let ids = tokenizer.encode_pieces(&pieces).unwrap();
    assert_eq!(ids.concat(), tokenizer.encode(&pieces.concat()).unwrap());
    for (piece, ids) in pieces.iter().zip(&ids) {
        assert_eq!(
            tokenizer.decode_with_special(ids).unwrap().trim(),
            piece.trim()
        );
    }
    assert_eq!(
        tokenizer.encode_pieces(&[]).unwrap(),
        Vec::<Vec<u32>>::new()
    );
    assert_eq!(tokenizer.encode_after("", "two").unwrap(), ids[3]);
}

#[test]
fn a_tokenizer_that_marks_no_words_takes_pieces_apart() {
    let tokenizer = Tokenizer::characters("ab =", &["<eos>"]).unwrap();
    let ids = tokenizer.encode_pieces(&["a=", "b"]).unwrap();
    assert_eq!(
        ids,
        [
            tokenizer.encode("a=").unwrap(),
            tokenizer.encode("b").unwrap()
        ]
    );
    assert!(tokenizer.prefix().is_empty() && tokenizer.prefix_is_processed());
}
