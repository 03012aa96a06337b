//! What chains say of locks and offers: found, shown, and waited for.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use api::lock::{LockRole, LockStateName, LockView, SideView};
use api::{ApiError, ClientError, ErrorCode, OperationView};
use clap::Args;
use ledger::values::{Amount, ChainId, LockId, Money, TimestampMs};
use serde::Serialize;

use crate::clock;
use crate::connection::{Connection, NodeOptions};
use crate::failure::{Answer, Failure};
use crate::output::{Output, Show, facts, save_proof};
use crate::progress::Progress;
use crate::send::Sent;

/// Pause between two looks at a lock.
const POLL: Duration = Duration::from_millis(300);

/// Which lock or exchange, by which node.
#[derive(Debug, Args)]
pub(super) struct ShowArguments {
    /// The id of the lock or the exchange: a text that starts with jzl1.
    id: LockId,
    /// New file for the proof of it; of an exchange, --chain says of which side.
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    #[command(flatten)]
    node: NodeOptions,
}

/// What the chains of a node have under a lock's id: of an exchange, the lock and the offer.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    id: String,
    records: Vec<LockView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof_file: Option<PathBuf>,
}

impl Show for Shown {
    fn text(&self) -> String {
        let mut lines = lines(&self.records);
        lines.extend(self.proof_file.as_ref().map(|file| ("proof", file.display().to_string())));
        facts(&lines)
    }
}

/// A transaction about a lock, and what the chains then have of it.
#[derive(Debug, Serialize)]
pub(super) struct Acted {
    /// The transaction.
    #[serde(flatten)]
    pub(super) sent: Sent,
    /// The lock or the exchange.
    pub(super) lock: String,
    /// What the chains of the node have under that id.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) records: Vec<LockView>,
}

impl Show for Acted {
    fn text(&self) -> String {
        let sent = self.sent.text();
        if self.records.is_empty() {
            return format!("{sent}\n\n{}", facts(&[("lock id", self.lock.clone())]));
        }
        format!("{sent}\n\n{}", facts(&lines(&self.records)))
    }
}

/// Shows what the node's chains have under an id.
pub(super) fn show(arguments: &ShowArguments, output: Output) -> Answer {
    let connection = arguments.node.connect()?;
    let records = find(&connection, arguments.id, arguments.node.chain.map(ChainId))?;
    if let Some(path) = &arguments.proof {
        let [record] = records.as_slice() else {
            return Err(Failure::usage("chain_needed", "the exchange has a record on two chains")
                .at("--chain")
                .mend("say of which with --chain: the lock or the offer"));
        };
        let proof = connection.client.lock_proof(ChainId(record.chain), arguments.id);
        save_proof(path, &connection.wait(proof)?)?;
    }
    output.result(&Shown { id: arguments.id.to_string(), records, proof_file: arguments.proof.clone() })
}

/// What there is under an id: on the chain named, else on every chain that the node hosts; at least one.
pub(super) fn find(connection: &Connection, id: LockId, chain: Option<ChainId>) -> Answer<Vec<LockView>> {
    let found = records(connection, id, chain)?;
    if found.is_empty() {
        return Err(Failure::from(ApiError::from(ErrorCode::LockUnknown)).at("ID"));
    }
    Ok(found)
}

/// The same, or nothing.
pub(super) fn records(connection: &Connection, id: LockId, chain: Option<ChainId>) -> Answer<Vec<LockView>> {
    let chains = match chain {
        Some(chain) => vec![chain],
        None => hosted(connection)?,
    };
    let mut found = Vec::new();
    for chain in chains {
        found.extend(connection.wait(look(connection, chain, id))?);
    }
    // The lock before the offer.
    found.sort_by_key(|record| record.role == LockRole::Offer);
    Ok(found)
}

/// The chains that the node hosts.
pub(super) fn hosted(connection: &Connection) -> Answer<Vec<ChainId>> {
    let chains = connection.wait(connection.client.chains())?.chains;
    Ok(chains.iter().filter(|view| view.progress.is_some()).map(|view| ChainId(view.chain)).collect())
}

/// A lock or offer; `None` where the chain has none under this id.
async fn look(connection: &Connection, chain: ChainId, id: LockId) -> Result<Option<LockView>, ClientError> {
    match connection.client.lock(chain, id).await {
        Ok(found) => Ok(Some(found)),
        Err(ClientError::Refused(error)) if error.code == ErrorCode::LockUnknown.code() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Waits until a lock or an offer is decided under a certificate.
///
/// # Errors
/// [`Failure`] when it is not at `until`; it stays as it is then.
pub(super) fn decided(
    connection: &Connection,
    chain: ChainId,
    id: LockId,
    until: Instant,
    output: Output,
) -> Answer<LockView> {
    let progress = Progress::new("waiting for the decision", None, output.is_json());
    watch(connection, (chain, id), until, &progress, LockView::is_over)?.ok_or_else(|| {
        Failure::unreachable("not_decided_in_time", format_args!("{id} is not decided on chain {chain} yet"))
            .mend(format!("nothing is lost: look later with `jiaozi exchange show {id}`"))
    })
}

/// Waits until an offer has arrived on the chain that decides it.
///
/// # Errors
/// [`Failure`] when it has not at `until`.
pub(super) fn arrived(
    connection: &Connection,
    chain: ChainId,
    id: LockId,
    until: Instant,
    output: Output,
) -> Answer<LockView> {
    let progress = Progress::new("waiting for the offer", None, output.is_json());
    watch(connection, (chain, id), until, &progress, |_| true)?
        .ok_or_else(|| Failure::from(ApiError::from(ErrorCode::LockUnknown)).at("ID"))
}

/// Looks again and again until a record is as it is wanted; `None` when it is not in time.
fn watch(
    connection: &Connection,
    (chain, id): (ChainId, LockId),
    until: Instant,
    progress: &Progress,
    is_wanted: impl Fn(&LockView) -> bool,
) -> Answer<Option<LockView>> {
    connection.wait(async {
        let mut looks = 0_u64;
        loop {
            match look(connection, chain, id).await {
                Ok(Some(found)) if is_wanted(&found) => return Ok(Some(found)),
                Ok(_) => {}
                Err(error) if error.is_transient() => {}
                Err(error) => return Err(error),
            }
            if Instant::now() + POLL > until {
                return Ok(None);
            }
            looks += 1;
            progress.set(looks);
            tokio::time::sleep(POLL).await;
        }
    })
}

/// Refuses what was decided otherwise than it was meant.
pub(super) fn require(record: &LockView, is_settled: bool) -> Answer {
    let Some(decision) = record.decision.as_ref().filter(|decision| decision.is_settled != is_settled) else {
        return Ok(());
    };
    let given = money(&record.locked);
    if decision.is_settled {
        let message = format!("the exchange is settled: {} has {given}", record.locked.payee);
        return Err(Failure::refused("settled", message)
            .mend("it was accepted before; look at both sides with: jiaozi exchange show"));
    }
    let (code, name, why) = (decision.code, &decision.name, &decision.message);
    let message = format!("the exchange was cancelled: {why} ({code} {name}); {given} stay with their payer");
    Err(Failure::refused("cancelled", message).mend("if both sides still want it, offer it again"))
}

/// The records under one id, in words: what is exchanged, then where it stands.
pub(super) fn lines(records: &[LockView]) -> Vec<(&'static str, String)> {
    let Some(first) = records.first() else { return Vec::new() };
    let mut lines = vec![("lock id", first.id.to_string())];
    lines.extend(terms(first));
    lines.extend(records.iter().map(state_line));
    let preimage = records.iter().find_map(|record| record.preimage.clone());
    lines.extend(preimage.map(|preimage| ("preimage", preimage)));
    lines
}

/// What a lock or an offer is about, in words.
pub(super) fn terms(record: &LockView) -> Vec<(&'static str, String)> {
    let mut lines = vec![("gives", side(&record.locked))];
    lines.extend(record.asked.as_ref().map(|asked| ("asks", side(asked))));
    lines.extend(record.hash.clone().map(|hash| ("hash", hash)));
    lines.push(("deadline", clock::told(TimestampMs(record.deadline_ms))));
    lines
}

fn state_line(record: &LockView) -> (&'static str, String) {
    let why = record.decision.as_ref().map(|why| format!("{} ({} {})", why.message, why.code, why.name));
    let why = why.unwrap_or_default();
    let text = match record.state {
        LockStateName::Open if record.role == LockRole::Offer => {
            "open: neither accepted nor declined".to_owned()
        }
        LockStateName::Open => "open: the money is locked".to_owned(),
        LockStateName::Settled => "settled: the payee has the money".to_owned(),
        LockStateName::Returned => format!("returned to the payer: {why}"),
        LockStateName::Accepted => "accepted and paid".to_owned(),
        LockStateName::Cancelled => format!("cancelled: {why}"),
    };
    let certified = if record.is_certified { "certified" } else { "not certified yet" };
    let name = if record.role == LockRole::Offer { "offer" } else { "lock" };
    (name, format!("{text}; chain {}, {certified}", record.chain))
}

fn side(side: &SideView) -> String {
    format!("{} from {} to {} on chain {}", money(side), side.payer, side.payee, side.chain)
}

/// An amount with its currency.
pub(super) fn money(side: &SideView) -> String {
    Money::from_fen(side.amount_fen, side.currency).to_string()
}

/// What an operation about locks asks for; `money` writes an amount of the transaction's own chain. Amounts of another chain stand
/// without their currency: nothing at hand tells it.
pub(super) fn operation_lines(
    operation: &OperationView,
    money: &impl Fn(u64) -> String,
) -> Vec<(&'static str, String)> {
    let deadline = |deadline_ms: u64| ("deadline", clock::told(TimestampMs(deadline_ms)));
    match operation {
        OperationView::Lock { payee, amount_fen, hash, deadline_ms } => vec![
            ("locks", format!("{} for {payee}", money(*amount_fen))),
            ("hash", const_hex::encode(hash)),
            deadline(*deadline_ms),
        ],
        OperationView::Claim { lock, preimage } => {
            vec![("claims", lock.to_string()), ("preimage", const_hex::encode(preimage))]
        }
        OperationView::Exchange { payee, amount_fen, chain, asked, deadline_ms } => {
            let wanted = Amount::from_fen(asked.amount_fen);
            vec![
                ("gives", format!("{} to {payee}", money(*amount_fen))),
                ("asks", format!("{wanted} from {} to {} on chain {chain}", asked.payer, asked.payee)),
                deadline(*deadline_ms),
            ]
        }
        OperationView::Accept { offer, payee, amount_fen, receives_fen, source, to } => vec![
            ("accepts", offer.to_string()),
            ("pays", format!("{} to {payee}", money(*amount_fen))),
            ("receives", format!("{} to {to} on chain {source}", Amount::from_fen(*receives_fen))),
        ],
        OperationView::Decline { offer } => vec![("declines", offer.to_string())],
        OperationView::Withdraw { lock } => vec![("withdraws", lock.to_string())],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use api::lock::DecisionView;
    use ledger::records::Rejection;
    use ledger::values::{Currency, WalletId};

    use super::*;
    use crate::failure::Exit;

    fn record(role: LockRole, state: LockStateName, decision: Option<DecisionView>) -> LockView {
        let side = |chain: u32, code: &[u8; 3], fen: u64| SideView {
            chain,
            payer: WalletId([1; 32]),
            payee: WalletId([2; 32]),
            amount_fen: fen,
            amount: Amount::from_fen(fen).to_string(),
            currency: Currency(*code),
        };
        LockView {
            id: LockId([9; 32]),
            chain: u32::from(role == LockRole::Offer),
            height: 7,
            timestamp_ms: 1_000,
            role,
            state,
            is_certified: true,
            locked: side(0, b"CNY", 10_000),
            asked: (role != LockRole::HashLock).then(|| side(1, b"HKD", 11_000)),
            deadline_ms: 1_767_225_600_000,
            hash: None,
            preimage: None,
            decision,
        }
    }

    #[test]
    fn both_sides_are_told_with_their_currencies_and_the_deadline_in_utc() {
        let lock = record(LockRole::ExchangeLock, LockStateName::Open, None);
        let offer = record(LockRole::Offer, LockStateName::Open, None);
        let text = facts(&lines(&[lock, offer]));
        for part in [
            "lock id   jzl1",
            "gives     100.00 CNY from jz1",
            "asks      110.00 HKD from jz1",
            "2026-01-01 00:00:00 UTC",
            "lock      open: the money is locked; chain 0, certified",
            "offer     open: neither accepted nor declined; chain 1, certified",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn what_was_decided_otherwise_is_a_refusal() {
        let code = Rejection::ALL[0].code();
        let settled = record(LockRole::ExchangeLock, LockStateName::Settled, Some(DecisionView::new(0)));
        let returned = record(LockRole::ExchangeLock, LockStateName::Returned, Some(DecisionView::new(code)));
        assert!(require(&settled, true).is_ok() && require(&returned, false).is_ok());
        let failure = require(&returned, true).unwrap_err();
        assert_eq!((failure.code.as_str(), failure.exit), ("cancelled", Exit::Refused));
        assert!(failure.message.contains("100.00 CNY") && failure.message.contains(&code.to_string()));
        assert_eq!(require(&settled, false).unwrap_err().code, "settled");
        assert!(require(&record(LockRole::Offer, LockStateName::Open, None), true).is_ok());
    }

    #[test]
    fn operations_about_locks_are_told_before_they_are_signed() {
        let money = |fen: u64| format!("{} CNY", Amount::from_fen(fen));
        let (payee, lock) = (WalletId([2; 32]), LockId([9; 32]));
        let asked = api::AskedView { payer: payee, payee: WalletId([3; 32]), amount_fen: 11_000 };
        let deadline_ms = 1_767_225_600_000;
        for (operation, part) in [
            (
                OperationView::Lock { payee, amount_fen: 5, hash: vec![255; 32], deadline_ms },
                "0.05 CNY for jz1",
            ),
            (OperationView::Claim { lock, preimage: vec![1; 32] }, "claims    jzl1"),
            (
                OperationView::Exchange { payee, amount_fen: 100, chain: 1, asked, deadline_ms },
                "110.00 from jz1",
            ),
            (
                OperationView::Accept {
                    offer: lock,
                    payee,
                    amount_fen: 7,
                    receives_fen: 8,
                    source: 3,
                    to: payee,
                },
                format!("receives  0.08 to {payee} on chain 3").as_str(),
            ),
            (OperationView::Decline { offer: lock }, "declines  jzl1"),
            (OperationView::Withdraw { lock }, "withdraws  jzl1"),
        ] {
            let text = facts(&operation_lines(&operation, &money));
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
