//! Proofs: files that a stranger checks offline with the genesis spec alone, and the replay that trusts
//! nobody.
//!
//! | file | what it proves |
//! | --- | --- |
//! | [`certificate`] | the stand-alone verifier of a consensus certificate |
//! | [`finality`] | that a block is final |
//! | [`certified`] | that a quorum stands behind the result of a height |
//! | [`sets`] | which validators decide each epoch of a chain |
//! | [`origin`] | how a chain began that operators added |
//! | [`outcomes`] | which outcomes a height had |
//! | [`mod@file`] | the proof file: outcome, balance, absence, supply |
//! | [`registry`] | who takes part and how the chains are set up |
//! | [`replay`] | a whole chain, by executing it again |
//! | [`snapshot`] | the whole state of a height, but for its records |
//! | [`snapshot_chunk`] | a range of its records |

pub mod certificate;
pub mod certified;
pub mod file;
pub mod finality;
pub mod origin;
pub mod outcomes;
pub mod registry;
pub mod replay;
pub mod sets;
pub mod snapshot;
pub mod snapshot_chunk;

pub use certificate::{CertificateFault, consensus_namespace, verify_certificate};
pub use certified::{CertifiedResult, ProofFault};
pub use file::{
    AbsenceProof, BalanceProof, Fact, LockProof, OutcomeProof, Proof, ProofFile, Proven, ReceiptProof,
};
pub use finality::{FinalityFault, FinalityProof, verify_finality, verify_finality_by};
pub use origin::{ChainOrigin, OriginFault};
pub use outcomes::{outcome_path, outcomes_root, verify_outcome};
pub use registry::{RegistryFault, RegistryProof};
pub use replay::{Difference, HeightRecord, Replay};
pub use sets::{SetChain, SetFault, SetLink, Sets};
pub use snapshot::{OrderedSecond, PartsOfHeight, Snapshot, SnapshotFault, SnapshotManifest};
pub use snapshot_chunk::{ChunkFault, SnapshotChunk};
