//! What one chain on one node needs to know, and the bounds it lives under.

use std::sync::Arc;

use ledger::records::{GenesisSpec, ValidatorRecord};
use ledger::rules::ChainRules;
use ledger::values::{Epoch, Height, NodeIndex, SecretKey, ValidatorIndex, faults_max, quorum};

/// Age at which a transaction is sealed after a pause: long enough to share a batch with its neighbours on the wire.
pub const BATCH_AGE_MS: u64 = 5;
/// Least time between two batches of one sealer that are not full, so that signature checks draw large groups; where blocks come more
/// slowly, a block's time: a batch costs every node some work whatever is in it, so with many chains as many batches a second as with one.
pub const BATCH_PACE_MS: u64 = 50;
/// How long after sealing a batch may still be ordered.
pub const BATCH_TTL_MS: u64 = 30_000;
const _: () = assert!(2 * BATCH_TTL_MS <= ledger::records::batch::BATCH_LIFE_MS_MAX, "clocks may differ");
/// How long an expired batch is kept for blocks that ordered it just in time.
pub const BATCH_GRACE_MS: u64 = 10_000;
/// Batches of one sealer that may wait to be ordered, in this node's memory.
pub const WAITING_BATCHES_PER_SEALER_MAX: usize = 64;
/// Bytes of those batches.
pub const WAITING_BYTES_PER_SEALER_MAX: usize = 16 << 20;
/// Own batches that may wait before the batcher pauses; below the bound above, so that others never drop them.
pub const OWN_WAITING_BATCHES_MAX: usize = 32;
const _: () = assert!(OWN_WAITING_BATCHES_MAX < WAITING_BATCHES_PER_SEALER_MAX);
const _: () = assert!(
    OWN_WAITING_BATCHES_MAX * ledger::records::batch::BATCH_BYTES_MAX > WAITING_BYTES_PER_SEALER_MAX,
    "the byte bound, not the count, binds full batches"
);
/// Own batches that may wait while the base fee is above zero: what waits longer may find a base fee that it cannot pay, and then its bank
/// owes it.
pub const PRICED_BATCHES_MAX: usize = 6;
const _: () = assert!(PRICED_BATCHES_MAX < OWN_WAITING_BATCHES_MAX);
/// What is sealed can pay the base fee after so many more blocks like the last one.
pub const SEAL_AHEAD_BLOCKS: usize = 4;
/// While the base fee is above zero, what is sealed is valid for longer than this: what runs out before its block is charged to the sealer.
pub const SEAL_VALID_MS: u64 = 5_000;
/// So many blocks after the base fee was last above zero, the nonces of all valid batches are still kept up to date: a price that comes and goes
/// would have all of them collected again and again.
pub const HELD_BLOCKS: u64 = 64;
/// While the base fee is above zero, a bank whose turn with a transaction comes later waits so long beyond the pace of batches for each bank
/// before it: what a batch takes to another bank, and its signatures to be checked.
pub const FIRST_CLAIM_MARGIN_MS: u64 = 150;
/// Banks that are waited for, at most: with more than four, those far behind wait alike.
pub const FIRST_CLAIM_STEPS_MAX: u64 = 3;
/// Transactions that wait for another bank at a time; any more are sealed at once.
pub const FIRST_CLAIMS_MAX: usize = 16_384;
/// Acknowledgements of one validator remembered for batches that did not arrive yet.
pub const EARLY_ACKNOWLEDGEMENTS_PER_VALIDATOR_MAX: usize = 1_024;
/// Blocks kept in memory that are not final.
pub const OPEN_BLOCKS_MAX: usize = 512;
/// Digests of final blocks that are remembered: the engine asks again for views of its retention (256) at most.
pub const RECENT_FINAL_MAX: usize = 1_024;
/// An idle leader holds its proposal this long: below half the engine's leader timeout of 1 s.
pub const IDLE_HOLD_MS: u64 = 490;
/// A proposal whose time is this much later than a voter's clock allows is waited for: together with what an idle leader takes it leaves a
/// third of the engine's certification timeout of 1.5 s. One that is later still by its leader's clock alone is let go at once.
pub const EARLY_HOLD_MS: u64 = 500;
/// Pause before something that was asked of one peer is asked of another.
pub const FETCH_RETRY_MS: u64 = 250;
/// Grace before a missing batch or block is asked for: usually it is on its way.
pub const FETCH_GRACE_MS: u64 = 30;
/// Things asked for at one time.
pub const FETCHES_MAX: usize = 256;
/// Interval at which acknowledgements and results are repeated, because frames may be lost.
pub const REPEAT_MS: u64 = 500;
/// How long a validator that said something counts as heard.
pub const HEARD_WITHIN_MS: u64 = 10_000;
const _: () = assert!(HEARD_WITHIN_MS >= 10 * REPEAT_MS, "a few lost frames silence nobody");
/// Heights for which a validator's announced results are remembered.
pub const ANNOUNCEMENTS_PER_VALIDATOR_MAX: usize = 64;
/// Questions of the consensus engine that may be open.
pub const QUESTIONS_MAX: usize = 1_024;
/// Blocks in one answer to a node that catches up.
pub const SYNC_BLOCKS_MAX: usize = 256;
/// Bytes in one such answer.
pub const SYNC_BYTES_MAX: usize = 768 << 10;
/// Final blocks whose batches are fetched ahead of execution while catching up.
pub const SYNC_AHEAD_BLOCKS: usize = 16;
/// Final blocks that may wait for execution; catching up pauses above it.
pub const FINAL_BLOCKS_WAITING_MAX: usize = 1_024;
/// A node with more final blocks than this waiting for execution is catching up.
pub const CATCHING_UP_BLOCKS: usize = 8;
/// Batches asked for in one request.
pub const REQUEST_DIGESTS_MAX: usize = 64;
/// How long a peer that sent something provably wrong is not asked again, and a sealer of wrong signatures not listened to.
pub const DISTRUST_MS: u64 = 60_000;
/// Digests of invalid batches that are remembered.
pub const INVALID_BATCHES_MAX: usize = 1_024;
/// Bundles asked for in one request.
pub const REQUEST_BUNDLES_MAX: usize = 8;
/// Bundles of one source that wait to be ordered: so many of the own relay's, and so many of the peers'.
pub const BUNDLES_PER_SOURCE_MAX: usize = 8;
/// Bundles of one peer whose proofs are being checked; of the own relays so many for each source.
pub const BUNDLES_UNDER_CHECK_MAX: usize = 8;
/// Digests of invalid bundles that are remembered.
pub const INVALID_BUNDLES_MAX: usize = 256;
/// How much block time lies between two snapshots that a node keeps for joining ones, unless it is told otherwise.
pub const SNAPSHOT_EVERY_MS: u64 = 60_000;
/// Least and most that it may be told: below, a snapshot is gone before anybody has fetched it.
pub const SNAPSHOT_EVERY_MS_BOUNDS: (u64, u64) = (1_000, 3_600_000);
/// Snapshots that are held: one that is being fetched stays for a whole span.
pub const SNAPSHOTS_KEPT: usize = 2;
/// Bytes of a snapshot's manifest in one frame.
pub const PIECE_BYTES_MAX: usize = 512 << 10;
/// Chunks of a snapshot asked for in one request.
pub const REQUEST_CHUNKS_MAX: usize = 8;
/// A snapshot this far above is worth more than so many blocks, which are a page of final blocks each quarter; unless a node is told
/// otherwise.
pub const SNAPSHOT_BEHIND_BLOCKS: u64 = 1_024;
/// Least and most that it may be told.
pub const SNAPSHOT_BEHIND_BLOCKS_BOUNDS: (u64, u64) = (1, 1 << 32);
/// How long offers of snapshots are gathered, so that there are several sources.
pub const JOIN_OFFERS_MS: u64 = 500;
/// Interval at which peers are asked for their offers.
pub const JOIN_REPEAT_MS: u64 = 1_000;
/// How long an empty node waits for offers before it replays.
pub const JOIN_PATIENCE_MS: u64 = 10_000;
/// How long a source may take for what it was asked; after [`JOIN_TIMEOUTS_MAX`] such waits it is a source no longer.
pub const JOIN_ANSWER_MS: u64 = 2_000;
/// Unanswered requests in a row that end a source.
pub const JOIN_TIMEOUTS_MAX: u32 = 3;
/// How long one source may take for a whole manifest. Nothing is executed meanwhile, so whoever lies about a snapshot costs no more than this.
pub const JOIN_MANIFEST_MS: u64 = 30_000;
/// How long a begun snapshot waits for a source before another one is begun.
pub const JOIN_LOST_MS: u64 = 10_000;
/// Chunks that may wait for the disk.
pub const CHUNKS_UNWRITTEN_MAX: usize = 64;
/// Interval at which a joining chain looks at its clocks.
pub const JOIN_TICK_MS: u64 = 100;
/// Evidence records of one epoch, validator and kind kept on disk.
pub const EVIDENCE_PER_KIND_MAX: usize = 2;
/// Evidence records of one epoch kept on disk: room for the shares of every validator.
pub const EVIDENCE_MAX: usize = 1_024;

/// The chain as this node takes part in it.
#[derive(Debug, Clone)]
pub struct ChainConfig {
    /// The chain's rules after the newest executed height: network, parameters, registry.
    pub rules: ChainRules,
    /// The epoch whose validators decide.
    pub epoch: Epoch,
    /// This node.
    pub own_node: NodeIndex,
    /// This node's vote; `None` for an observer.
    pub own_validator: Option<ValidatorIndex>,
    /// Seals batches; the validator's consensus key.
    pub sealing_key: Option<SecretKey>,
    /// Joins by a snapshot where its store is empty and others are far ahead: verified with this spec. Must be there where a join was begun
    /// ([`crate::Archive::is_joining`]).
    pub join: Option<Arc<GenesisSpec>>,
    /// How far ahead of an empty store a snapshot must be to be worth it.
    pub snapshot_behind_blocks: u64,
    /// Every consensus key that this node has for the chain, such as the running one and the next: the epoch's set says which one
    /// it is.
    keys: Vec<SecretKey>,
}

impl ChainConfig {
    /// A node's part in the epoch that decides the height after `executed`, whose registry `rules` are made of.
    ///
    /// One of `keys` makes the node a validator if that epoch's set has it, for this node.
    #[must_use]
    pub fn after(rules: ChainRules, executed: Height, own_node: NodeIndex, keys: Vec<SecretKey>) -> Self {
        let epoch = rules.epoch_at(executed.next()).map_or(Epoch(0), |record| record.epoch);
        let mut config = Self {
            rules,
            epoch,
            own_node,
            own_validator: None,
            sealing_key: None,
            join: None,
            snapshot_behind_blocks: SNAPSHOT_BEHIND_BLOCKS,
            keys,
        };
        config.enter(epoch);
        config
    }

    /// A node's part in the first epoch of a chain.
    #[must_use]
    pub fn first_epoch(rules: ChainRules, own_node: NodeIndex, sealing_key: Option<SecretKey>) -> Self {
        Self::after(rules, Height(0), own_node, sealing_key.into_iter().collect())
    }

    /// Another epoch's set decides from now on.
    pub(crate) fn enter(&mut self, epoch: Epoch) {
        self.epoch = epoch;
        let seat = self.validators().iter().zip(0_u16..).find_map(|(validator, index)| {
            let is_own = |key: &&SecretKey| key.public_key() == validator.consensus_key;
            let key = self.keys.iter().find(is_own).filter(|_| validator.node == self.own_node)?;
            Some((ValidatorIndex(index), key.clone()))
        });
        (self.own_validator, self.sealing_key) = seat.unzip();
    }

    /// Whether this epoch's set has the key of another node's seat: two nodes with one key contradict each other.
    #[must_use]
    pub fn foreign_seat(&self) -> Option<NodeIndex> {
        let keys: Vec<_> = self.keys.iter().map(SecretKey::public_key).collect();
        let foreign = |validator: &&ValidatorRecord| {
            validator.node != self.own_node && keys.contains(&validator.consensus_key)
        };
        self.validators().iter().find(foreign).map(|validator| validator.node)
    }

    /// Least time between two batches of this node that are not full.
    #[must_use]
    pub const fn batch_pace_ms(&self) -> u64 {
        let block_pace_ms = self.rules.params.block_pace_ms;
        if block_pace_ms > BATCH_PACE_MS { block_pace_ms } else { BATCH_PACE_MS }
    }

    /// The last height of the epoch, once it is scheduled.
    #[must_use]
    pub fn last_height(&self) -> Option<Height> {
        self.rules.registry.epoch(self.rules.chain, self.epoch)?.last_height
    }

    /// The first height of the epoch.
    #[must_use]
    pub fn first_height(&self) -> Height {
        let record = self.rules.registry.epoch(self.rules.chain, self.epoch);
        record.map_or(Height(1), |record| record.first_height)
    }

    /// The epoch's validators.
    #[must_use]
    pub fn validators(&self) -> &[ValidatorRecord] {
        self.rules.registry.validators(self.rules.chain, self.epoch)
    }

    /// Votes that decide.
    #[must_use]
    pub fn quorum(&self) -> usize {
        quorum(self.validators().len())
    }

    /// Validators that may be faulty.
    #[must_use]
    pub fn faults_max(&self) -> usize {
        faults_max(self.validators().len())
    }

    /// The validator that a node runs on this chain.
    #[must_use]
    pub fn validator_of(&self, node: NodeIndex) -> Option<ValidatorIndex> {
        let position = self.validators().iter().position(|validator| validator.node == node)?;
        u16::try_from(position).ok().map(ValidatorIndex)
    }

    /// Every other node of the network, by index: each is given fresh data.
    pub fn peers(&self) -> impl Iterator<Item = NodeIndex> + '_ {
        let registry = &self.rules.registry;
        (0..u16::try_from(registry.nodes.len()).unwrap_or(u16::MAX))
            .map(NodeIndex)
            .filter(|node| *node != self.own_node && registry.is_peer(*node))
    }
}

#[cfg(test)]
mod tests {
    use genesis::dev::{LocalnetPlan, localnet};
    use ledger::values::ChainId;

    use super::*;

    #[test]
    fn batches_come_no_faster_than_blocks_and_never_faster_than_their_pace() {
        let spec = localnet(&LocalnetPlan::new(4), &[3; 32]).unwrap().spec;
        let mut rules = ChainRules::at_genesis(&spec, ChainId(0)).unwrap();
        let mut batch_pace_ms = |block_pace_ms: u64| {
            rules.params.block_pace_ms = block_pace_ms;
            ChainConfig::first_epoch(rules.clone(), NodeIndex(0), None).batch_pace_ms()
        };
        assert_eq!([1, 50, 51, 400].map(&mut batch_pace_ms), [50, 50, 51, 400]);
    }
}
