//! Attacks through libtorch, held against closed forms, the reference, and each other.
#![cfg(feature = "train")]
#![allow(
    clippy::disallowed_methods,
    missing_docs,
    clippy::unwrap_used,
    clippy::cast_possible_truncation
)]

mod torch_support;

use std::fs;
use std::time::Duration;

use qtrail::adversary::craft::alone;
use qtrail::adversary::linear::Linear;
use qtrail::adversary::rank::{loss, softmax};
use qtrail::adversary::spec::{AttackSpec, Method, Rounding, iterations};
use qtrail::adversary::sweep::{Chain, plan};
use qtrail::chance::Stream;
use qtrail::config::recipe::{Precision, Preprocess};
use qtrail::trainer::protocol::{
    Answer, CraftRequest, CraftedAnswer, Member, ModelRequest, NetworkRequest, Request,
    ScoreRequest, TrainRequest,
};
use safetensors::tensor::{Dtype as Kind, TensorView};
use torch_support::{CLASSES, Process, SIDE, Show, Workplace};

const VALUES: usize = (SIDE * SIDE) as usize;
const NET: &str = "[C(6,3,1), P(2,2), C(8,3,1), FC(16), SM(4)]";

fn spec(method: Method, eps: u8) -> AttackSpec {
    let one = method.is_one_step();
    AttackSpec {
        method,
        eps,
        alpha: if one { eps } else { 1 },
        iterations: if one { 1 } else { iterations(eps, Rounding::Floor) },
        rounding: (!one).then_some(Rounding::Floor),
        random_start: false,
        dtype: Precision::F32,
        batch: 100,
    }
}

fn specs(methods: &[Method], sizes: &[u8]) -> Vec<AttackSpec> {
    methods.iter().flat_map(|&m| sizes.iter().map(move |&eps| spec(m, eps))).collect()
}

fn pictures(count: usize) -> Vec<u8> {
    let mut chance = Stream::new(3, "pictures", 0);
    (0..count * VALUES).map(|_| chance.below(256) as u8).collect()
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// What a request crafted: images of each specification, logits (clean first), zero gradients.
struct Crafted {
    images: Vec<Vec<u8>>,
    logits: Vec<f32>,
    zeros: Vec<u32>,
    classes: usize,
}

struct Bench {
    workplace: Workplace,
    process: Process,
}

impl Bench {
    fn new() -> Self {
        Self { workplace: Workplace::new(Show::Class), process: Process::start() }
    }

    /// Trains a network and gives it as a member.
    fn trained(&mut self, architecture: &str, preprocess: Preprocess, seed: u64) -> Member {
        let mut request: TrainRequest = self.workplace.request(architecture);
        (request.recipe.preprocess, request.seed) = (preprocess, seed);
        self.process.train(&request);
        let (_, Answer::Finished(finished)) = self.process.result() else { panic!("untrained") };
        let kept = self.workplace.path(&format!("kept-{seed}"));
        fs::rename(self.workplace.path("staging").join(finished.weights.unwrap()), &kept).unwrap();
        self.network(&request, kept)
    }

    fn network(&self, request: &TrainRequest, weights: std::path::PathBuf) -> Member {
        Member::Network(Box::new(NetworkRequest {
            architecture: request.architecture.clone(),
            recipe: request.recipe.clone(),
            weights,
            data: request.data.clone(),
        }))
    }

    fn model(members: Vec<Member>) -> ModelRequest {
        ModelRequest { members, channels: 1, side: SIDE }
    }

    fn craft_request(
        &self,
        model: &ModelRequest,
        chains: Vec<Chain>,
        pixels: &[u8],
    ) -> CraftRequest {
        let images = self.workplace.path("clean");
        fs::write(&images, pixels).unwrap();
        let count = pixels.len() / VALUES;
        let label = |at: usize| (at % CLASSES as usize) as u16;
        CraftRequest {
            id: 9,
            model: model.clone(),
            images,
            count: count as u32,
            labels: (0..count).map(label).collect(),
            targets: (0..count).map(|at| label(at + 1)).collect(),
            chains,
            dtype: Precision::F32,
            device: "cpu".into(),
            threads: 1,
            staging: self.workplace.path("staging"),
            measure: false,
        }
    }

    fn ask(&mut self, request: &Request) -> Answer {
        self.process.write(&serde_json::to_string(request).unwrap());
        self.process.result().1
    }

    fn take(&self, answer: &CraftedAnswer, count: usize) -> Crafted {
        let images = self.workplace.staged(&answer.images);
        let zeros = self.workplace.staged(&answer.zeros);
        Crafted {
            images: images.chunks(count * VALUES).map(<[u8]>::to_vec).collect(),
            logits: numbers(&self.workplace.staged(&answer.logits)),
            zeros: zeros
                .chunks_exact(4)
                .map(|b| u32::from_le_bytes(b.try_into().unwrap()))
                .collect(),
            classes: answer.classes as usize,
        }
    }

    fn craft(&mut self, model: &ModelRequest, specs: &[AttackSpec], pixels: &[u8]) -> Crafted {
        let request = self.craft_request(model, plan(specs), pixels);
        match self.ask(&Request::Craft(Box::new(request))) {
            Answer::Crafted(answer) => self.take(&answer, pixels.len() / VALUES),
            other => panic!("{other:?}"),
        }
    }

    fn logits(&mut self, model: &ModelRequest, pixels: &[u8]) -> Vec<f32> {
        let images = self.workplace.path("judged");
        fs::write(&images, pixels).unwrap();
        let request = ScoreRequest {
            id: 4,
            model: model.clone(),
            images,
            count: (pixels.len() / VALUES) as u32,
            batch: 64,
            dtype: Precision::F32,
            device: "cpu".into(),
            threads: 1,
            staging: self.workplace.path("staging"),
        };
        match self.ask(&Request::Score(Box::new(request))) {
            Answer::Scored(answer) => numbers(&self.workplace.staged(&answer.logits)),
            other => panic!("{other:?}"),
        }
    }
}

fn script_of(file: &std::path::Path) -> Member {
    Member::Torchscript { file: file.to_owned(), input: Default::default() }
}

const METHODS: [Method; 3] = [Method::Fast, Method::Basic, Method::LeastLikely];

#[test]
fn a_sweep_is_bit_for_bit_what_each_attack_gives_alone() {
    let mut bench = Bench::new();
    let network = bench.trained(NET, Preprocess::PerPixelStandardise, 1);
    let Member::Network(of) = &network else { panic!() };
    let weights = of.weights.clone();
    let before = fs::read(&weights).unwrap();
    let (model, pixels) = (Bench::model(vec![network]), pictures(20));
    let clean = bench.logits(&model, &pixels);
    let all = specs(Method::ALL, &[1, 2, 4, 8, 16]);
    let swept = bench.craft(&model, &all, &pixels);
    for (spec, images) in all.iter().zip(&swept.images) {
        let alone = bench.craft(&model, std::slice::from_ref(spec), &pixels);
        assert!(alone.images[0] == *images, "{}", spec.text());
        let far = images.iter().zip(&pixels).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(far <= spec.eps && u16::from(far) <= u16::from(spec.alpha) * spec.iterations);
        if spec.method.is_one_step() {
            assert!(images.iter().zip(&pixels).all(|(&a, &x)| {
                a == x || a == x.saturating_add(spec.eps) || a == x.saturating_sub(spec.eps)
            }));
        }
    }
    // Nothing has changed but the images: the model judges as before, its file is what it was.
    assert_eq!(bench.logits(&model, &pixels), clean);
    assert_eq!(swept.logits[..clean.len()], clean);
    assert_eq!(fs::read(&weights).unwrap(), before);
    let again = bench.craft(&model, &all, &pixels);
    assert!(again.images == swept.images && again.logits == swept.logits);
    assert_eq!(swept.classes, CLASSES as usize);
    // In the mean over the images the loss has grown, by iterations more than by one step.
    let mean = |block: usize| {
        let rows = swept.logits[block * clean.len()..(block + 1) * clean.len()].chunks(4);
        let row = |(at, row): (usize, &[f32])| {
            loss(&row.iter().map(|&x| x.into()).collect::<Vec<f64>>(), at % 4)
        };
        rows.enumerate().map(row).sum::<f64>()
    };
    let (clean, fast, basic) = (mean(0), mean(1 + 4), mean(1 + 5 + 4));
    assert!(clean < fast && fast < basic, "{clean} {fast} {basic}");
}

#[test]
fn signs_are_those_of_finite_differences() {
    let mut bench = Bench::new();
    let network = bench.trained(NET, Preprocess::MeanSubtract, 2);
    let model = Bench::model(vec![network]);
    let pixels: Vec<u8> = pictures(1).into_iter().map(|pixel| pixel.clamp(4, 251)).collect();
    let crafted = bench.craft(&model, &[spec(Method::Fast, 2)], &pixels);
    // The loss with each value one up, and with each one down.
    let moved = |by: i16| -> Vec<u8> {
        let one = |at: usize| {
            let mut image = pixels.clone();
            image[at] = (i16::from(image[at]) + by) as u8;
            image
        };
        (0..VALUES).flat_map(one).collect()
    };
    let losses = |logits: Vec<f32>| -> Vec<f64> {
        let row = |row: &[f32]| loss(&row.iter().map(|&x| x.into()).collect::<Vec<f64>>(), 0);
        logits.chunks(4).map(row).collect()
    };
    let (up, down) =
        (losses(bench.logits(&model, &moved(1))), losses(bench.logits(&model, &moved(-1))));
    let (mut right, mut wrong) = (0, 0);
    for at in 0..VALUES {
        let slope = up[at] - down[at];
        if slope.abs() > 2e-4 {
            let step = i16::from(crafted.images[0][at]) - i16::from(pixels[at]);
            if (f64::from(step) > 0.0) == (slope > 0.0) { right += 1 } else { wrong += 1 }
        }
    }
    assert!(right > 10 && wrong * 20 <= right, "{right} right, {wrong} wrong");
}

/// Weights of a network of one layer, and its reference.
fn linear(bench: &Bench, seed: u64, scale: f64) -> (Member, Linear) {
    let mut chance = Stream::new(seed, "weights", 0);
    let weights: Vec<f32> =
        (0..4 * VALUES).map(|_| (chance.below(17) as f32 - 8.0) / 8.0 * scale as f32).collect();
    let bytes: Vec<u8> = weights.iter().flat_map(|weight| weight.to_le_bytes()).collect();
    let (zeros, path) = ([0_u8; 16], bench.workplace.path(&format!("linear-{seed}")));
    let views = [
        ("layer1.weight", TensorView::new(Kind::F32, vec![4, VALUES], &bytes).unwrap()),
        ("layer1.bias", TensorView::new(Kind::F32, vec![4], &zeros).unwrap()),
    ];
    safetensors::serialize_to_file(views, None, &path).unwrap();
    let mut request = bench.workplace.request("[SM(4)]");
    request.recipe.preprocess = Preprocess::Scale;
    let rows = weights.chunks(VALUES).map(|row| row.iter().map(|&w| w.into()).collect()).collect();
    let reference = Linear { weights: rows, bias: vec![0.0; 4], scale: 1.0 };
    (bench.network(&request, path), reference)
}

#[test]
fn a_linear_network_is_attacked_as_the_reference_says() {
    let mut bench = Bench::new();
    let (network, reference) = linear(&bench, 5, 1.0);
    let (model, pixels) = (Bench::model(vec![network]), pictures(12));
    let all = specs(&METHODS, &[2, 8]);
    let crafted = bench.craft(&model, &all, &pixels);
    let (mut same, mut values) = (0, 0);
    for (spec, images) in all.iter().zip(&crafted.images) {
        for (at, (clean, image)) in pixels.chunks(VALUES).zip(images.chunks(VALUES)).enumerate() {
            let expected = alone(&reference, spec, clean, at % 4, 0, clean);
            same += expected.image.iter().zip(image).filter(|(a, b)| a == b).count();
            values += VALUES;
        }
    }
    // Single and double precision differ where a gradient is next to nothing.
    assert!(same * 1000 >= values * 999, "{same} of {values}");
}

#[test]
fn a_saturated_network_moves_nothing_and_says_so() {
    let mut bench = Bench::new();
    let (network, reference) = linear(&bench, 6, 1000.0);
    let model = Bench::model(vec![network]);
    // Of the classes that labels name in turn, one image each that is surely right.
    let pixels = pictures(400);
    let logits = |image: &[u8]| qtrail::adversary::Classifier::logits(&reference, image);
    let sure = |class: usize| {
        let all = |image: &&[u8]| {
            let p = softmax(&logits(image));
            (0..4).all(|other| p[other] == if other == class { 1.0 } else { 0.0 })
        };
        pixels.chunks(VALUES).find(all).unwrap()
    };
    let sure: Vec<u8> = (0..4).flat_map(sure).copied().collect();
    let crafted = bench.craft(&model, &specs(&METHODS[..2], &[8]), &sure);
    assert!(crafted.images.iter().all(|images| *images == sure));
    assert!(crafted.zeros.iter().all(|&zeros| zeros as usize == VALUES), "{:?}", crafted.zeros);
}

#[test]
fn an_ensemble_is_the_mean_of_the_probabilities() {
    let mut bench = Bench::new();
    let members = [
        bench.trained(NET, Preprocess::Scale, 11),
        bench.trained("[FC(8), SM(4)]", Preprocess::PerPixelStandardise, 12),
    ];
    let pixels = pictures(8);
    let together = bench.logits(&Bench::model(members.to_vec()), &pixels);
    let alone = members.map(|member| bench.logits(&Bench::model(vec![member]), &pixels));
    let probabilities = |row: &[f32]| softmax(&row.iter().map(|&x| x.into()).collect::<Vec<_>>());
    let rows = alone[0].chunks(4).zip(alone[1].chunks(4)).zip(together.chunks(4));
    for ((one, other), both) in rows {
        let (one, other) = (probabilities(one), probabilities(other));
        for ((p, q), log) in one.iter().zip(&other).zip(both) {
            assert!((f64::from(*log) - ((p + q) / 2.0).ln()).abs() < 1e-4);
        }
    }
    let network = bench.trained(NET, Preprocess::Scale, 11);
    let twice = Bench::model(vec![network.clone(), network.clone()]);
    let crafted = bench.craft(&twice, &specs(&METHODS, &[4]), &pixels);
    let single = bench.craft(&Bench::model(vec![network]), &specs(&METHODS, &[4]), &pixels);
    let pairs = crafted.images.concat();
    let same = pairs.iter().zip(single.images.concat()).filter(|(a, b)| **a == *b).count();
    assert!(same * 100 >= pairs.len() * 98, "{same} of {}", pairs.len());
}

#[test]
fn bf16_is_another_attack_of_the_same_kind() {
    let mut bench = Bench::new();
    let network = bench.trained(NET, Preprocess::Scale, 21);
    let (model, pixels) = (Bench::model(vec![network]), pictures(8));
    let chains = plan(&specs(&[Method::Fast], &[8]));
    let request = bench.craft_request(&model, chains, &pixels);
    let request = CraftRequest { dtype: Precision::Bf16, ..request };
    let Answer::Crafted(answer) = bench.ask(&Request::Craft(Box::new(request))) else { panic!() };
    let half = bench.take(&answer, 8);
    let full = bench.craft(&model, &specs(&[Method::Fast], &[8]), &pixels);
    let same = half.images[0].iter().zip(&full.images[0]).filter(|(a, b)| a == b).count();
    assert!(same * 10 >= half.images[0].len() * 8, "{same} of {}", half.images[0].len());
    let far = half.images[0].iter().zip(&pixels).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(far <= Some(8));
}

/// Memory is told where it is asked for, and more images take more of it: 64 filters of 3 x 3 on
/// 1,000 images are at least as many numbers of four bytes.
#[test]
fn the_memory_of_crafting_is_told_when_it_is_asked_for() {
    let mut bench = Bench::new();
    let network = bench.trained("[C(64,3,1), SM(4)]", Preprocess::Scale, 41);
    let model = Bench::model(vec![network]);
    let mut memory = |count: usize, measure: bool| {
        let chains = plan(&specs(&[Method::Fast], &[8]));
        let request = bench.craft_request(&model, chains, &pictures(count));
        let request = Request::Craft(Box::new(CraftRequest { measure, ..request }));
        let Answer::Crafted(answer) = bench.ask(&request) else { panic!() };
        answer.memory
    };
    assert_eq!(memory(4, false), None);
    let (few, many) = (memory(4, true).unwrap(), memory(1_004, true).unwrap());
    let numbers = (1_000 * 64 * VALUES * 4) as u64;
    assert!(many.peak > few.peak + numbers, "{few:?} {many:?} {numbers}");
    assert!(few.free > 0 && many.free > 0);
}

#[test]
fn what_cannot_be_attacked_is_an_answer() {
    let mut bench = Bench::new();
    let network = bench.trained("[SM(4)]", Preprocess::Scale, 31);
    let (model, pixels) = (Bench::model(vec![network.clone()]), pictures(4));
    let chains = plan(&specs(&METHODS, &[4]));
    let good = bench.craft_request(&model, chains, &pixels);
    let junk = bench.workplace.path("junk.pt");
    fs::write(&junk, "no model").unwrap();
    let Member::Network(own) = &network else { panic!() };
    let other = NetworkRequest { architecture: "[FC(4), SM(4)]".parse().unwrap(), ..*own.clone() };
    let gone = NetworkRequest { weights: "/nonexistent".into(), ..*own.clone() };
    type Change<'a> = Box<dyn Fn(&mut CraftRequest) + 'a>;
    let member = |member: Member| -> Change<'_> {
        Box::new(move |request| request.model.members = vec![member.clone()])
    };
    let bad: Vec<(Change<'_>, &str)> = vec![
        (Box::new(|r| r.labels[0] = 4), "none of the model's 4"),
        (Box::new(|r| r.labels.truncate(2)), "labels are missing"),
        (Box::new(|r| r.count = 3), "bytes, the images have"),
        (Box::new(|r| r.model.side = 9), "of 9 x 9 pixels, the network"),
        (Box::new(|r| r.model.members.clear()), "at least one member"),
        (Box::new(|r| r.staging = "/nonexistent".into()), "cannot write /nonexistent"),
        (Box::new(|r| r.device = "cuda:99".into()), "there is no device"),
        (member(script_of(&junk)), "is no TorchScript model"),
        (member(Member::Network(Box::new(other))), "tensors, the network"),
        (member(Member::Network(Box::new(gone))), "cannot read /nonexistent"),
    ];
    for (change, expected) in bad {
        let mut request = good.clone();
        change(&mut request);
        let answer = bench.ask(&Request::Craft(Box::new(request)));
        let Answer::Error { id: 9, message, .. } = answer else { panic!("{expected}: {answer:?}") };
        assert!(message.contains(expected), "{message} has no {expected}");
    }
    assert!(matches!(bench.ask(&Request::Craft(Box::new(good))), Answer::Crafted(_)));
}

#[test]
fn it_leaves_in_mid_attack_when_stdin_closes() {
    let mut bench = Bench::new();
    let network = bench.trained("[C(64,5,1), C(64,5,1), SM(4)]", Preprocess::Scale, 41);
    let chains = plan(&specs(&METHODS, &[255]));
    let request = bench.craft_request(&Bench::model(vec![network]), chains, &pictures(100));
    let request = Request::Craft(Box::new(request));
    bench.process.write(&serde_json::to_string(&request).unwrap());
    let heard = bench.process.hear();
    assert!(matches!(heard, Answer::Progress { id: 9, batches: 511.., .. }), "{heard:?}");
    assert!(bench.process.leave() < Duration::from_secs(1));
}
