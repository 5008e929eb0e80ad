//! Rectangles of `f32` inside larger buffers, and the matrix products on them.
//!
//! The one file of the CPU path with unsafe code: views are checked against their buffer when they
//! are made, and every product against its views.
#![allow(unsafe_code)]

use std::marker::PhantomData;

/// A rectangle to read: element `(i, j)` stands at `i * row_stride + j * column_stride`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    start: *const f32,
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
    buffer: PhantomData<&'a [f32]>,
}

/// A rectangle to write, its rows contiguous; disjoint parts can go to different threads.
#[derive(Debug)]
pub(crate) struct ViewMut<'a> {
    start: *mut f32,
    rows: usize,
    columns: usize,
    row_stride: usize,
    buffer: PhantomData<&'a mut [f32]>,
}

// SAFETY: a view stands for the `&[f32]` or `&mut [f32]` that it was made of (or for a part of it
// that no other view overlaps), and these may be sent and shared.
unsafe impl Send for View<'_> {}
unsafe impl Sync for View<'_> {}
unsafe impl Send for ViewMut<'_> {}

impl<'a> View<'a> {
    /// All of a row-major matrix.
    ///
    /// # Panics
    /// When `data` holds no whole number of rows.
    pub(crate) fn new(data: &'a [f32], columns: usize) -> Self {
        assert!(columns > 0 && data.len().is_multiple_of(columns));
        Self {
            start: data.as_ptr(),
            rows: data.len() / columns,
            columns,
            row_stride: columns,
            column_stride: 1,
            buffer: PhantomData,
        }
    }

    /// A rectangle of it.
    pub(crate) fn part(
        self,
        rows: std::ops::Range<usize>,
        columns: std::ops::Range<usize>,
    ) -> Self {
        assert!(rows.start <= rows.end && rows.end <= self.rows);
        assert!(columns.start <= columns.end && columns.end <= self.columns);
        let offset = rows.start * self.row_stride + columns.start * self.column_stride;
        Self {
            // SAFETY: inside the rectangle, or one past it when a range is empty: `wrapping_add`
            // never dereferences.
            start: self.start.wrapping_add(offset),
            rows: rows.len(),
            columns: columns.len(),
            ..self
        }
    }

    /// How many columns it has.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Its transpose.
    pub(crate) fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// A row of a view that was not transposed.
    pub(crate) fn row(&self, row: usize) -> &'a [f32] {
        assert!(row < self.rows && self.column_stride == 1);
        // SAFETY: the row lies inside the buffer that the view was made of.
        unsafe { std::slice::from_raw_parts(self.start.add(row * self.row_stride), self.columns) }
    }
}

impl<'a> ViewMut<'a> {
    /// All of a row-major matrix.
    ///
    /// # Panics
    /// When `data` holds no whole number of rows.
    pub(crate) fn new(data: &'a mut [f32], columns: usize) -> Self {
        assert!(columns > 0 && data.len().is_multiple_of(columns));
        Self {
            start: data.as_mut_ptr(),
            rows: data.len() / columns,
            columns,
            row_stride: columns,
            buffer: PhantomData,
        }
    }

    /// The same rectangle for a while.
    pub(crate) fn again(&mut self) -> ViewMut<'_> {
        ViewMut {
            buffer: PhantomData,
            ..*self
        }
    }

    /// A rectangle of it.
    pub(crate) fn part(
        self,
        rows: std::ops::Range<usize>,
        columns: std::ops::Range<usize>,
    ) -> Self {
        assert!(rows.start <= rows.end && rows.end <= self.rows);
        assert!(columns.start <= columns.end && columns.end <= self.columns);
        Self {
            start: self
                .start
                .wrapping_add(rows.start * self.row_stride + columns.start),
            rows: rows.len(),
            columns: columns.len(),
            ..self
        }
    }

    /// Its rows in runs of the given lengths, which must add up to all of them.
    pub(crate) fn split_rows(self, lengths: impl IntoIterator<Item = usize>) -> Vec<ViewMut<'a>> {
        let mut next = 0;
        let parts = lengths.into_iter().map(|length| {
            let rows = next..next + length;
            next += length;
            self.alias().part(rows, 0..self.columns)
        });
        let parts: Vec<_> = parts.collect();
        assert_eq!(next, self.rows);
        parts
    }

    /// Its columns in bands of `width`, the last of what is left.
    pub(crate) fn split_columns(self, width: usize) -> Vec<ViewMut<'a>> {
        let columns = self.columns;
        (0..columns)
            .step_by(width)
            .map(|start| {
                let band = start..(start + width).min(columns);
                self.alias().part(0..self.rows, band)
            })
            .collect()
    }

    /// Another view of the same rectangle; callers in this file narrow it so that no two overlap.
    fn alias(&self) -> ViewMut<'a> {
        ViewMut {
            buffer: PhantomData,
            ..*self
        }
    }

    /// A row.
    pub(crate) fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows);
        // SAFETY: the row lies inside the buffer, and no other view overlaps this one.
        unsafe {
            std::slice::from_raw_parts_mut(self.start.add(row * self.row_stride), self.columns)
        }
    }
}

/// What a product does with what is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Into {
    /// Replaces it.
    Replace,
    /// Adds to it.
    Add,
}

/// How many threads a product may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// The calling one.
    One,
    /// All of the pool that the caller runs in.
    Pool,
}

/// Asks for the cache line of `data[index]` to be brought into the second-level cache. It changes
/// nothing but time, and `index` may lie outside.
#[inline(always)]
pub(crate) fn prefetch<T>(data: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a prefetch is a hint: it reads nothing and faults nowhere, and every x86-64
        // processor has it.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(data.as_ptr().wrapping_add(index).cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (data, index);
}

/// `out (+)= scale · a b`.
///
/// # Shapes
/// - a: `[m, k]`, b: `[k, n]`, out: `[m, n]`
pub(crate) fn product(
    out: &mut ViewMut,
    a: View,
    b: View,
    scale: f32,
    into: Into,
    threads: Threads,
) {
    assert_eq!(
        (out.rows, out.columns, a.columns),
        (a.rows, b.columns, b.rows)
    );
    let (m, n, k) = (out.rows, out.columns, a.columns);
    if m == 0 || n == 0 {
        return;
    }
    let parallelism = match threads {
        // Below a few million operations a fork costs more than it brings.
        Threads::Pool if m * n * k > 1 << 21 && rayon::current_num_threads() > 1 => {
            gemm::Parallelism::Rayon(0)
        }
        _ => gemm::Parallelism::None,
    };
    let kept = match into {
        Into::Replace => 0.0,
        Into::Add => 1.0,
    };
    // SAFETY: the shapes fit each other by the assertion above, and each view lies inside its
    // buffer; `out` overlaps neither, since it is exclusive.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.start,
            1,
            out.row_stride as isize,
            into == Into::Add,
            a.start,
            a.column_stride as isize,
            a.row_stride as isize,
            b.start,
            b.column_stride as isize,
            b.row_stride as isize,
            kept,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_of_parts_touches_only_its_part() {
        let a: Vec<f32> = (0..12).map(|x| x as f32).collect(); // [3, 4]
        let mut out = vec![-1.0; 12];
        let mut view = ViewMut::new(&mut out, 4).part(1..3, 1..3);
        let left = View::new(&a, 4).part(0..2, 0..3); // [2, 3]
        let right = View::new(&a, 4).part(0..2, 1..4).t(); // [3, 2]
        product(&mut view, left, right, 2.0, Into::Replace, Threads::One);
        let expected = [2.0 * 8.0, 2.0 * 20.0, 2.0 * 32.0, 2.0 * 92.0];
        assert_eq!(out[5..7], expected[..2]);
        assert_eq!(out[9..11], expected[2..]);
        assert!([0, 1, 2, 3, 4, 7, 8, 11].iter().all(|&i| out[i] == -1.0));
    }

    #[test]
    #[should_panic(expected = "assertion")]
    fn shapes_that_do_not_fit_are_refused() {
        let a = [0.0; 6];
        let mut out = [0.0; 4];
        let mut out = ViewMut::new(&mut out, 2);
        product(
            &mut out,
            View::new(&a, 3),
            View::new(&a, 3),
            1.0,
            Into::Add,
            Threads::One,
        );
    }
}
