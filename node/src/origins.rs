//! What a chain that genesis does not name begins with here: its origin, from a file of `[node] origins` or from this node's own chain 0.
//!
//! Both are proofs that a quorum of chain 0 added the chain, so it does not matter who made the file. An origin is looked for at the first start of the
//! chain on this node only: from then on its database has it, and the file may go.

use std::path::{Path, PathBuf};

use chain::Archive;
use ledger::proofs::ChainOrigin;
use ledger::records::Birth;
use ledger::values::{Canonical as _, ChainId, CodecError};
use storage::Reader;

use crate::start_error::StartError;

/// Largest file that is read.
const ORIGIN_BYTES_MAX: u64 = ChainOrigin::BYTES_MAX as u64;

/// Why a file of `[node] origins` is none.
#[derive(Debug, thiserror::Error)]
pub enum OriginFileFault {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It is larger than any origin.
    #[error("has {bytes} bytes, an origin has at most {ORIGIN_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// It holds something else.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// The origin of a chain, not verified yet. `root` is this node's chain 0, if it hosts that.
///
/// # Errors
/// [`StartError::OriginFile`], [`StartError::NoSuchChain`], [`StartError::OriginNotYet`], and what a store says.
pub(crate) fn origin_of(
    files: &[PathBuf],
    root: Option<&dyn Reader>,
    chain: ChainId,
) -> Result<ChainOrigin, StartError> {
    for path in files {
        let origin = read(path).map_err(|fault| StartError::OriginFile { path: path.clone(), fault })?;
        if is_of(&origin, chain) {
            return Ok(origin);
        }
    }
    let root = root.ok_or(StartError::NoSuchChain { chain: chain.0 })?;
    Archive::new(root).origin(chain)?.ok_or(StartError::OriginNotYet { chain: chain.0 })
}

fn read(path: &Path) -> Result<ChainOrigin, OriginFileFault> {
    let bytes = std::fs::metadata(path)?.len();
    if bytes > ORIGIN_BYTES_MAX {
        return Err(OriginFileFault::TooLarge { bytes });
    }
    Ok(ChainOrigin::decode(&std::fs::read(path)?)?)
}

/// Whether it is of the height that added the chain.
fn is_of(origin: &ChainOrigin, chain: ChainId) -> bool {
    let birth = origin.registry.chain(chain).map(|record| record.birth);
    matches!(birth, Some(Birth::Child { height, .. }) if height == origin.certified.result.height)
}

#[cfg(test)]
mod tests {
    use genesis::dev::{LocalnetPlan, localnet};
    use ledger::values::Sequential;
    use storage::{Identity, MemoryStore, Store};

    use super::*;

    #[test]
    fn a_chain_without_an_origin_is_refused_with_the_mend() {
        let folder = tempfile::tempdir().unwrap();
        let spec = localnet(&LocalnetPlan::new(4), &[5; 32]).unwrap().spec;
        let identity = Identity { schema_version: 1, genesis: spec.hash().0, chain: 0 };
        let store: std::sync::Arc<dyn Store> = std::sync::Arc::new(MemoryStore::fresh(&identity));
        chain::Executor::open(&spec, ChainId(0), std::sync::Arc::clone(&store), Sequential).unwrap();
        let told = |files: &[PathBuf], root: Option<&dyn Reader>| {
            let fault = origin_of(files, root, ChainId(7)).unwrap_err();
            (fault.field(), fault.to_string())
        };
        let (field, text) = told(&[], None);
        assert!(field == Some("node.chains") && text.contains("no chain 7"), "{text}");
        assert!(
            text.contains("jiaozi gov origin --chain 7 --out") && text.contains("[node] origins"),
            "{text}"
        );
        let (field, text) = told(&[], Some(store.as_ref()));
        assert!(field == Some("node.chains") && text.contains("not executed and certified"), "{text}");
        assert!(text.contains("[node] origins"), "{text}");
        let path = folder.path().join("chain-7.origin");
        let (field, text) = told(std::slice::from_ref(&path), None);
        assert!(field == Some("node.origins") && text.contains("chain-7.origin"), "{text}");
        std::fs::write(&path, b"no origin").unwrap();
        let (field, text) = told(&[path], None);
        assert!(field == Some("node.origins") && text.contains(". Mend: "), "{text}");
    }
}
