//! `jiaozi archive`: the certified archive of a range of heights, from which they are replayed once nodes have pruned them.

use std::path::{Path, PathBuf};

use audit::{
    ArchiveError, ArchiveWriter, AuditBlock, AuditError, DatabaseSource, Source as _, VerifiedArchive,
};
use clap::{Args, Subcommand};
use ledger::proofs::{RegistryProof, SetChain};
use ledger::records::{GenesisSpec, HeightResult};
use ledger::values::{Canonical as _, ChainId, CodecError, Height};
use serde::Serialize;
use storage::{Identity, Reader as _, RocksOptions, RocksReader, Table, key};

use super::audit::load_spec;
use super::replay::databases;
use crate::connection::NodeOptions;
use crate::failure::{Answer, Exit, Failure};
use crate::output::{Output, Show, facts, grouped};
use crate::progress::Progress;

/// Arguments of `jiaozi archive`.
#[derive(Debug, Args)]
pub struct ArchiveArguments {
    #[command(subcommand)]
    command: ArchiveCommand,
}

#[derive(Debug, Subcommand)]
enum ArchiveCommand {
    /// Write blocks, batches, results and certificates of a range of heights into one file.
    #[command(
        after_help = "Read from a node, which goes on meanwhile, or out of a stopped node's data directory. Every block is checked against\n\
        its certificate, its batches and the chain of validator sets that the genesis file leads to, while it is written, and the\n\
        whole file once more at the end. It ends with the last certified block up to --to.\n\n\
        Examples:\n  \
        jiaozi archive create --from 1 --to 100000 --out 1.archive --genesis genesis.json\n  \
        jiaozi archive create --chain 2 --from 100001 --out 100001.archive --node https://bank.example --genesis genesis.json\n  \
        jiaozi archive create --data /var/lib/jiaozi --from 1 --out all.archive --genesis genesis.json"
    )]
    Create(CreateArguments),
    /// Check an archive whole, with the genesis file alone.
    #[command(after_help = "Examples:\n  jiaozi archive verify 1.archive --genesis genesis.json")]
    Verify(VerifyArguments),
}

#[derive(Debug, Args)]
struct CreateArguments {
    /// A stopped node's data directory, or a copy of it, instead of a node.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    node: NodeOptions,
    /// The first height.
    #[arg(long, value_name = "HEIGHT", value_parser = clap::value_parser!(u64).range(1..))]
    from: u64,
    /// The last height, or the last certified one below it. Without it, what is there.
    #[arg(long, value_name = "HEIGHT", value_parser = clap::value_parser!(u64).range(1..))]
    to: Option<u64>,
    /// The file; a node takes those whose names end with `.archive`.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The genesis file: the only thing that is trusted.
    #[arg(long, value_name = "FILE", env = "JIAOZI_GENESIS")]
    genesis: PathBuf,
}

#[derive(Debug, Args)]
struct VerifyArguments {
    /// The archive.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The genesis file of the network.
    #[arg(long, value_name = "FILE", env = "JIAOZI_GENESIS")]
    genesis: PathBuf,
}

/// What an archive holds.
#[derive(Debug, Serialize)]
struct Told {
    file: String,
    chain: u32,
    from_height: u64,
    to_height: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    certified_result: Option<u64>,
    certificates: u64,
    batches: u64,
    bundles: u64,
    bytes: u64,
    sha256: String,
}

impl Told {
    fn new(path: &Path, verified: &VerifiedArchive) -> Self {
        let VerifiedArchive { range, bytes, batches, bundles, certificates, certified_result, checksum } =
            verified;
        Self {
            file: path.display().to_string(),
            chain: range.chain.0,
            from_height: range.from.0,
            to_height: range.to.0,
            certified_result: certified_result.map(|height| height.0),
            certificates: *certificates,
            batches: *batches,
            bundles: *bundles,
            bytes: *bytes,
            sha256: const_hex::encode(checksum),
        }
    }
}

impl Show for Told {
    fn text(&self) -> String {
        let results = self.certified_result.map_or_else(
            || "none: the range is shorter than the way from a result to its claim".to_owned(),
            |height| format!("up to height {}", grouped(height)),
        );
        facts(&[
            ("verdict", "valid: certified by the validators to whom the genesis file leads".to_owned()),
            ("archive", self.file.clone()),
            ("chain", self.chain.to_string()),
            ("heights", format!("{} to {}", grouped(self.from_height), grouped(self.to_height))),
            ("results", results),
            ("certificates", grouped(self.certificates)),
            ("batches", format!("{}, and {} bundles", grouped(self.batches), grouped(self.bundles))),
            ("bytes", grouped(self.bytes)),
            ("sha256", self.sha256.clone()),
        ])
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure`]: exit 1 for an archive that is not true.
pub fn run(arguments: &ArchiveArguments, output: Output) -> Answer {
    match &arguments.command {
        ArchiveCommand::Create(arguments) => create(arguments, output),
        ArchiveCommand::Verify(VerifyArguments { file, genesis }) => {
            let verified = audit::verify_archive(file, &load_spec(genesis)?)?;
            output.result(&Told::new(file, &verified))
        }
    }
}

fn create(arguments: &CreateArguments, output: Output) -> Answer {
    let spec = load_spec(&arguments.genesis)?;
    let bar = Progress::new("archiving", arguments.to, output.is_json());
    let verified = match &arguments.data {
        None => from_node(arguments, &spec, &bar)?,
        Some(data) => from_database(arguments, data, &spec, &bar)?,
    };
    drop(bar);
    output.result(&Told::new(&arguments.out, &verified))
}

impl CreateArguments {
    fn writer<'a>(&self, spec: &'a GenesisSpec, sets: SetChain) -> Answer<ArchiveWriter<'a>> {
        let place = (self.node.chain_or_root(), Height(self.from));
        Ok(ArchiveWriter::create(&self.out, spec, place, sets)?)
    }

    fn is_wanted(&self, height: Height) -> bool {
        self.to.is_none_or(|to| height.0 <= to)
    }
}

fn from_node(arguments: &CreateArguments, spec: &GenesisSpec, bar: &Progress) -> Answer<VerifiedArchive> {
    let connection = arguments.node.connect()?;
    connection.network(Some(spec.hash()))?;
    let chain = arguments.node.chain_or_root();
    let mut feed = connection.client.feed(chain, Height(arguments.from));
    // The node's end when it was first asked: a live chain never ends by itself.
    let mut end = None;
    let registry = connection.wait(connection.client.registry(chain))?;
    let sets = RegistryProof::decode(&registry).map_err(malformed)?.sets;
    let mut writer = arguments.writer(spec, sets)?;
    while let Some(read) = connection.wait(feed.next())? {
        let height = read.block.header.height;
        let end = *end.get_or_insert(feed.certified_height());
        if !arguments.is_wanted(height) || height > end {
            break;
        }
        let block = AuditBlock {
            filed: None,
            batches: read.batches.iter().map(|batch| batch.encode()).collect(),
            bundles: read.bundles.iter().map(|bundle| bundle.encode()).collect(),
            block: read.block,
            certificate: read.certificate,
        };
        writer.push(block, read.result)?;
        bar.set(height.0);
    }
    Ok(writer.finish()?)
}

fn from_database(
    arguments: &CreateArguments,
    data: &Path,
    spec: &GenesisSpec,
    bar: &Progress,
) -> Answer<VerifiedArchive> {
    let chain = arguments.node.chain_or_root();
    let found = databases(data)?;
    let path = found.get(&chain).ok_or_else(|| no_database(data, chain))?;
    let found = storage::read_identity(path).map_err(AuditError::from)?;
    let identity = Identity { genesis: spec.hash().0, ..found };
    let reader =
        RocksReader::open(path, Some(&identity), RocksOptions::default()).map_err(AuditError::from)?;
    let sets = node::stored_sets(&reader).map_err(|fault| {
        Failure::refused("database", fault).at("--data").mend("check it: jiaozi node verify")
    })?;
    let sets = sets.ok_or_else(|| no_database(data, chain))?;
    let mut writer = arguments.writer(spec, sets)?;
    let mut source = DatabaseSource::starting_at(&reader, chain, Height(arguments.from))?;
    loop {
        let page = source.next_page()?;
        let is_end = page.is_empty();
        for block in page {
            let height = block.block.header.height;
            if !arguments.is_wanted(height) {
                return Ok(writer.finish()?);
            }
            let row = reader.get(Table::Results, &key::height(height.0)).map_err(AuditError::from)?;
            let result = row.map(|row| HeightResult::decode(&row)).transpose().map_err(malformed)?;
            writer.push(block, result)?;
            bar.set(height.0);
        }
        if is_end {
            return Ok(writer.finish()?);
        }
    }
}

fn no_database(data: &Path, chain: ChainId) -> Failure {
    let message = format!("no database of chain {chain} in or below {}", data.display());
    Failure::usage("no_database", message).at("--data").mend("name a node's data directory")
}

fn malformed(fault: CodecError) -> Failure {
    Failure::refused("archive_malformed", fault).mend("read from another node")
}

impl From<ArchiveError> for Failure {
    fn from(error: ArchiveError) -> Self {
        let (code, mend) = (error.code(), error.mend());
        let exit = match &error {
            ArchiveError::Io { source, .. } => Exit::of_file(source),
            ArchiveError::Exists { .. } | ArchiveError::OtherNetwork { .. } => Exit::Usage,
            _ => Exit::Refused,
        };
        Self::new(exit, code, &error).mend(mend)
    }
}
