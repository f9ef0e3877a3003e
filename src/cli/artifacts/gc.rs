//! `qtrail artifacts gc`: removes artifacts that no event names, and what killed processes left.
//!
//! What an event names stays. `--keep-top` first records that weights are released, so that no
//! event names them any longer.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::super::output::{FormatArgs, Hint, Printer};
use super::super::work::{session_without_trainer, stop_flag};
use super::super::{CliError, Context, clock, note};
use super::{Known, bytes, integer};
use crate::engine::collecting::{self, Beyond, NotReleased, Searches};
use crate::engine::references::{Name, References, Role};
use crate::engine::session::lock_name;
use crate::events::{Hash, Scope};
use crate::log::artifacts::Artifacts;
use crate::log::{Locks, Reader};
use crate::views::{Rows as _, Value};

/// Removes artifacts that no event names, and what killed processes left in staging. Prints what
/// would go and how large it is; --apply removes it.
///
/// An artifact that was never named is kept until it is an hour old (--older-than): the event that
/// names it may be about to be recorded. One whose release is recorded goes at once.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Remove; without it nothing is changed
    #[arg(long)]
    apply: bool,
    /// Age of artifacts that were never named: 90s, 30m, 1h or 7d
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = age)]
    older_than: Duration,
    /// Release the weights of all but the best N trials of each search; a search that is running
    /// is left out
    #[arg(long, value_name = "N")]
    keep_top: Option<usize>,
    #[command(flatten)]
    format: FormatArgs,
}

/// Reads a duration: a number and its unit.
fn age(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration: 90s, 30m, 1h or 7d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

/// Something that goes.
struct Going {
    /// The hash of an artifact, or a name in staging.
    what: String,
    bytes: u64,
    reason: &'static str,
    of: String,
}

/// Artifacts removed before others get a turn.
const AT_ONCE: usize = 200;

pub(super) fn run(args: &Args, context: &Context) -> Result<(), CliError> {
    let stop = stop_flag()?;
    let mut log = super::super::log::log(context)?;
    let store = log.store().clone();
    let (artifacts, locks) = (
        store.artifacts(),
        Locks::new(store.lock_folder(), context.command.clone(), Duration::ZERO),
    );
    let searches = args.keep_top.map(|_| Searches::default());
    let mut known = Known { searches, ..Known::default() };
    known.read_on(&mut log, &stop)?;
    let chosen = idle(chosen(&known, args), &locks)?;
    let chosen = if args.apply { release(chosen, context)? } else { chosen };
    let collecting = Collecting { args, artifacts: &artifacts, chosen: &chosen };
    let mut going = if args.apply {
        collecting.remove(&mut known, &mut log, &stop, context.wait)?
    } else {
        collecting.going(&known.named.references)?
    };
    // The empty folder that an owner leaves behind goes without a word.
    for left in artifacts.abandoned(&locks)?.into_iter().filter(|left| left.bytes > 0) {
        let what = left.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        going.push(Going { what, bytes: left.bytes, reason: "staging", of: String::new() });
    }
    if args.apply {
        artifacts.sweep(&locks)?;
    }
    print(args, &going, known.head.position.0)
}

/// The weights that --keep-top releases.
fn chosen(known: &Known, args: &Args) -> Vec<Beyond> {
    let (Some(searches), Some(n)) = (&known.searches, args.keep_top) else { return Vec::new() };
    let (list, wrong) = searches.beyond(n);
    for error in wrong {
        note(&format!("left out: {error}"));
    }
    list
}

/// Leaves out searches that are running.
fn idle(chosen: Vec<Beyond>, locks: &Locks) -> Result<Vec<Beyond>, CliError> {
    let mut idle = Vec::new();
    for beyond in chosen {
        match locks.holder(&lock_name(beyond.scope))? {
            Some(_) => running(beyond.scope),
            None => idle.push(beyond),
        }
    }
    Ok(idle)
}

fn running(scope: Scope) {
    note(&format!("{scope} is left out: it is running; its keep-weights decides"));
}

/// Records the releases. Returns those that are recorded.
fn release(chosen: Vec<Beyond>, context: &Context) -> Result<Vec<Beyond>, CliError> {
    if chosen.is_empty() {
        return Ok(chosen);
    }
    let store = crate::log::Store::open(&context.store)?;
    let mut session = session_without_trainer(context, store)?;
    let mut done = Vec::new();
    for beyond in chosen {
        let scope = beyond.scope;
        match collecting::release(&mut session, &beyond)? {
            Ok(()) => done.push(beyond),
            Err(NotReleased::Running) => running(scope),
            Err(NotReleased::MovedOn) => {
                note(&format!("{scope} is left out: it has gone on meanwhile; run this again"));
            }
        }
    }
    session.close()?;
    Ok(done)
}

struct Collecting<'a> {
    args: &'a Args,
    artifacts: &'a Artifacts,
    chosen: &'a [Beyond],
}

impl Collecting<'_> {
    /// The artifacts that go, given what is named.
    fn going(&self, references: &References) -> Result<Vec<Going>, CliError> {
        let chosen: BTreeSet<(Hash, Scope, u32)> = self
            .chosen
            .iter()
            .flat_map(|Beyond { scope, surplus, .. }| {
                surplus.iter().map(|one| (one.artifact, *scope, one.trial))
            })
            .collect();
        let mut going = Vec::new();
        for (hash, bytes) in self.artifacts.list()? {
            // In a dry run what --keep-top would release is still named.
            let lets_go = |name: &Name| {
                let trial = name.trial.unwrap_or_default();
                name.role == Role::Weights && chosen.contains(&(hash, name.scope, trial))
            };
            if !references.names(hash).iter().all(lets_go) {
                continue;
            }
            let first = (hash, Scope::Store, 0);
            let trial = chosen.range(first..).next().filter(|(artifact, ..)| *artifact == hash);
            let (reason, of) = match trial {
                Some((_, scope, trial)) => {
                    ("not among the best", format!("trial {trial} of {scope}"))
                }
                None if references.was_named(hash) => ("released", String::new()),
                None if self.is_young(hash)? => continue,
                None => ("never named", String::new()),
            };
            going.push(Going { what: hash.to_string(), bytes, reason, of });
        }
        Ok(going)
    }

    fn is_young(&self, hash: Hash) -> Result<bool, CliError> {
        let Some(facts) = self.artifacts.facts(hash)? else { return Ok(true) };
        let limit = i64::try_from(self.args.older_than.as_millis()).unwrap_or(i64::MAX);
        Ok(clock::now().saturating_sub(facts.changed) < limit)
    }

    /// Removes them, some at a time, so that nobody who adds artifacts waits for long.
    fn remove(
        &self,
        known: &mut Known,
        log: &mut Reader,
        stop: &AtomicBool,
        wait: Duration,
    ) -> Result<Vec<Going>, CliError> {
        // What is named by now is not even looked at again.
        known.read_on(log, stop)?;
        let mut gone = Vec::new();
        let candidates = self.going(&known.named.references)?;
        for part in candidates.chunks(AT_ONCE) {
            super::going_on(stop)?;
            let removal = self.artifacts.removal(wait)?;
            // Whoever added something before has named it by now.
            known.read_on(log, stop)?;
            for one in part {
                let Ok(hash) = one.what.parse::<Hash>() else { continue };
                let named = !known.named.references.names(hash).is_empty();
                if !named && self.artifacts.remove(&removal, hash)? {
                    let (what, of) = (one.what.clone(), one.of.clone());
                    gone.push(Going { what, of, bytes: one.bytes, reason: one.reason });
                }
            }
            drop(removal);
        }
        Ok(gone)
    }
}

fn print(args: &Args, going: &[Going], position: u64) -> Result<(), CliError> {
    let mut printer = Printer::new(args.format, |_| Hint::default());
    let mut print = || {
        printer.columns(&["artifact", "bytes", "reason", "of"].map(ToOwned::to_owned))?;
        going.iter().try_for_each(|one| {
            let of = match one.of.as_str() {
                "" => Value::Null,
                of => Value::Text(of.to_owned()),
            };
            let reason = Value::Text(one.reason.to_owned());
            printer.row(&[Value::Text(one.what.clone()), integer(one.bytes), reason, of])
        })
    };
    print().map_err(|error| CliError::output(&error))?;
    let (count, total) = (going.len(), bytes(going.iter().map(|one| one.bytes).sum()));
    let line = match (count, args.apply) {
        (0, _) => "nothing to remove".to_owned(),
        (_, true) => format!("removed {count}, {total}"),
        (_, false) => format!("{count} would go, {total}; --apply removes them"),
    };
    let footer = [line, format!("as of event {position}")];
    printer.finish(&footer).map_err(|error| CliError::output(&error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_a_unit() {
        for (text, seconds) in
            [("0s", 0), ("90s", 90), ("30m", 1800), ("1h", 3600), ("7d", 604_800)]
        {
            assert_eq!(age(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "1", "h", "-1h", "1.5h", "1 h", "1w", "99999999999999999999d", "1é"] {
            assert!(age(text).is_err(), "{text}");
        }
        assert!(age("18446744073709551615d").is_err());
    }
}
