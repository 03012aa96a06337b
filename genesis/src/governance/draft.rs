//! Changes as operators ask for them, on a working copy of the registry: each is tried at once, as the root chain will do it, and
//! the next one builds on it.

use ledger::records::change::CHANGES_MAX;
use ledger::records::{ChainRecord, Change, GenesisSpec, NodeRecord, Proposal, Registry, ValidatorRecord};
use ledger::rules::{apply_change, apply_proposed, check_on_root};
use ledger::values::quorum::{VALIDATORS_MAX, VALIDATORS_MIN};
use ledger::values::{
    Amount, Canonical as _, ChainId, Currency, GenesisHash, NodeIndex, OperatorId, PublicKey, TimestampMs,
};

use super::diff::operator_name;
use super::error::GovernanceError;
use super::key_proofs::{KeyProofs, Possession};
use super::seat::SeatOffer;
use super::{growth, params};
use crate::contribution::Contribution;
use crate::template::Template;
use crate::text;

/// Changes under construction.
#[derive(Debug, Clone)]
pub struct Draft {
    version: u64,
    registry: Registry,
    changes: Vec<Change>,
    proofs: KeyProofs,
}

/// What a proposal says besides its changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Why, for people.
    pub reason: String,
    /// Applied in a block up to then.
    pub valid_until: TimestampMs,
    /// Whether new sets need not wait for the day of the running epoch to pass.
    pub is_urgent: bool,
}

impl Draft {
    /// Nothing changes yet.
    #[must_use]
    pub const fn new(registry: Registry) -> Self {
        let proofs = KeyProofs { contributions: Vec::new(), seats: Vec::new(), possessions: Vec::new() };
        Self { version: registry.version, registry, changes: Vec::new(), proofs }
    }

    /// Goes on with the changes of a proposal and the proofs of its keys.
    ///
    /// # Errors
    /// [`GovernanceError::Change`] when they do not fit the registry.
    pub fn with(mut self, changes: &[Change], proofs: &KeyProofs) -> Result<Self, GovernanceError> {
        changes.iter().try_for_each(|change| self.push(change.clone()))?;
        self.proofs.clone_from(proofs);
        Ok(self)
    }

    /// What proves the keys of the changes so far.
    #[must_use]
    pub const fn proofs(&self) -> &KeyProofs {
        &self.proofs
    }

    /// Takes a key's word for what it is for ([`super::possession::prove`]); whether it is right, the proposal's file asks.
    ///
    /// # Errors
    /// [`GovernanceError::Text`] when it is no signature.
    pub fn prove(&mut self, key: PublicKey, possession: &str) -> Result<(), GovernanceError> {
        let signature = text::signature_text(text::signature("possession", possession)?);
        self.proofs.possessions.push(Possession { key: key.to_string(), signature });
        Ok(())
    }

    /// The registry with the changes so far.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The proposal.
    ///
    /// # Errors
    /// [`GovernanceError::Content`] when it is empty or too large.
    pub fn proposal(self, terms: Terms) -> Result<Proposal, GovernanceError> {
        let Terms { reason, valid_until, is_urgent } = terms;
        let proposal =
            Proposal { version: self.version, valid_until, is_urgent, reason, changes: self.changes };
        proposal.check()?;
        Ok(proposal)
    }

    /// A bank joins with what its contribution brings: itself, its nodes and, unless it is to follow first, its validators.
    ///
    /// # Errors
    /// [`GovernanceError`]: the contribution is not valid for the network's template, or something in it is taken.
    pub fn add_operator(
        &mut self,
        spec: &GenesisSpec,
        contribution: &Contribution,
        follows_first: bool,
    ) -> Result<OperatorId, GovernanceError> {
        let part = contribution.verify(&Template::of(spec))?;
        let [operator] = part.operators.as_slice() else {
            return Err(GovernanceError::NotOneOperator);
        };
        let id = OperatorId(next_place(self.registry.operators.len()));
        let first_node = next_place(self.registry.nodes.len());
        self.push(Change::AddOperator(operator.clone()))?;
        for node in part.nodes {
            self.push(Change::AddNode(NodeRecord { operator: id, ..node }))?;
        }
        for chain in part.chains.into_iter().filter(|_| !follows_first) {
            for validator in chain.validators {
                let node = NodeIndex(first_node.saturating_add(validator.node.0));
                let validator = ValidatorRecord { operator: id, node, ..validator };
                self.push(Change::AddValidator { chain: chain.chain, validator })?;
            }
        }
        self.proofs.contributions.push(contribution.clone());
        Ok(id)
    }

    /// An operator leaves, with its nodes and validators.
    ///
    /// # Errors
    /// [`GovernanceError::Change`].
    pub fn retire_operator(&mut self, operator: OperatorId) -> Result<(), GovernanceError> {
        self.push(Change::RetireOperator { operator })
    }

    /// An operator's cold key becomes another.
    ///
    /// # Errors
    /// [`GovernanceError::Change`].
    pub fn replace_operator_key(
        &mut self,
        operator: OperatorId,
        key: PublicKey,
    ) -> Result<(), GovernanceError> {
        self.push(Change::ReplaceOperatorKey { operator, key })
    }

    /// An operator gets one more node.
    ///
    /// # Errors
    /// [`GovernanceError`].
    pub fn add_node(
        &mut self,
        operator: OperatorId,
        network_key: PublicKey,
        address: &str,
    ) -> Result<NodeIndex, GovernanceError> {
        text::check_address("address", address)?;
        let index = NodeIndex(next_place(self.registry.nodes.len()));
        self.push(Change::AddNode(NodeRecord { operator, network_key, address: address.to_owned() }))?;
        Ok(index)
    }

    /// A node is reached elsewhere.
    ///
    /// # Errors
    /// [`GovernanceError`].
    pub fn move_node(&mut self, node: NodeIndex, address: &str) -> Result<(), GovernanceError> {
        text::check_address("address", address)?;
        self.push(Change::MoveNode { node, address: address.to_owned() })
    }

    /// A node's network key becomes another.
    ///
    /// # Errors
    /// [`GovernanceError::Change`].
    pub fn replace_network_key(&mut self, node: NodeIndex, key: PublicKey) -> Result<(), GovernanceError> {
        self.push(Change::ReplaceNetworkKey { node, key })
    }

    /// A node is taken away.
    ///
    /// # Errors
    /// [`GovernanceError::Change`].
    pub fn retire_node(&mut self, node: NodeIndex) -> Result<(), GovernanceError> {
        self.push(Change::RetireNode { node })
    }

    /// A node's operator gets a validator on a chain.
    ///
    /// # Errors
    /// [`GovernanceError::Change`].
    pub fn add_validator(
        &mut self,
        chain: ChainId,
        node: NodeIndex,
        consensus_key: PublicKey,
    ) -> Result<(), GovernanceError> {
        let record = self.registry.node(node).ok_or(GovernanceError::NodeUnknown { node })?;
        let validator = ValidatorRecord { operator: record.operator, node, consensus_key };
        self.push(Change::AddValidator { chain, validator })
    }

    /// A validator leaves a chain.
    ///
    /// # Errors
    /// [`GovernanceError::Change`].
    pub fn remove_validator(
        &mut self,
        chain: ChainId,
        consensus_key: PublicKey,
    ) -> Result<(), GovernanceError> {
        self.push(Change::RemoveValidator { chain, consensus_key })
    }

    /// A validator votes with another key.
    ///
    /// # Errors
    /// [`GovernanceError::Change`].
    pub fn replace_consensus_key(
        &mut self,
        chain: ChainId,
        old: PublicKey,
        new: PublicKey,
    ) -> Result<(), GovernanceError> {
        self.push(Change::ReplaceConsensusKey { chain, old, new })
    }

    /// A parameter of a chain gets another value. Several of one chain become one change.
    ///
    /// # Errors
    /// [`GovernanceError`].
    pub fn set_param(&mut self, chain: ChainId, name: &str, value: &str) -> Result<(), GovernanceError> {
        let mut params = self.chain(chain)?.params.clone();
        params::set(&mut params, name, value)?;
        match self.changes.last_mut() {
            Some(Change::SetParams { chain: last, params: so_far }) if *last == chain => {
                so_far.clone_from(&params);
                let change = Change::SetParams { chain, params };
                self.registry = self.applied(&change)?;
                Ok(())
            }
            _ => self.push(Change::SetParams { chain, params }),
        }
    }

    /// A chain is added: the child of `parent`, with the validators that nodes offer for the next free id.
    ///
    /// # Errors
    /// [`GovernanceError`]: an offer is not valid, or the parent may have no child now.
    pub fn add_chain(
        &mut self,
        genesis: GenesisHash,
        parent: ChainId,
        offers: &[SeatOffer],
    ) -> Result<ChainId, GovernanceError> {
        self.chain(parent)?;
        let chain = growth::next_chain(&self.registry);
        let seats = offers.iter().map(|offer| offer.verify(genesis, &self.registry, chain));
        let mut validators = seats.collect::<Result<Vec<ValidatorRecord>, _>>()?;
        check_offered(&validators)?;
        validators.sort_unstable_by_key(|validator| validator.consensus_key);
        self.push(Change::AddChain { parent, validators })?;
        self.proofs.seats.extend(offers.iter().cloned());
        Ok(chain)
    }

    /// The shards of a currency double: every chain gives its child half of its wallets.
    ///
    /// # Errors
    /// [`GovernanceError`]: the network does not have it, or a shard has no child that is ready.
    pub fn reshard(&mut self, currency: Currency) -> Result<(), GovernanceError> {
        if growth::homes(&self.registry, currency).next().is_none() {
            let mut known: Vec<String> =
                self.registry.chains.iter().map(|record| record.currency.to_string()).collect();
            known.sort_unstable();
            known.dedup();
            return Err(GovernanceError::CurrencyUnknown { currency, known });
        }
        self.push(Change::Reshard { currency })
    }

    /// A child that never reported is given up; its parent may have another one.
    ///
    /// # Errors
    /// [`GovernanceError`]: there is no such child, or it runs.
    pub fn remove_chain(&mut self, chain: ChainId) -> Result<(), GovernanceError> {
        self.push(Change::RemoveChain { chain })
    }

    /// Fees that a chain has collected go to an operator's own wallet there: up to `amount`, as much as there is.
    ///
    /// # Errors
    /// [`GovernanceError`]: no such chain or operator, or nothing to pay.
    pub fn spend_fees(
        &mut self,
        chain: ChainId,
        operator: OperatorId,
        amount: Amount,
    ) -> Result<(), GovernanceError> {
        self.chain(chain)?;
        self.push(Change::SpendFees { chain, operator, amount })
    }

    /// The currency of a chain, after the changes so far.
    ///
    /// # Errors
    /// [`GovernanceError::ChainUnknown`].
    pub fn currency(&self, chain: ChainId) -> Result<Currency, GovernanceError> {
        self.chain(chain).map(|record| record.currency)
    }

    /// An operator by its id or its name.
    ///
    /// # Errors
    /// [`GovernanceError`] when there is none, or several share the name.
    pub fn operator(&self, text: &str) -> Result<OperatorId, GovernanceError> {
        let known = (0_u16..).map(OperatorId).zip(&self.registry.operators);
        let named: Vec<OperatorId> = match text.parse() {
            Ok(id) => known.map(|(known, _)| known).filter(|known| *known == id).collect(),
            Err(_) => known.filter(|(_, record)| record.name == text).map(|(known, _)| known).collect(),
        };
        match named.as_slice() {
            [operator] => Ok(*operator),
            [] => Err(GovernanceError::OperatorUnknown { text: text.to_owned() }),
            _ => Err(GovernanceError::OperatorAmbiguous { name: text.to_owned() }),
        }
    }

    /// The key with which an operator's only validator on a chain votes after the changes so far.
    ///
    /// # Errors
    /// [`GovernanceError`] when it has none, or several.
    pub fn consensus_key(&self, chain: ChainId, operator: OperatorId) -> Result<PublicKey, GovernanceError> {
        let record = self.chain(chain)?;
        let mut seats = record.wanted.iter().filter(|validator| validator.operator == operator);
        let named = || operator_name(&self.registry, operator);
        match (seats.next(), seats.next()) {
            (Some(seat), None) => Ok(seat.consensus_key),
            (None, _) => Err(GovernanceError::NoValidator { chain, name: named() }),
            _ => Err(GovernanceError::SeveralValidators { chain, name: named() }),
        }
    }

    fn chain(&self, chain: ChainId) -> Result<&ChainRecord, GovernanceError> {
        self.registry.chain(chain).ok_or(GovernanceError::ChainUnknown { chain })
    }

    fn push(&mut self, change: Change) -> Result<(), GovernanceError> {
        if self.changes.len() >= CHANGES_MAX {
            return Err(GovernanceError::TooManyChanges);
        }
        change.check()?;
        self.registry = self.applied(&change)?;
        self.changes.push(change);
        Ok(())
    }

    fn applied(&self, change: &Change) -> Result<Registry, GovernanceError> {
        let number = self.changes.len() + 1;
        check_on_root(&self.registry, change)
            .and_then(|()| apply_change(&self.registry, change))
            .map_err(|fault| GovernanceError::Change { number, fault })
    }
}

/// The registry as the root chain makes it of a proposal.
///
/// # Errors
/// [`GovernanceError::Stale`] or [`GovernanceError::Change`].
pub(super) fn applied(registry: &Registry, proposal: &Proposal) -> Result<Registry, GovernanceError> {
    if proposal.version != registry.version {
        let (version, known) = (proposal.version, registry.version);
        return Err(GovernanceError::Stale { version, known });
    }
    let mut after = registry.clone();
    for (number, change) in (1_usize..).zip(&proposal.changes) {
        after = check_on_root(&after, change)
            .and_then(|()| apply_proposed(&after, change, proposal.is_urgent))
            .map_err(|fault| GovernanceError::Change { number, fault })?;
    }
    after.version = after.version.saturating_add(1);
    Ok(after)
}

/// What the ledger would refuse of a set without saying what to do about files.
fn check_offered(validators: &[ValidatorRecord]) -> Result<(), GovernanceError> {
    let mut nodes: Vec<NodeIndex> = validators.iter().map(|validator| validator.node).collect();
    nodes.sort_unstable();
    if let Some([node, ..]) = nodes.windows(2).find(|pair| pair.first() == pair.last()) {
        return Err(GovernanceError::OfferTwice { node: *node });
    }
    if !(VALIDATORS_MIN..=VALIDATORS_MAX).contains(&validators.len()) {
        return Err(GovernanceError::OffersCount { count: validators.len() });
    }
    Ok(())
}

/// Ids are places: the next free one. The ledger refuses more than 16 bits hold.
fn next_place(taken: usize) -> u16 {
    u16::try_from(taken).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use ledger::values::SecretKey;

    use super::*;
    use crate::governance::diff::{differences, lines, spendings};
    use crate::test_support::{central_bank, contribution, contribution_with, draft, spec};

    fn key(number: u8) -> PublicKey {
        SecretKey::from_seed([number; 32]).public_key()
    }

    fn told(change: impl FnOnce(&mut Draft) -> Result<(), GovernanceError>) -> String {
        let mut draft = draft();
        let before = draft.registry().clone();
        change(&mut draft).unwrap();
        lines(&differences(&before, draft.registry())).join("\n")
    }

    fn refused(change: impl FnOnce(&mut Draft) -> Result<(), GovernanceError>) -> String {
        change(&mut draft()).unwrap_err().to_string()
    }

    #[test]
    fn a_bank_joins_with_all_that_it_contributes() {
        let mut draft = draft();
        let joined = draft.add_operator(&spec(), &contribution(5), false).unwrap();
        assert_eq!(joined, OperatorId(5));
        let registry = draft.registry();
        assert_eq!((registry.operators[5].name.as_str(), registry.nodes.len()), ("bank-5", 5));
        for chain in &registry.chains {
            let seat = chain.wanted.iter().find(|validator| validator.operator == joined).unwrap();
            assert_eq!((chain.wanted.len(), seat.node), (5, NodeIndex(4)));
        }
        assert_eq!(draft.changes.len(), 4);
        let text = lines(&differences(&Registry::from_genesis(&spec()), draft.registry())).join("\n");
        for part in [
            "+ bank-5 (operator 5), bank",
            "+ node 4 of bank-5 (operator 5), at 10.0.0.5:7000",
            "chain 1 (USD shard 0)\n  + the validator of bank-5 (operator 5) on node 4, key ",
            "~ 4 validators (quorum 3, bears 1 faulty) become 5 validators (quorum 4, bears 1 faulty)",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_bank_may_follow_before_it_votes() {
        let mut draft = draft();
        draft.add_operator(&spec(), &contribution(5), true).unwrap();
        assert_eq!((draft.registry().nodes.len(), draft.changes.len()), (5, 2));
        assert!(draft.registry().chains.iter().all(|chain| chain.wanted.len() == 4));
        draft.add_validator(ChainId(1), NodeIndex(4), key(9)).unwrap();
        assert_eq!(draft.consensus_key(ChainId(1), OperatorId(5)).unwrap(), key(9));
    }

    #[test]
    fn what_is_taken_or_too_little_is_refused_with_the_mend() {
        let joins = |contribution: Contribution| {
            refused(|draft| draft.add_operator(&spec(), &contribution, false).map(|_| ()))
        };
        let cases = [
            (joins(contribution_with(5, |keys| keys.operator = 1)), "the key is that of operator 1"),
            (joins(contribution_with(5, |keys| keys.network = 2)), "the key is that of node 1"),
            (joins(contribution_with(5, |keys| keys.consensus = 3)), "in the set of chain 0 already"),
            (joins(central_bank()), "one central bank"),
            (refused(|draft| draft.retire_operator(OperatorId(1))), "fewer than 4"),
            (refused(|draft| draft.set_param(ChainId(9), "block_pace_ms", "9")), "no chain 9"),
            (refused(|draft| draft.move_node(NodeIndex(9), "a:1")), "no node 9"),
            (refused(|draft| draft.move_node(NodeIndex(0), "nowhere")), "host:port"),
            (refused(|draft| draft.remove_validator(ChainId(0), key(9))), "no validator"),
            (refused(|draft| draft.operator("nobody").map(|_| ())), "no operator nobody"),
            (refused(|draft| draft.consensus_key(ChainId(0), OperatorId(0)).map(|_| ())), "no validator"),
        ];
        for (message, part) in cases {
            assert!(message.contains(part) && message.contains(". Mend: "), "{part}: {message}");
        }
    }

    #[test]
    fn every_kind_of_change_is_told() {
        let old = draft().consensus_key(ChainId(0), OperatorId(2)).unwrap();
        let cases = [
            (
                told(|draft| draft.replace_operator_key(OperatorId(2), key(9))),
                format!("~ bank-2 (operator 2): its operator key\n      from {}", spec().operators[2].key),
            ),
            (
                told(|draft| draft.move_node(NodeIndex(1), "b.example:1")),
                "~ node 1 of bank-2 (operator 2): its address from 10.0.0.2:7000 to b.example:1".to_owned(),
            ),
            (
                told(|draft| draft.replace_network_key(NodeIndex(1), key(9))),
                format!(
                    "~ node 1 of bank-2 (operator 2): its network key\n      from {}",
                    spec().nodes[1].network_key
                ),
            ),
            (
                told(|draft| draft.replace_consensus_key(ChainId(0), old, key(9))),
                format!(
                    "~ the validator of bank-2 (operator 2) on node 1: its consensus key\n      from {old}"
                ),
            ),
            (
                told(|draft| draft.set_param(ChainId(1), "block_pace_ms", "75")),
                "chain 1 (USD shard 0)\n  ~ block_pace_ms: from 50 to 75".to_owned(),
            ),
            (
                told(|draft| {
                    draft.add_operator(&spec(), &contribution(5), false)?;
                    draft.retire_operator(OperatorId(1))
                }),
                "- bank-1 (operator 1): it approves nothing any more".to_owned(),
            ),
            (
                told(|draft| {
                    let node = draft.add_node(OperatorId(2), key(9), "b.example:2")?;
                    draft.add_validator(ChainId(0), node, key(8))?;
                    draft.remove_validator(ChainId(0), key(8))?;
                    draft.retire_node(node)
                }),
                "- node 4 of bank-2 (operator 2), at b.example:2: others let it in no more".to_owned(),
            ),
        ];
        for (text, part) in cases {
            assert!(text.contains(&part), "{part}: {text}");
        }
    }

    /// What the node of a bank offers for a chain; node N is bank N+1's.
    fn offer(chain: u32, bank: u8) -> SeatOffer {
        let (network, consensus) =
            (crate::test_support::network_key(bank), SecretKey::from_seed([0x40 + bank; 32]));
        let node = NodeIndex(u16::from(bank) - 1);
        SeatOffer::prove(spec().hash(), ChainId(chain), node, &network, &consensus)
    }

    fn offers(chain: u32) -> Vec<SeatOffer> {
        (1..=4).map(|bank| offer(chain, bank)).collect()
    }

    #[test]
    fn a_currency_grows_by_a_child_for_each_shard_and_then_by_a_doubling() {
        use ledger::records::{Birth, Growth};
        let (cny, mut draft) = (Currency(*b"CNY"), draft());
        let before = draft.registry().clone();
        assert_eq!(draft.add_chain(spec().hash(), ChainId(0), &offers(2)).unwrap(), ChainId(2));
        let added = draft.registry().chain(ChainId(2)).unwrap();
        assert_eq!(
            (added.currency, added.shard, added.parent(), added.is_home()),
            (cny, 1, Some(ChainId(0)), false)
        );
        assert_eq!(added.epochs[0].validators.len(), 4);
        let text = lines(&differences(&before, draft.registry())).join("\n");
        for part in [
            "chain 2 (CNY shard 1)\n  + the chain, a child of chain 0 with its parameters",
            "    4 validators (quorum 3, bears 1 faulty)",
            "      the validator of bank-3 (operator 3) on node 2, key ",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        // Not before it runs; not beside another child.
        let refusals = [
            (draft.reshard(cny).unwrap_err(), "shard 0 of CNY has no child that is ready"),
            (
                draft.reshard(Currency(*b"EUR")).unwrap_err(),
                "the network has no EUR. Mend: name one of: CNY, USD",
            ),
            (draft.add_chain(spec().hash(), ChainId(0), &offers(3)).unwrap_err(), "chain 0 has child 2"),
            (
                draft.add_chain(spec().hash(), ChainId(1), &offers(2)).unwrap_err(),
                "the chain to be added is 3",
            ),
            (draft.add_chain(spec().hash(), ChainId(7), &offers(3)).unwrap_err(), "no chain 7"),
            (
                draft.add_chain(spec().hash(), ChainId(1), &offers(3)[..3]).unwrap_err(),
                "3 validators are offered, and a chain has 4 to 100. Mend: name one file",
            ),
            (
                draft
                    .add_chain(spec().hash(), ChainId(1), &std::array::from_fn::<_, 4, _>(|_| offer(3, 1)))
                    .unwrap_err(),
                "node 0 offers two validators: a node runs one on each chain. Mend: name each",
            ),
        ];
        for (refusal, part) in refusals {
            assert!(refusal.to_string().contains(part), "{part}: {refusal}");
        }
        // One that never starts is given up, and another one takes its place.
        let added = draft.registry().clone();
        let mut given_up = draft.clone();
        given_up.remove_chain(ChainId(2)).unwrap();
        let text = lines(&differences(&added, given_up.registry())).join("\n");
        assert_eq!(
            text,
            "chain 2 (CNY shard 1)\n  - given up before it ever ran; chain 0 may have another child"
        );
        assert!(growth::child(given_up.registry(), ChainId(0)).is_none());
        let text = lines(&differences(&before, given_up.registry())).join("\n");
        assert!(text.contains("+ the chain, given up with the same proposal"), "{text}");
        for (chain, part) in [(2, "no chain 2"), (1, "chain 1 is of genesis"), (9, "no chain 9")] {
            let refused = given_up.remove_chain(ChainId(chain)).unwrap_err().to_string();
            assert!(refused.contains(part) && refused.contains(". Mend: "), "{part}: {refused}");
        }
        assert_eq!(given_up.add_chain(spec().hash(), ChainId(0), &offers(3)).unwrap(), ChainId(3));
        let with = |growth| {
            let mut registry = draft.registry().clone();
            let record = registry.chains.iter_mut().find(|record| record.chain == ChainId(2)).unwrap();
            record.birth = Birth::Child { parent: ChainId(0), height: ledger::values::Height(7), growth };
            registry
        };
        let ready = with(Growth::Ready);
        let refused = Draft::new(ready.clone()).remove_chain(ChainId(2)).unwrap_err().to_string();
        assert!(refused.contains("chain 2 has reported that it runs"), "{refused}");
        let mut doubling = Draft::new(ready.clone());
        doubling.reshard(cny).unwrap();
        let text = lines(&differences(&ready, doubling.registry())).join("\n");
        assert_eq!(
            text,
            "chain 2 (CNY shard 1)\n  ~ takes half of the wallets of chain 0: CNY has 2 shards then, not 1"
        );
        let refused = doubling.reshard(cny).unwrap_err().to_string();
        assert!(refused.contains("has no child that is ready"), "{refused}");
        let refused = doubling.add_chain(spec().hash(), ChainId(2), &offers(3)).unwrap_err().to_string();
        assert!(refused.contains("chain 2 has not taken in its wallets yet"), "{refused}");
        assert!(Draft::new(with(Growth::Grown)).add_chain(spec().hash(), ChainId(0), &offers(3)).is_ok());
    }

    #[test]
    fn parameters_of_one_chain_are_one_change() {
        let mut draft = draft();
        draft.set_param(ChainId(0), "block_pace_ms", "75").unwrap();
        draft.set_param(ChainId(0), "clock_drift_ms_max", "300").unwrap();
        draft.set_param(ChainId(1), "block_pace_ms", "80").unwrap();
        assert_eq!(draft.changes.len(), 2);
        let terms = Terms { reason: "slower".to_owned(), valid_until: TimestampMs(9), is_urgent: true };
        let proposal = draft.proposal(terms).unwrap();
        let after = applied(&Registry::from_genesis(&spec()), &proposal).unwrap();
        let params = &after.chains[0].params;
        assert_eq!((params.block_pace_ms, params.clock_drift_ms_max, after.version), (75, 300, 1));
        // An urgent proposal hurries sets only.
        assert!(!after.chains[0].is_urgent);
        assert!(matches!(applied(&after, &proposal), Err(GovernanceError::Stale { version: 0, known: 1 })));
    }

    #[test]
    fn fees_that_are_spent_are_shown_though_the_registry_does_not_change() {
        let mut draft = draft();
        let before = draft.registry().clone();
        draft.spend_fees(ChainId(1), OperatorId(2), Amount::from_fen(1_234)).unwrap();
        assert!(differences(&before, draft.registry()).is_empty());
        let text = lines(&spendings(draft.registry(), &draft.changes)).join("\n");
        let told = "collected fees\n  - chain 1 (USD shard 0): up to 12.34 USD, to bank-2 (operator 2)";
        assert_eq!(text, told);
        assert_eq!(draft.currency(ChainId(1)).unwrap(), Currency(*b"USD"));
        for (chain, operator, fen) in [(9, 2, 1), (1, 99, 1), (1, 2, 0)] {
            let (chain, operator) = (ChainId(chain), OperatorId(operator));
            let refused = draft.spend_fees(chain, operator, Amount::from_fen(fen));
            assert!(refused.is_err(), "{chain} {operator} {fen}");
        }
        assert_eq!(draft.changes.len(), 1);
    }

    #[test]
    fn an_empty_proposal_is_none() {
        let terms = Terms { reason: String::new(), valid_until: TimestampMs(9), is_urgent: false };
        assert!(matches!(draft().proposal(terms), Err(GovernanceError::Content(_))));
    }
}
