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
        let newest = self.registry_at(head.height)?;
        if newest.and_then(|newest| Some(newest.newest_epoch(head.chain)?.epoch)) < Some(epoch) {
            return Ok(None);
        }
        let mut until = key::height(head.height.next().0).to_vec();
        loop {
            let page = Page { until: Some(&until), order: Order::Backward, ..Page::first(ROWS_PER_PAGE) };
            let rows = self.reader().scan(Table::Registries, page)?;
            let Some((lowest, _)) = rows.last() else { return Ok(None) };
            until.clone_from(lowest);
            for (_, bytes) in &rows {
                let registry: Registry = rows::decode(Table::Registries, bytes)?;
                if let Some(record) = registry.epoch(head.chain, epoch) {
                    return Ok(Some(record.clone()));
                }
            }
        }
    }

    /// Why the validators of an epoch are whom the registry says: the result that names them, certified by the set before. `None` for
    /// epoch 0, and until the epoch before is over here.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn set_link(&self, epoch: Epoch) -> Result<Option<SetLink>, RowFault> {
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
        let mut links = Vec::new();
        for next in 1..=epoch.0 {
            let Some(link) = self.set_link(Epoch(next))? else { return Ok(None) };
            links.push(link);
        }
        Ok(Some(SetChain { origin: self.own_origin()?.map(Box::new), links }))
    }
}
