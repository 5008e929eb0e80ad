//! Sampled batches on disk: what an asynchronous run has sampled and not yet trained on is part of
//! its checkpoint.

use std::sync::Arc;

use dunwu_datasets::{Cursor, Task};
use dunwu_rewards::{Fault, RewardOutcome};
use serde::{Deserialize, Serialize};

use super::sampler::StepRollouts;
use crate::{
    generation::Finish,
    model::routed_experts::{RoutedExperts, RoutedShape},
    rollout::{Completion, GivenTurn, JudgeError, RolloutGroup, SampledTurn, Trajectory, Turn},
};

/// [`StepRollouts`] as JSON. Numbers that training depends on are kept by their bits: no rounding
/// comes between a run and its resumption.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedRollouts {
    groups: Vec<SavedGroup>,
    dropped: Vec<SavedGroup>,
    filling: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    skipped: Option<usize>,
    version: u64,
    batches: usize,
    generation_s: f64,
    reward_s: f64,
    cursor: Cursor,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedGroup {
    task: Task,
    prompt_text: String,
    prompt: Vec<u32>,
    completions: Vec<SavedCompletion>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedCompletion {
    turns: Vec<SavedTurn>,
    outcome: SavedOutcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    routed_experts: Option<SavedRoutes>,
}

/// Which experts the tokens of a completion and its prompt went to.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedRoutes {
    layers: usize,
    experts: usize,
    chosen: usize,
    /// Four hexadecimal digits each, token by token and layer by layer.
    routes: String,
}

impl From<&RoutedExperts> for SavedRoutes {
    fn from(routed: &RoutedExperts) -> Self {
        let RoutedShape {
            layers,
            experts,
            chosen,
        } = routed.shape();
        Self {
            layers,
            experts,
            chosen,
            routes: routed.to_hex(),
        }
    }
}

impl SavedRoutes {
    fn routed(&self) -> Option<RoutedExperts> {
        let shape = RoutedShape {
            layers: self.layers,
            experts: self.experts,
            chosen: self.chosen,
        };
        RoutedExperts::of_hex(shape, &self.routes)
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum SavedTurn {
    Sampled {
        tokens: Vec<u32>,
        sampling_logprob_bits: Vec<u32>,
        text: String,
        finish: Finish,
    },
    Given {
        tokens: Vec<u32>,
        text: String,
    },
}

impl From<&Turn> for SavedTurn {
    fn from(turn: &Turn) -> Self {
        match turn {
            Turn::Sampled(turn) => Self::Sampled {
                tokens: turn.tokens.to_vec(),
                sampling_logprob_bits: turn.logprobs.iter().map(|l| l.to_bits()).collect(),
                text: turn.text.clone(),
                finish: turn.finish,
            },
            Turn::Given(turn) => Self::Given {
                tokens: turn.tokens.to_vec(),
                text: turn.text.clone(),
            },
        }
    }
}

impl From<SavedTurn> for Turn {
    fn from(saved: SavedTurn) -> Self {
        match saved {
            SavedTurn::Sampled {
                tokens,
                sampling_logprob_bits,
                text,
                finish,
            } => Self::Sampled(SampledTurn {
                tokens: tokens.into(),
                logprobs: sampling_logprob_bits
                    .into_iter()
                    .map(f32::from_bits)
                    .collect(),
                text,
                finish,
            }),
            SavedTurn::Given { tokens, text } => Self::Given(GivenTurn {
                tokens: tokens.into(),
                text,
            }),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum SavedOutcome {
    Judged {
        total_bits: u64,
        component_bits: Vec<(String, Option<u64>)>,
        part_bits: Vec<(String, u64)>,
        notes: Vec<String>,
    },
    Failed {
        message: String,
        undecided: bool,
        /// By name; checkpoints of earlier versions say nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fault: Option<String>,
    },
}

impl From<&StepRollouts> for SavedRollouts {
    fn from(rollouts: &StepRollouts) -> Self {
        let groups = |groups: &[RolloutGroup]| groups.iter().map(SavedGroup::from).collect();
        Self {
            groups: groups(&rollouts.groups),
            dropped: groups(&rollouts.dropped),
            filling: rollouts.filling,
            skipped: rollouts.skipped,
            version: rollouts.version,
            batches: rollouts.batches,
            generation_s: rollouts.generation_s,
            reward_s: rollouts.reward_s,
            cursor: rollouts.cursor.clone(),
        }
    }
}

impl From<SavedRollouts> for StepRollouts {
    fn from(saved: SavedRollouts) -> Self {
        let groups = |groups: Vec<SavedGroup>| groups.into_iter().map(Into::into).collect();
        Self {
            groups: groups(saved.groups),
            dropped: groups(saved.dropped),
            filling: saved.filling,
            skipped: saved.skipped,
            version: saved.version,
            batches: saved.batches,
            generation_s: saved.generation_s,
            reward_s: saved.reward_s,
            recorded_tokens: 0,
            cursor: saved.cursor,
        }
    }
}

impl From<&RolloutGroup> for SavedGroup {
    fn from(group: &RolloutGroup) -> Self {
        Self {
            task: group.task.clone(),
            prompt_text: group.prompt_text.clone(),
            prompt: group.prompt.to_vec(),
            completions: group.completions.iter().map(Into::into).collect(),
        }
    }
}

impl From<SavedGroup> for RolloutGroup {
    fn from(saved: SavedGroup) -> Self {
        let prompt: Arc<[u32]> = saved.prompt.into();
        let completion = |saved: SavedCompletion| saved.after(&prompt);
        Self {
            task: saved.task,
            prompt_text: saved.prompt_text,
            completions: saved.completions.into_iter().map(completion).collect(),
            prompt,
        }
    }
}

impl From<&Completion> for SavedCompletion {
    fn from(completion: &Completion) -> Self {
        let bits = |values: &[(String, f64)]| {
            let exact = |(name, value): &(String, f64)| (name.clone(), value.to_bits());
            values.iter().map(exact).collect()
        };
        let outcome = match &completion.outcome {
            Ok(outcome) => SavedOutcome::Judged {
                total_bits: outcome.total.to_bits(),
                component_bits: outcome
                    .components
                    .iter()
                    .map(|(name, value)| (name.clone(), value.map(f64::to_bits)))
                    .collect(),
                part_bits: bits(&outcome.parts),
                notes: outcome.notes.clone(),
            },
            Err(error) => SavedOutcome::Failed {
                message: error.to_string(),
                undecided: error.is_undecided(),
                fault: error.fault().map(|fault| fault.name().to_owned()),
            },
        };
        Self {
            turns: completion.trajectory.turns.iter().map(Into::into).collect(),
            outcome,
            routed_experts: completion
                .trajectory
                .routed_experts
                .as_deref()
                .map(Into::into),
        }
    }
}

impl SavedCompletion {
    /// The completion, of a prompt.
    fn after(self, prompt: &Arc<[u32]>) -> Completion {
        let outcome = match self.outcome {
            SavedOutcome::Judged {
                total_bits,
                component_bits,
                part_bits,
                notes,
            } => Ok(RewardOutcome {
                total: f64::from_bits(total_bits),
                components: component_bits
                    .into_iter()
                    .map(|(name, bits)| (name, bits.map(f64::from_bits)))
                    .collect(),
                parts: part_bits
                    .into_iter()
                    .map(|(name, bits)| (name, f64::from_bits(bits)))
                    .collect(),
                notes,
            }),
            SavedOutcome::Failed {
                message,
                undecided,
                fault,
            } => Err(JudgeError::Earlier {
                message,
                undecided,
                fault: Fault::ALL
                    .into_iter()
                    .find(|known| Some(known.name()) == fault.as_deref()),
            }),
        };
        Completion {
            trajectory: Trajectory {
                prompt: prompt.clone(),
                turns: self.turns.into_iter().map(Into::into).collect(),
                routed_experts: self
                    .routed_experts
                    .and_then(|saved| saved.routed())
                    .map(Arc::new),
            },
            recorded: None,
            outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunwu_datasets::Prompt;

    #[test]
    fn nothing_is_lost_on_the_way() {
        let prompt: Arc<[u32]> = [7, 8].into();
        let turn = SampledTurn {
            tokens: [1, 2, 3].into(),
            logprobs: [-0.1, -1.234_567_9e-7, f32::MIN_POSITIVE].into(),
            text: "three".to_owned(),
            finish: Finish::Length,
        };
        let completion = |outcome| Completion::of_one_turn(prompt.clone(), turn.clone(), outcome);
        let several = |outcome| {
            let mut completion = completion(outcome);
            let mut routed = RoutedExperts::new(RoutedShape {
                layers: 1,
                experts: 300,
                chosen: 2,
            });
            (0..5).for_each(|token| routed.push(&[token, 299 - token]));
            completion.trajectory.routed_experts = Some(Arc::new(routed));
            let given = GivenTurn {
                tokens: [4].into(),
                text: "four".to_owned(),
            };
            completion.trajectory.turns.push(Turn::Given(given));
            completion
                .trajectory
                .turns
                .push(Turn::Sampled(turn.clone()));
            completion
        };
        let judged = RewardOutcome {
            total: 0.1 + 0.2,
            components: vec![
                ("exact".to_owned(), Some(1.0 / 3.0)),
                ("math".to_owned(), None),
            ],
            parts: vec![("exact/x".to_owned(), 1e-300)],
            notes: vec!["a word".to_owned()],
        };
        let failed = JudgeError::Deadline { seconds: 2.0 };
        let rollouts = StepRollouts {
            groups: vec![RolloutGroup {
                task: Task::new("t", Prompt::Text("1+1=".to_owned()), "2"),
                prompt_text: "1+1=".to_owned(),
                prompt: prompt.clone(),
                completions: vec![completion(Ok(judged)), several(Err(failed))],
            }],
            version: 3,
            batches: 2,
            skipped: Some(4),
            ..StepRollouts::default()
        };
        let text = serde_json::to_string(&SavedRollouts::from(&rollouts)).unwrap();
        let back: StepRollouts = serde_json::from_str::<SavedRollouts>(&text).unwrap().into();
        let (a, b) = (&rollouts.groups[0], &back.groups[0]);
        assert_eq!((back.version, back.batches, back.skipped), (3, 2, Some(4)));
        assert_eq!((&a.task, &a.prompt), (&b.task, &b.prompt));
        for (a, b) in a.completions.iter().zip(&b.completions) {
            assert_eq!(a.trajectory, b.trajectory);
            assert_eq!(a.outcome.as_ref().ok(), b.outcome.as_ref().ok());
            let message = |c: &Completion| c.outcome.as_ref().err().map(ToString::to_string);
            assert_eq!(message(a), message(b));
            assert_eq!((a.failed(), a.undecided()), (b.failed(), b.undecided()));
            let fault = |c: &Completion| c.outcome.as_ref().err().map(JudgeError::fault);
            assert_eq!(fault(a), fault(b));
        }
    }
}
