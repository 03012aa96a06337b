//! House rules as ordinary tests: layers, file heads, sizes, words that must not appear.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Every crate and its layer. A crate imports lower layers only; exceptions are listed below.
const LAYERS: [(&str, usize); 19] = [
    ("ledger", 0),
    ("storage", 1),
    ("network", 1),
    ("api", 1),
    ("fees", 1),
    ("mempool", 1),
    ("genesis", 1),
    ("wallet", 1),
    ("chain", 2),
    ("consensus", 2),
    ("audit", 2),
    ("seam", 3),
    ("node", 3),
    ("cli", 3),
    ("bottle", 4),
    ("system", 4),
    ("fuzz", 4),
    ("benches", 4),
    ("market", 4),
];

/// Arrows inside a layer: the binary runs the node, which drives chain and engine over the seam between them; the benches
/// use the tests' clusters; the pool tells the estimator what waits.
const SAME_LAYER: [(&str, &str); 4] =
    [("cli", "node"), ("node", "seam"), ("benches", "system"), ("mempool", "fees")];

/// Heavy libraries and the crates that may name them.
const HOMES: [(&str, &[&str]); 8] = [
    ("rocksdb", &["storage"]),
    ("libp2p", &["network"]),
    ("yamux", &["network"]),
    ("commonware-consensus", &["consensus"]),
    ("commonware-runtime", &["consensus"]),
    ("axum", &["node"]),
    ("clap", &["cli", "bottle", "benches"]),
    ("reqwest", &["api"]),
];

const FILE_LINES_MAX: usize = 700;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_path_buf()
}

#[test]
fn arrows_point_down() {
    let layers: BTreeMap<_, _> = LAYERS.into_iter().collect();
    let metadata = MetadataCommand::new().current_dir(root()).no_deps().exec().unwrap();
    let mut seen = BTreeSet::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let layer = *layers.get(name).unwrap_or_else(|| panic!("{name} has no layer: add it to LAYERS"));
        seen.insert(name.to_owned());
        for dependency in
            package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal)
        {
            let to = dependency.name.as_str();
            if let Some(to_layer) = layers.get(to) {
                let is_allowed = *to_layer < layer || SAME_LAYER.contains(&(name, to));
                assert!(is_allowed, "{name} (layer {layer}) imports {to} (layer {to_layer})");
            }
            if let Some((_, homes)) = HOMES.iter().find(|(library, _)| *library == to) {
                assert!(homes.contains(&name) || layer == 4, "{name} names {to}, whose home is {homes:?}");
            }
        }
    }
    assert_eq!(seen.len(), LAYERS.len(), "LAYERS names a crate that is gone");
}

#[test]
fn the_ledger_names_no_input_or_output() {
    let metadata = MetadataCommand::new().current_dir(root()).no_deps().exec().unwrap();
    let ledger = metadata.packages.iter().find(|package| package.name.as_str() == "ledger").unwrap();
    let allowed = [
        "bech32",
        "const-hex",
        "curve25519-dalek",
        "ed25519-dalek",
        "hashbrown",
        "sha2",
        "thiserror",
        "wincode",
        "zeroize",
    ];
    for dependency in
        ledger.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal)
    {
        assert!(allowed.contains(&dependency.name.as_str()), "ledger imports {}", dependency.name);
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') && name != "target" && name != "localnet" {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn files_begin_with_what_they_are_and_stay_small() {
    let mut files = Vec::new();
    sources(&root(), &mut files);
    assert!(files.len() > 50);
    let mut faults = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let first = text.lines().find(|line| !line.starts_with("#!")).unwrap_or_default();
        if !first.starts_with("//!") {
            faults.push(format!("{}: begins without a head (//!)", file.display()));
        }
        // Tests at the end of a file do not count: the rules above them do.
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        if lines > FILE_LINES_MAX {
            faults.push(format!("{}: {lines} lines, at most {FILE_LINES_MAX}", file.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn nothing_unfinished_is_left() {
    let mut files = Vec::new();
    sources(&root(), &mut files);
    let words = [
        concat!("to", "do!("),
        concat!("unimplemented", "!("),
        concat!("FIX", "ME"),
        concat!("db", "g!("),
        concat!("#[ig", "nore]"),
    ];
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for word in words {
            assert!(!text.contains(word), "{} contains {word}", file.display());
        }
    }
}
