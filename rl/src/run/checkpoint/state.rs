//! Where a run stood: `state.json` of a checkpoint.

use std::{collections::BTreeMap, fs, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::CheckpointError;
use crate::{
    alarms::Monitor,
    bundle::checkpoints::{STATE, name},
    eval::EvalReport,
    model::{ModelConfig, Transformer},
    run::{Origins, Showcase, StageReport, directory::Logged, metrics::MetricsLine},
};

/// Version of this layout.
pub(super) const FORMAT: u32 = 3;

/// Where a run stood: everything but weights and moments.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Version of the layout.
    pub format: u32,
    /// Steps of the whole run.
    pub step: u64,
    /// Index of the stage under way.
    pub stage: usize,
    /// Steps made in it.
    pub stage_step: u64,
    /// What the stage needs to go on; null before its first step.
    pub stage_state: Value,
    /// The line of the last step, as long as the measurement that belongs to it is not made: then that is done first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmeasured: Option<MetricsLine>,
    /// Updates the optimiser has made in this stage.
    pub optimizer_steps: u64,
    /// Version of the policy: updates made since the start of the run.
    pub policy_version: u64,
    /// Seconds spent so far.
    pub elapsed_s: f64,
    /// Held-out measurements so far: before the first GRPO stage, after the last.
    pub before: Option<EvalReport>,
    /// See `before`.
    pub after: Option<EvalReport>,
    /// The stages that have ended.
    pub stages: Vec<StageReport>,
    /// How the last stage ended, once all are over: a run that is made longer goes on from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// The problems shown before and after.
    pub showcase: Vec<Showcase>,
    /// The shape of the model that was saved.
    pub model: BTreeMap<String, usize>,
    /// What alarms remember.
    pub alarms: Monitor,
    /// How long the logs were.
    pub logged: Logged,
    /// What the run was made from.
    pub origins: Origins,
}

/// Where the last stage of a run stood when it ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// Steps made in it.
    pub stage_step: u64,
    /// What the stage needs to go on.
    pub stage_state: Value,
    /// Updates the optimiser has made in it.
    pub optimizer_steps: u64,
}

impl State {
    /// Goes back into the last stage of a run that is over, to where it ended: as if it were under way. What is kept of its
    /// end goes, and is there anew when it ends again.
    pub fn reopen(&mut self) {
        let Some(ended) = self.ended.take() else {
            return;
        };
        self.stage -= 1;
        self.stage_step = ended.stage_step;
        self.stage_state = ended.stage_state;
        self.optimizer_steps = ended.optimizer_steps;
        self.stages.pop();
        self.after = None;
        for shown in &mut self.showcase {
            shown.after.clear();
        }
    }
}

/// Reads a checkpoint's state.
///
/// # Errors
/// When it is missing, damaged, of another version, or not what the directory's name says.
pub fn load_state(checkpoint: &Path) -> Result<State, CheckpointError> {
    let path = checkpoint.join(STATE);
    let text = fs::read_to_string(&path).map_err(CheckpointError::io(&path))?;
    let state: State =
        serde_json::from_str(&text).map_err(|e| CheckpointError::invalid(&path, e))?;
    if state.format != FORMAT {
        let other = state.format;
        return Err(CheckpointError::invalid(
            &path,
            format!("format {other}, this program reads {FORMAT}"),
        ));
    }
    let (expected, step) = (name(state.step), state.step);
    match checkpoint.file_name().and_then(|name| name.to_str()) {
        Some(named) if named != expected => Err(CheckpointError::invalid(
            &path,
            format!("it is of step {step}, the directory is {named}"),
        )),
        _ => Ok(state),
    }
}

/// Checks that `model`, read for this checkpoint, is of the shape that was saved with `state`.
///
/// # Errors
/// [`CheckpointError::OtherModel`] with all that differs.
pub fn check_model(
    checkpoint: &Path,
    state: &State,
    model: &Transformer,
) -> Result<(), CheckpointError> {
    let found = shape(model.config());
    let differs = |key: &&String| state.model.get(*key) != found.get(*key);
    let keys: Vec<&String> = found.keys().filter(differs).collect();
    if keys.is_empty() {
        return Ok(());
    }
    let listed = |shape: &BTreeMap<String, usize>| {
        let entry = |key: &&String| match shape.get(*key) {
            Some(value) => format!("{key} = {value}"),
            None => format!("no {key}"),
        };
        keys.iter().map(entry).collect::<Vec<_>>().join(", ")
    };
    Err(CheckpointError::OtherModel {
        path: checkpoint.to_owned(),
        saved: listed(&state.model),
        found: listed(&found),
    })
}

/// The numbers that weights depend on.
pub(super) fn shape(config: &ModelConfig) -> BTreeMap<String, usize> {
    let latent = config.variation.latent;
    let widths = latent.map(|latent| {
        [
            ("q_lora_rank", latent.q_lora_rank.unwrap_or(0)),
            ("kv_lora_rank", latent.kv_lora_rank),
            ("qk_rope_head_dim", latent.qk_rope_head_dim),
            ("v_head_dim", latent.v_head_dim),
        ]
    });
    let experts = config.experts.as_ref().map(|experts| {
        [
            ("experts", experts.router.experts),
            ("experts_per_token", experts.router.chosen),
            ("moe_intermediate_size", experts.intermediate_size),
            (
                "shared_expert_intermediate_size",
                experts.shared_intermediate_size,
            ),
        ]
    });
    [
        ("vocab_size", config.vocab_size),
        ("hidden_size", config.hidden_size),
        ("intermediate_size", config.intermediate_size),
        ("num_hidden_layers", config.num_hidden_layers),
        ("num_attention_heads", config.num_attention_heads),
        ("num_key_value_heads", config.num_key_value_heads),
        ("head_dim", config.head_dim),
    ]
    .into_iter()
    .chain(widths.into_iter().flatten())
    .chain(experts.into_iter().flatten())
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}
