//! Waiting until all nodes serve and see each other. Bounded in time; whoever fails is named with the end of its log.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Child;
use std::time::{Duration, Instant};

use api::{Client, ClientConfig, NetworkView, NotReady, Ready};
use ledger::values::{ChainId, quorum};
use tokio::runtime::Runtime;

use super::layout::{BankEntry, Layout};
use super::process::tail;
use crate::failure::{Answer, Failure};
use crate::progress::Progress;

/// Bound of one question to a node.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause between two rounds of questions.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Lines of a log that are shown.
const LOG_LINES: usize = 20;

/// What a node says about itself.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Whether and why it serves.
    pub ready: Ready,
    /// Whom it sees.
    pub network: NetworkView,
}

impl Seen {
    /// Nodes that it is connected to, itself included.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.network.nodes.iter().filter(|node| node.is_connected).count()
    }
}

/// The chains that fewer nodes host than a quorum of all.
fn unborn(seen: &[Option<Seen>]) -> BTreeSet<u32> {
    let mut hosts: BTreeMap<u32, usize> = BTreeMap::new();
    for ready in seen.iter().flatten().flat_map(|seen| &seen.ready.chains) {
        let runs = ready.reason != Some(NotReady::WaitingForOrigin);
        *hosts.entry(ready.chain).or_default() += usize::from(runs);
    }
    hosts.into_iter().filter(|(_, count)| *count < quorum(seen.len())).map(|(chain, _)| chain).collect()
}

/// Whether a node serves, but for these chains.
fn serves_but(ready: &Ready, unborn: &BTreeSet<u32>) -> bool {
    let mut awaited = ready.chains.iter().filter(|chain| !unborn.contains(&chain.chain)).peekable();
    awaited.peek().is_some() && awaited.all(|chain| chain.is_ready)
}

/// Asks the nodes of a localnet.
pub struct Watch {
    runtime: Runtime,
    clients: Vec<Client>,
}

impl Watch {
    /// A watch over these banks. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn new(banks: &[BankEntry]) -> Answer<Self> {
        let client = |bank: &BankEntry| {
            let mut config = ClientConfig::new(&bank.url());
            config.timeout = QUESTION_TIMEOUT;
            Client::new(&config)
        };
        let clients = banks.iter().map(client).collect::<Result<_, _>>()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self { runtime: runtime.map_err(|fault| Failure::unreachable("runtime", fault))?, clients })
    }

    /// What a node says now; `None` when it does not answer.
    #[must_use]
    pub fn look(&self, bank: usize) -> Option<Seen> {
        let client = self.clients.get(bank)?;
        self.runtime.block_on(async {
            let ready = client.ready().await.ok()?;
            let network = client.network().await.ok()?;
            Some(Seen { ready, network })
        })
    }

    /// Waits until every bank is ready and connected to every other. `children` are the processes started now, by bank. A chain that too
    /// few of them host yet to run is not waited for: a resharding that was interrupted leaves such, and goes on with what runs.
    ///
    /// # Errors
    /// [`Failure`] naming the bank that ended or is not ready in time.
    pub fn wait_ready(
        &self,
        layout: &Layout,
        banks: &[BankEntry],
        children: &mut [Option<Child>],
        timeout: Duration,
        progress: &Progress,
    ) -> Answer {
        let started = Instant::now();
        loop {
            for (bank, child) in banks.iter().zip(children.iter_mut()) {
                if let Some(child) = child
                    && let Ok(Some(status)) = child.try_wait()
                {
                    let message = format!("the node of {} ended: {status}", bank.name);
                    return Err(self.failed(layout, bank, "node_ended", &message));
                }
            }
            let seen: Vec<Option<Seen>> = (0..banks.len()).map(|number| self.look(number)).collect();
            let unborn = unborn(&seen);
            let (mut waiting, mut ready) = (None, 0);
            for (bank, seen) in banks.iter().zip(seen) {
                match &seen {
                    Some(seen) if serves_but(&seen.ready, &unborn) && seen.connected() == banks.len() => {
                        ready += 1;
                    }
                    _ => waiting = waiting.or(Some((bank, seen))),
                }
            }
            progress.set(ready);
            let Some((bank, seen)) = waiting else { return Ok(()) };
            if started.elapsed() > timeout {
                let what = match seen {
                    None => "does not answer".to_owned(),
                    Some(seen) => format!(
                        "is {} and sees {} of {} nodes",
                        if seen.ready.is_ready { "ready" } else { "not ready" },
                        seen.connected(),
                        banks.len()
                    ),
                };
                let message = format!("after {} s the node of {} {what}", timeout.as_secs(), bank.name);
                return Err(self.failed(layout, bank, "localnet_not_ready", &message));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Waits until a bank that was started now serves and votes on these chains again. Other chains of it may still wait for others.
    ///
    /// # Errors
    /// [`Failure`] when it ended or does not in time.
    pub fn wait_serving(
        &self,
        layout: &Layout,
        (number, bank): (usize, &BankEntry),
        child: &mut Child,
        chains: &[u32],
        timeout: Duration,
    ) -> Answer {
        let started = Instant::now();
        loop {
            if let Ok(Some(status)) = child.try_wait() {
                let message = format!("the node of {} ended: {status}", bank.name);
                return Err(self.failed(layout, bank, "node_ended", &message));
            }
            let seen = self.look(number).map(|seen| seen.ready.chains).unwrap_or_default();
            let serves = |chain: &u32| {
                seen.iter().any(|ready| ready.chain == *chain && ready.is_ready && ready.is_voting)
            };
            if chains.iter().all(serves) {
                return Ok(());
            }
            if started.elapsed() > timeout {
                let message =
                    format!("after {} s the node of {} does not serve again", timeout.as_secs(), bank.name);
                return Err(self.failed(layout, bank, "localnet_not_ready", &message));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Waits until a bank's node can show what a chain begins with that operators have added; gives that, not verified.
    ///
    /// # Errors
    /// [`Failure`] when it cannot in time.
    pub fn wait_origin(
        &self,
        layout: &Layout,
        (number, bank): (usize, &BankEntry),
        chain: ChainId,
        timeout: Duration,
    ) -> Answer<Vec<u8>> {
        let started = Instant::now();
        loop {
            let client = self.clients.get(number);
            if let Some(Ok(origin)) = client.map(|client| self.runtime.block_on(client.origin(chain))) {
                return Ok(origin);
            }
            if started.elapsed() > timeout {
                let (name, seconds) = (&bank.name, timeout.as_secs());
                let message = format!("after {seconds} s the node of {name} does not know of chain {chain}");
                return Err(self.failed(layout, bank, "localnet_not_ready", &message));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    fn failed(&self, layout: &Layout, bank: &BankEntry, code: &str, message: &str) -> Failure {
        let log = layout.log(&bank.name);
        let end = tail(&log, LOG_LINES);
        let end = if end.is_empty() { "(its log is empty)".to_owned() } else { end };
        Failure::unreachable(code, format_args!("{message}; the end of its log:\n{end}"))
            .mend(format!("read {}", log.display()))
    }
}

#[cfg(test)]
mod tests {
    use api::ChainReady;
    use ledger::values::GenesisHash;

    use super::*;

    fn seen(chains: &[(u32, bool)]) -> Option<Seen> {
        let chain = |(chain, is_ready): &(u32, bool)| ChainReady {
            chain: *chain,
            is_ready: *is_ready,
            reason: None,
            height: 1,
            certified_height: 1,
            announced_height: 1,
            validators: 4,
            validators_heard: 4,
            silent_nodes: Vec::new(),
            not_running_nodes: Vec::new(),
            joining: None,
            is_voting: true,
            halt: None,
        };
        let network = NetworkView {
            network: "net".to_owned(),
            genesis_hash: GenesisHash([1; 32]),
            version: "0".to_owned(),
            node: 0,
            registry_version: 0,
            operators: Vec::new(),
            nodes: Vec::new(),
            chains: Vec::new(),
        };
        let chains: Vec<ChainReady> = chains.iter().map(chain).collect();
        let is_ready = chains.iter().all(|chain| chain.is_ready);
        Some(Seen { ready: Ready { is_ready, chains, not_hosted: Vec::new() }, network })
    }

    #[test]
    fn a_chain_that_too_few_host_is_not_waited_for() {
        let (old, both) = (|| seen(&[(0, true)]), || seen(&[(0, true), (1, false)]));
        let serves = |banks: &[Option<Seen>], bank: usize| {
            let seen = banks.get(bank).and_then(Option::as_ref).unwrap();
            serves_but(&seen.ready, &unborn(banks))
        };
        assert!(serves(&[both(), both(), old(), old()], 0), "two of four cannot run it");
        assert!(!serves(&[both(), both(), both(), old()], 0), "three can");
        assert!(!serves(&[seen(&[(0, false)]), old(), old(), old()], 0));
        assert!(!serves(&[seen(&[]), old(), old(), old()], 0), "it serves nothing");
        let mut waits = both();
        waits.as_mut().unwrap().ready.chains[1].reason = Some(NotReady::WaitingForOrigin);
        assert!(serves(&[both(), both(), waits, old()], 0), "who waits for its origin does not run it");
        // Of who does not answer nothing is known; that one is waited for anyway.
        assert!(serves(&[both(), None, old(), old()], 0));
    }
}
