//! How long a consensus frame takes while bulk flows on the same link, and how soon a dead line is noticed.
//!
//! Two networks in this process, on loopback: every 5 ms a 200-byte frame goes out on a consensus lane and
//! is sent back; meanwhile frames of 1 MiB flow on a bulk lane in the ping's direction. Three rounds: idle;
//! 200 MB as fast as loopback takes them; bulk for 10 s through a relay that lets 100 Mbit/s pass (the
//! bottleneck of a real line, where a deep queue would show). Then the relay stops passing anything,
//! without closing: both sides should notice within ten seconds.
//!
//! `cargo run -p network --example measure_links`

use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use network::{Lane, LaneReceiver, Network, NetworkConfig, NetworkSecret, Peer, Priority, SendError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;

const PING_INTERVAL: Duration = Duration::from_millis(5);
const BULK_FRAME_BYTES: usize = 1 << 20;
const BULK_BYTES: u64 = 200_000_000;
const SLOW_BYTES_PER_SECOND: u64 = 100_000_000 / 8;
const SLEEP_EXCESS_MAX: Duration = Duration::from_millis(5);
const ROUND_MAX: Duration = Duration::from_secs(10);
type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Pair {
    sender: Network,
    echoes: LaneReceiver,
    receiver: Network,
    /// Set, the relay passes nothing any more.
    frozen: watch::Sender<bool>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let _watchdog = std::thread::spawn(|| {
        std::thread::sleep(Duration::from_secs(90));
        std::process::exit(2);
    });
    println!("round                 pings  p50 ms  p99 ms  max ms  bulk MB/s");
    run("idle", pair(None).await?, None).await?;
    run("200 MB on loopback", pair(None).await?, Some(BULK_BYTES)).await?;
    run("100 Mbit/s, 10 s", pair(Some(SLOW_BYTES_PER_SECOND)).await?, Some(u64::MAX)).await?;
    notice(pair(Some(SLOW_BYTES_PER_SECOND)).await?).await
}

/// Freezes the line and waits for both sides to see it.
async fn notice(pair: Pair) -> Result<(), Failure> {
    pair.frozen.send_replace(true);
    let start = Instant::now();
    for network in [&pair.sender, &pair.receiver] {
        network.connections_watch().wait_for(|connected| connected.is_empty()).await?;
        println!("dead line noticed after {:.1} s", start.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Pings until the bulk is through, or for the round's time.
async fn run(name: &str, mut pair: Pair, bulk_bytes: Option<u64>) -> Result<(), Failure> {
    let start = Instant::now();
    let bulk = bulk_bytes.map(|bytes| tokio::spawn(send_bulk(pair.sender.clone(), bytes)));
    let limit = if bulk.is_some() { ROUND_MAX } else { Duration::from_secs(3) };
    let mut times = Histogram::<u64>::new(3)?;
    let mut ticks = tokio::time::interval(PING_INTERVAL);
    let (mut answered, mut lost) = (0_u64, 0_u64);
    while start.elapsed() < limit && bulk.as_ref().is_none_or(|bulk| !bulk.is_finished()) {
        ticks.tick().await;
        let sent = Instant::now();
        pair.sender.try_send(1, 0, Bytes::from(vec![0; 200]))?;
        match tokio::time::timeout(Duration::from_secs(5), pair.echoes.recv()).await {
            Ok(Some(_)) => {
                answered += 1;
                times.record(sent.elapsed().as_micros() as u64)?;
            }
            Ok(None) | Err(_) => lost += 1,
        }
    }
    let received = pair.receiver.statistics().peers[0].lanes[1].bytes_in;
    let megabytes_per_second = received as f64 / 1e6 / start.elapsed().as_secs_f64();
    let ms = |quantile| times.value_at_quantile(quantile) as f64 / 1e3;
    println!(
        "{name:20} {answered:6}  {:6.2}  {:6.2}  {:6.2}  {megabytes_per_second:9.1}",
        ms(0.5),
        ms(0.99),
        times.max() as f64 / 1e3
    );
    if lost > 0 {
        println!("{lost} pings lost");
    }
    if let Some(bulk) = bulk {
        bulk.abort();
    }
    pair.sender.stop().await;
    pair.receiver.stop().await;
    Ok(())
}

async fn send_bulk(network: Network, bytes: u64) -> Result<(), SendError> {
    let frame = Bytes::from(vec![7; BULK_FRAME_BYTES]);
    let mut sent = 0;
    while sent < bytes {
        match network.try_send(1, 1, frame.clone()) {
            Ok(()) => sent += BULK_FRAME_BYTES as u64,
            Err(SendError::Full) => tokio::time::sleep(Duration::from_millis(1)).await,
            Err(error) => return Err(error),
        }
    }
    while network.statistics().peers[0].lanes[1].bytes_out < bytes {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// Two connected networks, the first of which dials, through a relay if a rate is given. The second sends
/// every frame of the ping lane back.
async fn pair(bytes_per_second: Option<u64>) -> Result<Pair, Failure> {
    let (sender, mut sender_lanes) = start(0).await?;
    let (receiver, mut receiver_lanes) = start(1).await?;
    let frozen = watch::Sender::new(false);
    let mut address = receiver.listen_address().to_string();
    if let Some(rate) = bytes_per_second {
        let relay = TcpListener::bind("127.0.0.1:0").await?;
        let target = std::mem::replace(&mut address, relay.local_addr()?.to_string());
        tokio::spawn(relay_all(relay, target, rate, frozen.subscribe()));
    }
    sender.update_peers(vec![peer(1, address)?])?;
    receiver.update_peers(vec![peer(0, sender.listen_address().to_string())?])?;
    sender.connections_watch().wait_for(|connected| !connected.is_empty()).await?;
    receiver.connections_watch().wait_for(|connected| !connected.is_empty()).await?;
    let mut bulk = receiver_lanes.remove(1);
    let mut pings = receiver_lanes.remove(0);
    let answering = receiver.clone();
    tokio::spawn(async move {
        while let Some((from, frame)) = pings.recv().await {
            let _ = answering.try_send(from, 0, frame);
        }
    });
    tokio::spawn(async move { while bulk.recv().await.is_some() {} });
    Ok(Pair { sender, echoes: sender_lanes.remove(0), receiver, frozen })
}

async fn start(index: u16) -> Result<(Network, Vec<LaneReceiver>), Failure> {
    let lane = |name: &str, frame_bytes_max, priority| Lane {
        name: name.into(),
        frame_bytes_max,
        outbound_frames_max: 16,
        outbound_bytes_max: 16 * frame_bytes_max,
        inbound_frames_max: 16,
        priority,
    };
    let lanes = vec![lane("ping", 4096, Priority::Consensus), lane("bulk", BULK_FRAME_BYTES, Priority::Bulk)];
    let config = NetworkConfig {
        secret: secret(index),
        listen: "127.0.0.1:0".into(),
        network: [0; 32],
        own: index,
        peers: vec![],
        lanes,
    };
    Ok(Network::start(config, Handle::current()).await?)
}

fn secret(index: u16) -> NetworkSecret {
    NetworkSecret::new([index as u8 + 1; 32])
}

fn peer(index: u16, address: String) -> Result<Peer, Failure> {
    Ok(Peer { index, network_key: secret(index).network_key()?, address })
}

/// Relays every connection, each direction at the given rate.
async fn relay_all(
    relay: TcpListener,
    target: String,
    bytes_per_second: u64,
    frozen: watch::Receiver<bool>,
) -> Result<(), Failure> {
    loop {
        let (near, _) = relay.accept().await?;
        let far = TcpStream::connect(&target).await?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        let (near_read, near_write) = near.into_split();
        let (far_read, far_write) = far.into_split();
        tokio::spawn(pass(near_read, far_write, bytes_per_second, frozen.clone()));
        tokio::spawn(pass(far_read, near_write, bytes_per_second, frozen.clone()));
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    bytes_per_second: u64,
    mut frozen: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let mut buffer = vec![0; 16 * 1024];
    let mut free = tokio::time::Instant::now();
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        frozen.wait_for(|frozen| !frozen).await?;
        // The line is busy for as long as these bytes take; idle time is not saved up, but the time by which a
        // sleep was too long is.
        let busy = Duration::from_nanos(count as u64 * 1_000_000_000 / bytes_per_second);
        free = free.max(tokio::time::Instant::now() - SLEEP_EXCESS_MAX) + busy;
        tokio::time::sleep_until(free).await;
        to.write_all(&buffer[..count]).await?;
    }
}
