//! One chain's state: the in-memory part. Records themselves are read through [`super::StateReader`]; what is
//! held here is what makes a state root cheap: two trees and the head.

use std::sync::Arc;

use super::expiries::Expiries;
use super::head::StateHead;
use super::id_tree::{IdLeaf, IdPath, IdTree};
use super::pins::{Ground, Pins};
use super::root::StateParts;
use super::summing_tree::{Crown, SumNode, SummingTree};
use super::writes::StateWrites;
use crate::proofs::outcomes_root;
use crate::records::block::genesis_block_digest;
use crate::records::{GenesisSpec, HeightResult, Record, Registry, SupplyTerms};
use crate::rules::ChainRules;
use crate::values::{
    Amount, Canonical, ChainId, CodecError, FeeRate, GenesisHash, Hash, Height, OperatorId, RecordId,
    RegistryHash, ResultHash, Sequential, Slot, StateRoot, Strategy, TimestampMs, WalletId,
};

/// The fee pool's slot.
pub const FEE_POOL_SLOT: Slot = Slot(0);
/// The suspense record's slot.
pub const SUSPENSE_SLOT: Slot = Slot(1);
const RECORDS_PER_CHUNK: usize = 512;
/// Records that [`ChainState::load`] hashes at a time.
const LOAD_RECORDS: usize = 16_384;

/// A chain's state after a height.
#[derive(Debug, Clone)]
pub struct ChainState {
    pub(crate) rules: ChainRules,
    pub(crate) head: StateHead,
    pub(crate) tree: SummingTree,
    pub(crate) ids: IdTree,
    pub(crate) registry: RegistryHash,
    pub(crate) expiries: Expiries,
    pub(crate) pins: Pins,
}

/// The genesis state cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenesisFault {
    /// The spec breaks its own rules.
    #[error("the genesis spec is not valid: {0}")]
    Spec(#[from] CodecError),
    /// The network has no such chain.
    #[error("the network has no chain {chain}")]
    ChainUnknown {
        /// The chain asked for.
        chain: ChainId,
    },
    /// Two operators' wallets have one id, or a sum does not fit; cannot happen with a valid spec.
    #[error("the genesis records do not fit the state trees")]
    Trees,
}

/// Stored records are not the state that the stored head names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadFault {
    /// The network has no such chain.
    #[error("the network has no chain {chain}")]
    ChainUnknown {
        /// The chain asked for.
        chain: ChainId,
    },
    /// A slot is missing or out of order.
    #[error("expected the record of slot {expected}, found slot {found}")]
    Slot {
        /// The next slot.
        expected: Slot,
        /// The slot found.
        found: Slot,
    },
    /// More or fewer records than the head counts.
    #[error("the head counts {head} records, {found} were found")]
    Count {
        /// In the head.
        head: u64,
        /// Found.
        found: u64,
    },
    /// Two records have one id.
    #[error("two records have one id")]
    IdTwice,
    /// The records' sum is above 2⁶⁴ − 1 fen.
    #[error("the records' sum does not fit")]
    Sum,
    /// The records do not have the head's state root.
    #[error("the records have state root {computed}, the head says {stored}")]
    Root {
        /// In the head.
        stored: StateRoot,
        /// Of the records.
        computed: StateRoot,
    },
}

/// The leaves of records.
pub(crate) fn leaves_of(records: &[(Slot, Record)], strategy: &impl Strategy) -> Vec<(Slot, SumNode)> {
    strategy.map(records, RECORDS_PER_CHUNK, |(slot, record)| (*slot, SumNode::leaf(*slot, record)))
}

/// Fee pool, suspense, then every operator's own wallet, in slot order.
fn genesis_writes(rules: &ChainRules) -> StateWrites {
    let mut records =
        vec![Record::FeePool { balance: Amount::ZERO }, Record::Suspense { balance: Amount::ZERO }];
    for (operator, id) in rules.registry.operators.iter().zip(0..=u16::MAX) {
        records.push(Record::Wallet(operator.own_wallet(rules.genesis, rules.currency, OperatorId(id))));
    }
    let records: Vec<(Slot, Record)> = (0..).map(Slot).zip(records).collect();
    let opened = records.iter().filter_map(|(slot, record)| Some((record.id()?, *slot)));
    StateWrites { opened: opened.collect(), records }
}

impl ChainState {
    /// The state of height 0 of a chain that genesis names, with what to store for it and its result.
    ///
    /// # Errors
    /// [`GenesisFault`].
    pub fn genesis(
        spec: &GenesisSpec,
        chain: ChainId,
    ) -> Result<(Self, StateWrites, HeightResult), GenesisFault> {
        spec.check()?;
        Self::begin(spec.hash(), Arc::new(Registry::from_genesis(spec)), chain, spec.timestamp)
    }

    /// The state of height 0 of any chain: `registry` is the one that it begins with (for a child [`Registry::of_child`]), `timestamp`
    /// that of the genesis spec. Every operator of the registry has its own wallet there.
    ///
    /// # Errors
    /// [`GenesisFault`].
    pub fn begin(
        genesis: GenesisHash,
        registry: Arc<Registry>,
        chain: ChainId,
        timestamp: TimestampMs,
    ) -> Result<(Self, StateWrites, HeightResult), GenesisFault> {
        let rules = ChainRules::new(genesis, registry, chain).ok_or(GenesisFault::ChainUnknown { chain })?;
        let writes = genesis_writes(&rules);
        let leaves = writes.records.iter().map(|(slot, record)| SumNode::leaf(*slot, record)).collect();
        let tree = SummingTree::from_leaves(leaves, &Sequential).map_err(|_| GenesisFault::Trees)?;
        let ids = writes.opened.iter().map(|(id, slot)| IdLeaf { id: *id, slot: *slot }).collect();
        let ids = IdTree::from_leaves(ids, &Sequential).ok_or(GenesisFault::Trees)?;
        let head = StateHead {
            chain,
            height: Height(0),
            block: genesis_block_digest(rules.genesis, chain),
            timestamp,
            result: ResultHash::default(),
            state: StateRoot::default(),
            records: tree.len(),
            supply: SupplyTerms::default(),
            outboxes: Vec::new(),
            base_fee: FeeRate::ZERO,
            quotas: Vec::new(),
            epoch_started: timestamp,
            ordered: Vec::new(),
            recent: vec![timestamp],
            moving: None,
        };
        let registry = rules.registry.hash();
        let mut state =
            Self { rules, head, tree, ids, registry, expiries: Expiries::default(), pins: Pins::default() };
        state.head.state = state.parts().root();
        let result = HeightResult {
            chain,
            height: Height(0),
            block: state.head.block,
            previous: ResultHash::default(),
            state: state.head.state,
            outcomes: outcomes_root(&[], &Sequential),
            outbox: state.parts().outbox,
            next_set: Hash::default(),
            executed: 0,
            skipped: 0,
            supply: SupplyTerms::default(),
        };
        state.head.result = result.hash(state.rules.genesis);
        Ok((state, writes, result))
    }

    /// The state that a store holds: `records` are all records in slot order, `head` the head stored with
    /// them, `registry` the newest that was stored up to its height.
    ///
    /// # Errors
    /// [`LoadFault`] when they do not belong together.
    pub fn load(
        spec: &GenesisSpec,
        registry: Arc<Registry>,
        head: StateHead,
        records: impl IntoIterator<Item = (Slot, Record)>,
        strategy: &impl Strategy,
    ) -> Result<Self, LoadFault> {
        let chain = head.chain;
        let rules = ChainRules::new(spec.hash(), registry, chain).ok_or(LoadFault::ChainUnknown { chain })?;
        let mut leaves: Vec<SumNode> = Vec::new();
        let mut ids: Vec<IdLeaf> = Vec::new();
        let (mut expiries, mut pins) = (Expiries::default(), Pins::default());
        let ground = Ground { rules: &rules, moving: head.moving };
        let mut chunk: Vec<(Slot, Record)> = Vec::with_capacity(LOAD_RECORDS);
        let mut hash_chunk = |chunk: &mut Vec<(Slot, Record)>| {
            leaves.extend(leaves_of(chunk, strategy).into_iter().map(|(_, leaf)| leaf));
            chunk.clear();
        };
        let mut found = 0_u64;
        for (slot, record) in records {
            if slot.0 != found {
                return Err(LoadFault::Slot { expected: Slot(found), found: slot });
            }
            found = found.saturating_add(1);
            ids.extend(record.id().map(|id| IdLeaf { id, slot }));
            expiries.gather(slot, &record);
            pins.gather(slot, &record, ground);
            chunk.push((slot, record));
            if chunk.len() == LOAD_RECORDS {
                hash_chunk(&mut chunk);
            }
        }
        hash_chunk(&mut chunk);
        pins.gathered();
        if found != head.records {
            return Err(LoadFault::Count { head: head.records, found });
        }
        let tree = SummingTree::from_leaves(leaves, strategy).map_err(|_| LoadFault::Sum)?;
        let ids = IdTree::from_leaves(ids, strategy).ok_or(LoadFault::IdTwice)?;
        let registry = rules.registry.hash();
        let state = Self { rules, head, tree, ids, registry, expiries, pins };
        let computed = state.parts().root();
        if computed == state.head.state {
            Ok(state)
        } else {
            Err(LoadFault::Root { stored: state.head.state, computed })
        }
    }

    /// The rules of the next height.
    #[must_use]
    pub const fn rules(&self) -> &ChainRules {
        &self.rules
    }

    /// Where the state stands.
    #[must_use]
    pub const fn head(&self) -> &StateHead {
        &self.head
    }

    /// The slot of a wallet.
    #[must_use]
    pub fn slot(&self, id: &WalletId) -> Option<Slot> {
        self.ids.slot(&(*id).into())
    }

    /// The open deadlines.
    #[must_use]
    pub const fn expiries(&self) -> &Expiries {
        &self.expiries
    }

    /// Which wallets open locks and offers name.
    #[must_use]
    pub const fn pins(&self) -> &Pins {
        &self.pins
    }

    /// What the state root commits to.
    #[must_use]
    pub fn parts(&self) -> StateParts {
        self.parts_with(&self.head)
    }

    pub(crate) fn parts_with(&self, head: &StateHead) -> StateParts {
        StateParts::new(head, self.tree.root(), self.ids.root(), self.registry)
    }
}

/// A record's place under the state root; with the record and a certified result it makes a [`crate::proofs::BalanceProof`] or a
/// [`crate::proofs::LockProof`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordPath {
    /// Its slot.
    pub slot: Slot,
    /// Siblings from the bottom of the summing tree.
    pub path: Vec<SumNode>,
    /// What the state root commits to.
    pub parts: StateParts,
}

impl ChainState {
    /// The path of a wallet, a lock or an offer at the head; `None` where it does not exist.
    #[must_use]
    pub fn record_path(&self, id: impl Into<RecordId>) -> Option<RecordPath> {
        let slot = self.ids.slot(&id.into())?;
        Some(RecordPath { slot, path: self.tree.path(slot)?, parts: self.parts() })
    }

    /// The summing tree at the head from a level on: what proves chunks of its records later.
    #[must_use]
    pub fn crown(&self, level: usize) -> Crown {
        self.tree.crown(level)
    }

    /// Where a wallet's id leads in the id tree at the head: proves absence where no such wallet exists.
    #[must_use]
    pub fn id_path(&self, id: &WalletId) -> IdPath {
        self.ids.path(&(*id).into())
    }
}
