//! Models of others under `qtrail attack`: which are refused with which reason, and which are not.
#![cfg(feature = "train")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cast_precision_loss
)]

mod common;
mod torchscript;

use common::{Ran, World};
use qtrail::adversary::protocol::Settings;
use qtrail::events::{Event, ImagesCrafted};
use torchscript::{Tensor, Values, write};

const TRAINER: &str = env!("CARGO_BIN_EXE_qtrail-torch");
const SIDE: u32 = 28;

/// A world with a store that has no models of its own.
struct Models(World);

impl Models {
    fn new() -> Self {
        let models = Self(World::new());
        models.0.run("store", &World::tiny("7")).code(0);
        models
    }

    /// Writes a model whose logits are these lines' `y`, made from `x` and the weights `w`.
    fn write(&self, name: &str, gives: &str, lines: &[&str]) {
        let lines = [&["w = self.weight"], lines].concat();
        write(&self.0.path(name), gives, &lines, &[weights()]);
    }

    /// One that sees `x` changed by some lines, and is no worse for it.
    fn changed(&self, name: &str, lines: &[&str]) {
        self.write(
            name,
            "Tensor",
            &[lines, &["return torch.linear(torch.flatten(x, 1), w)"]].concat(),
        );
    }

    fn attack(&self, more: &[&str]) -> Ran {
        let common = [
            "attack",
            "--data",
            "data",
            "--images",
            "40",
            "--batch",
            "16",
            "--eps",
            "8",
            "--method",
            "fast",
            "--transform",
            "none",
            "--threads",
            "1",
        ];
        let mut command = self.0.qtrail("store", &[&common[..], more].concat());
        command.env("QTRAIL_TRAINER", TRAINER).env("QTRAIL_CUDA", "0");
        Ran(command.output().unwrap())
    }

    fn attack_model(&self, name: &str) -> Ran {
        self.attack(&["--model", &format!("torchscript:{name}")])
    }

    #[track_caller]
    fn refused(&self, name: &str, reason: &str) {
        let before = self.0.position("store");
        self.attack_model(name).code(2).says(name).says(reason);
        assert_eq!(self.0.position("store"), before, "{name}: something is recorded");
    }

    #[track_caller]
    fn attacked(&self, name: &str) -> Ran {
        let ran = self.attack_model(name);
        ran.code(0).says("is finished: 40 images crafted");
        ran
    }

    fn crafted(&self) -> Vec<ImagesCrafted> {
        let crafted = |event| match event {
            Event::ImagesCrafted(crafted) => Some(crafted),
            _ => None,
        };
        self.0.events("store").into_iter().filter_map(|recorded| crafted(recorded.event)).collect()
    }

    fn rows(&self, columns: &str, more: &[&str]) -> String {
        let table = ["--columns", columns, "--format", "csv"];
        let ran = self.0.run("store", &[&["table"], more, &table].concat());
        ran.code(0);
        ran.stdout()
    }
}

/// How bright the square of each class is: logits from values of 0 to 255.
fn weights() -> Tensor {
    let weight = |class: u32, pixel: u32| {
        let (row, column) = (class / 5 * SIDE / 2, class % 5 * SIDE / 5);
        let (y, x) = (pixel / SIDE, pixel % SIDE);
        let inside = (row..row + SIDE / 2).contains(&y) && (column..column + SIDE / 5).contains(&x);
        if inside { 0.001 } else { 0.0 }
    };
    let values = (0..10).flat_map(|class| (0..SIDE * SIDE).map(move |pixel| weight(class, pixel)));
    Tensor { name: "weight", size: vec![10, SIDE * SIDE], values: Values::Float(values.collect()) }
}

const LOGITS: &str = "y = torch.linear(torch.flatten(x, 1), w)";

#[test]
fn outputs_that_depend_on_more_than_the_image_are_refused() {
    let models = Models::new();
    let noise = "depends on the other images of its batch (batch statistics";
    models.changed("batch.pt", &["x = torch.sub(x, torch.mean(x, [0], True))"]);
    models.refused("batch.pt", noise);
    // Statistics of large batches alone, and another way for them without any.
    let large = "m = torch.mul(torch.mean(x, [0], True), 0.01)";
    let above = |size: u32, then: &str| {
        format!(
            "x = torch.where(torch.gt(torch.mul(torch.ones([1]), float(torch.size(x, 0))), {size}.), {then}, x)"
        )
    };
    models.changed("large.pt", &[large, &above(2, "torch.sub(x, m)")]);
    models
        .refused("large.pt", "on the other images of its batch (batch statistics: a model traced");
    models.changed("larger.pt", &[large, &above(31, "torch.sub(x, m)")]);
    models.refused("larger.pt", "in batches of 32");
    models.changed("scaled.pt", &[&above(8, "torch.mul(x, 0.5)")]);
    models.refused("scaled.pt", "depends on the size of the batch: in batches of 16 it is another");
    let changes = "change from call to call";
    models.changed("dropout.pt", &["x = torch.dropout(x, 0.5, True)"]);
    models.changed("noise.pt", &["x = torch.add(x, torch.mul(torch.rand_like(x), 0.001))"]);
    // Half of the images, or half of the calls.
    let coin = "coin = torch.lt(torch.rand([torch.size(x, 0), 1, 1, 1]), 0.5)";
    models.changed("flip.pt", &[coin, "x = torch.where(coin, torch.flip(x, [3]), x)"]);
    let coin = "coin = torch.lt(torch.rand([1, 1, 1, 1]), 0.5)";
    models.changed("shift.pt", &[coin, "x = torch.where(coin, torch.roll(x, [1], [2]), x)"]);
    for name in ["dropout.pt", "noise.pt", "flip.pt", "shift.pt"] {
        models.refused(name, changes);
    }
}

#[test]
fn what_cannot_be_differentiated_or_scored_is_refused() {
    let models = Models::new();
    let gradient = "its output cannot be differentiated by the pixels";
    models.changed("detached.pt", &["x = torch.detach(x)"]);
    models.refused("detached.pt", gradient);
    models.write("constant.pt", "Tensor", &[LOGITS, "return torch.add(torch.zeros_like(y), 1.)"]);
    models.refused("constant.pt", gradient);
    // The first value is bright in class 0 alone.
    let lines = [
        LOGITS,
        "first = torch.select(torch.flatten(x, 1), 1, 0)",
        "bad = torch.mul(torch.sqrt(torch.add(torch.neg(first), 100.)), 0.)",
        "return torch.add(y, torch.unsqueeze(bad, 1))",
    ];
    models.write("nan.pt", "Tensor", &lines);
    let sample = Settings { images: 200, ..Settings::of_protocol("small", 1).unwrap() }.pool(400);
    let bad = sample.iter().filter(|index| *index % 10 == 0).count();
    models.refused("nan.pt", &format!("NaN or infinite scores for {bad} of 200 images of data"));
    let shapes: [(&str, &str, &str); 5] = [
        ("flat.pt", "return torch.argmax(y, 1)", "gives [2] for 2 images, not images x classes"),
        ("one.pt", "return torch.slice(y, 1, 0, 1)", "gives [2, 1] for 2 images"),
        ("few.pt", "return torch.slice(y, 1, 0, 3)", "3 classes, the images of data have 10"),
        ("deep.pt", "return torch.unsqueeze(y, 2)", "gives [2, 10, 1] for 2 images"),
        ("mean.pt", "return torch.mean(y, [0], True)", "gives [1, 10] for 2 images"),
    ];
    for (name, line, reason) in shapes {
        models.write(name, "Tensor", &[LOGITS, line]);
        models.refused(name, reason);
    }
    models.write("number.pt", "int", &["return 3"]);
    models.refused("number.pt", "without a tensor; a tensor of images x classes is needed");
    let wrong = ["return torch.linear(torch.reshape(x, [-1, 7]), w)"];
    models.write("size.pt", "Tensor", &wrong);
    models.refused("size.pt", "does not take [2, 1, 28, 28]: RuntimeError");
    models.changed("plain.pt", &[]);
    let bf16 = models.attack(&["--model", "torchscript:plain.pt", "--dtype", "bf16"]);
    bf16.code(2).says("TorchScript models are attacked in f32, not in bf16");
    models.attacked("plain.pt");
}

#[test]
fn models_that_only_look_odd_are_attacked() {
    let models = Models::new();
    // No number on grey images, but on no image of the set.
    models.changed(
        "standardised.pt",
        &[
            "x = torch.sub(x, torch.mean(x, [1, 2, 3], True))",
            "x = torch.mul(torch.div(x, torch.sqrt(torch.mean(torch.mul(x, x), [1, 2, 3], True))), 60.)",
        ],
    );
    models.changed("in-place.pt", &["x = torch.div_(x, 1.)"]);
    models.attacked("standardised.pt");
    models.attacked("in-place.pt");
    // Indices above 256 have no exact bfloat16, and a float is no index at all.
    let order = Tensor {
        name: "order",
        size: vec![SIDE * SIDE],
        values: Values::Long((0..i64::from(SIDE * SIDE)).collect()),
    };
    let lines = [
        "w = self.weight",
        "x = torch.index_select(torch.flatten(x, 1), 1, self.order)",
        "return torch.linear(x, w)",
    ];
    write(&models.0.path("index.pt"), "Tensor", &lines, &[weights(), order]);
    models.attacked("index.pt");
    let Values::Float(single) = weights().values else { unreachable!() };
    let double = Values::Double(single.into_iter().map(f64::from).collect());
    write(
        &models.0.path("double.pt"),
        "Tensor",
        &["w = self.weight", LOGITS, "return y"],
        &[Tensor { values: double, ..weights() }],
    );
    models.attacked("double.pt");
    // All of them are right as often as the plain one.
    let accuracies = models.rows(
        "accuracy",
        &["robustness", "--attack", "all", "--k", "1", "--where", "method = 'clean'"],
    );
    assert!(accuracies.lines().skip(1).all(|line| line == "1.0"), "{accuracies}");
}

#[test]
fn of_several_outputs_the_logits_are_taken_and_named() {
    let models = Models::new();
    let other = "z = torch.mean(x, [1, 2, 3])";
    let kinds: [(&str, &str, &str, &str); 4] = [
        ("tuple.pt", "Tuple[Tensor, Tensor]", "return (y, z)", "the first of 2 outputs"),
        ("list.pt", "List[Tensor]", "return [y, z]", "the first of 2 outputs"),
        (
            "named.pt",
            "Dict[str, Tensor]",
            "return {\"features\": z, \"logits\": y}",
            "`logits` of a dictionary of 2",
        ),
        (
            "dict.pt",
            "Dict[str, Tensor]",
            "return {\"out\": y, \"aux\": z}",
            "the first of a dictionary of 2",
        ),
    ];
    for (name, gives, line, taken) in kinds {
        models.write(name, gives, &[LOGITS, other, line]);
        models.attacked(name).says(&format!("{name}: qtrail takes {taken} as logits"));
    }
    models.changed("plain.pt", &[]);
    models.attacked("plain.pt");
    let crafted = models.crafted();
    let plain = &crafted[crafted.len() - 3..];
    for (one, at) in crafted.iter().zip(0..) {
        assert_eq!(one.images, plain[at % 3].images, "micro-batch {at}");
    }
}

#[test]
fn zero_and_invalid_gradients_are_counted_and_warned_about() {
    let models = Models::new();
    models.changed("rounded.pt", &["x = torch.round(x)"]);
    // The slope of a root at 0 is infinite; times the 0 of the branch not taken it is no number.
    let root = "root = torch.where(torch.gt(x, 0.), torch.sqrt(x), torch.zeros_like(x))";
    models.changed("root.pt", &[root, "x = torch.mul(root, 15.)"]);
    models.changed("plain.pt", &[]);
    let zero = "rounded.pt (fast): 100 % of the images have zero gradients; accuracy under attack is \
                then not robustness";
    models.attacked("rounded.pt").says(zero);
    let invalid = "root.pt (fast): 100 % of the images have invalid (NaN or infinite) gradients";
    models.attacked("root.pt").says(invalid);
    let ran = models.attacked("plain.pt");
    assert!(!ran.stderr().contains("warning"), "{}", ran.stderr());
    let crafted = models.crafted();
    for batch in &crafted[..3] {
        assert!(batch.images.iter().all(|image| image.zero_gradient == SIDE * SIDE));
        assert!(batch.images.iter().all(|image| image.changed == 0));
        assert_eq!(batch.invalid_gradient, None);
    }
    for batch in &crafted[3..6] {
        let counts = batch.invalid_gradient.as_ref().unwrap();
        assert!(counts.iter().all(|&count| count > 0), "{counts:?}");
        for (image, at) in batch.images.iter().zip(0..) {
            // What has no gradient is not moved.
            assert_eq!(image.changed + image.zero_gradient + batch.invalid(at), SIDE * SIDE);
        }
    }
    assert!(crafted[6..].iter().all(|batch| batch.invalid_gradient.is_none()));
    let columns = "victim,zero_gradient,zero_images,invalid_images";
    let rows = models.rows(columns, &["perturbations", "--attack", "all"]);
    assert!(rows.contains("rounded.pt,1.0,40,0"), "{rows}");
    assert!(rows.contains(",0,40\n"), "{rows}");
    for table in ["accuracy", "robustness", "destruction"] {
        models.0.run("store", &["table", table, "--attack", "a1"]).code(0).says(zero);
        let ran = models.0.run("store", &["table", table, "--attack", "a3"]);
        assert!(!(ran.stdout() + &ran.stderr()).contains("warning"));
    }
    models.0.run("store", &["show", "a2"]).code(0).says(invalid);
    let json = models.0.run("store", &["show", "a2", "--format", "json"]);
    json.code(0).says(invalid);
    assert!(json.stdout().starts_with('{') && !json.stdout().contains("warning"));
}

#[test]
fn input_ranges_are_proposed_recorded_and_resumed() {
    let models = Models::new();
    // Sees values from 0 to 1; what is above counts as 1.
    let clamped = ["x = torch.mul(torch.clamp(x, 0., 1.), 255.)"];
    models.changed("unit.pt", &clamped);
    let proposed =
        "values 0..255, on 100 % with 0..1, on 100 % with 0.5/0.5; these fit about equally well";
    models.attacked("unit.pt").says("unit.pt: correct on 60 %").says(proposed);
    let given = ["--model", "torchscript:unit.pt", "--input-range", "0..1"];
    let ran = models.attack(&given);
    ran.code(0).says("a2 is finished");
    assert!(!ran.stderr().contains("--input-range"), "{}", ran.stderr());
    models.attack(&given).code(0).says("nothing is left to do: a2 is this attack");
    let accuracy = ["robustness", "--attack", "all", "--k", "1", "--where", "method = 'clean'"];
    let rows = models.rows("attack,accuracy", &accuracy);
    assert!(rows.contains("a2,1.0"), "{rows}");
    models.0.run("store", &["show", "a2"]).code(0).says("0..1");
    models.0.run("store", &["show", "a1"]).code(0).says("0..255");
    let settings =
        models.0.events("store").into_iter().filter_map(|recorded| match recorded.event {
            Event::ConfigPart(part) if recorded.scope.to_string().starts_with('a') => {
                Some(part.text)
            }
            _ => None,
        });
    let settings: Vec<Settings> = settings.map(|text| Settings::read(&text).unwrap()).collect();
    assert_eq!(settings.iter().map(|s| s.input_ranges.len()).collect::<Vec<_>>(), [0, 1]);
    // The same function of bytes, written differently, is attacked alike.
    models.changed("shifted.pt", &["x = torch.mul(torch.add(torch.mul(x, 0.5), 0.5), 255.)"]);
    models.changed("bytes.pt", &[]);
    models.attack(&["--model", "torchscript:shifted.pt", "--input-range", "0.5/0.5"]).code(0);
    models.attacked("bytes.pt");
    let crafted = models.crafted();
    let moved = |batch: &ImagesCrafted| batch.images.iter().map(|i| i.changed).sum::<u32>();
    assert_eq!(moved(&crafted[6]), moved(&crafted[9]));
    let two = ["--model", "torchscript:unit.pt", "--model", "torchscript:bytes.pt"];
    models
        .attack(&[&two[..], &["--input-range", "0..1", "--input-range", "0..255"]].concat())
        .code(0);
    let last =
        models.rows("victim,accuracy", &["robustness", "--k", "1", "--where", "method = 'clean'"]);
    assert!(last.contains("unit.pt,1.0") && last.contains("bytes.pt,1.0"), "{last}");
    // What is given is doubted too, but done.
    let wrong = ["--model", "torchscript:unit.pt", "--input-range", "0..255", "--seed", "1"];
    let ran = models.attack(&wrong);
    ran.code(0).says(proposed);
    let bad: [(&[&str], &str); 4] = [
        (&["--input-range", "0..2"], "expected an input range"),
        (&["--input-range", "imagenet"], "other channels than the images"),
        (&["--input-range", "0..1", "--input-range", "0..1"], "given 2 times for 1 models"),
        (&["--input-range", "1/0"], "expected an input range"),
    ];
    for (more, reason) in bad {
        let arguments = [&["--model", "torchscript:unit.pt"], more].concat();
        models.attack(&arguments).code(2).says(reason);
    }
    models.attack(&["t1", "--input-range", "0..1"]).code(2);
}
