//! The auditors' feed: everything needed to replay a chain, in bounded binary pages.
//!
//! ```text
//! feed page     "JZF1" · chain u32 · from u64 · final height u64 · certified height u64 · count u32
//!               count × (block length u32 · certificate length u32 · result length u32 · block · certificate · result)
//! batch page    "JZB1" · count u32 · count × (length u32 · batch)
//! bundle page   "JZR1" · count u32 · count × (length u32 · bundle)
//! outcome page  canonical outcomes, 78 bytes each
//! ```
//!
//! Numbers are little-endian. Blocks are consecutive from `from`. A certificate of length 0 means that this
//! node has none for exactly that height: consensus may skip heights, and a later certificate covers them. A
//! result of length 0 means not executed yet. A page of batches or bundles answers a prefix of the digests that
//! were asked for, at least one; ask again for the rest. Everything in a page is only what this node says: an auditor
//! recomputes digests and verifies certificates.

use std::fmt::Display;
use std::str::FromStr;

use ledger::records::{Batch, Block, Bundle, HeightResult, Outcome};
use ledger::values::{Canonical, ChainId, CodecError, Height};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::code::ErrorCode;
use crate::error::ApiError;

/// Most bytes of a feed page, or of a page of batches or bundles.
pub const PAGE_BYTES_MAX: usize = 8 * 1_024 * 1_024;
/// Most blocks of a feed page.
pub const FEED_BLOCKS_MAX: usize = 256;
/// Most bytes of a certificate: 100 validators sign with 64 bytes each.
pub const CERTIFICATE_BYTES_MAX: usize = 16 * 1_024;
/// Most digests that one request for batches or bundles may name.
pub const DIGESTS_PER_REQUEST_MAX: usize = 64;
/// Most bytes of an outcome page: a block of the largest weight, full of the smallest transactions.
pub const OUTCOMES_BYTES_MAX: usize = 64 * 1_024 * 1_024;
const FEED_MAGIC: [u8; 4] = *b"JZF1";
const BATCH_MAGIC: [u8; 4] = *b"JZB1";
const BUNDLE_MAGIC: [u8; 4] = *b"JZR1";
const FEED_HEAD_BYTES: usize = 4 + 4 + 8 + 8 + 8 + 4;
const ENTRY_HEAD_BYTES: usize = 4 + 4 + 4;
const _: () = assert!(
    FEED_HEAD_BYTES + ENTRY_HEAD_BYTES + Block::BYTES_MAX + CERTIFICATE_BYTES_MAX + HeightResult::BYTES_MAX
        <= PAGE_BYTES_MAX,
    "one block always fits a page"
);
const _: () = assert!(8 + 4 + Batch::BYTES_MAX <= PAGE_BYTES_MAX, "one batch always fits a page");
const _: () = assert!(8 + 4 + Bundle::BYTES_MAX <= PAGE_BYTES_MAX, "one bundle always fits a page");

/// Query of `GET /v1/chains/{chain}/feed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FeedQuery {
    /// First height wanted, from 1.
    pub from: u64,
    /// Blocks wanted, 1 to 256; fewer come when the page is full or the chain ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Query of `GET /v1/chains/{chain}/batches` and `/bundles`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DigestsQuery {
    /// 1 to 64 digests, hexadecimal, separated by commas.
    pub digests: String,
}

impl DigestsQuery {
    /// The query for `digests`.
    #[must_use]
    pub fn new(digests: &[impl Display]) -> Self {
        Self { digests: digests.iter().map(ToString::to_string).collect::<Vec<_>>().join(",") }
    }

    /// The digests, of batches or of bundles.
    ///
    /// # Errors
    /// [`ApiError`] 1002 when one cannot be read or there are too many.
    pub fn parse<D>(&self) -> Result<Vec<D>, ApiError>
    where
        D: FromStr,
        D::Err: Display,
    {
        let refused = || ApiError::from(ErrorCode::MalformedParameter).at("digests");
        let mut digests = Vec::new();
        for text in self.digests.split(',') {
            if digests.len() == DIGESTS_PER_REQUEST_MAX {
                return Err(refused().because(format_args!("at most {DIGESTS_PER_REQUEST_MAX} digests")));
            }
            digests.push(text.parse::<D>().map_err(|error| refused().because(error))?);
        }
        Ok(digests)
    }
}

/// Why a page cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// Above its bound.
    #[error("the page has {bytes} bytes; at most {bytes_max} are allowed")]
    TooLarge {
        /// Found.
        bytes: usize,
        /// Allowed.
        bytes_max: usize,
    },
    /// Another kind of page, or none.
    #[error("not a page of this kind")]
    Magic,
    /// Cut off, with bytes left over, or with a count or length above its bound.
    #[error("the page's framing is wrong at entry {entry}")]
    Framing {
        /// Which entry; the head counts as entry 0.
        entry: usize,
    },
    /// An entry does not decode.
    #[error("entry {entry}: {error}")]
    Entry {
        /// Which entry.
        entry: usize,
        /// Why.
        error: CodecError,
    },
}

/// A block as the feed carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedEntry {
    /// The block.
    pub block: Block,
    /// The certificate on exactly this block.
    pub certificate: Option<Vec<u8>>,
    /// The result that the node computed.
    pub result: Option<HeightResult>,
}

/// A page of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedPage {
    /// The chain.
    pub chain: ChainId,
    /// Height of the first block.
    pub from: Height,
    /// Highest final height of the node.
    pub final_height: Height,
    /// Highest certified height of the node.
    pub certified_height: Height,
    /// Consecutive blocks from `from`.
    pub entries: Vec<FeedEntry>,
}

/// Writes a feed page, block by block, until it is full.
#[derive(Debug, Clone)]
pub struct FeedPageWriter {
    bytes: Vec<u8>,
    count: u32,
}

impl FeedPageWriter {
    /// An empty page.
    #[must_use]
    pub fn new(chain: ChainId, from: Height, final_height: Height, certified_height: Height) -> Self {
        let mut bytes = FEED_MAGIC.to_vec();
        bytes.extend_from_slice(&chain.0.to_le_bytes());
        for height in [from, final_height, certified_height] {
            bytes.extend_from_slice(&height.0.to_le_bytes());
        }
        bytes.extend_from_slice(&0_u32.to_le_bytes());
        Self { bytes, count: 0 }
    }

    /// Appends the next block's canonical bytes; false, and unchanged, when the page is full. A certificate
    /// above its bound is left out, as a reader would refuse it.
    #[must_use]
    pub fn push(&mut self, block: &[u8], certificate: Option<&[u8]>, result: Option<&[u8]>) -> bool {
        let certificate =
            certificate.filter(|bytes| bytes.len() <= CERTIFICATE_BYTES_MAX).unwrap_or_default();
        let parts = [block, certificate, result.unwrap_or_default()];
        let added = ENTRY_HEAD_BYTES + parts.iter().map(|part| part.len()).sum::<usize>();
        if self.count as usize >= FEED_BLOCKS_MAX || self.bytes.len() + added > PAGE_BYTES_MAX {
            return false;
        }
        for part in parts {
            // Fits: the page is far below 4 GiB.
            self.bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
        }
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.count += 1;
        true
    }

    /// The page.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        if let Some(place) = self.bytes.get_mut(FEED_HEAD_BYTES - 4..FEED_HEAD_BYTES) {
            place.copy_from_slice(&self.count.to_le_bytes());
        }
        self.bytes
    }
}

impl FeedPage {
    /// Reads a page.
    ///
    /// # Errors
    /// [`PageError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, PageError> {
        check_size(bytes, PAGE_BYTES_MAX)?;
        let mut reader = Bytes { rest: bytes, entry: 0 };
        if reader.array()? != FEED_MAGIC {
            return Err(PageError::Magic);
        }
        let chain = ChainId(reader.u32()?);
        let (from, final_height, certified_height) = (reader.height()?, reader.height()?, reader.height()?);
        let count = reader.count(FEED_BLOCKS_MAX)?;
        let mut entries = Vec::with_capacity(count);
        for entry in 1..=count {
            reader.entry = entry;
            entries.push(Self::decode_entry(&mut reader)?);
        }
        reader.finish()?;
        Ok(Self { chain, from, final_height, certified_height, entries })
    }

    fn decode_entry(reader: &mut Bytes<'_>) -> Result<FeedEntry, PageError> {
        let (block, certificate, result) = (reader.length()?, reader.length()?, reader.length()?);
        if certificate > CERTIFICATE_BYTES_MAX {
            return Err(PageError::Framing { entry: reader.entry });
        }
        let (block, certificate, result) =
            (reader.take(block)?, reader.take(certificate)?, reader.take(result)?);
        Ok(FeedEntry {
            block: reader.decode(block)?,
            certificate: (!certificate.is_empty()).then(|| certificate.to_vec()),
            result: if result.is_empty() { None } else { Some(reader.decode(result)?) },
        })
    }
}

/// Writes a page of batches or bundles, one by one, until it is full.
#[derive(Debug, Clone)]
pub struct ContentsPageWriter {
    bytes: Vec<u8>,
    count: u32,
}

impl ContentsPageWriter {
    /// An empty page of batches.
    #[must_use]
    pub fn batches() -> Self {
        Self::of(BATCH_MAGIC)
    }

    /// An empty page of bundles.
    #[must_use]
    pub fn bundles() -> Self {
        Self::of(BUNDLE_MAGIC)
    }

    fn of(magic: [u8; 4]) -> Self {
        Self { bytes: [magic, [0; 4]].concat(), count: 0 }
    }

    /// Appends the canonical bytes of a batch or bundle; false, and unchanged, when the page is full.
    #[must_use]
    pub fn push(&mut self, entry: &[u8]) -> bool {
        let full = self.count as usize >= DIGESTS_PER_REQUEST_MAX;
        if full || self.bytes.len() + 4 + entry.len() > PAGE_BYTES_MAX {
            return false;
        }
        self.bytes.extend_from_slice(&u32::try_from(entry.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.bytes.extend_from_slice(entry);
        self.count += 1;
        true
    }

    /// The page.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        if let Some(place) = self.bytes.get_mut(4..8) {
            place.copy_from_slice(&self.count.to_le_bytes());
        }
        self.bytes
    }
}

/// Reads a batch page.
///
/// # Errors
/// [`PageError`].
pub fn decode_batches(bytes: &[u8]) -> Result<Vec<Batch>, PageError> {
    decode_contents(bytes, BATCH_MAGIC)
}

/// Reads a bundle page.
///
/// # Errors
/// [`PageError`].
pub fn decode_bundles(bytes: &[u8]) -> Result<Vec<Bundle>, PageError> {
    decode_contents(bytes, BUNDLE_MAGIC)
}

fn decode_contents<T: Canonical>(bytes: &[u8], magic: [u8; 4]) -> Result<Vec<T>, PageError> {
    check_size(bytes, PAGE_BYTES_MAX)?;
    let mut reader = Bytes { rest: bytes, entry: 0 };
    if reader.array()? != magic {
        return Err(PageError::Magic);
    }
    let count = reader.count(DIGESTS_PER_REQUEST_MAX)?;
    let mut contents = Vec::with_capacity(count);
    for entry in 1..=count {
        reader.entry = entry;
        let length = reader.length()?;
        let bytes = reader.take(length)?;
        contents.push(reader.decode(bytes)?);
    }
    reader.finish()?;
    Ok(contents)
}

/// Writes an outcome page.
#[must_use]
pub fn encode_outcomes(outcomes: &[Outcome]) -> Vec<u8> {
    outcomes.iter().flat_map(Canonical::encode).collect()
}

/// Reads an outcome page.
///
/// # Errors
/// [`PageError`].
pub fn decode_outcomes(bytes: &[u8]) -> Result<Vec<Outcome>, PageError> {
    check_size(bytes, OUTCOMES_BYTES_MAX)?;
    let (outcomes, rest) = bytes.as_chunks::<{ Outcome::BYTES_MAX }>();
    if !rest.is_empty() {
        return Err(PageError::Framing { entry: outcomes.len() });
    }
    let decode = |(entry, bytes): (usize, &[u8; Outcome::BYTES_MAX])| {
        Outcome::decode(bytes).map_err(|error| PageError::Entry { entry, error })
    };
    outcomes.iter().enumerate().map(decode).collect()
}

const fn check_size(bytes: &[u8], bytes_max: usize) -> Result<(), PageError> {
    if bytes.len() > bytes_max { Err(PageError::TooLarge { bytes: bytes.len(), bytes_max }) } else { Ok(()) }
}

/// A reader that knows which entry it is in. Nothing is allocated before its bytes are there.
struct Bytes<'a> {
    rest: &'a [u8],
    entry: usize,
}

impl<'a> Bytes<'a> {
    const fn wrong(&self) -> PageError {
        PageError::Framing { entry: self.entry }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PageError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(self.wrong())?;
        self.rest = rest;
        Ok(*array)
    }

    fn u32(&mut self) -> Result<u32, PageError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn height(&mut self) -> Result<Height, PageError> {
        Ok(Height(u64::from_le_bytes(self.array()?)))
    }

    fn length(&mut self) -> Result<usize, PageError> {
        usize::try_from(self.u32()?).map_err(|_| self.wrong())
    }

    fn count(&mut self, count_max: usize) -> Result<usize, PageError> {
        let count = self.length()?;
        if count > count_max { Err(self.wrong()) } else { Ok(count) }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], PageError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(self.wrong())?;
        self.rest = rest;
        Ok(taken)
    }

    fn decode<T: Canonical>(&self, bytes: &[u8]) -> Result<T, PageError> {
        T::decode(bytes).map_err(|error| PageError::Entry { entry: self.entry, error })
    }

    const fn finish(&self) -> Result<(), PageError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.wrong()) }
    }
}
