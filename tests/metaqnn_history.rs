//! The agent against real history: the MetaQNN authors' own log of their SVHN search.
//!
//! The file is not part of this repository. `QTRAIL_METAQNN` names the folder with
//! `replay_database.csv`; without it these tests look beside the checkout, and skip with a notice.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]
#![allow(clippy::disallowed_methods, clippy::cast_possible_truncation)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use qtrail::agent::qtable::QTable;
use qtrail::agent::space::Space;
use qtrail::arch::dropout::{DropoutRule, place};
use qtrail::arch::{Architecture, Notation};
use qtrail::config::learning::Learning;
use qtrail::config::space::SpaceConfig;

struct Row {
    notation: Notation,
    text: String,
    accuracy: f64,
}

fn folder() -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/metaqnn-svhn");
    std::env::var_os("QTRAIL_METAQNN").map_or(beside, PathBuf::from)
}

/// All 1,983 rows, or a notice.
fn history() -> Option<Vec<Row>> {
    let file = folder().join("replay_database.csv");
    let Ok(mut reader) = csv::Reader::from_path(&file) else {
        eprintln!("skipped: the authors' log is not at {}", file.display());
        return None;
    };
    let rows = reader.records().map(|record| {
        let record = record.unwrap();
        let text = record[0].to_owned();
        let notation = Notation::parse(&text).unwrap();
        Row { notation, text, accuracy: record[1].parse().unwrap() }
    });
    Some(rows.collect())
}

/// Learns from the rows once each, in order; the reward is that of the first row of an
/// architecture, or the row's own.
fn sweep(rows: &[Row], first: bool) -> (QTable, Space) {
    let space = Space::new(&SpaceConfig::paper(12), 32, 10).unwrap();
    let mut q = QTable::new(space.pair_count(), 0.5);
    let mut rewards = HashMap::new();
    for row in rows {
        let architecture = &row.notation.architecture;
        let reward = *rewards.entry(architecture.clone()).or_insert(row.accuracy);
        let reward = if first { reward } else { row.accuracy };
        let trajectory = space.trajectory(architecture).unwrap();
        q.learn(&space, &trajectory, reward, Learning::default());
    }
    (q, space)
}

/// Updates, lowest and highest value.
fn figures(q: &QTable) -> (u32, f64, f64) {
    let least = q.values().iter().copied().fold(f64::INFINITY, f64::min);
    let most = q.values().iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (q.updates().iter().sum(), least, most)
}

#[test]
fn a_sweep_gives_the_known_values_bit_for_bit() {
    let Some(rows) = history() else { return };
    assert_eq!(rows.len(), 1_983);
    let (q, space) = sweep(&rows, true);
    assert_eq!(figures(&q), (15_571, 0.271_955_605_409_557_4, 8.657_220_420_603_656));
    assert_eq!(q.updates().iter().filter(|&&updates| updates > 0).count(), 3_161);
    assert_eq!(
        q.values().iter().filter(|&&value| value.to_bits() != 0.5_f64.to_bits()).count(),
        3_133
    );
    let terminate = space.pairs(space.start().state).start;
    assert_eq!(q.values()[terminate], 0.373_021_838_004_154_8);
    assert_eq!(figures(&sweep(&rows, false).0).2, 9.466_741_190_680_532);

    let real = &rows[..1_910];
    let expected = (15_106, 0.237_844_873_339_007_08, 0.589_020_636_416_017_2);
    assert_eq!(figures(&sweep(real, true).0), expected);
    assert_eq!(sweep(real, true).0, sweep(real, false).0);
}

#[test]
fn every_architecture_is_in_the_space_and_prints_as_it_was_written() {
    let Some(rows) = history() else { return };
    let mut distinct: Vec<&Architecture> =
        rows[..1_910].iter().map(|row| &row.notation.architecture).collect();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 1_789);
    for row in &rows {
        assert_eq!(printed(&row.notation), row.text);
    }
}

/// The dropout marks of the log follow its own rule in every row.
#[test]
fn the_dropout_rule_of_the_log_is_known() {
    let Some(rows) = history() else { return };
    let follows = |rule| {
        let follows = |row: &&Row| {
            let marks = row.notation.dropout.iter().map(|mark| (mark.after, mark.index, mark.of));
            let placed = place(&row.notation.architecture, rule);
            marks.eq(placed.iter().map(|dropout| (dropout.after, dropout.index, dropout.of)))
        };
        rows.iter().filter(follows).count()
    };
    assert_eq!(follows(DropoutRule::Logged), 1_983);
    assert_eq!(follows(DropoutRule::Slots), 1_583);
}

fn printed(notation: &Notation) -> String {
    let mut marks = notation.dropout.iter().peekable();
    let mut items = Vec::new();
    for (layer, index) in notation.architecture.layers().iter().zip(1..) {
        items.push(layer.to_string());
        while let Some(mark) = marks.next_if(|mark| mark.after == index) {
            items.push(format!("D({},{})", mark.index, mark.of));
        }
    }
    format!("[{}]", items.join(", "))
}
