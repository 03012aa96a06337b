//! Writes an archive: every height is checked before it is written, and the whole file once more before it gets its name.
//!
//! Blocks wait in memory until one comes with a certificate, so that the file ends with one. Written is `FILE.part`, which is renamed at the
//! end; a writer that is dropped before removes it.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use ledger::proofs::SetChain;
use ledger::records::{GenesisSpec, HeightResult};
use ledger::values::{ChainId, Height};
use sha2::{Digest as _, Sha256};

use crate::archive::{ArchivedBlock, FRAME_BYTES_MAX, Head, Linked, MAGIC, VerifiedArchive, verify_archive};
use crate::archive_error::ArchiveError;
use crate::feed::BLOCKS_TO_CERTIFICATE_MAX;
use crate::source::AuditBlock;

/// Balances are nobody else's business.
const MODE: u32 = 0o600;

/// An archive that is being written.
pub struct ArchiveWriter<'a> {
    spec: &'a GenesisSpec,
    path: PathBuf,
    part: PathBuf,
    output: BufWriter<File>,
    hasher: Sha256,
    linked: Linked,
    from: Height,
    /// Frames since the last certificate.
    waiting: Vec<Vec<u8>>,
    is_done: bool,
}

impl<'a> ArchiveWriter<'a> {
    /// Begins `path` with the height `from`. `sets` are the changes of set at least up to the epoch of the last block.
    ///
    /// # Errors
    /// [`ArchiveError`], where there is something already or the sets are not proved.
    pub fn create(
        path: &Path,
        spec: &'a GenesisSpec,
        (chain, from): (ChainId, Height),
        sets: SetChain,
    ) -> Result<Self, ArchiveError> {
        if path.exists() {
            return Err(ArchiveError::Exists { path: path.to_owned() });
        }
        let head = Head { genesis: spec.hash(), chain, from, sets };
        let linked =
            Linked::new(spec, &head).map_err(|fault| ArchiveError::Sets { path: path.to_owned(), fault })?;
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(&part);
        let output = BufWriter::new(file.map_err(|source| ArchiveError::io(&part, source))?);
        let mut writer = Self {
            spec,
            path: path.to_owned(),
            part,
            output,
            hasher: Sha256::new(),
            linked,
            from,
            waiting: Vec::new(),
            is_done: false,
        };
        writer.write(MAGIC)?;
        writer.frame(&head.encode())?;
        Ok(writer)
    }

    /// Adds the next height.
    ///
    /// # Errors
    /// [`ArchiveError`]; the file comes to nothing then.
    pub fn push(&mut self, block: AuditBlock, result: Option<HeightResult>) -> Result<(), ArchiveError> {
        let archived = ArchivedBlock { block, result };
        let (chain, height) = (self.linked.chain, self.linked.next);
        self.linked.check(&archived).map_err(|fault| ArchiveError::Block {
            path: self.path.clone(),
            chain,
            height,
            fault: Box::new(fault),
        })?;
        self.waiting.push(archived.encode());
        if archived.block.certificate.is_some() {
            for frame in std::mem::take(&mut self.waiting) {
                self.frame(&frame)?;
            }
        }
        if self.waiting.len() as u64 > BLOCKS_TO_CERTIFICATE_MAX {
            return Err(ArchiveError::NoCertificate { from: self.linked.certified.unwrap_or(self.from) });
        }
        Ok(())
    }

    /// Ends the archive with the last block that came with a certificate, reads it again whole, and gives it its name.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn finish(mut self) -> Result<VerifiedArchive, ArchiveError> {
        let to = self.linked.certified.ok_or(ArchiveError::NoCertificate { from: self.from })?;
        self.write(&0_u32.to_be_bytes())?;
        self.write(&to.0.to_be_bytes())?;
        let checksum: [u8; 32] = self.hasher.clone().finalize().into();
        self.write(&checksum)?;
        let failed = |source| ArchiveError::io(&self.part, source);
        self.output.flush().map_err(failed)?;
        self.output.get_ref().sync_all().map_err(failed)?;
        let verified = verify_archive(&self.part, self.spec)?;
        std::fs::rename(&self.part, &self.path).map_err(failed)?;
        self.is_done = true;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new("."));
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|source| ArchiveError::io(folder, source))?;
        Ok(verified)
    }

    fn frame(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= FRAME_BYTES_MAX);
        let reason = "a frame is longer than any block";
        let length = length.ok_or_else(|| ArchiveError::Damaged { path: self.path.clone(), reason })?;
        self.write(&length.to_be_bytes())?;
        self.write(bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.hasher.update(bytes);
        self.output.write_all(bytes).map_err(|source| ArchiveError::io(&self.part, source))
    }
}

impl Drop for ArchiveWriter<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            // What is left of it is no archive: nothing is lost where it stays.
            let _left = std::fs::remove_file(&self.part);
        }
    }
}
