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
//! | `rows` | episodes, trials and attempts as they change: written once |
//! | `jobs` | how searches and runs begin |
//! | `imports` | imports: aside until they are complete, then the same rows |
//! | `series` | which searches are repetitions of one another |
//! | `studies` | studies: invisible until they are complete |
//! | `attacks` | attacks: images crafted and judged, packed a micro-batch a row |
//! | `packed` | SQL functions over packed numbers of images |
//! | `counted` | SQL functions that count images of samples, over bits |
//! | `signs` | the SQL function behind table `checks` |
//! | `agent` | what searches learned, folded with every recorded digest checked |
//! | `mind` | a Q-table and its memory, learning what is on record |
//! | `ahead` | reading the log in one thread while another folds |
//! | `database` | SQLite set up our way: strict, with our functions, read-only for queries |
//! | `guard` | what queries may not do, and how long they may take |
//! | `files` | the file names: schema hash and generation, never reused; plain files only |
//! | `stamp` | how far a file shows the log, with a checksum: also a witness |
//! | `model` | [`ReadModel`]: one file, its stamp, and applying events to it |
//! | `build` | a model from nothing, in a file aside that gets its name when it is complete |
//! | `appender` | [`Appender`]: keeps the model current behind a process that records |
//! | `query` | [`open`]: a model that shows the whole log, or says why it does not; [`open_from_log`] |
//! | `elsewhere` | answers where the file cannot be used: read-only, full, somebody else's |
//! | `rollback` | [`refuse_rollback`]: a log that lacks what the tables have shown |
//! | `compare` | [`compare()`]: the tables of a store against what is folded from its log |
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
mod attacks;
mod build;
mod compare;
mod counted;
mod database;
mod elsewhere;
mod ensembles;
mod error;
mod expressed;
mod files;
mod fold;
mod forks;
mod guard;
mod imports;
mod jobs;
mod mind;
mod model;
mod packed;
mod query;
mod reward;
mod rollback;
mod rows;
mod runs;
mod schema;
mod select;
mod series;
mod signs;
mod stamp;
mod studies;
mod times;
mod values;

pub use appender::Appender;
pub use arguments::{Arguments, AttackArguments};
pub use compare::{Comparison, compare};
pub use database::{FUNCTIONS, Value};
pub use error::{Mistake, ViewError};
pub use fold::FOLD_VERSION;
pub use model::{Applied, ReadModel};
pub use packed::PACKED_FUNCTIONS;
pub use query::{Answer, At, Behind, open, open_from_log, rebuild};
pub use reward::{TrialReward, check_reward};
pub use rollback::{discard, newest_stamp, refuse_rollback};
pub use schema::{Column, TABLES_SQL, Table, table, tables};
pub use select::{Rows, Select, suggestion};
pub use times::parse_time;
pub use values::Values;
