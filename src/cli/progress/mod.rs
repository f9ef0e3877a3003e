//! Progress of a search, run or attack: one line for the whole, one for each task that a trainer is at.
//! On a terminal they stay in place; elsewhere a plain line is printed now and then.

mod attack;
mod training;

use std::collections::{BTreeMap, HashMap};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::terminal::escaped;
use crate::engine::faults::Room;
use crate::engine::news::{News, Report, Seen, Task};
use crate::events::Scope;

/// Shows progress on stderr.
pub struct Progress {
    scope: Scope,
    bars: Option<(MultiProgress, ProgressBar, ProgressBar)>,
    started: Instant,
    /// When the last plain line was printed that is not about a task that ended.
    said: Option<Instant>,
    /// A line for each task that a trainer is at, and the fraction of a step that is done.
    running: BTreeMap<Task, (String, f64)>,
    /// Seconds of the trials that ended while this process watched.
    seconds: Vec<f64>,
    /// Right test images, and all of them, of the trials that were shown them.
    test: HashMap<u32, (u32, u32)>,
    /// What was done of an attack before this process watched.
    before: Option<u64>,
}

/// How far all of it is.
struct Whole {
    done: u64,
    all: u64,
    text: String,
}

impl Progress {
    /// Progress of a search, run or attack.
    #[must_use]
    pub fn new(scope: Scope) -> Self {
        let is_attack = matches!(scope, Scope::Attack(_));
        let bars = std::io::stderr().is_terminal().then(|| {
            let bars = MultiProgress::new();
            let style = |template: &str| {
                ProgressStyle::with_template(template)
                    .unwrap_or_else(|_| ProgressStyle::default_bar())
                    .progress_chars("=> ")
            };
            let whole = bars.add(ProgressBar::new(1));
            whole.set_style(style(match is_attack {
                true => "{prefix} [{bar:24}] {percent:3} %  {msg}",
                false => "{prefix} [{bar:24}] {pos}/{len} models  {msg}",
            }));
            whole.set_prefix(scope.to_string());
            let tasks = bars.add(ProgressBar::new(1000));
            tasks.set_style(style("  {msg}"));
            (bars, whole, tasks)
        });
        let started = Instant::now();
        // Trainings say enough at their end, unless they are long.
        let said = (!is_attack).then_some(started);
        let (running, seconds, test, before) = Default::default();
        Self { scope, bars, started, said, running, seconds, test, before }
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

    /// Time since this process began to watch.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn show(&self, job: Seen<'_>) {
        let Some((_, whole, tasks)) = &self.bars else { return };
        let Whole { done, all, text } = match job {
            Seen::Training(job) => self.trained(job),
            Seen::Attack(attack) => self.attacked(attack),
        };
        whole.set_length(all);
        whole.set_position(done.min(all));
        whole.set_message(escaped(&text).into_owned());
        let lines: Vec<_> = self.running.values().map(|(line, _)| escaped(line)).collect();
        tasks.set_message(lines.join("\n  "));
    }

    /// Whether it is time for a plain line, which is printed now and then.
    fn is_silent(&mut self, every: Duration) -> bool {
        let silent = self.bars.is_none() && self.said.is_none_or(|said| said.elapsed() >= every);
        if silent {
            self.said = Some(Instant::now());
        }
        silent
    }
}

impl Report for Progress {
    fn news(&mut self, job: Seen<'_>, news: &News<'_>) {
        let (whose, all) = match job {
            Seen::Training(_) => ("training was done by", "search"),
            Seen::Attack(_) => ("this was computed by", "attack"),
        };
        match (news, job) {
            (News::Recorded(event), Seen::Training(job)) => self.recorded(job, event),
            (News::Recorded(_), Seen::Attack(attack)) => self.step_recorded(attack),
            (News::Progress { task, epoch, share }, Seen::Training(job)) => {
                self.at_trial(job, *task, *epoch, *share);
            }
            (News::Progress { task, share, .. }, Seen::Attack(attack)) => {
                self.at_step(attack, *task, *share);
            }
            (News::Lost(step, reason), _) => {
                self.running.remove(&Task::Step(*step));
                self.say(&format!("a micro-batch was lost: {reason}"));
            }
            (News::OtherComputer { before, now }, _) => self.say(&format!(
                "warning: until now {whose} {before}, from now on by {now}: results may differ in \
                 some bits from those of an unbroken {all}"
            )),
            (News::Anew(trial), _) => self.say(&format!(
                "the checkpoint of trial {trial} is gone or damaged: it starts anew"
            )),
            (News::LowSpace(room), _) => self.say(&low_space(room)),
            (News::Stopping, job) => {
                let several = self.running.len() > 1;
                let what = match (job, several) {
                    (Seen::Attack(_), false) => "micro-batch",
                    (Seen::Attack(_), true) => "micro-batches",
                    (Seen::Training(job), false) if job.terms(1).by_epoch => "epoch",
                    (Seen::Training(job), true) if job.terms(1).by_epoch => "epochs",
                    (Seen::Training(_), false) => "trial",
                    (Seen::Training(_), true) => "trials",
                };
                self.say(&format!("stopping after the running {what}; once more to stop at once"));
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
