//! Governance over real processes and under load: a bank joins, every validator replaces its consensus key, a bank leaves, a parameter
//! changes. Payments go on, each is applied once, and the whole history replays from genesis.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ledger::records::{ChainParams, Change, Operation, Payment, Proposal};
use ledger::values::{Amount, ChainId, OperatorId, PublicKey, SecretKey, TimestampMs};
use system::{Cluster, Payer, jiaozi_binary};
use tokio::task::JoinHandle;

const WAIT: Duration = Duration::from_secs(120);
const ROOT: ChainId = ChainId(0);
/// Pause between two payments.
const REST: Duration = Duration::from_millis(20);
/// No payment waits longer for its certificate, whatever changes meanwhile. 1.97 s was measured beside compilers.
const GAP_MAX: Duration = Duration::from_secs(5);

/// Payments of one fen, one after the other, at two banks by turns.
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
            let (mut longest, mut last) = (Duration::ZERO, Instant::now());
            for (sequence, client) in (1..).zip(clients.iter().cycle()) {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let payments = vec![Payment { payee, amount: Amount::from_fen(1) }];
                let payment = payer.sign(sequence, Operation::Pay { payments });
                client.submit(&payment).await.unwrap();
                let status = client.wait_certified(payment.id(payer.genesis), WAIT).await.unwrap();
                assert!(status.outcome.is_some_and(|outcome| outcome.is_applied));
                longest = longest.max(last.elapsed());
                last = Instant::now();
                count.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(REST).await;
            }
            longest
        });
        Self { certified, stop, task }
    }

    async fn goes_on(&self, more: u64, when: &str) {
        let (end, wanted) = (Instant::now() + WAIT, self.certified.load(Ordering::Relaxed) + more);
        while self.certified.load(Ordering::Relaxed) < wanted {
            assert!(!self.task.is_finished(), "payments failed {when}");
            assert!(Instant::now() < end, "payments stand still {when}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops; answers how many were certified, and the longest time from one to the next.
    async fn stop(self) -> (u64, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        let longest = self.task.await.unwrap();
        (self.certified.load(Ordering::Relaxed), longest)
    }
}

/// Four banks as processes, whose council changes the registry through the second one.
struct Town {
    cluster: Cluster,
    proposer: Payer,
    applied: u64,
}

impl Town {
    fn new(cluster: Cluster) -> Self {
        let operator = &cluster.localnet.banks[1].operator;
        let proposer = Payer::operator(&cluster.localnet, operator.id, &operator.wallet_key);
        Self { cluster, proposer, applied: 0 }
    }

    fn bank(&self, index: usize) -> Payer {
        let operator = &self.cluster.localnet.banks[index].operator;
        Payer::operator(&self.cluster.localnet, operator.id, &operator.wallet_key)
    }

    /// The banks with these indexes approve; the change is applied.
    async fn govern(&mut self, changes: Vec<Change>, approvers: &[usize]) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let now_ms = u64::try_from(now.as_millis()).unwrap();
        let valid_until = TimestampMs(now_ms + 300_000);
        let reason = "a test".to_owned();
        let proposal = Proposal { version: self.applied, valid_until, is_urgent: true, reason, changes };
        let genesis = self.proposer.genesis;
        let approve = |bank: &usize| {
            let operator = &self.cluster.localnet.banks[*bank].operator;
            proposal.approve(genesis, operator.id, &operator.operator_key)
        };
        let approvals = approvers.iter().map(approve).collect();
        self.applied += 1;
        let govern = self.proposer.sign(self.applied, Operation::Govern { proposal, approvals });
        self.cluster.certify(1, &govern).await;
    }

    /// Waits until a bank's node is in an epoch, with so many validators.
    async fn wait_epoch(&self, index: usize, epoch: u64, validators: usize) {
        let (client, end) = (self.cluster.client(index), Instant::now() + WAIT);
        loop {
            let seen = client.chain(ROOT).await.ok();
            let found =
                seen.map(|view| (view.progress.map(|progress| progress.epoch), view.validators.len()));
            if found == Some((Some(epoch), validators)) {
                return;
            }
            assert!(
                Instant::now() < end,
                "bank {index}: {found:?} instead of epoch {epoch}\n{}",
                self.cluster.log_tail(index)
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a bank votes, or does not.
    async fn wait_voting(&self, index: usize, is_voting: bool) {
        let (client, end) = (self.cluster.client(index), Instant::now() + WAIT);
        loop {
            let ready = client.ready().await.ok().map(|mut ready| ready.chains.remove(0));
            if ready.as_ref().is_some_and(|ready| ready.is_voting == is_voting) {
                return;
            }
            assert!(Instant::now() < end, "bank {index}: {ready:?}\n{}", self.cluster.log_tail(index));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn next_key(bank: usize) -> SecretKey {
    SecretKey::from_seed([0x90 + u8::try_from(bank).unwrap(); 32])
}

#[tokio::test(flavor = "multi_thread")]
async fn banks_join_rotate_and_leave_while_payments_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::create(directory.path(), 4);
    for index in 0..4 {
        cluster.add_next_key(index, &next_key(index));
    }
    cluster.spawn_ready(0..4).await;
    let mut town = Town::new(cluster);
    let central = &town.cluster.localnet.central_bank;
    let central = Payer::operator(&town.cluster.localnet, OperatorId(0), &central.wallet_key);
    let payer = town.bank(0);
    town.cluster.issue_first(ROOT, payer.wallet, 1_000_000).await;
    let load = Load::start(&town.cluster, payer, &central);
    load.goes_on(5, "before anything changes").await;

    // A fifth bank: operator, node and validator in one proposal. Its node knows genesis and its index, nothing else.
    let newcomer = town.cluster.add_bank();
    let join = vec![
        Change::AddOperator(newcomer.operator.clone()),
        Change::AddNode(newcomer.node.clone()),
        Change::AddValidator { chain: ROOT, validator: newcomer.validator },
    ];
    town.govern(join, &[0, 1, 2]).await;
    town.cluster.spawn(4, &jiaozi_binary());
    for index in 0..5 {
        town.wait_epoch(index, 1, 5).await;
    }
    town.wait_voting(4, true).await;
    load.goes_on(5, "with five banks").await;
    let network = town.cluster.client(0).network().await.unwrap();
    assert_eq!((network.operators.len(), network.nodes.len()), (6, 5));

    // With one of the others dead, the fifth is one of the four that a quorum of five needs.
    town.cluster.kill(3);
    load.goes_on(5, "with a bank dead: the fifth does not vote").await;
    town.cluster.spawn_ready(3..4).await;

    let everybody = [0, 1, 2, 3];
    for bank in 0..4 {
        let old = town.cluster.localnet.banks[bank].validators[0].2.public_key();
        let new: PublicKey = next_key(bank).public_key();
        town.govern(vec![Change::ReplaceConsensusKey { chain: ROOT, old, new }], &everybody).await;
        town.wait_epoch(0, bank as u64 + 2, 5).await;
        town.wait_epoch(bank, bank as u64 + 2, 5).await;
        town.wait_voting(bank, true).await;
        load.goes_on(3, "after a key was replaced").await;
    }

    // A restart in a later epoch goes on with that epoch's journal.
    town.cluster.kill(2);
    town.cluster.spawn_ready(2..3).await;
    town.wait_voting(2, true).await;

    let leave = Change::RemoveValidator { chain: ROOT, consensus_key: next_key(3).public_key() };
    town.govern(vec![leave], &everybody).await;
    for index in 0..5 {
        town.wait_epoch(index, 6, 4).await;
    }
    town.wait_voting(3, false).await;
    load.goes_on(5, "after a bank left").await;

    let params = ChainParams { block_pace_ms: 40, ..ChainParams::default() };
    town.govern(vec![Change::SetParams { chain: ROOT, params }], &[0, 1, 2]).await;
    load.goes_on(5, "after a parameter changed").await;

    let (certified, longest) = load.stop().await;
    println!(
        "{certified} payments certified over 6 changes of set; the longest gap between two: {longest:?}"
    );
    assert!(longest < GAP_MAX, "{longest:?} without a certified payment");
    for index in 0..5 {
        let client = town.cluster.client(index);
        let end = Instant::now() + WAIT;
        while client.wallet(central.wallet, None).await.unwrap().balance_fen != certified {
            assert!(Instant::now() < end, "bank {index}: each payment is applied once, {certified} in all");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    town.cluster.terminate_all().await;
    for index in [0, 3, 4] {
        let verdict = town.cluster.audit(index);
        assert!(verdict.starts_with("verdict") && verdict.contains("equal: "), "bank {index}: {verdict}");
    }
}
