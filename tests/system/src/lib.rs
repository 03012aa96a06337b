//! Tests of the whole system: house rules, whole nodes in one process, real processes, the README.
//!
//! | file | what it says |
//! | --- | --- |
//! | `cluster.rs` | [`Cluster`]: four whole nodes (RocksDB, libp2p, REST on loopback) in this process |

mod cluster;

pub use cluster::{Cluster, Newcomer, Payer, jiaozi_binary};
