//! The allocator of the program.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_long};

/// Tensors are allocated and freed at every operation: the system's allocator gives large ones back
/// to the kernel each time, and pays for it in page faults.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc 2 and 3.
const PURGE_DELAY: c_int = 15;

unsafe extern "C" {
    fn mi_option_set(option: c_int, value: c_long);
}

/// Keeps memory that is free for the next step, instead of giving it back after a moment: a step
/// takes what the last one had, and every page that comes from the kernel anew is cleared first. It
/// also leaves huge pages whole.
pub(crate) fn keep_memory() {
    // SAFETY: the function is mimalloc's, linked with the allocator above; it takes two numbers and
    // may be called at any time.
    unsafe { mi_option_set(PURGE_DELAY, -1) }
}
