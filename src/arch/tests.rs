use proptest::prelude::*;

use super::dropout::{DropoutRule, place};
use super::shape::Map;
use super::*;

fn net(text: &str) -> Architecture {
    text.parse().unwrap()
}

fn parameters(text: &str, rule: PoolRule) -> u64 {
    let input = Map { channels: 3, side: 32 };
    Shapes::of(&net(text), input, GapHead::Direct, rule).unwrap().parameters()
}

/// Tables A2 and A3 (Baker et al., ICLR submission): the networks, their true parameters, and the
/// paper's rule recomputed, in thousands.
const PUBLISHED: [(&str, u64, u64); 10] = [
    (
        "[C(512,5,1), C(256,3,1), C(256,5,1), C(256,3,1), P(5,3), C(512,3,1), C(512,5,1), P(2,2), SM(10)]",
        11_309_834,
        11_264,
    ),
    (
        "[C(128,1,1), C(512,3,1), C(64,1,1), C(128,3,1), P(2,2), C(256,3,1), P(2,2), C(512,3,1), P(3,2), SM(10)]",
        2_218_954,
        2_193,
    ),
    (
        "[C(128,3,1), C(128,1,1), C(512,5,1), P(2,2), C(128,3,1), P(2,2), C(64,3,1), C(64,5,1), SM(10)]",
        2_466_186,
        2_457,
    ),
    (
        "[C(256,3,1), C(256,3,1), P(5,3), C(256,1,1), C(128,3,1), P(2,2), C(128,3,1), SM(10)]",
        1_137_674,
        1_126,
    ),
    (
        "[C(64,3,1), C(128,3,1), P(5,3), C(256,3,1), P(3,2), FC(512), FC(128), SM(10)]",
        2_535_434,
        1_618,
    ),
    (
        "[C(128,3,1), P(2,2), C(64,5,1), C(512,5,1), C(256,3,1), C(512,3,1), P(2,2), C(512,3,1), C(256,5,1), C(256,3,1), C(128,5,1), C(64,3,1), SM(10)]",
        10_549_258,
        10_540,
    ),
    (
        "[C(128,1,1), C(256,5,1), C(128,5,1), P(2,2), C(256,5,1), C(256,1,1), C(256,3,1), C(256,3,1), C(256,5,1), C(512,5,1), C(256,3,1), C(128,3,1), SM(10)]",
        10_423_306,
        10_384,
    ),
    (
        "[C(128,5,1), C(128,3,1), C(64,5,1), P(5,3), C(128,3,1), C(512,5,1), C(256,5,1), C(128,5,1), C(128,5,1), C(128,3,1), SM(10)]",
        6_856_650,
        6_832,
    ),
    (
        "[C(128,1,1), C(256,5,1), C(128,5,1), C(256,3,1), C(256,5,1), P(2,2), C(128,1,1), C(512,3,1), C(256,5,1), P(2,2), C(64,5,1), C(64,1,1), SM(10)]",
        7_928_202,
        7_919,
    ),
    (
        "[C(128,1,1), C(256,5,1), C(128,5,1), C(256,5,1), C(256,5,1), C(256,1,1), P(3,2), C(128,1,1), C(256,5,1), C(512,5,1), C(256,3,1), C(128,3,1), SM(10)]",
        10_055_818,
        10_056,
    ),
];

#[test]
fn parameters_of_the_published_networks() {
    for (text, exact, _) in PUBLISHED {
        assert_eq!(parameters(text, PoolRule::True), exact, "{text}");
    }
}

#[test]
fn the_papers_rule_gives_the_recomputed_column() {
    for (text, _, thousands) in PUBLISHED {
        let printed = parameters(text, PoolRule::Printed);
        assert_eq!((printed + 500) / 1000, thousands, "{text}: {printed}");
    }
}

#[test]
fn multiply_adds_count_each_use_of_a_weight() {
    let input = Map { channels: 1, side: 28 };
    let of = |text: &str, gap| {
        Shapes::of(&net(text), input, gap, PoolRule::True).unwrap().multiply_adds()
    };
    let conv = 28 * 28 * 9 * 8;
    assert_eq!(of("[C(8,3,1), SM(10)]", GapHead::Direct), conv + 28 * 28 * 8 * 10);
    assert_eq!(
        of("[C(8,3,1), P(4,4), FC(32), SM(10)]", GapHead::Direct),
        conv + 7 * 7 * 8 * 32 + 320
    );
    assert_eq!(of("[C(8,3,1), GAP(10), SM(10)]", GapHead::Direct), conv + 28 * 28 * 80);
    assert_eq!(of("[C(8,3,1), GAP(10), SM(10)]", GapHead::ReluAndFull), conv + 28 * 28 * 80 + 100);
}

/// Sizes beyond 2^64 stay at the highest number, so that no limit takes them for small ones.
#[test]
fn sizes_that_no_number_holds_are_the_highest() {
    let widest = "C(65535,65535,1)";
    let net = format!("[{widest}, {widest}, {widest}, SM(10)]").parse().unwrap();
    let input = Map { channels: 3, side: 1024 };
    let shapes = Shapes::of(&net, input, GapHead::Direct, PoolRule::True).unwrap();
    assert_eq!((shapes.parameters(), shapes.multiply_adds()), (u64::MAX, u64::MAX));
    assert!(shapes.layers[1].parameters < u64::MAX);
}

#[test]
fn a_window_larger_than_its_map_is_an_error() {
    let input = Map { channels: 1, side: 4 };
    let error =
        Shapes::of(&net("[P(2,2), P(3,2), SM(10)]"), input, GapHead::Direct, PoolRule::True);
    assert_eq!(
        error.unwrap_err().to_string(),
        "layer 2, P(3,2): its field exceeds the map of side 2"
    );
}

#[test]
fn notation_is_strict() {
    for (text, message) in [
        ("", "column 1: expected `[`, found the end"),
        ("[]", "column 2: expected a layer, found `]`"),
        ("[SM(10)] junk", "column 10: expected nothing more, found `j`"),
        ("[C(64,3), SM(10)]", "column 2: C takes filters, field and stride, found 2 numbers"),
        (
            "[C(064,3,1), SM(10)]",
            "column 4: `064` is no number from 1 to 65535 without leading zeros",
        ),
        ("[C(0,3,1), SM(10)]", "column 4: `0` is no number from 1 to 65535 without leading zeros"),
        (
            "[C(99999999999,3,1), SM(10)]",
            "column 4: `99999999999` is no number from 1 to 65535 without leading zeros",
        ),
        ("[X(1), SM(10)]", "column 2: no layer is called `X` (C, P, FC, GAP, SM)"),
        ("[C(64,3,1)]", "the last layer must be SM(classes), found C(64,3,1)"),
        ("[SM(10), C(64,3,1)]", "C(64,3,1) cannot follow SM(10)"),
        ("[FC(64), C(64,3,1), SM(10)]", "C(64,3,1) cannot follow FC(64)"),
        ("[GAP(10), FC(10), SM(10)]", "FC(10) cannot follow GAP(10)"),
        ("[GAP(10), SM(9)]", "GAP(10) and SM(9) disagree on the number of classes"),
        (
            "[C(64,3,1), D(1,1), SM(10)]",
            "dropout marks D(i,n) are derived from the recipe; leave them out",
        ),
        ("[é(1), SM(10)]", "column 2: expected a layer, found `é`"),
        ("[C(64,3,1) SM(10)]", "column 12: expected `,` or `]`, found `S`"),
    ] {
        assert_eq!(text.parse::<Architecture>().unwrap_err().to_string(), message, "{text}");
    }
    assert_eq!(net("[ C ( 64 , 3 , 1 ) ,SM(10) ]").to_string(), "[C(64,3,1), SM(10)]");
}

#[test]
fn dropout_follows_each_rule() {
    let marks = |text: &str, rule| -> Vec<(usize, u32, u32)> {
        place(&net(text), rule).iter().map(|d| (d.after, d.index, d.of)).collect()
    };
    let short = "[C(8,3,1), C(8,3,1), P(2,2), SM(10)]";
    assert_eq!(marks(short, DropoutRule::Slots), [(2, 1, 2)]);
    assert_eq!(marks(short, DropoutRule::Placed), [(2, 1, 1)]);
    let full = "[C(512,5,1), P(5,3), C(512,5,1), P(3,2), C(256,3,1), P(3,2), FC(128), SM(10)]";
    let logged = [(2, 1, 5), (4, 2, 5), (6, 3, 5), (7, 4, 5)];
    assert_eq!(marks(full, DropoutRule::Logged), logged);
    assert_eq!(marks(full, DropoutRule::Slots), [(2, 1, 4), (4, 2, 4), (6, 3, 4), (7, 4, 4)]);
    assert_eq!(
        place(&net(full), DropoutRule::Placed)[3].probability().to_bits(),
        0.5_f64.to_bits()
    );
    assert!(place(&net(full), DropoutRule::None).is_empty());
}

/// Any legal sequence, not only those of a state space.
fn any_architecture() -> impl Strategy<Value = Architecture> {
    let number = 1..=NUMBER_MAX;
    let map = prop_oneof![
        (number.clone(), number.clone(), number.clone())
            .prop_map(|(filters, field, stride)| Layer::Conv { filters, field, stride }),
        (number.clone(), number.clone()).prop_map(|(field, stride)| Layer::Pool { field, stride }),
    ];
    let full = number.clone().prop_map(|width| Layer::Full { width });
    let (maps, fulls) = (prop::collection::vec(map, 0..20), prop::collection::vec(full, 0..4));
    (maps, fulls, number, any::<bool>()).prop_map(|(mut layers, fulls, classes, gap)| {
        if gap {
            layers.push(Layer::GlobalAverage { classes });
        } else {
            layers.extend(fulls);
        }
        layers.push(Layer::Softmax { classes });
        Architecture::new(layers).unwrap()
    })
}

proptest! {
    #[test]
    fn printing_and_parsing_are_inverse(architecture in any_architecture()) {
        let text = architecture.to_string();
        prop_assert_eq!(text.parse::<Architecture>().unwrap().to_string(), text);
        prop_assert_eq!(architecture.to_string().parse::<Architecture>().unwrap(), architecture);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,60}") {
        let _ = text.parse::<Architecture>();
    }
}
