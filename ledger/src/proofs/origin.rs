//! The origin of a chain that operators added: the registry that it begins with, and the root chain's word for it. With it whoever
//! has the genesis file can check the child's certificates, and begin the child itself.
//!
//! ```text
//! registry ── hash in the parts ── state root ══ result of the height that added the chain ── claim ── certificate ── set chain ── genesis
//! ```
//!
//! Rules, in the order of the checks: the links lead to the epoch of the certificate; the certificate stands behind the result; the
//! registry is under its state root; it has the chain as a child, born at the height of the result. So a chain has one origin, whoever
//! shows it and whatever certificate it is shown with.

use std::sync::Arc;

use wincode::{SchemaRead, SchemaWrite};

use super::certified::{CertifiedResult, ProofFault};
use super::finality::FinalityFault;
use super::sets::{SET_LINKS_MAX, SetLink, Sets};
use crate::records::registry::ROOT_CHAIN;
use crate::records::{Birth, GenesisSpec, Registry};
use crate::state::StateParts;
use crate::values::codec::check_count;
use crate::values::{Canonical, ChainId, CodecError, Epoch, Height};

/// Why a chain begins as it does.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct ChainOrigin {
    /// The changes of the root chain's set, up to the epoch of the certificate.
    pub sets: Vec<SetLink>,
    /// The root chain's registry after the height that added the chain.
    pub registry: Registry,
    /// What the state root of that height commits to.
    pub parts: StateParts,
    /// The root chain's result of that height.
    pub certified: CertifiedResult,
}

/// Why an origin proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OriginFault {
    /// Not as many changes of the root chain's set as lead to the epoch of the certificate.
    #[error("{links} changes of the root chain's set do not lead to epoch {epoch}")]
    Length {
        /// Found.
        links: usize,
        /// The epoch of the certificate.
        epoch: Epoch,
    },
    /// A change of the root chain's set is not proved.
    #[error("the change of the root chain's set to epoch {epoch} is not proved")]
    Set {
        /// The epoch that it would begin.
        epoch: Epoch,
    },
    /// The certificate is not the root chain's, or not valid.
    #[error("the root chain's set has not certified the origin: {0}")]
    Finality(#[from] FinalityFault),
    /// The certified block does not lead to the result.
    #[error("the certified block of the root chain does not lead to the result of height {height}")]
    Result {
        /// The result's height.
        height: Height,
    },
    /// The parts are not under the state root of the result.
    #[error("the state parts do not make the state root of the result")]
    State,
    /// The state holds another registry.
    #[error("the registry is not the one under the state root of the result")]
    Registry,
    /// The registry has no such child.
    #[error("the registry of the origin has no chain {chain} that operators added")]
    ChainUnknown {
        /// The chain.
        chain: ChainId,
    },
    /// Another height added the chain.
    #[error("chain {chain} was added at height {born} of the root chain, the origin is of height {found}")]
    OtherHeight {
        /// The chain.
        chain: ChainId,
        /// The height that added it.
        born: Height,
        /// The height of the result.
        found: Height,
    },
}

impl ChainOrigin {
    /// Checks everything with the genesis spec alone and gives the registry that the chain begins with.
    ///
    /// # Errors
    /// The first fault.
    pub fn verify(&self, spec: &GenesisSpec, chain: ChainId) -> Result<Arc<Registry>, OriginFault> {
        let (genesis, result) = (spec.hash(), &self.certified.result);
        let epoch = self.certified.header.epoch;
        if u64::try_from(self.sets.len()) != Ok(epoch.0) {
            return Err(OriginFault::Length { links: self.sets.len(), epoch });
        }
        // A genesis without a root chain has no sets to begin with.
        let unproved = |epoch| OriginFault::Set { epoch };
        let mut sets = Sets::genesis(spec, ROOT_CHAIN).map_err(|_| unproved(Epoch(0)))?;
        for link in &self.sets {
            sets.extend(genesis, link).map_err(|_| unproved(link.set.epoch))?;
        }
        self.certified.verify_by(genesis, &sets).map_err(|fault| match fault {
            ProofFault::Finality(fault) => OriginFault::Finality(fault),
            _ => OriginFault::Result { height: result.height },
        })?;
        if self.parts.root() != result.state {
            return Err(OriginFault::State);
        }
        if self.registry.hash() != self.parts.registry {
            return Err(OriginFault::Registry);
        }
        let unknown = OriginFault::ChainUnknown { chain };
        match self.registry.chain(chain).map(|record| record.birth) {
            Some(Birth::Child { height: born, .. }) if born == result.height => {
                self.registry.of_child(chain).map(Arc::new).ok_or(unknown)
            }
            Some(Birth::Child { height: born, .. }) => {
                Err(OriginFault::OtherHeight { chain, born, found: result.height })
            }
            Some(Birth::Genesis) | None => Err(unknown),
        }
    }
}

impl Canonical for ChainOrigin {
    const NAME: &'static str = "origin of a chain";
    const BYTES_MAX: usize = 8
        + SetLink::BYTES_MAX * SET_LINKS_MAX
        + <Registry as Canonical>::BYTES_MAX
        + <StateParts as Canonical>::BYTES_MAX
        + <CertifiedResult as Canonical>::BYTES_MAX;

    fn check(&self) -> Result<(), CodecError> {
        check_count("origin.sets", self.sets.len(), 0, SET_LINKS_MAX)?;
        self.sets.iter().try_for_each(SetLink::check)?;
        self.registry.check()?;
        self.certified.check()
    }
}
