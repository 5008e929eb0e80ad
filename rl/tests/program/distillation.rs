//! Distillation by the program: a tiny student of a tiny teacher, killed and resumed, and what is refused.

use std::{fs, path::Path};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    config,
    exactness::{killed, owned},
    fails, json_lines, succeeds, train,
};

/// configs/distill.toml, far smaller.
const STUDENT: &[&str] = &[
    "model.hidden_size=8",
    "model.intermediate_size=8",
    "model.layers=1",
    "sampling.max_tokens=12",
    "evaluation.problems=5",
    "evaluation.every=0",
    "checkpoint.every=1",
    "stages.sft.steps=3",
    "stages.sft.batch=8",
    "stages.distill.steps=8",
    "stages.distill.prompts=4",
    "stages.distill.group=2",
    "stages.distill.teacher={path=\"teacher\"}",
];

/// Trains a teacher of twice the student's width in `dir`.
fn teacher(dir: &Path) {
    let quickstart = config("quickstart.toml");
    let quickstart = quickstart.to_str().unwrap();
    let short = [
        "--set",
        "stages.sft.steps=20",
        "--set",
        "stages.grpo.steps=1",
    ];
    succeeds(dir, &train(quickstart, "teacher", &short));
}

fn student<'a>(file: &'a str, run: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["train", file, "--run-dir", run, "--no-preflight"];
    arguments.extend(STUDENT.iter().flat_map(|set| ["--set", set]));
    arguments.extend(more);
    arguments
}

fn sets<'a>(settings: &[&'a str]) -> Vec<&'a str> {
    settings.iter().flat_map(|&set| ["--set", set]).collect()
}

fn file() -> String {
    config("distill.toml").to_str().unwrap().to_owned()
}

/// Examples to learn from off policy.
fn examples(dir: &Path) {
    let line = |n: usize| {
        let sum = n + 3;
        format!("{{\"prompt\": \"{n}+3=\", \"completion\": \"<answer>{sum}</answer>\"}}\n")
    };
    let text: String = (0..24).map(line).collect();
    fs::write(dir.join("examples.jsonl"), text).unwrap();
}

/// The steps of the stage of distillation.
fn steps(run: &Path) -> Vec<Value> {
    let mut lines = json_lines(&run.join("metrics.jsonl"));
    lines.retain(|line| line["kind"] == "distill");
    lines
}

#[test]
fn a_student_is_killed_again_and_again_and_is_the_one_never_stopped() {
    let dir = TempDir::new().unwrap();
    teacher(dir.path());
    examples(dir.path());
    let file = file();
    let mixed = sets(&[
        "stages.distill.lmbda=0.5",
        "stages.distill.file=examples.jsonl",
        "stages.distill.batch=6",
        "stages.distill.loss=jsd",
        "stages.distill.top_k=5",
    ]);
    killed(dir.path(), &mixed, &|run, more| {
        owned(&student(&file, run, more))
    });
    let steps = steps(&dir.path().join("whole"));
    assert_eq!(steps.len(), 8);
    let on_policy = steps.iter().filter(|s| s["on_policy"] == true).count();
    assert!((1..8).contains(&on_policy), "{on_policy} of 8");
    for step in &steps {
        assert_eq!(
            step["on_policy"] == true,
            step["reverse_kl"].is_number(),
            "{step}"
        );
        assert!(step["loss"].as_f64().unwrap() > 0.0, "{step}");
    }
}

/// Every step is on the student's samples; the teacher is known to the run and to the card of what is exported.
#[test]
fn a_student_comes_nearer_to_its_teacher_who_is_named() {
    let dir = TempDir::new().unwrap();
    teacher(dir.path());
    let file = file();
    let long = sets(&["stages.distill.steps=25", "stages.distill.prompts=16"]);
    succeeds(dir.path(), &student(&file, "run", &long));
    let run = dir.path().join("run");
    let steps = steps(&run);
    let kl = |step: &Value| step["reverse_kl"].as_f64().unwrap();
    let (first, last) = (kl(&steps[0]), kl(&steps[24]));
    assert!(last < 0.7 * first, "{first} to {last}");
    let provenance = fs::read_to_string(run.join("provenance.json")).unwrap();
    assert!(provenance.contains("stages.1.teacher.path"), "{provenance}");
    succeeds(dir.path(), &["export", "--run", "run", "--to", "exported"]);
    let card = fs::read_to_string(dir.path().join("exported/README.md")).unwrap();
    assert!(card.contains("`stages.1.teacher.path` | teacher"), "{card}");

    // The policy gradient of the sampled token goes the same way.
    let sampled = [&long[..], &sets(&["stages.distill.loss=sampled-token"])].concat();
    succeeds(dir.path(), &student(&file, "sampled", &sampled));
    let steps = json_lines(&dir.path().join("sampled/metrics.jsonl"));
    let kls: Vec<f64> = steps
        .iter()
        .filter_map(|s| s["reverse_kl"].as_f64())
        .collect();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&kls[..5]), mean(&kls[20..]));
    assert!(last < first, "{first} to {last}");
}

#[test]
fn stored_distributions_are_read_again_and_an_earlier_self_teaches() {
    let dir = TempDir::new().unwrap();
    teacher(dir.path());
    examples(dir.path());
    let file = file();
    let stored = sets(&[
        "stages.distill.lmbda=0",
        "stages.distill.file=examples.jsonl",
        "stages.distill.batch=6",
        "stages.distill.loss=forward-kl",
        "stages.distill.top_k=6",
        "stages.distill.stored=true",
    ]);
    killed(dir.path(), &stored, &|run, more| {
        owned(&student(&file, run, more))
    });
    let whole = dir.path().join("whole");
    let bytes = fs::read(whole.join("teacher-1.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(tensors.tensor("ids").unwrap().shape()[1], 6);
    // What is computed in the step is what was stored.
    let live = [&stored[..10], &["--set", "stages.distill.stored=false"]].concat();
    succeeds(dir.path(), &student(&file, "live", &live));
    let losses = |run: &Path| -> Vec<f64> {
        steps(run)
            .iter()
            .map(|s| s["loss"].as_f64().unwrap())
            .collect()
    };
    for (stored, live) in losses(&whole).iter().zip(losses(&dir.path().join("live"))) {
        assert!((stored - live).abs() < 1e-5, "{stored} {live}");
    }

    // The weights at the stage's start teach at first what is known already.
    for teacher in ["\"stage-start\"", "{after_stage=0}"] {
        let own = format!("stages.distill.teacher={teacher}");
        let run = if teacher.contains("start") {
            "start"
        } else {
            "after"
        };
        let own = sets(&[own.as_str()]);
        succeeds(dir.path(), &student(&file, run, &own));
        let first = &steps(&dir.path().join(run))[0];
        let kl = first["reverse_kl"].as_f64().unwrap();
        assert!(kl.abs() < 1e-6, "{teacher}: {kl}");
        assert_eq!(first["agreement"].as_f64(), Some(1.0));
    }
}

#[test]
fn a_teacher_that_means_something_else_is_refused_with_both_sides() {
    let dir = TempDir::new().unwrap();
    teacher(dir.path());
    let file = file();
    let refused = |settings: &[&str], code: i32, parts: &[&str]| {
        let mut with = vec!["--set", "stages.distill.steps=2"];
        with.extend(sets(settings));
        fails(dir.path(), &student(&file, "refused", &with), code, parts);
        drop(fs::remove_dir_all(dir.path().join("refused")));
    };
    refused(
        &["stages.distill.teacher={path=\"nowhere\"}"],
        2,
        &["teacher.path", "nowhere", "hint:", "runs/quickstart"],
    );
    refused(
        &["model.alphabet=0123456789+=,;"],
        2,
        &["another vocabulary", "nothing there", "\";\""],
    );
    refused(
        &["stages.distill.teacher=\"base\""],
        2,
        &["adapters", "[lora]"],
    );
    refused(&["stages.distill.lmbda=0.5"], 2, &["lmbda = 0.5", "`file`"]);
    // End tokens are compared first.
    let config = dir.path().join("teacher/checkpoints");
    let mut last: Vec<_> = fs::read_dir(&config)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    last.sort();
    let model = last.pop().unwrap().join("model");
    for name in ["config.json", "generation_config.json"] {
        let path = model.join(name);
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let mut value: Value = serde_json::from_str(&text).unwrap();
        if value.get("eos_token_id").is_some() {
            value["eos_token_id"] = 3.into();
            fs::write(&path, value.to_string()).unwrap();
        }
    }
    refused(
        &["model.alphabet=0123456789+=,;"],
        2,
        &[
            "the teacher ends its turns with",
            "the student with",
            "hint:",
        ],
    );
}
