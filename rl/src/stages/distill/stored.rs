//! A teacher's likeliest tokens at every token of a list of examples, in one safetensors file beside the run.
//!
//! `ids` (`[tokens, k]`, U32) and `logprobs` (`[tokens, k]`, F32) are the k likeliest tokens, likeliest first; `token_logprobs` (`[tokens]`, F32)
//! is what the token that stands there is worth. Examples follow each other in their order. The header's metadata name the
//! teacher and the examples by their hashes. It is written as it is computed and read where it is needed: neither is ever
//! whole in memory.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Known, loss::fitted};
use crate::{
    learner::{HeadConfig, HiddenStates, Sequence, TokenDistribution, pack},
    model::Transformer,
    stages::StageError,
};

/// The file of a stage, in its run's directory.
pub fn place(directory: &Path, stage: usize) -> PathBuf {
    directory.join(format!("teacher-{stage}.safetensors"))
}

/// What a file was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The teacher, by its weights or its address.
    pub teacher: String,
    /// The examples, by [`hash`].
    pub examples: String,
    /// The temperature, as text.
    pub temperature: String,
}

/// What is known of each example, in a file.
#[derive(Debug)]
pub struct Stored {
    file: File,
    path: PathBuf,
    k: usize,
    /// Where each example begins, in tokens, and where the last one ends.
    starts: Vec<usize>,
    /// Where the tensors begin, in bytes.
    data: u64,
}

/// Names examples by their tokens.
pub fn hash(sequences: &[Sequence]) -> String {
    let mut hash = Sha256::new();
    for sequence in sequences {
        hash.update((sequence.prompt.len() as u64).to_le_bytes());
        sequence
            .prompt
            .iter()
            .for_each(|id| hash.update(id.to_le_bytes()));
        for (token, sampled) in sequence.marked() {
            hash.update(token.to_le_bytes());
            hash.update([u8::from(sampled)]);
        }
        hash.update([2]);
    }
    format!("{:x}", hash.finalize())
}

fn starts(sequences: &[Sequence]) -> Vec<usize> {
    let mut starts = vec![0];
    for sequence in sequences {
        starts.push(starts[starts.len() - 1] + sequence.sampled());
    }
    starts
}

/// The header of a file, its length in front.
fn header(tokens: usize, k: usize, made: &Made) -> Vec<u8> {
    let ids = 4 * tokens * k;
    let header = json!({
        "__metadata__": {
            "teacher": made.teacher, "examples": made.examples, "temperature": made.temperature,
        },
        "ids": { "dtype": "U32", "shape": [tokens, k], "data_offsets": [0, ids] },
        "logprobs": { "dtype": "F32", "shape": [tokens, k], "data_offsets": [ids, 2 * ids] },
        "token_logprobs": { "dtype": "F32", "shape": [tokens], "data_offsets": [2 * ids, 2 * ids + 4 * tokens] },
    });
    let mut text = header.to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text);
    bytes
}

impl Stored {
    /// Opens a file, if it is there.
    ///
    /// # Errors
    /// When it is damaged, or was made from other examples, by another teacher, or otherwise.
    pub fn open(
        path: &Path,
        sequences: &[Sequence],
        k: usize,
        made: &Made,
    ) -> Result<Option<Self>, StageError> {
        if !path.is_file() {
            return Ok(None);
        }
        let starts = starts(sequences);
        let tokens = starts[starts.len() - 1];
        let expected = header(tokens, k, made);
        let mut file = File::open(path).map_err(StageError::file(path))?;
        let mut found = vec![0; expected.len()];
        let length = file.metadata().map_err(StageError::file(path))?.len();
        let whole = (expected.len() + 4 * tokens * (2 * k + 1)) as u64;
        let same = length == whole && file.read_exact(&mut found).is_ok() && found == expected;
        if !same {
            return Err(StageError::Config(format!(
                "{} holds what another teacher said, or of other examples, or is damaged: {}; hint: remove it to ask the teacher again",
                path.display(),
                differences(path, made)
            )));
        }
        Ok(Some(Self {
            file,
            path: path.to_owned(),
            k,
            starts,
            data: expected.len() as u64,
        }))
    }

    /// Begins a file in which nothing is known yet.
    ///
    /// # Errors
    /// When the disk does not take it.
    fn create(
        path: &Path,
        sequences: &[Sequence],
        k: usize,
        made: &Made,
    ) -> Result<Self, StageError> {
        let starts = starts(sequences);
        let tokens = starts[starts.len() - 1];
        let header = header(tokens, k, made);
        let failed = || StageError::file(path);
        let options = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .clone();
        let mut file = options.open(path).map_err(failed())?;
        file.write_all(&header).map_err(failed())?;
        file.set_len((header.len() + 4 * tokens * (2 * k + 1)) as u64)
            .map_err(failed())?;
        Ok(Self {
            file,
            path: path.to_owned(),
            k,
            starts,
            data: header.len() as u64,
        })
    }

    /// Asks a model about every example and keeps what it says at `path`.
    ///
    /// # Errors
    /// When an example does not fit into a micro-batch, or the disk does not take it.
    pub fn ask(
        path: &Path,
        sequences: &[Sequence],
        k: usize,
        made: &Made,
        teacher: &Asked,
    ) -> Result<(), StageError> {
        let partial = path.with_extension("partial");
        let mut stored = Self::create(&partial, sequences, k, made)?;
        for batch in pack(sequences, teacher.token_budget)? {
            let hidden = HiddenStates::of(teacher.model, &batch);
            let chunks = teacher.head.chunks(batch.targets.len(), teacher.vocabulary);
            let mut known = Vec::with_capacity(batch.targets.len());
            for range in chunks {
                let targets = &batch.targets[range.clone()];
                let rows = hidden.logprobs(teacher.model, &batch, range, teacher.head.temperature);
                for (row, &target) in rows.into_iter().zip(targets) {
                    let whole = TokenDistribution::Whole(fitted(row, teacher.vocabulary));
                    known.push(Known {
                        logprob: whole.logprob(target).unwrap_or(f32::NEG_INFINITY),
                        top: whole.top(k),
                    });
                }
            }
            for (member, range) in batch.parts() {
                stored.write(member, &known[range])?;
            }
        }
        stored.end(path)
    }

    /// Writes down what is known of an example.
    pub(super) fn write(&mut self, example: usize, known: &[Known]) -> Result<(), StageError> {
        let (mut ids, mut logprobs, mut own) = (Vec::new(), Vec::new(), Vec::new());
        for token in known {
            let TokenDistribution::Top {
                ids: top,
                logprobs: values,
            } = token.top.top(self.k)
            else {
                continue;
            };
            ids.extend(top.iter().flat_map(|id| id.to_le_bytes()));
            logprobs.extend(values.iter().flat_map(|x| x.to_le_bytes()));
            own.extend(token.logprob.to_le_bytes());
        }
        let places = self.places(example);
        for (place, bytes) in places.into_iter().zip([ids, logprobs, own]) {
            let failed = || StageError::file(&self.path);
            self.file.seek(SeekFrom::Start(place)).map_err(failed())?;
            self.file.write_all(&bytes).map_err(failed())?;
        }
        Ok(())
    }

    /// Begins a file that a server's answers are written to.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub(super) fn begin(
        path: &Path,
        sequences: &[Sequence],
        k: usize,
        made: &Made,
    ) -> Result<Self, StageError> {
        Self::create(&path.with_extension("partial"), sequences, k, made)
    }

    /// The file is complete.
    pub(super) fn end(self, path: &Path) -> Result<(), StageError> {
        self.file.sync_all().map_err(StageError::file(path))?;
        fs::rename(&self.path, path).map_err(StageError::file(path))
    }

    /// What is known of each token of an example that is learnt from.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn known(&mut self, example: usize) -> Result<Vec<Known>, StageError> {
        let tokens = self.starts[example + 1] - self.starts[example];
        let [ids, logprobs, own] = self.places(example);
        let ids = self.words(ids, tokens * self.k)?;
        let logprobs = self.words(logprobs, tokens * self.k)?;
        let own = self.words(own, tokens)?;
        let known = own.iter().enumerate().map(|(token, &own)| {
            let range = token * self.k..(token + 1) * self.k;
            let ids = ids[range.clone()].iter().map(|&b| u32::from_le_bytes(b));
            let logprobs = logprobs[range].iter().map(|&b| f32::from_le_bytes(b));
            Known {
                logprob: f32::from_le_bytes(own),
                top: TokenDistribution::Top {
                    ids: ids.collect(),
                    logprobs: logprobs.collect(),
                },
            }
        });
        Ok(known.collect())
    }

    /// Where the three parts of an example begin, in bytes.
    fn places(&self, example: usize) -> [u64; 3] {
        let (all, start) = (self.starts[self.starts.len() - 1], self.starts[example]);
        let at = |words: usize| self.data + 4 * words as u64;
        [
            at(start * self.k),
            at((all + start) * self.k),
            at(2 * all * self.k + start),
        ]
    }

    fn words(&mut self, place: u64, count: usize) -> Result<Vec<[u8; 4]>, StageError> {
        let mut bytes = vec![0; 4 * count];
        let failed = || StageError::file(&self.path);
        self.file.seek(SeekFrom::Start(place)).map_err(failed())?;
        self.file.read_exact(&mut bytes).map_err(failed())?;
        Ok(bytes.as_chunks::<4>().0.to_vec())
    }
}

/// A model that is asked about examples.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The teacher.
    pub model: &'a Transformer,
    /// Rows of a micro-batch.
    pub token_budget: usize,
    /// The vocabulary head.
    pub head: HeadConfig,
    /// Tokens of the student.
    pub vocabulary: usize,
}

/// What a file says that it was made from, beside what it should be.
fn differences(path: &Path, made: &Made) -> String {
    let metadata = || -> Option<Value> {
        let mut file = File::open(path).ok()?;
        let mut length = [0; 8];
        file.read_exact(&mut length).ok()?;
        let length = usize::try_from(u64::from_le_bytes(length)).ok()?;
        let mut text = vec![0; length.min(1 << 20)];
        file.read_exact(&mut text).ok()?;
        let header: Value = serde_json::from_slice(&text).ok()?;
        header.get("__metadata__").cloned()
    };
    let Some(found) = metadata() else {
        return "it has no header".to_owned();
    };
    let pairs = [
        ("teacher", &made.teacher),
        ("examples", &made.examples),
        ("temperature", &made.temperature),
    ];
    let differing = pairs
        .iter()
        .find(|(key, value)| found[key].as_str() != Some(value));
    match differing {
        Some((key, value)) => format!("its {key} is {}, and here it is {value:?}", found[key]),
        None => "its size is another than top_k and the examples say".to_owned(),
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests;
