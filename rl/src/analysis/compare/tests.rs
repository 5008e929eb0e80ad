//! Comparisons of measurements that are made up.

use super::*;
use crate::eval::Verdicts;

fn measured(asked: Asked, right: impl Fn(usize) -> bool, count: usize) -> Measured {
    let verdicts: Verdicts = (0..count).map(|index| Some(right(index))).collect();
    Measured {
        step: Some(10),
        asked,
        greedy: verdicts.items(),
        sampled: Vec::new(),
    }
}

fn source(name: &str, config: &str, measured: Option<Measured>, rewards: &[f64]) -> Source {
    let line = |(step, reward): (usize, &f64)| {
        let line = serde_json::json!({"step": step + 1, "reward_mean": reward});
        line.as_object().cloned().unwrap()
    };
    Source {
        name: name.to_owned(),
        kind: Kind::Run,
        config: Some(toml::from_str(config).unwrap()),
        metrics: rewards.iter().enumerate().map(line).collect(),
        evaluations: Vec::new(),
        measured,
    }
}

fn set(name: &str) -> Asked {
    Asked::Set(name.to_owned())
}

#[test]
fn the_same_problems_are_compared_in_pairs() {
    let rewards: Vec<f64> = (0..100).map(|step| f64::from(step) / 100.0).collect();
    let config = "seed = 1\n[[stages]]\nkind = \"grpo\"\nlearning_rate = 0.1\n";
    let other = "seed = 2\n[[stages]]\nkind = \"grpo\"\nlearning_rate = 0.1\nbeta = 0.5\n";
    let sources = [
        source(
            "a",
            config,
            Some(measured(set("x"), |i| i < 100, 200)),
            &rewards,
        ),
        source(
            "b",
            other,
            Some(measured(set("x"), |i| i < 112, 200)),
            &rewards,
        ),
        source("c", config, Some(measured(set("y"), |i| i < 112, 200)), &[]),
        source(
            "d",
            config,
            Some(measured(set("x"), |i| i % 2 == 0, 200)),
            &[],
        ),
    ];
    let found = compare(&sources);
    assert_eq!(found.config.len(), 2);
    assert_eq!(
        found.config["seed"],
        ["1", "2", "1", "1"].map(|text| Some(text.to_owned()))
    );
    assert_eq!(
        found.config["stages.0.beta"][..2],
        [None, Some("0.5".to_owned())]
    );

    let [b, c, d] = &found.against_first[..] else {
        panic!("three against the first");
    };
    let greedy = &b.differences[0];
    assert_eq!(
        (greedy.figure, greedy.method),
        (Figure::Greedy, Method::Paired)
    );
    assert_eq!((greedy.only_first, greedy.only_second), (Some(0), Some(12)));
    assert!((greedy.difference - 0.06).abs() < 1e-12);
    assert!((greedy.p_value.unwrap() - 2.0 / 4096.0).abs() < 1e-12);
    assert!(greedy.beyond_noise);
    // The last tenth: ten steps, and the same in both.
    let reward = &b.differences[1];
    assert_eq!(
        (reward.method, reward.beyond_noise),
        (Method::Blocks, false)
    );
    assert_eq!(found.sources[0].reward_steps, 10);
    assert!((found.sources[0].reward.unwrap().value - 0.945).abs() < 1e-9);

    // As many right answers to other problems could be chance, and so could as many different ones.
    assert_eq!(c.differences.len(), 1);
    assert_eq!(c.differences[0].method, Method::TwoSample);
    assert!(!c.differences[0].beyond_noise && c.differences[0].p_value.is_none());
    assert_eq!(d.differences[0].p_value, Some(1.0));
    assert!(!d.differences[0].beyond_noise);

    let text = super::super::table::text(&found);
    for part in [
        "A  a\n",
        "greedy accuracy   50.0 %",
        "stages.0.beta   A –   B 0.5",
        "B against A",
        "+6.0 points",
        "0 right in A only, 12 here only, p = 4.88e-4: more than noise",
        "may be noise",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn details_are_paired_by_name_and_what_has_no_verdict_is_left_out() {
    let named = |names: &[&str]| {
        let pair = |name: &&str| ((*name).to_owned(), "1".to_owned());
        Asked::Problems(names.iter().map(pair).collect())
    };
    let mut a = measured(named(&["p", "q", "r"]), |i| i == 0, 3);
    let b = measured(named(&["r", "p", "s"]), |_| true, 3);
    let differences = |a: &Measured, b: &Measured| {
        let sources = [
            source("a", "", Some(a.clone()), &[]),
            source("b", "", Some(b.clone()), &[]),
        ];
        compare(&sources).against_first[0].differences.clone()
    };
    let greedy = &differences(&a, &b)[0];
    assert_eq!((greedy.pairs, greedy.only_second), (Some(2), Some(1)));
    a.greedy[2] = (0.0, 0.0);
    let greedy = &differences(&a, &b)[0];
    assert_eq!((greedy.pairs, greedy.only_second), (Some(1), Some(0)));
    // No problem in common, and nothing measured at all.
    let c = measured(named(&["x"]), |_| true, 1);
    assert_eq!(differences(&a, &c)[0].method, Method::TwoSample);
    let nothing = [source("a", "", None, &[]), source("b", "", None, &[])];
    assert!(compare(&nothing).against_first[0].differences.is_empty());
}
