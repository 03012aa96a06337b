//! `jiaozi audit`: checking a chain and single facts without trusting anybody.

use std::path::{Path, PathBuf};

use api::{ClientError, ErrorCode, OperationView};
use audit::{AuditError, DatabaseSource, Difference, FeedSource, Replay, Report, THREADS_MAX};
use clap::{Args, Subcommand};
use ledger::proofs::{Fact, Proof, ProofFile};
use ledger::records::GenesisSpec;
use ledger::records::Receipt;
use ledger::records::outcome::Rejection;
use ledger::values::{Canonical as _, ChainId, GenesisHash};
use serde::Serialize;
use storage::{Identity, RocksOptions, RocksReader, VerifyReport, read_identity};

use super::transaction::operation_lines;
use crate::connection::{Connection, NodeOptions};
use crate::failure::{Answer, Exit, Failure};
use crate::output::{Output, Show, facts, grouped};
use crate::progress::Progress;

/// Folders searched below `--data` for a database.
const SEARCH_DEPTH: usize = 3;
/// Folders looked into in all.
const SEARCH_FOLDERS_MAX: usize = 1_000;
/// Folders searched above `--data` for the genesis file.
const GENESIS_PARENTS: usize = 4;

/// Arguments of `jiaozi audit`.
#[derive(Debug, Args)]
pub struct AuditArguments {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Execute a whole chain again from genesis and compare everything.
    ///
    /// Reads blocks, batches and certificates, from a node's feed or out of a stopped node's data directory. Verifies every
    /// signature, executes every transaction, compares every result that blocks claim and, of a data directory, every
    /// stored row. Stops at the first difference with exit code 1.
    #[command(after_help = "Examples:\n  \
        jiaozi audit replay --node http://127.0.0.1:8080 --genesis genesis.json\n  \
        jiaozi audit replay --data /var/lib/jiaozi --genesis genesis.json --threads 8\n  \
        jiaozi audit replay --data localnet/bank-1/data --json")]
    Replay(ReplayArguments),
    /// Check a proof file offline, with the genesis file alone.
    #[command(after_help = "Examples:\n  \
        jiaozi audit verify-proof payment.proof --genesis genesis.json\n  \
        jiaozi audit verify-proof payment.proof --genesis genesis.json --json")]
    VerifyProof(ProofArguments),
}

#[derive(Debug, Args)]
struct ReplayArguments {
    /// A stopped node's data directory, or a copy of it, instead of a node: not together with --node.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    node: NodeOptions,
    /// The genesis file: the only thing that is trusted. Without it, one above --data is taken and named.
    #[arg(long, value_name = "FILE", env = "JIAOZI_GENESIS")]
    genesis: Option<PathBuf>,
    /// Threads; 0 for one per core.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=THREADS_MAX as i64))]
    threads: u16,
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

/// Runs the command.
///
/// # Errors
/// [`Failure`]: exit 1 for a difference or an invalid proof.
pub fn run(arguments: AuditArguments, output: Output) -> Answer {
    match arguments.command {
        AuditCommand::Replay(arguments) => replay(&arguments, output),
        AuditCommand::VerifyProof(arguments) => verify_proof(&arguments, output),
    }
}

fn replay(arguments: &ReplayArguments, output: Output) -> Answer {
    let spec = load_spec(&genesis_path(arguments, output)?)?;
    let chain = ChainId(arguments.node.chain);
    let bar = Progress::new("replaying", None, output.is_json());
    let progress = |progress: audit::Progress| {
        let end = progress.height_end.map(|end| format!(" of {end}")).unwrap_or_default();
        bar.say(format!("height {}{end}, payments", progress.height));
        bar.set(progress.payments);
    };
    let replay = Replay { spec: &spec, chain, threads: usize::from(arguments.threads), progress: &progress };
    let (report, checked) = match &arguments.data {
        None => {
            require_network(&arguments.node.connect()?, spec.hash())?;
            // The source has a runtime of its own, on which a connection of another one would never move.
            let connection = arguments.node.connect()?;
            (replay.run(Box::new(FeedSource::new(&connection.client, chain)?), None)?, None)
        }
        Some(data) => {
            let path = find_database(data, chain)?;
            let found = read_identity(&path).map_err(AuditError::from)?;
            if found.genesis != spec.hash().0 {
                return Err(other_network("the data directory", GenesisHash(found.genesis), spec.hash()));
            }
            let identity = Identity { genesis: spec.hash().0, ..found };
            let reader = RocksReader::open(&path, Some(&identity), RocksOptions::default())
                .map_err(AuditError::from)?;
            bar.say("checking every byte".to_owned());
            let checked = reader.verify_all().map_err(AuditError::from)?;
            bar.say("replaying".to_owned());
            let source = DatabaseSource::new(&reader, chain)?;
            (replay.run(Box::new(source), Some(&reader))?, Some(checked))
        }
    };
    drop(bar);
    output.result(&Verdict::new(&report, checked))
}

/// Refuses a node of another network, whose blocks would look forged.
fn require_network(connection: &Connection, expected: GenesisHash) -> Answer {
    let scope_missing = ErrorCode::ScopeMissing.code();
    let found = connection.wait(async {
        match connection.client.network().await {
            Ok(view) => Ok(Some(view.genesis_hash)),
            // A token may open the feed alone; then the first block tells.
            Err(ClientError::Refused(error)) if error.code == scope_missing => Ok(None),
            Err(error) => Err(error),
        }
    })?;
    match found {
        Some(found) if found != expected => Err(other_network("the node", found, expected)),
        _ => Ok(()),
    }
}

fn other_network(what: &str, found: GenesisHash, expected: GenesisHash) -> Failure {
    let message = format!("{what} is of network {found}, the genesis file is of {expected}");
    Failure::usage("other_network", message)
        .at("--genesis")
        .mend("name the genesis file of the network that is to be audited, or another node or data directory")
}

fn genesis_path(arguments: &ReplayArguments, output: Output) -> Answer<PathBuf> {
    if let Some(path) = &arguments.genesis {
        return Ok(path.clone());
    }
    let found = arguments.data.as_deref().and_then(|data| {
        let data = std::path::absolute(data).ok()?;
        data.ancestors()
            .take(GENESIS_PARENTS)
            .map(|folder| folder.join("genesis.json"))
            .find(|path| path.is_file())
    });
    let Some(path) = found else {
        return Err(Failure::usage(
            "genesis_missing",
            "an audit trusts the genesis file alone, and none was named",
        )
        .at("--genesis")
        .mend("name the genesis file that your network agreed on"));
    };
    output.note(&format!("trusting the genesis file {}", path.display()));
    Ok(path)
}

/// The spec of a genesis file.
fn load_spec(path: &Path) -> Answer<GenesisSpec> {
    genesis::GenesisFile::load(path)
        .and_then(|file| file.spec())
        .map_err(|fault| super::genesis::failure(fault).at("--genesis"))
}

/// The database of `chain` in or below `data`.
fn find_database(data: &Path, chain: ChainId) -> Answer<PathBuf> {
    let mut folders = vec![(data.to_owned(), 0)];
    let mut looked = 0;
    while let Some((folder, depth)) = folders.pop() {
        looked += 1;
        if folder.join("STORE").is_file() {
            let identity = read_identity(&folder).map_err(AuditError::from)?;
            if identity.chain == chain.0 {
                return Ok(folder);
            }
            continue;
        }
        if depth == SEARCH_DEPTH || looked > SEARCH_FOLDERS_MAX {
            continue;
        }
        let entries =
            std::fs::read_dir(&folder).map_err(|fault| Failure::io("read", &folder, &fault).at("--data"))?;
        let below = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.extend(below.map(|entry| (entry.path(), depth + 1)));
    }
    Err(Failure::usage(
        "no_database",
        format_args!("no database of chain {chain} in or below {}", data.display()),
    )
    .at("--data")
    .mend("name a node's data directory"))
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        let mend = error.mend();
        match error {
            AuditError::Feed(fault) => fault.into(),
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

/// What a replay found in order, as it is printed.
#[derive(Debug, Serialize)]
struct Verdict {
    verdict: &'static str,
    genesis_hash: String,
    chain: u32,
    height: u64,
    certified_block: u64,
    certified_result: u64,
    state_root: String,
    result: String,
    blocks: u64,
    batches: u64,
    certificates: u64,
    transactions: u64,
    signatures: u64,
    applied: u64,
    rejected: u64,
    skipped: u64,
    payments: u64,
    wallets: u64,
    issued_fen: u64,
    redeemed_fen: u64,
    holdings_fen: u64,
    threads: usize,
    elapsed_ms: u64,
    payments_per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<StoredVerdict>,
    #[serde(skip)]
    supply: [String; 3],
}

/// What was compared with a data directory.
#[derive(Debug, Serialize)]
struct StoredVerdict {
    checked_bytes: u64,
    checked_rows: u64,
    results: u64,
    outcomes: u64,
    transactions: u64,
    history: u64,
    records: u64,
    slots: u64,
}

impl Verdict {
    fn new(report: &Report, checked: Option<VerifyReport>) -> Self {
        let (tally, supply) = (&report.tally, &report.supply);
        let checked = checked.unwrap_or_default();
        Self {
            verdict: "equal",
            genesis_hash: report.genesis.to_string(),
            chain: report.chain.0,
            height: report.height.0,
            certified_block: report.certified_block.0,
            certified_result: report.certified_result.0,
            state_root: report.state.to_string(),
            result: report.result.to_string(),
            blocks: tally.blocks,
            batches: tally.batches,
            certificates: tally.certificates,
            transactions: tally.transactions,
            signatures: tally.signatures,
            applied: tally.applied,
            rejected: tally.rejected,
            skipped: tally.skipped,
            payments: tally.payments,
            wallets: report.wallets,
            issued_fen: supply.issued.fen(),
            redeemed_fen: supply.redeemed.fen(),
            holdings_fen: supply.holdings.fen(),
            threads: report.threads,
            elapsed_ms: u64::try_from(report.elapsed.as_millis()).unwrap_or(u64::MAX),
            payments_per_second: report.payments_per_second().round(),
            stored: report.stored.map(|rows| StoredVerdict {
                checked_bytes: checked.bytes,
                checked_rows: checked.rows,
                results: rows.results,
                outcomes: rows.outcomes,
                transactions: rows.transactions,
                history: rows.history,
                records: rows.records,
                slots: rows.slots,
            }),
            supply: [supply.issued, supply.redeemed, supply.holdings].map(|amount| format!("{amount} yuan")),
        }
    }
}

impl Show for Verdict {
    fn text(&self) -> String {
        let [issued, redeemed, holdings] = &self.supply;
        let rest = self.height - self.certified_block.min(self.height);
        let uncertified = match rest {
            0 => String::new(),
            rest => format!("; the last {rest} blocks are not under a certificate yet"),
        };
        let mut lines = vec![
            ("verdict", "equal: everything that was read is what the rules make of genesis".to_owned()),
            ("chain", self.chain.to_string()),
            ("blocks", format!("{}{uncertified}", grouped(self.blocks))),
            (
                "certificates",
                format!(
                    "{}, results certified up to height {}",
                    grouped(self.certificates),
                    self.certified_result
                ),
            ),
            ("transactions", grouped(self.transactions)),
            ("  applied", grouped(self.applied)),
            ("  rejected", grouped(self.rejected)),
            ("  not executed", grouped(self.skipped)),
            ("payments", grouped(self.payments)),
            ("wallets", grouped(self.wallets)),
            ("issued", issued.clone()),
            ("redeemed", redeemed.clone()),
            ("holdings", holdings.clone()),
            ("state root", self.state_root.clone()),
        ];
        if let Some(stored) = &self.stored {
            let rows = stored.results
                + stored.outcomes
                + stored.transactions
                + stored.history
                + stored.records
                + stored.slots;
            lines.push((
                "stored rows",
                format!("{} compared, {} bytes checked", grouped(rows), grouped(stored.checked_bytes)),
            ));
        }
        let seconds = self.elapsed_ms / 1_000;
        let tenths = self.elapsed_ms % 1_000 / 100;
        lines.push(("time", format!("{seconds}.{tenths} s on {} threads", self.threads)));
        lines.push(("rate", format!("{:.0} payments/s", self.payments_per_second)));
        facts(&lines)
    }
}

/// What a proof proves.
#[derive(Debug, Serialize)]
struct ProvenFact {
    valid: bool,
    genesis_hash: String,
    chain: u32,
    height: u64,
    #[serde(flatten)]
    fact: FactView,
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
        #[serde(skip)]
        balance: String,
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
    Supply {
        issued_fen: u64,
        redeemed_fen: u64,
        holdings_fen: u64,
    },
}

impl Show for ProvenFact {
    fn text(&self) -> String {
        let what = match &self.fact {
            FactView::Outcome { transaction, outcome, .. } => {
                format!("transaction {transaction} was {outcome}")
            }
            FactView::Wallet { wallet, balance, .. } => format!("wallet {wallet} held {balance}"),
            FactView::NoWallet { wallet } => format!("wallet {wallet} did not exist"),
            FactView::Receipt { source, number, payer, payee, amount_fen, outcome, .. } => format!(
                "receipt {number} of chain {source}, {amount_fen} fen of {payer} for {payee}, was {outcome}"
            ),
            FactView::Supply { issued_fen, redeemed_fen, holdings_fen } => {
                format!("issued {issued_fen} fen, redeemed {redeemed_fen} fen, holdings {holdings_fen} fen")
            }
        };
        let mut lines = vec![
            ("verdict", "valid: a quorum of the validators in the genesis file certified this".to_owned()),
            ("fact", what),
        ];
        if let FactView::Outcome { wallet, operation, .. } = &self.fact {
            lines.push(("from", wallet.clone()));
            lines.extend(operation_lines(operation));
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
    output.result(&ProvenFact {
        valid: true,
        genesis_hash: spec.hash().to_string(),
        chain: proven.chain.0,
        height: proven.height.0,
        fact: fact_view(&file.proof, proven.fact)?,
    })
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
        (Fact::Wallet { wallet }, _) => FactView::Wallet {
            wallet: wallet.id.to_string(),
            balance_fen: wallet.balance.fen(),
            balance: format!("{} yuan", wallet.balance),
        },
        (Fact::Receipt { source, sequence, receipt, outcome }, _) => {
            let (payer, payee, done) = match receipt {
                Receipt::Credit { payer, payee, .. } => (payer, payee, "credited"),
                Receipt::Refund { payer, payee, .. } => (payer, payee, "refunded to the payer"),
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
        (Fact::NoWallet { wallet }, _) => FactView::NoWallet { wallet: wallet.to_string() },
        (Fact::Supply { terms }, _) => FactView::Supply {
            issued_fen: terms.issued.fen(),
            redeemed_fen: terms.redeemed.fen(),
            holdings_fen: terms.holdings.fen(),
        },
    })
}

fn refused_credit(reason: Rejection) -> String {
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
