//! What `jiaozi gov` shows: a proposal, a registry, and where the chains stand.

use std::path::PathBuf;

use genesis::governance::{ProposalFile, Section, diff, operator_name, params, utc};
use ledger::proofs::RegistryProof;
use ledger::records::{ChainRecord, ChainSpec, EpochRecord, Registry};
use ledger::values::{ChainId, Height};
use serde::Serialize;

use crate::output::{Show, facts, grouped, table};
use crate::send::Sent;

/// A proposal with what it changes and who has approved it.
#[derive(Debug, Serialize)]
pub(super) struct ProposalView {
    proposal: String,
    reason: String,
    /// The version of the registry that it changes.
    version: u64,
    valid_until_ms: u64,
    is_urgent: bool,
    /// What changes, by part of the registry.
    changes: Vec<Section>,
    /// Who may approve.
    council: Vec<Member>,
    /// Approvals that are needed, of those who may.
    quorum: usize,
    /// Approvals that are still needed.
    missing: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
}

/// An operator that may approve.
#[derive(Debug, Serialize)]
struct Member {
    operator: u16,
    name: String,
    has_approved: bool,
}

impl ProposalView {
    pub(super) fn new(file: &ProposalFile, path: Option<&PathBuf>) -> Self {
        let proposal = file.proposal();
        let approved: Vec<_> = file.approved_by().collect();
        let council: Vec<Member> = file
            .council()
            .into_iter()
            .map(|operator| Member {
                operator: operator.0,
                name: operator_name(file.registry(), operator),
                has_approved: approved.contains(&operator),
            })
            .collect();
        Self {
            proposal: file.hash().to_string(),
            reason: proposal.reason.clone(),
            version: proposal.version,
            valid_until_ms: proposal.valid_until.0,
            is_urgent: proposal.is_urgent,
            changes: file.differences(),
            quorum: file.quorum(),
            council,
            missing: file.missing(),
            file: path.cloned(),
        }
    }
}

impl Show for ProposalView {
    fn text(&self) -> String {
        let names = |has_approved: bool| {
            let members = self.council.iter().filter(|member| member.has_approved == has_approved);
            let names: Vec<&str> = members.map(|member| member.name.as_str()).collect();
            if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
        };
        let urgent = match self.is_urgent {
            true => "yes: chains change their validators at once",
            false => "no: chains change their validators at most once a day",
        };
        let mut lines = vec![("proposal", self.proposal.clone())];
        if !self.reason.is_empty() {
            lines.push(("reason", printable(&self.reason)));
        }
        lines.extend([
            ("changes", format!("version {} of the registry", self.version)),
            ("valid until", utc(self.valid_until_ms)),
            ("urgent", urgent.to_owned()),
            ("approved by", names(true)),
            ("not yet by", names(false)),
            ("missing", format!("{} of {} approvals", self.missing, self.quorum)),
        ]);
        lines.extend(self.file.as_ref().map(|file| ("file", file.display().to_string())));
        format!("{}\n\n{}", facts(&lines), diff::lines(&self.changes).join("\n"))
    }
}

/// A reason is anybody's text: nothing in it fakes a line.
fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// A proposal that was applied.
#[derive(Debug, Serialize)]
pub(super) struct Applied {
    pub(super) proposal: String,
    /// The registry's version since.
    pub(super) version: u64,
    pub(super) sent: Sent,
}

impl Show for Applied {
    fn text(&self) -> String {
        let lines = [("proposal", self.proposal.clone()), ("registry", format!("version {}", self.version))];
        format!("{}\n{}", facts(&lines), self.sent.text())
    }
}

/// A chain's registry.
#[derive(Debug, Serialize)]
pub(super) struct RegistryView {
    chain: u32,
    height: u64,
    version: u64,
    hash: String,
    operators: Vec<OperatorRow>,
    nodes: Vec<NodeRow>,
    chains: Vec<ChainRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof_file: Option<PathBuf>,
    #[serde(skip)]
    text: String,
}

#[derive(Debug, Serialize)]
struct OperatorRow {
    operator: u16,
    name: String,
    key: String,
    is_active: bool,
}

#[derive(Debug, Serialize)]
struct NodeRow {
    node: u16,
    operator: u16,
    address: String,
    network_key: String,
    is_active: bool,
}

#[derive(Debug, Serialize)]
struct ChainRow {
    chain: u32,
    params: std::collections::BTreeMap<String, String>,
    epochs: Vec<EpochRow>,
    /// The set that the operators want.
    wanted: Vec<SeatRow>,
}

#[derive(Debug, Serialize)]
struct EpochRow {
    epoch: u64,
    first_height: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_height: Option<u64>,
    validators: Vec<SeatRow>,
}

#[derive(Debug, Serialize)]
struct SeatRow {
    operator: u16,
    node: u16,
    consensus_key: String,
}

impl RegistryView {
    pub(super) fn new(proof: &RegistryProof, proof_file: Option<PathBuf>) -> Self {
        let (registry, result) = (&proof.registry, &proof.certified.result);
        let operators = (0_u16..).zip(&registry.operators).map(|(operator, record)| OperatorRow {
            operator,
            name: record.name.clone(),
            key: record.key.to_string(),
            is_active: registry.is_active(ledger::values::OperatorId(operator)),
        });
        let nodes = (0_u16..).zip(&registry.nodes).map(|(node, record)| NodeRow {
            node,
            operator: record.operator.0,
            address: record.address.clone(),
            network_key: record.network_key.to_string(),
            is_active: registry.is_node_active(ledger::values::NodeIndex(node)),
        });
        Self {
            chain: result.chain.0,
            height: result.height.0,
            version: registry.version,
            hash: registry.hash().to_string(),
            operators: operators.collect(),
            nodes: nodes.collect(),
            chains: registry.chains.iter().map(ChainRow::from).collect(),
            proof_file,
            text: genesis::governance::show(registry),
        }
    }
}

impl From<&ChainRecord> for ChainRow {
    fn from(record: &ChainRecord) -> Self {
        let seats = |validators: &[ledger::records::ValidatorRecord]| -> Vec<SeatRow> {
            let seat = |validator: &ledger::records::ValidatorRecord| SeatRow {
                operator: validator.operator.0,
                node: validator.node.0,
                consensus_key: validator.consensus_key.to_string(),
            };
            validators.iter().map(seat).collect()
        };
        let epoch = |epoch: &EpochRecord| EpochRow {
            epoch: epoch.epoch.0,
            first_height: epoch.first_height.0,
            last_height: epoch.last_height.map(|last| last.0),
            validators: seats(&epoch.validators),
        };
        Self {
            chain: record.chain.0,
            params: params::values(&record.params).into_iter().collect(),
            epochs: record.epochs.iter().map(epoch).collect(),
            wanted: seats(&record.wanted),
        }
    }
}

impl Show for RegistryView {
    fn text(&self) -> String {
        let mut lines = vec![
            ("verdict", "valid: a quorum of the chain's validators certified this registry".to_owned()),
            ("chain", self.chain.to_string()),
            ("height", grouped(self.height)),
            ("version", self.version.to_string()),
            ("hash", self.hash.clone()),
        ];
        lines.extend(self.proof_file.as_ref().map(|file| ("proof", file.display().to_string())));
        format!("{}\n\n{}", facts(&lines), self.text)
    }
}

/// Where the chains stand.
#[derive(Debug, Serialize)]
pub(super) struct Standing {
    pub(super) chains: Vec<ChainStanding>,
}

/// Where a chain stands.
#[derive(Debug, Serialize)]
pub(super) struct ChainStanding {
    chain: u32,
    currency: String,
    shard: u16,
    /// What the node knows of it; missing where it does not host the chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    known: Option<Known>,
}

/// What a chain's own registry says of it, at a certified height.
#[derive(Debug, Serialize)]
struct Known {
    height: u64,
    /// The registry's version here.
    registry: u64,
    epoch: u64,
    first_height: u64,
    /// The last height of the epoch, once it is scheduled.
    #[serde(skip_serializing_if = "Option::is_none")]
    closing_height: Option<u64>,
    validators: usize,
    /// How the next set differs from that of the epoch, for people.
    next: Vec<String>,
}

impl ChainStanding {
    pub(super) fn new(proof: &RegistryProof) -> Self {
        let (registry, result) = (&proof.registry, &proof.certified.result);
        let Some(record) = registry.chain(result.chain) else {
            // The root of a state is that of a chain which its registry has.
            return Self { chain: result.chain.0, currency: String::new(), shard: 0, known: None };
        };
        let known = running(registry, result.chain, result.height).map(|epoch| Known {
            height: result.height.0,
            registry: registry.version,
            epoch: epoch.epoch.0,
            first_height: epoch.first_height.0,
            closing_height: epoch.last_height.map(|last| last.0),
            validators: epoch.validators.len(),
            next: diff::validators(registry, &epoch.validators, &record.wanted),
        });
        let currency = record.currency.to_string();
        Self { chain: record.chain.0, currency, shard: record.shard, known }
    }

    pub(super) fn elsewhere(chain: &ChainSpec) -> Self {
        let currency = chain.currency.to_string();
        Self { chain: chain.chain.0, currency, shard: chain.shard, known: None }
    }
}

/// The epoch that decides the next height.
fn running(registry: &Registry, chain: ChainId, height: Height) -> Option<&EpochRecord> {
    registry.epoch_at(chain, height.next()).or_else(|| registry.newest_epoch(chain))
}

impl Show for Standing {
    fn text(&self) -> String {
        let rows = self.chains.iter().map(|chain| {
            let mut row = vec![chain.chain.to_string(), chain.currency.clone(), chain.shard.to_string()];
            row.extend(match &chain.known {
                None => ["-"; 5].map(str::to_owned).to_vec(),
                Some(known) => vec![
                    known.registry.to_string(),
                    known.epoch.to_string(),
                    grouped(known.height),
                    known.closing_height.map_or_else(|| "-".to_owned(), grouped),
                    known.validators.to_string(),
                ],
            });
            row
        });
        let header = ["chain", "currency", "shard", "registry", "epoch", "height", "closes at", "validators"];
        let mut text = table(&header, rows, &[0, 2, 3, 4, 5, 6, 7]);
        for chain in &self.chains {
            let Some(known) = chain.known.as_ref().filter(|known| !known.next.is_empty()) else { continue };
            let when = match known.closing_height {
                Some(height) => format!("from height {} on", grouped(height.saturating_add(1))),
                None => "once a day has passed since its last change".to_owned(),
            };
            text.push_str(&format!("\n\nchain {}, {when}", chain.chain));
            known.next.iter().for_each(|line| text.push_str(&format!("\n  {line}")));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use genesis::dev::{LocalnetPlan, localnet, uncertified_registry};
    use ledger::values::{Epoch, PublicKey};

    use super::*;

    /// The registry of a localnet under a result that nobody has certified: what is shown does not ask.
    fn proof() -> RegistryProof {
        let spec = localnet(&LocalnetPlan::new(4), &[5; 32]).unwrap().spec;
        uncertified_registry(&spec).unwrap()
    }

    #[test]
    fn a_change_of_validators_is_shown_with_its_height() {
        let mut proof = proof();
        let quiet = Standing { chains: vec![ChainStanding::new(&proof)] }.text();
        let row: Vec<&str> = quiet.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["0", "CNY", "0", "0", "0", "0", "-", "4"]);
        assert_eq!(quiet.lines().count(), 2, "{quiet}");
        let chain = &mut proof.registry.chains[0];
        chain.wanted[0].consensus_key = PublicKey([9; 32]);
        let wanted = chain.wanted.clone();
        let waiting = Standing { chains: vec![ChainStanding::new(&proof)] }.text();
        assert!(
            waiting.contains("chain 0, once a day has passed since its last change\n  ~ the validator of "),
            "{waiting}"
        );
        let chain = &mut proof.registry.chains[0];
        chain.epochs[0].last_height = Some(Height(1_064));
        let (epoch, first_height) = (Epoch(1), Height(1_065));
        chain.epochs.push(EpochRecord { epoch, first_height, last_height: None, validators: wanted });
        let scheduled = Standing { chains: vec![ChainStanding::new(&proof)] }.text();
        assert!(
            scheduled.contains("1,064") && scheduled.contains("chain 0, from height 1,065 on"),
            "{scheduled}"
        );
        assert!(scheduled.contains(&format!("to   {}", PublicKey([9; 32]))), "{scheduled}");
    }

    #[test]
    fn a_registry_is_shown_for_people_and_for_programs() {
        let view = RegistryView::new(&proof(), None);
        let text = view.text();
        for part in
            ["verdict  valid", "version  0", "bank-4  (bank)", "block_pace_ms 50", "epoch 0, from height 1"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        let json = serde_json::to_value(&view).unwrap();
        assert_eq!(
            (&json["version"], &json["chains"][0]["params"]["block_pace_ms"]),
            (&0.into(), &"50".into())
        );
        assert_eq!(json["chains"][0]["epochs"][0]["validators"].as_array().unwrap().len(), 4);
    }

    #[test]
    fn a_reason_cannot_fake_a_line() {
        assert_eq!(printable("join\nmissing  0 of 3"), "join missing  0 of 3");
    }
}
