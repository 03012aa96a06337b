//! Chains and blocks.

use ledger::records::{
    Birth, Block, ChainRecord, Counter, Growth, PairCounters, SupplyTerms, ValidatorRecord,
};
use ledger::values::{
    BatchDigest, BlockDigest, BundleDigest, Currency, GenesisHash, OutboxRoot, OutcomesRoot, PublicKey,
    ResultHash, StateRoot,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::text::{as_text, as_text_list, as_text_option};

/// Answer of `GET /v1/chains`: every chain of the network, with its progress where this node hosts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChainsView {
    /// By ascending id.
    pub chains: Vec<ChainView>,
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChainView {
    /// Its id.
    pub chain: u32,
    /// Its currency.
    #[schema(example = "CNY")]
    pub currency: String,
    /// Its shard among those of the currency.
    pub shard: u16,
    /// How it came to be, where it was added after genesis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub birth: Option<BirthView>,
    /// Operators that owe for what their validators sealed, ascending: while the base fee is above zero, no block orders their batches.
    /// Known of chains that this node hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub barred_operators: Vec<u16>,
    /// The validators of the current epoch, by seat; of the newest epoch that is known where the chain is hosted elsewhere.
    pub validators: Vec<ValidatorView>,
    /// How far this node is; missing where it does not host the chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressView>,
}

impl ChainView {
    /// The view of a chain as a registry has it.
    #[must_use]
    pub fn of(record: &ChainRecord, validators: &[ValidatorRecord], progress: Option<ProgressView>) -> Self {
        let validators =
            (0_u16..).zip(validators).map(|(seat, validator)| ValidatorView::new(seat, validator));
        Self {
            chain: record.chain.0,
            currency: record.currency.to_string(),
            shard: record.shard,
            birth: BirthView::of(record.birth),
            barred_operators: record.barred.iter().map(|operator| operator.0).collect(),
            validators: validators.collect(),
            progress,
        }
    }
}

/// How a chain came to be that operators added to take half of the wallets of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BirthView {
    /// The chain whose wallets it takes half of.
    pub parent: u32,
    /// The height of chain 0 that added it.
    pub height: u64,
    /// How far it is, as the registry that the node knows has it: chain 0 knows most.
    pub growth: GrowthName,
}

/// How far a child is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrowthName {
    /// It was added; its validators may not run yet.
    Added,
    /// It runs, and no wallet is at home there.
    Ready,
    /// Half of its parent's wallets are at home there and on their way.
    Filling,
    /// It has them.
    Grown,
    /// It was given up before it ever reported.
    Removed,
}

impl BirthView {
    fn of(birth: Birth) -> Option<Self> {
        match birth {
            Birth::Genesis => None,
            Birth::Child { parent, height, growth } => {
                let growth = match growth {
                    Growth::Added => GrowthName::Added,
                    Growth::Ready => GrowthName::Ready,
                    Growth::Filling => GrowthName::Filling,
                    Growth::Grown => GrowthName::Grown,
                    Growth::Removed => GrowthName::Removed,
                };
                Some(Self { parent: parent.0, height: height.0, growth })
            }
        }
    }
}

/// How far a node is on a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProgressView {
    /// The current epoch.
    pub epoch: u64,
    /// Its first height.
    #[serde(default)]
    pub epoch_first_height: u64,
    /// Its last height, once another set of validators is scheduled to follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closing_height: Option<u64>,
    /// Version of the chain's registry.
    #[serde(default)]
    pub registry_version: u64,
    /// The lowest height that is held here, where the node joined by a snapshot of it or prunes; missing where it holds all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowest_height: Option<u64>,
    /// The height below which the node has pruned by its policy; missing where it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pruned_below: Option<u64>,
    /// Highest height that is executed here.
    pub height: u64,
    /// That block's timestamp.
    pub timestamp_ms: u64,
    /// Fee per unit of weight in the next block, in millionths of a fen.
    #[serde(default)]
    pub base_fee_micro_fen: u64,
    /// Highest height under a quorum's certificate.
    pub certified_height: u64,
    /// Root of the state after `height`.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub state_root: StateRoot,
    /// Result after `height`.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub result: ResultHash,
    /// Wallets and other records of the state.
    pub records: u64,
    /// The money after `height`.
    pub supply: SupplyView,
    /// Transactions waiting here.
    pub pooled_transactions: u64,
    /// Whether this node votes on the chain.
    pub is_voting: bool,
}

/// The terms of the supply equation: holdings + all sent − all received = issued − redeemed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SupplyView {
    /// Ever issued, in fen.
    pub issued_fen: u64,
    /// Ever redeemed, in fen.
    pub redeemed_fen: u64,
    /// Held now, in fen.
    pub holdings_fen: u64,
    /// What was sent to and received from each other chain, by chain; only those with which there was any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<PairView>,
}

/// What a chain has sent to and received from one other chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PairView {
    /// The other chain.
    pub chain: u32,
    /// Sent to it.
    pub sent: CounterView,
    /// Received from it.
    pub received: CounterView,
}

/// Receipts and the money in them, over all time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CounterView {
    /// How many.
    pub count: u64,
    /// Their sum in fen, as decimal text: over all time it may be more than a JSON number holds.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub total_fen: u128,
}

impl From<&PairCounters> for PairView {
    fn from(pair: &PairCounters) -> Self {
        Self { chain: pair.chain.0, sent: pair.sent.into(), received: pair.received.into() }
    }
}

impl From<Counter> for CounterView {
    fn from(counter: Counter) -> Self {
        Self { count: counter.count, total_fen: counter.total }
    }
}

impl From<&SupplyTerms> for SupplyView {
    fn from(terms: &SupplyTerms) -> Self {
        Self {
            issued_fen: terms.issued.fen(),
            redeemed_fen: terms.redeemed.fen(),
            holdings_fen: terms.holdings.fen(),
            pairs: terms.pairs.iter().map(PairView::from).collect(),
        }
    }
}

/// A validator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ValidatorView {
    /// Its seat in the epoch's set.
    pub seat: u16,
    /// Its operator.
    pub operator: u16,
    /// The node that runs it.
    pub node: u16,
    /// The key it votes with.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub consensus_key: PublicKey,
}

impl ValidatorView {
    const fn new(seat: u16, record: &ValidatorRecord) -> Self {
        Self { seat, operator: record.operator.0, node: record.node.0, consensus_key: record.consensus_key }
    }
}

/// Answer of `GET /v1/chains/{chain}/blocks/{height}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockView {
    /// The chain.
    pub chain: u32,
    /// Its currency.
    #[serde(with = "as_text")]
    #[schema(value_type = String, example = "CNY")]
    pub currency: Currency,
    /// The height.
    pub height: u64,
    /// What consensus ordered.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub digest: BlockDigest,
    /// The block before.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub parent: BlockDigest,
    /// The epoch whose validators decided it.
    pub epoch: u64,
    /// The consensus round it was proposed in.
    pub view: u64,
    /// The seat that proposed it.
    pub proposer: u16,
    /// Its timestamp.
    pub timestamp_ms: u64,
    /// What its batches and bundles weigh together, in units of about the work of one byte of a payment.
    pub weight: u64,
    /// Fee per unit of weight, in millionths of a fen.
    pub base_fee_micro_fen: u64,
    /// The earlier height whose result it certifies.
    pub claimed_height: u64,
    /// That result.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub claimed_result: ResultHash,
    /// Its batches in the order they execute.
    #[serde(with = "as_text_list")]
    #[schema(value_type = Vec<String>)]
    pub batches: Vec<BatchDigest>,
    /// Bundles of receipts from other chains, executed after the batches.
    #[serde(default, with = "as_text_list", skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub bundles: Vec<BundleDigest>,
    /// What execution made of it; missing until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<ResultView>,
}

impl BlockView {
    /// The view of a block of a chain of `currency`.
    #[must_use]
    pub fn new(block: &Block, currency: Currency, genesis: GenesisHash, result: Option<ResultView>) -> Self {
        let header = &block.header;
        Self {
            chain: header.chain.0,
            currency,
            height: header.height.0,
            digest: header.digest(genesis),
            parent: header.parent,
            epoch: header.epoch.0,
            view: header.view.0,
            proposer: header.proposer.0,
            timestamp_ms: header.timestamp.0,
            weight: header.weight,
            base_fee_micro_fen: header.base_fee.micro_fen(),
            claimed_height: header.claim.height.0,
            claimed_result: header.claim.result,
            batches: block.body.batches.clone(),
            bundles: block.body.bundles.clone(),
            result,
        }
    }
}

/// What execution made of a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResultView {
    /// Commits to everything below and to every result before.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub hash: ResultHash,
    /// Root of the state.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub state_root: StateRoot,
    /// Root over the outcomes.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub outcomes_root: OutcomesRoot,
    /// Root over the receipts ever sent to other chains.
    #[serde(with = "as_text")]
    #[schema(value_type = String)]
    pub outbox_root: OutboxRoot,
    /// Transactions and receipts with an outcome.
    pub executed: u32,
    /// Transactions that consumed no nonce.
    pub skipped: u32,
    /// The money.
    pub supply: SupplyView,
    /// Whether a quorum certified it.
    pub is_certified: bool,
    /// The block whose certificate covers it, if this node knows it.
    #[serde(default, with = "as_text_option", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub certified_by: Option<BlockDigest>,
}

impl ResultView {
    /// The view of a height's result.
    #[must_use]
    pub fn new(result: &ledger::records::HeightResult, genesis: GenesisHash, is_certified: bool) -> Self {
        Self {
            hash: result.hash(genesis),
            state_root: result.state,
            outcomes_root: result.outcomes,
            outbox_root: result.outbox,
            executed: result.executed,
            skipped: result.skipped,
            supply: SupplyView::from(&result.supply),
            is_certified,
            certified_by: None,
        }
    }
}
