//! What the rules of a chain depend on besides its records: cheap to clone, made of the genesis hash and the registry alone, so whoever
//! has a state's registry has its rules. They change where the registry does, from the next height on.

use std::num::NonZeroU16;
use std::sync::Arc;

use crate::records::registry::ROOT_CHAIN;
use crate::records::{
    Birth, ChainParams, ChainRecord, EpochRecord, GenesisSpec, Growth, OperatorRole, Registry, Tier,
    WalletRecord,
};
use crate::state::PassedOver;
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

    /// The id of an operator's own wallet on this chain; none of an operator that the registry does not have.
    #[must_use]
    pub fn own_wallet(&self, operator: OperatorId) -> Option<WalletId> {
        self.registry.operator_wallet(self.genesis, self.currency, operator)
    }

    /// Whether the wallet is the central bank's own.
    #[must_use]
    pub fn is_central_bank(&self, wallet: &WalletRecord) -> bool {
        let role = self.registry.operator(wallet.operator).map(|operator| operator.role);
        self.is_operator(wallet) && role == Some(OperatorRole::CentralBank)
    }

    /// The chain whose wallets this one takes half of; none of a chain of genesis.
    #[must_use]
    pub fn parent(&self) -> Option<ChainId> {
        self.registry.chain(self.chain)?.parent()
    }

    /// Whether this chain may not know all wallets yet that are at home here.
    #[must_use]
    pub fn is_filling(&self) -> bool {
        self.registry.chain(self.chain).is_some_and(ChainRecord::is_filling)
    }

    /// Whether receipts from `source` are executed now: a bundle of others would be passed over, for the reason that
    /// [`Self::check_heard`] gives.
    #[must_use]
    pub fn takes_from(&self, source: ChainId) -> bool {
        self.check_heard(source).is_ok()
    }

    /// Whether receipts from `source` are executed now. A child hears the root chain alone until wallets are at home there, and then
    /// its parent too, until it knows all its wallets. And until wallets are at home there, a child is heard by the root chain alone:
    /// so whoever is removed without a report has brought nothing to anybody.
    ///
    /// # Errors
    /// Why they are not.
    pub fn check_heard(&self, source: ChainId) -> Result<(), PassedOver> {
        let birth = |chain| self.registry.chain(chain).map(|record| record.birth);
        let is_taken = match birth(self.chain) {
            Some(Birth::Child { growth: Growth::Added | Growth::Ready | Growth::Removed, .. }) => {
                source == ROOT_CHAIN
            }
            Some(Birth::Child { parent, growth: Growth::Filling, .. }) => {
                source == ROOT_CHAIN || source == parent
            }
            Some(Birth::Child { growth: Growth::Grown, .. } | Birth::Genesis) | None => true,
        };
        let is_heard = match birth(source) {
            Some(Birth::Child { growth: Growth::Added | Growth::Ready, .. }) => self.chain == ROOT_CHAIN,
            Some(Birth::Child { growth: Growth::Removed, .. }) => false,
            Some(Birth::Child { growth: Growth::Filling | Growth::Grown, .. } | Birth::Genesis) | None => {
                true
            }
        };
        match (is_taken, is_heard) {
            (true, true) => Ok(()),
            (false, _) => Err(PassedOver::Filling {}),
            (true, false) => Err(PassedOver::NotHome {}),
        }
    }

    /// Whether wallets have moved from here, or do.
    #[must_use]
    pub fn has_children(&self) -> bool {
        let is_child = |record: &ChainRecord| record.parent() == Some(self.chain) && record.is_home();
        self.registry.chains.iter().any(is_child)
    }

    /// The child to which a wallet of this chain moves or has moved, though it may be at home on a child of that one by now; none
    /// where it stays.
    #[must_use]
    pub fn child_of(&self, wallet: &WalletId) -> Option<ChainId> {
        if self.home(wallet) == self.chain {
            return None;
        }
        let own = self.registry.chain(self.chain)?.shard;
        let is_its = |record: &&ChainRecord| {
            // The shards that there were before.
            let shards = record.shard.saturating_sub(own);
            let doubled = NonZeroU16::new(shards.saturating_mul(2));
            record.parent() == Some(self.chain)
                && record.is_home()
                && doubled.is_some_and(|shards| wallet.shard(shards) == record.shard)
        };
        self.registry.chains.iter().find(is_its).map(|record| record.chain)
    }
}
