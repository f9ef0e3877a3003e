//! Warnings about gradients that are zero or invalid, and about invalid scores, for whoever reads
//! accuracies under attack.

use super::CliError;
use super::reading::collect;
use crate::adversary::gradients::{Judged, Tally, score_warnings, warnings};
use crate::views::{Answer, Select, Value};

/// Tables whose accuracies are under attack.
const TABLES: &[&str] = &["accuracy", "robustness", "destruction", "top"];

/// What has to be said under the rows of a table, which are about the specifications and models
/// (`s` and `v`) for which `shown` holds.
///
/// # Errors
/// [`CliError`] if the read model cannot be asked.
pub(super) fn notes(
    answer: &Answer,
    select: &Select,
    shown: &str,
) -> Result<Vec<String>, CliError> {
    if !TABLES.contains(&select.table.as_str()) {
        return Ok(Vec::new());
    }
    let quoted = |label: &String| format!("'{}'", label.replace('\'', "''"));
    if select.table != "top" {
        return match &select.attack {
            Some(label) => of(answer, &format!("a.label = {} AND {shown}", quoted(label))),
            None => of(answer, shown),
        };
    }
    let search = select.search.as_ref().map_or("1".to_owned(), |label| {
        format!(
            "v.trial IN (SELECT t.id FROM trial t JOIN job j ON j.id = t.job WHERE j.label = {})",
            quoted(label)
        )
    });
    of(
        answer,
        &format!(
            "{search} AND v.trial IN (SELECT trial FROM robust_cell WHERE adv IS NOT NULL)
             AND EXISTS (SELECT 1 FROM args x WHERE s.method = x.spec_method AND s.eps = x.spec_eps)"
        ),
    )
}

/// What has to be said about the attacks, models and specifications (`a`, `v` and `s`) for which a
/// condition holds.
///
/// # Errors
/// [`CliError`] if the read model cannot be asked.
pub(super) fn of(answer: &Answer, condition: &str) -> Result<Vec<String>, CliError> {
    let sql = format!(
        "SELECT a.label, v.label, s.method, sum(c.images), sum(c.zero_images), sum(c.invalid_images)
         FROM crafted c
         JOIN attack a ON a.id = c.attack
         JOIN victim v ON v.attack = c.attack AND v.victim = c.victim
         JOIN specification s ON s.attack = c.attack AND s.spec = c.spec
         WHERE {condition}
         GROUP BY c.attack, c.victim, s.method
         ORDER BY c.attack, c.victim, min(c.spec)"
    );
    let mut attacks: Vec<(String, Vec<Judged>)> = Vec::new();
    for row in collect(answer, &sql)? {
        let [Value::Text(attack), Value::Text(model), Value::Text(method), counts @ ..] = &row[..]
        else {
            continue;
        };
        let count = |at: usize| match counts.get(at) {
            Some(Value::Integer(count)) => count.unsigned_abs(),
            _ => 0,
        };
        let tally = Tally { images: count(0), zero: count(1), invalid: count(2) };
        let judged = Judged { model: model.clone(), method: method.clone(), tally };
        match attacks.last_mut().filter(|(last, _)| last == attack) {
            Some((_, all)) => all.push(judged),
            None => attacks.push((attack.clone(), vec![judged])),
        }
    }
    let mut lines: Vec<String> =
        attacks.iter().flat_map(|(attack, judged)| warnings(attack, judged)).collect();
    lines.extend(invalid_scores(answer, condition)?);
    Ok(lines)
}

/// What has to be said about scores that are NaN or infinite.
fn invalid_scores(answer: &Answer, condition: &str) -> Result<Vec<String>, CliError> {
    // Clean images are under no specification; of noise and attacks, those that are meant.
    let sql = format!(
        "SELECT a.label, v.label, sum(c.not_finite)
         FROM scored c
         JOIN attack a ON a.id = c.attack
         JOIN victim v ON v.attack = c.attack AND v.victim = c.judge
         JOIN (SELECT attack, spec, method, eps FROM specification
           UNION ALL SELECT id, -1, NULL, NULL FROM attack) s
           ON s.attack = c.attack AND s.spec = c.spec
         WHERE c.not_finite > 0 AND ({condition})
         GROUP BY c.attack, c.judge ORDER BY c.attack, c.judge"
    );
    let mut lines = Vec::new();
    for row in collect(answer, &sql)? {
        if let [Value::Text(attack), Value::Text(model), Value::Integer(count)] = &row[..] {
            lines.extend(score_warnings(attack, &[(model.clone(), count.unsigned_abs())]));
        }
    }
    Ok(lines)
}
