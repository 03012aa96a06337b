//! The council: proposes the plan's changes of chain 0's validators and its new chains, one after the other, until each is applied.
//!
//! Every bank that had a validator at genesis approves; so the plan lets none of those leave.

use std::collections::{BTreeMap, VecDeque};

use genesis::dev::Localnet;
use ledger::records::transaction::network_tag;
use ledger::records::{
    Change, FeeBid, Nonce, Operation, Policy, Proposal, Registry, TransactionContent, ValidatorRecord,
};
use ledger::values::{
    Canonical as _, ChainId, GenesisHash, Hasher, NodeIndex, OperatorId, PublicKey, SecretKey, TimestampMs,
    TransactionId, WalletId,
};
use tokio::sync::oneshot;

use crate::client::{Doors, Heard};
use crate::door::Submission;
use crate::machine::{Child, Network};
use crate::plan::{Plan, SetChange};

/// Where operators govern.
const ROOT: ChainId = ChainId(0);
/// Pause before a proposal without an outcome is posted again, to another node.
const REPOST_MS: u64 = 1_000;
/// How long a proposal may be applied.
const LIFE_MS: u64 = 120_000;
/// The bank whose wallet signs.
const PROPOSER: usize = 1;

/// The key that replaces a node's consensus key on a chain.
pub(crate) fn next_key(seed: u64, node: u16, chain: ChainId) -> SecretKey {
    let hash = Hasher::new("jiaozi/bottle-next-key").number(seed).number(u64::from(node));
    SecretKey::from_seed(hash.number(u64::from(chain.0)).finish().0)
}

/// The council.
pub(crate) struct Governor {
    genesis: GenesisHash,
    seed: u64,
    wallet: WalletId,
    key: SecretKey,
    council: Vec<(OperatorId, SecretKey)>,
    banks: BTreeMap<u16, (OperatorId, PublicKey)>,
    changes: VecDeque<(u64, SetChange)>,
    /// What adds the plan's children, and what doubles the shards.
    add_chains: Vec<Change>,
    reshard: Change,
    posted: Option<Posted>,
    next: u64,
    /// Proposals that were applied.
    pub(crate) applied: u64,
}

struct Posted {
    change: SetChange,
    id: TransactionId,
    bytes: Vec<u8>,
    last_post_ms: u64,
    attempts: usize,
}

impl Governor {
    pub(crate) fn new(plan: &Plan, network: &Network, localnet: &Localnet) -> Self {
        let registry = Registry::from_genesis(&localnet.spec);
        let proposer = &localnet.banks[PROPOSER].operator;
        let currency = localnet.spec.chains[0].currency;
        let wallet = registry.operator_wallet(network.genesis, currency, proposer.id);
        let sits = |node: NodeIndex| {
            registry
                .newest_epoch(ROOT)
                .is_some_and(|epoch| epoch.validators.iter().any(|validator| validator.node == node))
        };
        let council = localnet.banks.iter().filter(|bank| sits(bank.node));
        let council = council.map(|bank| (bank.operator.id, bank.operator.operator_key.clone()));
        let banks = localnet
            .banks
            .iter()
            .map(|bank| (bank.node.0, (bank.operator.id, bank.validators[0].2.public_key())));
        let operator = |node: u16| localnet.banks[usize::from(node)].operator.id;
        let added = |(chain, child): (&ChainId, &Child)| {
            let seat = |node: &u16| ValidatorRecord {
                operator: operator(*node),
                node: NodeIndex(*node),
                consensus_key: next_key(plan.seed, *node, *chain).public_key(),
            };
            let mut validators: Vec<ValidatorRecord> = child.seats.iter().map(seat).collect();
            validators.sort_unstable_by_key(|validator| validator.consensus_key);
            Change::AddChain { parent: child.parent, validators }
        };
        Self {
            add_chains: network.children.iter().map(added).collect(),
            reshard: Change::Reshard { currency },
            genesis: network.genesis,
            seed: plan.seed,
            wallet: wallet.expect("the proposer is in the registry"),
            key: proposer.wallet_key.clone(),
            council: council.collect(),
            banks: banks.collect(),
            changes: plan.changes.iter().copied().collect(),
            posted: None,
            next: 1,
            applied: 0,
        }
    }

    /// Does what is due. `now_ms` is virtual time since the start, `wall_ms` what nodes' clocks show.
    pub(crate) fn tick(&mut self, now_ms: u64, wall_ms: u64, doors: &Doors, heard: Heard<'_>) {
        if let Some(posted) = &mut self.posted {
            match heard(ROOT, &posted.id) {
                Some(true) => {
                    self.applied += 1;
                    self.posted = None;
                }
                // A child has not reported yet that it runs.
                Some(false) if posted.change == SetChange::Reshard => {
                    self.changes.push_front((now_ms + REPOST_MS, SetChange::Reshard));
                    self.posted = None;
                }
                // Told by the count of what was applied.
                Some(false) => self.posted = None,
                None if posted.last_post_ms + REPOST_MS <= wall_ms => posted.post(wall_ms, doors),
                None => {}
            }
            return;
        }
        let Some((at_ms, change)) = self.changes.front().copied() else { return };
        if at_ms <= now_ms {
            self.changes.pop_front();
            let mut posted = self.propose(change, wall_ms);
            posted.post(wall_ms, doors);
            self.posted = Some(posted);
        }
    }

    fn propose(&mut self, planned: SetChange, wall_ms: u64) -> Posted {
        let changes = match planned {
            SetChange::Rotate { node } => {
                let (operator, old) = self.banks[&node];
                let new = next_key(self.seed, node, ROOT).public_key();
                self.banks.insert(node, (operator, new));
                vec![Change::ReplaceConsensusKey { chain: ROOT, old, new }]
            }
            SetChange::Join { node } => {
                let (operator, consensus_key) = self.banks[&node];
                let validator = ValidatorRecord { operator, node: NodeIndex(node), consensus_key };
                vec![Change::AddValidator { chain: ROOT, validator }]
            }
            SetChange::AddChains => self.add_chains.clone(),
            SetChange::Reshard => vec![self.reshard.clone()],
        };
        let proposal = Proposal {
            version: self.applied,
            valid_until: TimestampMs(wall_ms + LIFE_MS),
            is_urgent: true,
            reason: "the plan".into(),
            changes,
        };
        let approve = |(id, key): &(OperatorId, SecretKey)| proposal.approve(self.genesis, *id, key);
        let approvals = self.council.iter().map(approve).collect();
        let content = TransactionContent {
            network: network_tag(self.genesis),
            chain: ROOT,
            wallet: self.wallet,
            nonce: Nonce { lane: 0, sequence: self.next },
            valid_until: TimestampMs(wall_ms + LIFE_MS),
            fee: FeeBid::default(),
            policy: Policy::single(self.key.public_key()),
            operation: Operation::Govern { proposal, approvals },
        };
        self.next += 1;
        let transaction = content.signed_by(self.genesis, &self.key);
        let (id, bytes) = (transaction.id(self.genesis), transaction.encode());
        Posted { change: planned, id, bytes, last_post_ms: 0, attempts: 0 }
    }
}

impl Posted {
    fn post(&mut self, wall_ms: u64, doors: &Doors) {
        self.last_post_ms = wall_ms;
        let Some(doors) = doors.get(&ROOT).filter(|doors| !doors.is_empty()) else { return };
        if let Some(door) = doors.values().nth(self.attempts % doors.len()) {
            let (answer, _unread) = oneshot::channel();
            let _full = door.try_send(Submission { bytes: self.bytes.clone(), answer }).is_err();
        }
        self.attempts += 1;
    }
}
