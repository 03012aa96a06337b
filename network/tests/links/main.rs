//! Real networks on loopback. Nobody's port is known before it listens, so every node starts alone and is
//! then given the registry, as a running node is when the registry changes.

mod exchange;
mod recovery;
mod refusal;

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use network::{Lane, LaneReceiver, Network, NetworkConfig, NetworkSecret, Peer, Priority, SendError};
use tokio::runtime::Handle;

pub(crate) const GENESIS: [u8; 32] = [7; 32];
/// Reached only when something is broken; generous, because the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Node {
    pub(crate) index: u16,
    pub(crate) network: Network,
    pub(crate) receivers: Vec<LaneReceiver>,
}

pub(crate) fn secret(index: u16) -> NetworkSecret {
    NetworkSecret::new([index as u8 + 1; 32])
}

pub(crate) fn lane(name: &str, priority: Priority) -> Lane {
    Lane {
        name: name.into(),
        frame_bytes_max: 200_000,
        outbound_frames_max: 64,
        outbound_bytes_max: 1 << 20,
        inbound_frames_max: 16,
        priority,
    }
}

pub(crate) fn lanes() -> Vec<Lane> {
    vec![
        lane("chain/0/epoch/0/vote", Priority::Consensus),
        lane("chain/0/fetch", Priority::Control),
        lane("chain/0/batch", Priority::Bulk),
    ]
}

pub(crate) fn config(index: u16, listen: &str, lanes: Vec<Lane>, peers: Vec<Peer>) -> NetworkConfig {
    NetworkConfig { secret: secret(index), listen: listen.into(), network: GENESIS, own: index, peers, lanes }
}

impl Node {
    pub(crate) async fn start(config: NetworkConfig) -> Self {
        let index = config.own;
        let (network, receivers) = Network::start(config, Handle::current()).await.unwrap();
        Self { index, network, receivers }
    }

    pub(crate) fn entry(&self) -> Peer {
        Peer {
            index: self.index,
            network_key: secret(self.index).network_key().unwrap(),
            address: self.network.listen_address().to_string(),
        }
    }

    /// Sends, waiting while the lane is full.
    pub(crate) async fn send(&self, peer: u16, lane: usize, frame: Bytes) {
        loop {
            match self.network.try_send(peer, lane, frame.clone()) {
                Ok(()) => return,
                Err(SendError::Full) => tokio::time::sleep(Duration::from_millis(1)).await,
                Err(error) => panic!("{} to {peer}: {error}", self.index),
            }
        }
    }

    pub(crate) async fn recv(&mut self, lane: usize) -> (u16, Bytes) {
        soon(self.receivers[lane].recv()).await.expect("the network runs")
    }

    pub(crate) async fn connected(&self, peers: &[u16]) {
        let mut watch = self.network.connections_watch();
        soon(watch.wait_for(|connected| connected == peers)).await.unwrap();
    }
}

/// Awaits something that must happen.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it did not happen")
}

/// Looks again and again until it holds.
pub(crate) async fn until(holds: impl Fn() -> bool) {
    soon(async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Nodes 0 to `count - 1`, all connected.
pub(crate) async fn cluster(count: u16, lanes: Vec<Lane>) -> Vec<Node> {
    let mut nodes = Vec::new();
    for index in 0..count {
        nodes.push(Node::start(config(index, "127.0.0.1:0", lanes.clone(), vec![])).await);
    }
    let registry: Vec<Peer> = nodes.iter().map(Node::entry).collect();
    for node in &nodes {
        node.network.update_peers(registry.clone()).unwrap();
    }
    for node in &nodes {
        let others: Vec<u16> = (0..count).filter(|index| *index != node.index).collect();
        node.connected(&others).await;
    }
    nodes
}

pub(crate) async fn stop(nodes: Vec<Node>) {
    for node in nodes {
        soon(node.network.stop()).await;
    }
}
