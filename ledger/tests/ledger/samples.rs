//! One of each record, the same in every run: what the codec tests mangle and the frozen vectors pin.

use ledger::proofs::{ChainOrigin, SetChain, SetLink};
use ledger::records::wallet::Lane;
use ledger::records::*;
use ledger::state::summing_tree::SumNode;
use ledger::state::{OperatorQuota, OrderedBucket, StateHead, StateParts};
use ledger::values::*;

use crate::governance::{approved, fifth_bank, fifth_node};
use crate::network::{self, Network, customer_key, later_key, operator_key, pay};
use crate::snapshot;

/// A record as bytes, and decoding followed by encoding.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) recode: fn(&[u8]) -> Result<Vec<u8>, CodecError>,
}

fn sample<T: Canonical>(name: &'static str, value: &T) -> Sample {
    Sample { name, bytes: value.encode(), recode: |bytes| T::decode(bytes).map(|value| value.encode()) }
}

pub(crate) fn wallet() -> WalletRecord {
    WalletRecord {
        id: WalletId([1; 32]),
        policy: PolicyHash([2; 32]),
        operator: OperatorId(3),
        tier: Tier::Two,
        status: WalletStatus::Moved { to: ChainId(4) },
        balance: Amount::from_fen(5),
        lanes: vec![Lane::default(), Lane { highest: 6, used: 0b100001 }],
    }
}

pub(crate) fn asked() -> Asked {
    Asked { payer: WalletId([36; 32]), payee: WalletId([37; 32]), amount: Amount::from_fen(38) }
}

pub(crate) fn lock() -> LockRecord {
    LockRecord {
        id: LockId([39; 32]),
        payer: WalletId([40; 32]),
        payee: WalletId([41; 32]),
        amount: Amount::from_fen(42),
        deadline: TimestampMs(43),
        kind: LockKind::Hash { hash: [44; 32] },
        state: LockState::Settled { preimage: Some([45; 32]) },
    }
}

fn offer() -> OfferRecord {
    OfferRecord {
        id: LockId([46; 32]),
        source: ChainId(47),
        payer: WalletId([48; 32]),
        payee: WalletId([49; 32]),
        amount: Amount::from_fen(50),
        asked: asked(),
        deadline: TimestampMs(51),
        state: OfferState::Cancelled { code: 529 },
    }
}

pub(crate) fn supply() -> SupplyTerms {
    let counter = |count, total| Counter { count, total };
    SupplyTerms {
        issued: Amount::from_fen(100),
        redeemed: Amount::from_fen(10),
        holdings: Amount::from_fen(80),
        pairs: vec![PairCounters { chain: ChainId(2), sent: counter(3, 30), received: counter(2, 20) }],
    }
}

pub(crate) fn two_of_three(network: &Network) -> Transaction {
    let keys: Vec<SecretKey> = (0..3).map(customer_key).collect();
    let policy = Policy::new(2, keys.iter().map(SecretKey::public_key).collect()).unwrap();
    let key_of = |index: usize| keys.iter().find(|key| key.public_key() == policy.keys[index]).unwrap();
    let mut content =
        network.content(&network.customer(0), 9, pay(&[(WalletId([8; 32]), 7), (WalletId([9; 32]), 6)]));
    content.policy = policy.clone();
    content.nonce.lane = 3;
    content.fee.fee_max = Amount::from_fen(11);
    let signatures = [0, 2].map(|index| content.sign(network.genesis, index as u8, key_of(index))).to_vec();
    Transaction { content, signatures, sponsor_signatures: Vec::new() }
}

/// A payment whose fee a wallet with two of three keys pays.
pub(crate) fn sponsored(network: &Network) -> Transaction {
    let Transaction { content: sponsoring, .. } = two_of_three(network);
    let (policy, key) = (sponsoring.policy, customer_key(1));
    let mut content = network.content(&network.customer(1), 4, pay(&[(WalletId([8; 32]), 7)]));
    content.fee = FeeBid {
        fee_max: Amount::from_fen(12),
        tip: Amount::from_fen(3),
        operator: OperatorId(2),
        sponsor: Some(Sponsor { wallet: sponsoring.wallet, policy: policy.clone() }),
    };
    let keys: Vec<SecretKey> = (0..3).map(customer_key).collect();
    let key_of = |index: usize| keys.iter().find(|key| key.public_key() == policy.keys[index]).unwrap();
    let sign = |index: u8| content.sign_as_sponsor(network.genesis, index, key_of(index.into()));
    let sponsor_signatures = [0, 2].map(sign).to_vec();
    Transaction { sponsor_signatures, ..content.clone().signed_by(network.genesis, &key) }
}

/// A proposal with a change of each kind.
pub(crate) fn every_change() -> Proposal {
    let (operator, node, chain) = (OperatorId(2), NodeIndex(3), ChainId(1));
    let [one, other] = [later_key(1).public_key(), later_key(2).public_key()];
    let validator = ValidatorRecord { operator, node, consensus_key: one };
    let changes = vec![
        Change::AddOperator(fifth_bank()),
        Change::RetireOperator { operator },
        Change::ReplaceOperatorKey { operator, key: one },
        Change::AddNode(fifth_node()),
        Change::MoveNode { node, address: "[::1]:9100".into() },
        Change::ReplaceNetworkKey { node, key: one },
        Change::RetireNode { node },
        Change::AddValidator { chain, validator },
        Change::RemoveValidator { chain, consensus_key: one },
        Change::ReplaceConsensusKey { chain, old: one, new: other },
        Change::SetParams { chain, params: ChainParams::default() },
        Change::AddChain { parent: chain, validators: network::spec().chains[0].validators.clone() },
        Change::Reshard { currency: Currency(*b"CNY") },
        Change::RemoveChain { chain },
        Change::SpendFees { chain, operator, amount: Amount::from_fen(54) },
    ];
    let valid_until = TimestampMs(1_700_000_060_000);
    Proposal { version: 3, valid_until, is_urgent: true, reason: "Bank 5 joins".into(), changes }
}

/// One change of set; what it proves does not matter here.
fn set_chain() -> SetChain {
    let mut network = Network::new();
    network.run(Vec::new());
    network.run(Vec::new());
    let set = EpochRecord { epoch: Epoch(1), first_height: Height(3), ..network.epochs[0].clone() };
    SetChain { origin: None, links: vec![SetLink { certified: network.certified(1, 2), set }] }
}

/// An origin; what it proves does not matter here.
fn chain_origin() -> ChainOrigin {
    let mut network = Network::new();
    network.run(Vec::new());
    let parts = network.state.parts();
    network.run(Vec::new());
    let mut registry = Registry::from_genesis(&network.spec);
    let birth = Birth::Child { parent: ChainId(0), height: Height(1), growth: Growth::Added };
    registry.chains.push(ChainRecord { chain: ChainId(1), shard: 1, birth, ..registry.chains[0].clone() });
    ChainOrigin { sets: set_chain().links, registry, parts, certified: network.certified(1, 2) }
}

/// One of each.
pub(crate) fn samples() -> Vec<Sample> {
    let snapshot = snapshot::keep(&mut snapshot::town(2));
    let mut network = Network::new();
    let (bank, central) = (network.operator(1), network.operator(0));
    let open = Operation::OpenWallets {
        wallets: vec![network.opening(1, Tier::One), network.opening(2, Tier::Four)],
    };
    let issue = Operation::Issue { to: bank.wallet, amount: Amount::from_fen(12) };
    let redeem = Operation::Redeem { amount: Amount::from_fen(13) };
    let opening = network.transaction(&bank, 1, open.clone());
    let (digest, batch) =
        network.seal(vec![opening.clone(), network.transaction(&central, 1, issue.clone())]);
    let block = network.block(&[(digest, batch.clone())]);
    let mut registry = Registry::from_genesis(&network.spec);
    registry.version = 2;
    registry.retired_operators = vec![OperatorId(3)];
    registry.retired_nodes = vec![NodeIndex(1), NodeIndex(2)];
    registry.chains[0].is_urgent = true;
    registry.chains[0].epochs[0].last_height = Some(Height(9));
    registry.chains[0].barred = vec![OperatorId(1), OperatorId(4)];
    let result = HeightResult { supply: supply(), executed: 4, skipped: 1, ..network.genesis_result.clone() };
    let ordered = vec![OrderedBucket { second: 1, count: 2, chain: Hash([3; 32]) }];
    let (used, debt) = (Amount::from_fen(1_000), Amount::from_fen(7));
    let quota = OperatorQuota { operator: OperatorId(4), day: 19_676, used, debt };
    let head = StateHead {
        supply: supply(),
        ordered,
        base_fee: FeeRate::from_micro_fen(55),
        quotas: vec![quota],
        ..network.state.head().clone()
    };
    let outcome = Outcome {
        id: opening.id(network.genesis),
        transaction: opening.hash(),
        index: 3,
        code: Rejection::InsufficientFunds.code(),
        fee: Amount::ZERO,
    };
    let movement =
        Movement { kind: MovementKind::Issued, counterparty: central.wallet, amount: Amount::from_fen(1) };
    let parts = StateParts { tree: SumNode { sum: 1, hash: Hash([2; 32]) }, ..network.state.parts() };
    vec![
        sample("genesis", &network.spec),
        sample("registry", &registry),
        sample(
            "policy",
            &Policy::new(1, vec![operator_key(1).public_key(), operator_key(2).public_key()]).unwrap(),
        ),
        sample("operation-pay", &pay(&[(bank.wallet, 14)])),
        sample("operation-open-wallets", &open),
        sample("operation-issue", &issue),
        sample("operation-redeem", &redeem),
        sample(
            "operation-lock",
            &Operation::Lock {
                payee: bank.wallet,
                amount: Amount::from_fen(17),
                hash: [18; 32],
                deadline: TimestampMs(19),
            },
        ),
        sample("operation-claim", &Operation::Claim { lock: LockId([20; 32]), preimage: [21; 32] }),
        sample(
            "operation-exchange",
            &Operation::Exchange {
                payee: bank.wallet,
                amount: Amount::from_fen(22),
                chain: ChainId(23),
                asked: asked(),
                deadline: TimestampMs(24),
            },
        ),
        sample(
            "operation-accept",
            &Operation::Accept {
                offer: LockId([25; 32]),
                payee: bank.wallet,
                amount: Amount::from_fen(26),
                receives: Amount::from_fen(27),
                source: ChainId(23),
                to: WalletId([30; 32]),
            },
        ),
        sample("operation-decline", &Operation::Decline { offer: LockId([28; 32]) }),
        sample("operation-withdraw", &Operation::Withdraw { lock: LockId([29; 32]) }),
        sample("transaction-content", &opening.content),
        sample("transaction", &opening),
        sample("transaction-two-of-three", &two_of_three(&network)),
        sample("transaction-sponsored", &sponsored(&network)),
        sample("batch-content", &batch.content),
        sample("batch", &batch),
        sample("block-header", &block.header),
        sample("block-body", &block.body),
        sample("block", &block),
        sample("outcome", &outcome),
        sample("result", &result),
        sample("supply-terms", &supply()),
        sample("record-wallet", &Record::Wallet(wallet())),
        sample("record-fee-pool", &Record::FeePool { balance: Amount::from_fen(15) }),
        sample("record-suspense", &Record::Suspense { balance: Amount::from_fen(16) }),
        sample("record-lock-hash", &Record::Lock(lock())),
        sample(
            "record-lock-exchange",
            &Record::Lock(LockRecord {
                kind: LockKind::Exchange { chain: ChainId(30), asked: asked() },
                state: LockState::Returned { code: 531 },
                ..lock()
            }),
        ),
        sample("record-offer", &Record::Offer(offer())),
        sample(
            "receipt-offer",
            &Receipt::Offer {
                lock: LockId([31; 32]),
                payer: bank.wallet,
                payee: central.wallet,
                amount: Amount::from_fen(32),
                asked: asked(),
                deadline: TimestampMs(33),
            },
        ),
        sample(
            "receipt-decision",
            &Receipt::Decision {
                lock: LockId([34; 32]),
                payer: bank.wallet,
                payee: central.wallet,
                settled: false,
                code: 530,
            },
        ),
        sample("receipt-withdrawal", &Receipt::Withdrawal { lock: LockId([35; 32]) }),
        sample(
            "receipt-credit-sent-on",
            &Receipt::Credit {
                transaction: TransactionId::default(),
                part: 3,
                payer: WalletId([31; 32]),
                payee: WalletId([32; 32]),
                amount: Amount::from_fen(7),
                origin: Some(Origin { source: ChainId(1), destination: ChainId(2), sequence: 9 }),
            },
        ),
        sample(
            "receipt-refund",
            &Receipt::Refund {
                chain: ChainId(2),
                credit: 9,
                payer: WalletId([31; 32]),
                payee: WalletId([32; 32]),
                amount: Amount::from_fen(7),
                code: 207,
            },
        ),
        sample("receipt-move", &Receipt::Move { wallet: wallet() }),
        sample("receipt-keep", &Receipt::Keep { wallet: WalletId([33; 32]) }),
        sample("receipt-end", &Receipt::End {}),
        sample("receipt-report", &Receipt::Report { is_filled: true }),
        sample("state-head", &head),
        sample("state-parts", &parts),
        sample("movement", &movement),
        sample("proposal", &every_change()),
        sample("operation-govern", &approved(network.genesis, every_change(), &[1, 2])),
        sample(
            "receipt-change",
            &Receipt::Change {
                version: 4,
                height: Height(53),
                is_urgent: true,
                change: every_change().changes[0].clone(),
            },
        ),
        sample("set-chain", &set_chain()),
        sample("set-chain-of-child", &SetChain { origin: Some(Box::new(chain_origin())), ..set_chain() }),
        sample("chain-origin", &chain_origin()),
        sample("finality-proof", &network.finality(&block.header)),
        sample("snapshot-manifest", &snapshot.manifest),
        sample("snapshot-chunk", &snapshot.chunk(0)),
    ]
}
