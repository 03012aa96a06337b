//! What a chain begins with that genesis does not name (PROTOCOL rule 25). Nobody's word is taken for it: the root chain's replay gives
//! it, or an origin that a quorum of the root chain's validators stands behind, which genesis leads to. Where there are both, they agree.

use std::sync::Arc;

use ledger::proofs::ChainOrigin;
use ledger::records::{GenesisSpec, Registry};
use ledger::values::{Canonical as _, ChainId, Height};
use storage::{Reader, Table};

use crate::difference::{Difference, Finding};
use crate::error::AuditError;
use crate::report::Child;

/// Name of the row of table `Meta` that holds the origin of a chain that genesis does not name.
pub const ORIGIN_ROW: &[u8] = b"origin";

/// The origin that a database shows, encoded.
///
/// # Errors
/// [`AuditError::Storage`].
pub fn stored_origin(reader: &dyn Reader) -> Result<Option<Vec<u8>>, AuditError> {
    Ok(reader.get(Table::Meta, ORIGIN_ROW)?)
}

/// The registry that a chain begins with: by the root chain's replay, and by the origin that is shown, an encoded [`ChainOrigin`]. `None`
/// where there is neither.
///
/// # Errors
/// [`AuditError::Different`] where the origin is not proved, or says something else than the replay.
pub fn beginning(
    spec: &GenesisSpec,
    chain: ChainId,
    replayed: Option<&Child>,
    shown: Option<&[u8]>,
) -> Result<Option<Arc<Registry>>, AuditError> {
    let found = |finding| AuditError::from(Difference { chain, height: Height(0), finding });
    let computed = replayed.map(|child| Arc::clone(&child.registry));
    let Some(bytes) = shown else { return Ok(computed) };
    let origin = ChainOrigin::decode(bytes).map_err(|fault| found(Finding::OriginMalformed(fault)))?;
    let proved = origin.verify(spec, chain).map_err(|fault| found(Finding::Origin(fault)))?;
    match computed {
        Some(computed) if computed != proved => {
            Err(found(Finding::Beginning { shown: proved.hash(), computed: computed.hash() }))
        }
        _ => Ok(Some(proved)),
    }
}
