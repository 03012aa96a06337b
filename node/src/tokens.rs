//! Client tokens of the REST edge: what opens which door.
//!
//! - A token is 32 random bytes, written as `jzt_` and 64 hexadecimal digits. The configuration keeps only its SHA-256:
//!   who reads the file cannot come in. The token has full entropy, so a plain hash is enough.
//! - A presented token is hashed and compared with *every* hash of the configuration in constant time: how long a
//!   refusal takes tells nothing about any of them.
//! - Without tokens (possible on loopback only, see [`crate::config`]) everyone may do everything.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::config::TokenEntry;

/// Most tokens of a node: each costs one comparison per request.
pub const TOKENS_MAX: usize = 256;
/// Length of a token's hash.
pub const TOKEN_HASH_BYTES: usize = 32;
/// How tokens start, so that people and scanners of leaked secrets know one when they see it.
pub const TOKEN_PREFIX: &str = "jzt_";
/// Random bytes of a token.
const TOKEN_BYTES: usize = 32;

/// What a token opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Submit transactions.
    Submit,
    /// Read transactions, wallets, chains and the network.
    Read,
    /// Read the feed and evidence.
    Audit,
    /// Read metrics.
    Metrics,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Submit => "submit",
            Self::Read => "read",
            Self::Audit => "audit",
            Self::Metrics => "metrics",
        })
    }
}

/// The tokens of a node.
#[derive(Clone, Default)]
pub struct Tokens {
    entries: Vec<Entry>,
    /// Whether a token is needed at all.
    is_restricted: bool,
}

#[derive(Clone)]
struct Entry {
    name: String,
    hash: [u8; TOKEN_HASH_BYTES],
    scopes: Vec<Scope>,
}

/// Why a door stays shut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Shut {
    /// No token.
    #[error("no token was presented")]
    Missing,
    /// A token that nobody knows.
    #[error("the token is not known")]
    Unknown,
    /// The token is known but does not open this door.
    #[error("the token does not have the scope {needed}")]
    Scope {
        /// The scope of this door.
        needed: Scope,
    },
}

impl Tokens {
    /// The tokens of a checked configuration; an entry whose hash is no hash opens nothing.
    #[must_use]
    pub fn new(entries: &[TokenEntry]) -> Self {
        let entry = |entry: &TokenEntry| {
            let mut hash = [0; TOKEN_HASH_BYTES];
            const_hex::decode_to_slice(&entry.sha256, &mut hash).ok()?;
            Some(Entry { name: entry.name.clone(), hash, scopes: entry.scopes.clone() })
        };
        Self { entries: entries.iter().filter_map(entry).collect(), is_restricted: !entries.is_empty() }
    }

    /// Whether everything is open.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        !self.is_restricted
    }

    /// Opens the door of `scope` for whoever presents `token`; answers the name of the token's owner.
    ///
    /// # Errors
    /// [`Shut`].
    pub fn open(&self, token: Option<&str>, scope: Scope) -> Result<&str, Shut> {
        if self.is_open() {
            return Ok("anyone");
        }
        let presented = token_hash(token.ok_or(Shut::Missing)?);
        let mut found = None;
        for entry in &self.entries {
            if bool::from(entry.hash.ct_eq(&presented)) {
                found = Some(entry);
            }
        }
        match found {
            None => Err(Shut::Unknown),
            Some(entry) if entry.scopes.contains(&scope) => Ok(&entry.name),
            Some(_) => Err(Shut::Scope { needed: scope }),
        }
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|entry| (&entry.name, &entry.scopes))).finish()
    }
}

/// A new token, to be shown once, and the hash for the configuration.
pub struct NewToken {
    /// The secret.
    pub token: Zeroizing<String>,
    /// `sha256` of its entry in `[rest] tokens`.
    pub sha256: String,
}

impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewToken(sha256 {})", self.sha256)
    }
}

/// The operating system gave no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no randomness: {0}. Mend: check /dev/urandom, then try again")]
pub struct RandomnessError(getrandom::Error);

/// Makes a token.
///
/// # Errors
/// [`RandomnessError`].
pub fn new_token() -> Result<NewToken, RandomnessError> {
    let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
    getrandom::fill(bytes.as_mut()).map_err(RandomnessError)?;
    let digits = Zeroizing::new(const_hex::encode(*bytes));
    let token = Zeroizing::new(format!("{TOKEN_PREFIX}{}", *digits));
    let sha256 = const_hex::encode(token_hash(&token));
    Ok(NewToken { token, sha256 })
}

fn token_hash(token: &str) -> [u8; TOKEN_HASH_BYTES] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, sha256: &str, scopes: &[Scope]) -> TokenEntry {
        TokenEntry { name: name.into(), sha256: sha256.into(), scopes: scopes.to_vec() }
    }

    #[test]
    fn a_token_opens_its_own_doors_only() {
        let (shop, auditor) = (new_token().unwrap(), new_token().unwrap());
        let tokens = Tokens::new(&[
            entry("shop", &shop.sha256, &[Scope::Submit, Scope::Read]),
            entry("auditor", &auditor.sha256.to_uppercase(), &[Scope::Audit]),
        ]);
        assert_eq!(tokens.open(Some(&shop.token), Scope::Submit), Ok("shop"));
        assert_eq!(tokens.open(Some(&auditor.token), Scope::Audit), Ok("auditor"));
        assert_eq!(tokens.open(Some(&auditor.token), Scope::Read), Err(Shut::Scope { needed: Scope::Read }));
        assert_eq!(
            tokens.open(Some(&shop.sha256), Scope::Read),
            Err(Shut::Unknown),
            "the hash opens nothing"
        );
        assert_eq!(tokens.open(Some(""), Scope::Read), Err(Shut::Unknown));
        assert_eq!(tokens.open(None, Scope::Read), Err(Shut::Missing));
    }

    #[test]
    fn without_tokens_everything_is_open() {
        assert_eq!(Tokens::default().open(None, Scope::Audit), Ok("anyone"));
    }

    #[test]
    fn a_broken_entry_opens_nothing_and_does_not_open_everything() {
        // A configuration with such a hash is refused at start; this is the second lock.
        let shop = new_token().unwrap();
        let tokens =
            Tokens::new(&[entry("a", "zz", &[Scope::Read]), entry("b", &shop.sha256, &[Scope::Read])]);
        assert_eq!(tokens.open(Some("zz"), Scope::Read), Err(Shut::Unknown));
        let none = Tokens::new(&[entry("a", "zz", &[Scope::Read])]);
        assert_eq!(none.open(None, Scope::Read), Err(Shut::Missing));
    }

    #[test]
    fn tokens_are_new_and_are_not_shown() {
        let (one, two) = (new_token().unwrap(), new_token().unwrap());
        assert_ne!(*one.token, *two.token);
        assert_eq!(one.token.len(), TOKEN_PREFIX.len() + 2 * TOKEN_BYTES);
        assert!(!format!("{one:?}").contains(one.token.as_str()));
        let tokens = Tokens::new(&[entry("shop", &one.sha256, &[Scope::Read])]);
        assert!(!format!("{tokens:?}").contains(&one.sha256));
    }
}
