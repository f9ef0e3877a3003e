//! `qtrail export`: hands over to the tools of others.

use std::fmt::Write as _;

use super::destination::Destination;
use super::exports::{self, AdversarialArgs, WeightsArgs};
use super::plot::one_search;
use super::reading::{AtArgs, answer_from_log, collect, footer};
use super::values::ValueArgs;
use super::{CliError, Context, note};
use crate::views::Value;

/// Hands over to the tools of others.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// The Q-table of a search, as CSV
    Qtable(QtableArgs),
    /// Adversarial images with the clean ones: safetensors, NPZ, or a folder of PNG
    Adversarial(AdversarialArgs),
    /// The weights of a trial: safetensors or NPZ
    Weights(WeightsArgs),
}

#[derive(Debug, clap::Args)]
struct QtableArgs {
    /// Whose columns
    #[arg(long, value_enum, default_value_t)]
    layout: Layout,
    /// 17, as the authors' program writes them, or 21, as their published file has them: also the
    /// two fields of a feature that was given up, always 0
    #[arg(long, default_value_t = 17, value_parser = columns)]
    columns: u8,
    /// File to write; - for stdout [default: -]
    #[arg(short, long, value_name = "FILE")]
    output: Option<Destination>,
    /// Of this search: s1, or its name [default: the newest]
    #[arg(long, value_name = "SEARCH")]
    search: Option<String>,
    #[command(flatten)]
    q: ValueArgs,
    #[command(flatten)]
    at: AtArgs,
}

/// Whose columns a Q-table has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Layout {
    /// q_values.csv of the MetaQNN authors' program
    #[default]
    Metaqnn,
}

/// Fields of a state in the authors' order, which is alphabetical.
const FIELDS: [&str; 10] = [
    "fc_size",
    "filter_depth",
    "filter_size",
    "image_size",
    "layer_depth",
    "layer_type",
    "split_depth",
    "split_width",
    "stride",
    "terminate",
];

fn columns(text: &str) -> Result<u8, String> {
    match text {
        "17" => Ok(17),
        "21" => Ok(21),
        _ => Err("17 or 21".to_owned()),
    }
}

/// Runs the verb.
///
/// # Errors
/// What a person is to be told.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    match &args.what {
        What::Qtable(args) => qtable(args, context),
        What::Adversarial(args) => exports::adversarial(args, context),
        What::Weights(args) => exports::weights(args, context),
    }
}

fn qtable(args: &QtableArgs, context: &Context) -> Result<(), CliError> {
    let Layout::Metaqnn = args.layout;
    let mut answer = answer_from_log(context, args.at.at)?;
    let search = args.search.clone().or(args.q.search(&answer)?);
    let search = one_search(&answer, search.as_deref(), "a Q-table")?;
    args.q.show(context, &mut answer, &search)?;
    let rows = collect(&answer, &statement(&search, args.columns))?;
    if rows.is_empty() {
        let message = format!("there is nothing to export: {search} has no Q-table");
        return Err(CliError::usage(message).hint(footer(&answer)));
    }
    let text = csv(&header(args.columns), &rows);
    let count = rows.len();
    let told = format!("{count} pairs of state and action of {search}; {}", footer(&answer));
    args.output.as_ref().unwrap_or(&Destination::Stdout).write(text.as_bytes())?;
    note(&told);
    Ok(())
}

fn fields(columns: u8) -> impl Iterator<Item = &'static str> {
    FIELDS.into_iter().filter(move |field| columns == 21 || !field.starts_with("split_"))
}

pub(super) fn header(columns: u8) -> Vec<String> {
    let prefixed = |prefix: &'static str| fields(columns).map(move |f| format!("{prefix}{f}"));
    let utility = std::iter::once("utility".to_owned());
    prefixed("end_").chain(prefixed("start_")).chain(utility).collect()
}

/// Pairs in the order of the state space. An action is the state that it leads to; no state with
/// actions is terminal.
fn statement(search: &str, columns: u8) -> String {
    let end = fields(columns).map(|field| match field {
        "split_depth" | "split_width" => "0".to_owned(),
        field => format!("next_{field}"),
    });
    let start = fields(columns).map(|field| match field {
        "split_depth" | "split_width" | "terminate" => "0".to_owned(),
        field => field.to_owned(),
    });
    let columns: Vec<String> = end.chain(start).collect();
    format!(
        "SELECT {}, value FROM pair JOIN job ON job.id = pair.job
         WHERE job.label = '{}' ORDER BY pair",
        columns.join(", "),
        search.replace('\'', "''")
    )
}

/// No field holds a comma, a quote or a line end.
pub(super) fn csv(header: &[String], rows: &[Vec<Value>]) -> String {
    let mut text = header.join(",") + "\n";
    for row in rows {
        for (index, value) in row.iter().enumerate() {
            let before = if index == 0 { "" } else { "," };
            let _ = write!(text, "{before}{}", super::cells::exact(value));
        }
        text.push('\n');
    }
    text
}
