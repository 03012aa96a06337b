//! The schema: who stores what, under which key, and how it is written. Declared here, once.
//!
//! | table | key | value | written | tuning |
//! | --- | --- | --- | --- | --- |
//! | `Meta` | ascii name, 1 to 64 B | schema details, tip heights, counters | rewritten at every block | tiny buffer, lz4 |
//! | `Batches` | batch digest(32) | batch bytes, 5 KB to 1 MB | once, synced before a vote; deleted when pruned | blob files |
//! | `Blocks` | block digest(32) | header and body, unfinalized ones too | once, synced before a vote | blob files |
//! | `Proposals` | height(8) block digest(32) | the bundles of the block, mostly none | with a block before a vote; deleted when a block of the height is executed | short-lived |
//! | `Heights` | height(8) | block digest(32) | once, in order | ascending: lz4, moved, not rewritten |
//! | `Certificates` | height(8) | finality proof | once, in order | ascending |
//! | `Results` | height(8) | result record | once, in order | ascending |
//! | `Outcomes` | height(8) | encoded outcomes of the block | once, in order | ascending |
//! | `Transactions` | transaction id(32) | height(8) index(4) | once, scattered | hashed: bloom, 4 KB blocks, lz4 |
//! | `Records` | slot(8) | state record, about 120 B | rewritten whenever touched | updated: bloom, 4 KB blocks, lz4 over zstd |
//! | `Slots` | id of a wallet, lock or offer(32) | slot(8) | once, scattered | hashed |
//! | `History` | slot(8) height(8) index(4) part(2) | small entry | once, clustered by slot | clustered: 8 KB blocks, lz4 over zstd |
//! | `Undo` | height(8) | undo bytes | once, deleted when the height is certified | short-lived: compacted on deletion |
//! | `Bundles` | bundle digest(32) | bundle bytes, 1 KB to 200 KB | with the executed block that names it | blob files |
//! | `Receipts` | destination(4) sequence(8) | receipt sent, with the height that sent it | once, clustered by destination | clustered |
//! | `Outboxes` | height(8) | peaks of what was sent to every chain | once for a height that sent something, in order | ascending |
//! | `Refunds` | destination(4) sequence(8) of a credit that this chain sent | source(4) sequence(8) of the refund that answered it | rare | clustered |
//! | `Registries` | height(8) | registry after it, where it changed; genesis at 0 | rare, in order | ascending |
//! | `Evidence` | sequence(8) | evidence bytes, bounded by its writer | rare, deleted from the front | short-lived |
//!
//! Integers in keys are big-endian, so byte order is numeric order (`key.rs` builds them). Values are opaque
//! here: their encodings belong to `ledger` and `chain`. What a pattern means in RocksDB options is said in
//! `rocks/tuning.rs`.
//!
//! Changing a row changes what is on disk: raise `Identity::schema_version` with it.

use std::fmt;

/// A table. The discriminant is its row in [`SCHEMA`]; it is not stored, names are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Ascii name to bytes: tip heights, counters and other single values.
    Meta,
    /// Batch digest(32) to batch bytes.
    Batches,
    /// Block digest(32) to header and body; written before voting, so it holds unfinalized blocks too.
    Blocks,
    /// Height(8) block digest(32) to the block's bundles: blocks that are not executed yet, found again after a start.
    Proposals,
    /// Height(8) to block digest(32): the finalized order.
    Heights,
    /// Height(8) to finality proof bytes.
    Certificates,
    /// Height(8) to result record bytes.
    Results,
    /// Height(8) to the encoded outcomes of the block.
    Outcomes,
    /// Transaction id(32) to height(8) index(4).
    Transactions,
    /// Slot(8) to state record bytes: wallets, locks, offers and system records.
    Records,
    /// Id(32) of a wallet, lock or offer to slot(8).
    Slots,
    /// Slot(8) height(8) index(4) part(2) to a small entry.
    History,
    /// Height(8) to undo bytes, kept until the height is certified.
    Undo,
    /// Sequence(8) to evidence bytes; its writer bounds it.
    Evidence,
    /// Bundle digest(32) to bundle bytes.
    Bundles,
    /// Destination(4) sequence(8) to a sent receipt and the height that sent it.
    Receipts,
    /// Height(8) to the outboxes after it, where it sent something.
    Outboxes,
    /// Destination(4) sequence(8) of a credit to the source(4) sequence(8) of the refund that came back.
    Refunds,
    /// Height(8) to the registry after it, where it changed.
    Registries,
}

/// One row of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSpec {
    /// The table.
    pub table: Table,
    /// Its name on disk (a RocksDB column family) and in messages.
    pub name: &'static str,
    /// What its keys look like.
    pub key: KeyLayout,
    /// How it is written, from which its tuning follows.
    pub pattern: WritePattern,
}

/// The shape of a table's keys, checked at every write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyLayout {
    /// 1 to [`KeyLayout::NAME_BYTES_MAX`] printable ascii bytes.
    Name,
    /// Exactly this many bytes.
    Fixed(usize),
}

/// How a table is written. Each pattern has one set of RocksDB options, with reasons, in `rocks/tuning.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WritePattern {
    /// A handful of small values, rewritten at every block.
    Rewritten,
    /// Large values under digests, written once, deleted long after.
    Blob,
    /// Keys only ascend; each is written once.
    Ascending,
    /// Small values under digests, written once, read by key, often asked for in vain.
    Hashed,
    /// Small values read and rewritten by key.
    Updated,
    /// Small values inserted under many prefixes, read as ranges of one prefix.
    Clustered,
    /// Written in order and deleted in order soon after.
    ShortLived,
}

/// The schema table, in the order of [`Table`].
pub const SCHEMA: [TableSpec; Table::COUNT] = [
    row(Table::Meta, "meta", KeyLayout::Name, WritePattern::Rewritten),
    row(Table::Batches, "batches", KeyLayout::Fixed(32), WritePattern::Blob),
    row(Table::Blocks, "blocks", KeyLayout::Fixed(32), WritePattern::Blob),
    row(Table::Proposals, "proposals", KeyLayout::Fixed(40), WritePattern::ShortLived),
    row(Table::Heights, "heights", KeyLayout::Fixed(8), WritePattern::Ascending),
    row(Table::Certificates, "certificates", KeyLayout::Fixed(8), WritePattern::Ascending),
    row(Table::Results, "results", KeyLayout::Fixed(8), WritePattern::Ascending),
    row(Table::Outcomes, "outcomes", KeyLayout::Fixed(8), WritePattern::Ascending),
    row(Table::Transactions, "transactions", KeyLayout::Fixed(32), WritePattern::Hashed),
    row(Table::Records, "records", KeyLayout::Fixed(8), WritePattern::Updated),
    row(Table::Slots, "slots", KeyLayout::Fixed(32), WritePattern::Hashed),
    row(Table::History, "history", KeyLayout::Fixed(22), WritePattern::Clustered),
    row(Table::Undo, "undo", KeyLayout::Fixed(8), WritePattern::ShortLived),
    row(Table::Evidence, "evidence", KeyLayout::Fixed(8), WritePattern::ShortLived),
    row(Table::Bundles, "bundles", KeyLayout::Fixed(32), WritePattern::Blob),
    row(Table::Receipts, "receipts", KeyLayout::Fixed(12), WritePattern::Clustered),
    row(Table::Outboxes, "outboxes", KeyLayout::Fixed(8), WritePattern::Ascending),
    row(Table::Refunds, "refunds", KeyLayout::Fixed(12), WritePattern::Clustered),
    row(Table::Registries, "registries", KeyLayout::Fixed(8), WritePattern::Ascending),
];

const fn row(table: Table, name: &'static str, key: KeyLayout, pattern: WritePattern) -> TableSpec {
    TableSpec { table, name, key, pattern }
}

impl Table {
    /// How many tables there are.
    pub const COUNT: usize = 19;

    /// Every table, in schema order.
    pub const ALL: [Self; Self::COUNT] = {
        let mut all = [Self::Meta; Self::COUNT];
        let mut index = 0;
        while index < Self::COUNT {
            all[index] = SCHEMA[index].table;
            // The schema's order is the enum's order: `spec` relies on it.
            assert!(all[index] as usize == index);
            index += 1;
        }
        all
    };

    /// The table's row of the schema.
    #[must_use]
    pub const fn spec(self) -> &'static TableSpec {
        &SCHEMA[self as usize]
    }

    /// The table's name on disk and in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.spec().name
    }

    /// The table with this name on disk.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        SCHEMA.iter().find(|spec| spec.name == name).map(|spec| spec.table)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl KeyLayout {
    /// The longest name; a bound on `Meta`'s keys.
    pub const NAME_BYTES_MAX: usize = 64;

    /// Whether `key` has this shape.
    #[must_use]
    pub fn admits(self, key: &[u8]) -> bool {
        match self {
            Self::Name => {
                (1..=Self::NAME_BYTES_MAX).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic)
            }
            Self::Fixed(bytes) => key.len() == bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found_again() {
        for table in Table::ALL {
            assert_eq!(Table::from_name(table.name()), Some(table));
            assert_eq!(table.spec().table, table);
        }
        assert_eq!(Table::from_name("default"), None);
    }

    #[test]
    fn key_layouts_admit_exactly_their_shape() {
        assert!(KeyLayout::Fixed(8).admits(&[0; 8]));
        assert!(!KeyLayout::Fixed(8).admits(&[0; 7]));
        assert!(!KeyLayout::Fixed(8).admits(&[0; 9]));
        assert!(KeyLayout::Name.admits(b"tip/final"));
        assert!(!KeyLayout::Name.admits(b""));
        assert!(!KeyLayout::Name.admits(b"tip final"));
        assert!(!KeyLayout::Name.admits(&[b'a'; 65]));
        assert!(!KeyLayout::Name.admits("tüp".as_bytes()));
    }
}
