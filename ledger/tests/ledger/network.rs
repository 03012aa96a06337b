//! A small network for tests: a central bank and four banks, and a ledger of one of its chains that executes what it is
//! given.

use std::sync::Arc;

use ledger::proofs::{CertifiedResult, FinalityProof, SetLink, consensus_namespace};
use ledger::records::batch::BATCH_LIFE_MS_MAX;
use ledger::records::transaction::network_tag;
use ledger::records::{
    Batch, BatchContent, Block, BlockBody, BlockHeader, Bundle, ChainParams, ChainSpec, Claim, EpochRecord,
    FeeBid, GenesisSpec, HeightResult, NodeRecord, Nonce, NotExecuted, Operation, OperatorRecord,
    OperatorRole, Payment, Policy, Record, Registry, Rejection, Tier, Transaction, TransactionContent,
    ValidatorRecord, WalletOpening, WalletRecord,
};
use ledger::rules::{BatchFacts, ParentFacts};
use ledger::state::chain_state::FEE_POOL_SLOT;
use ledger::state::{ChainState, Execution, MemoryReader, StateReader as _};
use ledger::values::{
    Amount, BatchDigest, ChainId, Currency, FeeRate, GenesisHash, Hash, Height, NodeIndex, OperatorId,
    PublicKey, SecretKey, Sequential, TimestampMs, ValidatorIndex, View, WalletId,
};

/// How many random schedules of a kind are run: as many as `JIAOZI_SCHEDULES` asks for (`make schedules COUNT=1000`), else the usual share
/// of CI.
pub(crate) fn schedules(usual: u32) -> u32 {
    std::env::var("JIAOZI_SCHEDULES").ok().and_then(|asked| asked.parse().ok()).unwrap_or(usual)
}

/// The chain of most tests.
pub(crate) const CHAIN: ChainId = ChainId(0);
/// For blocks without any.
pub(crate) const NO_BUNDLES: &[Bundle] = &[];
/// The timestamp of genesis.
pub(crate) const START: TimestampMs = TimestampMs(1_700_000_000_000);
/// Operator 0 is the central bank; 1 to 4 are banks.
pub(crate) const OPERATORS: u16 = 5;
/// How long a batch of the tests lives.
const BATCH_LIFE_MS: u64 = BATCH_LIFE_MS_MAX / 2;

/// A key from a number; kinds of keys never meet.
fn key(kind: u8, number: u64) -> SecretKey {
    let mut seed = [kind; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    SecretKey::from_seed(seed)
}

/// The key of an operator's own wallet.
pub(crate) fn operator_key(operator: u16) -> SecretKey {
    key(1, u64::from(operator))
}

/// The key of a customer's wallet.
pub(crate) fn customer_key(customer: u64) -> SecretKey {
    key(2, customer)
}

/// The consensus keys in the order of the validator set.
pub(crate) fn consensus_keys() -> Vec<SecretKey> {
    let mut keys: Vec<_> = (0..4).map(|validator| key(3, validator)).collect();
    keys.sort_by_key(SecretKey::public_key);
    keys
}

/// The consensus key of a validator that joins later, or that a validator changes to.
pub(crate) fn later_key(number: u64) -> SecretKey {
    key(3, 1_000 + number)
}

/// An operator's cold key.
pub(crate) fn cold_key(operator: u16) -> SecretKey {
    key(4, u64::from(operator))
}

/// A node's network key.
pub(crate) fn network_key(node: u16) -> SecretKey {
    key(5, u64::from(node))
}

/// Every consensus key of the tests, by the public one.
fn secret_of(public: PublicKey) -> SecretKey {
    let known = consensus_keys().into_iter().chain((0..64).map(later_key));
    known.into_iter().find(|secret| secret.public_key() == public).unwrap()
}

/// The genesis spec of the tests.
pub(crate) fn spec() -> GenesisSpec {
    let operator = |id: u16| OperatorRecord {
        name: if id == 0 { "Central Bank".into() } else { format!("Bank {id}") },
        role: if id == 0 { OperatorRole::CentralBank } else { OperatorRole::Bank },
        key: cold_key(id).public_key(),
        wallet_policy: Policy::single(operator_key(id).public_key()),
    };
    let node = |bank: u16| NodeRecord {
        operator: OperatorId(bank),
        network_key: network_key(bank).public_key(),
        address: format!("127.0.0.1:{}", 9_000 + bank),
    };
    let keys = consensus_keys();
    let validators = keys.iter().zip(0..).map(|(key, index)| ValidatorRecord {
        operator: OperatorId(index + 1),
        node: NodeIndex(index),
        consensus_key: key.public_key(),
    });
    GenesisSpec {
        network: "test".into(),
        timestamp: START,
        operators: (0..OPERATORS).map(operator).collect(),
        nodes: (1..OPERATORS).map(node).collect(),
        chains: vec![ChainSpec {
            chain: CHAIN,
            currency: Currency(*b"CNY"),
            shard: 0,
            params: ChainParams::default(),
            validators: validators.collect(),
        }],
    }
}

/// Who signs: a wallet with the key that rules it.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    pub(crate) wallet: WalletId,
    pub(crate) key: SecretKey,
}

/// What a transaction became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Became {
    Applied,
    Rejected(Rejection),
    Skipped(NotExecuted),
}

/// A ledger that is driven block by block.
pub(crate) struct Network {
    pub(crate) spec: GenesisSpec,
    pub(crate) chain: ChainId,
    pub(crate) genesis: GenesisHash,
    pub(crate) state: ChainState,
    pub(crate) records: MemoryReader,
    pub(crate) parent: ParentFacts,
    /// Every executed height, from height 1.
    pub(crate) heights: Vec<(Block, Vec<Batch>, Execution)>,
    /// The bundles of the same heights.
    pub(crate) bundles: Vec<Vec<Bundle>>,
    pub(crate) genesis_result: HeightResult,
    /// Every epoch that the chain has had or has scheduled.
    pub(crate) epochs: Vec<EpochRecord>,
    /// The registry that it began with.
    pub(crate) born: Arc<Registry>,
    /// The base fee of the next blocks, where a test sets it; else what the parent makes it.
    pub(crate) base_fee: Option<FeeRate>,
    sequence: u64,
}

impl Network {
    pub(crate) fn new() -> Self {
        Self::with_params(ChainParams::default())
    }

    pub(crate) fn with_params(params: ChainParams) -> Self {
        let mut spec = spec();
        spec.chains[0].params = params;
        Self::of(spec, CHAIN)
    }

    /// One chain of a network.
    pub(crate) fn of(spec: GenesisSpec, chain: ChainId) -> Self {
        let registry = Arc::new(Registry::from_genesis(&spec));
        Self::begun(spec, registry, chain)
    }

    /// One chain that begins with this registry.
    pub(crate) fn begun(spec: GenesisSpec, born: Arc<Registry>, chain: ChainId) -> Self {
        let (state, writes, genesis_result) =
            ChainState::begin(spec.hash(), born.clone(), chain, spec.timestamp).unwrap();
        let mut records = MemoryReader::default();
        records.apply(&writes);
        let parent = ParentFacts::genesis(state.rules(), START, state.head().result);
        let genesis = spec.hash();
        let (heights, bundles) = (Vec::new(), Vec::new());
        let epochs = state.rules().registry.chain(chain).unwrap().epochs.clone();
        Self {
            spec,
            chain,
            genesis,
            state,
            records,
            parent,
            heights,
            bundles,
            genesis_result,
            epochs,
            born,
            base_fee: None,
            sequence: 0,
        }
    }

    fn currency(&self) -> Currency {
        self.state.rules().currency
    }

    /// An operator's own wallet.
    pub(crate) fn operator(&self, id: u16) -> Signer {
        let wallet =
            self.state.rules().registry.operator_wallet(self.genesis, self.currency(), OperatorId(id));
        Signer { wallet: wallet.unwrap(), key: operator_key(id) }
    }

    /// A customer's wallet, opened or not.
    pub(crate) fn customer(&self, number: u64) -> Signer {
        let opening = self.opening(number, Tier::One);
        let wallet = WalletId::derive(self.genesis, self.currency(), opening.policy, &opening.salt);
        Signer { wallet, key: customer_key(number) }
    }

    /// The opening that makes [`Self::customer`].
    pub(crate) fn opening(&self, number: u64, tier: Tier) -> WalletOpening {
        let policy = Policy::single(customer_key(number).public_key()).hash();
        WalletOpening { policy, salt: [7; 16], tier }
    }

    /// A transaction of `signer`, in lane 0, valid for a minute from the next block on.
    pub(crate) fn content(&self, signer: &Signer, sequence: u64, operation: Operation) -> TransactionContent {
        TransactionContent {
            network: network_tag(self.genesis),
            chain: self.chain,
            wallet: signer.wallet,
            nonce: Nonce { lane: 0, sequence },
            valid_until: TimestampMs(self.next_timestamp().0 + 60_000),
            fee: FeeBid::default(),
            policy: Policy::single(signer.key.public_key()),
            operation,
        }
    }

    pub(crate) fn transaction(&self, signer: &Signer, sequence: u64, operation: Operation) -> Transaction {
        self.content(signer, sequence, operation).signed_by(self.genesis, &signer.key)
    }

    /// The next open sequence of lane 0 of a wallet.
    pub(crate) fn next_sequence(&self, wallet: &WalletId) -> u64 {
        self.wallet(wallet).map_or(1, |wallet| wallet.lanes.first().map_or(1, |lane| lane.highest + 1))
    }

    pub(crate) fn wallet(&self, id: &WalletId) -> Option<WalletRecord> {
        self.records.wallets(&[*id]).unwrap().remove(0).map(|(_, wallet)| wallet)
    }

    pub(crate) fn balance(&self, id: &WalletId) -> u64 {
        self.wallet(id).unwrap().balance.fen()
    }

    pub(crate) fn next_timestamp(&self) -> TimestampMs {
        TimestampMs(self.parent.timestamp.0 + 50)
    }

    /// The epoch that decides the next height.
    pub(crate) fn next_epoch(&self) -> &EpochRecord {
        let height = self.parent.height.next();
        self.epochs.iter().find(|epoch| epoch.decides(height)).unwrap()
    }

    /// Seals transactions into a batch of validator 0.
    pub(crate) fn seal(&mut self, transactions: Vec<Transaction>) -> (BatchDigest, Batch) {
        self.seal_by(ValidatorIndex(0), transactions)
    }

    /// Seals transactions into a batch of a validator.
    pub(crate) fn seal_by(
        &mut self,
        sealer: ValidatorIndex,
        transactions: Vec<Transaction>,
    ) -> (BatchDigest, Batch) {
        self.sequence += 1;
        let epoch = self.next_epoch();
        let (epoch, secret) = (epoch.epoch, secret_of(epoch.keys()[usize::from(sealer.0)]));
        let content = BatchContent {
            chain: self.chain,
            epoch,
            sealer,
            sequence: self.sequence,
            expires: TimestampMs(self.next_timestamp().0 + BATCH_LIFE_MS),
            transactions,
        };
        content.seal(self.genesis, &secret)
    }

    /// A valid next block of these batches, claiming the result of the height before.
    pub(crate) fn block(&self, batches: &[(BatchDigest, Batch)]) -> Block {
        self.block_of(batches, NO_BUNDLES)
    }

    fn block_of(&self, batches: &[(BatchDigest, Batch)], bundles: &[Bundle]) -> Block {
        let body = BlockBody {
            batches: batches.iter().map(|(digest, _)| *digest).collect(),
            bundles: bundles.iter().map(|bundle| bundle.digest(self.genesis)).collect(),
        };
        let header = BlockHeader {
            chain: self.chain,
            epoch: self.next_epoch().epoch,
            view: View(self.parent.view.0 + 1),
            height: self.parent.height.next(),
            parent: self.parent.digest,
            timestamp: self.next_timestamp(),
            proposer: ValidatorIndex(1),
            weight: batches.iter().map(|(_, batch)| batch.weight()).sum(),
            base_fee: self.base_fee.unwrap_or_else(|| self.parent.next_base_fee(self.state.rules())),
            claim: Claim { height: self.parent.height, result: self.state.head().result },
            body: body.hash(),
        };
        Block { header, body }
    }

    /// Executes one block with the transactions as one batch (none: an empty block) and keeps it.
    pub(crate) fn run(&mut self, transactions: Vec<Transaction>) -> Execution {
        self.run_with(transactions, Vec::new())
    }

    /// Executes one block with these transactions and these bundles.
    pub(crate) fn run_with(&mut self, transactions: Vec<Transaction>, bundles: Vec<Bundle>) -> Execution {
        let batches = if transactions.is_empty() { Vec::new() } else { vec![self.seal(transactions)] };
        self.run_batches(batches, bundles)
    }

    /// Executes one block with these batches and these bundles.
    pub(crate) fn run_batches(
        &mut self,
        batches: Vec<(BatchDigest, Batch)>,
        bundles: Vec<Bundle>,
    ) -> Execution {
        let block = self.block_of(&batches, &bundles);
        let batches: Vec<Batch> = batches.into_iter().map(|(_, batch)| batch).collect();
        let execution = self.state.execute(&self.records, &block, &batches, &bundles, &Sequential).unwrap();
        self.records.apply(&execution.writes);
        self.parent = ParentFacts::of(&block.header, self.genesis);
        if execution.registry.is_some() {
            for epoch in &self.state.rules().registry.chain(self.chain).unwrap().epochs {
                match self.epochs.iter_mut().find(|known| known.epoch == epoch.epoch) {
                    Some(known) => known.clone_from(epoch),
                    None => self.epochs.push(epoch.clone()),
                }
            }
        }
        self.heights.push((block, batches, execution.clone()));
        self.bundles.push(bundles);
        execution
    }

    /// Executes one transaction alone and says what it became.
    pub(crate) fn run_one(&mut self, transaction: Transaction) -> Became {
        became(&self.run(vec![transaction]), 0)
    }

    /// Runs an operation with the signer's next nonce.
    pub(crate) fn act(&mut self, signer: &Signer, operation: Operation) -> Became {
        let transaction = self.transaction(signer, self.next_sequence(&signer.wallet), operation);
        self.run_one(transaction)
    }

    /// Opens customers `from..to` of a tier at bank 1.
    pub(crate) fn open(&mut self, customers: std::ops::Range<u64>, tier: Tier) {
        let wallets: Vec<_> = customers.map(|number| self.opening(number, tier)).collect();
        for wallets in wallets.chunks(64) {
            let became = self.act(&self.operator(1), Operation::OpenWallets { wallets: wallets.to_vec() });
            assert_eq!(became, Became::Applied);
        }
    }

    /// Issues to bank 1, which pays it on.
    pub(crate) fn fund(&mut self, wallet: &WalletId, fen: u64) {
        let bank = self.operator(1);
        let issue = Operation::Issue { to: bank.wallet, amount: Amount::from_fen(fen) };
        assert_eq!(self.act(&self.operator(0), issue), Became::Applied);
        if *wallet != bank.wallet {
            assert_eq!(self.act(&bank, pay(&[(*wallet, fen)])), Became::Applied);
        }
    }

    /// Replaces a wallet's record behind the rules' back, as operations of later formats will.
    pub(crate) fn plant(&mut self, id: &WalletId, change: impl FnOnce(&mut WalletRecord)) {
        let (slot, mut wallet) = self.records.wallets(&[*id]).unwrap().remove(0).unwrap();
        change(&mut wallet);
        let planted =
            ledger::state::StateWrites { records: vec![(slot, Record::Wallet(wallet))], opened: Vec::new() };
        self.records.apply(&planted);
    }

    /// A certified result of `height`, claimed by the block at `by`, with a certificate of three validators.
    pub(crate) fn certified(&self, height: u64, by: u64) -> CertifiedResult {
        let header = self.heights[by as usize - 1].0.header.clone();
        let results: Vec<&HeightResult> =
            self.heights.iter().map(|(_, _, execution)| &execution.result).collect();
        let result =
            height.checked_sub(1).map_or(&self.genesis_result, |place| results[place as usize]).clone();
        let claimed = header.claim.height.0;
        let links: Vec<Hash> =
            (height..claimed).map(|place| results[place as usize].content_hash()).collect();
        let finality = self.finality(&header);
        CertifiedResult { result, links, header, finality }
    }

    /// A certificate on a header, signed by all but validator 2 of its epoch as the engine's validators would.
    pub(crate) fn finality(&self, header: &BlockHeader) -> FinalityProof {
        let digest = header.digest(self.genesis);
        let (view, parent_view) = (header.view, View(header.view.0 - 1));
        let keys = self.epochs.iter().find(|epoch| epoch.epoch == header.epoch).unwrap().keys();
        let mut proposal = Vec::new();
        for number in [header.epoch.0, view.0, parent_view.0] {
            proposal.extend(varint(number));
        }
        proposal.extend(digest.0);
        let namespace = [consensus_namespace(self.genesis, self.chain), b"_FINALIZE".to_vec()].concat();
        let message = [varint(namespace.len() as u64), namespace, proposal.clone()].concat();
        let mut bytes = proposal;
        bytes.extend((keys.len() as u64).to_be_bytes());
        bytes.push(((1_u16 << keys.len()) - 1) as u8 & 0b1111_1011);
        bytes.push(keys.len() as u8 - 1);
        for (_, key) in keys.iter().enumerate().filter(|(index, _)| *index != 2) {
            bytes.extend(sign_raw(&secret_of(*key), &message));
        }
        FinalityProof { chain: self.chain, epoch: header.epoch, view, parent_view, digest, bytes }
    }

    /// Every change of set so far: epochs that have ended.
    pub(crate) fn set_links(&self) -> Vec<SetLink> {
        let ended = self.epochs.iter().zip(self.epochs.iter().skip(1));
        ended
            .filter(|(before, _)| before.last_height.is_some_and(|last| last <= self.height()))
            .map(|(before, set)| {
                let last = before.last_height.unwrap().0;
                let set = EpochRecord { last_height: None, ..set.clone() };
                SetLink { certified: self.certified(last - 1, last), set }
            })
            .collect()
    }

    /// The facts of the batches of an executed height.
    pub(crate) fn facts(&self, height: u64) -> Vec<BatchFacts> {
        let (block, batches, _) = &self.heights[height as usize - 1];
        block.body.batches.iter().zip(batches).map(|(digest, batch)| BatchFacts::of(*digest, batch)).collect()
    }

    /// What the fee pool holds, in fen.
    pub(crate) fn fee_pool(&self) -> u64 {
        let record = self.records.records(&[FEE_POOL_SLOT]).unwrap().remove(0);
        let Some(Record::FeePool { balance }) = record else { panic!("slot 0 is the fee pool: {record:?}") };
        balance.fen()
    }

    pub(crate) fn height(&self) -> Height {
        self.state.head().height
    }
}

/// What the transaction at `index` of a block became.
pub(crate) fn became(execution: &Execution, index: u32) -> Became {
    if let Some(skipped) = execution.skipped.iter().find(|skipped| skipped.index == index) {
        return Became::Skipped(skipped.reason);
    }
    let outcome = execution.outcomes.iter().find(|outcome| outcome.index == index).unwrap();
    outcome.rejection().map_or(Became::Applied, Became::Rejected)
}

/// A `Pay` of these payees and amounts in fen.
pub(crate) fn pay(payments: &[(WalletId, u64)]) -> Operation {
    let payments =
        payments.iter().map(|(payee, fen)| Payment { payee: *payee, amount: Amount::from_fen(*fen) });
    Operation::Pay { payments: payments.collect() }
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Signs bytes as they are, as the consensus engine does.
pub(crate) fn sign_raw(key: &SecretKey, message: &[u8]) -> [u8; 64] {
    use ed25519_dalek::Signer as _;
    ed25519_dalek::SigningKey::from_bytes(key.seed()).sign(message).to_bytes()
}
