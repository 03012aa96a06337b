//! Progress of long work, drawn on standard error and only where a person watches it.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Redraws of a spinner.
const TICK: Duration = Duration::from_millis(120);

/// A bar that clears itself when it is dropped.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar of `steps` steps; a spinner where the number is not known.
    #[must_use]
    pub fn new(what: &'static str, steps: Option<u64>, quiet: bool) -> Self {
        let bar = match steps {
            Some(steps) => ProgressBar::new(steps),
            None => ProgressBar::new_spinner(),
        };
        if quiet || !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        } else {
            let style = match steps {
                Some(_) => "{msg:24} [{bar:30}] {pos}/{len} {eta}",
                None => "{msg:24} {spinner} {pos}",
            };
            // A template that does not parse leaves the default style.
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(TICK);
        }
        bar.set_message(what);
        Self { bar }
    }

    /// Steps done so far.
    pub fn set(&self, done: u64) {
        self.bar.set_position(done);
    }

    /// More steps done.
    pub fn advance(&self, steps: u64) {
        self.bar.inc(steps);
    }

    /// What is going on now.
    pub fn say(&self, what: String) {
        self.bar.set_message(what);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
