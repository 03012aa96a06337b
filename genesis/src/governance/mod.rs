//! Governance: how the operators of a running network change it together.
//!
//! ```text
//! registry, proved ─ draft ─ proposal file ─ approve × quorum of the council ─ one transaction on the root chain
//! ```
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`draft`] | changes as operators ask for them, tried at once |
//! | [`mod@file`] | a proposal with the registry that it changes and the approvals so far |
//! | [`key_proofs`] | what a file brings for every key that its proposal brings into the registry |
//! | [`possession`] | a key says what it is for |
//! | [`seat`] | a validator that a node offers for a chain to be added |
//! | [`growth`] | how far chains are that operators added |
//! | [`diff`] | what changes, for people |
//! | [`show`](mod@show) | a registry as text |
//! | [`params`] | parameters by name |
//! | [`time`] | moments as dates |
//! | [`error`] | refusals, with the mend |
//!
//! Invariants: what is shown is computed from the registries before and after and from the changes, never taken from a file's
//! words; a file that loads holds a proved registry, a proposal that fits it, a proof of every key in it, and valid approvals only.

pub mod diff;
pub mod draft;
pub mod error;
pub mod file;
pub mod growth;
pub mod key_proofs;
pub mod params;
pub mod possession;
pub mod seat;
pub mod show;
pub mod time;

pub use diff::{Section, differences, operator_name};
pub use draft::{Draft, Terms};
pub use error::GovernanceError;
pub use file::{PROPOSAL_FILE_BYTES_MAX, ProposalFile};
pub use key_proofs::KeyProofs;
pub use possession::KeyRole;
pub use seat::SeatOffer;
pub use show::show;
pub use time::utc;
