//! A search driven by hand: what is decided, and what is refused.

use super::search::Search;
use super::trials::Status;
use super::*;
use crate::config::{SearchConfig, presets};
use crate::events::*;

/// A search over a small space, with settings laid over the preset `tiny`.
fn search(settings: &[&str]) -> Search {
    let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
    let config = SearchConfig::read(presets::text("tiny").unwrap(), None, &settings).unwrap();
    let data = DataFacts {
        name: "test".into(),
        content: Hash::default(),
        channels: 1,
        side: 28,
        classes: 10,
        train: 200,
        validation: 100,
        split: Hash::default(),
    };
    let started = SearchStarted {
        name: String::new(),
        seed: 7,
        chance: crate::chance::SCHEME.into(),
        data,
        folder: String::new(),
        config: Hash::of(config.to_toml().as_bytes()),
        config_parts: 0,
        threads: 1,
        program: "test".into(),
    };
    Search::new(started, config).unwrap()
}

fn started(trial: u32, attempt: u32) -> Event {
    let text = String::new;
    let (device, trainer, library, isa, host) = (text(), text(), text(), text(), text());
    let (threads, continues, worker) = (1, None, String::new());
    AttemptStarted {
        trial,
        attempt,
        device,
        threads,
        trainer,
        library,
        isa,
        host,
        continues,
        worker,
        precision: "f32".to_owned(),
    }
    .into()
}

fn trained(trial: u32, attempt: u32, correct: u32) -> Event {
    let outcome = Outcome::Trained {
        best_epoch: 1,
        best_correct: correct,
        last_correct: correct / 2,
        total: 100,
        weights: None,
        kept: false,
    };
    let (seconds, peak_memory) = (0.0, 0);
    TrialFinished { trial, attempt, outcome, epochs: 1, restarts: 0, seconds, peak_memory }.into()
}

fn lost(trial: u32, attempt: u32) -> Event {
    AttemptLost { trial, attempt, counts: true, reason: "killed".into() }.into()
}

fn apply(search: &mut Search, event: &Event) -> Result<(), Impossible> {
    search.apply(&Recorded::unplaced(event.clone()))
}

/// Runs to the end; `answer` says what comes of each attempt. Returns all events.
fn run(search: &mut Search, answer: impl Fn(&trials::Trial) -> Event) -> Vec<Event> {
    let mut history = Vec::new();
    loop {
        let batch = match search.decide(true, &[]) {
            Decision::Record(batch) => batch,
            Decision::Do(ordinal) => {
                let trial = search.trials().get(ordinal).unwrap();
                vec![started(ordinal, trial.attempts + 1), answer(trial)]
            }
            Decision::Wait => panic!("nothing runs, so nothing can be waited for"),
            Decision::Done => return history,
        };
        for event in &batch {
            apply(search, event).unwrap();
        }
        history.extend(batch);
    }
}

/// A deterministic accuracy: by the seed of the training.
fn by_seed(trial: &trials::Trial) -> Event {
    trained(trial.planned.trial, trial.attempts + 1, (trial.planned.seed % 100) as u32)
}

fn phase_ends(history: &[Event]) -> Vec<(PhaseEnd, u32)> {
    let end = |event: &Event| match event {
        Event::PhaseEnded(ended) => Some((ended.reason, ended.models)),
        _ => None,
    };
    history.iter().filter_map(end).collect()
}

#[test]
fn phases_end_with_their_quota() {
    let mut search = search(&[]);
    let history = run(&mut search, by_seed);
    let quota = PhaseEnd::Quota;
    assert_eq!(phase_ends(&history), [(quota, 6), (quota, 3), (quota, 3)]);
    assert_eq!(search.trials().all().len(), 12);
    assert_eq!(search.memory().len(), search.episode_count() as usize);
    assert!(search.is_finished());
}

#[test]
fn every_episode_has_its_own_draws_and_duplicates_their_first_reward() {
    let mut search = search(&[]);
    let history = run(&mut search, by_seed);
    let mut rewards = std::collections::HashMap::new();
    let mut episodes = Vec::new();
    for event in &history {
        match event {
            Event::EpisodeSampled(sampled) => episodes.push(sampled.trial),
            Event::ExperienceRecorded(experience) => {
                let trial = episodes[experience.episode as usize - 1];
                assert_eq!(*rewards.entry(trial).or_insert(experience.reward), experience.reward);
            }
            Event::ReplayUpdated(update) => {
                assert_eq!(update.draws.len(), 20);
                assert!(update.draws.iter().all(|&draw| draw < update.episode));
            }
            _ => {}
        }
    }
    assert!(episodes.len() > rewards.len(), "no duplicate in this search: change its seed");
}

#[test]
fn a_phase_ends_after_too_many_duplicates_in_a_row() {
    // Always greedy: with the first reward below 0.5 the agent tries others; so reward is high.
    let settings = ["schedule.phases=[{epsilon=0.0, models=50}]", "learning.alpha=0.9"];
    let mut search = search(&settings);
    let history = run(&mut search, |trial| trained(trial.planned.trial, trial.attempts + 1, 99));
    let [(PhaseEnd::Duplicates, models)] = phase_ends(&history)[..] else {
        panic!("{:?}", phase_ends(&history))
    };
    assert!(models < 50);
}

#[test]
fn phases_end_when_the_space_is_exhausted() {
    let settings = [
        "space.layer-limit=1",
        "space.filters=[4]",
        "space.fields=[1]",
        "schedule.phases=[{epsilon=1.0, models=9}, {epsilon=0.5, models=2}]",
    ];
    let mut search = search(&settings);
    let history = run(&mut search, by_seed);
    assert_eq!(search.space().architectures(), 3); // [SM], [C, SM], [GAP, SM]
    assert_eq!(phase_ends(&history), [(PhaseEnd::Exhausted, 3), (PhaseEnd::Exhausted, 0)]);
}

#[test]
fn a_lost_trial_is_no_experience_and_does_not_count() {
    let mut search = search(&[]);
    let history = run(&mut search, |trial| match trial.planned.trial {
        2 => lost(2, trial.attempts + 1),
        _ => by_seed(trial),
    });
    let attempts = |event: &&Event| matches!(event, Event::AttemptStarted(a) if a.trial == 2);
    assert_eq!(history.iter().filter(attempts).count(), 3);
    assert_eq!(search.trials().get(2).unwrap().status, Status::Lost);
    assert_eq!(phase_ends(&history)[0], (PhaseEnd::Quota, 6));
    assert_eq!(search.trials().all().len(), 13);
    assert!(search.memory().len() < search.episode_count() as usize);
}

#[test]
fn a_failed_trial_has_the_failure_reward() {
    let search = search(&["reward.too-large=-0.5"]);
    let failed = |reason| Outcome::Failed { reason, message: String::new() };
    assert_eq!(search.reward(&failed(FailedReason::Chance)), 0.1);
    assert_eq!(search.reward(&failed(FailedReason::TooLarge)), -0.5);
}

#[test]
fn the_reward_is_that_of_the_best_or_the_last_epoch() {
    let Event::TrialFinished(finished) = trained(1, 1, 80) else { unreachable!() };
    assert_eq!(search(&[]).reward(&finished.outcome), 0.8);
    assert_eq!(search(&["reward.accuracy=last"]).reward(&finished.outcome), 0.4);
}

#[test]
fn the_same_events_give_the_same_decisions() {
    let mut unbroken = search(&[]);
    let history = run(&mut unbroken, by_seed);
    let mut resumed = search(&[]);
    for event in &history {
        apply(&mut resumed, event).unwrap();
    }
    assert_eq!(resumed.q(), unbroken.q());
    assert_eq!(resumed.decide(true, &[]), Decision::Done);
}

#[test]
fn impossible_histories_are_refused() {
    let mut whole = search(&[]);
    let history = run(&mut whole, by_seed);
    // Leaving out any logical event makes some later one impossible, or the end is not reached.
    for left_out in 0..history.len() {
        let mut search = search(&[]);
        let rest = history.iter().enumerate().filter(|(index, _)| *index != left_out);
        let refused =
            rest.map(|(_, event)| apply(&mut search, event)).any(|result| result.is_err());
        assert!(refused || !search.is_finished(), "without {:?}", history[left_out]);
    }
    // A changed draw is noticed by the digest.
    let mut changed = history;
    let update = changed.iter_mut().find_map(|event| match event {
        Event::ReplayUpdated(update) if update.episode == 4 => Some(update),
        _ => None,
    });
    update.unwrap().draws.fill(0);
    let mut search = search(&[]);
    let first_error = changed.iter().find_map(|event| apply(&mut search, event).err());
    assert!(matches!(first_error, Some(Impossible::Digest { episode: 4, .. })), "{first_error:?}");
}

#[test]
fn the_demo_space_holds_1042_architectures() {
    let demo = SearchConfig::read(presets::text("demo").unwrap(), None, &[]).unwrap();
    let space = space::Space::new(&demo.space, 28, 10).unwrap();
    assert_eq!(space.architectures(), 1_042);
}

/// Every policy carries a search to its end, and what it left behind is all that is needed to have
/// the same state again: draws, weights, digests. Killed anywhere, it would go on as it did.
#[test]
fn every_policy_searches_and_comes_back_from_its_history() {
    use crate::config::replay::Policy;
    let mut tables = std::collections::HashSet::new();
    for entry in Policy::LIST {
        let setting = format!("replay.policy={}", entry.name);
        if entry.name.parse::<Policy>().unwrap().live().is_err() {
            continue;
        }
        let mut whole = search(&[&setting]);
        let history = run(&mut whole, by_seed);
        tables.insert(whole.q().digest());
        // Batches are whole or absent; a replay ends one.
        let ends =
            (1..history.len()).filter(|&n| matches!(history[n - 1], Event::ReplayUpdated(_)));
        for cut in ends {
            let mut resumed = search(&[&setting]);
            history[..cut].iter().for_each(|event| apply(&mut resumed, event).unwrap());
            // If something is to be recorded next, it is what was recorded next.
            if let Decision::Record(batch) = resumed.decide(true, &[]) {
                assert_eq!(batch[..1], history[cut..=cut], "{}", entry.name);
            }
            history[cut..].iter().for_each(|event| apply(&mut resumed, event).unwrap());
            assert_eq!(resumed.q().digest(), whole.q().digest(), "{}", entry.name);
        }
    }
    assert!(tables.len() > 8, "policies differ in what they learn: {}", tables.len());
}

#[test]
fn policies_that_cannot_rule_a_search_are_refused() {
    let read = |setting: &str| {
        let text = presets::text("tiny").unwrap();
        SearchConfig::read(text, None, &[setting.to_owned()]).unwrap_err().to_string()
    };
    assert!(read("replay.policy=sweep").contains("would never learn"));
    assert!(read("replay.policy=as-logged").contains("has none yet"));
    let many = ["replay.policy=prioritized".to_owned(), "replay.draws=301".to_owned()];
    let error = SearchConfig::read(presets::text("tiny").unwrap(), None, &many).unwrap_err();
    assert!(error.to_string().contains("1 to 300"), "{error}");
}

/// The reward of an expression is recorded, and what is recorded counts.
#[test]
fn a_reward_by_an_expression_is_computed_once_and_recorded() {
    let settings = ["reward.expression=accuracy - params/1e6 - failed"];
    let mut search = search(&settings);
    let history = run(&mut search, by_seed);
    let mut of_trial = std::collections::HashMap::new();
    let mut trial_of = std::collections::HashMap::new();
    let mut seen = 0;
    for event in &history {
        match event {
            Event::EpisodeSampled(sampled) => {
                trial_of.insert(sampled.episode, sampled.trial);
            }
            Event::ExperienceRecorded(experience) => {
                let trial = search.trials().get(trial_of[&experience.episode]).unwrap();
                let Status::Finished(outcome) = &trial.status else { panic!("it has a reward") };
                let failed = matches!(outcome, Outcome::Failed { .. });
                let accuracy = search.reward(outcome);
                let params = trial.planned.parameters as f64;
                let expected = accuracy - params / 1e6 - f64::from(u8::from(failed));
                assert_eq!(experience.reward, expected);
                of_trial.insert(trial.planned.trial, expected);
                seen += 1;
            }
            _ => {}
        }
    }
    assert!(seen > of_trial.len(), "a duplicate has the reward of its trial");

    // On record is another number, as if an older version had computed it: that is what counts.
    let mut other = self::search(&settings);
    let mut history = history.into_iter();
    let first = history.by_ref().find_map(|event| {
        if let Event::ExperienceRecorded(recorded) = &event {
            return Some(recorded.clone());
        }
        apply(&mut other, &event).unwrap();
        None
    });
    let first = first.unwrap();
    let recorded = ExperienceRecorded { reward: first.reward + 0.125, ..first };
    apply(&mut other, &recorded.clone().into()).unwrap();
    assert_eq!(other.memory().get(0).unwrap().1, recorded.reward);
    assert_eq!(other.worth(trial_of[&recorded.episode]), Some(recorded.reward));
}

#[test]
fn a_reward_that_is_no_number_is_what_a_loss_without_end_is_worth() {
    let settings = ["reward.expression=ln(-accuracy)", "reward.non-finite=-0.25"];
    let mut search = search(&settings);
    run(&mut search, by_seed);
    let rewards = (0..search.memory().len()).map(|index| search.memory().get(index).unwrap().1);
    assert!(rewards.into_iter().all(|reward| reward == -0.25));
}

#[test]
fn within_limits_the_search_ends_when_all_that_is_legal_is_known() {
    let settings = ["limits.params=2000", "schedule.phases=[{epsilon=1.0,models=500}]"];
    let mut search = search(&settings);
    let history = run(&mut search, by_seed);
    assert_eq!(phase_ends(&history)[0].0, PhaseEnd::Exhausted);
    let trials = search.trials().all();
    assert!(trials.iter().all(|trial| trial.planned.parameters <= 2_000));
    assert_eq!(trials.len() as u128, search.architectures());
    assert!(search.architectures() < search.space().architectures());
}

/// A fork begins with what its source experienced, and goes on like it if nothing is changed; a
/// history with anything of that missing cannot be.
#[test]
fn a_fork_begins_with_what_it_inherited() {
    let mut source = search(&[]);
    let history = run(&mut source, by_seed);
    let learned = |event: &Event| matches!(event, Event::ReplayUpdated(_));
    let ends = (1..=history.len()).filter(|&n| learned(&history[n - 1]));
    for cut in ends {
        let config = source.config().to_toml();
        let opening =
            [source.started().clone().into(), ConfigPart { index: 0, text: config }.into()];
        let events = opening.iter().chain(&history[..cut]).cloned().map(Recorded::unplaced);
        let heritage = fork::Heritage::default().folded(&events.collect::<Vec<_>>()).unwrap();
        let inheritance = heritage.finish().unwrap();
        let experiences = history[..cut].iter().filter(|event| learned(event)).count();
        assert_eq!(inheritance.episodes as usize, experiences);

        let mut forked = search(&[]);
        inheritance.events.iter().for_each(|event| apply(&mut forked, event).unwrap());
        assert_eq!(forked.memory().len(), 0, "nothing is learned before all is inherited");
        while let Some(lesson) = forked.lesson() {
            lesson.iter().for_each(|event| apply(&mut forked, event).unwrap());
        }
        assert_eq!(forked.memory().len(), experiences);
        let rest = run(&mut forked, by_seed);
        let trained = rest.iter().filter(|event| matches!(event, Event::TrialPlanned(_))).count();
        assert_eq!(trained + inheritance.trials as usize, source.trials().all().len());
        assert_eq!(forked.q(), source.q());

        for left_out in 0..inheritance.events.len() {
            let mut forked = search(&[]);
            let rest = inheritance.events.iter().enumerate();
            let rest = rest.filter(|(index, _)| *index != left_out);
            let refused =
                rest.map(|(_, event)| apply(&mut forked, event)).any(|result| result.is_err());
            // Without the end of a phase it would be in another one; without the last event of
            // all it is not complete, and counts for nothing.
            let last = left_out + 1 == inheritance.events.len();
            let phase = matches!(inheritance.events[left_out], Event::PhaseEnded(_));
            assert!(refused || last || phase, "without {:?}", inheritance.events[left_out]);
        }
    }
}

#[test]
fn only_a_finished_search_is_extended() {
    let added = |phase| {
        let phases = vec![AddedPhase { epsilon: 0.5, models: 2 }];
        Event::from(ScheduleExtended { phase, phases })
    };
    let mut search = search(&[]);
    assert!(apply(&mut search, &added(3)).is_err(), "it is not finished");
    run(&mut search, by_seed);
    assert!(apply(&mut search, &added(2)).is_err(), "there are three phases");
    apply(&mut search, &added(3)).unwrap();
    assert!(!search.is_finished());
    let history = run(&mut search, by_seed);
    assert_eq!(phase_ends(&history), [(PhaseEnd::Quota, 2)]);
    assert_eq!((search.trials().all().len(), search.is_finished()), (14, true));
}
