//! What is fuzzed: each takes any bytes and may not panic. Shared by `fuzz_targets/` and by `rewards/tests/corpus.rs`.

use dunwu_datasets::{JsonlConfig, read_benchmark, read_examples, read_tasks};
use dunwu_rewards::math::{Form, MathOptions, Verdict, judge};
use dunwu_rewards::{Extraction, extract, same_answer};

/// Ways of finding an answer.
const EXTRACTIONS: [Extraction; 8] = [
    Extraction::AnswerTag,
    Extraction::Boxed,
    Extraction::Hashes,
    Extraction::AnswerPhrase,
    Extraction::Bold,
    Extraction::LastMath,
    Extraction::LastNumber,
    Extraction::Whole,
];

/// Messages between a program and its workers.
pub(crate) fn messages(bytes: &[u8]) {
    dunwu_sandbox::fuzz_messages(bytes);
}

/// The answer in a completion: it is part of the text, and trimmed.
pub(crate) fn extraction(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for extraction in EXTRACTIONS {
        let Some(answer) = extract(&text, &[extraction]) else {
            continue;
        };
        assert!(text.contains(answer), "{extraction:?}: {answer:?}");
        assert_eq!(answer.trim(), answer, "{extraction:?}");
        assert!(!answer.is_empty(), "{extraction:?}");
        assert!(same_answer(answer, answer), "{extraction:?}: {answer:?}");
    }
}

/// A right answer, a line feed, and a completion. The checker stays within its steps, and calls no text different from itself.
pub(crate) fn math(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (gold, predicted) = text.split_once('\n').unwrap_or((&text, &text));
    let options = MathOptions::default();
    for (gold, predicted) in [(gold, predicted), (predicted, gold), (gold, gold)] {
        let judgement = judge(gold, predicted, &options);
        assert!(
            judgement.steps <= options.steps,
            "{} steps",
            judgement.steps
        );
    }
    // A bare answer is the same as itself, unless it has marks in it that lead to the answer proper.
    let bare = MathOptions {
        form: Form::Answer,
        ..MathOptions::default()
    };
    let itself = judge(gold, gold, &bare);
    let marks = [
        "boxed", "fbox", "####", "answer", "Answer", "$", "\\(", "\\[",
    ];
    let plain = gold.len() < 400
        && !gold.trim().is_empty()
        && !marks.iter().any(|mark| gold.contains(mark));
    let differs = itself.verdict == Verdict::Different;
    assert!(
        !(plain && differs),
        "{gold:?} differs from itself: {}",
        itself.why
    );
}

/// A file of tasks, of demonstrations, or of a benchmark.
pub(crate) fn readers(bytes: &[u8]) {
    let Ok(dir) = tempfile::tempdir() else {
        return;
    };
    let path = dir.path().join("data.jsonl");
    if std::fs::write(&path, bytes).is_err() {
        return;
    }
    let _ = read_tasks(&path, &JsonlConfig::default());
    let _ = read_examples(&path);
    let _ = read_benchmark(&path, None);
}
