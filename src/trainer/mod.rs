//! The trainer process: what is asked of it, what it answers, and how it is kept alive.
//!
//! qtrail never links libtorch. It starts one trainer process per device and talks to it in JSON
//! lines over pipes ([`protocol`], `schema/trainer.md`). Nothing a trainer says is trusted, and
//! nothing here touches the log: answers are handed to the engine, which records them.

pub mod locate;
pub mod process;
pub mod protocol;
pub mod recipe;
