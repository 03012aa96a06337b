//! Why a call failed: the node refused, the node cannot be reached, or it did not answer as it should.

use std::path::PathBuf;

use ledger::values::TransactionId;

use crate::bulk::BulkError;
use crate::error::ApiError;
use crate::feed::PageError;
use crate::transaction::TransactionState;

/// The cause in the HTTP library, for people. Boxed so that the library stays behind this crate.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Most causes that are told.
const CAUSES_MAX: usize = 8;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The node refused, and says why.
    #[error(transparent)]
    Refused(#[from] ApiError),
    /// The base URL is none.
    #[error(
        "{url} is not the URL of a node. Mend: write it as http://127.0.0.1:8080 or https://bank.example"
    )]
    Url {
        /// As given.
        url: String,
    },
    /// A token or money would travel in the clear.
    #[error(
        "{url} is neither https nor on this machine. Mend: use https; nodes serve plain http on loopback only"
    )]
    PlainHttp {
        /// As given.
        url: String,
    },
    /// A file with a token or a certificate authority cannot be used.
    #[error("{path}: {problem}. Mend: {mend}", mend = .problem.mend())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: FileProblem,
    },
    /// The HTTP client cannot be set up.
    #[error(
        "the HTTP client cannot be set up: {0}. Mend: check the certificates of this machine and of --ca-file"
    )]
    Setup(#[source] Cause),
    /// No connection, or it broke.
    #[error(
        "{url} cannot be reached: {causes}. \
         Mend: check that the node runs and listens there, with http or https as written; \
         an authority of its own is named with --ca-file",
        causes = causes(.source)
    )]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Why not.
        source: Cause,
    },
    /// No answer in time.
    #[error("{url} did not answer within {timeout_ms} ms. Mend: try again; submitting again is harmless")]
    Timeout {
        /// What was asked for.
        url: String,
        /// The bound.
        timeout_ms: u64,
    },
    /// A larger answer than this path can have.
    #[error("{url} answers with more than {bytes_max} bytes. Mend: this is not a node of this version")]
    AnswerTooLarge {
        /// What was asked for.
        url: String,
        /// The bound.
        bytes_max: usize,
    },
    /// An HTTP error without the body that a node sends with it.
    #[error(
        "{url} answers with HTTP status {status} and no reason. Mend: check that this is a node, not a proxy"
    )]
    Status {
        /// What was asked for.
        url: String,
        /// The status.
        status: u16,
    },
    /// Not the JSON of this path.
    #[error(
        "{url} answers with JSON that this version does not read: {source}. Mend: use the node's version"
    )]
    Json {
        /// What was asked for.
        url: String,
        /// Why.
        source: serde_json::Error,
    },
    /// Not a page of this path.
    #[error("{url} answers with a bad page: {source}. Mend: ask another node")]
    Page {
        /// What was asked for.
        url: String,
        /// Why.
        source: PageError,
    },
    /// A page about something else than was asked for.
    #[error("{url} answers about something else. Mend: ask another node")]
    OtherPage {
        /// What was asked for.
        url: String,
    },
    /// A bulk body or answer is out of bounds.
    #[error(transparent)]
    Bulk(#[from] BulkError),
    /// Waiting for the certificate took longer than asked.
    #[error(
        "transaction {id} is {state} after {waited_ms} ms. \
         Mend: ask for it again; do not pay a second time",
        state = state_name(.status)
    )]
    NotCertified {
        /// The transaction.
        id: TransactionId,
        /// Where it stood last.
        status: TransactionState,
        /// How long was waited.
        waited_ms: u64,
    },
}

/// A cause and all causes behind it: the first says only that a request failed.
fn causes(cause: &Cause) -> String {
    let mut text = cause.to_string();
    let mut next = std::error::Error::source(&**cause);
    for _ in 0..CAUSES_MAX {
        let Some(cause) = next else { break };
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = std::error::Error::source(cause);
    }
    text
}

/// A state in the words of REST.
const fn state_name(state: &TransactionState) -> &'static str {
    match state {
        TransactionState::Unknown => "unknown",
        TransactionState::Pending => "pending",
        TransactionState::NotExecuted => "not_executed",
        TransactionState::Final => "final",
        TransactionState::Certified => "certified",
        TransactionState::Expired => "expired",
    }
}

impl ClientError {
    /// Whether trying the same again can help.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Refused(error) => error.is_transient,
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::NotCertified { .. } => true,
            _ => false,
        }
    }
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum FileProblem {
    /// The operating system refused.
    #[error("cannot read: {0}")]
    Io(std::io::Error),
    /// Empty, too large, or with characters that a token cannot have.
    #[error("does not hold a token")]
    Token,
    /// No certificate.
    #[error("does not hold a certificate in PEM")]
    Certificate,
}

impl FileProblem {
    const fn mend(&self) -> &'static str {
        match self {
            Self::Io(_) => "check that the path exists and that you may read it",
            Self::Token => "put the one-line token of the node's operator into it",
            Self::Certificate => "name the PEM file of the authority that signed the node's certificate",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{said}")]
    struct Layer {
        said: &'static str,
        source: Option<Box<Self>>,
    }

    #[test]
    fn what_cannot_be_reached_says_every_cause_once() {
        let refused = Layer { said: "connection refused", source: None };
        let repeated = Layer { said: "connection refused", source: Some(Box::new(refused)) };
        let source = Box::new(Layer { said: "error sending request", source: Some(Box::new(repeated)) });
        let text = ClientError::Unreachable { url: "http://127.0.0.1:1".into(), source }.to_string();
        assert!(
            text.contains("cannot be reached: error sending request: connection refused. Mend: "),
            "{text}"
        );
    }
}
