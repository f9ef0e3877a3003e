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
//! | `studies` | studies: invisible until they are complete |
//! | `attacks` | attacks: images crafted and judged, packed a micro-batch a row |
//! | `packed` | SQL functions over packed numbers of images |
//! | `agent` | what searches learned, folded with every recorded digest checked |
//! | `ahead` | reading the log in one thread while another folds |
//! | `database` | SQLite set up our way: strict, with our functions, read-only for queries |
//! | `guard` | what queries may not do, and how long they may take |
//! | `files` | the file names: schema hash and generation, never reused |
//! | `model` | [`ReadModel`]: one file, its stamp, and applying events to it |
//! | `appender` | [`Appender`]: keeps the model current behind a process that records |
//! | `query` | [`open`]: a model that shows the whole log, or says why it does not |
//! | `select` | rows of a table: filter, order, columns, limits |
//! | `reward` | rewards by an expression over what is known of a trial |
//! | `arguments` | parameters of result tables |
//! | `times` | points in time as people write them |

mod agent;
mod ahead;
mod appender;
mod arguments;
mod attacks;
mod database;
mod error;
mod files;
mod fold;
mod guard;
mod imports;
mod jobs;
mod model;
mod packed;
mod query;
mod reward;
mod schema;
mod select;
mod studies;
mod times;

pub use appender::Appender;
pub use arguments::{Arguments, AttackArguments};
pub use database::{FUNCTIONS, Value};
pub use error::{Mistake, ViewError};
pub use fold::FOLD_VERSION;
pub use model::{Applied, ReadModel};
pub use packed::PACKED_FUNCTIONS;
pub use query::{Answer, At, Behind, Comparison, compare, open, rebuild};
pub use reward::{FACTS, TrialReward, check_reward};
pub use schema::{Column, TABLES_SQL, Table, table, tables};
pub use select::{Rows, Select, suggestion};
pub use times::parse_time;
