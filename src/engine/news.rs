//! What happens while a job is carried out, for whoever watches.

use super::faults::Room;
use crate::adversary::job::{Attack, Step};
use crate::agent::Training;
use crate::events::Event;

/// A job, as it is seen by whoever watches.
#[derive(Debug, Clone, Copy)]
pub enum Seen<'a> {
    /// A search or run.
    Training(&'a dyn Training),
    /// An attack.
    Attack(&'a Attack),
}

/// What a trainer is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    /// The trial of this ordinal.
    Trial(u32),
    /// A step of an attack.
    Step(Step),
}

/// What a person may want to see.
#[derive(Debug)]
pub enum News<'a> {
    /// An event was recorded and is part of the state.
    Recorded(&'a Event),
    /// A trainer is at a task.
    Progress {
        /// The task.
        task: Task,
        /// Its epoch, from 1; 0 if it has none.
        epoch: u32,
        /// Fraction of the epoch, or of all of it, that is done.
        share: f64,
    },
    /// A step was lost, and why; it is tried again.
    Lost(Step, &'a str),
    /// It is carried on with something else than before, which computes in other bits.
    OtherComputer {
        /// What computed until now.
        before: String,
        /// What will compute from now on.
        now: String,
    },
    /// The checkpoint of this trial is gone or damaged: it starts anew.
    Anew(u32),
    /// There is little free space.
    LowSpace(&'a Room),
    /// Asked to stop: the running tasks, or their running epochs, are the last.
    Stopping,
}

/// Sees what happens.
pub trait Report {
    /// Something happened; `job` is the state after it.
    fn news(&mut self, job: Seen<'_>, news: &News<'_>);
}

impl Report for () {
    fn news(&mut self, _: Seen<'_>, _: &News<'_>) {}
}
