//! Links between the nodes of the registry: authenticated, encrypted, bounded.
//!
//! # What
//! A [`Network`] keeps one connection to every peer of the registry and carries *frames* (byte strings) on
//! *lanes*. A lane is a kind of frame with its own bounds and its own stream in each direction per peer:
//!
//! ```text
//!   try_send ─▶ OutboundQueue ─▶ Writer ─▶ stream ══╗
//!               per peer and lane                   TCP · noise · yamux, one connection per pair of peers
//!   recv ◀─ InboundLane ◀─ reader ◀─ stream ════════╝
//!           per peer and lane, peers in turn
//! ```
//!
//! # Why it is so
//! - **Streams, not gossip or request-response**: ADR 2. Everybody talks to everybody, n is small, every
//!   message has a known receiver.
//! - **Consensus is never behind bulk.** All lanes share one TCP connection, so a vote can wait only behind
//!   bytes that were already handed to the socket. Those are bounded by yamux's credit, which the other
//!   side returns as it *reads*: per bulk lane [`limits::STREAM_WINDOW_BYTES`], and for all lanes together
//!   [`limits::WINDOW_GROWTH_BYTES_MAX`] more on long links. Above the socket, lanes take turns in pieces
//!   of 16 KiB. A second connection for bulk was the alternative: it needs a second identity or port, and
//!   halves nothing that matters once the first is bounded. `cargo run -p network --example
//!   measure_links` measures it.
//! - **Not `libp2p-stream`**: the same idea in `streams`, without its three faults (ADR 2).
//!
//! # Files
//! `config` what a node gives · `limits` every bound · `error` · `network` the handle · `driver` owns the
//! swarm: dials, closes, blocks, watches clocks · `redial` when to dial · `link` what is shared about a
//! peer · `queue` outbound, `inbound` inbound queues · `writer`, `reader` one task per lane and direction ·
//! `frame` bytes on a stream · `streams` the libp2p behaviour · `swarm` builds it · `muxer` yamux within
//! bounds · `identity` keys · `statistics` counters.
//!
//! # Invariants
//! 1. Only keys of the registry that are not blocked have an established connection for longer than it
//!    takes to close it; nobody else is ever offered a protocol.
//! 2. Protocol names hold the genesis hash: a peer of another network opens no lane, and its link is never
//!    up.
//! 3. Per (peer, lane) and direction there is one stream; a new one replaces the old.
//! 4. Frames of a lane arrive in order and at most once. They can be lost: consensus and catch-up ask
//!    again.
//! 5. Announcing a frame reserves nothing beyond one step of 8 KiB per lane, and in yamux one piece of at
//!    most 1 MiB per connection; everything else is reserved as it is received.
//! 6. `try_send` never waits; a reader waits only for its own peer's queue.
//! 7. All waiting is by the monotonic clock; steps of the wall clock change nothing.
//!
//! # Failure
//! A peer's fault closes its stream or connection and is counted ([`NetworkStatistics`]). Wrong
//! configuration is a [`NetworkError`] at start. After that nothing here fails: links come and go, and the
//! registry can change.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod config;
mod driver;
mod error;
mod frame;
mod identity;
mod inbound;
pub mod limits;
mod link;
#[cfg(test)]
mod misuse;
mod muxer;
mod network;
mod queue;
mod reader;
mod redial;
mod statistics;
mod streams;
mod swarm;
mod writer;

pub use config::{Lane, NetworkConfig, NetworkSecret, Peer, Priority};
pub use error::{NetworkError, SendError};
pub use frame::{ReadFrame, read_frame};
pub use inbound::LaneReceiver;
pub use network::Network;
pub use statistics::{LaneStatistics, NetworkStatistics, PeerStatistics};
