//! Disks that fill up: a search on a file system of every size is stopped with exit code 5, and with
//! room it is resumed to what the unbroken one gives.

use std::fs;
use std::process::Command;

use crate::bench::{Bench, SEARCH};
use crate::table::{Row, Verdict};

pub(crate) fn full(bench: &Bench, row: &mut Row) {
    // From nothing at all to more than is needed.
    let step = 2_184 / bench.times(9, 136);
    let sizes: Vec<u32> = (16..2_200).step_by(step).collect();
    bench.each(row, &sizes, |_, kib| {
        let (folder, store) = (format!("disk-{kib}"), format!("disk-{kib}/store"));
        fs::create_dir_all(bench.path(&folder)).unwrap();
        let mount = |options: String| {
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(bench.path(&folder));
            mount.output().is_ok_and(|output| output.status.success())
        };
        if !mount(format!("size={kib}k")) {
            assert!(std::env::var_os("QTRAIL_NO_SKIP").is_none(), "tmpfs cannot be mounted");
            return None;
        }
        let ended = bench.run(&store, &SEARCH);
        let stopped = ended.verdict(&[5]);
        // What was recorded can be asked although there is no room.
        let recorded = bench.world.position(&store);
        let asked = bench.run(&store, &["table", "trials"]);
        let shown = recorded == 0 || asked.code == 0;
        let roomy = mount(format!("remount,size={}k", 64 << 10));
        let again = bench.run(&store, &SEARCH);
        let held = bench.holds(&store, &bench.digests);
        let _ = Command::new("umount").arg("-l").arg(bench.path(&folder)).status();
        let (first, then) = (ended.told(), again.told());
        let verdict = match stopped {
            Verdict::Wrong(note) => Verdict::Wrong(format!("{kib} KiB: {note}")),
            _ if !shown => Verdict::Wrong(format!("{kib} KiB: no answer: {}", asked.told())),
            fine if again.code == 0 && held.is_ok() && roomy => fine,
            _ => Verdict::Lost(format!("{kib} KiB: {held:?}; {first}; then {then}")),
        };
        Some((u32::from(ended.code != 0), verdict))
    });
}
