//! How often a GPU is called: kernels that are launched, and values that are read back.
//!
//! Each launch costs the host some microseconds and each read-back waits until the device has done
//! all that came before, whatever they compute. For small models that is what a step costs on a
//! GPU, and it can be counted on a software adapter.

#[cfg(feature = "wgpu")]
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use serde::Serialize;

use crate::compute::buffers::read_backs;

/// Calls of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Traffic {
    /// Kernels launched.
    pub launches: u64,
    /// Times that the host waited for values.
    pub read_backs: u64,
}

impl std::ops::Sub for Traffic {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            launches: self.launches - earlier.launches,
            read_backs: self.read_backs - earlier.read_backs,
        }
    }
}

/// Counts the launches of the whole process while it lives.
#[derive(Debug)]
pub struct Watch {
    #[cfg(feature = "wgpu")]
    count: Arc<Count>,
    #[cfg(feature = "wgpu")]
    _observation: cubecl_runtime::logging::LaunchObservation,
}

#[cfg(feature = "wgpu")]
#[derive(Debug, Default)]
struct Count(AtomicU64);

#[cfg(feature = "wgpu")]
impl cubecl_runtime::logging::LaunchObserver for Count {
    fn launched(&self, _: &'static str) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Watch {
    /// Starts to count.
    #[expect(clippy::new_without_default, reason = "starting to count is no value")]
    pub fn new() -> Self {
        #[cfg(feature = "wgpu")]
        {
            let count = Arc::new(Count::default());
            Self {
                _observation: cubecl_runtime::logging::LaunchObservation::new(count.clone()),
                count,
            }
        }
        #[cfg(not(feature = "wgpu"))]
        Self {}
    }

    /// What was counted by now. Only differences mean something.
    pub fn so_far(&self) -> Traffic {
        Traffic {
            #[cfg(feature = "wgpu")]
            launches: self.count.0.load(Ordering::Relaxed),
            #[cfg(not(feature = "wgpu"))]
            launches: 0,
            read_backs: read_backs(),
        }
    }
}
