//! Tests of the ledger through its public face: one binary, one module per subject.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests run on one machine")]
#![allow(clippy::type_complexity, reason = "rows of tables")]

mod network;
mod samples;

mod base_fee;
mod chains;
mod codec;
mod epoch_schedules;
mod epochs;
mod exchange;
mod exchange_schedules;
mod execution;
mod fee_market;
mod fee_schedules;
mod fee_spending;
mod forecast;
mod governance;
mod growth;
mod locks;
mod model;
mod operations;
mod origin;
mod proofs;
mod quotas;
mod registry_proof;
mod removal;
mod replay;
mod resharding;
mod resharding_hostile;
mod resharding_schedules;
mod signatures;
mod snapshot;
mod trees;
mod validity;
mod values;
mod vectors;
mod weight;
