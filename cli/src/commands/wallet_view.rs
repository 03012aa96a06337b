//! What the chain says of a wallet: `jiaozi wallet show`, `balance` and `history`.

use std::path::{Path, PathBuf};

use api::wallet::{Cursor, HISTORY_PAGE_MAX};
use api::{HistoryPage, HistoryQuery, MovementName, WalletState, WalletView};
use clap::Args;
use ledger::proofs::{Proof, ProofFile};
use ledger::values::{Amount, Canonical as _, ChainId, Money, WalletId};
use serde::Serialize;

use super::pay::{NamedWallet, named_wallet};
use crate::connection::{Connection, NodeOptions};
use crate::failure::{Answer, Failure};
use crate::home::{CurrencyOption, currency_of, home};
use crate::keystore::KeystoreOptions;
use crate::output::{Output, Show, facts, save_proof, table};

/// Which wallet, by which node.
#[derive(Debug, Args)]
pub(super) struct LookArguments {
    /// A wallet: its id, or its name in the keystore.
    wallet: String,
    #[command(flatten)]
    node: NodeOptions,
    #[command(flatten)]
    currency: CurrencyOption,
    #[command(flatten)]
    keystore: KeystoreOptions,
}

impl LookArguments {
    /// A connection, the wallet's id, and the chain to look on: known where a name or `--currency` tells the currency; else
    /// the node looks where the id may be at home.
    pub(super) fn find(&self) -> Answer<(Connection, WalletId, Option<ChainId>)> {
        locate(&self.wallet, &self.node, self.currency, &self.keystore).map_err(|failure| {
            if failure.field.as_deref() == Some("--to") { failure.at("WALLET") } else { failure }
        })
    }
}

/// A connection, the id of a wallet that a command names, and the chain that it is on, as far as that is known: see
/// [`LookArguments::find`].
pub(super) fn locate(
    wallet: &str,
    node: &NodeOptions,
    currency: CurrencyOption,
    keystore: &KeystoreOptions,
) -> Answer<(Connection, WalletId, Option<ChainId>)> {
    let named = named_wallet(wallet, &keystore.open()?)?;
    let (connection, chain) = (node.connect()?, node.chain);
    let (network, id, currency) = match (named, currency.currency) {
        (NamedWallet::Id(id), None) => return Ok((connection, id, chain.map(ChainId))),
        (NamedWallet::Id(id), Some(currency)) => (connection.network(None)?, id, currency),
        (NamedWallet::Entry(entry), named) => {
            let network = connection.network(None)?;
            let currency = currency_of(&network, &entry, named, chain)?;
            (network, entry.in_currency(currency)?.wallet_id()?, currency)
        }
    };
    // A chain that is named shows what it has, also the tombstone of a wallet that has moved away.
    if let Some(chain) = chain.map(ChainId).filter(|chain| network.chain(*chain).is_some()) {
        return Ok((connection, id, Some(chain)));
    }
    let home = home(&network, currency, id, chain)?;
    let is_child = network.chain(home).is_some_and(|place| place.parent.is_some());
    // While shards double it may not be at home yet. One that does not exist is shown as missing there.
    let found = if is_child { connection.find_wallet(&network, id, home).ok() } else { None };
    let chain = found.map_or(home, |found| ChainId(found.chain));
    Ok((connection, id, Some(chain)))
}

/// A wallet, and whether it is to be proved.
#[derive(Debug, Args)]
pub(super) struct ShowArguments {
    #[command(flatten)]
    pub(super) look: LookArguments,
    /// New file for the proof of what the wallet is, or that there is none.
    #[arg(long, value_name = "FILE")]
    pub(super) proof: Option<PathBuf>,
}

/// A page of a wallet's history.
#[derive(Debug, Args)]
pub(super) struct HistoryArguments {
    #[command(flatten)]
    look: LookArguments,
    /// Entries wanted.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=i64::from(HISTORY_PAGE_MAX)))]
    limit: u32,
    /// Only entries before this place, as the page before named it.
    #[arg(long, value_name = "CURSOR")]
    before: Option<Cursor>,
}

/// A wallet as the chain knows it.
#[derive(Debug, Serialize)]
struct Looked {
    #[serde(flatten)]
    view: WalletView,
    is_certified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<SavedProof>,
    #[serde(skip)]
    brief: bool,
}

/// Where a proof went, and the height that it is of: some blocks above the one shown beside it.
#[derive(Debug, Serialize)]
struct SavedProof {
    file: PathBuf,
    height: u64,
}

impl SavedProof {
    fn text(&self) -> String {
        format!("{} (of height {})", self.file.display(), self.height)
    }
}

/// That the chain has no such wallet, with the proof.
#[derive(Debug, Serialize)]
struct NoWallet {
    id: String,
    exists: bool,
    proof: SavedProof,
}

impl Show for NoWallet {
    fn text(&self) -> String {
        facts(&[
            ("wallet", self.id.clone()),
            ("status", "does not exist on the chain".to_owned()),
            ("proof", self.proof.text()),
        ])
    }
}

impl Show for Looked {
    fn text(&self) -> String {
        let view = &self.view;
        let certified = if self.is_certified { "certified" } else { "not certified yet" };
        let balance = Money::from_fen(view.balance_fen, view.currency).to_string();
        let at = format!("{} ({certified})", view.height);
        if self.brief {
            return facts(&[("wallet", view.id.to_string()), ("balance", balance), ("height", at)]);
        }
        let state = match view.status {
            WalletState::Active => "active".to_owned(),
            WalletState::Frozen => "frozen".to_owned(),
            WalletState::Closed => "closed".to_owned(),
            WalletState::Moved => match view.moved_to {
                Some(to) => format!("moved to chain {to}"),
                None => "moved".to_owned(),
            },
        };
        let lanes: Vec<String> =
            view.lanes.iter().map(|lane| format!("{}: {}", lane.lane, lane.highest)).collect();
        let mut lines = vec![
            ("wallet", view.id.to_string()),
            ("balance", balance),
            ("status", state),
            ("tier", format!("{:?}", view.tier).to_lowercase()),
            ("operator", view.operator.to_string()),
            ("policy", view.policy.to_string()),
            ("nonces used", lanes.join(", ")),
            ("chain", view.chain.to_string()),
            ("height", at),
        ];
        lines.extend(self.proof.as_ref().map(|proof| ("proof", proof.text())));
        facts(&lines)
    }
}

/// Shows a wallet; with `proof`, fetches the proof of it, or of its absence, into that new file first.
pub(super) fn look(arguments: &LookArguments, proof: Option<&Path>, output: Output, brief: bool) -> Answer {
    let (connection, id, chain) = arguments.find()?;
    let proof = match proof {
        None => None,
        Some(path) => {
            let bytes = connection.wait(connection.client.wallet_proof(id, chain))?;
            let file = ProofFile::decode(&bytes).map_err(|fault| {
                Failure::refused("proof_malformed", fault).mend("ask another node for the proof")
            })?;
            save_proof(path, &bytes)?;
            let height = file.proof.certified().result.height.0;
            let proof = SavedProof { file: path.to_owned(), height };
            if matches!(file.proof, Proof::Absence(_)) {
                return output.result(&NoWallet { id: id.to_string(), exists: false, proof });
            }
            Some(proof)
        }
    };
    let view = connection.wallet(id, chain)?;
    output.result(&Looked { is_certified: view.certified_height >= view.height, view, proof, brief })
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct History(HistoryPage);

impl Show for History {
    fn text(&self) -> String {
        let page = &self.0;
        let rows = page.entries.iter().map(|entry| {
            let (kind, sign) = match entry.kind {
                MovementName::Paid => ("paid", "-"),
                MovementName::Received => ("received", "+"),
                MovementName::Opened => ("opened", ""),
                MovementName::Issued => ("issued", "+"),
                MovementName::Redeemed => ("redeemed", "-"),
                MovementName::Refunded => ("refunded", "+"),
                MovementName::Locked => ("locked", "-"),
                MovementName::Settled => ("settled", "+"),
                MovementName::Returned => ("returned", "+"),
                MovementName::MovedOut => ("moved out", "-"),
                MovementName::MovedIn => ("moved in", "+"),
                MovementName::FeePaid => ("fee", "-"),
                MovementName::TipReceived => ("tip", "+"),
                MovementName::FeesSpent => ("collected fees", "+"),
            };
            let certified = if entry.height <= page.certified_height { "yes" } else { "no" };
            let amount = format!("{sign}{}", Amount::from_fen(entry.amount_fen));
            vec![
                entry.cursor.to_string(),
                entry.other_chain.map_or_else(|| kind.to_owned(), |chain| moved(entry.kind, chain)),
                amount,
                entry.counterparty.to_string(),
                certified.to_owned(),
            ]
        });
        let currency = page.currency.to_string();
        let text = table(&["place", "what", currency.as_str(), "counterparty", "certified"], rows, &[2]);
        let next = page.next.map(|next| format!("\n\nolder entries: --before {next}")).unwrap_or_default();
        text + &next
    }
}

/// A move with the chain at its other end.
fn moved(kind: MovementName, chain: u32) -> String {
    match kind {
        MovementName::MovedOut => format!("moved out to chain {chain}"),
        _ => format!("moved in from chain {chain}"),
    }
}

/// Shows a page of a wallet's history.
pub(super) fn history(arguments: &HistoryArguments, output: Output) -> Answer {
    let (connection, id, chain) = arguments.look.find()?;
    let chain = chain.map(|chain| chain.0);
    let query = HistoryQuery { chain, before: arguments.before, limit: Some(arguments.limit) };
    output.result(&History(connection.wait(connection.client.history(id, query))?))
}

#[cfg(test)]
mod tests {
    use ledger::values::{Currency, Height};

    use super::*;

    #[test]
    fn a_move_is_shown_with_the_chain_at_its_other_end() {
        let entry = |kind, other_chain| api::HistoryEntry {
            cursor: Cursor { height: Height(3), index: 0, part: 0 },
            height: 3,
            timestamp_ms: 1,
            transaction: None,
            lock: None,
            kind,
            counterparty: WalletId([7; 32]),
            other_chain,
            amount_fen: 500,
        };
        let page = HistoryPage {
            wallet: WalletId([7; 32]),
            chain: 2,
            currency: Currency(*b"CNY"),
            certified_height: 3,
            entries: vec![
                entry(MovementName::MovedOut, Some(4)),
                entry(MovementName::Received, None),
                entry(MovementName::MovedIn, Some(0)),
            ],
            next: None,
        };
        let text = History(page).text();
        let lines: Vec<&str> = text.lines().skip(1).collect();
        for (line, told) in lines.iter().zip(["moved out to chain 4 ", "received ", "moved in from chain 0 "])
        {
            assert!(line.contains(told), "{told}: {text}");
        }
    }
}
