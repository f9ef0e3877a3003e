//! The replay lab: the same history under another replay policy.
//!
//! Learning is a fold over experiences, so it can be done again, under other rules, from the log
//! alone: nothing is trained, and the result is exact. What a search *would have sampled* under
//! those rules is another question, which no log answers; only where every architecture was trained
//! can whole searches be simulated.
//!
//! Pure: events in, numbers out. It reads no log and prints nothing.
//!
//! | file | what it holds |
//! |---|---|
//! | `history` | a search's experiences, folded from its events: its own, or an import's |
//! | `rederive` | learns from them again under a policy; counts who was drawn, and when |
//! | `measure` | what came of it: exposure, rank correlations, the greedy architecture |
//! | `rank` | Spearman's rho, Kendall's tau-b, bootstrap |
//! | `study` | one row a policy: mean and standard deviation over seeds |
//! | `settings` | what a study was told |
//! | `environment` | what training gives, from what is on record; `neighbours` guesses the rest |
//! | `trained` | the environment that the trials of a search make |
//! | `simulate`, `simulation`, `compared` | whole searches in that environment, and agents side by side |
//! | `laws` | what uniform replay does, exactly, without a single draw |

pub mod compared;
pub mod environment;
pub mod history;
pub mod laws;
pub mod measure;
pub mod neighbours;
pub mod rank;
pub mod rederive;
pub mod settings;
pub mod simulate;
pub mod simulation;
pub mod study;
pub mod trained;

#[cfg(test)]
mod tests;
