//! [`Pulse`]: whether a network makes blocks, seen from outside: every bank is asked all the time how high its chain is.

#![allow(clippy::unwrap_used, reason = "a harness fails loudly")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use api::Client;
use tokio::task::JoinSet;

/// Pause between two questions to one bank. A gap is known to about so much.
const ASK_AGAIN: Duration = Duration::from_millis(15);

/// What was seen.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// The highest final block that any bank has shown.
    height: u64,
    /// When it was first shown.
    at: Instant,
    /// The longest time between two.
    longest: Duration,
}

/// Watches until it is dropped.
pub struct Pulse {
    seen: Arc<Mutex<Seen>>,
    _tasks: JoinSet<()>,
}

impl Pulse {
    /// Begins to watch banks; each by a task of its own, because one that is stopped does not answer.
    #[must_use]
    pub fn start(banks: &[Client]) -> Self {
        let seen = Seen { height: 0, at: Instant::now(), longest: Duration::ZERO };
        let seen = Arc::new(Mutex::new(seen));
        let mut tasks = JoinSet::new();
        for bank in banks {
            let (bank, seen) = (bank.clone(), Arc::clone(&seen));
            tasks.spawn(async move {
                loop {
                    if let Ok(ready) = bank.ready().await {
                        let height = ready.chains.first().map_or(0, |chain| chain.height);
                        seen.lock().unwrap().look(height, Instant::now());
                    }
                    tokio::time::sleep(ASK_AGAIN).await;
                }
            });
        }
        Self { seen, _tasks: tasks }
    }

    /// The highest final block that any bank has shown.
    ///
    /// # Panics
    /// Never, unless a watcher has panicked.
    #[must_use]
    pub fn height(&self) -> u64 {
        self.seen.lock().unwrap().height
    }

    /// The longest time without a new final block since the start, or since this was asked last; one that goes on counts.
    ///
    /// # Panics
    /// As [`Self::height`].
    #[must_use]
    pub fn take_longest(&self) -> Duration {
        let mut seen = self.seen.lock().unwrap();
        let longest = seen.longest.max(seen.at.elapsed());
        seen.longest = Duration::ZERO;
        longest
    }

    /// Waits until there is a block above all that were seen; gives how long that took.
    ///
    /// # Panics
    /// When there is none within `limit`.
    pub async fn next_block(&self, limit: Duration) -> Duration {
        let (started, before) = (Instant::now(), self.height());
        while self.height() <= before {
            assert!(started.elapsed() < limit, "no block above {before} within {limit:?}");
            tokio::time::sleep(ASK_AGAIN).await;
        }
        started.elapsed()
    }
}

impl Seen {
    fn look(&mut self, height: u64, now: Instant) {
        if height > self.height {
            self.longest = self.longest.max(now.saturating_duration_since(self.at));
            self.height = height;
            self.at = now;
        }
    }
}
