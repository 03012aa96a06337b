//! Contributions made of small numbers, for the tests of this crate.

use ledger::records::{ChainParams, GenesisSpec, OperatorRole, Policy, Registry};
use ledger::values::{ChainId, Currency, SecretKey, TimestampMs};

use crate::contribution::{Contribution, NodeOffer, OperatorOffer};
use crate::error::GenesisError;
use crate::governance::Draft;
use crate::template::Template;

/// Two chains.
pub(crate) fn template() -> Template {
    let chains = [(Currency(*b"CNY"), 0), (Currency(*b"USD"), 0)];
    Template::new("testnet".into(), TimestampMs(1_000), &chains, &ChainParams::default()).unwrap()
}

/// Whose keys a contribution uses.
pub(crate) struct Keys {
    pub(crate) name: String,
    pub(crate) operator: u8,
    pub(crate) address: u8,
    pub(crate) network: u8,
    pub(crate) consensus: u8,
}

fn secret(purpose: u8, owner: u8) -> SecretKey {
    SecretKey::from_seed([purpose, owner].repeat(16).try_into().unwrap())
}

/// The cold key of an operator.
pub(crate) fn operator_key(owner: u8) -> SecretKey {
    secret(1, owner)
}

/// The network key of a bank's node.
pub(crate) fn network_key(owner: u8) -> SecretKey {
    secret(2, owner)
}

/// A bank with one node and a validator on both chains.
pub(crate) fn contribution(bank: u8) -> Contribution {
    contribution_with(bank, |_| ())
}

/// The same with some keys of somebody else.
pub(crate) fn contribution_with(bank: u8, change: impl FnOnce(&mut Keys)) -> Contribution {
    let mut keys =
        Keys { name: format!("bank-{bank}"), operator: bank, address: bank, network: bank, consensus: bank };
    change(&mut keys);
    let consensus = [secret(10, keys.consensus), secret(11, keys.consensus)];
    let consensus = [(ChainId(0), &consensus[0]), (ChainId(1), &consensus[1])];
    let (operator, network) = (operator_key(keys.operator), secret(2, keys.network));
    let address = format!("10.0.0.{}:7000", keys.address);
    let node = NodeOffer::prove(&template(), operator.public_key(), &address, &network, &consensus).unwrap();
    Contribution::sign(&template(), offer(bank, keys.name), vec![node], &operator).unwrap()
}

/// A bank that brings these nodes.
pub(crate) fn contribution_of(bank: u8, nodes: Vec<NodeOffer>) -> Result<Contribution, GenesisError> {
    Contribution::sign(&template(), offer(bank, format!("bank-{bank}")), nodes, &operator_key(bank))
}

/// The central bank, without a node.
pub(crate) fn central_bank() -> Contribution {
    let mut offer = offer(0, "people's bank".into());
    offer.role = OperatorRole::CentralBank;
    Contribution::sign(&template(), offer, Vec::new(), &operator_key(0)).unwrap()
}

fn offer(bank: u8, name: String) -> OperatorOffer {
    OperatorOffer {
        name,
        role: OperatorRole::Bank,
        wallet_policy: Policy::single(secret(3, bank).public_key()),
    }
}

/// Four banks and a central bank; every bank votes on both chains.
pub(crate) fn spec() -> GenesisSpec {
    let everybody: Vec<_> = std::iter::once(central_bank()).chain((1..=4).map(contribution)).collect();
    crate::merge(&template(), &everybody).unwrap().spec().unwrap()
}

/// A proposal without changes for that network.
pub(crate) fn draft() -> Draft {
    Draft::new(Registry::from_genesis(&spec()))
}
