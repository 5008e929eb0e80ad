//! What a stage carries from step to step beside the policy.

use super::{GrpoConfig, critic::Critic, kl::KlControl};

/// A value function, and the weight of a KL penalty that follows the divergence.
pub struct Carried {
    /// The critic, where the stage has one.
    pub critic: Option<Critic>,
    /// The weight of the KL penalty in the reward.
    pub kl: KlControl,
}

impl Carried {
    /// What a stage with these settings begins with; its critic, if it has one, is the caller's to give.
    pub fn new(config: &GrpoConfig, critic: Option<Critic>) -> Self {
        Self {
            critic,
            kl: config.kl_control(),
        }
    }
}
