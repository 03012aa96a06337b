//! Chains made by the production ledger, block by block, stored as a node stores them. And their forgers.

#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

pub mod verdicts;

use std::collections::VecDeque;
use std::sync::Arc;

use audit::{AuditBlock, AuditError, HEAD_ROW, Source, origin_parts_row};
use ed25519_dalek::Signer as _;
use genesis::dev::{Localnet, LocalnetPlan, OperatorSecrets, localnet};
use ledger::proofs::{CertifiedResult, FinalityProof, consensus_namespace};
use ledger::records::transaction::network_tag;
use ledger::records::{
    Batch, BatchContent, Birth, Block, BlockBody, BlockHeader, Bundle, Change, Claim, Counter, FeeBid,
    FeeParams, HeightResult, Nonce, Operation, PairCounters, Payment, Pending, Policy, Proposal, Receipt,
    Record, Registry, Tier, Transaction, TransactionContent, ValidatorRecord, WalletOpening, WalletRecord,
};
use ledger::rules::next_base_fee;
use ledger::state::outbox::{RECEIPTS_TAG, outbox_root, receipt_leaf};
use ledger::state::{ChainState, Execution, MemoryReader, Outbox, StateReader as _, StateWrites};
use ledger::values::{
    Amount, AppendTree, BlockDigest, Canonical as _, ChainId, Currency, Epoch, FeeRate, GenesisHash, Height,
    PublicKey, SecretKey, Sequential, Slot, TimestampMs, ValidatorIndex, View, WalletId,
};
use storage::{Durability, Identity, Store, Table, WriteSet, key};

pub const CHAIN: ChainId = ChainId(0);
/// What every wallet is funded with.
pub const FUNDS: Amount = Amount::from_fen(100_000);
const BATCH: usize = 500;
const OPENINGS: usize = 64;

/// A block as it was made.
#[derive(Clone)]
pub struct Made {
    pub block: Block,
    pub digest: BlockDigest,
    pub batches: Vec<Batch>,
    pub bundles: Vec<Bundle>,
    pub certificate: Vec<u8>,
    pub execution: Execution,
    /// The parts of the state after it, encoded.
    pub parts: Vec<u8>,
}

/// Makes a chain.
#[derive(Clone)]
pub struct Forge {
    pub network: Localnet,
    pub chain: ChainId,
    pub genesis: GenesisHash,
    pub blocks: Vec<Made>,
    pub wallets: Vec<(SecretKey, WalletId)>,
    genesis_writes: StateWrites,
    genesis_result: Vec<u8>,
    genesis_head: Vec<u8>,
    genesis_digest: BlockDigest,
    genesis_registry: Vec<u8>,
    state: ChainState,
    records: MemoryReader,
    sequences: std::collections::BTreeMap<WalletId, u64>,
    batches_sealed: u64,
    claim: Claim,
    /// Claimed instead of the true result from then on.
    pub false_claim: bool,
    /// Keys that validators got later than at genesis.
    later: Vec<SecretKey>,
    /// The epoch of the next blocks, where it is not the one that the registry says.
    pub forced_epoch: Option<Epoch>,
    /// The base fee and the weight of the next blocks, where they are not those that follow.
    pub forced_base_fee: Option<FeeRate>,
    pub forced_weight: Option<u64>,
    /// What transactions bid from then on, the tip with them.
    pub fee_max: Amount,
    pub tip: Amount,
}

impl Forge {
    /// The only chain of a network, with `wallets` funded wallets.
    pub fn new(wallets: usize) -> Self {
        Self::of(localnet(&LocalnetPlan::new(4), &[7; 32]).unwrap(), CHAIN, wallets)
    }

    /// The same with these parameters of fees. Few wallets: what opens and funds them weighs less than the target and costs nothing.
    pub fn priced(wallets: usize, fees: FeeParams) -> Self {
        let mut plan = LocalnetPlan::new(4);
        plan.params.fees = fees;
        Self::of(localnet(&plan, &[7; 32]).unwrap(), CHAIN, wallets)
    }

    /// Both shards of a currency, each with `wallets` funded wallets.
    pub fn shards(wallets: usize) -> [Self; 2] {
        let mut plan = LocalnetPlan::new(4);
        plan.chains = vec![(Currency(*b"CNY"), 0), (Currency(*b"CNY"), 1)];
        let network = localnet(&plan, &[7; 32]).unwrap();
        [Self::of(network.clone(), ChainId(0), wallets), Self::of(network, ChainId(1), wallets)]
    }

    fn of(network: Localnet, chain: ChainId, wallets: usize) -> Self {
        let first = ChainState::genesis(&network.spec, chain).unwrap();
        let mut forge = Self::begin(network, chain, first, Vec::new());
        forge.fund(wallets);
        forge
    }

    /// A chain that `root` has added, before its first block.
    pub fn child(root: &Self, chain: ChainId) -> Self {
        let record = root.state.rules().registry.chain(chain).unwrap().clone();
        let Birth::Child { height, .. } = record.birth else { panic!("{record:?}") };
        let made = root.blocks.iter().find(|made| made.execution.result.height == height).unwrap();
        let registry = made.execution.registry.as_ref().unwrap().of_child(chain).unwrap();
        Self::child_of(root, registry, chain)
    }

    /// The same with any registry to begin with.
    pub fn child_of(root: &Self, registry: Registry, chain: ChainId) -> Self {
        let network = root.network.clone();
        let timestamp = network.spec.timestamp;
        let first = ChainState::begin(root.genesis, Arc::new(registry), chain, timestamp).unwrap();
        Self::begin(network, chain, first, root.later.clone())
    }

    fn begin(
        network: Localnet,
        chain: ChainId,
        (state, writes, result): (ChainState, StateWrites, HeightResult),
        later: Vec<SecretKey>,
    ) -> Self {
        let mut records = MemoryReader::default();
        records.apply(&writes);
        Self {
            genesis: network.spec.hash(),
            network,
            chain,
            blocks: Vec::new(),
            wallets: Vec::new(),
            genesis_writes: writes,
            genesis_result: result.encode(),
            genesis_head: state.head().encode(),
            genesis_digest: state.head().block,
            genesis_registry: state.rules().registry.encode(),
            claim: Claim { height: Height(0), result: state.head().result },
            state,
            records,
            sequences: std::collections::BTreeMap::new(),
            batches_sealed: 0,
            false_claim: false,
            later,
            forced_epoch: None,
            forced_base_fee: None,
            forced_weight: None,
            fee_max: Amount::ZERO,
            tip: Amount::ZERO,
        }
    }

    fn operator_wallet(&self, secrets: &OperatorSecrets) -> WalletId {
        let registry = self.state.rules().registry.clone();
        registry.operator_wallet(self.genesis, self.state.rules().currency, secrets.id).unwrap()
    }

    /// The own wallet of the bank that opens wallets and carries proposals.
    pub fn bank_wallet(&self) -> WalletId {
        self.operator_wallet(&self.network.banks[0].operator)
    }

    /// Opens wallets and gives each [`FUNDS`].
    fn fund(&mut self, wallets: usize) {
        let bank = self.network.banks[0].operator.clone();
        let central = self.network.central_bank.clone();
        let (bank_wallet, central_wallet) = (self.operator_wallet(&bank), self.operator_wallet(&central));
        let keys: Vec<SecretKey> = self.at_home().take(wallets).collect();
        let mut transactions = Vec::new();
        for group in keys.chunks(OPENINGS) {
            let opening = |key: &SecretKey| WalletOpening {
                policy: Policy::single(key.public_key()).hash(),
                salt: [0; 16],
                tier: Tier::One,
            };
            let wallets = group.iter().map(opening).collect();
            transactions.push(self.sign(&bank.wallet_key, bank_wallet, Operation::OpenWallets { wallets }));
        }
        let total = Amount::from_fen(FUNDS.fen() * wallets as u64);
        transactions.push(self.sign(
            &central.wallet_key,
            central_wallet,
            Operation::Issue { to: bank_wallet, amount: total },
        ));
        for group in transactions.chunks(100) {
            self.make_block(group.to_vec());
        }
        self.wallets = keys.into_iter().map(|key| (key.clone(), self.wallet_of(&key))).collect();
        let payees: Vec<WalletId> = self.wallets.iter().map(|(_, id)| *id).collect();
        let mut transactions = Vec::new();
        for group in payees.chunks(OPENINGS) {
            let payments = group.iter().map(|payee| Payment { payee: *payee, amount: FUNDS }).collect();
            transactions.push(self.sign(&bank.wallet_key, bank_wallet, Operation::Pay { payments }));
        }
        for group in transactions.chunks(100) {
            self.make_block(group.to_vec());
        }
    }

    fn wallet_of(&self, key: &SecretKey) -> WalletId {
        let policy = Policy::single(key.public_key()).hash();
        WalletId::derive(self.genesis, self.state.rules().currency, policy, &[0; 16])
    }

    /// Keys of wallets that are at home on this chain, without end.
    fn at_home(&self) -> impl Iterator<Item = SecretKey> + '_ {
        (1..).map(secret).filter(move |key| self.state.rules().home(&self.wallet_of(key)) == self.chain)
    }

    /// A wallet that is at home on this chain and was never opened.
    pub fn nobody(&self) -> WalletId {
        self.wallet_of(&self.at_home().nth(self.wallets.len()).unwrap())
    }

    /// A signed transaction with the wallet's next nonce.
    pub fn sign(&mut self, key: &SecretKey, wallet: WalletId, operation: Operation) -> Transaction {
        let sequence = self.sequences.entry(wallet).or_default();
        *sequence += 1;
        let content = TransactionContent {
            network: network_tag(self.genesis),
            chain: self.chain,
            wallet,
            nonce: Nonce { lane: 0, sequence: *sequence },
            valid_until: TimestampMs(self.state.head().timestamp.0 + 600_000),
            fee: FeeBid { fee_max: self.fee_max, tip: self.tip, ..FeeBid::default() },
            policy: Policy::single(key.public_key()),
            operation,
        };
        content.signed_by(self.genesis, key)
    }

    /// A payment of one yuan from wallet to wallet, by index.
    pub fn payment(&mut self, payer: usize, payee: usize, amount: u64) -> Transaction {
        self.payment_to(payer, self.wallets[payee].1, amount)
    }

    /// A payment to a wallet of any chain.
    pub fn payment_to(&mut self, payer: usize, payee: WalletId, amount: u64) -> Transaction {
        let (key, id) = self.wallets[payer].clone();
        let payments = vec![Payment { payee, amount: Amount::from_fen(amount) }];
        self.sign(&key, id, Operation::Pay { payments })
    }

    /// `count` payments around the ring of wallets, in blocks of `per_block`.
    pub fn pay_around(&mut self, count: usize, per_block: usize) {
        let wallets = self.wallets.len();
        let mut made = 0;
        while made < count {
            let block: Vec<Transaction> = (made..count.min(made + per_block))
                .map(|number| {
                    self.payment(number % wallets, (number * 7 + 1) % wallets, 1 + number as u64 % 9)
                })
                .collect();
            made += block.len();
            self.make_block(block);
        }
    }

    /// Seals, orders and executes transactions as the next block.
    pub fn make_block(&mut self, transactions: Vec<Transaction>) {
        let batches: Vec<Batch> = transactions.chunks(BATCH).map(|group| self.seal(group.to_vec())).collect();
        self.order(batches);
    }

    /// The epoch that decides the next height.
    fn epoch(&self) -> Epoch {
        let next = self.state.head().height.next();
        self.forced_epoch.unwrap_or_else(|| self.state.rules().epoch_at(next).unwrap().epoch)
    }

    fn validator_key(&self, epoch: Epoch, seat: u16) -> SecretKey {
        let validator =
            self.state.rules().registry.validator(self.chain, epoch, ValidatorIndex(seat)).unwrap();
        let seats = self.network.banks.iter().flat_map(|bank| &bank.validators).map(|(_, _, key)| key);
        let mut keys = seats.chain(&self.later);
        keys.find(|key| key.public_key() == validator.consensus_key).unwrap().clone()
    }

    /// A key that a validator may get.
    pub fn later_key(&mut self) -> PublicKey {
        let key = SecretKey::from_seed([200 + self.later.len() as u8; 32]);
        self.later.push(key.clone());
        key.public_key()
    }

    /// An urgent proposal that three of four banks approve, carried by the first one's wallet.
    pub fn govern(&mut self, changes: Vec<Change>) -> Transaction {
        let proposal = Proposal {
            version: self.state.rules().registry.version,
            valid_until: TimestampMs(self.state.head().timestamp.0 + 600_000),
            is_urgent: true,
            reason: "a test".to_owned(),
            changes,
        };
        let approve = |bank: &genesis::dev::BankSecrets| {
            proposal.approve(self.genesis, bank.operator.id, &bank.operator.operator_key)
        };
        let approvals = self.network.banks.iter().take(3).map(approve).collect();
        let bank = self.network.banks[0].operator.clone();
        let wallet = self.operator_wallet(&bank);
        self.sign(&bank.wallet_key, wallet, Operation::Govern { proposal, approvals })
    }

    /// A child for a chain, with a validator of each bank.
    pub fn add_chain(&mut self, parent: ChainId) -> Change {
        let banks: Vec<_> = self.network.banks.iter().map(|bank| (bank.operator.id, bank.node)).collect();
        let seat = |(operator, node)| ValidatorRecord { operator, node, consensus_key: self.later_key() };
        let mut validators: Vec<ValidatorRecord> = banks.into_iter().map(seat).collect();
        validators.sort_unstable_by_key(|validator| validator.consensus_key);
        Change::AddChain { parent, validators }
    }

    /// A wallet's record as the chain has it now.
    pub fn record(&self, wallet: WalletId) -> Option<WalletRecord> {
        match self.records.find(&[wallet.into()]).unwrap().pop().flatten() {
            Some((_, Record::Wallet(record))) => Some(record),
            _ => None,
        }
    }

    /// The registry of the next height.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.state.rules().registry
    }

    /// Goes on without payments up to the last height of the running epoch, which must be scheduled.
    pub fn run_to_close(&mut self) -> Height {
        let close = self.state.rules().epoch_at(self.state.head().height).unwrap().last_height.unwrap();
        while self.state.head().height < close {
            self.make_block(Vec::new());
        }
        close
    }

    /// A sealed batch.
    pub fn seal(&mut self, transactions: Vec<Transaction>) -> Batch {
        self.batches_sealed += 1;
        let content = BatchContent {
            chain: self.chain,
            epoch: self.epoch(),
            sealer: ValidatorIndex(0),
            sequence: self.batches_sealed,
            expires: TimestampMs(self.state.head().timestamp.0 + 30_000),
            transactions,
        };
        let key = self.validator_key(content.epoch, 0);
        content.seal(self.genesis, &key).1
    }

    /// Orders batches as the next block, executes it and certifies it.
    pub fn order(&mut self, batches: Vec<Batch>) {
        self.order_all(batches, Vec::new());
    }

    /// Orders bundles likewise.
    pub fn order_bundles(&mut self, bundles: Vec<Bundle>) {
        self.order_all(Vec::new(), bundles);
    }

    fn order_all(&mut self, batches: Vec<Batch>, bundles: Vec<Bundle>) {
        let head = self.state.head().clone();
        let body = BlockBody {
            batches: batches.iter().map(|batch| batch.content.digest(self.genesis)).collect(),
            bundles: bundles.iter().map(|bundle| bundle.digest(self.genesis)).collect(),
        };
        let counted: u64 = batches.iter().map(Batch::weight).sum();
        let mut claim = self.claim;
        if self.false_claim {
            claim.result.0[0] ^= 1;
        }
        let header = BlockHeader {
            chain: self.chain,
            epoch: self.epoch(),
            view: View(head.height.0 + 1),
            height: head.height.next(),
            parent: head.block,
            timestamp: TimestampMs(head.timestamp.0 + 50),
            proposer: ValidatorIndex(0),
            weight: self.forced_weight.unwrap_or(counted),
            base_fee: self.forced_base_fee.unwrap_or_else(|| self.base_fee()),
            claim,
            body: body.hash(),
        };
        let digest = header.digest(self.genesis);
        let certificate = self.certify(&header);
        let block = Block { header, body };
        let execution = self.state.execute(&self.records, &block, &batches, &bundles, &Sequential).unwrap();
        self.records.apply(&execution.writes);
        self.claim = Claim { height: execution.result.height, result: execution.result_hash };
        let parts = self.state.parts().encode();
        self.blocks.push(Made { block, digest, batches, bundles, certificate, execution, parts });
    }

    /// The base fee of the next block, by the rules of the height that it claims, which is the one below.
    pub fn base_fee(&self) -> FeeRate {
        let below = self.blocks.last().map(|made| (made.block.header.base_fee, made.block.header.weight));
        let (base_fee, weight) = below.unwrap_or((FeeRate::ZERO, 0));
        next_base_fee(&self.state.rules().params.fees, base_fee, weight)
    }

    /// The fee pool's money.
    pub fn fee_pool(&self) -> Amount {
        match self.records.records(&[Slot(0)]).unwrap().pop().flatten() {
            Some(Record::FeePool { balance }) => balance,
            other => panic!("no fee pool but {other:?}"),
        }
    }

    /// The receipts for a chain from number `first` on, up to the height that the last block claims.
    pub fn bundle(&self, destination: ChainId, first: usize) -> Bundle {
        let (last, below) = self.blocks.split_last().unwrap();
        let claimed = below.last().unwrap();
        let sent = below.iter().flat_map(|made| &made.execution.sent);
        let receipts: Vec<Receipt> =
            sent.filter(|sent| sent.destination == destination).map(|sent| sent.receipt.clone()).collect();
        let (mut before, mut total_before) = (AppendTree::default(), 0);
        for receipt in &receipts[..first] {
            assert!(before.append(RECEIPTS_TAG, receipt_leaf(receipt, total_before)));
            total_before += u128::from(receipt.value().fen());
        }
        let certified = CertifiedResult {
            result: claimed.execution.result.clone(),
            links: Vec::new(),
            header: last.block.header.clone(),
            finality: FinalityProof::decode(&last.certificate).unwrap(),
        };
        let pending = Pending { before: &before, total_before, receipts: &receipts[first..] };
        Bundle::prove(destination, pending, &claimed.execution.head.outboxes, certified, Vec::new()).unwrap()
    }

    /// The whole set lies: after the first `kept` receipts for a chain it has sent these, which the rules never did, and it certifies that
    /// as the result of the last height.
    pub fn forged_bundle(&self, destination: ChainId, kept: usize, forged: &[Receipt]) -> Bundle {
        let last = self.blocks.last().unwrap();
        let sent = self.blocks.iter().flat_map(|made| &made.execution.sent);
        let honest = sent.filter(|sent| sent.destination == destination).map(|sent| sent.receipt.clone());
        let receipts: Vec<Receipt> = honest.take(kept).chain(forged.iter().cloned()).collect();
        let (mut tree, mut total) = (AppendTree::default(), 0);
        for receipt in &receipts {
            assert!(tree.append(RECEIPTS_TAG, receipt_leaf(receipt, total)));
            total += u128::from(receipt.value().fen());
        }
        let (mut result, mut outboxes) =
            (last.execution.result.clone(), last.execution.head.outboxes.clone());
        let was = result.supply.pair(destination);
        result.supply.pairs.retain(|pair| pair.chain != destination);
        let sent = Counter { count: receipts.len() as u64, total };
        result.supply.pairs.push(PairCounters { chain: destination, sent, ..was });
        result.supply.pairs.sort_unstable_by_key(|pair| pair.chain);
        // Its books must balance, or nobody believes it: what it never had, it says it has issued.
        let held = u128::from(result.supply.holdings.fen()) + was.sent.total;
        let issued = u128::from(result.supply.issued.fen());
        let short = total.saturating_sub(held);
        result.supply.issued = Amount::from_fen(u64::try_from(issued + short).unwrap());
        result.supply.holdings = Amount::from_fen(u64::try_from(held + short - total).unwrap());
        outboxes.retain(|outbox| outbox.chain != destination);
        outboxes.push(Outbox { chain: destination, tree });
        outboxes.sort_unstable_by_key(|outbox| outbox.chain);
        result.outbox = outbox_root(&outboxes, &result.supply.pairs);
        let header = BlockHeader {
            height: result.height.next(),
            view: View(result.height.0 + 1),
            claim: Claim { height: result.height, result: result.hash(self.genesis) },
            ..last.block.header.clone()
        };
        let finality = FinalityProof::decode(&self.certify(&header)).unwrap();
        let certified = CertifiedResult { result, links: Vec::new(), header, finality };
        let before = AppendTree::default();
        let pending = Pending { before: &before, total_before: 0, receipts: &receipts };
        Bundle::prove(destination, pending, &outboxes, certified, Vec::new()).unwrap()
    }

    /// What a quorum's engine would hand out for a header.
    pub fn certify(&self, header: &BlockHeader) -> Vec<u8> {
        self.certify_by(header, header.epoch)
    }

    /// The same, signed by the set of any epoch.
    pub fn certify_by(&self, header: &BlockHeader, signers: Epoch) -> Vec<u8> {
        let digest = header.digest(self.genesis);
        let mut bytes = Vec::new();
        for number in [header.epoch.0, header.view.0, header.view.0 - 1] {
            varint(&mut bytes, number);
        }
        bytes.extend_from_slice(&digest.0);
        let namespace = [consensus_namespace(self.genesis, self.chain).as_slice(), b"_FINALIZE"].concat();
        let mut message = Vec::new();
        varint(&mut message, namespace.len() as u64);
        message.extend_from_slice(&namespace);
        message.extend_from_slice(&bytes);
        bytes.extend_from_slice(&4_u64.to_be_bytes());
        bytes.push(0b0111);
        varint(&mut bytes, 3);
        for seat in 0..3 {
            let key = ed25519_dalek::SigningKey::from_bytes(self.validator_key(signers, seat).seed());
            bytes.extend_from_slice(&key.sign(&message).to_bytes());
        }
        let proof = FinalityProof {
            chain: self.chain,
            epoch: header.epoch,
            view: header.view,
            parent_view: View(header.view.0 - 1),
            digest,
            bytes,
        };
        proof.encode()
    }

    pub fn identity(&self) -> Identity {
        Identity { schema_version: 1, genesis: self.genesis.0, chain: self.chain.0 }
    }

    /// Writes everything as a node does.
    pub fn store(&self, store: &dyn Store) {
        let mut set = WriteSet::new();
        set.put(Table::Meta, HEAD_ROW, self.genesis_head.clone());
        set.put(Table::Heights, key::height(0), self.genesis_digest.0);
        set.put(Table::Results, key::height(0), self.genesis_result.clone());
        set.put(Table::Registries, key::height(0), self.genesis_registry.clone());
        put_state(&mut set, &self.genesis_writes);
        store.write(set, Durability::Buffered).unwrap();
        for made in &self.blocks {
            store.write(made.writes(), Durability::Buffered).unwrap();
        }
        store.sync().unwrap();
    }

    /// The feed of an honest or dishonest node: what `blocks` hold now.
    pub fn source(&self) -> MemorySource {
        let blocks = self.blocks.iter().map(|made| AuditBlock {
            filed: None,
            block: made.block.clone(),
            batches: made.batches.iter().map(|batch| batch.encode()).collect(),
            bundles: made.bundles.iter().map(|bundle| bundle.encode()).collect(),
            certificate: Some(made.certificate.clone()),
        });
        MemorySource { blocks: blocks.collect(), page: 3 }
    }

    pub fn state_root(&self) -> ledger::values::StateRoot {
        self.state.head().state
    }
}

impl Made {
    fn writes(&self) -> WriteSet {
        let execution = &self.execution;
        let height = execution.result.height;
        let row = key::height(height.0);
        let mut set = WriteSet::new();
        for (digest, batch) in self.block.body.batches.iter().zip(&self.batches) {
            set.put(Table::Batches, digest.0, batch.encode());
        }
        for (digest, bundle) in self.block.body.bundles.iter().zip(&self.bundles) {
            set.put(Table::Bundles, digest.0, bundle.encode());
        }
        set.put(Table::Meta, HEAD_ROW, execution.head.encode());
        set.put(Table::Blocks, self.digest.0, self.block.encode());
        set.put(Table::Heights, row, self.digest.0);
        set.put(Table::Results, row, execution.result.encode());
        if let Some(registry) = &execution.registry {
            set.put(Table::Registries, row, registry.encode());
            for record in registry.chains.iter().filter(|_| execution.result.chain == CHAIN) {
                if matches!(record.birth, Birth::Child { height: born, .. } if born == height) {
                    set.put(Table::Meta, origin_parts_row(record.chain), self.parts.clone());
                }
            }
        }
        let mut outcomes = (execution.outcomes.len() as u64).to_le_bytes().to_vec();
        outcomes.extend(execution.outcomes.iter().flat_map(|outcome| outcome.encode()));
        set.put(Table::Outcomes, row, outcomes);
        set.put(Table::Certificates, row, self.certificate.clone());
        for outcome in &execution.outcomes {
            set.put(Table::Transactions, outcome.id.0, key::position(height.0, outcome.index));
        }
        for entry in &execution.history {
            let place = key::history(entry.slot.0, height.0, entry.index, entry.part);
            set.put(Table::History, place, entry.movement.encode());
        }
        put_receipts(&mut set, execution);
        put_state(&mut set, &execution.writes);
        set
    }
}

fn put_receipts(set: &mut WriteSet, execution: &Execution) {
    let height = execution.result.height;
    for sent in &execution.sent {
        let row = [height.0.to_le_bytes().as_slice(), &sent.receipt.encode()].concat();
        set.put(Table::Receipts, key::receipt(sent.destination.0, sent.sequence), row);
    }
    if !execution.sent.is_empty() {
        set.put(Table::Outboxes, key::height(height.0), outbox_row(&execution.head.outboxes));
    }
    for received in &execution.received {
        // None of these tests moves a payer whose refund is under way.
        if let Receipt::Refund { chain, credit, .. } = received.receipt {
            let came_as = key::receipt(received.source.0, received.sequence);
            set.put(Table::Refunds, key::receipt(chain.0, credit), came_as);
        }
    }
}

/// The bytes of `chain::rows::Outboxes`: as a state head holds its outboxes.
pub fn outbox_row(outboxes: &[Outbox]) -> Vec<u8> {
    let mut bytes = (outboxes.len() as u64).to_le_bytes().to_vec();
    for Outbox { chain, tree } in outboxes {
        bytes.extend_from_slice(&chain.0.to_le_bytes());
        bytes.extend_from_slice(&tree.count.to_le_bytes());
        bytes.extend_from_slice(&(tree.peaks.len() as u64).to_le_bytes());
        bytes.extend(tree.peaks.iter().flat_map(|peak| peak.0));
    }
    bytes
}

fn put_state(set: &mut WriteSet, writes: &StateWrites) {
    for (slot, record) in &writes.records {
        set.put(Table::Records, key::slot(slot.0), record.encode());
    }
    for (id, slot) in &writes.opened {
        set.put(Table::Slots, id.0, key::slot(slot.0));
    }
}

fn secret(number: u64) -> SecretKey {
    let mut seed = [9; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    SecretKey::from_seed(seed)
}

fn varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(0x80 | (number & 0x7f) as u8);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Blocks in memory, a few to a page.
pub struct MemorySource {
    pub blocks: VecDeque<AuditBlock>,
    pub page: usize,
}

impl Source for MemorySource {
    fn next_page(&mut self) -> Result<Vec<AuditBlock>, AuditError> {
        let count = self.page.min(self.blocks.len());
        Ok(self.blocks.drain(..count).collect())
    }

    fn height_hint(&self) -> Option<u64> {
        None
    }
}
