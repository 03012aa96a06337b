//! A proposal as a file that goes from operator to operator: what it changes in words, its canonical bytes, the registry that
//! it changes, and the approvals so far.
//!
//! - The registry stands under a certified result with its set chain, so the genesis file is enough to judge the whole file:
//!   on the machine of a cold key, without a network and without trust in whoever made the file.
//! - The words are made from the bytes; a file whose words say something else is refused.
//! - The proposal is applied to that registry as the root chain will do it, so a file that loads is a change that fits.
//! - Files of one proposal merge: each may hold other approvals. What is not approved by enough of the council does not leave.

use std::collections::BTreeMap;

use ledger::proofs::RegistryProof;
use ledger::records::{Approval, GenesisSpec, Proposal, Registry};
use ledger::values::{Canonical as _, ChainId, GenesisHash, Hash, OperatorId, PublicKey, SecretKey, Signature};
use serde::{Deserialize, Serialize};

use super::diff::{Section, differences, lines, operator_name};
use super::error::GovernanceError;
use crate::file::FORMAT;
use crate::text;

/// Most bytes of a proposal's file: the registry and its proof in hexadecimal, and the words.
pub const PROPOSAL_FILE_BYTES_MAX: usize = 64 * 1_024 * 1_024;
const _: () = assert!(PROPOSAL_FILE_BYTES_MAX > 2 * <RegistryProof as ledger::values::Canonical>::BYTES_MAX);

/// A proposal that fits the registry which it changes, with the valid approvals so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProposalFile {
    genesis: GenesisHash,
    proof: RegistryProof,
    proposal: Proposal,
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
    /// [`GovernanceError`]: the proof proves nothing, is not of the root chain, or the proposal does not fit its registry.
    pub fn new(spec: &GenesisSpec, proof: RegistryProof, proposal: Proposal) -> Result<Self, GovernanceError> {
        proof.verify(spec)?;
        let chain = proof.certified.result.chain;
        if chain != ROOT {
            return Err(GovernanceError::NotRoot { chain });
        }
        proposal.check()?;
        let after = super::draft::applied(&proof.registry, &proposal)?;
        Ok(Self { genesis: spec.hash(), proof, proposal, after, approvals: BTreeMap::new() })
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
        let mut file = Self::new(spec, proof, proposal)?;
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
        differences(self.registry(), &self.after)
    }

    /// Who may approve, ascending.
    #[must_use]
    pub fn council(&self) -> Vec<OperatorId> {
        self.registry().council()
    }

    /// Who has approved, ascending.
    pub fn approved_by(&self) -> impl Iterator<Item = OperatorId> + '_ {
        self.approvals.keys().copied()
    }

    /// Approvals that are still needed.
    #[must_use]
    pub fn missing(&self) -> usize {
        ledger::values::quorum(self.council().len()).saturating_sub(self.approvals.len())
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
        let approval = Approval { operator, signature };
        if !self.proposal.is_approved(self.genesis, key, &approval) {
            return Err(GovernanceError::Signature { name: name() });
        }
        self.approvals.insert(operator, signature);
        Ok(())
    }
}

/// The chain that governs.
const ROOT: ChainId = ChainId(0);
