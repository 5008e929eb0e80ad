//! Matrices on the host, in buffers that are used again.
//!
//! Activations are large and live for milliseconds. Giving their memory back to the system and
//! asking for it again costs a page fault for every 4 KiB: a quarter of a training step, measured.

use std::sync::{Mutex, PoisonError};

use super::strided::{View, ViewMut};

/// Buffers from this size on (64 KiB) are kept.
const KEPT: usize = 1 << 14;

/// All buffers from that size on.
static POOL: Mutex<Pool> = Mutex::new(Pool::new());

/// Buffers that are used again. Lengths are in values.
#[derive(Debug)]
struct Pool {
    /// Free buffers, oldest first.
    free: Vec<Vec<f32>>,
    /// Length of all free buffers.
    free_length: usize,
    /// Length of all buffers in use.
    used_length: usize,
    /// The largest length that was ever in use at the same time.
    most_used: usize,
}

/// A row-major matrix.
#[derive(Debug)]
pub(crate) struct Rows {
    /// At least as long as the matrix; initialised throughout.
    buffer: Vec<f32>,
    length: usize,
    width: usize,
}

impl Rows {
    /// A matrix whose values are whatever they were; every one is to be written.
    pub(crate) fn stale(rows: usize, width: usize) -> Self {
        let length = rows * width;
        Self {
            buffer: take(length),
            length,
            width,
        }
    }

    /// A matrix of zeros.
    pub(crate) fn zeros(rows: usize, width: usize) -> Self {
        let mut new = Self::stale(rows, width);
        new.data_mut().fill(0.0);
        new
    }

    /// Rows.
    pub(crate) fn rows(&self) -> usize {
        self.length / self.width
    }

    /// Columns.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// The values, row after row.
    pub(crate) fn data(&self) -> &[f32] {
        &self.buffer[..self.length]
    }

    /// The values, row after row.
    pub(crate) fn data_mut(&mut self) -> &mut [f32] {
        &mut self.buffer[..self.length]
    }

    /// The same values in rows of another width.
    ///
    /// # Panics
    /// When they are no whole number of rows.
    pub(crate) fn folded(mut self, width: usize) -> Self {
        assert!(self.length.is_multiple_of(width));
        self.width = width;
        self
    }

    /// One row.
    pub(crate) fn row(&self, row: usize) -> &[f32] {
        &self.data()[row * self.width..(row + 1) * self.width]
    }

    /// To read.
    pub(crate) fn view(&self) -> View<'_> {
        View::new(self.data(), self.width)
    }

    /// To write.
    pub(crate) fn view_mut(&mut self) -> ViewMut<'_> {
        let width = self.width;
        ViewMut::new(self.data_mut(), width)
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        if self.buffer.len() >= KEPT {
            let buffer = std::mem::take(&mut self.buffer);
            POOL.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .put(buffer);
        }
    }
}

/// A buffer of about this length: a free one, or a new one of zeros.
fn take(length: usize) -> Vec<f32> {
    if length < KEPT {
        return vec![0.0; length];
    }
    let taken = POOL
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take(length);
    match taken {
        Taken::Free(buffer) => buffer,
        Taken::New { dropped } => {
            drop(dropped);
            vec![0.0; length]
        }
    }
}

/// Where a buffer comes from.
enum Taken {
    /// It was free.
    Free(Vec<f32>),
    /// It is to be made, once these are gone.
    New { dropped: Vec<Vec<f32>> },
}

impl Pool {
    const fn new() -> Self {
        Self {
            free: Vec::new(),
            free_length: 0,
            used_length: 0,
            most_used: 0,
        }
    }

    /// Takes a buffer back.
    fn put(&mut self, buffer: Vec<f32>) {
        self.used_length -= buffer.len();
        self.free_length += buffer.len();
        self.free.push(buffer);
    }

    /// A free buffer of at least `length` and at most a quarter more. Where there is none a new one is made, and the oldest free
    /// ones go as far as it takes to hold no more than was once in use at the same time. Not before: the phases of a step need
    /// buffers of different lengths, and what one leaves behind the next step takes up again; to give it back and ask for it anew
    /// leaves holes in memory that nothing fits into.
    fn take(&mut self, length: usize) -> Taken {
        let fits = |buffer: &Vec<f32>| (length..=length + length / 4).contains(&buffer.len());
        let best = (0..self.free.len())
            .filter(|&i| fits(&self.free[i]))
            .min_by_key(|&i| self.free[i].len());
        if let Some(best) = best {
            let buffer = self.free.remove(best);
            self.free_length -= buffer.len();
            self.using(buffer.len());
            return Taken::Free(buffer);
        }
        self.using(length);
        let mut dropped = Vec::new();
        while self.used_length + self.free_length > self.most_used && !self.free.is_empty() {
            let oldest = self.free.remove(0);
            self.free_length -= oldest.len();
            dropped.push(oldest);
        }
        Taken::New { dropped }
    }

    fn using(&mut self, length: usize) {
        self.used_length += length;
        self.most_used = self.most_used.max(self.used_length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a buffer of `length`, making it where there is none; whether it was free.
    fn taken(pool: &mut Pool, length: usize) -> (Vec<f32>, bool) {
        match pool.take(length) {
            Taken::Free(buffer) => (buffer, true),
            Taken::New { .. } => (vec![0.0; length], false),
        }
    }

    #[test]
    fn what_is_held_is_at_most_what_was_in_use_at_once() {
        let mut pool = Pool::new();
        let mut most = 0;
        // Lengths that never repeat within a quarter: nothing fits.
        for step in 0..50 {
            let lengths = [100, 200, 400].map(|length| length + 77 * length * (step % 7) / 100);
            let buffers = lengths.map(|length| taken(&mut pool, length).0);
            most = most.max(buffers.iter().map(Vec::len).sum());
            assert_eq!(
                pool.used_length,
                buffers.iter().map(Vec::len).sum::<usize>()
            );
            assert!(pool.used_length + pool.free_length <= most, "step {step}");
            buffers.into_iter().for_each(|buffer| pool.put(buffer));
            let free: usize = pool.free.iter().map(Vec::len).sum();
            assert_eq!((pool.used_length, pool.free_length), (0, free));
        }
        assert!(pool.free_length > 0);
    }

    #[test]
    fn nothing_is_given_back_while_there_is_room() {
        let mut pool = Pool::new();
        let buffers = [400, 200].map(|length| taken(&mut pool, length).0);
        buffers.into_iter().for_each(|buffer| pool.put(buffer));
        let dropped = |taken: Taken| match taken {
            Taken::Free(_) => panic!("none fits"),
            Taken::New { dropped } => dropped.iter().map(Vec::len).collect::<Vec<_>>(),
        };
        assert_eq!(dropped(pool.take(50)), [400], "600 were in use at once");
        assert_eq!(dropped(pool.take(70)), [0; 0], "400 are to spare");
        assert!(taken(&mut pool, 180).1, "the other is still there");
    }
}
