//! Who may connect, and where they are, follows the newest registry of the chains that this node hosts: a node that was added is let
//! in, one that was taken away or has another key is not.

use std::sync::Arc;

use ledger::records::Registry;
use ledger::rules::ChainRules;
use ledger::values::NodeIndex;
use network::Network;
use tokio::sync::watch;

use crate::settings::peers_of;

/// Follows the registries until a chain ends.
pub(crate) async fn follow(
    network: Network,
    own_node: NodeIndex,
    mut rules: Vec<watch::Receiver<ChainRules>>,
) {
    let mut applied: Option<Arc<Registry>> = None;
    loop {
        let registries = rules.iter_mut().map(|rules| Arc::clone(&rules.borrow_and_update().registry));
        if let Some(newest) = registries.max_by_key(|registry| registry.version)
            && applied.as_ref().is_none_or(|applied| applied.version < newest.version)
        {
            apply(&network, own_node, &newest);
            applied = Some(newest);
        }
        let changes = rules.iter_mut().map(|rules| Box::pin(rules.changed()));
        if changes.len() == 0 || futures::future::select_all(changes).await.0.is_err() {
            return;
        }
    }
}

fn apply(network: &Network, own_node: NodeIndex, registry: &Registry) {
    let version = registry.version;
    match network.update_peers(peers_of(registry)) {
        Ok(()) => tracing::info!(version, nodes = registry.nodes.len(), "peers are those of the registry"),
        // Most likely this node's key or index is not what the registry says by now.
        Err(fault) => {
            tracing::error!(version, own_node = own_node.0, %fault, "the registry's peers cannot be used");
        }
    }
}
