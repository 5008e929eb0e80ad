//! Models that SentencePiece trained, by its own ids (tests/golden/make_spm_golden.py), and damaged ones.

use serde_json::json;

use super::*;

fn golden(name: &str) -> std::path::PathBuf {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/spm");
    Path::new(dir).join(name)
}

fn expected() -> Value {
    serde_json::from_str(&std::fs::read_to_string(golden("spm.json")).unwrap()).unwrap()
}

fn list<T: serde::de::DeserializeOwned>(value: &Value) -> Vec<T> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn merged_and_likeliest_pieces_are_those_of_sentencepiece() {
    let expected = expected();
    let texts: Vec<String> = list(&expected["texts"]);
    for kind in ["bpe", "unigram"] {
        let tokenizer = Tokenizer::from_sentencepiece(golden(&format!("{kind}.model")), None);
        let tokenizer = tokenizer.unwrap();
        let ids: Vec<Vec<u32>> = list(&expected[kind]["ids"]);
        for (text, ids) in texts.iter().zip(ids) {
            assert_eq!(tokenizer.encode(text).unwrap(), ids, "{kind}: {text:?}");
        }
        assert_eq!(tokenizer.prefix(), [1], "BOS begins a raw text");
    }
}

#[test]
fn tokens_of_the_config_are_added() {
    let pieces = list::<String>(&expected()["bpe"]["pieces"]).len();
    let config = json!({ "added_tokens_decoder": {
        "1": { "content": "<s>", "special": true },
        pieces.to_string(): { "content": "<|im_end|>", "special": true },
        (pieces + 1).to_string(): { "content": "<think>", "special": false },
    }});
    let read = |config: &Value| Tokenizer::from_sentencepiece(golden("bpe.model"), Some(config));
    let tokenizer = read(&config).unwrap();
    let ids = tokenizer.encode("<think>7<|im_end|>").unwrap();
    assert_eq!(ids.first(), Some(&(pieces as u32 + 1)));
    assert_eq!(ids.last(), Some(&(pieces as u32)));
    assert_eq!(tokenizer.decode(&ids).unwrap(), "<think> 7");
    let gap = json!({ "added_tokens_decoder": { "9999": { "content": "x" } } });
    let message = read(&gap).unwrap_err().to_string();
    assert!(message.contains("\"x\" has the id 9999"), "{message}");
}

#[test]
fn a_model_that_is_cut_or_changed_is_an_error_and_no_panic() {
    let whole = std::fs::read(golden("bpe.model")).unwrap();
    for length in (0..whole.len()).step_by(17) {
        let _ = Model::read(&whole[..length]);
    }
    for at in (0..whole.len()).step_by(3) {
        let mut changed = whole.clone();
        changed[at] ^= 0xff;
        let _ = Model::read(&changed);
    }
    assert!(Model::read(b"").unwrap_err().contains("no pieces"));
    assert!(Model::read(b"{\"a\": 1}").is_err());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tokenizer.model");
    std::fs::write(
        &file,
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    )
    .unwrap();
    let message = Tokenizer::from_sentencepiece(&file, None)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("Git-LFS pointer") && message.contains("git lfs pull"),
        "{message}"
    );
}

// RFC 4648, section 10
#[test]
fn bytes_are_written_in_base64() {
    for (text, expected) in [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foobar", "Zm9vYmFy"),
    ] {
        assert_eq!(base64(text.as_bytes()), expected);
    }
}
