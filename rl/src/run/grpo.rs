//! The loop around every step of GRPO.

use std::path::Path;

use super::{
    Bundle, RunDirectory, RunError,
    console::Console,
    interrupt, preflight,
    seeds::Purpose,
    summary::showcase,
    train::{Run, collector},
};
use crate::{
    checkpoint,
    grpo::{GrpoConfig, Trainer, group_advantages},
    metrics::StageMetrics,
    model::Transformer,
    rollout::RolloutGroup,
};

impl Run<'_> {
    pub(super) fn grpo(
        &mut self,
        stage: &GrpoConfig,
        directory: &mut RunDirectory,
        console: &Console,
    ) -> Result<bool, RunError> {
        if self.state.stage_step == 0 {
            if !self.options.no_preflight {
                let seed = self.seed(Purpose::Preflight);
                let mut source = self.tasks.source(seed)?;
                preflight::check(
                    &self.collector(),
                    &self.learner.model,
                    &self.config.sampling,
                    stage,
                    self.config.memory.token_budget,
                    source.as_mut(),
                    seed,
                )?;
                console.line("preflight passed");
            }
            if self.state.before.is_none() {
                let samples = self.config.evaluation.samples;
                let (report, groups) = self.evaluate(console, "held-out before", samples)?;
                self.state.before = Some(report);
                self.state.showcase = showcase(&groups);
            }
        }
        let reference = self.reference(stage, directory.path())?;
        let mut source = self.tasks.source(self.seed(Purpose::Tasks))?;
        if self.state.stage_step > 0 {
            source.restore(&self.state.cursor)?;
        }
        let bar = console.stage("grpo", stage.steps, self.state.stage_step);
        for step in self.state.stage_step..stage.steps {
            let (metrics, groups) = Trainer {
                config: stage,
                sampling: &self.config.sampling,
                collector: collector(self.config, &self.codec, &self.judge),
                reference: reference.as_ref(),
                token_budget: self.config.memory.token_budget,
                workers: self.config.memory.workers,
                head_chunk_bytes: self.head_chunk_bytes(),
                activations: self.config.memory.activations(),
                seed: self.seed(Purpose::Rollouts),
            }
            .step(&mut self.learner, source.as_mut(), step, |_| {})?;
            self.state.cursor = source.cursor();
            bar.grpo(step + 1, &metrics);
            directory.log_completions(&completion_lines(self.state.step + 1, stage, &groups))?;
            let last = step + 1 == stage.steps;
            let mut heldout = None;
            if last {
                let samples = self.config.evaluation.samples;
                let (report, groups) = self.evaluate(console, "held-out after", samples)?;
                heldout = report.greedy_accuracy;
                self.state.after = Some(report);
                for (shown, after) in self.state.showcase.iter_mut().zip(showcase(&groups)) {
                    shown.after = after.before;
                }
            } else if self.config.evaluation.every > 0
                && (step + 1).is_multiple_of(self.config.evaluation.every)
            {
                let label = format!("held-out at step {}", step + 1);
                heldout = self.evaluate(console, &label, 0)?.0.greedy_accuracy;
            }
            self.after_step(StageMetrics::Grpo(metrics), heldout, last, directory)?;
            if interrupt::asked() && !last {
                return Ok(false);
            }
        }
        Ok(!interrupt::asked())
    }

    /// The frozen policy of the KL penalty: with adapters the base with the adapters off, else the
    /// policy at the start of the stage, kept beside the checkpoints so that a resumed run finds
    /// the same.
    fn reference(&self, stage: &GrpoConfig, path: &Path) -> Result<Option<Transformer>, RunError> {
        if stage.beta == 0.0 {
            return Ok(None);
        }
        if self.learner.model.lora().is_some() {
            return Ok(Some(self.learner.model.base()));
        }
        let kept = path.join(format!("reference-{}", self.state.stage));
        if self.state.stage_step == 0 {
            // One that is there is of a sitting that was killed before it was saved.
            if kept.exists() {
                std::fs::remove_dir_all(&kept).map_err(RunError::file(&kept))?;
            }
            checkpoint::save_model(&kept, &self.learner.model, &self.codec)?;
            return Ok(Some(self.learner.model.clone()));
        }
        let bundle = Bundle::open(&kept.display().to_string(), &self.device)?;
        Ok(Some(bundle.model))
    }
}

/// The lines of `completions.jsonl` for one step.
fn completion_lines(
    step: u64,
    stage: &GrpoConfig,
    groups: &[RolloutGroup],
) -> Vec<serde_json::Value> {
    let mut lines = Vec::new();
    for group in groups {
        let advantages = group_advantages(&group.rewards(), stage.scale_rewards);
        for (completion, advantage) in group.completions.iter().zip(advantages) {
            let components: serde_json::Map<String, serde_json::Value> = match &completion.outcome {
                Ok(outcome) => outcome
                    .components
                    .iter()
                    .map(|(k, v)| (k.clone(), json!(v)))
                    .collect(),
                Err(_) => Default::default(),
            };
            lines.push(json!({
                "step": step,
                "task": group.task.id,
                "prompt": group.prompt_text,
                "completion": completion.text,
                "answer": group.task.answer,
                "tokens": completion.tokens.len(),
                "truncated": completion.truncated(),
                "reward": completion.reward(),
                "components": components,
                "judge_error": completion.outcome.as_ref().err().map(ToString::to_string),
                "advantage": advantage,
            }));
        }
    }
    lines
}
