//! The place of a model among judges: a rubric names it, and whoever has tensors puts the model there.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::sample::Sample;

/// What a model says of a completion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Worth {
    /// What counts.
    pub value: f64,
    /// What the model's head said, before it was normalised.
    pub raw: f64,
}

/// A model that says what a completion is worth.
///
/// What it says may depend on nothing but the sample: judges are asked by several threads, in any order.
pub trait ModelJudge: Send + Sync {
    /// The worth of one completion.
    ///
    /// # Errors
    /// Why there is none, in words.
    fn worth(&self, sample: &Sample) -> Result<Worth, String>;
}

/// Which model is to sit there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seated {
    /// One in this directory.
    Path(PathBuf),
    /// The one that a stage of the run, counted from 0, leaves.
    Stage(usize),
}

impl fmt::Display for Seated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "path = {:?}", path.display().to_string()),
            Self::Stage(stage) => write!(f, "from_stage = {stage}"),
        }
    }
}

/// The place of a model among judges.
pub struct ModelSeat {
    component: String,
    seated: Seated,
    normalize: bool,
    model: OnceLock<Arc<dyn ModelJudge>>,
}

impl ModelSeat {
    /// The empty place of `seated`, in the component of this name.
    pub fn new(component: impl Into<String>, seated: Seated, normalize: bool) -> Self {
        Self {
            component: component.into(),
            seated,
            normalize,
            model: OnceLock::new(),
        }
    }

    /// The name of the component that asks the model.
    pub fn component(&self) -> &str {
        &self.component
    }

    /// Which model is to sit there.
    pub fn seated(&self) -> &Seated {
        &self.seated
    }

    /// The directory, where it is named.
    pub fn path(&self) -> Option<&Path> {
        match &self.seated {
            Seated::Path(path) => Some(path),
            Seated::Stage(_) => None,
        }
    }

    /// Whether the mean that was measured of the model is to be taken off, and what is left divided by its deviation.
    pub fn normalizes(&self) -> bool {
        self.normalize
    }

    /// Puts the model there. One that sits there already stays.
    pub fn fill(&self, model: Arc<dyn ModelJudge>) {
        let _ = self.model.set(model); // who came first stays
    }

    /// The model, once it is there.
    pub fn model(&self) -> Option<&dyn ModelJudge> {
        self.model.get().map(AsRef::as_ref)
    }
}

impl fmt::Debug for ModelSeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelSeat")
            .field("component", &self.component)
            .field("seated", &self.seated)
            .field("normalize", &self.normalize)
            .field("filled", &self.model.get().is_some())
            .finish()
    }
}
