//! What the rules of a chain depend on besides its records: cheap to clone, the same for a whole epoch.

use std::num::NonZeroU16;
use std::sync::Arc;

use crate::records::{ChainParams, GenesisSpec, OperatorRole, Registry, Tier, WalletRecord};
use crate::values::{ChainId, Currency, GenesisHash, OperatorId, WalletId};

/// A chain's constants.
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
    /// The chains of this currency, by shard.
    pub shards: Arc<[ChainId]>,
    /// Operators' own wallets in this currency, ascending: at home on every shard.
    pub operator_wallets: Arc<[WalletId]>,
}

impl ChainRules {
    /// The rules of a chain of a network; `None` where the network has no such chain.
    #[must_use]
    pub fn new(spec: &GenesisSpec, chain: ChainId) -> Option<Self> {
        let chain_spec = spec.chain(chain)?;
        let (genesis, currency) = (spec.hash(), chain_spec.currency);
        let registry = Registry::from_genesis(spec);
        let operators = (0..=u16::MAX).map(OperatorId).zip(&registry.operators);
        let mut operator_wallets: Vec<WalletId> =
            operators.filter_map(|(id, _)| registry.operator_wallet(genesis, currency, id)).collect();
        operator_wallets.sort_unstable();
        Some(Self {
            genesis,
            chain,
            currency,
            params: chain_spec.params.clone(),
            registry: Arc::new(registry),
            currencies: spec.chains.iter().map(|spec| (spec.chain, spec.currency)).collect(),
            shards: spec.shards(currency).into(),
            operator_wallets: operator_wallets.into(),
        })
    }

    /// The chain where a wallet of this currency is at home: this one for operators' own wallets, else by the wallet's id.
    #[must_use]
    pub fn home(&self, wallet: &WalletId) -> ChainId {
        if self.shards.len() <= 1 || self.operator_wallets.binary_search(wallet).is_ok() {
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

    /// Whether the wallet is an operator's own: only genesis and governance open wallets of that tier.
    #[must_use]
    pub fn is_operator(&self, wallet: &WalletRecord) -> bool {
        wallet.tier == Tier::Operator
    }

    /// Whether the wallet is the central bank's own.
    #[must_use]
    pub fn is_central_bank(&self, wallet: &WalletRecord) -> bool {
        let role = self.registry.operator(wallet.operator).map(|operator| operator.role);
        self.is_operator(wallet) && role == Some(OperatorRole::CentralBank)
    }
}
