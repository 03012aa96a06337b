//! Who may connect, and where they are, follows the newest registry of the chains that this node hosts: a node that was added is let
//! in, one that was taken away or has another key is not once its epochs are over.
//!
//! An entry that cannot be used, such as an address that is none, is passed over and named in the log: it keeps out nobody else.

use std::sync::Arc;

use ledger::rules::ChainRules;
use ledger::values::NodeIndex;
use network::{Network, NetworkError, Peer};
use tokio::sync::watch;

use crate::rarely::Rarely;
use crate::settings::peers_of;

/// Follows the registries until a chain ends.
pub(crate) async fn follow(
    network: Network,
    own_node: NodeIndex,
    mut rules: Vec<watch::Receiver<ChainRules>>,
) {
    let mut applied: Option<Vec<Peer>> = None;
    let mut rarely = Rarely::default();
    while !rules.is_empty() {
        let registries = rules.iter_mut().map(|rules| Arc::clone(&rules.borrow_and_update().registry));
        let peers = peers_of(&registries.collect::<Vec<_>>());
        if applied.as_ref() != Some(&peers) {
            apply(&network, own_node, peers.clone(), &mut rarely);
            applied = Some(peers);
        }
        let changes = rules.iter_mut().map(|rules| Box::pin(rules.changed()));
        if futures::future::select_all(changes).await.0.is_err() {
            return;
        }
    }
}

/// Lets these peers in, as far as they can be used, and nobody else.
pub(crate) fn apply(network: &Network, own_node: NodeIndex, peers: Vec<Peer>, rarely: &mut Rarely) {
    let update = |peers: &[Peer]| network.update_peers(peers.to_vec());
    let passed_over = |index: u16, fault: &NetworkError| {
        if let Some(times) = rarely.count(index, "unusable") {
            tracing::error!(peer = index, %fault, times, "a peer of the registry cannot be used");
        }
    };
    match apply_usable(peers, update, passed_over) {
        Ok(count) => tracing::info!(count, "peers are those of the registry"),
        Err(fault) => tracing::error!(own_node = own_node.0, %fault, "the registry's peers cannot be used"),
    }
}

/// Gives `update` the peers without those that it refuses, which `passed_over` is told; answers how many are left. Each refusal
/// takes at least one away, so this ends.
fn apply_usable(
    mut peers: Vec<Peer>,
    update: impl Fn(&[Peer]) -> Result<(), NetworkError>,
    mut passed_over: impl FnMut(u16, &NetworkError),
) -> Result<usize, NetworkError> {
    loop {
        let Err(fault) = update(&peers) else { return Ok(peers.len()) };
        let (unusable, rest): (Vec<Peer>, Vec<Peer>) =
            peers.into_iter().partition(|peer| is_refused(peer, &fault));
        if unusable.is_empty() {
            // It is about all of them.
            return Err(fault);
        }
        for peer in &unusable {
            passed_over(peer.index, &fault);
        }
        peers = rest;
    }
}

/// Whether the network refused a registry for this entry.
fn is_refused(peer: &Peer, fault: &NetworkError) -> bool {
    match fault {
        // With a foreign secret this node's own key is not what the registry says by now: the others are known all the same.
        NetworkError::InvalidKey { index } | NetworkError::ForeignSecret { index } => peer.index == *index,
        NetworkError::DuplicateKey { second, .. } => peer.index == *second,
        NetworkError::InvalidAddress { address } => peer.address == *address,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use network::{NetworkConfig, NetworkSecret};

    use super::*;

    fn peer(index: u16) -> Peer {
        let seed = u8::try_from(index + 1).unwrap();
        let network_key = NetworkSecret::new([seed; 32]).network_key().unwrap();
        Peer { index, network_key, address: format!("localhost:{}", index + 1) }
    }

    /// The rules of the network itself, for node 0.
    fn check(peers: &[Peer]) -> Result<(), NetworkError> {
        let config = NetworkConfig {
            secret: NetworkSecret::new([1; 32]),
            listen: "localhost:0".to_owned(),
            network: [0; 32],
            own: 0,
            peers: peers.to_vec(),
            lanes: Vec::new(),
        };
        config.validate()
    }

    #[test]
    fn one_unusable_entry_keeps_nobody_else_out() {
        let change = |index: u16, change: &dyn Fn(&mut Peer)| {
            let mut peers: Vec<Peer> = (0..5).map(peer).collect();
            change(&mut peers[usize::from(index)]);
            peers
        };
        // y = 2 is not on the curve.
        let mut no_key = [0; 32];
        no_key[0] = 2;
        let cases = [
            (4, change(4, &|peer| "nowhere".clone_into(&mut peer.address))),
            (2, change(2, &|peer| peer.network_key = no_key)),
            (3, change(3, &|other| other.network_key = peer(1).network_key)),
            (3, change(3, &|other| other.network_key = peer(0).network_key)),
            (0, change(0, &|own| own.network_key = peer(9).network_key)),
        ];
        for (unusable, peers) in cases {
            assert!(check(&peers).is_err());
            let (applied, mut named) = (RefCell::new(Vec::new()), Vec::new());
            let update = |peers: &[Peer]| -> Result<(), NetworkError> {
                check(peers)?;
                *applied.borrow_mut() = peers.to_vec();
                Ok(())
            };
            let left = apply_usable(peers.clone(), update, |index, _| named.push(index)).unwrap();
            let rest: Vec<Peer> = peers.into_iter().filter(|peer| peer.index != unusable).collect();
            assert_eq!((left, named), (4, vec![unusable]));
            assert_eq!(applied.into_inner(), rest);
        }
    }

    #[test]
    fn too_many_peers_are_refused_together() {
        let refuse = |peers: &[Peer]| Err(NetworkError::TooManyPeers { count: peers.len(), max: 1 });
        let refused = apply_usable(vec![peer(1), peer(2)], refuse, |_, _| panic!("nobody is to blame"));
        assert!(matches!(refused, Err(NetworkError::TooManyPeers { count: 2, max: 1 })));
    }
}
