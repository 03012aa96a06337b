//! What an adversary has: the keys of its bank, the rules that everybody knows, and the addresses of all.

use bytes::Bytes;
use consensus::Channel;
use genesis::dev::BankSecrets;
use ledger::records::registry::ROOT_CHAIN;
use ledger::records::transaction::network_tag;
use ledger::records::{
    BatchContent, FeeBid, Nonce, Operation, Payment, Policy, Transaction, TransactionContent,
};
use ledger::rules::ChainRules;
use ledger::values::{Amount, Epoch, SecretKey, TimestampMs, ValidatorIndex, WalletId};

use super::End;
use crate::dice::Dice;
use crate::links::{Content, Parcel};
use crate::machine::Network;

/// How long what it signs and seals may execute.
pub(super) const LIFE_MS: u64 = 30_000;
/// Before an adversary's own number.
const PURPOSE: u64 = 7_000_000;

/// The means of one bank, on chain 0.
#[derive(Clone)]
pub(crate) struct Arsenal {
    pub(super) rules: ChainRules,
    pub(super) node: u16,
    pub(super) seat: ValidatorIndex,
    pub(super) key: SecretKey,
    /// The bank's own wallet: it exists, and is empty unless it is the first bank's.
    wallet: (WalletId, SecretKey),
    /// All other nodes.
    pub(super) peers: Vec<u16>,
    pub(super) dice: Dice,
    sequence: u64,
}

impl Arsenal {
    /// What a bank has; `None` for one without a validator on chain 0 at genesis.
    pub(crate) fn new(seed: u64, network: &Network, bank: &BankSecrets, nodes: u16) -> Option<Self> {
        let (_, _, key) = bank.validators.iter().find(|(chain, ..)| *chain == ROOT_CHAIN)?;
        let rules = network.chains.get(&ROOT_CHAIN)?.rules.clone();
        let validators = rules.registry.validators(ROOT_CHAIN, Epoch(0));
        let seat = validators.iter().position(|validator| validator.consensus_key == key.public_key())?;
        let operator = &bank.operator;
        let id = rules.registry.operator_wallet(rules.genesis, rules.currency, operator.id)?;
        let node = bank.node.0;
        Some(Self {
            seat: ValidatorIndex(u16::try_from(seat).ok()?),
            key: key.clone(),
            wallet: (id, operator.wallet_key.clone()),
            peers: (0..nodes).filter(|peer| *peer != node).collect(),
            dice: Dice::new(seed, PURPOSE + u64::from(node)),
            sequence: 0,
            node,
            rules,
        })
    }

    /// A frame of the pipeline from this node.
    pub(super) fn frame(&self, to: u16, bytes: Bytes) -> Parcel {
        let content = Content::Chain(bytes);
        Parcel { chain: ROOT_CHAIN, from: self.node, end: End::Own, to, content }
    }

    /// A frame of the engine from this node.
    pub(super) fn engine_frame(&self, to: u16, channel: Channel, bytes: Bytes) -> Parcel {
        let content = Content::Engine { validator: self.seat.0, channel, bytes };
        Parcel { chain: ROOT_CHAIN, from: self.node, end: End::Own, to, content }
    }

    /// The same frame to every other node.
    pub(super) fn to_all(&self, bytes: &Bytes) -> Vec<Parcel> {
        self.peers.iter().map(|to| self.frame(*to, bytes.clone())).collect()
    }

    /// A number that it never gave before.
    fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// A transaction of the bank's own wallet.
    pub(super) fn own_transaction(&mut self, now_ms: u64, payments: Vec<Payment>) -> Transaction {
        let (wallet, secret) = self.wallet.clone();
        let policy = Policy::single(secret.public_key());
        self.content(now_ms, wallet, policy, payments).signed_by(self.rules.genesis, &secret)
    }

    /// What anybody may sign, with a number of its own.
    pub(super) fn content(
        &mut self,
        now_ms: u64,
        wallet: WalletId,
        policy: Policy,
        payments: Vec<Payment>,
    ) -> TransactionContent {
        TransactionContent {
            network: network_tag(self.rules.genesis),
            chain: self.rules.chain,
            wallet,
            nonce: Nonce { lane: 0, sequence: self.next() },
            valid_until: TimestampMs(now_ms + LIFE_MS),
            fee: FeeBid { fee_max: Amount::from_fen(1_000_000), ..FeeBid::default() },
            policy,
            operation: Operation::Pay { payments },
        }
    }

    /// A batch as an honest node would fill it; sealed later.
    pub(super) fn batch(&mut self, now_ms: u64, transactions: Vec<Transaction>) -> BatchContent {
        // Above those that the node itself gives: it counts from its clock.
        let sequence = now_ms.saturating_mul(1_000).saturating_add(self.next());
        BatchContent {
            chain: self.rules.chain,
            epoch: Epoch(0),
            sealer: self.seat,
            sequence,
            expires: TimestampMs(now_ms + LIFE_MS),
            transactions,
        }
    }

    /// Random bytes.
    pub(super) fn noise(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.dice.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    /// A random digest.
    pub(super) fn digest(&mut self) -> [u8; 32] {
        let mut digest = [0; 32];
        for part in digest.chunks_mut(8) {
            part.copy_from_slice(&self.dice.next().to_le_bytes());
        }
        digest
    }
}
