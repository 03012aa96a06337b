//! A node, as commands reach it.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::{ApiError, Client, ClientConfig, ClientError, ErrorCode, NetworkView, Token, WalletView};
use clap::Args;
use ledger::values::{ChainId, Currency, GenesisHash, WalletId};
use tokio::runtime::Runtime;

use crate::failure::{Answer, Exit, Failure};

/// Which node, and how to be let in.
#[derive(Debug, Clone, Args)]
pub struct NodeOptions {
    /// The node's address: https anywhere, http on this machine only.
    #[arg(long, value_name = "URL", env = "JIAOZI_NODE", default_value = "http://127.0.0.1:8080")]
    pub node: String,
    /// File with the client token, where the node asks for one.
    #[arg(long, value_name = "FILE", env = "JIAOZI_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
    /// PEM file of the only certificate authority to trust.
    #[arg(long, value_name = "FILE", env = "JIAOZI_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    /// The chain, where a wallet does not tell it: else the root chain.
    #[arg(long, value_name = "ID")]
    pub chain: Option<u32>,
}

/// A client with a runtime of its own.
pub struct Connection {
    /// The client.
    pub client: Client,
    runtime: Runtime,
    ca_file: Option<PathBuf>,
}

/// What a transaction must name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The network.
    pub genesis: GenesisHash,
    /// The chain.
    pub chain: ChainId,
    /// Its currency.
    pub currency: Currency,
}

impl NodeOptions {
    /// A connection. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Failure`] when the address or a file is wrong.
    pub fn connect(&self) -> Answer<Connection> {
        let mut config = ClientConfig::new(&self.node);
        if let Some(path) = &self.token_file {
            config.token = Some(Token::load(path)?);
        }
        config.ca_file.clone_from(&self.ca_file);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|fault| Failure::unreachable("runtime", fault))?;
        let client = Client::new(&config)?;
        Ok(Connection { client, runtime, ca_file: config.ca_file })
    }

    /// The chain that was named, or the root chain.
    #[must_use]
    pub fn chain_or_root(&self) -> ChainId {
        ChainId(self.chain.unwrap_or_default())
    }
}

impl Connection {
    /// Waits for a call.
    ///
    /// # Errors
    /// What the call failed with.
    pub fn wait<T>(&self, call: impl Future<Output = Result<T, ClientError>>) -> Answer<T> {
        Ok(self.runtime.block_on(call)?)
    }

    /// The same, for so long at most, however often the call asks.
    ///
    /// # Errors
    /// What the call failed with, or that it took too long.
    pub fn within<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<T, ClientError>>,
    ) -> Answer<T> {
        self.together(limited(limit, call))
    }

    /// Waits for calls that are made at the same time.
    pub fn together<T>(&self, calls: impl Future<Output = T>) -> T {
        self.runtime.block_on(calls)
    }

    /// A wallet as its chain knows it; without `chain` the node looks where it may be at home.
    ///
    /// # Errors
    /// [`Failure`]; of a wallet that the chain does not have, naming it and what opens it.
    pub fn wallet(&self, id: WalletId, chain: Option<ChainId>) -> Answer<WalletView> {
        found(self.runtime.block_on(self.client.wallet(id, chain)), id)
    }

    /// A wallet where it is, from its home on: see [`Client::find_wallet`].
    ///
    /// # Errors
    /// As [`Connection::wallet`].
    pub fn find_wallet(&self, network: &NetworkView, id: WalletId, home: ChainId) -> Answer<WalletView> {
        found(self.runtime.block_on(self.client.find_wallet(network, id, home)), id)
    }

    /// A client of another node of the network, under the same certificate authority and with a token of its own.
    ///
    /// # Errors
    /// [`Failure`] when its address or the file is wrong.
    pub fn other(&self, node: &str, token_file: Option<&Path>) -> Answer<Client> {
        let mut config = ClientConfig::new(node);
        if let Some(path) = token_file {
            config.token = Some(Token::load(path)?);
        }
        config.ca_file.clone_from(&self.ca_file);
        Ok(Client::new(&config)?)
    }

    /// The network as the node describes it; `expected` is the genesis hash that the caller trusts.
    ///
    /// # Errors
    /// [`Failure`] when the node is of another network.
    pub fn network(&self, expected: Option<GenesisHash>) -> Answer<NetworkView> {
        let network = self.wait(self.client.network())?;
        if let Some(expected) = expected.filter(|expected| *expected != network.genesis_hash) {
            let message =
                format!("the node is of network {}, the genesis file is of {expected}", network.genesis_hash);
            return Err(Failure::refused("other_network", message)
                .at("--genesis")
                .mend("name a node of your network, or its genesis file"));
        }
        Ok(network)
    }
}

/// What a call answers within so long, or that it took too long.
///
/// # Errors
/// What the call failed with, or that it took too long.
pub async fn limited<T>(limit: Duration, call: impl Future<Output = Result<T, ClientError>>) -> Answer<T> {
    let Ok(answer) = tokio::time::timeout(limit, call).await else {
        let message = format!("no answer within {} s", limit.as_secs());
        return Err(Failure::unreachable("node_timeout", message).mend("try again, or name another node"));
    };
    Ok(answer?)
}

fn found(answer: Result<WalletView, ClientError>, id: WalletId) -> Answer<WalletView> {
    answer.map_err(|error| match error {
        ClientError::Refused(refusal) if refusal.code == ErrorCode::WalletUnknown.code() => {
            not_open(refusal, id)
        }
        error => error.into(),
    })
}

/// A new wallet exists in the keystore before it exists on the chain.
fn not_open(refusal: ApiError, id: WalletId) -> Failure {
    let message = format!("wallet {id} does not exist on the chain");
    let mend =
        "have it opened by an operator, with what `jiaozi wallet new` printed for them; else check the id";
    Failure { message, ..Failure::from(refusal) }.mend(mend)
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::Refused(refusal) => return refusal.clone().into(),
            ClientError::Url { .. } | ClientError::PlainHttp { .. } | ClientError::File { .. } => Exit::Usage,
            ClientError::Unreachable { .. } | ClientError::Timeout { .. } | ClientError::Setup(_) => {
                Exit::Unreachable
            }
            ClientError::NotCertified { .. } => Exit::Unreachable,
            _ => Exit::Refused,
        };
        let code = match &error {
            ClientError::Url { .. } => "node_url",
            ClientError::PlainHttp { .. } => "plain_http",
            ClientError::File { .. } => "client_file",
            ClientError::Setup(_) => "client_setup",
            ClientError::Unreachable { .. } => "node_unreachable",
            ClientError::Timeout { .. } => "node_timeout",
            ClientError::NotCertified { .. } => "not_certified_in_time",
            _ => "node_answer",
        };
        Self::new(exit, code, error)
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let code = format!("{} {}", error.code, error.name);
        let exit = match error.code {
            1_301..=1_304 | 1_501..=1_504 => Exit::Unreachable,
            _ => Exit::Refused,
        };
        Self { code, message: error.message, field: error.field, mend: error.mend, exit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_code_field_and_mend() {
        let failure = Failure::from(ApiError::from(ledger::records::Rejection::InsufficientFunds));
        assert_eq!(failure.code, "11205 insufficient_funds");
        assert_eq!((failure.exit, failure.field.as_deref()), (Exit::Refused, Some("operation.amount")));
        assert_eq!(failure.mend, "fund the wallet, then sign anew");
    }

    #[test]
    fn a_wallet_that_is_not_open_is_named() {
        let id = WalletId([7; 32]);
        let failure = not_open(ApiError::from(ErrorCode::WalletUnknown), id);
        assert_eq!((failure.exit, failure.code.as_str()), (Exit::Refused, "1403 wallet_unknown"));
        assert!(failure.message.contains(&id.to_string()) && failure.mend.contains("opened"), "{failure:?}");
    }

    #[test]
    fn an_address_in_the_clear_is_a_usage_error() {
        let options =
            NodeOptions { node: "http://10.0.0.1".into(), token_file: None, ca_file: None, chain: None };
        let failure = options.connect().err().unwrap();
        assert_eq!((failure.exit, failure.code.as_str()), (Exit::Usage, "plain_http"));
        assert!(failure.mend.contains("use https"), "{failure:?}");
    }

    #[test]
    fn a_node_that_is_not_there_cannot_be_reached() {
        let options =
            NodeOptions { node: "http://127.0.0.1:1".into(), token_file: None, ca_file: None, chain: None };
        let connection = options.connect().unwrap();
        let failure = connection.wait(connection.client.network()).unwrap_err();
        assert_eq!((failure.exit, failure.code.as_str()), (Exit::Unreachable, "node_unreachable"));
        assert!(failure.message.to_lowercase().contains("connection refused"), "{failure:?}");
    }
}
