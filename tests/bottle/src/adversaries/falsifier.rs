//! Falsifies the states that joining nodes fetch from it: in every chunk one wallet is richer. Its offers and manifests are true, so that it is
//! asked for chunks.

use bytes::Bytes;
use chain::Frame;
use ledger::records::Record;
use ledger::values::Amount;

use super::Conduct;
use crate::links::{Content, Parcel};

/// The falsifier.
pub(super) struct Falsifier;

/// What it says instead.
fn falsified(frame: Frame) -> Option<Bytes> {
    let Frame::Chunk(mut chunk) = frame else { return None };
    let wallet = chunk.records.iter_mut().find_map(|record| match record {
        Record::Wallet(wallet) => Some(wallet),
        _ => None,
    })?;
    wallet.balance = Amount::from_fen(wallet.balance.fen().wrapping_add(1));
    Some(Frame::Chunk(chunk).encode())
}

impl Conduct for Falsifier {
    fn sends(&mut self, mut parcel: Parcel, out: &mut Vec<Parcel>) -> u64 {
        let false_one = match &parcel.content {
            Content::Chain(bytes) => Frame::decode(bytes).ok().and_then(falsified),
            Content::Engine { .. } => None,
        };
        let done = u64::from(false_one.is_some());
        if let Some(bytes) = false_one {
            parcel.content = Content::Chain(bytes);
        }
        out.push(parcel);
        done
    }
}
