//! Watches one bank: when each height of each chain was seen final and certified there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use api::Client;
use ledger::values::ChainId;

use crate::fates::Place;

/// How often a bank is asked; the error of a latency is at most this and one answer's time.
const POLL_MS: u64 = 20;

/// What was seen at one bank of one chain, by height.
#[derive(Debug, Default, Clone)]
struct Heights {
    is_final: BTreeMap<u64, Instant>,
    certified: BTreeMap<u64, Instant>,
    last_final: Option<u64>,
    last_certified: Option<u64>,
}

/// What was seen at one bank, by chain.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen(BTreeMap<ChainId, Heights>);

impl Seen {
    /// When a place was seen final.
    pub(crate) fn is_final(&self, place: Place) -> Option<Instant> {
        self.0.get(&place.chain)?.is_final.get(&place.height).copied()
    }

    /// When a place was seen certified.
    pub(crate) fn certified(&self, place: Place) -> Option<Instant> {
        self.0.get(&place.chain)?.certified.get(&place.height).copied()
    }
}

/// Watches until told to stop.
pub(crate) async fn watch(client: Client, stop: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        if let Ok(view) = client.chains().await {
            let now = Instant::now();
            for chain in view.chains {
                let Some(progress) = chain.progress else { continue };
                let heights = seen.0.entry(ChainId(chain.chain)).or_default();
                mark(&mut heights.is_final, &mut heights.last_final, progress.height, now);
                mark(&mut heights.certified, &mut heights.last_certified, progress.certified_height, now);
            }
        }
        tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
    }
    seen
}

fn mark(times: &mut BTreeMap<u64, Instant>, last: &mut Option<u64>, height: u64, now: Instant) {
    let from = last.map_or(height, |last| last + 1);
    for new in from..=height {
        times.insert(new, now);
    }
    *last = Some(height.max(last.unwrap_or(0)));
}
