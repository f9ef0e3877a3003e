//! `qtrail report`: a search in one HTML file that needs nothing else, to keep or to send.

mod facts;
mod lineage;
mod page;

use std::path::PathBuf;

use super::cells::{Cells, exact};
use super::parameters::QuarantineArgs;
use super::plot::{Asked, PLOTS, one_search, write};
use super::reading::{AtArgs, answer, collect, footer};
use super::values::ValueArgs;
use super::{CliError, Context, note};
use crate::plot::{self, Theme};
use crate::views::{self, Answer, Column, Select, Table, Value};
use facts::Facts;
use page::Page;

/// Writes a search into one HTML file: settings, figures, tables, and how to do it again.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// File to write
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    output: PathBuf,
    /// Which search: s1, or its name [default: the newest]
    #[arg(long, value_name = "SEARCH")]
    search: Option<String>,
    #[command(flatten)]
    rows: QuarantineArgs,
    #[command(flatten)]
    q: ValueArgs,
    #[command(flatten)]
    at: AtArgs,
}

/// Tables of a report, and how many of their rows it holds at most: a page with a hundred thousand
/// is no page.
const TABLES: &[(&str, u64)] = &[
    ("epsilon", 100),
    ("top", 25),
    ("pareto", 50),
    ("motifs", 25),
    ("qdepth", 200),
    ("qfield", 100),
    ("phases", 100),
    ("cost", 100),
    ("trials", 2_000),
    ("quarantine", 200),
    ("attempts", 200),
];

/// Runs the verb.
///
/// # Errors
/// What a person is to be told.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let mut answer = answer(context, args.at.at)?;
    args.rows.set(&mut answer)?;
    let search = args.search.clone().or(args.q.search(&answer)?);
    let search = one_search(&answer, search.as_deref(), "a report")?;
    args.q.show(context, &mut answer, &search)?;
    let facts = Facts::of(&answer, &search, args.rows, context)?;
    let mut page = Page::new(&facts.title(), &facts.subtitle, &footer(&answer));
    page.facts("Status", &facts.status);
    figures(&mut page, &answer, &search)?;
    for (name, limit) in TABLES {
        if let Some(table) = views::table(name) {
            rows(&mut page, &answer, &search, table, *limit)?;
        }
    }
    page.facts("Settings", &facts.settings);
    page.folded("Complete configuration (TOML)", &facts.config);
    page.commands("Do it again", &facts.again);
    page.facts("The log", &facts.log);
    write(&args.output, page.finish().as_bytes())?;
    let file = args.output.display();
    note(&format!("{file}: report of {search}, {}", footer(&answer)));
    Ok(())
}

/// The figures that there are rows for.
fn figures(page: &mut Page, answer: &Answer, search: &str) -> Result<(), CliError> {
    let asked = Asked { answer, search, top: 8, window: None, replayed: None };
    for kind in PLOTS {
        if let Some(figure) = asked.figure(kind)? {
            let (light, dark) =
                (plot::svg(&figure, Theme::Light)?, plot::svg(&figure, Theme::Dark)?);
            page.figure(kind.name, kind.shows, &light, &dark);
        }
    }
    Ok(())
}

fn rows(
    page: &mut Page,
    answer: &Answer,
    search: &str,
    table: &Table,
    limit: u64,
) -> Result<(), CliError> {
    let select = Select {
        table: table.name.to_owned(),
        search: Some(search.to_owned()),
        limit: Some(limit),
        ..Select::default()
    };
    let mut kept = Kept::default();
    answer.select(&select, &mut kept)?;
    if kept.0.is_empty() {
        return Ok(());
    }
    let all = answer.count(&select)?;
    // The search is known, and a column without any value says nothing (imports know little).
    let says = |(index, column): &(usize, &Column)| {
        column.name != "search" && kept.0.iter().any(|row| row[*index] != Value::Null)
    };
    let (indices, shown): (Vec<usize>, Vec<&Column>) =
        table.columns.iter().enumerate().filter(says).unzip();
    for row in &mut kept.0 {
        *row = indices.iter().map(|index| row[*index].clone()).collect();
    }
    let headers = shown.iter().map(|column| match column.unit {
        Some(unit) if unit != "id" => format!("{} ({unit})", column.name),
        _ => column.name.to_owned(),
    });
    let cells = Cells::of(&kept.0, headers.collect());
    let meanings: Vec<&str> = shown.iter().map(|column| column.what).collect();
    let keys: Vec<Vec<String>> = kept.0.iter().map(|row| row.iter().map(exact).collect()).collect();
    let rest = (all > limit).then(|| {
        format!("The first {limit} of {all} rows; `qtrail table {}` shows all.", table.name)
    });
    page.table(table.name, table.question, &meanings, &cells, &keys, rest.as_deref());
    Ok(())
}

#[derive(Default)]
struct Kept(Vec<Vec<Value>>);

impl views::Rows for Kept {
    fn columns(&mut self, _: &[String]) -> std::io::Result<()> {
        Ok(())
    }

    fn row(&mut self, values: &[Value]) -> std::io::Result<()> {
        self.0.push(values.to_vec());
        Ok(())
    }
}

/// The first row of a statement, as texts.
fn first(answer: &Answer, sql: &str) -> Result<Option<Vec<String>>, CliError> {
    let rows = collect(answer, sql)?;
    Ok(rows.first().map(|row| row.iter().map(exact).collect()))
}
