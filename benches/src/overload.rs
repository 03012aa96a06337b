//! `bench overload`: what becomes of a network that is offered three times what it carries.
//!
//! First the best rate is looked for: steps of a few seconds, each offered a quarter more than the one before, until one applies less than it
//! is offered. Then the same network is offered three times the best applied rate. The load is that of `bench load`: an open loop whose
//! clients leave a bank alone for as long as it asks. Applied rates are those while payments were due, without the first quarter of that time.

use clap::Args;
use serde::Serialize;
use system::Cluster;

use crate::load::Load;
use crate::open_loop::Latency;
use crate::population::Population;
use crate::usage;

/// Of what is offered, what a step applies at least that is not the last one.
const CARRIES: f64 = 0.95;
/// Most steps.
const STEPS_MAX: usize = 16;
/// How much more is offered than the best applied rate.
const TIMES: u64 = 3;
/// The least share of the best rate that is to be applied under overload.
const GOAL: f64 = 0.9;

/// Options of `bench overload`. `--rate` is that of the first step, `--seconds` the length of the overload.
#[derive(Debug, Args)]
pub(crate) struct Overload {
    #[command(flatten)]
    load: Load,
    /// Length of each step.
    #[arg(long, default_value_t = 10)]
    step_seconds: u64,
}

/// A rate and what became of it.
#[derive(Debug, Clone, Copy, Serialize)]
struct Step {
    offered_per_second: u64,
    applied_per_second: f64,
    to_final: Latency,
    to_certified: Latency,
}

#[derive(Debug, Serialize)]
struct Answer {
    banks: usize,
    wallets: usize,
    steps: Vec<Step>,
    best_per_second: f64,
    overload: Step,
    seconds: u64,
    offered: u64,
    /// The others were refused in time, or not sent because the bank had asked for that.
    accepted: u64,
    applied: u64,
    /// Applied under overload, of the best rate.
    share_of_best: f64,
    goal: f64,
    is_met: bool,
    /// The most that the largest node has had in memory, before the overload and with it.
    rss_bytes_peak_before: u64,
    rss_bytes_peak: u64,
}

impl Overload {
    pub(crate) async fn run(self) {
        println!("{}", serde_json::to_string_pretty(&self.measured().await).unwrap());
    }

    async fn measured(&self) -> Answer {
        let temporary = tempfile::tempdir().unwrap();
        let directory = self.load.directory.clone().unwrap_or_else(|| temporary.path().to_owned());
        let mut cluster = self.load.spawned(&directory).await;
        let mut population = self.load.populated(&cluster).await;
        let steps = self.steps(&cluster, &mut population).await;
        let best_per_second = steps.iter().map(|step| step.applied_per_second).fold(0.0, f64::max);
        let rss_bytes_peak_before = self.rss_bytes_peak(&cluster);

        let rate = TIMES * (best_per_second.ceil() as u64).max(1);
        let load = Load { rate, ..self.load.clone() };
        let payments = population.payments(count(&load), STEPS_MAX as u64 + 1, load.cross);
        let answer = load.measure(&cluster, &payments).await;
        let overload = step(&answer);
        let share_of_best = overload.applied_per_second / best_per_second.max(0.001);
        let rss_bytes_peak = self.rss_bytes_peak(&cluster);
        cluster.stop_all().await;
        Answer {
            banks: load.banks,
            wallets: load.wallets,
            steps,
            best_per_second,
            overload,
            seconds: load.seconds,
            offered: payments.len() as u64,
            accepted: answer.accepted,
            applied: answer.applied,
            share_of_best,
            goal: GOAL,
            is_met: share_of_best >= GOAL,
            rss_bytes_peak_before,
            rss_bytes_peak,
        }
    }

    /// Rates that rise until one is too much.
    async fn steps(&self, cluster: &Cluster, population: &mut Population) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        let mut rate = self.load.rate;
        for number in 1..=STEPS_MAX {
            let load = Load { rate, seconds: self.step_seconds, ..self.load.clone() };
            let payments = population.payments(count(&load), number as u64, load.cross);
            let step = step(&load.measure(cluster, &payments).await);
            eprintln!("offered {rate}/s: {:.0}/s applied", step.applied_per_second);
            steps.push(step);
            if step.applied_per_second < CARRIES * rate as f64 {
                break;
            }
            rate += rate / 4;
        }
        steps
    }

    fn rss_bytes_peak(&self, cluster: &Cluster) -> u64 {
        let banks = (0..self.load.banks).filter_map(|bank| cluster.process_id(bank));
        banks.map(usage::rss_bytes_peak).max().unwrap_or(0)
    }
}

fn count(load: &Load) -> usize {
    usize::try_from(load.rate * load.seconds).unwrap()
}

fn step(answer: &crate::load::Answer) -> Step {
    Step {
        offered_per_second: answer.offered_per_second,
        applied_per_second: answer.steady_per_second,
        to_final: answer.to_final,
        to_certified: answer.to_certified,
    }
}
