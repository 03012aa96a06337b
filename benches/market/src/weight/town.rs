//! A town to measure in: three chains (two shards of CNY, one of HKD) held in memory, their wallets, and whoever signs for
//! them. Blocks are executed by the ledger alone; nothing here votes, sends or stores.

use std::collections::BTreeMap;

use ledger::proofs::{CertifiedResult, FinalityProof, consensus_namespace};
use ledger::records::transaction::network_tag;
use ledger::records::{
    Batch, BatchContent, Block, BlockBody, BlockHeader, Bundle, ChainParams, ChainSpec, Claim, FeeBid,
    FeeParams, GenesisSpec, NodeRecord, Nonce, Operation, OperatorRecord, OperatorRole, Payment, Pending,
    Policy, Receipt, Sponsor, Tier, Transaction, TransactionContent, ValidatorRecord, WalletOpening,
};
use ledger::rules::weight::batch_weight;
use ledger::state::outbox::{RECEIPTS_TAG, receipt_leaf};
use ledger::state::{ChainState, Execution, MemoryReader, Outbox, StateReader as _};
use ledger::values::{
    Amount, AppendTree, BatchDigest, ChainId, Currency, Epoch, FeeRate, GenesisHash, NodeIndex, OperatorId,
    SecretKey, Sequential, TimestampMs, ValidatorIndex, View, WalletId, quorum,
};

/// The shard whose blocks are measured; the root chain.
pub(crate) const HOME: usize = 0;
/// The other shard of its currency.
pub(crate) const NEIGHBOUR: usize = 1;
/// The chain of the other currency.
pub(crate) const ABROAD: usize = 2;

/// What is measured is charged at this rate: what that costs is part of it.
const RATE: FeeRate = FeeRate::from_micro_fen(20_000);
/// What every transaction bids and every payer has: more than it can owe.
const BID: Amount = Amount::from_fen(1_000_000);
const FUNDS_FEN: u64 = 100_000_000;
/// What the central bank issues to every operator.
const ISSUED_FEN: u64 = 10_000_000_000_000;

/// One in so many customers pays, so that payers lie all over the tree.
pub(crate) const STRIDE: u64 = 25;
const TWO_OF_THREE_EVERY: u64 = 2 * STRIDE;
const SIXTEEN_EVERY: u64 = 20 * STRIDE;
const WALLETS_PER_OPENING: usize = 64;
const TRANSACTIONS_PER_BLOCK: usize = 64;

/// Who signs: a wallet with the policy that rules it and the secret keys of that policy, in its order.
#[derive(Clone)]
pub(crate) struct Signer {
    pub(crate) wallet: WalletId,
    pub(crate) policy: Policy,
    pub(crate) secrets: Vec<SecretKey>,
}

/// What somebody does.
pub(crate) struct Deed {
    pub(crate) signer: Signer,
    pub(crate) operation: Operation,
    pub(crate) sponsor: Option<Signer>,
    pub(crate) tip: Amount,
}

/// One chain.
pub(crate) struct Chain {
    pub(crate) state: ChainState,
    pub(crate) records: MemoryReader,
    /// The customers' wallets, by number; empty where none were opened.
    wallets: Vec<WalletId>,
}

/// Receipts of one block for another chain.
pub(crate) struct Sent {
    to: ChainId,
    before: AppendTree,
    total_before: u128,
    pub(crate) receipts: Vec<Receipt>,
    outboxes: Vec<Outbox>,
    certified: CertifiedResult,
}

/// All chains, and the keys of everybody.
pub(crate) struct Town {
    pub(crate) genesis: GenesisHash,
    pub(crate) chains: Vec<Chain>,
    pub(crate) banks: u16,
    consensus: Vec<SecretKey>,
    /// Per source and destination: what was bundled already.
    lines: BTreeMap<(usize, usize), (AppendTree, u128)>,
}

/// A key from a number; kinds of keys never meet.
fn key(kind: u8, number: u64) -> SecretKey {
    let mut seed = [kind; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    SecretKey::from_seed(seed)
}

/// An operator's cold key.
pub(crate) fn cold_key(operator: u16) -> SecretKey {
    key(4, u64::from(operator))
}

fn operator_key(operator: u16) -> SecretKey {
    key(1, u64::from(operator))
}

/// Well spread numbers, the same at every run (SplitMix64).
pub(crate) fn spread(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The policy of a customer with its keys, in the policy's order.
fn policy_of(customer: u64) -> (Policy, Vec<SecretKey>) {
    let (threshold, keys) = match customer {
        two if two % TWO_OF_THREE_EVERY == 1 => (2, 3),
        sixteen if sixteen % SIXTEEN_EVERY == 2 => (16, 16),
        _ => (1, 1),
    };
    let mut secrets: Vec<SecretKey> = (0..keys).map(|place| key(2, 16 * customer + place)).collect();
    secrets.sort_by_key(SecretKey::public_key);
    let policy = Policy::new(threshold, secrets.iter().map(SecretKey::public_key).collect()).unwrap();
    (policy, secrets)
}

fn params() -> ChainParams {
    // One block over the target leads to the ceiling.
    let fees = FeeParams { weight_target: 10_000, step_min: RATE, rate_max: RATE, ..FeeParams::default() };
    ChainParams { fees, ..ChainParams::default() }
}

fn spec(banks: u16, consensus: &[SecretKey]) -> GenesisSpec {
    let operator = |id: u16| OperatorRecord {
        name: if id == 0 { "Central Bank".into() } else { format!("Bank {id}") },
        role: if id == 0 { OperatorRole::CentralBank } else { OperatorRole::Bank },
        key: cold_key(id).public_key(),
        wallet_policy: Policy::single(operator_key(id).public_key()),
    };
    let node = |bank: u16| NodeRecord {
        operator: OperatorId(bank),
        network_key: key(5, u64::from(bank)).public_key(),
        address: format!("127.0.0.1:{}", 9_000 + bank),
    };
    let validators = consensus.iter().zip(0..).map(|(key, index)| ValidatorRecord {
        operator: OperatorId(index + 1),
        node: NodeIndex(index),
        consensus_key: key.public_key(),
    });
    let validators: Vec<ValidatorRecord> = validators.collect();
    let chain = |chain: u32, currency: &[u8; 3], shard: u16| ChainSpec {
        chain: ChainId(chain),
        currency: Currency(*currency),
        shard,
        params: params(),
        validators: validators.clone(),
    };
    GenesisSpec {
        network: "market".into(),
        timestamp: TimestampMs(1_700_000_000_000),
        operators: (0..=banks).map(operator).collect(),
        nodes: (1..=banks).map(node).collect(),
        chains: vec![chain(0, b"CNY", 0), chain(1, b"CNY", 1), chain(2, b"HKD", 0)],
    }
}

impl Town {
    /// A central bank and so many banks, each with one validator on every chain; so many wallets on the root chain and on the
    /// foreign one. Every operator has money, and every customer that pays.
    pub(crate) fn new(banks: u16, wallets: u64) -> Self {
        let mut consensus: Vec<SecretKey> = (0..u64::from(banks)).map(|bank| key(3, bank)).collect();
        consensus.sort_by_key(SecretKey::public_key);
        let spec = spec(banks, &consensus);
        let begin = |chain: &ChainSpec| {
            let (state, writes, _) = ChainState::genesis(&spec, chain.chain).unwrap();
            let mut records = MemoryReader::default();
            records.apply(&writes);
            Chain { state, records, wallets: Vec::new() }
        };
        let chains = spec.chains.iter().map(begin).collect();
        let mut town = Self { genesis: spec.hash(), chains, banks, consensus, lines: BTreeMap::new() };
        for chain in [HOME, NEIGHBOUR, ABROAD] {
            let issue = |id| Operation::Issue {
                to: town.operator(chain, id).wallet,
                amount: Amount::from_fen(ISSUED_FEN),
            };
            let deeds = (0..=banks).map(|id| deed(town.operator(chain, 0), issue(id))).collect();
            town.run(chain, deeds, Vec::new());
        }
        if wallets > 0 {
            town.populate(HOME, wallets);
            town.populate(ABROAD, wallets);
        }
        town
    }

    /// An operator's own wallet.
    pub(crate) fn operator(&self, chain: usize, id: u16) -> Signer {
        let rules = self.chains[chain].state.rules();
        let wallet = rules.registry.operator_wallet(self.genesis, rules.currency, OperatorId(id)).unwrap();
        let secret = operator_key(id);
        Signer { wallet, policy: Policy::single(secret.public_key()), secrets: vec![secret] }
    }

    /// A bank's, going round.
    pub(crate) fn bank(&self, chain: usize, number: u64) -> Signer {
        self.operator(chain, 1 + u16::try_from(number % u64::from(self.banks)).unwrap())
    }

    /// A customer that pays, with one key.
    pub(crate) fn payer(&self, chain: usize, number: u64) -> Signer {
        self.customer(chain, STRIDE * number)
    }

    /// One with two of three keys.
    pub(crate) fn two_of_three(&self, chain: usize, number: u64) -> Signer {
        self.customer(chain, TWO_OF_THREE_EVERY * number + 1)
    }

    /// One with sixteen of sixteen keys.
    pub(crate) fn sixteen(&self, chain: usize, number: u64) -> Signer {
        self.customer(chain, SIXTEEN_EVERY * number + 2)
    }

    /// Some customer's wallet that no payer has.
    pub(crate) fn payee(&self, chain: usize, number: u64) -> WalletId {
        let wallets = &self.chains[chain].wallets;
        let group = spread(number) % (wallets.len() as u64 / STRIDE);
        wallets[usize::try_from(STRIDE * group + 3 + spread(!number) % (STRIDE - 3)).unwrap()]
    }

    /// A wallet of the other shard that nobody has opened.
    pub(crate) fn stranger(&self, number: u64) -> WalletId {
        let rules = self.chains[HOME].state.rules();
        let id = |round: u64| {
            let mut id = [9; 32];
            id[..8].copy_from_slice(&spread(number).wrapping_add(round).to_be_bytes());
            WalletId(id)
        };
        (0..).map(id).find(|id| rules.home(id) == ChainId(NEIGHBOUR as u32)).unwrap()
    }

    fn customer(&self, chain: usize, number: u64) -> Signer {
        let (policy, secrets) = policy_of(number);
        let wallet = self.chains[chain].wallets[usize::try_from(number).unwrap()];
        Signer { wallet, policy, secrets }
    }

    /// An opening of a wallet that is at home on this chain, with its id.
    pub(crate) fn opening(&self, chain: usize, number: u64, policy: &Policy) -> (WalletOpening, WalletId) {
        let rules = self.chains[chain].state.rules();
        let opening = |round: u64| {
            let mut salt = [7; 16];
            salt[..8].copy_from_slice(&number.to_le_bytes());
            salt[8..].copy_from_slice(&round.to_le_bytes());
            let opening = WalletOpening { policy: policy.hash(), salt, tier: Tier::One };
            (opening, WalletId::derive(self.genesis, rules.currency, opening.policy, &salt))
        };
        (0..).map(opening).find(|(_, id)| rules.home(id) == rules.chain).unwrap()
    }

    fn populate(&mut self, chain: usize, wallets: u64) {
        let opened: Vec<(WalletOpening, WalletId)> =
            (0..wallets).map(|number| self.opening(chain, number, &policy_of(number).0)).collect();
        self.chains[chain].wallets = opened.iter().map(|(_, id)| *id).collect();
        let openings: Vec<WalletOpening> = opened.into_iter().map(|(opening, _)| opening).collect();
        let open = |wallets: &[WalletOpening]| Operation::OpenWallets { wallets: wallets.to_vec() };
        self.run_all(chain, openings.chunks(WALLETS_PER_OPENING).map(open).collect());
        let pays = |number: &u64| matches!(number % STRIDE, 0..=2);
        let paid: Vec<Payment> = (0..wallets)
            .filter(pays)
            .map(|number| Payment {
                payee: self.chains[chain].wallets[usize::try_from(number).unwrap()],
                amount: Amount::from_fen(FUNDS_FEN),
            })
            .collect();
        let pay = |payments: &[Payment]| Operation::Pay { payments: payments.to_vec() };
        self.run_all(chain, paid.chunks(WALLETS_PER_OPENING).map(pay).collect());
    }

    /// Executes these operations of the banks, in blocks.
    fn run_all(&mut self, chain: usize, operations: Vec<Operation>) {
        let mut deeds: Vec<Deed> = (0..)
            .zip(operations)
            .map(|(number, operation)| deed(self.bank(chain, number), operation))
            .collect();
        while !deeds.is_empty() {
            let rest = deeds.split_off(deeds.len().min(TRANSACTIONS_PER_BLOCK));
            self.run(chain, deeds, Vec::new());
            deeds = rest;
        }
    }

    /// Signs deeds, each with the next nonce of its wallet.
    pub(crate) fn sign(&self, chain: usize, deeds: Vec<Deed>) -> Vec<Transaction> {
        let mut used: BTreeMap<WalletId, u64> = BTreeMap::new();
        let there = &self.chains[chain];
        let sign = |deed: Deed| {
            let sequence = used.entry(deed.signer.wallet).or_insert_with_key(|wallet| there.used(wallet));
            *sequence += 1;
            self.sign_one(chain, deed, *sequence)
        };
        deeds.into_iter().map(sign).collect()
    }

    fn sign_one(&self, chain: usize, deed: Deed, sequence: u64) -> Transaction {
        let Deed { signer, operation, sponsor, tip } = deed;
        let head = self.chains[chain].state.head();
        let named = |sponsor: &Signer| Sponsor { wallet: sponsor.wallet, policy: sponsor.policy.clone() };
        let content = TransactionContent {
            network: network_tag(self.genesis),
            chain: head.chain,
            wallet: signer.wallet,
            nonce: Nonce { lane: 0, sequence },
            valid_until: TimestampMs(head.timestamp.0 + 60_000),
            fee: FeeBid { fee_max: BID, tip, operator: OperatorId(1), sponsor: sponsor.as_ref().map(named) },
            policy: signer.policy.clone(),
            operation,
        };
        let keys = |signer: &Signer| (0..signer.policy.threshold).zip(signer.secrets.clone());
        let signatures =
            keys(&signer).map(|(place, secret)| content.sign(self.genesis, place, &secret)).collect();
        let sponsor_signatures = sponsor.iter().flat_map(|sponsor| {
            keys(sponsor).map(|(place, secret)| content.sign_as_sponsor(self.genesis, place, &secret))
        });
        let sponsor_signatures = sponsor_signatures.collect();
        Transaction { content, signatures, sponsor_signatures }
    }

    /// Seals transactions for the next block of a chain.
    pub(crate) fn seal(&self, chain: usize, transactions: Vec<Transaction>) -> (BatchDigest, Batch) {
        let head = self.chains[chain].state.head();
        let content = BatchContent {
            chain: head.chain,
            epoch: Epoch(0),
            sealer: ValidatorIndex(0),
            sequence: head.height.next().0,
            expires: TimestampMs(head.timestamp.0 + 10_000),
            transactions,
        };
        content.seal(self.genesis, &self.consensus[0])
    }

    /// The next block of a chain.
    pub(crate) fn block(&self, chain: usize, batches: &[(BatchDigest, Batch)], bundles: &[Bundle]) -> Block {
        let head = self.chains[chain].state.head();
        let body = BlockBody {
            batches: batches.iter().map(|(digest, _)| *digest).collect(),
            bundles: bundles.iter().map(|bundle| bundle.digest(self.genesis)).collect(),
        };
        let batches: u64 = batches.iter().map(|(_, batch)| batch_weight(batch)).sum();
        let header = BlockHeader {
            chain: head.chain,
            epoch: Epoch(0),
            view: View(head.height.next().0),
            height: head.height.next(),
            parent: head.block,
            timestamp: TimestampMs(head.timestamp.0 + 50),
            proposer: ValidatorIndex(1),
            weight: batches,
            base_fee: head.base_fee,
            claim: Claim { height: head.height, result: head.result },
            body: body.hash(),
        };
        Block { header, body }
    }

    /// Executes one block for good. Everything in it must apply.
    pub(crate) fn run(&mut self, chain: usize, deeds: Vec<Deed>, bundles: Vec<Bundle>) -> (Block, Execution) {
        let transactions = self.sign(chain, deeds);
        let batches = match transactions.is_empty() {
            true => Vec::new(),
            false => vec![self.seal(chain, transactions)],
        };
        let block = self.block(chain, &batches, &bundles);
        let batches: Vec<Batch> = batches.into_iter().map(|(_, batch)| batch).collect();
        let Chain { state, records, .. } = &mut self.chains[chain];
        let execution = state.execute(records, &block, &batches, &bundles, &Sequential).unwrap();
        assert_applied(&execution);
        records.apply(&execution.writes);
        (block, execution)
    }

    /// Makes deeds on one chain, in one block, and gives what they send to another, with its proof. Only the first such block of
    /// two chains, or one after the receipts of those before have arrived.
    pub(crate) fn send(&mut self, source: usize, destination: usize, deeds: Vec<Deed>) -> Sent {
        let (_, execution) = self.run(source, deeds, Vec::new());
        let (block, _) = self.run(source, Vec::new(), Vec::new());
        let to = ChainId(destination as u32);
        let sent = execution.sent.iter().filter(|sent| sent.destination == to);
        let receipts: Vec<Receipt> = sent.map(|sent| sent.receipt.clone()).collect();
        let certified = CertifiedResult {
            result: execution.result,
            links: Vec::new(),
            finality: self.finality(&block.header),
            header: block.header,
        };
        let (before, total_before) = self.lines.entry((source, destination)).or_default();
        let sent = Sent {
            to,
            before: before.clone(),
            total_before: *total_before,
            receipts,
            outboxes: execution.head.outboxes,
            certified,
        };
        for receipt in &sent.receipts {
            assert!(before.append(RECEIPTS_TAG, receipt_leaf(receipt, *total_before)));
            *total_before += u128::from(receipt.value().fen());
        }
        sent
    }

    /// A certificate on a header, signed by a quorum as the engine's validators would.
    fn finality(&self, header: &BlockHeader) -> FinalityProof {
        let digest = header.digest(self.genesis);
        let (view, parent_view) = (header.view, View(header.view.0 - 1));
        let mut proposal = Vec::new();
        for number in [header.epoch.0, view.0, parent_view.0] {
            proposal.extend(varint(number));
        }
        proposal.extend(digest.0);
        let namespace = [consensus_namespace(self.genesis, header.chain), b"_FINALIZE".to_vec()].concat();
        let message = [varint(namespace.len() as u64), namespace, proposal.clone()].concat();
        let (validators, signers) = (self.consensus.len(), quorum(self.consensus.len()));
        let mut bitmap = vec![0_u8; validators.div_ceil(8)];
        (0..signers).for_each(|place| bitmap[place / 8] |= 1 << (place % 8));
        let mut bytes = proposal;
        bytes.extend((validators as u64).to_be_bytes());
        bytes.extend(bitmap);
        bytes.extend(varint(signers as u64));
        for secret in self.consensus.iter().take(signers) {
            use ed25519_dalek::Signer as _;
            bytes.extend(ed25519_dalek::SigningKey::from_bytes(secret.seed()).sign(&message).to_bytes());
        }
        FinalityProof { chain: header.chain, epoch: header.epoch, view, parent_view, digest, bytes }
    }
}

impl Sent {
    /// A bundle of the first so many.
    pub(crate) fn bundle(&self, count: usize) -> Bundle {
        let (first, rest) = self.receipts.split_at(count);
        let pending = Pending { before: &self.before, total_before: self.total_before, receipts: first };
        let rest = rest.iter().cloned().map(Ok::<Receipt, std::convert::Infallible>);
        let certified = self.certified.clone();
        let bundle = Bundle::prove_paged(self.to, pending, rest, &self.outboxes, certified, Vec::new());
        let bundle = bundle.unwrap().unwrap();
        assert_eq!(bundle.receipts.len(), count, "all fit one bundle");
        bundle
    }
}

impl Chain {
    /// The highest used sequence of lane 0.
    fn used(&self, wallet: &WalletId) -> u64 {
        let found = self.records.wallets(&[*wallet]).unwrap().remove(0);
        found.and_then(|(_, wallet)| Some(wallet.lanes.first()?.highest)).unwrap_or(0)
    }
}

/// What somebody does and pays for itself.
pub(crate) const fn deed(signer: Signer, operation: Operation) -> Deed {
    Deed { signer, operation, sponsor: None, tip: Amount::ZERO }
}

/// Work that was refused measures something else.
pub(crate) fn assert_applied(execution: &Execution) {
    let refused = execution.outcomes.iter().find(|outcome| !outcome.is_applied());
    let refused = refused.map(|outcome| (outcome.index, outcome.rejection()));
    assert_eq!((refused, &execution.skipped[..], &execution.passed_over[..]), (None, &[][..], &[][..]));
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
