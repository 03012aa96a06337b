//! Linux's `perf`: samples of what processes do, and how often they enter a function, without a build of their own.
//!
//! Calls are counted by breakpoints of the processor (`perf stat -e mem:ADDRESS:x`): nothing is compiled in, and a node that nobody
//! counts pays nothing. An x86 processor has four of them. Where `perf` is missing or may not look, nothing is known.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Samples of each thread in a second of its processor time.
const SAMPLES_PER_SECOND: &str = "199";
/// How a stack is read: by unwinding tables, from so many bytes of it.
const CALL_GRAPH: &str = "dwarf,16384";

/// What a thread was seen doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) thread: String,
    /// Functions, the innermost first.
    pub(crate) stack: Vec<String>,
}

/// Samples of these processes for a while; none where `perf` cannot.
pub(crate) fn record(processes: &[u32], time: Duration, directory: &Path) -> Option<Vec<Sample>> {
    let (data, all) = (directory.join("perf.data"), processes.iter().map(u32::to_string));
    let status = Command::new("perf")
        .args(["record", "-q", "-e", "cpu-clock", "-F", SAMPLES_PER_SECOND, "--call-graph", CALL_GRAPH])
        .args(["-p", &all.collect::<Vec<_>>().join(",")])
        .arg("-o")
        .arg(&data)
        .args(["--", "sleep", &time.as_secs_f64().to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.ok().filter(std::process::ExitStatus::success)?;
    let script = Command::new("perf")
        .args(["script", "--no-inline", "-F", "comm,tid,ip,sym", "-i"])
        .arg(&data)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    Some(samples(&String::from_utf8_lossy(&script.stdout)))
}

/// Reads what `perf script` prints: a line with thread and number, then one with address and function for each frame, then an empty one.
fn samples(script: &str) -> Vec<Sample> {
    let mut samples = Vec::new();
    for text in script.split("\n\n") {
        let mut lines = text.lines().filter(|line| !line.trim().is_empty());
        let Some((thread, _)) = lines.next().and_then(|line| line.trim_end().rsplit_once(' ')) else {
            continue;
        };
        let function =
            |line: &str| line.trim().split_once(' ').map(|(_, function)| function.trim().to_owned());
        samples.push(Sample {
            thread: thread.trim().to_owned(),
            stack: lines.filter_map(function).filter(|function| function != "[unknown]").collect(),
        });
    }
    samples
}

/// Stacks with how often each was seen, as flame graphs are made of: threads and functions, the outermost first, between semicolons.
pub(crate) fn folded(samples: &[Sample]) -> String {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for sample in samples {
        let functions = sample.stack.iter().rev().map(String::as_str);
        let all = [super::stage::kind(&sample.thread)].into_iter().chain(functions);
        // Such as `[u8; 32]` in a name.
        let all: Vec<String> = all.map(|name| name.replace(';', ",")).collect();
        *counts.entry(all.join(";")).or_default() += 1;
    }
    counts.iter().map(|(stack, count)| format!("{stack} {count}\n")).collect()
}

/// Functions that allocate: of the program's allocator, and of C for RocksDB.
const OWN: [&str; 3] = ["mi_malloc_aligned", "mi_zalloc_aligned", "mi_realloc_aligned"];
const OF_C: &str = "malloc";

/// How often memory was allocated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Allocations {
    /// Through the program's allocator.
    pub(crate) own: u64,
    /// Through C's: RocksDB.
    pub(crate) of_c: u64,
}

/// Counts the allocations of a process for a while. It is slowed down meanwhile.
pub(crate) fn allocations(process: u32, time: Duration) -> Option<Counting> {
    let mut addresses: Vec<u64> = Vec::new();
    let program = Image::of(process, |path| path.ends_with("/jiaozi"))?;
    for name in OWN {
        addresses.push(program.address(name, &[])?);
    }
    let of_c = Image::of(process, |path| path.contains("/libc.so") || path.contains("/libc-"))?;
    addresses.push(of_c.address(OF_C, &["-D"])?);
    let events: Vec<String> = addresses.iter().map(|address| format!("mem:{address:#x}:x")).collect();
    let child = Command::new("perf")
        .args(["stat", "-x", ",", "-e", &events.join(","), "-p", &process.to_string()])
        .args(["--", "sleep", &time.as_secs_f64().to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    Some(Counting(child.ok()?))
}

/// Counting under way.
pub(crate) struct Counting(Child);

impl Counting {
    /// Waits for the counts.
    pub(crate) fn ended(self) -> Option<Allocations> {
        counted(&String::from_utf8_lossy(&self.0.wait_with_output().ok()?.stderr))
    }
}

/// Reads what `perf stat -x ,` prints: a line for each event, its count first.
fn counted(text: &str) -> Option<Allocations> {
    let counts = text.lines().filter(|line| line.contains("mem:0x"));
    let counts: Option<Vec<u64>> = counts.map(|line| line.split(',').next()?.parse().ok()).collect();
    let counts = counts.filter(|counts| counts.len() == OWN.len() + 1)?;
    let (of_c, own) = counts.split_last()?;
    Some(Allocations { own: own.iter().sum(), of_c: *of_c })
}

/// A program or library as a process has it in memory.
struct Image {
    path: String,
    base: u64,
}

impl Image {
    fn of(process: u32, is_it: impl Fn(&str) -> bool) -> Option<Self> {
        let maps = std::fs::read_to_string(format!("/proc/{process}/maps")).ok()?;
        // The first mapping of a file is its beginning.
        let line = maps.lines().find(|line| line.split_whitespace().nth(5).is_some_and(&is_it))?;
        let base = u64::from_str_radix(line.split('-').next()?, 16).ok()?;
        Some(Self { path: line.split_whitespace().nth(5)?.to_owned(), base })
    }

    /// Where a function begins; `options` go to `nm`.
    fn address(&self, name: &str, options: &[&str]) -> Option<u64> {
        let symbols = Command::new("nm").args(options).arg(&self.path).stderr(Stdio::null()).output().ok()?;
        Some(self.base + offset(&String::from_utf8_lossy(&symbols.stdout), name)?)
    }
}

/// The value of a symbol of the text section in what `nm` prints, whatever its version.
fn offset(symbols: &str, name: &str) -> Option<u64> {
    let is_it = |symbol: &str| symbol.split('@').next() == Some(name);
    symbols.lines().find_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [value, "T" | "t" | "W" | "i", symbol] if is_it(symbol) => u64::from_str_radix(value, 16).ok(),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_and_folded() {
        let script = "work-0  6509 \n\t  1d05 sha2::compress\n\t  1d06 ledger::state::<[u8; 32]>::leaf\n\tffff [unknown]\n\n\
                      my thread    7 \n\t   12 main\n\nwork-1  8 \n\t  1d05 sha2::compress\n\t  1d06 ledger::state::<[u8; 32]>::leaf\n\n";
        let samples = samples(script);
        assert_eq!(samples.len(), 3);
        assert_eq!(samples[0].stack, ["sha2::compress", "ledger::state::<[u8; 32]>::leaf"]);
        assert_eq!((samples[1].thread.as_str(), samples[1].stack.len()), ("my thread", 1));
        let expected = "my thread;main 1\nwork;ledger::state::<[u8, 32]>::leaf;sha2::compress 2\n";
        assert_eq!(folded(&samples), expected);
        assert!(super::samples("").is_empty());
    }

    #[test]
    fn counts_are_read() {
        let line = |count: &str, address: &str| format!("{count},,mem:0x{address}:x,2000,100.00,,\n");
        let text = line("10", "a") + &line("2", "b") + &line("3", "c") + &line("70", "d");
        assert_eq!(counted(&text), Some(Allocations { own: 15, of_c: 70 }));
        assert_eq!(counted(&text.replace("70", "<not supported>")), None);
        assert_eq!(counted("Error: no access"), None);
    }

    #[test]
    fn symbols_are_found_whatever_their_version() {
        let symbols = "                 U malloc_info@GLIBC_2.10\n00000000000991f0 T malloc@@GLIBC_2.2.5\n0000000002688ce0 T mi_malloc_aligned\n";
        assert_eq!(offset(symbols, "malloc"), Some(0x991f0));
        assert_eq!(offset(symbols, "mi_malloc_aligned"), Some(0x2688ce0));
        assert_eq!(offset(symbols, "mi_malloc"), None);
    }
}
