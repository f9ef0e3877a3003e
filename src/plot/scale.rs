//! Axes with round ticks, linear and logarithmic.

/// An axis: a range, where its ticks are, and what it measures.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// What it measures, with the unit.
    pub label: String,
    /// Its lower end.
    pub from: f64,
    /// Its upper end.
    pub to: f64,
    /// Whether equal steps are equal factors.
    pub log: bool,
    /// Places with a number.
    pub ticks: Vec<f64>,
}

impl Axis {
    /// An axis that holds all of `values`, widened to round numbers, with about `ticks` ticks.
    #[must_use]
    pub fn holding(label: &str, values: impl Iterator<Item = f64> + Clone, ticks: u32) -> Self {
        let (low, high) = ends(values);
        let step = round_step((high - low) / f64::from(ticks.max(1)));
        // What is round but for the last bits is round.
        let (low, high) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
        Self::stepping(label, low * step, high * step, step)
    }

    /// An axis with these very ends and about `ticks` ticks.
    #[must_use]
    pub fn between(label: &str, from: f64, to: f64, ticks: u32) -> Self {
        let to = if to > from { to } else { from + 1.0 };
        Self::stepping(label, from, to, round_step((to - from) / f64::from(ticks.max(1))))
    }

    /// An axis of whole numbers (layers, epochs), a little wider than they are.
    #[must_use]
    pub fn counting(label: &str, first: u32, last: u32, ticks: u32) -> Self {
        let (from, to) = (f64::from(first), f64::from(last.max(first)));
        let step = round_step((to - from) / f64::from(ticks.max(1))).max(1.0).round();
        let axis = Self::stepping(label, from, to, step);
        let air = if to > from { ((to - from) * 0.06).min(0.5) } else { 0.5 };
        Self { from: from - air, to: to + air, ..axis }
    }

    /// A logarithmic axis that holds all of `values`, which are positive.
    #[must_use]
    pub fn logarithmic(label: &str, values: impl Iterator<Item = f64> + Clone) -> Self {
        let (low, high) = ends(values.filter(|value| *value > 0.0));
        // A little air, so that no point lies on the frame.
        let air = (high / low).powf(0.04).max(1.1);
        let (from, to) = ((low / air).max(f64::MIN_POSITIVE), high * air);
        let few = [1.0, 2.0, 5.0];
        let factors = if to / from > 1000.0 { &few[..1] } else { &few[..] };
        let decades = digits(from.log10().floor())..=digits(to.log10().ceil());
        let ticks = decades
            .flat_map(|decade| factors.iter().map(move |factor| factor * 10_f64.powi(decade)))
            .filter(|tick| (from..=to).contains(tick))
            .collect();
        Self { label: label.to_owned(), from, to, log: true, ticks }
    }

    fn stepping(label: &str, from: f64, to: f64, step: f64) -> Self {
        let first = (from / step - 1e-9).ceil();
        let ticks = (0..200_u32)
            .map(|n| (first + f64::from(n)) * step)
            .take_while(|tick| *tick <= to + step * 1e-9)
            .collect();
        Self { label: label.to_owned(), from, to, log: false, ticks }
    }

    /// Where a value lies between the ends: 0 to 1 if it does.
    #[must_use]
    pub fn place(&self, value: f64) -> f64 {
        match self.log {
            false => (value - self.from) / (self.to - self.from),
            true => {
                let least = self.from.ln();
                (value.max(f64::MIN_POSITIVE).ln() - least) / (self.to.ln() - least)
            }
        }
    }

    /// The ticks with their numbers, all to the same decimals.
    #[must_use]
    pub fn numbers(&self) -> Vec<(f64, String)> {
        let scale = |decimals: usize| 10_f64.powi(i32::try_from(decimals).unwrap_or(0));
        let whole = |decimals: &usize| {
            self.ticks.iter().all(|tick| {
                let scaled = tick * scale(*decimals);
                (scaled - scaled.round()).abs() < 1e-6
            })
        };
        let decimals = (0..6).find(whole).unwrap_or(6);
        self.ticks.iter().map(|tick| (*tick, number(*tick, decimals))).collect()
    }
}

/// A number with so many decimals; from 10,000 on in thousands (k), millions (M), then powers.
#[must_use]
pub fn number(value: f64, decimals: usize) -> String {
    let short = |value: f64, letter: char| {
        let text = format!("{value:.2}");
        format!("{}{letter}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match value.abs() {
        size if size >= 1e9 => format!("{value:.1e}"),
        size if size >= 1e6 => short(value / 1e6, 'M'),
        size if size >= 1e4 => short(value / 1e3, 'k'),
        0.0 => format!("{:.decimals$}", 0.0),
        _ => format!("{value:.decimals$}"),
    }
}

fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let known = values.filter(|value| value.is_finite());
    let (low, high) =
        known.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    match low <= high {
        false => (0.0, 1.0),
        true if high - low > 0.0 => (low, high),
        // All the same: some room around it.
        true => (low - low.abs().max(1.0) * 0.05, high + high.abs().max(1.0) * 0.05),
    }
}

/// The smallest of 1, 2, 5 times a power of ten that is not smaller than `step`.
fn round_step(step: f64) -> f64 {
    if !(step.is_finite() && step > 0.0) {
        return 1.0;
    }
    let power = 10_f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= step * 0.999_999);
    factor.unwrap_or(10.0) * power
}

#[expect(clippy::cast_possible_truncation, reason = "the exponent of a finite f64 fits")]
fn digits(exponent: f64) -> i32 {
    exponent.clamp(-308.0, 308.0) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<String> {
        axis.numbers().into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round() {
        let cases: &[(Axis, &[&str])] = &[
            (Axis::between("", 0.0, 100.0, 5), &["0", "20", "40", "60", "80", "100"]),
            (Axis::between("", 0.0, 1910.0, 6), &["0", "500", "1000", "1500"]),
            (Axis::holding("", [0.42, 0.55].into_iter(), 4), &["0.40", "0.45", "0.50", "0.55"]),
            (Axis::holding("", [0.5].into_iter(), 2), &["0.45", "0.50", "0.55"]),
            (Axis::counting("", 1, 3, 12), &["1", "2", "3"]),
            (Axis::counting("", 1, 1, 12), &["1"]),
            (Axis::logarithmic("", [900.0, 2.0e6].into_iter()), &["1000", "10k", "100k", "1M"]),
            (Axis::logarithmic("", [900.0, 9000.0].into_iter()), &["1000", "2000", "5000"]),
        ];
        for (axis, expected) in cases {
            assert_eq!(texts(axis), *expected, "{axis:?}");
        }
    }

    #[test]
    fn nothing_and_nonsense_still_give_an_axis() {
        for values in [vec![], vec![f64::NAN], vec![f64::INFINITY, 0.0], vec![-0.0]] {
            for axis in [
                Axis::holding("", values.iter().copied(), 5),
                Axis::logarithmic("", values.iter().copied()),
            ] {
                assert!(axis.from < axis.to, "{axis:?}");
                assert!(axis.place(0.5).is_finite(), "{axis:?}");
            }
        }
    }

    #[test]
    fn ends_are_at_the_ends() {
        let linear = Axis::between("", 2.0, 4.0, 2);
        assert_eq!([linear.place(2.0), linear.place(3.0), linear.place(4.0)], [0.0, 0.5, 1.0]);
        let log = Axis { log: true, from: 1.0, to: 100.0, ..linear };
        assert_eq!([log.place(1.0), log.place(10.0), log.place(100.0)], [0.0, 0.5, 1.0]);
    }
}
