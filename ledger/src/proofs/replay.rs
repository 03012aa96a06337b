//! Replay: executes a chain again from its beginning with the production rules and compares every claim. It trusts
//! nobody: not the store that the blocks come from, nor the results stored with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::records::{
    Batch, Block, Bundle, Claim, GenesisSpec, HeightResult, Outcome, Record, Registry, Transaction,
};
use crate::rules::block_validity::{check_body, check_contents, check_header, check_parent};
use crate::rules::{
    BatchFacts, BatchFault, BlockFault, BundleFault, ChainRules, ExecutionFault, ParentFacts, check_batch,
    check_bundle, check_signatures,
};
use crate::state::{ChainState, Execution, GenesisFault, MemoryReader, StateWrites};
use crate::values::{
    BatchDigest, ChainId, Height, KeyCache, ResultHash, Slot, Strategy, TimestampMs, TransactionId,
};

/// What a source says about one height. Only block and batches are needed; the rest is compared where it is
/// given.
#[derive(Debug, Clone, Copy)]
pub struct HeightRecord<'a> {
    /// The block.
    pub block: &'a Block,
    /// Its batches, in the order of its body.
    pub batches: &'a [Batch],
    /// Its bundles, in the order of its body.
    pub bundles: &'a [Bundle],
    /// The result that the source stored.
    pub result: Option<&'a HeightResult>,
    /// The outcomes that the source stored.
    pub outcomes: Option<&'a [Outcome]>,
}

/// The first difference between what a source says and what the rules give.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// The block is invalid.
    #[error("chain {chain} height {height}: {fault}")]
    Block {
        /// The chain.
        chain: ChainId,
        /// The height.
        height: Height,
        /// Why.
        fault: BlockFault,
    },
    /// A batch is invalid.
    #[error("chain {chain} height {height} batch {batch}: {fault}")]
    Batch {
        /// The chain.
        chain: ChainId,
        /// The height.
        height: Height,
        /// Position of the batch in the block.
        batch: u32,
        /// Why.
        fault: BatchFault,
    },
    /// A bundle is invalid.
    #[error("chain {chain} height {height} bundle {bundle}: {fault}")]
    Bundle {
        /// The chain.
        chain: ChainId,
        /// The height.
        height: Height,
        /// Position of the bundle in the block.
        bundle: u32,
        /// Why.
        fault: BundleFault,
    },
    /// A signature is invalid.
    #[error("chain {chain} height {height} transaction {index} ({id}): a signature is invalid")]
    Signature {
        /// The chain.
        chain: ChainId,
        /// The height.
        height: Height,
        /// Position among all transactions of the block.
        index: u32,
        /// The transaction.
        id: TransactionId,
    },
    /// A digest is ordered again while the first ordering has not expired (PROTOCOL rule 10).
    #[error("chain {chain} height {height} batch {batch}: ordered before, and not yet expired")]
    OrderedTwice {
        /// The chain.
        chain: ChainId,
        /// The height.
        height: Height,
        /// Position of the batch in the block.
        batch: u32,
    },
    /// A header claims another result than the rules give.
    #[error(
        "chain {chain} height {height}: claims {claimed} for height {claimed_height}, replay gives {computed:?}"
    )]
    Claim {
        /// The chain.
        chain: ChainId,
        /// The height of the claiming block.
        height: Height,
        /// The height claimed about.
        claimed_height: Height,
        /// Claimed.
        claimed: ResultHash,
        /// Computed; `None` where the height lies below an earlier claim.
        computed: Option<ResultHash>,
    },
    /// A stored outcome is another.
    #[error(
        "chain {chain} height {height} transaction {index}: stored {stored:?}, replay gives {computed:?}"
    )]
    Outcome {
        /// The chain.
        chain: ChainId,
        /// The height.
        height: Height,
        /// Position among all transactions of the block.
        index: u32,
        /// Stored; `None` where the source has none.
        stored: Option<Box<Outcome>>,
        /// Computed; `None` where there is none.
        computed: Option<Box<Outcome>>,
    },
    /// A stored result is another.
    #[error("chain {chain} height {height}: stored {stored:?}, replay gives {computed:?}")]
    Result {
        /// The chain.
        chain: ChainId,
        /// The height.
        height: Height,
        /// Stored.
        stored: Box<HeightResult>,
        /// Computed.
        computed: Box<HeightResult>,
    },
    /// A stored state record is another.
    #[error("chain {chain} height {height} slot {slot}: stored {stored:?}, replay gives {computed:?}")]
    Record {
        /// The chain.
        chain: ChainId,
        /// The height after which it was compared.
        height: Height,
        /// The slot.
        slot: Slot,
        /// Stored; `None` where the source has none.
        stored: Option<Box<Record>>,
        /// Computed; `None` where there is none.
        computed: Option<Box<Record>>,
    },
    /// The rules cannot execute the block.
    #[error("chain {chain} height {height}: {fault}")]
    Execution {
        /// The chain.
        chain: ChainId,
        /// The height.
        height: Height,
        /// Why.
        fault: ExecutionFault,
    },
}

/// A chain, executed again.
#[derive(Debug)]
pub struct Replay {
    state: ChainState,
    records: MemoryReader,
    parent: ParentFacts,
    /// Results from the last claimed height on.
    results: BTreeMap<Height, ResultHash>,
    /// Rules by the height from whose state on they hold: blocks are judged by those of the height that they claim.
    rules: BTreeMap<Height, ChainRules>,
    /// Digests that were ordered and have not expired, with the timestamp of their expiry.
    ordered: BTreeMap<BatchDigest, TimestampMs>,
    keys: KeyCache,
    secret: [u8; 32],
}

impl Replay {
    /// A replay at genesis. `secret` seeds the batch verification of signatures: random bytes unknown to the
    /// signers.
    ///
    /// # Errors
    /// [`GenesisFault`].
    pub fn new(spec: &GenesisSpec, chain: ChainId, secret: [u8; 32]) -> Result<Self, GenesisFault> {
        Ok(Self::at_beginning(ChainState::genesis(spec, chain)?, secret))
    }

    /// A replay of a chain that operators added, at its height 0. `registry` is [`Registry::of_child`] of the root chain's after the
    /// height that added the chain, as the root chain's own replay or a [`super::ChainOrigin`] gives it.
    ///
    /// # Errors
    /// [`GenesisFault`].
    pub fn of_child(
        spec: &GenesisSpec,
        registry: Arc<Registry>,
        chain: ChainId,
        secret: [u8; 32],
    ) -> Result<Self, GenesisFault> {
        Ok(Self::at_beginning(ChainState::begin(spec.hash(), registry, chain, spec.timestamp)?, secret))
    }

    fn at_beginning(
        (state, writes, result): (ChainState, StateWrites, HeightResult),
        secret: [u8; 32],
    ) -> Self {
        let mut records = MemoryReader::default();
        records.apply(&writes);
        let hash = result.hash(state.rules().genesis);
        let parent = ParentFacts::genesis(state.rules(), state.head().timestamp, hash);
        Self {
            rules: BTreeMap::from([(Height(0), state.rules().clone())]),
            state,
            records,
            parent,
            results: BTreeMap::from([(Height(0), hash)]),
            ordered: BTreeMap::new(),
            keys: KeyCache::default(),
            secret,
        }
    }

    /// The state reached.
    #[must_use]
    pub const fn state(&self) -> &ChainState {
        &self.state
    }

    /// The records reached.
    #[must_use]
    pub const fn records(&self) -> &MemoryReader {
        &self.records
    }

    /// Checks and executes the next height.
    ///
    /// # Errors
    /// The first difference; the replay is over then.
    pub fn step(
        &mut self,
        given: HeightRecord<'_>,
        strategy: &impl Strategy,
    ) -> Result<Execution, Box<Difference>> {
        let (chain, height) = (self.state.head().chain, given.block.header.height);
        self.check_block(&given, strategy)?;
        let executed = self.state.execute(&self.records, given.block, given.batches, given.bundles, strategy);
        let execution = executed.map_err(|fault| Box::new(Difference::Execution { chain, height, fault }))?;
        self.compare(&given, &execution)?;
        self.records.apply(&execution.writes);
        self.results.insert(height, execution.result_hash);
        if execution.registry.is_some() {
            self.rules.insert(height, self.state.rules().clone());
        }
        self.parent = ParentFacts::of(&given.block.header, self.state.rules().genesis);
        Ok(execution)
    }

    /// Compares a source's records with those reached, in slot order.
    ///
    /// # Errors
    /// The first record that differs, is missing or is too many.
    pub fn compare_records(
        &self,
        stored: impl IntoIterator<Item = (Slot, Record)>,
    ) -> Result<(), Box<Difference>> {
        let difference = |slot, stored: Option<Record>, computed: Option<&Record>| {
            let (chain, height) = (self.state.head().chain, self.state.head().height);
            let computed = computed.cloned().map(Box::new);
            Box::new(Difference::Record { chain, height, slot, stored: stored.map(Box::new), computed })
        };
        let mut stored = stored.into_iter();
        for (slot, computed) in self.records.iter() {
            match stored.next() {
                Some((found, record)) if found == slot && record == *computed => {}
                Some((found, record)) if found == slot => {
                    return Err(difference(slot, Some(record), Some(computed)));
                }
                _ => return Err(difference(slot, None, Some(computed))),
            }
        }
        match stored.next() {
            Some((slot, record)) => Err(difference(slot, Some(record), None)),
            None => Ok(()),
        }
    }

    fn check_block(
        &mut self,
        given: &HeightRecord<'_>,
        strategy: &impl Strategy,
    ) -> Result<(), Box<Difference>> {
        let (header, body) = (&given.block.header, &given.block.body);
        let (chain, height, claimed) = (self.state.head().chain, header.height, header.claim.height);
        let known = self.rules.range(..=claimed).next_back();
        let rules = known.map_or_else(|| self.state.rules().clone(), |(_, rules)| rules.clone());
        let rules = &rules;
        let invalid = |fault| Box::new(Difference::Block { chain, height, fault });
        check_header(rules, header).map_err(invalid)?;
        check_parent(rules, header, &self.parent).map_err(invalid)?;
        check_body(header, body).map_err(invalid)?;
        let checked = strategy.map(given.batches, 1, |batch| check_batch(rules, batch));
        let mut facts = Vec::with_capacity(checked.len());
        self.ordered.retain(|_, expires| *expires >= header.timestamp);
        for ((checked, batch), position) in checked.into_iter().zip(given.batches).zip(0..=u32::MAX) {
            let digest = checked
                .map_err(|fault| Box::new(Difference::Batch { chain, height, batch: position, fault }))?;
            if self.ordered.insert(digest, batch.content.expires).is_some() {
                return Err(Box::new(Difference::OrderedTwice { chain, height, batch: position }));
            }
            facts.push(BatchFacts::of(digest, batch));
        }
        let checked = strategy.map(given.bundles, 1, |bundle| check_bundle(rules, bundle));
        let mut bundles = Vec::with_capacity(checked.len());
        for (checked, position) in checked.into_iter().zip(0..=u32::MAX) {
            bundles.push(
                checked.map_err(|fault| {
                    Box::new(Difference::Bundle { chain, height, bundle: position, fault })
                })?,
            );
        }
        check_contents(header, body, &facts, &bundles).map_err(invalid)?;
        self.check_claim(height, header.claim)?;
        let transactions: Vec<&Transaction> =
            given.batches.iter().flat_map(|batch| batch.content.transactions.iter()).collect();
        let genesis = self.state.rules().genesis;
        check_signatures(&transactions, genesis, &self.secret, &self.keys, strategy).map_err(|position| {
            let id =
                transactions.get(position).map(|transaction| transaction.id(genesis)).unwrap_or_default();
            let index = u32::try_from(position).unwrap_or(u32::MAX);
            Box::new(Difference::Signature { chain, height, index, id })
        })
    }

    fn check_claim(&mut self, height: Height, claim: Claim) -> Result<(), Box<Difference>> {
        let computed = self.results.get(&claim.height).copied();
        if computed != Some(claim.result) {
            return Err(Box::new(Difference::Claim {
                chain: self.state.head().chain,
                height,
                claimed_height: claim.height,
                claimed: claim.result,
                computed,
            }));
        }
        self.results = self.results.split_off(&claim.height);
        // What was in force at the claimed height stays.
        if let Some(since) = self.rules.range(..=claim.height).next_back().map(|(since, _)| *since) {
            self.rules = self.rules.split_off(&since);
        }
        Ok(())
    }

    fn compare(&self, given: &HeightRecord<'_>, execution: &Execution) -> Result<(), Box<Difference>> {
        let (chain, height) = (execution.head.chain, execution.head.height);
        if let Some(stored) = given.outcomes {
            let longest = stored.len().max(execution.outcomes.len());
            for place in 0..longest {
                let (stored, computed) = (stored.get(place).copied(), execution.outcomes.get(place).copied());
                if stored != computed {
                    let index = computed.or(stored).map_or(u32::MAX, |outcome| outcome.index);
                    let (stored, computed) = (stored.map(Box::new), computed.map(Box::new));
                    return Err(Box::new(Difference::Outcome { chain, height, index, stored, computed }));
                }
            }
        }
        match given.result {
            Some(stored) if *stored != execution.result => Err(Box::new(Difference::Result {
                chain,
                height,
                stored: Box::new(stored.clone()),
                computed: Box::new(execution.result.clone()),
            })),
            _ => Ok(()),
        }
    }
}
