//! Proposals: how operators change the registry together (PROTOCOL rule 3). A proposal names the version of the registry that it
//! changes, so it is applied once or never; a quorum of the council approves it, each with its cold operator key.

use wincode::{SchemaRead, SchemaWrite};

use super::genesis::{ADDRESS_BYTES_MAX, NAME_BYTES_MAX, is_address};
use super::params::ChainParams;
use super::policy::Policy;
use super::registry::{NodeRecord, OperatorRecord, ValidatorRecord, check_set};
use super::wallet::TIERS;
use crate::values::codec::{check_ascending, check_count, check_range};
use crate::values::quorum::VALIDATORS_MAX;
use crate::values::{
    Amount, Canonical, ChainId, CodecError, Currency, GenesisHash, Hash, Hasher, NodeIndex, OperatorId,
    PublicKey, SecretKey, Signature, TimestampMs, sign_governance,
};

/// Most changes of a proposal.
pub const CHANGES_MAX: usize = 16;
/// Most bytes of the reason.
pub const REASON_BYTES_MAX: usize = 256;
/// Most bytes of a proposal with its approvals, so that the transaction that carries them fits its own bound. (A quorum of
/// 100 operators takes 4,430 of them; what does not fit is proposed in two parts.)
pub const GOVERN_BYTES_MAX: usize = 6_400;

/// One change of the registry. New kinds are appended.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub enum Change {
    /// Admits an operator under the next free id, and opens its own wallet on every chain.
    AddOperator(OperatorRecord),
    /// An operator leaves: it opens no more wallets, has no vote in the council, and its nodes and validators go with it.
    RetireOperator {
        /// The operator.
        operator: OperatorId,
    },
    /// An operator's cold key becomes another.
    ReplaceOperatorKey {
        /// The operator.
        operator: OperatorId,
        /// The new key.
        key: PublicKey,
    },
    /// Adds a node under the next free index.
    AddNode(NodeRecord),
    /// A node is reached elsewhere.
    MoveNode {
        /// The node.
        node: NodeIndex,
        /// `host:port` for peers ([`super::genesis::is_address`]).
        address: String,
    },
    /// A node's network key becomes another.
    ReplaceNetworkKey {
        /// The node.
        node: NodeIndex,
        /// The new key.
        key: PublicKey,
    },
    /// A node is taken away; no wanted set names it any more.
    RetireNode {
        /// The node.
        node: NodeIndex,
    },
    /// A validator joins a chain's next set.
    AddValidator {
        /// The chain.
        chain: ChainId,
        /// The validator.
        validator: ValidatorRecord,
    },
    /// A validator leaves with a chain's next set.
    RemoveValidator {
        /// The chain.
        chain: ChainId,
        /// Its key.
        consensus_key: PublicKey,
    },
    /// A validator's key becomes another with a chain's next set.
    ReplaceConsensusKey {
        /// The chain.
        chain: ChainId,
        /// The key so far.
        old: PublicKey,
        /// The new key.
        new: PublicKey,
    },
    /// A chain's parameters become these.
    SetParams {
        /// The chain.
        chain: ChainId,
        /// All of them.
        params: ChainParams,
    },
    /// Adds a chain under the next free id: the child that will take half of the parent's wallets, with its currency and parameters.
    /// Its validators start it; until [`Change::Reshard`] no wallet is at home there.
    AddChain {
        /// The parent.
        parent: ChainId,
        /// The child's first set, strictly ascending by consensus key.
        validators: Vec<ValidatorRecord>,
    },
    /// Doubles the shards of a currency: every shard has a child that reported that it runs. From here on each wallet is at home where
    /// the doubled count says, and the parents move theirs (PROTOCOL rule 25).
    Reshard {
        /// The currency.
        currency: Currency,
    },
    /// Gives up a child that has never reported that it runs. Its record and id stay; its parent may have another child.
    RemoveChain {
        /// The child.
        chain: ChainId,
    },
    /// Gives an operator, in its own wallet, what a chain has collected in fees. The other chains do nothing.
    SpendFees {
        /// The chain.
        chain: ChainId,
        /// Who gets it.
        operator: OperatorId,
        /// At most so much, as far as the fee pool holds it; not zero.
        amount: Amount,
    },
}

/// What operators decide on.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Proposal {
    /// The version of the registry that it changes, as the root chain's state has it.
    pub version: u64,
    /// Applied in a block with a timestamp up to this one.
    pub valid_until: TimestampMs,
    /// Whether new sets may not wait for a day to pass since the last change of set.
    pub is_urgent: bool,
    /// Why, for people; up to [`REASON_BYTES_MAX`] bytes.
    pub reason: String,
    /// The changes, applied in order, all or none; 1 to [`CHANGES_MAX`].
    pub changes: Vec<Change>,
}

/// An operator's consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Approval {
    /// The operator.
    pub operator: OperatorId,
    /// With its cold key, over the proposal's hash ([`crate::values::governance`]).
    pub signature: Signature,
}

impl Change {
    /// Most bytes of its encoding.
    pub const BYTES_MAX: usize =
        4 + max(max(OPERATOR_BYTES_MAX, CHAIN_BYTES_MAX), max(NODE_BYTES_MAX, PARAMS_BYTES));

    /// Checks counts and ranges.
    ///
    /// # Errors
    /// Names the field.
    pub fn check(&self) -> Result<(), CodecError> {
        match self {
            Self::AddOperator(operator) => {
                check_count("change.operator.name", operator.name.len(), 1, NAME_BYTES_MAX)?;
                operator.wallet_policy.check()
            }
            Self::AddNode(NodeRecord { address, .. }) | Self::MoveNode { address, .. } => {
                check_count("change.address", address.len(), 1, ADDRESS_BYTES_MAX)?;
                check_range("change.address (host:port)", u64::from(is_address(address)), 1, 1)
            }
            Self::SetParams { params, .. } => params.check(),
            Self::AddChain { validators, .. } => check_set(validators),
            Self::SpendFees { amount, .. } => check_range("change.amount", amount.fen(), 1, u64::MAX),
            Self::RetireOperator { .. }
            | Self::ReplaceOperatorKey { .. }
            | Self::ReplaceNetworkKey { .. }
            | Self::RetireNode { .. }
            | Self::AddValidator { .. }
            | Self::RemoveValidator { .. }
            | Self::ReplaceConsensusKey { .. }
            | Self::Reshard { .. }
            | Self::RemoveChain { .. } => Ok(()),
        }
    }
}

const OPERATOR_BYTES_MAX: usize = 8 + NAME_BYTES_MAX + 4 + 32 + <Policy as Canonical>::BYTES_MAX;
const NODE_BYTES_MAX: usize = 2 + 32 + 8 + ADDRESS_BYTES_MAX;
const CHAIN_BYTES_MAX: usize = 4 + 8 + 36 * VALIDATORS_MAX;
const PARAMS_BYTES: usize = 4 + 8 * 4 + 8 * 5 + 8 + 19 * TIERS.len();

const fn max(one: usize, other: usize) -> usize {
    if one > other { one } else { other }
}

impl Proposal {
    /// What an approval signs.
    #[must_use]
    pub fn hash(&self, genesis: GenesisHash) -> Hash {
        Hasher::new("jiaozi/proposal").bytes(&genesis.0).bytes(&self.encode()).finish()
    }

    /// Approves with an operator's cold key.
    #[must_use]
    pub fn approve(&self, genesis: GenesisHash, operator: OperatorId, key: &SecretKey) -> Approval {
        Approval { operator, signature: sign_governance(key, genesis, &self.hash(genesis)) }
    }
}

impl Canonical for Proposal {
    const NAME: &'static str = "proposal";
    const BYTES_MAX: usize = GOVERN_BYTES_MAX;

    fn check(&self) -> Result<(), CodecError> {
        check_count("proposal.reason", self.reason.len(), 0, REASON_BYTES_MAX)?;
        check_count("proposal.changes", self.changes.len(), 1, CHANGES_MAX)?;
        self.changes.iter().try_for_each(Change::check)
    }
}

/// Checks a proposal with its approvals as a transaction carries them.
///
/// # Errors
/// Names the field.
pub fn check_govern(proposal: &Proposal, approvals: &[Approval]) -> Result<(), CodecError> {
    proposal.check()?;
    check_count("govern.approvals", approvals.len(), 1, VALIDATORS_MAX)?;
    check_ascending("govern.approvals", approvals.iter().map(|approval| approval.operator))?;
    let bytes = approvals.len().saturating_mul(APPROVAL_BYTES).saturating_add(proposal.encode().len());
    check_count("govern (bytes of proposal and approvals)", bytes, 0, GOVERN_BYTES_MAX.saturating_sub(12))
}

const APPROVAL_BYTES: usize = 2 + 64;
