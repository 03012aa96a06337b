//! Registries and changes of validator set, out of what is stored: what a relay, a proof and a start need of them.
//!
//! A change of set is proved by the last block of the epoch before, which claims the height below it. Its certificate names exactly
//! that block, because nothing stands on it in its epoch, and is kept for ever (PROTOCOL rule 4).

use std::ops::Bound;

use ledger::proofs::{CertifiedResult, FinalityProof, SetChain, SetLink};
use ledger::records::{EpochRecord, Registry};
use ledger::values::{Canonical as _, Epoch, Height};
use storage::{Order, Page, Reader, Table, key};

use crate::archive::Archive;
use crate::rows::{self, RowFault};

/// Registries read at a time.
const ROWS_PER_PAGE: usize = 16;

impl<R: Reader + ?Sized> Archive<'_, R> {
    /// The registry after a height.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn registry_at(&self, height: Height) -> Result<Option<Registry>, RowFault> {
        let until = key::height(height.next().0);
        let page = Page { until: Some(&until), order: Order::Backward, ..Page::first(1) };
        let row = self.reader().scan(Table::Registries, page)?.into_iter().next();
        row.map(|(_, bytes)| rows::decode(Table::Registries, &bytes)).transpose()
    }

    /// The registries after those of the heights `from..=until` that changed them, ascending. Few: governance is rare.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn registries(&self, from: Height, until: Height) -> Result<Vec<(Height, Registry)>, RowFault> {
        let (mut found, mut from) = (Vec::new(), from);
        let end = key::height(until.next().0);
        loop {
            let first = key::height(from.0);
            let page =
                Page { from: Bound::Included(&first), until: Some(&end), ..Page::first(ROWS_PER_PAGE) };
            let rows = self.reader().scan(Table::Registries, page)?;
            if rows.is_empty() {
                return Ok(found);
            }
            for (place, bytes) in rows {
                let height = key::number(&place).ok_or(RowFault::Missing { table: Table::Registries })?;
                found.push((Height(height), rows::decode(Table::Registries, &bytes)?));
                from = Height(height).next();
            }
        }
    }

    /// The epoch that decides, or decided, a height; `None` above the executed heights' knowledge.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn epoch_at(&self, height: Height) -> Result<Option<EpochRecord>, RowFault> {
        let Some(head) = self.head()? else { return Ok(None) };
        let known = self.registry_at(height.min(head.height))?;
        Ok(known.and_then(|registry| registry.epoch_at(head.chain, height).cloned()))
    }

    /// An epoch of this chain that is scheduled, running or over: as its successor's schedule has it, else as it is now.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn epoch(&self, epoch: Epoch) -> Result<Option<EpochRecord>, RowFault> {
        let Some(head) = self.head()? else { return Ok(None) };
        let at = |height| self.registry_at(Height(height));
        let find = |registry: &Registry| registry.epoch(head.chain, epoch).cloned();
        let oldest = |registry: &Registry| Some(registry.chain(head.chain)?.epochs.first()?.epoch);
        let Some(newest) = at(head.height.0)? else { return Ok(None) };
        if oldest(&newest).is_none_or(|oldest| oldest <= epoch) {
            return Ok(find(&newest));
        }
        // A registry forgets old epochs in order: the last one that knows this epoch is found by halves.
        let (mut low, mut high) = (0, head.height.0);
        while high.saturating_sub(low) > 1 {
            let middle = low.saturating_add(high.saturating_sub(low) / 2);
            let is_known =
                at(middle)?.and_then(|registry| oldest(&registry)).is_some_and(|oldest| oldest <= epoch);
            if is_known {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(at(low)?.and_then(|registry| find(&registry)))
    }

    /// Why the validators of an epoch are whom the registry says: the result that names them, certified by the set before. `None` for
    /// epoch 0, and until the epoch before is over here.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn set_link(&self, epoch: Epoch) -> Result<Option<SetLink>, RowFault> {
        // A node that joined by a snapshot does not hold the blocks of those before.
        if let Some(bytes) = self.reader().get(Table::Meta, &rows::set_link(epoch))? {
            return Ok(rows::decode::<SetChain>(Table::Meta, &bytes)?.links.into_iter().next());
        }
        let Some(set) = self.epoch(epoch)?.filter(|set| set.epoch > Epoch(0)) else { return Ok(None) };
        let last = Height(set.first_height.0.saturating_sub(1));
        let Some(block) = self.block_at(last)? else { return Ok(None) };
        let missing = |table| RowFault::Missing { table };
        let certificate = self.certificate(last)?.ok_or(missing(Table::Certificates))?;
        let finality = FinalityProof::decode(&certificate)
            .map_err(|fault| RowFault::Damaged { table: Table::Certificates, fault })?;
        let result = self.result(block.header.claim.height)?.ok_or(missing(Table::Results))?;
        let certified = CertifiedResult { result, links: Vec::new(), header: block.header, finality };
        Ok(Some(SetLink { certified, set: EpochRecord { last_height: None, ..set } }))
    }

    /// Every change of set up to an epoch, from the chain's origin on where genesis does not name it: with the genesis file it proves who
    /// its validators are. `None` until the epoch has begun here.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn set_chain(&self, epoch: Epoch) -> Result<Option<SetChain>, RowFault> {
        let mut links = self.links().map(|known| known.up_to(epoch)).unwrap_or_default();
        for next in (links.len() as u64).saturating_add(1)..=epoch.0 {
            let Some(link) = self.set_link(Epoch(next))? else { return Ok(None) };
            links.push(link);
        }
        if let Some(known) = self.links() {
            known.keep(&links);
        }
        Ok(Some(SetChain { origin: self.own_origin()?.map(Box::new), links }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use genesis::dev::{LocalnetPlan, localnet};
    use ledger::records::registry::EPOCHS_KEPT;
    use ledger::state::ChainState;
    use ledger::values::ChainId;
    use storage::{Durability, Identity, MemoryStore, Row, StorageError, Store as _, Visit, WriteSet};

    use super::*;

    const CHAIN: ChainId = ChainId(0);
    const EPOCHS: u64 = 60;

    /// Counts the pages that are read.
    struct Counting(MemoryStore, AtomicUsize);

    impl Reader for Counting {
        fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
            self.0.get(table, key)
        }

        fn multi_get(&self, table: Table, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
            self.0.multi_get(table, keys)
        }

        fn scan(&self, table: Table, page: Page<'_>) -> Result<Vec<Row>, StorageError> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.scan(table, page)
        }

        fn for_each(&self, table: Table, visit: &mut Visit<'_>) -> Result<(), StorageError> {
            self.0.for_each(table, visit)
        }
    }

    /// Epoch `e` is scheduled at height `100 e` and begins 50 heights later.
    fn history() -> Counting {
        let spec = localnet(&LocalnetPlan::new(4), &[1; 32]).unwrap().spec;
        let store = MemoryStore::fresh(&Identity { schema_version: 1, genesis: [1; 32], chain: 0 });
        let mut set = WriteSet::new();
        let mut registry = Registry::from_genesis(&spec);
        for epoch in 0..EPOCHS {
            if epoch > 0 {
                let epochs = &mut registry.chains[0].epochs;
                let mut next = epochs.last().unwrap().clone();
                epochs.last_mut().unwrap().last_height = Some(Height(100 * epoch + 50));
                (next.epoch, next.first_height) = (Epoch(epoch), Height(100 * epoch + 51));
                epochs.push(next);
                let forgotten = epochs.len().saturating_sub(EPOCHS_KEPT);
                epochs.drain(..forgotten);
            }
            set.put(Table::Registries, key::height(100 * epoch), registry.encode());
        }
        let mut head = ChainState::genesis(&spec, CHAIN).unwrap().0.head().clone();
        head.height = Height(100 * EPOCHS);
        set.put(Table::Meta, rows::HEAD, head.encode());
        store.write(set, Durability::Synced).unwrap();
        Counting(store, AtomicUsize::new(0))
    }

    #[test]
    fn every_epoch_is_found_as_its_successor_has_it_in_few_reads() {
        let store = history();
        let archive = Archive::new(&store);
        for epoch in 0..EPOCHS {
            store.1.store(0, Ordering::Relaxed);
            let found = archive.epoch(Epoch(epoch)).unwrap().unwrap();
            let first = if epoch == 0 { found.first_height } else { Height(100 * epoch + 51) };
            let last = (epoch + 1 < EPOCHS).then_some(Height(100 * (epoch + 1) + 50));
            assert_eq!((found.epoch, found.first_height, found.last_height), (Epoch(epoch), first, last));
            let reads = store.1.load(Ordering::Relaxed);
            assert!(reads <= 16, "epoch {epoch}: {reads} registries read of {EPOCHS}");
        }
        assert_eq!(archive.epoch(Epoch(EPOCHS)).unwrap(), None);
    }
}
