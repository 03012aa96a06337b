//! Rules: how records may change. One file per operation, and the walk of a block through them.
//!
//! | file | what it decides |
//! | --- | --- |
//! | [`transition`] | the execution of a block, top to bottom |
//! | [`admission`] | whether a transaction is executed at all (PROTOCOL rule 7) |
//! | [`apply`] | what every operation has in common, then the operation's own file |
//! | [`mod@weight`] | what a transaction, a batch and a bundle weigh |
//! | [`mod@base_fee`] | what a unit of weight costs |
//! | [`fee`] | who is charged for a transaction, and who gets it |
//! | [`quota`] | what operators leave unpaid |
//! | [`pay`], [`open_wallets`], [`issue`], [`redeem`], [`mod@govern`] | one operation each: guards, a line, writes |
//! | [`mod@lock`], [`mod@claim`] | money that waits for a secret |
//! | [`mod@exchange`], [`mod@accept`], [`mod@decline`], [`mod@withdraw`] | an exchange between two chains: all of it happens, or nothing |
//! | [`offers`] | its receipts |
//! | [`mod@expire`] | deadlines that have passed |
//! | [`mod@receive`] | receipts from other chains: credit, or refund |
//! | [`moving`] | wallets that move to a child |
//! | [`whereabouts`] | where a wallet is while they do |
//! | [`registry_changes`] | what a change makes of the registry, when a chain's next set begins |
//! | [`growth`] | how a currency gets more shards |
//! | [`mod@forecast`] | the same on a throw-away copy |
//! | [`invariants`] | what must hold at every height |
//! | [`batch_validity`], [`bundle_validity`], [`block_validity`] | what voters check before they vote, without state |
//! | [`signatures`] | all signatures of many transactions at once |

pub mod accept;
pub mod admission;
pub mod apply;
pub mod base_fee;
pub mod batch_validity;
pub mod block_validity;
pub mod bundle_validity;
pub mod chain_rules;
pub mod claim;
pub mod decline;
pub mod exchange;
pub mod expire;
pub mod fee;
pub mod forecast;
pub mod govern;
pub mod growth;
pub mod invariants;
pub mod issue;
pub mod lock;
pub mod moving;
pub mod offers;
pub mod open_wallets;
pub mod pay;
pub mod quota;
pub mod receive;
pub mod redeem;
pub mod registry_changes;
pub mod signatures;
pub mod transition;
pub mod weight;
pub mod whereabouts;
pub mod withdraw;

pub use base_fee::{blocks_to_zero_max, next_base_fee};
pub use batch_validity::{BatchFault, TransactionFault, check_batch, check_transaction};
pub use block_validity::{BatchFacts, BlockFault, ParentFacts};
pub use bundle_validity::{BundleFacts, BundleFault, check_bundle};
pub use chain_rules::ChainRules;
pub use forecast::{Forecast, Forecasted, forecast, forecast_each};
pub use growth::check_on_root;
pub use invariants::InvariantFault;
pub use registry_changes::{ChangeFault, apply_change, apply_proposed};
pub use signatures::check_signatures;
pub use transition::ExecutionFault;
pub use weight::{batch_weight, bundle_weight, content_weight, transaction_weight};
