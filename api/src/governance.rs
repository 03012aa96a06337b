//! Changes of the registry as programs read them. What a proposal makes of the registry is for the proof of the registry
//! (`GET /v1/chains/{chain}/registry`) to say: this is what was asked for.

use ledger::records::params::UNLIMITED;
use ledger::records::{ChainParams, Change, FeeParams, OperatorRole, Proposal, ValidatorRecord};
use ledger::values::{Amount, Currency, PublicKey, TransactionId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::network::RoleName;
use crate::text::{as_text, as_text_list, as_text_option};

/// What operators have decided on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProposalView {
    /// The version of the registry that it changes.
    pub version: u64,
    /// Applied in a block with a timestamp up to this one.
    pub valid_until_ms: u64,
    /// Whether new sets of validators need not wait for a day to pass since a chain's last change.
    pub is_urgent: bool,
    /// Why, for people.
    pub reason: String,
    /// The changes, applied in order, all or none.
    pub changes: Vec<ChangeView>,
}

/// Answer of `GET /v1/proposals/{version}`: what became of a version of the registry, and so of the proposals that name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionView {
    /// The version that was asked for.
    pub version: u64,
    /// The version on chain 0 now, as this node has executed it: how many proposals were applied.
    pub registry_version: u64,
    /// The proposal that changed it; missing while none has, as this node knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<AppliedView>,
}

/// A proposal that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppliedView {
    /// The height of chain 0 that applied it.
    pub height: u64,
    /// Whether that height is under a quorum's certificate.
    pub is_certified: bool,
    /// Its hash, which operators approved; missing where this node no longer has the block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<String>,
    /// The transaction that carried it; missing where this node no longer has the block. The proof of its outcome proves all of this.
    #[serde(default, with = "as_text_option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub transaction: Option<TransactionId>,
}

/// One change of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum ChangeView {
    /// A bank joins under the next free id.
    AddOperator {
        /// Its name for people.
        name: String,
        /// What it is.
        role: RoleName,
        /// Its cold key.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        operator_key: PublicKey,
        /// Signatures that its own wallet needs.
        wallet_threshold: u8,
        /// The keys of its own wallet.
        #[serde(with = "as_text_list")]
        #[schema(value_type = Vec<String>)]
        wallet_keys: Vec<PublicKey>,
    },
    /// An operator leaves, with its nodes and validators.
    RetireOperator {
        /// The operator.
        operator: u16,
    },
    /// An operator's cold key becomes another.
    ReplaceOperatorKey {
        /// The operator.
        operator: u16,
        /// The new key.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        key: PublicKey,
    },
    /// A node is added under the next free index.
    AddNode {
        /// Whose it is.
        operator: u16,
        /// Its libp2p key.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        network_key: PublicKey,
        /// `host:port` for peers.
        address: String,
    },
    /// A node is reached elsewhere.
    MoveNode {
        /// The node.
        node: u16,
        /// `host:port` for peers.
        address: String,
    },
    /// A node's network key becomes another.
    ReplaceNetworkKey {
        /// The node.
        node: u16,
        /// The new key.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        key: PublicKey,
    },
    /// A node is taken away.
    RetireNode {
        /// The node.
        node: u16,
    },
    /// A validator joins a chain's next set.
    AddValidator {
        /// The chain.
        chain: u32,
        /// Whose it is.
        operator: u16,
        /// The node that runs it.
        node: u16,
        /// The key that it votes with.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        consensus_key: PublicKey,
    },
    /// A validator leaves a chain's next set.
    RemoveValidator {
        /// The chain.
        chain: u32,
        /// The key that it votes with.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        consensus_key: PublicKey,
    },
    /// A validator of a chain's next set votes with another key.
    ReplaceConsensusKey {
        /// The chain.
        chain: u32,
        /// The key so far.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        old: PublicKey,
        /// The new key.
        #[serde(with = "as_text")]
        #[schema(value_type = String)]
        new: PublicKey,
    },
    /// A chain's parameters become these.
    SetParams {
        /// The chain.
        chain: u32,
        /// All of them.
        params: ParamsView,
    },
    /// A chain is added under the next free id, to take half of the wallets of its parent.
    AddChain {
        /// The parent.
        parent: u32,
        /// Its first validators, by seat.
        validators: Vec<SeatView>,
    },
    /// The shards of a currency double: the chains that were added take half of the wallets of their parents.
    Reshard {
        /// The currency.
        #[serde(with = "as_text")]
        #[schema(value_type = String, example = "CNY")]
        currency: Currency,
    },
    /// A chain that was added and never reported is given up: its parent may have another child.
    RemoveChain {
        /// The chain.
        chain: u32,
    },
    /// An operator is given, in its own wallet, what a chain has collected in fees.
    SpendFees {
        /// The chain.
        chain: u32,
        /// Who gets it.
        operator: u16,
        /// At most so much, in fen: as far as the chain's fee pool holds it.
        amount_fen: u64,
    },
}

/// A validator that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SeatView {
    /// Whose it is.
    pub operator: u16,
    /// The node that runs it.
    pub node: u16,
    /// The key that it votes with.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub consensus_key: PublicKey,
}

impl From<&ValidatorRecord> for SeatView {
    fn from(record: &ValidatorRecord) -> Self {
        Self { operator: record.operator.0, node: record.node.0, consensus_key: record.consensus_key }
    }
}

/// A chain's parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ParamsView {
    /// Most weight of a block.
    pub block_weight_max: u64,
    /// Least time between blocks.
    pub block_pace_ms: u64,
    /// How far ahead `valid_until` may lie.
    pub transaction_ttl_ms_max: u64,
    /// How far a leader's clock may run ahead.
    pub clock_drift_ms_max: u64,
    /// How the base fee moves, and what operators may leave unpaid.
    pub fees: FeeParamsView,
    /// The limits of the tiers: operator, one, two, three, four.
    pub tiers: Vec<TierLimitsView>,
}

/// How a chain's base fee moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FeeParamsView {
    /// Weight of a block up to which the base fee falls; above it rises.
    pub weight_target: u64,
    /// A block of twice the target or more raises the base fee by one part in so many.
    pub step_denominator: u64,
    /// Least rise and least fall, in millionths of a fen.
    pub step_min_micro_fen: u64,
    /// The base fee is never above this, in millionths of a fen.
    pub rate_max_micro_fen: u64,
    /// What an operator may leave unpaid a day (UTC+8), in fen; more is taken from its own wallet.
    pub quota_fen: u64,
}

impl From<&FeeParams> for FeeParamsView {
    fn from(params: &FeeParams) -> Self {
        Self {
            weight_target: params.weight_target,
            step_denominator: params.step_denominator,
            step_min_micro_fen: params.step_min.micro_fen(),
            rate_max_micro_fen: params.rate_max.micro_fen(),
            quota_fen: params.quota.fen(),
        }
    }
}

/// Limits of a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TierLimitsView {
    /// Nonce lanes.
    pub lanes: u16,
    /// Most that one payment may carry, in fen; missing where there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_max_fen: Option<u64>,
    /// Most that a wallet may hold after being paid, in fen; missing where there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance_max_fen: Option<u64>,
    /// Whether its wallets owe no base fee; missing where they do.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_fee_exempt: bool,
}

impl From<&Proposal> for ProposalView {
    fn from(proposal: &Proposal) -> Self {
        Self {
            version: proposal.version,
            valid_until_ms: proposal.valid_until.0,
            is_urgent: proposal.is_urgent,
            reason: proposal.reason.clone(),
            changes: proposal.changes.iter().map(ChangeView::from).collect(),
        }
    }
}

impl From<OperatorRole> for RoleName {
    fn from(role: OperatorRole) -> Self {
        match role {
            OperatorRole::CentralBank => Self::CentralBank,
            OperatorRole::Bank => Self::Bank,
        }
    }
}

impl From<&Change> for ChangeView {
    fn from(change: &Change) -> Self {
        match change {
            Change::AddOperator(operator) => Self::AddOperator {
                name: operator.name.clone(),
                role: operator.role.into(),
                operator_key: operator.key,
                wallet_threshold: operator.wallet_policy.threshold,
                wallet_keys: operator.wallet_policy.keys.clone(),
            },
            Change::RetireOperator { operator } => Self::RetireOperator { operator: operator.0 },
            Change::ReplaceOperatorKey { operator, key } => {
                Self::ReplaceOperatorKey { operator: operator.0, key: *key }
            }
            Change::AddNode(node) => Self::AddNode {
                operator: node.operator.0,
                network_key: node.network_key,
                address: node.address.clone(),
            },
            Change::MoveNode { node, address } => Self::MoveNode { node: node.0, address: address.clone() },
            Change::ReplaceNetworkKey { node, key } => Self::ReplaceNetworkKey { node: node.0, key: *key },
            Change::RetireNode { node } => Self::RetireNode { node: node.0 },
            Change::AddValidator { chain, validator } => Self::AddValidator {
                chain: chain.0,
                operator: validator.operator.0,
                node: validator.node.0,
                consensus_key: validator.consensus_key,
            },
            Change::RemoveValidator { chain, consensus_key } => {
                Self::RemoveValidator { chain: chain.0, consensus_key: *consensus_key }
            }
            Change::ReplaceConsensusKey { chain, old, new } => {
                Self::ReplaceConsensusKey { chain: chain.0, old: *old, new: *new }
            }
            Change::SetParams { chain, params } => {
                Self::SetParams { chain: chain.0, params: ParamsView::from(params) }
            }
            Change::AddChain { parent, validators } => Self::AddChain {
                parent: parent.0,
                validators: validators.iter().map(SeatView::from).collect(),
            },
            Change::Reshard { currency } => Self::Reshard { currency: *currency },
            Change::RemoveChain { chain } => Self::RemoveChain { chain: chain.0 },
            Change::SpendFees { chain, operator, amount } => {
                Self::SpendFees { chain: chain.0, operator: operator.0, amount_fen: amount.fen() }
            }
        }
    }
}

impl From<&ChainParams> for ParamsView {
    fn from(params: &ChainParams) -> Self {
        let tiers = params.tiers.iter().map(|tier| TierLimitsView {
            lanes: tier.lanes,
            payment_max_fen: limit_fen(tier.payment_max),
            balance_max_fen: limit_fen(tier.balance_max),
            is_fee_exempt: tier.is_fee_exempt,
        });
        Self {
            block_weight_max: params.block_weight_max,
            block_pace_ms: params.block_pace_ms,
            transaction_ttl_ms_max: params.transaction_ttl_ms_max,
            clock_drift_ms_max: params.clock_drift_ms_max,
            fees: FeeParamsView::from(&params.fees),
            tiers: tiers.collect(),
        }
    }
}

/// A limit of a tier in fen; none where there is none.
#[must_use]
pub fn limit_fen(limit: Amount) -> Option<u64> {
    (limit != UNLIMITED).then_some(limit.fen())
}

const fn is_false(value: &bool) -> bool {
    !*value
}
