//! Random bids against a small independent model: no fen is made or lost, nobody pays more than was bid.

use std::collections::BTreeMap;

use ledger::records::FeeBid;
use ledger::rules::transaction_weight;
use ledger::values::{Canonical as _, FeeRate, OperatorId};
use proptest::prelude::*;

use crate::fee_market::{EXEMPT, PURSES, fen, signed, sponsor_of, town};
use crate::network::{Became, Network, became, pay};

/// A random transaction: who pays whom how much, and what is bid for it.
#[derive(Debug, Clone)]
struct Step {
    from: u64,
    to: u64,
    paid: u64,
    fee_max: u64,
    tip_permille: u64,
    operator: u16,
    sponsor: Option<u64>,
}

fn steps() -> impl Strategy<Value = Step> {
    let bids = prop_oneof![1 => Just(0_u64), 4 => 0_u64..3_000, 1 => 0_u64..120_000];
    // Customer 6 does not exist.
    let who = (0_u64..6, 0_u64..6, prop_oneof![0_u64..400, 0_u64..90_000], prop::option::of(0_u64..7));
    (who, bids, 0_u64..=1_000, 0_u16..7).prop_map(
        |((from, to, paid, sponsor), fee_max, tip_permille, operator)| Step {
            from,
            to,
            paid,
            fee_max,
            tip_permille,
            operator,
            sponsor: sponsor.filter(|one| *one != from),
        },
    )
}

/// What the model knows.
struct Model {
    customers: BTreeMap<u64, u64>,
    operators: [u64; 5],
    pool: u64,
    sequences: BTreeMap<u64, u64>,
}

impl Model {
    /// The code and the fee of a step.
    fn judge(&mut self, step: &Step, tip: u64, due: u64) -> (u16, u64) {
        let base = if step.from == EXEMPT { 0 } else { due };
        if base > step.fee_max {
            return (13, 0);
        }
        if step.sponsor == Some(6) {
            return (14, 0);
        }
        *self.sequences.entry(step.from).or_default() += 1;
        let tip = tip.min(step.fee_max - base);
        let payer = self.customers.get_mut(&step.sponsor.unwrap_or(step.from)).unwrap();
        let Some(after) = payer.checked_sub(base + tip) else { return (102, 0) };
        *payer = after;
        self.pool += base;
        match self.operators.get_mut(usize::from(step.operator)) {
            Some(operator) => *operator += tip,
            None => self.pool += tip,
        }
        let code = match () {
            () if step.paid == 0 => 201,
            () if step.to == step.from => 202,
            () if step.paid > self.customers[&step.from] => 205,
            () => {
                *self.customers.get_mut(&step.from).unwrap() -= step.paid;
                *self.customers.get_mut(&step.to).unwrap() += step.paid;
                0
            }
        };
        (code, base + tip)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::network::schedules(100)))]

    #[test]
    fn random_bids_lose_no_fen(blocks in prop::collection::vec((0_u64..2_000_000, prop::collection::vec(steps(), 1..12)), 1..6)) {
        let mut network = town();
        let customers: BTreeMap<u64, u64> = (0..).zip(PURSES).collect();
        let mut model = Model { customers, operators: [0; 5], pool: 0, sequences: BTreeMap::new() };
        for (rate, steps) in blocks {
            let rate = FeeRate::from_micro_fen(rate);
            network.base_fee = Some(rate);
            let (mut transactions, mut expected) = (Vec::new(), Vec::new());
            for step in &steps {
                let signer = network.customer(step.from);
                let sequence = model.sequences.get(&step.from).copied().unwrap_or(0) + 1;
                let mut content = network.content(&signer, sequence, pay(&[(network.customer(step.to).wallet, step.paid)]));
                let tip = step.fee_max * step.tip_permille / 1_000;
                let sponsor = step.sponsor.map(|number| sponsor_of(&network, number));
                content.fee = FeeBid { fee_max: fen(step.fee_max), tip: fen(tip), operator: OperatorId(step.operator), sponsor };
                let transaction = signed(&network, content, &signer, &network.customer(step.sponsor.unwrap_or(0)));
                prop_assert!(transaction.check().is_ok());
                expected.push(model.judge(step, tip, rate.due(transaction_weight(&transaction)).fen()));
                transactions.push(transaction);
            }
            let before = (network.state.parts(), network.state.head().clone(), network.records.clone());
            let held = |network: &Network| network.state.head().supply.holdings;
            let holdings = held(&network);
            let execution = network.run(transactions);
            prop_assert_eq!(held(&network), holdings, "fees move money, and make none");
            for ((index, (code, fee)), step) in (0..).zip(&expected).zip(&steps) {
                let found = match became(&execution, index) {
                    Became::Applied => 0,
                    Became::Rejected(rejection) => rejection.code(),
                    Became::Skipped(reason) => reason.code(),
                };
                let outcome = execution.outcomes.iter().find(|outcome| outcome.index == index);
                let charged = outcome.map_or(0, |outcome| outcome.fee.fen());
                prop_assert_eq!((found, charged), (*code, *fee), "{:?}", step);
                prop_assert!(charged <= step.fee_max, "never above the bid");
            }
            for (number, balance) in &model.customers {
                prop_assert_eq!(network.balance(&network.customer(*number).wallet), *balance);
            }
            // Bank 1 has paid on all that it was issued.
            for (number, balance) in (0..).zip(model.operators) {
                prop_assert_eq!(network.balance(&network.operator(number).wallet), balance);
            }
            prop_assert_eq!(network.fee_pool(), model.pool);
            crate::model::undo_and_redo(&mut network, before);
        }
    }
}
