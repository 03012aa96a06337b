//! The pool beside a small one that sorts a list whenever it is asked, and the bounds on what a flood can do to others.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use ledger::records::{FeeBid, Nonce, Operation, Policy, Transaction, TransactionContent};
use ledger::values::{
    Amount, ChainId, FeeRate, GenesisHash, Height, OperatorId, PublicKey, TimestampMs, TransactionId,
    WalletId,
};
use mempool::{Balance, POOL_BYTES_MAX, Pool, PoolRefusal, Pooled, QUANTUM_WEIGHT, TakeLimits};
use proptest::prelude::*;

const MEBIBYTE: usize = 1 << 20;
/// The heaviest transaction of the floods.
const HEAVIEST: u64 = 60_000;

/// A base fee that no transaction of the floods can pay.
const DEAR: FeeRate = FeeRate::from_micro_fen(10_000_000_000);

/// Whose, which, what it bids.
#[derive(Debug, Clone, Copy)]
struct Made {
    operator: u16,
    wallet: u16,
    sequence: u64,
    fee_max: u64,
    tip: u64,
    weight: u64,
    bytes: usize,
    is_exempt: bool,
}

impl Made {
    fn pooled(self) -> Pooled {
        let operator = OperatorId(self.operator);
        let mut wallet = [0; 32];
        wallet[..2].copy_from_slice(&self.operator.to_le_bytes());
        wallet[2..4].copy_from_slice(&self.wallet.to_le_bytes());
        let [fee_max, tip] = [self.fee_max, self.tip].map(Amount::from_fen);
        let content = TransactionContent {
            network: [0; 4],
            chain: ChainId(0),
            wallet: WalletId(wallet),
            nonce: Nonce { lane: 0, sequence: self.sequence },
            valid_until: TimestampMs(10 + self.sequence),
            fee: FeeBid { fee_max, tip, operator, sponsor: None },
            policy: Policy::single(PublicKey([1; 32])),
            // So that every weight and length is another transaction.
            operation: Operation::Redeem { amount: Amount::from_fen(self.weight + self.bytes as u64) },
        };
        let id = content.id(GenesisHash::default());
        let transaction = Transaction { content, signatures: Vec::new(), sponsor_signatures: Vec::new() };
        let (bytes, weight, is_exempt) = (self.bytes, self.weight, self.is_exempt);
        // Whoever has enough is never short of it; that somebody is: see the pool's own tests.
        let balance = Balance { amount: Amount::from_fen(u64::MAX), after: Height(0) };
        Pooled { id, transaction, bytes, weight, operator, is_exempt, balance, base_fee: FeeRate::ZERO }
    }
}

/// What it can pay beside its tip.
fn spare(pooled: &Pooled) -> Amount {
    let fee = &pooled.transaction.content.fee;
    fee.fee_max.minus(fee.tip).unwrap_or(Amount::ZERO)
}

fn can_pay(pooled: &Pooled, base_fee: FeeRate) -> bool {
    pooled.is_exempt || base_fee.due(pooled.weight) <= spare(pooled)
}

/// Tip, then ceiling, both per weight.
fn bid(pooled: &Pooled) -> (u64, u64) {
    let tip = pooled.transaction.content.fee.tip.fen() * 1_000_000 / pooled.weight;
    let ceiling = FeeRate::of_bid(spare(pooled), pooled.weight).micro_fen();
    (tip, if pooled.is_exempt { u64::MAX } else { ceiling })
}

/// The small pool: lists in the order of arrival.
#[derive(Debug, Default)]
struct Model {
    waiting: Vec<Pooled>,
    taken: Vec<Pooled>,
}

impl Model {
    fn bytes(&self) -> usize {
        self.waiting.iter().map(|pooled| pooled.bytes).sum()
    }

    fn weight(&self) -> u64 {
        self.waiting.iter().map(|pooled| pooled.weight).sum()
    }

    fn operators(&self) -> BTreeSet<OperatorId> {
        self.waiting.iter().map(|pooled| pooled.operator).collect()
    }

    /// What waits of an operator's customers, best bid first.
    fn queue(&self, operator: OperatorId) -> Vec<&Pooled> {
        let mut queue: Vec<&Pooled> =
            self.waiting.iter().filter(|pooled| pooled.operator == operator).collect();
        // Stable: equal bids stay in the order of their arrival.
        queue.sort_by_key(|pooled| Reverse(bid(pooled)));
        queue
    }

    fn insert(&mut self, new: Pooled) -> Result<Vec<TransactionId>, PoolRefusal> {
        let leaves = self.leaves(&new)?;
        self.waiting.retain(|pooled| !leaves.contains(&pooled.id));
        self.waiting.push(new);
        Ok(leaves)
    }

    /// The bounds on places are out of reach here.
    fn leaves(&self, new: &Pooled) -> Result<Vec<TransactionId>, PoolRefusal> {
        let place = |pooled: &Pooled| {
            let content = &pooled.transaction.content;
            (content.wallet, content.nonce)
        };
        if self.waiting.iter().chain(&self.taken).any(|pooled| pooled.id == new.id) {
            return Err(PoolRefusal::Known);
        }
        if let Some(holder) = self.taken.iter().find(|pooled| place(pooled) == place(new)) {
            return Err(PoolRefusal::NonceTaken { holder: holder.id });
        }
        if let Some(holder) = self.waiting.iter().find(|pooled| place(pooled) == place(new)) {
            let amounts = |pooled: &Pooled| {
                let fee = &pooled.transaction.content.fee;
                [fee.fee_max.fen(), fee.tip.fen()]
            };
            let pairs = amounts(new).into_iter().zip(amounts(holder));
            let is_lower = pairs.clone().any(|(new, old)| new < old);
            let is_raised = pairs.into_iter().any(|(new, old)| new > old && 10 * new >= 11 * old);
            return match self.bytes() - holder.bytes + new.bytes <= POOL_BYTES_MAX {
                _ if is_lower || !is_raised => Err(PoolRefusal::NonceTaken { holder: holder.id }),
                true => Ok(vec![holder.id]),
                false => Err(PoolRefusal::Full),
            };
        }
        let mut bytes = self.bytes() + new.bytes;
        let weight =
            |operator: &OperatorId| -> u64 { self.queue(*operator).iter().map(|pooled| pooled.weight).sum() };
        let heaviest =
            self.operators().into_iter().max_by_key(|operator| (weight(operator), Reverse(*operator)));
        let mut leaves = Vec::new();
        for lowest in heaviest.map(|operator| self.queue(operator)).unwrap_or_default().into_iter().rev() {
            let is_too_high = heaviest == Some(new.operator) && bid(lowest) >= bid(new);
            if bytes <= POOL_BYTES_MAX || is_too_high {
                break;
            }
            leaves.push(lowest.id);
            bytes -= lowest.bytes;
        }
        if bytes <= POOL_BYTES_MAX { Ok(leaves) } else { Err(PoolRefusal::Full) }
    }

    /// Takes what the pool has taken, where that is what it may: within the limits, the best of each operator, and no less than there
    /// is room for.
    fn take(&mut self, limits: TakeLimits, taken: &[Pooled]) -> Result<(), TestCaseError> {
        let bytes: usize = taken.iter().map(|pooled| pooled.bytes).sum();
        let weight: u64 = taken.iter().map(|pooled| pooled.weight).sum();
        prop_assert!(taken.len() <= limits.count_max);
        prop_assert!(bytes <= limits.bytes_max && weight <= limits.weight_max);
        let mut left = Vec::new();
        for operator in self.operators() {
            let queue = self.queue(operator).into_iter().filter(|pooled| can_pay(pooled, limits.base_fee));
            let best: Vec<&Pooled> = queue.collect();
            let took: Vec<&Pooled> = taken.iter().filter(|pooled| pooled.operator == operator).collect();
            prop_assert!(best.starts_with(&took), "{operator:?}: {took:?} of {best:?}");
            left.extend(best.get(took.len()).copied());
        }
        let fits = |next: &&Pooled| {
            taken.len() < limits.count_max
                && bytes + next.bytes <= limits.bytes_max
                && weight + next.weight <= limits.weight_max
        };
        prop_assert!(left.is_empty() || !left.iter().all(fits), "{left:?} could have been taken");
        for pooled in taken {
            self.waiting.retain(|waits| waits.id != pooled.id);
            self.taken.push(pooled.clone());
        }
        Ok(())
    }

    fn settle(&mut self, id: &TransactionId) {
        self.taken.retain(|pooled| pooled.id != *id);
        self.waiting.retain(|pooled| pooled.id != *id);
    }

    fn give_back(&mut self, id: &TransactionId) -> Option<Result<Vec<TransactionId>, PoolRefusal>> {
        let place = self.taken.iter().position(|pooled| pooled.id == *id)?;
        let back = self.taken.remove(place);
        Some(self.insert(back))
    }

    fn expire(&mut self, now: TimestampMs) -> BTreeSet<TransactionId> {
        let is_expired = |pooled: &&Pooled| pooled.transaction.content.valid_until < now;
        let expired: BTreeSet<TransactionId> =
            self.waiting.iter().filter(is_expired).map(|pooled| pooled.id).collect();
        self.waiting.retain(|pooled| !expired.contains(&pooled.id));
        expired
    }
}

#[derive(Debug, Clone)]
enum Step {
    Insert(Made),
    Again(prop::sample::Index),
    Take(TakeLimits),
    Settle(prop::sample::Index),
    GiveBack(prop::sample::Index),
    Remove(prop::sample::Index),
    Expire(u64),
}

fn made() -> impl Strategy<Value = Made> {
    let weight = prop_oneof![Just(1_000_u64), Just(1_500), Just(7_000)];
    // A dozen of the largest fill the pool.
    let bytes = prop_oneof![Just(200), Just(MEBIBYTE), Just(5 * MEBIBYTE)];
    let bids = (0_u64..40, 0_u64..4, prop::bool::weighted(0.1));
    (0_u16..4, 0_u16..3, 1_u64..6, bids, weight, bytes).prop_map(
        |(operator, wallet, sequence, (fee_max, tip, is_exempt), weight, bytes)| {
            let tip = tip.min(fee_max);
            Made { operator, wallet, sequence, fee_max, tip, weight, bytes, is_exempt }
        },
    )
}

fn limits() -> impl Strategy<Value = TakeLimits> {
    let base_fee = prop_oneof![Just(0_u64), Just(1_000), 0_u64..30_000];
    (0_usize..6, 1_usize..16, 1_000_u64..30_000, base_fee).prop_map(
        |(count_max, mebibytes, weight_max, base_fee)| TakeLimits {
            count_max,
            bytes_max: mebibytes * MEBIBYTE,
            weight_max,
            base_fee: FeeRate::from_micro_fen(base_fee),
            valid_after: TimestampMs(0),
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let which = any::<prop::sample::Index>;
    prop_oneof![
        12 => made().prop_map(Step::Insert),
        1 => which().prop_map(Step::Again),
        3 => limits().prop_map(Step::Take),
        2 => which().prop_map(Step::Settle),
        2 => which().prop_map(Step::GiveBack),
        1 => which().prop_map(Step::Remove),
        1 => (10_u64..18).prop_map(Step::Expire),
    ]
}

/// One of those that wait or were taken.
fn one_of(pooled: &[Pooled], which: prop::sample::Index) -> Option<Pooled> {
    if pooled.is_empty() { None } else { Some(which.get(pooled).clone()) }
}

/// A transaction of a flood: however high it bids, what waits of others is delayed by turns only.
fn of_flood(number: usize, operator: u16, weight: u64) -> Pooled {
    let (wallet, sequence) = ((number % 250) as u16, number as u64 + 1);
    let (fee_max, tip) = (9_000, 5_000);
    Made { operator, wallet, sequence, fee_max, tip, weight, bytes: 200, is_exempt: false }.pooled()
}

/// Room for any transaction of a flood.
fn room(weight_max: u64) -> TakeLimits {
    let (count_max, bytes_max, base_fee) = (usize::MAX, usize::MAX, FeeRate::ZERO);
    TakeLimits { count_max, bytes_max, weight_max, base_fee, valid_after: TimestampMs(0) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever is done, the pool answers what the small one answers, and holds what it holds.
    #[test]
    fn does_as_the_small_one(steps in prop::collection::vec(step(), 0..120)) {
        let (mut pool, mut model) = (Pool::default(), Model::default());
        for step in steps {
            match step {
                Step::Insert(made) => {
                    prop_assert_eq!(pool.insert(made.pooled()), model.insert(made.pooled()));
                }
                Step::Again(which) => {
                    let all = [model.waiting.as_slice(), model.taken.as_slice()].concat();
                    if let Some(again) = one_of(&all, which) {
                        prop_assert_eq!(pool.insert(again), Err(PoolRefusal::Known));
                    }
                }
                Step::Take(limits) => {
                    let taken = pool.take(limits);
                    model.take(limits, &taken)?;
                }
                Step::Settle(which) => {
                    let all = [model.waiting.as_slice(), model.taken.as_slice()].concat();
                    if let Some(settled) = one_of(&all, which) {
                        pool.settle(&settled.id, Height(1));
                        model.settle(&settled.id);
                    }
                }
                Step::GiveBack(which) => {
                    if let Some(back) = one_of(&model.taken, which) {
                        let answer = pool.give_back(back.id, back.transaction);
                        prop_assert_eq!(answer, model.give_back(&back.id));
                    }
                }
                Step::Remove(which) => {
                    if let Some(removed) = one_of(&model.waiting, which) {
                        model.waiting.retain(|pooled| pooled.id != removed.id);
                        prop_assert_eq!(pool.remove(&removed.id), Some(removed));
                    }
                }
                Step::Expire(now) => {
                    let expired = pool.expire(TimestampMs(now));
                    prop_assert_eq!(BTreeSet::from_iter(expired), model.expire(TimestampMs(now)));
                }
            }
            prop_assert_eq!(pool.len(), model.waiting.len());
            prop_assert_eq!((pool.bytes(), pool.weight()), (model.bytes(), model.weight()));
            prop_assert!(model.waiting.iter().all(|pooled| pool.contains(&pooled.id)));
            prop_assert!(pool.bytes() <= POOL_BYTES_MAX);
            let backlog: u64 = pool.backlog().waiting.iter().map(|bucket| bucket.weight).sum();
            prop_assert_eq!(backlog, pool.weight());
        }
    }

    /// Wherever the turns stand, and whatever comes after it: at most a turn and one transaction of each other operator come before a
    /// transaction that is the best of its operator's.
    #[test]
    fn a_flood_delays_another_operator_by_a_turn(
        flood in prop::collection::vec((1_u16..6, 500..=HEAVIEST), 300..500),
        earlier in prop::collection::vec((HEAVIEST..=400_000, any::<bool>()), 0..8),
        weight in 500..=QUANTUM_WEIGHT,
        (operator, others) in (0_u16..8, 0_usize..5),
        later in QUANTUM_WEIGHT..=400_000,
    ) {
        let mut pool = Pool::default();
        for (number, (of, weight)) in flood.iter().enumerate().filter(|(_, (of, _))| *of != operator) {
            pool.insert(of_flood(number, *of, *weight)).unwrap();
        }
        let quiet = Made {
            operator, wallet: 0, sequence: 1, fee_max: 1, tip: 1, weight, bytes: 200, is_exempt: false,
        };
        for sequence in 0..others as u64 {
            let other = Made { sequence: sequence + 2, fee_max: 0, tip: 0, weight: 30_000, ..quiet };
            pool.insert(other.pooled()).unwrap();
        }
        // Whoever could not pay for a while has saved no turns up.
        for (weight_max, is_dear) in earlier {
            let base_fee = if is_dear { DEAR } else { FeeRate::ZERO };
            pool.take(TakeLimits { base_fee, ..room(weight_max) });
        }
        let waits = quiet.pooled();
        pool.insert(waits.clone()).unwrap();
        let mut before = BTreeMap::<OperatorId, u64>::new();
        let mut number = flood.len();
        'takes: loop {
            for pooled in pool.take(room(later)) {
                if pooled.id == waits.id {
                    break 'takes;
                }
                *before.entry(pooled.operator).or_default() += pooled.weight;
            }
            // The flood goes on.
            for of in (1..6).filter(|of| *of != operator) {
                pool.insert(of_flood(number, of, HEAVIEST)).unwrap();
                number += 1;
            }
        }
        prop_assert!(!before.contains_key(&OperatorId(operator)));
        prop_assert!(before.values().all(|weight| *weight <= QUANTUM_WEIGHT + HEAVIEST), "{before:?}");
    }

    /// As long as all have something waiting, none is ahead of another by more than a turn and two transactions.
    #[test]
    fn shares_stay_even(
        flood in prop::collection::vec((1_u16..4, 500..=HEAVIEST), 200..600),
        takes in prop::collection::vec(HEAVIEST..=400_000, 1..30),
    ) {
        let (mut pool, mut left) = (Pool::default(), BTreeMap::<OperatorId, usize>::new());
        for (number, (operator, weight)) in flood.iter().enumerate() {
            pool.insert(of_flood(number, *operator, *weight)).unwrap();
            *left.entry(OperatorId(*operator)).or_default() += 1;
        }
        let mut had: BTreeMap<OperatorId, u64> = left.keys().map(|operator| (*operator, 0)).collect();
        'takes: for weight_max in takes {
            for pooled in pool.take(room(weight_max)) {
                let left = left.get_mut(&pooled.operator).unwrap();
                *left -= 1;
                if *left == 0 {
                    break 'takes;
                }
                *had.get_mut(&pooled.operator).unwrap() += pooled.weight;
                let (most, least) = (had.values().max().unwrap(), had.values().min().unwrap());
                prop_assert!(most - least <= QUANTUM_WEIGHT + 2 * HEAVIEST, "{had:?}");
            }
        }
    }
}
