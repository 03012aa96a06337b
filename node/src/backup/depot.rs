//! The directory of backups.
//!
//! ```text
//! DIR/LOCK                       held exclusively by who writes, shared by who reads
//! DIR/files/<sha256>             what is in a file, once, whichever backups name it
//! DIR/backups/<name>.json        a manifest each
//! ```
//!
//! Written from the bottom up: contents, synced, then the manifest by rename. So a crash leaves contents that no manifest names, which the next
//! retention removes, and never a manifest without its contents. Removed from the top down.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::manifest::{MANIFEST_BYTES_MAX, Manifest, StoredFile, is_plain};
use super::{BackupError, Watch};

/// Bytes that are read and written at a time.
const CHUNK_BYTES: usize = 1 << 20;
/// Balances are nobody else's business.
const MODE: u32 = 0o700;

/// The directory, while it is held.
#[derive(Debug)]
pub(crate) struct Depot {
    directory: PathBuf,
    _lock: Option<File>,
}

/// What a file was stored as.
pub(crate) struct Put {
    pub(crate) file: StoredFile,
    /// Whether nothing with this content was there.
    pub(crate) is_new: bool,
}

/// Manifests of a directory of backups, the oldest first.
///
/// # Errors
/// [`BackupError`].
pub fn list(directory: &Path) -> Result<Vec<Manifest>, BackupError> {
    let depot = Depot::open(directory)?;
    depot.names()?.iter().map(|name| depot.manifest(name)).collect()
}

impl Depot {
    /// For writing; makes the directory.
    pub(crate) fn open_to_write(directory: &Path) -> Result<Self, BackupError> {
        for folder in [directory.to_owned(), directory.join(FILES), directory.join(MANIFESTS)] {
            DirBuilder::new()
                .recursive(true)
                .mode(MODE)
                .create(&folder)
                .map_err(|fault| BackupError::io("make", &folder, fault))?;
        }
        let path = directory.join(LOCK);
        let failed = |fault| BackupError::io("lock", &path, fault);
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { directory: directory.to_owned(), _lock: Some(file) }),
            Err(TryLockError::WouldBlock) => Err(BackupError::Busy { directory: directory.to_owned() }),
            Err(TryLockError::Error(fault)) => Err(failed(fault)),
        }
    }

    /// For reading, also from a medium on which nothing can be written or locked.
    pub(crate) fn open(directory: &Path) -> Result<Self, BackupError> {
        if !directory.join(MANIFESTS).is_dir() {
            return Err(BackupError::None { directory: directory.to_owned(), name: None });
        }
        let lock = File::open(directory.join(LOCK)).ok();
        match lock.as_ref().map(File::try_lock_shared) {
            Some(Err(TryLockError::WouldBlock)) => Err(BackupError::Busy { directory: directory.to_owned() }),
            _ => Ok(Self { directory: directory.to_owned(), _lock: lock }),
        }
    }

    /// Names of the backups, the oldest first.
    pub(crate) fn names(&self) -> Result<Vec<String>, BackupError> {
        let folder = self.directory.join(MANIFESTS);
        let failed = |fault| BackupError::io("read", &folder, fault);
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            names.extend(name.strip_suffix(".json").filter(|name| is_plain(name)).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// A backup: the named one, or the newest.
    pub(crate) fn find(&self, name: Option<&str>) -> Result<Manifest, BackupError> {
        let names = self.names()?;
        let found = match name {
            Some(name) => names.iter().find(|other| *other == name),
            None => names.last(),
        };
        let none = || BackupError::None { directory: self.directory.clone(), name: name.map(str::to_owned) };
        self.manifest(found.ok_or_else(none)?)
    }

    pub(crate) fn manifest(&self, name: &str) -> Result<Manifest, BackupError> {
        let path = self.manifest_path(name);
        let wrong = |reason: String| BackupError::Manifest { path: path.clone(), reason };
        let mut bytes = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(MANIFEST_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(|fault| BackupError::io("read", &path, fault))?;
        if bytes.len() as u64 > MANIFEST_BYTES_MAX {
            return Err(wrong("is larger than any manifest".to_owned()));
        }
        let manifest = Manifest::decode(&bytes).map_err(wrong)?;
        if manifest.name == name { Ok(manifest) } else { Err(wrong(format!("is that of {}", manifest.name))) }
    }

    /// Where a content lies.
    pub(crate) fn path(&self, file: &StoredFile) -> PathBuf {
        self.directory.join(FILES).join(&file.sha256)
    }

    fn manifest_path(&self, name: &str) -> PathBuf {
        self.directory.join(MANIFESTS).join(format!("{name}.json"))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.manifest_path(name).exists()
    }

    /// Stores what is in a file, unless it is there.
    pub(crate) fn put(&self, source: &Path, name: &str, watch: &Watch<'_>) -> Result<Put, BackupError> {
        let told = |bytes| watch(name, bytes);
        let (sha256, bytes) =
            copy(source, None, &told).map_err(|fault| BackupError::io("read", source, fault))?;
        let file = StoredFile { name: name.to_owned(), bytes, sha256 };
        let target = self.path(&file);
        if fs::metadata(&target).is_ok_and(|there| there.len() == bytes) {
            return Ok(Put { file, is_new: false });
        }
        let draft = target.with_extension("new");
        let copied = copy(source, Some(&draft), &|_| {});
        let (again, _) = copied.map_err(|fault| BackupError::io("copy to", &draft, fault))?;
        if again != file.sha256 {
            let changed = io::Error::other("it changed while it was copied");
            return Err(BackupError::io("read", source, changed));
        }
        fs::rename(&draft, &target).map_err(|fault| BackupError::io("write", &target, fault))?;
        Ok(Put { file, is_new: true })
    }

    /// Writes the manifest of what was put: from here on there is a backup.
    pub(crate) fn seal(&self, manifest: &Manifest) -> Result<(), BackupError> {
        let path = self.manifest_path(&manifest.name);
        let bytes =
            manifest.encode().map_err(|reason| BackupError::Manifest { path: path.clone(), reason })?;
        let draft = path.with_extension("new");
        let write = || -> io::Result<()> {
            File::open(self.directory.join(FILES))?.sync_all()?;
            let mut file = File::create(&draft)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            File::open(self.directory.join(MANIFESTS))?.sync_all()
        };
        write().map_err(|fault| BackupError::io("write", &path, fault))
    }

    /// Removes all but the newest `keep` backups, and every content that no manifest names then. Names that went, and bytes.
    pub(crate) fn retain(&self, keep: usize) -> Result<(Vec<String>, u64), BackupError> {
        let mut names = self.names()?;
        let kept = names.split_off(names.len().saturating_sub(keep));
        // Read before anything goes: with a damaged manifest nobody knows which contents are needed.
        let mut needed = BTreeSet::new();
        for name in &kept {
            needed.extend(self.manifest(name)?.files().map(|(_, file)| file.sha256.clone()));
        }
        for name in &names {
            let path = self.manifest_path(name);
            fs::remove_file(&path).map_err(|fault| BackupError::io("remove", &path, fault))?;
        }
        let folder = self.directory.join(FILES);
        let failed = |fault| BackupError::io("clean", &folder, fault);
        let mut freed = 0_u64;
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if !needed.contains(&*entry.file_name().to_string_lossy()) {
                freed = freed.saturating_add(entry.metadata().map_err(failed)?.len());
                fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        Ok((names, freed))
    }
}

/// Reads a file, and writes it durably where `target` is given. Its SHA-256 and length.
pub(crate) fn copy(source: &Path, target: Option<&Path>, told: &dyn Fn(u64)) -> io::Result<(String, u64)> {
    let mut from = File::open(source)?;
    let mut to = target.map(File::create).transpose()?;
    let (mut hasher, mut bytes) = (Sha256::new(), 0_u64);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = from.read(&mut chunk)?;
        let Some(part) = chunk.get(..read).filter(|part| !part.is_empty()) else { break };
        hasher.update(part);
        if let Some(to) = &mut to {
            to.write_all(part)?;
        }
        bytes = bytes.saturating_add(read as u64);
        told(read as u64);
    }
    if let Some(to) = to {
        to.sync_all()?;
    }
    Ok((const_hex::encode(hasher.finalize()), bytes))
}

const LOCK: &str = "LOCK";
const FILES: &str = "files";
const MANIFESTS: &str = "backups";

#[cfg(test)]
mod tests {
    use super::super::manifest::ChainManifest;
    use super::*;

    /// Stores these contents as a backup; how many of them were new.
    fn make(depot: &Depot, folder: &Path, name: &str, contents: &[&str]) -> usize {
        let mut new = 0;
        let mut files = Vec::new();
        for (place, content) in contents.iter().enumerate() {
            let source = folder.join("source");
            fs::write(&source, content).unwrap();
            let put = depot.put(&source, &format!("{place:06}.sst"), &|_, _| {}).unwrap();
            new += usize::from(put.is_new);
            files.push(put.file);
        }
        let genesis = files[0].clone();
        let chain = ChainManifest {
            chain: 0,
            height: 1,
            block: String::new(),
            result: String::new(),
            state: String::new(),
            certified_height: 1,
            records: 1,
            files,
        };
        let manifest = Manifest::new((name.to_owned(), 0), "n".to_owned(), genesis, vec![chain], 0);
        depot.seal(&manifest).unwrap();
        new
    }

    #[test]
    fn contents_are_stored_once_and_go_with_the_last_backup_that_names_them() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("backups");
        let depot = Depot::open_to_write(&directory).unwrap();
        assert!(matches!(Depot::open_to_write(&directory), Err(BackupError::Busy { .. })));
        assert_eq!(make(&depot, folder.path(), "1", &["kept", "old"]), 2);
        assert_eq!(make(&depot, folder.path(), "2", &["kept", "new"]), 1);
        assert_eq!(depot.names().unwrap(), ["1", "2"]);
        assert_eq!(depot.find(None).unwrap().name, "2");
        fs::write(directory.join("files/half-written.new"), "x").unwrap();
        let (removed, freed) = depot.retain(1).unwrap();
        assert_eq!((removed, freed), (vec!["1".to_owned()], 4));
        assert_eq!(fs::read_dir(directory.join("files")).unwrap().count(), 2);
        drop(depot);
        assert_eq!(list(&directory).unwrap().len(), 1);
        let elsewhere = tempfile::tempdir().unwrap();
        assert!(matches!(list(elsewhere.path()), Err(BackupError::None { .. })));
    }

    #[test]
    fn a_content_that_was_cut_short_is_stored_again() {
        let folder = tempfile::tempdir().unwrap();
        let depot = Depot::open_to_write(&folder.path().join("backups")).unwrap();
        make(&depot, folder.path(), "1", &["content"]);
        let manifest = depot.find(None).unwrap();
        let path = depot.path(&manifest.genesis);
        fs::write(&path, "con").unwrap();
        assert_eq!(make(&depot, folder.path(), "2", &["content"]), 1);
        assert_eq!(fs::read(&path).unwrap(), b"content");
    }

    #[test]
    fn a_backup_whose_manifest_is_damaged_stops_retention() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("backups");
        let depot = Depot::open_to_write(&directory).unwrap();
        make(&depot, folder.path(), "1", &["a"]);
        make(&depot, folder.path(), "2", &["b"]);
        fs::write(directory.join("backups/2.json"), "{}").unwrap();
        assert!(matches!(depot.retain(1), Err(BackupError::Manifest { .. })));
        assert_eq!(fs::read_dir(directory.join("files")).unwrap().count(), 2, "nothing is removed");
    }
}
