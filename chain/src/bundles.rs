//! Bundles on their way: received, checked, ordered, stored with the block that names them.
//!
//! Rules:
//! - A bundle is believed on its proof alone, whoever brings it: the node's own relay or a peer.
//! - It is judged once for each epoch of its source that some block may still be judged by, because the rules of the block's claim
//!   decide. One whose certificate is of an epoch that is not known yet, or is over, is nobody's fault: it is passed by.
//! - It reaches the disk with a block: in the write that a vote waits for, or in the executor's.
//! - What waits of one source is bounded, the own relay's and the peers' apart. Full, the one that begins furthest away leaves, so one
//!   that begins at the next receipt always finds room.
//! - A leader orders what follows from the executed receipts on. Whether a bundle is the next one is decided by execution, so a leader that
//!   is wrong wastes room in its block.
//! - A bundle leaves memory when its block is executed, or when its receipts came in another one, unless an open block names it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use ledger::records::{BlockBody, Bundle, Counter};
use ledger::rules::{BundleFacts, ChainRules, check_bundle};
use ledger::values::{BundleDigest, Canonical as _, ChainId, Epoch, Height, NodeIndex};

use crate::chain::Chain;
use crate::config::{BUNDLES_PER_SOURCE_MAX, INVALID_BUNDLES_MAX};
use crate::rules::epoch_of;
use crate::step::{Now, Report, Room};

/// A bundle in memory: valid.
#[derive(Debug, Clone)]
pub(crate) struct KnownBundle {
    pub(crate) bundle: Arc<Bundle>,
    pub(crate) facts: BundleFacts,
    pub(crate) bytes: Bytes,
    /// Made by this node's own relay.
    is_own: bool,
    /// Whether it is valid where this is the newest known epoch of its source.
    judged: BTreeMap<Epoch, bool>,
}

impl KnownBundle {
    /// Whether it is valid by these rules, as far as it was judged.
    fn is_valid(&self, rules: &ChainRules) -> bool {
        epoch_of(rules, self.facts.source).is_some_and(|epoch| self.judged.get(&epoch) == Some(&true))
    }

    fn judge(&mut self, rules: &ChainRules) -> bool {
        let Some(epoch) = epoch_of(rules, self.facts.source) else { return false };
        if let Some(verdict) = self.judged.get(&epoch) {
            return *verdict;
        }
        let verdict = check_bundle(rules, &self.bundle).is_ok();
        // Epochs only rise: the oldest verdict is the first that nobody needs.
        if self.judged.len() >= VERDICTS_MAX {
            self.judged.pop_first();
        }
        self.judged.insert(epoch, verdict);
        verdict
    }

    /// What was received before its first receipt.
    fn before(&self) -> Counter {
        Counter { count: self.bundle.before.count, total: self.bundle.total_before }
    }

    /// What has been received after its last one.
    fn until(&self) -> Counter {
        let start = self.before();
        self.bundle
            .receipts
            .iter()
            .fold(start, |counter, receipt| counter.plus(receipt.value()).unwrap_or(counter))
    }
}

/// Verdicts kept of one bundle: more changes of a source's set than lie between the certified height and the newest.
const VERDICTS_MAX: usize = 4;

/// All bundles that are not executed yet, and how far each source has come.
#[derive(Debug, Default)]
pub(crate) struct Bundles {
    known: BTreeMap<BundleDigest, KnownBundle>,
    /// Where each begins.
    places: BTreeSet<(ChainId, u64, BundleDigest)>,
    invalid: BTreeSet<BundleDigest>,
    /// Receipts executed, per source.
    received: BTreeMap<ChainId, Counter>,
    /// Sources whose next receipts carry more money than can exist: nothing of them is proposed until that changes.
    unbacked: BTreeSet<ChainId>,
}

impl Bundles {
    pub(crate) fn new(received: impl IntoIterator<Item = (ChainId, Counter)>) -> Self {
        Self { received: received.into_iter().collect(), ..Self::default() }
    }

    pub(crate) fn get(&self, digest: &BundleDigest) -> Option<&KnownBundle> {
        self.known.get(digest)
    }

    pub(crate) fn is_invalid(&self, digest: &BundleDigest) -> bool {
        self.invalid.contains(digest)
    }

    fn received(&self, source: ChainId) -> Counter {
        self.received.get(&source).copied().unwrap_or_default()
    }

    /// Whether a bundle that nobody asked for brings anything new, and begins nearer than one of those that wait. Asked before its
    /// proof is checked.
    fn is_welcome(&self, bundle: &Bundle, is_own: bool, known: Epoch) -> bool {
        let received = self.received(bundle.source());
        let first = bundle.before.count;
        let until = first.saturating_add(bundle.receipts.len() as u64);
        let is_change = bundle.newest_set().is_some_and(|set| set.epoch > known);
        if bundle.receipts.is_empty() {
            return is_change && self.waiting(bundle.source(), is_own) < BUNDLES_PER_SOURCE_MAX;
        }
        let is_useless = until <= received.count
            || (first == received.count && bundle.total_before != received.total)
            || first < received.count;
        !is_useless
            && (self.waiting(bundle.source(), is_own) < BUNDLES_PER_SOURCE_MAX
                || self.furthest(bundle.source(), is_own, &BTreeSet::new()).is_some_and(|(at, _)| first < at))
    }

    fn of(&self, source: ChainId, is_own: bool) -> impl DoubleEndedIterator<Item = (u64, BundleDigest)> + '_ {
        let from = (source, 0, BundleDigest([0; 32]));
        let until = (source, u64::MAX, BundleDigest([0xFF; 32]));
        self.places
            .range(from..=until)
            .filter(move |(.., digest)| self.known.get(digest).is_some_and(|known| known.is_own == is_own))
            .map(|(_, first, digest)| (*first, *digest))
    }

    fn waiting(&self, source: ChainId, is_own: bool) -> usize {
        self.of(source, is_own).count()
    }

    /// The one that begins furthest away, of those that no block names.
    fn furthest(
        &self,
        source: ChainId,
        is_own: bool,
        named: &BTreeSet<BundleDigest>,
    ) -> Option<(u64, BundleDigest)> {
        self.of(source, is_own).rev().find(|(_, digest)| !named.contains(digest))
    }

    /// Takes a bundle in; what is then too much of its source, and named by nobody, leaves.
    fn insert(&mut self, known: KnownBundle, named: &BTreeSet<BundleDigest>) {
        let (source, is_own) = (known.facts.source, known.is_own);
        self.places.insert((source, known.facts.first, known.facts.digest));
        self.known.insert(known.facts.digest, known);
        self.make_room(source, is_own, named);
    }

    fn make_room(&mut self, source: ChainId, is_own: bool, named: &BTreeSet<BundleDigest>) {
        while self.of(source, is_own).filter(|(_, digest)| !named.contains(digest)).count()
            > BUNDLES_PER_SOURCE_MAX
        {
            let Some((_, digest)) = self.furthest(source, is_own, named) else { return };
            self.remove(&digest);
        }
    }

    fn remove(&mut self, digest: &BundleDigest) {
        if let Some(known) = self.known.remove(digest) {
            self.places.remove(&(known.facts.source, known.facts.first, *digest));
        }
    }

    fn judge_invalid(&mut self, digest: BundleDigest) {
        if self.invalid.len() >= INVALID_BUNDLES_MAX {
            self.invalid.pop_first();
        }
        self.invalid.insert(digest);
    }

    /// Whether a bundle is valid by these rules; `None` where it is not here.
    pub(crate) fn judge(&mut self, digest: &BundleDigest, rules: &ChainRules) -> Option<bool> {
        if self.invalid.contains(digest) {
            return Some(false);
        }
        self.known.get_mut(digest).map(|known| known.judge(rules))
    }

    /// Judges everything by these rules, where that was not done before.
    pub(crate) fn judge_all(&mut self, rules: &ChainRules) {
        for known in self.known.values_mut() {
            known.judge(rules);
        }
    }

    /// The newest rules have changed: what is not valid any more leaves, unless an open block names it.
    pub(crate) fn forget_stale(&mut self, rules: &ChainRules, named: &BTreeSet<BundleDigest>) {
        self.judge_all(rules);
        let is_stale = |known: &KnownBundle| !known.is_valid(rules) && !named.contains(&known.facts.digest);
        let stale: Vec<BundleDigest> =
            self.known.values().filter(|known| is_stale(known)).map(|known| known.facts.digest).collect();
        for digest in &stale {
            self.remove(digest);
        }
    }

    /// Bundles to order at `height` by these rules, after blocks with these bodies: one of each source, then the next of each, and so
    /// on, beginning with another source at each height. Those of a source follow one another.
    pub(crate) fn next<'a>(
        &'a self,
        rules: &ChainRules,
        height: Height,
        ancestors: &[&BlockBody],
    ) -> Vec<&'a KnownBundle> {
        let ordered: BTreeSet<&BundleDigest> = ancestors.iter().flat_map(|body| &body.bundles).collect();
        let mut received = self.received.clone();
        for known in
            ancestors.iter().flat_map(|body| &body.bundles).filter_map(|digest| self.known.get(digest))
        {
            let next = received.entry(known.facts.source).or_default();
            if known.before() == *next {
                *next = known.until();
            }
        }
        let sources: BTreeSet<ChainId> = self.places.iter().map(|(source, ..)| *source).collect();
        let mut lines: Vec<Vec<&KnownBundle>> = Vec::with_capacity(sources.len());
        for source in sources.into_iter().filter(|source| !self.unbacked.contains(source)) {
            let mut at = received.get(&source).copied().unwrap_or_default();
            let mut line = Vec::new();
            while let Some(known) = self.at(rules, source, at, &ordered) {
                at = known.until();
                line.push(known);
                if !known.bundle.sets.is_empty() {
                    // What follows a change of set is valid once that is executed.
                    break;
                }
            }
            if line.is_empty() {
                line.extend(self.change_of(rules, source, &ordered));
            }
            lines.push(line);
        }
        let turn = usize::try_from(height.0).unwrap_or(0).checked_rem(lines.len()).unwrap_or(0);
        lines.rotate_left(turn);
        let longest = lines.iter().map(Vec::len).max().unwrap_or(0);
        (0..longest).flat_map(|place| lines.iter().filter_map(move |line| line.get(place).copied())).collect()
    }

    /// A valid bundle that carries nothing but changes of set and is not ordered yet.
    fn change_of(
        &self,
        rules: &ChainRules,
        source: ChainId,
        ordered: &BTreeSet<&BundleDigest>,
    ) -> Option<&KnownBundle> {
        let fits = |known: &&KnownBundle| {
            let facts = &known.facts;
            facts.source == source && facts.receipts == 0 && known.is_valid(rules)
        };
        self.known.values().filter(fits).find(|known| !ordered.contains(&known.facts.digest))
    }

    /// The longest valid bundle that begins just there and is not ordered yet.
    fn at(
        &self,
        rules: &ChainRules,
        source: ChainId,
        at: Counter,
        ordered: &BTreeSet<&BundleDigest>,
    ) -> Option<&KnownBundle> {
        let from = (source, at.count, BundleDigest([0; 32]));
        let until = (source, at.count, BundleDigest([0xFF; 32]));
        let here = self.places.range(from..=until).filter_map(|(.., digest)| self.known.get(digest));
        let fits = |known: &&KnownBundle| {
            let facts = &known.facts;
            let is_next = known.before() == at && facts.receipts > 0;
            is_next && known.is_valid(rules) && !ordered.contains(&facts.digest)
        };
        here.filter(fits).max_by_key(|known| known.facts.receipts)
    }

    /// A block was executed: its bundles are done, and so is whatever brings nothing new, unless an open block names it.
    pub(crate) fn executed(
        &mut self,
        received: &[(ChainId, Counter)],
        unbacked: &[ChainId],
        bundles: &[BundleDigest],
        named: &BTreeSet<BundleDigest>,
    ) {
        for (source, counter) in received {
            if self.received.insert(*source, *counter) != Some(*counter) {
                self.unbacked.remove(source);
            }
        }
        self.unbacked.extend(unbacked);
        let is_done = |known: &KnownBundle| {
            let facts = &known.facts;
            let is_old = facts.first < self.received(facts.source).count;
            bundles.contains(&facts.digest) || (is_old && facts.receipts > 0)
        };
        let done: Vec<BundleDigest> = self
            .known
            .iter()
            .filter(|(digest, known)| is_done(known) && !named.contains(*digest))
            .map(|(digest, _)| *digest)
            .collect();
        for digest in &done {
            self.remove(digest);
        }
        // What an open block named stayed beyond the room of its source.
        let sources: BTreeSet<ChainId> = self.places.iter().map(|(source, ..)| *source).collect();
        for source in sources {
            self.make_room(source, true, named);
            self.make_room(source, false, named);
        }
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
        if self.bundles.get(&digest).is_some() || self.bundles.is_invalid(&digest) {
            return;
        }
        let named = self.named_bundles();
        let is_own = from.is_none();
        let Some(known) = epoch_of(&self.config.rules, bundle.source()) else {
            self.bundles.judge_invalid(digest);
            self.blame(now, from, "a bundle of a chain that does not exist");
            return;
        };
        // The proof is checked for what is of use only: it costs a quorum of signatures.
        if !(named.contains(&digest) || self.bundles.is_welcome(&bundle, is_own, known)) {
            return;
        }
        let Judged { facts, judged, is_wrong } = self.judge_bundle(&bundle);
        let Some(facts) = facts else {
            if is_wrong {
                self.bundles.judge_invalid(digest);
                self.blame(now, from, "a bundle whose proof does not hold");
            }
            return;
        };
        // It would have to be written with a block.
        if self.room != Room::None {
            let known = KnownBundle { bundle: Arc::new(bundle), facts, bytes, is_own, judged };
            self.bundles.insert(known, &named);
        }
    }

    /// A bundle that was on disk beside a block that this node voted for.
    pub(crate) fn restore_bundle(&mut self, bundle: Bundle, bytes: Bytes) {
        let Judged { facts, judged, .. } = self.judge_bundle(&bundle);
        if let Some(facts) = facts {
            let named = self.named_bundles();
            let known = KnownBundle { bundle: Arc::new(bundle), facts, bytes, is_own: false, judged };
            self.bundles.insert(known, &named);
        }
    }

    /// Judges a bundle by all rules that a block could still be judged by, the newest first, until it is valid.
    fn judge_bundle(&self, bundle: &Bundle) -> Judged {
        let (mut judged, mut is_wrong) = (BTreeMap::new(), false);
        for rules in self.rules.all() {
            let Some(epoch) = epoch_of(rules, bundle.source()).filter(|epoch| !judged.contains_key(epoch))
            else {
                continue;
            };
            match check_bundle(rules, bundle) {
                Ok(facts) => {
                    judged.insert(epoch, true);
                    return Judged { facts: Some(facts), judged, is_wrong: false };
                }
                Err(_) => {
                    judged.insert(epoch, false);
                    is_wrong |= begins_at(bundle, epoch);
                }
            }
        }
        Judged { facts: None, judged, is_wrong }
    }

    /// Bundles that some block which is not executed names.
    pub(crate) fn named_bundles(&self) -> BTreeSet<BundleDigest> {
        let open = self.tree.iter().map(|(_, open)| &open.block);
        let waiting = self.final_waiting.iter().map(|waiting| &waiting.block);
        open.chain(waiting).flat_map(|block| block.body.bundles.iter().copied()).collect()
    }

    fn blame(&mut self, now: Now, from: Option<NodeIndex>, reason: &'static str) {
        match from {
            Some(node) => self.distrust(now, node, reason),
            // The own store says what is not true: somebody has to look.
            None => self.report(Report::Distrusted { node: self.config.own_node, reason }),
        }
    }
}

/// What was found of a bundle.
struct Judged {
    /// `None` where it is not valid.
    facts: Option<BundleFacts>,
    /// By newest known epoch of its source.
    judged: BTreeMap<Epoch, bool>,
    /// Whether it is not valid although it was made for what is known here: so it never is.
    is_wrong: bool,
}

/// Whether a bundle is meant for a destination that knows this epoch of its source.
fn begins_at(bundle: &Bundle, known: Epoch) -> bool {
    match bundle.sets.first() {
        Some(link) => link.set.epoch.0 == known.0.saturating_add(1),
        None => bundle.certified.header.epoch == known,
    }
}
