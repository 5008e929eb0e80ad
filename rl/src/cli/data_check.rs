//! `dunwu data check`.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Args;
use dunwu::config;
use dunwu_datasets::{DataFormat, Task, read_benchmark};
use dunwu_rewards::{
    Attempt, Code, CodeConfig, CodeExtraction, Reward, Sample, TEST_COLUMNS, tests_of,
};

use super::{Failure, model::print_json, sandbox, terminal::tell, usage};

/// Try the tests of a file of programs before anyone trains on it
///
/// Every reference solution has to pass the tests of its task, and an empty one has to fail them. What does not hold is written as JSON
/// lines; the exit code is 1 if there is anything.
#[derive(Debug, Args)]
pub(crate) struct DataCheck {
    /// A JSON-lines file of tasks with tests and reference solutions
    file: PathBuf,
    /// The format of the file, such as humaneval, mbpp or code; found by its fields unless said
    #[arg(long)]
    format: Option<String>,
    /// Tasks to try, the first ones; 0 for all
    #[arg(long, default_value_t = 0)]
    count: usize,
    /// Override a setting of the code reward: --set cpython_s=10
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

/// What does not hold of a task.
#[derive(Debug, serde::Serialize)]
struct Finding {
    id: String,
    /// `tests`, `reference` or `empty`: what was tried.
    tried: &'static str,
    problem: String,
}

impl DataCheck {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let format = match &self.format {
            None => None,
            Some(name) => Some(named(name)?),
        };
        let mut tasks = read_benchmark(&self.file, format).map_err(usage)?.tasks;
        if self.count > 0 {
            tasks.truncate(self.count);
        }
        let settings: CodeConfig = config::load::table("", &self.overrides)?;
        let code = Code::from_config(&CodeConfig {
            extraction: CodeExtraction::Whole,
            ..settings
        })
        .map_err(usage)?;
        sandbox::prepare_python()?;
        let mut findings = check_all(&code, &tasks);
        findings.sort_by_key(|(index, _)| *index);
        for (_, finding) in &findings {
            print_json(finding)?;
        }
        tell!("{} tasks, {} findings", tasks.len(), findings.len());
        if findings.is_empty() {
            return Ok(());
        }
        Err(Failure::Interrupted)
    }
}

fn named(name: &str) -> Result<DataFormat, Failure> {
    let found = DataFormat::ALL
        .into_iter()
        .find(|format| format.name() == name);
    found.ok_or_else(|| {
        let known = DataFormat::ALL.map(DataFormat::name).join(", ");
        usage(format!("--format is {name:?}: expected one of {known}"))
    })
}

/// The findings of all tasks with their places, on all cores.
fn check_all(code: &Code, tasks: &[Task]) -> Vec<(usize, Finding)> {
    let next = AtomicUsize::new(0);
    let findings = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(task) = tasks.get(index) else {
                        break;
                    };
                    let found = check(code, task);
                    let mut findings = findings
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    findings.extend(found.into_iter().map(|finding| (index, finding)));
                }
            });
        }
    });
    findings
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn check(code: &Code, task: &Task) -> Vec<Finding> {
    let finding = |tried, problem: String| Finding {
        id: task.id.clone(),
        tried,
        problem,
    };
    match tests_of(task) {
        Err(error) => return vec![finding("tests", error.to_string())],
        Ok(None) => {
            return vec![finding(
                "tests",
                format!("no column of tests; known are {TEST_COLUMNS}"),
            )];
        }
        Ok(Some(_)) => {}
    }
    let judged =
        |program: &str| code.score_in_parts(&Sample::new(task, program), &Attempt::unlimited());
    let mut findings = Vec::new();
    if task.answer.trim().is_empty() {
        findings.push(finding(
            "reference",
            "there is no reference solution".to_owned(),
        ));
    } else {
        match judged(&reference(task)) {
            Err(error) => findings.push(finding("reference", error.to_string())),
            Ok(Some(score)) if score.value == code.typical_scores()[1] => {}
            Ok(score) => {
                let note = score.and_then(|score| score.note);
                findings.push(finding("reference", note.unwrap_or_default()));
            }
        }
    }
    // What is wrong with the test itself has been said above.
    if let Ok(Some(score)) = judged("pass\n")
        && score.value != code.typical_scores()[0]
    {
        findings.push(finding("empty", "an empty program passes".to_owned()));
    }
    findings
}

/// The program in a task's answer: answers of some data sets are completions.
fn reference(task: &Task) -> String {
    let found = dunwu_rewards::extract_code(&task.answer, CodeExtraction::LastBlockOrWhole, false);
    found.unwrap_or_else(|| task.answer.clone())
}
