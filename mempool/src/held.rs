//! Nonces that valid batches hold which may still be executed, whoever sealed them.
//!
//! Of two transactions with one nonce, the same one or another version, at most one is executed; the other is charged to the operator
//! that sealed it while there is a base fee (PROTOCOL rule 17). Bounded by the batches that the taker keeps in memory.

use std::collections::HashMap;

use ledger::records::Nonce;
use ledger::values::WalletId;

/// How many batches hold each nonce.
#[derive(Debug, Default)]
pub(crate) struct Held(HashMap<(WalletId, Nonce), u32>);

impl Held {
    pub(crate) fn contains(&self, wallet: WalletId, nonce: Nonce) -> bool {
        self.0.contains_key(&(wallet, nonce))
    }

    /// One more batch holds it; whether it is the first.
    pub(crate) fn add(&mut self, wallet: WalletId, nonce: Nonce) -> bool {
        let batches = self.0.entry((wallet, nonce)).or_default();
        *batches = batches.saturating_add(1);
        *batches == 1
    }

    /// One batch holds it no longer; whether that was the last.
    pub(crate) fn remove(&mut self, wallet: WalletId, nonce: Nonce) -> bool {
        let Some(batches) = self.0.get_mut(&(wallet, nonce)) else { return false };
        *batches = batches.saturating_sub(1);
        let is_last = *batches == 0;
        if is_last {
            self.0.remove(&(wallet, nonce));
        }
        is_last
    }

    /// No batch holds any; answers which were held, in no order.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = (WalletId, Nonce)> + use<> {
        std::mem::take(&mut self.0).into_keys()
    }
}
