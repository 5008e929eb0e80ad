//! `dunwu generate` and `dunwu chat`.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::Context;
use clap::Args;
use dunwu::{
    bundle::Bundle,
    generation::{Event, Finish, Generator, Room, SamplingConfig, Turns},
    rollout::StopTexts,
    tokenizer::StreamDecoder,
};
use dunwu_datasets::{Message, Prompt, Role, derive_seed};

use super::{
    Failure,
    model::{ModelArguments, SamplingArguments},
    terminal::tell,
};

/// Complete a prompt; the completion is written as it is drawn.
#[derive(Debug, Args)]
pub(crate) struct Generate {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    sampling: SamplingArguments,
    /// The prompt; - is standard input
    prompt: String,
    /// Put the prompt to the model as a user's message, by its chat template
    #[arg(long)]
    chat: bool,
    /// Completions to draw, one after the other
    #[arg(long, default_value_t = 1)]
    count: u64,
}

impl Generate {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let text = match self.prompt.as_str() {
            "-" => std::io::read_to_string(std::io::stdin().lock()).context("standard input")?,
            text => text.to_owned(),
        };
        let sampling = self.sampling.config()?;
        let bundle = self.model.open()?;
        let prompt = if self.chat {
            Prompt::user(None, text)
        } else {
            Prompt::Text(text)
        };
        for index in 0..self.count {
            let seed = derive_seed(self.sampling.seed, &[index]);
            let mut out = std::io::stdout().lock();
            stream(&bundle, &sampling, &prompt, seed, |piece| {
                out.write_all(piece.as_bytes()).and_then(|()| out.flush())
            })?;
            writeln!(out).context("standard output")?;
        }
        Ok(())
    }
}

/// Talk to a model; what stands between <think> and </think> is set apart from the answer.
///
/// Lines are read from standard input; an empty one or the end of input leaves.
#[derive(Debug, Args)]
pub(crate) struct Chat {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    sampling: SamplingArguments,
    /// Instructions for the whole conversation
    #[arg(long)]
    system: Option<String>,
}

impl Chat {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let sampling = self.sampling.config()?;
        let bundle = self.model.open()?;
        let mut messages: Vec<Message> = self
            .system
            .iter()
            .map(|text| Message::new(Role::System, text.clone()))
            .collect();
        let terminal = std::io::stdin().is_terminal();
        let mut lines = std::io::stdin().lock().lines();
        for turn in 0.. {
            if terminal {
                eprint!("> ");
            }
            let Some(line) = lines.next() else { break };
            let line = line.context("standard input")?;
            if line.trim().is_empty() {
                break;
            }
            messages.push(Message::new(Role::User, line.clone()));
            // A model without a template continues raw text, one turn at a time.
            let prompt = match bundle.codec.encoder.template {
                Some(_) => Prompt::Chat(messages.clone()),
                None => Prompt::Text(line),
            };
            let mut view = ThinkingView::new(std::io::stdout().is_terminal());
            let seed = derive_seed(self.sampling.seed, &[turn]);
            let answer = stream(&bundle, &sampling, &prompt, seed, |piece| view.show(piece))?;
            view.finish().context("standard output")?;
            messages.push(Message::new(Role::Assistant, answer));
        }
        Ok(())
    }
}

/// Draws one completion and hands its text over as it grows; returns it whole.
fn stream(
    bundle: &Bundle,
    sampling: &SamplingConfig,
    prompt: &Prompt,
    seed: u64,
    mut show: impl FnMut(&str) -> std::io::Result<()>,
) -> Result<String, Failure> {
    let tokenizer = &bundle.codec.encoder.tokenizer;
    let (_, ids) = bundle.codec.encoder.encode(prompt)?;
    let context = bundle.model.config().context();
    if ids.len() >= context {
        let length = ids.len();
        return Err(anyhow::anyhow!(
            "the prompt has {length} tokens, the model's context is {context}"
        )
        .into());
    }
    let sampling = &SamplingConfig {
        max_tokens: sampling.max_tokens.min(context - ids.len()),
        ..sampling.clone()
    };
    let generator = Generator {
        model: &bundle.model,
        sampling,
        eos: &bundle.codec.eos,
        drawable: tokenizer.vocab_size(),
        batch_rows: 1,
        recorded_tokens: 0,
        record_routes: false,
    };
    let stops = StopTexts::new(tokenizer, &sampling.stop);
    let stop = |tokens: &[u32]| stops.end(tokens);
    let room = Room {
        prompt: ids.len(),
        completions: 1,
        turns: Turns::One,
    };
    let mut session = generator.session(room, (!stops.is_empty()).then_some(&stop));
    let id = session.submit(&ids.into(), seed);
    let mut decoder = StreamDecoder::new(tokenizer);
    let mut finish = None;
    while finish.is_none() {
        // Whoever reads the output may have gone: the first piece that cannot be written is the last.
        for event in session.advance() {
            match event {
                Event::Token { token, .. } => {
                    if let Some(piece) = decoder.push(token)? {
                        show(&piece).context("standard output")?;
                    }
                }
                Event::TurnEnded { finish: why, .. } => finish = Some(why),
            }
        }
    }
    let output = session
        .finish(id)
        .map_or_else(Vec::new, |output| output.tokens);
    if let Some(rest) = decoder.finish()? {
        show(&rest).context("standard output")?;
    }
    if finish == Some(Finish::Length) {
        tell!(
            "\n(cut off after {} tokens; --max-tokens allows more)",
            output.len()
        );
    }
    Ok(tokenizer.decode(&output)?)
}

/// Shows thinking dimmed on a terminal, under a heading elsewhere.
struct ThinkingView {
    terminal: bool,
    /// Text that may be the beginning of a tag.
    held: String,
    thinking: bool,
}

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

impl ThinkingView {
    fn new(terminal: bool) -> Self {
        Self {
            terminal: terminal && std::env::var_os("NO_COLOR").is_none(),
            held: String::new(),
            thinking: false,
        }
    }

    fn show(&mut self, piece: &str) -> std::io::Result<()> {
        self.held += piece;
        loop {
            let tag = if self.thinking { CLOSE } else { OPEN };
            if let Some(place) = self.held.find(tag) {
                let rest = self.held.split_off(place + tag.len());
                self.held.truncate(place);
                self.emit()?;
                self.held = rest;
                self.switch()?;
                continue;
            }
            // Keep back what could still become the tag.
            let keep = (1..tag.len())
                .rev()
                .find(|&n| self.held.ends_with(&tag[..n]))
                .unwrap_or(0);
            let rest = self.held.split_off(self.held.len() - keep);
            self.emit()?;
            self.held = rest;
            return Ok(());
        }
    }

    fn emit(&mut self) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(self.held.as_bytes())?;
        self.held.clear();
        out.flush()
    }

    fn switch(&mut self) -> std::io::Result<()> {
        self.thinking = !self.thinking;
        let text = match (self.terminal, self.thinking) {
            (true, true) => "\x1b[2mthinking: ",
            (true, false) => "\x1b[0m\nanswer: ",
            (false, true) => "thinking: ",
            (false, false) => "\nanswer: ",
        };
        std::io::stdout().lock().write_all(text.as_bytes())
    }

    fn finish(&mut self) -> std::io::Result<()> {
        self.emit()?;
        let mut out = std::io::stdout().lock();
        if self.terminal && self.thinking {
            out.write_all(b"\x1b[0m")?;
        }
        out.write_all(b"\n")
    }
}
