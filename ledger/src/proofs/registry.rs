//! The proof of a registry: who takes part, how the chains are set up, and a quorum's word for it. With it an operator proposes
//! and approves changes without trust in the node that it asked, also on a machine without a network.
//!
//! ```text
//! registry ── hash in the parts of the state ── state root ══ result of h ── claim ── certificate ── set chain ── genesis
//! ```

use wincode::{SchemaRead, SchemaWrite};

use super::certified::{CertifiedResult, ProofFault};
use super::sets::SetChain;
use crate::records::{GenesisSpec, Registry};
use crate::state::StateParts;
use crate::values::{Canonical, CodecError, GenesisHash};

/// A chain's registry after a height, and why it is true.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct RegistryProof {
    /// The network.
    pub genesis: GenesisHash,
    /// The origin of its chain where the genesis spec does not name it, and the changes of set up to the epoch of its certificate.
    pub sets: SetChain,
    /// The registry.
    pub registry: Registry,
    /// What the state root commits to, the registry's hash among it.
    pub parts: StateParts,
    /// The result of the height.
    pub certified: CertifiedResult,
}

/// Why a registry is not proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RegistryFault {
    /// The proof around it.
    #[error(transparent)]
    Proof(#[from] ProofFault),
    /// The state holds another registry.
    #[error("the registry is not the one under the state root of the result")]
    Registry,
}

impl RegistryProof {
    /// Checks everything with the genesis spec alone.
    ///
    /// # Errors
    /// The first fault.
    pub fn verify(&self, spec: &GenesisSpec) -> Result<(), RegistryFault> {
        let expected = spec.hash();
        if self.genesis != expected {
            return Err(ProofFault::WrongNetwork { found: self.genesis, expected }.into());
        }
        self.certified.verify(spec, &self.sets)?;
        if self.parts.root() != self.certified.result.state {
            return Err(ProofFault::State.into());
        }
        if self.registry.hash() != self.parts.registry {
            return Err(RegistryFault::Registry);
        }
        Ok(())
    }
}

impl Canonical for RegistryProof {
    const NAME: &'static str = "proof of a registry";
    const BYTES_MAX: usize = 32
        + <SetChain as Canonical>::BYTES_MAX
        + <Registry as Canonical>::BYTES_MAX
        + <StateParts as Canonical>::BYTES_MAX
        + <CertifiedResult as Canonical>::BYTES_MAX;

    fn check(&self) -> Result<(), CodecError> {
        self.sets.check()?;
        self.registry.check()?;
        self.certified.check()
    }
}
