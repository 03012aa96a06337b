//! Lies to nodes that lag: pages whose last block is another one, batches with a broken seal, and heights far above the top.

use bytes::Bytes;
use chain::Frame;
use ledger::values::Height;

use super::Conduct;
use crate::links::{Content, Parcel};

/// How far above the top it says it is.
const AHEAD: u64 = 1_000;

/// The liar.
pub(super) struct Liar {
    to: Vec<u16>,
}

impl Liar {
    pub(super) const fn new(to: Vec<u16>) -> Self {
        Self { to }
    }
}

/// What it says instead.
fn lie(frame: Frame) -> Option<Bytes> {
    Some(match frame {
        Frame::FinalBlocks(mut page) => {
            page.blocks.last_mut()?.header.timestamp.0 += 1;
            Frame::FinalBlocks(page).encode()
        }
        Frame::Batch(batch) => {
            // The seal comes last and is no part of the digest: the worst place to break a batch.
            let mut garbage = batch.to_vec();
            *garbage.last_mut()? ^= 1;
            Frame::Batch(Bytes::from(garbage)).encode()
        }
        Frame::Announce(mut claim) => {
            claim.height = Height(claim.height.0 + AHEAD);
            Frame::Announce(claim).encode()
        }
        _ => return None,
    })
}

impl Conduct for Liar {
    fn sends(&mut self, mut parcel: Parcel, out: &mut Vec<Parcel>) -> u64 {
        let lie = match &parcel.content {
            Content::Chain(bytes) if self.to.contains(&parcel.to) => Frame::decode(bytes).ok().and_then(lie),
            _ => None,
        };
        let done = u64::from(lie.is_some());
        if let Some(bytes) = lie {
            parcel.content = Content::Chain(bytes);
        }
        out.push(parcel);
        done
    }
}
