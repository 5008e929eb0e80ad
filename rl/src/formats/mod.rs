//! File formats that several parts of the program read. They know bytes and no model.

pub mod gguf;
pub mod tfevents;
