//! What a transaction should bid, what blocks have cost, and what one would become.

use ledger::records::{Transaction, TransactionContent};
use ledger::values::{ChainId, Height};

use super::error::ClientError;
use super::transport::{JSON_BYTES_MAX, json_body, parse};
use super::{Client, chain_query};
use crate::fees::{FeeEstimates, FeeHistory, FeeQuery, SimulateRequest, Simulation};
use crate::path;

impl Client {
    /// What a transaction of this weight should bid, as sure and as soon as the node has it by default.
    ///
    /// # Errors
    /// [`ClientError`]; refused with code 1405 where the node does not host the chain.
    pub async fn fee_estimate(&self, chain: ChainId, weight: u64) -> Result<FeeEstimates, ClientError> {
        let query = FeeQuery { chain: Some(chain.0), weight: Some(weight), ..FeeQuery::default() };
        self.fee_estimate_with(&query).await
    }

    /// What a transaction should bid.
    ///
    /// # Errors
    /// [`ClientError`]; refused with code 1002 when a part of the query is out of bounds.
    pub async fn fee_estimate_with(&self, query: &FeeQuery) -> Result<FeeEstimates, ClientError> {
        let mut pairs = chain_query(query.chain.map(ChainId));
        pairs.extend(query.weight.map(|weight| ("weight", weight.to_string())));
        pairs.extend(query.operation.map(|operation| ("operation", operation.name().to_owned())));
        pairs.extend(query.payments.map(|payments| ("payments", payments.to_string())));
        pairs.extend(query.wallets.map(|wallets| ("wallets", wallets.to_string())));
        pairs.extend(query.to_chain.map(|chain| ("to_chain", chain.to_string())));
        pairs.extend(query.confidence.map(|confidence| ("confidence", confidence.to_string())));
        pairs.extend(query.within_s.map(|within_s| ("within_s", within_s.to_string())));
        self.transport.get_json(path::FEE_ESTIMATE, &pairs).await
    }

    /// Weights and base fees of a chain's blocks: `limit` of them (at most [`crate::fees::FEE_BLOCKS_MAX`]) from a height on, or the newest.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn fee_history(
        &self,
        chain: ChainId,
        from: Option<Height>,
        limit: Option<u32>,
    ) -> Result<FeeHistory, ClientError> {
        let mut pairs = Vec::new();
        pairs.extend(from.map(|from| ("from", from.to_string())));
        pairs.extend(limit.map(|limit| ("limit", limit.to_string())));
        self.transport.get_json(&path::fee_history(chain), &pairs).await
    }

    /// What a signed transaction would become and cost now. Nothing is taken in.
    ///
    /// # Errors
    /// [`ClientError`]; refused, as a submission is, where it can be in no batch. That it would not be applied is an answer, not an error.
    pub async fn simulate(&self, transaction: &Transaction) -> Result<Simulation, ClientError> {
        self.simulate_request(&SimulateRequest::signed(transaction)).await
    }

    /// The same, of content that nobody has signed yet.
    ///
    /// # Errors
    /// As [`Self::simulate`].
    pub async fn simulate_content(&self, content: &TransactionContent) -> Result<Simulation, ClientError> {
        self.simulate_request(&SimulateRequest::unsigned(content)).await
    }

    /// The same, of bytes that may be neither.
    ///
    /// # Errors
    /// As [`Self::simulate`].
    pub async fn simulate_request(&self, request: &SimulateRequest) -> Result<Simulation, ClientError> {
        let (url, answer) = self.transport.post(path::SIMULATE, json_body(request)?, JSON_BYTES_MAX).await?;
        parse(&url, &answer)
    }
}
