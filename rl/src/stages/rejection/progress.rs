//! What a stage has sampled so far, on the disk.
//!
//! `rejection-N.partial.jsonl` in the run's directory holds a line for each finished chunk of stage
//! `N`, flushed before the next begins, so that a run that is killed redoes at most one chunk. Rows
//! stand in it as the text they have in the data set: what is read back and written again is the
//! same to the byte. When all chunks are there, `rejection-N.jsonl` is written under another name
//! and renamed.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Counts, Row};
use crate::{rollout::work::Amount, stages::data_set};

/// A finished chunk of tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chunk {
    /// Its place in the stage, from 0.
    pub index: u64,
    /// What became of its tasks and completions.
    pub counts: Counts,
    /// Lines of the data set.
    pub rows: Vec<String>,
    /// Seconds of sampling.
    pub generation_s: f64,
    /// Seconds of waiting for the judge after the last token.
    pub reward_s: f64,
    /// What was sampled.
    #[serde(default)]
    pub sampled: Amount,
}

impl Chunk {
    /// A chunk whose rows are written as they will stand in the data set.
    ///
    /// # Errors
    /// When a row has no JSON form.
    pub fn new(index: u64, rows: &[Row], counts: Counts) -> serde_json::Result<Self> {
        Ok(Self {
            index,
            counts,
            rows: rows
                .iter()
                .map(serde_json::to_string)
                .collect::<Result<_, _>>()?,
            generation_s: 0.0,
            reward_s: 0.0,
            sampled: Amount::default(),
        })
    }
}

/// The finished chunks of a stage.
#[derive(Debug)]
pub struct Progress {
    directory: PathBuf,
    stage: usize,
    chunks: Vec<Chunk>,
    file: File,
}

fn partial(directory: &Path, stage: usize) -> PathBuf {
    directory.join(format!("rejection-{stage}.partial.jsonl"))
}

impl Progress {
    /// The chunks of stage `stage` that are on the disk; what a kill has cut off is dropped.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(directory: &Path, stage: usize) -> io::Result<Self> {
        let path = partial(directory, stage);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut chunks: Vec<Chunk> = Vec::new();
        let mut good = 0;
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            let whole = line.ends_with(b"\n");
            match serde_json::from_slice::<Chunk>(line) {
                Ok(chunk) if whole && chunk.index == chunks.len() as u64 => chunks.push(chunk),
                _ => break,
            }
            good += line.len() as u64;
        }
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.set_len(good)?;
        Ok(Self {
            directory: directory.to_owned(),
            stage,
            chunks,
            file,
        })
    }

    /// The finished chunks.
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// Adds the next chunk, and waits until it is on the disk.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn push(&mut self, chunk: Chunk) -> io::Result<()> {
        let mut line = serde_json::to_vec(&chunk)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_all()?;
        self.chunks.push(chunk);
        Ok(())
    }

    /// What became of all tasks and completions so far.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
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
        let path = data_set(&self.directory, self.stage);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let unnamed = self.directory.join(format!(".{name}"));
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
        fs::remove_file(partial(&self.directory, self.stage))
    }
}

#[cfg(test)]
mod tests {
    use dunwu_datasets::Prompt;

    use super::*;

    fn chunk(index: u64) -> Chunk {
        let row = |number: usize| Row {
            prompt: Prompt::Text(format!("{index}+{number}=")),
            completion: "\"1\"\n".to_owned(),
            reward: 1.0 + 0.1 * number as f64,
            task: format!("t-{index}-{number}"),
            pass_rate: 1.0 / 3.0,
            tokens: number,
        };
        let counts = Counts {
            tasks: 2,
            kept: 2,
            ..Counts::default()
        };
        Chunk::new(index, &[row(1), row(2)], counts).unwrap()
    }

    #[test]
    fn what_a_kill_cuts_off_is_done_again_with_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let data = |progress: &Progress| fs::read(progress.write_data_set().unwrap()).unwrap();
        let mut whole = Progress::open(dir.path(), 1).unwrap();
        for index in 0..3 {
            whole.push(chunk(index)).unwrap();
        }
        let expected = data(&whole);
        assert_eq!(expected.iter().filter(|&&byte| byte == b'\n').count(), 6);
        assert_eq!((whole.counts().tasks, whole.counts().kept), (6, 6));

        // Cut anywhere, all whole chunks before the cut are still there.
        let path = partial(dir.path(), 1);
        let bytes = fs::read(&path).unwrap();
        let ends: Vec<usize> = (0..bytes.len()).filter(|&i| bytes[i] == b'\n').collect();
        for cut in [0, 1, ends[0], ends[0] + 1, ends[1], ends[2], bytes.len()] {
            fs::write(&path, &bytes[..cut]).unwrap();
            let mut again = Progress::open(dir.path(), 1).unwrap();
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
        assert!(!path.exists() && data_set(dir.path(), 1).exists());
    }

    #[test]
    fn a_chunk_out_of_turn_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let mut progress = Progress::open(dir.path(), 0).unwrap();
        progress.push(chunk(0)).unwrap();
        progress.push(chunk(2)).unwrap();
        assert_eq!(Progress::open(dir.path(), 0).unwrap().chunks().len(), 1);
    }
}
