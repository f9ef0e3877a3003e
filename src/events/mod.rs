//! Facts: what can be recorded, and its bytes.
//!
//! [`kinds`], [`runs`], [`imports`], [`forks`], [`series`], [`ensembles`], [`studies`], [`repairs`] and [`attacks`] say what there is, [`registry`] lists it, [`codec`] turns it into payloads, [`frame`] seals
//! payloads into a chain, [`subject`] says what an event is about, [`fold`] what a fold is, [`job`] what is carried out by events, [`configs`]
//! puts configurations together, [`digest`] says whether two searches are the same, [`lines`] carries a
//! log as text. This module knows neither where frames live nor what follows from a fact.

pub mod attacks;
pub mod codec;
pub mod configs;
pub mod digest;
pub mod ensembles;
pub mod fold;
pub mod forks;
pub mod frame;
pub mod ids;
pub mod imports;
pub mod job;
pub mod kinds;
pub mod lines;
pub mod registry;
pub mod repairs;
pub mod runs;
pub mod series;
pub mod studies;
pub mod subject;
mod upcast;

pub use attacks::*;
pub use codec::Recorded;
pub use configs::{ConfigAssembler, Configs};
pub use ensembles::*;
pub use fold::{Fold, folding};
pub use forks::*;
pub use ids::{Hash, Scope};
pub use imports::*;
pub use kinds::*;
pub use registry::{Class, Kind};
pub use repairs::*;
pub use runs::*;
pub use series::*;
pub use studies::*;
