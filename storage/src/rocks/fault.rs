//! Turns RocksDB's error texts into typed errors.
//!
//! RocksDB's C interface passes errors as text: a kind, a colon, words, often the file. What the texts look
//! like is pinned by the tests of refusals and flipped bytes, which meet the real ones.

use std::path::{Path, PathBuf};

use rocksdb::ErrorKind;

use crate::error::StorageError;
use crate::table::Table;

/// The typed form of an error met in the database at `path`, while working on `table` where that is known.
pub(super) fn fault(path: &Path, table: Option<Table>, error: rocksdb::Error) -> StorageError {
    let kind = error.kind();
    let detail = error.into_string();
    if detail.contains("No space left on device") {
        return StorageError::DiskFull;
    }
    if detail.contains("lock hold by current process") || detail.contains("While lock file") {
        return StorageError::Locked { path: path.to_owned() };
    }
    match kind {
        ErrorKind::Corruption => {
            StorageError::Corruption { table, file: file_named_in(path, &detail), detail }
        }
        ErrorKind::IOError => {
            let file = file_named_in(path, &detail).unwrap_or_else(|| path.to_owned());
            StorageError::Io { path: file, kind: std::io::ErrorKind::Other, detail }
        }
        _ => StorageError::Engine { detail },
    }
}

/// The first database file that an error text names; a MANIFEST named after it is only RocksDB's guess.
fn file_named_in(directory: &Path, detail: &str) -> Option<PathBuf> {
    let is_edge = |character: char| character.is_whitespace() || "\"'`,;:()[]".contains(character);
    detail.split(is_edge).find_map(|word| {
        let name = word.rsplit('/').next()?.trim_end_matches('.');
        let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
        let numbered = !stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_digit());
        let is_ours =
            (numbered && matches!(extension, "sst" | "blob" | "log")) || name.starts_with("MANIFEST-");
        is_ours.then(|| directory.join(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_found_in_the_text() {
        let directory = Path::new("/data");
        let text =
            "Corruption: block checksum mismatch: stored = 1, computed = 2 in /data/000012.sst offset 0";
        assert_eq!(file_named_in(directory, text), Some(PathBuf::from("/data/000012.sst")));
        let text =
            "Corruption: bad block in /data/000012.sst. The file /data/MANIFEST-000005 may be corrupted.";
        assert_eq!(file_named_in(directory, text), Some(PathBuf::from("/data/000012.sst")));
        let text = "Corruption: checksum mismatch in file MANIFEST-000005";
        assert_eq!(file_named_in(directory, text), Some(PathBuf::from("/data/MANIFEST-000005")));
        assert_eq!(file_named_in(directory, "Corruption: bad entry in block"), None);
    }
}
