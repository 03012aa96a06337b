//! The template: what a ceremony starts from. A genesis spec without operators, nodes and validators.
//!
//! Its hash (the tagged hash of that spec's canonical bytes) is part of every contribution, so nobody can be
//! led to sign for other parameters than they saw.

use std::path::Path;

use ledger::records::{ChainParams, ChainSpec, GenesisSpec};
use ledger::values::codec::check_count;
use ledger::values::{Canonical as _, ChainId, Currency, Hash, Hasher, TimestampMs};
use serde::{Deserialize, Serialize};

use crate::error::{FieldProblem, GenesisError};
use crate::file::{ChainEntry, FORMAT, indexed};
use crate::{folder, text};

/// Most bytes of a template file: 256 chains with their parameters.
pub const TEMPLATE_FILE_BYTES_MAX: u64 = 1_024 * 1_024;

/// The file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// [`FORMAT`].
    pub format: u32,
    /// The network's name for people.
    pub network: String,
    /// The timestamp of height 0, in milliseconds since 1970 UTC.
    pub timestamp_ms: u64,
    /// Chains by id from 0, without validators.
    pub chains: Vec<ChainEntry>,
}

impl Template {
    /// A template with one chain per currency and shard, all with `params`.
    ///
    /// # Errors
    /// [`GenesisError`] naming the value that is out of range.
    pub fn new(
        network: String,
        timestamp: TimestampMs,
        chains: &[(Currency, u16)],
        params: &ChainParams,
    ) -> Result<Self, GenesisError> {
        let chains = (0_u32..).zip(chains).map(|(id, (currency, shard))| {
            ChainEntry::from_spec(&ChainSpec {
                chain: ChainId(id),
                currency: *currency,
                shard: *shard,
                params: params.clone(),
                validators: Vec::new(),
            })
        });
        let template = Self { format: FORMAT, network, timestamp_ms: timestamp.0, chains: chains.collect() };
        template.spec()?;
        Ok(template)
    }

    /// The template that the genesis of a running network was made from: what a bank contributes to that joins later.
    #[must_use]
    pub fn of(spec: &GenesisSpec) -> Self {
        let chains = spec.chains.iter().map(|chain| {
            let mut entry = ChainEntry::from_spec(chain);
            entry.validators.clear();
            entry
        });
        Self {
            format: FORMAT,
            network: spec.network.clone(),
            timestamp_ms: spec.timestamp.0,
            chains: chains.collect(),
        }
    }

    /// Reads and checks a template.
    ///
    /// # Errors
    /// [`GenesisError`] naming the file or the field that is wrong.
    pub fn load(path: &Path) -> Result<Self, GenesisError> {
        let template: Self = folder::read_json(path, TEMPLATE_FILE_BYTES_MAX)?;
        template.spec()?;
        Ok(template)
    }

    /// The spec with nobody in it.
    ///
    /// # Errors
    /// [`GenesisError`] naming the field that is wrong.
    pub fn spec(&self) -> Result<GenesisSpec, GenesisError> {
        if self.format != FORMAT {
            return Err(FieldProblem::Format.at("format").into());
        }
        text::check_name("network", &self.network)?;
        check_count("chains", self.chains.len(), 1, ledger::records::genesis::CHAINS_MAX)?;
        let chains = indexed(&self.chains, |place, entry| entry.spec(&format!("chains[{place}]")))?;
        for (place, chain) in chains.iter().enumerate() {
            if chain.chain.0 as usize != place {
                return Err(FieldProblem::ChainOrder.at(format!("chains[{place}].chain")).into());
            }
            check_count("chains.validators of a template", chain.validators.len(), 0, 0)?;
            chain.params.check()?;
        }
        let timestamp = TimestampMs(self.timestamp_ms);
        Ok(GenesisSpec {
            network: self.network.clone(),
            timestamp,
            operators: Vec::new(),
            nodes: Vec::new(),
            chains,
        })
    }

    /// What contributions name.
    ///
    /// # Errors
    /// [`GenesisError`] when the template is invalid.
    pub fn hash(&self) -> Result<Hash, GenesisError> {
        Ok(Hasher::new("jiaozi/ceremony-template").bytes(&self.spec()?.encode()).finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> Template {
        let chains = [(Currency(*b"CNY"), 0), (Currency(*b"CNY"), 1)];
        Template::new("net".into(), TimestampMs(5), &chains, &ChainParams::default()).unwrap()
    }

    #[test]
    fn every_field_changes_the_hash() {
        let base = template().hash().unwrap();
        let changes: [fn(&mut Template); 5] = [
            |t| t.network.push('x'),
            |t| t.timestamp_ms += 1,
            |t| t.chains[1].shard = 2,
            |t| t.chains[0].params.block_pace_ms += 1,
            |t| drop(t.chains.pop()),
        ];
        for change in changes {
            let mut changed = template();
            change(&mut changed);
            assert_ne!(changed.hash().unwrap(), base);
        }
    }

    #[test]
    fn the_template_of_a_genesis_is_the_one_it_was_made_from() {
        use crate::test_support::{central_bank, contribution, template};
        let everybody: Vec<_> = std::iter::once(central_bank()).chain((1..=4).map(contribution)).collect();
        let spec = crate::merge(&template(), &everybody).unwrap().spec().unwrap();
        assert_eq!(Template::of(&spec), template());
        assert_eq!(Template::of(&spec).hash().unwrap(), template().hash().unwrap());
    }

    #[test]
    fn an_empty_or_gapped_list_of_chains_is_refused() {
        assert!(Template::new("net".into(), TimestampMs(5), &[], &ChainParams::default()).is_err());
        let mut gapped = template();
        gapped.chains[1].chain = 3;
        assert!(gapped.spec().unwrap_err().to_string().contains("chains[1].chain"));
    }
}
