//! Progress of an attack, and of the trial of its models before that: one line that stays in place on
//! a terminal; elsewhere a plain line every few seconds.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::adversary::job::{Attack, Step};
use crate::cli::progress::{duration, low_space};
use crate::cli::terminal::escaped;
use crate::engine::attack::{AttackNews, AttackReport};
use crate::engine::attacks::Target;
use crate::engine::watch::Trying;
use crate::events::{AttackTrainer, Scope};

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

/// Shows progress on stderr.
pub(super) struct Progress {
    scope: Scope,
    bar: Option<ProgressBar>,
    started: Instant,
    /// What was done before this process began.
    before: u64,
    last_line: Option<Instant>,
}

impl Progress {
    /// Progress of an attack.
    pub(super) fn new(scope: Scope, attack: &Attack) -> Self {
        let (before, all) = attack.progress();
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{prefix} [{bar:24}] {percent:3} %  {msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(all)
                .with_style(style.progress_chars("=> "))
                .with_prefix(scope.to_string())
        });
        Self { scope, bar, started: Instant::now(), before, last_line: None }
    }

    /// Clears what does not stay.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Time since this process began to watch.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(escaped(line)),
            None => crate::cli::note(line),
        }
    }

    fn show(&mut self, attack: &Attack, step: Step, share: f64) {
        let (done, all) = attack.progress();
        let running = match attack.plan() {
            Some(plan) if !attack.is_done(step) => {
                let images = plan.images(step, attack.images());
                f64::from(plan.cost(step)) * f64::from(images) * share
            }
            _ => 0.0,
        };
        let done = done as f64 + running;
        let here = done - self.before as f64;
        let left = (all as f64 - done).max(0.0);
        let left = (here > 0.0).then(|| self.elapsed().as_secs_f64() / here * left);
        let left = left.and_then(|left| Duration::try_from_secs_f64(left).ok());
        let left = left.map(|left| format!("  {} left", duration(left)));
        let what = format!("{}{}", named(attack, step), left.unwrap_or_default());
        match &self.bar {
            Some(bar) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "0 or more"
                )]
                bar.set_position(done as u64);
                bar.set_message(escaped(&what).into_owned());
            }
            None if self.last_line.is_none_or(|last| last.elapsed() >= EVERY) => {
                self.last_line = Some(Instant::now());
                let percent = 100.0 * done / (all as f64).max(1.0);
                self.say(&format!("{} {percent:.0} %  {what}", self.scope));
            }
            None => {}
        }
    }
}

fn named(attack: &Attack, step: Step) -> String {
    let label = |victim: u16| {
        let victim = attack.victims().get(usize::from(victim));
        victim.map(|victim| victim.label.clone()).unwrap_or_default()
    };
    match step {
        Step::Craft { victim, first } => {
            format!("crafting against {} from image {}", label(victim), first + 1)
        }
        Step::Noise { victim, first } => {
            format!("random noise for {} from image {}", label(victim), first + 1)
        }
        Step::Own { victim, first, .. } => {
            format!("transforming for {} from image {}", label(victim), first + 1)
        }
        Step::Cross { judge, victim, .. } => {
            format!("{} judges what was crafted against {}", label(judge), label(victim))
        }
    }
}

impl AttackReport for Progress {
    fn news(&mut self, attack: &Attack, news: &AttackNews<'_>) {
        match news {
            AttackNews::Trainer(_) => {}
            AttackNews::Working(step, share) => self.show(attack, *step, *share),
            AttackNews::Done(step) => self.show(attack, *step, 0.0),
            AttackNews::LowSpace(room) => self.say(&low_space(room)),
            AttackNews::Lost(reason) => self.say(&format!("a micro-batch was lost: {reason}")),
            AttackNews::OtherComputer(before, now) => {
                let line = |c: &AttackTrainer| {
                    format!(
                        "{} {} on {} ({}, {} threads)",
                        c.trainer, c.library, c.device, c.isa, c.threads
                    )
                };
                self.say(&format!(
                    "warning: until now this was computed by {}, from now on by {}: results may \
                     differ in some bits from those of an unbroken attack",
                    line(before),
                    line(now)
                ));
            }
            AttackNews::Stopping => {
                self.say("stopping after the running micro-batch; once more to stop at once");
            }
        }
    }
}
