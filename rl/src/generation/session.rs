//! Completions under way whose turns end and go on: continuous batching with live slots.

use std::{collections::VecDeque, sync::Arc};

use super::{
    completion::{Finish, Generated, Stop},
    decoder::{Decoder, Prefix, Row},
    recorded::{Recorded, Track},
    sampling::{Choice, Draw, SamplingConfig},
};
use crate::compute::Compute;

/// A completion of a session: how many were submitted before it.
pub type Id = usize;

/// What happened while tokens were drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event {
    /// A token was drawn.
    Token {
        /// Whose.
        id: Id,
        /// The token.
        token: u32,
    },
    /// A turn ended. The completion keeps its slot until [`Session::extend`] goes on with it or [`Session::finish`]
    /// takes it.
    TurnEnded {
        /// Whose.
        id: Id,
        /// Why.
        finish: Finish,
    },
}

/// Why a completion cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExtendError {
    /// The completion is not waiting for anything: it draws tokens, or was taken.
    #[error("completion {id} is not between two turns")]
    NotWaiting {
        /// Whose.
        id: Id,
    },
    /// The session was opened for single turns.
    #[error("the session was opened for completions of one turn; hint: set Turns::Several")]
    OneTurn,
    /// Nothing was given.
    #[error("completion {id} was given no token to go on from")]
    Nothing {
        /// Whose.
        id: Id,
    },
    /// There would be no room for a token to be drawn.
    #[error("completion {id} has {room} tokens left and was given {given}")]
    NoRoom {
        /// Whose.
        id: Id,
        /// Tokens that it may still get, drawn and given.
        room: usize,
        /// Tokens that were given.
        given: usize,
    },
}

/// How completions of a session may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Turns {
    /// Each ends with its first turn.
    #[default]
    One,
    /// They may be extended. Devices other than the CPU reserve room to read a completion again, as a prompt.
    Several,
}

/// Completions under way in a model with room for some at a time. A completion that ends gives its slot to the next.
///
/// Draws depend on the seed of a completion and on how many of its tokens were drawn before, over all turns: never on
/// what else is under way.
pub struct Session<'a>(Box<dyn Slots + 'a>);

impl<'a> Session<'a> {
    pub(super) fn new(slots: impl Slots + 'a) -> Self {
        Self(Box::new(slots))
    }

    /// Queues a completion of `prompt`, which has at least one token. One prompt is read once for all completions that
    /// are submitted one after the other with the same `Arc`.
    ///
    /// # Panics
    /// When the prompt is empty.
    pub fn submit(&mut self, prompt: &Arc<[u32]>, seed: u64) -> Id {
        assert!(!prompt.is_empty(), "a prompt has at least one token");
        self.0.submit(prompt.clone(), seed)
    }

    /// Starts what is queued in free slots and draws the next tokens of every completion that is not between two turns.
    /// No event: there is nothing to draw.
    pub fn advance(&mut self) -> Vec<Event> {
        self.0.advance()
    }

    /// Goes on with a completion whose turn has ended: `tokens` follow it, then the next turn is drawn. Its past is not
    /// read again on the CPU; devices with static shapes read it as a prompt. It is no longer recorded for training.
    ///
    /// # Errors
    /// See [`ExtendError`]; the completion then waits as before.
    pub fn extend(&mut self, id: Id, tokens: &[u32]) -> Result<(), ExtendError> {
        self.0.extend(id, tokens)
    }

    /// Takes a completion, ended or not, and frees its slot. `None` when it was taken before. One that was never
    /// started is empty.
    pub fn finish(&mut self, id: Id) -> Option<Generated> {
        self.0.finish(id)
    }

    /// A completion under way, as far as it is.
    pub fn output(&self, id: Id) -> Option<&Generated> {
        self.0.output(id)
    }

    /// Ends the session. What was recorded of completions of one turn that were taken, with their ids in order.
    pub fn close(self) -> Vec<(Id, Recorded)> {
        self.0.close()
    }
}

/// What a session needs of its slots, whichever device they are on.
pub(super) trait Slots {
    fn submit(&mut self, prompt: Arc<[u32]>, seed: u64) -> Id;
    fn advance(&mut self) -> Vec<Event>;
    fn extend(&mut self, id: Id, tokens: &[u32]) -> Result<(), ExtendError>;
    fn finish(&mut self, id: Id) -> Option<Generated>;
    fn output(&self, id: Id) -> Option<&Generated>;
    fn close(self: Box<Self>) -> Vec<(Id, Recorded)>;
}

/// How a session draws.
pub(super) struct Rules<'a> {
    pub(super) sampling: &'a SamplingConfig,
    pub(super) eos: &'a [u32],
    pub(super) drawable: usize,
    pub(super) stop: Option<Stop<'a>>,
    pub(super) turns: Turns,
}

/// A completion that waits for a slot.
struct Queued {
    id: Id,
    prompt: Arc<[u32]>,
    seed: u64,
}

/// A completion in a slot.
struct Active {
    id: Id,
    prompt: Arc<[u32]>,
    seed: u64,
    /// The token that goes in next.
    last: u32,
    /// Where its turn begins among the tokens of `output`.
    turn: usize,
    /// Whether its turn has ended.
    waiting: bool,
    output: Generated,
}

/// A prompt, and its keys and values.
type Read<C> = (Arc<[u32]>, Arc<Prefix<C>>);

/// The slots of a decoder and what waits for one.
pub(super) struct Schedule<'a, C: Compute> {
    rules: Rules<'a>,
    decoder: Decoder<'a, C>,
    submitted: usize,
    queue: VecDeque<Queued>,
    slots: Vec<Option<Active>>,
    /// Prompts that were read and that more completions in the queue begin with.
    prefixes: Vec<Read<C>>,
    /// Where completions that were taken are on the decoder's tape.
    tracks: Vec<(Id, Track)>,
}

impl<'a, C: Compute> Schedule<'a, C> {
    pub(super) fn new(rules: Rules<'a>, slots: usize, decoder: Decoder<'a, C>) -> Self {
        Self {
            rules,
            decoder,
            submitted: 0,
            queue: VecDeque::new(),
            slots: (0..slots).map(|_| None).collect(),
            prefixes: Vec::new(),
            tracks: Vec::new(),
        }
    }

    fn slot(&self, id: Id) -> Option<usize> {
        let holds = |slot: &Option<Active>| slot.as_ref().is_some_and(|active| active.id == id);
        self.slots.iter().position(holds)
    }

    fn prefix(&self, prompt: &Arc<[u32]>) -> Option<&Arc<Prefix<C>>> {
        let found = self.prefixes.iter().find(|(p, _)| Arc::ptr_eq(p, prompt));
        found.map(|(_, prefix)| prefix)
    }

    /// Starts completions in all free slots.
    fn refill(&mut self) {
        let free: Vec<usize> = (0..self.slots.len())
            .filter(|&slot| self.slots[slot].is_none())
            .collect();
        let count = free.len().min(self.queue.len());
        if count == 0 {
            return;
        }
        let starts: Vec<Queued> = self.queue.drain(..count).collect();
        let mut unread: Vec<&Arc<[u32]>> = starts.iter().map(|queued| &queued.prompt).collect();
        unread.dedup_by(|a, b| Arc::ptr_eq(a, b));
        unread.retain(|prompt| self.prefix(prompt).is_none());
        // The last token of a prompt goes in with the first step of decoding.
        let prompts: Vec<&[u32]> = unread.iter().map(|p| &p[..p.len() - 1]).collect();
        let read = self.decoder.read(&prompts);
        let read = unread.into_iter().cloned().zip(read);
        self.prefixes.extend(read);
        for (slot, Queued { id, prompt, seed }) in free.into_iter().zip(starts) {
            let found = self.prefixes.iter().find(|(p, _)| Arc::ptr_eq(p, &prompt));
            let (_, prefix) = found.expect("every prompt of the queue has been read");
            self.decoder.admit(slot, prefix);
            self.slots[slot] = Some(Active {
                id,
                seed,
                last: prompt[prompt.len() - 1],
                prompt,
                turn: 0,
                waiting: false,
                output: Generated::empty(),
            });
        }
        let queue = &self.queue;
        self.prefixes.retain(|(prompt, _)| {
            queue
                .iter()
                .any(|queued| Arc::ptr_eq(&queued.prompt, prompt))
        });
    }

    fn rows(&self) -> Vec<Row> {
        let row = |(slot, active): (usize, &Option<Active>)| {
            let active = active.as_ref().filter(|active| !active.waiting)?;
            Some(Row {
                slot,
                token: active.last,
                position: active.prompt.len() + active.output.tokens.len() - 1,
                seed: active.seed,
                drawn: active.output.logprobs.len(),
            })
        };
        self.slots.iter().enumerate().filter_map(row).collect()
    }

    /// Adds drawn tokens to a completion until its turn ends.
    fn take(&mut self, slot: usize, choices: Vec<Choice>, events: &mut Vec<Event>) {
        let Some(active) = &mut self.slots[slot] else {
            return;
        };
        let Rules {
            sampling,
            eos,
            stop,
            ..
        } = &self.rules;
        let (id, output) = (active.id, &mut active.output);
        for Choice { token, logprob } in choices {
            output.tokens.push(token);
            output.logprobs.push(logprob);
            active.last = token;
            events.push(Event::Token { id, token });
            let finish = if eos.contains(&token) {
                Some(Finish::Eos)
            } else if stop.is_some_and(|stop| stop(&output.tokens[active.turn..])) {
                Some(Finish::Stop)
            } else if output.tokens.len() >= sampling.max_tokens {
                Some(Finish::Length)
            } else {
                None
            };
            if let Some(finish) = finish {
                output.finish = finish;
                active.waiting = true;
                events.push(Event::TurnEnded { id, finish });
                return;
            }
        }
    }
}

impl<C: Compute> Slots for Schedule<'_, C> {
    fn submit(&mut self, prompt: Arc<[u32]>, seed: u64) -> Id {
        let id = self.submitted;
        self.submitted += 1;
        self.queue.push_back(Queued { id, prompt, seed });
        id
    }

    fn advance(&mut self) -> Vec<Event> {
        self.refill();
        let rows = self.rows();
        let mut events = Vec::new();
        if rows.is_empty() {
            return events;
        }
        let draw = Draw {
            sampling: self.rules.sampling,
            drawable: self.rules.drawable,
        };
        let choices = self.decoder.advance(&rows, draw);
        for (row, choices) in rows.iter().zip(choices) {
            self.take(row.slot, choices, &mut events);
        }
        events
    }

    fn extend(&mut self, id: Id, tokens: &[u32]) -> Result<(), ExtendError> {
        if self.rules.turns == Turns::One {
            return Err(ExtendError::OneTurn);
        }
        let slot = self.slot(id).ok_or(ExtendError::NotWaiting { id })?;
        let active = self.slots[slot].as_mut().filter(|active| active.waiting);
        let active = active.ok_or(ExtendError::NotWaiting { id })?;
        let output = &mut active.output;
        let (room, given) = (
            self.rules.sampling.max_tokens - output.tokens.len(),
            tokens.len(),
        );
        let Some(&last) = tokens.last() else {
            return Err(ExtendError::Nothing { id });
        };
        if given >= room {
            return Err(ExtendError::NoRoom { id, room, given });
        }
        // All but the token drawn last are in the slot; the last of those given goes in with the next step.
        let read = active.prompt.len() + output.tokens.len() - 1;
        output
            .given
            .push(output.tokens.len()..output.tokens.len() + given);
        output.tokens.extend(tokens);
        let past = active.prompt.iter().chain(&output.tokens).copied();
        let past: Vec<u32> = past.take(read + given).collect();
        active.turn = output.tokens.len();
        active.last = last;
        active.waiting = false;
        self.decoder.extend(slot, &past, read);
        Ok(())
    }

    fn finish(&mut self, id: Id) -> Option<Generated> {
        if let Some(slot) = self.slot(id) {
            let track = self.decoder.leave(slot);
            self.tracks.extend(track.map(|track| (id, track)));
            let active = self.slots[slot].take()?;
            let read = active.prompt.len() - 1 + active.output.tokens.len();
            let routed_experts = self.decoder.take_routes(slot, read);
            return Some(Generated {
                routed_experts,
                ..active.output
            });
        }
        let place = self.queue.iter().position(|queued| queued.id == id)?;
        self.queue.remove(place);
        Some(Generated::empty())
    }

    fn output(&self, id: Id) -> Option<&Generated> {
        let slot = self.slot(id)?;
        self.slots[slot].as_ref().map(|active| &active.output)
    }

    fn close(self: Box<Self>) -> Vec<(Id, Recorded)> {
        let mut tracks = self.tracks;
        tracks.sort_by_key(|(id, _)| *id);
        let Some(tape) = self.decoder.into_tape() else {
            return Vec::new();
        };
        let recorded = |(id, track)| {
            let tape = tape.clone();
            (id, Recorded { tape, track })
        };
        tracks.into_iter().map(recorded).collect()
    }
}
