//! The command line of dunwu.

mod cli;

/// Tensors are allocated and freed at every operation: the system's allocator gives large ones back
/// to the kernel each time, and pays for it in page faults.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    // This program is its own sandbox worker.
    dunwu_sandbox::worker::serve_if_asked();
    cli::main()
}
