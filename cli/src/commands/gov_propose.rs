//! `jiaozi gov propose`: from what an operator wants to a file that says it in canonical bytes.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use genesis::Contribution;
use genesis::error::{FileError, GenesisError};
use genesis::governance::{Draft, GovernanceError, ProposalFile, SeatOffer, Terms};
use ledger::records::GenesisSpec;
use ledger::records::registry::ROOT_CHAIN;
use ledger::values::{ChainId, Currency, NodeIndex, PublicKey, TimestampMs};

use super::gov::{GenesisOption, failure, file_failure, load, registry};
use super::gov_view::ProposalView;
use super::transaction::refuse_existing;
use crate::amount::WrittenAmount;
use crate::connection::NodeOptions;
use crate::failure::{Answer, Failure};
use crate::output::Output;
use crate::send::wall_clock_ms;

/// Longest time that a proposal may wait for approvals: 30 days.
const VALID_FOR_HOURS_MAX: u64 = 720;
/// Milliseconds of an hour.
const HOUR_MS: u64 = 3_600_000;

/// Arguments of `jiaozi gov propose`.
#[derive(Debug, Args)]
pub(super) struct ProposeArguments {
    #[command(subcommand)]
    change: ChangeCommand,
}

/// What is proposed, and into which file.
#[derive(Debug, Subcommand)]
enum ChangeCommand {
    /// A bank joins: what its contribution brings.
    #[command(after_help = "Examples:\n  \
        jiaozi genesis contribute joining --name Ember --role bank --keys keys --address ember.example:7000 --genesis genesis.json\n  \
        jiaozi gov propose add-operator --contribution joining/contributions/Ember-….json --out join.json")]
    AddOperator(AddOperatorArguments),
    /// A bank leaves, with its nodes and validators; its wallets stay.
    #[command(after_help = "Examples:\n  jiaozi gov propose retire-operator Delta --out leave.json")]
    RetireOperator(OperatorArguments),
    /// An operator's cold key becomes another.
    #[command(
        after_help = "Examples:\n  jiaozi gov propose replace-operator-key Birch --new-key 5f0c… --possession 9a71… --out key.json"
    )]
    ReplaceOperatorKey(OperatorKeyArguments),
    /// An operator gets one more node.
    #[command(after_help = "Examples:\n  \
        jiaozi gov propose add-node Birch --network-key 5f0c… --possession 9a71… --address b.birch.example:7000 --out node.json")]
    AddNode(AddNodeArguments),
    /// A node is reached elsewhere.
    #[command(
        after_help = "Examples:\n  jiaozi gov propose move-node 2 --address cedar.example:7000 --out move.json"
    )]
    MoveNode(MoveNodeArguments),
    /// A node is taken away; it may run no validator that the next set still has.
    #[command(after_help = "Examples:\n  jiaozi gov propose retire-node 7 --out node.json")]
    RetireNode(NodeArguments),
    /// A node's network key becomes another.
    #[command(
        after_help = "Examples:\n  jiaozi gov propose rotate-network-key 2 --new-key 5f0c… --possession 9a71… --out network.json"
    )]
    RotateNetworkKey(NodeKeyArguments),
    /// A node of an operator votes on a chain.
    #[command(after_help = "Examples:\n  \
        jiaozi gov propose add-validator --chain 1 --on-node 2 --new-key 5f0c… --possession 9a71… --out validator.json")]
    AddValidator(AddValidatorArguments),
    /// A validator leaves a chain.
    #[command(after_help = "Examples:\n  \
        jiaozi gov propose remove-validator --chain 1 --operator Delta --out validator.json\n  \
        jiaozi gov propose remove-validator --chain 1 --key 5f0c… --out validator.json")]
    RemoveValidator(SeatArguments),
    /// A validator votes with another key: the one that `jiaozi node rotate-consensus-key` made.
    #[command(after_help = "Examples:\n  \
        jiaozi gov propose rotate-consensus-key --chain 0 --operator Birch --new-key 5f0c… --possession 9a71… --out rotate.json\n  \
        jiaozi gov propose rotate-consensus-key --chain 0 --key 77aa… --new-key 5f0c… --possession 9a71… --out rotate.json")]
    RotateConsensusKey(RotateArguments),
    /// A parameter of a chain gets another value.
    #[command(after_help = "Examples:\n  \
        jiaozi gov propose set-param block_pace_ms 100 --chain 0 --out pace.json\n  \
        jiaozi gov propose set-param tiers.four.balance_max_fen 2000000 --chain 1 --out limit.json\n\n\
        `jiaozi gov show` lists the names. A limit in fen may be `none`.")]
    SetParam(ParamArguments),
    /// A chain gets a child, which is to take half of its wallets: the first step of doubling a currency's shards.
    #[command(after_help = "Examples:\n  \
        jiaozi gov propose add-chain 0 --validator chain-2-node-*.json --out add.json\n  \
        jiaozi gov propose add-chain 1 --validator chain-3-node-*.json --append --out add.json\n\n\
        Its operators make the files with `jiaozi node add-chain`. The chain has the next free id, the parent's currency and parameters,\n\
        and no wallets until `gov propose reshard` was applied.")]
    AddChain(AddChainArguments),
    /// The shards of a currency double: every chain of it gives half of its wallets to its child.
    #[command(after_help = "Examples:\n  jiaozi gov propose reshard CNY --out reshard.json\n\n\
        Every shard has a child that `gov status` shows as ready. Payments go on meanwhile.")]
    Reshard(ReshardArguments),
    /// A child that never started is given up: its parent may have another one.
    #[command(after_help = "Examples:\n  jiaozi gov propose remove-chain --chain 2 --out remove.json\n\n\
        Only while `gov status` shows the chain as added. Its id is never given again; the next child has the next free one.")]
    RemoveChain(RemoveChainArguments),
    /// Fees that a chain has collected go to an operator's own wallet there: as much as there is, up to the amount.
    #[command(after_help = "Examples:\n  \
        jiaozi gov propose spend-fees --chain 0 --operator bank-1 --amount 5000 --reason \"audit of 2026\" --out spend.json")]
    SpendFees(SpendFeesArguments),
}

/// What every proposal says, and where it goes.
#[derive(Debug, Clone, Args)]
struct ProposalOptions {
    /// New file for the proposal.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Add the change to the proposal in --out, which nobody has approved yet; its reason and urgency stay unless given anew.
    #[arg(long)]
    append: bool,
    /// Why, for the operators who read it.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Do not wait for a day to pass since a chain's last change of validators.
    #[arg(long)]
    urgent: bool,
    /// How long it may wait for approvals.
    #[arg(long, value_name = "HOURS", default_value_t = 72, value_parser = clap::value_parser!(u64).range(1..=VALID_FOR_HOURS_MAX))]
    valid_for_hours: u64,
    #[command(flatten)]
    genesis: GenesisOption,
    #[command(flatten)]
    node: NodeOptions,
}

#[derive(Debug, Args)]
struct AddOperatorArguments {
    /// The contribution, as in the ceremony, to the template of this network's genesis.
    #[arg(long, value_name = "FILE")]
    contribution: PathBuf,
    /// Only the bank and its nodes: they follow, and later proposals (add-validator) let them vote.
    #[arg(long)]
    follow_first: bool,
    #[command(flatten)]
    proposal: ProposalOptions,
}

#[derive(Debug, Args)]
struct OperatorArguments {
    /// The operator, by number or name.
    #[arg(value_name = "OPERATOR")]
    operator: String,
    #[command(flatten)]
    proposal: ProposalOptions,
}

#[derive(Debug, Args)]
struct OperatorKeyArguments {
    /// The operator, by number or name.
    #[arg(value_name = "OPERATOR")]
    operator: String,
    /// The public key that is to follow.
    #[arg(long, value_name = "KEY")]
    new_key: PublicKey,
    /// What `jiaozi gov prove-key` says of that key.
    #[arg(long, value_name = "SIGNATURE")]
    possession: String,
    #[command(flatten)]
    proposal: ProposalOptions,
}

#[derive(Debug, Args)]
struct AddNodeArguments {
    /// The operator, by number or name.
    #[arg(value_name = "OPERATOR")]
    operator: String,
    /// The node's public network key.
    #[arg(long, value_name = "KEY")]
    network_key: PublicKey,
    /// What `jiaozi gov prove-key` says of that key.
    #[arg(long, value_name = "SIGNATURE")]
    possession: String,
    /// Where peers reach it, host:port.
    #[arg(long, value_name = "ADDRESS")]
    address: String,
    #[command(flatten)]
    proposal: ProposalOptions,
}

#[derive(Debug, Args)]
struct MoveNodeArguments {
    /// The node, by number.
    #[arg(value_name = "NODE")]
    index: NodeIndex,
    /// Where peers reach it then, host:port.
    #[arg(long, value_name = "ADDRESS")]
    address: String,
    #[command(flatten)]
    proposal: ProposalOptions,
}

#[derive(Debug, Args)]
struct NodeArguments {
    /// The node, by number.
    #[arg(value_name = "NODE")]
    index: NodeIndex,
    #[command(flatten)]
    proposal: ProposalOptions,
}

#[derive(Debug, Args)]
struct NodeKeyArguments {
    /// The node, by number.
    #[arg(value_name = "NODE")]
    index: NodeIndex,
    /// The public key that is to follow.
    #[arg(long, value_name = "KEY")]
    new_key: PublicKey,
    /// What `jiaozi gov prove-key` says of that key.
    #[arg(long, value_name = "SIGNATURE")]
    possession: String,
    #[command(flatten)]
    proposal: ProposalOptions,
}

#[derive(Debug, Args)]
struct AddValidatorArguments {
    /// The node that runs it, by number.
    #[arg(long, value_name = "NODE")]
    on_node: NodeIndex,
    /// The public key that it votes with.
    #[arg(long, value_name = "KEY")]
    new_key: PublicKey,
    /// What `jiaozi gov prove-key` says of that key.
    #[arg(long, value_name = "SIGNATURE")]
    possession: String,
    #[command(flatten)]
    proposal: ProposalOptions,
}

#[derive(Debug, Args)]
struct SeatArguments {
    #[command(flatten)]
    seat: Seat,
    #[command(flatten)]
    proposal: ProposalOptions,
}

#[derive(Debug, Args)]
struct RotateArguments {
    #[command(flatten)]
    seat: Seat,
    /// The public key that is to follow.
    #[arg(long, value_name = "KEY")]
    new_key: PublicKey,
    /// What `jiaozi gov prove-key` says of that key.
    #[arg(long, value_name = "SIGNATURE")]
    possession: String,
    #[command(flatten)]
    proposal: ProposalOptions,
}

/// A validator of a chain.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Seat {
    /// The operator that has one validator there, by number or name.
    #[arg(long, value_name = "OPERATOR")]
    operator: Option<String>,
    /// The public key that the validator votes with now.
    #[arg(long, value_name = "KEY")]
    key: Option<PublicKey>,
}

#[derive(Debug, Args)]
struct ParamArguments {
    /// The parameter's name.
    #[arg(value_name = "NAME")]
    name: String,
    /// Its new value.
    #[arg(value_name = "VALUE")]
    value: String,
    #[command(flatten)]
    proposal: ProposalOptions,
}

#[derive(Debug, Args)]
struct AddChainArguments {
    /// The chain that is to have a child, by id.
    #[arg(value_name = "PARENT")]
    parent: ChainId,
    /// What each node offers that is to run a validator of the child.
    #[arg(long = "validator", value_name = "FILE", required = true, num_args = 1..)]
    validators: Vec<PathBuf>,
    #[command(flatten)]
    proposal: ProposalOptions,
}

#[derive(Debug, Args)]
struct ReshardArguments {
    /// The currency, such as CNY.
    #[arg(value_name = "CURRENCY")]
    code: Currency,
    #[command(flatten)]
    proposal: ProposalOptions,
}

#[derive(Debug, Args)]
struct RemoveChainArguments {
    #[command(flatten)]
    proposal: ProposalOptions,
}

#[derive(Debug, Args)]
struct SpendFeesArguments {
    /// The operator that gets them, by number or name.
    #[arg(long, value_name = "OPERATOR")]
    operator: String,
    /// How much at most, such as 12.34, in the currency of the chain.
    #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true)]
    amount: WrittenAmount,
    #[command(flatten)]
    proposal: ProposalOptions,
}

impl ChangeCommand {
    const fn options(&self) -> &ProposalOptions {
        match self {
            Self::AddOperator(AddOperatorArguments { proposal, .. })
            | Self::RetireOperator(OperatorArguments { proposal, .. })
            | Self::ReplaceOperatorKey(OperatorKeyArguments { proposal, .. })
            | Self::AddNode(AddNodeArguments { proposal, .. })
            | Self::MoveNode(MoveNodeArguments { proposal, .. })
            | Self::RetireNode(NodeArguments { proposal, .. })
            | Self::RotateNetworkKey(NodeKeyArguments { proposal, .. })
            | Self::AddValidator(AddValidatorArguments { proposal, .. })
            | Self::RemoveValidator(SeatArguments { proposal, .. })
            | Self::RotateConsensusKey(RotateArguments { proposal, .. })
            | Self::SetParam(ParamArguments { proposal, .. })
            | Self::AddChain(AddChainArguments { proposal, .. })
            | Self::Reshard(ReshardArguments { proposal, .. })
            | Self::RemoveChain(RemoveChainArguments { proposal })
            | Self::SpendFees(SpendFeesArguments { proposal, .. }) => proposal,
        }
    }

    /// Adds the change to a draft.
    fn draw(&self, draft: &mut Draft, spec: &GenesisSpec) -> Answer {
        let chain = self.options().node.chain.map(ChainId);
        match self {
            Self::AddOperator(AddOperatorArguments { contribution, follow_first, .. }) => {
                let added = draft.add_operator(spec, &brought(contribution)?, *follow_first);
                added.map(drop).map_err(|fault| failure(fault).at("--contribution"))
            }
            Self::RetireOperator(OperatorArguments { operator, .. }) => {
                let operator = draft.operator(operator).map_err(at_operator)?;
                draft.retire_operator(operator).map_err(at_operator)
            }
            Self::ReplaceOperatorKey(OperatorKeyArguments { operator, new_key, possession, .. }) => {
                let operator = draft.operator(operator).map_err(at_operator)?;
                draft.replace_operator_key(operator, *new_key).map_err(failure)?;
                held(draft, *new_key, possession)
            }
            Self::AddNode(AddNodeArguments { operator, network_key, possession, address, .. }) => {
                let operator = draft.operator(operator).map_err(at_operator)?;
                draft.add_node(operator, *network_key, address).map(drop).map_err(failure)?;
                held(draft, *network_key, possession)
            }
            Self::MoveNode(MoveNodeArguments { index, address, .. }) => {
                draft.move_node(*index, address).map_err(failure)
            }
            Self::RetireNode(NodeArguments { index, .. }) => draft.retire_node(*index).map_err(failure),
            Self::RotateNetworkKey(NodeKeyArguments { index, new_key, possession, .. }) => {
                draft.replace_network_key(*index, *new_key).map_err(failure)?;
                held(draft, *new_key, possession)
            }
            Self::AddValidator(AddValidatorArguments { on_node, new_key, possession, .. }) => {
                draft.add_validator(named(chain)?, *on_node, *new_key).map_err(failure)?;
                held(draft, *new_key, possession)
            }
            Self::RemoveValidator(SeatArguments { seat, .. }) => {
                let chain = named(chain)?;
                draft.remove_validator(chain, seat.key(draft, chain)?).map_err(failure)
            }
            Self::RotateConsensusKey(RotateArguments { seat, new_key, possession, .. }) => {
                let chain = named(chain)?;
                let old = seat.key(draft, chain)?;
                draft.replace_consensus_key(chain, old, *new_key).map_err(failure)?;
                held(draft, *new_key, possession)
            }
            Self::SetParam(ParamArguments { name, value, .. }) => {
                draft.set_param(named(chain)?, name, value).map_err(failure)
            }
            Self::AddChain(AddChainArguments { parent, validators, .. }) => {
                let offers = validators.iter().map(|path| offer(path)).collect::<Answer<Vec<_>>>()?;
                draft.add_chain(spec.hash(), *parent, &offers).map(drop).map_err(at_chain)
            }
            Self::Reshard(ReshardArguments { code, .. }) => draft.reshard(*code).map_err(at_currency),
            Self::RemoveChain(_) => draft.remove_chain(named(chain)?).map_err(failure),
            Self::SpendFees(SpendFeesArguments { operator, amount, .. }) => {
                let chain = named(chain)?;
                let operator = draft.operator(operator).map_err(|fault| failure(fault).at("--operator"))?;
                let currency = draft.currency(chain).map_err(|fault| failure(fault).at("--chain"))?;
                draft.spend_fees(chain, operator, amount.in_currency(currency)?).map_err(failure)
            }
        }
    }

    /// Reads the files that it names: a wrong one is told before a node is asked.
    fn read(&self) -> Answer {
        match self {
            Self::AddOperator(AddOperatorArguments { contribution, .. }) => brought(contribution).map(drop),
            Self::AddChain(AddChainArguments { validators, .. }) => {
                validators.iter().try_for_each(|path| offer(path).map(drop))
            }
            _ => Ok(()),
        }
    }
}

impl Seat {
    fn key(&self, draft: &Draft, chain: ChainId) -> Answer<PublicKey> {
        match (&self.key, &self.operator) {
            (Some(key), _) => Ok(*key),
            (None, Some(operator)) => {
                let operator = draft.operator(operator).map_err(|fault| failure(fault).at("--operator"))?;
                draft.consensus_key(chain, operator).map_err(|fault| failure(fault).at("--operator"))
            }
            (None, None) => {
                Err(Failure::usage("validator_missing", "which validator is not said").at("--operator"))
            }
        }
    }
}

fn offer(path: &Path) -> Answer<SeatOffer> {
    SeatOffer::load(path).map_err(|fault| named_file(fault, "validator_offer").at("--validator"))
}

fn brought(path: &Path) -> Answer<Contribution> {
    Contribution::load(path).map_err(|fault| named_file(fault, "contribution").at("--contribution"))
}

/// A file that the change names: it is missing, as any file may be, or it is something else than its option wants.
fn named_file(fault: GenesisError, kind: &str) -> Failure {
    match fault {
        GenesisError::File(FileError::Io { path, action, source }) => Failure::io(action, &path, &source),
        GenesisError::File(fault) => Failure::usage(kind, fault),
        fault => super::genesis::failure(fault),
    }
}

/// What is wrong with a chain to be added: the parent, or one of the offers.
fn at_chain(fault: GovernanceError) -> Failure {
    use GovernanceError as E;
    let is_parent = matches!(fault, E::ChainUnknown { .. });
    // A change that does not fit names its own field.
    let is_change = matches!(fault, E::Change { .. } | E::TooManyChanges);
    match failure(fault) {
        refusal if is_change => refusal,
        refusal if is_parent => refusal.at("PARENT"),
        refusal => refusal.at("--validator"),
    }
}

fn at_currency(fault: GovernanceError) -> Failure {
    let is_currency = matches!(fault, GovernanceError::CurrencyUnknown { .. });
    let refusal = failure(fault);
    if is_currency { refusal.at("CURRENCY") } else { refusal }
}

/// The key's own word goes with the proposal.
fn held(draft: &mut Draft, key: PublicKey, possession: &str) -> Answer {
    draft.prove(key, possession).map_err(|fault| failure(fault).at("--possession"))
}

fn at_operator(fault: GovernanceError) -> Failure {
    failure(fault).at("OPERATOR")
}

/// The chain, which must be said: sets and parameters are each chain's own.
fn named(chain: Option<ChainId>) -> Answer<ChainId> {
    chain.ok_or_else(|| {
        Failure::usage("chain_needed", "every chain has validators and parameters of its own")
            .at("--chain")
            .mend("say which with --chain; several chains take one --append each")
    })
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]: the change does not fit the registry, the node's registry is not proved, or the file exists.
pub(super) fn propose(arguments: ProposeArguments, output: Output) -> Answer {
    let ProposeArguments { change } = arguments;
    let options = change.options();
    change.read()?;
    let spec = options.genesis.spec()?;
    let begun = if options.append { Some(unapproved(&options.out, &spec)?) } else { None };
    if begun.is_none() {
        refuse_existing(&options.out)?;
    }
    let connection = options.node.connect()?;
    connection.network(Some(spec.hash()))?;
    let proof = registry(&connection, &spec, ROOT_CHAIN)?;
    let mut draft = Draft::new(proof.registry.clone());
    if let Some(begun) = &begun {
        draft = draft.with(&begun.proposal().changes, begun.proofs()).map_err(failure)?;
    }
    change.draw(&mut draft, &spec)?;
    let proofs = draft.proofs().clone();
    let proposal = draft.proposal(options.terms(begun.as_ref())).map_err(failure)?;
    let file = ProposalFile::new(&spec, proof, proposal, proofs).map_err(failure)?;
    let json = file.to_json().map_err(failure)?;
    let written = if options.append {
        wallet::files::replace_private(&options.out, json.as_bytes())
    } else {
        wallet::files::create_private(&options.out, json.as_bytes())
    };
    written.map_err(|fault| file_failure(fault).at("--out"))?;
    output.result(&ProposalView::new(&file, Some(&options.out)))
}

impl ProposalOptions {
    fn terms(&self, begun: Option<&ProposalFile>) -> Terms {
        let begun = begun.map(ProposalFile::proposal);
        let so_far = || begun.map(|proposal| proposal.reason.clone()).unwrap_or_default();
        Terms {
            reason: self.reason.clone().unwrap_or_else(so_far),
            valid_until: TimestampMs(wall_clock_ms().saturating_add(self.valid_for_hours * HOUR_MS)),
            is_urgent: self.urgent || begun.is_some_and(|proposal| proposal.is_urgent),
        }
    }
}

/// A proposal that may still be changed.
fn unapproved(path: &Path, spec: &GenesisSpec) -> Answer<ProposalFile> {
    let file = load(path, spec)?;
    if file.approved_by().next().is_some() {
        return Err(Failure::refused("already_approved", "somebody has approved the proposal already")
            .at("--append")
            .mend("write the change into another file; both can be applied, one after the other"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use genesis::dev::{LocalnetPlan, localnet};
    use ledger::records::Registry;
    use ledger::values::SecretKey;

    use super::*;

    /// Each refusal names its own cause, its field and what to do.
    #[test]
    fn a_chain_or_a_doubling_that_cannot_be_is_refused_by_its_cause() {
        let network = localnet(&LocalnetPlan::new(4), &[6; 32]).unwrap();
        let genesis = network.spec.hash();
        let offer = |(node, bank): (u16, &genesis::dev::BankSecrets)| {
            let key = SecretKey::from_seed([90 + node as u8; 32]);
            SeatOffer::prove(genesis, ChainId(1), NodeIndex(node), &bank.network_key, &key)
        };
        let offers: Vec<SeatOffer> = (0..).zip(&network.banks).map(offer).collect();
        let registry = Registry::from_genesis(&network.spec);
        let adds = |parent: u32, offers: &[SeatOffer]| {
            let added = Draft::new(registry.clone()).add_chain(genesis, ChainId(parent), offers);
            at_chain(added.unwrap_err())
        };
        let doubles =
            |code: &[u8; 3]| at_currency(Draft::new(registry.clone()).reshard(Currency(*code)).unwrap_err());
        let twice: Vec<SeatOffer> = offers.iter().chain(&offers[..1]).cloned().collect();
        for (refusal, code, field, message, mend) in [
            (
                adds(0, &offers[..3]),
                "validator_offer",
                "--validator",
                "3 validators are offered",
                "name one file",
            ),
            (
                adds(0, &twice),
                "validator_offer",
                "--validator",
                "node 0 offers two",
                "name each node's file once",
            ),
            (adds(7, &offers), "proposal", "PARENT", "the network has no chain 7", "see `jiaozi chain list`"),
            (doubles(b"USD"), "currency_unknown", "CURRENCY", "the network has no USD", "name one of: CNY"),
            (doubles(b"CNY"), "11827 change_chain_not_ready", "changes[0].currency", "shard 0 of CNY", ""),
        ] {
            let told = (refusal.code.as_str(), refusal.field.as_deref());
            assert_eq!(told, (code, Some(field)), "{refusal:?}");
            assert!(refusal.message.contains(message) && refusal.mend.starts_with(mend), "{refusal:?}");
        }
    }
}
