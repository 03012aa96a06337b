//! What a command prints: one JSON object for programs, or text for people. Results go to standard output, everything else
//! to standard error.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use crate::failure::{Answer, Failure};

/// Where results go, and in which form.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

/// A result: serialized for programs, shown for people.
pub trait Show: Serialize {
    /// The text for people, without a newline at its end.
    fn text(&self) -> String;
}

impl Output {
    /// JSON or text.
    #[must_use]
    pub const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether programs read the result.
    #[must_use]
    pub const fn is_json(self) -> bool {
        self.json
    }

    /// Prints a result.
    ///
    /// # Errors
    /// [`Failure`] when standard output is closed.
    pub fn result(self, result: &impl Show) -> Answer {
        let text = if self.json { json(result)? } else { result.text() };
        self.line(&text)
    }

    /// Prints a line of a result.
    ///
    /// # Errors
    /// [`Failure`] when standard output is closed.
    pub fn line(self, text: &str) -> Answer {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|fault| {
            Failure::unreachable("output", format_args!("cannot write to standard output: {fault}"))
                .mend("check where the output goes")
        })
    }

    /// Says something to a person who watches; programs do not see it.
    pub fn note(self, text: &str) {
        if !self.json {
            // Nobody is there to be told that standard error is closed.
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }

    /// Prints a failure on standard error.
    pub fn failure(self, failure: &Failure) {
        #[derive(Serialize)]
        struct Wrapped<'a> {
            error: &'a Failure,
        }
        let wrapped = Wrapped { error: failure };
        let text = if self.json { json(&wrapped).unwrap_or_else(|_| failure.text()) } else { failure.text() };
        // Nobody is there to be told that standard error is closed.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }
}

/// Writes a proof into a new file.
///
/// # Errors
/// [`Failure`] at `--proof` when there is a file already, or it cannot be written.
pub fn save_proof(path: &Path, proof: &[u8]) -> Answer {
    let io = |fault: std::io::Error| Failure::io("write", path, &fault).at("--proof");
    let mut file = std::fs::File::create_new(path).map_err(io)?;
    file.write_all(proof).map_err(io)
}

fn json(value: &impl Serialize) -> Answer<String> {
    serde_json::to_string_pretty(value).map_err(|fault| Failure::refused("output", fault))
}

/// Whether a person sits at standard output: for what must never get into a file or pipe by accident.
#[must_use]
pub fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Named facts, one a line.
#[must_use]
pub fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines: Vec<String> = facts.iter().map(|(name, value)| format!("{name:width$}  {value}")).collect();
    lines.join("\n")
}

/// A table without lines; `numbers` are columns that are aligned to the right.
#[must_use]
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>, numbers: &[usize]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    for row in rows {
        table.add_row(row);
    }
    for number in numbers {
        if let Some(column) = table.column_mut(*number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let text = table.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// A number with thousands set apart.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_line_up() {
        assert_eq!(facts(&[("a", "1".into()), ("long", "2".into())]), "a     1\nlong  2");
    }

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn tables_show_every_row() {
        let text =
            table(&["name", "n"], [vec!["x".into(), "1".into()], vec!["y".into(), "200".into()]], &[1]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[1].ends_with("  1") && lines[2].ends_with("200"), "{text}");
    }
}
