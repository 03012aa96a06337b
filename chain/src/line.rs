//! What the relay has given one destination, and what it gives next. No clock, no store of its own: whoever carries bundles asks it.
//!
//! - It goes on from what was given already, and back to what the destination has executed when that does not move for
//!   [`PATIENCE_MS`]: others may have brought other bundles, or its own were refused.
//! - Nothing depends on it being right: a bundle that brings nothing new is passed over.

use ledger::records::Bundle;
use ledger::values::{ChainId, Epoch, Height};
use storage::Reader;

use crate::archive::Archive;
use crate::relay::{known_epoch, next_bundle};
use crate::rows::RowFault;

/// Bundles that are given to a destination before it is looked at again.
const BUNDLES_PER_ROUND: usize = 4;
/// How long a destination may take to execute what it was given, before it is given again.
const PATIENCE_MS: u64 = 1_000;

/// How far a chain has come with another one that sends to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reached {
    /// Receipts that it has executed.
    pub count: u64,
    /// The newest epoch of the sender that it knows.
    pub epoch: Epoch,
}

/// One destination of a relay.
#[derive(Debug, Clone)]
pub struct RelayLine {
    destination: ChainId,
    /// Receipts that it has executed, as last seen.
    received: u64,
    /// Receipts that it was given.
    given: u64,
    /// Receipts that were certified when it was last looked at.
    sent: u64,
    moved_ms: u64,
}

impl RelayLine {
    /// A destination that was given nothing yet. `now_ms` is on any monotonic clock, the same at every call.
    #[must_use]
    pub const fn new(destination: ChainId, now_ms: u64) -> Self {
        Self { destination, received: 0, given: 0, sent: 0, moved_ms: now_ms }
    }

    /// The destination.
    #[must_use]
    pub const fn destination(&self) -> ChainId {
        self.destination
    }

    /// Whether receipts wait that the destination has not executed, as last seen.
    #[must_use]
    pub const fn is_behind(&self) -> bool {
        self.sent > self.received
    }

    /// What to give next: bundles in order, each with the count of receipts that it leads to. `sent` is what
    /// [`crate::sent_counts`] says of the source at `certified`; `reached` tells how far the destination has come, and is asked only when
    /// something waits.
    ///
    /// # Errors
    /// [`RowFault`], of the source's store or out of `reached`.
    pub fn next_bundles<R: Reader + ?Sized>(
        &mut self,
        source: &R,
        sent: &[(ChainId, u64)],
        certified: Height,
        now_ms: u64,
        reached: impl FnOnce() -> Result<Reached, RowFault>,
    ) -> Result<Vec<(u64, Bundle)>, RowFault> {
        self.sent = sent.iter().find(|(to, _)| *to == self.destination).map_or(0, |(_, count)| *count);
        let mut bundles = Vec::new();
        if !self.is_behind() {
            return Ok(bundles);
        }
        let Reached { count, epoch } = reached()?;
        self.look(count, now_ms);
        let mut at = self.given;
        while at < self.sent && bundles.len() < BUNDLES_PER_ROUND {
            let Some(bundle) = next_bundle(source, self.destination, at, certified, epoch)? else { break };
            at = at.saturating_add(bundle.receipts.len() as u64);
            bundles.push((at, bundle));
        }
        Ok(bundles)
    }

    /// The destination took the bundle that leads to this count.
    pub const fn gave(&mut self, until: u64) {
        self.given = until;
    }

    fn look(&mut self, received: u64, now_ms: u64) {
        if received > self.received {
            (self.received, self.moved_ms) = (received, now_ms);
        }
        let is_stuck = now_ms.saturating_sub(self.moved_ms) > PATIENCE_MS;
        if self.given < received || (is_stuck && self.given > received) {
            (self.given, self.moved_ms) = (received, now_ms);
        }
    }
}

/// How far the chain of this store has come with `source`.
///
/// # Errors
/// [`RowFault`].
pub fn received_count<R: Reader + ?Sized>(store: &R, source: ChainId) -> Result<Reached, RowFault> {
    let head = Archive::new(store).head()?;
    let count = head.map_or(0, |head| head.supply.pair(source).received.count);
    Ok(Reached { count, epoch: known_epoch(store, source)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line whose destination was given five receipts at 100 ms.
    fn line() -> RelayLine {
        let mut line = RelayLine::new(ChainId(1), 100);
        line.gave(5);
        line
    }

    #[test]
    fn what_was_given_is_not_given_again_while_there_is_patience() {
        let mut line = line();
        line.look(0, 100 + PATIENCE_MS);
        assert_eq!(line.given, 5);
        line.look(2, 200 + PATIENCE_MS);
        assert_eq!((line.given, line.received), (5, 2), "it moves");
        line.look(2, 200 + 2 * PATIENCE_MS);
        assert_eq!(line.given, 5);
    }

    #[test]
    fn a_destination_that_stands_still_is_given_again_from_where_it_stands() {
        let mut line = line();
        line.look(2, 200);
        line.look(2, 201 + PATIENCE_MS);
        assert_eq!(line.given, 2);
    }

    #[test]
    fn what_others_brought_is_not_given() {
        let mut line = line();
        line.look(9, 200);
        assert_eq!((line.given, line.received), (9, 9));
    }
}
