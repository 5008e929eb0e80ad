//! A tape in memory (see [`compute::tape`](crate::compute::tape)): one record a token and layer, in
//! buffers of equal length.

use rayon::prelude::*;

use super::{Host, distribution::Distribution, rows::Rows};
use crate::compute::{
    Compute, HeadOutput,
    tape::{Drawn, Place, Recording, Tape},
};

/// Records in one buffer.
const CHUNK: usize = 128;

/// Records that are worth sharing among threads.
const SHARED: usize = 8;

/// A record for each token and layer.
#[derive(Debug)]
pub(crate) struct HostTape {
    layers: Vec<Layer>,
    /// Tokens recorded so far.
    tokens: usize,
    /// Tokens that room has been promised for.
    reserved: usize,
    /// More than these are not recorded.
    most: usize,
    /// What tokens were drawn from, if it is kept.
    drawn: Option<Vec<Draws>>,
}

/// The distributions of tokens that were drawn at the same time.
#[derive(Debug)]
struct Draws {
    /// `[tokens, vocabulary]`: weights as a [`Distribution`] has them.
    weights: Rows,
    tokens: Vec<Drawn>,
    temperature: f64,
}

/// The records of one layer.
#[derive(Debug, Default)]
struct Layer {
    /// Values of each part of a record.
    widths: Vec<usize>,
    /// `[CHUNK, sum of widths]` each.
    chunks: Vec<Rows>,
}

impl HostTape {
    /// An empty one for so many layers, and at most so many tokens, with or without what they were
    /// drawn from.
    pub(crate) fn new(layers: usize, most: usize, distributions: bool) -> Self {
        Self {
            layers: (0..layers).map(|_| Layer::default()).collect(),
            tokens: 0,
            reserved: 0,
            most,
            drawn: distributions.then(Vec::new),
        }
    }

    fn at(&self, place: Place) -> (&[f32], Drawn) {
        let draws = self.drawn.as_ref().map(|drawn| &drawn[place.draws]);
        let draws = draws.expect("distributions are asked for where they are kept");
        (draws.weights.row(place.row), draws.tokens[place.row])
    }

    /// A part of one token's record.
    fn part(&self, layer: usize, part: usize, token: usize) -> &[f32] {
        let layer = &self.layers[layer];
        let start: usize = layer.widths[..part].iter().sum();
        let record = layer.chunks[token / CHUNK].row(token % CHUNK);
        &record[start..start + layer.widths[part]]
    }
}

impl Recording for HostTape {
    fn tokens(&self) -> usize {
        self.tokens
    }

    fn has_distributions(&self) -> bool {
        self.drawn.is_some()
    }

    fn has_distributions_at(&self, temperature: f64) -> bool {
        let drawn = self.drawn.as_ref();
        drawn.is_some_and(|drawn| drawn.iter().all(|draws| draws.temperature == temperature))
    }
}

impl Tape<Host> for HostTape {
    fn reserve(&mut self, tokens: usize) -> Option<&mut Self> {
        if self.reserved + tokens > self.most {
            return None;
        }
        self.reserved += tokens;
        Some(self)
    }

    fn release(&mut self, tokens: usize) {
        self.reserved -= tokens;
    }

    fn record(&mut self, layer: usize, parts: &[&Rows], rows: &[usize]) {
        let layer = &mut self.layers[layer];
        if layer.widths.is_empty() {
            layer.widths = parts.iter().map(|part| part.width()).collect();
        }
        let (first, count) = (self.tokens, rows.len());
        let width = layer.widths.iter().sum();
        while layer.chunks.len() * CHUNK < first + count {
            layer.chunks.push(Rows::stale(CHUNK, width));
        }
        let chunks = layer.chunks[first / CHUNK..].iter_mut();
        let records = chunks.flat_map(|chunk| chunk.data_mut().chunks_exact_mut(width));
        let records: Vec<&mut [f32]> = records.skip(first % CHUNK).take(count).collect();
        let write = |(mut record, &row): (&mut [f32], &usize)| {
            for part in parts {
                let (own, rest) = record.split_at_mut(part.width());
                own.copy_from_slice(part.row(row));
                record = rest;
            }
        };
        let records = records.into_par_iter().zip(rows);
        records.with_min_len(SHARED).for_each(write);
    }

    fn place(&self, row: usize) -> Place {
        let draws = self.drawn.as_ref().map_or(0, Vec::len);
        Place { draws, row }
    }

    fn keep_distributions(
        &mut self,
        weights: Rows,
        drawn: &[Drawn],
        rows: &[usize],
        temperature: f64,
    ) {
        if let Some(kept) = &mut self.drawn {
            let weights = if rows.len() == drawn.len() {
                weights
            } else {
                Host::new().select(&weights, rows)
            };
            kept.push(Draws {
                weights,
                tokens: rows.iter().map(|&row| drawn[row]).collect(),
                temperature,
            });
        }
    }

    fn advance(&mut self, tokens: usize) {
        self.tokens += tokens;
    }

    fn gather(tokens: &[(&Self, usize)], layer: usize, part: usize) -> Rows {
        let width = tokens[0].0.layers[layer].widths[part];
        let mut out = Rows::stale(tokens.len(), width);
        let rows = out.data_mut().par_chunks_exact_mut(width).zip(tokens);
        rows.with_min_len(SHARED)
            .for_each(|(out, (tape, token))| out.copy_from_slice(tape.part(layer, part, *token)));
        out
    }

    fn gather_distributions(tokens: &[(&Self, Place)]) -> HeadOutput<Distribution> {
        let found = tokens.iter().map(|(tape, place)| tape.at(*place));
        let (weights, drawn): (Vec<&[f32]>, Vec<Drawn>) = found.unzip();
        let width = weights[0].len();
        let mut out = Rows::stale(tokens.len(), width);
        let rows = out.data_mut().par_chunks_exact_mut(width).zip(&weights);
        rows.for_each(|(out, weights)| out.copy_from_slice(weights));
        HeadOutput {
            distribution: Distribution {
                weights: out,
                sums: drawn.iter().map(|drawn| drawn.sum).collect(),
            },
            logprobs: drawn.iter().map(|drawn| drawn.logprob).collect(),
            entropy: drawn.iter().map(|drawn| drawn.entropy).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows that tell their token, layer and part.
    fn rows(tokens: std::ops::Range<usize>, layer: usize, width: usize) -> Rows {
        let mut rows = Rows::zeros(tokens.len(), width);
        for (row, token) in rows.data_mut().chunks_exact_mut(width).zip(tokens) {
            row.fill((1000 * layer + 10 * token + width) as f32);
        }
        rows
    }

    /// Records every other of twice as many rows.
    fn record(tape: &mut HostTape, tokens: usize) {
        assert!(tape.reserve(tokens).is_some());
        let range = tape.tokens()..tape.tokens() + tokens;
        let odd: Vec<usize> = (0..tokens).map(|token| 2 * token + 1).collect();
        for layer in 0..2 {
            let part = |width| {
                let (own, mut all) = (
                    rows(range.clone(), layer, width),
                    Rows::zeros(2 * tokens, width),
                );
                for (token, &row) in odd.iter().enumerate() {
                    all.data_mut()[row * width..][..width].copy_from_slice(own.row(token));
                }
                all
            };
            tape.record(layer, &[part(3), part(5)].each_ref(), &odd);
        }
        tape.advance(tokens);
    }

    #[test]
    fn every_token_gets_its_own_back() {
        let mut tape = HostTape::new(2, 1000, false);
        for tokens in [1, 2, 130, 7, 256, 1] {
            record(&mut tape, tokens);
        }
        let tokens = [0, 396, 127, 128, 129, 130, 2, 257, 0];
        let places: Vec<_> = tokens.iter().map(|&token| (&tape, token)).collect();
        for layer in 0..2 {
            for (part, width) in [3, 5].into_iter().enumerate() {
                let found = HostTape::gather(&places, layer, part);
                for (row, token) in tokens.into_iter().enumerate() {
                    let expected = rows(token..token + 1, layer, width);
                    assert_eq!(found.row(row), expected.data());
                }
            }
        }
    }

    #[test]
    fn room_is_promised_once() {
        let mut tape = HostTape::new(2, 10, false);
        let mut fits = |tokens| tape.reserve(tokens).is_some();
        assert!(fits(7) && !fits(4) && fits(3));
        tape.release(2);
        let mut fits = |tokens| tape.reserve(tokens).is_some();
        assert!(!fits(3) && fits(2) && !fits(1));
    }
}
