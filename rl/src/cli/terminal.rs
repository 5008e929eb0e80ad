//! What is said on standard error. A terminal that is gone, or a pipe that nobody reads, ends nothing.

use std::io::Write;

/// Writes a line to standard error, if somebody reads it.
pub(crate) fn say(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes a line to standard error as `eprintln!` does, but never panics.
macro_rules! tell {
    ($($text:tt)*) => {
        $crate::cli::terminal::say(format_args!($($text)*))
    };
}
pub(crate) use tell;
