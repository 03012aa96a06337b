//! A proposal as a file that goes from operator to operator: what it changes in words, its canonical bytes, the registry that
//! it changes, and the approvals so far.
//!
//! - The registry stands under a certified result with its set chain, so the genesis file is enough to judge the whole file:
//!   on the machine of a cold key, without a network and without trust in whoever made the file.
//! - The words are made from the bytes; a file whose words say something else is refused.
//! - The proposal is applied to that registry as the root chain will do it, so a file that loads is a change that fits.
//! - Every key that the proposal brings into the registry comes with a proof that it is held ([`super::key_proofs`]).
//! - Files of one proposal merge: each may hold other approvals. What is not approved by enough of the council does not leave.

use std::collections::BTreeMap;

use ledger::proofs::RegistryProof;
use ledger::records::registry::ROOT_CHAIN;
use ledger::records::{Approval, GenesisSpec, Proposal, Registry};
use ledger::values::{
    Canonical, GenesisHash, Hash, OperatorId, PublicKey, SecretKey, Signature, verify_governance,
};
use serde::{Deserialize, Serialize};

use super::diff::{Section, differences, lines, operator_name, spendings};
use super::error::GovernanceError;
use super::key_proofs::KeyProofs;
use crate::file::FORMAT;
use crate::text;

/// Most bytes of a proposal's file: the registry and its proof in hexadecimal, the words, and the proofs of keys.
pub const PROPOSAL_FILE_BYTES_MAX: usize = 2 * <RegistryProof as Canonical>::BYTES_MAX + 2 * 1_024 * 1_024;

/// A proposal that fits the registry which it changes, with the valid approvals so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposalFile {
    genesis: GenesisHash,
    proof: RegistryProof,
    proposal: Proposal,
    proofs: KeyProofs,
    after: Registry,
    approvals: BTreeMap<OperatorId, Signature>,
}

/// What is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Json {
    format: u32,
    genesis_hash: String,
    proposal_hash: String,
    reason: String,
    changes_version: u64,
    valid_until_ms: u64,
    is_urgent: bool,
    changes: Vec<String>,
    proposal: String,
    proofs: KeyProofs,
    registry: String,
    approvals: Vec<JsonApproval>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonApproval {
    operator: u16,
    name: String,
    signature: String,
}

impl ProposalFile {
    /// A proposal that changes the registry of `proof`. Nobody has approved it.
    ///
    /// # Errors
    /// [`GovernanceError`]: the proof proves nothing, is not of the root chain, the proposal does not fit its registry, or `proofs` do not
    /// prove one of its keys.
    pub fn new(
        spec: &GenesisSpec,
        proof: RegistryProof,
        proposal: Proposal,
        proofs: KeyProofs,
    ) -> Result<Self, GovernanceError> {
        proof.verify(spec)?;
        let chain = proof.certified.result.chain;
        if chain != ROOT_CHAIN {
            return Err(GovernanceError::NotRoot { chain });
        }
        proposal.check()?;
        let after = super::draft::applied(&proof.registry, &proposal)?;
        proofs.check(spec, &proof.registry, &proposal)?;
        Ok(Self { genesis: spec.hash(), proof, proposal, proofs, after, approvals: BTreeMap::new() })
    }

    /// Reads a file and judges all of it.
    ///
    /// # Errors
    /// [`GovernanceError`] naming what is wrong and the mend.
    pub fn from_json(json: &str, spec: &GenesisSpec) -> Result<Self, GovernanceError> {
        if json.len() > PROPOSAL_FILE_BYTES_MAX {
            return Err(GovernanceError::TooLarge { bytes: json.len() });
        }
        let written: Json = serde_json::from_str(json)?;
        if written.format != FORMAT {
            return Err(GovernanceError::Field { field: "format" });
        }
        let genesis = GenesisHash(text::hash("genesis_hash", &written.genesis_hash)?.0);
        let expected = spec.hash();
        if genesis != expected {
            return Err(GovernanceError::OtherNetwork { found: genesis, expected });
        }
        let bytes = |field, hex: &str| const_hex::decode(hex).map_err(|_| GovernanceError::Field { field });
        let proposal = Proposal::decode(&bytes("proposal", &written.proposal)?)?;
        let proof = RegistryProof::decode(&bytes("registry", &written.registry)?)?;
        let mut file = Self::new(spec, proof, proposal, written.proofs.clone())?;
        for approval in &written.approvals {
            let signature = text::signature("approvals.signature", &approval.signature)?;
            file.add(OperatorId(approval.operator), signature)?;
        }
        let derived = file.json();
        if serde_json::to_value(&derived)? != serde_json::to_value(&written)? {
            return Err(GovernanceError::OtherWords);
        }
        Ok(file)
    }

    /// The file.
    ///
    /// # Errors
    /// [`GovernanceError::Json`], which no value here causes.
    pub fn to_json(&self) -> Result<String, GovernanceError> {
        Ok(serde_json::to_string_pretty(&self.json())? + "\n")
    }

    fn json(&self) -> Json {
        let registry = self.registry();
        let approvals = self.approvals.iter().map(|(operator, signature)| JsonApproval {
            operator: operator.0,
            name: operator_name(registry, *operator),
            signature: text::signature_text(*signature),
        });
        Json {
            format: FORMAT,
            genesis_hash: self.genesis.to_string(),
            proposal_hash: self.hash().to_string(),
            reason: self.proposal.reason.clone(),
            changes_version: self.proposal.version,
            valid_until_ms: self.proposal.valid_until.0,
            is_urgent: self.proposal.is_urgent,
            changes: lines(&self.differences()),
            proposal: const_hex::encode(self.proposal.encode()),
            proofs: self.proofs.clone(),
            registry: const_hex::encode(self.proof.encode()),
            approvals: approvals.collect(),
        }
    }

    /// What is approved.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.proposal.hash(self.genesis)
    }

    /// The proposal.
    #[must_use]
    pub const fn proposal(&self) -> &Proposal {
        &self.proposal
    }

    /// What proves the keys that it brings into the registry.
    #[must_use]
    pub const fn proofs(&self) -> &KeyProofs {
        &self.proofs
    }

    /// The registry that it changes.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.proof.registry
    }

    /// What the registry will be.
    #[must_use]
    pub const fn after(&self) -> &Registry {
        &self.after
    }

    /// The registry that it changes, with its proof.
    #[must_use]
    pub const fn proof(&self) -> &RegistryProof {
        &self.proof
    }

    /// What changes, for people.
    #[must_use]
    pub fn differences(&self) -> Vec<Section> {
        let mut sections = differences(self.registry(), &self.after);
        sections.extend(spendings(&self.after, &self.proposal.changes));
        sections
    }

    /// Who may approve, ascending.
    #[must_use]
    pub fn council(&self) -> Vec<OperatorId> {
        self.registry().council(self.proof.certified.result.height)
    }

    /// Approvals that decide: operators that have left count among those that a quorum is of.
    #[must_use]
    pub fn quorum(&self) -> usize {
        self.registry().council_quorum(self.proof.certified.result.height)
    }

    /// Who has approved, ascending.
    pub fn approved_by(&self) -> impl Iterator<Item = OperatorId> + '_ {
        self.approvals.keys().copied()
    }

    /// Approvals that are still needed.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.quorum().saturating_sub(self.approvals.len())
    }

    /// Approves as the operator whose cold key this is. Approving twice changes nothing.
    ///
    /// # Errors
    /// [`GovernanceError::NotInCouncil`] when the key belongs to nobody who may approve.
    pub fn approve(&mut self, key: &SecretKey) -> Result<OperatorId, GovernanceError> {
        let public = key.public_key();
        let operator = self.council().into_iter().find(|operator| self.key(*operator) == Some(public));
        let operator = operator.ok_or(GovernanceError::NotInCouncil { key: public })?;
        self.approvals.insert(operator, self.proposal.approve(self.genesis, operator, key).signature);
        Ok(operator)
    }

    /// Unites the approvals of two files of one proposal.
    ///
    /// # Errors
    /// [`GovernanceError::OtherProposal`] when they are not.
    pub fn merge(&mut self, other: &Self) -> Result<(), GovernanceError> {
        let (found, expected) = (other.hash(), self.hash());
        if found != expected {
            return Err(GovernanceError::OtherProposal { found, expected });
        }
        for (operator, signature) in &other.approvals {
            // The other file's registry may be of another height: who may approve is judged by this one.
            self.add(*operator, *signature)?;
        }
        Ok(())
    }

    /// The approvals, once there are enough.
    ///
    /// # Errors
    /// [`GovernanceError::Incomplete`], naming who could still approve.
    pub fn complete(&self) -> Result<Vec<Approval>, GovernanceError> {
        let missing = self.missing();
        if missing > 0 {
            let council = self.council().into_iter();
            let open = council.filter(|operator| !self.approvals.contains_key(operator));
            let names = open.map(|operator| operator_name(self.registry(), operator)).collect();
            return Err(GovernanceError::Incomplete { missing, names });
        }
        let approval = |(operator, signature): (&OperatorId, &Signature)| Approval {
            operator: *operator,
            signature: *signature,
        };
        Ok(self.approvals.iter().map(approval).collect())
    }

    fn key(&self, operator: OperatorId) -> Option<PublicKey> {
        self.registry().operator(operator).map(|record| record.key)
    }

    fn add(&mut self, operator: OperatorId, signature: Signature) -> Result<(), GovernanceError> {
        let name = || operator_name(self.registry(), operator);
        let key = self.key(operator).filter(|_| self.council().contains(&operator));
        let key = key.ok_or_else(|| GovernanceError::Stranger { name: name() })?;
        if !verify_governance(key, self.genesis, &self.hash(), signature) {
            return Err(GovernanceError::Signature { name: name() });
        }
        self.approvals.insert(operator, signature);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ledger::values::{ChainId, TimestampMs};

    use super::*;
    use crate::dev::{Localnet, LocalnetPlan, localnet, uncertified_registry};
    use crate::governance::{Draft, Terms};

    fn network() -> Localnet {
        localnet(&LocalnetPlan::new(4), &[9; 32]).unwrap()
    }

    /// A file as [`ProposalFile::new`] makes it, without the check of the proof.
    fn file(network: &Localnet, pace: &str) -> ProposalFile {
        let proof = uncertified_registry(&network.spec).unwrap();
        let mut draft = Draft::new(proof.registry.clone());
        draft.set_param(ChainId(0), "block_pace_ms", pace).unwrap();
        let terms = Terms { reason: "try".to_owned(), valid_until: TimestampMs(9), is_urgent: false };
        let proposal = draft.proposal(terms).unwrap();
        let after = crate::governance::draft::applied(&proof.registry, &proposal).unwrap();
        let (genesis, proofs) = (network.spec.hash(), KeyProofs::default());
        ProposalFile { genesis, proof, proposal, proofs, after, approvals: BTreeMap::new() }
    }

    #[test]
    fn a_quorum_of_the_council_approves_on_machines_of_its_own() {
        let network = network();
        let mut files = [file(&network, "75"), file(&network, "75"), file(&network, "75")];
        assert_eq!((files[0].council().len(), files[0].missing()), (4, 3));
        for (file, bank) in files.iter_mut().zip(&network.banks) {
            assert_eq!(file.approve(&bank.operator.operator_key).unwrap(), bank.operator.id);
            // Once more is no more.
            file.approve(&bank.operator.operator_key).unwrap();
        }
        let [mut first, second, third] = files;
        let refused = first.complete().unwrap_err().to_string();
        assert!(
            refused.contains("2 approvals are missing") && refused.contains("bank-4 (operator 4)"),
            "{refused}"
        );
        first.merge(&second).unwrap();
        let refused = first.complete().unwrap_err().to_string();
        assert!(refused.starts_with("1 approval is missing"), "{refused}");
        first.merge(&third).unwrap();
        let approvals = first.complete().unwrap();
        ledger::records::change::check_govern(first.proposal(), &approvals).unwrap();
        assert_eq!(approvals.len(), 3);
        assert_eq!(first.differences()[0].lines, ["~ block_pace_ms: from 50 to 75"]);
    }

    #[test]
    fn who_is_not_in_the_council_cannot_approve() {
        let network = network();
        let mut file = file(&network, "75");
        for key in [&network.central_bank.operator_key, &network.banks[0].network_key] {
            assert!(matches!(file.approve(key), Err(GovernanceError::NotInCouncil { .. })));
        }
        let stolen = approval_of_bank_1(&network, &file);
        let other = network.banks[1].operator.id;
        assert!(matches!(file.add(other, stolen), Err(GovernanceError::Signature { .. })));
        assert!(matches!(file.add(OperatorId(0), stolen), Err(GovernanceError::Stranger { .. })));
        assert!(matches!(file.add(OperatorId(77), stolen), Err(GovernanceError::Stranger { .. })));
    }

    /// Bank 1's approval.
    fn approval_of_bank_1(network: &Localnet, file: &ProposalFile) -> Signature {
        let bank = &network.banks[0].operator;
        file.proposal.approve(file.genesis, bank.id, &bank.operator_key).signature
    }

    #[test]
    fn files_of_two_proposals_do_not_merge_and_an_unproved_registry_is_refused() {
        let network = network();
        let (mut one, other) = (file(&network, "75"), file(&network, "76"));
        assert!(matches!(one.merge(&other), Err(GovernanceError::OtherProposal { .. })));
        let json = one.to_json().unwrap();
        assert!(matches!(ProposalFile::from_json(&json, &network.spec), Err(GovernanceError::Proof(_))));
        let stranger = localnet(&LocalnetPlan::new(5), &[9; 32]).unwrap();
        assert!(matches!(
            ProposalFile::from_json(&json, &stranger.spec),
            Err(GovernanceError::OtherNetwork { .. })
        ));
    }
}
