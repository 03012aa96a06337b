//! Changes as operators ask for them, on a working copy of the registry: each is tried at once, and the next one builds on it.

use ledger::records::registry::NODES_KEPT;
use ledger::records::{
    Change, ChainRecord, NodeRecord, OperatorRole, Proposal, Registry, ValidatorRecord,
};
use ledger::values::{ChainId, NodeIndex, OperatorId, PublicKey, TimestampMs};

use super::diff::operator_name;
use super::error::GovernanceError;
use super::params;
use crate::contribution::Contribution;
use crate::template::Template;
use crate::text;

/// Changes under construction.
#[derive(Debug, Clone)]
pub struct Draft {
    version: u64,
    registry: Registry,
    changes: Vec<Change>,
}

impl Draft {
    /// Nothing changes yet.
    #[must_use]
    pub const fn new(registry: Registry) -> Self {
        Self { version: registry.version, registry, changes: Vec::new() }
    }
}
