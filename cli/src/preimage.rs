//! Preimages of hash locks: 32 bytes, kept as hexadecimal text in a private file, or typed at a prompt without echo; never an
//! argument. Whoever knows one can claim the money, until it is claimed: then everybody knows it.

use std::path::Path;

use ledger::values::hash::sha256;
use zeroize::Zeroizing;

use crate::failure::{Answer, Failure};
use crate::secret::{prompt_preimage, read_file, write_private};

/// Bytes of a preimage.
pub const PREIMAGE_BYTES: usize = 32;

/// A preimage; wiped when it is dropped.
pub struct Preimage(Zeroizing<[u8; PREIMAGE_BYTES]>);

impl Preimage {
    /// A new one, from the operating system.
    ///
    /// # Errors
    /// [`Failure`] when it gives no randomness.
    pub fn generate() -> Answer<Self> {
        let mut bytes = Zeroizing::new([0; PREIMAGE_BYTES]);
        getrandom::fill(bytes.as_mut()).map_err(|fault| Failure::unreachable("randomness", fault))?;
        Ok(Self(bytes))
    }

    /// Reads one from a private file, or asks at the terminal.
    ///
    /// # Errors
    /// [`Failure`] when others may read the file, there is no terminal, or it is no preimage.
    pub fn read(file: Option<&Path>) -> Answer<Self> {
        let text = match file {
            Some(path) => read_file(path, "--preimage-file")?,
            None => prompt_preimage()?,
        };
        let mut bytes = Zeroizing::new([0; PREIMAGE_BYTES]);
        const_hex::decode_to_slice(text.trim(), bytes.as_mut_slice()).map_err(|_| {
            Failure::usage("preimage", "a preimage is 64 hexadecimal digits (32 bytes)")
                .at("--preimage-file")
                .mend("name the file that `jiaozi lock create` wrote, or that its sender gave you")
        })?;
        Ok(Self(bytes))
    }

    /// Writes it into a new private file.
    ///
    /// # Errors
    /// [`Failure`] when the file exists.
    pub fn save(&self, path: &Path) -> Answer {
        let text = Zeroizing::new(const_hex::encode(self.0.as_slice()) + "\n");
        write_private(path, text.as_bytes()).map_err(|failure| failure.at("--preimage-file"))
    }

    /// What a lock is made with.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        sha256(self.0.as_slice())
    }

    /// The bytes, which a claim makes public.
    #[must_use]
    pub fn bytes(&self) -> [u8; PREIMAGE_BYTES] {
        *self.0
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_preimage_comes_back_from_its_private_file_and_hashes_plainly() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("preimage");
        let made = Preimage::generate().unwrap();
        made.save(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = Preimage::read(Some(&path)).unwrap();
        assert_eq!((read.bytes(), read.hash()), (made.bytes(), made.hash()));
        assert_eq!(
            made.save(&path).unwrap_err().field.as_deref(),
            Some("--preimage-file"),
            "it is there already"
        );
        assert_ne!(Preimage::generate().unwrap().bytes(), made.bytes());
        // As every other ledger hashes it: SHA-256 of 32 zero bytes.
        let zeros = Preimage(Zeroizing::new([0; PREIMAGE_BYTES]));
        let known = "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925";
        assert_eq!(const_hex::encode(zeros.hash()), known);
    }

    #[test]
    fn files_that_hold_something_else_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let long = "00".repeat(33);
        for (name, text) in [("short", "00ff"), ("words", "abandon abandon"), ("long", long.as_str())] {
            let path = folder.path().join(name);
            write_private(&path, text.as_bytes()).unwrap();
            let failure = Preimage::read(Some(&path)).err().unwrap();
            assert_eq!(
                (failure.code.as_str(), failure.field.as_deref()),
                ("preimage", Some("--preimage-file"))
            );
        }
    }
}
