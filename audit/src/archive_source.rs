//! Blocks out of archives, one file after the other without a gap, and then out of another source.

use std::collections::VecDeque;
use std::path::Path;

use ledger::records::GenesisSpec;
use ledger::values::{ChainId, Height};

use crate::archive::{ArchiveFile, ArchiveReader, archives_in};
use crate::error::AuditError;
use crate::source::{AuditBlock, PAGE_BLOCKS_MAX, PAGE_BYTES, Source};

/// Makes the source that goes on from a height.
type Rest<'a> = Box<dyn FnOnce(Height) -> Result<Box<dyn Source + 'a>, AuditError> + Send + 'a>;

/// Reads a chain's final blocks from archives, and what is above them from elsewhere.
pub struct ArchiveSource<'a> {
    spec: &'a GenesisSpec,
    files: VecDeque<ArchiveFile>,
    open: Option<ArchiveReader>,
    next: Height,
    rest: Option<Rest<'a>>,
    followed: Option<Box<dyn Source + 'a>>,
}

impl<'a> ArchiveSource<'a> {
    /// A source over the archives of `chain` in `directory`, which goes on with what `rest` makes for the height above them: height 1 where
    /// there are none.
    ///
    /// # Errors
    /// [`AuditError::Archive`].
    pub fn new(
        directory: &Path,
        spec: &'a GenesisSpec,
        chain: ChainId,
        rest: Rest<'a>,
    ) -> Result<Self, AuditError> {
        let mut next = Height(1);
        let mut files = VecDeque::new();
        for file in archives_in(directory, spec, chain)? {
            if file.range.from <= next && file.range.to >= next {
                next = file.range.to.next();
                files.push_back(file);
            }
        }
        Ok(Self { spec, files, open: None, next: Height(1), rest: Some(rest), followed: None })
    }

    /// The next block of the archives; `None` above them.
    fn next_block(&mut self) -> Result<Option<AuditBlock>, AuditError> {
        loop {
            if self.open.is_none() {
                let Some(file) = self.files.front() else { return Ok(None) };
                self.open = Some(ArchiveReader::open(&file.path, self.spec)?);
            }
            let archived = self.open.as_mut().map(ArchiveReader::next).transpose()?.flatten();
            match archived {
                // Archives may overlap.
                Some(archived) if archived.block.block.header.height < self.next => {}
                Some(archived) => {
                    self.next = self.next.next();
                    return Ok(Some(archived.block));
                }
                None => {
                    self.open = None;
                    self.files.pop_front();
                }
            }
        }
    }
}

impl Source for ArchiveSource<'_> {
    fn next_page(&mut self) -> Result<Vec<AuditBlock>, AuditError> {
        let (mut page, mut bytes) = (Vec::new(), 0_usize);
        while page.len() < PAGE_BLOCKS_MAX && bytes < PAGE_BYTES {
            let Some(block) = self.next_block()? else { break };
            bytes = bytes.saturating_add(block.weight());
            page.push(block);
        }
        if !page.is_empty() {
            return Ok(page);
        }
        if let Some(rest) = self.rest.take() {
            self.followed = Some(rest(self.next)?);
        }
        self.followed.as_mut().map_or(Ok(Vec::new()), |source| source.next_page())
    }

    fn height_hint(&self) -> Option<u64> {
        match &self.followed {
            Some(source) => source.height_hint(),
            None => self.files.back().map(|file| file.range.to.0),
        }
    }
}
