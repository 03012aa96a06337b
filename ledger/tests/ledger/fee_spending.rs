//! How operators spend what fees have brought.

use ledger::records::{Change, MovementKind, Proposal, Rejection, Transaction};
use ledger::values::{Canonical as _, ChainId, CodecError, FeeRate, OperatorId};

use crate::chains::World;
use crate::fee_market::{ONE_FEN, QUORUM, charge, fen, town};
use crate::governance::{approved, fifth_bank, proposal};
use crate::network::{Became, CHAIN, Network, pay};

/// Fills the pool by payments that cost so much in all.
fn fill(network: &mut Network) -> u64 {
    network.base_fee = Some(ONE_FEN);
    charge(network, 0, |_, c, due| c.fee.fee_max = fen(due));
    network.base_fee = Some(FeeRate::ZERO);
    network.fee_pool()
}

#[test]
fn operators_spend_the_fee_pool() {
    let mut network = town();
    let pool = fill(&mut network);
    let (genesis, bank, own) = (network.genesis, network.operator(1), network.operator(2).wallet);
    let spend = |chain, operator, amount| Change::SpendFees { chain, operator, amount };
    let mut decide = |changes: Vec<Change>| {
        let operation = approved(genesis, proposal(&network, changes), &QUORUM);
        let became = network.act(&bank, operation);
        let execution = network.heights.last().unwrap().2.clone();
        let spent: Vec<_> =
            execution.history.iter().filter(|e| e.movement.kind == MovementKind::FeesSpent).collect();
        let spent: Vec<_> = spent.iter().map(|e| (e.part, e.movement.amount.fen())).collect();
        (became, spent, network.balance(&own), network.fee_pool())
    };
    let two = OperatorId(2);
    let unknown = |rejection| (Became::Rejected(rejection), Vec::new(), 0, pool);
    assert_eq!(decide(vec![spend(CHAIN, OperatorId(9), fen(1))]), unknown(Rejection::ChangeOperatorUnknown));
    assert_eq!(decide(vec![spend(ChainId(1), two, fen(1))]), unknown(Rejection::ChangeChainUnknown));
    let part = decide(vec![spend(CHAIN, two, fen(100)), spend(CHAIN, two, fen(23))]);
    assert_eq!(part, (Became::Applied, vec![(0, 100), (1, 23)], 123, pool - 123));
    let rest = decide(vec![spend(CHAIN, two, fen(u64::MAX))]);
    assert_eq!(rest, (Became::Applied, vec![(0, pool - 123)], pool, 0));
    assert_eq!(decide(vec![spend(CHAIN, two, fen(1))]), (Became::Applied, Vec::new(), pool, 0));
}

#[test]
fn an_amount_of_nothing_is_not_spent() {
    let network = town();
    let (chain, operator) = (CHAIN, OperatorId(2));
    let nothing = proposal(&network, vec![Change::SpendFees { chain, operator, amount: fen(0) }]);
    let refused = CodecError::Range { field: "change.amount", value: 0, min: 1, max: u64::MAX };
    assert_eq!(Proposal::decode(&nothing.encode()), Err(refused));
}

/// The proposal that admits an operator may pay it: its wallet is there from then on.
#[test]
fn a_new_operator_is_paid_at_once() {
    let mut network = town();
    let pool = fill(&mut network);
    let (chain, operator) = (CHAIN, OperatorId(5));
    let changes =
        vec![Change::AddOperator(fifth_bank()), Change::SpendFees { chain, operator, amount: fen(60) }];
    let operation = approved(network.genesis, proposal(&network, changes), &QUORUM);
    assert_eq!(network.act(&network.operator(1), operation), Became::Applied);
    assert_eq!((network.balance(&network.operator(5).wallet), network.fee_pool()), (60, pool - 60));
}

/// The root chain decides, the named chain moves the money, all others do nothing.
#[test]
fn fees_of_another_chain_are_spent_there() {
    let mut world = World::town();
    let payer = (0..).map(|number| world.customer(number)).find(|(home, _)| *home == 1).unwrap().1;
    world.chains[1].base_fee = Some(ONE_FEN);
    let network = &world.chains[1];
    let mut content = network.content(&payer, 1, pay(&[(network.operator(1).wallet, 1)]));
    content.fee.fee_max = fen(5_000);
    let transaction = content.signed_by(network.genesis, &payer.key);
    // The header's base fee is the test's, so the block is not checked against its parent.
    network_run(&mut world, 1, transaction);
    let pool = world.chains[1].fee_pool();
    assert!(pool > 60);
    let spend = |operator, amount| Change::SpendFees {
        chain: ChainId(1),
        operator: OperatorId(operator),
        amount: fen(amount),
    };
    let changes = vec![spend(2, 60), Change::AddOperator(fifth_bank()), spend(5, 7)];
    let root = &world.chains[0];
    let (bank, operation) = (root.operator(1), approved(root.genesis, proposal(root, changes), &QUORUM));
    assert_eq!(world.act(0, &bank, operation), Became::Applied);
    world.settle();
    let of = |chain: usize| {
        let network = &world.chains[chain];
        let own = |operator| network.balance(&network.operator(operator).wallet);
        (own(2), own(5), network.fee_pool())
    };
    assert_eq!(of(0), (0, 0, 0));
    assert_eq!(of(1), (60, 7, pool - 67));
    assert_eq!(of(2), (0, 0, 0));
    assert!(world.chains.iter().all(|network| network.state.rules().registry.version == 1));
}

/// Executes one transaction of a chain of the world at the base fee that is set, and lets the base fee go again.
fn network_run(world: &mut World, chain: usize, transaction: Transaction) {
    let network = &mut world.chains[chain];
    assert_eq!(network.run_one(transaction), Became::Applied);
    network.base_fee = None;
    network.parent.base_fee = FeeRate::ZERO;
    world.skip(chain);
}
