//! When held-out problems are answered, and what is kept of it.

use std::sync::{Mutex, PoisonError};

use super::{
    Event, RunError,
    driver::{Driver, Outcome},
};
use crate::{
    bundle::PromptError,
    eval::{Evaluation, EvaluationLine, Measurement, Moment, record},
    rollout::work::Amount,
    seeds::evaluation_seed,
    stages::{Measuring, Settings, collector},
};

/// A measurement to be made.
struct Plan {
    label: String,
    samples: usize,
    moment: Moment,
}

impl Driver<'_> {
    /// The measurement that belongs to the step just made: after the last of a stage, every so many, or as asked.
    pub(super) fn measure_after(
        &mut self,
        settings: &dyn Settings,
        last: bool,
    ) -> Result<Outcome, RunError> {
        let Some(plan) = self.plan(settings, last) else {
            return Ok(Outcome::Measured(None));
        };
        let measured = self.measure(&plan.label, plan.samples, plan.moment)?;
        Ok(match measured {
            Some(measured) => Outcome::Measured(Some(Box::new(measured))),
            None => Outcome::Stopped,
        })
    }

    /// What is to be measured after the step just made.
    fn plan(&self, settings: &dyn Settings, last: bool) -> Option<Plan> {
        if self.tasks.heldout.is_empty() {
            return None; // a run that only learns from examples
        }
        let (index, evaluation) = (self.state.stage, &self.config.evaluation);
        let step = self.state.stage_step;
        let measuring = settings.measuring();
        if last && measuring == Measuring::Throughout {
            return Some(Plan {
                label: "held-out after".to_owned(),
                samples: evaluation.samples,
                moment: Moment::After,
            });
        }
        if last {
            let known = self
                .state
                .stages
                .last()
                .is_some_and(|r| r.heldout.is_some());
            if measuring == Measuring::Unchanged && known {
                return None;
            }
            // Before the first stage that measures throughout, that measurement is this one.
            let next = self.config.stages.get(index + 1);
            let throughout =
                next.is_some_and(|s| s.settings().measuring() == Measuring::Throughout);
            if self.state.before.is_none() && throughout {
                return None;
            }
            let kind = self.config.stages[index].kind();
            return Some(Plan {
                label: format!("held-out after stage {index} ({kind})"),
                samples: 0,
                moment: Moment::After,
            });
        }
        let every = evaluation.every;
        let due = measuring == Measuring::Throughout && every > 0 && step.is_multiple_of(every);
        (self.controls.take_measure() || due).then(|| Plan {
            label: format!("held-out at step {step}"),
            samples: 0,
            moment: Moment::During,
        })
    }

    /// Measures the policy, tells it and keeps who answered what right; `None` when the run was asked to stop meanwhile.
    pub(super) fn measure(
        &mut self,
        label: &str,
        samples: usize,
        moment: Moment,
    ) -> Result<Option<Measurement>, RunError> {
        let problems = self.tasks.heldout.len();
        self.observers.tell(&Event::MeasurementBegan {
            label,
            answers: problems * (1 + usize::from(samples > 0)),
        });
        let controls = self.controls.clone();
        let evaluation = Evaluation {
            collector: collector(
                &self.codec,
                &self.judge,
                self.environment.as_ref(),
                &self.config.memory,
            ),
            sampling: &self.config.sampling,
            correct: &self.config.evaluation.correct,
            samples,
            seed: evaluation_seed(self.config.seed),
        };
        let observers = Mutex::new(&mut self.observers);
        let progress = |done| {
            let mut observers = observers.lock().unwrap_or_else(PoisonError::into_inner);
            observers.tell(&Event::Measuring { done });
        };
        let measured = evaluation.run(&self.learner.model, &self.tasks.heldout, progress, &|| {
            controls.stops()
        });
        let measurement = match measured {
            Ok(measurement) => measurement,
            Err(PromptError::Cancelled) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        for groups in [&measurement.greedy_groups, &measurement.sampled_groups] {
            self.spent.measured(Amount::sampled(groups));
        }
        let step = self.state.step;
        let line = EvaluationLine {
            step,
            stage: self.state.stage,
            moment,
            problem_set: record::problem_set(&self.tasks.heldout),
            greedy: measurement.greedy.clone(),
            sampled: measurement.sampled.clone(),
            report: measurement.report.clone(),
        };
        self.directory.log_evaluation(&line)?;
        let texts = record::heldout_lines(&line, &measurement.greedy_groups);
        self.directory.log_heldout(&texts)?;
        self.on_board(|board| board.measured(line.step, &line.report));
        self.observers.tell(&Event::Measured {
            label,
            moment,
            step,
            report: &measurement.report,
        });
        Ok(Some(measurement))
    }
}
