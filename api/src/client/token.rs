//! The client token: what a node's operator gives to a client. Zeroed when dropped, never shown.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::error::{ClientError, FileProblem};

/// Most bytes of a token.
pub const TOKEN_BYTES_MAX: usize = 512;

/// A bearer token.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// From text; spaces and line ends around it do not count. `None` when it is empty, longer than
    /// [`TOKEN_BYTES_MAX`], or has characters that a header cannot carry.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_token = !text.is_empty()
            && text.len() <= TOKEN_BYTES_MAX
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_token.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// From a file, so that it never stands on a command line.
    ///
    /// # Errors
    /// [`ClientError::File`].
    pub fn load(path: &Path) -> Result<Self, ClientError> {
        let wrong = |problem| ClientError::File { path: path.to_owned(), problem };
        let mut text = Zeroizing::new(String::with_capacity(TOKEN_BYTES_MAX * 2));
        let file = File::open(path).map_err(|error| wrong(FileProblem::Io(error)))?;
        let read = file.take(TOKEN_BYTES_MAX as u64 * 2).read_to_string(&mut text);
        read.map_err(|error| wrong(FileProblem::Io(error)))?;
        Self::new(&text).ok_or_else(|| wrong(FileProblem::Token))
    }

    pub(super) fn header(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("Bearer {}", self.0.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_trimmed_bounded_and_never_shown() {
        let token = Token::new(" secret-token\n").unwrap();
        assert_eq!(token.header().as_str(), "Bearer secret-token");
        assert_eq!(format!("{token:?}"), "Token(…)");
        for bad in ["", " \n", "two words", "line\nbreak", &"x".repeat(TOKEN_BYTES_MAX + 1)] {
            assert!(Token::new(bad).is_none(), "{bad:?}");
        }
    }
}
