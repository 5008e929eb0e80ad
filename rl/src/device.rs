//! The only file that chooses a Burn device.

use std::fmt;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

/// Where tensors live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum DeviceChoice {
    /// A hardware adapter through wgpu if there is one, else the CPU.
    #[default]
    Auto,
    /// An adapter through wgpu, hardware before software.
    Wgpu,
    /// The CPU, by Burn's Flex backend.
    Flex,
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Wgpu => "wgpu",
            Self::Flex => "flex",
        })
    }
}

/// A device and why it was taken.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// The device, without autodiff.
    pub device: Device,
    /// One line for the user.
    pub reason: String,
}

/// Why there is no device.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// wgpu was asked for and finds nothing.
    #[error(
        "--device wgpu: no adapter found ({detail}); hint: install a Vulkan, Metal or DirectX 12 driver, or use --device flex"
    )]
    NoAdapter {
        /// What was looked for.
        detail: String,
    },
    /// The program was built without it.
    #[error(
        "--device {asked}: this program was built without the feature `{asked}`; hint: build it with --features {asked}"
    )]
    NotBuilt {
        /// The device.
        asked: &'static str,
    },
}

/// Takes the device that `choice` stands for.
///
/// # Errors
/// When it is not there or not built in.
pub fn choose(choice: DeviceChoice) -> Result<Chosen, DeviceError> {
    match choice {
        DeviceChoice::Flex => flex("as asked"),
        DeviceChoice::Wgpu => wgpu::any(),
        DeviceChoice::Auto => match wgpu::hardware() {
            Ok(chosen) => Ok(chosen),
            Err(why) => flex(&format!("auto: {why}")),
        },
    }
}

#[cfg(feature = "flex")]
fn flex(why: &str) -> Result<Chosen, DeviceError> {
    let threads = rayon::current_num_threads();
    Ok(Chosen {
        device: Device::flex(),
        reason: format!("flex, the CPU with {threads} threads ({why})"),
    })
}

#[cfg(not(feature = "flex"))]
fn flex(_: &str) -> Result<Chosen, DeviceError> {
    Err(DeviceError::NotBuilt { asked: "flex" })
}

#[cfg(feature = "wgpu")]
mod wgpu {
    use burn::tensor::{Device, DeviceKind};
    use wgpu::{AdapterInfo, Backends, DeviceType, Instance, InstanceDescriptor};

    use crate::device::{Chosen, DeviceError};

    /// Every adapter, best first, each with its place among those of its type.
    fn adapters() -> Vec<(AdapterInfo, usize)> {
        let instance = Instance::new(InstanceDescriptor {
            backends: Backends::PRIMARY,
            ..InstanceDescriptor::new_without_display_handle()
        });
        let found = pollster(instance.enumerate_adapters(Backends::PRIMARY));
        let infos: Vec<AdapterInfo> = found.iter().map(::wgpu::Adapter::get_info).collect();
        let mut numbered: Vec<(AdapterInfo, usize)> = Vec::new();
        for info in infos {
            let place = numbered
                .iter()
                .filter(|(other, _)| other.device_type == info.device_type)
                .count();
            numbered.push((info, place));
        }
        numbered.sort_by_key(|(info, _)| rank(info.device_type));
        numbered
    }

    fn rank(kind: DeviceType) -> usize {
        match kind {
            DeviceType::DiscreteGpu => 0,
            DeviceType::IntegratedGpu => 1,
            DeviceType::VirtualGpu => 2,
            DeviceType::Other => 3,
            DeviceType::Cpu => 4,
        }
    }

    fn chosen((info, place): &(AdapterInfo, usize), why: &str) -> Chosen {
        let kind = match info.device_type {
            DeviceType::DiscreteGpu => DeviceKind::DiscreteGpu(*place),
            DeviceType::IntegratedGpu => DeviceKind::IntegratedGpu(*place),
            DeviceType::VirtualGpu => DeviceKind::VirtualGpu(*place),
            DeviceType::Cpu => DeviceKind::Cpu,
            DeviceType::Other => DeviceKind::DefaultDevice,
        };
        Chosen {
            device: Device::wgpu(kind),
            reason: format!("wgpu, {} on {:?} ({why})", info.name, info.backend),
        }
    }

    pub(super) fn any() -> Result<Chosen, DeviceError> {
        match adapters().first() {
            Some(best) if best.0.device_type == DeviceType::Cpu => Ok(chosen(
                best,
                "as asked; a software adapter, there is no hardware one",
            )),
            Some(best) => Ok(chosen(best, "as asked")),
            None => Err(DeviceError::NoAdapter {
                detail: "wgpu lists none on this machine".to_owned(),
            }),
        }
    }

    /// The best hardware adapter, or in words why there is none.
    pub(super) fn hardware() -> Result<Chosen, String> {
        match adapters().first() {
            Some(best) if best.0.device_type == DeviceType::Cpu => Err(format!(
                "the only wgpu adapter, {}, is a software one",
                best.0.name
            )),
            Some(best) => Ok(chosen(best, "auto: the best hardware adapter")),
            None => Err("wgpu finds no adapter".to_owned()),
        }
    }

    /// Waits for a future that is ready without a reactor.
    fn pollster<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime without drivers needs nothing of the system")
            .block_on(future)
    }
}

#[cfg(not(feature = "wgpu"))]
mod wgpu {
    use crate::device::{Chosen, DeviceError};

    pub(super) fn any() -> Result<Chosen, DeviceError> {
        Err(DeviceError::NotBuilt { asked: "wgpu" })
    }

    pub(super) fn hardware() -> Result<Chosen, String> {
        Err("this program was built without wgpu".to_owned())
    }
}
