//! What the verbs that read share: the store, a point in its history, the choice of a search, and
//! the footer.

use super::{CliError, Context, Exit, note};
use crate::engine::journal::Observer;
use crate::events::Recorded;
use crate::events::frame::{Head, Position};
use crate::log::{Kind, Options, Store};
use crate::views::{
    Answer, Appender, At, Behind, Mistake, Rows, Value, ViewError, open, open_from_log, parse_time,
};

/// The option `--at`.
#[derive(Debug, Clone, clap::Args)]
pub struct AtArgs {
    /// Answers as it was after this event, or at this time (UTC), as in 1500 or 2026-11-20T12:00
    #[arg(long, value_name = "N|TIME", value_parser = parse_at)]
    pub at: Option<At>,
}

/// Reads an event position or a time.
fn parse_at(text: &str) -> Result<At, String> {
    if let Ok(position) = text.parse() {
        return Ok(At::Position(Position(position)));
    }
    let wrong = || "neither the number of an event nor a time such as 2026-11-20T12:00".to_owned();
    parse_time(text).map(At::Time).ok_or_else(wrong)
}

/// Opens the store and its read model.
///
/// # Errors
/// What a person is to be told.
pub fn answer(context: &Context, at: Option<At>) -> Result<Answer, CliError> {
    opened(context, |store, options| open(store, options, at))
}

/// An answer, with what has to be said about it. What one copy of the events lacks is restored from
/// the other first.
fn opened(
    context: &Context,
    open: impl Fn(&Store, &Options) -> Result<Answer, ViewError>,
) -> Result<Answer, CliError> {
    let store = Store::open(&context.store)?;
    let options = context.options();
    let answer = match open(&store, &options) {
        Err(ViewError::Log(error)) if error.kind() == Kind::Damaged => {
            match super::repairs::heal(context, &store) {
                true => open(&store, &options)?,
                false => return Err(error.into()),
            }
        }
        other => other?,
    };
    answer.notes.iter().for_each(|line| note(line));
    answer.when_stuck(|limit| {
        let error = CliError::from(ViewError::TooLong { seconds: limit.as_secs_f64() });
        super::end(&error);
    });
    Ok(answer)
}

/// Opens the store and folds its log for one answer. For whatever is recorded, trained or handed to
/// others: the read model is a cache, and a cache decides nothing.
///
/// # Errors
/// As [`answer`].
pub fn answer_from_log(context: &Context, at: Option<At>) -> Result<Answer, CliError> {
    opened(context, |store, options| open_from_log(store, options, at))
}

/// `as of event N`, and why not later.
#[must_use]
pub fn footer(answer: &Answer) -> String {
    let as_of = answer.as_of.position;
    match &answer.behind {
        None => format!("as of event {as_of}"),
        Some(Behind { log, because }) => {
            format!("as of event {as_of}; the log is at {log}: {because}")
        }
    }
}

/// A search or run of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// `s1` or `r1`.
    pub label: String,
    /// Its name; may be empty.
    pub name: String,
    /// Whether it is a search.
    pub is_search: bool,
    /// Whether it has a result, or is at work.
    pub shows: bool,
}

/// All searches and runs, in the order in which they began.
///
/// # Errors
/// What a person is to be told.
pub fn listed(answer: &Answer) -> Result<Vec<Listed>, CliError> {
    // What has begun and has nothing to show is not asked about, unless it is at work.
    let sql = "SELECT label, name, kind = 'search', EXISTS (SELECT 1 FROM trial \
               WHERE job = j.id AND status IN ('trained', 'failed', 'running')) \
               FROM job AS j ORDER BY id";
    let rows = collect(answer, sql)?;
    let text = |value: &Value| match value {
        Value::Text(text) => text.clone(),
        _ => String::new(),
    };
    let listed = |row: &Vec<Value>| Listed {
        label: text(&row[0]),
        name: text(&row[1]),
        is_search: row[2] == Value::Integer(1),
        shows: row[3] == Value::Integer(1),
    };
    Ok(rows.iter().map(listed).collect())
}

/// The search that `--search` means: `None` for all. Unless told otherwise the newest that has a
/// result or is at work, which is said if there are several.
///
/// # Errors
/// Exit code 2 if there is none of that name.
pub fn choose(answer: &Answer, wanted: Option<&str>) -> Result<Option<String>, CliError> {
    let listed = listed(answer)?;
    match wanted {
        Some("all") => Ok(None),
        Some(wanted) => {
            let same = |job: &&Listed| job.label == wanted || job.name == wanted;
            match listed.iter().rev().find(same) {
                Some(job) => Ok(Some(job.label.clone())),
                None => Err(none_of_that_name(wanted, &listed)),
            }
        }
        None => {
            let searches: Vec<&Listed> = listed.iter().filter(|job| job.is_search).collect();
            let shown = searches.iter().copied().rfind(|job| job.shows);
            let newest = shown.or(searches.last().copied()).or(listed.last());
            if let Some(newest) = newest
                && listed.len() > 1
            {
                let all = listed.len();
                let label = &newest.label;
                note(&format!(
                    "{label} of {all} searches and runs; --search ID|NAME|all for others"
                ));
            }
            Ok(newest.map(|job| job.label.clone()))
        }
    }
}

fn none_of_that_name(wanted: &str, listed: &[Listed]) -> CliError {
    let names = listed.iter().map(|job| match job.name.as_str() {
        "" => job.label.clone(),
        name => format!("{} ({name})", job.label),
    });
    let names: Vec<String> = names.collect();
    let hint = match names.is_empty() {
        true => "the store is empty; `qtrail search` begins one".to_owned(),
        false => format!("the store has {}; --search all shows all", names.join(", ")),
    };
    CliError::usage(format!("no search or run is called {wanted}")).hint(hint)
}

/// The rows of a statement.
///
/// # Errors
/// What a person is to be told.
pub fn collect(answer: &Answer, sql: &str) -> Result<Vec<Vec<Value>>, CliError> {
    let mut kept = Kept::default();
    answer.sql(sql, None, &mut kept)?;
    Ok(kept.rows)
}

/// Rows, kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Kept {
    /// Names of their columns.
    pub names: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Value>>,
}

impl Rows for Kept {
    fn columns(&mut self, names: &[String]) -> std::io::Result<()> {
        self.names = names.to_vec();
        Ok(())
    }

    fn row(&mut self, values: &[Value]) -> std::io::Result<()> {
        self.rows.push(values.to_vec());
        Ok(())
    }
}

/// Keeps the read model current behind a session.
impl Observer for Appender {
    fn recorded(&mut self, events: &[Recorded], head: Head) {
        self.recorded(events, head);
    }
}

impl From<ViewError> for CliError {
    fn from(error: ViewError) -> Self {
        match error {
            ViewError::Log(error) => error.into(),
            ViewError::Event { .. } | ViewError::Impossible { .. } | ViewError::Digest { .. } => {
                Self::new(Exit::Damaged, error).hint("`qtrail log verify` says more")
            }
            ViewError::Unusable { .. } => {
                Self::new(Exit::Damaged, error).hint("ask again: it is built anew from the log")
            }
            ViewError::Busy { .. } => {
                Self::new(Exit::Busy, error).hint("wait for it, or give --wait a longer time")
            }
            ViewError::Mistake(mistake) => mistaken(*mistake),
            ViewError::TooLong { .. } => {
                Self::usage(error).hint("ask for less; `qtrail sql --time-limit` allows more")
            }
            ViewError::Output(error) => Self::output(&error),
            ViewError::Io { .. } | ViewError::Sqlite(_) => of_the_file(error),
        }
    }
}

fn of_the_file(error: ViewError) -> CliError {
    if error.is_full() {
        return CliError::new(Exit::System, error).hint("make room; the log is not affected");
    }
    if error.is_refused() {
        return CliError::new(Exit::System, error)
            .hint("see that the store can be read and written; the log is not affected");
    }
    if error.is_busy() {
        return CliError::new(Exit::Busy, error).hint("wait for it, or give --wait a longer time");
    }
    if error.is_of_storage() {
        return CliError::new(Exit::System, error)
            .hint("see that the store and the temporary folder can be read and written");
    }
    CliError::usage(error)
}

/// A mistake in a query, with a mark under the place.
fn mistaken(mistake: Mistake) -> CliError {
    let mut message = mistake.message;
    if let Some((start, end)) = mistake.at {
        let before = mistake.text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = mistake.text[line_start..].lines().next().unwrap_or_default();
        let indent = before[line_start..].chars().count();
        let marked = mistake.text.get(start..end).unwrap_or_default().chars().count().max(1);
        message += &format!("\n  {line}\n  {}{}", " ".repeat(indent), "^".repeat(marked));
    }
    let error = CliError::usage(message);
    match mistake.hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}
