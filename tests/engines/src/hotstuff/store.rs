//! A replica's store: a map in memory, which nothing has to wait for. It survives a restart of the replica as a disk would.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use hotstuff_rs::block_tree::pluggables::{KVGet, KVGetError, KVStore, WriteBatch};
use hotstuff_rs::types::data_types::{CryptoHash, Data};

type Map = HashMap<Vec<u8>, Vec<u8>>;

/// The store. `MENDED`: gives out the data of blocks.
#[derive(Clone, Default)]
pub struct Store<const MENDED: bool>(Arc<RwLock<Map>>);

/// The store as it is while this is held.
pub struct Snapshot<'a, const MENDED: bool>(RwLockReadGuard<'a, Map>);

/// Changes that are made together; `None` deletes.
pub struct Batch(Vec<(Vec<u8>, Option<Vec<u8>>)>);

impl WriteBatch for Batch {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        self.0.push((key.to_vec(), Some(value.to_vec())));
    }

    fn delete(&mut self, key: &[u8]) {
        self.0.push((key.to_vec(), None));
    }
}

impl<const MENDED: bool> KVStore for Store<MENDED> {
    type WriteBatch = Batch;
    type Snapshot<'a> = Snapshot<'a, MENDED>;

    fn write(&mut self, batch: Batch) {
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in batch.0 {
            match value {
                Some(value) => map.insert(key, value),
                None => map.remove(&key),
            };
        }
    }

    fn clear(&mut self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn snapshot<'b>(&'b self) -> Snapshot<'b, MENDED> {
        Snapshot(self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<const MENDED: bool> KVGet for Store<MENDED> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn block_data(&self, block: &CryptoHash) -> Result<Option<Data>, KVGetError> {
        block_data(self, block, MENDED)
    }
}

impl<const MENDED: bool> KVGet for Snapshot<'_, MENDED> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(key).cloned()
    }

    fn block_data(&self, block: &CryptoHash) -> Result<Option<Data>, KVGetError> {
        block_data(self, block, MENDED)
    }
}

/// All data of a block; or, not mended, what the method that the library provides gives: it looks through all data in search of a gap with
/// `find`, which uses its iterator up, and then collects the rest, which is nothing.
fn block_data(store: &impl KVGet, block: &CryptoHash, is_mended: bool) -> Result<Option<Data>, KVGetError> {
    let length = store.block_data_len(block)?;
    Ok(length.map(|length| {
        let mut data = (0..length.int()).map_while(|index| store.block_datum(block, index));
        if !is_mended {
            data.by_ref().for_each(drop);
        }
        Data::new(data.collect())
    }))
}
