//! Small histories, worked out by hand.

use std::collections::HashMap;
use std::sync::Arc;

use super::history::{Experience, History, HistoryError, HistoryFold, Known, Recorded, Replay};
use super::measure::{PathValue, Reference, gini, greedy, measure};
use super::rederive::{Check, Derived, Duplicates, RederiveError, Task, rederive};
use crate::agent::qtable::QTable;
use crate::agent::replay::Order;
use crate::agent::space::Space;
use crate::config::learning::Learning;
use crate::config::replay::Policy;
use crate::config::{SearchConfig, presets};
use crate::events::*;

const A: &str = "[C(4,1,1), SM(10)]";
const B: &str = "[C(8,1,1), SM(10)]";
const C: &str = "[C(4,1,1), C(8,3,1), SM(10)]";

fn started(config: &SearchConfig) -> SearchStarted {
    let data = DataFacts {
        name: "test".into(),
        content: Hash::default(),
        channels: 1,
        side: 28,
        classes: 10,
        train: 0,
        validation: 0,
        split: Hash::default(),
    };
    SearchStarted {
        name: String::new(),
        seed: 7,
        chance: crate::chance::SCHEME.into(),
        data,
        folder: String::new(),
        config: Hash::of(config.to_toml().as_bytes()),
        config_parts: 1,
        threads: 1,
        program: "test".into(),
    }
}

fn config() -> SearchConfig {
    SearchConfig::read(presets::text("tiny").unwrap(), None, &[]).unwrap()
}

/// Experiences one after the other, in one phase unless told otherwise: architecture, reward.
fn history(experiences: &[(&str, f64)]) -> History {
    let config = config();
    let space = Arc::new(Space::new(&config.space, 28, 10).unwrap());
    let (mut known, mut architectures) = (HashMap::new(), Vec::new());
    let experience = |(&(text, reward), episode): (&(&str, f64), u32)| {
        let architecture = *known.entry(text.to_owned()).or_insert_with(|| {
            let architecture: crate::arch::Architecture = text.parse().unwrap();
            let path = space.trajectory(&architecture).unwrap();
            architectures.push(Known { architecture, path });
            u32::try_from(architectures.len() - 1).unwrap()
        });
        let (phase, epsilon, failed) = (0, 1.0, reward == 0.0);
        Experience { episode, phase, epsilon, architecture, accuracy: reward, reward, failed }
    };
    let experiences = experiences.iter().zip(1..).map(experience).collect();
    History {
        started: started(&config),
        config,
        space,
        architectures,
        experiences,
        recorded: Recorded::Draws(Vec::new()),
        left_out: 0,
        as_recorded: true,
        accuracies: HashMap::new(),
    }
}

fn task(policy: Policy, duplicates: Duplicates) -> Task {
    Task {
        policy,
        draws: 1,
        learning: Learning { alpha: 0.5, gamma: 1.0, init: 0.0 },
        order: Order::Backward,
        duplicates,
        path_value: PathValue::Terminal,
    }
}

const SWEEP: Policy = Policy::Sweep { passes: 1 };

fn value(history: &History, q: &QTable, text: &str) -> f64 {
    let path = history.space.trajectory(&text.parse().unwrap()).unwrap();
    PathValue::Terminal.of(q.values(), &path)
}

#[test]
fn duplicates_are_worth_what_the_rule_says() {
    let history = history(&[(A, 0.25), (B, 1.0), (A, 0.75)]);
    // Learned from twice at half the rate: (first / 2 + second) / 2.
    let cases = [
        (Duplicates::First, 0.25, 0.25),
        (Duplicates::Own, 0.25, 0.75),
        (Duplicates::Best, 0.75, 0.75),
        (Duplicates::Mean, 0.5, 0.5),
    ];
    for (rule, first, second) in cases {
        let derived = rederive(&history, &task(SWEEP, rule), 0).unwrap();
        assert_eq!(value(&history, &derived.q, A), (first / 2.0 + second) / 2.0, "{rule:?}");
        assert_eq!(value(&history, &derived.q, B), 0.5);
        assert_eq!((derived.counts, derived.updates), (vec![1, 1, 1], 6));
    }
}

/// Under `newest` the first A is learned from before the second is known.
#[test]
fn only_what_is_in_the_memory_counts() {
    let history = history(&[(A, 0.25), (B, 1.0), (A, 0.75)]);
    for (rule, second) in [(Duplicates::Best, 0.75), (Duplicates::Mean, 0.5)] {
        let derived = rederive(&history, &task(Policy::Newest, rule), 0).unwrap();
        assert_eq!(value(&history, &derived.q, A), (0.25 / 2.0 + second) / 2.0, "{rule:?}");
        assert_eq!(derived.first, [Some(0); 3]);
    }
}

#[test]
fn a_mean_of_equals_is_not_rounded() {
    let history = history(&[(A, 0.1); 7]);
    let q = |rule| rederive(&history, &task(SWEEP, rule), 0).unwrap().q;
    assert_eq!(q(Duplicates::Mean).digest(), q(Duplicates::First).digest());
}

#[test]
fn a_sweep_draws_at_the_end_and_scores_at_its_turn() {
    let history = history(&[(A, 1.0), (C, 0.5), (A, 1.0), (B, 0.5)]);
    let mut task = task(Policy::Sweep { passes: 2 }, Duplicates::First);
    let derived = rederive(&history, &task, 0).unwrap();
    assert_eq!(derived.counts, [2; 4]);
    assert_eq!(derived.first, [Some(3), Some(2), Some(1), Some(0)]);
    // What ends A, C and B had no value before they were learned from.
    assert_eq!(derived.scores, [(0, 0.0), (1, 0.0), (3, 0.0)]);
    // The mean over the path of C knows what was learned of C(4,1,1) from A: 0.25 of three pairs.
    task.path_value = PathValue::Mean;
    let derived = rederive(&history, &task, 0).unwrap();
    assert_eq!(derived.scores, [(0, 0.0), (1, 0.25 / 3.0), (3, 0.0)]);
}

#[test]
fn values_of_a_path() {
    let values = [0.5, 0.25, 1.0];
    let of = |value: PathValue| value.of(&values, &[2, 1, 0]);
    assert_eq!(
        [of(PathValue::Mean), of(PathValue::Terminal), of(PathValue::Min)],
        [1.75 / 3.0, 0.5, 0.25]
    );
}

/// The recorded draws give the recorded digests; one that was changed is found.
#[test]
fn as_logged() {
    let mut history = history(&[(A, 0.25), (B, 0.75), (A, 0.25)]);
    let as_logged = |history: &History, learning: Learning| {
        let task = Task { learning, ..task(Policy::AsLogged, Duplicates::First) };
        rederive(history, &task, 0).unwrap()
    };
    let learning = history.config.learning;
    let mut q = QTable::new(history.space.pair_count(), learning.init);
    let mut replays = Vec::new();
    for (memory, draws) in [(1, [0, 0]), (2, [1, 0]), (3, [2, 1])] {
        for index in draws {
            let one = &history.experiences[index as usize];
            q.learn(&history.space, history.path(one), one.reward, learning);
        }
        let (episode, q) = (u32::try_from(memory).unwrap(), Hash(q.digest()));
        let draws = draws.map(|index| (index, 1.0)).to_vec();
        replays.push(Replay { episode, memory, draws, q });
    }
    history.recorded = Recorded::Draws(replays.clone());
    let derived = as_logged(&history, learning);
    assert_eq!(derived.check, Check::Equal(3));
    assert_eq!(derived.counts, [3, 2, 1]);
    assert_eq!(derived.first, [Some(0), Some(0), Some(0)]);
    assert_eq!(derived.q.digest(), q.digest());
    let other = Learning { alpha: 0.5, ..learning };
    assert_eq!(as_logged(&history, other).check, Check::Other);

    replays[1].draws[0].0 = 0;
    history.recorded = Recorded::Draws(replays);
    let check = as_logged(&history, learning).check;
    assert!(matches!(check, Check::Differs { episode: 2, .. }), "{check:?}");

    history.recorded = Recorded::Values(HashMap::new());
    let task = task(Policy::AsLogged, Duplicates::First);
    assert!(matches!(rederive(&history, &task, 0), Err(RederiveError::NoDraws(_))));
}

#[test]
fn exposure_by_hand() {
    let mut history = history(&[(A, 0.5); 20]);
    history.experiences[17..].iter_mut().for_each(|one| one.phase = 1);
    let mut counts = vec![1; 20];
    (counts[0], counts[1], counts[17], counts[18], counts[19]) = (9, 6, 3, 0, 0);
    let mut first = vec![Some(2); 20];
    (first[0], first[17], first[18], first[19]) = (Some(0), Some(1), None, None);
    let derived = Derived {
        q: QTable::new(history.space.pair_count(), 0.5),
        counts,
        first,
        scores: vec![(0, 0.5)],
        updates: 66,
        check: Check::Other,
    };
    let task = task(Policy::Uniform, Duplicates::First);
    let figures = measure(&history, &task, &derived, None).figures;
    assert_eq!(figures.first_tenth, Some(7.5));
    assert_eq!((figures.last_tenth, figures.last_phase), (Some(0.0), Some(1.0)));
    assert_eq!((figures.never, figures.never_first_tenth), (Some(0.1), Some(0.0)));
    assert_eq!((figures.never_last_tenth, figures.never_last_phase), (Some(1.0), Some(2.0 / 3.0)));
    assert_eq!((figures.first_draw, figures.own_step), (Some(2.0), Some(0.05)));
    assert_eq!((figures.updates, figures.rms, figures.top10), (Some(66.0), None, None));
    // One architecture has no rank correlation.
    assert_eq!((figures.spearman, figures.prequential), (None, None));
}

#[test]
fn gini_by_hand() {
    assert_eq!(gini(&[2.0; 5]), Some(0.0));
    assert_eq!(gini(&[0.0, 0.0, 0.0, 8.0]), Some(0.75));
    // Mean absolute difference of 1 and 3, over all four couples: 1; half of it over the mean 2.
    assert_eq!(gini(&[3.0, 1.0]), Some(0.25));
    assert_eq!((gini(&[]), gini(&[0.0])), (None, None));
}

#[test]
fn ranks_of_a_history() {
    let rewards = [0.9, 0.8, 0.0, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05];
    let last = ["C(4,1,1)", "C(8,1,1)", "C(4,3,1)", "C(8,3,1)"];
    let at_depth = |before: &str| last.map(|last| format!("[{before}{last}, SM(10)]"));
    let architectures: Vec<String> =
        ["", "C(4,1,1), ", "C(4,1,1), C(4,1,1), "].iter().flat_map(|b| at_depth(b)).collect();
    let experiences: Vec<(&str, f64)> =
        architectures.iter().map(String::as_str).zip(rewards).collect();
    let history = history(&experiences);
    let task = task(SWEEP, Duplicates::First);
    let derived = rederive(&history, &task, 0).unwrap();
    let measured = measure(&history, &task, &derived, None);
    // Each ends in a state of its own, whose value is half its reward.
    assert_eq!(measured.figures.spearman, Some(1.0));
    assert_eq!(measured.figures.kendall_trained, Some(1.0));
    assert_eq!(measured.figures.top10, Some(10.0));
    assert_eq!((measured.samples.all.len(), measured.samples.trained.len()), (11, 10));
    // Before, none of these states had a value.
    assert_eq!(measured.figures.prequential, None);
    assert_eq!(measured.samples.prequential.len(), 11);
}

#[test]
fn the_greedy_architecture_and_its_accuracy() {
    let history = history(&[(A, 0.25), (C, 0.75)]);
    let task = task(SWEEP, Duplicates::First);
    let mut derived = rederive(&history, &task, 0).unwrap();
    let measured = measure(&history, &task, &derived, None);
    assert_eq!(measured.greedy.architecture.to_string(), C);
    assert_eq!(measured.greedy.accuracy, Some(0.75));
    // All equal: the first action is to end at once, which nobody has trained.
    derived.q = QTable::new(history.space.pair_count(), 0.5);
    let architecture = history.space.architecture(&greedy(&history.space, &derived.q));
    assert_eq!(architecture.to_string(), "[SM(10)]");
    assert_eq!(measure(&history, &task, &derived, None).greedy.accuracy, None);
}

#[test]
fn distance_to_a_q_table() {
    let q = |values: &[f64], updates: &[u32]| QTable::from_parts(values.to_vec(), updates.to_vec());
    let reference = Reference::of(&q(&[0.5, 1.0, 0.5, 3.0], &[0, 1, 0, 1]));
    // Pairs 1, 2 and 3: differences 1, 2 and 2.
    let distance = reference.distance(&q(&[0.75, 0.0, 2.5, 1.0], &[0, 0, 1, 1]));
    assert_eq!(distance, Some(3.0_f64.sqrt()));
    assert_eq!(Reference::of(&q(&[0.5], &[0])).distance(&q(&[0.5], &[0])), None);
}

fn row(row: u32, text: &str, best: f64, epsilon: f64, quarantine: bool) -> Event {
    ImportedRow {
        row,
        line: row + 2,
        architecture: text.parse().unwrap(),
        dropout: None,
        best,
        best_iteration: 1,
        last: best,
        last_iteration: 1,
        best_test: None,
        last_test: None,
        update: 1,
        epsilon,
        time_finished: 0.0,
        machine: String::new(),
        failed: false,
        quarantine: quarantine.then(|| "too high".to_owned()),
    }
    .into()
}

/// The events of an import of four rows, one of them in quarantine.
fn import() -> Vec<Event> {
    let config = config();
    let opening = ImportStarted {
        format: "metaqnn".into(),
        file: String::new(),
        content: Hash::default(),
        rows: 4,
        q_file: None,
        q_content: None,
        pairs: 0,
    };
    let closing = ImportFinished {
        episodes: 3,
        trials: 2,
        repeated: 1,
        conflicts: 0,
        quarantined: 1,
        conflicts_with_quarantined: 1,
        missing: Vec::new(),
        foreign_pairs: 0,
    };
    vec![
        opening.into(),
        started(&config).into(),
        ConfigPart { index: 0, text: config.to_toml() }.into(),
        row(0, A, 0.25, 1.0, false),
        row(1, C, 86.0, 1.0, true),
        row(2, B, 0.5, 0.5, false),
        row(3, A, 0.25, 0.5, false),
        closing.into(),
    ]
}

fn fold(events: &[Event], quarantined: bool) -> Result<History, HistoryError> {
    let events: Vec<_> = events.iter().cloned().map(codec::Recorded::unplaced).collect();
    HistoryFold::new(quarantined).folded(&events)?.finish()
}

#[test]
fn an_import_counts_once_it_is_complete() {
    let events = import();
    let complete = fold(&events, false).unwrap();
    let of = |history: &History| -> Vec<(u32, u32, u32)> {
        history.experiences.iter().map(|one| (one.episode, one.phase, one.architecture)).collect()
    };
    assert_eq!(of(&complete), [(1, 0, 0), (3, 1, 1), (4, 1, 0)]);
    assert_eq!(complete.left_out, 1);
    let all = fold(&events, true).unwrap();
    assert_eq!(of(&all), [(1, 0, 0), (2, 0, 1), (3, 1, 2), (4, 1, 0)]);
    assert_eq!(all.left_out, 0);
    let unfinished = fold(&events[..events.len() - 1], false).unwrap_err();
    assert_eq!(unfinished, HistoryError::UnfinishedImport);
    assert_eq!(fold(&[], false).unwrap_err(), HistoryError::NotBegun);
}

#[test]
fn other_rewards_leave_out_what_has_none() {
    let history = fold(&import(), true).unwrap();
    let rewarded = history.clone().rewarded(&[Some(2.0), None, Some(-1.0)]);
    let of = |history: &History| -> Vec<(u32, f64, f64)> {
        let one = |one: &Experience| (one.architecture, one.accuracy, one.reward);
        history.experiences.iter().map(one).collect()
    };
    assert_eq!(of(&rewarded), [(0, 0.25, 2.0), (1, 0.5, -1.0), (0, 0.25, 2.0)]);
    assert_eq!(rewarded.architectures.len(), 2);
    assert!(!rewarded.as_recorded);
    assert!(history.rewarded(&[Some(1.0); 3]).as_recorded);
}

#[test]
fn shuffling_stays_within_phases() {
    let mut history = history(&[(A, 0.1), (B, 0.2), (C, 0.3), (A, 0.4), (B, 0.5), (C, 0.6)]);
    history.experiences[3..].iter_mut().for_each(|one| one.phase = 1);
    let rewards = |seed| -> Vec<f64> {
        let shuffled = history.clone().shuffled(seed);
        let episodes: Vec<u32> = shuffled.experiences.iter().map(|one| one.episode).collect();
        assert_eq!(episodes, [1, 2, 3, 4, 5, 6]);
        assert_eq!(shuffled.experiences[0].architecture, 0, "numbered by first appearance");
        shuffled.experiences.iter().map(|one| one.reward).collect()
    };
    let sorted = |part: &[f64]| {
        let mut part = part.to_vec();
        part.sort_by(f64::total_cmp);
        part
    };
    let orders: Vec<Vec<f64>> = (0..20).map(rewards).collect();
    for order in &orders {
        assert_eq!(sorted(&order[..3]), [0.1, 0.2, 0.3]);
        assert_eq!(sorted(&order[3..]), [0.4, 0.5, 0.6]);
    }
    assert!(orders.iter().any(|order| *order != orders[0]));
    assert_eq!(rewards(3), orders[3]);
}
