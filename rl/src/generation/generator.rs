//! Completions of given prompts: a [`Session`] of one turn each.

use std::sync::Arc;

use super::{
    completion::{Generated, Stop},
    decoder::{Capacity, Decoder},
    sampling::SamplingConfig,
    session::{Event, Rules, Schedule, Session, Turns},
};
use crate::{compute::with_compute, model::Transformer};

/// A prompt and how often it is to be completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// At least one token.
    pub prompt: Arc<[u32]>,
    /// One seed for each completion.
    pub seeds: Vec<u64>,
}

/// Is told of a completion: its index over all requests, and what it is.
pub type OnEnd<'a> = &'a mut dyn FnMut(usize, &Generated);

/// What a caller may look at or decide while tokens are drawn.
#[derive(Default)]
pub struct Hooks<'a> {
    /// Ends completions by their text.
    pub stop: Option<Stop<'a>>,
    /// Is told of each token: the completion's index over all requests, and the token.
    pub on_token: Option<&'a mut dyn FnMut(usize, u32)>,
    /// Is told of each completion as soon as it has ended: its index over all requests.
    pub on_end: Option<OnEnd<'a>>,
    /// Is asked before each token whether to give up; what was drawn by then is returned, as if
    /// it had reached its length.
    pub cancelled: Option<&'a dyn Fn() -> bool>,
}

/// Draws completions from a model.
#[derive(Debug)]
pub struct Generator<'a> {
    /// The policy.
    pub model: &'a Transformer,
    /// How tokens are drawn.
    pub sampling: &'a SamplingConfig,
    /// Tokens that end a completion.
    pub eos: &'a [u32],
    /// Size of the tokenizer's vocabulary: ids from there on are never drawn.
    pub drawable: usize,
    /// Completions decoded at a time.
    pub batch_rows: usize,
    /// Activations of at most so many tokens are kept for training: of prompts, and of completions as
    /// long as there is room for the longest that they may become. Only the CPU's arithmetic keeps any.
    pub recorded_tokens: usize,
    /// Whether the experts that tokens go to are recorded, where the model has any ([`Generated::routed_experts`]).
    pub record_routes: bool,
}

/// What a session has to have room for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Room {
    /// Tokens of the longest prompt.
    pub prompt: usize,
    /// Completions in all; no more slots than these are made.
    pub completions: usize,
    /// Whether completions may go on after their first turn.
    pub turns: Turns,
}

impl<'a> Generator<'a> {
    /// A session that draws as this generator does. `max_tokens` bounds all that follows a prompt, drawn or given.
    pub fn session(&self, room: Room, stop: Option<Stop<'a>>) -> Session<'a> {
        let slots = self.batch_rows.clamp(1, room.completions.max(1));
        let completion = self.sampling.max_tokens;
        let rules = Rules {
            sampling: self.sampling,
            eos: self.eos,
            drawable: self.drawable,
            stop,
            turns: room.turns,
        };
        // Where shapes are fixed, a completion that goes on is read again as a prompt.
        let again = match room.turns {
            Turns::One => 0,
            Turns::Several => completion,
        };
        let capacity = Capacity {
            slots,
            prompt: room.prompt + again,
            completion,
            recorded: self.recorded_tokens,
            routes: self.record_routes,
        };
        with_compute!(self.model, |c| {
            let decoder = Decoder::new(c, self.model, capacity);
            Session::new(Schedule::new(rules, slots, decoder))
        })
    }

    /// Completes every request, once for each of its seeds; the result has the requests' shape.
    /// Each prompt is read once and its cache shared by its completions.
    pub fn generate<'h>(
        &'h self,
        requests: &[Request],
        mut hooks: Hooks<'h>,
    ) -> Vec<Vec<Generated>> {
        let generator: &Generator<'h> = self;
        let room = Room {
            prompt: requests.iter().map(|r| r.prompt.len()).max().unwrap_or(0),
            completions: requests.iter().map(|r| r.seeds.len()).sum(),
            turns: Turns::One,
        };
        let mut session = generator.session(room, hooks.stop);
        for Request { prompt, seeds } in requests {
            for &seed in seeds {
                session.submit(prompt, seed);
            }
        }
        let mut outputs: Vec<Option<Generated>> = vec![None; room.completions];
        while !hooks.cancelled.is_some_and(|cancelled| cancelled()) {
            let events = session.advance();
            if events.is_empty() {
                break;
            }
            for event in events {
                match event {
                    Event::Token { id, token } => {
                        if let Some(on_token) = hooks.on_token.as_mut() {
                            on_token(id, token);
                        }
                    }
                    Event::TurnEnded { id, .. } => {
                        outputs[id] = session.finish(id);
                        if let (Some(on_end), Some(output)) = (hooks.on_end.as_mut(), &outputs[id])
                        {
                            on_end(id, output);
                        }
                    }
                }
            }
        }
        // What was cut off counts as having reached its length.
        let cut_off = outputs
            .iter_mut()
            .enumerate()
            .filter(|(_, output)| output.is_none());
        cut_off.for_each(|(id, output)| *output = session.finish(id));
        let mut outputs: Vec<Generated> = outputs.into_iter().flatten().collect();
        for (id, recorded) in session.close() {
            outputs[id].recorded = Some(recorded);
        }
        let mut outputs = outputs.into_iter();
        let group = |request: &Request| outputs.by_ref().take(request.seeds.len()).collect();
        requests.iter().map(group).collect()
    }
}
