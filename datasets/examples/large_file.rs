//! What a large file of problems costs: writes one, reads it as a run does, and draws from it.
//!
//! ```sh
//! cargo run --release -p dunwu-datasets --example large_file -- /tmp/large.jsonl 1000000000
//! ```
//!
//! Memory is what Linux says was the most that the process held (`VmHWM`).
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use dunwu_datasets::{DataFiles, JsonlSource, TaskList, TaskSource, partition, recognise_tasks};

/// Problems drawn.
const DRAWS: usize = 1_000_000;
/// Problems a batch.
const BATCH: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(arguments.next().ok_or("usage: large_file PATH [BYTES]")?);
    let bytes: u64 = arguments
        .next()
        .as_deref()
        .unwrap_or("1000000000")
        .parse()?;
    if !path.exists() {
        write_problems(&path, bytes)?;
    }
    println!("file       {:.1} MB", path.metadata()?.len() as f64 / 1e6);
    println!("before     {} MB held at most", most_held());

    let start = Instant::now();
    let files = DataFiles::one(&path);
    let form = recognise_tasks(&files)?;
    let (mut train, mut heldout) = (TaskList::new(), 0);
    for task in form.tasks(&files)? {
        let (train_side, heldout_side) = partition(vec![task?], 0.1)?;
        train_side.iter().for_each(|task| train.push(task));
        heldout += heldout_side.len();
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "read       {} problems to train on, {heldout} held out, in {seconds:.1} s: {form}",
        train.len()
    );
    println!("kept       {:.1} MB", train.bytes() as f64 / 1e6);

    let start = Instant::now();
    let mut source = JsonlSource::new(train, 7)?;
    let mut characters = 0;
    for _ in 0..DRAWS / BATCH {
        let batch = source.next_batch(BATCH, 0.0)?;
        characters += batch.iter().map(|task| task.answer.len()).sum::<usize>();
    }
    let each = start.elapsed().as_secs_f64() * 1e6 / DRAWS as f64;
    println!("drawn      {DRAWS} problems, {each:.2} µs each ({characters} bytes of answers)");
    println!("after      {} MB held at most", most_held());
    Ok(())
}

/// Writes problems of about a kilobyte each, as JSON lines.
fn write_problems(path: &Path, bytes: u64) -> Result<(), Box<dyn Error>> {
    let mut file = BufWriter::new(File::create(path)?);
    let (mut written, mut number) = (0, 0_u64);
    while written < bytes {
        let filler =
            "A train goes from one town to the next, and nobody knows why it is late. ".repeat(8);
        let line = format!(
            "{{\"id\": \"p{number}\", \"question\": \"Problem {number}: {filler}What is {number} plus {}?\", \"answer\": \"{}\", \"solution\": \"{} so it is done.\", \"level\": {}, \"tags\": [\"sum\", \"train\"]}}\n",
            number % 97,
            number + number % 97,
            "One adds the two numbers and looks at the digits. ".repeat(4),
            number % 5,
        );
        file.write_all(line.as_bytes())?;
        written += line.len() as u64;
        number += 1;
    }
    Ok(file.flush()?)
}

/// The most memory that the process has held, in megabytes; 0 where the system does not say.
fn most_held() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024 / 1_000_000
}
