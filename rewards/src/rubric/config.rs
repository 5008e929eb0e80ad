//! A rubric as a config describes it, and the judges that it names.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Component, RubricError, check_finite};
use crate::code::{Code, CodeConfig};
use crate::countdown::{Countdown, CountdownConfig};
use crate::exact::{Exact, ExactConfig};
use crate::format::{Format, FormatConfig};
use crate::language::{Language, LanguageConfig};
use crate::length::{Length, LengthConfig};
use crate::math::{Math, MathConfig};
use crate::per_entry::{PerEntry, PerEntryConfig};
use crate::plugin::{CommandConfig, CommandReward, HttpConfig, HttpReward, WasmConfig, WasmReward};
use crate::procedural::{Procedural, ProceduralConfig};
use crate::repetition::{Repetition, RepetitionConfig};
use crate::reward::Reward;

/// Settings of a [`Rubric`](super::Rubric).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    Code(CodeConfig),
    /// Another judge for each entry of a mixture of data.
    PerEntry(PerEntryConfig),
    /// A WebAssembly component says, in the sandbox.
    Wasm(WasmConfig),
    /// A process says, by JSON lines.
    Command(CommandConfig),
    /// A server says.
    Http(HttpConfig),
}

impl ComponentConfig {
    /// Builds the judge.
    ///
    /// # Errors
    /// [`RubricError`] naming the component and the option.
    pub fn build(&self) -> Result<Component, RubricError> {
        let (weight, reward): (f64, Box<dyn Reward>) = match self {
            Self::Exact(config) => {
                let exact = Exact::from_config(config);
                for (option, value) in [("correct", config.correct), ("wrong", config.wrong)] {
                    check_finite(exact.name(), option, value)?;
                }
                if config.extraction.is_empty() {
                    return Err(RubricError::InvalidOption {
                        component: exact.name().to_owned(),
                        option: "extraction",
                        value: "[]".to_owned(),
                        expected: "at least one".to_owned(),
                    });
                }
                (config.weight, Box::new(exact))
            }
            Self::Math(config) => (config.weight, Box::new(Math::from_config(config)?)),
            Self::Countdown(config) => (config.weight, Box::new(Countdown::from_config(config)?)),
            Self::Procedural(config) => (config.weight, Box::new(Procedural::from_config(config)?)),
            Self::Format(config) => (config.weight, Box::new(Format::from_config(config)?)),
            Self::Length(config) => (config.weight, Box::new(Length::from_config(config)?)),
            Self::Repetition(config) => (config.weight, Box::new(Repetition::from_config(config)?)),
            Self::Language(config) => (config.weight, Box::new(Language::from_config(config))),
            Self::Code(config) => (config.weight, Box::new(Code::from_config(config)?)),
            Self::PerEntry(config) => (config.weight, Box::new(PerEntry::from_config(config)?)),
            Self::Wasm(config) => (config.weight, Box::new(WasmReward::from_config(config)?)),
            Self::Command(config) => (config.weight, Box::new(CommandReward::from_config(config)?)),
            Self::Http(config) => (config.weight, Box::new(HttpReward::from_config(config)?)),
        };
        Ok(Component { weight, reward })
    }
}

impl RubricConfig {
    /// Takes the files that components name as relative to `dir`, the directory of the file in which the rubric stands.
    pub fn resolve_paths(&mut self, dir: &Path) {
        fn resolve(component: &mut ComponentConfig, dir: &Path) {
            match component {
                ComponentConfig::Wasm(config) => config.path = dir.join(&config.path),
                ComponentConfig::PerEntry(config) => config
                    .entries
                    .values_mut()
                    .for_each(|judge| resolve(judge, dir)),
                _ => {}
            }
        }
        self.components
            .iter_mut()
            .for_each(|component| resolve(component, dir));
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
