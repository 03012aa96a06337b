//! The genesis file: a [`GenesisSpec`] as JSON for people.
//!
//! - Keys, hashes and currencies are text; amounts are integer fen, `null` where the tier has no limit.
//! - Places are ids, as in the spec: the first operator is operator 0, the first node is node 0.
//! - Unknown fields are refused. File and spec convert to each other without loss; the hash is the spec's, so
//!   spaces and field order in the file do not matter.
//! - Beyond [`GenesisSpec::check`] a file must be runnable: chain ids without gaps, addresses of the form
//!   `host:port`, operator keys all different, validators on nodes of their own operator.

use std::collections::BTreeSet;
use std::path::Path;

use ledger::records::params::{FeeParams, UNLIMITED};
use ledger::records::wallet::TIERS;
use ledger::records::{
    ChainParams, ChainSpec, GenesisSpec, NodeRecord, OperatorRecord, OperatorRole, Policy, Tier, TierParams,
    ValidatorRecord,
};
use ledger::values::{Amount, Canonical, ChainId, FeeRate, GenesisHash, NodeIndex, OperatorId, TimestampMs};
use serde::{Deserialize, Serialize};

use crate::error::{FieldError, FieldProblem, GenesisError};
use crate::{folder, text};

/// Version of every file of this crate.
pub const FORMAT: u32 = 1;
/// Most bytes of a genesis file: the spec's bound, written as JSON.
pub const GENESIS_FILE_BYTES_MAX: u64 = 64 * 1_024 * 1_024;
const _: () = assert!(GENESIS_FILE_BYTES_MAX as usize >= 4 * <GenesisSpec as Canonical>::BYTES_MAX);

/// The file. See the module head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenesisFile {
    /// [`FORMAT`].
    pub format: u32,
    /// The network's name for people.
    pub network: String,
    /// The timestamp of height 0, in milliseconds since 1970 UTC.
    pub timestamp_ms: u64,
    /// Operators in the order of their ids.
    pub operators: Vec<OperatorEntry>,
    /// Nodes in the order of their indices.
    pub nodes: Vec<NodeEntry>,
    /// Chains in the order of their ids.
    pub chains: Vec<ChainEntry>,
}

/// An operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorEntry {
    /// Its name for people.
    pub name: String,
    /// What it is.
    pub role: RoleEntry,
    /// Its cold key, hex.
    pub operator_key: String,
    /// Who signs for its hot wallet.
    pub wallet_policy: PolicyEntry,
}

/// An operator's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoleEntry {
    /// Issues the money.
    CentralBank,
    /// Opens wallets and runs validators.
    Bank,
}

/// An m-of-n policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyEntry {
    /// Signatures needed.
    pub threshold: u8,
    /// Keys, hex, strictly ascending.
    pub keys: Vec<String>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeEntry {
    /// Id of its operator.
    pub operator: u16,
    /// Its libp2p key, hex.
    pub network_key: String,
    /// `host:port` for peers.
    pub address: String,
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainEntry {
    /// Its id.
    pub chain: u32,
    /// Its currency.
    pub currency: String,
    /// Its shard.
    pub shard: u16,
    /// Its parameters.
    pub params: ParamsEntry,
    /// The first validator set, ascending by consensus key.
    pub validators: Vec<ValidatorEntry>,
}

/// A chain's parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParamsEntry {
    /// Most weight of a block.
    pub block_weight_max: u64,
    /// Least time between blocks.
    pub block_pace_ms: u64,
    /// How far ahead `valid_until` may lie.
    pub transaction_ttl_ms_max: u64,
    /// How far a leader's clock may run ahead.
    pub clock_drift_ms_max: u64,
    /// Weight of a block above which the base fee rises.
    pub weight_target: u64,
    /// A block of twice the target raises the base fee by one part in so many.
    pub fee_step_denominator: u64,
    /// Least rise and least fall of the base fee, in millionths of a fen per unit of weight.
    pub fee_step_min_micro_fen: u64,
    /// The base fee never rises above this.
    pub fee_rate_max_micro_fen: u64,
    /// What an operator may leave unpaid a day, in fen.
    pub fee_quota_fen: u64,
    /// The tiers: operator, one, two, three, four.
    pub tiers: Vec<TierEntry>,
}

/// A tier's limits; `null` is no limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TierEntry {
    /// The tier.
    pub tier: TierName,
    /// Nonce lanes.
    pub lanes: u16,
    /// Most that one payment may carry, in fen.
    pub payment_max_fen: Option<u64>,
    /// Most that a wallet may hold after being paid, in fen.
    pub balance_max_fen: Option<u64>,
    /// Whether its wallets owe no base fee; their operators' quota bears it.
    pub is_fee_exempt: bool,
}

/// A tier by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TierName {
    /// [`Tier::Operator`].
    Operator,
    /// [`Tier::One`].
    One,
    /// [`Tier::Two`].
    Two,
    /// [`Tier::Three`].
    Three,
    /// [`Tier::Four`].
    Four,
}

/// A validator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidatorEntry {
    /// Id of its operator.
    pub operator: u16,
    /// Index of its node.
    pub node: u16,
    /// The key it votes with, hex.
    pub consensus_key: String,
}

impl GenesisFile {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`GenesisError`] naming the file or the field that is wrong, and the mend.
    pub fn load(path: &Path) -> Result<Self, GenesisError> {
        let file: Self = folder::read_json(path, GENESIS_FILE_BYTES_MAX)?;
        file.spec()?;
        Ok(file)
    }

    /// Writes the file; an existing one is not overwritten.
    ///
    /// # Errors
    /// [`GenesisError::File`].
    pub fn save(&self, path: &Path) -> Result<(), GenesisError> {
        Ok(folder::write_json(path, self)?)
    }

    /// The file of a spec.
    #[must_use]
    pub fn from_spec(spec: &GenesisSpec) -> Self {
        Self {
            format: FORMAT,
            network: spec.network.clone(),
            timestamp_ms: spec.timestamp.0,
            operators: spec.operators.iter().map(OperatorEntry::from_record).collect(),
            nodes: spec.nodes.iter().map(NodeEntry::from_record).collect(),
            chains: spec.chains.iter().map(ChainEntry::from_spec).collect(),
        }
    }

    /// The spec, checked.
    ///
    /// # Errors
    /// [`GenesisError`] naming the field that is wrong.
    pub fn spec(&self) -> Result<GenesisSpec, GenesisError> {
        if self.format != FORMAT {
            return Err(FieldProblem::Format.at("format").into());
        }
        text::check_name("network", &self.network)?;
        let operators =
            indexed(&self.operators, |place, entry| entry.record(&format!("operators[{place}]")))?;
        let nodes = indexed(&self.nodes, |place, entry| entry.record(&format!("nodes[{place}]")))?;
        let chains = indexed(&self.chains, |place, entry| entry.spec(&format!("chains[{place}]")))?;
        let timestamp = TimestampMs(self.timestamp_ms);
        let spec = GenesisSpec { network: self.network.clone(), timestamp, operators, nodes, chains };
        check_places(&spec)?;
        spec.check()?;
        Ok(spec)
    }

    /// The network's identity.
    ///
    /// # Errors
    /// [`GenesisError`] when the file is not a valid spec.
    pub fn hash(&self) -> Result<GenesisHash, GenesisError> {
        Ok(self.spec()?.hash())
    }
}

/// Converts a list, handing each entry its place.
pub(crate) fn indexed<E, T>(
    entries: &[E],
    convert: impl Fn(usize, &E) -> Result<T, FieldError>,
) -> Result<Vec<T>, FieldError> {
    entries.iter().enumerate().map(|(place, entry)| convert(place, entry)).collect()
}

/// Comes before [`GenesisSpec::check`] and says *where* in the file a key is doubled, a chain id skipped or a
/// validator on somebody else's node; what cannot be told here is left to that check.
fn check_places(spec: &GenesisSpec) -> Result<(), FieldError> {
    let mut keys = BTreeSet::new();
    for (place, operator) in spec.operators.iter().enumerate() {
        if !keys.insert(operator.key) {
            return Err(FieldProblem::Doubled.at(format!("operators[{place}].operator_key")));
        }
    }
    for (place, chain) in spec.chains.iter().enumerate() {
        if chain.chain.0 as usize != place {
            return Err(FieldProblem::ChainOrder.at(format!("chains[{place}].chain")));
        }
        for (seat, validator) in chain.validators.iter().enumerate() {
            let owner = spec.nodes.get(usize::from(validator.node.0)).map(|node| node.operator);
            let known = owner.filter(|owner| usize::from(owner.0) < spec.operators.len());
            if known.is_some_and(|owner| owner != validator.operator) {
                return Err(FieldProblem::ForeignNode.at(format!("chains[{place}].validators[{seat}].node")));
            }
        }
    }
    Ok(())
}

impl OperatorEntry {
    fn from_record(record: &OperatorRecord) -> Self {
        Self {
            name: record.name.clone(),
            role: record.role.into(),
            operator_key: record.key.to_string(),
            wallet_policy: PolicyEntry::from_policy(&record.wallet_policy),
        }
    }

    fn record(&self, at: &str) -> Result<OperatorRecord, FieldError> {
        text::check_name(&format!("{at}.name"), &self.name)?;
        Ok(OperatorRecord {
            name: self.name.clone(),
            role: self.role.into(),
            key: text::key(&format!("{at}.operator_key"), &self.operator_key)?,
            wallet_policy: self.wallet_policy.policy(&format!("{at}.wallet_policy"))?,
        })
    }
}

impl PolicyEntry {
    /// The entry of a policy.
    #[must_use]
    pub fn from_policy(policy: &Policy) -> Self {
        Self { threshold: policy.threshold, keys: policy.keys.iter().map(ToString::to_string).collect() }
    }

    pub(crate) fn policy(&self, at: &str) -> Result<Policy, FieldError> {
        let keys = indexed(&self.keys, |place, key| text::key(&format!("{at}.keys[{place}]"), key))?;
        Ok(Policy { threshold: self.threshold, keys })
    }
}

impl NodeEntry {
    fn from_record(record: &NodeRecord) -> Self {
        Self {
            operator: record.operator.0,
            network_key: record.network_key.to_string(),
            address: record.address.clone(),
        }
    }

    fn record(&self, at: &str) -> Result<NodeRecord, FieldError> {
        text::check_address(&format!("{at}.address"), &self.address)?;
        Ok(NodeRecord {
            operator: OperatorId(self.operator),
            network_key: text::key(&format!("{at}.network_key"), &self.network_key)?,
            address: self.address.clone(),
        })
    }
}

impl ChainEntry {
    pub(crate) fn from_spec(spec: &ChainSpec) -> Self {
        Self {
            chain: spec.chain.0,
            currency: spec.currency.to_string(),
            shard: spec.shard,
            params: ParamsEntry::from_params(&spec.params),
            validators: spec.validators.iter().map(ValidatorEntry::from_record).collect(),
        }
    }

    pub(crate) fn spec(&self, at: &str) -> Result<ChainSpec, FieldError> {
        Ok(ChainSpec {
            chain: ChainId(self.chain),
            currency: self
                .currency
                .parse()
                .map_err(|_| FieldProblem::Currency.at(format!("{at}.currency")))?,
            shard: self.shard,
            params: self.params.params(&format!("{at}.params"))?,
            validators: indexed(&self.validators, |seat, entry| {
                entry.record(&format!("{at}.validators[{seat}]"))
            })?,
        })
    }
}

impl ParamsEntry {
    /// The entry of a chain's parameters.
    #[must_use]
    pub fn from_params(params: &ChainParams) -> Self {
        let tiers = TIERS.iter().zip(&params.tiers).map(|(tier, limits)| TierEntry {
            tier: (*tier).into(),
            lanes: limits.lanes,
            payment_max_fen: limit_entry(limits.payment_max),
            balance_max_fen: limit_entry(limits.balance_max),
            is_fee_exempt: limits.is_fee_exempt,
        });
        let fees = &params.fees;
        Self {
            block_weight_max: params.block_weight_max,
            block_pace_ms: params.block_pace_ms,
            transaction_ttl_ms_max: params.transaction_ttl_ms_max,
            clock_drift_ms_max: params.clock_drift_ms_max,
            weight_target: fees.weight_target,
            fee_step_denominator: fees.step_denominator,
            fee_step_min_micro_fen: fees.step_min.micro_fen(),
            fee_rate_max_micro_fen: fees.rate_max.micro_fen(),
            fee_quota_fen: fees.quota.fen(),
            tiers: tiers.collect(),
        }
    }

    pub(crate) fn params(&self, at: &str) -> Result<ChainParams, FieldError> {
        let names: Vec<Tier> = self.tiers.iter().map(|entry| entry.tier.into()).collect();
        if names != TIERS {
            return Err(FieldProblem::TierOrder.at(format!("{at}.tiers")));
        }
        let tiers = self.tiers.iter().map(|entry| TierParams {
            lanes: entry.lanes,
            payment_max: limit(entry.payment_max_fen),
            balance_max: limit(entry.balance_max_fen),
            is_fee_exempt: entry.is_fee_exempt,
        });
        let fees = FeeParams {
            weight_target: self.weight_target,
            step_denominator: self.fee_step_denominator,
            step_min: FeeRate::from_micro_fen(self.fee_step_min_micro_fen),
            rate_max: FeeRate::from_micro_fen(self.fee_rate_max_micro_fen),
            quota: Amount::from_fen(self.fee_quota_fen),
        };
        Ok(ChainParams {
            block_weight_max: self.block_weight_max,
            block_pace_ms: self.block_pace_ms,
            transaction_ttl_ms_max: self.transaction_ttl_ms_max,
            clock_drift_ms_max: self.clock_drift_ms_max,
            fees,
            tiers: tiers.collect(),
        })
    }
}

fn limit_entry(limit: Amount) -> Option<u64> {
    (limit != UNLIMITED).then_some(limit.fen())
}

fn limit(fen: Option<u64>) -> Amount {
    fen.map_or(UNLIMITED, Amount::from_fen)
}

impl ValidatorEntry {
    fn from_record(record: &ValidatorRecord) -> Self {
        Self {
            operator: record.operator.0,
            node: record.node.0,
            consensus_key: record.consensus_key.to_string(),
        }
    }

    fn record(&self, at: &str) -> Result<ValidatorRecord, FieldError> {
        Ok(ValidatorRecord {
            operator: OperatorId(self.operator),
            node: NodeIndex(self.node),
            consensus_key: text::key(&format!("{at}.consensus_key"), &self.consensus_key)?,
        })
    }
}

impl From<OperatorRole> for RoleEntry {
    fn from(role: OperatorRole) -> Self {
        match role {
            OperatorRole::CentralBank => Self::CentralBank,
            OperatorRole::Bank => Self::Bank,
        }
    }
}

impl From<RoleEntry> for OperatorRole {
    fn from(role: RoleEntry) -> Self {
        match role {
            RoleEntry::CentralBank => Self::CentralBank,
            RoleEntry::Bank => Self::Bank,
        }
    }
}

impl From<Tier> for TierName {
    fn from(tier: Tier) -> Self {
        match tier {
            Tier::Operator => Self::Operator,
            Tier::One => Self::One,
            Tier::Two => Self::Two,
            Tier::Three => Self::Three,
            Tier::Four => Self::Four,
        }
    }
}

impl From<TierName> for Tier {
    fn from(tier: TierName) -> Self {
        match tier {
            TierName::Operator => Self::Operator,
            TierName::One => Self::One,
            TierName::Two => Self::Two,
            TierName::Three => Self::Three,
            TierName::Four => Self::Four,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::{LocalnetPlan, localnet};

    fn spec() -> GenesisSpec {
        localnet(&LocalnetPlan::new(4), &[7; 32]).unwrap().spec
    }

    fn refused(change: impl FnOnce(&mut GenesisFile)) -> String {
        let mut file = GenesisFile::from_spec(&spec());
        change(&mut file);
        file.spec().unwrap_err().to_string()
    }

    #[test]
    fn file_and_spec_convert_without_loss() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("genesis.json");
        let file = GenesisFile::from_spec(&spec());
        file.save(&path).unwrap();
        let loaded = GenesisFile::load(&path).unwrap();
        assert_eq!(loaded, file);
        assert_eq!(loaded.spec().unwrap(), spec());
        assert_eq!(loaded.hash().unwrap(), spec().hash());
        assert!(file.save(&path).unwrap_err().to_string().contains("exists already"));
    }

    #[test]
    fn refusals_name_the_field_and_the_mend() {
        let cases: [(&str, String); 13] = [
            ("format", refused(|file| file.format = 2)),
            ("network", refused(|file| file.network = String::new())),
            ("operators[1].operator_key", refused(|file| file.operators[1].operator_key = "zz".into())),
            (
                "operators[2].operator_key",
                refused(|file| {
                    file.operators[2].operator_key = file.operators[1].operator_key.clone();
                }),
            ),
            (
                "operators[0].wallet_policy.keys[0]",
                refused(|file| file.operators[0].wallet_policy.keys[0].pop().map_or((), drop)),
            ),
            ("nodes[3].address", refused(|file| file.nodes[3].address = "nowhere".into())),
            ("nodes.operator", refused(|file| file.nodes[0].operator = 99)),
            ("chains[0].currency", refused(|file| file.chains[0].currency = "yuan".into())),
            ("chains[0].chain", refused(|file| file.chains[0].chain = 5)),
            ("chains[0].params.tiers", refused(|file| file.chains[0].params.tiers.swap(0, 1))),
            ("params.block_pace_ms", refused(|file| file.chains[0].params.block_pace_ms = 0)),
            ("weight_target", refused(|file| file.chains[0].params.weight_target = 0)),
            (
                "chains[0].validators[0].node",
                refused(|file| {
                    file.chains[0].validators[0].node = (file.chains[0].validators[0].node + 1) % 4;
                }),
            ),
        ];
        for (field, message) in cases {
            assert!(message.contains(field) && message.contains("Mend:"), "{field}: {message}");
        }
    }

    #[test]
    fn unknown_fields_and_huge_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("genesis.json");
        let text = serde_json::to_string(&GenesisFile::from_spec(&spec())).unwrap();
        std::fs::write(&path, text.replacen("\"network\":", "\"surprise\":1,\"network\":", 1)).unwrap();
        let message = GenesisFile::load(&path).unwrap_err().to_string();
        assert!(message.contains("surprise") && message.contains("line 1"), "{message}");
        let huge = std::fs::File::create(&path).unwrap();
        huge.set_len(GENESIS_FILE_BYTES_MAX + 1).unwrap();
        assert!(GenesisFile::load(&path).unwrap_err().to_string().contains("larger than"));
        assert!(
            GenesisFile::load(&folder.path().join("none")).unwrap_err().to_string().contains("cannot read")
        );
    }
}
