//! A search or a training run.

use super::{Row, Sheet};
use crate::cli::CliError;
use crate::cli::cells::counted;
use crate::views::{Answer, Value};

/// Shows a search or run by its id, which is known to be one.
pub(super) fn show(sheet: &mut Sheet, answer: &Answer, label: &str) -> Result<(), CliError> {
    let sql = format!(
        "SELECT j.*, s.status, s.best_accuracy, s.models AS done, s.failed, s.lost, s.episodes,
           s.started, s.updated
         FROM job j JOIN searches s ON s.search = j.label WHERE j.label = '{label}'"
    );
    let Some(job) = Row::first(answer, &sql)? else {
        return Err(CliError::usage(format!("nothing is called {label}")));
    };
    let text = |name| job.text(name);
    let title = match job.text("name") {
        name if name.is_empty() => format!("{label}  {} on {}", text("kind"), text("data")),
        name => format!("{label}  {name}  {} on {}", text("kind"), text("data")),
    };
    let mut lines = vec![
        (
            "status",
            format!(
                "{}; {} of {}, {} failed, {}",
                text("status"),
                text("done"),
                counted(text("models"), "model"),
                text("failed"),
                counted(text("lost"), "lost trial")
            ),
        ),
        ("best", format!("validation accuracy {}", text("best_accuracy"))),
    ];
    if let Some(import) =
        Row::first(answer, &format!("SELECT * FROM import WHERE label = '{label}'"))?
    {
        lines.extend(imported(&import));
    } else if job.get("kind") == &Value::Text("search".into()) {
        lines.push(("episodes", text("episodes")));
        lines.push((
            "learning",
            format!(
                "{}, {}, Q-table {}",
                counted(text("experiences"), "experience"),
                counted(text("replays"), "replay update"),
                text("q_digest")
            ),
        ));
    }
    if let Some(fork) = Row::first(answer, &format!("SELECT * FROM fork WHERE label = '{label}'"))?
    {
        let text = |name| fork.text(name);
        lines.push((
            "forked from",
            format!(
                "{} as of event {}: {} experiences of {} architectures",
                text("source"),
                text("position"),
                text("episodes"),
                text("trials")
            ),
        ));
    }
    if let Some(added) = extension(answer, label)? {
        lines.push(("extended by", added));
    }
    if let (Value::Text(purpose), Value::Text(recipe)) = (job.get("purpose"), job.get("recipe"))
        && !recipe.is_empty()
    {
        lines.push(("purpose", format!("{purpose}, recipe {recipe}, fit {}", text("fit"))));
    }
    lines.extend([
        (
            "images",
            format!(
                "{} to train on, {} to validate on, {} classes, {} x {} pixels, {} channels",
                text("train"),
                text("validation"),
                text("classes"),
                text("side"),
                text("side"),
                text("channels")
            ),
        ),
        ("seed", format!("{} ({})", text("seed"), text("chance"))),
        ("flavour", text("flavour")),
        ("began", format!("{} UTC by {}", text("started"), text("program"))),
        ("last event", format!("{} UTC, resumed {} times", text("updated"), text("resumed"))),
        (
            "configuration",
            format!("{} (`qtrail sql \"SELECT config FROM job\"`)", text("config_hash")),
        ),
    ]);
    if job.get("expression") != &Value::Null {
        lines.push(("reward", text("expression")));
    }
    sheet.facts(("job", &job), &title, &lines)?;
    let names = ["epsilon", "mean_accuracy", "samples", "new", "failed", "max_accuracy"];
    let sql = format!(
        "SELECT epsilon, mean_accuracy, samples, new, failed, max_accuracy FROM epsilon
         WHERE search = '{label}' ORDER BY epsilon DESC"
    );
    sheet.table("epsilon", answer, &names, &sql)?;
    let names = ["rank", "accuracy", "arch", "params", "trial"];
    let sql = format!(
        "SELECT rank, accuracy, arch, params, trial FROM top WHERE search = '{label}'
         ORDER BY rank LIMIT 5"
    );
    sheet.table("top", answer, &names, &sql)
}

/// Phases that were added to its schedule.
fn extension(answer: &Answer, label: &str) -> Result<Option<String>, CliError> {
    let sql = format!(
        "SELECT group_concat(epsilon || ':' || models, ',') AS phases FROM
           (SELECT e.epsilon, e.models FROM extension e JOIN job j ON j.id = e.job
            WHERE j.label = '{label}' ORDER BY e.phase)"
    );
    let row = Row::first(answer, &sql)?;
    Ok(row.filter(|row| row.get("phases") != &Value::Null).map(|row| row.text("phases")))
}

/// Where an imported search comes from, and what is to be known of it.
fn imported(import: &Row) -> Vec<(&'static str, String)> {
    let text = |name| import.text(name);
    let mut lines = vec![
        ("imported from", format!("{} ({}), {} rows", text("file"), text("format"), text("rows"))),
        (
            "episodes",
            format!(
                "{}, {} architectures repeated, {} with several accuracies",
                text("episodes"),
                text("repeated"),
                text("conflicts")
            ),
        ),
    ];
    if import.int("quarantined") > Some(0) {
        let conflicts = text("conflicts_with_quarantined");
        lines.push((
            "quarantine",
            format!("{} rows; with them {conflicts} with several accuracies", text("quarantined")),
        ));
    }
    if !text("missing").is_empty() {
        lines.push(("gaps", format!("update numbers {}", text("missing"))));
    }
    lines.push(match import.int("pairs") {
        Some(0) => ("Q-values", "none".to_owned()),
        _ => (
            "Q-values",
            format!(
                "imported from {}: {} pairs, {} of them not in the state space",
                text("q_file"),
                text("pairs"),
                text("foreign_pairs")
            ),
        ),
    });
    lines
}
