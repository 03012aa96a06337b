//! `jiaozi node support-bundle`: what maintainers need to see of a node, in one file, without its secrets.
//!
//! Rules: files are never copied from the data directory or from beside the keys. What is in the bundle is named here, one by one: what
//! the node tells over REST, the configuration as the program understood it (so without comments, and with the hashes of tokens left out), names and
//! sizes of files, and the end of a log that the operator names. The passphrase and the token that the operator gave are taken out of every
//! part, should a log have them. All of it is bounded by [`BUNDLE_BYTES_MAX`].

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api::chain::ChainsView;
use api::health::Ready;
use api::network::NetworkView;
use api::why::Why;
use clap::Args;
use node::NodeConfig;
use serde::Serialize;
use zeroize::Zeroizing;

use super::doctor::{NodeAt, judge};
use super::node::load;
use crate::connection::{Connection, limited};
use crate::failure::{Answer, Failure};
use crate::output::{Output, Show, facts, grouped};

/// Most bytes of a bundle.
const BUNDLE_BYTES_MAX: usize = 16 << 20;
/// Most bytes of one part; the end of a log, the beginning of everything else.
const PART_BYTES_MAX: usize = 1 << 20;
/// Parts of a bundle.
const PARTS_MAX: usize = 10;
/// Files that are listed.
const FILES_MAX: usize = 10_000;
/// How deep the data directory is looked at: chains, then databases and journals, then their partitions.
const DEPTH_MAX: usize = 6;
/// How long the node has for its answers.
const ANSWER: Duration = Duration::from_secs(5);
/// A secret that is shorter would take words out of every text.
const SECRET_BYTES_MIN: usize = 6;
/// A secret's file is not larger.
const SECRET_BYTES_MAX: u64 = 4_096;
const _: () = assert!(
    BUNDLE_BYTES_MAX > (PARTS_MAX + 1) * PART_BYTES_MAX,
    "each of the parts may be as large as it can be, with room for their heads"
);

/// Arguments of `jiaozi node support-bundle`.
#[derive(Debug, Args)]
pub(super) struct BundleArguments {
    /// The node's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The new file.
    #[arg(long, value_name = "FILE.tar")]
    to: PathBuf,
    /// The node's log, where it is kept in a file: its end goes into the bundle.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// The node's address, where it is not the one that the configuration says.
    #[arg(long, value_name = "URL")]
    node: Option<String>,
    /// File with the client token, where the node asks for one.
    #[arg(long, value_name = "FILE", env = "JIAOZI_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// PEM file of the only certificate authority to trust.
    #[arg(long, value_name = "FILE", env = "JIAOZI_CA_FILE")]
    ca_file: Option<PathBuf>,
}

/// What was written.
#[derive(Debug, Serialize)]
struct Bundled {
    file: PathBuf,
    bytes: usize,
    parts: Vec<String>,
}

impl Show for Bundled {
    fn text(&self) -> String {
        facts(&[
            ("file", self.file.display().to_string()),
            ("bytes", grouped(u64::try_from(self.bytes).unwrap_or(u64::MAX))),
            ("parts", self.parts.join(", ")),
            ("next", "look into it (tar -xOf FILE | less), then send it to the maintainers".to_owned()),
        ])
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]: the configuration or the log cannot be read, or the file cannot be written.
pub(super) fn run(arguments: &BundleArguments, output: Output) -> Answer {
    let config = load(&arguments.config)?;
    let BundleArguments { node, token_file, ca_file, .. } = arguments;
    let at = NodeAt::of(&arguments.config, node.clone(), token_file.clone(), ca_file.clone());
    let mut bundle = Bundle::new(Redactor::of(&config, token_file.as_deref()));
    bundle.add("version.txt", &format!("jiaozi {}\n", env!("CARGO_PKG_VERSION")))?;
    bundle.add("config.toml", &shown(&config)?)?;
    let (connection, address) = at.connect(Some(&config))?;
    let told = Told::ask(&connection);
    bundle.add_json("why.json", judge(told.why, Some(&config), address).as_ref())?;
    bundle.add_json("ready.json", told.ready.as_ref())?;
    bundle.add_json("chains.json", told.chains.as_ref())?;
    bundle.add_json("network.json", told.network.as_ref())?;
    match told.metrics {
        Ok(page) => bundle.add("metrics.txt", &page)?,
        Err(failure) => bundle.add("metrics.txt", &failure.text())?,
    }
    let (listing, stores) = listing(&config.node.data_directory);
    bundle.add("files.txt", &listing)?;
    bundle.add("stores.txt", &stores)?;
    if let Some(log) = &arguments.log {
        bundle.add("log.txt", &end_of(log)?)?;
    }
    let (bytes, parts) = bundle.finish()?;
    let io = |fault: std::io::Error| Failure::io("write", &arguments.to, &fault).at("--to");
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&arguments.to).map_err(io)?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(io)?;
    output.result(&Bundled { file: arguments.to.clone(), bytes: bytes.len(), parts })
}

/// What the node says, or why there is no answer.
struct Told {
    why: Answer<Why>,
    ready: Answer<Ready>,
    chains: Answer<ChainsView>,
    network: Answer<NetworkView>,
    metrics: Answer<String>,
}

impl Told {
    /// Asks everything at the same time: a node that is frozen keeps the operator for [`ANSWER`] once.
    fn ask(connection: &Connection) -> Self {
        let client = &connection.client;
        let (why, ready, chains, network, metrics) = connection.together(async {
            tokio::join!(
                limited(ANSWER, client.why()),
                limited(ANSWER, client.ready()),
                limited(ANSWER, client.chains()),
                limited(ANSWER, client.network()),
                limited(ANSWER, client.metrics()),
            )
        });
        Self { why, ready, chains, network, metrics }
    }
}

/// The configuration as the program understood it, without what lets a client in.
fn shown(config: &NodeConfig) -> Answer<String> {
    let mut config = config.clone();
    for token in &mut config.rest.tokens {
        "left out".clone_into(&mut token.sha256);
    }
    toml::to_string(&config).map_err(|fault| Failure::refused("bundle", fault))
}

/// Takes secrets out of texts.
struct Redactor(Vec<Zeroizing<String>>);

impl Redactor {
    /// Of those that the operator keeps in files in the clear: the passphrase, the client token. What cannot be read cannot be in a text either
    /// by this program's doing.
    fn of(config: &NodeConfig, token_file: Option<&Path>) -> Self {
        let files = config.keys.passphrase_file.as_deref().into_iter().chain(token_file);
        let secrets = files.filter_map(|path| {
            let mut text = Zeroizing::new(String::new());
            fs::File::open(path).ok()?.take(SECRET_BYTES_MAX).read_to_string(&mut text).ok()?;
            Some(Zeroizing::new(text.trim().to_owned())).filter(|secret| secret.len() >= SECRET_BYTES_MIN)
        });
        Self(secrets.collect())
    }

    fn redact(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "(left out)"))
    }
}

/// The file in the making.
struct Bundle {
    archive: tar::Builder<Vec<u8>>,
    redactor: Redactor,
    parts: Vec<String>,
    made_s: u64,
}

impl Bundle {
    fn new(redactor: Redactor) -> Self {
        let made = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { archive: tar::Builder::new(Vec::new()), redactor, parts: Vec::new(), made_s: made.as_secs() }
    }

    /// What a call answered, or why there is no answer.
    fn add_json<T: Serialize>(&mut self, name: &str, answer: Result<&T, &Failure>) -> Answer {
        let text = match answer {
            Ok(answer) => serde_json::to_string_pretty(answer),
            Err(failure) => serde_json::to_string_pretty(failure),
        };
        self.add(name, &text.map_err(|fault| Failure::refused("bundle", fault))?)
    }

    fn add(&mut self, name: &str, text: &str) -> Answer {
        let redacted = self.redactor.redact(text);
        let text = head(&redacted, PART_BYTES_MAX);
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(text.len()).unwrap_or(u64::MAX));
        header.set_mode(0o600);
        header.set_mtime(self.made_s);
        let added = self.archive.append_data(&mut header, format!("support/{name}"), text.as_bytes());
        added.map_err(|fault| Failure::refused("bundle", fault))?;
        self.parts.push(name.to_owned());
        Ok(())
    }

    fn finish(self) -> Answer<(Vec<u8>, Vec<String>)> {
        let bytes = self.archive.into_inner().map_err(|fault| Failure::refused("bundle", fault))?;
        if bytes.len() > BUNDLE_BYTES_MAX {
            let message =
                format!("the bundle has {} bytes; at most {BUNDLE_BYTES_MAX} are written", bytes.len());
            return Err(Failure::refused("bundle", message).mend("leave out --log"));
        }
        Ok((bytes, self.parts))
    }
}

/// The beginning of a text, whole characters.
fn head(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default()
}

/// The end of a file, from the first whole line on.
fn end_of(path: &Path) -> Answer<String> {
    let io = |fault: std::io::Error| Failure::io("read", path, &fault).at("--log");
    let mut file = fs::File::open(path).map_err(io)?;
    let kept = u64::try_from(PART_BYTES_MAX / 2).unwrap_or(u64::MAX);
    let length = file.metadata().map_err(io)?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(kept))).map_err(io)?;
    let mut bytes = Vec::new();
    file.take(kept).read_to_end(&mut bytes).map_err(io)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let is_cut = length > kept;
    Ok(match text.split_once('\n') {
        Some((_, rest)) if is_cut => rest.to_owned(),
        _ => text,
    })
}

/// Names and sizes of the files below a folder, and whose databases they are.
fn listing(folder: &Path) -> (String, String) {
    let (mut files, mut stores) = (Vec::new(), Vec::new());
    walk(folder, folder, DEPTH_MAX, &mut files, &mut stores);
    files.sort();
    stores.sort();
    let mut text: Vec<String> =
        files.iter().take(FILES_MAX).map(|(name, bytes)| format!("{bytes:>15} {name}")).collect();
    if files.len() > FILES_MAX {
        text.push(format!("and at least {} more", files.len() - FILES_MAX));
    }
    (text.join("\n") + "\n", stores.join("\n") + "\n")
}

fn walk(root: &Path, folder: &Path, depth: usize, files: &mut Vec<(String, u64)>, stores: &mut Vec<String>) {
    let name = |path: &Path| path.strip_prefix(root).unwrap_or(path).display().to_string();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if files.len() > FILES_MAX {
            return;
        }
        let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
        if kind.is_dir() && depth > 0 {
            walk(root, &path, depth - 1, files, stores);
        } else if kind.is_file() {
            files.push((name(&path), entry.metadata().map_or(0, |metadata| metadata.len())));
            if entry.file_name() == "STORE" {
                let whose = storage::read_identity(folder)
                    .map_or_else(|fault| fault.to_string(), |identity| identity.to_string());
                stores.push(format!("{}: {whose}", name(folder)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(folder: &Path) -> NodeConfig {
        let text = format!(
            "[node]\ngenesis = \"g\"\ndata_directory = {:?}\n[keys]\nnetwork_key = \"n\"\npassphrase_file = {:?}\n\
             [[rest.tokens]]\nname = \"shop\"\nsha256 = \"{}\"\nscopes = [\"read\"] # never tell 12345\n",
            folder.join("data"),
            folder.join("passphrase"),
            "ab".repeat(32)
        );
        NodeConfig::parse(&text).unwrap()
    }

    #[test]
    fn the_configuration_has_no_hashes_of_tokens_and_no_comments() {
        let folder = tempfile::tempdir().unwrap();
        let text = shown(&config(folder.path())).unwrap();
        assert!(text.contains("shop") && text.contains("left out"), "{text}");
        assert!(!text.contains(&"ab".repeat(32)) && !text.contains("12345"), "{text}");
    }

    /// A process that is stopped takes connections and answers nothing: every question is asked, and all of them together wait once.
    #[test]
    fn a_bundle_of_a_frozen_node_is_made_within_one_wait() {
        let folder = tempfile::tempdir().unwrap();
        let frozen = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (path, to) = (folder.path().join("node.toml"), folder.path().join("support.tar"));
        let text = format!(
            "[node]\ngenesis = \"g\"\ndata_directory = {:?}\n[keys]\nnetwork_key = \"n\"\npassphrase_file = \"p\"\n\
             [rest]\nlisten = {:?}\n",
            folder.path().join("data"),
            frozen.local_addr().unwrap().to_string()
        );
        fs::write(&path, text).unwrap();
        let arguments = BundleArguments {
            config: path,
            to: to.clone(),
            log: None,
            node: None,
            token_file: None,
            ca_file: None,
        };
        let started = std::time::Instant::now();
        run(&arguments, Output::new(true)).unwrap();
        let took = started.elapsed();
        assert!(took >= ANSWER && took < ANSWER + Duration::from_secs(4), "{took:?}");
        let text = String::from_utf8_lossy(&fs::read(&to).unwrap()).into_owned();
        assert_eq!(text.matches("no answer within 5 s").count(), 4, "{text}");
        assert!(text.contains("\"is_answering\": false"), "{text}");
    }

    #[test]
    fn a_secret_in_a_log_is_taken_out_and_the_end_of_the_log_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("passphrase"), "correct horse battery\n").unwrap();
        let (log, config) = (folder.path().join("node.log"), config(folder.path()));
        let mut text = "first line\n".repeat(PART_BYTES_MAX / 8);
        text.push_str("somebody typed correct horse battery here\nlast line\n");
        fs::write(&log, text).unwrap();
        let mut bundle = Bundle::new(Redactor::of(&config, None));
        let end = end_of(&log).unwrap();
        assert!(end.len() <= PART_BYTES_MAX / 2 && end.starts_with("first line\n"), "{}", end.len());
        bundle.add("log.txt", &end).unwrap();
        let (bytes, parts) = bundle.finish().unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("somebody typed (left out) here\nlast line\n"));
        assert!(!text.contains("horse"));
        assert_eq!(parts, ["log.txt"]);
    }

    #[test]
    fn a_part_and_a_bundle_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let mut bundle = Bundle::new(Redactor::of(&config(folder.path()), None));
        let long = "ü".repeat(PART_BYTES_MAX);
        for part in 0..PARTS_MAX {
            bundle.add(&format!("{part}.txt"), &long).unwrap();
        }
        let (bytes, _) = bundle.finish().unwrap();
        assert!(
            bytes.len() > (PARTS_MAX - 1) * PART_BYTES_MAX && bytes.len() <= BUNDLE_BYTES_MAX,
            "{}",
            bytes.len()
        );
    }

    #[test]
    fn files_are_named_with_their_sizes_and_not_read() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("chain-0/store")).unwrap();
        fs::write(folder.path().join("chain-0/store/CURRENT"), "content of a file").unwrap();
        fs::write(folder.path().join("chain-0/store/STORE"), "nonsense").unwrap();
        let (files, stores) = listing(folder.path());
        assert!(files.contains("             17 chain-0/store/CURRENT\n"), "{files}");
        assert!(!files.contains("content") && stores.starts_with("chain-0/store: "), "{files}{stores}");
    }
}
