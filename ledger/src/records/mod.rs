//! Records: what is signed, ordered, stored and proved. Layouts only; the rules that change them are in
//! [`crate::rules`].

pub mod batch;
pub mod block;
pub mod bundle;
pub mod change;
pub mod genesis;
pub mod history;
pub mod lock;
pub mod not_executed;
pub mod operation;
pub mod outcome;
pub mod params;
pub mod policy;
pub mod receipt;
pub mod registry;
pub mod result;
pub mod transaction;
pub mod wallet;

pub use batch::{Batch, BatchContent};
pub use block::{Block, BlockBody, BlockHeader, Claim};
pub use bundle::{Bundle, Pending};
pub use change::{Approval, Change, Proposal};
pub use genesis::{ChainSpec, GenesisSpec};
pub use history::{HistoryEntry, Movement, MovementKind};
pub use lock::{Asked, LockKind, LockRecord, LockState, OfferRecord, OfferState};
pub use not_executed::NotExecuted;
pub use operation::{Operation, Payment, WalletOpening};
pub use outcome::{Outcome, Rejection};
pub use params::{ChainParams, FeeParams, TierParams};
pub use policy::Policy;
pub use receipt::{Origin, Receipt};
pub use registry::{
    Birth, ChainRecord, EpochRecord, Growth, NodeRecord, OperatorRecord, OperatorRole, Registry,
    ValidatorRecord,
};
pub use result::{Counter, HeightResult, PairCounters, SupplyTerms};
pub use transaction::{FeeBid, Nonce, PolicySignature, Sponsor, Transaction, TransactionContent};
pub use wallet::{Lane, Record, Tier, WalletRecord, WalletStatus};
