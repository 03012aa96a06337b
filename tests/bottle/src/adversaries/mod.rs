//! Nodes that do not do what they should, one file each: what a bank could do on purpose, with its real keys.
//!
//! | adversary | what it does |
//! | --- | --- |
//! | `twin.rs` | two nodes with one key: everybody hears both, or each half hears another one |
//! | `withholder.rs` | seals batches and gives them to few, or to nobody |
//! | `garbler.rs` | random bytes, flipped bits, absurd lengths and oversize on every channel and as every frame |
//! | `flooder.rs` | as many requests, acknowledgements, blocks and batches as the link takes |
//! | `forger.rs` | certificates, pages, bundles and receipts that nobody signed |
//! | `replayer.rs` | old frames, its own and what it heard |
//! | `liar.rs` | garbage to a node that catches up, and heights that do not exist |
//! | `falsifier.rs` | chunks of snapshots with more money in them |
//! | `clock.rs` | a clock far ahead or behind, in every block and batch of its own |
//! | `sealer.rs` | a bank that seals invalid, doubled, unaffordable and maximal transactions |
//!
//! Rules:
//! - An adversary acts where frames leave its node, or beside it. The node behind it is an honest one: so its state, which is
//!   judged too, must stay as sound as everybody's.
//! - Whatever it does of its own accord is counted: a test asserts that it acted.
//! - It draws from the plan's seed alone, and stops when the network is healed. Twins live on.

mod arsenal;
mod clock;
mod falsifier;
mod flooder;
mod forger;
mod garbler;
mod liar;
mod replayer;
mod sealer;
mod tally;
mod twin;
mod withholder;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledger::records::Bundle;

pub(crate) use self::arsenal::Arsenal;
use self::clock::WrongClock;
use self::falsifier::Falsifier;
use self::flooder::Flooder;
use self::forger::Forger;
use self::garbler::Garbler;
use self::liar::Liar;
use self::replayer::Replayer;
use self::sealer::Sealer;
pub(crate) use self::tally::tally;
use self::twin::Twins;
use self::withholder::Withholder;
use crate::links::Parcel;

/// What a node may be turned into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adversary {
    /// Two nodes with its key, which everybody hears: a double voter.
    Twin,
    /// Two nodes with its key: some hear the one, the others hear the other. As a leader it equivocates.
    Equivocator {
        /// Who hears the first one.
        first: Vec<u16>,
    },
    /// Its batches reach few, and as a leader it orders what hardly anybody has.
    Withholder {
        /// Whom they reach.
        to: Vec<u16>,
    },
    /// It sends garbage on every channel.
    Garbler,
    /// It sends as much as it can.
    Flooder,
    /// It forges certificates, pages, bundles and receipts.
    Forger,
    /// It sends old frames again.
    Replayer,
    /// Whatever it answers some nodes about final blocks and batches is garbage, and it tells them of heights that do not exist.
    Liar {
        /// To whom it lies.
        to: Vec<u16>,
    },
    /// Whatever it gives of a snapshot is false.
    Falsifier,
    /// Its clock is wrong.
    WrongClock {
        /// By how much, in milliseconds; behind where negative.
        ahead_ms: i64,
    },
    /// A bank that seals what no honest one would.
    Sealer,
}

impl Adversary {
    /// Its name in reports.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Twin => "twin",
            Self::Equivocator { .. } => "equivocator",
            Self::Withholder { .. } => "withholder",
            Self::Garbler => "garbler",
            Self::Flooder => "flooder",
            Self::Forger => "forger",
            Self::Replayer => "replayer",
            Self::Liar { .. } => "liar",
            Self::Falsifier => "falsifier",
            Self::WrongClock { .. } => "wrong clock",
            Self::Sealer => "sealer",
        }
    }

    /// Whether it takes two nodes.
    pub(crate) const fn is_twin(&self) -> bool {
        matches!(self, Self::Twin | Self::Equivocator { .. })
    }

    fn conduct(&self, arsenal: Arsenal) -> Option<Box<dyn Conduct>> {
        Some(match self {
            Self::Twin | Self::Equivocator { .. } => return None,
            Self::Withholder { to } => Box::new(Withholder::new(arsenal, to.clone())),
            Self::Garbler => Box::new(Garbler::new(arsenal)),
            Self::Flooder => Box::new(Flooder::new(arsenal)),
            Self::Forger => Box::new(Forger),
            Self::Replayer => Box::new(Replayer::new(arsenal)),
            Self::Liar { to } => Box::new(Liar::new(to.clone())),
            Self::Falsifier => Box::new(Falsifier),
            Self::WrongClock { ahead_ms } => Box::new(WrongClock::new(arsenal, *ahead_ms)),
            Self::Sealer => Box::new(Sealer::new(arsenal)),
        })
    }
}

/// One of two nodes that share a key; every honest node is [`End::Own`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    Own,
    Twin,
}

/// What an adversary does to frames. Each way answers how many misdeeds that were.
trait Conduct: Send {
    /// What leaves the node instead of this frame, and beside it.
    fn sends(&mut self, parcel: Parcel, out: &mut Vec<Parcel>) -> u64 {
        out.push(parcel);
        0
    }

    /// A frame arrives at it.
    fn hears(&mut self, _parcel: &Parcel) {}

    /// What it sends of its own accord, ten milliseconds after the last time.
    fn acts(&mut self, _now_ms: u64, _out: &mut Vec<Parcel>) -> u64 {
        0
    }

    /// What its relay sends beside a true bundle.
    fn relays(&mut self, _bundle: &Bundle) -> Vec<Bundle> {
        Vec::new()
    }

    /// What its clock shows.
    fn wall_ms(&self, now_ms: u64) -> u64 {
        now_ms
    }
}

/// The nodes that were turned. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Turned {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    at_work: BTreeMap<u16, Box<dyn Conduct>>,
    twins: Twins,
    /// By node, also of those that have stopped.
    deeds: BTreeMap<u16, (&'static str, u64)>,
}

impl Turned {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Turns a node.
    pub(crate) fn turn(&self, node: u16, into: &Adversary, arsenal: Arsenal) {
        let mut inner = self.inner();
        inner.deeds.insert(node, (into.name(), 0));
        match into {
            Adversary::Twin => inner.twins.add(node, None),
            Adversary::Equivocator { first } => inner.twins.add(node, Some(first)),
            _ => {
                let conduct = into.conduct(arsenal);
                inner.at_work.extend(conduct.map(|conduct| (node, conduct)));
            }
        }
    }

    /// Everybody does as it should again.
    pub(crate) fn stop(&self) {
        self.inner().at_work.clear();
    }

    /// What every node that was ever turned has done.
    pub(crate) fn deeds(&self) -> BTreeMap<u16, (&'static str, u64)> {
        self.inner().deeds.clone()
    }

    /// Whether a node was turned.
    pub(crate) fn is_turned(&self, node: u16) -> bool {
        self.inner().deeds.contains_key(&node)
    }

    /// Whether any node was.
    pub(crate) fn is_any(&self) -> bool {
        !self.inner().deeds.is_empty()
    }

    /// What really leaves a node.
    pub(crate) fn sends(&self, parcel: Parcel) -> Vec<Parcel> {
        let mut inner = self.inner();
        let Inner { at_work, twins, deeds } = &mut *inner;
        let from = parcel.from;
        let (mut out, mut done) = (Vec::with_capacity(1), twins.sends(&parcel));
        match at_work.get_mut(&from) {
            Some(conduct) => done += conduct.sends(parcel, &mut out),
            None => out.push(parcel),
        }
        count(deeds, from, done);
        out
    }

    /// What adversaries send of their own accord.
    pub(crate) fn acts(&self, now_ms: u64) -> Vec<Parcel> {
        let mut inner = self.inner();
        let Inner { at_work, deeds, .. } = &mut *inner;
        let mut out = Vec::new();
        for (node, conduct) in at_work {
            let done = conduct.acts(now_ms, &mut out);
            count(deeds, *node, done);
        }
        out
    }

    /// What a node's relay sends beside a true bundle.
    pub(crate) fn relays(&self, node: u16, bundle: &Bundle) -> Vec<Bundle> {
        let mut inner = self.inner();
        let Inner { at_work, deeds, .. } = &mut *inner;
        let forged = at_work.get_mut(&node).map(|conduct| conduct.relays(bundle)).unwrap_or_default();
        count(deeds, node, forged.len() as u64);
        forged
    }

    /// What a node's clock shows.
    pub(crate) fn wall_ms(&self, node: u16, now_ms: u64) -> u64 {
        self.inner().at_work.get(&node).map_or(now_ms, |conduct| conduct.wall_ms(now_ms))
    }

    /// Which ends of its receiver a frame reaches.
    pub(crate) fn delivers(&self, parcel: &Parcel) -> &'static [End] {
        let mut inner = self.inner();
        if let Some(conduct) = inner.at_work.get_mut(&parcel.to) {
            conduct.hears(parcel);
        }
        inner.twins.reached(parcel)
    }

    /// Whether a frame finds its way around a cut between honest nodes.
    pub(crate) fn is_bridge(&self, parcel: &Parcel) -> bool {
        let inner = self.inner();
        inner.twins.is_split(parcel.from) || inner.twins.is_split(parcel.to)
    }
}

fn count(deeds: &mut BTreeMap<u16, (&'static str, u64)>, node: u16, done: u64) {
    if let Some((_, count)) = deeds.get_mut(&node) {
        *count += done;
    }
}
