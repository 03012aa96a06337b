//! Frames arrive, in order, on every lane, and no peer stands in another's way.

use bytes::Bytes;
use network::{Lane, Priority, SendError};

use crate::{Node, cluster, lane, lanes, stop, until};

const FRAMES: u32 = 60;

/// Number, sender and lane, in a frame whose length goes from the smallest to the largest.
fn frame(number: u32, sender: u16, lane: usize, bytes_max: usize) -> Bytes {
    let head = 7;
    let padding = (bytes_max - head) * number as usize / (FRAMES as usize - 1);
    let mut bytes = Vec::with_capacity(head + padding);
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes.extend_from_slice(&sender.to_be_bytes());
    bytes.push(lane as u8);
    bytes.resize(head + padding, number as u8);
    bytes.into()
}

/// Everyone sends to everyone on every lane and receives everything in order.
async fn exchange(count: u16) {
    let lanes = lanes();
    let mut nodes = cluster(count, lanes.clone()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for node in &mut nodes {
        for (number, receiver) in node.receivers.drain(..).enumerate() {
            let (own, lanes) = (node.index, lanes.clone());
            tasks.spawn(receive(own, count, number, receiver, lanes[number].frame_bytes_max));
        }
    }
    for node in &nodes {
        let network = node.network.clone();
        let sender = Node { index: node.index, network, receivers: vec![] };
        let lanes = lanes.clone();
        tasks.spawn(async move {
            for number in 0..FRAMES {
                for peer in (0..count).filter(|peer| *peer != sender.index) {
                    for (place, lane) in lanes.iter().enumerate() {
                        let frame = frame(number, sender.index, place, lane.frame_bytes_max / 10);
                        sender.send(peer, place, frame).await;
                    }
                }
            }
        });
    }
    crate::soon(async {
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
    })
    .await;
    for node in &nodes {
        for peer in node.network.statistics().peers {
            assert!(peer.lanes.iter().all(|lane| lane.frames_in == u64::from(FRAMES)), "{peer:?}");
            assert!(peer.lanes.iter().all(|lane| lane.dropped_out == 0), "{peer:?}");
        }
    }
    stop(nodes).await;
}

async fn receive(own: u16, count: u16, lane: usize, mut receiver: network::LaneReceiver, bytes_max: usize) {
    let mut next = vec![0; usize::from(count)];
    for _ in 0..FRAMES * u32::from(count - 1) {
        let (sender, received) = receiver.recv().await.unwrap();
        assert_ne!(sender, own);
        let number = &mut next[usize::from(sender)];
        assert_eq!(received, frame(*number, sender, lane, bytes_max / 10));
        *number += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_peers_exchange_in_order_on_every_lane() {
    exchange(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_peers_exchange_in_order_on_every_lane() {
    exchange(4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flooding_peer_fills_only_its_own_queue() {
    let narrow = Lane { inbound_frames_max: 4, ..lane("vote", Priority::Consensus) };
    let mut nodes = cluster(3, vec![narrow]).await;
    // Node 1 sends until nothing more is taken anywhere: queue, stream and inbound queue are full.
    let flood = Bytes::from(vec![0; 100_000]);
    let inbound = |nodes: &[Node], peer: u16| {
        let statistics = nodes[0].network.statistics();
        statistics.peers.iter().find(|entry| entry.peer == peer).unwrap().lanes[0].inbound_frames
    };
    until(|| {
        let full = nodes[1].network.try_send(0, 0, flood.clone()) == Err(SendError::Full);
        full && inbound(&nodes, 1) == 4
    })
    .await;
    for number in 0..4 {
        nodes[2].send(0, 0, Bytes::from(vec![number])).await;
    }
    until(|| inbound(&nodes, 2) == 4).await;
    let mut quiet = Vec::new();
    for _ in 0..8 {
        let (peer, frame) = nodes[0].recv(0).await;
        if peer == 2 {
            quiet.push(frame[0]);
        }
    }
    assert_eq!(quiet, [0, 1, 2, 3], "frames of the quiet peer within eight turns");
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_lane_says_so_at_once_and_takes_again_later() {
    let narrow = Lane { inbound_frames_max: 1, outbound_frames_max: 2, ..lane("batch", Priority::Bulk) };
    let mut nodes = cluster(2, vec![narrow]).await;
    let frame = Bytes::from(vec![0; 200_000]);
    // Nobody receives: one frame inbound, at most a stream's window and its buffers on the way, two waiting.
    let mut taken = 0_u64;
    let mut last = Ok(());
    until_full(&nodes[0], &frame, &mut taken, &mut last).await;
    assert_eq!(last, Err(SendError::Full));
    assert!((3..32).contains(&taken), "{taken}");
    let lane = nodes[0].network.statistics().peers[0].lanes[0].clone();
    assert!(lane.refused_out >= 1 && lane.queued_frames == 2, "{lane:?}");
    for _ in 0..taken {
        assert_eq!(nodes[1].recv(0).await, (0, frame.clone()));
    }
    nodes[0].send(1, 0, Bytes::from_static(b"again")).await;
    assert_eq!(nodes[1].recv(0).await.1, "again");
    stop(nodes).await;
}

/// Sends until the lane has been full for a while.
async fn until_full(node: &Node, frame: &Bytes, taken: &mut u64, last: &mut Result<(), SendError>) {
    let mut refused = 0;
    while refused < 40 {
        *last = node.network.try_send(1, 0, frame.clone());
        match last {
            Ok(()) => (*taken, refused) = (*taken + 1, 0),
            Err(_) => refused += 1,
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_sent_is_told_apart() {
    let nodes = cluster(2, lanes()).await;
    let network = &nodes[0].network;
    let frame = Bytes::from(vec![0; 200_001]);
    assert_eq!(network.try_send(1, 0, frame), Err(SendError::Oversize));
    assert_eq!(network.try_send(1, 3, Bytes::new()), Err(SendError::UnknownLane));
    assert_eq!(network.try_send(9, 0, Bytes::new()), Err(SendError::UnknownPeer));
    assert_eq!(network.try_send(0, 0, Bytes::new()), Err(SendError::UnknownPeer));
    network.update_peers(vec![]).unwrap();
    nodes[0].connected(&[]).await;
    nodes[1].connected(&[]).await;
    assert_eq!(network.try_send(1, 0, Bytes::new()), Err(SendError::UnknownPeer));
    assert_eq!(nodes[1].network.try_send(0, 0, Bytes::new()), Err(SendError::Disconnected));
    stop(nodes).await;
}
