//! The reward `length`: the completion is not too long.

use serde::{Deserialize, Serialize};

use crate::error::RewardError;
use crate::option::{OptionError, default_weight};
use crate::reward::Reward;
use crate::sample::Sample;

/// Settings of [`Length`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LengthConfig {
    /// The component's name; `length` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Factor of this component in the weighted sum.
    #[serde(default = "default_weight")]
    pub weight: f64,
    /// Length, in tokens, from which the punishment is full. Usually the longest completion that
    /// the sampler allows.
    pub max_tokens: usize,
    /// Length of the stretch before `max_tokens`, in tokens, in which the punishment grows:
    /// 1 to `max_tokens`.
    pub buffer_tokens: usize,
}

/// DAPO's soft overlong punishment (arXiv 2503.14476, equation 13).
///
/// With the completion's length `n`, `L` = `max_tokens` and `C` = `buffer_tokens`, all in tokens:
///
/// ```text
///  0                  if n ≤ L − C
///  ((L − C) − n) / C  if L − C < n ≤ L
/// −1                  if L < n
/// ```
#[derive(Clone, Debug)]
pub struct Length {
    name: String,
    max_tokens: usize,
    buffer_tokens: usize,
}

impl Length {
    /// The judge that `config` describes.
    ///
    /// # Errors
    /// [`OptionError::Invalid`] if `buffer_tokens` is not in 1..=`max_tokens`.
    pub fn from_config(config: &LengthConfig) -> Result<Self, OptionError> {
        let LengthConfig {
            name,
            weight: _,
            max_tokens,
            buffer_tokens,
        } = config;
        let name = name.clone().unwrap_or_else(|| "length".to_owned());
        if !(1..=*max_tokens).contains(buffer_tokens) {
            let expected = format!("from 1 to max_tokens = {max_tokens}");
            return Err(OptionError::invalid(
                &name,
                "buffer_tokens",
                buffer_tokens,
                expected,
            ));
        }
        Ok(Self {
            name,
            max_tokens: *max_tokens,
            buffer_tokens: *buffer_tokens,
        })
    }
}

impl Reward for Length {
    fn name(&self) -> &str {
        &self.name
    }

    fn score(&self, sample: &Sample) -> Result<Option<f64>, RewardError> {
        let free = self.max_tokens - self.buffer_tokens;
        let excess = sample
            .completion_tokens
            .saturating_sub(free)
            .min(self.buffer_tokens);
        // Not `-(…)`: a score of -0 would look odd in a log.
        Ok(Some(0.0 - excess as f64 / self.buffer_tokens as f64))
    }

    fn typical_scores(&self) -> [f64; 2] {
        [-1.0, 0.0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunwu_datasets::{Prompt, Task};

    fn config(max_tokens: usize, buffer_tokens: usize) -> LengthConfig {
        LengthConfig {
            name: None,
            weight: 1.0,
            max_tokens,
            buffer_tokens,
        }
    }

    #[test]
    fn punishment_grows_over_the_buffer() {
        let task = Task::new("t", Prompt::Text("?".to_owned()), "");
        let length = Length::from_config(&config(100, 20)).unwrap();
        for (completion_tokens, expected) in [
            (0, 0.0),
            (80, 0.0),
            (81, -0.05),
            (90, -0.5),
            (100, -1.0),
            (101, -1.0),
            (usize::MAX, -1.0),
        ] {
            let sample = Sample {
                task: &task,
                completion: "",
                truncated: false,
                completion_tokens,
            };
            let score = length.score(&sample).unwrap().unwrap();
            assert_eq!(score, expected, "{completion_tokens} tokens");
            assert!(score != 0.0 || score.is_sign_positive());
        }
    }

    #[test]
    fn the_buffer_must_fit() {
        assert!(Length::from_config(&config(20, 20)).is_ok());
        for (max_tokens, buffer_tokens) in [(20, 0), (20, 21), (0, 0)] {
            assert!(Length::from_config(&config(max_tokens, buffer_tokens)).is_err());
        }
        let text = Length::from_config(&config(20, 21))
            .unwrap_err()
            .to_string();
        assert_eq!(
            text,
            "component length: buffer_tokens is 21: expected from 1 to max_tokens = 20"
        );
    }
}
