//! Memory of this process, as the kernel counts it.

/// Megabytes resident now.
pub fn resident_mb() -> u64 {
    status_mb("VmRSS:")
}

/// Most megabytes ever resident.
pub fn peak_mb() -> u64 {
    status_mb("VmHWM:")
}

fn status_mb(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0) / 1_024
}
