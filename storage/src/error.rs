//! What can go wrong, each with its values and its mend.
//!
//! Three kinds, never mixed: the *caller* asked for something impossible ([`StorageError::Invalid`]), the
//! *place* is not ours or not free ([`StorageError::is_refusal`]), or the *disk* is broken or full
//! (everything else: a node must stop, see [`StorageError::Stopped`]).

use std::io;
use std::path::{Path, PathBuf};

use crate::identity::Identity;
use crate::table::{KeyLayout, Table};

/// Why the store did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// The caller's write breaks the schema or a bound; nothing was written. A bug in this program.
    #[error(transparent)]
    Invalid(#[from] InvalidWrite),
    /// The directory belongs to another network, chain or schema version.
    #[error("{path} holds {found}, this node needs {expected}", path = path.display())]
    Foreign {
        /// The data directory.
        path: PathBuf,
        /// What this node was started for.
        expected: Identity,
        /// What the directory says it holds.
        found: Identity,
    },
    /// The directory is not empty and was not made by this program.
    #[error("{path} is not a data directory of this program, and it is not empty: it has {entry:?}",
        path = path.display())]
    NotOurs {
        /// The data directory.
        path: PathBuf,
        /// An entry that is there.
        entry: String,
    },
    /// A reader was pointed at a directory without a database.
    #[error("{path} holds no database", path = path.display())]
    Missing {
        /// The data directory.
        path: PathBuf,
    },
    /// Another process (or another store in this one) has the database open.
    #[error("{path} is in use by another process", path = path.display())]
    Locked {
        /// The data directory.
        path: PathBuf,
    },
    /// Bytes on disk are not what was written.
    #[error("corrupt data in {place}, file {file}: {detail}",
        place = place_of(table.as_ref(), file.as_deref()),
        file = file.as_deref().unwrap_or_else(|| Path::new("?")).display())]
    Corruption {
        /// The table, where it is known.
        table: Option<Table>,
        /// The file, where it is known.
        file: Option<PathBuf>,
        /// The engine's own words, for a human.
        detail: String,
    },
    /// No room on the device.
    #[error("no space left on the device of the database")]
    DiskFull,
    /// The operating system refused.
    #[error("{path}: {kind}: {detail}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The kind of failure.
        kind: io::ErrorKind,
        /// The system's own words, for a human.
        detail: String,
    },
    /// An earlier write or sync failed; no write is accepted until the store is opened again.
    #[error("the store takes no more writes: an earlier write or sync failed")]
    Stopped,
    /// The simulated machine lost power; this handle is dead. Only the memory twin says this.
    #[error("the simulated machine has crashed; open its disk again")]
    Crashed,
    /// The engine failed in a way that has no better name.
    #[error("the storage engine failed: {detail}")]
    Engine {
        /// The engine's own words, for a human.
        detail: String,
    },
}

/// A write that breaks the schema or a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWrite {
    /// The key does not have the table's layout.
    #[error("a key of {key_bytes} bytes does not fit table {table}, whose keys are {layout:?}")]
    Key {
        /// The table written to.
        table: Table,
        /// What its keys look like.
        layout: KeyLayout,
        /// Length of the key offered.
        key_bytes: usize,
    },
    /// The value is larger than `VALUE_BYTES_MAX`.
    #[error("a value of {bytes} bytes for table {table} exceeds {bytes_max}")]
    ValueTooLarge {
        /// The table written to.
        table: Table,
        /// Length of the value.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// The set is larger than `WRITE_SET_BYTES_MAX`.
    #[error("a write set of {bytes} bytes exceeds {bytes_max}")]
    SetTooLarge {
        /// Bytes in the set.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
}

impl StorageError {
    /// Whether the place was refused before anything was touched: the operator chose a wrong or busy
    /// directory.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Foreign { .. } | Self::NotOurs { .. } | Self::Missing { .. } | Self::Locked { .. }
        )
    }

    /// What the operator can do about it.
    #[must_use]
    pub const fn mend(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "this is a defect of the program; report it with the message",
            Self::Foreign { .. } => {
                "point the configuration at this chain's own data directory, or at an empty one"
            }
            Self::NotOurs { .. } => "choose an empty directory, or one that this program made",
            Self::Missing { .. } => "check the path; a data directory has a file named STORE",
            Self::Locked { .. } => "stop the process that uses it, or use a checkpoint or a live follower",
            Self::Corruption { .. } => {
                "check the device, set the directory aside, and let the node rejoin with an empty one"
            }
            Self::DiskFull => "free space on the device, then start the node again",
            Self::Io { .. } => "check permissions, mount and device, then start the node again",
            Self::Stopped => "look for the first failure in the log, mend it, then start the node again",
            Self::Crashed => "open the simulated disk again",
            Self::Engine { .. } => "look into the database's LOG file; report it with the message",
        }
    }

    pub(crate) fn io(path: &Path, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::StorageFull {
            return Self::DiskFull;
        }
        Self::Io { path: path.to_owned(), kind: error.kind(), detail: error.to_string() }
    }
}

/// Where damage is: its table, or what a file that belongs to no single one is.
fn place_of(table: Option<&Table>, file: Option<&Path>) -> String {
    if let Some(table) = table {
        return format!("table {table}");
    }
    let name = file.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    let place = if name.ends_with(".log") {
        "the log of all tables"
    } else if name.starts_with("MANIFEST") || name == "CURRENT" {
        "the list of files"
    } else {
        "the database"
    };
    place.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_placed_without_a_guess() {
        let told = |table, file: Option<&str>| {
            let detail = "bad".to_owned();
            StorageError::Corruption { table, file: file.map(PathBuf::from), detail }.to_string()
        };
        for (table, file, expected) in [
            (Some(Table::Batches), Some("/d/000012.blob"), "in table batches, file /d/000012.blob: bad"),
            (None, Some("/d/000004.log"), "in the log of all tables, file /d/000004.log: bad"),
            (None, Some("/d/MANIFEST-000005"), "in the list of files, file /d/MANIFEST-000005: bad"),
            (None, Some("/d/CURRENT"), "in the list of files, file /d/CURRENT: bad"),
            (None, Some("/d/000012.sst"), "in the database, file /d/000012.sst: bad"),
            (None, None, "in the database, file ?: bad"),
        ] {
            assert_eq!(told(table, file), format!("corrupt data {expected}"));
        }
    }
}
