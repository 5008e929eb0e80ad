//! `[cost]`: what energy and time are worth.

use serde::{Deserialize, Serialize};

/// What energy and time are worth. Everything may be left out; what is not known is not made up.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CostSection {
    /// Watts of the whole machine, taken where nothing can be measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watts: Option<f64>,
    /// Price of a kilowatt-hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_per_kwh: Option<f64>,
    /// Price of an hour of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_per_hour: Option<f64>,
    /// What prices are in, such as `EUR`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
}

impl CostSection {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// When one is out of its range, or a price has no currency.
    pub fn validate(&self) -> Result<(), String> {
        for (key, value) in [
            ("watts", self.watts),
            ("price_per_kwh", self.price_per_kwh),
            ("price_per_hour", self.price_per_hour),
        ] {
            if let Some(value) = value
                && !(value >= 0.0 && value.is_finite())
            {
                return Err(format!("cost.{key} = {value} must be at least 0"));
            }
        }
        let priced = self.price_per_kwh.is_some() || self.price_per_hour.is_some();
        let named = |currency: &String| !currency.trim().is_empty();
        if priced && !self.currency.as_ref().is_some_and(named) {
            return Err("cost: a price needs cost.currency; hint: currency = \"EUR\"".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_needs_a_currency_and_nothing_is_below_zero() {
        let read = |text: &str| toml::from_str::<CostSection>(text).unwrap().validate();
        assert_eq!(read(""), Ok(()));
        assert_eq!(read("watts = 65"), Ok(()));
        assert_eq!(read("price_per_hour = 2.5\ncurrency = \"EUR\""), Ok(()));
        assert!(
            read("price_per_hour = 2.5")
                .unwrap_err()
                .contains("cost.currency")
        );
        assert!(read("watts = -1").unwrap_err().contains("cost.watts = -1"));
        assert!(read("watts = nan").unwrap_err().contains("cost.watts"));
    }
}
