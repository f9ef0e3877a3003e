use super::*;
use Verdict::{Clear, Suspicious, Unknown};

/// `wrong` of 100 images misclassified, from the place `first` on.
fn ranks(first: usize, wrong: usize) -> Vec<u16> {
    (0..100).map(|place| u16::from((first..first + wrong).contains(&place)) * 3).collect()
}

fn attacked(method: &str, eps: u16, wrong: usize) -> Attacked {
    let (method, ranks) = (method.to_owned(), ranks(5, wrong));
    let reach = Some(u32::from(eps) + 4);
    Attacked { method, eps, ranks, reach, images: 100, ..Attacked::default() }
}

/// A model with 95 of 100 clean images right, under an attack that works.
fn sound() -> Evidence {
    let noise = |eps, wrong| Attacked { images: 0, ..attacked(RANDOM_NOISE, eps, wrong) };
    Evidence {
        k: 1,
        classes: 10,
        clean: ranks(0, 5),
        own: vec![
            attacked("fast", 8, 40),
            attacked("fast", 16, 60),
            attacked("basic", 8, 60),
            attacked("basic", 16, 93),
            noise(8, 0),
            noise(16, 2),
        ],
        transferred: vec![Attacked { against: "t2".into(), ..attacked("basic", 8, 30) }],
        best: Some((0.97, "t3".into())),
    }
}

fn verdict(evidence: &Evidence, sign: Sign) -> Verdict {
    let found = evidence.clone().findings();
    let mut other = evidence.clone();
    other.own.reverse();
    assert_eq!(other.findings(), found, "the order of the attacks matters");
    let found: Vec<_> = found.iter().filter(|finding| finding.sign == sign).collect();
    assert_eq!(found.len(), 1);
    // What is not known says what would tell, and nothing else does.
    assert_eq!(found[0].needed.is_some(), found[0].verdict == Unknown, "{:?}", found[0]);
    found[0].verdict
}

/// The evidence with another attack in the place of those of its name.
fn with(evidence: &Evidence, attacked: Attacked) -> Evidence {
    let mut evidence = evidence.clone();
    evidence.own.retain(|known| known.name() != attacked.name());
    evidence.own.push(attacked);
    evidence
}

fn without(evidence: &Evidence, unwanted: impl Fn(&Attacked) -> bool) -> Evidence {
    let mut evidence = evidence.clone();
    evidence.own.retain(|known| !unwanted(known));
    evidence
}

#[test]
fn an_attack_that_works_shows_no_sign() {
    for finding in sound().findings() {
        assert_eq!(finding.verdict, Clear, "{finding:?}");
    }
}

#[test]
fn accuracy_falls_with_eps() {
    let sign = Sign::AccuracyFlat;
    let only = |evidence: &Evidence| without(evidence, |attacked| attacked.method == "fast");
    let base = only(&sound());
    assert_eq!(verdict(&with(&base, attacked("basic", 16, 60)), sign), Suspicious);
    assert_eq!(verdict(&with(&base, attacked("basic", 16, 63)), sign), Unknown);
    assert_eq!(verdict(&with(&base, attacked("basic", 16, 66)), sign), Clear);
    // It falls in all, but rises in between.
    assert_eq!(verdict(&with(&base, attacked("basic", 12, 40)), sign), Suspicious);
    assert_eq!(verdict(&without(&base, |attacked| attacked.eps == 16), sign), Unknown);
    // There is nothing left to fall.
    let all = with(&with(&base, attacked("basic", 8, 95)), attacked("basic", 16, 95));
    assert_eq!(verdict(&all, sign), Clear);
    // The strongest attack of each eps counts: a weak one does not hide it.
    assert_eq!(verdict(&with(&sound(), attacked("fast", 16, 0)), sign), Clear);
}

#[test]
fn one_step_is_weaker_than_many() {
    let sign = Sign::OneStepStronger;
    let base = sound();
    assert_eq!(verdict(&with(&base, attacked("fast", 8, 80)), sign), Suspicious);
    // Of two comparisons one is stronger by little: 6 images, p = 2 * 2^-6 = 0.031.
    assert_eq!(verdict(&with(&base, attacked("fast", 8, 66)), sign), Clear);
    assert_eq!(verdict(&with(&base, attacked("fast", 8, 67)), sign), Suspicious);
    // Only attacks on the same class are compared.
    let other = with(&base, attacked("least-likely-step", 8, 90));
    assert_eq!(verdict(&other, sign), Clear);
    assert_eq!(verdict(&without(&base, |a| a.method == "basic"), sign), Unknown);
}

#[test]
fn noise_is_weaker_than_an_attack() {
    let sign = Sign::NoiseAsStrong;
    let base = sound();
    let weak = |wrong| {
        let weak = without(&base, |attacked| attacked.method == "fast");
        with(&with(&weak, attacked("basic", 8, 0)), attacked("basic", 16, wrong))
    };
    assert_eq!(verdict(&weak(0), sign), Suspicious);
    assert_eq!(verdict(&weak(4), sign), Suspicious);
    assert_eq!(verdict(&weak(20), sign), Clear);
    // Noise that is stronger at any eps is a sign, whatever the others say.
    let strong = with(&base, Attacked { images: 0, ..attacked(RANDOM_NOISE, 8, 80) });
    assert_eq!(verdict(&strong, sign), Suspicious);
    assert_eq!(verdict(&without(&base, Attacked::is_noise), sign), Unknown);
    // On few images nothing can be told, if the attack did nothing either.
    let mut few = weak(0);
    for attacked in few.own.iter_mut().filter(|attacked| attacked.is_noise()) {
        attacked.ranks.truncate(15);
    }
    assert_eq!(verdict(&few, sign), Unknown);
    // Noise that leaves nothing tells nothing.
    let mut harsh = base.clone();
    for noise in harsh.own.iter_mut().filter(|attacked| attacked.is_noise()) {
        noise.ranks = ranks(0, 92);
    }
    assert_eq!(verdict(&harsh, sign), Unknown);
}

#[test]
fn white_box_is_stronger_than_transfer() {
    let sign = Sign::TransferStronger;
    let mut evidence = sound();
    evidence.transferred[0].ranks = ranks(5, 80);
    assert_eq!(verdict(&evidence, sign), Suspicious);
    let finding = &evidence.clone().findings()[3];
    assert_eq!(finding.figures, "basic:8 0.400, against t2: basic:8 0.200");
    let compared = finding.compared.unwrap();
    assert_eq!((compared.n, compared.p < 1e-4), (95, true));
    assert!((compared.difference - 20.0 / 95.0).abs() < 1e-12);
    evidence.transferred.clear();
    assert_eq!(verdict(&evidence, sign), Unknown);
}

#[test]
fn a_large_attack_reaches_chance() {
    let sign = Sign::ChanceNotReached;
    let base = without(&sound(), |attacked| attacked.eps == 16);
    assert_eq!(verdict(&base, sign), Unknown);
    assert_eq!(verdict(&with(&base, attacked("basic", 128, 50)), sign), Suspicious);
    assert_eq!(verdict(&with(&base, attacked("basic", 128, 90)), sign), Clear);
    // One step cannot make an image grey, nor can ten.
    assert_eq!(verdict(&with(&base, attacked("fast", 128, 50)), sign), Unknown);
    let short = Attacked { reach: Some(10), ..attacked("basic", 128, 50) };
    assert_eq!(verdict(&with(&base, short), sign), Unknown);
    // Of the two likeliest of ten classes, chance is a fifth.
    let two = Evidence { k: 2, ..with(&base, attacked("basic", 128, 80)) };
    assert_eq!(verdict(&two, sign), Clear);
}

#[test]
fn clean_accuracy_is_what_the_data_allows() {
    let sign = Sign::CleanAccuracyLow;
    let of = |wrong, best: Option<f64>| Evidence {
        clean: ranks(0, wrong),
        best: best.map(|best| (best, "t3".into())),
        ..sound()
    };
    assert_eq!(verdict(&of(88, None), sign), Suspicious);
    assert_eq!(verdict(&of(60, None), sign), Unknown);
    assert_eq!(verdict(&of(50, Some(0.95)), sign), Clear);
    assert_eq!(verdict(&of(60, Some(0.95)), sign), Suspicious);
    assert_eq!(verdict(&Evidence { clean: vec![UNSEEN; 9], ..sound() }, sign), Unknown);
}

#[test]
fn gradients_exist() {
    let sign = Sign::NoGradient;
    let lost =
        |without_gradient| with(&sound(), Attacked { without_gradient, ..attacked("fast", 8, 40) });
    assert_eq!(verdict(&lost(10), sign), Clear);
    assert_eq!(verdict(&lost(11), sign), Suspicious);
    assert_eq!(verdict(&Evidence { own: Vec::new(), ..sound() }, sign), Unknown);
}

/// Whatever is on record, each sign has a verdict, and nothing fails.
#[test]
fn nothing_on_record_is_nothing_known() {
    for finding in Evidence::default().findings() {
        assert_eq!(finding.verdict, Unknown, "{finding:?}");
    }
    let json = serde_json::to_value(&sound().findings()[0]).unwrap();
    assert_eq!((&json["sign"], &json["verdict"]), (&"accuracy-flat".into(), &"ok".into()));
    assert_eq!(json["n"], 95);
}
