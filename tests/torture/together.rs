//! Two processes that carry on one search, killed at random moments with `kill -9`.

use std::process::{Child, Stdio};
use std::time::Duration;

use qtrail::events::Event;

use crate::bench::Bench;
use crate::common::World;
use crate::log_common::Dice;
use crate::table::{Row, Verdict};

/// Kills of a round; then both are left to finish.
const KILLS: u32 = 10;

pub(crate) fn two(bench: &Bench, row: &mut Row) {
    let told =
        [&World::tiny("7")[..], &["--in-flight", "4", "--name", "t", "--or-resume"]].concat();
    bench.run("together", &told).expect(0);
    let alone = bench.digests_of("together").unwrap();
    for round in 0..bench.times(2, 20) as u64 {
        let (store, mut dice) = (format!("together-{round}"), Dice(round));
        let begin = |delay: &str| -> Child {
            let mut command = bench.world.qtrail(&store, &told);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.env("QTRAIL_EXAMPLE_DELAY", delay).spawn().unwrap()
        };
        let mut both = [begin("0.05"), begin("0.03")];
        let mut kills = 0;
        while kills < KILLS {
            std::thread::sleep(Duration::from_millis(20 + dice.below(250)));
            let victim = &mut both[usize::from(dice.below(2) == 1)];
            if victim.try_wait().unwrap().is_some() {
                break; // all is done
            }
            let _ = victim.kill();
            let _ = victim.wait();
            *victim = begin("0.03");
            kills += 1;
        }
        let ended = both.map(|mut child| child.wait().unwrap().code());
        // Whoever was killed as it took the name may leave the last word to a third.
        let last = bench.run(&store, &told);
        let events = bench.world.events(&store);
        let of =
            |wanted: fn(&Event) -> bool| events.iter().filter(|one| wanted(&one.event)).count();
        let planned = of(|event| matches!(event, Event::TrialPlanned(_)));
        let results = of(|event| matches!(event, Event::TrialFinished(_)));
        let verdict = match bench.holds(&store, &alone) {
            Ok(()) if last.code == 0 && planned == results => last.verdict(&[]),
            held => Verdict::Lost(format!(
                "round {round} after {kills} kills, ended with {ended:?}: {held:?}, {results} results \
                 of {planned} trials, {}",
                last.told()
            )),
        };
        row.count(kills, verdict);
    }
}
