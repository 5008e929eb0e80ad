//! Waiting, in WASI 0.2: handles to what will be ready, and polls of them. No guest ever really waits: its clock moves.

use wasmtime::StoreContextMut;
use wasmtime::component::{ResourceDynamic, Val};

use crate::guest::Guest;

/// The payload that tells the other resources apart.
pub(super) fn payload(resource: &str) -> u32 {
    // FNV-1a: <http://www.isthe.com/chongo/tech/comp/fnv/>.
    resource.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// A handle to what is ready when the guest's clock is `ready_at`, in nanoseconds.
pub(super) fn pollable<T: 'static>(
    store: &mut StoreContextMut<'_, Guest<T>>,
    ready_at: u64,
) -> wasmtime::Result<Val> {
    store.data_mut().take_handle()?;
    let number = if ready_at == 0 {
        0
    } else {
        store.data_mut().new_timer(ready_at)
    };
    let pollable = ResourceDynamic::new_own(number, payload("pollable"));
    Ok(Val::Resource(pollable.try_into_resource_any(store)?))
}

/// When each of the pollables in `params` is ready, by the guest's clock: in a list, or alone.
pub(super) fn ready_times<T: 'static>(
    store: &mut StoreContextMut<'_, Guest<T>>,
    params: &[Val],
) -> wasmtime::Result<Vec<u64>> {
    let pollables = match params.first() {
        Some(Val::List(pollables)) => pollables.as_slice(),
        _ => params,
    };
    let mut times = Vec::with_capacity(pollables.len());
    for pollable in pollables {
        let Val::Resource(handle) = pollable else {
            continue;
        };
        let number = ResourceDynamic::try_from_resource_any(*handle, &mut *store)?.rep();
        times.push(store.data().timer(number));
    }
    Ok(times)
}

/// Those that are ready, by their place in the list. Where none is, the guest has waited for the first at once.
pub(super) fn poll<T: 'static>(
    store: &mut StoreContextMut<'_, Guest<T>>,
    params: &[Val],
) -> wasmtime::Result<Val> {
    let times = ready_times(store, params)?;
    let Some(first) = times.iter().copied().min() else {
        return Err(wasmtime::Error::msg("a wait for nothing at all has no end"));
    };
    store.data_mut().sleep_until(first);
    let now = store.data().clock_ns();
    let ready = (0_u32..).zip(&times).filter(|(_, time)| **time <= now);
    Ok(Val::List(ready.map(|(at, _)| Val::U32(at)).collect()))
}
