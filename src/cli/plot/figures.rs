//! From the tables of a store to figures: which rows each of them is drawn from.

use super::super::CliError;
use super::super::parameters::values_outside;
use super::super::reading::{collect, footer};
use super::super::replay::lesson::{Learned, Lesson};
use super::super::simulate::Simulations;
use super::stability::{STABILITY, of_search};
use crate::lab::compared::curve;
use crate::lab::measure::FIGURES;
use crate::lab::simulate::{Agent, Simulated};
use crate::plot::curves::Curve;
use crate::plot::exposure::{Exposure, Stretch};
use crate::plot::histogram::Bin;
use crate::plot::pareto::Trained;
use crate::plot::qvalues::{By, Mean};
use crate::plot::simulated::Searches;
use crate::plot::{Figure, curves, exposure, histogram, learning, pareto, qvalues, simulated};
use crate::views::{Answer, Value};

/// A figure that can be asked for.
pub(crate) struct Kind {
    /// Its name.
    pub(crate) name: &'static str,
    /// The question it answers.
    pub(crate) shows: &'static str,
    /// The table with the same numbers.
    pub(crate) table: &'static str,
    /// What a search has that it cannot be drawn of.
    pub(crate) without: &'static str,
    draw: fn(&Asked<'_>) -> Result<Option<Figure>, CliError>,
}

/// All figures.
pub(crate) const PLOTS: &[Kind] = &[
    Kind {
        name: "learning",
        shows: "Does the agent find better architectures the less it explores? (Figure 3)",
        table: "rolling",
        without: "no samples with a result yet",
        draw: learning,
    },
    Kind {
        name: "accuracy-histogram",
        shows: "How accurate are the architectures of each epsilon? (Figure A2)",
        table: "histogram",
        without: "no samples with a result yet",
        draw: accuracy_histogram,
    },
    Kind {
        name: "qdepth",
        shows: "Which layers has the agent learned to place, and how deep? (Figure A3)",
        table: "qdepth",
        without: "no Q-value that was updated yet",
        draw: |asked| q_values(asked, By::Layer),
    },
    Kind {
        name: "qfield",
        shows: "Which fields of convolutions has it learned to place, and how deep? (Figure A4)",
        table: "qfield",
        without: "no Q-value of a convolution that was updated yet",
        draw: |asked| q_values(asked, By::Field),
    },
    Kind {
        name: "pareto",
        shows: "What does accuracy cost in parameters?",
        table: "pareto",
        without: "no trained architecture yet",
        draw: pareto,
    },
    Kind {
        name: "curves",
        shows: "How did the trainings of the best architectures go, epoch by epoch?",
        table: "epochs",
        without: "no epochs on record of its best trials",
        draw: curves,
    },
    Kind {
        name: EXPOSURE,
        shows: "Which experiences does each replay policy learn from, the old or the new?",
        table: "replays",
        without: "no experiences yet",
        draw: exposure,
    },
    Kind {
        name: STABILITY,
        shows: "How much do the searches of a series differ?",
        table: "stability",
        without: "no phase of a search that has ended yet",
        draw: |asked| of_search(asked.answer, asked.search),
    },
    Kind {
        name: SIMULATE,
        shows: "How soon does a search find a good architecture under each replay policy?",
        table: "replays",
        without: "no simulated searches",
        // It is not of a search.
        draw: |_| Ok(None),
    },
];

/// The figure of simulated searches.
pub(crate) const SIMULATE: &str = "simulate";

/// The figure that learns again, under the policies that it is given.
pub(crate) const EXPOSURE: &str = "exposure";

/// What a figure is asked of.
pub(crate) struct Asked<'a> {
    /// The tables.
    pub(crate) answer: &'a Answer,
    /// Label of the search.
    pub(crate) search: &'a str,
    /// How many trials of many.
    pub(crate) top: u8,
    /// Samples that are averaged.
    pub(crate) window: Option<u32>,
    /// What came of replay, if that was asked for.
    pub(crate) replayed: Option<Replayed>,
}

/// What came of replay.
pub(crate) struct Replayed {
    /// What was learned from.
    pub(crate) lesson: Lesson,
    /// Policy by policy.
    pub(crate) learned: Vec<Learned>,
}

impl Asked<'_> {
    /// The figure; `None` if there are no rows.
    pub(crate) fn figure(&self, kind: &Kind) -> Result<Option<Figure>, CliError> {
        (kind.draw)(self)
    }

    /// Rows of a statement about the search, whose label stands for `{search}`.
    fn rows(&self, sql: &str) -> Result<Vec<Vec<Value>>, CliError> {
        let label = format!("'{}'", self.search.replace('\'', "''"));
        collect(self.answer, &sql.replace("{search}", &label))
    }

    /// The line of every caption, after what the figure itself has to say.
    fn caption(&self, reading: &str) -> Result<Vec<String>, CliError> {
        let rows = self.rows(
            "SELECT j.name, j.data, coalesce('imported from ' || i.file, 'seed ' || j.seed)
             FROM job j LEFT JOIN import i ON i.job = j.id WHERE j.label = {search}",
        )?;
        let text = |index: usize| rows.first().map_or(String::new(), |row| text(&row[index]));
        let name = match text(0) {
            name if name.is_empty() => String::new(),
            name => format!(" ({name})"),
        };
        let source = format!("{}{name} on {}, {}", self.search, text(1), text(2));
        let mut lines = vec![reading.to_owned(), format!("{source}; {}", footer(self.answer))];
        lines.retain(|line| !line.is_empty());
        Ok(lines)
    }
}

fn learning(asked: &Asked<'_>) -> Result<Option<Figure>, CliError> {
    let rows = asked.rows(
        "SELECT epsilon, accuracy FROM episodes
         WHERE search = {search} AND accuracy IS NOT NULL ORDER BY episode",
    )?;
    let sample = |row: &Vec<Value>| {
        Some(learning::Sample { epsilon: real(&row[0])?, accuracy: real(&row[1])? })
    };
    let samples: Vec<_> = rows.iter().filter_map(sample).collect();
    if samples.is_empty() {
        return Ok(None);
    }
    let asked_for = asked.window.and_then(|window| usize::try_from(window).ok());
    let window = asked_for.unwrap_or_else(|| learning::window(samples.len()));
    let imported = !asked.rows("SELECT 1 FROM import WHERE label = {search}")?.is_empty();
    let reading = match imported {
        false => "Bars are as wide as there are samples of their ε.",
        // Else the line would be taken for the course of learning.
        true => {
            "Bars are as wide as there are samples of their ε. Inside an ε the order is that of \
             the imported file, which need not be the order of sampling."
        }
    };
    let caption = asked.caption(reading)?;
    Ok(Some(learning::figure(&samples, window, caption)))
}

fn accuracy_histogram(asked: &Asked<'_>) -> Result<Option<Figure>, CliError> {
    let rows = asked.rows(
        "SELECT epsilon, lower, upper, samples FROM histogram
         WHERE search = {search} ORDER BY epsilon DESC, bin",
    )?;
    let bin = |row: &Vec<Value>| {
        let (epsilon, from, to) = (real(&row[0])?, real(&row[1])?, real(&row[2])?);
        Some(Bin { epsilon, from, to, samples: whole(&row[3])? })
    };
    let bins: Vec<Bin> = rows.iter().filter_map(bin).collect();
    if bins.is_empty() {
        return Ok(None);
    }
    let caption = asked.caption(
        "100 bins from the lowest to the highest accuracy of each ε; failed architectures count \
         with what failing is worth. `up to` stands beside a bar that is higher than its panel.",
    )?;
    Ok(Some(histogram::figure(&bins, caption)))
}

fn q_values(asked: &Asked<'_>, by: By) -> Result<Option<Figure>, CliError> {
    let rows = asked.rows(match by {
        By::Layer => {
            "SELECT layer, depth, mean_q, n FROM qdepth WHERE search = {search} AND n > 0
             ORDER BY instr('conv pool fc gap softmax', layer), depth"
        }
        By::Field => {
            "SELECT field || ' x ' || field, depth, mean_q, n FROM qfield
             WHERE search = {search} AND n > 0 ORDER BY field, depth"
        }
    })?;
    let mean = |row: &Vec<Value>| {
        Some(Mean { series: text(&row[0]), depth: whole(&row[1])?, value: real(&row[2])? })
    };
    let means: Vec<Mean> = rows.iter().filter_map(mean).collect();
    if means.is_empty() {
        return Ok(None);
    }
    let pairs: u32 = rows.iter().filter_map(|row| whole(&row[3])).sum();
    let source = asked.rows("SELECT q_source FROM job WHERE label = {search}")?;
    let source = source.first().map(|row| text(&row[0])).unwrap_or_default();
    let mut reading =
        format!("Mean over {pairs} pairs of state and action, those that were updated.");
    if source.starts_with("replay:") {
        reading += &format!(" Learned again: {source}.");
    }
    let mut caption = asked.caption(&reading)?;
    if let Some(outside) = values_outside(asked.answer, Some(asked.search))? {
        caption.insert(1, format!("{outside}."));
    }
    Ok(Some(qvalues::figure(by, &means, caption)))
}

fn pareto(asked: &Asked<'_>) -> Result<Option<Figure>, CliError> {
    let rows = asked.rows(
        "SELECT params, accuracy,
           trial IN (SELECT trial FROM pareto WHERE search = {search} AND by_params)
         FROM trials
         WHERE search = {search} AND status = 'trained' AND params > 0 AND accuracy IS NOT NULL",
    )?;
    let one = |row: &Vec<Value>| {
        let front = row[2] == Value::Integer(1);
        Some(Trained { params: real(&row[0])?, accuracy: real(&row[1])?, front })
    };
    let trained: Vec<Trained> = rows.iter().filter_map(one).collect();
    if trained.is_empty() {
        return Ok(None);
    }
    let reading = "On the front are those than which no other is smaller and at least as \
                   accurate. Failed architectures are left out.";
    Ok(Some(pareto::figure(&trained, asked.caption(reading)?)))
}

fn curves(asked: &Asked<'_>) -> Result<Option<Figure>, CliError> {
    // Of each trial the attempt that ended it, and in that the last restart: what its accuracy
    // comes from.
    let rows = asked.rows(&format!(
        "WITH
           best AS (
             SELECT rank, trial, accuracy FROM top
             WHERE search = {{search}} AND rank <= {} ORDER BY rank
           ),
           last AS (
             SELECT trial, max(attempt * 1000 + restart) AS try FROM epochs
             WHERE search = {{search}} AND NOT lost GROUP BY trial
           )
         SELECT b.trial, b.accuracy, e.epoch, e.validation_accuracy
         FROM best b
         JOIN last l ON l.trial = b.trial
         JOIN epochs e ON e.trial = b.trial AND e.attempt * 1000 + e.restart = l.try
         WHERE e.validation_accuracy IS NOT NULL
         ORDER BY b.rank, e.epoch",
        asked.top
    ))?;
    let same = |a: &Vec<Value>, b: &Vec<Value>| a[0] == b[0];
    let curve = |rows: &[Vec<Value>]| {
        let name = format!("{} ({:.2} %)", text(&rows[0][0]), 100.0 * real(&rows[0][1])?);
        let epochs = rows.iter().filter_map(|row| Some((whole(&row[2])?, real(&row[3])?)));
        Some(Curve { name, epochs: epochs.collect() })
    };
    let curves: Vec<Curve> = rows.chunk_by(same).filter_map(curve).collect();
    if curves.is_empty() {
        return Ok(None);
    }
    let reading = "In brackets the highest validation accuracy, the reward. The last restart of \
                   each training is shown.";
    Ok(Some(curves::figure(&curves, asked.caption(reading)?)))
}

fn exposure(asked: &Asked<'_>) -> Result<Option<Figure>, CliError> {
    let Some(Replayed { lesson, learned }) = &asked.replayed else { return Ok(None) };
    let experiences = &lesson.history.experiences;
    let phases = experiences
        .chunk_by(|a, b| a.phase == b.phase)
        .map(|phase| Stretch { epsilon: phase[0].epsilon, experiences: phase.len() });
    let of = |learned: &Learned| {
        let never = FIGURES.iter().position(|figure| figure.name == "never");
        let never = never.and_then(|place| learned.row.figures[place].mean).unwrap_or(0.0);
        let name = format!("{}: {:.1} % never drawn", learned.row.policy, 100.0 * never);
        Exposure { name, draws: learned.draws() }
    };
    let policies: Vec<Exposure> = learned.iter().map(of).collect();
    let settings = &lesson.settings;
    let reading = format!(
        "Old on the right; each point is the mean of neighbours, and of seeds {}. K = {}. The \
         experiences are those on record. Where a line is missing, nothing was drawn.",
        settings.seeds, settings.draws
    );
    let caption = asked.caption(&reading)?;
    Ok(Some(exposure::figure(&policies, &phases.collect::<Vec<_>>(), caption)))
}

/// The best so far of simulated searches.
pub(super) fn simulated(done: &Simulations) -> Figure {
    let searches = |(agent, runs): &(Agent, Vec<Simulated>)| Searches {
        name: agent.to_string(),
        curve: curve(runs),
    };
    let agents: Vec<Searches> = done.runs.iter().map(searches).collect();
    let mut caption = vec![format!(
        "Mean over seeds {}, and the band in which 95 % of the searches are. Where the schedule \
         explores wholly (ε = 1) the same seed is the same search for all.",
        done.settings.seeds
    )];
    // The others are those under the table.
    caption.extend(done.footer(&done.rows()).into_iter().map(|line| {
        let first = line.chars().next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
        format!("{first}{}.", line.chars().skip(1).collect::<String>())
    }));
    simulated::figure(&agents, caption)
}

pub(super) fn whole(value: &Value) -> Option<u32> {
    match value {
        Value::Integer(number) => u32::try_from(*number).ok(),
        _ => None,
    }
}

pub(super) fn real(value: &Value) -> Option<f64> {
    match value {
        Value::Real(number) => Some(*number),
        #[expect(clippy::cast_precision_loss, reason = "counts and parameters; exact to 2^53")]
        Value::Integer(number) => Some(*number as f64),
        _ => None,
    }
}

pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        _ => String::new(),
    }
}
