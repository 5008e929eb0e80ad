//! A reward in a WebAssembly component of the world `dunwu:reward`.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dunwu_datasets::Prompt;
use dunwu_sandbox::Limits;
use dunwu_sandbox::plugin::{Lifetime, Plugin, PluginSample, PluginScore};
use serde::{Deserialize, Serialize};

use super::{check_seconds, failed, invalid, shared, wire};
use crate::reward::{PrepareError, Reward, RewardError, Sample, Score};
use crate::rubric::RubricError;

/// Settings of [`WasmReward`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WasmConfig {
    /// The component's name in the rubric.
    pub name: String,
    /// The file. In a run's config it may be relative to the config's directory.
    pub path: PathBuf,
    /// Factor in the rubric's weighted sum. Default: 1.
    #[serde(default = "one")]
    pub weight: f64,
    /// How long an instance lives. Default: `batch`.
    #[serde(default)]
    pub lifetime: PluginLifetime,
    /// Fuel of a batch. Default: 10 000 000 000.
    #[serde(default = "fuel")]
    pub fuel: u64,
    /// Wall-clock limit of a batch, in seconds. Default: 30.
    #[serde(default = "wall_time_s")]
    pub wall_time_s: f64,
    /// Memory, in MiB. Default: 256.
    #[serde(default = "memory_mib")]
    pub memory_mib: u64,
}

/// How long an instance of a plugin lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginLifetime {
    /// One batch: nothing of one step reaches the next.
    #[default]
    Batch,
    /// Until it fails: quicker, and it can remember.
    UntilFailure,
}

fn one() -> f64 {
    1.0
}

fn fuel() -> u64 {
    Limits::default().fuel
}

fn wall_time_s() -> f64 {
    Limits::default().wall_time.as_secs_f64()
}

fn memory_mib() -> u64 {
    Limits::default().memory_bytes >> 20
}

/// A reward in a component. It is loaded when it is first needed.
pub struct WasmReward {
    config: WasmConfig,
    limits: Limits,
    plugin: Mutex<Option<std::sync::Arc<Plugin>>>,
}

impl WasmReward {
    /// The judge that `config` describes.
    ///
    /// # Errors
    /// [`RubricError::InvalidOption`] naming the option, also if there is no such file.
    pub fn from_config(config: &WasmConfig) -> Result<Self, RubricError> {
        check_seconds(&config.name, "wall_time_s", config.wall_time_s)?;
        let limits = Limits {
            fuel: config.fuel,
            wall_time: Duration::from_secs_f64(config.wall_time_s),
            memory_bytes: config.memory_mib.saturating_mul(1 << 20),
            ..Limits::default()
        };
        if let Err(error) = limits.validate() {
            let expected = "limits that a plugin can run in";
            return Err(invalid(&config.name, "limits", error.to_string(), expected));
        }
        if !config.path.is_file() {
            let path = config.path.display().to_string();
            let expected = "a WebAssembly component; there is no such file";
            return Err(invalid(&config.name, "path", path, expected));
        }
        Ok(Self {
            config: config.clone(),
            limits,
            plugin: Mutex::new(None),
        })
    }

    /// Compiles the component, if that has not been done on this machine, and loads it.
    fn load(&self, progress: &mut dyn FnMut(&str)) -> Result<(), String> {
        let path = &self.config.path;
        let name = &self.config.name;
        match Plugin::is_compiled(path, &self.limits) {
            Ok(true) => {}
            Ok(false) => progress(&format!(
                "compiling the plugin {name} ({}), once: up to a minute",
                path.display()
            )),
            Err(error) => return Err(error.to_string()),
        }
        self.plugin().map(|_| ())
    }

    fn plugin(&self) -> Result<std::sync::Arc<Plugin>, String> {
        let mut plugin = self.plugin.lock().unwrap_or_else(PoisonError::into_inner);
        if plugin.is_none() {
            let lifetime = match self.config.lifetime {
                PluginLifetime::Batch => Lifetime::Batch,
                PluginLifetime::UntilFailure => Lifetime::UntilFailure,
            };
            let loaded = Plugin::load(&self.config.path, lifetime, &self.limits)
                .map_err(|error| error.to_string())?;
            *plugin = Some(loaded.into());
        }
        Ok(plugin.clone().expect("just loaded"))
    }

    fn scores(&self, samples: &[Sample]) -> Result<Vec<Score>, String> {
        let samples = wire(samples).into_iter().map(|sample| PluginSample {
            prompt: match sample.prompt {
                Prompt::Text(text) => text,
                chat => serde_json::to_string(&chat).unwrap_or_default(),
            },
            completion: sample.completion,
            reference: sample.reference,
            columns: serde_json::Value::Object(sample.columns).to_string(),
            group: sample.group,
        });
        let scores = self
            .plugin()?
            .score_batch(samples.collect())
            .map_err(|error| error.to_string())?;
        let plain = |PluginScore { value, parts, note }| Score { value, parts, note };
        Ok(scores.into_iter().map(plain).collect())
    }
}

impl Reward for WasmReward {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn score(&self, sample: &Sample) -> Result<Option<f64>, RewardError> {
        Ok(self.score_in_parts(sample)?.map(|score| score.value))
    }

    fn score_in_parts(&self, sample: &Sample) -> Result<Option<Score>, RewardError> {
        let scores = self.scores(std::slice::from_ref(sample));
        let mut scores = scores.map_err(|reason| failed(sample, &self.config.name, &reason))?;
        Ok(scores.pop())
    }

    fn score_batch(&self, samples: &[Sample]) -> Vec<Result<Option<Score>, RewardError>> {
        shared(samples, &self.config.name, self.scores(samples))
    }

    fn takes_batches(&self) -> bool {
        true
    }

    fn prepare(&self, progress: &mut dyn FnMut(&str)) -> Result<(), PrepareError> {
        self.load(progress).map_err(|reason| PrepareError {
            name: self.config.name.clone(),
            reason,
        })
    }
}
