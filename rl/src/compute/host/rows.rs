//! Matrices on the host, in buffers that are used again.
//!
//! Activations are large and live for milliseconds. Giving their memory back to the system and
//! asking for it again costs a page fault for every 4 KiB: a quarter of a training step, measured.

use std::sync::{Mutex, PoisonError};

use super::strided::{View, ViewMut};

/// Buffers from this size on (64 KiB) are kept.
const KEPT: usize = 1 << 14;

/// Free buffers, oldest first.
static FREE: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());

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
            FREE.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(buffer);
        }
    }
}

/// A free buffer of about this length, or a new one in place of free ones of its size: what is
/// held never grows beyond what was once needed at the same time.
fn take(length: usize) -> Vec<f32> {
    if length < KEPT {
        return vec![0.0; length];
    }
    let mut dropped = Vec::new();
    {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |buffer: &Vec<f32>| (length..=length + length / 4).contains(&buffer.len());
        let best = (0..free.len())
            .filter(|&i| fits(&free[i]))
            .min_by_key(|&i| free[i].len());
        if let Some(best) = best {
            return free.swap_remove(best);
        }
        let mut bytes = 0;
        while bytes < length && !free.is_empty() {
            let oldest = free.remove(0);
            bytes += oldest.len();
            dropped.push(oldest);
        }
    }
    drop(dropped);
    vec![0.0; length]
}
