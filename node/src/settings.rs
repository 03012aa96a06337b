//! What the parts of a node start with, from its configuration and the genesis file: for a start ([`crate::assemble`]) and
//! for a look before one ([`crate::check`]), so that both judge the same.

use std::path::PathBuf;
use std::sync::Arc;

use chain::{ChainConfig, Lane};
use consensus::Channel;
use ledger::records::genesis::NODES_ACTIVE_MAX;
use ledger::records::{ChainSpec, GenesisSpec, Registry, ValidatorRecord};
use ledger::rules::ChainRules;
use ledger::values::{ChainId, Height, NodeIndex, SecretKey};
use network::limits::PEERS_MAX;
use network::{NetworkConfig, NetworkSecret, Peer, Priority};
use storage::{Identity, RocksOptions};

use crate::assemble::SCHEMA_VERSION;
use crate::config::{MEMORY_BYTES_BOUNDS, NodeConfig};
use crate::relay;
use crate::start_error::StartError;

/// The node's place in the registry: by its network key where genesis has it, else what the configuration says. A node that was added
/// later knows the registry only when it has caught up.
pub(crate) fn own_place(
    config: &NodeConfig,
    spec: &GenesisSpec,
    network_key: &SecretKey,
) -> Result<NodeIndex, StartError> {
    let own_key = network_key.public_key();
    let place = spec.nodes.iter().position(|node| node.network_key == own_key);
    let place = place.and_then(|place| u16::try_from(place).ok()).or(config.node.node_index);
    place.map(NodeIndex).ok_or(StartError::NotInRegistry)
}

/// As many nodes as governance lets run fit among the peers of the network layer.
const _: () = assert!(NODES_ACTIVE_MAX <= PEERS_MAX);

/// The peers that registries of one network name, at least one: keys and addresses are those of the newest. Who leaves is a peer to
/// the end of its epochs, on each chain.
pub(crate) fn peers_of(registries: &[Arc<Registry>]) -> Vec<Peer> {
    let Some(newest) = registries.iter().max_by_key(|registry| registry.version) else { return Vec::new() };
    let is_peer = |index: u16| registries.iter().any(|registry| registry.is_peer(NodeIndex(index)));
    (0_u16..)
        .zip(&newest.nodes)
        .filter(|(index, _)| is_peer(*index))
        .map(|(index, node)| Peer { index, network_key: node.network_key.0, address: node.address.clone() })
        .collect()
}

/// Who the node is to its peers, where it listens, and whom it knows.
pub(crate) fn network_settings(
    config: &NodeConfig,
    spec: &GenesisSpec,
    network_key: &SecretKey,
    own_node: NodeIndex,
) -> NetworkConfig {
    let mut peers = peers_of(&[Arc::new(Registry::from_genesis(spec))]);
    let own_address = peers.get(usize::from(own_node.0)).map(|peer| peer.address.clone()).unwrap_or_default();
    // Its key may have been replaced since genesis.
    peers.retain(|peer| peer.index != own_node.0);
    NetworkConfig {
        secret: NetworkSecret::new(*network_key.seed()),
        listen: config.network.listen.clone().unwrap_or(own_address),
        network: spec.hash().0,
        own: own_node.0,
        peers,
        lanes: config.node.chains.iter().flat_map(|chain| lanes_of(*chain)).chain([relay_lane()]).collect(),
    }
}

/// Lanes of the network per chain: three of consensus, then those of the chain.
pub(crate) const LANES_PER_CHAIN: usize = Channel::ALL.len() + Lane::ALL.len();

fn lanes_of(chain: u32) -> Vec<network::Lane> {
    let lane = |name: &str, frame_bytes_max: usize, frames: usize, priority| network::Lane {
        name: format!("chain/{chain}/{name}"),
        frame_bytes_max,
        outbound_frames_max: frames,
        outbound_bytes_max: frame_bytes_max.saturating_mul(frames.min(32)),
        inbound_frames_max: frames.min(256),
        priority,
    };
    let channel = |name, channel: Channel| lane(name, channel.frame_bytes_max(), 512, Priority::Consensus);
    let bulk = |kind: Lane, frames, priority| lane(kind.name(), kind.frame_bytes_max(), frames, priority);
    vec![
        channel("vote", Channel::Vote),
        channel("certificate", Channel::Certificate),
        channel("resolver", Channel::Resolver),
        bulk(Lane::Control, 512, Priority::Control),
        bulk(Lane::Block, 64, Priority::Consensus),
        bulk(Lane::Batch, 64, Priority::Bulk),
        bulk(Lane::Sync, 64, Priority::Bulk),
    ]
}

/// The lane that every node has, after those of its chains: bundles for chains that are not hosted by who sends them.
fn relay_lane() -> network::Lane {
    network::Lane {
        name: "relay".to_owned(),
        frame_bytes_max: relay::FRAME_BYTES_MAX,
        outbound_frames_max: 256,
        outbound_bytes_max: relay::FRAME_BYTES_MAX.saturating_mul(16),
        inbound_frames_max: 64,
        priority: Priority::Bulk,
    }
}

/// What a node is on a chain after the executed height, whose rules are given, with the keys that it has for it. A key in no set is no
/// fault: the set may come to have it, or had it. One that the set lists for another node is not used where this node has a seat by
/// another key: whoever reads a next key in a proposal can list it first, and that must stop nobody.
///
/// # Errors
/// [`StartError::ForeignSeat`] where the node has no seat of its own: most likely its keys are not its own.
pub(crate) fn chain_config(
    rules: ChainRules,
    executed: Height,
    own_node: NodeIndex,
    mut keys: Vec<SecretKey>,
) -> Result<ChainConfig, StartError> {
    let chain = rules.chain.0;
    let config = ChainConfig::after(rules, executed, own_node, keys.clone());
    let Some(NodeIndex(node)) = config.foreign_seat() else { return Ok(config) };
    if config.own_validator.is_none() {
        return Err(StartError::ForeignSeat { chain, node });
    }
    tracing::warn!(chain, node, "a consensus key of this node is listed for another one: it is not used");
    keys.retain(|key| {
        let is_foreign =
            |seat: &ValidatorRecord| seat.node != own_node && seat.consensus_key == key.public_key();
        !config.validators().iter().any(is_foreign)
    });
    Ok(ChainConfig::after(config.rules, executed, own_node, keys))
}

/// A chain as genesis describes it, or, of one that was added later, as its own registry does.
///
/// # Errors
/// [`StartError::NoSuchChain`] where neither has it.
pub(crate) fn chain_spec(spec: &GenesisSpec, rules: &ChainRules) -> Result<ChainSpec, StartError> {
    let chain = rules.chain;
    if let Some(named) = spec.chain(chain) {
        return Ok(named.clone());
    }
    let record = rules.registry.chain(chain).ok_or(StartError::NoSuchChain { chain: chain.0 })?;
    let first = record.epochs.first().map_or(&record.wanted, |epoch| &epoch.validators);
    let (params, validators) = (record.params.clone(), first.clone());
    Ok(ChainSpec { chain, currency: record.currency, shard: record.shard, params, validators })
}

/// Whose database a chain's is.
pub(crate) fn identity(spec: &GenesisSpec, id: ChainId) -> Identity {
    Identity { schema_version: SCHEMA_VERSION, genesis: spec.hash().0, chain: id.0 }
}

/// How databases are opened: the chains share the node's memory equally, and none gets less than a database needs.
pub(crate) fn store_options(config: &NodeConfig) -> RocksOptions {
    let chains = u64::try_from(config.node.chains.len()).unwrap_or(u64::MAX).max(1);
    let share =
        |bytes: u64| usize::try_from((bytes / chains).max(MEMORY_BYTES_BOUNDS.0)).unwrap_or(usize::MAX);
    RocksOptions {
        cache_bytes: share(config.storage.cache_bytes),
        write_buffer_bytes: share(config.storage.write_buffer_bytes),
        ..RocksOptions::default()
    }
}

/// The database of a chain.
pub(crate) fn store_directory(config: &NodeConfig, id: ChainId) -> PathBuf {
    chain_directory(config, id).join("store")
}

/// Where a chain keeps everything.
pub(crate) fn chain_directory(config: &NodeConfig, id: ChainId) -> PathBuf {
    config.node.data_directory.join(format!("chain-{}", id.0))
}

#[cfg(test)]
mod tests {
    use genesis::dev::{LocalnetPlan, localnet};

    use super::*;
    use crate::config::CHAINS_HOSTED_MAX;

    #[test]
    fn chains_share_the_memory_of_a_node() {
        let text = "[node]\ngenesis = \"g\"\ndata_directory = \"d\"\nCHAINS\n\
            [keys]\nnetwork_key = \"n\"\npassphrase_file = \"p\"\n[storage]\ncache_bytes = 50331648\nwrite_buffer_bytes = 16777216\n";
        for (chains, cache_mb, buffer_mb) in
            [("", 48, 16), ("chains = [0, 1]", 24, 8), ("chains = [2, 5, 3]", 16, 8)]
        {
            let config = NodeConfig::parse(&text.replace("CHAINS", chains)).unwrap();
            let options = store_options(&config);
            assert_eq!(
                (options.cache_bytes >> 20, options.write_buffer_bytes >> 20),
                (cache_mb, buffer_mb),
                "{chains}"
            );
        }
    }

    #[test]
    fn a_key_that_is_listed_for_another_bank_stops_only_who_has_no_seat() {
        let network = localnet(&LocalnetPlan::new(4), &[3; 32]).unwrap();
        let rules = ChainRules::at_genesis(&network.spec, ChainId(0)).unwrap();
        let key = |bank: usize| network.banks[bank].validators[0].2.clone();
        let config = |keys: Vec<SecretKey>| chain_config(rules.clone(), Height(0), NodeIndex(0), keys);
        let own = config(vec![key(0)]).unwrap();
        assert!(own.own_validator.is_some() && own.foreign_seat().is_none());
        for keys in [vec![key(0), key(2)], vec![key(2), key(0)]] {
            let listed = config(keys).unwrap();
            assert_eq!(listed.own_validator, own.own_validator);
            assert_eq!(listed.foreign_seat(), None, "the key of another seat is gone");
        }
        assert!(matches!(config(vec![key(2)]), Err(StartError::ForeignSeat { chain: 0, node: 2 })));
    }

    #[test]
    fn a_chain_that_was_added_later_is_described_by_its_registry() {
        let spec = localnet(&LocalnetPlan::new(4), &[3; 32]).unwrap().spec;
        let rules = ChainRules::at_genesis(&spec, ChainId(0)).unwrap();
        assert_eq!(chain_spec(&spec, &rules).unwrap(), spec.chains[0]);
        let mut registry = (*rules.registry).clone();
        let mut child = registry.chains[0].clone();
        (child.chain, child.shard, child.params.block_pace_ms) = (ChainId(1), 1, 77);
        registry.chains.push(child);
        let rules = ChainRules::new(spec.hash(), Arc::new(registry), ChainId(1)).unwrap();
        let found = chain_spec(&spec, &rules).unwrap();
        assert_eq!((found.chain, found.shard, found.params.block_pace_ms), (ChainId(1), 1, 77));
        assert_eq!(
            (found.currency, found.validators),
            (spec.chains[0].currency, spec.chains[0].validators.clone())
        );
    }

    #[test]
    fn as_many_chains_as_may_be_hosted_fit_into_the_lanes_of_the_network() {
        let lanes: Vec<_> = (0..).take(CHAINS_HOSTED_MAX).flat_map(lanes_of).chain([relay_lane()]).collect();
        assert!(lanes.len() <= network::limits::LANES_MAX && lanes_of(0).len() == LANES_PER_CHAIN);
        assert_eq!(lanes.len(), CHAINS_HOSTED_MAX * LANES_PER_CHAIN + relay::RELAY_LANES);
    }
}
