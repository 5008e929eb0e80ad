//! The command line of dunwu.

mod cli;

fn main() -> std::process::ExitCode {
    // This program is its own sandbox worker.
    dunwu_sandbox::worker::serve_if_asked();
    cli::allocator::keep_memory();
    cli::main()
}
