//! Progress of searches and runs: trials.

use std::time::Duration;

use super::{Progress, Whole, duration};
use crate::agent::Training;
use crate::agent::search::Search;
use crate::agent::trials::{Status, Trial};
use crate::engine::news::Task;
use crate::events::{EpochFinished, Event, Fit, Outcome, PhaseEnded, PredictedPart};

/// Time between two plain lines about epochs.
const EPOCH_LINES: Duration = Duration::from_secs(10);

impl Progress {
    pub(super) fn trained(&self, job: &dyn Training) -> Whole {
        let (done, all) = (ended(job).count() as u64, u64::from(job.planned_models()));
        let best = best(job).map(|best| format!("best {best:.4}"));
        let left = self.time_left(all.saturating_sub(done));
        let left = left.map(|left| format!("{} left", duration(left)));
        let phase = job.as_search().and_then(phase);
        let text: Vec<_> = phase.into_iter().chain(best).chain(left).collect();
        Whole { done, all, text: text.join("  ") }
    }

    pub(super) fn at_trial(&mut self, job: &dyn Training, task: Task, epoch: u32, share: f64) {
        let Task::Trial(ordinal) = task else { return };
        if let (Some(_), Some(trial)) = (&self.bars, job.trials().get(ordinal)) {
            let (epochs, percent) = (job.config().recipe.epochs, share * 100.0);
            let architecture = &trial.planned.architecture;
            let line =
                format!("trial {ordinal}  epoch {epoch}/{epochs}  {percent:3.0} %  {architecture}");
            self.running.insert(task, (line, share));
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

    pub(super) fn recorded(&mut self, job: &dyn Training, event: &Event) {
        match event {
            Event::AttemptStarted(started) => {
                if let Some(trial) = job.trials().get(started.trial) {
                    let architecture = &trial.planned.architecture;
                    let line =
                        format!("trial {} on {}  {architecture}", started.trial, started.device);
                    self.running.insert(Task::Trial(started.trial), (line, 0.0));
                }
            }
            Event::EpochFinished(epoch) if job.terms(1).by_epoch => {
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
                self.running.remove(&Task::Trial(finished.trial));
            }
            Event::TrialReused(reused) if self.bars.is_none() => {
                self.plain_line(job, reused.trial);
            }
            Event::AttemptLost(lost) => {
                self.running.remove(&Task::Trial(lost.trial));
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
    fn epoch_line(&mut self, job: &dyn Training, epoch: &EpochFinished) {
        if !self.is_silent(EPOCH_LINES) {
            return;
        }
        // Of images that are trained on it would say nothing.
        let held_out = job.terms(epoch.trial).fit == Fit::Train;
        let accuracy = f64::from(epoch.validation_correct) / f64::from(epoch.validation_total);
        let accuracy = if held_out { format!("  {accuracy:.4}") } else { String::new() };
        let (trial, of) = (epoch.trial, job.planned_models());
        let (number, epochs) = (epoch.epoch, job.config().recipe.epochs);
        self.say(&format!("{} {trial}/{of}  epoch {number}/{epochs}{accuracy}", self.scope));
    }

    fn plain_line(&self, job: &dyn Training, ordinal: u32) {
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
}

fn ended(job: &dyn Training) -> impl Iterator<Item = &Trial> {
    job.trials().all().iter().filter(|trial| matches!(trial.status, Status::Finished(_)))
}

fn best(job: &dyn Training) -> Option<f64> {
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
    format!(
        "phase {} (epsilon {epsilon}) ended after {models} new models, at episode {episode}: {why}",
        phase + 1
    )
}
