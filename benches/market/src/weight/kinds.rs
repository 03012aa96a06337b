//! The kinds of work that are measured: for each one a block that holds as much of it as the default target of a block, or as the
//! ledger lets into one block.

use std::ops::Range;

use ledger::records::batch::BATCH_TRANSACTIONS_MAX;
use ledger::records::{
    Asked, Batch, Block, Bundle, Change, FeeParams, Operation, Payment, Policy, Proposal, Receipt,
    Transaction,
};
use ledger::rules::govern::BLOCK_APPROVALS_MAX;
use ledger::rules::weight::transaction_weight;
use ledger::state::shares::LOCKS_PER_BLOCK_MAX;
use ledger::values::hash::sha256;
use ledger::values::{Amount, BatchDigest, ChainId, LockId, OperatorId, SecretKey, TimestampMs, quorum};

use super::town::{ABROAD, Deed, HOME, NEIGHBOUR, Sent, Town, cold_key, deed};

/// Blocks of locks, and of offers, that are made beforehand for claims and accepts to end.
const LOCK_BLOCKS: u64 = 4;
/// Receipts of the large bundle; every transaction that sends them pays so many.
const CREDITS: u64 = 1_024;
const CREDITS_EACH: u64 = 64;
const LOCK_TTL_MS: u64 = 3_600_000;
const PREIMAGE: [u8; 32] = [11; 32];
const PAID: Amount = Amount::from_fen(100);
/// Wallets of the town with the large council.
const COUNCIL_WALLETS: u64 = 1_000;
/// The towns' places and their banks: one with people in it, and one with the largest council.
const PEOPLE: usize = 0;
const COUNCIL: usize = 1;
const BANKS: [u16; 2] = [4, 100];

/// A block of one kind of work, on top of what its chain holds.
pub(crate) struct Work {
    /// What it is.
    pub(crate) name: &'static str,
    /// The town and the chain that execute it.
    pub(crate) place: (usize, usize),
    /// The block.
    pub(crate) block: Block,
    /// Its transactions, where it has any.
    pub(crate) batch: Option<(BatchDigest, Batch)>,
    /// Its receipts, where it has any.
    pub(crate) bundles: Vec<Bundle>,
    /// How many transactions, or receipts, it holds: what its costs are divided by.
    pub(crate) count: u64,
}

/// The towns and the work to be done in them.
pub(crate) struct Kinds {
    pub(crate) towns: [Town; 2],
    /// The first one is the payment to one payee.
    pub(crate) works: Vec<Work>,
}

impl Kinds {
    /// Builds everything; `wallets` on each of the two chains where most of the work is done.
    pub(crate) fn new(wallets: u64) -> Self {
        let mut people = Town::new(BANKS[PEOPLE], wallets);
        let locks = make_locks(&mut people);
        let mut offers = make_offers(&mut people);
        let decided = offers.split_off(offers.len() - LOCKS_PER_BLOCK_MAX);
        let decisions = decide(&mut people, offers.len() as u64, &decided);
        let more_offers = offer(&mut people, LOCK_BLOCKS);
        let mut council = Town::new(BANKS[COUNCIL], COUNCIL_WALLETS);
        let credits = [credits(&mut people), credits(&mut council)];
        let mut works = Vec::new();
        heat(&mut people, HOME);
        heat(&mut people, ABROAD);
        heat(&mut council, HOME);
        pay_kinds(&people, &mut works);
        operator_kinds(&people, &mut works);
        lock_kinds(&people, &locks, &offers, &mut works);
        govern_kind("govern, 3 approvals", (PEOPLE, &people), &mut works);
        govern_kind("govern, 67 approvals", (COUNCIL, &council), &mut works);
        let [few, many] = credits;
        let bundles = [
            ("receipts: 1,024 credits, 3 votes", (PEOPLE, HOME), few.bundle(few.receipts.len())),
            ("receipts: 256 offers, 3 votes", (PEOPLE, ABROAD), more_offers.bundle(LOCKS_PER_BLOCK_MAX)),
            ("receipts: 256 decisions, 3 votes", (PEOPLE, HOME), decisions.bundle(LOCKS_PER_BLOCK_MAX)),
            ("receipts: 1 credit, 3 votes", (PEOPLE, HOME), few.bundle(1)),
            ("receipts: 1 credit, 67 votes", (COUNCIL, HOME), many.bundle(1)),
        ];
        let towns = [people, council];
        for (name, place, bundle) in bundles {
            let (count, bundles) = (bundle.receipts.len() as u64, vec![bundle]);
            let block = towns[place.0].block(place.1, &[], &bundles);
            works.push(Work { name, place, block, batch: None, bundles, count });
        }
        Self { towns, works }
    }

    /// A block of nothing on the chain where `work` is done: what any block costs.
    pub(crate) fn nothing(&self, work: &Work) -> Work {
        let (town, chain) = work.place;
        let block = self.towns[town].block(chain, &[], &[]);
        Work { name: "nothing", place: work.place, block, batch: None, bundles: Vec::new(), count: 0 }
    }
}

/// A block above the target, so that the next one has a base fee.
fn heat(town: &mut Town, chain: usize) {
    let deeds = (0..CREDITS_EACH).map(|number| deed(town.bank(chain, number), redeem())).collect();
    town.run(chain, deeds, Vec::new());
}

const fn redeem() -> Operation {
    Operation::Redeem { amount: PAID }
}

/// A block of as many deeds as the default target holds, at most `limit`.
fn work(
    name: &'static str,
    (place, town): (usize, &Town),
    chain: usize,
    limit: u64,
    make: impl Fn(u64) -> Deed,
) -> Work {
    let first: Vec<Transaction> = town.sign(chain, vec![make(0)]);
    let count = FeeParams::default().weight_target / transaction_weight(&first[0]);
    let count = count.min(limit).clamp(1, BATCH_TRANSACTIONS_MAX as u64);
    let transactions = town.sign(chain, (0..count).map(make).collect());
    let batch = town.seal(chain, transactions);
    let block = town.block(chain, std::slice::from_ref(&batch), &[]);
    Work { name, place: (place, chain), block, batch: Some(batch), bundles: Vec::new(), count }
}

/// So many payments to wallets of this chain.
fn payments(town: &Town, number: u64, count: u64) -> Operation {
    let payment = |part| Payment { payee: town.payee(HOME, count * number + part), amount: PAID };
    Operation::Pay { payments: (0..count).map(payment).collect() }
}

fn pay_kinds(town: &Town, works: &mut Vec<Work>) {
    let people = (PEOPLE, town);
    let pay = |count: u64| move |number| deed(town.payer(HOME, number), payments(town, number, count));
    works.push(work("pay 1 payee", people, HOME, u64::MAX, pay(1)));
    works.push(work("pay 8 payees", people, HOME, u64::MAX, pay(8)));
    works.push(work("pay 64 payees", people, HOME, u64::MAX, pay(64)));
    let tipped = |number| Deed { tip: Amount::from_fen(1), ..pay(1)(number) };
    works.push(work("pay 1 payee, with a tip", people, HOME, u64::MAX, tipped));
    let sponsored = |number| {
        // Those who sponsor pay nothing themselves here.
        let sponsor = town.payer(HOME, number + 2_000);
        Deed { sponsor: Some(sponsor), ..pay(1)(number) }
    };
    works.push(work("pay 1 payee, sponsored", people, HOME, 2_000, sponsored));
    let two = |number| deed(town.two_of_three(HOME, number), payments(town, number, 1));
    works.push(work("pay 1 payee, 2-of-3", people, HOME, u64::MAX, two));
    let sixteen = |number| deed(town.sixteen(HOME, number), payments(town, number, 1));
    works.push(work("pay 1 payee, 16-of-16", people, HOME, u64::MAX, sixteen));
    let abroad = |number| {
        let payments = vec![Payment { payee: town.stranger(number), amount: PAID }];
        deed(town.payer(HOME, number), Operation::Pay { payments })
    };
    works.push(work("pay 1 payee of another chain", people, HOME, u64::MAX, abroad));
}

fn operator_kinds(town: &Town, works: &mut Vec<Work>) {
    let people = (PEOPLE, town);
    let policy = Policy::single(SecretKey::from_seed([8; 32]).public_key());
    let open = |count: u64| {
        let policy = policy.clone();
        move |number| {
            let opening = |part| town.opening(HOME, (1 << 32) + count * number + part, &policy).0;
            let wallets = (0..count).map(opening).collect();
            deed(town.bank(HOME, number), Operation::OpenWallets { wallets })
        }
    };
    works.push(work("open 1 wallet", people, HOME, u64::MAX, open(1)));
    works.push(work("open 64 wallets", people, HOME, u64::MAX, open(64)));
    let issue = |number| {
        let to = town.bank(HOME, number).wallet;
        deed(town.operator(HOME, 0), Operation::Issue { to, amount: PAID })
    };
    works.push(work("issue", people, HOME, u64::MAX, issue));
    works.push(work("redeem", people, HOME, u64::MAX, |number| deed(town.bank(HOME, number), redeem())));
}

fn lock_kinds(town: &Town, locks: &[LockId], offers: &[LockId], works: &mut Vec<Work>) {
    let (people, per_block) = ((PEOPLE, town), LOCKS_PER_BLOCK_MAX as u64);
    works.push(work("lock", people, HOME, per_block, |number| {
        deed(town.payer(HOME, number), lock(town, number))
    }));
    let claim = |number: u64| {
        let lock = locks[usize::try_from(number).unwrap()];
        deed(town.payer(HOME, claimer(number)), Operation::Claim { lock, preimage: PREIMAGE })
    };
    works.push(work("claim", people, HOME, locks.len() as u64, claim));
    let make = |number| deed(town.payer(HOME, number), exchange(town, number));
    works.push(work("exchange", people, HOME, per_block, make));
    let accept = |number| accept(town, number, offers[usize::try_from(number).unwrap()]);
    works.push(work("accept", people, ABROAD, offers.len() as u64, accept));
}

/// The payer who gets a lock's money.
const fn claimer(number: u64) -> u64 {
    number + 2_000
}

fn deadline(town: &Town, chain: usize) -> TimestampMs {
    TimestampMs(town.chains[chain].state.head().timestamp.0 + LOCK_TTL_MS)
}

fn lock(town: &Town, number: u64) -> Operation {
    Operation::Lock {
        payee: town.payer(HOME, claimer(number)).wallet,
        amount: PAID,
        hash: sha256(&PREIMAGE),
        deadline: deadline(town, HOME),
    }
}

fn asked(town: &Town, number: u64) -> Asked {
    Asked { payer: town.payer(ABROAD, number).wallet, payee: town.payee(ABROAD, number), amount: PAID }
}

fn exchange(town: &Town, number: u64) -> Operation {
    Operation::Exchange {
        payee: town.payee(HOME, number),
        amount: PAID,
        chain: ChainId(ABROAD as u32),
        asked: asked(town, number),
        deadline: deadline(town, HOME),
    }
}

fn accept(town: &Town, number: u64, offer: LockId) -> Deed {
    let Asked { payee, amount, .. } = asked(town, number);
    let (source, to) = (ChainId(HOME as u32), town.payee(HOME, number));
    deed(town.payer(ABROAD, number), Operation::Accept { offer, payee, amount, receives: PAID, source, to })
}

/// Numbers of the locks of a block.
const fn numbers(block: u64) -> Range<u64> {
    let per_block = LOCKS_PER_BLOCK_MAX as u64;
    block * per_block..(block + 1) * per_block
}

fn make_locks(town: &mut Town) -> Vec<LockId> {
    let mut locks = Vec::new();
    for block in 0..LOCK_BLOCKS {
        let lock = |number| deed(town.payer(HOME, number), lock(town, number));
        let (_, execution) = town.run(HOME, numbers(block).map(lock).collect(), Vec::new());
        locks.extend(execution.outcomes.iter().map(|outcome| LockId::of(outcome.id)));
    }
    locks
}

/// A block of exchanges, and the offers that it sends.
fn offer(town: &mut Town, block: u64) -> Sent {
    let exchange = |number| deed(town.payer(HOME, number), exchange(town, number));
    let deeds = numbers(block).map(exchange).collect();
    town.send(HOME, ABROAD, deeds)
}

/// Offers that have arrived on the chain that decides.
fn make_offers(town: &mut Town) -> Vec<LockId> {
    let mut offers = Vec::new();
    for block in 0..LOCK_BLOCKS {
        let sent = offer(town, block);
        offers.extend(sent.receipts.iter().filter_map(|receipt| match receipt {
            Receipt::Offer { lock, .. } => Some(*lock),
            _ => None,
        }));
        let bundle = sent.bundle(sent.receipts.len());
        town.run(ABROAD, Vec::new(), vec![bundle]);
    }
    offers
}

/// Accepts these offers, the numbers of which begin with `first`, and gives what the chain of their locks is told.
fn decide(town: &mut Town, first: u64, offers: &[LockId]) -> Sent {
    let deeds = (first..).zip(offers).map(|(number, offer)| accept(town, number, *offer)).collect();
    town.send(ABROAD, HOME, deeds)
}

/// Payments from the other shard to wallets of this one.
fn credits(town: &mut Town) -> Sent {
    let pay = |number| deed(town.bank(NEIGHBOUR, number), payments(town, number, CREDITS_EACH));
    let deeds = (0..CREDITS / CREDITS_EACH).map(pay).collect();
    town.send(NEIGHBOUR, HOME, deeds)
}

/// Proposals that set the root chain's parameters, each approved by just a quorum of the council.
fn govern_kind(name: &'static str, (place, town): (usize, &Town), works: &mut Vec<Work>) {
    let approvals = quorum(usize::from(town.banks));
    let registry = &town.chains[HOME].state.rules().registry;
    let govern = |number: u64| {
        let mut params = town.chains[HOME].state.rules().params.clone();
        params.block_pace_ms += 1 + number;
        let change = Change::SetParams { chain: ChainId(HOME as u32), params };
        let proposal = Proposal {
            version: registry.version + number,
            valid_until: deadline(town, HOME),
            is_urgent: false,
            reason: "a pace that suits the season".into(),
            changes: vec![change],
        };
        let approve = |id: u16| proposal.approve(town.genesis, OperatorId(id), &cold_key(id));
        let approvals = (1..).take(approvals).map(approve).collect();
        deed(town.bank(HOME, number), Operation::Govern { proposal, approvals })
    };
    works.push(work(name, (place, town), HOME, (BLOCK_APPROVALS_MAX / approvals) as u64, govern));
}
