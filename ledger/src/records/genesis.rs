//! The genesis spec: everything a network starts with. Its hash is the network's identity and part of every
//! signature.

use wincode::{SchemaRead, SchemaWrite};

use super::params::ChainParams;
use super::registry::{NodeRecord, OperatorRecord, OperatorRole, ValidatorRecord};
use crate::values::codec::{check_ascending, check_count, check_range};
use crate::values::quorum::{VALIDATORS_MAX, VALIDATORS_MIN};
use crate::values::{Canonical, ChainId, CodecError, Currency, GenesisHash, Hasher, PublicKey, TimestampMs};

/// Most operators of a network, and most nodes with those that were taken away.
pub const OPERATORS_MAX: usize = 1_000;
/// Most nodes that were not taken away: as many peers as the network layer connects to (its `PEERS_MAX`).
pub const NODES_ACTIVE_MAX: usize = 256;
/// Most chains of a network.
pub const CHAINS_MAX: usize = 256;
/// Most bytes of a name.
pub const NAME_BYTES_MAX: usize = 64;
/// Most bytes of an address.
pub const ADDRESS_BYTES_MAX: usize = 255;

const _: () = assert!(NODES_ACTIVE_MAX <= OPERATORS_MAX);

/// Whether a node could be reached under this text: `host:port`, a host of at least one character, a port from 1 to 65,535, no
/// spaces. The network layer refuses a whole registry for one address that is none.
#[must_use]
pub fn is_address(text: &str) -> bool {
    let is_plain = |letter: char| !letter.is_whitespace() && !letter.is_control();
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_port =
        port.bytes().all(|digit| digit.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    !host.is_empty() && text.len() <= ADDRESS_BYTES_MAX && text.chars().all(is_plain) && is_port
}

/// One chain: one currency, one shard.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct ChainSpec {
    /// Its id; chain 0 is the root chain.
    pub chain: ChainId,
    /// Its currency.
    pub currency: Currency,
    /// Its shard among those of the currency, from 0.
    pub shard: u16,
    /// Parameters.
    pub params: ChainParams,
    /// The first validator set, strictly ascending by consensus key.
    pub validators: Vec<ValidatorRecord>,
}

/// What a network starts with.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct GenesisSpec {
    /// A name for people, 1 to [`NAME_BYTES_MAX`] bytes.
    pub network: String,
    /// The timestamp of height 0.
    pub timestamp: TimestampMs,
    /// Operators; their place is their id.
    pub operators: Vec<OperatorRecord>,
    /// Nodes; their place is their index.
    pub nodes: Vec<NodeRecord>,
    /// Chains by ascending id, from 0.
    pub chains: Vec<ChainSpec>,
}

impl GenesisSpec {
    /// The network's identity.
    #[must_use]
    pub fn hash(&self) -> GenesisHash {
        Hasher::new("jiaozi/genesis").bytes(&self.encode()).finish().into()
    }

    /// The spec of a chain.
    #[must_use]
    pub fn chain(&self, chain: ChainId) -> Option<&ChainSpec> {
        self.chains.iter().find(|spec| spec.chain == chain)
    }

    /// The currency of a chain that genesis names; of one that was added later the registry tells it.
    #[must_use]
    pub fn currency(&self, chain: ChainId) -> Option<Currency> {
        self.chain(chain).map(|spec| spec.currency)
    }

    /// The chains of a currency, by shard.
    #[must_use]
    pub fn shards(&self, currency: Currency) -> Vec<ChainId> {
        let mut shards: Vec<(u16, ChainId)> = self
            .chains
            .iter()
            .filter(|spec| spec.currency == currency)
            .map(|spec| (spec.shard, spec.chain))
            .collect();
        shards.sort_unstable();
        shards.into_iter().map(|(_, chain)| chain).collect()
    }
}

/// Refuses a key that nothing can be signed under: the consensus engine and the network take none.
fn check_point(field: &'static str, key: PublicKey) -> Result<(), CodecError> {
    check_range(field, u64::from(key.is_point()), 1, 1)
}

impl Canonical for GenesisSpec {
    const NAME: &'static str = "genesis";
    const BYTES_MAX: usize = 16 * 1_024 * 1_024;

    fn check(&self) -> Result<(), CodecError> {
        check_count("network", self.network.len(), 1, NAME_BYTES_MAX)?;
        check_count("operators", self.operators.len(), 1, OPERATORS_MAX)?;
        check_count("nodes", self.nodes.len(), VALIDATORS_MIN, NODES_ACTIVE_MAX)?;
        check_count("chains", self.chains.len(), 1, CHAINS_MAX)?;
        let central =
            self.operators.iter().filter(|operator| operator.role == OperatorRole::CentralBank).count();
        check_count("operators with the role of central bank", central, 1, 1)?;
        for operator in &self.operators {
            check_count("operators.name", operator.name.len(), 1, NAME_BYTES_MAX)?;
            operator.wallet_policy.check()?;
            check_point("operators.key (a point of the curve)", operator.key)?;
            for key in &operator.wallet_policy.keys {
                check_point("operators.wallet_policy.keys (points of the curve)", *key)?;
            }
        }
        let mut operator_keys: Vec<_> = self.operators.iter().map(|operator| operator.key).collect();
        operator_keys.sort_unstable();
        check_ascending("operators.key (each key once)", operator_keys)?;
        let operators_last = self.operators.len().saturating_sub(1) as u64;
        let nodes_last = self.nodes.len().saturating_sub(1) as u64;
        for node in &self.nodes {
            check_range("nodes.operator", u64::from(node.operator.0), 0, operators_last)?;
            check_count("nodes.address", node.address.len(), 1, ADDRESS_BYTES_MAX)?;
            check_range("nodes.address (host:port)", u64::from(is_address(&node.address)), 1, 1)?;
            check_point("nodes.network_key (a point of the curve)", node.network_key)?;
        }
        let mut network_keys: Vec<_> = self.nodes.iter().map(|node| node.network_key).collect();
        network_keys.sort_unstable();
        check_ascending("nodes.network_key (each key once)", network_keys)?;
        check_ascending("chains.chain", self.chains.iter().map(|chain| chain.chain))?;
        let root = self.chains.first().map_or(0, |chain| u64::from(chain.chain.0));
        check_range("chains.chain (the first is the root chain)", root, 0, 0)?;
        let mut shards: Vec<(Currency, u16)> =
            self.chains.iter().map(|chain| (chain.currency, chain.shard)).collect();
        shards.sort_unstable();
        let mut next: Option<(Currency, u16)> = None;
        for (currency, shard) in shards {
            let expected = next.filter(|(last, _)| *last == currency).map_or(0, |(_, next)| next);
            check_range(
                "chains.shard (each of a currency once, from 0)",
                u64::from(shard),
                u64::from(expected),
                u64::from(expected),
            )?;
            next = Some((currency, expected.saturating_add(1)));
        }
        for chain in &self.chains {
            chain.params.check()?;
            check_range(
                "chains.currency (capital letters)",
                u64::from(chain.currency.is_well_formed()),
                1,
                1,
            )?;
            check_count("chains.validators", chain.validators.len(), VALIDATORS_MIN, VALIDATORS_MAX)?;
            check_ascending(
                "chains.validators",
                chain.validators.iter().map(|validator| validator.consensus_key),
            )?;
            for validator in &chain.validators {
                check_range("validators.node", u64::from(validator.node.0), 0, nodes_last)?;
                let node = self.nodes.get(usize::from(validator.node.0));
                let operator = node.map_or(0, |node| u64::from(node.operator.0));
                let found = u64::from(validator.operator.0);
                check_range("validators.operator (the one of its node)", found, operator, operator)?;
                check_point("validators.consensus_key (a point of the curve)", validator.consensus_key)?;
            }
            let mut seated: Vec<_> = chain.validators.iter().map(|validator| validator.node).collect();
            seated.sort_unstable();
            check_ascending("validators.node (each node once per chain)", seated)?;
        }
        Ok(())
    }
}
