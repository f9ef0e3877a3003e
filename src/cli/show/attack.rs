//! An attack: what it is, how it computes, and what is left of each model.

use super::{Row, Sheet};
use crate::cli::CliError;
use crate::views::Answer;

/// The label of the attack called `id`: its label, or its name.
pub(super) fn find(answer: &Answer, id: &str) -> Result<Option<String>, CliError> {
    let id = id.replace('\'', "''");
    let sql = format!(
        "SELECT label FROM attack WHERE label = '{id}' OR ('{id}' <> '' AND name = '{id}')
         ORDER BY label = '{id}' DESC, id DESC"
    );
    Ok(Row::first(answer, &sql)?.map(|row| row.text("label")))
}

/// Shows an attack by its label.
pub(super) fn show(sheet: &mut Sheet, answer: &Answer, label: &str) -> Result<(), CliError> {
    let sql = format!("SELECT * FROM attacks WHERE attack = '{label}'");
    let Some(attack) = Row::first(answer, &sql)? else {
        return Err(CliError::usage(format!("there is no attack {label}"))
            .hint("`qtrail table attacks` lists them"));
    };
    let text = |name| attack.text(name);
    let sample = match attack.int("draw") {
        Some(draw) if draw > 0 => format!("{draw} drawn anew for each method and eps"),
        _ => "the whole pool".to_owned(),
    };
    let checks = checks(answer, label)?;
    let lines = [
        ("status", text("status")),
        ("models", text("models")),
        ("methods", text("methods")),
        (
            "images",
            format!("{} of the test part of {}; samples: {sample}", text("images"), text("data")),
        ),
        ("transformations", format!("{}, the identity included", text("transformations"))),
        ("recorded", format!("{} images crafted, {} scores", text("crafted"), text("scored"))),
        ("checks", checks),
        ("seed", text("seed")),
        ("computed by", format!("{} on {}", text("library"), text("device"))),
        ("began", format!("{} UTC", text("started"))),
        ("last event", format!("{} UTC", text("updated"))),
    ];
    let title = format!("{label}  protocol {}", text("protocol"));
    sheet.facts(("attack", &attack), &title, &lines)?;
    let names = ["victim", "method", "eps", "accuracy", "fraction"];
    let sql = format!(
        "SELECT victim, method, eps, accuracy, fraction FROM robustness
         WHERE attack = '{label}' AND k = 1 ORDER BY victim, spec"
    );
    sheet.table("robustness", answer, &names, &sql)?;
    let names = ["method", "eps", "settings", "specification"];
    let sql = format!(
        "SELECT s.method, s.eps, s.settings, s.hash FROM specification s JOIN attack a ON a.id = s.attack
         WHERE a.label = '{label}' ORDER BY s.spec"
    );
    sheet.table("specifications", answer, &names, &sql)
}

/// How many signs of hidden gradients there are, and where they are listed.
fn checks(answer: &Answer, label: &str) -> Result<String, CliError> {
    let sql = format!(
        "SELECT count(*) AS all_of_them, count(CASE verdict WHEN 'suspicious' THEN 1 END) AS suspicious,
           count(CASE verdict WHEN 'not known' THEN 1 END) AS unknown
         FROM checks WHERE attack = '{label}' AND k = 1"
    );
    let found = Row::first(answer, &sql)?;
    let count = |name| found.as_ref().and_then(|row| row.int(name)).unwrap_or(0);
    Ok(format!(
        "{} of {} signs that the attack was weak are suspicious, {} not known: `qtrail table checks \
         --attack {label}`",
        count("suspicious"),
        count("all_of_them"),
        count("unknown")
    ))
}
