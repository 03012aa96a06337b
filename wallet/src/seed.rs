//! A wallet seed: BIP-39 words in English, and the keys that follow from them at
//! `m/44'/19034'/account'/0'/index'`.
//!
//! 19034 (the letters `JZ` as a number) is this project's own choice and not registered in SLIP-0044. Words
//! have no BIP-39 passphrase: the passphrase of the key file protects them.

use bip39::{Language, Mnemonic};
use ledger::values::SecretKey;
use zeroize::{Zeroize as _, Zeroizing};

use crate::slip10::ExtendedKey;

/// The coin type in every path.
pub const COIN_TYPE: u32 = 19_034;
/// Accounts and indices count from 0 up to this.
pub const INDEX_MAX: u32 = (1 << 31) - 1;
/// Most bytes of a text of words.
const PHRASE_BYTES_MAX: usize = 512;

/// A seed. Zeroed when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct WalletSeed {
    entropy: Zeroizing<Vec<u8>>,
    seed: Zeroizing<[u8; 64]>,
}

impl std::fmt::Debug for WalletSeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WalletSeed(…)")
    }
}

/// Why there is no seed. Never repeats a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SeedError {
    /// Not 12, 15, 18, 21 or 24 words.
    #[error("a seed has 12, 15, 18, 21 or 24 words. Mend: count them")]
    WordCount,
    /// A word is not in the list.
    #[error("word {position} is not in the English BIP-39 list. Mend: check its spelling")]
    UnknownWord {
        /// From 1.
        position: usize,
    },
    /// The words do not belong together.
    #[error("the words do not fit together. Mend: check their order and each word")]
    Checksum,
    /// Not 16, 20, 24, 28 or 32 bytes.
    #[error("a seed has 16, 20, 24, 28 or 32 bytes of entropy")]
    Entropy,
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: {0}. Mend: check /dev/urandom, then try again")]
    Randomness(getrandom::Error),
}

/// How many words a new seed has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// 128 bits.
    Twelve,
    /// 256 bits.
    TwentyFour,
}

impl WalletSeed {
    /// A new seed.
    ///
    /// # Errors
    /// [`SeedError::Randomness`].
    pub fn generate(words: Words) -> Result<Self, SeedError> {
        let bytes = match words {
            Words::Twelve => 16,
            Words::TwentyFour => 32,
        };
        let mut entropy = Zeroizing::new(vec![0; bytes]);
        getrandom::fill(&mut entropy).map_err(SeedError::Randomness)?;
        Self::from_entropy(&entropy)
    }

    /// From its words, in any case, separated by white space.
    ///
    /// # Errors
    /// [`SeedError`] naming the position of a wrong word, never the word.
    pub fn from_words(phrase: &str) -> Result<Self, SeedError> {
        if phrase.len() > PHRASE_BYTES_MAX {
            return Err(SeedError::WordCount);
        }
        let normal =
            Zeroizing::new(phrase.split_whitespace().collect::<Vec<_>>().join(" ").to_ascii_lowercase());
        let mnemonic =
            Mnemonic::parse_in_normalized(Language::English, &normal).map_err(|error| match error {
                bip39::Error::UnknownWord(index) => {
                    SeedError::UnknownWord { position: index.saturating_add(1) }
                }
                bip39::Error::InvalidChecksum => SeedError::Checksum,
                _ => SeedError::WordCount,
            })?;
        Ok(Self::from_mnemonic(&mnemonic))
    }

    /// From the entropy that the words encode.
    ///
    /// # Errors
    /// [`SeedError::Entropy`].
    pub fn from_entropy(entropy: &[u8]) -> Result<Self, SeedError> {
        let mnemonic =
            Mnemonic::from_entropy_in(Language::English, entropy).map_err(|_| SeedError::Entropy)?;
        Ok(Self::from_mnemonic(&mnemonic))
    }

    fn from_mnemonic(mnemonic: &Mnemonic) -> Self {
        let mut seed = mnemonic.to_seed_normalized("");
        let kept = Zeroizing::new(seed);
        seed.zeroize();
        Self { entropy: Zeroizing::new(mnemonic.to_entropy()), seed: kept }
    }

    /// The words, to be written on paper.
    #[must_use]
    pub fn words(&self) -> Zeroizing<String> {
        // The entropy came from a mnemonic, so it makes one.
        let mnemonic = Mnemonic::from_entropy_in(Language::English, &self.entropy);
        Zeroizing::new(mnemonic.map(|mnemonic| mnemonic.to_string()).unwrap_or_default())
    }

    /// The entropy, for an encrypted key file only.
    pub(crate) fn entropy(&self) -> &[u8] {
        &self.entropy
    }

    /// The key of an account. Numbers above [`INDEX_MAX`] wrap into it.
    #[must_use]
    pub fn key(&self, account: u32, index: u32) -> SecretKey {
        let path = [44, COIN_TYPE, account & INDEX_MAX, 0, index & INDEX_MAX];
        ExtendedKey::master(self.seed.as_ref()).descendant(&path).secret_key()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABANDON: &str =
        "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

    /// Published by Trezor for BIP-39: entropy, words, seed under the passphrase `TREZOR`.
    #[test]
    fn published_bip39_vectors() {
        let vectors = [
            (
                "00000000000000000000000000000000",
                ABANDON,
                "c55257c360c07c72029aebc1b53c05ed0362ada38ead3e3e9efa3708e53495531f09a6987599d18264c1e1c92f2cf141\
                 630c7a3c4ab7c81b2f001698e7463b04",
            ),
            (
                "7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f",
                "legal winner thank year wave sausage worth useful legal winner thank yellow",
                "2e8905819b8723fe2c1d161860e5ee1830318dbf49a83bd451cfb8440c28bd6fa457fe1296106559a3c80937a1c1069b\
                 e3a3a5bd381ee6260e8d9739fce1f607",
            ),
        ];
        for (entropy, words, trezor_seed) in vectors {
            let seed = WalletSeed::from_words(words).unwrap();
            assert_eq!(const_hex::encode(seed.entropy()), entropy);
            assert_eq!(seed.words().as_str(), words);
            let mnemonic = Mnemonic::parse_in_normalized(Language::English, words).unwrap();
            assert_eq!(const_hex::encode(mnemonic.to_seed_normalized("TREZOR")), trezor_seed);
        }
        let plain = WalletSeed::from_words(ABANDON).unwrap();
        let expected = "5eb00bbddcf069084889a8ab9155568165f5c453ccb85e70811aaed6f6da5fc1\
                        9a5ac40b389cd370d086206dec8aa6c43daea6690f20ad3d8d48b2d2ce9e38e4";
        assert_eq!(const_hex::encode(*plain.seed), expected);
    }

    #[test]
    fn words_survive_spaces_and_capitals_and_keys_differ() {
        let seed = WalletSeed::from_words(ABANDON).unwrap();
        let same =
            WalletSeed::from_words(&format!("  {}\n", ABANDON.to_uppercase().replace(' ', "  "))).unwrap();
        assert_eq!(seed.key(0, 0).public_key(), same.key(0, 0).public_key());
        let keys =
            [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(account, index)| seed.key(account, index).public_key());
        assert!(keys.iter().enumerate().all(|(place, key)| !keys[..place].contains(key)));
        let path = ExtendedKey::master(seed.seed.as_ref()).descendant(&[44, 19_034, 1, 0, 7]);
        assert_eq!(seed.key(1, 7).public_key(), path.secret_key().public_key());
    }

    #[test]
    fn wrong_words_are_named_by_position_only() {
        let wrong = ABANDON.replacen("about", "abuot", 1);
        let error = WalletSeed::from_words(&wrong).unwrap_err();
        assert_eq!(error, SeedError::UnknownWord { position: 12 });
        assert!(!error.to_string().contains("abuot"));
        assert_eq!(WalletSeed::from_words(&ABANDON.replace("about", "abandon")), Err(SeedError::Checksum));
        assert_eq!(WalletSeed::from_words("abandon"), Err(SeedError::WordCount));
        assert_eq!(WalletSeed::from_words(&"a ".repeat(10_000)), Err(SeedError::WordCount));
        assert_eq!(WalletSeed::from_entropy(&[1; 15]), Err(SeedError::Entropy));
    }

    #[test]
    fn new_seeds_differ_and_show_nothing() {
        let (one, other) =
            (WalletSeed::generate(Words::Twelve).unwrap(), WalletSeed::generate(Words::TwentyFour).unwrap());
        assert_eq!((one.words().split(' ').count(), other.words().split(' ').count()), (12, 24));
        assert_ne!(one, other);
        assert_eq!(format!("{one:?}"), "WalletSeed(…)");
    }
}
