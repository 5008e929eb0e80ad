//! Checks of settings that several sections share. Messages name the key and its value.

/// Counts are at least 1, and below what no machine could hold.
pub(crate) fn positive(name: &str, value: usize) -> Result<(), String> {
    if (1..=10_000_000).contains(&value) {
        return Ok(());
    }
    Err(format!(
        "{name} = {value} must be at least 1 and at most 10000000"
    ))
}

/// Numbers that must be finite and above 0.
pub(crate) fn above_zero(name: &str, value: f64) -> Result<(), String> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(format!("{name} = {value} must be above 0"))
}
