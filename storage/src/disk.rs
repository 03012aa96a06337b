//! Free and used bytes of the disk under a directory.

use std::fs;
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
}
