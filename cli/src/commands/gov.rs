//! `jiaozi gov`: how the operators of a running network change it together.
//!
//! ```text
//! propose (any operator, a node) ─ diff ─ approve × quorum (cold keys, no network) ─ apply (a hot wallet, a node) ─ status
//! ```
//!
//! The registry that a proposal changes comes with its proof, so the genesis file is all that these commands trust.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use api::{ApiError, ErrorCode};
use clap::{Args, Subcommand};
use genesis::governance::possession::prove;
use genesis::governance::{GovernanceError, KeyRole, PROPOSAL_FILE_BYTES_MAX, ProposalFile};
use ledger::proofs::{ChainOrigin, RegistryProof};
use ledger::records::registry::ROOT_CHAIN;
use ledger::records::{GenesisSpec, Operation};
use ledger::values::{Canonical as _, ChainId, OperatorId};
use wallet::{FileError, KeyFile, KeyFileError, KeyKind, Secret};

use super::audit::load_spec;
use super::genesis::{OPERATOR_FILE, load_key};
use super::gov_fate::{Fate, is_stale};
use super::gov_propose::{ProposeArguments, propose};
use super::gov_view::{
    Applied, ChainStanding, Heard, OriginView, ProposalView, ProvedKey, RegistryView, Standing,
};
use super::transaction::refuse_existing;
use crate::connection::{Connection, NodeOptions};
use crate::failure::{Answer, Exit, Failure};
use crate::output::{Output, save_proof};
use crate::secret::PassphraseOptions;
use crate::send::SendOptions;

/// Arguments of `jiaozi gov`.
#[derive(Debug, Args)]
pub struct GovArguments {
    #[command(subcommand)]
    command: GovCommand,
}

#[derive(Debug, Subcommand)]
enum GovCommand {
    /// Write a change of the network into a file, for the operators to approve.
    #[command(after_help = "Examples:\n  \
        jiaozi gov propose add-operator --contribution ember.json --out join.json --reason \"Ember joins\"\n  \
        jiaozi gov propose rotate-consensus-key --chain 0 --operator Birch --new-key 5f0c… --possession 9a71… --out rotate.json\n  \
        jiaozi gov propose set-param block_pace_ms 100 --chain 0 --out pace.json")]
    Propose(ProposeArguments),
    /// Show what a proposal changes, offline.
    #[command(after_help = "Examples:\n  jiaozi gov diff join.json --genesis genesis.json\n\n\
        Needs the genesis file only: the file carries the registry that it changes, with its proof.")]
    Diff(FilesArguments),
    /// Approve a proposal with the cold operator key, offline.
    #[command(after_help = "Examples:\n  \
        jiaozi gov approve join.json --keys keys --genesis genesis.json\n  \
        jiaozi gov approve join.json --keys keys --genesis genesis.json --yes\n\n\
        Shows what would be approved. Without --yes nothing is signed. Copies of one file may be approved on several machines;\n\
        `gov apply` takes them all.")]
    Approve(ApproveArguments),
    /// Submit a proposal that enough operators have approved, and wait until it is certified.
    #[command(after_help = "Examples:\n  \
        jiaozi gov apply join.json --from bank-1 --genesis genesis.json\n  \
        jiaozi gov apply amber.json birch.json cedar.json --from bank-1 --genesis genesis.json\n\n\
        Any operator's own wallet may carry it; it costs what a payment costs.")]
    Apply(ApplyArguments),
    /// Where the chains stand: registry, epoch, a change of validators under way; or who has approved a proposal, and whether it was
    /// applied.
    #[command(after_help = "Examples:\n  \
        jiaozi gov status --genesis genesis.json\n  \
        jiaozi gov status join.json --genesis genesis.json --json")]
    Status(StatusArguments),
    /// Show a chain's registry with its proof checked: operators, nodes, parameters, validators.
    #[command(after_help = "Examples:\n  \
        jiaozi gov show --genesis genesis.json\n  \
        jiaozi gov show --chain 1 --genesis genesis.json --proof registry.proof")]
    Show(ShowArguments),
    /// Fetch why a chain began that operators added: with it a node begins the chain that does not host the root chain.
    #[command(
        after_help = "Examples:\n  jiaozi gov origin --chain 2 --out chain-2.origin --genesis genesis.json\n\n\
        The file holds the registry that the chain begins with, under the certificate of the root chain; it is checked with the\n\
        genesis file before it is written. It goes into `[node] origins` of node.toml. A node has it once the height that adds the\n\
        chain is executed and certified there: the command waits for that."
    )]
    Origin(OriginArguments),
    /// Let a new key say what it is for, offline, where it lives: proposals that bring in a key take its word along.
    #[command(after_help = "Examples:\n  \
        jiaozi gov prove-key --key keys/consensus-0.next.key --operator 2 --chain 0 --genesis genesis.json\n  \
        jiaozi gov prove-key --key keys/network.next.key --operator 2 --genesis genesis.json\n\n\
        The key's kind says what it is for; a consensus key is for one chain. What is printed holds nothing secret. Every bank checks it\n\
        before it approves.")]
    ProveKey(ProveKeyArguments),
}

#[derive(Debug, Args)]
struct FilesArguments {
    /// Files of one proposal.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    genesis: GenesisOption,
}

/// The genesis file: the only thing that is trusted.
#[derive(Debug, Clone, Args)]
pub(super) struct GenesisOption {
    /// The genesis file of the network.
    #[arg(long, value_name = "FILE", env = "JIAOZI_GENESIS")]
    pub(super) genesis: PathBuf,
}

#[derive(Debug, Args)]
struct ApproveArguments {
    /// The proposal; the approval is written into it.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Folder with operator.key.
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
    /// Approve what is shown.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    genesis: GenesisOption,
    #[command(flatten)]
    passphrase: PassphraseOptions,
}

#[derive(Debug, Args)]
struct ApplyArguments {
    /// Files of one proposal.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The operator's own wallet that carries it, by its name in the keystore.
    #[arg(long, value_name = "NAME")]
    from: String,
    #[command(flatten)]
    send: SendOptions,
}

#[derive(Debug, Args)]
struct StatusArguments {
    /// Files of one proposal; without any, where the chains stand.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    genesis: GenesisOption,
    #[command(flatten)]
    node: NodeOptions,
}

#[derive(Debug, Args)]
struct ShowArguments {
    /// New file for the proof.
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    #[command(flatten)]
    genesis: GenesisOption,
    #[command(flatten)]
    node: NodeOptions,
}

#[derive(Debug, Args)]
struct OriginArguments {
    /// New file for the origin.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How long to wait until the node has it.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=ORIGIN_WAIT_MAX_SECONDS))]
    timeout: u64,
    #[command(flatten)]
    genesis: GenesisOption,
    #[command(flatten)]
    node: NodeOptions,
}

/// Longest wait for an origin.
const ORIGIN_WAIT_MAX_SECONDS: u64 = 3_600;
/// Pause between two questions for one.
const ORIGIN_LOOK_AGAIN: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
struct ProveKeyArguments {
    /// The file of the new key: an operator's, a node's network key, or a consensus key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The operator that it is to be of, by number.
    #[arg(long, value_name = "ID")]
    operator: OperatorId,
    /// The chain that a consensus key is for.
    #[arg(long, value_name = "ID")]
    chain: Option<ChainId>,
    #[command(flatten)]
    genesis: GenesisOption,
    #[command(flatten)]
    passphrase: PassphraseOptions,
}

impl GenesisOption {
    pub(super) fn spec(&self) -> Answer<GenesisSpec> {
        load_spec(&self.genesis)
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure`].
pub fn run(arguments: GovArguments, output: Output) -> Answer {
    match arguments.command {
        GovCommand::Propose(arguments) => propose(arguments, output),
        GovCommand::Diff(FilesArguments { files, genesis }) => {
            let file = merged(&files, &genesis.spec()?)?;
            output.result(&ProposalView::new(&file, files.first()))
        }
        GovCommand::Approve(arguments) => approve(&arguments, output),
        GovCommand::Apply(arguments) => apply(&arguments, output),
        GovCommand::Status(arguments) => status(&arguments, output),
        GovCommand::Show(arguments) => show(&arguments, output),
        GovCommand::Origin(arguments) => origin(&arguments, output),
        GovCommand::ProveKey(arguments) => prove_key(&arguments, output),
    }
}

fn approve(arguments: &ApproveArguments, output: Output) -> Answer {
    let spec = arguments.genesis.spec()?;
    let mut file = load(&arguments.file, &spec)?;
    if !arguments.yes {
        output.result(&ProposalView::new(&file, Some(&arguments.file)))?;
        return Err(Failure::usage("not_approved", "nothing was approved")
            .at("--yes")
            .mend("look at the proposal above; if it is what you want, repeat the command with --yes"));
    }
    let passphrase = arguments.passphrase.read()?;
    let key = load_key(&arguments.keys.join(OPERATOR_FILE), KeyKind::OperatorKey, &passphrase)?;
    file.approve(&key).map_err(|fault| failure(fault).at("--keys"))?;
    save(&file, &arguments.file)?;
    output.result(&ProposalView::new(&file, Some(&arguments.file)))
}

fn apply(arguments: &ApplyArguments, output: Output) -> Answer {
    let genesis = arguments.send.genesis.clone().ok_or_else(|| {
        Failure::usage("genesis_missing", "the genesis file says which operators may approve")
            .at("--genesis")
            .mend("name it with --genesis or JIAOZI_GENESIS")
    })?;
    let spec = load_spec(&genesis)?;
    let file = merged(&arguments.files, &spec)?;
    let approvals = file.complete().map_err(failure)?;
    let currency = spec.chain(ROOT_CHAIN).map(|root| root.currency);
    let sender = arguments.send.sender_anywhere(&arguments.from, currency)?.on(ROOT_CHAIN);
    let operation = Operation::Govern { proposal: file.proposal().clone(), approvals };
    let fate = || Fate::ask(&sender.connection, &spec, &file);
    if let Some(refusal) = fate()?.refusal(file.proposal()) {
        return Err(refusal);
    }
    let sent = match arguments.send.send(&sender, operation, output) {
        // Somebody else was quicker.
        Err(failure) if is_stale(&failure) => {
            return Err(fate()?.refusal(file.proposal()).unwrap_or(failure));
        }
        sent => sent?,
    };
    output.result(&Applied { proposal: file.hash().to_string(), version: file.after().version, sent })
}

fn status(arguments: &StatusArguments, output: Output) -> Answer {
    let spec = arguments.genesis.spec()?;
    if !arguments.files.is_empty() {
        let file = merged(&arguments.files, &spec)?;
        let fate = Fate::look(&arguments.node, &spec, &file)?;
        return output.result(&ProposalView::new(&file, arguments.files.first()).with(fate));
    }
    let connection = arguments.node.connect()?;
    let network = connection.network(Some(spec.hash()))?;
    let ready = connection.wait(connection.client.ready())?;
    // Only the root chain hears how far children are.
    let root = here(registry(&connection, &spec, ROOT_CHAIN))?;
    let mut chains = Vec::new();
    for place in &network.chains {
        let is_asked = arguments.node.chain.is_none_or(|asked| asked == place.chain);
        if !is_asked {
            continue;
        }
        let chain = ChainId(place.chain);
        let known = match &root {
            Some(proof) if chain == ROOT_CHAIN => Some(proof.clone()),
            _ => here(registry(&connection, &spec, chain))?,
        };
        let record = root.as_ref().or(known.as_ref()).and_then(|proof| proof.registry.chain(chain));
        let heard = ready.chains.iter().find(|ready| ready.chain == place.chain);
        let heard = heard.map(|ready| Heard::new(ready, &network));
        chains.push(ChainStanding::new(place, known.as_ref(), record).hearing(heard));
    }
    if chains.is_empty() {
        return Err(Failure::from(ApiError::from(ErrorCode::ChainUnknown)).at("--chain"));
    }
    output.result(&Standing { chains, not_hosted: ready.not_hosted })
}

fn show(arguments: &ShowArguments, output: Output) -> Answer {
    let spec = arguments.genesis.spec()?;
    let connection = arguments.node.connect()?;
    connection.network(Some(spec.hash()))?;
    let proof = registry(&connection, &spec, arguments.node.chain_or_root())?;
    if let Some(path) = &arguments.proof {
        save_proof(path, &proof.encode())?;
    }
    output.result(&RegistryView::new(&proof, arguments.proof.clone()))
}

fn origin(arguments: &OriginArguments, output: Output) -> Answer {
    let spec = arguments.genesis.spec()?;
    let chain = arguments.node.chain.map(ChainId).ok_or_else(|| {
        Failure::usage("chain_needed", "every chain that was added has an origin of its own")
            .at("--chain")
            .mend("say which with --chain")
    })?;
    if spec.chain(chain).is_some() {
        let message = format!("genesis names chain {chain}: it begins with the genesis file");
        return Err(Failure::usage("origin_of_genesis", message).at("--chain").mend(
            "name a chain that was added later: jiaozi chain list; a node needs no origin for this one",
        ));
    }
    refuse_existing(&arguments.out)?;
    let connection = arguments.node.connect()?;
    connection.network(Some(spec.hash()))?;
    let bytes = origin_in_time(&connection, chain, Duration::from_secs(arguments.timeout), output)?;
    let unproved = |fault: &dyn std::fmt::Display| {
        Failure::refused(
            "origin_unproved",
            format_args!("the node's origin of the chain is not proved: {fault}"),
        )
        .at("--node")
        .mend("do not rely on it; ask another node")
    };
    let origin = ChainOrigin::decode(&bytes).map_err(|fault| unproved(&fault))?;
    origin.verify(&spec, chain).map_err(|fault| unproved(&fault))?;
    let io = |fault: std::io::Error| Failure::io("write", &arguments.out, &fault).at("--out");
    let mut file = std::fs::File::create_new(&arguments.out).map_err(io)?;
    file.write_all(&bytes).map_err(io)?;
    output.result(&OriginView::new(&origin, chain, arguments.out.clone()))
}

/// The origin as a node shows it, once it does: the height that adds the chain must be executed and certified there.
fn origin_in_time(
    connection: &Connection,
    chain: ChainId,
    limit: Duration,
    output: Output,
) -> Answer<Vec<u8>> {
    let (started, mut is_told) = (Instant::now(), false);
    loop {
        let failure = match connection.wait(connection.client.origin(chain)) {
            Err(failure) if is_not_here_yet(&failure) => failure,
            answer => return answer,
        };
        if started.elapsed().saturating_add(ORIGIN_LOOK_AGAIN) > limit {
            return Err(too_late(&failure, limit));
        }
        if !is_told {
            is_told = true;
            output.note("waiting until the node has a certificate of the height that adds the chain");
        }
        std::thread::sleep(ORIGIN_LOOK_AGAIN);
    }
}

/// Whether a node said that it has no proof yet that a chain was added.
pub(super) fn is_not_here_yet(failure: &Failure) -> bool {
    failure.code.starts_with(&ErrorCode::ChainNotHereYet.code().to_string())
}

/// The same command can succeed later: that is said, and told by its exit.
fn too_late(failure: &Failure, limit: Duration) -> Failure {
    let message = format!("after {} s: {}", limit.as_secs(), failure.message);
    Failure::unreachable("origin_not_yet", message).at("--chain").mend(
        "run the command again, with a longer --timeout, once `jiaozi gov apply` has said that the proposal is certified; or name another node \
         of chain 0 with --node",
    )
}

fn prove_key(arguments: &ProveKeyArguments, output: Output) -> Answer {
    let spec = arguments.genesis.spec()?;
    let file = KeyFile::load(&arguments.key)?;
    let (role, key) = match file.open(&arguments.passphrase.read()?)? {
        Secret::OperatorKey(key) => (KeyRole::Operator, key),
        Secret::NetworkKey(key) => (KeyRole::Network, key),
        Secret::ConsensusKey(key) => {
            let chain = arguments.chain.ok_or_else(|| {
                Failure::usage("chain_needed", "a consensus key is for one chain")
                    .at("--chain")
                    .mend("say which with --chain")
            })?;
            (KeyRole::Consensus(chain), key)
        }
        _ => return Err(KeyFileError::Mismatch.into()),
    };
    let possession = prove(spec.hash(), arguments.operator, role, &key);
    output.result(&ProvedKey { key: key.public_key().to_string(), possession })
}

/// What the node has; none of a chain that it does not host, or that has not begun there.
fn here(found: Answer<RegistryProof>) -> Answer<Option<RegistryProof>> {
    const NOT_HERE: [ErrorCode; 4] = [
        ErrorCode::ChainElsewhere,
        ErrorCode::ChainUnknown,
        ErrorCode::ChainNotHereYet,
        ErrorCode::NotCertified,
    ];
    match found {
        Ok(proof) => Ok(Some(proof)),
        Err(failure) if NOT_HERE.iter().any(|code| failure.code.starts_with(&code.code().to_string())) => {
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

/// A chain's registry as a node has it, with its proof checked.
pub(crate) fn registry(connection: &Connection, spec: &GenesisSpec, chain: ChainId) -> Answer<RegistryProof> {
    let bytes = connection.wait(connection.client.registry(chain))?;
    let unproved = |fault: &dyn std::fmt::Display| {
        Failure::refused("registry_unproved", format_args!("the node's registry is not proved: {fault}"))
            .at("--node")
            .mend("do not rely on it; ask another node")
    };
    let proof = RegistryProof::decode(&bytes).map_err(|fault| unproved(&fault))?;
    proof.verify(spec).map_err(|fault| unproved(&fault))?;
    if proof.certified.result.chain != chain {
        return Err(unproved(&format_args!("it is that of chain {}", proof.certified.result.chain)));
    }
    Ok(proof)
}

/// A refusal of the governance. A change that does not fit has the number that the chain would answer.
pub(crate) fn failure(fault: GovernanceError) -> Failure {
    use GovernanceError as E;
    let (exit, code) = match &fault {
        E::Change { number, fault: change } => {
            let refusal = ApiError::from(change.rejection());
            return Failure::refused(format!("{} {}", refusal.code, refusal.name), &fault).at(format!(
                "changes[{}].{}",
                number.saturating_sub(1),
                change.field()
            ));
        }
        E::Proof(_) => (Exit::Refused, "registry_unproved"),
        E::OtherWords => (Exit::Refused, "proposal_words"),
        E::OtherNetwork { .. } | E::SeatOfOtherNetwork { .. } => (Exit::Refused, "other_network"),
        E::SeatOfOtherChain { .. } | E::SeatSignature { .. } => (Exit::Refused, "validator_offer"),
        E::Stale { .. } => (Exit::Refused, "proposal_stale"),
        E::OtherProposal { .. } => (Exit::Refused, "other_proposal"),
        E::NotInCouncil { .. } | E::Stranger { .. } => (Exit::Refused, "not_in_council"),
        E::Signature { .. } => (Exit::Refused, "approval_invalid"),
        E::Incomplete { .. } => (Exit::Refused, "approvals_missing"),
        E::Contribution(_) | E::NotOneOperator => (Exit::Refused, "contribution"),
        E::KeyUnproved { .. } => (Exit::Refused, "key_unproved"),
        E::Param(_) => (Exit::Usage, "parameter"),
        E::OffersCount { .. } | E::OfferTwice { .. } => (Exit::Usage, "validator_offer"),
        E::CurrencyUnknown { .. } => (Exit::Usage, "currency_unknown"),
        E::OperatorUnknown { .. }
        | E::OperatorAmbiguous { .. }
        | E::NodeUnknown { .. }
        | E::ChainUnknown { .. }
        | E::NoValidator { .. }
        | E::SeveralValidators { .. }
        | E::TooManyChanges
        | E::Text(_) => (Exit::Usage, "proposal"),
        E::TooLarge { .. } | E::Json(_) | E::Field { .. } | E::Content(_) | E::NotRoot { .. } => {
            (Exit::Usage, "proposal_file")
        }
    };
    Failure::new(exit, code, fault)
}

fn merged(files: &[PathBuf], spec: &GenesisSpec) -> Answer<ProposalFile> {
    let mut files = files.iter();
    let first = files.next().ok_or_else(|| Failure::usage("files", "no file was named"))?;
    let mut merged = load(first, spec)?;
    for file in files {
        merged.merge(&load(file, spec)?).map_err(failure)?;
    }
    Ok(merged)
}

pub(super) fn load(path: &Path, spec: &GenesisSpec) -> Answer<ProposalFile> {
    let io = |fault: std::io::Error| Failure::io("read", path, &fault).at(path.display().to_string());
    let mut text = String::new();
    std::fs::File::open(path)
        .map_err(io)?
        .take(PROPOSAL_FILE_BYTES_MAX as u64 + 1)
        .read_to_string(&mut text)
        .map_err(io)?;
    ProposalFile::from_json(&text, spec).map_err(|fault| failure(fault).at(path.display().to_string()))
}

/// Replaces the file as a whole: an interrupted write must not lose other people's approvals.
fn save(file: &ProposalFile, path: &Path) -> Answer {
    let json = file.to_json().map_err(failure)?;
    wallet::files::replace_private(path, json.as_bytes()).map_err(file_failure)
}

/// A file that could not be written.
pub(super) fn file_failure(fault: FileError) -> Failure {
    match &fault {
        FileError::Io { path, action, source } => Failure::io(action, path, source),
        _ => Failure::usage("file", &fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_that_may_come_is_told_as_something_to_ask_for_again() {
        let refused = Failure::from(api::ApiError::from(ErrorCode::ChainNotHereYet).because("height 7"));
        assert!(is_not_here_yet(&refused));
        let late = too_late(&refused, Duration::from_secs(30));
        assert_eq!((late.exit, late.code.as_str()), (Exit::Unreachable, "origin_not_yet"));
        assert!(late.message.starts_with("after 30 s: ") && late.message.contains("height 7"), "{late:?}");
        assert!(late.mend.contains("--timeout") && late.mend.contains("--node"), "{late:?}");
        assert!(!is_not_here_yet(&api::ApiError::from(ErrorCode::ChainUnknown).into()));
    }
}
