//! `POST /v1/transactions/simulate`: what a transaction would become and cost if it were executed alone in the next block, by the rules that
//! execute it. Nothing is taken in, and no preimage or signature is kept.
//!
//! ```text
//! bytes ─ decoded ─ this network, a chain of this node ─ signed? signatures ─┬─ trial execution on one snapshot ─ Simulation
//!                                                        not yet? as if all ─┘
//! ```

use api::code::ErrorCode;
use api::error::ApiError;
use api::fees::{ExpectedTimes, SimulateRequest, Simulated, Simulation, WalletLimits, Would};
use api::governance::limit_fen;
use axum::Json;
use axum::extract::{Request, State};
use chain::{Archive, RecordCache, RecordReader, RowFault};
use fees::{Estimate, Estimates};
use ledger::records::transaction::{network_tag, signing_message};
use ledger::records::{
    FeeBid, Operation, Policy, PolicySignature, Record, Transaction, TransactionContent, WalletRecord,
    WalletStatus,
};
use ledger::rules::fee::base_due;
use ledger::rules::{ChainRules, Forecast, Forecasted, TransactionFault, check_transaction, forecast};
use ledger::state::StateHead;
use ledger::values::{
    Amount, GenesisHash, OperatorId, Signature, SignedMessage, TimestampMs, TransactionId, WalletId, verify,
};
use storage::{Reader, Table};

use super::edge::Edge;
use super::estimates::{estimated, seconds};
use super::fees::usual;
use super::refusal::Refusal;
use super::submit::{JSON_BYTES_MAX, body, content_type};
use crate::admission::wall_clock;
use crate::handle::ChainHandle;

/// Says what a transaction would become and cost, signed or not signed yet.
///
/// Nothing is taken in, and it is no promise: another transaction may come first.
#[utoipa::path(
    post,
    path = api::path::SIMULATE,
    tag = "fees",
    request_body(
        description = "a signed transaction, or content that nobody has signed yet; at most 21504 bytes",
        content((SimulateRequest = "application/json"))
    ),
    responses(
        (status = 200, description = "what it would become, also where it would not be applied", body = Simulation),
        (status = "4XX", description = "refused: it can be in no batch, as a submission says it", body = ApiError),
        (status = "5XX", description = "the store cannot be read", body = ApiError),
    )
)]
pub(crate) async fn simulate(
    State(edge): State<Edge>,
    request: Request,
) -> Result<Json<Simulation>, Refusal> {
    if content_type(request.headers()) != Some("application/json") {
        return Err(ApiError::from(ErrorCode::UnsupportedMediaType).at("Content-Type").into());
    }
    let request: SimulateRequest = serde_json::from_slice(&body(request, JSON_BYTES_MAX).await?)
        .map_err(|reason| ApiError::from(ErrorCode::MalformedJson).at("body").because(reason))?;
    let simulated = request.read()?;
    let chain = chain_of(&edge, simulated.content())?;
    let (handle, bid) = (chain.clone(), simulated.content().fee.clone());
    let tried = edge.read_store(chain, move |store| try_out(&handle, store, &simulated)).await?;
    let found = estimated(&edge, chain, usual(tried.forecast.weight)).await?;
    let estimate = reached(&found.estimates, &bid);
    let (final_s_p50, final_s_p95) = (seconds(estimate.final_ms_p50), seconds(estimate.final_ms_p95));
    Ok(Json(tried.view(chain, ExpectedTimes { final_s_p50, final_s_p95 })))
}

/// The hosted chain that the content is for.
fn chain_of<'a>(edge: &'a Edge, content: &TransactionContent) -> Result<&'a ChainHandle, Refusal> {
    if content.network != network_tag(edge.genesis()) {
        return Err(ApiError::from(&TransactionFault::WrongNetwork).into());
    }
    match edge.registry().chain(content.chain) {
        Some(_) => edge.chain(content.chain),
        None => Err(ApiError::from(&TransactionFault::WrongChain { chain: content.chain }).into()),
    }
}

/// The highest of the three estimates whose bid this one reaches; the lowest where it reaches none.
fn reached<'a>(estimates: &'a Estimates, bid: &FeeBid) -> &'a Estimate {
    let reaches = |estimate: &&Estimate| bid.fee_max >= estimate.fee_max && bid.tip >= estimate.tip;
    [&estimates.urgent, &estimates.normal].into_iter().find(reaches).unwrap_or(&estimates.economy)
}

/// A transaction that was tried out.
struct Tried {
    id: TransactionId,
    forecast: Forecasted,
    operation: Operation,
    limits: Option<WalletLimits>,
    /// The operator that it is to be sent to, where this node does not take it in now.
    elsewhere: Option<OperatorId>,
}

impl Tried {
    fn view(self, chain: &ChainHandle, expected: ExpectedTimes) -> Simulation {
        let (would, refusal) = match self.forecast.becomes {
            Forecast::Applied => (Would::Applied, self.elsewhere.map(ApiError::exempt_elsewhere)),
            Forecast::Rejected(reason) => (Would::Rejected, Some(ApiError::from(reason))),
            Forecast::NotExecuted(reason) => (Would::NotExecuted, Some(ApiError::from(reason))),
        };
        Simulation {
            chain: chain.chain().0,
            id: self.id,
            weight: self.forecast.weight,
            would,
            fee_fen: self.forecast.fee.fen(),
            refusal: refusal.map(|error| error.in_operation(&self.operation)),
            limits: self.limits,
            expected,
        }
    }
}

/// Tries it out on the records of one snapshot.
fn try_out(chain: &ChainHandle, store: &(dyn Reader + '_), simulated: &Simulated) -> Result<Tried, Refusal> {
    let rules = chain.rules.borrow().clone();
    let transaction = match simulated {
        Simulated::Signed(transaction) => (**transaction).clone(),
        Simulated::Unsigned(content) => as_if_signed(content),
    };
    check_transaction(&rules, &transaction).map_err(|fault| ApiError::from(&fault))?;
    if matches!(simulated, Simulated::Signed(_)) && !is_signed(&transaction, rules.genesis) {
        return Err(ApiError::from(&TransactionFault::SignatureInvalid).into());
    }
    let archive = Archive::new(store);
    let head = archive.head()?.ok_or(RowFault::Missing { table: Table::Meta })?;
    // Nothing that is newer than the snapshot.
    let cache = RecordCache::default();
    let reader = RecordReader { store, cache: &cache };
    // The next block is later than the last one and about as late as our clock.
    let now = TimestampMs(wall_clock().0.max(head.timestamp.0.saturating_add(1)));
    let forecast = forecast(&rules, &head, &reader, &transaction, now)?;
    let content = transaction.content;
    let wallet = match archive.wallet(content.wallet)? {
        Some((_, Record::Wallet(wallet))) => Some(wallet),
        _ => None,
    };
    let is_here = |wallet: &WalletRecord| !matches!(wallet.status, WalletStatus::Moved { .. });
    let limits = match wallet.filter(is_here) {
        Some(wallet) => Some(limits(&archive, &rules, &head, &content, &wallet, &forecast)?),
        None => None,
    };
    let elsewhere = chain.admission.exempt_elsewhere(&forecast, head.height.next());
    let elsewhere = elsewhere.filter(|_| !head.base_fee.is_zero());
    Ok(Tried { id: content.id(rules.genesis), forecast, operation: content.operation, limits, elsewhere })
}

/// With as many signatures as its policies ask for, so that it weighs what it will weigh. They are nobody's, and are not checked.
fn as_if_signed(content: &TransactionContent) -> Transaction {
    let signatures = |policy: &Policy| -> Vec<PolicySignature> {
        let signature = Signature([0; 64]);
        (0..policy.threshold).map(|key| PolicySignature { key, signature }).collect()
    };
    let sponsor = content.fee.sponsor.as_ref();
    Transaction {
        content: content.clone(),
        signatures: signatures(&content.policy),
        sponsor_signatures: sponsor.map(|sponsor| signatures(&sponsor.policy)).unwrap_or_default(),
    }
}

/// Whether every signature is valid, the wallet's and the sponsor's. How many there are was checked when it was decoded.
fn is_signed(transaction: &Transaction, genesis: GenesisHash) -> bool {
    let message = signing_message(transaction.id(genesis));
    let is_valid = |policy: &Policy, one: &PolicySignature| {
        policy.keys.get(usize::from(one.key)).is_some_and(|key| {
            verify(&SignedMessage { public_key: *key, message: &message, signature: one.signature })
        })
    };
    let content = &transaction.content;
    let is_own = transaction.signatures.iter().all(|one| is_valid(&content.policy, one));
    let is_sponsored = content.fee.sponsor.as_ref().is_none_or(|sponsor| {
        transaction.sponsor_signatures.iter().all(|one| is_valid(&sponsor.policy, one))
    });
    is_own && is_sponsored
}

fn limits<R: Reader + ?Sized>(
    archive: &Archive<'_, R>,
    rules: &ChainRules,
    head: &StateHead,
    content: &TransactionContent,
    wallet: &WalletRecord,
    forecast: &Forecasted,
) -> Result<WalletLimits, RowFault> {
    let tier = rules.params.tier(wallet.tier);
    let lane = wallet.lanes.get(usize::from(content.nonce.lane)).copied().unwrap_or_default();
    let (mut gained, mut spent) = match forecast.becomes {
        Forecast::Applied => moved(archive, wallet.id, &content.operation)?,
        Forecast::Rejected(_) | Forecast::NotExecuted(_) => (Amount::ZERO, Amount::ZERO),
    };
    if content.fee.sponsor.is_none() {
        spent = plus(spent, forecast.fee);
    }
    // An operator that tips itself has the tip back.
    let earner = rules.registry.operator_wallet(rules.genesis, rules.currency, content.fee.operator);
    if earner == Some(wallet.id) {
        let base = base_due(rules, wallet, head.base_fee, forecast.weight);
        gained = plus(gained, forecast.fee.minus(base).unwrap_or(Amount::ZERO));
    }
    // What is applied and charged was covered.
    let after = plus(wallet.balance, gained).minus(spent).unwrap_or(Amount::ZERO);
    Ok(WalletLimits {
        balance_fen: wallet.balance.fen(),
        balance_after_fen: after.fen(),
        payment_max_fen: limit_fen(tier.payment_max),
        balance_max_fen: limit_fen(tier.balance_max),
        lanes: tier.lanes,
        next_sequence: lane.highest.saturating_add(1),
    })
}

fn plus(one: Amount, other: Amount) -> Amount {
    one.plus(other).unwrap_or(Amount::from_fen(u64::MAX))
}

/// What an applied operation brings to the signer's balance and takes from it. What a proposal gives is not counted: the rules that would
/// say so are those after it.
fn moved<R: Reader + ?Sized>(
    archive: &Archive<'_, R>,
    signer: WalletId,
    operation: &Operation,
) -> Result<(Amount, Amount), RowFault> {
    Ok(match operation {
        Operation::Issue { to, amount } if *to == signer => (*amount, Amount::ZERO),
        Operation::Claim { lock, .. } => match archive.lock(*lock)? {
            Some((_, Record::Lock(lock))) => (lock.amount, Amount::ZERO),
            _ => (Amount::ZERO, Amount::ZERO),
        },
        _ => (Amount::ZERO, operation.spends()),
    })
}
