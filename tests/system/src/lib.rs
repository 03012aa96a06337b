//! Tests of the whole system: house rules, whole nodes in one process, real processes, the README.
//!
//! | file | what it says |
//! | --- | --- |
//! | `cluster.rs` | [`Cluster`]: four whole nodes (RocksDB, libp2p, REST on loopback), in this process or as processes |
//! | `steps.rs` | what tests do with it again and again |

mod cluster;
mod steps;

pub use cluster::{Cluster, Newcomer, Payer, jiaozi_binary};
pub use steps::{customer, pay};
