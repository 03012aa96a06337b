//! That whoever offers a key holds it: the key signs what it is for, on the machine where it lives, as in the ceremony of genesis. So
//! nobody brings somebody else's key into the registry, or one that nobody has.

use ledger::values::{
    CeremonyPurpose, ChainId, GenesisHash, Hash, Hasher, OperatorId, PublicKey, SecretKey, Signature,
    sign_ceremony, verify_ceremony,
};

use crate::text;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRole {
    /// An operator's cold key.
    Operator,
    /// The network key of a node of the operator.
    Network,
    /// The key of a validator of the operator on this chain.
    Consensus(ChainId),
}

/// The key's word that it is to be this operator's, as the text that a proposal takes.
#[must_use]
pub fn prove(genesis: GenesisHash, operator: OperatorId, role: KeyRole, key: &SecretKey) -> String {
    let payload = payload(genesis, operator, role, key.public_key());
    text::signature_text(sign_ceremony(key, CeremonyPurpose::Possession, &payload))
}

/// Whether the key has said so.
pub(super) fn is_proved(
    genesis: GenesisHash,
    operator: OperatorId,
    (role, key): (KeyRole, PublicKey),
    possession: Signature,
) -> bool {
    let payload = payload(genesis, operator, role, key);
    verify_ceremony(key, CeremonyPurpose::Possession, &payload, possession)
}

/// Binds a key to a network, an operator and a use.
fn payload(genesis: GenesisHash, operator: OperatorId, role: KeyRole, key: PublicKey) -> Hash {
    let (kind, chain) = match role {
        KeyRole::Operator => (0, 0),
        KeyRole::Network => (1, 0),
        KeyRole::Consensus(chain) => (2, u64::from(chain.0)),
    };
    Hasher::new("jiaozi/possession")
        .bytes(&genesis.0)
        .number(u64::from(operator.0))
        .number(kind)
        .number(chain)
        .bytes(&key.0)
        .finish()
}
