//! The set chain (PROTOCOL rule 4): how validator sets followed one another, each named by a result that the set before has
//! certified. With it, whoever has the genesis file can check a certificate of any epoch.
//!
//! ```text
//! epoch e ─ … ─ result of C − 1 {next_set} ══ claimed by block C, the last of e ══ final by the set of e
//!                        └── hash of {chain, e + 1, C + 1, set} ── the set of e + 1, from C + 1 on
//! ```
//!
//! Only the set of `e` can end `e`; the set of `e + 1` is not believed a word before that.

use wincode::{SchemaRead, SchemaWrite};

use super::certified::{CertifiedResult, ProofFault};
use crate::records::{BlockHeader, EpochRecord, GenesisSpec, HeightResult, Registry};
use crate::values::codec::{check_count, check_range};
use crate::values::{Canonical, ChainId, CodecError, Epoch, GenesisHash, Hash, Height, PublicKey};

use super::finality::FinalityProof;

/// Most links of a set chain: 2.8 years of a change every day.
pub const SET_LINKS_MAX: usize = 1_024;

/// One change of set, and why it is true.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct SetLink {
    /// The result of the last height but one of the epoch before, claimed by its last block.
    pub certified: CertifiedResult,
    /// The epoch that begins; without a last height.
    pub set: EpochRecord,
}

/// Every change of set of a chain from genesis on.
#[derive(Debug, Clone, PartialEq, Eq, Default, SchemaWrite, SchemaRead)]
pub struct SetChain {
    /// The links: the first leads to epoch 1.
    pub links: Vec<SetLink>,
}

/// Sets of a chain that a verifier believes: consecutive epochs, ascending, each but the newest with its last height.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sets {
    chain: ChainId,
    epochs: Vec<EpochRecord>,
}

/// Why a change of set is not proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SetFault {
    /// The network has no such chain.
    #[error("the network has no chain {chain}")]
    ChainUnknown {
        /// The chain.
        chain: ChainId,
    },
    /// Not of this chain.
    #[error("the change of set is of chain {found}, not of chain {chain}")]
    OtherChain {
        /// Found.
        found: ChainId,
        /// Expected.
        chain: ChainId,
    },
    /// Not the next epoch.
    #[error("the change leads to epoch {found}, the next one is {next}")]
    NotNext {
        /// Found.
        found: Epoch,
        /// Expected.
        next: Epoch,
    },
    /// The certificate is not on the last block of the epoch before, claiming the height below it.
    #[error("epoch {epoch} would begin at height {first}, after a block {height} that claims height {claimed}")]
    NotClosing {
        /// The epoch that would begin.
        epoch: Epoch,
        /// Its first height.
        first: Height,
        /// The certified block's height.
        height: Height,
        /// The height that it claims.
        claimed: Height,
    },
    /// The result names another set, or none.
    #[error("the result of height {height} does not name the set of epoch {epoch}")]
    OtherSet {
        /// The epoch that would begin.
        epoch: Epoch,
        /// The height of the result.
        height: Height,
    },
    /// The set before has not certified it.
    #[error("epoch {epoch} is not certified by the set before: {fault}")]
    Certified {
        /// The epoch that would begin.
        epoch: Epoch,
        /// Why.
        fault: Unproved,
    },
}
