//! Drawing tokens where the logits are.

use super::{Absent, Compute};

/// How tokens are drawn from logits that nobody has looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drawing<'a> {
    /// Logits are multiplied by this: one over the temperature.
    pub(crate) inverse_temperature: f32,
    /// Ids from here on are never drawn.
    pub(crate) drawable: usize,
    /// A random number for each row, at least 0 and below 1; without them the likeliest is taken.
    pub(crate) uniforms: Option<&'a [f64]>,
}

/// Tokens that are drawn one after the other without anybody looking.
pub(crate) trait Burst<C: Compute> {
    /// As many as it pays to draw before they are looked at. Completions that end in between cost what
    /// is left of them.
    const TOKENS: usize;

    /// Draws a token for each row of logits.
    fn draw(&mut self, c: &C, logits: C::Rows, drawing: Drawing) -> C::Ids;
    /// All that were drawn, with their log-probabilities in nats, for each row in turn.
    fn read(self) -> Vec<Vec<(u32, f32)>>;
}

impl<C: Compute> Burst<C> for Absent {
    const TOKENS: usize = 0;

    fn draw(&mut self, _: &C, _: C::Rows, _: Drawing) -> C::Ids {
        match *self {}
    }

    fn read(self) -> Vec<Vec<(u32, f32)>> {
        match self {}
    }
}
