//! Names and positions. Numbers that mean different things are different types; none converts to another by
//! accident.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32m, Hrp};
use wincode::{SchemaRead, SchemaWrite};

use super::hash::{GenesisHash, Hasher, PolicyHash};

/// Declares a number that is a name or a position.
macro_rules! number_types {
    ($($(#[$doc:meta])* $name:ident($inner:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, SchemaWrite, SchemaRead)]
        #[repr(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )*};
}

number_types! {
    /// A chain of the network; 0 is the root chain.
    ChainId(u32);
    /// A position in a chain; the genesis state is height 0, the first block height 1.
    Height(u64);
    /// A reign of one validator set on a chain.
    Epoch(u64);
    /// A consensus round within an epoch.
    View(u64);
    /// An operator's place in the registry.
    OperatorId(u16);
    /// A node's place in the registry.
    NodeIndex(u16);
    /// A validator's place in an epoch's set, which is sorted by consensus key.
    ValidatorIndex(u16);
    /// A leaf of the summing tree. Slots are never reused.
    Slot(u64);
    /// Milliseconds since 1970-01-01 UTC, from block headers; never from a local clock inside the ledger.
    TimestampMs(u64);
}

impl Height {
    /// The next height. Saturates, which no chain reaches (one block per nanosecond for 584 years).
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// ISO 4217 letters of a chain's currency, such as `CNY`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, SchemaWrite, SchemaRead)]
#[repr(transparent)]
pub struct Currency(pub [u8; 3]);

impl Currency {
    /// Whether the three bytes are capital letters.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        self.0.iter().all(u8::is_ascii_uppercase)
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// A currency is three capital letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a currency is three capital letters, such as CNY")]
pub struct CurrencyError;

impl FromStr for Currency {
    type Err = CurrencyError;

    fn from_str(text: &str) -> Result<Self, CurrencyError> {
        let currency = Self(text.as_bytes().try_into().map_err(|_| CurrencyError)?);
        if currency.is_well_formed() { Ok(currency) } else { Err(CurrencyError) }
    }
}

/// A wallet's name: a hash of what it was opened with, so nobody can take an announced name (PROTOCOL rule
/// 11). Text: bech32m with the prefix `jz` (BIP-350), which detects any four wrong characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, SchemaWrite, SchemaRead)]
#[repr(transparent)]
pub struct WalletId(pub [u8; 32]);

/// Human-readable prefix of wallet ids.
pub const WALLET_PREFIX: &str = "jz";

/// Chosen by whoever opens the wallet, so that one policy can have many wallets.
pub type WalletSalt = [u8; 16];

impl WalletId {
    /// The id of the wallet opened with `policy` and `salt`.
    #[must_use]
    pub fn derive(genesis: GenesisHash, currency: Currency, policy: PolicyHash, salt: &WalletSalt) -> Self {
        let hash =
            Hasher::new("jiaozi/wallet").bytes(&genesis.0).bytes(&currency.0).bytes(&policy.0).bytes(salt);
        Self(hash.finish().0)
    }

    /// The wallet's home among `shards` shards of its currency: the first eight bytes of the id, big-endian, modulo their
    /// number. Doubling the shards splits each in two. (An operator's own wallet is at home on every shard.)
    #[must_use]
    pub const fn shard(&self, shards: NonZeroU16) -> u16 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        // Not zero, so there is a remainder; and it is below a u16.
        match number.checked_rem(shards.get() as u64) {
            Some(shard) => shard as u16,
            None => 0,
        }
    }
}

impl fmt::Debug for WalletId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for WalletId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match bech32::encode::<Bech32m>(Hrp::parse_unchecked(WALLET_PREFIX), &self.0) {
            Ok(text) => f.write_str(&text),
            Err(_) => Err(fmt::Error),
        }
    }
}

/// Text is not a wallet id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WalletIdError {
    /// Not bech32m, or a wrong checksum.
    #[error("not a wallet id: check for a mistyped character (ids are bech32m text starting with jz1)")]
    Checksum,
    /// A bech32m text of something else.
    #[error("a wallet id starts with jz1")]
    Prefix,
    /// Not 32 bytes.
    #[error("a wallet id holds 32 bytes")]
    Length,
}

impl FromStr for WalletId {
    type Err = WalletIdError;

    fn from_str(text: &str) -> Result<Self, WalletIdError> {
        let checked = CheckedHrpstring::new::<Bech32m>(text).map_err(|_| WalletIdError::Checksum)?;
        if checked.hrp().as_str() != WALLET_PREFIX {
            return Err(WalletIdError::Prefix);
        }
        let bytes: Vec<u8> = checked.byte_iter().collect();
        let id = Self(bytes.try_into().map_err(|_| WalletIdError::Length)?);
        // Padding bits and capital letters would give one wallet several texts.
        if id.to_string() == text { Ok(id) } else { Err(WalletIdError::Checksum) }
    }
}

/// What an operator needs to open a wallet for somebody. Text: bech32m with the prefix `jzo`, so that it is not taken for a
/// wallet's id, a key or a bare hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpeningRequest {
    /// Hash of the policy that will rule the wallet.
    pub policy: PolicyHash,
    /// Distinguishes wallets of one policy.
    pub salt: WalletSalt,
}

/// Human-readable prefix of opening requests.
pub const OPENING_PREFIX: &str = "jzo";

impl fmt::Display for OpeningRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.policy.0.as_slice(), self.salt.as_slice()].concat();
        match bech32::encode::<Bech32m>(Hrp::parse_unchecked(OPENING_PREFIX), &bytes) {
            Ok(text) => f.write_str(&text),
            Err(_) => Err(fmt::Error),
        }
    }
}

/// Text is not an opening request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an opening request: check for a mistyped character (they are bech32m text starting with jzo1)")]
pub struct OpeningRequestError;

impl FromStr for OpeningRequest {
    type Err = OpeningRequestError;

    fn from_str(text: &str) -> Result<Self, OpeningRequestError> {
        let checked = CheckedHrpstring::new::<Bech32m>(text).map_err(|_| OpeningRequestError)?;
        let bytes: Vec<u8> = checked.byte_iter().collect();
        let (policy, salt) = bytes.split_first_chunk::<32>().ok_or(OpeningRequestError)?;
        let salt = WalletSalt::try_from(salt).map_err(|_| OpeningRequestError)?;
        let request = Self { policy: PolicyHash(*policy), salt };
        // Other prefixes, padding bits and capital letters would give one request several texts.
        if request.to_string() == text { Ok(request) } else { Err(OpeningRequestError) }
    }
}
