//! Destruction rates (Kurakin, Goodfellow and Bengio 2017, section 3.1) and intervals.
//!
//! d = Σ C(X) ¬C(X_adv) C(T(X_adv)) / Σ C(X) ¬C(X_adv): of the images that an attack turned from
//! right to wrong, the share that a transformation turns right again. C is "the true class is among
//! the k likeliest", with the same k in all three places: its rank (classes above it) is below k.

/// Stands for a rank that is not known: the image was not judged yet, or was lost on the way. It
/// counts in no sum.
pub const UNSEEN: u16 = u16::MAX - 1;

/// Ranks of one image, as one model saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranks {
    /// Of the clean image.
    pub clean: u16,
    /// Of the adversarial one.
    pub adversarial: u16,
    /// Of that one after the transformation.
    pub transformed: u16,
}

impl Ranks {
    /// Whether all of them are known.
    #[must_use]
    pub fn are_known(&self) -> bool {
        ![self.clean, self.adversarial, self.transformed].contains(&UNSEEN)
    }

    /// Whether the attack turned the image from right to wrong: it is in the denominator.
    #[must_use]
    pub fn fooled(&self, k: u16) -> bool {
        self.are_known() && self.clean < k && self.adversarial >= k
    }

    /// Whether the transformation turned it right again: it is in the numerator.
    #[must_use]
    pub fn destroyed(&self, k: u16) -> bool {
        self.fooled(k) && self.transformed < k
    }
}

/// A count among others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// Those that are meant.
    pub part: u32,
    /// All.
    pub all: u32,
}

impl Share {
    /// Counts those of some that are meant; `None` is not counted at all.
    pub fn of(items: impl Iterator<Item = Option<bool>>) -> Self {
        items.flatten().fold(Self::default(), |share, meant| Self {
            part: share.part + u32::from(meant),
            all: share.all + 1,
        })
    }

    /// The rate; `None` of nothing.
    #[must_use]
    pub fn rate(self) -> Option<f64> {
        (self.all > 0).then(|| f64::from(self.part) / f64::from(self.all))
    }

    /// The 95 % interval of Wilson (1927); `None` of nothing.
    #[must_use]
    pub fn wilson(self) -> Option<(f64, f64)> {
        const Z: f64 = 1.959_963_984_540_054;
        let (p, n) = (self.rate()?, f64::from(self.all));
        let scale = 1.0 + Z * Z / n;
        let middle = (p + Z * Z / (2.0 * n)) / scale;
        let half = Z / scale * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        // At the ends rounding must not cross them.
        let low = if self.part == 0 { 0.0 } else { (middle - half).max(0.0) };
        let high = if self.part == self.all { 1.0 } else { (middle + half).min(1.0) };
        Some((low, high))
    }
}

/// The destruction rate of some images among the `k` likeliest classes.
pub fn destruction(k: u16, images: impl Iterator<Item = Ranks>) -> Share {
    Share::of(images.map(|ranks| ranks.fooled(k).then(|| ranks.destroyed(k))))
}

/// How many images are right, of those whose rank is known.
pub fn accuracy(k: u16, ranks: impl Iterator<Item = u16>) -> Share {
    Share::of(ranks.map(|rank| (rank != UNSEEN).then_some(rank < k)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ranks(clean: u16, adversarial: u16, transformed: u16) -> Ranks {
        Ranks { clean, adversarial, transformed }
    }

    fn percent(share: Share) -> String {
        share.rate().map_or("n/a".into(), |rate| format!("{:.1}", 100.0 * rate))
    }

    /// The intervals that section 1.9 of the paper's tables would have needed.
    #[test]
    fn wilson_intervals_are_known() {
        let cases = [(5, 99, "2.2", "11.3"), (6, 48, "5.9", "24.7")];
        for (part, all, low, high) in cases {
            let (found_low, found_high) = Share { part, all }.wilson().unwrap();
            let found = [found_low, found_high].map(|end| format!("{:.1}", 100.0 * end));
            assert_eq!(found, [low, high]);
        }
        assert_eq!(Share { part: 0, all: 0 }.wilson(), None);
        assert_eq!(Share { part: 0, all: 10 }.wilson().unwrap().0, 0.0);
        assert_eq!(Share { part: 10, all: 10 }.wilson().unwrap().1, 1.0);
    }

    /// Counts of whole images behind the percentages of Tables 1 and 2.
    #[test]
    fn counts_print_as_in_the_paper() {
        let cases: &[(u32, &[(u32, &str)])] = &[
            (
                99,
                &[(79, "79.8"), (91, "91.9"), (36, "36.4"), (67, "67.7"), (5, "5.1"), (39, "39.4")],
            ),
            (102, &[(87, "85.3"), (96, "94.1"), (37, "36.3"), (60, "58.8")]),
            (90, &[(64, "71.1"), (81, "90.0"), (54, "60.0"), (75, "83.3"), (79, "87.8")]),
            (96, &[(14, "14.6"), (68, "70.8"), (84, "87.5"), (94, "97.9")]),
            (99, &[(88, "88.9"), (96, "97.0")]),
        ];
        for (all, counts) in cases {
            for (part, printed) in *counts {
                assert_eq!(percent(Share { part: *part, all: *all }), *printed);
            }
        }
    }

    #[test]
    fn only_images_that_were_turned_count() {
        let none = u16::MAX;
        let cases = [
            // clean wrong; never fooled; fooled and stays so; fooled and comes back
            (vec![ranks(1, 3, 0)], "n/a"),
            (vec![ranks(0, 0, 0)], "n/a"),
            (vec![ranks(0, 1, 1)], "0.0"),
            (vec![ranks(0, 1, 0)], "100.0"),
            (vec![], "n/a"),
            // Not finite: wrong. Lost, or not judged yet: not there.
            (vec![ranks(0, none, 0), ranks(0, 1, none)], "50.0"),
            (vec![ranks(0, 1, UNSEEN), ranks(0, 1, 0)], "100.0"),
            (vec![ranks(UNSEEN, 1, 0)], "n/a"),
        ];
        for (images, expected) in cases {
            assert_eq!(percent(destruction(1, images.iter().copied())), expected, "{images:?}");
        }
    }

    #[test]
    fn it_need_not_grow_with_k() {
        let images = [ranks(0, 1, 0), ranks(0, 9, 9)];
        let rate = |k| destruction(k, images.into_iter()).rate();
        assert!(rate(5) < rate(1));
        // As many classes as there are: every image is right, so none was fooled.
        assert_eq!(rate(10), None);
    }

    fn image() -> impl Strategy<Value = Ranks> {
        (0_u16..10, 0_u16..10, 0_u16..10).prop_map(|(a, b, c)| ranks(a, b, c))
    }

    proptest! {
        /// Laws of section 5.2 of the definition, for all images and all k.
        #[test]
        fn laws(images in prop::collection::vec(image(), 0..60), k in 1_u16..10) {
            let same = images.iter().map(|i| ranks(i.clean, i.adversarial, i.adversarial));
            let identity = destruction(k, same);
            prop_assert_eq!(identity.part, 0);
            let oracle = destruction(k, images.iter().map(|i| ranks(i.clean, i.adversarial, i.clean)));
            prop_assert_eq!(oracle.part, oracle.all);
            // If every image was right and is wrong, the rate is an accuracy.
            let turned: Vec<Ranks> = images.iter().copied().filter(|i| i.fooled(k)).collect();
            let right = accuracy(k, turned.iter().map(|i| i.transformed));
            prop_assert_eq!(destruction(k, turned.into_iter()), right);
            prop_assert_eq!(destruction(k, images.iter().copied()), right);
            if let Some((low, high)) = right.wilson() {
                let rate = right.rate().unwrap_or(0.0);
                prop_assert!(0.0 <= low && low <= rate && rate <= high && high <= 1.0);
            }
        }
    }
}
