//! The reward `format`: the completion has the right shape.

use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::error::RewardError;
use crate::option::OptionError;
use crate::reward::Reward;
use crate::sample::Sample;

/// Settings of [`Format`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FormatConfig {
    /// The component's name; `format` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Factor of this component in the weighted sum.
    pub weight: f64,
    /// A regular expression that has to match the whole completion, in place of the tags. `.` does
    /// not match a line break unless the expression begins with `(?s)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
}

impl Default for FormatConfig {
    fn default() -> Self {
        Self {
            name: None,
            weight: 1.0,
            pattern: None,
        }
    }
}

/// 1 if the completion has the right shape, 0 otherwise.
///
/// Without a pattern the shape is `<think>…</think><answer>…</answer>`, each tag exactly once, with
/// nothing but white space before, between and after the two. That is the template of
/// DeepSeek-R1-Zero (arXiv 2501.12948, table 1). Either part may be empty: whether there is a
/// thought or an answer in it is not a question of shape.
#[derive(Clone, Debug)]
pub struct Format {
    name: String,
    pattern: Option<Regex>,
}

impl Format {
    /// The judge that `config` describes.
    ///
    /// # Errors
    /// [`OptionError::Pattern`] if the pattern is no regular expression.
    pub fn from_config(config: &FormatConfig) -> Result<Self, OptionError> {
        let FormatConfig {
            name,
            weight: _,
            pattern,
        } = config;
        let name = name.clone().unwrap_or_else(|| "format".to_owned());
        let pattern = match pattern {
            Some(pattern) => Some(whole_match(pattern).map_err(|error| OptionError::Pattern {
                component: name.clone(),
                error: Box::new(error),
            })?),
            None => None,
        };
        Ok(Self { name, pattern })
    }
}

impl Reward for Format {
    fn name(&self) -> &str {
        &self.name
    }

    fn score(&self, sample: &Sample) -> Result<Option<f64>, RewardError> {
        let matches = match &self.pattern {
            Some(pattern) => pattern.is_match(sample.completion),
            None => is_thought_and_answer(sample.completion),
        };
        Ok(Some(f64::from(u8::from(matches))))
    }
}

/// The expression that matches where `pattern` matches all of the text. `pattern` is compiled by
/// itself first, so that it cannot break out of the group around it.
fn whole_match(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(pattern)?;
    Regex::new(&format!(r"\A(?:{pattern})\z"))
}

fn is_thought_and_answer(text: &str) -> bool {
    let parts = || {
        let (thought, rest) = text
            .trim()
            .strip_prefix("<think>")?
            .split_once("</think>")?;
        let answer = rest
            .trim_start()
            .strip_prefix("<answer>")?
            .strip_suffix("</answer>")?;
        Some([thought, answer])
    };
    let tags = ["<think>", "</think>", "<answer>", "</answer>"];
    parts().is_some_and(|parts| {
        parts
            .iter()
            .all(|part| tags.iter().all(|tag| !part.contains(tag)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunwu_datasets::{Prompt, Task};

    fn score(config: &FormatConfig, completion: &str) -> f64 {
        let task = Task::new("t", Prompt::Text("?".to_owned()), "");
        let sample = Sample {
            task: &task,
            completion,
            truncated: false,
            completion_tokens: 1,
        };
        Format::from_config(config)
            .unwrap()
            .score(&sample)
            .unwrap()
            .unwrap()
    }

    #[test]
    fn one_thought_and_one_answer() {
        let cases = [
            ("<think>a</think><answer>b</answer>", 1.0),
            ("\n <think>a\nb</think>\n\n<answer>顿悟</answer> \n", 1.0),
            ("<think></think><answer></answer>", 1.0),
            ("<think>a < b</think><answer>b > a</answer>", 1.0),
            ("", 0.0),
            ("<think>a</think><answer>b", 0.0),
            ("<think>a<answer>b</answer>", 0.0),
            ("<answer>b</answer>", 0.0),
            ("<think>a</think>b", 0.0),
            ("x<think>a</think><answer>b</answer>", 0.0),
            ("<think>a</think>x<answer>b</answer>", 0.0),
            ("<think>a</think><answer>b</answer>x", 0.0),
            ("<think>a</think><answer>b</answer><answer>c</answer>", 0.0),
            ("<think>a</think><think>a</think><answer>b</answer>", 0.0),
            ("<think><think>a</think></think><answer>b</answer>", 0.0),
            ("<think>a<answer>b</answer></think><answer>b</answer>", 0.0),
            ("<answer>b</answer><think>a</think>", 0.0),
            ("<think>a</think><answer>b</think></answer>", 0.0),
            ("<think>a</think><answer></answer></answer>", 0.0),
            ("<think></think><answer>", 0.0),
        ];
        for (completion, expected) in cases {
            assert_eq!(
                score(&FormatConfig::default(), completion),
                expected,
                "{completion:?}"
            );
        }
    }

    #[test]
    fn a_pattern_matches_the_whole_completion() {
        let config = |pattern: &str| FormatConfig {
            pattern: Some(pattern.to_owned()),
            ..Default::default()
        };
        let cases = [
            ("a|ab", "ab", 1.0),
            ("a|ab", "abc", 0.0),
            ("a|ab", "xa", 0.0),
            (r"[0-9]+", "12\n", 0.0),
            ("(?s)a.*b", "a\nb", 1.0),
            ("(?m)^a$", "a\nb", 0.0),
        ];
        for (pattern, completion, expected) in cases {
            assert_eq!(
                score(&config(pattern), completion),
                expected,
                "{pattern} on {completion:?}"
            );
        }
        for pattern in ["a)|(?:b", "(", "[z-a]"] {
            assert!(Format::from_config(&config(pattern)).is_err(), "{pattern}");
        }
    }
}
