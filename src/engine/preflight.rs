//! Trying models on images of the set before anything is recorded: what cannot be attacked is
//! refused with its reason. The trainer evaluates and differentiates as in the attack;
//! [`crate::adversary::preflight`] judges.

use std::collections::BTreeMap;

use super::attacks::{Target, TestPart};
use super::error::SessionError;
use super::rows::{Rows, take, take_counts};
use super::watch::{Failure, Trainers, Trier, Trying, Watch};
use crate::adversary::destruction::Share;
use crate::adversary::preflight;
use crate::adversary::protocol::Settings;
use crate::adversary::range::InputRange;
use crate::adversary::rank;
use crate::adversary::spec::Method;
use crate::adversary::sweep;
use crate::trainer::protocol::{Member, ModelRequest, ScoredAnswer};

/// Images that are differentiated.
const DIFFERENTIATED: usize = 4;

/// What is tried: models with images of the set, under the settings of the attack.
#[derive(Clone, Copy)]
pub struct Trial<'a> {
    /// The models.
    pub targets: &'a [Target],
    /// The images.
    pub test: &'a TestPart,
    /// How they are to be attacked.
    pub settings: &'a Settings,
    /// Whether a person said what the models expect of pixel values.
    pub ranges_given: bool,
    /// Threads of a trainer on a CPU.
    pub threads: u32,
}

/// Tries every model: whether it can be had, takes such images, is a function of one image, gives
/// finite scores, and can be differentiated. Returns what has to be said about those that can be
/// attacked, also with which input ranges they are clearly more accurate.
///
/// # Errors
/// [`SessionError::Settings`] or [`SessionError::Hung`] naming the model and what is wrong with
/// it; [`SessionError::Stopped`] if `watch` says so; [`SessionError::Engine`] if the machine fails.
pub fn try_out(
    trial: Trial<'_>,
    pool: &mut Trainers,
    watch: &mut Watch<'_>,
) -> Result<Vec<Tried>, SessionError> {
    let test = trial.test;
    let order = trial.order();
    let mut all = Vec::with_capacity(trial.targets.len());
    for target in trial.targets {
        let label = &target.victim.label;
        let (model, images) = (&target.model, &test.images);
        if (model.channels, model.side) != (images.channels, images.side) {
            return Err(SessionError::Settings(format!(
                "{label} sees images of {0} x {0} pixels and {1} channels; {2} has {3} x {3} and \
                 {4}. --resize {0} changes their size",
                model.side, model.channels, test.name, images.side, images.channels
            )));
        }
        let trier = trial.trier(target, pool, watch);
        let tried = Preflight { trial, target, order: &order, trier }.carry_out();
        let mut found = tried.map_err(|why| why.refused(pool, label))?;
        found.remarks.iter_mut().for_each(|remark| *remark = format!("{label}: {remark}"));
        all.push(found);
    }
    Ok(all)
}

/// Tries every model in larger batches, among them those of the attack, whose micro-batches have
/// their size by now. `found` is what [`try_out`] found of each.
///
/// # Errors
/// As [`try_out`].
pub fn try_batches(
    trial: Trial<'_>,
    found: &[Tried],
    pool: &mut Trainers,
    watch: &mut Watch<'_>,
) -> Result<(), SessionError> {
    let order = trial.order();
    let images = trial.settings.images.min(trial.test.images.count);
    let sizes = preflight::sizes(trial.settings.batch.into(), images);
    for (target, found) in trial.targets.iter().zip(found) {
        let trier = trial.trier(target, pool, watch);
        let tried = Preflight { trial, target, order: &order, trier };
        let tried = tried.in_batches(&sizes, &found.paired);
        tried.map_err(|why| why.refused(pool, &target.victim.label))?;
    }
    Ok(())
}

impl<'a> Trial<'a> {
    /// Who tries one of the models.
    pub(super) fn trier<'w>(
        &self,
        target: &'a Target,
        pool: &'a mut Trainers,
        watch: &'a mut Watch<'w>,
    ) -> Trier<'a, 'w> {
        let (label, dtype) = (&*target.victim.label, self.settings.dtype);
        Trier { pool, watch, label, dtype, threads: self.threads }
    }

    /// Indices of all images: the pool first; where it is small, others keep its images company.
    fn order(&self) -> Vec<u32> {
        let all = Settings { images: u32::MAX, ..self.settings.clone() };
        all.pool(self.test.images.count)
    }
}

/// What was found of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Tried {
    /// Its outputs. If they are too few for the classes of the images, it was tried no further.
    pub outputs: u32,
    /// What has to be said about it.
    pub remarks: Vec<String>,
    /// Its scores of images in batches of two, by the places of the images: they need not be scored
    /// again.
    paired: Paired,
}

/// Scores of images by their places in the order.
type Paired = BTreeMap<u32, Vec<f32>>;

/// One model being tried.
struct Preflight<'a, 'w> {
    trial: Trial<'a>,
    target: &'a Target,
    /// Indices of all images.
    order: &'a [u32],
    trier: Trier<'a, 'w>,
}

/// How a model does on clean images.
struct Accuracy {
    share: Share,
    /// Images whose scores are not all finite.
    invalid: u32,
}

impl Preflight<'_, '_> {
    /// What is to be said about the model.
    fn carry_out(mut self) -> Result<Tried, Failure> {
        let model = &self.target.model;
        let calls = preflight::calls(self.images());
        let chosen = self.chosen(calls.as_flattened());
        let (rows, answer) = self.score(model, &chosen, 2, &Trying::Pairs)?;
        let outputs = answer.classes;
        let paired: Paired = preflight::rows_of(&calls)
            .into_iter()
            .map(|(place, at)| (place, rows.row(at).to_vec()))
            .collect();
        if self.needed() > outputs {
            return Ok(Tried { outputs, remarks: Vec::new(), paired });
        }
        if let Some(fault) = preflight::fault(calls.len(), |at| rows.row(at)) {
            return Err(Failure::of_model(fault));
        }
        let output = answer.output.map(|output| format!("qtrail takes {output} as logits"));
        let range = self.target.input_range();
        let own = self.accuracy(model, &range, &paired)?;
        // Scores that are not finite may be for want of the right range, too.
        let proposal = match own.invalid > 0 || preflight::can_be_better(own.share) {
            true => self.proposal(&range, own.share)?,
            false => None,
        };
        if own.invalid > 0 {
            let (part, all) = (own.invalid, own.share.all);
            let hint = proposal.map(|proposal| format!("; {proposal}")).unwrap_or_default();
            return Err(Failure::of_model(format!(
                "it gives NaN or infinite scores for {part} of {all} images of {}{hint}",
                self.trial.test.name
            )));
        }
        self.differentiate()?;
        let alone = (self.order.len() == 1).then(|| {
            "whether its output depends on the other images of a batch could not be tried with one \
             image"
                .to_owned()
        });
        let remarks = output.into_iter().chain(proposal).chain(alone).collect();
        Ok(Tried { outputs, remarks, paired })
    }

    /// Compares what the model gives for images in batches of other sizes and in other company, also
    /// with what it gave for some of them in batches of two.
    fn in_batches(mut self, sizes: &[u32], paired: &Paired) -> Result<(), Failure> {
        let (model, images) = (&self.target.model, self.images());
        let few = 0..images.min(preflight::LARGE);
        let missing: Vec<u32> = few.filter(|place| !paired.contains_key(place)).collect();
        let mut paired = paired.clone();
        if !missing.is_empty() {
            let chosen = self.chosen(&missing);
            let (rows, _) = self.score(model, &chosen, 2, &Trying::Pairs)?;
            let rows = missing.iter().zip(0..).map(|(&place, at)| (place, rows.row(at).to_vec()));
            paired.extend(rows);
        }
        for &size in sizes {
            let chosen = self.chosen(&preflight::batches(images, size));
            let (rows, _) = self.score(model, &chosen, size, &Trying::Batches(size))?;
            let in_pair = |place: u32| paired.get(&place).map(Vec::as_slice);
            let found = preflight::fault_of_batches(images, size, |at| rows.row(at), in_pair);
            if let Some(fault) = found {
                return Err(Failure::of_model(fault));
            }
        }
        Ok(())
    }

    /// Number of images that can be tried.
    fn images(&self) -> u32 {
        self.order.len().try_into().unwrap_or(u32::MAX)
    }

    /// Indices of the images at these places of the order.
    fn chosen(&self, places: &[u32]) -> Vec<u32> {
        places.iter().filter_map(|&place| self.order.get(place as usize)).copied().collect()
    }

    /// The output that is right for an image.
    fn label(&self, index: u32) -> u16 {
        let class = self.trial.test.images.labels.get(index as usize).copied().unwrap_or_default();
        self.trial.settings.output(class)
    }

    /// The outputs that a model must have for the images.
    fn needed(&self) -> u32 {
        let labels = self.order.iter().map(|&index| u32::from(self.label(index)) + 1);
        labels.max().unwrap_or(0)
    }

    /// The rows that a model gives for images, so many at a time.
    fn score(
        &mut self,
        model: &ModelRequest,
        indices: &[u32],
        batch: u32,
        trying: &Trying,
    ) -> Result<(Rows, ScoredAnswer), Failure> {
        let images = (&self.trial.test.images, indices);
        let answer = self.trier.score(trying, model, images, batch)?;
        let inbox = self.trier.inbox()?;
        let rows = Rows::take(inbox, &answer.logits, indices.len(), answer.classes)?;
        Ok((rows, answer))
    }

    /// How accurate a model is on a sample, in batches as large as the attack's; `range` is what it is
    /// given. Images whose scores are `known` are not scored again.
    fn accuracy(
        &mut self,
        model: &ModelRequest,
        range: &InputRange,
        known: &Paired,
    ) -> Result<Accuracy, Failure> {
        let images = &self.trial.test.images;
        let values = images.channels.saturating_mul(images.side.saturating_mul(images.side));
        let sample = preflight::sample(self.images(), values);
        let missing: Vec<u32> = (0..sample).filter(|place| !known.contains_key(place)).collect();
        let (trying, batch) = (Trying::Accuracy(range.clone()), self.trial.settings.batch.into());
        let mut rows = Rows::default();
        if !missing.is_empty() {
            (rows, _) = self.score(model, &self.chosen(&missing), batch, &trying)?;
        }
        let again = missing.iter().zip(0..).map(|(&place, at)| (place, rows.row(at)));
        let known = known.range(..sample).map(|(&place, row)| (place, row.as_slice()));
        let judged: Vec<_> = again
            .chain(known)
            .map(|(place, row)| {
                let index = self.order.get(place as usize).copied().unwrap_or_default();
                rank::score(row, self.label(index).into(), None)
            })
            .collect();
        let invalid = judged.iter().filter(|score| score.is_none()).count();
        let right = |score: Option<rank::Score>| Some(score.is_some_and(|score| score.rank == 0));
        let share = Share::of(judged.into_iter().map(right));
        Ok(Accuracy { share, invalid: u32::try_from(invalid).unwrap_or(u32::MAX) })
    }

    /// The input ranges with which a model is clearly more accurate than with its own.
    fn proposal(&mut self, own: &InputRange, share: Share) -> Result<Option<String>, Failure> {
        let model = &self.target.model;
        if !model.members.iter().any(|one| matches!(one, Member::Torchscript { .. })) {
            return Ok(None);
        }
        let mut found: Vec<(InputRange, Share)> = Vec::new();
        let others = InputRange::candidates(self.trial.test.images.channels);
        let none = Paired::new();
        for range in others.into_iter().filter(|range| range != own) {
            // One that the model does not take is none.
            match self.accuracy(&with_range(model, &range), &range, &none) {
                Ok(accuracy) if accuracy.invalid == 0 => found.push((range, accuracy.share)),
                Ok(_) | Err(Failure::Model(_)) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(preflight::better_ranges(own, share, found, self.trial.ranges_given))
    }

    /// Crafts some images in one step, only to see that it can be done.
    fn differentiate(&mut self) -> Result<(), Failure> {
        let count = DIFFERENTIATED.min(self.trial.settings.batch.into()).min(self.order.len());
        let indices = &self.order[..count];
        let smallest = Settings {
            methods: vec![Method::Fast],
            eps: vec![1],
            random_start: false,
            ..self.trial.settings.clone()
        };
        let labels = indices.iter().map(|&index| self.label(index)).collect();
        let along = (labels, sweep::plan(&smallest.specs()));
        let (model, images) = (&self.target.model, &self.trial.test.images);
        let answer = self.trier.craft(&Trying::Gradients, model, (images, indices), along)?;
        let inbox = self.trier.inbox()?;
        take(inbox, &answer.images, count * images.length())?;
        Rows::take(inbox, &answer.logits, 2 * count, answer.classes)?;
        take_counts(inbox, &answer.zeros, count)?;
        take_counts(inbox, &answer.invalid, count)?;
        Ok(())
    }
}

/// The same model, its files with another input range.
fn with_range(model: &ModelRequest, range: &InputRange) -> ModelRequest {
    let mut model = model.clone();
    for member in &mut model.members {
        if let Member::Torchscript { input, .. } = member {
            *input = range.clone();
        }
    }
    model
}

impl Target {
    /// The same model, its file with another input range.
    #[must_use]
    pub fn with_range(mut self, range: &InputRange) -> Self {
        self.model = with_range(&self.model, range);
        self
    }

    /// What the model expects of pixel values.
    #[must_use]
    pub fn input_range(&self) -> InputRange {
        let ranges = self.model.members.iter().map(|member| match member {
            Member::Torchscript { input, .. } => input.clone(),
            Member::Network(_) => InputRange::default(),
        });
        ranges.reduce(|first, _| first).unwrap_or_default()
    }
}
