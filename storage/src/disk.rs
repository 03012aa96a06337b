//! Free and used bytes of the disk under a directory.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::error::StorageError;

/// Bytes that this process may still write on the device that holds `path` (an existing file or directory).
///
/// A node compares it with its reserve and stops voting before a write can fail.
///
/// # Errors
/// [`StorageError::Io`] when the path cannot be asked.
pub fn free_bytes(path: &Path) -> Result<u64, StorageError> {
    let statistics =
        rustix::fs::statvfs(path).map_err(|errno| StorageError::io(path, &std::io::Error::from(errno)))?;
    Ok(statistics.f_bavail.saturating_mul(statistics.f_frsize))
}

/// Bytes of all files directly in `path`: a database keeps no subdirectories.
///
/// Files that vanish while being counted (RocksDB deletes in the background) count as nothing.
///
/// # Errors
/// [`StorageError::Io`] when the directory cannot be listed.
pub fn directory_bytes(path: &Path) -> Result<u64, StorageError> {
    let entries = fs::read_dir(path).map_err(|error| StorageError::io(path, &error))?;
    let mut bytes = 0_u64;
    for entry in entries {
        let entry = entry.map_err(|error| StorageError::io(path, &error))?;
        if let Ok(metadata) = entry.metadata()
            && metadata.is_file()
        {
            bytes = bytes.saturating_add(metadata.len());
        }
    }
    Ok(bytes)
}

/// Folders below each other that [`tree_bytes`] enters: a node's data directory has five.
const TREE_DEPTH_MAX: usize = 16;

/// Bytes of all files in and below `path`. A file with several names is counted once: a checkpoint shares its tables with the database.
///
/// Files that vanish while being counted count as nothing.
///
/// # Errors
/// [`StorageError::Io`] when `path` itself cannot be listed.
pub fn tree_bytes(path: &Path) -> Result<u64, StorageError> {
    let mut folders = vec![(path.to_owned(), 0)];
    let mut shared = BTreeSet::new();
    let mut bytes = 0_u64;
    while let Some((folder, depth)) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if depth == 0 => return Err(StorageError::io(path, &error)),
            Err(_) => continue,
        };
        for entry in entries.flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() && depth < TREE_DEPTH_MAX {
                folders.push((entry.path(), depth + 1));
            } else if metadata.is_file()
                && (metadata.nlink() == 1 || shared.insert((metadata.dev(), metadata.ino())))
            {
                bytes = bytes.saturating_add(metadata.len());
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_knows_its_files_and_its_device() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(directory_bytes(directory.path()).unwrap(), 0);
        fs::write(directory.path().join("a"), [0; 1000]).unwrap();
        fs::write(directory.path().join("b"), [0; 24]).unwrap();
        assert_eq!(directory_bytes(directory.path()).unwrap(), 1024);
        assert!(free_bytes(directory.path()).unwrap() > 0);
        let missing = directory.path().join("missing");
        assert!(matches!(free_bytes(&missing), Err(StorageError::Io { .. })));
        assert!(matches!(directory_bytes(&missing), Err(StorageError::Io { .. })));
    }

    #[test]
    fn a_tree_counts_every_folder_and_every_file_once() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("a/b");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("file"), [0; 1000]).unwrap();
        fs::write(directory.path().join("top"), [0; 24]).unwrap();
        fs::hard_link(folder.join("file"), directory.path().join("a/again")).unwrap();
        assert_eq!(tree_bytes(directory.path()).unwrap(), 1024);
        assert!(matches!(tree_bytes(&directory.path().join("missing")), Err(StorageError::Io { .. })));
    }
}
