//! Tests of the storage room through its public face, for both implementations.

#![allow(missing_docs, unreachable_pub)]

mod conformance;
mod corruption;
mod crash;
mod loading;
mod model;
mod reclaim;
mod refusals;
