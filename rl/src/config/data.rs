//! `[data]`: what is asked.

use std::path::PathBuf;

use dunwu_datasets::{DataFormat, FormatPrompt, Generator, GeneratorConfig, JsonlConfig};
use serde::{Deserialize, Serialize};

/// What is asked: exactly one of the two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSection {
    /// Tasks made on the spot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<GeneratorConfig>,
    /// Tasks from this JSON-lines file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Which of the file's fields are what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<JsonlConfig>,
    /// The benchmark whose format the file has, instead of `fields`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<DataFormat>,
    /// How the benchmark's problems are put to the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<FormatPrompt>,
    /// Share of a file's tasks that is held out; generators have their own setting.
    #[serde(default = "tenth")]
    pub heldout_fraction: f64,
}

fn tenth() -> f64 {
    0.1
}

impl DataSection {
    /// # Errors
    /// When there is not exactly one source, or it is out of range.
    pub(super) fn validate(&self) -> Result<(), String> {
        if self.task.is_some() == self.file.is_some() {
            return Err("[data] needs exactly one of data.task and data.file".to_owned());
        }
        if self.fields.is_some() && self.file.is_none() {
            return Err("[data.fields] describes data.file, which is not set".to_owned());
        }
        if self.format.is_some() && self.file.is_none() {
            return Err("data.format describes data.file, which is not set".to_owned());
        }
        if self.format.is_some() && self.fields.is_some() {
            return Err(
                "data.format and [data.fields] both describe data.file: remove one".to_owned(),
            );
        }
        if let Some(prompt) = &self.prompt {
            if self.format.is_none() {
                return Err("[data.prompt] belongs to data.format, which is not set".to_owned());
            }
            prompt.validate().map_err(|e| format!("data.prompt: {e}"))?;
        }
        if !(0.0..1.0).contains(&self.heldout_fraction) {
            let value = self.heldout_fraction;
            return Err(format!(
                "data.heldout_fraction = {value} must be at least 0 and below 1"
            ));
        }
        if let Some(task) = &self.task {
            Generator::from_config(task).map_err(|e| format!("data.task: {e}"))?;
        }
        if let Some(fields) = &self.fields {
            fields.validate().map_err(|e| format!("data.fields: {e}"))?;
        }
        Ok(())
    }
}
