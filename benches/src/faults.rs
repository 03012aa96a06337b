//! `bench faults`: what befalls banks, as real processes, under payments; each scenario prints one JSON object on a line of its own. Exits
//! with 1 if some bank's copy of the chain disagrees with what customers were told.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use system::{Figures, faults};

/// Rounds of restarts.
const ROLLING_ROUNDS: u64 = 3;
/// Banks that die when the one before is back, and how long each is away.
const SUCCESSION_ROUNDS: usize = 12;
/// See [`SUCCESSION_ROUNDS`].
const SUCCESSION_AWAY: Duration = Duration::from_secs(4);

/// Options of `bench faults`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Faults {
    /// A scenario; all of them by default. May be given several times.
    #[arg(long = "scenario", value_name = "NAME")]
    scenarios: Vec<Scenario>,
    /// Kills of the scenario that has them.
    #[arg(long, default_value_t = 200)]
    kills: u64,
    /// What the moments and victims of kills follow from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Length of every pause, cut and wrong time.
    #[arg(long, default_value_t = 15, value_name = "SECONDS")]
    seconds: u64,
    /// How long one of four is dead.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    dead: u64,
}

/// What befalls the banks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// SIGKILL in a loop: one bank, two, or all.
    Kills,
    /// SIGSTOP of one, then of all.
    Pauses,
    /// SIGTERM and start of one bank after the other.
    Rolling,
    /// SIGKILL of one bank when the one before is back.
    Succession,
    /// One of four is dead.
    OneDead,
    /// All clocks ten years ahead.
    ClocksAhead,
    /// One clock five minutes ahead, then behind.
    ClockOff,
    /// Links cut: 3|1, 2|2, one way and the other.
    Partitions,
}

impl Faults {
    pub(crate) async fn run(self) -> ExitCode {
        let chosen =
            if self.scenarios.is_empty() { Scenario::value_variants() } else { self.scenarios.as_slice() };
        let mut is_clean = true;
        for scenario in chosen {
            let figures = self.befall(*scenario).await;
            println!("{}", serde_json::to_string(&figures).unwrap());
            eprintln!("{figures}");
            is_clean &= figures.is_clean();
        }
        if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    async fn befall(&self, scenario: Scenario) -> Figures {
        let temporary = tempfile::tempdir().unwrap();
        let (directory, length) = (temporary.path(), Duration::from_secs(self.seconds));
        match scenario {
            Scenario::Kills => faults::kills(directory, self.kills, self.seed).await,
            Scenario::Pauses => faults::pauses(directory, length).await,
            Scenario::Rolling => faults::rolling(directory, ROLLING_ROUNDS).await,
            Scenario::Succession => faults::succession(directory, SUCCESSION_AWAY, SUCCESSION_ROUNDS).await,
            Scenario::OneDead => faults::one_dead(directory, Duration::from_secs(self.dead)).await,
            Scenario::ClocksAhead => faults::clocks_ahead(directory, length).await,
            Scenario::ClockOff => faults::clock_off(directory, length).await,
            Scenario::Partitions => faults::partitions(directory, length).await,
        }
    }
}
