//! Building a transaction. What is built passes the ledger's own check, so it can be signed and submitted.

use ledger::records::transaction::network_tag;
use ledger::records::{
    Asked, FeeBid, Nonce, Operation, Payment, Policy, Sponsor, Transaction, TransactionContent, WalletOpening,
};
use ledger::values::{
    Amount, Canonical as _, ChainId, CodecError, GenesisHash, LockId, SecretKey, TimestampMs, WalletId,
};

use crate::partial::{PartialError, PartialTransaction};

/// Collects what a transaction says.
#[derive(Debug, Clone)]
pub struct TransactionBuilder {
    genesis: GenesisHash,
    chain: ChainId,
    wallet: WalletId,
    policy: Policy,
    fee: FeeBid,
    nonce: Option<Nonce>,
    valid_until: Option<TimestampMs>,
    operation: Option<Operation>,
}

/// Why there is no transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A part was not given.
    #[error("the transaction has no {field}. Mend: set it before building")]
    Missing {
        /// Which.
        field: &'static str,
    },
    /// A part is out of bounds.
    #[error("the transaction cannot be signed: {0}. Mend: correct that field")]
    Invalid(#[from] CodecError),
}

impl TransactionBuilder {
    /// For `wallet` on `chain`, under its current `policy`. No fee is bid.
    #[must_use]
    pub fn new(genesis: GenesisHash, chain: ChainId, wallet: WalletId, policy: Policy) -> Self {
        Self {
            genesis,
            chain,
            wallet,
            policy,
            fee: FeeBid::default(),
            nonce: None,
            valid_until: None,
            operation: None,
        }
    }

    /// Its position; take it from a [`crate::NonceBook`].
    #[must_use]
    pub const fn nonce(mut self, nonce: Nonce) -> Self {
        self.nonce = Some(nonce);
        self
    }

    /// The last block timestamp at which it may execute.
    #[must_use]
    pub const fn valid_until(mut self, valid_until: TimestampMs) -> Self {
        self.valid_until = Some(valid_until);
        self
    }

    /// Valid for `ttl_ms` from `now`, which should be the chain's time.
    #[must_use]
    pub const fn valid_for(self, now: TimestampMs, ttl_ms: u64) -> Self {
        self.valid_until(TimestampMs(now.0.saturating_add(ttl_ms)))
    }

    /// What it may cost, and who pays that. It takes the place of a sponsor that was named before.
    #[must_use]
    pub fn fee(mut self, fee: FeeBid) -> Self {
        self.fee = fee;
        self
    }

    /// Another wallet pays the fee: its keys sign, too.
    #[must_use]
    pub fn sponsored_by(mut self, wallet: WalletId, policy: Policy) -> Self {
        self.fee.sponsor = Some(Sponsor { wallet, policy });
        self
    }

    /// What it asks for.
    #[must_use]
    pub fn operation(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Pays one payee.
    #[must_use]
    pub fn pay(self, payee: WalletId, amount: Amount) -> Self {
        self.operation(Operation::Pay { payments: vec![Payment { payee, amount }] })
    }

    /// Pays several, all or none.
    #[must_use]
    pub fn pay_all(self, payments: Vec<Payment>) -> Self {
        self.operation(Operation::Pay { payments })
    }

    /// Opens wallets, all or none.
    #[must_use]
    pub fn open_wallets(self, wallets: Vec<WalletOpening>) -> Self {
        self.operation(Operation::OpenWallets { wallets })
    }

    /// Issues money.
    #[must_use]
    pub fn issue(self, to: WalletId, amount: Amount) -> Self {
        self.operation(Operation::Issue { to, amount })
    }

    /// Redeems money.
    #[must_use]
    pub fn redeem(self, amount: Amount) -> Self {
        self.operation(Operation::Redeem { amount })
    }

    /// Locks money for whoever shows the preimage of `hash` (bare SHA-256) until `deadline`.
    #[must_use]
    pub fn lock(self, payee: WalletId, amount: Amount, hash: [u8; 32], deadline: TimestampMs) -> Self {
        self.operation(Operation::Lock { payee, amount, hash, deadline })
    }

    /// Claims a hash lock.
    #[must_use]
    pub fn claim(self, lock: LockId, preimage: [u8; 32]) -> Self {
        self.operation(Operation::Claim { lock, preimage })
    }

    /// Locks money for `payee`, to be given for what is `asked` on the chain of another currency until `deadline`.
    #[must_use]
    pub fn exchange(
        self,
        payee: WalletId,
        amount: Amount,
        chain: ChainId,
        asked: Asked,
        deadline: TimestampMs,
    ) -> Self {
        self.operation(Operation::Exchange { payee, amount, chain, asked, deadline })
    }

    /// Accepts an offer: pays what it asks for, so that `to` gets what its lock holds: `receives`, on chain `source`.
    #[must_use]
    pub fn accept(
        self,
        offer: LockId,
        (payee, amount): (WalletId, Amount),
        (source, to, receives): (ChainId, WalletId, Amount),
    ) -> Self {
        self.operation(Operation::Accept { offer, payee, amount, receives, source, to })
    }

    /// Declines an offer.
    #[must_use]
    pub fn decline(self, offer: LockId) -> Self {
        self.operation(Operation::Decline { offer })
    }

    /// Withdraws an offer, unless it is accepted before the word arrives.
    #[must_use]
    pub fn withdraw(self, lock: LockId) -> Self {
        self.operation(Operation::Withdraw { lock })
    }

    /// What is to be signed.
    ///
    /// # Errors
    /// [`BuildError`] naming the part that is missing or out of bounds.
    pub fn content(self) -> Result<TransactionContent, BuildError> {
        let content = TransactionContent {
            network: network_tag(self.genesis),
            chain: self.chain,
            wallet: self.wallet,
            nonce: self.nonce.ok_or(BuildError::Missing { field: "nonce" })?,
            valid_until: self.valid_until.ok_or(BuildError::Missing { field: "valid_until" })?,
            fee: self.fee,
            policy: self.policy,
            operation: self.operation.ok_or(BuildError::Missing { field: "operation" })?,
        };
        content.check()?;
        Ok(content)
    }

    /// The transaction, signed by the keys of its policy, and of its sponsor's, among `secrets`.
    ///
    /// # Errors
    /// [`PartialError`], also when too few of a policy's keys are among them.
    pub fn sign(self, secrets: &[&SecretKey]) -> Result<Transaction, PartialError> {
        let genesis = self.genesis;
        let mut partial = PartialTransaction::new(genesis, self.content()?);
        for secret in secrets {
            partial.sign(secret)?;
        }
        partial.complete()
    }

    /// The transaction without signatures, for several people to sign.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn partial(self) -> Result<PartialTransaction, BuildError> {
        let genesis = self.genesis;
        Ok(PartialTransaction::new(genesis, self.content()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partial::Signer;

    const GENESIS: GenesisHash = GenesisHash([4; 32]);

    fn builder(secret: &SecretKey) -> TransactionBuilder {
        let policy = Policy::single(secret.public_key());
        TransactionBuilder::new(GENESIS, ChainId(0), WalletId([1; 32]), policy)
            .nonce(Nonce { lane: 0, sequence: 1 })
            .valid_for(TimestampMs(1_000), 60_000)
    }

    #[test]
    fn a_single_signature_is_what_the_ledger_makes() {
        let secret = SecretKey::from_seed([7; 32]);
        let build = || builder(&secret).pay(WalletId([2; 32]), Amount::from_fen(5));
        let signed = build().sign(&[&secret]).unwrap();
        let content = build().content().unwrap();
        assert_eq!(signed, content.clone().signed_by(GENESIS, &secret));
        assert_eq!((content.valid_until, content.network), (TimestampMs(61_000), [4; 4]));
        assert_eq!(signed.check(), Ok(()));
    }

    #[test]
    fn a_sponsor_signs_beside_the_wallet() {
        let (secret, sponsor) = (SecretKey::from_seed([7; 32]), SecretKey::from_seed([8; 32]));
        let policy = Policy::single(sponsor.public_key());
        let build = || {
            let built = builder(&secret).pay(WalletId([2; 32]), Amount::from_fen(5));
            built.sponsored_by(WalletId([3; 32]), policy.clone())
        };
        let signed = build().sign(&[&sponsor, &secret]).unwrap();
        assert_eq!((signed.signatures.len(), signed.sponsor_signatures.len()), (1, 1));
        let content = build().content().unwrap();
        assert_eq!(signed.sponsor_signatures, [content.sign_as_sponsor(GENESIS, 0, &sponsor)]);
        assert_eq!(Transaction::decode(&signed.encode()).unwrap(), signed);
        let alone = build().sign(&[&secret]).unwrap_err();
        assert!(matches!(alone, PartialError::Incomplete { of: Signer::Sponsor, have: 0, need: 1 }));
        // Nobody sponsors itself.
        let own = builder(&secret).pay(WalletId([2; 32]), Amount::from_fen(5));
        assert!(own.sponsored_by(WalletId([1; 32]), policy).content().is_err());
    }

    /// Everything that can be asked of locks is signed, and comes back from the bytes as it was.
    #[test]
    fn locks_and_exchanges_are_built_as_the_ledger_reads_them() {
        let secret = SecretKey::from_seed([7; 32]);
        let (payee, lock, deadline) = (WalletId([2; 32]), LockId([9; 32]), TimestampMs(9_000));
        let [five, six] = [5, 6].map(Amount::from_fen);
        let asked = Asked { payer: WalletId([3; 32]), payee: WalletId([4; 32]), amount: six };
        let chain = ChainId(1);
        for (built, expected) in [
            (
                builder(&secret).lock(payee, five, [8; 32], deadline),
                Operation::Lock { payee, amount: five, hash: [8; 32], deadline },
            ),
            (builder(&secret).claim(lock, [7; 32]), Operation::Claim { lock, preimage: [7; 32] }),
            (
                builder(&secret).exchange(payee, five, chain, asked, deadline),
                Operation::Exchange { payee, amount: five, chain, asked, deadline },
            ),
            (
                builder(&secret).accept(lock, (payee, six), (chain, asked.payer, five)),
                Operation::Accept {
                    offer: lock,
                    payee,
                    amount: six,
                    receives: five,
                    source: chain,
                    to: asked.payer,
                },
            ),
            (builder(&secret).decline(lock), Operation::Decline { offer: lock }),
            (builder(&secret).withdraw(lock), Operation::Withdraw { lock }),
        ] {
            let signed = built.sign(&[&secret]).unwrap();
            assert_eq!(signed.content.operation, expected);
            assert_eq!(Transaction::decode(&signed.encode()).unwrap(), signed);
        }
    }

    #[test]
    fn missing_and_wrong_parts_are_named() {
        let secret = SecretKey::from_seed([7; 32]);
        assert_eq!(builder(&secret).content(), Err(BuildError::Missing { field: "operation" }));
        let bare = TransactionBuilder::new(
            GENESIS,
            ChainId(0),
            WalletId([1; 32]),
            Policy::single(secret.public_key()),
        );
        assert_eq!(bare.redeem(Amount::ZERO).content(), Err(BuildError::Missing { field: "nonce" }));
        let no_payment = builder(&secret).pay_all(Vec::new()).content();
        assert!(no_payment.unwrap_err().to_string().contains("operation.payments"));
        let zero = builder(&secret).redeem(Amount::ZERO).nonce(Nonce { lane: 0, sequence: 0 }).content();
        assert!(zero.unwrap_err().to_string().contains("nonce.sequence"));
    }
}
