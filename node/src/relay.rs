//! Carries receipts between the chains that this node hosts: a task for each chain that sends.
//!
//! - It reads stored, certified data and gives bundles to the destination's driver, as a peer would. Nothing depends on it running once, in
//!   order or at all: every node that hosts both chains runs one, and a bundle that brings nothing new is passed over.
//! - What a destination is given next, and when again, is [`chain::RelayLine`].
//! - A destination that does not take what it is given, or cannot be read, holds up nobody else.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chain::{RelayLine, RowFault, received_count, sent_counts};
use ledger::values::{Canonical as _, ChainId, Height};
use storage::Store;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::handle::ChainHandle;
use crate::rarely::Rarely;

/// Bundles on their way from the relays to a chain's driver.
pub(crate) const RELAYED_MAX: usize = 16;
/// How often a chain is looked at while receipts wait and nothing tells that it moved.
const LOOK_MS: u64 = 200;

/// The way of bundles into a chain's driver.
#[derive(Clone)]
pub(crate) struct Inlet {
    pub(crate) chain: ChainId,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) bundles: mpsc::Sender<Bytes>,
}

/// Starts a relay for each chain; they end when the node stops.
pub(crate) fn start(
    chains: &[ChainHandle],
    inlets: &[Inlet],
    stopped: &watch::Receiver<bool>,
) -> Vec<JoinHandle<()>> {
    let one = |source: &ChainHandle| {
        let lines = inlets.iter().filter(|inlet| inlet.chain != source.chain()).cloned().map(Line::new);
        let (lines, rarely) = (lines.collect(), Rarely::default());
        let relay = Relay { source: source.clone(), lines, rarely, started: Instant::now() };
        tokio::spawn(relay.run(stopped.clone()))
    };
    // One chain has nobody to talk to.
    chains.iter().filter(|_| inlets.len() > 1).map(one).collect()
}

struct Relay {
    source: ChainHandle,
    lines: Vec<Line>,
    rarely: Rarely,
    started: Instant,
}

/// A destination, and what it was given.
#[derive(Clone)]
struct Line {
    inlet: Inlet,
    relay: RelayLine,
}

impl Relay {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut status = self.source.status.clone();
        let mut seen = None;
        loop {
            let certified = status.borrow_and_update().chain.certified_height;
            if seen != Some(certified) || self.lines.iter().any(|line| line.relay.is_behind()) {
                seen = Some(certified);
                self.round(certified).await;
            }
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return,
                moved = status.wait_for(|status| Some(status.chain.certified_height) != seen) => {
                    if moved.is_err() {
                        return;
                    }
                }
                () = tokio::time::sleep(Duration::from_millis(LOOK_MS)) => {}
            }
        }
    }

    async fn round(&mut self, certified: Height) {
        let (source, store) = (self.source.chain(), Arc::clone(&self.source.store));
        let lines = self.lines.clone();
        let now_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let make = move || make(source, store.as_ref(), lines, certified, now_ms);
        let made = tokio::task::spawn_blocking(make).await;
        match made {
            Ok(Ok(made)) => {
                let mut faults = Vec::new();
                for (line, made) in self.lines.iter_mut().zip(made) {
                    let (next, bundles) = match made {
                        Ok(made) => made,
                        Err(fault) => {
                            faults.push(fault);
                            continue;
                        }
                    };
                    *line = next;
                    for (until, bundle) in bundles {
                        // Full, or stopped: it is given again.
                        if line.inlet.bundles.try_send(bundle).is_err() {
                            break;
                        }
                        line.relay.gave(until);
                    }
                }
                faults.iter().for_each(|fault| self.failed(fault));
            }
            Ok(Err(fault)) => self.failed(&fault),
            Err(fault) => self.failed(&fault),
        }
    }

    /// Told when it begins, and then as its count doubles.
    fn failed(&mut self, fault: &dyn std::fmt::Display) {
        let source = self.source.chain().0;
        if let Some(times) = self.rarely.count(0, "relay") {
            tracing::warn!(chain = source, %fault, times, "the relay could not read; it tries again");
        }
    }
}

/// A bundle, encoded, and how far it leads.
type Made = (u64, Bytes);

/// The next bundles for each destination.
fn make(
    source: ChainId,
    store: &dyn Store,
    lines: Vec<Line>,
    certified: Height,
    now_ms: u64,
) -> Result<Vec<Result<(Line, Vec<Made>), RowFault>>, RowFault> {
    let sent = sent_counts(store, certified)?;
    let one = |mut line: Line| -> Result<(Line, Vec<Made>), RowFault> {
        let received = || received_count(line.inlet.store.as_ref(), source);
        let bundles = line.relay.next_bundles(store, &sent, certified, now_ms, received)?;
        let encoded = bundles.into_iter().map(|(until, bundle)| (until, Bytes::from(bundle.encode())));
        Ok((line, encoded.collect()))
    };
    Ok(lines.into_iter().map(one).collect())
}

impl Line {
    fn new(inlet: Inlet) -> Self {
        let relay = RelayLine::new(inlet.chain, 0);
        Self { inlet, relay }
    }
}
