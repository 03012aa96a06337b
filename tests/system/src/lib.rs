//! Tests of the whole system: house rules, whole nodes in one process, real processes, the README.
//!
//! | file | what it says |
//! | --- | --- |
//! | `cluster.rs` | [`Cluster`]: four whole nodes (RocksDB, libp2p, REST on loopback), in this process or as processes |
//! | `steps.rs` | what tests do with it again and again |
//! | `growing.rs` | [`growing`]: doubling the shards of a currency, as its operators do it |
//! | `outside.rs` | [`Outside`]: payments of clients that know nothing of shards but what they are told |
//! | `history.rs` | [`history`]: what clients saw, judged against every bank's copy of the chain |
//! | `load.rs` | [`Load`]: customers who pay while faults happen, and write such a history |
//! | `pulse.rs` | [`Pulse`]: how long a network made no block |
//! | `proxy.rs` | [`proxy`]: links between nodes that can be cut and healed |
//! | `clock.rs` | [`Clock`]: a wall clock that is wrong, for processes |
//! | `town.rs` | [`Town`]: all of these together, from the start to the verdict |
//! | `faults.rs` | [`faults`]: the fault scenarios, of any length |

mod clock;
mod cluster;
pub mod faults;
pub mod growing;
pub mod history;
mod load;
mod outside;
pub mod proxy;
mod pulse;
mod steps;
mod town;

pub use clock::Clock;
pub use cluster::{Cluster, Newcomer, Payer, jiaozi_binary};
pub use load::Load;
pub use outside::{Outside, Paid, Purse};
pub use pulse::Pulse;
pub use steps::{customer, pay};
pub use town::{Figures, Town};
