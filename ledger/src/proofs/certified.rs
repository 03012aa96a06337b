//! A certified result: the result of a height, and why a quorum stands behind it.
//!
//! ```text
//! result of h ─ link h+1 ─ … ─ link H ══ claim {H, result} in a header ── certificate on the header
//! ```
//!
//! A result commits to the one before it, so a claim of height H certifies every height up to H. The chain
//! from h to H costs 32 bytes a height: each result's hash is made of the one before and of the hash of its
//! own content.

use wincode::{SchemaRead, SchemaWrite};

use super::finality::{FinalityFault, FinalityProof, verify_finality_by};
use super::sets::{SetChain, SetFault, Sets};
use crate::records::result::link_result;
use crate::records::{BlockHeader, Claim, GenesisSpec, HeightResult};
use crate::values::codec::check_count;
use crate::values::{
    BlockDigest, Canonical, ChainId, CodecError, Epoch, GenesisHash, Hash, Height, ResultHash,
};

/// Most heights between a result and the claim that certifies it.
pub const LINKS_MAX: usize = 1_024;

/// A result and why it is certified.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct CertifiedResult {
    /// The result.
    pub result: HeightResult,
    /// Content hashes of the results above it, up to the claimed height, ascending.
    pub links: Vec<Hash>,
    /// The block that claims.
    pub header: BlockHeader,
    /// That it is final.
    pub finality: FinalityProof,
}

impl Canonical for CertifiedResult {
    const NAME: &'static str = "certified result";
    const BYTES_MAX: usize =
        HeightResult::BYTES_MAX + 8 + 32 * LINKS_MAX + BlockHeader::BYTES_MAX + FinalityProof::BYTES_MAX;

    fn check(&self) -> Result<(), CodecError> {
        self.result.check()?;
        check_count("links", self.links.len(), 0, LINKS_MAX)?;
        self.finality.check()
    }
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofFault {
    /// Made for another network.
    #[error("the proof is for network {found}, the genesis file is of {expected}")]
    WrongNetwork {
        /// In the proof.
        found: GenesisHash,
        /// Of the genesis spec.
        expected: GenesisHash,
    },
    /// Its parts are of different chains.
    #[error("the parts of the proof are of chains {result} and {header}")]
    Chains {
        /// The result's chain.
        result: ChainId,
        /// The header's.
        header: ChainId,
    },
    /// The certificate is for another block.
    #[error("the certificate is for block {finalized}, the header is {header}")]
    OtherBlock {
        /// Finalized.
        finalized: BlockDigest,
        /// The header's digest.
        header: BlockDigest,
    },
    /// Not as many links as heights between the result and the claim.
    #[error("{links} links do not lead to the claim {claim:?}")]
    Links {
        /// Found.
        links: usize,
        /// The claim.
        claim: Claim,
    },
    /// The result is not the claimed one.
    #[error("the result leads to {reached}, the block claims {claimed}")]
    Result {
        /// Where the links lead.
        reached: ResultHash,
        /// In the header.
        claimed: ResultHash,
    },
    /// The certificate is not valid.
    #[error(transparent)]
    Finality(#[from] FinalityFault),
    /// The epoch does not decide the height of the block.
    #[error("epoch {epoch} does not decide height {height}")]
    NotInEpoch {
        /// The epoch of the certificate.
        epoch: Epoch,
        /// The block's height.
        height: Height,
    },
    /// The changes of set do not lead to the epoch of the certificate.
    #[error(transparent)]
    Sets(#[from] SetFault),
    /// The outcome is not under the result's outcomes root.
    #[error("the outcome is not under the outcomes root of the result")]
    Outcome,
    /// The transaction is not the one of the outcome.
    #[error("the transaction or receipt is not the one that the outcome is for")]
    Transaction,
    /// The state parts are not under the state root of the result.
    #[error("the state parts do not make the state root of the result")]
    State,
    /// The record is not under the tree's root.
    #[error("the record is not under the root of the summing tree")]
    Record,
    /// The path in the id tree proves nothing about the wallet, or that it exists.
    #[error("the id tree's path does not prove the wallet's absence")]
    Absence,
}

impl CertifiedResult {
    /// Checks everything with the genesis spec and the changes of set up to the epoch of the certificate, no fewer and no more.
    ///
    /// # Errors
    /// The first fault.
    pub fn verify(&self, spec: &GenesisSpec, sets: &SetChain) -> Result<(), ProofFault> {
        self.check_chains()?;
        let epoch = self.header.epoch;
        if u64::try_from(sets.links.len()) != Ok(epoch.0) {
            return Err(SetFault::Length { links: sets.links.len(), epoch }.into());
        }
        self.verify_by(spec.hash(), &sets.verify(spec, self.result.chain)?)
    }

    /// Checks everything with sets that are believed already.
    ///
    /// # Errors
    /// The first fault.
    pub fn verify_by(&self, genesis: GenesisHash, sets: &Sets) -> Result<(), ProofFault> {
        self.check_chains()?;
        let (result, header, finality) = (&self.result, &self.header, &self.finality);
        if sets.chain() != header.chain {
            return Err(ProofFault::Chains { result: sets.chain(), header: header.chain });
        }
        let (chain, epoch, height) = (header.chain, header.epoch, header.height);
        let set = sets.epoch(epoch).ok_or(FinalityFault::EpochUnknown { chain, epoch })?;
        if !set.decides(height) {
            return Err(ProofFault::NotInEpoch { epoch, height });
        }
        let finalized = verify_finality_by(finality, genesis, set)?;
        let digest = header.digest(genesis);
        if finalized != digest {
            return Err(ProofFault::OtherBlock { finalized, header: digest });
        }
        let claim = header.claim;
        if claim.height.0.checked_sub(result.height.0) != u64::try_from(self.links.len()).ok() {
            return Err(ProofFault::Links { links: self.links.len(), claim });
        }
        let reached = self
            .links
            .iter()
            .fold(result.hash(genesis), |previous, content| link_result(genesis, previous, *content));
        if reached != claim.result {
            return Err(ProofFault::Result { reached, claimed: claim.result });
        }
        Ok(())
    }

    fn check_chains(&self) -> Result<(), ProofFault> {
        let (result, header, finality) = (&self.result, &self.header, &self.finality);
        if header.chain != result.chain || finality.chain != header.chain || finality.epoch != header.epoch {
            return Err(ProofFault::Chains { result: result.chain, header: header.chain });
        }
        Ok(())
    }
}
