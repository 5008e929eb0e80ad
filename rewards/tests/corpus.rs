//! The corpus that fuzzing keeps, and mutations of it with a fixed seed. `fuzz/README.md` says how to go on from here with a fuzzer
//! that looks at coverage.
#![allow(clippy::unwrap_used)]

#[path = "../../fuzz/targets.rs"]
mod targets;

use std::path::Path;

use rand::{Rng, RngExt};

/// Mutations of each input.
const MUTATIONS: usize = 300;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let mut paths: Vec<_> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let inputs: Vec<Vec<u8>> = paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    assert!(
        inputs.len() >= 5,
        "{} inputs in {}",
        inputs.len(),
        dir.display()
    );
    inputs
}

/// `input` with bytes flipped, dropped, doubled, or taken from `other`.
fn mutated(input: &[u8], other: &[u8], rng: &mut impl Rng) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..rng.random_range(1..4) {
        if bytes.is_empty() {
            return other.to_vec();
        }
        let from = rng.random_range(0..bytes.len());
        let to = rng.random_range(from..bytes.len().min(from + 16)) + 1;
        match rng.random_range(0..5) {
            0 => bytes[from] ^= 1 << rng.random_range(0..8),
            1 => drop(bytes.drain(from..to)),
            2 => {
                let again = bytes[from..to].to_vec();
                bytes.splice(from..from, again);
            }
            3 => bytes[from] = b"\\{}[]()^_-$<>\"\0\n,.9"[rng.random_range(0..19)],
            _ => {
                let end = other.len().min(to);
                let part = other[end.min(from)..end].to_vec();
                bytes.splice(from..to, part);
            }
        }
    }
    bytes
}

fn run(name: &str, target: fn(&[u8])) {
    let inputs = corpus(name);
    let mut rng = dunwu_datasets::rng(13);
    for (at, input) in inputs.iter().enumerate() {
        target(input);
        for _ in 0..MUTATIONS {
            let other = &inputs[rng.random_range(0..inputs.len())];
            let bytes = mutated(input, other, &mut rng);
            let result = std::panic::catch_unwind(|| target(&bytes));
            assert!(
                result.is_ok(),
                "{name}: a mutation of input {at}; keep it: {:?}",
                String::from_utf8_lossy(&bytes)
            );
        }
    }
}

#[test]
fn messages_of_workers() {
    run("messages", targets::messages);
}

#[test]
fn answers_in_completions() {
    run("extraction", targets::extraction);
}

#[test]
fn mathematics() {
    run("math", targets::math);
}

#[test]
fn files_of_tasks() {
    run("readers", targets::readers);
}
