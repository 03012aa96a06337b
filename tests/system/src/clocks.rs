//! Processes whose wall clock is wrong, by libfaketime (Debian package `faketime`; `scripts/setup` installs it). The monotonic clock stays
//! real, as it does when an operator or a time server sets a machine's clock.

#![allow(clippy::unwrap_used, reason = "a harness fails loudly")]

use std::path::{Path, PathBuf};

/// The library, where Debian puts it.
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().flatten();
    let paths = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    paths.into_iter().find(|path| path.exists()).expect("no libfaketime: run scripts/setup")
}

/// The environment of a process whose clock is off by what stands in `file`, as libfaketime writes it: `+300`, `-5m`, `+3652d`. The file
/// may change while the process runs; it is looked at again once a second.
///
/// # Panics
/// As [`library`].
#[must_use]
pub fn off_by(file: &Path) -> Vec<(String, String)> {
    let variables = [
        ("LD_PRELOAD", library().display().to_string()),
        ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
        ("FAKETIME_CACHE_DURATION", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
