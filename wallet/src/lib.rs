//! Keys of people and banks: where they come from, how they rest on disk, and what they sign.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`seed`] | a wallet seed: BIP-39 words and the keys that follow from them |
//! | [`slip10`] | SLIP-0010 derivation for Ed25519 |
//! | [`passphrase`] | passphrases, from a file or typed |
//! | [`key_file`] | one secret at rest: Argon2id and ChaCha20-Poly1305 |
//! | [`kdf`] | the cost of a passphrase, bounded when read |
//! | [`node_keys`] | the keys of a node in one file |
//! | [`builder`] | building and signing a transaction |
//! | [`partial`] | a transaction that several people sign |
//! | [`nonce_book`] | which nonces are in use, on disk before they are used |
//! | [`files`] | private files: mode 0600, written whole or not at all |
//!
//! Invariants: secrets are zeroed when dropped and their `Debug` shows nothing; no secret is written
//! unencrypted; a file that others may read is refused; nothing that a file says can make reading it
//! expensive beyond a named bound.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod builder;
pub mod files;
pub mod kdf;
pub mod key_file;
pub mod node_keys;
pub mod nonce_book;
pub mod partial;
pub mod passphrase;
pub mod seed;
pub mod slip10;

pub use builder::{BuildError, TransactionBuilder};
pub use files::FileError;
pub use kdf::KdfParams;
pub use key_file::{KeyFile, KeyFileError, KeyKind, Secret};
pub use node_keys::NodeKeys;
pub use nonce_book::{NonceBook, NonceError, Reservation};
pub use partial::{PartialError, PartialTransaction};
pub use passphrase::{Passphrase, PassphraseError};
pub use seed::{SeedError, WalletSeed};
