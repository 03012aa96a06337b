//! How a registry changes: one change applied to a copy (by governance, by the receipts that tell other chains, and by whoever wants
//! to read what a proposal would do), and the scheduling of a chain's next set.
//!
//! Nothing here depends on a chain's epochs or on its own place in the network, so what the root chain accepted, every other chain
//! accepts.

use crate::records::block::{EPOCH_MS_MIN, SET_CHANGE_MARGIN};
use crate::records::genesis::{CHAINS_MAX, NODES_ACTIVE_MAX, OPERATORS_MAX};
use crate::records::registry::EPOCHS_KEPT;
use crate::records::{
    Birth, ChainRecord, Change, EpochRecord, NodeRecord, OperatorRecord, OperatorRole, Registry, Rejection,
    ValidatorRecord,
};
use crate::rules::growth;
use crate::values::quorum::{VALIDATORS_MAX, VALIDATORS_MIN};
use crate::values::{ChainId, Currency, Epoch, Height, NodeIndex, OperatorId, PublicKey, TimestampMs};

/// Why a change cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChangeFault {
    /// No such operator, or it has left.
    #[error("there is no operator {operator}, or it has left")]
    OperatorUnknown {
        /// Found.
        operator: OperatorId,
    },
    /// The role is the central bank's.
    #[error("a network has one central bank, which neither joins nor leaves")]
    CentralBank,
    /// An operator has this cold key, perhaps one that has left.
    #[error("the key is that of operator {operator}")]
    OperatorKeyTaken {
        /// Whose it is.
        operator: OperatorId,
    },
    /// As many operators, nodes or chains as a network may have.
    #[error(
        "a network has at most {OPERATORS_MAX} operators and as many nodes, {NODES_ACTIVE_MAX} of them at a time, \
         and {CHAINS_MAX} chains"
    )]
    Full,
    /// No such node, or it was taken away.
    #[error("there is no node {node}, or it was taken away")]
    NodeUnknown {
        /// Found.
        node: NodeIndex,
    },
    /// A node has this network key, perhaps one that was taken away.
    #[error("the key is that of node {node}")]
    NetworkKeyTaken {
        /// Whose it is.
        node: NodeIndex,
    },
    /// A wanted set names the node.
    #[error("node {node} runs a validator of chain {chain}")]
    NodeInUse {
        /// The node.
        node: NodeIndex,
        /// A chain that wants it.
        chain: ChainId,
    },
    /// No such chain.
    #[error("the network has no chain {chain}")]
    ChainUnknown {
        /// Found.
        chain: ChainId,
    },
    /// A validator's operator is another than its node's.
    #[error("node {node} is operator {operator}'s")]
    NotItsNode {
        /// The node.
        node: NodeIndex,
        /// Whose it is.
        operator: OperatorId,
    },
    /// The consensus key is in the set already.
    #[error("the key is in the set of chain {chain} already")]
    ConsensusKeyTaken {
        /// The chain.
        chain: ChainId,
    },
    /// No validator of the set has the key.
    #[error("no validator in the set of chain {chain} has the key")]
    ValidatorUnknown {
        /// The chain.
        chain: ChainId,
    },
    /// Too few would remain.
    #[error("chain {chain} would have fewer than {VALIDATORS_MIN} validators")]
    TooFewValidators {
        /// The chain.
        chain: ChainId,
    },
    /// Too many.
    #[error("chain {chain} would have more than {VALIDATORS_MAX} validators")]
    TooManyValidators {
        /// The chain.
        chain: ChainId,
    },
    /// The node has a seat in the chain's wanted set: messages are sent to nodes, so each node has one seat on a chain.
    #[error("node {node} runs a validator of chain {chain} already")]
    NodeSeated {
        /// The node.
        node: NodeIndex,
        /// The chain.
        chain: ChainId,
    },
    /// Nothing can be signed under the key; an engine given such a consensus key would never start.
    #[error("the key {key} is no point of the curve")]
    KeyInvalid {
        /// Found.
        key: PublicKey,
    },
    /// A child of no chain.
    #[error("the network has no chain {chain} that could have a child")]
    ParentUnknown {
        /// Found.
        chain: ChainId,
    },
    /// A child of a child that no wallet is at home on yet, or of a chain while its currency is resharded.
    #[error("chain {chain} has not taken in its wallets yet")]
    ChainNotGrown {
        /// That child.
        chain: ChainId,
    },
    /// A shard of the currency has no child that could take half of its wallets.
    #[error("shard {shard} of {currency} has no child that is ready")]
    ChainNotReady {
        /// The currency.
        currency: Currency,
        /// The first such shard.
        shard: u16,
    },
    /// One child at a time.
    #[error("chain {chain} has child {child}, which has not taken in its wallets yet")]
    ChainHasChild {
        /// The parent.
        chain: ChainId,
        /// The child that it has.
        child: ChainId,
    },
    /// What genesis names stays.
    #[error("chain {chain} is of genesis, and stays")]
    ChainNoChild {
        /// The chain.
        chain: ChainId,
    },
    /// What has reported that it runs stays.
    #[error("chain {chain} has reported that it runs")]
    ChainRuns {
        /// The child.
        chain: ChainId,
    },
}

impl ChangeFault {
    /// What the outcome of the transaction says.
    #[must_use]
    pub const fn rejection(&self) -> Rejection {
        match self {
            Self::OperatorUnknown { .. } => Rejection::ChangeOperatorUnknown,
            Self::CentralBank => Rejection::ChangeCentralBank,
            Self::OperatorKeyTaken { .. } => Rejection::ChangeOperatorKeyTaken,
            Self::Full => Rejection::ChangeFull,
            Self::NodeUnknown { .. } => Rejection::ChangeNodeUnknown,
            Self::NetworkKeyTaken { .. } => Rejection::ChangeNetworkKeyTaken,
            Self::NodeInUse { .. } => Rejection::ChangeNodeInUse,
            Self::ChainUnknown { .. } => Rejection::ChangeChainUnknown,
            Self::NotItsNode { .. } => Rejection::ChangeNotItsNode,
            Self::ConsensusKeyTaken { .. } => Rejection::ChangeConsensusKeyTaken,
            Self::ValidatorUnknown { .. } => Rejection::ChangeValidatorUnknown,
            Self::TooFewValidators { .. } => Rejection::ChangeTooFewValidators,
            Self::TooManyValidators { .. } => Rejection::ChangeTooManyValidators,
            Self::KeyInvalid { .. } => Rejection::ChangeKeyInvalid,
            Self::NodeSeated { .. } => Rejection::ChangeNodeSeated,
            Self::ParentUnknown { .. } => Rejection::ChangeChainUnknown,
            Self::ChainNotGrown { .. } => Rejection::ChangeChainNotGrown,
            Self::ChainNotReady { .. } => Rejection::ChangeChainNotReady,
            Self::ChainHasChild { .. } => Rejection::ChangeChainHasChild,
            Self::ChainNoChild { .. } => Rejection::ChangeChainNoChild,
            Self::ChainRuns { .. } => Rejection::ChangeChainRuns,
        }
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> u16 {
        self.rejection().code()
    }

    /// What to do next.
    #[must_use]
    pub const fn mend(&self) -> &'static str {
        self.rejection().mend()
    }

    /// The field of the change that is at fault.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        match self {
            Self::OperatorUnknown { .. } => "operator",
            Self::CentralBank => "role",
            Self::OperatorKeyTaken { .. } | Self::NetworkKeyTaken { .. } | Self::KeyInvalid { .. } => "key",
            Self::Full => "change",
            Self::NodeUnknown { .. } | Self::NodeInUse { .. } => "node",
            Self::ChainUnknown { .. } | Self::ChainNoChild { .. } | Self::ChainRuns { .. } => "chain",
            Self::NotItsNode { .. } | Self::NodeSeated { .. } => "validator.node",
            Self::ConsensusKeyTaken { .. } | Self::ValidatorUnknown { .. } => "consensus_key",
            Self::TooFewValidators { .. } | Self::TooManyValidators { .. } => "validators",
            Self::ParentUnknown { .. } | Self::ChainNotGrown { .. } | Self::ChainHasChild { .. } => "parent",
            Self::ChainNotReady { .. } => "currency",
        }
    }
}

/// The registry after one change. The version stays: a proposal counts it. A chain that it adds is born at height 0, until
/// `apply_decided` names the height that decided it.
///
/// # Errors
/// [`ChangeFault`].
pub fn apply_change(registry: &Registry, change: &Change) -> Result<Registry, ChangeFault> {
    let mut after = registry.clone();
    match change {
        Change::AddOperator(record) => add_operator(&mut after, record)?,
        Change::RetireOperator { operator } => retire_operator(&mut after, *operator)?,
        Change::ReplaceOperatorKey { operator, key } => {
            active(&after, *operator)?;
            operator_key_is_free(&after, *key)?;
            check_point(*key)?;
            if let Some(record) = after.operators.get_mut(usize::from(operator.0)) {
                record.key = *key;
            }
        }
        Change::AddNode(record) => add_node(&mut after, record)?,
        Change::MoveNode { node, address } => node_mut(&mut after, *node)?.address.clone_from(address),
        Change::ReplaceNetworkKey { node, key } => {
            node_mut(&mut after, *node)?;
            network_key_is_free(&after, *key)?;
            check_point(*key)?;
            node_mut(&mut after, *node)?.network_key = *key;
        }
        Change::RetireNode { node } => {
            node_mut(&mut after, *node)?;
            let wants = |record: &&ChainRecord| {
                !record.is_removed() && record.wanted.iter().any(|validator| validator.node == *node)
            };
            if let Some(record) = after.chains.iter().find(wants) {
                return Err(ChangeFault::NodeInUse { node: *node, chain: record.chain });
            }
            retire(&mut after.retired_nodes, *node);
        }
        Change::AddValidator { chain, validator } => add_validator(&mut after, *chain, validator)?,
        Change::RemoveValidator { chain, consensus_key } => {
            let wanted = wanted_mut(&mut after, *chain)?;
            let place = place_of(wanted, *chain, *consensus_key)?;
            wanted.remove(place);
            check_size(wanted, *chain)?;
        }
        Change::ReplaceConsensusKey { chain, old, new } => {
            let wanted = wanted_mut(&mut after, *chain)?;
            let place = place_of(wanted, *chain, *old)?;
            if old == new {
                return Err(ChangeFault::ConsensusKeyTaken { chain: *chain });
            }
            let before = wanted.remove(place);
            insert(wanted, *chain, ValidatorRecord { consensus_key: *new, ..before })?;
        }
        Change::SetParams { chain, params } => {
            chain_mut(&mut after, *chain)?.params.clone_from(params);
        }
        Change::AddChain { parent, validators } => growth::add_chain(&mut after, *parent, validators)?,
        Change::Reshard { currency } => growth::reshard(&mut after, *currency)?,
        Change::RemoveChain { chain } => growth::remove_chain(&mut after, *chain)?,
        // The money moves on that chain ([`super::fee`]); the registry stays.
        Change::SpendFees { chain, operator, .. } => {
            chain_mut(&mut after, *chain)?;
            active(&after, *operator)?;
        }
    }
    Ok(after)
}

/// [`apply_change`] as part of a proposal: an urgent one marks the chains whose wanted set it changes, and so does an operator that
/// leaves, whoever says what: until the set changes its quorum counts a member that may not approve.
///
/// # Errors
/// [`ChangeFault`].
pub fn apply_proposed(
    registry: &Registry,
    change: &Change,
    is_urgent: bool,
) -> Result<Registry, ChangeFault> {
    let mut after = apply_change(registry, change)?;
    let is_urgent = is_urgent || matches!(change, Change::RetireOperator { .. });
    for (record, before) in after.chains.iter_mut().zip(&registry.chains) {
        record.is_urgent |= is_urgent && record.wanted != before.wanted;
    }
    Ok(after)
}

/// [`apply_proposed`] as the root chain's `height` has decided it.
///
/// # Errors
/// [`ChangeFault`].
pub(super) fn apply_decided(
    registry: &Registry,
    change: &Change,
    is_urgent: bool,
    height: Height,
) -> Result<Registry, ChangeFault> {
    let mut after = apply_proposed(registry, change, is_urgent)?;
    for added in after.chains.iter_mut().skip(registry.chains.len()) {
        if let Birth::Child { height: born, .. } = &mut added.birth {
            *born = height;
        }
    }
    Ok(after)
}

fn active(registry: &Registry, operator: OperatorId) -> Result<(), ChangeFault> {
    if registry.is_active(operator) { Ok(()) } else { Err(ChangeFault::OperatorUnknown { operator }) }
}

/// A key is one operator's, so that an approval is.
fn operator_key_is_free(registry: &Registry, key: PublicKey) -> Result<(), ChangeFault> {
    let holder = registry.operators.iter().zip(0..=u16::MAX).find(|(record, _)| record.key == key);
    holder.map_or(Ok(()), |(_, id)| Err(ChangeFault::OperatorKeyTaken { operator: OperatorId(id) }))
}

fn network_key_is_free(registry: &Registry, key: PublicKey) -> Result<(), ChangeFault> {
    let holder = registry.nodes.iter().zip(0..=u16::MAX).find(|(record, _)| record.network_key == key);
    holder.map_or(Ok(()), |(_, index)| Err(ChangeFault::NetworkKeyTaken { node: NodeIndex(index) }))
}

/// Keys are checked where they enter the registry; genesis checks its own.
fn check_point(key: PublicKey) -> Result<(), ChangeFault> {
    if key.is_point() { Ok(()) } else { Err(ChangeFault::KeyInvalid { key }) }
}

fn add_operator(registry: &mut Registry, record: &OperatorRecord) -> Result<(), ChangeFault> {
    if record.role == OperatorRole::CentralBank {
        return Err(ChangeFault::CentralBank);
    }
    operator_key_is_free(registry, record.key)?;
    if registry.operators.len() >= OPERATORS_MAX {
        return Err(ChangeFault::Full);
    }
    check_point(record.key)?;
    record.wallet_policy.keys.iter().try_for_each(|key| check_point(*key))?;
    registry.operators.push(record.clone());
    Ok(())
}

/// Its nodes and validators leave with it.
fn retire_operator(registry: &mut Registry, operator: OperatorId) -> Result<(), ChangeFault> {
    active(registry, operator)?;
    if registry.operator(operator).is_some_and(|record| record.role == OperatorRole::CentralBank) {
        return Err(ChangeFault::CentralBank);
    }
    for record in registry.chains.iter_mut().filter(|record| !record.is_removed()) {
        record.wanted.retain(|validator| validator.operator != operator);
        check_size(&record.wanted, record.chain)?;
    }
    let nodes = registry.nodes.iter().zip(0..=u16::MAX).filter(|(node, _)| node.operator == operator);
    for index in nodes.map(|(_, index)| NodeIndex(index)) {
        retire(&mut registry.retired_nodes, index);
    }
    retire(&mut registry.retired_operators, operator);
    Ok(())
}

fn retire<T: Ord + Copy>(retired: &mut Vec<T>, one: T) {
    if let Err(place) = retired.binary_search(&one) {
        retired.insert(place, one);
    }
}

fn add_node(registry: &mut Registry, record: &NodeRecord) -> Result<(), ChangeFault> {
    active(registry, record.operator)?;
    network_key_is_free(registry, record.network_key)?;
    let active = registry.nodes.len().saturating_sub(registry.retired_nodes.len());
    if registry.nodes.len() >= OPERATORS_MAX || active >= NODES_ACTIVE_MAX {
        return Err(ChangeFault::Full);
    }
    check_point(record.network_key)?;
    registry.nodes.push(record.clone());
    Ok(())
}

fn node_mut(registry: &mut Registry, node: NodeIndex) -> Result<&mut NodeRecord, ChangeFault> {
    let is_active = registry.is_node_active(node);
    let record = registry.nodes.get_mut(usize::from(node.0)).filter(|_| is_active);
    record.ok_or(ChangeFault::NodeUnknown { node })
}

fn wanted_mut(registry: &mut Registry, chain: ChainId) -> Result<&mut Vec<ValidatorRecord>, ChangeFault> {
    Ok(&mut chain_mut(registry, chain)?.wanted)
}

/// A chain that changes: not one that was removed.
fn chain_mut(registry: &mut Registry, chain: ChainId) -> Result<&mut ChainRecord, ChangeFault> {
    let record = registry.chain_mut(chain).filter(|record| !record.is_removed());
    record.ok_or(ChangeFault::ChainUnknown { chain })
}

fn place_of(wanted: &[ValidatorRecord], chain: ChainId, key: PublicKey) -> Result<usize, ChangeFault> {
    let place = wanted.binary_search_by_key(&key, |validator| validator.consensus_key);
    place.map_err(|_| ChangeFault::ValidatorUnknown { chain })
}

fn insert(
    wanted: &mut Vec<ValidatorRecord>,
    chain: ChainId,
    validator: ValidatorRecord,
) -> Result<(), ChangeFault> {
    match wanted.binary_search_by_key(&validator.consensus_key, |known| known.consensus_key) {
        Ok(_) => Err(ChangeFault::ConsensusKeyTaken { chain }),
        Err(place) => {
            check_point(validator.consensus_key)?;
            wanted.insert(place, validator);
            Ok(())
        }
    }
}

fn add_validator(
    registry: &mut Registry,
    chain: ChainId,
    validator: &ValidatorRecord,
) -> Result<(), ChangeFault> {
    let is_seated = seat(registry, chain, validator)?;
    check_size(wanted_mut(registry, chain)?, chain)?;
    if is_seated { Err(ChangeFault::NodeSeated { node: validator.node, chain }) } else { Ok(()) }
}

/// Adds a validator to a wanted set of any size; whether its node had a seat there already.
fn seat(registry: &mut Registry, chain: ChainId, validator: &ValidatorRecord) -> Result<bool, ChangeFault> {
    active(registry, validator.operator)?;
    let operator = node_mut(registry, validator.node)?.operator;
    if operator != validator.operator {
        return Err(ChangeFault::NotItsNode { node: validator.node, operator });
    }
    let wanted = wanted_mut(registry, chain)?;
    let is_seated = wanted.iter().any(|known| known.node == validator.node);
    insert(wanted, chain, *validator)?;
    Ok(is_seated)
}

/// Fills the empty wanted set of a chain.
pub(super) fn seat_all(
    registry: &mut Registry,
    chain: ChainId,
    validators: &[ValidatorRecord],
) -> Result<(), ChangeFault> {
    for validator in validators {
        if seat(registry, chain, validator)? {
            return Err(ChangeFault::NodeSeated { node: validator.node, chain });
        }
    }
    check_size(wanted_mut(registry, chain)?, chain)
}

fn check_size(wanted: &[ValidatorRecord], chain: ChainId) -> Result<(), ChangeFault> {
    match wanted.len() {
        few if few < VALIDATORS_MIN => Err(ChangeFault::TooFewValidators { chain }),
        many if many > VALIDATORS_MAX => Err(ChangeFault::TooManyValidators { chain }),
        _ => Ok(()),
    }
}

/// Whether the chain is urgent for nothing: what it wants is its newest set again. Left alone, that would let a later change of set, of
/// which nobody said that it is urgent, come before its day.
pub(super) fn is_urgent_in_vain(registry: &Registry, chain: ChainId) -> bool {
    let Some(record) = registry.chain(chain).filter(|record| record.is_urgent) else { return false };
    record.epochs.last().is_some_and(|newest| newest.validators == record.wanted)
}

/// Forgets that the chain's wanted set was urgent.
pub(super) fn calm(registry: &mut Registry, chain: ChainId) {
    if let Some(record) = registry.chain_mut(chain) {
        record.is_urgent = false;
    }
}

/// Whether the chain wants another set than its newest and none is scheduled.
pub(super) fn may_schedule(registry: &Registry, chain: ChainId, height: Height) -> bool {
    let Some(record) = registry.chain(chain) else { return false };
    let Some(newest) = record.epochs.last() else { return false };
    // Every epoch but the first is scheduled until it begins.
    newest.first_height <= height && newest.last_height.is_none() && newest.validators != record.wanted
}

/// Schedules the chain's next epoch after the execution of `height`, which [`may_schedule`], where a day has passed since `started`,
/// the timestamp of the running epoch's first block, or the change is urgent. Whether it did.
pub(super) fn schedule(
    registry: &mut Registry,
    chain: ChainId,
    height: Height,
    (started, now): (TimestampMs, TimestampMs),
) -> bool {
    let Some(record) = registry.chain_mut(chain) else { return false };
    let is_due = record.is_urgent || now.0.saturating_sub(started.0) >= EPOCH_MS_MIN;
    let Some(newest) = record.epochs.last_mut().filter(|_| is_due) else { return false };
    let last = Height(height.0.saturating_add(SET_CHANGE_MARGIN));
    newest.last_height = Some(last);
    let next = EpochRecord {
        epoch: Epoch(newest.epoch.0.saturating_add(1)),
        first_height: last.next(),
        last_height: None,
        validators: record.wanted.clone(),
    };
    record.epochs.push(next);
    let forgotten = record.epochs.len().saturating_sub(EPOCHS_KEPT);
    record.epochs.drain(..forgotten);
    record.is_urgent = false;
    true
}
