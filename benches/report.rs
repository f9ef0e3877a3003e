//! What benchmarks found: one table at the end, and a file of JSON lines for machines.

use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

/// What a figure is to reach.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    fn is_met(self, by: f64) -> bool {
        match self {
            Self::AtLeast(least) => by >= least,
            Self::AtMost(most) => by <= most,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "≥ {least}"),
            Self::AtMost(most) => write!(f, "≤ {most}"),
        }
    }
}

/// One case. What is judged is the ratio if there is something to compare with, else the figure.
#[derive(Debug)]
pub struct Row {
    case: String,
    ours: f64,
    unit: &'static str,
    beside: Option<(&'static str, f64)>,
    ratio: Option<f64>,
    target: Option<Target>,
    note: String,
}

impl Row {
    pub fn new(case: impl Into<String>, ours: f64, unit: &'static str) -> Self {
        let (case, note) = (case.into(), String::new());
        Self { case, ours, unit, beside: None, ratio: None, target: None, note }
    }

    /// Compared with a time: how many times as fast as that.
    pub fn against_time(self, name: &'static str, time: f64) -> Self {
        Self { ratio: Some(time / self.ours), beside: Some((name, time)), ..self }
    }

    pub fn target(self, target: impl Into<Option<Target>>) -> Self {
        Self { target: target.into(), ..self }
    }

    pub fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    fn met(&self) -> Option<bool> {
        self.target.map(|target| target.is_met(self.ratio.unwrap_or(self.ours)))
    }

    fn cells(&self) -> [String; 7] {
        let beside = self.beside.map(|(name, value)| format!("{name} {}", number(value)));
        let met = self.met().map(|met| if met { "met" } else { "MISSED" });
        [
            self.case.clone(),
            format!("{} {}", number(self.ours), self.unit),
            beside.unwrap_or_default(),
            self.ratio.map(number).unwrap_or_default(),
            self.target.map(|target| target.to_string()).unwrap_or_default(),
            met.unwrap_or_default().to_owned(),
            self.note.clone(),
        ]
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "case": self.case,
            "ours": self.ours,
            "unit": self.unit,
            "beside": self.beside.map(|(name, _)| name),
            "beside_value": self.beside.map(|(_, value)| value),
            "ratio": self.ratio,
            "target": self.target.map(|target| target.to_string()),
            "met": self.met(),
            "note": self.note,
        })
    }
}

/// Three digits that say something.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// All cases so far.
#[derive(Debug, Default)]
pub struct Report(Vec<Row>);

impl Report {
    /// Says a case at once, because the next one may take minutes.
    pub fn add(&mut self, row: Row) {
        let [case, ours, _, ratio, target, met, _] = row.cells();
        eprintln!("{case}: {ours} {ratio} {target} {met}");
        self.0.push(row);
    }

    /// Prints the table, and writes the lines to `file`. A miss is no failure: the machine may be
    /// slow or busy.
    pub fn finish(self, file: &Path) {
        let mut lines = File::create(file).unwrap();
        let mut table = Table::new();
        table.load_preset(NOTHING);
        table.set_header(["case", "ours", "beside", "ratio", "target", "", "note"]);
        for row in &self.0 {
            table.add_row(row.cells());
            writeln!(lines, "{}", row.json()).unwrap();
        }
        for column in [1, 2, 3, 4] {
            table.column_mut(column).unwrap().set_cell_alignment(CellAlignment::Right);
        }
        println!("{}", table.trim_fmt());
        let missed = self.0.iter().filter(|row| row.met() == Some(false)).count();
        let judged = self.0.iter().filter(|row| row.met().is_some()).count();
        println!("\n{missed} of {judged} targets missed; {}", load());
        println!("as JSON lines: {}", file.display());
    }
}

/// How busy the machine was: numbers of a busy one say little.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let loads: Vec<&str> = text.split(' ').take(3).collect();
    format!("load of this machine in the last 1, 5, 15 minutes: {}", loads.join(", "))
}
