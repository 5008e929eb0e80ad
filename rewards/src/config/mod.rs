//! A rubric as a config describes it, and the judges that it names.

#[cfg(not(all(feature = "code", feature = "http")))]
mod absent;
mod per_entry;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

#[cfg(feature = "code")]
use crate::code::{Code, CodeConfig};
use crate::countdown::{Countdown, CountdownConfig};
use crate::exact::{Exact, ExactConfig};
use crate::format::{Format, FormatConfig};
use crate::language::{Language, LanguageConfig};
use crate::length::{Length, LengthConfig};
use crate::math::{Math, MathConfig};
use crate::model::{ModelReward, ModelRewardConfig};
use crate::plugin::{CommandConfig, CommandReward};
#[cfg(feature = "http")]
use crate::plugin::{HttpConfig, HttpReward};
#[cfg(feature = "code")]
use crate::plugin::{WasmConfig, WasmReward};
use crate::procedural::{Procedural, ProceduralConfig};
use crate::repetition::{Repetition, RepetitionConfig};
use crate::reward::Reward;
use crate::rubric::{Component, Rubric, RubricError};

#[cfg(not(all(feature = "code", feature = "http")))]
pub use absent::Absent;
pub use per_entry::{PerEntry, PerEntryConfig};

/// Settings of a [`Rubric`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RubricConfig {
    /// A formula over the components' names: numbers, `+ - * / ^`, comparisons, `&& || !`, and the
    /// functions `min`, `max`, `abs` and `if(condition, then, else)`. Without one the total is the
    /// weighted sum of the components that apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<String>,
    /// The judges; at least one, with different names.
    pub components: Vec<ComponentConfig>,
    /// The entries of a mixture of data that a component is for, by the component's name. It has nothing to say of other
    /// tasks and is not asked about them. A component that is not named here is for all tasks.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub applies_to: BTreeMap<String, Vec<String>>,
}

/// Settings of one judge, as a config names it: `kind = "exact"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ComponentConfig {
    /// The final answer equals the task's.
    Exact(ExactConfig),
    /// The final answer is mathematically the same as the task's.
    Math(MathConfig),
    /// The final answer is an expression that makes the task's target out of its numbers.
    Countdown(CountdownConfig),
    /// The final answer passes the checker of the family that the task comes from.
    Procedural(ProceduralConfig),
    /// The completion has the right shape.
    Format(FormatConfig),
    /// The completion is not too long.
    Length(LengthConfig),
    /// The completion does not repeat itself.
    Repetition(RepetitionConfig),
    /// The completion stays in one script.
    Language(LanguageConfig),
    /// The program in the completion passes the task's tests.
    #[cfg(feature = "code")]
    Code(CodeConfig),
    /// The program in the completion passes the task's tests. This build does not have it.
    #[cfg(not(feature = "code"))]
    Code(Absent),
    /// Another judge for each entry of a mixture of data.
    PerEntry(PerEntryConfig),
    /// A reward model says.
    Model(ModelRewardConfig),
    /// A WebAssembly component says, in the sandbox.
    #[cfg(feature = "code")]
    Wasm(WasmConfig),
    /// A WebAssembly component says, in the sandbox. This build does not have it.
    #[cfg(not(feature = "code"))]
    Wasm(Absent),
    /// A process says, by JSON lines.
    Command(CommandConfig),
    /// A server says.
    #[cfg(feature = "http")]
    Http(HttpConfig),
    /// A server says. This build does not have it.
    #[cfg(not(feature = "http"))]
    Http(Absent),
}

impl ComponentConfig {
    /// Builds the judge.
    ///
    /// # Errors
    /// [`RubricError`] naming the component and the option.
    pub fn build(&self) -> Result<Component, RubricError> {
        let (weight, reward): (f64, Box<dyn Reward>) = match self {
            Self::Exact(config) => (config.weight, Box::new(Exact::from_config(config)?)),
            Self::Math(config) => (config.weight, Box::new(Math::from_config(config)?)),
            Self::Countdown(config) => (config.weight, Box::new(Countdown::from_config(config)?)),
            Self::Procedural(config) => (config.weight, Box::new(Procedural::from_config(config)?)),
            Self::Format(config) => (config.weight, Box::new(Format::from_config(config)?)),
            Self::Length(config) => (config.weight, Box::new(Length::from_config(config)?)),
            Self::Repetition(config) => (config.weight, Box::new(Repetition::from_config(config)?)),
            Self::Language(config) => (config.weight, Box::new(Language::from_config(config))),
            Self::PerEntry(config) => (config.weight, Box::new(PerEntry::from_config(config)?)),
            Self::Model(config) => (config.weight, Box::new(ModelReward::from_config(config)?)),
            Self::Command(config) => (config.weight, Box::new(CommandReward::from_config(config)?)),
            #[cfg(feature = "code")]
            Self::Code(config) => (config.weight, Box::new(Code::from_config(config)?)),
            #[cfg(feature = "code")]
            Self::Wasm(config) => (config.weight, Box::new(WasmReward::from_config(config)?)),
            #[cfg(feature = "http")]
            Self::Http(config) => (config.weight, Box::new(HttpReward::from_config(config)?)),
            #[cfg(not(feature = "code"))]
            Self::Code(_) => return Err(absent::error("code", "code")),
            #[cfg(not(feature = "code"))]
            Self::Wasm(_) => return Err(absent::error("wasm", "code")),
            #[cfg(not(feature = "http"))]
            Self::Http(_) => return Err(absent::error("http", "http")),
        };
        Ok(Component::new(reward).with_weight(weight))
    }

    fn resolve_paths(&mut self, dir: &Path) {
        match self {
            #[cfg(feature = "code")]
            Self::Wasm(config) => config.path = dir.join(&config.path),
            Self::Model(config) => {
                if let Some(path) = &mut config.path {
                    *path = dir.join(&path);
                }
            }
            Self::PerEntry(config) => {
                for judge in config.entries.values_mut() {
                    judge.resolve_paths(dir);
                }
            }
            _ => {}
        }
    }
}

impl Rubric {
    /// The rubric that `config` describes.
    ///
    /// # Errors
    /// As for [`Rubric::new`], for options that are out of range, and for components that this build does not have.
    pub fn from_config(config: &RubricConfig) -> Result<Self, RubricError> {
        Self::with_own(config, Vec::new())
    }

    /// The rubric that `config` describes, with components of one's own behind those that it names: its total may read them.
    ///
    /// # Errors
    /// As for [`Rubric::from_config`].
    pub fn with_own(config: &RubricConfig, own: Vec<Component>) -> Result<Self, RubricError> {
        let components = config.components.iter().map(ComponentConfig::build);
        let mut components: Vec<Component> = components.collect::<Result<_, _>>()?;
        components.extend(own);
        let mut rubric = Self::new(components, config.total.as_deref())?;
        for (component, entries) in &config.applies_to {
            rubric = rubric.for_entries(component, entries)?;
        }
        Ok(rubric)
    }
}

impl RubricConfig {
    /// The weighted sum of these components, for all tasks.
    pub fn new(components: Vec<ComponentConfig>) -> Self {
        Self {
            components,
            ..Self::default()
        }
    }

    /// The same with a formula for the total.
    #[must_use]
    pub fn with_total(mut self, formula: impl Into<String>) -> Self {
        self.total = Some(formula.into());
        self
    }

    /// Takes the files that components name as relative to `dir`, the directory of the file in which the rubric stands.
    pub fn resolve_paths(&mut self, dir: &Path) {
        for component in &mut self.components {
            component.resolve_paths(dir);
        }
    }

    /// The entries of a mixture of data that the rubric names, each with the key that names it.
    pub fn mixture_entries(&self) -> Vec<(String, &str)> {
        let applies_to = self.applies_to.iter().flat_map(|(component, entries)| {
            let key = format!("applies_to.{component}");
            entries
                .iter()
                .map(move |entry| (key.clone(), entry.as_str()))
        });
        let components = self.components.iter().enumerate();
        let judges = components.filter_map(|(index, component)| match component {
            ComponentConfig::PerEntry(config) => Some((index, config)),
            _ => None,
        });
        let judged = judges.flat_map(|(index, config)| {
            let key = format!("components.{index}.entries");
            config
                .entries
                .keys()
                .map(move |entry| (key.clone(), entry.as_str()))
        });
        applies_to.chain(judged).collect()
    }
}
