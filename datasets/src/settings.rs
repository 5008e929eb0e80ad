//! Checks of settings, which all name the setting, its value and what it may be.

use std::fmt::Display;

use crate::error::DatasetError;

/// [`DatasetError::InvalidSetting`] unless `holds`.
pub(crate) fn expect_setting(
    holds: bool,
    setting: &str,
    value: impl Display,
    expected: &str,
) -> Result<(), DatasetError> {
    if holds {
        return Ok(());
    }
    Err(DatasetError::InvalidSetting {
        setting: setting.to_owned(),
        value: value.to_string(),
        expected: expected.to_owned(),
    })
}

/// Refuses a fraction that leaves nothing to train on or is no fraction at all.
pub(crate) fn check_fraction(heldout_fraction: f64) -> Result<(), DatasetError> {
    expect_setting(
        (0.0..1.0).contains(&heldout_fraction),
        "heldout_fraction",
        heldout_fraction,
        "at least 0, below 1",
    )
}
