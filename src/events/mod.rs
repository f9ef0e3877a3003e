//! Facts: what can be recorded, and its bytes.
//!
//! [`kinds`], [`runs`], [`imports`], [`forks`], [`series`], [`ensembles`], [`studies`], [`repairs`] and [`attacks`] say what there is, [`codec`] turns it into payloads, [`frame`] seals
//! payloads into a chain, [`digest`] says whether two searches are the same, [`lines`] carries a
//! log as text, [`job`] says what is carried out by them. This module knows neither where frames live nor what follows from a fact.

pub mod attacks;
pub mod codec;
pub mod digest;
pub mod ensembles;
pub mod forks;
pub mod frame;
pub mod ids;
pub mod imports;
pub mod job;
pub mod kinds;
pub mod lines;
pub mod repairs;
pub mod runs;
pub mod series;
pub mod studies;
mod upcast;

pub use attacks::*;
pub use codec::Recorded;
pub use ensembles::*;
pub use forks::*;
pub use ids::{Hash, Scope};
pub use imports::*;
pub use kinds::*;
pub use repairs::*;
pub use runs::*;
pub use series::*;
pub use studies::*;
