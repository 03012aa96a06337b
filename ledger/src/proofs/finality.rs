//! Finality: a quorum of an epoch's validators decided a block. Carries the certificate and the fields in it,
//! so that whoever stores or shows it need not take it apart.

use wincode::{SchemaRead, SchemaWrite};

use super::certificate::{CertificateFault, Finalized, consensus_namespace, verify_certificate};
use crate::records::{EpochRecord, Registry};
use crate::values::codec::check_count;
use crate::values::quorum::VALIDATORS_MAX;
use crate::values::{BlockDigest, Canonical, ChainId, CodecError, Epoch, GenesisHash, View};

/// Most bytes of a certificate: the signed proposal, the signers and a signature of every validator.
pub const CERTIFICATE_BYTES_MAX: usize =
    3 * 10 + 32 + 8 + VALIDATORS_MAX.div_ceil(8) + 5 + 64 * VALIDATORS_MAX;

/// That a block is final.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct FinalityProof {
    /// The chain.
    pub chain: ChainId,
    /// The epoch whose validators decided.
    pub epoch: Epoch,
    /// The round it was decided in.
    pub view: View,
    /// The round of its parent.
    pub parent_view: View,
    /// The block.
    pub digest: BlockDigest,
    /// The certificate, which repeats the fields above and carries the signatures.
    pub bytes: Vec<u8>,
}

impl Canonical for FinalityProof {
    const NAME: &'static str = "finality proof";
    const BYTES_MAX: usize = 4 + 8 + 8 + 8 + 32 + 8 + CERTIFICATE_BYTES_MAX;

    fn check(&self) -> Result<(), CodecError> {
        check_count("finality.bytes", self.bytes.len(), 1, CERTIFICATE_BYTES_MAX)
    }
}

/// Why a finality proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FinalityFault {
    /// The registry knows no such epoch.
    #[error("the registry knows no epoch {epoch} of chain {chain}")]
    EpochUnknown {
        /// The chain.
        chain: ChainId,
        /// The epoch.
        epoch: Epoch,
    },
    /// The certificate is not valid.
    #[error("the certificate is not valid: {0}")]
    Certificate(#[from] CertificateFault),
    /// The certificate decides something else than the fields beside it say.
    #[error("the certificate is for {} in view {} of epoch {}", found.digest, found.view, found.epoch)]
    Fields {
        /// What the certificate decides.
        found: Finalized,
    },
}

/// Checks a finality proof against a registry and gives the block that is final.
///
/// # Errors
/// [`FinalityFault`].
pub fn verify_finality(
    proof: &FinalityProof,
    genesis: GenesisHash,
    registry: &Registry,
) -> Result<BlockDigest, FinalityFault> {
    let (chain, epoch) = (proof.chain, proof.epoch);
    let record = registry.epoch(chain, epoch).ok_or(FinalityFault::EpochUnknown { chain, epoch })?;
    verify_finality_by(proof, genesis, record)
}

/// [`verify_finality`] by one epoch of the proof's chain.
///
/// # Errors
/// [`FinalityFault`].
pub fn verify_finality_by(
    proof: &FinalityProof,
    genesis: GenesisHash,
    record: &EpochRecord,
) -> Result<BlockDigest, FinalityFault> {
    let (chain, epoch) = (proof.chain, proof.epoch);
    if record.epoch != epoch {
        return Err(FinalityFault::EpochUnknown { chain, epoch });
    }
    let found = verify_certificate(&proof.bytes, &consensus_namespace(genesis, chain), &record.keys())?;
    let stated = Finalized { epoch, view: proof.view, parent_view: proof.parent_view, digest: proof.digest };
    if found == stated { Ok(found.digest) } else { Err(FinalityFault::Fields { found }) }
}
