//! [`Clock`]: a wall clock that is wrong, for processes, by libfaketime (Debian package `faketime`; `scripts/setup` installs it). The
//! monotonic clock stays real, as it does when an operator or a time server sets a machine's clock.

#![allow(clippy::unwrap_used, reason = "a harness fails loudly")]

use std::path::{Path, PathBuf};

/// Where libfaketime leaves memory and a semaphore of processes that were killed, each name ending with the process's id.
const SHARED: &str = "/dev/shm";
const LEFT: [&str; 2] = ["faketime_shm_", "sem.faketime_sem_"];

/// A clock that may be set while processes run by it.
#[derive(Debug)]
pub struct Clock {
    file: PathBuf,
}

impl Clock {
    /// A clock that is off by so much, as libfaketime writes it: `+0`, `+300`, `-5m`, `+3652d`. It is kept in a file of `directory`.
    ///
    /// # Panics
    /// When the file cannot be written: this is a test.
    #[must_use]
    pub fn new(directory: &Path, off_by: &str) -> Self {
        let clock = Self { file: directory.join("clock") };
        clock.set(off_by);
        clock
    }

    /// Sets it; processes look at it again once a second.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn set(&self, off_by: &str) {
        // Renamed into place: half a file would be another time.
        let new = self.file.with_extension("new");
        std::fs::write(&new, off_by).unwrap();
        std::fs::rename(&new, &self.file).unwrap();
    }

    /// The environment of a process that runs by it.
    ///
    /// # Panics
    /// When libfaketime is not installed.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let variables = [
            ("LD_PRELOAD", library().display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
        variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// Removes what processes left that are gone.
impl Drop for Clock {
    fn drop(&mut self) {
        let Ok(entries) = std::fs::read_dir(SHARED) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let process = LEFT.iter().find_map(|prefix| name.strip_prefix(prefix)?.parse::<u32>().ok());
            if process.is_some_and(|process| !Path::new("/proc").join(process.to_string()).exists()) {
                let _somebody_else_was_first = std::fs::remove_file(entry.path()).is_err();
            }
        }
    }
}

/// The library, where Debian puts it.
fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().flatten();
    let mut paths = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
    paths.find(|path| path.exists()).expect("no libfaketime: run scripts/setup")
}
