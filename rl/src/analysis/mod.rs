//! What runs and measurements say when they are laid side by side.
//!
//! | file | subject |
//! |---|---|
//! | [`source`] | a run's directory, a report of `dunwu eval`, its details: read again |
//! | [`compare`](mod@compare) | what differs, and whether it is more than noise |
//! | [`gain`] | what a run cost, and what a point of held-out accuracy cost in it |
//! | [`estimate`] | a figure and its interval |
//! | [`table`] | that as a text for people |
//! | [`plot`](mod@plot) | curves as an SVG file |

pub mod compare;
pub mod estimate;
pub mod gain;
#[cfg(feature = "plot")]
pub mod plot;
pub mod source;
pub mod table;

pub use compare::{Comparison, compare};
pub use gain::RunCost;
#[cfg(feature = "plot")]
pub use plot::{PlotError, PlotOptions, plot};
pub use source::{Source, SourceError};
