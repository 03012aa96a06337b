//! The archive of a range of heights: one file from which they can be replayed, and which proves itself with the genesis file alone.
//!
//! ```text
//! "jiaozi archive 1\n"
//! frame   genesis(32) chain(4) from(8) set chain
//! frame   block │ certificate │ result │ batches │ bundles         one for each height
//! 0(4)    to(8)    SHA-256(32) of everything before
//! ```
//!
//! A frame is its length(4) and so many bytes; a part of a frame likewise; a list is its count(4) and so many parts. Integers are big-endian,
//! values canonical. What is checked, written or read, is the same ([`Linked`]):
//!
//! - each block stands on the one before and has the body of its header; batches and bundles are those that it orders;
//! - each certificate is of its own block, by the set of its epoch, to which the set chain leads from the genesis file; the last block has one, so
//!   all blocks below it are proved;
//! - each result that a block of the range claims is the one that lies here, and each follows the one before. The few above the last claim are
//!   what the node says, until the next archive's first claims.
//!
//! Signatures of transactions are not checked here: that is the replay's work.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use ledger::proofs::{FinalityProof, SetChain, Sets, verify_finality_by};
use ledger::records::block::genesis_block_digest;
use ledger::records::{Batch, Block, Bundle, GenesisSpec, HeightResult};
use ledger::rules::block_validity::check_body;
use ledger::values::{BlockDigest, Canonical, ChainId, GenesisHash, Height, ResultHash};
use sha2::{Digest as _, Sha256};

use crate::archive_error::{ArchiveError, ArchiveFault};
use crate::source::AuditBlock;

/// What an archive begins with.
pub(crate) const MAGIC: &[u8] = b"jiaozi archive 1\n";
/// How the name of an archive ends.
pub const ARCHIVE_EXTENSION: &str = "archive";
/// Most bytes of a frame: the heaviest block with its batches and bundles is a quarter of it.
pub const FRAME_BYTES_MAX: u32 = 256 << 20;
/// Blocks of the range whose results no block has claimed yet; a chain that stands so far behind its claims orders nothing.
const UNCLAIMED_MAX: usize = 65_536;
/// `to` and the checksum.
const TRAILER_BYTES: u64 = 8 + 32;

/// Which heights an archive holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveRange {
    /// The chain.
    pub chain: ChainId,
    /// The first height.
    pub from: Height,
    /// The last height, whose block has a certificate.
    pub to: Height,
}

/// An archive as its first and last bytes describe it: not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveFile {
    /// The file.
    pub path: PathBuf,
    /// What it says that it holds.
    pub range: ArchiveRange,
}

/// An archive that was read to its end and proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedArchive {
    /// What it holds.
    pub range: ArchiveRange,
    /// Bytes of the file.
    pub bytes: u64,
    /// Batches.
    pub batches: u64,
    /// Bundles.
    pub bundles: u64,
    /// Certificates.
    pub certificates: u64,
    /// The highest result that a block of the range claims; none where the range is shorter than the distance.
    pub certified_result: Option<Height>,
    /// SHA-256 of the file without its last 32 bytes, which say it.
    pub checksum: [u8; 32],
}

/// Reads an archive and proves every height of it.
pub(crate) struct ArchiveReader {
    frames: Frames,
    linked: Linked,
    from: Height,
    done: Option<VerifiedArchive>,
    counts: [u64; 3],
}

/// Reads and checks a whole archive.
///
/// # Errors
/// [`ArchiveError`]: the first thing that is wrong.
pub fn verify_archive(path: &Path, spec: &GenesisSpec) -> Result<VerifiedArchive, ArchiveError> {
    let mut reader = ArchiveReader::open(path, spec)?;
    while reader.next()?.is_some() {}
    reader.done.ok_or_else(|| damaged(path, "it has no end"))
}

/// The archives of a chain in a directory, by their first height, the longer one first; other files are passed over.
///
/// # Errors
/// [`ArchiveError`], also for a file that is named like an archive and is none.
pub fn archives_in(
    directory: &Path,
    spec: &GenesisSpec,
    chain: ChainId,
) -> Result<Vec<ArchiveFile>, ArchiveError> {
    let failed = |source| ArchiveError::io(directory, source);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == ARCHIVE_EXTENSION) {
            found.push(ArchiveFile { range: range(&path, spec)?, path });
        }
    }
    found.retain(|file| file.range.chain == chain);
    found.sort_by_key(|file| (file.range.from, std::cmp::Reverse(file.range.to)));
    Ok(found)
}

/// What an archive says that it holds.
fn range(path: &Path, spec: &GenesisSpec) -> Result<ArchiveRange, ArchiveError> {
    let (mut frames, head) = Frames::open(path, spec)?;
    let length = frames.length;
    let place = length.checked_sub(TRAILER_BYTES).ok_or_else(|| damaged(path, "it is cut off"))?;
    frames.input.seek(SeekFrom::Start(place)).map_err(|source| ArchiveError::io(path, source))?;
    let to = u64::from_be_bytes(frames.array()?);
    Ok(ArchiveRange { chain: head.chain, from: head.from, to: Height(to) })
}

fn damaged(path: &Path, reason: &'static str) -> ArchiveError {
    ArchiveError::Damaged { path: path.to_owned(), reason }
}

/// The first frame.
pub(crate) struct Head {
    pub(crate) genesis: GenesisHash,
    pub(crate) chain: ChainId,
    pub(crate) from: Height,
    pub(crate) sets: SetChain,
}

impl Head {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (chain, from) = (self.chain.0.to_be_bytes(), self.from.0.to_be_bytes());
        [self.genesis.0.as_slice(), &chain, &from, &self.sets.encode()].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (genesis, rest) = bytes.split_first_chunk::<32>()?;
        let (chain, rest) = rest.split_first_chunk::<4>()?;
        let (from, rest) = rest.split_first_chunk::<8>()?;
        Some(Self {
            genesis: GenesisHash(*genesis),
            chain: ChainId(u32::from_be_bytes(*chain)),
            from: Height(u64::from_be_bytes(*from)),
            sets: SetChain::decode(rest).ok()?,
        })
    }
}

/// A height as it lies in its frame.
pub(crate) struct ArchivedBlock {
    pub(crate) block: AuditBlock,
    pub(crate) result: Option<HeightResult>,
}

impl ArchivedBlock {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        let AuditBlock { block, batches, bundles, certificate, .. } = &self.block;
        part(&mut frame, &block.encode());
        part(&mut frame, certificate.as_deref().unwrap_or_default());
        part(&mut frame, &self.result.as_ref().map(HeightResult::encode).unwrap_or_default());
        for list in [batches, bundles] {
            frame.extend(u32::try_from(list.len()).unwrap_or(u32::MAX).to_be_bytes());
            list.iter().for_each(|bytes| part(&mut frame, bytes));
        }
        frame
    }

    /// `None` where the parts do not fill the frame.
    fn decode(frame: &[u8]) -> Option<Result<Self, ArchiveFault>> {
        let mut rest = frame;
        let block = take(&mut rest)?;
        let certificate = Some(take(&mut rest)?.to_vec()).filter(|bytes| !bytes.is_empty());
        let result = Some(take(&mut rest)?).filter(|bytes| !bytes.is_empty());
        let (batches, bundles) = (take_list(&mut rest)?, take_list(&mut rest)?);
        let decoded = || {
            let block = Block::decode(block)?;
            let result = result.map(HeightResult::decode).transpose()?;
            Ok(Self { block: AuditBlock { filed: None, block, batches, bundles, certificate }, result })
        };
        rest.is_empty().then(decoded)
    }
}

fn part(frame: &mut Vec<u8>, bytes: &[u8]) {
    // A part beyond 4 GiB is beyond every frame; its frame is refused.
    frame.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(bytes);
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (bytes, after) = after.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    *rest = after;
    Some(bytes)
}

fn take_list(rest: &mut &[u8]) -> Option<Vec<Vec<u8>>> {
    let (count, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    (0..u32::from_be_bytes(*count)).map(|_| take(rest).map(<[u8]>::to_vec)).collect()
}

/// Frames of a file, with the checksum of what was read.
struct Frames {
    path: PathBuf,
    input: BufReader<File>,
    hasher: Sha256,
    length: u64,
}

impl Frames {
    fn open(path: &Path, spec: &GenesisSpec) -> Result<(Self, Head), ArchiveError> {
        let failed = |source| ArchiveError::io(path, source);
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let mut frames =
            Self { path: path.to_owned(), input: BufReader::new(file), hasher: Sha256::new(), length };
        let mut magic = [0; MAGIC.len()];
        frames.fill(&mut magic)?;
        if magic != MAGIC {
            return Err(damaged(path, "it is no archive"));
        }
        let head = frames.frame()?.ok_or_else(|| damaged(path, "it has no beginning"))?;
        let head = Head::decode(&head).ok_or_else(|| damaged(path, "its beginning does not decode"))?;
        let expected = spec.hash();
        if head.genesis != expected {
            return Err(ArchiveError::OtherNetwork { path: path.to_owned(), found: head.genesis, expected });
        }
        Ok((frames, head))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), ArchiveError> {
        self.input.read_exact(bytes).map_err(|source| match source.kind() {
            std::io::ErrorKind::UnexpectedEof => damaged(&self.path, "it is cut off"),
            _ => ArchiveError::io(&self.path, source),
        })?;
        self.hasher.update(&*bytes);
        Ok(())
    }

    fn array<const BYTES: usize>(&mut self) -> Result<[u8; BYTES], ArchiveError> {
        let mut bytes = [0; BYTES];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// The next frame; `None` at the end of them.
    fn frame(&mut self) -> Result<Option<Vec<u8>>, ArchiveError> {
        let length = u32::from_be_bytes(self.array()?);
        if length == 0 {
            return Ok(None);
        }
        if length > FRAME_BYTES_MAX || u64::from(length) > self.length {
            return Err(damaged(&self.path, "a frame is longer than the file or than any block"));
        }
        let mut frame = vec![0; usize::try_from(length).unwrap_or_default()];
        self.fill(&mut frame)?;
        Ok(Some(frame))
    }
}

impl ArchiveReader {
    pub(crate) fn open(path: &Path, spec: &GenesisSpec) -> Result<Self, ArchiveError> {
        let (frames, head) = Frames::open(path, spec)?;
        let linked =
            Linked::new(spec, &head).map_err(|fault| ArchiveError::Sets { path: path.to_owned(), fault })?;
        Ok(Self { frames, linked, from: head.from, done: None, counts: [0; 3] })
    }

    /// The next height; `None` at the end, which was checked then.
    pub(crate) fn next(&mut self) -> Result<Option<ArchivedBlock>, ArchiveError> {
        if self.done.is_some() {
            return Ok(None);
        }
        let Some(frame) = self.frames.frame()? else { return self.end().map(|()| None) };
        let path = &self.frames.path;
        let archived = ArchivedBlock::decode(&frame)
            .ok_or_else(|| damaged(path, "the parts of a frame do not fill it"))?;
        let (chain, height) = (self.linked.chain, self.linked.next);
        let wrong = |fault| ArchiveError::Block { path: path.clone(), chain, height, fault: Box::new(fault) };
        let archived = archived.map_err(wrong)?;
        self.linked.check(&archived).map_err(wrong)?;
        let AuditBlock { batches, bundles, certificate, .. } = &archived.block;
        let added = [batches.len() as u64, bundles.len() as u64, u64::from(certificate.is_some())];
        for (count, added) in self.counts.iter_mut().zip(added) {
            *count = count.saturating_add(added);
        }
        Ok(Some(archived))
    }

    fn end(&mut self) -> Result<(), ArchiveError> {
        let to = Height(u64::from_be_bytes(self.frames.array()?));
        let checksum: [u8; 32] = self.frames.hasher.clone().finalize().into();
        let stated: [u8; 32] = self.frames.array()?;
        let path = &self.frames.path;
        if stated != checksum {
            return Err(damaged(path, "its checksum is another"));
        }
        let place = self.frames.input.stream_position().map_err(|source| ArchiveError::io(path, source))?;
        if place != self.frames.length {
            return Err(damaged(path, "something follows its end"));
        }
        if self.linked.certified != Some(to) || self.linked.next != to.next() {
            return Err(damaged(path, "its last block is another, or has no certificate"));
        }
        let [batches, bundles, certificates] = self.counts;
        self.done = Some(VerifiedArchive {
            range: ArchiveRange { chain: self.linked.chain, from: self.from, to },
            bytes: place,
            batches,
            bundles,
            certificates,
            certified_result: self.linked.claimed,
            checksum,
        });
        Ok(())
    }
}

/// Checks one height after the other, without state.
pub(crate) struct Linked {
    genesis: GenesisHash,
    pub(crate) chain: ChainId,
    sets: Sets,
    /// The height that is due.
    pub(crate) next: Height,
    parent: Option<BlockDigest>,
    /// The last height with a certificate of its own.
    pub(crate) certified: Option<Height>,
    /// Results that no block has claimed yet.
    unclaimed: BTreeMap<Height, ResultHash>,
    last_result: Option<ResultHash>,
    claimed: Option<Height>,
}

impl Linked {
    pub(crate) fn new(spec: &GenesisSpec, head: &Head) -> Result<Self, ledger::proofs::SetFault> {
        let (genesis, chain) = (spec.hash(), head.chain);
        let parent = (head.from == Height(1)).then(|| genesis_block_digest(genesis, chain));
        Ok(Self {
            genesis,
            chain,
            sets: head.sets.verify(spec, chain)?,
            next: head.from,
            parent,
            certified: None,
            unclaimed: BTreeMap::new(),
            last_result: None,
            claimed: None,
        })
    }

    /// Checks the height that is due, and makes the next one due.
    pub(crate) fn check(&mut self, archived: &ArchivedBlock) -> Result<(), ArchiveFault> {
        let AuditBlock { block, batches, bundles, certificate, .. } = &archived.block;
        let (header, body) = (&block.header, &block.body);
        if header.chain != self.chain || header.height != self.next {
            return Err(ArchiveFault::NotNext { found: header.height, chain: header.chain });
        }
        if let Some(before) = self.parent.filter(|before| *before != header.parent) {
            return Err(ArchiveFault::Parent { parent: header.parent, before });
        }
        check_body(header, body)?;
        let digests = batches.iter().map(|bytes| Ok(Batch::decode(bytes)?.content.digest(self.genesis)));
        ordered("batch", digests, &body.batches)?;
        let digests = bundles.iter().map(|bytes| Ok(Bundle::decode(bytes)?.digest(self.genesis)));
        ordered("bundle", digests, &body.bundles)?;
        let digest = header.digest(self.genesis);
        if let Some(bytes) = certificate {
            self.check_certificate(bytes, header.height, digest)?;
        }
        self.check_claim(header.claim.height, header.claim.result, header.height)?;
        if let Some(result) = &archived.result {
            self.check_result(result, digest)?;
        } else {
            self.last_result = None;
        }
        (self.parent, self.next) = (Some(digest), self.next.next());
        Ok(())
    }

    fn check_certificate(
        &mut self,
        bytes: &[u8],
        height: Height,
        digest: BlockDigest,
    ) -> Result<(), ArchiveFault> {
        let proof = FinalityProof::decode(bytes)?;
        let unknown = ledger::proofs::FinalityFault::EpochUnknown { chain: proof.chain, epoch: proof.epoch };
        let set = self.sets.epoch(proof.epoch).filter(|_| proof.chain == self.chain).ok_or(unknown)?;
        let is_its = set.first_height <= height && set.last_height.is_none_or(|last| height <= last);
        let proved = verify_finality_by(&proof, self.genesis, set)?;
        if proved != digest || !is_its {
            return Err(ArchiveFault::OtherBlock { proved, digest });
        }
        self.certified = Some(height);
        Ok(())
    }

    fn check_claim(
        &mut self,
        claimed: Height,
        result: ResultHash,
        claimed_by: Height,
    ) -> Result<(), ArchiveFault> {
        if let Some(found) = self.unclaimed.get(&claimed) {
            if *found != result {
                return Err(ArchiveFault::Result { claimed_by });
            }
            self.claimed = Some(claimed);
            // Each result commits to the one before.
            self.unclaimed = self.unclaimed.split_off(&claimed);
        }
        Ok(())
    }

    fn check_result(&mut self, result: &HeightResult, digest: BlockDigest) -> Result<(), ArchiveFault> {
        let follows = self.last_result.is_none_or(|last| last == result.previous);
        if result.height != self.next || result.chain != self.chain || result.block != digest || !follows {
            return Err(ArchiveFault::OtherResult);
        }
        let hash = result.hash(self.genesis);
        self.last_result = Some(hash);
        self.unclaimed.insert(result.height, hash);
        if self.unclaimed.len() > UNCLAIMED_MAX {
            self.unclaimed.pop_first();
        }
        Ok(())
    }
}

/// Whether digests are those that a block orders, in its order.
fn ordered<D: PartialEq>(
    what: &'static str,
    found: impl ExactSizeIterator<Item = Result<D, ArchiveFault>>,
    listed: &[D],
) -> Result<(), ArchiveFault> {
    if found.len() != listed.len() {
        return Err(ArchiveFault::Contents { what, place: found.len().min(listed.len()) });
    }
    for ((place, found), listed) in found.enumerate().zip(listed) {
        if found? != *listed {
            return Err(ArchiveFault::Contents { what, place });
        }
    }
    Ok(())
}
