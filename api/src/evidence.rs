//! Evidence: what a node keeps against validators that broke the rules.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::text::as_hex;

/// Most records of a page.
pub const EVIDENCE_PAGE_MAX: u32 = 100;
/// Records of a page when the query does not say.
pub const EVIDENCE_PAGE_DEFAULT: u32 = 20;
const _: () = assert!(EVIDENCE_PAGE_DEFAULT <= EVIDENCE_PAGE_MAX);

/// Query of `GET /v1/evidence`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EvidenceQuery {
    /// The chain; without it, the first chain of this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<u32>,
    /// First sequence wanted; without it, from the oldest record kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Records wanted, 1 to 100; fewer come when the page is full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Answer of `GET /v1/evidence`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EvidencePage {
    /// The chain.
    pub chain: u32,
    /// Oldest first.
    pub records: Vec<EvidenceView>,
    /// `from` of the next page; missing when this one is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EvidenceView {
    /// Its place among this node's records of the chain.
    pub sequence: u64,
    /// The seat of the validator it is against.
    pub seat: u16,
    /// Its operator, if the seat is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<u16>,
    /// What was done.
    #[schema(example = "contradicting_votes")]
    pub kind: String,
    /// What proves it, hexadecimal: the votes, or the batch.
    #[serde(with = "as_hex")]
    #[schema(value_type = String)]
    pub bytes: Vec<u8>,
}
