//! A training run: its directory, the loop around its stages, and what it tells.
//!
//! | file | subject |
//! |---|---|
//! | [`builder`] | a run with rewards, tasks and observers of one's own |
//! | `driver` | the loop around every step of every stage |
//! | [`events`], [`controls`] | what happens in a run, and what may be asked of it |
//! | [`directory`] | `runs/<name>/` |
//! | [`heartbeat`] | whether a run is alive, told from outside |
//! | [`checkpoint`] | saving and going on |
//! | [`identity`], [`origins`] | which settings, weights and problems a resumed run must have as they were |
//! | `measuring` | when held-out problems are answered |
//! | [`provenance`], [`card`] | where what a run was made of came from, and the card of what it made |
//! | `restart` | the model that a run, a checkpoint or a stage begins with |
//! | [`seats`] | reward models among the judges |
//! | [`metrics`] | a line of `metrics.jsonl`, and the pages that explain it |
//! | [`stages`], [`summary`] | what is kept of a stage, and of a run |
//! | [`tensorboard`] | the figures of a run as event files |
//! | `notify` | commands that are told of alarms |
//! | [`check`] | what will end a run, or spoil it, before it costs anything |
//! | `sample` | which problems are looked at for that |
//! | [`estimate`], [`preflight`] | how much memory a run will take, and whether there is so much |

pub mod builder;
pub mod card;
pub mod check;
pub mod checkpoint;
pub mod controls;
pub mod directory;
mod driver;
mod error;
pub mod estimate;
pub mod events;
pub mod heartbeat;
pub mod identity;
mod measuring;
pub mod metrics;
mod notify;
pub mod origins;
pub mod preflight;
pub mod provenance;
mod restart;
mod sample;
pub mod seats;
pub mod stages;
pub mod summary;
pub mod tensorboard;

pub use builder::{Run, RunBuilder};
pub use controls::Controls;
pub use directory::RunDirectory;
pub use error::RunError;
use events::Observers;
pub use events::{Event, Observer};
pub use origins::Origins;
pub use stages::StageReport;
pub use summary::{Showcase, Summary};
