//! Ids, amounts and hashes as people write them.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use genesis::ChainList;
use ledger::values::{Amount, ChainId, Currency, LockId, OpeningRequest, PublicKey, TransactionId, WalletId};

use crate::Target;

pub(crate) const TARGETS: &[Target] = &[
    Target::plain("text-id", ids),
    Target::plain("text-amount", amounts),
    Target::plain("text-list", lists),
];

/// Reads back as the same value, and the second text is final.
fn same<T: FromStr + Display + Debug + PartialEq>(text: &str) -> Option<String> {
    let value: T = text.parse().ok()?;
    let written = value.to_string();
    let again = written.parse::<T>();
    assert!(again.is_ok_and(|again| again == value), "{text:?} is written as {written:?}");
    Some(written)
}

/// Has one spelling only.
fn one<T: FromStr + Display + Debug + PartialEq>(text: &str) {
    if let Some(written) = same::<T>(text) {
        assert_eq!(written, text, "one id has two texts");
    }
}

fn ids(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    one::<WalletId>(text);
    one::<LockId>(text);
    one::<OpeningRequest>(text);
    one::<Currency>(text);
    same::<TransactionId>(text);
    same::<PublicKey>(text);
    same::<ChainId>(text);
}

fn amounts(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    same::<Amount>(text);
}

fn lists(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    same::<ChainList>(text);
}
