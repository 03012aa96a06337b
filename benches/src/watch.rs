//! Watches one bank: when each height was seen final and certified there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use api::Client;

/// How often a bank is asked; the error of a latency is at most this and one answer's time.
const POLL_MS: u64 = 20;

/// What was seen at one bank, by height.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    pub(crate) is_final: BTreeMap<u64, Instant>,
    pub(crate) certified: BTreeMap<u64, Instant>,
}

/// Watches until told to stop.
pub(crate) async fn watch(client: Client, stop: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    let (mut last_final, mut last_certified) = (None, None);
    while !stop.load(Ordering::Relaxed) {
        if let Ok(view) = client.chains().await
            && let Some(progress) = view.chains.first().and_then(|chain| chain.progress.clone())
        {
            let now = Instant::now();
            mark(&mut seen.is_final, &mut last_final, progress.height, now);
            mark(&mut seen.certified, &mut last_certified, progress.certified_height, now);
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
