//! The registry: who the operators, nodes and validators are, and how every chain is set up. Part of every chain's state; changed
//! by governance only ([`super::change`]).
//!
//! Operators, nodes, wanted sets and parameters follow the root chain's on every chain, by receipts. Epochs do not: a chain
//! schedules its own (at most the newest [`EPOCHS_KEPT`] are here), and knows of every other chain the newest one that was
//! proved to it. Nor do bars: a chain knows its own alone.

use wincode::{SchemaRead, SchemaWrite};

use super::genesis::{CHAINS_MAX, GenesisSpec, OPERATORS_MAX};
use super::params::ChainParams;
use super::policy::Policy;
use super::wallet::{Tier, WalletRecord, WalletStatus};
use crate::values::codec::{check_ascending, check_count, check_range};
use crate::values::quorum::{VALIDATORS_MAX, VALIDATORS_MIN, quorum};
use crate::values::{
    Amount, Canonical, ChainId, CodecError, Currency, Epoch, GenesisHash, Hash, Hasher, Height, NodeIndex,
    OperatorId, PublicKey, RegistryHash, ValidatorIndex, WalletId,
};

/// The chain where operators govern the network.
pub const ROOT_CHAIN: ChainId = ChainId(0);
/// Epochs of its own that a chain remembers: the one before, the running one, and one that is scheduled.
pub const EPOCHS_KEPT: usize = 3;

/// What an operator is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub enum OperatorRole {
    /// Issues money. Exactly one per network.
    CentralBank,
    /// Opens wallets and runs validators.
    Bank,
}

/// A bank or the central bank.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct OperatorRecord {
    /// A name for people, 1 to 64 bytes; not unique by rule, shown with the id.
    pub name: String,
    /// What it is.
    pub role: OperatorRole,
    /// The cold key: governance and ceremony only.
    pub key: PublicKey,
    /// Policy of its own hot wallet, which exists on every chain from its admission on.
    pub wallet_policy: Policy,
}

/// A process of an operator.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct NodeRecord {
    /// Whose it is.
    pub operator: OperatorId,
    /// Its libp2p identity.
    pub network_key: PublicKey,
    /// `host:port` for peers, at most 255 bytes.
    pub address: String,
}

/// An operator's voting identity on a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct ValidatorRecord {
    /// Whose it is.
    pub operator: OperatorId,
    /// The node that runs it.
    pub node: NodeIndex,
    /// The key it votes and seals with.
    pub consensus_key: PublicKey,
}

/// One epoch of a chain (PROTOCOL rule 2).
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct EpochRecord {
    /// Its number, from 0.
    pub epoch: Epoch,
    /// Its first height.
    pub first_height: Height,
    /// Its last height, once that is scheduled; never said of another chain's epoch.
    pub last_height: Option<Height>,
    /// The set, strictly ascending by consensus key.
    pub validators: Vec<ValidatorRecord>,
}

/// One chain of the network.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct ChainRecord {
    /// Its id; chain 0 is the root chain.
    pub chain: ChainId,
    /// Its currency.
    pub currency: Currency,
    /// Its shard among those of the currency, from 0.
    pub shard: u16,
    /// How it came to be.
    pub birth: Birth,
    /// Parameters.
    pub params: ChainParams,
    /// The set that operators have decided on, strictly ascending by consensus key; the next epoch's.
    pub wanted: Vec<ValidatorRecord>,
    /// Whether the wanted set may not wait for a day to pass. Only the chain itself acts on it, and clears it then.
    pub is_urgent: bool,
    /// Of the chain that holds this registry: its newest epochs, ascending, at most [`EPOCHS_KEPT`]. Of another: its newest known.
    pub epochs: Vec<EpochRecord>,
    /// Of the chain that holds this registry: operators that owe for what their validators sealed, ascending
    /// ([`crate::rules::quota`]). Of another: none.
    pub barred: Vec<OperatorId>,
}

/// How a chain came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub enum Birth {
    /// With the network.
    Genesis,
    /// Added by operators, to take half of the wallets of a chain of its currency.
    Child {
        /// That chain.
        parent: ChainId,
        /// The root chain's height that added it: the child begins with the registry after that height.
        height: Height,
        /// How far it is.
        growth: Growth,
    },
}

/// How far a child is. The root chain goes through all of them, the child itself from `Filling` to `Grown`; other chains hear of
/// `Added`, `Filling` and `Removed` only, and treat what lies between alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, SchemaWrite, SchemaRead)]
pub enum Growth {
    /// No wallet is at home there; its validators may not run yet.
    Added,
    /// It has reported that it runs; still no wallet is at home there.
    Ready,
    /// Half of its parent's wallets are at home there, and on their way.
    Filling,
    /// It was told of all of them.
    Grown,
    /// It was given up before it ever reported: no wallet was or will be at home there. Only `Added` leads here, and nothing on.
    Removed,
}

impl ChainRecord {
    /// Whether wallets are at home there.
    #[must_use]
    pub const fn is_home(&self) -> bool {
        match self.birth {
            Birth::Genesis | Birth::Child { growth: Growth::Filling | Growth::Grown, .. } => true,
            Birth::Child { growth: Growth::Added | Growth::Ready | Growth::Removed, .. } => false,
        }
    }

    /// Whether operators gave it up before it ever ran: nobody sends to it or takes anything from it.
    #[must_use]
    pub const fn is_removed(&self) -> bool {
        matches!(self.birth, Birth::Child { growth: Growth::Removed, .. })
    }

    /// The chain whose wallets it takes half of; none of a chain of genesis.
    #[must_use]
    pub const fn parent(&self) -> Option<ChainId> {
        match self.birth {
            Birth::Genesis => None,
            Birth::Child { parent, .. } => Some(parent),
        }
    }

    /// Whether it may not know all wallets that are at home there yet: then one that it does not know may be its parent's.
    #[must_use]
    pub const fn is_filling(&self) -> bool {
        matches!(self.birth, Birth::Child { growth: Growth::Added | Growth::Ready | Growth::Filling, .. })
    }
}

/// The registry as a chain's state holds it.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Registry {
    /// Counts the proposals that were applied; a proposal names the version that it changes.
    pub version: u64,
    /// Operators by id. Nobody is ever removed.
    pub operators: Vec<OperatorRecord>,
    /// Nodes by index. None is ever removed.
    pub nodes: Vec<NodeRecord>,
    /// Operators that have left, ascending.
    pub retired_operators: Vec<OperatorId>,
    /// Nodes that were taken away, ascending.
    pub retired_nodes: Vec<NodeIndex>,
    /// Chains by ascending id.
    pub chains: Vec<ChainRecord>,
}

impl OperatorRecord {
    /// Its own wallet for a currency as genesis or governance opens it.
    #[must_use]
    pub fn own_wallet(&self, genesis: GenesisHash, currency: Currency, id: OperatorId) -> WalletRecord {
        let policy = self.wallet_policy.hash();
        WalletRecord {
            id: WalletId::derive(genesis, currency, policy, &operator_salt(id)),
            policy,
            operator: id,
            tier: Tier::Operator,
            status: WalletStatus::Active,
            balance: Amount::ZERO,
            lanes: Vec::new(),
        }
    }
}

impl EpochRecord {
    /// Whether the epoch decides this height, as far as is known.
    #[must_use]
    pub fn decides(&self, height: Height) -> bool {
        height >= self.first_height && self.last_height.is_none_or(|last| height <= last)
    }

    /// What a result of the epoch before commits to ([`super::HeightResult::next_set`]): chain, epoch, first height and set.
    #[must_use]
    pub fn set_hash(&self, chain: ChainId) -> Hash {
        let mut hasher = Hasher::new("jiaozi/next-set").number(u64::from(chain.0)).number(self.epoch.0);
        hasher = hasher.number(self.first_height.0).number(self.validators.len() as u64);
        for validator in &self.validators {
            hasher = hasher.number(u64::from(validator.operator.0)).number(u64::from(validator.node.0));
            hasher = hasher.bytes(&validator.consensus_key.0);
        }
        hasher.finish()
    }

    /// The keys, in the order of the set.
    #[must_use]
    pub fn keys(&self) -> Vec<PublicKey> {
        self.validators.iter().map(|validator| validator.consensus_key).collect()
    }

    /// Checks counts and order.
    ///
    /// # Errors
    /// Names the field.
    pub fn check(&self) -> Result<(), CodecError> {
        check_set(&self.validators)?;
        check_range("epoch.first_height", self.first_height.0, 1, u64::MAX)?;
        let last = self.last_height.map_or(u64::MAX, |last| last.0);
        check_range("epoch.last_height", last, self.first_height.0, u64::MAX)
    }

    /// Most bytes of its encoding.
    pub const BYTES_MAX: usize = 8 + 8 + 9 + 8 + 36 * VALIDATORS_MAX;
}

/// A set has a size that a quorum exists for, and each key once.
pub(super) fn check_set(validators: &[ValidatorRecord]) -> Result<(), CodecError> {
    check_count("validators", validators.len(), VALIDATORS_MIN, VALIDATORS_MAX)?;
    check_ascending("validators", validators.iter().map(|validator| validator.consensus_key))
}

impl Registry {
    /// The registry that a network starts with.
    #[must_use]
    pub fn from_genesis(spec: &GenesisSpec) -> Self {
        let chain = |chain: &super::genesis::ChainSpec| ChainRecord {
            chain: chain.chain,
            currency: chain.currency,
            shard: chain.shard,
            birth: Birth::Genesis,
            params: chain.params.clone(),
            wanted: chain.validators.clone(),
            is_urgent: false,
            epochs: vec![EpochRecord {
                epoch: Epoch(0),
                first_height: Height(1),
                last_height: None,
                validators: chain.validators.clone(),
            }],
            barred: Vec::new(),
        };
        Self {
            version: 0,
            operators: spec.operators.clone(),
            nodes: spec.nodes.clone(),
            retired_operators: Vec::new(),
            retired_nodes: Vec::new(),
            chains: spec.chains.iter().map(chain).collect(),
        }
    }

    /// The registry that a child begins with, of the root chain's after the height that added the child: its own record as it is, and of
    /// every other chain the newest epoch alone; nobody is barred there. None where the network has no such child.
    #[must_use]
    pub fn of_child(&self, child: ChainId) -> Option<Self> {
        self.chain(child)?.parent()?;
        let mut registry = self.clone();
        registry.chains.iter_mut().for_each(|record| record.barred.clear());
        for record in registry.chains.iter_mut().filter(|record| record.chain != child) {
            let older = record.epochs.len().saturating_sub(1);
            record.epochs.drain(..older);
            // Of another chain's epoch no end is known.
            record.epochs.iter_mut().for_each(|newest| newest.last_height = None);
        }
        Some(registry)
    }

    /// A chain's record.
    #[must_use]
    pub fn chain(&self, chain: ChainId) -> Option<&ChainRecord> {
        let place = self.chains.binary_search_by_key(&chain, |record| record.chain).ok()?;
        self.chains.get(place)
    }

    pub(crate) fn chain_mut(&mut self, chain: ChainId) -> Option<&mut ChainRecord> {
        let place = self.chains.binary_search_by_key(&chain, |record| record.chain).ok()?;
        self.chains.get_mut(place)
    }

    /// An epoch of a chain, where it is remembered.
    #[must_use]
    pub fn epoch(&self, chain: ChainId, epoch: Epoch) -> Option<&EpochRecord> {
        self.chain(chain)?.epochs.iter().find(|record| record.epoch == epoch)
    }

    /// The newest epoch of a chain: of another chain the newest that was proved, of the own one perhaps a scheduled one.
    #[must_use]
    pub fn newest_epoch(&self, chain: ChainId) -> Option<&EpochRecord> {
        self.chain(chain)?.epochs.last()
    }

    /// The epoch that decides a height of a chain, where it is remembered.
    #[must_use]
    pub fn epoch_at(&self, chain: ChainId, height: Height) -> Option<&EpochRecord> {
        self.chain(chain)?.epochs.iter().rev().find(|record| record.decides(height))
    }

    /// The validators of a chain's epoch, by index; empty when unknown.
    #[must_use]
    pub fn validators(&self, chain: ChainId, epoch: Epoch) -> &[ValidatorRecord] {
        self.epoch(chain, epoch).map_or(&[], |record| record.validators.as_slice())
    }

    /// One validator.
    #[must_use]
    pub fn validator(&self, chain: ChainId, epoch: Epoch, index: ValidatorIndex) -> Option<&ValidatorRecord> {
        self.validators(chain, epoch).get(usize::from(index.0))
    }

    /// The currency of a chain.
    #[must_use]
    pub fn currency(&self, chain: ChainId) -> Option<Currency> {
        self.chain(chain).map(|record| record.currency)
    }

    /// An operator, also one that has left.
    #[must_use]
    pub fn operator(&self, id: OperatorId) -> Option<&OperatorRecord> {
        self.operators.get(usize::from(id.0))
    }

    /// Whether the operator exists and has not left.
    #[must_use]
    pub fn is_active(&self, id: OperatorId) -> bool {
        self.operator(id).is_some() && self.retired_operators.binary_search(&id).is_err()
    }

    /// A node, also one that was taken away.
    #[must_use]
    pub fn node(&self, index: NodeIndex) -> Option<&NodeRecord> {
        self.nodes.get(usize::from(index.0))
    }

    /// Whether the node exists and was not taken away.
    #[must_use]
    pub fn is_node_active(&self, index: NodeIndex) -> bool {
        self.node(index).is_some() && self.retired_nodes.binary_search(&index).is_err()
    }

    /// Whether others should keep a connection to the node: it was not taken away, or it runs a validator of one of the two newest
    /// epochs of a chain. (Whoever leaves serves to the end of its epoch, and is missed before that.)
    #[must_use]
    pub fn is_peer(&self, index: NodeIndex) -> bool {
        let runs = |epoch: &EpochRecord| epoch.validators.iter().any(|validator| validator.node == index);
        let serves = |chain: &ChainRecord| !chain.is_removed() && chain.epochs.iter().rev().take(2).any(runs);
        self.is_node_active(index) || self.chains.iter().any(serves)
    }

    /// Who decides on proposals that the root chain executes at `height`: the operators, unless they have left, that run a
    /// validator of the root chain's epoch there; ascending.
    #[must_use]
    pub fn council(&self, height: Height) -> Vec<OperatorId> {
        let mut council = self.root_operators(height);
        council.retain(|operator| self.is_active(*operator));
        council
    }

    /// Approvals that decide there: a quorum of all operators of that epoch's validators, those that have left among them. So who
    /// makes members leave gets no smaller council to decide in before the set itself has changed.
    #[must_use]
    pub fn council_quorum(&self, height: Height) -> usize {
        quorum(self.root_operators(height).len())
    }

    fn root_operators(&self, height: Height) -> Vec<OperatorId> {
        let epoch = self.epoch_at(ROOT_CHAIN, height).or_else(|| self.newest_epoch(ROOT_CHAIN));
        let validators = epoch.map_or(&[] as &[ValidatorRecord], |record| record.validators.as_slice());
        let mut operators: Vec<OperatorId> = validators.iter().map(|validator| validator.operator).collect();
        operators.sort_unstable();
        operators.dedup();
        operators
    }

    /// What the result of a height of the own chain commits to: the set of the epoch that begins above it; zero where none does.
    #[must_use]
    pub fn next_set(&self, chain: ChainId, height: Height) -> Hash {
        let scheduled = self.newest_epoch(chain).filter(|record| record.first_height > height);
        // At genesis epoch 0 is no change of set.
        scheduled
            .filter(|record| record.epoch > Epoch(0))
            .map_or(Hash::default(), |next| next.set_hash(chain))
    }

    /// The id of an operator's own wallet for a currency.
    #[must_use]
    pub fn operator_wallet(
        &self,
        genesis: GenesisHash,
        currency: Currency,
        id: OperatorId,
    ) -> Option<WalletId> {
        let policy = &self.operator(id)?.wallet_policy;
        Some(WalletId::derive(genesis, currency, policy.hash(), &operator_salt(id)))
    }

    /// The hash that the state root commits to.
    #[must_use]
    pub fn hash(&self) -> RegistryHash {
        Hasher::new("jiaozi/registry").bytes(&self.encode()).finish().into()
    }
}

/// What the salts of operators' own wallets begin with; nobody else may choose such a salt.
const OPERATOR_SALT: [u8; 14] = *b"operator......";

/// Salt of an operator's own wallet: its id, so two operators with one policy still differ.
#[must_use]
pub fn operator_salt(id: OperatorId) -> [u8; 16] {
    let mut salt = [0; 16];
    let (head, tail) = salt.split_at_mut(OPERATOR_SALT.len());
    head.copy_from_slice(&OPERATOR_SALT);
    tail.copy_from_slice(&id.0.to_be_bytes());
    salt
}

/// Whether only an operator's own wallet may have this salt: else a wallet opened with a future operator's policy would take
/// its place.
#[must_use]
pub fn is_operator_salt(salt: &[u8; 16]) -> bool {
    salt.starts_with(&OPERATOR_SALT)
}

impl Canonical for Registry {
    const NAME: &'static str = "registry";
    const BYTES_MAX: usize = 16 * 1_024 * 1_024;

    fn check(&self) -> Result<(), CodecError> {
        check_count("registry.operators", self.operators.len(), 1, OPERATORS_MAX)?;
        check_count("registry.nodes", self.nodes.len(), 1, OPERATORS_MAX)?;
        check_ascending("registry.retired_operators", &self.retired_operators)?;
        check_ascending("registry.retired_nodes", &self.retired_nodes)?;
        check_count("registry.chains", self.chains.len(), 1, CHAINS_MAX)?;
        check_ascending("registry.chains", self.chains.iter().map(|record| record.chain))?;
        for record in &self.chains {
            record.params.check()?;
            check_set(&record.wanted)?;
            check_count("registry.chains.epochs", record.epochs.len(), 1, EPOCHS_KEPT)?;
            check_ascending("registry.chains.epochs", record.epochs.iter().map(|epoch| epoch.epoch))?;
            record.epochs.iter().try_for_each(EpochRecord::check)?;
            self.check_birth(record)?;
            self.check_barred(record)?;
        }
        let barring = self.chains.iter().filter(|record| !record.barred.is_empty()).count();
        check_count("registry.chains.barred (the own chain's alone)", barring, 0, 1)?;
        // The shard of one that was removed is its successor's.
        let kept = self.chains.iter().filter(|record| !record.is_removed());
        let mut shards: Vec<(Currency, u16)> = kept.map(|record| (record.currency, record.shard)).collect();
        shards.sort_unstable();
        check_ascending("registry.chains.shard (each of a currency once)", shards)
    }
}

impl Registry {
    /// A child is younger than its parent, has its currency, and was added by a block.
    fn check_birth(&self, record: &ChainRecord) -> Result<(), CodecError> {
        let Birth::Child { parent, height, .. } = record.birth else { return Ok(()) };
        check_range("registry.chains.birth.height", height.0, 1, u64::MAX)?;
        let is_older = |known: &&ChainRecord| known.chain < record.chain && known.currency == record.currency;
        let is_known = self.chain(parent).filter(is_older).is_some();
        check_range(
            "registry.chains.birth.parent (an older chain of the currency)",
            u64::from(is_known),
            1,
            1,
        )
    }

    /// Operators of the registry, each once.
    fn check_barred(&self, record: &ChainRecord) -> Result<(), CodecError> {
        check_count("registry.chains.barred", record.barred.len(), 0, OPERATORS_MAX)?;
        check_ascending("registry.chains.barred", &record.barred)?;
        let is_known = record.barred.last().is_none_or(|last| self.operator(*last).is_some());
        check_range("registry.chains.barred (known operators)", u64::from(is_known), 1, 1)
    }
}
