//! Options of judges, and what is wrong with them.

/// Why a judge cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum OptionError {
    /// An option is out of its range.
    #[error("component {component}: {option} is {value}: expected {expected}")]
    Invalid {
        /// The component's name.
        component: String,
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        expected: String,
    },
    /// A pattern is no regular expression.
    #[error("component {component}: pattern: {error}")]
    Pattern {
        /// The component's name.
        component: String,
        /// What the parser said.
        error: Box<regex::Error>,
    },
}

impl OptionError {
    /// `option` of `component` is `value` where `expected` was.
    pub fn invalid(
        component: &str,
        option: &'static str,
        value: impl ToString,
        expected: impl Into<String>,
    ) -> Self {
        Self::Invalid {
            component: component.to_owned(),
            option,
            value: value.to_string(),
            expected: expected.into(),
        }
    }
}

/// Refuses NaN and infinities.
pub(crate) fn check_finite(
    component: &str,
    option: &'static str,
    value: f64,
) -> Result<(), OptionError> {
    if value.is_finite() {
        return Ok(());
    }
    let expected = "a finite number";
    Err(OptionError::invalid(component, option, value, expected))
}

/// The factor of a component in the weighted sum, unless a config says another.
pub(crate) fn default_weight() -> f64 {
    1.0
}
