//! `qtrail log repair`: what is wrong with the two copies of the events, and putting it right.

use super::super::cells::counted;
use super::super::output::{FormatArgs, Hint, Printer};
use super::super::{CliError, Context, Exit, note};
use crate::log::repair::{Plan, repair};
use crate::log::{LocalLog, LogError, Options, Repair, Store};
use crate::views::{Rows as _, Value, ViewError, discard, refuse_rollback};

/// Show what is wrong with the two copies of the events, and with --apply repair it
///
/// Events that one copy lacks are restored from the other. Where both are damaged, the log ends
/// before that event. Damaged files are kept in the folder `aside` of the store, and the repair is
/// recorded as an event.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Repair instead of only showing what would be done
    #[arg(long)]
    apply: bool,
    /// Go on from an earlier state of the log, though its tables have shown later events
    #[arg(long)]
    accept_rollback: bool,
    #[command(flatten)]
    format: FormatArgs,
}

pub(super) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let store = Store::open(&context.store)?;
    let options = context.options();
    let rolled_back = match args.accept_rollback {
        true => rolled_back(&store, &options)?,
        false => None,
    };
    let mut plan = repair(&store, &options, args.apply)?;
    if let Some(repair) = rolled_back {
        // Only now, with the log whole as far as it can be.
        discard(&store)?;
        let log = LocalLog::open(store.clone(), options.clone())?;
        super::super::repairs::record(log, std::slice::from_ref(&repair))?;
        note(&repair.found);
        plan.end = Store::open(&context.store)?.read_head()?.record.head;
    } else if args.accept_rollback {
        note("the tables have shown no later event than the log has");
    }
    if args.apply {
        if plan.lost() > 0 {
            // Who accepts the loss accepts that the tables have shown what is lost.
            discard(&store)?;
        }
        let mut log = LocalLog::open(store, options)?;
        // What was only found out by opening it; sled is named once.
        let opened = log.take_repairs();
        plan.repairs.retain(|repair| !opened.iter().any(|other| other.part == repair.part));
        plan.repairs.extend(opened);
        super::super::repairs::record(log, &plan.repairs)?;
    }
    print(&plan, args.format).map_err(|error| CliError::output(&error))?;
    if plan.repairs.is_empty() {
        note("nothing is wrong");
    } else if !args.apply {
        let lost = plan.lost();
        let what = match lost {
            0 => "nothing would be lost".to_owned(),
            _ => format!(
                "{} would be lost: what comes after event {}",
                counted(lost, "event"),
                plan.end.position
            ),
        };
        let error = format!("damaged: {} of the log; {what}", counted(plan.repairs.len(), "part"));
        return Err(CliError::new(Exit::No, error)
            .hint("keep a copy of the store, then `qtrail log repair --apply`"));
    }
    Ok(())
}

/// The earlier state that is accepted, if the log was put back to one.
fn rolled_back(store: &Store, options: &Options) -> Result<Option<Repair>, CliError> {
    match refuse_rollback(store, options) {
        Ok(()) => Ok(None),
        Err(ViewError::Log(LogError::RolledBack { shown, log })) => {
            let found =
                format!("the log was put back to event {log}; its tables had shown {shown}");
            let lost = shown.0.saturating_sub(log.0);
            Ok(Some(Repair { part: "log", found, restored: 0, lost, aside: None }))
        }
        Err(error) => Err(error.into()),
    }
}

fn print(plan: &Plan, format: FormatArgs) -> std::io::Result<()> {
    let mut printer = Printer::new(format, |_| Hint::default());
    printer.columns(&["part", "found", "restored", "lost", "aside"].map(ToOwned::to_owned))?;
    plan.repairs.iter().try_for_each(|repair| printer.row(&row(repair)))?;
    printer.finish(&[format!("the log ends at event {}", plan.end.position)]).map(drop)
}

fn row(repair: &Repair) -> [Value; 5] {
    let number = |number: u64| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    [
        Value::Text(repair.part.to_owned()),
        Value::Text(repair.found.clone()),
        number(repair.restored),
        number(repair.lost),
        repair.aside.clone().map_or(Value::Null, Value::Text),
    ]
}
