//! Several processes on one log in memory.

use super::tests::{Living, SCOPE, all, beginning_with, config, digest, work_among, work_with};
use super::*;
use crate::events::frame::{Frame, Head, Position};
use crate::log::MemoryLog;
use crate::trainer::fake::by_seed;
use crate::trainer::process::Said;
use crate::trainer::protocol::TrainRequest;

/// A log that several processes have open; this one is killed at an append of its own.
#[derive(Clone)]
pub(super) struct Together {
    pub(super) log: std::sync::Arc<std::sync::Mutex<MemoryLog>>,
    pub(super) appends_left: u32,
}

impl EventLog for Together {
    fn head(&mut self) -> Result<Head, LogError> {
        self.log.lock().unwrap().head()
    }

    fn read(&mut self, after: Position, max: usize) -> Result<Vec<Frame>, LogError> {
        self.log.lock().unwrap().read(after, max)
    }

    fn append(&mut self, expected: Head, frames: &[Frame]) -> Result<Head, LogError> {
        let left = self.appends_left.checked_sub(1).ok_or(LogError::Poisoned)?;
        let appended = self.log.lock().unwrap().append(expected, frames);
        if appended.is_ok() {
            self.appends_left = left;
        }
        appended
    }
}

/// A log with a search that has just begun.
fn begun(in_flight: u32) -> std::sync::Arc<std::sync::Mutex<MemoryLog>> {
    let mut begun = Journal::new(MemoryLog::default(), || 0, Box::new(()));
    begun.record(SCOPE, &beginning_with(&config(in_flight)), |_| {}).unwrap().unwrap();
    std::sync::Arc::new(std::sync::Mutex::new(begun.into_log()))
}

/// Several processes carry on one search, and all but the last of each are killed in the middle: it is
/// the search of one process that nobody killed, and each trial has one result.
#[test]
fn several_processes_that_are_killed_make_the_same_search() {
    for (processes, in_flight) in [(2, 1), (2, 4), (3, 4)] {
        let (mut whole, result) = work_with(MemoryLog::default(), by_seed, (1, in_flight, 0));
        assert_eq!(result.unwrap(), Ending::Finished);
        let expected = digest(&mut whole);
        for round in 0..6 {
            let living = Living::default();
            let log = begun(in_flight);
            std::thread::scope(|threads| {
                for process in 0..processes {
                    let (log, living) = (std::sync::Arc::clone(&log), &living);
                    threads.spawn(move || {
                        for life in 0.. {
                            let appends_left = if life < 4 { 3 + round + life } else { u32::MAX };
                            let log = Together { log: std::sync::Arc::clone(&log), appends_left };
                            let with = (2, in_flight, 7 * u64::from(life) + process);
                            match work_among(living, log, by_seed, with).1 {
                                Ok(ending) => return assert_eq!(ending, Ending::Finished),
                                Err(error) => assert!(life < 4, "{error}"),
                            }
                        }
                    });
                }
            });
            let mut log = log.lock().unwrap().clone();
            assert_eq!(digest(&mut log), expected, "{processes} processes, {in_flight} in flight");
            let events = all(&mut log);
            let of =
                |wanted: fn(&Event) -> bool| events.iter().filter(|r| wanted(&r.event)).count();
            let planned = of(|event| matches!(event, Event::TrialPlanned(_)));
            assert_eq!(of(|event| matches!(event, Event::TrialFinished(_))), planned);
            let workers: std::collections::BTreeSet<_> = events
                .iter()
                .filter_map(|recorded| match &recorded.event {
                    Event::AttemptStarted(started) => Some(&started.worker),
                    _ => None,
                })
                .collect();
            assert!(workers.len() > 1, "{workers:?}");
        }
    }
}

/// A trial that no trainer survives is given up after three attempts, whichever processes lost them:
/// nobody waits for another process that has lost it too.
#[test]
fn a_trial_that_every_process_loses_is_given_up() {
    fn deadly(request: &TrainRequest) -> Vec<Said> {
        if request.seed.is_multiple_of(3) { vec![Said::Ended] } else { by_seed(request) }
    }
    for (processes, in_flight) in [(2, 1), (2, 4), (3, 4)] {
        let living = Living::default();
        let log = begun(in_flight);
        std::thread::scope(|threads| {
            for process in 0..processes {
                let (log, living) = (std::sync::Arc::clone(&log), &living);
                threads.spawn(move || {
                    let log = Together { log, appends_left: u32::MAX };
                    let ending = work_among(living, log, deadly, (1, in_flight, process)).1;
                    assert!(matches!(ending, Ok(Ending::Finished | Ending::Lost(_))), "{ending:?}");
                });
            }
        });
        let mut log = log.lock().unwrap().clone();
        // Whatever is left, one process does.
        while work_with(log.clone(), deadly, (1, in_flight, 0)).1.unwrap() != Ending::Finished {
            log = work_with(log, deadly, (1, in_flight, 0)).0;
        }
        log = work_with(log, deadly, (1, in_flight, 0)).0;
        let events = all(&mut log);
        let of = |wanted: fn(&Event) -> bool| events.iter().filter(|r| wanted(&r.event)).count();
        let lost = of(|event| matches!(event, Event::TrialLost(_)));
        assert!(lost > 0);
        assert_eq!(of(|event| matches!(event, Event::AttemptLost(lost) if lost.counts)), 3 * lost);
    }
}
