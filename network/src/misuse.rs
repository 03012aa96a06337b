//! Tests with a bare swarm in place of a node: strangers, wrong keys, and registry peers that break the
//! rules.

use std::time::Duration;

use bytes::Bytes;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Stream, Swarm};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::config::{Lane, NetworkConfig, NetworkSecret, Peer, Priority};
use crate::frame::length_prefix;
use crate::streams::OpenFailure;
use crate::swarm::{Behaviour, build, keep_alive_lane, multiaddress, socket_address};
use crate::{LaneReceiver, Network, identity};

const GENESIS: [u8; 32] = [7; 32];
const PATIENCE: Duration = Duration::from_secs(30);

fn secret(seed: u8) -> NetworkSecret {
    NetworkSecret::new([seed; 32])
}

fn peer(index: u16, seed: u8, address: &str) -> Peer {
    Peer { index, network_key: secret(seed).network_key().unwrap(), address: address.into() }
}

fn lanes() -> Vec<Lane> {
    let lane = |name: &str| Lane {
        name: name.into(),
        frame_bytes_max: 100,
        outbound_frames_max: 8,
        outbound_bytes_max: 800,
        inbound_frames_max: 8,
        priority: Priority::Control,
    };
    vec![lane("vote"), lane("fetch")]
}

/// A node with index 0 that knows one peer, index 1, of seed 2, at an address where nobody answers.
async fn node(address: &str) -> (Network, Vec<LaneReceiver>) {
    let config = NetworkConfig {
        secret: secret(1),
        listen: "127.0.0.1:0".into(),
        network: GENESIS,
        own: 0,
        peers: vec![peer(1, 2, address)],
        lanes: lanes(),
    };
    Network::start(config, Handle::current()).await.unwrap()
}

/// An address at which nobody listens.
async fn nowhere() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

/// A swarm with the key of `seed` that speaks all of our protocols and allows the node.
fn bare(seed: u8) -> (Swarm<Behaviour>, libp2p::PeerId) {
    let mut lanes = lanes();
    lanes.push(keep_alive_lane());
    let mut swarm = build(identity::keypair(&secret(seed)).unwrap(), &GENESIS, &lanes).unwrap();
    let node = identity::peer_id(&peer(0, 1, "")).unwrap();
    swarm.behaviour_mut().allowed.allow_peer(node);
    (swarm, node)
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it did not happen")
}

async fn until(holds: impl Fn() -> bool) {
    soon(async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Dials the node; `None` if the connection was refused while it was being made.
async fn dial(swarm: &mut Swarm<Behaviour>, node: libp2p::PeerId, network: &Network) -> Option<ConnectionId> {
    let address = multiaddress(network.listen_address());
    swarm.dial(DialOpts::peer_id(node).addresses(vec![address]).allocate_new_port().build()).unwrap();
    soon(async {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::ConnectionEstablished { connection_id, .. } => return Some(connection_id),
                SwarmEvent::OutgoingConnectionError { .. } => return None,
                _ => {}
            }
        }
    })
    .await
}

type Answer = oneshot::Receiver<Result<Stream, OpenFailure>>;

fn open(swarm: &mut Swarm<Behaviour>, node: libp2p::PeerId, connection: ConnectionId, lane: usize) -> Answer {
    let (reply, answer) = oneshot::channel();
    swarm.behaviour_mut().streams.open(node, connection, lane, reply);
    answer
}

/// A registry peer without rules: a connected swarm that goes on by itself, with a stream for each lane
/// asked.
async fn rogue(network: &Network, wanted: &[usize]) -> (Vec<Stream>, JoinHandle<()>) {
    let (mut swarm, node) = bare(2);
    let connection = dial(&mut swarm, node, network).await.unwrap();
    let answers: Vec<_> = wanted.iter().map(|lane| open(&mut swarm, node, connection, *lane)).collect();
    let task = tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    let mut streams = Vec::new();
    for answer in answers {
        streams.push(soon(answer).await.unwrap().unwrap());
    }
    (streams, task)
}

async fn send(stream: &mut Stream, frame: &[u8]) {
    stream.write_all(&length_prefix(frame)).await.unwrap();
    stream.write_all(frame).await.unwrap();
    stream.flush().await.unwrap();
}

/// The other side ended the stream: nothing can be read, ever.
async fn is_ended(stream: &mut Stream) -> bool {
    soon(stream.read(&mut [0])).await.unwrap_or(0) == 0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_opens_no_protocol() {
    let (network, mut receivers) = node(&nowhere().await).await;
    let (mut stranger, id) = bare(9);
    if let Some(connection) = dial(&mut stranger, id, &network).await {
        let answers: Vec<_> =
            (0..=lanes().len()).map(|lane| open(&mut stranger, id, connection, lane)).collect();
        soon(async {
            while !matches!(stranger.select_next_some().await, SwarmEvent::ConnectionClosed { .. }) {}
        })
        .await;
        for answer in answers {
            let opened = soon(async {
                tokio::select! {
                    answer = answer => answer,
                    _ = async { loop { stranger.select_next_some().await; } } => unreachable!(),
                }
            })
            .await;
            assert!(!matches!(opened, Ok(Ok(_))), "a stranger opened a stream");
        }
    }
    until(|| network.statistics().denied_connections == 1).await;
    assert!(network.connected().is_empty());
    assert!(receivers.iter_mut().all(|receiver| receiver.try_recv().is_none()));
    let peer = &network.statistics().peers[0];
    assert!(peer.lanes.iter().all(|lane| lane.streams_accepted == 0) && peer.connections == 0);
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_with_another_key_at_its_address_is_refused() {
    let (mut stranger, _) = bare(9);
    stranger.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    let address = soon(async {
        loop {
            if let SwarmEvent::NewListenAddr { address, .. } = stranger.select_next_some().await {
                return socket_address(&address).unwrap().to_string();
            }
        }
    })
    .await;
    let task = tokio::spawn(async move {
        loop {
            stranger.select_next_some().await;
        }
    });
    let (network, _receivers) = node(&address).await;
    until(|| network.statistics().peers[0].wrong_keys >= 2).await;
    assert!(network.connected().is_empty());
    assert_eq!(network.statistics().peers[0].connections, 0);
    task.abort();
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversize_frame_ends_its_stream_and_nothing_else() {
    let (network, mut receivers) = node(&nowhere().await).await;
    let (mut streams, task) = rogue(&network, &[0, 1]).await;
    let [vote, fetch] = &mut streams[..] else { panic!("two streams") };
    vote.write_all(&101_u32.to_be_bytes()).await.unwrap();
    vote.flush().await.unwrap();
    assert!(is_ended(vote).await);
    assert_eq!(network.statistics().peers[0].lanes[0].oversize_in, 1);
    send(fetch, &[5; 100]).await;
    assert_eq!(soon(receivers[1].recv()).await, Some((1, Bytes::from(vec![5; 100]))));
    assert!(receivers[0].try_recv().is_none());
    task.abort();
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_stream_on_a_lane_replaces_the_first() {
    let (network, mut receivers) = node(&nowhere().await).await;
    let (mut streams, task) = rogue(&network, &[0, 0, 0]).await;
    until(|| network.statistics().peers[0].lanes[0].streams_accepted == 3).await;
    let mut alive = 0;
    for stream in &mut streams {
        // Which of the three was accepted last is the network's secret; exactly one stays.
        if timeout(Duration::from_millis(300), stream.read(&mut [0])).await.is_err() {
            alive += 1;
            send(stream, b"the last").await;
        }
    }
    assert_eq!(alive, 1);
    assert_eq!(soon(receivers[0].recv()).await, Some((1, Bytes::from_static(b"the last"))));
    task.abort();
    network.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_connection_of_a_peer_is_refused() {
    let (network, _receivers) = node(&nowhere().await).await;
    let mut tasks = tokio::task::JoinSet::new();
    // The node has the lower index and closes older connections at once, so hold many dials against it.
    for _ in 0..6 {
        let (mut swarm, id) = bare(2);
        let address = multiaddress(network.listen_address());
        swarm.dial(DialOpts::peer_id(id).addresses(vec![address]).allocate_new_port().build()).unwrap();
        tasks.spawn(async move {
            loop {
                swarm.select_next_some().await;
            }
        });
    }
    until(|| {
        let peer = &network.statistics().peers[0];
        peer.connections + peer.denied_connections + network.statistics().denied_connections >= 6
    })
    .await;
    // The newest of those accepted is used and stays.
    let mut watch = network.connections_watch();
    soon(watch.wait_for(|connected| connected == &[1])).await.unwrap();
    tasks.abort_all();
    network.stop().await;
}
