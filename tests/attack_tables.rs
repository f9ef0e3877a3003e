//! Tables about attacks: the paper's numbers from ranks that realise them, laws, and speed.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cast_precision_loss
)]

mod attack_world;
mod history;

use attack_world::{World, recorded, small};
use history::History;
use history::attack::{Attack, Look, right, script, trial};
use qtrail::adversary::sampling::Sampling;
use qtrail::events::digest::Digests;
use qtrail::events::{Event, Fold as _, Scope, ScoredImage};
use serde_json::Value;

/// A percentage as the paper prints it.
fn percent(value: &Value) -> String {
    value.as_f64().map_or("n/a".into(), |rate| format!("{:.1}", 100.0 * rate))
}

/// As the paper's tables have it.
fn printed(value: &Value) -> String {
    format!("{:.1}", value.as_f64().unwrap())
}

const METHODS: [&str; 3] = ["fast", "basic", "least-likely"];
const SIZES: [u16; 4] = [16, 8, 4, 2];

/// Counts of Table 2 (images photographed; photo of clean and of adversarial images, right in the
/// top 1 and top 5), in the paper's order: whole images behind its percentages.
const TABLE_2: [[u32; 5]; 12] = [
    [99, 81, 96, 5, 39],
    [96, 74, 92, 14, 68],
    [102, 83, 102, 33, 93],
    [99, 88, 98, 49, 91],
    [90, 84, 88, 54, 79],
    [102, 91, 100, 66, 93],
    [102, 94, 99, 79, 96],
    [99, 93, 96, 80, 96],
    [96, 92, 96, 84, 94],
    [99, 95, 99, 88, 96],
    [99, 93, 99, 91, 97],
    [102, 94, 101, 95, 100],
];

/// An attack whose ranks realise the paper's prefiltered case: 102 images a method and size, all of
/// them clean right and adversarial wrong in the top 5, but for one of basic, eps 2.
fn paper() -> History {
    let mut history = History::default();
    let specs = METHODS.iter().flat_map(|method| SIZES.map(|eps| (*method, eps)));
    let attack = Attack {
        number: 1,
        protocol: "kurakin2017",
        sampling: Sampling { prefilter_k: vec![1], ..Sampling::kurakin2017() },
        classes: 1_000,
        images: 102,
        batch: 40,
        victims: vec![script(0)],
        specs: specs.collect(),
        transformations: (0..12).map(|spec| ("camera", f64::from(spec), 1)).collect(),
        finished: true,
        pixels: None,
    };
    attack.record(&mut history, |look| {
        let Look { source, transformation, place, .. } = look;
        // A photograph of its own for each method and size: its clean images are those of a spec.
        let photo = |spec: usize, right_of: usize| {
            let counts = TABLE_2[spec];
            let rank = match place {
                place if place < counts[right_of] => 0,
                place if place < counts[right_of + 1] => 3,
                _ => 9,
            };
            let flags = if place >= counts[0] { ScoredImage::DROPPED } else { 0 };
            ScoredImage { flags, ..right(rank, 0.85) }
        };
        match (source, transformation) {
            (None, 0) => right(0, 0.9),
            (None, t) => photo(usize::from(t) - 1, 1),
            // The one image of basic, eps 2 that is still right in the top 5.
            (Some(source), 0) if source.spec == 7 && place == 85 => right(2, 0.85),
            (Some(_), 0) => right(7, 0.85),
            (Some(source), t) if t == source.spec + 1 => photo(usize::from(source.spec), 3),
            (Some(_), _) => right(7, 0.85),
        }
    });
    history
}

/// Rows of the photograph that belongs to their method and size.
fn own(rows: Vec<Value>) -> Vec<Value> {
    rows.into_iter().filter(|row| row["parameter"] == row["spec"].as_f64().unwrap()).collect()
}

#[test]
fn ranks_that_realise_table_2_print_table_3() {
    let world = World::of(&paper());
    let published = |table: u32| {
        let condition = format!("\"table\" = {table} and sampling = 'prefiltered'");
        world.rows(&["published_attacks", "--where", &condition])
    };
    let asked = ["destruction", "--case", "prefiltered", "--transformation", "camera"];
    let found = own(world.rows(&asked));
    let mut cells = Vec::new();
    for (pair, row) in found.chunks(2).zip(published(3)) {
        assert_eq!(pair[0]["eps"], row["eps"]);
        assert_eq!(
            (pair[0]["top"].as_str(), pair[1]["top"].as_str()),
            (Some("1/1000"), Some("5/1000"))
        );
        for (cell, name) in pair.iter().zip(["destroyed", "destroyed5"]) {
            assert_eq!(percent(&cell["rate"]), printed(&row[name]), "{cell}");
            cells.push(percent(&cell["rate"]));
        }
    }
    assert_eq!(cells.len(), 24);
    assert_eq!(cells[15], "96.9");
    let basic_2 = &found[15];
    assert_eq!(basic_2["fraction"], "95/98");
    // Table 2: accuracies of photographs, and of the images themselves.
    let asked = ["accuracy", "--case", "prefiltered", "--transformation", "camera"];
    let photos = own(world.rows(&asked));
    let sources =
        world.rows(&["accuracy", "--case", "prefiltered", "--transformation", "identity"]);
    for ((photo, source), row) in photos.chunks(2).zip(sources.chunks(2)).zip(published(2)) {
        assert_eq!(photo[0]["adv_n"], row["photos"]);
        for (k, suffix) in ["", "5"].iter().enumerate() {
            let cell = |name: &str| printed(&row[format!("{name}{suffix}")]);
            assert_eq!(percent(&photo[k]["clean_accuracy"]), cell("photo_clean"), "{row}");
            assert_eq!(percent(&photo[k]["adv_accuracy"]), cell("photo_adv"), "{row}");
            assert_eq!(percent(&source[k]["clean_accuracy"]), cell("source_clean"), "{row}");
            assert_eq!(percent(&source[k]["adv_accuracy"]), cell("source_adv"), "{row}");
        }
    }
    // Section 2 of the definition: prefiltered in both top 1 and top 5, the rate is an accuracy.
    let strict = ["--case", "prefiltered", "--prefilter-k", "1,5", "--transformation", "camera"];
    let rates = own(world.rows(&[&["destruction"][..], &strict].concat()));
    let accuracies = own(world.rows(&[&["accuracy"][..], &strict].concat()));
    for (rate, accuracy) in rates.iter().zip(&accuracies) {
        assert_eq!(rate["rate"], accuracy["adv_accuracy"]);
    }
    // Wilson's interval of fast, eps 16: 5 of 99.
    assert_eq!(
        (percent(&found[0]["low"]), percent(&found[0]["high"])),
        ("2.2".into(), "11.3".into())
    );
}

/// Edge cases of section 2 of the definition.
#[test]
fn what_is_undefined_is_shown_as_such() {
    // Nothing is ever fooled; five classes, so that every image is among the five likeliest.
    let world = recorded(&small(5, 10, vec![("jpeg", 50.0, 1)]), |_| right(0, 0.9));
    let both = ["--k", "1,5"];
    let destruction = ["table", "destruction", "--columns", "top,rate,fraction"];
    let (_, shown, _) = world.run(&[&destruction[..], &both].concat());
    let lines: Vec<String> =
        shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines[2..6], ["1/5 n/a (0/0) 0/0", "5/5 n/a (0/0) 0/0"].repeat(2), "{shown}");
    for row in world.rows(&[&["destruction"], &both[..]].concat()) {
        assert_eq!(
            (&row["rate"], &row["low"], &row["fooled"]),
            (&Value::Null, &Value::Null, &0.into())
        );
        assert_eq!(row["clean_accuracy"].is_null(), row["k"] == 5);
    }
    // k is not below the number of classes: every answer would be right.
    let rows = |table: &'static str| world.rows(&[&[table], &both[..]].concat());
    for row in rows("accuracy").into_iter().chain(rows("robustness")) {
        let accuracy = row.get("adv_accuracy").unwrap_or(&row["accuracy"]);
        assert_eq!(accuracy.is_null(), row["k"] == 5, "{row}");
    }
    // Unless it is asked for, it is not shown.
    for table in ["destruction", "accuracy", "robustness"] {
        let rows = world.rows(&[table]);
        assert!(!rows.is_empty() && rows.iter().all(|row| row["k"] == 1), "{table}");
    }
    let (_, shown, _) =
        world.run(&["table", "accuracy", "--k", "5", "--columns", "adv_accuracy,adv_fraction"]);
    assert!(shown.contains("n/a") && !shown.contains("n/a (0/0)"), "{shown}");
    assert!(world.rows(&["methods"]).is_empty());
}

#[test]
fn the_identity_destroys_nothing_and_an_oracle_everything() {
    let attack = small(10, 20, vec![("blur", 1.0, 1), ("jpeg", 50.0, 1), ("noise", 4.0, 2)]);
    let world = recorded(&attack, |look| {
        let clean = u16::from(look.place % 5 == 0);
        let lost = if look.place == 1 { ScoredImage::DROPPED } else { 0 };
        match (look.source, look.transformation) {
            // An oracle that gives the clean image back; one that gives nonsense back.
            (None, _) | (Some(_), 1) => right(clean, 0.9),
            (Some(_), 2) => {
                let flags = ScoredImage::NOT_FINITE;
                ScoredImage { flags, ..right(ScoredImage::NONE, f32::NAN) }
            }
            (Some(_), 3) => ScoredImage { flags: lost, ..right(look.repeat, 0.7) },
            (Some(_), _) => right(3, 0.7),
        }
    });
    let found = |arguments: &[&str]| -> Vec<String> {
        let rows = world.rows(&[&["destruction", "--k", "1"], arguments].concat());
        rows.iter().map(|row| row["fraction"].as_str().unwrap().to_owned()).collect()
    };
    // 16 of 20 are right when clean. Of the noisy ones one is lost; the first repetition brings all
    // others back, the second none: never pooled.
    assert_eq!(found(&[]), ["0/16", "16/16", "0/16", "15/15 0/15"]);
    let noise = &world.rows(&["destruction", "--k", "1", "--transformation", "noise"])[0];
    assert_eq!((&noise["rate"], &noise["destroyed"]), (&0.5.into(), &Value::Null));
    assert!((noise["sd"].as_f64().unwrap() - 0.5_f64.sqrt()).abs() < 1e-12);
    assert_eq!(found(&["--repeats"]), ["0/16", "16/16", "0/16", "15/15", "0/15", "15/15 0/15"]);
    // Labels are 7 times the place modulo 10: of class 7 the places 1 and 11, of which none is
    // wrong when clean; the first ten places.
    assert_eq!(found(&["--class", "7"]), ["0/2", "2/2", "0/2", "1/1 0/1"]);
    assert_eq!(found(&["--subset", "0-9"]), ["0/8", "8/8", "0/8", "7/7 0/7"]);
    let drawn = world.rows(&["destruction", "--k", "1", "--draw", "12"]);
    assert_eq!((&drawn[0]["n"], &drawn[1]["n"]), (&12.into(), &20.into()));
    // Confidence: adversarial predictions have 0.7, clean ones 0.9.
    let prefiltered = |arguments: &[&str]| {
        found(&[&["--case", "prefiltered", "--prefilter-k", "1"], arguments].concat())[1].clone()
    };
    assert_eq!(prefiltered(&["--confidence", "0.7"]), "16/16");
    assert_eq!(prefiltered(&["--confidence", "0.8"]), "0/0");
    assert_eq!(prefiltered(&["--confidence", "0.8", "--side", "clean"]), "16/16");
    assert_eq!(prefiltered(&["--confidence", "0.8", "--side", "both"]), "0/0");
}

/// Two methods on the same images, and models that judge images of others.
#[test]
fn methods_and_models_are_compared_on_the_same_images() {
    let attack = Attack {
        victims: vec![script(0), script(1)],
        specs: vec![("fast", 8), ("basic", 8)],
        ..small(10, 30, Vec::new())
    };
    let world = recorded(&attack, |look| {
        let Some(source) = look.source else {
            // The second model is wrong on the first five.
            return right(u16::from(look.judge == 1 && look.place < 5), 0.9);
        };
        let reach = [10, 16][usize::from(source.spec)];
        let own = look.judge == source.victim;
        right(if look.place < if own { reach } else { 8 } { 2 } else { 0 }, 0.9)
    });
    let row = &world.rows(&["methods", "--k", "1", "--victim", "net0.pt"])[0];
    assert_eq!(
        (&row["only_method"], &row["only_other"], &row["n"]),
        (&0.into(), &6.into(), &30.into())
    );
    assert!((row["p"].as_f64().unwrap() - 2.0 / 64.0).abs() < 1e-12);
    let (difference, low, high) = (&row["difference"], &row["low"], &row["high"]);
    assert!((difference.as_f64().unwrap() + 0.2).abs() < 1e-12, "{row}");
    assert!(low.as_f64() < difference.as_f64() && difference.as_f64() < high.as_f64(), "{row}");
    let asked = ["transfer-attack", "--k", "1", "--method", "basic", "--victim", "net0.pt"];
    let cells = world.rows(&asked);
    let texts =
        |name: &str| cells.iter().map(|row| row[name].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(texts("judge"), ["net0.pt", "net1.pt"]);
    // Unconditional; right for both when clean (25 images, 3 of them fooled for the other); of the
    // 16 that the attack turned, the 8 that the other has right.
    assert_eq!(texts("fraction"), ["14/30", "22/30"]);
    assert_eq!(texts("fooled_fraction"), ["16/30", "3/25"]);
    assert_eq!(texts("rate_fraction"), ["0/16", "8/16"]);
}

/// Clean and robust accuracy of ten models and more; an image counts if all judged it.
#[test]
fn clean_and_robust_accuracy_go_together() {
    // Twenty trainings; some of them failed.
    let mut history = History::default();
    history.run(1, 20);
    let attack = Attack {
        victims: (0..20).map(|at| trial(at, Scope::Run(1), u32::from(at) + 1, "")).collect(),
        ..small(10, 20, Vec::new())
    };
    attack.record(&mut history, |look| {
        let turned = look.source.is_some() && look.place < u32::from(look.judge);
        let lost = look.source.is_some() && look.judge == 3 && look.place >= 18;
        let flags = if lost { ScoredImage::DROPPED } else { 0 };
        ScoredImage { flags, ..right(u16::from(turned), 0.9) }
    });
    let world = World::of(&history);
    let rows = world.rows(&["top", "--limit", "20", "--search", "r1"]);
    assert!(rows.len() >= 10);
    let mut best = 0.0;
    for row in &rows {
        assert_eq!(row["adv_n"], 18);
        let judge: f64 = row["trial"].as_str().unwrap()[1..].parse::<f64>().unwrap() - 1.0;
        let robust = row["adv_accuracy"].as_f64().unwrap();
        assert!((robust - (18.0 - judge) / 18.0).abs() < 1e-12, "{row}");
        // From the most accurate down: in the front is who is more robust than all before.
        assert_eq!(row["front"], i32::from(robust > best), "{row}");
        best = f64::max(best, robust);
    }
    let (_, shown, _) = world.run(&["table", "top", "--search", "r1"]);
    let count = rows.len();
    assert!(shown.contains("adv_accuracy under basic:8 on 18 images"), "{shown}");
    assert!(
        shown.contains(&format!("({count} models)")) && !shown.contains("are needed"),
        "{shown}"
    );
    let none = world.rows(&["top", "--spec", "fast:8", "--search", "r1"]);
    assert!(none.iter().all(|row| row["adv_accuracy"].is_null() && row["front"].is_null()));
    world.refuses(&["table", "top", "--spec", "fast"], "as in basic:8");
    world.refuses(&["table", "top", "--spec", "fast:0"], "as in basic:8");
}

/// As it was after any event, and while the attack goes on: only what was judged counts.
#[test]
fn an_attack_on_its_way_counts_what_was_judged() {
    let attack = Attack { finished: false, ..small(10, 20, vec![("jpeg", 50.0, 1)]) };
    let mut history = History::default();
    attack.record(&mut history, |look| right(if look.source.is_some() { 3 } else { 0 }, 0.9));
    let world = World::of(&history);
    let all = history.events.len();
    let mut seen = Vec::new();
    for at in 0..=all {
        let rows = world.rows(&["destruction", "--k", "1", "--at", &at.to_string()]);
        seen.extend(rows.first().map(|row| row["fooled"].as_u64().unwrap()));
    }
    assert!(seen.is_sorted() && seen.contains(&7) && seen.contains(&14), "{seen:?}");
    assert_eq!(seen.last(), Some(&20));
    let (_, shown, _) = world.run(&["table", "destruction"]);
    assert!(shown.contains("not finished: only images judged so far count"), "{shown}");
    let progress = &world.rows(&["attacks"])[0];
    assert_eq!((&progress["status"], &progress["progress"]), (&"open".into(), &1.0.into()));
}

/// Two runs of one attack have one digest, whatever their numbers, and those of their models, are,
/// in whatever order their steps were recorded, on whatever machine. Any rank changes it.
#[test]
fn an_attack_has_a_digest_of_its_own() {
    let digest = |number: u32, runs: u32, rank: u16, turn: bool| {
        let mut history = History::default();
        (1..=runs).for_each(|run| history.run(run, 2));
        let attack = Attack {
            number,
            victims: vec![trial(0, Scope::Run(runs), 1, "[SM(10)]")],
            ..small(10, 20, vec![("jpeg", 50.0, 1)])
        };
        attack.record(&mut history, |look| right(if look.place == 13 { rank } else { 0 }, 0.5));
        let mut events = history.events;
        if turn {
            // Micro-batches the other way round.
            let is_step =
                |event: &Event| matches!(event, Event::ImagesCrafted(_) | Event::ImagesScored(_));
            let first = events.iter().position(|recorded| is_step(&recorded.event)).unwrap();
            let last = events.iter().rposition(|recorded| is_step(&recorded.event)).unwrap();
            events[first..=last].reverse();
            for recorded in &mut events {
                match &mut recorded.event {
                    Event::AttackStarted(started) => {
                        (started.threads, started.folder) = (8, "/elsewhere".into());
                    }
                    Event::AttackTrainer(trainer) => trainer.device = "cuda:0".into(),
                    _ => {}
                }
            }
        }
        let found = Digests::default().folded(&events).unwrap().finish();
        found.into_iter().find(|(scope, _)| *scope == Scope::Attack(number)).unwrap().1
    };
    let first = digest(1, 1, 0, false);
    assert_eq!(digest(5, 3, 0, true), first);
    assert_ne!(digest(1, 1, 1, false), first);
}
