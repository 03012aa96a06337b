//! Outcome proofs as a node would hand them out, from its store alone.

use chain::Archive;
use ledger::proofs::{
    CertifiedResult, FinalityProof, OutcomeProof, Proof, ProofFile, ReceiptProof, outcome_path,
};
use ledger::records::BlockHeader;
use ledger::values::{Canonical as _, GenesisHash, Height, Sequential, TransactionId};
use storage::Store;

/// A proof of what a transaction or a receipt became; `None` where it is not certified yet.
pub(crate) fn outcome_proof(store: &dyn Store, genesis: GenesisHash, id: TransactionId) -> Option<ProofFile> {
    let archive = Archive::new(store);
    let located = archive.locate(id).ok()??;
    let certified = certified_result(&archive, located.height)?;
    let position = u64::try_from(located.leaf).ok()?;
    let path = outcome_path(&located.outcomes, position, &Sequential)?;
    let outcome = located.outcome;
    let sets = archive.set_chain(certified.header.epoch).ok()??;
    let proof = if let Some(transaction) = archive.transaction(located.height, outcome.index).ok()? {
        Proof::Outcome(OutcomeProof { transaction, outcome, position, path, certified })
    } else {
        let (source, sequence, receipt) = archive.receipt(genesis, id, located.height).ok()??;
        Proof::Receipt(ReceiptProof { source, sequence, receipt, outcome, position, path, certified })
    };
    Some(ProofFile { genesis, sets, proof })
}

/// The lowest block with a certificate of its own that claims the height or one above it.
fn certified_result(archive: &Archive<'_, dyn Store>, height: Height) -> Option<CertifiedResult> {
    let (header, certificate) = claiming(archive, height)?;
    let links: Option<Vec<_>> = ((height.0 + 1)..=header.claim.height.0)
        .map(|between| archive.result(Height(between)).ok().flatten().map(|result| result.content_hash()))
        .collect();
    let finality = FinalityProof::decode(&certificate).ok()?;
    Some(CertifiedResult { result: archive.result(height).ok()??, links: links?, header, finality })
}

fn claiming(archive: &Archive<'_, dyn Store>, height: Height) -> Option<(BlockHeader, Vec<u8>)> {
    let mut from = height.next();
    loop {
        let (above, certificate) = archive.certified_from(from).ok()??;
        let header = archive.block_at(above).ok()??.header;
        if header.claim.height >= height {
            return Some((header, certificate));
        }
        from = above.next();
    }
}
