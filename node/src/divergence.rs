//! What a node does when its result differs from a certified one (PROTOCOL rule 14): it marks that in its database, keeps
//! what it found beside it, and starts anew, which takes the heights back and executes them once more; or it halts.
//!
//! The rules are in `chain::rollback`; here are the files. A report is a folder of its own, named by the count of
//! divergences, which is bounded: one that is written again after the same divergence replaces itself. Its `report.txt`
//! is written last. The mark is durable before the first byte of the report: a node that dies in between knows that it
//! diverged, and the next start writes the report before it takes anything back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chain::RowFault;
use chain::rollback::{Divergence, Finding, REPORT, Stage, Verdict};
use ledger::records::Claim;
use ledger::values::Height;
use storage::Store;

use crate::handle::OpenDivergence;

/// The divergences of one chain.
pub(crate) struct Divergences {
    directory: PathBuf,
    store: Arc<dyn Store>,
    /// Taken back, and not passed yet.
    open: Option<Divergence>,
}

/// What the node does now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It starts anew.
    StartAnew,
    /// It halts; why, for people.
    Halt(String),
}

impl Divergences {
    /// Before the executor is opened: takes back what is to be taken back.
    ///
    /// # Errors
    /// [`RowFault`].
    pub(crate) fn open(directory: &Path, store: Arc<dyn Store>) -> Result<Self, RowFault> {
        let mut divergences = Self { directory: directory.to_owned(), store, open: None };
        let found = Divergence::read(divergences.store.as_ref())?;
        if let Some(found) = found.filter(|found| found.stage == Stage::Found)
            && !divergences.report_of(&found).join(REPORT).exists()
        {
            let kept = divergences.keep_report(&found);
            tracing::warn!(kept, "this node ended between a divergence and its report");
        }
        divergences.open = Divergence::roll_back(divergences.store.as_ref())?;
        if let Some(report) = divergences.open_report() {
            let height = divergences.open.map_or(Height(0), |open| open.back_to);
            tracing::warn!(%height, report = %report.display(), "taken back to the last certified height: it executes once more");
        }
        Ok(divergences)
    }

    /// Where the report of a divergence that is not passed lies.
    pub(crate) fn open_report(&self) -> Option<PathBuf> {
        self.open.as_ref().map(|open| self.report_of(open))
    }

    /// The one that is not passed, for people.
    pub(crate) fn shown(&self) -> Option<OpenDivergence> {
        self.open.map(|open| OpenDivergence { height: open.own.height, report: open.count })
    }

    fn report_of(&self, divergence: &Divergence) -> PathBuf {
        self.directory.join(format!("divergence-{}", divergence.count))
    }

    /// The chain diverged and stopped.
    pub(crate) fn found(&mut self, own: Claim, certified: Claim, back_to: Height) -> Result<Next, RowFault> {
        let verdict = Divergence::judge(self.store.as_ref(), own, certified, back_to)?;
        // A node that halts has an earlier mark, or too many of them: it knows already.
        if let Verdict::RollBack(divergence) = verdict {
            divergence.begin(self.store.as_ref())?;
        }
        let (Verdict::RollBack(divergence) | Verdict::Halt(divergence)) = verdict;
        let kept = self.keep_report(&divergence);
        let cause = format!(
            "at height {} this node computed {} but the quorum certified {}; {kept}",
            own.height, own.result, certified.result
        );
        Ok(match verdict {
            Verdict::RollBack(_) => {
                tracing::error!(cause, "diverged: this node starts anew and executes once more");
                Next::StartAnew
            }
            Verdict::Halt(_) => Next::Halt(format!("{cause}; it diverged before and does not try again")),
        })
    }

    /// Writes the report of a divergence; says for people where it lies, or why there is none. Without one the node goes on:
    /// the mark decides what it does.
    fn keep_report(&self, divergence: &Divergence) -> String {
        let report = self.report_of(divergence);
        let findings = divergence.findings(self.store.as_ref()).map_err(|fault| fault.to_string());
        let kept = findings.and_then(|findings| keep(&report, &findings).map_err(|fault| fault.to_string()));
        kept.map_or_else(
            |fault| format!("no report could be written to {}: {fault}", report.display()),
            |()| format!("the report lies in {}", report.display()),
        )
    }

    /// Results up to this height are certified.
    pub(crate) fn certified(&mut self, height: Height) -> Result<(), RowFault> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if open.pass(self.store.as_ref(), height)? {
            let report = self.open_report();
            tracing::warn!(
                %height,
                report = %report.unwrap_or_default().display(),
                "the second execution gave the certified result: this node goes on; look into the report all the same"
            );
            self.open = None;
        }
        Ok(())
    }
}

fn keep(folder: &Path, findings: &[Finding]) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(fault) if fault.kind() != io::ErrorKind::NotFound => return Err(fault),
        _ => {}
    }
    fs::create_dir_all(folder)?;
    // The findings begin with the report, which says that all of them are there.
    for finding in findings.iter().rev() {
        let path = folder.join(&finding.name);
        fs::write(&path, &finding.bytes)?;
        fs::File::open(&path)?.sync_all()?;
    }
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use chain::{Archive, Executor, FinalBlock};
    use genesis::dev::{LocalnetPlan, localnet};
    use ledger::records::{Block, BlockBody, BlockHeader, GenesisSpec};
    use ledger::values::{
        ChainId, Epoch, FeeRate, ResultHash, Sequential, TimestampMs, ValidatorIndex, View,
    };
    use storage::{Durability, Identity, MemoryStore, Table, WriteSet};

    use super::*;

    fn open(spec: &GenesisSpec, store: &Arc<dyn Store>) -> Executor<Sequential> {
        Executor::open(spec, ChainId(0), Arc::clone(store), Sequential).unwrap()
    }

    /// Executes an empty block, which claims the result before it.
    fn execute(spec: &GenesisSpec, store: &Arc<dyn Store>) -> Claim {
        let mut executor = open(spec, store);
        let (head, body) = (executor.state().head().clone(), BlockBody::default());
        let header = BlockHeader {
            chain: ChainId(0),
            epoch: Epoch(0),
            view: View(head.height.0 + 1),
            height: head.height.next(),
            parent: head.block,
            timestamp: TimestampMs(head.timestamp.0 + 1),
            proposer: ValidatorIndex(0),
            weight: 0,
            base_fee: FeeRate::ZERO,
            claim: Claim { height: head.height, result: head.result },
            body: body.hash(),
        };
        let digest = header.digest(spec.hash());
        let block = Arc::new(Block { header, body });
        let next = FinalBlock {
            digest,
            block,
            batches: Vec::new(),
            bundles: Vec::new(),
            certificate: None,
            is_durable: true,
        };
        executor.execute(&next).unwrap().claim
    }

    /// A store with two heights, the claim of the second, and another one that a quorum certified.
    fn diverged() -> (GenesisSpec, Arc<dyn Store>, Claim, Claim) {
        let spec = localnet(&LocalnetPlan::new(4), &[6; 32]).unwrap().spec;
        let identity = Identity { schema_version: 1, genesis: spec.hash().0, chain: 0 };
        let store: Arc<dyn Store> = Arc::new(MemoryStore::fresh(&identity));
        let (_, own) = (execute(&spec, &store), execute(&spec, &store));
        let certified = Claim { result: ResultHash([9; 32]), ..own };
        (spec, store, own, certified)
    }

    #[test]
    fn a_divergence_is_marked_before_its_report_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let (_, store, own, certified) = diverged();
        // What is about to be reported cannot be read.
        let digest = Archive::new(store.as_ref()).digest(Height(2)).unwrap().unwrap();
        let mut set = WriteSet::new();
        set.put(Table::Blocks, digest.0, b"no block");
        store.write(set, Durability::Synced).unwrap();
        let mut divergences = Divergences::open(folder.path(), Arc::clone(&store)).unwrap();
        assert_eq!(divergences.found(own, certified, Height(1)).unwrap(), Next::StartAnew);
        let marked = Divergence::read(store.as_ref()).unwrap().expect("the node knows that it diverged");
        assert_eq!((marked.stage, marked.own), (Stage::Found, own));
        assert!(!folder.path().join("divergence-1").join(REPORT).exists());
    }

    #[test]
    fn a_node_that_died_before_its_report_writes_it_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let (_, store, own, certified) = diverged();
        let Verdict::RollBack(found) = Divergence::judge(store.as_ref(), own, certified, Height(1)).unwrap()
        else {
            panic!("the first one is taken back")
        };
        found.begin(store.as_ref()).unwrap();
        let report = folder.path().join("divergence-1");
        // It died in the middle of the report.
        fs::create_dir_all(&report).unwrap();
        fs::write(report.join("height-2.block"), b"half of").unwrap();

        let divergences = Divergences::open(folder.path(), Arc::clone(&store)).unwrap();
        assert_eq!(divergences.open_report(), Some(report.clone()));
        let text = fs::read_to_string(report.join(REPORT)).unwrap();
        assert!(text.contains(&own.result.to_string()), "{text}");
        let block = fs::read(report.join("height-2.block")).unwrap();
        assert!(block.len() > b"half of".len(), "written before the height was taken back");
        assert_eq!(Archive::new(store.as_ref()).head().unwrap().unwrap().height, Height(1));
    }

    #[test]
    fn the_first_divergence_is_taken_back_and_the_second_halts_with_its_report_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        let (spec, store, own, certified) = diverged();
        let back_to = Height(1);
        let again = || Divergences::open(folder.path(), Arc::clone(&store)).unwrap();

        let mut divergences = again();
        assert_eq!(divergences.open_report(), None);
        assert_eq!(divergences.found(own, certified, back_to).unwrap(), Next::StartAnew);
        let report = folder.path().join("divergence-1");
        let text = fs::read_to_string(report.join("report.txt")).unwrap();
        for word in [own.result.to_string(), certified.result.to_string(), "height-2.block".to_owned()] {
            assert!(text.contains(&word), "{word} in {text}");
        }
        for name in ["height-2.block", "height-2.result", "height-2.outcomes", "height-2.undo"] {
            assert!(fs::metadata(report.join(name)).unwrap().len() > 0, "{name}");
        }

        let mut divergences = again();
        assert_eq!(divergences.open_report(), Some(report.clone()));
        assert_eq!(divergences.shown(), Some(OpenDivergence { height: own.height, report: 1 }));
        assert_eq!(Archive::new(store.as_ref()).head().unwrap().unwrap().height, back_to);
        assert_eq!(execute(&spec, &store), own, "the block is executed once more");
        divergences.certified(back_to).unwrap();
        assert_eq!(again().open_report(), Some(report), "height 2 is not certified yet");
        match divergences.found(own, certified, back_to).unwrap() {
            Next::Halt(cause) => assert!(cause.contains("divergence-2"), "{cause}"),
            other => panic!("{other:?}"),
        }
        assert!(folder.path().join("divergence-2/report.txt").exists());

        divergences.certified(Height(2)).unwrap();
        assert_eq!((divergences.open_report(), again().open_report()), (None, None));
        assert_eq!(divergences.shown(), None);
        assert_eq!(divergences.found(own, certified, back_to).unwrap(), Next::StartAnew, "a new one");
    }
}
