//! The line of PROTOCOL rule 7: whether a transaction consumes its nonce. Guards run in the order of the
//! codes of [`NotExecuted`], but for a wallet that has moved, which is told first; before they all pass nothing is written.

use super::chain_rules::ChainRules;
use super::fee::base_due;
use crate::records::transaction::network_tag;
use crate::records::wallet::NONCE_WINDOW;
use crate::records::{Nonce, NotExecuted, TransactionContent, WalletRecord, WalletStatus};
use crate::state::pins::is_here;
use crate::values::{FeeRate, PolicyHash, TimestampMs};

/// Moment and price at which a transaction is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    /// The block's timestamp.
    pub now: TimestampMs,
    /// The block's base fee.
    pub base_fee: FeeRate,
}

/// A wallet that a transaction names, the signer's or the sponsor's.
#[derive(Debug, Clone, Copy)]
pub struct Party<'a> {
    /// Hash of the policy that the transaction carries for it.
    pub policy: PolicyHash,
    /// Its record; none where it does not exist on this chain.
    pub wallet: Option<&'a WalletRecord>,
}

/// Whether `content` of `signer` is executed, where `sponsor` pays the fee; `weight` is that of the signed transaction
/// ([`super::weight`]).
///
/// # Errors
/// The first guard that does not hold.
pub fn admit(
    rules: &ChainRules,
    content: &TransactionContent,
    signer: Party<'_>,
    sponsor: Option<Party<'_>>,
    weight: u64,
    at: Circumstances,
) -> Result<(), NotExecuted> {
    let valid_until = content.valid_until;
    if content.network != network_tag(rules.genesis) {
        return Err(NotExecuted::WrongNetwork {});
    }
    if content.chain != rules.chain {
        return Err(NotExecuted::WrongChain { chain: content.chain });
    }
    if valid_until < at.now {
        return Err(NotExecuted::Expired { valid_until });
    }
    let latest = TimestampMs(at.now.0.saturating_add(rules.params.transaction_ttl_ms_max));
    if valid_until > latest {
        return Err(NotExecuted::ValidUntilTooFar { valid_until, latest });
    }
    let wallet = signer.wallet.ok_or(NotExecuted::WalletUnknown {})?;
    // Before the others: of a wallet that is elsewhere this chain may know nothing but that.
    if let WalletStatus::Moved { to } = wallet.status {
        return Err(NotExecuted::WalletMoved { to });
    }
    if wallet.policy != signer.policy {
        return Err(NotExecuted::PolicyMismatch {});
    }
    if wallet.status == WalletStatus::Closed {
        return Err(NotExecuted::WalletClosed {});
    }
    check_nonce(wallet, content.nonce, rules.params.tier(wallet.tier).lanes)?;
    let due = base_due(rules, wallet, at.base_fee, weight);
    if due > content.fee.fee_max {
        return Err(NotExecuted::FeeMaxTooLow { due });
    }
    sponsor.map_or(Ok(()), check_sponsor)
}

/// One that has moved is elsewhere: here it is unknown.
fn check_sponsor(sponsor: Party<'_>) -> Result<(), NotExecuted> {
    let wallet = sponsor.wallet.filter(|wallet| is_here(wallet)).ok_or(NotExecuted::SponsorUnknown {})?;
    if wallet.policy != sponsor.policy {
        return Err(NotExecuted::SponsorPolicyMismatch {});
    }
    if wallet.status != WalletStatus::Active {
        return Err(NotExecuted::SponsorNotActive {});
    }
    Ok(())
}

/// Whether a nonce is unused and within its lane's window (PROTOCOL rule 8).
///
/// # Errors
/// What is wrong with it, with the lane's state: its sender can name the nonce that is missing.
pub fn check_nonce(wallet: &WalletRecord, nonce: Nonce, lanes: u16) -> Result<(), NotExecuted> {
    if nonce.lane >= lanes {
        return Err(NotExecuted::LaneNotAllowed { lanes });
    }
    let lane = wallet.lanes.get(usize::from(nonce.lane)).copied().unwrap_or_default();
    if lane.is_open(nonce.sequence) {
        return Ok(());
    }
    if nonce.sequence > lane.highest {
        return Err(NotExecuted::NonceTooFarAhead { lane });
    }
    if lane.highest.saturating_sub(nonce.sequence) >= NONCE_WINDOW {
        return Err(NotExecuted::NonceTooOld { lane });
    }
    Err(NotExecuted::NonceUsed { lane })
}
