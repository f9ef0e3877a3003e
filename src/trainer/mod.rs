//! The trainer process: what is asked of it, what it answers, and how it is kept alive.
//!
//! qtrail never links libtorch. It starts one trainer process per device and talks to it in JSON
//! lines over pipes ([`protocol`], `schema/trainer.md`). Nothing a trainer says is trusted, and
//! nothing here touches the log: answers are handed to the engine, which records them.

pub mod attack;
pub mod fake;
pub mod locate;
pub mod process;
pub mod protocol;
pub mod silence;

use std::time::Duration;

use process::{Said, StartError};
use protocol::{Hello, Request};

/// Somebody to talk to: a trainer process, or a fake one in tests.
pub trait Talk {
    /// Who it is.
    fn hello(&self) -> &Hello;

    /// Sends a request.
    ///
    /// # Errors
    /// If it can no longer hear.
    fn send(&mut self, request: &Request) -> std::io::Result<()>;

    /// What it said next, waiting at most `patience`; that it hangs, if it was silent for too long.
    fn listen(&mut self, patience: Duration) -> Option<Said>;

    /// Ends it at once; says how it ended, with its last words.
    fn end(self: Box<Self>) -> String;
}

/// Somebody who can start trainers.
pub trait Start {
    /// Starts one.
    ///
    /// # Errors
    /// [`StartError`] if that fails.
    fn start(&mut self) -> Result<Box<dyn Talk>, StartError>;
}

/// The beginning of a text, at most so many bytes long.
#[must_use]
pub fn cut(mut text: String, bytes: usize) -> String {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}
