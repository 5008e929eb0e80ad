//! Numbers with guaranteed error bounds.
//!
//! - `ball`: real balls and the four operations and roots on them
//! - `elementary`: constants, exponential, logarithm, trigonometric functions
//! - `complex`: rectangles in the complex plane

mod ball;
mod complex;
mod elementary;

pub(crate) use ball::{Ball, BallSign};
pub(crate) use complex::Complex;
pub(crate) use elementary::Field;
