//! The engine against a log in memory and fake trainers: killed after every event, resumed, and
//! always the same search.

use super::attempt::{Attempt, Fact, Totals};
use super::jobs::State;
use super::journal::{Despite, Durable};
use super::pool::Post;
use super::presence::Alive;
use super::shared_tests::Together;
use super::trainings::Trainings;
use super::*;
use crate::chance;
use crate::config::{SearchConfig, presets};
use crate::events::digest::Digests;
use crate::events::{ArtifactReleased, ConfigPart, DataFacts, Hash, SearchStarted};
use crate::log::{Fault, MemoryLog};
use crate::trainer::fake::{Fakes, Script, by_seed};
use crate::trainer::process::{PipeFault, Said};
use crate::trainer::protocol::{DataRequest, ErrorCause, TrainRequest};

pub(super) const SCOPE: Scope = Scope::Search(1);
/// Images that [`by_seed`] counts.
const TOTALS: Totals = Totals { train: 100, validation: 100 };

pub(super) fn config(in_flight: u32) -> SearchConfig {
    let settings = [format!("schedule.in-flight={in_flight}")];
    SearchConfig::read(presets::text("tiny").unwrap(), None, &settings).unwrap()
}

/// The batch that begins a search.
fn beginning() -> Vec<Event> {
    beginning_with(&config(1))
}

pub(super) fn beginning_with(config: &SearchConfig) -> Vec<Event> {
    let text = config.to_toml();
    let parts = ConfigPart::cut(&text);
    let data = DataFacts {
        name: "test".into(),
        content: Hash::default(),
        channels: 1,
        side: 28,
        classes: 10,
        train: 100,
        validation: 100,
        split: Hash::default(),
    };
    let started = SearchStarted {
        name: String::new(),
        seed: 3,
        chance: chance::SCHEME.into(),
        data,
        folder: String::new(),
        config: Hash::of(text.as_bytes()),
        config_parts: u16::try_from(parts.len()).unwrap(),
        threads: 1,
        program: "test".into(),
    };
    let parts = parts.into_iter().map(Event::from);
    std::iter::once(started.into()).chain(parts).collect()
}

pub(super) fn all(log: &mut MemoryLog) -> Vec<Recorded> {
    let mut journal = Journal::new(log.clone().reopened(), || 0, Box::new(()));
    let mut events = Vec::new();
    journal.catch_up(|recorded| events.push(recorded.clone())).unwrap();
    events
}

pub(super) fn digest(log: &mut MemoryLog) -> Hash {
    Digests::default().folded(&all(log)).unwrap().finish()[0].1
}

/// One process: takes up whatever the log holds, and works until the end or a fault.
fn work(log: MemoryLog, script: Script) -> (MemoryLog, Result<Ending, EngineError>) {
    work_with(log, script, (1, 1, 0))
}

/// A worker with a fake trainer, which answers after pauses that `pace` draws; 0: at once.
pub(super) fn fake_post(script: Script, pace: u64) -> Post {
    Post { device: "cpu".into(), start: Box::new(Fakes { script, pace }) }
}

/// Processes that live.
pub(super) type Living = std::sync::Arc<std::sync::Mutex<Vec<String>>>;

/// [`work`] with several trainers, so many trials in flight, and trainers that answer in an order of
/// their own.
pub(super) fn work_with(
    log: MemoryLog,
    script: Script,
    with: (usize, u32, u64),
) -> (MemoryLog, Result<Ending, EngineError>) {
    work_among(&Living::default(), log, script, with)
}

/// [`work_with`] beside others that may work on the same log.
pub(super) fn work_among<L: EventLog>(
    living: &Living,
    log: L,
    script: Script,
    (trainers, in_flight, pace): (usize, u32, u64),
) -> (L, Result<Ending, EngineError>) {
    let mut presence = Alive::among(living);
    let (mut state, mut index) = (State::default(), Index::default());
    let mut journal = Journal::new(log, || 0, Box::new(()));
    journal
        .catch_up(|recorded| {
            let Ok(()) = index.apply(recorded);
            state.apply(recorded).unwrap();
        })
        .unwrap();
    if matches!(state, State::Unseen) {
        let batch = beginning_with(&config(in_flight));
        match journal.record(SCOPE, &batch, |_| {}) {
            Err(error) => return (journal.into_log(), Err(error.into())),
            Ok(recorded) => recorded.unwrap().iter().for_each(|one| state.apply(one).unwrap()),
        }
    }
    let State::Open(mut job) = state else { panic!("the beginning is one batch") };
    let mut engine = Engine {
        scope: SCOPE,
        work: Trainings {
            job: &mut *job,
            presence: &mut presence,
            reusable: Default::default(),
            looked: None,
            left: Vec::new(),
            others_work: false,
        },
        journal: &mut journal,
        index: &mut index,
        pool: Pool::new((0..trainers).map(|_| fake_post(script, pace)).collect(), Vec::new()),
        keeper: Keeper::new(None),
        machine: Machine::here(1),
        stop: &|| false,
        report: &mut (),
        so_far: SoFar::default(),
    };
    let result = engine.run();
    (journal.into_log(), result)
}

fn unbroken() -> MemoryLog {
    let (log, result) = work(MemoryLog::default(), by_seed);
    assert_eq!(result.unwrap(), Ending::Finished);
    log
}

#[test]
fn killed_after_every_event_it_is_the_same_search() {
    let mut whole = unbroken();
    let (expected, length) = (digest(&mut whole), whole.head().unwrap().position.0);
    assert!(length > 60, "only {length} events");
    for events in 0..length {
        let (log, result) = work(MemoryLog::default().stopping_after(events), by_seed);
        assert!(result.is_err(), "not killed after {events} events");
        let (mut log, result) = work(log.reopened(), by_seed);
        assert_eq!(result.unwrap(), Ending::Finished);
        assert_eq!(digest(&mut log), expected, "killed after {events} events");
    }
}

#[test]
fn killed_at_every_append_again_and_again_it_is_the_same_search() {
    let expected = digest(&mut unbroken());
    for fault in [Fault::Refused, Fault::Unacknowledged] {
        // Each process manages eight appends; the ninth fails, written or not.
        let (mut log, mut lives) = (MemoryLog::default(), 0);
        let mut log = loop {
            let (left, result) = work(log.with_fault(9, fault), by_seed);
            log = left.reopened();
            lives += 1;
            assert!(lives < 500, "no progress");
            if result.is_ok() {
                break log;
            }
        };
        assert!(lives > 5, "{lives}");
        assert_eq!(digest(&mut log), expected);
    }
}

/// How many trainers there are, how fast they are and which of them die changes nothing; how many
/// trials are in flight does.
#[test]
fn any_number_of_trainers_makes_the_same_search() {
    let one = digest(&mut unbroken());
    let mut found = Vec::new();
    for in_flight in [1, 4, 16] {
        let (mut log, result) = work_with(MemoryLog::default(), by_seed, (1, in_flight, 0));
        assert_eq!(result.unwrap(), Ending::Finished);
        let expected = digest(&mut log);
        for trainers in [1, 3, 8] {
            for (script, pace) in [(by_seed as Script, 1), (by_seed, 2), (two_die, 3)] {
                let with = (trainers, in_flight, pace);
                let (mut log, result) = work_with(MemoryLog::default(), script, with);
                assert_eq!(result.unwrap(), Ending::Finished);
                assert_eq!(digest(&mut log), expected, "{with:?}");
            }
        }
        found.push(expected);
    }
    assert_eq!(found[0], one, "a window of 1 is what there was before there were windows");
    assert!(found[0] != found[1] && found[1] != found[2], "a window of its own");
}

/// Trials run side by side, and every history on the way can be taken up.
#[test]
fn several_trainers_killed_after_any_event_make_the_same_search() {
    let with = |pace| (3, 4, pace);
    let (mut log, result) = work_with(MemoryLog::default(), by_seed, with(5));
    assert_eq!(result.unwrap(), Ending::Finished);
    let (mut running, mut most) = (0, 0);
    let events = all(&mut log);
    for recorded in &events {
        match recorded.event {
            Event::AttemptStarted(_) => running += 1,
            Event::AttemptLost(_) | Event::TrialFinished(_) => running -= 1,
            _ => {}
        }
        most = most.max(running);
    }
    assert_eq!(most, 3);
    let expected = digest(&mut log);
    for after in (0..events.len() as u64).step_by(3) {
        let (log, result) = work_with(MemoryLog::default().stopping_after(after), by_seed, with(6));
        assert!(result.is_err(), "not killed after {after} events");
        let (mut log, result) = work_with(log.reopened(), by_seed, with(after));
        assert_eq!(result.unwrap(), Ending::Finished, "killed after {after} events");
        assert_eq!(digest(&mut log), expected, "killed after {after} events");
    }
}

#[test]
fn a_finished_search_has_nothing_left_to_do() {
    let mut log = unbroken();
    let before = log.head().unwrap();
    let (mut log, result) = work(log.reopened(), by_seed);
    assert_eq!(result.unwrap(), Ending::Finished);
    assert_eq!(log.head().unwrap(), before);
}

/// The trainer dies in the middle of every first attempt.
fn dies_once(request: &TrainRequest) -> Vec<Said> {
    let mut said = by_seed(request);
    if request.id % 2 == 1 {
        said.truncate(1);
        said.push(Said::Ended);
    }
    said
}

/// Two trainers die: less often than a trial is tried.
fn two_die(request: &TrainRequest) -> Vec<Said> {
    let mut said = by_seed(request);
    if [2, 5].contains(&request.id) {
        said.truncate(1);
        said.push(Said::Ended);
    }
    said
}

#[test]
fn lost_attempts_are_repeated_and_leave_no_trace_in_the_digest() {
    let (mut log, result) = work(MemoryLog::default(), dies_once);
    assert_eq!(result.unwrap(), Ending::Finished);
    let events = all(&mut log);
    let count = |wanted: fn(&Event) -> bool| events.iter().filter(|r| wanted(&r.event)).count();
    let planned = count(|event| matches!(event, Event::TrialPlanned(_)));
    assert_eq!(count(|event| matches!(event, Event::AttemptLost(_))), planned);
    assert_eq!(digest(&mut log), digest(&mut unbroken()));
}

/// Every training of some architectures kills the trainer.
fn poisoned<const WHICH: u64>(request: &TrainRequest) -> Vec<Said> {
    match request.seed % 8 == WHICH {
        true => vec![Said::Ended],
        false => by_seed(request),
    }
}

/// An architecture that was given up may be sampled again, also when nothing else waits.
#[test]
fn a_trial_that_was_given_up_does_not_hold_up_the_search() {
    let scripts: [Script; 8] = [
        poisoned::<0>,
        poisoned::<1>,
        poisoned::<2>,
        poisoned::<3>,
        poisoned::<4>,
        poisoned::<5>,
        poisoned::<6>,
        poisoned::<7>,
    ];
    let (mut lost, mut again) = (0, 0);
    for (script, in_flight) in scripts.iter().flat_map(|script| [(script, 1), (script, 4)]) {
        let (mut log, mut lives) = (MemoryLog::default(), 0);
        // Three in a row end a process; the next one goes on.
        let mut log = loop {
            let (left, result) = work_with(log, *script, (1, in_flight, 0));
            log = left.reopened();
            match result.unwrap() {
                Ending::Finished => break log,
                ending => assert!(matches!(ending, Ending::Lost(_)), "{ending:?}"),
            }
            lives += 1;
            assert!(lives < 20, "it does not get on");
        };
        let mut given_up = Vec::new();
        for recorded in all(&mut log) {
            match recorded.event {
                Event::TrialLost(trial) => given_up.push(trial.trial),
                Event::EpisodeSampled(sampled) if given_up.contains(&sampled.trial) => again += 1,
                _ => {}
            }
        }
        lost += given_up.len();
    }
    assert!(lost > 4 && again > 0, "{lost} trials were given up, {again} sampled again");
}

/// The machine fails every request from the fourth on.
fn fails_later(request: &TrainRequest) -> Vec<Said> {
    let mut said = by_seed(request);
    if request.id > 3 {
        let (message, cause) = ("no space".to_owned(), Some(ErrorCause::Machine));
        said.truncate(1);
        said.push(Said::Answer(Answer::Error { id: request.id, message, cause, errno: Some(28) }));
    }
    said
}

/// The pipe to the trainer fails from the fourth request on.
fn cannot_be_asked_later(request: &TrainRequest) -> Vec<Said> {
    let error = std::io::Error::from_raw_os_error(5);
    let cut = Said::Cut(PipeFault::new("a request cannot be written to the trainer", &error));
    if request.id > 3 { vec![cut] } else { by_seed(request) }
}

#[test]
fn a_fault_of_the_machine_stops_the_search_and_leaves_no_trace_in_the_digest() {
    stops(fails_later, "the trainer reports a fault of this machine: no space");
    stops(
        cannot_be_asked_later,
        "a request cannot be written to the trainer: Input/output error (os error 5)",
    );
}

#[track_caller]
fn stops(says: fn(&TrainRequest) -> Vec<Said>, text: &str) {
    let (mut log, mut stops) = (MemoryLog::default(), 0);
    let mut log = loop {
        let (left, result) = work(log, says);
        log = left.reopened();
        match result {
            Ok(ending) => {
                assert_eq!(ending, Ending::Finished);
                break log;
            }
            Err(EngineError::Machine(fault)) => assert_eq!(fault.to_string(), text),
            Err(other) => panic!("{other}"),
        }
        stops += 1;
        assert!(stops < 99, "it does not get on");
    };
    assert!(stops >= 3, "{stops}");
    let lost = all(&mut log).into_iter().filter_map(|recorded| match recorded.event {
        Event::AttemptLost(lost) => Some(lost.counts),
        _ => None,
    });
    assert_eq!(lost.collect::<Vec<_>>(), vec![false; stops]);
    assert_eq!(digest(&mut log), digest(&mut unbroken()));
}

/// The trainer cannot do anything.
fn refuses(request: &TrainRequest) -> Vec<Said> {
    let (message, cause, errno) = ("no such recipe".to_owned(), None, None);
    vec![Said::Answer(Answer::Error { id: request.id, message, cause, errno })]
}

#[test]
fn a_trainer_that_can_do_nothing_stops_the_search_and_nothing_counts_as_tried() {
    let (mut log, result) = work(MemoryLog::default(), refuses);
    assert_eq!(result.unwrap(), Ending::Refused("no such recipe".into()));
    let events = all(&mut log);
    let lost = events.iter().filter_map(|recorded| match &recorded.event {
        Event::AttemptLost(lost) => Some(lost.counts),
        _ => None,
    });
    assert_eq!(lost.collect::<Vec<_>>(), [false; 3]);
    let (mut log, result) = work(log.reopened(), by_seed);
    assert_eq!(result.unwrap(), Ending::Finished);
    assert_eq!(digest(&mut log), digest(&mut unbroken()));
}

/// A disk so full that not even the end of the attempt can be recorded.
#[test]
fn a_fault_that_cannot_be_recorded_stops_the_search_all_the_same() {
    let expected = digest(&mut unbroken());
    for append in 1..40 {
        let log = MemoryLog::default().with_fault(append, Fault::Refused);
        let (log, result) = work(log, fails_later);
        let Err(error) = result else { panic!("finished") };
        assert!(error.is_of_machine(), "append {append}: {error}");
        let (mut log, result) = work(log.reopened(), by_seed);
        assert_eq!(result.unwrap(), Ending::Finished);
        assert_eq!(digest(&mut log), expected);
    }
}

#[test]
fn three_lost_trials_in_a_row_end_the_run_and_it_can_be_resumed() {
    let (mut log, result) = work(MemoryLog::default(), |_| vec![Said::Nonsense("?".into())]);
    let Ok(Ending::Lost(reason)) = result else { panic!("{result:?}") };
    assert!(reason.starts_with("it said \"?\""), "{reason}");
    let events = all(&mut log);
    let count = |wanted: fn(&Event) -> bool| events.iter().filter(|r| wanted(&r.event)).count();
    assert_eq!(count(|event| matches!(event, Event::AttemptLost(_))), 9);
    assert_eq!(count(|event| matches!(event, Event::TrialLost(_))), 3);
}

/// Each of these answers must lose the attempt, not the search.
#[test]
fn nothing_a_trainer_says_is_trusted() {
    fn with(change: fn(&mut Vec<Said>)) -> impl Fn(&TrainRequest) -> Vec<Said> {
        move |request| {
            let mut said = by_seed(request);
            change(&mut said);
            said
        }
    }
    fn epoch(said: &mut [Said]) -> &mut crate::trainer::protocol::EpochAnswer {
        match &mut said[0] {
            Said::Answer(Answer::Epoch(epoch)) => epoch,
            other => panic!("{other:?}"),
        }
    }
    let lies: [fn(&mut Vec<Said>); 12] = [
        |said| epoch(said).epoch = 2,
        |said| epoch(said).restart = 9,
        |said| epoch(said).validation_correct = 101,
        |said| epoch(said).validation_loss = f64::INFINITY,
        |said| epoch(said).id += 1,
        |said| epoch(said).train_total = 99,
        |said| epoch(said).validation_total = 1_000,
        |said| epoch(said).seconds = -1.0,
        |said| epoch(said).learning_rate = -0.1,
        |said| epoch(said).learning_rate = f64::NAN,
        |said| drop(said.remove(0)),
        |said| said.insert(0, Said::Nonsense("Epoch 1 done".into())),
    ];
    for lie in lies {
        let request = request();
        // A failed training has one epoch line too few to lie about; this seed has two.
        let begin = |post| {
            let mut pool = Pool::new(vec![post], Vec::new());
            pool.acquire(0).unwrap();
            pool.assign(0, Attempt::new((1, 1), request.clone(), TOTALS, &[]));
            pool
        };
        assert!(matches!(hear(&mut begin(fake_post(by_seed, 0))), Some(Ok(Fact::Epoch(_)))));
        struct Liar(fn(&mut Vec<Said>));
        impl crate::trainer::Start for Liar {
            fn start(&mut self) -> Result<Box<dyn crate::trainer::Talk>, StartError> {
                let mut said = with(self.0)(&TrainRequest { id: 1, ..super::tests::request() });
                let mut fake = Fakes { script: |_| Vec::new(), pace: 0 }.start()?;
                let hello = fake.hello().clone();
                let _ = fake.listen(TICK);
                said.reverse();
                Ok(Box::new(Told { hello, said }))
            }
        }
        struct Told {
            hello: Hello,
            said: Vec<Said>,
        }
        impl crate::trainer::Talk for Told {
            fn hello(&self) -> &Hello {
                &self.hello
            }
            fn send(&mut self, _: &crate::trainer::protocol::Request) -> std::io::Result<()> {
                Ok(())
            }
            fn listen(&mut self, _: Duration) -> Option<Said> {
                self.said.pop()
            }
            fn end(self: Box<Self>) -> String {
                "the trainer was ended".into()
            }
        }
        let mut pool = begin(Post { device: "cpu".into(), start: Box::new(Liar(lie)) });
        assert!((0..9).any(|_| matches!(hear(&mut pool), Some(Err(_)))));
    }
}

/// What a trainer says of its attempt, or why it cannot be that.
fn hear(pool: &mut Pool<Attempt>) -> Option<Result<Fact, String>> {
    Some(match pool.listen(TICK)? {
        Heard::Answer(worker, answer) => pool.task_mut(worker).unwrap().hear(answer),
        Heard::Lost(_, loss) => Err(loss.reason),
    })
}

/// A request whose fake training succeeds.
pub(super) fn request() -> TrainRequest {
    let request = |seed| TrainRequest {
        id: 0,
        architecture: "[SM(10)]".parse().unwrap(),
        recipe: config(1).recipe,
        seed,
        data: DataRequest {
            name: String::new(),
            folder: PathBuf::new(),
            channels: 1,
            side: 28,
            classes: 10,
            split: PathBuf::new(),
            resize: None,
            extra: false,
            seed: 0,
            fit: Default::default(),
        },
        device: "cpu".into(),
        threads: 1,
        weights: Default::default(),
        staging: PathBuf::new(),
        initial: None,
        checkpoints: false,
        resume: None,
        predict: false,
    };
    (0..).map(request).find(|request| by_seed(request).len() == 3).unwrap()
}

#[test]
fn what_others_recorded_in_between_is_followed_and_a_decision_is_not_recorded_over_it() {
    let log = Together { log: Default::default(), appends_left: u32::MAX };
    let [mut ours, mut theirs] = [(); 2].map(|()| Journal::new(log.clone(), || 0, Box::new(())));
    ours.record(SCOPE, &beginning(), |_| {}).unwrap().unwrap();
    let note: Event = ArtifactReleased { trial: 1, artifact: Hash::default() }.into();
    let note = std::slice::from_ref(&note);
    for (scope, despite, recorded) in [
        (Scope::Search(2), Despite::OtherScopes, true),
        (SCOPE, Despite::OtherScopes, false),
        (Scope::Search(2), Despite::Nothing, false),
        (SCOPE, Despite::Anything, true),
    ] {
        theirs.catch_up(|_| {}).unwrap();
        let at = theirs.record(scope, note, |_| {}).unwrap().unwrap()[0].position;
        let mut seen = Vec::new();
        let put = ours.put(SCOPE, note, Durable::Now, despite, |one| seen.push(one.position));
        let ours_at = put.unwrap().map(|recorded| recorded[0].position);
        assert_eq!(seen, [at]);
        assert_eq!(ours_at, recorded.then_some(at.next()), "{scope} {despite:?}");
    }
}
