//! Seals batches and gives them to few, or to nobody, also where they are asked for; and orders them as a leader all the same.
//!
//! It makes its own node believe that everybody acknowledged each batch, so that it proposes what honest nodes cannot get: they must
//! not vote for it, and must not stall.

use chain::Frame;
use chain::frame::Digests;
use ledger::records::Batch;
use ledger::values::Canonical as _;

use super::{Arsenal, Conduct};
use crate::links::{Content, Parcel};

/// The withholder.
pub(super) struct Withholder {
    arsenal: Arsenal,
    to: Vec<u16>,
}

impl Withholder {
    pub(super) const fn new(arsenal: Arsenal, to: Vec<u16>) -> Self {
        Self { arsenal, to }
    }

    /// What its node hears of a batch that nobody has.
    fn false_acknowledgements(&self, batch: &[u8]) -> Vec<Parcel> {
        let Ok(batch) = Batch::decode(batch) else { return Vec::new() };
        if batch.content.sealer != self.arsenal.seat {
            return Vec::new();
        }
        let digest = batch.content.digest(self.arsenal.rules.genesis);
        let frame = Frame::Acknowledge(Digests { batches: vec![digest] }).encode();
        let own = self.arsenal.node;
        let from = |peer: &u16| Parcel { from: *peer, ..self.arsenal.frame(own, frame.clone()) };
        self.arsenal.peers.iter().map(from).collect()
    }
}

impl Conduct for Withholder {
    fn sends(&mut self, parcel: Parcel, out: &mut Vec<Parcel>) -> u64 {
        let Content::Chain(bytes) = &parcel.content else {
            out.push(parcel);
            return 0;
        };
        let Ok(Frame::Batch(batch)) = Frame::decode(bytes) else {
            out.push(parcel);
            return 0;
        };
        if self.to.contains(&parcel.to) {
            out.push(parcel);
            return 0;
        }
        out.extend(self.false_acknowledgements(&batch));
        1
    }
}
