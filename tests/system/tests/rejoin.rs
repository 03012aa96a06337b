//! PROTOCOL rule 26 with real processes: a bank that was wiped, or whose journal is damaged, follows, votes again by itself, and is counted on.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use api::health::{ChainReady, NotReady};
use ledger::proofs::FinalityProof;
use ledger::records::{Operation, Payment};
use ledger::values::{Amount, Canonical as _, ChainId};
use system::{Cluster, Payer, jiaozi_binary};
use tokio::task::JoinHandle;

const WAIT: Duration = Duration::from_secs(120);
/// One payment after the other, with a rest in between.
const REST: Duration = Duration::from_millis(100);
const WIPED: usize = 3;

/// Payments that go on all the time, at two banks by turns.
struct Load {
    certified: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<Duration>,
}

impl Load {
    fn start(cluster: &Cluster, payer: Payer, payee: &Payer) -> Self {
        let (certified, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let clients = [cluster.client(0), cluster.client(1)];
        let (count, stopped, payee) = (Arc::clone(&certified), Arc::clone(&stop), payee.wallet);
        let task = tokio::spawn(async move {
            let mut longest = Duration::ZERO;
            for (sequence, client) in (1..).zip(clients.iter().cycle()) {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let payments = vec![Payment { payee, amount: Amount::from_fen(1) }];
                let payment = payer.sign(sequence, Operation::Pay { payments });
                let started = Instant::now();
                client.submit(&payment).await.unwrap();
                client.wait_certified(payment.id(payer.genesis), WAIT).await.unwrap();
                longest = longest.max(started.elapsed());
                count.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(REST).await;
            }
            longest
        });
        Self { certified, stop, task }
    }

    fn certified(&self) -> u64 {
        self.certified.load(Ordering::Relaxed)
    }

    /// Waits until this many more are certified.
    async fn goes_on(&self, more: u64, when: &str) {
        let (end, wanted) = (Instant::now() + WAIT, self.certified() + more);
        while self.certified() < wanted {
            assert!(!self.task.is_finished(), "payments failed {when}");
            assert!(Instant::now() < end, "payments stand still {when}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn stop(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
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

fn chain_folder(cluster: &Cluster) -> PathBuf {
    cluster.data_directory(WIPED).join("chain-0")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_bank_follows_and_votes_again_only_after_its_proof_of_passage() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::create(directory.path(), 4);
    cluster.spawn_ready(0..4).await;
    let (central, bank) = (&cluster.localnet.central_bank, &cluster.localnet.banks[0].operator);
    let central = Payer::operator(&cluster.localnet, central.id, &central.wallet_key);
    let bank = Payer::operator(&cluster.localnet, bank.id, &bank.wallet_key);
    cluster.issue_first(ChainId(0), bank.wallet, 100_000).await;
    let load = Load::start(&cluster, bank.clone(), &central);
    load.goes_on(5, "while all are well").await;

    cluster.kill(WIPED);
    std::fs::remove_dir_all(cluster.data_directory(WIPED)).unwrap();
    load.goes_on(5, "with a bank dead").await;
    cluster.spawn(WIPED, &jiaozi_binary());
    let wiped_at = Instant::now();
    let rejoining = wait_for(&cluster, "rejoining", |ready| ready.reason == Some(NotReady::Rejoining)).await;
    assert!(!rejoining.is_voting && !rejoining.is_ready && rejoining.halt.is_none(), "{rejoining:?}");
    assert!(log(&cluster).contains("no journal: this validator follows"), "{}", log(&cluster));

    // Every status until it votes: it follows, and does not vote before it holds the proof.
    let mut followed = 0;
    wait_for(&cluster, "voting again", |ready| {
        if !ready.is_voting {
            followed = followed.max(ready.certified_height);
            return false;
        }
        assert!(log(&cluster).contains("proof of passage held"), "{}", log(&cluster));
        ready.is_ready
    })
    .await;
    println!("voting again after {:?}; followed to height {followed}", wiped_at.elapsed());
    assert!(followed > 0, "it followed before it voted");
    load.goes_on(5, "with the bank back").await;

    // With another bank dead the rejoined one is one of the three that a quorum needs.
    cluster.kill(2);
    load.goes_on(10, "with another bank dead: the rejoined one does not vote").await;
    cluster.spawn_ready(2..3).await;

    // An ordinary restart goes on with the journal that the passage permitted.
    assert!(chain_folder(&cluster).join("passage.used").exists());
    cluster.kill(WIPED);
    cluster.spawn(WIPED, &jiaozi_binary());
    wait_for(&cluster, "voting after a restart", |ready| ready.is_ready && ready.is_voting).await;

    // Its journal removed by hand: the passage of then says nothing about the votes since.
    cluster.kill(WIPED);
    std::fs::remove_dir_all(chain_folder(&cluster).join("journal")).unwrap();
    cluster.spawn(WIPED, &jiaozi_binary());
    let again = wait_for(&cluster, "rejoining anew", |ready| {
        assert!(!ready.is_voting, "it votes with an old passage: {ready:?}");
        ready.reason == Some(NotReady::Rejoining)
    })
    .await;
    assert!(!again.is_ready, "{again:?}");
    load.goes_on(5, "while it rejoins anew").await;
    println!("longest wait for a certificate: {:?}", load.stop().await);
}

/// Bytes of a page in a journal's file; the first one is the file's header.
const PAGE_BYTES: usize = 4_096;

/// Changes a byte in the last page of the newest section of the bank's journal; answers the view of the newest section of all.
fn damage_journal(cluster: &Cluster) -> u64 {
    let epoch = chain_folder(cluster).join("journal/epoch-0");
    let entries = |folder: PathBuf| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let sections = entries(epoch).filter(|path| path.is_dir()).flat_map(entries);
    let view = |path: &PathBuf| u64::from_str_radix(path.file_name().unwrap().to_str().unwrap(), 16).ok();
    let mut sections: Vec<_> = sections.filter_map(|path| view(&path).map(|view| (view, path))).collect();
    sections.sort();
    let newest = sections.last().unwrap().0;
    let mut filled = sections.iter().rev().map(|(_, path)| (path, std::fs::read(path).unwrap()));
    let (path, mut bytes) = filled.find(|(_, bytes)| bytes.len() > PAGE_BYTES).unwrap();
    let page = bytes.len() - PAGE_BYTES;
    bytes[page + 20] ^= 1;
    std::fs::write(path, bytes).unwrap();
    newest
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_byte_in_its_journal_costs_a_bank_the_views_in_doubt_and_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::create(directory.path(), 4);
    cluster.spawn_ready(0..4).await;
    let (central, bank) = (&cluster.localnet.central_bank, &cluster.localnet.banks[0].operator);
    let central = Payer::operator(&cluster.localnet, central.id, &central.wallet_key);
    let bank = Payer::operator(&cluster.localnet, bank.id, &bank.wallet_key);
    cluster.issue_first(ChainId(0), bank.wallet, 100_000).await;
    let load = Load::start(&cluster, bank.clone(), &central);
    load.goes_on(5, "while all are well").await;

    // A kill alone is no damage.
    cluster.kill(WIPED);
    cluster.spawn(WIPED, &jiaozi_binary());
    wait_for(&cluster, "voting after a kill", |ready| ready.is_ready && ready.is_voting).await;
    assert!(!log(&cluster).contains("the journal is damaged"), "{}", log(&cluster));

    cluster.kill(WIPED);
    let newest = damage_journal(&cluster);
    let restarted = Instant::now();
    cluster.spawn(WIPED, &jiaozi_binary());
    wait_for(&cluster, "voting again", |ready| {
        assert!(!ready.is_voting || log(&cluster).contains("proof of passage held"), "{ready:?}");
        ready.is_ready && ready.is_voting
    })
    .await;
    println!("voting again after {:?}", restarted.elapsed());
    assert!(log(&cluster).contains("the journal is damaged"), "{}", log(&cluster));
    let passage = std::fs::read(chain_folder(&cluster).join("passage.used")).unwrap();
    let floor = FinalityProof::decode(&passage).unwrap();
    assert!(floor.view.0 >= newest, "a vote in view {newest} may be hidden: {floor:?}");

    // With another bank dead it is one of the three that a quorum needs.
    cluster.kill(2);
    load.goes_on(5, "with another bank dead: the one with the damaged journal does not vote").await;
    load.stop().await;
}
