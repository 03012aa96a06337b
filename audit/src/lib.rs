//! # audit: a stranger replays the chain
//!
//! Reads blocks, batches, bundles and certificates, from archives and a node's feed or out of a data directory, and trusts none of it: only
//! the genesis file, which leads to what later chains begin with. Every signature, seal, link and certificate is verified, every block executed again by the production
//! ledger, every claimed result compared, and of a database every stored row besides. When several chains were replayed, what
//! one received is compared with what the other sent. The first thing that does not fit is
//! named: chain, height, transaction, receipt or wallet, and both values.
//!
//! ```text
//!  FeedSource ─┐
//!              ├─▶ fetch ──▶ verify ──▶ execute ──▶ compare ──▶ Report │ Difference
//! ArchiveSource ─┤
//! DatabaseSource ┘                                                │ one per chain
//!                                                                 └─▶ compare_across ──▶ Across │ Difference
//! ```
//!
//! | file | what it holds |
//! | --- | --- |
//! | `replay.rs` | [`Replay`]: the four stages and what ties them together |
//! | `source.rs` | [`Source`]: where blocks come from; `database.rs` and `feed.rs` are two, `archive_source.rs` goes before them |
//! | `archive.rs`, `archive_writer.rs`, `archive_error.rs` | the certified archive of a range of heights: its form, its checks, how it is written |
//! | `verify.rs` | what is judged without state: links, bodies, seals, bundles, signatures, certificates |
//! | `execute.rs` | the ledger again, the claims of blocks, and the last word on who may decide them |
//! | `settled.rs` | what becomes of each receipt that a height executed |
//! | `fees.rs` | what each transaction is charged |
//! | `beginning.rs` | [`beginning()`]: what a chain begins with that operators added |
//! | `records.rs` | the replay's own records in memory |
//! | `journal.rs` | what is kept of a replayed chain for the comparison across chains |
//! | `across.rs` | [`compare_across`], [`compare_journals`]: receipts and supply between chains |
//! | `stored.rs` | rows of each height against the replay's |
//! | `stored_state.rs` | at the end: records, indexes, head and counts |
//! | `difference.rs` | [`Difference`]: the finding, its place, both values |
//! | `report.rs` | [`Report`]: what a replay without a finding says |
//! | `cores.rs` | the thread pool behind the ledger's strategy |
//! | `error.rs` | [`AuditError`]: verdicts, and reasons why the auditor could not look |
//!
//! # Invariants
//!
//! 1. The state comes from genesis and transactions alone; nothing stored or sent flows into it. What a chain begins with that operators
//!    added comes from the root chain's replay, or from an origin that the root chain's validators have certified.
//! 2. The difference that is reported is the one with the lowest height.
//! 3. Memory holds the state's records, a bounded number of pages, and about 100 bytes for each height and other chain with which
//!    receipts were exchanged there and for each wallet that moved; otherwise it does not grow with the length of the chain.
//! 4. The verdict does not depend on the number of threads.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod across;
mod archive;
mod archive_error;
mod archive_source;
mod archive_writer;
mod beginning;
mod cores;
mod database;
mod difference;
mod error;
mod execute;
mod feed;
mod fees;
mod journal;
mod records;
mod replay;
mod report;
mod settled;
mod source;
mod stored;
mod stored_state;
mod verify;

pub use across::{Across, CurrencySupply, Pair, compare_across, compare_journals};
pub use archive::{
    ARCHIVE_EXTENSION, ArchiveFile, ArchiveRange, FRAME_BYTES_MAX, VerifiedArchive, archives_in,
    verify_archive,
};
pub use archive_error::{ArchiveError, ArchiveFault};
pub use archive_source::ArchiveSource;
pub use archive_writer::ArchiveWriter;
pub use beginning::{ORIGIN_ROW, beginning, stored_origin};
pub use cores::THREADS_MAX;
pub use database::{DatabaseSource, PRUNED_ROW};
pub use difference::{Difference, Finding, Place, Value};
pub use error::AuditError;
pub use execute::UNCLAIMED_RESULTS_MAX;
pub use feed::{BLOCKS_TO_CERTIFICATE_MAX, FeedSource};
pub use journal::{Arrival, Journal, Numbered, Relocation};
pub use replay::{PAGES_WAITING, Replay};
pub use report::{Child, Progress, Report, StoredRows, Tally};
pub use source::{AuditBlock, PAGE_BLOCKS_MAX, PAGE_BYTES, Source};
pub use stored::origin_parts_row;
pub use stored_state::HEAD_ROW;
