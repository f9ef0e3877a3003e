//! Training through libtorch: what is built, that it learns, and that it repeats.
#![cfg(feature = "train")]
#![allow(missing_docs)]

mod torch_support;

use qtrail::arch::shape::Map;
use qtrail::arch::{GapHead, PoolRule, Shapes};
use qtrail::config::recipe::{Init, Preprocess, Recipe, WeightsOf};
use qtrail::torch::data::DeviceData;
use qtrail::torch::reporter::Place;
use qtrail::torch::training::{Outcome, train};
use qtrail::trainer::protocol::{EpochAnswer, FailedReason, FinishedAnswer, TrainRequest};
use safetensors::SafeTensors;
use tch::Device;
use torch_support::{SIDE, Show, Workplace};

const NETS: [&str; 7] = [
    "[SM(4)]",
    "[GAP(4), SM(4)]",
    "[FC(8), SM(4)]",
    "[C(4,3,1), SM(4)]",
    "[C(4,5,2), P(3,2), SM(4)]",
    "[C(4,3,1), C(6,1,1), P(3,2), C(4,5,1), P(2,2), FC(8), FC(8), SM(4)]",
    "[C(4,3,1), P(2,2), C(4,3,1), GAP(4), SM(4)]",
];

fn run(request: &TrainRequest) -> (Vec<EpochAnswer>, Outcome) {
    tch::set_num_threads(i32::try_from(request.threads).unwrap());
    let data = DeviceData::load(&request.data, Device::Cpu).unwrap();
    let mut epochs = Vec::new();
    let outcome = train(request, &data, &Place::default(), &mut |epoch| epochs.push(epoch));
    (epochs, outcome.unwrap())
}

fn finish(request: &TrainRequest) -> (Vec<EpochAnswer>, FinishedAnswer) {
    match run(request) {
        (epochs, Outcome::Finished(finished)) => (epochs, finished),
        (_, failed) => panic!("{}: {failed:?}", request.architecture),
    }
}

/// The bytes of the weights file after a training.
fn weights(workplace: &Workplace, request: &TrainRequest) -> Vec<u8> {
    let (_, finished) = finish(request);
    workplace.staged(&finished.weights.unwrap())
}

#[test]
fn every_layer_is_built_as_its_shape_says_and_trains() {
    let workplace = Workplace::new(Show::Class);
    let input = Map { channels: 1, side: SIDE };
    for architecture in NETS {
        for gap in [GapHead::Direct, GapHead::ReluAndFull] {
            let mut request = workplace.request(architecture);
            // Failing to learn is not the question here: nothing counts as chance.
            request.recipe = Recipe { gap, epochs: 1, restarts: 0, ..request.recipe };
            request.recipe.chance = Some(0.0);
            request.recipe.learning_rate = 0.01;
            let (epochs, finished) = finish(&request);
            assert_eq!((epochs.len(), epochs[0].train_total), (1, 320));
            let shapes = Shapes::of(&request.architecture, input, gap, PoolRule::True).unwrap();
            assert_eq!(finished.parameters, shapes.parameters(), "{architecture}");
            let bytes = workplace.staged(&finished.weights.unwrap());
            let file = SafeTensors::deserialize(&bytes).unwrap();
            let values = file.tensors().iter().map(|(_, view)| view.data().len() / 4).sum();
            assert_eq!(finished.parameters, u64::try_from::<usize>(values).unwrap());
        }
    }
}

#[test]
fn weights_have_the_names_of_their_layers() {
    let workplace = Workplace::new(Show::Class);
    let bytes = weights(&workplace, &workplace.request("[C(4,3,1), P(2,2), FC(8), SM(4)]"));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut shapes: Vec<_> = file.iter().map(|(name, view)| (name, view.shape())).collect();
    shapes.sort_unstable();
    let expected: [(&str, &[usize]); 6] = [
        ("layer1.bias", &[4]),
        ("layer1.weight", &[4, 1, 3, 3]),
        ("layer3.bias", &[8]),
        ("layer3.weight", &[8, 64]),
        ("layer4.bias", &[4]),
        ("layer4.weight", &[4, 8]),
    ];
    assert_eq!(shapes, expected);
}

#[test]
fn the_same_request_gives_the_same_weights() {
    let workplace = Workplace::new(Show::Class);
    let request = workplace.request(NETS[5]);
    let once = weights(&workplace, &request);
    assert!(once == weights(&workplace, &request));
    assert!(once != weights(&workplace, &TrainRequest { seed: 8, ..request.clone() }));
    for recipe in [
        Recipe { init: Init::FanIn, ..request.recipe.clone() },
        Recipe { preprocess: Preprocess::PerPixelStandardise, ..request.recipe.clone() },
        Recipe { weight_decay: 0.1, ..request.recipe.clone() },
        Recipe { dropout: qtrail::arch::dropout::DropoutRule::None, ..request.recipe.clone() },
    ] {
        assert!(once != weights(&workplace, &TrainRequest { recipe, ..request.clone() }));
    }
}

#[test]
fn what_can_be_learned_is_learned() {
    let workplace = Workplace::new(Show::Class);
    for architecture in ["[C(8,3,1), P(2,2), SM(4)]", "[C(8,3,1), C(8,3,1), FC(16), SM(4)]"] {
        let mut request = workplace.request(architecture);
        request.recipe = Recipe { epochs: 8, learning_rate: 0.01, ..request.recipe };
        let (epochs, _) = finish(&request);
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
fn the_best_weights_are_those_of_the_best_epoch() {
    let workplace = Workplace::new(Show::Class);
    let mut request = workplace.request("[C(4,3,1), FC(8), SM(4)]");
    request.recipe = Recipe { epochs: 6, learning_rate: 0.05, ..request.recipe };
    let (epochs, finished) = finish(&request);
    let best = workplace.staged(&finished.weights.unwrap());
    let epoch = epochs.iter().rev().max_by_key(|epoch| epoch.validation_correct).unwrap().epoch;
    request.recipe.epochs = epoch;
    request.weights = WeightsOf::Last;
    assert!(best == weights(&workplace, &request), "epoch {epoch}");
}

#[test]
fn a_network_no_better_than_chance_is_tried_at_each_rate_and_fails() {
    let workplace = Workplace::new(Show::Nothing);
    let request = workplace.request("[C(4,3,1), SM(4)]");
    let (epochs, outcome) = run(&request);
    assert!(matches!(outcome, Outcome::Failed { reason: FailedReason::Chance, .. }), "{outcome:?}");
    let seen: Vec<_> = epochs.iter().map(|e| (e.restart, e.epoch, e.learning_rate)).collect();
    let rate = |restart| request.recipe.learning_rate_at(restart, 1);
    assert_eq!(seen, [(0, 1, rate(0)), (1, 1, rate(1)), (2, 1, rate(2))]);
    assert!(epochs.iter().all(|epoch| epoch.validation_correct == 40));
}

#[test]
fn a_restart_at_a_lower_rate_can_save_a_network() {
    let workplace = Workplace::new(Show::Class);
    let mut request = workplace.request("[C(8,3,1), C(8,3,1), FC(16), SM(4)]");
    request.recipe = Recipe { learning_rate: 100.0, restart_factor: 1e-4, ..request.recipe };
    let (epochs, _) = finish(&request);
    let seen: Vec<_> = epochs.iter().map(|epoch| (epoch.restart, epoch.epoch)).collect();
    assert_eq!(seen, [(0, 1), (1, 1), (1, 2)]);
}

#[test]
fn a_loss_that_is_no_number_fails() {
    let workplace = Workplace::new(Show::Class);
    let mut request = workplace.request("[FC(8), SM(4)]");
    request.recipe.learning_rate = 1e38;
    let (epochs, outcome) = run(&request);
    assert!(
        matches!(outcome, Outcome::Failed { reason: FailedReason::NonFinite, .. }),
        "{outcome:?}"
    );
    assert_eq!(epochs, []);
}
