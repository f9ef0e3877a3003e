//! Whether attacks can be believed: comparable numbers, signs of masked gradients, and warnings.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

mod attack_world;
mod history;

use attack_world::{World, recorded, small};
use history::History;
use history::attack::{Attack, right, script, trial};
use qtrail::events::{Event, Recorded, Scope};
use serde_json::Value;

/// The second attack with the same method and eps has other images, and does not take the place of
/// the first; nor does one with other settings that is no stronger. Each can be asked for.
#[test]
fn a_newer_attack_does_not_silently_replace_what_top_shows() {
    let record = |history: &mut History, number, images, models: u16, wrong: u32| {
        let victims = (0..models).map(|at| trial(at, Scope::Run(1), u32::from(at) + 1, ""));
        let attack = Attack { number, victims: victims.collect(), ..small(10, images, Vec::new()) };
        attack.record(history, |look| {
            let turned = look.source.is_some() && look.place < wrong;
            right(u16::from(turned), 0.9)
        });
    };
    let shown = |history: &History, arguments: &[&str]| {
        let world = World::of(history);
        let top = ["top", "--search", "r1", "--limit", "20", "--where", "adv_accuracy >= 0"];
        let rows = world.rows(&[&top[..], arguments].concat());
        let values = |name: &str| rows.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
        let attacks = values("adv_attack");
        assert!(attacks.iter().all(|attack| *attack == attacks[0]), "{attacks:?}");
        let first = [&attacks[0], &values("adv_n")[0]].map(ToString::to_string);
        let (_, text, _) = world.run(&["table", "top", "--search", "r1"]);
        (first, rows.len(), rows[0]["adv_accuracy"].as_f64().unwrap(), text)
    };
    let mut history = History::default();
    history.run(1, 4);
    record(&mut history, 1, 20, 3, 5);
    let models = shown(&history, &[]).1;
    assert!(models > 1, "some trainings fail");
    // Fewer images, and fewer models on more images.
    record(&mut history, 2, 5, 3, 5);
    record(&mut history, 3, 40, 1, 40);
    let (first, count, adv, text) = shown(&history, &[]);
    assert_eq!((first, count, adv), (["\"a1\"".into(), "20".into()], models, 0.75));
    assert!(text.contains("under basic:8 on 20 images (a1; 2 more with other"), "{text}");
    let chosen = shown(&history, &["--attack", "a2"]);
    assert_eq!((chosen.0, chosen.2), (["\"a2\"".into(), "5".into()], 0.0));
    // The same images with other settings: the stronger of them is shown, and named.
    let random = |history: &mut History, number, wrong| {
        record(history, number, 20, 3, wrong);
        let mut again = History::default();
        for mut recorded in std::mem::take(&mut history.events) {
            if let Event::AttackSpecified(spec) = &mut recorded.event
                && recorded.scope == Scope::Attack(number)
            {
                spec.text += "start = \"uniform whole numbers in the box\"\n";
                spec.text += &format!("micro-batch = {number}\n");
                spec.hash = qtrail::events::Hash::of(spec.text.as_bytes());
            }
            again.record(recorded.scope, vec![recorded.event]);
        }
        *history = again;
    };
    random(&mut history, 4, 3);
    assert_eq!(shown(&history, &[]).0[0], "\"a1\"");
    random(&mut history, 5, 9);
    let (first, _, adv, text) = shown(&history, &[]);
    assert_eq!((first[0].as_str(), adv), ("\"a5\"", 0.55));
    assert!(text.contains("under basic:8, random start, batches of 5 on 20 images (a5;"), "{text}");
    let row = &World::of(&history).rows(&["robustness", "--attack", "a5", "--eps", "8"])[1];
    assert_eq!(
        (&row["method"], &row["settings"]),
        (&"basic".into(), &"random start, batches of 5".into())
    );
}

/// An attack on two models: the first hides its gradients, the second does not.
#[test]
fn hidden_gradients_are_told_by_their_signs() {
    let attack = Attack {
        victims: vec![script(0), script(1)],
        specs: vec![("fast", 8), ("fast", 16), ("basic", 8), ("basic", 16), ("random-noise", 16)],
        ..small(10, 100, Vec::new())
    };
    let world = recorded(&attack, |look| {
        let wrong = match look.source {
            // The second one is right on every clean image, the first one on 90.
            None => 10 * u32::from(look.judge == 0),
            Some(source) => {
                let strength = [20, 40, 40, 80, 2][usize::from(source.spec)];
                match (look.judge, source.victim) {
                    (1, 1) => strength,
                    // One step does more than many, which do less than images of the other model.
                    (0, 0) => [14, 40, 12, 12, 12][usize::from(source.spec)],
                    _ => strength / 2,
                }
            }
        };
        right(if look.place < wrong { 3 } else { 0 }, 0.9)
    });
    let verdicts = |victim: &str| -> Vec<String> {
        let rows = world.rows(&["checks", "--victim", victim]);
        assert!(rows.iter().all(|row| row["k"] == 1 && row["attack"] == "a1"));
        let text = |row: &Value| {
            format!("{} {}", row["sign"].as_str().unwrap(), row["verdict"].as_str().unwrap())
        };
        rows.iter().map(text).collect()
    };
    let expected = |verdicts: [&str; 7]| {
        let signs = [
            "accuracy-flat",
            "one-step-stronger",
            "noise-as-strong",
            "transfer-stronger",
            "chance-not-reached",
            "clean-accuracy-low",
            "no-gradient",
        ];
        signs
            .iter()
            .zip(verdicts)
            .map(|(sign, verdict)| format!("{sign} {verdict}"))
            .collect::<Vec<_>>()
    };
    let (good, bad, open) = ("ok", "suspicious", "not known");
    assert_eq!(verdicts("net1.pt"), expected([good, good, good, good, open, good, good]));
    assert_eq!(verdicts("net0.pt"), expected([good, bad, good, good, open, good, good]));
    let row = &world.rows(&["checks", "--victim", "net0.pt"])[1];
    assert_eq!(row["figures"], "fast:16 0.600, basic:16 0.880");
    assert_eq!((&row["n"], &row["needed"]), (&90.into(), &Value::Null));
    assert!((row["difference"].as_f64().unwrap() - 28.0 / 90.0).abs() < 1e-12, "{row}");
    // In the top 5 nothing was turned at all: noise, for one, does as much.
    let top5 = world.rows(&["checks", "--k", "5", "--victim", "net1.pt"]);
    assert_eq!((&top5[0]["top"], &top5[2]["verdict"]), (&"5/10".into(), &bad.into()));
    let (_, shown, _) = world.run(&["show", "a1"]);
    assert!(
        shown.contains("1 of 14 signs that the attack was weak are suspicious, 2 not known"),
        "{shown}"
    );
    assert!(shown.contains("`qtrail table checks --attack a1`"), "{shown}");
    // Noise is a row of its own beside the attacks, on all of its images; it is crafted against none.
    let noise = ["--k", "1", "--victim", "net1.pt", "--method", "random-noise"];
    let rows = |table: &str, more: &[&str]| world.rows(&[&[table][..], &noise, more].concat());
    assert_eq!(rows("robustness", &[])[1]["fraction"], "98/100");
    assert_eq!(rows("accuracy", &["--draw", "10"])[0]["adv_fraction"], "98/100");
    assert!(rows("transfer-attack", &[]).is_empty());
    world.refuses(&["table", "checks", "--eps", "8"], "--eps");
    world.refuses(&["table", "checks", "--case", "prefiltered"], "--case");
}

/// A model whose gradients are zero is not robust, and whoever reads its accuracy is told so.
#[test]
fn zero_gradients_are_said_wherever_accuracy_under_attack_is() {
    let mut history = History::default();
    history.run(1, 4);
    let attack = Attack {
        victims: (0..4).map(|at| trial(at, Scope::Run(1), u32::from(at) + 1, "")).collect(),
        ..small(10, 20, Vec::new())
    };
    attack.record(&mut history, |_| right(0, 0.9));
    // All gradients of the first model are zero, and every one of a third of the second's images.
    let mut masked = History::default();
    for Recorded { scope, mut event, .. } in history.events {
        if let Event::ImagesCrafted(crafted) = &mut event {
            let places = crafted.first..;
            for (image, place) in crafted.images.iter_mut().zip(places) {
                let zero = crafted.victim == 0 || (crafted.victim == 1 && place % 3 == 0);
                image.zero_gradient = if zero { 784 } else { 783 };
            }
        }
        masked.record(scope, vec![event]);
    }
    let world = World::of(&masked);
    let warnings = |arguments: &[&str]| -> Vec<String> {
        let (code, stdout, stderr) = world.run(arguments);
        assert_eq!(code, 0, "{stderr}");
        let lines = stdout.lines().chain(stderr.lines()).map(ToOwned::to_owned);
        lines.filter(|line| line.starts_with("warning")).collect()
    };
    let expected = |model: &str, methods: &str, percent: u32| {
        format!(
            "warning: a1, {model} ({methods}): {percent} % of the images have zero gradients; \
             accuracy under attack is then not robustness"
        )
    };
    let both = [expected("t1", "basic", 100), expected("t2", "basic", 35)];
    for table in ["accuracy", "robustness", "destruction"] {
        assert_eq!(warnings(&["table", table]), both, "{table}");
    }
    assert_eq!(warnings(&["show", "a1"]), both);
    assert_eq!(warnings(&["table", "perturbations"]), [""; 0]);
    // `top` is under one method.
    let all = warnings(&["table", "top", "--search", "r1"]);
    let trained = world.rows(&["top", "--search", "r1"]);
    let is_there = |trial: &str| trained.iter().any(|row| row["trial"] == trial);
    let under = [expected("t1", "basic", 100), expected("t2", "basic", 35)];
    let named: Vec<String> =
        ["t1", "t2"].into_iter().zip(under).filter(|(t, _)| is_there(t)).map(|(_, w)| w).collect();
    assert!(!named.is_empty());
    assert_eq!(all, named);
    assert_eq!(warnings(&["table", "top", "--search", "r1", "--spec", "basic:3"]), [""; 0]);
}
