//! Who may connect, and where they are, follows the newest registry of the chains that this node hosts: a node that was added is let
//! in, one that was taken away or has another key is not once its epochs are over.

use std::sync::Arc;

use ledger::rules::ChainRules;
use ledger::values::NodeIndex;
use network::{Network, Peer};
use tokio::sync::watch;

use crate::settings::peers_of;

/// Follows the registries until a chain ends.
pub(crate) async fn follow(
    network: Network,
    own_node: NodeIndex,
    mut rules: Vec<watch::Receiver<ChainRules>>,
) {
    let mut applied: Option<Vec<Peer>> = None;
    while !rules.is_empty() {
        let registries = rules.iter_mut().map(|rules| Arc::clone(&rules.borrow_and_update().registry));
        let peers = peers_of(&registries.collect::<Vec<_>>());
        if applied.as_ref() != Some(&peers) {
            apply(&network, own_node, peers.clone());
            applied = Some(peers);
        }
        let changes = rules.iter_mut().map(|rules| Box::pin(rules.changed()));
        if futures::future::select_all(changes).await.0.is_err() {
            return;
        }
    }
}

/// Lets these peers in and nobody else.
pub(crate) fn apply(network: &Network, own_node: NodeIndex, peers: Vec<Peer>) {
    let count = peers.len();
    match network.update_peers(peers) {
        Ok(()) => tracing::info!(count, "peers are those of the registry"),
        // Most likely this node's key or index is not what the registry says by now.
        Err(fault) => tracing::error!(own_node = own_node.0, %fault, "the registry's peers cannot be used"),
    }
}
