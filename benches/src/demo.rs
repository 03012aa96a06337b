//! `bench demo`: the main job on real input, once, in some 90 seconds at most. Exits 0 only if everything held; latencies are shown beside
//! their goals and not judged, because machines differ.
//!
//! Four banks as processes, each with three chains: two shards of CNY and one of HKD. 1,000 wallets; 20,000 signed payments, some
//! from shard to shard; one bank killed and restarted under that load; the latency of payments between shards; a payment that
//! comes back, with its proof; an exchange of CNY for HKD, with its proof; two shards of CNY that become four under payments; a flood by
//! one bank's customers on the chain of HKD, which makes the base fee rise while others pay urgently; equal state
//! roots; a replay of all chains as auditor; proofs checked offline; two forged databases refused.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use api::bulk::encode_body;
use api::leg::LegState;
use api::lock::LockStateName;
use api::transaction::WaitFor;
use clap::Args;
use genesis::dev::LocalnetPlan;
use ledger::records::ChainParams;
use ledger::values::{Amount, ChainId, Currency, Money, TransactionId};
use system::growing::Pair;
use system::{Cluster, Paid, jiaozi_binary};

use crate::doubling::{Look, doubling, look};
use crate::fates::Fates;
use crate::flood::{Flooded, URGENT_GOAL, flood};
use crate::forgeries::Forgeries;
use crate::open_loop::OpenLoop;
use crate::population::{Population, Signed};
use crate::standing::{Standing, drain};

/// Options of `bench demo`.
#[derive(Args)]
pub(crate) struct Demo {
    /// Payments while a bank is killed and restarted.
    #[arg(long, default_value_t = 20_000)]
    payments: usize,
    /// Wallets.
    #[arg(long, default_value_t = 1_000)]
    wallets: usize,
}

/// Currency and shard of each chain.
const CHAINS: [([u8; 3], u16); 3] = [(*b"CNY", 0), (*b"CNY", 1), (*b"HKD", 0)];
/// Least time between blocks of a chain: four banks with three chains each share one machine here.
const PACE_MS: u64 = 100;
const BANKS: usize = 4;
/// The bank that is killed.
const VICTIM: usize = 3;
/// Payments of one request.
const BODY: usize = 250;
/// Of 100 payments of CNY, those to the other shard while the bank is killed.
const CROSS_PERCENT: u64 = 20;
/// Payments of the latency measurement, and how many a second. Those of CNY all go to the other shard.
const MEASURED: usize = 3_000;
const MEASURED_PER_SECOND: u64 = 600;
/// The chain that is flooded, and rows that are shown of its fees.
const FLOODED: ChainId = ChainId(2);
const FEE_ROWS: usize = 16;
/// Longest wait for anything.
const WAIT: Duration = Duration::from_secs(90);

/// What happened, line by line.
struct Happened(Vec<(&'static str, String)>);

impl Happened {
    fn add(&mut self, what: &'static str, value: impl Into<String>) {
        let value = value.into();
        println!("  {what}: {value}");
        self.0.push((what, value));
    }
}

/// The network, and who pays in it.
struct Town {
    cluster: Cluster,
    population: Population,
    directory: PathBuf,
    jiaozi: PathBuf,
}

impl Demo {
    pub(crate) async fn run(self) {
        let started = Instant::now();
        let directory = tempfile::tempdir().unwrap();
        let mut happened = Happened(Vec::new());
        let mut town = Town::start(directory.path(), self.wallets).await;
        happened.add("network", "4 banks; chains 0 and 1 are shards of CNY, chain 2 is HKD");
        println!("money is issued, wallets are opened and funded");
        town.population.set_up(&town.cluster).await;
        happened.add("wallets opened and funded", self.wallets.to_string());

        println!("payments flow; bank {} is killed and restarted meanwhile", VICTIM + 1);
        town.payments_and_a_crash(self.payments, &mut happened).await;
        println!("payments from shard to shard, {MEASURED_PER_SECOND} a second");
        town.latency_between_shards(&mut happened).await;
        println!("a payment to a wallet that does not exist on the other shard");
        town.refund(&mut happened).await;
        println!("CNY for HKD: offered by one, accepted by the other");
        town.exchange(&mut happened).await;
        println!("CNY gets twice as many shards while payments flow");
        town.reshard(&mut happened).await;
        println!("customers of bank 1 flood the chain of HKD, customers of bank 2 pay urgently");
        town.flood(&mut happened).await;
        for (chain, height, root) in town.equal_roots().await {
            happened
                .add("equal state root at all four banks", format!("chain {chain} height {height}, {root}"));
        }

        println!("an auditor replays all chains from a bank's feed");
        town.replay_of_a_feed(&mut happened);
        town.cluster.terminate_all().await;
        println!("the auditor replays databases: one honest, two forged");
        town.replay_of_databases(&mut happened);
        println!("\nwhat happened, in {:.0} s:", started.elapsed().as_secs_f64());
        for (what, value) in &happened.0 {
            println!("  {what:<40} {value}");
        }
    }
}

impl Town {
    async fn start(directory: &Path, wallets: usize) -> Self {
        println!("four banks start");
        let params = ChainParams { block_pace_ms: PACE_MS, ..ChainParams::default() };
        let chains = CHAINS.map(|(currency, shard)| (Currency(currency), shard)).to_vec();
        let plan = LocalnetPlan { params, chains, ..LocalnetPlan::new(BANKS) };
        let mut cluster = Cluster::create_of(directory, plan, |_| vec![0, 1, 2]);
        let jiaozi = jiaozi_binary();
        for bank in 0..BANKS {
            cluster.spawn(bank, &jiaozi);
        }
        for bank in 0..BANKS {
            cluster.wait_ready(bank, WAIT).await;
        }
        let population = Population::new(&cluster.localnet.spec, wallets);
        Self { cluster, population, directory: directory.to_owned(), jiaozi }
    }

    /// Pays while a bank is killed and restarted; then everything must be applied once and credited once, and the bank be where
    /// the others are.
    async fn payments_and_a_crash(&mut self, count: usize, happened: &mut Happened) {
        let payments = self.population.payments(count, 7, CROSS_PERCENT);
        let (from, started) = (Standing::of(&self.cluster, 0).await, Instant::now());
        self.post_through_a_crash(&payments).await;
        for payment in payments.iter().rev().step_by(payments.len() / 50 + 1) {
            self.cluster.client(0).wait_for(payment.id, WaitFor::Settled, WAIT).await.unwrap();
        }
        let took = started.elapsed();
        let caught_up = self.caught_up().await;
        let to = drain(&self.cluster, WAIT).await;
        let done = Fates::read(&self.cluster, &from, &to, &payments).await.count(&payments);
        assert_eq!(done.applied, payments.len() as u64, "payments applied");
        assert_eq!(done.credited, done.debited, "payments to the other shard credited");
        let text = format!(
            "{} in {:.1} s, {} of them to another shard and credited there",
            done.applied,
            took.as_secs_f64(),
            done.credited
        );
        happened.add("payments certified", text);
        happened.add("killed bank caught up after", format!("{:.1} s", caught_up.as_secs_f64()));
    }

    /// Posts all payments, kills a bank after a third and restarts it after two thirds.
    async fn post_through_a_crash(&mut self, payments: &[Signed]) {
        let bodies: Vec<&[Signed]> = payments.chunks(BODY).collect();
        for (index, body) in bodies.iter().enumerate() {
            if index == bodies.len() / 3 {
                self.cluster.kill(VICTIM);
                println!("  bank {} killed (SIGKILL)", VICTIM + 1);
            }
            if index == bodies.len() * 2 / 3 {
                self.cluster.spawn(VICTIM, &self.jiaozi);
                println!("  bank {} restarted", VICTIM + 1);
            }
            post(&self.cluster, index % VICTIM, body).await;
        }
    }

    /// Waits until the killed bank is where the others are, on every chain.
    async fn caught_up(&self) -> Duration {
        let started = Instant::now();
        while started.elapsed() < WAIT {
            let (victim, other) =
                (Standing::of(&self.cluster, VICTIM).await, Standing::of(&self.cluster, 0).await);
            let is_near = |chain: &ChainId| victim.height(*chain) + 1 >= other.height(*chain);
            if victim.chains.len() == CHAINS.len() && other.chains.keys().all(is_near) {
                return started.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("bank {} does not catch up", VICTIM + 1);
    }

    /// Pays from shard to shard at a steady rate and takes the time until the payee has it, certified, at another bank.
    async fn latency_between_shards(&mut self, happened: &mut Happened) {
        let payments = self.population.payments(MEASURED, 8, 100);
        let open_loop = OpenLoop {
            cluster: &self.cluster,
            banks: &[0, 1, 2, 3],
            rate: MEASURED_PER_SECOND,
            payments: &payments,
        };
        let (_, judged) = open_loop.run(WAIT, || ()).await;
        assert_eq!(judged.applied, payments.len() as u64, "payments applied");
        let cross = judged.cross.unwrap();
        assert_eq!((cross.debited, cross.credited), (cross.offered, cross.offered), "payments credited");
        let (p50_ms, p99_ms) = (cross.to_credited.p50_ms, cross.to_credited.p99_ms);
        let text =
            format!("{}: credited and certified p50 {p50_ms:.0} ms, p99 {p99_ms:.0} ms", cross.certified);
        happened.add("payments from shard to shard", text);
    }

    /// Pays nobody: the money comes back by itself, and the proof of that is checked offline.
    async fn refund(&mut self, happened: &mut Happened) {
        let payment = self.population.payment_to_nobody();
        post(&self.cluster, 0, std::slice::from_ref(&payment)).await;
        let client = self.cluster.client(1);
        let status = client.wait_for(payment.id, WaitFor::Settled, WAIT).await.unwrap();
        let [leg] = status.legs.as_slice() else { panic!("one payee on the other shard: {status:?}") };
        assert_eq!(leg.status, LegState::Refunded, "{status:?}");
        let (refund, why) = (leg.refund.unwrap(), leg.refusal.as_ref().unwrap());
        happened.add("payment to nobody on the other shard", format!("came back: {} {}", why.code, why.name));
        let (bytes, said) = self.proved(refund, "refund.proof").await;
        assert!(line(&said, "fact").ends_with("was refunded to the payer"), "{said}");
        happened.add(
            "proof of the refund, checked offline",
            format!("{bytes} bytes, {}", line(&said, "verdict")),
        );
        let (bytes, said) = self.proved(payment.id, "payment.proof").await;
        let text = format!("{bytes} bytes, {}", line(&said, "verdict"));
        happened.add("proof of its debit, checked offline", text);
    }

    /// CNY for HKD, both sides or neither: locked on one chain, accepted and paid on the other, settled by its word. The proof of what was
    /// decided is checked offline.
    async fn exchange(&mut self, happened: &mut Happened) {
        let started = Instant::now();
        let trade = self.population.trade(Amount::from_fen(12_345), Amount::from_fen(13_580));
        post(&self.cluster, 0, std::slice::from_ref(&trade.offer)).await;
        // Refused, as something that may come, until the offer has arrived on the other chain.
        post(&self.cluster, 2, std::slice::from_ref(&trade.accept)).await;
        let client = self.cluster.client(1);
        let status = client.wait_for(trade.offer.id, WaitFor::Settled, WAIT).await.unwrap();
        let lock = status.lock.unwrap();
        assert_eq!((lock.id, lock.state), (trade.lock, LockStateName::Settled));
        let text = format!("settled on both chains after {:.1} s", started.elapsed().as_secs_f64());
        happened.add("123.45 CNY exchanged for 135.80 HKD", text);
        let bytes = client.lock_proof(trade.decides, trade.lock).await.unwrap();
        let said = self.checked(&bytes, "exchange.proof");
        assert!(line(&said, "fact").ends_with("was accepted"), "{said}");
        let text = format!("{} bytes, {}", bytes.len(), line(&said, "verdict"));
        happened.add("proof of its acceptance, checked offline", text);
    }

    /// Two shards of CNY become four while clients outside pay: children are added, banks restarted one by one, wallets moved.
    async fn reshard(&mut self, happened: &mut Happened) {
        let cny = Currency(CHAINS[0].0);
        let done = doubling(&mut self.cluster, &self.population, cny, &self.jiaozi).await;
        for pair in &done.pairs {
            let Pair { parent, child } = pair;
            let text = format!("chain {parent} gave {} to its child, chain {child}", done.moved(pair));
            happened.add("wallets moved", text);
            for chain in [parent, child] {
                let root = |looks: &[Look]| look(looks, *chain).state_root.clone();
                let text =
                    format!("chain {chain} {} before, {} after", root(&done.before), root(&done.after));
                happened.add("state root", text);
            }
        }
        let Paid { certified, signed_anew, longest, .. } = &done.paid;
        let text = format!(
            "{certified} certified, {signed_anew} signed anew for a moved wallet; longest gap {:.1} s, move {:.1} s",
            longest.as_secs_f64(),
            done.took.as_secs_f64()
        );
        happened.add("payments while shards doubled", text);
        let (issued, held) = done.supply_fen();
        assert_eq!(issued, held, "four shards hold what two have issued");
        let [issued, held] = [issued, held].map(Amount::from_fen);
        happened.add("CNY on four shards", format!("{issued} issued, {held} held"));
        let (credit, chain) = done.credit;
        let (bytes, said) = self.proved(credit, "moved.proof").await;
        let text = format!("credited on chain {chain}; proof of {bytes} bytes, {}", line(&said, "verdict"));
        happened.add("payment to a moved wallet", text);
    }

    /// One bank's customers pay about twice what a small target takes, another's pay urgently: the base fee rises, they are in time, and
    /// it is zero again.
    async fn flood(&mut self, happened: &mut Happened) {
        let done = flood(&self.cluster, &mut self.population, FLOODED).await;
        let (offered, rate) = (Flooded::offered(), Flooded::per_second());
        let (accepted, target) = (done.accepted, done.target);
        let text = format!(
            "{accepted} of {offered} payments taken in, {rate} a second; a block's target is {target}"
        );
        happened.add("flood by one bank's customers", text);
        self.show_fees(&done);
        let most = Money { amount: done.highest_due, currency: Currency(CHAINS[2].0) };
        happened.add("base fee", format!("from zero up to {}: {most} a payment", done.highest));
        let (count, p95) = (done.urgent.len(), done.p95().as_secs_f64());
        let slowest = done.urgent.last().unwrap().as_secs_f64();
        let paid = Money { amount: done.urgent_fee_max, currency: most.currency };
        let is_met = done.p95() < URGENT_GOAL;
        let met = if is_met { "below the goal of 2 s" } else { "above the goal of 2 s" };
        let text = format!(
            "{count} certified, 95 of 100 within {p95:.2} s ({met}), the slowest in {slowest:.2} s; they paid at most {paid}"
        );
        happened.add("urgent payments of another's customers", text);
        happened.add("base fee zero again after", format!("{:.1} s", done.to_zero.as_secs_f64()));
    }

    /// What `jiaozi fee history` shows of the flood: its first lines, and some of the others.
    fn show_fees(&self, done: &Flooded) {
        let (from, limit) = (done.from.to_string(), (done.to - done.from + 1).min(1_024).to_string());
        let (url, chain) = (self.cluster.url(0), done.chain.to_string());
        let line = ["fee", "history", "--node", &url, "--chain", &chain, "--from", &from, "--limit", &limit];
        let shown = self.jiaozi(&line);
        let said = text(&shown);
        assert!(shown.status.success(), "{said}");
        let rows: Vec<&str> = said.lines().take_while(|line| !line.is_empty()).collect();
        let step = rows.len().div_ceil(FEE_ROWS).max(1);
        let kept = rows.iter().take(1).chain(rows.iter().skip(1).step_by(step));
        println!("  jiaozi {}, every {step}. block:", line.join(" "));
        kept.for_each(|row| println!("    {row}"));
    }

    /// Fetches a proof and checks it with the genesis file alone; gives its length and what the check said.
    async fn proved(&self, id: TransactionId, name: &str) -> (usize, String) {
        let bytes = self.cluster.client(1).transaction_proof(id).await.unwrap();
        (bytes.len(), self.checked(&bytes, name))
    }

    /// Checks a proof with the genesis file alone; gives what the check said.
    fn checked(&self, proof: &[u8], name: &str) -> String {
        let file = self.directory.join(name);
        std::fs::write(&file, proof).unwrap();
        let verified = self.jiaozi(&["audit", "verify-proof", path(&file), "--genesis", &self.genesis()]);
        assert!(verified.status.success(), "{}", text(&verified));
        text(&verified)
    }

    /// Waits until all banks show one height with one state root, chain by chain.
    async fn equal_roots(&self) -> Vec<(ChainId, u64, String)> {
        let mut found = Vec::new();
        for chain in Standing::of(&self.cluster, 0).await.chains.into_keys() {
            found.push(self.equal_root(chain).await);
        }
        found
    }

    async fn equal_root(&self, chain: ChainId) -> (ChainId, u64, String) {
        for _attempt in 0..1_000 {
            let mut seen = Vec::new();
            for bank in 0..BANKS {
                let standing = Standing::of(&self.cluster, bank).await;
                seen.extend(
                    standing.chains.get(&chain).map(|chain| (chain.height, chain.state_root.clone())),
                );
            }
            if let [first, rest @ ..] = seen.as_slice()
                && seen.len() == BANKS
                && rest.iter().all(|other| other.0 == first.0)
            {
                assert!(rest.iter().all(|other| other.1 == first.1), "state roots differ: {seen:?}");
                return (chain, first.0, first.1.clone());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the banks never stood at one height of chain {chain}");
    }

    fn replay_of_a_feed(&self, happened: &mut Happened) {
        let url = self.cluster.url(0);
        let replay = self.jiaozi(&["audit", "replay", "--node", &url, "--genesis", &self.genesis()]);
        let said = text(&replay);
        assert!(replay.status.success(), "{said}");
        happened.add("replay from a node's feed", line(&said, "verdict"));
        assert_eq!(said.matches("adds up").count(), 2, "supply of two currencies: {said}");
        happened.add(
            "across the chains",
            "supply of CNY and of HKD adds up, each receipt sent and executed once",
        );
    }

    fn replay_of_databases(&self, happened: &mut Happened) {
        let forgeries = Forgeries::of(&self.cluster.data_directory(0), &self.directory);
        let audit = |data: &Path| {
            self.jiaozi(&["audit", "replay", "--data", path(data), "--genesis", &self.genesis()])
        };
        let answer = audit(forgeries.honest());
        assert!(answer.status.success(), "{}", text(&answer));
        happened.add("honest database", line(&text(&answer), "verdict"));

        let answer = audit(&forgeries.flipped());
        assert_eq!(answer.status.code(), Some(1), "{}", text(&answer));
        assert!(one_line(&answer).contains("corrupt data in table "), "{}", text(&answer));
        happened.add("one flipped byte", format!("refused: {}", one_line(&answer)));

        let (rewritten, named) = forgeries.rewritten();
        let answer = audit(&rewritten);
        let said = text(&answer);
        assert_eq!(answer.status.code(), Some(1), "{said}");
        for part in &named {
            assert!(said.contains(part), "the audit must name {part}: {said}");
        }
        happened.add("a rewritten balance", format!("refused: {}", one_line(&answer)));
    }

    fn jiaozi(&self, arguments: &[&str]) -> Output {
        Command::new(&self.jiaozi).args(arguments).output().unwrap()
    }

    fn genesis(&self) -> String {
        path(&self.directory.join("genesis.json")).to_owned()
    }
}

/// Posts a body until every payment in it was taken in.
async fn post(cluster: &Cluster, bank: usize, payments: &[Signed]) {
    let (client, end) = (cluster.client(bank), Instant::now() + WAIT);
    while Instant::now() < end {
        let body = encode_body(payments.iter().map(|payment| payment.bytes.as_slice())).unwrap();
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

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
