//! `qtrail policies`: which replay policies there are.

use super::output::{FormatArgs, Hint, Printer};
use super::{CliError, Context};
use crate::config::replay::Policy;
use crate::views::{Rows as _, Value};

/// Lists the replay policies, with their parameters and where they come from.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    format: FormatArgs,
}

/// Runs the verb.
///
/// # Errors
/// What a person is to be told.
pub fn run(args: &Args, _: &Context) -> Result<(), CliError> {
    let mut printer = Printer::new(args.format, |_| Hint::default());
    let mut print = || {
        printer.columns(&["policy", "draws", "source", "search"].map(ToOwned::to_owned))?;
        for entry in Policy::LIST {
            let text = entry.defaults();
            let live = text.parse::<Policy>().is_ok_and(|policy| policy.live().is_ok());
            let live = if live { "yes" } else { "no" };
            let row = [text.as_str(), entry.what, entry.source, live];
            printer.row(&row.map(|cell| Value::Text(cell.to_owned())))?;
        }
        Ok(())
    };
    let footer = [
        "in brackets the parameters with their defaults; `search` says whether a search can follow it"
            .to_owned(),
    ];
    print()
        .and_then(|()| printer.finish(&footer).map(drop))
        .map_err(|error| CliError::output(&error))
}
