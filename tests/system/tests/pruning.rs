//! Pruning with real processes: one bank prunes by its policy alone, one only what an archive holds, one keeps all, and one is off meanwhile.
//! Requests for what is gone are refused with the lowest height that is held, the auditor replays through the archive, and the bank that was off
//! for too long is told so and joins by a snapshot.
//!
//! Nothing of the last four minutes of block time is ever pruned: all clocks are set five minutes ahead while the banks run.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use api::why::{FindingCode, Severity};
use api::{ClientError, ErrorCode, HistoryQuery};
use ledger::records::Operation;
use ledger::values::{Amount, ChainId, Height};
use node::config::{HistorySection, JoinBy, KEEP_BLOCKS_BOUNDS, SnapshotsSection};
use system::{Clock, Cluster, Outside, Payer, Purse, jiaozi_binary};

const ROOT: ChainId = ChainId(0);
const WAIT: Duration = Duration::from_secs(120);
const KEEPS: usize = 0;
const PRUNES: usize = 1;
const ARCHIVED: usize = 2;
const LATE: usize = 3;
/// As few as may be configured.
const KEEP_BLOCKS: u64 = KEEP_BLOCKS_BOUNDS.0;
/// Spans so short that a test can wait for them.
const SNAPSHOTS: SnapshotsSection = SnapshotsSection { every_ms: 2_000, behind_blocks: 20 };

fn jiaozi(arguments: &[&str], paths: &[(&str, &Path)]) -> Output {
    let mut command = Command::new(jiaozi_binary());
    command.args(arguments).env_remove("JIAOZI_NODE").env_remove("JIAOZI_TOKEN_FILE");
    for (option, path) in paths {
        command.arg(option).arg(path);
    }
    command.output().unwrap()
}

async fn certified(cluster: &Cluster, bank: usize) -> u64 {
    cluster.client(bank).ready().await.unwrap().chains[0].certified_height
}

async fn pruned_below(cluster: &Cluster, bank: usize) -> u64 {
    let chain = cluster.client(bank).chain(ROOT).await.unwrap();
    chain.progress.unwrap().pruned_below.unwrap_or_default()
}

/// Waits until a bank has pruned up to a height or further; where it is then.
async fn prunes(cluster: &Cluster, bank: usize, below: u64) -> u64 {
    let end = Instant::now() + WAIT;
    loop {
        let reached = pruned_below(cluster, bank).await;
        if reached >= below {
            return reached;
        }
        assert!(
            Instant::now() < end,
            "bank {bank} has pruned below {reached}, not {below}\n{}",
            cluster.logs()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn is_pruned<T: std::fmt::Debug>(answer: Result<T, ClientError>) {
    match answer {
        Err(ClientError::Refused(error)) if error.code == ErrorCode::Pruned.code() => {}
        other => panic!("it answered {other:?}"),
    }
}

/// What the bank has pruned it refuses; what it holds is what the one has that keeps all.
async fn serves_what_it_holds(cluster: &Cluster, below: u64, payer: &Payer) {
    let [pruned, whole] = [PRUNES, KEEPS].map(|bank| cluster.client(bank));
    for height in [1, below - 1] {
        is_pruned(pruned.block(ROOT, Height(height)).await);
        is_pruned(pruned.outcomes(ROOT, Height(height)).await);
        is_pruned(pruned.feed(ROOT, Height(height)).next().await.map(drop));
        assert!(whole.block(ROOT, Height(height)).await.is_ok());
    }
    let height = Height(certified(cluster, PRUNES).await.min(certified(cluster, KEEPS).await));
    let (own, other) = (pruned.block(ROOT, height).await.unwrap(), whole.block(ROOT, height).await.unwrap());
    assert_eq!(own.result.unwrap().state_root, other.result.unwrap().state_root);
    let lines = |client: api::Client| async move {
        let query = HistoryQuery { chain: Some(ROOT.0), limit: Some(500), ..HistoryQuery::default() };
        client.history(payer.wallet, query).await.unwrap().entries
    };
    let (left, all) = (lines(pruned.clone()).await, lines(whole).await);
    assert!(!left.is_empty() && left.len() < all.len(), "{} of {} lines", left.len(), all.len());
    assert!(left.iter().all(|line| line.height >= below));
    let metrics = pruned.metrics().await.unwrap();
    let line = metrics.lines().find(|line| line.starts_with("jiaozi_chain_pruned_below_height{chain=\"0\"}"));
    assert!(line.is_some_and(|line| !line.ends_with(" 0")), "{line:?}");
}

/// From genesis through the archive into what the node has above it.
fn replays(cluster: &Cluster, bank: usize, archives: &Path) -> Output {
    let genesis = cluster.directory.join("genesis.json");
    jiaozi(
        &["audit", "replay", "--node", &cluster.url(bank)],
        &[("--archive", archives), ("--genesis", &genesis)],
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn banks_prune_an_auditor_replays_and_who_was_off_for_too_long_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::create(directory.path(), 4);
    let clock = Clock::new(directory.path(), "+0");
    let archives = directory.path().join("archives");
    std::fs::create_dir(&archives).unwrap();
    for bank in 0..4 {
        cluster.set_environment(bank, clock.environment());
        cluster.configure(bank, |config| config.snapshots = SNAPSHOTS);
    }
    let by_policy = HistorySection { keep_blocks: Some(KEEP_BLOCKS), archive_directory: None };
    cluster.configure(PRUNES, |config| config.history = by_policy.clone());
    let archive_directory = Some(archives.clone());
    cluster.configure(ARCHIVED, |config| {
        config.history = HistorySection { archive_directory, ..by_policy.clone() }
    });
    cluster.spawn_ready(0..4).await;

    let (central, bank) = (&cluster.localnet.central_bank, &cluster.localnet.banks[0].operator);
    let central = Payer::operator(&cluster.localnet, central.id, &central.wallet_key);
    let payer = Payer::operator(&cluster.localnet, bank.id, &bank.wallet_key);
    cluster.issue_first(ROOT, payer.wallet, 1_000_000).await;
    let serving: Vec<_> = (0..LATE).map(|bank| cluster.client(bank)).collect();
    // Blocks come as often as they may only while there is something to order, so several pay.
    let mut purses = vec![Purse { payer: payer.clone(), sequence: 0, chain: ROOT }];
    for (sequence, bank) in (2..).zip(&cluster.localnet.banks[1..]) {
        let payer = Payer::operator(&cluster.localnet, bank.operator.id, &bank.operator.wallet_key);
        let issue = Operation::Issue { to: payer.wallet, amount: Amount::from_fen(1_000_000) };
        cluster.certify(0, &central.sign(sequence, issue)).await;
        purses.push(Purse { payer, sequence: 0, chain: ROOT });
    }
    let load = Outside::start(&serving, purses, &[central.wallet], 4);
    load.goes_on(25, "while all are well").await;

    let archived = certified(&cluster, KEEPS).await;
    let (genesis, out) = (cluster.directory.join("genesis.json"), archives.join("0-1.archive"));
    let (node, to) = (cluster.url(KEEPS), archived.to_string());
    let created = jiaozi(
        &["archive", "create", "--node", &node, "--from", "1", "--to", &to],
        &[("--out", &out), ("--genesis", &genesis)],
    );
    assert!(created.status.success(), "{created:?}");
    let late = cluster.client(LATE).ready().await.unwrap().chains[0].height;
    cluster.kill(LATE);
    load.goes_on(5, "with a bank off").await;
    assert_eq!(pruned_below(&cluster, PRUNES).await, 0, "all of it is young");
    let before = certified(&cluster, KEEPS).await;
    clock.set("+300");
    load.goes_on(10, "five minutes later").await;

    let below = prunes(&cluster, PRUNES, before).await;
    assert!(below > late + 1 && below > archived + 1);
    assert_eq!(prunes(&cluster, ARCHIVED, archived + 1).await, archived + 1, "no further than the archive");
    assert_eq!(pruned_below(&cluster, KEEPS).await, 0);
    serves_what_it_holds(&cluster, below, &payer).await;

    let whole = replays(&cluster, ARCHIVED, &archives);
    assert!(whole.status.success(), "{whole:?}");
    let gap = replays(&cluster, PRUNES, &archives);
    assert!(!gap.status.success() && String::from_utf8_lossy(&gap.stderr).contains("pruned"), "{gap:?}");

    // A start finds what was left.
    cluster.restart(PRUNES, &jiaozi_binary()).await;
    cluster.wait_ready(PRUNES, WAIT).await;
    assert!(pruned_below(&cluster, PRUNES).await >= below);
    load.goes_on(5, "after a restart").await;
    assert_eq!(pruned_below(&cluster, ARCHIVED).await, archived + 1, "still no further");

    // When nobody keeps what the bank that is off needs, it is told.
    for bank in [KEEPS, ARCHIVED] {
        cluster.configure(bank, |config| {
            config.snapshots = SNAPSHOTS;
            config.history = by_policy.clone();
        });
        cluster.restart(bank, &jiaozi_binary()).await;
        cluster.wait_ready(bank, WAIT).await;
    }
    for bank in [KEEPS, ARCHIVED] {
        prunes(&cluster, bank, late + 2).await;
    }
    cluster.spawn(LATE, &jiaozi_binary());
    let end = Instant::now() + WAIT;
    let told = loop {
        let why = cluster.client(LATE).why().await.ok();
        let found = why.and_then(|why| {
            why.findings.into_iter().find(|finding| finding.code == FindingCode::PrunedEverywhere)
        });
        if let Some(found) = found {
            break found;
        }
        assert!(Instant::now() < end, "nobody told it\n{}", cluster.logs());
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(told.severity, Severity::Stuck);
    assert!(told.next.contains("snapshot"), "{told:?}");
    assert!(cluster.log_tail(LATE).contains("have pruned what this node needs next"));

    // It does what it was told.
    cluster.kill(LATE);
    let chain = cluster.data_directory(LATE).join("chain-0");
    std::fs::rename(&chain, directory.path().join("moved-away")).unwrap();
    cluster.configure(LATE, |config| {
        config.snapshots = SNAPSHOTS;
        config.node.join = JoinBy::Snapshot;
    });
    cluster.spawn(LATE, &jiaozi_binary());
    let end = Instant::now() + WAIT;
    loop {
        let ready = cluster.client(LATE).ready().await.ok();
        if ready.is_some_and(|ready| ready.chains.first().is_some_and(|chain| chain.height > below)) {
            break;
        }
        assert!(Instant::now() < end, "it does not join\n{}", cluster.logs());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    load.goes_on(5, "with all of them").await;
    let (paid, _) = load.stop().await;
    assert!(paid.certified >= 50);
    cluster.terminate_all().await;
}
