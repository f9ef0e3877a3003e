//! `qtrail show`: one search, trial or episode, as a person would want to read it.

mod job;
mod trial;

use std::io::Write as _;

use super::output::{Format, FormatArgs, Hint, Printer};
use super::reading::{AtArgs, answer, choose, collect, footer, listed};
use super::values::ValueArgs;
use super::{CliError, Context, say};
use crate::views::{Answer, Rows as _, Value};

/// Shows a search (s1), a training run (r1), a trial (t17) or an episode (e123).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to show: s1, r1, t17, e123, or the name of a search
    id: String,
    /// Which search an episode is of [default: the newest]
    #[arg(long, value_name = "SEARCH")]
    search: Option<String>,
    #[command(flatten)]
    q: ValueArgs,
    #[command(flatten)]
    at: AtArgs,
}

/// Runs the verb.
///
/// # Errors
/// What a person is to be told.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let mut answer = answer(context, args.at.at)?;
    // Those of a study take the place of those of its search, whichever is shown.
    if let Some(study) = args.q.study(&answer)? {
        study.show(context, &mut answer, &study.search()?)?;
    }
    let named = listed(&answer)?
        .into_iter()
        .rev()
        .find(|job| job.label == args.id || (!job.name.is_empty() && job.name == args.id));
    match (named, number(&args.id, 't'), number(&args.id, 'e')) {
        (Some(job), ..) => job::show(&answer, &job.label)?,
        (None, Some(trial), _) => trial::show(&answer, trial, &args.q)?,
        (None, None, Some(episode)) => {
            let search = choose(&answer, args.search.as_deref())?;
            trial::show_episode(&answer, search.as_deref(), episode, &args.q)?;
        }
        (None, None, None) => {
            let message = format!("nothing is called {}", args.id);
            return Err(CliError::usage(message)
                .hint("a search is s1, a training run r1, a trial t17, an episode e123"));
        }
    }
    say(&footer(&answer));
    Ok(())
}

fn number(id: &str, letter: char) -> Option<u32> {
    id.strip_prefix(letter)?.parse().ok()
}

/// One row of a statement, by column name.
pub(in crate::cli) struct Row {
    names: Vec<String>,
    values: Vec<Value>,
}

impl Row {
    /// The first row, if there is one.
    pub(in crate::cli) fn first(answer: &Answer, sql: &str) -> Result<Option<Self>, CliError> {
        let mut kept = Named(Vec::new(), Vec::new());
        answer.sql(sql, Some(1), &mut kept)?;
        let Named(names, mut rows) = kept;
        Ok(rows.pop().map(|values| Self { names, values }))
    }

    pub(in crate::cli) fn get(&self, name: &str) -> &Value {
        let index = self.names.iter().position(|known| known == name);
        index.and_then(|index| self.values.get(index)).unwrap_or(&Value::Null)
    }

    /// A value as text; unknown is `-`.
    pub(in crate::cli) fn text(&self, name: &str) -> String {
        match self.get(name) {
            Value::Null => "-".to_owned(),
            other => super::cells::exact(other),
        }
    }

    pub(in crate::cli) fn int(&self, name: &str) -> Option<i64> {
        match self.get(name) {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }
}

struct Named(Vec<String>, Vec<Vec<Value>>);

impl crate::views::Rows for Named {
    fn columns(&mut self, names: &[String]) -> std::io::Result<()> {
        self.0 = names.to_vec();
        Ok(())
    }

    fn row(&mut self, values: &[Value]) -> std::io::Result<()> {
        self.1.push(values.to_vec());
        Ok(())
    }
}

/// Prints a title and facts below it.
fn facts(title: &str, facts: &[(&str, String)]) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut print = || {
        writeln!(out, "{title}")?;
        for (name, fact) in facts {
            writeln!(out, "  {name:width$}  {fact}")?;
        }
        writeln!(out)
    };
    print().map_err(|error| CliError::output(&error))
}

/// Prints a small table; nothing if it has no rows.
fn rows(names: &[&str], rows: &[Vec<Value>]) -> Result<(), CliError> {
    if rows.is_empty() {
        return Ok(());
    }
    let args = FormatArgs { format: Format::Table, no_header: false };
    let mut printer = Printer::new(args, |_| Hint::default());
    let mut print = || {
        printer.columns(&names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        rows.iter().try_for_each(|row| printer.row(row))
    };
    print().and_then(|()| printer.finish(&[String::new()])).map_err(|e| CliError::output(&e))?;
    Ok(())
}

/// Prints the rows of a statement as a small table.
fn table(answer: &Answer, names: &[&str], sql: &str) -> Result<(), CliError> {
    rows(names, &collect(answer, sql)?)
}
