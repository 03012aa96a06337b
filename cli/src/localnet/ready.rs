//! Waiting until all nodes serve and see each other. Bounded in time; whoever fails is named with the end of its log.

use std::process::Child;
use std::time::{Duration, Instant};

use api::{Client, ClientConfig, NetworkView, Ready};
use ledger::values::ChainId;
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

    /// Waits until every bank is ready and connected to every other. `children` are the processes started now, by bank.
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
            let mut waiting = None;
            let mut ready = 0;
            for (number, bank) in banks.iter().enumerate() {
                if let Some(Some(child)) = children.get_mut(number)
                    && let Ok(Some(status)) = child.try_wait()
                {
                    return Err(self.failed(
                        layout,
                        bank,
                        "node_ended",
                        &format!("the node of {} ended: {status}", bank.name),
                    ));
                }
                let seen = self.look(number);
                match &seen {
                    Some(seen) if seen.ready.is_ready && seen.connected() == banks.len() => ready += 1,
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

    /// Waits until a bank's node can show what a chain begins with that operators have added.
    ///
    /// # Errors
    /// [`Failure`] when it cannot in time.
    pub fn wait_origin(
        &self,
        layout: &Layout,
        (number, bank): (usize, &BankEntry),
        chain: ChainId,
        timeout: Duration,
    ) -> Answer {
        let started = Instant::now();
        loop {
            let client = self.clients.get(number);
            if client.is_some_and(|client| self.runtime.block_on(client.origin(chain)).is_ok()) {
                return Ok(());
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
