//! Clients: who pays whom, and what they were told.
//!
//! One seeded model stands for all of them. First a bank opens the wallets, the central bank issues money to the bank, and
//! the bank funds the wallets; then wallets pay each other. On the way transactions are posted again, to other nodes and
//! after they are final; one nonce is sometimes signed twice and posted to two nodes; some payments exceed the payer's
//! money; where there are several chains, some go to payees of other chains that cannot be credited. A client that hears of
//! no outcome posts again elsewhere, until the transaction's time is over. One whose wallet has moved goes after it.

use std::collections::BTreeMap;

use genesis::dev::{Localnet, OperatorSecrets};
use ledger::records::transaction::network_tag;
use ledger::records::{
    FeeBid, Nonce, NotExecuted, Operation, Payment, Policy, Rejection, Tier, Transaction, TransactionContent,
    WalletOpening,
};
use ledger::rules::ChainRules;
use ledger::values::{
    Amount, Canonical as _, ChainId, Currency, GenesisHash, Hasher, SecretKey, TimestampMs, TransactionId,
    WalletId,
};
use tokio::sync::{mpsc, oneshot};

use crate::dice::Dice;
use crate::door::{Answer, Refusal, Submission};
use crate::machine::Network;
use crate::plan::Load;

/// Pause before a transaction without an outcome is posted again, to another node.
const REPOST_MS: u64 = 2_000;
/// How long a transaction may execute.
const LIFE_MS: u64 = 60_000;
/// Openings of one transaction, and payments of one that funds wallets.
const GROUP: usize = 16;
/// What each wallet is given, in fen.
const FUNDS: u64 = 100_000;
/// Transactions that clients wait for at one time.
const OUTSTANDING_MAX: usize = 4_096;
/// Transactions kept for replays.
const REPLAYABLE_MAX: usize = 256;
/// Of 1,000 payments, how many are followed by a replay of an older transaction.
const REPLAYS_PER_MILLE: u64 = 100;
/// Of 1,000 payments, how many share their nonce with another one.
const DOUBLES_PER_MILLE: u64 = 30;
/// Of 1,000 payments, how many exceed what any wallet holds.
const UNDERFUNDED_PER_MILLE: u64 = 20;

/// Of 1,000 payments, how many have a second payee; only where there are several chains.
const TWO_PAYEES_PER_MILLE: u64 = 200;
/// Keys of wallets that do not pay: from this number on.
const SILENT_FROM: u16 = 50_000;

const PURPOSE_CLIENT: u64 = 3;

/// Where transactions are posted: by chain, then by node.
pub(crate) type Doors = BTreeMap<ChainId, BTreeMap<u16, mpsc::Sender<Submission>>>;

/// What clients hear of a transaction on a chain: whether it was applied, if it is final.
pub(crate) type Heard<'a> = &'a dyn Fn(ChainId, &TransactionId) -> Option<bool>;

/// All clients.
pub(crate) struct Client {
    genesis: GenesisHash,
    dice: Dice,
    load: Load,
    wallets: Vec<Purse>,
    treasuries: Vec<Treasury>,
    /// Of every chain, also of those that are added later.
    currencies: BTreeMap<ChainId, Currency>,
    stage: Stage,
    outstanding: BTreeMap<TransactionId, Posted>,
    answers: Vec<(TransactionId, u16, oneshot::Receiver<Answer>)>,
    replayable: Vec<Vec<u8>>,
    due_per_mille: u64,
    last_ms: u64,
    pub(crate) told: Told,
}

/// What clients count.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) signed: u64,
    pub(crate) applied: u64,
    pub(crate) rejected: u64,
    pub(crate) replays: u64,
    /// Wallets that were looked for anew because they had moved.
    pub(crate) followed: u64,
    pub(crate) answers: BTreeMap<String, u64>,
}

/// What puts a chain's wallets into the world.
struct Treasury {
    chain: ChainId,
    currency: Currency,
    bank: Purse,
    central_bank: Purse,
    /// A wallet that is given all that its tier allows; on networks of several chains.
    full: Option<Purse>,
    /// A wallet that nobody opens.
    stranger: WalletId,
    balance_max: Amount,
}

/// A wallet with its key.
struct Purse {
    chain: ChainId,
    id: WalletId,
    secret: SecretKey,
    next_sequence: u64,
    /// Sequences of transactions that no node took in.
    free: Vec<u64>,
}

impl Purse {
    const fn new(chain: ChainId, id: WalletId, secret: SecretKey) -> Self {
        Self { chain, id, secret, next_sequence: 1, free: Vec::new() }
    }

    fn policy(&self) -> Policy {
        Policy::single(self.secret.public_key())
    }

    fn sequence(&mut self) -> u64 {
        self.free.pop().unwrap_or_else(|| {
            self.next_sequence += 1;
            self.next_sequence - 1
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    Issue,
    Fund,
    Pay,
}

struct Posted {
    chain: ChainId,
    bytes: Vec<u8>,
    valid_until: u64,
    last_post_ms: u64,
    was_accepted: bool,
    /// What each node answered.
    told: Vec<(u16, String)>,
    /// Where its sequence goes back to if no node takes it in.
    payer: Option<(usize, u64)>,
}

impl Client {
    pub(crate) fn new(seed: u64, load: Load, network: &Network, localnet: &Localnet) -> Self {
        let genesis = network.genesis;
        let rules: Vec<&ChainRules> = network.chains.values().map(|chain| &chain.rules).collect();
        // The first chain of each currency, in order.
        let mut currencies: Vec<&ChainRules> = Vec::new();
        for of_chain in &rules {
            if !currencies.iter().any(|known| known.currency == of_chain.currency) {
                currencies.push(of_chain);
            }
        }
        let wallet = |number: u16| {
            let of_currency = currencies[usize::from(number) % currencies.len()];
            wallet(seed, number, of_currency)
        };
        let is_alone = rules.len() == 1;
        let of_chain = |chain| Some((chain, network.currency(chain)?));
        Self {
            genesis,
            dice: Dice::new(seed, PURPOSE_CLIENT),
            load,
            wallets: (0..load.wallets).map(wallet).collect(),
            treasuries: rules.iter().map(|rules| Treasury::new(seed, rules, localnet, is_alone)).collect(),
            currencies: network.all().filter_map(of_chain).collect(),
            stage: Stage::Open,
            outstanding: BTreeMap::new(),
            answers: Vec::new(),
            replayable: Vec::new(),
            due_per_mille: 0,
            last_ms: 0,
            told: Told::default(),
        }
    }

    /// Transactions whose clients still hope.
    pub(crate) fn open(&self) -> usize {
        self.outstanding.len()
    }

    /// Transactions without an outcome, and what each node said to them.
    pub(crate) fn open_ones(&self) -> Vec<(TransactionId, Vec<(u16, String)>)> {
        self.outstanding.iter().map(|(id, posted)| (*id, posted.told.clone())).collect()
    }

    /// A moment of the clients' life. `now_ms` is the wall clock, `rate` the payments each second: none once the load has ended.
    pub(crate) fn tick(&mut self, now_ms: u64, rate: u32, doors: &Doors, heard: Heard<'_>) {
        self.hear_answers();
        self.hear_outcomes(now_ms, heard);
        self.post_again(now_ms, doors);
        let passed_ms = now_ms.saturating_sub(self.last_ms).min(1_000);
        self.last_ms = now_ms;
        if rate == 0 {
            return;
        }
        match self.stage {
            Stage::Pay => self.pay(now_ms, passed_ms, rate, doors),
            _ if self.outstanding.is_empty() => self.prepare(now_ms, doors),
            _ => {}
        }
    }

    /// A power cut: connections are gone, and the answers on them.
    pub(crate) fn disconnected(&mut self) {
        self.answers.clear();
    }

    fn hear_answers(&mut self) {
        for (id, node, mut receiver) in std::mem::take(&mut self.answers) {
            match receiver.try_recv() {
                Ok(answer) => self.hear(id, node, answer),
                Err(oneshot::error::TryRecvError::Empty) => self.answers.push((id, node, receiver)),
                Err(oneshot::error::TryRecvError::Closed) => {}
            }
        }
    }

    fn hear(&mut self, id: TransactionId, node: u16, answer: Answer) {
        let name = match &answer {
            Answer::Accepted => "accepted".to_owned(),
            Answer::Known => "known".to_owned(),
            Answer::Refused(refusal) => format!("refused {}", refusal.name()),
        };
        *self.told.answers.entry(name.clone()).or_default() += 1;
        let Some(posted) = self.outstanding.get_mut(&id) else { return };
        posted.told.push((node, name));
        match answer {
            Answer::Accepted | Answer::Known => posted.was_accepted = true,
            Answer::Refused(refusal) => {
                let is_spent = matches!(
                    refusal,
                    Refusal::NotExecuted(
                        NotExecuted::NonceUsed { .. }
                            | NotExecuted::NonceTooOld { .. }
                            | NotExecuted::Expired { .. }
                    )
                );
                // A customer was faster: the wallet that is to be full holds money already, and a full share is too much.
                let is_full = refusal == Refusal::Rejected(Rejection::PayeeBalanceAboveTierLimit);
                // It can never execute where the wallet was. Its owner signs for the chain where it is now; the nonce is free there.
                let moved_to = match refusal {
                    Refusal::NotExecuted(NotExecuted::WalletMoved { to }) => Some(to),
                    _ => None,
                };
                if let (Some((wallet, _)), Some(to)) = (posted.payer, moved_to)
                    && let Some(purse) = self.wallets.get_mut(wallet)
                    && purse.chain == posted.chain
                {
                    purse.chain = to;
                    self.told.followed += 1;
                }
                // What opens and funds wallets is posted until it is final: everything else needs it.
                let is_dropped = match posted.payer {
                    Some(_) => is_spent || !posted.was_accepted || moved_to.is_some(),
                    None => is_full,
                };
                if is_dropped && let Some(posted) = self.outstanding.remove(&id) {
                    self.give_back(posted.payer.filter(|_| !is_spent));
                }
            }
        }
    }

    fn give_back(&mut self, payer: Option<(usize, u64)>) {
        if let Some((wallet, sequence)) = payer
            && let Some(purse) = self.wallets.get_mut(wallet)
        {
            purse.free.push(sequence);
        }
    }

    fn hear_outcomes(&mut self, now_ms: u64, heard: Heard<'_>) {
        let (mut applied, mut rejected) = (0, 0);
        self.outstanding.retain(|id, posted| match heard(posted.chain, id) {
            Some(true) => {
                applied += 1;
                false
            }
            Some(false) => {
                rejected += 1;
                false
            }
            None => posted.valid_until >= now_ms || posted.payer.is_none(),
        });
        self.told.applied += applied;
        self.told.rejected += rejected;
    }

    fn post_again(&mut self, now_ms: u64, doors: &Doors) {
        let late: Vec<TransactionId> = self
            .outstanding
            .iter()
            .filter(|(_, posted)| posted.last_post_ms + REPOST_MS <= now_ms)
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            let Some(posted) = self.outstanding.get_mut(&id) else { continue };
            posted.last_post_ms = now_ms;
            let (chain, bytes) = (posted.chain, posted.bytes.clone());
            self.told.replays += 1;
            self.post(chain, id, bytes, doors);
        }
    }

    /// Posts to a node of the chain that runs.
    fn post(&mut self, chain: ChainId, id: TransactionId, bytes: Vec<u8>, doors: &Doors) {
        let Some(doors) = doors.get(&chain) else { return };
        let running: Vec<u16> = doors.keys().copied().collect();
        let Some(node) = self.dice.pick(&running).copied() else { return };
        let Some(door) = doors.get(&node) else { return };
        let (answer, receiver) = oneshot::channel();
        if door.try_send(Submission { bytes, answer }).is_ok() {
            self.answers.push((id, node, receiver));
        }
    }

    fn prepare(&mut self, now_ms: u64, doors: &Doors) {
        let valid_until_ms = now_ms + 30 * LIFE_MS;
        let mut signed = Vec::new();
        for treasury in &mut self.treasuries {
            let at_home: Vec<&Purse> =
                self.wallets.iter().filter(|purse| purse.chain == treasury.chain).collect();
            signed.extend(treasury.prepare(self.stage, &at_home, self.genesis, valid_until_ms));
        }
        for transaction in signed {
            self.begin(now_ms, transaction, None, doors);
        }
        self.stage = match self.stage {
            Stage::Open => Stage::Issue,
            Stage::Issue => Stage::Fund,
            Stage::Fund | Stage::Pay => Stage::Pay,
        };
    }

    fn pay(&mut self, now_ms: u64, passed_ms: u64, rate: u32, doors: &Doors) {
        self.due_per_mille += passed_ms * u64::from(rate);
        while self.due_per_mille >= 1_000 {
            self.due_per_mille -= 1_000;
            if self.outstanding.len() >= OUTSTANDING_MAX || self.wallets.len() < 2 {
                continue;
            }
            self.pay_one(now_ms, doors);
            if self.dice.chance(REPLAYS_PER_MILLE) {
                self.replay(doors);
            }
        }
    }

    fn pay_one(&mut self, now_ms: u64, doors: &Doors) {
        let count = self.wallets.len() as u64;
        let payer = usize::try_from(self.dice.below(count)).unwrap_or(0);
        let Some(payee) = self.draw_payee(payer) else { return };
        let second = if self.treasuries.len() > 1 && self.dice.chance(TWO_PAYEES_PER_MILLE) {
            self.draw_payee(payer)
        } else {
            None
        };
        let sequence = self.wallets[payer].sequence();
        let copies = if self.dice.chance(DOUBLES_PER_MILLE) { 2 } else { 1 };
        for _ in 0..copies {
            let is_underfunded = self.dice.chance(UNDERFUNDED_PER_MILLE);
            let fen = if is_underfunded { FUNDS * count * 2 } else { 1 + self.dice.below(100) };
            let payment = |payee| Payment { payee, amount: Amount::from_fen(fen) };
            let payments = [Some(payee), second].into_iter().flatten().map(payment).collect();
            let operation = Operation::Pay { payments };
            let (purse, valid_until_ms) = (&self.wallets[payer], now_ms + LIFE_MS);
            let fee_max = Amount::from_fen(self.load.fee_max);
            let transaction = sign(self.genesis, purse, sequence, valid_until_ms, fee_max, operation);
            self.begin(now_ms, transaction, Some((payer, sequence)), doors);
        }
    }

    /// Somebody of the payer's currency; now and then one of another chain who cannot be credited.
    fn draw_payee(&mut self, payer: usize) -> Option<WalletId> {
        let purse = &self.wallets[payer];
        let currency = |chain: ChainId| self.currencies.get(&chain).copied();
        let (home, own) = (purse.chain, currency(purse.chain));
        if self.load.returned_per_mille > 0 && self.dice.chance(u64::from(self.load.returned_per_mille)) {
            let elsewhere = self.treasuries.iter().filter(|of| of.chain != home && Some(of.currency) == own);
            let hopeless: Vec<WalletId> = elsewhere
                .flat_map(|of| [Some(of.stranger), of.full.as_ref().map(|full| full.id)])
                .flatten()
                .collect();
            if let Some(payee) = self.dice.pick(&hopeless) {
                return Some(*payee);
            }
        }
        let same: Vec<usize> =
            (0..self.wallets.len()).filter(|place| currency(self.wallets[*place].chain) == own).collect();
        let place = same.iter().position(|place| *place == payer)? as u64;
        let others = (same.len() as u64).checked_sub(1).filter(|others| *others > 0)?;
        let drawn = (place + 1 + self.dice.below(others)) % (others + 1);
        let drawn = same.get(usize::try_from(drawn).unwrap_or(0))?;
        Some(self.wallets[*drawn].id)
    }

    /// Posts a new transaction.
    fn begin(&mut self, now_ms: u64, transaction: Transaction, payer: Option<(usize, u64)>, doors: &Doors) {
        let (id, chain) = (transaction.id(self.genesis), transaction.content.chain);
        let bytes = transaction.encode();
        let valid_until = transaction.content.valid_until.0;
        let is_new = self
            .outstanding
            .insert(
                id,
                Posted {
                    chain,
                    bytes: bytes.clone(),
                    valid_until,
                    last_post_ms: now_ms,
                    was_accepted: false,
                    told: Vec::new(),
                    payer,
                },
            )
            .is_none();
        self.told.signed += u64::from(is_new);
        if self.replayable.len() < REPLAYABLE_MAX {
            self.replayable.push(bytes.clone());
        } else {
            let place = usize::try_from(self.dice.below(REPLAYABLE_MAX as u64)).unwrap_or(0);
            self.replayable[place].clone_from(&bytes);
        }
        self.post(chain, id, bytes, doors);
    }

    /// Posts an old transaction again, final or not.
    fn replay(&mut self, doors: &Doors) {
        let Some(bytes) = self.dice.pick(&self.replayable).cloned() else { return };
        let Ok(transaction) = Transaction::decode(&bytes) else { return };
        self.told.replays += 1;
        self.post(transaction.content.chain, transaction.id(self.genesis), bytes, doors);
    }
}

impl Treasury {
    fn new(seed: u64, rules: &ChainRules, localnet: &Localnet, is_alone: bool) -> Self {
        let own = |secrets: &OperatorSecrets| {
            let id = rules.registry.operator_wallet(rules.genesis, rules.currency, secrets.id);
            let id = id.expect("the operator is in the registry");
            Purse::new(rules.chain, id, secrets.wallet_key.clone())
        };
        let mut silent = (SILENT_FROM..)
            .map(|number| wallet(seed, number, rules))
            .filter(|purse| purse.chain == rules.chain);
        let full = silent.next().filter(|_| !is_alone);
        let stranger = silent.next().expect("one in a few is at home here").id;
        Self {
            chain: rules.chain,
            currency: rules.currency,
            bank: own(&localnet.banks[0].operator),
            central_bank: own(&localnet.central_bank),
            full,
            stranger,
            balance_max: rules.params.tier(Tier::Four).balance_max,
        }
    }

    /// The transactions of a stage, for these wallets of the chain.
    fn prepare(
        &mut self,
        stage: Stage,
        at_home: &[&Purse],
        genesis: GenesisHash,
        valid_until_ms: u64,
    ) -> Vec<Transaction> {
        let funds = Amount::from_fen(FUNDS);
        let mut operations: Vec<Operation> = Vec::new();
        match stage {
            Stage::Open => {
                let groups = at_home.chunks(GROUP).map(|group| Operation::OpenWallets {
                    wallets: group.iter().map(|purse| opening(purse, Tier::One)).collect(),
                });
                operations.extend(groups);
                let full = self.full.iter().map(|full| opening(full, Tier::Four));
                operations.extend(full.map(|opening| Operation::OpenWallets { wallets: vec![opening] }));
            }
            Stage::Issue => {
                let cap = self.full.as_ref().map_or(0, |_| self.balance_max.fen());
                let amount = Amount::from_fen(FUNDS * at_home.len() as u64 + cap);
                operations.push(Operation::Issue { to: self.bank.id, amount });
            }
            Stage::Fund => {
                let groups = at_home.chunks(GROUP).map(|group| Operation::Pay {
                    payments: group.iter().map(|purse| Payment { payee: purse.id, amount: funds }).collect(),
                });
                operations.extend(groups);
                let full = self.full.iter().map(|full| Payment { payee: full.id, amount: self.balance_max });
                operations.extend(full.map(|payment| Operation::Pay { payments: vec![payment] }));
            }
            Stage::Pay => {}
        }
        let purse = if stage == Stage::Issue { &mut self.central_bank } else { &mut self.bank };
        let sign = |operation| {
            let sequence = purse.sequence();
            // Before anybody pays there is room for everything.
            sign(genesis, purse, sequence, valid_until_ms, Amount::ZERO, operation)
        };
        operations.into_iter().map(sign).collect()
    }
}

fn opening(purse: &Purse, tier: Tier) -> WalletOpening {
    WalletOpening { policy: purse.policy().hash(), salt: [0; 16], tier }
}

/// The wallet of a number, at home where its id says; `rules` are of any chain of its currency.
fn wallet(seed: u64, number: u16, rules: &ChainRules) -> Purse {
    let hash = Hasher::new("jiaozi/bottle-wallet").number(seed).number(u64::from(number)).finish();
    let secret = SecretKey::from_seed(hash.0);
    let policy = Policy::single(secret.public_key());
    let id = WalletId::derive(rules.genesis, rules.currency, policy.hash(), &[0; 16]);
    Purse::new(rules.home(&id), id, secret)
}

fn sign(
    genesis: GenesisHash,
    purse: &Purse,
    sequence: u64,
    valid_until_ms: u64,
    fee_max: Amount,
    operation: Operation,
) -> Transaction {
    let content = TransactionContent {
        network: network_tag(genesis),
        chain: purse.chain,
        wallet: purse.id,
        nonce: Nonce { lane: 0, sequence },
        valid_until: TimestampMs(valid_until_ms),
        fee: FeeBid { fee_max, ..FeeBid::default() },
        policy: purse.policy(),
        operation,
    };
    content.signed_by(genesis, &purse.secret)
}
