//! The ceremony as steps over a folder that operators pass around (layout in [`crate::folder`]).
//!
//! ```text
//! create ─ contribute × operators ─ merge ─ approve × operators ─ verify (anyone, at any time)
//! ```
//!
//! Nothing here trusts a file it did not just rebuild: `approve` and `verify` merge the contributions again
//! and compare.

use std::path::{Path, PathBuf};

use ledger::values::{GenesisHash, SecretKey};

use crate::approval::{Approval, missing_approvals};
use crate::contribution::Contribution;
use crate::error::GenesisError;
use crate::file::GenesisFile;
use crate::folder::{
    APPROVALS_FOLDER, CONTRIBUTIONS_FOLDER, GENESIS_FILE, TEMPLATE_FILE, file_name, json_files, write_json,
};
use crate::merge::merge;
use crate::template::Template;

/// A ceremony folder.
#[derive(Debug, Clone)]
pub struct Ceremony {
    folder: PathBuf,
}

/// What [`Ceremony::verify`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// The hash that the contributions make and that `genesis.json` has.
    pub hash: GenesisHash,
    /// Number of operators.
    pub operators: usize,
    /// Names of the operators that have not approved yet.
    pub missing: Vec<String>,
}

impl Verification {
    /// Refuses a genesis that somebody has not approved.
    ///
    /// # Errors
    /// [`GenesisError::MissingApprovals`] with the names.
    pub fn require_all(self) -> Result<GenesisHash, GenesisError> {
        if self.missing.is_empty() {
            Ok(self.hash)
        } else {
            Err(GenesisError::MissingApprovals { missing: self.missing })
        }
    }
}

impl Ceremony {
    /// The ceremony in `folder`, which need not exist yet.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Starts a ceremony: writes the template.
    ///
    /// # Errors
    /// [`GenesisError`], also when the folder has a template already.
    pub fn create(&self, template: &Template) -> Result<PathBuf, GenesisError> {
        template.spec()?;
        let path = self.folder.join(TEMPLATE_FILE);
        write_json(&path, template)?;
        Ok(path)
    }

    /// The template.
    ///
    /// # Errors
    /// [`GenesisError`].
    pub fn template(&self) -> Result<Template, GenesisError> {
        Template::load(&self.folder.join(TEMPLATE_FILE))
    }

    /// Adds a contribution, after checking it.
    ///
    /// # Errors
    /// [`GenesisError`], also when this operator's file exists.
    pub fn contribute(&self, contribution: &Contribution) -> Result<PathBuf, GenesisError> {
        contribution.verify(&self.template()?)?;
        let name = file_name(&contribution.name, contribution.key()?);
        let path = self.folder.join(CONTRIBUTIONS_FOLDER).join(name);
        write_json(&path, contribution)?;
        Ok(path)
    }

    /// Merges all contributions and writes `genesis.json`.
    ///
    /// # Errors
    /// [`GenesisError`] naming the contributions that are invalid or conflict; also when `genesis.json`
    /// exists.
    pub fn merge(&self) -> Result<GenesisFile, GenesisError> {
        let genesis = self.rebuild()?;
        genesis.save(&self.folder.join(GENESIS_FILE))?;
        Ok(genesis)
    }

    /// Approves `genesis.json` after rebuilding it from the contributions.
    ///
    /// # Errors
    /// [`GenesisError::OtherGenesis`] when the file is not what the contributions make; other refusals.
    pub fn approve(&self, operator_key: &SecretKey) -> Result<PathBuf, GenesisError> {
        let approval = Approval::sign(&self.genesis()?, operator_key)?;
        let name = file_name(&approval.operator, operator_key.public_key());
        let path = self.folder.join(APPROVALS_FOLDER).join(name);
        write_json(&path, &approval)?;
        Ok(path)
    }

    /// Rebuilds the genesis from the contributions, compares it with `genesis.json` and checks every
    /// approval.
    ///
    /// # Errors
    /// [`GenesisError`] naming what is wrong. Missing approvals are no error here: see
    /// [`Verification::require_all`].
    pub fn verify(&self) -> Result<Verification, GenesisError> {
        let genesis = self.genesis()?;
        let paths = json_files(&self.folder.join(APPROVALS_FOLDER))?;
        let approvals = paths.iter().map(|path| Approval::load(path)).collect::<Result<Vec<_>, _>>()?;
        let missing = missing_approvals(&genesis, &approvals)?;
        Ok(Verification { hash: genesis.hash()?, operators: genesis.operators.len(), missing })
    }

    /// `genesis.json`, equal to what the contributions make.
    ///
    /// # Errors
    /// [`GenesisError::OtherGenesis`] when it is not; other refusals.
    pub fn genesis(&self) -> Result<GenesisFile, GenesisError> {
        let genesis = GenesisFile::load(&self.folder.join(GENESIS_FILE))?;
        let (found, expected) = (genesis.hash()?, self.rebuild()?.hash()?);
        if found == expected { Ok(genesis) } else { Err(GenesisError::OtherGenesis { found, expected }) }
    }

    fn rebuild(&self) -> Result<GenesisFile, GenesisError> {
        let paths = json_files(&self.folder.join(CONTRIBUTIONS_FOLDER))?;
        let contributions =
            paths.iter().map(|path| Contribution::load(path)).collect::<Result<Vec<_>, _>>()?;
        merge(&self.template()?, &contributions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{central_bank, contribution, operator_key, template};

    fn merged() -> (tempfile::TempDir, Ceremony) {
        let folder = tempfile::tempdir().unwrap();
        let ceremony = Ceremony::at(folder.path());
        ceremony.create(&template()).unwrap();
        for one in (1..=4).map(contribution).chain([central_bank()]) {
            ceremony.contribute(&one).unwrap();
        }
        ceremony.merge().unwrap();
        (folder, ceremony)
    }

    #[test]
    fn from_template_to_approved_genesis() {
        let (_folder, ceremony) = merged();
        for operator in 0..4 {
            ceremony.approve(&operator_key(operator)).unwrap();
        }
        let verification = ceremony.verify().unwrap();
        assert_eq!(verification.missing, ["bank-4"]);
        assert!(matches!(verification.require_all(), Err(GenesisError::MissingApprovals { .. })));
        ceremony.approve(&operator_key(4)).unwrap();
        let hash = ceremony.verify().unwrap().require_all().unwrap();
        assert_eq!(hash, ceremony.genesis().unwrap().hash().unwrap());
    }

    #[test]
    fn an_edited_genesis_is_neither_approved_nor_verified() {
        let (folder, ceremony) = merged();
        let path = folder.path().join(GENESIS_FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen("\"block_pace_ms\": 50", "\"block_pace_ms\": 51", 1)).unwrap();
        assert!(matches!(ceremony.verify(), Err(GenesisError::OtherGenesis { .. })));
        assert!(matches!(ceremony.approve(&operator_key(1)), Err(GenesisError::OtherGenesis { .. })));
    }

    #[test]
    fn a_contribution_left_out_or_doubled_is_noticed() {
        let (folder, ceremony) = merged();
        let contributions = folder.path().join(CONTRIBUTIONS_FOLDER);
        ceremony.contribute(&contribution(5)).unwrap();
        assert!(matches!(ceremony.verify(), Err(GenesisError::OtherGenesis { .. })));
        let again = std::fs::read_dir(&contributions).unwrap().next().unwrap().unwrap().path();
        std::fs::copy(&again, contributions.join("copy.json")).unwrap();
        assert!(matches!(ceremony.verify(), Err(GenesisError::Conflict { .. })));
        assert!(ceremony.contribute(&contribution(5)).unwrap_err().to_string().contains("exists already"));
    }
}
