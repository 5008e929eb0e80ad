//! What the system says of memory.

/// Memory that programs can still take without others being moved out, in bytes; `None` where the
/// system does not say.
pub fn available_memory_bytes() -> Option<u64> {
    field("/proc/meminfo", "MemAvailable:")
}

/// Largest resident memory of this process so far, in bytes; `None` where the system does not say.
pub fn peak_memory_bytes() -> Option<u64> {
    field("/proc/self/status", "VmHWM:")
}

/// A field in KiB, as bytes.
fn field(file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
