//! What is built into Jiaozi comes from crates.io, under the licences that `deny.toml` allows. `make deny` says the same of every platform, and
//! asks for advisories over the network.

use std::path::{Path, PathBuf};
use std::process::Command;

use spdx::{Expression, Licensee, ParseMode};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_path_buf()
}

fn table(file: &str) -> toml::Table {
    std::fs::read_to_string(root().join(file)).unwrap().parse().unwrap()
}

fn allowed() -> Vec<Licensee> {
    let names = table("deny.toml")["licenses"]["allow"].as_array().unwrap().clone();
    names.iter().map(|name| Licensee::parse(name.as_str().unwrap()).unwrap()).collect()
}

fn is_allowed(allowed: &[Licensee], licence: &str) -> bool {
    let Ok(expression) = Expression::parse_mode(licence, ParseMode::LAX) else { return false };
    expression.evaluate(|asked| allowed.iter().any(|licensee| licensee.satisfies(asked)))
}

/// Asked of `cargo tree`: it leaves out what no feature asks for, as the build does.
#[test]
fn every_library_has_a_licence_that_is_allowed() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--locked", "--offline", "--edges", "normal,build,dev"])
        .args(["--prefix", "none", "--format", "{p}|{l}"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let mut libraries: Vec<&str> =
        tree.lines().map(|line| line.trim_end_matches(" (*)")).filter(|line| !line.is_empty()).collect();
    libraries.sort_unstable();
    libraries.dedup();
    assert!(libraries.len() > 300, "{} libraries: is this the whole tree?", libraries.len());
    let allowed = allowed();
    let is_refused =
        |line: &&&str| line.split_once('|').is_none_or(|(_, licence)| !is_allowed(&allowed, licence));
    let refused: Vec<_> = libraries.iter().filter(is_refused).collect();
    assert!(refused.is_empty(), "licences that deny.toml does not allow: {refused:#?}");
}

#[test]
fn every_library_comes_from_the_public_registry() {
    let lock = table("Cargo.lock");
    let packages = lock["package"].as_array().unwrap();
    assert!(packages.len() > 300);
    for package in packages {
        // A crate of this workspace has no source.
        if let Some(source) = package.get("source") {
            let is_registry =
                source.as_str() == Some("registry+https://github.com/rust-lang/crates.io-index");
            assert!(is_registry && package.get("checksum").is_some(), "{package}");
        }
    }
}

#[test]
fn expressions_are_weighed() {
    let allowed = allowed();
    for good in ["MIT", "MIT/Apache-2.0", "GPL-3.0-only OR MIT", "(MIT OR Unlicense) AND ISC"] {
        assert!(is_allowed(&allowed, good), "{good}");
    }
    for bad in ["", "GPL-3.0-only", "MIT AND AGPL-3.0-only", "MPL-2.0", "our own"] {
        assert!(!is_allowed(&allowed, bad), "{bad}");
    }
}
