//! Which bank may seal a transaction first, so that a client who posts to two banks at once costs neither of them anything.
//!
//! Of two copies in batches one is executed, and while weight has a price the other is charged to the bank that sealed it (PROTOCOL rule 17). What a
//! valid batch holds is not sealed again ([`mempool::Pool::hold`]); but two banks that seal within the time that a batch takes between them do
//! not know that. So while weight has a price the banks take ranks: the bank of the wallet seals at once, the seats after its own wait one,
//! two or three steps, and hold the nonce for so long. A batch of the first is here by then, and holds it from there on.
//!
//! Where the wallet's bank has no seat that may be ordered, another one, chosen by its number, is the first. A bank that is down costs its
//! customers a step at the next one. At a base fee of zero nothing waits: a copy costs nobody anything, and the fastest bank serves.
//!
//! More than [`FIRST_CLAIMS_MAX`] are not held: then as before, a copy may be charged.

use std::collections::BTreeSet;

use ledger::records::Nonce;
use ledger::values::{OperatorId, ValidatorIndex, WalletId};
use mempool::{PoolRefusal, Pooled};

use crate::chain::Chain;
use crate::config::{FIRST_CLAIM_MARGIN_MS, FIRST_CLAIM_STEPS_MAX, FIRST_CLAIMS_MAX};
use crate::step::Now;

/// Nonces that are held for another bank, and until when.
#[derive(Debug, Default)]
pub(crate) struct FirstClaims(BTreeSet<(u64, WalletId, Nonce)>);

impl FirstClaims {
    /// The pool holds none of them any more.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}

impl Chain {
    /// What each transaction waits for banks that come before this one.
    pub(crate) fn claims_before(&self, pooled: &[Pooled]) -> Vec<(u64, WalletId, Nonce)> {
        if self.base_fee_above_tip().is_zero() {
            return Vec::new();
        }
        let Some(own) = self.config.own_validator else { return Vec::new() };
        let step_ms = self.config.batch_pace_ms().saturating_add(FIRST_CLAIM_MARGIN_MS);
        let claim = |one: &Pooled| {
            let steps = self.seats_before(own, one.operator).min(FIRST_CLAIM_STEPS_MAX);
            let content = &one.transaction.content;
            (steps.saturating_mul(step_ms), content.wallet, content.nonce)
        };
        pooled.iter().map(claim).collect()
    }

    /// Seats from the one that seals first to `own`.
    fn seats_before(&self, own: ValidatorIndex, operator: OperatorId) -> u64 {
        let base_fee = self.base_fee_above_tip();
        let (seats, rules) = (self.config.validators(), &self.config.rules);
        let is_served = |seat: u16| rules.may_order(self.config.epoch, ValidatorIndex(seat), base_fee);
        let of_bank = seats.iter().zip(0_u16..).filter(|(seat, _)| seat.operator == operator);
        let count = u64::try_from(seats.len()).unwrap_or(u64::MAX);
        let stand_in = || u64::from(operator.0).checked_rem(count).unwrap_or(0);
        let mut own_seats = of_bank.map(|(_, index)| index).filter(|seat| is_served(*seat));
        let first = own_seats.next().map_or_else(stand_in, u64::from);
        let own = u64::from(own.0);
        count.saturating_add(own).saturating_sub(first).checked_rem(count).unwrap_or(0)
    }

    /// Holds the nonces of what the pool has taken in for those who come before.
    pub(crate) fn hold_claims(
        &mut self,
        now: Now,
        claims: Vec<(u64, WalletId, Nonce)>,
        answers: &[Result<(), PoolRefusal>],
    ) {
        for ((wait_ms, wallet, nonce), answer) in claims.into_iter().zip(answers) {
            let claim = (now.elapsed_ms.saturating_add(wait_ms), wallet, nonce);
            let is_held = wait_ms > 0 && answer.is_ok() && self.first_claims.0.len() < FIRST_CLAIMS_MAX;
            if is_held && self.first_claims.0.insert(claim) {
                self.pool.hold([(wallet, nonce)]);
            }
        }
    }

    /// Whoever came before has had its time.
    pub(crate) fn end_claims(&mut self, now: Now) {
        while let Some((_, wallet, nonce)) =
            self.first_claims.0.first().copied().filter(|(until_ms, ..)| *until_ms <= now.elapsed_ms)
        {
            self.first_claims.0.pop_first();
            self.pool.free([(wallet, nonce)]);
        }
    }
}
