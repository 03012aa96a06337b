//! Governance, one row per guard and per change: who signs, what is proposed, what it becomes; and a proposal that is not applied
//! changes no byte of the registry.

use std::sync::Arc;

use ledger::records::change::{CHANGES_MAX, GOVERN_BYTES_MAX};
use ledger::records::genesis::NODES_ACTIVE_MAX;
use ledger::records::registry::operator_salt;
use ledger::records::{
    Approval, ChainParams, ChainSpec, Change, NodeRecord, Operation, OperatorRecord, OperatorRole, Policy,
    Proposal, Registry, Rejection, Tier, Transaction, ValidatorRecord, WalletOpening,
};
use ledger::rules::govern::BLOCK_APPROVALS_MAX;
use ledger::rules::{ChangeFault, apply_change};
use ledger::state::{ChainState, Undo};
use ledger::values::{
    Amount, Canonical as _, ChainId, GenesisHash, NodeIndex, OperatorId, PublicKey, Sequential, TimestampMs,
    WalletId,
};

use crate::network::{
    Became, CHAIN, Network, Signer, cold_key, consensus_keys, later_key, network_key, operator_key,
    pay, spec,
};

/// The council of the tests: banks 1 to 4, of which three decide.
const QUORUM: [u16; 3] = [1, 2, 4];

/// A proposal to the network's current registry, valid for a minute.
pub(crate) fn proposal(network: &Network, changes: Vec<Change>) -> Proposal {
    Proposal {
        version: network.state.rules().registry.version,
        valid_until: TimestampMs(network.next_timestamp().0 + 60_000),
        is_urgent: true,
        reason: "a test".into(),
        changes,
    }
}

/// With the approvals of these operators.
pub(crate) fn approved(genesis: GenesisHash, proposal: Proposal, operators: &[u16]) -> Operation {
    let approve = |id: &u16| proposal.approve(genesis, OperatorId(*id), &cold_key(*id));
    Operation::Govern { approvals: operators.iter().map(approve).collect(), proposal }
}

/// A fifth bank.
pub(crate) fn fifth_bank() -> OperatorRecord {
    OperatorRecord {
        name: "Bank 5".into(),
        role: OperatorRole::Bank,
        key: cold_key(5).public_key(),
        wallet_policy: Policy::single(operator_key(5).public_key()),
    }
}

/// Its node.
pub(crate) fn fifth_node() -> NodeRecord {
    NodeRecord {
        operator: OperatorId(5),
        network_key: network_key(5).public_key(),
        address: "127.0.0.1:9005".into(),
    }
}

/// A validator of bank and node 5 on a chain.
pub(crate) fn fifth_validator(chain: ChainId) -> Change {
    let (operator, node) = (OperatorId(5), NodeIndex(4));
    let consensus_key = later_key(5).public_key();
    Change::AddValidator { chain, validator: ValidatorRecord { operator, node, consensus_key } }
}

fn move_node() -> Change {
    Change::MoveNode { node: NodeIndex(0), address: "127.0.0.1:1".into() }
}

fn first_key() -> PublicKey {
    consensus_keys()[0].public_key()
}

/// Bytes that are no key: y = 2 is not on the curve.
pub(crate) fn no_point() -> PublicKey {
    let mut key = [0; 32];
    key[0] = 2;
    PublicKey(key)
}

fn registry(network: &Network) -> Arc<Registry> {
    network.state.rules().registry.clone()
}

/// One row; what is not applied leaves the registry and the records alone.
fn row(network: &mut Network, name: &str, signer: &Signer, operation: Operation, expected: Became) {
    let (before, records) = (registry(network), network.state.head().records);
    assert_eq!(network.act(signer, operation), expected, "{name}");
    let execution = &network.heights.last().unwrap().2;
    let is_applied = expected == Became::Applied;
    assert_eq!(execution.registry.is_some(), is_applied, "{name}");
    if !is_applied {
        assert_eq!(registry(network), before, "{name}");
        assert_eq!(network.state.head().records, records, "{name}");
        assert!(execution.sent.is_empty(), "{name}");
    }
}

#[test]
fn guards_row_by_row() {
    let mut network = Network::new();
    network.open(0..1, Tier::One);
    let (genesis, bank, customer) = (network.genesis, network.operator(2), network.customer(0));
    let rejected = Became::Rejected;
    let good = |network: &Network| proposal(network, vec![move_node()]);
    let op = approved(genesis, good(&network), &QUORUM);
    row(&mut network, "a customer", &customer, op, rejected(Rejection::SignerNotOperator));
    let late = Proposal { valid_until: network.parent.timestamp, ..good(&network) };
    let op = approved(genesis, late, &QUORUM);
    row(&mut network, "late", &bank, op, rejected(Rejection::ProposalExpired));
    let last = Proposal { valid_until: network.next_timestamp(), ..good(&network) };
    row(&mut network, "in time", &bank, approved(genesis, last, &QUORUM), Became::Applied);
    let ahead = Proposal { version: 2, ..good(&network) };
    let op = approved(genesis, ahead, &QUORUM);
    row(&mut network, "ahead", &bank, op, rejected(Rejection::ProposalVersionUnknown));
    let stale = Proposal { version: 0, ..good(&network) };
    row(&mut network, "stale", &bank, approved(genesis, stale, &QUORUM), rejected(Rejection::ProposalStale));
    let op = approved(genesis, good(&network), &[0, 1, 2, 4]);
    row(&mut network, "the central bank", &bank, op, rejected(Rejection::ApproverNotInCouncil));
    let op = approved(genesis, good(&network), &[1, 2]);
    row(&mut network, "two of four", &bank, op, rejected(Rejection::ApprovalsBelowQuorum));
    let wrong = |change: fn(&mut Vec<Approval>)| {
        let Operation::Govern { proposal, mut approvals } = approved(genesis, good(&network), &QUORUM) else {
            panic!()
        };
        change(&mut approvals);
        Operation::Govern { proposal, approvals }
    };
    let swapped = wrong(|approvals| approvals[1].signature = approvals[0].signature);
    let forged = wrong(|approvals| approvals[2].signature.0[0] ^= 1);
    let other_network = approved(GenesisHash([9; 32]), good(&network), &QUORUM);
    for operation in [swapped, forged, other_network] {
        row(&mut network, "approval", &bank, operation, rejected(Rejection::ApprovalInvalid));
    }
    let Operation::Govern { approvals, .. } = approved(genesis, good(&network), &QUORUM) else { panic!() };
    let other = Proposal { reason: "another".into(), ..good(&network) };
    let op = Operation::Govern { proposal: other, approvals };
    row(&mut network, "approvals of another proposal", &bank, op, rejected(Rejection::ApprovalInvalid));
    let op = approved(genesis, good(&network), &[1, 2, 3, 4]);
    row(&mut network, "all four", &bank, op, Became::Applied);
    assert_eq!(registry(&network).version, 2);
}

/// A row of the table of changes: what is proposed, and why it is refused.
type Row = (&'static str, Vec<Change>, Option<(Rejection, &'static str)>);

fn rows() -> Vec<Row> {
    let (bank, nobody) = (OperatorId(1), OperatorId(5));
    let key = cold_key(9).public_key();
    let central = OperatorRecord { role: OperatorRole::CentralBank, ..fifth_bank() };
    let doubled = OperatorRecord { key: cold_key(3).public_key(), ..fifth_bank() };
    let node_of = |operator| NodeRecord { operator, ..fifth_node() };
    let taken = NodeRecord { network_key: network_key(2).public_key(), ..node_of(bank) };
    let validator = |operator: u16, node: u16, key: PublicKey| Change::AddValidator {
        chain: CHAIN,
        validator: ValidatorRecord {
            operator: OperatorId(operator),
            node: NodeIndex(node),
            consensus_key: key,
        },
    };
    let replace = |chain, old, new| Change::ReplaceConsensusKey { chain, old, new };
    let new = later_key(1).public_key();
    let fifth =
        || vec![Change::AddOperator(fifth_bank()), Change::AddNode(fifth_node()), fifth_validator(CHAIN)];
    let then = |change| fifth().into_iter().chain([change]).collect::<Vec<_>>();
    let no_chain = ChainId(7);
    let params = ChainParams::default();
    vec![
        ("a bank, its node and validator", fifth(), None),
        (
            "a second central bank",
            vec![Change::AddOperator(central)],
            Some((Rejection::ChangeCentralBank, "role")),
        ),
        (
            "a key in use",
            vec![Change::AddOperator(doubled)],
            Some((Rejection::ChangeOperatorKeyTaken, "key")),
        ),
        (
            "the same bank twice",
            vec![Change::AddOperator(fifth_bank()), Change::AddOperator(fifth_bank())],
            Some((Rejection::ChangeOperatorKeyTaken, "key")),
        ),
        (
            "nobody leaves",
            vec![Change::RetireOperator { operator: nobody }],
            Some((Rejection::ChangeOperatorUnknown, "operator")),
        ),
        (
            "the central bank leaves",
            vec![Change::RetireOperator { operator: OperatorId(0) }],
            Some((Rejection::ChangeCentralBank, "role")),
        ),
        (
            "one of four leaves",
            vec![Change::RetireOperator { operator: bank }],
            Some((Rejection::ChangeTooFewValidators, "validators")),
        ),
        ("one of five leaves", then(Change::RetireOperator { operator: bank }), None),
        ("a cold key", vec![Change::ReplaceOperatorKey { operator: bank, key }], None),
        (
            "a cold key of nobody",
            vec![Change::ReplaceOperatorKey { operator: nobody, key }],
            Some((Rejection::ChangeOperatorUnknown, "operator")),
        ),
        (
            "the same cold key",
            vec![Change::ReplaceOperatorKey { operator: bank, key: cold_key(1).public_key() }],
            Some((Rejection::ChangeOperatorKeyTaken, "key")),
        ),
        ("a second node", vec![Change::AddNode(node_of(bank))], None),
        (
            "a node of nobody",
            vec![Change::AddNode(node_of(nobody))],
            Some((Rejection::ChangeOperatorUnknown, "operator")),
        ),
        (
            "a network key in use",
            vec![Change::AddNode(taken)],
            Some((Rejection::ChangeNetworkKeyTaken, "key")),
        ),
        ("a node moves", vec![move_node()], None),
        (
            "no node moves",
            vec![Change::MoveNode { node: NodeIndex(4), address: "a:1".into() }],
            Some((Rejection::ChangeNodeUnknown, "node")),
        ),
        ("a network key", vec![Change::ReplaceNetworkKey { node: NodeIndex(1), key }], None),
        (
            "a network key of no node",
            vec![Change::ReplaceNetworkKey { node: NodeIndex(4), key }],
            Some((Rejection::ChangeNodeUnknown, "node")),
        ),
        (
            "another's network key",
            vec![Change::ReplaceNetworkKey { node: NodeIndex(1), key: network_key(1).public_key() }],
            Some((Rejection::ChangeNetworkKeyTaken, "key")),
        ),
        (
            "a node in use goes",
            vec![Change::RetireNode { node: NodeIndex(1) }],
            Some((Rejection::ChangeNodeInUse, "node")),
        ),
        (
            "an idle node goes",
            vec![Change::AddNode(node_of(bank)), Change::RetireNode { node: NodeIndex(4) }],
            None,
        ),
        (
            "a node goes twice",
            vec![
                Change::AddNode(node_of(bank)),
                Change::RetireNode { node: NodeIndex(4) },
                Change::RetireNode { node: NodeIndex(4) },
            ],
            Some((Rejection::ChangeNodeUnknown, "node")),
        ),
        ("a second validator of a bank", vec![Change::AddNode(node_of(bank)), validator(1, 4, new)], None),
        (
            "a second validator of a node",
            vec![validator(1, 0, new)],
            Some((Rejection::ChangeNodeSeated, "validator.node")),
        ),
        (
            "a validator of nobody",
            vec![validator(5, 0, new)],
            Some((Rejection::ChangeOperatorUnknown, "operator")),
        ),
        ("on no node", vec![validator(1, 4, new)], Some((Rejection::ChangeNodeUnknown, "node"))),
        (
            "on another's node",
            vec![validator(1, 1, new)],
            Some((Rejection::ChangeNotItsNode, "validator.node")),
        ),
        (
            "with a key in use",
            vec![validator(1, 0, first_key())],
            Some((Rejection::ChangeConsensusKeyTaken, "consensus_key")),
        ),
        (
            "on no chain",
            vec![Change::RemoveValidator { chain: no_chain, consensus_key: first_key() }],
            Some((Rejection::ChangeChainUnknown, "chain")),
        ),
        (
            "one of four is removed",
            vec![Change::RemoveValidator { chain: CHAIN, consensus_key: first_key() }],
            Some((Rejection::ChangeTooFewValidators, "validators")),
        ),
        (
            "one of five is removed",
            then(Change::RemoveValidator { chain: CHAIN, consensus_key: first_key() }),
            None,
        ),
        (
            "an unknown one is removed",
            then(Change::RemoveValidator { chain: CHAIN, consensus_key: new }),
            Some((Rejection::ChangeValidatorUnknown, "consensus_key")),
        ),
        ("a consensus key", vec![replace(CHAIN, first_key(), new)], None),
        (
            "an unknown consensus key",
            vec![replace(CHAIN, new, first_key())],
            Some((Rejection::ChangeValidatorUnknown, "consensus_key")),
        ),
        (
            "the same consensus key",
            vec![replace(CHAIN, first_key(), first_key())],
            Some((Rejection::ChangeConsensusKeyTaken, "consensus_key")),
        ),
        (
            "another's consensus key",
            vec![replace(CHAIN, first_key(), consensus_keys()[1].public_key())],
            Some((Rejection::ChangeConsensusKeyTaken, "consensus_key")),
        ),
        (
            "a consensus key that is no point",
            vec![replace(CHAIN, first_key(), no_point())],
            Some((Rejection::ChangeKeyInvalid, "key")),
        ),
        (
            "a validator without a point",
            then(validator(1, 0, no_point())),
            Some((Rejection::ChangeKeyInvalid, "key")),
        ),
        (
            "a cold key that is no point",
            vec![Change::ReplaceOperatorKey { operator: bank, key: no_point() }],
            Some((Rejection::ChangeKeyInvalid, "key")),
        ),
        (
            "a bank without a point",
            vec![Change::AddOperator(OperatorRecord { key: no_point(), ..fifth_bank() })],
            Some((Rejection::ChangeKeyInvalid, "key")),
        ),
        (
            "a wallet without a point",
            vec![Change::AddOperator(OperatorRecord {
                wallet_policy: Policy::single(no_point()),
                ..fifth_bank()
            })],
            Some((Rejection::ChangeKeyInvalid, "key")),
        ),
        (
            "a network key that is no point",
            vec![Change::ReplaceNetworkKey { node: NodeIndex(1), key: no_point() }],
            Some((Rejection::ChangeKeyInvalid, "key")),
        ),
        (
            "a node without a point",
            vec![Change::AddNode(NodeRecord { network_key: no_point(), ..node_of(bank) })],
            Some((Rejection::ChangeKeyInvalid, "key")),
        ),
        (
            "of no chain",
            vec![replace(no_chain, first_key(), new)],
            Some((Rejection::ChangeChainUnknown, "chain")),
        ),
        ("parameters", vec![Change::SetParams { chain: CHAIN, params: params.clone() }], None),
        (
            "parameters of no chain",
            vec![Change::SetParams { chain: no_chain, params }],
            Some((Rejection::ChangeChainUnknown, "chain")),
        ),
    ]
}

#[test]
fn changes_row_by_row() {
    for (name, changes, expected) in rows() {
        let mut network = Network::new();
        let (genesis, bank) = (network.genesis, network.operator(1));
        let before = registry(&network);
        let pure =
            changes.iter().try_fold(Registry::clone(&before), |now, change| apply_change(&now, change));
        let fault = pure.as_ref().err().map(|fault| (fault.rejection(), fault.field()));
        assert_eq!(fault, expected, "{name}");
        if let Err(fault) = &pure {
            assert_eq!(fault.code(), fault.rejection().code());
            assert!(!fault.mend().is_empty() && !fault.to_string().is_empty());
        }
        let operation = approved(genesis, proposal(&network, changes), &QUORUM);
        let became = expected.map_or(Became::Applied, |(rejection, _)| Became::Rejected(rejection));
        row(&mut network, name, &bank, operation, became);
        let after = registry(&network);
        assert_eq!(Registry::decode(&after.encode()).as_ref(), Ok(&*after), "{name}");
        if let Ok(pure) = pure {
            // Beside what the changes say: the version, and the next epoch, which an urgent change schedules at once.
            assert_eq!(after.version, 1);
            assert_eq!((&after.operators, &after.nodes), (&pure.operators, &pure.nodes), "{name}");
            assert_eq!(after.chains[0].wanted, pure.chains[0].wanted, "{name}");
            let is_scheduled = after.chains[0].wanted != before.chains[0].wanted;
            assert_eq!(after.chains[0].epochs.len(), 1 + usize::from(is_scheduled), "{name}");
        }
    }
}

#[test]
fn a_set_and_a_network_have_bounds() {
    let network = Network::new();
    let mut full = Registry::clone(&registry(&network));
    let template = full.chains[0].wanted[0];
    full.chains[0].wanted =
        (0..100).map(|n| ValidatorRecord { consensus_key: PublicKey([n + 1; 32]), ..template }).collect();
    let validator = ValidatorRecord { consensus_key: PublicKey([0; 32]), ..template };
    let fault = apply_change(&full, &Change::AddValidator { chain: CHAIN, validator });
    assert_eq!(fault, Err(ChangeFault::TooManyValidators { chain: CHAIN }));
    let key = |n: usize| {
        let mut key = [0xEE; 32];
        key[..8].copy_from_slice(&(n as u64).to_le_bytes());
        PublicKey(key)
    };
    full.operators = (0..1_000).map(|n| OperatorRecord { key: key(n), ..fifth_bank() }).collect();
    let nodes =
        |count| (0..count).map(|n| NodeRecord { network_key: key(n), ..fifth_node() }).collect::<Vec<_>>();
    full.nodes = nodes(1_000);
    full.retired_nodes = (0..999).map(NodeIndex).collect();
    assert_eq!(apply_change(&full, &Change::AddOperator(fifth_bank())), Err(ChangeFault::Full));
    assert_eq!(apply_change(&full, &Change::AddNode(fifth_node())), Err(ChangeFault::Full));
    // A network connects to so many nodes at a time; the place of one that was taken away is free.
    full.nodes = nodes(NODES_ACTIVE_MAX);
    full.retired_nodes.clear();
    assert_eq!(apply_change(&full, &Change::AddNode(fifth_node())), Err(ChangeFault::Full));
    full.retired_nodes = vec![NodeIndex(9)];
    assert!(apply_change(&full, &Change::AddNode(fifth_node())).is_ok());
}

#[test]
fn two_proposals_to_one_version_apply_once() {
    let mut network = Network::new();
    let (genesis, bank) = (network.genesis, network.operator(1));
    let to = |address: &str| Change::MoveNode { node: NodeIndex(0), address: address.into() };
    let one = approved(genesis, proposal(&network, vec![to("a:1")]), &QUORUM);
    let other = approved(genesis, proposal(&network, vec![to("b:1")]), &QUORUM);
    let next = Proposal { version: 1, ..proposal(&network, vec![to("c:1")]) };
    let next = approved(genesis, next, &QUORUM);
    let block = [one, other, next].into_iter().zip(1..);
    let block: Vec<Transaction> =
        block.map(|(operation, sequence)| network.transaction(&bank, sequence, operation)).collect();
    let execution = network.run(block);
    let codes: Vec<u16> = execution.outcomes.iter().map(|outcome| outcome.code).collect();
    assert_eq!(codes, [0, Rejection::ProposalStale.code(), 0]);
    assert_eq!((registry(&network).version, registry(&network).nodes[0].address.as_str()), (2, "c:1"));
}

/// A signature is checked for as long as the block's budget lasts, and for an operator until one of its proposals has failed.
#[test]
fn a_block_checks_few_approvals() {
    let mut network = Network::new();
    let (genesis, bank, other) = (network.genesis, network.operator(1), network.operator(2));
    let good = |version| Proposal { version, ..proposal(&network, vec![move_node()]) };
    let forged = approved(GenesisHash([1; 32]), good(0), &QUORUM);
    let vain = vec![Change::RetireNode { node: NodeIndex(0) }];
    let vain = approved(genesis, Proposal { version: 1, ..proposal(&network, vain) }, &QUORUM);
    let block = vec![
        network.transaction(&bank, 1, forged),
        network.transaction(&bank, 2, approved(genesis, good(0), &QUORUM)),
        // Nobody else pays for that.
        network.transaction(&other, 1, approved(genesis, good(0), &QUORUM)),
        network.transaction(&other, 2, vain),
        network.transaction(&other, 3, approved(genesis, good(1), &QUORUM)),
        network.transaction(&network.operator(3), 1, approved(genesis, good(1), &QUORUM)),
    ];
    let execution = network.run(block);
    let codes: Vec<u16> = execution.outcomes.iter().map(|outcome| outcome.code).collect();
    let full = Rejection::ProposalsFull.code();
    let [invalid, in_use] = [Rejection::ApprovalInvalid, Rejection::ChangeNodeInUse].map(Rejection::code);
    assert_eq!(codes, [invalid, full, 0, in_use, full, 0]);
    // The next block starts anew, and checks so many signatures.
    let fits = (BLOCK_APPROVALS_MAX / QUORUM.len()) as u64;
    let many = (0..=fits).map(|place| {
        let operation = Proposal { version: 2 + place, ..proposal(&network, vec![move_node()]) };
        network.transaction(&bank, 3 + place, approved(genesis, operation, &QUORUM))
    });
    let many: Vec<Transaction> = many.collect();
    let execution = network.run(many);
    let (last, before) = execution.outcomes.split_last().unwrap();
    assert!(before.iter().all(|outcome| outcome.is_applied()));
    assert_eq!(last.code, full);
}

/// As many chains as there can be are told of as many changes as fit a block; the next proposal waits.
#[test]
fn what_all_chains_are_told_fits_a_block() {
    let mut many = spec();
    let first = many.chains[0].clone();
    many.chains =
        (0..256).map(|id| ChainSpec { chain: ChainId(id), shard: id as u16, ..first.clone() }).collect();
    let mut network = Network::of(many, CHAIN);
    let (genesis, bank) = (network.genesis, network.operator(1));
    let block: Vec<Transaction> = (0..3)
        .map(|version| {
            let changes = vec![move_node(); CHANGES_MAX];
            let operation = Proposal { version, ..proposal(&network, changes) };
            network.transaction(&bank, version + 1, approved(genesis, operation, &QUORUM))
        })
        .collect();
    let execution = network.run(block);
    let codes: Vec<u16> = execution.outcomes.iter().map(|outcome| outcome.code).collect();
    assert_eq!(codes, [0, 0, Rejection::OutboxFull.code()]);
    assert_eq!(execution.sent.len(), 2 * CHANGES_MAX * 255);
}

#[test]
fn only_the_root_chain_governs() {
    let mut two = spec();
    two.chains.push(ChainSpec { chain: ChainId(1), shard: 1, ..two.chains[0].clone() });
    let mut network = Network::of(two, ChainId(1));
    let (genesis, bank) = (network.genesis, network.operator(1));
    let op = approved(genesis, proposal(&network, vec![move_node()]), &QUORUM);
    row(&mut network, "elsewhere", &bank, op, Became::Rejected(Rejection::GovernElsewhere));
}

#[test]
fn a_bank_joins_with_a_wallet_and_leaves_with_its_rights() {
    let mut network = Network::new();
    let (genesis, bank) = (network.genesis, network.operator(1));
    let join = vec![Change::AddOperator(fifth_bank()), Change::AddNode(fifth_node()), fifth_validator(CHAIN)];
    // Nobody takes the place of the wallet before.
    let policy = Policy::single(operator_key(5).public_key()).hash();
    let opening = WalletOpening { policy, salt: operator_salt(OperatorId(5)), tier: Tier::One };
    let squat = Operation::OpenWallets { wallets: vec![opening] };
    assert_eq!(network.act(&bank, squat), Became::Rejected(Rejection::SaltReserved));
    let parts = network.state.parts();
    let op = approved(genesis, proposal(&network, join), &QUORUM);
    assert_eq!(network.act(&bank, op), Became::Applied);
    assert_ne!(network.state.parts().registry, parts.registry, "the state root commits to the registry");
    let fifth = network.operator(5);
    assert_eq!(network.wallet(&fifth.wallet).unwrap().tier, Tier::Operator);
    network.open(0..1, Tier::One);
    let wallets = vec![network.opening(1, Tier::One)];
    assert_eq!(network.act(&fifth, Operation::OpenWallets { wallets }), Became::Applied);
    let issue = Operation::Issue { to: fifth.wallet, amount: Amount::from_fen(500) };
    assert_eq!(network.act(&network.operator(0), issue.clone()), Became::Applied);
    let leave = vec![Change::RetireOperator { operator: OperatorId(5) }];
    let op = approved(genesis, proposal(&network, leave), &QUORUM);
    assert_eq!(network.act(&bank, op), Became::Applied);
    let now = registry(&network);
    assert_eq!((now.is_active(OperatorId(5)), now.is_node_active(NodeIndex(4))), (false, false));
    assert_eq!(now.chains[0].wanted.len(), 4);
    let wallets = vec![network.opening(2, Tier::One)];
    let refused = network.act(&fifth, Operation::OpenWallets { wallets });
    assert_eq!(refused, Became::Rejected(Rejection::OperatorRetired));
    assert_eq!(network.act(&network.operator(0), issue), Became::Rejected(Rejection::PayeeNotOperator));
    let op = approved(genesis, proposal(&network, vec![move_node()]), &QUORUM);
    assert_eq!(network.act(&fifth, op), Became::Rejected(Rejection::SignerNotOperator));
    // Its money stays its own.
    assert_eq!(network.act(&fifth, pay(&[(network.customer(0).wallet, 200)])), Became::Applied);
    assert_eq!(network.act(&fifth, Operation::Redeem { amount: Amount::from_fen(300) }), Became::Applied);
    let again = vec![Change::AddOperator(fifth_bank())];
    let op = approved(genesis, proposal(&network, again), &QUORUM);
    let taken = Became::Rejected(Rejection::ChangeOperatorKeyTaken);
    assert_eq!(network.act(&bank, op), taken, "a key is given once");
}

#[test]
fn a_parameter_holds_from_the_next_height_on() {
    let mut network = Network::new();
    network.open(0..2, Tier::Three);
    network.fund(&network.customer(0).wallet, 400_000);
    let (genesis, bank, payer) = (network.genesis, network.operator(1), network.customer(0));
    let mut params = ChainParams::default();
    params.tiers[3].payment_max = Amount::from_fen(100);
    let op = approved(genesis, proposal(&network, vec![Change::SetParams { chain: CHAIN, params }]), &QUORUM);
    let payee = network.customer(1).wallet;
    let block = vec![
        network.transaction(&bank, network.next_sequence(&bank.wallet), op),
        network.transaction(&payer, 1, pay(&[(payee, 101)])),
    ];
    let execution = network.run(block);
    assert!(execution.outcomes.iter().all(|outcome| outcome.is_applied()), "the same block goes by the old");
    let above = Became::Rejected(Rejection::PaymentAboveTierLimit);
    assert_eq!(network.act(&payer, pay(&[(payee, 101)])), above);
    assert_eq!(network.act(&payer, pay(&[(payee, 100)])), Became::Applied);
}

/// Rules follow from genesis hash and registry alone: a state that is loaded goes on like one that never stopped, and a height
/// that changed the registry is taken back to the byte.
#[test]
fn a_change_is_loaded_and_taken_back_exactly() {
    let mut network = Network::new();
    let (genesis, bank) = (network.genesis, network.operator(1));
    let join = vec![Change::AddOperator(fifth_bank()), Change::AddNode(fifth_node()), fifth_validator(CHAIN)];
    let before = (network.state.parts(), network.state.head().clone(), network.state.rules().clone());
    let op = approved(genesis, proposal(&network, join), &QUORUM);
    assert_eq!(network.act(&bank, op), Became::Applied);
    let execution = network.heights.last().unwrap().2.clone();
    let stored = Registry::decode(&execution.registry.clone().unwrap().encode()).unwrap();
    let records: Vec<_> = network.records.iter().map(|(slot, record)| (slot, record.clone())).collect();
    let head = network.state.head().clone();
    let load = |registry| {
        ChainState::load(&network.spec, Arc::new(registry), head.clone(), records.clone(), &Sequential)
    };
    let loaded = load(stored).unwrap();
    assert_eq!((loaded.parts(), loaded.rules()), (network.state.parts(), network.state.rules()));
    assert!(load(Registry::from_genesis(&network.spec)).is_err(), "an older registry is not this state's");
    let undo = Undo::decode(&execution.undo.encode()).unwrap();
    assert_eq!(undo, execution.undo);
    network.state.undo(&undo).unwrap();
    network.records.undo(&undo);
    let after = (network.state.parts(), network.state.head().clone(), network.state.rules().clone());
    assert_eq!(after, before);
    let (block, batches, _) = network.heights.last().unwrap();
    let bundles: &[ledger::records::Bundle] = &[];
    let again = network.state.execute(&network.records, block, batches, bundles, &Sequential).unwrap();
    assert_eq!(again, execution);
}

#[test]
fn a_proposal_has_one_form() {
    let network = Network::new();
    let good = proposal(&network, vec![move_node()]);
    let encoded = |proposal: Proposal, operators: &[u16]| {
        let operation = approved(network.genesis, proposal, operators);
        Operation::decode(&operation.encode()).is_ok()
    };
    assert!(encoded(good.clone(), &QUORUM));
    assert!(!encoded(good.clone(), &[]), "without an approval");
    assert!(!encoded(good.clone(), &[2, 1]), "out of order");
    assert!(!encoded(good.clone(), &[1, 1]), "twice");
    assert!(!encoded(Proposal { changes: Vec::new(), ..good.clone() }, &QUORUM));
    let many = |count| Proposal { changes: vec![move_node(); count], ..good.clone() };
    assert!(encoded(many(CHANGES_MAX), &QUORUM) && !encoded(many(CHANGES_MAX + 1), &QUORUM));
    let reason = |bytes| Proposal { reason: "r".repeat(bytes), ..good.clone() };
    assert!(encoded(reason(256), &QUORUM) && !encoded(reason(257), &QUORUM));
    let address = Change::MoveNode { node: NodeIndex(0), address: "a".repeat(256) };
    assert!(!encoded(Proposal { changes: vec![address], ..good.clone() }, &QUORUM));
    for (address, is_one) in [
        ("bank.example:7000", true),
        ("[::1]:65535", true),
        ("", false),
        ("bank.example", false),
        (":1", false),
        ("a:", false),
        ("a:0", false),
        ("a:65536", false),
        ("a:+1", false),
        ("a b:1", false),
        ("a\n:1", false),
    ] {
        let moves = Change::MoveNode { node: NodeIndex(0), address: address.into() };
        let adds = Change::AddNode(NodeRecord { address: address.into(), ..fifth_node() });
        for change in [moves, adds] {
            let encodes = encoded(Proposal { changes: vec![change], ..good.clone() }, &QUORUM);
            assert_eq!(encodes, is_one, "{address}");
        }
    }
    let name = OperatorRecord { name: String::new(), ..fifth_bank() };
    assert!(!encoded(Proposal { changes: vec![Change::AddOperator(name)], ..good.clone() }, &QUORUM));
    let keys: Vec<PublicKey> = (0..16).map(|n| PublicKey([n; 32])).collect();
    let large = OperatorRecord { wallet_policy: Policy { threshold: 1, keys }, ..fifth_bank() };
    let large = |count| Proposal { changes: vec![Change::AddOperator(large.clone()); count], ..good.clone() };
    let fits = (1..=CHANGES_MAX).take_while(|count| encoded(large(*count), &QUORUM)).count();
    assert!(fits < CHANGES_MAX);
    let bytes = approved(network.genesis, large(fits), &QUORUM).encode().len();
    assert!(bytes <= 4 + GOVERN_BYTES_MAX && bytes + 600 > GOVERN_BYTES_MAX, "{bytes}");
    // Ids never repeat, so a wallet of an operator is one operator's.
    let own = |id| registry(&network).operator_wallet(network.genesis, network.state.rules().currency, id);
    assert_ne!(own(OperatorId(1)), own(OperatorId(2)));
    assert_ne!(own(OperatorId(1)), Some(WalletId::default()));
}

/// The quorum is of the set, not of those of it that have not left yet; a set with a member that has left does not wait for a day.
#[test]
fn operators_that_leave_do_not_shrink_the_quorum() {
    let mut network = Network::new();
    let (genesis, bank) = (network.genesis, network.operator(1));
    let join = vec![Change::AddOperator(fifth_bank()), Change::AddNode(fifth_node()), fifth_validator(CHAIN)];
    let op = approved(genesis, proposal(&network, join), &QUORUM);
    assert_eq!(network.act(&bank, op), Became::Applied);
    while network.next_epoch().epoch.0 == 0 {
        network.run(Vec::new());
    }
    let leave = vec![Change::RetireOperator { operator: OperatorId(5) }];
    let leave = Proposal { is_urgent: false, ..proposal(&network, leave) };
    assert_eq!(network.act(&bank, approved(genesis, leave, &[1, 2, 3, 4])), Became::Applied);
    assert_eq!(network.epochs.len(), 3, "it is urgent by itself");
    let next = network.height().next();
    let now = registry(&network);
    assert_eq!((now.council(next).len(), now.council_quorum(next)), (4, 4), "four of five, as before");
    let op = approved(genesis, proposal(&network, vec![move_node()]), &QUORUM);
    assert_eq!(network.act(&bank, op), Became::Rejected(Rejection::ApprovalsBelowQuorum));
    let op = approved(genesis, proposal(&network, vec![move_node()]), &[1, 2, 3, 4]);
    assert_eq!(network.act(&bank, op), Became::Applied);
    while network.next_epoch().epoch.0 == 1 {
        network.run(Vec::new());
    }
    let op = approved(genesis, proposal(&network, vec![move_node()]), &QUORUM);
    assert_eq!(network.act(&bank, op), Became::Applied, "three of four decide in the next set");
}
