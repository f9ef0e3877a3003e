//! The agent: state space, Q-table, epsilon-greedy policy, schedule, replay. Pure.
//!
//! Nothing here does IO, reads a clock or knows the log; chance comes from addressed streams.

pub mod policy;
pub mod qtable;
pub mod space;
