//! The REST contract: the types that nodes serve, and a typed client. Server, CLI and tests use the same
//! types, so they cannot drift apart.
//!
//! | file | what it holds |
//! | --- | --- |
//! | [`path`] | where everything is |
//! | [`code`], [`error`] | the numbered refusals: what happened, which field, what to do next |
//! | [`transaction`], [`leg`] | submitting one, asking what became of it; its payees on other chains |
//! | [`bulk`] | submitting many in a binary body |
//! | [`wallet`] | wallets and their history |
//! | [`lock`] | locks, and offers of exchanges between two currencies |
//! | [`fees`] | what a transaction should bid, what blocks cost, what one would become and cost |
//! | [`chain`], [`network`], [`health`] | chains and blocks, operators and nodes, readiness |
//! | [`why`] | why a node does not do its work, and what to do next |
//! | [`governance`] | changes of the registry |
//! | [`feed`], [`evidence`] | for auditors: binary pages; misbehaviour on record |
//! | [`client`] | the client |
//!
//! Rules:
//! - JSON is snake_case; amounts are integer fen in fields that end in `_fen`, prices of weight integer millionths of a fen in fields
//!   that end in `_micro_fen`, times milliseconds in fields that end in `_ms`; expected times are seconds in fields with `_s`. Wallet
//!   ids are bech32m, hashes and keys hexadecimal text.
//! - Requests refuse unknown fields; answers may grow new ones, which clients ignore.
//! - Every body, page, list and answer is bounded by a named constant, on both sides.
//! - Only a *certified* outcome is proved; a *final* one is the node's word.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod bulk;
pub mod chain;
pub mod client;
pub mod code;
pub mod error;
pub mod evidence;
pub mod feed;
pub mod fees;
pub mod governance;
pub mod health;
pub mod leg;
pub mod lock;
pub mod network;
pub mod path;
mod text;
pub mod transaction;
pub mod wallet;
pub mod why;

pub use chain::{
    BirthView, BlockView, ChainView, ChainsView, CounterView, GrowthName, PairView, ProgressView, ResultView,
    SupplyView, ValidatorView,
};
pub use client::{Client, ClientConfig, ClientError, Token};
pub use code::ErrorCode;
pub use error::ApiError;
pub use fees::{
    CrossChainView, EstimateView, ExpectedTimes, FeeBlock, FeeEstimates, FeeHistory, FeeHistoryQuery,
    FeeQuery, OperationName, SimulateRequest, Simulation, WalletLimits, WhyName, Would,
};
pub use governance::{
    AppliedView, ChangeView, FeeParamsView, ParamsView, ProposalView, SeatView, TierLimitsView, VersionView,
};
pub use health::{ChainReady, HaltView, Health, NotReady, Ready};
pub use leg::{HopView, LegState, LegView};
pub use lock::{
    DecisionView, LockMoment, LockRole, LockStateName, LockView, LocksPage, LocksQuery, SideView,
};
pub use network::{ChainPlace, NetworkView, NodeView, OperatorView, RoleName};
pub use transaction::{
    AskedView, OperationView, OutcomeView, PaymentView, SubmitAnswer, SubmitRequest, SubmitStatus,
    TransactionState, TransactionStatus, TransactionView, WalletOpeningView,
};
pub use wallet::{
    Between, Cursor, HistoryEntry, HistoryPage, HistoryQuery, LaneView, MovementName, TierName, WalletMoment,
    WalletQuery, WalletState, WalletView,
};
pub use why::{
    AbsentValidator, ChainFacts, DiskFacts, Finding, FindingCode, Severity, Verdict, WaitingReceipts, Why,
    WhyFacts,
};
