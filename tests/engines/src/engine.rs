//! What a scenario may do with an engine: start it, take validators away and back, watch what becomes final, and turn one byzantine.
//!
//! All validators live in one process and talk over channels. A block carries [`BODY_BYTES`] of body in both engines.

use std::time::{Duration, Instant};

/// Bytes of body in every block.
pub const BODY_BYTES: usize = 1_024;
/// How far below the newest final block the byzantine leader of `regress_lock` builds.
pub const DEPTH: usize = 6;

/// Names a block.
pub type Digest = [u8; 32];

/// A block that a validator reported as final.
#[derive(Clone, Copy, Debug)]
pub struct Final {
    /// When.
    pub at: Instant,
    /// Which.
    pub digest: Digest,
}

/// The validators of one chain, numbered in the order in which they lead.
pub trait Engine: Sized {
    /// Starts all `size` validators of a new chain.
    fn start(size: u16) -> Self;

    /// A node that can be away without stopping the chain, running from now on: a validator, if the engine goes on without one.
    fn spare(&mut self) -> u16;

    /// Ends a node. What it had stored stays for `restart`.
    fn stop(&mut self, node: u16);

    /// Starts a node again from what it had stored.
    fn restart(&mut self, node: u16);

    /// Blocks that a node reported as final so far.
    fn height(&self, node: u16) -> usize;

    /// What a node reported as final, in its order.
    fn finals(&self, node: u16) -> Vec<Final>;

    /// From a node's newest final block back to the first one, parent by parent.
    fn path(&self, node: u16) -> Vec<Digest>;

    /// A validator turns byzantine, shows the others old certificates and, when it leads, proposes on top of a block [`DEPTH`] below the newest
    /// final one; then it behaves again. It signs with its own key only. Returns how often it proposed so.
    fn regress_lock(&mut self, byzantine: u16) -> u64;

    /// A validator asks all others for as much as one request of the engine's catch-up protocol can ask.
    fn ask_for_everything(&mut self, byzantine: u16);

    /// Waits until a node has at least `height` final blocks; false after `limit`.
    fn reaches(&self, node: u16, height: usize, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while self.height(node) < height {
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }
}
