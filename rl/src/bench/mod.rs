//! What a step costs, and how far that is from what the machine can do.
//!
//! | file | subject |
//! |---|---|
//! | this one | one GRPO step of a given shape, measured |
//! | [`traffic`] | how often a GPU is called |
//! | [`work`] | how many floating-point operations a step needs, and how many the machine does |
//! | [`growth`] | how the cost grows with batch, length, group and prompt: a table and a plot |

#[cfg(feature = "plot")]
pub mod growth;
pub mod traffic;
pub mod work;

use dunwu_datasets::{Prompt, Task, derive_seed};
use dunwu_rewards::{ComponentConfig, RewardOutcome, Rubric, RubricConfig};
use serde::Serialize;

use crate::{
    bundle::{Bundle, Codec},
    generation::SamplingConfig,
    learner::{AdamW, AdamWConfig, Learner, MemorySection},
    machine::peak_memory_bytes,
    model::{ModelConfig, lora::Lora},
    rollout::{Collected, Judge, RolloutCollector},
    run::RunError,
    stages::grpo::{GrpoConfig, StepRollouts, Trainer},
};
use traffic::{Traffic, Watch};
use work::Work;

/// The shape of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Prompts.
    pub prompts: usize,
    /// Completions a prompt.
    pub group: usize,
    /// Longest completion, in tokens.
    pub max_tokens: usize,
    /// Words put before each question, to make prompts longer.
    pub padding: usize,
    /// Let every completion run to `max_tokens`.
    pub ignore_eos: bool,
}

/// What one step took. Times are in seconds of wall clock.
#[derive(Debug, Clone, Serialize)]
pub struct StepReport {
    /// The whole step.
    pub step_s: f64,
    /// Reading prompts and sampling completions.
    pub generation_s: f64,
    /// Waiting for the judge after the last token.
    pub reward_s: f64,
    /// Forward, backward and update.
    pub training_s: f64,
    /// Tokens of all completions.
    pub completion_tokens: usize,
    /// Those and the tokens of the prompts, each prompt counted once a completion, as TRL counts.
    pub total_tokens: usize,
    /// Rows that go through the model once: those of the prompts, each once for all its completions,
    /// and those of the completions.
    pub rows: usize,
    /// Tokens whose activations training took from sampling.
    pub recorded_tokens: usize,
    /// Completion tokens per second of generation.
    pub generated_tokens_per_s: f64,
    /// `total_tokens` per second of training.
    pub trained_tokens_per_s: f64,
    /// Operations that generation needs; see [`work`].
    pub generation_flops: f64,
    /// Operations that training needs.
    pub training_flops: f64,
    /// Calls of the device while sampling; none where it is the CPU.
    pub generation_traffic: Traffic,
    /// Calls of the device while training.
    pub training_traffic: Traffic,
}

/// A bundle with what a step needs.
pub struct Bench {
    codec: Codec,
    learner: Learner,
    judge: Judge,
    memory: MemorySection,
    shape: Shape,
}

impl Bench {
    /// Makes ready; `lora` trains adapters instead of the model.
    ///
    /// # Errors
    /// When an adapter does not fit, or threads cannot be started.
    pub fn new(
        mut bundle: Bundle,
        shape: Shape,
        memory: MemorySection,
        lora: Option<&Lora>,
    ) -> Result<Self, RunError> {
        if let Some(lora) = lora {
            lora.apply(&mut bundle.model, 0)?;
            bundle.model = bundle.model.stored_as(memory.frozen)?;
        }
        let exact = RubricConfig::new(vec![ComponentConfig::Exact(Default::default())]);
        let rubric = Rubric::from_config(&exact).map_err(|e| RunError::Config(e.to_string()))?;
        let deadline = std::time::Duration::from_secs(60);
        Ok(Self {
            learner: Learner::new(bundle.model, AdamW::new(AdamWConfig::default()), 0),
            judge: Judge::new(rubric, deadline).map_err(RunError::Threads)?,
            codec: bundle.codec,
            memory,
            shape,
        })
    }

    /// Makes one step and says what it took. Sums of numbers up to 20 are asked, as in the peers'
    /// scripts. Whatever the judge says, the reward alternates within a group: no group is
    /// left out of training for being all right or all wrong.
    ///
    /// # Errors
    /// When prompts cannot be encoded or the loss is not a number.
    pub fn step(&mut self, step: u64) -> Result<StepReport, RunError> {
        let shape = &self.shape;
        let sampling = SamplingConfig {
            max_tokens: shape.max_tokens,
            ..SamplingConfig::default()
        };
        let config = GrpoConfig {
            prompts: shape.prompts,
            group: shape.group,
            // Small: what is measured should stay the same from step to step.
            learning_rate: 1e-8,
            ..GrpoConfig::default()
        };
        let eos: &[u32] = if shape.ignore_eos {
            &[]
        } else {
            &self.codec.eos
        };
        let collector = RolloutCollector {
            batch_rows: self.memory.batch_rows,
            workers: self.memory.workers,
            recorded_tokens: self.memory.recorded_tokens(config.at_once()),
            ..RolloutCollector::new(&self.codec.encoder, &self.judge, eos)
        };
        let trainer = Trainer::new(&config, &sampling, &self.judge, &self.memory);
        let model = &self.learner.model;
        let tasks = tasks(shape, self.codec.encoder.template.is_some(), step);
        let watch = Watch::new();
        let start = watch.so_far();
        let mut collected =
            collector.collect(model, &sampling, tasks, shape.group, step, |_| {})?;
        let sampled = watch.so_far();
        alternate(&mut collected);
        let rollouts = StepRollouts {
            version: self.learner.version,
            ..collected.into()
        };
        let work = Work::of(&rollouts.groups, model.config(), model.lora());
        let (metrics, _) = trainer.learn(&mut self.learner, &rollouts, step)?;
        let trained = watch.so_far();
        let all = || {
            rollouts
                .groups
                .iter()
                .flat_map(|g| g.completions.iter().map(move |c| (g, c)))
        };
        let total_tokens = all()
            .map(|(g, c)| g.prompt.len() + c.sampled_tokens())
            .sum::<usize>();
        Ok(StepReport {
            step_s: rollouts.generation_s + rollouts.reward_s + metrics.training_s,
            generation_s: rollouts.generation_s,
            reward_s: rollouts.reward_s,
            training_s: metrics.training_s,
            completion_tokens: metrics.completion_tokens,
            total_tokens,
            rows: metrics.completion_tokens
                + rollouts
                    .groups
                    .iter()
                    .map(|g| g.prompt.len())
                    .sum::<usize>(),
            recorded_tokens: rollouts.recorded_tokens,
            generated_tokens_per_s: metrics.completion_tokens as f64 / rollouts.generation_s,
            trained_tokens_per_s: total_tokens as f64 / metrics.training_s,
            generation_flops: work.generation,
            training_flops: work.training,
            generation_traffic: sampled - start,
            training_traffic: trained - sampled,
        })
    }

    /// The architecture of the model.
    pub fn config(&self) -> &ModelConfig {
        self.learner.model.config()
    }

    /// Where the model came from.
    pub fn origin(&self) -> &str {
        &self.codec.encoder.origin
    }

    /// Bytes that the process has held at most.
    pub fn peak_memory_bytes() -> Option<u64> {
        peak_memory_bytes()
    }
}

fn tasks(shape: &Shape, chat: bool, step: u64) -> Vec<Task> {
    let task = |index: usize| {
        let draw = |place: u64| 1 + derive_seed(step, &[index as u64, place]) % 20;
        let (a, b) = (draw(0), draw(1));
        let padding = "and so on ".repeat(shape.padding.div_ceil(3));
        let question = format!("{padding}What is {a}+{b}?");
        let prompt = if chat {
            Prompt::user(None, question)
        } else {
            Prompt::Text(format!("{a}+{b}="))
        };
        Task::new(index.to_string(), prompt, (a + b).to_string())
    };
    (0..shape.prompts).map(task).collect()
}

/// Rewards 0 and 1 in turn.
fn alternate(rollouts: &mut Collected) {
    for group in &mut rollouts.groups {
        for (index, completion) in group.completions.iter_mut().enumerate() {
            completion.outcome = Ok(RewardOutcome {
                total: (index % 2) as f64,
                components: Vec::new(),
                parts: Vec::new(),
                notes: Vec::new(),
            });
        }
    }
}

/// The middle of some numbers; of an even count, the upper one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
