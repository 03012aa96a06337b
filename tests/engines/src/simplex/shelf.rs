//! The blocks of one validator, and which of them it saw become final. Memory only; it survives a restart of the validator as a disk would.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use sha2::{Digest as _, Sha256};

use crate::engine::{BODY_BYTES, Digest, Final};

/// The digest that the first block follows.
pub const GENESIS: Digest = [9; 32];

/// A block: the engine knows its digest only.
#[derive(Clone)]
pub struct Block {
    /// Digest of the block before it.
    pub parent: Digest,
    /// View it was proposed in.
    pub view: u64,
    /// Content.
    pub body: Vec<u8>,
}

impl Block {
    /// A block with a body of its own.
    pub fn new(parent: Digest, view: u64, fill: u8) -> Self {
        Self { parent, view, body: vec![fill; BODY_BYTES] }
    }

    /// Its name.
    pub fn digest(&self) -> Digest {
        let hash = Sha256::new()
            .chain_update(self.parent)
            .chain_update(self.view.to_le_bytes())
            .chain_update(&self.body);
        hash.finalize().into()
    }
}

/// One validator's blocks.
#[derive(Default)]
pub struct Shelf(Mutex<Blocks>);

#[derive(Default)]
struct Blocks {
    blocks: HashMap<Digest, Block>,
    finals: Vec<Final>,
    is_final: HashSet<Digest>,
    /// Highest view reported final, with its block.
    tip: Option<(u64, Digest)>,
}

impl Shelf {
    /// The block of a digest.
    pub fn get(&self, digest: &Digest) -> Option<Block> {
        self.lock().blocks.get(digest).cloned()
    }

    /// Keeps a block; returns its digest.
    pub fn put(&self, block: Block) -> Digest {
        let digest = block.digest();
        self.lock().blocks.insert(digest, block);
        digest
    }

    /// Takes a report of the engine: this digest is final, and so are its ancestors. `missing` is asked for blocks that are not here;
    /// without an answer the report waits for the next one.
    pub fn finalize(&self, view: u64, digest: Digest, missing: impl Fn(&Digest) -> Option<Block>) {
        let at = Instant::now();
        let mut path = Vec::new();
        let mut cursor = digest;
        while cursor != GENESIS && !self.lock().is_final.contains(&cursor) {
            let Some(block) = self.get(&cursor).or_else(|| missing(&cursor)) else { return };
            path.push(cursor);
            cursor = block.parent;
            self.put(block);
        }
        let mut shelf = self.lock();
        for digest in path.into_iter().rev() {
            shelf.is_final.insert(digest);
            shelf.finals.push(Final { at, digest });
        }
        shelf.tip = shelf.tip.max(Some((view, digest)));
    }

    /// Highest final view; 0 before the first.
    pub fn view(&self) -> u64 {
        self.lock().tip.map_or(0, |(view, _)| view)
    }

    /// Blocks reported as final.
    pub fn height(&self) -> usize {
        self.lock().finals.len()
    }

    /// What was reported as final, in order.
    pub fn finals(&self) -> Vec<Final> {
        self.lock().finals.clone()
    }

    /// From the newest final block back to the first.
    pub fn path(&self) -> Vec<Digest> {
        let shelf = self.lock();
        let newest = shelf.tip.map(|(_, digest)| digest);
        std::iter::successors(newest, |digest| shelf.blocks.get(digest).map(|block| block.parent))
            .take_while(|digest| *digest != GENESIS)
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Blocks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
