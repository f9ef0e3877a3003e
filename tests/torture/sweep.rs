//! The fault sweep: the n-th system call of a kind fails, or kills the program, for every verb.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use qtrail::events::Event;

use crate::bench::{Bench, Ended, SEARCH, run, traced};
use crate::table::{Row, Verdict};

/// System calls, and what the system may say instead of doing them. The log and SQLite read and write
/// with the first six, std with the others.
const CALLS: &[(&str, &[&str])] = &[
    ("pread64", &["EIO", "ESTALE"]),
    ("read", &["EIO", "ESTALE"]),
    ("pwrite64", &["ENOSPC", "EIO"]),
    ("write", &["ENOSPC", "EIO"]),
    ("fdatasync", &["EIO", "ENOSPC"]),
    ("fsync", &["EIO", "ENOSPC"]),
    ("rename", &["EIO", "ENOSPC"]),
    ("renameat2", &["EIO", "ENOSPC"]),
    ("ftruncate", &["EIO", "ENOSPC"]),
    ("openat", &["EMFILE", "EIO", "ESTALE"]),
    ("mmap", &["ENOMEM", "EAGAIN"]),
    ("flock", &["EAGAIN", "EIO"]),
    ("mkdir", &["ENOSPC", "EIO"]),
    ("getdents64", &["EIO"]),
    ("statx", &["EIO", "ESTALE"]),
    ("unlink", &["EIO"]),
];

/// What a verb does, and so what must be there afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    /// The store is what it was.
    Read,
    /// Another store, or a file, is made beside it.
    Make,
    Search,
    /// Afterwards the search in it ends as if nothing had been.
    Repair,
    Import,
    Final,
}

struct Verb {
    name: &'static str,
    arguments: Vec<&'static str>,
    /// The store that it begins with; none: it makes one.
    template: Option<&'static str>,
    does: Does,
}

fn verbs() -> Vec<Verb> {
    use Does::{Final, Import, Make, Read, Repair, Search};
    let done = Some("done");
    let verb = |name, text: &'static str, does| Verb {
        name,
        arguments: text.split(' ').collect(),
        template: done,
        does,
    };
    let searching =
        |name, template| Verb { name, arguments: SEARCH.to_vec(), template, does: Search };
    let repair =
        |name| Verb { template: Some("killed"), ..verb(name, "log repair --apply", Repair) };
    vec![
        searching("search", None),
        searching("resume", Some("killed")),
        verb(
            "final",
            "final s1 --top 1 --recipe short --set recipe.epochs=2 --threads 1 --data data",
            Final,
        ),
        Verb {
            template: None,
            ..verb("import", "import metaqnn log.csv --q-values q.csv", Import)
        },
        verb("table", "table top --format csv", Read),
        verb("status", "status", Read),
        verb("sql", "sql select*from(trial)", Read),
        verb("log show", "log show", Read),
        verb("log verify", "log verify", Read),
        verb("log repair", "log repair", Read),
        repair("log repair --apply"),
        verb("artifacts gc", "artifacts gc --apply", Read),
        verb("log export", "log export --with-artifacts -o OUT", Make),
        verb("log backup", "log backup OUT", Make),
        verb("report", "report -o OUT", Make),
        verb("export qtable", "export qtable -o OUT", Make),
    ]
}

/// The verbs without a fault: what they print and leave, and how many calls of a kind a thread makes,
/// before and after it meets the store.
struct Unbroken {
    stdout: String,
    made: Option<Vec<u8>>,
    digests: Vec<String>,
    calls: HashMap<&'static str, (usize, usize)>,
}

/// One fault of one verb.
struct Round {
    verb: usize,
    call: &'static str,
    fault: &'static str,
    n: usize,
}

/// Rows: failing calls, and kills at a call.
pub(crate) fn sweep(bench: &Bench, fail: &mut Row, kill: &mut Row) {
    fs::write(bench.path("log.csv"), include_str!("../history/replay_database.csv")).unwrap();
    fs::write(bench.path("q.csv"), include_str!("../history/q_values.csv")).unwrap();
    let verbs = verbs();
    let unbroken: Vec<Unbroken> = verbs.iter().map(|verb| without_fault(bench, verb)).collect();
    let (mut failing, mut killing) = (Vec::new(), Vec::new());
    for (number, verb) in unbroken.iter().enumerate() {
        for (call, errors) in CALLS {
            let (before, all) = verb.calls.get(call).copied().unwrap_or_default();
            for n in before + 1..=all {
                let round = |fault| Round { verb: number, call, fault, n };
                failing.extend(errors.iter().map(|error| round(error)));
                if ["pwrite64", "write", "fdatasync", "fsync", "rename", "mkdir", "unlink"]
                    .contains(call)
                {
                    killing.push(round("KILL"));
                }
            }
        }
    }
    // Every verb with every call, as far as the sample goes.
    let failing = bench.spread(failing, 110, |round| (round.verb, round.call));
    let killing = bench.spread(killing, 30, |round| (round.verb, round.call));
    for (row, rounds) in [(fail, failing), (kill, killing)] {
        bench.each(row, &rounds, |at, round| {
            let (verb, unbroken) = (&verbs[round.verb], &unbroken[round.verb]);
            inject(bench, verb, unbroken, round, &format!("{}-{at}", round.fault == "KILL"))
        });
    }
}

/// Arguments with the name of what is made.
fn arguments<'a>(verb: &Verb, out: &'a str) -> Vec<&'a str> {
    verb.arguments.iter().map(|word| if *word == "OUT" { out } else { word }).collect()
}

fn prepare(bench: &Bench, verb: &Verb, store: &str) {
    if let Some(template) = verb.template {
        bench.copy(template, store);
    }
}

fn without_fault(bench: &Bench, verb: &Verb) -> Unbroken {
    prepare(bench, verb, "unbroken");
    let (trace, out) = (bench.path("unbroken.trace"), "unbroken.out");
    let calls: Vec<&str> = CALLS.iter().map(|(call, _)| *call).collect();
    let program = bench.world.qtrail("unbroken", &arguments(verb, out));
    let ended = run(traced(&program, &["-e", &format!("trace={}", calls.join(","))], &trace));
    ended.expect(0);
    let unbroken = Unbroken {
        stdout: ended.stdout,
        made: made(bench, out),
        digests: bench.digests_of("unbroken").unwrap(),
        calls: count(&fs::read_to_string(&trace).unwrap(), &bench.path("unbroken")),
    };
    remove(bench, "unbroken", out);
    unbroken
}

/// Calls of each kind of the first thread before it meets the store, and the most of any thread.
fn count(trace: &str, store: &Path) -> HashMap<&'static str, (usize, usize)> {
    let store = store.to_str().unwrap();
    let first = trace.split_whitespace().next().unwrap_or_default();
    let mut counts: HashMap<(&str, &str), usize> = HashMap::new();
    let mut before: HashMap<&'static str, usize> = HashMap::new();
    let mut met = false;
    for line in trace.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Some((name, _)) = rest.trim_start().split_once('(') else { continue };
        let Some((name, _)) = CALLS.iter().find(|(call, _)| *call == name) else { continue };
        met |= rest.contains(store);
        *counts.entry((thread, name)).or_default() += 1;
        if thread == first && !met {
            *before.entry(name).or_default() += 1;
        }
    }
    let mut calls = HashMap::new();
    for ((_, name), count) in counts {
        let (name, _) = CALLS.iter().find(|(call, _)| *call == name).unwrap();
        let known = calls.entry(*name).or_insert((before.get(name).copied().unwrap_or(0), 0));
        known.1 = known.1.max(count);
    }
    calls
}

/// The file that a verb made.
fn made(bench: &Bench, out: &str) -> Option<Vec<u8>> {
    fs::read(bench.path(out)).ok()
}

fn remove(bench: &Bench, store: &str, out: &str) {
    for name in [store, out, &format!("{out}.artifacts"), &format!("{store}.trace")] {
        let path = bench.path(name);
        let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    }
}

fn inject(
    bench: &Bench,
    verb: &Verb,
    unbroken: &Unbroken,
    round: &Round,
    name: &str,
) -> Option<(u32, Verdict)> {
    let (store, out) = (format!("store-{name}"), format!("out-{name}"));
    prepare(bench, verb, &store);
    let trace = bench.path(&format!("{store}.trace"));
    let Round { call, fault, n, .. } = round;
    let what = if *fault == "KILL" { "signal=KILL".to_owned() } else { format!("error={fault}") };
    let inject = format!("inject={call}:{what}:when={n}");
    let program = bench.world.qtrail(&store, &arguments(verb, &out));
    let ended = run(traced(&program, &["-e", &format!("trace={call}"), "-e", &inject], &trace));
    let traced = fs::read_to_string(&trace).unwrap_or_default();
    let faults =
        traced.matches("(INJECTED)").count() + traced.matches("killed by SIGKILL").count().min(1);
    let verdict = judge(bench, verb, unbroken, round, (&store, &out), &ended);
    remove(bench, &store, &out);
    // Threads take turns: the n-th call of a kind may not come.
    (faults > 0).then(|| (u32::try_from(faults).unwrap(), name_it(verdict, verb, round)))
}

fn name_it(verdict: Verdict, verb: &Verb, round: &Round) -> Verdict {
    let named = |note| {
        format!("{} with {} at the {}. {}: {note}", verb.name, round.fault, round.n, round.call)
    };
    match verdict {
        Verdict::Lost(note) => Verdict::Lost(named(note)),
        Verdict::Silent(note) => Verdict::Silent(named(note)),
        Verdict::Wrong(note) => Verdict::Wrong(named(note)),
        fine => fine,
    }
}

fn judge(
    bench: &Bench,
    verb: &Verb,
    unbroken: &Unbroken,
    round: &Round,
    (store, out): (&str, &str),
    ended: &Ended,
) -> Verdict {
    let verdict = match round.fault {
        "KILL" if ended.code == -9 => Verdict::Told,
        // A sector that cannot be read is damage to `log repair`, which says so.
        "EIO" if verb.name == "log repair" && ended.stdout.contains("cannot be read") => {
            ended.verdict(&[1, 5])
        }
        // SQLite calls a sector of the cache that cannot be read damage; the cache is made anew.
        "EIO" if ended.stderr.contains("ask again: it is built anew from the log") => {
            ended.verdict(&[4])
        }
        // A lock that the system refuses is one that somebody else may hold.
        "EAGAIN" => ended.verdict(&[3, 5, 6]),
        _ => ended.verdict(&[5, 6]),
    };
    // A lock that is refused is one that somebody has: sled is not compared then, which is said.
    if round.fault == "EAGAIN"
        && ended.code == 0
        && ended.stdout.contains("not compared: sled is held")
    {
        return held(bench, store, &unbroken.digests, Verdict::Told);
    }
    // What could not be read was taken for damage too: it is named, and the log ends where it did.
    let end = |stdout: &str| stdout.lines().last().map(ToOwned::to_owned);
    if verb.does == Does::Repair
        && ended.code == 0
        && ended.stdout.contains("sled")
        && end(&ended.stdout) == end(&unbroken.stdout)
    {
        let again = afterwards(bench, verb, store, &unbroken.digests);
        return again.map_or_else(Verdict::Lost, |()| Verdict::Repaired);
    }
    if ended.code == 0 {
        let same = match verb.does {
            Does::Read | Does::Repair => ended.stdout == unbroken.stdout,
            Does::Make if verb.name == "log backup" => {
                bench.digests_of(out).as_ref() == Ok(&unbroken.digests)
            }
            Does::Make => made(bench, out) == unbroken.made,
            _ => bench.digests_of(store).as_ref() == Ok(&unbroken.digests),
        };
        if !same {
            return Verdict::Silent(format!("another answer:\n{}{}", ended.stdout, ended.stderr));
        }
    } else if let Some(found) = made(bench, out) {
        // Whole or not at all; or what the message says, without the artifacts that it names.
        let partly = verb.name == "log export" && ended.stderr.contains("everything else is in");
        let ends = found.ends_with(b"\"}\n") && !found.is_empty();
        if Some(&found) != unbroken.made.as_ref() && !(partly && ends) {
            return Verdict::Wrong(format!("half a file was left: {}", ended.told()));
        }
    }
    match afterwards(bench, verb, store, &unbroken.digests) {
        Ok(()) => verdict,
        Err(note) => Verdict::Lost(format!("{note}; before that {}", ended.told())),
    }
}

/// A verdict on a store that is to be what it was.
fn held(bench: &Bench, store: &str, digests: &[String], verdict: Verdict) -> Verdict {
    bench.holds(store, digests).map_or_else(Verdict::Lost, |()| verdict)
}

/// Without the fault, everything comes right.
fn afterwards(bench: &Bench, verb: &Verb, store: &str, digests: &[String]) -> Result<(), String> {
    let again = |arguments: &[&str]| {
        let ended = bench.run(store, arguments);
        if ended.code == 0 { Ok(()) } else { Err(format!("again: {}", ended.told())) }
    };
    let there = bench.path(store).exists();
    match verb.does {
        Does::Read | Does::Make => {}
        Does::Search => again(&verb.arguments)?,
        Does::Repair => {
            again(&SEARCH)?;
            return bench.holds(store, &bench.digests);
        }
        Does::Import if there && bench.digests_of(store).as_deref() == Ok(digests) => {}
        // What was written but not acknowledged is taken by the next one that writes.
        Does::Import => {
            let ended = bench.run(store, &verb.arguments);
            if ended.code != 0 && !ended.stderr.contains("is in the store already") {
                return Err(format!("again: {}", ended.told()));
            }
        }
        Does::Final => {
            // What was written but not acknowledged is taken by the next one that writes: a run that
            // began so is resumed, not begun again.
            let resumed = bench.run(store, &["resume"]);
            let begun = |event: &Event| matches!(event, Event::RunStarted(_));
            if bench.world.count(store, begun) == 0 {
                again(&verb.arguments)?;
            } else if resumed.code != 0 {
                return Err(format!("resume: {}", resumed.told()));
            }
        }
    }
    bench.holds(store, digests)
}
