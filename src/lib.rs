//! qtrail: an event-sourced experiment database for reinforcement-learning architecture search.
//!
//! # The idea
//!
//! An agent samples convolutional networks by Q-learning, a trainer process trains them, and every
//! fact of that is appended to an embedded log and never changed. The Q-table, the leaderboards
//! and all tables are *folds* of the log: delete them, and they come back bit for bit. That is why
//! a search can be killed anywhere and resumed to the same result.
//!
//! # The map
//!
//! Top knows bottom, never the reverse (`tests/tidy.rs` checks it). What a part does *not* know is
//! as important as what it does.
//!
//! | module | what it is | what it does not know |
//! |---|---|---|
//! | [`cli`] | one file per verb; rendering; the only place that prints, reads the environment and the clock | |
//! | [`engine`] | the imperative shell: carries out a search, run or attack, event by event | terminals, SQL |
//! | [`plot`] | figures: rows in, SVG, PNG or characters out: pure; the only place that names plotters | where rows come from |
//! | [`views`] | the read model: tables folded from events, in SQLite; the only place that names rusqlite | how to append |
//! | `torch` | networks and training through libtorch; part of `qtrail-torch` only, not of this library; the only place that names tch | the log, the agent |
//! | [`trainer`] | the protocol, and keeping trainer processes alive | the log |
//! | [`agent`] | state space, Q-table, epsilon-greedy policy, schedule, replay: pure | IO, clocks, the log |
//! | [`adversary`] | attacks as arithmetic: preflight of models, specifications, sweeps, transformations, samples, destruction rates, checks of attacks: pure | how models are differentiated |
//! | [`data`] | image data sets: formats, sizes, fetching, splits | what is trained on them |
//! | [`lab`] | the replay lab: a history learned from again under other replay policies, measured: pure | the log, what would have been sampled |
//! | [`ensemble`] | ensembles as arithmetic over recorded probabilities: pure | where they come from |
//! | [`import`] | histories of other programs, as facts: pure | files, the log |
//! | [`config`] | settings as data: flavours, presets, recipes: pure | what is done with them |
//! | [`log`] | where events live: the journal and sled, HEAD, locks, artifacts | what an event means |
//! | [`events`] | facts and their bytes: kinds, codec, frames, digest: pure | where frames live |
//! | [`arch`] | nouns: layers, architectures, notation, shapes: pure | everything else |
//! | [`tensors`] | safetensors and NPZ files: pure | what is in them |
//! | [`chance`] | addressed random numbers | everything else |
//! | [`paths`] | what lies at a path, where "no" means that nothing is there | everything else |
//! | [`guard`] | calls into libraries that panic on what they do not understand | everything else |
//!
//! # A search, end to end
//!
//! `cli::search` reads a configuration ([`config`]), finds the images and draws their split
//! ([`data`]), and opens a session in a store ([`engine::session`]). The engine asks the search
//! what happens next ([`events::job::Job::decide`]), records it ([`engine::journal`] over [`log`]), takes
//! it in ([`events::Fold::apply`]), gives trials to trainers ([`engine::pool`]), and records what
//! they answer. `qtrail-torch` is that trainer; any program that speaks
//! [`trainer::protocol`] will do. Tables are SQL views over the read model ([`views`]).
//!
//! What comes after a search is carried out by the same engine. Final trainings and transfers are runs
//! ([`agent::run`]), whose steps are epochs. An attack ([`engine::attack`]) decides step by step which
//! micro-batch is crafted or scored next; the trainers differentiate and evaluate, and everything
//! else, transformations and ranks among it, is arithmetic here ([`adversary`]).
//!
//! The formats are promises; `schema/` says what they are, without the code.

pub mod adversary;
pub mod agent;
pub mod arch;
pub mod chance;
pub mod cli;
pub mod config;
pub mod data;
pub mod engine;
pub mod ensemble;
pub mod events;
pub mod guard;
pub mod import;
pub mod lab;
pub mod log;
pub mod paths;
pub mod plot;
pub mod tensors;
pub mod trainer;
pub mod views;
