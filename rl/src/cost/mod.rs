//! What a run costs: energy, measured or assumed or unknown, and money.
//!
//! | file | subject |
//! |---|---|
//! | this one | prices, and the meter that a run asks after each step |
//! | `section` | `[cost]` of a config |
//! | [`rapl`] | what the CPU's packages have taken, by the kernel |
//! | [`smi`] | what an NVIDIA GPU takes, by `nvidia-smi` |

pub mod rapl;
mod section;
pub mod smi;

use serde::{Deserialize, Serialize};

pub use section::CostSection;

use rapl::Rapl;
use smi::Smi;

/// How energy is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnergySource {
    /// The CPU's packages are measured by RAPL; nothing else is.
    Rapl,
    /// The GPU is measured by `nvidia-smi`; nothing else is.
    NvidiaSmi,
    /// Both are measured.
    RaplAndNvidiaSmi,
    /// Nothing is measured: `cost.watts` times the seconds.
    Assumed,
}

impl EnergySource {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Rapl => "measured: CPU packages by RAPL",
            Self::NvidiaSmi => "measured: GPU by nvidia-smi, the rest of the machine is not",
            Self::RaplAndNvidiaSmi => "measured: CPU packages by RAPL, GPU by nvidia-smi",
            Self::Assumed => "assumed: cost.watts",
        }
    }
}

/// Tells how much energy a session has taken.
#[derive(Debug)]
pub struct Meter {
    rapl: Option<Rapl>,
    smi: Option<Smi>,
    watts: Option<f64>,
}

/// The device that a run computes on, as far as its energy is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Powered {
    /// The CPU.
    Cpu,
    /// A GPU that `nvidia-smi` may know.
    Nvidia,
    /// Another GPU, which nothing here measures.
    OtherGpu,
}

impl Meter {
    /// Begins to measure what can be measured.
    pub fn begin(section: &CostSection, device: Powered) -> Self {
        let smi = (device == Powered::Nvidia).then(Smi::begin).flatten();
        let seen = device == Powered::Cpu || smi.is_some();
        // The packages of the CPU alone say little about a run on a GPU.
        let rapl = seen.then(|| Rapl::begin(rapl::FOLDER.as_ref())).flatten();
        Self {
            rapl,
            smi,
            watts: section.watts,
        }
    }

    /// How energy is known; `None` where it is not.
    pub fn source(&self) -> Option<EnergySource> {
        match (&self.rapl, &self.smi, self.watts) {
            (Some(_), Some(_), _) => Some(EnergySource::RaplAndNvidiaSmi),
            (Some(_), None, _) => Some(EnergySource::Rapl),
            (None, Some(_), _) => Some(EnergySource::NvidiaSmi),
            (None, None, Some(_)) => Some(EnergySource::Assumed),
            (None, None, None) => None,
        }
    }

    /// Energy since the meter began, in watt-hours; `seconds` is how long that was, which only an assumption needs.
    pub fn watt_hours(&self, seconds: f64) -> Option<f64> {
        let joules = match self.source()? {
            EnergySource::Assumed => self.watts? * seconds,
            _ => {
                let rapl = self.rapl.as_ref().map_or(0.0, Rapl::joules);
                rapl + self.smi.as_ref().map_or(0.0, Smi::joules)
            }
        };
        Some(joules / 3600.0)
    }
}

/// What some seconds and watt-hours cost by the prices of `section`; `None` where no price is known, or only one for energy and
/// the energy is not.
pub fn price(section: &CostSection, seconds: f64, watt_hours: Option<f64>) -> Option<f64> {
    let by_hour = section.price_per_hour.map(|price| price * seconds / 3600.0);
    let by_energy = match section.price_per_kwh {
        Some(price) => Some(price * watt_hours? / 1000.0),
        None => None,
    };
    match (by_hour, by_energy) {
        (None, None) => None,
        (hour, energy) => Some(hour.unwrap_or(0.0) + energy.unwrap_or(0.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_assumed_is_watts_times_seconds_and_what_is_unknown_has_no_figure() {
        let mut meter = Meter {
            rapl: None,
            smi: None,
            watts: Some(60.0),
        };
        assert_eq!(meter.source(), Some(EnergySource::Assumed));
        assert_eq!(meter.watt_hours(120.0), Some(2.0));
        meter.watts = None;
        assert_eq!((meter.source(), meter.watt_hours(120.0)), (None, None));
    }

    #[test]
    fn prices_are_by_energy_by_the_hour_or_by_both() {
        let priced = |kwh, hour| CostSection {
            price_per_kwh: kwh,
            price_per_hour: hour,
            ..CostSection::default()
        };
        let cost = |kwh, hour, wh| price(&priced(kwh, hour), 1800.0, wh);
        assert_eq!(cost(None, None, Some(500.0)), None);
        assert_eq!(cost(Some(0.5), None, Some(500.0)), Some(0.25));
        assert_eq!(cost(None, Some(2.0), None), Some(1.0));
        assert_eq!(cost(Some(0.5), Some(2.0), Some(500.0)), Some(1.25));
        // A price for energy that nobody knows is no price of 0.
        assert_eq!(cost(Some(0.5), Some(2.0), None), None);
    }
}
