//! The network: who takes part, and whom this node sees.

use ledger::records::{GenesisSpec, OperatorRole};
use ledger::values::{GenesisHash, NodeIndex, PublicKey};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::text::as_text;

/// Answer of `GET /v1/network`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetworkView {
    /// The network's name for people.
    pub network: String,
    /// The network's identity.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub genesis_hash: GenesisHash,
    /// Version of this node's software.
    pub version: String,
    /// Index of this node.
    pub node: u16,
    /// Operators by id.
    pub operators: Vec<OperatorView>,
    /// Nodes by index.
    pub nodes: Vec<NodeView>,
}

/// An operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperatorView {
    /// Its id.
    pub operator: u16,
    /// Its name for people.
    pub name: String,
    /// What it is.
    pub role: RoleName,
    /// Its cold key.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub operator_key: PublicKey,
}

/// What an operator is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RoleName {
    /// Issues the money.
    CentralBank,
    /// Opens wallets and runs validators.
    Bank,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeView {
    /// Its index.
    pub node: u16,
    /// Its operator.
    pub operator: u16,
    /// Its libp2p key.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub network_key: PublicKey,
    /// `host:port` for peers.
    pub address: String,
    /// Whether this node is connected to it; true for itself.
    pub is_connected: bool,
}

impl NetworkView {
    /// The view of a network from node `node`.
    #[must_use]
    pub fn new(
        spec: &GenesisSpec,
        node: NodeIndex,
        version: &str,
        is_connected: impl Fn(NodeIndex) -> bool,
    ) -> Self {
        let operators = (0_u16..).zip(&spec.operators).map(|(id, operator)| OperatorView {
            operator: id,
            name: operator.name.clone(),
            role: match operator.role {
                OperatorRole::CentralBank => RoleName::CentralBank,
                OperatorRole::Bank => RoleName::Bank,
            },
            operator_key: operator.key,
        });
        let nodes = (0_u16..).zip(&spec.nodes).map(|(index, record)| NodeView {
            node: index,
            operator: record.operator.0,
            network_key: record.network_key,
            address: record.address.clone(),
            is_connected: index == node.0 || is_connected(NodeIndex(index)),
        });
        Self {
            network: spec.network.clone(),
            genesis_hash: spec.hash(),
            version: version.to_owned(),
            node: node.0,
            operators: operators.collect(),
            nodes: nodes.collect(),
        }
    }
}
