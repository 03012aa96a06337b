//! Errors as product: what happened, a stable code, the field it is about, what to do next, and an exit code.
//!
//! | exit | meaning |
//! | --- | --- |
//! | 0 | done |
//! | 1 | refused, or a check failed |
//! | 2 | the command line is wrong, or a file it names: missing, there already, closed to you, something else |
//! | 3 | something could not be reached: a node, a directory, the terminal |

use std::io::ErrorKind;
use std::path::Path;

use serde::Serialize;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// A refusal or a failed check.
    Refused = 1,
    /// A wrong command line, or a wrong file named on it.
    Usage = 2,
    /// Something could not be reached.
    Unreachable = 3,
}

impl Exit {
    /// How a process ends that cannot use a file: the wrong one was named, or the device does not do its part.
    #[must_use]
    pub fn of_file(fault: &std::io::Error) -> Self {
        match fault.kind() {
            ErrorKind::NotFound
            | ErrorKind::AlreadyExists
            | ErrorKind::PermissionDenied
            | ErrorKind::IsADirectory
            | ErrorKind::NotADirectory
            | ErrorKind::InvalidData => Self::Usage,
            _ => Self::Unreachable,
        }
    }
}

/// Why a command ended without doing what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// A stable name for programs.
    pub code: String,
    /// What happened.
    pub message: String,
    /// The option, field or file that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What to do next.
    pub mend: String,
    /// How the process ends.
    pub exit: Exit,
}

/// What commands answer.
pub type Answer<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure; `message` may end with `. Mend: …`, as messages of the lower layers do.
    #[must_use]
    pub fn new(exit: Exit, code: impl Into<String>, message: impl ToString) -> Self {
        let message = message.to_string();
        let (message, mend) = match message.rsplit_once(". Mend: ") {
            Some((message, mend)) => (message.to_owned(), mend.to_owned()),
            None => (message, "see the command's --help".to_owned()),
        };
        Self { code: code.into(), message, field: None, mend, exit }
    }

    /// A refusal or failed check.
    #[must_use]
    pub fn refused(code: impl Into<String>, message: impl ToString) -> Self {
        Self::new(Exit::Refused, code, message)
    }

    /// A wrong command line or file.
    #[must_use]
    pub fn usage(code: impl Into<String>, message: impl ToString) -> Self {
        Self::new(Exit::Usage, code, message)
    }

    /// Something that could not be reached.
    #[must_use]
    pub fn unreachable(code: impl Into<String>, message: impl ToString) -> Self {
        Self::new(Exit::Unreachable, code, message)
    }

    /// A file that could not be read or written.
    #[must_use]
    pub fn io(action: &str, path: &Path, fault: &std::io::Error) -> Self {
        let mend = match fault.kind() {
            ErrorKind::AlreadyExists => "name a file that does not exist yet",
            _ => "check that the path exists and that you may use it",
        };
        let message = format!("cannot {action} {}: {fault}", path.display());
        Self::new(Exit::of_file(fault), "file", message).mend(mend)
    }

    /// The same, about a field or option.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The same, with what to do next.
    #[must_use]
    pub fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = mend.into();
        self
    }

    /// What a person reads on the terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let field = self.field.as_ref().map(|field| format!("\n  field  {field}")).unwrap_or_default();
        format!("error: {}\n  code   {}{field}\n  next   {}", self.message, self.code, self.mend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mend_in_the_message_becomes_what_to_do_next() {
        let failure = Failure::refused("genesis", "bank-1: wrong key. Mend: ask them again");
        assert_eq!(
            (failure.message.as_str(), failure.mend.as_str()),
            ("bank-1: wrong key", "ask them again")
        );
        assert_eq!(failure.text(), "error: bank-1: wrong key\n  code   genesis\n  next   ask them again");
    }

    #[test]
    fn a_missing_file_is_a_wrong_command_line_and_a_broken_device_is_not() {
        let exit = |kind: ErrorKind| Failure::io("read", Path::new("x"), &kind.into()).exit;
        assert_eq!(exit(ErrorKind::NotFound), Exit::Usage);
        assert_eq!(exit(ErrorKind::AlreadyExists), Exit::Usage);
        assert_eq!(exit(ErrorKind::StorageFull), Exit::Unreachable);
    }

    #[test]
    fn exits_are_stable() {
        assert_eq!([Exit::Refused, Exit::Usage, Exit::Unreachable].map(|exit| exit as u8), [1, 2, 3]);
    }
}
