//! What a stage samples chunk by chunk, judges, and leaves as a file of rows.
//!
//! `NAME-N.partial.jsonl` in the run's directory holds a line for each finished chunk of stage
//! `N`, flushed before the next begins, so that a run that is killed redoes at most one chunk. Rows
//! stand in it as the text they have in the data set: what is read back and written again is the
//! same to the byte. When all chunks are there, `NAME-N.jsonl` is written under another name
//! and renamed.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use dunwu_datasets::{Task, TaskSource, derive_seed};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Context, StageError};
use crate::{rollout::Collected, seeds::Purpose};

/// What became of tasks and completions. Only counts, so that sums are exact.
pub trait Tally: Default + Serialize + DeserializeOwned {
    /// Both together.
    fn add(&mut self, other: &Self);
}

/// A finished chunk of tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chunk<C> {
    /// Its place in the stage, from 0.
    pub index: u64,
    /// What became of its tasks and completions.
    pub counts: C,
    /// Lines of the data set.
    pub rows: Vec<String>,
    /// Seconds of sampling.
    pub generation_s: f64,
    /// Seconds of waiting for the judge after the last token.
    pub reward_s: f64,
}

impl<C> Chunk<C> {
    /// A chunk whose rows are written as they will stand in the data set.
    ///
    /// # Errors
    /// When a row has no JSON form.
    pub fn new(index: u64, rows: &[impl Serialize], counts: C) -> serde_json::Result<Self> {
        Ok(Self {
            index,
            counts,
            rows: rows
                .iter()
                .map(serde_json::to_string)
                .collect::<Result<_, _>>()?,
            generation_s: 0.0,
            reward_s: 0.0,
        })
    }
}

/// The finished chunks of a stage.
#[derive(Debug)]
pub struct Progress<C> {
    directory: PathBuf,
    /// What its files are called, without an ending.
    name: String,
    chunks: Vec<Chunk<C>>,
    file: File,
}

/// Where the chunks of a data set called `name` are while it is made.
fn partial(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.partial.jsonl"))
}

impl<C: Tally> Progress<C> {
    /// The chunks of the data set called `name` that are on the disk; what a kill has cut off is dropped.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(directory: &Path, name: &str) -> io::Result<Self> {
        let path = partial(directory, name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut chunks: Vec<Chunk<C>> = Vec::new();
        let mut good = 0;
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            let whole = line.ends_with(b"\n");
            match serde_json::from_slice::<Chunk<C>>(line) {
                Ok(chunk) if whole && chunk.index == chunks.len() as u64 => chunks.push(chunk),
                _ => break,
            }
            good += line.len() as u64;
        }
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.set_len(good)?;
        Ok(Self {
            directory: directory.to_owned(),
            name: name.to_owned(),
            chunks,
            file,
        })
    }

    /// The finished chunks.
    pub fn chunks(&self) -> &[Chunk<C>] {
        &self.chunks
    }

    /// Adds the next chunk, and waits until it is on the disk.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn push(&mut self, chunk: Chunk<C>) -> io::Result<()> {
        let mut line = serde_json::to_vec(&chunk)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_all()?;
        self.chunks.push(chunk);
        Ok(())
    }

    /// What became of all tasks and completions so far.
    pub fn counts(&self) -> C {
        let mut counts = C::default();
        for chunk in &self.chunks {
            counts.add(&chunk.counts);
        }
        counts
    }

    /// Writes the data set; it is whole or not there.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn write_data_set(&self) -> io::Result<PathBuf> {
        let name = &self.name;
        let path = self.directory.join(format!("{name}.jsonl"));
        let unnamed = self.directory.join(format!(".{name}.jsonl"));
        let mut text = String::new();
        for row in self.chunks.iter().flat_map(|chunk| &chunk.rows) {
            text += row;
            text.push('\n');
        }
        let mut file = File::create(&unnamed)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unnamed, &path)?;
        Ok(path)
    }

    /// Takes the chunks away, once a checkpoint knows that the stage is over.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn forget(self) -> io::Result<()> {
        drop(self.file);
        fs::remove_file(partial(&self.directory, &self.name))
    }
}

/// The tasks of a stage that asks each prompt once.
pub struct Draws {
    source: Box<dyn TaskSource>,
    /// Prompts that have been asked.
    asked: HashSet<String>,
}

impl Draws {
    /// From the first task of the stage on.
    ///
    /// # Errors
    /// When the run's tasks cannot be had.
    pub fn new(context: &Context) -> Result<Self, StageError> {
        Ok(Self {
            source: context.tasks.source(context.seed(Purpose::Tasks))?,
            asked: HashSet::new(),
        })
    }

    /// The next `count` tasks, but for those whose prompt has been asked before; `share` of the stage is done.
    ///
    /// # Errors
    /// When the source has none.
    pub fn next(
        &mut self,
        context: &Context,
        count: usize,
        share: f64,
    ) -> Result<Vec<Task>, StageError> {
        let (limit, encoder) = (context.prompt_limit(), &context.codec.encoder);
        let drawn = limit
            .draw(encoder, self.source.as_mut(), count, share)?
            .tasks;
        let mut fresh = Vec::with_capacity(count);
        for task in drawn {
            let prompt = serde_json::to_string(&task.prompt).map_err(no_json)?;
            if self.asked.insert(prompt) {
                fresh.push(task);
            }
        }
        Ok(fresh)
    }
}

/// Samples and judges some tasks. The draws depend on the step and the place in it.
///
/// # Errors
/// When a prompt cannot be encoded.
pub fn collect(
    context: &Context,
    step: u64,
    tasks: Vec<Task>,
    samples: usize,
) -> Result<Collected, StageError> {
    if tasks.is_empty() {
        return Ok(Collected::default());
    }
    let seed = derive_seed(context.seed(Purpose::Rollouts), &[step]);
    let (model, sampling) = (&context.learner.model, context.sampling);
    let collector = context.collector();
    Ok(collector.collect(model, sampling, tasks, samples, seed, |_| {})?)
}

/// The chunks of a stage whose checkpoint knows of `first` of them.
///
/// # Errors
/// When they cannot be read, or some are missing.
pub fn open<C: Tally>(
    context: &Context,
    kind: &str,
    first: u64,
) -> Result<Progress<C>, StageError> {
    let (directory, stage) = (context.directory, context.stage);
    let name = format!("{kind}-{stage}");
    let progress = Progress::open(directory, &name).map_err(StageError::file(directory))?;
    let there = progress.chunks().len() as u64;
    if there < first {
        return Err(StageError::Config(format!(
            "{}: of stage {stage} {there} chunks are there, and the checkpoint knows of {first}; hint: they are in {name}.partial.jsonl, which must stay where it is while the run is under way",
            directory.display()
        )));
    }
    Ok(progress)
}

/// The error of what has no JSON form.
pub fn no_json(error: serde_json::Error) -> StageError {
    StageError::Config(format!("it has no JSON form: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, Serialize, Deserialize)]
    struct Counts {
        tasks: usize,
        kept: usize,
    }

    impl Tally for Counts {
        fn add(&mut self, other: &Self) {
            self.tasks += other.tasks;
            self.kept += other.kept;
        }
    }

    fn chunk(index: u64) -> Chunk<Counts> {
        let row = |number: usize| {
            let completion = "\"1\"\n";
            let reward = 1.0 + 0.1 * number as f64;
            json!({ "task": format!("t-{index}-{number}"), "completion": completion, "reward": reward, "pass_rate": 1.0 / 3.0 })
        };
        let counts = Counts { tasks: 2, kept: 2 };
        Chunk::new(index, &[row(1), row(2)], counts).unwrap()
    }

    #[test]
    fn what_a_kill_cuts_off_is_done_again_with_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let data =
            |progress: &Progress<Counts>| fs::read(progress.write_data_set().unwrap()).unwrap();
        let mut whole = Progress::open(dir.path(), "pairs-1").unwrap();
        for index in 0..3 {
            whole.push(chunk(index)).unwrap();
        }
        let expected = data(&whole);
        assert_eq!(expected.iter().filter(|&&byte| byte == b'\n').count(), 6);
        assert_eq!((whole.counts().tasks, whole.counts().kept), (6, 6));

        // Cut anywhere, all whole chunks before the cut are still there.
        let path = partial(dir.path(), "pairs-1");
        let bytes = fs::read(&path).unwrap();
        let ends: Vec<usize> = (0..bytes.len()).filter(|&i| bytes[i] == b'\n').collect();
        for cut in [0, 1, ends[0], ends[0] + 1, ends[1], ends[2], bytes.len()] {
            fs::write(&path, &bytes[..cut]).unwrap();
            let mut again = Progress::open(dir.path(), "pairs-1").unwrap();
            let there = again.chunks().len();
            assert_eq!(
                there,
                ends.iter().filter(|&&end| end < cut).count(),
                "{cut}"
            );
            for index in there as u64..3 {
                again.push(chunk(index)).unwrap();
            }
            assert_eq!(data(&again), expected, "{cut}");
            assert_eq!(fs::read(&path).unwrap(), bytes, "{cut}");
        }
        whole.forget().unwrap();
        assert!(!path.exists() && dir.path().join("pairs-1.jsonl").exists());
    }

    #[test]
    fn a_chunk_out_of_turn_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let mut progress = Progress::open(dir.path(), "pairs-0").unwrap();
        progress.push(chunk(0)).unwrap();
        progress.push(chunk(2)).unwrap();
        assert_eq!(
            Progress::<Counts>::open(dir.path(), "pairs-0")
                .unwrap()
                .chunks()
                .len(),
            1
        );
    }
}
