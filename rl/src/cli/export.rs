//! `dunwu export`.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use dunwu::{
    bundle::{Bundle, checkpoints, save::save_model},
    device,
    model::lora,
};

use super::{Failure, terminal::tell};

/// Write a run's model as a Hugging Face directory, which transformers loads, or its low-rank
/// adapters as a directory that PEFT loads.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The run's directory; its newest checkpoint is taken
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Where to write; must not exist, or be empty
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Write the adapters alone, in PEFT's format; without it they are added to the weights
    #[arg(long)]
    adapter: bool,
}

impl Export {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let newest = checkpoints::latest(&self.run)?;
        let newest = newest.ok_or_else(|| {
            anyhow!("{}: no checkpoint below it; hint: --run takes the directory that dunwu train printed", self.run.display())
        })?;
        if self.adapter {
            return self.adapter(&newest.join(checkpoints::ADAPTER));
        }
        let chosen = device::choose(device::DeviceChoice::Flex)
            .or_else(|_| device::choose(device::DeviceChoice::Auto))?;
        tell!("device   {}", chosen.reason);
        let bundle = Bundle::open(
            &newest.join(checkpoints::MODEL).display().to_string(),
            &chosen.device,
        )?;
        save_model(&self.to, &bundle.model, &bundle.codec)?;
        tell!("wrote {} from {}", self.to.display(), newest.display());
        Ok(())
    }

    fn adapter(&self, from: &Path) -> Result<(), Failure> {
        if !from.is_dir() {
            let run = self.run.display();
            return Err(anyhow!("{run}: this run trained the whole model, there is no adapter; hint: leave out --adapter").into());
        }
        let there = self
            .to
            .read_dir()
            .is_ok_and(|mut files| files.next().is_some());
        if there {
            return Err(anyhow!("{}: is not empty", self.to.display()).into());
        }
        std::fs::create_dir_all(&self.to).with_context(|| self.to.display().to_string())?;
        for name in [lora::CONFIG, lora::WEIGHTS] {
            let target = self.to.join(name);
            std::fs::copy(from.join(name), &target)
                .with_context(|| target.display().to_string())?;
        }
        tell!("wrote {} from {}", self.to.display(), from.display());
        Ok(())
    }
}
