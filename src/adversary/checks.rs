//! Signs that an attack was weak, not the model robust (gradient masking): Athalye, Carlini and
//! Wagner 2018, "Obfuscated gradients give a false sense of security", section 3.1; Carlini et al.
//! 2019, "On evaluating adversarial robustness", section 4.
//!
//! Two ways to change the same images are compared by McNemar's exact test over the images that are
//! correctly classified when clean. A difference counts if its p-value, multiplied by the number of
//! comparisons of the sign (Bonferroni), is below [`ALPHA`].

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::comparison::{Pair, compare, mcnemar};
use super::destruction::{Ranks, Share, UNSEEN, accuracy};
use super::gradients::DOUBTFUL;
use super::noise::RANDOM_NOISE;
use super::spec::Method;

/// Probability of calling a difference real that is none.
pub const ALPHA: f64 = 0.05;
/// Images that are correctly classified when clean, below which random noise says nothing.
pub const FEW: u32 = 20;
/// From this eps on every image can be made plain grey, so no model can know more than chance.
pub const GREY: u16 = 128;
/// A clean accuracy not above this fraction of the way from chance to 1 is called chance.
pub const NEAR_CHANCE: f64 = 0.1;

/// What is known of one model under one attack.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evidence {
    /// Correct: the true class is among the k likeliest.
    pub k: u16,
    /// Classes of the images.
    pub classes: u32,
    /// Ranks of the true classes of the clean images, by place in the pool; [`UNSEEN`] if unknown.
    pub clean: Vec<u16>,
    /// The same after each specification, crafted against this very model, noise included.
    pub own: Vec<Attacked>,
    /// The same for images crafted against other models.
    pub transferred: Vec<Attacked>,
    /// The best clean accuracy of another model on these images, and which model that is.
    pub best: Option<(f64, String)>,
}

/// What a model made of images that were changed in one way.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Attacked {
    /// The model against which the images were crafted.
    pub against: String,
    /// The method.
    pub method: String,
    /// Largest change of a value, of 255.
    pub eps: u16,
    /// How far its steps lead together; unset if that is not on record.
    pub reach: Option<u32>,
    /// Ranks of the true classes, by place in the pool.
    pub ranks: Vec<u16>,
    /// Images crafted.
    pub images: u32,
    /// Those of them without a usable gradient.
    pub without_gradient: u32,
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// Accuracy does not fall while eps grows.
    AccuracyFlat,
    /// One step does more than many.
    OneStepStronger,
    /// Random noise does as much as the attack.
    NoiseAsStrong,
    /// Images crafted against another model do more than those crafted against this one.
    TransferStronger,
    /// Accuracy stays above chance under an attack that can turn every image grey.
    ChanceNotReached,
    /// Accuracy on clean images is far below that of other models.
    CleanAccuracyLow,
    /// The loss cannot be differentiated on many images.
    NoGradient,
}

/// What is found of a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// There is no such sign.
    #[serde(rename = "ok")]
    Clear,
    /// The sign is there.
    #[serde(rename = "suspicious")]
    Suspicious,
    /// What is on record does not tell.
    #[serde(rename = "not known")]
    Unknown,
}

/// Two ways to change the same images.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Compared {
    /// Fraction misclassified after the first less that after the second, of the images that are
    /// correctly classified when clean.
    pub difference: f64,
    /// McNemar's exact test: how likely so uneven a split is if both are alike.
    pub p: f64,
    /// Images compared.
    pub n: u32,
}

/// A sign, and what is found of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// What is looked for.
    pub sign: Sign,
    /// What is found.
    pub verdict: Verdict,
    /// The numbers behind it.
    pub figures: String,
    /// What would tell, if it is not known.
    pub needed: Option<&'static str>,
    /// The comparison that decided, if one did.
    #[serde(flatten)]
    pub compared: Option<Compared>,
}

impl Attacked {
    fn is_noise(&self) -> bool {
        self.method == RANDOM_NOISE
    }

    /// The method, if images are crafted by gradients.
    fn steps(&self) -> Option<Method> {
        self.method.parse().ok()
    }

    fn name(&self) -> String {
        format!("{}:{}", self.method, self.eps)
    }
}

impl Compared {
    /// Whether the first way does more than the second, as one of so many comparisons.
    fn is_stronger(&self, comparisons: usize) -> bool {
        self.difference > 0.0 && self.is_real(comparisons)
    }

    fn is_weaker(&self, comparisons: usize) -> bool {
        self.difference < 0.0 && self.is_real(comparisons)
    }

    fn is_real(&self, comparisons: usize) -> bool {
        self.p * comparisons.max(1) as f64 <= ALPHA
    }
}

fn shown(share: Share) -> String {
    share.rate().map_or("n/a".to_owned(), |rate| format!("{rate:.3}"))
}

/// The comparison of the greatest difference.
fn greatest<T>(all: Vec<(Compared, T)>) -> Option<(Compared, T)> {
    all.into_iter().max_by(|(a, _), (b, _)| a.difference.total_cmp(&b.difference))
}

impl Evidence {
    /// All signs, always in the same order; the order of the attacks does not matter.
    #[must_use]
    pub fn findings(mut self) -> Vec<Finding> {
        for all in [&mut self.own, &mut self.transferred] {
            all.sort_by(|a, b| (&a.against, &a.method, a.eps).cmp(&(&b.against, &b.method, b.eps)));
        }
        vec![
            self.accuracy_flat(),
            self.one_step_stronger(),
            self.noise_as_strong(),
            self.transfer_stronger(),
            self.chance_not_reached(),
            self.clean_accuracy_low(),
            self.no_gradient(),
        ]
    }

    /// One way against another, over the images known under both.
    fn versus(&self, a: &Attacked, b: &Attacked) -> Compared {
        let images = self.clean.iter().zip(&a.ranks).zip(&b.ranks);
        let ranks = |clean, adversarial| Ranks { clean, adversarial, transformed: adversarial };
        let pairs =
            images.map(|((&clean, &a), &b)| Pair { a: ranks(clean, a), b: ranks(clean, b) });
        let found = compare(self.k, pairs);
        let rate = |share: Share| share.rate().unwrap_or(0.0);
        Compared {
            difference: rate(found.wrong_a) - rate(found.wrong_b),
            p: mcnemar(found.only_a, found.only_b),
            n: found.wrong_a.all,
        }
    }

    fn right(&self, ranks: &[u16]) -> Share {
        accuracy(self.k, ranks.iter().copied())
    }

    fn at_chance(&self, ranks: &[u16]) -> bool {
        let chance = f64::from(self.k) / f64::from(self.classes.max(1));
        self.right(ranks).wilson().is_some_and(|(low, _)| low <= chance)
    }

    /// The strongest of some attacks at each eps: the fewest images right, of equals the first.
    fn strongest<'a>(
        &self,
        all: impl Iterator<Item = &'a Attacked>,
    ) -> BTreeMap<u16, &'a Attacked> {
        let mut strongest: BTreeMap<u16, &Attacked> = BTreeMap::new();
        for attacked in all.filter(|attacked| !attacked.is_noise()) {
            let rate = |attacked: &Attacked| self.right(&attacked.ranks).rate().unwrap_or(1.0);
            let place = strongest.entry(attacked.eps).or_insert(attacked);
            if rate(attacked) < rate(place) {
                *place = attacked;
            }
        }
        strongest
    }

    fn accuracies<'a>(&self, all: impl Iterator<Item = &'a Attacked>) -> String {
        let one = |attacked: &Attacked| {
            format!("{} {}", attacked.name(), shown(self.right(&attacked.ranks)))
        };
        all.map(one).collect::<Vec<_>>().join(", ")
    }

    fn accuracy_flat(&self) -> Finding {
        let sizes: Vec<&Attacked> = self.strongest(self.own.iter()).into_values().collect();
        let figures = self.accuracies(sizes.iter().copied());
        let find = |verdict, needed, compared| {
            let (sign, figures) = (Sign::AccuracyFlat, figures.clone());
            Finding { sign, verdict, figures, needed, compared }
        };
        let ([smallest, .., largest], pairs) = (&sizes[..], sizes.windows(2)) else {
            return find(Verdict::Unknown, Some("attacks with two eps or more"), None);
        };
        let comparisons = pairs.len();
        let mut steps = pairs.map(|pair| self.versus(pair[1], pair[0]));
        if let Some(risen) = steps.find(|step| step.is_weaker(comparisons)) {
            return find(Verdict::Suspicious, None, Some(risen));
        }
        let all = self.versus(largest, smallest);
        if all.n == 0 {
            return find(Verdict::Unknown, Some("a model that has some clean image right"), None);
        }
        if all.is_stronger(1) || self.at_chance(&smallest.ranks) {
            return find(Verdict::Clear, None, Some(all));
        }
        match all.difference > 0.0 {
            true => find(Verdict::Unknown, Some("more images, or a larger eps"), Some(all)),
            false => find(Verdict::Suspicious, None, Some(all)),
        }
    }

    fn one_step_stronger(&self) -> Finding {
        let mut compared = Vec::new();
        for one in &self.own {
            let Some(step) = one.steps().filter(|method| method.is_one_step()) else { continue };
            let same = |many: &&Attacked| {
                let method = many.steps().filter(|method| !method.is_one_step());
                many.eps == one.eps && method.is_some_and(|method| method.label() == step.label())
            };
            compared.extend(
                self.own.iter().filter(same).map(|many| (self.versus(one, many), (one, many))),
            );
        }
        let comparisons = compared.len();
        let sign = Sign::OneStepStronger;
        let Some((found, (one, many))) = greatest(compared) else {
            let needed = Some("a one-step and an iterative attack of the same eps: fast and basic");
            return Finding {
                sign,
                verdict: Verdict::Unknown,
                figures: String::new(),
                needed,
                compared: None,
            };
        };
        let verdict =
            if found.is_stronger(comparisons) { Verdict::Suspicious } else { Verdict::Clear };
        let figures = self.accuracies([one, many].into_iter());
        Finding { sign, verdict, figures, needed: None, compared: Some(found) }
    }

    fn noise_as_strong(&self) -> Finding {
        let strongest = self.strongest(self.own.iter());
        let noises = self.own.iter().filter(|attacked| attacked.is_noise());
        let pairs: Vec<_> =
            noises.filter_map(|noise| Some((*strongest.get(&noise.eps)?, noise))).collect();
        let sign = Sign::NoiseAsStrong;
        let unknown = |needed, figures| {
            let (verdict, needed) = (Verdict::Unknown, Some(needed));
            Finding { sign, verdict, figures, needed, compared: None }
        };
        if pairs.is_empty() {
            return unknown("random noise of the same eps: --noise-images", String::new());
        }
        // Where noise alone leaves nothing, no attack can do more.
        let told = pairs.iter().filter(|(_, noise)| !self.at_chance(&noise.ranks));
        let compared: Vec<_> =
            told.map(|&(attack, noise)| (self.versus(attack, noise), (attack, noise))).collect();
        let comparisons = compared.len();
        let weaker = compared.iter().find(|(found, _)| found.is_weaker(comparisons)).copied();
        let Some((found, (attack, noise))) = weaker.or_else(|| greatest(compared)) else {
            let figures = self.accuracies(pairs.iter().map(|(_, noise)| *noise));
            return unknown("a smaller eps, under which noise is harmless", figures);
        };
        // The attack on the images that noise was scored on.
        let seen: Vec<u16> = attack.ranks.iter().zip(&noise.ranks).map(both).collect();
        let (attacked, noisy) = (self.right(&seen), self.right(&noise.ranks));
        let figures = format!(
            "{} {}, {} {} of {} images",
            attack.name(),
            shown(attacked),
            noise.name(),
            shown(noisy),
            noisy.all
        );
        let verdict = match found {
            found if found.is_stronger(comparisons) => Verdict::Clear,
            found if found.n < FEW && !found.is_weaker(comparisons) => {
                let needed = "more images: --noise-images";
                return Finding { compared: Some(found), ..unknown(needed, figures) };
            }
            _ => Verdict::Suspicious,
        };
        Finding { sign, verdict, figures, needed: None, compared: Some(found) }
    }

    fn transfer_stronger(&self) -> Finding {
        let own = self.strongest(self.own.iter());
        let others: BTreeSet<&str> =
            self.transferred.iter().map(|other| other.against.as_str()).collect();
        let mut compared = Vec::new();
        for other in others {
            let crafted = self.transferred.iter().filter(|found| found.against == other);
            for (eps, transferred) in self.strongest(crafted) {
                let Some(&own) = own.get(&eps) else { continue };
                compared.push((self.versus(transferred, own), (transferred, own)));
            }
        }
        let comparisons = compared.len();
        let sign = Sign::TransferStronger;
        let Some((found, (transferred, own))) = greatest(compared) else {
            let needed = Some("a second model in the same attack");
            let (verdict, figures) = (Verdict::Unknown, String::new());
            return Finding { sign, verdict, figures, needed, compared: None };
        };
        let verdict =
            if found.is_stronger(comparisons) { Verdict::Suspicious } else { Verdict::Clear };
        let figures = format!(
            "{}, against {}: {}",
            self.accuracies([own].into_iter()),
            transferred.against,
            self.accuracies([transferred].into_iter())
        );
        Finding { sign, verdict, figures, needed: None, compared: Some(found) }
    }

    fn chance_not_reached(&self) -> Finding {
        let strongest = self.strongest(self.own.iter());
        let reached = strongest.values().find(|attacked| self.at_chance(&attacked.ranks)).copied();
        // One step cannot make an image grey, nor can steps that end before.
        let grey = |attacked: &&Attacked| {
            let many = attacked.steps().is_none_or(|method| !method.is_one_step());
            let far = attacked.reach.is_none_or(|reach| reach >= u32::from(attacked.eps));
            !attacked.is_noise() && attacked.eps >= GREY && many && far
        };
        let large = self.strongest(self.own.iter().filter(grey)).into_values().next_back();
        let (verdict, needed, decisive) = match (reached, large) {
            (Some(reached), _) => (Verdict::Clear, None, Some(reached)),
            (None, Some(large)) => (Verdict::Suspicious, None, Some(large)),
            (None, None) => {
                let needed = "an iterative attack of eps 128: it can make every image grey";
                (Verdict::Unknown, Some(needed), strongest.values().next_back().copied())
            }
        };
        let chance = f64::from(self.k) / f64::from(self.classes.max(1));
        let attacked = decisive.map(|attacked| self.accuracies([attacked].into_iter()) + "; ");
        let figures = format!("{}chance {chance:.3}", attacked.unwrap_or_default());
        Finding { sign: Sign::ChanceNotReached, verdict, figures, needed, compared: None }
    }

    /// Over top-1: this is about the model, not about an attack.
    fn clean_accuracy_low(&self) -> Finding {
        let share = accuracy(1, self.clean.iter().copied());
        let chance = 1.0 / f64::from(self.classes.max(1));
        let mut figures = format!("{} of {} clean images", shown(share), share.all);
        if let Some((best, label)) = &self.best {
            figures += &format!("; {label}: {best:.3}");
        }
        let (verdict, needed) = match (share.wilson(), &self.best) {
            (None, _) => (Verdict::Unknown, Some("clean images")),
            (Some((low, _)), _) if low <= chance + NEAR_CHANCE * (1.0 - chance) => {
                (Verdict::Suspicious, None)
            }
            (Some(_), None) => (Verdict::Unknown, Some("another model on the same images")),
            (Some((_, high)), Some((best, _))) if high < chance + (best - chance) / 2.0 => {
                (Verdict::Suspicious, None)
            }
            _ => (Verdict::Clear, None),
        };
        Finding { sign: Sign::CleanAccuracyLow, verdict, figures, needed, compared: None }
    }

    fn no_gradient(&self) -> Finding {
        let sign = Sign::NoGradient;
        let part = |attacked: &Attacked| {
            Share { part: attacked.without_gradient, all: attacked.images }.rate().unwrap_or(0.0)
        };
        let crafted = self.own.iter().filter(|attacked| attacked.images > 0);
        let Some(worst) = crafted.max_by(|a, b| part(a).total_cmp(&part(b))) else {
            let needed = Some("images crafted by gradients");
            let (verdict, figures) = (Verdict::Unknown, String::new());
            return Finding { sign, verdict, figures, needed, compared: None };
        };
        let figures = format!(
            "{}: {} of {} images without a gradient at first",
            worst.name(),
            worst.without_gradient,
            worst.images
        );
        let verdict = if part(worst) > DOUBTFUL { Verdict::Suspicious } else { Verdict::Clear };
        Finding { sign, verdict, figures, needed: None, compared: None }
    }
}

/// The rank under one way where it is known under the other too.
fn both((a, b): (&u16, &u16)) -> u16 {
    if *b == UNSEEN { UNSEEN } else { *a }
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
