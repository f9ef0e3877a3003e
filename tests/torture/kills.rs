//! Searches killed at random moments, with `kill -9`.

use std::process::Stdio;
use std::time::Duration;

use crate::bench::{Bench, SEARCH};
use crate::log_common::Dice;
use crate::table::{Row, Verdict};

pub(crate) fn random_kills(bench: &Bench, row: &mut Row) {
    let searches: Vec<u64> = (0..bench.times(2, 100) as u64).collect();
    bench.each(row, &searches, |_, seed| {
        let (store, mut dice) = (format!("random-{seed}"), Dice(*seed));
        let mut kills = 0;
        // Each round takes longer than the one before, so that it ends.
        for round in 0_u64..30 {
            let mut command = bench.world.qtrail(&store, &SEARCH);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.env("QTRAIL_EXAMPLE_DELAY", "0.01").spawn().unwrap();
            let moment = Duration::from_millis(5 + dice.below(150 + 20 * round));
            std::thread::sleep(moment);
            let _ = child.kill();
            if child.wait().unwrap().success() {
                break;
            }
            kills += 1;
        }
        let ended = bench.run(&store, &SEARCH);
        let verdict = match (ended.code, bench.holds(&store, &bench.digests)) {
            (0, Ok(())) => ended.verdict(&[]),
            (_, held) => Verdict::Lost(format!(
                "search {seed} after {kills} kills: {held:?}, {}",
                ended.told()
            )),
        };
        let _ = std::fs::remove_dir_all(bench.path(&store));
        Some((kills, verdict))
    });
}
