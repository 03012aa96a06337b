//! Two nodes with one key: what a bank has that restored a copy and forgot to stop the original, or that means harm.
//!
//! Both run the whole pipeline, from disks and journals of their own. Heard by everybody, they propose and vote twice in one view
//! sooner or later, and everybody has the proof. Split, each half of the network sees one of them, and each sees one half: this is
//! an equivocating leader, and with more than `f` of them a fork.

use std::collections::{BTreeMap, BTreeSet};

use chain::Frame;
use ledger::values::{BlockDigest, ChainId, GenesisHash, ValidatorIndex, View};

use super::End;
use crate::links::{Content, Parcel};

/// All nodes that are two.
#[derive(Default)]
pub(super) struct Twins {
    /// By node: who hears the first one; `None` where everybody hears both.
    split: BTreeMap<u16, Option<BTreeSet<u16>>>,
    /// What each of two leaders with one key proposed, until the other one proposes too.
    proposed: BTreeMap<(ChainId, ValidatorIndex, View), (End, BTreeSet<BlockDigest>)>,
}

/// Views of which proposals are remembered.
const PROPOSED_MAX: usize = 64;

impl Twins {
    pub(super) fn add(&mut self, node: u16, first: Option<&Vec<u16>>) {
        self.split.insert(node, first.map(|first| first.iter().copied().collect()));
    }

    /// Counts the views in which two leaders with one key proposed different blocks.
    pub(super) fn sends(&mut self, parcel: &Parcel) -> u64 {
        let Content::Chain(bytes) = &parcel.content else { return 0 };
        if !self.split.contains_key(&parcel.from) {
            return 0;
        }
        let Ok(Frame::Block(block)) = Frame::decode(bytes) else { return 0 };
        let header = &block.header;
        let place = (parcel.chain, header.proposer, header.view);
        // Any genesis will do to tell two blocks apart.
        let mark = header.digest(GenesisHash::default());
        let (first, marks) = self.proposed.entry(place).or_insert((parcel.end, BTreeSet::new()));
        let is_second = *first != parcel.end && marks.len() == 1 && marks.insert(mark);
        if marks.is_empty() {
            marks.insert(mark);
        }
        while self.proposed.len() > PROPOSED_MAX {
            self.proposed.pop_first();
        }
        u64::from(is_second)
    }

    pub(super) fn is_split(&self, node: u16) -> bool {
        self.split.get(&node).is_some_and(Option::is_some)
    }

    /// The side of a split node on which a frame's sender stands: an honest one where the node's list puts it.
    fn side(&self, first: &BTreeSet<u16>, from: u16, end: End) -> End {
        match self.split.get(&from) {
            Some(Some(_)) => end,
            _ if first.contains(&from) => End::Own,
            _ => End::Twin,
        }
    }

    /// Which ends of its receiver a frame reaches.
    pub(super) fn reached(&self, parcel: &Parcel) -> &'static [End] {
        const NONE: &[End] = &[];
        const OWN: &[End] = &[End::Own];
        const TWIN: &[End] = &[End::Twin];
        const BOTH: &[End] = &[End::Own, End::Twin];
        match self.split.get(&parcel.to) {
            Some(None) => BOTH,
            Some(Some(first)) => match self.side(first, parcel.from, parcel.end) {
                End::Own => OWN,
                End::Twin => TWIN,
            },
            None => match self.split.get(&parcel.from) {
                Some(Some(first)) if first.contains(&parcel.to) != (parcel.end == End::Own) => NONE,
                _ => OWN,
            },
        }
    }
}
