//! Origins: what a chain that genesis does not name begins with, out of what is stored (PROTOCOL rule 25).
//!
//! The root chain keeps the parts of its state of the height that added the chain; with the registry after that height and a certificate
//! that covers it they prove the origin to whoever has the genesis file. The chain itself keeps the origin that it began with, for its own
//! changes of set begin there.

use ledger::proofs::ChainOrigin;
use ledger::records::registry::ROOT_CHAIN;
use ledger::records::{Birth, Registry};
use ledger::state::StateParts;
use ledger::values::{Canonical as _, ChainId, Height};
use storage::{Reader, Table, WriteSet};

use crate::archive::Archive;
use crate::rows::{self, RowFault};

/// The chains that the root chain's height `at` added.
pub(crate) fn added(registry: &Registry, at: Height) -> impl Iterator<Item = ChainId> + '_ {
    let is_new = move |birth: &Birth| matches!(birth, Birth::Child { height, .. } if *height == at);
    registry.chains.iter().filter(move |record| is_new(&record.birth)).map(|record| record.chain)
}

/// Keeps what the origins of the chains that this height added are made of. `parts` are those of the state after it.
pub(crate) fn keep_parts(
    set: &mut WriteSet,
    (chain, height): (ChainId, Height),
    registry: &Registry,
    parts: impl Fn() -> StateParts,
) {
    if chain == ROOT_CHAIN {
        for child in added(registry, height) {
            set.put(Table::Meta, rows::origin_parts(child), parts().encode());
        }
    }
}

impl<R: Reader + ?Sized> Archive<'_, R> {
    /// What this chain began with; none where genesis names it.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn own_origin(&self) -> Result<Option<ChainOrigin>, RowFault> {
        let row = self.reader().get(Table::Meta, rows::ORIGIN)?;
        row.map(|bytes| rows::decode(Table::Meta, &bytes)).transpose()
    }

    /// The origin of a chain that was added after genesis: the own one, or, on the root chain, that of any other. `None` where genesis
    /// names the chain, where it was not added yet as far as this store knows, and until a stored certificate covers the height that
    /// added it.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn origin(&self, chain: ChainId) -> Result<Option<ChainOrigin>, RowFault> {
        let Some(head) = self.head()? else { return Ok(None) };
        if head.chain == chain {
            return self.own_origin();
        }
        let Some(parts) = self.reader().get(Table::Meta, &rows::origin_parts(chain))? else {
            return Ok(None);
        };
        let parts: StateParts = rows::decode(Table::Meta, &parts)?;
        let missing = || RowFault::Missing { table: Table::Registries };
        let newest = self.registry_at(head.height)?.ok_or_else(missing)?;
        let Some(Birth::Child { height, .. }) = newest.chain(chain).map(|record| record.birth) else {
            return Ok(None);
        };
        let Some(certified) = self.certified_result(height)? else { return Ok(None) };
        let Some(sets) = self.set_chain(certified.header.epoch)? else { return Ok(None) };
        let registry = self.registry_at(height)?.ok_or_else(missing)?;
        Ok(Some(ChainOrigin { sets: sets.links, registry, parts, certified }))
    }
}
