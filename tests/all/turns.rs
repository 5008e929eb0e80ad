//! Completions of several turns, from the session that draws them to a gradient step.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use burn::tensor::{Device, Tensor};
use dunwu::{
    bundle::PromptError,
    generation::{
        Event, Finish, Generated, Generator, Hooks, Request, Room, Session, Turns,
        session::ExtendError,
    },
    learner::{
        AdamW, GradientConfig, HeadConfig, Learner, MicroBatch, Scoring, Segment, Sequence,
        Upstream, batch_gradients, pack, token_logprobs,
    },
    model::{Engine, ParameterVisitor, Parameters, Transformer},
    rollout::{
        Collected, Completion, Environment, Episode, Judge, Next, RolloutCollector, Trajectory,
        Turn,
    },
    stages::grpo::{GrpoConfig, StepRollouts, Trainer},
};
use dunwu_datasets::{GeneratorSource, Split, Task, TaskSource};
use dunwu_rewards::{Attempt, Component, Reward, RewardError, RewardOutcome, Rubric, Sample};

use crate::fixtures::{collector, judge, largest_difference, sampling, scratch, small_grpo, sums};

/// A session of `count` completions of one prompt whose turns end after five tokens, and what they come to when each is
/// given `replies` between its turns.
fn played(
    model: &Transformer,
    prompt: &Arc<[u32]>,
    replies: &[&[u32]],
    batch_rows: usize,
) -> Vec<Generated> {
    let sampling = sampling(60);
    let generator = Generator {
        model,
        sampling: &sampling,
        eos: &[17],
        drawable: 18,
        batch_rows,
        recorded_tokens: 0,
        record_routes: false,
    };
    let room = Room {
        prompt: prompt.len(),
        completions: 4,
        turns: Turns::Several,
    };
    let stop = |turn: &[u32]| turn.len() == 5;
    let mut session: Session = generator.session(room, Some(&stop));
    for seed in 0..4 {
        session.submit(prompt, seed);
    }
    let mut turns = [0; 4];
    let mut ended: Vec<Option<Generated>> = vec![None; 4];
    loop {
        let events = session.advance();
        if events.is_empty() {
            break;
        }
        for event in events {
            let Event::TurnEnded { id, .. } = event else {
                continue;
            };
            match replies.get(turns[id]) {
                Some(reply) => session.extend(id, reply).unwrap(),
                None => ended[id] = session.finish(id),
            }
            turns[id] += 1;
        }
    }
    ended.into_iter().flatten().collect()
}

fn sequence(prompt: &Arc<[u32]>, output: &Generated) -> Sequence {
    let mut segments = Vec::new();
    let mut place = 0;
    for given in &output.given {
        segments.push(Segment::sampled(&output.tokens[place..given.start]));
        segments.push(Segment::given(&output.tokens[given.clone()]));
        place = given.end;
    }
    segments.push(Segment::sampled(&output.tokens[place..]));
    Sequence::of_segments(prompt.clone(), segments)
}

/// Goes on in a live slot as if everything before had been its prompt: the log-probabilities of all turns are those of a
/// pass that sees the whole, on both engines, and past a block of keys.
#[test]
fn a_slot_that_goes_on_draws_what_its_whole_past_says() {
    let bundle = scratch(&Device::flex());
    let prompt: Arc<[u32]> = (0..20).map(|i| i * 5 % 17).collect();
    let replies: [&[u32]; 2] = [&[3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13], &[2]];
    let mut all = Vec::new();
    for engine in [Engine::Host, Engine::Tensors] {
        let model = bundle.model.clone().with_engine(engine);
        let outputs = played(&model, &prompt, &replies, 4);
        assert_eq!(outputs.len(), 4);
        for output in &outputs {
            assert_eq!(output.given.len(), 2);
            let sequence = sequence(&prompt, output);
            assert_eq!(sequence.sampled(), output.logprobs.len());
            let head = HeadConfig::default();
            let scores = token_logprobs(&model, &[sequence], 4096, head).unwrap();
            let difference = largest_difference(&scores[0].logprobs, &output.logprobs);
            assert!(difference < 2e-5, "{engine:?}: {difference}");
        }
        // With slots for two, the others begin when these have ended; nobody's draws change.
        let in_turn = played(&model, &prompt, &replies, 2);
        for (a, b) in outputs.iter().zip(&in_turn) {
            assert_eq!((&a.tokens, &a.given), (&b.tokens, &b.given));
        }
        all.push(outputs);
    }
    for (host, tensors) in all[0].iter().zip(&all[1]) {
        assert_eq!(host.tokens, tensors.tokens);
    }
    // The first turn is the one that a completion of one turn begins with.
    let plain = played(&bundle.model, &prompt, &[], 4);
    for (plain, output) in plain.iter().zip(&all[0]) {
        assert_eq!(plain.tokens[..], output.tokens[..plain.tokens.len()]);
    }
}

/// Sets a tensor to zero.
struct Zero(&'static str);

impl ParameterVisitor for Zero {
    fn visit<const D: usize>(&mut self, name: &str, tensor: &mut Tensor<D>) {
        if name == self.0 {
            *tensor = tensor.zeros_like();
        }
    }
}

/// The k-th token drawn keeps its draw, however many were given before it: where every token is as likely as any other,
/// several turns are what one would have been.
#[test]
fn draws_count_what_was_drawn() {
    let bundle = scratch(&Device::flex());
    let mut uniform = bundle.model.clone();
    uniform.visit(&mut Zero("model.norm.weight"));
    let prompt: Arc<[u32]> = [1, 2, 3].into();
    let sampling = sampling(60);
    let generator = Generator {
        model: &uniform,
        sampling: &sampling,
        eos: &[],
        drawable: 18,
        batch_rows: 4,
        recorded_tokens: 0,
        record_routes: false,
    };
    let request = Request {
        prompt: prompt.clone(),
        seeds: (0..4).collect(),
    };
    let one_turn = &generator.generate(&[request], Hooks::default())[0];
    let several = played(&uniform, &prompt, &[&[4, 5], &[6; 9]], 4);
    for (one_turn, several) in one_turn.iter().zip(&several) {
        let drawn: Vec<u32> = sequence(&prompt, several).targets().collect();
        assert!(drawn.len() > 2, "three turns");
        assert_eq!(drawn, one_turn.tokens[..drawn.len()]);
    }
}

#[test]
fn what_cannot_go_on_is_told_why() {
    let bundle = scratch(&Device::flex());
    let sampling = sampling(8);
    let generator = Generator {
        model: &bundle.model,
        sampling: &sampling,
        eos: &[],
        drawable: 18,
        batch_rows: 1,
        recorded_tokens: 0,
        record_routes: false,
    };
    let stop = |turn: &[u32]| turn.len() == 3;
    let room = |turns| Room {
        prompt: 2,
        completions: 2,
        turns,
    };
    let prompt: Arc<[u32]> = [1, 2].into();
    let mut session = generator.session(room(Turns::Several), Some(&stop));
    let (id, next) = (session.submit(&prompt, 1), session.submit(&prompt, 2));
    assert_eq!(
        session.extend(id, &[1]),
        Err(ExtendError::NotWaiting { id })
    );
    session.advance();
    assert_eq!(
        session.extend(id, &[1]),
        Err(ExtendError::NotWaiting { id })
    );
    while session
        .output(id)
        .is_some_and(|output| output.tokens.len() < 3)
    {
        session.advance();
    }
    assert_eq!(session.advance(), [], "the only slot waits");
    assert_eq!(session.extend(id, &[]), Err(ExtendError::Nothing { id }));
    let refused = session.extend(id, &[1; 5]);
    let (room_left, given) = (5, 5);
    let error = ExtendError::NoRoom {
        id,
        room: room_left,
        given,
    };
    assert_eq!(refused, Err(error));
    session.extend(id, &[1; 4]).unwrap();
    let events = session.advance();
    let finish = Finish::Length;
    assert!(
        events.contains(&Event::TurnEnded { id, finish }),
        "{events:?}"
    );
    let output = session.finish(id).unwrap();
    assert_eq!(output.tokens.len(), 8);
    assert!(output.given.iter().eq([&(3..7)]));
    assert!(session.finish(id).is_none(), "it was taken");
    assert!(!session.advance().is_empty());
    assert_eq!(session.output(next).unwrap().tokens.len(), 1);

    let mut session = generator.session(room(Turns::One), Some(&stop));
    let id = session.submit(&prompt, 1);
    while !session.advance().is_empty() {}
    assert_eq!(session.extend(id, &[1]), Err(ExtendError::OneTurn));
}

/// A calculator of two turns: the model writes digits up to a `+` or `=`, is told how many digits it wrote, and writes
/// once more. It is worth the share of digits in its second turn.
struct Calculator {
    begun: AtomicUsize,
}

struct Calculation {
    turns: usize,
}

impl Environment for Calculator {
    fn begin<'a>(&'a self, _: &'a Task, _: u64) -> Box<dyn Episode + 'a> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        Box::new(Calculation { turns: 0 })
    }
}

fn digits(text: &str) -> usize {
    text.chars().filter(char::is_ascii_digit).count()
}

impl Episode for Calculation {
    fn reply(&mut self, trajectory: &Trajectory, _: usize) -> Next {
        self.turns += 1;
        let said = &trajectory.last().unwrap().text;
        if self.turns == 1 {
            return Next::Reply(format!("{},", digits(said)));
        }
        let total = digits(said) as f64 / said.chars().count().max(1) as f64;
        Next::Verdict(Ok(RewardOutcome {
            total,
            components: vec![("digits".to_owned(), Some(total))],
            parts: Vec::new(),
            notes: Vec::new(),
        }))
    }
}

fn tasks(count: usize) -> Vec<Task> {
    let mut source = GeneratorSource::new(sums(), 3, Split::Train);
    source.next_batch(count, 0.0).unwrap()
}

pub(crate) fn two_turns(
    model: &Transformer,
    collector: &RolloutCollector,
    workers: usize,
) -> Collected {
    let calculator = Calculator {
        begun: AtomicUsize::new(0),
    };
    let mut sampling = sampling(40);
    sampling.stop = ["+", "="].map(str::to_owned).into();
    let collector = RolloutCollector {
        environment: &calculator,
        workers,
        batch_rows: 5,
        ..*collector
    };
    let collected = collector.collect(model, &sampling, tasks(3), 4, 9, |_| {});
    assert_eq!(calculator.begun.load(Ordering::Relaxed), 12);
    collected.unwrap()
}

#[test]
fn an_environment_of_two_turns_is_collected_packed_and_learnt_from() {
    let bundle = scratch(&Device::flex());
    let judge = judge();
    let collector = collector(&bundle, &judge);
    let collected = two_turns(&bundle.model, &collector, 1);
    let again = two_turns(&bundle.model, &collector, 2);
    let all = |collected: &Collected| -> Vec<Trajectory> {
        let groups = collected.groups.iter().flat_map(|group| &group.completions);
        groups
            .map(|completion| completion.trajectory.clone())
            .collect()
    };
    let without_logprobs = |trajectories: Vec<Trajectory>| -> Vec<String> {
        trajectories.iter().map(Trajectory::transcript).collect()
    };
    assert_eq!(
        without_logprobs(all(&collected)),
        without_logprobs(all(&again)),
        "however many threads share the work"
    );
    let completions: Vec<&Completion> = collected
        .groups
        .iter()
        .flat_map(|group| &group.completions)
        .collect();
    let of_two = |c: &&&Completion| c.trajectory.turns.len() == 3;
    assert!(
        completions.iter().filter(of_two).count() > 6,
        "most have two turns"
    );
    for completion in &completions {
        let turns = &completion.trajectory.turns;
        if let [
            Turn::Sampled(first),
            Turn::Given(given),
            Turn::Sampled(second),
        ] = &turns[..]
        {
            assert_eq!(given.text, format!("{},", digits(&first.text)));
            let share = digits(&second.text) as f64 / second.text.chars().count().max(1) as f64;
            assert_eq!(completion.reward(), Some(share));
        }
    }
    let sampled: usize = completions.iter().map(|c| c.sampled_tokens()).sum();
    let followed: usize = completions.iter().map(|c| c.trajectory.followed()).sum();
    assert!(sampled < followed);

    let config = GrpoConfig {
        prompts: 3,
        ..small_grpo()
    };
    let mut learner = Learner::new(bundle.model.clone(), AdamW::new(config.optimizer), 0);
    let sampling = sampling(40);
    let trainer = Trainer {
        config: &config,
        sampling: &sampling,
        judge: &judge,
        reference: None,
        objective: None,
        scoring: Scoring {
            token_budget: 90,
            head: HeadConfig::default(),
        },
        workers: 1,
        activations: Default::default(),
    };
    let (metrics, _) = trainer
        .learn(&mut learner, &StepRollouts::from(collected), 0)
        .unwrap();
    assert_eq!(
        metrics.trained_tokens, sampled,
        "what was given is not trained on"
    );
    assert!(metrics.grad_norm > 0.0, "{metrics:?}");
    assert!(
        metrics.mismatch_max < 2e-5,
        "sampler and trainer read the same: {metrics:?}"
    );
}

/// The sum of the log-probabilities of all that the model wrote, and of nothing else.
fn likelihood(model: &Transformer, sequences: &[Sequence]) -> Parameters {
    let batches = pack(sequences, 4096).unwrap();
    let sum = |_: &MicroBatch, _, logprobs: &[f32], _: &[f32]| {
        let value = logprobs.iter().map(|&x| f64::from(x)).sum();
        Upstream::of_logprobs(value, vec![1.0; logprobs.len()])
    };
    let config = GradientConfig::default();
    batch_gradients(model, &batches, config, 1, Parameters::default(), sum).0
}

/// The gradient of trajectories, packed, is the sum of those of their turns, each with all before it as its prompt.
#[test]
fn trajectories_have_the_gradient_of_their_turns() {
    let bundle = scratch(&Device::flex());
    let judge = judge();
    let collected = two_turns(&bundle.model, &collector(&bundle, &judge), 1);
    let mut whole = Vec::new();
    let mut turns = Vec::new();
    for completion in collected.groups.iter().flat_map(|group| &group.completions) {
        whole.push(completion.trajectory.sequence());
        let mut past = completion.trajectory.prompt.to_vec();
        for segment in &completion.trajectory.sequence().segments {
            if segment.sampled {
                turns.push(Sequence::new(past.clone(), segment.tokens.clone()));
            }
            past.extend(segment.tokens.iter());
        }
    }
    assert!(turns.len() > whole.len());
    let (packed, apart) = (
        likelihood(&bundle.model, &whole),
        likelihood(&bundle.model, &turns),
    );
    let mut difference = packed.clone();
    for (name, tensor) in apart.iter() {
        difference.add(name, tensor.clone().neg());
    }
    let relative = difference.norm() / packed.norm();
    eprintln!("trajectories against their turns: {relative:e}");
    assert!(relative < 1e-5, "{relative}");
}

#[test]
fn a_cancelled_collection_says_so() {
    let bundle = scratch(&Device::flex());
    let judge = judge();
    let asked = AtomicUsize::new(0);
    let cancelled = || asked.fetch_add(1, Ordering::Relaxed) >= 3;
    let collector = RolloutCollector {
        cancelled: Some(&cancelled),
        ..collector(&bundle, &judge)
    };
    let collected = collector.collect(&bundle.model, &sampling(30), tasks(2), 3, 1, |_| {});
    assert!(matches!(collected, Err(PromptError::Cancelled)));
    assert_eq!(asked.load(Ordering::Relaxed), 4);
}

/// Keeps what it is shown at once; everything is worth its length.
struct Together(Arc<Mutex<Vec<Asked>>>);

/// Of each completion of a group, two texts.
type Asked = Vec<(String, String)>;

impl Reward for Together {
    fn name(&self) -> &str {
        "together"
    }

    fn score(&self, sample: &Sample) -> Result<Option<f64>, RewardError> {
        Ok(Some(sample.completion_tokens as f64))
    }

    fn score_batch(&self, samples: &[Sample], attempt: &Attempt) -> Vec<dunwu_rewards::Verdict> {
        let shown = samples
            .iter()
            .map(|s| (s.task.id.clone(), s.completion.to_owned()));
        self.0.lock().unwrap().push(shown.collect());
        samples
            .iter()
            .map(|sample| self.score_in_parts(sample, attempt))
            .collect()
    }

    fn takes_batches(&self) -> bool {
        true
    }
}

/// Which completions a reward sees together is their task, and their order is that of their seeds: not who was faster.
#[test]
fn groups_are_judged_whole_and_in_order() {
    let bundle = scratch(&Device::flex());
    let shown = Arc::new(Mutex::new(Vec::new()));
    let component = Component::new(Box::new(Together(shown.clone())));
    let rubric = Rubric::new(vec![component], None).unwrap();
    let judge = Judge::new(rubric, Duration::from_secs(60)).unwrap();
    let mut by_workers = Vec::new();
    for (workers, batch_rows) in [(1, 64), (2, 64), (1, 3)] {
        let collector = RolloutCollector {
            workers,
            batch_rows,
            ..collector(&bundle, &judge)
        };
        let mut sampling = sampling(30);
        sampling.stop = vec!["+".to_owned()];
        let collected = collector.collect(&bundle.model, &sampling, tasks(3), 4, 1, |_| {});
        let expected: BTreeMap<String, Vec<String>> = collected
            .unwrap()
            .groups
            .into_iter()
            .map(|group| {
                let texts = group.completions.iter().map(|c| c.text().to_owned());
                (group.task.id.clone(), texts.collect())
            })
            .collect();
        let calls = std::mem::take(&mut *shown.lock().unwrap());
        assert_eq!(calls.len(), 3);
        let calls: BTreeMap<String, Vec<String>> = calls
            .into_iter()
            .map(|call| {
                (
                    call[0].0.clone(),
                    call.into_iter().map(|(_, text)| text).collect(),
                )
            })
            .collect();
        assert_eq!(calls, expected);
        by_workers.push(calls);
    }
    assert_eq!(by_workers[0], by_workers[1]);
    assert_eq!(by_workers[0], by_workers[2]);
}
