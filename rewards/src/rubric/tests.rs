use super::*;
use crate::{Fault, GroupReward, Reward, RubricConfig};
use dunwu_datasets::{Prompt, Task};

/// A judge that says what it is told to.
struct Fixed(&'static str, Result<Option<f64>, ()>);

impl Reward for Fixed {
    fn name(&self) -> &str {
        self.0
    }

    fn score(&self, sample: &Sample) -> Result<Option<f64>, RewardError> {
        self.1
            .map_err(|()| RewardError::judge(sample, self.0, "broken"))
    }
}

fn rubric(judges: Vec<(f64, Fixed)>, total: Option<&str>) -> Result<Rubric, RubricError> {
    let components = judges
        .into_iter()
        .map(|(weight, judge)| Component::new(Box::new(judge)).with_weight(weight))
        .collect();
    Rubric::new(components, total)
}

fn score(rubric: &Rubric, completion: &str) -> Result<RewardOutcome, RewardError> {
    let task = Task::new("t7", Prompt::Text("3+5=".to_owned()), "8");
    rubric.score(&Sample {
        task: &task,
        completion,
        truncated: false,
        completion_tokens: 90,
    })
}

fn config(text: &str) -> Result<RubricConfig, serde_json::Error> {
    serde_json::from_str(text)
}

#[test]
fn a_config_becomes_a_rubric() {
    let text = r#"{"components": [
        {"kind": "exact"},
        {"kind": "format", "weight": 0.5, "name": "shape"},
        {"kind": "length", "max_tokens": 100, "buffer_tokens": 20, "weight": 0.1}
    ]}"#;
    let rubric = Rubric::from_config(&config(text).unwrap()).unwrap();
    assert_eq!(rubric.component_names(), ["exact", "shape", "length"]);
    let outcome = score(&rubric, "<think>3+5=8</think><answer>8</answer>").unwrap();
    assert!((outcome.total - 1.45).abs() < 1e-12, "{}", outcome.total);
    let components = [("exact", 1.0), ("shape", 1.0), ("length", -0.5)];
    assert_eq!(
        outcome.components,
        components.map(|(name, score)| (name.to_owned(), Some(score)))
    );
}

#[test]
fn configs_are_strict() {
    for text in [
        r#"{"components": [{"kind": "exact", "wieght": 2.0}]}"#,
        r#"{"components": [{"kind": "exakt"}]}"#,
        r#"{"components": [{"kind": "format", "max_tokens": 3}]}"#,
        r#"{"components": [{"kind": "length", "max_tokens": 3}]}"#,
        r#"{"components": [], "totals": "1"}"#,
        r#"{"total": "1"}"#,
    ] {
        assert!(config(text).is_err(), "{text}");
    }
}

#[test]
fn a_config_survives_json() {
    let text = r#"{"total":"exact","components":[{"kind":"exact","weight":1.0,"extraction":["answer-tag"],"correct":1.0,"wrong":0.0}]}"#;
    assert_eq!(serde_json::to_string(&config(text).unwrap()).unwrap(), text);
}

#[test]
fn bad_rubrics_say_why() {
    let cases = [
        (r#"{"components": []}"#, "the rubric has no components"),
        (
            r#"{"components": [{"kind": "exact"}, {"kind": "exact"}]}"#,
            "two components are named exact; give one of them another `name`",
        ),
        (
            r#"{"components": [{"kind": "exact", "extraction": []}]}"#,
            "component exact: extraction is []: expected at least one",
        ),
        (
            r#"{"total": "exact", "components": [{"kind": "exact", "weight": 2.0}]}"#,
            "component exact: weight is 2, but weights are not used with `total`; write it into the formula",
        ),
        (
            r#"{"total": "1/exact", "components": [{"kind": "exact"}]}"#,
            "total \"1/exact\" gives inf for exact = 0",
        ),
        (
            r#"{"total": "exact > 0", "components": [{"kind": "exact"}]}"#,
            "total \"exact > 0\" gives false, which is not a number for exact = 0",
        ),
    ];
    for (text, expected) in cases {
        let error = Rubric::from_config(&config(text).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    for name in ["", "min", "total", "1st", "a-b", "größe"] {
        let text = format!(r#"{{"components": [{{"kind": "exact", "name": "{name}"}}]}}"#);
        let error = Rubric::from_config(&config(&text).unwrap()).unwrap_err();
        assert!(matches!(error, RubricError::InvalidName { .. }), "{error}");
    }
    let error = rubric(vec![(f64::NAN, Fixed("a", Ok(None)))], None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "component a: weight is NaN: expected a finite number"
    );
}

#[test]
fn a_formula_may_divide_where_it_looks_first() {
    let text = r#"{"total": "if(format > 0, exact / format, 0)", "components": [{"kind": "exact"}, {"kind": "format"}]}"#;
    let rubric = Rubric::from_config(&config(text).unwrap()).unwrap();
    assert_eq!(score(&rubric, "8").unwrap().total, 0.0);
    assert_eq!(
        score(&rubric, "<think></think><answer>8</answer>")
            .unwrap()
            .total,
        1.0
    );
}

#[test]
fn components_that_do_not_apply_are_left_out() {
    let judges = || {
        vec![
            (1.0, Fixed("a", Ok(Some(2.0)))),
            (1.0, Fixed("b", Ok(None))),
        ]
    };
    let outcome = score(&rubric(judges(), None).unwrap(), "").unwrap();
    assert_eq!(outcome.total, 2.0);
    assert_eq!(outcome.components[1], ("b".to_owned(), None));
    assert_eq!(
        score(&rubric(judges(), Some("3 * a")).unwrap(), "")
            .unwrap()
            .total,
        6.0
    );

    let error = score(&rubric(judges(), Some("a + b")).unwrap(), "").unwrap_err();
    assert_eq!(
        error.to_string(),
        "task t7: the total reads b, which does not apply"
    );
    let none = rubric(vec![(1.0, Fixed("b", Ok(None)))], None).unwrap();
    assert!(matches!(
        score(&none, ""),
        Err(RewardError::NothingApplies { .. })
    ));
}

#[test]
fn failures_are_never_scores() {
    let broken = rubric(vec![(0.0, Fixed("a", Err(())))], None).unwrap();
    assert_eq!(
        score(&broken, "").unwrap_err().to_string(),
        "task t7: a: broken"
    );

    let nan = rubric(vec![(1.0, Fixed("a", Ok(Some(f64::NAN))))], None).unwrap();
    assert_eq!(
        score(&nan, "").unwrap_err().to_string(),
        "task t7: a is NaN, not a finite number"
    );

    // 3 is no typical score of the judge, so only scoring finds the division by zero.
    let late = rubric(vec![(1.0, Fixed("a", Ok(Some(3.0))))], Some("1 / (a - 3)")).unwrap();
    assert_eq!(
        score(&late, "").unwrap_err().to_string(),
        "task t7: total is inf, not a finite number"
    );
}

#[cfg(feature = "code")]
#[test]
fn a_component_judges_only_the_entries_it_is_for() {
    let text = r#"{
        "components": [{"kind": "exact"}, {"kind": "code"}, {"kind": "format", "weight": 0.1}],
        "applies_to": {"exact": ["sums", "more"], "code": ["programs"]}
    }"#;
    let rubric = Rubric::from_config(&config(text).unwrap()).unwrap();
    let task = |entry: Option<&str>| {
        Task::new("t7", Prompt::Text("3+5=".to_owned()), "8").with_columns(
            entry
                .map(|entry| (MIXTURE_COLUMN.to_owned(), entry.into()))
                .into_iter()
                .collect(),
        )
    };
    let (sums, other, none) = (task(Some("sums")), task(Some("words")), task(None));
    let sample = |task| Sample {
        task,
        completion: "<think></think><answer>8</answer>",
        truncated: false,
        completion_tokens: 9,
    };
    // The task has no tests, so `code` would fail if it were asked.
    let right = rubric.score(&sample(&sums)).unwrap();
    let component = |name: &str, score| (name.to_owned(), score);
    let expected = [
        component("exact", Some(1.0)),
        component("code", None),
        component("format", Some(1.0)),
    ];
    assert_eq!(right.components, expected);
    assert_eq!(right.total, 1.1);
    let batch = rubric.score_batch(&[sample(&other), sample(&sums), sample(&none)]);
    let totals: Vec<f64> = batch
        .into_iter()
        .map(|outcome| outcome.unwrap().total)
        .collect();
    assert_eq!(totals, [0.1, 1.1, 0.1]);
    let said = rubric.inspect(&sample(&none));
    assert!(matches!(said[0], ("exact", Ok(None))), "{said:?}");
}

#[test]
fn applies_to_names_components_that_are_there() {
    for (applies_to, expected) in [
        (
            r#"{"maths": ["sums"]}"#,
            "applies_to.maths: no such component; there are: exact",
        ),
        (
            r#"{"exact": []}"#,
            "applies_to.exact: an empty list: the component would judge nothing",
        ),
    ] {
        let text =
            format!(r#"{{"components": [{{"kind": "exact"}}], "applies_to": {applies_to}}}"#);
        let error = Rubric::from_config(&config(&text).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

/// Panics over one completion, and gives others their length.
struct Brittle {
    batches: bool,
}

impl Reward for Brittle {
    fn name(&self) -> &str {
        "brittle"
    }

    fn score(&self, sample: &Sample) -> Result<Option<f64>, RewardError> {
        assert!(sample.completion != "mine", "stepped on it");
        Ok(Some(sample.completion.len() as f64))
    }

    fn takes_batches(&self) -> bool {
        self.batches
    }
}

#[test]
fn a_panic_is_an_error_that_names_the_component() {
    let task = Task::new("t7", Prompt::Text("?".to_owned()), "8");
    let samples = ["a", "mine", "ccc"].map(|completion| Sample::new(&task, completion));
    for batches in [false, true] {
        let component = Component::new(Box::new(Brittle { batches }));
        let rubric = Rubric::new(vec![component], None).unwrap();
        let error = rubric.score(&samples[1]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "task t7: brittle panicked: stepped on it"
        );
        assert_eq!(error.fault(), Fault::Host);
        let said = rubric.score_batch(&samples);
        // Alone, the others have their scores; a batch is one question.
        let scored: Vec<bool> = said.iter().map(Result::is_ok).collect();
        assert_eq!(
            scored,
            if batches {
                [false; 3]
            } else {
                [true, false, true]
            }
        );
        assert_eq!(rubric.score(&samples[2]).unwrap().total, 3.0);
    }
}

/// How much longer a completion is than the shortest of its group.
struct Longer {
    seen: std::sync::Mutex<Vec<Vec<String>>>,
    forgets_one: bool,
}

impl GroupReward for Longer {
    fn name(&self) -> &str {
        "longer"
    }

    fn score_group(&self, samples: &[Sample], _attempt: &Attempt) -> Vec<Verdict> {
        let texts = samples.iter().map(|sample| sample.completion.to_owned());
        self.seen.lock().unwrap().push(texts.collect());
        let lengths = samples.iter().map(|sample| sample.completion.len());
        let least = lengths.clone().min().unwrap_or(0);
        lengths
            .skip(usize::from(self.forgets_one))
            .map(|length| Ok(Some(Score::new((length - least) as f64))))
            .collect()
    }
}

#[test]
fn a_judge_of_groups_sees_the_whole_group_in_its_order() {
    let group = |forgets_one| {
        let longer = Longer {
            seen: Default::default(),
            forgets_one,
        };
        let components = vec![
            Component::of_group(Box::new(longer)).with_weight(10.0),
            Component::new(Box::new(Fixed("a", Ok(Some(1.0))))),
        ];
        Rubric::new(components, None).unwrap()
    };
    let rubric = group(false);
    assert!(rubric.needs_groups() && rubric.takes_batches());
    let task = Task::new("t7", Prompt::Text("?".to_owned()), "8");
    let samples = ["ccc", "a", "bb", "dddd"].map(|completion| Sample::new(&task, completion));
    let totals = |rubric: &Rubric| -> Vec<f64> {
        let said = rubric.score_group(&samples);
        said.into_iter().map(|said| said.unwrap().total).collect()
    };
    assert_eq!(totals(&rubric), [21.0, 1.0, 11.0, 31.0]);
    assert_eq!(totals(&rubric), [21.0, 1.0, 11.0, 31.0]);

    // One alone is no group, and neither is a batch that happened to come together.
    let errors = [
        rubric.score(&samples[0]).unwrap_err(),
        rubric.score_batch(&samples[..2]).remove(1).unwrap_err(),
    ];
    for error in errors {
        let expected = "task t7: longer compares the completions of a task with each other";
        assert!(error.to_string().starts_with(expected), "{error}");
    }
    for said in group(true).score_group(&samples) {
        let error = said.unwrap_err().to_string();
        assert_eq!(error, "task t7: longer: 3 scores for 4 samples");
    }
}

/// Needs something that is slow to make.
struct Needy(&'static str, Result<(), &'static str>);

impl Reward for Needy {
    fn name(&self) -> &str {
        self.0
    }

    fn score(&self, _sample: &Sample) -> Result<Option<f64>, RewardError> {
        Ok(Some(1.0))
    }

    fn prepare(&self, report: &mut dyn FnMut(Preparation)) -> Result<(), PrepareError> {
        report(Preparation::new(format!("making {}", self.0), 0, 1));
        self.1.map_err(|reason| PrepareError::new(self.0, reason))
    }
}

#[test]
fn every_judge_is_made_ready_and_failures_name_it() {
    let prepared = |second: Result<(), &'static str>| {
        let judges = [Needy("a", Ok(())), Needy("b", second), Needy("c", Ok(()))];
        let components = judges.map(|judge| Component::new(Box::new(judge)));
        let rubric = Rubric::new(components.into(), None).unwrap();
        let mut said = Vec::new();
        let result = rubric.prepare(&mut |done| said.push(done.what));
        (said, result.map_err(|error| error.to_string()))
    };
    let (said, result) = prepared(Ok(()));
    assert_eq!(said, ["making a", "making b", "making c"]);
    assert_eq!(result, Ok(()));
    let (_, result) = prepared(Err("the disk is full"));
    let expected = "component b cannot be made ready: the disk is full";
    assert_eq!(result, Err(expected.to_owned()));
}

/// Says whether anybody still waited when it was asked.
struct Patient;

impl Reward for Patient {
    fn name(&self) -> &str {
        "patient"
    }

    fn score(&self, _sample: &Sample) -> Result<Option<f64>, RewardError> {
        Ok(Some(-1.0))
    }

    fn score_in_parts(&self, _sample: &Sample, attempt: &Attempt) -> Verdict {
        Ok(Some(Score::new(f64::from(u8::from(attempt.is_over())))))
    }
}

#[test]
fn a_judge_learns_that_nobody_waits_any_more() {
    let rubric = Rubric::new(vec![Component::new(Box::new(Patient))], None).unwrap();
    let task = Task::new("t7", Prompt::Text("?".to_owned()), "8");
    let sample = Sample::new(&task, "8");
    let attempt = Attempt::unlimited();
    let asked = || {
        let alone = rubric.score_within(&sample, &attempt).unwrap().total;
        let group = rubric.score_group_within(&[sample, sample], &attempt);
        let group: Vec<f64> = group.into_iter().map(|said| said.unwrap().total).collect();
        (alone, group)
    };
    assert_eq!(asked(), (0.0, vec![0.0, 0.0]));
    attempt.cancel();
    assert_eq!(asked(), (1.0, vec![1.0, 1.0]));
}
