//! What a byzantine validator does to the others, in the engine's own messages and with its own key.

use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use commonware_codec::{Copying, DecodeExt as _, Encode as _};
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::simplex::types::{Finalize, Notarize, Proposal, Vote};
use commonware_consensus::types::{Epoch, Round, View};
use commonware_cryptography::ed25519::PublicKey;
use commonware_cryptography::sha256::Digest;
use commonware_utils::ordered::Set;
use consensus::Channel;

use super::shelf::Block;
use super::{EPOCH, NAMESPACE, Simplex, private_key};
use crate::engine::{DEPTH, Engine as _};

/// How long the byzantine leader tries.
const ATTACK: Duration = Duration::from_secs(8);
/// Requests that the resolver gets at once.
const REQUESTS: u64 = 2_000;

/// At each of its turns: old certificates, then a proposal on an old block, voted for and finalized by itself.
pub(super) fn regress_lock(simplex: &mut Simplex, byzantine: u16) -> u64 {
    simplex.stop(byzantine);
    let public = |key: &super::Key| PublicKey::decode(Copying(&key.public)).expect("a point");
    let set = Set::from_iter_dedup(simplex.keys.iter().map(public));
    let own = private_key(&simplex.keys[usize::from(byzantine)].seed);
    let scheme = Scheme::signer(NAMESPACE, set, own).expect("in the set");
    let honest = &simplex.shelves[0];
    let size = u64::from(simplex.size());
    let end = Instant::now() + ATTACK;
    let (mut last_turn, mut attempts) = (0, 0);
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(1));
        let view = honest.view();
        // Leaders rotate by view in epoch 0.
        let turn = (view + 1..).find(|turn| turn % size == u64::from(byzantine)).expect("one in `size`");
        let finals = honest.finals();
        let Some(old) = finals.iter().rev().nth(DEPTH).filter(|_| turn > last_turn) else { continue };
        last_turn = turn;
        for certificate in simplex.wire.certificates() {
            send(simplex, byzantine, Channel::Certificate, &certificate);
        }
        let old_view = honest.get(&old.digest).expect("final blocks are held").view;
        let digest = simplex.shelves[usize::from(byzantine)].put(Block::new(old.digest, turn, 1));
        // The others can fetch it: they judge it by the rules, not for its absence.
        simplex.shelves[0].put(Block::new(old.digest, turn, 1));
        let round = Round::new(Epoch::new(EPOCH), View::new(turn));
        let proposal = Proposal::new(round, View::new(old_view), Digest(digest));
        let notarize = Notarize::sign(&scheme, proposal.clone()).expect("own key");
        let finalize = Finalize::sign(&scheme, proposal).expect("own key");
        for vote in [Vote::<Scheme, Digest>::Notarize(notarize), Vote::Finalize(finalize)] {
            send(simplex, byzantine, Channel::Vote, &frame(&vote.encode()));
        }
        attempts += 1;
    }
    simplex.restart(byzantine);
    attempts
}

/// A request names one view and takes no count, so many are sent: known, unknown and absurd views; and frames above the cap.
pub(super) fn ask_for_everything(simplex: &Simplex, byzantine: u16) {
    for bytes in [Channel::Resolver.frame_bytes_max() + 1, 16 * 1024 * 1024] {
        send(simplex, byzantine, Channel::Resolver, &frame(&vec![0xff; bytes]));
    }
    for id in 0..REQUESTS {
        let view = if id % 2 == 0 { id } else { u64::MAX - id };
        let mut request = BytesMut::new();
        request.put_u64(id);
        // The tag of a request.
        request.put_u8(0);
        request.put_u64(view);
        send(simplex, byzantine, Channel::Resolver, &frame(&request));
        if id % 100 == 0 {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The epoch in front, as on the wire.
fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u64_le(EPOCH);
    frame.put_slice(message);
    frame.freeze()
}

/// To all others.
fn send(simplex: &Simplex, byzantine: u16, channel: Channel, frame: &Bytes) {
    for to in (0..simplex.size()).filter(|to| *to != byzantine) {
        let _refused = simplex.wire.deliver(byzantine, to, channel, frame.clone());
    }
}
