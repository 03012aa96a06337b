//! What became of a proposal: for `jiaozi gov status FILE`, and for `gov apply` of one that was decided before.
//!
//! A proposal names the version of the registry that it changes, and a node tells which proposal changed that version. That it was this
//! one is not taken on its word: the transaction that carried it has a proof, which is checked with the genesis file.

use api::{ApiError, ErrorCode};
use genesis::governance::ProposalFile;
use ledger::proofs::{Fact, Proof, ProofFile, Proven};
use ledger::records::outcome::APPLIED;
use ledger::records::registry::ROOT_CHAIN;
use ledger::records::{GenesisSpec, Operation, Proposal, Rejection};
use ledger::values::{Canonical as _, TimestampMs, TransactionId};
use serde::Serialize;

use crate::clock::utc;
use crate::connection::{Connection, NodeOptions};
use crate::failure::{Answer, Exit, Failure};
use crate::output::grouped;

/// The node said what its own proof does not say.
const UNPROVED: &str = "proposal_unproved";

/// What became of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(super) enum Fate {
    /// The registry still has the version that it changes.
    Open,
    /// The same, but its time is over: no block can carry it any more.
    Expired {
        /// Until when a block could.
        valid_until_ms: u64,
    },
    /// It was applied.
    Applied {
        /// The height of the root chain.
        height: u64,
        /// The transaction that carried it.
        transaction: String,
        /// Whether that is proved by a quorum's certificate.
        is_certified: bool,
    },
    /// Another one was applied to that version, so this one never will be.
    Overtaken {
        /// The height of the root chain.
        height: u64,
        /// The other proposal.
        by: String,
    },
    /// No node told.
    Unknown {
        /// Why not.
        why: String,
    },
}

impl Fate {
    /// As a node tells it, with its proof.
    ///
    /// # Errors
    /// [`Failure`]: the node cannot be asked, or its proof does not hold.
    pub(super) fn ask(connection: &Connection, spec: &GenesisSpec, file: &ProposalFile) -> Answer<Self> {
        let version = file.proposal().version;
        let Some(applied) = connection.wait(connection.client.proposal(version))?.applied else {
            let chain = connection.wait(connection.client.chain(ROOT_CHAIN))?;
            let newest_ms = chain.progress.map_or(0, |progress| progress.timestamp_ms);
            return Ok(Self::unapplied(file.proposal(), newest_ms));
        };
        let height = applied.height;
        match (applied.proposal, applied.transaction) {
            (Some(by), _) if by != file.hash().to_string() => Ok(Self::Overtaken { height, by }),
            (Some(_), Some(id)) => {
                let is_certified =
                    applied.is_certified && prove(connection, spec, file.proposal(), (id, height))?;
                Ok(Self::Applied { height, transaction: id.to_string(), is_certified })
            }
            _ => {
                let why = format!(
                    "version {version} was changed at height {} of the root chain, a block that the node does not have any more",
                    grouped(height)
                );
                Ok(Self::Unknown { why })
            }
        }
    }

    /// Of one that was not applied, by the time of the root chain's newest block: only that time counts.
    const fn unapplied(proposal: &Proposal, newest_block_ms: u64) -> Self {
        if newest_block_ms > proposal.valid_until.0 {
            Self::Expired { valid_until_ms: proposal.valid_until.0 }
        } else {
            Self::Open
        }
    }

    /// The same for whoever looks at a file: without a node the rest of it can be shown all the same.
    ///
    /// # Errors
    /// [`Failure`]: the options that name the node are wrong, or its proof does not hold.
    pub(super) fn look(node: &NodeOptions, spec: &GenesisSpec, file: &ProposalFile) -> Answer<Self> {
        let connection = node.connect()?;
        let asked = connection.network(Some(spec.hash())).and_then(|_| Self::ask(&connection, spec, file));
        match asked {
            Err(failure) if failure.exit != Exit::Usage && failure.code != UNPROVED => {
                Ok(Self::Unknown { why: failure.message })
            }
            asked => asked,
        }
    }

    /// Why it cannot be applied any more; `None` where it may be.
    pub(super) fn refusal(&self, proposal: &Proposal) -> Option<Failure> {
        match self {
            Self::Applied { height, transaction, .. } => {
                let message = format!(
                    "the proposal was applied at height {} of the root chain, by transaction {transaction}",
                    grouped(*height)
                );
                Some(Failure::refused("already_applied", message).mend(
                    "nothing is left to do: `jiaozi gov status` shows the registry and what waits for a new epoch",
                ))
            }
            Self::Overtaken { height, by } => {
                let message = format!(
                    "version {} of the registry was changed at height {} of the root chain by proposal {by}",
                    proposal.version,
                    grouped(*height)
                );
                Some(Failure { message, ..Failure::from(ApiError::from(Rejection::ProposalStale)) })
            }
            Self::Expired { valid_until_ms } => {
                let message =
                    format!("the proposal could be applied until {}", utc(TimestampMs(*valid_until_ms)));
                Some(Failure { message, ..Failure::from(ApiError::from(Rejection::ProposalExpired)) })
            }
            Self::Open | Self::Unknown { .. } => None,
        }
    }

    /// In words.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Open => "not yet".to_owned(),
            Self::Expired { valid_until_ms } => {
                format!("never: it could be until {}; propose anew", utc(TimestampMs(*valid_until_ms)))
            }
            Self::Applied { height, transaction, is_certified } => {
                let certified = if *is_certified { "" } else { " (not certified yet)" };
                format!(
                    "at height {} of the root chain, by transaction {transaction}{certified}",
                    grouped(*height)
                )
            }
            Self::Overtaken { height, by } => format!(
                "never: proposal {by} changed that version at height {} of the root chain; propose anew",
                grouped(*height)
            ),
            Self::Unknown { why } => format!("not known: {why}"),
        }
    }
}

/// Whether a refusal says that the registry has another version by now.
pub(super) fn is_stale(failure: &Failure) -> bool {
    failure.code == Failure::from(ApiError::from(Rejection::ProposalStale)).code
}

/// Checks the proof that a transaction applied the proposal at a height; false while there is none.
fn prove(
    connection: &Connection,
    spec: &GenesisSpec,
    proposal: &Proposal,
    (id, height): (TransactionId, u64),
) -> Answer<bool> {
    let bytes = match connection.wait(connection.client.transaction_proof(id)) {
        Err(failure) if failure.code.starts_with(&ErrorCode::NotCertified.code().to_string()) => {
            return Ok(false);
        }
        answer => answer?,
    };
    let unproved = |fault: &dyn std::fmt::Display| {
        let message = format!("the node says that the proposal was applied, and its proof does not: {fault}");
        Failure::refused(UNPROVED, message).at("--node").mend("do not rely on it; ask another node")
    };
    let file = ProofFile::decode(&bytes).map_err(|fault| unproved(&fault))?;
    let proven = file.verify(spec).map_err(|fault| unproved(&fault))?;
    if says(&file.proof, &proven, proposal, height) {
        Ok(true)
    } else {
        Err(unproved(&"it is of something else"))
    }
}

/// Whether a valid proof is of the transaction that applied this proposal at this height of the root chain.
fn says(proof: &Proof, proven: &Proven, proposal: &Proposal, height: u64) -> bool {
    let Proof::Outcome(proof) = proof else { return false };
    let carries = matches!(&proof.transaction.content.operation,
        Operation::Govern { proposal: found, .. } if found == proposal);
    let is_applied = matches!(&proven.fact, Fact::Outcome { outcome, .. } if outcome.code == APPLIED);
    carries && is_applied && proven.chain == ROOT_CHAIN && proven.height.0 == height
}

#[cfg(test)]
mod tests {
    use genesis::dev::{LocalnetPlan, localnet, uncertified_registry};
    use ledger::proofs::OutcomeProof;
    use ledger::records::transaction::network_tag;
    use ledger::records::{FeeBid, Nonce, Outcome, Policy, TransactionContent};
    use ledger::values::{Amount, ChainId, Height, OperatorId, SecretKey, TransactionHash, WalletId};

    use super::*;

    fn proposal(version: u64) -> Proposal {
        let changes = vec![ledger::records::Change::RetireOperator { operator: OperatorId(4) }];
        let valid_until = TimestampMs(9);
        Proposal { version, valid_until, is_urgent: false, reason: String::new(), changes }
    }

    #[test]
    fn what_became_of_a_proposal_is_said_with_its_height() {
        let applied = Fate::Applied { height: 1_234, transaction: "ab12".to_owned(), is_certified: true };
        assert_eq!(applied.text(), "at height 1,234 of the root chain, by transaction ab12");
        let refusal = applied.refusal(&proposal(3)).unwrap();
        assert_eq!((refusal.code.as_str(), refusal.exit), ("already_applied", Exit::Refused));
        assert!(refusal.message.contains("applied at height 1,234 of the root chain"), "{refusal:?}");
        let overtaken = Fate::Overtaken { height: 7, by: "cd34".to_owned() };
        assert!(overtaken.text().starts_with("never: proposal cd34 changed that version at height 7"));
        let refusal = overtaken.refusal(&proposal(3)).unwrap();
        assert!(is_stale(&refusal) && refusal.code == "11804 proposal_stale", "{refusal:?}");
        assert!(refusal.message.contains("version 3 of the registry was changed at height 7"), "{refusal:?}");
        let unknown = Fate::Unknown { why: "connection refused".to_owned() };
        assert_eq!((Fate::Open.text().as_str(), Fate::Open.refusal(&proposal(3))), ("not yet", None));
        assert_eq!(
            (unknown.text().as_str(), unknown.refusal(&proposal(3))),
            ("not known: connection refused", None)
        );
        let json = serde_json::to_value(&applied).unwrap();
        assert_eq!((&json["state"], &json["height"]), (&"applied".into(), &1_234.into()));
    }

    #[test]
    fn a_proposal_whose_time_is_over_is_said_to_be_dead() {
        assert_eq!(Fate::unapplied(&proposal(3), 9), Fate::Open, "the last moment counts");
        let expired = Fate::unapplied(&proposal(3), 10);
        assert_eq!(expired.text(), "never: it could be until 1970-01-01 00:00:00 UTC; propose anew");
        let refusal = expired.refusal(&proposal(3)).unwrap();
        assert_eq!(refusal.code, "11802 proposal_expired");
        assert!(!is_stale(&refusal), "{refusal:?}");
        assert_eq!(serde_json::to_value(&expired).unwrap()["state"], "expired");
    }

    #[test]
    fn a_proof_of_something_else_proves_no_application() {
        let spec = localnet(&LocalnetPlan::new(4), &[5; 32]).unwrap().spec;
        let (genesis, key) = (spec.hash(), SecretKey::from_seed([1; 32]));
        let content = TransactionContent {
            network: network_tag(genesis),
            chain: ROOT_CHAIN,
            wallet: WalletId([1; 32]),
            nonce: Nonce { lane: 0, sequence: 1 },
            valid_until: TimestampMs(9),
            fee: FeeBid::default(),
            policy: Policy::single(key.public_key()),
            operation: Operation::Govern { proposal: proposal(3), approvals: Vec::new() },
        };
        let transaction = content.signed_by(genesis, &key);
        let id = transaction.id(genesis);
        let outcome =
            Outcome { id, transaction: TransactionHash([1; 32]), index: 0, code: APPLIED, fee: Amount::ZERO };
        let certified = uncertified_registry(&spec).unwrap().certified;
        let proof =
            Proof::Outcome(OutcomeProof { transaction, outcome, position: 0, path: Vec::new(), certified });
        let proven = |chain, height, code| Proven {
            chain,
            height: Height(height),
            fact: Fact::Outcome { id, outcome: Outcome { code, ..outcome } },
        };
        assert!(says(&proof, &proven(ROOT_CHAIN, 7, APPLIED), &proposal(3), 7));
        assert!(!says(&proof, &proven(ROOT_CHAIN, 7, APPLIED), &proposal(4), 7), "another proposal");
        assert!(!says(&proof, &proven(ROOT_CHAIN, 8, APPLIED), &proposal(3), 7), "another height");
        assert!(!says(&proof, &proven(ChainId(1), 7, APPLIED), &proposal(3), 7), "another chain");
        assert!(!says(&proof, &proven(ROOT_CHAIN, 7, 804), &proposal(3), 7), "a rejection");
    }
}
