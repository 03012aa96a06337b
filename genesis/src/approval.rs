//! An approval: an operator's cold key accepts the genesis with a certain hash.

use std::path::Path;

use ledger::values::{CeremonyPurpose, GenesisHash, Hash, SecretKey, sign_ceremony, verify_ceremony};
use serde::{Deserialize, Serialize};

use crate::error::{FieldProblem, GenesisError};
use crate::file::{FORMAT, GenesisFile};
use crate::{folder, text};

/// Most bytes of an approval file.
pub const APPROVAL_FILE_BYTES_MAX: u64 = 4_096;

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// [`FORMAT`].
    pub format: u32,
    /// What is accepted.
    pub genesis_hash: String,
    /// Name of the operator, for people.
    pub operator: String,
    /// Its cold key, hex.
    pub operator_key: String,
    /// Over the genesis hash, hex.
    pub signature: String,
}

impl Approval {
    /// Approves a genesis as the operator that holds `operator_key`.
    ///
    /// # Errors
    /// [`GenesisError::UnknownOperator`] when the key is none of the genesis.
    pub fn sign(genesis: &GenesisFile, operator_key: &SecretKey) -> Result<Self, GenesisError> {
        let (spec, key) = (genesis.spec()?, operator_key.public_key());
        let operator = spec.operators.iter().find(|operator| operator.key == key);
        let operator = operator.ok_or(GenesisError::UnknownOperator { key })?;
        let hash = spec.hash();
        let signature = sign_ceremony(operator_key, CeremonyPurpose::Approval, &Hash(hash.0));
        Ok(Self {
            format: FORMAT,
            genesis_hash: hash.to_string(),
            operator: operator.name.clone(),
            operator_key: key.to_string(),
            signature: text::signature_text(signature),
        })
    }

    /// Reads an approval; [`missing_approvals`] judges it.
    ///
    /// # Errors
    /// [`GenesisError::File`].
    pub fn load(path: &Path) -> Result<Self, GenesisError> {
        Ok(folder::read_json(path, APPROVAL_FILE_BYTES_MAX)?)
    }

    /// Checks format, hash and signature; answers the key that approved.
    fn verify(&self, expected: GenesisHash) -> Result<ledger::values::PublicKey, GenesisError> {
        if self.format != FORMAT {
            return Err(FieldProblem::Format.at("format").into());
        }
        let found = GenesisHash(text::hash("genesis_hash", &self.genesis_hash)?.0);
        if found != expected {
            return Err(GenesisError::OtherApproval { operator: self.operator.clone(), found, expected });
        }
        let key = text::key("operator_key", &self.operator_key)?;
        let signature = text::signature("signature", &self.signature)?;
        if verify_ceremony(key, CeremonyPurpose::Approval, &Hash(found.0), signature) {
            Ok(key)
        } else {
            Err(GenesisError::ApprovalSignature { operator: self.operator.clone() })
        }
    }
}

/// The operators without a valid approval, by name. An invalid approval is refused, not skipped: somebody
/// must mend it.
///
/// # Errors
/// [`GenesisError`] naming the approval that is invalid.
pub fn missing_approvals(genesis: &GenesisFile, approvals: &[Approval]) -> Result<Vec<String>, GenesisError> {
    let spec = genesis.spec()?;
    let hash = spec.hash();
    let mut approved = std::collections::BTreeSet::new();
    for approval in approvals {
        let key = approval.verify(hash)?;
        if !spec.operators.iter().any(|operator| operator.key == key) {
            return Err(GenesisError::UnknownOperator { key });
        }
        approved.insert(key);
    }
    let missing = spec.operators.iter().filter(|operator| !approved.contains(&operator.key));
    Ok(missing.map(|operator| operator.name.clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::{Localnet, LocalnetPlan, localnet};

    fn network() -> (Localnet, GenesisFile) {
        let network = localnet(&LocalnetPlan::new(4), &[9; 32]).unwrap();
        let file = GenesisFile::from_spec(&network.spec);
        (network, file)
    }

    #[test]
    fn names_whoever_has_not_approved() {
        let (network, file) = network();
        let mut approvals = vec![Approval::sign(&file, &network.central_bank.operator_key).unwrap()];
        for bank in network.banks.iter().take(3) {
            approvals.push(Approval::sign(&file, &bank.operator.operator_key).unwrap());
        }
        assert_eq!(missing_approvals(&file, &approvals).unwrap(), ["bank-4"]);
        approvals.push(Approval::sign(&file, &network.banks[3].operator.operator_key).unwrap());
        assert_eq!(missing_approvals(&file, &approvals).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn forged_foreign_and_stray_approvals_are_refused() {
        let (network, file) = network();
        let good = Approval::sign(&file, &network.banks[0].operator.operator_key).unwrap();
        let mut forged = good.clone();
        forged.operator_key = network.banks[1].operator.operator_key.public_key().to_string();
        assert!(matches!(missing_approvals(&file, &[forged]), Err(GenesisError::ApprovalSignature { .. })));
        let mut other = file.clone();
        other.timestamp_ms += 1;
        assert!(matches!(missing_approvals(&other, &[good]), Err(GenesisError::OtherApproval { .. })));
        let stranger = SecretKey::from_seed([77; 32]);
        assert!(matches!(Approval::sign(&file, &stranger), Err(GenesisError::UnknownOperator { .. })));
    }
}
