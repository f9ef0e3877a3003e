//! Progress of attacks: steps.

use std::time::Duration;

use super::{Progress, Whole, duration};
use crate::adversary::job::{Attack, Step};
use crate::engine::news::Task;

/// Time between two plain lines.
const EVERY: Duration = Duration::from_secs(5);

impl Progress {
    pub(super) fn attacked(&self, attack: &Attack) -> Whole {
        let (done, all) = self.done(attack);
        let left = self.left(done, all).map(|left| format!("{} left", duration(left)));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 or more")]
        let (done, all) = (done as u64, all as u64);
        Whole { done, all, text: left.unwrap_or_default() }
    }

    /// What is done, that of running steps too, and all that is to be done.
    fn done(&self, attack: &Attack) -> (f64, f64) {
        let (done, all) = attack.progress();
        let running = self.running.iter().filter_map(|(task, (_, share))| {
            let (Task::Step(step), plan) = (*task, attack.plan()?) else { return None };
            let images = plan.images(step, attack.images());
            Some(f64::from(plan.cost(step)) * f64::from(images) * share)
        });
        (done as f64 + running.sum::<f64>(), all as f64)
    }

    fn left(&self, done: f64, all: f64) -> Option<Duration> {
        let here = done - self.before.unwrap_or(0) as f64;
        let left = (all - done).max(0.0);
        let left = (here > 0.0).then(|| self.elapsed().as_secs_f64() / here * left)?;
        Duration::try_from_secs_f64(left).ok()
    }

    pub(super) fn step_recorded(&mut self, attack: &Attack) {
        self.running.retain(|task, _| !matches!(task, Task::Step(step) if attack.is_done(*step)));
    }

    pub(super) fn at_step(&mut self, attack: &Attack, task: Task, share: f64) {
        let Task::Step(step) = task else { return };
        self.before.get_or_insert(attack.progress().0);
        self.running.insert(task, (named(attack, step), share));
        if self.is_silent(EVERY) {
            let (done, all) = self.done(attack);
            let steps: Vec<&str> = self.running.values().map(|(line, _)| line.as_str()).collect();
            let left = self.left(done, all);
            let left = left.map(|left| format!("  {} left", duration(left))).unwrap_or_default();
            let percent = 100.0 * done / all.max(1.0);
            self.say(&format!("{} {percent:.0} %  {}{left}", self.scope, steps.join("; ")));
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
