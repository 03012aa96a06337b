//! When to dial a peer: a pure function of the times it is told.
//!
//! The side with the lower index dials at once; the other waits [`DIAL_PATIENCE`] after the link was lost,
//! so that usually one connection is made, yet the peers also meet when the lower one cannot reach the
//! higher one. Each failure doubles the pause up to [`DIAL_RETRY_MAX`]; only a link on which lanes opened
//! starts over. A peer that serves another network is left alone for [`DIAL_FOREIGN_PAUSE`].

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{DIAL_FOREIGN_PAUSE, DIAL_PATIENCE, DIAL_RETRY_MAX, DIAL_RETRY_MIN};

/// The dial clock of one peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Redial {
    patience: Duration,
    pause: Duration,
    next: Instant,
}

impl Redial {
    /// For a peer without a link; `first` if we are the side that dials first.
    pub(crate) fn new(first: bool, now: Instant) -> Self {
        let patience = if first { Duration::ZERO } else { DIAL_PATIENCE };
        Self { patience, pause: DIAL_RETRY_MIN, next: now + patience }
    }

    /// Whether to dial now.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    /// A dial failed, or a connection ended before any lane opened.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.next = self.next.max(now + self.pause);
        self.pause = (self.pause * 2).min(DIAL_RETRY_MAX);
    }

    /// The peer serves another network.
    pub(crate) fn estranged(&mut self, now: Instant) {
        self.next = now + DIAL_FOREIGN_PAUSE;
    }

    /// A link that worked was lost.
    pub(crate) fn lost(&mut self, now: Instant) {
        self.pause = DIAL_RETRY_MIN;
        self.next = now + self.patience + self.pause;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_side_dials_first_and_pauses_grow_to_the_cap() {
        let start = Instant::now();
        let mut lower = Redial::new(true, start);
        assert!(lower.is_due(start));
        let higher = Redial::new(false, start);
        assert!(!higher.is_due(start + DIAL_PATIENCE - Duration::from_millis(1)));
        assert!(higher.is_due(start + DIAL_PATIENCE));

        let mut now = start;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            lower.failed(now);
            let mut later = now;
            while !lower.is_due(later) {
                later += Duration::from_millis(100);
            }
            pauses.push((later - now).as_millis());
            now = later;
        }
        assert_eq!(pauses, [100, 200, 400, 800, 800, 800, 800, 800]);
        lower.estranged(now);
        lower.failed(now);
        assert!(!lower.is_due(now + DIAL_RETRY_MAX) && lower.is_due(now + DIAL_FOREIGN_PAUSE));
        lower.lost(now);
        assert!(!lower.is_due(now) && lower.is_due(now + DIAL_RETRY_MIN));
    }
}
