//! Components that this build does not have.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::rubric::RubricError;

/// The settings of a component that this build does not have, whatever they are: a config that names it can be read, and
/// [`ComponentConfig::build`](super::ComponentConfig::build) says which feature of the crate brings it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Absent(Map<String, Value>);

/// The error of a component of `kind` that the feature `feature` brings.
pub(super) fn error(kind: &'static str, feature: &'static str) -> RubricError {
    RubricError::MissingFeature { kind, feature }
}

#[cfg(test)]
mod tests {
    use crate::{Rubric, RubricConfig};

    #[test]
    fn the_feature_is_named() {
        let text =
            r#"{"components": [{"kind": "KIND", "name": "judge", "url": "http://localhost"}]}"#;
        let cases = [
            ("code", "code", cfg!(feature = "code")),
            ("wasm", "code", cfg!(feature = "code")),
            ("http", "http", cfg!(feature = "http")),
        ];
        for (kind, feature, present) in cases {
            if present {
                continue;
            }
            let config: RubricConfig = serde_json::from_str(&text.replace("KIND", kind)).unwrap();
            let error = Rubric::from_config(&config).unwrap_err().to_string();
            let expected = format!(
                "a component has kind = \"{kind}\", which this build does not have; hint: turn on the feature `{feature}` of dunwu-rewards"
            );
            assert_eq!(error, expected);
        }
    }
}
