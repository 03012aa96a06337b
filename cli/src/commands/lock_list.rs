//! `jiaozi lock list`: the open locks and offers that name a wallet.

use api::lock::{LOCKS_PAGE_MAX, LockRole, LockView, LocksQuery};
use clap::Args;
use ledger::values::{ChainId, TimestampMs, WalletId};
use serde::Serialize;

use super::lock_view::money;
use super::wallet_view::locate;
use crate::clock;
use crate::connection::{Connection, NodeOptions};
use crate::failure::{Answer, Failure};
use crate::home::CurrencyOption;
use crate::keystore::KeystoreOptions;
use crate::output::{Output, Show, table};

/// Most locks that one command lists.
const LISTED_MAX: u32 = 10_000;
/// Pages that are asked for: each holds a full one, or was all that the node looked at in one step.
const PAGES_MAX: u32 = 1_000;

/// Whose locks, by which node.
#[derive(Debug, Args)]
pub(super) struct ListArguments {
    /// The wallet: its id, or its name in the keystore.
    #[arg(long, value_name = "WALLET")]
    wallet: String,
    /// Locks wanted.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(LISTED_MAX)))]
    limit: u32,
    /// Go on from here: what the list before ended with.
    #[arg(long, value_name = "PLACE")]
    from: Option<u64>,
    #[command(flatten)]
    node: NodeOptions,
    #[command(flatten)]
    currency: CurrencyOption,
    #[command(flatten)]
    keystore: KeystoreOptions,
}

/// The locks of a wallet.
#[derive(Debug, Serialize)]
struct Listed {
    wallet: String,
    locks: Vec<LockView>,
    /// Where to go on, if there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

impl Show for Listed {
    fn text(&self) -> String {
        if self.locks.is_empty() && self.next.is_none() {
            return format!("no open lock or offer names {}", self.wallet);
        }
        let rows = self.locks.iter().map(|lock| {
            let what = match lock.role {
                LockRole::HashLock => "hash lock",
                LockRole::ExchangeLock => "exchange",
                LockRole::Offer => "offer",
            };
            let asked = lock.asked.as_ref().map(money).unwrap_or_default();
            let deadline = clock::told(TimestampMs(lock.deadline_ms));
            vec![lock.id.to_string(), what.to_owned(), money(&lock.locked), asked, deadline]
        });
        let text = table(&["lock", "what", "gives", "asks", "deadline"], rows, &[2, 3]);
        let next = self.next.map(|next| format!("\n\nmore: --from {next}")).unwrap_or_default();
        text + &next
    }
}

/// Lists the locks of a wallet.
pub(super) fn list(arguments: &ListArguments, output: Output) -> Answer {
    let ListArguments { wallet, limit, from, node, currency, keystore } = arguments;
    let (connection, id, chain) = locate(wallet, node, *currency, keystore).map_err(|failure| {
        if failure.field.as_deref() == Some("--to") { failure.at("--wallet") } else { failure }
    })?;
    output.result(&listed(&connection, (id, chain), *limit, *from)?)
}

fn listed(
    connection: &Connection,
    (id, chain): (WalletId, Option<ChainId>),
    wanted: u32,
    from: Option<u64>,
) -> Answer<Listed> {
    let (mut locks, mut next) = (Vec::new(), from);
    for _ in 0..PAGES_MAX {
        let left = wanted.saturating_sub(u32::try_from(locks.len()).unwrap_or(u32::MAX));
        if left == 0 {
            return Ok(Listed { wallet: id.to_string(), locks, next });
        }
        let (chain, limit) = (chain.map(|chain| chain.0), Some(left.min(LOCKS_PAGE_MAX)));
        let query = LocksQuery { chain, from: next, limit };
        let page = connection.wait(connection.client.wallet_locks(id, query))?;
        // Never backwards: a node that leads in a circle is not followed.
        let is_onward = |after: &u64| next.is_none_or(|next| *after > next);
        if page.next.as_ref().is_some_and(|after| !is_onward(after)) {
            return Err(Failure::refused(
                "node_answer",
                "the node's list of locks leads back to where it was",
            )
            .at("--node")
            .mend("ask another node"));
        }
        locks.extend(page.locks);
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    Ok(Listed { wallet: id.to_string(), locks, next })
}

#[cfg(test)]
mod tests {
    use api::lock::LockMoment;
    use ledger::records::{LockKind, LockRecord, LockState};
    use ledger::values::{Amount, Currency, Height, LockId};

    use super::*;

    #[test]
    fn locks_are_a_table_and_their_absence_is_said() {
        let wallet = WalletId([1; 32]).to_string();
        let none = Listed { wallet: wallet.clone(), locks: Vec::new(), next: None };
        assert_eq!(none.text(), format!("no open lock or offer names {wallet}"));
        let lock = LockRecord {
            id: LockId([9; 32]),
            payer: WalletId([1; 32]),
            payee: WalletId([2; 32]),
            amount: Amount::from_fen(500),
            deadline: TimestampMs(1_767_225_600_000),
            kind: LockKind::Hash { hash: [7; 32] },
            state: LockState::Open,
        };
        let (chain, height, timestamp) = (ChainId(0), Height(7), TimestampMs(1));
        let moment = LockMoment { chain, height, timestamp, is_certified: true };
        let view = LockView::of_lock(moment, &lock, |_| Some(Currency(*b"CNY"))).unwrap();
        let text = Listed { wallet, locks: vec![view], next: Some(77) }.text();
        for part in ["jzl1", "hash lock", "5.00 CNY", "2026-01-01 00:00:00 UTC", "more: --from 77"] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
