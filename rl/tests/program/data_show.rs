//! `dunwu data show`, and data sets in the forms that people bring.

use std::{fs, path::Path};

use serde_json::Value;
use tempfile::TempDir;

use super::{config, fails, succeeds, train};

fn golden(name: &str) -> String {
    let path = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/golden/parquet"
    ))
    .join(name);
    path.to_str().unwrap().to_owned()
}

fn shown(dir: &Path, arguments: &[&str]) -> Value {
    let output = succeeds(dir, &[&["data", "show", "--json"], arguments].concat());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn show_says_what_a_file_is() {
    let dir = TempDir::new().unwrap();
    fs::write(
        dir.path().join("a.csv"),
        "question,final_answer,level\nWhat is 1+1?,2,easy\n\"What,\nis 2+2?\",4,hard\n",
    )
    .unwrap();
    let report = shown(dir.path(), &["a.csv", "--rows", "1"]);
    assert_eq!(report["container"], "CSV");
    assert_eq!(
        report["form"],
        "tasks: a question in `question` and its answer in `final_answer`"
    );
    assert_eq!(report["rows"], 2);
    assert_eq!(report["columns"][0], "level");
    let rows = report["shown"].as_array().unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["text"], "<user> What is 1+1?");
    assert_eq!(rows[0]["answer"], "2");
    assert_eq!(report["lengths"]["unit"], "characters");
    let text = succeeds(dir.path(), &["data", "show", "a.csv"]).stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.starts_with("file     a.csv: CSV\nrows     tasks: a question in `question`"),
        "{text}"
    );
    assert!(
        text.contains("=== 4") && text.contains("lengths  19 to 20 characters"),
        "{text}"
    );
}

#[test]
fn show_counts_what_is_too_long_for_the_run() {
    let dir = TempDir::new().unwrap();
    let rows = (1..=60).map(|n| {
        format!(
            "{{\"prompt\": \"{}=\", \"completion\": \"{n}\"}}\n",
            "1+".repeat(n)
        )
    });
    fs::write(dir.path().join("a.jsonl"), rows.collect::<String>()).unwrap();
    let quickstart = config("quickstart.toml");
    let quickstart = quickstart.to_str().unwrap();
    let set = [
        "--set",
        "stages.sft.max_length=52",
        "--set",
        "stages.sft.too_long=\"drop\"",
        "--set",
        "stages.sft.demonstrations=60",
    ];
    let arguments = [&["a.jsonl", "--sft", "--config", quickstart], &set[..]].concat();
    let report = shown(dir.path(), &arguments);
    assert_eq!(report["form"], "examples: `prompt` with `completion`");
    assert_eq!(report["lengths"]["unit"], "tokens");
    assert_eq!(report["limit"]["tokens"], 52);
    assert_eq!(report["limit"]["longer_are"], "left out");
    // 2 n + 1 characters of the prompt, one or two of the completion, and the end.
    let longer = (1..=60)
        .filter(|n| 2 * n + 1 + n.to_string().len() + 1 > 52)
        .count();
    assert_eq!(report["too_long"], longer);
    assert_eq!(report["shown"][0]["learnt"], 2);
}

#[test]
fn show_ends_with_2_where_a_row_cannot_be_read() {
    let dir = TempDir::new().unwrap();
    let mut text = "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}\n".repeat(10_000);
    text.push_str("{\"text\": \"a\"}\n");
    fs::write(dir.path().join("a.jsonl"), text).unwrap();
    fails(
        dir.path(),
        &["data", "show", "a.jsonl"],
        2,
        &[
            "a.jsonl:10001: this line is `text` to continue",
            "a conversation in `messages`",
        ],
    );
    let bytes = fs::read(golden("zstd.parquet")).unwrap();
    fs::write(dir.path().join("a.parquet"), &bytes[..5000]).unwrap();
    fails(
        dir.path(),
        &["data", "show", "a.parquet"],
        2,
        &["a.parquet: is a Parquet file without its end: it was cut short after 5000 bytes; hint:"],
    );
    fails(
        dir.path(),
        &["data", "show"],
        2,
        &["there is no data set to show; hint:"],
    );
}

const RUN: &str = r#"
name = "own"
device = "flex"

[model]
source = "scratch"
alphabet = "0123456789+="
hidden_size = 16
intermediate_size = 32
layers = 1
heads = 2
kv_heads = 1
context = 32

[data]
file = "tasks.jsonl"
heldout_fraction = 0.3
fields = { prompt_field = "extra.q", answer_field = "reward_model.ground_truth", prompt_style = "text" }

[reward.rubric]
components = [{ kind = "exact", weight = 1.0, extraction = ["whole"] }]

[sampling]
max_tokens = 4

[evaluation]
problems = 4

[[stages]]
kind = "sft"
steps = 2
batch = 2
file = "examples.json"

[[stages]]
kind = "grpo"
steps = 1
prompts = 2
group = 4
"#;

#[test]
fn a_run_learns_from_a_list_and_finds_answers_by_dotted_names() {
    let dir = TempDir::new().unwrap();
    let rows = (0..60).map(|n| {
        let (a, b) = (n % 10, n / 6);
        format!("{{\"extra\": {{\"q\": \"{a}+{b}=\"}}, \"reward_model\": {{\"ground_truth\": \"{}\"}}}}\n", a + b)
    });
    fs::write(dir.path().join("tasks.jsonl"), rows.collect::<String>()).unwrap();
    let examples = "[{\"prompt\": \"1+1=\", \"completion\": \"2\"}, {\"text\": \"1+2=3\"}]";
    fs::write(dir.path().join("examples.json"), examples).unwrap();
    fs::write(dir.path().join("run.toml"), RUN).unwrap();
    let trained = succeeds(dir.path(), &train("run.toml", "run", &[]));
    let said = String::from_utf8_lossy(&trained.stderr).into_owned();
    assert!(
        said.contains("examples.json: `prompt` with `completion` or `text` to continue"),
        "{said}"
    );
    let report = shown(dir.path(), &["--config", "run.toml", "--rows", "2"]);
    assert_eq!(
        report["form"],
        "tasks: a question in `extra.q` and its answer in `reward_model.ground_truth`"
    );
    assert_eq!(report["shown"][0]["text"], "0+0=");
    assert_eq!(
        (&report["rows"], &report["lengths"]["unit"]),
        (&Value::from(60), &Value::from("tokens"))
    );
    let report = shown(dir.path(), &["--config", "run.toml", "--sft"]);
    assert_eq!(
        report["form"],
        "examples: `prompt` with `completion` or `text` to continue"
    );
    assert_eq!(report["shown"][1]["learnt"], 5);
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_is_read_and_its_rows_are_named() {
    let dir = TempDir::new().unwrap();
    let place = "snappy.parquet: row 1: field `messages`: is an empty list";
    fails(
        dir.path(),
        &["data", "show", &golden("snappy.parquet"), "--sft"],
        2,
        &[place],
    );
}
