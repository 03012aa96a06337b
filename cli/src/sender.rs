//! A wallet that acts through a node: its nonces are noted on disk, what is signed bids a fee, and what was refused has not used its nonce.

use api::{ApiError, NetworkView};
use ledger::records::{Nonce, NotExecuted, Operation, Sponsor, Transaction, TransactionContent};
use ledger::values::{ChainId, SecretKey, TimestampMs, TransactionId};
use wallet::{NonceBook, PartialTransaction, Reservation, TransactionBuilder};

use crate::connection::{Connection, Terms};
use crate::failure::{Answer, Exit, Failure};
use crate::fee::{Fee, FeeOption, Priced, Trial, is_for_fee};
use crate::home::home;
use crate::keystore::{Keystore, WalletEntry};
use crate::output::Output;
use crate::send::{Sent, WaitOptions, submit, wall_clock_ms};

/// A wallet that acts through a node.
pub struct Sender {
    /// The node.
    pub connection: Connection,
    /// The network as the node describes it.
    pub network: NetworkView,
    /// What transactions name.
    pub terms: Terms,
    /// Where the wallet and its nonces are.
    pub keystore: Keystore,
    /// The wallet.
    pub entry: WalletEntry,
    /// What it bids.
    pub fee: Fee,
    /// Who pays the fee, where it is another wallet.
    pub sponsor: Option<Sponsor>,
    pub(crate) valid_for_ms: u64,
    pub(crate) lane: u16,
}

impl Sender {
    /// A sender over parts at hand, which bids what the node estimates.
    #[must_use]
    pub const fn new(
        connection: Connection,
        network: NetworkView,
        terms: Terms,
        keystore: Keystore,
        entry: WalletEntry,
    ) -> Self {
        let (fee, sponsor) = (FeeOption::AUTO.fee, None);
        Self { connection, network, terms, keystore, entry, fee, sponsor, valid_for_ms: 600_000, lane: 0 }
    }

    /// The same for another wallet of the same keystore.
    #[must_use]
    pub fn of(self, entry: WalletEntry) -> Self {
        Self { entry, ..self }
    }

    /// The same on another chain of its currency.
    #[must_use]
    pub fn on(self, chain: ChainId) -> Self {
        Self { terms: Terms { chain, ..self.terms }, ..self }
    }

    /// The same where its wallet is. While shards double, a wallet whose home is a chain that was added may still be with its parent.
    pub(crate) fn where_it_is(self) -> Answer<Self> {
        let place = self.network.chain(self.terms.chain);
        if self.entry.operator.is_some() || place.is_none_or(|place| place.parent.is_none()) {
            return Ok(self);
        }
        let view = self.connection.find_wallet(&self.network, self.entry.wallet_id()?, self.terms.chain)?;
        Ok(self.on(ChainId(view.chain)))
    }

    /// The chain that the wallet is on after it has `moved` from the one that was signed for. Nothing is signed anew where the nonce of the
    /// `dead` transaction is used there: nonces move with the wallet, so it was executed before.
    pub(crate) fn moved_to(&self, dead: Option<&Transaction>, moved: Failure) -> Answer<ChainId> {
        // The network anew: the homes of wallets are others than when the command began.
        let network = self.connection.network(Some(self.terms.genesis))?;
        let id = self.entry.wallet_id()?;
        let home = home(&network, self.terms.currency, id, None)?;
        let view = self.connection.find_wallet(&network, id, home)?;
        if view.chain == self.terms.chain.0 {
            return Err(moved);
        }
        let nonce = dead.map(|dead| dead.content.nonce);
        let is_used = |nonce: Nonce| {
            let lane = view.lanes.iter().find(|lane| lane.lane == nonce.lane);
            lane.is_none_or(|lane| !lane.state().is_open(nonce.sequence))
        };
        match (dead, nonce.is_some_and(is_used)) {
            (Some(dead), true) => Err(executed_before(dead.id(self.terms.genesis))),
            _ => Ok(ChainId(view.chain)),
        }
    }

    /// What is to be signed, under a nonce that is on disk as used, with a bid that was tried out at the node.
    ///
    /// # Errors
    /// [`Failure`] when the wallet does not exist on the chain or has no free nonce, there is no bid, or the trial refuses it and that binds.
    pub fn content(&self, operation: Operation, trial: Trial, output: Output) -> Answer<Priced> {
        self.content_on(self.terms.chain, None, operation, trial, output)
    }

    /// `again` is the nonce of a transaction that must never be applied beside this one.
    fn content_on(
        &self,
        chain: ChainId,
        again: Option<Nonce>,
        operation: Operation,
        trial: Trial,
        output: Output,
    ) -> Answer<Priced> {
        let content = self.unpriced(chain, again, operation)?;
        let (nonces, nonce) = (self.nonces_of(&content), content.nonce);
        let terms = Terms { chain, ..self.terms };
        let bid = self.fee.bid((&self.connection, &self.network), terms, content, trial, output);
        if bid.is_err() {
            // Nothing was signed with it.
            nonces.give_back(nonce)?;
        }
        bid
    }

    fn nonces_of(&self, content: &TransactionContent) -> NonceBook {
        self.keystore.nonces(content.chain, content.wallet)
    }

    fn unpriced(
        &self,
        chain: ChainId,
        again: Option<Nonce>,
        operation: Operation,
    ) -> Answer<TransactionContent> {
        let id = self.entry.wallet_id()?;
        let view = self.connection.wallet(id, Some(chain))?;
        if let Some(to) = view.moved_to {
            return Err(moved(ChainId(to)));
        }
        let chain_time = TimestampMs(view.timestamp_ms);
        let now = TimestampMs(wall_clock_ms().max(chain_time.0));
        let valid_until = TimestampMs(now.0.saturating_add(self.valid_for_ms));
        let number = again.map_or(self.lane, |nonce| nonce.lane);
        let lane = view.lanes.iter().find(|view| view.lane == number).ok_or_else(|| {
            Failure::usage(
                "lane",
                format_args!("the wallet has {} nonce lanes, counted from 0", view.lanes.len()),
            )
            .at("--lane")
            .mend("use a lower lane")
        })?;
        let reservation =
            Reservation { lane: number, count: 1, valid_until, on_chain: lane.state(), chain_time };
        let nonces = self.keystore.nonces(chain, id);
        let nonce = match again {
            Some(nonce) => nonces.take_over(nonce, reservation).map(|()| nonce)?,
            None => nonces
                .reserve(reservation)?
                .first()
                .copied()
                .ok_or_else(|| Failure::refused("nonce", "no nonce was reserved"))?,
        };
        let policy = self.entry.policy()?;
        let mut builder = TransactionBuilder::new(self.terms.genesis, chain, id, policy);
        if let Some(Sponsor { wallet, policy }) = &self.sponsor {
            builder = builder.sponsored_by(*wallet, policy.clone());
        }
        Ok(builder.nonce(nonce).valid_until(valid_until).operation(operation).content()?)
    }

    /// Refuses a wallet that needs several signatures, before a nonce is spent on it.
    ///
    /// # Errors
    /// [`Failure`] naming the way around.
    pub fn require_own_signature_alone(&self) -> Answer {
        let WalletEntry { name, threshold, .. } = &self.entry;
        if *threshold <= 1 {
            return Ok(());
        }
        Err(Failure::refused("signatures_missing", format_args!("wallet {name} needs {threshold} signatures"))
            .mend("write the transaction into a file, with `tx prepare` or `wallet open --out`; then: tx sign, tx submit"))
    }

    /// A complete transaction under the wallet's own key.
    ///
    /// # Errors
    /// [`Failure`], also when the policy needs more signatures.
    pub fn sign(&self, operation: Operation, secret: &SecretKey, output: Output) -> Answer<Transaction> {
        self.sign_on(self.terms.chain, None, operation, secret, output)
    }

    pub(crate) fn sign_on(
        &self,
        chain: ChainId,
        again: Option<Nonce>,
        operation: Operation,
        secret: &SecretKey,
        output: Output,
    ) -> Answer<Transaction> {
        self.require_own_signature_alone()?;
        let Priced { content, .. } = self.content_on(chain, again, operation, Trial::Binds, output)?;
        let mut partial = PartialTransaction::new(self.terms.genesis, content);
        partial.sign(secret)?;
        Ok(partial.complete()?)
    }

    /// Submits a transaction and waits as asked.
    ///
    /// # Errors
    /// [`Failure`]: refused at submission, rejected by execution, or not there in time.
    pub fn submit(&self, transaction: &Transaction, options: &WaitOptions, output: Output) -> Answer<Sent> {
        let id = transaction.id(self.terms.genesis);
        let nonces = self.nonces_of(&transaction.content);
        match submit(&self.connection, transaction, id, options, output) {
            Err(failure) if is_for_fee(&failure) => {
                // Not executed; but nobody is sure that it never will be, so what is signed next has the same nonce.
                nonces.give_back(transaction.content.nonce)?;
                Err(self.fee.mended(failure))
            }
            Err(failure) if failure.exit == Exit::Refused => {
                // Whatever was refused has not used its nonce or has used it for good; either way it is settled.
                nonces.resolve(transaction.content.nonce)?;
                Err(failure)
            }
            Ok(sent) => {
                if sent.status.is_terminal() {
                    nonces.resolve(transaction.content.nonce)?;
                }
                Ok(Sent { chain: Some(transaction.content.chain), ..sent })
            }
            other => other,
        }
    }
}

/// A transaction whose wallet has moved was executed before it did.
pub(crate) fn executed_before(id: TransactionId) -> Failure {
    let message =
        format!("the wallet has moved, and transaction {id} was executed before: nothing was signed anew");
    Failure::refused("executed_before_move", message)
        .mend(format!("see what became of it: jiaozi tx show {id}"))
}

/// Whether something was refused because its wallet is on another chain.
pub(crate) fn is_moved(failure: &Failure) -> bool {
    failure.code == moved(ChainId(0)).code
}

/// The refusal of a wallet that is on another chain.
pub(crate) fn moved(to: ChainId) -> Failure {
    ApiError::from(NotExecuted::WalletMoved { to }).into()
}

#[cfg(test)]
mod tests {
    use ledger::records::Policy;
    use ledger::values::GenesisHash;

    use super::*;
    use crate::connection::NodeOptions;
    use crate::keystore::NewWallet;

    #[test]
    fn a_wallet_of_several_signatures_is_refused_before_anything_is_asked_or_spent() {
        let folder = tempfile::tempdir().unwrap();
        let keystore = Keystore::at(folder.path().to_owned());
        let keys = [1, 2].map(|seed| SecretKey::from_seed([seed; 32]).public_key());
        let (genesis, currency) = (GenesisHash([1; 32]), ledger::values::Currency(*b"CNY"));
        let mut sender = None;
        for (threshold, code) in [(1, None), (2, Some("signatures_missing"))] {
            let new = NewWallet {
                name: format!("of-{threshold}"),
                genesis,
                currency,
                policy: Policy::new(threshold, keys.to_vec()).unwrap(),
                salt: [0; 16],
                operator: None,
                seed: "seed.key".to_owned(),
                index: 0,
            };
            let entry = keystore.add(new).unwrap();
            let node = "http://127.0.0.1:1".to_owned();
            let options = NodeOptions { node, token_file: None, ca_file: None, chain: None };
            let terms = Terms { genesis, chain: ledger::values::ChainId(0), currency };
            let at_desk = Keystore::at(folder.path().to_owned());
            let made = Sender::new(options.connect().unwrap(), network(genesis), terms, at_desk, entry);
            let refused = made.require_own_signature_alone().err();
            assert_eq!(refused.as_ref().map(|failure| failure.code.as_str()), code);
            sender = Some(made);
        }
        // Nothing is asked of the node, which is not there.
        let operation = Operation::Redeem { amount: ledger::values::Amount::from_fen(1) };
        let key = SecretKey::from_seed([1; 32]);
        let refused = sender.unwrap().sign(operation, &key, Output::new(true)).unwrap_err();
        assert!(refused.mend.contains("tx sign"), "{refused:?}");
    }

    /// A network without anything in it.
    fn network(genesis_hash: GenesisHash) -> NetworkView {
        NetworkView {
            network: "net".to_owned(),
            genesis_hash,
            version: "0".to_owned(),
            node: 0,
            registry_version: 0,
            operators: Vec::new(),
            nodes: Vec::new(),
            chains: Vec::new(),
        }
    }
}
