//! What is missing, and whom to ask.
//!
//! - Single blocks and batches that a question or a final path names are asked for by digest, one peer after another; each
//!   new want begins with another peer, so a slow or lying one delays only its part.
//! - A node that is behind asks for final blocks by height; an answer must extend this node's own final tip, link by
//!   link, and end in a block with a valid certificate of the epoch's set, as far as this node has executed. Anything else costs the
//!   sender its trust for a while; but a page of an epoch whose set is not executed yet is asked for again later.
//! - A peer that has pruned what it is asked for says so, and the others are asked first from then on. Where more peers do than may lie, and nobody gives a
//!   page for [`PRUNED_TOLD_MS`], this node cannot catch up by blocks: its operator is told ([`crate::ChainStatus::pruned_below`]), and it goes on asking.
//! - Everything is bounded: things asked for, answers served per peer (from memory too), blocks and batches ahead of
//!   execution. Batches and pages of final blocks take the lane of catching up, never that of fresh ones. A block asked
//!   for by its digest takes the lane of blocks: a vote may wait for it, and votes are never behind bulk. Of each, a peer
//!   gets one answer at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use ledger::proofs::{FinalityProof, verify_finality};
use ledger::records::{Block, BlockBody};
use ledger::values::{BatchDigest, BlockDigest, BundleDigest, Canonical, Epoch, Height, NodeIndex};

use crate::chain::Chain;
use crate::config::{
    CATCHING_UP_BLOCKS, ChainConfig, DISTRUST_MS, FETCH_GRACE_MS, FETCH_RETRY_MS, FETCHES_MAX,
    FINAL_BLOCKS_WAITING_MAX, REQUEST_BUNDLES_MAX, REQUEST_DIGESTS_MAX, SYNC_AHEAD_BLOCKS,
};
use crate::frame::{BundleDigests, Digests, FinalBlocks, Frame, Lane};
use crate::step::{Effect, Now, Question, Report, Request, Room};
use crate::tree::Gap;

/// So long no page may come before peers' words that they have pruned it are told. Many times the pause between two questions: one that keeps all
/// may be the last to be asked.
pub(crate) const PRUNED_TOLD_MS: u64 = 10_000;
/// Peers that have pruned the next blocks are asked for them at every so many attempts.
const PRUNED_ASKED_EVERY: usize = 4;

/// Something to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Want {
    Batch(BatchDigest),
    Bundle(BundleDigest),
    Block(BlockDigest),
    /// Final blocks above the own final tip.
    FinalBlocks,
}

impl Want {
    /// Whether it is answered on the lane of catching up.
    const fn is_bulk(&self) -> bool {
        matches!(self, Self::Batch(_) | Self::FinalBlocks)
    }
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    next_ms: u64,
    attempts: usize,
}

/// What was asked for and when to ask again.
#[derive(Debug, Default)]
pub(crate) struct Fetches {
    asked: BTreeMap<Want, Asked>,
    /// Where the attempts of new wants begin, so that no peer is the first to be asked for ever.
    first: usize,
    /// Peers that owe an answer on the lane of catching up: each gives one at a time, and would not hear another question.
    owing: BTreeMap<NodeIndex, Owed>,
}

/// What a peer was asked for on the lane of catching up.
#[derive(Debug)]
struct Owed {
    /// Not here yet.
    left: BTreeSet<Want>,
    /// From then on nothing is expected of it any more.
    until_ms: u64,
}

impl Fetches {
    pub(crate) fn wants_batch(&self, digest: &BatchDigest) -> bool {
        self.asked.contains_key(&Want::Batch(*digest))
    }

    /// When something is to be asked; what only a busy peer could answer waits for it.
    pub(crate) fn due(&self, peers: &Peers, now_ms: u64) -> Option<u64> {
        let idle_ms = self.idle_ms(peers, now_ms);
        let due = |(want, asked): (&Want, &Asked)| {
            if want.is_bulk() { asked.next_ms.max(idle_ms) } else { asked.next_ms }
        };
        self.asked.iter().map(due).min()
    }

    /// When a peer can be asked on the lane of catching up.
    fn idle_ms(&self, peers: &Peers, now_ms: u64) -> u64 {
        let idle = |peer: NodeIndex| self.owing.get(&peer).map_or(0, |owed| owed.until_ms);
        peers.candidates(now_ms).into_iter().map(idle).min().unwrap_or(now_ms.saturating_add(FETCH_RETRY_MS))
    }

    fn is_idle(&self, peer: NodeIndex, now_ms: u64) -> bool {
        self.owing.get(&peer).is_none_or(|owed| owed.until_ms <= now_ms)
    }

    /// A peer was asked for these.
    fn owes(&mut self, peer: NodeIndex, left: impl IntoIterator<Item = Want>, now_ms: u64) {
        let owed = Owed { left: left.into_iter().collect(), until_ms: now_ms.saturating_add(FETCH_RETRY_MS) };
        self.owing.insert(peer, owed);
    }

    /// A peer gave what it was asked for, right or wrong.
    pub(crate) fn gave(&mut self, peer: NodeIndex, want: Want) {
        if let Some(owed) = self.owing.get_mut(&peer) {
            owed.left.remove(&want);
            if owed.left.is_empty() {
                self.owing.remove(&peer);
            }
        }
    }

    /// Nobody could be asked for it: as if it had not been due.
    fn put_back(&mut self, want: &Want, now_ms: u64) {
        if let Some(asked) = self.asked.get_mut(want) {
            asked.attempts = asked.attempts.wrapping_sub(1);
            asked.next_ms = now_ms;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.asked.len()
    }

    /// Keeps what is still wanted, adds what is new, to be asked for after a grace, and answers what is due, with the attempt's number. What is new at one
    /// time begins with one number, so it goes to one peer; what is new later, with the next.
    fn reconcile(&mut self, wanted: &BTreeSet<Want>, now_ms: u64, grace_ms: u64) -> Vec<(Want, usize)> {
        self.asked.retain(|want, _| wanted.contains(want));
        let before = self.asked.len();
        for want in wanted {
            if self.asked.len() >= FETCHES_MAX {
                break;
            }
            let first = if *want == Want::FinalBlocks { now_ms } else { now_ms.saturating_add(grace_ms) };
            self.asked.entry(*want).or_insert(Asked { next_ms: first, attempts: self.first });
        }
        if self.asked.len() > before {
            self.first = self.first.wrapping_add(1);
        }
        let mut due = Vec::new();
        for (want, asked) in &mut self.asked {
            if asked.next_ms <= now_ms {
                due.push((*want, asked.attempts));
                asked.attempts = asked.attempts.wrapping_add(1);
                asked.next_ms = now_ms.saturating_add(FETCH_RETRY_MS);
            }
        }
        due
    }

    /// An answer came: ask for the next page at once.
    fn answered(&mut self, want: Want) {
        self.asked.remove(&want);
    }
}

/// The other nodes, and whom not to trust for now.
#[derive(Debug)]
pub(crate) struct Peers {
    nodes: Vec<NodeIndex>,
    distrusted_until_ms: BTreeMap<NodeIndex, u64>,
    /// The lowest height of those that have pruned what this node needs next, by their own word.
    pruned_below: BTreeMap<NodeIndex, Height>,
    /// When the first of them said so since the last page.
    pruned_since_ms: Option<u64>,
    /// Whether the operator was told.
    is_pruned_told: bool,
    own: usize,
}

impl Peers {
    pub(crate) fn new(config: &ChainConfig) -> Self {
        let own = usize::from(config.own_node.0);
        let (distrusted_until_ms, pruned_below) = (BTreeMap::new(), BTreeMap::new());
        let (pruned_since_ms, is_pruned_told) = (None, false);
        Self { nodes: hosts(config), distrusted_until_ms, pruned_below, pruned_since_ms, is_pruned_told, own }
    }

    /// Other validators hold the chain's data from now on.
    pub(crate) fn reseat(&mut self, config: &ChainConfig) {
        self.nodes = hosts(config);
        self.distrusted_until_ms.retain(|node, _| self.nodes.contains(node));
        self.pruned_below.retain(|node, _| self.nodes.contains(node));
    }

    /// A peer has pruned what this node needs next. Whether the operator is to be told now: `faults_max` may lie.
    fn has_pruned(&mut self, node: NodeIndex, below: Height, now_ms: u64, faults_max: usize) -> bool {
        if self.nodes.contains(&node) {
            self.pruned_below.insert(node, below);
        }
        let since_ms = *self.pruned_since_ms.get_or_insert(now_ms);
        let was_told = self.is_pruned_told;
        self.is_pruned_told |=
            self.pruned_below.len() > faults_max && now_ms.saturating_sub(since_ms) >= PRUNED_TOLD_MS;
        self.is_pruned_told && !was_told
    }

    /// This peer gave a page, and this height is next. Who has pruned that is still asked last.
    fn goes_on(&mut self, from: NodeIndex, next: Height) {
        self.pruned_below.remove(&from);
        self.pruned_below.retain(|_, below| *below > next);
        (self.pruned_since_ms, self.is_pruned_told) = (None, false);
    }

    /// The lowest height that one of those holds who have pruned what is needed next, once the operator was told.
    pub(crate) fn pruned_below(&self) -> Option<Height> {
        self.pruned_below.values().min().copied().filter(|_| self.is_pruned_told)
    }

    /// Whether a peer is worth asking for the next final blocks at this attempt: one that has pruned them is at every fourth, because what it
    /// said may be of another question.
    fn may_have_next(&self, node: NodeIndex, attempt: usize) -> bool {
        attempt.is_multiple_of(PRUNED_ASKED_EVERY) || !self.pruned_below.contains_key(&node)
    }

    pub(crate) fn distrust(&mut self, node: NodeIndex, now_ms: u64) {
        if self.nodes.contains(&node) {
            self.distrusted_until_ms.insert(node, now_ms.saturating_add(DISTRUST_MS));
        }
    }

    /// Those that may be asked now.
    pub(crate) fn trusted(&self, now_ms: u64) -> impl Iterator<Item = NodeIndex> + use<> {
        let is_trusted =
            |node: &NodeIndex| self.distrusted_until_ms.get(node).is_none_or(|until| *until <= now_ms);
        let trusted: Vec<NodeIndex> = self.nodes.iter().copied().filter(is_trusted).collect();
        trusted.into_iter()
    }

    /// The same; all of them while none is trusted.
    fn candidates(&self, now_ms: u64) -> Vec<NodeIndex> {
        let trusted: Vec<_> = self.trusted(now_ms).collect();
        if trusted.is_empty() { self.nodes.clone() } else { trusted }
    }

    /// The peer to ask at this attempt: another one each time.
    fn choose(&self, attempt: usize, now_ms: u64) -> Option<NodeIndex> {
        let candidates = self.candidates(now_ms);
        let position = self.own.wrapping_add(attempt).checked_rem(candidates.len())?;
        candidates.get(position).copied()
    }
}

/// Nodes that run a validator of this chain, in any epoch that is remembered, hold its data; observers ask them too.
fn hosts(config: &ChainConfig) -> Vec<NodeIndex> {
    let registry = &config.rules.registry;
    let epochs = registry.chain(config.rules.chain).map_or(&[] as &[_], |record| record.epochs.as_slice());
    let validators = epochs.iter().flat_map(|record| &record.validators).map(|validator| validator.node);
    let is_peer = |node: &NodeIndex| *node != config.own_node && registry.is_peer(*node);
    let nodes: BTreeSet<NodeIndex> = validators.filter(is_peer).collect();
    nodes.into_iter().collect()
}

impl Chain {
    /// Asks for what is missing.
    pub(crate) fn fetch(&mut self, now: Now) {
        let wanted = if self.room == Room::None { BTreeSet::new() } else { self.wanted(now) };
        let mut batches: BTreeMap<usize, Vec<BatchDigest>> = BTreeMap::new();
        let mut bundles: BTreeMap<usize, Vec<BundleDigest>> = BTreeMap::new();
        // Each of these is answered on a lane of its own, so any peer may be asked for all; on one lane a peer gives one answer at a
        // time, so what would be a second request to it goes to the next peer.
        let mut asked_for_blocks = BTreeSet::new();
        // Far behind nothing is on its way by itself.
        let grace_ms = if self.is_catching_up() { 0 } else { FETCH_GRACE_MS };
        for (want, attempt) in self.fetches.reconcile(&wanted, now.elapsed_ms, grace_ms) {
            match want {
                Want::Batch(digest) => batches.entry(attempt).or_default().push(digest),
                Want::Bundle(digest) => bundles.entry(attempt).or_default().push(digest),
                Want::Block(digest) => {
                    self.request(now, attempt, &mut asked_for_blocks, &Frame::RequestBlock(digest));
                }
                Want::FinalBlocks => {
                    let next = self.tree.tip().height.next();
                    self.request_bulk(now, attempt, &[want], &Frame::RequestBlocks(next));
                }
            }
        }
        let mut asked_for_bundles = BTreeSet::new();
        for (attempt, digests) in bundles {
            for chunk in digests.chunks(REQUEST_BUNDLES_MAX) {
                let frame = Frame::RequestBundles(BundleDigests { bundles: chunk.to_vec() });
                self.request(now, attempt, &mut asked_for_bundles, &frame);
            }
        }
        for (attempt, digests) in batches {
            for chunk in digests.chunks(REQUEST_DIGESTS_MAX) {
                let wants: Vec<Want> = chunk.iter().map(|digest| Want::Batch(*digest)).collect();
                let frame = Frame::RequestBatches(Digests { batches: chunk.to_vec() });
                self.request_bulk(now, attempt, &wants, &frame);
            }
        }
    }

    /// Sends a request on the lane of catching up to the first peer from `attempt` on that owes no answer there; where all do, what is
    /// wanted waits for one of them, and goes out together with what is wanted by then.
    fn request_bulk(&mut self, now: Now, attempt: usize, wants: &[Want], frame: &Frame) {
        let now_ms = now.elapsed_ms;
        let choices = (0..self.config.peers().count())
            .filter_map(|next| self.peers.choose(attempt.wrapping_add(next), now_ms));
        let idle: Vec<NodeIndex> = choices.filter(|peer| self.fetches.is_idle(*peer, now_ms)).collect();
        let may_have =
            |peer: &&NodeIndex| wants != [Want::FinalBlocks] || self.peers.may_have_next(**peer, attempt);
        match idle.iter().find(may_have).or(idle.first()).copied() {
            Some(peer) => {
                self.fetches.owes(peer, wants.iter().copied(), now_ms);
                self.send(peer, frame);
            }
            None => wants.iter().for_each(|want| self.fetches.put_back(want, now_ms)),
        }
    }

    /// Sends a request to the first peer from `attempt` on that was not asked in this step; to a busy one if all were.
    fn request(&mut self, now: Now, attempt: usize, asked: &mut BTreeSet<NodeIndex>, frame: &Frame) {
        let mut choices = (0..self.config.peers().count())
            .filter_map(|next| self.peers.choose(attempt.wrapping_add(next), now.elapsed_ms));
        let first = self.peers.choose(attempt, now.elapsed_ms);
        let Some(peer) = choices.find(|peer| !asked.contains(peer)).or(first) else { return };
        asked.insert(peer);
        self.send(peer, frame);
    }

    fn wanted(&self, now: Now) -> BTreeSet<Want> {
        let mut wanted = BTreeSet::new();
        for question in self.questions.values() {
            match question {
                Question::Validate { turn, digest } if self.is_worth_fetching(now, *turn, digest) => {
                    self.want_path(digest, &mut wanted);
                }
                Question::Propose { turn } | Question::Validate { turn, .. } => {
                    self.want_path(&turn.parent, &mut wanted);
                }
                Question::Available { digest, .. } => self.want_path(digest, &mut wanted),
            }
        }
        if let Some(finality) = &self.newest_finality {
            if self.tree.path(&finality.digest).is_err()
                && self.final_waiting.len() < FINAL_BLOCKS_WAITING_MAX
            {
                wanted.insert(Want::FinalBlocks);
            }
            self.want_path(&finality.digest, &mut wanted);
        }
        if self.is_behind() && self.final_waiting.len() < FINAL_BLOCKS_WAITING_MAX {
            wanted.insert(Want::FinalBlocks);
        }
        if self.awaits_execution() || self.may_join() {
            wanted.remove(&Want::FinalBlocks);
        }
        for waiting in self.final_waiting.iter().take(SYNC_AHEAD_BLOCKS) {
            self.want_contents(&waiting.block.body, &mut wanted);
        }
        wanted
    }

    /// Whether this node has more to catch up with than what is on its way to every node: it leads no turn meanwhile.
    pub(crate) fn is_catching_up(&self) -> bool {
        self.is_behind() || self.final_waiting.len() > CATCHING_UP_BLOCKS
    }

    /// Whether some honest validator has executed what is not final here. Of the block above the tip the engine tells soon; but
    /// not of the last one of an epoch, whose engine others have ended: with as many down as may be, the only one that has its
    /// certificate is missing in every quorum of that engine. So one word is enough to ask then; a lie costs a question.
    pub(crate) fn is_behind(&self) -> bool {
        let next = self.tree.tip().height.next();
        let is_over = |last: Height| next <= last && self.claims.highest_announced(0) >= Some(last);
        self.claims.highest_announced(self.config.faults_max()) > Some(next)
            || self.config.last_height().is_some_and(is_over)
    }

    /// Whether further final blocks are of an epoch whose set stands in a result that is being executed.
    fn awaits_execution(&self) -> bool {
        let rules = &self.config.rules;
        let is_unknown = |epoch: Epoch| rules.registry.epoch(rules.chain, epoch).is_none();
        self.awaited_epoch.is_some_and(is_unknown) && !self.final_waiting.is_empty()
    }

    fn want_path(&self, digest: &BlockDigest, wanted: &mut BTreeSet<Want>) {
        if self.tree.recent_final(digest).is_some() {
            return;
        }
        match self.tree.path(digest) {
            Ok(path) => path.iter().for_each(|(_, block)| self.want_contents(&block.body, wanted)),
            Err(Gap::Missing(missing)) => {
                wanted.insert(Want::Block(missing));
            }
            Err(Gap::Conflict) => {}
        }
    }

    fn want_contents(&self, body: &BlockBody, wanted: &mut BTreeSet<Want>) {
        let missing = body.bundles.iter().filter(|digest| {
            self.bundles.get(digest).is_none() && !self.bundles.is_judged_or_will_be(digest)
        });
        wanted.extend(missing.map(|digest| Want::Bundle(*digest)));
        let missing = body
            .batches
            .iter()
            .filter(|digest| self.batches.get(digest).is_none() && !self.batches.is_invalid(digest));
        wanted.extend(missing.map(|digest| Want::Batch(*digest)));
    }

    /// A peer holds no final blocks below `lowest`.
    pub(crate) fn pruned_arrived(&mut self, now: Now, from: NodeIndex, lowest: Height) {
        self.fetches.gave(from, Want::FinalBlocks);
        // What it said may be of a question before the last page.
        if lowest > self.tree.tip().height.next() {
            let faults_max = self.config.faults_max();
            let is_told = self.peers.has_pruned(from, lowest, now.elapsed_ms, faults_max);
            if let Some(below) = self.pruned_below().filter(|_| is_told) {
                self.report(Report::PrunedEverywhere { next: self.tree.tip().height.next(), below });
            }
        }
    }

    /// The lowest height that a peer holds, where this node is behind and its peers have pruned what it needs next.
    pub(crate) fn pruned_below(&self) -> Option<Height> {
        self.peers.pruned_below().filter(|_| self.is_behind())
    }

    /// A page of final blocks: believed only as far as it links to the own tip and a certificate proves its end.
    pub(crate) fn final_blocks_arrived(&mut self, now: Now, from: NodeIndex, page: FinalBlocks) {
        self.fetches.gave(from, Want::FinalBlocks);
        if self.final_waiting.len() >= FINAL_BLOCKS_WAITING_MAX {
            return;
        }
        let tip = self.tree.tip().height;
        let blocks: Vec<_> = page.blocks.into_iter().filter(|block| block.header.height > tip).collect();
        let Some(last) = blocks.last() else { return };
        let last_digest = last.header.digest(self.config.rules.genesis);
        let (rules, epoch) = (&self.config.rules, last.header.epoch);
        if epoch > self.tree.tip().epoch && rules.registry.epoch(rules.chain, epoch).is_none() {
            self.await_epoch(now, from, &blocks, epoch);
            return;
        }
        let is_linked = self.is_linked(&blocks);
        let is_proven = FinalityProof::decode(&page.certificate).is_ok_and(|proof| {
            proof.digest == last_digest
                && proof.epoch == epoch
                && verify_finality(&proof, rules.genesis, &rules.registry).is_ok()
        });
        if !is_linked || !is_proven {
            self.distrust(now, from, "final blocks that do not extend the certified chain");
            return;
        }
        let certificate = Bytes::from(page.certificate);
        for block in blocks {
            let digest = block.header.digest(self.config.rules.genesis);
            let proof = (digest == last_digest).then(|| certificate.clone());
            self.push_final(digest, Arc::new(block), proof);
            if self.halted {
                return;
            }
        }
        // Where it went on nothing is waited for, whatever somebody said.
        self.awaited_epoch = None;
        self.peers.goes_on(from, self.tree.tip().height.next());
        self.fetches.answered(Want::FinalBlocks);
    }

    /// A page of an epoch whose set is not known here. Nobody's fault where that is the next one: its set stands in a result that this
    /// node has not executed yet. Nothing proves the page, so it must look like what an honest peer sends.
    fn await_epoch(&mut self, now: Now, from: NodeIndex, blocks: &[Block], epoch: Epoch) {
        let rules = &self.config.rules;
        let newest = rules.registry.newest_epoch(rules.chain).map(|newest| newest.epoch);
        let is_next = newest.is_some_and(|newest| newest.0.checked_add(1) == Some(epoch.0));
        if is_next && self.follows(blocks, epoch) {
            self.awaited_epoch = Some(epoch);
        } else {
            self.distrust(now, from, "final blocks of an epoch that cannot follow");
        }
    }

    /// Whether the blocks follow one another from the tip on, all of one epoch: a page ends where an epoch does, so that the
    /// certificate of its last block is known everywhere.
    fn is_linked(&self, blocks: &[Block]) -> bool {
        let rules = &self.config.rules;
        let epoch = blocks.first().and_then(|first| rules.registry.epoch(rules.chain, first.header.epoch));
        epoch.is_some_and(|epoch| {
            blocks.iter().all(|block| epoch.decides(block.header.height)) && self.follows(blocks, epoch.epoch)
        })
    }

    /// The same of an epoch whose heights may not be known.
    fn follows(&self, blocks: &[Block], epoch: Epoch) -> bool {
        let rules = &self.config.rules;
        let mut parent = self.tree.tip().digest;
        let mut height = self.tree.tip().height;
        blocks.iter().all(|block| {
            let header = &block.header;
            let fits = header.chain == rules.chain
                && header.parent == parent
                && header.height == height.next()
                && header.epoch == epoch
                && block.body.hash() == header.body;
            parent = header.digest(rules.genesis);
            height = header.height;
            fits
        })
    }

    // ---- serving others ------------------------------------------------------------------------------------------

    pub(crate) fn serve_batches(&mut self, to: NodeIndex, digests: Vec<BatchDigest>) {
        let (mut held, mut from_disk) = (Vec::new(), Vec::new());
        for digest in digests {
            match self.batches.get(&digest).filter(|known| known.valid) {
                Some(known) => held.push(Frame::Batch(known.bytes.clone())),
                None => from_disk.push(digest),
            }
        }
        let request = (!from_disk.is_empty()).then_some(Request::Batches(from_disk));
        self.serve(to, Lane::Sync, held, request);
    }

    pub(crate) fn serve_bundles(&mut self, to: NodeIndex, digests: &[BundleDigest]) {
        let (mut held, mut from_disk) = (Vec::new(), Vec::new());
        for digest in digests {
            match self.bundles.get(digest) {
                Some(known) => held.push(Frame::Bundle(known.bytes.clone())),
                None => from_disk.push(*digest),
            }
        }
        let request = (!from_disk.is_empty()).then_some(Request::Bundles(from_disk));
        self.serve(to, Lane::Batch, held, request);
    }

    pub(crate) fn serve_block(&mut self, to: NodeIndex, digest: BlockDigest) {
        match self.tree.get(&digest).map(|open| Frame::Block(Box::new((*open.block).clone()))) {
            Some(block) => self.serve(to, Lane::Block, vec![block], None),
            None => self.serve(to, Lane::Block, Vec::new(), Some(Request::Block(digest))),
        }
    }

    pub(crate) fn serve_blocks(&mut self, to: NodeIndex, from: Height) {
        self.serve(to, Lane::Sync, Vec::new(), Some(Request::Blocks(from)));
    }

    /// One answer at a time per peer and lane, from memory or from disk; a peer that asks faster asks again later.
    pub(crate) fn serve(&mut self, to: NodeIndex, lane: Lane, held: Vec<Frame>, request: Option<Request>) {
        if self.serving.insert((to, lane)) {
            self.effects.push(Effect::Serve { to, lane, held, request });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_asked_of_another_peer() {
        let mut fetches = Fetches::default();
        let wanted = BTreeSet::from([Want::FinalBlocks]);
        let mut firsts = Vec::new();
        for now_ms in 0..6 {
            let due = fetches.reconcile(&wanted, now_ms, 0);
            assert_eq!(due.len(), 1, "asked at once");
            firsts.push(due[0].1 % 3);
            fetches.answered(Want::FinalBlocks);
        }
        assert_eq!(firsts, [0, 1, 2, 0, 1, 2]);
        // An answer that does not come is waited for, then asked of the next.
        let (_, first) = fetches.reconcile(&wanted, 10, 0)[0];
        assert!(fetches.reconcile(&wanted, 10 + FETCH_RETRY_MS - 1, 0).is_empty());
        let (_, second) = fetches.reconcile(&wanted, 10 + FETCH_RETRY_MS, 0)[0];
        assert_eq!(second, first + 1);
    }

    #[test]
    fn a_peer_that_owes_an_answer_is_not_asked_again_before_its_time() {
        let (distrusted_until_ms, pruned_below) = (BTreeMap::new(), BTreeMap::new());
        let (pruned_since_ms, is_pruned_told) = (None, false);
        let nodes = vec![NodeIndex(1)];
        let peers =
            Peers { nodes, distrusted_until_ms, pruned_below, pruned_since_ms, is_pruned_told, own: 0 };
        let (first, second) = (Want::Batch(BatchDigest([1; 32])), Want::Batch(BatchDigest([2; 32])));
        let mut fetches = Fetches::default();
        assert_eq!(fetches.reconcile(&BTreeSet::from([first]), 100, 0).len(), 1);
        fetches.owes(NodeIndex(1), [first], 100);
        assert!(!fetches.is_idle(NodeIndex(1), 101));
        // What is wanted meanwhile waits for the answer, or for the time of it.
        assert_eq!(fetches.reconcile(&BTreeSet::from([first, second]), 110, 0).len(), 1);
        fetches.put_back(&second, 110);
        assert_eq!(fetches.due(&peers, 110), Some(100 + FETCH_RETRY_MS), "it does not spin");
        fetches.gave(NodeIndex(1), second);
        assert!(!fetches.is_idle(NodeIndex(1), 111), "something else is no answer");
        fetches.gave(NodeIndex(1), first);
        assert!(fetches.is_idle(NodeIndex(1), 111));
        assert_eq!(fetches.due(&peers, 111), Some(110), "then at once");
        fetches.owes(NodeIndex(1), [first], 200);
        assert!(fetches.is_idle(NodeIndex(1), 200 + FETCH_RETRY_MS), "nobody waits for ever");
    }
}
