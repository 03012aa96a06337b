//! What passes between the chains, as their final heights tell it: every receipt that was sent and executed, and every chain's
//! journal. As the witness, it survives every crash.
//!
//! Heights are taken in by chain, in order, from whichever node calls one final first; what nobody lived to tell is read from the
//! store of the next node that tells anything. The comparison across chains is the auditor's own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use audit::{Arrival, Journal, Numbered};
use chain::Archive;
use chain::rows::SentRow;
use consensus::runtime::deterministic::START_MS;
use ledger::records::outcome::APPLIED;
use ledger::records::{
    Bundle, GenesisSpec, HeightResult, Outcome, Receipt, Registry, Rejection, SupplyTerms,
};
use ledger::values::{Canonical as _, ChainId, GenesisHash, Height, TransactionHash, WalletId};
use storage::{Store, Table, key};

use crate::machine::Network;
use crate::outcome::Passed;
use crate::properties::{self, Passage, Property, Verdict, Violation};
use crate::witness::Noted;

/// What passes between chains. Clones are the same.
#[derive(Clone)]
pub(crate) struct Crossing(Arc<Mutex<Between>>);

impl Crossing {
    /// Before the first height of a network.
    pub(crate) fn new(network: &Network) -> Self {
        let (spec, genesis) = (Arc::clone(&network.spec), network.genesis);
        let parent = |chain: ChainId| network.children.get(&chain).map(|child| child.parent);
        let account = |chain| (chain, Account { parent: parent(chain), ..Account::default() });
        let accounts = network.all().map(account).collect();
        let noted = Noted::default();
        let (sent, given) = (BTreeMap::new(), BTreeMap::new());
        Self(Arc::new(Mutex::new(Between { spec, genesis, accounts, sent, given, noted })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Between> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything seen so far.
pub(crate) struct Between {
    spec: Arc<GenesisSpec>,
    genesis: GenesisHash,
    accounts: BTreeMap<ChainId, Account>,
    /// Receipts in the order of their numbers, by the chain that sent them and the one they are for.
    sent: BTreeMap<(ChainId, ChainId), Vec<Sent>>,
    /// Bundles that each node's relay gave its chains.
    given: BTreeMap<u16, u64>,
    noted: Noted,
}

/// One chain as far as it was seen.
#[derive(Default)]
struct Account {
    parent: Option<ChainId>,
    next: Height,
    supply: SupplyTerms,
    journal: Journal,
}

struct Sent {
    hash: TransactionHash,
    kind: Kind,
    sent_ms: u64,
    /// When, and what became of it.
    received: Option<(u64, u16)>,
}

/// What a receipt is about.
enum Kind {
    Credit,
    Refund,
    Move(WalletId),
    Other,
}

impl Kind {
    const fn of(receipt: &Receipt) -> Self {
        match receipt {
            Receipt::Credit { .. } => Self::Credit,
            Receipt::Refund { .. } => Self::Refund,
            Receipt::Move { wallet } => Self::Move(wallet.id),
            _ => Self::Other,
        }
    }
}

/// A height as a store has it.
struct Page {
    result: HeightResult,
    outcomes: Vec<Outcome>,
    bundles: Vec<Bundle>,
    /// With the chains they are for, in order.
    sent: Vec<(ChainId, u64, Receipt)>,
    /// The registry after it, where it changed.
    registry: Option<Registry>,
}

impl Between {
    /// A node called a height final, at this time on the wall clock.
    pub(crate) fn height_final(&mut self, at_ms: u64, chain: ChainId, store: &dyn Store, height: Height) {
        if self.accounts.len() < 2 {
            return;
        }
        let mut is_new = false;
        while let Some(account) = self.accounts.get(&chain).filter(|account| account.next <= height) {
            // What a store misses is the witness's to say.
            let Some(page) = Page::read(store, chain, account) else { return };
            self.take(at_ms, chain, &page);
            is_new = true;
        }
        if is_new {
            let journals = self.accounts.iter().map(|(chain, account)| (*chain, &account.journal));
            let verdict = properties::conserved(&self.spec, journals);
            self.noted.note(at_ms, verdict);
        }
    }

    /// A node's relay gave its chains so many bundles.
    pub(crate) fn gave(&mut self, node: u16, bundles: u64) {
        *self.given.entry(node).or_default() += bundles;
    }

    fn take(&mut self, at_ms: u64, chain: ChainId, page: &Page) {
        let Some(account) = self.accounts.get_mut(&chain) else { return };
        for (destination, _, receipt) in &page.sent {
            self.sent.entry((chain, *destination)).or_default().push(Sent {
                hash: receipt.hash(),
                kind: Kind::of(receipt),
                sent_ms: at_ms.saturating_sub(START_MS),
                received: None,
            });
        }
        for pair in &page.result.supply.pairs {
            let sent = self.sent.entry((pair.chain, chain)).or_default();
            let numbers = account.supply.pair(pair.chain).received.count..pair.received.count;
            let hashes: Vec<TransactionHash> = sent.iter().map(|sent| sent.hash).collect();
            let places = (pair.chain, chain);
            let executed =
                properties::receipts_in_order(self.genesis, places, numbers, &hashes, &page.outcomes);
            match executed {
                Err(violation) => self.noted.note(at_ms, Err(violation)),
                Ok(executed) => {
                    let first = usize::try_from(account.supply.pair(pair.chain).received.count);
                    let waiting = sent.iter_mut().skip(first.unwrap_or(usize::MAX));
                    for (sent, code) in waiting.zip(executed) {
                        sent.received = Some((at_ms.saturating_sub(START_MS), code));
                    }
                }
            }
        }
        let (arrivals, received) = arrivals(page, &account.supply);
        for pair in &page.result.supply.pairs {
            let before = account.supply.pair(pair.chain).received;
            let moved = pair.received.count.saturating_sub(before.count);
            let of_source = arrivals.iter().filter(|arrival| arrival.source == pair.chain);
            let brought: u64 = of_source.map(|arrival| arrival.receipts).sum();
            let place = (pair.chain, chain, page.result.height);
            self.noted.note(at_ms, properties::counters_move_with_bundles(place, moved, brought));
        }
        account.next = page.result.height.next();
        account.supply = page.result.supply.clone();
        account.journal.note(&page.result, arrivals);
        if let Some(registry) = &page.registry {
            account.journal.note_children(registry);
        }
        let sent = page.sent.iter().map(|(to, sequence, receipt)| (*to, *sequence, receipt));
        let (height, parent) = (page.result.height, account.parent);
        if let Err(finding) = account.journal.note_moves(height, parent, sent, received) {
            let detail = format!("chain {chain}, height {height}: {finding}");
            self.noted.note(at_ms, Err(Violation { property: Property::OnePlace, detail }));
        }
    }

    /// Wallets that left a chain and did not arrive yet.
    pub(crate) fn moving(&self) -> BTreeSet<WalletId> {
        let waiting = self.sent.values().flatten().filter(|sent| sent.received.is_none());
        let wallet = |sent: &Sent| match sent.kind {
            Kind::Move(wallet) => Some(wallet),
            _ => None,
        };
        waiting.filter_map(wallet).collect()
    }

    /// The height of each chain that was told of last.
    pub(crate) fn heights(&self) -> impl Iterator<Item = (ChainId, Height)> + '_ {
        self.accounts.iter().map(|(chain, account)| (*chain, Height(account.next.0.saturating_sub(1))))
    }

    /// What was looked at elsewhere.
    pub(crate) fn note(&mut self, at_ms: u64, verdict: Verdict) {
        self.noted.note(at_ms, verdict);
    }

    /// Receipts that were sent and not executed.
    pub(crate) fn under_way(&self) -> usize {
        self.sent.values().flatten().filter(|sent| sent.received.is_none()).count()
    }

    /// The end of a run: everything that was sent in time must have arrived. `turns` as [`properties::receipts_settle`] takes them.
    pub(crate) fn end(&mut self, turns: &[(u64, bool)], end_ms: u64) {
        let passage = |((source, destination), sequence, sent): ((ChainId, ChainId), u64, &Sent)| Passage {
            source,
            destination,
            sequence,
            sent_ms: sent.sent_ms,
            received_ms: sent.received.map(|(at_ms, _)| at_ms),
        };
        let numbered = self.sent.iter().flat_map(|(pair, sent)| {
            (0_u64..).zip(sent).map(move |(sequence, sent)| (*pair, sequence, sent))
        });
        let verdict = properties::receipts_settle(numbered.map(passage), turns, end_ms);
        self.noted.note(START_MS + end_ms, verdict);
    }

    pub(crate) fn violations(&self) -> &[(u64, Violation)] {
        self.noted.all()
    }

    /// For the report.
    pub(crate) fn passed(&self) -> Passed {
        let mut passed = Passed { bundles_given: self.given.clone(), ..Passed::default() };
        for sent in self.sent.values().flatten() {
            match (&sent.kind, sent.received) {
                (_, None) => passed.under_way += 1,
                (Kind::Move(_), Some((_, APPLIED))) => passed.moved += 1,
                (Kind::Credit | Kind::Refund, Some((_, code))) if code == Rejection::SentOn.code() => {
                    passed.sent_on += 1;
                }
                (Kind::Refund, Some(_)) => passed.refunded += 1,
                (Kind::Credit, Some((_, APPLIED))) => passed.credited += 1,
                (Kind::Credit | Kind::Move(_), Some((_, code))) => {
                    *passed.refused.entry(code).or_default() += 1;
                }
                (Kind::Other, Some(_)) => {}
            }
            let took_ms = sent.received.map_or(0, |(at_ms, _)| at_ms.saturating_sub(sent.sent_ms));
            passed.longest_ms = passed.longest_ms.max(took_ms);
        }
        passed
    }
}

impl Page {
    /// Reads the next height of a chain; `None` where anything of it is missing or damaged.
    fn read(store: &dyn Store, chain: ChainId, account: &Account) -> Option<Self> {
        let (archive, height) = (Archive::new(store), account.next);
        let result = archive.result(height).ok()??;
        let outcomes = archive.outcomes(height).ok()?.unwrap_or_default();
        let body = archive.block_at(height).ok()?.map(|block| block.body).unwrap_or_default();
        let bundles: Option<Vec<Bundle>> =
            body.bundles.iter().map(|digest| archive.bundle(*digest).ok().flatten()).collect();
        let mut sent = Vec::new();
        for pair in result.supply.pairs.iter().filter(|pair| pair.chain != chain) {
            for sequence in account.supply.pair(pair.chain).sent.count..pair.sent.count {
                let row = store.get(Table::Receipts, &key::receipt(pair.chain.0, sequence)).ok()??;
                sent.push((pair.chain, sequence, SentRow::decode(&row).ok()?.receipt));
            }
        }
        let registry = store.get(Table::Registries, &key::height(height.0)).ok()?;
        let registry = registry.and_then(|bytes| Registry::decode(&bytes).ok());
        Some(Self { result, outcomes, bundles: bundles?, sent, registry })
    }
}

/// The bundles of a height that bring the next receipt, as execution takes them, and their receipts from that one on.
fn arrivals<'a>(page: &'a Page, before: &SupplyTerms) -> (Vec<Arrival>, Vec<Numbered<'a>>) {
    let mut received = BTreeMap::new();
    let (mut arrivals, mut receipts) = (Vec::new(), Vec::new());
    for bundle in &page.bundles {
        let (source, result) = (bundle.source(), &bundle.certified.result);
        let next = received.entry(source).or_insert_with(|| before.pair(source).received);
        let first = next.count;
        let Some(rest) = bundle.rest(*next) else { continue };
        for receipt in rest {
            receipts.push((source, next.count, receipt));
            *next = next.plus(receipt.value()).unwrap_or(*next);
        }
        arrivals.push(Arrival {
            height: page.result.height,
            source,
            first,
            receipts: rest.len() as u64,
            source_height: result.height,
            outbox: result.outbox,
        });
    }
    (arrivals, receipts)
}
