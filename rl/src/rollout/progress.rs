//! Trajectories under way: from turn to turn, and on to the judge.

use std::sync::Arc;

use dunwu_datasets::Task;

use super::{
    environment::{Environment, Episode, Next},
    judge::{Judge, Pending, Submission},
    trajectory::{GivenTurn, SampledTurn, Trajectory, Turn},
};
use crate::{
    bundle::PromptError,
    generation::{Finish, Recorded, Session, session::Id},
    tokenizer::Tokenizer,
};

/// A task that is put to the model, and the seeds of its completions.
pub(super) struct Asked {
    pub(super) task: Arc<Task>,
    pub(super) prompt: Arc<[u32]>,
    pub(super) seeds: Vec<u64>,
}

/// A completion that is being judged.
pub(super) struct Draft {
    pub(super) trajectory: Trajectory,
    pub(super) pending: Pending,
    pub(super) recorded: Option<Recorded>,
}

/// The trajectories of some requests, in the order in which they were submitted to a session.
pub(super) struct Progress<'a> {
    tokenizer: &'a Tokenizer,
    judge: &'a Judge,
    environment: &'a dyn Environment,
    /// Tokens that may follow a prompt.
    max_tokens: usize,
    requests: &'a [Asked],
    trajectories: Vec<Course<'a>>,
    /// Of each request, how many of its trajectories have not ended.
    open: Vec<usize>,
}

/// One trajectory and where it stands.
struct Course<'a> {
    request: usize,
    seed: u64,
    trajectory: Trajectory,
    /// From its first turn on.
    episode: Option<Box<dyn Episode + 'a>>,
    /// What its group waits for, where groups are judged whole.
    submission: Option<Submission>,
    /// Once it has ended and was submitted.
    pending: Option<Pending>,
}

impl<'a> Progress<'a> {
    pub(super) fn new(
        tokenizer: &'a Tokenizer,
        judge: &'a Judge,
        environment: &'a dyn Environment,
        max_tokens: usize,
        requests: &'a [Asked],
    ) -> Self {
        let course = |request: usize, seed: u64| Course {
            request,
            seed,
            trajectory: Trajectory::new(requests[request].prompt.clone()),
            episode: None,
            submission: None,
            pending: None,
        };
        let seeds = requests.iter().enumerate();
        let trajectories = seeds
            .flat_map(|(request, asked)| asked.seeds.iter().map(move |&seed| (request, seed)))
            .map(|(request, seed)| course(request, seed))
            .collect();
        Self {
            tokenizer,
            judge,
            environment,
            max_tokens,
            requests,
            trajectories,
            open: requests.iter().map(|asked| asked.seeds.len()).collect(),
        }
    }

    /// Adds the turn that has just ended, and goes on as the environment says. Whether the trajectory has ended.
    ///
    /// # Errors
    /// When tokens cannot be turned into text, or a reply into tokens.
    pub(super) fn turn_ended(
        &mut self,
        session: &mut Session,
        id: Id,
    ) -> Result<bool, PromptError> {
        let course = &mut self.trajectories[id];
        let trajectory = &mut course.trajectory;
        let Some(output) = session.output(id) else {
            return Ok(false);
        };
        let tokens = &output.tokens[trajectory.followed()..];
        let logprobs = &output.logprobs[output.logprobs.len() - tokens.len()..];
        trajectory.turns.push(Turn::Sampled(SampledTurn {
            tokens: tokens.into(),
            logprobs: logprobs.into(),
            text: self.tokenizer.decode(tokens)?,
            finish: output.finish,
        }));
        let room = self.max_tokens - trajectory.followed();
        let task = &self.requests[course.request].task;
        let (environment, seed) = (self.environment, course.seed);
        let episode = course
            .episode
            .get_or_insert_with(|| environment.begin(task, seed));
        let pending = match episode.reply(trajectory, room) {
            Next::Reply(text) => {
                let before = trajectory.last().map_or("", |turn| turn.text.as_str());
                let tokens = self.tokenizer.encode_after(before, &text)?;
                // Nothing to read is nothing to go on from.
                if session.extend(id, &tokens).is_ok() {
                    let tokens = tokens.into();
                    trajectory
                        .turns
                        .push(Turn::Given(GivenTurn { tokens, text }));
                    return Ok(false);
                }
                trajectory.cut_off();
                None
            }
            Next::Judge => None,
            Next::Verdict(verdict) => Some(Pending::known(verdict)),
        };
        let taken = session.finish(id);
        let routed = taken.and_then(|taken| taken.routed_experts);
        course.trajectory.routed_experts = routed.map(Arc::new);
        course.episode = None;
        self.ended(id, pending);
        Ok(true)
    }

    /// Has a trajectory judged, at once or when its group is complete.
    fn ended(&mut self, id: Id, known: Option<Pending>) {
        let course = &mut self.trajectories[id];
        let request = course.request;
        if known.is_some() {
            course.pending = known;
        } else {
            let last = course.trajectory.last();
            let submission = Submission {
                task: self.requests[request].task.clone(),
                text: last.map_or_else(String::new, |turn| turn.text.clone()),
                truncated: last.is_none_or(|turn| turn.finish == Finish::Length),
                tokens: course.trajectory.sampled_tokens(),
            };
            if self.judge.judges_groups() {
                course.submission = Some(submission);
            } else {
                course.pending = Some(self.judge.submit(submission));
            }
        }
        self.open[request] -= 1;
        if self.open[request] == 0 {
            self.group_ended(request);
        }
    }

    /// Submits what waits of a group, in its order.
    fn group_ended(&mut self, request: usize) {
        let before = self.requests[..request].iter();
        let first: usize = before.map(|asked| asked.seeds.len()).sum();
        let members = &mut self.trajectories[first..first + self.requests[request].seeds.len()];
        let mut waiting: Vec<&mut Course> = members
            .iter_mut()
            .filter(|course| course.submission.is_some())
            .collect();
        let submissions = waiting
            .iter_mut()
            .filter_map(|course| course.submission.take());
        let pending = self.judge.submit_group(submissions.collect());
        for (course, pending) in waiting.into_iter().zip(pending) {
            course.pending = Some(pending);
        }
    }

    /// All trajectories, request by request, once all have ended; `recorded` are their activations by id.
    pub(super) fn into_drafts(self, recorded: Vec<(Id, Recorded)>) -> Vec<Vec<Draft>> {
        let mut drafts: Vec<Vec<Draft>> = self.requests.iter().map(|_| Vec::new()).collect();
        let mut recorded = recorded.into_iter().peekable();
        for (id, course) in self.trajectories.into_iter().enumerate() {
            let recorded = recorded
                .next_if(|(of, _)| *of == id)
                .map(|(_, recorded)| recorded);
            drafts[course.request].push(Draft {
                trajectory: course.trajectory,
                pending: course
                    .pending
                    .expect("the session ends when every trajectory has"),
                recorded,
            });
        }
        drafts
    }
}
