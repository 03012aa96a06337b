//! Bundles on their way: received, checked, stored, ordered.
//!
//! Rules:
//! - A bundle is believed on its proof alone, whoever brings it: the node's own relay or a peer.
//! - What waits of one source is bounded; a bundle that a block names is let in beyond that, because the naming is bounded.
//! - A leader orders bundles that follow one another; whether they are the next ones is decided by execution, so a leader that is
//!   wrong wastes room and nothing else.
//! - A bundle leaves memory when its block is executed, or when its receipts came in another one and nothing open names it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use ledger::records::{BlockBody, Bundle};
use ledger::rules::{BundleFacts, check_bundle};
use ledger::values::{BundleDigest, Canonical as _, ChainId, NodeIndex};
use storage::{Durability, Table, WriteSet};

use crate::chain::Chain;
use crate::config::{BUNDLES_PER_SOURCE_MAX, INVALID_BUNDLES_MAX};
use crate::step::{Effect, Now, Room};

/// A bundle in memory: valid.
#[derive(Debug, Clone)]
pub(crate) struct KnownBundle {
    pub(crate) bundle: Arc<Bundle>,
    pub(crate) facts: BundleFacts,
    pub(crate) bytes: Bytes,
}

impl KnownBundle {
    /// One above the number of its last receipt.
    fn until(&self) -> u64 {
        self.facts.first.saturating_add(u64::from(self.facts.receipts))
    }
}

/// All bundles that are not executed yet, and how far each source has come.
#[derive(Debug, Default)]
pub(crate) struct Bundles {
    known: BTreeMap<BundleDigest, KnownBundle>,
    invalid: BTreeSet<BundleDigest>,
    /// Receipts executed, per source.
    received: BTreeMap<ChainId, u64>,
}

impl Bundles {
    pub(crate) fn new(received: impl IntoIterator<Item = (ChainId, u64)>) -> Self {
        Self { received: received.into_iter().collect(), ..Self::default() }
    }

    pub(crate) fn get(&self, digest: &BundleDigest) -> Option<&KnownBundle> {
        self.known.get(digest)
    }

    pub(crate) fn is_invalid(&self, digest: &BundleDigest) -> bool {
        self.invalid.contains(digest)
    }

    fn received(&self, source: ChainId) -> u64 {
        self.received.get(&source).copied().unwrap_or(0)
    }

    /// Whether a bundle that nobody asked for is worth keeping: it goes further than what was executed, and its source has room.
    fn is_welcome(&self, known: &KnownBundle) -> bool {
        let source = known.facts.source;
        let waiting = self.known.values().filter(|other| other.facts.source == source).count();
        known.until() > self.received(source) && waiting < BUNDLES_PER_SOURCE_MAX
    }

    fn insert(&mut self, known: KnownBundle) {
        self.known.insert(known.facts.digest, known);
    }

    fn judge_invalid(&mut self, digest: BundleDigest) {
        if self.invalid.len() >= INVALID_BUNDLES_MAX {
            self.invalid.pop_first();
        }
        self.invalid.insert(digest);
    }

    /// Bundles to order after blocks with these bodies, each following the one before of its source.
    pub(crate) fn next<'a>(&'a self, ancestors: &[&BlockBody]) -> Vec<&'a KnownBundle> {
        let mut received = self.received.clone();
        for known in
            ancestors.iter().flat_map(|body| &body.bundles).filter_map(|digest| self.known.get(digest))
        {
            let next = received.entry(known.facts.source).or_default();
            if known.facts.first == *next {
                *next = known.until();
            }
        }
        let mut following = Vec::new();
        let sources: BTreeSet<ChainId> = self.known.values().map(|known| known.facts.source).collect();
        for source in sources {
            let mut at = received.get(&source).copied().unwrap_or(0);
            let next = |at: u64| {
                let fits = |known: &&KnownBundle| known.facts.source == source && known.facts.first == at;
                self.known.values().filter(fits).max_by_key(|known| known.facts.receipts)
            };
            while let Some(known) = next(at) {
                at = known.until();
                following.push(known);
            }
        }
        following
    }

    /// A block was executed: its bundles are done, and so is whatever brings nothing new and nobody names. Answers what may leave
    /// the disk.
    pub(crate) fn executed(
        &mut self,
        bundles: &[BundleDigest],
        received: &[(ChainId, u64)],
        named: &BTreeSet<BundleDigest>,
    ) -> Vec<BundleDigest> {
        self.received.extend(received.iter().copied());
        for digest in bundles {
            self.known.remove(digest);
        }
        let done = |known: &KnownBundle| known.until() <= self.received(known.facts.source);
        let stale: Vec<BundleDigest> = self
            .known
            .iter()
            .filter(|(digest, known)| done(known) && !named.contains(*digest))
            .map(|(digest, _)| *digest)
            .collect();
        for digest in &stale {
            self.known.remove(digest);
        }
        stale
    }

    /// Bundles in memory.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }
}

impl Chain {
    /// A bundle came: from a peer, or from this node's own relay (`None`).
    pub(crate) fn bundle_arrived(&mut self, now: Now, from: Option<NodeIndex>, bytes: Bytes) {
        let Ok(bundle) = Bundle::decode(&bytes) else {
            self.blame(now, from, "a bundle that is not canonical");
            return;
        };
        let digest = bundle.digest(self.config.rules.genesis);
        let is_wanted = self.fetches.wants_bundle(&digest);
        if self.bundles.get(&digest).is_some() || self.bundles.is_invalid(&digest) {
            return;
        }
        let Ok(facts) = check_bundle(&self.config.rules, &bundle) else {
            self.bundles.judge_invalid(digest);
            self.blame(now, from, "a bundle whose proof does not hold");
            return;
        };
        let known = KnownBundle { bundle: Arc::new(bundle), facts, bytes };
        // To be written, like everything that a vote will stand on.
        if self.room == Room::None || !(is_wanted || self.bundles.is_welcome(&known)) {
            return;
        }
        let mut set = WriteSet::new();
        set.put(Table::Bundles, digest.0, known.bytes.to_vec());
        self.effects.push(Effect::Persist { set, durability: Durability::Buffered, then: None });
        self.bundles.insert(known);
    }

    /// A bundle that was on disk beside a block that this node voted for.
    pub(crate) fn restore_bundle(&mut self, bundle: Bundle, bytes: Bytes) {
        if let Ok(facts) = check_bundle(&self.config.rules, &bundle) {
            self.bundles.insert(KnownBundle { bundle: Arc::new(bundle), facts, bytes });
        }
    }

    /// Bundles that some block which is not executed names.
    pub(crate) fn named_bundles(&self) -> BTreeSet<BundleDigest> {
        let open = self.tree.iter().map(|(_, open)| &open.block);
        let waiting = self.final_waiting.iter().map(|waiting| &waiting.block);
        open.chain(waiting).flat_map(|block| block.body.bundles.iter().copied()).collect()
    }

    fn blame(&mut self, now: Now, from: Option<NodeIndex>, reason: &'static str) {
        if let Some(node) = from {
            self.distrust(now, node, reason);
        }
    }
}
