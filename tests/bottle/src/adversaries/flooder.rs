//! Sends as much as it can of what looks valid: requests for what costs the most to answer, acknowledgements of batches that never
//! come, results of heights that never were, blocks full of digests that nobody knows, and batches under its true seal whose
//! signatures are wrong.

use bytes::Bytes;
use chain::Frame;
use chain::frame::{BundleDigests, Digests};
use ledger::records::block::{BLOCK_BATCHES_MAX, BLOCK_BUNDLES_MAX};
use ledger::records::{Block, BlockBody, BlockHeader, Claim, Payment};
use ledger::values::{
    Amount, BatchDigest, BlockDigest, BundleDigest, Canonical as _, Epoch, FeeRate, Height, ResultHash,
    TimestampMs, View, WalletId,
};

use super::{Arsenal, Conduct};
use crate::links::{Content, Parcel};

/// Frames to each node every ten milliseconds, of each kind.
const REPEATS: usize = 4;
/// Batches every ten milliseconds; each would take a verifier two of them.
const BATCHES: usize = 8;
/// Heights and digests of batches that it asks for.
const KNOWN_MAX: usize = 64;

/// The flooder.
pub(super) struct Flooder {
    arsenal: Arsenal,
    /// Batches that others have.
    known: Vec<BatchDigest>,
    height: u64,
}

impl Flooder {
    pub(super) const fn new(arsenal: Arsenal) -> Self {
        Self { arsenal, known: Vec::new(), height: 0 }
    }

    fn block(&mut self, now_ms: u64) -> Bytes {
        let batches = (0..BLOCK_BATCHES_MAX).map(|_| BatchDigest(self.arsenal.digest())).collect();
        let bundles = (0..BLOCK_BUNDLES_MAX).map(|_| BundleDigest(self.arsenal.digest())).collect();
        let body = BlockBody { batches, bundles };
        let header = BlockHeader {
            chain: self.arsenal.rules.chain,
            epoch: Epoch(0),
            view: View(self.arsenal.dice.next()),
            height: Height(self.height + 1 + self.arsenal.dice.below(1_000)),
            parent: BlockDigest(self.arsenal.digest()),
            timestamp: TimestampMs(now_ms),
            proposer: self.arsenal.seat,
            weight: 0,
            base_fee: FeeRate::ZERO,
            claim: Claim { height: Height(0), result: ResultHash(self.arsenal.digest()) },
            body: body.hash(),
        };
        Frame::Block(Box::new(Block { header, body })).encode()
    }

    fn bad_batch(&mut self, now_ms: u64) -> Bytes {
        let payee = WalletId(self.arsenal.digest());
        let payments = vec![Payment { payee, amount: Amount::from_fen(1) }];
        let mut transaction = self.arsenal.own_transaction(now_ms, payments);
        for signature in &mut transaction.signatures {
            signature.signature.0[40] ^= 1;
        }
        let content = self.arsenal.batch(now_ms, vec![transaction]);
        let (_, batch) = content.seal(self.arsenal.rules.genesis, &self.arsenal.key);
        Frame::Batch(Bytes::from(batch.encode())).encode()
    }

    fn small(&mut self) -> Vec<Bytes> {
        let unknown = (0..64).map(|_| BatchDigest(self.arsenal.digest())).collect();
        let bundles = (0..8).map(|_| BundleDigest(self.arsenal.digest())).collect();
        let height = Height(self.height + self.arsenal.dice.below(1 << 40));
        let mut frames = vec![
            Frame::RequestBlocks(Height(1)),
            Frame::RequestBlock(BlockDigest(self.arsenal.digest())),
            Frame::RequestBundles(BundleDigests { bundles }),
            Frame::Announce(Claim { height, result: ResultHash(self.arsenal.digest()) }),
            Frame::Acknowledge(Digests { batches: unknown }),
        ];
        if !self.known.is_empty() {
            frames.push(Frame::RequestBatches(Digests { batches: self.known.clone() }));
        }
        frames.iter().map(Frame::encode).collect()
    }
}

impl Conduct for Flooder {
    fn hears(&mut self, parcel: &Parcel) {
        let Content::Chain(bytes) = &parcel.content else { return };
        match Frame::decode(bytes) {
            Ok(Frame::Acknowledge(digests)) => {
                self.known.extend(digests.batches);
                let excess = self.known.len().saturating_sub(KNOWN_MAX);
                self.known.drain(..excess);
            }
            Ok(Frame::Block(block)) => self.height = self.height.max(block.header.height.0),
            _ => {}
        }
    }

    fn acts(&mut self, now_ms: u64, out: &mut Vec<Parcel>) -> u64 {
        let before = out.len();
        for _ in 0..REPEATS {
            for frame in self.small() {
                out.extend(self.arsenal.to_all(&frame));
            }
        }
        let block = self.block(now_ms);
        out.extend(self.arsenal.to_all(&block));
        for _ in 0..BATCHES {
            let batch = self.bad_batch(now_ms);
            out.extend(self.arsenal.to_all(&batch));
        }
        (out.len() - before) as u64
    }
}
