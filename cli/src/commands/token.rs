//! `jiaozi token`: client tokens for a node's REST interface.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use node::config::TokenEntry;
use node::tokens::{Scope, new_token};
use serde::Serialize;

use crate::failure::{Answer, Failure};
use crate::output::{Output, Show, is_terminal};
use crate::secret::write_private;

/// Arguments of `jiaozi token`.
#[derive(Debug, Args)]
pub struct TokenArguments {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a client token: the secret for the client, its hash for the node's configuration.
    #[command(after_help = "Examples:\n  \
        jiaozi token new --name shop --scopes submit,read --token-file shop.token\n  \
        jiaozi token new --name auditor --scopes audit,read\n\n\
        The printed entry goes under [rest] in node.toml. The token is written to --token-file (0600), or shown once on a\n\
        terminal; it is never printed into a file or pipe.")]
    New(NewArguments),
}

#[derive(Debug, Args)]
struct NewArguments {
    /// Whose token it is; shown in the node's logs.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What it opens.
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', required = true)]
    scopes: Vec<ScopeName>,
    /// New file for the token; readable by its owner only.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// A scope on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum ScopeName {
    /// Submit transactions.
    Submit,
    /// Read transactions, wallets, chains and the network.
    Read,
    /// Read the feed of blocks and batches.
    Audit,
    /// Read metrics.
    Metrics,
}

impl From<ScopeName> for Scope {
    fn from(name: ScopeName) -> Self {
        match name {
            ScopeName::Submit => Self::Submit,
            ScopeName::Read => Self::Read,
            ScopeName::Audit => Self::Audit,
            ScopeName::Metrics => Self::Metrics,
        }
    }
}

/// What the node's operator needs.
#[derive(Debug, Serialize)]
struct NewToken {
    name: String,
    sha256: String,
    scopes: Vec<String>,
    token_file: Option<PathBuf>,
    #[serde(skip)]
    entry: String,
}

impl Show for NewToken {
    fn text(&self) -> String {
        format!("# add to node.toml\n{}", self.entry.trim_end())
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure`].
pub fn run(arguments: TokenArguments, output: Output) -> Answer {
    let TokenCommand::New(NewArguments { name, mut scopes, token_file }) = arguments.command;
    scopes.sort_unstable();
    scopes.dedup();
    if token_file.is_none() && (output.is_json() || !is_terminal()) {
        return Err(Failure::usage("token_would_leak", "the token would be written into a file or pipe")
            .at("--token-file")
            .mend("name a new file for it with --token-file"));
    }
    let token = new_token().map_err(|fault| Failure::unreachable("randomness", fault))?;
    match &token_file {
        Some(path) => write_private(path, format!("{}\n", token.token.as_str()).as_bytes())?,
        None => output.line(&format!("token (shown once): {}\n", token.token.as_str()))?,
    }
    let scopes: Vec<Scope> = scopes.into_iter().map(Scope::from).collect();
    let names = scopes.iter().map(ToString::to_string).collect();
    let entry = entry(TokenEntry { name: name.clone(), sha256: token.sha256.clone(), scopes })?;
    output.result(&NewToken { name, sha256: token.sha256, scopes: names, token_file, entry })
}

/// The entry as TOML, as `node.toml` reads it.
fn entry(entry: TokenEntry) -> Answer<String> {
    #[derive(Serialize)]
    struct Rest {
        tokens: Vec<TokenEntry>,
    }
    #[derive(Serialize)]
    struct File {
        rest: Rest,
    }
    let file = File { rest: Rest { tokens: vec![entry] } };
    toml::to_string(&file).map_err(|fault| Failure::refused("toml", fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_is_what_node_toml_reads() {
        let text =
            entry(TokenEntry { name: "shop".into(), sha256: "00".repeat(32), scopes: vec![Scope::Submit] })
                .unwrap();
        assert!(text.starts_with("[[rest.tokens]]"), "{text}");
        assert!(text.contains("name = \"shop\"") && text.contains("scopes = [\"submit\"]"), "{text}");
    }

    #[test]
    fn the_token_goes_to_a_private_file_and_not_to_the_output() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let new = NewArguments {
            name: "shop".into(),
            scopes: vec![ScopeName::Read],
            token_file: Some(path.clone()),
        };
        run(TokenArguments { command: TokenCommand::New(new) }, Output::new(true)).unwrap();
        let token = crate::secret::read_file(&path, "f").unwrap();
        assert!(token.starts_with("jzt_"));
        let leaking = NewArguments { name: "shop".into(), scopes: vec![ScopeName::Read], token_file: None };
        let failure =
            run(TokenArguments { command: TokenCommand::New(leaking) }, Output::new(true)).unwrap_err();
        assert_eq!(failure.code, "token_would_leak");
    }
}
