//! What an expression is made of, and what it is worth. Unknowns as in SQL: what needs one is
//! unknown itself, and a condition that is unknown does not hold.

use super::Known;

/// A function that an expression may call.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    /// Fewest arguments.
    pub(super) least: usize,
    /// Most arguments.
    pub(super) most: usize,
    value: fn(&[Option<f64>]) -> Option<f64>,
}

/// A function of one number.
macro_rules! of_one {
    ($name:literal, $value:expr) => {
        Function { name: $name, least: 1, most: 1, value: |given| given[0].map($value) }
    };
}

pub(super) const FUNCTIONS: &[Function] = &[
    of_one!("ln", libm::log),
    of_one!("log10", libm::log10),
    of_one!("exp", libm::exp),
    of_one!("sqrt", libm::sqrt),
    Function {
        name: "pow",
        least: 2,
        most: 2,
        value: |given| Some(libm::pow(given[0]?, given[1]?)),
    },
    Function { name: "min", least: 2, most: 20, value: |given| extreme(given, f64::min) },
    Function { name: "max", least: 2, most: 20, value: |given| extreme(given, f64::max) },
    of_one!("abs", f64::abs),
    of_one!("floor", libm::floor),
    of_one!("ceil", libm::ceil),
    Function { name: "round", least: 1, most: 2, value: round },
    Function {
        name: "coalesce",
        least: 2,
        most: 20,
        value: |given| given.iter().copied().flatten().next(),
    },
    Function {
        name: "iif",
        least: 3,
        most: 3,
        value: |given| if given[0].is_some_and(|held| held != 0.0) { given[1] } else { given[2] },
    },
];

fn extreme(given: &[Option<f64>], better: fn(f64, f64) -> f64) -> Option<f64> {
    let known: Option<Vec<f64>> = given.iter().copied().collect();
    known?.into_iter().reduce(better)
}

/// Half away from 0, to so many decimals.
fn round(given: &[Option<f64>]) -> Option<f64> {
    let decimals = match given.get(1) {
        Some(decimals) => (*decimals)?.clamp(0.0, 15.0),
        None => 0.0,
    };
    let scale = libm::pow(10.0, libm::floor(decimals));
    Some(libm::round(given[0]? * scale) / scale)
}

/// What stands between two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
    /// Equal, or both unknown.
    Is,
    And,
    Or,
}

/// A part of an expression.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Number(f64),
    Unknown,
    /// By its place in the list of facts.
    Fact(usize),
    Negative(Box<Node>),
    Not(Box<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
    Call(&'static Function, Vec<Node>),
    /// A value, and the ends it lies between or on.
    Between(Box<Node>, Box<Node>, Box<Node>),
    /// A value, and those of which it may equal one.
    Among(Box<Node>, Vec<Node>),
    /// What is compared, if it is not the conditions that count; conditions with their values, and
    /// the value if none of them holds.
    Case(Option<Box<Node>>, Vec<(Node, Node)>, Box<Node>),
}

impl Node {
    /// Its value; `None` if unknown. Where there is no such number (a division by 0, a logarithm of
    /// a negative number) that is unknown too.
    pub(super) fn value(&self, known: &Known) -> Option<f64> {
        let value = match self {
            Self::Number(number) => Some(*number),
            Self::Unknown => None,
            Self::Fact(place) => known.get(*place),
            Self::Negative(of) => of.value(known).map(|value| -value),
            Self::Not(of) => of.truth(known).map(|held| f64::from(!held)),
            Self::Binary(operator, left, right) => binary(*operator, left, right, known),
            Self::Call(function, given) => {
                let given: Vec<Option<f64>> = given.iter().map(|node| node.value(known)).collect();
                (function.value)(&given)
            }
            Self::Between(of, low, high) => {
                let of = of.value(known);
                let at_least = of.zip(low.value(known)).map(|(of, low)| of >= low);
                let at_most = of.zip(high.value(known)).map(|(of, high)| of <= high);
                all(at_least, at_most)
            }
            Self::Among(of, listed) => {
                let of = of.value(known);
                let equal = |one: &Node| of.zip(one.value(known)).map(|(of, one)| of == one);
                let found: Vec<Option<bool>> = listed.iter().map(equal).collect();
                match (found.contains(&Some(true)), found.contains(&None)) {
                    (true, _) => Some(1.0),
                    (false, true) => None,
                    (false, false) => Some(0.0),
                }
            }
            Self::Case(compared, cases, otherwise) => {
                let compared = compared.as_ref().map(|compared| compared.value(known));
                let holds = |(condition, _): &&(Node, Node)| match compared {
                    None => condition.truth(known) == Some(true),
                    Some(compared) => compared.is_some() && compared == condition.value(known),
                };
                cases.iter().find(holds).map_or(&**otherwise, |(_, value)| value).value(known)
            }
        };
        value.filter(|value| !value.is_nan())
    }

    fn truth(&self, known: &Known) -> Option<bool> {
        self.value(known).map(|value| value != 0.0)
    }
}

/// Both hold; unknown if that depends on what is unknown.
fn all(a: Option<bool>, b: Option<bool>) -> Option<f64> {
    match (a, b) {
        (Some(false), _) | (_, Some(false)) => Some(0.0),
        (Some(true), Some(true)) => Some(1.0),
        _ => None,
    }
}

/// One of them holds; unknown if that depends on what is unknown.
fn any(a: Option<bool>, b: Option<bool>) -> Option<f64> {
    all(a.map(|a| !a), b.map(|b| !b)).map(|neither| 1.0 - neither)
}

fn binary(operator: Operator, left: &Node, right: &Node, known: &Known) -> Option<f64> {
    match operator {
        Operator::And => return all(left.truth(known), right.truth(known)),
        Operator::Or => return any(left.truth(known), right.truth(known)),
        Operator::Is => return Some(f64::from(left.value(known) == right.value(known))),
        _ => {}
    }
    let (a, b) = (left.value(known)?, right.value(known)?);
    Some(match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide if b == 0.0 => return None,
        Operator::Divide => a / b,
        // Of whole numbers, as in SQL.
        Operator::Remainder if libm::trunc(b) == 0.0 => return None,
        Operator::Remainder => libm::fmod(libm::trunc(a), libm::trunc(b)),
        Operator::Less => f64::from(a < b),
        Operator::LessOrEqual => f64::from(a <= b),
        Operator::Greater => f64::from(a > b),
        Operator::GreaterOrEqual => f64::from(a >= b),
        Operator::Equal => f64::from(a == b),
        Operator::NotEqual => f64::from(a != b),
        Operator::Is | Operator::And | Operator::Or => return None, // above
    })
}
