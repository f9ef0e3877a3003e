//! Cold start: the whole process `qtrail --help`, against the floor of starting any process.

use std::process::{Command, Stdio};

use crate::report::{Report, Row, Target};
use crate::{median, timed};

/// Starts, of which the median counts.
const STARTS: usize = 101;

pub fn cold_start(report: &mut Report) {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..STARTS {
        let programs = [(env!("CARGO_BIN_EXE_qtrail"), &["--help"][..]), ("true", &[])];
        for (times, (program, arguments)) in times.iter_mut().zip(programs) {
            let mut command = Command::new(program);
            command.args(arguments).stdout(Stdio::null());
            times.push(timed(|| assert!(command.status().unwrap().success())));
        }
    }
    let [ours, floor] = times.map(|times| median(times).as_secs_f64() * 1e3);
    let note = format!("starting `true`: {floor:.1} ms");
    let row = Row::new("cold start, qtrail --help", ours, "ms").note(note);
    report.add(row.target(Target::AtMost(10.0)));
}
