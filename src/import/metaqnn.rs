//! The replay database of the MetaQNN authors: one row a sampled architecture.

use std::collections::{BTreeMap, HashMap};

use super::{Fields, ImportError, Table, tally};
use crate::agent::space::Space;
use crate::arch::Notation;
use crate::arch::dropout::{Dropout, DropoutRule, place};
use crate::config::learning::Epsilon;
use crate::config::space::SpaceConfig;
use crate::events::{ImportFinished, ImportedRow};

/// Columns of the file, in the authors' order.
const COLUMNS: &[&str] = &[
    "net",
    "accuracy_best_val",
    "iter_best_val",
    "accuracy_last_val",
    "iter_last_val",
    "accuracy_best_test",
    "accuracy_last_test",
    "ix_q_value_update",
    "epsilon",
    "time_finished",
    "machine_run_on",
];
const NET: usize = 0;
const BEST: usize = 1;
const BEST_ITERATION: usize = 2;
const LAST: usize = 3;
const LAST_ITERATION: usize = 4;
const BEST_TEST: usize = 5;
const LAST_TEST: usize = 6;
const UPDATE: usize = 7;
const EPSILON: usize = 8;
const TIME: usize = 9;
const MACHINE: usize = 10;

/// Seconds since 1970 that still are a date (the year 9999).
const TIME_MAX: f64 = 253_402_300_799.0;

/// A log as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// Its rows, in the order of the file.
    pub rows: Vec<ImportedRow>,
    /// Classes of the architectures.
    pub classes: u32,
    /// Rows whose dropout marks follow each rule; one row may follow several.
    pub dropout: BTreeMap<&'static str, u32>,
    /// The rule of `dropout` that most rows follow, if any row follows one.
    pub dropout_rule: Option<DropoutRule>,
    /// Shares of random actions in the order in which they occur, with the number of architectures
    /// that are new in each, of the rows that count.
    pub phases: Vec<(Epsilon, u32)>,
}

/// The rules that are looked for, the likelier ones first.
const RULES: [(DropoutRule, &str); 4] = [
    (DropoutRule::Logged, "logged"),
    (DropoutRule::Slots, "slots"),
    (DropoutRule::Placed, "placed"),
    (DropoutRule::None, "none"),
];

impl Log {
    /// Reads a replay database. Every architecture must be in the space of images of `side` pixels.
    ///
    /// Accuracies outside of [0, 1] do not make a row wrong: it is quarantined.
    ///
    /// # Errors
    /// [`ImportError`] with the line of the first thing that is wrong.
    pub fn read(text: &str, side: u32, config: &SpaceConfig) -> Result<Self, ImportError> {
        let mut table = Table::new(text, COLUMNS, &[])?;
        let mut reader = Reader { side, config, space: None, marks: Vec::new() };
        let mut rows = Vec::new();
        while let Some(fields) = table.next()? {
            let index = u32::try_from(rows.len()).unwrap_or(u32::MAX);
            rows.push(reader.row(index, &fields)?);
        }
        let Some((space, classes)) = reader.space else {
            return Err(ImportError::Rows("the file has no rows".to_owned()));
        };
        drop(space);
        let dropout = tally_marks(&reader.marks);
        let dropout_rule = choose_rules(&mut rows, &reader.marks, &dropout);
        let phases = phases(&rows);
        Ok(Self { rows, classes, dropout, dropout_rule, phases })
    }

    /// What it amounts to.
    #[must_use]
    pub fn tally(&self) -> ImportFinished {
        tally::of(&self.rows)
    }
}

struct Reader<'c> {
    side: u32,
    config: &'c SpaceConfig,
    /// The space, once the first row has told the number of classes.
    space: Option<(Space, u32)>,
    /// For each row which of [`RULES`] its marks follow.
    marks: Vec<[bool; RULES.len()]>,
}

impl Reader<'_> {
    fn row(&mut self, row: u32, fields: &Fields<'_>) -> Result<ImportedRow, ImportError> {
        let notation = self.architecture(fields)?;
        self.marks.push(RULES.map(|(rule, _)| follows(&notation, rule)));
        let architecture = notation.architecture;
        let (best, best_iteration) = (fields.number(BEST)?, fields.whole(BEST_ITERATION)?);
        let (last, last_iteration) = (fields.number(LAST)?, fields.whole(LAST_ITERATION)?);
        let (best_test, last_test) = (test(fields, BEST_TEST)?, test(fields, LAST_TEST)?);
        let worthless = 1.0 / f64::from(architecture.classes());
        Ok(ImportedRow {
            row,
            line: u32::try_from(fields.line).unwrap_or(u32::MAX),
            architecture,
            dropout: None,
            best,
            best_iteration,
            last,
            last_iteration,
            best_test,
            last_test,
            update: fields.whole(UPDATE)?,
            epsilon: epsilon(fields)?.share(),
            time_finished: time(fields)?,
            machine: machine(fields)?,
            // The client reports a failure as (1 / classes, iteration 0).
            failed: best_iteration == 0 && best == worthless,
            quarantine: quarantine(&[
                ("accuracy_best_val", Some(best)),
                ("accuracy_last_val", Some(last)),
                ("accuracy_best_test", best_test),
                ("accuracy_last_test", last_test),
            ]),
        })
    }

    fn architecture(&mut self, fields: &Fields<'_>) -> Result<Notation, ImportError> {
        let line = fields.line;
        let wrong = |source| ImportError::Architecture { line, source };
        let notation = Notation::parse(fields.text(NET)).map_err(wrong)?;
        let (space, classes) = match self.space.take() {
            Some(known) => self.space.insert(known),
            None => {
                let classes = notation.architecture.classes();
                self.space.insert((Space::new(self.config, self.side, classes)?, classes))
            }
        };
        if space.trajectory(&notation.architecture).is_some() {
            return Ok(notation);
        }
        let (side, classes, layer_limit) = (self.side, *classes, self.config.layer_limit);
        let text = notation.architecture.to_string();
        Err(ImportError::OutsideSpace { line, text, side, classes, layer_limit })
    }
}

/// A test accuracy; the authors write -1 where there is none.
fn test(fields: &Fields<'_>, index: usize) -> Result<Option<f64>, ImportError> {
    Ok(Some(fields.number(index)?).filter(|&accuracy| accuracy != -1.0))
}

fn epsilon(fields: &Fields<'_>) -> Result<Epsilon, ImportError> {
    let share = fields.number(EPSILON)?;
    // Anything finer would no longer be the same number in the tables.
    let epsilon = Epsilon::new(share).filter(|epsilon| epsilon.share() == share);
    epsilon.ok_or_else(|| fields.wrong(EPSILON, "not from 0 to 1 with at most four decimals"))
}

fn time(fields: &Fields<'_>) -> Result<f64, ImportError> {
    let seconds = Some(fields.number(TIME)?).filter(|seconds| (0.0..=TIME_MAX).contains(seconds));
    seconds.ok_or_else(|| fields.wrong(TIME, "not seconds since 1970"))
}

fn machine(fields: &Fields<'_>) -> Result<String, ImportError> {
    let name = fields.text(MACHINE);
    // It is printed in tables: nothing in it may steer a terminal.
    if name.len() > ImportedRow::BYTES || name.chars().any(char::is_control) {
        return Err(fields.wrong(MACHINE, "not a name of at most 200 bytes"));
    }
    Ok(name.to_owned())
}

/// Why a row is left out: an accuracy that is no share.
fn quarantine(accuracies: &[(&str, Option<f64>)]) -> Option<String> {
    let outside = |accuracy: f64| !(0.0..=1.0).contains(&accuracy);
    let (column, accuracy) = accuracies.iter().find(|(_, a)| a.is_some_and(outside))?;
    Some(format!("{column} is {:?}, not from 0 to 1", accuracy.unwrap_or_default()))
}

/// Whether the dropout marks of a row are those of a rule.
fn follows(notation: &Notation, rule: DropoutRule) -> bool {
    let marks = notation.dropout.iter().map(|mark| (mark.after, mark.index, mark.of));
    let placed = place(&notation.architecture, rule);
    marks.eq(placed.iter().map(|Dropout { after, index, of }| (*after, *index, *of)))
}

fn tally_marks(marks: &[[bool; RULES.len()]]) -> BTreeMap<&'static str, u32> {
    let count = |index: usize| marks.iter().filter(|follows| follows[index]).count();
    let entries = RULES.iter().enumerate();
    entries
        .map(|(index, (_, name))| (*name, u32::try_from(count(index)).unwrap_or(u32::MAX)))
        .collect()
}

/// Names the rule of each row: the one that most rows follow, where it does.
fn choose_rules(
    rows: &mut [ImportedRow],
    marks: &[[bool; RULES.len()]],
    tally: &BTreeMap<&'static str, u32>,
) -> Option<DropoutRule> {
    let mut order: Vec<usize> = (0..RULES.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(tally[RULES[index].1]));
    for (row, follows) in rows.iter_mut().zip(marks) {
        let first = order.iter().find(|&&index| follows[index]);
        row.dropout = first.map(|&index| RULES[index].0);
    }
    let best = RULES[*order.first()?];
    (tally[best.1] > 0).then_some(best.0)
}

fn phases(rows: &[ImportedRow]) -> Vec<(Epsilon, u32)> {
    let mut phases: Vec<(Epsilon, u32)> = Vec::new();
    let mut known = HashMap::new();
    for row in rows {
        let Some(epsilon) = Epsilon::new(row.epsilon) else { continue };
        let phase = phases.iter().position(|(of, _)| *of == epsilon).unwrap_or_else(|| {
            phases.push((epsilon, 0));
            phases.len() - 1
        });
        if row.quarantine.is_none() && known.insert(&row.architecture, ()).is_none() {
            phases[phase].1 += 1;
        }
    }
    phases
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "net,accuracy_best_val,iter_best_val,accuracy_last_val,iter_last_val,\
        accuracy_best_test,accuracy_last_test,ix_q_value_update,epsilon,time_finished,\
        machine_run_on\n";

    fn read(rows: &str) -> Result<Log, ImportError> {
        Log::read(&format!("{HEADER}{rows}"), 32, &SpaceConfig::paper(12))
    }

    #[test]
    fn a_row_is_taken_exactly() {
        let log = read(
            "\"[C(128,1,1), C(256,5,1), D(1,2), P(5,3), SM(10)]\",0.9532,533.0,0.95,10660.0,-1.0,\
             -1.0,3.0,0.9,1475869775.73,luna\n",
        )
        .unwrap();
        let row = &log.rows[0];
        assert_eq!(row.architecture.to_string(), "[C(128,1,1), C(256,5,1), P(5,3), SM(10)]");
        assert_eq!((row.row, row.line, row.best, row.last), (0, 2, 0.9532, 0.95));
        assert_eq!((row.best_iteration, row.last_iteration, row.update), (533, 10_660, 3));
        assert_eq!((row.epsilon, row.time_finished), (0.9, 1_475_869_775.73));
        assert_eq!((row.machine.as_str(), row.failed), ("luna", false));
        assert_eq!((row.best_test, row.last_test, &row.quarantine), (None, None, &None));
        // D(1,2): both rules give this; the placed one alone would count D(1,1).
        assert_eq!(row.dropout, Some(DropoutRule::Logged));
        assert_eq!(log.dropout["slots"], 1);
        assert_eq!(log.dropout["placed"], 0);
        assert_eq!(log.phases, [(Epsilon::new(0.9).unwrap(), 1)]);
    }

    #[test]
    fn what_is_no_share_is_quarantined_and_what_failed_is_known() {
        let log = read(
            "[SM(10)],86.0,100,85.5,10000,-1,-1,4,0.7,0,unknown\n\
             [SM(10)],0.1,0.0,0.1,0.0,-1,-1,1,1.0,0,unknown\n\
             [SM(10)],0.1,533,0.1,533,-1,-1,1,1.0,0,unknown\n",
        )
        .unwrap();
        let reasons: Vec<_> = log.rows.iter().map(|row| row.quarantine.as_deref()).collect();
        assert_eq!(reasons, [Some("accuracy_best_val is 86.0, not from 0 to 1"), None, None]);
        assert_eq!(log.rows.iter().map(|row| row.failed).collect::<Vec<_>>(), [false, true, false]);
        let tally = log.tally();
        assert_eq!((tally.episodes, tally.trials, tally.repeated), (2, 1, 1));
        assert_eq!((tally.conflicts, tally.conflicts_with_quarantined), (0, 1));
        assert_eq!((tally.quarantined, tally.missing), (1, vec![2, 3]));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let good = "[SM(10)],0.1,0,0.1,0,-1,-1,1,1.0,0,unknown\n";
        let cases = [
            (
                "[SM(10)],0.1,0,0.1,0,-1,-1,1,1.0,0\n",
                "line 3: 10 values where the first line has 11",
            ),
            ("[SM(10)],x,0,0.1,0,-1,-1,1,1.0,0,u\n", "line 3: accuracy_best_val is `x`, not a"),
            ("[SM(10)],nan,0,0.1,0,-1,-1,1,1.0,0,u\n", "is `nan`, not a finite number"),
            (
                "[SM(10)],0.1,-1,0.1,0,-1,-1,1,1.0,0,u\n",
                "iter_best_val is `-1`, not a whole number",
            ),
            ("[SM(10)],0.1,0,0.1,0,-1,-1,1,2,0,u\n", "line 3: epsilon is `2`, not from 0 to 1"),
            ("[SM(10)],0.1,0,0.1,0,-1,-1,1,1,-5,u\n", "time_finished is `-5`"),
            ("[SM(10)],0.1,0,0.1,0,-1,-1,1,1,0,\u{1b}[31m\n", r"machine_run_on is `\u{1b}[31m`"),
            ("[SM(10,0.1,0,0.1,0,-1,-1,1,1,0,u\n", "line 3: net: column 7: expected"),
            ("\"[X(1), SM(10)]\",0,0,0,0,-1,-1,1,1,0,u\n", "line 3: net: column 2: no layer is"),
            (
                "\"[P(2,2), SM(10)]\",0,0,0,0,-1,-1,1,1,0,u\n",
                "line 3: net: [P(2,2), SM(10)] is not in",
            ),
            ("[SM(9)],0,0,0,0,-1,-1,1,1,0,u\n", "line 3: net: [SM(9)] is not in the state space"),
        ];
        for (row, expected) in cases {
            let error = read(&format!("{good}{row}")).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}\n  should say: {expected}");
        }
        let error = read("").unwrap_err().to_string();
        assert_eq!(error, "the file has no rows");
        for (header, expected) in [
            ("", "the column net is missing"),
            ("a,b\n", "no column is called `a`"),
            ("net,net\n", "the column net is there twice"),
            ("net,epsilon\n", "the column accuracy_best_val is missing"),
        ] {
            let error = Log::read(header, 32, &SpaceConfig::paper(12)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}\n  should say: {expected}");
        }
    }

    #[test]
    fn long_values_are_refused() {
        let long = format!("{},0,0,0,0,-1,-1,1,1,0,u\n", "C".repeat(5_000));
        let error = read(&long).unwrap_err().to_string();
        assert!(error.contains("longer than 4096 bytes") && error.len() < 200, "{error}");
    }
}
