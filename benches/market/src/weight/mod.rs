//! What a transaction costs a node, and what it weighs: the calibration of the ledger's constants (`ledger/src/rules/weight.rs`).
//!
//! | file | what it is |
//! | --- | --- |
//! | `town.rs` | chains in memory, their wallets, and whoever signs for them |
//! | `kinds.rs` | the kinds of work: a block of each |
//! | `fit.rs` | costs of the parts that transactions consist of, by least squares |
//!
//! Every kind goes through what a validator does with a batch: exact decoding, its checks, ids and hashes, signatures in groups with
//! the wallets' keys known, execution over records in memory with both trees, and the encoding of what is stored. The clock is the
//! processor time of this thread. Rounds go over all kinds in turn, and of each step the least time counts, so that other work on the machine
//! changes little; what a block costs that holds nothing is taken off.
//!
//! The store and the network are not measured here. They are added as estimates, each named and with its source.

mod fit;
mod kinds;
mod town;

use std::hint::black_box;

use ledger::records::{Batch, Bundle, Operation, Receipt, Transaction};
use ledger::rules::weight::{BATCH_HEADER_WEIGHT, batch_weight, bundle_weight, records_touched};
use ledger::rules::{check_batch, check_bundle, check_signatures};
use ledger::state::Execution;
use ledger::values::{Canonical as _, KeyCache, Sequential};

use self::fit::fit;
use self::kinds::{Kinds, Work};
use self::town::{Chain, Town, assert_applied};

/// A row written, with its share of flush and compaction: 20,000 wallets and 10,000 payments in sorted order took a database alone 39
/// to 74 ms of processor time; the lower end agrees with the share of RocksDB in `docs/benchmarks.md`, beside that of signatures.
const ROW_NS: f64 = 1_300.0;
/// A record read that lies in the database's cache, as most that are written soon after.
const READ_NS: f64 = 1_500.0;
/// A byte received once and sent once: a raw stream took 2 ms of processor time a megabyte on each side.
const WIRE_BYTE_NS: f64 = 4.0;
/// Kernel, runtime, links, REST and engine: 17 µs of a payment beside 24 µs of signatures in `docs/benchmarks.md`, at that ratio to a
/// signature here, and what is counted by the byte taken off.
const PASSAGE_NS: f64 = 6_000.0;

/// Signatures that are checked together, as a verifier that is kept busy gathers them.
const GROUP_SIGNATURES: u64 = 256;
const SECRET: [u8; 32] = [5; 32];

/// How often every kind is measured.
const ROUNDS: u32 = 40;
/// Wallets of a chain.
const WALLETS: u64 = 100_000;

/// The steps that are timed.
const STEPS: [&str; 6] = ["decode", "check", "ids", "signatures", "execute", "encode"];
/// What things consist of.
const PARTS: [&str; 9] =
    ["transaction", "byte", "signature", "approval", "record", "opening", "change", "receipt", "vote"];
const BYTE: usize = 1;

/// Nanoseconds of each step, for a whole block.
type Times = [f64; STEPS.len()];

/// What a kind costs and weighs, for one transaction or receipt.
struct Row {
    name: &'static str,
    parts: [f64; PARTS.len()],
    steps: Times,
    estimated_ns: f64,
    weight: f64,
}

impl Row {
    fn measured_ns(&self) -> f64 {
        self.steps.iter().sum()
    }

    fn ns(&self) -> f64 {
        self.measured_ns() + self.estimated_ns
    }

    fn ns_per_unit(&self) -> f64 {
        self.ns() / self.weight
    }
}

/// Measures what every kind of transaction costs a node and prints it beside its weight, with the constants that would fit best: all
/// of them free, and with what a byte weighs held at what a unit takes in the payment to one payee.
pub(crate) fn weight() {
    let rows = measure(Kinds::new(WALLETS));
    print_costs(&rows);
    print_steps(&rows);
    let costs: Vec<([f64; PARTS.len()], f64)> = rows.iter().map(|row| (row.parts, row.ns())).collect();
    print_fit("free", &fit(&costs, None));
    print_fit("with the byte held", &fit(&costs, Some((BYTE, rows[0].ns_per_unit()))));
}

fn measure(mut kinds: Kinds) -> Vec<Row> {
    let nothing: Vec<Work> = kinds.works.iter().map(|work| kinds.nothing(work)).collect();
    let cache = KeyCache::default();
    let mut least = vec![([f64::INFINITY; STEPS.len()], [f64::INFINITY; STEPS.len()]); nothing.len()];
    let mut rows = Vec::new();
    for round in 0..ROUNDS {
        for (at, work) in kinds.works.iter().enumerate() {
            let town = &mut kinds.towns[work.place.0];
            let (times, execution) = time(town, work, &cache);
            let (idle, _) = time(town, &nothing[at], &cache);
            let (busy_least, idle_least) = &mut least[at];
            keep_least(busy_least, times);
            keep_least(idle_least, idle);
            if round == 0 {
                rows.push(row(work, &execution));
            }
        }
    }
    for ((row, work), (busy, idle)) in rows.iter_mut().zip(&kinds.works).zip(least) {
        for ((step, busy), idle) in row.steps.iter_mut().zip(busy).zip(idle) {
            *step = (busy - idle) / work.count as f64;
        }
    }
    rows
}

fn keep_least(least: &mut Times, times: Times) {
    for (least, time) in least.iter_mut().zip(times) {
        *least = least.min(time);
    }
}

/// Goes through the steps once, and leaves the chain as it was.
fn time(town: &mut Town, work: &Work, cache: &KeyCache) -> (Times, Execution) {
    let genesis = town.genesis;
    let Chain { state, records, .. } = &mut town.chains[work.place.1];
    let rules = state.rules().clone();
    let batch_bytes = work.batch.as_ref().map(|(_, batch)| batch.encode());
    let bundle_bytes: Vec<Vec<u8>> = work.bundles.iter().map(|bundle| bundle.encode()).collect();
    let mut times = Times::default();
    let (batches, bundles) = clocked(&mut times[0], || {
        let batches: Vec<Batch> = batch_bytes.iter().map(|bytes| Batch::decode(bytes).unwrap()).collect();
        let bundles = bundle_bytes.iter().map(|bytes| Bundle::decode(bytes).unwrap());
        (batches, bundles.collect::<Vec<Bundle>>())
    });
    clocked(&mut times[1], || {
        for batch in &batches {
            black_box(check_batch(&rules, batch).unwrap());
        }
        for bundle in &bundles {
            black_box(check_bundle(&rules, bundle).unwrap());
        }
    });
    let transactions: Vec<&Transaction> =
        batches.iter().flat_map(|batch| &batch.content.transactions).collect();
    clocked(&mut times[2], || {
        for transaction in &transactions {
            black_box(transaction.summary(genesis));
        }
    });
    let group = transactions.first().map_or(1, |first| GROUP_SIGNATURES / signatures(first));
    clocked(&mut times[3], || {
        for group in transactions.chunks(usize::try_from(group.max(1)).unwrap()) {
            check_signatures(group, genesis, &SECRET, cache, &Sequential).unwrap();
        }
    });
    let execution = clocked(&mut times[4], || {
        state.execute(&*records, &work.block, &batches, &bundles, &Sequential).unwrap()
    });
    assert_applied(&execution);
    clocked(&mut times[5], || encode(&execution));
    state.undo(&execution.undo).unwrap();
    (times, execution)
}

/// Encodes what a height stores.
fn encode(execution: &Execution) {
    black_box((execution.head.encode(), execution.result.encode(), execution.undo.encode()));
    black_box(execution.registry.as_ref().map(|registry| registry.encode()));
    execution.outcomes.iter().for_each(|outcome| drop(black_box(outcome.encode())));
    execution.history.iter().for_each(|entry| drop(black_box(entry.movement.encode())));
    execution.writes.records.iter().for_each(|(_, record)| drop(black_box(record.encode())));
    execution.sent.iter().for_each(|sent| drop(black_box(sent.receipt.encode())));
}

/// Runs a step and adds what it took.
fn clocked<T>(time: &mut f64, step: impl FnOnce() -> T) -> T {
    let before = thread_ns();
    let made = black_box(step());
    *time += thread_ns() - before;
    made
}

/// Processor time of this thread, in nanoseconds.
fn thread_ns() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn signatures(transaction: &Transaction) -> u64 {
    (transaction.signatures.len() + transaction.sponsor_signatures.len()) as u64
}

/// What a kind consists of and weighs, and the estimates; its times follow.
fn row(work: &Work, execution: &Execution) -> Row {
    let transactions = work.batch.iter().flat_map(|(_, batch)| &batch.content.transactions);
    let mut parts = [0.0; PARTS.len()];
    for transaction in transactions {
        for (sum, part) in parts.iter_mut().zip(parts_of(transaction)) {
            *sum += part as f64;
        }
    }
    for bundle in &work.bundles {
        parts[BYTE] += bundle.encode().len() as f64;
        parts[4] += execution.writes.records.len() as f64;
        parts[7] += bundle.receipts.len() as f64;
        parts[8] += votes(bundle) as f64;
    }
    let writes = &execution.writes;
    let rows = writes.records.len() + writes.opened.len() + execution.outcomes.len();
    let rows = rows + execution.history.len() + execution.sent.len();
    let reads = execution.undo.records.len() + only_read(work);
    let stored_ns = ROW_NS * rows as f64 + READ_NS * reads as f64;
    let estimated_ns = stored_ns + WIRE_BYTE_NS * parts[BYTE] + PASSAGE_NS * parts[0];
    let batches = work.batch.iter().map(|(_, batch)| batch_weight(batch) - BATCH_HEADER_WEIGHT);
    let weight: u64 = batches.chain(work.bundles.iter().map(bundle_weight)).sum();
    let count = work.count as f64;
    Row {
        name: work.name,
        parts: parts.map(|part| part / count),
        steps: Times::default(),
        estimated_ns: estimated_ns / count,
        weight: weight as f64 / count,
    }
}

/// Records that are read but not changed: payees that wait for their money, and whoever an offer names.
fn only_read(work: &Work) -> usize {
    let transactions = work.batch.iter().flat_map(|(_, batch)| &batch.content.transactions);
    let of_transactions = transactions.map(|transaction| match transaction.content.operation {
        Operation::Lock { .. } | Operation::Exchange { .. } => 1,
        _ => 0,
    });
    let of_receipts = work.bundles.iter().flat_map(|bundle| &bundle.receipts).map(|receipt| match receipt {
        Receipt::Offer { .. } => 2,
        Receipt::Decision { .. } => 1,
        _ => 0,
    });
    of_transactions.sum::<usize>() + of_receipts.sum::<usize>()
}

/// How much of each part a transaction has.
fn parts_of(transaction: &Transaction) -> [u64; PARTS.len()] {
    let content = &transaction.content;
    let (approvals, changes, openings) = match &content.operation {
        Operation::Govern { proposal, approvals } => (approvals.len(), proposal.changes.len(), 0),
        Operation::OpenWallets { wallets } => (0, 0, wallets.len()),
        _ => (0, 0, 0),
    };
    let bytes = transaction.encode().len() as u64;
    let (signatures, records) = (signatures(transaction), records_touched(content));
    [1, bytes, signatures, approvals as u64, records, openings as u64, changes as u64, 0, 0]
}

/// Signatures of a bundle's certificates.
fn votes(bundle: &Bundle) -> u64 {
    (bundle.certified.finality.bytes.len() / 64) as u64
}

fn print_costs(rows: &[Row]) {
    println!(
        "| kind | bytes | signatures | records | weight | µs measured | µs in all | ns per unit | to the payment |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let unit = rows[0].ns_per_unit();
    for row in rows {
        let [_, bytes, signatures, approvals, records, _, _, _, votes] = row.parts;
        println!(
            "| {} | {bytes:.0} | {:.0} | {records:.0} | {:.0} | {:.1} | {:.1} | {:.1} | {:.2} |",
            row.name,
            signatures + approvals + votes,
            row.weight,
            row.measured_ns() / 1e3,
            row.ns() / 1e3,
            row.ns_per_unit(),
            row.ns_per_unit() / unit,
        );
    }
    println!();
}

fn print_steps(rows: &[Row]) {
    println!("| kind, µs | {} | store and wire |", STEPS.join(" | "));
    println!("| --- |{}", " --- |".repeat(STEPS.len() + 1));
    for row in rows {
        let steps = row.steps.map(|step| format!("{:.2}", step / 1e3)).join(" | ");
        println!("| {} | {steps} | {:.2} |", row.name, row.estimated_ns / 1e3);
    }
    println!();
}

fn print_fit(name: &str, costs: &[f64; PARTS.len()]) {
    println!("fit, {name}: a byte takes {:.1} ns", costs[BYTE]);
    for (part, cost) in PARTS.iter().zip(costs) {
        println!("  {part}: {:.2} µs, weight {:.0}", cost / 1e3, cost / costs[BYTE]);
    }
    println!();
}
