//! A machine's relay: carries receipts between the chains that the machine hosts, as `node::relay` does in production.
//!
//! What is given when is decided by the same [`Pace`] over the same stores; here one task serves all chains of a machine,
//! in virtual time. It ends with the machine's process, and remembers nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use chain::config::BUNDLES_PER_SOURCE_MAX;
use chain::{Archive, Frame, Pace, Reached, RowFault, reached, sent_counts};
use consensus::runtime::Runtime as _;
use consensus::runtime::deterministic::DeterministicContext;
use ledger::records::Bundle;
use ledger::values::{Canonical as _, ChainId, Height};
use storage::Store;
use tokio::sync::mpsc;

use crate::between::Crossing;
use crate::conditions::Conditions;
use crate::links::Links;
use crate::plants::Planted;

/// Bundles on their way from the relay to a chain's driver.
pub(crate) const RELAYED_MAX: usize = 16;
/// Bundles under way to a chain.
const UNDER_WAY_MAX: usize = BUNDLES_PER_SOURCE_MAX;
const _: () = assert!(UNDER_WAY_MAX <= RELAYED_MAX, "what is under way fits into the line to the driver");
/// How often the chains are looked at. Production waits for news, at most 200 ms.
const LOOK_MS: u64 = 20;

/// One chain of the machine.
pub(crate) struct Shore {
    chain: ChainId,
    store: Arc<dyn Store>,
    bundles: mpsc::Sender<Bytes>,
}

/// The relay of one machine.
pub(crate) struct Relay {
    node: u16,
    shores: Vec<Shore>,
    clock: DeterministicContext,
    links: Links,
    planted: Planted,
    conditions: Conditions,
    /// By the chain that sends and the one that receives.
    paces: BTreeMap<(ChainId, ChainId), Pace>,
}

impl Shore {
    pub(crate) const fn new(chain: ChainId, store: Arc<dyn Store>, bundles: mpsc::Sender<Bytes>) -> Self {
        Self { chain, store, bundles }
    }
}

impl Relay {
    pub(crate) const fn new(
        node: u16,
        shores: Vec<Shore>,
        clock: DeterministicContext,
        links: Links,
        planted: Planted,
        conditions: Conditions,
    ) -> Self {
        Self { node, shores, clock, links, planted, conditions, paces: BTreeMap::new() }
    }

    /// Runs until it is killed.
    pub(crate) async fn run(mut self, crossing: Crossing) {
        loop {
            self.clock.sleep_ms(LOOK_MS).await;
            if self.conditions.of(self.node).is_stopped {
                continue;
            }
            let now_ms = self.clock.now_ms();
            let (mut given, mut forged) = (0, Vec::new());
            for source in &self.shores {
                let others = self.shores.iter().filter(|shore| shore.chain != source.chain);
                for destination in others {
                    let pair = (source.chain, destination.chain);
                    let new = || Pace::new(0, UNDER_WAY_MAX, now_ms);
                    let pace = self.paces.entry(pair).or_insert_with(new);
                    // A store that cannot be read halts its driver, which says so.
                    for (until, bundle) in next_bundles(pace, source, destination, now_ms).unwrap_or_default()
                    {
                        // Full, or halted: it is given again.
                        if destination.bundles.try_send(Bytes::from(bundle.encode())).is_err() {
                            break;
                        }
                        pace.gave(now_ms, until);
                        given += 1;
                        forged.extend(self.links.turned.relays(self.node, &bundle));
                    }
                }
            }
            forged.iter().for_each(|bundle| self.send_to_all(now_ms, bundle));
            crossing.lock().gave(self.node, given);
        }
    }

    /// Sends a bundle that nobody asked for to all that may host its destination.
    fn send_to_all(&self, now_ms: u64, bundle: &Bundle) {
        let frame = Frame::Bundle(Bytes::from(bundle.encode())).encode();
        for to in self.planted.nodes().filter(|to| *to != self.node) {
            self.links.send(now_ms, bundle.destination, self.node, to, frame.clone());
        }
    }
}

fn next_bundles(
    pace: &mut Pace,
    source: &Shore,
    destination: &Shore,
    now_ms: u64,
) -> Result<Vec<(u64, Bundle)>, RowFault> {
    let certified = certified_height(source.store.as_ref());
    let sent = sent_counts(source.store.as_ref(), certified)?;
    let sent = sent.into_iter().find(|(to, _)| *to == destination.chain).map_or(0, |(_, count)| count);
    let all = reached(destination.store.as_ref())?;
    let Reached { count, epoch } = all
        .into_iter()
        .find(|(of, _)| *of == source.chain)
        .map_or_else(Reached::default, |(_, reached)| reached);
    pace.saw(now_ms, sent, count);
    pace.next_bundles(source.store.as_ref(), destination.chain, certified, epoch, now_ms)
}

/// The height that the highest stored block with a certificate claims.
pub(crate) fn certified_height(store: &dyn Store) -> Height {
    let archive = Archive::new(store);
    let mut height = archive.head().ok().flatten().map_or(Height(0), |head| head.height);
    while height.0 > 0 {
        if let (Ok(Some(_)), Ok(Some(block))) = (archive.certificate(height), archive.block_at(height)) {
            return block.header.claim.height;
        }
        height = Height(height.0 - 1);
    }
    Height(0)
}
