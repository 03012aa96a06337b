//! The set chain (PROTOCOL rule 4): how validator sets followed one another, each named by a result that the set before has
//! certified. With it, whoever has the genesis file can check a certificate of any epoch.
//!
//! ```text
//! epoch e ─ … ─ result of C − 1 {next_set} ══ claimed by block C, the last of e ══ final by the set of e
//!                        └── hash of {chain, e + 1, C + 1, set} ── the set of e + 1, from C + 1 on
//! ```
//!
//! Only the set of `e` can end `e`; the set of `e + 1` is not believed a word before that. The set of epoch 0 is in the genesis spec;
//! that of a chain which operators added later is in its origin.

use wincode::{SchemaRead, SchemaWrite};

use super::certified::{CertifiedResult, ProofFault};
use super::finality::{FinalityFault, FinalityProof};
use super::origin::{ChainOrigin, OriginFault};
use crate::records::{BlockHeader, EpochRecord, GenesisSpec, HeightResult, Registry};
use crate::values::codec::{check_count, check_range};
use crate::values::{Canonical, ChainId, CodecError, Epoch, GenesisHash, Height};

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

/// Every change of set of a chain from its beginning on.
#[derive(Debug, Clone, PartialEq, Eq, Default, SchemaWrite, SchemaRead)]
pub struct SetChain {
    /// Why the chain began with its first set; none of a chain that the genesis spec names.
    pub origin: Option<Box<ChainOrigin>>,
    /// The links: the first leads to epoch 1.
    pub links: Vec<SetLink>,
}

/// Sets of a chain that a verifier believes: consecutive epochs, each but the newest with its last height.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sets {
    chain: ChainId,
    /// Ascending.
    older: Vec<EpochRecord>,
    newest: EpochRecord,
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
    /// A chain that the genesis spec names has no origin besides.
    #[error("the genesis spec names chain {chain}; nothing else says how it began")]
    OriginNeedless {
        /// The chain.
        chain: ChainId,
    },
    /// The genesis spec does not name the chain, and nothing else says how it began.
    #[error("the genesis spec does not name chain {chain}, and its origin is missing")]
    OriginMissing {
        /// The chain.
        chain: ChainId,
    },
    /// The chain did not begin so.
    #[error("the origin of the chain is not proved: {0}")]
    Origin(#[from] OriginFault),
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
    #[error(
        "epoch {epoch} would begin at height {first}, after a block {height} that claims height {claimed}"
    )]
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
    /// The set before has not decided that block.
    #[error("epoch {epoch} is not certified by the set before: {fault}")]
    Finality {
        /// The epoch that would begin.
        epoch: Epoch,
        /// Why.
        fault: FinalityFault,
    },
    /// The block does not claim the result.
    #[error("the certified block does not claim the result that names epoch {epoch}")]
    NotClaimed {
        /// The epoch that would begin.
        epoch: Epoch,
    },
    /// Not as many changes as lead to the epoch of a certificate.
    #[error("{links} changes of set do not lead to epoch {epoch}")]
    Length {
        /// Found.
        links: usize,
        /// The epoch of the certificate.
        epoch: Epoch,
    },
}

impl SetLink {
    /// Most bytes of its encoding.
    pub const BYTES_MAX: usize = <HeightResult as Canonical>::BYTES_MAX
        + 8
        + <BlockHeader as Canonical>::BYTES_MAX
        + <FinalityProof as Canonical>::BYTES_MAX
        + EpochRecord::BYTES_MAX;

    /// Checks counts and ranges: a link has one form.
    ///
    /// # Errors
    /// Names the field.
    pub fn check(&self) -> Result<(), CodecError> {
        self.certified.check()?;
        check_count("set_link.certified.links", self.certified.links.len(), 0, 0)?;
        self.set.check()?;
        check_range("set_link.set.epoch", self.set.epoch.0, 1, u64::MAX)?;
        let is_open = self.set.last_height.is_none();
        check_range("set_link.set.last_height (none)", u64::from(is_open), 1, 1)
    }
}

impl Canonical for SetChain {
    const NAME: &'static str = "set chain";
    const BYTES_MAX: usize =
        1 + <ChainOrigin as Canonical>::BYTES_MAX + 8 + SetLink::BYTES_MAX * SET_LINKS_MAX;

    fn check(&self) -> Result<(), CodecError> {
        self.origin.as_ref().map_or(Ok(()), |origin| origin.check())?;
        check_count("set_chain.links", self.links.len(), 0, SET_LINKS_MAX)?;
        self.links.iter().try_for_each(SetLink::check)
    }
}

impl SetChain {
    /// Checks the beginning and every link with the genesis spec alone and gives the sets.
    ///
    /// # Errors
    /// The first fault.
    pub fn verify(&self, spec: &GenesisSpec, chain: ChainId) -> Result<Sets, SetFault> {
        let genesis = spec.hash();
        let mut sets = match (spec.chain(chain), &self.origin) {
            (Some(_), None) => Sets::genesis(spec, chain)?,
            (None, Some(origin)) => Sets::of(&*origin.verify(spec, chain)?, chain)?,
            (Some(_), Some(_)) => return Err(SetFault::OriginNeedless { chain }),
            (None, None) => return Err(SetFault::OriginMissing { chain }),
        };
        self.links.iter().try_for_each(|link| sets.extend(genesis, link))?;
        Ok(sets)
    }
}

impl Sets {
    /// The set that the genesis spec names: that of epoch 0.
    ///
    /// # Errors
    /// [`SetFault::ChainUnknown`].
    pub fn genesis(spec: &GenesisSpec, chain: ChainId) -> Result<Self, SetFault> {
        Self::of(&Registry::from_genesis(spec), chain)
    }

    /// The sets that a registry has of a chain.
    ///
    /// # Errors
    /// [`SetFault::ChainUnknown`].
    pub fn of(registry: &Registry, chain: ChainId) -> Result<Self, SetFault> {
        let epochs = registry.chain(chain).and_then(|record| record.epochs.split_last());
        let (newest, older) = epochs.ok_or(SetFault::ChainUnknown { chain })?;
        Ok(Self { chain, older: older.to_vec(), newest: newest.clone() })
    }

    /// The chain.
    #[must_use]
    pub const fn chain(&self) -> ChainId {
        self.chain
    }

    /// The newest epoch.
    #[must_use]
    pub const fn newest(&self) -> &EpochRecord {
        &self.newest
    }

    /// An epoch, where it is among them.
    #[must_use]
    pub fn epoch(&self, epoch: Epoch) -> Option<&EpochRecord> {
        if self.newest.epoch == epoch {
            return Some(&self.newest);
        }
        let place = self.older.binary_search_by_key(&epoch, |record| record.epoch).ok()?;
        self.older.get(place)
    }

    /// Goes on by one change of set.
    ///
    /// # Errors
    /// The first fault; nothing has changed then.
    pub fn extend(&mut self, genesis: GenesisHash, link: &SetLink) -> Result<(), SetFault> {
        let (certified, set) = (&link.certified, &link.set);
        let (result, header) = (&certified.result, &certified.header);
        let (epoch, first, next) =
            (set.epoch, set.first_height, Epoch(self.newest.epoch.0.saturating_add(1)));
        if result.chain != self.chain {
            return Err(SetFault::OtherChain { found: result.chain, chain: self.chain });
        }
        if epoch != next {
            return Err(SetFault::NotNext { found: epoch, next });
        }
        let (height, claimed) = (header.height, header.claim.height);
        let is_last = height.next() == first && claimed.next() == height && result.height == claimed;
        if !is_last || header.epoch != self.newest.epoch || height < self.newest.first_height {
            return Err(SetFault::NotClosing { epoch, first, height, claimed });
        }
        if result.next_set != set.set_hash(self.chain) {
            return Err(SetFault::OtherSet { epoch, height: result.height });
        }
        // The dearest check comes last.
        certified.verify_by(genesis, self).map_err(|fault| match fault {
            ProofFault::Finality(fault) => SetFault::Finality { epoch, fault },
            _ => SetFault::NotClaimed { epoch },
        })?;
        let mut before = std::mem::replace(&mut self.newest, set.clone());
        before.last_height = Some(height);
        self.older.push(before);
        Ok(())
    }
}
