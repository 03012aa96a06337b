//! What lies on disk: the chain's rows, keys of tables, and the operator's `node.toml`.

use chain::EvidenceRow;
use chain::rollback::Divergence;
use chain::rows::{Outboxes, Outcomes, ProposalRow, SentRow};
use node::NodeConfig;
use storage::key;

use crate::Target;
use crate::records::{of, shown};

pub(crate) const TARGETS: &[Target] = &[
    // A block may have half a million outcomes, so a list of them may be announced.
    Target { reserved: 64 << 20, ..Target::canonical("row-outcomes", of::<Outcomes>) },
    Target::canonical("row-sent", of::<SentRow>),
    Target::canonical("row-outboxes", of::<Outboxes>),
    Target::canonical("row-proposal", of::<ProposalRow>),
    Target::canonical("row-divergence", of::<Divergence>),
    Target::plain("row-evidence", evidence),
    Target::plain("row-key", keys),
    Target::plain("node-config", config),
];

fn evidence(bytes: &[u8]) {
    let Some(row) = EvidenceRow::decode(bytes) else { return };
    assert!(bytes.ends_with(&row.bytes), "the proof is the end of the row");
    shown(&row);
}

fn keys(bytes: &[u8]) {
    if let Some((chain, sequence)) = key::split_receipt(bytes) {
        assert_eq!(key::receipt(chain, sequence), bytes);
    }
    if let Some((height, digest)) = key::split_proposal(bytes) {
        assert_eq!(key::proposal(height, &digest), bytes);
    }
    if let Some((slot, height, index, part)) = key::split_history(bytes) {
        assert_eq!(key::history(slot, height, index, part), bytes);
    }
    if let Some((height, index)) = key::split_position(bytes) {
        assert_eq!(key::position(height, index), bytes);
    }
    if let Some(number) = key::number(bytes) {
        assert_eq!(key::sequence(number), bytes);
    }
}

fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(config) = NodeConfig::parse(text) else { return };
    assert!(config.validate().is_ok(), "what was read is valid");
    shown(&config);
}
