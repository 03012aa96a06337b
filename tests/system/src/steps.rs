//! What tests do with a cluster of processes again and again: start nodes, send and wait, issue the first money, audit, and look into
//! logs when something fails.

#![allow(clippy::unwrap_used, reason = "a harness fails loudly")]

use std::ops::Range;
use std::process::Command;
use std::time::Duration;

use ledger::records::{Operation, Payment, Policy, Tier, Transaction, WalletOpening};
use ledger::values::{Amount, ChainId, Currency, SecretKey, TransactionId, WalletId};

use crate::cluster::{Cluster, Payer, jiaozi_binary};

/// How long a step may take, also beside compilers.
const STEP_MAX: Duration = Duration::from_secs(120);

impl Cluster {
    /// Starts nodes as processes, and waits until each of them is ready.
    ///
    /// # Panics
    /// When one does not start or is not ready in time.
    pub async fn spawn_ready(&mut self, nodes: Range<usize>) {
        let jiaozi = jiaozi_binary();
        for index in nodes.clone() {
            self.spawn(index, &jiaozi);
        }
        for index in nodes {
            self.wait_ready(index, STEP_MAX).await;
        }
    }

    /// Sends a transaction to a node and waits until that shows under a certificate that it was applied.
    ///
    /// # Panics
    /// When the node refuses it, it is not certified in time, or it was not applied.
    pub async fn certify(&self, node: usize, transaction: &Transaction) -> TransactionId {
        let (client, id) = (self.client(node), transaction.id(self.localnet.spec.hash()));
        client.submit(transaction).await.unwrap();
        let status = client.wait_certified(id, STEP_MAX).await;
        let status = status.unwrap_or_else(|fault| panic!("node {node}: {fault}\n{}", self.logs()));
        assert!(status.outcome.as_ref().is_some_and(|outcome| outcome.is_applied), "{status:?}");
        id
    }

    /// The central bank's first transaction on a chain: it issues money to a wallet.
    ///
    /// # Panics
    /// As [`Self::certify`].
    pub async fn issue_first(&self, chain: ChainId, to: WalletId, fen: u64) {
        let currency = self.localnet.spec.chain(chain).unwrap().currency;
        let central = &self.localnet.central_bank;
        let central = Payer::operator_in(currency, &self.localnet, central.id, &central.wallet_key);
        let issue = Operation::Issue { to, amount: Amount::from_fen(fen) };
        self.certify(0, &central.sign_on(chain, 1, issue)).await;
    }

    /// What the auditor prints about a stopped bank's database, which it must find in order.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn audit(&self, bank: usize) -> String {
        let mut command = Command::new(jiaozi_binary());
        command.args(["audit", "replay", "--data"]).arg(self.data_directory(bank));
        command.arg("--genesis").arg(self.directory.join("genesis.json"));
        let replayed = command.env_remove("JIAOZI_NODE").output().unwrap();
        assert!(replayed.status.success(), "{replayed:?}");
        String::from_utf8(replayed.stdout).unwrap()
    }

    /// The ends of all nodes' logs.
    #[must_use]
    pub fn logs(&self) -> String {
        let tail = |index| format!("--- node {index}\n{}", self.log_tail(index));
        (0..self.nodes()).map(tail).collect::<Vec<_>>().join("\n")
    }
}

/// Payments of so many fen each.
#[must_use]
pub fn pay(payments: &[(WalletId, u64)]) -> Operation {
    let payments =
        payments.iter().map(|(payee, fen)| Payment { payee: *payee, amount: Amount::from_fen(*fen) });
    Operation::Pay { payments: payments.collect() }
}

/// A wallet that is at home on the second of two CNY shards, and how the bank of `payer` opens it.
///
/// # Panics
/// When none of 256 salts leads there.
#[must_use]
pub fn customer(payer: &Payer, number: u8) -> (WalletId, WalletOpening) {
    let policy = Policy::single(SecretKey::from_seed([number; 32]).public_key()).hash();
    let two = std::num::NonZeroU16::new(2).unwrap();
    let id = |salt: u8| WalletId::derive(payer.genesis, Currency(*b"CNY"), policy, &[salt; 16]);
    let salt = (0..=u8::MAX).find(|salt| id(*salt).shard(two) == 1).unwrap();
    (id(salt), WalletOpening { policy, salt: [salt; 16], tier: Tier::One })
}
