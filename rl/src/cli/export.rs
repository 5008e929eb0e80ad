//! `dunwu export`.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use dunwu::{checkpoint, device, run::Bundle};

use super::Failure;

/// Write a run's model as a Hugging Face directory, which transformers loads.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The run's directory; its newest checkpoint is taken
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Where to write; must not exist, or be empty
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

impl Export {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let newest = checkpoint::latest(&self.run)?;
        let newest = newest.ok_or_else(|| {
            anyhow!("{}: no checkpoint below it; hint: --run takes the directory that dunwu train printed", self.run.display())
        })?;
        let chosen = device::choose(device::DeviceChoice::Flex)
            .or_else(|_| device::choose(device::DeviceChoice::Auto))?;
        eprintln!("device   {}", chosen.reason);
        let bundle = Bundle::open(
            &newest.join(checkpoint::MODEL).display().to_string(),
            &chosen.device,
        )?;
        checkpoint::save_model(&self.to, &bundle.model, &bundle.codec)?;
        eprintln!("wrote {} from {}", self.to.display(), newest.display());
        Ok(())
    }
}
