//! Joining by a snapshot with real processes: a wiped bank fetches the certified state from the others instead of executing what led there,
//! answers what it has and says what it has not, and votes again by PROTOCOL rule 26 alone.
//!
//! It takes longer than half a minute because rule 26 does: a passage is some 20 s younger than the start.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use api::health::ChainReady;
use api::{ClientError, ErrorCode};
use ledger::proofs::ProofFile;
use ledger::records::{Operation, Policy, Tier, WalletOpening};
use ledger::values::{Canonical as _, ChainId, Currency, Height, SecretKey, WalletId};
use node::config::{JoinBy, SnapshotsSection};
use system::history::{ChainCopy, History};
use system::{Cluster, Load, Payer, jiaozi_binary, pay};

const CNY: Currency = Currency(*b"CNY");
const ROOT: ChainId = ChainId(0);
const WAIT: Duration = Duration::from_secs(120);
/// The bank that loses its disk, and the one that is killed once it is back.
const WIPED: usize = 3;
const VICTIM: usize = 2;
/// Wallets that pay, and what each begins with.
const PAYING: usize = 6;
const START_FEN: u64 = 100_000;
/// Wallets that only are there: with them the state has three chunks.
const CROWD: usize = 2_100;
/// Wallets that one transaction opens.
const OPENINGS: usize = 64;
/// Spans so short that a test can wait for them.
const SNAPSHOTS: SnapshotsSection = SnapshotsSection { every_ms: 2_000, behind_blocks: 20 };

fn key(number: usize) -> SecretKey {
    SecretKey::from_seed([0x50 + u8::try_from(number).unwrap(); 32])
}

/// Opens all wallets and funds those that pay; gives these, and what they have.
async fn populate(cluster: &Cluster) -> (Vec<Payer>, History) {
    let bank = &cluster.localnet.banks[0].operator;
    let bank = Payer::operator(&cluster.localnet, bank.id, &bank.wallet_key);
    let opening = |key: &SecretKey, number: u64| {
        let mut salt = [0; 16];
        salt[..8].copy_from_slice(&number.to_le_bytes());
        WalletOpening { policy: Policy::single(key.public_key()).hash(), salt, tier: Tier::One }
    };
    let paying: Vec<WalletOpening> = (0..PAYING).map(|number| opening(&key(number), 0)).collect();
    let crowd = (1..).take(CROWD).map(|number| opening(&key(PAYING), number));
    let all: Vec<WalletOpening> = paying.iter().copied().chain(crowd).collect();
    let wallet = |opening: &WalletOpening| WalletId::derive(bank.genesis, CNY, opening.policy, &opening.salt);
    let funds: Vec<(WalletId, u64)> = paying.iter().map(|opening| (wallet(opening), START_FEN)).collect();
    cluster.issue_first(ROOT, bank.wallet, START_FEN * PAYING as u64).await;
    let opens = all.chunks(OPENINGS).map(|group| Operation::OpenWallets { wallets: group.to_vec() });
    let signed: Vec<_> = (1..).zip(opens).map(|(sequence, open)| bank.sign(sequence, open)).collect();
    let client = cluster.client(0);
    for open in &signed {
        client.submit(open).await.unwrap();
    }
    for open in &signed {
        let status = client.wait_certified(open.id(bank.genesis), WAIT).await.unwrap();
        assert!(status.outcome.as_ref().is_some_and(|outcome| outcome.is_applied), "{status:?}");
    }
    cluster.certify(0, &bank.sign(signed.len() as u64 + 1, pay(&funds))).await;
    let mut history = History::default();
    for (wallet, fen) in &funds {
        history.from = client.wallet(*wallet, Some(ROOT)).await.unwrap().height;
        history.opening.insert(*wallet, *fen);
    }
    let payer = |(number, (wallet, _)): (usize, &(WalletId, u64))| Payer {
        genesis: bank.genesis,
        wallet: *wallet,
        key: key(number),
    };
    (funds.iter().enumerate().map(payer).collect(), history)
}

fn log(cluster: &Cluster) -> String {
    std::fs::read_to_string(cluster.directory.join(format!("bank-{WIPED}/node.log"))).unwrap_or_default()
}

async fn wait_for(cluster: &Cluster, what: &str, mut is_so: impl FnMut(&ChainReady) -> bool) -> ChainReady {
    let end = Instant::now() + WAIT;
    loop {
        let ready = cluster.client(WIPED).ready().await.ok().map(|mut ready| ready.chains.remove(0));
        match ready {
            Some(ready) if is_so(&ready) => return ready,
            other => assert!(Instant::now() < end, "never {what}: {other:?}\n{}", log(cluster)),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The lowest height that the wiped bank says it holds.
async fn lowest(cluster: &Cluster) -> Option<u64> {
    let chain = cluster.client(WIPED).chain(ROOT).await.ok()?;
    chain.progress?.lowest_height
}

/// A height that both banks have under a certificate.
async fn certified_at(cluster: &Cluster, banks: [usize; 2]) -> u64 {
    let mut height = u64::MAX;
    for bank in banks {
        height = height.min(cluster.client(bank).ready().await.unwrap().chains[0].certified_height);
    }
    height
}

/// What the joined bank has is what the others have, and what it has not it says.
async fn serves(cluster: &Cluster, joined: u64, wallet: WalletId) {
    let (client, to) = (cluster.client(WIPED), certified_at(cluster, [WIPED, 0]).await);
    assert!(to > joined, "it follows");
    let own = ChainCopy::read(&client, WIPED, ROOT, (joined, to)).await;
    let other = ChainCopy::read(&cluster.client(0), 0, ROOT, (joined, to)).await;
    assert_eq!((own.digest, own.held_fen, own.issued_fen), (other.digest, other.held_fen, other.issued_fen));
    assert_eq!(own.outcomes, other.outcomes);
    assert!(!own.outcomes.is_empty(), "payments went on meanwhile");
    for height in [joined, to] {
        let [own, other] = [WIPED, 0].map(|bank| cluster.client(bank));
        let (own, other) = (own.block(ROOT, Height(height)).await, other.block(ROOT, Height(height)).await);
        let root = |view: Result<api::BlockView, ClientError>| view.unwrap().result.unwrap().state_root;
        assert_eq!(root(own), root(other), "the state root of height {height}");
    }
    // Proofs of what it fetched and of what it executed convince a stranger with the genesis file alone.
    let spec = &cluster.localnet.spec;
    let balance = client.wallet_proof(wallet, Some(ROOT)).await.unwrap();
    ProofFile::decode(&balance).unwrap().verify(spec).unwrap();
    let (paid, ..) = own.outcomes.last().unwrap();
    let outcome = client.transaction_proof(*paid).await.unwrap();
    ProofFile::decode(&outcome).unwrap().verify(spec).unwrap();
    // A wallet that nobody touched since came with the snapshot.
    let crowd = Policy::single(key(PAYING).public_key()).hash();
    let mut salt = [0; 16];
    salt[..8].copy_from_slice(&7_u64.to_le_bytes());
    let untouched = WalletId::derive(spec.hash(), CNY, crowd, &salt);
    assert_eq!(client.wallet(untouched, Some(ROOT)).await.unwrap().balance_fen, 0);

    let refused = |answer: Result<(), ClientError>| match answer {
        Err(ClientError::Refused(error)) => error.code,
        other => panic!("it answered {other:?}"),
    };
    let pruned = ErrorCode::Pruned.code();
    assert_eq!(refused(client.block(ROOT, Height(1)).await.map(drop)), pruned);
    assert_eq!(refused(client.outcomes(ROOT, Height(joined)).await.map(drop)), pruned);
    assert_eq!(refused(client.feed(ROOT, Height(1)).next().await.map(drop)), pruned);
    let metrics = client.metrics().await.unwrap();
    let line = format!("jiaozi_chain_joined_height{{chain=\"0\"}} {joined}");
    assert!(metrics.lines().any(|found| found == line), "{metrics}");
}

fn jiaozi(arguments: &[&str]) -> Output {
    Command::new(jiaozi_binary()).args(arguments).env_remove("JIAOZI_NODE").output().unwrap()
}

/// The auditor cannot begin at genesis with such a database, and the operator's check says how far it looked.
fn looked_at_when_stopped(cluster: &Cluster) {
    let (data, genesis) = (cluster.data_directory(WIPED), cluster.directory.join("genesis.json"));
    let (data, genesis) = (data.to_string_lossy(), genesis.to_string_lossy());
    let audited = jiaozi(&["audit", "replay", "--data", &data, "--genesis", &genesis]);
    let told = String::from_utf8_lossy(&audited.stderr);
    assert_eq!(audited.status.code(), Some(1), "{audited:?}");
    assert!(told.contains("what is below is pruned") && told.contains("--node"), "{told}");
    let config = cluster.directory.join(format!("bank-{WIPED}/node.toml"));
    let verified = jiaozi(&["node", "verify", "--config", &config.to_string_lossy()]);
    let told = String::from_utf8_lossy(&verified.stdout);
    assert!(verified.status.success() && told.contains("joined by a snapshot"), "{verified:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_bank_joins_by_a_snapshot_and_votes_again_by_rule_26_alone() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::create(directory.path(), 4);
    for bank in 0..4 {
        cluster.configure(bank, |config| config.snapshots = SNAPSHOTS);
    }
    cluster.spawn_ready(0..4).await;
    let (customers, opening) = populate(&cluster).await;
    let (wallet, from) = (customers[0].wallet, opening.from);
    let serving: Vec<_> = (0..WIPED).map(|bank| cluster.client(bank)).collect();
    let load = Load::start(&serving, customers, opening, 0);
    load.goes_on(20, "while all are well").await;

    cluster.kill(WIPED);
    std::fs::remove_dir_all(cluster.data_directory(WIPED)).unwrap();
    cluster.configure(WIPED, |config| {
        config.snapshots = SNAPSHOTS;
        config.node.join = JoinBy::Snapshot;
    });
    // Two spans, so that what the others keep has all wallets.
    let end = Instant::now() + 2 * Duration::from_millis(SNAPSHOTS.every_ms);
    while Instant::now() < end {
        load.goes_on(1, "with a bank dead").await;
    }
    cluster.spawn(WIPED, &jiaozi_binary());
    let wiped_at = Instant::now();

    // Every status until it follows: no vote without a state, none without a proof of passage.
    let has_passed = |cluster: &Cluster| log(cluster).contains("proof of passage held");
    let following = wait_for(&cluster, "following from a snapshot", |ready| {
        assert!(!ready.is_voting || has_passed(&cluster), "{ready:?}\n{}", log(&cluster));
        ready.height > from
    })
    .await;
    assert!(following.halt.is_none() && !following.is_voting, "{following:?}");
    let joined = lowest(&cluster).await.unwrap_or_else(|| panic!("it replayed\n{}", log(&cluster)));
    println!("follows from the snapshot of height {joined} after {:?}", wiped_at.elapsed());
    for line in ["no journal: this validator follows", "joining by a snapshot", "the snapshot is here"] {
        assert!(log(&cluster).contains(line), "{line}\n{}", log(&cluster));
    }
    wait_for(&cluster, "certified above the snapshot", |ready| ready.certified_height > joined + 20).await;
    serves(&cluster, joined, wallet).await;

    wait_for(&cluster, "voting again", |ready| {
        assert!(!ready.is_voting || has_passed(&cluster), "{ready:?}\n{}", log(&cluster));
        ready.is_voting && ready.is_ready
    })
    .await;
    println!("votes again after {:?}", wiped_at.elapsed());
    // With another bank dead it is one of the three that a quorum needs.
    cluster.kill(VICTIM);
    load.goes_on(10, "with another bank dead: the joined one does not vote").await;
    cluster.spawn_ready(VICTIM..VICTIM + 1).await;

    // An ordinary restart goes on with what it has: nothing is fetched twice.
    cluster.restart(WIPED, &jiaozi_binary()).await;
    wait_for(&cluster, "voting after a restart", |ready| ready.is_ready && ready.is_voting).await;
    assert_eq!(lowest(&cluster).await, Some(joined));

    let history = load.stop().await;
    assert!(history.answers() > 0 && !history.readings.is_empty(), "customers were told something");
    // Nothing that they were told is of a height above what some bank has executed now.
    let mut to = 0;
    for bank in 0..4 {
        to = to.max(cluster.client(bank).ready().await.unwrap().chains[0].height);
    }
    let ends = Instant::now() + WAIT;
    while certified_at(&cluster, [0, 1]).await < to || certified_at(&cluster, [WIPED, 0]).await < to {
        assert!(Instant::now() < ends, "banks do not certify {to}\n{}", cluster.logs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let copies = [
        ChainCopy::read(&cluster.client(0), 0, ROOT, (from, to)).await,
        ChainCopy::read(&cluster.client(1), 1, ROOT, (from, to)).await,
    ];
    let found = history.judge(&copies);
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(copies[0].issued_fen, START_FEN * PAYING as u64);
    cluster.kill(WIPED);
    looked_at_when_stopped(&cluster);
}
