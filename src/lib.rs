//! qtrail: an event-sourced experiment database for reinforcement-learning architecture search.

pub mod chance;
pub mod events;
pub mod log;
