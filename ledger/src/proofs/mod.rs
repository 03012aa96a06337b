//! Proofs: files that a stranger checks offline with the genesis spec alone, and the replay that trusts nobody.
//!
//! | file | what it proves |
//! | --- | --- |
//! | [`outcomes`] | which outcomes a height had |

pub mod outcomes;

pub use outcomes::{outcome_path, outcomes_root, verify_outcome};
