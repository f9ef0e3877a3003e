//! Every parser of bytes of others on mutated samples: nothing panics, takes long, or allocates
//! much. `QTRAIL_FUZZ_INPUTS` sets the inputs of a target (default 100,000), `QTRAIL_FUZZ_SEEDS`
//! names a folder for samples, for `make fuzz`.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]
#![allow(clippy::cast_possible_truncation, clippy::disallowed_methods, clippy::print_stderr)]

#[path = "fuzz/memory.rs"]
mod memory;
#[path = "fuzz/mutate.rs"]
mod mutate;
#[path = "fuzz/seeds.rs"]
mod seeds;
#[path = "fuzz/targets.rs"]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use targets::{TARGETS, Target};

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// Longest time of one input; machines that run tests are busy.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Runs one input, and says what was wrong with it.
fn check(target: &Target, bytes: &[u8]) -> Result<(), String> {
    let begun = Instant::now();
    let run = || catch_unwind(AssertUnwindSafe(|| (target.run)(bytes)));
    let (ran, held) = memory::most_held(run);
    if ran.is_err() {
        return Err("it panicked".to_owned());
    }
    if held > target.memory {
        return Err(format!("it allocated {held} bytes, more than {}", target.memory));
    }
    let took = begun.elapsed();
    if took > TIME_MAX { Err(format!("it took {took:?}")) } else { Ok(()) }
}

#[track_caller]
fn fuzz(name: &str) {
    let target = targets::named(name);
    let seeds = seeds::of(name);
    for seed in &seeds {
        check(target, seed).unwrap_or_else(|what| panic!("{name}: a sample: {what}"));
    }
    let inputs = std::env::var("QTRAIL_FUZZ_INPUTS").ok().map(|text| text.parse().unwrap());
    let inputs: u64 = inputs.unwrap_or(100_000) * u64::from(target.percent) / 100;
    let begun = Instant::now();
    for number in 0..inputs {
        let bytes = mutate::input(name, &seeds, number);
        if let Err(what) = check(target, &bytes) {
            let text = bytes.escape_ascii().to_string();
            panic!("{name}: input {number} of {} bytes: {what}:\n{text:.2000}", bytes.len());
        }
    }
    eprintln!("{name}: {inputs} inputs in {:.1?}", begun.elapsed());
}

macro_rules! fuzzed {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            fuzz(stringify!($name));
        })*

        #[test]
        fn every_target_is_run() {
            let run = [$(stringify!($name)),*];
            assert_eq!(TARGETS.iter().map(|target| target.name).collect::<Vec<_>>(), run);
        }
    };
}

fuzzed! {
    frame event journal export trainer config notation expression idx npz mat cifar png jpeg checkpoint
    differences split import
}

/// Every target has a program for libFuzzer, and there are no others.
#[test]
fn libfuzzer_has_the_same_targets() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    let mut expected: Vec<String> =
        TARGETS.iter().map(|target| format!("{}.rs", target.name)).collect();
    expected.sort_unstable();
    assert_eq!(names, expected);
}

/// The counting itself, and that a target which panics or allocates too much is noticed.
#[test]
fn what_goes_wrong_is_noticed() {
    let target = |run| Target { name: "x", run, percent: 100, memory: 1 << 20 };
    let large = target(|_| drop(vec![0_u8; 2 << 20]));
    assert!(check(&large, &[]).unwrap_err().contains("allocated"));
    assert_eq!(check(&target(|_| drop(vec![0_u8; 1 << 10])), &[]), Ok(()));
    assert!(check(&target(|bytes| assert!(bytes.is_empty())), &[1]).is_err());
}

/// Samples for libFuzzer.
#[test]
fn write_seeds() {
    let Some(folder) = std::env::var_os("QTRAIL_FUZZ_SEEDS") else { return };
    for target in TARGETS {
        let folder = std::path::Path::new(&folder).join(target.name);
        std::fs::create_dir_all(&folder).unwrap();
        for (seed, number) in seeds::of(target.name).into_iter().zip(0..) {
            std::fs::write(folder.join(format!("{number:03}")), seed).unwrap();
        }
    }
}
