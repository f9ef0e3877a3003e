//! What became of each fault, counted.

use std::fmt::Write as _;

/// What became of one fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As if it had not happened.
    Harmless,
    /// The program said so, and everything is there again without the fault.
    Told,
    /// The program put it right, and said so.
    Repaired,
    /// Something acknowledged is gone, or a search ends differently.
    Lost(String),
    /// Success was reported, with another answer.
    Silent(String),
    /// A panic, a signal, no end, or an exit code that stands for something else.
    Wrong(String),
}

/// One kind of fault.
#[derive(Debug, Default)]
pub(crate) struct Row {
    pub(crate) what: String,
    rounds: u32,
    faults: u32,
    harmless: u32,
    told: u32,
    repaired: u32,
    losses: u32,
    silent: u32,
    wrong: u32,
    notes: Vec<String>,
}

impl Row {
    pub(crate) fn new(what: &str) -> Self {
        Self { what: what.to_owned(), ..Self::default() }
    }

    /// Counts a round in which so many faults were injected.
    pub(crate) fn count(&mut self, faults: u32, verdict: Verdict) {
        self.rounds += 1;
        self.faults += faults;
        let (number, note) = match verdict {
            Verdict::Harmless => (&mut self.harmless, None),
            Verdict::Told => (&mut self.told, None),
            Verdict::Repaired => (&mut self.repaired, None),
            Verdict::Lost(note) => (&mut self.losses, Some(("lost", note))),
            Verdict::Silent(note) => (&mut self.silent, Some(("silent", note))),
            Verdict::Wrong(note) => (&mut self.wrong, Some(("wrong", note))),
        };
        *number += 1;
        self.notes.extend(note.map(|(kind, note)| format!("{kind}: {note}")));
    }

    /// What must not be.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// The table, as it stands in the README.
pub(crate) fn table(rows: &[Row]) -> String {
    let head = "what|rounds|faults injected|harmless|told|repaired|losses|silent|wrong";
    let mut lines = vec![head.split('|').map(str::to_owned).collect::<Vec<_>>()];
    for row in rows {
        let numbers = [
            row.rounds,
            row.faults,
            row.harmless,
            row.told,
            row.repaired,
            row.losses,
            row.silent,
            row.wrong,
        ];
        let cells = numbers.iter().map(ToString::to_string);
        lines.push([row.what.clone()].into_iter().chain(cells).collect());
    }
    let width = |at: usize| lines.iter().map(|cells| cells[at].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..9).map(width).collect();
    let mut text = String::new();
    for (number, cells) in lines.iter().enumerate() {
        let _ = write!(text, "| {:<1$} |", cells[0], widths[0]);
        for (cell, width) in cells.iter().zip(&widths).skip(1) {
            let _ = write!(text, " {cell:>width$} |");
        }
        text.push('\n');
        if number == 0 {
            text.push_str("|--|");
            text.push_str(&"--:|".repeat(8));
            text.push('\n');
        }
    }
    text
}
