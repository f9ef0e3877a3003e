//! The fold: the same rows however the log is cut, and every recorded digest checked.
#![allow(missing_docs, clippy::unwrap_used)]

mod history;

use history::attack::attacked;
use history::{History, finished, imported, several};
use proptest::prelude::*;
use qtrail::events::frame::Head;
use qtrail::events::{Event, Hash};
use qtrail::log::store::StoreId;
use qtrail::views::{Applied, ReadModel, ViewError};

const STORE: StoreId = StoreId([7; 16]);

/// The rows of a model that took in the history cut at these places.
fn rows(history: &History, cuts: &[usize]) -> Hash {
    let mut model = ReadModel::in_memory(STORE).unwrap();
    let mut start = 0;
    for &end in cuts.iter().chain([&history.events.len()]) {
        if end > start {
            let applied = model.apply(&history.events[start..end], history.head_after(end));
            assert_eq!(applied.unwrap(), Applied::Done);
            start = end;
        }
    }
    assert_eq!(model.stamp().unwrap(), history.head);
    model.fingerprint().unwrap()
}

#[test]
fn a_whole_history_folds_and_every_digest_is_right() {
    let history = several();
    for kind in ["search-started", "attempt-lost", "replay-updated", "run-finished", "resumed"] {
        assert!(history.events.iter().any(|e| e.event.kind().name == kind), "no {kind}");
    }
    assert_ne!(rows(&history, &[]), rows(&finished(), &[]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn however_it_is_cut_the_rows_are_the_same(mut cuts in prop::collection::vec(0_usize..600, 0..6)) {
        let history = several();
        cuts.retain(|cut| *cut < history.events.len());
        cuts.sort_unstable();
        prop_assert_eq!(rows(&history, &cuts), rows(&history, &[]));
    }
}

/// An import is nothing before its last event, whatever is done with the events before it.
#[test]
fn an_import_is_aside_until_it_is_complete() {
    let (search, history) = (finished(), imported());
    let count = history.events.len();
    let cuts: Vec<usize> = (search.events.len()..count).collect();
    assert_eq!(rows(&history, &cuts), rows(&history, &[]));
    let folder = tempfile::tempdir().unwrap();
    let mut model = ReadModel::open(folder.path(), STORE, std::time::Duration::ZERO).unwrap();
    model.apply(&history.events[..count - 1], history.head_after(count - 1)).unwrap();
    drop(model);
    let mut model = ReadModel::open(folder.path(), STORE, std::time::Duration::ZERO).unwrap();
    model.apply(&history.events, history.head).unwrap();
    assert_eq!(model.fingerprint().unwrap(), rows(&history, &[]));
}

#[test]
fn attacks_fold_the_same_however_they_are_cut() {
    let history = attacked();
    let count = history.events.len();
    for cuts in [vec![count / 2], vec![count - 3], (1..count).step_by(7).collect()] {
        assert_eq!(rows(&history, &cuts), rows(&history, &[]));
    }
}

#[test]
fn event_by_event_is_the_same_too() {
    let history = finished();
    let cuts: Vec<usize> = (1..history.events.len()).collect();
    assert_eq!(rows(&history, &cuts), rows(&history, &[]));
}

/// Nothing but the rows is needed to go on: another process took in the first part.
#[test]
fn another_process_goes_on_from_the_rows_alone() {
    let history = several();
    let folder = tempfile::tempdir().unwrap();
    let wait = std::time::Duration::ZERO;
    for (start, end) in [(0, 3), (3, 100), (100, 101), (101, history.events.len())] {
        let mut model = ReadModel::open(folder.path(), STORE, wait).unwrap();
        let applied = model.apply(&history.events[start..end], history.head_after(end)).unwrap();
        assert_eq!(applied, Applied::Done);
    }
    let model = ReadModel::open(folder.path(), STORE, wait).unwrap();
    assert_eq!(model.fingerprint().unwrap(), rows(&history, &[]));
}

#[test]
fn known_events_are_left_out_and_gaps_are_noticed() {
    let history = finished();
    let mut model = ReadModel::in_memory(STORE).unwrap();
    let apply = |model: &mut ReadModel, start: usize, end: usize| {
        model.apply(&history.events[start..end], history.head_after(end)).unwrap()
    };
    assert_eq!(apply(&mut model, 5, 10), Applied::Gap);
    assert_eq!(apply(&mut model, 0, 10), Applied::Done);
    assert_eq!(apply(&mut model, 2, 8), Applied::Known);
    assert_eq!(apply(&mut model, 4, 20), Applied::Done);
    assert_eq!(apply(&mut model, 21, 30), Applied::Gap);
    assert_eq!(model.stamp().unwrap(), history.head_after(20));
}

#[test]
fn a_wrong_digest_is_named_and_changes_nothing() {
    let mut history = finished();
    let at = history
        .events
        .iter()
        .rposition(|recorded| matches!(recorded.event, Event::ReplayUpdated(_)))
        .unwrap();
    let Event::ReplayUpdated(update) = &mut history.events[at].event else { unreachable!() };
    update.q = Hash::of(b"another");
    let mut model = ReadModel::in_memory(STORE).unwrap();
    let error = model.apply(&history.events, history.head).unwrap_err();
    let position = history.events[at].position;
    assert!(matches!(error, ViewError::Digest { position: p, .. } if p == position), "{error}");
    assert_eq!(model.stamp().unwrap(), Head::default());
    // And it goes on from where it was.
    model.apply(&history.events[..at], history.head_after(at)).unwrap();
}

#[test]
fn events_that_cannot_be_are_named() {
    let history = finished();
    let cases: &[fn(&Event) -> bool] = &[
        |event| matches!(event, Event::SearchStarted(_)),
        |event| matches!(event, Event::TrialPlanned(_)),
        |event| matches!(event, Event::EpisodeSampled(_)),
    ];
    for left_out in cases {
        let mut events = history.events.clone();
        let at = events.iter().position(|recorded| left_out(&recorded.event)).unwrap();
        let name = events.remove(at).event.kind().name;
        // Positions stay without gaps.
        for (recorded, original) in events.iter_mut().zip(&history.events) {
            recorded.position = original.position;
        }
        let mut model = ReadModel::in_memory(STORE).unwrap();
        let error = model.apply(&events, history.head_after(events.len())).unwrap_err();
        assert!(matches!(error, ViewError::Impossible { .. }), "without {name}: {error}");
    }
}
