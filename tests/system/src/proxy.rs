//! [`Proxies`]: the links between banks' nodes, in the harness's hands: what one node sends to another can be held back or delayed,
//! each direction of each pair for itself, without privileges.
//!
//! Every node listens at an address of its own, and a proxy at the one that the registry names. Who dials is known by the process that owns
//! the other end of the connection (`/proc`), so links stay what they are when nodes are restarted or dial in either direction.
//!
//! A cut link loses nothing that TCP would deliver in the end: bytes are held and go on when it is healed, as after a partition in which
//! packets were lost and sent again. The nodes' own timeouts close connections meanwhile; new ones are taken and lead nowhere until both
//! directions are open, as when the handshake's packets are lost.

#![allow(clippy::unwrap_used, reason = "a harness fails loudly")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Bytes that are read at a time, and how many such pieces of one direction wait in the proxy. What does not fit waits in the sockets.
const PIECE_BYTES: usize = 16 << 10;
const PIECES_MAX: usize = 256;

/// What becomes of what one node sends to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Passage {
    /// It passes.
    #[default]
    Open,
    /// It passes so much later.
    Delayed(Duration),
    /// It is held back.
    Cut,
}

/// Where the proxy of one node listens, and where the node does.
#[derive(Debug, Clone)]
pub struct Door {
    /// The address in the registry.
    pub public: String,
    /// The node's own.
    pub own: String,
}

/// Passages by sender and receiver; those that are not named are open.
type Passages = BTreeMap<(usize, usize), Passage>;

/// The proxies of all nodes, until they are dropped.
pub struct Proxies {
    passages: watch::Sender<Passages>,
    nodes: usize,
    _tasks: JoinSet<()>,
}

impl Proxies {
    /// Listens for every node. `directory` is the cluster's: its nodes are told from other processes by it.
    ///
    /// # Panics
    /// When an address is taken: this is a test.
    pub async fn start(directory: &Path, doors: Vec<Door>) -> Self {
        let (passages, _) = watch::channel(Passages::new());
        let (mut tasks, nodes) = (JoinSet::new(), doors.len());
        for (node, door) in doors.into_iter().enumerate() {
            let listener = TcpListener::bind(&door.public).await.unwrap();
            let (directory, passages) = (directory.to_owned(), passages.subscribe());
            tasks.spawn(serve(listener, door.own, node, Dialers { directory, nodes }, passages));
        }
        Self { passages, nodes, _tasks: tasks }
    }

    /// Sets what becomes of what `from` sends to `to`.
    pub fn set(&self, from: usize, to: usize, passage: Passage) {
        self.passages.send_modify(|passages| {
            passages.insert((from, to), passage);
        });
    }

    /// Cuts every link between these nodes and the others, both directions.
    pub fn part(&self, some: &[usize]) {
        for from in 0..self.nodes {
            for to in (0..self.nodes).filter(|to| some.contains(&from) != some.contains(to)) {
                self.set(from, to, Passage::Cut);
            }
        }
    }

    /// Opens everything.
    pub fn heal(&self) {
        self.passages.send_modify(Passages::clear);
    }
}

/// Takes connections to one node.
async fn serve(
    listener: TcpListener,
    own: String,
    node: usize,
    dialers: Dialers,
    passages: watch::Receiver<Passages>,
) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (own, dialers, passages) = (own.clone(), dialers.clone(), passages.clone());
        connections.spawn(async move {
            let looked = tokio::task::spawn_blocking(move || (dialers.find(&stream), stream)).await;
            // A process that is gone, or a stranger: the connection is closed.
            let Ok((Some(dialer), stream)) = looked else { return };
            let (there, back) = (Link::new(dialer, node, &passages), Link::new(node, dialer, &passages));
            join(stream, &own, there, back).await;
        });
    }
}

/// Leads a connection to a node once both directions are open, and passes on what comes until one side is gone.
async fn join(stream: TcpStream, own: &str, mut there: Link, mut back: Link) {
    there.opened().await;
    back.opened().await;
    let Ok(upstream) = TcpStream::connect(own).await else { return };
    let _no_delay = (stream.set_nodelay(true), upstream.set_nodelay(true));
    let ((from_dialer, to_dialer), (from_node, to_node)) = (stream.into_split(), upstream.into_split());
    tokio::join!(there.pass(from_dialer, to_node), back.pass(from_node, to_dialer));
}

/// One direction of a connection.
struct Link {
    from: usize,
    to: usize,
    passages: watch::Receiver<Passages>,
}

impl Link {
    fn new(from: usize, to: usize, passages: &watch::Receiver<Passages>) -> Self {
        Self { from, to, passages: passages.clone() }
    }

    fn passage(&self) -> Passage {
        self.passages.borrow().get(&(self.from, self.to)).copied().unwrap_or_default()
    }

    /// Waits until it is not cut, or for ever once nobody can open it any more.
    async fn opened(&mut self) {
        while self.passage() == Passage::Cut {
            if self.passages.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Passes bytes on until the sender ends or the receiver is gone. The end is held back as bytes are.
    async fn pass(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let (pieces, mut queue) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES_MAX);
        let read = async move {
            let mut buffer = vec![0; PIECE_BYTES];
            while let Ok(count @ 1..) = from.read(&mut buffer).await {
                let piece = buffer.get(..count).unwrap_or_default().to_vec();
                if pieces.send((Instant::now(), piece)).await.is_err() {
                    return;
                }
            }
        };
        let write = async move {
            while let Some((came, piece)) = queue.recv().await {
                self.opened().await;
                if let Passage::Delayed(delay) = self.passage() {
                    tokio::time::sleep_until(came + delay).await;
                }
                if to.write_all(&piece).await.is_err() {
                    return;
                }
            }
            self.opened().await;
            let _already_gone = to.shutdown().await;
        };
        tokio::join!(read, write);
    }
}

/// Finds which node has dialed.
#[derive(Clone)]
struct Dialers {
    directory: PathBuf,
    nodes: usize,
}

impl Dialers {
    /// The node whose process owns the other end of a connection.
    fn find(&self, stream: &TcpStream) -> Option<usize> {
        let (dialer, own) = (stream.peer_addr().ok()?.port(), stream.local_addr().ok()?.port());
        let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
        let inode = inode(&table, dialer, own)?;
        let socket = PathBuf::from(format!("socket:[{inode}]"));
        (0..self.nodes).find(|node| self.processes(*node).iter().any(|process| holds(process, &socket)))
    }

    /// The processes that run a node: those whose command line names its configuration.
    fn processes(&self, node: usize) -> Vec<PathBuf> {
        let config = self.directory.join(format!("bank-{node}/node.toml"));
        let config = config.to_str().unwrap().as_bytes().to_vec();
        let is_node = |process: &PathBuf| {
            let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|argument| argument == config)
        };
        let all = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        all.filter(is_node).collect()
    }
}

/// The inode of a connection between two ports of this machine, seen from the first, in Linux's table of connections.
fn inode(table: &str, from: u16, to: u16) -> Option<&str> {
    let port = |address: &str| u16::from_str_radix(address.rsplit(':').next()?, 16).ok();
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, local, remote, _, _, _, _, _, _, inode, ..] = fields[..] else { return None };
        (port(local)? == from && port(remote)? == to).then_some(inode)
    })
}

fn holds(process: &Path, socket: &Path) -> bool {
    let Ok(files) = std::fs::read_dir(process.join("fd")) else { return false };
    files.flatten().any(|file| std::fs::read_link(file.path()).is_ok_and(|target| target == *socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_found_in_the_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:2710 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 111 1 0 100 0 0 10 0\n\
            1: 0100007F:C350 0100007F:2710 01 00000000:00000000 00:00000000 00000000 0 0 222 1 0 100 0 0 10 0\n\
            2: 0100007F:2710 0100007F:C350 01 00000000:00000000 00:00000000 00000000 0 0 333 1 0 100 0 0 10 0\n";
        assert_eq!(inode(table, 50_000, 10_000), Some("222"));
        assert_eq!(inode(table, 10_000, 50_000), Some("333"));
        assert_eq!(inode(table, 10_001, 50_000), None);
    }

    /// A pair of ends of one direction.
    async fn ends(passages: &watch::Receiver<Passages>) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let out = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sender = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (inner, _) = listener.accept().await.unwrap();
        let own = out.local_addr().unwrap().to_string();
        let (there, back) = (Link::new(0, 1, passages), Link::new(1, 0, passages));
        tokio::spawn(async move { join(inner, &own, there, back).await });
        let (receiver, _) = out.accept().await.unwrap();
        (sender, receiver)
    }

    #[tokio::test]
    async fn what_is_cut_is_held_in_one_direction_and_comes_when_healed() {
        let (sender, passages) = watch::channel(Passages::new());
        let (mut zero, mut one) = ends(&passages).await;
        let mut byte = [0; 1];
        zero.write_all(b"a").await.unwrap();
        one.read_exact(&mut byte).await.unwrap();
        sender.send_modify(|passages| {
            passages.insert((0, 1), Passage::Cut);
        });
        zero.write_all(b"b").await.unwrap();
        one.write_all(b"c").await.unwrap();
        zero.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"c", "the other direction passes");
        let held = tokio::time::timeout(Duration::from_millis(200), one.read_exact(&mut byte)).await;
        assert!(held.is_err(), "held back");
        sender.send_modify(|passages| {
            passages.insert((0, 1), Passage::Delayed(Duration::from_millis(100)));
        });
        one.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"b", "nothing is lost");
        let sent = Instant::now();
        zero.write_all(b"d").await.unwrap();
        one.read_exact(&mut byte).await.unwrap();
        assert!(sent.elapsed() >= Duration::from_millis(99), "delayed");
    }
}
