//! One honest bank and everybody's keys.
//!
//! [`Bank::give`] performs effects at once, except synced writes while [`Bank::hold_disk`] is set.

use std::sync::Arc;

use bytes::Bytes;
use chain::rollback::Divergence;
use chain::{
    Answer, Archive, Chain, ChainConfig, Effect, Executor, FinalBlock, Frame, Input, Lane, Now, Question,
    Recovered, Report, Request, Ticket, Turn,
};
use ed25519_dalek::{Signer as _, SigningKey};
use genesis::dev::{BankSecrets, Localnet, LocalnetPlan, localnet};
use ledger::proofs::{ChainOrigin, FinalityProof, consensus_namespace};
use ledger::records::transaction::network_tag;
use ledger::records::{
    Batch, BatchContent, Block, BlockBody, BlockHeader, Bundle, ChainParams, Change, FeeBid, FeeParams,
    GenesisSpec, Nonce, Operation, Payment, Policy, Proposal, Registry, Transaction, TransactionContent,
};
use ledger::rules::{ChainRules, ParentFacts, check_bundle, check_signatures, transaction_weight};
use ledger::values::{
    Amount, BatchDigest, BlockDigest, Canonical as _, ChainId, Currency, Epoch, FeeRate, GenesisHash, Height,
    KeyCache, NodeIndex, OperatorId, SecretKey, Sequential, TimestampMs, ValidatorIndex, View, WalletId,
};
use mempool::{Balance, Pooled};
use storage::{Identity, MemoryStore, Page, Store, Table};

/// The bank under test, and the one that is faulty.
pub(crate) const HONEST: usize = 0;
pub(crate) const FAULTY: usize = 1;

/// What a bank did in answer to inputs.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) sent: Vec<(NodeIndex, Frame)>,
    pub(crate) replies: Vec<(Ticket, Answer)>,
    pub(crate) reports: Vec<Report>,
    pub(crate) wake_ms: Option<u64>,
    pub(crate) served: Vec<(NodeIndex, Lane, Vec<Frame>, Option<Request>)>,
}

impl Seen {
    pub(crate) fn acknowledged(&self, digest: BatchDigest) -> bool {
        let names =
            |frame: &Frame| matches!(frame, Frame::Acknowledge(digests) if digests.batches.contains(&digest));
        self.sent.iter().any(|(_, frame)| names(frame))
    }

    pub(crate) fn evidence(&self) -> Vec<(ValidatorIndex, &'static str)> {
        let kind = |report: &Report| match report {
            Report::Evidence { validator, kind } => Some((*validator, *kind)),
            _ => None,
        };
        self.reports.iter().filter_map(kind).collect()
    }

    /// What was not kept.
    pub(crate) fn dropped_evidence(&self) -> Vec<(ValidatorIndex, &'static str)> {
        let kind = |report: &Report| match report {
            Report::EvidenceDropped { validator, kind } => Some((*validator, *kind)),
            _ => None,
        };
        self.reports.iter().filter_map(kind).collect()
    }

    pub(crate) fn distrusts(&self, node: usize) -> bool {
        let of = |report: &Report| matches!(report, Report::Distrusted { node: found, .. } if usize::from(found.0) == node);
        self.reports.iter().any(of)
    }

    /// Who was asked for a batch.
    pub(crate) fn asked_for(&self, batch: BatchDigest) -> Vec<NodeIndex> {
        let asks = |frame: &Frame| matches!(frame, Frame::RequestBatches(digests) if digests.batches.contains(&batch));
        self.sent.iter().filter(|(_, frame)| asks(frame)).map(|(to, _)| *to).collect()
    }

    pub(crate) fn answer(&self, ticket: u64) -> Option<Answer> {
        self.replies.iter().find(|(found, _)| found.0 == ticket).map(|(_, answer)| *answer)
    }
}

/// The chain of the honest bank as it starts, and its final tip.
fn started(
    keys: Vec<SecretKey>,
    executor: &Executor<Sequential>,
    store: &dyn Store,
    join: Option<Arc<GenesisSpec>>,
) -> (Chain, ParentFacts) {
    let (rules, executed) = (executor.state().rules().clone(), executor.state().head().height);
    let recovered = Recovered::read(&rules, store).unwrap();
    let mut config = ChainConfig::after(rules, executed, NodeIndex(HONEST as u16), keys);
    config.join = join;
    let tip = recovered.tip;
    (Chain::new(config, recovered), tip)
}

pub(crate) struct Bank {
    pub(crate) localnet: Localnet,
    pub(crate) chain: Chain,
    pub(crate) executor: Executor<Sequential>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) rules: ChainRules,
    /// The consensus keys of the honest bank; the others' are those that the chain began with.
    pub(crate) keys: Vec<SecretKey>,
    /// Each bank's consensus key when the chain began.
    first_keys: Vec<SecretKey>,
    pub(crate) now: Now,
    /// Synced writes wait while this is set; `release` lets them through.
    pub(crate) hold_disk: bool,
    pub(crate) genesis_facts: ParentFacts,
    /// Heights that are executed wrongly, once for each time that they are named: another amount than in the batch.
    pub(crate) spoiled: Vec<Height>,
    /// The divergence that is not passed, as the last restart found it.
    pub(crate) divergence: Option<Divergence>,
    /// It joins by a snapshot where it can.
    joins: bool,
    held: Vec<(storage::WriteSet, storage::Durability, Option<BlockDigest>)>,
    next_ticket: u64,
}

impl Bank {
    pub(crate) fn new() -> Self {
        Self::of(localnet(&LocalnetPlan::new(4), &[5; 32]).unwrap(), ChainId(0))
    }

    /// The only chain of a network, with these parameters of fees.
    pub(crate) fn priced(fees: FeeParams) -> Self {
        let params = ChainParams { fees, ..ChainParams::default() };
        let plan = LocalnetPlan { params, ..LocalnetPlan::new(4) };
        Self::of(localnet(&plan, &[5; 32]).unwrap(), ChainId(0))
    }

    /// A shard of a network with two: the same banks with the same keys.
    pub(crate) fn shard(chain: u32) -> Self {
        let currency = Currency(*b"CNY");
        let plan = LocalnetPlan { chains: vec![(currency, 0), (currency, 1)], ..LocalnetPlan::new(4) };
        Self::of(localnet(&plan, &[5; 32]).unwrap(), ChainId(chain))
    }

    fn of(localnet: Localnet, chain: ChainId) -> Self {
        let key = |bank: &BankSecrets| bank.validators[chain.0 as usize].2.clone();
        let first_keys = localnet.banks.iter().map(key).collect();
        Self::begin(localnet, chain, first_keys, None)
    }

    /// A chain that was added to the network of `root`, which has certified that: every bank has a validator there.
    pub(crate) fn child(root: &Self, chain: ChainId) -> Self {
        let origin = Archive::new(root.store.as_ref()).origin(chain).unwrap().unwrap();
        let mut child = Self::begin(root.localnet.clone(), chain, child_keys(chain), Some(&origin));
        child.now = root.now;
        child
    }

    fn begin(
        localnet: Localnet,
        chain: ChainId,
        first_keys: Vec<SecretKey>,
        origin: Option<&ChainOrigin>,
    ) -> Self {
        let identity = Identity { schema_version: 1, genesis: localnet.spec.hash().0, chain: chain.0 };
        let store: Arc<dyn Store> = Arc::new(MemoryStore::fresh(&identity));
        let executor =
            Executor::open_with(&localnet.spec, chain, origin, Arc::clone(&store), Sequential).unwrap();
        let rules = executor.state().rules().clone();
        let keys = vec![first_keys[HONEST].clone()];
        let (chain, genesis_facts) = started(keys.clone(), &executor, store.as_ref(), None);
        let now = Now { wall: TimestampMs(localnet.spec.timestamp.0 + 1_000_000), elapsed_ms: 10_000 };
        Self {
            localnet,
            chain,
            executor,
            store,
            rules,
            keys,
            first_keys,
            now,
            hold_disk: false,
            genesis_facts,
            spoiled: Vec::new(),
            divergence: None,
            joins: false,
            held: Vec::new(),
            next_ticket: 0,
        }
    }

    /// The process ends and starts again on the same store.
    pub(crate) fn restart(&mut self) {
        self.divergence = Divergence::roll_back(self.store.as_ref()).unwrap();
        let (spec, store) = (&self.localnet.spec, Arc::clone(&self.store));
        self.executor = Executor::open(spec, self.rules.chain, store, Sequential).unwrap();
        let join = self.joins.then(|| Arc::new(self.localnet.spec.clone()));
        (self.chain, _) = started(self.keys.clone(), &self.executor, self.store.as_ref(), join);
    }

    /// The bank is empty and is to join by a snapshot.
    pub(crate) fn join_by_snapshot(&mut self) {
        self.joins = true;
        self.restart();
    }

    /// The process ends, and what waited for the disk is lost.
    pub(crate) fn lose_power(&mut self) {
        self.hold_disk = false;
        self.held.clear();
        self.restart();
    }

    pub(crate) fn genesis(&self) -> GenesisHash {
        self.rules.genesis
    }

    /// The seat of a bank in the running epoch.
    pub(crate) fn seat(&self, bank: usize) -> ValidatorIndex {
        self.chain.config().validator_of(NodeIndex(bank as u16)).unwrap()
    }

    /// The running epoch.
    pub(crate) fn epoch(&self) -> Epoch {
        self.chain.config().epoch
    }

    /// The key that a bank votes and seals with in the running epoch.
    fn key(&self, bank: usize) -> &SecretKey {
        let seat = self.seat(bank);
        let key = self.chain.config().validators()[usize::from(seat.0)].consensus_key;
        self.keys.iter().chain([&self.first_keys[bank]]).find(|own| own.public_key() == key).unwrap()
    }

    pub(crate) fn pass(&mut self, ms: u64) -> Seen {
        self.now.wall.0 += ms;
        self.now.elapsed_ms += ms;
        self.give(Input::Wake)
    }

    pub(crate) fn give(&mut self, input: Input) -> Seen {
        let mut seen = Seen::default();
        let mut inputs = std::collections::VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for effect in self.chain.step(self.now, input) {
                inputs.extend(self.perform(effect, &mut seen));
            }
        }
        seen
    }

    fn perform(&mut self, effect: Effect, seen: &mut Seen) -> Option<Input> {
        match effect {
            Effect::Send { to, bytes, .. } => seen.sent.push((to, Frame::decode(&bytes).unwrap())),
            Effect::Persist { set, durability, then } if self.hold_disk => {
                self.held.push((set, durability, then))
            }
            Effect::Persist { set, durability, then } => {
                self.store.write(set, durability).unwrap();
                return then.map(Input::Persisted);
            }
            Effect::VerifySignatures { digest, batch } => {
                let all: Vec<&Transaction> = batch.content.transactions.iter().collect();
                let keys = KeyCache::default();
                let checked = check_signatures(&all, self.genesis(), &[1; 32], &keys, &Sequential);
                return Some(Input::SignaturesChecked { digest, first_bad: checked.err() });
            }
            Effect::CheckBundle { digest, rules, bundle } => {
                return Some(Input::BundleChecked { digest, facts: check_bundle(&rules, &bundle).ok() });
            }
            Effect::Execute(mut block) => {
                let height = block.block.header.height;
                if let Some(place) = self.spoiled.iter().position(|spoiled| *spoiled == height) {
                    self.spoiled.remove(place);
                    spoil(&mut block);
                }
                return Some(Input::Executed(self.executor.execute(&block).unwrap()));
            }
            Effect::Reply { ticket, answer } => seen.replies.push((ticket, answer)),
            Effect::WakeAt { elapsed_ms } => seen.wake_ms = Some(elapsed_ms),
            Effect::Report(report) => seen.reports.push(report),
            Effect::Serve { to, lane, held, request } => seen.served.push((to, lane, held, request)),
        }
        None
    }

    /// Lets held writes reach the disk.
    pub(crate) fn release(&mut self) -> Seen {
        self.hold_disk = false;
        let mut all = Seen::default();
        for (set, durability, then) in std::mem::take(&mut self.held) {
            self.store.write(set, durability).unwrap();
            if let Some(digest) = then {
                let seen = self.give(Input::Persisted(digest));
                all.replies.extend(seen.replies);
                all.sent.extend(seen.sent);
            }
        }
        all
    }

    pub(crate) fn frame(&mut self, from: usize, frame: &Frame) -> Seen {
        self.bytes(from, frame.encode())
    }

    pub(crate) fn bytes(&mut self, from: usize, bytes: Bytes) -> Seen {
        self.give(Input::Frame { from: NodeIndex(from as u16), bytes })
    }

    pub(crate) fn batch(&mut self, from: usize, batch: &Batch) -> Seen {
        self.frame(from, &Frame::Batch(Bytes::from(batch.encode())))
    }

    pub(crate) fn ask(&mut self, question: Question) -> (u64, Seen) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let epoch = self.chain.config().epoch;
        (ticket, self.give(Input::Asked { ticket: Ticket(ticket), epoch, question }))
    }

    /// Sends the block from its proposer and asks whether to vote for it.
    pub(crate) fn may_vote_for(&mut self, block: &Block) -> (u64, Seen) {
        let digest = block.header.digest(self.genesis());
        let proposer = (0..4).find(|bank| self.seat(*bank) == block.header.proposer).unwrap();
        let mut first = self.frame(proposer, &Frame::Block(Box::new(block.clone())));
        let (header, leader) = (&block.header, block.header.proposer);
        let turn = Turn { view: header.view, leader, parent: header.parent };
        let (ticket, seen) = self.ask(Question::Validate { turn, digest });
        first.replies.extend(seen.replies);
        first.reports.extend(seen.reports);
        first.sent.extend(seen.sent);
        (ticket, first)
    }

    /// The verdict on a block, if there is one at once.
    pub(crate) fn verdict(&mut self, block: &Block) -> Option<bool> {
        let (ticket, seen) = self.may_vote_for(block);
        seen.answer(ticket).map(|answer| match answer {
            Answer::Verdict(verdict) => verdict,
            other => panic!("{other:?}"),
        })
    }

    pub(crate) fn finalize(&mut self, block: &Block) -> Seen {
        let digest = block.header.digest(self.genesis());
        let certificate = Bytes::from(self.certificate(block).encode());
        let (epoch, view) = (block.header.epoch, block.header.view);
        self.give(Input::Finalized { epoch, view, digest, certificate })
    }

    /// That three of the four have finalized a block, signed as the engine's validators do.
    pub(crate) fn certificate(&self, block: &Block) -> FinalityProof {
        let (digest, view) = (block.header.digest(self.genesis()), block.header.view);
        let parent_view = View(view.0 - 1);
        let (epoch, mut bytes) = (block.header.epoch, Vec::new());
        for number in [epoch.0, view.0, parent_view.0] {
            bytes.extend(varint(number));
        }
        bytes.extend(digest.0);
        let namespace = consensus_namespace(self.genesis(), self.rules.chain);
        let namespace = [namespace, b"_FINALIZE".to_vec()].concat();
        let message = [varint(namespace.len() as u64), namespace, bytes.clone()].concat();
        bytes.extend(4_u64.to_be_bytes());
        bytes.extend([0b0111, 3]);
        for seat in 0..3 {
            let bank = (0..4).find(|bank| self.seat(*bank).0 == seat).unwrap();
            let key = SigningKey::from_bytes(self.key(bank).seed());
            bytes.extend(key.sign(&message).to_bytes());
        }
        FinalityProof { chain: self.rules.chain, epoch, view, parent_view, digest, bytes }
    }

    /// A block of the faulty bank on `parent` with these batches, which must be given in order with their weight.
    pub(crate) fn block(&self, parent: &ParentFacts, batches: &[(BatchDigest, u64)]) -> Block {
        let body =
            BlockBody { batches: batches.iter().map(|(digest, _)| *digest).collect(), bundles: Vec::new() };
        let header = BlockHeader {
            chain: self.rules.chain,
            epoch: self.epoch(),
            view: View(parent.view.0 + 1),
            height: parent.height.next(),
            parent: parent.digest,
            timestamp: TimestampMs((parent.timestamp.0 + 1).max(self.now.wall.0)),
            proposer: self.seat(FAULTY),
            weight: batches.iter().map(|(_, weight)| weight).sum(),
            base_fee: parent.next_base_fee(&self.rules),
            claim: parent.claim,
            body: body.hash(),
        };
        Block { header, body }
    }

    /// The same with bundles instead.
    pub(crate) fn block_of_bundles(&self, parent: &ParentFacts, bundles: &[Bundle]) -> Block {
        let mut block = self.block(parent, &[]);
        block.body.bundles = bundles.iter().map(|bundle| bundle.digest(self.genesis())).collect();
        block.header.body = block.body.hash();
        block
    }

    pub(crate) fn facts(&self, block: &Block) -> ParentFacts {
        ParentFacts::of(&block.header, self.genesis())
    }

    /// What a bank seals; `sequence` keeps digests apart.
    pub(crate) fn content(
        &self,
        sealer: usize,
        sequence: u64,
        transactions: Vec<Transaction>,
    ) -> BatchContent {
        BatchContent {
            chain: self.rules.chain,
            epoch: self.epoch(),
            sealer: self.seat(sealer),
            sequence,
            expires: TimestampMs(self.now.wall.0 + 30_000),
            transactions,
        }
    }

    pub(crate) fn seal(&self, sealer: usize, content: BatchContent) -> (BatchDigest, Batch) {
        content.seal(self.genesis(), self.key(sealer))
    }

    pub(crate) fn sealed(
        &self,
        sealer: usize,
        sequence: u64,
        transactions: Vec<Transaction>,
    ) -> (BatchDigest, Batch) {
        self.seal(sealer, self.content(sealer, sequence, transactions))
    }

    /// The own wallet and key of an operator; 0 is the central bank.
    pub(crate) fn operator(&self, id: u16) -> (WalletId, SecretKey) {
        let secrets = match id.checked_sub(1) {
            None => &self.localnet.central_bank,
            Some(bank) => &self.localnet.banks[usize::from(bank)].operator,
        };
        let registry = Registry::from_genesis(&self.localnet.spec);
        let wallet = registry.operator_wallet(self.genesis(), Currency(*b"CNY"), OperatorId(id)).unwrap();
        (wallet, secrets.wallet_key.clone())
    }

    pub(crate) fn unsigned(&self, operator: u16, sequence: u64, operation: Operation) -> TransactionContent {
        let (wallet, key) = self.operator(operator);
        TransactionContent {
            network: network_tag(self.genesis()),
            chain: self.rules.chain,
            wallet,
            nonce: Nonce { lane: 0, sequence },
            valid_until: TimestampMs(self.now.wall.0 + 60_000),
            fee: FeeBid::default(),
            policy: Policy::single(key.public_key()),
            operation,
        }
    }

    pub(crate) fn sign(&self, operator: u16, content: TransactionContent) -> Transaction {
        content.signed_by(self.genesis(), &self.operator(operator).1)
    }

    pub(crate) fn issue(&self, sequence: u64, fen: u64) -> Transaction {
        let to = self.operator(1).0;
        self.sign(0, self.unsigned(0, sequence, Operation::Issue { to, amount: Amount::from_fen(fen) }))
    }

    /// A change of the registry, proposed by operator 1 and approved by the first three banks.
    pub(crate) fn govern(&self, sequence: u64, changes: Vec<Change>) -> Transaction {
        let version = self.executor.state().rules().registry.version;
        let valid_until = TimestampMs(self.now.wall.0 + 60_000);
        let proposal = Proposal { version, valid_until, is_urgent: true, reason: "a test".into(), changes };
        let approve = |bank: usize| {
            let operator = &self.localnet.banks[bank].operator;
            proposal.approve(self.genesis(), operator.id, &operator.operator_key)
        };
        let approvals = (0..3).map(approve).collect();
        self.sign(1, self.unsigned(1, sequence, Operation::Govern { proposal, approvals }))
    }

    /// A transaction of operator 1's as a door hands it on.
    pub(crate) fn pooled(&self, transaction: Transaction) -> Pooled {
        Pooled {
            id: transaction.id(self.genesis()),
            bytes: transaction.encode().len(),
            weight: transaction_weight(&transaction),
            operator: OperatorId(1),
            is_exempt: false,
            balance: Balance { amount: Amount::from_fen(u64::MAX), after: Height(0) },
            base_fee: FeeRate::ZERO,
            transaction,
        }
    }

    /// A payment of operator 1 to operator 2.
    pub(crate) fn pay(&self, sequence: u64, fen: u64) -> Transaction {
        let payments = vec![Payment { payee: self.operator(2).0, amount: Amount::from_fen(fen) }];
        self.sign(1, self.unsigned(1, sequence, Operation::Pay { payments }))
    }

    pub(crate) fn balance(&self, operator: u16) -> u64 {
        let (_, record) =
            Archive::new(self.store.as_ref()).wallet(self.operator(operator).0).unwrap().unwrap();
        match record {
            ledger::records::Record::Wallet(wallet) => wallet.balance.fen(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn rows(&self, table: Table) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.store.scan(table, Page::first(5_000)).unwrap()
    }
}

/// The keys that the banks vote with on a chain that is added.
pub(crate) fn child_keys(chain: ChainId) -> Vec<SecretKey> {
    (0..4_u8).map(|bank| SecretKey::from_seed([100 + 4 * chain.0 as u8 + bank; 32])).collect()
}

/// A memory that flips a bit: the first payment of the block becomes one fen larger.
fn spoil(block: &mut FinalBlock) {
    let mut batch = (*block.batches[0]).clone();
    match &mut batch.content.transactions[0].content.operation {
        Operation::Pay { payments } => payments[0].amount = Amount::from_fen(payments[0].amount.fen() + 1),
        other => panic!("{other:?}"),
    }
    block.batches[0] = Arc::new(batch);
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}
