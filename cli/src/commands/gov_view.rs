//! What `jiaozi gov` shows: a proposal, a registry, and where the chains stand.

use std::path::PathBuf;

use api::network::{ChainPlace, NetworkView};
use api::{ChainReady, NotReady};
use genesis::governance::growth::growth_name;
use genesis::governance::{ProposalFile, Section, diff, operator_name, params, utc};
use ledger::proofs::{ChainOrigin, RegistryProof};
use ledger::records::{Birth, ChainRecord, EpochRecord, Growth, Registry};
use ledger::values::{ChainId, Height};
use serde::Serialize;

use super::gov_fate::Fate;
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
    /// Whether it was applied, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    fate: Option<Fate>,
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
            fate: None,
            file: path.cloned(),
        }
    }

    /// The same with what became of it.
    pub(super) fn with(self, fate: Fate) -> Self {
        Self { fate: Some(fate), ..self }
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
        lines.extend(self.fate.as_ref().map(|fate| ("applied", fate.text())));
        lines.extend(self.file.as_ref().map(|file| ("file", file.display().to_string())));
        format!("{}\n\n{}", facts(&lines), diff::lines(&self.changes).join("\n"))
    }
}

/// A reason is anybody's text: nothing in it fakes a line.
fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// What a new key says.
#[derive(Debug, Serialize)]
pub(super) struct ProvedKey {
    pub(super) key: String,
    pub(super) possession: String,
}

impl Show for ProvedKey {
    fn text(&self) -> String {
        facts(&[
            ("key", self.key.clone()),
            ("possession", self.possession.clone()),
            ("next", "name both where the change is proposed: --possession is for this key alone".to_owned()),
        ])
    }
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
    currency: String,
    shard: u16,
    /// Of a chain that operators added: its parent, and how far it is as the shown chain has heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    child: Option<Growing>,
    params: std::collections::BTreeMap<String, String>,
    /// Operators in debt for fees: batches of their validators are not ordered there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    barred: Vec<u16>,
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
            currency: record.currency.to_string(),
            shard: record.shard,
            child: Growing::new(record, None),
            params: params::values(&record.params).into_iter().collect(),
            barred: record.barred.iter().map(|operator| operator.0).collect(),
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

/// Why a chain began.
#[derive(Debug, Serialize)]
pub(super) struct OriginView {
    chain: u32,
    /// The root chain's height that added it.
    height: u64,
    /// Version of the registry that it begins with.
    registry: u64,
    file: PathBuf,
}

impl OriginView {
    pub(super) fn new(origin: &ChainOrigin, chain: ChainId, file: PathBuf) -> Self {
        let (height, registry) = (origin.certified.result.height.0, origin.registry.version);
        Self { chain: chain.0, height, registry, file }
    }
}

impl Show for OriginView {
    fn text(&self) -> String {
        facts(&[
            ("verdict", "valid: a quorum of the root chain's validators certified this beginning".to_owned()),
            ("chain", self.chain.to_string()),
            ("added at", format!("height {} of the root chain", grouped(self.height))),
            ("registry", format!("version {}", self.registry)),
            ("file", self.file.display().to_string()),
        ])
    }
}

/// Where the chains stand.
#[derive(Debug, Serialize)]
pub(super) struct Standing {
    pub(super) chains: Vec<ChainStanding>,
    /// Chains on which the asked node has a validator and that it does not host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) not_hosted: Vec<u32>,
}

/// Where a chain stands.
#[derive(Debug, Serialize)]
pub(super) struct ChainStanding {
    chain: u32,
    currency: String,
    shard: u16,
    /// Of a chain that operators added.
    #[serde(skip_serializing_if = "Option::is_none")]
    growth: Option<Growing>,
    /// What the node knows of it; missing where it does not host the chain, and before the chain begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    known: Option<Known>,
    /// Whom the node hears there; missing where it does not host the chain.
    #[serde(skip_serializing_if = "Option::is_none")]
    heard: Option<Heard>,
}

/// The validators of a chain as the asked node hears them.
#[derive(Debug, Serialize)]
pub(super) struct Heard {
    validators: u32,
    heard: u32,
    /// The nodes of the others, with their operators.
    silent: Vec<String>,
    /// The chain cannot begin there yet: the node does not know what with.
    waits_for_origin: bool,
}

impl Heard {
    pub(super) fn new(ready: &ChainReady, network: &NetworkView) -> Self {
        let named = |node: &u16| {
            let operator = network.nodes.iter().find(|view| view.node == *node).map(|view| view.operator);
            let operator = network.operators.iter().find(|view| Some(view.operator) == operator);
            let up = if ready.not_running_nodes.contains(node) { ", up without this chain" } else { "" };
            format!("node {node} ({}{up})", operator.map_or("?", |view| view.name.as_str()))
        };
        Self {
            validators: ready.validators,
            heard: ready.validators_heard,
            silent: ready.silent_nodes.iter().map(named).collect(),
            waits_for_origin: ready.reason == Some(NotReady::WaitingForOrigin),
        }
    }

    /// What is wrong, if something is.
    fn text(&self, chain: u32) -> Option<String> {
        let Self { validators, heard, silent, waits_for_origin } = self;
        if *waits_for_origin {
            return Some(format!("chain {chain}: the asked node waits for what it begins with"));
        }
        (!silent.is_empty()).then(|| {
            let silent = silent.join(", ");
            format!("chain {chain}: validators heard {heard} of {validators}; not heard: {silent}")
        })
    }
}

/// How far a child is.
#[derive(Debug, Serialize)]
struct Growing {
    parent: u32,
    /// The root chain's height that added it.
    added_at: u64,
    /// `added`, `ready` (it reported that it runs), `filling` (wallets of the parent are on their way), `grown`.
    growth: &'static str,
    /// Receipts that it has executed of its parent, one for each wallet among them, and their value in fen; while it is filled.
    #[serde(skip_serializing_if = "Option::is_none")]
    received: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    received_fen: Option<u128>,
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
    /// Of a chain in a place of the network: what its own certified registry says, where the node hosts it, and its record in the newest
    /// registry, the root chain's if possible.
    pub(super) fn new(place: &ChainPlace, own: Option<&RegistryProof>, record: Option<&ChainRecord>) -> Self {
        Self {
            chain: place.chain,
            currency: place.currency.clone(),
            shard: place.shard,
            growth: record.and_then(|record| Growing::new(record, own)),
            known: own.and_then(Known::new),
            heard: None,
        }
    }

    /// The same with whom the asked node hears.
    pub(super) fn hearing(self, heard: Option<Heard>) -> Self {
        Self { heard, ..self }
    }
}

impl Growing {
    fn new(record: &ChainRecord, own: Option<&RegistryProof>) -> Option<Self> {
        let Birth::Child { parent, height, growth } = record.birth else { return None };
        let received = own.filter(|_| growth == Growth::Filling);
        let received = received.map(|proof| proof.certified.result.supply.pair(parent).received);
        Some(Self {
            parent: parent.0,
            added_at: height.0,
            growth: growth_name(growth),
            received: received.map(|counter| counter.count),
            received_fen: received.map(|counter| counter.total),
        })
    }

    /// What a person watches.
    fn text(&self, chain: u32) -> String {
        let Self { parent, added_at, growth, .. } = self;
        let received =
            self.received.map(|count| format!(", {} receipts of it executed so far", grouped(count)));
        let received = received.unwrap_or_default();
        format!(
            "chain {chain}, child of chain {parent} since height {} of the root chain: {growth}{received}",
            grouped(*added_at)
        )
    }
}

impl Known {
    fn new(proof: &RegistryProof) -> Option<Self> {
        let (registry, result) = (&proof.registry, &proof.certified.result);
        let record = registry.chain(result.chain)?;
        let epoch = running(registry, result.chain, result.height)?;
        Some(Self {
            height: result.height.0,
            registry: registry.version,
            epoch: epoch.epoch.0,
            first_height: epoch.first_height.0,
            closing_height: epoch.last_height.map(|last| last.0),
            validators: epoch.validators.len(),
            next: diff::validators(registry, &epoch.validators, &record.wanted),
        })
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
            let Some(growth) = &chain.growth else { continue };
            text.push_str(&format!("\n\n{}", growth.text(chain.chain)));
        }
        for chain in &self.chains {
            let Some(known) = chain.known.as_ref().filter(|known| !known.next.is_empty()) else { continue };
            let when = match known.closing_height {
                Some(height) => format!("from height {} on", grouped(height.saturating_add(1))),
                None => "once a day has passed since its last change".to_owned(),
            };
            text.push_str(&format!("\n\nchain {}, {when}", chain.chain));
            known.next.iter().for_each(|line| text.push_str(&format!("\n  {line}")));
        }
        let heard = self.chains.iter().filter_map(|chain| chain.heard.as_ref()?.text(chain.chain));
        let missed = self.not_hosted.iter().map(|chain| {
            format!(
                "chain {chain}: the asked node has a validator there and does not host it: jiaozi node add-chain --config node.toml \
                 --chain {chain} --host, then a restart"
            )
        });
        heard.chain(missed).for_each(|line| text.push_str(&format!("\n\n{line}")));
        text
    }
}

#[cfg(test)]
mod tests {
    use genesis::dev::{LocalnetPlan, localnet, uncertified_registry};
    use ledger::records::result::{Counter, PairCounters};
    use ledger::values::{Epoch, PublicKey};

    use super::*;

    /// The registry of a localnet under a result that nobody has certified: what is shown does not ask.
    fn proof() -> RegistryProof {
        let spec = localnet(&LocalnetPlan::new(4), &[5; 32]).unwrap().spec;
        uncertified_registry(&spec).unwrap()
    }

    fn standing(proof: &RegistryProof) -> String {
        let record = &proof.registry.chains[0];
        let chain = ChainStanding::new(&ChainPlace::from(record), Some(proof), Some(record));
        Standing { chains: vec![chain], not_hosted: Vec::new() }.text()
    }

    #[test]
    fn how_far_a_child_is_is_shown_and_what_it_has_of_its_parent_while_it_is_filled() {
        let (mut proof, parent, height) = (proof(), ChainId(7), Height(1_234));
        let received = Counter { count: 2_500, total: 99 };
        let pair = PairCounters { chain: parent, sent: Counter::default(), received };
        proof.certified.result.supply.pairs.push(pair);
        for (growth, told) in [
            (Growth::Added, "chain 0, child of chain 7 since height 1,234 of the root chain: added"),
            (Growth::Filling, "of the root chain: filling, 2,500 receipts of it executed so far"),
            (Growth::Grown, "of the root chain: grown"),
        ] {
            proof.registry.chains[0].birth = Birth::Child { parent, height, growth };
            let text = standing(&proof);
            assert!(text.ends_with(told), "{told}: {text}");
        }
        let record = &proof.registry.chains[0];
        let unborn = ChainStanding::new(&ChainPlace::from(record), None, Some(record));
        let json = serde_json::to_value(&unborn).unwrap();
        assert_eq!((&json["growth"]["growth"], json.get("known")), (&"grown".into(), None));
        assert!(json["growth"].get("received").is_none(), "{json}");
    }

    #[test]
    fn who_is_not_heard_and_what_is_not_hosted_is_shown() {
        let proof = proof();
        let record = &proof.registry.chains[0];
        let network = NetworkView {
            network: "net".to_owned(),
            genesis_hash: ledger::values::GenesisHash([1; 32]),
            version: "0".to_owned(),
            node: 0,
            registry_version: 0,
            operators: Vec::new(),
            nodes: Vec::new(),
            chains: Vec::new(),
        };
        let mut ready = ChainReady {
            chain: 0,
            is_ready: true,
            reason: None,
            height: 1,
            certified_height: 1,
            announced_height: 1,
            validators: 4,
            validators_heard: 4,
            silent_nodes: Vec::new(),
            not_running_nodes: Vec::new(),
            joining: None,
            is_voting: true,
            halt: None,
        };
        let shown = |ready: &ChainReady, not_hosted: &[u32]| {
            let chain = ChainStanding::new(&ChainPlace::from(record), Some(&proof), Some(record));
            let chain = chain.hearing(Some(Heard::new(ready, &network)));
            Standing { chains: vec![chain], not_hosted: not_hosted.to_vec() }.text()
        };
        assert_eq!(shown(&ready, &[]), standing(&proof), "nothing is said while all is well");
        (ready.validators_heard, ready.silent_nodes) = (3, vec![3]);
        ready.not_running_nodes = vec![3];
        assert!(shown(&ready, &[]).ends_with("not heard: node 3 (?, up without this chain)"));
        ready.not_running_nodes = Vec::new();
        let text = shown(&ready, &[2]);
        assert!(text.contains("\n\nchain 0: validators heard 3 of 4; not heard: node 3 (?)"), "{text}");
        assert!(
            text.contains("chain 2: the asked node has a validator there") && text.ends_with("a restart")
        );
        ready.reason = Some(NotReady::WaitingForOrigin);
        assert!(shown(&ready, &[]).ends_with("chain 0: the asked node waits for what it begins with"));
    }

    #[test]
    fn a_change_of_validators_is_shown_with_its_height() {
        let mut proof = proof();
        let quiet = standing(&proof);
        let row: Vec<&str> = quiet.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["0", "CNY", "0", "0", "0", "0", "-", "4"]);
        assert_eq!(quiet.lines().count(), 2, "{quiet}");
        let chain = &mut proof.registry.chains[0];
        chain.wanted[0].consensus_key = PublicKey([9; 32]);
        let wanted = chain.wanted.clone();
        let waiting = standing(&proof);
        assert!(
            waiting.contains("chain 0, once a day has passed since its last change\n  ~ the validator of "),
            "{waiting}"
        );
        let chain = &mut proof.registry.chains[0];
        chain.epochs[0].last_height = Some(Height(1_064));
        let (epoch, first_height) = (Epoch(1), Height(1_065));
        chain.epochs.push(EpochRecord { epoch, first_height, last_height: None, validators: wanted });
        let scheduled = standing(&proof);
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
