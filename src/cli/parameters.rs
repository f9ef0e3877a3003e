//! Parameters of tables, figures and reports: a window, bins, whether rows in quarantine count, and
//! which Q-values are meant.

use super::CliError;
use super::cells::exact;
use super::reading::collect;
use super::samples::SampleArgs;
use super::values::ValueArgs;
use crate::views::{Answer, Arguments, Select, Value};

/// Tables that sum up episodes or trials: they look at those of the search alone.
const SUMS_UP: &[&str] =
    &["top", "epsilon", "rolling", "histogram", "motifs", "layers", "pareto", "cost"];

/// Parameters of some tables.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Parameters of some tables")]
pub(super) struct ParameterArgs {
    /// Samples that `rolling` averages over [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    window: Option<u32>,
    /// Bins of `histogram` [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    bins: Option<u32>,
    #[command(flatten)]
    rows: QuarantineArgs,
    #[command(flatten)]
    pub(super) q: ValueArgs,
    #[command(flatten)]
    pub(super) samples: SampleArgs,
}

/// Whether rows in quarantine count.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(super) struct QuarantineArgs {
    /// Lets rows of imported logs count that are in quarantine
    #[arg(long)]
    include_quarantined: bool,
}

impl ParameterArgs {
    /// Sets them for all that is asked.
    ///
    /// # Errors
    /// What a person is to be told.
    pub(super) fn set(&self, answer: &mut Answer, select: &Select) -> Result<(), CliError> {
        let default = Arguments::default();
        let sums_up = SUMS_UP.contains(&select.table.as_str());
        let (window, bins) = (self.window, self.bins);
        let attacks = self.samples.arguments(answer, select)?;
        answer.set_arguments(&Arguments {
            window: window.unwrap_or(default.window),
            bins: bins.unwrap_or(default.bins),
            quarantined: self.rows.include_quarantined,
            search: select.search.clone().filter(|_| sums_up),
            attacks,
        })?;
        Ok(())
    }
}

impl QuarantineArgs {
    /// Sets it for all that is asked.
    ///
    /// # Errors
    /// What a person is to be told.
    pub(super) fn set(self, answer: &mut Answer) -> Result<(), CliError> {
        let quarantined = self.include_quarantined;
        answer.set_arguments(&Arguments { quarantined, ..Arguments::default() })?;
        Ok(())
    }

    /// Whether they do.
    pub(super) fn count(self) -> bool {
        self.include_quarantined
    }

    /// The option as it was given, after a space; for the command that does it again.
    pub(super) fn given(self) -> &'static str {
        if self.include_quarantined { " --include-quarantined" } else { "" }
    }
}

/// Q-values that no reward explains: a reward is an accuracy, and a mean of accuracies lies between
/// 0 and 1 as they do. The file of the MetaQNN authors has some.
pub(super) fn values_outside(
    answer: &Answer,
    search: Option<&str>,
) -> Result<Option<String>, CliError> {
    let of = search.map_or("1".to_owned(), |label| {
        format!("job = (SELECT id FROM job WHERE label = '{}')", label.replace('\'', "''"))
    });
    let sql = format!(
        "SELECT count(*), min(value), max(value) FROM pair
         WHERE NOT phantom AND (value < 0 OR value > 1) AND {of}"
    );
    let rows = collect(answer, &sql)?;
    let Some([Value::Integer(count @ 1..), least, greatest]) = rows.first().map(Vec::as_slice)
    else {
        return Ok(None);
    };
    let (least, greatest) = (exact(least), exact(greatest));
    Ok(Some(format!(
        "{count} Q-values, from {least} to {greatest}, lie outside 0 to 1: they were learned from \
         rewards that are no accuracies, and pull up the means they are in"
    )))
}
