//! The production runtime on a thread of its own.
//!
//! The library's runner owns a tokio runtime and blocks its thread until the root future ends, so it cannot
//! live inside the node's runtime. [`run_tokio`] gives it a thread; the node talks to what runs there through
//! channels and learns of its end through [`RuntimeThread::ended`].
//!
//! A task that panics (a failed journal write does) ends the whole runtime, and the end is reported as
//! [`Exit::Panicked`]: the node must then halt with a code, because a node that lost its engine looks alive
//! and decides nothing. Stopping is abrupt by design, like a crash: the journal is synced before a vote
//! leaves, so nothing needs to be finished.

use commonware_runtime::Runner as _;
use futures::future::{Either, select};
use std::any::Any;
use std::fs::{File, OpenOptions, TryLockError, create_dir_all};
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::thread;
use thiserror::Error;
use tokio::sync::oneshot;

/// Lock file in the storage directory; the dot keeps it apart from every partition.
const LOCK_NAME: &str = ".lock";

/// Threads that storage operations of one runtime may use; engines issue a few at a time.
const BLOCKING_THREADS: usize = 32;

/// The production context. Use it through [`Runtime`](super::Runtime) only.
pub type TokioContext = commonware_runtime::tokio::Context;

/// A runtime on its thread, with the output of its root future.
#[derive(Debug)]
pub struct RuntimeThread<T> {
    stop: Option<oneshot::Sender<()>>,
    exit: Option<oneshot::Receiver<Exit<T>>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// How a runtime ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit<T> {
    /// The root future returned.
    Finished(T),
    /// [`RuntimeThread::stop`] was called, or the handle was dropped.
    Stopped,
    /// A task panicked, with this message. The process must halt with a code.
    Panicked(String),
}

/// Why a runtime cannot start.
#[derive(Debug, Error)]
pub enum RuntimeError {
    /// Another process, or another runtime of this one, uses the storage directory.
    #[error("storage directory {} is in use", .0.display())]
    InUse(PathBuf),
    /// The directory cannot be created or locked.
    #[error("storage directory {}: {source}", path.display())]
    Storage {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system gave no thread.
    #[error("no thread for the runtime: {0}")]
    Thread(#[source] io::Error),
}

/// Runs `root` on a runtime of its own with `worker_threads` threads, journals below `storage_directory`.
///
/// The directory is created if it is missing and held until the runtime has ended. At the start the library
/// flushes the file system that holds it.
///
/// # Errors
/// The directory is in use or unusable, or no thread can be had. Later failures come as [`Exit`].
pub fn run_tokio<F, Fut>(
    storage_directory: &Path,
    worker_threads: usize,
    root: F,
) -> Result<RuntimeThread<Fut::Output>, RuntimeError>
where
    F: FnOnce(TokioContext) -> Fut + Send + 'static,
    Fut: Future,
    Fut::Output: Send + 'static,
{
    let lock = hold(storage_directory)?;
    let config = commonware_runtime::tokio::Config::new()
        .with_worker_threads(worker_threads.max(1))
        .with_max_blocking_threads(BLOCKING_THREADS)
        .with_storage_directory(storage_directory);
    let (stop, stopped) = oneshot::channel();
    let (report, exit) = oneshot::channel();
    let guarded = move || {
        commonware_runtime::tokio::Runner::new(config).start(|context| async move {
            match select(pin!(root(context)), stopped).await {
                Either::Left((output, _)) => Exit::Finished(output),
                Either::Right(_) => Exit::Stopped,
            }
        })
    };
    let thread = thread::Builder::new()
        .name("consensus".into())
        .spawn(move || {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(guarded));
            drop(lock);
            let exit = outcome.unwrap_or_else(|panic| Exit::Panicked(panic_message(&*panic)));
            let _unheard = report.send(exit);
        })
        .map_err(RuntimeError::Thread)?;
    Ok(RuntimeThread { stop: Some(stop), exit: Some(exit), thread: Some(thread) })
}

impl<T> RuntimeThread<T> {
    /// Waits for the end, on any async runtime; `None` if the end was taken before. Cancel-safe.
    pub async fn ended(&mut self) -> Option<Exit<T>> {
        let exit = self.exit.as_mut()?.await;
        self.exit = None;
        exit.ok()
    }

    /// Asks the runtime to end now; await [`RuntimeThread::ended`] to know that it has.
    pub fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _already_ended = stop.send(());
        }
    }

    /// Stops the runtime and blocks until its thread has ended; `None` if the end was taken before.
    /// Not for use inside an async task.
    pub fn stop_and_join(mut self) -> Option<Exit<T>> {
        self.stop();
        let exit = self.exit.take().and_then(|exit| exit.blocking_recv().ok());
        if let Some(thread) = self.thread.take() {
            // The thread catches panics itself and has reported by now.
            let _ended = thread.join();
        }
        exit
    }
}

/// Locks the storage directory without waiting; the library itself would wait for ever.
fn hold(directory: &Path) -> Result<File, RuntimeError> {
    let storage = |source| RuntimeError::Storage { path: directory.to_path_buf(), source };
    create_dir_all(directory).map_err(storage)?;
    let path = directory.join(LOCK_NAME);
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(storage)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(RuntimeError::InUse(directory.to_path_buf())),
        Err(TryLockError::Error(source)) => Err(storage(source)),
    }
}

/// The text of a panic, if it has one.
fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("panic without a message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Runtime as _;

    #[test]
    fn a_runtime_finishes_stops_and_reports_panics() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let mut finished = run_tokio(path, 1, |context| async move { context.now_ms() > 0 }).unwrap();
        assert_eq!(futures::executor::block_on(finished.ended()), Some(Exit::Finished(true)));
        assert_eq!(finished.stop_and_join(), None);

        let waiting = run_tokio(path, 1, |_| std::future::pending::<()>()).unwrap();
        assert!(matches!(run_tokio(path, 1, |_| async {}), Err(RuntimeError::InUse(_))));
        assert_eq!(waiting.stop_and_join(), Some(Exit::Stopped));

        let panicked = run_tokio(path, 1, |context| async move {
            context.run("failing", async { panic!("journal write failed") }).await.is_ok()
        });
        let exit = futures::executor::block_on(panicked.unwrap().ended());
        assert_eq!(exit, Some(Exit::Panicked("journal write failed".into())));
    }
}
