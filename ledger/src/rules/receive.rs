//! Receipts that arrive from other chains. They arrive in the order of their numbers, each once; what cannot be credited goes
//! back.
//!
//! | receipt | guards, by code | otherwise |
//! | --- | --- | --- |
//! | credit | 206 payee unknown, 207 not active, 208 above its tier's limit | a refund is sent back; 211 to a payee that is elsewhere it is sent on |
//! | refund | none: neither cap nor freeze nor closure refuses it | 211 to a payer that is elsewhere it is sent on; suspense where nobody knows it |
//! | move | 210, 302, 303, 304: its money is suspense, as only a dishonest chain sends such | the wallet is here |
//! | keep, end | 303, 304, 827: nothing changes | a place is kept free; the chain knows all its wallets |
//! | report | see [`super::growth`] | |
//! | change | 801 not from the root chain, 811 to 825 as at the root chain, which has passed them all | it is not made |
//! | offer, withdrawal, decision | see [`super::offers`] | |

use super::apply::Working;
use super::fee;
use super::govern::open_operator;
use super::growth;
use super::moving::{receive_end, receive_keep, receive_move};
use super::offers::{receive_decision, receive_offer, receive_withdrawal};
use super::registry_changes::apply_decided;
use super::whereabouts::Whereabouts;
use crate::records::outcome::APPLIED;
use crate::records::receipt::receipt_id;
use crate::records::registry::ROOT_CHAIN;
use crate::records::{
    Bundle, Change, MovementKind, OfferRecord, OfferState, Origin, Outcome, PairCounters, Receipt, Registry,
    Rejection, SupplyTerms, WalletStatus,
};
use crate::state::{PassedOver, ReceivedReceipt};
use crate::values::{Amount, ChainId, Height, OperatorId, WalletId};

/// At least what all chains of a currency may issue together, and half of what an amount can hold: a chain that would hold more was
/// sent money that was never issued.
pub const HOLDINGS_MAX: u64 = 1 << 63;

/// The receipts of a bundle that are executed now: those from the next one of its pair on, where the money in them can exist. What
/// came before is shown once more, and skipped: relays of one source need not agree on where a bundle begins.
///
/// # Errors
/// Why the bundle is passed over. That changes nothing: the same receipts may come in another bundle.
pub fn check_next<'a>(supply: &SupplyTerms, bundle: &'a Bundle) -> Result<&'a [Receipt], PassedOver> {
    let received = supply.pair(bundle.source()).received;
    let first = bundle.before.count;
    let rest = bundle.rest(received).ok_or(PassedOver::NotNext { first, next: received.count })?;
    let fen = |amount: Amount| i128::from(amount.fen());
    let total = |total: u128| i128::try_from(total).unwrap_or(i128::MAX);
    let mut holdings = fen(supply.issued).saturating_sub(fen(supply.redeemed));
    for pair in &supply.pairs {
        holdings = holdings.saturating_add(total(pair.received.total)).saturating_sub(total(pair.sent.total));
    }
    for receipt in rest {
        holdings = holdings.saturating_add(fen(receipt.value()));
    }
    if holdings > i128::from(HOLDINGS_MAX) { Err(PassedOver::Unbacked {}) } else { Ok(rest) }
}

/// Executes the next receipt from `source`; `index` is its position among all that the block executes.
pub fn receive(
    working: &mut Working<'_>,
    source: ChainId,
    receipt: &Receipt,
    index: u32,
) -> (Outcome, ReceivedReceipt) {
    let mut pair: PairCounters = working.supply.pair(source);
    let sequence = pair.received.count;
    // `check_next` and the bundle's own check bound both.
    pair.received = pair.received.plus(receipt.value()).unwrap_or(pair.received);
    working.supply.set_pair(pair);
    let mut sent_on = None;
    let code = match receipt {
        &Receipt::Credit { payer, payee, amount, .. } => {
            match working.whereabouts_of_credit(source, &payee) {
                Whereabouts::There(chain) => {
                    sent_on = Some(send_credit_on(working, (source, sequence), chain, receipt));
                    Rejection::SentOn.code()
                }
                found => match credit(working, found, payer, amount, index) {
                    Ok(()) => APPLIED,
                    Err(rejection) => {
                        refuse(working, (source, sequence), receipt, rejection, index);
                        rejection.code()
                    }
                },
            }
        }
        &Receipt::Refund { payer, payee, amount, .. } => {
            match working.whereabouts_of_refund(source, &payer) {
                Whereabouts::There(chain) => {
                    sent_on = Some((chain, working.supply.pair(chain).sent.count));
                    working.send(chain, receipt.clone());
                    Rejection::SentOn.code()
                }
                _ => {
                    working.give((index, 0), payer, MovementKind::Refunded, payee, amount);
                    APPLIED
                }
            }
        }
        &Receipt::Offer { lock: id, payer, payee, amount, asked, deadline } => {
            let state = OfferState::Open;
            let offer = OfferRecord { id, source, payer, payee, amount, asked, deadline, state };
            code_of(receive_offer(working, offer))
        }
        &Receipt::Decision { lock, payer, payee, settled, code } => {
            let refused = (!settled).then_some(code);
            code_of(receive_decision(working, source, lock, (payer, payee), refused, index))
        }
        &Receipt::Withdrawal { lock } => code_of(receive_withdrawal(working, source, lock)),
        Receipt::Change { version, height, is_urgent, change } => code_of(match source == ROOT_CHAIN {
            true => make_change(working, (*version, *height), *is_urgent, change, index),
            false => Err(Rejection::GovernElsewhere),
        }),
        Receipt::Report { is_filled } => code_of(growth::report(working, source, *is_filled)),
        Receipt::Move { wallet } => receive_move(working, source, wallet, index),
        Receipt::Keep { wallet } => code_of(receive_keep(working, source, *wallet)),
        Receipt::End {} => code_of(receive_end(working, source)),
    };
    let id = receipt_id(working.rules.genesis, source, working.rules.chain, sequence);
    let outcome = Outcome { id, transaction: receipt.hash(), index, code, fee: Amount::ZERO };
    (outcome, ReceivedReceipt { source, sequence, receipt: receipt.clone(), code, sent_on })
}

/// Makes a change that the root chain has decided; it holds from the next height on.
fn make_change(
    working: &mut Working<'_>,
    (version, height): (u64, Height),
    is_urgent: bool,
    change: &Change,
    index: u32,
) -> Result<(), Rejection> {
    let registry = working.registry();
    let next = u16::try_from(registry.operators.len()).unwrap_or(u16::MAX);
    let after = apply_decided(registry, change, is_urgent, height).map_err(|fault| fault.rejection())?;
    // ---- nothing below this line can fail ----
    working.set_registry(Registry { version, ..after });
    fee::spend(working, change, (index, 0));
    if let Change::AddOperator(operator) = change {
        open_operator(working, OperatorId(next), operator, index);
    }
    Ok(())
}

/// Learns the newest set of the bundle's source, which its links prove, and gives whether the certificate is still good: not of an
/// epoch before the newest that is known (PROTOCOL rule 2).
///
/// # Errors
/// The certificate is of an older epoch; the bundle is passed over.
pub(super) fn learn_sets(working: &mut Working<'_>, bundle: &Bundle) -> Result<(), PassedOver> {
    let (source, epoch) = (bundle.source(), bundle.certified.header.epoch);
    let newest = working.registry().newest_epoch(source).map_or(epoch, |record| record.epoch);
    if epoch < newest {
        return Err(PassedOver::StaleEpoch { epoch, newest });
    }
    if let Some(set) = bundle.newest_set().filter(|set| set.epoch > newest) {
        let mut registry = Registry::clone(working.registry());
        if let Some(record) = registry.chain_mut(source) {
            record.epochs = vec![set.clone()];
        }
        working.set_registry(registry);
    }
    Ok(())
}

pub(super) fn code_of(became: Result<(), Rejection>) -> u16 {
    became.map_or_else(Rejection::code, |()| APPLIED)
}

fn credit(
    working: &mut Working<'_>,
    payee: Whereabouts,
    payer: WalletId,
    amount: Amount,
    index: u32,
) -> Result<(), Rejection> {
    let Whereabouts::Here(place) = payee else { return Err(Rejection::PayeeUnknown) };
    let wallet = working.overlay.wallet(place).ok_or(Rejection::PayeeUnknown)?;
    if wallet.status != WalletStatus::Active {
        return Err(Rejection::PayeeNotActive);
    }
    let balance_max = working.rules.params.tier(wallet.tier).balance_max;
    let balance = wallet.balance.plus(amount).filter(|balance| *balance <= balance_max);
    let balance = balance.ok_or(Rejection::PayeeBalanceAboveTierLimit)?;
    // ---- nothing below this line can fail ----
    working.set_balance(place, balance);
    working.note((index, 0), place, MovementKind::Received, payer, amount);
    Ok(())
}

/// Sends a credit on to the chain where its payee is, and says under which number. It remembers where it was sent first.
fn send_credit_on(
    working: &mut Working<'_>,
    (source, sequence): (ChainId, u64),
    to: ChainId,
    receipt: &Receipt,
) -> (ChainId, u64) {
    let number = working.supply.pair(to).sent.count;
    let mut sent = receipt.clone();
    if let Receipt::Credit { origin, .. } = &mut sent {
        let destination = working.rules.chain;
        *origin = origin.or(Some(Origin { source, destination, sequence }));
    }
    working.send(to, sent);
    (to, number)
}

/// Sends a credit back to the chain of its payer, wherever it came from last. Where that cannot be, or this chain has not heard of it yet,
/// whoever sent the credit on gets the refund, and sends that on in turn: only chains of the currency are ever sent money.
fn refuse(
    working: &mut Working<'_>,
    (source, sequence): (ChainId, u64),
    receipt: &Receipt,
    reason: Rejection,
    index: u32,
) {
    let &Receipt::Credit { payer, payee, amount, origin, .. } = receipt else { return };
    let (own, code) = (working.rules.chain, reason.code());
    let here = Origin { source, destination: own, sequence };
    let mut first = origin.unwrap_or(here);
    if working.rules.currency_of(first.source) != Some(working.rules.currency) {
        first.source = source;
    }
    let to = match working.whereabouts(&payer) {
        Whereabouts::There(to) if first.source == own => to,
        _ if first.source == own => {
            working.give((index, 0), payer, MovementKind::Refunded, payee, amount);
            return;
        }
        _ => first.source,
    };
    let (chain, credit) = (first.destination, first.sequence);
    working.send(to, Receipt::Refund { chain, credit, payer, payee, amount, code });
}
