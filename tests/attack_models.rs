//! Attacks on models of others, through the program and a trainer without libtorch: what models are
//! called, and which of their outputs mean the classes of the images.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

mod common;

use std::fs;
use std::path::Path;

use common::{Ran, World};
use qtrail::events::{AttackOutputs, Event, Hash};

/// Images of a class have about this value.
const LEVELS: [u8; 3] = [40, 120, 200];
const PER_CLASS: usize = 6;
const SHORT: [&str; 9] =
    ["--data", "pets", "--transform", "none", "--threads", "1", "--batch", "8", "--method=fast"];

/// A world with images of three classes: `bird`, `cat`, `dog`.
fn world() -> World {
    let world = World::new();
    write(&world.path("pets"), &[0, 1, 2]);
    fs::write(world.path("pets/class-names.txt"), "bird\ncat\ndog\n").unwrap();
    for folder in ["run1", "run2"] {
        fs::create_dir(world.path(folder)).unwrap();
    }
    world
}

/// Both parts of a set; `labels` is what each class is called.
fn write(folder: &Path, labels: &[u8]) {
    fs::create_dir_all(folder).unwrap();
    for stem in ["train", "t10k"] {
        let count = u32::try_from(PER_CLASS * labels.len()).unwrap();
        let head = |numbers: &[u32]| -> Vec<u8> {
            numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
        };
        let (mut images, mut marks) = (head(&[0x0803, count, 4, 4]), head(&[0x0801, count]));
        for image in 0..PER_CLASS {
            for (class, label) in labels.iter().enumerate() {
                marks.push(*label);
                let noise = u8::try_from(image).unwrap();
                images.extend((0..16).map(|at| LEVELS[class] + (at * 7 + noise) % 5));
            }
        }
        fs::write(folder.join(format!("{stem}-images-idx3-ubyte")), images).unwrap();
        fs::write(folder.join(format!("{stem}-labels-idx1-ubyte")), marks).unwrap();
    }
}

/// A model that takes images for the output whose level is nearest to their mean.
fn model(world: &World, name: &str, levels: &[u8]) {
    fs::write(world.path(name), format!("PK{{\"levels\": {levels:?}}}")).unwrap();
}

/// A model of ten outputs, of which 7, 0 and 5 mean the three classes.
fn ten(world: &World) {
    let mut levels = [255, 0, 1, 254, 2, 0, 253, 0, 3, 252];
    for (output, level) in [7, 0, 5].into_iter().zip(LEVELS) {
        levels[output] = level;
    }
    model(world, "ten.pt", &levels);
}

fn run(world: &World, arguments: &[&str]) -> Ran {
    let trainer = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attacker.py");
    let mut command = world.qtrail("store", arguments);
    Ran(command
        .env("QTRAIL_TRAINER", trainer)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap())
}

fn attack(world: &World, more: &[&str]) -> Ran {
    run(world, &[&["attack"], &SHORT[..], more].concat())
}

/// Rows of a table as CSV, without the header.
fn table(world: &World, arguments: &[&str]) -> Vec<String> {
    let ran = run(world, &[&["table"], arguments, &["--format", "csv"]].concat());
    ran.code(0);
    ran.stdout().lines().skip(1).map(str::to_owned).collect()
}

/// A store with nothing in it.
fn store(world: &World) {
    qtrail::log::Store::open_or_create(&world.path("store")).unwrap();
}

fn labels(world: &World) -> Vec<String> {
    let label = |event: Event| match event {
        Event::AttackVictim(victim) => Some(victim.label),
        _ => None,
    };
    world.events("store").into_iter().filter_map(|recorded| label(recorded.event)).collect()
}

/// What `export` and `plot` are asked for by name is one thing.
#[test]
fn a_model_is_not_called_as_an_attack_is() {
    let world = world();
    store(&world);
    model(&world, "m.pt", &LEVELS);
    model(&world, "n.pt", &[120, 40, 200]);
    let named = ["--model", "foo=torchscript:m.pt", "--eps", "8", "--name", "foo"];
    attack(&world, &named).code(2).says("foo would be a model and a search, run or attack");
    attack(&world, &["--model", "torchscript:m.pt", "--eps", "8", "--name", "foo"]).code(0);
    let model = ["--model", "foo=torchscript:n.pt", "--eps", "8"];
    attack(&world, &model).code(2).says("--model NAME=torchscript:FILE");
    assert_eq!(labels(&world), ["m.pt"]);
    // Nor is anything later called as a model is.
    let labelled = ["--model", "net=torchscript:n.pt", "--eps", "16"];
    attack(&world, &labelled).code(0);
    let later = ["--model", "torchscript:m.pt", "--eps", "9", "--name", "net"];
    attack(&world, &later).code(2).says("a model that a2 attacked is called net");
    let mut search = World::tiny("7");
    search.extend(["--name", "net"]);
    run(&world, &search).code(2).says("a2 attacked is called net; call the search something else");
    let spaces = ["--model", "torchscript:n.pt", "--eps", "8", "--classes", "0, 1,2"];
    attack(&world, &spaces).code(0);
    let words = ["--model", "torchscript:n.pt", "--eps", "8", "--classes", "cat,dog,fish"];
    attack(&world, &words).code(2).says("--class-names FILE finds classes by name");
}

#[test]
fn models_of_one_file_name_are_told_apart_everywhere() {
    let world = world();
    store(&world);
    model(&world, "run1/model.pt", &LEVELS);
    model(&world, "run2/model.pt", &[120, 40, 200]);
    let models = ["--model", "torchscript:run1/model.pt", "--model", "torchscript:run2/model.pt"];
    let named = [&models[..], &["--eps", "80", "--name", "two", "--noise-images", "0"]].concat();
    attack(&world, &named).code(0).says("against run1/model.pt, run2/model.pt; 1 attack (");
    assert_eq!(labels(&world), ["run1/model.pt", "run2/model.pt"]);
    let clean = ["accuracy", "--k", "1", "--columns", "victim,clean_accuracy"];
    let rows = table(&world, &clean);
    let [one, other] = &rows[..] else { panic!("{rows:?}") };
    assert!(one == "run1/model.pt,1.0" && other.starts_with("run2/model.pt,0.333"), "{rows:?}");
    let one = [&clean[..], &["--victim", "run2/model.pt"]].concat();
    assert_eq!(table(&world, &one), rows[1..]);
    // Every picture and tensor has a name of its own.
    run(&world, &["export", "adversarial", "two", "-o", "png", "--format", "png"]).code(0);
    let folders = fs::read_dir(world.path("png")).unwrap().flatten();
    let mut folders: Vec<_> = folders.filter(|entry| entry.path().is_dir()).collect();
    folders.sort_by_key(fs::DirEntry::file_name);
    let names: Vec<_> = folders.iter().map(fs::DirEntry::file_name).collect();
    assert_eq!(names, ["clean", "run1-model.pt-fast-80", "run2-model.pt-fast-80"]);
    for folder in &folders {
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3 * PER_CLASS);
    }
    for file in ["x.npz", "x.safetensors"] {
        run(&world, &["export", "adversarial", "two", "-o", file]).code(0);
        let bytes = fs::read(world.path(file)).unwrap();
        for name in ["run1-model.pt.fast.80", "run2-model.pt.fast.80"] {
            assert!(bytes.windows(name.len()).any(|part| part == name.as_bytes()), "{file} {name}");
        }
    }
    // The figure of one model is of that one.
    run(&world, &["plot", "robustness", "run2/model.pt"]).code(0);
    run(&world, &["plot", "perturbation", "run2/model.pt", "-o", "a.svg"]).code(0);

    // The same attack again, by other names: what is recorded stays, and that is said.
    let again =
        ["--model", "a=torchscript:run1/model.pt", "--model", "b=torchscript:run2/model.pt"];
    let again = [&again[..], &["--eps", "80", "--name", "other"]].concat();
    let ran = attack(&world, &again);
    ran.code(0)
        .says("a1 is this attack; its name stays two, and its models stay run1/model.pt, run2");
    assert!(!attack(&world, &named).code(0).stderr().contains("stay"));

    // With names; a label means another model in another attack.
    let more =
        ["--model", "run2=torchscript:run2/model.pt", "--model", "torchscript:run1/model.pt"];
    attack(&world, &[&more[..], &["--eps", "8"]].concat()).code(0).says("against run2, model.pt");
    let third = ["--model", "model.pt=torchscript:run2/model.pt", "--eps", "8"];
    attack(&world, &third).code(0).says("a3");
    let columns = ["--attack", "all", "--k", "1", "--columns", "attack,victim,model"];
    let rows = table(&world, &[&["robustness", "--victim", "model.pt"], &columns[..]].concat());
    let model_of = |attack: &str| {
        let row = rows.iter().find(|row| row.starts_with(attack)).unwrap();
        row.rsplit(',').next().unwrap().to_owned()
    };
    assert_ne!(model_of("a2"), model_of("a3"));
    let digits = Hash::of(&fs::read(world.path("run2/model.pt")).unwrap()).to_string();
    assert!(digits.starts_with(&model_of("a3")));
    let ran = run(&world, &["plot", "robustness", "model.pt"]);
    ran.code(0).says("model.pt is another model in a2; that of a3 is taken");
    run(&world, &["show", "a1"]).code(0).says(&model_of("a3"));
}

#[test]
fn labels_are_names_and_given_once() {
    let world = world();
    store(&world);
    model(&world, "run1/model.pt", &LEVELS);
    model(&world, "run2/model.pt", &[120, 40, 200]);
    let (one, other) = ("torchscript:run1/model.pt", "torchscript:run2/model.pt");
    let before = world.position("store");
    for (models, expected) in [
        (
            ["--model", "x=torchscript:run1/model.pt", "--model", "x=torchscript:run2/model.pt"],
            "two models are called x",
        ),
        (
            ["--model", "t1=torchscript:run1/model.pt", "--model", other],
            "`t1` cannot be a name: it looks like an id",
        ),
        (["--model", "a/b=torchscript:run1/model.pt", "--model", other], "`a/b` cannot be a name"),
        (["--model", one, "--model", one], "run1/model.pt are the same model"),
        (["--model", "x=run1/model.pt", "--model", one], "NAME=torchscript:FILE"),
    ] {
        attack(&world, &models).code(2).says(expected);
    }
    assert_eq!(world.position("store"), before);
}

/// Accuracy on clean images as `right/all`, for a k.
fn clean(world: &World, k: &str) -> String {
    let columns = ["--k", k, "--columns", "method,top,fraction"];
    let rows = table(world, &[&["robustness"], &columns[..]].concat());
    rows.into_iter().find(|row| row.starts_with("clean")).unwrap()
}

#[test]
fn outputs_of_a_larger_model_are_mapped_to_the_classes() {
    let world = world();
    store(&world);
    ten(&world);
    let model = ["--model", "torchscript:ten.pt", "--eps", "60", "--method", "least-likely"];
    let model = [&model[..], &["--method", "random-target"]].concat();
    let all = format!("{0}/{0}", 3 * PER_CLASS);

    // By number alone nothing is right, and that this is done is said.
    let ran = attack(&world, &model);
    ran.code(0).says("ten.pt has 10 outputs, pets has 3 classes; they are matched by number alone");
    ran.says(
        "output 0 is taken to mean class 0 (bird), and so on; --class-names FILE or --classes",
    );
    assert_eq!(clean(&world, "1"), format!("clean,1/10,0/{}", 3 * PER_CLASS));
    // More of the likeliest than there are classes of images.
    assert!(clean(&world, "7").starts_with("clean,7/10,"));
    let low = table(&world, &["robustness", "--k", "7", "--columns", "low"]);
    assert!(low.iter().all(|low| !low.is_empty()), "7 of 10 outputs mean something: {low:?}");

    fs::write(
        world.path("names.txt"),
        "\u{feff}cat\r\nb\r\nc\r\nd\r\ne\r\nDog\r\nf\r\nbird\r\ng\r\nh\r\n",
    )
    .unwrap();
    let json = r#"{"0": ["n1", "cat"], "1": "b", "2": "c", "3": "d", "4": "e", "5": "dog", "6": "f",
                   "7": "bird", "8": "g", "9": "h"}"#;
    fs::write(world.path("names.json"), json).unwrap();
    let ways =
        [["--classes", "7,0,5"], ["--class-names", "names.txt"], ["--class-names", "names.json"]];
    let ran = attack(&world, &[&model[..], &ways[0]].concat());
    assert!(!ran.code(0).stderr().contains("by number"), "{}", ran.stderr());
    assert_eq!(clean(&world, "1"), format!("clean,1/10,{all}"));
    for way in &ways[1..] {
        attack(&world, &[&model[..], way].concat())
            .code(0)
            .says("a2 is this attack, and is finished");
    }
    run(&world, &["show", "a2"]).code(0).says("0 to 2 are outputs 7, 0, 5 of the models");

    let events = world.events("store");
    let counted = |event: &&qtrail::events::Recorded| {
        event.event == AttackOutputs { victim: 0, outputs: 10 }.into()
    };
    assert_eq!(events.iter().filter(counted).count(), 2);
    // Random targets and the least likely are among all outputs; the true class is none of them.
    let mut targets = Vec::new();
    for recorded in events.iter().filter(|recorded| recorded.scope.to_string() == "a2") {
        match &recorded.event {
            Event::ImagesCrafted(crafted) => {
                targets.extend(crafted.images.iter().map(|image| image.target));
                assert!(crafted.images.iter().all(|image| image.loss_before.is_finite()));
            }
            // Classes stay what the images say, outputs what the model says.
            Event::PoolPart(part) => assert!(part.labels.iter().all(|&label| label < 3)),
            _ => {}
        }
    }
    assert!(
        targets.iter().any(|&target| ![0, 5, 7].contains(&target) && target > 2),
        "{targets:?}"
    );

    // What is handed on says which output is right.
    run(&world, &["export", "adversarial", "a2", "-o", "x.safetensors"]).code(0);
    let bytes = fs::read(world.path("x.safetensors")).unwrap();
    let tensors = qtrail::tensors::read(&bytes).unwrap();
    let numbers = |name: &str| {
        let tensor = tensors.iter().find(|tensor| tensor.entry.name == name).unwrap();
        let numbers = tensor.bytes.chunks_exact(8);
        numbers.map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(numbers("output"), numbers("ten.pt.clean.top1"));
    let expected: Vec<i64> =
        numbers("label").iter().map(|&label| [7, 0, 5][usize::try_from(label).unwrap()]).collect();
    assert_eq!(numbers("output"), expected);
    run(&world, &["plot", "perturbation", "ten.pt", "--attack", "a2"]).code(0).says("truly");

    // A model with an output for each class, in another order.
    self::model(&world, "three.pt", &[120, 40, 200]);
    let three = ["--model", "torchscript:three.pt", "--eps", "8"];
    let ran = attack(&world, &three);
    assert!(!ran.code(0).stderr().contains("by number"));
    assert_eq!(clean(&world, "1"), format!("clean,1/3,{}/{}", PER_CLASS, 3 * PER_CLASS));
    attack(&world, &[&three[..], &["--classes", "1,0,2"]].concat()).code(0);
    assert_eq!(clean(&world, "1"), format!("clean,1/3,{all}"));
    assert_eq!(world.count("store", |event| matches!(event, Event::AttackOutputs(_))), 2);
    attack(&world, &[&three[..], &["--classes", "0,1,2"]].concat()).code(0).says("is this attack");
}

#[test]
fn a_mapping_that_does_not_fit_is_refused_and_nothing_is_recorded() {
    let world = world();
    store(&world);
    ten(&world);
    model(&world, "two.pt", &[40, 120]);
    let name = |name: &str, text: &[u8]| fs::write(world.path(name), text).unwrap();
    name("few.txt", b"cat\nb\ndog\nbird\n");
    name("lacks.txt", b"cat\nb\ndog\n");
    name("twice.txt", b"cat\ndog\ndog\nbird\n");
    name("gap.txt", b"cat\n\ndog\nbird\n");
    name("wide.txt", b"\xff\xfec\0a\0t\0");
    name("bad.json", b"{\"0\": 1.5}");
    let before = world.position("store");
    let refused: [(&str, &[&str], &str); 12] = [
        (
            "ten.pt",
            &["--classes", "7,0"],
            "2 outputs are named, but the classes of pets are 3 (bird, cat, dog)",
        ),
        ("ten.pt", &["--classes", "7,0,5,1"], "4 outputs are named"),
        (
            "ten.pt",
            &["--classes", "7,0,7"],
            "output 7 is said to mean class 0 (bird) and class 2 (dog)",
        ),
        (
            "ten.pt",
            &["--classes", "7,0,10"],
            "ten.pt has no output 10 for class 2 (dog) of pets: it has 0 to 9",
        ),
        ("ten.pt", &["--class-names", "few.txt"], "it has 4 names, ten.pt has 10 outputs"),
        ("ten.pt", &["--class-names", "lacks.txt"], "no output is called bird"),
        ("ten.pt", &["--class-names", "twice.txt"], "dog is what outputs 1 and 2 are called"),
        ("ten.pt", &["--class-names", "gap.txt"], "line 2 is empty"),
        ("ten.pt", &["--class-names", "wide.txt"], "it is UTF-16, expected UTF-8"),
        ("ten.pt", &["--class-names", "bad.json"], "expected a list of names"),
        ("ten.pt", &["--class-names", "few.txt", "--classes", "1,2,3"], "cannot be used with"),
        ("two.pt", &[], "two.pt knows 2 classes, the images of pets have 3"),
    ];
    for (model, more, expected) in refused {
        let model = format!("torchscript:{model}");
        attack(&world, &[&["--model", &model][..], more].concat()).code(2).says(expected);
    }
    fs::remove_file(world.path("pets/class-names.txt")).unwrap();
    let unnamed = ["--model", "torchscript:ten.pt", "--class-names", "few.txt"];
    attack(&world, &unnamed).code(2).says("the classes of pets have no names");
    assert_eq!(world.position("store"), before);
}

#[test]
fn labels_that_begin_at_1_are_noticed() {
    let world = world();
    store(&world);
    fs::remove_file(world.path("pets/class-names.txt")).unwrap();
    write(&world.path("pets"), &[1, 2, 3]);
    model(&world, "three.pt", &LEVELS);
    let three = ["--model", "torchscript:three.pt", "--eps", "8"];
    let ran = attack(&world, &three);
    ran.code(2)
        .says("three.pt knows 3 classes, the images of pets have 4; class 0 has no images: are");
    let before = world.position("store");
    attack(&world, &[&three[..], &["--classes", "0,1,2"]].concat())
        .code(0)
        .says("pets: class 0 has no test images; are the labels 1 to 3?");
    assert_eq!(clean(&world, "1"), format!("clean,1/3,{0}/{0}", 3 * PER_CLASS));
    assert!(world.position("store") > before);
    // A name for each label, but not from 0 on.
    fs::write(world.path("pets/class-names.txt"), "bird\ncat\ndog\n").unwrap();
    let before = world.position("store");
    for eps in ["9", "10"] {
        let other = ["--model", "torchscript:three.pt", "--classes", "0,1,2", "--eps", eps];
        attack(&world, &other)
            .code(2)
            .says("3 class names for 4 classes; class 0 has no test images");
    }
    assert_eq!(world.position("store"), before);
}

#[test]
fn a_trial_is_matched_by_number_with_classes_of_other_names() {
    let world = World::new();
    let ten = |names: &str| names.split(' ').collect::<Vec<_>>().join("\n");
    let names = ten("zero one two three four five six seven eight nine");
    fs::write(world.path("data/class-names.txt"), &names).unwrap();
    common::write_images(&world.path("other"), 28, 2);
    fs::write(world.path("other/class-names.txt"), names.replace("three", "drei")).unwrap();
    run(&world, &World::tiny("7")).code(0);
    let trained = table(&world, &["trials", "--where", "status='trained'", "--columns", "trial"]);
    let short =
        ["attack", &trained[0], "--method", "fast", "--transform", "none", "--images", "20"];
    let attack = |more: &[&str]| run(&world, &[&short[..], more].concat());
    assert!(!attack(&["--eps", "8"]).code(0).stderr().contains("by number"));
    let other = ["--data", "other", "--eps", "8"];
    attack(&other).code(0).says("learned class 3 as three (data), but class 3 of other is drei");
    let ran = attack(&[&other[..], &["--classes", "9,8,7,6,5,4,3,2,1,0"]].concat());
    assert!(!ran.code(0).stderr().contains("learned class"), "{}", ran.stderr());
}

/// A model with what else the trainer of these tests knows of models.
fn odd_model(world: &World, name: &str, more: &str) {
    fs::write(world.path(name), format!("PK{{\"levels\": {LEVELS:?}, {more}}}")).unwrap();
}

#[test]
fn statistics_of_batches_larger_than_two_are_noticed() {
    let world = world();
    store(&world);
    let before = world.position("store");
    // In every batch of more than two; in the attack's own alone; in the rest that its last one is; in
    // large ones alone.
    for (above, batch, size) in
        [(2, "8", 8), (7, "8", 8), (12, "14", 14), (3, "14", 4), (8, "8", 32)]
    {
        odd_model(&world, "batch.pt", &format!("\"statistics\": {above}"));
        let attack = ["--model", "torchscript:batch.pt", "--eps", "8"];
        let mut short = SHORT;
        short[7] = batch;
        let ran = run(&world, &[&["attack"], &short[..], &attack].concat());
        ran.code(2)
            .says("batch.pt cannot be attacked: its output for an image depends on the other");
        ran.says(&format!("in batches of {size};"));
    }
    assert_eq!(world.position("store"), before);
    odd_model(&world, "batch.pt", "\"statistics\": 100");
    attack(&world, &["--model", "torchscript:batch.pt", "--eps", "8"]).code(0);
}

#[test]
fn scores_that_are_no_numbers_are_told_wherever_accuracy_is() {
    let world = world();
    store(&world);
    odd_model(&world, "nan.pt", "\"nan\": [60, 100]");
    model(&world, "good.pt", &LEVELS);
    let both = ["--model", "torchscript:nan.pt", "--model", "torchscript:good.pt"];
    let told = format!(
        "warning: a1, nan.pt: its scores for {} judged images are NaN or infinite; these images count \
         as misclassified",
        2 * PER_CLASS
    );
    let ran = attack(&world, &[&both[..], &["--eps", "40", "--noise-images", "0"]].concat());
    ran.code(0).says(&told);
    assert!(!ran.stderr().contains("good.pt: its scores"), "{}", ran.stderr());
    for table in ["accuracy", "robustness", "destruction"] {
        run(&world, &["table", table]).code(0).says(&told);
        // A warning is about the models that are shown.
        let ran = run(&world, &["table", table, "--victim", "good.pt"]);
        assert!(!(ran.code(0).stdout() + &ran.stderr()).contains("warning"), "{}", ran.stdout());
    }
    run(&world, &["show", "a1"]).code(0).says(&told);
    run(&world, &["table", "accuracy", "--victim", "goood.pt"])
        .code(2)
        .says("a1 attacked no model called goood.pt")
        .says("attacked were nan.pt, good.pt");
    run(&world, &["table", "top", "--search", "all", "--spec", "basic:99"]).says(
        "no attack is basic:99, so no model has an adv_accuracy; --spec takes one of fast:40",
    );
}

#[test]
fn a_figure_without_turned_images_says_so() {
    let world = world();
    store(&world);
    model(&world, "good.pt", &LEVELS);
    let attack = ["attack", "--model", "torchscript:good.pt", "--data", "pets", "--eps", "1"];
    let short = ["--method", "fast", "--transform", "blur=0.5", "--threads", "1"];
    run(&world, &[&attack[..], &short].concat()).code(0);
    run(&world, &["plot", "destruction"])
        .code(2)
        .says("no image on good.pt in a1 was turned from right to wrong")
        .says("--attack chooses another one");
    // Of three outputs five likeliest mean nothing.
    for name in ["accuracy", "destruction", "robustness"] {
        let ks = table(&world, &[name, "--columns", "k"]);
        assert!(!ks.is_empty() && ks.iter().all(|k| k == "1"), "{name}: {ks:?}");
        let asked = table(&world, &[name, "--k", "5", "--columns", "k"]);
        assert!(!asked.is_empty() && asked.iter().all(|k| k == "5"), "{name}: {asked:?}");
    }
}

#[test]
fn a_file_that_changed_is_another_model_and_that_is_said() {
    let world = world();
    store(&world);
    model(&world, "net.pt", &LEVELS);
    let attack = ["attack", "--model", "torchscript:net.pt", "--eps", "8"];
    let attack = [&attack[..], &SHORT[..]].concat();
    let trainer = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attacker.py");
    let mut command = world.qtrail("store", &attack);
    command.env("QTRAIL_TRAINER", trainer).env("QTRAIL_EXAMPLE_DELAY", "0.05");
    let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    world.kill_after("store", &mut child, 8);
    model(&world, "net.pt", &[41, 120, 200]);
    let ran = run(&world, &attack);
    ran.code(0).says("the file of net.pt has changed since a1 began").says("a1 stays open");
    ran.says("a2 is finished");
    run(&world, &["resume", "a1"]).code(0).says("a1 is finished");
    model(&world, "net.pt", &[42, 120, 200]);
    assert!(!run(&world, &attack).code(0).stderr().contains("has changed"));
    // Noise on more images than there are is noise on all of them.
    for noise in ["18", "100", "5000"] {
        run(&world, &[&attack[..], &["--noise-images", noise]].concat())
            .code(0)
            .says("a3 is this attack");
    }
    run(&world, &[&attack[..], &["--noise-images", "17"]].concat()).code(0).says("a4 is finished");
}
