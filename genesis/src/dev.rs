//! A ready network for one machine and for tests: every key from one seed.
//!
//! The central bank is operator 0 and runs no node. Bank `i` (from 0) is operator `i + 1`, runs node `i` and
//! one validator on every chain. With a random seed ([`random_seed`]) the keys are as good as any; with a
//! fixed one the network, genesis hash included, is the same every time. Real networks use the ceremony
//! instead, where no machine ever sees all keys.

use ledger::proofs::{CertifiedResult, FinalityProof, RegistryProof, SetChain};
use ledger::records::registry::ROOT_CHAIN;
use ledger::records::{
    BlockBody, BlockHeader, ChainParams, ChainSpec, Claim, GenesisSpec, NodeRecord, OperatorRecord,
    OperatorRole, Policy, Registry, ValidatorRecord,
};
use ledger::state::{ChainState, GenesisFault};
use ledger::values::{
    BlockDigest, Canonical as _, ChainId, Currency, Epoch, FeeRate, Hasher, Height, NodeIndex, OperatorId,
    ResultHash, SecretKey, TimestampMs, ValidatorIndex, View,
};
use zeroize::Zeroizing;

use crate::error::GenesisError;

/// What the network should look like.
#[derive(Debug, Clone)]
pub struct LocalnetPlan {
    /// Name for people.
    pub network: String,
    /// The timestamp of height 0.
    pub timestamp: TimestampMs,
    /// `host:port` for peers of each bank's node; their number is the number of banks.
    pub addresses: Vec<String>,
    /// Currency and shard of each chain, by id.
    pub chains: Vec<(Currency, u16)>,
    /// Parameters of every chain.
    pub params: ChainParams,
}

impl LocalnetPlan {
    /// `banks` banks, one chain of `CNY`, the default parameters, nodes on loopback from port 7000, height 0
    /// at 2026-01-01 UTC.
    #[must_use]
    pub fn new(banks: usize) -> Self {
        Self {
            network: "localnet".to_owned(),
            timestamp: TimestampMs(1_767_225_600_000),
            addresses: (0..banks).map(|bank| format!("127.0.0.1:{}", 7_000 + bank)).collect(),
            chains: vec![(Currency(*b"CNY"), 0)],
            params: ChainParams::default(),
        }
    }
}

/// The secrets of an operator.
#[derive(Debug, Clone)]
pub struct OperatorSecrets {
    /// Its id.
    pub id: OperatorId,
    /// The cold key.
    pub operator_key: SecretKey,
    /// The one key of its hot wallet's policy.
    pub wallet_key: SecretKey,
}

/// The secrets of a bank.
#[derive(Debug, Clone)]
pub struct BankSecrets {
    /// As an operator.
    pub operator: OperatorSecrets,
    /// Its node.
    pub node: NodeIndex,
    /// The node's network key.
    pub network_key: SecretKey,
    /// Per chain: the seat in the first validator set and the key it votes with.
    pub validators: Vec<(ChainId, ValidatorIndex, SecretKey)>,
}

/// A network with everything that runs it.
#[derive(Debug, Clone)]
pub struct Localnet {
    /// The genesis.
    pub spec: GenesisSpec,
    /// Operator 0.
    pub central_bank: OperatorSecrets,
    /// Operators 1 and up, in order.
    pub banks: Vec<BankSecrets>,
}

/// A seed from the operating system.
///
/// # Errors
/// [`GenesisError::Randomness`].
pub fn random_seed() -> Result<Zeroizing<[u8; 32]>, GenesisError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(GenesisError::Randomness)?;
    Ok(seed)
}

/// Builds a network. The same plan and seed give the same network.
///
/// # Errors
/// [`GenesisError::Spec`] when the plan is no valid genesis, such as with fewer than four banks.
pub fn localnet(plan: &LocalnetPlan, seed: &[u8; 32]) -> Result<Localnet, GenesisError> {
    let central_bank = operator(seed, 0);
    let mut operators =
        vec![operator_record("central-bank".to_owned(), OperatorRole::CentralBank, &central_bank)];
    let (mut nodes, mut banks) = (Vec::new(), Vec::new());
    let mut chains: Vec<ChainSpec> =
        (0_u32..).zip(&plan.chains).map(|(id, chain)| chain_spec(plan, id, *chain)).collect();
    for (bank, address) in (0_u16..).zip(&plan.addresses) {
        let secrets = operator(seed, bank.saturating_add(1));
        operators.push(operator_record(format!("bank-{}", secrets.id), OperatorRole::Bank, &secrets));
        let network_key = key(seed, "network", bank, 0);
        nodes.push(NodeRecord {
            operator: secrets.id,
            network_key: network_key.public_key(),
            address: address.clone(),
        });
        let mut validators = Vec::new();
        for chain in &mut chains {
            let secret = key(seed, "consensus", bank, chain.chain.0);
            let consensus_key = secret.public_key();
            chain.validators.push(ValidatorRecord {
                operator: secrets.id,
                node: NodeIndex(bank),
                consensus_key,
            });
            validators.push((chain.chain, ValidatorIndex(0), secret));
        }
        banks.push(BankSecrets { operator: secrets, node: NodeIndex(bank), network_key, validators });
    }
    for chain in &mut chains {
        chain.validators.sort_unstable_by_key(|validator| validator.consensus_key);
    }
    seat(&mut banks, &chains);
    let spec =
        GenesisSpec { network: plan.network.clone(), timestamp: plan.timestamp, operators, nodes, chains };
    spec.check()?;
    Ok(Localnet { spec, central_bank, banks })
}

/// Seats are known only once the sets are sorted.
fn seat(banks: &mut [BankSecrets], chains: &[ChainSpec]) {
    for bank in banks {
        for ((_, index, _), chain) in bank.validators.iter_mut().zip(chains) {
            let seats = (0_u16..).zip(&chain.validators);
            if let Some((place, _)) = seats.into_iter().find(|(_, validator)| validator.node == bank.node) {
                *index = ValidatorIndex(place);
            }
        }
    }
}

fn chain_spec(plan: &LocalnetPlan, id: u32, (currency, shard): (Currency, u16)) -> ChainSpec {
    ChainSpec { chain: ChainId(id), currency, shard, params: plan.params.clone(), validators: Vec::new() }
}

fn operator(seed: &[u8; 32], id: u16) -> OperatorSecrets {
    OperatorSecrets {
        id: OperatorId(id),
        operator_key: key(seed, "operator", id, 0),
        wallet_key: key(seed, "wallet", id, 0),
    }
}

fn operator_record(name: String, role: OperatorRole, secrets: &OperatorSecrets) -> OperatorRecord {
    let wallet_policy = Policy::single(secrets.wallet_key.public_key());
    OperatorRecord { name, role, key: secrets.operator_key.public_key(), wallet_policy }
}

/// The key for a purpose; `owner` and `chain` number keys of one purpose.
fn key(seed: &[u8; 32], purpose: &str, owner: u16, chain: u32) -> SecretKey {
    let hasher =
        Hasher::new("jiaozi/localnet-key").bytes(seed).number(u64::from(owner)).number(u64::from(chain));
    SecretKey::from_seed(hasher.bytes(purpose.as_bytes()).finish().0)
}

/// The registry of genesis as a proof that nobody has certified: for tests of what carries and shows one.
///
/// # Errors
/// Of a spec without chain 0.
pub fn uncertified_registry(spec: &GenesisSpec) -> Result<RegistryProof, GenesisFault> {
    let (state, _, result) = ChainState::genesis(spec, ROOT_CHAIN)?;
    let (epoch, view) = (Epoch(0), View(1));
    let header = BlockHeader {
        chain: ROOT_CHAIN,
        epoch,
        view,
        height: Height(1),
        parent: BlockDigest([1; 32]),
        timestamp: TimestampMs(1),
        proposer: ValidatorIndex(0),
        weight: 0,
        base_fee: FeeRate::ZERO,
        claim: Claim { height: Height(0), result: ResultHash([1; 32]) },
        body: BlockBody::default().hash(),
    };
    let (parent_view, digest) = (View(0), BlockDigest([2; 32]));
    let finality = FinalityProof { chain: ROOT_CHAIN, epoch, view, parent_view, digest, bytes: vec![0] };
    Ok(RegistryProof {
        genesis: spec.hash(),
        sets: SetChain::default(),
        registry: Registry::from_genesis(spec),
        parts: state.parts(),
        certified: CertifiedResult { result, links: Vec::new(), header, finality },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bank_i_runs_node_i_and_holds_the_key_of_its_seat() {
        let mut plan = LocalnetPlan::new(7);
        plan.chains.push((Currency(*b"USD"), 0));
        let network = localnet(&plan, &[3; 32]).unwrap();
        assert_eq!(network.spec.operators.len(), 8);
        for (place, bank) in network.banks.iter().enumerate() {
            assert_eq!(usize::from(bank.node.0), place);
            assert_eq!(usize::from(bank.operator.id.0), place + 1);
            assert_eq!(network.spec.nodes[place].network_key, bank.network_key.public_key());
            assert_eq!(bank.validators.len(), 2);
            for (chain, seat, secret) in &bank.validators {
                let record = network.spec.chain(*chain).unwrap().validators[usize::from(seat.0)];
                assert_eq!((record.consensus_key, record.node), (secret.public_key(), bank.node));
            }
        }
    }

    #[test]
    fn a_seed_fixes_the_network_and_another_changes_every_key() {
        let plan = LocalnetPlan::new(4);
        let (one, same, other) =
            (localnet(&plan, &[1; 32]), localnet(&plan, &[1; 32]), localnet(&plan, &[2; 32]));
        let (one, same, other) = (one.unwrap().spec, same.unwrap().spec, other.unwrap().spec);
        assert_eq!(one.hash(), same.hash());
        assert!(
            one.operators
                .iter()
                .zip(&other.operators)
                .all(|(a, b)| a.key != b.key && a.wallet_policy != b.wallet_policy)
        );
        assert!(one.nodes.iter().zip(&other.nodes).all(|(a, b)| a.network_key != b.network_key));
    }

    #[test]
    fn too_few_banks_are_refused() {
        assert!(matches!(localnet(&LocalnetPlan::new(3), &[1; 32]), Err(GenesisError::Spec(_))));
    }

    #[test]
    fn random_seeds_differ() {
        assert_ne!(*random_seed().unwrap(), *random_seed().unwrap());
    }
}
