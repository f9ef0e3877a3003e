//! `qtrail plots`: which figures there are.

use super::output::{FormatArgs, Hint, Printer};
use super::plot::{ATTACK_PLOTS, PLOTS};
use super::{CliError, Context};
use crate::views::{Rows as _, Value};

/// Lists the figures and the questions they answer.
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
    let text = |text: &str| Value::Text(text.to_owned());
    let mut print = || {
        printer.columns(&["plot", "answers", "table"].map(ToOwned::to_owned))?;
        let of_searches = PLOTS.iter().map(|kind| [kind.name, kind.shows, kind.table]);
        let of_attacks = ATTACK_PLOTS.iter().map(|kind| [kind.name, kind.shows, kind.table]);
        let mut all = of_searches.chain(of_attacks);
        all.try_for_each(|row| printer.row(&row.map(text)))
    };
    print().and_then(|()| printer.finish(&[]).map(drop)).map_err(|error| CliError::output(&error))
}
