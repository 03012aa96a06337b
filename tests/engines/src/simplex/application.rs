//! What stands for the rest of a node: makes blocks, checks them, fetches missing ones from whoever is connected.

use consensus::{Request, Requests};

use super::shelf::{Block, Shelf};
use super::wire::Wire;
use crate::engine::Digest;

/// Answers the engine of `own` until it ends.
pub fn run(own: u16, requests: Requests, shelves: &[Shelf], wire: &Wire) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(answer(own, requests, shelves, wire));
}

async fn answer(own: u16, mut requests: Requests, shelves: &[Shelf], wire: &Wire) {
    let shelf = &shelves[usize::from(own)];
    let fetch = |digest: &Digest| {
        let mut others = (0u16..).zip(shelves).filter(|(node, _)| wire.is_connected(*node));
        others.find_map(|(_, shelf)| shelf.get(digest))
    };
    let hold = |digest: &Digest| {
        shelf.get(digest).or_else(|| {
            let fetched = fetch(digest)?;
            shelf.put(fetched.clone());
            Some(fetched)
        })
    };
    // Answers that wait for a block nobody has: "not yet" must stay open.
    let mut waiting = Vec::new();
    while let Some(request) = requests.recv().await {
        match request {
            Request::Propose { slot, parent, reply } => {
                let _in_time = reply.send(shelf.put(Block::new(parent, slot.view, 0)));
            }
            Request::Validate { slot, parent, digest, reply } => match hold(&digest) {
                Some(block) => {
                    let _in_time = reply.send(block.parent == parent && block.view == slot.view);
                }
                None => waiting.push(reply),
            },
            Request::Available { digest, reply, .. } => match hold(&digest) {
                Some(_) => {
                    let _in_time = reply.send(true);
                }
                None => waiting.push(reply),
            },
            Request::Finalized(proof) => shelf.finalize(proof.view.0, proof.digest.0, fetch),
            // Whoever needs a block fetches it.
            Request::Disseminate { .. } | Request::Evidence(_) => {}
        }
    }
}
