//! Figures as text and pixels: what is in them, not how each pixel looks.
#![allow(missing_docs, clippy::unwrap_used)]

use qtrail::plot::curves::{self, Curve};
use qtrail::plot::histogram::{self, Bin};
use qtrail::plot::learning::{self, Sample};
use qtrail::plot::pareto::{self, Trained};
use qtrail::plot::qvalues::{self, By, Mean};
use qtrail::plot::simulated::{self, Searches};
use qtrail::plot::stability::{self, Course, Spread};
use qtrail::plot::{Figure, Theme, png, svg, term};

fn caption() -> Vec<String> {
    vec!["How to read it.".into(), "s1 on test, seed 1; as of event 7".into()]
}

fn samples() -> Vec<Sample> {
    let sample = |n: u32| {
        let epsilon = if n < 20 { 1.0 } else { 0.5 };
        Sample { epsilon, accuracy: f64::from(n * 7 % 10) / 20.0 + (1.0 - epsilon) * 0.8 }
    };
    (0..30).map(sample).collect()
}

fn searches() -> Vec<Searches> {
    let step = |n: u32, best: f64| (best - 4.0 / f64::from(n), best - 1.0 / f64::from(n), best);
    let agent = |name: &str, best| Searches {
        name: name.into(),
        curve: (1..=60).map(|n| step(n, best)).collect(),
    };
    vec![agent("uniform", 0.8), agent("random", 0.75)]
}

fn figures() -> Vec<(&'static str, Figure)> {
    let bin = |epsilon, n: u32, samples| {
        let from = f64::from(n) / 20.0;
        Bin { epsilon, from, to: from + 0.05, samples }
    };
    let bins = [bin(1.0, 2, 40), bin(1.0, 10, 3), bin(1.0, 11, 2), bin(0.5, 15, 4)];
    let mean = |series: &str, depth, value| Mean { series: series.into(), depth, value };
    let means = [mean("conv", 1, 0.8), mean("conv", 2, 0.7), mean("softmax", 2, 0.4)];
    let one = |params, accuracy, front| Trained { params, accuracy, front };
    let trained = [one(1e3, 0.5, true), one(2e4, 0.8, true), one(3e5, 0.75, false)];
    let curve = |name: &str, values: [f64; 3]| Curve {
        name: name.into(),
        epochs: (1..).zip(values).collect(),
    };
    let trials = [curve("t1", [0.2, 0.5, 0.7]), curve("t2", [0.3, 0.4, 0.45])];
    let spread = |epsilon, mean, sd| Spread { epsilon, mean, sd };
    let spreads =
        [spread(1.0, 0.5, Some(0.02)), spread(0.5, 0.6, Some(0.05)), spread(0.1, 0.8, None)];
    let course = |name: &str, means: [f64; 3]| Course {
        name: name.into(),
        means: [1.0, 0.5, 0.1].into_iter().zip(means).collect(),
    };
    let courses = [course("s1", [0.48, 0.55, 0.79]), course("s2", [0.52, 0.65, 0.81])];
    vec![
        ("learning", learning::figure(&samples(), 5, caption())),
        ("histogram", histogram::figure(&bins, caption())),
        ("qdepth", qvalues::figure(By::Layer, &means, caption())),
        ("pareto", pareto::figure(&trained, caption())),
        ("curves", curves::figure(&trials, caption())),
        ("stability", stability::figure(&spreads, &courses, caption())),
        ("simulate", simulated::figure(&searches(), caption())),
    ]
}

/// The texts of a picture in order, and how many there are of everything else.
fn structure(picture: &str) -> String {
    let mut texts = Vec::new();
    let mut counts = std::collections::BTreeMap::new();
    for tag in picture.split('<').skip(1) {
        let name: String = tag.chars().take_while(char::is_ascii_alphabetic).collect();
        let text = tag.split_once('>').map_or("", |(_, text)| text.trim());
        if !text.is_empty() {
            texts.push(format!("{name}: {text}"));
        }
        if !name.is_empty() {
            *counts.entry(name).or_insert(0) += 1;
        }
    }
    format!("{}\n{counts:?}", texts.join("\n"))
}

#[test]
fn pictures_hold_what_they_should() {
    for (name, figure) in figures() {
        let picture = svg(&figure, Theme::Light).unwrap();
        insta::assert_snapshot!(format!("svg_{name}"), structure(&picture));
    }
}

#[test]
fn terminals_show_the_same() {
    for (name, figure) in figures() {
        let text = term(&figure, 72);
        assert!(text.lines().all(|line| line.chars().count() <= 72), "{text}");
        insta::assert_snapshot!(format!("term_{name}"), text);
    }
}

#[test]
fn both_themes_are_pictures_of_the_same_size() {
    for (name, figure) in figures() {
        let [light, dark] = [Theme::Light, Theme::Dark].map(|theme| svg(&figure, theme).unwrap());
        assert_eq!(structure(&light), structure(&dark), "{name}");
        assert_ne!(light, dark, "{name}");
        let picture = png(&light).unwrap();
        assert_eq!(&picture[..8], b"\x89PNG\r\n\x1a\n", "{name}");
        let width = u32::from_be_bytes(picture[16..20].try_into().unwrap());
        assert_eq!(width, 1920, "{name}");
    }
}

/// Names come from people. A PNG can only be made of XML that is right.
#[test]
fn names_mean_themselves() {
    let name = "</text><script>alert('1')</script> & \"x\" \u{1} \u{1b}[31m 架构 ]]>";
    let curve = Curve { name: name.into(), epochs: vec![(1, 0.5)] };
    let figure = curves::figure(&[curve], vec![name.into()]);
    let picture = svg(&figure, Theme::Light).unwrap();
    assert!(!picture.contains("<script"), "{picture}");
    png(&picture).unwrap();
    assert!(!term(&figure, 80).contains('\u{1b}'));
}

#[test]
fn numbers_that_are_none_do_no_harm() {
    for value in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e300] {
        let sample = Sample { epsilon: value, accuracy: value };
        let trained = Trained { params: value, accuracy: value, front: true };
        let mean = Mean { series: "conv".into(), depth: 1, value };
        let bin = Bin { epsilon: 1.0, from: value, to: value, samples: 1 };
        for figure in [
            learning::figure(&[sample, sample], 1, vec![]),
            pareto::figure(&[trained], vec![]),
            qvalues::figure(By::Field, &[mean], vec![]),
            histogram::figure(&[bin], vec![]),
        ] {
            png(&svg(&figure, Theme::Dark).unwrap()).unwrap();
            assert!(!term(&figure, 80).is_empty());
        }
    }
}

#[test]
fn a_hundred_thousand_points_make_no_endless_picture() {
    let point = |n: u32| Trained {
        params: f64::from(1000 + n * 37 % 99_991),
        accuracy: f64::from(n % 1000) / 1000.0,
        front: false,
    };
    let trained: Vec<Trained> = (0..100_000).map(point).collect();
    let picture = svg(&pareto::figure(&trained, vec![]), Theme::Light).unwrap();
    assert!(picture.len() < 12_000_000, "{}", picture.len());
    let samples: Vec<Sample> =
        (0..100_000).map(|n| Sample { epsilon: 1.0, accuracy: f64::from(n % 7) / 7.0 }).collect();
    let picture = svg(&learning::figure(&samples, 100, vec![]), Theme::Light).unwrap();
    assert!(picture.len() < 100_000, "{}", picture.len());
}

#[test]
fn windows_are_the_papers_or_a_tenth() {
    let windows = [(1, 1), (4, 4), (10, 5), (300, 30), (1000, 100), (100_000, 100)];
    for (samples, window) in windows {
        assert_eq!(learning::window(samples), window, "{samples}");
    }
}
