//! The read model: what queries read.
//!
//! A SQLite file that follows from the log, event by event, with the log position it shows inside.
//! Delete it, and it comes back the same. The tables are promised in `schema/tables.sql`. This is
//! the only place that names rusqlite.
//!
//! | file | what it holds |
//! |---|---|
//! | `schema` | `schema/tables.sql` as the program sees it; the result tables and their columns |
//! | `fold` | events into rows: the one code path of appenders, queries and rebuilds |
//! | `jobs` | how searches and runs begin |
//! | `imports` | imports: aside until they are complete, then the same rows |
//! | `series` | which searches are repetitions of one another |
//! | `studies` | studies: invisible until they are complete |
//! | `agent` | what searches learned, folded with every recorded digest checked |
//! | `ahead` | reading the log in one thread while another folds |
//! | `database` | SQLite set up our way: strict, with our functions, read-only for queries |
//! | `guard` | what queries may not do, and how long they may take |
//! | `files` | the file names: schema hash and generation, never reused |
//! | `model` | [`ReadModel`]: one file, its stamp, and applying events to it |
//! | `appender` | [`Appender`]: keeps the model current behind a process that records |
//! | `query` | [`open`]: a model that shows the whole log, or says why it does not |
//! | `select` | rows of a table: filter, order, columns, limits |
//! | `ensembles` | ensembles that were given a name |
//! | `expressed` | accuracies of searches whose rewards are other numbers |
//! | `reward` | rewards by an expression over what is known of a trial |
//! | `arguments` | parameters of result tables |
//! | `values` | Q-values that are not on record, in the place of those that are |
//! | `forks` | forks and extended schedules as rows |
//! | `times` | points in time as people write them |

mod agent;
mod ahead;
mod appender;
mod arguments;
mod database;
mod ensembles;
mod error;
mod expressed;
mod files;
mod fold;
mod forks;
mod guard;
mod imports;
mod jobs;
mod model;
mod query;
mod reward;
mod runs;
mod schema;
mod select;
mod series;
mod studies;
mod times;
mod values;

pub use appender::Appender;
pub use arguments::Arguments;
pub use database::{FUNCTIONS, Value};
pub use error::{Mistake, ViewError};
pub use fold::FOLD_VERSION;
pub use model::{Applied, ReadModel};
pub use query::{Answer, At, Behind, Comparison, compare, open, rebuild};
pub use reward::{TrialReward, check_reward};
pub use schema::{Column, TABLES_SQL, Table, table, tables};
pub use select::{Rows, Select, suggestion};
pub use times::parse_time;
pub use values::Values;
