//! Rows to stdout, in six formats.
//!
//! `table` and `md` are for people: rounded, aligned, units in the headers, and `as of event N`
//! underneath. The other four are for programs: bare names, exact numbers, nothing else on stdout.

use std::io::{self, IsTerminal as _, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent, presets};

use super::cells::{Cells, exact, is_shown, rates};
use super::terminal::escaped;
use crate::views::{Rows, Value};

/// Most bytes of a text in a table for people.
const CELL_MAX: usize = 10_000;
/// About how many bytes of rows are kept for a table for people.
const KEPT_MAX: usize = 32 << 20;

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// Markdown, for documents
    Md,
    /// Comma-separated values
    Csv,
    /// Tab-separated values
    Tsv,
    /// One array of objects
    Json,
    /// One object a line
    Jsonl,
}

impl Format {
    /// Whether people read it: rounded numbers, units, the footer on stdout.
    #[must_use]
    pub fn is_for_people(self) -> bool {
        matches!(self, Self::Table | Self::Md)
    }
}

/// Options of every verb that prints rows.
#[derive(Debug, Clone, Copy, clap::Args)]
#[command(next_help_heading = "Output")]
pub struct FormatArgs {
    /// How rows are printed
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Leaves out the names of the columns
    #[arg(long)]
    pub no_header: bool,
}

/// What a column needs to be known about besides its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hint {
    /// Its unit.
    pub unit: Option<&'static str>,
    /// Its texts are JSON.
    pub json: bool,
}

/// Takes rows and prints them.
pub struct Printer {
    args: FormatArgs,
    /// Columns of the terminal; `None`: not a terminal, nothing is left out.
    width: Option<u16>,
    /// Whether columns may be left out for want of room.
    may_drop: Option<&'static str>,
    hint: Box<dyn Fn(&str) -> Hint>,
    names: Vec<String>,
    kept: Vec<Vec<Value>>,
    /// About how many bytes `kept` takes.
    bytes: usize,
    /// Texts that were cut, and rows that there was no memory for.
    cut: u64,
    left_out: u64,
    count: u64,
    dropped: Vec<String>,
    out: io::BufWriter<io::Stdout>,
}

impl Printer {
    /// A printer to stdout.
    #[must_use]
    pub fn new(args: FormatArgs, hint: impl Fn(&str) -> Hint + 'static) -> Self {
        Self {
            args,
            width: terminal_width(),
            may_drop: None,
            hint: Box::new(hint),
            names: Vec::new(),
            kept: Vec::new(),
            bytes: 0,
            cut: 0,
            left_out: 0,
            count: 0,
            dropped: Vec::new(),
            out: io::BufWriter::new(io::stdout()),
        }
    }

    /// Lets it leave out columns that a terminal has no room for; the footer names them and says
    /// how they can be had.
    #[must_use]
    pub fn dropping_columns(mut self, otherwise: &'static str) -> Self {
        self.may_drop = Some(otherwise);
        self
    }

    /// Rows so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Shows what was printed so far, for rows that come one by one.
    ///
    /// # Errors
    /// If stdout cannot be written to.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Prints what is left, and `footer`: below the rows for people, else on stderr.
    ///
    /// # Errors
    /// If stdout cannot be written to.
    pub fn finish(mut self, footer: &[String]) -> io::Result<u64> {
        match self.args.format {
            Format::Table | Format::Md => self.print_table()?,
            Format::Json if self.count == 0 => writeln!(self.out, "[]")?,
            Format::Json => writeln!(self.out, "\n]")?,
            Format::Csv | Format::Tsv | Format::Jsonl => {}
        }
        let mut lines: Vec<String> = Vec::new();
        if self.count == 0 {
            lines.push("no rows".to_owned());
        }
        if self.cut > 0 {
            let all = "--format csv prints them whole";
            lines.push(format!("{} texts are cut after {CELL_MAX} bytes; {all}", self.cut));
        }
        if self.left_out > 0 {
            let (kept, mebibytes) = (self.count - self.left_out, KEPT_MAX >> 20);
            lines.push(format!(
                "the first {kept} of {} rows: a table holds {mebibytes} MiB; --format csv prints all",
                self.count
            ));
        }
        if !self.dropped.is_empty() {
            let (few, all) = (self.dropped.iter().take(4), self.dropped.len());
            let names = few.cloned().collect::<Vec<_>>().join(", ");
            let more = if all > 4 { format!(" and {} more", all - 4) } else { String::new() };
            let otherwise = self.may_drop.unwrap_or_default();
            lines.push(format!("no room for {names}{more}; {otherwise}"));
        }
        lines.extend(footer.iter().cloned());
        if self.args.format.is_for_people() {
            if self.args.format == Format::Md && self.count > 0 {
                writeln!(self.out)?;
            }
            for line in lines {
                writeln!(self.out, "{line}")?;
            }
            self.out.flush()?;
        } else {
            self.out.flush()?;
            lines.iter().for_each(|line| super::note(line));
        }
        Ok(self.count)
    }

    /// Keeps a row until the widths of columns are known, as far as memory allows.
    fn keep(&mut self, values: &[Value]) {
        if self.bytes > KEPT_MAX {
            self.left_out += 1;
            return;
        }
        let mut row = Vec::with_capacity(values.len());
        for value in values {
            let (value, was_cut) = shortened(value);
            self.cut += u64::from(was_cut);
            self.bytes += size_of::<Value>()
                + match &value {
                    Value::Text(text) => text.len(),
                    Value::Blob(bytes) => bytes.len(),
                    _ => 0,
                };
            row.push(value);
        }
        self.kept.push(row);
    }

    fn print_table(&mut self) -> io::Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        let header = |name: &String| match (self.hint)(name).unit {
            Some(unit) if is_shown(unit) => format!("{name} ({unit})"),
            _ => name.clone(),
        };
        let headers: Vec<String> = self.names.iter().map(header).collect();
        let rates = rates(&self.names, |name| (self.hint)(name).unit);
        let cells = Cells::of(&self.kept, headers).with_undefined(&self.kept, &rates);
        let cells = cells.with_exact(&self.kept, &self.names, |name| (self.hint)(name).unit);
        let shown = match self.width {
            Some(width) if self.may_drop.is_some() => cells.fitting(width.into()),
            _ => self.names.len(),
        };
        self.dropped = self.names.split_off(shown);
        let markdown = |text: &String| text.replace('|', "\\|").replace('\n', "<br>");
        let cell: &dyn Fn(&String) -> String =
            if self.args.format == Format::Md { &markdown } else { &String::clone };
        let mut table = Table::new();
        self.style(&mut table);
        if !self.args.no_header {
            table.set_header(cells.headers[..shown].iter().map(cell));
        }
        for row in &cells.rows {
            table.add_row(row[..shown].iter().map(cell));
        }
        for (column, right) in table.column_iter_mut().zip(&cells.numeric) {
            if *right {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for line in table.lines() {
            writeln!(self.out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    fn style(&self, table: &mut Table) {
        if self.args.format == Format::Md {
            table.load_preset(presets::ASCII_MARKDOWN);
            return;
        }
        table.load_preset(presets::NOTHING);
        if !self.args.no_header {
            table.set_style(TableComponent::HeaderLines, '─');
            table.set_style(TableComponent::MiddleHeaderIntersections, '─');
        }
        if let Some(width) = self.width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
    }

    fn separated(&mut self, values: &[String]) -> io::Result<()> {
        let delimiter = if self.args.format == Format::Csv { b',' } else { b'\t' };
        let mut writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(&mut self.out);
        writer.write_record(values)?;
        writer.flush()
    }

    fn object(&self, values: &[Value]) -> String {
        let fields = self.names.iter().zip(values).map(|(name, value)| {
            let name = serde_json::Value::from(name.as_str());
            match value {
                Value::Text(text) if (self.hint)(name.as_str().unwrap_or_default()).json => {
                    format!("{name}:{text}")
                }
                value => format!("{name}:{}", json(value)),
            }
        });
        format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
    }
}

/// Cuts a text that people are to read; whether it was too long.
fn cut(text: &mut String) -> bool {
    let long = text.len() > CELL_MAX;
    if long {
        text.truncate(boundary(text));
        text.push('…');
    }
    long
}

/// Where a long text is cut: not within a character.
fn boundary(text: &str) -> usize {
    (0..=CELL_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// A value as it is kept for people, and whether it is cut.
fn shortened(value: &Value) -> (Value, bool) {
    match value {
        Value::Text(text) if text.len() > CELL_MAX => {
            (Value::Text(text[..boundary(text)].to_owned() + "…"), true)
        }
        Value::Blob(bytes) if bytes.len() > CELL_MAX / 2 => {
            let begins = exact(&Value::Blob(bytes[..CELL_MAX / 2].to_vec()));
            (Value::Text(begins + "…"), true)
        }
        other => (other.clone(), false),
    }
}

impl Rows for Printer {
    fn columns(&mut self, names: &[String]) -> io::Result<()> {
        self.names = names.to_vec();
        if self.args.format.is_for_people() {
            // SQLite calls a column what it is computed by.
            self.names.iter_mut().for_each(|name| {
                *name = escaped(name).into_owned();
                cut(name);
            });
        }
        match self.args.format {
            Format::Csv | Format::Tsv if !self.args.no_header => self.separated(names),
            _ => Ok(()),
        }
    }

    fn row(&mut self, values: &[Value]) -> io::Result<()> {
        self.count += 1;
        match self.args.format {
            Format::Table | Format::Md => {
                self.keep(values);
                Ok(())
            }
            Format::Csv | Format::Tsv => {
                let values: Vec<String> = values.iter().map(exact).collect();
                self.separated(&values)
            }
            Format::Json => {
                let object = self.object(values);
                let before = if self.count == 1 { "[\n" } else { ",\n" };
                write!(self.out, "{before}{object}")
            }
            Format::Jsonl => {
                let object = self.object(values);
                writeln!(self.out, "{object}")
            }
        }
    }
}

/// An object of named values, exact.
pub(super) fn json_object<N: AsRef<str>>(names: &[N], values: &[Value]) -> String {
    let fields = names
        .iter()
        .zip(values)
        .map(|(name, value)| format!("{}:{}", serde_json::Value::from(name.as_ref()), json(value)));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

fn json(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => serde_json::Value::from(*number).to_string(),
        other => serde_json::Value::from(exact(other)).to_string(),
    }
}

/// Columns of the terminal that stdout is.
#[must_use]
pub fn terminal_width() -> Option<u16> {
    terminal_size().map(|(width, _)| width).filter(|&width| width > 0)
}

/// Columns and lines of the terminal that stdout is.
#[must_use]
pub fn terminal_size() -> Option<(u16, u16)> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    rustix::termios::tcgetwinsize(&stdout).ok().map(|size| (size.ws_col, size.ws_row))
}
