//! What payers may owe for what waits and for what was sealed, beside what they have.
//!
//! A door tries each transaction alone, on the balance that its payer has then. Here they are counted together: each promises its fee, at most, and
//! what it spends; the next may count on what is left. So a wallet with money for one fee cannot have many sealed, which would be charged to the
//! sealer's operator (PROTOCOL rule 17).
//!
//! Rules:
//! - A promise begins when a transaction comes in, and ends when it leaves the pool for good.
//! - What a balance was read before still counts after it was executed: a promise that was kept at some height is subtracted from balances
//!   of lower heights. For [`KEPT_HEIGHTS_MAX`] heights; a check takes less.
//! - Only what this node knows counts: what the payer sends elsewhere, and what it will be paid, does not.
//!
//! Failure: a sum that does not fit stays at the most that an [`Amount`] holds: nothing more is covered then.

use std::collections::{HashMap, VecDeque};

use ledger::records::TransactionContent;
use ledger::values::{Amount, Height, WalletId};

/// Heights whose executed transactions still count against older balances.
pub const KEPT_HEIGHTS_MAX: usize = 64;

/// What a payer had, by the state after a height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// How much.
    pub amount: Amount,
    /// The height.
    pub after: Height,
}

/// What one transaction may take from whom, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Promise {
    payer: WalletId,
    /// Its fee, as far as the payer has it.
    pub(crate) fee: Amount,
    signer: WalletId,
    spends: Amount,
}

impl Promise {
    /// Of a transaction whose payer has so much for it.
    pub(crate) fn new(content: &TransactionContent, fee: Amount) -> Self {
        Self { payer: content.payer(), fee, signer: content.wallet, spends: content.operation.spends() }
    }

    fn of(&self, wallet: WalletId) -> Amount {
        let fee = if self.payer == wallet { self.fee } else { Amount::ZERO };
        let spends = if self.signer == wallet { self.spends } else { Amount::ZERO };
        plus(fee, spends)
    }
}

/// The promises.
#[derive(Debug, Default)]
pub(crate) struct Funds {
    promised: HashMap<WalletId, Sum>,
    /// Kept by execution, ascending by height.
    kept: VecDeque<(Height, HashMap<WalletId, Amount>)>,
}

/// How much, of how many promises.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    fen: u128,
    count: usize,
}

impl Funds {
    /// What the payer of `content` has left for its fee; `instead` is the promise that it takes the place of.
    pub(crate) fn left(
        &self,
        content: &TransactionContent,
        balance: Balance,
        instead: Option<&Promise>,
    ) -> Amount {
        let payer = content.payer();
        let mut promised = self.promised.get(&payer).map_or(0, |sum| sum.fen);
        for (_, kept) in self.kept.iter().rev().take_while(|(height, _)| *height > balance.after) {
            promised += kept.get(&payer).map_or(0, |amount| u128::from(amount.fen()));
        }
        let promised = promised.saturating_sub(instead.map_or(0, |old| u128::from(old.of(payer).fen())));
        let left = u128::from(balance.amount.fen()).saturating_sub(promised);
        Amount::from_fen(u64::try_from(left).unwrap_or(u64::MAX))
    }

    pub(crate) fn promise(&mut self, promise: &Promise) {
        for (wallet, amount) in promise.parts() {
            let sum = self.promised.entry(wallet).or_default();
            sum.fen += u128::from(amount.fen());
            sum.count += 1;
        }
    }

    /// It takes nothing any more.
    pub(crate) fn release(&mut self, promise: &Promise) {
        for (wallet, amount) in promise.parts() {
            let Some(sum) = self.promised.get_mut(&wallet) else { continue };
            sum.fen -= u128::from(amount.fen());
            sum.count -= 1;
            if sum.count == 0 {
                self.promised.remove(&wallet);
            }
        }
    }

    /// It was executed at this height: balances of lower ones do not show it.
    pub(crate) fn keep(&mut self, promise: &Promise, height: Height) {
        self.release(promise);
        if self.kept.back().is_none_or(|(last, _)| *last < height) {
            self.kept.push_back((height, HashMap::new()));
            if self.kept.len() > KEPT_HEIGHTS_MAX {
                self.kept.pop_front();
            }
        }
        let Some((_, kept)) = self.kept.back_mut() else { return };
        for (wallet, amount) in promise.parts() {
            let sum = kept.entry(wallet).or_insert(Amount::ZERO);
            *sum = plus(*sum, amount);
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.promised.is_empty()
    }
}

impl Promise {
    /// What it takes from each wallet that it takes something from.
    fn parts(&self) -> impl Iterator<Item = (WalletId, Amount)> {
        [(self.payer, self.fee), (self.signer, self.spends)]
            .into_iter()
            .filter(|(_, amount)| !amount.is_zero())
    }
}

fn plus(left: Amount, right: Amount) -> Amount {
    left.plus(right).unwrap_or(Amount::from_fen(u64::MAX))
}
