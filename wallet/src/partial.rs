//! A transaction that several people sign, as a file that travels between them.
//!
//! The file holds the canonical content and the signatures so far. Whoever reads it recomputes the id and
//! checks every signature; merging two files of one transaction unites their signatures. Complete at the
//! policy's threshold.

use std::collections::BTreeMap;

use ledger::records::transaction::signing_message;
use ledger::records::{PolicySignature, Transaction, TransactionContent};
use ledger::values::{
    Canonical as _, CodecError, GenesisHash, PublicKey, SecretKey, Signature, SignedMessage, TransactionId,
    verify,
};
use serde::{Deserialize, Serialize};

use crate::builder::BuildError;

/// Version of the file.
pub const FORMAT: u32 = 1;
/// Most bytes of a file: the content and 16 signatures in hexadecimal.
pub const PARTIAL_BYTES_MAX: usize = 32 * 1_024;

/// A transaction with some of its signatures, all of them valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialTransaction {
    genesis: GenesisHash,
    content: TransactionContent,
    signatures: BTreeMap<u8, Signature>,
}

/// Why a partial transaction cannot be read, signed, merged or completed.
#[derive(Debug, thiserror::Error)]
pub enum PartialError {
    /// Larger than [`PARTIAL_BYTES_MAX`].
    #[error("the file has {bytes} bytes; at most {PARTIAL_BYTES_MAX} are allowed. Mend: name the right file")]
    TooLarge {
        /// Found.
        bytes: usize,
    },
    /// Not such a file.
    #[error("not a partially signed transaction: {0}. Mend: ask its sender for it again")]
    Json(#[from] serde_json::Error),
    /// A field cannot be read.
    #[error("the file's {field} is malformed. Mend: ask its sender for it again")]
    Field {
        /// Which.
        field: &'static str,
    },
    /// The content is no transaction.
    #[error("the file's content is no transaction: {0}. Mend: ask its sender for it again")]
    Content(#[from] CodecError),
    /// Nothing to sign.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// For another network than expected, or with an id that is not the content's.
    #[error(
        "the file is for transaction {found}; its content makes {expected}. Mend: do not sign; ask its sender"
    )]
    OtherId {
        /// In the file, or in the other file.
        found: TransactionId,
        /// Recomputed.
        expected: TransactionId,
    },
    /// A signature is not valid.
    #[error("the signature under key {key} is not valid. Mend: ask that signer to sign again")]
    Signature {
        /// Position in the policy.
        key: u8,
    },
    /// The key is not in the policy.
    #[error("the key {key} is not in the wallet's policy. Mend: sign with one of its keys")]
    ForeignKey {
        /// The key.
        key: PublicKey,
    },
    /// Too few signatures.
    #[error("{have} of {need} signatures are there. Mend: let other holders of the policy's keys sign")]
    Incomplete {
        /// Collected.
        have: usize,
        /// Needed.
        need: usize,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    genesis_hash: String,
    id: String,
    content: String,
    signatures: Vec<FileSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSignature {
    key: u8,
    public_key: String,
    signature: String,
}

impl PartialTransaction {
    /// Without signatures yet.
    #[must_use]
    pub const fn new(genesis: GenesisHash, content: TransactionContent) -> Self {
        Self { genesis, content, signatures: BTreeMap::new() }
    }

    /// The id, which every signature covers.
    #[must_use]
    pub fn id(&self) -> TransactionId {
        self.content.id(self.genesis)
    }

    /// What is signed: look at it before signing.
    #[must_use]
    pub const fn content(&self) -> &TransactionContent {
        &self.content
    }

    /// The network it is for.
    #[must_use]
    pub const fn genesis(&self) -> GenesisHash {
        self.genesis
    }

    /// Keys of the policy that have signed, by position.
    pub fn signed_by(&self) -> impl Iterator<Item = u8> + '_ {
        self.signatures.keys().copied()
    }

    /// Signatures that are still needed.
    #[must_use]
    pub fn missing(&self) -> usize {
        usize::from(self.content.policy.threshold).saturating_sub(self.signatures.len())
    }

    /// Adds a signature. Signing twice changes nothing.
    ///
    /// # Errors
    /// [`PartialError::ForeignKey`] when the key is not in the policy.
    pub fn sign(&mut self, secret: &SecretKey) -> Result<(), PartialError> {
        let public = secret.public_key();
        let position = self.content.policy.keys.iter().position(|key| *key == public);
        let key = position.and_then(|position| u8::try_from(position).ok());
        let key = key.ok_or(PartialError::ForeignKey { key: public })?;
        self.signatures.insert(key, self.content.sign(self.genesis, key, secret).signature);
        Ok(())
    }

    /// Unites the signatures of two files of one transaction.
    ///
    /// # Errors
    /// [`PartialError::OtherId`] when they are not.
    pub fn merge(&mut self, other: &Self) -> Result<(), PartialError> {
        let (found, expected) = (other.id(), self.id());
        if found != expected {
            return Err(PartialError::OtherId { found, expected });
        }
        self.signatures.extend(other.signatures.iter().map(|(key, signature)| (*key, *signature)));
        Ok(())
    }

    /// The transaction: exactly as many signatures as the policy needs, those of the lowest positions.
    ///
    /// # Errors
    /// [`PartialError::Incomplete`].
    pub fn complete(self) -> Result<Transaction, PartialError> {
        let (have, need) = (self.signatures.len(), usize::from(self.content.policy.threshold));
        if have < need {
            return Err(PartialError::Incomplete { have, need });
        }
        let signatures = self.signatures.into_iter().take(need);
        let signatures = signatures.map(|(key, signature)| PolicySignature { key, signature }).collect();
        let transaction = Transaction { content: self.content, signatures };
        transaction.check()?;
        Ok(transaction)
    }

    /// The file.
    ///
    /// # Errors
    /// [`PartialError::Json`], which no value here causes.
    pub fn to_json(&self) -> Result<String, PartialError> {
        let signature = |(key, signature): (&u8, &Signature)| FileSignature {
            key: *key,
            public_key: self.public_key(*key).map(|key| key.to_string()).unwrap_or_default(),
            signature: const_hex::encode(signature.0),
        };
        let file = File {
            format: FORMAT,
            genesis_hash: self.genesis.to_string(),
            id: self.id().to_string(),
            content: const_hex::encode(self.content.encode()),
            signatures: self.signatures.iter().map(signature).collect(),
        };
        Ok(serde_json::to_string_pretty(&file)?)
    }

    /// Reads a file and checks everything in it.
    ///
    /// # Errors
    /// [`PartialError`].
    pub fn from_json(text: &str) -> Result<Self, PartialError> {
        if text.len() > PARTIAL_BYTES_MAX {
            return Err(PartialError::TooLarge { bytes: text.len() });
        }
        let file: File = serde_json::from_str(text)?;
        let wrong = |field| PartialError::Field { field };
        if file.format != FORMAT {
            return Err(wrong("format"));
        }
        let genesis: GenesisHash = file.genesis_hash.parse().map_err(|_| wrong("genesis_hash"))?;
        let found: TransactionId = file.id.parse().map_err(|_| wrong("id"))?;
        let content = const_hex::decode(&file.content).map_err(|_| wrong("content"))?;
        let mut partial = Self::new(genesis, TransactionContent::decode(&content)?);
        let expected = partial.id();
        if found != expected {
            return Err(PartialError::OtherId { found, expected });
        }
        for entry in &file.signatures {
            partial.add(entry, expected)?;
        }
        Ok(partial)
    }

    fn add(&mut self, entry: &FileSignature, id: TransactionId) -> Result<(), PartialError> {
        let key = entry.key;
        let mut signature = Signature([0; 64]);
        const_hex::decode_to_slice(&entry.signature, &mut signature.0)
            .map_err(|_| PartialError::Field { field: "signatures.signature" })?;
        let public_key = self.public_key(key).ok_or(PartialError::Signature { key })?;
        if public_key.to_string() != entry.public_key {
            return Err(PartialError::Field { field: "signatures.public_key" });
        }
        if !verify(&SignedMessage { public_key, message: &signing_message(id), signature }) {
            return Err(PartialError::Signature { key });
        }
        self.signatures.insert(key, signature);
        Ok(())
    }

    fn public_key(&self, key: u8) -> Option<PublicKey> {
        self.content.policy.keys.get(usize::from(key)).copied()
    }
}

#[cfg(test)]
mod tests {
    use ledger::records::{Nonce, Policy};
    use ledger::values::{Amount, ChainId, TimestampMs, WalletId};

    use super::*;
    use crate::builder::TransactionBuilder;

    fn keys() -> Vec<SecretKey> {
        (1..=3).map(|byte| SecretKey::from_seed([byte; 32])).collect()
    }

    fn unsigned() -> PartialTransaction {
        let policy = Policy::new(2, keys().iter().map(SecretKey::public_key).collect()).unwrap();
        TransactionBuilder::new(GenesisHash([4; 32]), ChainId(0), WalletId([1; 32]), policy)
            .nonce(Nonce { lane: 1, sequence: 9 })
            .valid_until(TimestampMs(77))
            .pay(WalletId([2; 32]), Amount::from_fen(5))
            .partial()
            .unwrap()
    }

    fn signed_by(secret: &SecretKey) -> PartialTransaction {
        let mut partial = unsigned();
        partial.sign(secret).unwrap();
        PartialTransaction::from_json(&partial.to_json().unwrap()).unwrap()
    }

    #[test]
    fn two_of_three_sign_apart_and_merge_in_any_order() {
        let keys = keys();
        let mut complete = Vec::new();
        for (first, second) in [(0, 1), (1, 0), (2, 0), (1, 2)] {
            let mut merged = signed_by(&keys[first]);
            assert_eq!(merged.missing(), 1);
            assert!(matches!(merged.clone().complete(), Err(PartialError::Incomplete { have: 1, need: 2 })));
            merged.merge(&signed_by(&keys[second])).unwrap();
            merged.merge(&signed_by(&keys[second])).unwrap();
            let transaction = merged.complete().unwrap();
            assert_eq!(transaction.check(), Ok(()));
            complete.push(transaction);
        }
        assert_eq!(complete[0], complete[1]);
        let mut all = signed_by(&keys[0]);
        all.merge(&signed_by(&keys[1])).unwrap();
        all.merge(&signed_by(&keys[2])).unwrap();
        assert_eq!(all.signed_by().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(all.complete().unwrap().signatures.len(), 2, "exactly the threshold");
    }

    #[test]
    fn changed_files_are_refused() {
        let text = signed_by(&keys()[0]).to_json().unwrap();
        let file = |change: &dyn Fn(&mut File)| {
            let mut file: File = serde_json::from_str(&text).unwrap();
            change(&mut file);
            PartialTransaction::from_json(&serde_json::to_string(&file).unwrap()).unwrap_err()
        };
        let last = |text: &mut String| {
            let flipped = if text.pop() == Some('0') { '1' } else { '0' };
            text.push(flipped);
        };
        assert!(matches!(
            file(&|file| last(&mut file.content)),
            PartialError::OtherId { .. } | PartialError::Content(_)
        ));
        assert!(matches!(file(&|file| last(&mut file.genesis_hash)), PartialError::OtherId { .. }));
        assert!(matches!(file(&|file| last(&mut file.id)), PartialError::OtherId { .. }));
        assert!(matches!(
            file(&|file| last(&mut file.signatures[0].signature)),
            PartialError::Signature { .. }
        ));
        assert!(matches!(file(&|file| file.signatures[0].key = 9), PartialError::Signature { key: 9 }));
        assert!(matches!(file(&|file| last(&mut file.signatures[0].public_key)), PartialError::Field { .. }));
        assert!(matches!(file(&|file| file.format = 2), PartialError::Field { field: "format" }));
        let long = " ".repeat(PARTIAL_BYTES_MAX + 1);
        assert!(matches!(PartialTransaction::from_json(&long), Err(PartialError::TooLarge { .. })));
    }

    #[test]
    fn strangers_and_other_transactions_are_refused() {
        let stranger = SecretKey::from_seed([9; 32]);
        assert!(matches!(unsigned().sign(&stranger), Err(PartialError::ForeignKey { .. })));
        let mut other = unsigned();
        other.content.nonce.sequence = 10;
        assert!(matches!(unsigned().merge(&other), Err(PartialError::OtherId { .. })));
    }
}
