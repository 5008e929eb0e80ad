//! The loop around every step of GRPO.

use serde_json::{Value, json};

use super::{console::Console, interrupt, preflight, reference::{Place, Reference}, seeds::Purpose, summary::showcase, train::{collector, Run}, RunDirectory, RunError};
use crate::{eval::Moment, rollout::{Completion, RolloutGroup}, run::metrics::StageMetrics, stages::grpo::{metrics::pass_rate, trainer::StepOutcome, Feed, GrpoConfig, Sampler, Trainer}};

impl Run<'_> {
    pub(super) fn grpo(
        &mut self,
        stage: &GrpoConfig,
        directory: &mut RunDirectory,
        console: &Console,
    ) -> Result<bool, RunError> {
        if self.state.stage_step == 0 {
            self.before_grpo(stage, console)?;
        }
        let (config, codec, judge) = (self.config, self.codec.clone(), self.judge.clone());
        let sampler = Sampler {
            config: stage,
            sampling: &config.sampling,
            collector: collector(config, &codec, &judge),
            correct: &config.evaluation.correct,
            seed: self.seed(Purpose::Rollouts),
            recorded_tokens: config.memory.recorded_tokens(stage),
        };
        let mut source = self.tasks.source(self.seed(Purpose::Tasks))?;
        if self.state.stage_step > 0 {
            source.restore(&self.state.cursor)?;
        }
        let ready = std::mem::take(&mut self.pending);
        let step = self.state.stage_step;
        match stage.max_staleness {
            0 => self.grpo_steps(stage, Feed::in_turn(sampler, source), directory, console),
            _ => std::thread::scope(|scope| {
                let feed = Feed::beside(scope, sampler, source, step, ready);
                self.grpo_steps(stage, feed, directory, console)
            }),
        }
    }

    /// What is done before the first step of a stage: the preflight, and the first measurement.
    fn before_grpo(&mut self, stage: &GrpoConfig, console: &Console) -> Result<(), RunError> {
        if !self.options.no_preflight {
            let seed = self.seed(Purpose::Preflight);
            let mut source = self.tasks.source(seed)?;
            preflight::check(
                &self.collector(),
                &self.learner.model,
                &self.config.sampling,
                stage,
                self.config.memory.scoring(&self.config.sampling),
                source.as_mut(),
                seed,
            )?;
            console.line("preflight passed");
        }
        if self.state.before.is_none() {
            let samples = self.config.evaluation.samples;
            let (report, groups) =
                self.evaluate(console, "held-out before", samples, Moment::Before)?;
            self.measured_before(&report);
            self.state.before = Some(report);
            self.state.showcase = showcase(&groups);
        }
        Ok(())
    }

    fn grpo_steps(
        &mut self,
        stage: &GrpoConfig,
        mut feed: Feed,
        directory: &mut RunDirectory,
        console: &Console,
    ) -> Result<bool, RunError> {
        let (config, codec, judge) = (self.config, self.codec.clone(), self.judge.clone());
        let path = directory.path().to_owned();
        let device = self.learner.model.device();
        let place = Place {
            directory: &path,
            codec: &codec,
            device: &device,
            stage: self.state.stage,
            precision: config.memory.frozen,
        };
        let step = self.state.stage_step;
        let mut reference = Reference::open(stage, place, step, &self.learner.model)?;
        let bar = console.stage("grpo", stage.steps, self.state.stage_step);
        let begun = self.state.step - self.state.stage_step;
        for step in self.state.stage_step..stage.steps {
            reference.renew(stage, step, &self.learner.model)?;
            let trainer = Trainer {
                config: stage,
                sampling: &config.sampling,
                judge: &judge,
                reference: reference.get(),
                scoring: config.memory.scoring(&config.sampling),
                workers: config.memory.workers,
                activations: config.memory.activations(),
            };
            let mut outcome = trainer.step(&mut self.learner, &mut feed, step)?;
            let correct = &config.evaluation.correct;
            outcome.metrics.pass_rate = pass_rate(outcome.rollouts.sampled(), correct);
            self.state.cursor = outcome.rollouts.cursor.clone();
            bar.grpo(step + 1, &outcome.metrics);
            directory.log_completions(&completion_lines(self.state.step + 1, &outcome))?;
            let last = step + 1 == stage.steps;
            let heldout = self.measure_after(stage, step, console)?;
            let saved = self.after_step(
                StageMetrics::Grpo(outcome.metrics),
                heldout,
                last,
                || feed.pending(),
                directory,
            )?;
            // Whoever goes back to the oldest checkpoint needs its reference.
            if saved && let Some(oldest) = self.checkpointer.oldest_step()? {
                reference.forget_before(oldest.saturating_sub(begun))?;
            }
            if interrupt::asked() && !last {
                return Ok(false);
            }
        }
        Ok(!interrupt::asked())
    }

    /// Measures held-out problems when it is time: after the last step, and every so many.
    fn measure_after(
        &mut self,
        stage: &GrpoConfig,
        step: u64,
        console: &Console,
    ) -> Result<Option<f64>, RunError> {
        let every = self.config.evaluation.every;
        if step + 1 == stage.steps {
            let samples = self.config.evaluation.samples;
            let (report, groups) =
                self.evaluate(console, "held-out after", samples, Moment::After)?;
            let accuracy = report.greedy_accuracy;
            let ended = self.stage_report(Some(report.clone()));
            self.state.stages.push(ended);
            self.state.after = Some(report);
            for (shown, after) in self.state.showcase.iter_mut().zip(showcase(&groups)) {
                shown.after = after.before;
            }
            return Ok(accuracy);
        }
        if every > 0 && (step + 1).is_multiple_of(every) {
            let label = format!("held-out at step {}", step + 1);
            let (report, _) = self.evaluate(console, &label, 0, Moment::During)?;
            return Ok(report.greedy_accuracy);
        }
        Ok(None)
    }
}

/// The lines of `completions.jsonl` for one step.
fn completion_lines(step: u64, outcome: &StepOutcome) -> Vec<Value> {
    let mut lines = Vec::new();
    let trained = outcome.rollouts.groups.iter().zip(&outcome.advantages);
    for (group, advantages) in trained {
        let completions = group.completions.iter().zip(advantages);
        lines.extend(completions.map(|(c, advantage)| completion_line(step, group, c, *advantage)));
    }
    for group in &outcome.rollouts.dropped {
        let completions = group.completions.iter();
        lines.extend(completions.map(|c| completion_line(step, group, c, None)));
    }
    lines
}

fn completion_line(
    step: u64,
    group: &RolloutGroup,
    completion: &Completion,
    advantage: Option<f64>,
) -> Value {
    let components: serde_json::Map<String, Value> = match &completion.outcome {
        Ok(outcome) => outcome
            .components
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect(),
        Err(_) => Default::default(),
    };
    json!({
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
    })
}
