//! Which nonces of a wallet are in use: written to disk before they are used, so that a crashed program never
//! uses one twice, and never more than 128 beyond the oldest that is unresolved (PROTOCOL rule 8).
//!
//! A nonce is *resolved* once its transaction can change nothing any more: the chain shows the sequence as
//! used, or chain time has passed its `valid_until`. Without that rule an unlucky transaction could fall out
//! of the window's floor while its owner still hopes, and nobody could prove that it never happened.
//!
//! A nonce may be *given back* where its transaction was not executed and nobody can say that it never will be: what is signed next
//! has the same one, so that of the two at most one is ever applied. Those that were given back are handed out before new ones, the lowest first.
//!
//! One file per wallet. Programs that share the folder take turns through a lock file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ledger::records::transaction::{LANES_MAX, SEQUENCE_MAX};
use ledger::records::wallet::NONCE_WINDOW;
use ledger::records::{Lane, Nonce};
use ledger::values::{TimestampMs, WalletId};
use serde::{Deserialize, Serialize};

use crate::files::{self, FileError};

/// Version of the file.
pub const FORMAT: u32 = 1;
/// Most bytes of a file: 16 lanes of 128 open nonces.
pub const BOOK_BYTES_MAX: u64 = 512 * 1_024;
/// Most sequences of a lane that wait to be handed out again: as many as a window has.
const RETURNED_MAX: usize = NONCE_WINDOW as usize;
/// How long to wait for another program's turn to end.
const LOCK_WAIT: Duration = Duration::from_secs(5);
const LOCK_POLL: Duration = Duration::from_millis(10);

/// The nonces of one wallet.
#[derive(Debug, Clone)]
pub struct NonceBook {
    path: PathBuf,
    wallet: WalletId,
}

/// What a sender needs nonces for, and what it knows of the chain.
#[derive(Debug, Clone, Copy)]
pub struct Reservation {
    /// The lane.
    pub lane: u16,
    /// How many, 1 to 128.
    pub count: u16,
    /// `valid_until` of every transaction that will use them.
    pub valid_until: TimestampMs,
    /// The lane as the wallet's record shows it.
    pub on_chain: Lane,
    /// The timestamp of the block after which the record looks like that.
    pub chain_time: TimestampMs,
}

/// Why there is no nonce.
#[derive(Debug, thiserror::Error)]
pub enum NonceError {
    /// The file system.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not such a file.
    #[error(
        "{path}: not a nonce book: {source}. \
         Mend: move it away; after every transaction sent so far has expired, start anew"
    )]
    Json {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// For another wallet, of another version, or out of bounds.
    #[error(
        "{path}: {field} is not what it must be. \
         Mend: move the file away; after every transaction sent so far has expired, start anew"
    )]
    Field {
        /// The file.
        path: PathBuf,
        /// Which field.
        field: &'static str,
    },
    /// Another program holds the book.
    #[error("{path}: another program holds the nonces of this wallet. Mend: let it finish, then try again")]
    Busy {
        /// The lock file.
        path: PathBuf,
    },
    /// Too many are unresolved.
    #[error(
        "lane {lane} waits for sequence {oldest}, which may execute until {until}. \
         Mend: wait until it is certified or expired, or use another lane"
    )]
    WindowFull {
        /// The lane.
        lane: u16,
        /// The oldest unresolved sequence.
        oldest: u64,
        /// Its `valid_until`.
        until: TimestampMs,
    },
    /// A nonce that was to be used again is not free.
    #[error(
        "lane {lane}: sequence {sequence} is used, or handed out, on the chain that the wallet has moved to. \
         Mend: see what became of it in the wallet's history, then send anew"
    )]
    Used {
        /// The lane.
        lane: u16,
        /// The sequence.
        sequence: u64,
    },
    /// The request itself is out of bounds.
    #[error("{field} is {value}; {min} to {max} is allowed")]
    Range {
        /// Which.
        field: &'static str,
        /// Found.
        value: u64,
        /// Least allowed.
        min: u64,
        /// Most allowed.
        max: u64,
    },
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Book {
    format: u32,
    wallet: String,
    lanes: BTreeMap<u16, LaneBook>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LaneBook {
    /// The next sequence that was never handed out.
    next: u64,
    /// Handed out and unresolved: sequence and `valid_until`.
    open: BTreeMap<u64, u64>,
    /// Given back, to be handed out again: at most [`RETURNED_MAX`].
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    returned: BTreeSet<u64>,
}

impl Default for LaneBook {
    fn default() -> Self {
        Self { next: 1, open: BTreeMap::new(), returned: BTreeSet::new() }
    }
}

impl NonceBook {
    /// The book of `wallet` in `folder`; both may be new.
    #[must_use]
    pub fn at(folder: &Path, wallet: WalletId) -> Self {
        Self { path: folder.join(format!("{wallet}.nonces.json")), wallet }
    }

    /// Hands out consecutive-or-later unused nonces, all or none, and returns once they are on disk.
    ///
    /// # Errors
    /// [`NonceError`].
    pub fn reserve(&self, request: Reservation) -> Result<Vec<Nonce>, NonceError> {
        range("lane", u64::from(request.lane), 0, u64::from(LANES_MAX) - 1)?;
        range("count", u64::from(request.count), 1, NONCE_WINDOW)?;
        self.change(|book| {
            let lane = book.lanes.entry(request.lane).or_default();
            lane.settle(&request.on_chain, request.chain_time);
            let sequences = (0..request.count).map(|_| lane.take(&request)).collect::<Result<Vec<_>, _>>()?;
            Ok(sequences.into_iter().map(|sequence| Nonce { lane: request.lane, sequence }).collect())
        })
    }

    /// Takes over one nonce that another chain's book handed out: that of a transaction which died when its wallet moved to this book's
    /// chain. Nonces move with a wallet, so what is signed anew under the same one excludes the first for good, whatever a node says
    /// about it. `count` is not looked at.
    ///
    /// # Errors
    /// [`NonceError::Used`] where it is no longer free here; [`NonceError`].
    pub fn take_over(&self, nonce: Nonce, request: Reservation) -> Result<(), NonceError> {
        range("lane", u64::from(nonce.lane), 0, u64::from(LANES_MAX) - 1)?;
        range("sequence", nonce.sequence, 1, SEQUENCE_MAX)?;
        self.change(|book| {
            let lane = book.lanes.entry(nonce.lane).or_default();
            lane.settle(&request.on_chain, request.chain_time);
            let is_free =
                request.on_chain.is_open(nonce.sequence) && !lane.open.contains_key(&nonce.sequence);
            if !is_free {
                return Err(NonceError::Used { lane: nonce.lane, sequence: nonce.sequence });
            }
            lane.open.insert(nonce.sequence, request.valid_until.0);
            lane.returned.remove(&nonce.sequence);
            lane.next = lane.next.max(nonce.sequence.saturating_add(1));
            Ok(())
        })
    }

    /// Notes that the transaction with this nonce is certified or can never execute.
    ///
    /// # Errors
    /// [`NonceError`].
    pub fn resolve(&self, nonce: Nonce) -> Result<(), NonceError> {
        self.change(|book| {
            if let Some(lane) = book.lanes.get_mut(&nonce.lane) {
                lane.open.remove(&nonce.sequence);
            }
            Ok(())
        })
    }

    /// Takes a nonce back whose transaction was not executed, so that what is signed next has the same one: of the two at most one is ever
    /// applied, whatever becomes of the first. It is the next one also where later nonces were handed out meanwhile.
    ///
    /// # Errors
    /// [`NonceError`].
    pub fn give_back(&self, nonce: Nonce) -> Result<(), NonceError> {
        self.change(|book| {
            if let Some(lane) = book.lanes.get_mut(&nonce.lane) {
                // As many as a window has are open at most, so there is room.
                if lane.open.remove(&nonce.sequence).is_some() && lane.returned.len() < RETURNED_MAX {
                    lane.returned.insert(nonce.sequence);
                }
            }
            Ok(())
        })
    }

    /// Unresolved nonces with the `valid_until` of their transactions.
    ///
    /// # Errors
    /// [`NonceError`].
    pub fn unresolved(&self) -> Result<Vec<(Nonce, TimestampMs)>, NonceError> {
        let _lock = self.lock()?;
        let book = self.read()?;
        let entries = book.lanes.iter().flat_map(|(lane, entry)| {
            entry
                .open
                .iter()
                .map(|(sequence, until)| (Nonce { lane: *lane, sequence: *sequence }, TimestampMs(*until)))
        });
        Ok(entries.collect())
    }

    /// Reads, changes and writes the book under the lock. A failed change writes nothing.
    fn change<T>(&self, change: impl FnOnce(&mut Book) -> Result<T, NonceError>) -> Result<T, NonceError> {
        let _lock = self.lock()?;
        let mut book = self.read()?;
        let answer = change(&mut book)?;
        let json = serde_json::to_vec(&book)
            .map_err(|source| NonceError::Json { path: self.path.clone(), source })?;
        files::replace_private(&self.path, &json)?;
        Ok(answer)
    }

    fn read(&self) -> Result<Book, NonceError> {
        if !self.path.exists() {
            return Ok(Book { format: FORMAT, wallet: self.wallet.to_string(), lanes: BTreeMap::new() });
        }
        let bytes = files::read_private(&self.path, BOOK_BYTES_MAX, files::CLOSED_TO_ALL)?;
        let book: Book = serde_json::from_slice(&bytes)
            .map_err(|source| NonceError::Json { path: self.path.clone(), source })?;
        let wrong = |field| Err(NonceError::Field { path: self.path.clone(), field });
        match &book {
            book if book.format != FORMAT => wrong("format"),
            book if book.wallet != self.wallet.to_string() => wrong("wallet"),
            book if book.lanes.keys().any(|lane| *lane >= LANES_MAX) => wrong("lanes"),
            book if !book.lanes.values().all(LaneBook::is_sound) => wrong("lanes.next"),
            _ => Ok(book),
        }
    }

    /// Held until the file is dropped.
    fn lock(&self) -> Result<File, NonceError> {
        let path = self.path.with_extension("lock");
        let io = |source| FileError::Io { path: path.clone(), action: "write", source };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(io)?;
        }
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        let started = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if started.elapsed() < LOCK_WAIT => {
                    std::thread::sleep(LOCK_POLL)
                }
                Err(TryLockError::WouldBlock) => return Err(NonceError::Busy { path }),
                Err(TryLockError::Error(source)) => return Err(io(source).into()),
            }
        }
    }
}

impl LaneBook {
    /// No more open or given back than a window has, all handed out before, and none both.
    fn is_sound(&self) -> bool {
        let last = self.open.last_key_value().map(|(last, _)| *last).max(self.returned.last().copied());
        last.is_none_or(|last| last < self.next)
            && self.next >= 1
            && self.open.len() <= 2 * NONCE_WINDOW as usize
            && self.returned.len() <= RETURNED_MAX
            && !self.returned.iter().any(|sequence| self.open.contains_key(sequence))
    }

    /// Forgets what the chain has decided, and catches up with other users of the wallet.
    fn settle(&mut self, on_chain: &Lane, chain_time: TimestampMs) {
        self.open.retain(|sequence, until| {
            let is_decided = *sequence <= on_chain.highest && !on_chain.is_open(*sequence);
            !is_decided && *until >= chain_time.0
        });
        // Used after all, or behind the window.
        self.returned.retain(|sequence| on_chain.is_open(*sequence));
        let first_unused = on_chain.highest.saturating_add(1);
        // Nothing is open and the lane ran ahead of the window with transactions that expired: their
        // sequences are free.
        let ran_ahead = self.open.is_empty() && self.next > on_chain.highest.saturating_add(NONCE_WINDOW);
        self.next = if ran_ahead { first_unused } else { self.next.max(first_unused) };
        let next = self.next;
        self.returned.retain(|sequence| *sequence < next);
    }

    /// Hands out the lowest sequence that was given back, else the next.
    fn take(&mut self, request: &Reservation) -> Result<u64, NonceError> {
        let sequence = self.returned.first().copied().unwrap_or(self.next);
        range("sequence", sequence, 1, SEQUENCE_MAX)?;
        if let Some((oldest, until)) = self.open.first_key_value() {
            let reach =
                (*oldest).min(request.on_chain.highest.saturating_add(1)).saturating_add(NONCE_WINDOW);
            if sequence >= reach {
                return Err(NonceError::WindowFull {
                    lane: request.lane,
                    oldest: *oldest,
                    until: TimestampMs(*until),
                });
            }
        }
        self.returned.remove(&sequence);
        self.open.insert(sequence, request.valid_until.0);
        self.next = self.next.max(sequence.saturating_add(1));
        Ok(sequence)
    }
}

const fn range(field: &'static str, value: u64, min: u64, max: u64) -> Result<(), NonceError> {
    if value < min || value > max { Err(NonceError::Range { field, value, min, max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALLET: WalletId = WalletId([5; 32]);

    fn request(count: u16, on_chain: Lane, chain_time: u64) -> Reservation {
        Reservation {
            lane: 0,
            count,
            valid_until: TimestampMs(1_000),
            on_chain,
            chain_time: TimestampMs(chain_time),
        }
    }

    fn sequences(book: &NonceBook, request: Reservation) -> Vec<u64> {
        book.reserve(request).unwrap().iter().map(|nonce| nonce.sequence).collect()
    }

    #[test]
    fn what_was_handed_out_is_on_disk_and_never_handed_out_again() {
        let folder = tempfile::tempdir().unwrap();
        let first = sequences(&NonceBook::at(folder.path(), WALLET), request(3, Lane::default(), 0));
        // A new program that knows nothing but the folder.
        let book = NonceBook::at(folder.path(), WALLET);
        assert_eq!((first, sequences(&book, request(2, Lane::default(), 0))), (vec![1, 2, 3], vec![4, 5]));
        assert_eq!(book.unresolved().unwrap().len(), 5);
        let other = NonceBook::at(folder.path(), WalletId([6; 32]));
        assert_eq!(sequences(&other, request(1, Lane::default(), 0)), [1]);
    }

    /// What is signed after a refusal excludes what was refused; but nothing that was signed meanwhile loses its nonce.
    #[test]
    fn a_nonce_that_is_given_back_is_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let book = NonceBook::at(folder.path(), WALLET);
        let nonce = |sequence| Nonce { lane: 0, sequence };
        assert_eq!(sequences(&book, request(2, Lane::default(), 0)), [1, 2]);
        book.give_back(nonce(2)).unwrap();
        assert_eq!(sequences(&book, request(1, Lane::default(), 0)), [2]);
        // Also where later ones were handed out; then come new ones.
        book.give_back(nonce(1)).unwrap();
        assert_eq!(sequences(&book, request(2, Lane::default(), 0)), [1, 3]);
        // Twice is once, and what was executed after all is not handed out again.
        for sequence in [3, 3, 2] {
            book.give_back(nonce(sequence)).unwrap();
        }
        let used = Lane { highest: 3, used: !0b10 };
        assert_eq!(sequences(&book, request(2, used, 0)), [2, 4]);
        // What fell behind the window is nobody's any more.
        book.give_back(nonce(2)).unwrap();
        let later = Lane { highest: 300, used: u128::MAX };
        assert_eq!(sequences(&book, request(1, later, 0)), [301]);
    }

    /// What was given back is within the window like what is new.
    #[test]
    fn what_is_given_back_waits_for_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let book = NonceBook::at(folder.path(), WALLET);
        let all = sequences(&book, request(128, Lane::default(), 0));
        for sequence in &all {
            book.give_back(Nonce { lane: 0, sequence: *sequence }).unwrap();
        }
        assert!(book.unresolved().unwrap().is_empty());
        assert_eq!(sequences(&NonceBook::at(folder.path(), WALLET), request(128, Lane::default(), 0)), all);
    }

    #[test]
    fn never_beyond_the_window_of_the_oldest_unresolved() {
        let folder = tempfile::tempdir().unwrap();
        let book = NonceBook::at(folder.path(), WALLET);
        assert_eq!(sequences(&book, request(128, Lane::default(), 0)).last(), Some(&128));
        let full = book.reserve(request(1, Lane::default(), 0)).unwrap_err();
        assert!(matches!(full, NonceError::WindowFull { oldest: 1, .. }), "{full}");
        // Everything but 1 is used on chain: 1 still holds the window.
        let holed = Lane { highest: 128, used: !(1 << 127) };
        assert!(matches!(book.reserve(request(1, holed, 0)), Err(NonceError::WindowFull { oldest: 1, .. })));
        // 1 expires: its place is free.
        assert_eq!(sequences(&book, request(2, holed, 1_001)), [129, 130]);
    }

    #[test]
    fn all_or_none_and_a_failure_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let book = NonceBook::at(folder.path(), WALLET);
        assert_eq!(sequences(&book, request(100, Lane::default(), 0)).len(), 100);
        assert!(book.reserve(request(29, Lane::default(), 0)).is_err());
        assert_eq!(sequences(&book, request(28, Lane::default(), 0)).first(), Some(&101));
    }

    #[test]
    fn follows_other_users_and_reuses_what_expired() {
        let folder = tempfile::tempdir().unwrap();
        let book = NonceBook::at(folder.path(), WALLET);
        let elsewhere = Lane { highest: 50, used: u128::MAX };
        assert_eq!(sequences(&book, request(1, elsewhere, 0)), [51]);
        assert_eq!(sequences(&book, request(127, elsewhere, 0)).last(), Some(&178));
        // All expired unused: 179 would be out of the chain's window, so the lane starts over behind the
        // highest.
        assert_eq!(sequences(&book, request(1, elsewhere, 1_001)), [51]);
    }

    #[test]
    fn what_moved_is_signed_anew_under_its_own_nonce_once() {
        let folder = tempfile::tempdir().unwrap();
        let book = NonceBook::at(folder.path(), WALLET);
        let (moved, on_chain) = (Nonce { lane: 0, sequence: 7 }, Lane { highest: 4, used: u128::MAX });
        book.take_over(moved, request(1, on_chain, 0)).unwrap();
        assert_eq!(book.unresolved().unwrap(), [(moved, TimestampMs(1_000))]);
        assert!(matches!(
            book.take_over(moved, request(1, on_chain, 0)),
            Err(NonceError::Used { lane: 0, sequence: 7 })
        ));
        assert_eq!(sequences(&book, request(1, on_chain, 0)), [8], "nobody else is given it");
        // It was executed before the wallet moved.
        let used = Nonce { lane: 0, sequence: 3 };
        assert!(matches!(book.take_over(used, request(1, on_chain, 0)), Err(NonceError::Used { .. })));
    }

    #[test]
    fn resolved_by_hand() {
        let folder = tempfile::tempdir().unwrap();
        let book = NonceBook::at(folder.path(), WALLET);
        let nonces = book.reserve(request(2, Lane::default(), 0)).unwrap();
        book.resolve(nonces[0]).unwrap();
        assert_eq!(book.unresolved().unwrap(), [(nonces[1], TimestampMs(1_000))]);
    }

    #[test]
    fn programs_take_turns() {
        let folder = tempfile::tempdir().unwrap();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let book = NonceBook::at(folder.path(), WALLET);
                std::thread::spawn(move || {
                    (0..5).flat_map(|_| sequences(&book, request(2, Lane::default(), 0))).collect::<Vec<_>>()
                })
            })
            .collect();
        let mut all: Vec<u64> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        all.sort_unstable();
        assert_eq!(all, (1..=40).collect::<Vec<_>>());
    }

    #[test]
    fn foreign_and_broken_books_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let book = NonceBook::at(folder.path(), WALLET);
        sequences(&book, request(1, Lane::default(), 0));
        let text = std::fs::read_to_string(&book.path).unwrap();
        let foreign = text.replace(&WALLET.to_string(), &WalletId([6; 32]).to_string());
        for (bad, field) in [
            (foreign, "wallet"),
            (text.replace("\"format\":1", "\"format\":2"), "format"),
            (text.replace("\"next\":2", "\"next\":1"), "lanes.next"),
        ] {
            files::replace_private(&book.path, bad.as_bytes()).unwrap();
            let error = book.reserve(request(1, Lane::default(), 0)).unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
        assert!(matches!(
            book.reserve(Reservation { lane: 16, ..request(1, Lane::default(), 0) }),
            Err(NonceError::Range { .. })
        ));
        assert!(matches!(book.reserve(request(129, Lane::default(), 0)), Err(NonceError::Range { .. })));
    }
}
