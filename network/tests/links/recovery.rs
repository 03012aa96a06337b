//! Links come back.

use std::time::{Duration, Instant};

use bytes::Bytes;
use network::{NetworkError, Peer, SendError};

use crate::{Node, cluster, config, lanes, soon, stop};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_restarts_on_its_address_is_met_again() {
    let mut nodes = cluster(2, lanes()).await;
    let registry: Vec<Peer> = nodes.iter().map(Node::entry).collect();
    for number in 0..2 {
        // Once the side that dials, once the side that is dialed.
        let gone = nodes.remove(1 - number);
        let index = gone.index;
        soon(gone.network.stop()).await;
        nodes[0].connected(&[]).await;
        assert_eq!(nodes[0].network.try_send(index, 0, Bytes::new()), Err(SendError::Disconnected));

        let listen = registry[usize::from(index)].address.clone();
        let mut back = Node::start(config(index, &listen, lanes(), registry.clone())).await;
        nodes[0].connected(&[index]).await;
        nodes[0].send(index, 1, Bytes::from_static(b"welcome")).await;
        assert_eq!(back.recv(1).await, (1 - index, Bytes::from_static(b"welcome")));
        nodes.insert(1 - number, back);
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_was_away_for_long_is_met_again_at_once() {
    let mut nodes = cluster(2, lanes()).await;
    let registry: Vec<Peer> = nodes.iter().map(Node::entry).collect();
    let gone = nodes.remove(1);
    soon(gone.network.stop()).await;
    nodes[0].connected(&[]).await;
    // Pauses that went on doubling would now be longer than what is allowed below.
    tokio::time::sleep(Duration::from_millis(3_300)).await;
    let back = Node::start(config(1, &registry[1].address, lanes(), registry.clone())).await;
    let started = Instant::now();
    nodes[0].connected(&[1]).await;
    back.connected(&[0]).await;
    // A quorum may wait for it. Either side dials within 0.8 s; the rest is for a busy machine.
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    nodes.push(back);
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_higher_side_dials_when_the_lower_cannot() {
    let nodes =
        [0, 1].map(|index| async move { Node::start(config(index, "127.0.0.1:0", lanes(), vec![])).await });
    let [lower, higher] = nodes;
    let (mut lower, higher) = (lower.await, higher.await);
    // The lower side has an address at which nobody listens.
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nowhere = Peer { address: closed.local_addr().unwrap().to_string(), ..higher.entry() };
    drop(closed);
    lower.network.update_peers(vec![nowhere]).unwrap();
    higher.network.update_peers(vec![lower.entry()]).unwrap();
    lower.connected(&[1]).await;
    higher.connected(&[0]).await;
    assert!(lower.network.statistics().peers[0].dial_failures > 0);
    higher.send(0, 2, Bytes::from_static(b"hello")).await;
    assert_eq!(lower.recv(2).await, (1, Bytes::from_static(b"hello")));
    stop(vec![lower, higher]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_peer_is_out_at_once_and_back_when_the_block_expires() {
    let mut nodes = cluster(3, lanes()).await;
    nodes[1].send(0, 0, Bytes::from_static(b"before")).await;
    crate::until(|| nodes[0].network.statistics().peers[0].lanes[0].inbound_frames == 1).await;

    nodes[0].network.block(1, Duration::from_millis(700));
    assert_eq!(nodes[0].network.try_send(1, 0, Bytes::new()), Err(SendError::Disconnected));
    assert!(nodes[0].receivers[0].try_recv().is_none(), "what it sent before is dropped");
    assert!(nodes[0].network.statistics().peers[0].blocked);
    nodes[0].connected(&[2]).await;
    nodes[1].connected(&[2]).await;
    nodes[2].send(0, 0, Bytes::from_static(b"others go on")).await;
    assert_eq!(nodes[0].recv(0).await.0, 2);

    nodes[0].connected(&[1, 2]).await;
    assert!(!nodes[0].network.statistics().peers[0].blocked);
    nodes[1].connected(&[0, 2]).await;
    nodes[1].send(0, 0, Bytes::from_static(b"after")).await;
    assert_eq!(nodes[0].recv(0).await, (1, Bytes::from_static(b"after")));
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_ends_receivers_and_frees_the_port() {
    let mut nodes = cluster(2, lanes()).await;
    let taken = nodes[0].network.listen_address().to_string();
    let second =
        network::Network::start(config(5, &taken, lanes(), vec![]), tokio::runtime::Handle::current());
    assert!(matches!(second.await, Err(NetworkError::Listen { .. })), "the port is in use");

    let stopped = nodes.remove(0);
    soon(stopped.network.stop()).await;
    soon(stopped.network.stop()).await;
    for mut receiver in stopped.receivers {
        assert_eq!(soon(receiver.recv()).await, None);
    }
    assert_eq!(stopped.network.try_send(1, 0, Bytes::new()), Err(SendError::Disconnected));
    nodes.push(Node::start(config(5, &taken, lanes(), vec![])).await);

    // Dropping the last handle stops as well.
    let Node { network, mut receivers, .. } = nodes.remove(0);
    drop(network);
    assert_eq!(soon(receivers[0].recv()).await, None);
    stop(nodes).await;
}
