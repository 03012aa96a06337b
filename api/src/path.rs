//! Where everything is. Templates are for the server's router; functions are for clients.

use ledger::values::{ChainId, Height, LockId, TransactionId, WalletId};

/// `POST`: submit one (JSON) or many (binary).
pub const TRANSACTIONS: &str = "/v1/transactions";
/// `POST`: what a transaction would become and cost now; nothing is taken in.
pub const SIMULATE: &str = "/v1/transactions/simulate";
/// `GET`: what became of a transaction.
pub const TRANSACTION: &str = "/v1/transactions/{id}";
/// `GET`: the proof of its outcome, binary.
pub const TRANSACTION_PROOF: &str = "/v1/transactions/{id}/proof";
/// `GET`: a wallet.
pub const WALLET: &str = "/v1/wallets/{id}";
/// `GET`: what happened to a wallet, newest first.
pub const WALLET_HISTORY: &str = "/v1/wallets/{id}/history";
/// `GET`: the proof of its record, or of its absence, binary.
pub const WALLET_PROOF: &str = "/v1/wallets/{id}/proof";
/// `GET`: the open locks and offers that name it, paged.
pub const WALLET_LOCKS: &str = "/v1/wallets/{id}/locks";
/// `GET`: all chains of the network.
pub const CHAINS: &str = "/v1/chains";
/// `GET`: one chain.
pub const CHAIN: &str = "/v1/chains/{chain}";
/// `GET`: weights and base fees of a chain's blocks.
pub const FEE_HISTORY: &str = "/v1/chains/{chain}/fees/history";
/// `GET`: a chain's registry with its proof, binary.
pub const REGISTRY: &str = "/v1/chains/{chain}/registry";
/// `GET`: what a chain that was added after genesis began with, and why, binary.
pub const ORIGIN: &str = "/v1/chains/{chain}/origin";
/// `GET`: which proposal changed a version of the registry, if one did.
pub const PROPOSAL: &str = "/v1/proposals/{version}";
/// `GET`: a block.
pub const BLOCK: &str = "/v1/chains/{chain}/blocks/{height}";
/// `GET`: the outcomes of a block, binary.
pub const BLOCK_OUTCOMES: &str = "/v1/chains/{chain}/blocks/{height}/outcomes";
/// `GET`: blocks with certificates and results for auditors, binary, paged.
pub const FEED: &str = "/v1/chains/{chain}/feed";
/// `GET`: batches by digest, binary.
pub const BATCHES: &str = "/v1/chains/{chain}/batches";
/// `GET`: bundles by digest, binary.
pub const BUNDLES: &str = "/v1/chains/{chain}/bundles";
/// `GET`: a lock, or the offer of an exchange.
pub const LOCK: &str = "/v1/chains/{chain}/locks/{id}";
/// `GET`: the proof of what a lock or an offer is, binary.
pub const LOCK_PROOF: &str = "/v1/chains/{chain}/locks/{id}/proof";
/// `GET`: what a transaction should bid.
pub const FEE_ESTIMATE: &str = "/v1/fees/estimate";
/// `GET`: recorded misbehaviour of validators.
pub const EVIDENCE: &str = "/v1/evidence";
/// `GET`: operators and nodes.
pub const NETWORK: &str = "/v1/network";
/// `GET`: why the node does not do its work, and what to do next.
pub const WHY: &str = "/v1/why";
/// `GET`: whether the process lives.
pub const HEALTH: &str = "/healthz";
/// `GET`: whether the node serves, and if not why.
pub const READY: &str = "/readyz";
/// `GET`: metrics for Prometheus.
pub const METRICS: &str = "/metrics";
/// `GET`: this contract as OpenAPI.
pub const OPENAPI: &str = "/openapi.json";

/// [`TRANSACTION`] of `id`.
#[must_use]
pub fn transaction(id: TransactionId) -> String {
    format!("{TRANSACTIONS}/{id}")
}

/// [`TRANSACTION_PROOF`] of `id`.
#[must_use]
pub fn transaction_proof(id: TransactionId) -> String {
    format!("{TRANSACTIONS}/{id}/proof")
}

/// [`WALLET`] of `id`.
#[must_use]
pub fn wallet(id: WalletId) -> String {
    format!("/v1/wallets/{id}")
}

/// [`WALLET_HISTORY`] of `id`.
#[must_use]
pub fn wallet_history(id: WalletId) -> String {
    format!("/v1/wallets/{id}/history")
}

/// [`WALLET_PROOF`] of `id`.
#[must_use]
pub fn wallet_proof(id: WalletId) -> String {
    format!("/v1/wallets/{id}/proof")
}

/// [`WALLET_LOCKS`] of `id`.
#[must_use]
pub fn wallet_locks(id: WalletId) -> String {
    format!("/v1/wallets/{id}/locks")
}

/// [`CHAIN`] of `chain`.
#[must_use]
pub fn chain(chain: ChainId) -> String {
    format!("{CHAINS}/{chain}")
}

/// [`FEE_HISTORY`] of `chain`.
#[must_use]
pub fn fee_history(chain: ChainId) -> String {
    format!("{CHAINS}/{chain}/fees/history")
}

/// [`REGISTRY`] of `chain`.
#[must_use]
pub fn registry(chain: ChainId) -> String {
    format!("{CHAINS}/{chain}/registry")
}

/// [`ORIGIN`] of `chain`.
#[must_use]
pub fn origin(chain: ChainId) -> String {
    format!("{CHAINS}/{chain}/origin")
}

/// [`PROPOSAL`] of `version`.
#[must_use]
pub fn proposal(version: u64) -> String {
    format!("/v1/proposals/{version}")
}

/// [`BLOCK`] at `height`.
#[must_use]
pub fn block(chain: ChainId, height: Height) -> String {
    format!("{CHAINS}/{chain}/blocks/{height}")
}

/// [`BLOCK_OUTCOMES`] at `height`.
#[must_use]
pub fn block_outcomes(chain: ChainId, height: Height) -> String {
    format!("{CHAINS}/{chain}/blocks/{height}/outcomes")
}

/// [`FEED`] of `chain`.
#[must_use]
pub fn feed(chain: ChainId) -> String {
    format!("{CHAINS}/{chain}/feed")
}

/// [`BATCHES`] of `chain`.
#[must_use]
pub fn batches(chain: ChainId) -> String {
    format!("{CHAINS}/{chain}/batches")
}

/// [`BUNDLES`] of `chain`.
#[must_use]
pub fn bundles(chain: ChainId) -> String {
    format!("{CHAINS}/{chain}/bundles")
}

/// [`LOCK`] of `id` on `chain`.
#[must_use]
pub fn lock(chain: ChainId, id: LockId) -> String {
    format!("{CHAINS}/{chain}/locks/{id}")
}

/// [`LOCK_PROOF`] of `id` on `chain`.
#[must_use]
pub fn lock_proof(chain: ChainId, id: LockId) -> String {
    format!("{CHAINS}/{chain}/locks/{id}/proof")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What clients ask for is what the router's template matches.
    #[test]
    fn functions_fill_their_templates() {
        let (id, wallet_id, in_chain, height) =
            (TransactionId([1; 32]), WalletId([2; 32]), ChainId(3), Height(4));
        let fill = |template: &str, id: &str| {
            template.replace("{id}", id).replace("{chain}", "3").replace("{height}", "4")
        };
        assert_eq!(transaction(id), fill(TRANSACTION, &id.to_string()));
        assert_eq!(transaction_proof(id), fill(TRANSACTION_PROOF, &id.to_string()));
        assert_eq!(wallet(wallet_id), fill(WALLET, &wallet_id.to_string()));
        assert_eq!(wallet_history(wallet_id), fill(WALLET_HISTORY, &wallet_id.to_string()));
        assert_eq!(wallet_proof(wallet_id), fill(WALLET_PROOF, &wallet_id.to_string()));
        assert_eq!(wallet_locks(wallet_id), fill(WALLET_LOCKS, &wallet_id.to_string()));
        assert_eq!(chain(in_chain), fill(CHAIN, ""));
        assert_eq!(fee_history(in_chain), fill(FEE_HISTORY, ""));
        assert_eq!(registry(in_chain), fill(REGISTRY, ""));
        assert_eq!(origin(in_chain), fill(ORIGIN, ""));
        assert_eq!(proposal(5), PROPOSAL.replace("{version}", "5"));
        assert_eq!(block(in_chain, height), fill(BLOCK, ""));
        assert_eq!(block_outcomes(in_chain, height), fill(BLOCK_OUTCOMES, ""));
        assert_eq!(feed(in_chain), fill(FEED, ""));
        assert_eq!(batches(in_chain), fill(BATCHES, ""));
        assert_eq!(bundles(in_chain), fill(BUNDLES, ""));
        let lock_id = LockId([5; 32]);
        assert_eq!(lock(in_chain, lock_id), fill(LOCK, &lock_id.to_string()));
        assert_eq!(lock_proof(in_chain, lock_id), fill(LOCK_PROOF, &lock_id.to_string()));
    }
}
