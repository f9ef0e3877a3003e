//! What a foreign log amounts to: the numbers that are said after an import, and recorded with it.

use std::collections::{BTreeSet, HashMap};

use crate::arch::Architecture;
use crate::events::{ImportFinished, ImportedRow};

/// Counts rows. The Q-table is counted by others.
pub(super) fn of(rows: &[ImportedRow]) -> ImportFinished {
    let good = |row: &&ImportedRow| row.quarantine.is_none();
    let counted = Repeats::of(rows.iter().filter(good));
    let all = Repeats::of(rows.iter());
    let quarantined = rows.iter().filter(|row| row.quarantine.is_some()).count();
    ImportFinished {
        episodes: count(rows.len() - quarantined),
        trials: count(counted.seen.len()),
        repeated: counted.repeated(),
        conflicts: counted.conflicts(),
        quarantined: count(quarantined),
        conflicts_with_quarantined: all.conflicts(),
        missing: missing(rows),
        foreign_pairs: 0,
    }
}

/// How often each architecture occurs, and whether its accuracies differ.
struct Repeats<'r> {
    seen: HashMap<&'r Architecture, (f64, u32, bool)>,
}

impl<'r> Repeats<'r> {
    fn of(rows: impl Iterator<Item = &'r ImportedRow>) -> Self {
        let mut seen = HashMap::new();
        for row in rows {
            let (first, times, differs) =
                seen.entry(&row.architecture).or_insert((row.best, 0, false));
            *times += 1;
            *differs |= *first != row.best;
        }
        Self { seen }
    }

    fn repeated(&self) -> u32 {
        count(self.seen.values().filter(|(_, times, _)| *times > 1).count())
    }

    fn conflicts(&self) -> u32 {
        count(self.seen.values().filter(|(_, _, differs)| *differs).count())
    }
}

/// Update numbers between the first and the last that no row has.
fn missing(rows: &[ImportedRow]) -> Vec<u32> {
    let numbers: BTreeSet<u32> = rows.iter().map(|row| row.update).collect();
    let after = numbers.iter().skip(1);
    let gaps = numbers.iter().zip(after).flat_map(|(before, after)| before + 1..*after);
    gaps.take(ImportFinished::MISSING).collect()
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
