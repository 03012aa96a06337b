//! One scenario with one engine, in a process of its own.
//!
//! The child prints one line (`outcome`, whether the bounds held, peak memory, figures; parted by tabs). A child that ends without it has
//! died; one that is not done by the deadline is killed.

use std::fmt;
use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::hotstuff::{Mended, Published};
use crate::memory::peak_mb;
use crate::scenarios::Scenario;
use crate::simplex::Simplex;

/// Longest that one trial may take.
const DEADLINE: Duration = Duration::from_secs(180);

/// An engine by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contestant {
    /// The crate `consensus`.
    InUse,
    /// `hotstuff_rs` as published.
    Rival,
    /// `hotstuff_rs` with what its user can mend from outside.
    RivalMended,
}

impl Contestant {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 3] = [Self::InUse, Self::Rival, Self::RivalMended];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InUse => "simplex",
            Self::Rival => "hotstuff",
            Self::RivalMended => "hotstuff-mended",
        }
    }

    /// Its name in the table.
    pub const fn title(self) -> &'static str {
        match self {
            Self::InUse => "`simplex`",
            Self::Rival => "`hotstuff_rs`",
            Self::RivalMended => "`hotstuff_rs`, mended",
        }
    }
}

/// A scenario and an engine.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// The trouble.
    pub scenario: Scenario,
    /// Whose.
    pub contestant: Contestant,
}

/// How a trial ended; written as the last three cells of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All bounds held.
    Held { figures: String, peak_mb: String },
    /// A bound was missed.
    Missed { figures: String, peak_mb: String },
    /// The process died.
    Died { status: String },
    /// It was not done by the deadline.
    Late,
}

impl Trial {
    /// The trial of these names.
    pub fn named(scenario: &str, contestant: &str) -> Option<Self> {
        let scenario = Scenario::ALL.into_iter().find(|known| known.name() == scenario)?;
        let contestant = Contestant::ALL.into_iter().find(|known| known.name() == contestant)?;
        Some(Self { scenario, contestant })
    }

    /// Runs it in this process and prints the line for the parent.
    pub fn run_here(self) {
        let outcome = match self.contestant {
            Contestant::InUse => self.scenario.run::<Simplex>(),
            Contestant::Rival => self.scenario.run::<Published>(),
            Contestant::RivalMended => self.scenario.run::<Mended>(),
        };
        println!("outcome\t{}\t{}\t{}", outcome.holds, peak_mb(), outcome.figures);
    }

    /// Runs it in a process of its own.
    pub fn run_apart(self) -> Verdict {
        let program = std::env::current_exe().expect("the path of this program");
        let mut child = Command::new(program)
            .args([self.scenario.name(), self.contestant.name()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let Some(status) = wait(&mut child) else { return Verdict::Late };
        let mut printed = String::new();
        // What cannot be read was not said.
        let _read = child.stdout.take().map(|mut stdout| stdout.read_to_string(&mut printed));
        Verdict::read(&printed).unwrap_or(Verdict::Died { status })
    }
}

impl Verdict {
    fn read(printed: &str) -> Option<Self> {
        let line = printed.lines().find_map(|line| line.strip_prefix("outcome\t"))?;
        let mut fields = line.splitn(3, '\t').map(str::to_owned);
        let (holds, peak_mb, figures) = (fields.next()?, fields.next()?, fields.next()?);
        Some(if holds == "true" {
            Self::Held { figures, peak_mb }
        } else {
            Self::Missed { figures, peak_mb }
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { figures, peak_mb } => write!(formatter, "held | {figures} | {peak_mb} MB"),
            Self::Missed { figures, peak_mb } => write!(formatter, "missed | {figures} | {peak_mb} MB"),
            Self::Died { status } => write!(formatter, "missed | the whole process died: {status} | unknown"),
            Self::Late => write!(formatter, "missed | not done after {} s | unknown", DEADLINE.as_secs()),
        }
    }
}

/// How the child ended; `None` if it had to be killed.
fn wait(child: &mut Child) -> Option<String> {
    let end = Instant::now() + DEADLINE;
    while Instant::now() < end {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status.to_string());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // It may have ended by itself in this moment.
    let _killed = child.kill();
    let _reaped = child.wait();
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_read_from_what_the_child_printed() {
        let verdict = Verdict::read("noise\noutcome\ttrue\t12\tfast, and small\n");
        assert_eq!(verdict, Some(Verdict::Held { figures: "fast, and small".into(), peak_mb: "12".into() }));
        assert!(matches!(Verdict::read("outcome\tfalse\t9\tslow"), Some(Verdict::Missed { .. })));
        assert_eq!(Verdict::read("half a line: outcome\t"), None);
    }
}
