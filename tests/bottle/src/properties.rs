//! What must hold: one function per property, over plain data, so that each can be read and tested alone.
//!
//! | property | when it is checked |
//! | --- | --- |
//! | agreement, no fork, results equal, supply equation, exactly once | whenever a node calls a height final |
//! | durable before vote | whenever a node answers the engine with yes |
//! | nothing final is lost | when a node starts again, and at the end; of a disk with a flipped bit, what it still answers |
//! | liveness, claims verify, fees kept | at the end |
//! | keeps running | when a node halts, unless it read what a flipped bit damaged |
//! | conserved, pairs agree, receipts in order | with several chains: whenever a height is called final for the first time |
//! | receipts settle | with several chains: at the end |
//! | one place | where chains are added: ten times a second where all that was told of is stored, and at the end |
//! | at home | where chains were added and filled: at the end |

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::{ControlFlow, Range};

use audit::{AuditError, Finding, Journal, compare_journals};
use chain::Archive;
use chain::pace::PATIENCE_MS_MAX;
use ledger::records::receipt::receipt_id;
use ledger::records::{GenesisSpec, HeightResult, Outcome, Record};
use ledger::rules::invariants::check_supply;
use ledger::values::{
    BlockDigest, Canonical as _, ChainId, FeeRate, GenesisHash, Height, TransactionHash, TransactionId,
    WalletId,
};
use storage::{MemoryDisk, Reader, Store, Table, key};

/// What a run is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Property {
    /// All nodes have the same final block at each height.
    Agreement,
    /// A final block's parent is the final block below it, and no view finalizes two blocks.
    NoFork,
    /// All nodes computed the same result and the same outcomes at each height.
    ResultsEqual,
    /// What the wallets hold is what was issued less what was redeemed.
    SupplyEquation,
    /// The fee pool holds what transactions were charged.
    FeesKept,
    /// No transaction has two outcomes.
    ExactlyOnce,
    /// What any node ever called final is in every node's store in the end.
    NothingFinalIsLost,
    /// Some block becomes final within [`LIVE_WITHIN_MS`] once a quorum can talk.
    Liveness,
    /// Outcome proofs made by a node convince a stranger who holds the genesis spec only.
    ClaimsVerify,
    /// Yes is answered only for a block that is on disk with all its batches.
    DurableBeforeVote,
    /// No node halts.
    KeepsRunning,
    /// Over a consistent cut of all chains, no money was made or lost (PROTOCOL rule 21).
    Conserved,
    /// No chain has received more of another one than that one has sent, in number and in money.
    PairsAgree,
    /// The receipts that a chain executes are those that were sent to it, in their order, each once.
    ReceiptsInOrder,
    /// Every receipt is executed within [`RECEIPT_WITHIN_MS`] once all chains and a relay between them can work: so every debited
    /// payment is credited, or refunded within twice that time.
    ReceiptsSettle,
    /// Every wallet may act on one chain alone, or is on its way (PROTOCOL rule 25).
    OnePlace,
    /// Once all children are grown, every wallet is where its id says: nothing keeps one here.
    AtHome,
}

/// Virtual time within which a network that can make progress must make some.
pub const LIVE_WITHIN_MS: u64 = 5_000;

/// Virtual time within which a receipt must be executed: for both chains to make progress, and for the relay's longest patience.
pub const RECEIPT_WITHIN_MS: u64 = LIVE_WITHIN_MS + PATIENCE_MS_MAX + 1_000;

/// Where every chain keeps its fee pool.
const FEE_POOL_SLOT: u64 = 0;

/// A receipt on its way. Times since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passage {
    /// Who sent it.
    pub source: ChainId,
    /// To whom.
    pub destination: ChainId,
    /// Its number among all sent there.
    pub sequence: u64,
    /// When the height that sent it was first called final.
    pub sent_ms: u64,
    /// When the height that executed it was.
    pub received_ms: Option<u64>,
}

/// A property that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub property: Property,
    /// Where and how, for people.
    pub detail: String,
}

/// A height as a node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The node.
    pub node: u16,
    /// The height.
    pub height: Height,
    /// Its final block.
    pub digest: BlockDigest,
    /// The block's parent.
    pub parent: BlockDigest,
    /// What a unit of weight costs in it.
    pub base_fee: FeeRate,
    /// The weight of its batches.
    pub weight: u64,
    /// Its result.
    pub result: HeightResult,
    /// Its outcomes.
    pub outcomes: Vec<Outcome>,
}

impl Sighting {
    /// Reads a height from a node's store; `None` where anything of it is missing or damaged.
    #[must_use]
    pub fn read(node: u16, store: &dyn Store, height: Height) -> Option<Self> {
        let archive = Archive::new(store);
        let digest = archive.digest(height).ok()??;
        let header = archive.block_at(height).ok()??.header;
        let (parent, base_fee, weight) = (header.parent, header.base_fee, header.weight);
        let result = archive.result(height).ok()??;
        let outcomes = archive.outcomes(height).ok()??;
        Some(Self { node, height, digest, parent, base_fee, weight, result, outcomes })
    }
}

/// What a property's function answers.
pub type Verdict = Result<(), Violation>;

fn violated(property: Property, detail: impl fmt::Display) -> Verdict {
    Err(Violation { property, detail: detail.to_string() })
}

/// Both sightings are of one block.
///
/// # Errors
/// [`Property::Agreement`].
pub fn agreement(first: &Sighting, second: &Sighting) -> Verdict {
    if first.digest == second.digest {
        return Ok(());
    }
    let (height, one, other) = (first.height, first.node, second.node);
    let detail =
        format!("height {height}: node {one} has {}, node {other} has {}", first.digest, second.digest);
    violated(Property::Agreement, detail)
}

/// The block stands on the final block below it.
///
/// # Errors
/// [`Property::NoFork`].
pub fn no_fork(below: BlockDigest, above: &Sighting) -> Verdict {
    if above.parent == below {
        return Ok(());
    }
    let detail = format!("height {}: parent is {}, final below is {below}", above.height, above.parent);
    violated(Property::NoFork, detail)
}

/// A view finalized one block only.
///
/// # Errors
/// [`Property::NoFork`].
pub fn one_block_a_view(view: u64, first: BlockDigest, second: BlockDigest) -> Verdict {
    if first == second {
        Ok(())
    } else {
        violated(Property::NoFork, format!("view {view}: {first} and {second}"))
    }
}

/// Both sightings have the same result and outcomes.
///
/// # Errors
/// [`Property::ResultsEqual`].
pub fn results_equal(first: &Sighting, second: &Sighting) -> Verdict {
    if first.result == second.result && first.outcomes == second.outcomes {
        return Ok(());
    }
    let (one, other) = (first.node, second.node);
    let detail = format!(
        "height {}: node {one} has state {}, node {other} has state {}",
        first.height, first.result.state, second.result.state
    );
    violated(Property::ResultsEqual, detail)
}

/// The result's supply equation holds, and its holdings are the sum of the stored records.
///
/// `store` must stand at the result's height.
///
/// # Errors
/// [`Property::SupplyEquation`].
pub fn supply_equation(node: u16, result: &HeightResult, store: &dyn Store) -> Verdict {
    if let Err(fault) = check_supply(&result.supply) {
        return violated(Property::SupplyEquation, format!("height {}, node {node}: {fault}", result.height));
    }
    let mut sum = Some(0_u64);
    let visited = store.for_each(Table::Records, &mut |_, bytes| {
        let value = Record::decode(bytes).ok().map(|record| record.value().fen());
        sum = sum.zip(value).and_then(|(sum, value)| sum.checked_add(value));
        ControlFlow::Continue(())
    });
    if visited.is_ok() && sum == Some(result.supply.holdings.fen()) {
        return Ok(());
    }
    let detail = format!(
        "height {}, node {node}: records hold {sum:?} fen, the certified holdings are {}",
        result.height,
        result.supply.holdings.fen()
    );
    violated(Property::SupplyEquation, detail)
}

/// The fee pool holds what all transactions together were charged, up to the height where `store` stands. (Clients here leave no tips, and no
/// operator leaves more unpaid than its quota.)
///
/// # Errors
/// [`Property::FeesKept`].
pub fn fees_kept(node: u16, store: &dyn Store) -> Verdict {
    let archive = Archive::new(store);
    let top = archive.head().ok().flatten().map_or(Height(0), |head| head.height);
    let mut charged = Some(0_u64);
    for height in (1..=top.0).map(Height) {
        let outcomes = archive.outcomes(height).ok().flatten();
        let fees = outcomes.map(|outcomes| outcomes.iter().map(|outcome| outcome.fee.fen()).sum::<u64>());
        charged = charged.zip(fees).and_then(|(charged, fees)| charged.checked_add(fees));
    }
    let pool = store.get(Table::Records, &key::slot(FEE_POOL_SLOT)).ok().flatten();
    let held = pool.and_then(|bytes| match Record::decode(&bytes) {
        Ok(Record::FeePool { balance }) => Some(balance.fen()),
        _ => None,
    });
    if held.is_some() && held == charged {
        return Ok(());
    }
    let detail =
        format!("node {node}, height {top}: the fee pool holds {held:?} fen, {charged:?} were charged");
    violated(Property::FeesKept, detail)
}

/// No outcome of the sighting is for a transaction that had one before, here or below.
///
/// # Errors
/// [`Property::ExactlyOnce`].
pub fn exactly_once(known: &BTreeMap<TransactionId, (Height, Outcome)>, seen: &Sighting) -> Verdict {
    let mut own = BTreeMap::new();
    for outcome in &seen.outcomes {
        let earlier = known.get(&outcome.id).map(|(height, _)| *height);
        if let Some(earlier) = earlier.or_else(|| own.insert(outcome.id, seen.height)) {
            let detail = format!("{} executed at heights {earlier} and {}", outcome.id, seen.height);
            return violated(Property::ExactlyOnce, detail);
        }
    }
    Ok(())
}

/// The node's store has the height as it was first called final.
///
/// # Errors
/// [`Property::NothingFinalIsLost`], or what differs.
pub fn nothing_final_is_lost(node: u16, store: &dyn Store, first: &Sighting) -> Verdict {
    let Some(found) = Sighting::read(node, store, first.height) else {
        let detail =
            format!("node {node} has lost height {}, which node {} called final", first.height, first.node);
        return violated(Property::NothingFinalIsLost, detail);
    };
    agreement(first, &found)?;
    results_equal(first, &found)?;
    let block = Archive::new(store).block_at(first.height).ok().flatten();
    let batches = block.map(|block| block.body.batches).unwrap_or_default();
    if let Some(batch) =
        batches.iter().find(|batch| !matches!(Archive::new(store).batch(**batch), Ok(Some(_))))
    {
        let detail = format!("node {node} has lost batch {batch} of height {}", first.height);
        return violated(Property::NothingFinalIsLost, detail);
    }
    for outcome in &first.outcomes {
        let located = Archive::new(store).locate(outcome.id).ok().flatten();
        if !located.is_some_and(|located| located.height == first.height && located.outcome == *outcome) {
            let detail = format!("node {node} has lost {} of height {}", outcome.id, first.height);
            return violated(Property::NothingFinalIsLost, detail);
        }
    }
    Ok(())
}

/// What a node with a damaged disk still answers of a height is what was called final; what it cannot read it need not answer.
///
/// # Errors
/// What differs.
pub fn damage_changes_nothing(node: u16, store: &dyn Store, first: &Sighting) -> Verdict {
    let Some(found) = Sighting::read(node, store, first.height) else { return Ok(()) };
    agreement(first, &found)?;
    results_equal(first, &found)
}

/// A node that starts again stands at least where it stood when it last called a height final.
///
/// # Errors
/// [`Property::NothingFinalIsLost`].
pub fn starts_where_it_stood(node: u16, called_final: Height, found: Height) -> Verdict {
    if found >= called_final {
        return Ok(());
    }
    let detail = format!("node {node} called height {called_final} final and starts again at {found}");
    violated(Property::NothingFinalIsLost, detail)
}

/// After each moment in `hopes` (a quorum can talk from then on) a height became final in time, unless something else
/// went wrong meanwhile or the run ended. Times in milliseconds.
///
/// # Errors
/// [`Property::Liveness`].
pub fn liveness(hopes: &[u64], disturbances: &[u64], finals: &[u64], end_ms: u64) -> Verdict {
    for hope in hopes {
        let until = hope.saturating_add(LIVE_WITHIN_MS);
        let within = |moment: &u64| *moment > *hope && *moment <= until;
        if until <= end_ms && !disturbances.iter().any(within) && !finals.iter().any(within) {
            return violated(
                Property::Liveness,
                format!("nothing became final from {hope} ms to {until} ms"),
            );
        }
    }
    Ok(())
}

/// The longest time from a moment at which a quorum could talk again to the next final height, over all that nothing else
/// disturbed. Times in milliseconds.
#[must_use]
pub fn longest_healing(healings: &[u64], disturbances: &[u64], finals: &[u64]) -> u64 {
    let took = healings.iter().filter_map(|healed| {
        let next = finals.iter().find(|moment| *moment > healed)?;
        let within = |moment: &u64| moment > healed && moment < next;
        (!disturbances.iter().any(within)).then(|| next - healed)
    });
    took.max().unwrap_or(0)
}

/// The block and all its batches and bundles would survive the harshest loss of power now.
///
/// # Errors
/// [`Property::DurableBeforeVote`].
pub fn durable_before_vote(node: u16, disk: &MemoryDisk, store: &dyn Reader, digest: BlockDigest) -> Verdict {
    let missing = |what: &dyn fmt::Display| {
        violated(
            Property::DurableBeforeVote,
            format!("node {node} voted for {digest} without {what} on disk"),
        )
    };
    if !disk.is_durable(Table::Blocks, &digest.0) {
        return missing(&"the block");
    }
    let block = store.get(Table::Blocks, &digest.0).ok().flatten();
    let Some(block) = block.and_then(|bytes| ledger::records::Block::decode(&bytes).ok()) else {
        return missing(&"a readable block");
    };
    if let Some(batch) = block.body.batches.iter().find(|batch| !disk.is_durable(Table::Batches, &batch.0)) {
        return missing(&format_args!("batch {batch}"));
    }
    // In the row of the proposal, or, once it is executed, by themselves.
    let row = key::proposal(block.header.height.0, &digest.0);
    if disk.is_durable(Table::Proposals, &row) {
        return Ok(());
    }
    match block.body.bundles.iter().find(|bundle| !disk.is_durable(Table::Bundles, &bundle.0)) {
        Some(bundle) => missing(&format_args!("bundle {bundle}")),
        None => Ok(()),
    }
}

/// The auditor's comparison of all chains finds nothing, over the highest consistent cut of what was final so far.
///
/// # Errors
/// [`Property::PairsAgree`] or [`Property::Conserved`].
pub fn conserved<'a>(
    spec: &GenesisSpec,
    journals: impl IntoIterator<Item = (ChainId, &'a Journal)>,
) -> Verdict {
    match compare_journals(spec, journals) {
        Ok(_) => Ok(()),
        Err(AuditError::Different(found)) if matches!(found.finding, Finding::Pair { .. }) => {
            violated(Property::PairsAgree, found)
        }
        Err(fault) => violated(Property::Conserved, fault),
    }
}

/// A height executed the receipts with these numbers, each as it was sent, in their order. `sent` are the hashes of all receipts
/// that the first chain has sent the second one. Answers what became of each: 0 if it was applied, else why not.
///
/// # Errors
/// [`Property::ReceiptsInOrder`].
pub fn receipts_in_order(
    genesis: GenesisHash,
    (source, destination): (ChainId, ChainId),
    numbers: Range<u64>,
    sent: &[TransactionHash],
    outcomes: &[Outcome],
) -> Result<Vec<u16>, Violation> {
    let mut last: Option<u32> = None;
    let mut executed = Vec::new();
    for number in numbers {
        let id = receipt_id(genesis, source, destination, number);
        let original = usize::try_from(number).ok().and_then(|place| sent.get(place));
        let outcome = outcomes.iter().find(|outcome| outcome.id == id);
        let fault = match (original, outcome) {
            (None, _) => "which was never sent",
            (_, None) => "without an outcome",
            (Some(hash), Some(outcome)) if outcome.transaction != *hash => "which was sent as another one",
            (_, Some(outcome)) if last.is_some_and(|last| last >= outcome.index) => "out of its order",
            (_, Some(outcome)) => {
                last = Some(outcome.index);
                executed.push(outcome.code);
                continue;
            }
        };
        let detail = format!("chain {destination} executed receipt {number} of chain {source}, {fault}");
        return Err(Violation { property: Property::ReceiptsInOrder, detail });
    }
    Ok(executed)
}

/// The counter of received receipts moved by as many as the bundles of the height brought.
///
/// # Errors
/// [`Property::ReceiptsInOrder`].
pub fn counters_move_with_bundles(
    (source, destination, height): (ChainId, ChainId, Height),
    moved: u64,
    brought: u64,
) -> Verdict {
    if moved == brought {
        return Ok(());
    }
    let detail = format!(
        "chain {destination}, height {height}: bundles of chain {source} brought {brought} receipts, \
         {moved} were executed"
    );
    violated(Property::ReceiptsInOrder, detail)
}

/// Every receipt was executed in time. `turns` are the moments since which all chains and a relay between them can work, or cannot,
/// ascending, the first at 0; what was sent while they could not, or shortly before a turn, has its time from there on. Times in
/// milliseconds.
///
/// # Errors
/// [`Property::ReceiptsSettle`].
pub fn receipts_settle(
    passages: impl IntoIterator<Item = Passage>,
    turns: &[(u64, bool)],
    end_ms: u64,
) -> Verdict {
    for Passage { source, destination, sequence, sent_ms, received_ms } in passages {
        let ends = turns.iter().skip(1).map(|(at_ms, _)| *at_ms).chain([end_ms]);
        let due_ms = turns.iter().zip(ends).find_map(|((from_ms, is_calm), until_ms)| {
            let due_ms = sent_ms.max(*from_ms).saturating_add(RECEIPT_WITHIN_MS);
            (*is_calm && due_ms <= until_ms).then_some(due_ms)
        });
        let is_late = |due_ms: u64| received_ms.is_none_or(|received_ms| received_ms > due_ms);
        if let Some(due_ms) = due_ms.filter(|due_ms| is_late(*due_ms)) {
            let detail = format!(
                "receipt {sequence} from chain {source} to {destination}: sent at {sent_ms} ms, due at {due_ms} ms, \
                 executed at {received_ms:?}"
            );
            return violated(Property::ReceiptsSettle, detail);
        }
    }
    Ok(())
}

/// Every wallet is on one chain, or it is one of those that are on their way and on none.
///
/// # Errors
/// [`Property::OnePlace`].
pub fn in_one_place(places: &BTreeMap<WalletId, Vec<ChainId>>, moving: &BTreeSet<WalletId>) -> Verdict {
    let is_lost = |wallet: &WalletId, chains: &[ChainId]| match chains {
        [] => !moving.contains(wallet),
        chains => chains.len() > 1,
    };
    match places.iter().find(|(wallet, chains)| is_lost(wallet, chains)) {
        None => Ok(()),
        Some((wallet, chains)) => {
            violated(Property::OnePlace, format!("wallet {wallet} is on chains {chains:?}"))
        }
    }
}

/// Every wallet is at home.
///
/// # Errors
/// [`Property::AtHome`].
pub fn at_home(places: &BTreeMap<WalletId, Vec<ChainId>>, home: impl Fn(&WalletId) -> ChainId) -> Verdict {
    match places.iter().find(|(wallet, chains)| chains.iter().any(|chain| *chain != home(wallet))) {
        None => Ok(()),
        Some((wallet, chains)) => {
            let detail =
                format!("wallet {wallet} is on chains {chains:?}, its home is chain {}", home(wallet));
            violated(Property::AtHome, detail)
        }
    }
}

/// A node halted.
#[must_use]
pub fn keeps_running(node: u16, cause: &str) -> Violation {
    Violation { property: Property::KeepsRunning, detail: format!("node {node} halted: {cause}") }
}

/// A proof did not convince.
#[must_use]
pub fn claims_verify(node: u16, id: TransactionId, fault: &dyn fmt::Display) -> Violation {
    Violation { property: Property::ClaimsVerify, detail: format!("node {node}, transaction {id}: {fault}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn liveness_waits_out_disturbances_and_the_end() {
        assert_eq!(liveness(&[0], &[], &[4_000], 10_000), Ok(()));
        assert!(liveness(&[0], &[], &[5_001], 10_000).is_err());
        assert_eq!(liveness(&[0], &[3_000], &[], 10_000), Ok(()));
        assert_eq!(liveness(&[8_000], &[], &[], 10_000), Ok(()));
        assert!(liveness(&[0, 6_000], &[], &[100], 12_000).is_err());
    }

    #[test]
    fn the_longest_healing_is_one_that_nothing_disturbed() {
        let finals = [900, 2_500, 9_000];
        assert_eq!(longest_healing(&[1_000, 3_000], &[], &finals), 6_000);
        assert_eq!(longest_healing(&[1_000, 3_000], &[3_000, 4_000], &finals), 1_500);
        assert_eq!(longest_healing(&[9_500], &[], &finals), 0);
    }

    fn passage(sent_ms: u64, received_ms: Option<u64>) -> Passage {
        Passage { source: ChainId(0), destination: ChainId(1), sequence: 3, sent_ms, received_ms }
    }

    #[test]
    fn a_receipt_has_its_time_from_the_last_turn_for_the_better() {
        let late = |sent_ms, received_ms, turns: &[(u64, bool)], end_ms| {
            receipts_settle([passage(sent_ms, received_ms)], turns, end_ms).is_err()
        };
        let calm = [(0, true)];
        assert!(!late(100, Some(100 + RECEIPT_WITHIN_MS), &calm, 60_000));
        assert!(late(100, Some(101 + RECEIPT_WITHIN_MS), &calm, 60_000));
        assert!(late(100, None, &calm, 60_000), "lost");
        assert!(!late(100, None, &calm, 100 + RECEIPT_WITHIN_MS - 1), "the run ended too early to tell");
        let healed = [(0, true), (1_000, false), (30_000, true)];
        assert!(!late(100, Some(30_000 + RECEIPT_WITHIN_MS), &healed, 60_000));
        assert!(late(100, Some(30_001 + RECEIPT_WITHIN_MS), &healed, 60_000));
        assert!(!late(100, None, &[(0, true), (1_000, false)], 60_000), "nobody could");
    }

    #[test]
    fn receipts_are_executed_as_sent_and_in_order() {
        let (genesis, pair) = (GenesisHash([1; 32]), (ChainId(0), ChainId(1)));
        let hash = |number: u64| TransactionHash([u8::try_from(number).unwrap_or(0); 32]);
        let outcome = |number: u64, index: u32| Outcome {
            id: receipt_id(genesis, pair.0, pair.1, number),
            transaction: hash(number),
            index,
            code: u16::from(number == 5) * 206,
            fee: ledger::values::Amount::ZERO,
        };
        let sent: Vec<TransactionHash> = (0..6).map(hash).collect();
        let check = |numbers: Range<u64>, outcomes: &[Outcome]| {
            receipts_in_order(genesis, pair, numbers, &sent, outcomes)
        };
        assert_eq!(check(4..6, &[outcome(4, 9), outcome(5, 10)]), Ok(vec![0, 206]));
        assert!(check(4..6, &[outcome(4, 10), outcome(5, 9)]).is_err(), "the wrong way round");
        assert!(check(4..6, &[outcome(4, 9)]).is_err(), "one is missing");
        assert!(check(5..7, &[outcome(5, 9), outcome(6, 10)]).is_err(), "number 6 was never sent");
        let other = Outcome { transaction: hash(5), ..outcome(4, 9) };
        assert!(check(4..5, &[other]).is_err(), "another one in its place");
        assert!(counters_move_with_bundles((pair.0, pair.1, Height(3)), 3, 2).is_err());
        assert_eq!(counters_move_with_bundles((pair.0, pair.1, Height(3)), 2, 2), Ok(()));
    }

    #[test]
    fn a_wallet_is_on_one_chain_or_on_its_way() {
        let (one, other) = (WalletId([1; 32]), WalletId([2; 32]));
        let check = |chains: &[u32], moving: &[WalletId]| {
            let chains = chains.iter().copied().map(ChainId).collect();
            let places = BTreeMap::from([(one, chains), (other, vec![ChainId(0)])]);
            in_one_place(&places, &moving.iter().copied().collect())
        };
        assert_eq!(check(&[2], &[]), Ok(()));
        assert_eq!(check(&[], &[one]), Ok(()));
        assert!(check(&[], &[other]).is_err(), "lost");
        assert!(check(&[0, 2], &[one]).is_err(), "there twice");
        let places = BTreeMap::from([(one, vec![ChainId(2)]), (other, vec![ChainId(0)])]);
        assert!(at_home(&places, |_| ChainId(0)).is_err());
        assert_eq!(at_home(&places, |wallet| if *wallet == one { ChainId(2) } else { ChainId(0) }), Ok(()));
    }

    #[test]
    fn a_node_may_be_ahead_of_what_it_called_final_and_never_behind() {
        assert_eq!(starts_where_it_stood(0, Height(7), Height(8)), Ok(()));
        assert!(starts_where_it_stood(0, Height(7), Height(6)).is_err());
    }
}
