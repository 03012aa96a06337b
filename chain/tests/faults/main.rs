//! What a faulty bank can do to an honest one: a `chain::Chain` driven by hand, without sockets, over a store in memory.
//!
//! | file | what it says |
//! | --- | --- |
//! | `rig.rs` | one honest bank, and the keys to forge what the others send |
//! | `smuggled.rs` | batches with faults: stateless ones refused whole, stateful ones ordered without effect |
//! | `diverged.rs` | a wrong execution is taken back and done again; a second one halts |
//! | `durable.rs` | what a loss of power may not leave behind |
//! | `epochs.rs` | how an epoch ends, and what is said in it or of it too late |
//! | `priced.rs` | base fees, heavy batches, and sealers whose operator owes |
//! | `joined.rs` | an empty bank joins by a snapshot, whatever its sources do |
//! | `named.rs` | bundles of blocks that won stay on disk, those of others leave |
//! | `pruned.rs` | old heights go by policy; what a start, a peer and a proof need stays |
//! | `relayed.rs` | receipts between two shards: relayed, ordered, refused, sent back |
//! | `resharded.rs` | a chain that is added, and the wallets that move there |
//! | `voting.rs` | what is ordered and voted for, and when |
//! | `flooding.rs` | bounds of what peers can make a bank hold, and of what one liar can make it believe |

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests fail loudly")]

mod diverged;
mod durable;
mod epochs;
mod flooding;
mod joined;
mod named;
mod priced;
mod pruned;
mod relayed;
mod resharded;
mod rig;
mod smuggled;
mod voting;
