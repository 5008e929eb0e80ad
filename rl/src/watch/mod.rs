//! A run seen from outside, in the terminal: its files are read, and nothing of it is touched but the lock, for an instant, to see
//! whether somebody holds it.
//!
//! | file | subject |
//! |---|---|
//! | [`follow`] | files that grow, are cut off in the middle of a line, or are rewound |
//! | [`clean`] | text that a terminal shows and does not obey |
//! | [`watched`] | what is known of a run |
//! | [`shown`] | a completion to be shown |
//! | [`chart`] | a curve in a few lines of text |
//! | [`screen`] | all of that as a picture |
//! | [`terminal`] | keys, and the picture drawn again and again; lines where there is no terminal |

pub mod chart;
pub mod clean;
pub mod follow;
pub mod screen;
pub mod shown;
pub mod terminal;
pub mod watched;

pub use terminal::{Watch, WatchError};
pub use watched::Watched;
