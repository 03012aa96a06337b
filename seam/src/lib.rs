//! Where the consensus engine and the chain meet: what the engine asks becomes the chain's input, what the chain answers
//! becomes the engine's reply.
//!
//! Neither knows the other: the engine orders 32-byte digests, the chain is a state machine with tickets. Whoever drives both
//! stands between them: production's driver in `node`, and the one of the bottle. This is the part that they share.
//!
//! | file | what it says |
//! | --- | --- |
//! | `questions.rs` | [`Questions`]: requests into inputs, answers into replies |
//!
//! Invariant: a question is answered at most once, by the ticket it was given.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod questions;

pub use questions::Questions;
