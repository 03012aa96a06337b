//! Where wallets are at home. An id does not show its currency, so a wallet has one possible home in each currency of the
//! network; an operator's own wallet is on every shard of its currency since it was admitted. Chains that were added and have no wallets
//! yet do not count.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use ledger::records::Registry;
use ledger::values::{ChainId, Currency, GenesisHash, OperatorId, WalletId};

/// The chains of a network, as homes of wallets.
pub(crate) struct Homes {
    /// The chains of each currency, by shard.
    shards: BTreeMap<Currency, Vec<ChainId>>,
    /// Operators' own wallets.
    operators: BTreeMap<WalletId, Currency>,
}

impl Homes {
    /// As a registry says.
    pub(crate) fn new(genesis: GenesisHash, registry: &Registry) -> Self {
        let homes = registry.chains.iter().filter(|chain| chain.is_home());
        let mut places: Vec<_> = homes.map(|chain| (chain.currency, chain.shard, chain.chain)).collect();
        places.sort_unstable();
        let mut shards: BTreeMap<Currency, Vec<ChainId>> = BTreeMap::new();
        for (currency, _, chain) in places {
            shards.entry(currency).or_default().push(chain);
        }
        let mut operators = BTreeMap::new();
        for currency in shards.keys() {
            for (id, _) in (0..=u16::MAX).zip(&registry.operators) {
                let own = registry.operator_wallet(genesis, *currency, OperatorId(id));
                operators.extend(own.map(|own| (own, *currency)));
            }
        }
        Self { shards, operators }
    }

    /// The chains where the wallet may be: every shard for an operator's own, else one of each currency.
    pub(crate) fn of(&self, id: &WalletId) -> Vec<ChainId> {
        if let Some(shards) = self.operators.get(id).and_then(|currency| self.shards.get(currency)) {
            return shards.clone();
        }
        let home = |shards: &Vec<ChainId>| {
            let count = u16::try_from(shards.len()).ok().and_then(NonZeroU16::new)?;
            shards.get(usize::from(id.shard(count))).copied()
        };
        self.shards.values().filter_map(home).collect()
    }

    /// Whether the wallet is on several chains at one time.
    pub(crate) fn is_on_several(&self, id: &WalletId) -> bool {
        let shards = self.operators.get(id).and_then(|currency| self.shards.get(currency));
        shards.is_some_and(|shards| shards.len() > 1)
    }
}
