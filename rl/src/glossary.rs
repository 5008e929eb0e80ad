//! Each metric is declared once, by `metrics!`: the struct that is written to `metrics.jsonl` and
//! the glossary that explains it come out of the same lines.

/// What a key of `metrics.jsonl` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// The key.
    pub key: &'static str,
    /// Its Rust type.
    pub type_name: &'static str,
    /// Unit; empty where it has none.
    pub unit: &'static str,
    /// How it is computed.
    pub formula: &'static str,
    /// What healthy looks like; empty where there is nothing to look for.
    pub healthy: &'static str,
    /// What to do when it does not look like that.
    pub otherwise: &'static str,
}

impl Metric {
    /// Whether it measures the machine, and so differs between two runs of one config and seed.
    pub fn is_measurement(&self) -> bool {
        is_measurement(self.key)
    }

    /// Whether it is only written when there is something to say.
    pub fn is_optional(&self) -> bool {
        self.type_name.starts_with("Option") || self.type_name.starts_with("Vec")
    }
}

/// Metrics that belong together.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Names the table's place in `rl/docs/metrics.md`.
    pub name: &'static str,
    /// In the order in which they are written.
    pub metrics: &'static [Metric],
}

/// Whether a key of that name measures the machine (seconds, something a second, bytes of memory, energy and what it costs)
/// instead of being a function of config and seed.
pub fn is_measurement(key: &str) -> bool {
    key.ends_with("_s") || key.ends_with("_bytes") || key.starts_with("energy_") || key == "cost"
}

/// Declares a struct of metrics in named tables, and its `TABLES`:
///
/// ```text
/// metrics! {
///     /// Figures of a step.
///     #[derive(Serialize)]
///     pub struct StepMetrics {
///         "update" {
///             loss: f64 {
///                 unit: "nats",
///                 formula: "mean negative log-likelihood",
///                 healthy: "falls",
///                 otherwise: "lower the learning rate",
///             }
///         }
///         also { ... fields that are no metrics ... }
///     }
/// }
/// ```
///
/// `unit`, `healthy`, `otherwise` and `also` may be left out.
macro_rules! metrics {
    (
        $(#[$on_struct:meta])*
        pub struct $name:ident {
            $($table:literal {
                $($(#[$on_field:meta])* $key:ident: $kind:ty {
                    $(unit: $unit:literal,)?
                    formula: $formula:literal,
                    $(healthy: $healthy:literal,)?
                    $(otherwise: $otherwise:literal,)?
                })*
            })*
            $(also {
                $($(#[$on_other:meta])* $other:ident: $other_kind:ty,)*
            })?
        }
    ) => {
        $(#[$on_struct])*
        pub struct $name {
            $($(
                #[doc = $formula]
                $(#[$on_field])*
                pub $key: $kind,
            )*)*
            $($(
                $(#[$on_other])*
                pub $other: $other_kind,
            )*)?
        }

        impl $name {
            /// What its keys mean.
            pub const TABLES: &'static [$crate::glossary::Table] = &[
                $($crate::glossary::Table {
                    name: $table,
                    metrics: &[
                        $($crate::glossary::Metric {
                            key: stringify!($key),
                            type_name: stringify!($kind),
                            unit: concat!($($unit)?),
                            formula: $formula,
                            healthy: concat!($($healthy)?),
                            otherwise: concat!($($otherwise)?),
                        },)*
                    ],
                },)*
            ];
        }
    };
}

pub(crate) use metrics;
