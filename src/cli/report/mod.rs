//! `qtrail report`: a search in one HTML file that needs nothing else, to keep or to send.

mod facts;
mod lineage;
mod page;

use super::cells::{Cells, exact, is_shown, rates};
use super::destination::Destination;
use super::parameters::QuarantineArgs;
use super::plot::{ATTACK_PLOTS, Asked, AttackArgs, PLOTS, draw_attack, one_search};
use super::reading::{AtArgs, answer, collect, footer};
use super::values::ValueArgs;
use super::{CliError, Context, note, samples};
use crate::plot::{self, Theme};
use crate::views::{self, Answer, Column, Select, Table, Value};
use facts::Facts;
use page::Page;

/// Writes a search into one HTML file: settings, figures, tables, and how to do it again.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// File to write; - for stdout
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    output: Destination,
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

/// The same of the attack on its models.
const ATTACK_TABLES: &[(&str, u64)] = &[
    ("checks", 100),
    ("robustness", 200),
    ("accuracy", 400),
    ("destruction", 400),
    ("transfer_attack", 200),
    ("perturbations", 100),
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
            let of_search = Select { search: Some(search.clone()), ..Select::default() };
            rows(&mut page, &answer, table, *limit, of_search)?;
        }
    }
    attack(&mut page, &mut answer, &search, context)?;
    page.facts("Settings", &facts.settings);
    page.folded("Complete configuration (TOML)", &facts.config);
    page.commands("Do it again", &facts.again);
    page.facts("The log", &facts.log);
    args.output.write(page.finish().as_bytes())?;
    let file = &args.output;
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

/// The figures and tables of the newest attack on a model of the search, if there is one: one that
/// is finished before those that are not.
fn attack(
    page: &mut Page,
    answer: &mut Answer,
    search: &str,
    context: &Context,
) -> Result<(), CliError> {
    let sql = format!(
        "SELECT a.label, v.label FROM attack a
         JOIN victim v ON v.attack = a.id JOIN trial t ON t.id = v.trial
         JOIN job j ON j.id = t.job
         WHERE j.label = '{search}' AND a.scored > 0
         ORDER BY a.finished_at IS NULL, a.id DESC, v.victim LIMIT 1"
    );
    let Some(row) = first(answer, &sql)? else { return Ok(()) };
    for kind in ATTACK_PLOTS {
        let all = kind.name == "robustness";
        let of = AttackArgs::of(&row[0], Some(row[1].as_str()).filter(|_| !all));
        match draw_attack(kind, &of, context, answer) {
            Ok((_, Some(drawing))) => {
                let (light, dark) = (drawing.svg(Theme::Light)?, drawing.svg(Theme::Dark)?);
                page.figure(kind.name, kind.shows, &light, &dark);
            }
            Ok((_, None)) => {}
            // The images may be elsewhere by now; the rest of the report does not need them.
            Err(error) if kind.name == "perturbation" => {
                note(&format!("no pictures of {}: {}", row[0], error.message));
            }
            Err(error) => return Err(error),
        }
    }
    for (name, limit) in ATTACK_TABLES {
        if let Some(table) = views::table(name) {
            let mut conditions = Vec::new();
            if table.column("repeat").is_some() && *name != "methods" {
                conditions.push("(\"repeat\" IS NULL OR \"repeat\" = 'mean')");
            }
            if table.column("top").is_some() {
                conditions.push(samples::MEANING);
            }
            let of_attack = Select {
                attack: Some(row[0].clone()),
                restriction: Some(conditions.join(" AND ")).filter(|all| !all.is_empty()),
                ..Select::default()
            };
            rows(page, answer, table, *limit, of_attack)?;
        }
    }
    Ok(())
}

fn rows(
    page: &mut Page,
    answer: &Answer,
    table: &Table,
    limit: u64,
    of: Select,
) -> Result<(), CliError> {
    let select = Select { table: table.name.to_owned(), limit: Some(limit), ..of };
    let mut kept = Kept::default();
    answer.select(&select, &mut kept)?;
    if kept.0.is_empty() {
        return Ok(());
    }
    let all = answer.count(&select)?;
    // The search is known, and a column without any value says nothing (imports know little).
    let says = |(index, column): &(usize, &Column)| {
        !["search", "attack"].contains(&column.name)
            && kept.0.iter().any(|row| row[*index] != Value::Null)
    };
    let (indices, shown): (Vec<usize>, Vec<&Column>) =
        table.columns.iter().enumerate().filter(says).unzip();
    for row in &mut kept.0 {
        *row = indices.iter().map(|index| row[*index].clone()).collect();
    }
    let headers = shown.iter().map(|column| match column.unit {
        Some(unit) if is_shown(unit) => format!("{} ({unit})", column.name),
        _ => column.name.to_owned(),
    });
    let names: Vec<String> = shown.iter().map(|column| column.name.to_owned()).collect();
    let rates = rates(&names, |name| table.column(name).and_then(|column| column.unit));
    let cells = Cells::of(&kept.0, headers.collect()).with_undefined(&kept.0, &rates);
    let unit = |name: &str| table.column(name).and_then(|column| column.unit);
    let cells = cells.with_exact(&kept.0, &names, unit);
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
