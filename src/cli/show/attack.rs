//! An attack: what it is, how it computes, and what is left of each model.

use super::{Row, Sheet};
use crate::adversary::protocol::{NO_OUTPUT, Settings};
use crate::cli::cells::counted;
use crate::cli::reading::collect;
use crate::cli::{CliError, masking};
use crate::views::{Answer, Value};

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
    let mut lines = vec![
        ("status", text("status")),
        ("models", text("models")),
        ("methods", text("methods")),
        (
            "images",
            format!("{} of the test part of {}; samples: {sample}", text("images"), text("data")),
        ),
        ("transformations", format!("{}, the identity included", text("transformations"))),
        (
            "recorded",
            format!(
                "{} crafted, {}",
                counted(text("crafted"), "image"),
                counted(text("scored"), "score")
            ),
        ),
        ("checks", checks),
        ("seed", text("seed")),
        ("computed by", format!("{} on {}", text("library"), text("device"))),
        ("began", format!("{} UTC", text("started"))),
        ("last event", format!("{} UTC", text("updated"))),
    ];
    if let Some(mapping) = mapping(answer, label)? {
        lines.insert(4, ("classes", mapping));
    }
    let title = format!("{label}  protocol {}", text("protocol"));
    sheet.facts(("attack", &attack), &title, &lines)?;
    let names = ["victim", "kind", "outputs", "model"];
    let sql = format!(
        "SELECT v.label, v.kind, v.outputs, v.model FROM victim v JOIN attack a ON a.id = v.attack
         WHERE a.label = '{label}' ORDER BY v.victim"
    );
    sheet.table("models", answer, &names, &sql)?;
    let names = ["victim", "method", "eps", "accuracy", "fraction"];
    let sql = format!(
        "SELECT victim, method, eps, accuracy, fraction FROM robustness
         WHERE attack = '{label}' AND k = 1 ORDER BY victim, spec"
    );
    sheet.table("robustness", answer, &names, &sql)?;
    sheet.rows("input_ranges", &["victim", "input_range"], &input_ranges(answer, label)?)?;
    sheet.notes = masking::of(answer, &format!("a.label = '{label}'"))?;
    let names = ["method", "eps", "settings", "specification"];
    let sql = format!(
        "SELECT s.method, s.eps, s.settings, s.hash FROM specification s JOIN attack a ON a.id = s.attack
         WHERE a.label = '{label}' ORDER BY s.spec"
    );
    sheet.table("specifications", answer, &names, &sql)
}

/// What models in files expect of pixel values.
fn input_ranges(answer: &Answer, label: &str) -> Result<Vec<Vec<Value>>, CliError> {
    let sql = format!(
        "SELECT a.config, v.victim, v.label FROM attack a JOIN victim v ON v.attack = a.id
         WHERE a.label = '{label}' AND v.kind = 'torchscript' ORDER BY v.victim"
    );
    let mut ranges = Vec::new();
    for row in collect(answer, &sql)? {
        let [Value::Text(config), Value::Integer(victim), label] = &row[..] else { continue };
        // Half of a configuration is none: the attack is just beginning.
        let Ok(settings) = Settings::read(config) else { continue };
        let range = settings.input_range(usize::try_from(*victim).unwrap_or(usize::MAX));
        ranges.push(vec![label.clone(), Value::Text(range.to_string())]);
    }
    Ok(ranges)
}

/// Which outputs of the models mean the classes of the images, unless they are numbered alike.
fn mapping(answer: &Answer, label: &str) -> Result<Option<String>, CliError> {
    let sql = format!("SELECT config, classes FROM attack WHERE label = '{label}'");
    let Some(row) = Row::first(answer, &sql)? else { return Ok(None) };
    let settings = Settings::read(&row.text("config")).ok();
    let outputs = settings.map(|settings| settings.outputs).filter(|outputs| !outputs.is_empty());
    let output = |output: &u16| match *output {
        NO_OUTPUT => "none".to_owned(),
        output => output.to_string(),
    };
    Ok(outputs.map(|outputs| {
        let outputs: Vec<String> = outputs.iter().map(output).collect();
        let last = outputs.len().saturating_sub(1);
        format!("0 to {last} are outputs {} of the models", outputs.join(", "))
    }))
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
