//! Approvals of governance proposals: made with an operator's cold key, for one network and one proposal.

use super::hash::{GenesisHash, Hash};
use super::key::{PublicKey, SecretKey, Signature};
use super::verify::{SignedMessage, verify};

const TAG: &[u8] = b"jiaozi/governance";

/// What a cold key signs: a tag of its own, the network, the proposal's hash.
fn message(genesis: GenesisHash, proposal: &Hash) -> Vec<u8> {
    [TAG, &genesis.0, &proposal.0].concat()
}

/// Approves the proposal with this hash.
#[must_use]
pub fn sign_governance(secret: &SecretKey, genesis: GenesisHash, proposal: &Hash) -> Signature {
    secret.sign(&message(genesis, proposal))
}

/// Whether `signature` approves the proposal with this hash, made with `key`.
#[must_use]
pub fn verify_governance(
    key: PublicKey,
    genesis: GenesisHash,
    proposal: &Hash,
    signature: Signature,
) -> bool {
    verify(&SignedMessage { public_key: key, message: &message(genesis, proposal), signature })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::{CeremonyPurpose, verify_ceremony};

    #[test]
    fn an_approval_serves_one_network_one_proposal_and_one_key() {
        let (secret, other) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
        let (genesis, proposal) = (GenesisHash([3; 32]), Hash([4; 32]));
        let signature = sign_governance(&secret, genesis, &proposal);
        let passes = |key: &SecretKey, genesis, proposal| {
            verify_governance(key.public_key(), genesis, &proposal, signature)
        };
        assert!(passes(&secret, genesis, proposal));
        assert!(!passes(&other, genesis, proposal));
        assert!(!passes(&secret, GenesisHash([5; 32]), proposal));
        assert!(!passes(&secret, genesis, Hash([5; 32])));
        let ceremony = verify_ceremony(secret.public_key(), CeremonyPurpose::Approval, &proposal, signature);
        assert!(!ceremony, "an approval of a genesis is none of a proposal");
    }
}
