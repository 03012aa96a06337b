//! First come, first sealed, within bounds. Bids and fairness among operators come with the fee market.

use std::collections::BTreeMap;

use ledger::records::{Nonce, Transaction};
use ledger::values::{TimestampMs, TransactionId, WalletId};

/// Most transactions that wait.
pub const POOL_TRANSACTIONS_MAX: usize = 100_000;
/// Most encoded bytes that wait: about 130,000 single payments, so the count is usually met first.
pub const POOL_BYTES_MAX: usize = 32 << 20;
/// Most places that one wallet takes: as many as its nonce window lets execute.
pub const WALLET_TRANSACTIONS_MAX: usize = 128;

/// A transaction that was admitted: decoded, signature checked, trial-executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pooled {
    /// Its id.
    pub id: TransactionId,
    /// The transaction.
    pub transaction: Transaction,
    /// Length of its encoding.
    pub bytes: usize,
}

/// Why a transaction found no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PoolRefusal {
    /// It is waiting already: nothing to do.
    #[error("the transaction is waiting already")]
    Known,
    /// Another transaction of the wallet holds the nonce.
    #[error("another transaction with this nonce is waiting")]
    NonceTaken {
        /// The one that holds it.
        holder: TransactionId,
    },
    /// The wallet has its share of places.
    #[error("the wallet has {WALLET_TRANSACTIONS_MAX} transactions waiting")]
    WalletFull,
    /// No place for anybody.
    #[error("the pool is full")]
    Full,
}

/// Transactions in the order of their arrival.
#[derive(Debug, Default)]
pub struct Pool {
    waiting: BTreeMap<u64, Pooled>,
    arrivals: BTreeMap<TransactionId, u64>,
    nonces: BTreeMap<(WalletId, Nonce), TransactionId>,
    wallets: BTreeMap<WalletId, usize>,
    bytes: usize,
    next_arrival: u64,
}

impl Pool {
    /// Transactions waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Encoded bytes waiting.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the transaction is waiting.
    #[must_use]
    pub fn contains(&self, id: &TransactionId) -> bool {
        self.arrivals.contains_key(id)
    }

    /// Takes in a transaction.
    ///
    /// # Errors
    /// [`PoolRefusal`]; the pool is unchanged.
    pub fn insert(&mut self, pooled: Pooled) -> Result<(), PoolRefusal> {
        let (wallet, nonce) = (pooled.transaction.content.wallet, pooled.transaction.content.nonce);
        if self.contains(&pooled.id) {
            return Err(PoolRefusal::Known);
        }
        if let Some(holder) = self.nonces.get(&(wallet, nonce)) {
            return Err(PoolRefusal::NonceTaken { holder: *holder });
        }
        let places = self.wallets.get(&wallet).copied().unwrap_or(0);
        if places >= WALLET_TRANSACTIONS_MAX {
            return Err(PoolRefusal::WalletFull);
        }
        if self.len() >= POOL_TRANSACTIONS_MAX || self.bytes.saturating_add(pooled.bytes) > POOL_BYTES_MAX {
            return Err(PoolRefusal::Full);
        }
        self.wallets.insert(wallet, places + 1);
        self.nonces.insert((wallet, nonce), pooled.id);
        self.arrivals.insert(pooled.id, self.next_arrival);
        self.bytes += pooled.bytes;
        self.waiting.insert(self.next_arrival, pooled);
        self.next_arrival += 1;
        Ok(())
    }

    /// Takes out the oldest transactions, at most `count_max` of them with at most `bytes_max` encoded bytes.
    pub fn take(&mut self, count_max: usize, bytes_max: usize) -> Vec<Pooled> {
        let mut taken = Vec::new();
        let mut bytes = 0_usize;
        while taken.len() < count_max {
            let Some((_, oldest)) = self.waiting.first_key_value() else { break };
            bytes = bytes.saturating_add(oldest.bytes);
            if bytes > bytes_max {
                break;
            }
            let id = oldest.id;
            taken.extend(self.remove(&id));
        }
        taken
    }

    /// Takes out one transaction.
    pub fn remove(&mut self, id: &TransactionId) -> Option<Pooled> {
        let arrival = self.arrivals.remove(id)?;
        let pooled = self.waiting.remove(&arrival)?;
        let (wallet, nonce) = (pooled.transaction.content.wallet, pooled.transaction.content.nonce);
        self.nonces.remove(&(wallet, nonce));
        if let Some(places) = self.wallets.get_mut(&wallet) {
            *places -= 1;
            if *places == 0 {
                self.wallets.remove(&wallet);
            }
        }
        self.bytes -= pooled.bytes;
        Some(pooled)
    }

    /// Drops what can no longer execute and says what it was.
    pub fn expire(&mut self, now: TimestampMs) -> Vec<TransactionId> {
        let expired: Vec<_> = self
            .waiting
            .values()
            .filter(|pooled| pooled.transaction.content.valid_until < now)
            .map(|pooled| pooled.id)
            .collect();
        for id in &expired {
            self.remove(id);
        }
        expired
    }
}

#[cfg(test)]
mod tests {
    use ledger::records::{FeeBid, Operation, Policy, TransactionContent};
    use ledger::values::{Amount, ChainId, PublicKey};
    use proptest::prelude::*;

    use super::*;

    fn pooled(wallet: u8, sequence: u64, valid_until: u64) -> Pooled {
        let content = TransactionContent {
            network: [0; 4],
            chain: ChainId(0),
            wallet: WalletId([wallet; 32]),
            nonce: Nonce { lane: 0, sequence },
            valid_until: TimestampMs(valid_until),
            fee: FeeBid::default(),
            policy: Policy::single(PublicKey([1; 32])),
            operation: Operation::Redeem { amount: Amount::from_fen(sequence) },
        };
        let id = content.id(ledger::values::GenesisHash::default());
        Pooled { id, transaction: Transaction { content, signatures: Vec::new() }, bytes: 200 }
    }

    #[test]
    fn leaves_in_the_order_of_arrival() {
        let mut pool = Pool::default();
        for sequence in [3, 1, 2] {
            pool.insert(pooled(1, sequence, 10)).unwrap();
        }
        let order: Vec<_> =
            pool.take(2, usize::MAX).iter().map(|pooled| pooled.transaction.content.nonce.sequence).collect();
        assert_eq!(order, [3, 1]);
        assert_eq!((pool.len(), pool.bytes()), (1, 200));
    }

    #[test]
    fn stops_before_the_bytes_run_over() {
        let mut pool = Pool::default();
        for sequence in 1..=5 {
            pool.insert(pooled(1, sequence, 10)).unwrap();
        }
        assert_eq!(pool.take(5, 599).len(), 2);
    }

    #[test]
    fn refuses_by_the_tightest_bound() {
        let mut pool = Pool::default();
        let first = pooled(1, 1, 10);
        pool.insert(first.clone()).unwrap();
        assert_eq!(pool.insert(first.clone()), Err(PoolRefusal::Known));
        assert_eq!(pool.insert(pooled(1, 1, 11)), Err(PoolRefusal::NonceTaken { holder: first.id }));
        for sequence in 2..=WALLET_TRANSACTIONS_MAX as u64 {
            pool.insert(pooled(1, sequence, 10)).unwrap();
        }
        assert_eq!(pool.insert(pooled(1, 1_000, 10)), Err(PoolRefusal::WalletFull));
        let mut large = pooled(2, 1, 10);
        large.bytes = POOL_BYTES_MAX;
        assert_eq!(pool.insert(large), Err(PoolRefusal::Full));
    }

    #[test]
    fn expiry_frees_the_nonce() {
        let mut pool = Pool::default();
        let old = pooled(1, 1, 10);
        pool.insert(old.clone()).unwrap();
        assert!(pool.expire(TimestampMs(10)).is_empty());
        assert_eq!(pool.expire(TimestampMs(11)), [old.id]);
        pool.insert(pooled(1, 1, 20)).unwrap();
    }

    proptest! {
        /// Whatever is done, the indexes agree with the transactions.
        #[test]
        fn indexes_agree(steps in prop::collection::vec((0_u8..4, 0_u8..4, 1_u64..6), 0..200)) {
            let mut pool = Pool::default();
            for (kind, wallet, sequence) in steps {
                let candidate = pooled(wallet, sequence, u64::from(kind) + 10);
                match kind {
                    0 | 1 => { let _refused = pool.insert(candidate).is_err(); }
                    2 => { pool.remove(&candidate.id); }
                    _ => { pool.take(1, 1_000); }
                }
                prop_assert_eq!(pool.bytes, pool.waiting.len() * 200);
                prop_assert_eq!(pool.arrivals.len(), pool.waiting.len());
                prop_assert_eq!(pool.nonces.len(), pool.waiting.len());
                prop_assert_eq!(pool.wallets.values().sum::<usize>(), pool.waiting.len());
            }
        }
    }
}
