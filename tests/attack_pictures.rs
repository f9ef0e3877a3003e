//! Pictures and exports of adversarial images: what was crafted is what comes out.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

mod common;
mod history;

use std::process::Command;

use common::World;
use history::History;
use history::attack::{Attack, index, moved, right, script};
use qtrail::adversary::sampling::Sampling;
use qtrail::data::{Images, Part};
use qtrail::events::{AttackVictim, Hash};
use qtrail::tensors::{Tensor, read};
use resvg::tiny_skia::Pixmap;

const IMAGES: u32 = 30;

/// A world with an attack whose images were really crafted, and the test part.
fn world() -> (World, Vec<u8>) {
    let world = World::new();
    let test = Images::read(&world.path("data"), Part::Test).unwrap();
    let mut history = History::default();
    let attack = Attack {
        number: 1,
        protocol: "small",
        sampling: Sampling::small(),
        classes: 10,
        images: IMAGES,
        batch: 8,
        victims: vec![script(0), script(1)],
        specs: vec![("fast", 8), ("fast", 16), ("basic", 8), ("basic", 16)],
        transformations: vec![
            ("jpeg", 50.0, 1),
            ("noise", 8.0, 2),
            ("blur", 0.5, 1),
            ("blur", 1.0, 1),
        ],
        finished: true,
        pixels: Some((Hash(test.digest()), test.pixels.clone())),
    };
    attack.record(&mut history, |look| {
        let fooled = look.source.is_some() && look.place % 2 == 0;
        let back = look.transformation > 0 && look.place % 4 == 0;
        right(if fooled && !back { 4 } else { 0 }, 0.75)
    });
    history.store(&world.path("store"));
    (world, test.pixels)
}

fn clean(pixels: &[u8], place: u32) -> &[u8] {
    let from = index(place) as usize * 784;
    &pixels[from..from + 784]
}

/// What was crafted, as the builder of histories does it, image by image.
fn crafted(pixels: &[u8], eps: u8) -> Vec<u8> {
    let mut all = Vec::new();
    for batch in (0..IMAGES).step_by(8) {
        let places = batch..(batch + 8).min(IMAGES);
        let values = places.flat_map(|place| clean(pixels, place).to_vec());
        all.extend(values.enumerate().map(|(at, value)| moved(value, at, eps)));
    }
    all
}

#[test]
fn figures_of_attacks_are_drawn_in_every_way() {
    let (world, _) = world();
    for (name, title) in [
        ("robustness", "Accuracy under attacks of growing size"),
        ("destruction", "Adversarial images that a transformation makes harmless"),
        ("perturbation", "What attacks on net0.pt add to an image"),
    ] {
        let more: &[&str] = if name == "perturbation" { &["--data", "data"] } else { &[] };
        for file in ["a.svg", "a.png"] {
            for theme in ["light", "dark"] {
                let plot = ["plot", name, "-o", file, "--theme", theme];
                world.run("store", &[&plot[..], more].concat()).code(0);
            }
        }
        let svg = std::fs::read_to_string(world.path("a.svg")).unwrap();
        assert!(svg.starts_with("<svg xmlns=") && svg.contains(title), "{svg}");
        assert!(svg.contains("a1 on test, protocol small, seed 7; as of event"), "{svg}");
        // Two methods, each clean, difference and two sizes.
        let pictures = if name == "perturbation" { 8 } else { 0 };
        assert_eq!(svg.matches("<image ").count(), pictures, "{name}");
        assert!(std::fs::read(world.path("a.png")).unwrap().starts_with(b"\x89PNG"));
        world.run("store", &[&["plot", name][..], more].concat()).code(0).says(title);
    }
    let sheet = ["plot", "perturbation", "net1.pt", "--image", "12", "--data", "data"];
    world.run("store", &sheet).says("eps 16: 4, 75.0 %").says("test image 37");
    world.run("store", &["plot", "destruction"]).says("fast, top 1/10 (15 images)");
    // The k likeliest of any figure that counts them are those of the tables.
    for name in ["destruction", "robustness"] {
        let drawn = |k: &str| {
            let ran = world.run("store", &["plot", name, "net0.pt", "--k", k]);
            ran.code(0);
            ran.stdout()
        };
        assert!(drawn("1").contains("1/10") && !drawn("1").contains("5/10"), "{}", drawn("1"));
        assert!(drawn("2,4").contains("2/10") && drawn("2,4").contains("4/10"), "{}", drawn("2,4"));
    }
}

/// Models may have been trained on resampled images (`data.resize`): those are the ones attacked.
#[test]
fn images_are_shown_at_the_size_at_which_they_were_attacked() {
    let (world, pixels) = world();
    let (large, mut bytes) = (world.path("large"), vec![0, 0, 8, 3]);
    std::fs::create_dir(&large).unwrap();
    let count = u32::try_from(pixels.len() / 784).unwrap();
    [count, 56, 56].iter().for_each(|number| bytes.extend(number.to_be_bytes()));
    for row in pixels.chunks(28) {
        let wide: Vec<u8> = row.iter().flat_map(|&pixel| [pixel, pixel]).collect();
        bytes.extend([&wide[..], &wide].concat());
    }
    std::fs::write(large.join("t10k-images-idx3-ubyte"), bytes).unwrap();
    let labels = "t10k-labels-idx1-ubyte";
    std::fs::copy(world.path("data").join(labels), large.join(labels)).unwrap();
    let sheet = ["plot", "perturbation", "net1.pt", "--image", "12"];
    let drawn = |data: &str| {
        world.run("store", &[&sheet[..], &["--data", data, "-o", "a.svg"]].concat()).code(0);
        std::fs::read_to_string(world.path("a.svg")).unwrap()
    };
    assert_eq!(drawn("large"), drawn("data"));
}

#[test]
fn what_cannot_be_drawn_or_exported_is_named() {
    let (world, _) = world();
    common::write_images(&world.path("other"), 28, 41);
    let cases: [(&[&str], &str); 11] = [
        (&["plot", "perturbation", "--k", "1"], "--k: perturbation"),
        (&["plot", "qdepth", "--k", "1"], "qdepth shows a search"),
        (&["plot", "perturbation", "--image", "30", "--data", "data"], "the pool of a1 ends at 29"),
        (&["plot", "perturbation", "--data", "other"], "these are not the images of a1"),
        (&["plot", "perturbation", "t9", "--data", "data"], "no model called t9 was attacked"),
        (&["plot", "robustness", "--attack", "a1", "--eps", "3"], "a1 has no attack of this size"),
        (&["plot", "robustness", "--method", "slow"], "a1 knows no such method"),
        (&["plot", "robustness", "--image", "3"], "only perturbation shows one image"),
        (&["export", "adversarial", "a7", "-o", "x.npz"], "no model called a7 was attacked"),
        (&["export", "adversarial", "a1", "-o", "x.zip"], "neither .safetensors nor .npz"),
        (&["export", "weights", "t1", "-o", "x.npz"], "no trial is called t1"),
    ];
    for (arguments, expected) in cases {
        world.run("store", arguments).code(2).says(expected);
    }
    assert!(!world.path("x.npz").exists());
    // A missing artifact is damage, and says which.
    let artifacts = world.path("store").join("artifacts");
    for entry in std::fs::read_dir(artifacts).unwrap().flatten() {
        if entry.path().is_file() {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    world
        .run("store", &["export", "adversarial", "a1", "-o", "x.npz", "--data", "data"])
        .says("artifact");
    assert!(!world.path("x.npz").exists());
}

#[test]
fn exported_tensors_are_what_was_crafted() {
    let (world, pixels) = world();
    let export = |file: &str, more: &[&str]| {
        let export = ["export", "adversarial", "a1", "-o", file, "--data", "data"];
        world.run("store", &[&export[..], more].concat()).code(0);
        std::fs::read(world.path(file)).unwrap()
    };
    let tensors = read(&export("a.safetensors", &[])).unwrap();
    let find = |name: &str| -> &Tensor {
        tensors
            .iter()
            .find(|tensor| tensor.entry.name == name)
            .unwrap_or_else(|| panic!("no {name}"))
    };
    let whole: Vec<u8> = (0..IMAGES).flat_map(|place| clean(&pixels, place).to_vec()).collect();
    assert_eq!(
        (find("clean").entry.shape.as_slice(), &find("clean").bytes),
        (&[30, 1, 28, 28][..], &whole)
    );
    for model in ["net0.pt", "net1.pt"] {
        for (method, eps) in [("fast", 8), ("fast", 16), ("basic", 8), ("basic", 16)] {
            let found = find(&format!("{model}.{method}.{eps}"));
            assert_eq!(found.bytes, crafted(&pixels, eps), "{}", found.entry.name);
            let ranks = find(&format!("{model}.{method}.{eps}.rank"));
            let expected: Vec<u8> =
                (0..IMAGES).flat_map(|p| (4 * i64::from(p % 2 == 0)).to_le_bytes()).collect();
            assert_eq!(ranks.bytes, expected);
        }
    }
    assert_eq!(tensors.len(), 3 + 2 * (2 + 4 * 3));
    // Python's own reader of archives agrees with every checksum.
    export("a.npz", &["--method", "basic", "--eps", "8"]);
    let script = "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); \
                  assert z.testzip() is None; print(*sorted(z.namelist()))";
    let python = Command::new("python3").args(["-c", script]).arg(world.path("a.npz")).output();
    let python = python.unwrap();
    let names = String::from_utf8_lossy(&python.stdout).into_owned();
    assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));
    assert!(names.contains("clean.npy") && names.contains("net1.pt.basic.8.npy"), "{names}");
    // Which label each name stands for.
    assert!(names.contains("models.npy"), "{names}");
    let npz = std::fs::read(world.path("a.npz")).unwrap();
    let mapping = br#"{"net0.pt":"net0.pt","net1.pt":"net1.pt"}"#;
    assert!(npz.windows(mapping.len()).any(|window| window == mapping));
    let safetensors = std::fs::read(world.path("a.safetensors")).unwrap();
    let header = String::from_utf8_lossy(&safetensors[8..1000]).into_owned();
    assert!(header.contains(r#"\"net1.pt\":\"net1.pt\""#), "{header}");
    assert!(!names.contains("fast"), "{names}");
}

#[test]
fn exported_pictures_have_the_very_pixels() {
    let (world, pixels) = world();
    let export =
        ["export", "adversarial", "net1.pt", "-o", "png", "--format", "png", "--data", "data"];
    world.run("store", &export).code(0);
    world.run("store", &export).code(2).says("png exists already");
    let picture = |path: &str| {
        let bytes = std::fs::read(world.path("png").join(path)).unwrap();
        let pixmap = Pixmap::decode_png(&bytes).unwrap();
        let grey = pixmap.pixels().iter().map(|pixel| {
            assert!(pixel.alpha() == 255 && pixel.red() == pixel.green());
            pixel.red()
        });
        grey.collect::<Vec<u8>>()
    };
    let all = crafted(&pixels, 16);
    for place in [0, 12, 29] {
        let at = place as usize * 784;
        assert_eq!(picture(&format!("clean/{place:05}.png")), clean(&pixels, place));
        assert_eq!(picture(&format!("net1.pt-basic-16/{place:05}.png")), all[at..at + 784]);
    }
    let index = std::fs::read_to_string(world.path("png/index.csv")).unwrap();
    assert!(index.contains("\n12,37,4,\"4\",clean,,,\n"), "{index}");
    let crafted = "\n12,37,4,\"4\",\"net1.pt-basic-16\",\"net1.pt\",basic,16\n";
    assert!(index.contains(crafted), "{index}");
    assert!(!world.path("png/net0.pt-basic-16").exists());
}

/// Logs of earlier versions may call two models alike: they are shown, filtered and exported apart.
#[test]
fn models_of_one_label_in_an_older_log_are_told_apart() {
    let world = World::new();
    let test = Images::read(&world.path("data"), Part::Test).unwrap();
    let mut history = History::default();
    let twice = AttackVictim { label: "net0.pt".into(), ..script(1) };
    let attack = Attack {
        number: 1,
        protocol: "small",
        sampling: Sampling::small(),
        classes: 10,
        images: IMAGES,
        batch: 8,
        victims: vec![script(0), twice],
        specs: vec![("fast", 8)],
        transformations: vec![],
        finished: true,
        pixels: Some((Hash(test.digest()), test.pixels.clone())),
    };
    // The second one is never right.
    attack.record(&mut history, |look| right(if look.judge == 1 { 4 } else { 0 }, 0.75));
    history.store(&world.path("store"));
    let columns = ["--k", "1", "--format", "csv", "--columns", "victim,fraction"];
    let table = |more: &[&str]| {
        let ran = world.run("store", &[&["table", "robustness"], &columns[..], more].concat());
        ran.code(0).stdout()
    };
    let (one, other) = ("net0.pt,30/30\n".repeat(2), "net0.pt#2,0/30\n".repeat(2));
    assert_eq!(table(&[]), format!("victim,fraction\n{one}{other}"));
    assert_eq!(table(&["--victim", "net0.pt#2"]), format!("victim,fraction\n{other}"));
    let export = ["export", "adversarial", "a1", "--data", "data", "-o"];
    let ran = world.run("store", &[&export[..], &["png", "--format", "png"]].concat());
    ran.code(0).says("60 adversarial ones of a1, against net0.pt, net0.pt#2");
    for folder in ["clean", "net0.pt-fast-8", "net0.pt#2-fast-8"] {
        let pictures = std::fs::read_dir(world.path("png").join(folder)).unwrap();
        assert_eq!(pictures.count(), IMAGES as usize, "{folder}");
    }
    world.run("store", &[&export[..], &["x.safetensors"]].concat()).code(0);
    let tensors = read(&std::fs::read(world.path("x.safetensors")).unwrap()).unwrap();
    let mut names: Vec<String> = tensors.iter().map(|tensor| tensor.entry.name.clone()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert!(names.len() == count && names.contains(&"net0.pt#2.fast.8".to_owned()), "{names:?}");
}
