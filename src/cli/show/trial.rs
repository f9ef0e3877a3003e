//! A trial, layer by layer, and an episode.

use super::{Row, facts, rows, table};
use crate::agent::space::Space;
use crate::arch::shape::Map;
use crate::arch::{Architecture, PoolRule, Shapes};
use crate::cli::CliError;
use crate::cli::reading::collect;
use crate::cli::values::{QSource, ValueArgs};
use crate::config::SearchConfig;
use crate::views::{Answer, Value};

/// Shows a trial by its number.
pub(super) fn show(answer: &Answer, number: u32, q: &ValueArgs) -> Result<(), CliError> {
    // Base tables: a view has no index for the text t17.
    let sql = format!(
        "SELECT t.*, a.text AS arch, j.label AS search, j.q_source, j.purpose, j.recipe, j.fit, j.data,
           't' || t.source AS model_of, m.weights AS begins, m.taken, m.freeze,
           strftime('%Y-%m-%d %H:%M:%S', t.planned_at / 1000, 'unixepoch') AS planned,
           strftime('%Y-%m-%d %H:%M:%S', t.ended_at / 1000, 'unixepoch') AS ended,
           (SELECT count(*) FROM trial o WHERE o.job = t.job AND o.status = 'trained') AS ranked,
           CASE WHEN t.status = 'trained' THEN
             (SELECT 1 + count(*) FROM trial o WHERE o.job = t.job AND o.status = 'trained'
              AND (-o.accuracy, o.params, o.id) < (-t.accuracy, t.params, t.id)) END AS rank
         FROM trial t JOIN architecture a ON a.id = t.architecture JOIN job j ON j.id = t.job
         LEFT JOIN run_model m ON m.job = t.job AND m.model =
           (t.ordinal - 1) % (SELECT max(count(*), 1) FROM run_model WHERE job = t.job)
         WHERE t.id = {number}"
    );
    let Some(trial) = Row::first(answer, &sql)? else {
        return Err(CliError::usage(format!("there is no trial t{number}"))
            .hint("`qtrail table trials --search all` lists them"));
    };
    let text = |name| trial.text(name);
    let origin = match trial.int("episode") {
        Some(episode) => {
            format!("{}, episode {episode}, epsilon {}", text("search"), text("epsilon"))
        }
        None => format!("{}, repetition {}", text("search"), text("repeat")),
    };
    let mut lines = vec![("from", origin)];
    lines.extend(run(&trial));
    lines.push(("status", status(&trial)));
    if let Some(test) = test(answer, number)? {
        lines.push(("test", test));
    }
    if let Some(rank) = trial.int("rank") {
        lines.push(("rank", format!("{rank} of {} in {}", text("ranked"), text("search"))));
    }
    let size = format!("{} parameters, {} multiply-adds an image", text("params"), text("madds"));
    lines.push(("size", size));
    match imported(answer, number)? {
        Some(row) => lines.push(("imported", row)),
        None => match trial.int("inherited") {
            Some(source) => {
                lines.push(("inherited", format!("not trained here: `qtrail show t{source}` is")));
            }
            None => lines.extend(training(&trial)),
        },
    }
    if let Value::Text(weights) = trial.get("weights") {
        let kept = if trial.int("kept") == Some(1) { "kept" } else { "not kept" };
        lines.push(("weights", format!("{weights} ({kept})")));
    }
    let q = q.q.as_ref();
    let source = match (trial.get("q_source"), q) {
        (Value::Text(source), None) => Some(source.as_str()),
        (Value::Text(source), Some(wanted)) => {
            // Of a study its name follows.
            Some(source.as_str()).filter(|source| source.split(':').next() == Some(wanted.name()))
        }
        _ => None,
    };
    let kind = q.map_or("recorded or imported", QSource::name);
    let none = format!("none {kind} in {}", text("search"));
    lines.push(("Q-values", source.map_or(none, ToOwned::to_owned)));
    facts(&format!("t{number}  {}", text("arch")), &lines)?;
    layers(answer, trial.int("job").unwrap_or(0), &text("arch"), source.is_some())?;
    let names = [
        "epoch",
        "validation_accuracy",
        "train_accuracy",
        "train_loss",
        "learning_rate",
        "seconds",
    ];
    let sql = format!(
        "SELECT e.epoch, e.validation_correct * 1.0 / nullif(e.validation_total, 0),
           e.train_correct * 1.0 / nullif(e.train_total, 0), e.train_loss, e.learning_rate,
           e.seconds
         FROM epoch e JOIN attempt a ON a.trial = e.trial AND a.attempt = e.attempt
         WHERE e.trial = {number} AND (a.outcome <> 'lost'
           OR (e.restart, e.epoch) <= (a.carried_restart, a.carried_epoch))
         ORDER BY e.restart, e.epoch"
    );
    table(answer, &names, &sql)?;
    let names = ["attempt", "outcome", "device", "trainer", "host", "reason"];
    let sql =
        format!("SELECT {} FROM attempt WHERE trial = {number} ORDER BY attempt", names.join(", "));
    table(answer, &names, &sql)
}

/// What a trial of `final` or `transfer` is.
fn run(trial: &Row) -> Vec<(&'static str, String)> {
    let text = |name| trial.text(name);
    let purpose = text("purpose");
    if !["final", "transfer"].contains(&purpose.as_str()) {
        return Vec::new();
    }
    let on = format!("on {} ({})", text("data"), text("fit"));
    let what = format!("{purpose} of {}, recipe {}, {on}", text("model_of"), text("recipe"));
    let begins = match trial.get("begins") {
        Value::Text(weights) => format!(
            "weights {weights} in layers {}, the first {} frozen",
            text("taken"),
            text("freeze")
        ),
        _ => "from scratch".to_owned(),
    };
    vec![("purpose", what), ("begins", begins)]
}

/// How good a trial is on test images.
fn test(answer: &Answer, number: u32) -> Result<Option<String>, CliError> {
    let sql = format!(
        "SELECT correct, images, correct * 1.0 / nullif(images, 0) AS accuracy FROM prediction
         WHERE trial = {number} AND part = 'test'"
    );
    Ok(Row::first(answer, &sql)?.map(|row| {
        let text = |name| row.text(name);
        format!("accuracy {} ({} of {} images)", text("accuracy"), text("correct"), text("images"))
    }))
}

fn training(trial: &Row) -> [(&'static str, String); 2] {
    let text = |name| trial.text(name);
    let mut training = format!(
        "{} epochs, {} restarts, {} s, {} attempts",
        text("epochs"),
        text("restarts"),
        text("seconds"),
        text("attempts")
    );
    if let Some(bytes) = trial.int("peak_memory") {
        training += &format!(", {:.1} MB of memory at most", bytes as f64 / 1e6);
    }
    let planned = format!("{} UTC, ended {}", text("planned"), text("ended"));
    [("training", training), ("planned", planned)]
}

/// What the row of the foreign log says of an imported trial.
fn imported(answer: &Answer, number: u32) -> Result<Option<String>, CliError> {
    let sql = format!(
        "SELECT i.*, m.file, strftime('%Y-%m-%d %H:%M:%S', i.time_finished, 'unixepoch') AS time
         FROM trial t JOIN imported i ON i.job = t.job AND i.row = t.episode - 1
         JOIN import m ON m.job = t.job WHERE t.id = {number}"
    );
    Ok(Row::first(answer, &sql)?.map(|row| {
        let text = |name| row.text(name);
        format!(
            "line {} of {}: best in iteration {}, {} in iteration {}, on {}, finished {} UTC",
            text("line"),
            text("file"),
            text("best_iteration"),
            text("last"),
            text("last_iteration"),
            text("machine"),
            text("time")
        )
    }))
}

fn status(trial: &Row) -> String {
    let text = |name| trial.text(name);
    match text("status").as_str() {
        "trained" if trial.int("total").is_none() => {
            format!("trained: validation accuracy {}", text("accuracy"))
        }
        "trained" => format!(
            "trained: validation accuracy {} ({} of {} images in epoch {}, {} in the last)",
            text("accuracy"),
            text("best_correct"),
            text("total"),
            text("best_epoch"),
            text("last_correct")
        ),
        "failed" => format!(
            "failed ({}): {}; counts as {}",
            text("reason"),
            text("message"),
            text("accuracy")
        ),
        other => other.to_owned(),
    }
}

/// The layers with their shapes, and what the agent thinks of each step.
fn layers(answer: &Answer, job: i64, text: &str, with_q: bool) -> Result<(), CliError> {
    let sql = format!("SELECT config, channels, side, classes FROM job WHERE id = {job}");
    let Some(facts) = Row::first(answer, &sql)? else { return Ok(()) };
    let count = |name| u32::try_from(facts.int(name).unwrap_or(0)).unwrap_or(0);
    let (Ok(net), Ok(config)) =
        (text.parse::<Architecture>(), SearchConfig::read(&facts.text("config"), None, &[]))
    else {
        return Ok(()); // what was recorded by a newer program is shown without them
    };
    let input = Map { channels: count("channels"), side: count("side") };
    let Ok(shapes) = Shapes::of(&net, input, config.recipe.gap, PoolRule::True) else {
        return Ok(());
    };
    let space = Space::new(&config.space, count("side"), count("classes")).ok();
    let path = space.and_then(|space| space.trajectory(&net)).unwrap_or_default();
    let learned = if with_q { q_values(answer, job, &path)? } else { Vec::new() };
    let number = |n: u64| Value::Integer(i64::try_from(n).unwrap_or(i64::MAX));
    let shown = shapes.layers.iter().enumerate().map(|(index, layer)| {
        let map = layer.output;
        let output = match map.side {
            1 => map.channels.to_string(),
            side => format!("{} x {side} x {side}", map.channels),
        };
        let (q, updates) = learned.get(index).cloned().unwrap_or((Value::Null, Value::Null));
        vec![
            Value::Text(layer.layer.to_string()),
            Value::Text(output),
            number(layer.parameters),
            number(layer.multiply_adds),
            q,
            updates,
        ]
    });
    let names = ["layer", "output", "params", "madds", "q", "updates"];
    rows(&names, &shown.collect::<Vec<_>>())
}

/// Q-values and update counts along a trajectory.
fn q_values(answer: &Answer, job: i64, path: &[u32]) -> Result<Vec<(Value, Value)>, CliError> {
    let mut learned = Vec::with_capacity(path.len());
    for pair in path {
        let sql = format!("SELECT value, updates FROM pair WHERE job = {job} AND pair = {pair}");
        let found = collect(answer, &sql)?.pop();
        let pair = found.and_then(|row| <[Value; 2]>::try_from(row).ok());
        // An imported table may not have every pair.
        learned.push(pair.map_or((Value::Null, Value::Null), |[q, updates]| (q, updates)));
    }
    Ok(learned)
}

/// Shows an episode, then the trial that answers it.
pub(super) fn show_episode(
    answer: &Answer,
    search: Option<&str>,
    number: u32,
    q: &ValueArgs,
) -> Result<(), CliError> {
    let Some(search) = search else {
        return Err(
            CliError::usage(format!("e{number}: of which search?")).hint("give --search s1")
        );
    };
    let sql = format!("SELECT * FROM episodes WHERE search = '{search}' AND episode = {number}");
    let Some(episode) = Row::first(answer, &sql)? else {
        return Err(CliError::usage(format!("{search} has no episode {number}"))
            .hint("`qtrail table episodes` lists them"));
    };
    let text = |name| episode.text(name);
    let known = if episode.int("duplicate") == Some(1) { "known already" } else { "new" };
    let when = match episode.int("inherited") {
        Some(source) => format!("inherited, there episode {source},"),
        None => format!("{} UTC", text("sampled")),
    };
    let place = format!("{when} in phase {}, epsilon {}", text("phase"), text("epsilon"));
    let lines = [
        ("reward", text("accuracy")),
        ("sampled", place),
        ("architecture", format!("{known} in {search}, answered by {}", text("trial"))),
    ];
    facts(&format!("e{number} of {search}  {}", text("arch")), &lines)?;
    match text("trial").strip_prefix('t').and_then(|number| number.parse().ok()) {
        Some(trial) => show(answer, trial, q),
        None => Ok(()),
    }
}
