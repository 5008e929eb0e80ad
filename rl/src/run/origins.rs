//! What a run was made from, so that a resumed one goes on with the same or says what is not.

use serde::{Deserialize, Serialize};

use super::RunError;
use crate::{
    bundle::{ModelSection, fingerprint},
    config::RunConfig,
    model::Transformer,
    tasks::Tasks,
};

/// What a run was made from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Origins {
    /// Where the model came from, with environment variables replaced; absent for a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// SHA-256 of the weights that the run began with, where a resumed run reads them again: names, shapes and values in
    /// f32, in the order of their names' appearance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
    /// A fingerprint of the problems to train on and of those held out; absent where none are read from files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problems: Option<String>,
}

impl Origins {
    /// What a run of `config` is made from. `base` are the weights that it begins with, where they are at hand.
    ///
    /// # Errors
    /// When the model's path speaks of an environment variable that is not there.
    pub fn new(
        config: &RunConfig,
        tasks: &Tasks,
        base: Option<&Transformer>,
    ) -> Result<Self, RunError> {
        let model = match &config.model {
            ModelSection::Scratch(_) => None,
            ModelSection::Pretrained(model) => Some(model.place()?),
        };
        Ok(Self {
            model,
            weights: base.map(fingerprint),
            problems: tasks.fingerprint(),
        })
    }

    /// Compares with what is there now.
    ///
    /// # Errors
    /// [`RunError::Origin`] for the first thing that is another.
    pub fn check(&self, now: &Self) -> Result<(), RunError> {
        let differs = |what, was: &Option<String>, is: &Option<String>, hint| {
            let is_another = was != is && (was.is_some() || is.is_some());
            is_another.then(|| RunError::Origin {
                what,
                was: was.clone().unwrap_or_else(|| "none".to_owned()),
                is: is.clone().unwrap_or_else(|| "none".to_owned()),
                hint,
            })
        };
        // Where the weights are known to be the same, it does not matter where they lie.
        let moved = self.weights.is_none() || self.weights != now.weights;
        let placed = |origins: &Self| {
            let (weights, place) = (origins.weights.as_ref()?, origins.model.as_deref());
            Some(match place {
                Some(place) => format!("{weights} ({place})"),
                None => weights.clone(),
            })
        };
        let model = differs(
            "the weights that the run began with",
            &placed(self).filter(|_| moved),
            &placed(now).filter(|_| moved),
            "set model.path, and the environment variables in it, to the model that the run began with",
        );
        let path = differs(
            "model.path",
            &self.model,
            &now.model,
            "set it, and the environment variables in it, to the model that the run began with",
        );
        let problems = differs(
            "the problems of [data]",
            &self.problems,
            &now.problems,
            "bring the files of [data] back as they were; a run on other problems is a new run",
        );
        match model.or(path.filter(|_| moved)).or(problems) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_another_is_named_with_both() {
        let origins = |model: &str, weights: Option<&str>, problems: &str| Origins {
            model: Some(model.to_owned()),
            weights: weights.map(str::to_owned),
            problems: Some(problems.to_owned()),
        };
        let began = origins("a.gguf", Some("11"), "p");
        assert!(began.check(&began).is_ok());
        // The same weights at another place are the same.
        assert!(began.check(&origins("b.gguf", Some("11"), "p")).is_ok());
        let cases = [
            (origins("b.gguf", Some("22"), "p"), ["weights", "11", "22"]),
            (origins("a.gguf", Some("11"), "q"), ["problems", "p", "q"]),
        ];
        for (now, words) in cases {
            let error = began.check(&now).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
            assert!(error.contains("hint:"), "{error}");
        }
        let error = origins("a.gguf", None, "p").check(&origins("b.gguf", None, "p"));
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("a.gguf") && error.contains("b.gguf"),
            "{error}"
        );
    }
}
