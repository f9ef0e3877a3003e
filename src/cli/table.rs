//! `qtrail table`: a result table.

use super::cells::exact;
use super::output::{FormatArgs, Hint, Printer};
use super::parameters::{ParameterArgs, values_outside};
use super::reading::{AtArgs, answer, choose, collect, footer};
use super::samples;
use super::values::{OF_VALUES, QSource};
use super::{CliError, Context, Exit, masking};
use crate::lab::rank::Ranks;
use crate::views::{self, Answer, Select, Value};

/// Prints a result table (`qtrail tables` lists them).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which table
    name: String,
    #[command(flatten)]
    rows: SelectArgs,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// Which rows and columns.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Rows")]
pub struct SelectArgs {
    /// Only rows for which this holds, as in "accuracy > 0.7 and arch like '%GAP%'"
    #[arg(long = "where", value_name = "SQL-EXPR")]
    condition: Option<String>,
    /// Order: column names, with - before those that descend
    #[arg(long, value_name = "[-]COL,…", value_delimiter = ',', allow_hyphen_values = true)]
    sort: Vec<String>,
    /// Only these columns, in this order
    #[arg(long, value_name = "COL,…", value_delimiter = ',')]
    columns: Vec<String>,
    /// At most so many rows
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<u64>,
    /// Leaves out the first rows
    #[arg(long, value_name = "N", default_value_t = 0)]
    offset: u64,
    /// Of this search or run: s1, a name, or all [default: the newest search]
    #[arg(long, value_name = "SEARCH")]
    pub(super) search: Option<String>,
    /// Exits with 1 if there are no rows
    #[arg(long)]
    require: bool,
    #[command(flatten)]
    pub(super) parameters: ParameterArgs,
}

/// Tables about the whole store: all searches unless told otherwise.
const OF_THE_STORE: &[&str] = &[
    "searches",
    "events",
    "replays",
    "stability",
    "repetitions",
    "finals",
    "transfer",
    "ensembles",
    "published",
    "published_attacks",
    "attacks",
];

/// Runs the verb.
///
/// # Errors
/// What a person is to be told.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let mut answer = answer(context, args.at.at)?;
    let study = args.rows.parameters.q.study(&answer)?;
    let mut rows = args.rows.clone();
    if let Some(study) = &study {
        rows.search = rows.search.or(Some(study.search()?));
    }
    let select = select(&args.name, &rows, &answer)?;
    args.rows.parameters.set(&mut answer, &select)?;
    if let (Some(study), Some(search)) = (&study, &select.search) {
        study.show(context, &mut answer, search)?;
    }
    let mut printer = printer(args.format, &select);
    let more = answer.select(&select, &mut printer)?;
    let mut lines = args.rows.parameters.samples.notes(&answer, &select)?;
    lines.extend(footers(&answer, &select, &args.rows, (printer.count(), more))?);
    let count = printer.finish(&lines).map_err(|error| CliError::output(&error))?;
    if count == 0 && args.rows.require {
        return Err(CliError::new(Exit::No, format!("{} has no such row", args.name)));
    }
    Ok(())
}

/// The question that the options ask.
pub(super) fn select(name: &str, rows: &SelectArgs, answer: &Answer) -> Result<Select, CliError> {
    let trimmed = |names: &[String]| names.iter().map(|name| name.trim().to_owned()).collect();
    // `transfer-attack` is easier to type.
    let name = name.replace('-', "_");
    let name = name.as_str();
    rows.parameters.samples.check(name)?;
    let mut select = Select {
        table: name.to_owned(),
        condition: rows.condition.clone(),
        sort: trimmed(&rows.sort),
        columns: trimmed(&rows.columns),
        search: None,
        attack: None,
        limit: rows.limit,
        offset: rows.offset,
        restriction: None,
    };
    let of_the_store = OF_THE_STORE.contains(&name) && rows.search.is_none();
    if samples::is_of_attacks(name) && rows.search.is_none() {
        select.attack = samples::choose(answer, rows.parameters.samples.attack.as_deref())?;
        rows.parameters.samples.check_victims(answer, select.attack.as_deref())?;
        let meant = rows.parameters.samples.condition(name);
        select.restriction = meant;
    } else if let Some(table) = views::table(name)
        && !of_the_store
    {
        if table.column("search").is_none() {
            let message = format!("--search: {name} is not about searches");
            return Err(CliError::usage(message));
        }
        select.search = choose(answer, rows.search.as_deref())?;
    }
    if let Some(source) = &rows.parameters.q.q {
        if !OF_VALUES.contains(&name) {
            let tables = OF_VALUES.join(", ");
            return Err(CliError::usage(format!("--q: {name} holds no Q-values; {tables} do")));
        }
        let source = match source {
            QSource::Replay(_) => "source LIKE 'replay:%'".to_owned(),
            source => format!("source = '{}'", source.name()),
        };
        select.condition = Some(match select.condition.take() {
            Some(condition) => format!("({condition}\n) and {source}"),
            None => source,
        });
    }
    Ok(select)
}

/// A printer for the rows of a question.
pub(super) fn printer(format: FormatArgs, select: &Select) -> Printer {
    let table = views::table(&select.table);
    let unit = move |name: &str| {
        let column = table.and_then(|table| table.column(name));
        Hint { unit: column.and_then(|column| column.unit), json: false }
    };
    let printer = Printer::new(format, unit);
    match select.columns.is_empty() {
        true => printer.dropping_columns("--columns chooses"),
        false => printer,
    }
}

/// What is said under the rows, of which `shown` were printed, and `more` or not.
pub(super) fn footers(
    answer: &Answer,
    select: &Select,
    asked: &SelectArgs,
    (shown, more): (u64, bool),
) -> Result<Vec<String>, CliError> {
    let mut lines = Vec::new();
    if more {
        lines.push(format!("{shown} rows, and more; --limit and --offset"));
    }
    lines.extend(notes(answer, select)?);
    lines.extend(masking::notes(answer, select, &asked.parameters.samples.shown())?);
    lines.push(footer(answer));
    Ok(lines)
}

/// What has to be known about the rows of a table.
fn notes(answer: &Answer, select: &Select) -> Result<Vec<String>, CliError> {
    let mut notes = Vec::new();
    let table = select.table.as_str();
    let of = match &select.search {
        Some(label) => format!("label = '{label}'"),
        None => "1".to_owned(),
    };
    let texts = |sql: &str| -> Result<Vec<String>, CliError> {
        let rows = collect(answer, sql)?;
        Ok(rows.iter().map(|row| row.iter().map(exact).collect::<Vec<_>>().join(": ")).collect())
    };
    if table == "rolling" {
        for label in texts(&format!("SELECT label FROM import WHERE job IS NOT NULL AND {of}"))? {
            notes.push(format!(
                "{label} is imported: the order of its samples within an epsilon is not chronological"
            ));
        }
    }
    if table == "top" {
        notes.extend(clean_against_robust(answer, &of)?);
    }
    if OF_VALUES.contains(&table) {
        let sql = "SELECT label, coalesce(q_source, 'none') FROM job";
        let sources = texts(&format!("{sql} WHERE kind = 'search' AND {of} ORDER BY id"))?;
        notes.push(format!("Q-values: {}", sources.join(", ")));
        notes.extend(values_outside(answer, select.search.as_deref())?);
    }
    Ok(notes)
}

/// Attacked models that a rank correlation needs.
const ENOUGH: usize = 10;

/// How accuracy and accuracy under attack go together, search by search.
fn clean_against_robust(answer: &Answer, of: &str) -> Result<Vec<String>, CliError> {
    let number = |value: &Value| match value {
        Value::Real(number) => Some(*number),
        _ => None,
    };
    let mut notes = Vec::new();
    for job in collect(answer, &format!("SELECT label FROM job WHERE {of} ORDER BY id"))? {
        let label = exact(&job[0]);
        let sql = format!(
            "SELECT t.accuracy, r.adv, r.n, r.spec, 'a' || r.attack, r.others FROM robust_cell r
             JOIN trial t ON t.id = r.trial JOIN job j ON j.id = t.job
             WHERE j.label = '{label}' AND r.adv IS NOT NULL"
        );
        let rows = collect(answer, &sql)?;
        let Some(first) = rows.first() else { continue };
        let pairs = rows.iter().filter_map(|row| Some((number(&row[0])?, number(&row[1])?)));
        let pairs: Vec<(f64, f64)> = pairs.collect();
        let correlation = match pairs.len() {
            count if count < ENOUGH => format!("n/a ({count} models; {ENOUGH} are needed)"),
            count => match Ranks::of(&pairs).value(Ranks::spearman) {
                Some(value) => format!("{value:.2} ({count} models)"),
                None => format!("n/a (all {count} models are alike)"),
            },
        };
        let mut attacks: Vec<String> = rows.iter().map(|row| exact(&row[4])).collect();
        attacks.sort_unstable();
        attacks.dedup();
        let (images, spec) = (exact(&first[2]), exact(&first[3]));
        let others = match &first[5] {
            Value::Integer(others @ 1..) => {
                format!("; {others} more with other settings or images: --attack shows one")
            }
            _ => String::new(),
        };
        notes.push(format!(
            "{label}: adv_accuracy under {spec} on {images} images ({}{others}); its rank \
             correlation with accuracy: {correlation}",
            attacks.join(", ")
        ));
    }
    Ok(notes)
}

/// The unit of a column of any table.
pub(super) fn unit(name: &str) -> Hint {
    let column = views::tables().iter().find_map(|table| table.column(name));
    let unit = column.and_then(|column| column.unit);
    Hint { unit: unit.filter(|unit| !unit.starts_with("rate of ")), json: false }
}
