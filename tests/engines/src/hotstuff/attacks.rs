//! What a byzantine validator does to the others, in the rival's own messages. It forges no signature: certificates are public.

use std::time::{Duration, Instant};

use hotstuff_rs::block_sync::messages::BlockSyncMessage;
use hotstuff_rs::hotstuff::messages::{HotStuffMessage, NewView, Proposal};
use hotstuff_rs::hotstuff::types::PhaseCertificate;
use hotstuff_rs::networking::messages::Message;
use hotstuff_rs::types::block::Block;
use hotstuff_rs::types::data_types::{BlockHeight, ChainID, ViewNumber};

use super::application::body;
use super::{CHAIN, HotStuff};
use crate::engine::DEPTH;

/// How long the honest replicas may take to meet in one view.
const MEET: Duration = Duration::from_secs(20);

/// Old certificates, newest first, in messages of a new view move the others' lock back one by one; then comes the proposal on the old block.
pub(super) fn regress_lock<const MENDED: bool>(rival: &HotStuff<MENDED>, byzantine: u16) -> u64 {
    // It leads its turn in, as an honest leader does, and proposes nothing of its own: the others wait in its view.
    rival.switch.withhold(byzantine, true);
    let Some(turn) = turn(rival, byzantine) else { return 0 };
    let (certificates, height) = certificates(rival);
    let Some(target) = certificates.last() else { return 0 };
    let (data, data_hash) = body(byzantine, turn);
    let block = Block::new(BlockHeight::new(height + 1), target.clone(), data_hash, data);
    let (chain_id, view) = (ChainID::new(CHAIN), ViewNumber::new(turn));
    for to in 0..=byzantine {
        for highest_pc in certificates.iter().cloned() {
            let new_view = NewView { chain_id, view, highest_pc };
            rival.switch.deliver(byzantine, to, &Message::from(HotStuffMessage::NewView(new_view)));
        }
        let proposal = Proposal { chain_id, view, block: block.clone() };
        rival.switch.deliver(byzantine, to, &Message::from(HotStuffMessage::Proposal(proposal)));
    }
    rival.switch.withhold(byzantine, false);
    1
}

/// The byzantine one's view, once all honest replicas have been waiting in it for a while.
fn turn<const MENDED: bool>(rival: &HotStuff<MENDED>, byzantine: u16) -> Option<u64> {
    let size = u64::from(rival.size());
    let views = || -> Vec<u64> { (0..byzantine).map(|node| entered(rival, node)).collect() };
    let end = Instant::now() + MEET;
    while Instant::now() < end {
        let before = views();
        std::thread::sleep(Duration::from_millis(100));
        let turn = before[0];
        if turn % size == u64::from(byzantine) && views().iter().chain(&before).all(|view| *view == turn) {
            return Some(turn);
        }
    }
    None
}

/// The highest view that a replica has entered.
fn entered<const MENDED: bool>(rival: &HotStuff<MENDED>, node: u16) -> u64 {
    rival.camera(node).snapshot().highest_view_entered().map_or(0, |view| view.int())
}

/// The newest [`DEPTH`] and one certificates, newest first, and the height of the last one's block. They are broadcast with every
/// proposal; read from a replica here.
fn certificates<const MENDED: bool>(rival: &HotStuff<MENDED>) -> (Vec<PhaseCertificate>, u64) {
    let camera = rival.camera(0);
    let tree = camera.snapshot();
    let newest = tree.highest_pc().ok();
    let older = |certificate: &PhaseCertificate| tree.block_justify(&certificate.block).ok();
    let certificates: Vec<_> = std::iter::successors(newest, older).take(DEPTH + 1).collect();
    let last = certificates.last().and_then(|last| tree.block_height(&last.block).ok().flatten());
    (certificates, last.map_or(0, |height| height.int()))
}

/// All blocks there are, and four billion more.
pub(super) fn ask_for_everything<const MENDED: bool>(rival: &HotStuff<MENDED>, byzantine: u16) {
    let request = BlockSyncMessage::block_sync_request(ChainID::new(CHAIN), BlockHeight::new(0), u32::MAX);
    for to in 0..byzantine {
        rival.switch.deliver(byzantine, to, &Message::BlockSyncMessage(request.clone()));
    }
}
