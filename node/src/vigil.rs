//! What a node remembers of how its chains went, for whoever asks why it is stuck: since when a height stands, since when a validator is
//! not heard, how fast blocks come, how the clock compares with theirs, how free space falls.
//!
//! One task looks every [`LOOK_MS`] at what the drivers published. It asks nobody and waits for nobody, so it goes on when a chain does not;
//! nothing of the protocol is decided by it. What is kept is bounded by the registry and by the constants here, and is gone after a restart.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chain::config::HEARD_WITHIN_MS;
use ledger::values::{ChainId, Height, NodeIndex, PublicKey};

use crate::admission::wall_clock;
use crate::handle::{ChainHandle, Status};

/// Pause between two looks.
const LOOK_MS: u64 = 1_000;
/// How far back the pace of blocks is kept.
const PACE_MS: u64 = 30_000;
/// How far back clocks are compared.
const CLOCK_MS: u64 = 60_000;
/// Fewer comparisons tell nothing.
const CLOCK_LOOKS_MIN: usize = 5;
/// A node this many heights behind sees blocks late for another reason than its clock.
const NEAR_HEIGHTS: u64 = 4;
/// What a block may take from its proposal until it is seen here, the pause between two looks included.
const BLOCK_TAKES_MS: u64 = 2_000;
/// Pause between two looks at how free space falls, and how many are kept: a day.
const DISK_MS: u64 = 300_000;
const DISK_LOOKS_MAX: usize = 288;
/// Free space that was watched for less tells nothing: compactions come and go.
const DISK_SPAN_MS: u64 = 3_600_000;
const MS_OF_HOUR: u64 = 3_600_000;

/// A node's memory of itself. Clones share it.
#[derive(Clone)]
pub struct Vigil(Arc<Inner>);

struct Inner {
    own: Own,
    started: Instant,
    board: Mutex<Board>,
}

/// What does not change while the node runs.
#[derive(Debug, Default)]
pub(crate) struct Own {
    pub(crate) reserve_bytes: u64,
    /// Its consensus keys, with the files that they are from.
    pub(crate) keys: Vec<OwnKey>,
    /// When the certificate of the REST address ends.
    pub(crate) certificate_expires_ms: Option<u64>,
}

/// A consensus key of this node.
#[derive(Debug)]
pub(crate) struct OwnKey {
    pub(crate) chain: ChainId,
    pub(crate) key: PublicKey,
    pub(crate) file: PathBuf,
}

#[derive(Debug, Default)]
struct Board {
    chains: BTreeMap<ChainId, Course>,
    disk: DiskCourse,
}

impl Vigil {
    pub(crate) fn new(own: Own) -> Self {
        Self(Arc::new(Inner { own, started: Instant::now(), board: Mutex::default() }))
    }

    pub(crate) fn own(&self) -> &Own {
        &self.0.own
    }

    /// Since the start, on the monotonic clock.
    pub(crate) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A copy of what is known of a chain.
    pub(crate) fn course(&self, chain: ChainId) -> Course {
        self.board().chains.get(&chain).cloned().unwrap_or_default()
    }

    /// Hours until free space reaches the reserve.
    pub(crate) fn disk_hours_left(&self) -> Option<u64> {
        self.board().disk.hours_left(self.0.own.reserve_bytes)
    }

    /// Looks until it is aborted.
    pub(crate) async fn follow(self, handles: Vec<ChainHandle>) {
        loop {
            self.look(&handles);
            tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
        }
    }

    pub(crate) fn look(&self, handles: &[ChainHandle]) {
        let (elapsed_ms, wall_ms) = (self.elapsed_ms(), wall_clock().0);
        for handle in handles {
            let (status, silent) = (handle.now(), handle.silent());
            let block_ms = handle.market.newest_timestamp_ms();
            let mut board = self.board();
            board.chains.entry(handle.chain()).or_default().look(
                (elapsed_ms, wall_ms),
                &status,
                &silent,
                block_ms,
            );
            board.disk.look(elapsed_ms, status.disk_free_bytes);
        }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        // Nothing in here can be left half done.
        self.0.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a chain went. Moments are milliseconds since the node's start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Course {
    /// The executed height, and since when it is that.
    height: Option<(Height, u64)>,
    /// Since when validators' nodes are not heard.
    silent: BTreeMap<NodeIndex, u64>,
    /// When, how far this node was, how far the others were.
    pace: VecDeque<(u64, u64, u64)>,
    /// When, and how much later than its timestamp a fresh block was seen.
    lateness: VecDeque<(u64, i64)>,
}

impl Course {
    fn look(
        &mut self,
        (elapsed_ms, wall_ms): (u64, u64),
        status: &Status,
        silent: &[NodeIndex],
        block_ms: Option<u64>,
    ) {
        let executed = status.chain.executed_height;
        let announced = status.chain.highest_announced.unwrap_or_default().max(executed);
        let is_near = announced.0.saturating_sub(executed.0) <= NEAR_HEIGHTS;
        // The first height that is seen may be an old one.
        let is_fresh = self.height.is_some_and(|(height, _)| height < executed);
        if is_fresh
            && is_near
            && let Some(block_ms) = block_ms
        {
            self.lateness.push_back((elapsed_ms, difference(wall_ms, block_ms)));
        }
        if self.height.is_none_or(|(height, _)| height != executed) {
            self.height = Some((executed, elapsed_ms));
        }
        self.silent.retain(|node, _| silent.contains(node));
        for node in silent {
            self.silent.entry(*node).or_insert(elapsed_ms.saturating_sub(HEARD_WITHIN_MS));
        }
        self.pace.push_back((elapsed_ms, executed.0, announced.0));
        let is_old = |then: u64, kept_ms: u64| elapsed_ms.saturating_sub(then) > kept_ms;
        while self.pace.front().is_some_and(|(then, ..)| is_old(*then, PACE_MS)) {
            self.pace.pop_front();
        }
        while self.lateness.front().is_some_and(|(then, _)| is_old(*then, CLOCK_MS)) {
            self.lateness.pop_front();
        }
    }

    /// Since when the executed height is what it is.
    pub(crate) fn height_since(&self) -> Option<u64> {
        self.height.map(|(_, since)| since)
    }

    /// Since when a node is not heard.
    pub(crate) fn silent_since(&self, node: NodeIndex) -> Option<u64> {
        self.silent.get(&node).copied()
    }

    /// Blocks executed for each thousand seconds.
    pub(crate) fn blocks_per_1000_s(&self) -> u64 {
        let (Some(first), Some(last)) = (self.pace.front(), self.pace.back()) else { return 0 };
        per_1000_s(last.1.saturating_sub(first.1), last.0.saturating_sub(first.0))
    }

    /// Blocks by which it comes nearer to the others for each thousand seconds.
    pub(crate) fn closing_per_1000_s(&self) -> u64 {
        let (Some(first), Some(last)) = (self.pace.front(), self.pace.back()) else { return 0 };
        let (was, is) = (first.2.saturating_sub(first.1), last.2.saturating_sub(last.1));
        per_1000_s(was.saturating_sub(is), last.0.saturating_sub(first.0))
    }

    /// How far this machine's clock is ahead of the blocks' timestamps beyond what a block takes. The least late block tells: a network that
    /// is slow for a while makes the others late.
    pub(crate) fn clock_ahead_ms(&self) -> Option<i64> {
        if self.lateness.len() < CLOCK_LOOKS_MIN {
            return None;
        }
        let least = self.lateness.iter().map(|(_, late)| *late).min()?;
        let takes = i64::try_from(BLOCK_TAKES_MS).unwrap_or(i64::MAX);
        Some(if least > takes { least.saturating_sub(takes) } else { least.min(0) })
    }
}

/// `one` minus `other`.
pub(crate) fn difference(one: u64, other: u64) -> i64 {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    number(one).saturating_sub(number(other))
}

fn per_1000_s(count: u64, took_ms: u64) -> u64 {
    count.saturating_mul(1_000_000).checked_div(took_ms).unwrap_or(0)
}

/// How free space fell: when, and what was free.
#[derive(Debug, Default)]
struct DiskCourse(VecDeque<(u64, u64)>);

impl DiskCourse {
    fn look(&mut self, elapsed_ms: u64, free_bytes: u64) {
        let is_due = self.0.back().is_none_or(|(then, _)| elapsed_ms.saturating_sub(*then) >= DISK_MS);
        // Before the first look of a driver nothing is known.
        if is_due && free_bytes != u64::MAX {
            self.0.push_back((elapsed_ms, free_bytes));
            if self.0.len() > DISK_LOOKS_MAX {
                self.0.pop_front();
            }
        }
    }

    fn hours_left(&self, reserve_bytes: u64) -> Option<u64> {
        let ((from_ms, had), (to_ms, has)) = (*self.0.front()?, *self.0.back()?);
        let took_ms = to_ms.saturating_sub(from_ms);
        let fell = had.checked_sub(has).filter(|fell| *fell > 0 && took_ms >= DISK_SPAN_MS)?;
        let left = u128::from(has.saturating_sub(reserve_bytes)) * u128::from(took_ms);
        u64::try_from(left / u128::from(fell) / u128::from(MS_OF_HOUR)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::why::tests::status;

    const SECOND: u64 = 1_000;

    /// A chain that executes a block in each second, which is seen `late_ms` after its timestamp.
    fn course(seconds: u64, late_ms: i64, behind: u64) -> Course {
        let mut course = Course::default();
        for second in 0..seconds {
            let mut status = status();
            status.chain.executed_height = Height(100 + second);
            status.chain.highest_announced = Some(Height(100 + second + behind));
            let wall_ms = 1_000_000 + second * SECOND;
            let block_ms = wall_ms.checked_add_signed(-late_ms);
            course.look((second * SECOND, wall_ms), &status, &[], block_ms);
        }
        course
    }

    #[test]
    fn the_clock_is_judged_by_fresh_blocks_alone() {
        for (seconds, late_ms, behind, expected) in [
            (30, 400, 1, Some(0)),
            (30, 2_000, 1, Some(0)),
            (30, 300_000, 1, Some(298_000)),
            (30, -300_000, 1, Some(-300_000)),
            (5, 300_000, 1, None),
            (6, 300_000, 1, Some(298_000)),
            (30, 300_000, 500, None),
        ] {
            let found = course(seconds, late_ms, behind).clock_ahead_ms();
            assert_eq!(found, expected, "{seconds} s, {late_ms} ms late, {behind} behind");
        }
    }

    #[test]
    fn one_slow_block_says_nothing_of_the_clock() {
        let mut course = course(30, 400, 1);
        let mut now = status();
        now.chain.executed_height = Height(500);
        now.chain.highest_announced = Some(Height(500));
        course.look((31_000, 1_031_000), &now, &[], Some(1_000_000));
        assert_eq!(course.clock_ahead_ms(), Some(0));
    }

    #[test]
    fn a_height_stands_since_it_was_first_seen_and_silence_since_the_last_word() {
        let mut course = course(30, 400, 0);
        assert_eq!((course.height_since(), course.blocks_per_1000_s()), (Some(29_000), 1_000));
        let mut now = status();
        now.chain.executed_height = Height(129);
        course.look((40_000, 0), &now, &[NodeIndex(2)], None);
        course.look((50_000, 0), &now, &[NodeIndex(2)], None);
        assert_eq!(course.height_since(), Some(29_000));
        assert_eq!(course.silent_since(NodeIndex(2)), Some(40_000 - HEARD_WITHIN_MS));
        course.look((51_000, 0), &now, &[], None);
        assert_eq!(course.silent_since(NodeIndex(2)), None);
    }

    #[test]
    fn a_node_comes_nearer_by_what_it_makes_beyond_the_others() {
        let mut course = Course::default();
        for second in 0..=10 {
            let mut now = status();
            now.chain.executed_height = Height(100 * second);
            now.chain.highest_announced = Some(Height(5_000 + 2 * second));
            course.look((second * SECOND, 0), &now, &[], None);
        }
        assert_eq!((course.blocks_per_1000_s(), course.closing_per_1000_s()), (100_000, 98_000));
    }

    #[test]
    fn free_space_tells_after_an_hour_that_it_fell() {
        const GIB: u64 = 1 << 30;
        let disk = |looks: u64, fall: u64| {
            let mut disk = DiskCourse::default();
            for look in 0..looks {
                disk.look(look * DISK_MS, 100 * GIB - look * fall);
                disk.look(look * DISK_MS + 1, 0);
            }
            disk
        };
        assert_eq!(disk(12, GIB).hours_left(4 * GIB), None, "55 minutes");
        assert_eq!(disk(13, GIB).hours_left(4 * GIB), Some(7), "12 GiB an hour, 84 to go");
        assert_eq!(disk(13, 0).hours_left(4 * GIB), None, "it does not fall");
        assert_eq!(disk(13, GIB).hours_left(200 * GIB), Some(0), "below the reserve already");
        assert_eq!(disk(1_000, GIB / 1_024).0.len(), DISK_LOOKS_MAX);
    }
}
