//! Replays of a made chain, from its database or its feed, and what they find.

use audit::{AuditError, DatabaseSource, Difference, Replay, Report};
use storage::{Durability, MemoryStore, Reader, Store, Table, WriteSet};

use super::Forge;

/// The chain's database, as a node stores it.
pub fn stored(forge: &Forge) -> MemoryStore {
    let store = MemoryStore::fresh(&forge.identity());
    forge.store(&store);
    store
}

/// Replays the database, on two threads.
pub fn replay_store(forge: &Forge, store: &dyn Reader) -> Result<Report, AuditError> {
    replay_with(forge, store, 2)
}

/// The same on so many.
pub fn replay_with(forge: &Forge, store: &dyn Reader, threads: usize) -> Result<Report, AuditError> {
    let replay = Replay { spec: &forge.network.spec, chain: forge.chain, threads, progress: &|_| {} };
    replay.run(Box::new(DatabaseSource::new(store, forge.chain)?), Some(store))
}

/// Replays what the node would serve.
pub fn replay_feed(forge: &Forge) -> Result<Report, AuditError> {
    let replay = Replay { spec: &forge.network.spec, chain: forge.chain, threads: 2, progress: &|_| {} };
    replay.run(Box::new(forge.source()), None)
}

/// What a replay must find.
pub fn difference<T: std::fmt::Debug>(result: Result<T, AuditError>) -> Difference {
    match result {
        Err(AuditError::Different(difference)) => *difference,
        other => panic!("expected a difference, found {other:?}"),
    }
}

/// Writes a row over what is there.
pub fn put(store: &dyn Store, table: Table, place: &[u8], value: &[u8]) {
    let mut set = WriteSet::new();
    set.put(table, place, value);
    store.write(set, Durability::Synced).unwrap();
}

/// Takes a row away.
pub fn delete(store: &dyn Store, table: Table, place: &[u8]) {
    let mut set = WriteSet::new();
    set.delete(table, place);
    store.write(set, Durability::Synced).unwrap();
}
