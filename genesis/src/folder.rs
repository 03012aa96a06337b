//! Bounded reading and careful writing of JSON files, and the layout of a ceremony folder.
//!
//! ```text
//! template.json              what everybody contributes to
//! contributions/NAME.json    one per operator
//! genesis.json               what the contributions make
//! approvals/NAME.json        one per operator
//! ```
//!
//! Names of files under `contributions/` and `approvals/` mean nothing: contents decide. Files are written
//! whole or not at all (temporary file, sync, link) and never overwritten.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use ledger::records::genesis::OPERATORS_MAX;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::FileError;

/// Where the template lies in a ceremony folder.
pub const TEMPLATE_FILE: &str = "template.json";
/// Where the genesis lies in a ceremony folder.
pub const GENESIS_FILE: &str = "genesis.json";
/// Where contributions lie in a ceremony folder.
pub const CONTRIBUTIONS_FOLDER: &str = "contributions";
/// Where approvals lie in a ceremony folder.
pub const APPROVALS_FOLDER: &str = "approvals";

/// Reads at most `bytes_max` of JSON.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path, bytes_max: u64) -> Result<T, FileError> {
    let io = |source| FileError::Io { path: path.to_owned(), action: "read", source };
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > bytes_max {
        return Err(FileError::TooLarge { path: path.to_owned(), bytes_max });
    }
    serde_json::from_slice(&bytes).map_err(|source| FileError::Json { path: path.to_owned(), source })
}

/// Writes a new file, whole or not at all.
pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), FileError> {
    let io = |source| FileError::Io { path: path.to_owned(), action: "write", source };
    let mut text = serde_json::to_vec_pretty(value)
        .map_err(|source| FileError::Json { path: path.to_owned(), source })?;
    text.push(b'\n');
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).map_err(io)?;
    let temporary = temporary_path(path);
    let written = write_new(&temporary, &text).and_then(|()| fs::hard_link(&temporary, path));
    // The link is the file; the temporary name goes away in every case.
    let removed = fs::remove_file(&temporary);
    match written {
        Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {
            Err(FileError::Exists { path: path.to_owned() })
        }
        Err(source) => Err(io(source)),
        Ok(()) => removed.and_then(|()| File::open(folder)?.sync_all()).map_err(io),
    }
}

fn temporary_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The JSON files of a folder, in order of their names; a missing folder has none.
pub(crate) fn json_files(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let io = |source| FileError::Io { path: folder.to_owned(), action: "read", source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(io(source)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            paths.push(path);
        }
        if paths.len() > OPERATORS_MAX {
            return Err(FileError::TooManyFiles { path: folder.to_owned(), files_max: OPERATORS_MAX });
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// A file name for an operator: letters and digits of its name, and the start of its key so that names may
/// clash.
pub(crate) fn file_name(operator: &str, key: ledger::values::PublicKey) -> String {
    let safe: String = operator.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    let key = key.to_string();
    format!("{safe}-{}.json", key.get(..8).unwrap_or(&key))
}
