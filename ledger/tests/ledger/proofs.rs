//! Proof files: what a stranger learns from one with the genesis spec alone, and that no tampered one
//! convinces.

use ledger::proofs::{
    AbsenceProof, BalanceProof, CertificateFault, Fact, FinalityFault, OutcomeProof, Proof, ProofFault,
    ProofFile, Proven, SetChain, outcome_path, verify_finality,
};
use ledger::records::{Registry, Tier};
use ledger::state::StateParts;
use ledger::values::{
    Amount, Canonical as _, ChainId, Epoch, GenesisHash, Hash, Height, Sequential, View, WalletId,
};

use crate::network::{Network, pay};

/// Height 4 pays three times; heights 5 to 8 are empty and claim.
struct Town {
    network: Network,
    paid: u64,
    outcome: ProofFile,
    balance: ProofFile,
    absence: ProofFile,
    supply: ProofFile,
}

fn town() -> Town {
    let mut network = Network::new();
    network.open(0..3, Tier::One);
    network.fund(&network.customer(0).wallet, 1_000);
    let payer = network.customer(0);
    let pays = (1..=3).map(|n| network.transaction(&payer, n, pay(&[(network.customer(1).wallet, n * 100)])));
    let pays = pays.collect();
    network.run(pays);
    let paid = network.height().0;
    let wallet = network.wallet(&payer.wallet).unwrap();
    let place = network.state.record_path(payer.wallet).unwrap();
    let unknown = network.customer(77).wallet;
    let (id_path, parts) = (network.state.id_path(&unknown), network.state.parts());
    for _ in 0..4 {
        network.run(Vec::new());
    }
    let certified = network.certified(paid, paid + 4);
    assert_eq!(certified.links.len(), 3);
    let (_, batches, execution) = &network.heights[paid as usize - 1];
    let outcome = OutcomeProof {
        transaction: batches[0].content.transactions[1].clone(),
        outcome: execution.outcomes[1],
        position: 1,
        path: outcome_path(&execution.outcomes, 1, &Sequential).unwrap(),
        certified: certified.clone(),
    };
    let balance = BalanceProof {
        wallet,
        slot: place.slot,
        path: place.path,
        parts: place.parts,
        certified: certified.clone(),
    };
    let absence = AbsenceProof { wallet: unknown, path: id_path, parts, certified: certified.clone() };
    let file = |proof| ProofFile { genesis: network.genesis, sets: SetChain::default(), proof };
    let (outcome, balance) = (file(Proof::Outcome(outcome)), file(Proof::Balance(balance)));
    let (absence, supply) = (file(Proof::Absence(absence)), file(Proof::Supply(certified)));
    Town { paid, outcome, balance, absence, supply, network }
}

#[test]
fn a_proof_file_says_what_happened() {
    let Town { network, paid, outcome, balance, absence, supply } = town();
    let learn = |file: &ProofFile| {
        let bytes = file.encode();
        assert!(bytes.len() < 4_096, "a few kilobytes: {}", bytes.len());
        let proven = ProofFile::decode(&bytes).unwrap().verify(&network.spec).unwrap();
        assert_eq!((proven.chain, proven.height), (ChainId(0), Height(paid)));
        proven.fact
    };
    match learn(&outcome) {
        Fact::Outcome { id, outcome } => {
            assert_eq!(
                id,
                network.heights[paid as usize - 1].1[0].content.transactions[1].id(network.genesis)
            );
            assert!(outcome.is_applied() && outcome.index == 1);
        }
        other => panic!("{other:?}"),
    }
    match learn(&balance) {
        Fact::Wallet { wallet } => {
            assert_eq!((wallet.balance, wallet.lanes[0].highest), (Amount::from_fen(400), 3));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(learn(&absence), Fact::NoWallet { wallet: network.customer(77).wallet });
    match learn(&supply) {
        Fact::Supply { terms } => assert_eq!(terms.issued, Amount::from_fen(1_000)),
        other => panic!("{other:?}"),
    }
}

fn certified_mut(file: &mut ProofFile) -> &mut ledger::proofs::CertifiedResult {
    match &mut file.proof {
        Proof::Outcome(proof) => &mut proof.certified,
        Proof::Balance(proof) => &mut proof.certified,
        Proof::Absence(proof) => &mut proof.certified,
        Proof::Receipt(proof) => &mut proof.certified,
        Proof::Lock(proof) => &mut proof.certified,
        Proof::Supply(certified) => certified,
    }
}

#[test]
fn a_result_that_is_not_certified_convinces_nobody() {
    let Town { network, outcome, balance, absence, supply, .. } = town();
    for file in [outcome, balance, absence, supply] {
        let fault = |change: &dyn Fn(&mut ProofFile)| {
            let mut file = file.clone();
            change(&mut file);
            file.verify(&network.spec).unwrap_err()
        };
        let certified = |change: &dyn Fn(&mut ledger::proofs::CertifiedResult)| {
            fault(&|file| change(certified_mut(file)))
        };
        assert!(matches!(
            fault(&|file| file.genesis = GenesisHash([1; 32])),
            ProofFault::WrongNetwork { .. }
        ));
        assert!(matches!(certified(&|c| c.result.supply.issued = Amount::ZERO), ProofFault::Result { .. }));
        assert!(matches!(certified(&|c| c.result.previous.0[0] ^= 1), ProofFault::Result { .. }));
        assert!(matches!(certified(&|c| c.links[1] = Hash([1; 32])), ProofFault::Result { .. }));
        assert!(matches!(certified(&|c| c.links.swap(0, 1)), ProofFault::Result { .. }));
        assert!(matches!(
            certified(&|c| {
                c.links.pop();
            }),
            ProofFault::Links { .. }
        ));
        assert!(matches!(certified(&|c| c.result.height.0 += 9), ProofFault::Links { .. }));
        assert!(matches!(certified(&|c| c.header.claim.result.0[0] ^= 1), ProofFault::OtherBlock { .. }));
        assert!(matches!(certified(&|c| c.result.chain = ChainId(1)), ProofFault::Chains { .. }));
        assert!(matches!(certified(&|c| c.finality.chain = ChainId(1)), ProofFault::Chains { .. }));
        assert!(matches!(certified(&|c| c.header.epoch = Epoch(1)), ProofFault::Chains { .. }));
        assert!(matches!(certified(&|c| c.finality.bytes[90] ^= 1), ProofFault::Finality(_)));
        let other_spec = Network::with_params(Default::default()).spec;
        assert!(file.verify(&other_spec).is_ok(), "the same spec");
        let mut other_spec = other_spec;
        other_spec.network = "other".into();
        assert!(matches!(file.verify(&other_spec), Err(ProofFault::WrongNetwork { .. })));
    }
}

#[test]
fn tampered_facts_convince_nobody() {
    let Town { network, outcome, balance, absence, .. } = town();
    let verify = |proof: Proof| {
        ProofFile { genesis: network.genesis, sets: SetChain::default(), proof }.verify(&network.spec)
    };
    let Proof::Outcome(good) = outcome.proof else { panic!() };
    type OutcomeChange = fn(&mut OutcomeProof);
    let rows: Vec<(OutcomeChange, ProofFault)> = vec![
        (|p| p.outcome.code = 205, ProofFault::Outcome),
        (|p| p.outcome.index = 0, ProofFault::Outcome),
        (|p| p.outcome.fee = Amount::from_fen(1), ProofFault::Outcome),
        (|p| p.position = 0, ProofFault::Outcome),
        (|p| p.path[0].0[0] ^= 1, ProofFault::Outcome),
        (
            |p| {
                p.path.pop();
            },
            ProofFault::Outcome,
        ),
        (|p| p.transaction.content.nonce.sequence = 9, ProofFault::Transaction),
        (|p| p.transaction.signatures[0].signature.0[0] ^= 1, ProofFault::Transaction),
        (|p| p.outcome.id.0[0] ^= 1, ProofFault::Transaction),
    ];
    for (change, fault) in rows {
        let mut proof = good.clone();
        change(&mut proof);
        assert_eq!(verify(Proof::Outcome(proof)), Err(fault));
    }
    let Proof::Balance(good) = balance.proof else { panic!() };
    type BalanceChange = fn(&mut BalanceProof);
    let rows: Vec<(BalanceChange, ProofFault)> = vec![
        (|p| p.wallet.balance = Amount::from_fen(401), ProofFault::Record),
        (|p| p.wallet.lanes[0].highest = 4, ProofFault::Record),
        (|p| p.slot.0 += 1, ProofFault::Record),
        (|p| p.path[1].sum += 1, ProofFault::Record),
        (|p| p.parts.tree.sum += 1, ProofFault::State),
        (|p| p.parts.records += 1, ProofFault::State),
        (|p| p.parts.ordered.0[0] ^= 1, ProofFault::State),
    ];
    for (change, fault) in rows {
        let mut proof = good.clone();
        change(&mut proof);
        assert_eq!(verify(Proof::Balance(proof)), Err(fault));
    }
    let Proof::Absence(good) = absence.proof else { panic!() };
    let exists = |wallet: WalletId| AbsenceProof { wallet, ..good.clone() };
    assert_eq!(verify(Proof::Absence(exists(network.customer(0).wallet))), Err(ProofFault::Absence));
    let present = AbsenceProof {
        path: network.state.id_path(&network.customer(0).wallet),
        ..exists(network.customer(0).wallet)
    };
    assert_eq!(verify(Proof::Absence(present)), Err(ProofFault::Absence));
    let parts = StateParts { ids: Hash([1; 32]), ..good.parts };
    assert_eq!(verify(Proof::Absence(AbsenceProof { parts, ..good })), Err(ProofFault::State));
}

#[test]
fn proof_files_have_one_encoding() {
    let Town { network, outcome, balance, absence, supply, .. } = town();
    for file in [outcome, balance, absence, supply] {
        let bytes = file.encode();
        let fact = file.verify(&network.spec).ok().map(|proven| proven.fact);
        for length in 0..bytes.len() {
            assert!(ProofFile::decode(&bytes[..length]).is_err());
        }
        assert!(ProofFile::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
        for byte in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[byte] ^= 0x11;
            if let Ok(decoded) = ProofFile::decode(&flipped) {
                assert_eq!(decoded.encode(), flipped);
                match decoded.verify(&network.spec) {
                    Err(_) => {}
                    // One path proves the absence of every id that leads to the same leaf: true, and another
                    // fact.
                    Ok(Proven { fact: Fact::NoWallet { wallet }, .. }) => {
                        assert_ne!(Some(&Fact::NoWallet { wallet }), fact.as_ref());
                        assert!(network.wallet(&wallet).is_none());
                    }
                    Ok(proven) => panic!("byte {byte} can change and still convince: {proven:?}"),
                }
            }
        }
    }
}

#[test]
fn finality_needs_a_quorum_of_the_epoch() {
    let mut network = Network::new();
    network.run(Vec::new());
    let header = network.heights[0].0.header.clone();
    let good = network.finality(&header);
    let registry = Registry::from_genesis(&network.spec);
    let verify = |proof: &_| verify_finality(proof, network.genesis, &registry);
    assert_eq!(verify(&good), Ok(header.digest(network.genesis)));
    let mut wrong = good.clone();
    wrong.view = View(9);
    assert!(matches!(verify(&wrong), Err(FinalityFault::Fields { .. })));
    let mut wrong = good.clone();
    wrong.digest.0[0] ^= 1;
    assert!(matches!(verify(&wrong), Err(FinalityFault::Fields { .. })));
    let mut wrong = good.clone();
    wrong.epoch = Epoch(1);
    assert_eq!(verify(&wrong), Err(FinalityFault::EpochUnknown { chain: ChainId(0), epoch: Epoch(1) }));
    // Signers: bytes 35 to 42 the size of the set, 43 the bitmap, 44 the count, then the signatures.
    let signers = |bitmap: u8, count: u8, keep: usize| {
        let mut proof = good.clone();
        proof.bytes[43] = bitmap;
        proof.bytes[44] = count;
        proof.bytes.truncate(45 + keep * 64);
        verify(&proof)
    };
    let fault = |fault| Err(FinalityFault::Certificate(fault));
    assert_eq!(signers(0b1011, 3, 3), Ok(good.digest));
    assert_eq!(signers(0b0011, 2, 2), fault(CertificateFault::BelowQuorum { signers: 2, quorum: 3 }));
    assert_eq!(signers(0b0111, 3, 3), fault(CertificateFault::Signature(2)));
    assert_eq!(signers(0b1011, 3, 2), fault(CertificateFault::Truncated));
    assert_eq!(signers(0b0011, 3, 3), fault(CertificateFault::Count { signers: 2, signatures: 3 }));
    let other = verify_finality(&good, GenesisHash([5; 32]), &registry);
    assert_eq!(other, fault(CertificateFault::Signature(0)), "another network's namespace");
}
