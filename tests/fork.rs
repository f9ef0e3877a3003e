//! Forks, extended schedules, and every live policy: killed as processes and resumed, the search is
//! the same. The trainer is the example in Python.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]
#![allow(clippy::disallowed_methods, clippy::cast_possible_truncation)]

mod common;

use std::thread::sleep;
use std::time::{Duration, Instant};

use common::World;
use qtrail::config::replay::Policy;
use qtrail::events::digest::Digests;
use qtrail::events::{Event, Fold as _, Hash, Scope};

/// Every policy that a search can follow.
fn live() -> Vec<String> {
    let live = |name: &&str| name.parse::<Policy>().unwrap().live().is_ok();
    Policy::LIST.iter().map(|entry| entry.name).filter(live).map(str::to_owned).collect()
}

fn digest(world: &World, store: &str, search: u32) -> Hash {
    let all = Digests::default().folded(&world.events(store)).unwrap().finish();
    all.into_iter().find(|(scope, _)| *scope == Scope::Search(search)).unwrap().1
}

/// Digests of the Q-tables of a search, in order.
fn tables(world: &World, store: &str, search: u32) -> Vec<Hash> {
    let events = world.events(store).into_iter();
    let of = events.filter(|recorded| recorded.scope == Scope::Search(search));
    of.filter_map(|recorded| match recorded.event {
        Event::ReplayUpdated(update) => Some(update.q),
        _ => None,
    })
    .collect()
}

/// The last event of a search whose replay was the one after this episode.
fn position_after(world: &World, store: &str, episode: u32) -> String {
    let last =
        |event: &Event| matches!(event, Event::ReplayUpdated(update) if update.episode == episode);
    let events = world.events(store);
    events.iter().find(|recorded| last(&recorded.event)).unwrap().position.to_string()
}

/// Carries a search on, killing the program whenever the log has grown by `step` events.
fn killed(world: &World, store: &str, first: &[&str], step: u64, kills: u32) {
    let (mut at, mut arguments) = (world.position(store) + step, first.to_vec());
    for _ in 0..kills {
        let mut child = world.start(store, &arguments, "0.01");
        let deadline = Instant::now() + Duration::from_secs(20);
        while world.position(store) < at && child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "{store}: it does not get on");
            sleep(Duration::from_millis(2));
        }
        let _ = child.kill(); // SIGKILL
        child.wait().unwrap();
        at = world.position(store) + step;
        // Killed before it had begun, it begins anew.
        arguments = if world.position(store) == 0 { first.to_vec() } else { vec!["resume"] };
    }
    world.run(store, &["resume"]).code(0);
}

/// A search under every live policy, the stateful ones too: killed a few times, its digest is that
/// of the unbroken one. So it is for a fork of one search to that policy.
#[test]
fn every_live_policy_survives_being_killed() {
    let source = World::new();
    source.run("source", &World::tiny("7")).code(0);
    let at = position_after(&source, "source", 8);
    let policies = live();
    assert!(policies.len() >= 13);
    let one = |policy: &str| {
        let world = World::new();
        let search = [&World::tiny("7")[..], &["--policy", policy]].concat();
        world.run("whole", &search).code(0);
        killed(&world, "killed", &search, 40, 2);
        let resumed = |event: &Event| matches!(event, Event::Resumed(_));
        assert!(world.count("killed", resumed) >= 1, "{policy}: killed too late to matter");
        assert_eq!(digest(&world, "killed", 1), digest(&world, "whole", 1), "{policy}");

        let fork = ["fork", "s1", "--at", &at, "--policy", policy, "--name", "fork"];
        for store in ["forked", "broken"] {
            world.copy(&source.path("source"), store);
            world.run(store, &fork).code(0).says("left to train: 6 models");
        }
        world.run("forked", &["resume", "fork"]).code(0).says("s2 is finished");
        killed(&world, "broken", &["resume", "fork"], 13, 1);
        assert_eq!(digest(&world, "broken", 2), digest(&world, "forked", 2), "{policy}");
        assert_eq!(digest(&world, "forked", 1), digest(&source, "source", 1), "its source");
        let found = tables(&world, "forked", 2).len();
        let logged = world.run("forked", &["replay", "fork", "--policy", "as-logged"]);
        logged
            .code(0)
            .says(&format!("as-logged: {found} digests of Q-tables on record, all equal"));
        // Its own policy and seed make the draws on record, those of what it inherited too.
        let again = ["replay", "fork", "--policy", policy, "--seeds", "7", "--columns", "rms"];
        let csv = [&again[..], &["--format", "csv", "--no-header"]].concat();
        let rms = world.run("forked", &csv).code(0).stdout();
        assert!(rms.starts_with("0.0,"), "{policy}: {rms}");
        world.run("forked", &["log", "verify"]).code(0);
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = policies
            .chunks(policies.len().div_ceil(4))
            .map(|part| scope.spawn(|| part.iter().for_each(|policy| one(policy))))
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}

/// With the policy and the seed of its source, a fork goes on as its source did.
#[test]
fn a_fork_that_changes_nothing_goes_on_like_its_source() {
    let world = World::new();
    world.run("d", &World::tiny("7")).code(0);
    let at = position_after(&world, "d", 8);
    let forked = world.run("d", &["fork", "s1", "--at", &at, "--name", "same"]);
    forked.code(0).says("8 experiences of 6 architectures").says("`qtrail resume s2` trains them");
    assert_eq!(tables(&world, "d", 2), tables(&world, "d", 1)[..8]);
    let epsilon = world.run("d", &["table", "epsilon", "--search", "same", "--format", "csv"]);
    assert_eq!(epsilon.code(0).stdout().lines().count(), 3, "two epsilons by then");
    world.run("d", &["resume"]).code(0).says("s2 is finished: 12 models");
    assert_eq!(tables(&world, "d", 2), tables(&world, "d", 1));
    // Nothing that was inherited is trained again.
    let trained = |search: u32| {
        let events = world.events("d");
        let of = events.iter().filter(|recorded| recorded.scope == Scope::Search(search));
        of.filter(|recorded| matches!(recorded.event, Event::TrialFinished(_))).count()
    };
    assert_eq!((trained(1), trained(2)), (12, 6));
    // What the tables say of both is the same, times and ids aside.
    let columns = ["--columns", "episode,accuracy,arch,epsilon,duplicate,failed,phase"];
    for (table, columns) in
        [("episodes", columns), ("phases", ["--columns", "phase,reason,models"])]
    {
        let of = |search: &str| {
            let fixed = ["table", table, "--search", search, "--format", "csv"];
            world.run("d", &[&fixed[..], &columns].concat()).code(0).stdout()
        };
        assert_eq!(of("s2"), of("s1"), "{table}");
    }
    let inherited = ["table", "trials", "--search", "s2", "--where", "inherited is not null"];
    let rows = world.run("d", &[&inherited[..], &["--format", "csv", "--no-header"]].concat());
    assert_eq!(rows.code(0).stdout().lines().count(), 6);
    world.run("d", &["show", "same"]).code(0).says("s1 as of event").says("of 6 architectures");
    world.run("d", &["show", "t13"]).code(0).says("`qtrail show t1`");
    world.run("d", &["show", "e1", "--search", "s2"]).code(0).says("inherited, there episode 1");

    // A fork of the fork, from what it inherited alone, begins like the fork.
    let end = world.events("d").into_iter().find(|recorded| {
        matches!(&recorded.event, Event::ReplayUpdated(update) if update.episode == 8)
            && recorded.scope == Scope::Search(2)
    });
    let at = end.unwrap().position.to_string();
    world.run("d", &["fork", "same", "--at", &at, "--name", "again"]).code(0);
    world.run("d", &["resume", "again"]).code(0).says("s3 is finished");
    assert_eq!(digest(&world, "d", 3), digest(&world, "d", 2));

    // It goes with the log, and its digest does not depend on where it stands.
    world.run("d", &["log", "export", "-o", "d.jsonl"]).code(0);
    world.run("e", &["log", "import", "d.jsonl"]).code(0);
    assert_eq!(digest(&world, "e", 2), digest(&world, "d", 2));
    world.run("f", &World::tiny("1")).code(0);
    world.run("f", &World::tiny("7")).code(0);
    let offset = world.events("f").into_iter().find(|recorded| recorded.scope == Scope::Search(2));
    let offset = offset.unwrap().position.0 - 1;
    let at = (position_after(&world, "d", 8).parse::<u64>().unwrap() + offset).to_string();
    world.run("f", &["fork", "s2", "--at", &at]).code(0);
    world.run("f", &["resume", "s3"]).code(0);
    assert_eq!(digest(&world, "f", 3), digest(&world, "d", 2));
}

/// A fork that was cut short leaves nothing that counts, and its number is not used again.
#[test]
fn an_unfinished_fork_is_not_there() {
    let world = World::new();
    world.run("d", &World::tiny("7")).code(0);
    let at = position_after(&world, "d", 8);
    world.run("d", &["fork", "s1", "--at", &at, "--name", "cut"]).code(0);
    world.run("d", &["log", "export", "-o", "whole.jsonl"]).code(0);
    let closing = world.events("d").into_iter();
    let closing = closing.filter(|recorded| matches!(recorded.event, Event::ForkFinished(_)));
    let keep = closing.map(|recorded| recorded.position.0 as usize - 1).next().unwrap();
    // The events before the closing one, as if the program had been killed there.
    history::truncated(&world, "d", "cut", keep);
    let searches = world.run("cut", &["table", "searches", "--format", "csv", "--no-header"]);
    assert_eq!(searches.code(0).stdout().lines().count(), 1);
    world.run("cut", &["resume", "cut"]).code(2).says("no search, run or attack is called cut");
    world.run("cut", &["resume"]).code(0).says("nothing is left to do");
    let verify = ["log", "verify", "--no-artifacts"]; // they are in the other store
    world.run("cut", &verify).code(0);
    world.run("cut", &["replay", "s2", "--policy", "uniform"]).code(2);
    world.run("cut", &["fork", "s1", "--at", &at, "--name", "cut"]).code(0).says("s3: s1 at event");
    world.run("cut", &verify).code(0);
}

#[test]
fn a_finished_search_can_be_extended() {
    let world = World::new();
    for store in ["whole", "killed"] {
        world.run(store, &World::tiny("7")).code(0);
        world.run(store, &["resume"]).code(0).says("nothing is left to do");
        let extend = ["search", "--extend", "1:4,0.5:2", "s1"];
        world.run(store, &extend).code(0).says("6 models more").says("`qtrail resume s1`");
        world.run(store, &extend).code(2).says("it is not finished; `qtrail resume` goes on");
        world.run(store, &["status"]).code(0).says("stopped: qtrail resume s1");
        world.run(store, &["show", "s1"]).code(0).says("12 of 18 models").says("1.0:4,0.5:2");
    }
    world.run("whole", &["resume"]).code(0).says("s1 is finished: 18 models");
    killed(&world, "killed", &["resume", "s1"], 9, 3);
    assert_eq!(digest(&world, "killed", 1), digest(&world, "whole", 1));
    let phases = ["table", "phases", "--format", "csv", "--columns", "phase,epsilon,models"];
    let phases = world.run("whole", &phases).code(0).stdout();
    assert!(phases.contains("3,1.0,4") && phases.contains("4,0.5,2"), "{phases}");
    world.run("whole", &["log", "verify"]).code(0);
    world.run("whole", &["replay", "--policy", "as-logged"]).code(0).says("all equal");
    world.run("whole", &["report", "-o", "r.html"]).code(0);
    let page = std::fs::read_to_string(world.path("r.html")).unwrap();
    assert!(page.contains("qtrail search --extend 1.0:4,0.5:2 s1"));
    // A fork of it knows the phases that were added, and can have more.
    world.run("whole", &["fork", "s1"]).code(2).says("nothing would be left to train");
    world.run("whole", &["fork", "s1", "--extend", "1:2"]).code(0).says("left to train: 2 models");
    world.run("whole", &["resume"]).code(0).says("s2 is finished: 20 models");
    world.run("whole", &["report", "--search", "s2", "-o", "r.html"]).code(0);
    let page = std::fs::read_to_string(world.path("r.html")).unwrap();
    for text in ["qtrail fork s1 --at ", "--policy uniform --draws 20", " --seed 7 --extend 1:2"] {
        assert!(page.contains(text), "{text}");
    }
}

#[test]
fn what_cannot_be_forked_or_extended_is_said() {
    let world = World::new();
    world.run("none", &["fork", "s1"]).code(2).says("there is no store at");
    assert!(!world.path("none").exists());
    world.run("d", &World::tiny("7")).code(0);
    let train = ["train", "[SM(10)]", "--preset", "tiny", "--data", "data"];
    world.run("d", &train).code(0);
    let before = world.position("d");
    for (arguments, message) in [
        (vec!["fork", "s9"], "no search is called s9"),
        (vec!["fork", "r1"], "no search is called r1"),
        (vec!["fork", "s1", "--at", "99999"], "the log has the events 1 to"),
        (vec!["fork", "s1", "--at", "0"], "the log has the events 1 to"),
        (vec!["fork", "s1", "--at", "2"], "it has no experiences by then"),
        (vec!["fork", "s1", "--at", "60", "--policy", "sweep"], "would never learn"),
        (vec!["fork", "s1", "--at", "60", "--policy", "newst"], "there are uniform,"),
        (vec!["fork", "s1", "--at", "60", "--draws", "0"], "replay.draws = 0: 1 to 700"),
        (vec!["fork", "s1", "--at", "60", "--alpha", "2"], "above 0 to 1"),
        (vec!["fork", "s1", "--at", "60", "--name", "s7"], "unlike an id"),
        (vec!["search", "--extend", "0.1:0", "s1"], "EPSILON:MODELS"),
        (vec!["search", "--extend", "0.1:2"], "<SEARCH>"),
        (vec!["search", "s1"], "--extend"),
        (vec!["search", "--extend", "0.1:2", "s9"], "no search is called s9"),
    ] {
        world.run("d", &arguments).code(2).says(message);
    }
    assert_eq!(world.position("d"), before, "bad input changes nothing");
    world.run("d", &["fork", "s1", "--at", "60", "--name", "a"]).code(0);
    world.run("d", &["fork", "s1", "--at", "60", "--name", "a"]).code(2).says("called a is in");
}

mod history {
    use qtrail::log::{EventLog, LocalLog, Options, Store};

    /// A store with the first events of another one.
    pub(crate) fn truncated(world: &crate::World, from: &str, to: &str, keep: usize) {
        let open = |store: Store| LocalLog::open(store, Options::default()).unwrap();
        let mut source = open(Store::open(&world.path(from)).unwrap());
        let frames = source.read(Default::default(), keep).unwrap();
        source.close().unwrap();
        assert_eq!(frames.len(), keep);
        let mut log = open(Store::open_or_create(&world.path(to)).unwrap());
        let mut head = log.head().unwrap();
        for part in frames.chunks(100) {
            head = log.append(head, part).unwrap();
        }
        log.close().unwrap();
    }
}
