//! The reward `repetition`: the completion does not say the same again and again.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::error::RewardError;
use crate::option::OptionError;
use crate::reward::Reward;
use crate::sample::Sample;

/// Settings of [`Repetition`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RepetitionConfig {
    /// The component's name; `repetition` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Factor of this component in the weighted sum.
    pub weight: f64,
    /// Length of the runs of words that are counted: 1 to 100.
    pub ngram_words: usize,
}

impl Default for RepetitionConfig {
    fn default() -> Self {
        Self {
            name: None,
            weight: 1.0,
            ngram_words: 3,
        }
    }
}

/// Minus the share of repeated n-grams, from −1 to 0.
///
/// With `T` runs of n = `ngram_words` neighbouring words in the completion, `U` of them different:
///
/// ```text
/// −(1 − U / T)      0 if T = 0
/// ```
///
/// `U / T` is distinct-n of Li et al. (arXiv 1510.03055, section 5); a penalty on repeated n-grams keeps long reasoning from
/// collecting length without content (Yeo et al., arXiv 2502.03373, section 4). Words are parted by white space, and every
/// character of a script without spaces (Han, Kana) is a word; case does not count.
#[derive(Clone, Debug)]
pub struct Repetition {
    name: String,
    ngram_words: usize,
}

impl Repetition {
    /// The judge that `config` describes.
    ///
    /// # Errors
    /// [`OptionError::Invalid`] if `ngram_words` is not in 1..=100.
    pub fn from_config(config: &RepetitionConfig) -> Result<Self, OptionError> {
        let RepetitionConfig {
            name,
            weight: _,
            ngram_words,
        } = config.clone();
        let name = name.unwrap_or_else(|| "repetition".to_owned());
        if !(1..=100).contains(&ngram_words) {
            return Err(OptionError::invalid(
                &name,
                "ngram_words",
                ngram_words,
                "from 1 to 100",
            ));
        }
        Ok(Self { name, ngram_words })
    }
}

/// The words of a text in lower case.
fn words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let mut words = Vec::new();
    for run in lower.split_whitespace() {
        let mut word = String::new();
        for character in run.chars() {
            if is_unspaced(character) {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                words.push(character.to_string());
            } else {
                word.push(character);
            }
        }
        if !word.is_empty() {
            words.push(word);
        }
    }
    words
}

/// Whether a character is of a script that puts no spaces between words: Han, Hiragana, Katakana.
fn is_unspaced(character: char) -> bool {
    matches!(character, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{2fa1f}')
}

impl Reward for Repetition {
    fn name(&self) -> &str {
        &self.name
    }

    fn score(&self, sample: &Sample) -> Result<Option<f64>, RewardError> {
        let words = words(sample.completion);
        let total = words.len().saturating_sub(self.ngram_words - 1);
        if total == 0 {
            return Ok(Some(0.0));
        }
        let different: HashSet<&[String]> = words.windows(self.ngram_words).collect();
        // Not `-(…)`: a score of -0 would look odd in a log.
        Ok(Some(different.len() as f64 / total as f64 - 1.0))
    }

    fn typical_scores(&self) -> [f64; 2] {
        [-1.0, 0.0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunwu_datasets::{Prompt, Task};

    fn score(ngram_words: usize, completion: &str) -> f64 {
        let task = Task::new("t", Prompt::Text("?".to_owned()), "");
        let config = RepetitionConfig {
            ngram_words,
            ..Default::default()
        };
        let sample = Sample {
            task: &task,
            completion,
            truncated: false,
            completion_tokens: 1,
        };
        Repetition::from_config(&config)
            .unwrap()
            .score(&sample)
            .unwrap()
            .unwrap()
    }

    #[test]
    fn repeated_runs_cost() {
        assert_eq!(score(2, "a b c d"), 0.0);
        // ab ba ab ba ab: 2 of 5 are different.
        assert_eq!(score(2, "a b A b a b"), 2.0 / 5.0 - 1.0);
        assert_eq!(score(1, "wait wait wait wait"), -0.75);
        assert_eq!(score(3, "too short"), 0.0);
        assert_eq!(score(1, ""), 0.0);
        assert_eq!(score(2, "我想我想我想"), 2.0 / 5.0 - 1.0);
        assert!(score(3, &"and so on ".repeat(500)) < -0.99);
    }

    #[test]
    fn the_length_of_runs_is_checked() {
        for ngram_words in [0, 101] {
            let config = RepetitionConfig {
                ngram_words,
                ..Default::default()
            };
            assert!(Repetition::from_config(&config).is_err());
        }
    }
}
