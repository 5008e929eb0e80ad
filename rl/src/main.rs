//! The command line of dunwu.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
