//! A judge with its weight.

use std::fmt;

use crate::reward::{GroupReward, Reward};

/// A judge and its factor in the weighted sum.
pub struct Component {
    pub(super) weight: f64,
    pub(super) judge: Judge,
}

/// What a component asks.
pub(super) enum Judge {
    /// A judge of completions one by one.
    Each(Box<dyn Reward>),
    /// A judge of whole groups.
    Group(Box<dyn GroupReward>),
}

impl Component {
    /// A judge with the factor 1.
    pub fn new(reward: Box<dyn Reward>) -> Self {
        Self {
            weight: 1.0,
            judge: Judge::Each(reward),
        }
    }

    /// A judge of groups with the factor 1.
    pub fn of_group(reward: Box<dyn GroupReward>) -> Self {
        Self {
            weight: 1.0,
            judge: Judge::Group(reward),
        }
    }

    /// The same with another factor in the weighted sum. It has to stay at 1 where the rubric has a formula.
    #[must_use]
    pub fn with_weight(self, weight: f64) -> Self {
        Self { weight, ..self }
    }

    /// The judge's name.
    pub fn name(&self) -> &str {
        match &self.judge {
            Judge::Each(reward) => reward.name(),
            Judge::Group(reward) => reward.name(),
        }
    }

    /// Its factor in the weighted sum.
    pub fn weight(&self) -> f64 {
        self.weight
    }

    /// The judge, if it judges completions one by one.
    pub(crate) fn into_reward(self) -> Option<Box<dyn Reward>> {
        match self.judge {
            Judge::Each(reward) => Some(reward),
            Judge::Group(_) => None,
        }
    }

    pub(super) fn typical_scores(&self) -> [f64; 2] {
        match &self.judge {
            Judge::Each(reward) => reward.typical_scores(),
            Judge::Group(reward) => reward.typical_scores(),
        }
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component")
            .field("name", &self.name())
            .field("weight", &self.weight)
            .finish_non_exhaustive()
    }
}
