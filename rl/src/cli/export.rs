//! `dunwu export`.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use dunwu::{
    bundle::{
        Bundle, checkpoints,
        save::{Stored, save_gguf, save_model},
    },
    device,
    model::{config::Family, lora},
    run::{card::model_card, tensorboard},
};

use super::{Failure, terminal::tell, usage};

/// The word after --to that asks for figures.
const TENSORBOARD: &str = "tensorboard";

/// Write a run's model as a Hugging Face directory, which transformers loads, or as a GGUF file, which
/// llama.cpp loads, or its low-rank adapters as a directory that PEFT loads; or its figures for TensorBoard.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The run's directory; its newest checkpoint is taken
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Where to write: a directory that does not exist, or is empty; with --gguf a file that does not exist. `--to tensorboard
    /// DIR` writes the run's figures as an event file into DIR
    #[arg(long, value_names = ["DIR", "DIR"], num_args = 1..=2, required = true)]
    to: Vec<PathBuf>,
    /// Write the adapters alone, in PEFT's format; without it they are added to the weights
    #[arg(long)]
    adapter: bool,
    /// Write one GGUF file, which llama.cpp loads, with its matrices in this type
    #[arg(long, value_name = "TYPE", conflicts_with = "adapter")]
    gguf: Option<GgufType>,
}

/// How the matrices of a GGUF file are written.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum GgufType {
    /// 32 bits
    F32,
    /// 16 bits, with the range of half precision
    F16,
    /// 16 bits, with the range of f32
    Bf16,
    /// 8 bits, and a scale for 32 values
    #[value(name = "q8_0")]
    Q8_0,
}

impl From<GgufType> for Stored {
    fn from(kind: GgufType) -> Self {
        match kind {
            GgufType::F32 => Self::F32,
            GgufType::F16 => Self::F16,
            GgufType::Bf16 => Self::Bf16,
            GgufType::Q8_0 => Self::Q8_0,
        }
    }
}

impl Export {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.to.as_slice() {
            [what, folder] if what == Path::new(TENSORBOARD) => self.figures(folder),
            [what, _] => Err(usage(format!(
                "--to {}: no such form; hint: --to {TENSORBOARD} DIR, or one directory for the model",
                what.display()
            ))),
            [to] => self.model(to),
            _ => Err(usage("--to: where to is missing")),
        }
    }

    /// Writes the run's figures as an event file.
    fn figures(&self, folder: &Path) -> Result<(), Failure> {
        let run = self.run.display();
        if self.adapter || self.gguf.is_some() {
            return Err(usage(format!(
                "--to {TENSORBOARD} writes figures; hint: leave out --adapter and --gguf"
            )));
        }
        if !self.run.join("metrics.jsonl").is_file() {
            return Err(anyhow!("{run}: no metrics.jsonl in it; hint: --run takes the directory that dunwu train printed").into());
        }
        let path =
            tensorboard::export(&self.run, folder).with_context(|| folder.display().to_string())?;
        tell!("wrote {} from {run}", path.display());
        Ok(())
    }

    fn model(&self, to: &Path) -> Result<(), Failure> {
        let newest = checkpoints::latest(&self.run)?;
        let newest = newest.ok_or_else(|| {
            anyhow!("{}: no checkpoint below it; hint: --run takes the directory that dunwu train printed", self.run.display())
        })?;
        if self.adapter {
            return self.adapter(&newest.join(checkpoints::ADAPTER), to);
        }
        let chosen = device::choose(device::DeviceChoice::Flex)
            .or_else(|_| device::choose(device::DeviceChoice::Auto))?;
        tell!("device   {}", chosen.reason);
        let bundle = Bundle::open(
            &newest.join(checkpoints::MODEL).display().to_string(),
            &chosen.device,
        )?;
        match self.gguf {
            Some(kind) => save_gguf(to, &bundle.model, &bundle.codec, kind.into())?,
            None => {
                save_model(to, &bundle.model, &bundle.codec)?;
                self.write_card(to)?;
            }
        }
        tell!("wrote {} from {}", to.display(), newest.display());
        Ok(())
    }

    /// Writes the model's card beside it.
    fn write_card(&self, to: &Path) -> Result<(), Failure> {
        let card = to.join("README.md");
        std::fs::write(&card, model_card(&self.run)?)
            .with_context(|| card.display().to_string())?;
        Ok(())
    }

    /// The family of the model beside the adapters in `from`.
    fn family(&self, from: &Path) -> Result<Option<Family>, Failure> {
        let path = from.with_file_name(checkpoints::MODEL).join("config.json");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let config: serde_json::Value =
            serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        let kind = config["model_type"].as_str();
        Ok(kind.and_then(Family::of_model_type))
    }

    fn adapter(&self, from: &Path, to: &Path) -> Result<(), Failure> {
        if !from.is_dir() {
            let run = self.run.display();
            return Err(anyhow!("{run}: this run trained the whole model, there is no adapter; hint: leave out --adapter").into());
        }
        if let Some(family) = self.family(from)?.filter(|family| family.fuses_maps()) {
            return Err(anyhow!("{}: PEFT has no map for these adapters: models of the family {family} keep q_proj, k_proj and v_proj in one matrix there; hint: leave out --adapter, and the adapters are added to the weights", self.run.display()).into());
        }
        let there = to.read_dir().is_ok_and(|mut files| files.next().is_some());
        if there {
            return Err(anyhow!("{}: is not empty", to.display()).into());
        }
        std::fs::create_dir_all(to).with_context(|| to.display().to_string())?;
        for name in [lora::CONFIG, lora::WEIGHTS] {
            let target = to.join(name);
            std::fs::copy(from.join(name), &target)
                .with_context(|| target.display().to_string())?;
        }
        self.write_card(to)?;
        tell!("wrote {} from {}", to.display(), from.display());
        Ok(())
    }
}
