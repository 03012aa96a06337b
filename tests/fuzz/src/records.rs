//! The ledger's records and proofs: exactly one encoding each, and checks that end in a verdict whatever was decoded.

use std::fmt::{Debug, Write as _};

use ledger::proofs::{
    CertifiedResult, ChainOrigin, FinalityProof, ProofFile, RegistryProof, SetChain, consensus_namespace,
    verify_certificate, verify_finality, verify_finality_by,
};
use ledger::records::registry::ROOT_CHAIN;
use ledger::records::{
    Batch, BatchContent, Block, BlockBody, BlockHeader, Bundle, GenesisSpec, HeightResult, Movement,
    Operation, Outcome, Policy, Proposal, Receipt, Record, Registry, SupplyTerms, Transaction,
    TransactionContent,
};
use ledger::rules::block_validity::{check_body, check_header, check_parent};
use ledger::rules::{
    BatchFacts, ChainRules, ParentFacts, batch_weight, bundle_weight, check_batch, check_bundle,
    check_signatures, check_transaction, content_weight, transaction_weight,
};
use ledger::state::{ChainState, StateHead, StateParts, Undo};
use ledger::values::{Canonical, ChainId, Sequential, Slot};

use crate::Target;
use crate::world::world;

pub(crate) const TARGETS: &[Target] = &[
    Target::canonical("policy", of::<Policy>),
    Target::canonical("operation", of::<Operation>),
    Target::canonical("transaction-content", content),
    Target::canonical("transaction", transaction),
    Target::canonical("batch-content", of::<BatchContent>),
    Target::canonical("batch", batch),
    Target::canonical("block-header", header),
    Target::canonical("block-body", of::<BlockBody>),
    Target::canonical("block", block),
    Target::canonical("bundle", bundle),
    Target::canonical("outcome", of::<Outcome>),
    Target::canonical("result", result),
    Target::canonical("supply-terms", of::<SupplyTerms>),
    Target::canonical("record", of::<Record>),
    Target::canonical("receipt", receipt),
    Target::canonical("movement", of::<Movement>),
    Target::canonical("proposal", proposal),
    Target::canonical("registry", registry),
    Target::canonical("genesis", genesis),
    Target::canonical("state-head", of::<StateHead>),
    Target::canonical("state-parts", state_parts),
    Target::canonical("undo", undo),
    Target::plain("certificate", certificate),
    Target::canonical("finality-proof", finality),
    Target::canonical("certified-result", certified),
    Target::canonical("set-chain", set_chain),
    Target::canonical("chain-origin", chain_origin),
    Target::canonical("registry-proof", registry_proof),
    Target::canonical("proof-file", proof_file),
];

/// What the bytes decode to; they are then its only encoding.
pub(crate) fn canonical<T: Canonical + Debug>(bytes: &[u8]) -> Option<T> {
    let value = T::decode(bytes).ok()?;
    assert!(value.encode() == bytes, "{}: decodes, and encodes to other bytes: {value:?}", T::NAME);
    assert!(value.check().is_ok(), "{}: decodes, and does not pass its own check: {value:?}", T::NAME);
    shown(&value);
    Some(value)
}

/// The text for people can be written.
pub(crate) fn shown(value: &impl Debug) {
    assert!(write!(String::new(), "{value:?}").is_ok());
}

pub(crate) fn of<T: Canonical + Debug>(bytes: &[u8]) {
    canonical::<T>(bytes);
}

fn content(bytes: &[u8]) {
    let Some(content) = canonical::<TransactionContent>(bytes) else { return };
    let weight = content_weight(&content);
    let signed = Transaction { content, signatures: Vec::new(), sponsor_signatures: Vec::new() };
    assert!(weight >= transaction_weight(&signed), "signatures that are still to come weigh something");
}

fn transaction(bytes: &[u8]) {
    let Some(transaction) = canonical::<Transaction>(bytes) else { return };
    judged(&transaction);
}

/// The checks of a transaction that need no state.
pub(crate) fn judged(transaction: &Transaction) {
    let world = world();
    let summary = transaction.summary(world.genesis);
    assert_eq!(
        (summary.id, summary.hash),
        (transaction.id(world.genesis), transaction.hash()),
        "both ways to name a transaction"
    );
    assert_eq!(transaction_weight(transaction), content_weight(&transaction.content), "what was forecast");
    let is_valid = check_transaction(&world.rules, transaction).is_ok();
    let is_signed =
        check_signatures(&[transaction], world.genesis, &[7; 32], &world.keys, &Sequential).is_ok();
    shown(&(is_valid, is_signed));
}

fn batch(bytes: &[u8]) {
    let Some(batch) = canonical::<Batch>(bytes) else { return };
    let world = world();
    shown(&batch_weight(&batch));
    if let Ok(digest) = check_batch(&world.rules, &batch) {
        shown(&BatchFacts::of(digest, &batch));
    }
    let transactions: Vec<&Transaction> = batch.content.transactions.iter().collect();
    let verdict = check_signatures(&transactions, world.genesis, &[7; 32], &world.keys, &Sequential);
    assert!(verdict.is_ok() || verdict.is_err_and(|first| first < transactions.len()));
}

fn header(bytes: &[u8]) {
    let Some(header) = canonical::<BlockHeader>(bytes) else { return };
    judged_header(&header);
}

fn judged_header(header: &BlockHeader) {
    let world = world();
    shown(&check_header(&world.rules, header).is_ok());
    shown(&ParentFacts::of(header, world.genesis).next_base_fee(&world.rules));
    let parent = ParentFacts::genesis(&world.rules, world.spec.timestamp, header.claim.result);
    shown(&check_parent(&world.rules, header, &parent).is_ok());
    shown(&check_parent(&world.rules, header, &ParentFacts::of(header, world.genesis)).is_ok());
}

fn block(bytes: &[u8]) {
    let Some(block) = canonical::<Block>(bytes) else { return };
    judged_header(&block.header);
    shown(&check_body(&block.header, &block.body).is_ok());
}

fn bundle(bytes: &[u8]) {
    let Some(bundle) = canonical::<Bundle>(bytes) else { return };
    let world = world();
    shown(&(bundle.digest(world.genesis), bundle_weight(&bundle)));
    shown(&check_bundle(&world.rules, &bundle).is_ok());
    // The frozen network has one chain; a bundle of another one goes further where it is the destination.
    let rules = ChainRules { chain: bundle.destination, ..world.rules.clone() };
    shown(&check_bundle(&rules, &bundle).is_ok());
}

fn result(bytes: &[u8]) {
    let Some(result) = canonical::<HeightResult>(bytes) else { return };
    shown(&result.hash(world().genesis));
}

fn receipt(bytes: &[u8]) {
    let Some(receipt) = canonical::<Receipt>(bytes) else { return };
    let mut touched = Vec::new();
    receipt.touched(&mut touched);
    shown(&(receipt.hash(), receipt.value(), touched));
}

fn proposal(bytes: &[u8]) {
    let Some(proposal) = canonical::<Proposal>(bytes) else { return };
    shown(&proposal.hash(world().genesis));
}

fn registry(bytes: &[u8]) {
    let Some(registry) = canonical::<Registry>(bytes) else { return };
    let world = world();
    shown(&registry.hash());
    for chain in &registry.chains {
        shown(&ChainRules::new(world.genesis, registry.clone().into(), chain.chain).is_some());
        shown(&registry.of_child(chain.chain).is_some());
    }
}

fn genesis(bytes: &[u8]) {
    let Some(spec) = canonical::<GenesisSpec>(bytes) else { return };
    shown(&(spec.hash(), genesis::show(&spec)));
    shown(&ChainState::genesis(&spec, ROOT_CHAIN).is_ok());
    let file = genesis::GenesisFile::from_spec(&spec);
    if let Ok(again) = file.spec() {
        assert!(again == spec, "a genesis file holds what it was made of: {spec:?}");
    }
}

fn state_parts(bytes: &[u8]) {
    let Some(parts) = canonical::<StateParts>(bytes) else { return };
    shown(&parts.root());
}

fn undo(bytes: &[u8]) {
    shown(&Undo::touches(bytes, Slot(1)).is_ok());
    let Ok(undo) = Undo::decode(bytes) else { return };
    assert!(undo.encode() == bytes, "an undo record encodes to other bytes: {undo:?}");
    for (slot, _) in &undo.records {
        assert_eq!(Undo::touches(bytes, *slot), Ok(true), "slot {slot} is in {undo:?}");
    }
}

fn certificate(bytes: &[u8]) {
    let world = world();
    let namespace = consensus_namespace(world.genesis, ROOT_CHAIN);
    shown(&verify_certificate(bytes, &namespace, &world.validators()).is_ok());
}

fn finality(bytes: &[u8]) {
    let Some(proof) = canonical::<FinalityProof>(bytes) else { return };
    let world = world();
    shown(&verify_finality_by(&proof, world.genesis, world.epoch()).is_ok());
    shown(&verify_finality(&proof, world.genesis, &world.rules.registry).is_ok());
}

fn certified(bytes: &[u8]) {
    let Some(certified) = canonical::<CertifiedResult>(bytes) else { return };
    let world = world();
    shown(&certified.verify_by(world.genesis, &world.sets).is_ok());
}

fn set_chain(bytes: &[u8]) {
    let Some(sets) = canonical::<SetChain>(bytes) else { return };
    for chain in [ROOT_CHAIN, ChainId(1)] {
        shown(&sets.verify(&world().spec, chain).is_ok());
    }
}

fn chain_origin(bytes: &[u8]) {
    let Some(origin) = canonical::<ChainOrigin>(bytes) else { return };
    for chain in [ROOT_CHAIN, ChainId(1)] {
        shown(&origin.verify(&world().spec, chain).is_ok());
    }
}

fn registry_proof(bytes: &[u8]) {
    let Some(proof) = canonical::<RegistryProof>(bytes) else { return };
    shown(&proof.verify(&world().spec).is_ok());
}

fn proof_file(bytes: &[u8]) {
    let Some(proof) = canonical::<ProofFile>(bytes) else { return };
    shown(&proof.verify(&world().spec).is_ok());
}
