//! `qtrail ensemble`: how models do together, from the class probabilities on record. Nothing is
//! trained, and no model is needed.

mod choose;
mod pool;
mod show;

use super::output::FormatArgs;
use super::reading::{AtArgs, answer, answer_from_log, footer};
use super::{CliError, Context, note, work};
use crate::engine::ensembles;
use crate::ensemble::combine::{Combine, combine};
use crate::ensemble::measure;
use crate::events::{Decided, EnsembleMember, EnsembleSaved};
use crate::log::Store;
use choose::{By, Chosen, Members};
use pool::Pool;
use show::{Section, Shown};

/// How models do together, and alone.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    choice: ChoiceArgs,
    /// Only this part; for csv, tsv, json and jsonl members unless told otherwise
    #[arg(long, value_enum)]
    section: Option<Section>,
    /// Draws of the bootstrap intervals
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    replicates: u32,
    /// Seed of these draws
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    at: AtArgs,
    #[command(flatten)]
    format: FormatArgs,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Gives an ensemble a name: `qtrail table ensembles`
    Save(SaveArgs),
}

#[derive(Debug, clap::Args)]
struct SaveArgs {
    /// What to call it
    name: String,
    #[command(flatten)]
    choice: ChoiceArgs,
}

/// Which models, and how they decide together.
#[derive(Debug, clap::Args)]
struct ChoiceArgs {
    /// The members: top:5 (the best), greedy:5 (up to 5, chosen on the validation images, some of
    /// them several times), or trials t3,t9,…
    #[arg(long, default_value = "top:5")]
    members: Members,
    /// What the best are chosen by: val (validation images), search (validation accuracy in the
    /// search they come from), or test, which flatters [default: val; search if a candidate was
    /// fitted to the validation images]
    #[arg(long, value_enum)]
    by: Option<By>,
    /// How they are combined: mean, geometric, vote, or weighted (by validation accuracy)
    #[arg(long, default_value = "mean")]
    combine: Combine,
    /// Choose among the models of this search or run: r1, or all [default: all that were shown the
    /// same images as the newest one]
    #[arg(long, value_name = "SEARCH")]
    search: Option<String>,
}

/// Runs the verb.
///
/// # Errors
/// What a person is to be told.
pub fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    if let Some(What::Save(save)) = &args.what {
        return save.run(context);
    }
    args.choice.check()?;
    let answer = answer(context, args.at.at)?;
    let store = Store::open(&context.store)?;
    let pool = Pool::read(&answer, &store, &args.choice)?;
    let chosen = choose::choose(&pool, &args.choice)?;
    let (replicates, seed) = (args.replicates, args.seed);
    let shown = Shown {
        pool: &pool,
        chosen: &chosen,
        choice: &args.choice,
        replicates,
        seed,
        as_of: footer(&answer),
    };
    shown.print(args.format, args.section)
}

impl ChoiceArgs {
    /// What does not go together, before anything is read.
    fn check(&self) -> Result<(), CliError> {
        match (&self.members, self.by) {
            (Members::Named(_), Some(by)) => {
                Err(CliError::usage(format!("--by {}: the members are named", by.name()))
                    .hint("--by is for top:N"))
            }
            (Members::Greedy(_), Some(by @ (By::Test | By::Search))) => Err(CliError::usage(
                format!("--by {}: greedy selection is made on the validation images", by.name()),
            )
            .hint("what it chose on test images would say nothing about new ones")),
            _ => Ok(()),
        }
    }
}

impl SaveArgs {
    fn run(&self, context: &Context) -> Result<(), CliError> {
        let name = &self.name;
        super::names::check("ensemble save", name)?;
        self.choice.check()?;
        let answer = answer_from_log(context, None)?;
        let store = Store::open(&context.store)?;
        let pool = Pool::read(&answer, &store, &self.choice)?;
        let chosen = choose::choose(&pool, &self.choice)?;
        let saved = recorded(&pool, &chosen, &self.choice, name, answer.as_of.position.0);
        drop(answer);
        let mut session = work::session_without_trainer(context, store)?;
        let number = ensembles::save(&mut session, &saved);
        session.close()?;
        let (number, size) = (number?, chosen.members.len());
        note(&format!(
            "saved as ensemble {number}, {name}, {size} members: `qtrail table ensembles`"
        ));
        Ok(())
    }
}

fn recorded(
    pool: &Pool,
    chosen: &Chosen,
    choice: &ChoiceArgs,
    name: &str,
    position: u64,
) -> EnsembleSaved {
    let members = chosen.members.iter().map(|member| EnsembleMember {
        trial: pool.candidates[member.candidate].source,
        weight: member.weight,
    });
    let decided = |part: &pool::Part, of: &dyn Fn(&pool::Candidate) -> &pool::Shown| {
        let members: Vec<_> = chosen
            .members
            .iter()
            .map(|member| (&of(&pool.candidates[member.candidate]).probabilities, member.weight))
            .collect();
        let together = combine(&members, choice.combine);
        let wrong = measure::wrong(&together.decisions, &part.labels);
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Decided { wrong: count(wrong), images: count(part.labels.len()) }
    };
    EnsembleSaved {
        ensemble: 0, // it is given one
        name: name.to_owned(),
        members: members.collect(),
        combine: choice.combine.name().to_owned(),
        chosen: chosen.how.clone(),
        position,
        validation: (!chosen.fitted(pool))
            .then(|| decided(&pool.validation, &|candidate| &candidate.validation)),
        test: Some(decided(&pool.test, &|candidate| &candidate.test)),
        program: String::new(),
    }
}
