//! What a localnet directory holds.
//!
//! ```text
//! localnet.json          the manifest: banks, addresses, genesis hash
//! genesis.json           the network
//! passphrase             opens every keystore here (0600); fine for a network on one machine, wrong for a real one
//! wallets/               keystore of the central bank's and the banks' wallets, and of demo wallets
//! env.sh                 sets JIAOZI_NODE, JIAOZI_HOME, JIAOZI_GENESIS and JIAOZI_PASSPHRASE_FILE
//! bank-N/node.toml       the node's configuration
//! bank-N/keys/           its encrypted network and consensus keys
//! bank-N/data/           its databases and journals
//! bank-N/node.log        what it says
//! bank-N/node.pid        its process while it runs
//! ```

use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::{Answer, Failure};

/// Version of the manifest.
const FORMAT: u32 = 1;
/// Most bytes of a manifest: 100 banks.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// The manifest: written once, when everything else is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: u32,
    /// The network's identity.
    pub genesis_hash: String,
    /// The banks by node index.
    pub banks: Vec<BankEntry>,
}

/// One bank of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BankEntry {
    /// Its name: its folder, and its wallet in the keystore.
    pub name: String,
    /// Where clients reach it.
    pub rest: SocketAddr,
    /// Where peers reach it.
    pub peers: SocketAddr,
}

impl BankEntry {
    /// The node's address for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.rest)
    }
}

/// A localnet directory.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The directory: absolute and, where it exists, without links and `..`, so that everybody names a node's
    /// configuration alike, whatever the working directory.
    pub root: PathBuf,
}

impl Layout {
    /// The layout under `directory`, which need not exist yet.
    ///
    /// # Errors
    /// [`Failure`] when the working directory or the directory cannot be found.
    pub fn at(directory: &Path) -> Answer<Self> {
        refuse_file(directory)?;
        let root = match std::fs::canonicalize(directory) {
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => std::path::absolute(directory),
            found => found,
        };
        Ok(Self { root: root.map_err(|fault| Failure::io("find", directory, &fault))? })
    }

    /// Makes the directory where there is none, and holds it against every other `up`: two would write two networks into
    /// it. The lock is released by the kernel when its holder ends, however it ends.
    ///
    /// # Errors
    /// [`Failure`] when somebody else holds it.
    pub fn hold(directory: &Path) -> Answer<(Self, File)> {
        use std::os::unix::fs::DirBuilderExt as _;
        refuse_file(directory)?;
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|fault| Failure::io("make", directory, &fault).at("--directory"))?;
        let layout = Self::at(directory)?;
        let folder = File::open(&layout.root).map_err(|fault| Failure::io("open", &layout.root, &fault))?;
        match folder.try_lock() {
            Ok(()) => Ok((layout, folder)),
            Err(TryLockError::WouldBlock) => {
                let message = format!("another `jiaozi localnet up` works in {}", layout.root.display());
                Err(Failure::refused("localnet_busy", message)
                    .at("--directory")
                    .mend("wait until it is done, or name another directory"))
            }
            Err(TryLockError::Error(fault)) => Err(Failure::io("lock", &layout.root, &fault)),
        }
    }

    /// The manifest's file.
    #[must_use]
    pub fn manifest(&self) -> PathBuf {
        self.root.join("localnet.json")
    }

    /// The genesis file.
    #[must_use]
    pub fn genesis(&self) -> PathBuf {
        self.root.join("genesis.json")
    }

    /// The passphrase of every keystore here.
    #[must_use]
    pub fn passphrase(&self) -> PathBuf {
        self.root.join("passphrase")
    }

    /// The keystore of wallets.
    #[must_use]
    pub fn wallets(&self) -> PathBuf {
        self.root.join("wallets")
    }

    /// Settings for a shell.
    #[must_use]
    pub fn environment(&self) -> PathBuf {
        self.root.join("env.sh")
    }

    /// A bank's folder.
    #[must_use]
    pub fn bank(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A bank's configuration.
    #[must_use]
    pub fn config(&self, name: &str) -> PathBuf {
        self.bank(name).join("node.toml")
    }

    /// A bank's log.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.bank(name).join("node.log")
    }

    /// A bank's pid file.
    #[must_use]
    pub fn pid(&self, name: &str) -> PathBuf {
        self.bank(name).join("node.pid")
    }

    /// Reads the manifest; `None` where there is none yet.
    ///
    /// # Errors
    /// [`Failure`] when the directory holds something else.
    pub fn load(&self) -> Answer<Option<Manifest>> {
        let path = self.manifest();
        let length = match std::fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(fault) => return Err(Failure::io("read", &path, &fault)),
        };
        let wrong = |reason: String| {
            Failure::usage(
                "localnet_manifest",
                format_args!("{} is no manifest of a localnet: {reason}", path.display()),
            )
            .at("--directory")
            .mend("name another directory, or remove this one")
        };
        if length > MANIFEST_BYTES_MAX {
            return Err(wrong(format!("it is larger than {MANIFEST_BYTES_MAX} bytes")));
        }
        let text = std::fs::read_to_string(&path).map_err(|fault| Failure::io("read", &path, &fault))?;
        let manifest: Manifest = serde_json::from_str(&text).map_err(|fault| wrong(fault.to_string()))?;
        if manifest.format != FORMAT {
            return Err(wrong(format!("it has format {}, this program reads {FORMAT}", manifest.format)));
        }
        if manifest.banks.iter().any(|bank| !is_bank_name(&bank.name)) {
            return Err(wrong("a bank's name is not bank-N".to_owned()));
        }
        Ok(Some(manifest))
    }

    /// The manifest of a network that must exist.
    ///
    /// # Errors
    /// [`Failure`] when there is none.
    pub fn require(&self) -> Answer<Manifest> {
        self.load()?.ok_or_else(|| {
            Failure::usage(
                "localnet_missing",
                format_args!("there is no localnet in {}", self.root.display()),
            )
            .at("--directory")
            .mend("start one with: jiaozi localnet up")
        })
    }

    /// Writes the manifest.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn save(&self, genesis_hash: String, banks: Vec<BankEntry>) -> Answer<Manifest> {
        let manifest = Manifest { format: FORMAT, genesis_hash, banks };
        let path = self.manifest();
        let text =
            serde_json::to_string_pretty(&manifest).map_err(|fault| Failure::refused("manifest", fault))?;
        std::fs::write(&path, text + "\n").map_err(|fault| Failure::io("write", &path, &fault))?;
        Ok(manifest)
    }
}

/// Names become paths, so nothing but `bank-` and digits is one.
fn is_bank_name(name: &str) -> bool {
    name.strip_prefix("bank-").is_some_and(|digits| {
        (1..=4).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// A file is no directory, and there is none below it.
fn refuse_file(directory: &Path) -> Answer {
    let found = directory.ancestors().find(|above| above.exists());
    match found.filter(|found| !found.is_dir()) {
        None => Ok(()),
        Some(file) => {
            let message = format!("{} is a file; a localnet is a directory", file.display());
            Err(Failure::usage("localnet_directory", message)
                .at("--directory")
                .mend("name a directory, or one that does not exist yet"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_up_at_a_time_works_in_a_directory() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("net");
        let (layout, held) = Layout::hold(&directory).unwrap();
        let refused = Layout::hold(&directory.join("..").join("net")).unwrap_err();
        assert_eq!(refused.code, "localnet_busy");
        drop(held);
        assert_eq!(Layout::hold(&directory).unwrap().0.root, layout.root);
    }

    #[test]
    fn a_manifest_comes_back_and_foreign_ones_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::at(folder.path()).unwrap();
        let detour = folder.path().join("..").join(folder.path().file_name().unwrap());
        assert_eq!(Layout::at(&detour).unwrap().root, layout.root, "one directory has one name");
        assert_eq!(layout.load().unwrap(), None);
        assert_eq!(layout.require().unwrap_err().code, "localnet_missing");
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        let bank = BankEntry { name: "bank-1".into(), rest: address, peers: address };
        let saved = layout.save("00".into(), vec![bank.clone()]).unwrap();
        assert_eq!(layout.load().unwrap(), Some(saved));
        let evil = BankEntry { name: "../x".into(), ..bank };
        layout.save("00".into(), vec![evil]).unwrap();
        assert_eq!(layout.load().unwrap_err().code, "localnet_manifest");
        std::fs::write(layout.manifest(), "{}").unwrap();
        assert_eq!(layout.load().unwrap_err().code, "localnet_manifest");
    }
}
