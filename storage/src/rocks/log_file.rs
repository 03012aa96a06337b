//! Checks write-ahead logs and the MANIFEST before RocksDB recovers from them.
//!
//! RocksDB has to choose one answer to a bad record for every cause: its point-in-time recovery stops there
//! and *silently* drops what follows, even if that was synced; its absolute-consistency recovery refuses to
//! start after every crash that tore the last record. We need both: a torn tail is ordinary (the write was
//! never acknowledged), a changed byte in the middle is corruption and must stop the node. The two can be
//! told apart, because a crash leaves a *prefix* of what was appended:
//!
//! | what stands at the first record that does not check | verdict |
//! | --- | --- |
//! | fewer bytes than a header, then the end of the file | torn |
//! | a length that reaches beyond the end of the file, and no shorter length makes the checksum right | torn |
//! | zeros up to the end of the file (space that was reserved and never written) | torn |
//! | the same length story, but some shorter length makes the checksum right: the length was changed | corrupt |
//! | a complete record with a wrong checksum, an unknown type, or a length that crosses a block | corrupt |
//!
//! So after this check RocksDB's point-in-time mode only ever meets torn tails. A device that writes pages of
//! an unsynced tail out of order can leave a complete record with a wrong checksum; that is refused too. It
//! is the safe side: the operator sets the directory aside and the node rejoins.
//!
//! Format (RocksDB, `db/log_format.h`): blocks of 32 KiB; a record is checksum(4) length(2) type(1) payload
//! and never crosses a block; the last bytes of a block that cannot hold a header are filler. The checksum is
//! a masked CRC-32C of everything from the type on. Recyclable types have a longer header; we never recycle
//! logs (`tuning.rs`), so meeting one is corruption, as is a type that RocksDB does not know.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::checksum::{extend, unmask};
use crate::error::StorageError;

const BLOCK_BYTES: usize = 32 << 10;
const HEADER_BYTES: usize = 7;

/// How a log file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogEnd {
    /// With a complete record.
    Whole,
    /// With a record that a crash cut off, at this offset.
    Torn(u64),
}

/// Why a record does not check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    Torn,
    Corrupt,
}

/// Checks `CURRENT`, the MANIFEST it names and every write-ahead log of the database in `directory`.
pub(super) fn check_directory(directory: &Path) -> Result<(), StorageError> {
    check_file(&current_manifest(directory)?)?;
    let entries = fs::read_dir(directory).map_err(|error| StorageError::io(directory, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| StorageError::io(directory, &error))?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            match check_file(&path) {
                // A live database deletes logs that are no longer needed while we look.
                Err(StorageError::Io { kind: io::ErrorKind::NotFound, .. }) => {}
                other => {
                    other?;
                }
            }
        }
    }
    Ok(())
}

/// The file that `CURRENT` names. RocksDB answers a damaged `CURRENT` with errors that look like others.
fn current_manifest(directory: &Path) -> Result<PathBuf, StorageError> {
    let current = directory.join("CURRENT");
    let bytes = fs::read(&current).map_err(|error| StorageError::io(&current, &error))?;
    let manifest = std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| text.strip_suffix('\n'))
        .filter(|name| {
            name.strip_prefix("MANIFEST-")
                .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
        })
        .map(|name| directory.join(name))
        .filter(|path| path.is_file());
    manifest.ok_or(StorageError::Corruption {
        table: None,
        file: Some(current),
        detail: "it does not name a MANIFEST that exists".to_owned(),
    })
}

/// Checks one log file, block by block.
pub(super) fn check_file(path: &Path) -> Result<LogEnd, StorageError> {
    let file = fs::File::open(path).map_err(|error| StorageError::io(path, &error))?;
    check_stream(path, file)
}

fn check_stream(path: &Path, mut file: impl Read) -> Result<LogEnd, StorageError> {
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    let mut start = 0_u64;
    let mut flaw: Option<(u64, Flaw)> = None;
    loop {
        block.clear();
        let limit = BLOCK_BYTES as u64;
        file.by_ref().take(limit).read_to_end(&mut block).map_err(|error| StorageError::io(path, &error))?;
        if block.is_empty() {
            break;
        }
        match flaw {
            // Reserved space may be longer than a block: it stays torn while only zeros follow.
            Some((offset, Flaw::Torn)) if block.iter().any(|byte| *byte != 0) => {
                flaw = Some((offset, Flaw::Corrupt));
            }
            Some(_) => {}
            None => flaw = check_block(&block).map(|(offset, flaw)| (start + offset as u64, flaw)),
        }
        if let Some((offset, Flaw::Corrupt)) = flaw {
            return Err(StorageError::Corruption {
                table: None,
                file: Some(path.to_owned()),
                detail: format!("the record at byte {offset} of the log does not match its checksum"),
            });
        }
        start += block.len() as u64;
    }
    Ok(flaw.map_or(LogEnd::Whole, |(offset, _)| LogEnd::Torn(offset)))
}

/// The first flaw of a block, which is shorter than [`BLOCK_BYTES`] only at the end of the file.
fn check_block(block: &[u8]) -> Option<(usize, Flaw)> {
    let mut offset = 0;
    loop {
        let rest = block.get(offset..).unwrap_or_default();
        if BLOCK_BYTES - offset < HEADER_BYTES || rest.is_empty() {
            return None;
        }
        match record_bytes(rest, BLOCK_BYTES - offset) {
            Ok(bytes) => offset += bytes,
            Err(flaw) => return Some((offset, flaw)),
        }
    }
}

/// The size of the record at the start of `rest`, when it checks. `room` is what the block has from here on,
/// whether or not the file goes that far.
fn record_bytes(rest: &[u8], room: usize) -> Result<usize, Flaw> {
    let Some((header, body)) = rest.split_first_chunk::<HEADER_BYTES>() else {
        return Err(Flaw::Torn);
    };
    if rest.iter().all(|byte| *byte == 0) {
        return Err(Flaw::Torn);
    }
    let [c0, c1, c2, c3, l0, l1, kind] = *header;
    let checksum = unmask(u32::from_le_bytes([c0, c1, c2, c3]));
    let length = usize::from(u16::from_le_bytes([l0, l1]));
    if !is_known(kind) || HEADER_BYTES + length > room {
        return Err(Flaw::Corrupt);
    }
    let Some(payload) = body.get(..length) else {
        let cut_off = !some_prefix_checks(kind, body, checksum);
        return Err(if cut_off { Flaw::Torn } else { Flaw::Corrupt });
    };
    let actual = !extend(extend(!0, &[kind]), payload);
    if actual == checksum { Ok(HEADER_BYTES + length) } else { Err(Flaw::Corrupt) }
}

/// Whether the record would check with some shorter length: then its length was changed, it was not cut off.
fn some_prefix_checks(kind: u8, body: &[u8], checksum: u32) -> bool {
    let mut state = extend(!0, &[kind]);
    if !state == checksum {
        return true;
    }
    body.iter().any(|byte| {
        state = extend(state, std::slice::from_ref(byte));
        !state == checksum
    })
}

/// Whole, first, middle and last records, and RocksDB's own notes (compression, timestamp sizes, predecessor
/// log).
const fn is_known(kind: u8) -> bool {
    matches!(kind, 1..=4 | 9 | 10 | 130)
}

#[cfg(test)]
mod tests {
    use super::super::checksum::crc32c;
    use super::*;

    /// A checksum as it stands in a record.
    fn mask(checksum: u32) -> u32 {
        checksum.rotate_right(15).wrapping_add(0xa282_ead8)
    }

    fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = mask(crc32c(&[&[kind], payload].concat())).to_le_bytes().to_vec();
        bytes.extend_from_slice(&(payload.len() as u16).to_le_bytes());
        bytes.push(kind);
        bytes.extend_from_slice(payload);
        bytes
    }

    fn check(bytes: &[u8]) -> Result<LogEnd, StorageError> {
        check_stream(Path::new("000001.log"), bytes)
    }

    /// Three records in one block, then fragments over two blocks, then a last record.
    fn sample() -> Vec<u8> {
        let mut bytes = [record(1, b"one"), record(1, &[7; 500]), record(1, b"three")].concat();
        let room = BLOCK_BYTES - bytes.len() - HEADER_BYTES;
        bytes.extend(record(2, &vec![9; room]));
        bytes.extend(record(4, &[9; 300]));
        bytes.extend(record(1, b"the last one"));
        bytes
    }

    #[test]
    fn a_whole_log_is_whole() {
        assert_eq!(check(&sample()).unwrap(), LogEnd::Whole);
        assert_eq!(check(b"").unwrap(), LogEnd::Whole);
    }

    #[test]
    fn every_cut_is_torn_or_whole_and_never_corrupt() {
        let bytes = sample();
        let ends = [0, 10, 517, 529, BLOCK_BYTES, BLOCK_BYTES + 307, bytes.len()];
        for cut in (0..600).chain(bytes.len() - 400..bytes.len()) {
            match check(&bytes[..cut]).unwrap() {
                LogEnd::Whole => assert!(ends.contains(&cut), "cut {cut}"),
                LogEnd::Torn(offset) => assert!(offset <= cut as u64 && ends.contains(&(offset as usize))),
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_corrupt() {
        let bytes = sample();
        for position in (0..700).chain(bytes.len() - 400..bytes.len()) {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[position] ^= 1 << bit;
                assert!(
                    matches!(check(&flipped), Err(StorageError::Corruption { .. })),
                    "byte {position} bit {bit}"
                );
            }
        }
    }

    #[test]
    fn zeros_at_the_end_are_reserved_space() {
        let bytes = sample();
        for zeros in [1, 6, 7, 100, 3 * BLOCK_BYTES] {
            let padded = [bytes.as_slice(), &vec![0; zeros]].concat();
            assert_eq!(check(&padded).unwrap(), LogEnd::Torn(bytes.len() as u64));
        }
        let mut followed = [bytes.as_slice(), &vec![0; 3 * BLOCK_BYTES]].concat();
        followed.push(1);
        assert!(matches!(check(&followed), Err(StorageError::Corruption { .. })));
    }

    #[test]
    fn recyclable_records_are_refused() {
        assert!(matches!(check(&record(5, b"\x09\0\0\0payload")), Err(StorageError::Corruption { .. })));
    }
}
