//! Who answers a model's turn.

use dunwu_datasets::Task;

use super::{judge::Verdict, trajectory::Trajectory};
use crate::generation::Turns;

/// What follows a turn of the model.
#[derive(Debug)]
pub enum Next {
    /// A text, after which the model goes on. It is tokenised by itself.
    Reply(String),
    /// The end; the judge says what the last turn is worth.
    Judge,
    /// The end, with a verdict of the environment's own.
    Verdict(Verdict),
}

/// Answers the turns of models.
///
/// Whatever it does must follow from the task, the seed and the trajectory: a run repeats only as far as its environment
/// does. It is asked on the threads that sample, which wait for it.
pub trait Environment: Send + Sync {
    /// Whether trajectories may have several turns. What is sampled of those that may takes more room on a GPU.
    fn turns(&self) -> Turns {
        Turns::Several
    }

    /// Begins an episode: one completion of a task, which was drawn with `seed`. It is called when its first turn has ended.
    fn begin<'a>(&'a self, task: &'a Task, seed: u64) -> Box<dyn Episode + 'a>;
}

/// One course of an environment.
pub trait Episode {
    /// What follows the trajectory, whose last turn is the model's and has just ended. `room` tokens may still be added
    /// to it, given or drawn. A reply that leaves none to be drawn, or is empty, ends the trajectory as cut off, and the
    /// judge is asked.
    fn reply(&mut self, trajectory: &Trajectory, room: usize) -> Next;
}

/// Ends every trajectory with its first turn, for the judge to score.
#[derive(Debug, Clone, Copy, Default)]
pub struct OneTurn;

impl Environment for OneTurn {
    fn turns(&self) -> Turns {
        Turns::One
    }

    fn begin<'a>(&'a self, _: &'a Task, _: u64) -> Box<dyn Episode + 'a> {
        Box::new(Self)
    }
}

impl Episode for OneTurn {
    fn reply(&mut self, _: &Trajectory, _: usize) -> Next {
        Next::Judge
    }
}
