//! Checks of stretched rotary frequencies.

use super::{ConfigError, RopeScaling, invalid};

/// Checks what the frequencies rely on.
pub(super) fn validate(scaling: &RopeScaling) -> Result<(), ConfigError> {
    let factor = match scaling {
        RopeScaling::Linear { factor } | RopeScaling::Llama3 { factor, .. } => *factor,
    };
    if !(factor.is_finite() && factor >= 1.0) {
        return Err(invalid(
            "rope_scaling.factor",
            factor,
            "must be a number of at least 1".to_string(),
        ));
    }
    if let RopeScaling::Llama3 {
        low_freq_factor,
        high_freq_factor,
        original_max_position_embeddings,
        ..
    } = *scaling
    {
        if !(low_freq_factor > 0.0
            && high_freq_factor > low_freq_factor
            && high_freq_factor.is_finite())
        {
            let rule = format!(
                "must be above low_freq_factor = {low_freq_factor}, which must be positive"
            );
            return Err(invalid(
                "rope_scaling.high_freq_factor",
                high_freq_factor,
                rule,
            ));
        }
        if original_max_position_embeddings == 0 {
            let rule = "must be at least 1".to_string();
            return Err(invalid(
                "rope_scaling.original_max_position_embeddings",
                0,
                rule,
            ));
        }
    }
    Ok(())
}
