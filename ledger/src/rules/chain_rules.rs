//! What the rules of a chain depend on besides its records: cheap to clone, made of the genesis hash and the registry alone, so whoever
//! has a state's registry has its rules. They change where the registry does, from the next height on.

use std::num::NonZeroU16;
use std::sync::Arc;

use crate::records::{ChainParams, EpochRecord, GenesisSpec, OperatorRole, Registry, Tier, WalletRecord};
use crate::values::{ChainId, Currency, GenesisHash, Height, OperatorId, WalletId};

/// A chain's rules at a height.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainRules {
    /// The network.
    pub genesis: GenesisHash,
    /// The chain.
    pub chain: ChainId,
    /// Its currency.
    pub currency: Currency,
    /// Its parameters.
    pub params: ChainParams,
    /// Who takes part.
    pub registry: Arc<Registry>,
    /// Every chain's currency, by chain.
    pub currencies: Arc<[(ChainId, Currency)]>,
    /// The chains of this currency where wallets are at home, by shard.
    pub shards: Arc<[ChainId]>,
    /// Operators' own wallets in this currency, ascending: at home on every shard.
    pub operator_wallets: Arc<[WalletId]>,
}

impl ChainRules {
    /// The rules of a chain with this registry; `None` where the network has no such chain.
    #[must_use]
    pub fn new(genesis: GenesisHash, registry: Arc<Registry>, chain: ChainId) -> Option<Self> {
        let record = registry.chain(chain)?;
        let (currency, params) = (record.currency, record.params.clone());
        let operators = (0..=u16::MAX).map(OperatorId).zip(&registry.operators);
        let mut operator_wallets: Vec<WalletId> =
            operators.filter_map(|(id, _)| registry.operator_wallet(genesis, currency, id)).collect();
        operator_wallets.sort_unstable();
        let of_currency =
            registry.chains.iter().filter(|record| record.currency == currency && record.is_home());
        let mut shards: Vec<(u16, ChainId)> =
            of_currency.map(|record| (record.shard, record.chain)).collect();
        shards.sort_unstable();
        let currencies = registry.chains.iter().map(|record| (record.chain, record.currency)).collect();
        Some(Self {
            genesis,
            chain,
            currency,
            params,
            currencies,
            shards: shards.into_iter().map(|(_, chain)| chain).collect(),
            operator_wallets: operator_wallets.into(),
            registry,
        })
    }

    /// The rules that a network starts with; `None` where it has no such chain.
    #[must_use]
    pub fn at_genesis(spec: &GenesisSpec, chain: ChainId) -> Option<Self> {
        Self::new(spec.hash(), Arc::new(Registry::from_genesis(spec)), chain)
    }

    /// The chain where a wallet of this currency is at home by now, wherever it is: this one for operators' own wallets, else by the wallet's id.
    #[must_use]
    pub fn home(&self, wallet: &WalletId) -> ChainId {
        let is_alone = self.shards.len() <= 1 && self.shards.first().is_none_or(|only| *only == self.chain);
        if is_alone || self.operator_wallets.binary_search(wallet).is_ok() {
            return self.chain;
        }
        let shards = u16::try_from(self.shards.len()).ok().and_then(NonZeroU16::new);
        let home = shards.and_then(|shards| self.shards.get(usize::from(wallet.shard(shards))));
        home.copied().unwrap_or(self.chain)
    }

    /// A chain's currency; `None` where the network has no such chain.
    #[must_use]
    pub fn currency_of(&self, chain: ChainId) -> Option<Currency> {
        let place = self.currencies.binary_search_by_key(&chain, |(known, _)| *known).ok()?;
        self.currencies.get(place).map(|(_, currency)| *currency)
    }

    /// The epoch of this chain that decides a height, as far as the registry knows.
    #[must_use]
    pub fn epoch_at(&self, height: Height) -> Option<&EpochRecord> {
        self.registry.epoch_at(self.chain, height)
    }

    /// Whether the wallet is an operator's own: only genesis and governance open wallets of that tier.
    #[must_use]
    pub fn is_operator(&self, wallet: &WalletRecord) -> bool {
        wallet.tier == Tier::Operator
    }

    /// Whether the wallet is the own wallet of an operator that has not left.
    #[must_use]
    pub fn is_active_operator(&self, wallet: &WalletRecord) -> bool {
        self.is_operator(wallet) && self.registry.is_active(wallet.operator)
    }

    /// Whether the wallet is the central bank's own.
    #[must_use]
    pub fn is_central_bank(&self, wallet: &WalletRecord) -> bool {
        let role = self.registry.operator(wallet.operator).map(|operator| operator.role);
        self.is_operator(wallet) && role == Some(OperatorRole::CentralBank)
    }
}
