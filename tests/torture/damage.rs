//! Bits flipped in every file of a store, and every file cut short, emptied, zeroed or removed. What
//! the program answers must be right, or it must say that something is wrong.

use std::fs;
use std::path::{Path, PathBuf};

use crate::bench::{Bench, Ended, SEARCH};
use crate::log_common::Dice;
use crate::table::{Row, Verdict};

#[derive(Debug, Clone, Copy)]
enum Harm {
    Flip,
    Cut,
    Zeros,
    Remove,
}

struct Round {
    template: &'static str,
    file: PathBuf,
    harm: Harm,
    seed: u64,
}

/// Plain files of a store.
pub(crate) fn files(root: &Path) -> Vec<PathBuf> {
    let (mut folders, mut found) = (vec![PathBuf::new()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).unwrap().flatten() {
            let inside = folder.join(entry.file_name());
            let kind = entry.file_type().unwrap();
            match kind.is_dir() {
                true => folders.push(inside),
                false if kind.is_file() => found.push(inside),
                false => {}
            }
        }
    }
    found.sort();
    found
}

pub(crate) fn damage(bench: &Bench, flips: &mut Row, others: &mut Row) {
    // The tables of both are built, so that a damaged cache may be asked.
    for template in ["done", "killed"] {
        bench.run(template, &["table", "top"]).expect(0);
    }
    let answers = Answers {
        top: top(bench, "done").stdout,
        trials: trials(bench, "done").stdout,
        killed: top(bench, "killed").stdout,
    };
    let (mut flipping, mut harming) = (Vec::new(), Vec::new());
    for template in ["done", "killed"] {
        for file in files(&bench.path(template)) {
            let times = bench.times(2, 40) as u64;
            for seed in 0..times {
                let round = |harm| Round { template, file: file.clone(), harm, seed };
                flipping.push(round(Harm::Flip));
                harming.push(round(Harm::Cut));
                harming.push(round(Harm::Zeros));
                if seed == 0 {
                    harming.push(round(Harm::Remove));
                }
            }
        }
    }
    let group = |round: &Round| (round.template, round.file.clone());
    let flipping = bench.spread(flipping, 44, group);
    let harming = bench.spread(harming, 44, group);
    for (row, rounds, name) in [(flips, flipping, "flip"), (others, harming, "harm")] {
        bench.each(row, &rounds, |at, round| {
            let store = format!("{name}-{at}");
            bench.copy(round.template, &store);
            if !harm(&bench.path(&store).join(&round.file), round) {
                return None;
            }
            let verdict = judge(bench, &store, round, &answers);
            let _ = fs::remove_dir_all(bench.path(&store));
            Some((1, verdict))
        });
    }
}

/// Answers of undamaged stores.
struct Answers {
    top: String,
    trials: String,
    killed: String,
}

fn top(bench: &Bench, store: &str) -> Ended {
    bench.run(store, &["table", "top", "--format", "csv"])
}

/// All columns that follow from the seed alone.
fn trials(bench: &Bench, store: &str) -> Ended {
    let columns = "trial,arch,accuracy,params,status";
    bench.run(store, &["table", "trials", "--columns", columns, "--format", "csv"])
}

/// Returns whether the file is another one now.
fn harm(path: &Path, round: &Round) -> bool {
    let mut dice = Dice(round.seed ^ u64::from(crc(round.file.to_str().unwrap())));
    let before = fs::read(path).unwrap();
    let mut bytes = before.clone();
    let mut below = |n: usize| usize::try_from(dice.below(n.max(1) as u64)).unwrap();
    match round.harm {
        Harm::Remove => {
            fs::remove_file(path).unwrap();
            return true;
        }
        _ if bytes.is_empty() => return false,
        Harm::Flip => {
            // Most zeros are the unused end of a segment or page.
            let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
            let Some(at) = used.get(below(used.len())) else { return false };
            bytes[*at] ^= 1 << below(8);
        }
        Harm::Cut => bytes.truncate(below(before.len())),
        Harm::Zeros => {
            let from = below(before.len());
            let end = before.len().min(from + 512);
            bytes[from..end].fill(0);
        }
    }
    fs::write(path, &bytes).unwrap();
    bytes != before
}

fn crc(name: &str) -> u32 {
    name.bytes().fold(0, |sum: u32, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)))
}

/// First a query, then a verification, then the search is carried on; each is right, or says why not.
fn judge(bench: &Bench, store: &str, round: &Round, answers: &Answers) -> Verdict {
    let said = |what: &str, ended: &Ended| {
        format!(
            "{:?} of {} of {}: {what}: {}",
            round.harm,
            round.file.display(),
            round.template,
            ended.told()
        )
    };
    let mut verdicts = Vec::new();
    let asked = top(bench, store);
    let right = if round.template == "done" { &answers.top } else { &answers.killed };
    if asked.code == 0 && asked.stdout != *right {
        return Verdict::Silent(said("another table", &asked) + &asked.stdout);
    }
    verdicts.push((asked.verdict(&[4]), said("table top", &asked)));
    let verified = bench.run(store, &["log", "verify", "--deep"]);
    verdicts.push((verified.verdict(&[4]), said("log verify", &verified)));
    let mut carried = bench.run(store, &SEARCH);
    // STORE says what the folder is; without it, it is none that may be written to.
    verdicts.push((carried.verdict(&[2, 4]), said("search", &carried)));
    if carried.code == 4 {
        let repaired = bench.run(store, &["log", "repair", "--apply"]);
        verdicts.push((repaired.verdict(&[2, 4]), said("log repair", &repaired)));
        if repaired.code == 0 {
            carried = bench.run(store, &SEARCH);
            verdicts.push((carried.verdict(&[4]), said("search after repair", &carried)));
        }
    }
    if carried.code == 0 {
        if bench.digests_of(store).as_ref() != Ok(&bench.digests) {
            return Verdict::Silent(said("another search", &carried));
        }
        let ended = trials(bench, store);
        if ended.code == 0 && ended.stdout != answers.trials {
            return Verdict::Silent(said("another table afterwards", &ended) + &ended.stdout);
        }
    } else if round.template == "done" && round.file != Path::new("STORE") {
        // Both copies of a closed log are whole, so one damaged file takes nothing.
        return Verdict::Lost(said("one file was damaged", &carried));
    }
    if let Some((_, note)) =
        verdicts.iter().find(|(verdict, _)| matches!(verdict, Verdict::Wrong(_)))
    {
        return Verdict::Wrong(note.clone());
    }
    let worst = [Verdict::Told, Verdict::Repaired];
    let met = worst.into_iter().find(|worst| verdicts.iter().any(|(verdict, _)| verdict == worst));
    match met {
        Some(Verdict::Told) if carried.code == 0 && carried.repaired() => Verdict::Repaired,
        other => other.unwrap_or(Verdict::Harmless),
    }
}
