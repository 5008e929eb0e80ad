use super::*;
use crate::curriculum::{PassRateConfig, ProblemSource};
use crate::generators::{ChainSumConfig, Generator, GeneratorConfig, GeneratorSource};
use crate::jsonl::JsonlSource;
use crate::split::Split;
use crate::task::Prompt;

fn tasks(count: usize) -> Vec<Task> {
    let task = |number: usize| Task {
        id: format!("p/{number}"),
        prompt: Prompt::Text(format!("{number}=")),
        answer: number.to_string(),
        columns: Default::default(),
    };
    (0..count).map(task).collect()
}

fn entry(name: &str, weight: f64, source: impl TaskSource + 'static) -> MixtureEntry {
    MixtureEntry {
        name: name.to_owned(),
        weight,
        source: Box::new(source),
    }
}

fn mixture() -> MixtureSource {
    let chain_sum = GeneratorConfig::ChainSum(ChainSumConfig::default());
    let generator = Generator::from_config(&chain_sum).unwrap();
    let curriculum = PassRateConfig::default();
    MixtureSource::new(vec![
        entry(
            "sums",
            5.0,
            GeneratorSource::new(generator, 1, Split::Train),
        ),
        entry("file", 3.0, JsonlSource::new(tasks(7), 2).unwrap()),
        entry(
            "hard",
            2.0,
            ProblemSource::new(tasks(9), &curriculum, 3).unwrap(),
        ),
    ])
    .unwrap()
}

#[test]
fn proportions_are_exact_at_every_place() {
    for weights in [
        vec![1.0],
        vec![1.0, 1.0],
        vec![3.0, 1.0],
        vec![0.7, 0.2, 0.1],
        vec![1.0 / 3.0, 1.0 / 7.0, 11.0, 0.001, 5.5],
        vec![97.0, 1.0, 1.0, 1.0],
        vec![
            std::f64::consts::PI,
            std::f64::consts::E,
            1.0,
            1.0,
            1.0,
            0.5,
            0.25,
        ],
    ] {
        let mut proportions = Proportions::new(&weights);
        for place in 1..=20_000_u32 {
            proportions.next();
            for (share, posed) in proportions.shares.iter().zip(&proportions.posed) {
                let owed = share * f64::from(place) - *posed as f64;
                assert!(owed.abs() < 1.0 + 1e-6, "{weights:?} at {place}: {owed}");
            }
        }
    }
    assert_eq!(mixture_shares(&[3.0, 1.0], 200), [150, 50]);
    assert_eq!(mixture_shares(&[1.0, 1.0, 1.0], 10), [4, 3, 3]);
}

#[test]
fn tasks_carry_their_entry_and_keep_their_order() {
    let mut source = mixture();
    let batch = source.next_batch(20, 0.0).unwrap();
    let of_entry = |name: &str| -> Vec<&Task> {
        let column = |task: &&Task| task.columns[MIXTURE_COLUMN] == name;
        batch.iter().filter(column).collect()
    };
    assert_eq!(
        [
            of_entry("sums").len(),
            of_entry("file").len(),
            of_entry("hard").len()
        ],
        [10, 6, 4]
    );
    let alone = JsonlSource::new(tasks(7), 2)
        .unwrap()
        .next_batch(6, 0.0)
        .unwrap();
    for (mixed, alone) in of_entry("file").iter().zip(alone) {
        assert_eq!(mixed.id, format!("file/{}", alone.id));
        assert_eq!(
            (&mixed.prompt, &mixed.answer),
            (&alone.prompt, &alone.answer)
        );
    }
}

#[test]
fn a_resumed_mixture_goes_on_as_an_uninterrupted_one() {
    let results = |batch: &[Task]| -> Vec<TaskResult> {
        let result = |task: &Task| TaskResult::new(&task.id, task.answer.len() * 3 % 5, 4);
        batch.iter().map(result).collect()
    };
    let mut whole = mixture();
    let mut stopped = mixture();
    for size in [3, 8, 1, 20, 11, 2, 30, 7] {
        let expected = whole.next_batch(size, 0.0).unwrap();
        assert_eq!(stopped.next_batch(size, 0.0).unwrap(), expected);
        whole.observe(&results(&expected));
        stopped.observe(&results(&expected));
        let saved = serde_json::to_string(&stopped.cursor()).unwrap();
        stopped = mixture();
        stopped
            .restore(&serde_json::from_str(&saved).unwrap())
            .unwrap();
        assert_eq!(stopped.cursor(), whole.cursor());
    }
}

#[test]
fn results_reach_the_entry_they_are_about() {
    let mut source = mixture();
    source.next_batch(20, 0.0).unwrap();
    let result = |id: &str| TaskResult::new(id, 1, 8);
    source.observe(&[result("hard/p/3"), result("file/p/3"), result("hardly/p/4")]);
    let state: MixtureState = source.cursor().read_state().unwrap();
    let evidence = state.entries["hard"].state["evidence"].as_object().unwrap();
    assert_eq!(evidence.keys().collect::<Vec<_>>(), ["p/3"]);
}

/// Fails at every other batch.
struct Moody {
    source: JsonlSource,
    fails: bool,
}

impl TaskSource for Moody {
    fn next_batch(&mut self, count: usize, progress: f64) -> Result<Vec<Task>, DatasetError> {
        self.fails = !self.fails;
        if self.fails {
            return Err(DatasetError::InvalidProgress { progress });
        }
        self.source.next_batch(count, progress)
    }

    fn cursor(&self) -> Cursor {
        self.source.cursor()
    }

    fn restore(&mut self, cursor: &Cursor) -> Result<(), DatasetError> {
        self.source.restore(cursor)
    }
}

#[test]
fn after_an_error_a_mixture_goes_on_as_if_not_asked() {
    let mixture = |fails: bool| {
        let moody = Moody {
            source: JsonlSource::new(tasks(5), 3).unwrap(),
            fails,
        };
        MixtureSource::new(vec![
            entry("a", 1.0, JsonlSource::new(tasks(5), 2).unwrap()),
            entry("b", 1.0, moody),
        ])
        .unwrap()
    };
    let (mut calm, mut moody) = (mixture(true), mixture(false));
    let expected = calm.next_batch(4, 0.0).unwrap();
    assert!(moody.next_batch(6, 0.0).is_err());
    // What was drawn of `a` survives a stop, too.
    let saved = serde_json::to_string(&moody.cursor()).unwrap();
    let mut resumed = mixture(true);
    resumed
        .restore(&serde_json::from_str(&saved).unwrap())
        .unwrap();
    assert_eq!(resumed.cursor(), moody.cursor());
    assert_eq!(resumed.next_batch(4, 0.0).unwrap(), expected);
    assert_eq!(moody.next_batch(4, 0.0).unwrap(), expected);
    assert!(moody.next_batch(4, 0.0).is_err());
    assert!(calm.next_batch(4, 0.0).is_err());
    assert_eq!(
        moody.next_batch(4, 0.0).unwrap(),
        calm.next_batch(4, 0.0).unwrap()
    );
    // All that was drawn has been handed out by now or is drawn again.
    assert_eq!(moody.proportions.posed, calm.proportions.posed);
}

#[test]
fn a_label_of_the_files_own_is_refused() {
    let mut reserved = tasks(2);
    for task in &mut reserved {
        task.columns
            .insert(MIXTURE_COLUMN.to_owned(), Value::from("x"));
    }
    let mut source = MixtureSource::new(vec![
        entry("a", 1.0, JsonlSource::new(tasks(5), 2).unwrap()),
        entry("b", 1.0, JsonlSource::new(reserved, 2).unwrap()),
    ])
    .unwrap();
    for _ in 0..2 {
        let error = source.next_batch(4, 0.0).unwrap_err().to_string();
        assert!(error.contains("column `mixture`"), "{error}");
    }
    assert_eq!(source.cursor().index, 0);
}

#[test]
fn a_foreign_place_is_refused_and_changes_nothing() {
    let mut two = MixtureSource::new(vec![
        entry("a", 1.0, JsonlSource::new(tasks(5), 2).unwrap()),
        entry("b", 1.0, JsonlSource::new(tasks(5), 2).unwrap()),
    ])
    .unwrap();
    let mut source = mixture();
    source.next_batch(5, 0.0).unwrap();
    let error = two.restore(&source.cursor()).unwrap_err().to_string();
    assert!(
        error.contains("[file, hard, sums], and the config has [a, b]"),
        "{error}"
    );
    let before = source.cursor();
    let mut state: MixtureState = before.read_state().unwrap();
    state
        .entries
        .insert("hard".to_owned(), Cursor::at("a file", 0, 3));
    let error = source
        .restore(&before.clone().with_state(&state))
        .unwrap_err()
        .to_string();
    let expected = "entry hard: the saved place in the data is one in a file, which is no place in a file with a curriculum";
    assert!(error.contains(expected), "{error}");
    assert_eq!(source.cursor(), before);
    let error = source
        .restore(&Cursor::at("a generator", 0, 3))
        .unwrap_err();
    let expected =
        "the saved place in the data is one in a generator, which is no place in a mixture";
    assert!(error.to_string().starts_with(expected), "{error}");
}

#[test]
fn bad_entries_are_named() {
    let cases: [(&[(&str, f64)], &str); 6] = [
        (&[], "mixture is []: expected at least one entry"),
        (
            &[("a", 1.0), ("b/c", 1.0)],
            r#"mixture.1.name is "b/c": expected letters, digits, - and _"#,
        ),
        (
            &[("a", 1.0), ("b", 1.0), ("a", 1.0)],
            r#"mixture.2.name is "a": expected another name than that of mixture.0"#,
        ),
        (
            &[("a", 0.0)],
            "mixture.0.weight is 0: expected above 0, at most 1000000",
        ),
        (
            &[("a", 1.0), ("b", f64::NAN)],
            "mixture.1.weight is NaN: expected above 0, at most 1000000",
        ),
        (
            &[("a", 1e-3), ("b", 1e4)],
            "mixture.0.weight is 0.001: expected at least a millionth of the largest, 10000",
        ),
    ];
    for (entries, expected) in cases {
        assert_eq!(check_entries(entries).unwrap_err().to_string(), expected);
    }
}
