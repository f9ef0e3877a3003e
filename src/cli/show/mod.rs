//! `qtrail show`: one search, trial, episode or attack, as a person would want to read it.

mod attack;
mod job;
mod trial;

use std::io::Write as _;

use super::output::{Format, FormatArgs, Hint, Printer, json_object};
use super::reading::{AtArgs, answer, choose, collect, footer, listed};
use super::terminal::{escaped, say_exactly};
use super::values::ValueArgs;
use super::{CliError, Context, say};
use crate::views::{Answer, Rows as _, Value};

/// Shows a search (s1), a training run (r1), a trial (t17), an episode (e123) or an attack (a1).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to show: s1, r1, t17, e123, a1, or the name of a search or an attack
    id: String,
    /// Which search an episode is of [default: the newest]
    #[arg(long, value_name = "SEARCH")]
    search: Option<String>,
    #[command(flatten)]
    q: ValueArgs,
    #[command(flatten)]
    at: AtArgs,
    /// How it is printed
    #[arg(long, value_enum, default_value_t, help_heading = "Output")]
    format: Layout,
}

/// How a thing with several parts is printed. Rows of one kind are `qtrail table`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Layout {
    /// For people
    #[default]
    Table,
    /// Markdown, for documents
    Md,
    /// One object: facts by their column, and a list of objects for each table
    Json,
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
    let mut sheet = Sheet { layout: args.format, parts: Vec::new(), notes: Vec::new() };
    match (named, number(&args.id, 't'), number(&args.id, 'e')) {
        (Some(job), ..) => job::show(&mut sheet, &answer, &job.label)?,
        (None, Some(trial), _) => trial::show(&mut sheet, &answer, trial, &args.q)?,
        (None, None, Some(episode)) => {
            let search = choose(&answer, args.search.as_deref())?;
            trial::show_episode(&mut sheet, &answer, search.as_deref(), episode, &args.q)?;
        }
        (None, None, None) => match attack::find(&answer, &args.id)? {
            Some(label) => attack::show(&mut sheet, &answer, &label)?,
            None => {
                let message = format!("nothing is called {}", args.id);
                return Err(CliError::usage(message).hint(
                    "a search is s1, a training run r1, a trial t17, an episode e123, an attack a1",
                ));
            }
        },
    }
    if args.format == Layout::Json {
        say_exactly(&format!("{{{}}}", sheet.parts.join(",\n")));
        sheet.notes.iter().for_each(|line| super::note(line));
        super::note(&footer(&answer));
    } else {
        sheet.notes.iter().for_each(|line| say(line));
        say(&footer(&answer));
    }
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
            other => escaped(&super::cells::exact(other)).into_owned(),
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

/// What is shown, part by part.
struct Sheet {
    layout: Layout,
    /// Of a JSON object, printed at the end.
    parts: Vec<String>,
    /// What has to be known about it, printed above the footer.
    notes: Vec<String>,
}

impl Sheet {
    /// A title and facts below it; for programs the row they come from, as `part`.
    fn facts(
        &mut self,
        (part, row): (&str, &Row),
        title: &str,
        facts: &[(&str, String)],
    ) -> Result<(), CliError> {
        let mut out = std::io::stdout().lock();
        let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let mut print = || match self.layout {
            Layout::Table => {
                writeln!(out, "{}", escaped(title))?;
                for (name, fact) in facts {
                    writeln!(out, "  {name:width$}  {}", escaped(fact))?;
                }
                writeln!(out)
            }
            Layout::Md => {
                writeln!(out, "## {}\n", escaped(title))?;
                for (name, fact) in facts {
                    writeln!(out, "* {name}: {}", escaped(fact))?;
                }
                writeln!(out)
            }
            Layout::Json => {
                self.parts.push(format!("\"{part}\":{}", json_object(&row.names, &row.values)));
                Ok(())
            }
        };
        print().map_err(|error| CliError::output(&error))
    }

    /// A small table; for people nothing if it has no rows.
    fn rows(&mut self, part: &str, names: &[&str], rows: &[Vec<Value>]) -> Result<(), CliError> {
        let format = match self.layout {
            Layout::Table => Format::Table,
            Layout::Md => Format::Md,
            Layout::Json => {
                let objects: Vec<String> = rows.iter().map(|row| json_object(names, row)).collect();
                self.parts.push(format!("\"{part}\":[{}]", objects.join(",")));
                return Ok(());
            }
        };
        if rows.is_empty() {
            return Ok(());
        }
        let args = FormatArgs { format, no_header: false };
        let mut printer = Printer::new(args, |_| Hint::default());
        let mut print = || {
            printer.columns(&names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
            rows.iter().try_for_each(|row| printer.row(row))
        };
        print()
            .and_then(|()| printer.finish(&[String::new()]))
            .map_err(|e| CliError::output(&e))?;
        Ok(())
    }

    /// The rows of a statement as a small table.
    fn table(
        &mut self,
        part: &str,
        answer: &Answer,
        names: &[&str],
        sql: &str,
    ) -> Result<(), CliError> {
        self.rows(part, names, &collect(answer, sql)?)
    }
}
