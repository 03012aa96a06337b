//! Finds the damaged blob file. RocksDB notices a damaged blob, but does not say in which file.
//!
//! Format (RocksDB, `db/blob/blob_log_format.h`): header(30), then records of key length(8) value length(8)
//! expiration(8) checksum of these(4) checksum of key and value(4) key value, then footer(32). Little-endian;
//! checksums are masked CRC-32C. Header and footer repeat what the MANIFEST knows.

use std::fs;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::checksum::{crc32c, extend, unmask};
use crate::write_set::VALUE_BYTES_MAX;

const FILE_HEADER_BYTES: usize = 30;
const FOOTER_BYTES: u64 = 32;
const RECORD_HEADER_BYTES: usize = 32;
/// Keys are at most 64 bytes and values at most `VALUE_BYTES_MAX`, compressed a little more at worst.
const RECORD_BYTES_MAX: u64 = VALUE_BYTES_MAX as u64 + (1 << 20);

/// The first blob file of a database with a record that does not match its checksums. Reads all of them.
pub(super) fn first_bad_file(directory: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).ok()?;
    let mut files: Vec<_> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "blob"))
        .collect();
    files.sort();
    files.into_iter().find(|path| !checks(path).unwrap_or(true))
}

/// Whether every record of the file checks. An unreadable file is another fault than a damaged one.
fn checks(path: &Path) -> io::Result<bool> {
    let file = fs::File::open(path)?;
    let mut rest = file.metadata()?.len().saturating_sub(FOOTER_BYTES + FILE_HEADER_BYTES as u64);
    let mut reader = BufReader::new(file);
    reader.read_exact(&mut [0; FILE_HEADER_BYTES])?;
    let mut body = Vec::new();
    while rest > 0 {
        let mut header = [0; RECORD_HEADER_BYTES];
        if rest < RECORD_HEADER_BYTES as u64 {
            return Ok(false);
        }
        reader.read_exact(&mut header)?;
        rest -= RECORD_HEADER_BYTES as u64;
        let Some((body_bytes, body_checksum)) = parse(&header).filter(|(bytes, _)| *bytes <= rest) else {
            return Ok(false);
        };
        body.clear();
        reader.by_ref().take(body_bytes).read_to_end(&mut body)?;
        rest -= body_bytes;
        if crc32c(&body) != body_checksum {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Length of key and value together, and their checksum; `None` when the record's header does not check.
fn parse(header: &[u8; RECORD_HEADER_BYTES]) -> Option<(u64, u32)> {
    let (covered, rest) = header.split_at(RECORD_HEADER_BYTES - 8);
    let (own, body) = rest.split_first_chunk::<4>()?;
    let body: [u8; 4] = body.try_into().ok()?;
    let (key_bytes, rest) = covered.split_first_chunk::<8>()?;
    let value_bytes = rest.first_chunk::<8>()?;
    let body_bytes = u64::from_le_bytes(*key_bytes).checked_add(u64::from_le_bytes(*value_bytes))?;
    let is_whole = !extend(!0, covered) == unmask(u32::from_le_bytes(*own));
    (is_whole && body_bytes <= RECORD_BYTES_MAX).then(|| (body_bytes, unmask(u32::from_le_bytes(body))))
}
