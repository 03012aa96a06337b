//! What a stopped engine's journal looks like on disk, judged before the library opens it.
//!
//! A vote is in the journal, synced, before it leaves. But the library takes each page whose checksum fails for a write that a loss
//! of power tore, cuts it off or goes back to the page's older checksum, and says nothing that a program could hear. A byte that
//! changed later on the device looks the same to it, and a vote that left is forgotten. So the pages are judged here first:
//!
//! - *sound*: every checksum that the page holds fits. This includes a rewrite of which only the first part arrived: the page's checksums are
//!   its last bytes, and those of before still fit.
//! - *torn*, and surely never synced: what no single changed byte can leave behind. The page holds no checksum at all, or what was
//!   written last has a hole, a run of zeros that ends at a sector's bounds, with more of it behind. Or the file ends within a page. The engine
//!   has unsynced bytes in one section at most, at its end; a torn page anywhere else is damage.
//! - *damaged*: everything else. It may have been synced, and may hide a vote.
//!
//! A section holds what concerns one view, and its name is the view. So no vote that is hidden is above the newest section's view: above
//! a finalization of that view or a later one nothing is contradicted.
//!
//! Nothing is written. What a lost file or an old copy hides is not seen here.

use crate::engine::PAGE_BYTES;
use commonware_cryptography::Crc32;
use commonware_runtime::buffer::paged::CHECKSUM_SIZE;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Damage in a journal: votes in views up to [`JournalDamage::newest_view`] may be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalDamage {
    /// The first file in which it was found.
    pub file: PathBuf,
    /// Where in the file the damaged page begins, in bytes.
    pub at_byte: u64,
    /// The view of the journal's newest section, whatever the state of that section.
    pub newest_view: u64,
}

/// Bytes before a section's first page: the file's own header, a page of its own.
const HEADER_BYTES: usize = 4_096;
/// First bytes of a header: the file's kind and the version of its layout.
const HEADER_BEGIN: [u8; 6] = [b'C', b'W', b'I', b'K', 0, 1];
/// Bytes of a header below its checksum.
const HEADER_SUMMED_BYTES: usize = 8;
/// Bytes of a header up to its padding with zeros.
const HEADER_FILLED_BYTES: usize = 12;
/// Payload bytes of a page.
const PAYLOAD_BYTES: usize = PAGE_BYTES as usize;
/// Bytes of a page in the file: payload and two checksums.
const PHYSICAL_PAGE_BYTES: usize = PAYLOAD_BYTES + CHECKSUM_SIZE as usize;
/// A length and a checksum.
const SLOT_BYTES: usize = CHECKSUM_SIZE as usize / 2;
/// What a device writes whole.
const SECTOR_BYTES: usize = 512;
/// Fewest bytes that tell a hole from data: votes are digests and signatures.
const HOLE_BYTES_MIN: usize = 32;

impl JournalDamage {
    /// Looks for damage in the journal below `storage_directory`, which no engine may have open.
    ///
    /// # Errors
    /// Of the file system; `InvalidData` names a file that is no section's and may hold something.
    pub fn find(storage_directory: &Path) -> io::Result<Option<Self>> {
        let (mut newest_view, mut damage, mut torn) = (0, None, None);
        for partition in folder(storage_directory)? {
            // The engine's lock lies beside its partitions.
            if !partition.file_type()?.is_dir() {
                continue;
            }
            for section in folder(&partition.path())? {
                let path = section.path();
                let Some(view) = view(&path) else {
                    if section.metadata()?.len() <= HEADER_BYTES as u64 {
                        continue;
                    }
                    let what = format!("{} is no section of a journal", path.display());
                    return Err(io::Error::new(io::ErrorKind::InvalidData, what));
                };
                newest_view = newest_view.max(view);
                let found = match judge_section(&mut File::open(&path)?)? {
                    SectionState::Sound => None,
                    // Only what was written last can be unsynced, and that is in one section.
                    SectionState::Torn(at_byte) => torn.replace((path, at_byte)),
                    SectionState::Damaged(at_byte) => Some((path, at_byte)),
                };
                damage = damage.or(found);
            }
        }
        Ok(damage.map(|(file, at_byte)| Self { file, at_byte, newest_view }))
    }
}

/// The view of a section: its file's name.
fn view(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    if name.len() == 16 { u64::from_str_radix(name, 16).ok() } else { None }
}

fn folder(path: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(path) {
        Ok(entries) => entries.collect(),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(fault) => Err(fault),
    }
}

/// A section, with the place of its first page that is not sound.
#[derive(Debug, PartialEq, Eq)]
enum SectionState {
    Sound,
    Torn(u64),
    Damaged(u64),
}

fn judge_section(file: &mut impl io::Read) -> io::Result<SectionState> {
    let header = read_up_to(file, HEADER_BYTES)?;
    let mut at_byte = 0_u64;
    let mut next = header.len() as u64;
    let mut torn = None;
    let mut page = read_up_to(file, PHYSICAL_PAGE_BYTES)?;
    // A file that ends with its header holds nothing yet; the library mends or refuses it.
    if !page.is_empty() && !is_header(&header) {
        return Ok(SectionState::Damaged(at_byte));
    }
    while !page.is_empty() {
        at_byte = next;
        next = next.saturating_add(page.len() as u64);
        let state = if page.len() < PHYSICAL_PAGE_BYTES { PageState::Torn } else { judge_page(&page) };
        match (state, torn) {
            (PageState::Sound, None) => {}
            (PageState::Torn, _) => torn = torn.or(Some(at_byte)),
            // What was written before it was synced.
            (PageState::Sound, Some(at_byte)) => return Ok(SectionState::Damaged(at_byte)),
            (PageState::Damaged, _) => return Ok(SectionState::Damaged(at_byte)),
        }
        page = read_up_to(file, PHYSICAL_PAGE_BYTES)?;
    }
    Ok(torn.map_or(SectionState::Sound, SectionState::Torn))
}

/// The next bytes, fewer only at the end of the file.
fn read_up_to(file: &mut impl io::Read, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(bytes_max);
    file.by_ref().take(bytes_max as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn is_header(bytes: &[u8]) -> bool {
    let (Some(summed), Some(sum), Some(padding)) = (
        bytes.get(..HEADER_SUMMED_BYTES),
        bytes.get(HEADER_SUMMED_BYTES..HEADER_FILLED_BYTES),
        bytes.get(HEADER_FILLED_BYTES..HEADER_BYTES),
    ) else {
        return false;
    };
    summed.starts_with(&HEADER_BEGIN) && Crc32::checksum(summed).to_be_bytes() == *sum && is_zero(padding)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PageState {
    Sound,
    Torn,
    Damaged,
}

fn judge_page(page: &[u8]) -> PageState {
    let Some((payload, record)) = page.split_at_checked(PAYLOAD_BYTES) else { return PageState::Torn };
    if is_zero(record) {
        return PageState::Torn;
    }
    let slots = record.chunks_exact(SLOT_BYTES).filter(|slot| !is_zero(slot)).map(Slot::read);
    let (fitting, other): (Vec<Slot>, Vec<Slot>) = slots.partition(|slot| slot.fits(payload));
    let synced = fitting.iter().map(|slot| slot.length).max().unwrap_or(0);
    if other.is_empty() {
        PageState::Sound
    } else if other.iter().all(|slot| has_hole(payload, synced, slot.length)) {
        PageState::Torn
    } else {
        PageState::Damaged
    }
}

/// A checksum over the first bytes of a page.
#[derive(Clone, Copy)]
struct Slot {
    length: usize,
    sum: [u8; 4],
}

impl Slot {
    /// Of [`SLOT_BYTES`] bytes; of fewer there is none that fits.
    fn read(bytes: &[u8]) -> Self {
        match bytes {
            [high, low, sum @ ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                Self { length, sum: sum.try_into().unwrap_or_default() }
            }
            _ => Self { length: 0, sum: [0; 4] },
        }
    }

    fn fits(self, payload: &[u8]) -> bool {
        self.length > 0
            && payload
                .get(..self.length)
                .is_some_and(|covered| Crc32::checksum(covered).to_be_bytes() == self.sum)
    }
}

/// Whether the bytes in `from..to` miss a sector, or the part of one, and go on behind it.
fn has_hole(payload: &[u8], from: usize, to: usize) -> bool {
    let mut parts = payload.chunks(SECTOR_BYTES).enumerate().filter_map(|(index, sector)| {
        let begin = index.saturating_mul(SECTOR_BYTES);
        let end = to.saturating_sub(begin).min(sector.len());
        sector.get(from.saturating_sub(begin)..end)
    });
    let found = parts.by_ref().any(|part| part.len() >= HOLE_BYTES_MIN && is_zero(part));
    found && parts.any(|part| !is_zero(part))
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Vec<u8> {
        let mut bytes = [HEADER_BEGIN.as_slice(), &[0, 0]].concat();
        bytes.extend(Crc32::checksum(&bytes).to_be_bytes());
        bytes.resize(HEADER_BYTES, 0);
        bytes
    }

    fn data(length: usize) -> Vec<u8> {
        (0..length).map(|index| u8::try_from(index * 31 % 251).unwrap() | 1).collect()
    }

    /// A page of so much data, last synced at each of these lengths.
    fn page(lengths: &[usize]) -> Vec<u8> {
        let mut bytes = data(*lengths.iter().max().unwrap());
        bytes.resize(PAYLOAD_BYTES, 0);
        for length in lengths {
            bytes.extend(u16::try_from(*length).unwrap().to_be_bytes());
            bytes.extend(Crc32::checksum(&bytes[..*length]).to_be_bytes());
        }
        bytes.resize(PHYSICAL_PAGE_BYTES, 0);
        bytes
    }

    fn judge(parts: &[&[u8]]) -> SectionState {
        judge_section(&mut parts.concat().as_slice()).unwrap()
    }

    const FIRST: u64 = HEADER_BYTES as u64;
    const SECOND: u64 = FIRST + PHYSICAL_PAGE_BYTES as u64;

    #[test]
    fn what_the_engine_leaves_is_sound() {
        let header = header();
        assert_eq!(judge(&[]), SectionState::Sound, "created");
        assert_eq!(judge(&[&header]), SectionState::Sound);
        assert_eq!(
            judge(&[&header[..100]]),
            SectionState::Sound,
            "creation was interrupted: it holds nothing"
        );
        assert_eq!(judge(&[&header, &page(&[700])]), SectionState::Sound);
        assert_eq!(judge(&[&header, &page(&[700, 500])]), SectionState::Sound);
        let full = page(&[3_000, PAYLOAD_BYTES]);
        assert_eq!(judge(&[&header, &full, &page(&[9])]), SectionState::Sound);
    }

    #[test]
    fn a_changed_byte_is_damage_wherever_it_counts() {
        let header = header();
        for (lengths, covered) in [(&[700, 500][..], 700), (&[1_500, 1_800], 1_800), (&[40], 40)] {
            let sound = page(lengths);
            let counts = |at: usize| at < covered || at >= PAYLOAD_BYTES;
            for at in (0..sound.len()).filter(|at| counts(*at)) {
                for flip in [0x01, 0x04, 0x80, 0xff] {
                    let mut changed = sound.clone();
                    changed[at] ^= flip;
                    let last = judge(&[&header, &page(&[PAYLOAD_BYTES]), &changed]);
                    assert_eq!(last, SectionState::Damaged(SECOND), "{lengths:?} {at} {flip}");
                }
            }
        }
        for at in 0..HEADER_BYTES {
            let mut changed = header.clone();
            changed[at] ^= 0x08;
            assert_eq!(judge(&[&changed, &page(&[700])]), SectionState::Damaged(0), "{at}");
        }
        let mut interior = page(&[PAYLOAD_BYTES]);
        interior[17] ^= 1;
        assert_eq!(judge(&[&header, &interior, &page(&[700])]), SectionState::Damaged(FIRST));
    }

    #[test]
    fn a_loss_of_power_leaves_what_no_changed_byte_does() {
        let (header, before, after) = (header(), page(&[700]), page(&[700, 2_000]));
        // The write's first sectors arrived, and the checksums of before are in place.
        for sectors in 0..PHYSICAL_PAGE_BYTES / SECTOR_BYTES {
            let (arrived, kept) = (&after[..sectors * SECTOR_BYTES], &before[sectors * SECTOR_BYTES..]);
            assert_eq!(judge(&[&header, arrived, kept]), SectionState::Sound, "{sectors}");
        }
        // All but one.
        let without = |lost: std::ops::Range<usize>| {
            let mut torn = after.clone();
            torn[lost.clone()].copy_from_slice(&before[lost]);
            torn
        };
        for lost in [512..1_024, 1_024..1_536] {
            assert_eq!(judge(&[&header, &without(lost.clone())]), SectionState::Torn(FIRST), "{lost:?}");
        }
        let last = without(1_536..2_048);
        assert_eq!(judge(&[&header, &last]), SectionState::Damaged(FIRST), "or a length that changed");
        let full = page(&[PAYLOAD_BYTES]);
        let nothing = [0; PHYSICAL_PAGE_BYTES];
        assert_eq!(judge(&[&header, &full, &nothing, &nothing]), SectionState::Torn(SECOND));
        assert_eq!(judge(&[&header, &full, &after[..1_000]]), SectionState::Torn(SECOND));
        assert_eq!(judge(&[&header, &nothing, &full]), SectionState::Damaged(FIRST), "it is not the end");
    }

    #[test]
    fn only_one_section_can_be_torn_and_the_newest_bounds_the_doubt() {
        let folder = tempfile::tempdir().unwrap();
        let partition = folder.path().join("journal-c0-e0-00000000");
        assert_eq!(JournalDamage::find(folder.path()).unwrap(), None, "no journal");
        fs::create_dir_all(&partition).unwrap();
        fs::write(folder.path().join(".lock"), b"").unwrap();
        let section = |view: u64, page: &[u8]| {
            let path = partition.join(format!("{view:016x}"));
            fs::write(&path, [header().as_slice(), page].concat()).unwrap();
            path
        };
        section(7, &page(&[700]));
        section(8, &page(&[300])[..99]);
        section(300, &[]);
        assert_eq!(JournalDamage::find(folder.path()).unwrap(), None, "a torn tail");
        section(6, &[0; PHYSICAL_PAGE_BYTES]);
        let damage = JournalDamage::find(folder.path()).unwrap().expect("two torn tails");
        assert_eq!((damage.at_byte, damage.newest_view), (FIRST, 300));
        section(6, &page(&[300]));
        let mut changed = page(&[700]);
        changed[5] ^= 1;
        let file = section(7, &changed);
        let damage = JournalDamage { file, at_byte: FIRST, newest_view: 300 };
        assert_eq!(JournalDamage::find(folder.path()).unwrap(), Some(damage));
        fs::write(partition.join("odd"), [1; 5_000]).unwrap();
        assert_eq!(JournalDamage::find(folder.path()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
