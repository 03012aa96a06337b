//! The registry: who the operators, nodes and validators are. Part of the state; changed by governance only.

use wincode::{SchemaRead, SchemaWrite};

use super::genesis::GenesisSpec;
use super::policy::Policy;
use crate::values::{
    BlockDigest, Canonical, ChainId, Currency, Epoch, GenesisHash, Hasher, Height, NodeIndex, OperatorId,
    PublicKey, RegistryHash, ValidatorIndex, WalletId,
};

/// What an operator is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub enum OperatorRole {
    /// Issues money. Exactly one per network.
    CentralBank,
    /// Opens wallets and runs validators.
    Bank,
}

/// A bank or the central bank.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct OperatorRecord {
    /// A name for people, 1 to 64 bytes; not unique by rule, shown with the id.
    pub name: String,
    /// What it is.
    pub role: OperatorRole,
    /// The cold key: governance and ceremony only.
    pub key: PublicKey,
    /// Policy of its own hot wallet, which exists on every chain from genesis.
    pub wallet_policy: Policy,
}

/// A process of an operator.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct NodeRecord {
    /// Whose it is.
    pub operator: OperatorId,
    /// Its libp2p identity.
    pub network_key: PublicKey,
    /// `host:port` for peers, at most 255 bytes.
    pub address: String,
}

/// An operator's voting identity on a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct ValidatorRecord {
    /// Whose it is.
    pub operator: OperatorId,
    /// The node that runs it.
    pub node: NodeIndex,
    /// The key it votes and seals with.
    pub consensus_key: PublicKey,
}

/// How an epoch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct EpochClose {
    /// Its last height.
    pub height: Height,
    /// The block there.
    pub digest: BlockDigest,
}

/// One epoch of a chain (PROTOCOL rule 2).
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct EpochRecord {
    /// Its number, from 0.
    pub epoch: Epoch,
    /// Its first height.
    pub first_height: Height,
    /// The set, strictly ascending by consensus key.
    pub validators: Vec<ValidatorRecord>,
    /// Its end, once certified.
    pub close: Option<EpochClose>,
}

/// The registry as a chain's state holds it.
#[derive(Debug, Clone, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Registry {
    /// Operators by id.
    pub operators: Vec<OperatorRecord>,
    /// Nodes by index.
    pub nodes: Vec<NodeRecord>,
    /// Epochs of every chain, by chain id, then ascending.
    pub epochs: Vec<(ChainId, Vec<EpochRecord>)>,
}

impl Registry {
    /// The registry that a network starts with.
    #[must_use]
    pub fn from_genesis(spec: &GenesisSpec) -> Self {
        let first = |chain: &super::genesis::ChainSpec| EpochRecord {
            epoch: Epoch(0),
            first_height: Height(1),
            validators: chain.validators.clone(),
            close: None,
        };
        Self {
            operators: spec.operators.clone(),
            nodes: spec.nodes.clone(),
            epochs: spec.chains.iter().map(|chain| (chain.chain, vec![first(chain)])).collect(),
        }
    }

    /// An epoch of a chain.
    #[must_use]
    pub fn epoch(&self, chain: ChainId, epoch: Epoch) -> Option<&EpochRecord> {
        let (_, epochs) = self.epochs.iter().find(|(id, _)| *id == chain)?;
        epochs.iter().find(|record| record.epoch == epoch)
    }

    /// The validators of a chain's epoch, by index; empty when unknown.
    #[must_use]
    pub fn validators(&self, chain: ChainId, epoch: Epoch) -> &[ValidatorRecord] {
        self.epoch(chain, epoch).map_or(&[], |record| record.validators.as_slice())
    }

    /// One validator.
    #[must_use]
    pub fn validator(&self, chain: ChainId, epoch: Epoch, index: ValidatorIndex) -> Option<&ValidatorRecord> {
        self.validators(chain, epoch).get(usize::from(index.0))
    }

    /// An operator.
    #[must_use]
    pub fn operator(&self, id: OperatorId) -> Option<&OperatorRecord> {
        self.operators.get(usize::from(id.0))
    }

    /// The id of an operator's own wallet for a currency.
    #[must_use]
    pub fn operator_wallet(
        &self,
        genesis: GenesisHash,
        currency: Currency,
        id: OperatorId,
    ) -> Option<WalletId> {
        let policy = &self.operator(id)?.wallet_policy;
        Some(WalletId::derive(genesis, currency, policy.hash(), &operator_salt(id)))
    }

    /// The hash that the state root commits to.
    #[must_use]
    pub fn hash(&self) -> RegistryHash {
        Hasher::new("jiaozi/registry").bytes(&self.encode()).finish().into()
    }
}

/// Salt of an operator's own wallet: its id, so two operators with one policy still differ.
#[must_use]
pub fn operator_salt(id: OperatorId) -> [u8; 16] {
    let mut salt = *b"operator........";
    let (_, tail) = salt.split_at_mut(14);
    tail.copy_from_slice(&id.0.to_be_bytes());
    salt
}

impl Canonical for Registry {
    const NAME: &'static str = "registry";
    const BYTES_MAX: usize = 16 * 1_024 * 1_024;
}
