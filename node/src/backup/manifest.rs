//! What a backup holds: one text file for each, for programs and for whoever finds a disk in a drawer.
//!
//! Exactly one text is valid for what it says: decoding encodes again and compares, and the text carries its own SHA-256. So a changed byte
//! anywhere in it is found. Names of files in it are plain: none leads out of a directory.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Version of the format.
const FORMAT: u32 = 1;
/// Most bytes of a manifest: a database of a terabyte has 30,000 files, each a line of 200 bytes.
pub(crate) const MANIFEST_BYTES_MAX: u64 = 64 << 20;
/// What is never in a backup.
const LEFT_OUT: &str = "secret keys, passphrases, node.toml and TLS files: keep them apart; consensus journals: a node must not vote from an old one";

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format.
    format: u32,
    /// The backup's name: when it was made, in UTC.
    pub name: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// The program that made it.
    pub program: String,
    /// The network: its genesis hash.
    pub network: String,
    /// Always false.
    pub has_secret_keys: bool,
    /// What is not in it.
    pub left_out: String,
    /// The genesis file.
    pub genesis: StoredFile,
    /// The chains, ascending.
    pub chains: Vec<ChainManifest>,
    /// Bytes of all its files.
    pub bytes: u64,
    /// Of these, bytes that no earlier backup in the same directory had.
    pub new_bytes: u64,
    /// SHA-256 of this text with nothing between these quotes.
    checksum: String,
}

/// A chain's database in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainManifest {
    /// The chain.
    pub chain: u32,
    /// The last executed height.
    pub height: u64,
    /// The block there.
    pub block: String,
    /// Its result.
    pub result: String,
    /// Its state root.
    pub state: String,
    /// The highest block under a certificate.
    pub certified_height: u64,
    /// State records.
    pub records: u64,
    /// The database's files, ascending by name.
    pub files: Vec<StoredFile>,
}

/// A file in a backup.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredFile {
    /// Its name in the database.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of what is in it, which is its name in the backup directory.
    pub sha256: String,
}

impl Manifest {
    /// A manifest of what was stored.
    pub(crate) fn new(
        (name, created_ms): (String, u64),
        network: String,
        genesis: StoredFile,
        chains: Vec<ChainManifest>,
        new_bytes: u64,
    ) -> Self {
        let files = chains.iter().flat_map(|chain| &chain.files).chain([&genesis]);
        let bytes = files.map(|file| file.bytes).fold(0, u64::saturating_add);
        Self {
            format: FORMAT,
            name,
            created_ms,
            program: concat!("jiaozi ", env!("CARGO_PKG_VERSION")).to_owned(),
            network,
            has_secret_keys: false,
            left_out: LEFT_OUT.to_owned(),
            genesis,
            chains,
            bytes,
            new_bytes,
            checksum: String::new(),
        }
    }

    /// The text, with its checksum.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, String> {
        let text = |manifest: &Self| {
            let text = serde_json::to_string_pretty(manifest).map_err(|fault| fault.to_string())?;
            Ok::<_, String>(text + "\n")
        };
        let open = Self { checksum: String::new(), ..self.clone() };
        let checksum = const_hex::encode(Sha256::digest(text(&open)?.as_bytes()));
        Ok(text(&Self { checksum, ..open })?.into_bytes())
    }

    /// Reads a text.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|fault| format!("not a manifest: {fault}"))?;
        if manifest.encode()? != bytes {
            return Err("does not match its checksum".to_owned());
        }
        if manifest.format != FORMAT {
            return Err(format!("is of format {}, this program reads {FORMAT}", manifest.format));
        }
        if !is_plain(&manifest.name) {
            return Err(format!("names itself {:?}", manifest.name));
        }
        if let Some((_, file)) = manifest.files().find(|(_, file)| !file.is_plain()) {
            return Err(format!("names a file {:?} with content {:?}", file.name, file.sha256));
        }
        Ok(manifest)
    }

    /// Every file, with the chain that it is of; the genesis file is counted to chain 0.
    pub(crate) fn files(&self) -> impl Iterator<Item = (u32, &StoredFile)> {
        let of_chains =
            self.chains.iter().flat_map(|chain| chain.files.iter().map(|file| (chain.chain, file)));
        of_chains.chain([(0, &self.genesis)])
    }
}

impl StoredFile {
    fn is_plain(&self) -> bool {
        let is_digest = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        is_plain(&self.name) && self.sha256.len() == 64 && self.sha256.bytes().all(is_digest)
    }
}

/// Whether a name can be that of a file in a directory, and of nothing else.
pub(crate) fn is_plain(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty() && name.len() <= 128 && !name.starts_with('.') && name.bytes().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let file = |name: &str| StoredFile { name: name.into(), bytes: 7, sha256: "0a".repeat(32) };
        let chain = ChainManifest {
            chain: 2,
            height: 9,
            block: "b".into(),
            result: "r".into(),
            state: "s".into(),
            certified_height: 8,
            records: 5,
            files: vec![file("000004.sst"), file("CURRENT")],
        };
        Manifest::new(("20261123T000000Z".into(), 1), "n".into(), file("genesis.json"), vec![chain], 3)
    }

    #[test]
    fn every_flipped_byte_of_a_manifest_is_found() {
        let made = manifest();
        let bytes = made.encode().unwrap();
        let read = Manifest::decode(&bytes).unwrap();
        assert_eq!((read.bytes, read.new_bytes, read.has_secret_keys), (21, 3, false));
        assert_eq!(read.encode().unwrap(), bytes);
        for position in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[position] ^= 1 << (position % 8);
            assert!(Manifest::decode(&flipped).is_err(), "byte {position}");
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["../CURRENT", "/etc/passwd", "", "..", "a/b", ".hidden", "a b"] {
            let mut made = manifest();
            made.chains[0].files[0].name = name.to_owned();
            assert!(Manifest::decode(&made.encode().unwrap()).is_err(), "{name}");
        }
        let mut made = manifest();
        made.chains[0].files[0].sha256 = "../../x".to_owned();
        assert!(Manifest::decode(&made.encode().unwrap()).is_err());
    }
}
