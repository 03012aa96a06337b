//! The fault scenarios: real processes, customers outside who pay throughout, and a verdict on every bank's copy. Each takes the folder
//! for its network's files, and how long or how often; tests run a short share, `bench faults` the whole.
//!
//! A wiped data directory is `tests/rejoin.rs`, a full disk `tests/disk.rs`. A slow disk needs privileges outside a simulation: the bottle
//! has it.

#![allow(clippy::unwrap_used, reason = "a harness fails loudly")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use ledger::values::{ChainId, Hasher};

use crate::cluster::now_ms;
use crate::proxy::{Passage, Proxies};
use crate::town::millis;
use crate::{Clock, Cluster, Figures, Town, jiaozi_binary};

const BANKS: usize = 4;
const ALL: [usize; BANKS] = [0, 1, 2, 3];
/// The bank that faults befall alone.
const VICTIM: usize = 3;
/// Longest wait for a block once nothing is in its way any more; measured, and bounded more tightly by whoever asserts it.
const BLOCK_WAIT: Duration = Duration::from_secs(60);
/// What must be certified while a fault lasts that leaves a quorum.
const MEANWHILE: u64 = 20;
/// Messages on their way when links are cut may still finish a block.
const SETTLED: Duration = Duration::from_secs(1);
/// Ten years, as libfaketime reads it, and the least of it that the chain's blocks must show.
const TEN_YEARS: &str = "+3652d";
const NINE_YEARS_MS: u64 = 9 * 365 * 86_400_000;
/// How long a process may take to see that its clock was set: libfaketime looks once a second.
const CLOCK_SEEN: Duration = Duration::from_secs(2);

/// SIGKILL at moments that follow from a seed: mostly one bank, sometimes two, sometimes all; some are killed again while they start.
/// Ends after at least `kills`.
///
/// # Panics
/// When the network does not come back: this is a test.
pub async fn kills(directory: &Path, kills: u64, seed: u64) -> Figures {
    let mut town = Town::start(Cluster::create(directory, BANKS)).await;
    let (mut draw, mut done) = (Draw { seed, step: 0 }, 0);
    let (mut stall, mut without_quorum, mut first_block) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let mut rounds_of = [0_u64; 3];
    // Whether some bank may still be starting.
    let mut is_starting = false;
    while done < kills {
        tokio::time::sleep(Duration::from_millis(200 + draw.below(2_000))).await;
        let first = usize::try_from(draw.below(4)).unwrap();
        let (victims, kind) = match draw.below(10) {
            0 => (ALL.to_vec(), 2),
            1 | 2 => (vec![first, (first + 1) % BANKS], 1),
            _ => (vec![first], 0),
        };
        let had_quorum = !is_starting && kind == 0;
        town.cluster.signal(&victims, "KILL");
        for victim in &victims {
            town.cluster.kill(*victim);
        }
        done += victims.len() as u64;
        if let Some(count) = rounds_of.get_mut(kind) {
            *count += 1;
        }
        tokio::time::sleep(Duration::from_millis(draw.below(1_000))).await;
        // One in four is not waited for: the next kill may come while it starts.
        let is_awaited = draw.below(4) > 0 || done >= kills;
        if is_awaited {
            town.start_again(&victims).await;
            for bank in ALL {
                town.cluster.wait_ready(bank, BLOCK_WAIT).await;
            }
            // A stall counts for the round that it began in.
            first_block = first_block.max(town.pulse.next_block(BLOCK_WAIT).await);
        } else {
            for victim in &victims {
                town.cluster.spawn(*victim, &jiaozi_binary());
            }
        }
        let longest = town.pulse.take_longest();
        if had_quorum && is_awaited {
            stall = stall.max(longest);
        } else {
            without_quorum = without_quorum.max(longest);
        }
        is_starting = !is_awaited;
    }
    let [one, two, all] = rounds_of;
    let more = [
        ("kills", done),
        ("rounds_of_one", one),
        ("rounds_of_two", two),
        ("rounds_of_all", all),
        ("longest_stall_of_other_rounds_ms", millis(without_quorum)),
        ("first_block_after_all_ready_ms", millis(first_block)),
    ];
    town.judge("kills", stall, more.into()).await
}

/// SIGSTOP of one bank for `pause`, longer than what its peers wait for a sign of life; then of all.
///
/// # Panics
/// As [`kills`].
pub async fn pauses(directory: &Path, pause: Duration) -> Figures {
    let town = Town::start(Cluster::create(directory, BANKS)).await;
    town.cluster.signal(&[VICTIM], "STOP");
    town.meanwhile(pause, "while one bank is stopped").await;
    town.cluster.signal(&[VICTIM], "CONT");
    let caught_up = town.caught_up(VICTIM).await;
    let stall = town.pulse.take_longest();
    town.cluster.signal(&ALL, "STOP");
    tokio::time::sleep(pause).await;
    town.cluster.signal(&ALL, "CONT");
    let first_block = town.pulse.next_block(BLOCK_WAIT).await;
    let _all_were_stopped = town.pulse.take_longest();
    let more = [
        ("pause_ms", millis(pause)),
        ("caught_up_ms", millis(caught_up)),
        ("first_block_after_all_ms", millis(first_block)),
    ];
    town.judge("pauses", stall, more.into()).await
}

/// SIGTERM and a start of one bank after the other, as for a new version; the next one when the last one serves again.
///
/// # Panics
/// As [`kills`].
pub async fn rolling(directory: &Path, rounds: u64) -> Figures {
    let mut town = Town::start(Cluster::create(directory, BANKS)).await;
    let mut longest = Duration::ZERO;
    for bank in (0..rounds).flat_map(|_| ALL) {
        let started = Instant::now();
        town.cluster.restart(bank, &jiaozi_binary()).await;
        town.cluster.wait_ready(bank, BLOCK_WAIT).await;
        longest = longest.max(started.elapsed());
        town.load.goes_on(MEANWHILE / 4, "between two restarts").await;
    }
    let stall = town.pulse.take_longest();
    let more = [("restarts", rounds * BANKS as u64), ("longest_restart_ms", millis(longest))];
    town.judge("rolling", stall, more.into()).await
}

/// SIGKILL of one bank after the other: each is away for `away`, and when it serves again the next one is killed at once. A bank that is back
/// must be counted on, so all its links must be up soon, also to those that have long been dialing it in vain.
///
/// # Panics
/// As [`kills`].
pub async fn succession(directory: &Path, away: Duration, rounds: usize) -> Figures {
    let mut town = Town::start(Cluster::create(directory, BANKS)).await;
    let mut gone = 0;
    town.cluster.kill(gone);
    for _ in 0..rounds {
        town.meanwhile(away, "with one bank dead").await;
        town.start_again(&[gone]).await;
        gone = (gone + 1) % BANKS;
        town.cluster.kill(gone);
    }
    town.meanwhile(away, "with the last one dead").await;
    let stall = town.pulse.take_longest();
    town.start_again(&[gone]).await;
    let more = [("kills", rounds as u64 + 1), ("away_ms", millis(away))];
    town.judge("succession", stall, more.into()).await
}

/// One bank of four dead for so long.
///
/// # Panics
/// As [`kills`].
pub async fn one_dead(directory: &Path, dead: Duration) -> Figures {
    let mut town = Town::start(Cluster::create(directory, BANKS)).await;
    town.cluster.kill(VICTIM);
    town.meanwhile(dead, "with one bank dead").await;
    let stall = town.pulse.take_longest();
    town.start_again(&[VICTIM]).await;
    let caught_up = town.caught_up(VICTIM).await;
    let more = [("dead_ms", millis(dead)), ("caught_up_ms", millis(caught_up))];
    town.judge("one-dead", stall, more.into()).await
}

/// Every clock ten years ahead from the start, and a bank that is killed there: its links, keys and certificates are as good as today.
///
/// # Panics
/// As [`kills`], and when the chain's blocks do not show these years: then the clocks were right.
pub async fn clocks_ahead(directory: &Path, then: Duration) -> Figures {
    let mut cluster = Cluster::create(directory, BANKS);
    let clock = Clock::new(directory, TEN_YEARS);
    for bank in ALL {
        cluster.set_environment(bank, clock.environment());
    }
    let mut town = Town::start(cluster).await;
    let chain = town.cluster.client(0).chain(ChainId(0)).await.unwrap();
    let ahead_ms = chain.progress.unwrap().timestamp_ms.saturating_sub(now_ms());
    assert!(ahead_ms > NINE_YEARS_MS, "blocks are only {ahead_ms} ms ahead");
    town.cluster.kill(VICTIM);
    town.load.goes_on(MEANWHILE, "ten years ahead, with one bank dead").await;
    town.start_again(&[VICTIM]).await;
    town.caught_up(VICTIM).await;
    town.meanwhile(then, "ten years ahead").await;
    let stall = town.pulse.take_longest();
    let more = [("days_ahead", ahead_ms / 86_400_000)];
    town.judge("clocks-ahead", stall, more.into()).await
}

/// One bank's clock is set five minutes ahead, then five behind, then right, while it runs; each for `wrong`. Payments go on, and the bank
/// says that its clock was set.
///
/// # Panics
/// As [`kills`].
pub async fn clock_off(directory: &Path, wrong: Duration) -> Figures {
    let mut cluster = Cluster::create(directory, BANKS);
    let clock = Clock::new(directory, "+0");
    cluster.set_environment(VICTIM, clock.environment());
    let town = Town::start(cluster).await;
    let mut more = BTreeMap::new();
    let (mut stall, mut steps) = (Duration::ZERO, clock_steps(&town.cluster).await);
    for (set, stall_name, steps_name) in [
        ("+300", "stall_ahead_ms", "steps_told_ahead"),
        ("-300", "stall_behind_ms", "steps_told_behind"),
        ("+0", "stall_right_again_ms", "steps_told_right_again"),
    ] {
        let _before = town.pulse.take_longest();
        clock.set(set);
        town.meanwhile(wrong.max(CLOCK_SEEN), set).await;
        let longest = town.pulse.take_longest();
        let told = clock_steps(&town.cluster).await;
        more.insert(stall_name, millis(longest));
        more.insert(steps_name, told.saturating_sub(steps));
        (stall, steps) = (stall.max(longest), told);
    }
    town.judge("clock-off", stall, more).await
}

/// Links cut by proxies, each for `cut`: three banks and one, then two and two, then one bank that is heard by nobody, then one that hears
/// nobody.
///
/// # Panics
/// As [`kills`], and when two of four make a block.
pub async fn partitions(directory: &Path, cut: Duration) -> Figures {
    let mut cluster = Cluster::create(directory, BANKS);
    let doors = cluster.set_apart();
    let proxies = Proxies::start(directory, doors).await;
    let town = Town::start(cluster).await;

    proxies.part(&[VICTIM]);
    town.meanwhile(cut, "with one bank cut off").await;
    proxies.heal();
    let caught_up = town.caught_up(VICTIM).await;
    let stall = town.pulse.take_longest();

    proxies.part(&[0, 1]);
    tokio::time::sleep(SETTLED).await;
    let (height, certified) = (town.pulse.height(), town.load.certified());
    tokio::time::sleep(cut).await;
    assert_eq!(town.pulse.height(), height, "two of four have made a block");
    let stood = town.load.certified() - certified;
    proxies.heal();
    let healed = town.pulse.next_block(BLOCK_WAIT).await;
    let _no_quorum = town.pulse.take_longest();

    for other in ALL.into_iter().filter(|other| *other != VICTIM) {
        proxies.set(VICTIM, other, Passage::Cut);
    }
    town.meanwhile(cut, "with one bank that nobody hears").await;
    proxies.heal();
    let unheard = town.caught_up(VICTIM).await;
    let unheard_stall = town.pulse.take_longest();
    for other in ALL.into_iter().filter(|other| *other != VICTIM) {
        proxies.set(other, VICTIM, Passage::Cut);
    }
    town.meanwhile(cut, "with one bank that hears nobody").await;
    proxies.heal();
    let deaf = town.caught_up(VICTIM).await;
    let deaf_stall = town.pulse.take_longest();
    let more = [
        ("cut_ms", millis(cut)),
        ("caught_up_after_3_1_ms", millis(caught_up)),
        ("certified_during_2_2", stood),
        ("first_block_after_2_2_ms", millis(healed)),
        ("caught_up_after_unheard_ms", millis(unheard)),
        ("caught_up_after_deaf_ms", millis(deaf)),
    ];
    town.judge("partitions", stall.max(unheard_stall).max(deaf_stall), more.into()).await
}

impl Town {
    /// Waits for so long, in which payments must go on.
    async fn meanwhile(&self, time: Duration, when: &str) {
        let started = Instant::now();
        self.load.goes_on(MEANWHILE, when).await;
        tokio::time::sleep(time.saturating_sub(started.elapsed())).await;
    }

    /// Waits until a bank has executed what had been seen at any bank when this was called.
    async fn caught_up(&self, bank: usize) -> Duration {
        let (started, height) = (Instant::now(), self.pulse.height());
        let client = self.cluster.client(bank);
        while client.ready().await.map_or(0, |ready| ready.chains.first().map_or(0, |chain| chain.height))
            < height
        {
            assert!(started.elapsed() < BLOCK_WAIT, "bank {bank} is below {height}\n{}", self.cluster.logs());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        started.elapsed()
    }
}

/// How often the victim has told that its wall clock was set.
async fn clock_steps(cluster: &Cluster) -> u64 {
    let page = cluster.client(VICTIM).metrics().await.unwrap();
    let line = page.lines().find(|line| line.starts_with("jiaozi_chain_clock_steps_total")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Numbers that follow from a seed.
struct Draw {
    seed: u64,
    step: u64,
}

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.step += 1;
        let hash = Hasher::new("jiaozi/test-faults").number(self.seed).number(self.step).finish();
        hash.0.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte)) % bound
    }
}
