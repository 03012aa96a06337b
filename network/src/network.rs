//! The handle: start, send, block, look, stop. Cheap to clone; nothing here waits except `start` and `stop`.
//!
//! When the last handle is dropped the network stops as if `stop` had been called.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use futures::StreamExt;
use libp2p::Swarm;
use libp2p::swarm::SwarmEvent;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant, timeout};

use crate::config::{self, NetworkConfig, Peer};
use crate::driver::Driver;
use crate::error::{NetworkError, SendError};
use crate::identity;
use crate::inbound::{InboundLane, LaneReceiver};
use crate::limits::START_TIMEOUT;
use crate::link::Link;
use crate::statistics::{Counter, NetworkStatistics};
use crate::swarm::{self, Behaviour};

/// A running network.
#[derive(Debug, Clone)]
pub struct Network {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    own_key: [u8; 32],
    listen_address: SocketAddr,
    stop: watch::Sender<bool>,
    driver: Mutex<Option<JoinHandle<()>>>,
}

/// What the handle and the driver share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) own: u16,
    /// Moment zero of all ages.
    pub(crate) start: Instant,
    /// The configuration's lanes.
    pub(crate) inbound: Vec<Arc<InboundLane>>,
    pub(crate) connected: watch::Sender<Vec<u16>>,
    /// Something wanted has changed.
    pub(crate) wake: Notify,
    pub(crate) denied_connections: Counter,
    pub(crate) broken_handshakes: Counter,
    links: RwLock<BTreeMap<u16, Arc<Link>>>,
    wanted: Mutex<Option<BTreeMap<u16, Peer>>>,
}

impl Network {
    /// Starts listening and dialing on `runtime` (with its timer and I/O enabled). The receivers are in the
    /// order of the configuration's lanes.
    ///
    /// # Errors
    /// A configuration that breaks the rules of [`NetworkConfig`], or an address that cannot be listened
    /// on.
    pub async fn start(
        config: NetworkConfig,
        runtime: Handle,
    ) -> Result<(Self, Vec<LaneReceiver>), NetworkError> {
        runtime.spawn(Self::start_inside(config)).await.map_err(|_| NetworkError::RuntimeEnded)?
    }

    async fn start_inside(config: NetworkConfig) -> Result<(Self, Vec<LaneReceiver>), NetworkError> {
        config.validate()?;
        let keypair = identity::keypair(&config.secret)?;
        let own_key = identity::network_key(&keypair)?;
        let registry = config::registry(config.own, &own_key, &config.peers)?;
        let inbound: Vec<_> = config.lanes.iter().map(|_| Arc::new(InboundLane::default())).collect();
        let mut lanes = config.lanes;
        lanes.push(swarm::keep_alive_lane());
        let mut swarm = swarm::build(keypair, &config.network, &lanes)?;
        let listened = listen(&mut swarm, &config.listen).await;
        let listen_address =
            listened.map_err(|source| NetworkError::Listen { address: config.listen, source })?;
        let shared = Arc::new(Shared {
            own: config.own,
            start: Instant::now(),
            inbound,
            connected: watch::Sender::new(Vec::new()),
            wake: Notify::new(),
            denied_connections: Counter::default(),
            broken_handshakes: Counter::default(),
            links: RwLock::default(),
            wanted: Mutex::default(),
        });
        let receivers = shared.inbound.iter().cloned().map(LaneReceiver::new).collect();
        let stop = watch::Sender::new(false);
        let driver = Driver::new(swarm, shared.clone(), lanes, registry);
        let driver = Mutex::new(Some(tokio::spawn(driver.run(stop.subscribe()))));
        let inner = Inner { shared, own_key, listen_address, stop, driver };
        Ok((Self { inner: Arc::new(inner) }, receivers))
    }

    /// Queues a frame for a peer; never waits. Taken frames go out in order and arrive at most once; they are
    /// lost if the link breaks.
    ///
    /// # Errors
    /// [`SendError`] says why it was not taken.
    pub fn try_send(&self, peer: u16, lane: usize, frame: Bytes) -> Result<(), SendError> {
        let shared = &self.inner.shared;
        if lane >= shared.inbound.len() {
            return Err(SendError::UnknownLane);
        }
        let links = shared.links.read().unwrap_or_else(PoisonError::into_inner);
        let link = links.get(&peer).ok_or(SendError::UnknownPeer)?;
        let lane = link.lanes.get(lane).ok_or(SendError::UnknownLane)?;
        link.send(lane, frame)
    }

    /// Disconnects a peer and refuses it for `duration` (at most [`crate::limits::BLOCK_MAX`]) of our own
    /// monotonic clock. What it has sent and nobody took yet is dropped. Unknown peers are ignored.
    pub fn block(&self, peer: u16, duration: Duration) {
        let links = self.inner.shared.links.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = links.get(&peer) {
            link.block(duration);
            for inbound in &self.inner.shared.inbound {
                inbound.forget(peer);
            }
            self.inner.shared.wake.notify_one();
        }
    }

    /// Replaces the registry. Peers whose index and key stay keep their links; the change is made soon after.
    ///
    /// # Errors
    /// A registry that breaks the rules changes nothing.
    pub fn update_peers(&self, peers: Vec<Peer>) -> Result<(), NetworkError> {
        let registry = config::registry(self.inner.shared.own, &self.inner.own_key, &peers)?;
        *self.inner.shared.wanted() = Some(registry);
        self.inner.shared.wake.notify_one();
        Ok(())
    }

    /// The peers that frames can be sent to now, ascending.
    pub fn connected(&self) -> Vec<u16> {
        self.inner.shared.connected.borrow().clone()
    }

    /// The same as a value to wait on.
    pub fn connections_watch(&self) -> watch::Receiver<Vec<u16>> {
        self.inner.shared.connected.subscribe()
    }

    /// Where we listen: the configured host, and the port that was really taken.
    pub fn listen_address(&self) -> SocketAddr {
        self.inner.listen_address
    }

    /// All counters.
    pub fn statistics(&self) -> NetworkStatistics {
        let shared = &self.inner.shared;
        let links = shared.links.read().unwrap_or_else(PoisonError::into_inner);
        NetworkStatistics {
            denied_connections: shared.denied_connections.get(),
            broken_handshakes: shared.broken_handshakes.get(),
            peers: links.values().map(|link| link.statistics(&shared.inbound)).collect(),
        }
    }

    /// Closes every connection and ends every task. Receivers get what arrived before and then `None`.
    pub async fn stop(&self) {
        self.inner.stop.send_replace(true);
        let driver = self.inner.driver.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(driver) = driver {
            drop(driver.await);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

impl Shared {
    pub(crate) fn set_links(&self, links: BTreeMap<u16, Arc<Link>>) {
        *self.links.write().unwrap_or_else(PoisonError::into_inner) = links;
    }

    /// The registry to change to, once.
    pub(crate) fn take_wanted(&self) -> Option<BTreeMap<u16, Peer>> {
        self.wanted().take()
    }

    fn wanted(&self) -> MutexGuard<'_, Option<BTreeMap<u16, Peer>>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens and returns the address that was taken.
async fn listen(swarm: &mut Swarm<Behaviour>, address: &str) -> io::Result<SocketAddr> {
    let wanted = swarm::resolve(address).await?.into_iter().next().ok_or(io::ErrorKind::NotFound)?;
    // libp2p listens with SO_REUSEPORT and so would share a port that another process has. A plain bind
    // does not.
    drop(tokio::net::TcpListener::bind(wanted).await?);
    swarm.listen_on(swarm::multiaddress(wanted)).map_err(io::Error::other)?;
    let listening = async {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::NewListenAddr { address, .. } => {
                    return swarm::socket_address(&address)
                        .map(|taken| SocketAddr::new(wanted.ip(), taken.port()))
                        .ok_or_else(|| io::ErrorKind::AddrNotAvailable.into());
                }
                SwarmEvent::ListenerError { error, .. } => return Err(error),
                SwarmEvent::ListenerClosed { reason: Err(error), .. } => return Err(error),
                _ => {}
            }
        }
    };
    timeout(START_TIMEOUT, listening).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
