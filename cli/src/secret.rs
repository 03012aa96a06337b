//! Secrets: typed at a prompt without echo, read from a file that only its owner can read, or read from an open file
//! descriptor. Never an argument and never an environment variable: both show in the process list.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use clap::Args;
use wallet::Passphrase;
use zeroize::Zeroizing;

use crate::failure::{Answer, Exit, Failure};

/// Longest passphrase or mnemonic.
const SECRET_BYTES_MAX: u64 = 4_096;
/// Permission bits of group and others.
const MODE_OTHERS: u32 = 0o077;

/// Where the passphrase of a keystore comes from; without an option it is asked for.
#[derive(Debug, Clone, Args)]
pub struct PassphraseOptions {
    /// File with the passphrase; its group and others may have no rights to it.
    #[arg(long, value_name = "FILE", env = "JIAOZI_PASSPHRASE_FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Open file descriptor to read the passphrase from, such as 3.
    #[arg(long, value_name = "NUMBER")]
    pub passphrase_fd: Option<u32>,
}

impl PassphraseOptions {
    /// The passphrase of an existing key file.
    ///
    /// # Errors
    /// [`Failure`] when there is none.
    pub fn read(&self) -> Answer<Passphrase> {
        passphrase(&match (&self.passphrase_file, self.passphrase_fd) {
            // A descriptor stands on the command line; the file may come from the environment.
            (_, Some(descriptor)) => read_descriptor(descriptor)?,
            (Some(path), None) => read_file(path, "--passphrase-file")?,
            (None, None) => prompt("Passphrase: ")?,
        })
    }

    /// The passphrase of a new key file: typed twice.
    ///
    /// # Errors
    /// [`Failure`] when there is none, the two differ, or it is too short.
    pub fn read_new(&self) -> Answer<Passphrase> {
        if self.passphrase_file.is_some() || self.passphrase_fd.is_some() {
            return self.read();
        }
        let text = prompt("New passphrase: ")?;
        if *prompt("Repeat it: ")? != *text {
            return Err(Failure::usage("passphrase_differs", "the two passphrases differ").mend("try again"));
        }
        passphrase(&text)
    }
}

fn passphrase(text: &str) -> Answer<Passphrase> {
    Passphrase::new(text).map_err(|fault| Failure::usage("passphrase", fault).at("--passphrase-file"))
}

/// Reads a secret text from a private file; a line end at its end does not belong to it.
///
/// # Errors
/// [`Failure`] when others may read the file, or nobody can.
pub fn read_file(path: &Path, field: &str) -> Answer<Zeroizing<String>> {
    let io = |fault: &std::io::Error| Failure::io("read", path, fault).at(field);
    let file = File::open(path).map_err(|fault| io(&fault))?;
    let metadata = file.metadata().map_err(|fault| io(&fault))?;
    if metadata.is_file() && metadata.mode() & MODE_OTHERS != 0 {
        return Err(Failure::usage("secret_file_open", format_args!("others may read {}", path.display()))
            .at(field)
            .mend(format!("chmod 600 {}", path.display())));
    }
    read_secret(file).map_err(|failure| failure.at(field))
}

fn read_descriptor(descriptor: u32) -> Answer<Zeroizing<String>> {
    let path = PathBuf::from(format!("/proc/self/fd/{descriptor}"));
    let file = File::open(&path).map_err(|fault| Failure::io("read", &path, &fault).at("--passphrase-fd"))?;
    read_secret(file).map_err(|failure| failure.at("--passphrase-fd"))
}

fn read_secret(file: File) -> Answer<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text).map_err(|fault| {
        let message = format!("the secret cannot be read: {fault}");
        Failure::new(Exit::of_file(&fault), "secret", message).mend("name a private file that holds text")
    })?;
    if text.len() as u64 > SECRET_BYTES_MAX {
        return Err(Failure::usage(
            "secret_too_long",
            format_args!("a secret has at most {SECRET_BYTES_MAX} bytes"),
        )
        .mend("name the right file"));
    }
    let trimmed = text.trim_end_matches(['\n', '\r']);
    if trimmed.is_empty() {
        return Err(Failure::usage("secret_empty", "the secret is empty").mend("name the right file"));
    }
    Ok(Zeroizing::new(trimmed.to_owned()))
}

/// Asks for the words of a wallet at the terminal, without echo.
///
/// # Errors
/// [`Failure`] when there is no terminal.
pub fn prompt_words() -> Answer<Zeroizing<String>> {
    ask("Words: ", || {
        Failure::usage(
            "words_missing",
            "the words of the wallet are needed and there is no terminal to ask at",
        )
        .at("--mnemonic-file")
        .mend("name the private file that holds them with --mnemonic-file")
    })
}

/// Asks for the preimage of a hash lock at the terminal, without echo.
///
/// # Errors
/// [`Failure`] when there is no terminal.
pub fn prompt_preimage() -> Answer<Zeroizing<String>> {
    ask("Preimage: ", || {
        Failure::usage("preimage_missing", "the preimage is needed and there is no terminal to ask at")
            .at("--preimage-file")
            .mend("name the private file that holds it with --preimage-file")
    })
}

fn prompt(question: &str) -> Answer<Zeroizing<String>> {
    ask(question, || {
        Failure::usage("passphrase_missing", "a passphrase is needed and there is no terminal to ask at")
            .at("--passphrase-file")
            .mend("name a private file with --passphrase-file or JIAOZI_PASSPHRASE_FILE, or pass --passphrase-fd")
    })
}

/// Asks at the terminal, without echo; `missing` is the failure where there is none.
fn ask(question: &str, missing: impl FnOnce() -> Failure) -> Answer<Zeroizing<String>> {
    if !std::io::stdin().is_terminal() {
        return Err(missing());
    }
    rpassword::prompt_password(question).map(Zeroizing::new).map_err(|fault| {
        Failure::unreachable("terminal", format_args!("cannot ask at the terminal: {fault}"))
    })
}

/// Writes a new file that only its owner can read.
///
/// # Errors
/// [`Failure`]; an existing file is not overwritten, and nothing is left behind.
pub fn write_private(path: &Path, bytes: &[u8]) -> Answer {
    let io = |fault: std::io::Error| Failure::io("write", path, &fault);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|fault| {
        // Half a secret is none.
        let _ = std::fs::remove_file(path);
        io(fault)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_files_are_read_and_open_ones_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");
        write_private(&path, b"correct horse\n").unwrap();
        assert_eq!(read_file(&path, "f").unwrap().as_str(), "correct horse");
        assert_eq!(write_private(&path, b"other").unwrap_err().code, "file");
        let open = folder.path().join("open");
        std::fs::write(&open, "x").unwrap();
        std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let failure = read_file(&open, "--passphrase-file").unwrap_err();
        assert_eq!(
            (failure.code.as_str(), failure.field.as_deref()),
            ("secret_file_open", Some("--passphrase-file"))
        );
    }

    #[test]
    fn empty_and_endless_secrets_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes, code) in
            [("empty", vec![b'\n'], "secret_empty"), ("long", vec![b'x'; 5_000], "secret_too_long")]
        {
            let path = folder.path().join(name);
            write_private(&path, &bytes).unwrap();
            assert_eq!(read_file(&path, "f").unwrap_err().code, code);
        }
    }

    #[test]
    fn short_new_passphrases_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("short");
        write_private(&path, b"1234567").unwrap();
        let options = PassphraseOptions { passphrase_file: Some(path), passphrase_fd: None };
        let failure = options.read_new().unwrap_err();
        assert_eq!((failure.code.as_str(), failure.exit), ("passphrase", crate::failure::Exit::Usage));
    }
}
