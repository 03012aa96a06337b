//! `GET /v1/evidence`: what this node keeps against validators that broke the rules, oldest first, for auditors.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;

use api::error::ApiError;
use api::evidence::{EVIDENCE_PAGE_DEFAULT, EVIDENCE_PAGE_MAX, EvidencePage, EvidenceQuery, EvidenceView};
use axum::Json;
use axum::extract::State;
use chain::{Archive, EvidenceRow, RowFault};
use ledger::records::ValidatorRecord;
use ledger::values::ChainId;
use storage::{Page, Table, key};

use super::edge::Edge;
use super::parameters::{Ask, limit};
use super::refusal::Refusal;

/// Most bytes of evidence in a page; one record always fits.
pub(crate) const EVIDENCE_PAGE_BYTES_MAX: usize = 4 << 20;

/// Lists recorded misbehaviour.
#[utoipa::path(
    get,
    path = api::path::EVIDENCE,
    tag = "audit",
    params(EvidenceQuery),
    responses(
        (status = 200, description = "a page; go on with `from` = `next`", body = EvidencePage),
        (status = "4XX", description = "refused", body = ApiError),
        (status = "5XX", description = "the store cannot be read", body = ApiError),
    )
)]
pub(crate) async fn evidence(
    State(edge): State<Edge>,
    Ask(query): Ask<EvidenceQuery>,
) -> Result<Json<EvidencePage>, Refusal> {
    let chain = edge.chain(ChainId(query.chain.unwrap_or(0)))?;
    let rows = limit(query.limit, EVIDENCE_PAGE_DEFAULT, EVIDENCE_PAGE_MAX)?;
    let chain_id = chain.chain();
    let from = key::sequence(query.from.unwrap_or(0));
    let read = edge.read_store(chain, move |store| {
        let page = Page { from: Bound::Included(&from), bytes: EVIDENCE_PAGE_BYTES_MAX, ..Page::first(rows) };
        let (mut records, mut sets) = (Vec::new(), BTreeMap::new());
        for (place, value) in store.scan(Table::Evidence, page).map_err(Refusal::store)? {
            let sequence = key::number(&place);
            let missing = RowFault::Missing { table: Table::Evidence };
            let (Some(sequence), Some(row)) = (sequence, EvidenceRow::decode(&value)) else {
                return Err(missing.into());
            };
            // Few epochs are among the records of a page, and the registry keeps the newest at hand.
            let set = match sets.entry(row.epoch) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unread) => {
                    let epoch = Archive::new(store).epoch(row.epoch)?;
                    unread.insert(epoch.map(|epoch| epoch.validators).unwrap_or_default())
                }
            };
            records.push(view(sequence, row, set));
        }
        let next = records.last().map(|record| record.sequence.saturating_add(1));
        Ok(EvidencePage { chain: chain_id.0, records, next })
    });
    read.await.map(Json)
}

fn view(sequence: u64, row: EvidenceRow, validators: &[ValidatorRecord]) -> EvidenceView {
    let EvidenceRow { validator, kind, bytes, .. } = row;
    let operator = validators.get(usize::from(validator.0)).map(|validator| validator.operator.0);
    EvidenceView { sequence, seat: validator.0, operator, kind, bytes }
}
