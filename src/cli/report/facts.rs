//! What a report says about its search besides figures and tables.

use super::first;
use super::lineage::Lineage;
use crate::cli::parameters::QuarantineArgs;
use crate::cli::{CliError, Context, Exit};
use crate::config::SearchConfig;
use crate::events::Scope;
use crate::events::digest::Digests;
use crate::events::frame::Position;
use crate::log::{Reader, Store};
use crate::views::Answer;

/// Names and what they are.
pub(super) type Pairs = Vec<(&'static str, String)>;

/// Everything a report says in words.
pub(super) struct Facts {
    label: String,
    name: String,
    pub(super) subtitle: String,
    pub(super) status: Pairs,
    pub(super) settings: Pairs,
    pub(super) config: String,
    pub(super) again: String,
    pub(super) log: Pairs,
}

/// Of the search with this label, in the order of its columns below.
const SQL: &str = "
    SELECT j.name, j.data, s.status, s.models, j.models, s.failed, s.lost, s.episodes,
      s.best_accuracy, s.started, s.updated, j.flavour, j.seed, j.chance, j.train, j.validation,
      j.classes, j.side, j.channels, j.split, j.content, j.threads, j.program, j.config_hash,
      j.config, j.experiences, j.replays, j.q_digest, j.q_source, i.file, i.content, j.resumed,
      i.format, i.q_file
    FROM job j JOIN searches s ON s.search = j.label LEFT JOIN import i ON i.job = j.id
    WHERE j.label = ";

impl Facts {
    pub(super) fn of(
        answer: &Answer,
        label: &str,
        rows: QuarantineArgs,
        context: &Context,
    ) -> Result<Self, CliError> {
        let sql = format!("{SQL}'{}'", label.replace('\'', "''"));
        let Some(row) = first(answer, &sql)? else {
            return Err(CliError::usage(format!("nothing is called {label}")));
        };
        let row = Row(row);
        let lineage = Lineage::of(answer, label, row.get(24))?;
        Ok(Self {
            label: label.to_owned(),
            name: row.get(0).to_owned(),
            subtitle: format!("Architecture search on {}", row.get(1)),
            status: status(&row).into_iter().chain(lineage.facts()).collect(),
            settings: settings(&row),
            config: row.get(24).to_owned(),
            again: again(&row, label, rows, answer, &lineage),
            log: log(&row, label, answer, context)?,
        })
    }

    /// The search by its id and name.
    pub(super) fn title(&self) -> String {
        match self.name.as_str() {
            "" => self.label.clone(),
            name => format!("{name} ({})", self.label),
        }
    }
}

struct Row(Vec<String>);

impl Row {
    fn get(&self, index: usize) -> &str {
        self.0.get(index).map_or("", String::as_str)
    }

    fn imported(&self) -> bool {
        !self.get(29).is_empty()
    }
}

fn status(row: &Row) -> Pairs {
    let text = |index| row.get(index);
    let mut pairs = vec![
        ("State", text(2).to_owned()),
        (
            "Models",
            format!(
                "{} of {} with a result, {} of them failed; {} trials lost",
                text(3),
                text(4),
                text(5),
                text(6)
            ),
        ),
        ("Best validation accuracy", text(8).to_owned()),
        ("Architectures sampled", text(7).to_owned()),
        ("Began", format!("{} UTC", text(9))),
        ("Last event", format!("{} UTC, resumed {} times", text(10), text(31))),
    ];
    if row.imported() {
        pairs.push(("Imported from", text(29).to_owned()));
    }
    pairs
}

fn settings(row: &Row) -> Pairs {
    let text = |index| row.get(index);
    let mut pairs = vec![
        ("Data", text(1).to_owned()),
        (
            "Images",
            format!(
                "{} to train on, {} to validate on; {} classes; {} × {} pixels, {} channels",
                text(14),
                text(15),
                text(16),
                text(17),
                text(17),
                text(18)
            ),
        ),
        ("Flavour", text(11).to_owned()),
    ];
    if !row.imported() {
        pairs.push(("Seed", format!("{} (random numbers: {})", text(12), text(13))));
        pairs.push(("Threads of a trainer", text(21).to_owned()));
    }
    pairs.push(("Begun by", text(22).to_owned()));
    pairs
}

/// Commands that lead to the same search and the same report.
fn again(
    row: &Row,
    label: &str,
    rows: QuarantineArgs,
    answer: &Answer,
    lineage: &Lineage,
) -> String {
    let text = |index| row.get(index);
    let name = match text(0) {
        "" => String::new(),
        name => format!(" --name {}", quoted(name)),
    };
    let fork = lineage.fork(text(24), text(12), &name);
    let begin = match (row.imported(), fork) {
        (true, _) => imported(row, &name),
        (false, Some(fork)) => fork,
        (false, None) => format!(
            "# {label}.toml: the complete configuration above\n\
             qtrail search --config {label}.toml --data {} --seed {} --threads {}{name}\n",
            quoted(text(1)),
            text(12),
            text(21),
        ),
    };
    format!(
        "{begin}{}qtrail log digest --logical    # the digest below: the same search\n\
         qtrail report --search {label} --at {}{} -o report.html\n",
        lineage.then(label),
        answer.as_of.position,
        rows.given()
    )
}

/// The command that imports the same files in the same way.
fn imported(row: &Row, name: &str) -> String {
    let text = |index| row.get(index);
    let config: Option<SearchConfig> = SearchConfig::read(text(24), None, &[]).ok();
    let limit = config.map_or(String::new(), |c| format!(" --layer-limit {}", c.space.layer_limit));
    let values = match text(33) {
        "" => String::new(),
        file => format!(" --q-values {}", quoted(file)),
    };
    format!(
        "qtrail import {} {} --data {} --side {}{limit}{values}{name}\n",
        text(32),
        quoted(text(29)),
        quoted(text(1)),
        text(17),
    )
}

/// A text as a shell takes it for one word.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn log(row: &Row, label: &str, answer: &Answer, context: &Context) -> Result<Pairs, CliError> {
    let text = |index| row.get(index).to_owned();
    let as_of = answer.as_of;
    let digest = match digest(label, as_of.position, context) {
        Ok(digest) => digest,
        // A search that runs holds the log: a report of it lacks this one line.
        Err(error) if error.exit == Exit::Busy => format!("not read: {}", error.message),
        Err(error) => return Err(error),
    };
    let mut pairs = vec![
        ("As of event", as_of.position.to_string()),
        ("Hash of the log up to there", as_of.chain.to_string()),
        ("Logical digest of the search", digest),
        ("Hash of the configuration", text(23)),
        ("Hash of the training images", text(20)),
        ("Hash of the split", text(19)),
    ];
    if row.imported() {
        pairs.push(("Hash of the imported file", text(30)));
    }
    if !row.get(28).is_empty() {
        let (experiences, replays) = (row.get(25), row.get(26));
        let learned = format!("{experiences} experiences, {replays} replay updates");
        pairs.push(("Q-table", format!("{}: {learned}; {}", row.get(28), row.get(27))));
    }
    pairs.retain(|(_, value)| !value.is_empty());
    Ok(pairs)
}

/// The logical digest of a search after an event, read from the log itself.
fn digest(label: &str, end: Position, context: &Context) -> Result<String, CliError> {
    let store = Store::open(&context.store)?;
    let mut log = Reader::open(&store)?;
    let mut digests = Digests::default();
    let wrong = |error| CliError::new(Exit::Bug, error);
    crate::cli::log::fold_until(&mut log, end, &mut digests, |_| true, wrong)?;
    let scope: Option<Scope> = label.parse().ok();
    let found = digests.finish().into_iter().find(|(of, _)| Some(*of) == scope);
    Ok(found.map_or(String::new(), |(_, digest)| digest.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells_take_a_name_for_one_word() {
        let cases = [
            ("demo-1", "demo-1"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("-x", "'-x'"),
            ("<script>", "'<script>'"),
            ("$(x)\n", "'$(x)\n'"),
        ];
        for (text, expected) in cases {
            assert_eq!(quoted(text), expected);
        }
    }
}
