//! The runtimes an engine runs on, so that no other crate names the engine's library.
//!
//! [`Runtime`] is what an engine and the code around it may ask of the world: time, tasks, storage, randomness.
//! Two implementations exist: the production one ([`thread`]) on tokio and the real disk, and the
//! [`deterministic`] one for tests, where time is virtual and a seed decides everything.

use commonware_runtime::{Clock, Error, Handle, Metrics, Spawner, Storage};
use rand_core::CryptoRng;
use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, UNIX_EPOCH};

pub mod deterministic;
pub mod thread;

/// The world of an engine: clock, tasks, storage, randomness and metrics.
///
/// A context is a place in a tree: tasks spawned from it end when the task it belongs to ends. Nothing but the
/// library's own contexts can implement it.
pub trait Runtime: Clock + CryptoRng + Spawner + Storage + Metrics + Sized {
    /// Milliseconds since the Unix epoch; a wall clock in production, virtual in tests.
    fn now_ms(&self) -> u64 {
        let elapsed = self.current().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }

    /// Waits for a time on this runtime's clock.
    fn sleep_ms(&self, duration_ms: u64) -> impl Future<Output = ()> + Send + 'static {
        self.sleep(Duration::from_millis(duration_ms))
    }

    /// A context below this one. `label` is a static role name (letters, digits, `_`), `key` and `value` tell
    /// several of one role apart, in metrics too.
    #[must_use]
    fn scope(&self, label: &'static str, key: &'static str, value: impl Display) -> Self {
        self.child(label).with_attribute(key, value)
    }

    /// Runs a task below this context.
    fn run<F>(&self, label: &'static str, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        Task(self.child(label).spawn(move |_| future))
    }

    /// All metrics of this runtime, engines included, as Prometheus text.
    fn metrics_text(&self) -> String {
        self.encode()
    }
}

impl<E: Clock + CryptoRng + Spawner + Storage + Metrics> Runtime for E {}

/// A running task. Dropping it lets the task run on; await it for its output.
#[must_use = "a task runs on when this is dropped"]
pub struct Task<T: Send + 'static>(pub(crate) Handle<T>);

/// A task ended without an output: it was aborted, panicked, or its runtime ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("task ended without an output")]
pub struct TaskEnded;

impl<T: Send + 'static> Task<T> {
    /// Ends the task and everything below it at its next wait; await the task to know that it has ended.
    pub fn abort(&self) {
        self.0.abort();
    }
}

impl<T: Send + 'static> Future for Task<T> {
    type Output = Result<T, TaskEnded>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|outcome: Result<T, Error>| outcome.map_err(|_| TaskEnded))
    }
}
