//! `jiaozi audit`: checking a chain and single facts without trusting anybody.

use std::path::{Path, PathBuf};

use api::lock::{DecisionView, LockMoment, LockRole, LockStateName, LockView, SideView};
use api::{ChangeView, OperationView, WalletState};
use audit::{AuditError, Difference};
use clap::{Args, Subcommand};
use ledger::proofs::{Fact, Proof, ProofFile, SetChain};
use ledger::records::outcome::Rejection;
use ledger::records::{GenesisSpec, Outcome, Receipt, Record, WalletRecord};
use ledger::values::{Canonical as _, ChainId, Currency, Height, LockId, Money, TimestampMs, WalletId};
use serde::Serialize;

use super::replay::ReplayArguments;
use super::transaction::operation_lines;
use crate::failure::{Answer, Exit, Failure};
use crate::output::{Output, Show, facts};

/// Arguments of `jiaozi audit`.
#[derive(Debug, Args)]
pub struct AuditArguments {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Execute whole chains again from genesis and compare everything.
    ///
    /// Reads blocks, batches, bundles and certificates, from a node's feed or out of a stopped node's data directory: of every
    /// chain that is there, or of one. Verifies every signature, executes every transaction, compares every result that blocks
    /// claim and, of a data directory, every stored row; then what each chain received with what the others sent, and what the
    /// chains of a currency hold with what was issued. Stops at the first difference with exit code 1.
    #[command(after_help = "Examples:\n  \
        jiaozi audit replay --node http://127.0.0.1:8080 --genesis genesis.json\n  \
        jiaozi audit replay --data /var/lib/jiaozi --genesis genesis.json --threads 8\n  \
        jiaozi audit replay --data /var/lib/jiaozi --chain 1\n  \
        jiaozi audit replay --archive /archives --node http://127.0.0.1:8080 --genesis genesis.json\n  \
        jiaozi audit replay --data localnet/bank-1/data --json")]
    Replay(ReplayArguments),
    /// Check a proof file offline, with the genesis file alone.
    #[command(after_help = "Examples:\n  \
        jiaozi audit verify-proof payment.proof --genesis genesis.json\n  \
        jiaozi audit verify-proof payment.proof --genesis genesis.json --json")]
    VerifyProof(ProofArguments),
}

#[derive(Debug, Args)]
struct ProofArguments {
    /// The proof file.
    #[arg(value_name = "FILE")]
    proof: PathBuf,
    /// The genesis file of the network.
    #[arg(long, value_name = "FILE", env = "JIAOZI_GENESIS")]
    genesis: PathBuf,
}

/// Code of what cannot be replayed because it does not begin with the chain.
pub(super) const PRUNED: &str = "pruned";

/// Runs the command.
///
/// # Errors
/// [`Failure`]: exit 1 for a difference or an invalid proof.
pub fn run(arguments: AuditArguments, output: Output) -> Answer {
    match arguments.command {
        AuditCommand::Replay(arguments) => super::replay::replay(&arguments, output),
        AuditCommand::VerifyProof(arguments) => verify_proof(&arguments, output),
    }
}

/// The spec of a genesis file.
pub(crate) fn load_spec(path: &Path) -> Answer<GenesisSpec> {
    genesis::GenesisFile::load(path)
        .and_then(|file| file.spec())
        .map_err(|fault| super::genesis::failure(fault).at("--genesis"))
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        let mend = error.mend();
        match error {
            AuditError::Feed(fault) => fault.into(),
            AuditError::Archive(fault) => Self::from(fault).at("--archive"),
            error if error.is_verdict() => {
                let code = match &error {
                    AuditError::Different(difference) => finding_code(difference),
                    _ => "corrupt",
                };
                Self::refused(code, &error).mend(mend)
            }
            AuditError::Storage(fault) if fault.is_refusal() => {
                let (exit, mend) = match fault {
                    storage::StorageError::Locked { .. } => (
                        Exit::Unreachable,
                        "have the node that uses it stopped, or replay through the node's feed: --node URL --genesis FILE",
                    ),
                    _ => (Exit::Usage, mend),
                };
                Self::new(exit, "data_directory", &fault).at("--data").mend(mend)
            }
            error @ (AuditError::Genesis(_) | AuditError::ChainUnknown { .. }) => {
                Self::usage("genesis", &error).at("--genesis").mend(mend)
            }
            error @ AuditError::Pruned { .. } => Self::refused(PRUNED, &error).at("--data").mend(mend),
            error => Self::unreachable("audit", &error).mend(mend),
        }
    }
}

/// A stable name for what was found.
const fn finding_code(difference: &Difference) -> &'static str {
    use audit::Finding;
    match difference.finding {
        Finding::Block(_) | Finding::BlockDigest { .. } => "block_differs",
        Finding::Batch { .. } | Finding::BatchTwice { .. } => "batch_differs",
        Finding::Bundle { .. } => "bundle_differs",
        Finding::OtherReceipts { .. }
        | Finding::NotSent { .. }
        | Finding::Pair { .. }
        | Finding::Unsettled { .. } => "receipts_differ",
        Finding::NotParent { .. } | Finding::MovedTwice { .. } | Finding::Moved { .. } => "moves_differ",
        Finding::Beginning { .. } | Finding::OriginMalformed(_) | Finding::Origin(_) => "beginning_differs",
        Finding::Supply { .. } => "supply_differs",
        Finding::Overcharged { .. } => "fee_differs",
        Finding::Signature { .. } => "signature_invalid",
        Finding::CertificateMalformed(_) | Finding::Certificate(_) | Finding::CertificateOther { .. } => {
            "certificate_invalid"
        }
        Finding::NoCertificate => "no_certificate",
        Finding::Claim { .. } | Finding::ClaimLag { .. } => "result_differs",
        Finding::Execution(_) => "not_executable",
        Finding::RowMissing { .. } | Finding::RowDamaged { .. } | Finding::Value { .. } => {
            "stored_value_differs"
        }
    }
}

/// What a proof proves.
#[derive(Debug, Serialize)]
struct ProvenFact {
    valid: bool,
    genesis_hash: String,
    chain: u32,
    /// Of the chain.
    currency: String,
    height: u64,
    /// The epoch whose validators certified it: as many changes of set lead there from the genesis file.
    epoch: u64,
    #[serde(flatten)]
    fact: FactView,
    #[serde(skip)]
    money: Currency,
    /// Whether operators added the chain after genesis.
    #[serde(skip)]
    is_added: bool,
}

#[derive(Debug, Serialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
enum FactView {
    Outcome {
        transaction: String,
        index: u32,
        code: u16,
        outcome: String,
        fee_fen: u64,
        /// The wallet that acted.
        wallet: String,
        operation: OperationView,
    },
    Wallet {
        wallet: String,
        balance_fen: u64,
        status: WalletState,
        /// The chain that it had moved to: its money is there, not here.
        #[serde(skip_serializing_if = "Option::is_none")]
        moved_to: Option<u32>,
    },
    NoWallet {
        wallet: String,
    },
    Receipt {
        source: u32,
        number: u64,
        payer: String,
        payee: String,
        amount_fen: u64,
        code: u16,
        outcome: String,
    },
    /// What the root chain told another one.
    Change {
        source: u32,
        number: u64,
        version: u64,
        change: ChangeView,
        code: u16,
        outcome: String,
    },
    /// A lock, or the offer of an exchange.
    Lock {
        lock: String,
        role: LockRole,
        state: LockStateName,
        locked: SideView,
        #[serde(skip_serializing_if = "Option::is_none")]
        asked: Option<SideView>,
        deadline_ms: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        preimage: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        decision: Option<DecisionView>,
        #[serde(skip)]
        lines: Vec<(&'static str, String)>,
    },
    /// A receipt about an exchange; it carries no money.
    Message {
        source: u32,
        number: u64,
        /// `offer`, `decision` or `withdrawal`.
        kind: &'static str,
        lock: String,
        code: u16,
        outcome: String,
    },
    /// A receipt between a chain and its child while wallets move.
    Growth {
        source: u32,
        number: u64,
        /// `move`, `keep`, `end` or `report`.
        kind: &'static str,
        wallet: Option<String>,
        amount_fen: u64,
        code: u16,
        outcome: String,
    },
    Supply {
        issued_fen: u64,
        redeemed_fen: u64,
        holdings_fen: u64,
    },
}

impl Show for ProvenFact {
    fn text(&self) -> String {
        let money = |fen: u64| Money::from_fen(fen, self.money).to_string();
        let what = match &self.fact {
            FactView::Outcome { transaction, outcome, .. } => {
                format!("transaction {transaction} was {outcome}")
            }
            FactView::Wallet { wallet, balance_fen, status, moved_to } => {
                format!("wallet {wallet} held {}{}", money(*balance_fen), standing(*status, *moved_to))
            }
            FactView::NoWallet { wallet } => format!("wallet {wallet} did not exist"),
            FactView::Receipt { source, number, payer, payee, amount_fen, outcome, .. } => format!(
                "receipt {number} of chain {source}, {} of {payer} for {payee}, was {outcome}",
                money(*amount_fen)
            ),
            FactView::Change { source, number, version, outcome, .. } => format!(
                "receipt {number} of chain {source}, a change that makes version {version} of the registry, was {outcome}"
            ),
            FactView::Lock { lock, role, state, .. } => {
                let (role, state) = (in_words(role), in_words(state));
                format!("the {role} {lock} was {state}")
            }
            FactView::Message { source, number, kind, lock, outcome, .. } => {
                format!("receipt {number} of chain {source}, the {kind} of exchange {lock}, was {outcome}")
            }
            FactView::Growth { source, number, kind, wallet, amount_fen, outcome, .. } => {
                let of = wallet.as_ref().map_or_else(String::new, |wallet| format!(" of wallet {wallet}"));
                let with = match amount_fen {
                    0 => String::new(),
                    fen => format!(" with {}", money(*fen)),
                };
                format!("receipt {number} of chain {source}, the {kind}{of}{with}, was {outcome}")
            }
            FactView::Supply { issued_fen, redeemed_fen, holdings_fen } => {
                let [issued, redeemed, holdings] =
                    [issued_fen, redeemed_fen, holdings_fen].map(|fen| money(*fen));
                format!("issued {issued}, redeemed {redeemed}, holdings {holdings}")
            }
        };
        let verdict = match self.epoch {
            epoch if self.is_added => format!(
                "valid: a quorum of the validators of epoch {epoch} of chain {} certified this; a quorum of chain 0, whom the \
                 genesis file leads to, certified that it was added with those of epoch 0",
                self.chain
            ),
            0 => "valid: a quorum of the validators in the genesis file certified this".to_owned(),
            1 => "valid: a quorum of the validators of epoch 1 certified this, and those in the genesis file certified them"
                .to_owned(),
            epoch => format!(
                "valid: a quorum of the validators of epoch {epoch} certified this; {epoch} changes lead to them from those in \
                 the genesis file, each certified by the ones before"
            ),
        };
        let mut lines = vec![("verdict", verdict), ("fact", what)];
        if let FactView::Outcome { wallet, operation, .. } = &self.fact {
            lines.push(("from", wallet.clone()));
            lines.extend(operation_lines(operation, Some(self.money)));
        }
        if let FactView::Lock { lines: terms, .. } = &self.fact {
            lines.extend(terms.iter().cloned());
        }
        lines.extend([
            ("chain", self.chain.to_string()),
            ("height", self.height.to_string()),
            ("genesis", self.genesis_hash.clone()),
        ]);
        facts(&lines)
    }
}

fn verify_proof(arguments: &ProofArguments, output: Output) -> Answer {
    let spec = load_spec(&arguments.genesis)?;
    let bytes = read_bounded(&arguments.proof, ProofFile::BYTES_MAX)?;
    let file = ProofFile::decode(&bytes)
        .map_err(|fault| Failure::refused("proof_malformed", fault).mend("ask for the proof again"))?;
    let proven = file.verify(&spec).map_err(|fault| {
        Failure::refused("proof_invalid", fault).mend("do not rely on it; ask another node for the proof")
    })?;
    let currency = currency_of(&spec, &file.sets, proven.chain).ok_or_else(|| {
        let message = format!("neither genesis nor the proof's origin has chain {}", proven.chain);
        Failure::refused("proof_invalid", message).mend("do not rely on it; ask another node for the proof")
    })?;
    output.result(&ProvenFact {
        valid: true,
        genesis_hash: spec.hash().to_string(),
        chain: proven.chain.0,
        currency: currency.to_string(),
        money: currency,
        is_added: file.sets.origin.is_some(),
        height: proven.height.0,
        epoch: file.proof.certified().header.epoch.0,
        fact: match proven.fact {
            Fact::Lock { record } => lock_view((&spec, &file.sets), (proven.chain, proven.height), &record)?,
            fact => fact_view(&file.proof, fact)?,
        },
    })
}

/// The currency of a chain: of genesis, or of the registry in the origin that a proof of an added chain has inside, which is verified with it.
fn currency_of(spec: &GenesisSpec, sets: &SetChain, chain: ChainId) -> Option<Currency> {
    spec.currency(chain).or_else(|| sets.origin.as_ref()?.registry.currency(chain))
}

/// A proven fact as it is printed, with what the transaction of an outcome asked for.
fn fact_view(proof: &Proof, fact: Fact) -> Answer<FactView> {
    Ok(match (fact, proof) {
        (Fact::Outcome { id, outcome }, Proof::Outcome(proof)) => FactView::Outcome {
            transaction: id.to_string(),
            index: outcome.index,
            code: outcome.code,
            outcome: outcome.rejection().map_or_else(|| "applied".to_owned(), rejected),
            fee_fen: outcome.fee.fen(),
            wallet: proof.transaction.content.wallet.to_string(),
            operation: OperationView::new(&proof.transaction.content.operation),
        },
        (Fact::Outcome { .. }, _) => {
            return Err(Failure::refused("proof_invalid", "a proof of something else proves an outcome")
                .mend("report it with the proof; this is a defect of the program"));
        }
        (Fact::Wallet { wallet }, _) => wallet_view(&wallet),
        (Fact::Receipt { source, sequence, receipt, outcome }, _) => {
            let (payer, payee, done) = match &receipt {
                Receipt::Credit { payer, payee, .. } => (payer, payee, "credited"),
                Receipt::Refund { payer, payee, .. } => (payer, payee, "refunded to the payer"),
                Receipt::Change { version, change, .. } => {
                    let outcome_text = outcome.rejection().map_or_else(|| "made".to_owned(), rejected);
                    return Ok(FactView::Change {
                        source: source.0,
                        number: sequence,
                        version: *version,
                        change: ChangeView::from(change),
                        code: outcome.code,
                        outcome: outcome_text,
                    });
                }
                Receipt::Offer { lock, .. } => {
                    return Ok(message((source, sequence), "offer", *lock, "recorded", outcome));
                }
                Receipt::Decision { lock, settled, .. } => {
                    let done =
                        if *settled { "carried out: settled" } else { "carried out: returned to the payer" };
                    return Ok(message((source, sequence), "decision", *lock, done, outcome));
                }
                Receipt::Withdrawal { lock } => {
                    return Ok(message((source, sequence), "withdrawal", *lock, "taken in", outcome));
                }
                Receipt::Move { wallet } => {
                    return Ok(growth((source, sequence), "move", Some(wallet.id), &receipt, outcome));
                }
                Receipt::Keep { wallet } => {
                    return Ok(growth((source, sequence), "keep", Some(*wallet), &receipt, outcome));
                }
                Receipt::End {} => return Ok(growth((source, sequence), "end", None, &receipt, outcome)),
                Receipt::Report { .. } => {
                    return Ok(growth((source, sequence), "report", None, &receipt, outcome));
                }
            };
            FactView::Receipt {
                source: source.0,
                number: sequence,
                payer: payer.to_string(),
                payee: payee.to_string(),
                amount_fen: receipt.value().fen(),
                code: outcome.code,
                outcome: outcome.rejection().map_or_else(|| done.to_owned(), refused_credit),
            }
        }
        (Fact::Lock { .. }, _) => return Err(not_a_lock()),
        (Fact::NoWallet { wallet }, _) => FactView::NoWallet { wallet: wallet.to_string() },
        (Fact::Supply { terms }, _) => FactView::Supply {
            issued_fen: terms.issued.fen(),
            redeemed_fen: terms.redeemed.fen(),
            holdings_fen: terms.holdings.fen(),
        },
    })
}

/// A proven wallet as it is printed.
fn wallet_view(wallet: &WalletRecord) -> FactView {
    let (status, moved_to) = WalletState::of(wallet.status);
    FactView::Wallet { wallet: wallet.id.to_string(), balance_fen: wallet.balance.fen(), status, moved_to }
}

/// What else is to be known of a wallet that is not simply active: a balance of zero means something else where it has moved.
fn standing(status: WalletState, moved_to: Option<u32>) -> String {
    match (status, moved_to) {
        (WalletState::Active, _) => String::new(),
        (WalletState::Frozen, _) => ", and was frozen".to_owned(),
        (WalletState::Closed, _) => ", and was closed".to_owned(),
        (WalletState::Moved, Some(to)) => {
            format!(" here, and had moved to chain {to}: ask there for its balance")
        }
        (WalletState::Moved, None) => " here, and had moved to another chain".to_owned(),
    }
}

/// A proven lock or offer as it is printed.
fn lock_view(
    (spec, sets): (&GenesisSpec, &SetChain),
    at: (ChainId, Height),
    record: &Record,
) -> Answer<FactView> {
    let currency = |chain: ChainId| currency_of(spec, sets, chain);
    let (chain, height) = at;
    // A result does not say its time, and it is not shown.
    let moment = LockMoment { chain, height, timestamp: TimestampMs(0), is_certified: true };
    let view = match record {
        Record::Lock(lock) => LockView::of_lock(moment, lock, currency),
        Record::Offer(offer) => LockView::of_offer(moment, offer, currency),
        Record::Wallet(_) | Record::FeePool { .. } | Record::Suspense { .. } => return Err(not_a_lock()),
    };
    let view = view.ok_or_else(|| {
        let message = "the proof holds, but it names a chain that was added after genesis: the file does not tell its currency";
        Failure::refused("currency_unknown", message).mend("look at it by a node: jiaozi lock show")
    })?;
    let mut lines = super::lock_view::terms(&view);
    lines.extend(view.decision.as_ref().map(|decision| ("decision", decision.message.clone())));
    let LockView { id, role, state, locked, asked, deadline_ms, preimage, decision, .. } = view;
    let lock = id.to_string();
    Ok(FactView::Lock { lock, role, state, locked, asked, deadline_ms, preimage, decision, lines })
}

fn not_a_lock() -> Failure {
    Failure::refused("proof_invalid", "a proof of something else proves a lock")
        .mend("report it with the proof; this is a defect of the program")
}

/// A name of the contract as people read it: `hash_lock` as `hash lock`.
fn in_words(name: &impl Serialize) -> String {
    let text = serde_json::to_value(name).ok();
    text.as_ref().and_then(|text| text.as_str()).unwrap_or("?").replace('_', " ")
}

/// A receipt about an exchange, as it is printed.
fn message(
    (source, number): (ChainId, u64),
    kind: &'static str,
    lock: LockId,
    done: &str,
    outcome: Outcome,
) -> FactView {
    let outcome_text = match outcome.rejection() {
        None => done.to_owned(),
        Some(reason) => format!("answered with a refusal ({} {}: {reason})", reason.code(), reason.name()),
    };
    let (source, lock) = (source.0, lock.to_string());
    FactView::Message { source, number, kind, lock, code: outcome.code, outcome: outcome_text }
}

fn growth(
    (source, number): (ChainId, u64),
    kind: &'static str,
    wallet: Option<WalletId>,
    receipt: &Receipt,
    outcome: Outcome,
) -> FactView {
    let outcome_text = outcome.rejection().map_or_else(|| "taken in".to_owned(), rejected);
    let (wallet, amount_fen) = (wallet.map(|wallet| wallet.to_string()), receipt.value().fen());
    FactView::Growth {
        source: source.0,
        number,
        kind,
        wallet,
        amount_fen,
        code: outcome.code,
        outcome: outcome_text,
    }
}

fn refused_credit(reason: Rejection) -> String {
    if reason == Rejection::SentOn {
        return format!("sent on ({} {}: {reason})", reason.code(), reason.name());
    }
    format!("refused and sent back ({} {}: {reason})", reason.code(), reason.name())
}

fn rejected(reason: Rejection) -> String {
    format!("rejected, so that nothing it asked for was done ({} {}: {reason})", reason.code(), reason.name())
}

fn read_bounded(path: &Path, bytes_max: usize) -> Answer<Vec<u8>> {
    use std::io::Read as _;
    let io = |fault: std::io::Error| Failure::io("read", path, &fault);
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(io)?.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() > bytes_max {
        return Err(Failure::usage(
            "proof_too_large",
            format_args!("{} is larger than any proof", path.display()),
        )
        .mend("name a proof file"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use ledger::records::{Tier, WalletStatus};
    use ledger::values::{Amount, OperatorId, PolicyHash};

    use super::*;

    fn proven(status: WalletStatus, fen: u64) -> ProvenFact {
        let wallet = WalletRecord {
            id: WalletId([7; 32]),
            policy: PolicyHash([1; 32]),
            operator: OperatorId(1),
            tier: Tier::Two,
            status,
            balance: Amount::from_fen(fen),
            lanes: Vec::new(),
        };
        let money = Currency(*b"CNY");
        ProvenFact {
            valid: true,
            genesis_hash: "00".to_owned(),
            chain: 0,
            currency: money.to_string(),
            height: 9,
            epoch: 0,
            fact: wallet_view(&wallet),
            money,
            is_added: false,
        }
    }

    #[test]
    fn a_wallet_that_has_moved_is_not_shown_as_merely_empty() {
        let id = WalletId([7; 32]);
        let moved = proven(WalletStatus::Moved { to: ChainId(2) }, 0);
        let told = format!("fact     wallet {id} held 0.00 CNY here, and had moved to chain 2: ask there");
        assert!(moved.text().contains(&told), "{}", moved.text());
        let json = serde_json::to_value(&moved).unwrap();
        assert_eq!((&json["status"], &json["moved_to"]), (&"moved".into(), &2.into()));
        let frozen = proven(WalletStatus::Frozen, 5).text();
        assert!(frozen.contains("held 0.05 CNY, and was frozen\n"), "{frozen}");
        let active = proven(WalletStatus::Active, 1_234);
        assert!(active.text().contains(&format!("wallet {id} held 12.34 CNY\n")), "{}", active.text());
        assert_eq!(serde_json::to_value(&active).unwrap().get("moved_to"), None);
    }
}
