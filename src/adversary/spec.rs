//! What an attack does, to the last choice. Two results can be compared if their specifications
//! have the same hash.

use serde::{Deserialize, Serialize};

use crate::config::recipe::Precision;

/// How images are crafted (Kurakin et al. 2017, section 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// One step of the whole size away from the true class ("fast", FGSM).
    Fast,
    /// Small steps away from the true class ("basic iterative").
    Basic,
    /// Small steps towards the class that is least likely on the clean image.
    LeastLikely,
    /// One step of the whole size towards the least likely class.
    LeastLikelyStep,
    /// Small steps towards a class drawn from those that are wrong.
    RandomTarget,
}

/// The class whose loss is differentiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Label {
    /// The true class.
    True,
    /// The class of the least probability on the clean image, of equals the lowest; it may be the
    /// true one. The same in every step.
    LeastLikely,
    /// A wrong class, drawn for each image.
    Random,
}

/// How a number of iterations that is none is made one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// Down.
    #[default]
    Floor,
    /// Up.
    Ceil,
}

macro_rules! names {
    ($type:ident: $($name:literal $variant:ident),*) => {
        impl $type {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As it is written.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let known = Self::ALL.iter().find(|known| known.name() == text);
                known.copied().ok_or_else(|| {
                    let names: Vec<&str> = Self::ALL.iter().map(|known| known.name()).collect();
                    format!("{text} is none of {}", names.join(", "))
                })
            }
        }
    };
}

names!(Method: "fast" Fast, "basic" Basic, "least-likely" LeastLikely,
    "least-likely-step" LeastLikelyStep, "random-target" RandomTarget);
names!(Label: "true" True, "least-likely" LeastLikely, "random" Random);
names!(Rounding: "floor" Floor, "ceil" Ceil);

impl Method {
    /// The class whose loss is differentiated.
    #[must_use]
    pub fn label(self) -> Label {
        match self {
            Self::Fast | Self::Basic => Label::True,
            Self::LeastLikely | Self::LeastLikelyStep => Label::LeastLikely,
            Self::RandomTarget => Label::Random,
        }
    }

    /// Whether the loss is to grow: away from the class, not towards it.
    #[must_use]
    pub fn is_away(self) -> bool {
        self.label() == Label::True
    }

    /// Whether it is one step of the whole size.
    #[must_use]
    pub fn is_one_step(self) -> bool {
        matches!(self, Self::Fast | Self::LeastLikelyStep)
    }
}

/// One attack of one size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttackSpec {
    /// How.
    pub method: Method,
    /// Largest change of a value, of 255; from 1.
    pub eps: u8,
    /// Change of a value in one step; of one-step methods `eps`.
    pub alpha: u8,
    /// Steps.
    pub iterations: u16,
    /// How the number of steps was rounded; nothing if it was given, or does not follow from a
    /// rule.
    pub rounding: Option<Rounding>,
    /// Whether the first iterate is a random point of the box, not the clean image (PGD).
    pub random_start: bool,
    /// What gradients are computed in.
    pub dtype: Precision,
    /// Images differentiated at once: libtorch's results depend on it in the last bits.
    pub batch: u16,
}

/// Steps of an iterative attack: min(eps + 4, 1.25 eps). The paper leaves the rounding open; of its
/// sizes only eps = 2 needs one (2 steps or 3).
#[must_use]
pub fn iterations(eps: u8, rounding: Rounding) -> u16 {
    let eps = u16::from(eps);
    let scaled = match rounding {
        Rounding::Floor => 5 * eps / 4,
        Rounding::Ceil => (5 * eps).div_ceil(4),
    };
    scaled.min(eps + 4)
}

impl AttackSpec {
    /// All of it as TOML, always in the same order and spelling.
    #[must_use]
    pub fn text(&self) -> String {
        let direction = if self.method.is_away() { "away" } else { "towards" };
        let rule = match self.rounding {
            _ if self.method.is_one_step() => "one",
            Some(_) => "min(eps + 4, 1.25 eps)",
            None => "given",
        };
        let rounding = self.rounding.map_or("none", Rounding::name);
        let start = if self.random_start { "uniform whole numbers in the box" } else { "clean" };
        [
            format!("method = \"{}\"", self.method),
            format!("eps = {}", self.eps),
            format!("alpha = {}", self.alpha),
            format!("iterations = {}", self.iterations),
            format!("iteration-rule = \"{rule}\""),
            format!("rounding = \"{rounding}\""),
            "norm = \"linf\"".to_owned(),
            "scale = 255".to_owned(),
            "clip = \"around the clean image, then 0 to 255, in every step\"".to_owned(),
            format!("start = \"{start}\""),
            format!("label = \"{}\"", self.method.label()),
            format!("direction = \"{direction}\""),
            "ties = \"lowest index\"".to_owned(),
            "zero-gradient = \"no step\"".to_owned(),
            "loss = \"cross-entropy from logits, summed\"".to_owned(),
            "mode = \"evaluation\"".to_owned(),
            format!("dtype = \"{}\"", self.dtype),
            format!("micro-batch = {}", self.batch),
        ]
        .map(|line| line + "\n")
        .concat()
    }
}

/// What a canonical text says, as far as it can be read: older ones may say less.
fn read(text: &str) -> toml::Table {
    text.parse().unwrap_or_default()
}

fn number(table: &toml::Table, key: &str) -> Option<u32> {
    u32::try_from(table.get(key)?.as_integer()?).ok()
}

/// How far the steps of an attack lead together, from its canonical text.
#[must_use]
pub fn reach(text: &str) -> Option<u32> {
    let table = read(text);
    number(&table, "iterations")?.checked_mul(number(&table, "alpha")?)
}

/// What tells specifications of one method and eps apart, in words, from the canonical text:
/// `10 steps of 1, random start, batches of 100`. `None` if the text does not say.
#[must_use]
pub fn settings(text: &str) -> Option<String> {
    let table = read(text);
    let is = |key: &str, value: &str| table.get(key).and_then(toml::Value::as_str) == Some(value);
    let steps = number(&table, "iterations").zip(number(&table, "alpha"));
    let steps = steps.map(|(steps, alpha)| match steps {
        1 => format!("1 step of {alpha}"),
        _ => format!("{steps} steps of {alpha}"),
    });
    let said = |is: bool, words: &str| is.then(|| words.to_owned());
    let parts = [
        steps,
        said(is("iteration-rule", "given"), "their number given"),
        said(is("rounding", "ceil"), "their number rounded up"),
        said(table.contains_key("start") && !is("start", "clean"), "random start"),
        said(is("dtype", "bf16"), "bf16"),
        number(&table, "micro-batch").map(|batch| format!("batches of {batch}")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[test]
    fn iterations_follow_the_rule_with_either_rounding() {
        let table: [(u8, u16, u16); 11] = [
            (1, 1, 2),
            (2, 2, 3),
            (4, 5, 5),
            (8, 10, 10),
            (16, 20, 20),
            (24, 28, 28),
            (32, 36, 36),
            (48, 52, 52),
            (64, 68, 68),
            (96, 100, 100),
            (128, 132, 132),
        ];
        for (eps, floor, ceil) in table {
            assert_eq!(iterations(eps, Rounding::Floor), floor, "eps {eps}");
            assert_eq!(iterations(eps, Rounding::Ceil), ceil, "eps {eps}");
        }
        // Either reaches the edge of the box.
        assert!((1..=255).all(|eps| iterations(eps, Rounding::Floor) >= u16::from(eps)));
    }

    pub(in crate::adversary) fn spec(method: Method, eps: u8) -> AttackSpec {
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

    #[test]
    fn the_text_is_toml_and_says_every_difference() {
        let base = spec(Method::Basic, 2);
        let table: toml::Table = base.text().parse().unwrap();
        assert_eq!(table["iterations"].as_integer(), Some(2));
        let others = [
            spec(Method::Basic, 4),
            spec(Method::LeastLikely, 2),
            AttackSpec { alpha: 2, ..base.clone() },
            AttackSpec { iterations: 3, rounding: Some(Rounding::Ceil), ..base.clone() },
            AttackSpec { rounding: None, ..base.clone() },
            AttackSpec { random_start: true, ..base.clone() },
            AttackSpec { dtype: Precision::Bf16, ..base.clone() },
            AttackSpec { batch: 64, ..base.clone() },
        ];
        assert!(others.iter().all(|other| other.text() != base.text()));
        // So do the words, for one method and eps.
        let words = |spec: &AttackSpec| settings(&spec.text()).unwrap();
        assert_eq!(words(&base), "2 steps of 1, batches of 100");
        assert!(others[2..].iter().all(|other| words(other) != words(&base)));
        let all = AttackSpec { rounding: None, random_start: true, ..others[6].clone() };
        let expected = "2 steps of 1, their number given, random start, bf16, batches of 100";
        assert_eq!(words(&all), expected);
        assert_eq!((settings("method = \"fast\""), settings("no TOML")), (None, None));
        assert_eq!((reach(&base.text()), reach("")), (Some(2), None));
        assert_eq!("fasst".parse::<Method>().unwrap_err().split(' ').next(), Some("fasst"));
    }
}
