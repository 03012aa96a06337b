//! What the nodes used: processor time, memory, disk.

use std::collections::BTreeMap;
use std::path::Path;

/// A reading of one process.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) cpu_us: u64,
    pub(crate) rss_bytes: u64,
}

/// Ticks of `/proc/PID/stat` a second; Linux fixes it at 100 for programs.
const TICKS_PER_SECOND: u64 = 100;

pub(crate) fn read(process: u32) -> Usage {
    of_stat(&std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default())
}

/// Processor time of a process's threads that live, by their names, in microseconds.
pub(crate) fn cpu_us_by_thread(process: u32) -> BTreeMap<String, u64> {
    let mut by_name = BTreeMap::new();
    let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return by_name };
    for thread in threads.flatten() {
        let text = |file: &str| std::fs::read_to_string(thread.path().join(file)).unwrap_or_default();
        *by_name.entry(text("comm").trim().to_owned()).or_default() += of_stat(&text("stat")).cpu_us;
    }
    by_name
}

fn of_stat(stat: &str) -> Usage {
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let field = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    // After the name: state is field 0, user time 11, system time 12, resident pages 21.
    let ticks = field(11) + field(12);
    Usage { cpu_us: ticks * 1_000_000 / TICKS_PER_SECOND, rss_bytes: field(21) * 4_096 }
}

/// Bytes that a directory takes on its disk.
pub(crate) fn disk_bytes(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries
        .flatten()
        .map(|entry| {
            let Ok(metadata) = entry.metadata() else { return 0 };
            if metadata.is_dir() { disk_bytes(&entry.path()) } else { metadata.blocks() * 512 }
        })
        .sum()
}

/// The most bytes that a process has had in memory so far.
pub(crate) fn rss_bytes_peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    peak.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1_024
}
