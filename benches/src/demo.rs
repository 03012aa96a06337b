//! `bench demo`: the main job on real input, once, in about a minute. Exits 0 only if everything held.
//!
//! Four banks as processes; 1,000 wallets; 20,000 signed payments; one bank killed and restarted under load; equal state
//! roots; a replay as auditor; a proof checked offline; two forged databases refused.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use api::bulk::encode_body;
use clap::Args;
use ledger::records::Record;
use ledger::values::{Amount, Canonical, ChainId, Height, TransactionId};
use storage::{Durability, Page, Reader, RocksOptions, RocksStore, Store, Table, WriteSet};
use system::{Cluster, jiaozi_binary};

use crate::population::Population;

/// Options of `bench demo`.
#[derive(Args)]
pub(crate) struct Demo {
    /// Payments.
    #[arg(long, default_value_t = 20_000)]
    payments: usize,
    /// Wallets.
    #[arg(long, default_value_t = 1_000)]
    wallets: usize,
}

/// Payments of one request.
const BODY: usize = 250;
/// The bank that is killed.
const VICTIM: usize = 3;
/// What a forger gives himself.
const FORGED_FEN: u64 = 100_000_000;

/// What happened, line by line.
struct Table1(Vec<(&'static str, String)>);

impl Table1 {
    fn add(&mut self, what: &'static str, value: impl Into<String>) {
        let value = value.into();
        println!("  {what}: {value}");
        self.0.push((what, value));
    }
}

impl Demo {
    pub(crate) async fn run(self) {
        let started = Instant::now();
        let directory = tempfile::tempdir().unwrap();
        let jiaozi = jiaozi_binary();
        let mut table = Table1(Vec::new());
        let mut cluster = Cluster::create(directory.path(), 4);
        println!("four banks start");
        for bank in 0..4 {
            cluster.spawn(bank, &jiaozi);
        }
        for bank in 0..4 {
            cluster.wait_ready(bank, Duration::from_secs(60)).await;
        }
        println!("money is issued, wallets are opened and funded");
        let population = Population::new(cluster.localnet.spec.hash(), self.wallets);
        population.set_up(&cluster).await;
        table.add("wallets opened and funded", self.wallets.to_string());
        let payments = population.payments(self.payments, 7);

        println!("payments flow; bank {} is killed and restarted meanwhile", VICTIM + 1);
        let took = self.pay(&mut cluster, &payments, &jiaozi).await;
        table.add("payments certified", format!("{} in {:.1} s", payments.len(), took.as_secs_f64()));
        let caught_up = caught_up(&cluster).await;
        table.add("killed bank caught up after", format!("{:.1} s", caught_up.as_secs_f64()));
        let (height, root) = equal_roots(&cluster).await;
        table.add("equal state root at all four banks", format!("height {height}, {root}"));

        println!("an auditor replays the chain from a bank's feed");
        let replay = run(
            &jiaozi,
            &["audit", "replay", "--node", &url(&cluster, 0), "--genesis", &genesis(&directory)],
        );
        assert!(replay.status.success(), "{}", text(&replay));
        table.add("replay from a node's feed", line(&text(&replay), "verdict"));
        let proof = directory.path().join("payment.proof");
        let (_, id) = &payments[payments.len() / 2];
        std::fs::write(&proof, cluster.client(1).transaction_proof(*id).await.unwrap()).unwrap();
        let verified =
            run(&jiaozi, &["audit", "verify-proof", path(&proof), "--genesis", &genesis(&directory)]);
        assert!(verified.status.success(), "{}", text(&verified));
        let bytes = std::fs::metadata(&proof).unwrap().len();
        table.add(
            "proof of one payment, checked offline",
            format!("{bytes} bytes, {}", line(&text(&verified), "verdict")),
        );
        cluster.terminate_all().await;

        println!("the auditor replays databases: one honest, two forged");
        self.forgeries(&cluster, directory.path(), &jiaozi, &mut table);
        println!("\nwhat happened, in {:.0} s:", started.elapsed().as_secs_f64());
        for (what, value) in &table.0 {
            println!("  {what:<40} {value}");
        }
    }

    /// Posts all payments, kills a bank after a third and restarts it after two thirds; waits until all are certified.
    async fn pay(
        &self,
        cluster: &mut Cluster,
        payments: &[(Vec<u8>, TransactionId)],
        jiaozi: &Path,
    ) -> Duration {
        let started = Instant::now();
        let bodies: Vec<_> = payments.chunks(BODY).collect();
        for (index, body) in bodies.iter().enumerate() {
            if index == bodies.len() / 3 {
                cluster.kill(VICTIM);
                println!("  bank {} killed (SIGKILL)", VICTIM + 1);
            }
            if index == bodies.len() * 2 / 3 {
                cluster.spawn(VICTIM, jiaozi);
                println!("  bank {} restarted", VICTIM + 1);
            }
            post(cluster, index % VICTIM, body).await;
        }
        for (_, id) in payments.iter().rev().step_by(payments.len() / 50 + 1) {
            cluster.client(0).wait_certified(*id, Duration::from_secs(90)).await.unwrap();
        }
        let applied = count_applied(cluster).await;
        let took = started.elapsed();
        assert!(applied >= payments.len(), "{applied} of {} payments applied", payments.len());
        took
    }

    fn forgeries(&self, cluster: &Cluster, directory: &Path, jiaozi: &Path, table: &mut Table1) {
        let honest = directory.join("honest");
        copy(&cluster.data_directory(0), &honest);
        let genesis_file = directory.join("genesis.json");
        let audit = |data: &Path| {
            run(jiaozi, &["audit", "replay", "--data", path(data), "--genesis", path(&genesis_file)])
        };
        let answer = audit(&honest);
        assert!(answer.status.success(), "{}", text(&answer));
        table.add("honest database", line(&text(&answer), "verdict"));

        let flipped = directory.join("flipped");
        copy(&honest, &flipped);
        flip_a_byte(&flipped.join("chain-0/store"));
        let answer = audit(&flipped);
        assert_eq!(answer.status.code(), Some(1), "{}", text(&answer));
        table.add("one flipped byte", format!("refused: {}", one_line(&answer)));

        let rewritten = directory.join("rewritten");
        copy(&honest, &rewritten);
        let (wallet, before, after) = rewrite_a_balance(&rewritten.join("chain-0/store"));
        let answer = audit(&rewritten);
        let said = text(&answer);
        assert_eq!(answer.status.code(), Some(1), "{said}");
        for part in [wallet.as_str(), &before.to_string(), &after.to_string()] {
            assert!(said.contains(part), "the audit must name {part}: {said}");
        }
        table.add("a rewritten balance", format!("refused: {}", one_line(&answer)));
    }
}

/// Posts a body until every payment in it was taken in.
async fn post(cluster: &Cluster, bank: usize, payments: &[(Vec<u8>, TransactionId)]) {
    let client = cluster.client(bank);
    for _attempt in 0..200 {
        let body = encode_body(payments.iter().map(|(bytes, _)| bytes.as_slice())).unwrap();
        if let Ok(answers) = client.submit_bulk_body(body, payments.len()).await {
            let refused = answers.iter().find(|answer| answer.status == api::SubmitStatus::Refused);
            match refused.and_then(api::bulk::BulkAnswer::error) {
                None => return,
                Some(error) => assert!(error.is_transient, "a payment was refused: {error:?}"),
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("bank {bank} takes no payments");
}

/// Applied single payments in all blocks.
async fn count_applied(cluster: &Cluster) -> usize {
    let client = cluster.client(0);
    let height = progress(cluster, 0).await.map_or(0, |(height, _)| height);
    let mut applied = std::collections::BTreeSet::new();
    for height in 1..=height {
        let outcomes = client.outcomes(ChainId(0), Height(height)).await.unwrap();
        for outcome in outcomes.iter().filter(|outcome| outcome.is_applied()) {
            assert!(applied.insert(outcome.id), "{} was applied twice", outcome.id);
        }
    }
    applied.len()
}

async fn progress(cluster: &Cluster, bank: usize) -> Option<(u64, String)> {
    let view = cluster.client(bank).chains().await.ok()?;
    let progress = view.chains.first()?.progress.clone()?;
    Some((progress.height, progress.state_root.to_string()))
}

/// Waits until the killed bank is where the others are.
async fn caught_up(cluster: &Cluster) -> Duration {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(90) {
        let (victim, other) = (progress(cluster, VICTIM).await, progress(cluster, 0).await);
        if let (Some((victim, _)), Some((other, _))) = (victim, other)
            && victim + 1 >= other
        {
            return started.elapsed();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("bank {} does not catch up", VICTIM + 1);
}

/// Waits until all banks show one height with one state root.
async fn equal_roots(cluster: &Cluster) -> (u64, String) {
    for _attempt in 0..600 {
        let mut seen = Vec::new();
        for bank in 0..4 {
            seen.extend(progress(cluster, bank).await);
        }
        if let [first, rest @ ..] = seen.as_slice()
            && seen.len() == 4
            && rest.iter().all(|other| other.0 == first.0)
        {
            assert!(rest.iter().all(|other| other.1 == first.1), "state roots differ: {seen:?}");
            return first.clone();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the banks never stood at one height");
}

// ---- forging -----------------------------------------------------------------------------------------------------------

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(status.success());
}

/// Changes one byte in the middle of the largest data file.
fn flip_a_byte(store: &Path) {
    let files = std::fs::read_dir(store).unwrap().flatten().map(|entry| entry.path());
    let data = files
        .filter(|path| path.extension().is_some_and(|kind| kind == "sst" || kind == "blob" || kind == "log"));
    let largest = data.max_by_key(|path| std::fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&largest, bytes).unwrap();
}

/// Gives a wallet more money through the storage layer itself: every checksum and index is right afterwards.
fn rewrite_a_balance(store: &Path) -> (String, Amount, Amount) {
    let identity = storage::read_identity(store).unwrap();
    let store = RocksStore::open(store, &identity, RocksOptions::default()).unwrap();
    let rows = store.scan(Table::Records, Page::last(1)).unwrap();
    let (place, bytes) = rows.first().unwrap();
    let Record::Wallet(mut wallet) = Record::decode(bytes).unwrap() else {
        panic!("the last record is a wallet")
    };
    let before = wallet.balance;
    wallet.balance = before.plus(Amount::from_fen(FORGED_FEN)).unwrap();
    let (id, after) = (wallet.id.to_string(), wallet.balance);
    let mut set = WriteSet::new();
    set.put(Table::Records, place.clone(), Record::Wallet(wallet).encode());
    store.write(set, Durability::Synced).unwrap();
    (id, before, after)
}

// ---- words -------------------------------------------------------------------------------------------------------------

fn run(jiaozi: &Path, arguments: &[&str]) -> Output {
    Command::new(jiaozi).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The rest of the line that begins with `word`.
fn line(text: &str, word: &str) -> String {
    text.lines().find_map(|line| line.strip_prefix(word)).unwrap_or_default().trim().to_owned()
}

fn one_line(output: &Output) -> String {
    text(output).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn url(cluster: &Cluster, bank: usize) -> String {
    cluster.url(bank)
}

fn genesis(directory: &tempfile::TempDir) -> String {
    path(&directory.path().join("genesis.json")).to_owned()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
