//! `dunwu completions`.

use std::io::Write;

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::{Arguments, Failure};

/// Write a script that completes commands and options in a shell.
///
/// dunwu completions bash > ~/.local/share/bash-completion/completions/dunwu
/// dunwu completions zsh > ~/.zfunc/_dunwu
/// dunwu completions fish > ~/.config/fish/completions/dunwu.fish
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let mut script = Vec::new();
        generate(self.shell, &mut Arguments::command(), "dunwu", &mut script);
        std::io::stdout()
            .write_all(&script)
            .context("standard output")?;
        Ok(())
    }
}
