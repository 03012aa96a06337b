//! Bundles on their way: received, checked, ordered, stored with the block that names them.
//!
//! Rules:
//! - A bundle is believed on its proof alone, whoever brings it: the node's own relay or a peer.
//! - The rules of a block's claim decide on its bundles. What a bundle is valid by is the newest epoch of its source that they know: so it
//!   is checked once, by the rules that know the epoch it is made for, and stands or falls with others by that number. One that is made
//!   for an epoch not known yet, or over, is nobody's fault: it is passed by.
//! - It reaches the disk with a block: in the row of a proposal that a vote waits for ([`ProposalRow`](crate::rows::ProposalRow)), which is
//!   deleted when a block of that height is executed; by itself in the executor's write, with the final block that names it. So what lost,
//!   or came for receipts that another bundle brought, leaves the disk with the proposals that named it, and no crash keeps it.
//! - What waits of one source is bounded, the own relay's and the peers' apart. Of those that begin at one receipt the longest is kept. Full,
//!   the furthest of whoever brought most leaves, so nobody crowds others out. Those that begin at the next receipt or before it are near
//!   alike, and of them the furthest is the one that brings least: so the longest of them always finds room.
//! - A child that is being filled takes receipts of its parent and of the root chain only ([`ChainRules::takes_from`]): a leader orders no
//!   others, and those of others are not checked.
//! - A leader orders what follows from the executed receipts on; what a bundle shows of the receipts before them is skipped. Whether the next
//!   receipt is in a bundle is decided by execution, so a leader that is wrong wastes room in its block.
//! - Its proof is checked beside the chain, like the signatures of batches. What is being checked is bounded for each who brings it, so whoever
//!   brings garbage takes nobody's place.
//! - A bundle leaves memory when its block is executed, or when its receipts came in another one, unless an open block names it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use ledger::records::{BlockBody, Bundle, Counter};
use ledger::rules::{BundleFacts, ChainRules, check_bundle};
use ledger::values::{BundleDigest, Canonical as _, ChainId, Epoch, Height, NodeIndex};

use crate::chain::Chain;
use crate::config::{BUNDLES_PER_SOURCE_MAX, BUNDLES_UNDER_CHECK_MAX, INVALID_BUNDLES_MAX};
use crate::rules::epoch_of;
use crate::step::{Effect, Now, Report, Room};

/// A bundle in memory: valid.
#[derive(Debug, Clone)]
pub(crate) struct KnownBundle {
    pub(crate) bundle: Arc<Bundle>,
    pub(crate) facts: BundleFacts,
    pub(crate) bytes: Bytes,
    /// Who brought it; `None` for this node's own relay.
    from: Option<NodeIndex>,
}

/// How far away a bundle is: from which receipt on it is of use, then how little it brings.
type Remoteness = (u64, Reverse<u64>);

/// A bundle among those that share the room of a source.
struct Rival {
    from: Option<NodeIndex>,
    remoteness: Remoteness,
    digest: BundleDigest,
}

impl KnownBundle {
    /// Whether this node's own relay made it.
    const fn is_own(&self) -> bool {
        self.from.is_none()
    }

    /// What has been received after its last receipt.
    fn until(&self) -> Counter {
        let start = Counter { count: self.bundle.before.count, total: self.bundle.total_before };
        self.bundle
            .receipts
            .iter()
            .fold(start, |counter, receipt| counter.plus(receipt.value()).unwrap_or(counter))
    }
}

/// A bundle whose proof is being checked.
#[derive(Debug, Clone)]
struct UnderCheck {
    bundle: Arc<Bundle>,
    bytes: Bytes,
    /// Who brought it; `None` for this node's own relay.
    from: Option<NodeIndex>,
}

/// All bundles that are not executed yet, and how far each source has come.
#[derive(Debug, Default)]
pub(crate) struct Bundles {
    known: BTreeMap<BundleDigest, KnownBundle>,
    /// Where each begins.
    places: BTreeSet<(ChainId, u64, BundleDigest)>,
    invalid: BTreeSet<BundleDigest>,
    under_check: BTreeMap<BundleDigest, UnderCheck>,
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

    /// Whether asking for it brings nothing: it is invalid, or here and being checked.
    pub(crate) fn is_judged_or_will_be(&self, digest: &BundleDigest) -> bool {
        self.is_invalid(digest) || self.under_check.contains_key(digest)
    }

    /// Whether one more of those who brought it may be checked: a peer's share is for all sources together, that of the own relays for each.
    fn may_check(&self, source: ChainId, from: Option<NodeIndex>) -> bool {
        let is_of_share =
            |other: &&UnderCheck| other.from == from && (from.is_some() || other.bundle.source() == source);
        self.under_check.values().filter(is_of_share).count() < BUNDLES_UNDER_CHECK_MAX
    }

    fn received(&self, source: ChainId) -> Counter {
        self.received.get(&source).copied().unwrap_or_default()
    }

    /// Whether a bundle that nobody asked for brings anything new, also beside those that begin at the same receipt, and finds room. Asked before
    /// its proof is checked.
    fn is_welcome(&self, bundle: &Bundle, from: Option<NodeIndex>) -> bool {
        if bundle.receipts.is_empty() {
            // Changes of set alone.
            return self.has_place(bundle, from);
        }
        let received = self.received(bundle.source());
        let first = bundle.before.count;
        let until = first.saturating_add(bundle.receipts.len() as u64);
        let is_useless =
            until <= received.count || (first <= received.count && bundle.rest(received).is_none());
        let there = self.beginning_at(bundle.source(), first, from.is_none());
        let longest = there.map(|known| brings(&known.bundle)).max();
        if is_useless || longest.is_some_and(|longest| longest >= brings(bundle)) {
            return false;
        }
        // A longer one takes the place of those that begin with it.
        longest.is_some() || self.has_place(bundle, from)
    }

    /// Whether there is room for a bundle, or somebody who brought more than its bringer makes some, or one of those who brought most has one that
    /// is further away.
    fn has_place(&self, bundle: &Bundle, from: Option<NodeIndex>) -> bool {
        let rivals = self.rivals(bundle.source(), from.is_none(), &BTreeSet::new());
        if rivals.len() < BUNDLES_PER_SOURCE_MAX {
            return true;
        }
        let (source, first) = (bundle.source(), bundle.before.count);
        let remoteness = self.remoteness(source, first, bundle.receipts.len() as u64);
        let mut shares = shares(&rivals);
        let own = shares.entry(from).or_default();
        *own = own.saturating_add(1);
        let own = *own;
        let most = shares.values().copied().max().unwrap_or(own);
        let is_greedy = |rival: &Rival| shares.get(&rival.from) == Some(&most);
        own < most || rivals.iter().any(|rival| is_greedy(rival) && remoteness < rival.remoteness)
    }

    /// How far away a bundle of so many receipts is that begins at one. Changes of set alone are needed before all else.
    fn remoteness(&self, source: ChainId, first: u64, receipts: u64) -> Remoteness {
        if receipts == 0 {
            return (0, Reverse(u64::MAX));
        }
        (first.max(self.received(source).count), Reverse(first.saturating_add(receipts)))
    }

    /// What waits of a source, of this node's own relay or of the peers, and no block names.
    fn rivals(&self, source: ChainId, is_own: bool, named: &BTreeSet<BundleDigest>) -> Vec<Rival> {
        let from = (source, 0, BundleDigest([0; 32]));
        let until = (source, u64::MAX, BundleDigest([0xFF; 32]));
        let here = self.places.range(from..=until).filter_map(|(.., digest)| self.known.get(digest));
        let unnamed = here.filter(|known| known.is_own() == is_own && !named.contains(&known.facts.digest));
        let rival = |known: &KnownBundle| Rival {
            from: known.from,
            remoteness: self.remoteness(source, known.facts.first, u64::from(known.facts.receipts)),
            digest: known.facts.digest,
        };
        unnamed.map(rival).collect()
    }

    /// Those with receipts that begin at one.
    fn beginning_at(
        &self,
        source: ChainId,
        first: u64,
        is_own: bool,
    ) -> impl Iterator<Item = &KnownBundle> + '_ {
        let from = (source, first, BundleDigest([0; 32]));
        let until = (source, first, BundleDigest([0xFF; 32]));
        let here = self.places.range(from..=until).filter_map(|(.., digest)| self.known.get(digest));
        here.filter(move |known| known.is_own() == is_own && !known.bundle.receipts.is_empty())
    }

    /// Takes a bundle in; what begins with it and brings less, or is then too much of its source, leaves unless a block names it.
    fn insert(&mut self, known: KnownBundle, named: &BTreeSet<BundleDigest>) {
        let (source, is_own) = (known.facts.source, known.is_own());
        let beside = self.beginning_at(source, known.facts.first, is_own);
        let shorter: Vec<BundleDigest> = beside
            .filter(|other| brings(&other.bundle) < brings(&known.bundle))
            .map(|other| other.facts.digest)
            .filter(|digest| !named.contains(digest))
            .collect();
        for digest in &shorter {
            self.remove(digest);
        }
        self.places.insert((source, known.facts.first, known.facts.digest));
        self.known.insert(known.facts.digest, known);
        self.make_room(source, is_own, named);
    }

    fn make_room(&mut self, source: ChainId, is_own: bool, named: &BTreeSet<BundleDigest>) {
        let mut rivals = self.rivals(source, is_own, named);
        while rivals.len() > BUNDLES_PER_SOURCE_MAX {
            let Some(place) = leaving(&rivals) else { return };
            let rival = rivals.swap_remove(place);
            self.remove(&rival.digest);
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
    pub(crate) fn judge(&self, digest: &BundleDigest, rules: &ChainRules) -> Option<bool> {
        if self.is_invalid(digest) {
            return Some(false);
        }
        self.known.get(digest).map(|known| known.facts.stands(rules))
    }

    /// The newest rules have changed: what is not valid any more leaves, unless an open block names it.
    pub(crate) fn forget_stale(&mut self, rules: &ChainRules, named: &BTreeSet<BundleDigest>) {
        let is_stale =
            |known: &&KnownBundle| !known.facts.stands(rules) && !named.contains(&known.facts.digest);
        let stale: Vec<BundleDigest> =
            self.known.values().filter(is_stale).map(|known| known.facts.digest).collect();
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
            if known.bundle.rest(*next).is_some() {
                *next = known.until();
            }
        }
        // Their changes of set are not executed yet: what tells of the same once more would be for nothing.
        let changing: BTreeSet<ChainId> = ordered
            .iter()
            .filter_map(|digest| self.known.get(*digest))
            .filter(|known| !known.bundle.sets.is_empty())
            .map(|known| known.facts.source)
            .collect();
        let sources: BTreeSet<ChainId> = self.places.iter().map(|(source, ..)| *source).collect();
        let mut lines: Vec<Vec<&KnownBundle>> = Vec::with_capacity(sources.len());
        // What a child does not take yet would be passed over.
        let is_taken = |source: &ChainId| !self.unbacked.contains(source) && rules.takes_from(*source);
        for source in sources.into_iter().filter(is_taken) {
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
            if line.is_empty() && !changing.contains(&source) {
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
        self.known.values().find(|known| {
            let facts = &known.facts;
            let is_change = facts.source == source && facts.receipts == 0;
            is_change && facts.stands(rules) && !ordered.contains(&facts.digest)
        })
    }

    /// The valid bundle that leads furthest from there on and is not ordered yet.
    fn at(
        &self,
        rules: &ChainRules,
        source: ChainId,
        at: Counter,
        ordered: &BTreeSet<&BundleDigest>,
    ) -> Option<&KnownBundle> {
        let from = (source, 0, BundleDigest([0; 32]));
        let until = (source, at.count, BundleDigest([0xFF; 32]));
        let here = self.places.range(from..=until).filter_map(|(.., digest)| self.known.get(digest));
        let fits = |known: &&KnownBundle| {
            let facts = &known.facts;
            known.bundle.rest(at).is_some() && facts.stands(rules) && !ordered.contains(&facts.digest)
        };
        here.filter(fits).max_by_key(|known| known.facts.until())
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
            let is_old = facts.until() <= self.received(facts.source).count;
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

/// How many each has brought.
fn shares(rivals: &[Rival]) -> BTreeMap<Option<NodeIndex>, usize> {
    let mut shares: BTreeMap<Option<NodeIndex>, usize> = BTreeMap::new();
    for rival in rivals {
        let share = shares.entry(rival.from).or_default();
        *share = share.saturating_add(1);
    }
    shares
}

/// The place of the one that leaves first: the furthest of those who brought most.
fn leaving(rivals: &[Rival]) -> Option<usize> {
    let shares = shares(rivals);
    let most = shares.values().copied().max()?;
    let greedy = rivals.iter().enumerate().filter(|(_, rival)| shares.get(&rival.from) == Some(&most));
    greedy.max_by_key(|(_, rival)| (rival.remoteness, rival.digest)).map(|(place, _)| place)
}

/// How much a bundle brings, of those that begin at one receipt: receipts, then changes of set.
fn brings(bundle: &Bundle) -> (usize, usize) {
    (bundle.receipts.len(), bundle.sets.len())
}

impl Chain {
    /// A bundle came: from a peer, or from this node's own relay (`None`).
    pub(crate) fn bundle_arrived(&mut self, now: Now, from: Option<NodeIndex>, bytes: Bytes) {
        let Ok(bundle) = Bundle::decode(&bytes) else {
            self.blame(now, from, "a bundle that is not canonical");
            return;
        };
        let digest = bundle.digest(self.config.rules.genesis);
        if self.bundles.get(&digest).is_some() || self.bundles.is_judged_or_will_be(&digest) {
            return;
        }
        // The proof is checked for what is of use only: it costs a quorum of signatures.
        let is_of_use = self.config.rules.takes_from(bundle.source())
            && self.bundles.is_welcome(&bundle, from)
            && self.bundles.may_check(bundle.source(), from);
        if !(is_of_use || self.is_named(&digest)) {
            return;
        }
        let Some(rules) = self.rules_for(&bundle) else { return };
        let (bundle, rules) = (Arc::new(bundle), Box::new(rules));
        self.effects.push(Effect::CheckBundle { digest, rules, bundle: Arc::clone(&bundle) });
        self.bundles.under_check.insert(digest, UnderCheck { bundle, bytes, from });
    }

    /// A bundle's proof was checked.
    pub(crate) fn bundle_checked(&mut self, now: Now, digest: &BundleDigest, facts: Option<BundleFacts>) {
        let Some(UnderCheck { bundle, bytes, from }) = self.bundles.under_check.remove(digest) else {
            return;
        };
        let Some(facts) = facts else {
            self.bundles.judge_invalid(*digest);
            self.blame(now, from, "a bundle whose proof does not hold");
            return;
        };
        let named = self.named_bundles();
        // Meanwhile another may have brought the same receipts, or the source's set may have changed.
        let is_of_use = named.contains(digest)
            || (facts.stands(&self.config.rules) && self.bundles.is_welcome(&bundle, from));
        // It would have to be written with a block.
        if is_of_use && self.room != Room::None {
            self.bundles.insert(KnownBundle { bundle, facts, bytes, from }, &named);
        }
    }

    /// A bundle that was on disk beside a block that this node voted for.
    pub(crate) fn restore_bundle(&mut self, bundle: Bundle, bytes: Bytes) {
        let facts = self.rules_for(&bundle).and_then(|rules| check_bundle(&rules, &bundle).ok());
        if let Some(facts) = facts {
            let named = self.named_bundles();
            // Nobody's share is meant: a block names it.
            let from = Some(self.config.own_node);
            self.bundles.insert(KnownBundle { bundle: Arc::new(bundle), facts, bytes, from }, &named);
        }
    }

    /// The rules, among those that a block could still be judged by, that know just the epoch of its source which a bundle is made for.
    fn rules_for(&self, bundle: &Bundle) -> Option<ChainRules> {
        let meant = match bundle.sets.first() {
            Some(link) => Epoch(link.set.epoch.0.saturating_sub(1)),
            None => bundle.certified.header.epoch,
        };
        self.rules.all().find(|rules| epoch_of(rules, bundle.source()) == Some(meant)).cloned()
    }

    /// Bundles that some block which is not executed names.
    pub(crate) fn named_bundles(&self) -> BTreeSet<BundleDigest> {
        self.bundle_names().copied().collect()
    }

    /// Whether one is among them; said of every bundle that comes unasked, so nothing is collected.
    fn is_named(&self, digest: &BundleDigest) -> bool {
        self.bundle_names().any(|named| named == digest)
    }

    fn bundle_names(&self) -> impl Iterator<Item = &BundleDigest> {
        let open = self.tree.iter().map(|(_, open)| &open.block);
        let waiting = self.final_waiting.iter().map(|waiting| &waiting.block);
        open.chain(waiting).flat_map(|block| &block.body.bundles)
    }

    fn blame(&mut self, now: Now, from: Option<NodeIndex>, reason: &'static str) {
        match from {
            Some(node) => self.distrust(now, node, reason),
            // The own store says what is not true: somebody has to look.
            None => self.report(Report::Distrusted { node: self.config.own_node, reason }),
        }
    }
}
