//! `qtrail plot stability`: a series, not a search.

use super::super::CliError;
use super::super::reading::{collect, footer};
use super::figures::{real, text, whole};
use crate::plot::Figure;
use crate::plot::stability::{Course, Spread, figure};
use crate::views::Answer;

/// The name of the figure.
pub(crate) const STABILITY: &str = "stability";

/// The figure of the series that a search is one of, if it is one of any.
pub(super) fn of_search(answer: &Answer, search: &str) -> Result<Option<Figure>, CliError> {
    let label = search.replace('\'', "''");
    let sql = format!("SELECT series FROM repetitions WHERE search = '{label}'");
    let number = collect(answer, &sql)?.first().and_then(|row| whole(&row[0]));
    match number {
        Some(number) => of_series(answer, Some(&number.to_string())),
        None => Ok(None),
    }
}

/// The figure of a series by its name or number, else of the newest; `None` if nothing of it can be
/// drawn yet.
pub(super) fn of_series(answer: &Answer, wanted: Option<&str>) -> Result<Option<Figure>, CliError> {
    let all = collect(answer, "SELECT series, name, repeats, seed FROM series ORDER BY series")?;
    let is_meant = |row: &&Vec<_>| match wanted {
        Some(wanted) => {
            let number = whole(&row[0]).map(|number| number.to_string());
            number.as_deref() == Some(wanted) || text(&row[1]) == wanted
        }
        None => true,
    };
    let Some(series) = all.iter().rev().find(is_meant) else {
        let message = match wanted {
            Some(wanted) => format!("--series {wanted}: no series is called that"),
            None => "there is nothing to draw: the store has no series of searches".to_owned(),
        };
        return Err(CliError::usage(message)
            .hint("`qtrail search --repeat N` makes one; `qtrail table repetitions` lists them"));
    };
    let number = whole(&series[0]).unwrap_or(0);
    let sql = format!(
        "SELECT epsilon, mean_accuracy, sd FROM stability
         WHERE series = {number} ORDER BY epsilon DESC"
    );
    let spread = |row: &Vec<_>| {
        Some(Spread { epsilon: real(&row[0])?, mean: real(&row[1])?, sd: real(&row[2]) })
    };
    let spreads: Vec<Spread> = collect(answer, &sql)?.iter().filter_map(spread).collect();
    if spreads.is_empty() {
        return Ok(None);
    }
    let sql = format!(
        "SELECT r.search, r.seed, e.epsilon, avg(e.accuracy)
         FROM repetitions r
         JOIN phases p ON p.search = r.search
         JOIN episodes e ON e.search = p.search AND e.phase = p.phase
         WHERE r.series = {number} AND e.accuracy IS NOT NULL
         GROUP BY r.repetition, e.epsilon ORDER BY r.repetition, e.epsilon DESC"
    );
    let rows = collect(answer, &sql)?;
    let course = |rows: &[Vec<_>]| Course {
        name: text(&rows[0][0]),
        means: rows.iter().filter_map(|row| Some((real(&row[2])?, real(&row[3])?))).collect(),
    };
    let courses: Vec<Course> = rows.chunk_by(|a, b| a[0] == b[0]).map(course).collect();
    let name = match text(&series[1]) {
        name if name.is_empty() => String::new(),
        name => format!(" ({name})"),
    };
    let sql = "SELECT j.data FROM series_member m JOIN job j ON j.id = m.job WHERE m.series = ";
    let data = collect(answer, &format!("{sql}{number} LIMIT 1"))?;
    let data = data.first().map_or(String::new(), |row| text(&row[0]));
    let caption = vec![
        "Bars reach one standard deviation (n - 1, over searches) to each side. Only phases that \
         have ended are shown."
            .to_owned(),
        format!(
            "series {number}{name} on {data}, {} of {} searches, seed {}; {}",
            courses.len(),
            whole(&series[2]).unwrap_or(0),
            text(&series[3]),
            footer(answer)
        ),
    ];
    Ok(Some(figure(&spreads, &courses, caption)))
}
