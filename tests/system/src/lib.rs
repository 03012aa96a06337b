//! Tests of the whole system: house rules, whole nodes in one process, real processes, the README.
//!
//! | file | what it says |
//! | --- | --- |
//! | `cluster.rs` | [`Cluster`]: four whole nodes (RocksDB, libp2p, REST on loopback), in this process or as processes |
//! | `steps.rs` | what tests do with it again and again |
//! | `growing.rs` | [`growing`]: doubling the shards of a currency, as its operators do it |
//! | `outside.rs` | [`Outside`]: payments of clients that know nothing of shards but what they are told |

mod cluster;
pub mod growing;
mod outside;
mod steps;

pub use cluster::{Cluster, Newcomer, Payer, jiaozi_binary};
pub use outside::{Outside, Paid, Purse};
pub use steps::{customer, pay};
