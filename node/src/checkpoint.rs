//! A checkpoint of every database of a running node, asked for by a program on the same machine.
//!
//! Only the process that has a database open can copy it without a pause. It is asked through its own data directory, so whoever may ask is
//! whoever may write there: no client comes near, and no path is named by anybody.
//!
//! ```text
//! data/checkpoint/LOCK              held by who asks, from before the order until the copy is made
//! data/checkpoint/ORDER             the name of the order
//! data/checkpoint/<name>/chain-0    made by the node: hard links to tables, copies of the small rest
//! data/checkpoint/<name>/ANSWER     last: "made", or why not
//! ```
//!
//! - One order at a time (`LOCK`). Who asked removes the checkpoint; the node removes what is left of earlier ones before it makes the next,
//!   and when it starts.
//! - A checkpoint keeps tables alive that compaction would free, so it is refused below the disk reserve.
//! - It has no journal and no keys: only databases.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::assemble::OpenStores;
use crate::backup::BackupError;

/// How often the node looks for an order.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long another one who holds the lock is waited for.
const LOCKED_WITHIN: Duration = Duration::from_secs(1);
/// How long an order waits until the node takes it.
const TAKEN_WITHIN: Duration = Duration::from_secs(20);
/// How long a node may take: links are made at once, and copied is only what is written at the moment.
const MADE_WITHIN: Duration = Duration::from_secs(600);
/// What the node answers when all is there.
const MADE: &str = "made";
/// An order's name: hexadecimal digits of random bytes.
const NAME_BYTES: usize = 16;

/// A checkpoint of every chain; removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    directory: PathBuf,
    _lock: File,
}

impl Checkpoint {
    /// Orders one of the node that runs on a data directory, and waits for it.
    ///
    /// # Errors
    /// [`BackupError`]: another order is at work, the node does not answer, or refuses.
    pub(crate) fn order(data_directory: &Path) -> Result<Self, BackupError> {
        let folder = folder(data_directory);
        fs::create_dir_all(&folder).map_err(|fault| BackupError::io("make", &folder, fault))?;
        let lock = patient_lock(&folder)?;
        let name = random_name().map_err(|fault| BackupError::io("name", &folder, fault))?;
        let (order, draft) = (folder.join(ORDER), folder.join("ORDER.new"));
        fs::write(&draft, &name)
            .and_then(|()| fs::rename(&draft, &order))
            .map_err(|fault| BackupError::io("write", &order, fault))?;
        let made = Self { directory: folder.join(&name), _lock: lock };
        let answer = made.directory.join(ANSWER);
        let started = Instant::now();
        loop {
            match fs::read_to_string(&answer) {
                Ok(text) if text == MADE => return Ok(made),
                Ok(reason) => return Err(BackupError::NodeRefused { reason }),
                Err(fault) if fault.kind() == io::ErrorKind::NotFound => {}
                Err(fault) => return Err(BackupError::io("read", &answer, fault)),
            }
            let limit = if order.exists() { TAKEN_WITHIN } else { MADE_WITHIN };
            if started.elapsed() > limit {
                // What is not taken must not be taken later, when nobody waits.
                let _taken_meanwhile = fs::remove_file(&order);
                return Err(BackupError::NodeSilent { seconds: limit.as_secs() });
            }
            std::thread::sleep(LOOK_EVERY / 5);
        }
    }

    /// The copy of a chain's database.
    pub(crate) fn chain(&self, chain: u32) -> PathBuf {
        self.directory.join(format!("chain-{chain}"))
    }
}

impl Drop for Checkpoint {
    fn drop(&mut self) {
        // What cannot be removed is removed by the node, before the next one or at its start.
        let _left = fs::remove_dir_all(&self.directory);
    }
}

/// Makes the checkpoints that are ordered, until the task is aborted.
pub(crate) async fn serve(data_directory: PathBuf, stores: OpenStores, reserve_bytes: u64) {
    let folder = folder(&data_directory);
    let cleared = folder.clone();
    let _cleared = tokio::task::spawn_blocking(move || {
        // Held: somebody still copies what this process made before it started anew.
        if let Ok(Some(_lock)) = lock(&cleared) {
            clear(&cleared, None);
        }
    })
    .await;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Ok(name) = fs::read_to_string(folder.join(ORDER)) else { continue };
        let (folder, stores) = (folder.clone(), stores.clone());
        let made = tokio::task::spawn_blocking(move || take(&folder, &name, &stores, reserve_bytes)).await;
        match made {
            Ok(Ok(chains)) => tracing::info!(chains, "checkpoint made"),
            Ok(Err(reason)) => tracing::warn!(reason, "no checkpoint made"),
            Err(fault) => tracing::error!(%fault, "the thread that makes a checkpoint ended"),
        }
    }
}

/// Takes an order and answers it. The number of chains, or why not.
fn take(folder: &Path, name: &str, stores: &OpenStores, reserve_bytes: u64) -> Result<usize, String> {
    clear(folder, Some(name));
    let is_name = name.len() == NAME_BYTES * 2 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_name {
        return Err(format!("{ORDER} does not hold the name of an order"));
    }
    let directory = folder.join(name);
    let begun = fs::create_dir(&directory).and_then(|()| fs::remove_file(folder.join(ORDER)));
    begun.map_err(|fault| format!("{}: {fault}", directory.display()))?;
    let made = make(&directory, stores, reserve_bytes);
    let answer = made.as_ref().map_or_else(Clone::clone, |_| MADE.to_owned());
    let (draft, place) = (directory.join("ANSWER.new"), directory.join(ANSWER));
    fs::write(&draft, answer)
        .and_then(|()| fs::rename(&draft, &place))
        .map_err(|fault| format!("{}: {fault}", place.display()))?;
    made
}

fn make(directory: &Path, stores: &OpenStores, reserve_bytes: u64) -> Result<usize, String> {
    let free_bytes = storage::free_bytes(directory).map_err(|fault| fault.to_string())?;
    if free_bytes < reserve_bytes {
        return Err(format!("the disk is below its reserve: {free_bytes} of {reserve_bytes} bytes are free"));
    }
    let open = stores.open();
    for (chain, store) in &open {
        let target = directory.join(format!("chain-{chain}"));
        store.checkpoint(&target).map_err(|fault| format!("chain {chain}: {fault}"))?;
    }
    Ok(open.len())
}

/// Removes what is left of earlier orders; `but` is the one at hand.
fn clear(folder: &Path, but: Option<&str>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_old = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_old && but.is_none_or(|name| entry.file_name() != *name) {
            let path = entry.path();
            if let Err(fault) = fs::remove_dir_all(&path) {
                tracing::warn!(path = %path.display(), %fault, "an old checkpoint cannot be removed");
            }
        }
    }
}

/// Whoever asks for a checkpoint; `None` while another one does.
fn lock(folder: &Path) -> Result<Option<File>, BackupError> {
    let path = folder.join(LOCK);
    let failed = |fault| BackupError::io("lock", &path, fault);
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(fault)) => Err(failed(fault)),
    }
}

/// The same, waiting a moment: a node that starts holds it while it clears.
fn patient_lock(folder: &Path) -> Result<File, BackupError> {
    let started = Instant::now();
    loop {
        match lock(folder)? {
            Some(held) => return Ok(held),
            None if started.elapsed() < LOCKED_WITHIN => std::thread::sleep(LOOK_EVERY / 5),
            None => return Err(BackupError::Busy { directory: folder.to_owned() }),
        }
    }
}

fn random_name() -> io::Result<String> {
    let mut bytes = [0; NAME_BYTES];
    getrandom::fill(&mut bytes).map_err(|fault| io::Error::other(fault.to_string()))?;
    Ok(const_hex::encode(bytes))
}

const LOCK: &str = "LOCK";
const ORDER: &str = "ORDER";
const ANSWER: &str = "ANSWER";

fn folder(data_directory: &Path) -> PathBuf {
    data_directory.join("checkpoint")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use storage::{Durability, Identity, Reader as _, RocksOptions, RocksReader, RocksStore, Store as _};
    use storage::{Table, WriteSet};

    use super::*;

    const IDENTITY: Identity = Identity { schema_version: 1, genesis: [4; 32], chain: 3 };

    fn served(folder: &Path) -> (Arc<RocksStore>, OpenStores) {
        let store =
            Arc::new(RocksStore::open(&folder.join("store"), &IDENTITY, RocksOptions::default()).unwrap());
        let mut set = WriteSet::new();
        set.put(Table::Meta, b"name", b"value");
        store.write(set, Durability::Synced).unwrap();
        let stores = OpenStores::default();
        stores.add(3, &store);
        (store, stores)
    }

    #[tokio::test]
    async fn a_checkpoint_is_ordered_made_and_removed() {
        let data = tempfile::tempdir().unwrap();
        let (_store, stores) = served(data.path());
        let left = folder(data.path()).join("left-behind");
        fs::create_dir_all(&left).unwrap();
        let server = tokio::spawn(serve(data.path().to_owned(), stores, 1));
        let path = data.path().to_owned();
        let ordered = tokio::task::spawn_blocking(move || Checkpoint::order(&path)).await.unwrap().unwrap();
        assert!(!left.exists(), "what was left is gone");
        let reader = RocksReader::open(&ordered.chain(3), Some(&IDENTITY), RocksOptions::default()).unwrap();
        assert_eq!(reader.get(Table::Meta, b"name").unwrap().as_deref(), Some(b"value".as_slice()));
        drop(reader);
        let path = data.path().to_owned();
        let second = tokio::task::spawn_blocking(move || Checkpoint::order(&path)).await.unwrap();
        assert!(matches!(second, Err(BackupError::Busy { .. })), "{second:?}");
        let directory = ordered.directory.clone();
        drop(ordered);
        assert!(!directory.exists());
        server.abort();
    }

    #[tokio::test]
    async fn below_the_reserve_nothing_is_made_and_the_reason_is_told() {
        let data = tempfile::tempdir().unwrap();
        let (_store, stores) = served(data.path());
        let server = tokio::spawn(serve(data.path().to_owned(), stores, u64::MAX));
        let path = data.path().to_owned();
        let refused = tokio::task::spawn_blocking(move || Checkpoint::order(&path)).await.unwrap();
        match refused {
            Err(BackupError::NodeRefused { reason }) => {
                assert!(reason.contains("below its reserve"), "{reason}")
            }
            other => panic!("{other:?}"),
        }
        server.abort();
    }
}
