//! A reward in Rust: how many of the reference's words the completion has.
//!
//!     rustup target add wasm32-wasip2
//!     cargo build --release --target wasm32-wasip2
//!
//! makes `target/wasm32-wasip2/release/rust_plugin.wasm`, which is the component.

wit_bindgen::generate!({ path: "../../wit", world: "reward" });

use std::collections::HashSet;

struct Overlap;

impl Guest for Overlap {
    fn describe() -> String {
        "the share of the reference's words that the completion has".to_owned()
    }

    fn score_batch(samples: Vec<Sample>) -> Result<Vec<Score>, String> {
        samples.iter().map(score).collect()
    }
}

fn score(sample: &Sample) -> Result<Score, String> {
    let reference = sample.reference.as_deref();
    let reference = reference.ok_or("a sample has no reference to compare with")?;
    let wanted: HashSet<&str> = reference.split_whitespace().collect();
    let (mut missing, mut words) = (wanted.clone(), 0);
    for word in sample.completion.split_whitespace() {
        words += 1;
        if !missing.is_empty() {
            missing.remove(word);
        }
    }
    Ok(Score {
        value: (wanted.len() - missing.len()) as f64 / wanted.len().max(1) as f64,
        parts: vec![("words".to_owned(), f64::from(words))],
        note: None,
    })
}

export!(Overlap);
