//! Progress of a search or run: one line for the whole, one for the running trial. On a terminal
//! they stay in place; elsewhere a plain line is printed when a trial or a phase ends.

use std::collections::{BTreeMap, HashMap};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::terminal::escaped;
use crate::agent::Job;
use crate::agent::search::Search;
use crate::agent::trials::{Computer, Status, Trial};
use crate::engine::faults::Room;
use crate::engine::{News, Report};
use crate::events::{EpochFinished, Event, Fit, Outcome, PhaseEnded, PredictedPart, Scope};

/// Shows progress on stderr.
pub struct Progress {
    scope: Scope,
    bars: Option<(MultiProgress, ProgressBar, ProgressBar)>,
    started: Instant,
    /// Seconds of the trials that ended while this process watched.
    seconds: Vec<f64>,
    /// A line for each trial that is being trained.
    running: BTreeMap<u32, String>,
    /// When the last plain line was printed.
    said: Instant,
    /// Right test images, and all of them, of the trials that were shown them.
    test: HashMap<u32, (u32, u32)>,
}

/// Time between two plain lines about epochs.
const EPOCH_LINES: Duration = Duration::from_secs(10);

impl Progress {
    /// Progress of a search or run.
    #[must_use]
    pub fn new(scope: Scope) -> Self {
        let bars = std::io::stderr().is_terminal().then(|| {
            let bars = MultiProgress::new();
            let style = |template: &str| {
                ProgressStyle::with_template(template)
                    .unwrap_or_else(|_| ProgressStyle::default_bar())
                    .progress_chars("=> ")
            };
            let whole = bars.add(ProgressBar::new(1));
            whole.set_style(style("{prefix} [{bar:24}] {pos}/{len} models  {msg}"));
            let trial = bars.add(ProgressBar::new(1000));
            trial.set_style(style("  {msg}"));
            (bars, whole, trial)
        });
        let (seconds, running, test) = Default::default();
        let now = Instant::now();
        Self { scope, bars, started: now, seconds, running, said: now, test }
    }

    /// Prints a line that stays.
    pub fn say(&self, line: &str) {
        match &self.bars {
            Some((bars, ..)) => drop(bars.println(escaped(line))),
            None => crate::cli::note(line),
        }
    }

    /// Clears the lines that do not stay.
    pub fn finish(&self) {
        if let Some((bars, ..)) = &self.bars {
            let _ = bars.clear();
        }
    }

    fn show(&mut self, job: &dyn Job) {
        let done = ended(job).count() as u64;
        let total = u64::from(job.planned_models());
        let mut text = Vec::new();
        if let Some(search) = job.as_search() {
            text.extend(phase(search));
        }
        if let Some(best) = best(job) {
            text.push(format!("best {best:.4}"));
        }
        if let Some(left) = self.time_left(total.saturating_sub(done)) {
            text.push(format!("{} left", duration(left)));
        }
        if let Some((_, whole, _)) = &self.bars {
            whole.set_prefix(self.scope.to_string());
            whole.set_length(total);
            whole.set_position(done.min(total));
            whole.set_message(text.join("  "));
        }
        self.show_running();
    }

    /// One line a trainer.
    fn show_running(&self) {
        if let Some((_, _, trials)) = &self.bars {
            let lines: Vec<_> = self.running.values().map(|line| escaped(line)).collect();
            trials.set_message(lines.join("\n  "));
        }
    }

    /// By the mean of the last trials, with as many at a time as now; later phases train deeper
    /// networks, so older ones mislead.
    fn time_left(&self, models: u64) -> Option<Duration> {
        let recent = &self.seconds[self.seconds.len().saturating_sub(20)..];
        if recent.is_empty() {
            return None;
        }
        let mean = recent.iter().sum::<f64>() / recent.len() as f64;
        let at_a_time = self.running.len().max(1) as f64;
        Duration::try_from_secs_f64(mean * models as f64 / at_a_time).ok()
    }

    fn recorded(&mut self, job: &dyn Job, event: &Event) {
        match event {
            Event::AttemptStarted(started) => {
                if let Some(trial) = job.trials().get(started.trial) {
                    let architecture = &trial.planned.architecture;
                    let line =
                        format!("trial {} on {}  {architecture}", started.trial, started.device);
                    self.running.insert(started.trial, line);
                }
            }
            Event::EpochFinished(epoch) if self.bars.is_none() && job.terms(1).by_epoch => {
                self.epoch_line(job, epoch);
            }
            Event::PredictionsRecorded(made) if made.part == PredictedPart::Test => {
                self.test.insert(made.trial, (made.correct, made.images));
            }
            Event::TrialFinished(finished) => {
                self.seconds.push(finished.seconds);
                if self.bars.is_none() {
                    self.plain_line(job, finished.trial);
                }
                self.running.remove(&finished.trial);
            }
            Event::TrialReused(reused) if self.bars.is_none() => {
                self.plain_line(job, reused.trial);
            }
            Event::AttemptLost(lost) => {
                self.running.remove(&lost.trial);
                if lost.counts {
                    self.say(&format!(
                        "trial {}, attempt {} lost: {}",
                        lost.trial, lost.attempt, lost.reason
                    ));
                }
            }
            Event::TrialLost(lost) => {
                self.say(&format!("trial {} given up after 3 lost attempts", lost.trial));
            }
            Event::PhaseEnded(ended) => self.say(&phase_line(ended)),
            _ => {}
        }
    }

    /// Long trainings would be silent for hours, short ones say enough at their end.
    fn epoch_line(&mut self, job: &dyn Job, epoch: &EpochFinished) {
        if self.said.elapsed() < EPOCH_LINES {
            return;
        }
        self.said = Instant::now();
        // Of images that are trained on it would say nothing.
        let held_out = job.terms(epoch.trial).fit == Fit::Train;
        let accuracy = f64::from(epoch.validation_correct) / f64::from(epoch.validation_total);
        let accuracy = if held_out { format!("  {accuracy:.4}") } else { String::new() };
        let (trial, of) = (epoch.trial, job.planned_models());
        let (number, epochs) = (epoch.epoch, job.config().recipe.epochs);
        self.say(&format!("{} {trial}/{of}  epoch {number}/{epochs}{accuracy}", self.scope));
    }

    fn plain_line(&self, job: &dyn Job, ordinal: u32) {
        let Some(trial) = job.trials().get(ordinal) else { return };
        let what = match &trial.status {
            Status::Finished(Outcome::Trained { .. }) => match job.accuracy(ordinal) {
                Some(accuracy) => format!("{accuracy:.4}"),
                None => "trained".to_owned(),
            },
            Status::Finished(Outcome::Failed { reason, .. }) => {
                format!("failed: {}", reason.name())
            }
            _ => return,
        };
        let (done, total) = (ended(job).count(), job.planned_models());
        let left = self.time_left(u64::from(total).saturating_sub(done as u64));
        let left = left.map(|left| format!("  {} left", duration(left))).unwrap_or_default();
        let share = |&(correct, images)| f64::from(correct) / f64::from(images);
        let test = self.test.get(&ordinal).map(share);
        let test = test.map(|accuracy| format!(" (test {accuracy:.4})")).unwrap_or_default();
        self.say(&format!(
            "{} {done}/{total}  {what}{test}  {}{left}",
            self.scope, trial.planned.architecture
        ));
    }

    /// Time since this process began to watch.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Report for Progress {
    fn news(&mut self, job: &dyn Job, news: &News<'_>) {
        match news {
            News::Recorded(event) => self.recorded(job, event),
            News::Progress { trial, epoch, share } => {
                if let (Some(_), Some(planned)) = (&self.bars, job.trials().get(*trial)) {
                    let (epochs, percent) = (job.config().recipe.epochs, share * 100.0);
                    let architecture = &planned.planned.architecture;
                    let line = format!(
                        "trial {trial}  epoch {epoch}/{epochs}  {percent:3.0} %  {architecture}"
                    );
                    self.running.insert(*trial, line);
                    self.show_running();
                }
                return;
            }
            News::Trainer(_) => {}
            News::OtherComputer { before, now } => {
                let line = |c: &Computer| {
                    format!("{} {} on {} ({})", c.trainer, c.library, c.device, c.isa)
                };
                self.say(&format!(
                    "warning: until now training was done by {}, from now on by {}: \
                     results may differ in some bits from those of an unbroken search",
                    line(before),
                    line(now)
                ));
            }
            News::Anew(trial) => self.say(&format!(
                "the checkpoint of trial {trial} is gone or damaged: it starts anew"
            )),
            News::LowSpace(room) => self.say(&low_space(room)),
            News::Stopping => {
                let step = if job.terms(1).by_epoch { "epoch" } else { "trial" };
                let steps = if self.running.len() > 1 { "s" } else { "" };
                self.say(&format!(
                    "stopping after the running {step}{steps}; once more to stop at once"
                ));
            }
        }
        self.show(job);
    }
}

/// A warning that there is little free space.
#[must_use]
pub fn low_space(room: &Room) -> String {
    let (folder, free) = (room.folder.display(), room.free >> 20);
    format!(
        "warning: only {free} MiB of free space in {folder}; without room the work stops, and can be resumed"
    )
}

fn ended(job: &dyn Job) -> impl Iterator<Item = &Trial> {
    job.trials().all().iter().filter(|trial| matches!(trial.status, Status::Finished(_)))
}

fn best(job: &dyn Job) -> Option<f64> {
    let accuracy = |trial: &Trial| job.accuracy(trial.planned.trial);
    ended(job).filter_map(accuracy).max_by(f64::total_cmp)
}

fn phase(search: &Search) -> Option<String> {
    let phase = search.phase()?;
    let phases = &search.config().schedule.phases;
    let epsilon = phases.get(phase)?.epsilon;
    Some(format!("phase {}/{}  epsilon {epsilon}", phase + 1, phases.len()))
}

/// What is said when a phase ends.
fn phase_line(ended: &PhaseEnded) -> String {
    let why = match ended.reason {
        crate::events::PhaseEnd::Quota => "quota met",
        crate::events::PhaseEnd::Duplicates => "too many known architectures in a row",
        crate::events::PhaseEnd::Exhausted => "every architecture of the space is known",
    };
    let PhaseEnded { phase, epsilon, models, episode, .. } = ended;
    let s = if *models == 1 { "" } else { "s" };
    format!(
        "phase {} (epsilon {epsilon}) ended after {models} new model{s}, at episode {episode}: {why}",
        phase + 1
    )
}

/// A bar that counts to `all`; none where stderr is no terminal.
#[must_use]
pub fn counter(all: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos} of {len}");
    ProgressBar::new(all).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// `1 h 05 min`, `3 min 20 s`, `12 s`.
#[must_use]
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64().round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded above 0")]
    let seconds = seconds as u64;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {:02} s", seconds % 60),
        (0, ..) => format!("{hours} h {minutes:02} min"),
        _ => format!("{days} d {hours:02} h"),
    }
}
