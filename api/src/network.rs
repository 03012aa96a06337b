//! The network: who takes part, whom this node sees, which chains there are, and where wallets are at home.

use std::num::NonZeroU16;

use ledger::records::registry::operator_salt;
use ledger::records::{ChainRecord, GenesisSpec, Registry};
use ledger::values::{
    ChainId, Currency, GenesisHash, NodeIndex, OperatorId, PolicyHash, PublicKey, WalletId,
};
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
    /// Version of the registry as this node knows it: how many proposals were applied.
    #[serde(default)]
    pub registry_version: u64,
    /// Operators by id.
    pub operators: Vec<OperatorView>,
    /// Nodes by index.
    pub nodes: Vec<NodeView>,
    /// Chains by id, and who hosts them.
    pub chains: Vec<ChainPlace>,
}

/// A chain among those of the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChainPlace {
    /// Its id.
    pub chain: u32,
    /// Its currency.
    #[schema(example = "CNY")]
    pub currency: String,
    /// Its shard among those of the currency, from 0.
    pub shard: u16,
    /// The chain whose wallets it takes half of, where it was added after genesis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u32>,
    /// Whether wallets are at home there: not yet on a chain that was added, until the shards of its currency double.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub is_home: bool,
    /// Whether it may not know all wallets that are at home there yet: then one that it does not know may be its parent's.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_filling: bool,
    /// The nodes that run its validators, ascending. Others may follow it too.
    pub nodes: Vec<u16>,
    /// Those of them that do not run it although a link to them is up: they do not host it, or it has stopped there. Known of the chains
    /// that the answering node hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_running_nodes: Vec<u16>,
}

/// As a registry has it: who runs the newest epoch that is known.
impl From<&ChainRecord> for ChainPlace {
    fn from(record: &ChainRecord) -> Self {
        let set = record.epochs.last().map_or(&record.wanted, |epoch| &epoch.validators);
        let mut nodes: Vec<u16> = set.iter().map(|validator| validator.node.0).collect();
        nodes.sort_unstable();
        nodes.dedup();
        Self {
            chain: record.chain.0,
            currency: record.currency.to_string(),
            shard: record.shard,
            parent: record.parent().map(|parent| parent.0),
            is_home: record.is_home(),
            is_filling: record.is_filling(),
            nodes,
            not_running_nodes: Vec::new(),
        }
    }
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
    /// Hash of the policy of its own wallets: with the operator's salt it makes their ids
    /// ([`NetworkView::operator_wallet`]).
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub wallet_policy: PolicyHash,
    /// Whether it has left the network; its wallets stay.
    #[serde(default, skip_serializing_if = "is_false")]
    pub has_left: bool,
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
    /// Whether it was taken away.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_retired: bool,
}

/// Absent fields are false,
const fn is_false(value: &bool) -> bool {
    !*value
}

/// but for those that are true of nearly everything.
const fn is_true(value: &bool) -> bool {
    *value
}

const fn yes() -> bool {
    true
}

impl NetworkView {
    /// The view of a network as genesis has it, from node `node`.
    #[must_use]
    pub fn new(
        spec: &GenesisSpec,
        node: NodeIndex,
        version: &str,
        is_connected: impl Fn(NodeIndex) -> bool,
    ) -> Self {
        Self::of(spec, &Registry::from_genesis(spec), node, version, is_connected)
    }

    /// The view of a network as a registry has it now, from node `node`.
    #[must_use]
    pub fn of(
        spec: &GenesisSpec,
        registry: &Registry,
        node: NodeIndex,
        version: &str,
        is_connected: impl Fn(NodeIndex) -> bool,
    ) -> Self {
        let operators = (0_u16..).zip(&registry.operators).map(|(id, operator)| OperatorView {
            operator: id,
            name: operator.name.clone(),
            role: operator.role.into(),
            operator_key: operator.key,
            wallet_policy: operator.wallet_policy.hash(),
            has_left: !registry.is_active(OperatorId(id)),
        });
        let nodes = (0_u16..).zip(&registry.nodes).map(|(index, record)| NodeView {
            node: index,
            operator: record.operator.0,
            network_key: record.network_key,
            address: record.address.clone(),
            is_connected: index == node.0 || is_connected(NodeIndex(index)),
            is_retired: !registry.is_node_active(NodeIndex(index)),
        });
        Self {
            network: spec.network.clone(),
            genesis_hash: spec.hash(),
            version: version.to_owned(),
            node: node.0,
            registry_version: registry.version,
            operators: operators.collect(),
            nodes: nodes.collect(),
            chains: registry.chains.iter().map(ChainPlace::from).collect(),
        }
    }

    /// The chains of a currency where wallets are at home, by shard; empty where the network does not have it.
    #[must_use]
    pub fn shards(&self, currency: Currency) -> Vec<ChainId> {
        let name = currency.to_string();
        let mut shards: Vec<(u16, ChainId)> = self
            .chains
            .iter()
            .filter(|place| place.currency == name && place.is_home)
            .map(|place| (place.shard, ChainId(place.chain)))
            .collect();
        shards.sort_unstable();
        shards.into_iter().map(|(_, chain)| chain).collect()
    }

    /// The chains where a wallet that holds `currency` is at home: one, or every shard if it is an operator's own. Empty where
    /// the network does not have the currency.
    #[must_use]
    pub fn homes(&self, currency: Currency, wallet: WalletId) -> Vec<ChainId> {
        let shards = self.shards(currency);
        let count = u16::try_from(shards.len()).ok().and_then(NonZeroU16::new);
        let Some(count) = count.filter(|count| count.get() > 1) else { return shards };
        if self.is_operators_own(currency, wallet) {
            return shards;
        }
        shards.get(usize::from(wallet.shard(count))).copied().into_iter().collect()
    }

    /// The id of an operator's own wallet.
    #[must_use]
    pub fn operator_wallet(&self, currency: Currency, operator: &OperatorView) -> WalletId {
        let salt = operator_salt(OperatorId(operator.operator));
        WalletId::derive(self.genesis_hash, currency, operator.wallet_policy, &salt)
    }

    fn is_operators_own(&self, currency: Currency, wallet: WalletId) -> bool {
        self.operators.iter().any(|operator| self.operator_wallet(currency, operator) == wallet)
    }

    /// Which chain may still have a wallet that this one does not know: its parent, while it is being filled.
    #[must_use]
    pub fn filled_from(&self, chain: ChainId) -> Option<ChainId> {
        self.chain(chain).filter(|place| place.is_filling)?.parent.map(ChainId)
    }

    /// A chain among those of the network.
    #[must_use]
    pub fn chain(&self, chain: ChainId) -> Option<&ChainPlace> {
        self.chains.iter().find(|place| place.chain == chain.0)
    }
}
