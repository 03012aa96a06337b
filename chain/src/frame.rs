//! What nodes say to each other about a chain, apart from consensus itself.
//!
//! A frame is one tag byte and a canonical encoding; anything else is refused. Frames travel on authenticated links, so
//! the sender is known; nothing in a frame is believed beyond what its signatures and hashes prove.

use bytes::Bytes;
use ledger::proofs::SnapshotChunk;
use ledger::records::batch::BATCH_BYTES_MAX;
use ledger::records::{Block, Bundle, Claim};
use ledger::values::codec::check_count;
use ledger::values::{BatchDigest, BlockDigest, BundleDigest, Canonical, CodecError, Height, StateRoot};
use wincode::{SchemaRead, SchemaWrite};

use crate::config::{
    PIECE_BYTES_MAX, REQUEST_BUNDLES_MAX, REQUEST_CHUNKS_MAX, REQUEST_DIGESTS_MAX, SNAPSHOTS_KEPT,
    SYNC_BLOCKS_MAX, SYNC_BYTES_MAX,
};

/// Which stream a frame takes. None delays another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Acknowledgements, announcements, requests: small and urgent.
    Control,
    /// Proposed blocks, and single blocks that somebody asked for.
    Block,
    /// Fresh batches and bundles.
    Batch,
    /// Batches, bundles and final blocks that somebody asked for, most of all nodes that catch up.
    Sync,
}

impl Lane {
    /// All lanes, in the order of [`Lane::index`].
    pub const ALL: [Self; 4] = [Self::Control, Self::Block, Self::Batch, Self::Sync];

    /// Position in [`Lane::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Control => 0,
            Self::Block => 1,
            Self::Batch => 2,
            Self::Sync => 3,
        }
    }

    /// Name in protocol ids and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Block => "block",
            Self::Batch => "batch",
            Self::Sync => "sync",
        }
    }

    /// Largest frame, tag included.
    #[must_use]
    pub const fn frame_bytes_max(self) -> usize {
        match self {
            Self::Control => 4 * 1_024,
            Self::Block => Block::BYTES_MAX + 64,
            Self::Batch => BATCH_BYTES_MAX + 64,
            Self::Sync => SYNC_FRAME_BYTES_MAX,
        }
    }
}

/// A sync frame holds either one batch or a page of blocks with a certificate.
const SYNC_FRAME_BYTES_MAX: usize = 1 << 20;
const _: () = assert!(SYNC_BYTES_MAX + CERTIFICATE_BYTES_MAX + 1_024 <= SYNC_FRAME_BYTES_MAX);
const _: () = assert!(BATCH_BYTES_MAX + 64 <= SYNC_FRAME_BYTES_MAX);
const _: () = assert!(Bundle::BYTES_MAX + 64 <= SYNC_FRAME_BYTES_MAX);
const _: () = assert!(<SnapshotChunk as Canonical>::BYTES_MAX + 64 <= SYNC_FRAME_BYTES_MAX);
const _: () = assert!(PIECE_BYTES_MAX + 64 <= SYNC_FRAME_BYTES_MAX);
const _: () = assert!(Bundle::BYTES_MAX + 64 <= Lane::Batch.frame_bytes_max());
const _: () = assert!(32 * REQUEST_DIGESTS_MAX + 64 <= Lane::Control.frame_bytes_max());

/// Most bytes of a certificate: 100 signatures with their frame.
pub const CERTIFICATE_BYTES_MAX: usize = 16 * 1_024;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// "I hold these batches, and they are valid."
    Acknowledge(Digests),
    /// "This is my result."
    Announce(Claim),
    /// "Send me these batches."
    RequestBatches(Digests),
    /// "Send me this block."
    RequestBlock(BlockDigest),
    /// "Send me final blocks from this height on."
    RequestBlocks(Height),
    /// A proposed block.
    Block(Box<Block>),
    /// An encoded batch; decoded by who needs it.
    Batch(Bytes),
    /// Consecutive final blocks and a certificate for the last one.
    FinalBlocks(FinalBlocks),
    /// An encoded bundle; decoded by who needs it.
    Bundle(Bytes),
    /// "Send me these bundles."
    RequestBundles(BundleDigests),
    /// "Which snapshots do you have?"
    RequestOffers,
    /// "These."
    Offers(Offers),
    /// "Send me a piece of a snapshot's manifest."
    RequestPiece(RequestedPiece),
    /// A piece of a manifest.
    ManifestPiece(ManifestPiece),
    /// "Send me these chunks of a snapshot."
    RequestChunks(RequestedChunks),
    /// A chunk of a snapshot.
    Chunk(Box<SnapshotChunk>),
    /// "I hold no final blocks below this height."
    Pruned(Height),
}

/// A snapshot that a node has; nothing of it is proved before its manifest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Offer {
    /// Its height.
    pub height: Height,
    /// The state root of that height.
    pub state: StateRoot,
    /// Bytes of its encoded manifest.
    pub manifest_bytes: u64,
}

/// At most [`SNAPSHOTS_KEPT`] offers, the newest first; none where a node has no snapshot.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Offers {
    /// The offers.
    pub offers: Vec<Offer>,
}

impl Canonical for Offers {
    const NAME: &'static str = "offers";
    const BYTES_MAX: usize = 8 + 48 * SNAPSHOTS_KEPT;

    fn check(&self) -> Result<(), CodecError> {
        check_count("offers", self.offers.len(), 0, SNAPSHOTS_KEPT)
    }
}

/// Which piece of which manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct RequestedPiece {
    /// The height of the snapshot.
    pub height: Height,
    /// The piece, from 0 on: [`PIECE_BYTES_MAX`] bytes each, the last one the rest.
    pub piece: u32,
}

impl Canonical for RequestedPiece {
    const NAME: &'static str = "requested piece";
    const BYTES_MAX: usize = 12;
}

/// A piece of an encoded manifest.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct ManifestPiece {
    /// The height of the snapshot.
    pub height: Height,
    /// Which piece.
    pub piece: u32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Canonical for ManifestPiece {
    const NAME: &'static str = "manifest piece";
    const BYTES_MAX: usize = 8 + 4 + 8 + PIECE_BYTES_MAX;

    fn check(&self) -> Result<(), CodecError> {
        check_count("piece.bytes", self.bytes.len(), 1, PIECE_BYTES_MAX)
    }
}

/// Which chunks of which snapshot.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct RequestedChunks {
    /// The height of the snapshot.
    pub height: Height,
    /// The chunks, 1 to [`REQUEST_CHUNKS_MAX`].
    pub indexes: Vec<u64>,
}

impl Canonical for RequestedChunks {
    const NAME: &'static str = "requested chunks";
    const BYTES_MAX: usize = 8 + 8 + 8 * REQUEST_CHUNKS_MAX;

    fn check(&self) -> Result<(), CodecError> {
        check_count("indexes", self.indexes.len(), 1, REQUEST_CHUNKS_MAX)
    }
}

/// Batch digests, 1 to [`REQUEST_DIGESTS_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Digests {
    /// The digests.
    pub batches: Vec<BatchDigest>,
}

/// Bundle digests, 1 to [`REQUEST_BUNDLES_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct BundleDigests {
    /// The digests.
    pub bundles: Vec<BundleDigest>,
}

impl Canonical for BundleDigests {
    const NAME: &'static str = "bundle digests";
    const BYTES_MAX: usize = 8 + 32 * REQUEST_BUNDLES_MAX;

    fn check(&self) -> Result<(), CodecError> {
        check_count("bundles", self.bundles.len(), 1, REQUEST_BUNDLES_MAX)
    }
}

/// A page of the final chain.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct FinalBlocks {
    /// Consecutive blocks, ascending, 1 to [`SYNC_BLOCKS_MAX`].
    pub blocks: Vec<Block>,
    /// Proof that the last one is final.
    pub certificate: Vec<u8>,
}

impl Canonical for Digests {
    const NAME: &'static str = "batch digests";
    const BYTES_MAX: usize = 8 + 32 * REQUEST_DIGESTS_MAX;

    fn check(&self) -> Result<(), CodecError> {
        check_count("batches", self.batches.len(), 1, REQUEST_DIGESTS_MAX)
    }
}

impl Canonical for FinalBlocks {
    const NAME: &'static str = "final blocks";
    const BYTES_MAX: usize = SYNC_FRAME_BYTES_MAX - 1;

    fn check(&self) -> Result<(), CodecError> {
        check_count("blocks", self.blocks.len(), 1, SYNC_BLOCKS_MAX)?;
        check_count("certificate", self.certificate.len(), 1, CERTIFICATE_BYTES_MAX)?;
        self.blocks.iter().try_for_each(Canonical::check)
    }
}

/// A height or a claim on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
struct Wire<T>(T);

impl Canonical for Wire<Claim> {
    const NAME: &'static str = "announcement";
    const BYTES_MAX: usize = 40;
}

impl Canonical for Wire<Height> {
    const NAME: &'static str = "height";
    const BYTES_MAX: usize = 8;
}

impl Canonical for Wire<BlockDigest> {
    const NAME: &'static str = "block digest";
    const BYTES_MAX: usize = 32;
}

impl Frame {
    /// The lane the frame takes, unless it answers a request: see [`crate::Effect::Serve`].
    #[must_use]
    pub const fn lane(&self) -> Lane {
        match self {
            Self::Acknowledge(_)
            | Self::Announce(_)
            | Self::RequestBatches(_)
            | Self::RequestBlock(_)
            | Self::RequestBlocks(_)
            | Self::RequestBundles(_)
            | Self::RequestOffers
            | Self::RequestPiece(_)
            | Self::RequestChunks(_) => Lane::Control,
            Self::Block(_) => Lane::Block,
            Self::Batch(_) | Self::Bundle(_) => Lane::Batch,
            Self::FinalBlocks(_)
            | Self::Offers(_)
            | Self::ManifestPiece(_)
            | Self::Chunk(_)
            | Self::Pruned(_) => Lane::Sync,
        }
    }

    /// The bytes on the wire.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let (tag, body) = match self {
            Self::Acknowledge(digests) => (0_u8, digests.encode()),
            Self::Announce(claim) => (1, Wire(*claim).encode()),
            Self::RequestBatches(digests) => (2, digests.encode()),
            Self::RequestBlock(digest) => (3, Wire(*digest).encode()),
            Self::RequestBlocks(height) => (4, Wire(*height).encode()),
            Self::Block(block) => (5, block.encode()),
            Self::Batch(bytes) => (6, bytes.to_vec()),
            Self::FinalBlocks(page) => (7, page.encode()),
            Self::Bundle(bytes) => (8, bytes.to_vec()),
            Self::RequestBundles(digests) => (9, digests.encode()),
            Self::RequestOffers => (10, Vec::new()),
            Self::Offers(offers) => (11, offers.encode()),
            Self::RequestPiece(wanted) => (12, wanted.encode()),
            Self::ManifestPiece(piece) => (13, piece.encode()),
            Self::RequestChunks(wanted) => (14, wanted.encode()),
            Self::Chunk(chunk) => (15, chunk.encode()),
            Self::Pruned(lowest) => (16, Wire(*lowest).encode()),
        };
        let mut frame = Vec::with_capacity(body.len() + 1);
        frame.push(tag);
        frame.extend_from_slice(&body);
        Bytes::from(frame)
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// [`CodecError`] when the tag is unknown or the body is not canonical.
    pub fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        let malformed = CodecError::Malformed { value: "frame" };
        let tag = *bytes.first().ok_or(malformed)?;
        let body = bytes.slice(1..);
        Ok(match tag {
            0 => Self::Acknowledge(Digests::decode(&body)?),
            1 => Self::Announce(Wire::<Claim>::decode(&body)?.0),
            2 => Self::RequestBatches(Digests::decode(&body)?),
            3 => Self::RequestBlock(Wire::<BlockDigest>::decode(&body)?.0),
            4 => Self::RequestBlocks(Wire::<Height>::decode(&body)?.0),
            5 => Self::Block(Box::new(Block::decode(&body)?)),
            6 if body.len() <= BATCH_BYTES_MAX => Self::Batch(body),
            7 => Self::FinalBlocks(FinalBlocks::decode(&body)?),
            8 if body.len() <= Bundle::BYTES_MAX => Self::Bundle(body),
            9 => Self::RequestBundles(BundleDigests::decode(&body)?),
            10 if body.is_empty() => Self::RequestOffers,
            11 => Self::Offers(Offers::decode(&body)?),
            12 => Self::RequestPiece(RequestedPiece::decode(&body)?),
            13 => Self::ManifestPiece(ManifestPiece::decode(&body)?),
            14 => Self::RequestChunks(RequestedChunks::decode(&body)?),
            15 => Self::Chunk(Box::new(SnapshotChunk::decode(&body)?)),
            16 => Self::Pruned(Wire::<Height>::decode(&body)?.0),
            _ => return Err(malformed),
        })
    }
}
