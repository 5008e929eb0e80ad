//! Tasks in Rust: a source of yours, which goes on where it was after a resume.
//!
//!     cargo run --release --example own_tasks
#![allow(clippy::print_stdout)] // what an example is for

use dunwu::{
    config::RunConfig,
    run::{Event, Run},
};
use dunwu_datasets::{Cursor, DatasetError, Prompt, Task, TaskSource};

/// Counts on: 1, then 2, then 3, …
struct Counting(u64);

fn task(number: u64) -> Task {
    let prompt = Prompt::Text(format!("{}+1=", number % 9));
    Task::new(number.to_string(), prompt, (number % 9 + 1).to_string())
}

impl TaskSource for Counting {
    fn next_batch(&mut self, count: usize, _progress: f64) -> Result<Vec<Task>, DatasetError> {
        let first = self.0;
        self.0 += count as u64;
        Ok((first..self.0).map(task).collect())
    }

    fn cursor(&self) -> Cursor {
        Cursor::at("counting", 0, self.0)
    }

    fn restore(&mut self, cursor: &Cursor) -> Result<(), DatasetError> {
        cursor.expect_source("counting")?;
        self.0 = cursor.index;
        Ok(())
    }
}

const CONFIG: &str = r#"
name = "counting"
device = "flex"
model = { source = "scratch", alphabet = "0123456789+=,", hidden_size = 32, intermediate_size = 64, layers = 2, heads = 2, kv_heads = 1, context = 64 }
sampling = { max_tokens = 8 }
reward = { rubric = { components = [{ kind = "exact", extraction = ["whole"] }] } }
stages = [{ kind = "grpo", steps = 4, prompts = 4, group = 8, learning_rate = 1e-3 }]
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    Run::builder(RunConfig::from_toml(CONFIG)?)
        .directory(directory.path().join("run"))
        .tasks(|_seed| Box::new(Counting(0)), (0..9).map(task).collect())
        .preflight(false) // an untrained model seldom ends a completion
        .observer(|event: &Event| {
            if let Event::Step { metrics, .. } = event {
                println!("{}", metrics.line());
            }
        })
        .train()?;
    Ok(())
}
