//! A trainer for tests, inside this process: it answers at once, with numbers that follow from
//! the architecture and the seed alone. It trains nothing, and no verb offers it.

use std::collections::VecDeque;
use std::time::Duration;

use super::process::{Said, StartError};
use super::protocol::{
    Answer, EpochAnswer, FailedReason, FinishedAnswer, Hello, PROTOCOL, Request, TrainRequest,
};
use super::{Start, Talk};
use crate::chance::Stream;

/// What a fake trainer does with a request.
pub type Script = fn(&TrainRequest) -> Vec<Said>;

/// A fake trainer.
#[derive(Debug)]
pub struct Fake {
    hello: Hello,
    with: Fakes,
    /// Times to be listened to before the next line.
    pause: u64,
    lines: VecDeque<Said>,
}

/// Starts fake trainers.
#[derive(Debug, Clone, Copy)]
pub struct Fakes {
    /// What they do.
    pub script: Script,
    /// Draws how often they have nothing to say before they answer; 0: never.
    pub pace: u64,
}

/// The longest pause, in times that somebody listens.
const PAUSE_MAX: u64 = 12;

impl Start for Fakes {
    fn start(&mut self) -> Result<Box<dyn Talk>, StartError> {
        let hello = Hello {
            protocol: PROTOCOL,
            program: "fake 1".into(),
            library: String::new(),
            devices: vec!["cpu".into()],
            isa: String::new(),
            threads: 1,
            bf16: None,
        };
        Ok(Box::new(Fake { hello, with: *self, pause: 0, lines: VecDeque::new() }))
    }
}

impl Talk for Fake {
    fn hello(&self) -> &Hello {
        &self.hello
    }

    fn send(&mut self, request: &Request) -> std::io::Result<()> {
        if let Request::Train(request) = request {
            self.lines.extend((self.with.script)(request));
            if self.with.pace > 0 {
                let mut chance = Stream::new(self.with.pace, "pace", request.id);
                self.pause = chance.below(PAUSE_MAX);
            }
        }
        Ok(())
    }

    fn listen(&mut self, _: Duration) -> Option<Said> {
        match self.pause.checked_sub(1) {
            Some(pause) => self.pause = pause,
            None => return self.lines.pop_front(),
        }
        None
    }

    fn end(self: Box<Self>) -> String {
        "the trainer was ended".to_owned()
    }
}

/// Accuracies drawn from the seed; one architecture in eight is no better than chance.
#[must_use]
pub fn by_seed(request: &TrainRequest) -> Vec<Said> {
    let mut chance = Stream::new(request.seed, "fake", 0);
    let mut said = Vec::new();
    let failed = chance.below(8) == 0;
    let total = 100;
    for epoch in 1..=if failed { 1 } else { request.recipe.epochs } {
        let correct = if failed { 10 } else { 20 + u32::try_from(chance.below(80)).unwrap_or(0) };
        said.push(Said::Answer(Answer::Epoch(EpochAnswer {
            id: request.id,
            restart: 0,
            epoch,
            learning_rate: request.recipe.learning_rate,
            train_loss: 1.0 / f64::from(epoch),
            train_correct: correct,
            train_total: total,
            validation_loss: 1.0 / f64::from(epoch),
            validation_correct: correct,
            validation_total: total,
            seconds: 0.0,
        })));
    }
    said.push(Said::Answer(if failed {
        let (reason, message) = (FailedReason::Chance, "no better than chance".into());
        Answer::Failed { id: request.id, reason, message }
    } else {
        let (id, parameters, predictions) = (request.id, 0, Vec::new());
        let (weights, peak_memory) = (None, 0);
        Answer::Finished(FinishedAnswer { id, parameters, weights, peak_memory, predictions })
    }));
    said
}
