//! Training through libtorch: what is built, that it learns, and that it repeats.
#![cfg(feature = "train")]
#![allow(clippy::disallowed_methods, missing_docs, clippy::unwrap_used)]

mod torch_support;

use qtrail::arch::shape::Map;
use qtrail::arch::{GapHead, PoolRule, Shapes};
use qtrail::config::recipe::{Init, Precision, Preprocess, Recipe, WeightsOf};
use qtrail::trainer::protocol::{Answer, EpochAnswer, FailedReason, FinishedAnswer, TrainRequest};
use safetensors::SafeTensors;
use torch_support::{Process, SIDE, Show, Workplace};

const NETS: [&str; 7] = [
    "[SM(4)]",
    "[GAP(4), SM(4)]",
    "[FC(8), SM(4)]",
    "[C(4,3,1), SM(4)]",
    "[C(4,5,2), P(3,2), SM(4)]",
    "[C(4,3,1), C(6,1,1), P(3,2), C(4,5,1), P(2,2), FC(8), FC(8), SM(4)]",
    "[C(4,3,1), P(2,2), C(4,3,1), GAP(4), SM(4)]",
];

impl Process {
    fn finish(&mut self, request: &TrainRequest) -> (Vec<EpochAnswer>, FinishedAnswer) {
        self.train(request);
        match self.result() {
            (epochs, Answer::Finished(finished)) => (epochs, finished),
            (_, other) => panic!("{}: {other:?}", request.architecture),
        }
    }

    /// The bytes of the weights file after a training.
    fn weights(&mut self, workplace: &Workplace, request: &TrainRequest) -> Vec<u8> {
        let (_, finished) = self.finish(request);
        workplace.staged(&finished.weights.unwrap())
    }

    fn fail(&mut self, request: &TrainRequest) -> (Vec<EpochAnswer>, FailedReason) {
        self.train(request);
        match self.result() {
            (epochs, Answer::Failed { reason, .. }) => (epochs, reason),
            (_, other) => panic!("{}: {other:?}", request.architecture),
        }
    }
}

#[test]
fn every_layer_is_built_as_its_shape_says_and_trains() {
    let workplace = Workplace::new(Show::Class);
    let mut process = Process::start();
    let input = Map { channels: 1, side: SIDE };
    for architecture in NETS {
        for gap in [GapHead::Direct, GapHead::ReluAndFull] {
            let mut request = workplace.request(architecture);
            // Failing to learn is not the question here: nothing counts as chance.
            request.recipe = Recipe { gap, epochs: 1, restarts: 0, ..request.recipe };
            request.recipe.chance = Some(0.0);
            let (epochs, finished) = process.finish(&request);
            assert_eq!((epochs.len(), epochs[0].train_total), (1, 320));
            let shapes = Shapes::of(&request.architecture, input, gap, PoolRule::True).unwrap();
            assert_eq!(finished.parameters, shapes.parameters(), "{architecture}");
            let bytes = workplace.staged(&finished.weights.unwrap());
            let file = SafeTensors::deserialize(&bytes).unwrap();
            let lengths = file.tensors().into_iter().map(|(_, view)| view.data().len() as u64);
            assert_eq!(finished.parameters, lengths.sum::<u64>() / 4);
        }
    }
}

#[test]
fn weights_have_the_names_of_their_layers() {
    let workplace = Workplace::new(Show::Class);
    let mut process = Process::start();
    let bytes = process.weights(&workplace, &workplace.request("[C(4,3,1), P(2,2), FC(8), SM(4)]"));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut shapes: Vec<_> =
        file.iter().map(|(name, view)| (name, view.shape().to_vec())).collect();
    shapes.sort_unstable();
    let expected = [
        ("layer1.bias", vec![4]),
        ("layer1.weight", vec![4, 1, 3, 3]),
        ("layer3.bias", vec![8]),
        ("layer3.weight", vec![8, 64]),
        ("layer4.bias", vec![4]),
        ("layer4.weight", vec![4, 8]),
    ];
    assert_eq!(shapes, expected);
}

#[test]
fn the_same_request_gives_the_same_weights() {
    let workplace = Workplace::new(Show::Class);
    let mut process = Process::start();
    let mut request = workplace.request(NETS[5]);
    request.recipe.chance = Some(0.0); // learning is not the question here
    let once = process.weights(&workplace, &request);
    assert!(once == process.weights(&workplace, &request));
    assert!(once != process.weights(&workplace, &TrainRequest { seed: 8, ..request.clone() }));
    for recipe in [
        Recipe { init: Init::FanIn, ..request.recipe.clone() },
        Recipe { preprocess: Preprocess::PerPixelStandardise, ..request.recipe.clone() },
        Recipe { weight_decay: 0.1, ..request.recipe.clone() },
        Recipe { dropout: qtrail::arch::dropout::DropoutRule::None, ..request.recipe.clone() },
    ] {
        assert!(once != process.weights(&workplace, &TrainRequest { recipe, ..request.clone() }));
    }
}

#[test]
fn what_can_be_learned_is_learned() {
    let workplace = Workplace::new(Show::Class);
    let mut process = Process::start();
    for architecture in ["[C(8,3,1), P(2,2), SM(4)]", "[C(8,3,1), C(8,3,1), FC(16), SM(4)]"] {
        let mut request = workplace.request(architecture);
        request.recipe = Recipe { epochs: 8, ..request.recipe };
        let (epochs, _) = process.finish(&request);
        let last = epochs.last().unwrap();
        assert!(last.validation_correct >= 152, "{architecture}: {last:?}"); // of 160
        assert!(last.validation_loss < epochs[0].validation_loss);
        let rates: Vec<f64> = epochs.iter().map(|epoch| epoch.learning_rate).collect();
        assert_eq!(
            rates,
            (1..=8).map(|e| request.recipe.learning_rate_at(0, e)).collect::<Vec<_>>()
        );
    }
}

#[test]
fn in_bf16_it_learns_and_repeats_and_keeps_weights_in_f32() {
    let workplace = Workplace::new(Show::Class);
    let mut process = Process::start();
    let mut request = workplace.request("[C(4,3,1), P(2,2), FC(8), SM(4)]");
    // Where bf16 is emulated, threads wait for each other more than they compute.
    request.threads = 1;
    request.recipe = Recipe { epochs: 4, ..request.recipe };
    let full = process.weights(&workplace, &request);
    request.recipe.precision = Precision::Bf16;
    let (epochs, finished) = process.finish(&request);
    let last = epochs.last().unwrap();
    assert!(last.validation_correct >= 144, "{last:?}"); // of 160
    let half = workplace.staged(&finished.weights.unwrap());
    assert!(half != full);
    assert!(half == Process::start().weights(&workplace, &request));
    // A bfloat16 as f32 ends with two bytes of zeros.
    let file = SafeTensors::deserialize(&half).unwrap();
    assert!(file.tensors().iter().all(|(_, view)| view.dtype() == safetensors::Dtype::F32));
    let (_, weights) =
        file.tensors().into_iter().find(|(name, _)| name == "layer3.weight").unwrap();
    let rounded = weights.data().chunks(4).filter(|bytes| bytes[..2] == [0, 0]).count();
    assert!(rounded * 10 < weights.data().len() / 4, "{rounded}");
}

#[test]
fn the_best_weights_are_those_of_the_best_epoch() {
    let workplace = Workplace::new(Show::Class);
    let mut process = Process::start();
    let mut request = workplace.request("[C(4,3,1), FC(8), SM(4)]");
    request.recipe = Recipe { epochs: 6, learning_rate: 0.05, ..request.recipe };
    let (epochs, finished) = process.finish(&request);
    let best = workplace.staged(&finished.weights.unwrap());
    let epoch = epochs.iter().rev().max_by_key(|epoch| epoch.validation_correct).unwrap().epoch;
    request.recipe.epochs = epoch;
    request.weights = WeightsOf::Last;
    assert!(best == process.weights(&workplace, &request), "epoch {epoch}");
}

#[test]
fn a_network_no_better_than_chance_is_tried_at_each_rate_and_fails() {
    let workplace = Workplace::new(Show::Nothing);
    let mut process = Process::start();
    let request = workplace.request("[C(4,3,1), SM(4)]");
    let (epochs, reason) = process.fail(&request);
    assert_eq!(reason, FailedReason::Chance);
    let seen: Vec<_> = epochs.iter().map(|e| (e.restart, e.epoch, e.learning_rate)).collect();
    let rate = |restart| request.recipe.learning_rate_at(restart, 1);
    assert_eq!(seen, [(0, 1, rate(0)), (1, 1, rate(1)), (2, 1, rate(2))]);
    assert!(epochs.iter().all(|epoch| epoch.validation_correct == 40));
}

#[test]
fn a_restart_at_another_rate_can_save_a_network() {
    let workplace = Workplace::new(Show::Class);
    let mut process = Process::start();
    // What a lower rate saves is hard to make in small; a higher one does as well.
    let mut request = workplace.request("[FC(32), SM(4)]");
    request.recipe = Recipe { learning_rate: 1e-7, restart_factor: 1e5, ..request.recipe };
    request.recipe.chance = Some(0.5);
    let (epochs, _) = process.finish(&request);
    let seen: Vec<_> = epochs.iter().map(|epoch| (epoch.restart, epoch.epoch)).collect();
    assert_eq!(seen, [(0, 1), (1, 1), (1, 2)]);
}

#[test]
fn a_loss_that_is_no_number_fails() {
    let workplace = Workplace::new(Show::Class);
    let mut process = Process::start();
    let mut request = workplace.request("[FC(8), SM(4)]");
    request.recipe.learning_rate = 1e38;
    let (epochs, reason) = process.fail(&request);
    assert_eq!(reason, FailedReason::NonFinite);
    assert_eq!(epochs, []);
}
