//! The typed client of a node.
//!
//! - Every call is bounded in time and in the size of its answer. No redirects, no proxies; plain http on
//!   loopback only.
//! - [`Client::submit`] repeats itself when the node cannot be reached or is busy: posting a transaction
//!   again is harmless.
//! - [`Client::follow_legs`] asks a second node for what the first one, of fewer chains, does not see of a payment.
//! - [`Client::find_wallet`] follows a wallet from its home to where it is while shards double.
//! - [`Client::wait_certified`] waits for the certificate, the point from which an outcome is proved.
//! - [`Client::fee_estimate`] says what to bid, [`Client::simulate`] and [`Client::simulate_content`] what a bid would do.
//! - What a node says is not proof: auditors verify what [`feed::FeedReader`] gives them, others check
//!   proofs.

pub mod error;
pub mod feed;
mod fees;
mod legs;
pub mod token;
mod transport;
mod whereabouts;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ledger::proofs::{ChainOrigin, ProofFile, RegistryProof};
use ledger::records::{Outcome, Transaction};
use ledger::values::{Canonical, ChainId, Height, LockId, TransactionId, WalletId};

pub use error::ClientError;
pub use feed::FeedReader;
pub use legs::HOPS_MAX;
pub use token::Token;
pub use transport::JSON_BYTES_MAX;
pub use whereabouts::{MOVING_LOOKS_MAX, REDIRECTS_MAX};

use crate::bulk::{BULK_ANSWER_BYTES, BULK_TRANSACTIONS_MAX, BulkAnswer, decode_answers, encode_body};
use crate::chain::{BlockView, ChainView, ChainsView};
use crate::evidence::{EvidencePage, EvidenceQuery};
use crate::feed::{OUTCOMES_BYTES_MAX, decode_outcomes};
use crate::governance::VersionView;
use crate::health::{Health, Ready};
use crate::lock::{LockView, LocksPage, LocksQuery};
use crate::network::NetworkView;
use crate::path;
use crate::transaction::{
    SubmitAnswer, SubmitRequest, TransactionQuery, TransactionState, TransactionStatus, WaitFor,
};
use crate::wallet::{HistoryPage, HistoryQuery, WalletView};
use crate::why::Why;
use transport::{Body, Transport, json_body, parse};

/// Most bytes of a proof file: it grows with the changes of validator set of its chain.
pub const PROOF_BYTES_MAX: usize = <ProofFile as Canonical>::BYTES_MAX;
/// Most bytes of a registry with its proof.
pub const REGISTRY_BYTES_MAX: usize = <RegistryProof as Canonical>::BYTES_MAX;
/// Most bytes of the origin of a chain: it grows with the changes of validator set of chain 0.
pub const ORIGIN_BYTES_MAX: usize = <ChainOrigin as Canonical>::BYTES_MAX;
/// Most bytes of a page of metrics or of the OpenAPI document.
pub const TEXT_BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// Tries of a submission.
pub const SUBMIT_TRIES_MAX: u32 = 5;
/// Longest pause between two tries, where the node does not say how long.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// And where it does.
const TOLD_PAUSE_MAX: Duration = Duration::from_secs(10);
/// Shortest and longest pause between two looks at a transaction.
const POLL_FIRST: Duration = Duration::from_millis(20);
const POLL_MAX: Duration = Duration::from_millis(500);
/// Looks at a transaction after the node had no place for one that waits, before it is asked for a place again.
pub const LOOKS_BEFORE_WAITING_AGAIN: u32 = 8;

/// How to reach a node.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// `http://127.0.0.1:8080` or `https://bank.example`.
    pub base_url: String,
    /// The token, where the node asks for one.
    pub token: Option<Token>,
    /// PEM file of the only authority to trust; without it, those of this machine.
    pub ca_file: Option<PathBuf>,
    /// Bound of one exchange.
    pub timeout: Duration,
}

impl ClientConfig {
    /// No token, the authorities of this machine, 10 s.
    #[must_use]
    pub fn new(base_url: &str) -> Self {
        Self { base_url: base_url.to_owned(), token: None, ca_file: None, timeout: Duration::from_secs(10) }
    }
}

/// The client. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Client {
    transport: Transport,
}

impl Client {
    /// A client of one node. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError`] when the URL, the authority file or the machine's TLS setup cannot be used.
    pub fn new(config: &ClientConfig) -> Result<Self, ClientError> {
        Ok(Self { transport: Transport::new(config)? })
    }

    /// Submits a transaction, up to [`SUBMIT_TRIES_MAX`] times while the failure is transient and says
    /// nothing about the transaction itself.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with code, field and mend; or the last failure to reach the node.
    pub async fn submit(&self, transaction: &Transaction) -> Result<SubmitAnswer, ClientError> {
        self.submit_request(&SubmitRequest::new(transaction)).await
    }

    /// As [`Self::submit`], for bytes that may be no transaction.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub async fn submit_request(&self, request: &SubmitRequest) -> Result<SubmitAnswer, ClientError> {
        let mut pause = Duration::from_millis(50);
        for _ in 1..SUBMIT_TRIES_MAX {
            match self.submit_once(request).await {
                Err(error) if is_worth_repeating(&error) => {
                    tokio::time::sleep(pause_before_retry(&error, pause)).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                answer => return answer,
            }
        }
        self.submit_once(request).await
    }

    async fn submit_once(&self, request: &SubmitRequest) -> Result<SubmitAnswer, ClientError> {
        let (url, answer) =
            self.transport.post(path::TRANSACTIONS, json_body(request)?, JSON_BYTES_MAX).await?;
        parse(&url, &answer)
    }

    /// Submits many transactions in one request, once; answers come in the same order.
    ///
    /// # Errors
    /// [`ClientError`] when the body is out of bounds or was refused as a whole. Refusals of single
    /// transactions are answers.
    pub async fn submit_bulk(&self, transactions: &[Transaction]) -> Result<Vec<BulkAnswer>, ClientError> {
        let encoded: Vec<Vec<u8>> = transactions.iter().map(Canonical::encode).collect();
        self.submit_bulk_body(encode_body(encoded.iter().map(Vec::as_slice))?, transactions.len()).await
    }

    /// Submits an encoded body ([`encode_body`]) of `transactions` transactions, once.
    ///
    /// # Errors
    /// As [`Self::submit_bulk`].
    pub async fn submit_bulk_body(
        &self,
        body: Vec<u8>,
        transactions: usize,
    ) -> Result<Vec<BulkAnswer>, ClientError> {
        const ANSWERS_BYTES_MAX: usize = BULK_TRANSACTIONS_MAX * BULK_ANSWER_BYTES;
        let (_, answer) =
            self.transport.post(path::TRANSACTIONS, Body::Binary(body), ANSWERS_BYTES_MAX).await?;
        Ok(decode_answers(&answer, transactions)?)
    }

    /// What became of a transaction. Unknown ones are an answer, not an error.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn transaction(&self, id: TransactionId) -> Result<TransactionStatus, ClientError> {
        self.transaction_with(id, TransactionQuery::default()).await
    }

    /// The same, letting the node wait with its answer.
    ///
    /// # Errors
    /// [`ClientError`]; refused with code 1303 while too many wait there.
    pub async fn transaction_with(
        &self,
        id: TransactionId,
        query: TransactionQuery,
    ) -> Result<TransactionStatus, ClientError> {
        let mut pairs = Vec::new();
        pairs.extend(query.wait.map(|wait| match wait {
            WaitFor::Final => ("wait", "final".to_owned()),
            WaitFor::Certified => ("wait", "certified".to_owned()),
            WaitFor::Settled => ("wait", "settled".to_owned()),
        }));
        pairs.extend(query.timeout_ms.map(|timeout_ms| ("timeout_ms", timeout_ms.to_string())));
        let unknown = crate::code::ErrorCode::TransactionUnknown.code();
        match self.transport.get_json(&path::transaction(id), &pairs).await {
            Err(ClientError::Refused(error)) if error.code == unknown => {
                Ok(TransactionStatus::without_position(id, TransactionState::Unknown, None))
            }
            answer => answer,
        }
    }

    /// [`Self::wait_for`] the certificate.
    ///
    /// # Errors
    /// As [`Self::wait_for`].
    pub async fn wait_certified(
        &self,
        id: TransactionId,
        timeout: Duration,
    ) -> Result<TransactionStatus, ClientError> {
        self.wait_for(id, WaitFor::Certified, timeout).await
    }

    /// Waits until a transaction is final or certified, or certainly never will be: then its status is `Expired`, or, where its wallet has
    /// moved to another chain, `NotExecuted`.
    ///
    /// The node is asked to wait, for half of one exchange's bound at a time. Failures to reach it are waited out, and
    /// while it has no place for one that waits, this side looks again and again, [`LOOKS_BEFORE_WAITING_AGAIN`] times.
    ///
    /// # Errors
    /// [`ClientError::NotCertified`] after `timeout`; other failures that waiting does not mend.
    pub async fn wait_for(
        &self,
        id: TransactionId,
        what: WaitFor,
        timeout: Duration,
    ) -> Result<TransactionStatus, ClientError> {
        let started = Instant::now();
        let (mut pause, mut status, mut looks) = (POLL_FIRST, TransactionState::Unknown, 0_u32);
        loop {
            let left = timeout.saturating_sub(started.elapsed()).min(self.transport.timeout() / 2);
            let wait = TransactionQuery { wait: Some(what), timeout_ms: Some(millis(left)) };
            let query = if looks == 0 { wait } else { TransactionQuery::default() };
            looks = looks.saturating_sub(1);
            match self.transaction_with(id, query).await {
                Ok(answer) if is_there(&answer, what) => return Ok(answer),
                Ok(answer) => status = answer.status,
                // Too many wait there already, or it is away.
                Err(error) if error.is_transient() => looks = LOOKS_BEFORE_WAITING_AGAIN,
                Err(error) => return Err(error),
            }
            if started.elapsed() + pause > timeout {
                return Err(ClientError::NotCertified { id, status, waited_ms: millis(started.elapsed()) });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(POLL_MAX);
        }
    }

    /// The proof of a transaction's outcome, as the bytes of a proof file.
    ///
    /// # Errors
    /// [`ClientError`]; refused with code 1409 while the outcome is not certified.
    pub async fn transaction_proof(&self, id: TransactionId) -> Result<Vec<u8>, ClientError> {
        let (_, proof) = self.transport.get_bytes(&path::transaction_proof(id), &[], PROOF_BYTES_MAX).await?;
        Ok(proof)
    }

    /// A wallet, on `chain` or on the first chain of the node that has it.
    ///
    /// # Errors
    /// [`ClientError`]; refused with code 1403 when there is none.
    pub async fn wallet(&self, id: WalletId, chain: Option<ChainId>) -> Result<WalletView, ClientError> {
        self.transport.get_json(&path::wallet(id), &chain_query(chain)).await
    }

    /// The proof of a wallet's record or absence, as the bytes of a proof file. The node waits for the certificate over
    /// the height that it had reached when it was asked, some blocks long.
    ///
    /// # Errors
    /// [`ClientError`]; refused with code 1409 when there is none in time.
    pub async fn wallet_proof(&self, id: WalletId, chain: Option<ChainId>) -> Result<Vec<u8>, ClientError> {
        let (_, proof) =
            self.transport.get_bytes(&path::wallet_proof(id), &chain_query(chain), PROOF_BYTES_MAX).await?;
        Ok(proof)
    }

    /// A page of a wallet's history, newest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn history(&self, id: WalletId, query: HistoryQuery) -> Result<HistoryPage, ClientError> {
        let mut pairs = chain_query(query.chain.map(ChainId));
        pairs.extend(query.before.map(|before| ("before", before.to_string())));
        pairs.extend(query.limit.map(|limit| ("limit", limit.to_string())));
        self.transport.get_json(&path::wallet_history(id), &pairs).await
    }

    /// A page of the open locks and offers that name a wallet, oldest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn wallet_locks(&self, id: WalletId, query: LocksQuery) -> Result<LocksPage, ClientError> {
        let mut pairs = chain_query(query.chain.map(ChainId));
        pairs.extend(query.from.map(|from| ("from", from.to_string())));
        pairs.extend(query.limit.map(|limit| ("limit", limit.to_string())));
        self.transport.get_json(&path::wallet_locks(id), &pairs).await
    }

    /// A lock, or the offer of an exchange.
    ///
    /// # Errors
    /// [`ClientError`]; refused with code 1412 when the chain has none under this id.
    pub async fn lock(&self, chain: ChainId, id: LockId) -> Result<LockView, ClientError> {
        self.transport.get_json(&path::lock(chain, id), &[]).await
    }

    /// The proof of what a lock or an offer is, as the bytes of a proof file. The node waits for the certificate, as for a wallet's.
    ///
    /// # Errors
    /// [`ClientError`]; refused with code 1409 when there is none in time, with 1412 when the chain has no such lock.
    pub async fn lock_proof(&self, chain: ChainId, id: LockId) -> Result<Vec<u8>, ClientError> {
        let (_, proof) = self.transport.get_bytes(&path::lock_proof(chain, id), &[], PROOF_BYTES_MAX).await?;
        Ok(proof)
    }

    /// All chains of the network.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn chains(&self) -> Result<ChainsView, ClientError> {
        self.transport.get_json(path::CHAINS, &[]).await
    }

    /// One chain.
    ///
    /// # Errors
    /// [`ClientError`]; refused with code 1404 when there is none.
    pub async fn chain(&self, chain: ChainId) -> Result<ChainView, ClientError> {
        self.transport.get_json(&path::chain(chain), &[]).await
    }

    /// A chain's registry with its proof, as the bytes of a [`RegistryProof`]. The node waits for the certificate over the height
    /// that it had reached when it was asked.
    ///
    /// # Errors
    /// [`ClientError`]; refused with code 1405 where the node does not host the chain, 1409 when there is no certificate in time.
    pub async fn registry(&self, chain: ChainId) -> Result<Vec<u8>, ClientError> {
        let (_, proof) = self.transport.get_bytes(&path::registry(chain), &[], REGISTRY_BYTES_MAX).await?;
        Ok(proof)
    }

    /// What a chain that was added after genesis began with, as the bytes of a [`ChainOrigin`]: a node that hosts the chain has it, or one
    /// of chain 0.
    ///
    /// # Errors
    /// [`ClientError`]; refused with code 1405 where the node hosts neither, 1414 where it has no such origin, or none yet.
    pub async fn origin(&self, chain: ChainId) -> Result<Vec<u8>, ClientError> {
        let (_, origin) = self.transport.get_bytes(&path::origin(chain), &[], ORIGIN_BYTES_MAX).await?;
        Ok(origin)
    }

    /// Which proposal changed a version of the registry, if one did.
    ///
    /// # Errors
    /// [`ClientError`]; refused with code 1405 where the node does not host chain 0.
    pub async fn proposal(&self, version: u64) -> Result<VersionView, ClientError> {
        self.transport.get_json(&path::proposal(version), &[]).await
    }

    /// Recorded misbehaviour of validators, oldest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn evidence(&self, query: EvidenceQuery) -> Result<EvidencePage, ClientError> {
        let mut pairs = chain_query(query.chain.map(ChainId));
        pairs.extend(query.from.map(|from| ("from", from.to_string())));
        pairs.extend(query.limit.map(|limit| ("limit", limit.to_string())));
        self.transport.get_json(path::EVIDENCE, &pairs).await
    }

    /// A block.
    ///
    /// # Errors
    /// [`ClientError`]; refused with code 1406 when it is not final there yet.
    pub async fn block(&self, chain: ChainId, height: Height) -> Result<BlockView, ClientError> {
        self.transport.get_json(&path::block(chain, height), &[]).await
    }

    /// The outcomes of a block.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn outcomes(&self, chain: ChainId, height: Height) -> Result<Vec<Outcome>, ClientError> {
        let path = path::block_outcomes(chain, height);
        let (url, page) = self.transport.get_bytes(&path, &[], OUTCOMES_BYTES_MAX).await?;
        decode_outcomes(&page).map_err(|source| ClientError::Page { url, source })
    }

    /// Reads blocks with their batches and bundles from height `from` (1 or above) on.
    #[must_use]
    pub fn feed(&self, chain: ChainId, from: Height) -> FeedReader {
        FeedReader::new(self.transport.clone(), chain, from)
    }

    /// Operators and nodes.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn network(&self) -> Result<NetworkView, ClientError> {
        self.transport.get_json(path::NETWORK, &[]).await
    }

    /// Whether the process lives.
    ///
    /// # Errors
    /// [`ClientError`] when it does not answer.
    pub async fn health(&self) -> Result<Health, ClientError> {
        self.transport.get_json(path::HEALTH, &[]).await
    }

    /// Whether the node serves. Not being ready is an answer, not an error.
    ///
    /// # Errors
    /// [`ClientError`] when it does not answer.
    pub async fn ready(&self) -> Result<Ready, ClientError> {
        self.transport.get_json_or_unready(path::READY).await
    }

    /// Why the node does not do its work, and what to do next.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn why(&self) -> Result<Why, ClientError> {
        self.transport.get_json(path::WHY, &[]).await
    }

    /// The metrics, as text for Prometheus.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn metrics(&self) -> Result<String, ClientError> {
        self.text(path::METRICS).await
    }

    /// The contract as an OpenAPI document.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn openapi(&self) -> Result<String, ClientError> {
        self.text(path::OPENAPI).await
    }

    async fn text(&self, path: &str) -> Result<String, ClientError> {
        let (_, text) = self.transport.get_bytes(path, &[], TEXT_BYTES_MAX).await?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Whether waiting is over.
fn is_there(answer: &TransactionStatus, what: WaitFor) -> bool {
    match what {
        _ if answer.is_dead_of_move() => true,
        WaitFor::Settled if answer.status == TransactionState::Certified => answer.is_settled_here(),
        WaitFor::Settled | WaitFor::Certified => answer.status.is_terminal(),
        WaitFor::Final => answer.status.is_terminal() || answer.status == TransactionState::Final,
    }
}

fn chain_query(chain: Option<ChainId>) -> Vec<(&'static str, String)> {
    chain.map(|chain| ("chain", chain.to_string())).into_iter().collect()
}

/// The node was not reached or was busy. A transient refusal about the transaction itself, such as missing
/// funds, is for the caller to decide.
fn is_worth_repeating(error: &ClientError) -> bool {
    const OVERLOAD_AND_STATE: [std::ops::Range<u32>; 2] = [1_300..1_400, 1_500..1_600];
    match error {
        ClientError::Refused(refusal) => {
            refusal.is_transient && OVERLOAD_AND_STATE.iter().any(|range| range.contains(&refusal.code))
        }
        other => other.is_transient(),
    }
}

/// What the node asks for, within bounds, else the growing pause.
fn pause_before_retry(error: &ClientError, pause: Duration) -> Duration {
    match error {
        ClientError::Refused(refusal) => {
            refusal.retry_after_ms.map_or(pause, |told| Duration::from_millis(told).min(TOLD_PAUSE_MAX))
        }
        _ => pause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::ErrorCode;
    use crate::error::ApiError;

    #[test]
    fn a_busy_node_says_how_long_to_wait_within_bounds() {
        let own = Duration::from_millis(50);
        let pause = |error: ApiError| {
            let error = ClientError::Refused(error);
            assert!(is_worth_repeating(&error), "{error}");
            pause_before_retry(&error, own)
        };
        let busy = || ApiError::from(ErrorCode::Overloaded);
        assert_eq!(pause(busy()), own);
        assert_eq!(pause(busy().retry_after_ms(2_500)), Duration::from_millis(2_500));
        assert_eq!(pause(busy().retry_after_ms(3_600_000)), TOLD_PAUSE_MAX);
    }
}
