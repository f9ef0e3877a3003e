//! Training through libtorch that goes on where it stopped, starts from weights, and shows images.
#![cfg(feature = "train")]
#![allow(clippy::disallowed_methods, missing_docs, clippy::unwrap_used)]

mod torch_support;

use qtrail::config::recipe::{
    Augment, Optimiser, Precision, Preprocess, RateSchedule, RateStep, Recipe, WeightsOf,
};
use qtrail::trainer::protocol::{
    Answer, EpochAnswer, FinishedAnswer, Fit, InitialRequest, PredictedPart, ResumeRequest,
    TrainRequest,
};
use safetensors::SafeTensors;
use torch_support::{CLASSES, Process, Show, Workplace};

const NET: &str = "[C(4,3,1), C(6,3,1), P(2,2), FC(8), SM(4)]";

/// What came of a request.
struct Trained {
    epochs: Vec<EpochAnswer>,
    checkpoints: Vec<ResumeRequest>,
    finished: FinishedAnswer,
}

fn train(process: &mut Process, workplace: &Workplace, request: &TrainRequest) -> Trained {
    process.train(request);
    let (mut epochs, mut checkpoints) = (Vec::new(), Vec::new());
    loop {
        match process.hear() {
            Answer::Progress { .. } => {}
            Answer::Epoch(epoch) => epochs.push(epoch),
            Answer::Checkpoint { restart, epoch, file, .. } => {
                // As qtrail does: the file is taken away at once.
                let to = workplace.path(&format!("kept-{}-{epoch}", checkpoints.len()));
                std::fs::rename(workplace.path("staging").join(file), &to).unwrap();
                checkpoints.push(ResumeRequest { file: to, restart, epoch });
            }
            Answer::Finished(finished) => return Trained { epochs, checkpoints, finished },
            other => panic!("{other:?}"),
        }
    }
}

/// Weights and probabilities as they were left.
fn left(workplace: &Workplace, finished: &FinishedAnswer) -> Vec<Vec<u8>> {
    let files = finished.predictions.iter().map(|answer| answer.file.as_str());
    files.chain(finished.weights.as_deref()).map(|file| workplace.staged(file)).collect()
}

/// All that can make a difference: dropout, varied images, both optimisers, rates that change,
/// precision.
fn recipes(base: &Recipe) -> [Recipe; 3] {
    let base = Recipe { epochs: 4, chance: Some(0.0), ..base.clone() };
    let steps = [(2, 0.05), (2, 0.01)].map(|(epochs, rate)| RateStep { epochs, rate });
    [
        Recipe {
            schedule: Some(RateSchedule::OneCycle { warm_up: 0.3 }),
            augment: Augment { mirror: true, translate: 1 },
            label_smoothing: 0.1,
            weight_decay: 0.01,
            decoupled: true,
            preprocess: Preprocess::Gcn,
            ..base.clone()
        },
        Recipe {
            optimiser: Optimiser::Sgd { momentum: 0.9 },
            schedule: Some(RateSchedule::Steps { steps: steps.into() }),
            preprocess: Preprocess::Lcn,
            ..base.clone()
        },
        Recipe { precision: Precision::Bf16, ..base },
    ]
}

#[test]
fn it_goes_on_after_any_epoch_to_the_same_weights() {
    let workplace = Workplace::new(Show::Class);
    let mut process = Process::start();
    let plain = workplace.request(NET);
    let weights = [WeightsOf::Best, WeightsOf::Last, WeightsOf::Best];
    for (recipe, weights) in recipes(&plain.recipe).into_iter().zip(weights) {
        let request = TrainRequest { recipe, weights, predict: true, threads: 1, ..plain.clone() };
        let whole = train(&mut process, &workplace, &request);
        let expected = left(&workplace, &whole.finished);
        assert_eq!(whole.checkpoints.len(), 0);
        let kept = TrainRequest { checkpoints: true, ..request.clone() };
        let kept = train(&mut process, &workplace, &kept);
        // Another process: nothing is left of the first one.
        let mut other = Process::start();
        assert!(left(&workplace, &kept.finished) == expected, "a checkpoint changed it");
        assert_eq!(kept.checkpoints.len(), 4);
        for resume in kept.checkpoints {
            let after = resume.epoch as usize;
            let rest = TrainRequest { resume: Some(resume), ..request.clone() };
            let rest = train(&mut other, &workplace, &rest);
            let same = |epoch: &EpochAnswer| EpochAnswer { seconds: 0.0, ..*epoch };
            let found: Vec<EpochAnswer> = rest.epochs.iter().map(same).collect();
            let wanted: Vec<EpochAnswer> = whole.epochs[after..].iter().map(same).collect();
            assert_eq!(found, wanted);
            assert!(left(&workplace, &rest.finished) == expected, "after {after}");
        }
    }
}

#[test]
fn probabilities_are_those_of_the_weights_that_stand() {
    let workplace = Workplace::new(Show::Class);
    let mut process = Process::start();
    let mut request = workplace.request("[C(8,3,1), P(2,2), SM(4)]");
    request.recipe = Recipe { epochs: 8, ..request.recipe };
    request.predict = true;
    let trained = train(&mut process, &workplace, &request);
    let best = trained.epochs.iter().map(|epoch| epoch.validation_correct).max().unwrap();
    for answer in &trained.finished.predictions {
        let bytes = workplace.staged(&answer.file);
        let labels = workplace.labels(answer.part);
        let correct = qtrail::engine::predictions::check(&bytes, &labels, CLASSES).unwrap();
        match answer.part {
            PredictedPart::Validation => assert_eq!(correct, best),
            PredictedPart::Test => assert!(correct * 10 > 9 * u32::try_from(labels.len()).unwrap()),
        }
    }
    assert_eq!(trained.finished.predictions.len(), 2);
}

#[test]
fn validation_images_can_be_trained_on_too() {
    let workplace = Workplace::new(Show::Class);
    let mut process = Process::start();
    let mut request = workplace.request(NET);
    request.recipe.chance = Some(0.0);
    request.data.fit = Fit::TrainAndValidation;
    let all = train(&mut process, &workplace, &request);
    assert_eq!((all.epochs[0].train_total, all.epochs[0].validation_total), (480, 160));
    request.data.fit = Fit::Train;
    let some = train(&mut process, &workplace, &request);
    assert_eq!(some.epochs[0].train_total, 320);
}

#[test]
fn weights_are_taken_over_and_frozen_ones_stay() {
    let workplace = Workplace::new(Show::Class);
    let mut process = Process::start();
    let mut request = workplace.request(NET);
    request.recipe = Recipe { chance: Some(0.0), weight_decay: 0.01, ..request.recipe };
    let source = train(&mut process, &workplace, &request);
    let file = workplace.path("source");
    std::fs::copy(workplace.path("staging").join(source.finished.weights.unwrap()), &file).unwrap();
    let source = std::fs::read(&file).unwrap();
    request.seed += 1;
    request.initial = Some(InitialRequest { file: file.clone(), layers: vec![1, 2], freeze: 2 });
    let taken = train(&mut process, &workplace, &request);
    let taken = workplace.staged(&taken.finished.weights.unwrap());
    let tensor = |bytes: &[u8], name: &str| {
        SafeTensors::deserialize(bytes).unwrap().tensor(name).unwrap().data().to_vec()
    };
    for name in ["layer1.weight", "layer1.bias", "layer2.weight", "layer2.bias"] {
        assert!(tensor(&taken, name) == tensor(&source, name), "{name} changed");
    }
    for name in ["layer4.weight", "layer5.weight"] {
        assert!(tensor(&taken, name) != tensor(&source, name), "{name} was not trained");
    }
    // What cannot be: a layer that is not in the file or has another shape, nothing left to train.
    for (net, layers, freeze, expected) in [
        (NET, vec![1], 5, "nothing is left to train"),
        ("[C(4,5,1), SM(4)]", vec![1], 0, "layer1.weight has shape [4, 1, 3, 3] in the file"),
        ("[C(4,3,1), P(2,2), C(6,3,1), SM(4)]", vec![3], 0, "layer3.weight"),
    ] {
        request.architecture = net.parse().unwrap();
        request.initial = Some(InitialRequest { file: file.clone(), layers, freeze });
        process.train(&request);
        let (_, message) = process.error();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn what_is_no_checkpoint_is_refused() {
    let workplace = Workplace::new(Show::Class);
    let mut process = Process::start();
    let mut request = workplace.request(NET);
    request.recipe.chance = Some(0.0);
    request.checkpoints = true;
    let kept = train(&mut process, &workplace, &request).checkpoints.remove(0);
    std::fs::write(workplace.path("junk"), b"junk").unwrap();
    let resume = |file, epoch| Some(ResumeRequest { file, restart: 0, epoch });
    let other = "[C(4,3,1), SM(4)]".parse().unwrap();
    for (request, expected) in [
        (TrainRequest { resume: resume(workplace.path("junk"), 1), ..request.clone() }, "junk"),
        (
            TrainRequest { resume: resume("/none".into(), 1), ..request.clone() },
            "cannot read /none",
        ),
        (TrainRequest { resume: resume(kept.file.clone(), 2), ..request.clone() }, "not (0, 2)"),
        (
            TrainRequest { architecture: other, resume: Some(kept), ..request },
            "the weights are those of another network",
        ),
    ] {
        process.train(&request);
        let (_, message) = process.error();
        assert!(message.contains(expected), "{message} has no {expected}");
    }
}
