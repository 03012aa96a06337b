//! State: what a chain holds after a height, and how it is committed to.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`chain_state`] | [`ChainState`]: the in-memory part of one chain's state, genesis and load |
//! | [`expiries`] | the open deadlines, in the order in which they come due |
//! | [`pins`] | which wallets open locks and offers hold where they are |
//! | [`shares`] | how many locks and offers there may be, of each kind and source |
//! | [`head`] | [`StateHead`]: the small record stored with every height |
//! | [`operator_quota`] | what operators have left unpaid |
//! | [`reader`] | [`StateReader`]: point reads of records, and the in-memory reader |
//! | [`writes`] | what a height writes, and how to take it back |
//! | [`overlay`] | the typed working copy of the records that a block touches |
//! | [`summing_tree`] | the tree whose root proves the sum of all money |
//! | [`id_tree`] | ids to slots, with proofs of absence |
//! | [`outbox`] | what a chain has sent to each other chain |
//! | [`root`] | how the parts make the state root |

pub mod chain_state;
pub mod expiries;
pub mod head;
pub mod id_tree;
pub mod operator_quota;
pub mod outbox;
pub mod overlay;
pub mod pins;
pub mod reader;
pub mod root;
pub mod shares;
pub mod summing_tree;
pub mod writes;

pub use chain_state::{ChainState, GenesisFault, LoadFault, RecordPath};
pub use expiries::Expiries;
pub use head::{Moving, OrderedBucket, StateHead};
pub use operator_quota::OperatorQuota;
pub use outbox::Outbox;
pub use pins::Pins;
pub use reader::{MemoryReader, ReadFault, StateReader};
pub use root::StateParts;
pub use summing_tree::Crown;
pub use writes::{Execution, PassedOver, ReceivedReceipt, SentReceipt, Skipped, StateWrites, Undo};
