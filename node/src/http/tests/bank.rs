//! A network of four banks with one node's edge in front of it: over one chain, or over several ([`edge_over`]).

use std::sync::Arc;

use axum::Router;
use bytes::Bytes;
use chain::{ChainStatus, Executor, FinalBlock, SeatSet};
use genesis::dev::{Localnet, LocalnetPlan, localnet};
use ledger::proofs::{FinalityProof, consensus_namespace};
use ledger::records::transaction::network_tag;
use ledger::records::{
    BatchContent, Block, BlockBody, BlockHeader, ChainParams, Claim, FeeBid, Nonce, Operation, Payment,
    Policy, Tier, Transaction, TransactionContent, WalletOpening,
};
use ledger::rules::ChainRules;
use ledger::values::{
    Amount, BlockDigest, Canonical as _, ChainId, Currency, Epoch, GenesisHash, Height, NodeIndex,
    OperatorId, SecretKey, Sequential, TimestampMs, TransactionId, ValidatorIndex, View, WalletId, quorum,
};
use rcgen::SigningKey as _;
use storage::{Durability, Identity, MemoryStore, Store, Table, WriteSet};
use tokio::sync::{mpsc, watch};

use crate::admission::{Admission, Submission, wall_clock};
use crate::config::RestLimits;
use crate::departed::Reason;
use crate::handle::{ChainHandle, Status, Voting};
use crate::http::{Edge, EdgeParts, router};
use crate::market::MarketBoard;
use crate::questions::{ExecutorJob, ExecutorQueue, WalletQuestions, executor_queue};
use crate::strategy::Parallel;
use crate::telemetry::Metrics;
use crate::tokens::Tokens;
use crate::verifier::Verifier;
use crate::vigil::{Own, Vigil};

/// The chain under test.
pub(super) const CHAIN: ChainId = ChainId(0);
const CURRENCY: Currency = Currency(*b"CNY");

/// A wallet with its only key.
#[derive(Clone)]
pub(super) struct Holder {
    pub(super) secret: SecretKey,
    pub(super) id: WalletId,
}

impl Holder {
    pub(super) fn policy(&self) -> Policy {
        Policy::single(self.secret.public_key())
    }
}

/// The network, its store and the edge of node 0.
pub(super) struct Bank {
    pub(super) network: Localnet,
    pub(super) genesis: GenesisHash,
    pub(super) chain: ChainId,
    currency: Currency,
    pub(super) handle: ChainHandle,
    pub(super) store: Arc<dyn Store>,
    pub(super) status: watch::Sender<Status>,
    pub(super) rules: watch::Sender<ChainRules>,
    pub(super) connections: watch::Sender<Vec<u16>>,
    pub(super) admission: Arc<Admission>,
    pub(super) submissions: mpsc::Receiver<Submission>,
    pub(super) edge: Edge,
    /// What the node holds for its executor's thread; without it questions are refused.
    pub(super) queue: ExecutorQueue,
    questions: std::sync::mpsc::Receiver<ExecutorJob>,
    executor: Executor<Sequential>,
    parent: BlockDigest,
    sequences: std::collections::BTreeMap<WalletId, u64>,
}

impl Bank {
    /// A network at height 0, everything open.
    pub(super) fn new() -> Self {
        Self::with(Tokens::default(), RestLimits::default())
    }

    pub(super) fn with(tokens: Tokens, limits: RestLimits) -> Self {
        Self::on(CHAIN, &network_of(&[(CURRENCY, 0), (Currency(*b"USD"), 0)]), tokens, limits)
    }

    /// One chain of a network.
    pub(super) fn on(chain: ChainId, network: &Localnet, tokens: Tokens, limits: RestLimits) -> Self {
        let network = network.clone();
        let genesis = network.spec.hash();
        let currency = network.spec.chain(chain).unwrap().currency;
        let identity = Identity { schema_version: 1, genesis: genesis.0, chain: chain.0 };
        let store: Arc<dyn Store> = Arc::new(MemoryStore::fresh(&identity));
        let executor = Executor::open(&network.spec, chain, Arc::clone(&store), Sequential).unwrap();
        let rules = ChainRules::at_genesis(&network.spec, chain).unwrap();
        let (rules_now, rules_seen) = watch::channel(rules.clone());
        let (sender, submissions) = mpsc::channel(16);
        let verifier =
            Verifier { genesis, secret: [3; 32], keys: Arc::default(), strategy: Parallel::new(1).unwrap() };
        let rules = (rules, Some(OperatorId(1)));
        let admission =
            Arc::new(Admission::new(rules, Arc::clone(&store), executor.cache(), sender, verifier).unwrap());
        let (queue, questions) = executor_queue();
        let (status, status_seen) = watch::channel(first_status());
        let (connections, connections_seen) = watch::channel(vec![1, 2, 3]);
        let spec = Arc::new(network.spec.clone());
        let handle = ChainHandle {
            genesis,
            spec: Arc::new(spec.chain(chain).unwrap().clone()),
            store: Arc::clone(&store),
            status: status_seen,
            rules: rules_seen,
            admission: Arc::clone(&admission),
            wallets: WalletQuestions::new(&queue),
            market: MarketBoard::default(),
            held: crate::held::Held::default(),
        };
        let edge = Edge::new(EdgeParts {
            spec,
            own_node: NodeIndex(0),
            chains: vec![handle.clone()],
            awaited: Vec::new(),
            connections: connections_seen,
            metrics: Arc::new(Metrics::new()),
            tokens,
            vigil: Vigil::new(Own::default()),
            limits,
        });
        let parent = executor.state().head().block;
        let sequences = std::collections::BTreeMap::new();
        Self {
            network,
            genesis,
            chain,
            currency,
            handle,
            store,
            status,
            rules: rules_now,
            connections,
            admission,
            submissions,
            edge,
            queue,
            questions,
            executor,
            parent,
            sequences,
        }
    }

    pub(super) fn router(&self) -> Router {
        router(&self.edge)
    }

    /// The central bank's own wallet.
    pub(super) fn central_bank(&self) -> Holder {
        self.operator(OperatorId(0), &self.network.central_bank.wallet_key)
    }

    /// The own wallet of bank 0, operator 1.
    pub(super) fn bank(&self) -> Holder {
        let operator = &self.network.banks[0].operator;
        self.operator(operator.id, &operator.wallet_key)
    }

    /// The own wallet of bank 1, operator 2.
    pub(super) fn other_bank(&self) -> Holder {
        let operator = &self.network.banks[1].operator;
        self.operator(operator.id, &operator.wallet_key)
    }

    fn operator(&self, id: OperatorId, secret: &SecretKey) -> Holder {
        let registry = ledger::records::Registry::from_genesis(&self.network.spec);
        let id = registry.operator_wallet(self.genesis, self.currency, id).unwrap();
        Holder { secret: secret.clone(), id }
    }

    /// A customer's wallet, opened or not.
    pub(super) fn customer(&self, number: u8) -> Holder {
        let secret = SecretKey::from_seed([number; 32]);
        let policy = Policy::single(secret.public_key()).hash();
        Holder { id: WalletId::derive(self.genesis, self.currency, policy, &[number; 16]), secret }
    }

    /// Signs an operation under the wallet's next nonce, valid for a minute.
    pub(super) fn sign(&mut self, holder: &Holder, operation: Operation) -> Transaction {
        self.content(holder, FeeBid::default(), operation).signed_by(self.genesis, &holder.secret)
    }

    pub(super) fn sign_at(
        &self,
        holder: &Holder,
        nonce: Nonce,
        valid_until: TimestampMs,
        operation: Operation,
    ) -> Transaction {
        self.content_at(holder, nonce, valid_until, operation).signed_by(self.genesis, &holder.secret)
    }

    /// Content under the wallet's next nonce, valid for a minute, with this bid.
    pub(super) fn content(
        &mut self,
        holder: &Holder,
        fee: FeeBid,
        operation: Operation,
    ) -> TransactionContent {
        let sequence = self.sequences.entry(holder.id).or_default();
        *sequence += 1;
        let nonce = Nonce { lane: 0, sequence: *sequence };
        let valid_until = TimestampMs(wall_clock().0 + 60_000);
        TransactionContent { fee, ..self.content_at(holder, nonce, valid_until, operation) }
    }

    fn content_at(
        &self,
        holder: &Holder,
        nonce: Nonce,
        valid_until: TimestampMs,
        operation: Operation,
    ) -> TransactionContent {
        TransactionContent {
            network: network_tag(self.genesis),
            chain: self.chain,
            wallet: holder.id,
            nonce,
            valid_until,
            fee: FeeBid::default(),
            policy: holder.policy(),
            operation,
        }
    }

    pub(super) fn pay(&mut self, from: &Holder, to: &Holder, fen: u64) -> Transaction {
        let payments = vec![Payment { payee: to.id, amount: Amount::from_fen(fen) }];
        self.sign(from, Operation::Pay { payments })
    }

    pub(super) fn issue(&mut self, fen: u64) -> Transaction {
        let (to, central_bank) = (self.bank().id, self.central_bank());
        self.sign(&central_bank, Operation::Issue { to, amount: Amount::from_fen(fen) })
    }

    pub(super) fn open(&mut self, numbers: &[u8]) -> Transaction {
        let bank = self.bank();
        self.open_by(&bank, numbers)
    }

    /// The same by another operator.
    pub(super) fn open_by(&mut self, operator: &Holder, numbers: &[u8]) -> Transaction {
        let opening = |number: &u8| WalletOpening {
            policy: self.customer(*number).policy().hash(),
            salt: [*number; 16],
            tier: Tier::Two,
        };
        let wallets = numbers.iter().map(opening).collect();
        self.sign(operator, Operation::OpenWallets { wallets })
    }

    /// Executes a block with one batch of these transactions (none: an empty block), claiming the result before it.
    pub(super) fn execute(&mut self, transactions: Vec<Transaction>, with_certificate: bool) -> Height {
        self.execute_after(1, transactions, with_certificate)
    }

    /// The same, `later_ms` after the block before it.
    pub(super) fn execute_after(
        &mut self,
        later_ms: u64,
        transactions: Vec<Transaction>,
        with_certificate: bool,
    ) -> Height {
        let (height, claimed, timestamp, base_fee) = {
            let head = self.executor.state().head();
            let claim = Claim { height: head.height, result: head.result };
            (head.height.next(), claim, TimestampMs(head.timestamp.0 + later_ms), head.base_fee)
        };
        let batch = (!transactions.is_empty()).then(|| {
            let content = BatchContent {
                chain: self.chain,
                epoch: Epoch(0),
                sealer: ValidatorIndex(0),
                sequence: height.0,
                expires: TimestampMs(timestamp.0 + 30_000),
                transactions,
            };
            content.seal(self.genesis, &self.consensus_key(0))
        });
        let body = BlockBody { batches: batch.iter().map(|(digest, _)| *digest).collect(), bundles: vec![] };
        let header = BlockHeader {
            chain: self.chain,
            epoch: Epoch(0),
            view: View(height.0),
            height,
            parent: self.parent,
            timestamp,
            proposer: ValidatorIndex(0),
            weight: batch.iter().map(|(_, batch)| batch.weight()).sum(),
            base_fee,
            claim: claimed,
            body: body.hash(),
        };
        let digest = header.digest(self.genesis);
        let mut set = WriteSet::new();
        if let Some((digest, batch)) = &batch {
            set.put(Table::Batches, digest.0, batch.encode());
        }
        self.store.write(set, Durability::Buffered).unwrap();
        let next = FinalBlock {
            digest,
            block: Arc::new(Block { header, body }),
            batches: batch.into_iter().map(|(_, batch)| Arc::new(batch)).collect(),
            bundles: Vec::new(),
            certificate: with_certificate.then(|| self.certificate(digest, View(height.0))),
            is_durable: true,
        };
        let executed = self.executor.execute(&next).unwrap();
        self.handle.market.add_block(&next.block.header, &self.executor.state().rules().params);
        let skipped = executed.skipped.iter().map(|(id, reason)| (id, Some(Reason::NotExecuted(*reason))));
        self.admission.depart(skipped);
        self.admission.settle(&executed.transactions);
        self.parent = digest;
        self.rules.send_replace(self.executor.state().rules().clone());
        self.status.send_modify(|status| {
            status.chain.final_height = height;
            status.chain.executed_height = height;
            status.chain.highest_announced = Some(height);
            status.chain.certified_height = claimed.height;
        });
        height
    }

    pub(super) fn consensus_key(&self, seat: u16) -> SecretKey {
        let mut validators = self.network.banks.iter().flat_map(|bank| &bank.validators);
        let found = validators.find(|(chain, found, _)| *chain == self.chain && found.0 == seat);
        found.unwrap().2.clone()
    }

    /// A certificate as the engine makes it, signed by a quorum of the four.
    fn certificate(&self, digest: BlockDigest, view: View) -> Bytes {
        let varint = |mut number: u64| {
            let mut bytes = Vec::new();
            while number >= 0x80 {
                bytes.push((number & 0x7f) as u8 | 0x80);
                number >>= 7;
            }
            bytes.push(number as u8);
            bytes
        };
        let parent_view = View(view.0 - 1);
        let proposal = [varint(0), varint(view.0), varint(parent_view.0), digest.0.to_vec()].concat();
        let signing = [consensus_namespace(self.genesis, self.chain).as_slice(), b"_FINALIZE"].concat();
        let message = [varint(signing.len() as u64), signing, proposal.clone()].concat();
        let signers = quorum(4);
        let mut bytes = proposal;
        bytes.extend_from_slice(&4_u64.to_be_bytes());
        bytes.push((1 << signers) - 1);
        bytes.extend(varint(signers as u64));
        for seat in 0..u16::try_from(signers).unwrap() {
            bytes.extend(ed25519(&self.consensus_key(seat), &message));
        }
        let proof = FinalityProof { chain: self.chain, epoch: Epoch(0), view, parent_view, digest, bytes };
        proof.encode().into()
    }

    /// The usual story: height 1 issues 1,000 yuan and opens customers 1 to 3, height 2 gives 1 and 2 some, height 3 is a
    /// payment and one that lacks funds, height 4 is empty. Heights 2 and 4 have certificates; 0 to 3 are certified.
    pub(super) fn story(&mut self) -> Story {
        let (one, two, three) = (self.customer(1), self.customer(2), self.customer(3));
        let (issue, open) = (self.issue(100_000), self.open(&[1, 2, 3]));
        self.execute(vec![issue, open], false);
        let bank = self.bank();
        let gifts = [self.pay(&bank, &one, 50_000), self.pay(&bank, &two, 7)];
        self.execute(gifts.to_vec(), true);
        let (payment, broke) = (self.pay(&one, &two, 12_345), self.pay(&two, &three, 4_000_000));
        self.execute(vec![payment.clone(), broke.clone()], false);
        self.execute(Vec::new(), true);
        Story { payment: payment.id(self.genesis), broke: broke.id(self.genesis), one, two }
    }

    /// Answers the next question about a wallet as the executor's thread does.
    pub(super) async fn answer_question(&self) {
        loop {
            match self.questions.try_recv() {
                Ok(ExecutorJob::Wallet(question)) => {
                    return question.answer(|wallet| self.executor.wallet(wallet));
                }
                Ok(ExecutorJob::Locks(question)) => return question.answer(self.executor.state().pins()),
                Ok(ExecutorJob::Execute(_)) | Err(_) => {}
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    /// Answers the next submission as the pool does, and gives what was in it.
    pub(super) async fn pool(&mut self) -> Vec<Transaction> {
        let Submission { pooled, answers } = self.submissions.recv().await.unwrap();
        answers.send(pooled.iter().map(|_| Ok(())).collect()).unwrap();
        pooled.into_iter().map(|pooled| pooled.transaction).collect()
    }
}

/// A network of four banks with these chains, begun a minute ago.
pub(super) fn network_of(chains: &[(Currency, u16)]) -> Localnet {
    network_with(chains, ChainParams::default())
}

/// The same with other parameters.
pub(super) fn network_with(chains: &[(Currency, u16)], params: ChainParams) -> Localnet {
    let mut plan = LocalnetPlan::new(4);
    plan.timestamp = TimestampMs(wall_clock().0 - 60_000);
    plan.chains = chains.to_vec();
    plan.params = params;
    localnet(&plan, &[7; 32]).unwrap()
}

/// The edge of one node that hosts the chains of these banks, which are of one network.
pub(super) fn edge_over(banks: &[&Bank]) -> Edge {
    edge_awaiting(banks, &[])
}

/// The same of one whose configuration names chains that cannot begin yet.
pub(super) fn edge_awaiting(banks: &[&Bank], awaited: &[ChainId]) -> Edge {
    Edge::new(EdgeParts {
        spec: Arc::new(banks[0].network.spec.clone()),
        own_node: NodeIndex(0),
        chains: banks.iter().map(|bank| bank.handle.clone()).collect(),
        awaited: awaited.to_vec(),
        connections: banks[0].connections.subscribe(),
        metrics: Arc::new(Metrics::new()),
        tokens: Tokens::default(),
        vigil: Vigil::new(Own::default()),
        limits: RestLimits::default(),
    })
}

/// Ids of [`Bank::story`].
pub(super) struct Story {
    pub(super) payment: TransactionId,
    pub(super) broke: TransactionId,
    pub(super) one: Holder,
    pub(super) two: Holder,
}

fn first_status() -> Status {
    let chain = ChainStatus {
        epoch: Epoch(0),
        last_height: None,
        validators: 4,
        heard: 4,
        silent: SeatSet::default(),
        is_validator: true,
        final_height: Height(0),
        executed_height: Height(0),
        certified_height: Height(0),
        highest_announced: Some(Height(0)),
        pooled_transactions: 0,
        pooled_bytes: 0,
        batches: 0,
        bundles: 0,
        open_questions: 0,
        final_waiting: 0,
        fetches: 0,
        joining: None,
        pruned_below: None,
        may_vote: true,
        halted: false,
    };
    Status { chain, voting: Voting::Yes, disk_free_bytes: 1 << 40, halt: None, divergence: None }
}

/// Signs as the consensus engine does. The ledger gives nobody a way to sign arbitrary bytes, so a test signs with
/// another library under the same seed.
fn ed25519(secret: &SecretKey, message: &[u8]) -> Vec<u8> {
    let head = const_hex::decode("302e020100300506032b657004220420").unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from([head.as_slice(), secret.seed()].concat());
    let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&key, &rcgen::PKCS_ED25519).unwrap();
    pair.sign(message).unwrap()
}
