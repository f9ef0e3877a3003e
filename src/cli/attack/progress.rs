//! Progress of the trial of models before an attack: one line that stays in place on a terminal;
//! elsewhere a plain line every few seconds.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::terminal::escaped;
use crate::engine::attacks::Target;
use crate::engine::watch::Trying;

/// Time between two plain lines.
const EVERY: Duration = Duration::from_secs(5);

/// Shows on stderr how models are tried.
pub(super) struct Line {
    labels: Vec<String>,
    bar: Option<ProgressBar>,
    last_line: Option<Instant>,
}

impl Line {
    /// The line about these models; where it does not stay in place, either at once or only if they
    /// take a while.
    pub(super) fn new(targets: &[Target], at_once: bool) -> Self {
        let labels = targets.iter().map(|target| target.victim.label.clone()).collect();
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{msg}");
            ProgressBar::new_spinner()
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
        Self { labels, bar, last_line: (!at_once).then(Instant::now) }
    }

    /// Shows what is done with a model, and the fraction of that which is done.
    pub(super) fn show(&mut self, label: &str, trying: &Trying, done: f64) {
        let number = self.labels.iter().position(|known| known == label).map_or(0, |at| at + 1);
        let mut line = format!(
            "trying {label} ({number} of {}), nothing is recorded yet: {trying}",
            self.labels.len()
        );
        if done > 0.0 {
            line += &format!(", {:.0} %", 100.0 * done);
        }
        match &self.bar {
            Some(bar) => {
                bar.set_message(escaped(&line).into_owned());
                bar.tick();
            }
            None if self.last_line.is_none_or(|last| last.elapsed() >= EVERY) => {
                self.last_line = Some(Instant::now());
                crate::cli::note(&line);
            }
            None => {}
        }
    }

    /// Clears what does not stay.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.finish();
    }
}
