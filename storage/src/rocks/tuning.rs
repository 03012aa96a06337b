//! Every RocksDB option that is not left at its default, with its reason.
//!
//! One database per chain. Its memory is `cache_bytes` (data, index and filter blocks) plus about
//! `write_buffer_bytes`, plus a few MB for open files.

use rocksdb::statistics::StatsLevel;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode, InfoLogger,
    LogLevel, Options,
};

use crate::table::{SCHEMA, WritePattern};

/// What an operator may set. Everything else follows from the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RocksOptions {
    /// Block cache shared by all tables: data, index and filter blocks. A million wallets of 120 B fit in the
    /// default with their indexes.
    pub cache_bytes: usize,
    /// Write buffers of all tables together; reaching it flushes the largest.
    pub write_buffer_bytes: usize,
    /// Table and blob files held open.
    pub open_files: u16,
}

impl Default for RocksOptions {
    fn default() -> Self {
        Self { cache_bytes: 128 << 20, write_buffer_bytes: 64 << 20, open_files: 512 }
    }
}

/// Flushes plus compactions at a time: the machine's cores belong to signature checks.
const BACKGROUND_JOBS: i32 = 2;
/// Total write-ahead log before the oldest table is flushed. It bounds replay after a crash: at about 100
/// MB/s, one to two seconds.
const WAL_BYTES_MAX: u64 = 128 << 20;
/// Written bytes are handed to the device this often, so that a sync finds little left to write: 6 MB at once
/// took 25 to 30 ms where 1 MB took one.
const BYTES_PER_SYNC: u64 = 512 << 10;
/// The info log: this many files of this size.
const INFO_LOG_FILES: usize = 4;
const INFO_LOG_BYTES: usize = 2 << 20;
/// The MANIFEST is rewritten when it reaches this size; it is read at every start.
const MANIFEST_BYTES_MAX: usize = 16 << 20;
/// Write buffer of a table that takes most of the writes.
const BUFFER_BYTES: usize = 16 << 20;
/// Write buffer of a table with few small values.
const BUFFER_BYTES_SMALL: usize = 1 << 20;
/// Write buffers grow by this much. The library's own step is an eighth of a buffer: two dozen tables of a chain that shares its
/// memory with seven others would then reach [`RocksOptions::write_buffer_bytes`] with nothing in them, and be flushed without end.
const BUFFER_STEP_BYTES: usize = 128 << 10;
/// Table files: small enough that one compaction step is short.
const TABLE_FILE_BYTES: u64 = 32 << 20;
/// Values from this size on go to blob files. Below, a second read per value costs more than rewriting it.
const BLOB_BYTES_MIN: u64 = 2 << 10;
/// A blob file goes when all its values are gone, so files must not span too long a time.
const BLOB_FILE_BYTES: u64 = 64 << 20;
/// Ten bits per key: about 1 % of vain lookups read a block.
const BLOOM_BITS: f64 = 10.0;

/// Share of a write buffer that its own filter takes: about ten bits per key.
const BUFFER_BLOOM_RATIO: f64 = 0.02;

/// A row is put into a write buffer from the place of the row before it, and not from the top: the rows of one write come sorted, so few steps
/// lie between. One place is kept for each first byte of a key.
const INSERT_HINT: &str = "memtable_insert_with_hint_prefix_extractor=rocksdb.FixedPrefix.1";

/// How the database is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// For writing; may create the database when the directory is claimed and empty.
    Write {
        /// Whether there is nothing yet.
        create: bool,
    },
    /// For reading a stopped node or a checkpoint; leaves no trace in the directory.
    Read,
    /// For reading a live node.
    Follow,
}

/// Options of the database as a whole.
pub(super) fn database(options: &RocksOptions, access: Access) -> Options {
    let mut database = Options::default();
    database.create_if_missing(access == Access::Write { create: true });
    // A crash while creating may leave a database without some of its tables; they are empty then. (A table
    // cannot get lost otherwise: the MANIFEST has been checked.)
    database.create_missing_column_families(matches!(access, Access::Write { .. }));
    // Check everything that is read at open, and stop writing at the first inconsistency.
    database.set_paranoid_checks(true);
    // Stop at a torn tail and keep the prefix. What else could make it stop has been refused by
    // `log_file.rs`.
    database.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    // Recycled logs end in records of their past; then a torn tail could not be told from a changed byte.
    database.set_recycle_log_file_num(0);
    // A missing or shortened older log is refused. Followers cannot check it (they read while logs are
    // deleted).
    database.set_track_and_verify_wals_in_manifest(access != Access::Follow);
    database.set_max_total_wal_size(WAL_BYTES_MAX);
    database.set_wal_bytes_per_sync(BYTES_PER_SYNC);
    database.set_bytes_per_sync(BYTES_PER_SYNC);
    database.set_db_write_buffer_size(options.write_buffer_bytes);
    database.set_max_background_jobs(BACKGROUND_JOBS);
    // A follower must hold its files, because the node deletes them under its feet.
    let open_files = if access == Access::Follow { -1 } else { i32::from(options.open_files) };
    database.set_max_open_files(open_files);
    // Deleting large files can take milliseconds: leave it to the background.
    database.set_avoid_unnecessary_blocking_io(true);
    database.set_max_manifest_file_size(MANIFEST_BYTES_MAX);
    database.set_keep_log_file_num(INFO_LOG_FILES);
    database.set_max_log_file_size(INFO_LOG_BYTES);
    database.set_log_level(LogLevel::Info);
    // Periodic dumps are noise in the info log; `Store::statistics` has the numbers.
    database.set_stats_dump_period_sec(0);
    database.set_stats_persist_period_sec(0);
    match access {
        Access::Write { .. } => {
            database.enable_statistics();
            // Counters only: timers and histograms cost clock calls on every read.
            database.set_statistics_level(StatsLevel::ExceptHistogramOrTimers);
        }
        // A reader's info log would appear in the directory it only reads.
        Access::Read | Access::Follow => {
            database.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Fatal, |_, _| {}));
        }
    }
    database
}

/// Every table of the schema with its options.
pub(super) fn families(cache: &Cache) -> Vec<ColumnFamilyDescriptor> {
    SCHEMA.iter().map(|spec| ColumnFamilyDescriptor::new(spec.name, family(spec.pattern, cache))).collect()
}

fn family(pattern: WritePattern, cache: &Cache) -> Options {
    // The option names a function that no setter takes. A library that does not know it writes as before, only slower; a test would tell.
    let mut family = Options::default().get_options_from_string(INSERT_HINT).unwrap_or_default();
    family.set_write_buffer_size(BUFFER_BYTES);
    family.set_arena_block_size(BUFFER_STEP_BYTES);
    family.set_target_file_size_base(TABLE_FILE_BYTES);
    // Fast above, small at the bottom, where nine tenths of the rows are and few rewrites happen.
    family.set_compression_type(DBCompressionType::Lz4);
    family.set_bottommost_compression_type(DBCompressionType::Zstd);
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    // Index and filter blocks are counted in the cache, so that it bounds memory; those of fresh files stay.
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    blocks.set_optimize_filters_for_memory(true);
    match pattern {
        WritePattern::Rewritten => family.set_write_buffer_size(BUFFER_BYTES_SMALL),
        WritePattern::Blob => blob(&mut family, &mut blocks),
        WritePattern::Ascending => {
            write_once(&mut family);
            // Keys only ascend, so files never overlap and compaction moves them instead of rewriting them,
            // but only if all levels compress alike. Whole blocks of one height are read: large blocks. Most of
            // it are digests, which zstd cannot shrink either.
            family.set_bottommost_compression_type(DBCompressionType::Lz4);
            blocks.set_block_size(16 << 10);
            family.set_write_buffer_size(BUFFER_BYTES / 2);
        }
        WritePattern::Hashed => {
            write_once(&mut family);
            // Digests do not compress; zstd at the bottom would only cost time.
            family.set_bottommost_compression_type(DBCompressionType::Lz4);
            // "Do I know this transaction?" is usually answered no: without a read, and without a search in the
            // write buffer, whose scattered keys miss the processor's caches at every step.
            blocks.set_bloom_filter(BLOOM_BITS, false);
            family.set_memtable_whole_key_filtering(true);
            family.set_memtable_prefix_bloom_ratio(BUFFER_BLOOM_RATIO);
            blocks.set_block_size(4 << 10);
        }
        WritePattern::Updated => {
            // Single records are read: a small block wastes less cache. The filter finds the level with the
            // newest version without reading the others.
            blocks.set_bloom_filter(BLOOM_BITS, false);
            blocks.set_block_size(4 << 10);
        }
        WritePattern::Clustered => {
            write_once(&mut family);
            // A page of one wallet's history is a few KB in one place.
            blocks.set_block_size(8 << 10);
        }
        WritePattern::ShortLived => {
            family.set_write_buffer_size(BUFFER_BYTES / 4);
            family.set_bottommost_compression_type(DBCompressionType::Lz4);
            // Deleted from the front: without this, a read of the first row walks over all old deletions.
            family.add_compact_on_deletion_collector_factory(1024, 512, 0.5);
        }
    }
    family.set_block_based_table_factory(&blocks);
    family
}

/// Large values leave the sorted tables: compaction then moves 40 bytes per value instead of the value.
fn blob(family: &mut Options, blocks: &mut BlockBasedOptions) {
    write_once(family);
    family.set_enable_blob_files(true);
    family.set_min_blob_size(BLOB_BYTES_MIN);
    family.set_blob_file_size(BLOB_FILE_BYTES);
    // Batches are mostly signatures, keys and digests. What repeats in them (wallet ids, layout) is what lz4
    // finds at several hundred MB/s.
    family.set_blob_compression_type(DBCompressionType::Lz4);
    // Pruning deletes values roughly in the order of writing: whole files go, stragglers in the oldest
    // quarter move.
    family.set_enable_blob_gc(true);
    family.set_blob_gc_age_cutoff(0.25);
    family.set_blob_gc_force_threshold(0.5);
    // "Do I have this batch?" is asked for every batch announced.
    blocks.set_bloom_filter(BLOOM_BITS, false);
}

/// RocksDB rewrites files that nobody touched for thirty days, to be sure deletions get through. Where rows
/// are written once, that would rewrite the whole history every month.
fn write_once(family: &mut Options) {
    family.set_ttl(0);
    family.set_periodic_compaction_seconds(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_knows_the_hint_for_inserts() {
        assert!(Options::default().get_options_from_string(INSERT_HINT).is_ok());
        assert!(Options::default().get_options_from_string("memtable_insert_from_the_moon=1").is_err());
    }
}
