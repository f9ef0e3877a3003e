//! Reading the history of a search from the log.

use super::super::log::{fold_until, log};
use super::super::reading::{Listed, listed};
use super::super::{CliError, Context, Exit, note};
use crate::events::Scope;
use crate::events::frame::Position;
use crate::lab::history::{History, HistoryError, HistoryFold};
use crate::views::Answer;

/// The search that is meant: the newest unless told otherwise, which is said if there are several.
pub(crate) fn search(answer: &Answer, wanted: Option<&str>) -> Result<String, CliError> {
    let listed = listed(answer)?;
    let searches: Vec<&Listed> = listed.iter().filter(|job| job.is_search).collect();
    if let Some(wanted) = wanted {
        let same = |job: &&&Listed| job.label == wanted || job.name == wanted;
        let found = searches.iter().rev().find(same);
        return found.map(|job| job.label.clone()).ok_or_else(|| {
            CliError::usage(format!("no search is called {wanted}"))
                .hint("`qtrail table searches` lists them")
        });
    }
    let Some(newest) = searches.last() else {
        return Err(CliError::usage("the store has no search")
            .hint("`qtrail search` begins one, `qtrail import metaqnn` takes one over"));
    };
    if searches.len() > 1 {
        note(&format!("{} of {} searches", newest.label, searches.len()));
    }
    Ok(newest.label.clone())
}

/// The history of a search up to an event.
pub(crate) fn read(
    context: &Context,
    label: &str,
    end: Position,
    quarantined: bool,
) -> Result<History, CliError> {
    let wrong = |error: HistoryError| {
        let exit = match error {
            HistoryError::Config(_) | HistoryError::Impossible { .. } => Exit::Damaged,
            _ => Exit::Usage,
        };
        CliError::new(exit, format!("{label}: {error}"))
    };
    let scope: Option<Scope> = label.parse().ok();
    let mut fold = HistoryFold::new(quarantined);
    let mut log = log(context)?;
    fold_until(&mut log, end, &mut fold, |recorded| Some(recorded.scope) == scope, wrong)?;
    fold.finish().map_err(wrong)
}
