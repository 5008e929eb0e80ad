//! What the engine asks before a guest's memories and tables grow.

use wasmtime::ResourceLimiter;

use super::Guest;

/// Entries that a table may have.
const TABLE_ELEMENTS: usize = 100_000;

/// Entries that all tables of a guest may have together.
const ALL_TABLE_ELEMENTS: usize = 1_000_000;

impl<T: Send> ResourceLimiter for Guest<T> {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current) as u64;
        let total = self.memory_bytes.saturating_add(growth);
        let allowed = total <= self.limits.memory_bytes;
        self.last_growth_bytes = if allowed { growth } else { 0 };
        self.memory_bytes += self.last_growth_bytes;
        self.memory_refused |= !allowed;
        Ok(allowed)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory_bytes -= std::mem::take(&mut self.last_growth_bytes);
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current);
        let total = self.table_elements.saturating_add(growth);
        let allowed = desired <= TABLE_ELEMENTS && total <= ALL_TABLE_ELEMENTS;
        if allowed {
            self.table_elements = total;
        }
        Ok(allowed)
    }

    // The engine's pool bounds these: a component of many small modules is no attack.
    fn instances(&self) -> usize {
        1000
    }

    fn tables(&self) -> usize {
        1000
    }

    fn memories(&self) -> usize {
        16
    }
}
