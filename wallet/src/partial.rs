//! A transaction that several people sign, as a file that travels between them.
//!
//! The file holds the canonical content and the signatures so far: of the wallet that acts and, where another wallet
//! pays the fee, of that sponsor. Whoever reads it recomputes the id and checks every signature; merging two files of
//! one transaction unites their signatures. Complete at the threshold of each policy.

use std::collections::BTreeMap;
use std::fmt;

use ledger::records::transaction::signing_message;
use ledger::records::{Policy, PolicySignature, Transaction, TransactionContent};
use ledger::values::{
    Canonical as _, CodecError, GenesisHash, PublicKey, SecretKey, Signature, SignedMessage, TransactionId,
    verify,
};
use serde::{Deserialize, Serialize};

use crate::builder::BuildError;

/// Version of the file.
pub const FORMAT: u32 = 1;
/// Most bytes of a file: the content and 32 signatures in hexadecimal.
pub const PARTIAL_BYTES_MAX: usize = 32 * 1_024;

/// A transaction with some of its signatures, all of them valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialTransaction {
    genesis: GenesisHash,
    content: TransactionContent,
    signatures: BTreeMap<u8, Signature>,
    sponsor_signatures: BTreeMap<u8, Signature>,
}

/// Whose signatures are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    /// The wallet that acts.
    Wallet,
    /// The wallet that pays the fee for it.
    Sponsor,
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wallet => "the wallet",
            Self::Sponsor => "the sponsor",
        })
    }
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
    #[error("the signature of {of} under key {key} is not valid. Mend: ask that signer to sign again")]
    Signature {
        /// Whose.
        of: Signer,
        /// Position in the policy.
        key: u8,
    },
    /// The key is in no policy that signs.
    #[error(
        "the key {key} is in the policy of neither the wallet nor a sponsor. Mend: sign with one of their keys"
    )]
    ForeignKey {
        /// The key.
        key: PublicKey,
    },
    /// Too few signatures.
    #[error("{have} of {need} signatures of {of} are there. Mend: let other holders of its keys sign")]
    Incomplete {
        /// Whose.
        of: Signer,
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
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sponsor_signatures: Vec<FileSignature>,
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
        Self { genesis, content, signatures: BTreeMap::new(), sponsor_signatures: BTreeMap::new() }
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

    /// Keys that have signed, by position in the policy of the wallet or of the sponsor.
    pub fn signed_by(&self, of: Signer) -> impl Iterator<Item = u8> + '_ {
        self.signatures(of).keys().copied()
    }

    /// Signatures of the wallet or of the sponsor that are still needed; 0 of a sponsor that there is not.
    #[must_use]
    pub fn missing(&self, of: Signer) -> usize {
        self.needed(of).saturating_sub(self.signatures(of).len())
    }

    /// Adds the signature of a key, for each policy that has it: the wallet's, the sponsor's. Signing twice changes nothing.
    ///
    /// # Errors
    /// [`PartialError::ForeignKey`] when the key is in no policy.
    pub fn sign(&mut self, secret: &SecretKey) -> Result<(), PartialError> {
        let public = secret.public_key();
        let position = |policy: &Policy| {
            let position = policy.keys.iter().position(|key| *key == public);
            position.and_then(|position| u8::try_from(position).ok())
        };
        let (own, sponsor) =
            (self.policy(Signer::Wallet).and_then(position), self.policy(Signer::Sponsor).and_then(position));
        if own.is_none() && sponsor.is_none() {
            return Err(PartialError::ForeignKey { key: public });
        }
        if let Some(key) = own {
            self.signatures.insert(key, self.content.sign(self.genesis, key, secret).signature);
        }
        if let Some(key) = sponsor {
            let signed = self.content.sign_as_sponsor(self.genesis, key, secret);
            self.sponsor_signatures.insert(key, signed.signature);
        }
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
        self.signatures.extend(&other.signatures);
        self.sponsor_signatures.extend(&other.sponsor_signatures);
        Ok(())
    }

    /// The transaction: exactly as many signatures as each policy needs, those of the lowest positions.
    ///
    /// # Errors
    /// [`PartialError::Incomplete`], saying whose signatures are missing.
    pub fn complete(self) -> Result<Transaction, PartialError> {
        let (signatures, sponsor_signatures) = (self.enough(Signer::Wallet)?, self.enough(Signer::Sponsor)?);
        let transaction = Transaction { content: self.content, signatures, sponsor_signatures };
        transaction.check()?;
        Ok(transaction)
    }

    /// As many signatures as are needed.
    fn enough(&self, of: Signer) -> Result<Vec<PolicySignature>, PartialError> {
        let (signatures, need) = (self.signatures(of), self.needed(of));
        let have = signatures.len();
        if have < need {
            return Err(PartialError::Incomplete { of, have, need });
        }
        let signatures = signatures.iter().take(need);
        Ok(signatures.map(|(key, signature)| PolicySignature { key: *key, signature: *signature }).collect())
    }

    /// The file.
    ///
    /// # Errors
    /// [`PartialError::Json`], which no value here causes.
    pub fn to_json(&self) -> Result<String, PartialError> {
        let written = |of: Signer| {
            let signature = |(key, signature): (&u8, &Signature)| FileSignature {
                key: *key,
                public_key: self.public_key(of, *key).map(|key| key.to_string()).unwrap_or_default(),
                signature: const_hex::encode(signature.0),
            };
            self.signatures(of).iter().map(signature).collect()
        };
        let file = File {
            format: FORMAT,
            genesis_hash: self.genesis.to_string(),
            id: self.id().to_string(),
            content: const_hex::encode(self.content.encode()),
            signatures: written(Signer::Wallet),
            sponsor_signatures: written(Signer::Sponsor),
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
        for (of, entries) in [(Signer::Wallet, &file.signatures), (Signer::Sponsor, &file.sponsor_signatures)]
        {
            entries.iter().try_for_each(|entry| partial.add(of, entry, expected))?;
        }
        Ok(partial)
    }

    fn add(&mut self, of: Signer, entry: &FileSignature, id: TransactionId) -> Result<(), PartialError> {
        let key = entry.key;
        let mut signature = Signature([0; 64]);
        const_hex::decode_to_slice(&entry.signature, &mut signature.0)
            .map_err(|_| PartialError::Field { field: "signatures.signature" })?;
        let public_key = self.public_key(of, key).ok_or(PartialError::Signature { of, key })?;
        if public_key.to_string() != entry.public_key {
            return Err(PartialError::Field { field: "signatures.public_key" });
        }
        if !verify(&SignedMessage { public_key, message: &signing_message(id), signature }) {
            return Err(PartialError::Signature { of, key });
        }
        match of {
            Signer::Wallet => self.signatures.insert(key, signature),
            Signer::Sponsor => self.sponsor_signatures.insert(key, signature),
        };
        Ok(())
    }

    /// The policy that says which keys sign; none of a sponsor that there is not.
    fn policy(&self, of: Signer) -> Option<&Policy> {
        match of {
            Signer::Wallet => Some(&self.content.policy),
            Signer::Sponsor => self.content.fee.sponsor.as_ref().map(|sponsor| &sponsor.policy),
        }
    }

    const fn signatures(&self, of: Signer) -> &BTreeMap<u8, Signature> {
        match of {
            Signer::Wallet => &self.signatures,
            Signer::Sponsor => &self.sponsor_signatures,
        }
    }

    fn needed(&self, of: Signer) -> usize {
        self.policy(of).map_or(0, |policy| usize::from(policy.threshold))
    }

    fn public_key(&self, of: Signer, key: u8) -> Option<PublicKey> {
        self.policy(of)?.keys.get(usize::from(key)).copied()
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
            assert_eq!((merged.missing(Signer::Wallet), merged.missing(Signer::Sponsor)), (1, 0));
            assert!(matches!(
                merged.clone().complete(),
                Err(PartialError::Incomplete { of: Signer::Wallet, have: 1, need: 2 })
            ));
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
        assert_eq!(all.signed_by(Signer::Wallet).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(all.complete().unwrap().signatures.len(), 2, "exactly the threshold");
    }

    /// The sponsor's signatures travel in the same file, apart from the wallet's.
    #[test]
    fn a_sponsor_signs_the_same_file() {
        let keys = keys();
        let sponsor = SecretKey::from_seed([9; 32]);
        let sponsored = || {
            let payer = Policy::single(keys[0].public_key());
            // The payer's key is one of the sponsor's as well: it signs for both.
            let policy = Policy::new(2, vec![sponsor.public_key(), keys[0].public_key()]).unwrap();
            TransactionBuilder::new(GenesisHash([4; 32]), ChainId(0), WalletId([1; 32]), payer)
                .nonce(Nonce { lane: 0, sequence: 1 })
                .valid_until(TimestampMs(77))
                .sponsored_by(WalletId([5; 32]), policy)
                .pay(WalletId([2; 32]), Amount::from_fen(5))
                .partial()
                .unwrap()
        };
        let travel = |partial: &PartialTransaction| {
            PartialTransaction::from_json(&partial.to_json().unwrap()).unwrap()
        };
        let mut own = sponsored();
        assert_eq!((own.missing(Signer::Wallet), own.missing(Signer::Sponsor)), (1, 2));
        own.sign(&keys[0]).unwrap();
        let mut own = travel(&own);
        assert_eq!((own.missing(Signer::Wallet), own.missing(Signer::Sponsor)), (0, 1));
        let refused = own.clone().complete().unwrap_err();
        assert!(refused.to_string().starts_with("1 of 2 signatures of the sponsor are there"), "{refused}");
        let mut other = sponsored();
        other.sign(&sponsor).unwrap();
        own.merge(&travel(&other)).unwrap();
        assert_eq!(own.signed_by(Signer::Sponsor).collect::<Vec<_>>(), [0, 1]);
        let transaction = own.complete().unwrap();
        assert_eq!((transaction.signatures.len(), transaction.sponsor_signatures.len()), (1, 2));
        assert_eq!(transaction.check(), Ok(()));
        // A sponsor's signature in the place of the wallet's is none.
        let mut file: File = serde_json::from_str(&other.to_json().unwrap()).unwrap();
        file.signatures = std::mem::take(&mut file.sponsor_signatures);
        let moved = PartialTransaction::from_json(&serde_json::to_string(&file).unwrap());
        assert!(moved.is_err(), "{moved:?}");
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
        assert!(matches!(file(&|file| file.signatures[0].key = 9), PartialError::Signature { key: 9, .. }));
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
