use super::*;
use crate::generators::{ChainSumConfig, Generator, GeneratorConfig};
use crate::source::TaskSource;
use crate::task::{Prompt, Task};

fn tasks(count: usize) -> Vec<Task> {
    let task = |number: usize| Task {
        id: format!("p{number}"),
        prompt: Prompt::Text(format!("{number}=")),
        answer: number.to_string(),
        columns: Default::default(),
    };
    (0..count).map(task).collect()
}

fn problems(count: usize, config: PassRateConfig) -> ProblemSource {
    ProblemSource::new(tasks(count), &config, 5).unwrap()
}

fn levels(config: PassRateConfig) -> LevelSource {
    let generator = GeneratorConfig::ChainSum(ChainSumConfig::default());
    LevelSource::new(Generator::from_config(&generator).unwrap(), &config, 5).unwrap()
}

fn result(id: &str, passed: usize, judged: usize) -> TaskResult {
    TaskResult {
        id: id.to_owned(),
        passed,
        judged,
    }
}

fn ids(batch: &[Task]) -> Vec<String> {
    batch.iter().map(|task| task.id.clone()).collect()
}

/// Results that depend on the problem alone: number `k` is answered right `k mod 9` times of 8.
fn results(batch: &[Task]) -> Vec<TaskResult> {
    let passed = |task: &Task| task.prompt.problem_text().len() * 5 + task.answer.len() * 7;
    batch
        .iter()
        .map(|task| result(&task.id, passed(task) % 9, 8))
        .collect()
}

#[test]
fn weights_follow_the_formula() {
    let config = PassRateConfig::default();
    let weight = |passed, judged| {
        let mut evidence = Evidence::default();
        evidence.add(passed, judged, 32);
        config.weight(evidence)
    };
    // The estimates are 1/2, 1/10, 9/10 and 3/10.
    assert_eq!(weight(0, 0), 1.0);
    for (passed, shape) in [(0, 0.36), (8, 0.36), (2, 0.84), (4, 1.0)] {
        let expected = 0.1 + 0.9 * shape;
        assert!(
            (weight(passed, 8) - expected).abs() < 1e-12,
            "{passed} of 8"
        );
    }
    // Any other target is where its weight is largest.
    let config = PassRateConfig {
        target: 0.3,
        ..config
    };
    let weight = |passed| {
        let mut evidence = Evidence::default();
        evidence.add(passed, 1000, 1000);
        config.weight(evidence)
    };
    let best = (0..=1000)
        .max_by(|a, b| weight(*a).total_cmp(&weight(*b)))
        .unwrap();
    assert_eq!(best, 300);
    assert!(weight(0) < 0.2 && weight(1000) < 0.2 && weight(0) >= config.floor);
}

#[test]
fn evidence_fades_and_is_bounded() {
    let mut evidence = Evidence::default();
    for _ in 0..100 {
        evidence.add(8, 8, 32);
    }
    assert_eq!(evidence.judged_thousandths, 32_000);
    assert_eq!(evidence.passed_thousandths, 32_000);
    for _ in 0..100 {
        evidence.add(0, 8, 32);
    }
    // Three quarters are kept each time, so after 100 visits nothing is left of the past.
    assert_eq!(
        (evidence.passed_thousandths, evidence.judged_thousandths),
        (0, 32_000)
    );
    // More at once than fits keeps its share.
    evidence.add(30, 60, 32);
    assert_eq!(
        (evidence.passed_thousandths, evidence.judged_thousandths),
        (16_000, 32_000)
    );
}

#[test]
fn every_problem_is_posed_once_before_one_comes_back() {
    let mut source = problems(50, PassRateConfig::default());
    let mut seen = Vec::new();
    for _ in 0..5 {
        let batch = source.next_batch(10, 0.0).unwrap();
        seen.extend(ids(&batch));
        source.observe(&results(&batch));
    }
    assert_ne!(seen, ids(&tasks(50)), "the order is seeded");
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 50);
    // No batch has a problem twice, unless there are fewer problems.
    for _ in 0..50 {
        let mut batch = ids(&source.next_batch(40, 0.0).unwrap());
        batch.sort();
        batch.dedup();
        assert_eq!(batch.len(), 40);
    }
    assert_eq!(
        problems(3, PassRateConfig::default())
            .next_batch(10, 0.0)
            .unwrap()
            .len(),
        10
    );
}

#[test]
fn draws_follow_the_weights_and_leave_nobody_out() {
    let config = PassRateConfig::default();
    let mut source = problems(10, config.clone());
    source.next_batch(10, 0.0).unwrap();
    // Problems 0 to 3 are never answered right, 4 and 5 always, the others half the time.
    let rate = |number: usize| [0, 0, 0, 0, 32, 32, 16, 16, 16, 16][number];
    let seen: Vec<TaskResult> = (0..10)
        .map(|n| result(&format!("p{n}"), rate(n), 32))
        .collect();
    source.observe(&seen);
    let mut counts = [0_u32; 10];
    let draws = 40_000_u32;
    for _ in 0..draws {
        let id = source.next_batch(1, 0.0).unwrap().remove(0).id;
        counts[id[1..].parse::<usize>().unwrap()] += 1;
    }
    let weight = |number: usize| {
        config.weight(Evidence {
            passed_thousandths: rate(number) as u64 * THOUSAND,
            judged_thousandths: 32 * THOUSAND,
        })
    };
    let total: f64 = (0..10).map(weight).sum();
    for (number, count) in counts.iter().enumerate() {
        let share = weight(number) / total;
        let expected = f64::from(draws) * share;
        // A binomial count; five standard deviations are exceeded with a chance of 6e-7 by each of ten.
        let bound = 5.0 * (expected * (1.0 - share)).sqrt();
        assert!(
            (f64::from(*count) - expected).abs() < bound,
            "{number}: {counts:?}, {expected}"
        );
        assert!(share >= config.floor / 10.0);
    }
    // What is half right is drawn about five times as often as what is never or always right.
    assert!(
        counts[6] > 4 * counts[0] && counts[6] > 4 * counts[4],
        "{counts:?}"
    );
}

#[test]
fn fresh_problems_take_the_share_they_are_given() {
    let config = PassRateConfig {
        fresh: 0.25,
        ..Default::default()
    };
    let mut source = problems(4_000, config);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..8_000 {
        seen.insert(source.next_batch(1, 0.0).unwrap().remove(0).id);
    }
    // 2000 are expected with a deviation of 39.
    assert!(seen.len().abs_diff(2_000) < 195, "{}", seen.len());
}

#[test]
fn levels_are_drawn_by_their_rates() {
    let mut source = levels(PassRateConfig::default());
    let batch = source.next_batch(3, 0.0).unwrap();
    let level = |task: &Task| task.id.rsplit_once('@').unwrap().1.to_owned();
    let first: Vec<String> = batch.iter().map(level).collect();
    assert_eq!(first, ["terms-3", "terms-4", "terms-5"]);
    for (task, terms) in batch.iter().zip(3..) {
        assert_eq!(task.columns["terms"].as_array().unwrap().len(), terms);
    }
    // Sums of three are always right by now, of five never: four terms teach.
    for _ in 0..4 {
        source.observe(&[
            result("chain-sum-train-0@terms-3", 8, 8),
            result("chain-sum-train-1@terms-4", 4, 8),
            result("chain-sum-train-2@terms-5", 0, 8),
            result("chain-sum-train-3@terms-6", 4, 8),
            result("somebody-else", 4, 8),
        ]);
    }
    let mut counts = BTreeMap::new();
    for task in source.next_batch(10_000, 0.0).unwrap() {
        *counts.entry(level(&task)).or_insert(0_u32) += 1;
    }
    // Weights 0.203, 1 and 0.203: 7113 are expected of four terms with a deviation of 45.
    assert!(counts["terms-4"].abs_diff(7_113) < 225, "{counts:?}");
    assert_eq!(counts.len(), 3);
}

/// A source that is saved and made again after every batch, against one that goes on.
fn resumes(mut make: impl FnMut() -> Box<dyn TaskSource>) {
    let mut whole = make();
    let mut stopped = make();
    for size in [1, 7, 3, 16, 5, 5, 30, 2, 9, 11] {
        let expected = whole.next_batch(size, 0.0).unwrap();
        assert_eq!(stopped.next_batch(size, 0.0).unwrap(), expected);
        whole.observe(&results(&expected));
        stopped.observe(&results(&expected));
        let saved = serde_json::to_string(&stopped.cursor()).unwrap();
        stopped = make();
        stopped
            .restore(&serde_json::from_str(&saved).unwrap())
            .unwrap();
        assert_eq!(stopped.cursor(), whole.cursor());
    }
}

#[test]
fn a_resumed_curriculum_goes_on_as_an_uninterrupted_one() {
    let config = || PassRateConfig {
        fresh: 0.6,
        target: 0.4,
        memory: 20,
        ..Default::default()
    };
    resumes(|| Box::new(problems(40, config())));
    resumes(|| Box::new(levels(config())));
}

#[test]
fn results_change_what_comes_next_and_their_order_does_not() {
    let run = |reversed: bool, learn: bool| {
        let mut source = problems(30, PassRateConfig::default());
        let mut all = Vec::new();
        for _ in 0..20 {
            let batch = source.next_batch(6, 0.0).unwrap();
            all.extend(ids(&batch));
            let mut results = results(&batch);
            if reversed {
                results.reverse();
            }
            if learn {
                source.observe(&results);
            }
        }
        all
    };
    assert_eq!(run(false, true), run(true, true));
    assert_ne!(run(false, true), run(false, false));
}

#[test]
fn what_does_not_fit_is_refused_and_changes_nothing() {
    let mut source = problems(5, PassRateConfig::default());
    source.next_batch(3, 0.0).unwrap();
    let before = source.cursor();
    let mut larger = problems(9, PassRateConfig::default());
    let batch = larger.next_batch(9, 0.0).unwrap();
    let posed = larger.cursor();
    larger.observe(&[result("p8", 1, 2)]);
    let mut unknown = larger.cursor();
    unknown.state["introduced"] = 5.into();
    let mut too_much = before.clone();
    too_much.state["evidence"]["p0"] =
        serde_json::json!({"passed_thousandths": 1, "judged_thousandths": 33_000});
    for (cursor, reason) in [
        (posed, "9 items posed"),
        (unknown, "\"p8\" is no item of it"),
        (too_much, "memory = 32"),
        (
            Cursor::at("a file", 0, 3),
            "one in a file, which is no place in a file with a curriculum",
        ),
    ] {
        let error = source.restore(&cursor).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert_eq!(source.cursor(), before);
    }
    let mut plain = crate::JsonlSource::new(batch, 1).unwrap();
    let error = plain.restore(&before).unwrap_err().to_string();
    assert!(
        error.contains("one in a file with a curriculum, which is no place in a file"),
        "{error}"
    );
}

#[test]
fn bad_settings_are_named() {
    let default = PassRateConfig::default;
    let cases = [
        (
            PassRateConfig {
                target: 1.0,
                ..default()
            },
            "target is 1: expected above 0, below 1",
        ),
        (
            PassRateConfig {
                floor: 0.0,
                ..default()
            },
            "floor is 0: expected above 0, at most 1",
        ),
        (
            PassRateConfig {
                fresh: f64::NAN,
                ..default()
            },
            "fresh is NaN: expected above 0, at most 1",
        ),
        (
            PassRateConfig {
                prior: 0.0,
                ..default()
            },
            "prior is 0: expected above 0, at most 1000",
        ),
        (
            PassRateConfig {
                memory: 0,
                ..default()
            },
            "memory is 0: expected from 1 to 1000000",
        ),
    ];
    for (config, expected) in cases {
        let error = ProblemSource::new(tasks(3), &config, 1).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let twice = [tasks(2), tasks(1)].concat();
    let error = ProblemSource::new(twice, &default(), 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a task's id is p0: expected an id that no other task has"
    );
    let one = GeneratorConfig::ChainSum(ChainSumConfig {
        terms_min: 4,
        terms_max: 4,
        ..Default::default()
    });
    let generator = Generator::from_config(&one).unwrap();
    let error = LevelSource::new(generator, &default(), 1).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the number of levels of chain-sum is 1"),
        "{error}"
    );
}

/// The draws of a curriculum by adding up all weights at each, as its formulas say.
struct Straightforward {
    config: PassRateConfig,
    seed: u64,
    order: Vec<usize>,
    drawn: u64,
    introduced: usize,
    evidence: Vec<Evidence>,
}

impl Straightforward {
    fn draw(&mut self, taken: &mut [bool]) -> usize {
        let mut rng = rng(derive_seed(self.seed, &[DRAW, self.drawn]));
        self.drawn += 1;
        let fresh = self.order.get(self.introduced).copied();
        let mut known = self.order[..self.introduced].to_vec();
        known.sort_unstable();
        let any_left = known.iter().any(|&item| !taken[item]);
        if let Some(item) = fresh
            && (!any_left || rng.random_bool(self.config.fresh))
        {
            self.introduced += 1;
            return item;
        }
        if !any_left {
            taken.fill(false);
        }
        let left = || known.iter().copied().filter(|&item| !taken[item]);
        let weight = |item: usize| self.config.weight(self.evidence[item]);
        let total: f64 = left().map(weight).sum();
        let mut place = rng.random::<f64>() * total;
        for item in left() {
            place -= weight(item);
            if place < 0.0 {
                return item;
            }
        }
        left().next_back().unwrap()
    }
}

#[test]
fn the_tree_draws_what_adding_up_draws() {
    for (count, batch, fresh) in [(3, 7, 1.0), (40, 16, 0.3), (300, 32, 0.7), (1_000, 64, 0.9)] {
        let config = PassRateConfig {
            fresh,
            ..Default::default()
        };
        let mut source = problems(count, config.clone());
        let mut slow = Straightforward {
            seed: 5,
            order: crate::seed::shuffled(count, 5, 0),
            config,
            drawn: 0,
            introduced: 0,
            evidence: vec![Evidence::default(); count],
        };
        for round in 0..100 {
            let mut taken = vec![false; count];
            let expected: Vec<String> = (0..batch)
                .map(|_| {
                    let item = slow.draw(&mut taken);
                    taken[item] = true;
                    format!("p{item}")
                })
                .collect();
            let drawn = source.next_batch(batch, 0.0).unwrap();
            assert_eq!(ids(&drawn), expected, "{count}, round {round}");
            for result in results(&drawn) {
                let item: usize = result.id[1..].parse().unwrap();
                let (passed, judged) = (result.passed as u64, result.judged as u64);
                slow.evidence[item].add(passed, judged, slow.config.memory);
                source.observe(&[result]);
            }
        }
    }
}
