//! What people are used to from elsewhere: paths, variables, adapters to begin with, longer runs, signals, hints, a config to
//! begin with.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{config, dunwu, fails, json_lines, run, succeeds, timeless, train};

/// The beginning of a config with a tiny model from nothing.
const SCRATCH: &str = r#"
name = "tiny"
device = "flex"
[model]
source = "scratch"
alphabet = "0123456789+=,"
special_tokens = ["<think>", "</think>", "<answer>", "</answer>"]
hidden_size = 16
intermediate_size = 16
layers = 1
heads = 2
kv_heads = 2
context = 96
[memory]
token_budget = 512
"#;

const SFT: &str = "[[stages]]\nkind = \"sft\"\nsteps = 4\nbatch = 4\nlearning_rate = 1e-2\nfile = \"lessons.jsonl\"\n";

fn lessons() -> String {
    let row = |index: usize| {
        let completion = format!("<answer>{}</answer>", index + 1);
        json!({ "prompt": format!("{index}+1="), "completion": completion }).to_string() + "\n"
    };
    (0..20).map(row).collect()
}

#[test]
fn sft_needs_neither_data_nor_a_rubric() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("sft.toml"), format!("{SCRATCH}{SFT}")).unwrap();
    fs::write(dir.path().join("lessons.jsonl"), lessons()).unwrap();
    succeeds(dir.path(), &["check", "sft.toml"]);
    succeeds(dir.path(), &["train", "sft.toml"]);
    let metrics = timeless(&dir.path().join("runs/tiny/metrics.jsonl"));
    assert_eq!(metrics.len(), 4);
    assert!(
        metrics
            .iter()
            .all(|line| line["heldout_accuracy"].is_null())
    );
    succeeds(dir.path(), &["train", "sft.toml", "--resume"]);
    // Its model is one like any other.
    let generate = [
        "generate",
        "--model",
        "runs/tiny",
        "--device",
        "flex",
        "--max-tokens",
        "4",
        "1+1=",
    ];
    succeeds(dir.path(), &generate);
    // Whoever asks needs both.
    let asks = "[[stages]]\nkind = \"grpo\"\nsteps = 1\n";
    fs::write(
        dir.path().join("grpo.toml"),
        format!("{SCRATCH}{SFT}{asks}"),
    )
    .unwrap();
    fails(
        dir.path(),
        &["check", "grpo.toml"],
        2,
        &["[data] needs exactly one of"],
    );
    let data = "[data]\nfile = \"lessons.jsonl\"\n";
    fs::write(
        dir.path().join("data.toml"),
        format!("{SCRATCH}{data}{SFT}"),
    )
    .unwrap();
    let parts = ["reward.rubric", "hint:", "leave [data] out"];
    fails(dir.path(), &["check", "data.toml"], 2, &parts);
}

#[test]
fn files_lie_beside_the_config_and_variables_are_looked_up() {
    let dir = TempDir::new().unwrap();
    let inner = dir.path().join("configs");
    fs::create_dir_all(inner.join("data")).unwrap();
    fs::write(inner.join("data/lessons.jsonl"), lessons()).unwrap();
    let sft = SFT.replace("lessons.jsonl", "${WHERE:-data}/lessons.jsonl");
    let text = format!("{SCRATCH}{sft}").replace("\"tiny\"", "\"tiny-${SEED:-1}\"");
    fs::write(inner.join("sft.toml"), &text).unwrap();
    succeeds(dir.path(), &["train", "configs/sft.toml"]);
    assert!(dir.path().join("runs/tiny-1/summary.json").is_file());
    // From another directory the same run goes on.
    let elsewhere = inner.join("data");
    let resume = [
        "train",
        "../sft.toml",
        "--run-dir",
        "../../runs/tiny-1",
        "--resume",
    ];
    succeeds(&elsewhere, &resume);
    // A path from where the program was started works as well.
    fs::write(dir.path().join("lessons.jsonl"), lessons()).unwrap();
    let here = [
        "check",
        "configs/sft.toml",
        "--set",
        "stages.0.file=lessons.jsonl",
    ];
    succeeds(dir.path(), &here);
    let program = |variable: (&str, &str), arguments: &[&str]| {
        let mut command = Command::new(dunwu());
        command.args(arguments).current_dir(dir.path());
        command.env(variable.0, variable.1).output().unwrap()
    };
    let home = dir.path().join("configs");
    let at_home = [
        "check",
        "configs/sft.toml",
        "--set",
        "stages.0.file=~/data/lessons.jsonl",
    ];
    let output = program(("HOME", home.to_str().unwrap()), &at_home);
    assert!(output.status.success(), "{output:?}");
    let output = program(("WHERE", "nowhere"), &["check", "configs/sft.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nowhere/lessons.jsonl"));
    fs::write(inner.join("unset.toml"), text.replace(":-data", "")).unwrap();
    fails(
        dir.path(),
        &["check", "configs/unset.toml"],
        2,
        &["stages.0.file", "WHERE", "hint:"],
    );
}

#[test]
fn a_run_begins_with_adapters_of_another() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("base.toml"), format!("{SCRATCH}{SFT}")).unwrap();
    fs::write(dir.path().join("lessons.jsonl"), lessons()).unwrap();
    succeeds(dir.path(), &["train", "base.toml", "--run-dir", "base"]);
    succeeds(dir.path(), &["export", "--run", "base", "--to", "model"]);
    let memory = SCRATCH.split("[memory]").nth(1).unwrap();
    let of = |name: &str, model: &str, lora: &str| {
        let text = format!(
            "name = \"{name}\"\ndevice = \"flex\"\n[model]\nsource = \"pretrained\"\npath = \"model\"\n{model}\n{lora}\n[memory]{memory}{SFT}"
        );
        fs::write(dir.path().join(format!("{name}.toml")), text).unwrap();
        succeeds(dir.path(), &["train", &format!("{name}.toml")]);
        let last = dir
            .path()
            .join(format!("runs/{name}/checkpoints/step-000004"));
        fs::read(last.join("model/model.safetensors")).unwrap()
    };
    let lora = "[lora]\nrank = 2\nalpha = 4.0\ntargets = [\"q_proj\", \"v_proj\"]";
    let adapter = "adapter = \"runs/first/checkpoints/step-000004/adapter\"";
    let first = of("first", "", lora);
    // Adapters are trained further, from where they were: another run from new ones ends elsewhere.
    let further = of("further", adapter, lora);
    assert_ne!(first, further);
    let loss = |name: &str| {
        let lines = json_lines(&dir.path().join(format!("runs/{name}/metrics.jsonl")));
        let loss = |line: &Value| line["loss"].as_f64().unwrap();
        (loss(&lines[0]), loss(&lines[3]))
    };
    assert!(
        loss("further").0 < loss("first").0,
        "{:?} {:?}",
        loss("further"),
        loss("first")
    );
    // Without [lora] they are added to the weights: the same policy, trained as a whole.
    of("whole", adapter, "");
    assert!(
        (loss("whole").0 - loss("further").0).abs() < 1e-4,
        "{:?}",
        loss("whole")
    );
    assert!(
        !dir.path()
            .join("runs/whole/checkpoints/step-000004/adapter")
            .exists()
    );
    succeeds(dir.path(), &["train", "further.toml", "--resume"]);

    let other = ["check", "further.toml", "--set", "model.adapter=nowhere"];
    fails(
        dir.path(),
        &other,
        2,
        &["model.adapter", "nowhere", "adapter_config.json"],
    );
    let rank = [
        "train",
        "further.toml",
        "--run-dir",
        "r",
        "--set",
        "lora.rank=3",
    ];
    fails(dir.path(), &rank, 2, &["rank = 3", "rank = 2", "hint:"]);
}

#[test]
fn a_run_that_is_over_becomes_longer() {
    let dir = TempDir::new().unwrap();
    let quickstart = config("quickstart.toml");
    let quickstart = quickstart.to_str().unwrap();
    let longer = [
        "--set",
        "stages.grpo.steps=7",
        "--set",
        "stages.grpo.beta=0.05",
    ];
    succeeds(dir.path(), &train(quickstart, "whole", &longer));
    let shorter = [
        "--set",
        "stages.grpo.steps=4",
        "--set",
        "stages.grpo.beta=0.05",
    ];
    succeeds(dir.path(), &train(quickstart, "run", &shorter));
    let again = [&longer[..], &["--resume"]].concat();
    succeeds(dir.path(), &train(quickstart, "run", &again));
    // All that it did is what the run does that was long from the beginning, but for the measurement in between.
    let metrics = |run: &str| {
        let mut lines = timeless(&dir.path().join(run).join("metrics.jsonl"));
        for line in &mut lines[..9] {
            let line = line.as_object_mut().unwrap();
            line.retain(|key, _| !key.starts_with("heldout") && key != "flops");
        }
        lines
    };
    assert_eq!(metrics("run").len(), 3 + 7);
    assert_eq!(metrics("run"), metrics("whole"));
    let weights = |run: &str| {
        let last = dir.path().join(run).join("checkpoints/step-000010");
        fs::read(last.join("model/model.safetensors")).unwrap()
    };
    assert_eq!(weights("run"), weights("whole"));
    let summary = fs::read_to_string(dir.path().join("run/summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["stages"].as_array().unwrap().len(), 2);
    assert_eq!(summary["stages"][1]["steps"], 7);
    // What is over does not become shorter.
    let fewer = [&shorter[..], &["--resume"]].concat();
    let quoted = ["stages.1.steps = 7", "stages.1.steps = 4"];
    fails(dir.path(), &train(quickstart, "run", &fewer), 2, &quoted);
}

#[test]
fn hints_say_what_was_meant() {
    let dir = TempDir::new().unwrap();
    let quickstart = config("quickstart.toml");
    let quickstart = quickstart.to_str().unwrap();
    for (set, hint) in [
        ("device=cpu", "hint: `cpu` is `flex` here"),
        ("stages.grpo.loss=DAPO", "hint: did you mean `dapo`?"),
        ("lora.lora_alpha=16", "hint: `lora_alpha` is `alpha` here"),
        (
            "stages.grpo.num_generations=8",
            "hint: `num_generations` is `group` here",
        ),
        ("stages.grpo.temperature=0.7", "[sampling] temperature"),
        (
            "sampling.max_new_tokens=9",
            "hint: `max_new_tokens` is `max_tokens` here",
        ),
    ] {
        fails(dir.path(), &["check", quickstart, "--set", set], 2, &[hint]);
    }
}

fn with_input(dir: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(dunwu())
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn reward_fails_when_every_line_does() {
    let dir = TempDir::new().unwrap();
    fs::write(
        dir.path().join("r.toml"),
        "[reward.rubric]\ncomponents = [{ kind = \"exact\" }]\n",
    )
    .unwrap();
    let row = |answer: &str| {
        json!({ "prompt": "1+1=", "completion": "2", "answer": answer }).to_string() + "\n"
    };
    let code = |input: &str| {
        let output = with_input(dir.path(), &["reward", "r.toml"], input);
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    assert_eq!(code(&(row("2") + &row(""))).0, Some(0));
    let (failed, told) = code(&(row("") + &row("")));
    assert_eq!(failed, Some(1), "{told}");
    assert!(
        told.contains("none of 2 lines has a total") && told.contains("hint:"),
        "{told}"
    );
}

/// Every printable character, so that the model reads whatever a config puts to it.
fn reading_model(dir: &Path) {
    let alphabet: String = (' '..='~').filter(|c| !"<>".contains(*c)).collect();
    let alphabet = toml::Value::String(alphabet + "<>\n").to_string();
    let text = SCRATCH
        .replace("\"0123456789+=,\"", &alphabet)
        .replace(
            "special_tokens = [\"<think>\", \"</think>\", \"<answer>\", \"</answer>\"]",
            "special_tokens = []",
        )
        .replace("context = 96", "context = 2048");
    fs::write(
        dir.join("reads.toml"),
        format!("{text}{SFT}").replace("steps = 4", "steps = 1"),
    )
    .unwrap();
    fs::write(dir.join("lessons.jsonl"), lessons()).unwrap();
    succeeds(dir, &["train", "reads.toml", "--run-dir", "reads"]);
    succeeds(dir, &["export", "--run", "reads", "--to", "model"]);
    let template = "{% for message in messages %}{{ message.content }}\n{% endfor %}";
    fs::write(dir.join("model/chat_template.jinja"), template).unwrap();
}

#[test]
fn init_writes_configs_that_pass_check() {
    let dir = TempDir::new().unwrap();
    for task in ["chain-sum", "countdown", "program"] {
        let out = format!("{task}.toml");
        succeeds(dir.path(), &["init", "--task", task, "--out", &out]);
        let output = succeeds(dir.path(), &["check", &out]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("0 errors, 0 warnings"), "{task}: {told}");
    }
    reading_model(dir.path());
    let rows: String = (0..80)
        .map(|n| {
            let answer = format!("{n} and {n} make {}.\n#### {}", 2 * n, 2 * n);
            json!({ "question": format!("What is twice {n}?"), "answer": answer }).to_string()
                + "\n"
        })
        .collect();
    fs::write(dir.path().join("gsm8k_train.jsonl"), &rows).unwrap();
    fs::write(
        dir.path().join("own.jsonl"),
        rows.replace("\"question\"", "\"problem_text\"")
            .replace("problem_text", "query"),
    )
    .unwrap();
    let cases: [(&str, &[&str]); 6] = [
        ("chain-sum", &[]),
        ("addition", &["--lora"]),
        ("countdown", &["--base"]),
        ("program", &[]),
        ("gsm8k", &["--lora"]),
        ("file", &["--data", "own.jsonl", "--base"]),
    ];
    for (task, more) in cases {
        let arguments = ["init", "--task", task, "--model", "model", "--force"];
        succeeds(dir.path(), &[&arguments[..], more].concat());
        let output = succeeds(dir.path(), &["check", "run.toml"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("0 errors, 0 warnings"), "{task}: {told}");
        let text = fs::read_to_string(dir.path().join("run.toml")).unwrap();
        assert_eq!(text.contains("\n[lora]"), more.contains(&"--lora"));
        assert!(text.contains(&format!("dunwu init --task {task}")));
    }
    fails(
        dir.path(),
        &["init"],
        2,
        &["run.toml is there already", "--force"],
    );
    let none = ["init", "--task", "gsm8k", "--out", "x.toml"];
    fails(dir.path(), &none, 2, &["--model", "hint:"]);
    let file = [
        "init", "--task", "file", "--model", "model", "--out", "x.toml",
    ];
    fails(dir.path(), &file, 2, &["--data"]);
    fs::write(dir.path().join("odd.jsonl"), "{\"a\": 1, \"b\": 2}\n").unwrap();
    let odd = [&file[..], &["--data", "odd.jsonl"]].concat();
    fails(dir.path(), &odd, 2, &["there are: a, b", "hint:"]);
    // What an init at a file's end says is to be done next works.
    let steps = [
        "--set",
        "stages.grpo.steps=1",
        "--set",
        "stages.grpo.prompts=1",
        "--set",
        "stages.grpo.group=2",
    ];
    let small = [
        "--set",
        "evaluation.problems=2",
        "--set",
        "sampling.max_tokens=4",
        "--set",
        "device=flex",
    ];
    let train = [&["train", "run.toml", "--no-preflight"][..], &steps, &small].concat();
    succeeds(dir.path(), &train);
}

#[test]
fn shells_are_completed() {
    let dir = TempDir::new().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = succeeds(dir.path(), &["completions", shell]).stdout;
        let script = String::from_utf8(script).unwrap();
        for word in ["train", "check", "resume"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    fails(dir.path(), &["completions", "cmd"], 2, &["cmd"]);
}

#[test]
fn quiet_says_nothing_and_nothing_is_coloured() {
    let dir = TempDir::new().unwrap();
    let quickstart = config("quickstart.toml");
    let quickstart = quickstart.to_str().unwrap();
    let output = succeeds(
        dir.path(),
        &train(quickstart, "quiet", &["--quiet", "--ignore-alarms"]),
    );
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    let output = run(dir.path(), &["train", "none.toml", "--quiet"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("none.toml"));
    for arguments in [&["train", "--help"][..], &["train", "--nonsense"]] {
        let output = run(dir.path(), arguments);
        let told = [output.stdout, output.stderr].concat();
        assert!(!told.contains(&0x1b), "{}", String::from_utf8_lossy(&told));
    }
}

/// Batch systems send SIGUSR1 before they end a job.
#[cfg(unix)]
#[test]
fn sigusr1_saves_and_the_run_goes_on() {
    let dir = TempDir::new().unwrap();
    let quickstart = config("quickstart.toml");
    let quickstart = quickstart.to_str().unwrap();
    let long = [
        "--set",
        "stages.sft.steps=1",
        "--set",
        "stages.grpo.steps=3000",
        "--set",
        "checkpoint.every=1000",
        "--set",
        "checkpoint.keep=9",
        "--ignore-alarms",
    ];
    let mut child = Command::new(dunwu())
        .args(train(quickstart, "run", &long))
        .current_dir(dir.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let is_step = |line: &String| line.starts_with("grpo 2/");
    assert!(
        lines
            .by_ref()
            .map_while(Result::ok)
            .any(|line| is_step(&line))
    );
    let kill = Command::new("kill")
        .args(["-USR1", &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    let (began, checkpoints) = (Instant::now(), dir.path().join("run/checkpoints"));
    let saved = || {
        let entries = fs::read_dir(&checkpoints).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| {
            entry.unwrap().file_name().into_string().unwrap()
        };
        entries
            .map(name)
            .filter(|name| {
                name.starts_with("step-")
                    && !["step-000001", "step-003001"].contains(&name.as_str())
            })
            .count()
    };
    while saved() == 0 && began.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
        assert!(
            child.try_wait().unwrap().is_none() || saved() > 0,
            "it ended"
        );
    }
    assert_eq!(saved(), 1);
    // It goes on, until it is asked to stop.
    assert!(
        lines
            .by_ref()
            .map_while(Result::ok)
            .any(|line| line.contains("SIGUSR1"))
    );
    assert!(
        lines
            .by_ref()
            .map_while(Result::ok)
            .any(|line| line.starts_with("grpo "))
    );
    child.kill().unwrap();
    child.wait().unwrap();
}
