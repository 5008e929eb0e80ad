use super::*;
use crate::RubricConfig;
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
    let task = Task {
        id: "t7".to_owned(),
        prompt: Prompt::Text("3+5=".to_owned()),
        answer: "8".to_owned(),
        columns: Default::default(),
    };
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

#[test]
fn a_component_judges_only_the_entries_it_is_for() {
    let text = r#"{
        "components": [{"kind": "exact"}, {"kind": "code"}, {"kind": "format", "weight": 0.1}],
        "applies_to": {"exact": ["sums", "more"], "code": ["programs"]}
    }"#;
    let rubric = Rubric::from_config(&config(text).unwrap()).unwrap();
    let task = |entry: Option<&str>| Task {
        id: "t7".to_owned(),
        prompt: Prompt::Text("3+5=".to_owned()),
        answer: "8".to_owned(),
        columns: entry
            .map(|entry| (MIXTURE_COLUMN.to_owned(), entry.into()))
            .into_iter()
            .collect(),
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
