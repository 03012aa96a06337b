//! The proof of a registry convinces with the genesis spec alone, and no tampered one does.

use ledger::proofs::{ProofFault, RegistryFault, RegistryProof, SetChain};
use ledger::records::Registry;
use ledger::values::{Canonical as _, GenesisHash};

use crate::network::Network;

fn proof() -> (Network, RegistryProof) {
    let mut network = Network::new();
    network.run(Vec::new());
    let height = network.height().0;
    let (registry, parts) = (Registry::clone(&network.state.rules().registry), network.state.parts());
    network.run(Vec::new());
    let certified = network.certified(height, height + 1);
    let genesis = network.genesis;
    (network, RegistryProof { genesis, sets: SetChain::default(), registry, parts, certified })
}

#[test]
fn a_registry_is_proved_with_the_genesis_spec_alone() {
    let (network, proof) = proof();
    let decoded = RegistryProof::decode(&proof.encode()).unwrap();
    assert_eq!(decoded, proof);
    assert_eq!(decoded.verify(&network.spec), Ok(()));
    assert_eq!(decoded.registry, Registry::from_genesis(&network.spec));
}

#[test]
fn another_registry_is_not() {
    let (network, proof) = proof();
    let fault = |change: &dyn Fn(&mut RegistryProof)| {
        let mut changed = proof.clone();
        change(&mut changed);
        changed.verify(&network.spec).unwrap_err()
    };
    assert_eq!(fault(&|proof| proof.registry.version += 1), RegistryFault::Registry);
    assert_eq!(fault(&|proof| proof.registry.nodes[0].address.push('1')), RegistryFault::Registry);
    let honest = proof.clone();
    let other = |proof: &mut RegistryProof| {
        proof.registry.version += 1;
        proof.parts.registry = proof.registry.hash();
    };
    assert_eq!(fault(&other), RegistryFault::Proof(ProofFault::State));
    let state = |proof: &mut RegistryProof| {
        other(proof);
        proof.certified.result.state = proof.parts.root();
    };
    assert!(matches!(fault(&state), RegistryFault::Proof(ProofFault::Result { .. })));
    let network_fault = fault(&|proof| proof.genesis = GenesisHash([9; 32]));
    assert!(matches!(network_fault, RegistryFault::Proof(ProofFault::WrongNetwork { .. })));
    assert_eq!(honest.verify(&network.spec), Ok(()));
}
