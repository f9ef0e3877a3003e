//! Attacks by several trainers: of any number and speed, dying, killed with them.

use super::*;

/// How many trainers there are, how fast they are and which of them die changes nothing. One that
/// always dies costs its own steps only: the others do them.
#[test]
fn any_number_of_trainers_makes_the_same_attack() {
    BATCH.set(1);
    let (whole, result) = World::new().work(MemoryLog::default(), honest);
    assert_eq!(result.unwrap(), Ending::Finished);
    let expected = digest(&whole);
    let dies = |dies, pace| Starts { dies: Some(dies), ..Starts::honest(pace) };
    for trainers in [
        vec![Starts::honest(1)],
        vec![dies(7, 2)],
        vec![Starts::honest(3), Starts::honest(4)],
        vec![dies(1, 5), Starts::honest(6)],
        vec![Starts::honest(7), dies(3, 8)],
        [1, 1, 1, 1].map(Starts::honest).to_vec(),
        vec![Starts::honest(9), dies(1, 0), dies(5, 0), Starts::honest(10)],
    ] {
        let (log, result) = World::new().work_by(MemoryLog::default(), &trainers);
        assert_eq!(result.unwrap(), Ending::Finished);
        assert_eq!(digest(&log), expected, "{} trainers", trainers.len());
    }
}

#[test]
fn several_trainers_killed_after_any_event_make_the_same_attack() {
    let world = World::new();
    let (whole, result) = world.work(MemoryLog::default(), honest);
    assert_eq!(result.unwrap(), Ending::Finished);
    let (expected, length) = (digest(&whole), all(&whole).len() as u64);
    let with = |pace| [Starts::honest(pace), Starts::honest(pace + 1)];
    for after in (0..length).step_by(3) {
        let log = MemoryLog::default().stopping_after(after);
        let (log, result) = world.work_by(log, &with(after + 1));
        assert!(result.is_err(), "not killed after {after} events");
        let (log, result) = world.work_by(log.reopened(), &with(after));
        assert_eq!(result.unwrap(), Ending::Finished, "killed after {after} events");
        assert_eq!(digest(&log), expected, "killed after {after} events");
    }
}

/// Steps overlap, and what is crafted is scored by the trainer that crafted it, as long as there is
/// something to be crafted by others.
#[test]
fn trainers_are_at_steps_of_their_own() {
    struct Watcher(Vec<Step>);
    impl crate::engine::news::Report for Watcher {
        fn news(&mut self, _: Seen<'_>, news: &News<'_>) {
            if let News::Progress { task: Task::Step(step), share: 0.0, .. } = news {
                self.0.push(*step);
            }
        }
    }
    BATCH.set(1);
    let world = World::new();
    let mut watcher = Watcher(Vec::new());
    let trainers = [Starts::honest(0), Starts::honest(0)];
    let trainers = trainers.map(|start| Box::new(start) as Box<dyn Start>).into();
    let (_, result) = world.work_watched(MemoryLog::default(), trainers, &mut watcher);
    assert_eq!(result.unwrap(), Ending::Finished);
    let craft = |first| Step::Craft { victim: 0, first };
    assert_eq!(watcher.0[..2], [craft(0), craft(1)], "both begin at once");
    let firsts: Vec<u32> = watcher.0[2..8].iter().map(|step| step.first()).collect();
    assert_eq!(firsts, [0, 1, 0, 1, 0, 1]);
    let plan = Plan::new(settings(), 3).unwrap();
    assert_eq!(watcher.0.len(), plan.steps.len(), "each step once");
}

/// A step that no trainer can do ends the attack, however many trainers there are.
#[test]
fn a_step_that_is_lost_three_times_ends_the_attack() {
    let lie: Lie = |images, _| images.clear();
    for count in [1, 2, 3] {
        let trainers = vec![Starts { lie, ..Starts::honest(0) }; count];
        let (log, result) = World::new().work_by(MemoryLog::default(), &trainers);
        let Ok(Ending::Lost(reason)) = result else { panic!("{result:?}") };
        assert!(reason.contains("with 0 bytes"), "{reason}");
        assert!(!all(&log).iter().any(|r| matches!(r.event, Event::ImagesCrafted(_))));
    }
}
