//! Signatures of the genesis ceremony: made before a genesis hash exists, so they carry no network.
//!
//! Each purpose has its own tag, and none is a prefix of another or of a tag used after genesis: a signature
//! made for one purpose never passes for another. What a payload hash covers is defined by the `genesis`
//! crate.

use super::hash::Hash;
use super::key::{PublicKey, SecretKey, Signature};
use super::verify::{SignedMessage, verify};

/// What a ceremony signature says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CeremonyPurpose {
    /// An operator key: this is my contribution.
    Contribution,
    /// A network or consensus key: my owner offers me to this operator.
    Possession,
    /// An operator key: I accept the genesis with this hash.
    Approval,
}

impl CeremonyPurpose {
    const fn tag(self) -> &'static [u8] {
        match self {
            Self::Contribution => b"jiaozi/ceremony/contribution-signature",
            Self::Possession => b"jiaozi/ceremony/possession-signature",
            Self::Approval => b"jiaozi/ceremony/approval-signature",
        }
    }

    fn message(self, payload: &Hash) -> Vec<u8> {
        [self.tag(), &payload.0].concat()
    }
}

/// Signs `payload` for `purpose`.
#[must_use]
pub fn sign_ceremony(secret: &SecretKey, purpose: CeremonyPurpose, payload: &Hash) -> Signature {
    secret.sign(&purpose.message(payload))
}

/// Whether `signature` was made by `key` for `purpose` over `payload`.
#[must_use]
pub fn verify_ceremony(
    key: PublicKey,
    purpose: CeremonyPurpose,
    payload: &Hash,
    signature: Signature,
) -> bool {
    verify(&SignedMessage { public_key: key, message: &purpose.message(payload), signature })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_serves_one_purpose_one_payload_and_one_key() {
        let purposes =
            [CeremonyPurpose::Contribution, CeremonyPurpose::Possession, CeremonyPurpose::Approval];
        let (secret, other) = (SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
        let payload = Hash([7; 32]);
        for made_for in purposes {
            let signature = sign_ceremony(&secret, made_for, &payload);
            for read_as in purposes {
                let passes = verify_ceremony(secret.public_key(), read_as, &payload, signature);
                assert_eq!(passes, made_for == read_as, "{made_for:?} read as {read_as:?}");
            }
            assert!(!verify_ceremony(secret.public_key(), made_for, &Hash([8; 32]), signature));
            assert!(!verify_ceremony(other.public_key(), made_for, &payload, signature));
        }
    }
}
