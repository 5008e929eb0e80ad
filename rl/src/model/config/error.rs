//! What can be wrong with a configuration.

use crate::formats::gguf::GgufError;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No family here runs the model.
    #[error(
        "{file}: architecture \"{architecture}\" is not supported; supported: {}",
        super::family::listed()
    )]
    UnsupportedArchitecture {
        /// The file that names it.
        file: String,
        /// `model_type` or `general.architecture`.
        architecture: String,
    },
    /// A family that is supported, with a setting that is not.
    #[error("{file}: {field} = {value} is not supported: {reason}")]
    Unsupported {
        /// The file that sets it.
        file: String,
        /// The field or metadata key.
        field: String,
        /// Its value.
        value: String,
        /// What is supported.
        reason: String,
    },
    /// A required field is absent.
    #[error("{file}: {field} is missing")]
    Missing {
        /// The file.
        file: String,
        /// The field.
        field: String,
    },
    /// A field has the wrong type.
    #[error("{file}: {field} = {value} is not {expected}")]
    WrongType {
        /// The file.
        file: String,
        /// The field.
        field: String,
        /// Its value as JSON.
        value: String,
        /// What was expected, with its article.
        expected: &'static str,
    },
    /// A field breaks a rule of the transformer.
    #[error("model configuration: {field} = {value} {rule}")]
    Invalid {
        /// The field.
        field: String,
        /// Its value.
        value: String,
        /// The rule, as a phrase that follows the value.
        rule: String,
    },
    /// GGUF metadata could not be read.
    #[error("{file}: {source}")]
    Gguf {
        /// The file.
        file: String,
        /// What is wrong with it.
        source: GgufError,
    },
}
