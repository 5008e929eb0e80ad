//! `[data]`: what is asked.

use std::path::{Path, PathBuf};

use dunwu_datasets::{
    DataFormat, Generator, GeneratorConfig, JsonlConfig, Part, PassRateConfig, Template,
    TemplateConfig, check_entries,
};
use serde::{Deserialize, Serialize};

use crate::checks::positive;

/// Declares a section with the settings of a source between settings of its own.
macro_rules! source_section {
    (
        $(#[$about:meta])* $section:ident { $($before:tt)* } .. { $($after:tt)* }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $section {
            $($before)*
            /// Tasks made on the spot.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub task: Option<GeneratorConfig>,
            /// Tasks from this file, directory of shards, or data set of the hub (`owner/name`, perhaps with `@revision`).
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub file: Option<PathBuf>,
            /// Which of several data sets in that place, as the hub's configs are.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub subset: Option<String>,
            /// Which split; `train` unless given, where there are several.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub split: Option<String>,
            /// Which of the file's fields are what; without this and `format` they are told by their names.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub fields: Option<JsonlConfig>,
            /// The benchmark whose file it is, instead of `fields`. Unless there is a `template`, problems are put to the model as a
            /// user's message in the format's own words.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub format: Option<DataFormat>,
            /// Share of a file's tasks that is held out; generators have their own setting. In an entry of a mixture it may be 0: such
            /// an entry is trained on and not measured.
            #[serde(default = "tenth")]
            pub heldout_fraction: f64,
            /// The text around a question; the prompt as the file or the generator has it unless given.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub template: Option<TemplateConfig>,
            /// Which tasks are drawn more often than others.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub curriculum: Option<CurriculumConfig>,
            $($after)*
        }

        impl $section {
            /// Its source, at `key` of the config.
            fn source_at(&self, key: String) -> SourceConfig<'_> {
                SourceConfig {
                    key,
                    task: self.task.as_ref(),
                    file: self.file.as_deref(),
                    part: Part::new(self.subset.clone(), self.split.clone()),
                    fields: self.fields.as_ref(),
                    format: self.format,
                    heldout_fraction: self.heldout_fraction,
                    template: self.template.as_ref(),
                    curriculum: self.curriculum.as_ref(),
                }
            }
        }
    };
}

source_section! {
    /// What is asked: exactly one of `task`, `file` and `mixture`.
    DataSection {} .. {
        /// What is done about a prompt that leaves no room for a completion of `sampling.max_tokens` in the model's context, or
        /// is longer than `max_prompt_tokens`.
        #[serde(default)]
        pub too_long: LongPrompts,
        /// Longest prompt, in tokens; without it, what the model's context holds beside a completion.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub max_prompt_tokens: Option<usize>,
        /// Several sources in fixed proportions.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub mixture: Vec<MixtureEntry>,
    }
}

source_section! {
    /// A source of a mixture: exactly one of `task` and `file`.
    MixtureEntry {
        /// Goes before the ids of its tasks, into their column `mixture`, and into `reward.rubric.applies_to`.
        pub name: String,
        /// Its share of the tasks is its weight over the sum of all weights.
        #[serde(default = "one")]
        pub weight: f64,
    } .. {}
}

/// What is done about a problem whose prompt is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LongPrompts {
    /// The run stops and names it.
    #[default]
    Error,
    /// It is counted and skipped when it is drawn, and not measured where it is held out.
    Drop,
}

/// By what tasks are drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum CurriculumConfig {
    /// By the share of training done: the stages of the generator `addition` unlock one after the other. This is what that
    /// generator does by itself.
    Progress(ProgressConfig),
    /// By pass rates: problems of a file, or levels of a generator, that are sometimes answered right and sometimes not.
    PassRate(PassRateConfig),
}

/// The curriculum by progress has no settings of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProgressConfig {}

/// Where the tasks of `[data]`, or of one entry of its mixture, come from.
#[derive(Debug, Clone)]
pub struct SourceConfig<'a> {
    /// Where it stands in the config: `data` or `data.mixture.0`.
    pub key: String,
    /// A generator, or …
    pub task: Option<&'a GeneratorConfig>,
    /// … a file, a directory or a data set of the hub.
    pub file: Option<&'a Path>,
    /// Which part of it.
    pub part: Part,
    /// Which of the file's fields are what.
    pub fields: Option<&'a JsonlConfig>,
    /// The benchmark whose file it is.
    pub format: Option<DataFormat>,
    /// Share of a file's tasks that is held out.
    pub heldout_fraction: f64,
    /// The text around a question.
    pub template: Option<&'a TemplateConfig>,
    /// Which tasks are drawn more often than others.
    pub curriculum: Option<&'a CurriculumConfig>,
}

fn tenth() -> f64 {
    0.1
}

fn one() -> f64 {
    1.0
}

impl Default for DataSection {
    fn default() -> Self {
        Self {
            task: None,
            file: None,
            subset: None,
            split: None,
            fields: None,
            format: None,
            heldout_fraction: tenth(),
            template: None,
            curriculum: None,
            too_long: LongPrompts::Error,
            max_prompt_tokens: None,
            mixture: Vec::new(),
        }
    }
}

impl DataSection {
    /// The only source, unless there is a mixture.
    pub fn source(&self) -> SourceConfig<'_> {
        self.source_at("data".to_owned())
    }

    /// Whether it names no source of problems, as in a run that only learns from examples.
    pub fn is_absent(&self) -> bool {
        self.task.is_none() && self.file.is_none() && self.mixture.is_empty()
    }

    /// Whether all tasks are of generators that make demonstrations too.
    pub fn demonstrates(&self) -> bool {
        let makes = |task: &Option<GeneratorConfig>| match task {
            Some(
                GeneratorConfig::ChainSum(_)
                | GeneratorConfig::Countdown(_)
                | GeneratorConfig::Program(_),
            ) => true,
            Some(GeneratorConfig::Addition(_)) | None => false,
        };
        if self.mixture.is_empty() {
            makes(&self.task)
        } else {
            self.mixture.iter().all(|entry| makes(&entry.task))
        }
    }

    /// # Errors
    /// When there is not exactly one source, or something is out of range or does not go together.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if let Some(longest) = self.max_prompt_tokens {
            positive("data.max_prompt_tokens", longest)?;
        }
        if self.mixture.is_empty() {
            return self.source().validate();
        }
        let alone = [
            ("task", self.task.is_some()),
            ("file", self.file.is_some()),
            ("subset", self.subset.is_some()),
            ("split", self.split.is_some()),
            ("fields", self.fields.is_some()),
            ("format", self.format.is_some()),
            ("template", self.template.is_some()),
            ("curriculum", self.curriculum.is_some()),
        ];
        if let Some((name, _)) = alone.iter().find(|(_, given)| *given) {
            return Err(format!(
                "data.{name} does not go with data.mixture; hint: write it into the entries of the mixture"
            ));
        }
        let entries: Vec<(&str, f64)> = self
            .mixture
            .iter()
            .map(|entry| (entry.name.as_str(), entry.weight))
            .collect();
        check_entries(&entries).map_err(|e| format!("data.{e}"))?;
        for (index, entry) in self.mixture.iter().enumerate() {
            entry.source(index).validate()?;
        }
        self.check_heldout()
    }

    /// Refuses two entries of which one could train on what the other holds out: those over one file, or over generators of
    /// one family, have to hold out the same problems.
    fn check_heldout(&self) -> Result<(), String> {
        for (index, entry) in self.mixture.iter().enumerate() {
            for (earlier, other) in self.mixture[..index].iter().enumerate() {
                let Some(what) = entry.shares_problems(other) else {
                    continue;
                };
                let problem = "so that one would train on what the other holds out; hint:";
                if (&entry.fields, &entry.format) != (&other.fields, &other.format) {
                    return Err(format!(
                        "data.mixture.{earlier} and data.mixture.{index} read the fields of {what} in different ways, {problem} give both the same fields and format"
                    ));
                }
                let (left, right) = (other.held_out(), entry.held_out());
                if left != right {
                    return Err(format!(
                        "data.mixture.{earlier} and data.mixture.{index} are both about {what} and have heldout_fraction = {left} and {right}, {problem} give both the same"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Checks the entries of the mixture that the rubric names, each with the key that names it.
    ///
    /// # Errors
    /// When one is not there.
    pub(crate) fn check_entries(&self, named: &[(String, &str)]) -> Result<(), String> {
        let is_there = |entry: &str| self.mixture.iter().any(|known| known.name == entry);
        let Some((key, entry)) = named.iter().find(|(_, entry)| !is_there(entry)) else {
            return Ok(());
        };
        let known: Vec<&str> = self.mixture.iter().map(|e| e.name.as_str()).collect();
        let known = if known.is_empty() {
            "there is no data.mixture".to_owned()
        } else {
            format!("there are: {}", known.join(", "))
        };
        Err(format!(
            "reward.rubric.{key} names {entry:?}, which is no entry of data.mixture; {known}"
        ))
    }
}

impl MixtureEntry {
    /// The file, or the family of generated problems, that this entry and another are both about.
    fn shares_problems(&self, other: &Self) -> Option<String> {
        if let (Some(own), Some(others)) = (&self.file, &other.file) {
            let same = match (own.canonicalize(), others.canonicalize()) {
                (Ok(own), Ok(others)) => own == others,
                _ => own == others,
            };
            return same.then(|| own.display().to_string());
        }
        let (own, others) = (self.generator()?, other.generator()?);
        (own.name() == others.name()).then(|| format!("the generator {}", own.name()))
    }

    /// Share of the problems that is held out: a file's, or a generator's own.
    fn held_out(&self) -> f64 {
        let generator = self.generator();
        generator.map_or(self.heldout_fraction, |g| g.heldout_fraction())
    }

    fn generator(&self) -> Option<Generator> {
        Generator::from_config(self.task.as_ref()?).ok()
    }

    /// This entry, which is number `index` of its mixture.
    pub fn source(&self, index: usize) -> SourceConfig<'_> {
        self.source_at(format!("data.mixture.{index}"))
    }
}

impl SourceConfig<'_> {
    fn validate(&self) -> Result<(), String> {
        let key = &self.key;
        if self.task.is_some() == self.file.is_some() {
            let both = if self.task.is_some() {
                "both are there"
            } else {
                "neither is there"
            };
            let mixture = match key.as_str() {
                "data" => ", or [[data.mixture]] with several of them",
                _ => "",
            };
            return Err(format!(
                "[{key}] needs exactly one of {key}.task and {key}.file{mixture}; {both}"
            ));
        }
        if self.part.is_named() && self.file.is_none() {
            return Err(format!(
                "{key}.subset and {key}.split are about {key}.file, which is not set"
            ));
        }
        if self.fields.is_some() && self.file.is_none() {
            return Err(format!(
                "[{key}.fields] describes {key}.file, which is not set"
            ));
        }
        if self.format.is_some() && self.file.is_none() {
            return Err(format!(
                "{key}.format describes {key}.file, which is not set"
            ));
        }
        if self.format.is_some() && self.fields.is_some() {
            return Err(format!(
                "{key}.format and [{key}.fields] both say what the fields of {key}.file are; hint: remove one"
            ));
        }
        if !(0.0..1.0).contains(&self.heldout_fraction) {
            let value = self.heldout_fraction;
            return Err(format!(
                "{key}.heldout_fraction = {value} must be at least 0 and below 1"
            ));
        }
        let generator = match self.task {
            Some(task) => {
                Some(Generator::from_config(task).map_err(|e| format!("{key}.task: {e}"))?)
            }
            None => None,
        };
        if let Some(fields) = self.fields {
            fields
                .validate()
                .map_err(|e| format!("{key}.fields: {e}"))?;
        }
        if let Some(template) = self.template {
            Template::from_config(template).map_err(|e| format!("{key}.template: {e}"))?;
        }
        match (self.curriculum, self.task) {
            (None, _) => Ok(()),
            (Some(CurriculumConfig::PassRate(rates)), _) => {
                rates
                    .validate()
                    .map_err(|e| format!("{key}.curriculum: {e}"))?;
                let levels = generator.map_or(2, |generator| generator.levels().len());
                if levels > 1 {
                    Ok(())
                } else {
                    Err(format!(
                        "{key}.curriculum: the generator has one level of difficulty; hint: widen its range, or leave the curriculum out"
                    ))
                }
            }
            (Some(CurriculumConfig::Progress(_)), Some(GeneratorConfig::Addition(_))) => Ok(()),
            (Some(CurriculumConfig::Progress(_)), _) => Err(format!(
                "{key}.curriculum.kind = \"progress\" is about the stages of the generator addition; hint: use kind = \"pass-rate\""
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<(), String> {
        let section: DataSection = toml::from_str(text).map_err(|e| e.message().to_owned())?;
        section.validate()
    }

    #[test]
    fn entries_over_the_same_problems_hold_out_the_same() {
        let mixture = |first: &str, second: &str| {
            checked(&format!(
                "[[mixture]]\nname = \"a\"\n{first}\n[[mixture]]\nname = \"b\"\n{second}"
            ))
        };
        let sums = |settings: &str| format!("task = {{ generator = \"chain-sum\"{settings} }}");
        let file = |settings: &str| format!("file = \"a.jsonl\"\n{settings}");
        for (first, second) in [
            (sums(", terms_max = 4"), sums(", terms_min = 4")),
            (
                sums(""),
                "task = { generator = \"addition\", heldout_fraction = 0.3 }".to_owned(),
            ),
            (
                file("heldout_fraction = 0.2"),
                file("heldout_fraction = 0.2"),
            ),
            (
                file(""),
                "file = \"b.jsonl\"\nheldout_fraction = 0.0".to_owned(),
            ),
        ] {
            assert_eq!(mixture(&first, &second), Ok(()), "{first} | {second}");
        }
        for (first, second, expected) in [
            (
                sums(""),
                sums(", terms_min = 4, heldout_fraction = 0.0"),
                "data.mixture.0 and data.mixture.1 are both about the generator chain-sum and have heldout_fraction = 0.1 and 0,",
            ),
            (
                file(""),
                file("heldout_fraction = 0.3"),
                "data.mixture.0 and data.mixture.1 are both about a.jsonl and have heldout_fraction = 0.1 and 0.3,",
            ),
            (
                file(""),
                file("fields = { prompt_field = \"question\" }"),
                "data.mixture.0 and data.mixture.1 read the fields of a.jsonl in different ways,",
            ),
        ] {
            let error = mixture(&first, &second).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn what_goes_together_is_taken() {
        for text in [
            "file = \"a.jsonl\"\ncurriculum = { kind = \"pass-rate\", floor = 0.2 }\ntemplate = { text = \"{question}<think>\" }",
            "task = { generator = \"addition\" }\ncurriculum = { kind = \"progress\" }",
            "task = { generator = \"chain-sum\" }\ncurriculum = { kind = \"pass-rate\" }",
            "[[mixture]]\nname = \"a\"\nweight = 3\ntask = { generator = \"program\" }\n[[mixture]]\nname = \"b\"\nfile = \"b.jsonl\"\nheldout_fraction = 0.0",
        ] {
            assert_eq!(checked(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn contradictions_name_their_keys() {
        let sums = "task = { generator = \"chain-sum\" }";
        let one = "[[mixture]]\nname = \"a\"\nfile = \"a.jsonl\"\n";
        let cases = [
            (
                "",
                "needs exactly one of data.task and data.file, or [[data.mixture]] with several of them; neither",
            ),
            (&format!("{sums}\nfile = \"a\"") as &str, "both are there"),
            (
                &format!("{sums}\n{one}"),
                "data.task does not go with data.mixture",
            ),
            (
                &format!("template = {{ text = \"{{question}}\" }}\n{one}"),
                "data.template does not go with",
            ),
            (
                &format!("{one}task = {{ generator = \"program\" }}"),
                "data.mixture.0.task and data.mixture.0.file; both",
            ),
            (
                &format!("{one}{one}"),
                "data.mixture.1.name is \"a\": expected another name",
            ),
            (
                &format!("{one}weight = -1"),
                "data.mixture.0.weight is -1: expected above 0",
            ),
            (
                &format!("{one}heldout_fraction = 1.0"),
                "data.mixture.0.heldout_fraction = 1 must be",
            ),
            (
                "file = \"a\"\ncurriculum = { kind = \"progress\" }",
                "data.curriculum.kind = \"progress\" is about",
            ),
            (
                &format!("{sums}\ncurriculum = {{ kind = \"pass-rate\", target = 0 }}"),
                "data.curriculum: target is 0",
            ),
            (
                "task = { generator = \"chain-sum\", terms_min = 4, terms_max = 4 }\ncurriculum = { kind = \"pass-rate\" }",
                "one level of difficulty",
            ),
            (
                &format!("{sums}\ntemplate = {{ text = \"Hello.\" }}"),
                "data.template: text is \"Hello.\"",
            ),
            (
                &format!("{sums}\ncurriculum = {{ kind = \"progress\", floor = 1 }}"),
                "unknown field `floor`",
            ),
        ];
        for (text, expected) in cases {
            let error = checked(text).unwrap_err();
            assert!(error.contains(expected), "{text}\n{error}");
        }
    }

    #[test]
    fn the_rubric_names_entries_that_are_there() {
        let section: DataSection =
            toml::from_str("[[mixture]]\nname = \"a\"\nfile = \"a.jsonl\"").unwrap();
        let named = |entry| [("applies_to.math".to_owned(), entry)];
        assert_eq!(section.check_entries(&named("a")), Ok(()));
        assert_eq!(
            section.check_entries(&named("b")).unwrap_err(),
            "reward.rubric.applies_to.math names \"b\", which is no entry of data.mixture; there are: a"
        );
    }
}
