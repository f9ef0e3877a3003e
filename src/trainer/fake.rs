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
    script: Script,
    lines: VecDeque<Said>,
}

/// Starts fake trainers that follow `script`.
#[derive(Debug, Clone, Copy)]
pub struct Fakes(pub Script);

impl Start for Fakes {
    fn start(&mut self) -> Result<Box<dyn Talk>, StartError> {
        let hello = Hello {
            protocol: PROTOCOL,
            program: "fake 1".into(),
            library: String::new(),
            devices: vec!["cpu".into()],
            isa: String::new(),
            threads: 1,
        };
        Ok(Box::new(Fake { hello, script: self.0, lines: VecDeque::new() }))
    }
}

impl Talk for Fake {
    fn hello(&self) -> &Hello {
        &self.hello
    }

    fn send(&mut self, request: &Request) -> std::io::Result<()> {
        if let Request::Train(request) = request {
            self.lines.extend((self.script)(request));
        }
        Ok(())
    }

    fn listen(&mut self, _: Duration) -> Option<Said> {
        self.lines.pop_front()
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
