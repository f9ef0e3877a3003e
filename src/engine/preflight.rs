//! Trying models on images of the set before anything is recorded: what cannot be attacked is
//! refused with its reason. The trainer evaluates and differentiates as in the attack;
//! [`crate::adversary::preflight`] judges.

use super::EngineError;
use super::attacks::{Target, TestPart};
use super::faults::MARGIN;
use super::session::{Session, SessionError};
use super::workplace::{Rows, Workplace};
use crate::adversary::destruction::Share;
use crate::adversary::preflight;
use crate::adversary::protocol::Settings;
use crate::adversary::range::InputRange;
use crate::adversary::rank;
use crate::adversary::spec::Method;
use crate::adversary::sweep;
use crate::trainer::protocol::{
    Answer, CraftRequest, Member, ModelRequest, Request, ScoreRequest, ScoredAnswer,
};

/// Images that are differentiated.
const DIFFERENTIATED: usize = 4;

/// Why a model cannot be attacked.
type Refusal = String;

impl Session {
    /// Tries every model: whether it can be had, takes such images, is a function of one image, gives
    /// finite scores, and can be differentiated. Returns what has to be said about those that can be
    /// attacked. With `propose` that includes input ranges with which they are clearly more accurate.
    ///
    /// # Errors
    /// [`SessionError::Settings`] naming the model and what is wrong with it; [`SessionError::Engine`]
    /// if the machine fails.
    pub fn try_out(
        &mut self,
        targets: &[Target],
        test: &TestPart,
        settings: &Settings,
        propose: bool,
        workplace: &mut Workplace,
    ) -> Result<Vec<Tried>, SessionError> {
        // The pool first; where it is small, other images keep its images company.
        let order = Settings { images: u32::MAX, ..settings.clone() }.pool(test.images.count);
        let mut all = Vec::with_capacity(targets.len());
        for target in targets {
            let label = &target.victim.label;
            let (model, images) = (&target.model, &test.images);
            if (model.channels, model.side) != (images.channels, images.side) {
                return Err(SessionError::Settings(format!(
                    "{label} sees images of {0} x {0} pixels and {1} channels; {2} has {3} x {3} and \
                     {4}. --resize {0} changes their size",
                    model.side, model.channels, test.name, images.side, images.channels
                )));
            }
            let mut tried =
                Preflight { model: &target.model, test, settings, order: &order, workplace };
            let mut found = match tried.carry_out(propose)? {
                Ok(found) => found,
                Err(why) => return Err(tried.refused(label, &why)),
            };
            found.remarks.iter_mut().for_each(|remark| *remark = format!("{label}: {remark}"));
            all.push(found);
        }
        Ok(all)
    }
}

/// What was found of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// Its outputs. If they are too few for the classes of the images, it was tried no further.
    pub outputs: u32,
    /// What has to be said about it.
    pub remarks: Vec<String>,
}

/// One model being tried.
struct Preflight<'a> {
    model: &'a ModelRequest,
    test: &'a TestPart,
    settings: &'a Settings,
    /// Indices of all images.
    order: &'a [u32],
    workplace: &'a mut Workplace,
}

/// How a model does on clean images.
struct Accuracy {
    share: Share,
    /// Images whose scores are not all finite.
    invalid: u32,
}

impl Preflight<'_> {
    /// What is to be said about the model.
    fn carry_out(&mut self, propose: bool) -> Result<Result<Tried, Refusal>, SessionError> {
        let model = self.model;
        let calls = preflight::calls(self.order.len().try_into().unwrap_or(u32::MAX));
        let (rows, answer) = match self.score(model, &self.chosen(calls.as_flattened()), 2)? {
            Ok(scored) => scored,
            Err(why) => return Ok(Err(why)),
        };
        let outputs = answer.classes;
        if self.needed() > outputs {
            return Ok(Ok(Tried { outputs, remarks: Vec::new() }));
        }
        if let Some(fault) = preflight::fault(calls.len(), |at| rows.row(at)) {
            return Ok(Err(fault.to_string()));
        }
        let output = answer.output.map(|output| format!("qtrail takes {output} as logits"));
        let own = match self.accuracy(model)? {
            Ok(own) => own,
            Err(why) => return Ok(Err(why)),
        };
        let proposal = if propose { self.proposal(own.share)? } else { None };
        if own.invalid > 0 {
            let (part, all) = (own.invalid, own.share.all);
            let hint = proposal.map(|proposal| format!("; {proposal}")).unwrap_or_default();
            return Ok(Err(format!(
                "it gives NaN or infinite scores for {part} of {all} images of {}{hint}",
                self.test.name
            )));
        }
        if let Err(why) = self.differentiate()? {
            return Ok(Err(why));
        }
        let alone = (self.order.len() == 1).then(|| {
            "whether its output depends on the other images of a batch could not be tried with one \
             image"
                .to_owned()
        });
        Ok(Ok(Tried {
            outputs,
            remarks: output.into_iter().chain(proposal).chain(alone).collect(),
        }))
    }

    /// What is said of a model that cannot be attacked, unless the machine is to blame.
    fn refused(&mut self, label: &str, why: &str) -> SessionError {
        if let Err(fault) = self.workplace.look_for_faults(MARGIN) {
            return EngineError::from(fault).into();
        }
        // A trainer that refuses lives on.
        let how = match self.workplace.trainer {
            Some(_) => "cannot be attacked",
            None => "makes the trainer crash, so it cannot be attacked",
        };
        SessionError::Settings(format!("{label} {how}: {why}"))
    }

    /// Indices of the images at these places of the order.
    fn chosen(&self, places: &[u32]) -> Vec<u32> {
        places.iter().filter_map(|&place| self.order.get(place as usize)).copied().collect()
    }

    /// The output that is right for an image.
    fn label(&self, index: u32) -> u16 {
        let class = self.test.images.labels.get(index as usize).copied().unwrap_or_default();
        self.settings.output(class)
    }

    /// The outputs that a model must have for the images.
    fn needed(&self) -> u32 {
        let labels = self.order.iter().map(|&index| u32::from(self.label(index)) + 1);
        labels.max().unwrap_or(0)
    }

    /// Asks the trainer, which is started if it is not there.
    fn ask(&mut self, request: &Request, id: u64) -> Result<Result<Answer, Refusal>, SessionError> {
        self.workplace.muster()?;
        self.workplace.ask(request, id, |_| Ok(()))
    }

    /// The rows that a model gives for images, so many at a time.
    fn score(
        &mut self,
        model: &ModelRequest,
        indices: &[u32],
        batch: u32,
    ) -> Result<Result<(Rows, ScoredAnswer), Refusal>, SessionError> {
        let images = self.workplace.inbox.give("tried", &self.test.images.gather(indices)?)?;
        let id = self.workplace.next_id();
        let request = ScoreRequest {
            id,
            model: model.clone(),
            images,
            count: u32::try_from(indices.len()).unwrap_or(0),
            batch,
            dtype: self.settings.dtype,
            device: self.workplace.device.clone(),
            threads: self.workplace.threads,
            staging: self.workplace.inbox.path().to_owned(),
        };
        let answer = match self.ask(&Request::Score(Box::new(request)), id)? {
            Ok(Answer::Scored(answer)) => answer,
            Ok(other) => return Ok(Err(format!("the trainer said {other:?}"))),
            Err(why) => return Ok(Err(why)),
        };
        let rows = self.workplace.take_logits(&answer.logits, indices.len(), answer.classes)?;
        Ok(rows.map(|rows| (rows, answer)))
    }

    /// How accurate a model is on a sample, in batches as large as the attack's.
    fn accuracy(
        &mut self,
        model: &ModelRequest,
    ) -> Result<Result<Accuracy, Refusal>, SessionError> {
        let images = &self.test.images;
        let values = images.channels.saturating_mul(images.side.saturating_mul(images.side));
        let sample = preflight::sample(self.order.len().try_into().unwrap_or(u32::MAX), values);
        let indices: Vec<u32> = self.order.iter().copied().take(sample as usize).collect();
        let scored = self.score(model, &indices, self.settings.batch.into())?;
        Ok(scored.map(|(rows, _)| {
            let judged = indices.iter().enumerate();
            let judged: Vec<_> = judged
                .map(|(at, &index)| rank::score(rows.row(at), self.label(index).into(), None))
                .collect();
            let invalid = judged.iter().filter(|score| score.is_none()).count();
            let right =
                |score: Option<rank::Score>| Some(score.is_some_and(|score| score.rank == 0));
            let share = Share::of(judged.into_iter().map(right));
            Accuracy { share, invalid: u32::try_from(invalid).unwrap_or(u32::MAX) }
        }))
    }

    /// The input range with which a model is clearly more accurate than as it was asked for.
    fn proposal(&mut self, own: Share) -> Result<Option<String>, SessionError> {
        if !self.model.members.iter().any(|one| matches!(one, Member::Torchscript { .. })) {
            return Ok(None);
        }
        let mut best: Option<(InputRange, Share)> = None;
        for range in InputRange::candidates(self.test.images.channels) {
            // One that the model does not take is none.
            let Ok(found) = self.accuracy(&with_range(self.model, &range))? else { continue };
            let so_far = best.as_ref().map_or(own, |(_, share)| *share);
            let is_best = found.share.part > so_far.part;
            if found.invalid == 0 && is_best && preflight::is_clearly_better(found.share, own) {
                best = Some((range, found.share));
            }
        }
        let percent = |share: Share| 100.0 * share.rate().unwrap_or_default();
        Ok(best.map(|(range, share)| {
            format!(
                "correct on {:.0} % of {} images with values 0..255, on {:.0} % with {range}; if the \
                 model expects {range}, add --input-range {range}",
                percent(own),
                own.all,
                percent(share)
            )
        }))
    }

    /// Crafts some images in one step, only to see that it can be done.
    fn differentiate(&mut self) -> Result<Result<(), Refusal>, SessionError> {
        let count = DIFFERENTIATED.min(self.settings.batch.into()).min(self.order.len());
        let indices = &self.order[..count];
        let pixels = self.test.images.gather(indices)?;
        let images = self.workplace.inbox.give("clean", &pixels)?;
        let id = self.workplace.next_id();
        let smallest = Settings {
            methods: vec![Method::Fast],
            eps: vec![1],
            random_start: false,
            ..self.settings.clone()
        };
        let request = CraftRequest {
            id,
            model: self.model.clone(),
            images,
            count: u32::try_from(count).unwrap_or(0),
            labels: indices.iter().map(|&index| self.label(index)).collect(),
            targets: Vec::new(),
            chains: sweep::plan(&smallest.specs()),
            dtype: self.settings.dtype,
            device: self.workplace.device.clone(),
            threads: self.workplace.threads,
            staging: self.workplace.inbox.path().to_owned(),
            measure: false,
        };
        let answer = match self.ask(&Request::Craft(Box::new(request)), id)? {
            Ok(Answer::Crafted(answer)) => answer,
            Ok(other) => return Ok(Err(format!("the trainer said {other:?}"))),
            Err(why) => return Ok(Err(why)),
        };
        let taken = [
            self.workplace.take(&answer.images, pixels.len())?.map(drop),
            self.workplace.take_logits(&answer.logits, 2 * count, answer.classes)?.map(drop),
            self.workplace.take_counts(&answer.zeros, count)?.map(drop),
            self.workplace.take_counts(&answer.invalid, count)?.map(drop),
        ];
        Ok(taken.into_iter().collect())
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
