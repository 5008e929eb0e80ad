//! A run that is killed and goes on is the run that was never stopped, and a checkpoint that is not
//! what it should be is told.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use dunwu_datasets::rng;
use rand::RngExt;
use safetensors::{SafeTensors, tensor::TensorView};
use serde_json::Value;
use tempfile::TempDir;

use super::{config, dunwu, fails, json_lines, succeeds, timeless, train};

/// Every file of a checkpoint, but for the seconds in its state.
fn checkpoint(run: &Path, name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let root = run.join("checkpoints").join(name);
    let mut open = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
            continue;
        }
        let mut bytes = fs::read(&path).unwrap();
        if path.ends_with("state.json") {
            let mut state: Value = serde_json::from_slice(&bytes).unwrap();
            state["elapsed_s"].take();
            state["logged"].take(); // lines of the log hold seconds, which may be longer or shorter
            bytes = state.to_string().into_bytes();
        }
        files.push((path.strip_prefix(&root).unwrap().to_owned(), bytes));
    }
    files.sort();
    files
}

/// A random model never answers right; when it happens to stop is what varies.
pub(super) const VARIED: &str = "reward.rubric.components=[{kind=\"exact\"}, {kind=\"length\", max_tokens=12, buffer_tokens=11}]";

/// The quickstart, small, with everything that a checkpoint has to carry: moments, a schedule, a
/// reference, several updates a batch.
const IN_TURN: &[&str] = &[
    VARIED,
    "stages.sft.steps=40",
    "stages.grpo.steps=12",
    "stages.grpo.beta=0.05",
    "stages.grpo.iterations=2",
    "stages.grpo.schedule=cosine",
    "evaluation.every=5",
];

/// Sampling ahead of training, groups sampled again, a reference that is renewed, tasks by pass rate.
const AHEAD: &[&str] = &[
    VARIED,
    "stages.sft.steps=10",
    "stages.grpo.steps=20",
    "stages.grpo.max_staleness=2",
    "stages.grpo.correction.high=2.0",
    "stages.grpo.dynamic_sampling.max_batches=2",
    "stages.grpo.beta=0.05",
    "stages.grpo.reference_every=5",
    "data.curriculum.kind=pass-rate",
];

/// Experts: a correction that moves, and routes that are replayed, sampled ahead and used twice.
const EXPERTS: &[&str] = &[
    VARIED,
    "stages.sft.steps=12",
    "stages.sft.batch=16",
    "stages.grpo.steps=10",
    "stages.grpo.prompts=4",
    "stages.grpo.group=4",
    "stages.grpo.iterations=2",
    "stages.grpo.max_staleness=1",
    "stages.grpo.router_replay=r3",
    "model.experts.dense_layers=0",
    "evaluation.problems=20",
];

/// Every kind of stage: epochs, rejection sampling, what it kept, weights to go back to.
const RECIPE: &[&str] = &[
    VARIED,
    "stages.0.steps=10",
    "stages.1.demonstrations=32",
    "stages.1.batch=8",
    "stages.2.steps=4",
    "stages.3.tasks=24",
    "stages.3.chunk=4",
    "stages.3.component=length",
    "stages.3.threshold=-0.9",
    "stages.4.epochs=2",
    "stages.4.batch=8",
    "stages.5.steps=4",
    "stages.5.prompts=2",
    "stages.5.group=4",
];

#[test]
fn a_run_killed_again_and_again_is_the_run_never_stopped() {
    killed_again_and_again("quickstart.toml", IN_TURN);
}

#[test]
fn an_asynchronous_run_too() {
    killed_again_and_again("quickstart.toml", AHEAD);
}

#[test]
fn a_run_with_experts_and_routes_that_are_replayed_too() {
    killed_again_and_again("deepseek-mini.toml", EXPERTS);
}

#[test]
fn a_run_of_many_stages_too() {
    killed_again_and_again("r1-recipe.toml", RECIPE);
}

pub(super) fn killed_again_and_again(name: &str, settings: &[&str]) {
    let dir = TempDir::new().unwrap();
    let file = config(name);
    let file = file.to_str().unwrap();
    let long: Vec<&str> = settings.iter().flat_map(|set| ["--set", set]).collect();
    killed(dir.path(), &long, &|run, more| {
        owned(&train(file, run, more))
    });
}

/// The arguments of a session of a run, by its directory, with more behind them.
type Arguments<'a> = dyn Fn(&str, &[&str]) -> Vec<String> + 'a;

pub(super) fn owned(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(ToString::to_string).collect()
}

fn session(dir: &Path, arguments: &[String]) {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    succeeds(dir, &arguments);
}

/// A run that is killed at many moments, in `cut`, against the same never stopped, in `whole`.
pub(super) fn killed(dir: &Path, long: &[&str], train: &Arguments) {
    let start = Instant::now();
    session(dir, &train("whole", long));
    let seconds = start.elapsed().as_secs_f64();
    let (whole, cut) = (dir.join("whole"), dir.join("cut"));
    let lines = json_lines(&whole.join("metrics.jsonl"));
    let steps = lines.len();
    let moves = |step: &&Value| step["grad_norm"].as_f64().is_some_and(|norm| norm > 0.0);
    let moving = lines.iter().filter(moves).count();
    assert!(
        moving > steps / 2,
        "{moving} of {steps} steps move the weights"
    );

    let mut rng = rng(20);
    let (mut kills, mut kept) = (0, Vec::new());
    // What is saved is seldom lost, so a few sessions are enough; a slow machine gets the rest in one.
    while kills < 20 {
        let mut more = long.to_vec();
        if cut.join("config.toml").is_file() {
            more.push("--resume")
        } else {
            drop(fs::remove_dir_all(&cut))
        }
        let mut child = Command::new(dunwu())
            .args(train("cut", &more))
            .current_dir(dir)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let patience = Duration::from_secs_f64(rng.random_range(0.0..seconds / 5.0));
        let started = Instant::now();
        let over = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if started.elapsed() >= patience {
                break None;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        if let Some(status) = over {
            assert!(status.success(), "{status}, after {kills} kills");
            break;
        }
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        kills += 1;
        let lines = fs::read_to_string(cut.join("metrics.jsonl")).unwrap_or_default();
        kept.push(lines.lines().count());
    }
    eprintln!("killed {kills} times; lines logged by then: {kept:?}");
    assert!(kills >= 1, "the run was over before it could be killed");
    let resume = [long, &["--resume"]].concat();
    session(dir, &train("cut", &resume));

    assert_eq!(
        timeless(&cut.join("metrics.jsonl")),
        timeless(&whole.join("metrics.jsonl"))
    );
    for name in [
        "completions.jsonl",
        "evaluation.jsonl",
        "heldout.jsonl",
        "rejection-3.jsonl",
    ] {
        let bytes = |run: &Path| fs::read(run.join(name)).ok();
        assert!(bytes(&cut) == bytes(&whole), "{name} differs");
    }
    let last = &format!("step-{steps:06}");
    for (ours, theirs) in checkpoint(&cut, last).iter().zip(checkpoint(&whole, last)) {
        assert_eq!(ours.0, theirs.0);
        assert!(ours.1 == theirs.1, "{} differs", ours.0.display());
    }
}

const KEEP: [&str; 2] = ["--set", "checkpoint.keep=9"];

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target)
        } else {
            replace(&path, &target)
        }
    }
}

fn replace(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}

/// Rewrites a safetensors file without its first tensor.
fn drop_one(file: &Path) -> String {
    let bytes = fs::read(file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut all: Vec<(String, TensorView)> = tensors.tensors();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let (name, _) = all.remove(0);
    let without = safetensors::serialize(all, None).unwrap();
    fs::write(file, without).unwrap();
    name
}

/// The reference of a checkpoint is there as long as the checkpoint is, though it has been renewed since.
#[test]
fn an_older_checkpoint_finds_its_reference() {
    let dir = TempDir::new().unwrap();
    let file = config("quickstart.toml");
    let file = file.to_str().unwrap();
    let settings = [
        VARIED,
        "stages.sft.steps=4",
        "stages.grpo.steps=10",
        "stages.grpo.beta=0.05",
        "stages.grpo.reference_every=3",
        "checkpoint.every=2",
        "checkpoint.keep=3",
    ];
    let long: Vec<&str> = settings.iter().flat_map(|set| ["--set", set]).collect();
    succeeds(dir.path(), &train(file, "run", &long));
    let run = dir.path().join("run");
    let expected = timeless(&run.join("metrics.jsonl"));
    assert!(!run.join("reference-1-3").exists(), "nobody needs it");
    // The one before was saved before step 8 of the stage, and compares with the policy before step 6.
    fs::remove_dir_all(run.join("checkpoints/step-000014")).unwrap();
    fs::remove_dir_all(run.join("reference-1-9")).unwrap(); // made anew on the way
    succeeds(
        dir.path(),
        &train(file, "run", &[&long[..], &["--resume"]].concat()),
    );
    assert_eq!(timeless(&run.join("metrics.jsonl")), expected);
}

/// Cuts a file in half.
fn halve(file: &Path) {
    let bytes = fs::read(file).unwrap();
    fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
}

fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{} has no {from}", file.display());
    fs::write(file, text.replace(from, to)).unwrap();
}

/// Runs of two models, each with a checkpoint in the middle of its GRPO stage.
fn two_runs(dir: &Path) {
    let quickstart = config("quickstart.toml");
    let quickstart = quickstart.to_str().unwrap();
    let keep = [&KEEP[..], &["--set", VARIED]].concat();
    succeeds(dir, &train(quickstart, "run", &keep));
    for step in &json_lines(&dir.join("run/metrics.jsonl"))[3..] {
        assert!(step["grad_norm"].as_f64().unwrap() > 0.0, "{step}");
    }
    let wide = [&keep[..], &["--set", "model.hidden_size=24"]].concat();
    succeeds(dir, &train(quickstart, "wide", &wide));
    for run in ["run", "wide"] {
        for later in ["step-000007", "step-000006"] {
            fs::remove_dir_all(dir.join(run).join("checkpoints").join(later)).unwrap();
        }
    }
}

#[test]
fn a_checkpoint_that_is_damaged_or_not_ones_own_is_told() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    two_runs(dir);
    let quickstart = config("quickstart.toml");
    let quickstart = quickstart.to_str().unwrap();
    let last = "checkpoints/step-000005";
    let (bad, other) = (dir.join("bad"), dir.join("wide").join(last));
    let refused = |damage: &dyn Fn(&Path), parts: &[&str]| {
        let _ = fs::remove_dir_all(&bad);
        copy(&dir.join("run"), &bad);
        damage(&bad.join(last));
        let resume = [&KEEP[..], &["--set", VARIED, "--resume"]].concat();
        fails(dir, &train(quickstart, "bad", &resume), 1, parts);
        // Nothing that was logged is lost.
        let log = |run: &str| fs::read(dir.join(run).join("metrics.jsonl")).unwrap();
        assert!(log("bad") == log("run"), "{parts:?}");
    };

    let state = |c: &Path| c.join("state.json");
    refused(
        &|c| halve(&state(c)),
        &["state.json", "not a whole checkpoint"],
    );
    refused(
        &|c| fs::remove_file(state(c)).unwrap(),
        &["step-000005", "state.json is missing", "hint"],
    );
    refused(
        &|c| edit(&state(c), "\"format\": 3", "\"format\": 1"),
        &["state.json", "format 1, this program reads 3"],
    );
    refused(
        &|c| edit(&state(c), "\"step\": 5", "\"step\": 4"),
        &["state.json", "of step 4", "step-000005"],
    );
    refused(
        &|c| edit(&state(c), "\"stage_step\"", "\"stage_stop\""),
        &["state.json", "unknown field `stage_stop`"],
    );

    let optimizer = |c: &Path| c.join("optimizer.safetensors");
    refused(
        &|c| fs::remove_file(optimizer(c)).unwrap(),
        &["optimizer.safetensors", "No such file"],
    );
    refused(&|c| halve(&optimizer(c)), &["optimizer.safetensors"]);
    refused(
        &|c| drop(drop_one(&optimizer(c))),
        &[
            "optimizer.safetensors",
            "nothing for the model's weight model.",
        ],
    );
    refused(
        &|c| replace(&optimizer(&other), &optimizer(c)),
        &["optimizer.safetensors", "values, the model's weight"],
    );

    let weights = |c: &Path| c.join("model/model.safetensors");
    refused(&|c| halve(&weights(c)), &["model.safetensors", "damaged"]);
    refused(
        &|c| drop(drop_one(&weights(c))),
        &["step-000005/model", "there is no tensor"],
    );
    refused(
        &|c| replace(&weights(&other), &weights(c)),
        &["step-000005/model", "[18, 24]", "expected [18, 16]"],
    );
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        refused(
            &|c| fs::remove_file(c.join("model").join(file)).unwrap(),
            &[file],
        );
    }
    refused(
        &|c| {
            fs::remove_dir_all(c.join("model")).unwrap();
            copy(&other.join("model"), &c.join("model"));
        },
        &[
            "step-000005",
            "another model",
            "hidden_size = 16",
            "hidden_size = 24",
        ],
    );

    refused(
        &|c| {
            fs::remove_dir_all(c).unwrap();
            copy(&other, c);
        },
        &["another config", "hidden_size = 24", "hidden_size = 16"],
    );
    refused(
        &|c| fs::remove_file(c.join("config.toml")).unwrap(),
        &["step-000005/config.toml", "No such file"],
    );
}

/// At the start of a stage there are no moments that could tell models apart.
#[test]
fn another_model_is_told_where_a_stage_begins() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    two_runs(dir);
    for run in ["run", "wide"] {
        for later in ["step-000005", "step-000004"] {
            fs::remove_dir_all(dir.join(run).join("checkpoints").join(later)).unwrap();
        }
    }
    let model = "checkpoints/step-000003/model";
    fs::remove_dir_all(dir.join("run").join(model)).unwrap();
    copy(&dir.join("wide").join(model), &dir.join("run").join(model));
    let quickstart = config("quickstart.toml");
    let resume = [&KEEP[..], &["--set", VARIED, "--resume"]].concat();
    fails(
        dir,
        &train(quickstart.to_str().unwrap(), "run", &resume),
        1,
        &["another model", "hidden_size = 16", "hidden_size = 24"],
    );
}
