//! Printing what came of it: members, sizes, pairs.

use super::choose::{Chosen, Member};
use super::pool::{Candidate, Part, Pool, Shown as Seen};
use super::{ChoiceArgs, CliError};
use crate::cli::output::{FormatArgs, Hint, Printer};
use crate::cli::say;
use crate::ensemble::bootstrap::intervals;
use crate::ensemble::combine::{Combine, Combined, combine};
use crate::ensemble::measure::{agreement, calibration_error, double_fault, share, wrong};
use crate::views::{Rows as _, Value};

/// A part of what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Section {
    /// Each member, and all of them together
    Members,
    /// Ensembles of one to ten
    Sizes,
    /// How much two members have in common
    Pairs,
}

/// All there is to print.
pub(super) struct Shown<'a> {
    pub(super) pool: &'a Pool,
    pub(super) chosen: &'a Chosen,
    pub(super) choice: &'a ChoiceArgs,
    pub(super) replicates: u32,
    pub(super) seed: u64,
    pub(super) as_of: String,
}

type Row = Vec<Value>;
/// A share of images, of the decisions of two models and the truth.
type OfPair = fn(&[usize], &[usize], &[usize]) -> Option<f64>;

/// The name of the row of all members together.
const TOGETHER: &str = "ensemble";

impl Shown<'_> {
    /// Prints one section, or for people all of them.
    pub(super) fn print(
        &self,
        format: FormatArgs,
        section: Option<Section>,
    ) -> Result<(), CliError> {
        let people = format.format.is_for_people();
        match section {
            Some(section) => self.section(section, format, &self.footer()),
            None if !people => self.section(Section::Members, format, &self.footer()),
            None => {
                let between = [String::new()];
                self.section(Section::Members, format, &between)?;
                self.section(Section::Sizes, format, &between)?;
                self.section(Section::Pairs, format, &self.footer())
            }
        }
    }

    fn section(
        &self,
        section: Section,
        format: FormatArgs,
        footer: &[String],
    ) -> Result<(), CliError> {
        let people = format.format.is_for_people();
        match section {
            Section::Members => table(format, &MEMBERS, &self.members(), footer),
            Section::Sizes => table(format, &SIZES, &self.sizes(), footer),
            Section::Pairs if !people => table(format, &PAIRS, &self.pairs(), footer),
            Section::Pairs => {
                say("test images for which two members decide the same (%)");
                self.matrix(format, &[String::new()], |a, b, _| agreement(a, b))?;
                say("test images that both decide wrongly (%)");
                self.matrix(format, footer, double_fault)
            }
        }
    }

    fn candidate(&self, member: &Member) -> &Candidate {
        &self.pool.candidates[member.candidate]
    }

    fn together(&self, members: &[Member], of: fn(&Candidate) -> &Seen) -> Combined {
        let weighted: Vec<_> = members
            .iter()
            .map(|member| (&of(self.candidate(member)).probabilities, member.weight))
            .collect();
        combine(&weighted, self.choice.combine)
    }

    fn members(&self) -> Vec<Row> {
        let members = &self.chosen.members;
        let labels = &self.pool.test.labels;
        let together = self.together(members, |candidate| &candidate.test);
        let validation = self.together(members, |candidate| &candidate.validation);
        // One bit a model: who is wrong about an image.
        let mut wrongs = vec![0_u64; labels.len()];
        let decided = members.iter().map(|member| &self.candidate(member).test.decisions);
        for (bit, decisions) in decided.chain([&together.decisions]).enumerate() {
            for ((wrongs, decision), label) in wrongs.iter_mut().zip(decisions).zip(labels) {
                *wrongs |= u64::from(decision != label) << bit;
            }
        }
        let intervals = intervals(&wrongs, members.len() + 1, self.replicates, self.seed);
        let interval = |place: usize| {
            let found = intervals.as_ref().and_then(|intervals| intervals.get(place));
            [percent(found.map(|one| one.low)), percent(found.map(|one| one.high))]
        };
        let total: f64 = members.iter().map(|member| member.weight).sum();
        let mut rows: Vec<Row> = Vec::new();
        for (place, member) in members.iter().enumerate() {
            let one = self.candidate(member);
            let share =
                if total > 0.0 { member.weight / total } else { 1.0 / members.len() as f64 };
            let [low, high] = interval(place);
            let validation = error(&one.validation.decisions, &self.pool.validation);
            let ece = calibration_error(&one.test.probabilities, &one.test.decisions, labels);
            rows.push(vec![
                Value::Text(one.trial.clone()),
                Value::Real(share),
                percent(if one.fitted { None } else { validation }),
                percent(error(&one.test.decisions, &self.pool.test)),
                low,
                high,
                percent(ece),
                count(wrong(&one.test.decisions, labels)),
                Value::Text(one.arch.clone()),
            ]);
        }
        let [low, high] = interval(members.len());
        let of_validation = error(&validation.decisions, &self.pool.validation);
        let ece = calibration_error(&together.probabilities, &together.decisions, labels);
        rows.push(vec![
            Value::Text(TOGETHER.to_owned()),
            Value::Real(1.0),
            percent(if self.chosen.fitted(self.pool) { None } else { of_validation }),
            percent(error(&together.decisions, &self.pool.test)),
            low,
            high,
            percent(ece),
            count(wrong(&together.decisions, labels)),
            Value::Null,
        ]);
        rows
    }

    fn sizes(&self) -> Vec<Row> {
        let row = |(size, members): (usize, &Vec<Member>)| {
            let fitted = members.iter().any(|member| self.candidate(member).fitted);
            let validation = self.together(members, |candidate| &candidate.validation);
            let test = self.together(members, |candidate| &candidate.test);
            let labels = &self.pool.test.labels;
            let names: Vec<&str> =
                members.iter().map(|member| self.candidate(member).trial.as_str()).collect();
            let of_validation = error(&validation.decisions, &self.pool.validation);
            vec![
                count(size),
                percent(if fitted { None } else { of_validation }),
                percent(error(&test.decisions, &self.pool.test)),
                percent(calibration_error(&test.probabilities, &test.decisions, labels)),
                count(wrong(&test.decisions, labels)),
                Value::Text(names.join(" ")),
            ]
        };
        (1..).zip(&self.chosen.sizes).map(row).collect()
    }

    fn pairs(&self) -> Vec<Row> {
        let members: Vec<&Candidate> =
            self.chosen.members.iter().map(|member| self.candidate(member)).collect();
        let labels = &self.pool.test.labels;
        let mut rows = Vec::new();
        for (place, a) in members.iter().enumerate() {
            for b in &members[place + 1..] {
                let (of_a, of_b) = (&a.test.decisions, &b.test.decisions);
                rows.push(vec![
                    Value::Text(a.trial.clone()),
                    Value::Text(b.trial.clone()),
                    percent(agreement(of_a, of_b)),
                    percent(double_fault(of_a, of_b, labels)),
                ]);
            }
        }
        rows
    }

    fn matrix(&self, format: FormatArgs, footer: &[String], of: OfPair) -> Result<(), CliError> {
        let members: Vec<&Candidate> =
            self.chosen.members.iter().map(|member| self.candidate(member)).collect();
        let names: Vec<&str> = std::iter::once("trial")
            .chain(members.iter().map(|member| member.trial.as_str()))
            .collect();
        let row = |a: &&Candidate| {
            let labels = &self.pool.test.labels;
            let cells =
                members.iter().map(|b| percent(of(&a.test.decisions, &b.test.decisions, labels)));
            std::iter::once(Value::Text(a.trial.clone())).chain(cells).collect()
        };
        table(format, &names, &members.iter().map(row).collect::<Vec<_>>(), footer)
    }

    /// What has to be known about the numbers.
    fn footer(&self) -> Vec<String> {
        let (validation, test) = (self.pool.validation.labels.len(), self.pool.test.labels.len());
        let mut lines = Vec::new();
        if let Some(note) = self.chosen.note {
            lines.push(note.to_owned());
        }
        if self.chosen.fitted(self.pool) {
            lines.push(
                "validation errors are unknown of models that were fitted to these images"
                    .to_owned(),
            );
        }
        let what = Combine::ALL.iter().find(|(way, ..)| *way == self.choice.combine);
        lines.push(format!(
            "{}; {}, {validation} validation and {test} test images of {}; test_low to test_high: 95 %, \
             bootstrap over images, {} draws, seed {}; ece: expected calibration error, 15 bins",
            self.chosen.how,
            what.map_or("", |(_, _, what)| what),
            self.pool.data,
            self.replicates,
            self.seed,
        ));
        lines.push(self.as_of.clone());
        lines
    }
}

const MEMBERS: [&str; 9] = [
    "trial",
    "weight",
    "validation_error",
    "test_error",
    "test_low",
    "test_high",
    "ece",
    "test_wrong",
    "arch",
];
const SIZES: [&str; 6] = ["size", "validation_error", "test_error", "ece", "test_wrong", "members"];
const PAIRS: [&str; 4] = ["a", "b", "agreement", "double_fault"];

fn table(
    format: FormatArgs,
    names: &[&str],
    rows: &[Row],
    footer: &[String],
) -> Result<(), CliError> {
    let mut printer = Printer::new(format, unit);
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut print = || {
        printer.columns(&names)?;
        rows.iter().try_for_each(|row| printer.row(row))
    };
    print()
        .and_then(|()| printer.finish(footer).map(drop))
        .map_err(|error| CliError::output(&error))
}

fn unit(name: &str) -> Hint {
    let percent =
        ["validation_error", "test_error", "test_low", "test_high", "ece"].contains(&name);
    Hint { unit: percent.then_some("%"), json: false }
}

fn error(decisions: &[usize], part: &Part) -> Option<f64> {
    share(wrong(decisions, &part.labels), part.labels.len())
}

/// A share in percent; unknown stays unknown.
fn percent(share: Option<f64>) -> Value {
    share.map_or(Value::Null, |share| Value::Real(100.0 * share))
}

fn count(number: usize) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}
