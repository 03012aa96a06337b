//! A consistent view that outlives the call that made it: for serving one moment of a store while the store goes on.
//!
//! A view borrows its store, so a thread holds both and answers what it is asked. The store is not paused: its view keeps old versions of
//! rows from being cleaned up, no more. When the last owner drops it the thread ends and the view with it.

use std::ops::{Bound, ControlFlow};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::StorageError;
use crate::store::{Order, PAGE_ROWS_MAX, Page, Reader, Row, Store, Visit};
use crate::table::Table;

/// Questions that may wait for a view; whoever asks more waits.
const QUESTIONS_MAX: usize = 16;

type Question = Box<dyn FnOnce(&dyn Reader) + Send>;

/// A view of one moment.
pub struct Pinned {
    questions: Mutex<SyncSender<Question>>,
}

impl Pinned {
    /// Pins the store as it is now.
    ///
    /// # Errors
    /// As [`Store::snapshot`]; [`StorageError::Engine`] where no thread can be started.
    pub fn new(store: Arc<dyn Store>) -> Result<Self, StorageError> {
        let (questions, asked) = sync_channel::<Question>(QUESTIONS_MAX);
        let (begun, is_pinned) = sync_channel(1);
        let hold = move || hold(store.as_ref(), &asked, &begun);
        std::thread::Builder::new().name("pinned".to_owned()).spawn(hold).map_err(|fault| failed(&fault))?;
        is_pinned.recv().map_err(|_| ended())??;
        Ok(Self { questions: Mutex::new(questions) })
    }

    fn ask<Answer: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Reader) -> Result<Answer, StorageError> + Send + 'static,
    ) -> Result<Answer, StorageError> {
        let (answer, answered) = sync_channel(1);
        let question: Question = Box::new(move |view| {
            let _nobody_waits = answer.send(question(view)).is_err();
        });
        let questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        questions.send(question).map_err(|_| ended())?;
        answered.recv().map_err(|_| ended())?
    }
}

/// Holds a view until nobody can ask any more.
fn hold(store: &dyn Store, asked: &Receiver<Question>, begun: &SyncSender<Result<(), StorageError>>) {
    let view = match store.snapshot() {
        Ok(view) => view,
        Err(fault) => {
            let _nobody_waits = begun.send(Err(fault)).is_err();
            return;
        }
    };
    let _nobody_waits = begun.send(Ok(())).is_err();
    while let Ok(question) = asked.recv() {
        question(view.as_ref());
    }
}

fn failed(fault: &std::io::Error) -> StorageError {
    StorageError::Engine { detail: format!("no thread can hold a view of the store: {fault}") }
}

fn ended() -> StorageError {
    StorageError::Engine { detail: "the thread that held a view of the store has ended".to_owned() }
}

impl Reader for Pinned {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let key = key.to_vec();
        self.ask(move |view| view.get(table, &key))
    }

    fn multi_get(&self, table: Table, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
        let keys: Vec<Vec<u8>> = keys.iter().map(|key| key.to_vec()).collect();
        self.ask(move |view| view.multi_get(table, &keys.iter().map(Vec::as_slice).collect::<Vec<_>>()))
    }

    fn scan(&self, table: Table, page: Page<'_>) -> Result<Vec<Row>, StorageError> {
        let Page { from, until, order, rows, bytes } = page;
        let (from, until) = (from.map(<[u8]>::to_vec), until.map(<[u8]>::to_vec));
        self.ask(move |view| {
            let from = from.as_ref().map(Vec::as_slice);
            view.scan(table, Page { from, until: until.as_deref(), order, rows, bytes })
        })
    }

    fn for_each(&self, table: Table, visit: &mut Visit<'_>) -> Result<(), StorageError> {
        let mut last: Option<Vec<u8>> = None;
        loop {
            let from = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let page = Page { from, order: Order::Forward, ..Page::first(PAGE_ROWS_MAX) };
            let rows = self.scan(table, page)?;
            let Some((reached, _)) = rows.last() else { return Ok(()) };
            for (key, value) in &rows {
                if let ControlFlow::Break(()) = visit(key, value) {
                    return Ok(());
                }
            }
            last = Some(reached.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Durability, Identity, MemoryStore, WriteSet, key};

    #[test]
    fn a_pinned_view_stays_while_the_store_goes_on() {
        let store: Arc<dyn Store> =
            Arc::new(MemoryStore::fresh(&Identity { schema_version: 1, genesis: [1; 32], chain: 0 }));
        let write = |value: u8| {
            let mut set = WriteSet::new();
            (0..3).for_each(|slot| set.put(Table::Records, key::slot(slot), vec![value]));
            store.write(set, Durability::Buffered).unwrap();
        };
        write(1);
        let pinned = Pinned::new(Arc::clone(&store)).unwrap();
        write(2);
        let (first, last) = (key::slot(0), key::slot(2));
        assert_eq!(store.get(Table::Records, &first).unwrap(), Some(vec![2]));
        assert_eq!(pinned.get(Table::Records, &first).unwrap(), Some(vec![1]));
        let found = pinned.multi_get(Table::Records, &[&last, &key::slot(9)]).unwrap();
        assert_eq!(found, [Some(vec![1]), None]);
        let page = Page { from: Bound::Excluded(&first), until: Some(&last), ..Page::first(9) };
        assert_eq!(pinned.scan(Table::Records, page).unwrap(), [(key::slot(1).to_vec(), vec![1])]);
        let mut seen = 0;
        pinned
            .for_each(Table::Records, &mut |_, value| {
                assert_eq!(value, [1]);
                seen += 1;
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(seen, 3);
        let held = Arc::downgrade(&store);
        drop((pinned, store));
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while held.strong_count() > 0 && std::time::Instant::now() < end {
            std::thread::yield_now();
        }
        assert_eq!(held.strong_count(), 0, "its thread has ended and lets the store go");
    }
}
