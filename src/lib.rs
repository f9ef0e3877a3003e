//! qtrail: an event-sourced experiment database for reinforcement-learning architecture search.

pub mod agent;
pub mod arch;
pub mod chance;
pub mod config;
pub mod data;
pub mod engine;
pub mod events;
pub mod log;
#[cfg(feature = "train")]
pub mod torch;
pub mod trainer;
