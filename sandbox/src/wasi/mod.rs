//! What a guest may ask of the host: WASI, with nothing behind it.
//!
//! There is standard input and output, a clock that moves when it is read, and random numbers from a
//! fixed seed. Files, sockets, variables and threads are not there: asking for them gives the error
//! that a system without them would give, so that a program which handles it goes on.

mod poll;
pub(crate) mod preview1;
pub(crate) mod preview2;
