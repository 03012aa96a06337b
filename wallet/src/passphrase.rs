//! Passphrases: typed by people, or read from a file that a service manager provides. Never on a command
//! line.

use std::path::Path;

use zeroize::Zeroizing;

use crate::files::{self, FileError};

/// Least bytes of a passphrase.
pub const PASSPHRASE_BYTES_MIN: usize = 8;
/// Most bytes of a passphrase.
pub const PASSPHRASE_BYTES_MAX: usize = 1_024;

/// A passphrase. Zeroed when dropped; its `Debug` shows nothing.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

/// Why there is no passphrase.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// Outside the bounds.
    #[error(
        "a passphrase has {PASSPHRASE_BYTES_MIN} to {PASSPHRASE_BYTES_MAX} bytes. \
         Mend: choose a longer one, such as five random words"
    )]
    Length,
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness: {0}. Mend: check /dev/urandom, then try again")]
    Randomness(getrandom::Error),
}

impl Passphrase {
    /// From what somebody typed.
    ///
    /// # Errors
    /// [`PassphraseError::Length`].
    pub fn new(text: &str) -> Result<Self, PassphraseError> {
        let fits = (PASSPHRASE_BYTES_MIN..=PASSPHRASE_BYTES_MAX).contains(&text.len());
        if fits { Ok(Self(Zeroizing::new(text.as_bytes().to_vec()))) } else { Err(PassphraseError::Length) }
    }

    /// From a file, without the line end at its end. The file must be closed to others; group access is
    /// accepted, since service managers hand credentials over that way.
    ///
    /// # Errors
    /// [`PassphraseError`].
    pub fn load(path: &Path) -> Result<Self, PassphraseError> {
        let bytes = files::read_private(path, PASSPHRASE_BYTES_MAX as u64 + 2, files::CLOSED_TO_OTHERS)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| PassphraseError::Length)?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        Self::new(text.strip_suffix('\r').unwrap_or(text))
    }

    /// 256 random bits as text: for machines, which need no cost against guessing.
    ///
    /// # Errors
    /// [`PassphraseError::Randomness`].
    pub fn generate() -> Result<Self, PassphraseError> {
        let mut random = Zeroizing::new([0_u8; 32]);
        getrandom::fill(random.as_mut()).map_err(PassphraseError::Randomness)?;
        Ok(Self(Zeroizing::new(const_hex::encode(random.as_ref()).into_bytes())))
    }

    /// Writes it to a new file of mode 0600, for a machine that starts by itself.
    ///
    /// # Errors
    /// [`PassphraseError::File`], also when the file exists.
    pub fn save(&self, path: &Path) -> Result<(), PassphraseError> {
        Ok(files::create_private(path, &self.0)?)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_generated_passphrase_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");
        let passphrase = Passphrase::generate().unwrap();
        passphrase.save(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Passphrase::load(&path).unwrap().bytes(), passphrase.bytes());
        assert_ne!(Passphrase::generate().unwrap().bytes(), passphrase.bytes());
        assert_eq!(format!("{passphrase:?}"), "Passphrase(…)");
    }

    #[test]
    fn files_open_to_others_are_refused_and_one_line_end_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");
        std::fs::write(&path, "correct horse\r\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Passphrase::load(&path).unwrap_err().to_string().contains("chmod"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o440)).unwrap();
        assert_eq!(Passphrase::load(&path).unwrap().bytes(), b"correct horse");
    }

    #[test]
    fn lengths_are_bounded() {
        assert!(Passphrase::new("short").is_err() && Passphrase::new(&"x".repeat(1_025)).is_err());
        assert!(Passphrase::new("12345678").is_ok());
    }
}
