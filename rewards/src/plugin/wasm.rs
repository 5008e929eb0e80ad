//! A reward in a WebAssembly component of the world `dunwu:reward`.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dunwu_datasets::Prompt;
use dunwu_sandbox::Limits;
use dunwu_sandbox::plugin::{Lifetime, Plugin, PluginSample, PluginScore};
use serde::{Deserialize, Serialize};

use super::{OVER, alone, check_seconds, shared, wire};
use crate::attempt::Attempt;
use crate::error::{PrepareError, RewardError};
use crate::option::{OptionError, default_weight};
use crate::reward::{Preparation, Reward, Score, Verdict};
use crate::sample::Sample;

/// Settings of [`WasmReward`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WasmConfig {
    /// The component's name in the rubric.
    pub name: String,
    /// The file. In a config it may be relative to the config's directory.
    pub path: PathBuf,
    /// Factor in the rubric's weighted sum. Default: 1.
    #[serde(default = "default_weight")]
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
    /// [`OptionError::Invalid`] naming the option, also if there is no such file.
    pub fn from_config(config: &WasmConfig) -> Result<Self, OptionError> {
        check_seconds(&config.name, "wall_time_s", config.wall_time_s)?;
        let limits = Limits {
            fuel: config.fuel,
            wall_time: Duration::from_secs_f64(config.wall_time_s),
            memory_bytes: config.memory_mib.saturating_mul(1 << 20),
            ..Limits::default()
        };
        if let Err(error) = limits.validate() {
            let expected = "limits that a plugin can run in";
            return Err(OptionError::invalid(
                &config.name,
                "limits",
                error.to_string(),
                expected,
            ));
        }
        if !config.path.is_file() {
            let path = config.path.display().to_string();
            let expected = "a WebAssembly component; there is no such file";
            return Err(OptionError::invalid(&config.name, "path", path, expected));
        }
        Ok(Self {
            config: config.clone(),
            limits,
            plugin: Mutex::new(None),
        })
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

    fn scores(&self, samples: &[Sample], attempt: &Attempt) -> Result<Vec<Score>, String> {
        if attempt.is_over() {
            return Err(OVER.to_owned());
        }
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
        let said = self.score_in_parts(sample, &Attempt::unlimited())?;
        Ok(said.map(|score| score.value))
    }

    fn score_in_parts(&self, sample: &Sample, attempt: &Attempt) -> Verdict {
        alone(self, sample, attempt)
    }

    fn score_batch(&self, samples: &[Sample], attempt: &Attempt) -> Vec<Verdict> {
        shared(samples, &self.config.name, self.scores(samples, attempt))
    }

    fn prepare(&self, report: &mut dyn FnMut(Preparation)) -> Result<(), PrepareError> {
        let failed = |reason: String| PrepareError::new(&self.config.name, reason);
        let path = &self.config.path;
        let compiled = Plugin::is_compiled(path, &self.limits);
        let what = if compiled.map_err(|error| failed(error.to_string()))? {
            format!("loading {}", path.display())
        } else {
            format!("compiling {}, once: up to a minute", path.display())
        };
        report(Preparation::new(what, 0, 1));
        self.plugin().map_err(failed)?;
        Ok(())
    }

    fn takes_batches(&self) -> bool {
        true
    }
}
