//! Private files: readable by their owner alone, written whole or not at all, read only up to a bound.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Permission bits that a key file must not have: any for group and others.
pub const CLOSED_TO_ALL: u32 = 0o077;
/// Permission bits that a credential must not have: any for others.
pub const CLOSED_TO_OTHERS: u32 = 0o007;
const PRIVATE_MODE: u32 = 0o600;

/// A private file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system refused.
    #[error(
        "{path}: cannot {action}: {source}. Mend: check that the path exists and that you may {action} it"
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried, as a verb.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Somebody else may read or change it.
    #[error(
        "{path}: mode {mode:04o} lets others at it. \
         Mend: chmod 600 {path}, and replace the key if others used this machine"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A folder, a device or a pipe.
    #[error("{path}: not a regular file. Mend: name the file itself")]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Larger than any such file can be.
    #[error("{path}: larger than {bytes_max} bytes. Mend: name the right file")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound.
        bytes_max: u64,
    },
    /// It would be overwritten.
    #[error("{path}: exists already. Mend: choose another name; keys are never overwritten")]
    Exists {
        /// The file.
        path: PathBuf,
    },
}

/// Reads a file that must have none of the permission bits in `closed_to`.
///
/// # Errors
/// [`FileError`].
pub fn read_private(path: &Path, bytes_max: u64, closed_to: u32) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let io = |source| FileError::Io { path: path.to_owned(), action: "read", source };
    let file = File::open(path).map_err(io)?;
    // Of the open file, so that nobody can exchange it in between.
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(FileError::NotAFile { path: path.to_owned() });
    }
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & closed_to != 0 {
        return Err(FileError::Open { path: path.to_owned(), mode });
    }
    if metadata.len() > bytes_max {
        return Err(FileError::TooLarge { path: path.to_owned(), bytes_max });
    }
    // Allocated once: growing would leave copies of the secret behind.
    let mut bytes =
        Zeroizing::new(Vec::with_capacity(usize::try_from(bytes_max).unwrap_or(usize::MAX).min(1 << 20)));
    file.take(bytes_max).read_to_end(&mut bytes).map_err(io)?;
    Ok(bytes)
}

/// Writes a new file of mode 0600.
///
/// # Errors
/// [`FileError::Exists`] when there is one; other refusals of the operating system.
pub fn create_private(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write(path, bytes, |temporary| fs::hard_link(temporary, path))
}

/// Replaces a file by one of mode 0600, in one step.
///
/// # Errors
/// [`FileError`].
pub fn replace_private(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write(path, bytes, |temporary| fs::rename(temporary, path))
}

fn write(path: &Path, bytes: &[u8], publish: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), FileError> {
    let io = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => FileError::Exists { path: path.to_owned() },
        _ => FileError::Io { path: path.to_owned(), action: "write", source },
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).map_err(io)?;
    let temporary = temporary_path(path);
    let written = write_private(&temporary, bytes).and_then(|()| publish(&temporary));
    // Renamed, it is gone; linked or failed, it must go.
    match fs::remove_file(&temporary) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(io(source)),
        _ => written.map_err(io)?,
    }
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // What an earlier process with this id left behind was never published.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE_MODE).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn temporary_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn created_once_replaced_whole_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/key");
        create_private(&path, b"one").unwrap();
        assert!(matches!(create_private(&path, b"two"), Err(FileError::Exists { .. })));
        assert_eq!(read_private(&path, 10, CLOSED_TO_ALL).unwrap().as_slice(), b"one");
        replace_private(&path, b"three").unwrap();
        assert_eq!(read_private(&path, 10, CLOSED_TO_ALL).unwrap().as_slice(), b"three");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn open_large_and_odd_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create_private(&path, b"secret").unwrap();
        assert!(matches!(read_private(&path, 5, CLOSED_TO_ALL), Err(FileError::TooLarge { .. })));
        for mode in [0o640, 0o604, 0o620, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let message = read_private(&path, 10, CLOSED_TO_ALL).unwrap_err().to_string();
            assert!(
                message.contains(&format!("mode {mode:04o}")) && message.contains("chmod 600"),
                "{message}"
            );
        }
        assert!(matches!(read_private(folder.path(), 10, 0), Err(FileError::NotAFile { .. })));
    }
}
