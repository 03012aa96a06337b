//! Archives: what is written proves itself, what is changed is refused, and a replay goes through them into what follows.

mod support;

use std::path::{Path, PathBuf};

use audit::{
    ArchiveError, ArchiveFault, ArchiveSource, ArchiveWriter, AuditBlock, AuditError, DatabaseSource, Replay,
    Source, archives_in, verify_archive,
};
use ledger::proofs::SetChain;
use ledger::records::HeightResult;
use ledger::values::{Canonical as _, Height};
use storage::{MemoryStore, Reader as _, Table, key};
use support::verdicts::stored;
use support::{CHAIN, Forge};

fn forge() -> Forge {
    let mut forge = Forge::new(20);
    forge.pay_around(200, 20);
    forge
}

/// The heights of a store, as its node would give them.
fn blocks(store: &MemoryStore, from: u64, to: u64) -> Vec<(AuditBlock, Option<HeightResult>)> {
    let mut source = DatabaseSource::starting_at(store, CHAIN, Height(from)).unwrap();
    let mut found = Vec::new();
    loop {
        let page = source.next_page().unwrap();
        if page.is_empty() {
            return found;
        }
        for block in page.into_iter().filter(|block| block.block.header.height.0 <= to) {
            let row = key::height(block.block.header.height.0);
            let result = store.get(Table::Results, &row).unwrap();
            found.push((block, result.map(|row| HeightResult::decode(&row).unwrap())));
        }
    }
}

fn write(forge: &Forge, store: &MemoryStore, folder: &Path, from: u64, to: u64) -> PathBuf {
    let path = folder.join(format!("{from}.archive"));
    let spec = &forge.network.spec;
    let mut writer = ArchiveWriter::create(&path, spec, (CHAIN, Height(from)), SetChain::default()).unwrap();
    for (block, result) in blocks(store, from, to) {
        writer.push(block, result).unwrap();
    }
    writer.finish().unwrap();
    path
}

#[test]
fn an_archive_proves_itself_and_says_what_it_holds() {
    let (forge, folder) = (forge(), tempfile::tempdir().unwrap());
    let (store, spec) = (stored(&forge), &forge.network.spec);
    let path = write(&forge, &store, folder.path(), 1, 6);
    let verified = verify_archive(&path, spec).unwrap();
    assert_eq!((verified.range.chain, verified.range.from, verified.range.to), (CHAIN, Height(1), Height(6)));
    assert_eq!(verified.bytes, std::fs::metadata(&path).unwrap().len());
    assert!(verified.certificates > 0 && verified.batches > 0);
    assert_eq!(verified.certified_result, Some(Height(5)), "each block claims the result of the one before");
    let listed = archives_in(folder.path(), spec, CHAIN).unwrap();
    assert_eq!(listed.iter().map(|file| file.range).collect::<Vec<_>>(), [verified.range]);
    // The same heights give the same bytes.
    let other = tempfile::tempdir().unwrap();
    let again = write(&forge, &store, other.path(), 1, 6);
    assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(again).unwrap());
    // There is no second file of the name, and nothing is left of an unfinished one.
    let second = ArchiveWriter::create(&path, spec, (CHAIN, Height(1)), SetChain::default());
    assert!(matches!(second, Err(ArchiveError::Exists { .. })));
    let unfinished = folder.path().join("2.archive");
    drop(ArchiveWriter::create(&unfinished, spec, (CHAIN, Height(1)), SetChain::default()).unwrap());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_replay_goes_through_archives_into_what_follows() {
    let (forge, folder) = (forge(), tempfile::tempdir().unwrap());
    let (store, spec) = (stored(&forge), &forge.network.spec);
    write(&forge, &store, folder.path(), 1, 4);
    // They may overlap.
    write(&forge, &store, folder.path(), 3, 7);
    let replay = || {
        let rest = |from| -> Result<Box<dyn Source + '_>, AuditError> {
            assert_eq!(from, Height(8));
            Ok(Box::new(DatabaseSource::starting_at(&store, CHAIN, from)?))
        };
        let source = ArchiveSource::new(folder.path(), spec, CHAIN, Box::new(rest)).unwrap();
        Replay { spec, chain: CHAIN, threads: 2, progress: &|_| {} }.run(Box::new(source), None)
    };
    let report = replay().unwrap();
    assert_eq!((report.state, report.height.0), (forge.state_root(), forge.blocks.len() as u64));
    // Of a database that is pruned, the rest is enough; alone it is not.
    let mut set = storage::WriteSet::new();
    set.put(Table::Meta, audit::PRUNED_ROW, key::height(8));
    storage::Store::write(&store, set, storage::Durability::Synced).unwrap();
    assert_eq!(replay().unwrap().state, report.state);
    let alone = DatabaseSource::new(&store, CHAIN).err();
    assert!(matches!(alone, Some(AuditError::Pruned { lowest: Height(8), .. })), "{alone:?}");
}

#[test]
fn a_changed_byte_anywhere_is_refused() {
    let (forge, folder) = (forge(), tempfile::tempdir().unwrap());
    let (store, spec) = (stored(&forge), &forge.network.spec);
    let path = write(&forge, &store, folder.path(), 1, 3);
    let bytes = std::fs::read(&path).unwrap();
    for place in (0..bytes.len()).step_by(bytes.len() / 150 + 1).chain(bytes.len() - 45..bytes.len()) {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        std::fs::write(&path, &changed).unwrap();
        let found = verify_archive(&path, spec);
        assert!(found.is_err(), "byte {place} of {}", bytes.len());
    }
    for length in [0, 10, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..length]).unwrap();
        assert!(verify_archive(&path, spec).is_err(), "cut off at {length}");
    }
    std::fs::write(&path, [bytes.as_slice(), &[0]].concat()).unwrap();
    assert!(matches!(verify_archive(&path, spec), Err(ArchiveError::Damaged { .. })), "one byte more");
}

#[test]
fn a_writer_refuses_what_is_not_certified() {
    let (forge, folder) = (forge(), tempfile::tempdir().unwrap());
    let (store, spec) = (stored(&forge), &forge.network.spec);
    let begin = |name: &str| {
        let place = (CHAIN, Height(1));
        ArchiveWriter::create(&folder.path().join(name), spec, place, SetChain::default()).unwrap()
    };
    let fault = |refused: Result<(), ArchiveError>| match refused {
        Err(ArchiveError::Block { fault, .. }) => *fault,
        other => panic!("{other:?}"),
    };
    let all = blocks(&store, 1, 5);
    // Not the next height.
    let (block, result) = all[1].clone();
    assert!(matches!(fault(begin("a").push(block, result)), ArchiveFault::NotNext { .. }));
    // A batch that is missing, and one in another's place.
    let at = all.iter().position(|(block, _)| !block.batches.is_empty()).unwrap();
    let mut writer = begin("b");
    for (block, result) in all[..at].iter().cloned() {
        writer.push(block, result).unwrap();
    }
    let (mut block, result) = all[at].clone();
    block.batches.clear();
    assert!(matches!(fault(writer.push(block, result)), ArchiveFault::Contents { what: "batch", .. }));
    // A certificate of another block, and another result.
    writer = begin("c");
    let (mut block, result) = all[0].clone();
    block.certificate = all[1].0.certificate.clone();
    assert!(matches!(fault(writer.push(block, result)), ArchiveFault::OtherBlock { .. }));
    writer = begin("d");
    let (block, result) = all[0].clone();
    let changed = result.map(|result| HeightResult { executed: result.executed + 1, ..result });
    writer.push(block, changed).unwrap();
    let (block, result) = all[1].clone();
    let found = fault(writer.push(block, result));
    assert_eq!(found, ArchiveFault::Result { claimed_by: Height(2) });
    // None with a certificate.
    writer = begin("e");
    let (mut block, result) = all[0].clone();
    block.certificate = None;
    writer.push(block, result).unwrap();
    assert!(matches!(writer.finish(), Err(ArchiveError::NoCertificate { from: Height(1) })));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
