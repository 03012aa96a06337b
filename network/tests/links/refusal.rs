//! A peer of another network. Strangers and peers that break the rules need a swarm of their own:
//! `src/misuse.rs`.

use network::NetworkConfig;

use crate::{GENESIS, Node, config, lanes, stop, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_of_another_network_is_never_connected() {
    let ours = Node::start(config(0, "127.0.0.1:0", lanes(), vec![])).await;
    let foreign = NetworkConfig { network: [8; 32], ..config(1, "127.0.0.1:0", lanes(), vec![]) };
    assert_ne!(foreign.network, GENESIS);
    let foreign = Node::start(foreign).await;
    ours.network.update_peers(vec![foreign.entry()]).unwrap();
    foreign.network.update_peers(vec![ours.entry()]).unwrap();
    // Both know each other's key and meet, more than once. Whoever notices first closes the connection, so only both together count
    // every meeting.
    let foreign_connections = |node: &Node| {
        node.network.statistics().peers.iter().map(|peer| peer.foreign_connections).sum::<u64>()
    };
    until(|| foreign_connections(&ours) + foreign_connections(&foreign) >= 2).await;
    for node in [&ours, &foreign] {
        let peer = &node.network.statistics().peers[0];
        assert!(!peer.connected, "{peer:?}");
        assert!(peer.lanes.iter().all(|lane| lane.streams_opened + lane.streams_accepted == 0), "{peer:?}");
        assert!(node.network.connected().is_empty());
    }
    stop(vec![ours, foreign]).await;
}
