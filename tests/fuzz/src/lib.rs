//! What must hold for whatever bytes a stranger sends: one function for every decoder and every network frame.
//!
//! | file | whose bytes |
//! | --- | --- |
//! | `records` | the ledger's records and proofs, and their checks that need no state |
//! | `text` | ids, amounts and hashes as people write them |
//! | `files` | genesis and its ceremony, proposals, key files, partially signed transactions |
//! | `rest` | bodies, pages and JSON of the REST contract (feature `rest`) |
//! | `frames` | what nodes send each other (feature `node`) |
//! | `rows` | what lies on disk, and `node.toml` (feature `node`) |
//! | [`seeds`] | where the search begins |
//! | `world` | the network of the frozen vectors, by whose rules the bytes are judged |
//!
//! What holds for each:
//! 1. Nothing panics: neither the decoder, nor a check that needs no state, nor the `Debug` text of what was decoded.
//! 2. What decodes encodes to the bytes that it came from; text of which several spellings are allowed reads back as the same value.
//! 3. What is allocated at one time is bounded by the length of the input ([`Target::allocated_max`]).
//!
//! `tests/corpus.rs` runs the saved corpus and some thousand changes of each file on every commit; `make fuzz` goes on from there for as
//! long as it is told.

mod files;
#[cfg(feature = "node")]
mod frames;
mod records;
#[cfg(feature = "rest")]
mod rest;
#[cfg(feature = "node")]
mod rows;
pub mod seeds;
mod text;
mod world;

/// A decoder and what must hold for it.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: of the folder of its corpus, and for `make fuzz TARGET=`.
    pub name: &'static str,
    /// Panics where something does not hold.
    pub run: fn(&[u8]),
    /// What it may reserve for an empty input, in bytes.
    reserved: usize,
}

/// A canonical list may announce more entries than there are bytes: `wincode` then reserves up to 4 MiB for it before it misses them. Lists
/// stand four deep at most (chains, epochs, validators; links, epochs).
const RESERVED_CANONICAL: usize = 4 * (4 << 20);
/// Text and framed bytes are never reserved for before they are there. (A first use makes tables of the curve and the like.)
const RESERVED_PLAIN: usize = 1 << 20;
/// Memory per byte of input: a record in memory beside its bytes, its copies, its text for people, its signatures' tables.
const ALLOCATED_PER_BYTE: usize = 128;

impl Target {
    const fn canonical(name: &'static str, run: fn(&[u8])) -> Self {
        Self { name, run, reserved: RESERVED_CANONICAL }
    }

    const fn plain(name: &'static str, run: fn(&[u8])) -> Self {
        Self { name, run, reserved: RESERVED_PLAIN }
    }

    /// The target of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        targets().find(|target| target.name == name)
    }

    /// Most bytes that may be allocated at one time while an input of that length is judged.
    #[must_use]
    pub const fn allocated_max(&self, length: usize) -> usize {
        self.reserved.saturating_add(length.saturating_mul(ALLOCATED_PER_BYTE))
    }
}

/// Every target of the features that this crate was built with.
pub fn targets() -> impl Iterator<Item = &'static Target> {
    #[cfg(feature = "rest")]
    let rest = rest::TARGETS;
    #[cfg(not(feature = "rest"))]
    let rest: &'static [Target] = &[];
    #[cfg(feature = "node")]
    let node = [frames::TARGETS, rows::TARGETS];
    #[cfg(not(feature = "node"))]
    let node: [&'static [Target]; 0] = [];
    [records::TARGETS, text::TARGETS, files::TARGETS, rest].into_iter().chain(node).flatten()
}
