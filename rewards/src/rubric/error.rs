//! Why a rubric cannot be built.

use crate::formula::FormulaError;
use crate::option::OptionError;

/// Why a rubric cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RubricError {
    /// There is nothing to judge by.
    #[error("the rubric has no components")]
    NoComponents,
    /// Two components have one name.
    #[error("two components are named {name}; give one of them another `name`")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A name that a formula or a log could not use.
    #[error(
        "component name {name:?}: expected letters, digits and _, not a digit first, and none of min, max, abs, if, true, false, total"
    )]
    InvalidName {
        /// The name.
        name: String,
    },
    /// A component's options are not what they should be.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// A component that this build does not have.
    #[error(
        "a component has kind = \"{kind}\", which this build does not have; hint: turn on the feature `{feature}` of dunwu-rewards"
    )]
    MissingFeature {
        /// The kind that the config names.
        kind: &'static str,
        /// The feature that brings it.
        feature: &'static str,
    },
    /// `applies_to` speaks of a component that is not there, or of nothing.
    #[error("applies_to.{component}: {reason}")]
    AppliesTo {
        /// The name it gives.
        component: String,
        /// What is wrong.
        reason: String,
    },
    /// A weight that nothing uses.
    #[error(
        "component {component}: weight is {weight}, but weights are not used with `total`; write it into the formula"
    )]
    UnusedWeight {
        /// The component's name.
        component: String,
        /// Its weight.
        weight: f64,
    },
    /// The total's formula is wrong.
    #[error(transparent)]
    Formula(#[from] FormulaError),
}
