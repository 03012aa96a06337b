//! May this node vote in an epoch? A vote must never contradict one that this validator gave before (PROTOCOL rule 26).
//!
//! - With the journal of the epoch's engine, which is synced before a vote leaves, it may. Journals and database belong together: the
//!   same random bytes are written beside the ones and into the other before the first journal is begun. A journal without its
//!   database is no journal: it may be what a dying process left in a directory that was emptied under it.
//! - Each epoch has a journal of its own, because votes of two epochs never contradict each other. The newest epoch for which one was
//!   begun is written down, durably, before it is begun. So a node whose database goes with its files has not voted in a later
//!   one, and may vote there at once; what it may is kept as a word until that journal is begun, for a loss of power in between.
//!   In an epoch below the newest begun one it follows only: heights were taken back.
//! - A proof of passage serves for one journal: it is marked as used, durably, before that journal is begun. Used and
//!   without a journal it is worth nothing, because votes above it may have been lost: the node rejoins anew. One of an earlier epoch
//!   permits any vote: it is from after the start, so the epochs after its own began after the start too.
//! - A damaged journal may hide votes, in views up to that of its newest section ([`JournalDamage`]). The node follows until it holds a
//!   finalization of that view or a later one in the same epoch, and then votes above it, with a new journal. That is a proof
//!   of passage too, without the wait: the views in doubt are known.
//! - Without a journal it may only if it never voted: [`init`] says so, once, before the node's first start.
//! - Otherwise its disk was wiped. It follows as an observer until it holds a *proof of passage*: the certificate of a
//!   final block that was proposed after this start. It votes in later views only, with that certificate as its floor.
//!
//! [`init`]: StandingFiles::init
//!
//! Why that is safe (`docs/adr/0007-rejoining.md`): to vote in view `w` before the wipe, this node needed a certificate
//! for view `w − 1`, so a quorum had voted there before the wipe. A quorum finalized the passage's view `v` after the
//! start. The two share an honest validator, and honest validators never go back; so `w ≤ v`. "Proposed after the start"
//! is taken from the block's timestamp, which a quorum checked against its clocks, with [`PASSAGE_MARGIN_MS`] to spare
//! over this machine's clock *and* over every timestamp seen in the first [`PASSAGE_MARGIN_MS`] after the start.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use consensus::JournalDamage;
use ledger::proofs::FinalityProof;
use ledger::values::{Canonical, Epoch, TimestampMs, View};
use storage::{Durability, Store, Table, WriteSet};

use crate::admission::wall_clock;

/// Meta row of the bytes that the journal's database and `journal.pair` share.
const PAIR: &[u8] = b"journal-pair";
/// How much later than the start a block's timestamp must be.
pub(crate) const PASSAGE_MARGIN_MS: u64 = 10_000;

/// What a node may do on a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It may vote: it has its journal, or it never voted.
    Votes,
    /// It may vote above this certificate.
    VotesAbove(Box<FinalityProof>),
    /// It must follow until it holds a proof of passage.
    Rejoining,
    /// Its journal may have forgotten votes: it must follow until it holds a finalization at or above the newest view of that journal.
    Doubtful(JournalDamage),
}

impl Standing {
    /// Whether it may vote now.
    pub(crate) const fn may_vote(&self) -> bool {
        matches!(self, Self::Votes | Self::VotesAbove(_))
    }
}

/// The files of a chain that say where a validator stands.
#[derive(Debug, Clone)]
pub(crate) struct StandingFiles {
    directory: PathBuf,
}

impl StandingFiles {
    /// Below a chain's data directory.
    pub(crate) fn new(chain_directory: &Path) -> Self {
        Self { directory: chain_directory.to_owned() }
    }

    /// The journals of a voter's engines.
    fn journals(&self) -> PathBuf {
        self.directory.join("journal")
    }

    /// The journal of a voter's engine in an epoch.
    pub(crate) fn journal(&self, epoch: Epoch) -> PathBuf {
        self.journals().join(epoch_name(epoch))
    }

    /// The newest epoch for which a voter's journal was to begin.
    fn begun(&self) -> io::Result<Option<Epoch>> {
        let text = read_if_there(&self.begun_file())?;
        let text = text.map(String::from_utf8).transpose().map_err(io::Error::other)?;
        text.map(|text| text.trim().parse::<Epoch>().map_err(io::Error::other)).transpose()
    }

    fn begun_file(&self) -> PathBuf {
        self.directory.join("journal.epoch")
    }

    fn never_voted(&self) -> PathBuf {
        self.directory.join("never-voted")
    }

    /// A proof of passage with which no journal was begun yet.
    fn fresh_passage(&self) -> PathBuf {
        self.directory.join("passage.certificate")
    }

    /// The one with which the journal was begun.
    fn used_passage(&self) -> PathBuf {
        self.directory.join("passage.used")
    }

    /// Says that this validator never voted on the chain: before the network's first start, and never again.
    ///
    /// # Errors
    /// Of the file system; `AlreadyExists` when the chain's directory holds anything already.
    pub(crate) fn init(&self) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        if fs::read_dir(&self.directory)?.next().is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.say_never_voted()
    }

    fn say_never_voted(&self) -> io::Result<()> {
        durable_write(&self.never_voted(), NEVER_VOTED)
    }

    /// Says which database the journals belong to.
    fn pair(&self) -> PathBuf {
        self.directory.join("journal.pair")
    }

    /// Where the validator stands in an epoch, before its engine starts.
    ///
    /// # Errors
    /// Of the file system and of the store.
    pub(crate) fn read(&self, store: &dyn Store, epoch: Epoch) -> io::Result<Standing> {
        if let Some(bytes) = read_if_there(&self.fresh_passage())? {
            return Ok(above(&bytes, epoch));
        }
        let (has_journal, is_paired) = (self.has_journal(epoch)?, self.is_paired(store)?);
        if has_journal && is_paired {
            if let Some(damage) = JournalDamage::find(&self.journal(epoch))? {
                return Ok(Standing::Doubtful(damage));
            }
            // A used passage stays the floor: a crash may leave a begun journal that does not hold it yet. A journal that is further
            // along wins over it inside the engine.
            let used = read_if_there(&self.used_passage())?;
            return Ok(used.map_or(Standing::Votes, |bytes| above(&bytes, epoch)));
        }
        let may_vote = match self.begun()? {
            Some(begun) if begun > epoch => false,
            Some(begun) if begun < epoch => is_paired,
            // A journal that is not ours says that something voted here.
            Some(_) => self.never_voted().exists() && !has_journal,
            None => self.never_voted().exists() && !self.has_journals()?,
        };
        Ok(if may_vote { Standing::Votes } else { Standing::Rejoining })
    }

    fn is_paired(&self, store: &dyn Store) -> io::Result<bool> {
        let row = store.get(Table::Meta, PAIR).map_err(io::Error::other)?;
        Ok(row.is_some() && row == read_if_there(&self.pair())?)
    }

    /// Whether a voter's engine has begun its journal in an epoch: some file of it holds something.
    ///
    /// # Errors
    /// Of the file system.
    pub(crate) fn has_journal(&self, epoch: Epoch) -> io::Result<bool> {
        is_begun(&self.journal(epoch))
    }

    /// Whether one has in any epoch.
    fn has_journals(&self) -> io::Result<bool> {
        for epoch in entries(&self.journals())? {
            if is_begun(&epoch.path())? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A voter's engine is about to begin its journal of an epoch, or to go on with it: what permitted the journal serves no other.
    /// `random` pairs the first one with its database.
    ///
    /// # Errors
    /// Of the file system and of the store.
    pub(crate) fn begin_voting(&self, store: &dyn Store, epoch: Epoch, random: [u8; 32]) -> io::Result<()> {
        let passes = self.fresh_passage().exists();
        if passes {
            // What lies there is not the journal that goes on, or there were no passage.
            remove_if_there(&self.journals())?;
        }
        if passes || !self.is_paired(store)? {
            durable_write(&self.pair(), &random)?;
            let mut set = WriteSet::new();
            set.put(Table::Meta, PAIR, random);
            store.write(set, Durability::Synced).map_err(io::Error::other)?;
        }
        if passes {
            fs::rename(self.fresh_passage(), self.used_passage())?;
            File::open(&self.directory)?.sync_all()?;
        }
        if self.begun()? < Some(epoch) {
            if !passes {
                self.say_never_voted()?;
            }
            durable_write(&self.begun_file(), format!("{epoch}\n").as_bytes())?;
        }
        if self.has_journal(epoch)? { self.votes(epoch) } else { Ok(()) }
    }

    /// A voter's journal of an epoch is begun: from here on only that journal speaks for it. Those of earlier epochs have served.
    ///
    /// # Errors
    /// Of the file system.
    pub(crate) fn votes(&self, epoch: Epoch) -> io::Result<()> {
        match fs::remove_file(self.never_voted()) {
            // A loss of power must not bring the word back.
            Ok(()) => File::open(&self.directory)?.sync_all()?,
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => {}
            Err(fault) => return Err(fault),
        }
        for other in entries(&self.journals())? {
            if other.file_name() != *epoch_name(epoch) {
                remove_if_there(&other.path())?;
            }
        }
        Ok(())
    }

    /// Keeps a proof of passage for the journal that is begun next.
    ///
    /// # Errors
    /// Of the file system.
    pub(crate) fn pass(&self, certificate: &[u8]) -> io::Result<()> {
        durable_write(&self.fresh_passage(), certificate)
    }

    /// Removes what an observer's engine left behind.
    ///
    /// # Errors
    /// Of the file system.
    pub(crate) fn clear_observer_journal(&self) -> io::Result<()> {
        remove_if_there(&self.observer_journal())
    }

    /// An observer's journal lies apart, so that its presence never looks like a voter's.
    pub(crate) fn observer_journal(&self) -> PathBuf {
        self.directory.join("observer-journal")
    }
}

/// What the node says of itself before it has voted.
const NEVER_VOTED: &[u8] = b"This validator has not voted yet. Do not copy this file.\n";

fn epoch_name(epoch: Epoch) -> String {
    format!("epoch-{epoch}")
}

/// What a proof of passage permits in an epoch.
fn above(bytes: &[u8], epoch: Epoch) -> Standing {
    match FinalityProof::decode(bytes) {
        Ok(proof) if proof.epoch == epoch => Standing::VotesAbove(Box::new(proof)),
        Ok(proof) if proof.epoch < epoch => Standing::Votes,
        _ => Standing::Rejoining,
    }
}

/// Whether an engine has written into this folder: some blob of some partition holds something.
fn is_begun(journal: &Path) -> io::Result<bool> {
    for partition in entries(journal)? {
        // The engine's lock lies beside its partitions.
        if partition.file_type()?.is_dir() {
            for blob in entries(&partition.path())? {
                if blob.metadata()?.len() > 0 {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(fault) => Err(fault),
    }
}

fn remove_if_there(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(fault) if fault.kind() != io::ErrorKind::NotFound => Err(fault),
        _ => Ok(()),
    }
}

/// What is in a folder; nothing where there is none.
fn entries(folder: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.collect(),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(fault) => Err(fault),
    }
}

fn durable_write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Watches for the proof of passage while a node may not vote.
#[derive(Debug)]
pub(crate) enum Passage {
    /// Nothing is known of earlier votes: the block must be from well after the start.
    Later(LaterBlock),
    /// No earlier vote in this epoch is above this view.
    Above(Epoch, View),
}

impl Passage {
    /// From the moment of the start, on the monotonic clock.
    pub(crate) fn new(now_ms: u64) -> Self {
        Self::Later(LaterBlock { started_ms: now_ms, after: wall_clock() })
    }

    /// A block was executed; whether its certificate proves passage.
    pub(crate) fn is_proven_by(
        &mut self,
        now_ms: u64,
        timestamp: TimestampMs,
        certificate: Option<&[u8]>,
        is_behind: bool,
    ) -> bool {
        match self {
            Self::Later(later) => later.is_proven_by(now_ms, timestamp, is_behind) && certificate.is_some(),
            Self::Above(epoch, view) => certificate
                .and_then(|bytes| FinalityProof::decode(bytes).ok())
                .is_some_and(|proof| proof.epoch == *epoch && proof.view >= *view),
        }
    }
}

/// Waits for a block from well after the start.
#[derive(Debug)]
pub(crate) struct LaterBlock {
    started_ms: u64,
    after: TimestampMs,
}

impl LaterBlock {
    /// While the node is still behind, blocks tell nothing about the present, so the wait begins when it has caught up.
    fn is_proven_by(&mut self, now_ms: u64, timestamp: TimestampMs, is_behind: bool) -> bool {
        if is_behind {
            self.started_ms = now_ms;
        }
        if now_ms < self.started_ms.saturating_add(PASSAGE_MARGIN_MS) {
            self.after = self.after.max(timestamp);
            return false;
        }
        timestamp.0 > self.after.0.saturating_add(PASSAGE_MARGIN_MS)
    }
}

#[cfg(test)]
mod tests {
    use storage::{Identity, MemoryStore};

    use super::*;

    const FIRST: Epoch = Epoch(0);
    const SECOND: Epoch = Epoch(1);

    fn store() -> MemoryStore {
        MemoryStore::fresh(&Identity { schema_version: 1, genesis: [1; 32], chain: 0 })
    }

    #[test]
    fn a_journal_without_its_database_is_no_journal() {
        let (folder, lost) = (tempfile::tempdir().unwrap(), store());
        let files = StandingFiles::new(&folder.path().join("chain-0"));
        files.init().unwrap();
        files.begin_voting(&lost, FIRST, [1; 32]).unwrap();
        begin_journal(&files);
        files.votes(FIRST).unwrap();
        assert_eq!(files.read(&lost, FIRST).unwrap(), Standing::Votes);
        let store = store();
        assert_eq!(files.read(&store, FIRST).unwrap(), Standing::Rejoining, "the database was removed");
        fs::remove_file(files.pair()).unwrap();
        assert_eq!(
            files.read(&lost, FIRST).unwrap(),
            Standing::Rejoining,
            "a dying process wrote a journal alone"
        );

        files.pass(&passage().encode()).unwrap();
        files.begin_voting(&store, FIRST, [2; 32]).unwrap();
        assert!(!files.has_journal(FIRST).unwrap(), "the stale journal is gone");
        begin_journal(&files);
        assert_eq!(files.read(&store, FIRST).unwrap(), Standing::VotesAbove(Box::new(passage())));
    }

    #[test]
    fn only_a_new_or_journaled_validator_votes() {
        let (folder, store) = (tempfile::tempdir().unwrap(), store());
        let files = StandingFiles::new(&folder.path().join("chain-0"));
        assert_eq!(
            files.read(&store, FIRST).unwrap(),
            Standing::Rejoining,
            "an empty directory may be a wiped one"
        );
        files.init().unwrap();
        assert_eq!(files.read(&store, FIRST).unwrap(), Standing::Votes);
        assert_eq!(files.init().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        files.votes(FIRST).unwrap();
        assert_eq!(
            files.read(&store, FIRST).unwrap(),
            Standing::Rejoining,
            "the word is used up by the first start"
        );
        files.begin_voting(&store, FIRST, [1; 32]).unwrap();
        begin_journal(&files);
        assert_eq!(files.read(&store, FIRST).unwrap(), Standing::Votes);
        assert!(files.has_journal(FIRST).unwrap());
    }

    /// As the engine does: a lock, and blobs in a partition.
    fn begin_journal(files: &StandingFiles) -> PathBuf {
        let partition = files.journal(FIRST).join("journal-c0-e0-00000000");
        fs::create_dir_all(&partition).unwrap();
        fs::write(files.journal(FIRST).join(".lock"), b"").unwrap();
        assert!(!files.has_journal(FIRST).unwrap(), "a folder without a blob holds no vote");
        fs::write(partition.join("00"), b"").unwrap();
        assert!(!files.has_journal(FIRST).unwrap(), "an empty blob holds no vote");
        fs::write(partition.join("00"), b"header").unwrap();
        partition
    }

    fn passage() -> FinalityProof {
        use ledger::values::{BlockDigest, ChainId, View};
        let digest = BlockDigest([4; 32]);
        let (chain, epoch) = (ChainId(0), FIRST);
        FinalityProof { chain, epoch, view: View(9), parent_view: View(8), digest, bytes: vec![1; 100] }
    }

    #[test]
    fn a_passage_serves_for_one_journal() {
        let (folder, store) = (tempfile::tempdir().unwrap(), store());
        let files = StandingFiles::new(folder.path());
        let above = Standing::VotesAbove(Box::new(passage()));
        files.pass(&passage().encode()).unwrap();
        assert_eq!(files.read(&store, FIRST).unwrap(), above);
        assert_eq!(files.read(&store, FIRST).unwrap(), above, "reading uses nothing up");
        files.begin_voting(&store, FIRST, [1; 32]).unwrap();
        assert_eq!(
            files.read(&store, FIRST).unwrap(),
            Standing::Rejoining,
            "the journal may have been begun and lost"
        );

        let partition = begin_journal(&files);
        assert_eq!(files.read(&store, FIRST).unwrap(), above, "the journal may not hold its floor yet");
        files.begin_voting(&store, FIRST, [1; 32]).unwrap();
        assert_eq!(files.read(&store, FIRST).unwrap(), above);
        for (case, lost) in [("removed", files.journal(FIRST)), ("emptied", partition)] {
            fs::remove_dir_all(&lost).unwrap();
            assert_eq!(files.read(&store, FIRST).unwrap(), Standing::Rejoining, "a journal that was {case}");
            fs::create_dir_all(&lost).unwrap();
            assert_eq!(files.read(&store, FIRST).unwrap(), Standing::Rejoining, "a journal that was {case}");
            files.pass(&passage().encode()).unwrap();
            assert_eq!(files.read(&store, FIRST).unwrap(), above, "it may pass anew");
            files.begin_voting(&store, FIRST, [1; 32]).unwrap();
            begin_journal(&files);
        }
    }

    /// A voter with its journal in the first epoch.
    fn voter(folder: &Path, store: &MemoryStore) -> StandingFiles {
        let files = StandingFiles::new(&folder.join("chain-0"));
        files.init().unwrap();
        files.begin_voting(store, FIRST, [1; 32]).unwrap();
        begin_journal(&files);
        files.votes(FIRST).unwrap();
        files
    }

    fn begin_journal_of(files: &StandingFiles, epoch: Epoch) {
        let partition = files.journal(epoch).join("journal-c0-e1-00000000");
        fs::create_dir_all(&partition).unwrap();
        fs::write(partition.join("00"), b"header").unwrap();
    }

    #[test]
    fn a_voter_votes_in_the_next_epoch_at_once_and_without_that_journal_never_again() {
        let (folder, store) = (tempfile::tempdir().unwrap(), store());
        let files = voter(folder.path(), &store);
        assert_eq!(files.read(&store, SECOND).unwrap(), Standing::Votes);
        files.begin_voting(&store, SECOND, [2; 32]).unwrap();
        assert_eq!(
            files.read(&store, SECOND).unwrap(),
            Standing::Votes,
            "power was lost before the journal began"
        );
        assert_eq!(
            files.read(&store, FIRST).unwrap(),
            Standing::Votes,
            "its journal of the first epoch is still there"
        );
        begin_journal_of(&files, SECOND);
        files.votes(SECOND).unwrap();
        assert_eq!(files.read(&store, SECOND).unwrap(), Standing::Votes);
        assert_eq!(
            files.read(&store, FIRST).unwrap(),
            Standing::Rejoining,
            "the journal of an epoch that ended is gone"
        );
        fs::remove_dir_all(files.journal(SECOND)).unwrap();
        assert_eq!(files.read(&store, SECOND).unwrap(), Standing::Rejoining);
        assert_eq!(
            files.read(&store, Epoch(2)).unwrap(),
            Standing::Votes,
            "votes of two epochs never contradict"
        );
    }

    #[test]
    fn a_wiped_validator_votes_in_no_epoch_without_a_passage() {
        let (folder, wiped) = (tempfile::tempdir().unwrap(), store());
        let files = voter(folder.path(), &wiped);
        let store = store();
        for epoch in [FIRST, SECOND] {
            assert_eq!(files.read(&store, epoch).unwrap(), Standing::Rejoining, "another database");
        }
        let files = StandingFiles::new(&folder.path().join("emptied"));
        fs::create_dir_all(&files.directory).unwrap();
        for epoch in [FIRST, SECOND] {
            assert_eq!(files.read(&store, epoch).unwrap(), Standing::Rejoining, "no files");
        }
        files.pass(&passage().encode()).unwrap();
        assert_eq!(
            files.read(&store, SECOND).unwrap(),
            Standing::Votes,
            "the second epoch began after the start"
        );
        files.begin_voting(&store, SECOND, [3; 32]).unwrap();
        assert_eq!(
            files.read(&store, SECOND).unwrap(),
            Standing::Rejoining,
            "the journal may have been begun and lost"
        );
        begin_journal_of(&files, SECOND);
        assert_eq!(files.read(&store, SECOND).unwrap(), Standing::Votes);
    }

    #[test]
    fn a_bank_that_joins_votes_in_the_first_epoch_that_has_it() {
        let (folder, store) = (tempfile::tempdir().unwrap(), store());
        let files = StandingFiles::new(&folder.path().join("chain-0"));
        files.init().unwrap();
        assert_eq!(files.read(&store, Epoch(7)).unwrap(), Standing::Votes);
    }

    #[test]
    fn a_damaged_passage_is_none() {
        let (folder, store) = (tempfile::tempdir().unwrap(), store());
        let files = StandingFiles::new(folder.path());
        files.pass(b"no certificate").unwrap();
        assert_eq!(files.read(&store, FIRST).unwrap(), Standing::Rejoining);
        files.begin_voting(&store, FIRST, [1; 32]).unwrap();
        begin_journal(&files);
        assert_eq!(
            files.read(&store, FIRST).unwrap(),
            Standing::Rejoining,
            "without its floor the journal is not enough"
        );
    }

    #[test]
    fn a_damaged_journal_costs_the_views_in_doubt_and_no_other() {
        let (folder, store) = (tempfile::tempdir().unwrap(), store());
        let files = voter(folder.path(), &store);
        let partition = files.journal(FIRST).join("journal-c0-e0-00000000");
        assert_eq!(files.read(&store, FIRST).unwrap(), Standing::Votes);
        fs::write(partition.join("0000000000000007"), [7; 8_192]).unwrap();
        fs::write(partition.join("0000000000000009"), b"").unwrap();
        let standing = files.read(&store, FIRST).unwrap();
        let Standing::Doubtful(damage) = &standing else { panic!("{standing:?}") };
        assert!(!standing.may_vote());
        assert_eq!((damage.newest_view, damage.at_byte), (9, 0));
        assert_eq!(files.read(&store, FIRST).unwrap(), standing, "it says so at every start");
        assert_eq!(
            files.read(&store, SECOND).unwrap(),
            Standing::Votes,
            "votes of two epochs never contradict"
        );

        let mut watch = Passage::Above(FIRST, View(damage.newest_view));
        let mut is_proven =
            |proof: FinalityProof| watch.is_proven_by(1, TimestampMs(1), Some(&proof.encode()), false);
        assert!(!is_proven(FinalityProof { view: View(8), ..passage() }), "a vote in view 9 may be hidden");
        assert!(!is_proven(FinalityProof { epoch: SECOND, view: View(99), ..passage() }), "of another epoch");
        assert!(is_proven(passage()));
        assert!(!watch.is_proven_by(1, TimestampMs(u64::MAX), None, false));

        files.pass(&passage().encode()).unwrap();
        let above = Standing::VotesAbove(Box::new(passage()));
        assert_eq!(files.read(&store, FIRST).unwrap(), above);
        files.begin_voting(&store, FIRST, [2; 32]).unwrap();
        assert!(!files.has_journal(FIRST).unwrap(), "the damaged journal is gone");
        assert_eq!(
            files.read(&store, FIRST).unwrap(),
            Standing::Rejoining,
            "a crash before the new one begins"
        );
        begin_journal(&files);
        assert_eq!(files.read(&store, FIRST).unwrap(), above);
    }

    #[test]
    fn the_word_that_it_never_voted_does_not_outlive_the_first_journal() {
        let (folder, store) = (tempfile::tempdir().unwrap(), store());
        let files = StandingFiles::new(&folder.path().join("chain-0"));
        files.init().unwrap();
        files.begin_voting(&store, FIRST, [1; 32]).unwrap();
        assert_eq!(
            files.read(&store, FIRST).unwrap(),
            Standing::Votes,
            "a crash before the journal begins costs nothing"
        );
        begin_journal(&files);
        // Killed before the word was taken back: the next start does it.
        files.begin_voting(&store, FIRST, [1; 32]).unwrap();
        fs::remove_dir_all(files.journal(FIRST)).unwrap();
        assert_eq!(files.read(&store, FIRST).unwrap(), Standing::Rejoining);
    }

    #[test]
    fn passage_needs_a_block_from_well_after_the_start() {
        let Passage::Later(mut passage) = Passage::new(1_000) else { panic!("nothing is known") };
        let start = passage.after;
        let at = |ms: u64| TimestampMs(start.0 + ms);
        assert!(!passage.is_proven_by(2_000, at(60_000), false), "too early, whatever the block says");
        let after_the_margin = 1_000 + PASSAGE_MARGIN_MS;
        assert!(
            !passage.is_proven_by(after_the_margin, at(60_000), false),
            "not later than what was seen meanwhile"
        );
        assert!(!passage.is_proven_by(after_the_margin, at(60_000 + PASSAGE_MARGIN_MS), false));
        assert!(passage.is_proven_by(after_the_margin, at(60_001 + PASSAGE_MARGIN_MS), false));
        assert!(!passage.is_proven_by(after_the_margin, at(9_000_000), true), "still behind");
    }
}
