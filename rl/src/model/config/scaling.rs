//! Checks of stretched rotary frequencies.

use super::{ConfigError, LongRope, ModelConfig, RopeScaling, Yarn, invalid, positive};

/// Checks what the frequencies rely on.
pub(super) fn validate(scaling: &RopeScaling) -> Result<(), ConfigError> {
    let factor = match scaling {
        RopeScaling::Linear { factor } | RopeScaling::Llama3 { factor, .. } => *factor,
        RopeScaling::Yarn(yarn) => yarn.factor,
        RopeScaling::LongRope(_) => 1.0,
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
    match scaling {
        RopeScaling::Yarn(yarn) => validate_yarn(yarn),
        RopeScaling::LongRope(long) => validate_long(long),
        RopeScaling::Linear { .. } | RopeScaling::Llama3 { .. } => Ok(()),
    }
}

fn validate_yarn(yarn: &Yarn) -> Result<(), ConfigError> {
    context(yarn.original_max_position_embeddings)?;
    positive("rope_scaling.beta_slow", yarn.beta_slow)?;
    if !(yarn.beta_fast.is_finite() && yarn.beta_fast >= yarn.beta_slow) {
        let rule = format!("must be at least beta_slow = {}", yarn.beta_slow);
        return Err(invalid("rope_scaling.beta_fast", yarn.beta_fast, rule));
    }
    positive("rope_scaling: the factor of cosines", yarn.magnitude())?;
    positive("rope_scaling: the factor of scores", yarn.score_factor())
}

fn validate_long(long: &LongRope) -> Result<(), ConfigError> {
    context(long.original_max_position_embeddings)?;
    positive("rope_scaling.attention_factor", long.attention_factor)?;
    for factors in [&long.short_factor, &long.long_factor] {
        for &factor in factors {
            positive("rope_scaling.short_factor or long_factor", factor)?;
        }
    }
    Ok(())
}

fn context(tokens: usize) -> Result<(), ConfigError> {
    if tokens > 0 {
        return Ok(());
    }
    let field = "rope_scaling.original_max_position_embeddings";
    Err(invalid(field, 0, "must be at least 1".to_string()))
}

/// Checks that there is a divisor for each pair that is rotated.
pub(super) fn validate_pairs(config: &ModelConfig) -> Result<(), ConfigError> {
    let Some(RopeScaling::LongRope(long)) = &config.rope_scaling else {
        return Ok(());
    };
    let pairs = config.rotated() / 2;
    for (field, factors) in [
        ("short_factor", &long.short_factor),
        ("long_factor", &long.long_factor),
    ] {
        if factors.len() != pairs {
            let rule = format!("entries must be {pairs}, one a pair of rotated values");
            return Err(invalid(field, factors.len(), rule));
        }
    }
    Ok(())
}
